-- How a tenant's documents are cut, as JSON, and by which of these settings a generation was built.
ALTER TABLE tenants ADD COLUMN chunking TEXT NOT NULL DEFAULT '{}';
ALTER TABLE generations ADD COLUMN chunking TEXT NOT NULL DEFAULT '{}';

-- What was found in a version and is no part of its text, as JSON; NULL in versions from before it was counted.
ALTER TABLE versions ADD COLUMN noticed TEXT;

-- Where in the original a version's text comes from: from start_byte on, up to the next place. line is the text's line
-- at start_byte, from one; position is JSON.
CREATE TABLE version_places (
    tenant     TEXT    NOT NULL,
    doc        INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    start_byte INTEGER NOT NULL,
    line       INTEGER NOT NULL,
    position   TEXT    NOT NULL,
    PRIMARY KEY (tenant, doc, version, start_byte),
    FOREIGN KEY (tenant, doc, version) REFERENCES versions (tenant, doc, version)
) STRICT, WITHOUT ROWID;
