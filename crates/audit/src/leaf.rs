//! What a leaf says, before it has its place in a chain.

use catena_domain::TenantId;

use crate::LeafHash;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it was asked.
    Done,
    /// It was turned away: wrong credential, missing right, unknown name, bad request, a limit.
    Refused,
    /// It could not be done for a reason of ours.
    Failed,
}

impl Outcome {
    /// The outcome's name in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// One thing that a request touched: what changed, or what left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What it is: `document`, `passage`, `key`, `group`, `tenant`, `generation`, `job`, `context`,
    /// `backup`; of the firewall, `firewall`, `quarantined`, and `found`, whose id is a detector and how often.
    pub kind: &'static str,
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: Option<u32>,
    /// The bytes of the version's text that left, first and one past the last.
    pub span: Option<(u32, u32)>,
    /// The hash of what left or is now there, in hexadecimal.
    pub sha256: Option<String>,
    /// The rule that allowed it.
    pub rule: Option<String>,
}

impl Object {
    /// The thing of this kind and id, with nothing else said of it.
    #[must_use]
    pub fn new(kind: &'static str, id: impl Into<String>) -> Self {
        Self { kind, id: id.into(), version: None, span: None, sha256: None, rule: None }
    }
}

/// What a leaf is to say, but for its place in the chain and its time.
///
/// Fields that are `None` do not appear in the leaf. No field may hold text of a document or of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The request's id.
    pub request: String,
    /// What was asked: `document.put`, `search`, `context`, `tenant.create`, `request.refused`, ...
    pub action: &'static str,
    /// The id of the key that acted.
    pub actor: Option<String>,
    /// The user concerned.
    pub user: Option<String>,
    /// The SHA-256 of the whole principal (user, groups, powers), in hexadecimal: who asked, without the list of groups.
    pub principal_sha256: Option<String>,
    /// Whether the key acted for a user whom the request named.
    pub on_behalf: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// The status that was answered.
    pub status: u16,
    /// The code of the problem that was answered; never text of a user.
    pub reason: Option<String>,
    /// What changed or left.
    pub objects: Vec<Object>,
    /// The tenant's sequence number that the change got, or that the answer saw.
    pub seq: Option<u64>,
    /// The generation that answered.
    pub generation: Option<String>,
    /// The recipe under which it was answered or written.
    pub recipe: Option<String>,
    /// The reranker that had the last word on the answer's order: its name and its fingerprint.
    pub reranker: Option<String>,
    /// The hash of the access lists that decided.
    pub policy: Option<String>,
    /// The SHA-256 of the request, in hexadecimal.
    pub request_sha256: Option<String>,
}

impl Draft {
    /// A draft that says: `request` asked for `action` and it was done, with status 200. The rest is filled in after.
    #[must_use]
    pub fn new(request: impl Into<String>, action: &'static str) -> Self {
        Self {
            request: request.into(),
            action,
            actor: None,
            user: None,
            principal_sha256: None,
            on_behalf: false,
            outcome: Outcome::Done,
            status: 200,
            reason: None,
            objects: Vec::new(),
            seq: None,
            generation: None,
            recipe: None,
            reranker: None,
            policy: None,
            request_sha256: None,
        }
    }

    /// A draft of what the service does for itself, without a request.
    #[must_use]
    pub fn of_service(action: &'static str) -> Self {
        Self { actor: Some("service".to_owned()), ..Self::new("service", action) }
    }
}

/// Which chain a leaf belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Chain<'a> {
    /// The chain of one tenant.
    Tenant(&'a TenantId),
    /// The chain of what belongs to no tenant: the operator's doings, refused credentials.
    Service,
}

impl Chain<'_> {
    /// The chain's name, as its leaves hold it. No tenant's is the service's.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Tenant(tenant) => format!("tenant:{tenant}"),
            Self::Service => "service".to_owned(),
        }
    }
}

/// A leaf's place and hash: what an answer carries as its receipt, and what a chain has as its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeafRef {
    /// The leaf's place in its chain, from zero.
    pub index: u64,
    /// The leaf's hash.
    pub hash: LeafHash,
}
