//! `catena doctor --verify`: the index of every tenant, held against its catalog; with `--repair`, mended.
//!
//! Promises: verifying changes nothing and can be done beside a service that runs; a repair does what a service does
//! when it finds damage, and afterwards everything is verified again; the exit code says whether something is missing.
//! Does not: repair beside a service, or change the catalog.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use catena_access::Scope;
use catena_catalog::{Catalog, CatalogError, CatalogReader, Database, LiveIndex};
use catena_domain::TenantId;
use catena_embedding::{Embedder, open_model};
use catena_formats::Formats;
use catena_index::{Index, OpenLimits};
use catena_ingest::{Ingest, Mended, Verdict, verify};
use catena_runtime::Compute;
use catena_runtime::thread::Priority;

use super::{CATALOG, Finding, good, remark};
use crate::app::INDEX_FOLDER;
use crate::settings::Settings;

/// What to do about what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Report,
    Repair,
}

/// Verifies every tenant's index, or one's, and prints a line for each and for whatever is wrong with it.
pub(crate) async fn run(settings: &Settings, tenant: Option<&TenantId>, then: Then) -> anyhow::Result<ExitCode> {
    if matches!(settings.database, Database::Embedded) && !settings.data.join(CATALOG).is_file() {
        bail!(
            "{} holds no catalog, so there is nothing to verify; name a data folder with --data",
            settings.data.display()
        );
    }
    let mut are_sound = look_at_all(settings, tenant).await?;
    if are_sound {
        println!("\nNothing is missing.");
        return Ok(ExitCode::SUCCESS);
    }
    if then == Then::Report {
        println!("\nSomething is missing. With the service stopped: catena doctor --verify --repair. {BESIDE}");
        return Ok(ExitCode::FAILURE);
    }
    println!();
    if !mend_all(settings, tenant).await? {
        return Ok(ExitCode::FAILURE);
    }
    println!();
    are_sound = look_at_all(settings, tenant).await?;
    let (verdict, code) = match are_sound {
        true => ("All is there again.", ExitCode::SUCCESS),
        false => {
            ("Something is still missing; build that tenant's index anew: catena reindex --tenant T", ExitCode::FAILURE)
        }
    };
    println!("\n{verdict}");
    Ok(code)
}

/// How to do it without stopping the service.
const BESIDE: &str = "While it runs: a service mends damage that it finds by itself, and builds one tenant's index anew \
                      with catena reindex --tenant T";

/// Prints what is found and says whether all of it is as it should be.
async fn look_at_all(settings: &Settings, tenant: Option<&TenantId>) -> anyhow::Result<bool> {
    let reader = CatalogReader::open(&settings.data, &settings.database).await.context("the catalog cannot be read")?;
    let all = reader.live_indexes().await.context("the catalog cannot be read")?;
    let chosen = chosen(all, tenant)?;
    let index = Arc::new(Index::new(settings.data.join(INDEX_FOLDER), OpenLimits::from(settings.open_tenants)));
    let compute = Compute::start(settings.workers, "verifying", Priority::Foreground)?;
    let mut are_sound = true;
    for live in &chosen {
        let verdict = verify::look(&reader, &index, &compute, live).await;
        let verdict = verdict.with_context(|| format!("the index of {} cannot be looked at", live.tenant))?;
        are_sound &= verdict.is_sound();
        say(&verdict);
    }
    Ok(are_sound)
}

/// What the manifests say of every tenant's index. A look at the files themselves is left to [`run`].
pub(super) async fn glance(settings: &Settings) -> Finding {
    const WHAT: &str = "index";
    if matches!(settings.database, Database::Embedded) && !settings.data.join(CATALOG).is_file() {
        return good(WHAT, "there is none so far");
    }
    match lacking(settings).await {
        Ok(lacking) if lacking.is_empty() => {
            good(WHAT, "no tenant's lacks anything that is known of; `catena doctor --verify` reads all of it")
        }
        Ok(lacking) => {
            let text = format!("{}; a service brings the rest back by itself, or `--repair`", lacking.join(", "));
            remark(WHAT, text)
        }
        Err(error) => remark(WHAT, format!("it cannot be looked at: {error:#}")),
    }
}

