//! `Idempotency-Key`: a write that its caller named is done once, and answered as often as it is sent.
//!
//! Promises: the answer is kept in the write's own transaction, so a write whose answer got lost, however that happened,
//! is answered and not done again; the name is the caller's key's own, inside one tenant; what is kept holds no text of
//! a document and no secret. Does not: keep refusals, or take part where an answer holds a secret.
//!
//! What is under way is known to this process alone, which is enough, because one process serves a catalog. It only
//! spares work and tells callers to wait: that nothing is done twice is the catalog's doing.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use catena_access::Right;
use catena_catalog::{Deed, KeptAnswer, Once};
use catena_domain::{KeyId, RequestKey, TenantId, limits};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::app::App;
use crate::http::batch;
use crate::http::door::Caller;
use crate::http::problem::{Problem, ProblemCode};
use crate::http::wire::Place;
use crate::http::{DOCUMENT_REQUEST_BYTES, ENVELOPE_BYTES};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A route whose answers are kept.
struct Kept {
    method: Method,
    path: &'static str,
    right: Right,
    action: &'static str,
}

const fn kept(method: Method, path: &'static str, right: Right, action: &'static str) -> Kept {
    Kept { method, path, right, action }
}

const DOCUMENT: &str = "/v1/tenants/{tenant}/documents/{document}";
const ACL: &str = "/v1/tenants/{tenant}/documents/{document}/acl";
const RESTORE: &str = "/v1/tenants/{tenant}/documents/{document}/versions/{version}/restore";
const PURGE: &str = "/v1/tenants/{tenant}/documents/{document}/purge";
const BATCH: &str = "/v1/tenants/{tenant}/documents:batch";
const SOURCE: &str = "/v1/tenants/{tenant}/sources/{source}";
const RELEASE: &str = "/v1/tenants/{tenant}/firewall/quarantine/{document}/release";
const GROUP: &str = "/v1/tenants/{tenant}/groups/{group}";

/// Every route whose answers are kept. To all others the header means nothing.
const ROUTES: [Kept; 15] = [
    kept(Method::POST, "/v1/tenants", Right::Operator, "tenant.create"),
    kept(Method::PUT, GROUP, Right::Admin, "group.put"),
    kept(Method::DELETE, GROUP, Right::Admin, "group.delete"),
    kept(Method::PUT, DOCUMENT, Right::Write, "document.put"),
    kept(Method::DELETE, DOCUMENT, Right::Write, "document.delete"),
    kept(Method::PUT, ACL, Right::Write, "document.acl"),
    kept(Method::POST, RESTORE, Right::Write, "document.restore"),
    kept(Method::POST, RELEASE, Right::Admin, "quarantine.release"),
    kept(Method::POST, PURGE, Right::Admin, "document.purge"),
    kept(Method::POST, "/v1/tenants/{tenant}/reindex", Right::Admin, "reindex.request"),
    kept(Method::POST, BATCH, Right::Write, "document.import"),
    kept(Method::POST, "/v1/tenants/{tenant}/documents:purge", Right::Admin, "document.purge_many"),
    kept(Method::POST, "/v1/tenants/{tenant}/jobs/{job}/retry", Right::Admin, "job.retry"),
    kept(Method::DELETE, SOURCE, Right::Admin, "source.delete"),
    kept(Method::POST, "/v1/tenants/{tenant}/sources/{source}/sync", Right::Write, "source.sync.request"),
];

/// Answers below this path show a key, so they are not kept; whoever counts on it is told.
const SECRETS: &str = "/v1/tenants/{tenant}/keys";

/// An answer that can be kept: all that the caller sees of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Answer {
    status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    /// JSON, or nothing at all.
    body: String,
}

