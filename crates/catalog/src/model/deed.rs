//! What a write leaves beside what it changes: its leaf, and its answer when the caller named the request.

use std::fmt;
use std::sync::Arc;

use catena_audit::{Draft, Object};
use catena_domain::{KeyId, RequestKey};

use crate::model::Fence;

/// A write's leaf, and what is kept so that the same request, sent again, is answered and not done again.
///
/// A [`Draft`] alone is a deed too: one whose answer is not kept.
pub struct Deed<T> {
    pub(crate) draft: Draft,
    pub(crate) once: Option<Once<T>>,
    pub(crate) fence: Option<Fence>,
}

/// A request that its caller named, so that it is done once.
pub struct Once<T> {
    /// The key that acts: two of them may use the same name.
    pub holder: KeyId,
    /// The caller's name for the request.
    pub key: RequestKey,
    /// The hash of all that the request says.
    pub request_sha256: [u8; 32],
    /// What will be answered, out of what was written. Holds no text of a document and no secret, because it is kept.
    pub answer: Arc<dyn Fn(&T) -> String + Send + Sync>,
}

/// An answer that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The hash of the request that was answered.
    pub request_sha256: [u8; 32],
    /// The answer, as the caller of the catalog gave it.
    pub answer: String,
}

impl<T> Deed<T> {
    /// A deed whose answer is kept with it, in the same transaction.
    #[must_use]
    pub fn once(draft: Draft, once: Once<T>) -> Self {
        Self { draft, once: Some(once), fence: None }
    }

    /// The same, whose leaf names one more thing that the write has to do with.
    #[must_use]
    pub fn naming(mut self, object: Object) -> Self {
        self.draft.objects.push(object);
        self
    }

    /// The same as part of a job: refused when another worker has the job by then.
    #[must_use]
    pub fn fenced(self, fence: Fence) -> Self {
        Self { fence: Some(fence), ..self }
    }
}

impl<T> From<Draft> for Deed<T> {
    fn from(draft: Draft) -> Self {
        Self { draft, once: None, fence: None }
    }
}

impl<T> Clone for Deed<T> {
    fn clone(&self) -> Self {
        Self { draft: self.draft.clone(), once: self.once.clone(), fence: self.fence.clone() }
    }
}

impl<T> Clone for Once<T> {
    fn clone(&self) -> Self {
        Self {
            holder: self.holder.clone(),
            key: self.key.clone(),
            request_sha256: self.request_sha256,
            answer: Arc::clone(&self.answer),
        }
    }
}

impl<T> fmt::Debug for Deed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deed")
            .field("draft", &self.draft)
            .field("once", &self.once.is_some())
            .field("fence", &self.fence)
            .finish()
    }
}
