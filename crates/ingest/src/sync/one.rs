//! One document of a source: fetched, compared by its bytes, written, restated or moved.
//!
//! Promises: equal bytes of which the same is said are neither read nor embedded again; a document that another source or
//! a person wrote is never overwritten; what cannot be read leaves what was there; a wider access list than the guard lets
//! through is not applied, and nobody whom it takes out keeps seeing the document meanwhile.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use catena_access::Acl;
use catena_audit::Object;
use catena_catalog::{Amount, Change, CurrentVersion, Expect, ItemState, Move, Restated, SourceItem};
use catena_domain::{DocumentId, ErrorKind};
use catena_sources::{Access, Fetch, Fetched, Item, SourceError};
use catena_text::Format;
use sha2::{Digest as _, Sha256};

use super::Syncing;
use super::compare::{ToRead, ToRestate, is_as_known};
use super::guard::{Wider, meanwhile};
use crate::pipeline::screen::{KEPT_BACK, Rules};
use crate::{Freshness, IngestError, Put, Submission, recipe};

/// What became of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Became {
    Added,
    Changed,
    /// Only what is said of it changed.
    Restated,
    Unchanged,
    /// It was listed, and is not there any more. The next look says so, or finds it again.
    Vanished,
    Failed {
        reason: String,
        /// Whether the same may go well another time.
        again: Again,
    },
    /// Its access list waits for approval.
    Withheld(Withheld),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// The source is away.
    Likely,
    /// What stands in its way here may go: another document of its id, a limit that is reached.
    OnceThereIsRoom,
    Unlikely,
}

/// A wider access list that waits for approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Withheld {
    pub(crate) id: DocumentId,
    pub(crate) wider: Wider,
    pub(crate) acl: Acl,
}

/// One document, done.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) id: DocumentId,
    pub(crate) became: Became,
    /// What is known of it from now on.
    pub(crate) note: Option<SourceItem>,
    /// Where it was before.
    pub(crate) moved_from: Option<DocumentId>,
    pub(crate) cut: Amount,
    pub(crate) embedded: Amount,
}

impl Done {
    fn of(id: &DocumentId, became: Became, note: Option<SourceItem>) -> Self {
        Self { id: id.clone(), became, note, moved_from: None, cut: Amount::default(), embedded: Amount::default() }
    }

    /// One that could not be done: what was known of it stays, but for the reason.
    fn failed(to_read: &ToRead, reason: String, again: Again) -> Self {
        let tag = match again {
            Again::Likely | Again::OnceThereIsRoom => String::new(),
            Again::Unlikely => to_read.item.tag.clone(),
        };
        let note = match to_read.known.clone() {
            Some(known) => SourceItem { tag, state: ItemState::Failed, reason: Some(reason.clone()), ..known },
            None => SourceItem {
                id: to_read.id.clone(),
                tag,
                bytes_sha256: None,
                said_sha256: None,
                acl: None,
                state: ItemState::Failed,
                reason: Some(reason.clone()),
            },
        };
        Self::of(&to_read.id, Became::Failed { reason, again }, Some(note))
    }
}

/// Documents that are gone, by the hash of their bytes: where the same bytes come up anew, the document was moved.
#[derive(Debug, Default)]
pub(crate) struct Leaving(Mutex<HashMap<[u8; 32], Vec<SourceItem>>>);

impl Leaving {
    pub(crate) fn of(gone: &[SourceItem]) -> Self {
        let mut leaving: HashMap<[u8; 32], Vec<SourceItem>> = HashMap::new();
        for item in gone {
            if let Some(hash) = item.bytes_sha256 {
                leaving.entry(hash).or_default().push(item.clone());
            }
        }
        Self(Mutex::new(leaving))
    }

    /// Takes the one that most looks like `id`: of the same name first.
    pub(crate) fn take(&self, hash: &[u8; 32], id: &DocumentId) -> Option<SourceItem> {
        let mut leaving = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let alike = leaving.get_mut(hash).filter(|alike| !alike.is_empty())?;
        let at = alike.iter().position(|item| last_part(&item.id) == last_part(id)).unwrap_or(0);
        Some(alike.remove(at))
    }

