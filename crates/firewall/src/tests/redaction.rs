//! After redaction nothing of a finding is left, and everything else is where it was.

use proptest::prelude::*;

use super::table::{all, positives};
use crate::{Action, Class, Fate, Noticed, Policy, Screened, screen};

fn redacted(text: &str) -> Screened {
    screen(&all(Action::Redact), Noticed::default(), text.to_owned(), Vec::new())
}

#[test]
fn a_mark_takes_the_place_of_what_was_found() {
    let screened = redacted("Pay with 4539 1488 0343 6467 or ask ann@harbour.org.");
    assert_eq!(screened.text, "Pay with [redacted: card number] or ask [redacted: e-mail address].");
    assert!(screened.report.is_redacted);
    assert!(screened.report.flags.is_empty(), "what is gone is not shown as being there");
    let spans: Vec<&str> = screened.report.spans.iter().map(|it| &screened.text[it.start..it.end]).collect();
    assert_eq!(spans, ["[redacted: card number]", "[redacted: e-mail address]"]);
}

#[test]
fn lines_after_a_key_that_is_gone_count_as_before() {
    let (_, text, key) = positives().into_iter().find(|(name, ..)| *name == "private-key").unwrap();
    let text = format!("one\n{text}\nlast");
    let screened = redacted(&text);
    assert!(!screened.text.contains("BEGIN") && !screened.text.contains("END"));
    assert_eq!(screened.text.lines().count(), text.lines().count());
    assert_eq!(screened.moved(text.find("last").unwrap()), screened.text.find("last").unwrap());
    // A place that began inside the key is on its own line still.
    let inside = text.find(&key).unwrap() + key.find('\n').unwrap() + 1;
    let line = |text: &str, at: usize| text[..at].matches('\n').count();
    assert_eq!(line(&screened.text, screened.moved(inside)), line(&text, inside));
}

#[test]
fn what_is_said_about_a_document_is_looked_through_as_well() {
    let fields = vec!["Notes of ann@harbour.org".to_owned(), "https://wiki/page".to_owned()];
    let screened = screen(&all(Action::Redact), Noticed::default(), "nothing here".to_owned(), fields.clone());
    assert_eq!(screened.fields, ["Notes of [redacted: e-mail address]", "https://wiki/page"]);
    assert_eq!(screened.report.counts["email"], 1);
    assert!(screened.report.spans.is_empty());

    let policy = Policy { personal: Action::Redact, secret: Action::Quarantine, ..Policy::default() };
    let text = "password: kX9#vL2!qTz8".to_owned();
    let held = screen(&policy, Noticed::default(), text.clone(), fields.clone());
    assert_eq!(held.report.fate, Fate::Quarantined);
    assert_eq!((held.text, held.fields), (text, fields), "what waits is as it was handed in");
}

#[test]
fn flags_name_the_classes_of_what_can_be_seen() {
    let policy = Policy { personal: Action::Redact, ..Policy::default() };
    let text = "ann@harbour.org has the password: kX9#vL2!qTz8".to_owned();
    let screened = screen(&policy, Noticed::default(), text, Vec::new());
    assert_eq!(screened.report.flags.iter().copied().collect::<Vec<_>>(), [Class::Secret]);
    assert_eq!(screened.text, "[redacted: e-mail address] has the password: kX9#vL2!qTz8");
    assert_eq!(&screened.text[screened.report.spans[1].start..], "kX9#vL2!qTz8");
}

#[test]
fn a_collection_of_addresses_is_quarantined_instead_of_redacted_in_part() {
    let line = "a1@harbour.org\n";
    let few = redacted(&line.repeat(1_000));
    assert_eq!((few.report.fate, few.report.counts["email"]), (Fate::Admitted, 1_000));
    let many = redacted(&line.repeat(crate::FINDINGS_MAX + 1));
    assert_eq!(many.report.fate, Fate::Quarantined);
    assert!(many.report.spans.len() <= crate::SPANS_KEPT_MAX);
}

