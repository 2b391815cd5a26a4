-- Tenants' life, what they hold, what they may hold, and what they use.
-- state: `deleting` is the truth about a removal under way; a tenant that is `deleted` keeps its id and its record.
-- text_bytes and chunks are of the current versions of live documents; a version that is cut under several recipes
-- counts with the most chunks that one of them gave. removed: how many rows of each table a removal took, as JSON.
ALTER TABLE tenants
    ADD COLUMN state TEXT COLLATE "C" NOT NULL DEFAULT 'active'
        CHECK (state IN ('active', 'suspended', 'deleting', 'deleted')),
    ADD COLUMN quotas TEXT COLLATE "C" NOT NULL DEFAULT '{}',
    ADD COLUMN text_bytes BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN chunks BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN removed TEXT COLLATE "C" NOT NULL DEFAULT '{}';

-- The owner is held by the walls between tenants as well, so each tenant's counters are filled from inside.
DO $$
DECLARE
    everyone TEXT[];
    one TEXT;
BEGIN
    PERFORM set_config('catena.reach', 'installation', true);
    SELECT coalesce(array_agg(tenant), '{}') INTO everyone FROM tenants;
    PERFORM set_config('catena.reach', '', true);
    FOREACH one IN ARRAY everyone LOOP
        PERFORM set_config('catena.tenant', one, true);
        UPDATE tenants SET
            text_bytes = (SELECT coalesce(sum(v.text_bytes), 0)
                          FROM documents d
                          JOIN versions v ON v.tenant = d.tenant AND v.doc = d.doc AND v.version = d.version
                          WHERE d.tenant = one AND d.live = 1),
            chunks = (SELECT coalesce(sum(of_one.chunks), 0) FROM (
                          SELECT max(k.chunks) AS chunks
                          FROM documents d
                          JOIN chunkings k ON k.tenant = d.tenant AND k.doc = d.doc AND k.version = d.version
                          WHERE d.tenant = one AND d.live = 1 GROUP BY d.doc) of_one)
        WHERE tenant = one;
    END LOOP;
    PERFORM set_config('catena.tenant', '', true);
END $$;

-- What a tenant used, by day since 1970 in UTC.
CREATE TABLE usage (
    tenant TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant),
    day    BIGINT NOT NULL,
    kind   TEXT COLLATE "C" NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (tenant, day, kind)
);
CALL keep_apart('usage');
