//! `catena import`: many documents in one file, one JSON envelope with its `id` in each line.
//!
//! Promises: the file is sent as it is, a part at a time; nothing of it is looked at here. Does not: split a file that is
//! larger than one import may be.

use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use reqwest::{Body, Method};
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use super::connection::AtTenant;
use super::{Ended, jobs};

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The file (NDJSON), or `-` for standard input. Each line is the JSON of one document as the API takes it, with its
    /// `id`; or `{"id": "…", "delete": true}`.
    file: PathBuf,
    /// Wait for the end and show how far it is. Fails when documents failed.
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    at: AtTenant,
}

pub(crate) async fn run(arguments: ImportArguments) -> anyhow::Result<Ended> {
    let ImportArguments { file, follow, at } = arguments;
    let opened = if file.as_os_str() == "-" {
        io::stdin().as_fd().try_clone_to_owned().map(|stdin| File::from_std(stdin.into()))
    } else {
        File::open(&file).await
    };
    let lines = opened.with_context(|| format!("{} cannot be read", file.display()))?;
    let server = at.connect()?;
    let request = server
        .tenant(Method::POST, &at.tenant, &["documents:batch"])
        .header("content-type", "application/x-ndjson")
        .body(Body::wrap_stream(ReaderStream::new(lines)));
    let answer = server.send(request).await?;
    jobs::begun(&server, &at, &answer, follow).await
}
