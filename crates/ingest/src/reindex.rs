//! Re-indexing: a new generation is built from the stored texts beside the live one, then takes its place in one step.
//!
//! Promises: searches and writes go on meanwhile; whoever reads sees the old generation or the new one, whole; a job
//! that was cut off keeps the chunks and vectors it had stored; what the old generation was made of goes once nobody
//! reads it any more. Does not: touch documents, versions or access lists.

use std::sync::Arc;
use std::time::Duration;

use catena_access::Scope;
use catena_catalog::{
    CatalogError, Claimed, Count, Cut, Disused, Dropped, Fence, GenerationRow, GenerationState, Spending, StoredText,
    Tally, WorkerReach,
};
use catena_domain::{ErrorKind, RecipeId};
use catena_index::Generation;
use catena_runtime::clock::{self, Stopwatch};
use catena_text::Format;
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};

use crate::pipeline::Uncut;
use crate::progress::{Interrupted, Progress};
use crate::recipe::Recipe;
use crate::{Ingest, IngestError, Shared, pipeline, publish, recipe};

/// Documents cut and embedded between two reports.
const DOCUMENTS_PER_STEP: usize = 16;
/// Of those, how many are under way at once, so that one is embedded while another is cut or stored.
const DOCUMENTS_AT_ONCE: usize = 4;

/// How long, at most, what the old generation was made of is kept for questions that began before the new one answered.
const LAST_READERS_WAIT: Duration = Duration::from_secs(30);
/// How often they are looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// From where a re-index goes on.
#[derive(Serialize, Deserialize)]
struct Checkpoint {
    /// The generation that is built, and is about to take the old one's place.
    new: String,
}

pub(crate) async fn run(
    ingest: &Ingest,
    scope: &Scope,
    progress: &Progress<'_>,
    claimed: &Claimed,
) -> Result<(), Interrupted> {
    let shared = &ingest.0;
    if is_replaced(shared, scope, claimed).await? {
        let live = shared.catalog.live_generation(scope).await?.recipe;
        return let_go(ingest, scope, progress, &all_cut(shared, scope, &live).await?).await;
    }
    loop {
        let recipe = recipe::recipes(shared, scope).await?.wanted;
        match build(ingest, scope, progress, &recipe).await {
            Err(Interrupted::Failed(IngestError::Catalog(CatalogError::ChunkingChanged))) => {
                tracing::info!(tenant = %scope.tenant(), "how documents are cut was changed; building begins again");
            }
            ended => return ended,
        }
    }
}

async fn build(ingest: &Ingest, scope: &Scope, progress: &Progress<'_>, recipe: &Recipe) -> Result<(), Interrupted> {
    let shared = &ingest.0;
    let tally = cut_and_embed(shared, scope, progress, recipe).await?;
    if shared.reach == WorkerReach::CatalogAlone {
        return Err(Interrupted::HandedOver);
    }
    let row = building_generation(shared, scope, recipe, &progress.fence()).await?;
    let generation = publish::open(shared, scope, &row).await?;
    progress.report(&tally, "building the new generation").await?;
    let mut built = 0;
    while let Some(documents) = ingest.step_in_turn(scope, &generation).await? {
        built += documents as u64;
        progress.report(&tally, &format!("building the new generation: {built} documents so far")).await?;
    }

    let promote = async || {
        let deed = progress.deed("generation.promote");
        shared.catalog.promote_generation(scope, &row.id, deed).await?;
        Ok::<(), IngestError>(())
    };
    let checkpoint = Checkpoint { new: row.id.to_string() };
    progress.checkpoint(&serde_json::to_string(&checkpoint).unwrap_or_default()).await?;
    ingest.swap(scope, &generation, promote).await?;
    let_go(ingest, scope, progress, &tally).await
}

