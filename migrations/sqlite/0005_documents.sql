-- What a version was called and what its bytes were, so that it can be restored as it was.
ALTER TABLE versions ADD COLUMN title TEXT;
ALTER TABLE versions ADD COLUMN content_type TEXT;
UPDATE versions SET (title, content_type) =
    (SELECT d.title, d.content_type FROM documents d WHERE d.tenant = versions.tenant AND d.doc = versions.doc)
WHERE EXISTS (SELECT 1 FROM documents d
              WHERE d.tenant = versions.tenant AND d.doc = versions.doc AND d.version = versions.version);

-- When a document was deleted, and when its purge was begun: from then on nothing is left to restore.
ALTER TABLE documents ADD COLUMN deleted_at INTEGER;
ALTER TABLE documents ADD COLUMN purged_at INTEGER;
UPDATE documents SET deleted_at = unixepoch() * 1000000 WHERE live = 0;
CREATE INDEX documents_deleted ON documents (tenant, deleted_at) WHERE live = 0 AND purged_at IS NULL;

-- A purge that was begun and is not finished: everything of the document up to this version is to go.
CREATE TABLE purges (
    tenant   TEXT    NOT NULL,
    doc      INTEGER NOT NULL,
    version  INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    begun_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, doc),
    FOREIGN KEY (tenant, doc) REFERENCES documents (tenant, doc)
) STRICT, WITHOUT ROWID;

-- Whether a vector is still of use to some chunk.
CREATE INDEX chunks_by_hash ON chunks (tenant, hash);

-- What was answered to writes that came with a key of their own. place counts a tenant's answers.
CREATE TABLE answers (
    tenant         TEXT    NOT NULL REFERENCES tenants (tenant),
    place          INTEGER NOT NULL,
    holder         TEXT    NOT NULL,
    key            TEXT    NOT NULL,
    request_sha256 BLOB    NOT NULL CHECK (length(request_sha256) = 32),
    kept_at        INTEGER NOT NULL,
    answer         TEXT    NOT NULL,
    PRIMARY KEY (tenant, place),
    UNIQUE (tenant, holder, key)
) STRICT;
