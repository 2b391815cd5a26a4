//! Which segments to merge, and when.
//!
//! A search pays for each segment and for each dead row; a merge pays for each row it writes again. Eight segments of
//! one size class become one of the next, so a row is written again about once for each factor of eight that the index
//! grows. A segment of which most rows are dead is written again without them.

use std::collections::BTreeMap;

use catena_domain::{DocNo, VersionNo};

use crate::live::LiveTable;
use crate::segment::ROWS_MAX;
use crate::snapshot::Snapshot;

/// Segments of one class that call for a merge, and the base of the classes.
const FAN_IN: u64 = 8;
/// A segment above this is not merged for its size: eight of them would not fit into one.
const SETTLED_ROWS: u64 = ROWS_MAX as u64 / FAN_IN;

/// Segments to be replaced by one, and the versions whose rows it is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergePlan {
    pub(crate) segments: Vec<String>,
    pub(crate) documents: Vec<(DocNo, VersionNo)>,
}

impl MergePlan {
    /// The names of the segments.
    #[must_use]
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// The versions that still live in them, in order. Their rows are what the merge is to be given.
    #[must_use]
    pub fn documents(&self) -> &[(DocNo, VersionNo)] {
        &self.documents
    }
}

/// A segment's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    rows: u64,
    live: u64,
}

impl Size {
    fn class(self) -> u32 {
        self.rows.max(1).ilog(FAN_IN)
    }

    fn is_mostly_dead(self) -> bool {
        self.live * 2 < self.rows
    }
}

/// The positions of the segments to merge; `None` when all is well.
fn choose(sizes: &[Size]) -> Option<Vec<usize>> {
    let all = || sizes.iter().copied().enumerate();
    let dead: Vec<usize> = all().filter(|(_, size)| size.is_mostly_dead()).map(|(at, _)| at).collect();
    if !dead.is_empty() {
        return Some(fitting(sizes, dead));
    }
    let classes = 0..=SETTLED_ROWS.ilog(FAN_IN);
    let of_class = |class: u32| -> Vec<usize> {
        let members = all().filter(|(_, size)| size.class() == class && size.rows <= SETTLED_ROWS);
        members.map(|(at, _)| at).collect()
    };
    let crowd = classes.map(of_class).find(|members| members.len() as u64 >= FAN_IN)?;
    Some(fitting(sizes, crowd))
}

/// As many of `members`, from the first on, as fit into one segment; always at least one.
fn fitting(sizes: &[Size], members: Vec<usize>) -> Vec<usize> {
    let mut rows = 0;
    let fits = |at: &usize| {
        rows += sizes[*at].live;
        rows <= ROWS_MAX as u64
    };
    members.into_iter().take_while(fits).collect()
}

/// What to merge in `snapshot`, by `live`. `None` also when the table is older than the snapshot: rows that it has not
/// heard of would look dead.
pub(crate) fn plan(snapshot: &Snapshot, live: &LiveTable) -> Option<MergePlan> {
    if live.seq() < snapshot.applied_seq() {
        return None;
    }
    let segments = snapshot.segments();
    let is_live = |doc, version| live.current(doc, version).is_some();
    let size = |segment: &std::sync::Arc<crate::segment::Segment>| {
        let living = segment.versions().filter(|&(doc, version, _)| is_live(doc, version));
        Size { rows: u64::from(segment.rows()), live: living.map(|(_, _, rows)| u64::from(rows)).sum() }
    };
    let sizes: Vec<Size> = segments.iter().map(size).collect();
    let chosen = choose(&sizes)?;
    let versions = chosen.iter().flat_map(|&at| segments[at].versions());
    let mut documents: Vec<(DocNo, VersionNo)> =
        versions.filter(|&(doc, version, _)| is_live(doc, version)).map(|(doc, version, _)| (doc, version)).collect();
    documents.sort_unstable();
    documents.dedup();
    Some(MergePlan { segments: chosen.iter().map(|&at| segments[at].entry().name.clone()).collect(), documents })
}

/// A segment that holds rows of the named documents, up to a version each, to be written again without them; the
/// others of its rows that are not live any more go with them, because the caller has none to give. `None` when no
/// segment holds any.
pub(crate) fn erasure(snapshot: &Snapshot, gone: &BTreeMap<DocNo, VersionNo>) -> Option<MergePlan> {
    let is_gone = |doc: DocNo, version: VersionNo| gone.get(&doc).is_some_and(|upto| version <= *upto);
    let segment =
        snapshot.segments().iter().find(|segment| segment.versions().any(|(doc, version, _)| is_gone(doc, version)))?;
    let kept = segment.versions().filter(|&(doc, version, _)| !is_gone(doc, version));
    let mut documents: Vec<(DocNo, VersionNo)> = kept.map(|(doc, version, _)| (doc, version)).collect();
    documents.sort_unstable();
    documents.dedup();
    Some(MergePlan { segments: vec![segment.entry().name.clone()], documents })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(rows: u64) -> Size {
        Size { rows, live: rows }
    }

    #[test]
    fn eight_of_a_class_are_merged_and_seven_are_not() {
        assert_eq!(choose(&[whole(1); 7]), None);
        assert_eq!(choose(&[whole(7); 8]), Some((0..8).collect()));
        let mut mixed = vec![whole(500); 8];
        mixed.insert(3, whole(9));
        assert_eq!(choose(&mixed), Some(vec![0, 1, 2, 4, 5, 6, 7, 8]));
    }

    #[test]
    fn a_mostly_dead_segment_is_written_again_and_a_half_dead_one_is_not() {
        assert_eq!(choose(&[whole(100), Size { rows: 100, live: 49 }]), Some(vec![1]));
        assert_eq!(choose(&[whole(100), Size { rows: 100, live: 50 }]), None);
        assert_eq!(choose(&[Size { rows: 1, live: 0 }]), Some(vec![0]));
    }

    #[test]
    fn what_is_settled_stays() {
        assert_eq!(choose(&[whole(SETTLED_ROWS + 1); 30]), None);
    }

    proptest! {
        #[test]
        fn merging_ends_fits_and_leaves_few_segments(rows in prop::collection::vec((1_u64..3_000, 0_u64..=100), 0..120)) {
            let mut sizes: Vec<Size> =
                rows.into_iter().map(|(rows, percent)| Size { rows, live: rows * percent / 100 }).collect();
            let mut merges = 0;
            while let Some(chosen) = choose(&sizes) {
                let live: u64 = chosen.iter().map(|&at| sizes[at].live).sum();
                prop_assert!(!chosen.is_empty() && live <= ROWS_MAX as u64);
                let mut rest: Vec<Size> =
                    sizes.iter().enumerate().filter(|(at, _)| !chosen.contains(at)).map(|(_, size)| *size).collect();
                rest.extend((live > 0).then(|| whole(live)));
                sizes = rest;
                merges += 1;
                prop_assert!(merges < 200, "merging does not end");
            }
            let settled = sizes.iter().filter(|size| size.rows > SETTLED_ROWS).count();
            let classes = SETTLED_ROWS.ilog(FAN_IN) as usize + 1;
            prop_assert!(sizes.len() - settled < FAN_IN as usize * classes, "{} segments", sizes.len());
        }
    }
}
