//! One page asked for: politely, at most as often as the site allows, through redirects that stay inside the bounds.
//!
//! Promises: nothing is asked for that `robots.txt` closes, nor faster than it and the description say; credentials go only
//! where the description itself points; an answer that is no answer (an error of the server, silence) is never told as
//! "gone". Does not: know what a page is for.

use std::collections::HashMap;
use std::time::Duration;

use catena_runtime::clock::{self, Stopwatch};
use reqwest::header::{
    AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LOCATION, RETRY_AFTER,
};
use reqwest::{Response, StatusCode};
use tokio::sync::Mutex;
use url::Url;

use super::address::Bounds;
use super::remembered::Page;
use super::robots::{self, Robots};
use crate::error::SourceError;
use crate::net::{self, Cut, Outward};

/// Most redirects that are followed for one page.
const REDIRECTS_MAX: usize = 5;
/// How often a page is asked for again that gave no answer.
const RETRIES: u32 = 2;
/// Shortest and longest wait before that.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Asks for pages of one site.
pub(super) struct Asking {
    pub(super) outward: Outward,
    pub(super) bounds: Bounds,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) delay: Duration,
    /// What each host allows, and when it was asked last. One request at a time goes to all of them together.
    hosts: Mutex<HashMap<String, Host>>,
}

struct Host {
    robots: Robots,
    asked: Option<Stopwatch>,
}

/// What came of asking.
pub(super) enum Answer {
    /// A page, under the address at which the redirects ended.
    Page(Url, Response),
    /// It is as it was.
    Unchanged(Url),
    /// It is not there.
    Gone,
    /// It is there, and not for us.
    Closed(String),
    /// The server gave no answer that says anything about the page.
    Failed(String),
}

/// Whom an address must belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    /// What is wanted of the site.
    Bounds,
    /// Where the description points: sitemaps, which may lie beside what is wanted.
    Origins,
}

impl Asking {
    pub(super) fn new(outward: Outward, bounds: Bounds, authorization: Option<HeaderValue>, delay: Duration) -> Self {
        Self { outward, bounds, authorization, delay, hosts: Mutex::default() }
    }

