//! Re-indexing: a new generation is built from the stored texts beside the live one, then takes its place in one step.
//!
//! Promises: searches and writes go on meanwhile; whoever reads sees the old generation or the new one, whole; a job
//! that was cut off keeps the chunks and vectors it had stored. Does not: touch documents, versions or access lists.

use std::sync::Arc;

use catena_access::Scope;
use catena_audit::Draft;
use catena_catalog::{CatalogError, GenerationRow, GenerationState, Spending, StoredText};
use catena_text::Format;

use crate::pipeline::Uncut;
use crate::progress::{Interrupted, Progress};
use crate::recipe::Recipe;
use crate::{Ingest, IngestError, Shared, pipeline, publish, recipe};

/// Documents cut and embedded between two reports.
const DOCUMENTS_PER_STEP: usize = 16;

pub(crate) async fn run(ingest: &Ingest, scope: &Scope, progress: &Progress<'_>) -> Result<(), Interrupted> {
    loop {
        let recipe = recipe::recipes(&ingest.0, scope).await?.wanted;
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
    cut_and_embed(shared, scope, progress, recipe).await?;
    let row = building_generation(shared, scope, recipe).await?;
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
async fn cut_and_embed(
    shared: &Arc<Shared>,
    scope: &Scope,
    progress: &Progress<'_>,
    recipe: &Recipe,
) -> Result<(), Interrupted> {
    let total = shared.catalog.document_count(scope).await?;
    let (mut done, mut after) = (0, None);
    loop {
        progress.report(done, total, "chunking and embedding").await?;
        let texts = shared.catalog.documents_unchunked(scope, &recipe.id, after, DOCUMENTS_PER_STEP).await?;
        let Some(last) = texts.last() else { return Ok(()) };
        after = Some(last.doc);
        done += texts.len() as u64;
        for stored in texts {
            cut_one(shared, scope, recipe, stored).await?;
        }
    }
}

async fn cut_one(shared: &Arc<Shared>, scope: &Scope, recipe: &Recipe, stored: StoredText) -> Result<(), IngestError> {
    let format = Format::from_content_type(&stored.content_type)?;
    let (doc, version) = (stored.doc, stored.version);
    let StoredText { document: id, title, source, text, .. } = stored;
    let uncut = Arc::new(Uncut { id, format, title: Some(title), source, text });
    let prepared = pipeline::cut(shared, recipe, &uncut).await?;
    let embedded = pipeline::embed_missing(shared, scope, &recipe.id, &prepared, &[], Spending::Regardless).await?;
    shared.catalog.put_chunks(scope, &recipe.id, doc, version, prepared.chunks, embedded).await?;
    Ok(())
}

/// The generation being built: the one a job before this one began, or a new one.
async fn building_generation(shared: &Shared, scope: &Scope, recipe: &Recipe) -> Result<GenerationRow, IngestError> {
    let rows = shared.catalog.generations(scope).await?;
    let begun = rows.into_iter().find(|row| {
        row.state == GenerationState::Building && row.recipe == recipe.id && row.chunking == recipe.chunking
    });
    match begun {
        Some(row) => Ok(row),
        None => {
            let dimension = u32::try_from(shared.embedder.dimension()).unwrap_or(u32::MAX);
            Ok(shared.catalog.create_generation(scope, &recipe.id, dimension, &recipe.chunking).await?)
        }
    }
}
