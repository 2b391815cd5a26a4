//! One look at a web site: from its sitemaps and its first pages along links to every page that is wanted.
//!
//! Promises: the look ends well only if every page that it came upon gave an answer, or is known from before and then stays
//! as it was; a beginning that is gone, a sitemap that is not whole, or a site with no page at all is an error. Does not:
//! tell of a page twice.

use std::collections::{HashSet, VecDeque};

use catena_domain::Timestamp;
use catena_text::Format;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED};
use url::Url;

use super::address::{self, Bounds};
use super::asking::{Answer, Within};
use super::page::Facts;
use super::remembered::{Kept, Page, Remembered};
use super::sitemap;
use super::{Body, Site, http_time};
use crate::access::Speaks;
use crate::error::SourceError;
use crate::events::Emit;
use crate::net::{self, Cut};
use crate::{Event, FETCH_BYTES_MAX, Item};

/// Most sitemaps, those that indexes name included.
const SITEMAPS_MAX: usize = 1_000;
/// How many pages that give no answer are put up with before the look ends: of those that nobody knew, and in a row.
const FAILURES_MAX: usize = 20;
/// Addresses that are asked for at most, for each page that may be kept: redirects, pages that are gone, pages not to keep.
const ASKED_PER_PAGE: usize = 4;
/// The same for sites of few pages, besides.
const ASKED_FREE: usize = 100;
/// Most bytes of addresses that are waiting or were asked for.
const ADDRESSES_BYTES_MAX: usize = 64 * 1024 * 1024;

/// An address to ask for.
struct Next {
    url: Url,
    depth: u32,
    is_start: bool,
    changed: Option<Timestamp>,
}

pub(super) struct Crawl<'a> {
    source: &'a Site,
    emit: &'a Emit,
    old: &'a Remembered,
    /// What this look learnt.
    pub(super) new: Remembered,
    waiting: VecDeque<Next>,
    seen: HashSet<String>,
    told: HashSet<String>,
    /// Addresses that were put among the waiting, and their bytes.
    queued: usize,
    queued_bytes: usize,
    failures: Vec<String>,
    /// Pages in a row that gave no answer.
    silent: usize,
}

impl<'a> Crawl<'a> {
    pub(super) fn new(source: &'a Site, emit: &'a Emit, old: &'a Remembered) -> Self {
        let new = old.beginning();
        Self {
            source,
            emit,
            old,
            new,
            waiting: VecDeque::new(),
            seen: HashSet::new(),
            told: HashSet::new(),
            queued: 0,
            queued_bytes: 0,
            failures: Vec::new(),
            silent: 0,
        }
    }

