-- What a version was called and what its bytes were, so that it can be restored as it was. The owner, too, sees no row
-- while row-level security is forced, so it is lifted for this one statement each, inside the migration's transaction.
ALTER TABLE versions ADD COLUMN title TEXT COLLATE "C";
ALTER TABLE versions ADD COLUMN content_type TEXT COLLATE "C";
-- When a document was deleted, and when its purge was begun: from then on nothing is left to restore.
ALTER TABLE documents ADD COLUMN deleted_at BIGINT;
ALTER TABLE documents ADD COLUMN purged_at BIGINT;

ALTER TABLE versions NO FORCE ROW LEVEL SECURITY;
ALTER TABLE documents NO FORCE ROW LEVEL SECURITY;
UPDATE versions v SET title = d.title, content_type = d.content_type
FROM documents d WHERE d.tenant = v.tenant AND d.doc = v.doc AND d.version = v.version;
UPDATE documents SET deleted_at = extract(epoch FROM now())::BIGINT * 1000000 WHERE live = 0;
ALTER TABLE versions FORCE ROW LEVEL SECURITY;
ALTER TABLE documents FORCE ROW LEVEL SECURITY;
CREATE INDEX documents_deleted ON documents (tenant, deleted_at) WHERE live = 0 AND purged_at IS NULL;

-- A purge that was begun and is not finished: everything of the document up to this version is to go.
CREATE TABLE purges (
    tenant   TEXT COLLATE "C" NOT NULL,
    doc      BIGINT NOT NULL,
    version  BIGINT NOT NULL,
    seq      BIGINT NOT NULL,
    begun_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, doc),
    FOREIGN KEY (tenant, doc) REFERENCES documents (tenant, doc)
);
CALL keep_apart('purges');

-- Whether a vector is still of use to some chunk.
CREATE INDEX chunks_by_hash ON chunks (tenant, hash);

-- What was answered to writes that came with a key of their own. place counts a tenant's answers.
CREATE TABLE answers (
    tenant         TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant),
    place          BIGINT NOT NULL,
    holder         TEXT COLLATE "C" NOT NULL,
    key            TEXT COLLATE "C" NOT NULL,
    request_sha256 BYTEA NOT NULL CHECK (length(request_sha256) = 32),
    kept_at        BIGINT NOT NULL,
    answer         TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, place),
    UNIQUE (tenant, holder, key)
);
CALL keep_apart('answers');
