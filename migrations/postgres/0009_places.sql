-- How a tenant's documents are cut, as JSON, and by which of these settings a generation was built.
ALTER TABLE tenants ADD COLUMN chunking TEXT COLLATE "C" NOT NULL DEFAULT '{}';
ALTER TABLE generations ADD COLUMN chunking TEXT COLLATE "C" NOT NULL DEFAULT '{}';

-- What was found in a version and is no part of its text, as JSON; NULL in versions from before it was counted.
ALTER TABLE versions ADD COLUMN noticed TEXT COLLATE "C";

-- Where in the original a version's text comes from: from start_byte on, up to the next place. line is the text's line
-- at start_byte, from one; position is JSON.
CREATE TABLE version_places (
    tenant     TEXT COLLATE "C" NOT NULL,
    doc        BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    start_byte BIGINT NOT NULL,
    line       BIGINT NOT NULL,
    position   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, doc, version, start_byte),
    FOREIGN KEY (tenant, doc, version) REFERENCES versions (tenant, doc, version)
);
CALL keep_apart('version_places');
