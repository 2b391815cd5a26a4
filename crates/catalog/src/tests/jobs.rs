//! The queue.

use super::*;
use catena_domain::{ErrorKind, JobId};

async fn enqueue(home: &Home, tenant: &str) -> Result<Written<Job>, CatalogError> {
    home.catalog.enqueue_job(&admin(tenant), NewJob::of(JobKind::Reindex), draft("reindex")).await
}

async fn a_job_is_claimed_once_reported_on_and_ended(on: On) {
    let home = on.home_with_tenants().await;
    let job = enqueue(&home, "acme").await.unwrap().value;
    assert_eq!(enqueue(&home, "acme").await.unwrap_err().kind(), ErrorKind::Conflict);
    enqueue(&home, "globex").await.unwrap();
    let (tenant, claimed, lease) = parts(&home.catalog).await;
    assert_eq!((tenant.as_str(), &claimed.id, claimed.state), ("acme", &job.id, JobState::Running));
    assert_eq!(home.catalog.claim_job(&taking()).await.unwrap().unwrap().tenant.as_str(), "globex");
    assert!(home.catalog.claim_job(&taking()).await.unwrap().is_none());
    let scope = Scope::service(&tenant);
    let control = home.catalog.progress_job(&scope, &job.id, &lease, &documents(3, 9), "half way").await.unwrap();
    assert_eq!(control, JobControl::Continue);
    let seen = home.catalog.job(&scope, &job.id).await.unwrap().unwrap();
    assert_eq!((seen.tally, seen.note.as_str()), (documents(3, 9), "half way"));
    home.catalog.finish_job(&scope, &job.id, &lease, JobEnd::Failed("no model".into())).await.unwrap();
    let ended = home.catalog.job(&scope, &job.id).await.unwrap().unwrap();
    assert_eq!((ended.state, ended.error.as_deref()), (JobState::Failed, Some("no model")));
    assert!(ended.finished_at.is_some());
    assert_eq!(
        home.catalog.finish_job(&scope, &job.id, &lease, JobEnd::Succeeded).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    enqueue(&home, "acme").await.unwrap();
    assert_eq!(home.catalog.jobs(&scope, 10).await.unwrap().len(), 2);
}

async fn whoever_lost_the_lease_changes_nothing_more(on: On) {
    let home = on.home_with_tenants().await;
    enqueue(&home, "acme").await.unwrap();
    let (tenant, job, old) = parts(&home.catalog).await;
    let_go(&home).await;
    let (_, again, new) = parts(&home.catalog).await;
    assert_eq!((again.id.clone(), new.attempt), (job.id.clone(), old.attempt + 1));
    let scope = Scope::service(&tenant);
    let lost = home.catalog.progress_job(&scope, &job.id, &old, &documents(1, 2), "").await.unwrap_err();
    assert!(matches!(lost, CatalogError::LeaseLost { .. }));
    let lost = home.catalog.finish_job(&scope, &job.id, &old, JobEnd::Succeeded).await.unwrap_err();
    assert!(matches!(lost, CatalogError::LeaseLost { .. }));
    home.catalog.finish_job(&scope, &job.id, &new, JobEnd::Succeeded).await.unwrap();
}

async fn a_waiting_job_is_cancelled_at_once_and_a_running_one_at_its_next_report(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    let job = enqueue(&home, "acme").await.unwrap().value;
    let cancelled = home.catalog.cancel_job(&scope, &job.id, draft("cancel")).await.unwrap().unwrap();
    assert_eq!(cancelled.value.state, JobState::Cancelled);
    assert_eq!(
        home.catalog.cancel_job(&scope, &job.id, draft("cancel")).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    let unknown = JobId::new("nothing").unwrap();
    assert!(home.catalog.cancel_job(&scope, &unknown, draft("cancel")).await.unwrap().is_none());

    enqueue(&home, "acme").await.unwrap();
    let (_, job, lease) = parts(&home.catalog).await;
    let running = home.catalog.cancel_job(&scope, &job.id, draft("cancel")).await.unwrap().unwrap();
    assert_eq!(running.value.state, JobState::Running);
    let control = home.catalog.progress_job(&scope, &job.id, &lease, &documents(1, 2), "").await.unwrap();
    assert_eq!(control, JobControl::Cancel);
    home.catalog.finish_job(&scope, &job.id, &lease, JobEnd::Cancelled).await.unwrap();

    enqueue(&home, "acme").await.unwrap();
    let (_, job, _) = parts(&home.catalog).await;
    home.catalog.cancel_job(&scope, &job.id, draft("cancel")).await.unwrap();
    let_go(&home).await;
    let released = home.catalog.job(&scope, &job.id).await.unwrap().unwrap();
    assert_eq!(released.state, JobState::Cancelled, "a cancelled job came back after a restart");
}

on_both! {
    a_job_is_claimed_once_reported_on_and_ended,
    whoever_lost_the_lease_changes_nothing_more,
    a_waiting_job_is_cancelled_at_once_and_a_running_one_at_its_next_report,
}
