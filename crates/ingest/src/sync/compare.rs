//! What a look shows against what is known: pure.
//!
//! Promises: nothing is gone unless the look came to its end and says so; what has the tag that is known is not read
//! again; a document stands in one list only.

use std::collections::BTreeMap;

use catena_access::Acl;
use catena_catalog::{ItemState, SourceItem};
use catena_domain::DocumentId;
use catena_sources::{Access, Item};

use super::look::Look;
use crate::pipeline::screen::KEPT_BACK;

/// A document that is to be read, with what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct ToRead {
    pub(crate) id: DocumentId,
    pub(crate) item: Item,
    pub(crate) known: Option<SourceItem>,
    /// The access list that somebody approved for it.
    pub(crate) approved: Option<Acl>,
}

/// A document of which only who may see it changed.
#[derive(Debug, Clone)]
pub(crate) struct ToRestate {
    pub(crate) known: SourceItem,
    pub(crate) access: Access,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Documents whose bytes may differ.
    pub(crate) read: Vec<ToRead>,
    /// Documents whose access list differs.
    pub(crate) restate: Vec<ToRestate>,
    /// Documents that the source says it moved: from, to.
    pub(crate) moved: Vec<(SourceItem, DocumentId)>,
    /// Documents that are not there any more.
    pub(crate) gone: Vec<SourceItem>,
    /// What is no document, where that is news; and news of it that ended.
    pub(crate) skipped: Vec<SourceItem>,
    /// Documents that are as they were.
    pub(crate) unchanged: u64,
    /// Documents of the source that are in the tenant.
    pub(crate) written: usize,
}

/// Which documents are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thoroughness<'a> {
    /// Those whose tag changed.
    Changed,
    /// All, whatever their tags say.
    All,
    /// These, whatever their tags say, and no others.
    Only(&'a [String]),
}

/// What is to be done so that the tenant holds what the look shows.
pub(crate) fn compare(mut known: BTreeMap<DocumentId, SourceItem>, look: &Look, how: Thoroughness<'_>) -> Work {
    let mut work =
        Work { written: known.values().filter(|item| item.bytes_sha256.is_some()).count(), ..Work::default() };
    let is_wanted = |id: &DocumentId| match how {
        Thoroughness::Only(ids) => ids.iter().any(|wanted| wanted == id.as_str()),
        _ => true,
    };
    let moved = moves(&known, look);
    for (from, to) in moved.into_iter().filter(|(_, to)| is_wanted(to)) {
        if let Some(item) = known.remove(&from) {
            known.remove(&to);
            work.moved.push((item.clone(), to.clone()));
            known.insert(to.clone(), SourceItem { id: to, tag: String::new(), ..item });
        }
    }
    for (id, item) in look.found.iter().filter(|(id, _)| is_wanted(id)) {
        let known = known.remove(id);
        match known {
            Some(known) if how == Thoroughness::Changed && known.tag == item.tag && !known.tag.is_empty() => {
                unread(&mut work, known, item);
            }
            known => work.read.push(ToRead { id: id.clone(), item: item.clone(), known, approved: None }),
        }
    }
    if matches!(how, Thoroughness::Only(_)) || look.ended.is_none() {
        return work;
    }
    if look.saw_everything() {
        known.retain(|id, _| !look.found.contains_key(id));
        work.gone = known.into_values().collect();
    } else {
        work.gone = look.gone.iter().filter_map(|id| known.remove(id)).collect();
    }
    note_skipped(&mut work, look);
    work
}

/// A document that has the tag that is known: at most its access list is news.
fn unread(work: &mut Work, known: SourceItem, item: &Item) {
    match &item.access {
        // A document that could not be read has nothing whose access list could change.
        Some(access) if known.bytes_sha256.is_some() && !is_as_known(&known, access) => {
            // What waits in the firewall's quarantine waits with its list, so it is handed in again with the new one.
            if known.reason.as_deref() == Some(KEPT_BACK) {
                let (id, item, known) = (known.id.clone(), item.clone(), Some(known));
                work.read.push(ToRead { id, item, known, approved: None });
                return;
            }
            work.restate.push(ToRestate { known, access: access.clone() });
        }
        _ => work.unchanged += 1,
    }
}

/// Whether the source says of a document's readers what it said before.
pub(crate) fn is_as_known(known: &SourceItem, access: &Access) -> bool {
    match access {
        Access::Stated(acl) => known.state != ItemState::Quarantined && known.acl.as_ref() == Some(acl),
        Access::Unstated => known.state != ItemState::Quarantined && known.acl == Some(Acl::default()),
        Access::Unreadable { reason } => known.state == ItemState::Quarantined && known.reason.as_ref() == Some(reason),
    }
}

/// Moves that the source itself tells of, whose old place is known and empty now.
fn moves(known: &BTreeMap<DocumentId, SourceItem>, look: &Look) -> Vec<(DocumentId, DocumentId)> {
    let mut taken = std::collections::BTreeSet::new();
    let mut moves = Vec::new();
    for (id, item) in &look.found {
        let Some(from) = &item.moved_from else { continue };
        let is_known = known.get(from).is_some_and(|known| known.bytes_sha256.is_some());
        let is_new = known.get(id).is_none_or(|known| known.bytes_sha256.is_none());
        if is_known && is_new && !look.found.contains_key(from) && taken.insert(from.clone()) {
            moves.push((from.clone(), id.clone()));
        }
    }
    moves
}

fn note_skipped(work: &mut Work, look: &Look) {
    let gone: BTreeMap<&DocumentId, &SourceItem> = work.gone.iter().map(|item| (&item.id, item)).collect();
    let mut skipped = Vec::new();
    for (id, reason) in &look.skipped {
        let before = gone.get(id);
        // What was a document until now goes first; the next look writes it down as skipped.
        if before.is_some_and(|before| before.bytes_sha256.is_some()) {
            continue;
        }
        skipped.push(SourceItem {
            id: id.clone(),
            tag: String::new(),
            bytes_sha256: None,
            said_sha256: None,
            acl: None,
            state: ItemState::Skipped,
            reason: Some(reason.clone()),
        });
    }
    work.gone.retain(|item| item.bytes_sha256.is_some() || !skipped.iter().any(|skipped| skipped.id == item.id));
    work.skipped = skipped;
}
