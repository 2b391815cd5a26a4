//! The dense arm: visible rows by the direction of their vectors.
//!
//! Few visible rows of a segment are all scanned in eight bits, many are looked for in its lists ([`crate::coarse`]); the
//! plan says which ([`crate::plan`]). Whatever may be among the best by then is scored in sixteen bits, so a score never
//! depends on the way. A scan is exact: a row is left out only if the error of its codes cannot lift it among the best.
//! Lists are walked best first and for as long as they can hold something better, by a bound that is likely rather than
//! certain; what a filter hides leaves worse rows among the best, so fewer lists are left out: a filter makes a search look
//! further, down to every row.

use catena_domain::RecipeId;
use catena_kernels::PlaneQuery;

use crate::coarse::{Prospect, planes};
use crate::error::IndexError;
use crate::plan::{Plan, Way};
use crate::row::{Hit, RowId};
use crate::segment::Segment;
use crate::snapshot::Snapshot;
use crate::top::Top;
use crate::vectors::Direction;
use crate::visible::Visible;

/// Rows that are looked at between two looks at what the best are by now.
const ROWS_AT_ONCE: usize = 256;
/// Lists that are walked before those that cannot hold anything better are dropped.
const FIRST_LISTS: usize = 32;
/// How far above its estimate a row is given a chance, in spreads of its list.
const DOUBT: f32 = 2.0;

/// A query's embedding, and what made it.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryVector {
    /// The recipe. Only an index of the same model is searched, however its texts were cut.
    pub recipe: RecipeId,
    /// The embedding; its length does not matter, its direction does.
    pub values: Vec<f32>,
}

/// How far a search of lists looks: a list is left out when its centre is this many spreads below the worst of the best.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort(f32);

impl Effort {
    /// What answers are found with.
    pub const USUAL: Self = Self(13.5);

    /// Another effort, for measuring.
    #[must_use]
    pub fn of_spreads(spreads: f32) -> Self {
        Self(spreads)
    }
}

impl Snapshot {
    /// The visible rows that point most nearly where the query points, best first, by cosine.
    pub fn dense(&self, query: &QueryVector, visible: &Visible, limit: usize) -> Result<Vec<Hit>, IndexError> {
        self.dense_with(query, visible, limit, Effort::USUAL)
    }

    /// The same, with another effort.
    pub fn dense_with(
        &self,
        query: &QueryVector,
        visible: &Visible,
        limit: usize,
        effort: Effort,
    ) -> Result<Vec<Hit>, IndexError> {
        self.dense_tallied(query, visible, limit, effort).map(|(hits, _)| hits)
    }

    /// The same, and what it took in each segment.
    pub(crate) fn dense_tallied(
        &self,
        query: &QueryVector,
        visible: &Visible,
        limit: usize,
        effort: Effort,
    ) -> Result<(Vec<Hit>, Vec<Tally>), IndexError> {
        self.check_visible(visible)?;
        let query = self.direction(query)?;
        if limit == 0 {
            return Ok((Vec::new(), vec![Tally::default(); self.segments().len()]));
        }
        let mut search = Search::new(self, &query, visible, limit);
        let plan = self.plan(visible, limit);
        let by = |wanted: Way| plan.ways().filter(move |(_, way)| *way == wanted).map(|(at, _)| at);
        // Scans come first: what they find spares lists.
        by(Way::Scan).for_each(|at| search.scan(at));
        let lists: Vec<usize> = by(Way::Lists).collect();
        if !lists.is_empty() {
            search.walk(&lists, effort);
        }
        Ok((search.best.into_hits(), search.tallies))
    }

    /// Which way such a search takes through each segment.
    #[must_use]
    pub fn plan(&self, visible: &Visible, limit: usize) -> Plan {
        Plan::new(self, visible, limit)
    }

    /// The cosine of each of `rows` with the query, the very score that [`Snapshot::dense`] gives them.
    pub fn dense_scores(&self, query: &QueryVector, rows: &[RowId]) -> Result<Vec<f32>, IndexError> {
        self.check_rows(rows)?;
        let query = self.direction(query)?;
        Ok(rows.iter().map(|row| self.segments()[row.segment as usize].vectors().cosine(&query, row.row)).collect())
    }

    fn direction(&self, query: &QueryVector) -> Result<Direction, IndexError> {
        if !query.recipe.has_model_of(self.recipe()) {
            return Err(IndexError::Recipe { index: self.recipe().clone(), given: query.recipe.clone() });
        }
        if query.values.len() != self.dimension() {
            return Err(IndexError::Dimension { index: self.dimension(), given: query.values.len() });
        }
        Direction::new(&query.values).map_err(|what| IndexError::QueryVector { what })
    }
}

