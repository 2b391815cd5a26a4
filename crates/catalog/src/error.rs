//! What can go wrong in the catalog.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use catena_domain::{DocumentId, ErrorKind, TenantId};

use crate::model::Exceeded;

/// Why the catalog refused or failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatalogError {
    /// The data folder cannot be made, read or written.
    #[error("{what} {}: {source}", path.display())]
    Folder {
        /// What was being done.
        what: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Another process holds the data folder.
    #[error("another catena runs on {}; stop it, or name another data folder", path.display())]
    Locked {
        /// The data folder.
        path: PathBuf,
    },
    /// There is a database but not the secret that belongs to it.
    #[error("{} is missing or damaged: no stored key can be checked without it; restore it from the backup that the database came from", path.display())]
    SecretMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The folder's secret is not the one that the catalog was made with.
    #[error("{} is not the secret that this catalog was made with, so no stored key could be checked; put the right one there: from the backup, or from the machine that served this catalog before", path.display())]
    OtherSecret {
        /// The secret's file.
        path: PathBuf,
    },
    /// The database cannot be reached.
    #[error(
        "the catalog's {place} cannot be reached: {source}; check that PostgreSQL runs there and takes this role and password"
    )]
    Unreachable {
        /// Which database.
        place: String,
        /// What the driver said.
        source: Arc<sqlx::Error>,
    },
    /// Another service holds the catalog in this database.
    #[error("another catena serves the catalog in {place}; stop it, or name another database")]
    Taken {
        /// Which database.
        place: String,
    },
    /// The role in the database could undo what keeps tenants apart.
    #[error(
        "the role {role} {why}, so the database could not keep tenants apart; make a role for the service alone (NOSUPERUSER NOBYPASSRLS, owner of nothing), name it in `catalog`, and the schema's owner in `catalog_owner`"
    )]
    RoleTooStrong {
        /// The role.
        role: String,
        /// What is wrong with it.
        why: String,
    },
    /// The database program has known holes.
    #[error(
        "PostgreSQL {found} has a known hole in row-level security, or is too old to be known; {needed} or later is needed"
    )]
    PostgresTooOld {
        /// The version that answers.
        found: String,
        /// The versions that are needed.
        needed: &'static str,
    },
    /// The schema is not brought up to date, and this role may not do it.
    #[error(
        "{place} has schema {found}, and this program needs schema {known}; start once with `catalog_owner` (CATENA_CATALOG_OWNER), the address with the role that owns the schema, and it is brought up to date"
    )]
    SchemaOlder {
        /// Which database.
        place: String,
        /// Its schema; zero when there is none, or none that this role sees.
        found: i64,
        /// The schema that is needed.
        known: i64,
    },
    /// The database library has known defects.
    #[error("sqlite {found} is too old; {needed} or later is needed, because earlier ones can damage the database")]
    SqliteTooOld {
        /// The version that is linked.
        found: String,
        /// The version that is needed.
        needed: &'static str,
    },
    /// The database was written by a newer program.
    #[error(
        "{place} has schema {found}, but this program knows only up to schema {known}; run the newer program, or restore an older backup"
    )]
    SchemaNewer {
        /// The database.
        place: String,
        /// Its schema.
        found: i64,
        /// The newest schema that this program knows.
        known: i64,
    },
    /// The schema could not be brought up to date.
    #[error("the schema of {place} cannot be brought up to date, and is as it was: {reason}")]
    Migration {
        /// The database.
        place: String,
        /// What went wrong.
        reason: String,
    },
    /// The disk or the database failed.
    #[error("the catalog cannot {what}: {source}")]
    Storage {
        /// What was being done.
        what: &'static str,
        /// What the database said.
        source: Arc<sqlx::Error>,
    },
    /// An earlier write to the disk failed in a way after which nothing more may be acknowledged.
    #[error(
        "the catalog takes no more writes, because the disk failed under it; mend the disk, then start the service again"
    )]
    NotWritable,
    /// Too much waits already.
    #[error("{what} is full; send the request again in a moment")]
    Busy {
        /// What is full.
        what: &'static str,
    },
    /// The system gave no random bytes.
    #[error("the catalog cannot draw a secret or an id: {0}")]
    Chance(Arc<io::Error>),
    /// What was asked cannot be stored.
    #[error("{what} {reason}")]
    Invalid {
        /// What is wrong.
        what: &'static str,
        /// How, and what would be right.
        reason: String,
    },
    /// The tenant may not have so much.
    #[error("{0}")]
    QuotaExceeded(Exceeded),
    /// The state is not what the caller believed.
    #[error("{what} {reason}")]
    Conflict {
        /// What is in the way.
        what: String,
        /// How.
        reason: &'static str,
    },
    /// A document is not what the writer says that it is.
    #[error("document {document} {reason}")]
    Precondition {
        /// The document.
        document: DocumentId,
        /// How it differs.
        reason: &'static str,
    },
    /// A text was cut by settings that are not the tenant's any more.
    #[error("how this tenant's documents are cut was changed meanwhile; send the request again")]
    ChunkingChanged,
    /// Vectors that were known a moment ago are gone, as after a purge.
    #[error("{missing} chunks have no vector, given or stored; ask again which vectors are known, and send the rest")]
    VectorsMissing {
        /// Chunks concerned.
        missing: u64,
    },
    /// A request of the same name was done meanwhile; this one changed nothing.
    #[error("a request of the same name was done meanwhile; ask for its answer")]
    Repeated,
    /// The tenant does not exist, or not any more.
    #[error("there is no tenant {tenant}")]
    TenantGone {
        /// The tenant.
        tenant: TenantId,
    },
    /// Nothing of that name is there.
    #[error("there is no {what} {id}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// Another worker has taken over the job.
    #[error("the lease on job {job} was lost: another worker has it")]
    LeaseLost {
        /// The job.
        job: String,
    },
    /// Stored bytes are not what was written.
    #[error("the catalog is damaged: {what} of {id} cannot be read back; restore a backup")]
    Corrupt {
        /// What cannot be read.
        what: &'static str,
        /// Where.
        id: String,
    },
    /// A file is no backup, or not the one that was made.
    #[error("{} is no whole backup: {reason}. Nothing was written; use another backup", path.display())]
    BackupDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A backup was made by a program that knows more.
    #[error(
        "{} was made by catena {program}: its {what} is {found}, but this program knows only {known}; restore it with that program, or with a later one", path.display()
    )]
    BackupNewer {
        /// The file.
        path: PathBuf,
        /// The program that made it, as far as this one can tell.
        program: String,
        /// What is newer.
        what: &'static str,
        /// Its number.
        found: i64,
        /// The greatest number that this program knows.
        known: i64,
    },
    /// A backup cannot be made or restored as it was asked for.
    #[error("{what} {reason}")]
    BackupRefused {
        /// What is in the way.
        what: String,
        /// How, and what would be right.
        reason: String,
    },
    /// A whole installation is restored into an empty place only.
    #[error("{place} is not empty: it holds {holds}; name an empty folder, and in PostgreSQL an empty database")]
    NotEmpty {
        /// Where it was to go.
        place: String,
        /// What is there.
        holds: String,
    },
    /// A task ended without a result.
    #[error("the catalog's work ended without a result; the process is stopping, or the work panicked")]
    Lost,
}

