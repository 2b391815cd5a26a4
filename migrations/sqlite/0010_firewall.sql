-- What a tenant wants done about secrets, personal data and text to a model, as JSON; {} is the default policy.
ALTER TABLE tenants ADD COLUMN firewall TEXT NOT NULL DEFAULT '{}';

-- What was found in a version when it came in. policy: a hash of the policy and the detectors that decided. flags: the
-- classes of what can be seen in it; found: how often each detector found something; spans: where; all of them JSON.
-- released_by: who let it in although the policy had kept it back.
CREATE TABLE screenings (
    tenant      TEXT    NOT NULL,
    doc         INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    policy      BLOB    NOT NULL CHECK (length(policy) = 32),
    flags       TEXT    NOT NULL,
    found       TEXT    NOT NULL,
    spans       TEXT    NOT NULL,
    released_by TEXT,
    PRIMARY KEY (tenant, doc, version),
    FOREIGN KEY (tenant, doc, version) REFERENCES versions (tenant, doc, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX screenings_with_findings ON screenings (tenant, doc, version) WHERE found <> '{}';

-- Submissions that the policy keeps back until somebody decides, one for each document. base_seq: the write that had
-- changed the document last, if there was one. zstd: the bytes as they were handed in; said: what else was said.
CREATE TABLE quarantine (
    tenant       TEXT    NOT NULL REFERENCES tenants (tenant),
    document     TEXT    NOT NULL,
    handed_in_at INTEGER NOT NULL,
    base_seq     INTEGER,
    policy       BLOB    NOT NULL CHECK (length(policy) = 32),
    bytes_sha256 BLOB    NOT NULL CHECK (length(bytes_sha256) = 32),
    bytes        INTEGER NOT NULL,
    zstd         BLOB    NOT NULL,
    acl          TEXT    NOT NULL,
    said         TEXT    NOT NULL,
    found        TEXT    NOT NULL,
    spans        TEXT    NOT NULL,
    PRIMARY KEY (tenant, document)
) STRICT;
