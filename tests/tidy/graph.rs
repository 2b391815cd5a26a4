//! The crate graph: which crate may depend on which, and which may name a dependency from outside.

use toml::{Table, Value};

use crate::report::Report;
use crate::rules::{PackageRule, Rules, TABLE};
use crate::tree::Tree;

/// What a crate of the workspace says about its dependencies.
pub(crate) struct Manifest {
    /// The package's name without `catena-`.
    pub(crate) name: String,
    pub(crate) path: String,
    /// The crates of the workspace that it depends on.
    pub(crate) edges: Vec<String>,
    /// Those that only its tests depend on.
    pub(crate) test_edges: Vec<String>,
    /// The packages from outside that it depends on.
    pub(crate) packages: Vec<String>,
    /// Dependencies whose version it sets itself.
    pub(crate) unpinned: Vec<String>,
}

/// Every crate's manifest.
pub(crate) fn manifests(tree: &Tree) -> Result<Vec<Manifest>, Report> {
    let workspace = parse("Cargo.toml", tree.text("Cargo.toml").unwrap_or_default())?;
    let files = tree.texts().iter().filter(|file| file.path.ends_with("/Cargo.toml"));
    files.map(|file| Ok(manifest(&file.path, &parse(&file.path, &file.text)?, &workspace))).collect()
}

/// The packages from outside that the workspace pins.
pub(crate) fn workspace_packages(tree: &Tree) -> Result<Vec<String>, Report> {
    let workspace = parse("Cargo.toml", tree.text("Cargo.toml").unwrap_or_default())?;
    let pinned = workspace_dependencies(&workspace).into_iter().flatten();
    Ok(pinned.filter(|(_, value)| value.get("path").is_none()).map(|(name, _)| name.clone()).collect())
}

fn parse(path: &str, text: &str) -> Result<Table, Report> {
    text.parse().map_err(|cause| Report::unreadable(path, cause))
}

fn workspace_dependencies(workspace: &Table) -> Option<&Table> {
    workspace.get("workspace")?.get("dependencies")?.as_table()
}

fn manifest(path: &str, manifest: &Table, workspace: &Table) -> Manifest {
    let own = manifest.get("package").and_then(|package| package.get("name")).and_then(Value::as_str).unwrap_or(path);
    let mut found = Manifest {
        name: short(own).to_owned(),
        path: path.to_owned(),
        edges: Vec::new(),
        test_edges: Vec::new(),
        packages: Vec::new(),
        unpinned: Vec::new(),
    };
    let mut tables = vec![manifest];
    tables.extend(
        manifest.get("target").and_then(Value::as_table).into_iter().flatten().filter_map(|(_, t)| t.as_table()),
    );
    for table in tables {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (key, value) in table.get(kind).and_then(Value::as_table).into_iter().flatten() {
                found.add(kind, key, value, workspace);
            }
        }
    }
    found
}

impl Manifest {
    fn add(&mut self, kind: &str, key: &str, value: &Value, workspace: &Table) {
        let pinned = workspace_dependencies(workspace).and_then(|all| all.get(key));
        let renamed = value.get("package").or_else(|| pinned.and_then(|pinned| pinned.get("package")));
        let package = renamed.and_then(Value::as_str).unwrap_or(key);
        if value.get("workspace").and_then(Value::as_bool) != Some(true) {
            self.unpinned.push(key.to_owned());
        }
        let list = match (package.starts_with("catena-"), kind) {
            (true, "dev-dependencies") => &mut self.test_edges,
            (true, _) => &mut self.edges,
            (false, _) => &mut self.packages,
        };
        list.push(short(package).to_owned());
    }
}

fn short(package: &str) -> &str {
    package.strip_prefix("catena-").unwrap_or(package)
}

/// Every edge between crates is in the table, and every line of the table is about a crate.
pub(crate) fn check_edges(rules: &Rules, manifests: &[Manifest]) -> Vec<String> {
    let mut violations = Vec::new();
    for manifest in manifests {
        let Manifest { name, path, .. } = manifest;
        let Some(shipped) = rules.edges.get(name) else {
            violations.push(format!("{path}: the crate {name} has no line under [edges] in {TABLE}"));
            continue;
        };
        let tested = rules.test_edges.get(name).map_or(&[][..], Vec::as_slice);
        let new = manifest.edges.iter().filter(|to| !shipped.contains(to)).map(|to| (to, "[edges]"));
        let unlisted = |to: &&String| !shipped.contains(to) && !tested.contains(to);
        for (to, section) in new.chain(manifest.test_edges.iter().filter(unlisted).map(|to| (to, "[test_edges]"))) {
            violations.push(format!(
                "{path}: the edge {name} -> {to} is new; its line is `{name} = ..` under {section} in {TABLE}"
            ));
        }
    }
    for (name, line) in rules.edges.iter().chain(&rules.test_edges) {
        for name in line.iter().chain([name]).filter(|name| !manifests.iter().any(|manifest| manifest.name == **name)) {
            violations.push(format!("{TABLE}: [edges] names {name}, which is no crate of the workspace"));
        }
    }
    violations
}

