//! A generation as one reader sees it: fixed, whatever is published meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use catena_access::Scope;
use catena_domain::{DocNo, GenerationId, RecipeId, Seq, Timestamp, VersionNo};

use crate::error::IndexError;
use crate::filter::Filter;
use crate::live::LiveTable;
use crate::manifest::{Identity, Loss};
use crate::row::{RowId, RowKey};
use crate::seen::{Question, Seen};
use crate::segment::Segment;
use crate::visible::{Counted, LiveRows, Visible};

/// Tells snapshots of one process apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SnapshotId(u64);

static NEXT: AtomicU64 = AtomicU64::new(0);

/// The segments of a generation at one moment. It keeps their files mapped for as long as somebody holds it.
#[derive(Debug)]
pub struct Snapshot {
    id: SnapshotId,
    identity: Arc<Identity>,
    applied: Seq,
    segments: Vec<Arc<Segment>>,
    loss: Option<Loss>,
    seen: Seen,
}

impl Snapshot {
    pub(crate) fn new(identity: Arc<Identity>, applied: Seq, segments: Vec<Arc<Segment>>, loss: Option<Loss>) -> Self {
        let id = SnapshotId(NEXT.fetch_add(1, Ordering::Relaxed));
        Self { id, identity, applied, segments, loss, seen: Seen::default() }
    }

    /// The write that the snapshot includes last.
    #[must_use]
    pub fn applied_seq(&self) -> Seq {
        self.applied
    }

    /// The generation.
    #[must_use]
    pub fn generation(&self) -> &GenerationId {
        &self.identity.generation
    }

    /// The recipe that its vectors were made by.
    #[must_use]
    pub fn recipe(&self) -> &RecipeId {
        &self.identity.recipe
    }

    /// How many numbers a vector has.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.identity.dimension
    }

    /// Rows in all segments, dead ones included.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.segments.iter().map(|segment| segment.rows() as usize).sum()
    }

    /// Whether rows were lost to damage and are not back yet.
    #[must_use]
    pub fn lacks_rows(&self) -> bool {
        self.loss.is_some()
    }

    /// How many segments were put aside and are not back yet; 0 also when it was the generation as a whole.
    #[must_use]
    pub fn lost_segments(&self) -> usize {
        self.loss.as_ref().map_or(0, |loss| loss.segments.len())
    }

    /// How many different rows of a version are there.
    #[must_use]
    pub fn rows_of(&self, doc: DocNo, version: VersionNo) -> u32 {
        let chunks: BTreeSet<u32> = self.segments.iter().flat_map(|segment| segment.chunks_of(doc, version)).collect();
        chunks.len() as u32
    }

    /// Which rows the scope's principal may see at `now`, by `live`, restricted by `filter`; scores are counted over
    /// `counted`. A scope of another tenant sees none. What was computed before is given again while it holds.
    #[must_use]
    pub fn visible(
        &self,
        scope: &Scope,
        live: &LiveTable,
        filter: &Filter,
        counted: Counted,
        now: Timestamp,
    ) -> Arc<Visible> {
        if *scope.tenant() != self.identity.tenant {
            tracing::error!(tenant = %scope.tenant(), index = %self.identity.tenant, "a scope met another tenant's index");
            return Arc::new(Visible::nothing(self.id, &self.segments));
        }
        let question = Question::of(scope, filter, counted);
        if let Some(visible) = self.seen.recall(&question, live, now) {
            return visible;
        }
        let rows = self.seen.live_rows(live, || LiveRows::of(&self.segments, live));
        let visible = Visible::compute(self.id, &self.segments, scope, (live, &rows), (filter, counted), now);
        let visible = Arc::new(visible);
        self.seen.remember(question, live, now, &visible);
        visible
    }

    /// Bytes of visible sets that the snapshot remembers.
    #[cfg(test)]
    pub(crate) fn seen_bytes(&self) -> usize {
        self.seen.bytes()
    }

    /// What a row is.
    ///
    /// # Panics
    /// When the row is of another snapshot, and there is no such place in this one.
    #[must_use]
    pub fn key(&self, row: RowId) -> RowKey {
        self.segments[row.segment as usize].columns().key(row.row)
    }

    pub(crate) fn segments(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    /// Refuses a visible set that was computed for another snapshot.
    pub(crate) fn check_visible(&self, visible: &Visible) -> Result<(), IndexError> {
        if visible.snapshot == self.id { Ok(()) } else { Err(IndexError::OtherSnapshot { what: "the visible set" }) }
    }

    /// Refuses rows that cannot be of this snapshot.
    pub(crate) fn check_rows(&self, rows: &[RowId]) -> Result<(), IndexError> {
        let here =
            |row: &RowId| self.segments.get(row.segment as usize).is_some_and(|segment| row.row < segment.rows());
        if rows.iter().all(here) { Ok(()) } else { Err(IndexError::OtherSnapshot { what: "a row" }) }
    }
}
