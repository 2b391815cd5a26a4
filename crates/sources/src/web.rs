//! A web site as a source: its pages, found from sitemaps and along links, within what the description wants.
//!
//! A page's id is its address without the scheme. A page is gone when its server says so (404, 410), when nothing leads to
//! it any more, or when it is not for us (401, 403, `robots.txt`, `noindex`). A page whose server gives no answer stays as
//! it was. A page's tag is the hash of its bytes; so that unchanged pages are not sent again, what servers call their
//! versions (etag, time) is remembered between looks, in the folder that the source may keep.
//!
//! Promises: see [`asking`] for politeness and credentials, [`crate::net`] for what can be reached. Does not: run scripts,
//! send forms, or keep cookies.

mod address;
mod asking;
mod crawl;
mod page;
mod remembered;
mod robots;
mod sitemap;

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catena_domain::Timestamp;
use catena_text::Format;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use reqwest::header::{HeaderValue, LAST_MODIFIED};
use url::Url;

use crate::access::{Decider, Said};
use crate::credentials::Credentials;
use crate::error::SourceError;
use crate::events::{self, Emit};
use crate::net::{self, Cut, Outward};
use crate::spec::WebSpec;
use crate::surroundings::Surroundings;
use crate::{Coverage, Cursor, Ended, Event, FETCH_BYTES_MAX, Fetch, Fetched, Item, Source};
use address::Bounds;
use asking::{Answer, Asking, Within};
use crawl::Crawl;
use page::Facts;
use remembered::Remembered;

/// Bytes of pages that a look read and whoever fetches them has not taken yet.
const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A web site.
#[derive(Clone)]
pub(crate) struct WebSource(Arc<Site>);

/// A site, shared between a look and the fetches beside it.
struct Site {
    spec: WebSpec,
    place: String,
    /// What pages are remembered under: another description forgets them.
    under: String,
    folder: Option<PathBuf>,
    asking: Asking,
    decider: Decider,
    held: Mutex<Held>,
    remembered: Mutex<Option<Arc<Remembered>>>,
}

/// A page's bytes, for the fetch that follows the look.
#[derive(Debug, Clone)]
struct Body {
    tag: String,
    bytes: Vec<u8>,
    content_type: String,
    modified_at: Option<Timestamp>,
}

#[derive(Default)]
struct Held {
    bytes: usize,
    pages: VecDeque<(String, Body)>,
}

impl WebSource {
    pub(crate) fn new(
        spec: &WebSpec,
        credentials: &Credentials,
        surroundings: &Surroundings,
        outward: Outward,
    ) -> Result<Self, SourceError> {
        let begin: Vec<&String> = spec.start.iter().chain(&spec.sitemaps).collect();
        for address in &begin {
            let url = Url::parse(address).map_err(|error| SourceError::invalid(format!("{address}: {error}")))?;
            outward.check(&url)?;
            if url.scheme() == "http" && !credentials.is_empty() && !outward.is_named(&url) {
                return Err(SourceError::invalid("credentials are not sent in clear; write addresses with https://"));
            }
        }
        let under = serde_json::to_vec(spec).map_err(|error| SourceError::invalid(error.to_string()))?;
        let delay = Duration::from_millis(spec.delay_ms);
        Ok(Self(Arc::new(Site {
            place: begin.first().map(|address| (*address).clone()).unwrap_or_default(),
            under: blake3::hash(&under).to_hex()[..16].to_owned(),
            folder: surroundings.mirror.clone(),
            asking: Asking::new(outward, Bounds::new(spec)?, authorization(credentials)?, delay),
            decider: Decider::new(&spec.access, None)?,
            spec: spec.clone(),
            held: Mutex::default(),
            remembered: Mutex::default(),
        })))
    }
}

