//! The dense arm: visible rows by the direction of their vectors.
//!
//! Every visible row is scanned in eight bits and the best of them are scored in sixteen, so a filter makes a search
//! cheaper and never wrong. Does not: walk a graph; that is for more rows than a tenant's scan can bear.

use catena_domain::RecipeId;

use crate::error::IndexError;
use crate::row::{Hit, RowId};
use crate::snapshot::Snapshot;
use crate::top::Top;
use crate::vectors::Direction;
use crate::visible::Visible;

/// Candidates that the scan keeps for each row wanted, and the least that it keeps.
const CANDIDATES_PER_HIT: usize = 4;
const CANDIDATES_MIN: usize = 100;

/// How many candidates the scan keeps when `limit` rows are wanted.
pub(crate) fn candidates(limit: usize) -> usize {
    limit.saturating_mul(CANDIDATES_PER_HIT).max(CANDIDATES_MIN)
}

/// A query's embedding, and what made it.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryVector {
    /// The recipe. Only an index of the same one is searched.
    pub recipe: RecipeId,
    /// The embedding; its length does not matter, its direction does.
    pub values: Vec<f32>,
}

impl Snapshot {
    /// The visible rows that point most nearly where the query points, best first, by cosine.
    pub fn dense(&self, query: &QueryVector, visible: &Visible, limit: usize) -> Result<Vec<Hit>, IndexError> {
        self.check_visible(visible)?;
        let query = self.direction(query)?;
        let mut found = Top::new(candidates(limit));
        for (at, (segment, bits)) in self.segments().iter().zip(&visible.segments).enumerate() {
            segment.vectors().scan(&query, bits.visible.iter(), |row, score| {
                found.offer(score, RowId { segment: at as u32, row }, || segment.columns().key(row));
            });
        }
        let mut best = Top::new(limit);
        for candidate in found.into_hits() {
            best.offer(self.cosine(&query, candidate.row), candidate.row, || self.key(candidate.row));
        }
        Ok(best.into_hits())
    }

    /// The cosine of each of `rows` with the query, the very score that [`Snapshot::dense`] gives them.
    pub fn dense_scores(&self, query: &QueryVector, rows: &[RowId]) -> Result<Vec<f32>, IndexError> {
        self.check_rows(rows)?;
        let query = self.direction(query)?;
        Ok(rows.iter().map(|&row| self.cosine(&query, row)).collect())
    }

    fn cosine(&self, query: &Direction, row: RowId) -> f32 {
        self.segments()[row.segment as usize].vectors().cosine(query, row.row)
    }

    fn direction(&self, query: &QueryVector) -> Result<Direction, IndexError> {
        if query.recipe != *self.recipe() {
            return Err(IndexError::Recipe { index: self.recipe().clone(), given: query.recipe.clone() });
        }
        if query.values.len() != self.dimension() {
            return Err(IndexError::Dimension { index: self.dimension(), given: query.values.len() });
        }
        Direction::new(&query.values).map_err(|what| IndexError::QueryVector { what })
    }
}
