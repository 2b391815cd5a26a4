//! Which rows of a snapshot a principal may see: the pre-filter of both arms.
//!
//! The decision here shares no code with [`Acl::decide`], which the gate asks again for every passage: here a principal
//! becomes the set of names that an entry may name it by and the set of labels that it may read under, and each
//! distinct list is decided once, by looking its entries up in them. Does not: read a clock; the caller says what time it
//! is, and what was computed holds from that moment until a window of an access list opens or closes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use catena_access::{Acl, AclEntry, Attributes, LiveDocument, Principal, Scope, Who};
use catena_domain::{AclId, Label, Timestamp};

use crate::bits::Bits;
use crate::columns::Run;
use crate::filter::Filter;
use crate::live::LiveTable;
use crate::row::RowId;
use crate::segment::Segment;
use crate::snapshot::SnapshotId;
use crate::words::FIELDS;

/// Which rows BM25's statistics are counted over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Counted {
    /// All live rows of the tenant: one score for everybody, and how rare a term is among documents that one may not see
    /// shows in it.
    #[default]
    Live,
    /// The rows that the principal may see and the filter admits, so that no score tells of any other.
    Visible,
}

/// Who asks, as the set of names that entries may name them by.
pub(crate) enum Badges {
    /// Named by no entry and admitted to nothing.
    Nobody,
    /// Named by these, and cleared for these labels and no others; an administrator is admitted to whatever does not
    /// deny one of the names.
    Somebody { names: BTreeSet<Who>, labels: BTreeSet<Label>, otherwise: Otherwise },
}

/// What becomes of somebody whom a list neither allows nor denies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Otherwise {
    Refused,
    Admitted,
}

impl Badges {
    pub(crate) fn of(principal: &Principal) -> Self {
        if principal.is_nobody() {
            return Self::Nobody;
        }
        let mut names: BTreeSet<Who> = principal.groups().iter().cloned().map(Who::Group).collect();
        names.extend(principal.user().cloned().map(Who::User));
        names.insert(Who::Everyone);
        let clearance = principal.clearance();
        let (labels, otherwise) = if principal.is_administrator() {
            (clearance.known.clone(), Otherwise::Admitted)
        } else {
            (&clearance.known & &clearance.cleared, Otherwise::Refused)
        };
        Self::Somebody { names, labels, otherwise }
    }

    pub(crate) fn admitted_by(&self, acl: &Acl, now: Timestamp) -> bool {
        let (Self::Somebody { names, labels, otherwise }, Acl::Lists(lists)) = (self, acl) else { return false };
        let named =
            |side: &BTreeSet<AclEntry>| side.iter().any(|entry| names.contains(&entry.who) && holds(entry, now));
        let readable = lists.label().is_none_or(|label| labels.contains(label));
        readable && !named(lists.deny()) && (*otherwise == Otherwise::Admitted || named(lists.allow()))
    }
}

fn holds(entry: &AclEntry, now: Timestamp) -> bool {
    entry.window.from() <= Some(now) && entry.window.until().is_none_or(|until| until > now)
}

/// The live rows of one snapshot by one live table: the same for whoever asks.
#[derive(Debug)]
pub(crate) struct LiveRows {
    segments: Vec<Arc<Bits>>,
    rows: u64,
    tokens: [u64; FIELDS],
}

impl LiveRows {
    pub(crate) fn of(segments: &[Arc<Segment>], live: &LiveTable) -> Self {
        let mut all = Self { segments: Vec::with_capacity(segments.len()), rows: 0, tokens: [0; FIELDS] };
        for segment in segments {
            let mut bits = Bits::empty(segment.rows());
            for (run, _) in live_runs(segment, live) {
                add(&mut all.tokens, segment.columns().tokens(run.rows()));
                bits.fill(run.rows());
            }
            all.rows += u64::from(bits.ones());
            all.segments.push(Arc::new(bits));
        }
        all
    }

    pub(crate) fn bytes(&self) -> usize {
        self.segments.iter().map(|bits| bits.bytes()).sum()
    }
}

/// The runs of a segment that are of current versions, with their documents.
fn live_runs<'a>(segment: &'a Segment, live: &'a LiveTable) -> impl Iterator<Item = (Run, &'a LiveDocument)> {
    segment
        .columns()
        .runs()
        .iter()
        .copied()
        .filter_map(|run| live.current(run.doc(), run.version()).map(|document| (run, document)))
}

