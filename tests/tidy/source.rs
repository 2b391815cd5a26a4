//! Rust text made fit for searching: comments and literals are blanked, test code is known.
//!
//! Promises: blanking keeps every line and column, so that a find has its place; a module file declared under
//! `#[cfg(test)]` is test code like one written in place. Does not: expand macros, or follow `#[path]`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A function with a body: its name and how many lines it takes from `fn` to the closing brace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) lines: usize,
}

/// One Rust file.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text without what stands in comments and literals.
    pub(crate) code: String,
    /// `code` without test code, and without constants, because what fails in a constant fails the build.
    pub(crate) shipped: String,
}

impl Source {
    /// Prepares all files together, because one file can declare another to be test code.
    pub(crate) fn prepare(files: &BTreeMap<&str, &str>) -> Vec<Self> {
        let mut test_files = BTreeSet::new();
        let mut sources = Vec::new();
        for (&path, &text) in files {
            let code = blank(text);
            let (shipped, modules) = without_tests(&code);
            let shipped = without_constants(&shipped);
            for module in modules {
                let folder = module_folder(path);
                test_files.insert(format!("{folder}/{module}.rs"));
                test_files.insert(format!("{folder}/{module}/mod.rs"));
                test_files.insert(format!("{folder}/{module}/"));
            }
            sources.push(Self { path: path.to_owned(), text: text.to_owned(), code, shipped });
        }
        for source in &mut sources {
            let declared = test_files
                .iter()
                .any(|test| source.path == *test || (test.ends_with('/') && source.path.starts_with(test)));
            if declared || in_test_folder(&source.path) || source.code.trim_start().starts_with("#![cfg(test)]") {
                source.shipped = spaces(&source.code);
            }
        }
        sources
    }

    /// A file on its own, for the tests of rules.
    #[cfg(test)]
    pub(crate) fn alone(path: &str, text: &str) -> Vec<Self> {
        Self::prepare(&BTreeMap::from([(path, text)]))
    }

    /// The functions of the file in order.
    pub(crate) fn functions(&self) -> Vec<Function> {
        functions(&self.code)
    }
}

/// Files that are tests wherever they are declared.
fn in_test_folder(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/")
}

/// The folder in which the file's child modules lie.
fn module_folder(path: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    match file {
        "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
        _ => format!("{folder}/{}", file.trim_end_matches(".rs")),
    }
}

/// Whether a byte can stand in a name.
pub(crate) fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || byte >= 0x80
}

/// The 1-based line of a place in a text.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count()
}

/// The places of `wanted` in `code`, where it does not begin or end inside a longer name.
pub(crate) fn places(code: &str, wanted: &str) -> Vec<usize> {
    let bytes = code.as_bytes();
    let joins =
        |inner: Option<u8>, outer: Option<&u8>| inner.is_some_and(is_word) && outer.copied().is_some_and(is_word);
    let mut found = Vec::new();
    for (at, _) in code.match_indices(wanted) {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        let after = bytes.get(at + wanted.len());
        if !joins(wanted.bytes().next(), before) && !joins(wanted.bytes().last(), after) {
            found.push(at);
        }
    }
    found
}

/// A text of the same shape that holds nothing.
fn spaces(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { c } else { ' ' }).collect()
}

