//! One request, one leaf.
//!
//! Promises: every answer of a route behind this layer has exactly one leaf, committed before its first byte leaves.
//! Handlers whose catalog call wrote the leaf with the change say so; for all others it is written here. When the record
//! cannot be written, the answer does not leave. Does not: hold text, queries or secrets.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use catena_access::{Credential, Operator, Scope};
use catena_audit::{Chain, Draft, LeafRef, Object, Outcome};
use catena_catalog::CatalogError;
use catena_domain::TenantId;
use catena_runtime::clock::Stopwatch;
use catena_runtime::random;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tracing::Instrument as _;

use crate::allowance::Measured;
use crate::app::App;
use crate::http::admission::{self, Admitted};
use crate::http::discovery;
use crate::http::door;
use crate::http::problem::{LacksRoom, Problem, ProblemCode};
use crate::http::wire::sha256_hex;

/// The header that names a request, in answers and in the log.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The rate that a request was held against, and how much of it is left.
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// What is known of a request so far.
#[derive(Debug, Clone)]
pub(crate) struct Trail(Arc<Mutex<Notes>>);

#[derive(Debug)]
struct Notes {
    draft: Draft,
    tenant: Option<TenantId>,
    operator: Option<Operator>,
    measured: Option<Measured>,
    leaf: Option<LeafRef>,
}

impl Trail {
    fn new(request: &str) -> Self {
        let draft = Draft::new(request, "request");
        Self(Arc::new(Mutex::new(Notes { draft, tenant: None, operator: None, measured: None, leaf: None })))
    }

    fn state(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose key was presented. Until a tenant is entered, the leaf belongs to the key's own tenant.
    pub(crate) fn presented(&self, credential: &Credential) {
        let mut state = self.state();
        state.draft.actor = Some(credential.key.to_string());
        state.tenant.clone_from(&credential.tenant);
        state.operator = credential.operate().ok();
    }

    /// The tenant was deleted while the request was at work: nothing of it is said any more.
    fn orphaned(&self) {
        let mut state = self.state();
        let Draft { request, actor, .. } = state.draft.clone();
        state.draft = Draft { actor, ..Draft::new(request, "request.refused") };
        state.tenant = None;
    }

    /// How the request stands to a rate of its tenant.
    pub(crate) fn measured(&self, measured: Measured) {
        self.state().measured = Some(measured);
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

    /// What is still to be recorded: the leaf, whose chain it belongs to, and the operator if it is his request.
    fn unrecorded(&self) -> Option<(Draft, Option<TenantId>, Option<Operator>)> {
        let state = self.state();
        state.leaf.is_none().then(|| (state.draft.clone(), state.tenant.clone(), state.operator.clone()))
    }

    /// Says in the answer how the request stands to its tenant's rate.
    fn tell(&self, headers: &mut HeaderMap) {
        let Some(measured) = self.state().measured else { return };
        for (name, text) in [(RATE_LIMIT_POLICY, measured.policy()), (RATE_LIMIT, measured.state())] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
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
    trail.tell(response.headers_mut());
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
        Err(CatalogError::TenantGone { .. }) => orphan(app, trail).await,
        Err(error) => Problem::from(error).into_response(),
    };
    if response.extensions().get::<LacksRoom>().is_some() {
        app.room().ran_out();
    }
    response
}

/// The answer to a request whose tenant was deleted before it could leave: that of an unknown key.
async fn orphan(app: &App, trail: &Trail) -> Response {
    trail.orphaned();
    let response = door::unknown_key().into_response();
    let reason = response.extensions().get::<ProblemCode>().map(|code| code.0);
    match commit(app, trail, response.status().as_u16(), reason).await {
        Ok(()) => response,
        Err(error) => Problem::from(error).into_response(),
    }
}

async fn admitted(app: &App, trail: &Trail, mut request: Request, next: Next) -> Response {
    match admission::admit(app, trail, request.headers()).await {
        Ok(Admitted { credential, quotas, place: _place }) => {
            request.extensions_mut().insert(Arc::new(credential));
            request.extensions_mut().insert(Arc::new(quotas));
            next.run(request).await
        }
        Err(problem) => {
            trail.doing("request.refused");
            discovery::announced(app, request.uri().path(), problem).into_response()
        }
    }
}

/// Writes the leaf, unless the change brought it along.
async fn commit(app: &App, trail: &Trail, status: u16, reason: Option<&str>) -> Result<(), CatalogError> {
    let Some((mut draft, tenant, operator)) = trail.unrecorded() else { return Ok(()) };
    draft.status = status;
    draft.reason = reason.map(str::to_owned);
    draft.outcome = match draft.status {
        0..400 => Outcome::Done,
        400..500 => Outcome::Refused,
        _ => Outcome::Failed,
    };
    let leaf = match (&tenant, &operator) {
        (Some(tenant), Some(operator)) => app.catalog().record_of_operator(operator, tenant, draft).await?,
        (Some(tenant), None) => app.catalog().record(Chain::Tenant(tenant), draft).await?,
        (None, _) => app.catalog().record(Chain::Service, draft).await?,
    };
    trail.recorded(leaf);
    Ok(())
}