    /// Those whose bytes came up nowhere else.
    pub(crate) fn rest(&self) -> Vec<SourceItem> {
        let mut leaving = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *leaving).into_values().flatten().collect()
    }

    fn put_back(&self, item: SourceItem) {
        let mut leaving = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hash) = item.bytes_sha256 {
            leaving.entry(hash).or_default().push(item);
        }
    }
}

/// What a document is to be, decided.
struct Wanted<'a> {
    to_read: &'a ToRead,
    fetched: Fetched,
    format: Format,
    tag: String,
    sha: [u8; 32],
    said: [u8; 32],
    state: ItemState,
    reason: Option<String>,
    acl: Acl,
    /// What the source said last of who may see it; not that it could not say it.
    stated: Option<Acl>,
}

impl Syncing<'_> {
    /// Fetches one document and does what is to be done. An error ends the sync; what concerns this document alone is
    /// no error.
    pub(crate) async fn read_one(&self, to_read: ToRead) -> Result<Done, IngestError> {
        let _room = self.room(to_read.item.bytes).await?;
        let known = to_read.known.as_ref();
        let known_tag = known
            .filter(|known| known.bytes_sha256.is_some() && known.state != ItemState::Failed && !self.order.again)
            .map(|known| known.tag.as_str())
            .filter(|tag| !tag.is_empty());
        match self.source.fetch(&to_read.item, known_tag).await {
            Ok(Fetch::Gone) => Ok(Done::of(&to_read.id, Became::Vanished, None)),
            Ok(Fetch::Unchanged) => match (to_read.known.clone(), to_read.item.access.clone()) {
                (Some(known), Some(access)) => {
                    self.restate_one(ToRestate { known, access }, to_read.approved.as_ref()).await
                }
                _ => Ok(Done::of(&to_read.id, Became::Unchanged, None)),
            },
            Ok(Fetch::Document { fetched, tag }) => self.write_one(&to_read, fetched, tag).await,
            Err(SourceError::Document { reason }) => Ok(Done::failed(&to_read, reason, Again::Unlikely)),
            Err(error) => Ok(Done::failed(&to_read, error.to_string(), Again::Likely)),
        }
    }

    async fn write_one(&self, to_read: &ToRead, fetched: Fetched, tag: String) -> Result<Done, IngestError> {
        let Some(format) = format_of(&to_read.item, &fetched) else {
            let reason = "its kind is not known; give the file an ending that is, or leave it out of the source";
            return Ok(Done::failed(to_read, reason.to_owned(), Again::Unlikely));
        };
        let sha: [u8; 32] = Sha256::digest(&fetched.bytes).into();
        let said = said(&fetched, format);
        let access = to_read.item.access.clone().unwrap_or_else(|| fetched.access.clone());
        let (state, reason, acl, stated) = decided(access, to_read.known.as_ref());
        let wanted = Wanted { to_read, fetched, format, tag, sha, said, state, reason, acl, stated };
        let Some(from) = self.moved_here(&wanted).await? else {
            return self.settle(wanted, to_read.known.clone()).await;
        };
        let known = SourceItem { id: to_read.id.clone(), tag: String::new(), ..from.clone() };
        let mut done = self.settle(wanted, Some(known)).await?;
        done.moved_from = Some(from.id);
        Ok(done)
    }

    /// A new document with the bytes of one that is gone is that one, at another place: what is known of it there.
    async fn moved_here(&self, wanted: &Wanted<'_>) -> Result<Option<SourceItem>, IngestError> {
        let id = &wanted.to_read.id;
        if wanted.to_read.known.as_ref().is_some_and(|known| known.bytes_sha256.is_some()) {
            return Ok(None);
        }
        let Some(from) = self.leaving.take(&wanted.sha, id) else { return Ok(None) };
        if !self.move_one(&from, id).await? {
            self.leaving.put_back(from);
            return Ok(None);
        }
        Ok(Some(from))
    }

    /// Moves a document; false where that cannot be, so that it is deleted here and written there.
    pub(crate) async fn move_one(&self, from: &SourceItem, to: &DocumentId) -> Result<bool, IngestError> {
        let title_from_id = Some((last_part(&from.id).to_owned(), last_part(to).to_owned()));
        let moved = Move { source: self.name.clone(), from: from.id.clone(), to: to.clone(), title_from_id };
        let written = self.ingest.0.catalog.move_document(self.scope, moved, self.deed("document.move")).await?;
        if written.is_some() {
            self.ingest.publish_in_bulk(self.scope.tenant()).await;
        }
        Ok(written.is_some())
    }

    async fn settle(&self, mut wanted: Wanted<'_>, known: Option<SourceItem>) -> Result<Done, IngestError> {
        let id = &wanted.to_read.id;
        let current = self.ingest.0.catalog.current(self.scope, id).await?;
        if let Some(current) = &current
            && let Some(reason) = self.owned_by_others(current)
        {
            return Ok(Done::failed(wanted.to_read, reason, Again::OnceThereIsRoom));
        }
        let before = current.as_ref().and_then(|current| before(known.as_ref(), current));
        if let (Some(current), Some(before)) = (&current, &before)
            && let Some(wider) = self.beyond(before, &wanted.acl, wanted.to_read.approved.as_ref()).await?
        {
            let known = known.unwrap_or_else(|| as_it_is(id, current));
            let withheld = Withheld { id: id.clone(), wider, acl: wanted.acl.clone() };
            return self.withhold(&known, before, withheld).await;
        }
        if wanted.stated.is_none() {
            wanted.stated = before;
        }
        match self.put_or_restate(&wanted, known.as_ref(), current).await {
            Ok(done) => Ok(done),
            Err(error) if error.is_of_one_document() => {
                let again = match error.kind() {
                    ErrorKind::Conflict | ErrorKind::Busy => Again::OnceThereIsRoom,
                    _ => Again::Unlikely,
                };
                Ok(Done::failed(wanted.to_read, error.told(), again))
            }
            Err(error) => Err(error),
        }
    }

    async fn put_or_restate(
        &self,
        wanted: &Wanted<'_>,
        known: Option<&SourceItem>,
        current: Option<CurrentVersion>,
    ) -> Result<Done, IngestError> {
        let (id, fetched) = (&wanted.to_read.id, &wanted.fetched);
        let note = SourceItem {
            id: id.clone(),
            tag: wanted.tag.clone(),
            bytes_sha256: Some(wanted.sha),
            said_sha256: Some(wanted.said),
            acl: wanted.stated.clone(),
            state: wanted.state,
            reason: wanted.reason.clone(),
        };
        if let Some(became) = self.said_again(wanted, known, current.as_ref()).await? {
            return Ok(Done::of(id, became, Some(note)));
        }
        let before = current.as_ref().map(|current| (current.version, current.acl.clone()));
        let submission = Submission {
            id: id.clone(),
            bytes: fetched.bytes.clone(),
            format: wanted.format,
            charset: fetched.content_type.as_deref().and_then(Format::charset).map(str::to_owned),
            title: fetched.title.clone(),
            uri: fetched.uri.clone(),
            source: Some(self.name.to_string()),
            attributes: fetched.attributes.clone(),
            modified_at: fetched.modified_at,
            acl: wanted.acl.clone(),
            expect: current.map_or(Expect::Absent, |current| Expect::Version(current.version)),
        };
        let mut put = self.put(submission.clone()).await?;
        if put.change == Change::Quarantined
            && let Some((version, acl)) = &before
            && *acl != wanted.acl
        {
            // The older text stays, but never for readers whom the source does not name any more.
            let deed = self.deed("document.acl");
            self.ingest.set_acl(self.scope, id, &wanted.acl, Expect::Version(*version), deed).await?;
            put = self.put(submission).await?;
        }
        let became = match put.change {
            Change::Created => Became::Added,
            Change::NewVersion => Became::Changed,
            Change::Metadata => Became::Restated,
            Change::None => Became::Unchanged,
            Change::Quarantined => {
                let reason = KEPT_BACK.to_owned();
                let note = SourceItem { state: ItemState::Failed, reason: Some(reason.clone()), ..note };
                return Ok(Done::of(id, Became::Failed { reason, again: Again::Unlikely }, Some(note)));
            }
        };
        let mut done = Done::of(id, became, Some(note));
        (done.cut, done.embedded) = (put.cut, put.embedded);
        Ok(done)
    }

    async fn put(&self, submission: Submission) -> Result<Put, IngestError> {
        let deed = self.deed("document.put");
        // On the heap: the pipeline's state is large, and most items never come here.
        Ok(Box::pin(self.ingest.put(self.scope, submission, Freshness::Bulk, deed)).await?.value)
    }

    /// Equal bytes of which the same is said need no pipeline: at most what is said beside them is written. Nothing where
    /// that is not so.
    async fn said_again(
        &self,
        wanted: &Wanted<'_>,
        known: Option<&SourceItem>,
        current: Option<&CurrentVersion>,
    ) -> Result<Option<Became>, IngestError> {
        let (id, fetched) = (&wanted.to_read.id, &wanted.fetched);
        let same = (Some(wanted.sha), Some(wanted.said));
        let is_known = known.is_some_and(|known| (known.bytes_sha256, known.said_sha256) == same);
        let is_same = |current: &&CurrentVersion| current.bytes_sha256 == wanted.sha && is_known;
        // Asked to read all, it lets everything through the pipeline again, for what may have changed there.
        let Some(current) = current.filter(is_same).filter(|_| !self.order.again) else { return Ok(None) };
        let shared = &self.ingest.0;
        let recipe = recipe::recipes(shared, self.scope).await?.wanted.id;
        let rules = Rules::read(shared, self.scope).await?;
        let is_screened = current.screening.as_ref().is_some_and(|screening| screening.policy == rules.digest);
        if !is_screened || !current.has_chunks(&recipe) {
            return Ok(None);
        }
        let restated = Restated {
            id: id.clone(),
            bytes_sha256: wanted.sha,
            uri: fetched.uri.clone(),
            attributes: fetched.attributes.clone(),
            source: Some(self.name.to_string()),
            // A file that was touched was not changed.
            modified_at: current.modified_at.or(fetched.modified_at),
            acl: wanted.acl.clone(),
        };
        let said = (&restated.uri, &restated.attributes, restated.modified_at, &restated.acl);
        if said == (&current.uri, &current.attributes, current.modified_at, &current.acl) {
            return Ok(Some(Became::Unchanged));
        }
        let became = |change| if change == Change::None { Became::Unchanged } else { Became::Restated };
        Ok(self.restate(restated).await?.map(became))
    }

    async fn restate(&self, restated: Restated) -> Result<Option<Change>, IngestError> {
        let written =
            self.ingest.0.catalog.restate_document(self.scope, restated, self.deed("document.restate")).await?;
        let Some(written) = written else { return Ok(None) };
        if written.value.seq.is_some() {
            self.ingest.publish_in_bulk(self.scope.tenant()).await;
        }
        Ok(Some(written.value.change))
    }

    /// Gives a document the access list that its source states now, without fetching it.
    pub(crate) async fn restate_one(
        &self,
        ToRestate { known, access }: ToRestate,
        approved: Option<&Acl>,
    ) -> Result<Done, IngestError> {
        let id = known.id.clone();
        if is_as_known(&known, &access) {
            return Ok(Done::of(&id, Became::Unchanged, None));
        }
        let Some(current) = self.ingest.0.catalog.current(self.scope, &id).await? else {
            // Somebody deleted it here; it comes back when it changes there.
            return Ok(Done::of(&id, Became::Unchanged, None));
        };
        if self.owned_by_others(&current).is_some() {
            return Ok(Done::of(&id, Became::Unchanged, None));
        }
        let (state, reason, acl, stated) = decided(access, Some(&known));
        let before = before(Some(&known), &current);
        if let Some(before) = &before
            && let Some(wider) = self.beyond(before, &acl, approved).await?
        {
            return self.withhold(&known, before, Withheld { id, wider, acl }).await;
        }
        let deed = self.deed("document.acl");
        self.ingest.set_acl(self.scope, &id, &acl, Expect::Version(current.version), deed).await?;
        let became = if current.acl == acl { Became::Unchanged } else { Became::Restated };
        Ok(Done::of(&id, became, Some(SourceItem { acl: stated.or(before), state, reason, ..known })))
    }

    /// Whether a list is wider than the guard lets through, and not the one that was approved.
    async fn beyond(&self, before: &Acl, after: &Acl, approved: Option<&Acl>) -> Result<Option<Wider>, IngestError> {
        if approved == Some(after) {
            return Ok(None);
        }
        self.guard.beyond(before, after).await
    }

    /// Leaves the document as it is, but for those whom the new list does not admit any more.
    async fn withhold(&self, known: &SourceItem, before: &Acl, withheld: Withheld) -> Result<Done, IngestError> {
        let acl = meanwhile(before, &withheld.acl);
        let id = withheld.id.clone();
        if known.state != ItemState::Quarantined {
            self.ingest.set_acl(self.scope, &id, &acl, Expect::Any, self.deed("document.acl")).await?;
        }
        let note = SourceItem { acl: Some(acl), ..known.clone() };
        Ok(Done::of(&id, Became::Withheld(withheld), Some(note)))
    }

    /// Why a document is not this source's to change, if it is not.
    pub(crate) fn owned_by_others(&self, current: &CurrentVersion) -> Option<String> {
        match current.source.as_deref() {
            Some(source) if source == self.name.as_str() => None,
            Some(other) => Some(format!(
                "a document of this id is there already, from the source {other}; give one of them another prefix"
            )),
            None => Some("a document of this id is there already, and no source wrote it; delete it, or give this source another prefix".to_owned()),
        }
    }
}

