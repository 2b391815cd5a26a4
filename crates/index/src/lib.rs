//! The index of a tenant: immutable segments behind one small pointer, searched by words and by vectors.
//!
//! Promises: nothing is opened before it verifies; a publication is there as a whole or not at all; a reader holds a
//! snapshot and never waits for a writer; what may be seen is decided by the live table and the access lists, row by
//! row, inside the search; scores come from live rows alone and do not depend on how rows lie in segments.
//! Does not: hold truth (every segment can be rebuilt from the catalog), know texts beyond their terms, wait, or spawn.

mod analyser;
mod aside;
mod bits;
mod bundle;
mod coarse;
mod columns;
mod dense;
mod disk;
mod error;
mod explain;
mod filter;
mod generation;
mod inspect;
mod lexical;
mod live;
mod manifest;
mod merge;
mod pages;
mod plan;
mod registry;
mod row;
mod sealed;
mod seen;
mod segment;
mod snapshot;
#[cfg(test)]
mod tests;
mod top;
mod vectors;
mod visible;
mod words;
mod write;

pub use dense::{Effort, QueryVector};
pub use error::IndexError;
pub use explain::{DensePlan, Place, SegmentPlan, TermPlan};
pub use filter::{Clause, Comparison, Filter, Test};
pub use generation::Generation;
pub use inspect::{Inspection, SegmentReport};
pub use lexical::{Language, LexicalQuery, Typos};
pub use live::LiveTable;
pub use merge::MergePlan;
pub use plan::{Plan, Way};
pub use registry::{Glance, Index, OpenLimits};
pub use row::{Hit, RowId, RowInput, RowKey};
pub use snapshot::Snapshot;
pub use visible::{Counted, Visible};
