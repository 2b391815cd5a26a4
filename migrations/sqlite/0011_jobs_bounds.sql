-- What bounds jobs: how many runs in a row were cut off before a job got any further (done_most: the most documents that
-- it ever said were done), and how many bytes of its items an import was asked for with.
ALTER TABLE jobs ADD COLUMN runs_without_progress INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN done_most INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN items_bytes INTEGER NOT NULL DEFAULT 0;

-- The lines of an import that failed, by their documents.
CREATE INDEX job_items_failed ON job_items (tenant, job, document, item) WHERE failed = 1;
