//! How a tenant's documents are cut, on the wire.

use std::collections::BTreeMap;

use catena_catalog::{Chunking, Cutting};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How documents are cut. What is absent or null is left to the model.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChunkingBody {
    /// Tokens that a chunk is filled up to, 32 to 2,048, counted by the embedding model; never more than its window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target_tokens: Option<u32>,
    /// Whether a table that fits a chunk stays whole, which is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keep_tables: Option<bool>,
    /// Whether a block of code that fits a chunk stays whole, which is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keep_code: Option<bool>,
    /// For documents of a source, by its name: what differs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    sources: BTreeMap<String, CuttingBody>,
}

/// What differs for the documents of one source.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CuttingBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target_tokens: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keep_tables: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keep_code: Option<bool>,
}

impl From<CuttingBody> for Cutting {
    fn from(body: CuttingBody) -> Self {
        let CuttingBody { target_tokens, keep_tables, keep_code } = body;
        Self { target_tokens, keep_tables, keep_code }
    }
}

impl From<Cutting> for CuttingBody {
    fn from(cutting: Cutting) -> Self {
        let Cutting { target_tokens, keep_tables, keep_code } = cutting;
        Self { target_tokens, keep_tables, keep_code }
    }
}

impl From<ChunkingBody> for Chunking {
    fn from(body: ChunkingBody) -> Self {
        let ChunkingBody { target_tokens, keep_tables, keep_code, sources } = body;
        Self {
            all: Cutting { target_tokens, keep_tables, keep_code },
            sources: sources.into_iter().map(|(name, cutting)| (name, cutting.into())).collect(),
        }
    }
}

impl From<Chunking> for ChunkingBody {
    fn from(chunking: Chunking) -> Self {
        let Cutting { target_tokens, keep_tables, keep_code } = chunking.all;
        let sources = chunking.sources.into_iter().map(|(name, cutting)| (name, cutting.into())).collect();
        Self { target_tokens, keep_tables, keep_code, sources }
    }
}
