//! `catena audit`: taking the record away, and checking it without trusting who kept it.
//!
//! Promises: an export holds the leaves' bytes as they were hashed, one a line; a check names the first leaf that is not
//! as it was. Does not: notice, without a head that was kept elsewhere, that a whole chain was written anew.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use catena_audit::{Finding, LEAF_BYTES_MAX, LeafHash, LeafRef, Summary, Verifier};
use catena_catalog::Database;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;

use super::Ended;
use super::connection::{ClientError, Connection, ServerArguments};
use super::output::{note, print};
use crate::http::wire;
use crate::settings::database;

/// Leaves of one page.
const PAGE_LEAVES: u64 = 500;

/// What can be done with the record.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Write a tenant's leaves to standard output, one JSON object a line, exactly as they were hashed.
    Export(Export),
    /// Check a record offline: an exported file, or all chains of a data folder, also while a service runs on it.
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The tenant.
    #[arg(long, env = "CATENA_TENANT")]
    tenant: String,
    /// Write the chain's head to this file. Keep it where whoever keeps the record cannot change it.
    #[arg(long, value_name = "FILE")]
    head: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// A file that `audit export` wrote.
    #[arg(required_unless_present_any = ["data", "catalog"], conflicts_with_all = ["data", "catalog"])]
    file: Option<PathBuf>,
    /// The chain's head at the time of the export, as `audit export --head` wrote it.
    #[arg(long, value_name = "FILE", requires = "file")]
    head: Option<PathBuf>,
    /// A service's data folder.
    #[arg(long, value_name = "FOLDER", conflicts_with = "catalog")]
    data: Option<PathBuf>,
    /// The address of a service's catalog in PostgreSQL.
    #[arg(long, value_name = "URL")]
    catalog: Option<String>,
}

#[derive(Deserialize)]
struct Head {
    leaf: u64,
    hash: String,
}

impl Head {
    fn read(text: &[u8]) -> anyhow::Result<LeafRef> {
        let head: Self = serde_json::from_slice(text)?;
        Ok(LeafRef { index: head.leaf, hash: head.hash.parse()? })
    }
}

pub(crate) async fn run(command: AuditCommand) -> anyhow::Result<Ended> {
    match command {
        AuditCommand::Export(arguments) => export(arguments).await,
        AuditCommand::Verify(Verify { catalog: Some(catalog), .. }) => {
            let found = catena_catalog::verify_record(Path::new(""), &database(Some(catalog), None)?).await;
            told(found.context("the record in that database cannot be read")?)
        }
        AuditCommand::Verify(Verify { data: Some(data), .. }) => {
            let found = catena_catalog::verify_record(&data, &Database::Embedded).await;
            let chains = found.with_context(|| format!("the record in {} cannot be read", data.display()))?;
            told(chains)
        }
        AuditCommand::Verify(Verify { file, head, .. }) => {
            let file = file.context("name a file, or a folder with --data")?;
            let head = match head {
                Some(path) => Some(read_head(&path)?),
                None => {
                    note("no head was given: leaves cut off at the end would not be noticed");
                    None
                }
            };
            let reader =
                BufReader::new(File::open(&file).with_context(|| format!("{} cannot be read", file.display()))?);
            told(vec![verify(reader, head)?])
        }
    }
}

