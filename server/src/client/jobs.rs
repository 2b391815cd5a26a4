//! `catena reindex` and `catena job`: background work, and following it.

use std::time::Duration;

use anyhow::bail;
use catena_runtime::clock;
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use reqwest::Method;
use serde::Deserialize;

use super::Ended;
use super::connection::{AtTenant, ClientError, Connection};
use super::output::{Output, bar, clean, moment, or_dash, pairs, print, show, table};
use super::sse::Events;

/// How often a stream of events that told nothing new is asked for again before giving up.
const RECONNECTS: u32 = 10;
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
    /// Wait for a job's end and show how far it is. Fails when the job does.
    Follow(Named),
    /// Cancel a job. The index that answers is untouched.
    Cancel(Named),
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

#[derive(Debug, Clone, Deserialize)]
struct Progress {
    done: u64,
    total: u64,
}

#[derive(Debug, Clone, Deserialize)]
struct Job {
    id: String,
    kind: String,
    state: String,
    progress: Progress,
    note: String,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    error: Option<String>,
}

impl Job {
    fn pairs(self) -> String {
        pairs([
            ("job", self.id),
            ("kind", self.kind),
            ("state", self.state),
            ("progress", format!("{} of {}", self.progress.done, self.progress.total)),
            ("note", or_dash(Some(self.note))),
            ("created", moment(&self.created_at)),
            ("started", or_dash(self.started_at.as_deref().map(moment))),
            ("finished", or_dash(self.finished_at.as_deref().map(moment))),
            ("error", or_dash(self.error)),
        ])
    }

    fn is_over(&self) -> bool {
        matches!(self.state.as_str(), "succeeded" | "failed" | "cancelled")
    }
}

#[derive(Deserialize)]
struct Jobs {
    data: Vec<Job>,
}

fn listed(jobs: Jobs) -> String {
    let rows = jobs.data.into_iter().map(|job| {
        let progress = format!("{}/{}", job.progress.done, job.progress.total);
        [job.id, job.kind, job.state, progress, moment(&job.created_at), or_dash(Some(job.note))]
    });
    table(["job", "kind", "state", "progress", "created", "note"], rows)
}

pub(crate) async fn reindex(arguments: ReindexArguments) -> anyhow::Result<Ended> {
    let at = arguments.at;
    let server = at.connect()?;
    let answer = server.send(server.tenant(Method::POST, &at.tenant, &["reindex"])).await?;
    if !arguments.follow {
        show(at.output(), &answer, Job::pairs)?;
        return Ok(Ended::Done);
    }
    let job: Job = answer.read()?;
    follow(&server, &at, &job.id).await
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
        JobCommand::Cancel(Named { id, at }) => {
            let server = at.connect()?;
            let answer = server.send(server.tenant(Method::POST, &at.tenant, &["jobs", &id, "cancel"])).await?;
            show(at.output(), &answer, Job::pairs)?;
        }
        JobCommand::Follow(Named { id, at }) => return follow(&at.connect()?, &at, &id).await,
    }
    Ok(Ended::Done)
}

/// Follows a job to its end. The job does not depend on it: a stream that breaks is asked for again.
pub(super) async fn follow(server: &Connection, at: &AtTenant, id: &str) -> anyhow::Result<Ended> {
    let mut follow = Follow { server, at, id, bar: bar(0), told: String::new() };
    let mut fruitless = 0;
    let job = loop {
        let told = follow.told.clone();
        let broken = match follow.stream().await {
            Ok(Some(job)) => break job,
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
        let (done, total) = (job.progress.done, job.progress.total);
        print(format!("job {} {}: {done} of {total}, {}", job.id, job.state, clean(&job.note)).as_bytes())?;
    }
    match (job.state.as_str(), job.error) {
        ("succeeded", _) => Ok(Ended::Done),
        (_, Some(error)) => bail!("the job {}: {}", job.state, clean(&error)),
        (_, None) => Ok(Ended::Failed),
    }
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

    fn show(&mut self, text: String) -> anyhow::Result<Job> {
        let job: Job = serde_json::from_str(&text)?;
        if self.at.output() == Output::Json && text != self.told {
            print(text.as_bytes())?;
        }
        self.told = text;
        self.bar.set_length(job.progress.total);
        self.bar.set_position(job.progress.done);
        self.bar.set_message(clean(&job.note));
        Ok(job)
    }
}
