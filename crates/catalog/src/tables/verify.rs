//! Checking the record from outside, also while a service runs.
//!
//! Reads only, takes no lock, and trusts neither the stored hashes nor the order of the rows: every leaf is hashed
//! again, and the last one is held against the head that is kept apart from the leaves.

use std::io;
use std::path::Path;
use std::sync::Arc;

use catena_audit::{Chain, Finding, LeafRef, Summary, Verifier};
use catena_domain::TenantId;

use crate::error::{CatalogError, Result};
use crate::folder;
use crate::store::{Connection, Database, Medium, Reach, Reader, has_failed_to_open, read_only, sql};
use crate::tables::chain::head_of;
use crate::tables::codec::long;

/// Leaves read at once.
const LEAVES_PER_READ: u64 = 500;

/// A chain by its tenant (the service's own has none), with the head that is kept apart from the leaves.
type Head = (Option<TenantId>, Option<LeafRef>);

/// Checks every chain of the record in `database`, which lies in `folder` if it is the embedded one: for each, its name
/// and what was found.
pub async fn verify_record(folder: &Path, database: &Database) -> Result<Vec<(String, Result<Summary, Finding>)>> {
    match database {
        Database::Embedded => {
            // One transaction, so that leaves and heads are of one moment.
            let mut tx = open(&folder::database(folder)).await?;
            let mut results = Vec::new();
            for (tenant, head) in heads(&mut tx).await? {
                let chain = tenant.as_ref().map_or(Chain::Service, Chain::Tenant);
                results.push((chain.name(), verify(&mut tx, chain, head).await?));
            }
            Ok(results)
        }
        Database::Postgres(place) => {
            let reader = Reader::open(place).await?;
            let mut results = Vec::new();
            let heads = heads(&mut reader.read(Reach::Installation).await?).await?;
            for (tenant, _) in heads {
                // A transaction reaches one tenant, and sees its head and its leaves as of one moment.
                let chain = tenant.as_ref().map_or(Chain::Service, Chain::Tenant);
                let mut tx = reader.read(tenant.as_ref().map_or(Reach::Installation, Reach::Tenant)).await?;
                let head = crate::tables::chain::head(&mut tx, chain).await?;
                results.push((chain.name(), verify(&mut tx, chain, head).await?));
            }
            Ok(results)
        }
    }
}

/// The heads of all chains, the service's own first.
async fn heads(tx: &mut Connection) -> Result<Vec<Head>> {
    let service = sql("SELECT leaves, head FROM installation WHERE one = 1").fetch_one(tx).await?;
    let mut heads = vec![(None, head_of(&service)?)];
    for row in sql("SELECT tenant, leaves, head FROM tenants ORDER BY tenant").fetch_all(tx).await? {
        heads.push((Some(row.name("tenant")?), head_of(&row)?));
    }
    Ok(heads)
}

async fn verify(tx: &mut Connection, chain: Chain<'_>, head: Option<LeafRef>) -> Result<Result<Summary, Finding>> {
    let mut verifier = Verifier::new(chain.name());
    let mut after: i64 = -1;
    loop {
        let rows = match chain {
            Chain::Tenant(tenant) => sql("SELECT leaf_index, bytes FROM audit_outbox
                 WHERE leaf_index > $1 AND tenant = $3 ORDER BY leaf_index LIMIT $2")
            .bind(after)
            .bind(long(LEAVES_PER_READ))
            .bind(tenant.as_str()),
            Chain::Service => {
                sql("SELECT leaf_index, bytes FROM service_outbox WHERE leaf_index > $1 ORDER BY leaf_index LIMIT $2")
                    .bind(after)
                    .bind(long(LEAVES_PER_READ))
            }
        };
        let rows = rows.fetch_all(tx).await?;
        let Some(last) = rows.last() else { return Ok(verifier.finish(head)) };
        after = last.long("leaf_index")?;
        for row in &rows {
            if let Err(finding) = verifier.leaf(&row.blob("bytes")?) {
                return Ok(Err(finding));
            }
        }
    }
}

/// Opens a database file to read it. One on a medium that cannot be written is opened as such, which is right only when
/// no service left a log of unfinished business beside it.
pub(crate) async fn open(path: &Path) -> Result<Connection> {
    if !path.exists() {
        let source = Arc::new(io::Error::from(io::ErrorKind::NotFound));
        return Err(CatalogError::Folder { what: "cannot read", path: path.to_owned(), source });
    }
    let has_log = path.with_extension("db-wal").metadata().is_ok_and(|log| log.len() > 0);
    match read_only(path, Medium::Changing).await {
        Ok(tx) => Ok(tx),
        Err(error) if has_failed_to_open(&error) && !has_log => Ok(read_only(path, Medium::Fixed).await?),
        Err(error) => Err(error.into()),
    }
}
