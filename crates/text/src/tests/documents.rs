//! Documents to test with, and measures like those of the models.

use proptest::prelude::*;

/// Counts about as a WordPiece tokenizer does: words and marks apart, long words in parts, very long words as one
/// unknown token, ideographs each by itself.
pub(super) fn wordpieces(text: &str) -> usize {
    let (mut tokens, mut word) = (0, 0);
    for c in text.chars().chain([' ']) {
        let is_ideograph = ('\u{3000}'..='\u{9FFF}').contains(&c) || ('\u{AC00}'..='\u{D7AF}').contains(&c);
        let is_mark = c.is_ascii_punctuation();
        if c.is_whitespace() || is_mark || is_ideograph {
            tokens += if word > 100 { 1 } else { usize::div_ceil(word, 4) };
            tokens += usize::from(is_mark || is_ideograph);
            word = 0;
        } else {
            word += 1;
        }
    }
    tokens
}

/// Counts bytes: the most tokens a text can be, and a measure that counts whitespace too.
pub(super) fn bytes(text: &str) -> usize {
    text.len()
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-z]{1,12}",
        1 => "[A-Z][a-z]{1,8}[.!?]",
        1 => "[0-9]{1,5}[.,:;)]?",
        1 => "[漢字仮名交文日本語。、]{1,12}",
        1 => "[😀🧭👩‍🚀🇩🇪é́]{1,6}",
        1 => "[`*_\\[\\]()<>|#>~=+-]{1,6}",
        1 => "\\PC{1,8}",
    ]
}

fn line(words: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(word(), 1..words.max(2)).prop_map(|words| words.join(" "))
}

fn block() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => (1..7usize, line(6)).prop_map(|(level, text)| format!("{} {text}\n\n", "#".repeat(level))),
        1 => (line(6), "[=-]{3,9}").prop_map(|(text, rule)| format!("{text}\n{rule}\n\n")),
        4 => prop::collection::vec(line(12), 1..6).prop_map(|lines| lines.join("\n") + "\n\n"),
        1 => line(500).prop_map(|text| text + "\n\n"),
        2 => prop::collection::vec((0..4usize, line(15)), 1..12).prop_map(|items| {
            items.into_iter().map(|(indent, text)| format!("{}- {text}\n", "  ".repeat(indent))).collect()
        }),
        1 => prop::collection::vec(prop::collection::vec(line(4), 3), 1..20).prop_map(|rows| {
            let rows: String = rows.iter().map(|cells| format!("| {} |\n", cells.join(" | "))).collect();
            format!("| a | b | c |\n|---|---|---|\n{rows}\n")
        }),
        1 => (prop::collection::vec(line(10), 1..40), any::<bool>()).prop_map(|(lines, closed)| {
            format!("```rust\n    {}\n{}", lines.join("\n    "), if closed { "```\n\n" } else { "" })
        }),
        1 => prop::collection::vec(line(20), 1..5).prop_map(|lines| format!("> {}\n\n", lines.join("\n> "))),
        1 => ("[a-zA-Z0-9+/]{1,40}", 1..200usize).prop_map(|(unit, times)| unit.repeat(times) + "\n"),
        1 => "[ \t\n]{1,20}",
        1 => (line(8), line(8)).prop_map(|(seen, hidden)| format!("{seen} <!-- {hidden} --> {seen}\n")),
        1 => (line(8), line(8)).prop_map(|(seen, hidden)| format!("<!--\n{hidden}\n-->\n\n.. {hidden}\n\n// {seen}\n{seen}\n")),
        1 => (line(3), prop::collection::vec(line(6), 1..30)).prop_map(|(name, lines)| {
            format!("/// {name}\nfn name() {{\n    let a = \"{}\";\n}}\n\nclass B:\n    def c(self):\n        return 1\n\n", lines.join("\";\n    let b = \""))
        }),
        1 => "\\PC{0,60}\n",
    ]
}

/// A document of all kinds of blocks, in normal form.
pub(super) fn document() -> impl Strategy<Value = String> {
    prop::collection::vec(block(), 1..25).prop_filter_map("nothing to read", |blocks| {
        crate::normalise(blocks.concat().as_bytes()).ok().map(crate::Normalised::into_string)
    })
}

/// As many parts as fit into `bytes`.
fn growing(bytes: usize, part: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for at in 1.. {
        let part = part(at);
        if text.len() + part.len() >= bytes {
            break;
        }
        text.push_str(&part);
    }
    text
}

/// Texts that hurt parsers, each about `bytes` long.
pub(super) fn hostile(bytes: usize) -> Vec<(&'static str, String)> {
    let mut texts = hostile_markdown(bytes);
    texts.extend(hostile_structure(bytes));
    texts
}