impl Site {
    async fn looked(self: Arc<Self>, emit: Emit) -> Result<Ended, SourceError> {
        let old = self.known().await;
        self.asking.forget().await;
        // What an earlier look read says nothing any more about what is there.
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Held::default();
        let mut crawl = Crawl::new(&self, &emit, &old);
        let ended = crawl.run().await;
        let mut new = crawl.new;
        if ended.is_err() {
            // Of what was not come upon, what was known still holds.
            new.keep_missing(&old);
        }
        new.save(&self.under).await;
        *self.remembered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(new));
        ended.map(|()| Ended { coverage: Coverage::Everything, cursor: None })
    }

    /// What earlier looks learnt, of this source or of one before a restart.
    async fn known(&self) -> Arc<Remembered> {
        let held = self.remembered.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(held) = held {
            return held;
        }
        let read = Arc::new(Remembered::open(self.folder.as_ref(), &self.under).await);
        let mut held = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(held.get_or_insert(read))
    }

    fn keep(&self, name: &str, body: Body) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.bytes += body.bytes.len();
        held.pages.push_back((name.to_owned(), body));
        while held.bytes > HELD_BYTES_MAX {
            let Some((_, oldest)) = held.pages.pop_front() else { break };
            held.bytes -= oldest.bytes.len();
        }
    }

    fn take(&self, name: &str, tag: &str) -> Option<Body> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let at = held.pages.iter().position(|(held, body)| held == name && body.tag == tag)?;
        let (_, body) = held.pages.remove(at)?;
        held.bytes -= body.bytes.len();
        Some(body)
    }

    async fn fetched(&self, item: &Item, known_tag: Option<&str>) -> Result<Fetch, SourceError> {
        let id = item.id.as_str();
        if let Some(body) = self.take(id, &item.tag) {
            return Ok(self.document(item, known_tag, body));
        }
        let page = self.known().await.page(id).cloned();
        let scheme = page.as_ref().map(|page| page.scheme.as_str());
        let url = scheme.and_then(|scheme| address::of_id(&item.id, scheme)).filter(|url| self.asking.bounds.want(url));
        let url = url.or_else(|| self.asking.bounds.of_id(&item.id));
        let url = url.ok_or_else(|| SourceError::document("its address is outside what the source wants"))?;
        // A conditional answer is of use only about the version that the caller has.
        let known = page.filter(|page| page.kept.as_ref().map(|kept| kept.tag.as_str()) == known_tag);
        match self.asking.ask(&url, Within::Bounds, |_| known.clone()).await? {
            Answer::Gone => Ok(Fetch::Gone),
            Answer::Unchanged(_) => Ok(Fetch::Unchanged),
            Answer::Page(at, _) if address::name(&at) != id => Ok(Fetch::Gone),
            Answer::Page(at, response) => {
                let headers = response.headers().clone();
                let content_type = crawl::content_type(&at, &headers).map_err(SourceError::document)?;
                let bytes = net::body(response, FETCH_BYTES_MAX).await.map_err(|cut| match cut {
                    Cut::TooLong => {
                        SourceError::document(format!("it is larger than {FETCH_BYTES_MAX} bytes, the limit"))
                    }
                    Cut::Broken(reason) => SourceError::unreachable(net::shown(&at), reason),
                })?;
                let is_html = Format::from_content_type(&content_type).is_ok_and(|format| format == Format::Html);
                let mut facts = if is_html { Facts::read(&bytes).await? } else { Facts::default() };
                facts.heed(&headers);
                if facts.noindex {
                    return Ok(Fetch::Gone);
                }
                let modified_at = headers.get(LAST_MODIFIED).and_then(|value| http_time(value.to_str().ok()?));
                let body = Body { tag: crawl::tag(&bytes), bytes, content_type, modified_at };
                Ok(self.document(item, known_tag, body))
            }
            Answer::Closed(reason) => Err(SourceError::document(reason)),
            Answer::Failed(reason) => Err(SourceError::unreachable(net::shown(&url), reason)),
        }
    }

    fn document(&self, item: &Item, known_tag: Option<&str>, body: Body) -> Fetch {
        if known_tag == Some(body.tag.as_str()) {
            return Fetch::Unchanged;
        }
        let (access, attributes) = self.decider.decide(item.id.as_str(), Said::default());
        let uri = self.asking.bounds.of_id(&item.id).map(|url| url.to_string());
        let fetched = Fetched {
            bytes: body.bytes,
            content_type: Some(body.content_type),
            title: None,
            uri,
            modified_at: body.modified_at.or(item.modified_at),
            attributes,
            access,
        };
        Fetch::Document { fetched, tag: body.tag }
    }
}

fn authorization(credentials: &Credentials) -> Result<Option<HeaderValue>, SourceError> {
    let text = match (credentials.get("username"), credentials.get("password"), credentials.get("token")) {
        (_, _, Some(token)) => format!("Bearer {token}"),
        (user, Some(password), _) => {
            format!("Basic {}", STANDARD.encode(format!("{}:{password}", user.unwrap_or_default())))
        }
        _ => return Ok(None),
    };
    let header = HeaderValue::from_str(&text);
    let mut header = header.map_err(|_| SourceError::invalid("the token holds a character that no header may hold"))?;
    header.set_sensitive(true);
    Ok(Some(header))
}

/// A moment that a header states.
fn http_time(text: &str) -> Option<Timestamp> {
    let time = chrono::DateTime::parse_from_rfc2822(text.trim()).ok()?;
    Some(Timestamp(time.timestamp_micros()))
}

impl Source for WebSource {
    fn look(&self, _since: Option<Cursor>) -> BoxStream<'_, Result<Event, SourceError>> {
        events::of(|emit| Arc::clone(&self.0).looked(emit))
    }

    fn fetch<'a>(&'a self, item: &'a Item, known_tag: Option<&'a str>) -> BoxFuture<'a, Result<Fetch, SourceError>> {
        Box::pin(self.0.fetched(item, known_tag))
    }
}

impl fmt::Debug for WebSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSource").field("place", &self.0.place).finish_non_exhaustive()
    }
}
