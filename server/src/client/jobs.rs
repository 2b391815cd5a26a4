//! `catena reindex` and `catena job`: background work, following it, and what can be asked of it.

use std::time::Duration;

use anyhow::bail;
use catena_runtime::clock;
use clap::{Args, Subcommand};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use reqwest::Method;
use serde::Deserialize;

use super::Ended;
use super::connection::{Answer, AtTenant, ClientError, Connection};
use super::output::{Output, bar, clean, moment, note, or_dash, pairs, print, show, table};
use super::sse::Events;

/// How often a stream of events that told nothing new is asked for again before giving up.
const RECONNECTS: u32 = 10;
/// The refusal of a stream of events that says to look oneself.
const TOO_MANY_STREAMS: &str = "too-many-streams";
/// The pause before each.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct ReindexArguments {
    /// Wait for the end and show how far it is.
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    at: AtTenant,
}

/// What can be done with jobs.
#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// List the latest jobs.
    List(List),
    /// Show a job.
    Show(Named),
    /// Wait for a job's end and show how far it is. Fails when the job does, or when documents of it failed.
    Follow(Named),
    /// Pause a job: at once when it waits, at its next step when it runs.
    Pause(Named),
    /// Let a paused job go on from where it was.
    Resume(Named),
    /// Cancel a job. What it has done stays.
    Cancel(Named),
    /// Try again what a job could not do, as a new job.
    Retry(Named),
    /// Approve what a held job would do.
    Approve(Approve),
    /// Refuse what a held job would do: it is cancelled.
    Refuse(Named),
    /// List the documents that a job could not do, each with its reason.
    Failures(Failures),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The job's id.
    id: String,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Args)]
pub(crate) struct Approve {
    /// The job's id.
    id: String,
    /// The digest of the plan that is approved, as `catena job show` says it.
    digest: String,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Args)]
pub(crate) struct Failures {
    /// The job's id.
    id: String,
    /// The `next` of the page before.
    #[arg(long)]
    after: Option<String>,
    #[command(flatten)]
    at: AtTenant,
}

#[derive(Debug, Clone, Deserialize)]
struct Count {
    done: u64,
    total: u64,
}

