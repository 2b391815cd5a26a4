-- Keys that end, follow one another and are looked after; groups in groups; labels of a tenant and clearances for them.

ALTER TABLE api_keys ADD COLUMN expires_at BIGINT;
-- Coarse, and lost when the service is killed.
ALTER TABLE api_keys ADD COLUMN last_used_at BIGINT;
-- The key in whose place this one was made.
ALTER TABLE api_keys ADD COLUMN replaces TEXT COLLATE "C";
ALTER TABLE api_keys ADD COLUMN clearance TEXT COLLATE "C";
CREATE INDEX api_keys_by_replaced ON api_keys (tenant, replaces) WHERE replaces IS NOT NULL AND revoked_at IS NULL;

-- `members` counts users and groups. A clearance for a label that the tenant does not have clears for nothing.
ALTER TABLE groups ADD COLUMN clearance TEXT COLLATE "C";

-- Who is in `member_group` is in `group_name`. There is never a cycle; whoever inserts sees to it.
CREATE TABLE group_nesting (
    tenant       TEXT COLLATE "C" NOT NULL,
    group_name   TEXT COLLATE "C" NOT NULL,
    member_group TEXT COLLATE "C" NOT NULL CHECK (member_group <> group_name),
    PRIMARY KEY (tenant, group_name, member_group),
    FOREIGN KEY (tenant, group_name) REFERENCES groups (tenant, group_name) ON DELETE CASCADE,
    FOREIGN KEY (tenant, member_group) REFERENCES groups (tenant, group_name)
);
CREATE INDEX group_nesting_by_member ON group_nesting (tenant, member_group, group_name);

-- The lowest label has place 0.
CREATE TABLE labels (
    tenant TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant),
    label  TEXT COLLATE "C" NOT NULL,
    place  BIGINT NOT NULL,
    PRIMARY KEY (tenant, label),
    UNIQUE (tenant, place)
);

-- The documents that are under a list: those that a group's end would open, those that nobody may see.
CREATE INDEX documents_by_acl ON documents (tenant, acl, document) WHERE live = 1;

CALL keep_apart('group_nesting');
CALL keep_apart('labels');
