//! Syncing: a tenant comes to hold what its source holds, and nothing is done for what did not change.
//!
//! One sync looks, compares, guards and applies. What is known of each document (its tag, its bytes' hash, who may see it)
//! is the checkpoint: a sync that was cut off looks again and passes over what was done.
//! Promises: nothing is deleted unless a look came to its end and says that it is gone; the cursor moves only when
//! everything before it is written; what a guard holds is done only once exactly that was approved, and everything else is
//! done meanwhile; a document that cannot be read is one failed document.
//! Does not: know how a source is read, or what a document's format is.

mod apply;
mod compare;
pub mod description;
mod guard;
mod held;
mod look;
mod mirrors;
mod one;
mod plan;
mod request;
mod schedule;
mod seal;
mod totals;

use std::collections::BTreeMap;
use std::sync::Arc;

use catena_access::Scope;
use catena_audit::Object;
use catena_catalog::{CatalogError, Claimed, ItemChanges, SourceItem, SourceRow};
use catena_domain::{DocumentId, SourceName, TenantId};
use catena_runtime::clock::Stopwatch;
use catena_sources::{Credentials, Source, SourceError, SourceSpec};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Semaphore};

use crate::progress::{Interrupted, Progress};
use crate::{Ingest, IngestError};
use compare::{Thoroughness, compare};
use description::{Guards, Place};
use guard::Guard;
use look::Look;
use one::Leaving;

pub use guard::Wider;
pub use plan::{Estimate, Listed, Plan, PlannedWidening};
pub(crate) use request::SourceAccess;
pub use request::{NewSource, SourceChange};
pub use totals::{LastSync, Totals};

/// Documents that are fetched and written at once: enough that the model never waits, few enough that requests do not
/// wait behind them.
const AT_ONCE: usize = 16;
/// Kibibytes of documents that are on their way at once.
const KIB_IN_FLIGHT: u32 = 128 * 1_024;
/// How long a document is taken to be whose listing does not say it.
const BYTES_ASSUMED: u64 = 1_024 * 1_024;

/// How a source is opened.
pub type Opener = Arc<
    dyn Fn(&TenantId, &SourceName, &SourceSpec, &Credentials) -> Result<Box<dyn Source>, SourceError> + Send + Sync,
>;

/// What a sync job is asked to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Order {
    /// These documents alone, as after a retry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) only: Option<Vec<String>>,
    /// Every document is read, whatever its tag says.
    pub(crate) again: bool,
    /// The source goes, and its documents with it.
    pub(crate) remove: bool,
}

/// One sync at work.
pub(crate) struct Syncing<'a> {
    ingest: &'a Ingest,
    scope: &'a Scope,
    progress: &'a Progress<'a>,
    name: SourceName,
    place: Place,
    guards: Guards,
    source: &'a dyn Source,
    order: Order,
    guard: Guard<'a>,
    leaving: Leaving,
    memory: Semaphore,
    look: u64,
    pending: Mutex<ItemChanges>,
    totals: Mutex<Totals>,
    watch: Stopwatch,
}

/// Runs a sync job.
pub(crate) async fn run(
    ingest: &Ingest,
    scope: &Scope,
    progress: &Progress<'_>,
    claimed: &Claimed,
) -> Result<(), Interrupted> {
    let order: Order = serde_json::from_str(&claimed.spec).unwrap_or_default();
    let row = row_of(ingest, scope, claimed).await?;
    let (name, place) = (row.name.clone(), Place::read(&row.description.spec)?);
    let guards = Guards::read(&row.description.guards)?;
    if order.remove {
        return apply::remove(ingest, scope, progress, &name).await;
    }
    let look = ingest.0.catalog.begin_look(scope, &name, Some(&progress.fence())).await?;
    let source = ingest.open_source(scope, &row)?;
    let mut sync = Syncing {
        ingest,
        scope,
        progress,
        name,
        place,
        guards,
        source: source.as_ref(),
        order,
        guard: Guard::new(&ingest.0.catalog, scope, guards),
        leaving: Leaving::default(),
        memory: Semaphore::new(KIB_IN_FLIGHT as usize),
        look,
        pending: Mutex::default(),
        totals: Mutex::default(),
        watch: Stopwatch::start(),
    };
    let outcome = sync.run(row.cursor, claimed.approved).await;
    if let Err(interrupted) = &outcome {
        sync.end_interrupted(interrupted).await;
    }
    outcome
}

async fn row_of(ingest: &Ingest, scope: &Scope, claimed: &Claimed) -> Result<SourceRow, IngestError> {
    let subject = claimed.job.subject.clone().unwrap_or_default();
    let gone = || CatalogError::NotFound { what: "source", id: subject.clone() };
    let name = SourceName::new(&subject).map_err(|_| gone())?;
    Ok(ingest.0.catalog.source(scope, &name).await?.ok_or_else(gone)?)
}

