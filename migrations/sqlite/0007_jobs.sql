-- Jobs of several kinds: what each is about, what it is to do and from where it goes on, how far it is in documents,
-- chunks and tokens, what of it failed, and what waits for somebody's approval. `done` and `total` count documents.
-- Made anew, because a check cannot be changed; nothing refers to it.
CREATE TABLE jobs_anew (
    tenant           TEXT    NOT NULL REFERENCES tenants (tenant),
    job              TEXT    NOT NULL,
    kind             TEXT    NOT NULL,
    subject          TEXT    NOT NULL DEFAULT '',
    state            TEXT    NOT NULL
        CHECK (state IN ('queued', 'running', 'paused', 'held', 'succeeded', 'failed', 'cancelled')),
    spec             TEXT    NOT NULL DEFAULT '{}',
    checkpoint       TEXT,
    done             INTEGER NOT NULL DEFAULT 0,
    total            INTEGER NOT NULL DEFAULT 0,
    chunks_done      INTEGER NOT NULL DEFAULT 0,
    chunks_total     INTEGER NOT NULL DEFAULT 0,
    tokens_done      INTEGER NOT NULL DEFAULT 0,
    tokens_total     INTEGER NOT NULL DEFAULT 0,
    failed_documents INTEGER NOT NULL DEFAULT 0,
    note             TEXT    NOT NULL DEFAULT '',
    error            TEXT,
    ordered_by       TEXT    NOT NULL DEFAULT 'service',
    retry_of         TEXT,
    created_at       INTEGER NOT NULL,
    started_at       INTEGER,
    finished_at      INTEGER,
    -- The present run: when it was claimed and last reported, and what was done before it.
    claimed_at       INTEGER,
    reported_at      INTEGER,
    documents_before INTEGER NOT NULL DEFAULT 0,
    chunks_before    INTEGER NOT NULL DEFAULT 0,
    tokens_before    INTEGER NOT NULL DEFAULT 0,
    attempt          INTEGER NOT NULL DEFAULT 0,
    lease_until      INTEGER,
    cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    pause_requested  INTEGER NOT NULL DEFAULT 0 CHECK (pause_requested IN (0, 1)),
    -- Whether only a process that has the index at hand can go on with it.
    needs_index      INTEGER NOT NULL DEFAULT 0 CHECK (needs_index IN (0, 1)),
    plan             TEXT,
    plan_sha256      BLOB,
    approved_sha256  BLOB,
    PRIMARY KEY (tenant, job)
) STRICT, WITHOUT ROWID;
INSERT INTO jobs_anew (tenant, job, kind, state, done, total, note, error, created_at, started_at, finished_at, attempt,
                       lease_until, cancel_requested)
SELECT tenant, job, kind, state, done, total, note, error, created_at, started_at, finished_at, attempt, lease_until,
       cancel_requested
FROM jobs;
DROP TABLE jobs;
ALTER TABLE jobs_anew RENAME TO jobs;
-- Of imports and purges any number may wait.
CREATE UNIQUE INDEX jobs_one_of_a_kind ON jobs (tenant, kind, subject)
    WHERE state IN ('queued', 'running', 'paused', 'held') AND kind NOT IN ('import', 'purge');
CREATE INDEX jobs_to_do ON jobs (tenant, created_at, job) WHERE state IN ('queued', 'running');
-- Whose turn it is.
CREATE INDEX jobs_by_claim ON jobs (tenant, claimed_at);
CREATE INDEX jobs_by_age ON jobs (tenant, created_at, job);

CREATE TABLE job_failures (
    tenant   TEXT NOT NULL,
    job      TEXT NOT NULL,
    document TEXT NOT NULL,
    reason   TEXT NOT NULL,
    PRIMARY KEY (tenant, job, document),
    FOREIGN KEY (tenant, job) REFERENCES jobs (tenant, job) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- What an import is to write. An item leaves in the transaction that does it; one that failed stays for a retry.
CREATE TABLE job_items (
    tenant   TEXT    NOT NULL,
    job      TEXT    NOT NULL,
    item     INTEGER NOT NULL,
    document TEXT    NOT NULL,
    failed   INTEGER NOT NULL DEFAULT 0 CHECK (failed IN (0, 1)),
    zstd     BLOB    NOT NULL,
    PRIMARY KEY (tenant, job, item),
    FOREIGN KEY (tenant, job) REFERENCES jobs (tenant, job) ON DELETE CASCADE
) STRICT;
