-- The first schema in PostgreSQL, equal to SQLite's at its second step, whose number it therefore has.
-- Every table of a tenant's data has the tenant first in its key, and every statement names it.
-- Times are microseconds since 1970. Lists and maps are JSON. Hashes are 32 bytes. Texts compare by their bytes.

-- What belongs to no tenant: one row.
CREATE TABLE installation (
    one               BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    operator_key_hash BYTEA,
    leaves            BIGINT NOT NULL DEFAULT 0,
    head              BYTEA,
    -- What only the installation's own secret gives, so that a wrong secret is noticed at the start.
    secret_check      BYTEA
);
INSERT INTO installation (one) VALUES (1);

-- The head of a tenant's record stands here, apart from its leaves, so that a cut-off tail shows.
CREATE TABLE tenants (
    tenant     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name       TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    seq        BIGINT NOT NULL DEFAULT 0,
    documents  BIGINT NOT NULL DEFAULT 0,
    docs_next  BIGINT NOT NULL DEFAULT 0,
    acls_next  BIGINT NOT NULL DEFAULT 0,
    secret     BYTEA NOT NULL CHECK (length(secret) = 32),
    leaves     BIGINT NOT NULL DEFAULT 0,
    head       BYTEA
);

CREATE TABLE api_keys (
    key        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    tenant     TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant),
    hash       BYTEA NOT NULL CHECK (length(hash) = 32),
    name       TEXT COLLATE "C" NOT NULL,
    rights     TEXT COLLATE "C" NOT NULL,
    user_name  TEXT COLLATE "C",
    groups     TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX api_keys_of_tenant ON api_keys (tenant, key) WHERE revoked_at IS NULL;

CREATE TABLE groups (
    tenant     TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant),
    group_name TEXT COLLATE "C" NOT NULL,
    members    BIGINT NOT NULL,
    PRIMARY KEY (tenant, group_name)
);

CREATE TABLE group_members (
    tenant     TEXT COLLATE "C" NOT NULL,
    group_name TEXT COLLATE "C" NOT NULL,
    user_name  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, group_name, user_name),
    FOREIGN KEY (tenant, group_name) REFERENCES groups (tenant, group_name) ON DELETE CASCADE
);
CREATE INDEX group_members_by_user ON group_members (tenant, user_name);

-- Equal access lists of a tenant are one row. A row never changes.
CREATE TABLE acls (
    tenant    TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant),
    acl       BIGINT NOT NULL,
    hash      BYTEA NOT NULL CHECK (length(hash) = 32),
    entries   TEXT COLLATE "C" NOT NULL,
    first_seq BIGINT NOT NULL,
    PRIMARY KEY (tenant, acl),
    UNIQUE (tenant, hash)
);
CREATE INDEX acls_by_seq ON acls (tenant, first_seq);

-- version_seq is when the current version was set, changed_seq when anything changed last.
CREATE TABLE documents (
    tenant       TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant),
    doc          BIGINT NOT NULL,
    document     TEXT COLLATE "C" NOT NULL,
    live         BIGINT NOT NULL CHECK (live IN (0, 1)),
    version      BIGINT NOT NULL,
    acl          BIGINT NOT NULL,
    title        TEXT COLLATE "C" NOT NULL,
    uri          TEXT COLLATE "C",
    content_type TEXT COLLATE "C" NOT NULL,
    attributes   TEXT COLLATE "C" NOT NULL,
    source       TEXT COLLATE "C",
    modified_at  BIGINT,
    version_seq  BIGINT NOT NULL,
    changed_seq  BIGINT NOT NULL,
    PRIMARY KEY (tenant, doc),
    UNIQUE (tenant, document),
    FOREIGN KEY (tenant, acl) REFERENCES acls (tenant, acl)
);
CREATE INDEX documents_by_version_seq ON documents (tenant, version_seq);
CREATE INDEX documents_by_changed_seq ON documents (tenant, changed_seq);

CREATE TABLE versions (
    tenant       TEXT COLLATE "C" NOT NULL,
    doc          BIGINT NOT NULL,
    version      BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    change       TEXT COLLATE "C" NOT NULL,
    bytes_sha256 BYTEA NOT NULL CHECK (length(bytes_sha256) = 32),
    text_sha256  BYTEA NOT NULL CHECK (length(text_sha256) = 32),
    text_bytes   BIGINT NOT NULL,
    PRIMARY KEY (tenant, doc, version),
    FOREIGN KEY (tenant, doc) REFERENCES documents (tenant, doc)
);

-- A text in blocks of at most 8 KiB, cut on borders of characters: start_byte is the block's place in the text.
CREATE TABLE version_text (
    tenant     TEXT COLLATE "C" NOT NULL,
    doc        BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    start_byte BIGINT NOT NULL,
    zstd       BYTEA NOT NULL,
    PRIMARY KEY (tenant, doc, version, start_byte),
    FOREIGN KEY (tenant, doc, version) REFERENCES versions (tenant, doc, version)
);

-- That a version was cut under a recipe, also when that gave no chunk at all.
CREATE TABLE chunkings (
    tenant  TEXT COLLATE "C" NOT NULL,
    doc     BIGINT NOT NULL,
    version BIGINT NOT NULL,
    recipe  TEXT COLLATE "C" NOT NULL,
    chunks  BIGINT NOT NULL,
    PRIMARY KEY (tenant, doc, version, recipe),
    FOREIGN KEY (tenant, doc, version) REFERENCES versions (tenant, doc, version)
);

