//! Restoring a backup, where no service runs.
//!
//! Promises: the whole file is checked first; rows go in in one transaction, so a restore that is cut off leaves nothing
//! and can be done again; a tenant never takes another's place or name; each restored tenant gets a new generation, so
//! that no index of before is taken for its own, and a leaf that says which backup it came from. Does not: merge.

use std::path::Path;

use catena_audit::{Chain, Draft, Finding, Object, Summary};
use catena_domain::{RecipeId, TenantId};

use super::check::{Checked, Section, check};
use super::frames::{Fault, FrameKind};
use super::rows::{Shape, unpack};
use super::tables::Of;
use super::{BackupReport, refused};
use crate::error::{CatalogError, Result};
use crate::folder::Secret;
use crate::model::{Chunking, GenerationState};
use crate::store::{Connection, Database, Reach, Store, Value, in_task, secret_check, sql, sql_made};
use crate::tables::codec::hex;
use crate::tables::{chain, generations, verify_record};

/// Rows of one statement. With as many columns as any table has, far below what a statement can hold.
const ROWS_PER_INSERT: usize = 50;
/// Whose rows are worth nothing under another secret.
const KEYS: &str = "api_keys";

/// What to do with a record that was damaged already when the backup was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamagedRecord {
    /// Restore nothing.
    Refuse,
    /// Restore it as it is. It will not verify.
    Accept,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    /// What the backup held.
    pub backup: BackupReport,
    /// What was found in the record of each restored tenant, and of the service when all was restored, after the restore.
    pub records: Vec<(String, Result<Summary, Finding>)>,
    /// Keys that were left out, because this installation has another secret.
    pub keys_left_out: u64,
}

/// Restores a backup. One of an installation goes, with its secret, into an empty catalog; a `tenant` of it, or a backup
/// of one tenant, goes where there never was a tenant of its name.
pub async fn restore(
    folder: &Path,
    database: &Database,
    file: &Path,
    tenant: Option<&TenantId>,
    record: DamagedRecord,
) -> Result<RestoreReport> {
    let checked = check(file)?;
    let plan = Plan::of(&checked, tenant)?;
    require_sound(&checked, &plan, record)?;
    let backup = checked.report();
    let secret = match (&plan, checked.secret) {
        (Plan::All, Some(secret)) => Secret::Given(secret),
        _ => Secret::Own,
    };
    let store = Store::open_with(folder, database, secret).await?;
    let names: Vec<String> = plan.sections(&checked).map(|section| name(section.tenant.as_ref())).collect();
    let restored = in_task(write(store.clone(), checked, plan)).await;
    let closed = store.close().await;
    let keys_left_out = restored?;
    closed?;
    drop(store);
    let mut records = verify_record(folder, database).await?;
    records.retain(|(chain, _)| names.contains(chain));
    Ok(RestoreReport { backup, records, keys_left_out })
}

/// What of a backup is restored.
enum Plan {
    All,
    One(TenantId),
}

impl Plan {
    fn of(checked: &Checked, wanted: Option<&TenantId>) -> Result<Self> {
        let Some(tenant) = wanted.or(checked.tenant.as_ref()) else { return Ok(Self::All) };
        if !checked.sections.iter().any(|section| section.tenant.as_ref() == Some(tenant)) {
            let reason = format!("holds no tenant {tenant}; a tenant keeps its name, because its record names it");
            return refused(checked.path.display().to_string(), reason);
        }
        Ok(Self::One(tenant.clone()))
    }

    fn sections<'a>(&'a self, checked: &'a Checked) -> impl Iterator<Item = &'a Section> {
        checked.sections.iter().filter(move |section| match self {
            Self::All => true,
            Self::One(tenant) => section.tenant.as_ref() == Some(tenant),
        })
    }
}

fn name(tenant: Option<&TenantId>) -> String {
    tenant.map_or(Chain::Service, Chain::Tenant).name()
}

fn require_sound(checked: &Checked, plan: &Plan, record: DamagedRecord) -> Result<()> {
    for section in plan.sections(checked) {
        match &section.found.finding {
            None => {}
            Some(Finding::OtherChain { .. }) => {
                let reason = "a tenant in it has the record of another".to_owned();
                return Err(CatalogError::BackupDamaged { path: checked.path.clone(), reason });
            }
            Some(_) if record == DamagedRecord::Accept => {}
            Some(finding) => {
                let reason = format!(
                    "holds a record that was damaged when the backup was made: {finding}. Use an earlier backup, or \
                     restore this one as it is with --accept-damaged-record"
                );
                return refused(checked.path.display().to_string(), reason);
            }
        }
    }
    Ok(())
}

