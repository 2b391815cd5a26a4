//! The lexical arm: visible rows by the words that they share with the query.
//!
//! A query is a set of terms and nothing else: there is no grammar, so nothing in a user's text is an instruction.
//! Every row with a term is scored. The engine's block maxima, which would let it skip rows, are made for each segment's
//! own average length; under the statistics of all live rows they are no bound, and a merge could change an answer.

use std::collections::HashSet;

use catena_domain::limits;
use tantivy::query::{BooleanQuery, BoostQuery, EnableScoring, Occur, Query, TermQuery, Weight};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, Term};

use crate::analyser::{Analyser, Go};
use crate::error::IndexError;
use crate::row::{Hit, RowId};
use crate::segment::Segment;
use crate::snapshot::Snapshot;
use crate::statistics::Statistics;
use crate::top::Top;
use crate::visible::Visible;
use crate::words;

/// A user's question as distinct terms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LexicalQuery {
    terms: Vec<String>,
}

impl LexicalQuery {
    /// The terms of `text`, as the index's own analyser finds them: each once, in their order, the first
    /// [`limits::QUERY_TERMS_MAX`] of the first [`limits::QUERY_BYTES_MAX`] bytes.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = &text[..text.floor_char_boundary(limits::QUERY_BYTES_MAX)];
        let (mut terms, mut seen) = (Vec::new(), HashSet::new());
        Analyser::new().visit(text, |token| {
            if seen.insert(token.text.clone()) {
                terms.push(token.text.clone());
            }
            if terms.len() < limits::QUERY_TERMS_MAX { Go::On } else { Go::Stop }
        });
        Self { terms }
    }

    /// The terms.
    #[must_use]
    pub fn terms(&self) -> &[String] {
        &self.terms
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }
}

impl Snapshot {
    /// The visible rows that fit the query's words best, best first, by BM25.
    pub fn lexical(&self, query: &LexicalQuery, visible: &Visible, limit: usize) -> Result<Vec<Hit>, IndexError> {
        self.check_visible(visible)?;
        let mut best = Top::new(limit);
        let Some(weight) = self.weight(query, visible)? else { return Ok(Vec::new()) };
        for (at, (segment, bits)) in self.segments().iter().zip(&visible.segments).enumerate() {
            if bits.visible.ones() == 0 {
                continue;
            }
            let scored = weight.for_each(segment.reader(), &mut |row, score| {
                if bits.visible.has(row) {
                    best.offer(score, RowId { segment: at as u32, row }, || segment.columns().key(row));
                }
            });
            scored.map_err(IndexError::engine("search a segment"))?;
        }
        Ok(best.into_hits())
    }

    /// The score of each of `rows`, the very one that [`Snapshot::lexical`] gives it; 0 where no term matches and where
    /// the row is not visible.
    pub fn lexical_scores(
        &self,
        query: &LexicalQuery,
        visible: &Visible,
        rows: &[RowId],
    ) -> Result<Vec<f32>, IndexError> {
        self.check_visible(visible)?;
        self.check_rows(rows)?;
        let mut scores = vec![0.0; rows.len()];
        let Some(weight) = self.weight(query, visible)? else { return Ok(scores) };
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_unstable_by_key(|&at| rows[at]);
        for same in order.chunk_by(|&one, &next| rows[one].segment == rows[next].segment) {
            let segment = rows[same[0]].segment as usize;
            let seen = |at: &usize| visible.segments[segment].visible.has(rows[*at].row);
            let wanted: Vec<(usize, u32)> = same.iter().filter(|at| seen(at)).map(|&at| (at, rows[at].row)).collect();
            score_rows(weight.as_ref(), &self.segments()[segment], &wanted, &mut scores)
                .map_err(IndexError::engine("score rows"))?;
        }
        Ok(scores)
    }

    /// The query with its statistics, made once for all segments: a score does not depend on a row's segment. `None`
    /// when no live row has any of the terms.
    fn weight(&self, query: &LexicalQuery, visible: &Visible) -> Result<Option<Box<dyn Weight>>, IndexError> {
        let Some(first) = self.segments().first() else { return Ok(None) };
        if query.is_empty() || visible.rows() == 0 {
            return Ok(None);
        }
        let mut clauses = Vec::new();
        for text in &query.terms {
            clauses.extend(words::fields().map(|(field, weight)| (Term::from_field_text(field, text), weight)));
        }
        let failed = || IndexError::engine("count a query's terms");
        let statistics = Statistics::count(self, visible, clauses.iter().map(|(term, _)| term)).map_err(failed())?;
        clauses.retain(|(term, _)| statistics.frequency(term) > 0);
        if clauses.is_empty() {
            return Ok(None);
        }
        let clause = |(term, weight): (Term, f32)| -> (Occur, Box<dyn Query>) {
            let term = TermQuery::new(term, IndexRecordOption::WithFreqs);
            (Occur::Should, Box::new(BoostQuery::new(Box::new(term), weight)))
        };
        let query = BooleanQuery::new(clauses.into_iter().map(clause).collect());
        let scoring = EnableScoring::enabled_from_statistics_provider(&statistics, first.searcher());
        query.weight(scoring).map(Some).map_err(failed())
    }
}

/// Scores some rows of one segment. `wanted` says where each score goes, in the rows' order.
fn score_rows(
    weight: &dyn Weight,
    segment: &Segment,
    wanted: &[(usize, u32)],
    scores: &mut [f32],
) -> tantivy::Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let mut scorer = weight.scorer(segment.reader(), 1.0)?;
    for &(at, row) in wanted {
        if scorer.doc() < row {
            scorer.seek(row);
        }
        if scorer.doc() == row {
            scores[at] = scorer.score();
        }
    }
    Ok(())
}
