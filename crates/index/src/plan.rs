//! How a question was gone about, for people who ask why.
//!
//! Nothing here decides anything: it tells what the arms do with the same rows. What it tells of rows that are not visible
//! is for administrators; the caller sees to that.

use catena_domain::{DocNo, VersionNo};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, TERMINATED, Term};

use crate::bits::Bits;
use crate::dense::candidates;
use crate::error::IndexError;
use crate::lexical::LexicalQuery;
use crate::row::RowId;
use crate::segment::Segment;
use crate::snapshot::Snapshot;
use crate::visible::Visible;
use crate::words;

/// How the dense arm goes through a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Every visible row in eight bits.
    Scan,
    /// Every visible row in one bit, the best of them again.
    Coarse,
    /// The rows near the query alone.
    Clusters,
}

impl Way {
    /// The way's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Coarse => "coarse",
            Self::Clusters => "clusters",
        }
    }
}

/// What the dense arm does in one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DensePlan {
    /// How it goes through it.
    pub way: Way,
    /// Why so.
    pub why: &'static str,
    /// Rows that it looks at, hidden ones included.
    pub looked_at: u64,
    /// Rows that it may score again in a higher precision.
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
    /// What the dense arm does with these rows when it is asked for `limit` of them, segment by segment.
    pub fn explain_dense(&self, visible: &Visible, limit: usize) -> Result<Vec<SegmentPlan>, IndexError> {
        self.check_visible(visible)?;
        let plan = |(segment, bits): (&std::sync::Arc<Segment>, &crate::visible::SegmentVisible)| {
            let seen = u64::from(bits.visible.ones());
            SegmentPlan {
                segment: segment.entry().name.clone(),
                rows: u64::from(segment.rows()),
                live: u64::from(bits.live.ones()),
                visible: seen,
                dense: DensePlan {
                    way: Way::Scan,
                    why: "every visible row is scanned",
                    looked_at: seen,
                    rescored: seen.min(candidates(limit) as u64),
                },
            }
        };
        Ok(self.segments().iter().zip(&visible.segments).map(plan).collect())
    }

    /// The query's terms, and in how many rows each is.
    pub fn explain_lexical(&self, query: &LexicalQuery, visible: &Visible) -> Result<Vec<TermPlan>, IndexError> {
        self.check_visible(visible)?;
        let plan = |term: &String| -> tantivy::Result<TermPlan> {
            let mut plan = TermPlan { term: term.clone(), live: 0, visible: 0 };
            for (segment, bits) in self.segments().iter().zip(&visible.segments) {
                for row in rows_with(segment, term)?.iter() {
                    plan.live += u64::from(bits.live.has(row));
                    plan.visible += u64::from(bits.visible.has(row));
                }
            }
            Ok(plan)
        };
        query
            .terms()
            .iter()
            .map(plan)
            .collect::<tantivy::Result<_>>()
            .map_err(IndexError::engine("count a query's terms"))
    }

    /// Where a document lies, in all its versions that have not been merged away.
    #[must_use]
    pub fn places(&self, doc: DocNo) -> Vec<Place> {
        let mut places = Vec::new();
        for (at, segment) in self.segments().iter().enumerate() {
            for run in segment.columns().runs().filter(|run| run.doc == doc) {
                let rows = run.rows.map(|row| RowId { segment: at as u32, row }).collect();
                places.push(Place { segment: segment.entry().name.clone(), version: run.version, rows });
            }
        }
        places
    }
}

/// The rows of a segment that have the term in any field.
fn rows_with(segment: &Segment, term: &str) -> tantivy::Result<Bits> {
    let mut rows = Bits::empty(segment.rows());
    for (field, _) in words::fields() {
        let inverted = segment.reader().inverted_index(field)?;
        let term = Term::from_field_text(field, term);
        let Some(mut postings) = inverted.read_postings(&term, IndexRecordOption::Basic)? else { continue };
        while postings.doc() != TERMINATED {
            let row = postings.doc();
            if !rows.has(row) {
                rows.fill(row..row + 1);
            }
            postings.advance();
        }
    }
    Ok(rows)
}
