//! One document's way from bytes to a committed version: read, screen, outline, chunk, embed, commit.
//!
//! Promises: nothing is embedded whose vector the tenant already has under this recipe; the catalog's transaction holds
//! no parsing and no embedding. Does not: publish to the index.

use std::collections::HashSet;
use std::sync::Arc;

use catena_access::{Acl, Attributes, Scope};
use catena_catalog::{Change, Deed, Expect, NewChunk, NewDocument, PutOutcome, Spending, Written};
use catena_domain::{DocumentId, Seq, Timestamp, VersionNo, limits};
use catena_text::{Format, Reading};
use half::f16;
use sha2::{Digest as _, Sha256};

use crate::{IngestError, Shared, recipe};
use screen::{Entrance, Screened};

pub(crate) mod screen;

/// A document as it was handed in.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Its id inside the tenant.
    pub id: DocumentId,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What the bytes are.
    pub format: Format,
    /// The character set that whoever handed them in says they have.
    pub charset: Option<String>,
    /// Its title; without one, the first heading, else the last part of its id.
    pub title: Option<String>,
    /// Where a person finds the original.
    pub uri: Option<String>,
    /// The source that it came from, if it was not pushed.
    pub source: Option<String>,
    /// Typed by whoever handed it in.
    pub attributes: Attributes,
    /// When the original was changed last.
    pub modified_at: Option<Timestamp>,
    /// Who may see it.
    pub acl: Acl,
    /// What the writer believes is there now.
    pub expect: Expect,
}

/// What a write did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The document's current version.
    pub version: VersionNo,
    /// What changed.
    pub change: Change,
    /// The sequence number that the write got; `None` when nothing changed.
    pub seq: Option<Seq>,
    /// The tenant's sequence number after the write.
    pub at: Seq,
    /// Chunks of the version.
    pub chunks_total: usize,
    /// Chunks that had to be embedded.
    pub chunks_embedded: usize,
    /// Whether a search finds it already.
    pub searchable: bool,
}

impl Put {
    /// What the catalog says that a write did, before anything of it is searchable.
    #[must_use]
    pub fn of(outcome: &PutOutcome) -> Self {
        Self {
            version: outcome.version,
            change: outcome.change,
            seq: outcome.seq,
            at: outcome.at,
            chunks_total: outcome.chunks_total,
            chunks_embedded: outcome.chunks_embedded,
            searchable: false,
        }
    }
}

/// A text cut into chunks, with the text that is embedded for each.
pub(crate) struct Prepared {
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) chunks: Vec<NewChunk>,
    pub(crate) inputs: Vec<String>,
}

/// Vectors for those chunks whose vectors the tenant does not have.
pub(crate) type Embedded = Vec<([u8; 32], Vec<f16>)>;

pub(crate) async fn put(
    shared: &Arc<Shared>,
    scope: &Scope,
    submission: &Submission,
    deed: Deed<PutOutcome>,
) -> Result<Written<Put>, IngestError> {
    let (format, charset) = (submission.format, submission.charset.clone());
    let reading = shared.formats.read(format, charset, submission.bytes.clone()).await?;
    match screen::screen(shared, scope, submission, reading).await? {
        Screened::Admitted(entrance) => admit(shared, scope, submission, *entrance, deed).await,
        Screened::KeptBack(suspect) => screen::keep_back(shared, scope, *suspect, submission.expect, deed).await,
    }
}

