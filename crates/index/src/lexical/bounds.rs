//! The side file `bounds`: how well a block of postings can score at most, under any statistics.
//!
//! Postings lie in blocks of [`BLOCK_ROWS`]. The engine's own maxima hold for one segment's average length and for its
//! own parameters; ours must hold for the statistics of all rows that count, which change with every write. So a block
//! says what no statistics change: its last row, the greatest frequency and the least length in it. A term with one block
//! has none here; that block is decoded anyway.
//!
//! Layout, for each scored field: the number of terms and of blocks, two `u64`; for each term where its postings begin,
//! an `u64`, in order; for each term the number of its first block, an `u32`, and the number of all blocks; for each
//! block two `u32`. Padded to eight bytes.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};
use tantivy::SegmentReader;
use tantivy::directory::OwnedBytes;
use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::BlockSegmentPostings;
use tantivy::schema::IndexRecordOption;

use crate::words::{self, FIELDS};

/// Rows of a full block of the engine's postings.
pub(crate) const BLOCK_ROWS: usize = 128;

/// What a block can hold at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Bound {
    /// Its last row.
    pub(crate) last: u32,
    /// The greatest frequency, above eight bits for the least length.
    most: u32,
}

/// A frequency that may be any greater one.
const FREQUENCY_OPEN: u32 = u32::MAX >> LENGTH_BITS;
const LENGTH_BITS: u32 = 8;

impl Bound {
    pub(crate) fn new(last: u32, frequency: u32, length: u8) -> Self {
        Self { last, most: frequency.min(FREQUENCY_OPEN) << LENGTH_BITS | u32::from(length) }
    }

    /// The greatest frequency and the least length, which need not be those of one row.
    pub(crate) fn best(self) -> (u32, u8) {
        let frequency = self.most >> LENGTH_BITS;
        (if frequency == FREQUENCY_OPEN { u32::MAX } else { frequency }, self.most as u8)
    }

    /// Of one block's rows and frequencies. `None` for an empty one.
    pub(crate) fn of(rows: &[u32], frequencies: &[u32], length: impl Fn(u32) -> u8) -> Option<Self> {
        let last = *rows.last()?;
        let most = frequencies.iter().copied().max()?;
        let least = rows.iter().map(|&row| length(row)).min()?;
        Some(Self::new(last, most, least))
    }
}

/// The bounds of a segment that is open.
pub(crate) struct Bounds {
    bytes: OwnedBytes,
    fields: [FieldPlaces; FIELDS],
}

#[derive(Clone, Default)]
struct FieldPlaces {
    starts: Range<usize>,
    firsts: Range<usize>,
    blocks: Range<usize>,
}

impl Bounds {
    /// Opens what [`build`] made; `None` when it is something else.
    pub(crate) fn open(bytes: OwnedBytes) -> Option<Self> {
        let mut at = 0_usize;
        let mut fields = std::array::from_fn(|_| FieldPlaces::default());
        for places in &mut fields {
            let head: &[u64] = bytemuck::try_cast_slice(bytes.get(at..at.checked_add(16)?)?).ok()?;
            let (terms, blocks) = (usize::try_from(head[0]).ok()?, usize::try_from(head[1]).ok()?);
            at += 16;
            let mut take = |count: usize, bytes: usize| {
                let range = at..at.checked_add(count.checked_mul(bytes)?)?;
                at = range.end;
                Some(range)
            };
            *places = FieldPlaces {
                starts: take(terms, size_of::<u64>())?,
                firsts: take(terms.checked_add(1)?, size_of::<u32>())?,
                blocks: take(blocks, size_of::<Bound>())?,
            };
            at = at.checked_next_multiple_of(size_of::<u64>())?;
        }
        (at == bytes.len()).then_some(Self { bytes, fields })
    }

    /// The bounds of the term whose postings begin at `start`; empty when it has one block.
    pub(crate) fn of(&self, field: usize, start: usize) -> &[Bound] {
        let places = &self.fields[field];
        let starts: &[u64] = self.view(&places.starts);
        let Ok(term) = starts.binary_search(&(start as u64)) else { return &[] };
        let firsts: &[u32] = self.view(&places.firsts);
        let blocks: &[Bound] = self.view(&places.blocks);
        blocks.get(firsts[term] as usize..firsts[term + 1] as usize).unwrap_or_default()
    }

    fn view<T: Pod>(&self, range: &Range<usize>) -> &[T] {
        bytemuck::try_cast_slice(&self.bytes[range.clone()]).unwrap_or_default()
    }
}

/// The side file of an open segment.
pub(crate) fn build(reader: &SegmentReader) -> tantivy::Result<Vec<u8>> {
    let mut file = Vec::new();
    for field in (0..FIELDS).map(words::field) {
        let inverted = reader.inverted_index(field)?;
        let lengths = reader.get_fieldnorms_reader(field)?;
        let (mut starts, mut firsts, mut blocks) = (Vec::<u64>::new(), Vec::<u32>::new(), Vec::<Bound>::new());
        let mut terms = inverted.terms().stream()?;
        while let Some((_, info)) = terms.next() {
            if info.doc_freq as usize <= BLOCK_ROWS {
                continue;
            }
            starts.push(info.postings_range.start as u64);
            firsts.push(blocks.len() as u32);
            let postings = inverted.read_block_postings_from_terminfo(info, IndexRecordOption::WithFreqs)?;
            push_blocks(&mut blocks, postings, &lengths);
        }
        firsts.push(blocks.len() as u32);
        file.extend_from_slice(bytemuck::bytes_of(&[starts.len() as u64, blocks.len() as u64]));
        file.extend_from_slice(bytemuck::cast_slice(&starts));
        file.extend_from_slice(bytemuck::cast_slice(&firsts));
        file.extend_from_slice(bytemuck::cast_slice(&blocks));
        file.resize(file.len().next_multiple_of(size_of::<u64>()), 0);
    }
    Ok(file)
}

fn push_blocks(blocks: &mut Vec<Bound>, mut postings: BlockSegmentPostings, lengths: &FieldNormReader) {
    while let Some(bound) = Bound::of(postings.docs(), postings.freqs(), |row| lengths.fieldnorm_id(row)) {
        blocks.push(bound);
        postings.advance();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bound_keeps_what_it_was_made_of_and_an_immense_frequency_is_open(
            last in any::<u32>(), frequency in any::<u32>(), length in any::<u8>(),
        ) {
            let bound = Bound::new(last, frequency, length);
            let (most, least) = bound.best();
            prop_assert_eq!((bound.last, least), (last, length));
            prop_assert!(most >= frequency);
            prop_assert!(frequency >= FREQUENCY_OPEN || most == frequency);
        }

        #[test]
        fn any_bytes_are_opened_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(bounds) = Bounds::open(OwnedBytes::new(bytes)) {
                for field in 0..FIELDS {
                    bounds.of(field, 0);
                }
            }
        }
    }
}
