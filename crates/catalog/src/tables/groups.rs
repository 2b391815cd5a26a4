//! Groups: the tenant's directory, as far as it is kept here.
//!
//! Promises: a change holds from the next request on; a group is deleted only when nothing rests on it, because its end
//! would end what it denied.

use std::collections::BTreeSet;

use catena_access::Scope;
use catena_audit::Object;
use catena_domain::{GroupName, TenantId, UserName, limits};
use catena_runtime::clock;

use crate::Catalog;
use crate::error::{CatalogError, Result};
use crate::model::{Deed, Group, GroupRow, Member, Written};
use crate::store::{Connection, Row, in_task, sql, sql_of};
use crate::tables::codec::{json, long, names_json};
use crate::tables::{directory, nesting, tenants};

/// Most groups of a tenant.
pub(crate) const GROUPS_MAX: u64 = 10_000;
/// Most members of all groups of a tenant together.
const MEMBERSHIPS_MAX: u64 = 1_000_000;

impl Catalog {
    /// Says who is in a group, in place of what was said before.
    pub async fn put_group(
        &self,
        scope: &Scope,
        name: &GroupName,
        group: Group,
        deed: impl Into<Deed<()>>,
    ) -> Result<Written<()>> {
        if group.members.len() > limits::GROUP_MEMBERS_MAX {
            let reason = format!("has {} members; the limit is {}", group.members.len(), limits::GROUP_MEMBERS_MAX);
            return Err(CatalogError::Invalid { what: "the group", reason });
        }
        let (store, tenant, name) = (self.store.clone(), scope.tenant().clone(), name.clone());
        let mut deed = deed.into();
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            deed.draft.objects.push(Object::new("group", name.as_str()));
            tenants::seq(tx.connection(), &tenant).await?;
            directory::require_label(tx.connection(), &tenant, group.clearance.as_ref()).await?;
            replace(tx.connection(), &tenant, &name, group).await?;
            deed.done(tx, &tenant, ()).await
        })
        .await
    }

    /// What is said of a group.
    pub async fn group(&self, scope: &Scope, name: &GroupName) -> Result<Option<Group>> {
        let mut tx = self.store.read(scope).await?;
        let found = sql("SELECT clearance FROM groups WHERE tenant = $1 AND group_name = $2")
            .bind(scope.tenant().as_str())
            .bind(name.as_str())
            .fetch_optional(&mut tx)
            .await?;
        let Some(found) = found else { return Ok(None) };
        let mut members = BTreeSet::new();
        let users = sql("SELECT user_name AS name FROM group_members WHERE tenant = $1 AND group_name = $2")
            .bind(scope.tenant().as_str())
            .bind(name.as_str());
        for row in users.fetch_all(&mut tx).await? {
            members.insert(Member::User(row.name("name")?));
        }
        let groups = sql("SELECT member_group AS name FROM group_nesting WHERE tenant = $1 AND group_name = $2")
            .bind(scope.tenant().as_str())
            .bind(name.as_str());
        for row in groups.fetch_all(&mut tx).await? {
            members.insert(Member::Group(row.name("name")?));
        }
        Ok(Some(Group { members, clearance: found.name_or_null("clearance")? }))
    }

    /// The tenant's groups, in the order of their names.
    pub async fn groups(&self, scope: &Scope) -> Result<Vec<GroupRow>> {
        let mut tx = self.store.read(scope).await?;
        let rows = sql("SELECT group_name, members, clearance FROM groups WHERE tenant = $1 ORDER BY group_name")
            .bind(scope.tenant().as_str())
            .fetch_all(&mut tx)
            .await?;
        rows.iter().map(row_of).collect()
    }

    /// Removes a group; `None` when there is no such group. Refused while a current document's deny list names it, and
    /// while it is a member of another group.
    pub async fn delete_group(
        &self,
        scope: &Scope,
        name: &GroupName,
        deed: impl Into<Deed<()>>,
    ) -> Result<Option<Written<()>>> {
        let (store, tenant, name, mut deed) = (self.store.clone(), scope.tenant().clone(), name.clone(), deed.into());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            let found = sql("SELECT 1 AS found FROM groups WHERE tenant = $1 AND group_name = $2")
                .bind(tenant.as_str())
                .bind(name.as_str())
                .fetch_optional(tx.connection())
                .await?;
            if found.is_none() {
                return Ok(None);
            }
            require_denying_nothing(tx.connection(), &tenant, &name).await?;
            require_in_no_group(tx.connection(), &tenant, &name).await?;
            sql("DELETE FROM groups WHERE tenant = $1 AND group_name = $2")
                .bind(tenant.as_str())
                .bind(name.as_str())
                .execute(tx.connection())
                .await?;
            deed.draft.objects.push(Object::new("group", name.as_str()));
            deed.done(tx, &tenant, ()).await.map(Some)
        })
        .await
    }
}

fn row_of(row: &Row) -> Result<GroupRow> {
    Ok(GroupRow {
        name: row.name("group_name")?,
        members: row.u64("members")?,
        clearance: row.name_or_null("clearance")?,
    })
}

