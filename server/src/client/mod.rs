//! The client commands: everything that `catena` does over the HTTP API, and checking the record offline.
//!
//! Promises: tables for people, the server's own bytes for programs (`--json`); a refusal is one line that says what to
//! do; exit codes are 0 for done, 1 for failed and 2 for a command that makes no sense. Does not: know anything that the
//! API does not say, or keep anything between two commands.

mod audit;
mod bridge;
mod connection;
mod documents;
mod explain;
mod firewall;
mod groups;
mod import;
mod ingest;
mod jobs;
mod keys;
mod labels;
pub(crate) mod output;
mod plans;
mod quarantine;
mod search;
mod sources;
mod sse;
mod tenants;

use std::io;
use std::process::ExitCode;

use clap::Subcommand;

pub(crate) use output::bar as progress_bar;

/// The commands that are clients of the service.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Make, list, show, change, suspend and delete tenants. Needs the operator's key.
    #[command(subcommand)]
    Tenant(tenants::TenantCommand),
    /// Make, replace, list and revoke a tenant's keys.
    #[command(subcommand)]
    Key(keys::KeyCommand),
    /// Set, list, show and delete a tenant's groups.
    #[command(subcommand)]
    Group(groups::GroupCommand),
    /// Set and list a tenant's clearance labels.
    #[command(subcommand)]
    Label(labels::LabelCommand),
    /// List the documents that nobody may see, because their access list is unknown.
    Quarantine(quarantine::QuarantineArguments),
    /// Say what is done about secrets, personal data and text to a model, and decide about what is kept back.
    #[command(subcommand)]
    Firewall(firewall::FirewallCommand),
    /// Write a folder of documents, or one document, into a tenant.
    Ingest(ingest::IngestArguments),
    /// Write and delete many documents out of one file, as a job.
    Import(import::ImportArguments),
    /// Read, list and delete documents, and change who may see them.
    #[command(subcommand)]
    Document(documents::DocumentCommand),
    /// Search: ranked passages.
    Search(Box<search::SearchArguments>),
    /// Ask for a context: the best passages that fit a token budget, with citations.
    Context(Box<search::ContextArguments>),
    /// Explain to an administrator why a document is, or is not, in somebody's answer.
    Explain(Box<explain::ExplainArguments>),
    /// Make, change, plan, sync and remove a tenant's sources: places where its documents live.
    #[command(subcommand)]
    Source(sources::SourceCommand),
    /// Build a tenant's index anew from its stored texts, while searches go on.
    Reindex(jobs::ReindexArguments),
    /// List, show, follow, pause, resume, cancel, approve and try again background jobs.
    #[command(subcommand)]
    Job(jobs::JobCommand),
    /// Export and check the audit record.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Speak MCP on standard input and output, for agents that start their servers themselves.
    Mcp(bridge::BridgeArguments),
}

/// How a command ended that did not break off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All was done.
    Done,
    /// Something of it was not, and was named.
    Failed,
}

/// Runs a client command.
pub(crate) async fn run(command: ClientCommand) -> anyhow::Result<ExitCode> {
    let ended = match command {
        ClientCommand::Tenant(command) => tenants::run(command).await,
        ClientCommand::Key(command) => keys::run(command).await,
        ClientCommand::Group(command) => groups::run(command).await,
        ClientCommand::Label(command) => labels::run(command).await,
        ClientCommand::Quarantine(arguments) => quarantine::run(arguments).await,
        ClientCommand::Firewall(command) => firewall::run(command).await,
        ClientCommand::Ingest(arguments) => ingest::run(arguments).await,
        ClientCommand::Import(arguments) => import::run(arguments).await,
        ClientCommand::Document(command) => documents::run(command).await,
        ClientCommand::Search(arguments) => search::search(*arguments).await,
        ClientCommand::Context(arguments) => search::context(*arguments).await,
        ClientCommand::Explain(arguments) => explain::run(*arguments).await,
        ClientCommand::Source(command) => sources::run(command).await,
        ClientCommand::Reindex(arguments) => jobs::reindex(arguments).await,
        ClientCommand::Job(command) => jobs::run(command).await,
        ClientCommand::Audit(command) => audit::run(command).await,
        ClientCommand::Mcp(arguments) => bridge::run(arguments).await,
    };
    code(ended)
}

/// The exit code of a command that ended so.
pub(crate) fn code(ended: anyhow::Result<Ended>) -> anyhow::Result<ExitCode> {
    match ended {
        Ok(Ended::Done) => Ok(ExitCode::SUCCESS),
        Ok(Ended::Failed) => Ok(ExitCode::FAILURE),
        // Whoever read our output has read enough, as `head` does.
        Err(error)
            if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) =>
        {
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(error),
    }
}
