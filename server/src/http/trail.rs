//! One request, one leaf.
//!
//! Promises: every answer of a route behind this layer has exactly one leaf, committed before its first byte leaves.
//! Handlers whose catalog call wrote the leaf with the change say so; for all others it is written here. When the record
//! cannot be written, the answer does not leave. Does not: hold text, queries or secrets.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use catena_access::{Credential, Scope};
use catena_audit::{Chain, Draft, LeafRef, Object, Outcome};
use catena_domain::TenantId;
use catena_runtime::clock::Stopwatch;
use catena_runtime::random;
use http::{HeaderName, HeaderValue, StatusCode};
use tracing::Instrument as _;

use crate::app::App;
use crate::http::discovery;
use crate::http::door;
use crate::http::problem::{LacksRoom, Problem, ProblemCode};
use crate::http::wire::sha256_hex;

/// The header that names a request, in answers and in the log.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What is known of a request so far.
#[derive(Debug, Clone)]
pub(crate) struct Trail(Arc<Mutex<Notes>>);

#[derive(Debug)]
struct Notes {
    draft: Draft,
    tenant: Option<TenantId>,
    leaf: Option<LeafRef>,
}

impl Trail {
    fn new(request: &str) -> Self {
        let draft = Draft::new(request, "request");
        Self(Arc::new(Mutex::new(Notes { draft, tenant: None, leaf: None })))
    }

    fn state(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose key was presented. Until a tenant is entered, the leaf belongs to the key's own tenant.
    pub(crate) fn presented(&self, credential: &Credential) {
        let mut state = self.state();
        state.draft.actor = Some(credential.key.to_string());
        state.tenant.clone_from(&credential.tenant);
    }

    /// Which tenant was entered, and for whom.
    pub(crate) fn entered(&self, scope: &Scope) {
        let mut state = self.state();
        state.tenant = Some(scope.tenant().clone());
        state.draft.user = scope.principal().user().map(ToString::to_string);
        state.draft.on_behalf = scope.is_on_behalf();
        state.draft.principal_sha256 = Some(sha256_hex(scope.principal().fingerprint().as_bytes()));
    }

    /// What the request does, in the record's words.
    pub(crate) fn doing(&self, action: &'static str) {
        self.state().draft.action = action;
    }

    /// The request's own hash, by which it can be shown later what was asked.
    pub(crate) fn asked(&self, request: &[u8]) {
        self.state().draft.request_sha256 = Some(sha256_hex(request));
    }

    /// The leaf's beginning, for a call that writes it together with what it records; `status` is answered if it succeeds.
    pub(crate) fn draft(&self, action: &'static str, status: StatusCode) -> Draft {
        self.doing(action);
        Draft { status: status.as_u16(), ..self.state().draft.clone() }
    }

    fn action(&self) -> &'static str {
        self.state().draft.action
    }

    /// Something that leaves with the answer.
    pub(crate) fn left(&self, object: Object) {
        self.state().draft.objects.push(object);
    }

    /// The leaf is written.
    pub(crate) fn recorded(&self, leaf: LeafRef) {
        self.state().leaf = Some(leaf);
    }

    fn unrecorded(&self) -> Option<(Draft, Option<TenantId>)> {
        let state = self.state();
        state.leaf.is_none().then(|| (state.draft.clone(), state.tenant.clone()))
    }
}

/// The layer: names the request, lets the door see to the credential, and writes the leaf that nobody else wrote.
pub(crate) async fn record(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let Ok(id) = random::identifier() else { return Problem::internal().into_response() };
    let trail = Trail::new(&id);
    request.extensions_mut().insert(trail.clone());
    let span = tracing::info_span!("request", id, method = %request.method());
    let watch = Stopwatch::start();
    let mut response = answer(&app, &trail, request, next).instrument(span).await;
    count(&trail, response.status(), watch);
    let (status, ms) = (response.status().as_u16(), watch.elapsed_ms());
    tracing::debug!(request = id, action = trail.action(), status, ms, "answered");
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Figures by what was done and how it ended; never by whom or where.
fn count(trail: &Trail, status: StatusCode, watch: Stopwatch) {
    let class = match status.as_u16() {
        0..400 => "done",
        400..500 => "refused",
        _ => "failed",
    };
    metrics::counter!("catena_requests_total", "action" => trail.action(), "outcome" => class).increment(1);
    metrics::histogram!("catena_request_seconds", "action" => trail.action()).record(watch.elapsed().as_secs_f64());
}

async fn answer(app: &App, trail: &Trail, request: Request, next: Next) -> Response {
    let response = match app.turns().try_acquire() {
        Ok(_turn) => admitted(app, trail, request, next).await,
        Err(_) => {
            trail.doing("request.busy");
            Problem::busy().into_response()
        }
    };
    let reason = response.extensions().get::<ProblemCode>().map(|code| code.0);
    let response = match commit(app, trail, response.status().as_u16(), reason).await {
        Ok(()) => response,
        Err(problem) => problem.into_response(),
    };
    if response.extensions().get::<LacksRoom>().is_some() {
        app.room().ran_out();
    }
    response
}

async fn admitted(app: &App, trail: &Trail, mut request: Request, next: Next) -> Response {
    match door::authenticate(app, request.headers()).await {
        Ok(credential) => {
            trail.presented(&credential);
            request.extensions_mut().insert(Arc::new(credential));
            next.run(request).await
        }
        Err(problem) => {
            trail.doing("request.refused");
            discovery::announced(app, request.uri().path(), problem).into_response()
        }
    }
}

/// Writes the leaf, unless the change brought it along.
async fn commit(app: &App, trail: &Trail, status: u16, reason: Option<&str>) -> Result<(), Problem> {
    let Some((mut draft, tenant)) = trail.unrecorded() else { return Ok(()) };
    draft.status = status;
    draft.reason = reason.map(str::to_owned);
    draft.outcome = match draft.status {
        0..400 => Outcome::Done,
        400..500 => Outcome::Refused,
        _ => Outcome::Failed,
    };
    let leaf = match &tenant {
        Some(tenant) => app.catalog().record(Chain::Tenant(tenant), draft).await?,
        None => app.catalog().record(Chain::Service, draft).await?,
    };
    trail.recorded(leaf);
    Ok(())
}
