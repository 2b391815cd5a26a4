//! Imports, purges of many, and workers without an index.

use std::collections::BTreeMap;
use std::time::Duration;

use catena_catalog::{
    CatalogError, Job, JobEnd, JobState, SealedCredentials, SourceDescription, SourceState, Taking, WorkerReach,
};
use catena_domain::SourceName;
use catena_sources::Surroundings;

use super::*;
use crate::{Import, ImportChange, IngestError, Purging, jobs};

const LINES: usize = 9;

fn write(id: &str, text: &str) -> ImportChange {
    ImportChange::Write(Box::new(submission(id, text)))
}

/// An import with a line that deletes, one that nobody can read, and two about one document.
fn lines() -> Import {
    let mut import = Import::default();
    let torn = Submission { format: Format::Pdf, ..submission("torn.md", "Not a PDF at all.") };
    let mut changes: Vec<ImportChange> = (0..LINES - 4)
        .map(|at| write(&format!("{at}.md"), &format!("# Page {at}\n\nA page about {at} herons.")))
        .collect();
    changes.push(write("twice.md", "The first text."));
    changes.push(ImportChange::Delete(DocumentId::new("old.md").unwrap()));
    changes.push(write("twice.md", "The second text."));
    changes.push(ImportChange::Write(Box::new(torn)));
    for (at, change) in changes.iter().enumerate() {
        import.add(at as u64 + 1, change).unwrap();
    }
    import.refuse(LINES as u64 + 1, None, "is no JSON");
    import
}

impl Life {
    async fn job(&self, job: &Job) -> Job {
        self.catalog.job(&writer(), &job.id).await.unwrap().unwrap()
    }

    /// What is there: each document's text, or nothing where it is deleted.
    async fn texts(&self) -> BTreeMap<String, (u32, String)> {
        let mut texts = BTreeMap::new();
        for row in self.catalog.documents(&writer(), None, 500).await.unwrap().items {
            let document = self.catalog.document(&writer(), &row.id).await.unwrap().unwrap();
            texts.insert(row.id.to_string(), (document.versions, document.text));
        }
        texts
    }
}

#[tokio::test]
async fn an_import_writes_each_line_once_and_names_those_it_cannot_write() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    life.put("old.md", "On its way out.", Freshness::Durable).await;
    let job = life.ingest.request_import(&writer(), lines(), draft()).await.unwrap().value;
    assert!(life.run_next_job().await);
    let job = life.job(&job).await;
    let total = LINES as u64 + 1;
    assert_eq!((job.state, job.failed_documents), (JobState::Succeeded, 2), "{job:?}");
    assert_eq!((job.tally.documents.done, job.tally.documents.total), (total, total));
    assert!(job.tally.chunks.done >= 6 && job.tally.tokens.done > job.tally.chunks.done, "{:?}", job.tally);
    let texts = life.texts().await;
    assert_eq!(texts["twice.md"], (2, "The second text.".to_owned()));
    assert!(!texts.contains_key("old.md") && !texts.contains_key("torn.md"));
    assert_eq!(texts.len(), LINES - 3);
    let failures = life.catalog.job_failures(&writer(), &job.id, None, 10).await.unwrap().items;
    let failed: Vec<&str> = failures.iter().map(|failure| failure.document.as_str()).collect();
    assert_eq!(failed, ["line 10", "torn.md"]);
    assert!(failures[1].reason.starts_with("line 9: "), "{failures:?}");

    // What failed is tried again alone, and fails again.
    let again = life.catalog.retry_job(&writer(), &job.id, draft()).await.unwrap().unwrap().value;
    assert!(life.run_next_job().await);
    let again = life.job(&again).await;
    assert_eq!((again.tally.documents.total, again.failed_documents), (1, 1));
    assert_eq!(life.texts().await, texts);
    life.end().await;
}