/// Packages from outside stay where the table allows them, and their versions stand in the workspace's manifest.
pub(crate) fn check_packages(rules: &Rules, manifests: &[Manifest]) -> Vec<String> {
    let mut violations = Vec::new();
    for manifest in manifests {
        let Manifest { name, path, .. } = manifest;
        let named = |rule: &&PackageRule, package: &String| rule.packages.contains(package);
        for package in &manifest.packages {
            let only = rules.only.iter().filter(|rule| named(rule, package) && !rule.crates.contains(name));
            let never = rules.never.iter().filter(|rule| named(rule, package) && rule.crates.contains(name));
            for rule in only.chain(never) {
                violations.push(format!("{path}: {name} may not depend on {package}: {} ({TABLE})", rule.reason));
            }
        }
        for key in &manifest.unpinned {
            violations.push(format!("{path}: write `{key}.workspace = true`; versions stand in the root's Cargo.toml"));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::tree::repository_root;

    fn of(text: &str) -> Vec<Manifest> {
        let workspace = "[workspace.dependencies]\nsql = { version = \"1\", package = \"sqlx\" }\n";
        let parsed = |text: &str| text.parse::<Table>().unwrap();
        vec![manifest("crates/text/Cargo.toml", &parsed(text), &parsed(workspace))]
    }

    fn rules() -> Rules {
        Rules::read(&repository_root()).unwrap()
    }

    fn edges(text: &str) -> Vec<String> {
        let of_text =
            |listed: &[&str]| BTreeMap::from([("text".to_owned(), listed.iter().map(|to| (*to).to_owned()).collect())]);
        check_edges(&Rules { edges: of_text(&[]), test_edges: of_text(&["text"]), ..rules() }, &of(text))
    }

    #[test]
    fn a_new_edge_of_any_kind_is_found_and_its_line_named() {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies", "target.'cfg(unix)'.dependencies"] {
            let text = format!("[package]\nname = \"catena-text\"\n[{kind}]\ncatena-catalog.workspace = true\n");
            let found = edges(&text);
            assert!(
                found.len() == 1 && found[0].contains("text -> catalog") && found[0].contains("`text = ..`"),
                "{kind}"
            );
        }
    }

    #[test]
    fn an_edge_for_tests_is_not_one_for_the_program() {
        let depends =
            |kind: &str| format!("[package]\nname = \"catena-text\"\n[{kind}]\ncatena-text.workspace = true\n");
        assert!(edges(&depends("dev-dependencies")).is_empty());
        assert_eq!(edges(&depends("dependencies")).len(), 1);
    }

    #[test]
    fn a_crate_without_a_line_and_a_line_without_a_crate_are_found() {
        let found = edges("[package]\nname = \"catena-extra\"\n");
        assert!(found[0].contains("extra has no line") && found[1].contains("names text"), "{found:?}");
        assert!(edges("[package]\nname = \"catena-text\"\n").is_empty());
    }

    #[test]
    fn a_package_outside_its_crate_is_found_even_when_renamed() {
        let rules = rules();
        let found =
            check_packages(&rules, &of("[package]\nname = \"catena-text\"\n[dependencies]\nsql.workspace = true\n"));
        assert!(found.iter().any(|line| line.contains("SQL is the catalog's alone")), "{found:?}");
        assert!(found.iter().any(|line| line.contains("computes and does not wait")), "{found:?}");
    }

    #[test]
    fn the_crate_that_owns_a_package_may_name_it() {
        let text = "[package]\nname = \"catena-catalog\"\n[dependencies]\nsql.workspace = true\n";
        assert!(check_packages(&rules(), &of(text)).is_empty());
    }

    #[test]
    fn a_version_set_in_a_crate_is_found() {
        let rules = rules();
        let found = check_packages(&rules, &of("[package]\nname = \"catena-text\"\n[dependencies]\nhttp = \"1\"\n"));
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn ingest_and_retrieval_cannot_be_listed_as_depending_on_each_other() {
        let rules = rules();
        assert!(!rules.edges["ingest"].contains(&"retrieval".to_owned()));
        assert!(!rules.edges["retrieval"].contains(&"ingest".to_owned()));
    }
}
