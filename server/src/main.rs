//! `catena`: one program for the service and for those who use it.
//!
//! `serve` runs the service, `doctor` says what it would find, `model` looks after embedding models, `backup` and `restore`
//! read and write where it keeps what it knows; every other command is a client of the HTTP API.

mod allowance;
mod app;
mod backup;
mod client;
mod demo;
mod doctor;
mod http;
mod mcp;
mod models;
mod oidc;
mod operator;
mod room;
mod serve;
mod settings;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use catena_domain::TenantId;
use clap::{Args, Parser, Subcommand};

use crate::doctor::Then;
use crate::settings::{Demo, Flags, Settings};

/// Budgeted, cited, access-checked context out of your documents.
#[derive(Debug, Parser)]
#[command(name = "catena", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service.
    Serve(ServeArguments),
    /// Say what is found, what is missing and how to mend it.
    Doctor(DoctorArguments),
    /// List, fetch, check and measure embedding models. Needs no running service.
    Model(models::ModelArguments),
    /// Write all that the service knows into one file, also while it runs. The file holds the installation's secret,
    /// unless it is of one tenant.
    Backup(backup::BackupArguments),
    /// Bring back what `catena backup` wrote, where no service runs; or only check the file.
    Restore(backup::RestoreArguments),
    #[command(flatten)]
    Client(client::ClientCommand),
}

#[derive(Debug, Args)]
struct ServeArguments {
    /// The file with settings, instead of catena.toml in this folder.
    #[arg(long, env = "CATENA_CONFIG")]
    config: Option<PathBuf>,
    /// The folder that holds everything the service knows; made if it is not there.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Keep the catalog in PostgreSQL: postgres://USER:PASSWORD@HOST:PORT/DATABASE, with a role that owns nothing.
    #[arg(long, value_name = "URL")]
    catalog: Option<String>,
    /// The same as the role that owns the schema, to bring it up to date at this start.
    #[arg(long, value_name = "URL")]
    catalog_owner: Option<String>,
    /// Where to listen; only this machine reaches the default, 127.0.0.1:8080.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Load the demo tenants at the first start and print a command for each kind of user.
    #[arg(long)]
    demo: bool,
}

#[derive(Debug, Args)]
struct DoctorArguments {
    #[command(flatten)]
    serve: ServeArguments,
    /// Hold every tenant's index against the catalog and read every byte of it, also beside a service that runs.
    #[arg(long)]
    verify: bool,
    /// Verify, and bring back from the catalog what is missing. No service may run on the data.
    #[arg(long)]
    repair: bool,
    /// Verify this tenant alone.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
}

impl ServeArguments {
    fn settings(self) -> anyhow::Result<Settings> {
        let demo = if self.demo { Demo::On } else { Demo::Off };
        let Self { config, data, catalog, catalog_owner, listen, .. } = self;
        Settings::gather(Flags { config, data, catalog, catalog_owner, listen, demo })
    }
}

fn main() -> ExitCode {
    // A reader is a process of its own, and has neither threads nor settings.
    catena_formats::serve_if_called().unwrap_or_else(program)
}

#[tokio::main]
async fn program() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn examine(arguments: DoctorArguments) -> anyhow::Result<ExitCode> {
    let DoctorArguments { serve, verify, repair, tenant } = arguments;
    let settings = serve.settings()?;
    let tenant = tenant.as_deref().map(TenantId::new).transpose()?;
    match (verify, repair) {
        (_, true) => doctor::verify(&settings, tenant.as_ref(), Then::Repair).await,
        (true, false) => doctor::verify(&settings, tenant.as_ref(), Then::Report).await,
        (false, false) if tenant.is_some() => bail!("--tenant goes with --verify or --repair"),
        (false, false) => doctor::run(&settings).await,
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(arguments) => {
            serve::run(arguments.settings()?).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor(arguments) => examine(arguments).await,
        Command::Model(arguments) => models::run(arguments).await,
        Command::Backup(arguments) => backup::backup(arguments).await,
        Command::Restore(arguments) => backup::restore(arguments).await,
        Command::Client(command) => client::run(command).await,
    }
}
