//! Text to vectors: where ONNX Runtime is, what a model is, and the threads that run it or ask a server that does.
//!
//! Promises: the same text gives the same vector, bit for bit, whatever else is being embedded; a document is embedded
//! whole or refused, never cut silently; a vector is finite and not zero; what a recipe must know of a model is in its
//! fingerprint; queries do not wait for documents, and no tenant waits for all of another's; a missing, old, damaged or
//! unlisted library or model is a message that says what to do, not a panic or a hang.
//!
//! Does not: split documents, cache documents' vectors or keep text. This is the only crate that names `ort` and
//! `fastembed`.

mod answer;
mod breaker;
mod counter;
mod description;
mod device;
mod embedder;
mod error;
mod lane;
mod library;
mod locate;
mod model;
mod recent;
mod registry;
mod remote;
mod runs;
mod session;
mod tokens;
mod vector;
mod weights;
mod worker;

pub use answer::{QueryVector, Score};
pub use counter::Counter;
pub use description::{Kind, Precision};
pub use device::Device;
pub use embedder::{Embedder, Place, Reranker};
pub use error::EmbeddingError;
pub use library::check_library;
pub use locate::find_library;
pub use model::{Allowed, DEFAULT_MODEL, ModelSpec, find_model, inspect_model, open_model};
pub use registry::{Pulled, Registered, pull_model, registry};
pub use remote::Secret;
