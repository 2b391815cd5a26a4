//! Syncs that nobody asks for: by the clock, and when a source says that something changed.
//!
//! Promises: of many processes one asks for a sync whose time has come; a source that says much is asked for one sync
//! after it was quiet for a moment; what is missed comes with the next time of its schedule. Does not: look at sources
//! without a schedule.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use catena_access::Scope;
use catena_audit::Draft;
use catena_catalog::{CatalogError, SourceState};
use catena_domain::{SourceName, TenantId, Timestamp};
use catena_runtime::clock;
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::description::Schedule;
use super::plan::is_conflict;
use crate::{Ingest, IngestError};

/// How often is looked for what is due.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// When a claimed source is due again if its claimant is killed before it says when.
const CLAIM: Duration = Duration::from_secs(60);
/// How often the list of watched sources is read.
const LIST_AGAIN: Duration = Duration::from_secs(15);
/// Most sources that are watched.
const WATCHED_MAX: usize = 256;
/// How long a source must be quiet after a change.
const QUIET: Duration = Duration::from_secs(2);
/// How long after the first change a source is synced, however much more it says.
const QUIET_MAX: Duration = Duration::from_secs(30);
/// How often a sync is asked for again while another is at work.
const TRIES: usize = 60;

impl Ingest {
    /// Asks for the syncs whose time has come, until `stop`.
    pub async fn run_schedules(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            match self.run_due_source().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "the schedules of sources cannot be read"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = clock::pause(LOOK_AGAIN) => {}
            }
        }
    }

    /// Asks for the sync of one source whose time has come, if there is one.
    pub async fn run_due_source(&self) -> Result<bool, IngestError> {
        let later = Timestamp(clock::now().0.saturating_add(i64::try_from(CLAIM.as_micros()).unwrap_or(i64::MAX)));
        let Some((tenant, name)) = self.0.catalog.claim_due_source(later).await? else { return Ok(false) };
        let scope = Scope::service(&tenant);
        match self.sync_by_itself(&scope, &name).await {
            Ok(()) | Err(IngestError::Catalog(CatalogError::TenantGone { .. })) => {}
            Err(error) => {
                tracing::error!(%tenant, source = %name, %error, "a sync that was due could not be asked for")
            }
        }
        Ok(true)
    }

    async fn sync_by_itself(&self, scope: &Scope, name: &SourceName) -> Result<(), IngestError> {
        let Some(row) = self.0.catalog.source(scope, name).await? else { return Ok(()) };
        let schedule = row.description.schedule.as_deref().map(Schedule::read).transpose()?;
        let is_active = row.description.state == SourceState::Active;
        let next = match schedule.filter(|_| is_active) {
            Some(schedule) => Some(schedule.after(clock::now())?),
            None => None,
        };
        if next.is_some() {
            match self.request_sync(scope, name, false, Draft::of_service("source.sync.request")).await {
                // One waits or runs, or is held until somebody decides.
                Err(error) if is_conflict(&error) => {}
                asked => {
                    asked?;
                }
            }
        }
        Ok(self.0.catalog.schedule_source(scope, name, next).await?)
    }

    /// Watches the scheduled sources that can say when something changed, until `stop`.
    pub async fn run_watching(&self, stop: CancellationToken) {
        let mut watched: HashMap<(TenantId, SourceName), (String, CancellationToken)> = HashMap::new();
        loop {
            match self.0.catalog.scheduled_sources(WATCHED_MAX).await {
                Ok(listed) => self.watch_these(&mut watched, listed, &stop).await,
                Err(error) => tracing::warn!(%error, "the list of watched sources cannot be read for now"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = clock::pause(LIST_AGAIN) => {}
            }
        }
    }

    async fn watch_these(
        &self,
        watched: &mut HashMap<(TenantId, SourceName), (String, CancellationToken)>,
        listed: Vec<(TenantId, SourceName)>,
        stop: &CancellationToken,
    ) {
        let there: HashSet<&(TenantId, SourceName)> = listed.iter().collect();
        watched.retain(|of, (_, end)| {
            let stays = there.contains(of);
            if !stays {
                end.cancel();
            }
            stays
        });
        for of in listed {
            let scope = Scope::service(&of.0);
            let Ok(Some(row)) = self.0.catalog.source(&scope, &of.1).await else { continue };
            let spec = row.description.spec.clone();
            if watched.get(&of).is_some_and(|(known, end)| *known == spec && !end.is_cancelled()) {
                continue;
            }
            let Ok(source) = self.open_source(&scope, &row) else { continue };
            if let Some((_, end)) = watched.remove(&of) {
                end.cancel();
            }
            let end = stop.child_token();
            if let Some(changes) = source.changes() {
                let (ingest, name, end) = (self.clone(), of.1.clone(), end.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = end.cancelled() => {}
                        () = ingest.watch(&scope, &name, changes) => end.cancel(),
                    }
                });
            }
            watched.insert(of, (spec, end));
        }
    }

    async fn watch(&self, scope: &Scope, name: &SourceName, mut changes: futures::stream::BoxStream<'static, ()>) {
        while changes.next().await.is_some() {
            let most = clock::pause(QUIET_MAX);
            tokio::pin!(most);
            loop {
                tokio::select! {
                    () = &mut most => break,
                    () = clock::pause(QUIET) => break,
                    more = changes.next() => if more.is_none() { break },
                }
            }
            for _ in 0..TRIES {
                match self.request_sync(scope, name, false, Draft::of_service("source.sync.request")).await {
                    Err(error) if is_conflict(&error) => clock::pause(QUIET).await,
                    Err(error) => {
                        tracing::warn!(tenant = %scope.tenant(), source = %name, %error, "a change was seen and cannot be synced now");
                        break;
                    }
                    Ok(_) => break,
                }
            }
        }
    }
}
