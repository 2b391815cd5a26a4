-- What a tenant wants done about secrets, personal data and text to a model, as JSON; {} is the default policy.
ALTER TABLE tenants ADD COLUMN firewall TEXT COLLATE "C" NOT NULL DEFAULT '{}';

-- What was found in a version when it came in. policy: a hash of the policy and the detectors that decided. flags: the
-- classes of what can be seen in it; found: how often each detector found something; spans: where; all of them JSON.
-- released_by: who let it in although the policy had kept it back.
CREATE TABLE screenings (
    tenant      TEXT COLLATE "C" NOT NULL,
    doc         BIGINT NOT NULL,
    version     BIGINT NOT NULL,
    policy      BYTEA NOT NULL CHECK (length(policy) = 32),
    flags       TEXT COLLATE "C" NOT NULL,
    found       TEXT COLLATE "C" NOT NULL,
    spans       TEXT COLLATE "C" NOT NULL,
    released_by TEXT COLLATE "C",
    PRIMARY KEY (tenant, doc, version),
    FOREIGN KEY (tenant, doc, version) REFERENCES versions (tenant, doc, version)
);
CREATE INDEX screenings_with_findings ON screenings (tenant, doc, version) WHERE found <> '{}';
CALL keep_apart('screenings');

-- Submissions that the policy keeps back until somebody decides, one for each document. base_seq: the write that had
-- changed the document last, if there was one. zstd: the bytes as they were handed in; said: what else was said.
CREATE TABLE quarantine (
    tenant       TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant),
    document     TEXT COLLATE "C" NOT NULL,
    handed_in_at BIGINT NOT NULL,
    base_seq     BIGINT,
    policy       BYTEA NOT NULL CHECK (length(policy) = 32),
    bytes_sha256 BYTEA NOT NULL CHECK (length(bytes_sha256) = 32),
    bytes        BIGINT NOT NULL,
    zstd         BYTEA NOT NULL,
    acl          TEXT COLLATE "C" NOT NULL,
    said         TEXT COLLATE "C" NOT NULL,
    found        TEXT COLLATE "C" NOT NULL,
    spans        TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, document)
);
CALL keep_apart('quarantine');
