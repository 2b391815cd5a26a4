//! `catena-model.toml`: what a model is and how it is to be used.
//!
//! Promises: unknown keys are refused by name; a description that passed `check` names only files of its own folder; the
//! fingerprint covers everything that a vector or a score depends on, so that equal fingerprints mean comparable ones.
//! Does not: read the files that it names.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

pub(crate) const DESCRIPTION: &str = "catena-model.toml";
pub(crate) const GRAPH: &str = "model.onnx";
pub(crate) const TOKENIZER: &str = "tokenizer.json";
/// The weights of a graph by name, of which all sessions share one copy.
pub(crate) const WEIGHTS: &str = "weights.safetensors";

const DIMENSION_LIMIT: usize = 16_384;
const WINDOW_LIMIT_TOKENS: usize = 131_072;
const NAME_LIMIT_BYTES: usize = 256;
const PREFIX_LIMIT_BYTES: usize = 4_096;
const FILES_LIMIT: usize = 64;
/// Part of every fingerprint: changes when this crate computes a vector from the same model in another way.
const FINGERPRINT_CONTEXT: &str = "catena embedding model, computed as of version 2";

/// What a model makes of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A vector.
    #[default]
    Embedder,
    /// A score for a query and a passage together.
    Reranker,
}

impl Kind {
    /// Its name, as a description has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Embedder => "embedder",
            Self::Reranker => "reranker",
        }
    }
}

/// How token vectors become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Pooling {
    /// Their mean, over the tokens that count.
    #[default]
    Mean,
    /// The first one.
    Cls,
}

/// What the graph's weights are stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    Fp32,
    /// 16-bit floats.
    Fp16,
    /// 8-bit integers.
    Int8,
    /// 4-bit integers.
    Int4,
}

impl Precision {
    /// Its name, as a description has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
        }
    }

    /// Whether a text's vector stays the same in a run with other texts of its length. Integers are scaled by what the
    /// whole run holds.
    pub(crate) const fn may_share_a_run(self) -> bool {
        matches!(self, Self::Fp32 | Self::Fp16)
    }
}

/// A model that another server runs, behind the OpenAI-compatible `/v1/embeddings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Remote {
    /// Where that server's interface begins; `/embeddings` is added.
    pub(crate) url: String,
    /// What the model is called there.
    pub(crate) model: String,
}

/// `catena-model.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) kind: Kind,
    /// Numbers in a vector; a reranker has one score.
    #[serde(default = "one")]
    pub(crate) dimension: usize,
    /// What the graph reads at once, the tokenizer's own marks included.
    pub(crate) max_tokens: usize,
    #[serde(default)]
    pub(crate) pooling: Pooling,
    #[serde(default)]
    pub(crate) normalise: bool,
    #[serde(default)]
    pub(crate) query_prefix: String,
    #[serde(default)]
    pub(crate) document_prefix: String,
    /// Of a graph; what a remote server computes with is its own matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) precision: Option<Precision>,
    /// The graph's output to read, if it is neither `last_hidden_state` nor the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<String>,
    /// File name to SHA-256. `tokenizer.json` is required, and `model.onnx` unless the model is remote; others are the
    /// graph's external data.
    pub(crate) files: BTreeMap<String, String>,
    /// Where the model runs, if not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) remote: Option<Remote>,
}

const fn one() -> usize {
    1
}

impl Description {
    pub(crate) fn check(&self) -> Result<(), String> {
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
        self.check_files()?;
        match (&self.remote, self.kind) {
            (Some(_), Kind::Reranker) => Err("a reranker cannot be remote".to_owned()),
            (Some(remote), Kind::Embedder) => remote.check(),
            (None, _) if self.precision.is_none() => {
                Err("precision is missing; it is fp32, fp16, int8 or int4".to_owned())
            }
            (None, _) => Ok(()),
        }
    }