#[tokio::test]
async fn each_line_that_cannot_be_done_is_named_with_its_number() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    let mut import = Import::default();
    import.refuse(1, Some("a.md"), "is torn");
    import.refuse(2, Some("a.md"), "is empty");
    let torn = Submission { format: Format::Pdf, ..submission("line 4", "Not a PDF at all.") };
    import.add(3, &ImportChange::Write(Box::new(torn))).unwrap();
    import.refuse(4, None, "is no JSON");
    import.refuse(5, None, "is no JSON");
    let job = life.ingest.request_import(&writer(), import, draft()).await.unwrap().value;
    assert!(life.run_next_job().await);
    let job = life.job(&job).await;
    assert_eq!((job.tally.documents.total, job.failed_documents), (5, 4), "{job:?}");
    let failures = life.catalog.job_failures(&writer(), &job.id, None, 10).await.unwrap().items;
    let named: Vec<(&str, &str)> = failures.iter().map(|of| (of.document.as_str(), of.reason.as_str())).collect();
    assert_eq!(named[0], ("a.md", "line 1: is torn; line 2: is empty"));
    assert!(named[1].0 == "line 4" && named[1].1.starts_with("line 3: "), "{named:?}");
    assert_eq!(named[2..], [("line 4 (no document)", "is no JSON"), ("line 5", "is no JSON")]);
    life.end().await;
}

#[tokio::test]
async fn an_import_that_is_put_back_at_any_step_ends_as_one_that_was_not() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    life.put("old.md", "On its way out.", Freshness::Durable).await;
    let job = life.ingest.request_import(&writer(), lines(), draft()).await.unwrap().value;
    // A worker that is told to stop before it begins stops at its first step, each time.
    let stop = CancellationToken::new();
    stop.cancel();
    for _ in 0..3 {
        assert!(life.ingest.run_next_job(&Workers::default(), &stop).await.unwrap());
        assert_eq!(life.job(&job).await.state, JobState::Queued);
    }
    life.catalog.pause_job(&writer(), &job.id, draft()).await.unwrap().unwrap();
    assert!(!life.run_next_job().await, "a paused job ran");
    life.catalog.resume_job(&writer(), &job.id, draft()).await.unwrap().unwrap();
    assert!(life.run_next_job().await);
    assert_eq!(life.job(&job).await.state, JobState::Succeeded);
    assert_eq!(life.texts().await.len(), LINES - 3);
    life.end().await;
}

#[tokio::test]
async fn a_purge_of_many_takes_what_is_deleted_and_names_what_is_not() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    for id in ["a.md", "b.md", "c.md", "live.md"] {
        let from = Submission { source: Some("wiki".into()), ..submission(id, &format!("A page called {id}.")) };
        life.ingest.put(&writer(), from, Freshness::Searchable, draft()).await.unwrap();
    }
    for id in ["a.md", "b.md", "c.md"] {
        life.ingest.delete(&writer(), &DocumentId::new(id).unwrap(), Expect::Any, draft()).await.unwrap();
    }
    let ids = Purging::Ids(vec!["a.md".into(), "live.md".into(), "never-there.md".into()]);
    let job = life.ingest.request_purge(&writer(), ids, draft()).await.unwrap().value;
    assert!(life.run_next_job().await);
    let job = life.job(&job).await;
    assert_eq!((job.state, job.tally.documents.done, job.failed_documents), (JobState::Succeeded, 3, 1));
    let failures = life.catalog.job_failures(&writer(), &job.id, None, 10).await.unwrap().items;
    assert_eq!(failures[0].document, "live.md");
    assert!(failures[0].reason.contains("delete it first"), "{failures:?}");

    let job = life.ingest.request_purge(&writer(), Purging::Source("wiki".into()), draft()).await.unwrap().value;
    assert!(life.run_next_job().await);
    let job = life.job(&job).await;
    assert_eq!((job.state, job.tally.documents.total, job.failed_documents), (JobState::Succeeded, 2, 0));
    assert_eq!(life.catalog.pending_purges(&writer()).await.unwrap(), []);
    assert_eq!(life.texts().await.keys().collect::<Vec<_>>(), ["live.md"]);
    assert_eq!(life.indexed().await.1, 1, "rows of purged documents are still in the index");
    life.end().await;
}

