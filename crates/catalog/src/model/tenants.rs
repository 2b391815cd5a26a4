//! Tenants, their keys and their generations.

use std::time::Duration;

use catena_access::{Credential, KeyHash, Rights};
use catena_domain::{GenerationId, GroupName, KeyId, Label, RecipeId, Seq, TenantId, Timestamp, UserName};

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
    /// Documents that are not deleted.
    pub documents: u64,
    /// The generation that answers.
    pub live_generation: GenerationId,
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
}
