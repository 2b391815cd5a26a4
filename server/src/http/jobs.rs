//! Background jobs and their progress, for a tenant's administrators.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use catena_access::{Right, Scope};
use catena_catalog::{Approval, Count, Job, Rate, Tally};
use catena_domain::JobId;
use catena_runtime::clock;
use futures::Stream;
use http::{StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::door::Caller;
use crate::http::once::Answer;
use crate::http::problem::Problem;
use crate::http::wire::{self, Body, Place};

/// How often a stream of events looks at its job.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Jobs of one list.
const JOBS_LISTED: usize = 100;

/// How much of something is done, of how much as far as known.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CountBody {
    done: u64,
    total: u64,
}

impl From<Count> for CountBody {
    fn from(Count { done, total }: Count) -> Self {
        Self { done, total }
    }
}

/// How far a job is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TallyBody {
    documents: CountBody,
    chunks: CountBody,
    tokens: CountBody,
}

/// What a job gets done in a second, over its present run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RateBody {
    documents: f64,
    chunks: f64,
    tokens: f64,
}

/// What a held job would do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApprovalBody {
    /// The plan, as its kind of job writes it.
    #[schema(value_type = Object)]
    plan: serde_json::Value,
    /// The plan's SHA-256, which an approval names.
    digest: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobBody {
    id: String,
    /// `reindex`, `sync`, `import` or `purge`.
    kind: &'static str,
    /// Of a sync: the source.
    subject: Option<String>,
    /// `queued`, `running`, `paused`, `held`, `succeeded`, `failed` or `cancelled`.
    state: &'static str,
    /// Documents; the same as `tally.documents`.
    progress: CountBody,
    tally: TallyBody,
    /// While it runs.
    rate: Option<RateBody>,
    /// How long it will take at that rate.
    eta_seconds: Option<u64>,
    /// Documents that could not be done. `failures` below the job lists them with their reasons.
    failed_documents: u64,
    /// While it is held.
    approval: Option<ApprovalBody>,
    /// The job whose failed documents it does again.
    retry_of: Option<String>,
    /// What it is at.
    note: String,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    /// Why it failed.
    error: Option<String>,
}

impl From<Job> for JobBody {
    fn from(job: Job) -> Self {
        let Tally { documents, chunks, tokens } = job.tally;
        let rounded = |rate: f64| (rate * 100.0).round() / 100.0;
        Self {
            kind: job.kind.as_str(),
            state: job.state.as_str(),
            progress: documents.into(),
            tally: TallyBody { documents: documents.into(), chunks: chunks.into(), tokens: tokens.into() },
            rate: job.rate().map(|Rate { documents, chunks, tokens }| RateBody {
                documents: rounded(documents),
                chunks: rounded(chunks),
                tokens: rounded(tokens),
            }),
            eta_seconds: job.eta().map(|eta| eta.as_secs()),
            failed_documents: job.failed_documents,
            id: job.id.to_string(),
            approval: job.approval.and_then(|Approval { plan, digest }| {
                Some(ApprovalBody { plan: serde_json::from_str(&plan).ok()?, digest: wire::hex(&digest) })
            }),
            subject: job.subject,
            retry_of: job.retry_of.map(|id| id.to_string()),
            note: job.note,
            created_at: wire::time(job.created_at),
            started_at: job.started_at.map(wire::time),
            finished_at: job.finished_at.map(wire::time),
            error: job.error,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobList {
    data: Vec<JobBody>,
}

/// Re-index: build a new generation from the stored texts beside the live one, then swap. Searches go on meanwhile.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/reindex", tag = "jobs", operation_id = "reindex",
    responses((status = 202, body = JobBody), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn reindex(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
) -> Result<Answer, Problem> {
    caller.trail.doing("reindex.request");
    let scope = caller.enter(&app, &tenant, Right::Admin).await?;
    let answer = move |job: &Job| {
        let place = format!("/v1/tenants/{tenant}/jobs/{}", job.id);
        Answer::new(StatusCode::ACCEPTED, &JobBody::from(job.clone())).at(place)
    };
    let deed = caller.deed("reindex.request", StatusCode::ACCEPTED, answer.clone());
    let written = app.ingest().request_reindex(&scope, deed).await?;
    caller.trail.recorded(written.leaf);
    Ok(answer(&written.value))
}

/// List the latest jobs.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/jobs", tag = "jobs", operation_id = "list_jobs",
    responses((status = 200, body = JobList), (status = 404, body = Problem)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
) -> Result<Body<JobList>, Problem> {
    caller.trail.doing("job.list");
    let scope = caller.enter(&app, &tenant, Right::Admin).await?;
    let jobs = app.catalog().jobs(&scope, JOBS_LISTED).await?;
    Ok(Body(JobList { data: jobs.into_iter().map(JobBody::from).collect() }))
}

/// Read a job.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/jobs/{job}", tag = "jobs", operation_id = "get_job",
    responses((status = 200, body = JobBody), (status = 404, body = Problem)))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, job)): Place<(String, String)>,
) -> Result<Body<JobBody>, Problem> {
    caller.trail.doing("job.read");
    let (_, job) = find(&app, &caller, &tenant, &job).await?;
    Ok(Body(job.into()))
}

