//! Each tenant's live table, kept up to date from the catalog: only what changed since the last query is read.
//!
//! Tables are kept by generation, whose ids are never used twice: a tenant that is made anew under an old name finds
//! nothing of its predecessor.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use catena_access::Scope;
use catena_catalog::{Catalog, CatalogError};
use catena_domain::{GenerationId, Seq};
use catena_index::LiveTable;
use lru::LruCache;

pub(crate) struct LiveTables(Mutex<LruCache<GenerationId, Arc<LiveTable>>>);

impl LiveTables {
    pub(crate) fn new(generations_max: NonZeroUsize) -> Self {
        Self(Mutex::new(LruCache::new(generations_max)))
    }

    /// The table as the catalog has it now.
    pub(crate) async fn current(
        &self,
        catalog: &Catalog,
        scope: &Scope,
        generation: &GenerationId,
    ) -> Result<Arc<LiveTable>, CatalogError> {
        let held = self.held(generation);
        let since = held.as_ref().map_or(Seq(0), |table| table.seq());
        let changes = catalog.live_changes(scope, since).await?;
        if let Some(table) = held.as_ref().filter(|table| table.seq() == changes.seq) {
            return Ok(Arc::clone(table));
        }
        let base = held.unwrap_or_else(|| Arc::new(LiveTable::empty()));
        let table = Arc::new(base.after(changes));
        self.keep(generation, &table);
        Ok(table)
    }

    fn held(&self, generation: &GenerationId) -> Option<Arc<LiveTable>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(generation).cloned()
    }

    /// Keeps the newer of two tables that were read at the same time.
    fn keep(&self, generation: &GenerationId, table: &Arc<LiveTable>) {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tables.peek(generation).is_none_or(|held| held.seq() < table.seq()) {
            tables.put(generation.clone(), Arc::clone(table));
        }
    }
}
