//! Which rows of a snapshot a principal may see: the pre-filter of both arms.
//!
//! The decision here shares no code with [`Acl::decide`], which the gate asks again for every passage: here a principal
//! becomes the set of names that an entry may name it by and the set of labels that it may read under, and each
//! distinct list is decided once, by looking its entries up in them. Does not: read a clock; the caller says what time it
//! is, and what was computed holds for that moment.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use catena_access::{Acl, AclEntry, LiveDocument, Principal, Scope, Who};
use catena_domain::{AclId, Label, Timestamp};

use crate::bits::Bits;
use crate::live::LiveTable;
use crate::segment::Segment;
use crate::snapshot::SnapshotId;
use crate::words::FIELDS;

/// What documents a query is restricted to. Empty means no restriction, beyond what the principal may see.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Filter {
    /// Any of these sources.
    pub sources: Vec<String>,
    /// Every one of these attributes, with any of its values. An attribute with no value listed admits nothing.
    pub attributes: BTreeMap<String, Vec<String>>,
}

impl Filter {
    fn admits(&self, document: &LiveDocument) -> bool {
        let source = self.sources.is_empty()
            || document.source.as_deref().is_some_and(|source| self.sources.iter().any(|wanted| wanted == source));
        source
            && self.attributes.iter().all(|(name, wanted)| {
                document.attributes.get(name).is_some_and(|value| wanted.iter().any(|one| one == value))
            })
    }
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

/// The live and the visible rows of one segment.
#[derive(Debug)]
pub(crate) struct SegmentVisible {
    pub(crate) live: Bits,
    pub(crate) visible: Bits,
}

/// The rows of one snapshot that one principal may see, and the live rows that scores are counted over.
#[derive(Debug)]
pub struct Visible {
    pub(crate) snapshot: SnapshotId,
    pub(crate) segments: Vec<SegmentVisible>,
    /// Terms of the live rows, field by field.
    pub(crate) live_tokens: [u64; FIELDS],
    /// Terms of the visible rows, field by field.
    pub(crate) visible_tokens: [u64; FIELDS],
    live_rows: u64,
    visible_rows: u64,
}

impl Visible {
    /// Rows that the principal may see and the filter admits.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.visible_rows
    }

    /// Rows of current versions, seen or not.
    pub(crate) fn live_rows(&self) -> u64 {
        self.live_rows
    }

    /// No row at all: what a scope of another tenant sees.
    pub(crate) fn nothing(snapshot: SnapshotId, segments: &[std::sync::Arc<Segment>]) -> Self {
        let none = |segment: &std::sync::Arc<Segment>| SegmentVisible {
            live: Bits::empty(segment.rows()),
            visible: Bits::empty(segment.rows()),
        };
        let segments = segments.iter().map(none).collect();
        let none = [0; FIELDS];
        Self { snapshot, segments, live_tokens: none, visible_tokens: none, live_rows: 0, visible_rows: 0 }
    }

    pub(crate) fn compute(
        snapshot: SnapshotId,
        segments: &[std::sync::Arc<Segment>],
        scope: &Scope,
        live: &LiveTable,
        filter: &Filter,
        now: Timestamp,
    ) -> Self {
        let mut visible = Self::nothing(snapshot, segments);
        let badges = Badges::of(scope.principal());
        let mut decider = Decider { badges, live, filter, now, decided: HashMap::new() };
        for (segment, bits) in segments.iter().zip(&mut visible.segments) {
            for run in segment.columns().runs() {
                let Some(document) = live.current(run.doc(), run.version()) else { continue };
                let tokens = segment.columns().tokens(run.rows());
                add(&mut visible.live_tokens, tokens);
                bits.live.fill(run.rows());
                if decider.admits(document) {
                    add(&mut visible.visible_tokens, tokens);
                    bits.visible.fill(run.rows());
                }
            }
            visible.live_rows += u64::from(bits.live.ones());
            visible.visible_rows += u64::from(bits.visible.ones());
        }
        visible
    }
}

fn add(sums: &mut [u64; FIELDS], tokens: [u64; FIELDS]) {
    for (sum, more) in sums.iter_mut().zip(tokens) {
        *sum += more;
    }
}

/// Decides documents for one principal; a list that many documents share is decided once.
struct Decider<'a> {
    badges: Badges,
    live: &'a LiveTable,
    filter: &'a Filter,
    now: Timestamp,
    decided: HashMap<AclId, bool>,
}

impl Decider<'_> {
    fn admits(&mut self, document: &LiveDocument) -> bool {
        let (badges, live, now) = (&self.badges, self.live, self.now);
        let admitted = self
            .decided
            .entry(document.acl)
            .or_insert_with(|| live.acl(document.acl).is_some_and(|acl| badges.admitted_by(acl, now)));
        *admitted && self.filter.admits(document)
    }
}
