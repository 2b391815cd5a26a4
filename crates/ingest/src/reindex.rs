//! Re-indexing: a new generation is built from the stored texts beside the live one, then takes its place in one step.
//!
//! Promises: searches and writes go on meanwhile; whoever reads sees the old generation or the new one, whole; a job
//! that was cut off keeps the chunks and vectors it had stored. Does not: touch documents, versions or access lists.

use std::sync::Arc;

use catena_access::Scope;
use catena_audit::Draft;
use catena_catalog::{GenerationRow, GenerationState, Spending, StoredText};
use catena_text::Format;

use crate::progress::{Interrupted, Progress};
use crate::{Ingest, IngestError, Shared, pipeline, publish};

/// Documents cut and embedded between two reports.
const DOCUMENTS_PER_STEP: usize = 16;

pub(crate) async fn run(ingest: &Ingest, scope: &Scope, progress: &Progress<'_>) -> Result<(), Interrupted> {
    let shared = &ingest.0;
    cut_and_embed(shared, scope, progress).await?;
    let row = building_generation(shared, scope).await?;
    let generation = publish::open(shared, scope, &row).await?;
    let total = shared.catalog.document_count(scope).await?;
    progress.report(0, total, "building the new generation").await?;
    let mut built = 0u64;
    while let Some(documents) = ingest.step_in_turn(scope, &generation).await? {
        built += documents as u64;
        progress.report(built, total.max(built), "building the new generation").await?;
    }

    let old = shared.catalog.live_generation(scope).await?;
    let promote = async || {
        let draft = Draft::of_service("generation.promote");
        shared.catalog.promote_generation(scope, &row.id, draft).await?;
        Ok::<(), IngestError>(())
    };
    ingest.swap(scope, &generation, promote).await?;
    let (index, owner) = (Arc::clone(&shared.index), scope.clone());
    shared.compute.run(move || index.discard(&owner, &old.id)).await??;
    Ok(())
}

/// Chunks and vectors under this recipe for every document that has none.
async fn cut_and_embed(shared: &Arc<Shared>, scope: &Scope, progress: &Progress<'_>) -> Result<(), Interrupted> {
    let total = shared.catalog.document_count(scope).await?;
    let (mut done, mut after) = (0, None);
    loop {
        progress.report(done, total, "chunking and embedding").await?;
        let texts = shared.catalog.documents_unchunked(scope, &shared.recipe, after, DOCUMENTS_PER_STEP).await?;
        let Some(last) = texts.last() else { return Ok(()) };
        after = Some(last.doc);
        done += texts.len() as u64;
        for stored in texts {
            cut_one(shared, scope, stored).await?;
        }
    }
}

async fn cut_one(shared: &Arc<Shared>, scope: &Scope, stored: StoredText) -> Result<(), IngestError> {
    let format = Format::from_content_type(&stored.content_type)?;
    let (doc, version) = (stored.doc, stored.version);
    let embedder = shared.embedder.clone();
    let work = move || pipeline::prepare(&embedder, format, Some(&stored.title), &stored.document, stored.text);
    let prepared = shared.compute.run(work).await?;
    let embedded = pipeline::embed_missing(shared, scope, &prepared, Spending::Regardless).await?;
    shared.catalog.put_chunks(scope, &shared.recipe, doc, version, prepared.chunks, embedded).await?;
    Ok(())
}

/// The generation being built: the one a job before this one began, or a new one.
async fn building_generation(shared: &Shared, scope: &Scope) -> Result<GenerationRow, IngestError> {
    let rows = shared.catalog.generations(scope).await?;
    let begun = rows.into_iter().find(|row| row.state == GenerationState::Building && row.recipe == shared.recipe);
    match begun {
        Some(row) => Ok(row),
        None => {
            let dimension = u32::try_from(shared.embedder.dimension()).unwrap_or(u32::MAX);
            Ok(shared.catalog.create_generation(scope, &shared.recipe, dimension).await?)
        }
    }
}
