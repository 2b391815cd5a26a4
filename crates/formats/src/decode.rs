//! Bytes to characters: which encoding they have, and whether they are text at all.
//!
//! Promises: a mark of the byte order decides, then what the sender states, then what the bytes look like. A stated
//! character set that the bytes do not have is an error and never a guess, because a text that is read in the wrong one
//! is wrong silently. Bytes that are no text are refused by what they are.

use catena_text::TextError;
use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::error::FormatError;

/// How much of the bytes a guess looks at.
const LOOKED_AT_BYTES: usize = 1024 * 1024;
/// One character in this many may be a control character that no text has, before the bytes count as no text.
const CHARS_PER_CONTROL: usize = 16;
/// As many may be in any text, however short.
const STRANGE_MIN: usize = 4;
/// The longest repeated part of a stated name.
const CHARSET_SHOWN_BYTES: usize = 40;

/// What a statement about the character set is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stated<'a> {
    /// Nobody said.
    Nothing,
    /// The sender says so, and an error tells when that is wrong.
    Surely(&'a str),
    /// The bytes say so about themselves, as a web page does; where that is wrong, a guess is better.
    Perhaps(&'a str),
}

/// The characters of `bytes`.
pub(crate) fn decode(bytes: &[u8], stated: Stated<'_>) -> Result<String, FormatError> {
    if bytes.starts_with(&[0xFF, 0xFE, 0, 0]) || bytes.starts_with(&[0, 0, 0xFE, 0xFF]) {
        return Err(TextError::UnsupportedCharset { charset: "utf-32".to_owned() }.into());
    }
    if let Some((encoding, mark_bytes)) = Encoding::for_bom(bytes) {
        let whole = encoding.decode_without_bom_handling_and_without_replacement(&bytes[mark_bytes..]);
        let text = whole.ok_or_else(|| FormatError::WrongCharset { charset: encoding.name().to_owned() })?;
        return textual(text.into_owned(), bytes);
    }
    match stated {
        // UTF-8 proves itself: whoever says so and is right has sent a text, however strange.
        Stated::Surely(label) if Encoding::for_label(label.as_bytes()) == Some(UTF_8) => {
            return as_stated(bytes, label);
        }
        Stated::Surely(label) => return textual(as_stated(bytes, label)?, bytes),
        Stated::Perhaps(label) => {
            if let Ok(text) = as_stated(bytes, label) {
                return textual(text, bytes);
            }
        }
        Stated::Nothing => {}
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && wide(bytes).is_none()
    {
        return textual(text.to_owned(), bytes);
    }
    refuse_known(bytes)?;
    refuse_damaged(bytes)?;
    let encoding = wide(bytes).unwrap_or_else(|| guess(bytes));
    let (text, _, _) = encoding.decode(bytes);
    let lost = text.chars().filter(|c| *c == char::REPLACEMENT_CHARACTER).count();
    if lost > STRANGE_MIN && lost * CHARS_PER_CONTROL > text.chars().count() {
        return Err(not_text(bytes));
    }
    if encoding != UTF_16LE && encoding != UTF_16BE && bytes.contains(&0) {
        return Err(not_text(bytes));
    }
    textual(text.into_owned(), bytes)
}

fn as_stated(bytes: &[u8], label: &str) -> Result<String, FormatError> {
    let shown = || label.chars().take(CHARSET_SHOWN_BYTES).collect();
    let encoding = Encoding::for_label(label.as_bytes())
        .ok_or_else(|| FormatError::Text(TextError::UnsupportedCharset { charset: shown() }))?;
    if encoding == UTF_8 {
        let text =
            std::str::from_utf8(bytes).map_err(|error| TextError::InvalidUtf8 { at_byte: error.valid_up_to() })?;
        return Ok(text.to_owned());
    }
    encoding
        .decode_without_bom_handling_and_without_replacement(bytes)
        .map(std::borrow::Cow::into_owned)
        .ok_or_else(|| FormatError::WrongCharset { charset: shown() })
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(&bytes[..bytes.len().min(LOOKED_AT_BYTES)], true);
    detector.guess(None, Utf8Detection::Deny)
}

/// UTF-16 without a mark: nearly every second byte of it is nought in most scripts' spaces, digits and line ends.
fn wide(bytes: &[u8]) -> Option<&'static Encoding> {
    let looked = &bytes[..bytes.len().min(4096)];
    if looked.len() < 8 || !bytes.len().is_multiple_of(2) {
        return None;
    }
    let zeros = |offset: usize| looked.iter().skip(offset).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd, pairs) = (zeros(0), zeros(1), looked.len() / 2);
    match () {
        () if odd * 10 >= pairs * 4 && even * 50 <= pairs => Some(UTF_16LE),
        () if even * 10 >= pairs * 4 && odd * 50 <= pairs => Some(UTF_16BE),
        () => None,
    }
}

/// Refuses what only claims to be text.
fn textual(text: String, bytes: &[u8]) -> Result<String, FormatError> {
    let strange =
        |c: &char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{0B}' | '\u{0C}' | '\u{1B}' | '\u{85}');
    let (mut chars, mut controls) = (0_usize, 0_usize);
    for c in text.chars() {
        chars += 1;
        controls += usize::from(strange(&c));
    }
    if controls > STRANGE_MIN && controls * CHARS_PER_CONTROL > chars {
        return Err(not_text(bytes));
    }
    Ok(text)
}

