//! What can go wrong on the way from a text to a vector, each with its facts and the way out.

use std::path::PathBuf;

use catena_domain::ErrorKind;

/// How to get what is missing; part of several messages.
const PROVISION: &str = "run `python3 deploy/provision/provision.py`";

/// Why a text has no vector.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddingError {
    /// No ONNX Runtime library where one may be.
    #[error(
        "no ONNX Runtime library found (looked at {}): {PROVISION}, or name a library of version 1.24 or later in \
         CATENA_ONNXRUNTIME", list(.looked))]
    LibraryMissing {
        /// Every place that was looked at.
        looked: Vec<PathBuf>,
    },
    /// A file that is not a usable ONNX Runtime.
    #[error(
        "cannot use {} as the ONNX Runtime library: {reason}; {PROVISION}, or name another one in CATENA_ONNXRUNTIME",
        .path.display())]
    LibraryUnusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An ONNX Runtime from before the interface that is used here.
    #[error(
        "the ONNX Runtime library {} is version {version}, 1.24 or later is needed: {PROVISION}, or name another one in \
         CATENA_ONNXRUNTIME", .path.display())]
    LibraryTooOld {
        /// The file.
        path: PathBuf,
        /// What it says of itself.
        version: String,
    },
    /// A process can load one ONNX Runtime only.
    #[error("this process already uses {}, it cannot use {} too: restart it to change the library",
        .loaded.display(), .asked.display())]
    LibraryFixed {
        /// The library in use.
        loaded: PathBuf,
        /// The one asked for.
        asked: PathBuf,
    },
    /// Nothing of this name.
    #[error(
        "there is no model {name}: it is not a folder with a catena-model.toml, not a folder below {}, and not a name in \
         the registry; {PROVISION} for the default model, or name the folder of another", .models_dir.display())]
    ModelMissing {
        /// What was asked for.
        name: String,
        /// Where models are kept.
        models_dir: PathBuf,
    },
    /// A model of the registry that has not been fetched.
    #[error(
        "the model {name} is known but not below {} yet: `catena model pull {name}` fetches it", .models_dir.display())]
    ModelNotHere {
        /// What was asked for.
        name: String,
        /// Where models are kept.
        models_dir: PathBuf,
    },
    /// A model that nobody said may run here.
    #[error(
        "the model {name} is not on the list of models that may run here: if you trust it, add its fingerprint \
         {fingerprint} to the setting allowed_models (CATENA_ALLOWED_MODELS); `catena model check` looks at it"
    )]
    ModelNotAllowed {
        /// The model.
        name: String,
        /// What to allow.
        fingerprint: String,
    },
    /// A model of the registry that could not be fetched.
    #[error(
        "cannot fetch the model {name}: {reason}; either bring its folder from a machine with a network into {}, or use \
         the default model ({PROVISION})", .models_dir.display())]
    ModelNotFetched {
        /// The model's name in the registry.
        name: String,
        /// What stopped it.
        reason: String,
        /// Where models are kept.
        models_dir: PathBuf,
    },
    /// A file of a model that cannot be read or written.
    #[error("cannot access {}: {source}; check that it exists and its permissions, or bring the model again", .path.display())]
    ModelFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A `catena-model.toml` that says something wrong.
    #[error("{} is not a model's description: {reason}; mend it, or bring the model again", .path.display())]
    ModelDescription {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file of a model whose bytes are not those that were described.
    #[error("{} is damaged: its SHA-256 is {found}, its description says {expected}; bring the model again", .path.display())]
    ModelDamaged {
        /// The file.
        path: PathBuf,
        /// What the description says.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A whole model that does not work here.
    #[error("the model {name} cannot be used: {reason}; choose another model, or correct its catena-model.toml")]
    ModelUnusable {
        /// The model.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// More tokens than the model reads at once.
    #[error("text {position} has {tokens} tokens, the model reads {limit} at once: split it into smaller chunks")]
    TextTooLong {
        /// Which of the texts given, from 0.
        position: usize,
        /// Its tokens.
        tokens: usize,
        /// How many there may be.
        limit: usize,
    },
    /// More bytes than are worth counting tokens in.
    #[error("text {position} has {bytes} bytes, at most {limit_bytes} are taken: split it into smaller chunks")]
    TextTooLarge {
        /// Which of the texts given, from 0.
        position: usize,
        /// Its size.
        bytes: usize,
        /// How large it may be.
        limit_bytes: usize,
    },
    /// The tokenizer refused the text.
    #[error("text {position} cannot be tokenised: {reason}; leave it out")]
    Tokenise {
        /// Which of the texts given, from 0.
        position: usize,
        /// What the tokenizer said.
        reason: String,
    },
    /// ONNX Runtime failed on a text.
    #[error("the model failed on text {position}: {reason}")]
    Run {
        /// Which of the texts given, from 0.
        position: usize,
        /// What ONNX Runtime said.
        reason: String,
    },
    /// A vector that cannot be compared with others.
    #[error(
        "the model gave a vector that is {defect} for text {position}: leave the text out, or choose another model"
    )]
    BadVector {
        /// Which of the texts given, from 0.
        position: usize,
        /// `zero` or `not finite`.
        defect: &'static str,
    },
    /// A server that gave no answer.
    #[error("the embedding server {address} is away: {reason}; it is tried again by itself")]
    RemoteAway {
        /// Where it should be.
        address: String,
        /// What happened.
        reason: String,
    },
    /// A server that will not answer this.
    #[error("the embedding server {address} cannot be used: {reason}; compare it with the model's catena-model.toml")]
    RemoteRefused {
        /// Where it is.
        address: String,
        /// What it said.
        reason: String,
    },
    /// A worker thread that could not be started.
    #[error("cannot start an embedding thread: {source}; lower the number of workers or raise the limit on threads")]
    Thread {
        /// What the system said.
        source: std::io::Error,
    },
    /// The workers are gone.
    #[error("the embedding workers have stopped: see the log for the reason and restart the service")]
    Stopped,
}

impl EmbeddingError {
    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TextTooLong { .. }
            | Self::TextTooLarge { .. }
            | Self::Tokenise { .. }
            | Self::ModelDescription { .. } => ErrorKind::Invalid,
            Self::ModelMissing { .. } | Self::ModelNotHere { .. } => ErrorKind::NotFound,
            Self::ModelNotAllowed { .. } => ErrorKind::Denied,
            Self::LibraryFixed { .. } => ErrorKind::Conflict,
            Self::ModelDamaged { .. } => ErrorKind::Corrupt,
            Self::Run { .. } | Self::BadVector { .. } => ErrorKind::Internal,
            Self::LibraryMissing { .. }
            | Self::LibraryUnusable { .. }
            | Self::LibraryTooOld { .. }
            | Self::ModelNotFetched { .. }
            | Self::ModelFile { .. }
            | Self::ModelUnusable { .. }
            | Self::RemoteAway { .. }
            | Self::RemoteRefused { .. }
            | Self::Thread { .. }
            | Self::Stopped => ErrorKind::Unavailable,
        }
    }

    /// The same for another text of the same request.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::RemoteAway { address, reason } => {
                Self::RemoteAway { address: address.clone(), reason: reason.clone() }
            }
            Self::RemoteRefused { address, reason } => {
                Self::RemoteRefused { address: address.clone(), reason: reason.clone() }
            }
            _ => Self::Stopped,
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
