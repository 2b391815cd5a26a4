//! A bucket of an object store as a source.
//!
//! A document's id is its key below the description's prefix. Its tag is the store's etag, and, where objects may say
//! themselves who may read them, the time of their last change too, since metadata change without an etag. What a rule says
//! of it and no listing shows is in its tag as well.
//!
//! Promises: a listing that breaks off or finds nothing at all is an error; what a store says in an error is not repeated
//! but for its code, since it may hold signatures. Does not: write, or look at older versions of objects.

mod open;

use std::error::Error;
use std::fmt;
use std::io::{self, Read as _};
use std::sync::{Arc, Mutex, PoisonError};

use catena_domain::{DocumentId, Timestamp};
use catena_text::Format;
use chrono::{DateTime, Utc};
use flate2::read::MultiGzDecoder;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{Attribute, GetOptions, GetResult, ObjectMeta, ObjectStore};

use crate::access::{Decider, FILE as RULES, Said, Speaks, has_front_matter, rules, said_by_metadata, said_in};
use crate::credentials::Credentials;
use crate::error::SourceError;
use crate::events::{self, Emit};
use crate::globs::Globs;
use crate::net::Outward;
use crate::spec::{ObjectsSpec, Store};
use crate::{Coverage, Cursor, Ended, Event, FETCH_BYTES_MAX, Fetch, Fetched, Item, Source};

/// Most objects of one source.
const OBJECTS_MAX: usize = 1_000_000;

/// A bucket.
#[derive(Clone)]
pub(crate) struct ObjectsSource(Arc<Bucket>);

/// A bucket, shared between a look and the fetches beside it.
struct Bucket {
    spec: ObjectsSpec,
    place: String,
    prefix: String,
    globs: Globs,
    store: Arc<dyn ObjectStore>,
    /// The rules that the last look found.
    decider: Mutex<Option<Arc<Decider>>>,
}

impl ObjectsSource {
    pub(crate) fn new(spec: &ObjectsSpec, credentials: &Credentials, outward: &Outward) -> Result<Self, SourceError> {
        Self::over(spec, open::open(spec, credentials, outward)?)
    }

    /// Over a store that is there already.
    fn over(spec: &ObjectsSpec, store: Arc<dyn ObjectStore>) -> Result<Self, SourceError> {
        let prefix = spec.prefix.as_deref().map(|prefix| format!("{}/", prefix.trim_end_matches('/')));
        let prefix = prefix.unwrap_or_default();
        let scheme = match spec.store {
            Store::S3 => "s3",
            Store::Gcs => "gs",
            Store::Azure => "az",
        };
        Ok(Self(Arc::new(Bucket {
            place: format!("{scheme}://{}/{prefix}", spec.bucket),
            prefix,
            globs: Globs::new(&spec.include, &spec.exclude)?,
            spec: spec.clone(),
            store,
            decider: Mutex::default(),
        })))
    }
}

impl Bucket {
    async fn looked(self: Arc<Self>, emit: Emit) -> Result<Ended, SourceError> {
        let decider = self.decide_anew().await?;
        let prefix = if self.prefix.is_empty() { None } else { Some(self.path("")?) };
        let mut listed = self.store.list(prefix.as_ref());
        let mut count = 0_usize;
        while let Some(meta) = listed.next().await {
            let meta = meta.map_err(|error| self.failed(&error))?;
            count += 1;
            if count > OBJECTS_MAX {
                return Err(SourceError::invalid(format!(
                    "{} holds more than {OBJECTS_MAX} objects; make several sources of it, each with a prefix",
                    self.place
                )));
            }
            let key = meta.location.as_ref();
            let Some(name) = key.strip_prefix(&self.prefix).filter(|name| !name.is_empty()) else { continue };
            if self.spec.access.from_file && name == RULES {
                continue;
            }
            match self.document(name) {
                Ok(id) => {
                    let access = decider.listed(id.as_str(), self.speaks());
                    let item = Item {
                        tag: self.tag(&meta) + &decider.mark(id.as_str(), self.speaks()),
                        bytes: Some(meta.size),
                        modified_at: Some(time(meta.last_modified)),
                        moved_from: None,
                        access,
                        id,
                    };
                    emit.send(Event::Found(item)).await?;
                }
                Err(reason) => {
                    let name = name.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
                    emit.send(Event::Skipped { name, reason: reason.to_owned() }).await?;
                }
            }
        }
        if count == 0 {
            let reason = "it holds nothing, as a prefix does that is written wrong; remove the source if that is meant";
            return Err(SourceError::unreachable(&self.place, reason));
        }
        Ok(Ended { coverage: Coverage::Everything, cursor: None })
    }