impl Count {
    /// How many are done, of how many if that is known.
    fn text(&self) -> String {
        if self.total == 0 { self.done.to_string() } else { format!("{} of {}", self.done, self.total) }
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Tally {
    documents: Count,
    chunks: Count,
    tokens: Count,
}

#[derive(Debug, Clone, Deserialize)]
struct Rate {
    chunks: f64,
    tokens: f64,
}

#[derive(Debug, Clone, Deserialize)]
struct Approval {
    plan: serde_json::Value,
    digest: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Job {
    id: String,
    kind: String,
    subject: Option<String>,
    state: String,
    tally: Tally,
    rate: Option<Rate>,
    eta_seconds: Option<u64>,
    failed_documents: u64,
    approval: Option<Approval>,
    note: String,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    error: Option<String>,
}

impl Job {
    fn pairs(self) -> String {
        let speed = self.speed();
        pairs([
            ("job", self.id),
            ("kind", self.kind),
            ("subject", or_dash(self.subject)),
            ("state", self.state),
            ("documents", self.tally.documents.text()),
            ("failed", self.failed_documents.to_string()),
            ("chunks", self.tally.chunks.text()),
            ("tokens", self.tally.tokens.text()),
            ("speed", or_dash(speed)),
            ("note", or_dash(Some(self.note))),
            ("created", moment(&self.created_at)),
            ("started", or_dash(self.started_at.as_deref().map(moment))),
            ("finished", or_dash(self.finished_at.as_deref().map(moment))),
            ("error", or_dash(self.error)),
            ("plan", or_dash(self.approval.as_ref().map(|approval| approval.plan.to_string()))),
            ("digest", or_dash(self.approval.map(|approval| approval.digest))),
        ])
    }

    /// How fast it goes, and how long that takes.
    fn speed(&self) -> Option<String> {
        let Rate { chunks, tokens } = self.rate.as_ref()?;
        let eta = self.eta_seconds.map(|seconds| format!(", {} left", HumanDuration(Duration::from_secs(seconds))));
        Some(format!("{chunks:.0} chunks/s, {tokens:.0} tokens/s{}", eta.unwrap_or_default()))
    }

    fn is_over(&self) -> bool {
        matches!(self.state.as_str(), "succeeded" | "failed" | "cancelled")
    }

    /// One line of how it stands.
    fn line(&self) -> String {
        let failed = match self.failed_documents {
            0 => String::new(),
            failed => format!(", {failed} FAILED"),
        };
        let Self { id, state, tally, note, .. } = self;
        format!("job {id} {state}: {} documents{failed}, {}", tally.documents.text(), clean(note))
    }
}

#[derive(Deserialize)]
struct Jobs {
    data: Vec<Job>,
}

fn listed(jobs: Jobs) -> String {
    let rows = jobs.data.into_iter().map(|job| {
        let about = or_dash(job.subject.clone());
        let documents = format!("{}/{}", job.tally.documents.done, job.tally.documents.total);
        let failed = job.failed_documents.to_string();
        [job.id, job.kind, about, job.state, documents, failed, moment(&job.created_at), or_dash(Some(job.note))]
    });
    table(["job", "kind", "subject", "state", "documents", "failed", "created", "note"], rows)
}

#[derive(Deserialize)]
struct Failure {
    document: String,
    reason: String,
}

#[derive(Deserialize)]
struct FailurePage {
    data: Vec<Failure>,
    next: Option<String>,
}

fn failed(page: FailurePage) -> String {
    let rows = page.data.into_iter().map(|failure| [failure.document, failure.reason]);
    let text = table(["document", "reason"], rows);
    match page.next {
        Some(next) => format!("{text}\n\nmore follow: --after '{}'", clean(&next)),
        None => text,
    }
}

pub(crate) async fn reindex(arguments: ReindexArguments) -> anyhow::Result<Ended> {
    let at = arguments.at;
    let server = at.connect()?;
    let answer = server.send(server.tenant(Method::POST, &at.tenant, &["reindex"])).await?;
    begun(&server, &at, &answer, arguments.follow).await
}

/// Shows a job that was asked for, or follows it.
pub(super) async fn begun(
    server: &Connection,
    at: &AtTenant,
    answer: &Answer,
    is_followed: bool,
) -> anyhow::Result<Ended> {
    if !is_followed {
        show(at.output(), answer, Job::pairs)?;
        return Ok(Ended::Done);
    }
    let job: Job = answer.read()?;
    follow(server, at, &job.id).await
}

pub(crate) async fn run(command: JobCommand) -> anyhow::Result<Ended> {
    match command {
        JobCommand::List(List { at }) => {
            let server = at.connect()?;
            let answer = server.send(server.tenant(Method::GET, &at.tenant, &["jobs"])).await?;
            show(at.output(), &answer, listed)?;
        }
        JobCommand::Show(Named { id, at }) => {
            let server = at.connect()?;
            let answer = server.send(server.tenant(Method::GET, &at.tenant, &["jobs", &id])).await?;
            show(at.output(), &answer, Job::pairs)?;
        }
        JobCommand::Failures(Failures { id, after, at }) => {
            let server = at.connect()?;
            let request = server.tenant(Method::GET, &at.tenant, &["jobs", &id, "failures"]);
            let answer = server.send(request.query(&after.map(|after| [("after", after)]))).await?;
            show(at.output(), &answer, failed)?;
        }
        JobCommand::Follow(Named { id, at }) => return follow(&at.connect()?, &at, &id).await,
        JobCommand::Pause(named) => wish(named, "pause").await?,
        JobCommand::Resume(named) => wish(named, "resume").await?,
        JobCommand::Cancel(named) => wish(named, "cancel").await?,
        JobCommand::Retry(named) => wish(named, "retry").await?,
        JobCommand::Refuse(named) => wish(named, "refuse").await?,
        JobCommand::Approve(Approve { id, digest, at }) => {
            let server = at.connect()?;
            let request = server.tenant(Method::POST, &at.tenant, &["jobs", &id, "approve"]);
            let answer = server.send(request.json(&serde_json::json!({ "digest": digest }))).await?;
            show(at.output(), &answer, Job::pairs)?;
        }
    }
    Ok(Ended::Done)
}

/// Asks something of a job.
async fn wish(named: Named, what: &str) -> anyhow::Result<()> {
    let Named { id, at } = named;
    let server = at.connect()?;
    let answer = server.send(server.tenant(Method::POST, &at.tenant, &["jobs", &id, what])).await?;
    show(at.output(), &answer, Job::pairs)
}

/// Follows a job to its end. The job does not depend on it: a stream that breaks is asked for again.
pub(super) async fn follow(server: &Connection, at: &AtTenant, id: &str) -> anyhow::Result<Ended> {
    let mut follow = Follow { server, at, id, bar: job_bar(), told: String::new() };
    let mut fruitless = 0;
    let job = loop {
        let told = follow.told.clone();
        let broken = match follow.stream().await {
            Ok(Some(job)) => break job,
            Err(Broken::Perhaps(ClientError::Refused(refusal))) if refusal.is(TOO_MANY_STREAMS) => {
                match follow.look().await {
                    Ok(Some(job)) => break job,
                    Ok(None) => {
                        fruitless = 0;
                        clock::pause(PAUSE).await;
                        continue;
                    }
                    Err(Broken::Hopeless(error)) => return Err(error),
                    Err(Broken::Perhaps(error)) => error,
                }
            }
            Ok(None) => ClientError::Odd { what: "the service ends the stream of events again and again".to_owned() },
            Err(Broken::Hopeless(error)) => return Err(error),
            Err(Broken::Perhaps(error)) => error,
        };
        fruitless = if follow.told == told { fruitless + 1 } else { 0 };
        if fruitless > RECONNECTS {
            return Err(broken.into());
        }
        clock::pause(PAUSE).await;
    };
    follow.bar.finish_and_clear();
    if at.output() == Output::Table {
        print(job.line().as_bytes())?;
    }
    match (job.state.as_str(), job.error) {
        ("succeeded", _) if job.failed_documents > 0 => {
            note(&format!("`catena job failures {}` says which documents failed, and why", clean(&job.id)));
            Ok(Ended::Failed)
        }
        ("succeeded", _) => Ok(Ended::Done),
        (_, Some(error)) => bail!("the job {}: {}", job.state, clean(&error)),
        (_, None) => Ok(Ended::Failed),
    }
}

/// A bar whose speed is the job's own, not this stream's.
fn job_bar() -> ProgressBar {
    let bar = bar(0);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar
}

/// Why a stream gave no end of the job.
enum Broken {
    /// It may work again.
    Perhaps(ClientError),
    /// It will not.
    Hopeless(anyhow::Error),
}

impl From<ClientError> for Broken {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(refusal) if !refusal.status.is_server_error() => {
                Self::Hopeless(ClientError::Refused(refusal).into())
            }
            error => Self::Perhaps(error),
        }
    }
}

struct Follow<'a> {
    server: &'a Connection,
    at: &'a AtTenant,
    id: &'a str,
    bar: ProgressBar,
    /// The last state that was shown.
    told: String,
}