/// Writes what the policy lets in.
pub(crate) async fn admit(
    shared: &Arc<Shared>,
    scope: &Scope,
    submission: &Submission,
    entrance: Entrance,
    deed: Deed<PutOutcome>,
) -> Result<Written<Put>, IngestError> {
    let Entrance { reading, said, bytes_sha256, screening } = entrance;
    let prepared = prepare_submission(shared, submission, reading, said.title).await?;
    let embedded = embed_missing(shared, scope, &prepared, Spending::WithinQuota).await?;
    let document = NewDocument {
        id: submission.id.clone(),
        title: prepared.title,
        uri: said.uri,
        content_type: submission.format.as_content_type().to_owned(),
        attributes: said.attributes,
        source: submission.source.clone(),
        modified_at: submission.modified_at,
        acl: submission.acl.clone(),
        bytes_sha256,
        text_sha256: Sha256::digest(prepared.text.as_bytes()).into(),
        text: prepared.text,
        recipe: shared.recipe.clone(),
        chunks: prepared.chunks,
        embeddings: embedded,
        screening: Some(screening),
        expect: submission.expect,
    };
    let written = shared.catalog.put_document(scope, document, deed).await?;
    Ok(Written { value: Put::of(&written.value), leaf: written.leaf })
}

/// Cuts what was let in.
async fn prepare_submission(
    shared: &Arc<Shared>,
    submission: &Submission,
    reading: Reading,
    title: Option<String>,
) -> Result<Prepared, IngestError> {
    let (format, id) = (submission.format, submission.id.clone());
    let embedder = shared.embedder.clone();
    let text = reading.text;
    let prepared = shared.compute.run(move || prepare(&embedder, format, title.as_deref(), &id, text)).await?;
    match prepared.chunks.len() {
        chunks if chunks > limits::CHUNKS_PER_DOCUMENT_MAX => Err(IngestError::TooManyChunks { chunks }),
        _ => Ok(prepared),
    }
}

/// Cuts a normalised text. Pure computing; call it on the compute pool.
pub(crate) fn prepare(
    embedder: &catena_embedding::Embedder,
    format: Format,
    title: Option<&str>,
    id: &DocumentId,
    text: String,
) -> Prepared {
    let outline = catena_text::outline(format, &text);
    let title = title.map(str::to_owned).or_else(|| outline.title.clone()).unwrap_or_else(|| last_part(id));
    let rules = recipe::rules(embedder);
    let cut = catena_text::chunk(&text, &title, &outline, &rules, &|text| embedder.count_tokens(text));
    let mut chunks = Vec::with_capacity(cut.len());
    let mut inputs = Vec::with_capacity(cut.len());
    for chunk in cut {
        let breadcrumb = catena_text::breadcrumb(&title, &chunk.headings);
        let input = catena_text::embedding_text(&breadcrumb, chunk.span.of(&text).unwrap_or_default());
        let hash = *blake3::hash(input.as_bytes()).as_bytes();
        chunks.push(NewChunk {
            span: chunk.span,
            headings: chunk.headings,
            lines: chunk.lines,
            tokens: chunk.tokens,
            hash,
        });
        inputs.push(input);
    }
    Prepared { title, text, chunks, inputs }
}

/// Embeds what the tenant has no vector for, each distinct text once. Its tokens are spent before.
pub(crate) async fn embed_missing(
    shared: &Shared,
    scope: &Scope,
    prepared: &Prepared,
    spending: Spending,
) -> Result<Embedded, IngestError> {
    let hashes: Vec<[u8; 32]> = prepared.chunks.iter().map(|chunk| chunk.hash).collect();
    let mut known: HashSet<[u8; 32]> = shared.catalog.embeddings_known(scope, &shared.recipe, &hashes).await?;
    let (mut missing, mut texts, mut tokens) = (Vec::new(), Vec::new(), 0);
    for (chunk, input) in prepared.chunks.iter().zip(&prepared.inputs) {
        if known.insert(chunk.hash) {
            missing.push(chunk.hash);
            texts.push(input.clone());
            tokens += u64::from(chunk.tokens);
        }
    }
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    shared.catalog.spend_tokens(scope, tokens, spending).await?;
    let vectors = shared.embedder.embed_documents(scope.tenant(), texts).await?;
    Ok(missing.into_iter().zip(vectors).collect())
}

fn last_part(id: &DocumentId) -> String {
    id.as_str().rsplit('/').find(|part| !part.is_empty()).unwrap_or(id.as_str()).to_owned()
}
