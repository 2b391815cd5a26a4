//! Doing what the comparison found: many documents at once, what is known of them written down along the way.

use std::time::Duration;

use catena_access::Scope;
use catena_audit::Object;
use catena_catalog::{CatalogError, Expect, SourceItem};
use catena_domain::{DocumentId, SourceName};
use catena_runtime::clock::Stopwatch;
use catena_sources::SourceError;
use futures::StreamExt as _;
use futures::future::BoxFuture;

use super::compare::{ToRead, ToRestate, Work};
use super::held::Held;
use super::look::Look;
use super::one::{Again, Became, Done};
use super::{AT_ONCE, Syncing, known_beside};
use crate::progress::{Interrupted, Progress};
use crate::{Ingest, IngestError};

/// Rows that wait, at most, before they are written down.
const PENDING_MAX: usize = 64;
/// How long they wait, and how often a job says how far it is.
const SAID_EVERY: Duration = Duration::from_millis(500);
/// So many fetches in a row that fail for want of the source mean that the source is away.
const AWAY_AFTER: usize = 50;

/// One piece of the work.
enum Piece {
    Read(Box<ToRead>),
    Restate(Box<ToRestate>),
}

impl Syncing<'_> {
    /// Does all that no guard holds, and says what is held.
    pub(super) async fn apply(&self, work: Work, look: &Look) -> Result<Held, Interrupted> {
        let Work { read, restate, moved, gone, skipped, unchanged, written } = work;
        {
            let mut totals = self.totals.lock().await;
            totals.unchanged = unchanged;
            totals.skipped = look.skipped_count;
            totals.documents.1 = (read.len() + restate.len() + gone.len()) as u64;
        }
        let mut left = self.apply_moves(moved).await?;
        let pieces = restate.into_iter().map(|piece| Piece::Restate(Box::new(piece)));
        let pieces = pieces.chain(read.into_iter().map(|piece| Piece::Read(Box::new(piece))));
        let mut held = self.apply_pieces(pieces.collect()).await?;
        left.extend(self.leaving.rest());
        let rows_only = gone.into_iter().filter(|item| item.bytes_sha256.is_none()).map(|item| item.id);
        {
            let mut pending = self.pending.lock().await;
            pending.gone.extend(rows_only);
            pending.kept.extend(skipped);
        }
        left.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        if self.guards.hold_deletes(left.len(), written) {
            self.totals.lock().await.withheld += left.len() as u64;
            held.deletes = left.into_iter().map(|item| item.id).collect();
        } else {
            self.delete(left.into_iter().map(|item| item.id).collect()).await?;
        }
        held.sort();
        self.flush().await?;
        Ok(held)
    }

    /// Moves that the source tells of. What cannot be moved is written there and deleted here.
    async fn apply_moves(&self, moved: Vec<(SourceItem, DocumentId)>) -> Result<Vec<SourceItem>, Interrupted> {
        let mut left = Vec::new();
        for (from, to) in moved {
            if self.move_one(&from, &to).await? {
                self.totals.lock().await.moved += 1;
            } else {
                left.push(from);
            }
        }
        Ok(left)
    }

    async fn apply_pieces(&self, pieces: Vec<Piece>) -> Result<Held, Interrupted> {
        let mut held = Held::default();
        let (mut said, mut away) = (Stopwatch::start(), 0);
        let work = pieces.into_iter().map(|piece| -> BoxFuture<'_, Result<Done, IngestError>> {
            match piece {
                Piece::Read(to_read) => Box::pin(self.read_one(*to_read)),
                Piece::Restate(to_restate) => Box::pin(self.restate_one(*to_restate, None)),
            }
        });
        let mut work = futures::stream::iter(work).buffer_unordered(AT_ONCE);
        while let Some(done) = work.next().await {
            let done = done?;
            away = match &done.became {
                Became::Failed { again: Again::Likely, reason } if away + 1 >= AWAY_AFTER => {
                    let reason =
                        format!("{AWAY_AFTER} documents in a row could not be fetched, the last because {reason}");
                    let place = "the source".to_owned();
                    return Err(IngestError::Source(SourceError::Unreachable { place, reason }).into());
                }
                Became::Failed { again: Again::Likely, .. } => away + 1,
                _ => 0,
            };
            self.note(done, &mut held).await?;
            let waiting = self.pending.lock().await.kept.len();
            if waiting >= PENDING_MAX || said.elapsed() >= SAID_EVERY {
                self.flush().await?;
                let totals = self.totals.lock().await.clone();
                self.progress.report(&totals.tally(), &totals.note()).await?;
                said = Stopwatch::start();
            }
        }
        drop(work);
        self.flush().await?;
        Ok(held)
    }

    async fn note(&self, done: Done, held: &mut Held) -> Result<(), Interrupted> {
        self.totals.lock().await.count(&done);
        let mut pending = self.pending.lock().await;
        pending.kept.extend(done.note.clone());
        drop(pending);
        match done.became {
            Became::Failed { reason, .. } => self.progress.failed(done.id.as_str(), &reason).await?,
            Became::Withheld(withheld) => held.widenings.push((withheld, done.note)),
            _ => {}
        }
        Ok(())
    }

    /// Deletes documents, as long as they are this source's.
    async fn delete(&self, ids: Vec<DocumentId>) -> Result<(), Interrupted> {
        let mut said = Stopwatch::start();
        for id in ids {
            if said.elapsed() >= SAID_EVERY {
                self.flush().await?;
                let totals = self.totals.lock().await.clone();
                self.progress.report(&totals.tally(), &totals.note()).await?;
                said = Stopwatch::start();
            }
            let current = self.ingest.0.catalog.current(self.scope, &id).await?;
            if let Some(current) = current.filter(|current| self.owned_by_others(current).is_none()) {
                let expect = Expect::Version(current.version);
                let deleted = self.ingest.delete(self.scope, &id, expect, self.deed("document.delete")).await;
                match deleted {
                    // Somebody wrote it meanwhile; the next look decides anew.
                    Err(IngestError::Catalog(CatalogError::Precondition { .. })) => continue,
                    Err(error) => return Err(error.into()),
                    Ok(deleted) => self.totals.lock().await.deleted += u64::from(deleted.is_some()),
                }
            }
            self.pending.lock().await.gone.push(id);
            self.totals.lock().await.documents.0 += 1;
        }
        Ok(self.flush().await?)
    }

    /// Does what was held and is approved now, and says what is held all the same: a list that is another one since.
    pub(super) async fn apply_held(&self, held: Held, look: &Look) -> Result<Held, Interrupted> {
        {
            let mut totals = self.totals.lock().await;
            totals.withheld = 0;
            totals.documents.1 += held.widenings.len() as u64;
        }
        let mut pieces = Vec::new();
        for (withheld, note) in held.widenings {
            let Some(item) = look.found.get(&withheld.id).cloned() else { continue };
            // Read whatever its tag says, because a listing need not say who may see it.
            let known = note.map(|note| SourceItem { tag: String::new(), ..note });
            let to_read = ToRead { id: withheld.id, item, known, approved: Some(withheld.acl) };
            pieces.push(Piece::Read(Box::new(to_read)));
        }
        let mut again = self.apply_pieces(pieces).await?;
        self.delete(held.deletes).await?;
        again.sort();
        Ok(again)
    }
}

