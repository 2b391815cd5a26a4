//! One document's way from bytes to a committed version: read, screen, outline, chunk, embed, commit.
//!
//! Promises: nothing is embedded whose vector the tenant already has under this recipe; the catalog's transaction holds
//! no parsing and no embedding. Does not: publish to the index.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use catena_access::{Acl, Attributes, Scope};
use catena_catalog::{
    Amount, Besides, Change, Chunking, Cut, Cutting, Deed, Expect, NewChunk, NewDocument, PutOutcome, Spending, Written,
};
use catena_domain::{DocumentId, RecipeId, Seq, Timestamp, VersionNo, limits};
use catena_embedding::Embedder;
use catena_text::{BlockKind, Format};
use half::f16;
use sha2::{Digest as _, Sha256};

use crate::recipe::Recipe;
use crate::{IngestError, Shared, recipe};
use screen::{Entrance, Screened};

mod places;
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
    /// What its text was cut into.
    pub cut: Amount,
    /// Of that, what had to be embedded.
    pub embedded: Amount,
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
            cut: outcome.cut,
            embedded: outcome.embedded,
            searchable: false,
        }
    }
}

/// A text cut into chunks, with the text that is embedded for each.
pub(crate) struct Prepared {
    pub(crate) title: String,
    pub(crate) chunks: Vec<NewChunk>,
    pub(crate) inputs: Vec<String>,
    /// Stretches that nobody sees, which are in no chunk.
    pub(crate) comments: usize,
}

/// Vectors for those chunks whose vectors the tenant does not have.
pub(crate) type Embedded = Vec<([u8; 32], Vec<f16>)>;

/// A text that is to be cut and embedded.
pub(crate) struct Uncut {
    pub(crate) id: DocumentId,
    pub(crate) format: Format,
    pub(crate) title: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) text: String,
}

/// A text that is cut and embedded by the tenant's recipe, and by that of the generation that answers meanwhile.
pub(crate) struct Derived {
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) cut: Cut,
    pub(crate) also: Option<Cut>,
    pub(crate) chunking: Chunking,
    pub(crate) comments: usize,
}

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
    let uncut = Uncut {
        id: submission.id.clone(),
        format: submission.format,
        title: said.title,
        source: submission.source.clone(),
        text: reading.text,
    };
    let derived = derive(shared, scope, uncut, Spending::WithinQuota).await?;
    let document = NewDocument {
        id: submission.id.clone(),
        title: derived.title,
        uri: said.uri,
        content_type: submission.format.as_content_type().to_owned(),
        attributes: said.attributes,
        source: submission.source.clone(),
        modified_at: submission.modified_at,
        acl: submission.acl.clone(),
        bytes_sha256,
        text_sha256: Sha256::digest(derived.text.as_bytes()).into(),
        recipe: derived.cut.recipe,
        chunks: derived.cut.chunks,
        embeddings: derived.cut.embeddings,
        screening: Some(screening),
        expect: submission.expect,
        besides: Besides {
            places: places::stored(&derived.text, reading.places),
            noticed: places::noticed(&reading.noticed, derived.comments),
            also: derived.also,
            chunking: Some(derived.chunking),
        },
        text: derived.text,
    };
    let written = shared.catalog.put_document(scope, document, deed).await?;
    Ok(Written { value: Put::of(&written.value), leaf: written.leaf })
}

/// Cuts and embeds a text by the recipes that it has to be found under.
pub(crate) async fn derive(
    shared: &Arc<Shared>,
    scope: &Scope,
    uncut: Uncut,
    spending: Spending,
) -> Result<Derived, IngestError> {
    let recipes = recipe::recipes(shared, scope).await?;
    let uncut = Arc::new(uncut);
    let mut also = None;
    if let Some(recipe) = &recipes.also {
        let prepared = cut(shared, recipe, &uncut).await?;
        let embeddings = embed_missing(shared, scope, &recipe.id, &prepared, &[], spending).await?;
        also = Some(Cut { recipe: recipe.id.clone(), chunks: prepared.chunks, embeddings });
    }
    let recipe = recipes.wanted;
    let prepared = cut(shared, &recipe, &uncut).await?;
    let known = also.as_ref().map_or(&[][..], |also| also.embeddings.as_slice());
    let embeddings = embed_missing(shared, scope, &recipe.id, &prepared, known, spending).await?;
    let text = Arc::try_unwrap(uncut).map_or_else(|uncut| uncut.text.clone(), |uncut| uncut.text);
    Ok(Derived {
        title: prepared.title,
        text,
        cut: Cut { recipe: recipe.id, chunks: prepared.chunks, embeddings },
        also,
        chunking: recipe.chunking,
        comments: prepared.comments,
    })
}

