//! Backup and restore: all that is true, or what is true of one tenant, as one file that both databases can give and take.
//!
//! Promises: a backup is of one moment, also while a service writes, and is checked before it has its name; a file that
//! is not exactly what was written is refused before anything is changed; a restore is one transaction, so that one that
//! was cut off has left nothing. Memory is bounded whatever the file's size, and whatever a file claims. No name in a
//! file is used as a path or as a word of SQL. Does not: hide what it holds, or tell who wrote it. Whoever can read a
//! backup reads every text in it, and whoever can write one writes what is restored.
//!
//! Files are read and written in place, on the thread that waits: these are commands of their own, and nobody waits
//! beside them.

mod check;
mod frames;
mod restore;
mod rows;
mod tables;
mod take;
mod tally;
#[cfg(test)]
mod tests;

use std::path::Path;

use catena_audit::Finding;
use catena_domain::{TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::{CatalogError, Result};
use crate::folder::failed;

pub use check::check_backup;
pub use restore::{DamagedRecord, RestoreReport, restore};
pub use take::back_up;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    /// The tenant that it is of; none when it is of the whole installation, with its secret.
    pub tenant: Option<TenantId>,
    /// The program that made it.
    pub program: String,
    /// The step of the schema that it was made at.
    pub schema: i64,
    /// When it was made.
    pub made_at: Timestamp,
    /// The file's length.
    pub bytes: u64,
    /// What it holds of each tenant, and of the service's own record.
    pub sections: Vec<SectionReport>,
}

/// What a backup holds of one tenant, or of the installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionReport {
    /// The tenant; none for the installation.
    pub tenant: Option<TenantId>,
    /// Documents that are not deleted.
    pub documents: u64,
    /// The tenant's last write.
    pub seq: u64,
    /// Its keys, revoked ones as well.
    pub keys: u64,
    /// Leaves of its record.
    pub leaves: u64,
    /// What is wrong with the record, if anything.
    pub finding: Option<Finding>,
}

/// What a backup says of itself before its rows. It may hold the installation's secret, so it has no `Debug`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    program: String,
    schema: i64,
    made_at_us: i64,
    tenant: Option<String>,
    /// What only the installation's secret gives.
    secret_check: String,
    /// The installation's secret, in a backup of all of it.
    secret: Option<String>,
    tables: Vec<rows::Named>,
}

/// What a backup says of itself after its rows.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trailer {
    sections: u64,
}

impl frames::Fault {
    fn of(self, path: &Path) -> CatalogError {
        match self {
            Self::Disk(error) => failed("cannot read", path)(error),
            Self::Damaged(reason) => CatalogError::BackupDamaged { path: path.to_owned(), reason },
            Self::Newer(found) => CatalogError::BackupNewer {
                path: path.to_owned(),
                program: "of a later version".to_owned(),
                what: "format",
                found: found.into(),
                known: frames::FORMAT.into(),
            },
        }
    }
}

fn refused<T>(what: impl Into<String>, reason: impl Into<String>) -> Result<T> {
    Err(CatalogError::BackupRefused { what: what.into(), reason: reason.into() })
}
