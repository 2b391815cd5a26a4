//! Rules about the code that a machine can check: the crate graph, banned names, sizes, links, dependencies.
//!
//! Promises: every rule reads its data from `rules.toml`; a violation names its place, its reason and, where the table
//! may change, the line to change; each rule is a function over text and is shown to fail on text that breaks it.
//! Does not: parse Rust (comments, literals and test code are cut away, the rest is searched as text), or repeat what
//! clippy checks with types at hand.

mod bans;
mod documents;
mod graph;
mod ledger;
mod locked;
mod modules;
mod report;
mod rules;
mod sizes;
mod source;
mod tree;

use report::Report;
use rules::Rules;
use tree::Tree;

fn load() -> Result<(Rules, Tree), Report> {
    let root = tree::repository_root();
    let rules = Rules::read(&root)?;
    let tree = Tree::read(&root, &rules.walk)?;
    Ok((rules, tree))
}

#[test]
fn crates_depend_only_along_the_listed_edges() -> Result<(), Report> {
    let (rules, tree) = load()?;
    Report::of(graph::check_edges(&rules, &graph::manifests(&tree)?))
}

#[test]
fn outside_dependencies_stay_behind_the_crate_that_owns_them() -> Result<(), Report> {
    let (rules, tree) = load()?;
    Report::of(graph::check_packages(&rules, &graph::manifests(&tree)?))
}

#[test]
fn banned_text_does_not_stand_in_the_code() -> Result<(), Report> {
    let (rules, tree) = load()?;
    Report::of(bans::check(&rules.ban, &tree.rust_sources()))
}

#[test]
fn words_that_belong_to_a_machine_or_a_registry_do_not_occur() -> Result<(), Report> {
    let (rules, tree) = load()?;
    let documents: Vec<_> = tree.own_texts(&rules.walk).collect();
    Report::of(documents::check_words(&rules, &documents))
}

#[test]
fn every_module_opens_with_what_it_is_for() -> Result<(), Report> {
    let (_, tree) = load()?;
    Report::of(modules::check(&tree.rust_sources()))
}

#[test]
fn files_and_functions_fit_or_are_listed_with_their_size() -> Result<(), Report> {
    let (rules, tree) = load()?;
    Report::of(sizes::check(&rules.size, &tree.rust_sources()))
}

#[test]
fn links_between_documents_lead_somewhere() -> Result<(), Report> {
    let (rules, tree) = load()?;
    let documents: Vec<_> = tree.own_texts(&rules.walk).filter(|file| file.path.ends_with(".md")).collect();
    Report::of(documents::check_links(&documents, &|path| tree.exists(path)))
}

#[test]
fn every_dependency_has_its_line_in_the_decisions_and_is_used() -> Result<(), Report> {
    let (_, tree) = load()?;
    let manifests = graph::manifests(&tree)?;
    let ledger = tree.text("DECISIONS.md").unwrap_or_default();
    Report::of(ledger::check(ledger, &graph::workspace_packages(&tree)?, &manifests))
}

#[test]
fn the_lock_file_holds_no_version_that_is_ruled_out() -> Result<(), Report> {
    let (rules, tree) = load()?;
    Report::of(locked::check_versions(&rules.locked, tree.text("Cargo.lock").unwrap_or_default())?)
}

#[test]
fn features_that_stay_off_are_off_in_the_resolved_tree() -> Result<(), Report> {
    let rules = Rules::read(&tree::repository_root())?;
    Report::of(locked::check_features(&rules.feature_off, &locked::resolved_features()?))
}
