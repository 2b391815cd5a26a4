//! A model's folder: an ONNX graph, a tokenizer and `catena-model.toml`, which says how they are to be used.
//!
//! Promises: a `ModelSpec` holds bytes that match their described hashes, a tokenizer that was read from them, and a
//! fingerprint of everything that a vector depends on, so that equal fingerprints mean comparable vectors. Unknown keys
//! are refused by name. Does not: run the graph, or fetch anything (see `registry`).

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokenizers::Tokenizer;

use crate::error::EmbeddingError;
use crate::registry;

pub(crate) const DESCRIPTION: &str = "catena-model.toml";
pub(crate) const GRAPH: &str = "model.onnx";
pub(crate) const TOKENIZER: &str = "tokenizer.json";

const DESCRIPTION_LIMIT_BYTES: u64 = 64 << 10;
const TOKENIZER_LIMIT_BYTES: u64 = 128 << 20;
const GRAPH_LIMIT_BYTES: u64 = 16 << 30;
const DIMENSION_LIMIT: usize = 16_384;
const WINDOW_LIMIT_TOKENS: usize = 131_072;
const NAME_LIMIT_BYTES: usize = 256;
const PREFIX_LIMIT_BYTES: usize = 4_096;
const FILES_LIMIT: usize = 64;
/// Part of every fingerprint: changes when this crate computes a vector from the same model in another way.
const FINGERPRINT_CONTEXT: &str = "catena embedding model, computed as of version 1";

/// How token vectors become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Pooling {
    /// Their mean, over the tokens that count.
    Mean,
    /// The first one.
    Cls,
}

/// What the graph's weights are stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Precision {
    Fp32,
    Fp16,
    Int8,
    Int4,
}

/// `catena-model.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) dimension: usize,
    /// What the graph reads at once, the tokenizer's own marks included.
    pub(crate) max_tokens: usize,
    pub(crate) pooling: Pooling,
    pub(crate) normalise: bool,
    pub(crate) query_prefix: String,
    pub(crate) document_prefix: String,
    pub(crate) precision: Precision,
    /// The graph's output to read, if it is neither `last_hidden_state` nor the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<String>,
    /// File name to SHA-256. `model.onnx` and `tokenizer.json` are required, others are the graph's external data.
    pub(crate) files: BTreeMap<String, String>,
}

impl Description {
    fn check(&self) -> Result<(), String> {
        let within = |what: &str, value: usize, limit: usize| {
            let fits = (1..=limit).contains(&value);
            if fits { Ok(()) } else { Err(format!("{what} is {value}, it must be 1 to {limit}")) }
        };
        within("the length of name", self.name.len(), NAME_LIMIT_BYTES)?;
        within("dimension", self.dimension, DIMENSION_LIMIT)?;
        within("max_tokens", self.max_tokens, WINDOW_LIMIT_TOKENS)?;
        within("the number of files", self.files.len(), FILES_LIMIT)?;
        for prefix in [&self.query_prefix, &self.document_prefix] {
            within("the length of a prefix", prefix.len() + 1, PREFIX_LIMIT_BYTES)?;
        }
        for required in [GRAPH, TOKENIZER] {
            if !self.files.contains_key(required) {
                return Err(format!("[files] does not name {required}"));
            }
        }
        for (name, digest) in &self.files {
            if !is_plain_name(name) {
                return Err(format!("[files] names {name:?}, which is not a file in the same folder"));
            }
            if digest.len() != 64 || !digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
                return Err(format!("[files] has no lower-case SHA-256 for {name}"));
            }
        }
        Ok(())
    }

    /// One hash over everything that a vector depends on; each field is preceded by its length, so none can be mistaken
    /// for a part of another.
    fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key(FINGERPRINT_CONTEXT);
        let mut field = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        for (name, digest) in &self.files {
            field(name.as_bytes());
            field(digest.as_bytes());
        }
        field(&(self.dimension as u64).to_le_bytes());
        field(&(self.max_tokens as u64).to_le_bytes());
        field(format!("{:?} {} {:?}", self.pooling, self.normalise, self.precision).as_bytes());
        field(self.query_prefix.as_bytes());
        field(self.document_prefix.as_bytes());
        field(self.output.as_deref().unwrap_or_default().as_bytes());
        hasher.finalize().to_hex().to_string()
    }
}

