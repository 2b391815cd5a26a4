//! How a question was gone about, for people who ask why.
//!
//! Nothing here decides anything: it tells what the arms do with the same rows. What it tells of rows that are not visible
//! is for administrators; the caller sees to that.

use catena_domain::{DocNo, VersionNo};

use crate::bits::Bits;
use crate::dense::{Effort, QueryVector, Tally};
use crate::error::IndexError;
use crate::lexical::LexicalQuery;
use crate::plan::Way;
use crate::row::RowId;
use crate::segment::Segment;
use crate::snapshot::Snapshot;
use crate::visible::Visible;
use crate::words::BODY;

/// What the dense arm does in one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DensePlan {
    /// How it goes through it.
    pub way: Way,
    /// Why so.
    pub why: &'static str,
    /// Rows that it looked at, hidden ones included.
    pub looked_at: u64,
    /// Rows that it scored again in the highest precision.
    pub rescored: u64,
}

/// One segment, as a question finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentPlan {
    /// The segment's name.
    pub segment: String,
    /// Its rows.
    pub rows: u64,
    /// Those of current versions.
    pub live: u64,
    /// Those that the principal may see and the filter admits.
    pub visible: u64,
    /// What the dense arm does.
    pub dense: DensePlan,
}

/// A term of a query, and in how many rows it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermPlan {
    /// The term, as the index has it.
    pub term: String,
    /// Live rows with it, in whatever field.
    pub live: u64,
    /// Visible rows with it.
    pub visible: u64,
}

/// Where rows of one version of a document lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The segment's name.
    pub segment: String,
    /// The version.
    pub version: VersionNo,
    /// Its rows there.
    pub rows: Vec<RowId>,
}

impl Snapshot {
    /// What the dense arm does with these rows when it is asked for `limit` of them, segment by segment. Without a query,
    /// only what is planned.
    pub fn explain_dense(
        &self,
        query: Option<&QueryVector>,
        visible: &Visible,
        limit: usize,
    ) -> Result<Vec<SegmentPlan>, IndexError> {
        self.check_visible(visible)?;
        let tallies = match query {
            Some(query) => self.dense_tallied(query, visible, limit, Effort::USUAL)?.1,
            None => vec![Tally::default(); self.segments().len()],
        };
        let plan = self.plan(visible, limit);
        let explained = plan.ways().zip(tallies).map(|((at, way), tally)| {
            let (segment, bits) = (&self.segments()[at], &visible.segments[at]);
            SegmentPlan {
                segment: segment.entry().name.clone(),
                rows: u64::from(segment.rows()),
                live: u64::from(bits.live.ones()),
                visible: u64::from(bits.visible.ones()),
                dense: DensePlan { way, why: why(way), looked_at: tally.looked_at, rescored: tally.rescored },
            }
        });
        Ok(explained.collect())
    }

    /// The query's terms, and in how many rows each is. Forms of one word that are counted as one stand together.
    pub fn explain_lexical(&self, query: &LexicalQuery, visible: &Visible) -> Result<Vec<TermPlan>, IndexError> {
        self.check_visible(visible)?;
        let plan = |forms: Vec<String>| -> tantivy::Result<TermPlan> {
            let mut plan = TermPlan { term: forms.join("|"), live: 0, visible: 0 };
            for (segment, bits) in self.segments().iter().zip(&visible.segments) {
                for row in rows_with(segment, &forms)?.iter() {
                    plan.live += u64::from(bits.live.has(row));
                    plan.visible += u64::from(bits.visible.has(row));
                }
            }
            Ok(plan)
        };
        let terms = self.terms(query, visible).map(|terms| terms.into_iter().map(plan).collect());
        terms.and_then(|plans: tantivy::Result<_>| plans).map_err(IndexError::engine("count a query's terms"))
    }

    /// Where a document lies, in all its versions that have not been merged away.
    #[must_use]
    pub fn places(&self, doc: DocNo) -> Vec<Place> {
        let mut places = Vec::new();
        for (at, segment) in self.segments().iter().enumerate() {
            for run in segment.columns().runs().iter().filter(|run| run.doc() == doc) {
                let rows = run.rows().map(|row| RowId { segment: at as u32, row }).collect();
                places.push(Place { segment: segment.entry().name.clone(), version: run.version(), rows });
            }
        }
        places
    }
}

/// Why a way is taken.
fn why(way: Way) -> &'static str {
    match way {
        Way::Nothing => "no row of it is visible",
        Way::Scan => "few enough rows are visible to look at every one",
        Way::Lists => "so many rows are visible that lists of near ones are the shorter way",
    }
}

/// The rows of a segment that have any of the terms.
fn rows_with(segment: &Segment, terms: &[String]) -> tantivy::Result<Bits> {
    let mut rows = Bits::empty(segment.rows());
    for term in terms {
        let Some(info) = segment.lexical().term(BODY, term)? else { continue };
        let mut postings = segment.lexical().postings_alone(BODY, &info)?;
        while !postings.docs().is_empty() {
            for &row in postings.docs().iter().filter(|&&row| row < segment.rows()) {
                if !rows.has(row) {
                    rows.fill(row..row + 1);
                }
            }
            postings.advance();
        }
    }
    Ok(rows)
}