CREATE TABLE chunks (
    tenant     TEXT COLLATE "C" NOT NULL,
    doc        BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    recipe     TEXT COLLATE "C" NOT NULL,
    chunk      BIGINT NOT NULL,
    start_byte BIGINT NOT NULL,
    end_byte   BIGINT NOT NULL,
    headings   TEXT COLLATE "C" NOT NULL,
    line_first BIGINT NOT NULL,
    line_last  BIGINT NOT NULL,
    tokens     BIGINT NOT NULL,
    hash       BYTEA NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (tenant, doc, version, recipe, chunk),
    FOREIGN KEY (tenant, doc, version, recipe)
        REFERENCES chunkings (tenant, doc, version, recipe) ON DELETE CASCADE
);

-- Vectors as little-endian binary16.
CREATE TABLE embeddings (
    tenant TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant),
    recipe TEXT COLLATE "C" NOT NULL,
    hash   BYTEA NOT NULL CHECK (length(hash) = 32),
    vector BYTEA NOT NULL,
    PRIMARY KEY (tenant, recipe, hash)
);

CREATE TABLE generations (
    tenant      TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant),
    generation  TEXT COLLATE "C" NOT NULL,
    recipe      TEXT COLLATE "C" NOT NULL,
    dimension   BIGINT NOT NULL,
    state       TEXT COLLATE "C" NOT NULL CHECK (state IN ('building', 'live', 'retired')),
    created_at  BIGINT NOT NULL,
    promoted_at BIGINT,
    PRIMARY KEY (tenant, generation)
);
CREATE UNIQUE INDEX generations_one_live ON generations (tenant) WHERE state = 'live';

-- attempt is the fencing token: it grows with every claim.
CREATE TABLE jobs (
    tenant           TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant),
    job              TEXT COLLATE "C" NOT NULL,
    kind             TEXT COLLATE "C" NOT NULL,
    state            TEXT COLLATE "C" NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    done             BIGINT NOT NULL DEFAULT 0,
    total            BIGINT NOT NULL DEFAULT 0,
    note             TEXT COLLATE "C" NOT NULL DEFAULT '',
    error            TEXT COLLATE "C",
    created_at       BIGINT NOT NULL,
    started_at       BIGINT,
    finished_at      BIGINT,
    attempt          BIGINT NOT NULL DEFAULT 0,
    lease_until      BIGINT,
    cancel_requested BIGINT NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    PRIMARY KEY (tenant, job)
);
CREATE UNIQUE INDEX jobs_one_of_a_kind ON jobs (tenant, kind) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_to_do ON jobs (created_at, tenant, job) WHERE state IN ('queued', 'running');

CREATE TABLE contexts (
    tenant         TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant),
    context        TEXT COLLATE "C" NOT NULL,
    created_at     BIGINT NOT NULL,
    actor          TEXT COLLATE "C" NOT NULL,
    user_name      TEXT COLLATE "C",
    request_sha256 BYTEA NOT NULL CHECK (length(request_sha256) = 32),
    text_sha256    BYTEA NOT NULL CHECK (length(text_sha256) = 32),
    tokens_used    BIGINT NOT NULL,
    citations      TEXT COLLATE "C" NOT NULL,
    leaf_index     BIGINT NOT NULL,
    leaf_hash      BYTEA NOT NULL CHECK (length(leaf_hash) = 32),
    PRIMARY KEY (tenant, context)
);

-- The record. A row never changes and none is removed.
CREATE TABLE audit_outbox (
    tenant     TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant),
    leaf_index BIGINT NOT NULL,
    bytes      BYTEA NOT NULL,
    hash       BYTEA NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (tenant, leaf_index)
);

CREATE TABLE service_outbox (
    leaf_index BIGINT NOT NULL PRIMARY KEY,
    bytes      BYTEA NOT NULL,
    hash       BYTEA NOT NULL CHECK (length(hash) = 32)
);

-- Row-level security. The service names its tenant in the message that begins a transaction; the setting ends with it.
-- Without one, current_setting gives null or an empty text, which is no tenant, so a statement sees and changes nothing.
-- Forced, so that it holds for the owner as well. The service's start checks every table that has a tenant.
CREATE PROCEDURE keep_apart(guarded REGCLASS, more TEXT DEFAULT 'false') LANGUAGE plpgsql AS $$
DECLARE
    own TEXT := format('tenant = current_setting(%L, true) OR %s', 'catena.tenant', more);
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', guarded);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', guarded);
    EXECUTE format('CREATE POLICY keep_apart ON %s USING (%s) WITH CHECK (%s)', guarded, own, own);
END $$;

-- The lists that the operator and the workers go through.
CALL keep_apart('tenants', 'current_setting(''catena.reach'', true) = ''installation''');
CALL keep_apart('generations', 'current_setting(''catena.reach'', true) = ''installation''');
CALL keep_apart('jobs', 'current_setting(''catena.reach'', true) = ''installation''');
-- The door looks one key up before it knows the tenant.
CALL keep_apart('api_keys', 'key = current_setting(''catena.key'', true)');
CALL keep_apart('groups');
CALL keep_apart('group_members');
CALL keep_apart('acls');
CALL keep_apart('documents');
CALL keep_apart('versions');
CALL keep_apart('version_text');
CALL keep_apart('chunkings');
CALL keep_apart('chunks');
CALL keep_apart('embeddings');
CALL keep_apart('contexts');
CALL keep_apart('audit_outbox');
