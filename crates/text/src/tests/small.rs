//! Normal form, formats, breadcrumbs, tokens, the model's view.

use catena_domain::limits::DOCUMENT_BODY_BYTES_MAX;
use proptest::prelude::*;

use crate::breadcrumb::BREADCRUMB_BYTES_MAX;
use crate::tokens::WHITESPACE_RUN_CHARS_MAX;
use crate::{Format, TextError, Tokenizer, breadcrumb, embedding_text, normalise, view};

fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\r\n".to_owned()),
        Just("\r".to_owned()),
        Just("\u{FEFF}".to_owned()),
        Just("e\u{301}\u{323}".to_owned()),
        Just("\u{1100}\u{1161}\u{11A8}".to_owned()),
        Just("\u{0}\u{1B}\u{7F}\u{9F}".to_owned()),
        Just("\u{0C}\u{85}".to_owned()),
        ".{0,8}",
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn normalising_twice_changes_nothing(raw in any_text()) {
        if let Ok(once) = normalise(raw.as_bytes()) {
            let twice = normalise(once.as_str().as_bytes()).unwrap();
            prop_assert_eq!(twice.as_str(), once.as_str());
            prop_assert_eq!(twice.removed_controls(), 0);
            prop_assert!(!once.as_str().chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
        }
    }

    #[test]
    fn bytes_never_break_the_normaliser(raw in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(TextError::InvalidUtf8 { at_byte }) = normalise(&raw) {
            prop_assert!(std::str::from_utf8(&raw[..at_byte]).is_ok());
        }
    }

    #[test]
    fn a_breadcrumb_is_one_short_line(title in any_text(), headings in prop::collection::vec(any_text(), 0..9)) {
        let line = breadcrumb(&title, &headings);
        prop_assert!(line.len() <= BREADCRUMB_BYTES_MAX);
        prop_assert!(!line.contains('\n'));
        prop_assert_eq!(line.trim(), line.as_str());
    }

    #[test]
    fn the_models_view_loses_only_what_cannot_be_seen(text in "[a-zé漢\u{200B}-\u{200F}\u{202E}\u{FE0F}\u{E0041} \n]{0,40}") {
        let visible: String = text.chars().filter(|&c| !catena_domain::names::is_invisible(c)).collect();
        let seen = view::for_model(&text);
        prop_assert_eq!(&*seen, visible.as_str());
    }

    #[test]
    fn a_token_is_at_least_a_byte(text in "\\PC{0,60}") {
        for tokenizer in Tokenizer::ALL {
            prop_assert!(tokenizer.count(&text) <= text.len());
        }
    }
}

#[test]
fn line_ends_marks_and_controls_are_brought_into_form() {
    let normalised = normalise("\u{FEFF}a\r\nb\rc\u{0}\u{7}d\u{0C}e\u{301}\t.".as_bytes()).unwrap();
    assert_eq!(normalised.as_str(), "a\nb\ncd\né\t.");
    assert_eq!(normalised.removed_controls(), 2);
    assert_eq!(normalised.into_string(), "a\nb\ncd\né\t.");
}

#[test]
fn what_cannot_be_taken_is_refused_with_its_reason() {
    assert_eq!(normalise(b"ab\xFFc"), Err(TextError::InvalidUtf8 { at_byte: 2 }));
    for nothing in ["", " \n\t", "\u{FEFF}", "\u{0}\u{1}", "\u{200B}\u{2060} "] {
        assert_eq!(normalise(nothing.as_bytes()), Err(TextError::Empty), "{nothing:?}");
    }
    let long = vec![b'a'; DOCUMENT_BODY_BYTES_MAX + 1];
    let error = normalise(&long).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the text is 16777217 bytes long; the limit is 16777216; split it into several documents"
    );
    assert_eq!(error.kind(), catena_domain::ErrorKind::Invalid);
}