/// What a new list is measured against: the one that the source stated last, else the one that holds, else nobody. Nothing
/// for a document that was never open to anybody, because its source could not say to whom.
fn before(known: Option<&SourceItem>, current: &CurrentVersion) -> Option<Acl> {
    let holds = current.acl.lists().is_some();
    match known {
        Some(SourceItem { acl: Some(acl), .. }) => Some(acl.clone()),
        _ if holds => Some(current.acl.clone()),
        Some(known) if known.state == ItemState::Quarantined => None,
        _ => Some(Acl::default()),
    }
}

/// What can be said of a document that is there already.
fn as_it_is(id: &DocumentId, current: &CurrentVersion) -> SourceItem {
    SourceItem {
        id: id.clone(),
        tag: String::new(),
        bytes_sha256: Some(current.bytes_sha256),
        said_sha256: None,
        acl: current.acl.lists().map(|_| current.acl.clone()),
        state: ItemState::Ok,
        reason: None,
    }
}

/// What a document's access comes to: its state, why, the list that holds, and what the source stated last.
fn decided(access: Access, known: Option<&SourceItem>) -> (ItemState, Option<String>, Acl, Option<Acl>) {
    match access {
        Access::Stated(acl) => (ItemState::Ok, None, acl.clone(), Some(acl)),
        Access::Unstated => (ItemState::Ok, None, Acl::default(), Some(Acl::default())),
        Access::Unreadable { reason } => {
            let acl = Acl::unknown(&reason);
            (ItemState::Quarantined, Some(reason), acl, known.and_then(|known| known.acl.clone()))
        }
    }
}

