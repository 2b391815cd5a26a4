//! What a sync would do, without doing it.
//!
//! Promises: the same look and the same comparison as a sync's; nothing is written; it ends in bounded time and says what
//! it did not get to. How much would be embedded is counted, not guessed, for a sample of the documents that would be
//! read: they are fetched and cut as a sync would, and the rest is taken to be like them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use catena_access::{Acl, Scope};
use catena_catalog::{CatalogError, SourceItem};
use catena_domain::{DocumentId, ErrorKind, SourceName};
use catena_runtime::clock;
use catena_runtime::clock::Stopwatch;
use catena_sources::{Access, Fetch, Fetched, Source, SourceError};
use catena_text::Format;
use sha2::{Digest as _, Sha256};

use super::compare::{Thoroughness, ToRead, Work, compare};
use super::description::{Guards, Place};
use super::guard::{Guard, Wider, shown};
use super::held::LISTED_MAX;
use super::look::Look;
use super::one::Leaving;
use super::totals::LastSync;
use super::{known_beside, look};
use crate::pipeline::Uncut;
use crate::{Ingest, IngestError, pipeline, recipe};

/// Documents that are fetched for the estimate.
const SAMPLE_DOCUMENTS: usize = 64;
/// Their bytes, as far as a listing says them.
const SAMPLE_BYTES: u64 = 32 * 1_024 * 1_024;
/// How long a look may take.
const LOOK_LIMIT: Duration = Duration::from_secs(60);
/// How long the sample may take.
const SAMPLE_LIMIT: Duration = Duration::from_secs(20);

/// Documents of one kind: how many, and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub documents: Vec<DocumentId>,
}

impl Listed {
    fn push(&mut self, id: DocumentId) {
        self.count += 1;
        if self.documents.len() < LISTED_MAX {
            self.documents.push(id);
        }
    }
}

/// A document that other people would see.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedWidening {
    /// The document.
    pub document: DocumentId,
    /// Who sees it, as far as is known.
    pub before: serde_json::Value,
    /// Who would.
    pub after: serde_json::Value,
    /// How much wider that is, if at all.
    pub wider: Option<Wider>,
    /// Whether it would wait for approval.
    pub is_held: bool,
}

/// How much would be embedded.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Estimate {
    /// Documents that would be read.
    pub documents: u64,
    /// Of these, documents that were fetched and cut for this estimate. When it is all of them, the rest is exact.
    pub sampled: u64,
    /// Chunks that would be embedded.
    pub chunks: u64,
    /// Their tokens.
    pub tokens: u64,
    /// How long that takes at the rate of the last sync that embedded, in seconds.
    pub seconds: Option<f64>,
}

/// What a sync would do now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// New documents.
    pub adds: Listed,
    /// Documents whose tag changed. Those that were fetched and have the bytes they had are not among them.
    pub changes: Listed,
    /// Documents that would be deleted.
    pub deletes: Listed,
    /// Documents that would get another id: from, to.
    pub moves: Vec<(DocumentId, DocumentId)>,
    /// Documents whose access list would change, the first of them.
    pub access: Vec<PlannedWidening>,
    /// How many that are, as far as listings and the sample say.
    pub access_count: u64,
    /// Documents that would be quarantined, with the reason.
    pub quarantines: Vec<(DocumentId, String)>,
    /// Documents that are as they were.
    pub unchanged: u64,
    /// What is no document.
    pub skipped: u64,
    /// Whether the deletions would wait for approval.
    pub deletes_held: bool,
    /// How much would be embedded.
    pub estimate: Estimate,
    /// Why the look broke off, if it did. Nothing would be deleted then.
    pub broken: Option<String>,
}

impl Ingest {
    /// What a sync of this source would do now; `None` when there is no such source.
    pub async fn plan_source(&self, scope: &Scope, name: &SourceName) -> Result<Option<Plan>, IngestError> {
        let Some(row) = self.0.catalog.source(scope, name).await? else { return Ok(None) };
        let _turn =
            self.0.plans.try_acquire().map_err(|_| CatalogError::Busy { what: "the service's room for plans" })?;
        let (place, guards) = (Place::read(&row.description.spec)?, Guards::read(&row.description.guards)?);
        let source = self.open_source(scope, &row)?;
        let looked = within(LOOK_LIMIT, look::gather(source.as_ref(), &place, row.cursor.clone())).await;
        let known = known_beside(self, scope, name, looked.saw_everything()).await?;
        let work = compare(known, &looked, Thoroughness::Changed);
        let mut planning = Planning {
            ingest: self,
            name,
            scope,
            source: source.as_ref(),
            guard: Guard::new(&self.0.catalog, scope, guards),
            leaving: Leaving::of(&work.gone),
            plan: Plan {
                unchanged: work.unchanged,
                skipped: looked.skipped_count,
                broken: looked.broken.as_ref().map(ToString::to_string),
                ..Plan::default()
            },
            hashes: BTreeSet::new(),
        };
        let last = row.last.as_deref().and_then(LastSync::read);
        planning.all(work, guards, last.and_then(|last| last.chunks_per_s)).await?;
        Ok(Some(planning.plan))
    }
}