impl Answer {
    pub(crate) fn new<T: Serialize>(status: StatusCode, body: &T) -> Self {
        Self { body: serde_json::to_string(body).unwrap_or_default(), ..Self::empty(status) }
    }

    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status: status.as_u16(), etag: None, location: None, body: String::new() }
    }

    /// With the tag of a document's version.
    pub(crate) fn tagged(self, version: u32) -> Self {
        Self { etag: Some(format!("\"v{version}\"")), ..self }
    }

    pub(crate) fn at(self, location: String) -> Self {
        Self { location: Some(location), ..self }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let json = (!self.body.is_empty()).then(|| "application/json".to_owned());
        let mut response = (status, self.body).into_response();
        response.headers_mut().remove(header::CONTENT_TYPE);
        for (name, value) in
            [(header::CONTENT_TYPE, json), (header::ETAG, self.etag), (header::LOCATION, self.location)]
        {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// The name of the request at work, and what it says.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    key: RequestKey,
    request_sha256: [u8; 32],
}

impl Caller {
    /// What the catalog is to leave beside a change: the leaf, and the answer if the request has a name.
    pub(crate) fn deed<T>(
        &self,
        action: &'static str,
        status: StatusCode,
        answer: impl Fn(&T) -> Answer + Send + Sync + 'static,
    ) -> Deed<T> {
        let draft = self.trail.draft(action, status);
        let Some(Named { key, request_sha256 }) = self.named.clone() else { return draft.into() };
        let answer = move |value: &T| serde_json::to_string(&answer(value)).unwrap_or_default();
        let holder = self.credential.key.clone();
        Deed::once(draft, Once { holder, key, request_sha256, answer: Arc::new(answer) })
    }
}

type Claim = (TenantId, KeyId, RequestKey);

/// The named requests that are at work.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(Mutex<HashSet<Claim>>);

/// One of them, as long as it is held.
struct Turn<'a> {
    all: &'a UnderWay,
    claim: Claim,
}

impl UnderWay {
    fn begin(&self, claim: Claim) -> Option<Turn<'_>> {
        let is_first = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(claim.clone());
        is_first.then_some(Turn { all: self, claim })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.claim);
    }
}

/// The layer between the door and the handlers.
pub(crate) async fn layer(State(app): State<App>, request: Request, next: Next) -> Response {
    let Some(value) = request.headers().get(KEY).cloned() else { return next.run(request).await };
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
    if request.method() == Method::POST && path.starts_with(SECRETS) {
        return secret().into_response();
    }
    match ROUTES.iter().find(|route| route.path == path && route.method == *request.method()) {
        Some(route) => once(&app, route, &value, request, next).await.unwrap_or_else(Problem::into_response),
        None => next.run(request).await,
    }
}

async fn once(app: &App, route: &Kept, value: &HeaderValue, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let caller = Caller::of(&parts)?;
    caller.trail.doing(route.action);
    let key = parse(value)?;
    let entered = entered(app, &caller, route, &mut parts).await?;
    let body = match &entered {
        Some(tenant) if route.path == BATCH => {
            // Held until the answer, by this request and by the handler.
            parts.extensions.insert(batch::receiving(app, tenant)?);
            let (most, read_max) = (limits::IMPORT_BODY_BYTES_MAX, limits::IMPORT_BODY_BYTES_MAX + ENVELOPE_BYTES);
            batch::in_time(read(body, most, read_max)).await?
        }
        _ => read(body, limits::DOCUMENT_FILE_BYTES_MAX, DOCUMENT_REQUEST_BYTES).await?,
    };
    let Some(tenant) = entered.or_else(|| new_tenant(&body)) else {
        return Ok(next.run(Request::from_parts(parts, Body::from(body))).await);
    };
    let named = Named { key, request_sha256: fingerprint(&parts, &body) };
    let claim = (tenant, caller.credential.key.clone(), named.key.clone());
    let turn = app.under_way().begin(claim).ok_or_else(under_way)?;
    let query = parts.uri.query().unwrap_or_default().to_owned();
    if let Some(kept) = look(app, &turn).await? {
        return replay(app, route, &turn, &named, kept, &query).await;
    }
    parts.extensions.insert(named.clone());
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    if response.status().as_u16() < 400 {
        return Ok(response);
    }
    // The request may have been done meanwhile, by one whose caller did not wait for the answer.
    match look(app, &turn).await {
        Ok(Some(kept)) => replay(app, route, &turn, &named, kept, &query).await,
        Ok(None) | Err(_) => Ok(response),
    }
}

async fn read(body: Body, most: usize, read_max: usize) -> Result<Bytes, Problem> {
    to_bytes(body, read_max).await.map_err(|_| Problem::too_large(most))
}

