//! What is asked of a job: to stop, to rest, to go on, to do what it would do, to try again what failed.

use axum::extract::State;
use catena_access::{Right, Scope};
use catena_catalog::{Job, Written};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::door::Caller;
use crate::http::jobs::{JobBody, administered, job_answer};
use crate::http::once::Answer;
use crate::http::problem::Problem;
use crate::http::wire::{Body, Place};

type Answered = Result<(StatusCode, Body<JobBody>), Problem>;

/// Cancel a job: at once when it waits, at its next step when it runs. What it has done stays.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/jobs/{job}/cancel", tag = "jobs", operation_id = "cancel_job",
    responses((status = 202, body = JobBody), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, job)): Place<(String, String)>,
) -> Answered {
    let (scope, job) = found(&app, &caller, &tenant, &job, "job.cancel").await?;
    let draft = caller.trail.draft("job.cancel", StatusCode::ACCEPTED);
    answered(&caller, app.catalog().cancel_job(&scope, &job.id, draft).await?)
}

/// Pause a job: at once when it waits, at its next step when it runs.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/jobs/{job}/pause", tag = "jobs", operation_id = "pause_job",
    responses((status = 202, body = JobBody), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn pause(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, job)): Place<(String, String)>,
) -> Answered {
    let (scope, job) = found(&app, &caller, &tenant, &job, "job.pause").await?;
    let draft = caller.trail.draft("job.pause", StatusCode::ACCEPTED);
    answered(&caller, app.catalog().pause_job(&scope, &job.id, draft).await?)
}

/// Let a paused job go on from where it was.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/jobs/{job}/resume", tag = "jobs", operation_id = "resume_job",
    responses((status = 202, body = JobBody), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn resume(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, job)): Place<(String, String)>,
) -> Answered {
    let (scope, job) = found(&app, &caller, &tenant, &job, "job.resume").await?;
    let draft = caller.trail.draft("job.resume", StatusCode::ACCEPTED);
    let resumed = app.catalog().resume_job(&scope, &job.id, draft).await?;
    app.ingest().announce_jobs();
    answered(&caller, resumed)
}

/// What is approved.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApproveBody {
    /// `approval.digest` of the job, as it was read: the approval is for that plan and no other.
    digest: String,
}

/// Approve what a held job would do. It goes on if that is still what it would do, else it is held once more.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/jobs/{job}/approve", tag = "jobs", operation_id = "approve_job",
    request_body = ApproveBody,
    responses((status = 202, body = JobBody), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub(crate) async fn approve(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, job)): Place<(String, String)>,
    Body(body): Body<ApproveBody>,
) -> Answered {
    let (scope, job) = found(&app, &caller, &tenant, &job, "job.approve").await?;
    // An operator does not see what there is to approve.
    if caller.credential.operate().is_ok() {
        return Err(Problem::missing_right(Right::Admin.as_str()));
    }
    let digest = digest(&body.digest)?;
    let draft = caller.trail.draft("job.approve", StatusCode::ACCEPTED);
    let approved = app.catalog().approve_job(&scope, &job.id, digest, draft).await?;
    app.ingest().announce_jobs();
    answered(&caller, approved)
}

/// Refuse what a held job would do: it is cancelled.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/jobs/{job}/refuse", tag = "jobs", operation_id = "refuse_job",
    responses((status = 202, body = JobBody), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn refuse(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, job)): Place<(String, String)>,
) -> Answered {
    let (scope, job) = found(&app, &caller, &tenant, &job, "job.refuse").await?;
    let draft = caller.trail.draft("job.refuse", StatusCode::ACCEPTED);
    answered(&caller, app.catalog().refuse_job(&scope, &job.id, draft).await?)
}

/// Try again what a job could not do: a new job, which does the failed documents alone.
///
/// A job that failed as a whole is done again from what it had stored.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/jobs/{job}/retry", tag = "jobs", operation_id = "retry_job",
    responses((status = 202, body = JobBody), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn retry(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, job)): Place<(String, String)>,
) -> Result<Answer, Problem> {
    let (scope, job) = found(&app, &caller, &tenant, &job, "job.retry").await?;
    let answer = move |job: &Job| job_answer(&tenant, job);
    let deed = caller.deed("job.retry", StatusCode::ACCEPTED, answer.clone());
    let written = app.catalog().retry_job(&scope, &job.id, deed).await?.ok_or_else(Problem::not_found)?;
    app.ingest().announce_jobs();
    caller.trail.recorded(written.leaf);
    Ok(answer(&written.value))
}

async fn found(
    app: &App,
    caller: &Caller,
    tenant: &str,
    job: &str,
    action: &'static str,
) -> Result<(Scope, Job), Problem> {
    caller.trail.doing(action);
    administered(app, caller, tenant, job).await
}

fn answered(caller: &Caller, written: Option<Written<Job>>) -> Answered {
    let written = written.ok_or_else(Problem::not_found)?;
    caller.trail.recorded(written.leaf);
    Ok((StatusCode::ACCEPTED, Body(JobBody::told(caller, written.value))))
}

/// Thirty-two bytes in hexadecimal digits.
fn digest(text: &str) -> Result<[u8; 32], Problem> {
    let wrong = || Problem::invalid("`digest` is none; give `approval.digest` as the job says it.");
    let bytes = text.as_bytes();
    if bytes.len() != 64 || !bytes.is_ascii() {
        return Err(wrong());
    }
    let mut digest = [0; 32];
    for (to, at) in digest.iter_mut().zip((0..64).step_by(2)) {
        *to = u8::from_str_radix(text.get(at..at + 2).unwrap_or_default(), 16).map_err(|_| wrong())?;
    }
    Ok(digest)
}
