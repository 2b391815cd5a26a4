//! A source that lives in memory, for tests: what is in it, what changed, and what goes wrong, as the test says.
//!
//! Promises: it keeps the port's contract as the others do, and a handle sees what another one changed. Does not: keep
//! anything when the last handle goes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use catena_access::Attributes;
use catena_domain::{DocumentId, Timestamp};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _};

use crate::{Access, Coverage, Cursor, Ended, Event, Fetch, Fetched, Item, Source, SourceError};

/// A source in memory. Cloning gives another handle to the same one.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<Inside>>);

#[derive(Debug, Default)]
struct Inside {
    held: BTreeMap<String, Held>,
    /// What happened, in order; its length is the cursor.
    story: Vec<Change>,
    has_cursor: bool,
    breaks_after: Option<usize>,
    looks: usize,
    fetches: usize,
}

#[derive(Debug, Clone)]
struct Held {
    document: MemoryDocument,
    tag: String,
    fails: Option<SourceError>,
}

#[derive(Debug, Clone)]
enum Change {
    Written(String),
    Moved { from: String, to: String },
    Removed(String),
}

/// A document of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryDocument {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Who may read it.
    pub access: Access,
    /// Whether a listing says who may read it, or only a fetch.
    pub listed_access: bool,
    /// What the source says about it.
    pub attributes: Attributes,
    /// What it is, if the source says it.
    pub content_type: Option<String>,
    /// Its title, if the source says it.
    pub title: Option<String>,
    /// When it was changed last, if the source says it.
    pub modified_at: Option<Timestamp>,
}

impl MemoryDocument {
    /// A document whose listing says that `access` holds.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>, access: Access) -> Self {
        Self {
            bytes: bytes.into(),
            access,
            listed_access: true,
            attributes: Attributes::new(),
            content_type: None,
            title: None,
            modified_at: None,
        }
    }
}

impl Memory {
    /// An empty source whose looks always see everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty source that can tell what changed since a cursor.
    #[must_use]
    pub fn with_cursor() -> Self {
        let memory = Self::default();
        memory.inside().has_cursor = true;
        memory
    }

    /// Writes a document. Its tag follows from its bytes alone.
    pub fn put(&self, id: &str, document: MemoryDocument) {
        let tag = blake3::hash(&document.bytes).to_hex().to_string();
        self.put_tagged(id, document, &tag);
    }

    /// Writes a document under a tag that the test chooses: the same bytes under another tag are a touched document.
    pub fn put_tagged(&self, id: &str, document: MemoryDocument, tag: &str) {
        let mut inside = self.inside();
        inside.held.insert(id.to_owned(), Held { document, tag: tag.to_owned(), fails: None });
        inside.story.push(Change::Written(id.to_owned()));
    }

    /// Moves a document. With a cursor the next look says from where; without one it is gone here and found there.
    pub fn rename(&self, from: &str, to: &str) {
        let mut inside = self.inside();
        if let Some(held) = inside.held.remove(from) {
            inside.held.insert(to.to_owned(), held);
            inside.story.push(Change::Moved { from: from.to_owned(), to: to.to_owned() });
        }
    }

    /// Removes a document.
    pub fn remove(&self, id: &str) {
        let mut inside = self.inside();
        if inside.held.remove(id).is_some() {
            inside.story.push(Change::Removed(id.to_owned()));
        }
    }

    /// Lets every look break off after so many events, or none.
    pub fn break_after(&self, events: Option<usize>) {
        self.inside().breaks_after = events;
    }

    /// Lets every fetch of a document fail, until it is written again.
    pub fn fail_fetch(&self, id: &str, error: SourceError) {
        if let Some(held) = self.inside().held.get_mut(id) {
            held.fails = Some(error);
        }
    }

    /// The documents that are in it.
    #[must_use]
    pub fn documents(&self) -> BTreeMap<String, MemoryDocument> {
        self.inside().held.iter().map(|(id, held)| (id.clone(), held.document.clone())).collect()
    }

