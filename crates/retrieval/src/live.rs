//! Each tenant's live table, kept up to date from the catalog: only what changed since the last query is read.
//!
//! Tables are kept by tenant and generation, whose ids are never used twice.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use catena_access::Scope;
use catena_catalog::{Catalog, CatalogError};
use catena_domain::{GenerationId, Seq, TenantId};
use catena_index::LiveTable;
use lru::LruCache;

type Key = (TenantId, GenerationId);

pub(crate) struct LiveTables(Mutex<LruCache<Key, Arc<LiveTable>>>);

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
        let key = (scope.tenant().clone(), generation.clone());
        let held = self.held(&key);
        let since = held.as_ref().map_or(Seq(0), |table| table.seq());
        let changes = catalog.live_changes(scope, since).await?;
        if let Some(table) = held.as_ref().filter(|table| table.seq() == changes.seq) {
            return Ok(Arc::clone(table));
        }
        let base = held.unwrap_or_else(|| Arc::new(LiveTable::empty()));
        let table = Arc::new(base.after(changes));
        self.keep(key, &table);
        Ok(table)
    }

    /// Forgets a tenant's tables.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let keys: Vec<Key> = tables.iter().map(|(key, _)| key).filter(|(of, _)| of == tenant).cloned().collect();
        for key in keys {
            tables.pop(&key);
        }
    }

    fn held(&self, key: &Key) -> Option<Arc<LiveTable>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Keeps the newer of two tables that were read at the same time.
    fn keep(&self, key: Key, table: &Arc<LiveTable>) {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tables.peek(&key).is_none_or(|held| held.seq() < table.seq()) {
            tables.put(key, Arc::clone(table));
        }
    }
}