/// Cancel a job. What it had stored stays; the live generation is untouched.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/jobs/{job}/cancel", tag = "jobs", operation_id = "cancel_job",
    responses((status = 202, body = JobBody), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, job)): Place<(String, String)>,
) -> Result<(StatusCode, Body<JobBody>), Problem> {
    caller.trail.doing("job.cancel");
    let (scope, job) = find(&app, &caller, &tenant, &job).await?;
    let draft = caller.trail.draft("job.cancel", StatusCode::ACCEPTED);
    let written = app.catalog().cancel_job(&scope, &job.id, draft).await?.ok_or_else(Problem::not_found)?;
    caller.trail.recorded(written.leaf);
    Ok((StatusCode::ACCEPTED, Body(written.value.into())))
}

async fn find(app: &App, caller: &Caller, tenant: &str, job: &str) -> Result<(Scope, Job), Problem> {
    let scope = caller.enter(app, tenant, Right::Admin).await?;
    let id = JobId::new(job).map_err(|_| Problem::not_found())?;
    let job = app.catalog().job(&scope, &id).await?.ok_or_else(Problem::not_found)?;
    Ok((scope, job))
}

/// Follow a job: an event `progress` whenever it moves, and `done` at its end.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/jobs/{job}/events", tag = "jobs", operation_id = "job_events",
    responses((status = 200, content_type = "text/event-stream", body = JobBody), (status = 404, body = Problem)))]
pub(crate) async fn events(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, job)): Place<(String, String)>,
) -> Result<Response, Problem> {
    caller.trail.doing("job.events");
    let (scope, job) = find(&app, &caller, &tenant, &job).await?;
    let stream = Sse::new(follow(app, scope, job.id)).keep_alive(KeepAlive::new());
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((headers, stream).into_response())
}

/// The job's states, each once, until it is over, the tenant is gone or the service stops.
fn follow(app: App, scope: Scope, id: JobId) -> impl Stream<Item = Result<Event, Infallible>> {
    struct Follow {
        app: App,
        scope: Scope,
        id: JobId,
        told: String,
        over: bool,
    }
    let start = Follow { app, scope, id, told: String::new(), over: false };
    futures::stream::unfold(start, async |mut follow| {
        loop {
            if follow.over || follow.app.stop().is_cancelled() {
                return None;
            }
            let job = follow.app.catalog().job(&follow.scope, &follow.id).await.ok().flatten()?;
            follow.over = job.state.is_over();
            let name = if follow.over { "done" } else { "progress" };
            let text = serde_json::to_string(&JobBody::from(job)).ok()?;
            if text != follow.told {
                follow.told.clone_from(&text);
                return Some((Ok(Event::default().event(name).data(text)), follow));
            }
            clock::pause(LOOK_AGAIN).await;
        }
    })
}