fn format_of(item: &Item, fetched: &Fetched) -> Option<Format> {
    let named = fetched.content_type.as_deref().and_then(|kind| Format::from_content_type(kind).ok());
    named.or_else(|| Format::from_path(item.id.as_str()))
}

/// A hash of what is said of a document and changes what becomes of its bytes, or is written beside them.
fn said(fetched: &Fetched, format: Format) -> [u8; 32] {
    let mut hash = Sha256::new();
    let charset = fetched.content_type.as_deref().and_then(Format::charset);
    for part in [Some(format.as_content_type()), charset, fetched.title.as_deref()] {
        hash.update([u8::from(part.is_some())]);
        let part = part.unwrap_or_default();
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

pub(crate) fn last_part(id: &DocumentId) -> &str {
    id.as_str().rsplit('/').find(|part| !part.is_empty()).unwrap_or(id.as_str())
}

impl Syncing<'_> {
    /// A write of this sync: its leaf names the job, who asked for it and the source.
    pub(crate) fn deed<T>(&self, action: &'static str) -> catena_catalog::Deed<T> {
        self.progress.deed(action).naming(Object::new("source", self.name.as_str()))
    }

    /// Room in memory for a document that is on its way.
    async fn room(&self, bytes: Option<u64>) -> Result<tokio::sync::SemaphorePermit<'_>, IngestError> {
        let kib = bytes.unwrap_or(super::BYTES_ASSUMED).div_ceil(1_024).clamp(1, u64::from(super::KIB_IN_FLIGHT));
        let kib = u32::try_from(kib).unwrap_or(super::KIB_IN_FLIGHT);
        self.memory.acquire_many(kib).await.map_err(|_| IngestError::Stopping)
    }
}