impl CatalogError {
    pub(crate) fn chance(error: io::Error) -> Self {
        Self::Chance(Arc::new(error))
    }

    /// Whether the disk has no room for what was to be written. The catalog goes on when there is room again.
    #[must_use]
    pub fn is_for_want_of_room(&self) -> bool {
        match self {
            Self::Storage { source, .. } => crate::store::is_full(source),
            Self::Folder { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }

    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Folder { .. }
            | Self::Locked { .. }
            | Self::SecretMissing { .. }
            | Self::OtherSecret { .. }
            | Self::Unreachable { .. }
            | Self::Taken { .. }
            | Self::RoleTooStrong { .. }
            | Self::PostgresTooOld { .. }
            | Self::SchemaOlder { .. }
            | Self::SqliteTooOld { .. }
            | Self::SchemaNewer { .. }
            | Self::Migration { .. }
            | Self::Storage { .. }
            | Self::Chance(_)
            | Self::NotWritable => ErrorKind::Unavailable,
            Self::Busy { .. } | Self::QuotaExceeded(_) => ErrorKind::Busy,
            Self::Invalid { .. } => ErrorKind::Invalid,
            Self::BackupNewer { .. } | Self::BackupRefused { .. } => ErrorKind::Invalid,
            Self::Conflict { .. }
            | Self::LeaseLost { .. }
            | Self::NotEmpty { .. }
            | Self::Precondition { .. }
            | Self::VectorsMissing { .. }
            | Self::ChunkingChanged
            | Self::Repeated => ErrorKind::Conflict,
            Self::TenantGone { .. } | Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Corrupt { .. } | Self::BackupDamaged { .. } => ErrorKind::Corrupt,
            Self::Lost => ErrorKind::Internal,
        }
    }
}

/// What the catalog's functions return.
pub(crate) type Result<T, E = CatalogError> = std::result::Result<T, E>;
