//! Characters that nobody sees, taken out of a text and counted.
//!
//! Promises: what a script or an emoji needs to be read as it was written stays (a joiner between the letters of a
//! script that joins, an emoji's sequence, one variation selector behind what varies); everything else that is not seen
//! goes, so that no text is indexed that no reader of the original sees; cleaning what is clean changes nothing. Line ends
//! stay, so lines keep their numbers. Soft hyphens, which every typesetter leaves, go without being counted.

use catena_domain::names::is_invisible;

const ZERO_WIDTH_NON_JOINER: char = '\u{200C}';
const ZERO_WIDTH_JOINER: char = '\u{200D}';
const SOFT_HYPHEN: char = '\u{AD}';
const BYTE_ORDER_MARK: char = '\u{FEFF}';
/// The flags that are written with tags: England, Scotland, Wales.
const TAGGED_FLAGS: [&str; 3] = ["gbeng", "gbsct", "gbwls"];
const BLACK_FLAG: char = '\u{1F3F4}';
const CANCEL_TAG: char = '\u{E007F}';

/// A text without what nobody sees.
pub(crate) struct Cleaned {
    pub(crate) text: String,
    /// How many characters were taken out, soft hyphens and a mark of the byte order at the start not counted.
    pub(crate) removed: u32,
}

/// Takes the characters out of `text` that nobody sees.
pub(crate) fn clean(text: &str) -> Cleaned {
    if text.is_ascii() {
        return Cleaned { text: text.to_owned(), removed: 0 };
    }
    let mut kept = String::with_capacity(text.len());
    let mut removed: u32 = 0;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if !is_unseen(c) {
            kept.push(c);
            if c == BLACK_FLAG
                && let Some(tags) = flag_tags(rest.as_str())
            {
                kept.push_str(tags);
                rest = rest.as_str()[tags.len()..].chars();
            }
            continue;
        }
        let (before, after) = (kept.chars().next_back(), rest.clone().next());
        if stays(c, before, after, &kept) {
            kept.push(c);
        } else if c != SOFT_HYPHEN && !(c == BYTE_ORDER_MARK && kept.is_empty()) {
            removed = removed.saturating_add(1);
        }
    }
    Cleaned { text: kept, removed }
}

fn is_unseen(c: char) -> bool {
    is_invisible(c) || matches!(c, '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{FFFFD}' | '\u{100000}'..='\u{10FFFD}')
}

/// Whether an unseen character does what it is meant for where it stands.
fn stays(c: char, before: Option<char>, after: Option<char>, kept: &str) -> bool {
    let Some(before) = before else { return false };
    // A selector behind another selects nothing: that is how bytes are hidden behind a letter.
    match c {
        ZERO_WIDTH_NON_JOINER => joins(before) && after.is_none_or(|after| !is_unseen(after)),
        ZERO_WIDTH_JOINER => {
            let by_letters = joins(before) && after.is_none_or(|after| !is_unseen(after));
            by_letters || (ends_with_emoji(kept) && after.is_some_and(is_pictograph))
        }
        '\u{FE0E}' | '\u{FE0F}' => is_pictograph(before) || matches!(before, '0'..='9' | '#' | '*'),
        '\u{FE00}'..='\u{FE02}' => is_ideograph(before) || is_mathematical(before),
        '\u{E0100}'..='\u{E01EF}' => is_ideograph(before),
        '\u{180B}'..='\u{180D}' | '\u{180F}' => matches!(before, '\u{1820}'..='\u{18AA}'),
        _ => false,
    }
}

/// Whether a letter or a sign is of a script whose letters change their form beside each other.
fn joins(c: char) -> bool {
    matches!(c,
        '\u{0620}'..='\u{074F}' | '\u{0750}'..='\u{07FF}' | '\u{0840}'..='\u{085F}' | '\u{0870}'..='\u{08FF}'
        | '\u{0900}'..='\u{0DFF}' | '\u{0F00}'..='\u{109F}' | '\u{1780}'..='\u{17B3}' | '\u{17B6}'..='\u{17FF}'
        | '\u{1820}'..='\u{18AA}' | '\u{1A20}'..='\u{1CFF}' | '\u{A840}'..='\u{AADF}' | '\u{ABC0}'..='\u{ABFF}'
        | '\u{FB50}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFC}' | '\u{10AC0}'..='\u{10AFF}' | '\u{11000}'..='\u{11FFF}')
}

