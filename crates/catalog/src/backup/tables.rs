//! Every table with its columns, in an order in which rows can go in: what is referred to comes first.
//!
//! Promises: what is not listed here is in no backup, and a test holds the list against the schema of both databases, so
//! that nothing is forgotten. The tenant's column is not listed: it is the same in all rows of a section, and follows
//! from the section.
//! To add a column: one item in its table; the order of columns does not matter. To add a table: one entry below those
//! that it refers to. Whoever adds a step of the schema that fills in what a default cannot say raises
//! [`OLDEST_STEP`] to that step.

/// A backup of an earlier step than this one is refused, because its rows would lack more than defaults give.
pub(super) const OLDEST_STEP: i64 = 5;

/// What a table's rows belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// The installation.
    Installation,
    /// One tenant each.
    Tenant,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Long,
    Text,
    Blob,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) null: Null,
}

/// Whether a column may hold nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Null {
    Never,
    Allowed,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) of: Of,
    /// The columns that tell the rows of one tenant apart; none when there is one row.
    pub(super) key: &'static [&'static str],
    pub(super) columns: &'static [Column],
}

const fn long(name: &'static str) -> Column {
    Column { name, kind: Kind::Long, null: Null::Never }
}

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text, null: Null::Never }
}

const fn blob(name: &'static str) -> Column {
    Column { name, kind: Kind::Blob, null: Null::Never }
}

const fn or_null(column: Column) -> Column {
    Column { null: Null::Allowed, ..column }
}