async fn export(arguments: Export) -> anyhow::Result<Ended> {
    let Export { tenant, head: head_file, server } = arguments;
    let server = Connection::open(&server)?;
    // The head comes first: reading the record is itself recorded, so the chain grows behind it.
    let answer = server.send(server.tenant(Method::GET, &tenant, &["audit", "head"])).await?;
    let head = Head::read(&answer.body).context("the head is not understood")?;
    let total = head.index.saturating_add(1);
    let mut from = 0;
    while from < total {
        let limit = PAGE_LEAVES.min(total - from);
        let request = server.tenant(Method::GET, &tenant, &["audit", "leaves"]);
        let page = server.send(request.query(&[("from", from), ("limit", limit)])).await?;
        let leaves = page.body.iter().filter(|&&byte| byte == b'\n').count() as u64;
        if leaves == 0 {
            let what = format!("the service gave no leaf {from}, but its head is leaf {}", head.index);
            return Err(ClientError::Odd { what }.into());
        }
        print(&page.body)?;
        from += leaves;
    }
    if let Some(path) = head_file {
        std::fs::write(&path, &answer.body).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    note(&format!("{total} leaves; the head is leaf {} {}", head.index, head.hash));
    Ok(Ended::Done)
}

fn read_head(path: &Path) -> anyhow::Result<LeafRef> {
    let text = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Head::read(&text).with_context(|| format!("{} is no head", path.display()))
}

/// A chain's name, and what was found in it.
type Checked = (String, Result<Summary, Finding>);

/// Checks the leaves of an exported file. Without a head, the last leaf stands for it.
fn verify(mut leaves: impl std::io::BufRead, head: Option<LeafRef>) -> anyhow::Result<Checked> {
    let mut verifier: Option<(String, Verifier)> = None;
    let mut last = None;
    let mut index = 0;
    loop {
        let mut line = Vec::new();
        let read = leaves.by_ref().take(LEAF_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        let bytes = line.strip_suffix(b"\n").unwrap_or(&line);
        let (chain, verifier) = verifier.get_or_insert_with(|| {
            let chain = chain_of(bytes);
            (chain.clone(), Verifier::new(chain))
        });
        if let Err(finding) = verifier.leaf(bytes) {
            return Ok((chain.clone(), Err(finding)));
        }
        last = Some(LeafRef { index, hash: LeafHash::of(bytes) });
        index += 1;
    }
    let (chain, verifier) = verifier.context("the file holds no leaves")?;
    Ok((chain, verifier.finish(head.or(last))))
}

/// The chain that the first leaf says it belongs to.
fn chain_of(leaf: &[u8]) -> String {
    #[derive(Deserialize)]
    struct First {
        chain: String,
    }
    serde_json::from_slice(leaf).map_or_else(|_| "the chain".to_owned(), |first: First| first.chain)
}

/// Prints a line for each chain.
fn told(chains: Vec<Checked>) -> anyhow::Result<Ended> {
    let mut ended = Ended::Done;
    for (chain, found) in chains {
        if found.is_err() {
            ended = Ended::Failed;
        }
        print(line(&chain, &found).as_bytes())?;
    }
    Ok(ended)
}

fn line(chain: &str, found: &Result<Summary, Finding>) -> String {
    match found {
        Ok(summary) if summary.leaves == 0 => format!("{chain}: no leaves so far"),
        Ok(summary) => {
            let time = |at: Option<_>| at.map_or_else(|| "-".to_owned(), wire::time);
            let head =
                summary.head.map_or_else(|| "none".to_owned(), |head| format!("leaf {} {}", head.index, head.hash));
            let (first, last) = (time(summary.first_at), time(summary.last_at));
            format!("{chain}: {} leaves are as they were written, from {first} to {last}; head {head}", summary.leaves)
        }
        Err(finding) => format!("{chain}: DAMAGED: {finding}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_audit::{Chain, Draft, seal};
    use catena_domain::{TenantId, Timestamp};

    fn chain(leaves: u64) -> (Vec<Vec<u8>>, LeafRef) {
        let tenant = TenantId::new("acme").unwrap();
        let mut last = LeafRef { index: 0, hash: LeafHash::GENESIS };
        let mut all = Vec::new();
        for index in 0..leaves {
            let draft = Draft::new(format!("r{index}"), "search");
            let sealed = seal(Chain::Tenant(&tenant), index, Timestamp(0), &last.hash, &draft);
            last = LeafRef { index, hash: sealed.hash };
            all.push(sealed.bytes);
        }
        (all, last)
    }

    fn checked(leaves: &[Vec<u8>], head: Option<LeafRef>) -> String {
        let (chain, found) = verify(leaves.join(&b'\n').as_slice(), head).unwrap();
        line(&chain, &found)
    }

    #[test]
    fn an_export_that_nobody_touched_is_found_whole() {
        let (leaves, head) = chain(3);
        let line = checked(&leaves, Some(head));
        assert!(line.starts_with("tenant:acme: 3 leaves are as they were written"), "{line}");
        assert!(line.contains(&head.hash.to_string()), "{line}");
    }

    #[test]
    fn a_finding_names_the_leaf() {
        let (leaves, head) = chain(4);
        let without_one = [&leaves[..1], &leaves[2..]].concat();
        assert!(checked(&without_one, Some(head)).contains("DAMAGED: leaf 1 of tenant:acme is missing"));
        let mut changed = leaves.clone();
        changed[2] = String::from_utf8(changed[2].clone()).unwrap().replace("r2", "r9").into_bytes();
        assert!(checked(&changed, Some(head)).contains("DAMAGED: leaf 2"));
        assert!(checked(&leaves[..3], Some(head)).contains("DAMAGED"), "a cut-off end is found by the head");
        assert!(!checked(&leaves[..3], None).contains("DAMAGED"), "and only by it");
    }

    #[test]
    fn a_line_that_is_longer_than_any_leaf_is_no_leaf() {
        let long = vec![b'x'; LEAF_BYTES_MAX * 2];
        assert!(checked(&[long], None).contains("DAMAGED"));
        assert!(verify(&b""[..], None).is_err());
    }
}