/// Writes all of it in one transaction: how many keys were left out.
async fn write(store: Store, checked: Checked, plan: Plan) -> Result<u64> {
    let mut keys_left_out = 0;
    let mut tx = match &plan {
        Plan::All => {
            let mut tx = store.write(Reach::Installation).await?;
            require_empty(tx.connection()).await?;
            tx
        }
        Plan::One(tenant) => {
            let mut tx = store.write(Reach::Remains(tenant)).await?;
            require_unknown(tx.connection(), tenant).await?;
            tx
        }
    };
    tx.connection().take_time().await?;
    let keys = if secret_check(store.pepper()) == checked.secret_check { Keys::Taken } else { Keys::LeftOut };
    for section in plan.sections(&checked) {
        tx.turn(section.tenant.as_ref().map_or(Reach::Installation, Reach::Tenant)).await?;
        write_section(tx.connection(), &checked, section, keys)
            .await
            .map_err(|error| contradiction(error, &checked))?;
        match &section.tenant {
            Some(tenant) => settle(tx.connection(), &checked, section, tenant).await?,
            None => {
                let draft = leaf("installation.restore", &checked);
                chain::next(tx.connection(), Chain::Service, &draft).await?.store(tx.connection()).await?;
            }
        }
        if keys == Keys::LeftOut {
            keys_left_out += section.found.keys;
        }
    }
    tx.commit().await?;
    Ok(keys_left_out)
}

/// Whether stored keys can be checked here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    Taken,
    LeftOut,
}

