//! API keys. What is stored of one is its hash.

use catena_access::{Credential, KeyHash, Right, Scope};
use catena_audit::{Draft, Object};
use catena_domain::{KeyId, limits};
use catena_runtime::clock;

use crate::Catalog;
use crate::error::{CatalogError, Result};
use crate::model::{KeyRow, NewKey, StoredKey, Written};
use crate::store::{Reach, Row, in_task, sql};
use crate::tables::codec::names_json;
use crate::tables::{chain, tenants::check_name};

/// Most keys of a tenant that are not revoked.
pub(crate) const KEYS_MAX: u64 = 1_000;

impl Catalog {
    /// Stores a new key of the tenant.
    pub async fn create_key(&self, scope: &Scope, key: NewKey, mut draft: Draft) -> Result<Written<KeyRow>> {
        check(&key)?;
        let (store, tenant) = (self.store.clone(), scope.tenant().clone());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            let count = sql("SELECT count(*) AS count FROM api_keys WHERE tenant = $1 AND revoked_at IS NULL")
                .bind(tenant.as_str())
                .fetch_one(tx.connection())
                .await?;
            if count.u64("count")? >= KEYS_MAX {
                let reason = "has 1000 keys, and that is the limit; revoke those that are not used";
                return Err(CatalogError::Conflict { what: format!("tenant {tenant}"), reason });
            }
            let row = sql("INSERT INTO api_keys (key, tenant, hash, name, rights, user_name, groups, created_at)
                 SELECT $2, tenant, $3, $4, $5, $6, $7, $8 FROM tenants WHERE tenant = $1
                 ON CONFLICT (key) DO NOTHING
                 RETURNING key, name, rights, user_name, groups, created_at")
            .bind(tenant.as_str())
            .bind(key.key.as_str())
            .bind(key.hash.as_bytes().to_vec())
            .bind(key.name.as_str())
            .bind(key.rights.to_string())
            .bind(key.user.as_ref().map(|user| user.as_str()))
            .bind(names_json(&key.groups))
            .bind(clock::now().0)
            .fetch_optional(tx.connection())
            .await?;
            draft.objects.push(Object::new("key", key.key.as_str()));
            // The leaf goes first: when the tenant is gone, it says so; else the id was taken.
            let leaf = chain::append(tx.connection(), &tenant, &draft).await?;
            let row = row
                .ok_or_else(|| CatalogError::Conflict { what: format!("key {}", key.key), reason: "exists already" })?;
            let value = row_of(&row)?;
            tx.commit().await?;
            Ok(Written { value, leaf })
        })
        .await
    }

    /// The tenant's keys that are not revoked, the oldest first.
    pub async fn keys(&self, scope: &Scope) -> Result<Vec<KeyRow>> {
        let mut tx = self.store.read(scope).await?;
        let rows = sql("SELECT key, name, rights, user_name, groups, created_at FROM api_keys
             WHERE tenant = $1 AND revoked_at IS NULL ORDER BY created_at, key")
        .bind(scope.tenant().as_str())
        .fetch_all(&mut tx)
        .await?;
        rows.iter().map(row_of).collect()
    }

    /// Revokes a key of the tenant; `None` when there is no such key, or not any more.
    pub async fn revoke_key(&self, scope: &Scope, key: &KeyId, mut draft: Draft) -> Result<Option<Written<()>>> {
        let (store, tenant, key) = (self.store.clone(), scope.tenant().clone(), key.clone());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            let done = sql("UPDATE api_keys SET revoked_at = $3 WHERE tenant = $1 AND key = $2 AND revoked_at IS NULL")
                .bind(tenant.as_str())
                .bind(key.as_str())
                .bind(clock::now().0)
                .execute(tx.connection())
                .await?;
            if done == 0 {
                return Ok(None);
            }
            draft.objects.push(Object::new("key", key.as_str()));
            let leaf = chain::append(tx.connection(), &tenant, &draft).await?;
            tx.commit().await?;
            Ok(Some(Written { value: (), leaf }))
        })
        .await
    }

    /// The door's look-up, before there is a scope: a key that is not revoked, of whichever tenant.
    pub async fn find_key(&self, key: &KeyId) -> Result<Option<StoredKey>> {
        let mut tx = self.store.read(Reach::Key(key)).await?;
        let row = sql("SELECT key, tenant, hash, name, rights, user_name, groups FROM api_keys
             WHERE key = $1 AND revoked_at IS NULL")
        .bind(key.as_str())
        .fetch_optional(&mut tx)
        .await?;
        row.as_ref().map(stored_of).transpose()
    }
}

fn check(key: &NewKey) -> Result<()> {
    check_name("a key's name", &key.name)?;
    if key.rights.has(Right::Operator) {
        return Err(CatalogError::Invalid { what: "a tenant's key", reason: "cannot be an operator's".to_owned() });
    }
    if key.groups.len() > limits::GROUPS_PER_PRINCIPAL_MAX {
        let reason = format!("carries {} groups; the limit is {}", key.groups.len(), limits::GROUPS_PER_PRINCIPAL_MAX);
        return Err(CatalogError::Invalid { what: "a key", reason });
    }
    Ok(())
}

fn row_of(row: &Row) -> Result<KeyRow> {
    Ok(KeyRow {
        key: row.name("key")?,
        name: row.text("name")?,
        rights: row.name("rights")?,
        user: row.name_or_null("user_name")?,
        groups: row.names("groups")?,
        created_at: row.time("created_at")?,
    })
}

fn stored_of(row: &Row) -> Result<StoredKey> {
    let credential = Credential {
        key: row.name("key")?,
        name: row.text("name")?,
        tenant: Some(row.name("tenant")?),
        rights: row.name("rights")?,
        user: row.name_or_null("user_name")?,
        groups: row.names("groups")?,
    };
    Ok(StoredKey { credential, hash: KeyHash::from_bytes(row.hash("hash")?) })
}
