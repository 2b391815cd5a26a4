//! What a sync does not do before somebody approves it.
//!
//! Promises: equal plans are equal texts, whatever order things were found in; a plan's text stands for all of it, also
//! for what is too long to be listed.

use catena_catalog::SourceItem;
use catena_domain::{DocumentId, SourceName};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::guard::shown;
use super::one::Withheld;

/// Documents that a plan lists of each kind.
pub(super) const LISTED_MAX: usize = 1_000;

/// Deletions and wider access lists that wait.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) deletes: Vec<DocumentId>,
    /// Each with what is known of the document until then.
    pub(super) widenings: Vec<(Withheld, Option<SourceItem>)>,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.deletes.is_empty() && self.widenings.is_empty()
    }

    pub(super) fn sort(&mut self) {
        self.deletes.sort_unstable();
        self.widenings.sort_unstable_by(|one, other| one.0.id.cmp(&other.0.id));
    }

    /// The plan, as JSON.
    pub(super) fn plan(&self, source: &SourceName) -> String {
        let widenings: Vec<_> = self.widenings.iter().map(|(withheld, _)| widening(withheld)).collect();
        let mut all = Sha256::new();
        for id in &self.deletes {
            all.update(id.as_str().as_bytes());
            all.update(b"\n");
        }
        for widening in &widenings {
            all.update(b"\n");
            all.update(widening.to_string().as_bytes());
        }
        let sha256 = catena_audit::LeafHash(all.finalize().into()).to_string();
        let listed: Vec<&str> = self.deletes.iter().take(LISTED_MAX).map(DocumentId::as_str).collect();
        json!({
            "source": source.as_str(),
            "deletes": {"count": self.deletes.len(), "documents": listed},
            "widenings": {"count": widenings.len(), "documents": &widenings[..widenings.len().min(LISTED_MAX)]},
            "sha256": sha256,
        })
        .to_string()
    }
}

fn widening(withheld: &Withheld) -> serde_json::Value {
    json!({"document": withheld.id.as_str(), "wider": withheld.wider, "access": shown(&withheld.acl)})
}

/// What an approval names a plan by.
pub(super) fn digest(plan: &str) -> [u8; 32] {
    Sha256::digest(plan.as_bytes()).into()
}