const fn of_tenant(name: &'static str, key: &'static [&'static str], columns: &'static [Column]) -> Table {
    Table { name, of: Of::Tenant, key, columns }
}

const fn of_installation(name: &'static str, key: &'static [&'static str], columns: &'static [Column]) -> Table {
    Table { name, of: Of::Installation, key, columns }
}

pub(super) static TABLES: &[Table] = &[
    of_installation(
        "installation",
        &["one"],
        &[
            long("one"),
            or_null(blob("operator_key_hash")),
            long("leaves"),
            or_null(blob("head")),
            or_null(blob("secret_check")),
        ],
    ),
    of_installation("service_outbox", &["leaf_index"], &[long("leaf_index"), blob("bytes"), blob("hash")]),
    of_tenant(
        "tenants",
        &[],
        &[
            text("name"),
            long("created_at"),
            long("seq"),
            long("documents"),
            long("docs_next"),
            long("acls_next"),
            blob("secret"),
            long("leaves"),
            or_null(blob("head")),
            text("state"),
            text("quotas"),
            long("text_bytes"),
            long("chunks"),
            text("removed"),
            text("statistics"),
            text("chunking"),
            text("firewall"),
        ],
    ),
    of_tenant("usage", &["day", "kind"], &[long("day"), text("kind"), long("amount")]),
    of_tenant("labels", &["label"], &[text("label"), long("place")]),
    of_tenant(
        "answers",
        &["place"],
        &[long("place"), text("holder"), text("key"), blob("request_sha256"), long("kept_at"), text("answer")],
    ),
    of_tenant(
        "api_keys",
        &["key"],
        &[
            text("key"),
            blob("hash"),
            text("name"),
            text("rights"),
            or_null(text("user_name")),
            text("groups"),
            long("created_at"),
            or_null(long("revoked_at")),
            or_null(long("expires_at")),
            or_null(long("last_used_at")),
            or_null(text("replaces")),
            or_null(text("clearance")),
        ],
    ),
    of_tenant("groups", &["group_name"], &[text("group_name"), long("members"), or_null(text("clearance"))]),
    of_tenant("group_nesting", &["group_name", "member_group"], &[text("group_name"), text("member_group")]),
    of_tenant("group_members", &["group_name", "user_name"], &[text("group_name"), text("user_name")]),
    of_tenant("acls", &["acl"], &[long("acl"), blob("hash"), text("entries"), long("first_seq")]),
    of_tenant(
        "documents",
        &["doc"],
        &[
            long("doc"),
            text("document"),
            long("live"),
            long("version"),
            long("acl"),
            text("title"),
            or_null(text("uri")),
            text("content_type"),
            text("attributes"),
            or_null(text("source")),
            or_null(long("modified_at")),
            long("version_seq"),
            long("changed_seq"),
            or_null(long("deleted_at")),
            or_null(long("purged_at")),
        ],
    ),
    of_tenant("purges", &["doc"], &[long("doc"), long("version"), long("seq"), long("begun_at")]),
    of_tenant(
        "versions",
        &["doc", "version"],
        &[
            long("doc"),
            long("version"),
            long("created_at"),
            text("change"),
            blob("bytes_sha256"),
            blob("text_sha256"),
            long("text_bytes"),
            or_null(text("title")),
            or_null(text("content_type")),
            or_null(text("noticed")),
        ],
    ),
    of_tenant(
        "screenings",
        &["doc", "version"],
        &[
            long("doc"),
            long("version"),
            blob("policy"),
            text("flags"),
            text("found"),
            text("spans"),
            or_null(text("released_by")),
        ],
    ),
    of_tenant(
        "quarantine",
        &["document"],
        &[
            text("document"),
            long("handed_in_at"),
            or_null(long("base_seq")),
            blob("policy"),
            blob("bytes_sha256"),
            long("bytes"),
            blob("zstd"),
            text("acl"),
            text("said"),
            text("found"),
            text("spans"),
        ],
    ),
    of_tenant(
        "version_text",
        &["doc", "version", "start_byte"],
        &[long("doc"), long("version"), long("start_byte"), blob("zstd")],
    ),
    of_tenant(
        "version_places",
        &["doc", "version", "start_byte"],
        &[long("doc"), long("version"), long("start_byte"), long("line"), text("position")],
    ),
    of_tenant(
        "chunkings",
        &["doc", "version", "recipe"],
        &[long("doc"), long("version"), text("recipe"), long("chunks")],
    ),
    of_tenant(
        "chunks",
        &["doc", "version", "recipe", "chunk"],
        &[
            long("doc"),
            long("version"),
            text("recipe"),
            long("chunk"),
            long("start_byte"),
            long("end_byte"),
            text("headings"),
            long("line_first"),
            long("line_last"),
            long("tokens"),
            blob("hash"),
        ],
    ),
    of_tenant("embeddings", &["recipe", "hash"], &[text("recipe"), blob("hash"), blob("vector")]),
    of_tenant(
        "generations",
        &["generation"],
        &[
            text("generation"),
            text("recipe"),
            long("dimension"),
            text("state"),
            long("created_at"),
            or_null(long("promoted_at")),
            text("chunking"),
        ],
    ),
    of_tenant(
        "jobs",
        &["job"],
        &[
            text("job"),
            text("kind"),
            text("state"),
            long("done"),
            long("total"),
            text("note"),
            or_null(text("error")),
            long("created_at"),
            or_null(long("started_at")),
            or_null(long("finished_at")),
            long("attempt"),
            or_null(long("lease_until")),
            long("cancel_requested"),
            text("subject"),
            text("spec"),
            or_null(text("checkpoint")),
            long("chunks_done"),
            long("chunks_total"),
            long("tokens_done"),
            long("tokens_total"),
            long("failed_documents"),
            text("ordered_by"),
            or_null(text("retry_of")),
            or_null(long("claimed_at")),
            or_null(long("reported_at")),
            long("documents_before"),
            long("chunks_before"),
            long("tokens_before"),
            long("pause_requested"),
            long("needs_index"),
            or_null(text("plan")),
            or_null(blob("plan_sha256")),
            or_null(blob("approved_sha256")),
            long("runs_without_progress"),
            long("done_most"),
            long("items_bytes"),
        ],
    ),
    of_tenant("job_failures", &["job", "document"], &[text("job"), text("document"), text("reason")]),
    of_tenant(
        "job_items",
        &["job", "item"],
        &[text("job"), long("item"), text("document"), long("failed"), blob("zstd")],
    ),
    of_tenant(
        "sources",
        &["source"],
        &[
            text("source"),
            text("spec"),
            or_null(blob("credentials")),
            text("credential_names"),
            or_null(text("schedule")),
            text("guards"),
            text("state"),
            long("created_at"),
            long("looks"),
            or_null(text("cursor")),
            or_null(text("last")),
        ],
    ),
    of_tenant(
        "source_items",
        &["source", "document"],
        &[
            text("source"),
            text("document"),
            text("tag"),
            or_null(blob("bytes_sha256")),
            or_null(blob("said_sha256")),
            or_null(text("acl")),
            text("state"),
            or_null(text("reason")),
            long("look"),
        ],
    ),
    of_tenant("source_schedules", &["source"], &[text("source"), long("next_at")]),
    of_tenant(
        "contexts",
        &["context"],
        &[
            text("context"),
            long("created_at"),
            text("actor"),
            or_null(text("user_name")),
            blob("request_sha256"),
            blob("text_sha256"),
            long("tokens_used"),
            text("citations"),
            long("leaf_index"),
            blob("leaf_hash"),
        ],
    ),
    of_tenant("audit_outbox", &["leaf_index"], &[long("leaf_index"), blob("bytes"), blob("hash")]),
];
