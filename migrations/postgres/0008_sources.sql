-- Places where a tenant's documents live. spec, schedule, guards and last are JSON whose words are the engine's;
-- credentials are sealed, and what is sealed is named beside it. looks counts the looks that were begun: whoever ends
-- one that is not the latest any more ends nothing.
CREATE TABLE sources (
    tenant           TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant),
    source           TEXT COLLATE "C" NOT NULL,
    spec             TEXT COLLATE "C" NOT NULL,
    credentials      BYTEA,
    credential_names TEXT COLLATE "C" NOT NULL DEFAULT '[]',
    schedule         TEXT COLLATE "C",
    guards           TEXT COLLATE "C" NOT NULL,
    state            TEXT COLLATE "C" NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused')),
    created_at       BIGINT NOT NULL,
    looks            BIGINT NOT NULL DEFAULT 0,
    cursor           TEXT COLLATE "C",
    last             TEXT COLLATE "C",
    PRIMARY KEY (tenant, source)
);

-- What is known of each document of a source: the tag of the bytes that were read last, their hash, who may see the
-- document as the source said last, and what was said about it, as a hash. A document that is not ok has a reason.
CREATE TABLE source_items (
    tenant       TEXT COLLATE "C" NOT NULL,
    source       TEXT COLLATE "C" NOT NULL,
    document     TEXT COLLATE "C" NOT NULL,
    tag          TEXT COLLATE "C" NOT NULL,
    bytes_sha256 BYTEA CHECK (bytes_sha256 IS NULL OR length(bytes_sha256) = 32),
    said_sha256  BYTEA CHECK (said_sha256 IS NULL OR length(said_sha256) = 32),
    acl          TEXT COLLATE "C",
    state        TEXT COLLATE "C" NOT NULL CHECK (state IN ('ok', 'failed', 'quarantined', 'skipped')),
    reason       TEXT COLLATE "C",
    look         BIGINT NOT NULL,
    PRIMARY KEY (tenant, source, document),
    FOREIGN KEY (tenant, source) REFERENCES sources (tenant, source)
);
CREATE INDEX source_items_not_ok ON source_items (tenant, source, state, document) WHERE state <> 'ok';

-- When a source is looked at next. Apart from the rest, because whoever claims it goes through all tenants'.
CREATE TABLE source_schedules (
    tenant  TEXT COLLATE "C" NOT NULL,
    source  TEXT COLLATE "C" NOT NULL,
    next_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, source),
    FOREIGN KEY (tenant, source) REFERENCES sources (tenant, source)
);
CREATE INDEX source_schedules_due ON source_schedules (next_at);

CALL keep_apart('sources');
CALL keep_apart('source_items');
CALL keep_apart('source_schedules', 'current_setting(''catena.reach'', true) = ''installation''');