fn refuse_known(bytes: &[u8]) -> Result<(), FormatError> {
    match infer::get(bytes) {
        Some(kind) if kind.matcher_type() != infer::MatcherType::Text => Err(not_text(bytes)),
        _ => Ok(()),
    }
}

/// Refuses what is UTF-8 but for a few bytes: in any other encoding its many good letters would turn into nonsense.
fn refuse_damaged(bytes: &[u8]) -> Result<(), FormatError> {
    let (mut good, mut bad) = (0_usize, 0_usize);
    for chunk in bytes.utf8_chunks() {
        good += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        bad += usize::from(!chunk.invalid().is_empty());
    }
    match std::str::from_utf8(bytes) {
        Err(error) if good >= 2 && good >= bad * 2 => {
            Err(TextError::InvalidUtf8 { at_byte: error.valid_up_to() }.into())
        }
        _ => Ok(()),
    }
}

fn not_text(bytes: &[u8]) -> FormatError {
    let found = infer::get(bytes).map_or_else(|| "of an unknown kind".to_owned(), |kind| kind.mime_type().to_owned());
    FormatError::NotText { found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RUSSIAN: &str = "Ледоход на реке начинается в апреле, и паром не ходит до мая.";
    const GREEK: &str = "Η προθεσμία για την κατάθεση της αίτησης λήγει στις δεκαπέντε Μαΐου.";
    const JAPANESE: &str = "契約は毎年四月に更新されます。料金表は別紙をご覧ください。";
    const FRENCH: &str = "Le relevé est envoyé à l'adresse indiquée, même pendant l'été.";

    #[test]
    fn every_usual_encoding_is_found_or_believed() {
        for (text, label) in [
            (RUSSIAN, "windows-1251"),
            (RUSSIAN, "koi8-r"),
            (GREEK, "windows-1253"),
            (JAPANESE, "shift_jis"),
            (JAPANESE, "euc-jp"),
            (FRENCH, "windows-1252"),
        ] {
            let (bytes, _, lossy) = Encoding::for_label(label.as_bytes()).unwrap().encode(text);
            assert!(!lossy, "{label}");
            assert_eq!(decode(&bytes, Stated::Surely(label)).unwrap(), text, "{label} as stated");
            assert_eq!(decode(&bytes, Stated::Nothing).unwrap(), text, "{label} found");
        }
    }

    #[test]
    fn utf_16_is_read_with_and_without_its_mark() {
        let text = "Tariff 2026\nLine two, with an é.\n";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [&little, &big] {
            assert_eq!(decode(bytes, Stated::Nothing).unwrap(), text);
        }
        assert_eq!(decode(&[&[0xFF, 0xFE], little.as_slice()].concat(), Stated::Surely("utf-8")).unwrap(), text);
        assert_eq!(decode(&[&[0xFE, 0xFF], big.as_slice()].concat(), Stated::Nothing).unwrap(), text);
    }

    #[test]
    fn a_wrong_statement_is_an_error_where_the_sender_made_it_and_a_guess_where_the_page_did() {
        let (bytes, _, _) = encoding_rs::WINDOWS_1252.encode(FRENCH);
        assert!(matches!(
            decode(&bytes, Stated::Surely("utf-8")),
            Err(FormatError::Text(TextError::InvalidUtf8 { .. }))
        ));
        assert!(matches!(decode(&bytes, Stated::Surely("shift_jis")), Err(FormatError::WrongCharset { .. })));
        assert!(matches!(
            decode(b"x", Stated::Surely("klingon")),
            Err(FormatError::Text(TextError::UnsupportedCharset { .. }))
        ));
        assert_eq!(decode(&bytes, Stated::Perhaps("utf-8")).unwrap(), FRENCH);
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_by_what_they_are() {
        let png =
            b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89";
        assert_eq!(decode(png, Stated::Nothing), Err(FormatError::NotText { found: "image/png".to_owned() }));
        let noise: Vec<u8> = (0_u32..4000).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        assert!(matches!(decode(&noise, Stated::Nothing), Err(FormatError::NotText { .. })));
    }

    #[test]
    fn a_text_that_is_utf_8_but_for_a_byte_is_not_taken_for_another_encoding() {
        let mut bytes = "Größe und Höhe des Tores, geprüft am Anleger.".as_bytes().to_vec();
        bytes.push(0xFF);
        let refused = decode(&bytes, Stated::Nothing);
        assert!(matches!(refused, Err(FormatError::Text(TextError::InvalidUtf8 { at_byte: 49 }))), "{refused:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_text_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, Stated::Nothing);
            let _ = decode(&bytes, Stated::Surely("utf-16le"));
        }

        #[test]
        fn utf_8_is_taken_as_it_is(text in "[\\PC\n\t]{0,80}") {
            prop_assume!(!text.starts_with('\u{FEFF}'));
            prop_assert_eq!(decode(text.as_bytes(), Stated::Nothing).unwrap(), text);
        }
    }
}