/// What a search took in one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// Rows that were estimated or scanned.
    pub(crate) looked_at: u64,
    /// Rows that were scored.
    pub(crate) rescored: u64,
}

/// One search, with the space that it works in.
struct Search<'a> {
    snapshot: &'a Snapshot,
    query: &'a Direction,
    visible: &'a Visible,
    best: Top,
    tallies: Vec<Tally>,
    rows: Vec<u32>,
    products: Vec<i32>,
    cosines: Vec<f32>,
}

impl<'a> Search<'a> {
    fn new(snapshot: &'a Snapshot, query: &'a Direction, visible: &'a Visible, limit: usize) -> Self {
        let (rows, products, cosines) = (Vec::with_capacity(ROWS_AT_ONCE), Vec::new(), Vec::new());
        let tallies = vec![Tally::default(); snapshot.segments().len()];
        Self { snapshot, query, visible, best: Top::new(limit), tallies, rows, products, cosines }
    }

    fn segment(&self, at: usize) -> &'a Segment {
        &self.snapshot.segments()[at]
    }

    /// The cosine that a row must have to be among the best.
    fn bar(&self) -> f32 {
        self.best.least().unwrap_or(f32::NEG_INFINITY)
    }

    /// Looks at every visible row of a segment.
    fn scan(&mut self, at: usize) {
        let mut rows = self.visible.segments[at].visible.iter();
        loop {
            self.rows.clear();
            self.rows.extend(rows.by_ref().take(ROWS_AT_ONCE));
            if self.rows.is_empty() {
                return;
            }
            self.tallies[at].looked_at += self.rows.len() as u64;
            self.look(at);
        }
    }

    /// Walks the lists of some segments, whichever promises most first.
    fn walk(&mut self, segments: &[usize], Effort(reach): Effort) {
        let planes = planes(self.query);
        let mut lists: Vec<(f32, usize, Prospect)> = Vec::new();
        for &at in segments {
            let Some(coarse) = self.segment(at).coarse() else { continue };
            let prospects = coarse.rank(self.query, &mut self.products);
            lists.extend(prospects.map(|list| (list.base + reach * list.spread, at, list)));
        }
        let promise = |one: &(f32, usize, Prospect), other: &(f32, usize, Prospect)| {
            other.0.total_cmp(&one.0).then((one.1, one.2.list).cmp(&(other.1, other.2.list)))
        };
        // Most lists are never reached: the first few are brought to the front, the rest only if it may still matter.
        let first = lists.len().min(FIRST_LISTS);
        if lists.len() > first {
            lists.select_nth_unstable_by(first, promise);
        }
        let mut rest = lists.split_off(first);
        lists.sort_unstable_by(promise);
        self.visit_all(&lists, &planes);
        rest.retain(|list| list.0 >= self.bar());
        rest.sort_unstable_by(promise);
        self.visit_all(&rest, &planes);
    }

    /// Visits lists, best first, until one has nothing to offer.
    fn visit_all(&mut self, lists: &[(f32, usize, Prospect)], planes: &PlaneQuery) {
        let mut marks = Vec::new();
        for &(bound, at, list) in lists {
            if bound < self.bar() {
                return;
            }
            self.visit(at, list, planes, &mut marks);
        }
    }

    /// Looks at the visible rows of a list that seem to reach the best.
    fn visit(&mut self, at: usize, list: Prospect, planes: &PlaneQuery, marks: &mut Vec<u8>) {
        let Some(coarse) = self.segment(at).coarse() else { return };
        let visible = &self.visible.segments[at].visible;
        let bar = self.bar() - DOUBT * list.spread;
        let rows = &mut self.rows;
        rows.clear();
        let looked_at = coarse.estimate(planes, list, bar, marks, |row| {
            if visible.has(row) {
                rows.push(row);
            }
        });
        self.tallies[at].looked_at += looked_at as u64;
        self.look(at);
    }

    /// Scores those of the rows in `self.rows` that may be among the best.
    fn look(&mut self, at: usize) {
        let (segment, vectors) = (self.segment(at), self.segment(at).vectors());
        vectors.near(self.query, &self.rows, &mut self.cosines, &mut self.products);
        let error = vectors.error(self.query);
        for (&row, &near) in self.rows.iter().zip(&self.cosines) {
            if near + error >= self.bar() {
                self.tallies[at].rescored += 1;
                let score = vectors.cosine(self.query, row);
                self.best.offer(score, RowId { segment: at as u32, row }, || segment.columns().key(row));
            }
        }
    }
}