/// Cuts a text by a recipe, on the compute threads.
pub(crate) async fn cut(shared: &Shared, recipe: &Recipe, uncut: &Arc<Uncut>) -> Result<Prepared, IngestError> {
    let (embedder, uncut) = (shared.embedder.clone(), Arc::clone(uncut));
    let cutting = recipe.chunking.of(uncut.source.as_deref());
    let prepared = shared.compute.run(move || prepare(&embedder, cutting, &uncut)).await?;
    match prepared.chunks.len() {
        chunks if chunks > limits::CHUNKS_PER_DOCUMENT_MAX => Err(IngestError::TooManyChunks { chunks }),
        _ => Ok(prepared),
    }
}

/// Cuts a normalised text. Pure computing; call it on the compute pool.
pub(crate) fn prepare(embedder: &Embedder, cutting: Cutting, uncut: &Uncut) -> Prepared {
    let Uncut { id, format, title, text, .. } = uncut;
    let outline = catena_text::outline(*format, text);
    let title = title.clone().or_else(|| outline.title.clone()).unwrap_or_else(|| last_part(id));
    let rules = recipe::rules(embedder, cutting);
    let counter = embedder.counter();
    let pieces = catena_text::chunk(text, &title, &outline, &rules, &|text| counter.count(text));
    let mut chunks = Vec::with_capacity(pieces.len());
    let mut inputs = Vec::with_capacity(pieces.len());
    for chunk in pieces {
        let breadcrumb = catena_text::breadcrumb(&title, &chunk.headings);
        let input = catena_text::embedding_text(&breadcrumb, chunk.span.of(text).unwrap_or_default());
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
    let comments = outline.blocks.iter().filter(|block| block.kind == BlockKind::Comment).count();
    Prepared { title, chunks, inputs, comments }
}

/// Embeds what the tenant has no vector for, each distinct text once. Its tokens are spent before. What is in `at_hand`
/// is not embedded again.
pub(crate) async fn embed_missing(
    shared: &Shared,
    scope: &Scope,
    recipe: &RecipeId,
    prepared: &Prepared,
    at_hand: &[([u8; 32], Vec<f16>)],
    spending: Spending,
) -> Result<Embedded, IngestError> {
    let hashes: Vec<[u8; 32]> = prepared.chunks.iter().map(|chunk| chunk.hash).collect();
    let mut known: HashSet<[u8; 32]> = shared.catalog.embeddings_known(scope, recipe, &hashes).await?;
    let at_hand: HashMap<[u8; 32], &Vec<f16>> = at_hand.iter().map(|(hash, vector)| (*hash, vector)).collect();
    let (mut embedded, mut missing, mut texts, mut tokens) = (Embedded::new(), Vec::new(), Vec::new(), 0);
    for (chunk, input) in prepared.chunks.iter().zip(&prepared.inputs) {
        if !known.insert(chunk.hash) {
            continue;
        }
        if let Some(vector) = at_hand.get(&chunk.hash) {
            embedded.push((chunk.hash, (*vector).clone()));
            continue;
        }
        missing.push(chunk.hash);
        texts.push(input.clone());
        tokens += u64::from(chunk.tokens);
    }
    if texts.is_empty() {
        return Ok(embedded);
    }
    shared.catalog.spend_tokens(scope, tokens, spending).await?;
    let vectors = shared.embedder.embed_documents(scope.tenant(), texts).await?;
    embedded.extend(missing.into_iter().zip(vectors));
    Ok(embedded)
}

fn last_part(id: &DocumentId) -> String {
    id.as_str().rsplit('/').find(|part| !part.is_empty()).unwrap_or(id.as_str()).to_owned()
}
