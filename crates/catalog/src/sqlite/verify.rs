//! Checking the record of a data folder from outside, also while a service runs on it.
//!
//! Reads only, takes no lock, and trusts neither the stored hashes nor the order of the rows: every leaf is hashed
//! again, and the last one is held against the head that is kept apart from the leaves.

use std::io;
use std::path::Path;
use std::sync::Arc;

use catena_audit::{Chain, Finding, LeafRef, Summary, Verifier};
use catena_domain::TenantId;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use crate::error::{CatalogError, Result};
use crate::folder;
use crate::sqlite::chain::head_of;
use crate::sqlite::codec::{Columns as _, long};
use crate::sqlite::store::primary_code;

/// Leaves read at once.
const LEAVES_PER_READ: u64 = 500;

/// Checks every chain of the record in `folder`: for each, its name and what was found.
pub async fn verify_record(folder: &Path) -> Result<Vec<(String, Result<Summary, Finding>)>> {
    let mut connection = open(&folder::database(folder)).await?;
    // One transaction, so that leaves and heads are of one moment.
    let mut tx = connection.begin().await?;
    let mut chains = Vec::new();
    let service = sqlx::query("SELECT leaves, head FROM installation WHERE one = 1").fetch_one(&mut *tx).await?;
    chains.push((None, head_of(&service)?));
    for row in sqlx::query("SELECT tenant, leaves, head FROM tenants ORDER BY tenant").fetch_all(&mut *tx).await? {
        chains.push((Some(row.name::<TenantId>("tenant")?), head_of(&row)?));
    }
    let mut results = Vec::with_capacity(chains.len());
    for (tenant, head) in &chains {
        let chain = tenant.as_ref().map_or(Chain::Service, Chain::Tenant);
        results.push((chain.name(), verify(&mut tx, chain, *head).await?));
    }
    tx.rollback().await?;
    connection.close().await?;
    Ok(results)
}

async fn verify(
    connection: &mut SqliteConnection,
    chain: Chain<'_>,
    head: Option<LeafRef>,
) -> Result<Result<Summary, Finding>> {
    let mut verifier = Verifier::new(chain.name());
    let mut after: i64 = -1;
    loop {
        let rows = match chain {
            Chain::Tenant(tenant) => sqlx::query(
                "SELECT leaf_index, bytes FROM audit_outbox
                 WHERE leaf_index > $1 AND tenant = $3 ORDER BY leaf_index LIMIT $2",
            )
            .bind(after)
            .bind(long(LEAVES_PER_READ))
            .bind(tenant.as_str()),
            Chain::Service => sqlx::query(
                "SELECT leaf_index, bytes FROM service_outbox WHERE leaf_index > $1 ORDER BY leaf_index LIMIT $2",
            )
            .bind(after)
            .bind(long(LEAVES_PER_READ)),
        };
        let rows = rows.fetch_all(&mut *connection).await?;
        let Some(last) = rows.last() else { return Ok(verifier.finish(head)) };
        after = last.long("leaf_index")?;
        for row in &rows {
            if let Err(finding) = verifier.leaf(&row.blob("bytes")?) {
                return Ok(Err(finding));
            }
        }
    }
}

/// Opens a database to read it. One on a medium that cannot be written is opened as such, which is right only when no
/// service left a log of unfinished business beside it.
async fn open(path: &Path) -> Result<SqliteConnection> {
    const CANNOT_OPEN: i32 = 14;
    if !path.exists() {
        let source = Arc::new(io::Error::from(io::ErrorKind::NotFound));
        return Err(CatalogError::Folder { what: "cannot read", path: path.to_owned(), source });
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .pragma("trusted_schema", "OFF")
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    let probe = sqlx::query("SELECT one FROM installation").fetch_one(&mut connection).await;
    let has_log = path.with_extension("db-wal").metadata().is_ok_and(|log| log.len() > 0);
    match probe {
        Ok(_) => Ok(connection),
        Err(error) if primary_code(&error) == Some(CANNOT_OPEN) && !has_log => {
            Ok(options.immutable(true).connect().await?)
        }
        Err(error) => Err(error.into()),
    }
}