/// What a look finds in time; else nothing, and that it took too long.
async fn within(limit: Duration, looking: impl Future<Output = Look>) -> Look {
    tokio::select! {
        looked = looking => looked,
        () = clock::pause(limit) => {
            let reason = format!(
                "looking at it takes longer than {} s; run the sync, whose guards hold what is dangerous",
                limit.as_secs()
            );
            let place = "the source".to_owned();
            Look { broken: Some(SourceError::Unreachable { place, reason }), ..Look::default() }
        }
    }
}

struct Planning<'a> {
    ingest: &'a Ingest,
    name: &'a SourceName,
    scope: &'a Scope,
    source: &'a dyn Source,
    guard: Guard<'a>,
    leaving: Leaving,
    plan: Plan,
    /// Chunks counted already: equal ones are embedded once.
    hashes: BTreeSet<[u8; 32]>,
}

impl Planning<'_> {
    async fn all(&mut self, work: Work, guards: Guards, chunks_per_s: Option<f64>) -> Result<(), IngestError> {
        self.plan.moves = work.moved.iter().map(|(from, to)| (from.id.clone(), to.clone())).collect();
        for restate in &work.restate {
            self.access(&restate.known, &restate.access).await?;
        }
        let moved: BTreeSet<&DocumentId> = work.moved.iter().map(|(_, to)| to).collect();
        let of = work.read.len();
        let mut known: BTreeMap<&DocumentId, &ToRead> = work.read.iter().map(|read| (&read.id, read)).collect();
        let (sampled, counted) = self.sample(&mut known).await?;
        for (id, read) in known {
            if moved.contains(id) {
                continue;
            }
            match read.known.as_ref().is_some_and(|known| known.bytes_sha256.is_some()) {
                true => self.plan.changes.push(id.clone()),
                false => self.plan.adds.push(id.clone()),
            }
        }
        self.plan.adds.documents.sort_unstable();
        self.plan.changes.documents.sort_unstable();
        let mut left: Vec<DocumentId> = self.leaving.rest().into_iter().map(|item| item.id).collect();
        left.sort_unstable();
        self.plan.deletes_held = guards.hold_deletes(left.len(), work.written);
        left.into_iter().for_each(|id| self.plan.deletes.push(id));
        let scale = |counted: u64| counted.saturating_mul(of as u64).checked_div(sampled).unwrap_or(0);
        let (chunks, tokens) = (scale(counted.0), scale(counted.1));
        let seconds = chunks_per_s.filter(|rate| *rate > 0.0).map(|rate| chunks as f64 / rate);
        self.plan.estimate = Estimate { documents: of as u64, sampled, chunks, tokens, seconds };
        Ok(())
    }

    /// Fetches and cuts a sample, spread over all that would be read, and takes what it settled out of `read`. How many
    /// were looked at, and the chunks and tokens that they would have embedded.
    async fn sample(&mut self, read: &mut BTreeMap<&DocumentId, &ToRead>) -> Result<(u64, (u64, u64)), IngestError> {
        let step = read.len().div_ceil(SAMPLE_DOCUMENTS).max(1);
        let chosen: Vec<&ToRead> = read.values().step_by(step).copied().collect();
        let (watch, mut bytes) = (Stopwatch::start(), 0);
        let (mut sampled, mut counted) = (0, (0, 0));
        for one in chosen {
            bytes += one.item.bytes.unwrap_or(super::BYTES_ASSUMED);
            if watch.elapsed() > SAMPLE_LIMIT || (bytes > SAMPLE_BYTES && sampled > 0) {
                break;
            }
            // What cannot be fetched for now is planned by its tag alone.
            let Ok(fetched) = self.source.fetch(&one.item, None).await else { continue };
            sampled += 1;
            let Fetch::Document { fetched, .. } = fetched else { continue };
            let (is_settled, chunks) = self.look_into(one, fetched).await?;
            if is_settled {
                read.remove(&one.id);
            }
            counted.0 += chunks.0;
            counted.1 += chunks.1;
        }
        Ok((sampled, counted))
    }

    /// Whether nothing more is to be said of this document, and the chunks and tokens it would have embedded.
    async fn look_into(&mut self, one: &ToRead, fetched: Fetched) -> Result<(bool, (u64, u64)), IngestError> {
        let sha: [u8; 32] = Sha256::digest(&fetched.bytes).into();
        let access = one.item.access.clone().unwrap_or_else(|| fetched.access.clone());
        let written = one.known.as_ref().filter(|known| known.bytes_sha256.is_some());
        let moved = if written.is_none() { self.leaving.take(&sha, &one.id) } else { None };
        if let Some(known) = moved.as_ref().or(written) {
            self.access(known, &access).await?;
        } else if let Access::Unreadable { reason } = &access {
            self.quarantine(&one.id, reason);
        }
        if let Some(from) = moved {
            self.plan.moves.push((from.id, one.id.clone()));
            return Ok((true, (0, 0)));
        }
        if written.is_some_and(|known| known.bytes_sha256 == Some(sha)) {
            self.plan.unchanged += 1;
            return Ok((true, (0, 0)));
        }
        Ok((false, self.embedded_by(one, fetched).await?))
    }

    async fn embedded_by(&mut self, one: &ToRead, fetched: Fetched) -> Result<(u64, u64), IngestError> {
        let shared = &self.ingest.0;
        let named = fetched.content_type.as_deref().and_then(|kind| Format::from_content_type(kind).ok());
        let Some(format) = named.or_else(|| Format::from_path(one.item.id.as_str())) else { return Ok((0, 0)) };
        let charset = fetched.content_type.as_deref().and_then(Format::charset).map(str::to_owned);
        // What cannot be read would be a failed document, which embeds nothing.
        let Ok(reading) = shared.formats.read(format, charset, fetched.bytes).await else { return Ok((0, 0)) };
        let recipe = recipe::recipes(shared, self.scope).await?.wanted;
        let (title, source) = (fetched.title.or(reading.title), Some(self.name.to_string()));
        let uncut = Arc::new(Uncut { id: one.id.clone(), format, title, source, text: reading.text });
        let prepared = pipeline::cut(shared, &recipe, &uncut).await?;
        let hashes: Vec<[u8; 32]> = prepared.chunks.iter().map(|chunk| chunk.hash).collect();
        let known = shared.catalog.embeddings_known(self.scope, &recipe.id, &hashes).await?;
        let (mut chunks, mut tokens) = (0, 0);
        for chunk in prepared.chunks {
            if !known.contains(&chunk.hash) && self.hashes.insert(chunk.hash) {
                chunks += 1;
                tokens += u64::from(chunk.tokens);
            }
        }
        Ok((chunks, tokens))
    }

    async fn access(&mut self, known: &SourceItem, access: &Access) -> Result<(), IngestError> {
        if super::compare::is_as_known(known, access) {
            return Ok(());
        }
        let after = match access {
            Access::Stated(acl) => acl.clone(),
            Access::Unstated => Acl::default(),
            Access::Unreadable { reason } => {
                self.quarantine(&known.id, reason);
                return Ok(());
            }
        };
        self.plan.access_count += 1;
        if self.plan.access.len() < LISTED_MAX {
            let before = known.acl.clone().unwrap_or_default();
            let wider = self.guard.wider(&before, &after).await?;
            let is_held = known.acl.is_some() && self.guard.beyond(&before, &after).await?.is_some();
            let (before, after) = (shown(&before), shown(&after));
            self.plan.access.push(PlannedWidening { document: known.id.clone(), before, after, wider, is_held });
        }
        Ok(())
    }

    fn quarantine(&mut self, id: &DocumentId, reason: &str) {
        if self.plan.quarantines.len() < LISTED_MAX {
            self.plan.quarantines.push((id.clone(), reason.to_owned()));
        }
    }
}

/// Whether an error says that something is waiting or at work already.
pub(super) fn is_conflict(error: &IngestError) -> bool {
    error.kind() == ErrorKind::Conflict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_look_that_takes_too_long_is_a_plan_that_says_so() {
        let looked = within(Duration::ZERO, std::future::pending()).await;
        assert!(looked.ended.is_none() && looked.broken.unwrap().to_string().contains("run the sync"));
        let looked = within(Duration::MAX, std::future::ready(Look { skipped_count: 1, ..Look::default() })).await;
        assert!(looked.broken.is_none() && looked.skipped_count == 1);
    }
}
