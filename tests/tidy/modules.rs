//! Every Rust file opens with a `//!` paragraph that says something.

use crate::source::Source;

/// Fewer words cannot say what a module is for.
const OPENING_WORDS_MIN: usize = 2;

/// Files that do not open with what they are for.
pub(crate) fn check(sources: &[Source]) -> Vec<String> {
    let silent = sources.iter().filter(|source| opening_words(&source.text) < OPENING_WORDS_MIN);
    silent.map(|source| format!("{}:1: open the module with `//!` and what it is for", source.path)).collect()
}

/// The number of words in the first paragraph of the module's documentation.
fn opening_words(text: &str) -> usize {
    let opening = text.lines().map_while(|line| line.strip_prefix("//!")).take_while(|line| !line.trim().is_empty());
    opening.flat_map(str::split_whitespace).filter(|word| word.contains(char::is_alphabetic)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_without_an_opening_is_found() {
        for text in [
            "",
            "fn main() {}\n",
            "//! .\n",
            "//! Tests.\n",
            "// What this file is for.\n",
            "\n//! Late by a line, that is.\n",
        ] {
            assert_eq!(check(&Source::alone("crates/x/src/lib.rs", text)).len(), 1, "{text:?}");
        }
        assert!(check(&Source::alone("crates/x/src/lib.rs", "//! What this file is for.\n")).is_empty());
    }
}
