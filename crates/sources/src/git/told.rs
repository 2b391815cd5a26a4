//! What a look tells of a commit: each of its documents, or what differs from an older commit.
//!
//! Promises: what is no document is skipped with its reason, and told as gone where it may have been one. Does not: fetch.

use catena_domain::{DocumentId, Timestamp};
use catena_text::Format;

use super::Repository;
use super::command::Git;
use super::listing::{self, Difference, Entry, Kind};
use crate::access::{Decider, Speaks};
use crate::error::SourceError;
use crate::events::Emit;
use crate::{Coverage, Event, Item};

/// Largest listing of one commit, in bytes.
const LISTING_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// A look that tells what it finds.
pub(super) struct Told<'a> {
    pub(super) source: &'a Repository,
    pub(super) git: &'a Git,
    pub(super) emit: &'a Emit,
    pub(super) decider: &'a Decider,
}

impl Told<'_> {
    pub(super) async fn everything(&self, commit: &str) -> Result<Coverage, SourceError> {
        let tree = self.source.tree(commit);
        let said = self.git.run(&["ls-tree", "-r", "-z", "-l", "--full-tree", &tree], LISTING_BYTES_MAX).await?;
        for record in said.split(|&byte| byte == 0).filter(|record| !record.is_empty()) {
            let entry = listing::entry(record).ok_or_else(|| self.git.failed("git lists a tree in no known form"))?;
            match self.document(&entry) {
                Ok(id) => self.found(id, entry, None, None).await?,
                Err(reason) => self.skipped(&entry.path, reason).await?,
            }
        }
        Ok(Coverage::Everything)
    }

    pub(super) async fn differences(&self, old: &str, new: &str) -> Result<Coverage, SourceError> {
        let (from, to) = (self.source.tree(old), self.source.tree(new));
        let compare = ["diff-tree", "-r", "-z", "--raw", "--full-index", "-M100%", "--no-commit-id", &from, &to];
        let said = self.git.run(&compare, LISTING_BYTES_MAX).await?;
        let differences = listing::differences(&said);
        let differences = differences.ok_or_else(|| self.git.failed("git compares trees in no known form"))?;
        let time = self.time(new).await;
        for difference in differences {
            match difference {
                Difference::There(entry) => self.there(entry, None, time).await?,
                Difference::Moved { from, to } => self.there(to, Some(from), time).await?,
                Difference::Gone(path) => self.gone(&path).await?,
            }
        }
        Ok(Coverage::SinceCursor)
    }

    async fn there(&self, entry: Entry, from: Option<Vec<u8>>, time: Option<Timestamp>) -> Result<(), SourceError> {
        match self.document(&entry) {
            Ok(id) => {
                let from = from.and_then(|from| self.document(&Entry { path: from, ..entry.clone() }).ok());
                self.found(id, entry, from, time).await
            }
            // It may have been one before: a file that became a link, or moved to where it is not wanted.
            Err(reason) => {
                self.gone(&entry.path).await?;
                if let Some(from) = from {
                    self.gone(&from).await?;
                }
                self.skipped(&entry.path, reason).await
            }
        }
    }

    async fn found(
        &self,
        id: DocumentId,
        entry: Entry,
        moved_from: Option<DocumentId>,
        modified_at: Option<Timestamp>,
    ) -> Result<(), SourceError> {
        let access = self.decider.listed(id.as_str(), Speaks::InFrontMatter);
        let tag = entry.blob + &self.decider.mark(id.as_str(), Speaks::InFrontMatter);
        let item = Item { id, tag, bytes: entry.bytes, modified_at, moved_from, access };
        self.emit.send(Event::Found(item)).await
    }

    async fn gone(&self, path: &[u8]) -> Result<(), SourceError> {
        match std::str::from_utf8(path).ok().and_then(|path| DocumentId::new(path).ok()) {
            Some(id) => self.emit.send(Event::Gone(id)).await,
            None => Ok(()),
        }
    }

    async fn skipped(&self, path: &[u8], reason: &str) -> Result<(), SourceError> {
        let name = String::from_utf8_lossy(path).chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
        self.emit.send(Event::Skipped { name, reason: reason.to_owned() }).await
    }

    /// The id of an entry that is a document, or why it is none.
    fn document(&self, entry: &Entry) -> Result<DocumentId, &'static str> {
        match entry.kind {
            Kind::File => {}
            Kind::Link => return Err("it is a link; links are not followed"),
            Kind::Submodule => return Err("it is a submodule; make a source of its own for it"),
        }
        let path = std::str::from_utf8(&entry.path).map_err(|_| "its name is not UTF-8")?;
        if path.split('/').any(|part| part.starts_with('.')) {
            return Err("it is hidden");
        }
        if Format::from_path(path).is_none() {
            return Err("its ending is none that is read");
        }
        if !self.source.globs.want(path) {
            return Err("the source's include and exclude leave it out");
        }
        DocumentId::new(path).map_err(|_| "its name is too long, or holds characters that are not visible")
    }

    /// When a commit was made, as it says itself.
    async fn time(&self, commit: &str) -> Option<Timestamp> {
        let said = self.git.run(&["show", "--no-patch", "--format=%ct", commit], 4_096).await.ok()?;
        let seconds: i64 = String::from_utf8_lossy(&said).trim().parse().ok()?;
        Some(Timestamp(seconds.checked_mul(1_000_000)?))
    }
}