/// What stays in memory of a model while it runs.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) description: Description,
    pub(crate) fingerprint: String,
    pub(crate) tokenizer: Tokenizer,
    /// Tokens that a text may have: the window less the tokenizer's marks and the document prefix.
    pub(crate) text_tokens: usize,
}

impl Facts {
    pub(crate) fn count_tokens(&self, text: &str) -> usize {
        // The tokenizers in use fail on no text; if one did, the text would be refused when it is embedded.
        self.tokenizer.encode_fast(text, false).map_or(usize::MAX, |encoding| encoding.len())
    }
}

/// A verified model: its facts, and its bytes until the workers have read them.
pub struct ModelSpec {
    pub(crate) facts: Arc<Facts>,
    pub(crate) graph: Vec<u8>,
    pub(crate) external: Vec<(String, Arc<[u8]>)>,
}

impl std::fmt::Debug for ModelSpec {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ModelSpec")
            .field("description", &self.facts.description)
            .field("fingerprint", &self.facts.fingerprint)
            .finish_non_exhaustive()
    }
}

impl ModelSpec {
    /// The model's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.facts.description.name
    }

    /// Numbers in a vector.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.facts.description.dimension
    }

    /// Tokens that a document's text may have, as `Embedder::count_tokens` counts them: the model's window less the
    /// tokenizer's own marks and the document prefix.
    #[must_use]
    pub fn max_tokens(&self) -> usize {
        self.facts.text_tokens
    }

    /// A hash (hex) over everything that a vector depends on.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.facts.fingerprint
    }
}

/// Opens a model by the path of its folder, by the name of a folder below `models_dir`, or by its name in the registry,
/// in this order. A model of the registry that is not there yet is fetched, which can take minutes and blocks.
pub fn open_model(models_dir: &Path, name_or_folder: &str) -> Result<ModelSpec, EmbeddingError> {
    let given = Path::new(name_or_folder);
    if given.join(DESCRIPTION).is_file() {
        return open_folder(given);
    }
    let below = models_dir.join(name_or_folder);
    if is_plain_name(name_or_folder) && below.join(DESCRIPTION).is_file() {
        return open_folder(&below);
    }
    match registry::find(name_or_folder) {
        Some(entry) => open_folder(&registry::bring(&entry, models_dir)?),
        None => {
            Err(EmbeddingError::ModelMissing { name: name_or_folder.to_owned(), models_dir: models_dir.to_owned() })
        }
    }
}