#[test]
fn a_content_type_or_a_path_names_a_format() {
    for (name, format) in [
        ("text/markdown", Format::Markdown),
        ("Text/Markdown; charset=\"UTF-8\"; variant=GFM", Format::Markdown),
        ("text/plain;charset=utf-8", Format::PlainText),
    ] {
        assert_eq!(Format::from_content_type(name), Ok(format), "{name}");
        assert_eq!(Format::from_content_type(format.as_content_type()), Ok(format));
    }
    assert!(matches!(Format::from_content_type("image/png"), Err(TextError::UnsupportedContentType { .. })));
    assert_eq!(Format::from_content_type("text/plain; charset=iso-8859-1"), Ok(Format::PlainText));
    assert_eq!(Format::charset("text/plain; charset=iso-8859-1"), Some("iso-8859-1"));
    for (path, format) in [
        ("a/b.md", Some(Format::Markdown)),
        ("README.MARKDOWN", Some(Format::Markdown)),
        ("notes.txt", Some(Format::PlainText)),
        ("a.md/b.text", Some(Format::PlainText)),
        ("a.md/b", None),
        (".md", None),
        ("a.pdf", Some(Format::Pdf)),
        ("a.png", None),
    ] {
        assert_eq!(Format::from_path(path), format, "{path}");
    }
}

#[test]
fn a_breadcrumb_names_the_title_once() {
    let path = |parts: &[&str]| parts.iter().map(|&part| part.to_owned()).collect::<Vec<_>>();
    assert_eq!(breadcrumb("Guide", &path(&["Guide", "Keys", "Rotation"])), "Guide > Keys > Rotation");
    assert_eq!(breadcrumb("Guide", &path(&["Keys"])), "Guide > Keys");
    assert_eq!(breadcrumb("", &path(&["Keys"])), "Keys");
    assert_eq!(breadcrumb(" A\n title ", &[]), "A title");
    assert_eq!(breadcrumb("", &path(&["", "Keys"])), "Keys");
    assert_eq!(breadcrumb("", &[]), "");
}

#[test]
fn a_breadcrumb_that_is_too_long_loses_its_middle() {
    let headings: Vec<String> = (1..=6).map(|number| format!("Heading {number} {}", "with words ".repeat(9))).collect();
    let line = breadcrumb(&"Title ".repeat(40), &headings);
    assert!(line.starts_with("Title Title"), "{line}");
    assert!(line.contains(" > … > "), "{line}");
    assert!(line.contains("Heading 6") && !line.contains("Heading 1"), "{line}");
}

#[test]
fn what_is_embedded_is_the_breadcrumb_above_the_text() {
    assert_eq!(embedding_text("A > B", "text"), "A > B\ntext");
    assert_eq!(embedding_text("", "text"), "text");
}

#[test]
fn tokens_are_counted_as_the_named_encoding_counts_them() {
    for tokenizer in Tokenizer::ALL {
        assert_eq!(tokenizer.as_str().parse(), Ok(tokenizer));
        assert_eq!(tokenizer.count(""), 0);
        assert_eq!(tokenizer.count("hello world"), 2);
        assert!(tokenizer.count("<|endoftext|>") > 1, "text was taken for a special token");
    }
    let error = "gpt2".parse::<Tokenizer>().unwrap_err();
    assert_eq!(error.to_string(), "no tokenizer is called \"gpt2\"; the known ones are o200k_base, cl100k_base");
}

#[test]
fn no_run_of_whitespace_makes_counting_fail() {
    for tokenizer in Tokenizer::ALL {
        for space in [" ", "\t", "\n", " \n", "\u{3000}"] {
            let text = format!("a{}b", space.repeat(1_500_000 / space.len()));
            let tokens = tokenizer.count(&text);
            assert!(tokens >= 2 && tokens <= text.len(), "{tokens} tokens in a run of {space:?}");
        }
        let text = format!("a{}b c", " ".repeat(WHITESPACE_RUN_CHARS_MAX));
        let part = |text: &str| tokenizer.count(text);
        assert!(part(&text) > part("a b c"));
    }
}
