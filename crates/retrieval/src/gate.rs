//! The third stage: every passage is decided on again, from the catalog's rows as they are now.
//!
//! Promises: text comes into the query here and nowhere else, and only with the decision that let it in. What the index
//! took for visible and the catalog refuses is dropped, counted and recorded. Does not: trust the pre-filter.

use catena_access::Scope;
use catena_catalog::{Catalog, CatalogError, PassageKey, StoredPassage};

use crate::fuse::{Fused, Ranked};
use crate::view::View;

/// A passage that the principal may see at this moment.
#[derive(Debug, Clone)]
pub struct Passage {
    /// Its place.
    pub rank: Ranked,
    /// Its text and where it comes from.
    pub stored: StoredPassage,
}

/// Passages that passed the gate, in their order.
#[derive(Debug, Clone)]
pub struct Admitted {
    pub(crate) list: Vec<Passage>,
    pub(crate) dropped: usize,
    pub(crate) degraded: Vec<String>,
}

impl Admitted {
    pub(crate) async fn through(
        catalog: &Catalog,
        scope: &Scope,
        view: &View,
        fused: Fused,
    ) -> Result<Self, CatalogError> {
        let keys: Vec<PassageKey> = fused
            .list
            .iter()
            .map(|ranked| PassageKey { doc: ranked.key.doc, version: ranked.key.version, chunk: ranked.key.chunk })
            .collect();
        let stored = catalog.passages(scope, &view.recipe, &keys).await?;
        let asked = keys.len();
        let list: Vec<Passage> = fused
            .list
            .into_iter()
            .zip(stored)
            .filter_map(|(rank, stored)| Some(Passage { rank, stored: stored? }))
            .collect();
        let dropped = asked - list.len();
        if dropped > 0 {
            // A write between the view and the gate does this too; a count that keeps rising does not.
            metrics::counter!("catena_gate_dropped_total").increment(dropped as u64);
            tracing::info!(tenant = %scope.tenant(), dropped, "the gate dropped passages that the index took for visible");
        }
        Ok(Self { list, dropped, degraded: fused.degraded })
    }
}
