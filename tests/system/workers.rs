//! Workers in processes of their own, beside a service whose catalog is in PostgreSQL: their writes are found without a
//! restart, and whatever happens to one of them, a job is done once.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::harness::{Client, Home, Server, place, wait};
use crate::jobs::{done, ended, held, import, job, line, once};

/// As short as a lease may be.
const LEASE_S: u64 = 2;
const DOCUMENTS: usize = 400;

/// A service that runs no job itself, on a database of its own.
struct Place {
    home: Home,
    catalog: String,
    owner: String,
}

impl Place {
    fn new() -> Self {
        let made = catena_tests::postgres::shared().database("workers");
        Self { home: Home::new(), catalog: made.app_url().to_owned(), owner: made.owner_url().to_owned() }
    }

    async fn serve(&self, jobs_at_once: u32) -> Server {
        let serve = self.home.serve().variable("CATENA_CATALOG", &self.catalog);
        let serve = serve.variable("CATENA_CATALOG_OWNER", &self.owner).variable("CATENA_JOBS_AT_ONCE", jobs_at_once);
        serve.variable("CATENA_JOB_LEASE_SECONDS", LEASE_S).start().await
    }

    /// A worker in a folder of its own, with the service's secret in it.
    fn worker(&self, name: &str, variables: &[(&str, String)]) -> Worker {
        let data = self.home.path().join(name);
        fs::create_dir_all(&data).expect("a folder for a worker");
        fs::copy(self.home.data().join("secret.key"), data.join("secret.key")).expect("the service's secret");
        Worker::start(&data, &self.catalog, variables)
    }
}

struct Worker {
    process: Child,
    data: PathBuf,
}

impl Worker {
    fn start(data: &Path, catalog: &str, variables: &[(&str, String)]) -> Self {
        let mut command = Command::new(place::program().with_file_name("catena-indexer"));
        for name in place::variables_to_drop() {
            command.env_remove(name);
        }
        command.arg("--data").arg(data).env("CATENA_CATALOG", catalog).env("CATENA_PROVISION", place::provision());
        command
            .env("CATENA_JOB_LEASE_SECONDS", LEASE_S.to_string())
            .env("CATENA_ONNXRUNTIME", place::provision().join("runtime"));
        command.envs(variables.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        command.stdout(Self::log(data)).stderr(Self::log(data));
        let process = command.spawn().expect("catena-indexer starts; `cargo build --workspace` makes it");
        Self { process, data: data.to_owned() }
    }

    fn log(data: &Path) -> File {
        OpenOptions::new().create(true).append(true).open(data.join("log")).expect("a file for what is printed")
    }

    fn printed(&self) -> String {
        fs::read_to_string(self.data.join("log")).unwrap_or_default()
    }

    async fn says(&self, what: &str) {
        wait::until(&format!("the worker says {what:?}"), 60, async || self.printed().contains(what).then_some(()))
            .await;
    }

    fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -\"$1\" \"$2\"", "sh", name, &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIG{name} was not sent");
    }