    /// How often it was looked at, and how many documents were fetched.
    #[must_use]
    pub fn asked(&self) -> (usize, usize) {
        let inside = self.inside();
        (inside.looks, inside.fetches)
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn everything(&self) -> Vec<Result<Event, SourceError>> {
        self.held.iter().map(|(id, held)| found(id, held, None)).collect()
    }

    /// What differs between the story at `since` and now: each document once.
    fn changed(&self, since: usize) -> Vec<Result<Event, SourceError>> {
        let mut touched: BTreeMap<&str, Option<&str>> = BTreeMap::new();
        let mut gone: Vec<&str> = Vec::new();
        for change in self.story.iter().skip(since) {
            match change {
                Change::Written(id) => {
                    touched.entry(id).or_default();
                }
                Change::Moved { from, to } => {
                    let origin = touched.remove(from.as_str()).flatten().unwrap_or(from);
                    touched.insert(to, Some(origin));
                    gone.push(from);
                }
                Change::Removed(id) => {
                    if let Some(Some(origin)) = touched.remove(id.as_str()) {
                        gone.push(origin);
                    }
                    gone.push(id);
                }
            }
        }
        let origins: Vec<&str> = touched.values().flatten().copied().collect();
        gone.sort_unstable();
        gone.dedup();
        gone.retain(|id| !self.held.contains_key(*id) && !origins.contains(id));
        let gone = gone.into_iter().map(|id| DocumentId::new(id).map(Event::Gone).map_err(|error| broken(&error)));
        // Where something new lies at the old place, both are documents of their own.
        let from = |from: Option<&'_ str>| from.filter(|from| !self.held.contains_key(*from)).map(ToOwned::to_owned);
        let there =
            touched.iter().filter_map(|(id, origin)| Some(found(id, self.held.get(*id)?, from(*origin).as_deref())));
        there.chain(gone).collect()
    }
}

fn broken(error: &dyn std::fmt::Display) -> SourceError {
    SourceError::unreachable("the source in memory", error.to_string())
}

fn found(id: &str, held: &Held, from: Option<&str>) -> Result<Event, SourceError> {
    let document = &held.document;
    let id = match DocumentId::new(id) {
        Ok(id) => id,
        Err(error) => return Ok(Event::Skipped { name: id.escape_debug().collect(), reason: error.to_string() }),
    };
    Ok(Event::Found(Item {
        id,
        tag: held.tag.clone(),
        bytes: Some(document.bytes.len() as u64),
        modified_at: document.modified_at,
        moved_from: from.map(DocumentId::new).transpose().map_err(|error| broken(&error))?,
        access: document.listed_access.then(|| document.access.clone()),
    }))
}

impl Source for Memory {
    fn look(&self, since: Option<Cursor>) -> BoxStream<'_, Result<Event, SourceError>> {
        let mut inside = self.inside();
        inside.looks += 1;
        let since = since.filter(|_| inside.has_cursor).and_then(|cursor| cursor.0.parse::<usize>().ok());
        let since = since.filter(|since| *since <= inside.story.len());
        let coverage = if since.is_some() { Coverage::SinceCursor } else { Coverage::Everything };
        let mut events = since.map_or_else(|| inside.everything(), |since| inside.changed(since));
        let cursor = inside.has_cursor.then(|| Cursor(inside.story.len().to_string()));
        events.push(Ok(Event::End(Ended { coverage, cursor })));
        if let Some(after) = inside.breaks_after {
            events.truncate(after);
            events.push(Err(SourceError::unreachable("the source in memory", "it broke off, as the test wants it")));
        }
        stream::iter(events).boxed()
    }

    fn fetch<'a>(&'a self, item: &'a Item, known_tag: Option<&'a str>) -> BoxFuture<'a, Result<Fetch, SourceError>> {
        Box::pin(async move {
            let mut inside = self.inside();
            inside.fetches += 1;
            let Some(held) = inside.held.get(item.id.as_str()) else { return Ok(Fetch::Gone) };
            if let Some(error) = &held.fails {
                return Err(error.clone());
            }
            if known_tag == Some(held.tag.as_str()) {
                return Ok(Fetch::Unchanged);
            }
            let document = held.document.clone();
            let fetched = Fetched {
                bytes: document.bytes,
                content_type: document.content_type,
                title: document.title,
                uri: None,
                modified_at: document.modified_at,
                attributes: document.attributes,
                access: document.access,
            };
            Ok(Fetch::Document { fetched, tag: held.tag.clone() })
        })
    }
}