impl Syncing<'_> {
    async fn run(&mut self, cursor: Option<String>, approved: Option<[u8; 32]>) -> Result<(), Interrupted> {
        self.progress.report(&self.totals.lock().await.tally(), "looking at the source").await?;
        let since = cursor.filter(|_| !self.order.again && self.order.only.is_none());
        let look = look::gather(self.source, &self.place, since).await;
        let known = known_beside(self.ingest, self.scope, &self.name, look.saw_everything()).await?;
        let thoroughness = match &self.order.only {
            Some(ids) => Thoroughness::Only(ids),
            None if self.order.again => Thoroughness::All,
            None => Thoroughness::Changed,
        };
        let work = compare(known, &look, thoroughness);
        self.leaving = Leaving::of(&work.gone);
        let held = self.apply(work, &look).await?;
        if let Some(broken) = look.broken.clone() {
            return Err(IngestError::Source(broken).into());
        }
        if !held.is_empty() {
            let plan = held.plan(&self.name);
            if approved != Some(held::digest(&plan)) {
                return Err(Interrupted::Held { plan });
            }
            let again = self.apply_held(held, &look).await?;
            if !again.is_empty() {
                return Err(Interrupted::Held { plan: again.plan(&self.name) });
            }
        }
        self.end(&look).await
    }

    /// Ends a sync that came to its end.
    async fn end(&self, look: &Look) -> Result<(), Interrupted> {
        self.flush().await?;
        let totals = self.totals.lock().await.clone();
        // What could not be fetched for now is named again by a look from the same cursor.
        let is_whole = totals.to_try_again == 0 && self.order.only.is_none();
        let cursor = look.cursor().filter(|_| is_whole);
        self.progress.report(&totals.tally(), &totals.note()).await?;
        self.write_down(&totals, None, cursor, Some(look.digest())).await?;
        Ok(())
    }

    async fn end_interrupted(&self, interrupted: &Interrupted) {
        let why = match interrupted {
            Interrupted::Failed(IngestError::Catalog(
                CatalogError::LeaseLost { .. } | CatalogError::TenantGone { .. },
            )) => {
                return;
            }
            Interrupted::Failed(error) => error.told(),
            Interrupted::Held { .. } => "what it would delete or show to more readers waits for approval".to_owned(),
            _ => "it was stopped before its end".to_owned(),
        };
        let totals = self.totals.lock().await.clone();
        let written = async {
            self.flush().await?;
            self.write_down(&totals, Some(why), None, None).await
        };
        if let Err(error) = written.await {
            tracing::warn!(tenant = %self.scope.tenant(), %error, "what a sync came to could not be written down");
        }
    }

    async fn write_down(
        &self,
        totals: &Totals,
        error: Option<String>,
        cursor: Option<String>,
        look: Option<[u8; 32]>,
    ) -> Result<(), IngestError> {
        let last = LastSync::of(totals.clone(), error, self.watch.elapsed());
        let mut deed = self.progress.deed("source.sync");
        for (name, count) in totals.named() {
            deed = deed.naming(Object::new("count", format!("{name}={count}")));
        }
        if let Some(look) = look {
            let sha256 = Some(catena_audit::LeafHash(look).to_string());
            deed = deed.naming(Object { sha256, ..Object::new("look", self.look.to_string()) });
        }
        self.ingest.0.catalog.end_look(self.scope, &self.name, self.look, cursor, last.text(), deed).await?;
        Ok(())
    }

    /// Writes down what is known of the documents done since the last time.
    async fn flush(&self) -> Result<(), IngestError> {
        let changes = std::mem::take(&mut *self.pending.lock().await);
        if changes.kept.is_empty() && changes.gone.is_empty() {
            return Ok(());
        }
        let fence = self.progress.fence();
        Ok(self.ingest.0.catalog.note_items(self.scope, &self.name, self.look, changes, Some(&fence)).await?)
    }
}

/// All that is known of a source's documents.
async fn known(
    ingest: &Ingest,
    scope: &Scope,
    name: &SourceName,
) -> Result<BTreeMap<DocumentId, SourceItem>, IngestError> {
    let mut known = BTreeMap::new();
    let mut after = None;
    loop {
        let items = ingest.0.catalog.known_items(scope, name, after.as_ref()).await?;
        let Some(last) = items.last() else { return Ok(known) };
        after = Some(last.id.clone());
        known.extend(items.into_iter().map(|item| (item.id.clone(), item)));
    }
}

/// The same, with the documents that were written and not noted. Where a look did not see everything they stay unknown:
/// it cannot say that they are gone.
async fn known_beside(
    ingest: &Ingest,
    scope: &Scope,
    name: &SourceName,
    saw_everything: bool,
) -> Result<BTreeMap<DocumentId, SourceItem>, IngestError> {
    let mut known = known(ingest, scope, name).await?;
    if !saw_everything {
        return Ok(known);
    }
    let mut after = None;
    loop {
        let items = ingest.0.catalog.unnoted_items(scope, name, after.as_ref()).await?;
        let Some(last) = items.last() else { return Ok(known) };
        after = Some(last.id.clone());
        for item in items {
            let is = known.entry(item.id.clone()).or_insert_with(|| item.clone());
            (is.bytes_sha256, is.acl) = (item.bytes_sha256, is.acl.take().or(item.acl));
        }
    }
}
