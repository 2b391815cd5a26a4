//! The nouns of Catena: typed names, numbers, limits and the kinds of error.
//!
//! Promises: a value of one of these types has been checked when it was made, so no later code checks it again.
//! Does not: read, write, wait, know the wire, or know what a permission is.

pub mod error;
pub mod limits;
pub mod names;
pub mod numbers;

pub use error::ErrorKind;
pub use names::{
    ContextId, DocumentId, GenerationId, GroupName, JobId, KeyId, Label, NameError, RecipeId, RequestKey, SourceName,
    TenantId, UserName,
};
pub use numbers::{AclId, DocNo, Seq, Span, Timestamp, VersionNo};
