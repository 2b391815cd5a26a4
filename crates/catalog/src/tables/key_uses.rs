//! When keys were used last.
//!
//! Promises: to note a use never waits for the database, and can neither fail nor delay a request; a key's row is written
//! at most once in [`EVERY`]; what is remembered until then is bounded. Does not: survive a kill, or write leaves: every
//! request of a key has its own in the record, and this is only for those who look after keys.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use catena_access::Credential;
use catena_domain::{KeyId, TenantId, Timestamp};
use catena_runtime::clock;

use crate::Catalog;
use crate::error::Result;
use crate::store::{Batching, Reach, Store, in_task, sql};

/// How often uses are written down.
const EVERY: Duration = Duration::from_secs(60);
/// Most keys whose uses are remembered at once; those beyond are forgotten until the next time.
const KEYS_MAX: usize = 16_384;
/// Most keys of one transaction, so that others who write do not wait for long.
const BATCH_MAX: usize = 256;

/// Uses that are not written down yet. Cloning gives another handle to the same ones.
#[derive(Clone)]
pub(crate) struct KeyUses(Arc<Inner>);

struct Inner {
    store: Store,
    noted: Mutex<HashMap<KeyId, Use>>,
}

/// The last use of a key.
#[derive(Clone)]
struct Use {
    tenant: TenantId,
    at: Timestamp,
}

impl KeyUses {
    /// Writes down what was noted, now and then, until the last handle is gone.
    pub(crate) fn start(store: Store) -> Self {
        let uses = Self(Arc::new(Inner { store, noted: Mutex::default() }));
        let held = Arc::downgrade(&uses.0);
        tokio::spawn(async move {
            loop {
                clock::pause(EVERY).await;
                let Some(inner) = held.upgrade() else { return };
                Self(inner).write_down().await;
            }
        });
        uses
    }

    fn note(&self, tenant: &TenantId, key: &KeyId, at: Timestamp) {
        let mut noted = self.noted();
        if let Some(known) = noted.get_mut(key) {
            known.at = known.at.max(at);
        } else if noted.len() < KEYS_MAX {
            noted.insert(key.clone(), Use { tenant: tenant.clone(), at });
        }
    }

    /// The last use that was noted and not written down yet.
    pub(crate) fn last(&self, key: &KeyId) -> Option<Timestamp> {
        self.noted().get(key).map(|known| known.at)
    }

    /// Writes down what was noted so far. What cannot be written is forgotten.
    pub(crate) async fn write_down(&self) {
        let noted = std::mem::take(&mut *self.noted());
        let mut of: BTreeMap<Option<TenantId>, Vec<(KeyId, Use)>> = BTreeMap::new();
        for (key, used) in noted {
            let together = match self.0.store.batching() {
                Batching::AcrossTenants => None,
                Batching::PerTenant => Some(used.tenant.clone()),
            };
            of.entry(together).or_default().push((key, used));
        }
        for (tenant, uses) in of {
            for batch in uses.chunks(BATCH_MAX) {
                let work = write(self.0.store.clone(), tenant.clone(), batch.to_vec());
                if let Err(error) = in_task(work).await {
                    tracing::debug!(%error, "the last use of some keys was not written down");
                }
            }
        }
    }

    fn noted(&self) -> MutexGuard<'_, HashMap<KeyId, Use>> {
        self.0.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write(store: Store, tenant: Option<TenantId>, uses: Vec<(KeyId, Use)>) -> Result<()> {
    let mut tx = store.write(tenant.as_ref().map_or(Reach::Installation, Reach::Tenant)).await?;
    for (key, Use { tenant, at }) in uses {
        sql("UPDATE api_keys SET last_used_at = $3
             WHERE tenant = $1 AND key = $2 AND (last_used_at IS NULL OR last_used_at < $3)")
        .bind(tenant.as_str())
        .bind(key.as_str())
        .bind(at.0)
        .execute(tx.connection())
        .await?;
    }
    tx.commit().await
}

impl Catalog {
    /// Notes that a key opened something just now. Never waits and never fails.
    pub fn key_was_used(&self, credential: &Credential) {
        if let Some(tenant) = &credential.tenant {
            self.key_uses.note(tenant, &credential.key, clock::now());
        }
    }
}
