-- The first schema. Every table of a tenant's data has the tenant first in its key, and every statement names it.
-- Times are microseconds since 1970. Lists and maps are JSON. Hashes are 32 bytes.

-- What belongs to no tenant: one row.
CREATE TABLE installation (
    one               INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    operator_key_hash BLOB,
    leaves            INTEGER NOT NULL DEFAULT 0,
    head              BLOB
) STRICT;
INSERT INTO installation (one) VALUES (1);

-- The head of a tenant's record stands here, apart from its leaves, so that a cut-off tail shows.
CREATE TABLE tenants (
    tenant     TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    seq        INTEGER NOT NULL DEFAULT 0,
    documents  INTEGER NOT NULL DEFAULT 0,
    docs_next  INTEGER NOT NULL DEFAULT 0,
    acls_next  INTEGER NOT NULL DEFAULT 0,
    secret     BLOB    NOT NULL CHECK (length(secret) = 32),
    leaves     INTEGER NOT NULL DEFAULT 0,
    head       BLOB
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    key        TEXT    NOT NULL PRIMARY KEY,
    tenant     TEXT    NOT NULL REFERENCES tenants (tenant),
    hash       BLOB    NOT NULL CHECK (length(hash) = 32),
    name       TEXT    NOT NULL,
    rights     TEXT    NOT NULL,
    user_name  TEXT,
    groups     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_of_tenant ON api_keys (tenant, key) WHERE revoked_at IS NULL;

CREATE TABLE groups (
    tenant     TEXT    NOT NULL REFERENCES tenants (tenant),
    group_name TEXT    NOT NULL,
    members    INTEGER NOT NULL,
    PRIMARY KEY (tenant, group_name)
) STRICT, WITHOUT ROWID;

CREATE TABLE group_members (
    tenant     TEXT NOT NULL,
    group_name TEXT NOT NULL,
    user_name  TEXT NOT NULL,
    PRIMARY KEY (tenant, group_name, user_name),
    FOREIGN KEY (tenant, group_name) REFERENCES groups (tenant, group_name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX group_members_by_user ON group_members (tenant, user_name);

-- Equal access lists of a tenant are one row. A row never changes.
CREATE TABLE acls (
    tenant    TEXT    NOT NULL REFERENCES tenants (tenant),
    acl       INTEGER NOT NULL,
    hash      BLOB    NOT NULL CHECK (length(hash) = 32),
    entries   TEXT    NOT NULL,
    first_seq INTEGER NOT NULL,
    PRIMARY KEY (tenant, acl),
    UNIQUE (tenant, hash)
) STRICT;
CREATE INDEX acls_by_seq ON acls (tenant, first_seq);

-- version_seq is when the current version was set, changed_seq when anything changed last.
CREATE TABLE documents (
    tenant       TEXT    NOT NULL REFERENCES tenants (tenant),
    doc          INTEGER NOT NULL,
    document     TEXT    NOT NULL,
    live         INTEGER NOT NULL CHECK (live IN (0, 1)),
    version      INTEGER NOT NULL,
    acl          INTEGER NOT NULL,
    title        TEXT    NOT NULL,
    uri          TEXT,
    content_type TEXT    NOT NULL,
    attributes   TEXT    NOT NULL,
    source       TEXT,
    modified_at  INTEGER,
    version_seq  INTEGER NOT NULL,
    changed_seq  INTEGER NOT NULL,
    PRIMARY KEY (tenant, doc),
    UNIQUE (tenant, document),
    FOREIGN KEY (tenant, acl) REFERENCES acls (tenant, acl)
) STRICT;
CREATE INDEX documents_by_version_seq ON documents (tenant, version_seq);
CREATE INDEX documents_by_changed_seq ON documents (tenant, changed_seq);

CREATE TABLE versions (
    tenant       TEXT    NOT NULL,
    doc          INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    change       TEXT    NOT NULL,
    bytes_sha256 BLOB    NOT NULL CHECK (length(bytes_sha256) = 32),
    text_sha256  BLOB    NOT NULL CHECK (length(text_sha256) = 32),
    text_bytes   INTEGER NOT NULL,
    PRIMARY KEY (tenant, doc, version),
    FOREIGN KEY (tenant, doc) REFERENCES documents (tenant, doc)
) STRICT, WITHOUT ROWID;

-- A text in blocks of at most 8 KiB, cut on borders of characters: start_byte is the block's place in the text.
CREATE TABLE version_text (
    tenant     TEXT    NOT NULL,
    doc        INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    start_byte INTEGER NOT NULL,
    zstd       BLOB    NOT NULL,
    PRIMARY KEY (tenant, doc, version, start_byte),
    FOREIGN KEY (tenant, doc, version) REFERENCES versions (tenant, doc, version)
) STRICT;

-- That a version was cut under a recipe, also when that gave no chunk at all.
CREATE TABLE chunkings (
    tenant  TEXT    NOT NULL,
    doc     INTEGER NOT NULL,
    version INTEGER NOT NULL,
    recipe  TEXT    NOT NULL,
    chunks  INTEGER NOT NULL,
    PRIMARY KEY (tenant, doc, version, recipe),
    FOREIGN KEY (tenant, doc, version) REFERENCES versions (tenant, doc, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE chunks (
    tenant     TEXT    NOT NULL,
    doc        INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    recipe     TEXT    NOT NULL,
    chunk      INTEGER NOT NULL,
    start_byte INTEGER NOT NULL,
    end_byte   INTEGER NOT NULL,
    headings   TEXT    NOT NULL,
    line_first INTEGER NOT NULL,
    line_last  INTEGER NOT NULL,
    tokens     INTEGER NOT NULL,
    hash       BLOB    NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (tenant, doc, version, recipe, chunk),
    FOREIGN KEY (tenant, doc, version, recipe)
        REFERENCES chunkings (tenant, doc, version, recipe) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Vectors as little-endian binary16.
CREATE TABLE embeddings (
    tenant TEXT NOT NULL REFERENCES tenants (tenant),
    recipe TEXT NOT NULL,
    hash   BLOB NOT NULL CHECK (length(hash) = 32),
    vector BLOB NOT NULL,
    PRIMARY KEY (tenant, recipe, hash)
) STRICT;

CREATE TABLE generations (
    tenant      TEXT    NOT NULL REFERENCES tenants (tenant),
    generation  TEXT    NOT NULL,
    recipe      TEXT    NOT NULL,
    dimension   INTEGER NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('building', 'live', 'retired')),
    created_at  INTEGER NOT NULL,
    promoted_at INTEGER,
    PRIMARY KEY (tenant, generation)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX generations_one_live ON generations (tenant) WHERE state = 'live';

-- attempt is the fencing token: it grows with every claim.
CREATE TABLE jobs (
    tenant           TEXT    NOT NULL REFERENCES tenants (tenant),
    job              TEXT    NOT NULL,
    kind             TEXT    NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    done             INTEGER NOT NULL DEFAULT 0,
    total            INTEGER NOT NULL DEFAULT 0,
    note             TEXT    NOT NULL DEFAULT '',
    error            TEXT,
    created_at       INTEGER NOT NULL,
    started_at       INTEGER,
    finished_at      INTEGER,
    attempt          INTEGER NOT NULL DEFAULT 0,
    lease_until      INTEGER,
    cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    PRIMARY KEY (tenant, job)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX jobs_one_of_a_kind ON jobs (tenant, kind) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_to_do ON jobs (created_at, tenant, job) WHERE state IN ('queued', 'running');

CREATE TABLE contexts (
    tenant         TEXT    NOT NULL REFERENCES tenants (tenant),
    context        TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    actor          TEXT    NOT NULL,
    user_name      TEXT,
    request_sha256 BLOB    NOT NULL CHECK (length(request_sha256) = 32),
    text_sha256    BLOB    NOT NULL CHECK (length(text_sha256) = 32),
    tokens_used    INTEGER NOT NULL,
    citations      TEXT    NOT NULL,
    leaf_index     INTEGER NOT NULL,
    leaf_hash      BLOB    NOT NULL CHECK (length(leaf_hash) = 32),
    PRIMARY KEY (tenant, context)
) STRICT, WITHOUT ROWID;

-- The record. A row never changes and none is removed.
CREATE TABLE audit_outbox (
    tenant     TEXT    NOT NULL REFERENCES tenants (tenant),
    leaf_index INTEGER NOT NULL,
    bytes      BLOB    NOT NULL,
    hash       BLOB    NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (tenant, leaf_index)
) STRICT;

CREATE TABLE service_outbox (
    leaf_index INTEGER NOT NULL PRIMARY KEY,
    bytes      BLOB    NOT NULL,
    hash       BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;
