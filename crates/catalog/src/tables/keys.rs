//! API keys. What is stored of one is its hash.
//!
//! Promises: a key that was revoked or has ended is not found from that moment on; a key that replaces another one is and
//! may what the other one is and may, and no more.

use catena_access::{Credential, KeyHash, Right, Scope};
use catena_audit::{Draft, Object};
use catena_domain::{KeyId, TenantId, Timestamp, limits};
use catena_runtime::clock;

use crate::Catalog;
use crate::error::{CatalogError, Result};
use crate::model::{KeyRow, NewKey, Page, StoredKey, Successor, Written};
use crate::store::{Connection, Reach, Row, in_task, sql};
use crate::tables::codec::{long, names_json};
use crate::tables::page::{self, Items as _};
use crate::tables::{chain, directory, tenants::check_name};

/// Most keys of a tenant that open something.
pub(crate) const KEYS_MAX: u64 = 1_000;

impl Catalog {
    /// Stores a new key of the tenant.
    pub async fn create_key(&self, scope: &Scope, key: NewKey, mut draft: Draft) -> Result<Written<KeyRow>> {
        check(&key)?;
        let (store, tenant) = (self.store.clone(), scope.tenant().clone());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            draft.objects.push(Object::new("key", key.key.as_str()));
            // The leaf goes first: when the tenant is gone, it says so.
            let leaf = chain::append(tx.connection(), &tenant, &draft).await?;
            directory::require_label(tx.connection(), &tenant, key.clearance.as_ref()).await?;
            insert(tx.connection(), &tenant, &key, None).await?;
            let value = row(tx.connection(), &tenant, &key.key).await?;
            tx.commit().await?;
            Ok(Written { value, leaf })
        })
        .await
    }

    /// Stores a key in the place of `old`, which ends after the overlap; `None` when there is no such key, or not any
    /// more. A key that was replaced already is not replaced again.
    pub async fn rotate_key(
        &self,
        scope: &Scope,
        old: &KeyId,
        new: Successor,
        mut draft: Draft,
    ) -> Result<Option<Written<KeyRow>>> {
        if new.overlap.as_secs() > limits::KEY_OVERLAP_S_MAX {
            let reason = format!("is {} s; the limit is {}", new.overlap.as_secs(), limits::KEY_OVERLAP_S_MAX);
            return Err(CatalogError::Invalid { what: "the overlap", reason });
        }
        let (store, tenant, old) = (self.store.clone(), scope.tenant().clone(), old.clone());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            let Some(before) = find_row(tx.connection(), &tenant, &old).await? else { return Ok(None) };
            if let Some(successor) = &before.replaced_by {
                let what = format!("key {old}, which key {successor} replaces,");
                return Err(CatalogError::Conflict {
                    what,
                    reason: "is not replaced twice; replace or revoke that one",
                });
            }
            let key = succeeding(&before, &new);
            check(&key)?;
            insert(tx.connection(), &tenant, &key, Some(&old)).await?;
            end(tx.connection(), &tenant, &before, &new).await?;
            draft.objects.push(Object::new("key", key.key.as_str()));
            draft.objects.push(Object::new("key", old.as_str()));
            let leaf = chain::append(tx.connection(), &tenant, &draft).await?;
            let value = row(tx.connection(), &tenant, &key.key).await?;
            tx.commit().await?;
            Ok(Some(Written { value, leaf }))
        })
        .await
    }

    /// The tenant's keys that were not revoked, after `after`, the oldest first. Those that ended by themselves are
    /// among them.
    pub async fn keys(&self, scope: &Scope, after: Option<&KeyId>, limit: usize) -> Result<Page<KeyRow>> {
        let limit = page::limit(limit);
        let mut tx = self.store.read(scope).await?;
        let rows =
            sql("SELECT k.key, k.name, k.rights, k.user_name, k.groups, k.clearance, k.created_at, k.expires_at,
                    k.last_used_at, k.replaces,
                    (SELECT max(s.key) FROM api_keys s
                     WHERE s.tenant = k.tenant AND s.replaces = k.key AND s.revoked_at IS NULL) AS replaced_by
             FROM api_keys k
             WHERE k.tenant = $1 AND k.revoked_at IS NULL
               AND ($2 = '' OR (k.created_at, k.key) > (SELECT a.created_at, a.key FROM api_keys a
                                                        WHERE a.tenant = $1 AND a.key = $2))
             ORDER BY k.created_at, k.key LIMIT $3")
            .bind(scope.tenant().as_str())
            .bind(after.map_or("", |after| after.as_str()))
            .bind(long(limit as u64 + 1))
            .fetch_all(&mut tx)
            .await?;
        let mut items: Vec<KeyRow> = rows.iter().map(row_of).collect::<Result<_>>()?;
        for item in &mut items {
            item.last_used_at = item.last_used_at.max(self.key_uses.last(&item.key));
        }
        Ok(items.into_page(limit, |item| item.key.to_string()))
    }

    /// Revokes a key of the tenant; `None` when there is no such key, or not any more.
    pub async fn revoke_key(&self, scope: &Scope, key: &KeyId, mut draft: Draft) -> Result<Option<Written<()>>> {
        let (store, tenant, key) = (self.store.clone(), scope.tenant().clone(), key.clone());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            if revoke(tx.connection(), &tenant, &key).await? == 0 {
                return Ok(None);
            }
            draft.objects.push(Object::new("key", key.as_str()));
            let leaf = chain::append(tx.connection(), &tenant, &draft).await?;
            tx.commit().await?;
            Ok(Some(Written { value: (), leaf }))
        })
        .await
    }

    /// The door's look-up, before there is a scope: a key that opens something, of whichever tenant.
    pub async fn find_key(&self, key: &KeyId) -> Result<Option<StoredKey>> {
        let mut tx = self.store.read(Reach::Key(key)).await?;
        let row = sql("SELECT key, tenant, hash, name, rights, user_name, groups, clearance FROM api_keys
             WHERE key = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)")
        .bind(key.as_str())
        .bind(clock::now().0)
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
    if key.expires_at.is_some_and(|end| end <= clock::now()) {
        let reason = "lies in the past; give a time to come, or none".to_owned();
        return Err(CatalogError::Invalid { what: "the key's end", reason });
    }
    Ok(())
}

