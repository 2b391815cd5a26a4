//! The gate's look-up: what of the passages that a search found may leave, as things are now.
//!
//! One transaction reads document, version, ACL and text together, so no passage leaves under an ACL that is not the
//! one in force when its text was read. Three statements, however many passages are asked for. All name one row after the
//! other by its key, so that no planner is tempted to read a whole table for fifty passages.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use catena_access::acl::Rule;
use catena_access::{Decision, Scope};
use catena_domain::{AclId, DocNo, RecipeId, Span, VersionNo};
use catena_runtime::clock;

use crate::Catalog;
use crate::error::{CatalogError, Result};
use crate::model::{PassageKey, Places, StoredPassage};
use crate::store::{Connection, Row, sql_of};
use crate::tables::codec::json;
use crate::tables::feed::span_of;
use crate::tables::places;
use crate::tables::screenings;
use crate::tables::text::{self, BLOCK_BYTES, TextOf};

/// Most passages asked for at once.
const PASSAGES_MAX: usize = 1_000;

/// The stored blocks near each passage that was admitted, by the passage's place in the request.
type Blocks = HashMap<usize, Vec<(u32, Vec<u8>)>>;

impl Catalog {
    /// The passages that the principal may see, each in the place of its key: `None` unless the document is live, the
    /// version its current one, the chunk one of the recipe's, and the ACL admits the principal.
    pub async fn passages(
        &self,
        scope: &Scope,
        recipe: &RecipeId,
        keys: &[PassageKey],
    ) -> Result<Vec<Option<StoredPassage>>> {
        if keys.len() > PASSAGES_MAX {
            let reason = format!("of {} passages is too long; the limit is {PASSAGES_MAX}", keys.len());
            return Err(CatalogError::Invalid { what: "the list", reason });
        }
        let mut passages = vec![None; keys.len()];
        let mut reach = vec![Span { start: 0, end: 0 }; keys.len()];
        let mut tx = self.store.read(scope).await?;
        let now = clock::now();
        let mut decisions: HashMap<u32, Option<Rule>> = HashMap::new();
        for row in candidates(&mut tx, scope, recipe, keys).await? {
            let acl = row.u32("acl")?;
            let decision = match decisions.entry(acl) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(rule_of(row.acl("entries")?.decide(scope.principal(), now))),
            };
            let Some(rule) = decision else { continue };
            let place = row.u64("place")? as usize;
            if let Some(passage) = passages.get_mut(place) {
                let stored = passage_of(&row, rule.clone())?;
                // Read from the chunk before on, so that what lies between the two is at hand when they are joined.
                reach[place] = Span { start: row.u32("before_byte")?.min(stored.span.start), end: stored.span.end };
                *passage = Some(stored);
            }
        }
        let blocks = blocks(&mut tx, scope, &passages, &reach).await?;
        let admitted = passages.iter().flatten();
        let text_of = |doc, version| TextOf { tenant: scope.tenant(), doc, version };
        let wanted: Vec<(TextOf<'_>, Span)> =
            admitted.map(|passage| (text_of(passage.doc, passage.version), passage.span)).collect();
        let places = places::of_spans(&mut tx, &wanted).await?;
        drop(tx);
        passages.iter_mut().flatten().zip(places).for_each(|(passage, places)| passage.places = places);
        for (place, passage) in passages.iter_mut().enumerate() {
            let Some(passage) = passage else { continue };
            let of = TextOf { tenant: scope.tenant(), doc: passage.doc, version: passage.version };
            let mut lead = text::join(of, reach[place], blocks.get(&place).map_or(&[][..], Vec::as_slice))?;
            passage.text = lead.split_off((passage.span.start - reach[place].start) as usize);
            passage.lead = lead;
        }
        Ok(passages)
    }
}

fn rule_of(decision: Decision) -> Option<Rule> {
    match decision {
        Decision::Admitted(rule) => Some(rule),
        Decision::Refused(_) | Decision::Unknown(_) => None,
    }
}

