//! The ratchet on sizes: what is too long is listed with its length, and the list may only shrink.

use std::collections::BTreeMap;

use crate::rules::{Size, TABLE};
use crate::source::Source;

/// Files and functions over the limit that are not listed with exactly their size, and lines that nothing needs.
pub(crate) fn check(size: &Size, sources: &[Source]) -> Vec<String> {
    let mut files = BTreeMap::new();
    let mut functions = BTreeMap::new();
    for source in sources {
        files.insert(source.path.clone(), source.text.lines().count());
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for function in source.functions() {
            let count = seen.entry(function.name.clone()).or_default();
            *count += 1;
            // Functions of one name in one file are told apart by their order.
            let number = if *count == 1 { String::new() } else { format!("#{count}") };
            functions.insert(format!("{}::{}{number}", source.path, function.name), function.lines);
        }
    }
    let mut violations = ratchet("[size.files]", size.file_lines_max, &size.files, &files);
    violations.extend(ratchet("[size.functions]", size.function_lines_max, &size.functions, &functions));
    violations
}

fn ratchet(
    section: &str,
    lines_max: usize,
    listed: &BTreeMap<String, usize>,
    actual: &BTreeMap<String, usize>,
) -> Vec<String> {
    let mut violations = Vec::new();
    for (name, &lines) in actual.iter().filter(|(_, lines)| **lines > lines_max) {
        match listed.get(name) {
            None => violations
                .push(format!("{name} has {lines} lines, over {lines_max}: split it by what its parts result in")),
            Some(&was) if lines > was => {
                violations.push(format!("{name} grew from {was} to {lines} lines; it may only shrink"));
            }
            Some(&was) if lines < was => {
                violations.push(format!("{name} shrank to {lines} lines: write that under {section} in {TABLE}"));
            }
            Some(_) => {}
        }
    }
    for name in listed.keys().filter(|name| actual.get(*name).is_none_or(|lines| *lines <= lines_max)) {
        violations.push(format!("{name} is no longer over {lines_max} lines: take it out of {section} in {TABLE}"));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(files: &[(&str, usize)], functions: &[(&str, usize)]) -> Size {
        let listed = |all: &[(&str, usize)]| all.iter().map(|(name, lines)| ((*name).to_owned(), *lines)).collect();
        Size { file_lines_max: 5, function_lines_max: 3, files: listed(files), functions: listed(functions) }
    }

    fn found(size: &Size, text: &str) -> String {
        check(size, &Source::alone("a.rs", text)).join("; ")
    }

    const LONG_FILE: &str = "//\n//\n//\n//\n//\n//\n";
    const LONG_FUNCTION: &str = "fn f() {}\nfn f() {\n//\n//\n}\n";

    #[test]
    fn what_is_too_long_must_be_listed_with_its_size() {
        assert!(found(&size(&[], &[]), LONG_FILE).contains("a.rs has 6 lines, over 5"));
        assert!(found(&size(&[("a.rs", 5)], &[]), LONG_FILE).contains("grew from 5 to 6"));
        assert!(found(&size(&[("a.rs", 7)], &[]), LONG_FILE).contains("shrank to 6"));
        assert_eq!(found(&size(&[("a.rs", 6)], &[]), LONG_FILE), "");
        assert!(found(&size(&[], &[]), LONG_FUNCTION).contains("a.rs::f#2 has 4 lines, over 3"));
        assert_eq!(found(&size(&[], &[("a.rs::f#2", 4)]), LONG_FUNCTION), "");
    }

    #[test]
    fn a_line_that_nothing_needs_must_go() {
        assert!(found(&size(&[("a.rs", 6)], &[]), "//\n").contains("no longer over 5"));
        assert!(found(&size(&[("gone.rs", 6)], &[]), "//\n").contains("no longer over 5"));
        assert!(found(&size(&[], &[("a.rs::f", 4)]), "fn f() {}\n").contains("no longer over 3"));
    }
}
