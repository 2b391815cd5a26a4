//! How jobs end that nobody ends well, what of them is tried again, and what a worker that lost its job cannot do.

use super::*;
use catena_domain::{ErrorKind, SourceName, limits};

fn item(line: u64, of: &str) -> NewJobItem {
    NewJobItem::pack(line, of, format!("content {line}").as_bytes()).unwrap()
}

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

async fn failures(home: &Home, job: &Job) -> Vec<(String, String)> {
    let page = home.catalog.job_failures(&admin("acme"), &job.id, None, 100).await.unwrap();
    page.items.into_iter().map(|failure| (failure.document, failure.reason)).collect()
}

async fn fail(home: &Home, claimed: &Claimed, of: &str, item: Option<u64>) {
    let failure = JobFailure { document: of.into(), reason: "torn".into() };
    home.catalog.job_failed(&admin("acme"), &claimed.job.id, &claimed.lease, &failure, item).await.unwrap();
}

async fn write(home: &Home, claimed: &Claimed, of: &str, item: Option<u64>) {
    let deed = Deed::from(draft("put")).fenced(Fence { item, ..claimed.fence() });
    home.catalog.put_document(&admin("acme"), document(of, &format!("text {item:?}")), deed).await.unwrap();
}

async fn a_plan_that_is_too_long_to_be_approved_ends_its_job(on: On) {
    let home = on.home_with_tenants().await;
    let job = enqueue(&home, JobKind::Sync, vec![]).await;
    let held = claim(&home).await.unwrap();
    finish(&home, &held, JobEnd::Held("x".repeat(limits::JOB_SPEC_BYTES_MAX + 1))).await;
    let ended = seen(&home, &job).await;
    assert_eq!((ended.state, ended.approval.is_none()), (JobState::Failed, true));
    assert!(ended.error.unwrap().contains("longer than 8388608 bytes"));
    assert!(claim(&home).await.is_none());
}

async fn a_job_that_is_cut_off_again_and_again_is_ended_and_does_not_hold_up_the_next(on: On) {
    let home = on.home_with_tenants().await;
    let (bad, next) =
        (enqueue(&home, JobKind::Import, vec![item(1, "a")]).await, enqueue(&home, JobKind::Sync, vec![]).await);
    for _ in 0..limits::JOB_RUNS_WITHOUT_PROGRESS_MAX {
        let taken = claim(&home).await.unwrap();
        assert_eq!(taken.job.id, bad.id);
        // That it says what it begins with, each time, is no progress.
        let tally = documents(0, 1);
        home.catalog.progress_job(&admin("acme"), &bad.id, &taken.lease, &tally, "writing").await.unwrap();
        home.catalog.checkpoint_job(&admin("acme"), &bad.id, &taken.lease, "{}").await.unwrap();
        let_go(&home).await;
    }
    // The first checkpoint was one run's progress.
    assert_eq!(claim(&home).await.unwrap().job.id, bad.id);
    let_go(&home).await;
    assert_eq!(claim(&home).await.unwrap().job.id, next.id);
    let ended = seen(&home, &bad).await;
    assert_eq!((ended.state, ended.finished_at.is_some()), (JobState::Failed, true));
    assert!(ended.error.unwrap().starts_with("it was cut off 5 times in a row"));
    // What it kept is there for whoever tries again.
    let again = home.catalog.retry_job(&admin("acme"), &bad.id, draft("retry")).await.unwrap().unwrap().value;
    assert_eq!(home.catalog.job_items(&admin("acme"), &again.id, 10).await.unwrap().len(), 1);
}

async fn a_job_that_gets_further_may_be_cut_off_as_often_as_it_likes(on: On) {
    let home = on.home_with_tenants().await;
    let job = enqueue(&home, JobKind::Import, vec![item(1, "a")]).await;
    for run in 0..4 * u64::from(limits::JOB_RUNS_WITHOUT_PROGRESS_MAX) {
        let taken = claim(&home).await.expect("a job that got further was ended");
        match run % 4 {
            // Cut off before it could say anything.
            0 | 1 => {}
            2 => {
                let tally = documents(run, 100);
                home.catalog.progress_job(&admin("acme"), &job.id, &taken.lease, &tally, "").await.unwrap();
            }
            _ => {
                finish(&home, &taken, JobEnd::Deferred).await;
                continue;
            }
        }
        let_go(&home).await;
    }
    assert!(!seen(&home, &job).await.state.is_over());
}