fn open_folder(folder: &Path) -> Result<ModelSpec, EmbeddingError> {
    let path = folder.join(DESCRIPTION);
    let wrong = |reason: String| EmbeddingError::ModelDescription { path: path.clone(), reason };
    let bytes = read_limited(&path, DESCRIPTION_LIMIT_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
    let description: Description =
        toml::from_str(&text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
    description.check().map_err(wrong)?;

    let mut graph = Vec::new();
    let mut tokenizer = Vec::new();
    let mut external = Vec::new();
    for (name, digest) in &description.files {
        let limit = if name == TOKENIZER { TOKENIZER_LIMIT_BYTES } else { GRAPH_LIMIT_BYTES };
        let bytes = read_verified(&folder.join(name), digest, limit)?;
        match name.as_str() {
            GRAPH => graph = bytes,
            TOKENIZER => tokenizer = bytes,
            _ => external.push((name.clone(), Arc::from(bytes))),
        }
    }
    let facts = Arc::new(facts(description, &tokenizer)?);
    Ok(ModelSpec { facts, graph, external })
}

fn facts(description: Description, tokenizer: &[u8]) -> Result<Facts, EmbeddingError> {
    let unusable = |reason: String| EmbeddingError::ModelUnusable { name: description.name.clone(), reason };
    let mut tokenizer =
        Tokenizer::from_bytes(tokenizer).map_err(|error| unusable(format!("{TOKENIZER} cannot be read: {error}")))?;
    // Published tokenizers cut and pad by themselves; here a text is embedded whole or refused.
    tokenizer.with_truncation(None).map_err(|error| unusable(error.to_string()))?;
    tokenizer.with_padding(None);
    let taken = tokenizer
        .encode_fast(description.document_prefix.as_str(), true)
        .map_err(|error| unusable(format!("its document prefix cannot be tokenised: {error}")))?
        .len();
    let text_tokens = description.max_tokens.checked_sub(taken).filter(|left| *left > 0).ok_or_else(|| {
        unusable(format!(
            "its window of {} tokens leaves no room beside {taken} of prefix and marks",
            description.max_tokens
        ))
    })?;
    let fingerprint = description.fingerprint();
    Ok(Facts { description, fingerprint, tokenizer, text_tokens })
}

/// A name that can only mean a direct child of a folder.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let plain = matches!(parts.next(), Some(Component::Normal(part)) if part == name);
    plain && parts.next().is_none() && name.len() <= NAME_LIMIT_BYTES
}

fn read_limited(path: &Path, limit_bytes: u64) -> Result<Vec<u8>, EmbeddingError> {
    let failed = |source| EmbeddingError::ModelFile { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let mut bytes = Vec::with_capacity(usize::try_from(size.min(limit_bytes)).unwrap_or_default());
    file.take(limit_bytes + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit_bytes {
        return Err(failed(std::io::Error::other(format!("it is larger than {limit_bytes} bytes"))));
    }
    Ok(bytes)
}

fn read_verified(path: &Path, expected: &str, limit_bytes: u64) -> Result<Vec<u8>, EmbeddingError> {
    let bytes = read_limited(path, limit_bytes)?;
    let found = hex(&Sha256::digest(&bytes));
    if found == expected {
        Ok(bytes)
    } else {
        Err(EmbeddingError::ModelDamaged { path: PathBuf::from(path), expected: expected.to_owned(), found })
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Description {
        Description {
            name: "m".to_owned(),
            dimension: 384,
            max_tokens: 256,
            pooling: Pooling::Mean,
            normalise: true,
            query_prefix: String::new(),
            document_prefix: String::new(),
            precision: Precision::Fp32,
            output: None,
            files: [(GRAPH, "0".repeat(64)), (TOKENIZER, "1".repeat(64))]
                .map(|(name, hash)| (name.to_owned(), hash))
                .into(),
        }
    }

    #[test]
    fn everything_that_changes_a_vector_changes_the_fingerprint_and_the_name_does_not() {
        let changes: [fn(&mut Description); 10] = [
            |it| it.dimension = 383,
            |it| it.max_tokens = 128,
            |it| it.pooling = Pooling::Cls,
            |it| it.normalise = false,
            |it| it.query_prefix = "query: ".to_owned(),
            |it| it.document_prefix = "query: ".to_owned(),
            |it| it.precision = Precision::Int8,
            |it| it.output = Some("query: ".to_owned()),
            |it| _ = it.files.insert(GRAPH.to_owned(), "2".repeat(64)),
            |it| _ = it.files.insert(TOKENIZER.to_owned(), "2".repeat(64)),
        ];
        let mut seen = std::collections::HashSet::from([description().fingerprint()]);
        for change in changes {
            let mut changed = description();
            change(&mut changed);
            assert!(seen.insert(changed.fingerprint()), "{changed:?}");
        }
        let mut renamed = description();
        renamed.name = "n".to_owned();
        assert_eq!(renamed.fingerprint(), description().fingerprint());
    }

    #[test]
    fn a_description_that_points_outside_its_folder_or_makes_no_sense_is_refused() {
        assert_eq!(description().check(), Ok(()));
        let mistakes: [fn(&mut Description); 6] = [
            |it| _ = it.files.insert("../secret".to_owned(), "2".repeat(64)),
            |it| _ = it.files.insert("/etc/passwd".to_owned(), "2".repeat(64)),
            |it| _ = it.files.remove(GRAPH),
            |it| _ = it.files.insert(GRAPH.to_owned(), "abc".to_owned()),
            |it| it.dimension = 0,
            |it| it.max_tokens = usize::MAX,
        ];
        for mistake in mistakes {
            let mut wrong = description();
            mistake(&mut wrong);
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_plain_name_is_one_folder_and_nothing_else() {
        for name in ["a", "all-minilm-l6-v2", "a.b"] {
            assert!(is_plain_name(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "/a", "a/", "./a"] {
            assert!(!is_plain_name(name), "{name}");
        }
    }
}
