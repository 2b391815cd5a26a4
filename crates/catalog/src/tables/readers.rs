//! Who reads more after an access list changed, as far as the tenant's directory knows.
//!
//! Promises: groups in groups are followed; a group that the directory does not know is named, not taken for empty.
//! Does not: know when an entry holds, or which labels are above which.

use std::collections::BTreeSet;

use catena_access::acl::Lists;
use catena_access::{AclEntry, Scope, Who};

use crate::Catalog;
use crate::error::Result;
use crate::model::GainedReaders;
use crate::store::{sql, sql_of};
use crate::tables::codec::json;

impl Catalog {
    /// The users whom `after` admits and `before` did not, `everyone` left out on either side.
    pub async fn gained_readers(&self, scope: &Scope, before: &Lists, after: &Lists) -> Result<GainedReaders> {
        let mut groups: Vec<(&str, &str)> = Vec::new();
        let mut users: Vec<(&str, &str)> = Vec::new();
        let sides: [(&str, &BTreeSet<AclEntry>); 4] =
            [("had", before.allow()), ("had-not", before.deny()), ("has", after.allow()), ("has-not", after.deny())];
        for (side, entries) in sides {
            for entry in entries {
                match &entry.who {
                    Who::Everyone => {}
                    Who::Group(group) => groups.push((side, group.as_str())),
                    Who::User(user) => users.push((side, user.as_str())),
                }
            }
        }
        let mut tx = self.store.read(scope).await?;
        let row = sql_of(
            "WITH RECURSIVE inside (side, name) AS (
                 SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each($2)
                 UNION SELECT i.side, n.member_group FROM inside i
                       JOIN group_nesting n ON n.tenant = $1 AND n.group_name = i.name
             ), people (side, name) AS (
                 SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each($3)
                 UNION SELECT i.side, m.user_name FROM inside i
                       JOIN group_members m ON m.tenant = $1 AND m.group_name = i.name
             )
             SELECT count(*) AS count FROM people p WHERE p.side = 'has'
               AND p.name NOT IN (SELECT name FROM people WHERE side = 'has-not')
               AND (p.name NOT IN (SELECT name FROM people WHERE side = 'had')
                    OR p.name IN (SELECT name FROM people WHERE side = 'had-not'))",
            "WITH RECURSIVE inside (side, name) AS (
                 (SELECT value->>0, (value->>1) COLLATE \"C\" FROM jsonb_array_elements($2::JSONB) AS value)
                 UNION SELECT i.side, n.member_group FROM inside i
                       JOIN group_nesting n ON n.tenant = $1 AND n.group_name = i.name
             ), people (side, name) AS (
                 (SELECT value->>0, (value->>1) COLLATE \"C\" FROM jsonb_array_elements($3::JSONB) AS value)
                 UNION SELECT i.side, m.user_name FROM inside i
                       JOIN group_members m ON m.tenant = $1 AND m.group_name = i.name
             )
             SELECT count(*) AS count FROM people p WHERE p.side = 'has'
               AND p.name NOT IN (SELECT name FROM people WHERE side = 'has-not')
               AND (p.name NOT IN (SELECT name FROM people WHERE side = 'had')
                    OR p.name IN (SELECT name FROM people WHERE side = 'had-not'))",
        )
        .bind(scope.tenant().as_str())
        .bind(json(&groups))
        .bind(json(&users))
        .fetch_one(&mut tx)
        .await?;
        let named = |wanted: &str| -> BTreeSet<&str> {
            groups.iter().filter(|(side, _)| *side == wanted).map(|&(_, name)| name).collect()
        };
        let (had, has) = (named("had"), named("has"));
        let mut unknown_groups = 0;
        for group in has.difference(&had) {
            let found = sql("SELECT 1 AS found FROM groups WHERE tenant = $1 AND group_name = $2")
                .bind(scope.tenant().as_str())
                .bind(*group)
                .fetch_optional(&mut tx)
                .await?;
            unknown_groups += u64::from(found.is_none());
        }
        Ok(GainedReaders { users: row.u64("count")?, unknown_groups })
    }
}