async fn replace(connection: &mut Connection, tenant: &TenantId, name: &GroupName, group: Group) -> Result<()> {
    sql("INSERT INTO groups (tenant, group_name, members, clearance) VALUES ($1, $2, $3, $4)
         ON CONFLICT (tenant, group_name) DO UPDATE SET members = excluded.members, clearance = excluded.clearance")
    .bind(tenant.as_str())
    .bind(name.as_str())
    .bind(long(group.members.len() as u64))
    .bind(group.clearance.as_ref().map(|label| label.as_str()))
    .execute(&mut *connection)
    .await?;
    require_room(connection, tenant).await?;
    for emptied in [
        sql("DELETE FROM group_members WHERE tenant = $1 AND group_name = $2"),
        sql("DELETE FROM group_nesting WHERE tenant = $1 AND group_name = $2"),
    ] {
        emptied.bind(tenant.as_str()).bind(name.as_str()).execute(&mut *connection).await?;
    }
    let (mut users, mut groups): (Vec<UserName>, BTreeSet<GroupName>) = Default::default();
    for member in group.members {
        match member {
            Member::User(user) => users.push(user),
            Member::Group(group) => {
                groups.insert(group);
            }
        }
    }
    sql_of(
        "INSERT INTO group_members (tenant, group_name, user_name) SELECT $1, $2, value FROM json_each($3)",
        "INSERT INTO group_members (tenant, group_name, user_name)
         SELECT $1, $2, value FROM jsonb_array_elements_text($3::JSONB) AS value",
    )
    .bind(tenant.as_str())
    .bind(name.as_str())
    .bind(names_json(&users))
    .execute(&mut *connection)
    .await?;
    nesting::put_inside(connection, tenant, name, &groups).await
}

async fn require_room(connection: &mut Connection, tenant: &TenantId) -> Result<()> {
    let row = sql("SELECT count(*) AS count, CAST(coalesce(sum(members), 0) AS BIGINT) AS members
         FROM groups WHERE tenant = $1")
    .bind(tenant.as_str())
    .fetch_one(connection)
    .await?;
    let full = |reason| Err(CatalogError::Conflict { what: format!("tenant {tenant}"), reason });
    if row.u64("count")? > GROUPS_MAX {
        return full("has 10000 groups, and that is the limit; delete those that are not used");
    }
    if row.u64("members")? > MEMBERSHIPS_MAX {
        return full("has 1000000 members of groups in all, and that is the limit; delete groups that are not used");
    }
    Ok(())
}

/// A denial that has ended by its own time is none any more.
async fn require_denying_nothing(connection: &mut Connection, tenant: &TenantId, name: &GroupName) -> Result<()> {
    let entry = format!("group:{name}");
    // The search for the entry's text leaves most lists unread.
    let row = sql_of(
        "SELECT count(*) AS count FROM documents d
         WHERE d.tenant = $1 AND d.live = 1 AND d.acl IN (
             SELECT a.acl FROM acls a CROSS JOIN json_each(a.entries, '$.deny') e
             WHERE a.tenant = $1 AND instr(a.entries, $3) > 0
               AND CASE e.type WHEN 'object' THEN json_extract(e.value, '$.entry') ELSE e.value END = $2
               AND CASE e.type WHEN 'object' THEN coalesce(json_extract(e.value, '$.until_us') > $4, 1) ELSE 1 END)",
        "SELECT count(*) AS count FROM documents d
         WHERE d.tenant = $1 AND d.live = 1 AND d.acl IN (
             SELECT a.acl FROM (SELECT acl, entries FROM acls
                                WHERE tenant = $1 AND strpos(entries, $3) > 0 OFFSET 0) a
             CROSS JOIN jsonb_array_elements(a.entries::JSONB->'deny') AS e
             WHERE CASE jsonb_typeof(e) WHEN 'object' THEN e->>'entry' ELSE e#>>'{}' END = $2
               AND (jsonb_typeof(e) <> 'object' OR coalesce((e->>'until_us')::BIGINT > $4, true)))",
    )
    .bind(tenant.as_str())
    .bind(entry.as_str())
    .bind(json(&entry))
    .bind(clock::now().0)
    .fetch_one(connection)
    .await?;
    match row.u64("count")? {
        0 => Ok(()),
        documents => {
            let what = format!("group:{name}, which the deny lists of {documents} documents name,");
            let reason = "cannot be deleted, because whom it denies would see them; change their lists first";
            Err(CatalogError::Conflict { what, reason })
        }
    }
}

async fn require_in_no_group(connection: &mut Connection, tenant: &TenantId, name: &GroupName) -> Result<()> {
    let row = sql("SELECT count(*) AS count, min(group_name) AS first FROM group_nesting
         WHERE tenant = $1 AND member_group = $2")
    .bind(tenant.as_str())
    .bind(name.as_str())
    .fetch_one(connection)
    .await?;
    let Some(first) = row.text_or_null("first")? else { return Ok(()) };
    let more = match row.u64("count")? - 1 {
        0 => String::new(),
        more => format!(" and of {more} more"),
    };
    let what = format!("group:{name}, a member of group:{first}{more},");
    let reason = "cannot be deleted, because its members would leave that too; take it out there first";
    Err(CatalogError::Conflict { what, reason })
}
