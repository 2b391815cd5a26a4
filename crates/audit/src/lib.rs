//! The record: what a leaf says, how leaves are chained, and how a chain is checked without trusting who kept it.
//!
//! Promises: a leaf is canonical bytes (one line of JSON with a fixed order of keys) of at most
//! [`LEAF_BYTES_MAX`] bytes, and holds ids and hashes, never text of documents or questions; its hash is the leaf hash
//! of RFC 6962, so that the same leaves can be put under a Merkle tree; each leaf names the hash of the one before it,
//! so that whoever changes, removes, adds or reorders one changes the chain's head.
//! Does not: store or send anything, know the time, or sign. Who holds the store can rewrite a whole chain and its
//! head: only a head that was kept elsewhere shows that.

mod hash;
mod leaf;
mod seal;
mod verify;

pub use hash::{HashError, LeafHash};
pub use leaf::{Chain, Draft, LeafRef, Object, Outcome};
pub use seal::{LEAF_BYTES_MAX, Sealed, TEXT_BYTES_MAX, seal};
pub use verify::{Finding, Summary, Verifier};
