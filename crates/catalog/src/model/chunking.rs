//! How a tenant has its documents cut.

use std::collections::BTreeMap;

use catena_domain::limits;
use serde::{Deserialize, Serialize};

use crate::error::{CatalogError, Result};

/// Settings of one way of cutting. What is `None` is left to the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cutting {
    /// Tokens that a chunk is filled up to. More than the model's window are as many as the window has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_tokens: Option<u32>,
    /// Whether a table that fits a chunk stays whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_tables: Option<bool>,
    /// Whether a block of code that fits a chunk stays whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_code: Option<bool>,
}

impl Cutting {
    /// These settings, and where they say nothing, those of `other`.
    fn or(self, other: Self) -> Self {
        Self {
            target_tokens: self.target_tokens.or(other.target_tokens),
            keep_tables: self.keep_tables.or(other.keep_tables),
            keep_code: self.keep_code.or(other.keep_code),
        }
    }
}

/// How a tenant's documents are cut: all of them, and those of some sources differently.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Chunking {
    /// All documents.
    #[serde(flatten)]
    pub all: Cutting,
    /// Documents of a source, by its name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<String, Cutting>,
}

impl Chunking {
    /// How documents of a source are cut.
    #[must_use]
    pub fn of(&self, source: Option<&str>) -> Cutting {
        source.and_then(|source| self.sources.get(source)).map_or(self.all, |own| own.or(self.all))
    }

    /// Whether nothing is set.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn check(&self) -> Result<()> {
        let invalid = |reason: String| Err(CatalogError::Invalid { what: "the chunking", reason });
        if self.sources.len() > limits::CHUNKING_SOURCES_MAX {
            let (sources, limit) = (self.sources.len(), limits::CHUNKING_SOURCES_MAX);
            return invalid(format!("names {sources} sources; the limit is {limit}"));
        }
        if let Some(name) = self.sources.keys().find(|name| name.is_empty() || name.len() > limits::ATTRIBUTE_BYTES_MAX)
        {
            let limit = limits::ATTRIBUTE_BYTES_MAX;
            return invalid(format!("names a source of {} bytes; use 1 to {limit}", name.len()));
        }
        let (least, most) = limits::CHUNK_TARGET_TOKENS.into_inner();
        for tokens in self.sources.values().chain([&self.all]).filter_map(|cutting| cutting.target_tokens) {
            if !limits::CHUNK_TARGET_TOKENS.contains(&tokens) {
                return invalid(format!(
                    "cannot aim at {tokens} tokens; target_tokens must lie between {least} and {most}"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_says_what_differs_and_leaves_the_rest_to_the_tenant() {
        let json = r#"{"target_tokens":100,"keep_tables":false,"sources":{"git":{"target_tokens":60}}}"#;
        let chunking: Chunking = serde_json::from_str(json).unwrap();
        let of_git = Cutting { target_tokens: Some(60), keep_tables: Some(false), keep_code: None };
        assert_eq!(chunking.of(Some("git")), of_git);
        assert_eq!(chunking.of(Some("web")), chunking.of(None));
        assert_eq!(chunking.of(None).target_tokens, Some(100));
        assert_eq!(serde_json::to_string(&chunking).unwrap(), json);
        assert_eq!(serde_json::to_string(&Chunking::default()).unwrap(), "{}");
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        let with = |target_tokens| Chunking {
            sources: [("a".to_owned(), Cutting { target_tokens: Some(target_tokens), ..Cutting::default() })].into(),
            ..Chunking::default()
        };
        assert!(with(31).check().is_err() && with(2_049).check().is_err());
        assert!(with(32).check().is_ok() && with(2_048).check().is_ok());
        let many = (0..=limits::CHUNKING_SOURCES_MAX).map(|at| (at.to_string(), Cutting::default())).collect();
        assert!(Chunking { sources: many, ..Chunking::default() }.check().is_err());
        assert!(
            Chunking { sources: [(String::new(), Cutting::default())].into(), ..Chunking::default() }.check().is_err()
        );
    }
}
