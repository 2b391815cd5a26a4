-- Places where a tenant's documents live. spec, schedule, guards and last are JSON whose words are the engine's;
-- credentials are sealed, and what is sealed is named beside it. looks counts the looks that were begun: whoever ends
-- one that is not the latest any more ends nothing.
CREATE TABLE sources (
    tenant           TEXT    NOT NULL REFERENCES tenants (tenant),
    source           TEXT    NOT NULL,
    spec             TEXT    NOT NULL,
    credentials      BLOB,
    credential_names TEXT    NOT NULL DEFAULT '[]',
    schedule         TEXT,
    guards           TEXT    NOT NULL,
    state            TEXT    NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused')),
    created_at       INTEGER NOT NULL,
    looks            INTEGER NOT NULL DEFAULT 0,
    cursor           TEXT,
    last             TEXT,
    PRIMARY KEY (tenant, source)
) STRICT, WITHOUT ROWID;

-- What is known of each document of a source: the tag of the bytes that were read last, their hash, who may see the
-- document as the source said last, and what was said about it, as a hash. A document that is not ok has a reason.
CREATE TABLE source_items (
    tenant       TEXT    NOT NULL,
    source       TEXT    NOT NULL,
    document     TEXT    NOT NULL,
    tag          TEXT    NOT NULL,
    bytes_sha256 BLOB CHECK (bytes_sha256 IS NULL OR length(bytes_sha256) = 32),
    said_sha256  BLOB CHECK (said_sha256 IS NULL OR length(said_sha256) = 32),
    acl          TEXT,
    state        TEXT    NOT NULL CHECK (state IN ('ok', 'failed', 'quarantined', 'skipped')),
    reason       TEXT,
    look         INTEGER NOT NULL,
    PRIMARY KEY (tenant, source, document),
    FOREIGN KEY (tenant, source) REFERENCES sources (tenant, source)
) STRICT, WITHOUT ROWID;
CREATE INDEX source_items_not_ok ON source_items (tenant, source, state, document) WHERE state <> 'ok';

-- When a source is looked at next. Apart from the rest, because whoever claims it goes through all tenants'.
CREATE TABLE source_schedules (
    tenant  TEXT    NOT NULL,
    source  TEXT    NOT NULL,
    next_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, source),
    FOREIGN KEY (tenant, source) REFERENCES sources (tenant, source)
) STRICT, WITHOUT ROWID;
CREATE INDEX source_schedules_due ON source_schedules (next_at);