async fn require_empty(connection: &mut Connection) -> Result<()> {
    let row = sql("SELECT (SELECT count(*) FROM tenants) AS tenants, leaves,
                          (SELECT count(*) FROM installation WHERE operator_key_hash IS NOT NULL) AS keys
                   FROM installation WHERE one = 1");
    let row = row.fetch_one(connection).await?;
    let (tenants, leaves) = (row.u64("tenants")?, row.u64("leaves")?);
    let holds = match (tenants, leaves, row.long("keys")?) {
        (0, 0, 0) => return Ok(()),
        (0, 0, _) => "an operator's key, so that a service was started on it".to_owned(),
        (0, leaves, _) => format!("{leaves} leaves of a record"),
        (tenants, _, _) => format!("{tenants} tenants"),
    };
    Err(CatalogError::NotEmpty { place: "the catalog".to_owned(), holds })
}

async fn require_unknown(connection: &mut Connection, tenant: &TenantId) -> Result<()> {
    let row = sql("SELECT (SELECT count(*) FROM tenants WHERE tenant = $1)
                        + (SELECT count(*) FROM audit_outbox WHERE tenant = $1) AS found");
    if row.bind(tenant.as_str()).fetch_one(connection).await?.u64("found")? == 0 {
        return Ok(());
    }
    let reason = "is there, or was: its record is. A tenant is restored only where there never was one of its name; \
                  restore it into an empty folder, and take from there what is missing";
    refused(format!("tenant {tenant}"), reason)
}

/// Writes the rows of one section, and makes sure that they are those that were checked.
async fn write_section(connection: &mut Connection, checked: &Checked, section: &Section, keys: Keys) -> Result<()> {
    let fault = |fault: Fault| fault.of(&checked.path);
    if section.tenant.is_none() {
        sql("DELETE FROM installation WHERE one = 1").execute(connection).await?;
    }
    let mut reader = checked.read_from(section.at)?;
    loop {
        let frame = reader.next().map_err(fault)?;
        let frame = frame.ok_or_else(|| fault(Fault::Damaged("its end is missing".to_owned())))?;
        match frame.kind {
            FrameKind::Section => {}
            FrameKind::Rows => {
                let plain = frame.rows().map_err(fault)?;
                let (shape, rows) = unpack(&plain, &checked.shapes).map_err(fault)?;
                if keys == Keys::Taken || shape.table.name != KEYS {
                    insert(connection, shape, section.tenant.as_ref(), rows).await?;
                }
            }
            FrameKind::Header | FrameKind::End | FrameKind::Trailer => break,
        }
    }
    if reader.hash() != section.hash {
        return Err(fault(Fault::Damaged("it was changed while it was read".to_owned())));
    }
    Ok(())
}

async fn insert(
    connection: &mut Connection,
    shape: &Shape,
    tenant: Option<&TenantId>,
    rows: Vec<Vec<Value>>,
) -> Result<()> {
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let some: Vec<Vec<Value>> = rows.by_ref().take(ROWS_PER_INSERT).collect();
        let mut statement = sql_made(insertion(shape, some.len()));
        if let Some(tenant) = tenant {
            statement = statement.bind(tenant.as_str());
        }
        for value in some.into_iter().flatten() {
            statement = statement.bind(value);
        }
        statement.execute(connection).await?;
    }
    Ok(())
}

/// The statement that puts so many rows into a table.
fn insertion(shape: &Shape, rows: usize) -> String {
    let of_tenant = shape.table.of == Of::Tenant;
    let mut columns: Vec<&str> = shape.columns.iter().map(|column| column.name).collect();
    if of_tenant {
        columns.insert(0, "tenant");
    }
    let mut number = usize::from(of_tenant);
    let mut row = || {
        let own = shape.columns.iter().map(|_| {
            number += 1;
            format!("${number}")
        });
        let values: Vec<String> = of_tenant.then(|| "$1".to_owned()).into_iter().chain(own).collect();
        format!("({})", values.join(", "))
    };
    let rows: Vec<String> = (0..rows).map(|_| row()).collect();
    format!("INSERT INTO {} ({}) VALUES {}", shape.table.name, columns.join(", "), rows.join(", "))
}

/// What makes a tenant's rows a tenant here: the count is right, a new generation answers, the record goes on.
async fn settle(connection: &mut Connection, checked: &Checked, section: &Section, tenant: &TenantId) -> Result<()> {
    let damaged = |reason: &str| {
        let reason = format!("tenant {tenant} {reason}");
        Err(CatalogError::BackupDamaged { path: checked.path.clone(), reason })
    };
    let row = sql("SELECT count(*) AS documents FROM documents WHERE tenant = $1 AND live = 1");
    let documents = row.bind(tenant.as_str()).fetch_one(connection).await?.u64("documents")?;
    if documents != section.found.documents {
        return damaged(&format!("has {documents} documents, and the backup says {}", section.found.documents));
    }
    let row = sql("SELECT recipe, dimension, chunking FROM generations WHERE tenant = $1 AND state = 'live'");
    let live = row.bind(tenant.as_str()).fetch_optional(connection).await?;
    let mut draft = leaf("tenant.restore", checked);
    if let Some(live) = live {
        let (recipe, dimension): (RecipeId, u32) = (live.name("recipe")?, live.u32("dimension")?);
        sql("UPDATE generations SET state = 'retired' WHERE tenant = $1 AND state <> 'retired'")
            .bind(tenant.as_str())
            .execute(connection)
            .await?;
        let chunking: Chunking = live.json("chunking")?;
        let new = (GenerationState::Live, &chunking);
        let new = generations::insert(connection, tenant, &recipe, dimension, new).await?;
        draft.generation = Some(new.id.to_string());
        draft.recipe = Some(recipe.to_string());
    } else if documents > 0 {
        return damaged("has documents and no generation that answers");
    }
    draft.seq = Some(section.found.seq);
    chain::append(connection, tenant, &draft).await?;
    Ok(())
}

/// The leaf that says where the rows came from.
fn leaf(action: &'static str, checked: &Checked) -> Draft {
    let mut draft = Draft::of_service(action);
    draft.objects.push(Object::new("backup", format!("blake3:{}", hex(&checked.hash))));
    draft
}

/// Rows that the database does not take together are the file's fault.
fn contradiction(error: CatalogError, checked: &Checked) -> CatalogError {
    use sqlx::error::ErrorKind::{CheckViolation, ForeignKeyViolation, NotNullViolation, UniqueViolation};
    let CatalogError::Storage { source, .. } = &error else { return error };
    let kind = source.as_database_error().map(|error| error.kind());
    match kind {
        Some(UniqueViolation | ForeignKeyViolation | NotNullViolation | CheckViolation) => {
            let reason = "its rows contradict each other, or a key in it belongs to another tenant here".to_owned();
            CatalogError::BackupDamaged { path: checked.path.clone(), reason }
        }
        _ => error,
    }
}
