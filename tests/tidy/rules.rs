//! The table `rules.toml` as types. A key that is not known here is refused.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::report::Report;

/// Where the table lies.
pub(crate) const TABLE: &str = "tests/tidy/rules.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rules {
    pub(crate) walk: Walk,
    pub(crate) edges: BTreeMap<String, Vec<String>>,
    pub(crate) test_edges: BTreeMap<String, Vec<String>>,
    pub(crate) only: Vec<PackageRule>,
    pub(crate) never: Vec<PackageRule>,
    pub(crate) ban: Vec<Ban>,
    pub(crate) word: Vec<Word>,
    pub(crate) machine_paths: MachinePaths,
    pub(crate) locked: Vec<Locked>,
    pub(crate) feature_off: Vec<FeatureOff>,
    pub(crate) size: Size,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Walk {
    pub(crate) skip: Vec<String>,
    pub(crate) data: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PackageRule {
    pub(crate) packages: Vec<String>,
    pub(crate) crates: Vec<String>,
    pub(crate) reason: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TestCode {
    Free,
    Bound,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ban {
    pub(crate) texts: Vec<String>,
    pub(crate) r#in: Vec<String>,
    pub(crate) except: Vec<String>,
    pub(crate) test_code: TestCode,
    pub(crate) reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Word {
    pub(crate) texts: Vec<String>,
    pub(crate) reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MachinePaths {
    pub(crate) folders: Vec<String>,
    pub(crate) reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Locked {
    pub(crate) package: String,
    pub(crate) copies_max: usize,
    pub(crate) at_least: Option<String>,
    pub(crate) reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeatureOff {
    pub(crate) package: String,
    pub(crate) features: Vec<String>,
    pub(crate) reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Size {
    pub(crate) file_lines_max: usize,
    pub(crate) function_lines_max: usize,
    pub(crate) files: BTreeMap<String, usize>,
    pub(crate) functions: BTreeMap<String, usize>,
}

impl Rules {
    /// Reads the table of the repository at `root`.
    pub(crate) fn read(root: &Path) -> Result<Self, Report> {
        let text = std::fs::read_to_string(root.join(TABLE)).map_err(|cause| Report::unreadable(TABLE, cause))?;
        toml::from_str(&text).map_err(|cause| Report::unreadable(TABLE, cause))
    }
}