#[test]
fn a_flood_of_flags_keeps_no_detector_from_what_it_redacts() {
    let detectors = [("password".to_owned(), Action::Redact)].into();
    let policy = Policy { secret: Action::Flag, personal: Action::Redact, detectors, ..Policy::default() };
    let flood = format!("AKIA{} ", super::table::random("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16));
    let text = flood.repeat(crate::FINDINGS_MAX + 1) + "\npassword: kX9#vL2!qTz8 of ann@harbour.org";
    let screened = screen(&policy, Noticed::default(), text, Vec::new());
    assert_eq!(screened.report.fate, Fate::Admitted);
    assert!(screened.text.ends_with("password: [redacted: password] of [redacted: e-mail address]"));
    assert_eq!(screened.report.counts["aws-key"] as usize, crate::FINDINGS_MAX);
}

#[test]
fn what_is_redacted_is_so_inside_of_what_is_only_flagged() {
    let detectors = [("github-token".to_owned(), Action::Redact)].into();
    let policy = Policy { secret: Action::Flag, detectors, ..Policy::default() };
    let (_, _, token) = positives().into_iter().find(|(name, ..)| *name == "github-token").unwrap();
    let text = format!("password=Ab1/{token}");
    let screened = screen(&policy, Noticed::default(), text, Vec::new());
    assert!(!screened.text.contains(&token), "{}", screened.text);
    assert_eq!((screened.report.fate, screened.report.is_redacted), (Fate::Admitted, true));
    let nothing_more = redacted(&format!("password=Ab1/{token}"));
    assert_eq!(nothing_more.text, "password=[redacted: password]", "of two that are redacted the widest counts");
}

#[test]
fn of_a_password_no_piece_is_left_however_long_it_is_and_whatever_stands_in_it() {
    let long = super::table::random("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", 400);
    for (before, secret, after) in [
        ("token=", long.as_str(), "\nnext"),
        ("token: ", long.as_str(), ". Keep it."),
        ("password=\"", "abcD1234xy,efghijkl", "\", user=\"ann\""),
        ("password='", "abcD1234xy efg;hijkl <mnopqrst>", "' next"),
        ("{\"password\": \"", "abcD1234xy\\\"efghijklm", "\", \"user\": \"ann\"}"),
        ("password='", "abcD1234xy,efghijkl", "\nnext line"),
        ("password: ", "abcD1234xy,efghijkl;mnopqrst", " and more"),
        ("Password=", "abcD1234xy,efghijkl", ";Database=harbour;Server=db"),
        ("<password>", "abcD1234xy,efghijkl", "</password><user>ann</user>"),
        ("password: ", "abcD1234xy", ", which the ferry's crew knows; nobody else (so far)."),
    ] {
        let text = format!("{before}{secret}{after}");
        let screened = redacted(&text);
        for piece in secret.as_bytes().windows(8) {
            let piece = std::str::from_utf8(piece).unwrap();
            assert!(!screened.text.contains(piece), "{piece} of {text:?} is left: {}", screened.text);
        }
        assert_eq!(screened.text, format!("{before}[redacted: password]{after}"));
    }
    // What is endless is cut, and looked at again.
    let endless = redacted(&format!("token='{}", "kX9vL2qTz8 ".repeat(10_000)));
    assert!(endless.text.len() < 11 * 10_000 && endless.report.is_redacted);
}

/// Findings with any text between them, of characters of every length.
fn planted() -> impl Strategy<Value = (String, Vec<String>)> {
    let plants = positives();
    let between = prop_oneof!["[a-z ,.\n]{0,12}", "[äß語🦀\u{200B} \n]{0,6}", "[0-9@:/=+_\"' -]{0,8}"];
    prop::collection::vec((between, 0..plants.len()), 1..8).prop_map(move |parts| {
        let mut text = String::new();
        let mut planted = Vec::new();
        for (between, place) in parts {
            let (_, whole, part) = &plants[place];
            text.push_str(&between);
            text.push_str("\n\n");
            text.push_str(whole);
            text.push_str("\n\n");
            planted.push(part.clone());
        }
        (text, planted)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_of_a_finding_remains_and_everything_else_does((text, planted) in planted()) {
        let screened = redacted(&text);
        prop_assert_eq!(screened.report.fate, Fate::Admitted);
        for part in planted {
            prop_assert!(!screened.text.contains(&part), "{:?} is still in {:?}", part, screened.text);
        }
        let again = redacted(&screened.text);
        prop_assert_eq!(&again.text, &screened.text, "what is left holds nothing to be found");
        prop_assert_eq!(text.matches('\n').count(), screened.text.matches('\n').count());
    }

    #[test]
    fn places_stay_at_the_text_that_they_are_about((text, _) in planted()) {
        let screened = redacted(&text);
        let line = |text: &str, at: usize| text[..at].matches('\n').count();
        let mut last = 0;
        for (at, _) in text.char_indices() {
            let moved = screened.moved(at);
            prop_assert!(moved >= last && screened.text.is_char_boundary(moved), "{at} moved to {moved}");
            prop_assert_eq!(line(&text, at), line(&screened.text, moved), "byte {} is on another line", at);
            last = moved;
        }
        prop_assert_eq!(screened.moved(text.len()), screened.text.len());
    }

    #[test]
    fn any_text_at_all_is_screened_without_harm(text in any::<String>()) {
        let screened = redacted(&text);
        prop_assert!(screened.report.fate == Fate::Quarantined || redacted(&screened.text).text == screened.text);
        let flagged = screen(&all(Action::Flag), Noticed::default(), text.clone(), Vec::new());
        prop_assert_eq!(flagged.text, text);
    }
}
