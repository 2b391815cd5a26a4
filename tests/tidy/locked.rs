//! What was resolved: versions in Cargo.lock, and features that stay off.
//!
//! Does not: resolve anything itself; it asks cargo, without the network.

use std::process::Command;

use toml::{Table, Value};

use crate::report::Report;
use crate::rules::{FeatureOff, Locked};
use crate::tree::repository_root;

/// A package and the features it was resolved with.
pub(crate) struct Resolved {
    package: String,
    features: Vec<String>,
}

/// Packages that are locked too often or too low.
pub(crate) fn check_versions(rules: &[Locked], lock: &str) -> Result<Vec<String>, Report> {
    let lock: Table = lock.parse().map_err(|cause| Report::unreadable("Cargo.lock", cause))?;
    let field = |package: &Value, name: &str| package.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let locked = lock.get("package").and_then(Value::as_array).into_iter().flatten();
    let locked: Vec<_> = locked.map(|package| (field(package, "name"), field(package, "version"))).collect();
    let mut violations = Vec::new();
    for Locked { package, copies_max, at_least, reason } in rules {
        let versions: Vec<_> = locked.iter().filter(|(name, _)| name == package).map(|(_, version)| version).collect();
        if versions.len() > *copies_max {
            violations
                .push(format!("Cargo.lock: {} copies of {package}, at most {copies_max}: {reason}", versions.len()));
        }
        let Some(at_least) = at_least else { continue };
        for version in versions.iter().filter(|version| numbers(version) < numbers(at_least)) {
            violations.push(format!("Cargo.lock: {package} {version} is below {at_least}: {reason}"));
        }
    }
    Ok(violations)
}

/// The leading numbers of a version, as far as they are numbers.
fn numbers(version: &str) -> Vec<u64> {
    version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
}

/// Features that are on and should be off, and rules about packages that are no longer there.
pub(crate) fn check_features(rules: &[FeatureOff], resolved: &[Resolved]) -> Vec<String> {
    let mut violations = Vec::new();
    for FeatureOff { package, features, reason } in rules {
        let found: Vec<_> = resolved.iter().filter(|found| found.package == *package).collect();
        if found.is_empty() {
            violations.push(format!("the tree holds no {package}, so nothing is known of its features"));
        }
        for feature in features.iter().filter(|feature| found.iter().any(|found| found.features.contains(feature))) {
            violations.push(format!(
                "{package} is built with the feature {feature}: {reason}; `cargo tree --workspace -e features -i {package}` \
                 says who asks for it"
            ));
        }
    }
    violations
}

/// Asks cargo for every package of the workspace's tree with its features.
pub(crate) fn resolved_features() -> Result<Vec<Resolved>, Report> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--offline", "--locked", "--edges", "normal,build,dev"])
        .args(["--prefix", "none", "--format", "{p}|{f}"])
        .current_dir(repository_root())
        .output()
        .map_err(|cause| Report::unreadable("the tree of dependencies", cause))?;
    if !output.status.success() {
        return Err(Report::unreadable("the tree of dependencies", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(parse_tree(&String::from_utf8_lossy(&output.stdout)))
}

fn parse_tree(tree: &str) -> Vec<Resolved> {
    let line = |line: &str| {
        let (package, features) = line.split_once('|')?;
        let features = features.trim_end_matches(" (*)").split(',').map(str::to_owned).collect();
        Some(Resolved { package: package.split(' ').next()?.to_owned(), features })
    };
    tree.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(copies_max: usize, at_least: &str) -> [Locked; 1] {
        let at_least = Some(at_least.to_owned());
        [Locked { package: "ort".to_owned(), copies_max, at_least, reason: "so".to_owned() }]
    }

    #[test]
    fn a_second_copy_and_an_old_version_are_found() {
        let one = "[[package]]\nname = \"ort\"\nversion = \"0.9.1\"\n";
        let two = format!("{one}{one}");
        let found = |rules: &[Locked], lock: &str| check_versions(rules, lock).unwrap().join("; ");
        assert_eq!(found(&locked(1, "0.9.0"), one), "");
        assert!(found(&locked(1, "0.9.0"), &two).contains("2 copies of ort, at most 1"));
        assert!(found(&locked(0, "0.9.0"), one).contains("1 copies of ort, at most 0"));
        assert!(found(&locked(1, "0.10.0"), one).contains("0.9.1 is below 0.10.0"));
    }

    #[test]
    fn a_feature_that_stays_off_is_found_when_on() {
        let rules =
            [FeatureOff { package: "ort".to_owned(), features: vec!["api-31".to_owned()], reason: "so".to_owned() }];
        let found = |tree: &str| check_features(&rules, &parse_tree(tree)).join("; ");
        assert_eq!(found("a v1.0.0 (/a)|default\nort v2.0.0|api-24,std\n"), "");
        assert!(found("ort v2.0.0|api-24,std\nort v2.0.0|api-31,std (*)\n").contains("feature api-31"));
        assert!(found("a v1.0.0|default\n").contains("holds no ort"));
    }
}