/// Puts spaces over a range of bytes and keeps the ends of lines.
fn cover(bytes: &mut [u8], range: Range<usize>) {
    for byte in bytes.iter_mut().take(range.end).skip(range.start) {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

/// The text with spaces instead of comments and of what stands between quotes.
pub(crate) fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match (bytes.get(at), bytes.get(at + 1)) {
            (Some(b'/'), Some(b'/')) => end_of_line(bytes, at),
            (Some(b'/'), Some(b'*')) => end_of_comment(bytes, at),
            (Some(b'"'), _) => end_of_string(bytes, at),
            (Some(b'\''), _) => end_of_character(text, at),
            (Some(b'r'), Some(b'"' | b'#')) if starts_a_literal(bytes, at) => end_of_raw_string(bytes, at),
            _ => at,
        };
        cover(&mut out, at..end);
        at = end.max(at + 1);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// An `r` begins a raw string unless it ends a name; `br` and `cr` do as well.
fn starts_a_literal(bytes: &[u8], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).and_then(|at| bytes.get(at)).copied();
    match before(1) {
        Some(b'b' | b'c') => !before(2).is_some_and(is_word),
        other => !other.is_some_and(is_word),
    }
}

fn end_of_line(bytes: &[u8], at: usize) -> usize {
    bytes.iter().skip(at).position(|&byte| byte == b'\n').map_or(bytes.len(), |length| at + length)
}

fn end_of_comment(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at < bytes.len() {
        match (bytes.get(at), bytes.get(at + 1)) {
            (Some(b'/'), Some(b'*')) => (depth, at) = (depth + 1, at + 2),
            (Some(b'*'), Some(b'/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of a character literal; `start` itself for a lifetime.
fn end_of_character(text: &str, start: usize) -> usize {
    let rest = text.get(start + 1..).unwrap_or_default();
    let mut chars = rest.char_indices();
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((_, escaped))) => {
            let body = 1 + escaped.len_utf8();
            rest.get(body..).and_then(|tail| tail.find('\'')).map_or(start, |length| start + 1 + body + length + 1)
        }
        (Some(_), Some((width, '\''))) => start + 1 + width + 1,
        _ => start,
    }
}

fn end_of_raw_string(bytes: &[u8], start: usize) -> usize {
    let hashes = bytes.iter().skip(start + 1).take_while(|&&byte| byte == b'#').count();
    if bytes.get(start + 1 + hashes) != Some(&b'"') {
        return start;
    }
    let mut at = start + 2 + hashes;
    while at < bytes.len() {
        let closing = bytes.iter().skip(at + 1).take(hashes).filter(|&&byte| byte == b'#').count();
        if bytes.get(at) == Some(&b'"') && closing == hashes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    bytes.len()
}

/// The end of the item that begins at `start`: past its first balanced braces, or past a semicolon before them, or where
/// the surrounding braces close; and where its own braces open. A bracket or parenthesis hides what is inside it.
fn end_of_item(bytes: &[u8], start: usize) -> (usize, Option<usize>) {
    let (mut hidden, mut braces, mut opened) = (0_i32, 0_i32, None);
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => hidden += 1,
            b')' | b']' => hidden -= 1,
            b'{' if hidden <= 0 || braces > 0 => {
                opened.get_or_insert(at);
                braces += 1;
            }
            b'}' if braces > 0 => {
                braces -= 1;
                if braces == 0 {
                    return (at + 1, opened);
                }
            }
            b'}' => return (at, None),
            b';' if hidden <= 0 && braces == 0 => return (at + 1, None),
            _ => {}
        }
    }
    (bytes.len(), opened)
}

/// The code without items under `#[cfg(test)]`, and the names of modules that such an item declares elsewhere.
fn without_tests(code: &str) -> (String, Vec<String>) {
    let mut out = code.as_bytes().to_vec();
    let mut modules = Vec::new();
    for (at, _) in code.match_indices("#[cfg(") {
        let attribute =
            code.get(at..).and_then(|rest| rest.find(']').and_then(|end| rest.get(..=end))).unwrap_or_default();
        if places(attribute, "test").is_empty() || attribute.contains("not(") {
            continue;
        }
        let mut item = at + attribute.len();
        while let Some(rest) = code.get(item..).filter(|rest| rest.trim_start().starts_with("#[")) {
            item += rest.find(']').map_or(rest.len(), |end| end + 1);
        }
        let (end, opened) = end_of_item(code.as_bytes(), item);
        let head = code.get(item..opened.unwrap_or(end)).unwrap_or_default().trim().trim_end_matches(';');
        if let (None, Some((_, name))) = (opened, head.rsplit_once("mod ")) {
            modules.push(name.trim().to_owned());
        }
        cover(&mut out, at..end);
    }
    (String::from_utf8_lossy(&out).into_owned(), modules)
}

/// The code without constants. A `const fn`, a constant of a generic and a pointer to a constant stay.
fn without_constants(code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    for at in places(code, "const") {
        let before = code.get(..at).and_then(|before| before.trim_end().chars().next_back());
        let declared = code.get(at..).and_then(|rest| rest.split_once(':')).map_or("", |(head, _)| head);
        if declared.split_whitespace().count() == 2 && !before.is_some_and(|c| "<,*".contains(c)) {
            cover(&mut out, at..end_of_statement(code.as_bytes(), at));
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Past the semicolon that no bracket hides.
fn end_of_statement(bytes: &[u8], start: usize) -> usize {
    let mut hidden = 0_i32;
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            b'(' | b'[' | b'{' => hidden += 1,
            b')' | b']' | b'}' => hidden -= 1,
            b';' if hidden <= 0 => return at + 1,
            _ => {}
        }
    }
    bytes.len()
}

fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for at in places(code, "fn") {
        let rest = code.get(at + 2..).unwrap_or_default();
        let name: String = rest.trim_start().chars().take_while(|&c| c == '_' || c.is_alphanumeric()).collect();
        let (end, body) = end_of_item(code.as_bytes(), at);
        if !name.is_empty() && rest.starts_with(char::is_whitespace) && body.is_some() {
            found.push(Function { name, lines: line_of(code, end - 1) + 1 - line_of(code, at) });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_places_are_kept() {
        let cases = [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"x("y\"z", 1)"#, r"x(      , 1)"),
            ("r#\"a\"b\"# c", "         c"),
            ("br\"a\" c", "b     c"),
            ("'a' '\\'' '\\u{1}' &'a str", "                 &'a str"),
            ("let r#type = 1;", "let r#type = 1;"),
            ("\"\n\" a", " \n  a"),
        ];
        for (text, expected) in cases {
            assert_eq!(blank(text), expected, "{text}");
        }
    }

    #[test]
    fn names_are_found_whole() {
        assert_eq!(places("unsafe_code not_unsafe unsafe", "unsafe"), [23]);
        assert_eq!(places("a.unwrap_or(b).unwrap()", ".unwrap()"), [14]);
        assert_eq!(places("std::time::Instant::now()", "Instant::now"), [11]);
    }

    #[test]
    fn test_code_is_not_shipped() {
        let text = "fn a() {}\n#[cfg(test)]\n#[expect(x)]\nmod tests {\n    fn b() { [1; 2]; }\n}\nfn c() {}\n";
        let source = &Source::alone("crates/x/src/lib.rs", text)[0];
        assert!(source.shipped.contains("fn a") && source.shipped.contains("fn c"));
        assert!(!source.shipped.contains("fn b"));
        assert_eq!(source.shipped.lines().count(), text.lines().count());
        assert!(Source::alone("crates/x/src/lib.rs", "#[cfg(not(test))]\nfn a() {}\n")[0].shipped.contains("fn a"));
        assert!(!Source::alone("crates/x/tests/a.rs", "fn a() {}\n")[0].shipped.contains("fn a"));
    }

    #[test]
    fn constants_are_not_shipped_but_what_is_named_like_them_is() {
        let shipped = |text: &str| Source::alone("crates/x/src/lib.rs", text)[0].shipped.trim().to_owned();
        assert_eq!(
            shipped("pub const A: [u8; 2] = { f(1); [0; 2] };\nlet b = 1;"),
            "pub                                     \nlet b = 1;"
        );
        for text in ["const fn a(b: u8) { c; }", "fn a<const N: usize>() { b; }", "let a: *const u8 = b;"] {
            assert_eq!(shipped(text), text);
        }
    }

    #[test]
    fn a_module_file_declared_for_tests_is_not_shipped() {
        let files = BTreeMap::from([
            ("crates/x/src/a.rs", "#[cfg(test)]\nmod cases;\nmod more;\n"),
            ("crates/x/src/a/cases.rs", "fn hidden() {}\n"),
            ("crates/x/src/a/cases/deep.rs", "fn hidden() {}\n"),
            ("crates/x/src/a/more.rs", "fn shown() {}\n"),
        ]);
        let shipped: Vec<_> =
            Source::prepare(&files).into_iter().map(|source| source.shipped.trim().to_owned()).collect();
        assert_eq!(shipped, ["mod more;", "", "", "fn shown() {}"]);
    }

    #[test]
    fn functions_are_measured_from_their_name_to_their_brace() {
        let text = "trait T { fn none(&self, a: [u8; 4]); }\nfn one() -> [u8; 2] { [0; 2] }\nfn three(\n) {\n}\n";
        let named = |name: &str, lines| Function { name: name.to_owned(), lines };
        assert_eq!(functions(text), [named("one", 1), named("three", 3)]);
    }
}
