//! Texts in blocks: written once with their version, read whole or by span.
//!
//! A block holds at most [`BLOCK_BYTES`] and at least three bytes less, so the blocks of a span are found by its numbers
//! alone, and a passage costs one or two small decompressions however long its document is.

use catena_domain::{DocNo, Span, TenantId, VersionNo};

use crate::error::{CatalogError, Result};
use crate::store::{Connection, insert_rows, sql};
use crate::tables::codec::corrupt;

/// Longest block, in bytes of text.
pub(crate) const BLOCK_BYTES: usize = 8 * 1024;
const ZSTD_LEVEL: i32 = 3;
/// Blocks compressed before other tasks get a turn.
const BLOCKS_PER_TURN: usize = 32;

/// A block ready to be stored.
pub(crate) struct Block {
    pub(crate) start_byte: u32,
    pub(crate) zstd: Vec<u8>,
}

/// Which version's text.
#[derive(Clone, Copy)]
pub(crate) struct TextOf<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) doc: DocNo,
    pub(crate) version: VersionNo,
}

impl TextOf<'_> {
    fn damaged(&self) -> CatalogError {
        corrupt("the text", format!("document {} version {}", self.doc, self.version))
    }
}

/// Cuts a text on borders of characters.
fn cut(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = &text[start..];
        if rest.is_empty() {
            return None;
        }
        let block = &rest[..rest.floor_char_boundary(BLOCK_BYTES)];
        let at = start;
        start += block.len();
        Some((at, block))
    })
}

pub(crate) async fn compress(text: &str) -> Result<Vec<Block>> {
    let mut blocks = Vec::with_capacity(text.len() / BLOCK_BYTES + 1);
    for (number, (start, block)) in cut(text).enumerate() {
        if number % BLOCKS_PER_TURN == BLOCKS_PER_TURN - 1 {
            tokio::task::yield_now().await;
        }
        let invalid = |reason: String| CatalogError::Invalid { what: "the text", reason };
        let zstd = zstd::bulk::compress(block.as_bytes(), ZSTD_LEVEL)
            .map_err(|error| invalid(format!("cannot be compressed: {error}")))?;
        let start_byte = u32::try_from(start).map_err(|_| invalid("is longer than 4 GiB".to_owned()))?;
        blocks.push(Block { start_byte, zstd });
    }
    Ok(blocks)
}

fn decompress(of: TextOf<'_>, zstd: &[u8]) -> Result<String> {
    let bytes = zstd::bulk::decompress(zstd, BLOCK_BYTES).map_err(|_| of.damaged())?;
    String::from_utf8(bytes).map_err(|_| of.damaged())
}

pub(crate) async fn write(connection: &mut Connection, of: TextOf<'_>, blocks: &[Block]) -> Result<()> {
    let into = "INSERT INTO version_text (tenant, doc, version, start_byte, zstd)";
    let common = [of.tenant.as_str().into(), of.doc.0.into(), of.version.0.into()];
    insert_rows(connection, into, &common, blocks, |block| [block.start_byte.into(), block.zstd.as_slice().into()])
        .await
}

/// The whole text, checked against its length.
pub(crate) async fn read(connection: &mut Connection, of: TextOf<'_>, text_bytes: u64) -> Result<String> {
    let end = u32::try_from(text_bytes).map_err(|_| of.damaged())?;
    let rows = sql("SELECT start_byte, zstd FROM version_text
         WHERE tenant = $1 AND doc = $2 AND version = $3 ORDER BY start_byte")
    .bind(of.tenant.as_str())
    .bind(of.doc.0)
    .bind(of.version.0)
    .fetch_all(connection)
    .await?;
    let mut blocks = Vec::with_capacity(rows.len());
    for row in rows {
        blocks.push((row.u32("start_byte")?, row.blob("zstd")?));
    }
    join(of, Span { start: 0, end }, &blocks)
}

/// The text under a span, from the stored blocks that may touch it, in order.
pub(crate) fn join(of: TextOf<'_>, span: Span, blocks: &[(u32, Vec<u8>)]) -> Result<String> {
    let mut text = String::new();
    let mut at = span.start as usize;
    for (start_byte, zstd) in blocks {
        let block = decompress(of, zstd)?;
        let (from, to) = (*start_byte as usize, *start_byte as usize + block.len());
        if to <= at {
            continue;
        }
        let end = to.min(span.end as usize);
        let piece = at.checked_sub(from).and_then(|first| block.get(first..end.checked_sub(from)?));
        text.push_str(piece.ok_or_else(|| of.damaged())?);
        at = end;
    }
    if at == span.end as usize { Ok(text) } else { Err(of.damaged()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = String> {
        // Long enough for several blocks, with characters of every length on their borders.
        (prop::collection::vec("[a-c \n]{0,40}|é{1,9}|語{1,9}|🦀{1,9}", 1..80), 1usize..40)
            .prop_map(|(parts, times)| parts.concat().repeat(times))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn blocks_give_every_span_back_byte_for_byte(text in text(), ends in prop::collection::vec((0.0..1.0f64, 0.0..1.0f64), 1..20)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let blocks = runtime.block_on(compress(&text)).unwrap();
            prop_assert!(blocks.iter().all(|block| block.zstd.len() < BLOCK_BYTES + 64));
            let tenant = TenantId::new("acme").unwrap();
            let of = TextOf { tenant: &tenant, doc: DocNo(0), version: VersionNo(1) };
            for (a, b) in ends {
                let place = |share: f64| text.floor_char_boundary((share * (text.len() + 1) as f64) as usize) as u32;
                let span = Span { start: place(a).min(place(b)), end: place(a).max(place(b)) };
                let near: Vec<(u32, Vec<u8>)> = blocks.iter()
                    .filter(|block| i64::from(block.start_byte) > i64::from(span.start) - BLOCK_BYTES as i64 && block.start_byte < span.end)
                    .map(|block| (block.start_byte, block.zstd.clone()))
                    .collect();
                prop_assert_eq!(join(of, span, &near).unwrap(), span.of(&text).unwrap());
                if span.start < span.end {
                    let first = near.iter().rposition(|(start, _)| *start <= span.start).unwrap();
                    let without: Vec<_> = near.iter().enumerate().filter(|&(at, _)| at != first).map(|(_, it)| it.clone()).collect();
                    prop_assert!(join(of, span, &without).is_err(), "a missing block went unnoticed");
                }
            }
        }
    }
}
