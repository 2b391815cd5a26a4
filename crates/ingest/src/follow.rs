//! What other processes write becomes searchable here.
//!
//! Promises: a write of a worker beside the service is found by a search within about a second; looking costs one row of
//! the catalog as long as nobody writes. Does not: look where no other process can write, or open what nobody wrote to.

use std::collections::HashMap;
use std::time::Duration;

use catena_catalog::LiveIndex;
use catena_domain::{Seq, TenantId};
use catena_runtime::clock;
use tokio_util::sync::CancellationToken;

use crate::{Ingest, IngestError};

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(500);

/// How far tenants were when it was looked last.
#[derive(Default)]
struct Seen {
    sum: u64,
    seqs: HashMap<TenantId, Seq>,
}

impl Ingest {
    /// Publishes what other processes write, until `stop`.
    pub async fn follow_other_writers(&self, stop: CancellationToken) {
        if !self.0.catalog.may_have_other_writers() {
            return;
        }
        let mut seen = None;
        while !stop.is_cancelled() {
            if let Err(error) = self.look(&mut seen).await {
                tracing::warn!(%error, kind = error.kind().as_str(), "other processes' writes cannot be looked for just now");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = clock::pause(LOOK) => {}
            }
        }
    }

    async fn look(&self, seen: &mut Option<Seen>) -> Result<(), IngestError> {
        let catalog = &self.0.catalog;
        let sum = catalog.seq_sum().await?;
        let Some(seen) = seen else {
            let seqs = catalog.seqs().await?.into_iter().collect();
            // What was written between the start and now.
            for LiveIndex { tenant, .. } in self.unsettled(catalog.live_indexes().await?).await? {
                self.publish_soon(&tenant).await;
            }
            *seen = Some(Seen { sum, seqs });
            return Ok(());
        };
        if sum == seen.sum {
            return Ok(());
        }
        for (tenant, seq) in catalog.seqs().await? {
            if seen.seqs.get(&tenant) != Some(&seq) {
                self.publish_soon(&tenant).await;
                seen.seqs.insert(tenant, seq);
            }
        }
        seen.sum = sum;
        Ok(())
    }
}
