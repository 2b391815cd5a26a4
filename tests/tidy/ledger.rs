//! Every dependency has one line in DECISIONS.md that says why it is there, and is used by a crate.

use crate::graph::Manifest;

/// The heading under which the lines stand.
const SECTION: &str = "## Dependencies";

/// Fewer words are no reason.
const REASON_WORDS_MIN: usize = 4;

/// Dependencies without a line, lines without a dependency, and dependencies that no crate uses.
pub(crate) fn check(ledger: &str, packages: &[String], manifests: &[Manifest]) -> Vec<String> {
    let lines = lines(ledger);
    let mut violations = Vec::new();
    for package in packages {
        match lines.iter().filter(|(name, _)| name == package).count() {
            1 => {}
            0 => violations.push(format!("DECISIONS.md: {package} has no line under `{SECTION}`; say why this one")),
            count => violations.push(format!("DECISIONS.md: {package} has {count} lines")),
        }
        if !manifests.iter().any(|manifest| manifest.packages.contains(package)) {
            violations.push(format!("Cargo.toml: no crate uses {package}; take it out, with its line in DECISIONS.md"));
        }
    }
    for (name, reason) in &lines {
        if !packages.iter().any(|package| package == name) {
            violations.push(format!("DECISIONS.md: {name} is no dependency of the workspace"));
        }
        if reason.split_whitespace().count() < REASON_WORDS_MIN {
            violations.push(format!("DECISIONS.md: the line of {name} gives no reason"));
        }
    }
    violations
}

/// The lines of the section: the name between backticks and the reason after it.
fn lines(ledger: &str) -> Vec<(&str, &str)> {
    let section =
        ledger.lines().skip_while(|line| *line != SECTION).skip(1).take_while(|line| !line.starts_with("## "));
    section.filter_map(|line| line.strip_prefix("- `")?.split_once('`')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(ledger: &str, packages: &[&str], used: &[&str]) -> String {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let manifest = Manifest {
            name: "text".to_owned(),
            path: "crates/text/Cargo.toml".to_owned(),
            edges: Vec::new(),
            test_edges: Vec::new(),
            packages: owned(used),
            unpinned: Vec::new(),
        };
        check(ledger, &owned(packages), &[manifest]).join("; ")
    }

    #[test]
    fn dependencies_and_lines_must_match_one_to_one() {
        let one = "# D\n\n## Dependencies\n\n- `http`: the types of the wire\n\n## Design\n\n- `serde`: elsewhere\n";
        assert_eq!(found(one, &["http"], &["http"]), "");
        assert!(found(one, &["http", "serde"], &["http", "serde"]).contains("serde has no line"));
        assert!(found(one, &[], &[]).contains("http is no dependency"));
        assert!(found(one, &["http"], &[]).contains("no crate uses http"));
        let twice = format!("## Dependencies\n- `http`: because.\n{one}");
        assert!(found(&twice, &["http"], &["http"]).contains("gives no reason"));
        let double = "## Dependencies\n- `http`: the types of the wire\n- `http`: the types of the wire\n";
        assert!(found(double, &["http"], &["http"]).contains("has 2 lines"));
    }
}
