//! A connection to a service: where it is, with which key, and what it answers.
//!
//! Promises: a refusal becomes one error with the service's own words; an answer is read up to a bound; the key goes to
//! the address that was given and to no other. Does not: send a request twice, unless it was asked to be patient.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use catena_runtime::clock;
use clap::Args;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::output::Output;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the service may be silent: a large document is embedded before it is answered.
const SILENCE: Duration = Duration::from_secs(15 * 60);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How often a request is sent again that the service was too busy for.
const PATIENCE: u32 = 5;
/// Longest pause before it is, whatever the service says.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The header that names a request.
const REQUEST_ID: &str = "x-request-id";

/// Where the service is, and with which key.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArguments {
    /// Where the service is.
    #[arg(long, env = "CATENA_URL", default_value = "http://127.0.0.1:8080")]
    url: Url,
    /// The key. Other users of this machine can see arguments, so better set the variable.
    #[arg(long, env = "CATENA_KEY", hide_env_values = true)]
    key: String,
}

impl ServerArguments {
    #[cfg(test)]
    pub(crate) fn new(url: Url, key: &str) -> Self {
        Self { url, key: key.to_owned() }
    }
}

/// The same, with a choice of how answers are shown.
#[derive(Debug, Clone, Args)]
pub(crate) struct Asking {
    #[command(flatten)]
    pub(crate) server: ServerArguments,
    /// Print JSON, for programs: where there is one answer, that of the service as it came.
    #[arg(long)]
    json: bool,
}

impl Asking {
    pub(crate) fn output(&self) -> Output {
        if self.json { Output::Json } else { Output::Table }
    }
}

/// The same, inside one tenant.
#[derive(Debug, Clone, Args)]
pub(crate) struct AtTenant {
    #[command(flatten)]
    pub(crate) asking: Asking,
    /// The tenant.
    #[arg(long, env = "CATENA_TENANT")]
    pub(crate) tenant: String,
}

impl AtTenant {
    pub(crate) fn output(&self) -> Output {
        self.asking.output()
    }

    pub(crate) fn connect(&self) -> Result<Connection, ClientError> {
        Connection::open(&self.asking.server)
    }
}

/// A service and a key to it.
#[derive(Clone)]
pub(crate) struct Connection {
    http: Client,
    base: Url,
    key: String,
}

impl Connection {
    pub(crate) fn open(server: &ServerArguments) -> Result<Self, ClientError> {
        let base = server.url.clone();
        let mut builder = Client::builder()
            .user_agent(concat!("catena/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .redirect(Policy::none());
        if base.scheme() != "https" {
            // Without this, a machine that has no certificates could not even speak plain HTTP to itself.
            builder = builder.tls_certs_only([]);
        }
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| ClientError::unreachable(&base, error))?;
        Ok(Self { http, base, key: server.key.trim().to_owned() })
    }

    /// A request to the path made of `segments`; a document's id is one segment, whatever it holds.
    pub(crate) fn request(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        self.http.request(method, url).bearer_auth(&self.key)
    }

    /// A request below `/v1/tenants/TENANT`.
    pub(crate) fn tenant(&self, method: Method, tenant: &str, segments: &[&str]) -> RequestBuilder {
        let all: Vec<&str> = ["v1", "tenants", tenant].iter().chain(segments).copied().collect();
        self.request(method, &all)
    }

    /// Sends a request and gives the answer's beginning, whatever its status is.
    pub(crate) async fn send_any(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        request.send().await.map_err(|error| ClientError::unreachable(&self.base, error))
    }

    /// Sends a request and gives the answer's beginning, if it is a success.
    pub(crate) async fn begin(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = self.send_any(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.body(response).await?;
        Err(ClientError::Refused(Box::new(Refusal::of(status, &headers, &body))))
    }

    /// Sends a request and reads the answer, if it is a success.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Answer, ClientError> {
        let response = self.begin(request).await?;
        Ok(Answer { body: self.body(response).await? })
    }

    /// As [`Self::send`], but while the service is too busy, the request is sent again, a bounded number of times.
    pub(crate) async fn send_patiently(&self, request: RequestBuilder) -> Result<Answer, ClientError> {
        let mut request = Some(request);
        for attempt in 0.. {
            let again = request.as_ref().and_then(RequestBuilder::try_clone).filter(|_| attempt < PATIENCE);
            let Some(now) = request.take() else { break };
            match (self.send(now).await, again) {
                (Err(ClientError::Refused(refusal)), Some(again)) if refusal.is_for_now() => {
                    clock::pause(refusal.pause(attempt)).await;
                    request = Some(again);
                }
                (answer, _) => return answer,
            }
        }
        Err(ClientError::Odd { what: "the request could not be sent again".to_owned() })
    }

    /// The rest of an answer.
    pub(crate) async fn body(&self, mut response: Response) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| ClientError::unreachable(&self.base, error))? {
            if body.len() + part.len() > ANSWER_BYTES_MAX {
                return Err(ClientError::Odd { what: format!("the answer is larger than {ANSWER_BYTES_MAX} bytes") });
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A success.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// What the answer says.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|error| ClientError::Odd {
            what: format!("the answer is not understood ({error}); is this the API of a catena of this version?"),
        })
    }
}