    /// Asks for a page. `known` gives what is remembered of an address, for a conditional request.
    pub(super) async fn ask(
        &self,
        url: &Url,
        within: Within,
        known: impl Fn(&Url) -> Option<Page>,
    ) -> Result<Answer, SourceError> {
        let mut url = url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let page = known(&url);
            let response = match self.patiently(&url, page.as_ref()).await? {
                Ok(response) => response,
                Err(answer) => return Ok(answer),
            };
            let status = response.status();
            if status == StatusCode::NOT_MODIFIED && page.is_some() {
                return Ok(Answer::Unchanged(url));
            }
            if !status.is_redirection() {
                return Ok(sorted(url, response));
            }
            let target = response.headers().get(LOCATION).and_then(|target| target.to_str().ok());
            let Some(target) = target.and_then(|target| url.join(target).ok()) else {
                return Ok(Answer::Failed(format!("it answers {status} and does not say where to")));
            };
            let target = self.bounds.normal(target);
            let inside = match within {
                Within::Bounds => self.bounds.want(&target),
                Within::Origins => self.bounds.is_own(&target) || self.bounds.want(&target),
            };
            if !inside {
                return Ok(Answer::Closed(format!("it leads to {}, outside what is wanted", net::shown(&target))));
            }
            url = target;
        }
        Ok(Answer::Failed(format!("it is redirected more than {REDIRECTS_MAX} times")))
    }

    /// Asks for one address, again if there was no answer. The inner error is what that comes to.
    async fn patiently(&self, url: &Url, page: Option<&Page>) -> Result<Result<Response, Answer>, SourceError> {
        let mut failure = String::new();
        for attempt in 0..=RETRIES {
            if !self.turn(url).await? {
                return Ok(Err(Answer::Closed("the site's robots.txt closes it".to_owned())));
            }
            let mut wait = (self.delay * 4 * (attempt + 1)).max(RETRY_MIN);
            match self.outward.get(url, self.headers(url, page)).await {
                Ok(response) if !is_no_answer(response.status()) => return Ok(Ok(response)),
                Ok(response) => {
                    failure = format!("it answers {}", response.status());
                    let asked =
                        response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.trim().parse().ok());
                    wait = wait.max(Duration::from_secs(asked.unwrap_or(0)));
                }
                Err(SourceError::Refused { reason, .. }) => return Ok(Err(Answer::Closed(reason))),
                Err(error) => failure = error.to_string(),
            }
            if attempt < RETRIES {
                clock::pause(wait.min(RETRY_MAX)).await;
            }
        }
        Ok(Err(Answer::Failed(failure)))
    }

    fn headers(&self, url: &Url, page: Option<&Page>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut set = |name: HeaderName, value: Option<&String>| {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(name, value);
            }
        };
        set(IF_NONE_MATCH, page.and_then(|page| page.etag.as_ref()));
        set(IF_MODIFIED_SINCE, page.and_then(|page| page.last_modified.as_ref()));
        if self.bounds.is_own(url)
            && let Some(authorization) = &self.authorization
        {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        headers
    }

    /// Waits until the host may be asked again, and says whether it may be asked for this at all.
    async fn turn(&self, url: &Url) -> Result<bool, SourceError> {
        let origin = url.origin().ascii_serialization();
        let mut hosts = self.hosts.lock().await;
        if !hosts.contains_key(&origin) {
            let robots = self.robots(url).await?;
            hosts.insert(origin.clone(), Host { robots, asked: Some(Stopwatch::start()) });
        }
        let Some(host) = hosts.get_mut(&origin) else { return Ok(false) };
        let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        if !host.robots.allow(&path) {
            return Ok(false);
        }
        let delay = self.delay.max(host.robots.delay);
        if let Some(asked) = host.asked {
            let left = delay.saturating_sub(asked.elapsed());
            if !left.is_zero() {
                clock::pause(left).await;
            }
        }
        host.asked = Some(Stopwatch::start());
        Ok(true)
    }

    /// Forgets what `robots.txt` said, so that the next look reads it again.
    pub(super) async fn forget(&self) {
        self.hosts.lock().await.clear();
    }

    /// What a host's `robots.txt` says. Without one all is open; while it cannot be had, nothing is.
    async fn robots(&self, page: &Url) -> Result<Robots, SourceError> {
        let Ok(mut url) = page.join("/robots.txt") else { return Ok(Robots::default()) };
        let place = net::shown(&url);
        for _ in 0..=REDIRECTS_MAX {
            let response = self.outward.get(&url, self.headers(&url, None)).await?;
            let status = response.status();
            if status.is_redirection() {
                let target = response.headers().get(LOCATION).and_then(|target| target.to_str().ok());
                let Some(target) = target.and_then(|target| url.join(target).ok()) else { break };
                url = target;
            } else if status.is_success() {
                return match net::body(response, robots::BYTES_MAX as u64).await {
                    Ok(bytes) => Ok(Robots::parse(&bytes)),
                    Err(Cut::TooLong) => Err(SourceError::refused(place, "its robots.txt is too large to be read")),
                    Err(Cut::Broken(reason)) => Err(SourceError::unreachable(place, reason)),
                };
            } else if is_no_answer(status) {
                return Err(SourceError::unreachable(
                    place,
                    format!("it answers {status}, so nothing of the site is asked for"),
                ));
            } else {
                return Ok(Robots::default());
            }
        }
        Ok(Robots::default())
    }
}

/// Whether an answer says nothing about what was asked for.
fn is_no_answer(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

fn sorted(url: Url, response: Response) -> Answer {
    match response.status() {
        StatusCode::OK => Answer::Page(url, response),
        StatusCode::NOT_FOUND | StatusCode::GONE => Answer::Gone,
        status if status.is_client_error() => Answer::Closed(format!("it answers {status}")),
        status => Answer::Failed(format!("it answers {status}")),
    }
}
