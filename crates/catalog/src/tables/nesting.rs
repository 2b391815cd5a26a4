//! Groups in groups.
//!
//! Promises: no group is ever inside itself, at whatever distance, and none is deeper inside others than the limit. It
//! holds because the one transaction that writes for a tenant looks before it inserts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use catena_domain::{GroupName, TenantId, limits};

use crate::error::{CatalogError, Result};
use crate::store::{Connection, sql, sql_of};
use crate::tables::codec::names_json;

/// Puts `members` into `group`, which has no groups in it.
pub(crate) async fn put_inside(
    connection: &mut Connection,
    tenant: &TenantId,
    group: &GroupName,
    members: &BTreeSet<GroupName>,
) -> Result<()> {
    if members.is_empty() {
        return Ok(());
    }
    let members_json = names_json(&members.iter().collect::<Vec<_>>());
    require_existing(connection, tenant, group, &members_json).await?;
    require_no_cycle(connection, tenant, group, members).await?;
    sql_of(
        "INSERT INTO group_nesting (tenant, group_name, member_group) SELECT $1, $2, value FROM json_each($3)",
        "INSERT INTO group_nesting (tenant, group_name, member_group)
         SELECT $1, $2, value FROM jsonb_array_elements_text($3::JSONB) AS value",
    )
    .bind(tenant.as_str())
    .bind(group.as_str())
    .bind(members_json)
    .execute(&mut *connection)
    .await?;
    require_depth(connection, tenant, group).await
}

/// A group that is not there is no member: made later, by somebody else and for something else, its members would get
/// what they were never given, and a name that is misspelt in what is denied would deny nobody.
async fn require_existing(
    connection: &mut Connection,
    tenant: &TenantId,
    group: &GroupName,
    members: &str,
) -> Result<()> {
    let missing = sql_of(
        "SELECT value AS name FROM json_each($2)
         WHERE NOT EXISTS (SELECT 1 FROM groups g WHERE g.tenant = $1 AND g.group_name = value) ORDER BY 1 LIMIT 1",
        "SELECT value AS name FROM jsonb_array_elements_text($2::JSONB) AS value
         WHERE NOT EXISTS (SELECT 1 FROM groups g WHERE g.tenant = $1 AND g.group_name = value) ORDER BY 1 LIMIT 1",
    );
    match missing.bind(tenant.as_str()).bind(members).fetch_optional(connection).await? {
        Some(row) => {
            let what = format!("group:{}, named as a member of group:{group},", row.text("name")?);
            Err(CatalogError::Conflict { what, reason: "does not exist; make that group first" })
        }
        None => Ok(()),
    }
}

async fn require_no_cycle(
    connection: &mut Connection,
    tenant: &TenantId,
    group: &GroupName,
    members: &BTreeSet<GroupName>,
) -> Result<()> {
    let rows = sql("WITH RECURSIVE above (name) AS (
             SELECT group_name FROM groups WHERE tenant = $1 AND group_name = $2
             UNION SELECT n.group_name FROM above
                   JOIN group_nesting n ON n.tenant = $1 AND n.member_group = above.name
         )
         SELECT n.member_group, n.group_name FROM above
         JOIN group_nesting n ON n.tenant = $1 AND n.member_group = above.name
         ORDER BY n.member_group, n.group_name")
    .bind(tenant.as_str())
    .bind(group.as_str())
    .fetch_all(connection)
    .await?;
    let mut above: BTreeMap<GroupName, Vec<GroupName>> = BTreeMap::new();
    for row in rows {
        above.entry(row.name("member_group")?).or_default().push(row.name("group_name")?);
    }
    match way_up(group, members, &above) {
        Some(way) => {
            let cycle: Vec<String> = way.iter().chain([&group]).map(|name| format!("group:{name}")).collect();
            let what = format!("a group cannot be inside itself, and {}", cycle.join(" in "));
            Err(CatalogError::Conflict { what, reason: "would be; leave one of these memberships out" })
        }
        None => Ok(()),
    }
}

/// The shortest way from a group up to one of `ends`.
fn way_up<'a>(
    from: &'a GroupName,
    ends: &BTreeSet<GroupName>,
    above: &'a BTreeMap<GroupName, Vec<GroupName>>,
) -> Option<Vec<&'a GroupName>> {
    let mut came_from: BTreeMap<&GroupName, Option<&GroupName>> = BTreeMap::from([(from, None)]);
    let mut next = VecDeque::from([from]);
    while let Some(name) = next.pop_front() {
        if ends.contains(name) {
            let mut way: Vec<&GroupName> =
                std::iter::successors(Some(name), |name| came_from.get(*name).copied().flatten()).collect();
            way.reverse();
            return Some(way);
        }
        for container in above.get(name).into_iter().flatten() {
            came_from.entry(container).or_insert_with(|| {
                next.push_back(container);
                Some(name)
            });
        }
    }
    None
}

/// Counts the groups of the longest chain through `group`, and stops counting where it is too long in any case.
async fn require_depth(connection: &mut Connection, tenant: &TenantId, group: &GroupName) -> Result<()> {
    let up = sql("WITH RECURSIVE chain (name, depth) AS (
             SELECT group_name, CAST(1 AS BIGINT) FROM groups WHERE tenant = $1 AND group_name = $2
             UNION SELECT n.group_name, chain.depth + 1 FROM chain
                   JOIN group_nesting n ON n.tenant = $1 AND n.member_group = chain.name AND chain.depth <= 16
         )
         SELECT coalesce(max(depth), 1) AS depth FROM chain");
    let down = sql("WITH RECURSIVE chain (name, depth) AS (
             SELECT group_name, CAST(1 AS BIGINT) FROM groups WHERE tenant = $1 AND group_name = $2
             UNION SELECT n.member_group, chain.depth + 1 FROM chain
                   JOIN group_nesting n ON n.tenant = $1 AND n.group_name = chain.name AND chain.depth <= 16
         )
         SELECT coalesce(max(depth), 1) AS depth FROM chain");
    let mut depth = 0;
    for way in [up, down] {
        depth += way.bind(tenant.as_str()).bind(group.as_str()).fetch_one(&mut *connection).await?.u64("depth")?;
    }
    if depth - 1 > limits::GROUPS_DEPTH_MAX as u64 {
        let what = format!("group:{group} would stand in a chain of more than 16 groups inside one another, which");
        return Err(CatalogError::Conflict { what, reason: "is the limit; name members of the inner ones directly" });
    }
    Ok(())
}
