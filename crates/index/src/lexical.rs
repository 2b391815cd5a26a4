//! The lexical arm: visible rows by the words that they share with the query.
//!
//! Promises: an answer is the one that scoring every visible row by BM25 gives, equal scores in the order of keys; it does
//! not depend on how rows lie in segments or on the order of the query's words. Does not: read a grammar out of a user's
//! text, or let a word that only hidden rows have into an answer.
//!
//! `query` is what is asked, `corpus` the rows it is held against, `plan` what the one comes to in the other, `evaluate`
//! the walk over it; `build` and `part` are the part's making and opening.

pub(crate) mod bounds;
mod build;
mod corpus;
mod evaluate;
mod expand;
pub(crate) mod language;
mod part;
mod phrase;
mod plan;
mod postings;
mod query;
#[cfg(test)]
mod tests;

pub use language::Language;
pub use query::{LexicalQuery, Typos};

pub(crate) use build::{Builder, merge};
pub(crate) use part::Part;

use crate::error::IndexError;
use crate::row::{Hit, RowId, RowKey};
use crate::snapshot::Snapshot;
use crate::top::Top;
use crate::visible::Visible;
use corpus::{Corpus, Shelf};
use plan::Plan;

impl Snapshot {
    /// The visible rows that fit the query best, best first, by BM25.
    pub fn lexical(&self, query: &LexicalQuery, visible: &Visible, limit: usize) -> Result<Vec<Hit>, IndexError> {
        self.check_visible(visible)?;
        let corpus = self.corpus(visible);
        best(&corpus, query, limit, |row| self.key(row)).map_err(IndexError::engine("search by words"))
    }

    /// The score of each of `rows`, the very one that [`Snapshot::lexical`] gives it; 0 where nothing matches and where
    /// the row is not visible.
    pub fn lexical_scores(
        &self,
        query: &LexicalQuery,
        visible: &Visible,
        rows: &[RowId],
    ) -> Result<Vec<f32>, IndexError> {
        self.check_visible(visible)?;
        self.check_rows(rows)?;
        scores(&self.corpus(visible), query, rows).map_err(IndexError::engine("score rows by words"))
    }

    /// What the query's words come to: the terms that are looked up for each, as one.
    pub(crate) fn terms(&self, query: &LexicalQuery, visible: &Visible) -> tantivy::Result<Vec<Vec<String>>> {
        Ok(plan::distinct_words(query, &self.corpus(visible))?.into_keys().collect())
    }

    fn corpus<'a>(&'a self, visible: &'a Visible) -> Corpus<'a> {
        let shelves = self.segments().iter().zip(&visible.segments).map(|(segment, bits)| Shelf {
            part: segment.lexical(),
            visible: &bits.visible,
            counted: bits.counted(visible.counted),
        });
        Corpus { shelves: shelves.collect(), rows: visible.counted_rows(), tokens: visible.counted_tokens }
    }
}

fn best(
    corpus: &Corpus<'_>,
    query: &LexicalQuery,
    limit: usize,
    key: impl Fn(RowId) -> RowKey,
) -> tantivy::Result<Vec<Hit>> {
    if limit == 0 || corpus.shows_nothing() {
        return Ok(Vec::new());
    }
    let mut best = Top::new(limit);
    let Some(plan) = Plan::of(query, corpus)? else { return Ok(Vec::new()) };
    for (at, shelf) in corpus.shelves.iter().enumerate().filter(|(_, shelf)| shelf.visible.ones() > 0) {
        let mut cursors = plan.cursors(shelf, at)?;
        let row = |row| RowId { segment: at as u32, row };
        let offer = |best: &mut Top, at, score| best.offer(score, row(at), || key(row(at)));
        evaluate::offer_rows(&mut cursors, shelf, &mut best, offer);
    }
    Ok(best.into_hits())
}

fn scores(corpus: &Corpus<'_>, query: &LexicalQuery, rows: &[RowId]) -> tantivy::Result<Vec<f32>> {
    let mut scores = vec![0.0; rows.len()];
    if rows.is_empty() || corpus.shows_nothing() {
        return Ok(scores);
    }
    let Some(plan) = Plan::of(query, corpus)? else { return Ok(scores) };
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_unstable_by_key(|&at| rows[at]);
    for same in order.chunk_by(|&one, &next| rows[one].segment == rows[next].segment) {
        let segment = rows[same[0]].segment as usize;
        let shelf = &corpus.shelves[segment];
        let mut cursors = plan.cursors(shelf, segment)?;
        for &at in same.iter().filter(|&&at| shelf.visible.has(rows[at].row)) {
            let gains = cursors.iter_mut().map(|cursor| cursor.gain_of(rows[at].row)).sum();
            scores[at] = postings::score(gains);
        }
    }
    Ok(scores)
}