fn is_pictograph(c: char) -> bool {
    matches!(c,
        '\u{A9}' | '\u{AE}' | '\u{203C}' | '\u{2049}' | '\u{2122}' | '\u{2139}' | '\u{2190}'..='\u{21FF}'
        | '\u{2300}'..='\u{23FF}' | '\u{2460}'..='\u{24FF}' | '\u{25A0}'..='\u{27BF}' | '\u{2900}'..='\u{297F}'
        | '\u{2B00}'..='\u{2BFF}' | '\u{3030}' | '\u{303D}' | '\u{3297}' | '\u{3299}' | '\u{1F000}'..='\u{1FAFF}')
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3000}'..='\u{303F}' | '\u{3400}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{FF00}'..='\u{FF60}'
        | '\u{20000}'..='\u{3FFFF}')
}

fn is_mathematical(c: char) -> bool {
    matches!(c, '\u{2200}'..='\u{22FF}' | '\u{2A00}'..='\u{2AFF}')
}

/// Whether the text ends with a pictograph, a selector or a skin tone behind it not looked at.
fn ends_with_emoji(kept: &str) -> bool {
    let last = kept.chars().rev().find(|c| !matches!(c, '\u{FE0F}' | '\u{1F3FB}'..='\u{1F3FF}'));
    last.is_some_and(is_pictograph)
}

/// The tags at the beginning of `rest` that make a flag's sequence, with its end.
fn flag_tags(rest: &str) -> Option<&str> {
    let end = rest.char_indices().take(8).find(|(_, c)| *c == CANCEL_TAG)?.0;
    let letters: Option<String> =
        rest[..end].chars().map(|c| char::from_u32((c as u32).checked_sub(0xE0000)?)).collect();
    TAGGED_FLAGS.contains(&letters?.as_str()).then(|| &rest[..end + CANCEL_TAG.len_utf8()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn assert_stays(text: &str) {
        let cleaned = clean(text);
        assert_eq!((cleaned.text.as_str(), cleaned.removed), (text, 0), "{}", text.escape_unicode());
    }

    #[test]
    fn what_scripts_and_emoji_need_stays() {
        for text in [
            "می‌خواهم",                                                  // Persian, a non-joiner inside the word
            "ക്‍ഷ",                                                       // Malayalam, a joiner behind the virama
            "👩‍👩‍👧 and 👩🏽‍🚀 and 🏴‍☠️ and ❤️‍🔥",                                  // families, professions, flags
            "1️⃣ ☎️ ©︎",                                                  // keycaps and presentation selectors
            "🏴\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F}", // Scotland's flag
            "葛\u{E0100}城",                                            // an ideograph's variant
        ] {
            assert_stays(text);
        }
    }

    #[test]
    fn what_nobody_sees_goes_and_is_counted() {
        for (text, left, removed) in [
            ("pay\u{200B}ment", "payment", 1),
            ("pay\u{200D}ment", "payment", 1),
            ("a\u{202E}b\u{202C}", "ab", 2),
            ("hi\u{E0069}\u{E0067}\u{E006E}", "hi", 3),
            ("🏴\u{E0068}\u{E0069}\u{E007F}", "🏴", 3),
            ("👍\u{FE0F}\u{FE0E}\u{FE0F}", "👍\u{FE0F}", 2),
            ("a\u{E0101}\u{E0102}", "a", 2),
            ("\u{F0B7} item", " item", 1),
            ("co\u{AD}operate", "cooperate", 0),
            ("\u{FEFF}text\u{FEFF}", "text", 1),
        ] {
            let cleaned = clean(text);
            assert_eq!((cleaned.text.as_str(), cleaned.removed), (left, removed), "{}", text.escape_unicode());
        }
    }

    proptest! {
        #[test]
        fn cleaning_what_is_clean_changes_nothing(text in "[a-zक-ह\u{94d}👩\u{200B}-\u{200F}\u{FE00}-\u{FE0F}\u{E0100}-\u{E0103}\u{E0060}-\u{E007F}🏴☎\n]{0,40}") {
            let once = clean(&text);
            let twice = clean(&once.text);
            prop_assert_eq!(&twice.text, &once.text);
            prop_assert_eq!(twice.removed, 0);
        }
    }
}
