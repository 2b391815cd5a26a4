//! Structure found in reStructuredText, AsciiDoc and code, and what of a text nobody sees.

use super::documents::wordpieces;
use super::outlines::{heading, sketch};
use crate::{BlockKind, ChunkRules, Format, Language, chunk, outline};

/// Chunks as headings and text.
fn cut(format: Format, text: &str) -> Vec<(String, &str)> {
    let chunks = chunk(text, "T", &outline(format, text), &ChunkRules::DEFAULT, &wordpieces);
    chunks.iter().map(|chunk| (chunk.headings.join(" > "), chunk.span.of(text).unwrap())).collect()
}

#[test]
fn restructured_text_has_titles_by_the_order_of_their_marks() {
    let text = "=====\nGuide\n=====\n\n:Author: Ann\n\nIntro.\n\nKeys\n====\n\nRotate::\n\n    rotate --now\n\nOften.\n\n\
                Yearly\n------\n\n* one\n\n  more of one\n* two\n\nterm\n  its meaning\n\n.. note::\n\n   Careful.\n\n\
                .. code-block:: sh\n\n   ls\n\n.. a comment\n   of two lines\n\n.. _target:\n\n.. [1] A note.\n\n\
                +---+\n| a |\n+---+\n\n=== ===\na   b\n=== ===\n1   2\n=== ===\n\nLocks\n=====\n\nOil.\n\n------\n\n>>> 1\n1\n";
    let (keys, yearly) = ("Guide/Keys".to_owned(), "Guide/Keys/Yearly".to_owned());
    assert_eq!(
        sketch(Format::ReStructuredText, text),
        [
            (heading(1), "=====\nGuide\n=====", "Guide".into()),
            (BlockKind::Metadata, ":Author: Ann", "Guide".into()),
            (BlockKind::Paragraph, "Intro.", "Guide".into()),
            (heading(2), "Keys\n====", keys.clone()),
            (BlockKind::Paragraph, "Rotate::", keys.clone()),
            (BlockKind::Code, "rotate --now", keys.clone()),
            (BlockKind::Paragraph, "Often.", keys),
            (heading(3), "Yearly\n------", yearly.clone()),
            (BlockKind::ListItem, "* one\n\n  more of one", yearly.clone()),
            (BlockKind::ListItem, "* two", yearly.clone()),
            (BlockKind::ListItem, "term\n  its meaning", yearly.clone()),
            (BlockKind::Quote, ".. note::\n\n   Careful.", yearly.clone()),
            (BlockKind::Code, ".. code-block:: sh\n\n   ls", yearly.clone()),
            (BlockKind::Comment, ".. a comment\n   of two lines", yearly.clone()),
            (BlockKind::Metadata, ".. _target:", yearly.clone()),
            (BlockKind::Footnote, ".. [1] A note.", yearly.clone()),
            (BlockKind::Table, "+---+\n| a |\n+---+", yearly.clone()),
            (BlockKind::Table, "=== ===\na   b\n=== ===\n1   2\n=== ===", yearly),
            (heading(2), "Locks\n=====", "Guide/Locks".into()),
            (BlockKind::Paragraph, "Oil.", "Guide/Locks".into()),
            (BlockKind::Rule, "------", "Guide/Locks".into()),
            (BlockKind::Code, ">>> 1\n1", "Guide/Locks".into()),
        ]
    );
    assert_eq!(outline(Format::ReStructuredText, text).title.as_deref(), Some("Guide"));
}

#[test]
fn asciidoc_has_blocks_with_what_describes_them() {
    let text = "= Guide\n:toc:\n\nIntro\n// unseen\ngoes on.\n\n[[keys]]\n== Keys\n\n.Rotating\n[source,sh]\n----\n== no title\n----\n\n\
                * one\n** inner\n+\n----\n* code\n----\n* two\n\nterm:: nested, as it has another mark\n\n|===\n|a |b\n|===\n\n////\nunseen\n////\n\n\
                NOTE: Careful.\n\n====\nAn example.\n====\n\nYearly\n~~~~~~\n\n literal\n\n'''\n";
    let keys = "Guide/Keys".to_owned();
    assert_eq!(
        sketch(Format::AsciiDoc, text),
        [
            (heading(1), "= Guide", "Guide".into()),
            (BlockKind::Metadata, ":toc:", "Guide".into()),
            (BlockKind::Paragraph, "Intro", "Guide".into()),
            (BlockKind::Comment, "// unseen", "Guide".into()),
            (BlockKind::Paragraph, "goes on.", "Guide".into()),
            (BlockKind::Metadata, "[[keys]]", "Guide".into()),
            (heading(2), "== Keys", keys.clone()),
            (BlockKind::Code, ".Rotating\n[source,sh]\n----\n== no title\n----", keys.clone()),
            (BlockKind::ListItem, "* one\n** inner\n+\n----\n* code\n----", keys.clone()),
            (BlockKind::ListItem, "* two\n\nterm:: nested, as it has another mark", keys.clone()),
            (BlockKind::Table, "|===\n|a |b\n|===", keys.clone()),
            (BlockKind::Comment, "////\nunseen\n////", keys.clone()),
            (BlockKind::Paragraph, "NOTE: Careful.", keys.clone()),
            (BlockKind::Quote, "====\nAn example.\n====", keys),
            (heading(3), "Yearly\n~~~~~~", "Guide/Keys/Yearly".into()),
            (BlockKind::Code, "literal", "Guide/Keys/Yearly".into()),
            (BlockKind::Rule, "'''", "Guide/Keys/Yearly".into()),
        ]
    );
}

