//! Purging: a deleted document leaves the catalog and every file of the index.
//!
//! Promises: one tenant's purges after another's, each in bounded steps; what was cut off is taken up again by the next
//! round of housekeeping, from the list that the catalog keeps; a purge is off that list only when no segment, no
//! generation that was put aside and no page of the embedded database holds anything of it. Does not: reach backups, or
//! what PostgreSQL and file systems keep of deleted rows and files below us.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use catena_access::Scope;
use catena_audit::Draft;
use catena_catalog::{
    CatalogError, Changed, Deed, Expect, GenerationRow, GenerationState, PendingPurge, PurgeStep, Written,
};
use catena_domain::{DocNo, DocumentId, TenantId, Timestamp, VersionNo};
use catena_index::IndexError;
use catena_runtime::clock;
use tokio_util::sync::CancellationToken;

use crate::publish::{merge, open};
use crate::{Ingest, IngestError, Shared};

/// How long housekeeping rests between two rounds.
const REST: Duration = Duration::from_secs(600);
/// Documents of one tenant that one round begins to purge because their time is over.
const OVERDUE_PER_ROUND: usize = 100;

/// How long whoever purges waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thoroughness {
    /// Until the purge is durably begun. It is finished soon after.
    Begun,
    /// Until nothing is left.
    Done,
}

/// What a purge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    /// The write that began it.
    pub changed: Changed,
    /// Whether nothing is left of the document.
    pub is_done: bool,
}

impl Ingest {
    /// Purges a deleted document; `None` when there is none, or nothing of it any more. When this returns, the purge is
    /// durably begun and nothing of the document can be read or restored.
    pub async fn purge(
        &self,
        scope: &Scope,
        id: &DocumentId,
        expect: Expect,
        thoroughness: Thoroughness,
        deed: Deed<Changed>,
    ) -> Result<Option<Written<Purged>>, IngestError> {
        let Some(written) = self.0.catalog.purge_document(scope, id, expect, deed).await? else { return Ok(None) };
        let erasing = tokio::spawn({
            let (ingest, tenant) = (self.clone(), scope.tenant().clone());
            async move { ingest.erase_or_say_so(&tenant).await }
        });
        let is_done = match thoroughness {
            Thoroughness::Begun => false,
            Thoroughness::Done => erasing.await.unwrap_or(false),
        };
        Ok(Some(Written { value: Purged { changed: written.value, is_done }, leaf: written.leaf }))
    }

    /// Finishes the tenant's purges that were begun; whether none is left. A dropped caller does not stop it.
    pub async fn erase(&self, tenant: &TenantId) -> bool {
        let (ingest, tenant) = (self.clone(), tenant.clone());
        tokio::spawn(async move { ingest.erase_or_say_so(&tenant).await }).await.unwrap_or(false)
    }

    /// Runs housekeeping until `stop`: purges that are not finished, documents deleted longer ago than `purge_after`,
    /// and answers that have been kept long enough.
    pub async fn keep_house(&self, purge_after: Option<Duration>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.keep_house_once(purge_after) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = clock::pause(REST) => {}
            }
        }
    }

    /// One round of housekeeping. What fails for a tenant is logged and left to the next round.
    pub async fn keep_house_once(&self, purge_after: Option<Duration>) {
        let tenants = match self.0.catalog.all_tenants().await {
            Ok(tenants) => tenants,
            Err(error) => {
                tracing::error!(%error, kind = error.kind().as_str(), "housekeeping cannot list the tenants");
                return;
            }
        };
        for tenant in tenants {
            if let Err(error) = self.keep_house_of(&tenant, purge_after).await {
                tracing::error!(%tenant, %error, kind = error.kind().as_str(), "housekeeping failed; the next round tries again");
            }
        }
    }

    async fn keep_house_of(&self, tenant: &TenantId, purge_after: Option<Duration>) -> Result<(), IngestError> {
        let (catalog, scope) = (&self.0.catalog, Scope::service(tenant));
        while catalog.sweep_answers(&scope).await? {}
        catalog.sweep_job_items(&scope).await?;
        if let Some(after) = purge_after {
            let micros = i64::try_from(after.as_micros()).unwrap_or(i64::MAX);
            let before = Timestamp(clock::now().0.saturating_sub(micros));
            for id in catalog.deleted_before(&scope, before, OVERDUE_PER_ROUND).await? {
                match catalog.purge_document(&scope, &id, Expect::Any, Draft::of_service("document.purge")).await {
                    // Somebody has written it anew meanwhile.
                    Ok(_) | Err(CatalogError::Conflict { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        if !catalog.pending_purges(&scope).await?.is_empty() {
            self.erase(tenant).await;
        }
        Ok(())
    }

    async fn erase_or_say_so(&self, tenant: &TenantId) -> bool {
        let _turn = self.0.erasing.lock().await;
        match self.erase_pending(tenant).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%tenant, %error, kind = error.kind().as_str(), "a purge is not finished; it is tried again");
                false
            }
        }
    }

    async fn erase_pending(&self, tenant: &TenantId) -> Result<(), IngestError> {
        let (catalog, scope) = (&self.0.catalog, Scope::service(tenant));
        loop {
            let pending = catalog.pending_purges(&scope).await?;
            if pending.is_empty() {
                return Ok(());
            }
            for &purge in &pending {
                while catalog.purge_step(&scope, purge).await? == PurgeStep::More {}
            }
            self.erase_from_index(&scope, &pending).await?;
            catalog.forget_earlier_pages().await?;
            for purge in pending {
                catalog.finish_purge(&scope, purge).await?;
            }
        }
    }

    /// Writes every segment anew that holds a row of these documents, and removes what no search uses. Nothing is
    /// published meanwhile: rows that were read before the deletion would come back.
    async fn erase_from_index(&self, scope: &Scope, pending: &[PendingPurge]) -> Result<(), IngestError> {
        let gone: BTreeMap<DocNo, VersionNo> = pending.iter().map(|purge| (purge.doc, purge.upto)).collect();
        let publisher = self.publisher(scope.tenant()).await;
        let _turn = publisher.turn.lock().await;
        let shared = &self.0;
        let known = shared.catalog.generations(scope).await?;
        let (index, owner) = (Arc::clone(&shared.index), scope.clone());
        for id in shared.compute.run(move || index.generations_on_disk(&owner)).await?? {
            match known.iter().find(|row| row.id == id && row.state != GenerationState::Retired) {
                Some(row) => erase_from_generation(shared, scope, row, &gone).await?,
                None => {
                    let (index, owner) = (Arc::clone(&shared.index), scope.clone());
                    shared.compute.run(move || index.discard(&owner, &id)).await??;
                }
            }
        }
        let (index, owner) = (Arc::clone(&shared.index), scope.clone());
        shared.compute.run(move || index.discard_aside(&owner)).await??;
        Ok(())
    }
}

async fn erase_from_generation(
    shared: &Arc<Shared>,
    scope: &Scope,
    row: &GenerationRow,
    gone: &BTreeMap<DocNo, VersionNo>,
) -> Result<(), IngestError> {
    let generation = open(shared, scope, row).await?;
    while let Some(plan) = generation.erasure_plan(gone) {
        match merge(shared, &generation, plan).await {
            // A merge that was under way has replaced the segment; the next plan looks into the new one.
            Err(IngestError::Index(IndexError::StalePlan { .. })) => {}
            merged => merged?,
        }
    }
    Ok(())
}