fn add(sums: &mut [u64; FIELDS], more: [u64; FIELDS]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

/// The live and the visible rows of one segment.
#[derive(Debug)]
pub(crate) struct SegmentVisible {
    pub(crate) live: Arc<Bits>,
    pub(crate) visible: Bits,
}

impl SegmentVisible {
    /// The rows that statistics are counted over.
    pub(crate) fn counted(&self, counted: Counted) -> &Bits {
        match counted {
            Counted::Live => &self.live,
            Counted::Visible => &self.visible,
        }
    }
}

/// The rows of one snapshot that one principal may see, and the rows that scores are counted over.
#[derive(Debug)]
pub struct Visible {
    pub(crate) snapshot: SnapshotId,
    pub(crate) segments: Vec<SegmentVisible>,
    /// Which rows scores are counted over.
    pub(crate) counted: Counted,
    /// Terms of the rows that are counted, field by field.
    pub(crate) counted_tokens: [u64; FIELDS],
    /// The rows that are counted.
    counted_rows: u64,
    visible_rows: u64,
    /// The first moment from which time alone may change it; none when only a write can.
    until: Option<Timestamp>,
}

impl Visible {
    /// Rows that the principal may see and the filter admits.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.visible_rows
    }

    /// Whether a row is one of them. `row` is of the same snapshot.
    #[must_use]
    pub fn has(&self, row: RowId) -> bool {
        self.segments.get(row.segment as usize).is_some_and(|segment| segment.visible.has(row.row))
    }

    /// Rows that scores are counted over: those of current versions, seen or not, or only those that are seen.
    pub(crate) fn counted_rows(&self) -> u64 {
        self.counted_rows
    }

    /// The first moment from which time alone may change it.
    pub(crate) fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// About how much memory it takes, without what it shares with others.
    pub(crate) fn bytes(&self) -> usize {
        let segment = |segment: &SegmentVisible| size_of::<SegmentVisible>() + segment.visible.bytes();
        size_of::<Self>() + self.segments.iter().map(segment).sum::<usize>()
    }

    /// No row at all: what a scope of another tenant sees.
    pub(crate) fn nothing(snapshot: SnapshotId, segments: &[Arc<Segment>]) -> Self {
        let none = |segment: &Arc<Segment>| SegmentVisible {
            live: Arc::new(Bits::empty(segment.rows())),
            visible: Bits::empty(segment.rows()),
        };
        Self {
            snapshot,
            segments: segments.iter().map(none).collect(),
            counted: Counted::Live,
            counted_tokens: [0; FIELDS],
            counted_rows: 0,
            visible_rows: 0,
            until: None,
        }
    }

    pub(crate) fn compute(
        snapshot: SnapshotId,
        segments: &[Arc<Segment>],
        scope: &Scope,
        live: (&LiveTable, &LiveRows),
        wanted: (&Filter, Counted),
        now: Timestamp,
    ) -> Self {
        let ((live, live_rows), (filter, counted)) = (live, wanted);
        let mut decider = Decider::new(scope, live, filter, now);
        let (mut tokens, mut visible_rows) = ([0; FIELDS], 0);
        let mut bits_of = Vec::with_capacity(segments.len());
        for (segment, live_bits) in segments.iter().zip(&live_rows.segments) {
            let mut visible = Bits::empty(segment.rows());
            for (run, document) in live_runs(segment, live) {
                if !decider.admits(document) {
                    continue;
                }
                if counted == Counted::Visible {
                    add(&mut tokens, segment.columns().tokens(run.rows()));
                }
                visible.fill(run.rows());
            }
            visible_rows += u64::from(visible.ones());
            bits_of.push(SegmentVisible { live: Arc::clone(live_bits), visible });
        }
        let (counted_tokens, counted_rows) = match counted {
            Counted::Live => (live_rows.tokens, live_rows.rows),
            Counted::Visible => (tokens, visible_rows),
        };
        let (segments, until) = (bits_of, decider.until);
        Self { snapshot, segments, counted, counted_tokens, counted_rows, visible_rows, until }
    }
}

/// Decides documents for one principal. A list that many documents share is decided once, and so are attributes.
struct Decider<'a> {
    badges: Badges,
    live: &'a LiveTable,
    filter: &'a Filter,
    now: Timestamp,
    /// The first moment after `now` at which a list that was asked may say something else.
    until: Option<Timestamp>,
    admitted: HashMap<AclId, bool>,
    /// By where the attributes lie: the live table holds them all while this decides.
    filtered: HashMap<(*const Attributes, Option<&'a str>), bool>,
}

impl<'a> Decider<'a> {
    fn new(scope: &Scope, live: &'a LiveTable, filter: &'a Filter, now: Timestamp) -> Self {
        let badges = Badges::of(scope.principal());
        Self { badges, live, filter, now, until: None, admitted: HashMap::new(), filtered: HashMap::new() }
    }

    fn admits(&mut self, document: &'a LiveDocument) -> bool {
        self.is_admitted(document.acl) && self.is_wanted(document)
    }

    fn is_admitted(&mut self, id: AclId) -> bool {
        if let Some(known) = self.admitted.get(&id) {
            return *known;
        }
        let acl = self.live.acl(id);
        let admitted = acl.is_some_and(|acl| self.badges.admitted_by(acl, self.now));
        let next = acl.and_then(|acl| acl.next_change_after(self.now));
        self.until = self.until.into_iter().chain(next).min();
        self.admitted.insert(id, admitted);
        admitted
    }

    fn is_wanted(&mut self, document: &'a LiveDocument) -> bool {
        if self.filter.is_empty() {
            return true;
        }
        let alike = (Arc::as_ptr(&document.attributes), document.source.as_deref());
        *self.filtered.entry(alike).or_insert_with(|| self.filter.admits(document))
    }
}
