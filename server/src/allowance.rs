//! How much each tenant may ask for at a time: its rates, and its requests at work at once.
//!
//! Promises: one tenant's requests count against its own quotas and nobody else's; a changed quota holds from the next
//! request on; what is kept of a tenant goes when its tenant is at rest. Does not: survive a restart, which fills every
//! measure, or bound what a tenant holds, which the catalog does with each write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use catena_catalog::{Exceeded, Quota, Quotas};
use catena_domain::TenantId;
use catena_runtime::bucket::{Bucket, Outcome, Taken};
use catena_runtime::clock::Stopwatch;

const MINUTE: Duration = Duration::from_secs(60);

/// What is measured by the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rate {
    /// Writes of documents and of their access lists.
    Writes,
    /// Searches and contexts.
    Queries,
}

impl Rate {
    fn quota(self) -> Quota {
        match self {
            Self::Writes => Quota::WritesPerMinute,
            Self::Queries => Quota::QueriesPerMinute,
        }
    }
}

/// One request held against a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Measured {
    quota: Quota,
    limit: u64,
    taken: Taken,
}

impl Measured {
    /// The field `RateLimit-Policy`: so many in so many seconds.
    pub(crate) fn policy(&self) -> String {
        format!("\"{}\";q={};w={}", self.quota, self.limit, MINUTE.as_secs())
    }

    /// The field `RateLimit`: how many are left, and in how many seconds there is one more.
    pub(crate) fn state(&self) -> String {
        format!("\"{}\";r={};t={}", self.quota, self.taken.left, self.next_in_s())
    }

    /// What was exceeded, if it was.
    pub(crate) fn exceeded(&self) -> Option<Exceeded> {
        let retry_after_s = Some(self.next_in_s());
        let Self { quota, limit, taken } = *self;
        let refused = taken.outcome == Outcome::Refused;
        refused.then_some(Exceeded { quota, limit, used: limit, wanted: 1, retry_after_s })
    }

    /// Whole seconds until there is one more, and not one too few.
    fn next_in_s(&self) -> u32 {
        u32::try_from(self.taken.next_in.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX)
    }
}

/// What is kept of one tenant.
#[derive(Debug, Default)]
struct Meters {
    writes: Option<Bucket>,
    queries: Option<Bucket>,
    at_work: u64,
}

impl Meters {
    fn bucket(&mut self, rate: Rate) -> &mut Option<Bucket> {
        match rate {
            Rate::Writes => &mut self.writes,
            Rate::Queries => &mut self.queries,
        }
    }

    /// Whether nothing is lost when it is forgotten.
    fn is_at_rest(&self, now: Duration) -> bool {
        self.at_work == 0 && [self.writes, self.queries].iter().flatten().all(|bucket| bucket.is_full(now))
    }
}

/// Every tenant's measures. Cloning gives another handle to the same ones.
#[derive(Debug, Clone)]
pub(crate) struct Allowances {
    tenants: Arc<Mutex<HashMap<TenantId, Meters>>>,
    since: Stopwatch,
}

/// A request at work. Dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct Place {
    allowances: Allowances,
    tenant: TenantId,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(meters) = self.allowances.tenants().get_mut(&self.tenant) {
            meters.at_work = meters.at_work.saturating_sub(1);
        }
    }
}

impl Allowances {
    pub(crate) fn new() -> Self {
        Self { tenants: Arc::default(), since: Stopwatch::start() }
    }

    /// Lets a request of the tenant begin its work, if it may. A tenant without a bound has no place to give back.
    pub(crate) fn enter(&self, tenant: &TenantId, quotas: &Quotas) -> Result<Option<Place>, Exceeded> {
        let quota = Quota::Concurrency;
        let Some(limit) = quotas.limit(quota) else { return Ok(None) };
        let mut tenants = self.tenants();
        let meters = tenants.entry(tenant.clone()).or_default();
        if meters.at_work >= limit {
            return Err(Exceeded { quota, limit, used: meters.at_work, wanted: 1, retry_after_s: Some(1) });
        }
        meters.at_work += 1;
        Ok(Some(Place { allowances: self.clone(), tenant: tenant.clone() }))
    }

