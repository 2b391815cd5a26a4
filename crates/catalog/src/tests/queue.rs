//! The queue among many workers and many tenants: turns, leases, fences, and what is left of a job for another.

use super::*;
use catena_domain::{ErrorKind, limits};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long a test waits for something that must come.
const PATIENCE: Duration = Duration::from_secs(30);

fn import(lines: &[(u64, &str)]) -> Vec<NewJobItem> {
    lines.iter().map(|(line, of)| NewJobItem::pack(*line, of, format!("content {line}").as_bytes()).unwrap()).collect()
}

async fn enqueue_import(home: &Home, of: &str, lines: &[(u64, &str)]) -> Job {
    let job = NewJob { tally: documents(0, lines.len() as u64), ..NewJob::of(JobKind::Import) };
    home.catalog.enqueue_import(&admin(of), job, import(lines), vec![], draft("import")).await.unwrap().value
}

fn briefly() -> Taking {
    Taking { lease: Duration::from_millis(300), ..taking() }
}

/// The next job, as soon as there is one to be had.
async fn claim_soon(catalog: &Catalog, taking: &Taking) -> Claimed {
    let claimed = async {
        loop {
            if let Some(claimed) = catalog.claim_job(taking).await.unwrap() {
                return claimed;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, claimed).await.expect("nobody could take the job")
}

async fn finish(home: &Home, claimed: &Claimed, end: JobEnd) {
    let scope = Scope::service(&claimed.tenant);
    home.catalog.finish_job(&scope, &claimed.job.id, &claimed.lease, end).await.unwrap();
}

async fn a_tenant_with_many_jobs_does_not_hold_up_anothers_one(on: On) {
    let home = on.home_with_tenants().await;
    for _ in 0..40 {
        enqueue_import(&home, "acme", &[(1, "a")]).await;
    }
    enqueue_import(&home, "globex", &[(1, "a")]).await;
    let many = Taking { at_once_per_tenant: 100, ..taking() };
    let first = home.catalog.claim_job(&many).await.unwrap().unwrap();
    let second = home.catalog.claim_job(&many).await.unwrap().unwrap();
    let of = BTreeSet::from([first.tenant.as_str(), second.tenant.as_str()]);
    assert_eq!(of, BTreeSet::from(["acme", "globex"]), "a tenant's forty jobs went before another's one");
    // Also when nothing of either runs: whoever was served last is behind.
    finish(&home, &first, JobEnd::Succeeded).await;
    finish(&home, &second, JobEnd::Succeeded).await;
    enqueue_import(&home, "globex", &[(1, "a")]).await;
    let third = home.catalog.claim_job(&many).await.unwrap().unwrap();
    assert_eq!(third.tenant, first.tenant);
    finish(&home, &third, JobEnd::Succeeded).await;
    assert_eq!(home.catalog.claim_job(&many).await.unwrap().unwrap().tenant, second.tenant);
}

async fn no_more_jobs_of_a_tenant_run_at_once_than_it_may_have(on: On) {
    let home = on.home_with_tenants().await;
    for of in ["acme", "acme", "acme", "globex"] {
        enqueue_import(&home, of, &[(1, "a")]).await;
    }
    let two = Taking { at_once_per_tenant: 2, ..taking() };
    let mut running = Vec::new();
    while let Some(claimed) = home.catalog.claim_job(&two).await.unwrap() {
        running.push(claimed);
    }
    let of_acme = running.iter().filter(|claimed| claimed.tenant.as_str() == "acme").count();
    assert_eq!((of_acme, running.len()), (2, 3));
    let done = running.iter().find(|claimed| claimed.tenant.as_str() == "acme").unwrap();
    finish(&home, done, JobEnd::Succeeded).await;
    assert!(home.catalog.claim_job(&two).await.unwrap().is_some());
}

async fn however_many_workers_there_are_no_job_is_done_twice(on: On) {
    let home = on.home_with_tenants().await;
    for number in 0..40 {
        enqueue_import(&home, if number % 4 == 0 { "globex" } else { "acme" }, &[(1, "a")]).await;
    }
    let many = Taking { at_once_per_tenant: 1_000, ..taking() };
    let mut workers = JoinSet::new();
    for _ in 0..16 {
        let catalog = home.catalog.clone();
        workers.spawn(async move {
            let mut taken = Vec::new();
            while let Some(claimed) = catalog.claim_job(&many).await.unwrap() {
                taken.push((claimed.job.id.to_string(), claimed.lease.attempt));
            }
            taken
        });
    }
    let taken: Vec<(String, u32)> = workers.join_all().await.into_iter().flatten().collect();
    let distinct: BTreeSet<&String> = taken.iter().map(|(id, _)| id).collect();
    assert_eq!((taken.len(), distinct.len()), (40, 40));
    assert!(taken.iter().all(|(_, attempt)| *attempt == 1), "{taken:?}");
}

async fn a_worker_that_is_busy_keeps_its_job_and_one_that_is_silent_loses_it(on: On) {
    let home = on.home_with_tenants().await;
    let scope = Scope::service(&tenant("acme"));
    enqueue_import(&home, "acme", &[(1, "a")]).await;
    let held = home.catalog.claim_job(&briefly()).await.unwrap().unwrap();
    // Three leases long, nobody else gets it while its lease is kept.
    let watch = catena_runtime::clock::Stopwatch::start();
    while watch.elapsed() < 3 * briefly().lease {
        home.catalog.keep_lease(&scope, &held.job.id, &held.lease).await.unwrap();
        assert!(home.catalog.claim_job(&briefly()).await.unwrap().is_none(), "a living worker lost its job");
    }
    let again = claim_soon(&home.catalog, &taking()).await;
    assert_eq!((&again.job.id, again.lease.attempt), (&held.job.id, held.lease.attempt + 1));
    let (id, old) = (&held.job.id, &held.lease);
    fn lost<T>(what: &str, result: Result<T, CatalogError>) {
        assert!(matches!(result, Err(CatalogError::LeaseLost { .. })), "{what}");
    }
    let failure = JobFailure { document: "a".into(), reason: "late".into() };
    lost("a heartbeat", home.catalog.keep_lease(&scope, id, old).await);
    lost("a report", home.catalog.progress_job(&scope, id, old, &documents(9, 9), "late").await);
    lost("a checkpoint", home.catalog.checkpoint_job(&scope, id, old, "{}").await);
    lost("a failure", home.catalog.job_failed(&scope, id, old, &failure, Some(1)).await);
    lost("an item", home.catalog.job_item_done(&scope, id, old, 1).await);
    lost("an end", home.catalog.finish_job(&scope, id, old, JobEnd::Succeeded).await);
    let seen = home.catalog.job(&scope, id).await.unwrap().unwrap();
    assert_eq!((seen.state, seen.tally, seen.failed_documents), (JobState::Running, documents(0, 1), 0));
}

async fn a_start_takes_no_job_from_a_living_worker_of_another_process(on: On) {
    let home = on.home_with_tenants().await;
    let scope = Scope::service(&tenant("acme"));
    enqueue_import(&home, "acme", &[(1, "a")]).await;
    let held = home.catalog.claim_job(&taking()).await.unwrap().unwrap();
    home.catalog.release_leases().await.unwrap();
    let seen = home.catalog.job(&scope, &held.job.id).await.unwrap().unwrap();
    // SQLite has one process, whose workers died with the one before.
    let expected = if on == On::Postgres { JobState::Running } else { JobState::Queued };
    assert_eq!(seen.state, expected);
}

async fn a_write_of_a_job_is_refused_once_another_worker_has_it_and_its_item_leaves_with_it(on: On) {
    let home = on.home_with_tenants().await;
    let scope = Scope::service(&tenant("acme"));
    let job = enqueue_import(&home, "acme", &[(1, "a"), (2, "b")]).await;
    let held = home.catalog.claim_job(&briefly()).await.unwrap().unwrap();
    fn deed<T>(claimed: &Claimed, item: u64) -> Deed<T> {
        Deed::from(draft("put")).fenced(Fence { item: Some(item), ..claimed.fence() })
    }
    let write = async |of, claimed: &Claimed, item| {
        home.catalog.put_document(&scope, document(of, &format!("text of {of}")), deed(claimed, item)).await
    };
    let items = async || {
        let left = home.catalog.job_items(&scope, &job.id, 10).await.unwrap();
        left.into_iter().map(|item| (item.item, item.document, item.content)).collect::<Vec<_>>()
    };
    write("a", &held, 1).await.unwrap();
    assert_eq!(items().await, [(2, "b".to_owned(), b"content 2".to_vec())]);
    let now = claim_soon(&home.catalog, &taking()).await;
    let (seq, leaves) = (home.catalog.seq(&scope).await.unwrap(), home.chains().await);
    let late = write("b", &held, 2).await.unwrap_err();
    assert!(matches!(late, CatalogError::LeaseLost { .. }), "{late}");
    let late = home.catalog.delete_document(&scope, &id("a"), Expect::Any, deed(&held, 2)).await.unwrap_err();
    assert!(matches!(late, CatalogError::LeaseLost { .. }), "{late}");
    assert_eq!(home.catalog.seq(&scope).await.unwrap(), seq, "a worker without its job changed something");
    assert_eq!(home.chains().await, leaves);
    assert_eq!(items().await.len(), 1);
    write("b", &now, 2).await.unwrap();
    assert_eq!((items().await.len(), home.catalog.job_items_left(&scope, &job.id).await.unwrap()), (0, 0));
}

async fn a_document_fails_once_however_often_it_is_tried_and_the_list_has_pages(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    let job = enqueue_import(&home, "acme", &[(1, "a"), (2, "b"), (3, "c")]).await;
    let held = home.catalog.claim_job(&taking()).await.unwrap().unwrap();
    for (of, reason) in [("b", "first"), ("a", "torn"), ("b", "second")] {
        let failure = JobFailure { document: of.into(), reason: reason.into() };
        home.catalog.job_failed(&scope, &job.id, &held.lease, &failure, None).await.unwrap();
    }
    assert_eq!(home.catalog.job(&scope, &job.id).await.unwrap().unwrap().failed_documents, 2);
    let first = home.catalog.job_failures(&scope, &job.id, None, 1).await.unwrap();
    assert_eq!((first.items[0].reason.as_str(), first.next.as_deref()), ("torn", Some("a")));
    let second = home.catalog.job_failures(&scope, &job.id, Some("a"), 1).await.unwrap();
    assert_eq!((second.items[0].reason.as_str(), second.next), ("second", None));
    assert_eq!(home.catalog.job_failures(&admin("globex"), &job.id, None, 10).await.unwrap().items, []);
}

async fn what_failed_of_an_import_is_tried_again_alone_and_once(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    let job = enqueue_import(&home, "acme", &[(1, "a"), (2, "b")]).await;
    let retry = async |of: &JobId| home.catalog.retry_job(&scope, of, draft("retry")).await;
    assert_eq!(retry(&job.id).await.unwrap_err().kind(), ErrorKind::Conflict, "a job that waits was tried again");
    let held = home.catalog.claim_job(&taking()).await.unwrap().unwrap();
    home.catalog.job_item_done(&scope, &job.id, &held.lease, 1).await.unwrap();
    let failure = JobFailure { document: "b".into(), reason: "torn".into() };
    home.catalog.job_failed(&scope, &job.id, &held.lease, &failure, Some(2)).await.unwrap();
    assert_eq!(home.catalog.job_items_left(&scope, &job.id).await.unwrap(), 0);
    finish(&home, &held, JobEnd::Succeeded).await;
    let again = retry(&job.id).await.unwrap().unwrap().value;
    assert_eq!((again.kind, again.tally, again.retry_of.as_ref()), (JobKind::Import, documents(0, 1), Some(&job.id)));
    let items = home.catalog.job_items(&scope, &again.id, 10).await.unwrap();
    assert_eq!(items.iter().map(|item| (item.item, item.document.as_str())).collect::<Vec<_>>(), [(2, "b")]);
    assert_eq!(retry(&job.id).await.unwrap_err().kind(), ErrorKind::Conflict, "what failed was handed on twice");
    assert!(home.catalog.retry_job(&admin("globex"), &job.id, draft("retry")).await.unwrap().is_none());
    home.catalog.cancel_job(&scope, &again.id, draft("cancel")).await.unwrap();
    assert_eq!(home.catalog.job_items(&scope, &again.id, 10).await.unwrap(), [], "what was cancelled was kept");
}

async fn the_oldest_job_of_many_is_tried_again_with_all_that_it_kept(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    let job = enqueue_import(&home, "acme", &[(1, "a")]).await;
    let held = home.catalog.claim_job(&taking()).await.unwrap().unwrap();
    let failure = JobFailure { document: "a".into(), reason: "torn".into() };
    home.catalog.job_failed(&scope, &job.id, &held.lease, &failure, Some(1)).await.unwrap();
    finish(&home, &held, JobEnd::Succeeded).await;
    insert_jobs(&home, "succeeded", job.created_at.0 + 1, limits::JOBS_KEPT_MAX).await;
    let again = home.catalog.retry_job(&scope, &job.id, draft("retry")).await.unwrap().unwrap().value;
    let items = home.catalog.job_items(&scope, &again.id, 10).await.unwrap();
    assert_eq!(items.iter().map(|item| (item.item, item.document.as_str())).collect::<Vec<_>>(), [(1, "a")]);
    assert!(home.catalog.job(&scope, &job.id).await.unwrap().is_some(), "what is tried again was forgotten");
}

async fn what_failed_of_other_jobs_is_named_to_the_job_that_tries_again(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    let new = NewJob { subject: Some("wiki".into()), spec: r#"{"deep":true}"#.into(), ..NewJob::of(JobKind::Sync) };
    let job = home.catalog.enqueue_job(&scope, new.clone(), draft("sync")).await.unwrap().value;
    let twice = home.catalog.enqueue_job(&scope, new.clone(), draft("sync")).await.unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Conflict);
    let other = NewJob { subject: Some("drive".into()), ..new };
    let other = home.catalog.enqueue_job(&scope, other, draft("sync")).await.unwrap().value;
    home.catalog.cancel_job(&scope, &other.id, draft("cancel")).await.unwrap();
    let held = home.catalog.claim_job(&taking()).await.unwrap().unwrap();
    assert_eq!((held.job.subject.as_deref(), held.spec.as_str()), (Some("wiki"), r#"{"deep":true}"#));
    let failure = JobFailure { document: "b".into(), reason: "torn".into() };
    home.catalog.job_failed(&scope, &job.id, &held.lease, &failure, None).await.unwrap();
    finish(&home, &held, JobEnd::Succeeded).await;
    home.catalog.retry_job(&scope, &job.id, draft("retry")).await.unwrap().unwrap();
    let again = home.catalog.claim_job(&taking()).await.unwrap().unwrap();
    assert_eq!((again.job.subject.as_deref(), again.spec.as_str()), (Some("wiki"), r#"{"deep":true,"only":["b"]}"#));
}

async fn a_paused_job_rests_until_it_is_resumed_and_goes_on_from_its_checkpoint(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    let job = enqueue_import(&home, "acme", &[(1, "a")]).await;
    let pause =
        async || home.catalog.pause_job(&scope, &job.id, draft("pause")).await.map(|job| job.unwrap().value.state);
    let resume =
        async || home.catalog.resume_job(&scope, &job.id, draft("resume")).await.map(|job| job.unwrap().value.state);
    assert_eq!(resume().await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(pause().await.unwrap(), JobState::Paused);
    assert!(home.catalog.claim_job(&taking()).await.unwrap().is_none(), "a paused job ran");
    assert_eq!(resume().await.unwrap(), JobState::Queued);
    let held = home.catalog.claim_job(&taking()).await.unwrap().unwrap();
    home.catalog.checkpoint_job(&scope, &job.id, &held.lease, r#"{"at":7}"#).await.unwrap();
    assert_eq!(pause().await.unwrap(), JobState::Running);
    let told = home.catalog.progress_job(&scope, &job.id, &held.lease, &documents(3, 9), "").await.unwrap();
    assert_eq!(told, JobControl::Pause);
    finish(&home, &held, JobEnd::Paused).await;
    assert_eq!(home.catalog.job(&scope, &job.id).await.unwrap().unwrap().state, JobState::Paused);
    assert_eq!(resume().await.unwrap(), JobState::Queued);
    let again = home.catalog.claim_job(&taking()).await.unwrap().unwrap();
    assert_eq!((again.checkpoint.as_deref(), again.job.tally), (Some(r#"{"at":7}"#), documents(3, 9)));
    let told = home.catalog.keep_lease(&scope, &job.id, &again.lease).await.unwrap();
    assert_eq!(told, JobControl::Continue, "a pause outlived its resumption");
    // Asked for while the worker stops by itself, it holds all the same.
    pause().await.unwrap();
    finish(&home, &again, JobEnd::Deferred).await;
    assert_eq!(home.catalog.job(&scope, &job.id).await.unwrap().unwrap().state, JobState::Paused);
}

async fn who_resumes_a_job_that_is_about_to_pause_gets_it_back(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    let job = enqueue_import(&home, "acme", &[(1, "a")]).await;
    let held = home.catalog.claim_job(&taking()).await.unwrap().unwrap();
    home.catalog.pause_job(&scope, &job.id, draft("pause")).await.unwrap();
    let told = home.catalog.progress_job(&scope, &job.id, &held.lease, &documents(0, 1), "").await.unwrap();
    assert_eq!(told, JobControl::Pause);
    home.catalog.resume_job(&scope, &job.id, draft("resume")).await.unwrap();
    finish(&home, &held, JobEnd::Paused).await;
    assert_eq!(home.catalog.job(&scope, &job.id).await.unwrap().unwrap().state, JobState::Queued);
    assert_eq!(home.catalog.claim_job(&taking()).await.unwrap().unwrap().job.id, job.id);
}

async fn an_approval_is_for_exactly_the_plan_that_it_names(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    let new = NewJob { subject: Some("wiki".into()), ..NewJob::of(JobKind::Sync) };
    let job = home.catalog.enqueue_job(&scope, new, draft("sync")).await.unwrap().value;
    let approve = async |digest| {
        home.catalog.approve_job(&scope, &job.id, digest, draft("job.approve")).await.map(|job| job.unwrap())
    };
    assert_eq!(approve([1; 32]).await.unwrap_err().kind(), ErrorKind::Conflict);
    let held = home.catalog.claim_job(&taking()).await.unwrap().unwrap();
    assert_eq!(held.approved, None);
    finish(&home, &held, JobEnd::Held(r#"{"deletes":400}"#.into())).await;
    assert!(home.catalog.claim_job(&taking()).await.unwrap().is_none(), "a held job ran");
    let seen = home.catalog.job(&scope, &job.id).await.unwrap().unwrap();
    let approval = seen.approval.unwrap();
    assert_eq!((seen.state, approval.plan.as_str()), (JobState::Held, r#"{"deletes":400}"#));
    assert_eq!(approval.digest, sha256(approval.plan.as_bytes()));
    assert_eq!(approve([1; 32]).await.unwrap_err().kind(), ErrorKind::Conflict, "another plan was approved");
    let approved = approve(approval.digest).await.unwrap();
    assert_eq!(approved.value.state, JobState::Queued);
    let leaf = home.catalog.leaves(&scope, approved.leaf.index, 1).await.unwrap().remove(0);
    let leaf: serde_json::Value = serde_json::from_slice(&leaf.bytes).unwrap();
    assert_eq!(leaf["objects"][0]["sha256"], tables::testing::hex(&approval.digest), "{leaf}");
    let again = home.catalog.claim_job(&taking()).await.unwrap().unwrap();
    assert_eq!(again.approved, Some(approval.digest));
    finish(&home, &again, JobEnd::Held(r#"{"deletes":401}"#.into())).await;
    assert_eq!(approve(approval.digest).await.unwrap_err().kind(), ErrorKind::Conflict, "an old approval held");
    let refused = home.catalog.refuse_job(&scope, &job.id, draft("job.refuse")).await.unwrap().unwrap().value;
    assert_eq!(refused.state, JobState::Cancelled);
}

async fn what_needs_the_index_waits_for_a_worker_that_has_it(on: On) {
    let home = on.home_with_tenants().await;
    let alone = Taking { reach: WorkerReach::CatalogAlone, ..taking() };
    home.catalog.enqueue_job(&admin("acme"), NewJob::of(JobKind::Purge), draft("purge")).await.unwrap();
    assert!(home.catalog.claim_job(&alone).await.unwrap().is_none());
    let purge = home.catalog.claim_job(&taking()).await.unwrap().unwrap();
    finish(&home, &purge, JobEnd::Succeeded).await;
    home.catalog.enqueue_job(&admin("acme"), NewJob::of(JobKind::Reindex), draft("reindex")).await.unwrap();
    let cut = home.catalog.claim_job(&alone).await.unwrap().unwrap();
    finish(&home, &cut, JobEnd::HandedOver).await;
    assert!(home.catalog.claim_job(&alone).await.unwrap().is_none());
    assert_eq!(home.catalog.claim_job(&taking()).await.unwrap().unwrap().job.id, cut.job.id);
}

/// So many imports in a state, one younger than the other from that time on.
async fn insert_jobs(home: &Home, state: &str, since: i64, count: u64) {
    let mut tx = home.catalog.store.write(&tenant("acme")).await.unwrap();
    for number in 0..i64::try_from(count).unwrap() {
        store::sql("INSERT INTO jobs (tenant, job, kind, state, created_at) VALUES ('acme', $1, 'import', $2, $3)")
            .bind(format!("job{number}"))
            .bind(state)
            .bind(since + number)
            .execute(tx.connection())
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
}

async fn a_tenants_list_of_jobs_is_bounded(on: On) {
    let home = on.home_with_tenants().await;
    insert_jobs(&home, "queued", 0, limits::JOBS_WAITING_MAX).await;
    let refused = home.catalog.enqueue_job(&admin("acme"), NewJob::of(JobKind::Import), draft("import")).await;
    assert!(matches!(refused, Err(CatalogError::Busy { .. })), "{refused:?}");
    // And so is the list of those that are over.
    let mut tx = home.catalog.store.write(&tenant("acme")).await.unwrap();
    store::sql("UPDATE jobs SET state = 'succeeded' WHERE tenant = 'acme'").execute(tx.connection()).await.unwrap();
    tx.commit().await.unwrap();
    home.catalog.enqueue_job(&admin("acme"), NewJob::of(JobKind::Import), draft("import")).await.unwrap();
    let mut listed = 0;
    let mut after: Option<JobId> = None;
    loop {
        let page = home.catalog.jobs_after(&admin("acme"), after.as_ref(), 500).await.unwrap();
        listed += page.items.len() as u64;
        let Some(next) = page.next else { break };
        after = Some(JobId::new(&next).unwrap());
    }
    assert_eq!(listed, limits::JOBS_WAITING_MAX + 1 - 16);
}

async fn a_jobs_speed_is_that_of_its_present_run(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    let job = enqueue_import(&home, "acme", &[(1, "a")]).await;
    let before = home.catalog.claim_job(&taking()).await.unwrap().unwrap();
    home.catalog.progress_job(&scope, &job.id, &before.lease, &documents(500, 900), "").await.unwrap();
    finish(&home, &before, JobEnd::Deferred).await;
    assert_eq!(home.catalog.job(&scope, &job.id).await.unwrap().unwrap().rate(), None);
    let now = home.catalog.claim_job(&taking()).await.unwrap().unwrap();
    home.catalog.progress_job(&scope, &job.id, &now.lease, &documents(600, 900), "").await.unwrap();
    let seen = home.catalog.job(&scope, &job.id).await.unwrap().unwrap();
    let run = seen.run.unwrap();
    assert_eq!(run.before.documents.done, 500);
    if let (Some(rate), Some(eta)) = (seen.rate(), seen.eta()) {
        let seconds = (run.reported_at.0 - run.started_at.0) as f64 / 1e6;
        assert!((rate.documents * seconds - 100.0).abs() < 0.01, "{rate:?} over {seconds} s");
        assert!((eta.as_secs_f64() - 3.0 * seconds).abs() < 0.01, "{eta:?} over {seconds} s");
    }
}

on_both! {
    a_tenant_with_many_jobs_does_not_hold_up_anothers_one,
    no_more_jobs_of_a_tenant_run_at_once_than_it_may_have,
    however_many_workers_there_are_no_job_is_done_twice,
    a_worker_that_is_busy_keeps_its_job_and_one_that_is_silent_loses_it,
    a_start_takes_no_job_from_a_living_worker_of_another_process,
    a_write_of_a_job_is_refused_once_another_worker_has_it_and_its_item_leaves_with_it,
    a_document_fails_once_however_often_it_is_tried_and_the_list_has_pages,
    what_failed_of_an_import_is_tried_again_alone_and_once,
    the_oldest_job_of_many_is_tried_again_with_all_that_it_kept,
    what_failed_of_other_jobs_is_named_to_the_job_that_tries_again,
    a_paused_job_rests_until_it_is_resumed_and_goes_on_from_its_checkpoint,
    who_resumes_a_job_that_is_about_to_pause_gets_it_back,
    an_approval_is_for_exactly_the_plan_that_it_names,
    what_needs_the_index_waits_for_a_worker_that_has_it,
    a_tenants_list_of_jobs_is_bounded,
    a_jobs_speed_is_that_of_its_present_run,
}
