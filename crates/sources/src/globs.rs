//! Which ids are wanted.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::error::SourceError;

/// Patterns of a description: `*` stays within a folder, `**` crosses folders.
#[derive(Debug, Clone)]
pub(crate) struct Globs {
    include: Option<GlobSet>,
    exclude: GlobSet,
}

impl Globs {
    pub(crate) fn new(include: &[String], exclude: &[String]) -> Result<Self, SourceError> {
        let include = if include.is_empty() { None } else { Some(set("include", include)?) };
        Ok(Self { include, exclude: set("exclude", exclude)? })
    }

    pub(crate) fn want(&self, id: &str) -> bool {
        self.include.as_ref().is_none_or(|include| include.is_match(id)) && !self.exclude.is_match(id)
    }
}

fn set(field: &str, patterns: &[String]) -> Result<GlobSet, SourceError> {
    let wrong = |error: globset::Error| SourceError::invalid(format!("{field} is not acceptable: {error}"));
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(GlobBuilder::new(pattern).literal_separator(true).build().map_err(wrong)?);
    }
    set.build().map_err(wrong)
}
