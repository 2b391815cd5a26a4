//! What a tenant's directory says of somebody: groups, through other groups as well, and the labels that they clear for.
//!
//! Promises: read anew for every request, in one statement, so that a change of members, clearances or labels holds from
//! the next one on; all groups, since one left out could be one that is denied; a clearance for a label that the tenant
//! does not have clears for nothing.

use catena_access::scope::{Concerned, Directory};
use catena_access::{Clearance, Scope};
use catena_audit::{Draft, Object};
use catena_domain::{Label, TenantId, limits};

use crate::Catalog;
use crate::error::{CatalogError, Result};
use crate::model::Written;
use crate::store::{Connection, in_task, sql, sql_of};
use crate::tables::chain;
use crate::tables::codec::{corrupt, json, names_json};

impl Catalog {
    /// The door's look-up, before there is a scope: all groups of whom a request concerns, and the tenant's labels with
    /// those that these groups and the key's own clearance clear for.
    pub async fn directory(&self, tenant: &TenantId, concerned: Concerned<'_>) -> Result<Directory> {
        let mut tx = self.store.read(tenant).await?;
        let rows = sql_of(
            "WITH RECURSIVE mine (name) AS (
                 SELECT group_name FROM group_members WHERE tenant = $1 AND user_name = $2
                 UNION SELECT value FROM json_each($3)
                 UNION SELECT n.group_name FROM mine
                       JOIN group_nesting n ON n.tenant = $1 AND n.member_group = mine.name
             ), own (place) AS (
                 SELECT max(l.place) FROM labels l
                 WHERE l.tenant = $1 AND (l.label = $4 OR l.label IN (
                     SELECT g.clearance FROM mine JOIN groups g ON g.tenant = $1 AND g.group_name = mine.name))
             )
             SELECT 'group' AS kind, name, CAST(0 AS BIGINT) AS cleared FROM mine
             UNION ALL
             SELECT 'label', l.label, CAST(CASE WHEN l.place <= own.place THEN 1 ELSE 0 END AS BIGINT)
             FROM labels l CROSS JOIN own WHERE l.tenant = $1
             ORDER BY 1, 2",
            "WITH RECURSIVE mine (name) AS (
                 (SELECT group_name FROM group_members WHERE tenant = $1 AND user_name = $2
                  UNION SELECT value COLLATE \"C\" FROM jsonb_array_elements_text($3::JSONB) AS value)
                 UNION SELECT n.group_name FROM mine
                       JOIN group_nesting n ON n.tenant = $1 AND n.member_group = mine.name
             ), own (place) AS (
                 SELECT max(l.place) FROM labels l
                 WHERE l.tenant = $1 AND (l.label = $4 OR l.label IN (
                     SELECT g.clearance FROM mine JOIN groups g ON g.tenant = $1 AND g.group_name = mine.name))
             )
             SELECT 'group' AS kind, name, CAST(0 AS BIGINT) AS cleared FROM mine
             UNION ALL
             SELECT 'label', l.label, CAST(CASE WHEN l.place <= own.place THEN 1 ELSE 0 END AS BIGINT)
             FROM labels l CROSS JOIN own WHERE l.tenant = $1
             ORDER BY 1, 2",
        )
        .bind(tenant.as_str())
        .bind(concerned.user.map(|user| user.as_str()))
        .bind(names_json(concerned.groups))
        .bind(concerned.clearance.map(|label| label.as_str()))
        .fetch_all(&mut tx)
        .await?;
        let (mut groups, mut clearance) = (Vec::new(), Clearance::default());
        for row in rows {
            match row.text("kind")?.as_str() {
                "group" => groups.push(row.name("name")?),
                "label" => {
                    let label: Label = row.name("name")?;
                    if row.flag("cleared")? {
                        clearance.cleared.insert(label.clone());
                    }
                    clearance.known.insert(label);
                }
                other => return Err(corrupt("the directory", other)),
            }
        }
        Ok(Directory { groups, clearance })
    }

    /// The tenant's labels, the lowest first.
    pub async fn labels(&self, scope: &Scope) -> Result<Vec<Label>> {
        let mut tx = self.store.read(scope).await?;
        labels(&mut tx, scope.tenant()).await
    }

    /// Says which labels the tenant has, the lowest first, in place of what was said before. A document whose label is
    /// not among them is nobody's to see from the next query on.
    pub async fn put_labels(&self, scope: &Scope, labels: &[Label], mut draft: Draft) -> Result<Written<()>> {
        let invalid = |reason| Err(CatalogError::Invalid { what: "the list of labels", reason });
        if labels.len() > limits::LABELS_MAX {
            return invalid(format!("has {} labels; the limit is {}", labels.len(), limits::LABELS_MAX));
        }
        if let Some(twice) = labels.iter().enumerate().find(|(at, label)| labels[..*at].contains(label)) {
            return invalid(format!("names {} twice; a label has one place", twice.1));
        }
        let (store, tenant, labels) = (self.store.clone(), scope.tenant().clone(), labels.to_vec());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            draft.objects.extend(labels.iter().map(|label| Object::new("label", label.as_str())));
            let leaf = chain::append(tx.connection(), &tenant, &draft).await?;
            sql("DELETE FROM labels WHERE tenant = $1").bind(tenant.as_str()).execute(tx.connection()).await?;
            let places: Vec<(&str, usize)> = labels.iter().map(Label::as_str).zip(0..).collect();
            sql_of(
                "INSERT INTO labels (tenant, label, place)
                 SELECT $1, json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each($2)",
                "INSERT INTO labels (tenant, label, place)
                 SELECT $1, value->>0, (value->>1)::BIGINT FROM jsonb_array_elements($2::JSONB) AS value",
            )
            .bind(tenant.as_str())
            .bind(json(&places))
            .execute(tx.connection())
            .await?;
            tx.commit().await?;
            Ok(Written { value: (), leaf })
        })
        .await
    }
}

/// The tenant's labels as this transaction sees them, the lowest first.
pub(crate) async fn labels(connection: &mut Connection, tenant: &TenantId) -> Result<Vec<Label>> {
    let rows = sql("SELECT label FROM labels WHERE tenant = $1 ORDER BY place")
        .bind(tenant.as_str())
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| row.name("label")).collect()
}

/// Refuses a clearance for a label that the tenant does not have: it would clear for nothing, and one day for something.
pub(crate) async fn require_label(
    connection: &mut Connection,
    tenant: &TenantId,
    clearance: Option<&Label>,
) -> Result<()> {
    match clearance {
        Some(label) if !labels(connection, tenant).await?.contains(label) => {
            let reason = format!("{label} is none of the tenant's labels; make it one first, or choose another");
            Err(CatalogError::Invalid { what: "the clearance", reason })
        }
        _ => Ok(()),
    }
}
