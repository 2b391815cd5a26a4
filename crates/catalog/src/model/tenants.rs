//! Tenants, their keys and their generations.

use std::collections::BTreeMap;
use std::time::Duration;

use catena_access::{Credential, KeyHash, Rights};
use catena_domain::{GenerationId, GroupName, KeyId, Label, RecipeId, Seq, TenantId, Timestamp, UserName};

use super::{Chunking, Held, Quota, Quotas};

/// Where a tenant is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TenantState {
    /// It is served.
    Active,
    /// Its keys are turned away; nothing of it is lost.
    Suspended,
    /// It is being removed. Nothing answers for it any more.
    Deleting,
    /// It is gone, but for its record and its id.
    Deleted,
}

impl TenantState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Active, Self::Suspended, Self::Deleting, Self::Deleted];

    /// The state's name on the wire and in the catalog.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }

    /// Whether nobody but the readers of its record meets it any more.
    #[must_use]
    pub fn is_gone(self) -> bool {
        matches!(self, Self::Deleting | Self::Deleted)
    }
}

/// Which rows a tenant's scores are counted over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Statistics {
    /// All rows of current versions: how rare a term is among hidden documents shows in scores.
    #[default]
    Live,
    /// The rows alone that whoever asks may see.
    Visible,
}

impl Statistics {
    /// Every choice.
    pub const ALL: [Self; 2] = [Self::Live, Self::Visible];

    /// The choice's name on the wire and in the catalog.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Visible => "visible",
        }
    }
}

/// What the door asks of a tenant before it lets one of its keys in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Where it is in its life.
    pub state: TenantState,
    /// What it may hold and use.
    pub quotas: Quotas,
}

/// What is to be changed of a tenant. What is `None` or not named stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantChange {
    /// The name that people give it.
    pub name: Option<String>,
    /// Whether its keys are let in.
    pub service: Option<Service>,
    /// Quotas to be set, or lifted where there is no number.
    pub quotas: BTreeMap<Quota, Option<u64>>,
    /// What its scores are counted over.
    pub statistics: Option<Statistics>,
    /// How its documents are cut.
    pub chunking: Option<Chunking>,
}

/// Whether a tenant's keys are let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// They are.
    Resumed,
    /// They are turned away until it is resumed.
    Suspended,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// The name that people gave it.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its write sequence number.
    pub seq: Seq,
    /// Where it is in its life.
    pub state: TenantState,
    /// What it holds.
    pub held: Held,
    /// What it may hold and use.
    pub quotas: Quotas,
    /// What its scores are counted over.
    pub statistics: Statistics,
    /// How its documents are cut.
    pub chunking: Chunking,
    /// The generation that answers; `None` when the tenant is gone.
    pub live_generation: Option<GenerationId>,
    /// How many rows of each table its removal has taken so far.
    pub removed: BTreeMap<String, u64>,
}

/// A key to be stored. The key itself is never.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The key's public half.
    pub key: KeyId,
    /// What is stored of the rest.
    pub hash: KeyHash,
    /// The name that people give it.
    pub name: String,
    /// What it may be used for.
    pub rights: Rights,
    /// The user that it stands for.
    pub user: Option<UserName>,
    /// Groups that the key itself carries.
    pub groups: Vec<GroupName>,
    /// The label up to which the key itself is cleared.
    pub clearance: Option<Label>,
    /// The first moment at which it opens nothing any more, if it has an end.
    pub expires_at: Option<Timestamp>,
}

/// A key to be stored in the place of another one, with all that the other one is and may.
#[derive(Debug, Clone)]
pub struct Successor {
    /// The new key's public half.
    pub key: KeyId,
    /// What is stored of the rest.
    pub hash: KeyHash,
    /// When it ends; when that is not said, it lives as long as the other one was made to.
    pub expires_at: Option<Timestamp>,
    /// How long the other one opens on.
    pub overlap: Duration,
}

/// A key as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// The key's public half.
    pub key: KeyId,
    /// The name that people gave it.
    pub name: String,
    /// What it may be used for.
    pub rights: Rights,
    /// The user that it stands for.
    pub user: Option<UserName>,
    /// Groups that the key itself carries.
    pub groups: Vec<GroupName>,
    /// The label up to which the key itself is cleared.
    pub clearance: Option<Label>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The first moment at which it opens nothing any more, if it has an end.
    pub expires_at: Option<Timestamp>,
    /// When it was used last, as far as that is known. What a killed service knew of its last minute is not.
    pub last_used_at: Option<Timestamp>,
    /// The key in whose place it was made.
    pub replaces: Option<KeyId>,
    /// The key that was made in its place.
    pub replaced_by: Option<KeyId>,
}

/// What the door needs to check a key.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// What the key stands for, once its secret was checked.
    pub credential: Credential,
    /// What its secret is checked against.
    pub hash: KeyHash,
}

/// Where a generation is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GenerationState {
    /// It is being built.
    Building,
    /// It answers. Each tenant has one such.
    Live,
    /// It answered once.
    Retired,
}

/// What answers for a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveIndex {
    /// The tenant.
    pub tenant: TenantId,
    /// Its last write.
    pub seq: Seq,
    /// Its live generation.
    pub generation: GenerationRow,
    /// How the tenant has its documents cut, which may not yet be how this generation's are.
    pub chunking: Chunking,
}

/// How a tenant's documents are to be cut, and which generation answers until they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cuttings {
    /// How the tenant wants it.
    pub wanted: Chunking,
    /// The generation that answers.
    pub live: GenerationRow,
}

/// What answers a tenant's questions, and by which of its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answering {
    /// The generation.
    pub generation: GenerationRow,
    /// What scores are counted over.
    pub statistics: Statistics,
}

/// One build of a tenant's index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationRow {
    /// Its id.
    pub id: GenerationId,
    /// The recipe of its chunks and vectors.
    pub recipe: RecipeId,
    /// The length of its vectors.
    pub dimension: u32,
    /// Where it is in its life.
    pub state: GenerationState,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it became the one that answers.
    pub promoted_at: Option<Timestamp>,
    /// How its documents are cut.
    pub chunking: Chunking,
}
