//! A job's events as they come, for whoever may see the job.
//!
//! Promises: a stream ends with the credential and the tenant that it was asked for with: nothing is told by a key that is
//! revoked or a token that has ended, or of a tenant that is suspended; one key does not hold all streams of its tenant.
//! Does not: keep a job waiting, or outlive the service.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use catena_access::Scope;
use catena_domain::{JobId, KeyId, TenantId};
use catena_runtime::clock;
use futures::Stream;
use http::{HeaderMap, header};

use crate::app::App;
use crate::http::admission;
use crate::http::door::Caller;
use crate::http::jobs::{JobBody, find};
use crate::http::problem::Problem;
use crate::http::turns::{Turn, Turns};
use crate::http::wire::Place;

/// How often a stream looks at its job.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Looks after which it is seen again whether its caller is still let in, when there was nothing to tell.
const LOOKS_PER_CHECK: u32 = 4;
/// Streams that one tenant has open at once.
const STREAMS_PER_TENANT: usize = 32;
/// Of these, streams of one key.
const STREAMS_PER_KEY: usize = 8;

/// Follow a job: an event `progress` whenever it moves, and `done` at its end.
///
/// The stream ends when the service stops: ask for it again then. It also ends when its key or token does, and when the
/// tenant is suspended. A tenant has a bounded number of them, and so has a key.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/jobs/{job}/events", tag = "jobs", operation_id = "job_events",
    responses((status = 200, content_type = "text/event-stream", body = JobBody), (status = 404, body = Problem),
        (status = 503, body = Problem)))]
pub(crate) async fn events(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, job)): Place<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.trail.doing("job.events");
    let (scope, job) = find(&app, &caller, &tenant, &job).await?;
    let place = app.streams().enter(scope.tenant(), &caller.credential.key)?;
    let stream = Sse::new(follow(app, caller, headers, (scope, job.id), place)).keep_alive(KeepAlive::new());
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((headers, stream).into_response())
}

/// The streams that are open.
#[derive(Debug)]
pub(crate) struct Streams {
    of_tenants: Turns<TenantId>,
    of_keys: Turns<(TenantId, KeyId)>,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            of_tenants: Turns::new(STREAMS_PER_TENANT, usize::MAX),
            of_keys: Turns::new(STREAMS_PER_KEY, usize::MAX),
        }
    }
}

/// One of them, as long as it is held.
struct Open {
    _of_key: Turn<(TenantId, KeyId)>,
    _of_tenant: Turn<TenantId>,
}

impl Streams {
    fn enter(&self, tenant: &TenantId, key: &KeyId) -> Result<Open, Problem> {
        let full = |whose: &str, most: usize| {
            let detail = format!(
                "{whose} has {most} streams of events open, which is the most at once. Close one, or read the job itself \
                 every second."
            );
            Problem::busy().saying(detail).named("too-many-streams", "Too many streams of events at once")
        };
        let of_key = self.of_keys.take(&(tenant.clone(), key.clone())).map_err(|_| full("The key", STREAMS_PER_KEY))?;
        let of_tenant = self.of_tenants.take(tenant).map_err(|_| full("The tenant", STREAMS_PER_TENANT))?;
        Ok(Open { _of_key: of_key, _of_tenant: of_tenant })
    }
}

/// A stream of events, and by what it was asked for.
struct Follow {
    app: App,
    caller: Caller,
    headers: HeaderMap,
    scope: Scope,
    id: JobId,
    told: String,
    over: bool,
    looks: u32,
    _place: Open,
}

impl Follow {
    /// What is new; nothing once the stream is over.
    async fn next(&mut self) -> Option<Event> {
        while !self.over && !self.app.stop().is_cancelled() {
            let job = self.app.catalog().job(&self.scope, &self.id).await.ok().flatten()?;
            let is_over = job.state.is_over();
            let text = serde_json::to_string(&JobBody::told(&self.caller, job)).ok()?;
            let is_news = text != self.told;
            if is_news || self.looks.is_multiple_of(LOOKS_PER_CHECK) {
                admission::still(&self.app, &self.headers).await.ok()?;
            }
            self.looks = self.looks.wrapping_add(1);
            self.over = is_over;
            if is_news {
                self.told.clone_from(&text);
                return Some(Event::default().event(if is_over { "done" } else { "progress" }).data(text));
            }
            let stop = self.app.stop().clone();
            tokio::select! {
                () = stop.cancelled() => return None,
                () = clock::pause(LOOK_AGAIN) => {}
            }
        }
        None
    }
}

/// The job's states, each once, until it is over, the caller or the tenant is gone, or the service stops.
fn follow(
    app: App,
    caller: Caller,
    headers: HeaderMap,
    (scope, id): (Scope, JobId),
    place: Open,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let start = Follow { app, caller, headers, scope, id, told: String::new(), over: false, looks: 0, _place: place };
    futures::stream::unfold(start, async |mut follow| Some((Ok(follow.next().await?), follow)))
}
