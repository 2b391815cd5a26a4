//! How jobs end that nobody ends well, what of them is tried again, and what a worker that lost its job cannot do.

use super::*;
use catena_domain::limits;

async fn enqueue(home: &Home, kind: JobKind, items: Vec<NewJobItem>) -> Job {
    let subject = (kind == JobKind::Sync).then(|| "docs".to_owned());
    let job = NewJob { subject, tally: documents(0, items.len() as u64), ..NewJob::of(kind) };
    home.catalog.enqueue_import(&admin("acme"), job, items, vec![], draft("job")).await.unwrap().value
}

async fn claim(home: &Home) -> Option<Claimed> {
    home.catalog.claim_job(&taking()).await.unwrap()
}

async fn seen(home: &Home, job: &Job) -> Job {
    home.catalog.job(&admin("acme"), &job.id).await.unwrap().unwrap()
}

async fn finish(home: &Home, claimed: &Claimed, end: JobEnd) {
    home.catalog.finish_job(&admin("acme"), &claimed.job.id, &claimed.lease, end).await.unwrap();
}

async fn a_plan_that_is_too_long_to_be_approved_ends_its_job(on: On) {
    let home = on.home_with_tenants().await;
    let job = enqueue(&home, JobKind::Sync, vec![]).await;
    let held = claim(&home).await.unwrap();
    finish(&home, &held, JobEnd::Held("x".repeat(limits::JOB_SPEC_BYTES_MAX + 1))).await;
    let ended = seen(&home, &job).await;
    assert_eq!((ended.state, ended.approval), (JobState::Failed, None));
    assert!(ended.error.unwrap().contains("longer than 8388608 bytes"));
    assert!(claim(&home).await.is_none());
}

on_both! {
    a_plan_that_is_too_long_to_be_approved_ends_its_job,
}
