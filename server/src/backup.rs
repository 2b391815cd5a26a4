//! `catena backup` and `catena restore`: all that is true in one file, and back.
//!
//! Promises: says what was written or restored, tenant by tenant, and what could not be checked; an address is never
//! repeated, because a password may stand in it. Does not: speak to a service. A backup reads beside it, a restore needs
//! its place.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use catena_catalog::{
    BackupReport, DamagedRecord, RestoreReport, SectionReport, back_up, check_backup, restore as restore_into,
};
use catena_domain::TenantId;
use clap::Args;

use crate::http::wire;
use crate::settings::database;

/// How to say where the catalog is.
#[derive(Debug, Args)]
struct Place {
    /// The service's data folder: the catalog lies in it, or its secret alone if the catalog is in PostgreSQL.
    #[arg(long, env = "CATENA_DATA", value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// The address of a catalog in PostgreSQL, with the role that the service works as.
    #[arg(long, env = "CATENA_CATALOG", hide_env_values = true, value_name = "URL")]
    catalog: Option<String>,
}

/// What to back up, and where to.
#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    /// The file to write. It must not be there yet.
    file: PathBuf,
    #[command(flatten)]
    place: Place,
    /// Back up this tenant alone. Without it, the backup is of the whole installation and HOLDS ITS SECRET: whoever has
    /// the file can read every tenant and make keys. Keep it as you keep the data folder.
    #[arg(long)]
    tenant: Option<String>,
}

/// What to restore, and where to.
#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    /// The file that `catena backup` wrote.
    file: PathBuf,
    #[command(flatten)]
    place: Place,
    /// The same as the role that owns the schema, to make it where it is not there yet.
    #[arg(long, env = "CATENA_CATALOG_OWNER", hide_env_values = true, value_name = "URL")]
    catalog_owner: Option<String>,
    /// Restore this tenant alone, out of a backup of all. It must never have been where it is restored to.
    #[arg(long)]
    tenant: Option<String>,
    /// Only read the file through, and say what it holds.
    #[arg(long, conflicts_with_all = ["tenant", "accept_damaged_record"])]
    check: bool,
    /// Restore a record that was damaged already when the backup was made. It will not verify.
    #[arg(long)]
    accept_damaged_record: bool,
}

/// Writes a backup.
pub(crate) async fn backup(arguments: BackupArguments) -> anyhow::Result<ExitCode> {
    let BackupArguments { file, place: Place { data, catalog }, tenant } = arguments;
    let tenant = parsed(tenant)?;
    let folder = match data {
        Some(data) => data,
        None if catalog.is_some() && tenant.is_some() => PathBuf::new(),
        None => anyhow::bail!(
            "name the service's data folder with --data; the secret lies there, and the catalog too unless --catalog names it"
        ),
    };
    let made = back_up(&folder, &database(catalog, None)?, tenant.as_ref(), &file).await;
    let report = made.context("no backup was made")?;
    print_backup(&file, &report);
    Ok(verdict(report.sections.iter().all(|section| section.finding.is_none())))
}

/// Restores a backup, or only looks at it.
pub(crate) async fn restore(arguments: RestoreArguments) -> anyhow::Result<ExitCode> {
    let RestoreArguments { file, place: Place { data, catalog }, catalog_owner, tenant, check, accept_damaged_record } =
        arguments;
    if check {
        let report = check_backup(&file).context("this cannot be restored")?;
        print_backup(&file, &report);
        return Ok(verdict(report.sections.iter().all(|section| section.finding.is_none())));
    }
    let folder = data.context("name the data folder to restore into with --data")?;
    let (database, tenant) = (database(catalog, catalog_owner)?, parsed(tenant)?);
    let record = if accept_damaged_record { DamagedRecord::Accept } else { DamagedRecord::Refuse };
    let restored = restore_into(&folder, &database, &file, tenant.as_ref(), record).await;
    let report = restored.context("the restore did not end well")?;
    print_restore(&folder, &report);
    Ok(verdict(report.records.iter().all(|(_, found)| found.is_ok())))
}

fn parsed(tenant: Option<String>) -> anyhow::Result<Option<TenantId>> {
    Ok(tenant.as_deref().map(TenantId::new).transpose()?)
}

fn verdict(is_sound: bool) -> ExitCode {
    if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_backup(file: &Path, report: &BackupReport) {
    let of = match &report.tenant {
        Some(tenant) => format!("tenant {tenant}"),
        None => "the whole installation, WITH ITS SECRET".to_owned(),
    };
    println!("{}: {of}, as of {}", file.display(), wire::time(report.made_at));
    println!("{} bytes, by catena {}, schema {}; read through", report.bytes, report.program, report.schema);
    for section in &report.sections {
        println!("{}", line(section));
    }
}

fn line(section: &SectionReport) -> String {
    let record = match &section.finding {
        None => format!("{} leaves", section.leaves),
        Some(finding) => format!("{} leaves, DAMAGED: {finding}", section.leaves),
    };
    match &section.tenant {
        None => format!("the service's own record: {record}"),
        Some(tenant) => {
            let SectionReport { documents, seq, keys, .. } = section;
            format!("tenant {tenant}: {documents} documents up to write {seq}, {keys} keys, {record}")
        }
    }
}

fn print_restore(folder: &Path, report: &RestoreReport) {
    for (chain, found) in &report.records {
        let section = report.backup.sections.iter().find(|section| {
            let tenant = section.tenant.as_ref();
            tenant.map_or(catena_audit::Chain::Service, catena_audit::Chain::Tenant).name() == *chain
        });
        let record = match found {
            Ok(summary) => format!("{} leaves are as they were written, the restore's own included", summary.leaves),
            Err(finding) => format!("the record is DAMAGED: {finding}"),
        };
        match section.and_then(|section| Some((section.tenant.as_ref()?, section))) {
            Some((tenant, of)) => {
                println!("tenant {tenant}: {} documents up to write {}; {record}", of.documents, of.seq);
            }
            None => println!("the service's own record: {record}"),
        }
    }
    if report.keys_left_out > 0 {
        println!(
            "{} keys were left out: this installation has another secret, under which they would not work. Make new ones",
            report.keys_left_out
        );
    }
    println!("restored; the next `catena serve --data {}` builds the index", folder.display());
}
