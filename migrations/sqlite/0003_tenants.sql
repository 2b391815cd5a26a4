-- Tenants' life, what they hold, what they may hold, and what they use.
-- state: `deleting` is the truth about a removal under way; a tenant that is `deleted` keeps its id and its record.
-- text_bytes and chunks are of the current versions of live documents; a version that is cut under several recipes
-- counts with the most chunks that one of them gave. removed: how many rows of each table a removal took, as JSON.
ALTER TABLE tenants ADD COLUMN state TEXT NOT NULL DEFAULT 'active'
    CHECK (state IN ('active', 'suspended', 'deleting', 'deleted'));
ALTER TABLE tenants ADD COLUMN quotas TEXT NOT NULL DEFAULT '{}';
ALTER TABLE tenants ADD COLUMN text_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN chunks INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN removed TEXT NOT NULL DEFAULT '{}';

UPDATE tenants SET
    text_bytes = (SELECT coalesce(sum(v.text_bytes), 0)
                  FROM documents d JOIN versions v ON v.tenant = d.tenant AND v.doc = d.doc AND v.version = d.version
                  WHERE d.tenant = tenants.tenant AND d.live = 1),
    chunks = (SELECT coalesce(sum(of_one.chunks), 0) FROM (
                  SELECT max(k.chunks) AS chunks
                  FROM documents d
                  JOIN chunkings k ON k.tenant = d.tenant AND k.doc = d.doc AND k.version = d.version
                  WHERE d.tenant = tenants.tenant AND d.live = 1 GROUP BY d.doc) of_one);

-- What a tenant used, by day since 1970 in UTC.
CREATE TABLE usage (
    tenant TEXT    NOT NULL REFERENCES tenants (tenant),
    day    INTEGER NOT NULL,
    kind   TEXT    NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (tenant, day, kind)
) STRICT, WITHOUT ROWID;