    /// Holds a request against a rate of the tenant; `None` when it has no such quota.
    pub(crate) fn take(&self, tenant: &TenantId, quotas: &Quotas, rate: Rate) -> Option<Measured> {
        self.take_at(self.since.elapsed(), tenant, quotas, rate)
    }

    fn take_at(&self, now: Duration, tenant: &TenantId, quotas: &Quotas, rate: Rate) -> Option<Measured> {
        let quota = rate.quota();
        let limit = quotas.limit(quota)?;
        let mut tenants = self.tenants();
        let bucket = tenants.entry(tenant.clone()).or_default().bucket(rate);
        // Another limit is another measure.
        let mut measure = bucket.filter(|bucket| bucket.size() == limit).unwrap_or_else(|| Bucket::new(limit, MINUTE));
        let taken = measure.take(now);
        *bucket = Some(measure);
        Some(Measured { quota, limit, taken })
    }

    /// Forgets tenants that are at rest.
    pub(crate) fn forget_idle(&self) {
        self.forget_idle_at(self.since.elapsed());
    }

    fn forget_idle_at(&self, now: Duration) {
        let mut tenants = self.tenants();
        tenants.retain(|_, meters| !meters.is_at_rest(now));
        tenants.shrink_to_fit();
    }

    fn tenants(&self) -> MutexGuard<'_, HashMap<TenantId, Meters>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(id: &str) -> TenantId {
        TenantId::new(id).unwrap()
    }

    fn quotas(text: &str) -> Quotas {
        serde_json::from_str(text).unwrap()
    }

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn one_tenants_exhaustion_is_nobody_elses() {
        let (allowances, three) = (Allowances::new(), quotas(r#"{"queries_per_minute":3,"concurrency":1}"#));
        let (acme, globex) = (tenant("acme"), tenant("globex"));
        let take = |tenant: &TenantId| allowances.take_at(at(0.0), tenant, &three, Rate::Queries).unwrap();
        let told: Vec<String> = (0..3).map(|_| take(&acme).state()).collect();
        let expected = [2, 1, 0].map(|left| format!("\"queries_per_minute\";r={left};t=20"));
        assert_eq!(told, expected);
        assert_eq!(take(&acme).policy(), "\"queries_per_minute\";q=3;w=60");
        assert_eq!(take(&acme).exceeded().unwrap().retry_after_s, Some(20));
        assert_eq!(take(&globex).exceeded(), None);
        assert_eq!(
            allowances.take_at(at(0.0), &acme, &three, Rate::Writes),
            None,
            "a rate without a quota is measured"
        );
        let place = allowances.enter(&acme, &three).unwrap();
        assert_eq!(allowances.enter(&acme, &three).unwrap_err().quota, Quota::Concurrency);
        assert!(allowances.enter(&globex, &three).is_ok());
        drop(place);
        assert!(allowances.enter(&acme, &three).is_ok());
    }

    #[test]
    fn a_changed_limit_holds_from_the_next_request_on() {
        let (allowances, acme) = (Allowances::new(), tenant("acme"));
        let take = |text: &str| allowances.take_at(at(0.0), &acme, &quotas(text), Rate::Writes);
        assert_eq!(take(r#"{"writes_per_minute":1}"#).unwrap().exceeded(), None);
        assert!(take(r#"{"writes_per_minute":1}"#).unwrap().exceeded().is_some());
        assert_eq!(take(r#"{"writes_per_minute":2}"#).unwrap().exceeded(), None);
        assert_eq!(take("{}"), None);
    }

    #[test]
    fn nothing_is_kept_of_tenants_at_rest() {
        let (allowances, both) = (Allowances::new(), quotas(r#"{"writes_per_minute":60,"concurrency":5}"#));
        for number in 0..1_000 {
            allowances.take_at(at(0.0), &tenant(&format!("t{number}")), &both, Rate::Writes);
        }
        let busy = tenant("busy");
        let place = allowances.enter(&busy, &both).unwrap();
        allowances.forget_idle_at(at(0.5));
        assert_eq!(allowances.tenants().len(), 1_001);
        allowances.forget_idle_at(at(1.1));
        assert_eq!(allowances.tenants().keys().collect::<Vec<_>>(), [&busy]);
        drop(place);
        allowances.forget_idle_at(at(1.1));
        assert!(allowances.tenants().is_empty() && allowances.tenants().capacity() < 100);
    }
}