/// Texts that hurt parsers of other formats than Markdown.
fn hostile_structure(bytes: usize) -> Vec<(&'static str, String)> {
    let of = |unit: &str| unit.repeat(bytes / unit.len() + 1);
    vec![
        ("comments", of("a <!-- b --> ")),
        ("comment blocks", of("<!-- a -->\nb\n\n")),
        ("scripts", of("<script>")),
        ("tables of equals signs", of("== ==\na\n\nb\n")),
        ("titles with marks", of("a\n====\n")),
        ("directives", of(".. note::\n")),
        ("explicit comments", of(".. a\n")),
        ("delimiters", of("----\n")),
        ("descriptions", of("[a]\n")),
        ("items that go on", of("* a\n+\n")),
        ("nested code", format!("{}{}", "fn a() { ".repeat(bytes / 20), "} ".repeat(bytes / 20))),
        ("open braces", of("{")),
        ("open parentheses", of("f(")),
        ("classes", growing(bytes, |n| format!("{}class A:\n", " ".repeat(n % 200)))),
        ("small functions", of("fn a() {}\n")),
        ("quotation marks", of("\"'`")),
        ("type arguments", of("a<b<")),
        ("conditions", of("#if A\n")),
    ]
}

fn hostile_markdown(bytes: usize) -> Vec<(&'static str, String)> {
    let of = |unit: &str| unit.repeat(bytes / unit.len() + 1);
    vec![
        ("one word", of("x")),
        ("emoji", of("👩‍🚀")),
        ("flags", of("🇩🇪")),
        ("combining marks", format!("e{}", of("\u{301}"))),
        ("mixed combining marks", format!("e{}", of("\u{323}\u{301}"))),
        ("ideographs", of("漢")),
        ("ideographs in sentences", of("漢字仮名交じり文。")),
        ("base64", of("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo+/")),
        ("words", of("the quick brown fox ")),
        ("sentences", of("The quick brown fox jumps. ")),
        ("lines", of("a line of a log\n")),
        ("short lines", of("a\n")),
        ("blank lines", format!("a{}b", of("\n"))),
        ("spaces", format!("a{}b", of(" "))),
        ("open brackets", of("[")),
        ("open links", of("[a](")),
        ("images", of("![")),
        ("stars", of("*")),
        ("emphasis", of("*a _b ")),
        ("strong", of("a**b")),
        ("backticks", of("`")),
        ("growing backticks", growing(bytes, |n| "`".repeat(n % 2_000) + " ")),
        ("tildes", of("~")),
        ("quotes", of(">")),
        ("spaced quotes", of("> ")),
        ("lists", of("- ")),
        ("numbered lists", of("1. ")),
        ("deep lists", growing(bytes, |n| " ".repeat(2 * ((n - 1) % 300)) + "- a\n")),
        ("quoted lazily", format!("{}a\n{}", ">".repeat(bytes / 4), "b\n".repeat(bytes / 4))),
        ("headings", of("## a\nb\n")),
        ("deep headings", of("# a\n## b\n### c\n#### d\n##### e\n###### f\ng\n")),
        ("long heading", format!("# {}", of("word "))),
        ("table", format!("|a|b|\n|-|-|\n{}", of("|c|d|\n"))),
        ("wide table", format!("{}\n{}\n{}", "|a".repeat(bytes / 6), "|-".repeat(bytes / 6), "|b".repeat(bytes / 6))),
        ("open fence", format!("```\n{}", of("let x = 1;\n"))),
        ("many fences", of("```\n")),
        ("html", of("<a ")),
        ("open comments", of("<!-- ")),
        ("declarations", of("<!A ")),
        ("instructions", of("<?")),
        ("character data", of("<![CDATA[")),
        ("entities", of("&amp")),
        ("escapes", of("\\")),
        ("autolinks", of("<http:")),
        ("link definitions", of("[a]: b\n")),
        ("used definitions", format!("[a]: b\n\n{}", of("[a] "))),
        ("footnotes", of("[^a]: b\n\n")),
        ("used footnotes", of("[^a] ")),
        ("rules", of("---\n\n")),
        ("underlines", of("a\n===\n")),
        ("front matter", format!("---\na: b\n{}", of("c: d\n"))),
        ("full stops and brackets", format!("A{}", of(".(("))),
        ("a full stop and brackets", format!("A.{}", of("("))),
        ("a full stop and digits", format!("A. {}", of("1 "))),
        ("invisible marks", format!("a{}", of("\u{200B}"))),
    ]
}