async fn insert(connection: &mut Connection, tenant: &TenantId, key: &NewKey, replaces: Option<&KeyId>) -> Result<()> {
    let now = clock::now();
    let count = sql("SELECT count(*) AS count FROM api_keys
         WHERE tenant = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)")
    .bind(tenant.as_str())
    .bind(now.0)
    .fetch_one(&mut *connection)
    .await?;
    if count.u64("count")? >= KEYS_MAX {
        let reason = "has 1000 keys, and that is the limit; revoke those that are not used";
        return Err(CatalogError::Conflict { what: format!("tenant {tenant}"), reason });
    }
    let done = sql("INSERT INTO api_keys (key, tenant, hash, name, rights, user_name, groups, clearance, created_at,
                               expires_at, replaces)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (key) DO NOTHING")
    .bind(key.key.as_str())
    .bind(tenant.as_str())
    .bind(key.hash.as_bytes().to_vec())
    .bind(key.name.as_str())
    .bind(key.rights.to_string())
    .bind(key.user.as_ref().map(|user| user.as_str()))
    .bind(names_json(&key.groups))
    .bind(key.clearance.as_ref().map(|label| label.as_str()))
    .bind(now.0)
    .bind(key.expires_at.map(|end| end.0))
    .bind(replaces.map(|old| old.as_str()))
    .execute(connection)
    .await?;
    if done == 0 {
        return Err(CatalogError::Conflict { what: format!("key {}", key.key), reason: "exists already" });
    }
    Ok(())
}

/// What replaces a key: the same but for its secret and its end.
fn succeeding(old: &KeyRow, new: &Successor) -> NewKey {
    let lifetime_us = old.expires_at.map(|end| end.0.saturating_sub(old.created_at.0));
    let as_long = lifetime_us.map(|lifetime_us| Timestamp(clock::now().0.saturating_add(lifetime_us)));
    NewKey {
        key: new.key.clone(),
        hash: new.hash,
        name: old.name.clone(),
        rights: old.rights,
        user: old.user.clone(),
        groups: old.groups.clone(),
        clearance: old.clearance.clone(),
        expires_at: new.expires_at.or(as_long),
    }
}

/// Ends a key that was replaced; at once means revoked, so that no clock that is set back opens it again.
async fn end(connection: &mut Connection, tenant: &TenantId, old: &KeyRow, new: &Successor) -> Result<()> {
    if new.overlap.is_zero() {
        revoke(connection, tenant, &old.key).await?;
        return Ok(());
    }
    let overlap_us = i64::try_from(new.overlap.as_micros()).unwrap_or(i64::MAX);
    let end = clock::now().0.saturating_add(overlap_us);
    let end = old.expires_at.map_or(end, |before| before.0.min(end));
    sql("UPDATE api_keys SET expires_at = $3 WHERE tenant = $1 AND key = $2")
        .bind(tenant.as_str())
        .bind(old.key.as_str())
        .bind(end)
        .execute(connection)
        .await?;
    Ok(())
}

async fn revoke(connection: &mut Connection, tenant: &TenantId, key: &KeyId) -> Result<u64> {
    sql("UPDATE api_keys SET revoked_at = $3 WHERE tenant = $1 AND key = $2 AND revoked_at IS NULL")
        .bind(tenant.as_str())
        .bind(key.as_str())
        .bind(clock::now().0)
        .execute(connection)
        .await
}

async fn row(connection: &mut Connection, tenant: &TenantId, key: &KeyId) -> Result<KeyRow> {
    let lost = || CatalogError::NotFound { what: "key", id: key.to_string() };
    find_row(connection, tenant, key).await?.ok_or_else(lost)
}

async fn find_row(connection: &mut Connection, tenant: &TenantId, key: &KeyId) -> Result<Option<KeyRow>> {
    let row = sql("SELECT k.key, k.name, k.rights, k.user_name, k.groups, k.clearance, k.created_at, k.expires_at,
                k.last_used_at, k.replaces,
                (SELECT max(s.key) FROM api_keys s
                 WHERE s.tenant = k.tenant AND s.replaces = k.key AND s.revoked_at IS NULL) AS replaced_by
         FROM api_keys k WHERE k.tenant = $1 AND k.key = $2 AND k.revoked_at IS NULL")
    .bind(tenant.as_str())
    .bind(key.as_str())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(row_of).transpose()
}

fn row_of(row: &Row) -> Result<KeyRow> {
    Ok(KeyRow {
        key: row.name("key")?,
        name: row.text("name")?,
        rights: row.name("rights")?,
        user: row.name_or_null("user_name")?,
        groups: row.names("groups")?,
        clearance: row.name_or_null("clearance")?,
        created_at: row.time("created_at")?,
        expires_at: row.time_or_null("expires_at")?,
        last_used_at: row.time_or_null("last_used_at")?,
        replaces: row.name_or_null("replaces")?,
        replaced_by: row.name_or_null("replaced_by")?,
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
        clearance: row.name_or_null("clearance")?,
    };
    Ok(StoredKey { credential, hash: KeyHash::from_bytes(row.hash("hash")?) })
}