    async fn ended(&mut self) -> ExitStatus {
        wait::until("the worker ends", 40, || {
            let ended = self.process.try_wait().expect("a child can be asked");
            async move { ended }
        })
        .await
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn lines() -> Vec<Value> {
    (0..DOCUMENTS).map(line).collect()
}

async fn begun(client: &Client, id: &str) -> Value {
    once(client, id, "the import gets on", |job| done(job) > 0 || !job["finished_at"].is_null()).await
}

/// The import is done, each document once.
async fn assert_whole(client: &Client, id: &str) {
    let job = ended(client, id).await;
    assert_eq!((&job["state"], &job["failed_documents"]), (&json!("succeeded"), &json!(0)), "{job}");
    let (documents, _) = held(client).await;
    assert_eq!(documents.len(), DOCUMENTS);
    assert!(documents.iter().all(|(_, version)| *version == 1), "a document was written twice: {documents:?}");
}

#[tokio::test]
async fn what_a_worker_writes_is_found_by_the_service_without_a_restart() {
    let place = Place::new();
    let server = place.serve(0).await;
    let admin = server.tenant("acme").await;
    admin.write("first.md", "# First\n\nThe index is open already.").await;
    let id = import(&admin, &lines()).await;
    assert_eq!(job(&admin, &id).await["state"], "queued", "the service runs jobs that it should not");
    let mut worker = place.worker("worker", &[]);
    assert_whole_and_first(&admin, &id).await;
    let last = DOCUMENTS - 1;
    wait::until("a search finds what the worker wrote", 10, async || {
        admin.found(&format!("gate {last}")).await.contains(&format!("gate-{last}.md")).then_some(())
    })
    .await;
    worker.signal("TERM");
    assert!(worker.ended().await.success(), "{}", worker.printed());
}

async fn assert_whole_and_first(client: &Client, id: &str) {
    client.delete(&client.document("first.md")).await.expect(200);
    assert_whole(client, id).await;
}

#[tokio::test]
async fn a_killed_workers_job_is_taken_over_and_ends_as_if_nothing_had_been() {
    let place = Place::new();
    let server = place.serve(0).await;
    let admin = server.tenant("acme").await;
    let id = import(&admin, &lines()).await;
    let first = place.worker("first", &[]);
    assert_eq!(begun(&admin, &id).await["state"], "running");
    drop(first);
    let _second = place.worker("second", &[]);
    assert_whole(&admin, &id).await;
}

#[tokio::test]
async fn a_worker_that_was_stopped_past_its_lease_changes_nothing_when_it_wakes() {
    let place = Place::new();
    let server = place.serve(0).await;
    let admin = server.tenant("acme").await;
    let id = import(&admin, &lines()).await;
    let sleeper = place.worker("sleeper", &[]);
    assert_eq!(begun(&admin, &id).await["state"], "running");
    sleeper.signal("STOP");
    let _other = place.worker("other", &[]);
    assert_whole(&admin, &id).await;
    let all = DOCUMENTS as u64;
    wait::until("all that was written is found", 10, async || (admin.seq().await == all).then_some(())).await;
    let before = held(&admin).await;
    sleeper.signal("CONT");
    sleeper.says("another worker has the job by now").await;
    let after = (admin.seq().await, held(&admin).await);
    assert!(after == (all, before), "a worker that had lost its job changed something");
    assert_eq!(job(&admin, &id).await["state"], "succeeded");
}

#[tokio::test]
async fn workers_whose_clocks_stand_or_run_ahead_neither_lose_nor_steal_a_job() {
    let place = Place::new();
    let server = place.serve(0).await;
    let admin = server.tenant("acme").await;
    let id = import(&admin, &lines()).await;
    let clock = clock().display().to_string();
    let stands = place.worker("stands", &[("LD_PRELOAD", clock.clone()), ("CLOCK_STANDS", "1000000000".to_owned())]);
    assert_eq!(begun(&admin, &id).await["state"], "running");
    // A day ahead, every lease would be over by its own clock; so would one that was counted from the one that stands.
    let ahead = place.worker("ahead", &[("LD_PRELOAD", clock), ("CLOCK_AHEAD", "86400".to_owned())]);
    ahead.says("running jobs").await;
    assert_whole(&admin, &id).await;
    stands.says("a job succeeded").await;
    for worker in [&stands, &ahead] {
        assert!(!worker.printed().contains("another worker has the job"), "{}", worker.printed());
    }
    assert!(!ahead.printed().contains("a job succeeded"), "a worker stole a job from one that was alive");
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_puts_its_job_back_at_once() {
    let place = Place::new();
    let server = place.serve(0).await;
    let admin = server.tenant("acme").await;
    let id = import(&admin, &lines()).await;
    let mut worker = place.worker("worker", &[]);
    assert_eq!(begun(&admin, &id).await["state"], "running");
    worker.signal("TERM");
    assert!(worker.ended().await.success(), "{}", worker.printed());
    assert_eq!(job(&admin, &id).await["state"], "queued", "{}", worker.printed());
    let _next = place.worker("next", &[]);
    assert_whole(&admin, &id).await;
}

#[tokio::test]
async fn a_service_that_starts_leaves_a_living_workers_job_alone() {
    let place = Place::new();
    let server = place.serve(0).await;
    let admin = server.tenant("acme").await;
    let id = import(&admin, &lines()).await;
    let worker = place.worker("worker", &[]);
    assert_eq!(begun(&admin, &id).await["state"], "running");
    server.kill();
    let server = place.serve(2).await;
    let admin = server.client(admin.key.as_deref().expect("a key")).in_tenant("acme");
    assert_whole(&admin, &id).await;
    worker.says("a job succeeded").await;
    assert!(!worker.printed().contains("another worker has the job"), "{}", worker.printed());
}

#[tokio::test]
async fn a_re_index_that_a_worker_began_is_built_by_the_service() {
    let place = Place::new();
    let server = place.serve(0).await;
    let admin = server.tenant("acme").await;
    admin.write("heron.md", "# Heron\n\nThe heron stands in the shallow water.").await;
    let reply = admin.post(&admin.path("reindex"), &json!({})).await.expect(202).json();
    let id = reply["id"].as_str().expect("an id").to_owned();
    let worker = place.worker("worker", &[]);
    worker.says("a job waits for a process that has the index").await;
    assert_eq!(job(&admin, &id).await["state"], "queued");
    server.stop().await;
    let server = place.serve(1).await;
    let admin = server.client(admin.key.as_deref().expect("a key")).in_tenant("acme");
    assert_eq!(ended(&admin, &id).await["state"], "succeeded");
    assert_eq!(admin.found("heron").await, ["heron.md"]);
}

/// A clock that a process cannot trust, compiled once for each run of the tests.
fn clock() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("system/faults/clock.c");
        let (new, library) = (folder.join(format!("clock-{}.so", std::process::id())), folder.join("clock.so"));
        let mut compile = Command::new("cc");
        compile
            .args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
            .arg(&new)
            .arg(source)
            .arg("-ldl");
        let done = compile.output().expect("a C compiler `cc`, which the workspace needs as well");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        fs::rename(&new, &library).expect("the library gets its name");
        library
    })
}