async fn a_worker_without_its_job_begins_no_look_and_stores_nothing(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope, docs) = (&home.catalog, admin("acme"), SourceName::new("docs").unwrap());
    let description = SourceDescription {
        spec: "{}".into(),
        credentials: SealedCredentials::default(),
        schedule: None,
        guards: "{}".into(),
        state: SourceState::Active,
        next_at: None,
    };
    catalog.create_source(&scope, &docs, description, draft("source")).await.unwrap();
    let put = put(catalog, &scope, document("a", "one")).await.value;
    enqueue(&home, JobKind::Sync, vec![]).await;
    let old = claim(&home).await.unwrap().fence();
    let_go(&home).await;
    let new = claim(&home).await.unwrap().fence();
    let look = catalog.begin_look(&scope, &docs, Some(&new)).await.unwrap();

    fn lost<T: std::fmt::Debug>(what: &str, result: Result<T, CatalogError>) {
        assert!(matches!(result, Err(CatalogError::LeaseLost { .. })), "{what}: {result:?}");
    }
    let (other, old) = (RecipeId::new("recipe-2").unwrap(), Some(&old));
    let (chunks, embeddings) = cut("Title of a", "one");
    let cut = Cut { recipe: other.clone(), chunks, embeddings };
    lost("a look", catalog.begin_look(&scope, &docs, old).await);
    lost("notes", catalog.note_items(&scope, &docs, look, ItemChanges::default(), old).await);
    lost("chunks", catalog.put_chunks(&scope, put.doc, put.version, cut.clone(), old).await);
    lost("a generation", catalog.create_generation(&scope, &other, 4, &Chunking::default(), old).await);
    let deed = Deed::from(draft("delete")).fenced(old.cloned().unwrap());
    lost("a removal", catalog.delete_source(&scope, &docs, deed).await.map(|_| ()));

    assert_eq!(catalog.source(&scope, &docs).await.unwrap().unwrap().looks, look);
    catalog.note_items(&scope, &docs, look, ItemChanges::default(), Some(&new)).await.unwrap();
    catalog.put_chunks(&scope, put.doc, put.version, cut, Some(&new)).await.unwrap();
}

async fn a_line_that_failed_is_not_tried_again_after_a_later_one_of_its_document(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    let lines = vec![item(1, "a"), item(2, "b"), item(3, "a"), item(4, "c"), item(5, "c")];
    let job = enqueue(&home, JobKind::Import, lines).await;
    let held = claim(&home).await.unwrap();
    fail(&home, &held, "a", Some(1)).await;
    fail(&home, &held, "b", Some(2)).await;
    write(&home, &held, "a", Some(3)).await;
    write(&home, &held, "c", Some(4)).await;
    fail(&home, &held, "c", Some(5)).await;
    finish(&home, &held, JobEnd::Succeeded).await;
    let told = failures(&home, &job).await;
    assert_eq!((told.len(), seen(&home, &job).await.failed_documents), (3, 3), "{told:?}");
    assert_eq!(told[0].1, "torn; line 3 was done after it, so it is not tried again");
    assert_eq!((told[1].1.as_str(), told[2].1.as_str()), ("torn", "torn"));
    let again = home.catalog.retry_job(&scope, &job.id, draft("retry")).await.unwrap().unwrap().value;
    let left = home.catalog.job_items(&scope, &again.id, 10).await.unwrap();
    assert_eq!(left.iter().map(|item| item.item).collect::<Vec<_>>(), [2, 5]);
}

async fn a_document_that_a_later_run_of_its_job_did_has_not_failed(on: On) {
    let home = on.home_with_tenants().await;
    let job = enqueue(&home, JobKind::Sync, vec![]).await;
    let first = claim(&home).await.unwrap();
    fail(&home, &first, "a", None).await;
    fail(&home, &first, "b", None).await;
    finish(&home, &first, JobEnd::Deferred).await;
    let second = claim(&home).await.unwrap();
    write(&home, &second, "a", None).await;
    finish(&home, &second, JobEnd::Succeeded).await;
    assert_eq!(failures(&home, &job).await, [("b".to_owned(), "torn".to_owned())]);
    assert_eq!(seen(&home, &job).await.failed_documents, 1);
}