    fn check_files(&self) -> Result<(), String> {
        let required: &[&str] = if self.remote.is_some() { &[TOKENIZER] } else { &[GRAPH, TOKENIZER] };
        if let Some(absent) = required.iter().find(|name| !self.files.contains_key(**name)) {
            return Err(format!("[files] does not name {absent}"));
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
    /// for a part of another. Where a remote server stands is left out: the same model may move.
    pub(crate) fn fingerprint(&self) -> String {
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
        let precision = self.precision.map_or("", Precision::as_str);
        field(format!("{} {:?} {} {precision}", self.kind.as_str(), self.pooling, self.normalise).as_bytes());
        field(self.query_prefix.as_bytes());
        field(self.document_prefix.as_bytes());
        field(self.output.as_deref().unwrap_or_default().as_bytes());
        field(self.remote.as_ref().map_or("", |remote| &remote.model).as_bytes());
        hasher.finalize().to_hex().to_string()
    }
}

impl Remote {
    fn check(&self) -> Result<(), String> {
        if !["http://", "https://"].iter().any(|scheme| self.url.starts_with(scheme)) {
            return Err(format!("[remote] url is {:?}, it must begin with https:// or http://", self.url));
        }
        if self.model.is_empty() || self.model.len() > NAME_LIMIT_BYTES {
            return Err(format!("[remote] model must have 1 to {NAME_LIMIT_BYTES} bytes"));
        }
        Ok(())
    }
}

/// A name that can only mean a direct child of a folder.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let plain = matches!(parts.next(), Some(Component::Normal(part)) if part == name);
    plain && parts.next().is_none() && name.len() <= NAME_LIMIT_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Description {
        Description {
            name: "m".to_owned(),
            kind: Kind::Embedder,
            dimension: 384,
            max_tokens: 256,
            pooling: Pooling::Mean,
            normalise: true,
            query_prefix: String::new(),
            document_prefix: String::new(),
            precision: Some(Precision::Fp32),
            output: None,
            files: [(GRAPH, "0".repeat(64)), (TOKENIZER, "1".repeat(64))]
                .map(|(name, hash)| (name.to_owned(), hash))
                .into(),
            remote: None,
        }
    }

    fn remote(url: &str, model: &str) -> Option<Remote> {
        Some(Remote { url: url.to_owned(), model: model.to_owned() })
    }

    #[test]
    fn everything_that_changes_a_vector_changes_the_fingerprint_and_the_name_does_not() {
        let changes: [fn(&mut Description); 13] = [
            |it| it.dimension = 383,
            |it| it.max_tokens = 128,
            |it| it.pooling = Pooling::Cls,
            |it| it.normalise = false,
            |it| it.query_prefix = "query: ".to_owned(),
            |it| it.document_prefix = "query: ".to_owned(),
            |it| it.precision = Some(Precision::Int8),
            |it| it.precision = None,
            |it| it.kind = Kind::Reranker,
            |it| it.remote = remote("https://a", "query: "),
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
        let (mut here, mut there) = (description(), description());
        (here.remote, there.remote) = (remote("https://a", "m"), remote("https://b", "m"));
        assert_eq!(here.fingerprint(), there.fingerprint());
    }

    #[test]
    fn a_description_that_points_outside_its_folder_or_makes_no_sense_is_refused() {
        assert_eq!(description().check(), Ok(()));
        let mut elsewhere = description();
        (elsewhere.remote, elsewhere.precision) = (remote("https://a", "m"), None);
        elsewhere.files.remove(GRAPH);
        assert_eq!(elsewhere.check(), Ok(()));
        let mistakes: [fn(&mut Description); 10] = [
            |it| _ = it.files.insert("../secret".to_owned(), "2".repeat(64)),
            |it| _ = it.files.insert("/etc/passwd".to_owned(), "2".repeat(64)),
            |it| _ = it.files.remove(GRAPH),
            |it| _ = it.files.insert(GRAPH.to_owned(), "abc".to_owned()),
            |it| it.dimension = 0,
            |it| it.max_tokens = usize::MAX,
            |it| it.precision = None,
            |it| it.remote = remote("ftp://a", "m"),
            |it| it.remote = remote("https://a", ""),
            |it| (it.remote, it.kind) = (remote("https://a", "m"), Kind::Reranker),
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
