//! A tenant's policy for what it takes in, and what was found in what is there.
//!
//! Does not: know what a policy or a detector means, or hold a byte of what was found.

use std::collections::BTreeMap;

use catena_access::Scope;
use catena_audit::Object;
use catena_domain::{DocumentId, VersionNo};

use crate::Catalog;
use crate::error::Result;
use crate::model::{Admission, CurrentScreening, Deed, DetectorTally, DocumentFindings, Page, Screening, Written};
use crate::store::{Connection, Row, in_task, sql, sql_of};
use crate::tables::codec::{hex, json, long, sha256};
use crate::tables::page::{self, Items as _};
use crate::tables::reads::admitting;
use crate::tables::sources;
use crate::tables::text::TextOf;

impl Catalog {
    /// What the tenant wants done about what is found, as it was put; `{}` when nothing was put.
    pub async fn firewall_policy(&self, scope: &Scope) -> Result<String> {
        let mut tx = self.store.read(scope).await?;
        let row = sql("SELECT firewall FROM tenants WHERE tenant = $1")
            .bind(scope.tenant().as_str())
            .fetch_optional(&mut tx)
            .await?;
        row.map_or_else(|| Ok("{}".to_owned()), |row| row.text("firewall"))
    }

    /// Says what the tenant wants done, from the next write on. `policy` is JSON, which the leaf names by its hash.
    pub async fn put_firewall_policy(
        &self,
        scope: &Scope,
        policy: String,
        deed: impl Into<Deed<()>>,
    ) -> Result<Written<()>> {
        let (store, tenant, mut deed) = (self.store.clone(), scope.tenant().clone(), deed.into());
        in_task(async move {
            let mut tx = store.write(&tenant).await?;
            sql("UPDATE tenants SET firewall = $2 WHERE tenant = $1")
                .bind(tenant.as_str())
                .bind(policy.as_str())
                .execute(tx.connection())
                .await?;
            sources::forget_what_was_read(tx.connection(), &tenant).await?;
            let sha256 = Some(hex(&sha256(policy.as_bytes())));
            deed.draft.objects.push(Object { sha256, ..Object::new("firewall", "policy") });
            deed.done(tx, &tenant, ()).await
        })
        .await
    }

