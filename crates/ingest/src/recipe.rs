//! The recipe: everything that decides what chunks and vectors a text becomes.
//!
//! A recipe has two parts: what decides a text's vector, and how texts are cut. Two recipes of one model differ in the
//! second alone, so their vectors may stand beside each other, and one is asked for what the other has embedded.

use catena_access::Scope;
use catena_catalog::{Chunking, Cutting};
use catena_domain::{RecipeId, limits};
use catena_embedding::Embedder;
use catena_text::{CHUNKER_VERSION, ChunkRules, Keeping, PARSER_VERSION};

use crate::{Ingest, IngestError, Shared};

/// A chunk aims at this share of the window, so that a heading or a last sentence still fits.
const TARGET_SHARE_PERCENT: usize = 80;

/// The chunking rules that go with a model and a tenant's settings.
#[must_use]
pub fn rules(embedder: &Embedder, cutting: Cutting) -> ChunkRules {
    let window_tokens = embedder.max_tokens();
    let wanted = cutting.target_tokens.map(|tokens| tokens as usize);
    let keeping = |keep: Option<bool>| if keep.unwrap_or(true) { Keeping::Whole } else { Keeping::Parted };
    ChunkRules {
        window_tokens,
        target_tokens: wanted.unwrap_or(window_tokens * TARGET_SHARE_PERCENT / 100).min(window_tokens),
        max_bytes: limits::CHUNK_BYTES_MAX,
        tables: keeping(cutting.keep_tables),
        code: keeping(cutting.keep_code),
    }
}

/// The fingerprint of parser, chunker, settings and model. Vectors of different models are never compared.
#[must_use]
pub fn of(embedder: &Embedder, chunking: &Chunking) -> RecipeId {
    let mut text = format!("parser {PARSER_VERSION}\nchunker {CHUNKER_VERSION}\n");
    let sources = chunking.sources.keys().map(|name| (name.as_str(), chunking.of(Some(name))));
    // A source that is cut as all others are is no difference.
    let differing = sources.filter(|(_, cutting)| rules(embedder, *cutting) != rules(embedder, chunking.all));
    for (name, cutting) in std::iter::once(("", chunking.all)).chain(differing) {
        text.push_str(&format!("{name:?} {:?}\n", rules(embedder, cutting)));
    }
    let digits = |text: &str| blake3::hash(text.as_bytes()).to_hex();
    RecipeId::of_parts(&digits(embedder.fingerprint()), &digits(&text))
        .unwrap_or_else(|_| unreachable!("hexadecimal digits are a recipe id"))
}

/// A recipe with the settings that it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recipe {
    pub(crate) id: RecipeId,
    pub(crate) chunking: Chunking,
}

/// By which recipes a tenant's documents are written now.
#[derive(Debug, Clone)]
pub(crate) struct Recipes {
    /// The one that the tenant wants.
    pub(crate) wanted: Recipe,
    /// The one of the generation that answers, when it is another and can still be followed: what is written is found
    /// in that generation until the one that is being built takes its place.
    pub(crate) also: Option<Recipe>,
}

pub(crate) async fn recipes(shared: &Shared, scope: &Scope) -> Result<Recipes, IngestError> {
    let cuttings = shared.catalog.cuttings(scope).await?;
    let named = |chunking: Chunking| Recipe { id: of(&shared.embedder, &chunking), chunking };
    let (wanted, live) = (named(cuttings.wanted), named(cuttings.live.chunking));
    let is_followed = live.id == cuttings.live.recipe && live.id != wanted.id;
    Ok(Recipes { wanted, also: is_followed.then_some(live) })
}

impl Ingest {
    /// The recipe by which documents are cut so, from now on.
    #[must_use]
    pub fn recipe_of(&self, chunking: &Chunking) -> RecipeId {
        of(&self.0.embedder, chunking)
    }

    /// Whether the tenant's index is built by the recipe that the tenant wants.
    pub async fn is_current(&self, scope: &Scope) -> Result<bool, IngestError> {
        let cuttings = self.0.catalog.cuttings(scope).await?;
        Ok(self.recipe_of(&cuttings.wanted) == cuttings.live.recipe)
    }
}
