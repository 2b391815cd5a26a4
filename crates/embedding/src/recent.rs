//! Vectors of queries that were asked a short while ago, each tenant's own.
//!
//! Promises: what one tenant asked makes no difference to another, not even in time; nothing holds a query's text; the
//! number of vectors has a bound. Does not: keep vectors of documents, which the catalog has.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use catena_domain::TenantId;
use lru::LruCache;

use crate::answer::QueryVector;

/// Tenants that are remembered.
const TENANTS: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// Queries of one tenant that are remembered.
const QUERIES: NonZeroUsize = NonZeroUsize::new(64).unwrap();

type Digest = [u8; 32];

pub(crate) struct Recent {
    tenants: Mutex<LruCache<TenantId, LruCache<Digest, QueryVector>>>,
}

impl Recent {
    pub(crate) fn new() -> Self {
        Self { tenants: Mutex::new(LruCache::new(TENANTS)) }
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<TenantId, LruCache<Digest, QueryVector>>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, tenant: &TenantId, query: &str) -> Option<QueryVector> {
        self.lock().get_mut(tenant)?.get(blake3::hash(query.as_bytes()).as_bytes()).cloned()
    }

    pub(crate) fn put(&self, tenant: &TenantId, query: &str, vector: QueryVector) {
        let mut tenants = self.lock();
        let queries = tenants.get_or_insert_mut(tenant.clone(), || LruCache::new(QUERIES));
        queries.put(*blake3::hash(query.as_bytes()).as_bytes(), vector);
    }

    pub(crate) fn forget(&self, tenant: &TenantId) {
        self.lock().pop(tenant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    fn vector(value: f32) -> QueryVector {
        QueryVector { values: vec![value], truncated_tokens: 0 }
    }

    #[test]
    fn a_tenant_finds_what_it_asked_and_nothing_of_another() {
        let recent = Recent::new();
        recent.put(&tenant("a"), "q", vector(1.0));
        assert_eq!(recent.get(&tenant("a"), "q"), Some(vector(1.0)));
        assert_eq!(recent.get(&tenant("a"), "other"), None);
        assert_eq!(recent.get(&tenant("b"), "q"), None);
        recent.forget(&tenant("a"));
        assert_eq!(recent.get(&tenant("a"), "q"), None);
    }

    #[test]
    fn many_queries_of_one_tenant_push_out_its_own_and_no_others() {
        let recent = Recent::new();
        recent.put(&tenant("quiet"), "q", vector(1.0));
        for number in 0..1_000 {
            recent.put(&tenant("loud"), &number.to_string(), vector(0.0));
        }
        assert_eq!(recent.get(&tenant("quiet"), "q"), Some(vector(1.0)));
        assert_eq!(recent.get(&tenant("loud"), "0"), None);
        assert_eq!(recent.lock().get(&tenant("loud")).map(LruCache::len), Some(QUERIES.get()));
    }
}
