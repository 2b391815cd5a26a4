-- Jobs of several kinds: what each is about, what it is to do and from where it goes on, how far it is in documents,
-- chunks and tokens, what of it failed, and what waits for somebody's approval. `done` and `total` count documents.
ALTER TABLE jobs DROP CONSTRAINT jobs_state_check;
ALTER TABLE jobs ADD CONSTRAINT jobs_state_check
    CHECK (state IN ('queued', 'running', 'paused', 'held', 'succeeded', 'failed', 'cancelled'));
ALTER TABLE jobs
    ADD COLUMN subject          TEXT COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN spec             TEXT COLLATE "C" NOT NULL DEFAULT '{}',
    ADD COLUMN checkpoint       TEXT COLLATE "C",
    ADD COLUMN chunks_done      BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN chunks_total     BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN tokens_done      BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN tokens_total     BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN failed_documents BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN ordered_by       TEXT COLLATE "C" NOT NULL DEFAULT 'service',
    ADD COLUMN retry_of         TEXT COLLATE "C",
    -- The present run: when it was claimed and last reported, and what was done before it.
    ADD COLUMN claimed_at       BIGINT,
    ADD COLUMN reported_at      BIGINT,
    ADD COLUMN documents_before BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN chunks_before    BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN tokens_before    BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN pause_requested  BIGINT NOT NULL DEFAULT 0 CHECK (pause_requested IN (0, 1)),
    -- Whether only a process that has the index at hand can go on with it.
    ADD COLUMN needs_index      BIGINT NOT NULL DEFAULT 0 CHECK (needs_index IN (0, 1)),
    ADD COLUMN plan             TEXT COLLATE "C",
    ADD COLUMN plan_sha256      BYTEA,
    ADD COLUMN approved_sha256  BYTEA;
DROP INDEX jobs_one_of_a_kind;
DROP INDEX jobs_to_do;
-- Of imports and purges any number may wait.
CREATE UNIQUE INDEX jobs_one_of_a_kind ON jobs (tenant, kind, subject)
    WHERE state IN ('queued', 'running', 'paused', 'held') AND kind NOT IN ('import', 'purge');
CREATE INDEX jobs_to_do ON jobs (tenant, created_at, job) WHERE state IN ('queued', 'running');
-- Whose turn it is.
CREATE INDEX jobs_by_claim ON jobs (tenant, claimed_at);
CREATE INDEX jobs_by_age ON jobs (tenant, created_at, job);

CREATE TABLE job_failures (
    tenant   TEXT COLLATE "C" NOT NULL,
    job      TEXT COLLATE "C" NOT NULL,
    document TEXT COLLATE "C" NOT NULL,
    reason   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, job, document),
    FOREIGN KEY (tenant, job) REFERENCES jobs (tenant, job) ON DELETE CASCADE
);
CALL keep_apart('job_failures');

-- What an import is to write. An item leaves in the transaction that does it; one that failed stays for a retry.
CREATE TABLE job_items (
    tenant   TEXT COLLATE "C" NOT NULL,
    job      TEXT COLLATE "C" NOT NULL,
    item     BIGINT NOT NULL,
    document TEXT COLLATE "C" NOT NULL,
    failed   BIGINT NOT NULL DEFAULT 0 CHECK (failed IN (0, 1)),
    zstd     BYTEA NOT NULL,
    PRIMARY KEY (tenant, job, item),
    FOREIGN KEY (tenant, job) REFERENCES jobs (tenant, job) ON DELETE CASCADE
);
CALL keep_apart('job_items');
