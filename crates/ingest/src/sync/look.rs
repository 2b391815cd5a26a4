//! A look at a source, gathered: what was found, what is gone, and whether it came to its end.
//!
//! Promises: a look that broke off is never taken for a whole one; each document stands in it once, under its id in the
//! tenant. Does not: fetch or compare.

use std::collections::BTreeMap;

use catena_domain::DocumentId;
use catena_sources::{Coverage, Cursor, Ended, Event, Item, Source, SourceError};
use futures::StreamExt as _;
use sha2::{Digest as _, Sha256};

use super::description::Place;

/// Most documents of one source.
pub(crate) const ITEMS_MAX: usize = 500_000;
/// Most things that are no documents of which the names are kept.
const SKIPPED_MAX: usize = 10_000;

/// What a look found.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// The documents, by their ids in the tenant.
    pub(crate) found: BTreeMap<DocumentId, Item>,
    /// Documents that the source says are gone, or elsewhere now.
    pub(crate) gone: Vec<DocumentId>,
    /// What is no document, and why.
    pub(crate) skipped: Vec<(DocumentId, String)>,
    /// All that is no document.
    pub(crate) skipped_count: u64,
    /// How it ended, if it came to its end.
    pub(crate) ended: Option<Ended>,
    /// Why it did not.
    pub(crate) broken: Option<SourceError>,
}

impl Look {
    /// Whether what was not found is gone.
    pub(crate) fn saw_everything(&self) -> bool {
        self.ended.as_ref().is_some_and(|ended| ended.coverage == Coverage::Everything)
    }

    /// Where the next look may begin.
    pub(crate) fn cursor(&self) -> Option<String> {
        self.ended.as_ref().and_then(|ended| ended.cursor.as_ref()).map(|cursor| cursor.0.clone())
    }

    /// A hash of what it found: equal looks have equal ones.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        for (id, item) in &self.found {
            part(id.as_str().as_bytes());
            part(item.tag.as_bytes());
        }
        part(b"");
        self.gone.iter().for_each(|id| part(id.as_str().as_bytes()));
        hash.finalize().into()
    }

    fn skip(&mut self, place: &Place, name: &str, reason: String) {
        self.skipped_count += 1;
        let id = DocumentId::new(&format!("{}{name}", place.prefix));
        if let Ok(id) = id
            && self.skipped.len() < SKIPPED_MAX
        {
            self.skipped.push((id, reason));
        }
    }

    fn take(&mut self, place: &Place, event: Event) -> Result<(), SourceError> {
        match event {
            Event::Found(mut item) => {
                item.moved_from = item.moved_from.take().and_then(|from| place.outer(&from).ok());
                // Should it find no place here, or a taken one, it is gone from the old one all the same.
                self.gone.extend(item.moved_from.clone());
                match place.outer(&item.id) {
                    Ok(id) => drop(self.found.insert(id, item)),
                    Err(error) => self.skip(place, item.id.as_str(), error.to_string()),
                }
            }
            Event::Gone(id) => self.gone.extend(place.outer(&id)),
            Event::Skipped { name, reason } => self.skip(place, &name, reason),
            Event::End(ended) => self.ended = Some(ended),
        }
        if self.found.len() > ITEMS_MAX {
            let reason = format!("it has more than {ITEMS_MAX} documents; describe several sources, each a part of it");
            return Err(SourceError::Invalid { reason });
        }
        Ok(())
    }
}

/// Looks to the end, or until it breaks off.
pub(crate) async fn gather(source: &dyn Source, place: &Place, since: Option<String>) -> Look {
    let mut look = Look::default();
    let mut events = source.look(since.map(Cursor));
    while let Some(event) = events.next().await {
        if let Err(error) = event.and_then(|event| look.take(place, event)) {
            look.ended = None;
            look.broken = Some(error);
            break;
        }
        if look.ended.is_some() {
            break;
        }
    }
    if look.ended.is_none() && look.broken.is_none() {
        let (place, reason) = ("the source".to_owned(), "its listing ended before its end".to_owned());
        look.broken = Some(SourceError::Unreachable { place, reason });
    }
    look.gone.sort_unstable();
    look.gone.dedup();
    look.gone.retain(|id| !look.found.contains_key(id));
    look.skipped.retain(|(id, _)| !look.found.contains_key(id));
    look
}
