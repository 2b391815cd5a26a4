//! Text to vectors: where ONNX Runtime is, what a model is, and the threads that run it.
//!
//! Promises: the same text gives the same vector, bit for bit, whatever else is being embedded; a document is embedded
//! whole or refused, never cut silently; a vector is finite and not zero; what a recipe must know of a model is in its
//! fingerprint; a missing, old or damaged library or model is a message that says what to do, not a panic or a hang.
//!
//! Does not: split documents, know tenants, cache vectors or keep text. This is the only crate that names `ort` and
//! `fastembed`.

mod error;
mod locate;
mod model;
mod registry;
mod session;
mod worker;

pub use error::EmbeddingError;
pub use locate::find_library;
pub use model::{ModelSpec, open_model};
pub use registry::registry_names;
pub use session::check_library;
pub use worker::{Embedder, QueryVector};