impl Follow<'_> {
    /// Shows the events of one stream. The job, once it is over; nothing when the stream ended before.
    async fn stream(&mut self) -> Result<Option<Job>, Broken> {
        let request = self.server.tenant(Method::GET, &self.at.tenant, &["jobs", self.id, "events"]);
        let mut response = self.server.begin(request.header("accept", "text/event-stream")).await?;
        let mut events = Events::default();
        let broken = |_| ClientError::Odd { what: "the stream of events broke off".to_owned() };
        while let Some(bytes) = response.chunk().await.map_err(broken)? {
            for event in events.feed(&bytes).map_err(|error| Broken::Hopeless(error.into()))? {
                let job = self.show(event.data).map_err(Broken::Hopeless)?;
                if job.is_over() {
                    return Ok(Some(job));
                }
            }
        }
        Ok(None)
    }

    /// Shows how the job stands, where there is no stream. The job, once it is over.
    async fn look(&mut self) -> Result<Option<Job>, Broken> {
        let answer = self.server.send(self.server.tenant(Method::GET, &self.at.tenant, &["jobs", self.id])).await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let job = self.show(text).map_err(Broken::Hopeless)?;
        Ok(job.is_over().then_some(job))
    }

    fn show(&mut self, text: String) -> anyhow::Result<Job> {
        let job: Job = serde_json::from_str(&text)?;
        if self.at.output() == Output::Json && text != self.told {
            print(text.as_bytes())?;
        }
        if job.state == "held" && text != self.told {
            note(&format!("the job waits for an approval: `catena job show {}` says of what", clean(&job.id)));
        }
        self.told = text;
        self.bar.set_length(job.tally.documents.total);
        self.bar.set_position(job.tally.documents.done);
        let speed = job.speed().map(|speed| format!("{speed}; ")).unwrap_or_default();
        self.bar.set_message(format!("documents; {speed}{}", clean(&job.note)));
        Ok(job)
    }
}