#[test]
fn what_nobody_sees_is_in_no_chunk_and_no_chunk_reaches_across_it() {
    for (format, text) in [
        (Format::Markdown, "# A\n\nSeen. <!-- unseen --> Seen too.\n\n<!--\nunseen\n\nunseen\n-->\n\nLast seen.\n"),
        (
            Format::Markdown,
            "- Seen <!-- unseen -->\n- seen\n\n<div>seen\n<script>unseen</script>\nseen</div>\n\n<!-- unseen",
        ),
        (Format::Markdown, "# Seen <!-- unseen -->\n\n| seen | <!-- unseen --> |\n|---|---|\n| seen | seen |\n"),
        (
            Format::ReStructuredText,
            "A\n=\n\nSeen.\n\n.. unseen\n   unseen\n\n   unseen\n\nSeen.\n\n..\n\n  Seen as well.\n",
        ),
        (Format::AsciiDoc, "====\nseen\n// unseen\n\n////\nunseen\n////\n\n----\n// seen\n----\n====\n\nseen\n"),
        (Format::AsciiDoc, "|===\n| seen\n// unseen\n| seen\n|===\n\n****\n////\nunseen\n****\n"),
        (Format::AsciiDoc, "* seen\n+\n////\nunseen\n\nunseen\n////\n* seen\n+\n====\nseen\n// unseen\nseen\n====\n"),
        (Format::AsciiDoc, "Seen\n// unseen\nseen.\n\n* seen\n// unseen\n* seen\n\n////\nunseen\n\nunseen\n"),
    ] {
        let chunks = cut(format, text);
        assert!(chunks.len() > 1, "{text:?}");
        for (_, body) in chunks {
            assert!(!body.contains("unseen") && body.to_lowercase().contains("seen"), "{body:?} in {text:?}");
        }
    }
    let fenced = "Seen.\n\n```html\n<!-- shown as it is -->\n```\n";
    assert!(cut(Format::Markdown, fenced)[0].1.contains("shown as it is"));
}

const RUST: &str = "use std::io;\n\n/// Keeps things.\n#[derive(Debug)]\npub struct Store {\n    path: String,\n}\n\n\
impl Store {\n    const LIMIT: usize = 3;\n\n    /// Opens it.\n    pub fn open(path: &str) -> Self {\n        Self::at(path)\n    }\n\n    \
fn close(self) {}\n}\n\nmod inner {\n    fn deep() {}\n}\n";

#[test]
fn declarations_are_sections_under_what_holds_them() {
    let sketch: Vec<(String, &str)> =
        sketch(Format::Code(Language::Rust), RUST).into_iter().map(|(_, body, path)| (path, body)).collect();
    let found: Vec<(&str, &str)> = sketch.iter().map(|(path, body)| (path.as_str(), *body)).collect();
    assert_eq!(
        found,
        [
            ("", "use std::io;"),
            ("struct Store", "/// Keeps things.\n#[derive(Debug)]\npub struct Store {\n    path: String,\n}"),
            ("impl Store", "impl Store {\n    const LIMIT: usize = 3;"),
            (
                "impl Store/fn open",
                "/// Opens it.\n    pub fn open(path: &str) -> Self {\n        Self::at(path)\n    }"
            ),
            ("impl Store/fn close", "fn close(self) {}\n}"),
            ("mod inner", "mod inner {"),
            ("mod inner/fn deep", "fn deep() {}\n}"),
        ]
    );
    assert_eq!(outline(Format::Code(Language::Rust), RUST).title, None);
}

