//! The recipe: everything that decides what chunks and vectors a text becomes.

use catena_domain::{RecipeId, limits};
use catena_embedding::Embedder;
use catena_text::{CHUNKER_VERSION, ChunkRules, PARSER_VERSION};

/// A chunk aims at this share of the window, so that a heading or a last sentence still fits.
const TARGET_SHARE_PERCENT: usize = 80;

/// The chunking rules that go with a model.
#[must_use]
pub fn rules(embedder: &Embedder) -> ChunkRules {
    let window_tokens = embedder.max_tokens();
    ChunkRules {
        window_tokens,
        target_tokens: window_tokens * TARGET_SHARE_PERCENT / 100,
        max_bytes: limits::CHUNK_BYTES_MAX,
    }
}

/// The fingerprint of parser, chunker, rules and model. Vectors of different fingerprints are never compared.
#[must_use]
pub fn of(embedder: &Embedder) -> RecipeId {
    let rules = rules(embedder);
    let text = format!(
        "parser {PARSER_VERSION}\nchunker {CHUNKER_VERSION}\nwindow {} target {} bytes {}\nmodel {}\n",
        rules.window_tokens,
        rules.target_tokens,
        rules.max_bytes,
        embedder.fingerprint(),
    );
    let hash = blake3::hash(text.as_bytes()).to_hex();
    RecipeId::new(&hash[..32]).unwrap_or_else(|_| unreachable!("hexadecimal digits are a recipe id"))
}
