//! Places where documents live, behind one port: what is there now, what changed since, and a document's bytes.
//!
//! Promises: a look that breaks off never says that it saw everything; what may be read by whom is stated, or said to be
//! unknown, and is never guessed; a secret is in no message, no log line and no `Debug` output.
//! Does not: remember anything between two looks, or write documents. `ingest` does both.

pub mod access;
pub mod credentials;
pub mod error;
mod events;
pub mod folder;
mod git;
mod globs;
pub mod memory;
mod net;
mod objects;
mod push;
pub mod spec;
pub mod surroundings;
mod web;

use std::fmt;

use catena_access::{Acl, Attributes};
use catena_domain::{DocumentId, Timestamp};
use futures::future::BoxFuture;
use futures::stream::BoxStream;

pub use access::AccessSpec;
pub use credentials::Credentials;
pub use error::SourceError;
pub use spec::SourceSpec;
pub use surroundings::Surroundings;

/// Largest document that is fetched, in bytes. A larger one is found and cannot be had, so that what was known of it stays.
pub const FETCH_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How far a look got, in the source's own words: a commit, a listing's time. Opaque to all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

/// A document as a listing shows it, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The document's id in the tenant, below the source's prefix: a path, a URL's path, an object's key.
    pub id: DocumentId,
    /// What changes when the bytes change, or what is said beside them and stands in no listing, and is cheap to learn: an
    /// etag, a blob's hash, time and size.
    pub tag: String,
    /// Its length, where the listing says it.
    pub bytes: Option<u64>,
    /// When it was changed last, where the listing says it.
    pub modified_at: Option<Timestamp>,
    /// The id that it had before, where the source knows that it was moved: unless the look finds something else there,
    /// nothing is there any more. The caller may never have heard of that id.
    pub moved_from: Option<DocumentId>,
    /// Who may read it, where that is known without the bytes; so a change of it alone is seen, too.
    pub access: Option<Access>,
}

/// Who may read a document, as its source says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// These.
    Stated(Acl),
    /// Nothing is said: nobody but administrators.
    Unstated,
    /// Something is said, and it cannot be read: the document is quarantined.
    Unreadable {
        /// What is wrong.
        reason: String,
    },
}

/// What a look finds, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A document that is there.
    Found(Item),
    /// A document that is gone, said only by looks that began at a cursor.
    Gone(DocumentId),
    /// Something that is no document, and why.
    Skipped {
        /// What it is called there.
        name: String,
        /// Why it is none.
        reason: String,
    },
    /// The look's end, always the last event. A look that ends without it saw only a part.
    End(Ended),
}

/// How a look ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// What was looked at.
    pub coverage: Coverage,
    /// Where the next look may begin.
    pub cursor: Option<Cursor>,
}

/// What a look that came to its end has looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// Everything: what was not found is gone.
    Everything,
    /// What changed since the cursor: what was not named is as it was.
    SinceCursor,
}

/// A document with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What they are, where the source says it; else the id's ending decides.
    pub content_type: Option<String>,
    /// Its title, where the source knows it.
    pub title: Option<String>,
    /// Where a person finds the original.
    pub uri: Option<String>,
    /// When it was changed last.
    pub modified_at: Option<Timestamp>,
    /// What the source says about it.
    pub attributes: Attributes,
    /// Who may read it.
    pub access: Access,
}

/// What became of a document between the look and the fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it is taken apart where it comes in, and few are there at once")]
pub enum Fetch {
    /// It is there. The tag is the one that belongs to these bytes.
    Document {
        /// What was fetched.
        fetched: Fetched,
        /// What changes when the bytes change.
        tag: String,
    },
    /// It has not changed since the tag that was shown.
    Unchanged,
    /// It is gone.
    Gone,
}

/// A place where documents live.
pub trait Source: Send + Sync + fmt::Debug {
    /// Looks what is there, or, where the source can tell, what changed since `since`.
    fn look(&self, since: Option<Cursor>) -> BoxStream<'_, Result<Event, SourceError>>;

    /// Fetches a document that a look has found. `known_tag` is the tag of what the caller has already.
    fn fetch<'a>(&'a self, item: &'a Item, known_tag: Option<&'a str>) -> BoxFuture<'a, Result<Fetch, SourceError>>;

    /// Says when something may have changed, where the source can tell without being asked. Never enough by itself: it may
    /// end at any time, and what it misses is found by the next look.
    fn changes(&self) -> Option<BoxStream<'static, ()>> {
        None
    }
}

/// Makes a source of its description, after every check that needs nobody's answer. Nothing is asked of it yet.
pub fn open(
    spec: &SourceSpec,
    credentials: &Credentials,
    surroundings: &Surroundings,
) -> Result<Box<dyn Source>, SourceError> {
    spec.check()?;
    credentials.check(spec)?;
    match spec {
        SourceSpec::Folder(spec) => Ok(Box::new(folder::FolderSource::new(spec, surroundings)?)),
        SourceSpec::Git(spec) => {
            let outward = net::Outward::new(surroundings)?;
            Ok(Box::new(git::GitSource::new(spec, credentials, surroundings, outward)?))
        }
        SourceSpec::Web(spec) => {
            let outward = net::Outward::new(surroundings)?;
            Ok(Box::new(web::WebSource::new(spec, credentials, surroundings, outward)?))
        }
        SourceSpec::Objects(spec) => {
            let outward = net::Outward::new(surroundings)?;
            Ok(Box::new(objects::ObjectsSource::new(spec, credentials, &outward)?))
        }
        SourceSpec::Push(_) => Ok(Box::new(push::Push)),
    }
}