#[test]
fn every_language_shows_its_sections() {
    let cases = [
        (
            Language::Python,
            "import os\n\n@wraps\ndef one(a):\n    return a\n\nclass Two:\n    \"\"\"Doc.\"\"\"\n\n    def three(self):\n        pass\n",
            vec!["", "def one", "class Two", "class Two/def three"],
        ),
        (
            Language::Go,
            "package a\n\n// One does.\nfunc One() {}\n\ntype Two struct{}\n\nfunc (t *Two) Three(a int) {}\n",
            vec!["", "func One", "type Two", "func (t *Two) Three"],
        ),
        (
            Language::Java,
            "package a;\n\n/** Doc. */\npublic class One {\n  int a;\n  One() {}\n  void two() {}\n  interface Three { void four(); }\n}\n",
            vec![
                "",
                "class One",
                "class One/constructor One",
                "class One/method two",
                "class One/interface Three",
                "class One/interface Three/method four",
            ],
        ),
        (
            Language::JavaScript,
            "import a from 'a';\n\nexport function one() {}\n\nexport const two = () => 1;\n\nclass Three { four() {} }\nconst five = 5;\n",
            vec!["", "function one", "const two", "class Three", "class Three/method four", ""],
        ),
        (
            Language::TypeScript,
            "interface One { a: string }\nexport type Two = string;\nnamespace Three {\n  export function four() {}\n}\nenum Five { A }\n",
            vec!["interface One", "type Two", "namespace Three", "namespace Three/function four", "enum Five"],
        ),
        (Language::Tsx, "export const One = () => <b>x</b>;\n", vec!["const One"]),
        (
            Language::C,
            "#ifndef A_H\n#define A_H\nstruct one { int a; };\nstatic char *two(int a) { return 0; }\ntypedef struct { int b; } three;\n#endif\n",
            vec!["", "struct one", "two", "typedef three", ""],
        ),
    ];
    for (language, text, wanted) in cases {
        let paths: Vec<String> = sketch(Format::Code(language), text).into_iter().map(|(.., path)| path).collect();
        assert_eq!(paths, wanted, "{language:?}");
    }
}

#[test]
fn documentation_stays_with_what_it_documents() {
    let function = |number: usize| {
        let body = "    let value = compute(1.0).max(2);\n".repeat(12);
        format!("/// Says what function {number} does.\nfn function_{number}() {{\n{body}}}\n\n")
    };
    let text: String = (0..8).map(function).collect();
    for (headings, body) in cut(Format::Code(Language::Rust), &text) {
        assert!(body.starts_with("/// Says what"), "{body:?}");
        assert!(body.ends_with('}'), "{body:?}");
        assert!(headings.starts_with("fn function_"), "{headings:?}");
    }
}

#[test]
fn a_long_function_is_cut_between_statements() {
    let statement = |number: usize| {
        let calls = "        call(first, second);\n\n        call(third, fourth);\n".repeat(4);
        format!("    if condition_{number}() {{\n{calls}    }}\n")
    };
    let text = format!("fn long() {{\n{}}}\n", (0..12).map(statement).collect::<String>());
    let chunks = cut(Format::Code(Language::Rust), &text);
    assert!(chunks.len() > 3, "{} chunks", chunks.len());
    for (headings, body) in chunks {
        assert!(body.starts_with("fn long") || body.starts_with("    if condition_"), "{body:?}");
        assert_eq!(headings, "fn long");
    }
}

#[test]
fn small_declarations_share_a_chunk_and_large_ones_do_not() {
    let text = "fn a() {}\n\nfn b() {}\n\nimpl C {\n    fn d() {}\n    fn e() {}\n}\n";
    assert_eq!(cut(Format::Code(Language::Rust), text).len(), 1);
}

#[test]
fn editing_one_function_changes_only_its_own_chunks() {
    let file = |edited: Option<usize>| -> String {
        let function = |number: usize| {
            let added = if edited == Some(number) { "    forgotten_at_first();\n" } else { "" };
            let body: String = (0..20).map(|line| format!("    let value_{line} = step_{number}({line});\n")).collect();
            format!("/// Function {number}.\npub fn function_{number}() {{\n{body}{added}}}\n\n")
        };
        format!("use std::io;\n\n{}", (0..20).map(function).collect::<String>())
    };
    let before = file(None);
    let before = cut(Format::Code(Language::Rust), &before);
    for edited in 0..20 {
        let after = file(Some(edited));
        for (headings, body) in cut(Format::Code(Language::Rust), &after) {
            let is_old = before.iter().any(|one| *one == (headings.clone(), body));
            assert!(is_old || headings == format!("fn function_{edited}"), "{headings} changed with {edited}");
        }
    }
}

#[test]
fn editing_one_row_of_a_long_table_changes_few_chunks() {
    let table = |edited: Option<usize>| -> String {
        let row = |number: usize| {
            let added = if edited == Some(number) { " with a word more" } else { "" };
            format!("| part {number} | {} pieces{added} | {} |\n", number * 37 % 101, number * 91 % 977)
        };
        format!("| part | pieces | price |\n|---|---|---|\n{}", (0..800).map(row).collect::<String>())
    };
    let before = table(None);
    let before = cut(Format::Markdown, &before);
    assert!(before.len() > 40, "{} chunks", before.len());
    let changed: Vec<usize> = (0..800)
        .step_by(40)
        .map(|edited| {
            let after = table(Some(edited));
            cut(Format::Markdown, &after).iter().filter(|chunk| !before.contains(chunk)).count()
        })
        .collect();
    let mean = changed.iter().sum::<usize>() / changed.len();
    assert!(mean <= 4, "{changed:?} chunks changed");
}