async fn a_tenants_imports_that_wait_hold_a_bounded_number_of_bytes(on: On) {
    let home = on.home_with_tenants().await;
    let import = async |of: &str| {
        home.catalog
            .enqueue_import(&admin(of), NewJob::of(JobKind::Import), vec![item(1, "a")], vec![], draft("i"))
            .await
    };
    let first = import("acme").await.unwrap().value;
    let mut tx = home.catalog.store.write(&tenant("acme")).await.unwrap();
    let full = i64::try_from(limits::IMPORTS_WAITING_BYTES_MAX).unwrap() - 1;
    let grown = store::sql("UPDATE jobs SET items_bytes = $1 WHERE items_bytes > 0").bind(full);
    assert_eq!(grown.execute(tx.connection()).await.unwrap(), 1);
    tx.commit().await.unwrap();
    let refused = import("acme").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy);
    assert!(refused.to_string().contains("imports that wait is full"), "{refused}");
    assert_eq!(home.catalog.jobs(&admin("acme"), 10).await.unwrap().len(), 1);
    import("globex").await.unwrap();
    home.catalog.enqueue_job(&admin("acme"), NewJob::of(JobKind::Reindex), draft("reindex")).await.unwrap();
    home.catalog.cancel_job(&admin("acme"), &first.id, draft("cancel")).await.unwrap();
    import("acme").await.unwrap();
}

const BACK_TO_THE_SCHEMA_BEFORE: &str = "DROP INDEX job_items_failed;
     ALTER TABLE jobs DROP COLUMN runs_without_progress; ALTER TABLE jobs DROP COLUMN done_most;
     ALTER TABLE jobs DROP COLUMN items_bytes; DELETE FROM _sqlx_migrations WHERE version = 11;";

/// The catalog's database, opened again, with a job that was asked for when it had the schema before.
async fn goes_on_with_its_jobs(home: Home, job: &Job) {
    let catalog = Catalog::open(home.folder.path(), &home.database).await.unwrap();
    let home = Home { catalog, ..home };
    let held = claim(&home).await.unwrap();
    assert_eq!(held.job.id, job.id);
    write(&home, &held, "a", Some(1)).await;
    finish(&home, &held, JobEnd::Succeeded).await;
    assert_eq!(seen(&home, job).await.state, JobState::Succeeded);
}

#[tokio::test]
async fn a_sqlite_database_of_the_schema_before_goes_on_with_its_jobs() {
    let home = On::Sqlite.home_with_tenants().await;
    let job = enqueue(&home, JobKind::Import, vec![item(1, "a")]).await;
    let mut tx = home.catalog.store.write(store::Reach::Installation).await.unwrap();
    sqlx::raw_sql(BACK_TO_THE_SCHEMA_BEFORE).execute(tx.connection().sqlite()).await.unwrap();
    tx.commit().await.unwrap();
    home.catalog.close().await.unwrap();
    goes_on_with_its_jobs(home, &job).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_database_of_the_schema_before_goes_on_with_its_jobs() {
    let server = catena_tests::postgres::shared();
    let made = server.database("jobsbefore");
    let database = Database::Postgres(PostgresPlace::new(made.app_url(), Some(made.owner_url().to_owned())));
    let folder = TempDir::new().unwrap();
    let catalog = Catalog::open(folder.path(), &database).await.unwrap();
    let home = Home { folder, database, catalog };
    home.catalog.create_tenant(&operator(), &tenant("acme"), "acme", &recipe(), 4, draft("tenant")).await.unwrap();
    let job = enqueue(&home, JobKind::Import, vec![item(1, "a")]).await;
    home.catalog.close().await.unwrap();
    server.sql(made.name(), &format!("SET search_path = catena; {BACK_TO_THE_SCHEMA_BEFORE}"));
    goes_on_with_its_jobs(home, &job).await;
}

on_both! {
    a_plan_that_is_too_long_to_be_approved_ends_its_job,
    a_job_that_is_cut_off_again_and_again_is_ended_and_does_not_hold_up_the_next,
    a_job_that_gets_further_may_be_cut_off_as_often_as_it_likes,
    a_worker_without_its_job_begins_no_look_and_stores_nothing,
    a_line_that_failed_is_not_tried_again_after_a_later_one_of_its_document,
    a_document_that_a_later_run_of_its_job_did_has_not_failed,
    a_tenants_imports_that_wait_hold_a_bounded_number_of_bytes,
}