/// Whether the new generation stands in the old one's place already, as when the job was cut off right after that.
async fn is_replaced(shared: &Shared, scope: &Scope, claimed: &Claimed) -> Result<bool, IngestError> {
    let stored = claimed.checkpoint.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let Some(Checkpoint { new }) = stored else { return Ok(false) };
    Ok(shared.catalog.live_generation(scope).await?.id.as_str() == new)
}

/// Removes what does not answer any more: generations that were retired, or begun and given up, and what only they were
/// made of. The new one answers already, so a job that is cancelled or fails now has done its work; the next one removes
/// the rest.
async fn let_go(ingest: &Ingest, scope: &Scope, progress: &Progress<'_>, tally: &Tally) -> Result<(), Interrupted> {
    match remove_old(ingest, scope, progress, tally).await {
        Err(Interrupted::Cancelled) => Ok(()),
        Err(Interrupted::Failed(error)) if !ends_the_job(&error) => {
            tracing::warn!(tenant = %scope.tenant(), %error, kind = error.kind().as_str(),
                "the new index answers; what the old one was made of is still there, and goes with the next re-index");
            Ok(())
        }
        ended => ended,
    }
}

fn ends_the_job(error: &IngestError) -> bool {
    matches!(error, IngestError::Catalog(CatalogError::LeaseLost { .. } | CatalogError::TenantGone { .. }))
}

async fn remove_old(ingest: &Ingest, scope: &Scope, progress: &Progress<'_>, tally: &Tally) -> Result<(), Interrupted> {
    let shared = &ingest.0;
    progress.report(tally, "letting go of the old generation").await?;
    let (wanted, fence) = (recipe::recipes(shared, scope).await?.wanted, progress.fence());
    discard_old(ingest, scope, &fence).await?;
    for recipe in shared.catalog.disused_recipes(scope, &wanted.id).await? {
        let disused = Disused { recipe, chunking: wanted.chunking.clone() };
        let mut last = Dropped::default();
        while let Some(dropped) = shared.catalog.drop_derived(scope, &disused, last, Some(&fence)).await? {
            last = dropped;
            progress.report(tally, "letting go of what the old generation was made of").await?;
        }
    }
    progress.report(tally, "the new generation answers").await
}

/// Removes every generation but the one that answers, and waits for whoever still reads one.
async fn discard_old(ingest: &Ingest, scope: &Scope, fence: &Fence) -> Result<(), IngestError> {
    let shared = &ingest.0;
    let publisher = ingest.publisher(scope.tenant()).await;
    // A purge, which looks through all of them, is not to find one that goes.
    let turn = publisher.turn.lock().await;
    for row in shared.catalog.generations(scope).await? {
        if row.state == GenerationState::Building {
            shared.catalog.forget_generation(scope, &row.id, Some(fence)).await?;
        }
    }
    let (index, owner, live) = (Arc::clone(&shared.index), scope.clone(), shared.catalog.live_generation(scope).await?);
    let discarded = shared.compute.run(move || {
        let old = index.generations_on_disk(&owner)?.into_iter().filter(|id| *id != live.id);
        old.filter_map(|id| index.discard(&owner, &id).transpose()).collect::<Result<Vec<_>, _>>()
    });
    let old = discarded.await??;
    drop(turn);
    let watch = Stopwatch::start();
    while old.iter().any(Generation::has_readers) && watch.elapsed() < LAST_READERS_WAIT {
        clock::pause(LOOK_AGAIN).await;
    }
    Ok(())
}