/// Removes a source and the documents that it wrote.
pub(super) async fn remove(
    ingest: &Ingest,
    scope: &Scope,
    progress: &Progress<'_>,
    name: &SourceName,
) -> Result<(), Interrupted> {
    let ids: Vec<DocumentId> = known_beside(ingest, scope, name, true).await?.into_keys().collect();
    let mut totals = super::Totals { documents: (0, ids.len() as u64), ..super::Totals::default() };
    let mut said = Stopwatch::start();
    let catalog = &ingest.0.catalog;
    for id in ids {
        if said.elapsed() >= SAID_EVERY {
            progress.report(&totals.tally(), "deleting the source's documents").await?;
            said = Stopwatch::start();
        }
        let current = catalog.current(scope, &id).await?;
        if current.is_some_and(|current| current.source.as_deref() == Some(name.as_str())) {
            let deed = progress.deed("document.delete").naming(Object::new("source", name.as_str()));
            totals.deleted += u64::from(ingest.delete(scope, &id, Expect::Any, deed).await?.is_some());
        }
        totals.documents.0 += 1;
    }
    progress.report(&totals.tally(), &totals.note()).await?;
    let deed = progress.deed("source.delete");
    catalog.delete_source(scope, name, deed).await?;
    ingest.forget_source(scope.tenant(), name);
    Ok(())
}
