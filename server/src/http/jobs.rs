//! Background jobs and their progress, for a tenant's administrators.

use axum::extract::State;
use catena_access::{Right, Scope};
use catena_catalog::{Approval, Count, Job, JobFailure, Rate, Tally};
use catena_domain::JobId;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::door::Caller;
use crate::http::once::Answer;
use crate::http::problem::Problem;
use crate::http::wire::{self, Body, Paging, Params, Place};

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
    /// The plan, as its kind of job writes it; absent for the operator, who does not see which documents there are.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<serde_json::Value>,
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
    /// The key that asked for it; `service` when nobody did.
    ordered_by: String,
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
                Some(ApprovalBody { plan: Some(serde_json::from_str(&plan).ok()?), digest: wire::hex(&digest) })
            }),
            subject: job.subject,
            ordered_by: job.ordered_by,
            retry_of: job.retry_of.map(|id| id.to_string()),
            note: job.note,
            created_at: wire::time(job.created_at),
            started_at: job.started_at.map(wire::time),
            finished_at: job.finished_at.map(wire::time),
            error: job.error,
        }
    }
}

impl JobBody {
    /// The job as the caller may see it.
    pub(crate) fn told(caller: &Caller, job: Job) -> Self {
        let mut body = Self::from(job);
        if let Some(approval) = &mut body.approval
            && caller.credential.operate().is_ok()
        {
            approval.plan = None;
        }
        body
    }
}

/// The answer to a request that made a job.
pub(crate) fn job_answer(tenant: &str, job: &Job) -> Answer {
    let place = format!("/v1/tenants/{tenant}/jobs/{}", job.id);
    Answer::new(StatusCode::ACCEPTED, &JobBody::from(job.clone())).at(place)
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobList {
    data: Vec<JobBody>,
    /// Hand it in as `after` for the next page.
    next: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailureBody {
    /// The document's id; of a line of an import that names none, the line.
    document: String,
    reason: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailureList {
    data: Vec<FailureBody>,
    /// Hand it in as `after` for the next page.
    next: Option<String>,
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
    let answer = move |job: &Job| job_answer(&tenant, job);
    let deed = caller.deed("reindex.request", StatusCode::ACCEPTED, answer.clone());
    let written = app.ingest().request_reindex(&scope, deed).await?;
    caller.trail.recorded(written.leaf);
    Ok(answer(&written.value))
}

/// List the jobs, the latest first.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/jobs", tag = "jobs", operation_id = "list_jobs", params(Paging),
    responses((status = 200, body = JobList), (status = 404, body = Problem)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
    Params(paging): Params<Paging>,
) -> Result<Body<JobList>, Problem> {
    caller.trail.doing("job.list");
    let scope = caller.enter(&app, &tenant, Right::Admin).await?;
    let after = paging.after.as_deref().map(JobId::new).transpose()?;
    let page = app.catalog().jobs_after(&scope, after.as_ref(), paging.limit()?).await?;
    Ok(Body(JobList { data: page.items.into_iter().map(|job| JobBody::told(&caller, job)).collect(), next: page.next }))
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
    Ok(Body(JobBody::told(&caller, job)))
}

/// List the documents that a job could not do, by their names.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/jobs/{job}/failures", tag = "jobs", operation_id = "list_job_failures",
    params(Paging), responses((status = 200, body = FailureList), (status = 404, body = Problem)))]
pub(crate) async fn failures(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, job)): Place<(String, String)>,
    Params(paging): Params<Paging>,
) -> Result<Body<FailureList>, Problem> {
    caller.trail.doing("job.failures");
    let (scope, job) = find(&app, &caller, &tenant, &job).await?;
    if caller.credential.operate().is_ok() {
        return Err(Problem::missing_right(Right::Admin.as_str()));
    }
    let page = app.catalog().job_failures(&scope, &job.id, paging.after.as_deref(), paging.limit()?).await?;
    let failure = |JobFailure { document, reason }| FailureBody { document, reason };
    Ok(Body(FailureList { data: page.items.into_iter().map(failure).collect(), next: page.next }))
}

/// The job, for the tenant's administrators and for the key that asked for it.
pub(crate) async fn find(app: &App, caller: &Caller, tenant: &str, job: &str) -> Result<(Scope, Job), Problem> {
    if caller.credential.rights.has(Right::Admin) || !caller.credential.rights.has(Right::Write) {
        return administered(app, caller, tenant, job).await;
    }
    let scope = caller.enter(app, tenant, Right::Write).await?;
    let (scope, job) = named(app, scope, job).await?;
    if job.ordered_by != caller.credential.key.as_str() {
        return Err(Problem::not_found());
    }
    Ok((scope, job))
}

/// The job, for the tenant's administrators.
pub(crate) async fn administered(app: &App, caller: &Caller, tenant: &str, job: &str) -> Result<(Scope, Job), Problem> {
    let scope = caller.enter(app, tenant, Right::Admin).await?;
    named(app, scope, job).await
}

async fn named(app: &App, scope: Scope, job: &str) -> Result<(Scope, Job), Problem> {
    let id = JobId::new(job).map_err(|_| Problem::not_found())?;
    let job = app.catalog().job(&scope, &id).await?.ok_or_else(Problem::not_found)?;
    Ok((scope, job))
}
