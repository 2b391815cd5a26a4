//! What a source is described by: its kind, where it is, what of it is wanted, and who may read what it gives.
//!
//! Promises: a description that passes [`SourceSpec::check`] is within every bound, and one that does not says what would
//! be right; a field that is not known is refused by name; no description holds a secret. Does not: open anything, or know
//! what the operator allows.

mod check;

use serde::{Deserialize, Serialize};

use crate::access::AccessSpec;

/// A place where documents live, as an administrator describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SourceSpec {
    /// A folder of a disk that the service can read.
    Folder(FolderSpec),
    /// A git repository.
    Git(GitSpec),
    /// A web site.
    Web(WebSpec),
    /// An object store.
    Objects(ObjectsSpec),
    /// Nothing that is looked at: documents are handed in.
    Push(PushSpec),
}

/// A folder.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FolderSpec {
    /// Its absolute path. It must lie in a folder that the operator allows.
    pub path: String,
    /// Globs of the ids that are wanted; without any, all that can be read.
    #[serde(default)]
    pub include: Vec<String>,
    /// Globs of the ids that are not wanted, whatever `include` says.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Who may read what.
    #[serde(default)]
    pub access: AccessSpec,
}

/// A git repository.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GitSpec {
    /// Where it is cloned from: `https://`, `http://`, or the absolute path of a repository that the operator allows.
    pub url: String,
    /// The branch or tag that is followed; without one, the branch that the repository itself names.
    #[serde(default)]
    pub branch: Option<String>,
    /// The folder in it that holds the documents; ids are paths below it.
    #[serde(default)]
    pub folder: Option<String>,
    /// Globs of the ids that are wanted; without any, all that can be read.
    #[serde(default)]
    pub include: Vec<String>,
    /// Globs of the ids that are not wanted, whatever `include` says.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Where a person finds a file, with `{path}`, `{commit}` and `{branch}` in it.
    #[serde(default)]
    pub link: Option<String>,
    /// Who may read what.
    #[serde(default)]
    pub access: AccessSpec,
}

/// A web site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebSpec {
    /// Pages to begin at.
    #[serde(default)]
    pub start: Vec<String>,
    /// Sitemaps, or indexes of them.
    #[serde(default)]
    pub sitemaps: Vec<String>,
    /// Hosts whose pages are wanted; without any, those of `start` and `sitemaps`.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Beginnings of the paths that are wanted; without any, all.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Globs of the ids that are not wanted.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// How many links away from `start` a page may be; 0 follows none.
    #[serde(default = "WebSpec::default_depth")]
    pub depth: u32,
    /// Most pages. A site with more is an error, not a part of it.
    #[serde(default = "WebSpec::default_pages_max")]
    pub pages_max: u32,
    /// Least time between two requests to one host, in milliseconds.
    #[serde(default = "WebSpec::default_delay_ms")]
    pub delay_ms: u64,
    /// What becomes of the query of a link.
    #[serde(default)]
    pub query: QueryPolicy,
    /// Who may read what.
    #[serde(default)]
    pub access: AccessSpec,
}

/// What becomes of the query of a link, since the same page is often linked with many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryPolicy {
    /// It is taken off.
    #[default]
    Drop,
    /// It is kept, its parameters sorted.
    Keep,
    /// Only these parameters are kept, sorted.
    Only(Vec<String>),
}

/// An object store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectsSpec {
    /// Whose it is.
    pub store: Store,
    /// The bucket, or Azure's container.
    pub bucket: String,
    /// The beginning of the keys that are wanted, a folder's name; ids are what follows it.
    #[serde(default)]
    pub prefix: Option<String>,
    /// The region, for S3.
    #[serde(default)]
    pub region: Option<String>,
    /// Another address than the store's own, for those that speak S3, or Azure's.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The storage account, for Azure.
    #[serde(default)]
    pub account: Option<String>,
    /// Globs of the ids that are wanted; without any, all that can be read.
    #[serde(default)]
    pub include: Vec<String>,
    /// Globs of the ids that are not wanted, whatever `include` says.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Who may read what.
    #[serde(default)]
    pub access: AccessSpec,
}

/// Whose object store it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Store {
    /// Amazon's, or one that speaks its API.
    S3,
    /// Google's.
    Gcs,
    /// Microsoft's.
    Azure,
}

/// Documents that are handed in. There is nothing to say: each comes with its access list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushSpec {}

impl SourceSpec {
    /// The kind's name, as a description says it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Folder(_) => "folder",
            Self::Git(_) => "git",
            Self::Web(_) => "web",
            Self::Objects(_) => "objects",
            Self::Push(_) => "push",
        }
    }

    /// Whether somebody looks at it; documents of the others are handed in.
    #[must_use]
    pub fn is_looked_at(&self) -> bool {
        !matches!(self, Self::Push(_))
    }

    /// Names of the secrets that such a source can use.
    #[must_use]
    pub fn secrets(&self) -> &'static [&'static str] {
        match self {
            Self::Folder(_) | Self::Push(_) => &[],
            Self::Git(_) | Self::Web(_) => &["username", "password", "token"],
            Self::Objects(spec) => match spec.store {
                Store::S3 => &["access_key_id", "secret_access_key", "session_token"],
                Store::Gcs => &["service_account_key"],
                Store::Azure => &["access_key", "sas_token"],
            },
        }
    }
}

impl WebSpec {
    fn default_depth() -> u32 {
        3
    }

    fn default_pages_max() -> u32 {
        1_000
    }

    fn default_delay_ms() -> u64 {
        500
    }
}

impl Default for WebSpec {
    fn default() -> Self {
        Self {
            start: Vec::new(),
            sitemaps: Vec::new(),
            hosts: Vec::new(),
            paths: Vec::new(),
            exclude: Vec::new(),
            depth: Self::default_depth(),
            pages_max: Self::default_pages_max(),
            delay_ms: Self::default_delay_ms(),
            query: QueryPolicy::default(),
            access: AccessSpec::default(),
        }
    }
}