#[tokio::test]
async fn what_sources_left_on_the_disk_goes_with_them_and_with_their_tenant() {
    let (folder, kept) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    life.ingest.allow_sources(Surroundings::default(), kept.path().to_owned());
    let wiki = SourceName::new("wiki").unwrap();
    let description = SourceDescription {
        spec: "{}".into(),
        credentials: SealedCredentials::default(),
        schedule: None,
        guards: "{}".into(),
        state: SourceState::Active,
        next_at: None,
    };
    life.catalog.create_source(&writer(), &wiki, description, draft()).await.unwrap();
    let left = || {
        let below = |of: &Path| fs::read_dir(of).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
        let mut left: Vec<PathBuf> = below(kept.path()).iter().flat_map(|tenant| below(tenant)).collect();
        left.sort();
        left.into_iter().map(|path| path.strip_prefix(kept.path()).unwrap().to_owned()).collect::<Vec<_>>()
    };
    for of in ["acme/wiki", "acme/gone", "nobody/wiki", "lost+found/stays"] {
        fs::create_dir_all(kept.path().join(of)).unwrap();
    }
    let stop = CancellationToken::new();
    stop.cancel();
    life.ingest.run_jobs(Workers::default(), stop).await;
    assert_eq!(left(), [Path::new("acme/wiki"), Path::new("lost+found/stays")]);

    life.catalog.delete_tenant(&operator().operate().unwrap(), &tenant(), draft()).await.unwrap();
    let stop = CancellationToken::new();
    life.ingest.run_removals(stop.clone(), |_| stop.cancel()).await;
    assert_eq!(left(), [Path::new("lost+found/stays")]);
    life.end().await;
}

#[tokio::test]
async fn a_worker_without_the_index_cuts_and_embeds_and_hands_the_building_over() {
    let folder = TempDir::new().unwrap();
    let mut life = Life::begin(&folder).await;
    life.make_tenant(&RecipeId::new("an-older-recipe").unwrap()).await;
    let put = life.put("a.md", &handbook("Rule 5 says"), Freshness::Durable).await;
    life.end().await;
    life = Life::begin_beside(&folder).await;
    let scope = Scope::service(&tenant());
    let job = life.ingest.request_reindex(&scope, draft()).await.unwrap().value;
    assert!(life.run_next_job().await);
    assert_eq!(life.job(&job).await.state, JobState::Queued);
    assert!(!life.run_next_job().await, "a worker took what needs an index that it does not have");
    assert_ne!(&life.catalog.live_generation(&scope).await.unwrap().recipe, life.ingest.recipe());
    life.end().await;
    life = Life::begin(&folder).await;
    assert!(life.run_next_job().await);
    assert_eq!(life.job(&job).await.state, JobState::Succeeded);
    assert_eq!(&life.catalog.live_generation(&scope).await.unwrap().recipe, life.ingest.recipe());
    assert_eq!(life.indexed().await, (put.seq.unwrap(), put.cut.chunks));
    life.end().await;
}

#[test]
fn a_held_job_keeps_its_plan() {
    let held = crate::progress::Interrupted::Held { plan: "{}".into() };
    assert!(format!("{held:?}").contains("{}"));
}

#[tokio::test]
async fn a_job_that_meets_a_busy_catalog_waits_its_turn_again() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    life.ingest.request_reindex(&writer(), draft()).await.unwrap();
    let taking = Taking { lease: Duration::from_secs(30), at_once_per_tenant: 1, reach: WorkerReach::Index };
    let claimed = life.catalog.claim_job(&taking).await.unwrap().unwrap();
    let end = |error: CatalogError| jobs::end_of(&claimed, Err(IngestError::from(error).into()));
    assert_eq!(end(CatalogError::Busy { what: "the queue for the database" }), Some(JobEnd::Deferred));
    assert!(matches!(end(CatalogError::ChunkingChanged), Some(JobEnd::Failed(_))));
    life.end().await;
}
