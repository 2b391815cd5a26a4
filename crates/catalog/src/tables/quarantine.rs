//! Documents that nobody may see, for those who can change that.
//!
//! Does not: show anything of them but their ids, their sources and the reason.

use std::collections::BTreeMap;

use catena_access::Scope;
use catena_access::acl::Why;
use catena_domain::DocumentId;

use crate::Catalog;
use crate::error::Result;
use crate::model::{Page, Quarantined};
use crate::store::{Connection, Row, sql, sql_of};
use crate::tables::codec::{corrupt, json, long};
use crate::tables::directory;
use crate::tables::page::{self, Items as _};

impl Catalog {
    /// The documents after `after` whose access list is unknown, in the order of their ids. To all but administrators
    /// of the tenant who act as themselves, there are none.
    pub async fn quarantine(
        &self,
        scope: &Scope,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Page<Quarantined>> {
        if !scope.principal().is_administrator() {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let limit = page::limit(limit);
        let mut tx = self.store.read(scope).await?;
        let unknown = unknown(&mut tx, scope).await?;
        let rows = sql_of(
            "SELECT document, source, acl FROM documents
             WHERE tenant = $1 AND live = 1 AND document > $2 AND acl IN (SELECT value FROM json_each($3))
             ORDER BY document LIMIT $4",
            "SELECT document, source, acl FROM documents
             WHERE tenant = $1 AND live = 1 AND document > $2
               AND acl IN (SELECT value::BIGINT FROM jsonb_array_elements_text($3::JSONB) AS value)
             ORDER BY document LIMIT $4",
        )
        .bind(scope.tenant().as_str())
        .bind(after.map_or("", |after| after.as_str()))
        .bind(json(&unknown.keys().collect::<Vec<_>>()))
        .bind(long(limit as u64 + 1))
        .fetch_all(&mut tx)
        .await?;
        let items: Vec<Quarantined> = rows.iter().map(|row| item_of(row, &unknown)).collect::<Result<_>>()?;
        Ok(items.into_page(limit, |item| item.id.to_string()))
    }
}

/// The tenant's access lists by which nobody can say who may see a document, and why.
async fn unknown(connection: &mut Connection, scope: &Scope) -> Result<BTreeMap<u32, Why>> {
    let known = directory::labels(connection, scope.tenant()).await?.into_iter().collect();
    let rows = sql("SELECT acl, entries FROM acls WHERE tenant = $1")
        .bind(scope.tenant().as_str())
        .fetch_all(connection)
        .await?;
    let mut unknown = BTreeMap::new();
    for row in rows {
        if let Some(why) = row.acl("entries")?.unknown_to(&known) {
            unknown.insert(row.u32("acl")?, why);
        }
    }
    Ok(unknown)
}

fn item_of(row: &Row, unknown: &BTreeMap<u32, Why>) -> Result<Quarantined> {
    let why = unknown.get(&row.u32("acl")?).cloned().ok_or_else(|| corrupt("the access list", "a document"))?;
    Ok(Quarantined { id: row.name("document")?, source: row.text_or_null("source")?, why })
}