/// The tenants of whom something was lost and is not back yet, with how much is there.
async fn lacking(settings: &Settings) -> anyhow::Result<Vec<String>> {
    let reader = CatalogReader::open(&settings.data, &settings.database).await?;
    let index = Arc::new(Index::new(settings.data.join(INDEX_FOLDER), OpenLimits::from(settings.open_tenants)));
    let compute = Compute::start(settings.workers, "verifying", Priority::Foreground)?;
    let mut lacking = Vec::new();
    for live in reader.live_indexes().await? {
        let (of, id, scope) = (Arc::clone(&index), live.generation.id.clone(), Scope::service(&live.tenant));
        let glance = compute.run(move || of.glance(&scope, &id)).await?;
        if glance.is_ok_and(|glance| glance.is_none_or(|glance| !glance.lacks_rows)) {
            continue;
        }
        let rows = verify::look(&reader, &index, &compute, &live).await?.rows;
        lacking.push(format!("{} is {:.1} % complete", live.tenant, rows.complete_percent()));
    }
    Ok(lacking)
}

fn chosen(all: Vec<LiveIndex>, tenant: Option<&TenantId>) -> anyhow::Result<Vec<LiveIndex>> {
    let Some(wanted) = tenant else { return Ok(all) };
    let found: Vec<LiveIndex> = all.into_iter().filter(|live| live.tenant == *wanted).collect();
    if found.is_empty() {
        bail!("there is no tenant {wanted} here; leave --tenant out to verify all");
    }
    Ok(found)
}

/// One line for the tenant, and one for each thing that is wrong.
fn say(verdict: &Verdict) {
    let (grade, rows) = (if verdict.is_sound() { "ok" } else { "MISSING" }, &verdict.rows);
    let mut parts = vec![format!("{} of {} rows", rows.found, rows.catalog), format!("{} segments", verdict.segments)];
    for (count, what) in [
        (rows.missing, "missing"),
        (rows.waiting, "not indexed yet"),
        (rows.dead, "dead, until the next merge"),
        (rows.twice, "there twice"),
        (verdict.aside as u64, "segments put aside"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    if verdict.applied_seq < verdict.seq {
        parts.push(format!("indexed up to write {} of {}", verdict.applied_seq, verdict.seq));
    }
    let percent = rows.complete_percent();
    println!("{grade:<8} {:<24} {percent:>5.1} % complete: {}", verdict.tenant.as_str(), parts.join(", "));
    for damage in &verdict.damage {
        println!("{:<8} {:<24} {damage}", "", verdict.tenant.as_str());
    }
    if verdict.lacks_rows {
        let told = "damage was found before, and is not made up for yet";
        println!("{:<8} {:<24} {told}", "", verdict.tenant.as_str());
    }
}

/// Mends what a service would mend. Whether it could be done at all.
async fn mend_all(settings: &Settings, tenant: Option<&TenantId>) -> anyhow::Result<bool> {
    let catalog = match Catalog::open(&settings.data, &settings.database).await {
        Ok(catalog) => catalog,
        Err(error @ (CatalogError::Locked { .. } | CatalogError::Taken { .. })) => {
            println!("Nothing was repaired: {error}. Stop the service and repair then. {BESIDE}");
            return Ok(false);
        }
        Err(error) => return Err(error).context("the catalog cannot be opened"),
    };
    let mended = mend_each(settings, &catalog, tenant).await;
    catalog.close().await?;
    mended.map(|()| true)
}

async fn mend_each(settings: &Settings, catalog: &Catalog, tenant: Option<&TenantId>) -> anyhow::Result<()> {
    // Nothing is embedded: the model says by which recipe the service writes.
    let model = open_model(&settings.models, &settings.model, &settings.allowed_models)?;
    let embedder = Embedder::start(model, &settings.place())?;
    let index = Arc::new(Index::new(settings.data.join(INDEX_FOLDER), OpenLimits::from(settings.open_tenants)));
    let repairs = Compute::start(settings.workers, "repairing", Priority::Foreground)?;
    let ingest = Ingest::new(
        catalog.clone(),
        embedder,
        Formats::start(settings.reader_processes, repairs.clone())?,
        index,
        repairs.clone(),
        repairs,
    );
    for LiveIndex { tenant, .. } in chosen(catalog.live_indexes().await?, tenant)? {
        let mended = ingest.mend(&tenant).await.with_context(|| format!("the index of {tenant} cannot be repaired"))?;
        if let Mended { rows: 1.., documents } = mended {
            println!("repaired {tenant}: {} rows of {documents} documents are there again", mended.rows);
        }
    }
    Ok(())
}