    /// The documents after `after` in whose current version something was found, in the order of their ids, as far as
    /// their ACL admits the principal.
    pub async fn findings(
        &self,
        scope: &Scope,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Page<DocumentFindings>> {
        let limit = page::limit(limit);
        let mut tx = self.store.read(scope).await?;
        let acls = admitting(&mut tx, scope).await?;
        let rows = sql_of(
            "SELECT d.document, d.version, s.flags, s.found, s.spans, s.released_by FROM documents d
             JOIN screenings s ON s.tenant = d.tenant AND s.doc = d.doc AND s.version = d.version
             WHERE d.tenant = $1 AND d.document > $2 AND d.live = 1 AND s.found <> '{}'
               AND d.acl IN (SELECT value FROM json_each($3))
             ORDER BY d.document LIMIT $4",
            "SELECT d.document, d.version, s.flags, s.found, s.spans, s.released_by FROM documents d
             JOIN screenings s ON s.tenant = d.tenant AND s.doc = d.doc AND s.version = d.version
             WHERE d.tenant = $1 AND d.document > $2 AND d.live = 1 AND s.found <> '{}'
               AND d.acl IN (SELECT value::BIGINT FROM jsonb_array_elements_text($3::JSONB) AS value)
             ORDER BY d.document LIMIT $4",
        )
        .bind(scope.tenant().as_str())
        .bind(after.map_or("", |after| after.as_str()))
        .bind(json(&acls))
        .bind(long(limit as u64 + 1))
        .fetch_all(&mut tx)
        .await?;
        let items: Vec<DocumentFindings> = rows.iter().map(findings_of).collect::<Result<_>>()?;
        Ok(items.into_page(limit, |item| item.document.to_string()))
    }

    /// What each detector found in what the tenant has now, by the detector's name. Those that found nothing are left out.
    pub async fn detector_tallies(&self, scope: &Scope) -> Result<BTreeMap<String, DetectorTally>> {
        let mut tallies: BTreeMap<String, DetectorTally> = BTreeMap::new();
        let mut tx = self.store.read(scope).await?;
        let rows = sql_of(
            "SELECT e.key AS detector, count(*) AS documents, CAST(sum(e.value) AS INTEGER) AS findings
             FROM documents d
             JOIN screenings s ON s.tenant = d.tenant AND s.doc = d.doc AND s.version = d.version
             CROSS JOIN json_each(s.found) e
             WHERE d.tenant = $1 AND d.live = 1 AND s.found <> '{}' GROUP BY e.key",
            "SELECT e.key AS detector, count(*) AS documents, CAST(sum(e.value::BIGINT) AS BIGINT) AS findings
             FROM documents d
             JOIN screenings s ON s.tenant = d.tenant AND s.doc = d.doc AND s.version = d.version
             CROSS JOIN LATERAL jsonb_each_text(s.found::JSONB) AS e (key, value)
             WHERE d.tenant = $1 AND d.live = 1 AND s.found <> '{}' GROUP BY e.key",
        )
        .bind(scope.tenant().as_str())
        .fetch_all(&mut tx)
        .await?;
        for row in rows {
            let tally = tallies.entry(row.text("detector")?).or_default();
            (tally.documents, tally.findings) = (row.u64("documents")?, row.u64("findings")?);
        }
        let rows = sql_of(
            "SELECT e.key AS detector, count(*) AS waiting FROM quarantine q CROSS JOIN json_each(q.found) e
             WHERE q.tenant = $1 GROUP BY e.key",
            "SELECT e.key AS detector, count(*) AS waiting FROM quarantine q
             CROSS JOIN LATERAL jsonb_object_keys(q.found::JSONB) AS e (key)
             WHERE q.tenant = $1 GROUP BY e.key",
        )
        .bind(scope.tenant().as_str())
        .fetch_all(&mut tx)
        .await?;
        for row in rows {
            tallies.entry(row.text("detector")?).or_default().waiting = row.u64("waiting")?;
        }
        Ok(tallies)
    }
}

/// Keeps what was found in a version, in place of what was kept. Who released it stays known.
pub(crate) async fn keep(
    connection: &mut Connection,
    of: TextOf<'_>,
    screening: &Screening,
    actor: Option<&str>,
) -> Result<()> {
    let released_by = match screening.admission {
        Admission::ByPolicy => None,
        Admission::Released => Some(actor.unwrap_or_default()),
    };
    sql("INSERT INTO screenings (tenant, doc, version, policy, flags, found, spans, released_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (tenant, doc, version) DO UPDATE SET policy = excluded.policy, flags = excluded.flags,
             found = excluded.found, spans = excluded.spans,
             released_by = coalesce(screenings.released_by, excluded.released_by)")
    .bind(of.tenant.as_str())
    .bind(of.doc.0)
    .bind(of.version.0)
    .bind(screening.policy.to_vec())
    .bind(json(&screening.flags))
    .bind(json(&screening.found))
    .bind(json(&screening.spans))
    .bind(released_by)
    .execute(connection)
    .await?;
    Ok(())
}

/// What is known of a version's screening, if it was screened.
pub(crate) async fn current(connection: &mut Connection, of: TextOf<'_>) -> Result<Option<CurrentScreening>> {
    let row = sql("SELECT policy, flags, found, released_by FROM screenings
         WHERE tenant = $1 AND doc = $2 AND version = $3")
    .bind(of.tenant.as_str())
    .bind(of.doc.0)
    .bind(of.version.0)
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(CurrentScreening {
            policy: row.hash("policy")?,
            flags: row.json("flags")?,
            found: row.json("found")?,
            released_by: row.text_or_null("released_by")?,
        })
    })
    .transpose()
}

/// The names of a list that is not there when nothing was screened.
pub(crate) fn flags_of(row: &Row) -> Result<Vec<String>> {
    match row.text_or_null("flags")? {
        Some(_) => row.json("flags"),
        None => Ok(Vec::new()),
    }
}

/// The flags of a version that is read.
pub(crate) async fn flags(connection: &mut Connection, of: TextOf<'_>) -> Result<Vec<String>> {
    let row = sql("SELECT flags FROM screenings WHERE tenant = $1 AND doc = $2 AND version = $3")
        .bind(of.tenant.as_str())
        .bind(of.doc.0)
        .bind(of.version.0)
        .fetch_optional(connection)
        .await?;
    row.map_or_else(|| Ok(Vec::new()), |row| row.json("flags"))
}

fn findings_of(row: &Row) -> Result<DocumentFindings> {
    Ok(DocumentFindings {
        document: row.name("document")?,
        version: VersionNo(row.u32("version")?),
        flags: row.json("flags")?,
        found: row.json("found")?,
        spans: row.json("spans")?,
        released_by: row.text_or_null("released_by")?,
    })
}