/// The tenant that a body names which is to make one, if it names one.
fn new_tenant(body: &Bytes) -> Option<TenantId> {
    #[derive(Deserialize)]
    struct NewTenant {
        id: String,
    }
    let NewTenant { id } = serde_json::from_slice(body).ok()?;
    TenantId::new(&id).ok()
}

/// The tenant whose answers these are, if the caller may do here what the route does; known before the body is read. None
/// where the body is what names it.
async fn entered(app: &App, caller: &Caller, route: &Kept, parts: &mut Parts) -> Result<Option<TenantId>, Problem> {
    use axum::extract::FromRequestParts as _;
    if route.right == Right::Operator {
        caller.operate()?;
        return Ok(None);
    }
    let Place(names) = Place::<std::collections::HashMap<String, String>>::from_request_parts(parts, app).await?;
    let tenant = names.get("tenant").map(String::as_str).unwrap_or_default();
    Ok(Some(caller.enter(app, tenant, route.right).await?.tenant().clone()))
}

async fn look(app: &App, turn: &Turn<'_>) -> Result<Option<KeptAnswer>, Problem> {
    let (tenant, holder, key) = &turn.claim;
    Ok(app.catalog().kept_answer(tenant, holder, key).await?)
}

/// The first answer, once more. Whoever waited for something then waits for it now, so that the answer is true again.
async fn replay(
    app: &App,
    route: &Kept,
    turn: &Turn<'_>,
    named: &Named,
    kept: KeptAnswer,
    query: &str,
) -> Result<Response, Problem> {
    if kept.request_sha256 != named.request_sha256 {
        return Err(reused());
    }
    let answer: Answer = serde_json::from_str(&kept.answer).map_err(|_| Problem::internal())?;
    let (tenant, ..) = &turn.claim;
    if !query.contains("wait=") {
        app.ingest().publish_soon(tenant).await;
    } else if route.path != PURGE {
        app.ingest().publish(tenant).await?;
    } else if !app.ingest().erase(tenant).await {
        return Err(Problem::unavailable("The purge is begun and not finished yet. Send the request again."));
    }
    let mut response = answer.into_response();
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response.extensions_mut().insert(ProblemCode("replayed"));
    Ok(response)
}

/// The name in the header: a string with quotation marks, as the draft of the standard has it, or without.
fn parse(value: &HeaderValue) -> Result<RequestKey, Problem> {
    let text = value.to_str().unwrap_or_default().trim();
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    RequestKey::new(inner).map_err(|error| {
        Problem::malformed(format!("`idempotency-key`: {error}."))
            .named("idempotency-key", "The idempotency key is none")
    })
}

/// A hash of all that the request says: method, path, the headers that a write reads, body.
fn fingerprint(parts: &Parts, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(parts.method.as_str().as_bytes());
    part(parts.uri.path_and_query().map_or("", |path| path.as_str()).as_bytes());
    let said = [header::CONTENT_TYPE, header::IF_MATCH, header::IF_NONE_MATCH];
    let mut headers: Vec<(&str, &[u8])> = parts
        .headers
        .iter()
        .filter(|(name, _)| said.contains(*name) || name.as_str().starts_with("catena-"))
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    headers.sort_unstable();
    for (name, value) in headers {
        part(name.as_bytes());
        part(value);
    }
    part(b"");
    part(body);
    hash.finalize().into()
}

fn under_way() -> Problem {
    let detail = "The first request with this idempotency key is still at work. Send this one again after a second.";
    Problem::conflict(detail).named("idempotency-under-way", "The request is being done").retry_after(1)
}

fn reused() -> Problem {
    let detail = "Another request was done under this idempotency key. Give each request a key of its own, and send the \
                  same request, byte for byte, when you repeat it.";
    Problem::invalid(detail).named("idempotency-key-reused", "The idempotency key belongs to another request")
}

fn secret() -> Problem {
    let detail = "The answer shows a key this once, so it is not kept. Leave `idempotency-key` out; when an answer got \
                  lost, revoke the key that nobody has and make another.";
    Problem::malformed(detail).named("idempotency-key", "The answer cannot be kept")
}