/// What the service says when it does not do what it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    title: String,
    detail: String,
    code: String,
    request: Option<String>,
    retry_after: Option<Duration>,
}

#[derive(Deserialize)]
struct ProblemText {
    title: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    code: String,
}

impl Refusal {
    pub(crate) fn of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let problem = serde_json::from_slice(body).unwrap_or_else(|_| ProblemText {
            title: format!("the answer was {status}"),
            detail: match text("location") {
                Some(elsewhere) => format!("The service says that it is at {elsewhere}. Give that as --url."),
                None => "It did not come from a catena, or from something between. Check --url.".to_owned(),
            },
            code: status.as_u16().to_string(),
        });
        Self {
            status,
            title: problem.title,
            detail: problem.detail,
            code: problem.code,
            request: text(REQUEST_ID),
            retry_after: text(RETRY_AFTER.as_str()).and_then(|text| text.parse().ok()).map(Duration::from_secs),
        }
    }

    /// Whether it is the refusal of this code.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code == code
    }

    /// Whether the same request may do later.
    fn is_for_now(&self) -> bool {
        matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
    }

    /// How long to wait before the next attempt: what the service says, else longer each time.
    fn pause(&self, attempt: u32) -> Duration {
        let own = Duration::from_secs(1 << attempt.min(5));
        self.retry_after.unwrap_or(own).clamp(Duration::from_secs(1), PAUSE_MAX)
    }

    /// Whether every further request would be refused too.
    pub(crate) fn is_for_all(&self) -> bool {
        self.is_for_now()
            || matches!(self.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({}", self.title, self.detail, self.code)?;
        match &self.request {
            Some(request) => write!(f, ", request {request})"),
            None => f.write_str(")"),
        }
    }
}

/// Why a command did not get what it wanted.
#[derive(Debug)]
pub(crate) enum ClientError {
    /// The service refused.
    Refused(Box<Refusal>),
    /// There was no answer, or it broke off.
    Unreachable { url: String, cause: String },
    /// The answer makes no sense.
    Odd { what: String },
}

impl ClientError {
    fn unreachable(url: &Url, error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut cause = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            cause = format!("{cause}: {error}");
            source = error.source();
        }
        Self::Unreachable { url: url.to_string(), cause }
    }

    /// The refusal, if it is one of that status.
    pub(crate) fn is(&self, status: StatusCode) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.status == status)
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Unreachable { url, cause } => write!(
                f,
                "no answer from {url}: {cause}; is the service running (`catena serve`), and is --url or CATENA_URL right?"
            ),
            Self::Odd { what } => f.write_str(what),
        }
    }
}

impl Error for ClientError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(url: &str) -> Connection {
        Connection::open(&ServerArguments::new(url.parse().unwrap(), " k1\n")).unwrap()
    }

    fn refusal(status: StatusCode, headers: &[(&'static str, &str)], body: &str) -> Refusal {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Refusal::of(status, &map, body.as_bytes())
    }

    #[test]
    fn a_documents_id_is_one_segment_of_the_path() {
        let request = connection("http://localhost:1/prefix/")
            .tenant(Method::PUT, "acme", &["documents", "eng/über keys?.md", "acl"])
            .build()
            .unwrap();
        assert_eq!(request.url().path(), "/prefix/v1/tenants/acme/documents/eng%2F%C3%BCber%20keys%3F.md/acl");
        assert_eq!(request.headers()["authorization"], "Bearer k1");
    }

    #[test]
    fn a_refusal_is_one_line_with_the_services_words() {
        let body = r#"{"type":"urn:x","title":"Not found","status":404,"detail":"Nothing here.","code":"not-found"}"#;
        let refusal = refusal(StatusCode::NOT_FOUND, &[("x-request-id", "r1")], body);
        assert_eq!(refusal.to_string(), "Not found: Nothing here. (not-found, request r1)");
        assert!(refusal.is_for_all());
    }

    #[test]
    fn an_answer_of_something_else_is_told_as_such() {
        let other = refusal(StatusCode::BAD_GATEWAY, &[], "<html>");
        assert!(other.to_string().contains("502") && other.to_string().contains("--url"), "{other}");
        let moved = refusal(StatusCode::PERMANENT_REDIRECT, &[("location", "https://b.example/")], "");
        assert!(moved.to_string().contains("https://b.example/"), "{moved}");
    }

    #[test]
    fn a_pause_follows_the_service_within_bounds() {
        let busy = |value: &str| refusal(StatusCode::SERVICE_UNAVAILABLE, &[("retry-after", value)], "{}");
        assert_eq!(busy("3").pause(0), Duration::from_secs(3));
        assert_eq!(busy("0").pause(0), Duration::from_secs(1));
        assert_eq!(busy("86400").pause(0), PAUSE_MAX);
        assert_eq!(busy("soon").pause(2), Duration::from_secs(4));
        assert!(!refusal(StatusCode::UNPROCESSABLE_ENTITY, &[], "").is_for_now());
    }
}