    fn document(&self, name: &str) -> Result<DocumentId, &'static str> {
        if Format::from_path(name).is_none() {
            return Err("its ending is none that is read");
        }
        if !self.globs.want(name) {
            return Err("the source's include and exclude leave it out");
        }
        DocumentId::new(name).map_err(|_| "its name is too long, or holds characters that are not visible")
    }

    fn speaks(&self) -> Speaks {
        if self.spec.access.from_documents { Speaks::InMetadata } else { Speaks::Never }
    }

    fn path(&self, name: &str) -> Result<Path, SourceError> {
        let key = format!("{}{name}", self.prefix);
        Path::parse(&key).map_err(|_| SourceError::document(format!("{key:?} is no key that can be asked for")))
    }

    fn tag(&self, meta: &ObjectMeta) -> String {
        let seconds = meta.last_modified.timestamp();
        match (&meta.e_tag, self.speaks()) {
            (Some(etag), Speaks::Never) => etag.clone(),
            (Some(etag), _) => format!("{etag}|{seconds}"),
            (None, _) => format!("{}|{seconds}", meta.size),
        }
    }

    /// The rules as they are now.
    async fn decide_anew(&self) -> Result<Arc<Decider>, SourceError> {
        let file = if self.spec.access.from_file { self.rules().await? } else { None };
        let decider = Arc::new(Decider::new(&self.spec.access, file.as_deref())?);
        *self.decider.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&decider));
        Ok(decider)
    }

    async fn rules(&self) -> Result<Option<Vec<u8>>, SourceError> {
        match self.store.get_opts(&self.path(RULES)?, GetOptions::default()).await {
            Ok(found) => match self.body(found, rules::FILE_BYTES_MAX).await? {
                Some(bytes) => Ok(Some(bytes)),
                None => Err(SourceError::invalid(format!("{RULES} is larger than {} bytes", rules::FILE_BYTES_MAX))),
            },
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// An object's bytes, or nothing if they are more than allowed.
    async fn body(&self, found: GetResult, bytes_max: u64) -> Result<Option<Vec<u8>>, SourceError> {
        if found.meta.size > bytes_max {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let mut parts = found.into_stream();
        while let Some(part) = parts.next().await {
            let part = part.map_err(|error| self.failed(&error))?;
            if bytes.len() as u64 + part.len() as u64 > bytes_max {
                return Ok(None);
            }
            bytes.extend_from_slice(&part);
        }
        Ok(Some(bytes))
    }

    async fn fetched(&self, item: &Item, known_tag: Option<&str>) -> Result<Fetch, SourceError> {
        let id = item.id.as_str();
        let decider = self.decider.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let decider = match decider {
            Some(decider) => decider,
            None => self.decide_anew().await?,
        };
        let mark = decider.mark(id, self.speaks());
        let known_tag = known_tag.and_then(|known| known.strip_suffix(mark.as_str()));
        // Where metadata count, an unchanged etag does not say that nothing has changed.
        let etag = known_tag.filter(|tag| self.speaks() == Speaks::Never && tag.ends_with('"'));
        let options = GetOptions { if_none_match: etag.map(ToOwned::to_owned), ..GetOptions::default() };
        let found = match self.store.get_opts(&self.path(id)?, options).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(Fetch::Gone),
            Err(object_store::Error::NotModified { .. }) => return Ok(Fetch::Unchanged),
            Err(error) => return Err(self.failed(&error)),
        };
        let tag = self.tag(&found.meta);
        if known_tag == Some(tag.as_str()) {
            return Ok(Fetch::Unchanged);
        }
        let modified_at = Some(time(found.meta.last_modified));
        let attributes = found.attributes.clone();
        let text = |wanted: Attribute| attributes.get(&wanted).map(|value| value.to_string());
        let content_type = text(Attribute::ContentType).filter(|said| says_more(said, id));
        let encoding = text(Attribute::ContentEncoding);
        let too_large =
            || SourceError::document(format!("it is larger than {FETCH_BYTES_MAX} bytes, the limit; split it"));
        let bytes = self.body(found, FETCH_BYTES_MAX).await?.ok_or_else(too_large)?;
        let bytes = unpacked(bytes, encoding.as_deref())?;
        let said = self.said(id, &bytes, &attributes);
        let (access, attributes) = decider.decide(id, said);
        let uri = Some(format!("{}{id}", self.place));
        let fetched = Fetched { bytes, content_type, title: None, uri, modified_at, attributes, access };
        Ok(Fetch::Document { fetched, tag: tag + &mark })
    }

    /// What an object says of itself: its metadata, or its front matter where those are silent.
    fn said(&self, id: &str, bytes: &[u8], attributes: &object_store::Attributes) -> Said {
        if self.speaks() == Speaks::Never {
            return Said::default();
        }
        let metadata = attributes.iter().filter_map(|(attribute, value)| match attribute {
            Attribute::Metadata(name) => Some((name.as_ref(), value.as_ref())),
            _ => None,
        });
        let mut said = said_by_metadata(metadata);
        if said.access.is_none() && has_front_matter(id) {
            let inside = said_in(bytes);
            said.access = inside.access;
            for (name, value) in inside.attributes {
                said.attributes.entry(name).or_insert(value);
            }
        }
        said
    }

    fn failed(&self, error: &object_store::Error) -> SourceError {
        use object_store::Error as Failure;
        let reason = said(error);
        match error {
            Failure::PermissionDenied { .. } | Failure::Unauthenticated { .. } => {
                SourceError::refused(&self.place, format!("{reason}; see to the credentials"))
            }
            Failure::InvalidPath { .. } => SourceError::unreachable(
                &self.place,
                "a key in it has an empty folder's name (//) or a control character, and cannot be listed; rename it",
            ),
            _ => SourceError::unreachable(&self.place, reason),
        }
    }
}

/// Whether a content type says what the key's ending says, with a charset beside it. Stores often know nothing better than
/// "bytes" or "text", so the ending decides what a document is.
fn says_more(said: &str, id: &str) -> bool {
    Format::from_content_type(said).ok() == Format::from_path(id) && Format::charset(said).is_some()
}

fn time(at: DateTime<Utc>) -> Timestamp {
    Timestamp(at.timestamp_micros())
}

/// Bytes as they are meant: an object that was packed for its transfer is unpacked.
fn unpacked(bytes: Vec<u8>, encoding: Option<&str>) -> Result<Vec<u8>, SourceError> {
    match encoding.map(str::trim) {
        None | Some("" | "identity" | "aws-chunked") => Ok(bytes),
        Some("gzip") => {
            let mut out = Vec::new();
            let read = MultiGzDecoder::new(bytes.as_slice()).take(FETCH_BYTES_MAX + 1).read_to_end(&mut out);
            read.map_err(|_| SourceError::document("it is damaged: it cannot be unpacked"))?;
            if out.len() as u64 > FETCH_BYTES_MAX {
                return Err(SourceError::document(format!("it is larger than {FETCH_BYTES_MAX} bytes once unpacked")));
            }
            Ok(out)
        }
        Some(other) => {
            let other: String = other.chars().take(40).collect();
            Err(SourceError::document(format!(
                "it is packed as {other:?}, which is not read; store it as it is, or as gzip"
            )))
        }
    }
}

/// What went wrong, in words that hold nothing of what was asked: the store's own code, or the machine's reason.
fn said(error: &object_store::Error) -> String {
    let mut causes: Option<&(dyn Error + 'static)> = error.source();
    let mut code = code_in(&error.to_string());
    for _ in 0..16 {
        let Some(cause) = causes else { break };
        if let Some(ours) = cause.downcast_ref::<SourceError>() {
            return ours.to_string();
        }
        if let Some(refusal) = crate::net::refusal(cause) {
            return refusal;
        }
        if let Some(machine) = cause.downcast_ref::<io::Error>() {
            return format!("it does not answer: {}", machine.kind());
        }
        code = code.or_else(|| code_in(&cause.to_string()));
        causes = cause.source();
    }
    match (code, error) {
        (Some(code), _) => format!("it answers {code}"),
        (None, object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }) => {
            "it does not let the source in".to_owned()
        }
        (None, object_store::Error::NotFound { .. }) => "it is not there".to_owned(),
        (None, _) => "it does not answer as a store does".to_owned(),
    }
}

/// The code of an error in the form of S3 and Azure.
fn code_in(text: &str) -> Option<String> {
    let code = text.split_once("<Code>")?.1.split_once("</Code>")?.0;
    let is_code = !code.is_empty() && code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_code.then(|| code.to_owned())
}

impl Source for ObjectsSource {
    fn look(&self, _since: Option<Cursor>) -> BoxStream<'_, Result<Event, SourceError>> {
        events::of(|emit| Arc::clone(&self.0).looked(emit))
    }

    fn fetch<'a>(&'a self, item: &'a Item, known_tag: Option<&'a str>) -> BoxFuture<'a, Result<Fetch, SourceError>> {
        Box::pin(self.0.fetched(item, known_tag))
    }
}

impl fmt::Debug for ObjectsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectsSource").field("place", &self.0.place).finish_non_exhaustive()
    }
}