/// Chunks and vectors under this recipe for every document that has none. A document that cannot be cut is one that
/// failed; the others go on.
async fn cut_and_embed(
    shared: &Arc<Shared>,
    scope: &Scope,
    progress: &Progress<'_>,
    recipe: &Recipe,
) -> Result<Tally, Interrupted> {
    let mut tally = tally_at_start(shared, scope, recipe).await?;
    let (mut after, fence) = (None, progress.fence());
    loop {
        progress.report(&tally, "chunking and embedding").await?;
        let texts = shared.catalog.documents_unchunked(scope, &recipe.id, after, DOCUMENTS_PER_STEP).await?;
        let Some(last) = texts.last() else { break };
        after = Some(last.doc);
        let mut cut = futures::stream::iter(texts)
            .map(async |stored| (stored.document.clone(), cut_one(shared, scope, recipe, stored, &fence).await))
            .buffer_unordered(DOCUMENTS_AT_ONCE);
        while let Some((document, done)) = cut.next().await {
            tally.documents.done += 1;
            match done {
                Ok((chunks, tokens)) => {
                    tally.chunks.done += chunks;
                    tally.tokens.done += tokens;
                }
                Err(error) if error.kind() == ErrorKind::Invalid => {
                    progress.failed(document.as_str(), &error.told()).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(all_cut(shared, scope, &recipe.id).await?)
}

/// How much was done once everything is: what was written meanwhile was cut by whoever wrote it.
async fn all_cut(shared: &Shared, scope: &Scope, recipe: &RecipeId) -> Result<Tally, IngestError> {
    let of = shared.catalog.chunked(scope, recipe).await?;
    let whole = |done| Count { done, total: done };
    Ok(Tally { documents: whole(of.documents.total), chunks: whole(of.chunks.done), tokens: whole(of.tokens.done) })
}

/// How much there is to do, as far as known: as many chunks and tokens as under the recipe that answers now.
async fn tally_at_start(shared: &Shared, scope: &Scope, recipe: &Recipe) -> Result<Tally, IngestError> {
    let live = shared.catalog.live_generation(scope).await?;
    let mut tally = shared.catalog.chunked(scope, &recipe.id).await?;
    let before = shared.catalog.chunked(scope, &live.recipe).await?;
    tally.chunks.total = tally.chunks.done.max(before.chunks.done);
    tally.tokens.total = tally.tokens.done.max(before.tokens.done);
    Ok(tally)
}

/// Cuts, embeds and stores one document. Says how many chunks and tokens that gave.
async fn cut_one(
    shared: &Arc<Shared>,
    scope: &Scope,
    recipe: &Recipe,
    stored: StoredText,
    fence: &Fence,
) -> Result<(u64, u64), IngestError> {
    let format = Format::from_content_type(&stored.content_type)?;
    let (doc, version) = (stored.doc, stored.version);
    let StoredText { document: id, title, source, text, .. } = stored;
    let uncut = Arc::new(Uncut { id, format, title: Some(title), source, text });
    let prepared = pipeline::cut(shared, recipe, &uncut).await?;
    let embedded = pipeline::embed_missing(shared, scope, &recipe.id, &prepared, &[], Spending::Regardless).await?;
    let tokens = prepared.chunks.iter().map(|chunk| u64::from(chunk.tokens)).sum();
    let chunks = prepared.chunks.len() as u64;
    let cut = Cut { recipe: recipe.id.clone(), chunks: prepared.chunks, embeddings: embedded };
    shared.catalog.put_chunks(scope, doc, version, cut, Some(fence)).await?;
    Ok((chunks, tokens))
}

/// The generation being built: the one a job before this one began, or a new one.
async fn building_generation(
    shared: &Shared,
    scope: &Scope,
    recipe: &Recipe,
    fence: &Fence,
) -> Result<GenerationRow, IngestError> {
    let rows = shared.catalog.generations(scope).await?;
    let begun = rows.into_iter().find(|row| {
        row.state == GenerationState::Building && row.recipe == recipe.id && row.chunking == recipe.chunking
    });
    match begun {
        Some(row) => Ok(row),
        None => {
            let dimension = u32::try_from(shared.embedder.dimension()).unwrap_or(u32::MAX);
            Ok(shared.catalog.create_generation(scope, &recipe.id, dimension, &recipe.chunking, Some(fence)).await?)
        }
    }
}
