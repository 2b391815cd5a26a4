//! Removing tenants: the catalog's rows, the index's files and what sources left on the disk, in small steps.
//!
//! Promises: a removal that was begun is ended, after a stop or a kill by the next start; nothing that was on its way
//! builds again what was removed. Does not: decide that a tenant goes, which is the catalog's mark.

use std::sync::Arc;
use std::time::Duration;

use catena_access::Scope;
use catena_audit::Draft;
use catena_catalog::Removal;
use catena_domain::TenantId;
use catena_runtime::clock;
use tokio_util::sync::CancellationToken;

use crate::{Ingest, IngestError};

/// How often the catalog is asked for removals that nobody announced, and how long a failed one waits.
const POLL: Duration = Duration::from_secs(5);

impl Ingest {
    /// Says that a removal waits.
    pub fn announce_removal(&self) {
        self.0.removals_waiting.notify_one();
    }

    /// Removes tenants that are marked, one after the other, until `stop`; `removed` is told of each.
    pub async fn run_removals(&self, stop: CancellationToken, removed: impl Fn(&TenantId)) {
        loop {
            match self.0.catalog.tenants_to_remove().await {
                Ok(tenants) => {
                    for tenant in tenants {
                        match self.remove_tenant(&tenant, &stop).await {
                            Ok(()) => removed(&tenant),
                            Err(error) => tracing::error!(%tenant, %error, kind = error.kind().as_str(),
                                "a tenant's removal broke off; it goes on in a moment"),
                        }
                        if stop.is_cancelled() {
                            return;
                        }
                    }
                }
                Err(error) => tracing::error!(%error, kind = error.kind().as_str(), "removals cannot be looked up"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.removals_waiting.notified() => {}
                () = clock::pause(POLL) => {}
            }
        }
    }

    /// Removes one tenant that is marked, as far as `stop` lets it.
    async fn remove_tenant(&self, tenant: &TenantId, stop: &CancellationToken) -> Result<(), IngestError> {
        let publisher = self.publisher(tenant).await;
        let _no_job = publisher.jobs.write().await;
        {
            let _turn = publisher.turn.lock().await;
            self.discard_index(tenant).await?;
        }
        while self.0.catalog.remove_some(tenant).await? == Removal::More {
            if stop.is_cancelled() {
                return Err(IngestError::Stopping);
            }
        }
        // A publication that had looked up its generation before the rows went may have begun the index anew.
        let _turn = publisher.turn.lock().await;
        self.discard_index(tenant).await?;
        self.forget_sources_of(tenant).await?;
        self.0.catalog.finish_removal(tenant, Draft::of_service("tenant.removed")).await?;
        self.0.publishers.lock().await.remove(tenant);
        tracing::info!(%tenant, "a tenant was removed");
        Ok(())
    }

    async fn discard_index(&self, tenant: &TenantId) -> Result<(), IngestError> {
        let (index, scope) = (Arc::clone(&self.0.index), Scope::service(tenant));
        Ok(self.0.compute.run(move || index.discard_all(&scope)).await??)
    }
}
