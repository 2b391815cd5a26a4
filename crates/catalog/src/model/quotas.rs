//! What a tenant holds, what it uses, and how much of both it may.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Something of which a tenant may have so much and no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quota {
    /// Documents that are not deleted.
    Documents,
    /// Bytes of their current texts.
    TextBytes,
    /// Chunks of their current versions.
    Chunks,
    /// Tokens embedded for documents, in one day of UTC.
    EmbeddingTokensPerDay,
    /// Writes of documents and of their access lists.
    WritesPerMinute,
    /// Searches and contexts.
    QueriesPerMinute,
    /// Requests at work at once.
    Concurrency,
}

impl Quota {
    /// Every quota, in the order in which they are listed to people.
    pub const ALL: [Self; 7] = [
        Self::Documents,
        Self::TextBytes,
        Self::Chunks,
        Self::EmbeddingTokensPerDay,
        Self::WritesPerMinute,
        Self::QueriesPerMinute,
        Self::Concurrency,
    ];

    /// The quota's name on the wire and in the catalog.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Documents => "documents",
            Self::TextBytes => "text_bytes",
            Self::Chunks => "chunks",
            Self::EmbeddingTokensPerDay => "embedding_tokens_per_day",
            Self::WritesPerMinute => "writes_per_minute",
            Self::QueriesPerMinute => "queries_per_minute",
            Self::Concurrency => "concurrency",
        }
    }

    /// The smallest and the largest limit that make sense. An amount of zero is one; a rate of zero is a suspension.
    #[must_use]
    pub fn bounds(self) -> (u64, u64) {
        match self {
            Self::Documents | Self::TextBytes | Self::Chunks | Self::EmbeddingTokensPerDay => (0, 1 << 53),
            Self::WritesPerMinute | Self::QueriesPerMinute => (1, 60_000_000),
            Self::Concurrency => (1, 1_000_000),
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no quota.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a quota; there are documents, text_bytes, chunks, embedding_tokens_per_day, writes_per_minute, queries_per_minute and concurrency"
)]
pub struct UnknownQuota(String);

impl FromStr for Quota {
    type Err = UnknownQuota;

    fn from_str(text: &str) -> Result<Self, UnknownQuota> {
        Self::ALL.into_iter().find(|quota| quota.as_str() == text).ok_or_else(|| UnknownQuota(text.to_owned()))
    }
}

/// A tenant's quotas. What has none is not bounded by one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quotas(BTreeMap<Quota, u64>);

impl Quotas {
    /// The limit of a quota, if it is set.
    #[must_use]
    pub fn limit(&self, quota: Quota) -> Option<u64> {
        self.0.get(&quota).copied()
    }

    /// Those that are set, in their listed order.
    pub fn iter(&self) -> impl Iterator<Item = (Quota, u64)> {
        self.0.iter().map(|(&quota, &limit)| (quota, limit))
    }

    /// Sets a quota, or lifts it where there is no limit.
    pub(crate) fn set(&mut self, quota: Quota, limit: Option<u64>) {
        match limit {
            Some(limit) => self.0.insert(quota, limit),
            None => self.0.remove(&quota),
        };
    }
}

/// What a tenant holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Documents that are not deleted.
    pub documents: u64,
    /// Bytes of their current texts.
    pub text_bytes: u64,
    /// Chunks of their current versions; of a version that is cut under several recipes, the most that one gave.
    pub chunks: u64,
}

impl Held {
    /// Each amount under the quota that bounds it.
    #[must_use]
    pub fn amounts(self) -> [(Quota, u64); 3] {
        [(Quota::Documents, self.documents), (Quota::TextBytes, self.text_bytes), (Quota::Chunks, self.chunks)]
    }
}

/// What is counted of a tenant's use, by day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UsageKind {
    /// Tokens embedded for documents.
    EmbeddingTokens,
    /// Writes of documents and of their access lists.
    Writes,
    /// Searches and contexts that were answered.
    Queries,
    /// Bytes of new versions' texts.
    IngestedBytes,
}

impl UsageKind {
    /// Every kind, in the order in which they are listed to people.
    pub const ALL: [Self; 4] = [Self::Writes, Self::Queries, Self::EmbeddingTokens, Self::IngestedBytes];

    /// The kind's name on the wire and in the catalog.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EmbeddingTokens => "embedding_tokens",
            Self::Writes => "writes",
            Self::Queries => "queries",
            Self::IngestedBytes => "ingested_bytes",
        }
    }
}

/// What was used in some days.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Used(pub(crate) BTreeMap<UsageKind, u64>);

impl Used {
    /// How much of a kind.
    #[must_use]
    pub fn of(&self, kind: UsageKind) -> u64 {
        self.0.get(&kind).copied().unwrap_or_default()
    }
}

/// What a tenant holds, used and may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Where it is in its life.
    pub state: super::TenantState,
    /// What it holds.
    pub held: Held,
    /// What it used today, in UTC.
    pub today: Used,
    /// What it used in the last thirty days, today included.
    pub month: Used,
    /// What it may hold and use.
    pub quotas: Quotas,
}

/// Whether what is spent is held against the quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spending {
    /// It is refused beyond the quota: somebody asked for it.
    WithinQuota,
    /// It is only counted: the service does it for itself.
    Regardless,
}

/// A quota that a request would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    /// Which.
    pub quota: Quota,
    /// How much the tenant may have of it.
    pub limit: u64,
    /// How much it has.
    pub used: u64,
    /// How much more the request would need.
    pub wanted: u64,
    /// After how many seconds it may do, if time alone helps.
    pub retry_after_s: Option<u32>,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { quota, limit, used, wanted, .. } = self;
        write!(
            f,
            "this would exceed the tenant's quota {quota}: {used} of {limit} are used, and this needs {wanted} more"
        )?;
        match quota {
            Quota::Documents | Quota::TextBytes | Quota::Chunks => {
                f.write_str("; delete documents, or ask whoever runs the service for a larger quota")
            }
            Quota::EmbeddingTokensPerDay => {
                f.write_str("; the count begins anew at midnight UTC, and whoever runs the service can raise the quota")
            }
            Quota::WritesPerMinute | Quota::QueriesPerMinute => {
                f.write_str("; send the request again when retry-after says")
            }
            Quota::Concurrency => f.write_str("; send the request again when one of those at work has ended"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_stored_under_the_names_that_they_have_on_the_wire() {
        let mut quotas = Quotas::default();
        for (quota, limit) in Quota::ALL.into_iter().zip(7..) {
            assert_eq!(quota.as_str().parse(), Ok(quota));
            quotas.set(quota, Some(limit));
        }
        let text = serde_json::to_string(&quotas).unwrap();
        for (quota, limit) in quotas.iter() {
            assert!(text.contains(&format!("\"{quota}\":{limit}")), "{text}");
        }
        assert_eq!(serde_json::from_str::<Quotas>(&text).unwrap(), quotas);
        quotas.set(Quota::Chunks, None);
        assert_eq!(quotas.limit(Quota::Chunks), None);
    }
}