    fn bounds(&self) -> &'a Bounds {
        &self.source.asking.bounds
    }

    pub(super) async fn run(&mut self) -> Result<(), SourceError> {
        for start in &self.source.spec.start {
            let url = Url::parse(start).map_err(|error| SourceError::invalid(format!("{start}: {error}")))?;
            let url = self.bounds().normal(url);
            self.queue(Next { url, depth: 0, is_start: true, changed: None })?;
        }
        self.sitemaps().await?;
        while let Some(next) = self.waiting.pop_front() {
            self.visit(next).await?;
        }
        match self.failures.first() {
            Some(first) => {
                let (count, place) = (self.failures.len(), self.source.place.clone());
                let reason = format!(
                    "{count} pages gave no answer and are not known from before, so nothing counts as gone; the first: {first}"
                );
                Err(SourceError::unreachable(place, reason))
            }
            None if self.told.is_empty() => {
                let reason = "it has no page that can be read, which is not taken for a site whose pages are all gone";
                Err(SourceError::unreachable(&self.source.place, reason))
            }
            None => Ok(()),
        }
    }

    fn too_many(&self) -> SourceError {
        let most = self.source.spec.pages_max;
        SourceError::invalid(format!(
            "the site has more pages than pages_max ({most}); raise it, or narrow the site by paths, exclude or query"
        ))
    }

    /// Puts an address among the waiting, once. All of them are asked for, so that there are too many is known here.
    fn queue(&mut self, next: Next) -> Result<(), SourceError> {
        let name = address::name(&next.url);
        if self.seen.contains(&name) {
            return Ok(());
        }
        self.queued += 1;
        self.queued_bytes += name.len();
        let most = (self.source.spec.pages_max as usize).saturating_mul(ASKED_PER_PAGE).saturating_add(ASKED_FREE);
        if self.queued > most || self.queued_bytes > ADDRESSES_BYTES_MAX {
            return Err(self.too_many());
        }
        self.seen.insert(name);
        self.waiting.push_back(next);
        Ok(())
    }

    async fn sitemaps(&mut self) -> Result<(), SourceError> {
        let named = &self.source.spec.sitemaps;
        let mut waiting: VecDeque<Url> = named.iter().filter_map(|one| Url::parse(one).ok()).collect();
        let mut seen: HashSet<Url> = waiting.iter().cloned().collect();
        while let Some(url) = waiting.pop_front() {
            let shown = net::shown(&url);
            let broken = |reason: String| SourceError::unreachable(format!("the sitemap {shown}"), reason);
            let response = match self.source.asking.ask(&url, Within::Origins, |_| None).await? {
                Answer::Page(_, response) => response,
                Answer::Closed(reason) | Answer::Failed(reason) => return Err(broken(reason)),
                Answer::Gone | Answer::Unchanged(_) => return Err(broken("it is not there".to_owned())),
            };
            let bytes = net::body(response, sitemap::BYTES_MAX).await.map_err(|cut| match cut {
                Cut::TooLong => broken(format!("it is larger than {} bytes", sitemap::BYTES_MAX)),
                Cut::Broken(reason) => broken(reason),
            })?;
            let read = sitemap::parse(&bytes).map_err(broken)?;
            for (page, changed) in read.pages {
                match Url::parse(&page).map(|page| self.bounds().normal(page)) {
                    Ok(page) if self.bounds().want(&page) => {
                        self.queue(Next { url: page, depth: 0, is_start: false, changed })?;
                    }
                    _ => self.skipped(page, "the sitemap names it, and it is outside what is wanted").await?,
                }
                if self.seen.len() > (self.source.spec.pages_max as usize).saturating_mul(ASKED_PER_PAGE) {
                    return Err(self.too_many());
                }
            }
            for other in read.sitemaps {
                let other =
                    Url::parse(&other).ok().filter(|other| self.bounds().is_own(other) || self.bounds().want(other));
                let Some(other) = other else {
                    return Err(broken(
                        "it names a sitemap outside what is wanted; name that one in sitemaps".to_owned(),
                    ));
                };
                if seen.insert(other.clone()) {
                    waiting.push_back(other);
                }
            }
            if seen.len() > SITEMAPS_MAX {
                return Err(broken(format!("there are more than {SITEMAPS_MAX} of them")));
            }
        }
        Ok(())
    }

    async fn visit(&mut self, next: Next) -> Result<(), SourceError> {
        let old = self.old;
        let known = |url: &Url| old.page(&address::name(url)).cloned();
        let name = address::name(&next.url);
        let answer = self.source.asking.ask(&next.url, Within::Bounds, known).await?;
        self.silent = if matches!(answer, Answer::Failed(_)) { self.silent + 1 } else { 0 };
        if self.silent >= FAILURES_MAX {
            let reason =
                format!("{FAILURES_MAX} pages in a row gave no answer, and so the look ends; nothing counts as gone");
            return Err(SourceError::unreachable(&self.source.place, reason));
        }
        match answer {
            Answer::Page(url, response) => self.page(&next, url, response).await,
            Answer::Unchanged(url) => match known(&url) {
                Some(page) => self.as_it_was(&next, &url, page).await,
                None => self.failed(&next, "it says that it is unchanged, and nothing is known of it".to_owned()).await,
            },
            Answer::Gone if next.is_start => Err(self.lost(&next, "it is not there")),
            Answer::Gone => Ok(()),
            Answer::Closed(reason) if next.is_start => Err(self.lost(&next, &reason)),
            Answer::Closed(reason) => self.skipped(name, &reason).await,
            Answer::Failed(reason) => self.failed(&next, reason).await,
        }
    }

    fn lost(&self, next: &Next, reason: &str) -> SourceError {
        let reason = format!("the look begins there, and {reason}, so nothing counts as gone");
        SourceError::unreachable(net::shown(&next.url), reason)
    }

    /// A page that gave no answer stays as it was, if it is known.
    async fn failed(&mut self, next: &Next, reason: String) -> Result<(), SourceError> {
        if let Some(page) = self.old.page(&address::name(&next.url)).cloned() {
            let shown = address::name(&next.url);
            self.skipped(shown, &format!("{reason}; it stays as it was")).await?;
            return self.as_it_was(next, &next.url.clone(), page).await;
        }
        self.failures.push(format!("{}: {reason}", net::shown(&next.url)));
        if next.is_start || self.failures.len() >= FAILURES_MAX {
            let place = self.failures.pop().unwrap_or_default();
            let reason = format!("it gives no answer, and so the look ends; nothing counts as gone ({place})");
            return Err(SourceError::unreachable(&self.source.place, reason));
        }
        Ok(())
    }

    async fn as_it_was(&mut self, next: &Next, url: &Url, page: Page) -> Result<(), SourceError> {
        for link in &page.links {
            if let Ok(link) = Url::parse(link) {
                self.follow(next, link)?;
            }
        }
        if let Some(kept) = &page.kept {
            self.tell(url, kept).await?;
        }
        self.new.keep(address::name(url), page);
        Ok(())
    }

    fn follow(&mut self, from: &Next, link: Url) -> Result<(), SourceError> {
        if from.depth < self.source.spec.depth && self.bounds().want(&link) {
            self.queue(Next { url: link, depth: from.depth + 1, is_start: false, changed: None })?;
        }
        Ok(())
    }

    async fn page(&mut self, next: &Next, url: Url, response: Response) -> Result<(), SourceError> {
        let name = address::name(&url);
        // A redirect may end where another one did, or where a link leads as well.
        self.seen.insert(name.clone());
        if self.told.contains(&name) {
            return Ok(());
        }
        let headers = response.headers().clone();
        let content_type = match content_type(&url, &headers) {
            Ok(content_type) => content_type,
            Err(reason) => return self.skipped(name, &reason).await,
        };
        let bytes = match net::body(response, FETCH_BYTES_MAX).await {
            Ok(bytes) => bytes,
            Err(Cut::TooLong) => {
                return self.skipped(name, &format!("it is larger than {FETCH_BYTES_MAX} bytes, the limit")).await;
            }
            Err(Cut::Broken(reason)) => return self.failed(next, reason).await,
        };
        let is_html = Format::from_content_type(&content_type).is_ok_and(|format| format == Format::Html);
        let mut facts = if is_html { Facts::read(&bytes).await? } else { Facts::default() };
        facts.heed(&headers);
        let links = self.links(&url, &facts);
        let canonical = facts.canonical.as_deref().and_then(|one| self.bounds().link(&url, one));
        let elsewhere = canonical.filter(|one| address::name(one) != name);
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
        let last_modified = text(LAST_MODIFIED);
        let modified_at = last_modified.as_deref().and_then(http_time).or(next.changed);
        // A page to begin at that is not wanted itself is read for its links alone.
        let is_wanted = self.bounds().want(&url);
        let kept = (is_wanted && !facts.noindex && elsewhere.is_none()).then(|| Kept {
            tag: tag(&bytes),
            bytes: bytes.len() as u64,
            modified_us: modified_at.map(|at| at.0),
        });
        let mut followed: Vec<String> = links.iter().map(ToString::to_string).collect();
        for link in links {
            self.follow(next, link)?;
        }
        if let Some(elsewhere) = &elsewhere {
            followed.push(elsewhere.to_string());
            self.queue(Next { url: elsewhere.clone(), depth: next.depth, is_start: false, changed: None })?;
        }
        match (&kept, facts.noindex) {
            (Some(kept), _) => {
                let body = Body { tag: kept.tag.clone(), bytes, content_type, modified_at };
                self.source.keep(&name, body);
                self.tell(&url, kept).await?;
            }
            (None, _) if !is_wanted => {}
            (None, true) => self.skipped(name.clone(), "it asks not to be kept (noindex)").await?,
            (None, false) => {
                self.skipped(name.clone(), "it is the same page as another address, which it names itself").await?
            }
        }
        let scheme = url.scheme().to_owned();
        self.new.keep(name, Page { scheme, etag: text(ETAG), last_modified, kept, links: followed });
        Ok(())
    }

    fn links(&self, url: &Url, facts: &Facts) -> Vec<Url> {
        if facts.nofollow || self.source.spec.depth == 0 {
            return Vec::new();
        }
        let base = facts.base.as_deref().and_then(|base| url.join(base).ok()).unwrap_or_else(|| url.clone());
        let mut links: Vec<Url> = facts.links.iter().filter_map(|link| self.bounds().link(&base, link)).collect();
        links.sort();
        links.dedup();
        links
    }

    async fn tell(&mut self, url: &Url, kept: &Kept) -> Result<(), SourceError> {
        let name = address::name(url);
        let Some(id) = address::id(url) else {
            return self.skipped(name, "its address is too long for a document's id").await;
        };
        if !self.told.insert(name) {
            return Ok(());
        }
        if self.told.len() > self.source.spec.pages_max as usize {
            return Err(self.too_many());
        }
        let access = self.source.decider.listed(id.as_str(), Speaks::Never);
        let item = Item {
            id,
            tag: kept.tag.clone(),
            bytes: Some(kept.bytes),
            modified_at: kept.modified_at(),
            moved_from: None,
            access,
        };
        self.emit.send(Event::Found(item)).await
    }

    async fn skipped(&self, name: String, reason: &str) -> Result<(), SourceError> {
        self.emit.send(Event::Skipped { name, reason: reason.to_owned() }).await
    }
}

/// The tag of a page: the hash of its bytes, since servers' own tags often change without them.
pub(super) fn tag(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..32].to_owned()
}

/// What a page is: what the server says, or what the address says where the server says nothing in particular.
pub(super) fn content_type(url: &Url, headers: &HeaderMap) -> Result<String, String> {
    let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let by_path = Format::from_path(url.path());
    let vague = matches!(essence.as_str(), "" | "application/octet-stream" | "binary/octet-stream" | "text/plain");
    match (by_path, Format::from_content_type(said)) {
        (Some(format), _) if vague => {
            let charset = Format::charset(said).map(|charset| format!("; charset={charset}")).unwrap_or_default();
            Ok(format.as_content_type().to_owned() + &charset)
        }
        (_, Ok(_)) => Ok(said.to_owned()),
        _ => Err(format!("it is of the type {:?}, which is not read", essence.chars().take(80).collect::<String>())),
    }
}
