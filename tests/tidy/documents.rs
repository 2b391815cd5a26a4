//! The project's own texts: words that may not occur, and links that must lead somewhere.
//!
//! Does not: follow links out of the repository, or look at links in code.

use crate::rules::{Rules, TABLE};
use crate::source::{line_of, places};
use crate::tree::TextFile;

/// Words and machine paths that stand in a file of ours.
pub(crate) fn check_words(rules: &Rules, files: &[&TextFile]) -> Vec<String> {
    let mut violations = Vec::new();
    for file in files {
        let mut found = |at: usize, text: &str, reason: &str| {
            violations.push(format!("{}:{}: `{text}`: {reason} ({TABLE})", file.path, line_of(&file.text, at)));
        };
        for word in &rules.word {
            for text in &word.texts {
                for at in places(&file.text, text) {
                    found(at, text, &word.reason);
                }
            }
        }
        for folder in &rules.machine_paths.folders {
            let path = format!("/{folder}/");
            for (at, _) in file.text.match_indices(&path).filter(|(at, _)| begins_a_path(&file.text, *at)) {
                found(at, &path, &rules.machine_paths.reason);
            }
        }
    }
    violations
}

/// Whether the slash at `at` is the first of a path, not one inside it.
fn begins_a_path(text: &str, at: usize) -> bool {
    let before = text.get(..at).and_then(|before| before.chars().next_back());
    !before.is_some_and(|c| c.is_alphanumeric() || "._-*}/)".contains(c))
}

/// A link in a document: where it stands and where it leads.
struct Link<'a> {
    line: usize,
    target: &'a str,
}

/// Links to files or headings that are not there.
pub(crate) fn check_links(files: &[&TextFile], exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut violations = Vec::new();
    for file in files {
        let prose = without_code(&file.text);
        for Link { line, target } in links(&prose) {
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let resolved = if path.is_empty() { Some(file.path.clone()) } else { resolve(&file.path, path) };
            let Some(resolved) = resolved.filter(|path| exists(path)) else {
                violations.push(format!("{}:{line}: the link to {target} leads nowhere", file.path));
                continue;
            };
            let document = files.iter().find(|document| document.path == resolved);
            if !heading.is_empty() && document.is_some_and(|document| !has_heading(&document.text, heading)) {
                violations.push(format!("{}:{line}: {resolved} has no heading #{heading}", file.path));
            }
        }
    }
    violations
}

/// A path relative to the document that names it; `None` when it leaves the repository.
fn resolve(document: &str, path: &str) -> Option<String> {
    let (folder, _) = document.rsplit_once('/').unwrap_or(("", document));
    let mut parts: Vec<&str> = if path.starts_with('/') { vec![] } else { folder.split('/').collect() };
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()?),
            "." | "" => {}
            part => parts.push(part),
        }
        parts.retain(|part| !part.is_empty());
    }
    Some(parts.join("/"))
}

/// The document with empty lines for fenced code and without what stands between backticks.
fn without_code(text: &str) -> String {
    let mut fenced = false;
    let mut out = String::new();
    for line in text.lines() {
        let fence = line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
        fenced ^= fence;
        if !fence && !fenced {
            line.split('`').step_by(2).for_each(|prose| out.push_str(prose));
        }
        out.push('\n');
    }
    out
}

/// Links written in place, `[text](target)`, and definitions of links, `[name]: target`.
fn links(prose: &str) -> Vec<Link<'_>> {
    let mut found = Vec::new();
    for (number, line) in prose.lines().enumerate() {
        let in_place = line.match_indices("](").filter_map(|(at, _)| line.get(at + 2..)?.split(')').next());
        let defined = line.strip_prefix('[').and_then(|rest| rest.split_once("]:")).map(|(_, target)| target);
        for target in in_place.chain(defined) {
            let target = target.split_whitespace().next().unwrap_or_default().trim_matches(['<', '>']);
            found.push(Link { line: number + 1, target });
        }
    }
    found
}

fn has_heading(document: &str, anchor: &str) -> bool {
    let mut headings = document.lines().filter(|line| line.starts_with('#'));
    headings.any(|line| slug(line.trim_start_matches('#').trim()) == anchor)
}

/// The anchor of a heading: lower case, spaces as hyphens, without punctuation.
fn slug(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::repository_root;

    fn file(path: &str, text: &str) -> TextFile {
        TextFile { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn each_word_and_machine_path_of_the_table_is_found() {
        let rules = Rules::read(&repository_root()).unwrap();
        let words = rules.word.iter().flat_map(|word| word.texts.clone());
        let paths = rules.machine_paths.folders.iter().map(|folder| format!("see /{folder}/x"));
        for text in words.chain(paths) {
            let file = file("docs/a.md", &format!("a line\nand {text} here\n"));
            let found = check_words(&rules, &[&file]);
            assert!(found.len() == 1 && found[0].starts_with("docs/a.md:2"), "{text}: {found:?}");
        }
        let fine = file("docs/a.md", &format!("docs/{}/x and a net{0}/x", rules.machine_paths.folders[0]));
        assert!(check_words(&rules, &[&fine]).is_empty());
    }

    fn broken(text: &str) -> Vec<String> {
        let here = file("docs/a.md", text);
        let there = file("README.md", "# Catena\n\n## How to `run` it, today\n");
        check_links(&[&here, &there], &|path| ["README.md", "docs", "docs/a.md"].contains(&path))
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        for text in
            ["[x](b.md)", "[x](../b.md)", "[x](../../README.md)", "[x](../README.md#no)", "[x]: b.md", "![x](b.png)"]
        {
            assert_eq!(broken(text).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_link_that_leads_somewhere_or_out_is_left_alone() {
        let heading = "[x](../README.md#how-to-run-it-today)";
        for text in ["[x](../README.md)", heading, "[x](a.md)", "[x](../docs/)", "[x](https://example.org/b.md)"] {
            assert_eq!(broken(text), [""; 0], "{text}");
        }
        assert_eq!(broken("`[x](b.md)`\n```\n[x](b.md)\n```\n"), [""; 0]);
    }
}
