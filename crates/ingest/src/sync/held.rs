//! What a sync does not do before somebody approves it.
//!
//! Promises: equal plans are equal texts, whatever order things were found in; a plan's text stands for all of it, also
//! for what is too long to be listed; it is never too long to be kept with its job.

use catena_catalog::SourceItem;
use catena_domain::{DocumentId, SourceName, limits};
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
        let listing = |most: usize| {
            let deletes: Vec<&str> = self.deletes.iter().take(most).map(DocumentId::as_str).collect();
            json!({
                "source": source.as_str(),
                "deletes": {"count": self.deletes.len(), "documents": deletes},
                "widenings": {"count": widenings.len(), "documents": &widenings[..widenings.len().min(most)]},
                "sha256": sha256,
            })
            .to_string()
        };
        let (mut most, mut plan) = (LISTED_MAX, listing(LISTED_MAX));
        while plan.len() > limits::JOB_SPEC_BYTES_MAX && most > 0 {
            most /= 2;
            plan = listing(most);
        }
        plan
    }
}

fn widening(withheld: &Withheld) -> serde_json::Value {
    json!({"document": withheld.id.as_str(), "wider": withheld.wider, "access": shown(&withheld.acl)})
}

/// What an approval names a plan by.
pub(super) fn digest(plan: &str) -> [u8; 32] {
    Sha256::digest(plan.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use catena_access::Acl;

    use super::super::guard::Wider;
    use super::*;

    /// Widenings of so many documents, each with as long a list as there may be.
    fn widenings(count: usize) -> Held {
        let users: Vec<String> = (0..limits::ACL_ENTRIES_MAX).map(|at| format!("user:{at:0>100}")).collect();
        let acl = Acl::parse(&users, &[]).unwrap();
        let id = |at: usize| DocumentId::new(&format!("{at:0>400}")).unwrap();
        let widenings =
            (0..count).map(|at| (Withheld { id: id(at), wider: Wider::Everyone, acl: acl.clone() }, None)).collect();
        Held { deletes: (0..count).map(id).collect(), widenings }
    }

    #[test]
    fn a_plan_is_never_too_long_to_be_kept_and_stands_for_all_that_waits() {
        let source = SourceName::new("docs").unwrap();
        let mut held = widenings(LISTED_MAX);
        let plan = held.plan(&source);
        assert!(plan.len() <= limits::JOB_SPEC_BYTES_MAX, "{} bytes", plan.len());
        let read: serde_json::Value = serde_json::from_str(&plan).unwrap();
        assert_eq!(read["widenings"]["count"], LISTED_MAX);
        let listed = read["widenings"]["documents"].as_array().unwrap().len();
        assert!((1..LISTED_MAX).contains(&listed), "{listed} are listed");
        held.widenings.last_mut().unwrap().0.acl = Acl::parse(&["everyone"], &[]).unwrap();
        assert_ne!(held.plan(&source), plan, "an approval of one plan would hold for another");
    }
}
