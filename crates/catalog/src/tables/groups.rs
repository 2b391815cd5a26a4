//! Groups: the tenant's directory, as far as it is kept here.

use std::collections::BTreeSet;

use catena_access::Scope;
use catena_audit::Object;
use catena_domain::{GroupName, TenantId, UserName, limits};

use crate::Catalog;
use crate::error::{CatalogError, Result};
use crate::model::{Deed, Written};
use crate::store::{Connection, in_task, sql, sql_of};
use crate::tables::codec::{long, names_json};
use crate::tables::tenants;

/// Most groups of a tenant.
pub(crate) const GROUPS_MAX: u64 = 10_000;

impl Catalog {
    /// Says who is in a group, in place of what was said before.
    pub async fn put_group(
        &self,
        scope: &Scope,
        group: &GroupName,
        members: &[UserName],
        deed: impl Into<Deed<()>>,
    ) -> Result<Written<()>> {
        if members.len() > limits::GROUP_MEMBERS_MAX {
            let reason = format!("has {} members; the limit is {}", members.len(), limits::GROUP_MEMBERS_MAX);
            return Err(CatalogError::Invalid { what: "the group", reason });
        }
        let (store, tenant, group) = (self.store.clone(), scope.tenant().clone(), group.clone());
        let mut deed = deed.into();
        let members: BTreeSet<UserName> = members.iter().cloned().collect();
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            deed.draft.objects.push(Object::new("group", group.as_str()));
            tenants::seq(tx.connection(), &tenant).await?;
            replace(tx.connection(), &tenant, &group, members).await?;
            deed.done(tx, &tenant, ()).await
        })
        .await
    }

    /// The members of a group, in the order of their names.
    pub async fn group(&self, scope: &Scope, group: &GroupName) -> Result<Option<Vec<UserName>>> {
        let mut tx = self.store.read(scope).await?;
        let found = sql("SELECT members FROM groups WHERE tenant = $1 AND group_name = $2")
            .bind(scope.tenant().as_str())
            .bind(group.as_str())
            .fetch_optional(&mut tx)
            .await?;
        if found.is_none() {
            return Ok(None);
        }
        let rows = sql("SELECT user_name FROM group_members WHERE tenant = $1 AND group_name = $2 ORDER BY user_name")
            .bind(scope.tenant().as_str())
            .bind(group.as_str())
            .fetch_all(&mut tx)
            .await?;
        rows.iter().map(|row| row.name("user_name")).collect::<Result<_>>().map(Some)
    }

    /// The tenant's groups, each with its number of members.
    pub async fn groups(&self, scope: &Scope) -> Result<Vec<(GroupName, u64)>> {
        let mut tx = self.store.read(scope).await?;
        let rows = sql("SELECT group_name, members FROM groups WHERE tenant = $1 ORDER BY group_name")
            .bind(scope.tenant().as_str())
            .fetch_all(&mut tx)
            .await?;
        rows.iter().map(|row| Ok((row.name("group_name")?, row.u64("members")?))).collect()
    }

    /// Removes a group; `None` when there is no such group.
    pub async fn delete_group(
        &self,
        scope: &Scope,
        group: &GroupName,
        deed: impl Into<Deed<()>>,
    ) -> Result<Option<Written<()>>> {
        let (store, tenant, group, mut deed) = (self.store.clone(), scope.tenant().clone(), group.clone(), deed.into());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            let done = sql("DELETE FROM groups WHERE tenant = $1 AND group_name = $2")
                .bind(tenant.as_str())
                .bind(group.as_str())
                .execute(tx.connection())
                .await?;
            if done == 0 {
                return Ok(None);
            }
            deed.draft.objects.push(Object::new("group", group.as_str()));
            deed.done(tx, &tenant, ()).await.map(Some)
        })
        .await
    }

    /// The door's look-up, before there is a scope: the groups that a tenant's directory gives to a user. All of them,
    /// since one left out could be one that is denied.
    pub async fn directory_groups(&self, tenant: &TenantId, user: &UserName) -> Result<Vec<GroupName>> {
        let mut tx = self.store.read(tenant).await?;
        let rows = sql("SELECT group_name FROM group_members WHERE tenant = $1 AND user_name = $2 ORDER BY group_name")
            .bind(tenant.as_str())
            .bind(user.as_str())
            .fetch_all(&mut tx)
            .await?;
        rows.iter().map(|row| row.name("group_name")).collect()
    }
}

async fn replace(
    connection: &mut Connection,
    tenant: &TenantId,
    group: &GroupName,
    members: BTreeSet<UserName>,
) -> Result<()> {
    sql("INSERT INTO groups (tenant, group_name, members) VALUES ($1, $2, $3)
         ON CONFLICT (tenant, group_name) DO UPDATE SET members = excluded.members")
    .bind(tenant.as_str())
    .bind(group.as_str())
    .bind(long(members.len() as u64))
    .execute(&mut *connection)
    .await?;
    let count = sql("SELECT count(*) AS count FROM groups WHERE tenant = $1")
        .bind(tenant.as_str())
        .fetch_one(&mut *connection)
        .await?;
    if count.u64("count")? > GROUPS_MAX {
        let reason = "has 10000 groups, and that is the limit; delete those that are not used";
        return Err(CatalogError::Conflict { what: format!("tenant {tenant}"), reason });
    }
    sql("DELETE FROM group_members WHERE tenant = $1 AND group_name = $2")
        .bind(tenant.as_str())
        .bind(group.as_str())
        .execute(&mut *connection)
        .await?;
    let members: Vec<UserName> = members.into_iter().collect();
    sql_of(
        "INSERT INTO group_members (tenant, group_name, user_name) SELECT $1, $2, value FROM json_each($3)",
        "INSERT INTO group_members (tenant, group_name, user_name)
         SELECT $1, $2, value FROM jsonb_array_elements_text($3::JSONB) AS value",
    )
    .bind(tenant.as_str())
    .bind(group.as_str())
    .bind(names_json(&members))
    .execute(connection)
    .await?;
    Ok(())
}