/// The rows behind the keys, as far as document and version are what the keys say. No text is read yet.
async fn candidates(
    connection: &mut Connection,
    scope: &Scope,
    recipe: &RecipeId,
    keys: &[PassageKey],
) -> Result<Vec<Row>> {
    let keys: Vec<[u32; 3]> = keys.iter().map(|key| [key.doc.0, key.version.0, key.chunk]).collect();
    let rows = sql_of(
        "SELECT w.key AS place, d.document, d.doc, d.version, d.title, d.uri, d.attributes, d.source, d.modified_at,
                d.acl, a.entries, v.created_at, v.text_sha256, k.chunks, c.chunk, c.start_byte, c.end_byte,
                c.headings, c.line_first, c.line_last,
                COALESCE((SELECT p.end_byte FROM chunks p
                          WHERE p.tenant = c.tenant AND p.doc = c.doc AND p.version = c.version
                            AND p.recipe = c.recipe AND p.chunk = c.chunk - 1), c.start_byte) AS before_byte,
                (SELECT s.flags FROM screenings s
                 WHERE s.tenant = d.tenant AND s.doc = d.doc AND s.version = d.version) AS flags
         FROM json_each($3) w
         CROSS JOIN documents d ON d.tenant = $1 AND d.doc = json_extract(w.value, '$[0]')
         CROSS JOIN acls a ON a.tenant = d.tenant AND a.acl = d.acl
         CROSS JOIN versions v ON v.tenant = d.tenant AND v.doc = d.doc AND v.version = d.version
         CROSS JOIN chunkings k
             ON k.tenant = d.tenant AND k.doc = d.doc AND k.version = d.version AND k.recipe = $2
         CROSS JOIN chunks c
             ON c.tenant = d.tenant AND c.doc = d.doc AND c.version = d.version AND c.recipe = $2
            AND c.chunk = json_extract(w.value, '$[2]')
         WHERE d.live = 1 AND d.version = json_extract(w.value, '$[1]')",
        "SELECT w.number - 1 AS place, d.document, d.doc, d.version, d.title, d.uri, d.attributes, d.source,
                d.modified_at, d.acl, a.entries, v.created_at, v.text_sha256, k.chunks, c.chunk, c.start_byte,
                c.end_byte, c.headings, c.line_first, c.line_last,
                COALESCE((SELECT p.end_byte FROM chunks p
                          WHERE p.tenant = c.tenant AND p.doc = c.doc AND p.version = c.version
                            AND p.recipe = c.recipe AND p.chunk = c.chunk - 1), c.start_byte) AS before_byte,
                (SELECT s.flags FROM screenings s
                 WHERE s.tenant = d.tenant AND s.doc = d.doc AND s.version = d.version) AS flags
         FROM jsonb_array_elements($3::JSONB) WITH ORDINALITY AS w (value, number)
         CROSS JOIN LATERAL (
             SELECT * FROM documents WHERE tenant = $1 AND doc = (w.value->>0)::BIGINT LIMIT 1) d
         CROSS JOIN LATERAL (SELECT * FROM acls WHERE tenant = $1 AND acl = d.acl LIMIT 1) a
         CROSS JOIN LATERAL (
             SELECT * FROM versions WHERE tenant = $1 AND doc = d.doc AND version = d.version LIMIT 1) v
         CROSS JOIN LATERAL (
             SELECT * FROM chunkings
             WHERE tenant = $1 AND doc = d.doc AND version = d.version AND recipe = $2 LIMIT 1) k
         CROSS JOIN LATERAL (
             SELECT * FROM chunks
             WHERE tenant = $1 AND doc = d.doc AND version = d.version AND recipe = $2
               AND chunk = (w.value->>2)::BIGINT LIMIT 1) c
         WHERE d.live = 1 AND d.version = (w.value->>1)::BIGINT",
    )
    .bind(scope.tenant().as_str())
    .bind(recipe.as_str())
    .bind(json(&keys))
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// The blocks of the admitted passages' spans.
async fn blocks(
    connection: &mut Connection,
    scope: &Scope,
    passages: &[Option<StoredPassage>],
    reach: &[Span],
) -> Result<Blocks> {
    let wanted: Vec<[i64; 5]> = passages
        .iter()
        .zip(reach)
        .zip(0i64..)
        .filter_map(|((passage, reach), place)| {
            let passage = passage.as_ref()?;
            let (doc, version) = (i64::from(passage.doc.0), i64::from(passage.version.0));
            let after = i64::from(reach.start) - BLOCK_BYTES as i64;
            Some([place, doc, version, after, i64::from(reach.end)])
        })
        .collect();
    let mut blocks = Blocks::new();
    if wanted.is_empty() {
        return Ok(blocks);
    }
    let rows = sql_of(
        "SELECT json_extract(w.value, '$[0]') AS place, t.start_byte, t.zstd
         FROM json_each($2) w
         CROSS JOIN version_text t
             ON t.tenant = $1 AND t.doc = json_extract(w.value, '$[1]') AND t.version = json_extract(w.value, '$[2]')
            AND t.start_byte > json_extract(w.value, '$[3]') AND t.start_byte < json_extract(w.value, '$[4]')
         ORDER BY w.key, t.start_byte",
        "SELECT (w.value->>0)::BIGINT AS place, t.start_byte, t.zstd
         FROM jsonb_array_elements($2::JSONB) WITH ORDINALITY AS w (value, number)
         CROSS JOIN LATERAL (
             SELECT start_byte, zstd FROM version_text
             WHERE tenant = $1 AND doc = (w.value->>1)::BIGINT AND version = (w.value->>2)::BIGINT
               AND start_byte > (w.value->>3)::BIGINT AND start_byte < (w.value->>4)::BIGINT
             ORDER BY start_byte OFFSET 0) t
         ORDER BY w.number, t.start_byte",
    )
    .bind(scope.tenant().as_str())
    .bind(json(&wanted))
    .fetch_all(connection)
    .await?;
    for row in rows {
        blocks.entry(row.u64("place")? as usize).or_default().push((row.u32("start_byte")?, row.blob("zstd")?));
    }
    Ok(blocks)
}

/// The passage in a row, but for its text.
fn passage_of(row: &Row, rule: Rule) -> Result<StoredPassage> {
    Ok(StoredPassage {
        document: row.name("document")?,
        doc: DocNo(row.u32("doc")?),
        version: VersionNo(row.u32("version")?),
        title: row.text("title")?,
        uri: row.text_or_null("uri")?,
        attributes: row.json("attributes")?,
        source: row.text_or_null("source")?,
        modified_at: row.time_or_null("modified_at")?,
        indexed_at: row.time("created_at")?,
        chunk: row.u32("chunk")?,
        chunks_total: row.u32("chunks")?,
        span: span_of(row)?,
        headings: row.json("headings")?,
        lines: (row.u32("line_first")?, row.u32("line_last")?),
        places: Places::default(),
        lead: String::new(),
        text: String::new(),
        text_sha256: row.hash("text_sha256")?,
        flags: screenings::flags_of(row)?,
        rule,
        acl: AclId(row.u32("acl")?),
    })
}
