//! Where in their originals texts come from: written once with their version, read for a passage or whole.
//!
//! Promises: a passage costs three look-ups by key, however many places its version has. Does not: know what a reader
//! makes a place of.

use catena_domain::{Span, limits};

use crate::error::{CatalogError, Result};
use crate::model::{Place, Places, Position};
use crate::store::{Connection, Row, insert_rows, sql, sql_of};
use crate::tables::codec::json;
use crate::tables::text::TextOf;

/// Checks that places are few, and in the order of their text.
pub(crate) fn check(places: &[Place], text: &str) -> Result<()> {
    let invalid = |reason: String| Err(CatalogError::Invalid { what: "the list of places", reason });
    let limit = limits::PLACES_PER_DOCUMENT_MAX;
    if places.len() > limit {
        return invalid(format!("has {} entries; the limit is {limit}; split the document", places.len()));
    }
    let is_in_order = places.windows(2).all(|pair| pair[0].start < pair[1].start && pair[0].line <= pair[1].line);
    let is_inside = places.last().is_none_or(|last| (last.start as usize) <= text.len());
    if is_in_order && is_inside { Ok(()) } else { invalid("is not in the order of the text".to_owned()) }
}

pub(crate) async fn write(connection: &mut Connection, of: TextOf<'_>, places: &[Place]) -> Result<()> {
    let into = "INSERT INTO version_places (tenant, doc, version, start_byte, line, position)";
    let common = [of.tenant.as_str().into(), of.doc.0.into(), of.version.0.into()];
    let row = |place: &Place| [place.start.into(), place.line.into(), json(&place.position).into()];
    insert_rows(connection, into, &common, places, row).await
}

/// All places of a version.
pub(crate) async fn read(connection: &mut Connection, of: TextOf<'_>) -> Result<Vec<Place>> {
    let rows = sql("SELECT start_byte, line, position FROM version_places
         WHERE tenant = $1 AND doc = $2 AND version = $3 ORDER BY start_byte")
    .bind(of.tenant.as_str())
    .bind(of.doc.0)
    .bind(of.version.0)
    .fetch_all(connection)
    .await?;
    rows.iter().map(place_of).collect()
}

/// The places of spans of one tenant, in the order of `wanted`.
pub(crate) async fn of_spans(connection: &mut Connection, wanted: &[(TextOf<'_>, Span)]) -> Result<Vec<Places>> {
    let mut found = vec![Places::default(); wanted.len()];
    let Some((TextOf { tenant, .. }, _)) = wanted.first() else { return Ok(found) };
    let spans: Vec<[u32; 5]> = wanted
        .iter()
        .zip(0u32..)
        .map(|((of, span), number)| [number, of.doc.0, of.version.0, span.start, span.end])
        .collect();
    let rows = sql_of(
        "SELECT json_extract(w.value, '$[0]') AS number, p.start_byte, p.line, p.position
         FROM json_each($2) w
         CROSS JOIN version_places p
             ON p.tenant = $1 AND p.doc = json_extract(w.value, '$[1]') AND p.version = json_extract(w.value, '$[2]')
            AND p.start_byte IN (
                (SELECT max(q.start_byte) FROM version_places q WHERE q.tenant = $1
                    AND q.doc = json_extract(w.value, '$[1]') AND q.version = json_extract(w.value, '$[2]')
                    AND q.start_byte <= json_extract(w.value, '$[3]')),
                (SELECT min(q.start_byte) FROM version_places q WHERE q.tenant = $1
                    AND q.doc = json_extract(w.value, '$[1]') AND q.version = json_extract(w.value, '$[2]')
                    AND q.start_byte > json_extract(w.value, '$[3]')
                    AND q.start_byte < json_extract(w.value, '$[4]')),
                (SELECT max(q.start_byte) FROM version_places q WHERE q.tenant = $1
                    AND q.doc = json_extract(w.value, '$[1]') AND q.version = json_extract(w.value, '$[2]')
                    AND q.start_byte > json_extract(w.value, '$[3]')
                    AND q.start_byte < json_extract(w.value, '$[4]')))
         ORDER BY w.key, p.start_byte",
        "SELECT (w.value->>0)::BIGINT AS number, p.start_byte, p.line, p.position
         FROM jsonb_array_elements($2::JSONB) WITH ORDINALITY AS w (value, place)
         CROSS JOIN LATERAL (
             (SELECT start_byte, line, position FROM version_places WHERE tenant = $1
                 AND doc = (w.value->>1)::BIGINT AND version = (w.value->>2)::BIGINT
                 AND start_byte <= (w.value->>3)::BIGINT ORDER BY start_byte DESC LIMIT 1)
             UNION
             (SELECT start_byte, line, position FROM version_places WHERE tenant = $1
                 AND doc = (w.value->>1)::BIGINT AND version = (w.value->>2)::BIGINT
                 AND start_byte > (w.value->>3)::BIGINT AND start_byte < (w.value->>4)::BIGINT
                 ORDER BY start_byte LIMIT 1)
             UNION
             (SELECT start_byte, line, position FROM version_places WHERE tenant = $1
                 AND doc = (w.value->>1)::BIGINT AND version = (w.value->>2)::BIGINT
                 AND start_byte > (w.value->>3)::BIGINT AND start_byte < (w.value->>4)::BIGINT
                 ORDER BY start_byte DESC LIMIT 1)) p
         ORDER BY w.place, p.start_byte",
    )
    .bind(tenant.as_str())
    .bind(json(&spans))
    .fetch_all(connection)
    .await?;
    for row in &rows {
        let (number, place) = (row.u64("number")? as usize, place_of(row)?);
        let (Some(places), Some((_, span))) = (found.get_mut(number), wanted.get(number)) else { continue };
        if place.start <= span.start {
            places.at_start = Some(place);
        } else {
            places.first_inside.get_or_insert_with(|| place.clone());
            places.last_inside = Some(place);
        }
    }
    Ok(found)
}

fn place_of(row: &Row) -> Result<Place> {
    Ok(Place { start: row.u32("start_byte")?, line: row.u32("line")?, position: row.json::<Position>("position")? })
}
