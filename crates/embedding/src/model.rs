//! A model's folder: its description, a tokenizer, and either an ONNX graph or the name of a server that has one.
//!
//! Promises: a `ModelSpec` holds bytes that match their described hashes, a tokenizer that was read from them, and is one
//! that somebody allowed. Does not: run the graph, or fetch anything (see `registry`).

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokenizers::Tokenizer;

use crate::counter;
use crate::description::{DESCRIPTION, Description, GRAPH, Kind, Precision, Remote, TOKENIZER, WEIGHTS, is_plain_name};
use crate::error::EmbeddingError;
use crate::registry;

const DESCRIPTION_LIMIT_BYTES: u64 = 64 << 10;
const TOKENIZER_LIMIT_BYTES: u64 = 128 << 20;
const GRAPH_LIMIT_BYTES: u64 = 16 << 30;

/// The model that is used unless another is named.
pub const DEFAULT_MODEL: &str = "all-minilm-l6-v2-int8";

/// The models that this release was made and measured with, as provisioning brings them.
const KNOWN: [&str; 3] = [
    "50e5483c9064a24dbd32a287c2736156b2ebf98f6d4dff05b34aa7b8d2db3c8f",
    "5835c79c6f5a0370e98d22505f4cf66dbfb4fc7f25a95aee870709d70ccbb55e",
    "5651b2dc51aa87a8ade931a5cc73f4784ef279603212eb80edb2d53a4b9ab984",
];

/// The models that may be opened: those that the project brings, and those that an administrator named.
///
/// A description holds the hashes of its files, but whoever can change a file can change the description too. What may
/// run is therefore said somewhere else.
#[derive(Debug, Clone, Default)]
pub struct Allowed(BTreeSet<String>);

impl Allowed {
    /// The project's own models and those with these fingerprints.
    #[must_use]
    pub fn with(fingerprints: impl IntoIterator<Item = String>) -> Self {
        Self(fingerprints.into_iter().collect())
    }

    /// The fingerprints that an administrator named, beside the project's own.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether a model with this fingerprint may be opened.
    #[must_use]
    pub fn has(&self, fingerprint: &str) -> bool {
        KNOWN.contains(&fingerprint) || self.0.contains(fingerprint)
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
    /// Whether a text's tokens are those of its words.
    pub(crate) reads_words_apart: bool,
}

impl Facts {
    pub(crate) fn count_tokens(&self, text: &str) -> usize {
        // The tokenizers in use fail on no text; if one did, the text would be refused when it is embedded.
        self.tokenizer.encode_fast(text, false).map_or(usize::MAX, |encoding| encoding.len())
    }

    pub(crate) fn unusable(&self, reason: impl Into<String>) -> EmbeddingError {
        EmbeddingError::ModelUnusable { name: self.description.name.clone(), reason: reason.into() }
    }
}

/// Where a model's arithmetic is.
pub(crate) enum Source {
    Graph(Graph),
    Remote(Remote),
}

/// A graph's bytes.
pub(crate) struct Graph {
    pub(crate) nodes: Vec<u8>,
    /// A safetensors file that holds the initialisers by name, if the model has one.
    pub(crate) weights: Option<Vec<u8>>,
    /// Other files that the graph refers to.
    pub(crate) external: Vec<(String, Arc<[u8]>)>,
    pub(crate) precision: Precision,
}

/// A verified model: its facts, and its bytes until they have been loaded.
pub struct ModelSpec {
    pub(crate) facts: Arc<Facts>,
    pub(crate) source: Source,
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

    /// What it makes of a text.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.facts.description.kind
    }

    /// What its weights are stored as; nobody here knows it of a remote one.
    #[must_use]
    pub fn precision(&self) -> Option<Precision> {
        self.facts.description.precision
    }

    /// The address of the server that runs it, if it does not run here.
    #[must_use]
    pub fn remote_url(&self) -> Option<&str> {
        self.facts.description.remote.as_ref().map(|remote| remote.url.as_str())
    }

    /// Numbers in a vector.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.facts.description.dimension
    }

    /// Tokens that the model reads at once, the tokenizer's own marks and the prefixes included.
    #[must_use]
    pub fn window_tokens(&self) -> usize {
        self.facts.description.max_tokens
    }

    /// Whether its vectors have length one.
    #[must_use]
    pub fn normalises(&self) -> bool {
        self.facts.description.normalise
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

    pub(crate) fn require(&self, kind: Kind) -> Result<(), EmbeddingError> {
        if self.kind() == kind {
            return Ok(());
        }
        let (is, wanted) = (self.kind().as_str(), kind.as_str());
        Err(self.facts.unusable(format!("it is of the kind {is}, and what is wanted here is {wanted}")))
    }
}

/// The folder of a model: the path of a folder, or the name of one below `models_dir`.
#[must_use]
pub fn find_model(models_dir: &Path, name_or_folder: &str) -> Option<PathBuf> {
    let given = PathBuf::from(name_or_folder);
    let below = models_dir.join(name_or_folder);
    let is_model = |folder: &PathBuf| folder.join(DESCRIPTION).is_file();
    Some(given)
        .filter(is_model)
        .or_else(|| Some(below).filter(|below| is_plain_name(name_or_folder) && is_model(below)))
}

/// Opens a model that is there and allowed.
pub fn open_model(models_dir: &Path, name_or_folder: &str, allowed: &Allowed) -> Result<ModelSpec, EmbeddingError> {
    let model = inspect_model(models_dir, name_or_folder)?;
    if allowed.has(model.fingerprint()) {
        return Ok(model);
    }
    Err(EmbeddingError::ModelNotAllowed { name: model.name().to_owned(), fingerprint: model.fingerprint().to_owned() })
}

/// Opens a model to look at it: its files are verified, but nobody has said that it may run.
pub fn inspect_model(models_dir: &Path, name_or_folder: &str) -> Result<ModelSpec, EmbeddingError> {
    match find_model(models_dir, name_or_folder) {
        Some(folder) => open_folder(&folder),
        None if registry::find(name_or_folder).is_some() => {
            Err(EmbeddingError::ModelNotHere { name: name_or_folder.to_owned(), models_dir: models_dir.to_owned() })
        }
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

    let (mut nodes, mut weights, mut tokenizer, mut external) = (Vec::new(), None, Vec::new(), Vec::new());
    for (name, digest) in &description.files {
        let limit = if name == TOKENIZER { TOKENIZER_LIMIT_BYTES } else { GRAPH_LIMIT_BYTES };
        let bytes = read_verified(&folder.join(name), digest, limit)?;
        match name.as_str() {
            GRAPH => nodes = bytes,
            WEIGHTS => weights = Some(bytes),
            TOKENIZER => tokenizer = bytes,
            _ => external.push((name.clone(), Arc::from(bytes))),
        }
    }
    let source = match (&description.remote, description.precision) {
        (Some(remote), _) => Source::Remote(remote.clone()),
        (None, precision) => {
            let precision = precision.unwrap_or(Precision::Int8);
            Source::Graph(Graph { nodes, weights, external, precision })
        }
    };
    let facts = Arc::new(facts(description, &tokenizer)?);
    Ok(ModelSpec { facts, source })
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
    let reads_words_apart = counter::reads_words_apart(&tokenizer);
    Ok(Facts { description, fingerprint, tokenizer, text_tokens, reads_words_apart })
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
