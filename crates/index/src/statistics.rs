//! What BM25 counts: live rows of the whole tenant, wherever they lie.
//!
//! The engine would count every row of a segment, dead ones too, until a merge drops them: scores would change with
//! background work, and a deleted document would still show in them. Here a merge changes no score.

use std::collections::HashMap;

use tantivy::query::Bm25StatisticsProvider;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocSet, TERMINATED, Term};

use crate::bits::Bits;
use crate::segment::Segment;
use crate::snapshot::Snapshot;
use crate::visible::Visible;
use crate::words::FIELDS;

/// The counts for the terms of one query.
pub(crate) struct Statistics {
    rows: u64,
    tokens: [u64; FIELDS],
    frequencies: HashMap<Term, u64>,
}

impl Statistics {
    pub(crate) fn count<'a>(
        snapshot: &Snapshot,
        visible: &Visible,
        terms: impl Iterator<Item = &'a Term>,
    ) -> tantivy::Result<Self> {
        let mut frequencies = HashMap::new();
        for term in terms {
            let mut frequency = 0;
            for (segment, bits) in snapshot.segments().iter().zip(&visible.segments) {
                frequency += live_frequency(segment, bits.counted(visible.counted), term)?;
            }
            frequencies.insert(term.clone(), frequency);
        }
        Ok(Self { rows: visible.live_rows(), tokens: visible.live_tokens, frequencies })
    }

    /// How many live rows have the term.
    pub(crate) fn frequency(&self, term: &Term) -> u64 {
        self.frequencies.get(term).copied().unwrap_or_default()
    }
}

/// Live rows of one segment with the term: from the dictionary when no row is dead, else by walking its postings.
fn live_frequency(segment: &Segment, counted: &Bits, term: &Term) -> tantivy::Result<u64> {
    if counted.ones() == 0 {
        return Ok(0);
    }
    let inverted = segment.reader().inverted_index(term.field())?;
    if counted.ones() == segment.rows() {
        return Ok(u64::from(inverted.doc_freq(term)?));
    }
    let Some(mut postings) = inverted.read_postings(term, IndexRecordOption::Basic)? else { return Ok(0) };
    let mut frequency = 0;
    while postings.doc() != TERMINATED {
        frequency += u64::from(counted.has(postings.doc()));
        postings.advance();
    }
    Ok(frequency)
}

impl Bm25StatisticsProvider for Statistics {
    fn total_num_tokens(&self, field: Field) -> tantivy::Result<u64> {
        Ok(self.tokens.get(field.field_id() as usize).copied().unwrap_or_default())
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        Ok(self.rows)
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        Ok(self.frequency(term))
    }
}
