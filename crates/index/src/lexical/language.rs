//! Languages whose words have a stemmer, and finding out which of them a text is in.
//!
//! Promises: the same text is always taken for the same language; a text that is short, mixed or in a language without a
//! stemmer is taken for English, whose stemmer does other languages little harm. Does not: decide how a query is read;
//! that follows the languages of the rows it may find.

use frostem::{Algorithm, Stemmer};
use whatlang::Lang;

/// A language whose words are reduced to their stems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Language(u8);

/// Code, stemmer, and what the detector calls it.
const LANGUAGES: [(&str, Algorithm, Lang); 18] = [
    ("en", Algorithm::English, Lang::Eng),
    ("ar", Algorithm::Arabic, Lang::Ara),
    ("da", Algorithm::Danish, Lang::Dan),
    ("nl", Algorithm::Dutch, Lang::Nld),
    ("fi", Algorithm::Finnish, Lang::Fin),
    ("fr", Algorithm::French, Lang::Fra),
    ("de", Algorithm::German, Lang::Deu),
    ("el", Algorithm::Greek, Lang::Ell),
    ("hu", Algorithm::Hungarian, Lang::Hun),
    ("it", Algorithm::Italian, Lang::Ita),
    ("no", Algorithm::Norwegian, Lang::Nob),
    ("pt", Algorithm::Portuguese, Lang::Por),
    ("ro", Algorithm::Romanian, Lang::Ron),
    ("ru", Algorithm::Russian, Lang::Rus),
    ("es", Algorithm::Spanish, Lang::Spa),
    ("sv", Algorithm::Swedish, Lang::Swe),
    ("ta", Algorithm::Tamil, Lang::Tam),
    ("tr", Algorithm::Turkish, Lang::Tur),
];

/// Shorter texts say too little about their language.
const DETECT_BYTES_MIN: usize = 100;
/// The beginning of a text that is looked at.
const DETECT_BYTES_MAX: usize = 1_000;

impl Language {
    /// What a text is taken for when nothing says otherwise.
    pub const ENGLISH: Self = Self(0);

    /// The language of a tag such as `de` or `pt-BR`; `None` when it has no stemmer here.
    #[must_use]
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.trim().split(['-', '_']).next()?.to_ascii_lowercase();
        let code = if matches!(primary.as_str(), "nb" | "nn") { "no" } else { &primary };
        Self::position(|language| language.0 == code)
    }

    /// Its two letters.
    #[must_use]
    pub fn code(self) -> &'static str {
        LANGUAGES[usize::from(self.0)].0
    }

    /// The language that `text` is in, when it is long and plain enough to tell.
    pub(crate) fn detect(text: &str) -> Option<Self> {
        let text = &text[..text.floor_char_boundary(DETECT_BYTES_MAX)];
        if text.len() < DETECT_BYTES_MIN {
            return None;
        }
        let found = whatlang::detect(text).filter(whatlang::Info::is_reliable)?;
        Self::position(|language| language.2 == found.lang())
    }

    pub(crate) fn stemmer(self) -> Stemmer {
        Stemmer::new(LANGUAGES[usize::from(self.0)].1)
    }

    /// All languages, in the order of their numbers.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..LANGUAGES.len()).map(|at| Self(at as u8))
    }

    fn position(is_it: impl Fn(&(&'static str, Algorithm, Lang)) -> bool) -> Option<Self> {
        LANGUAGES.iter().position(is_it).map(|at| Self(at as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_names_a_language_by_its_first_part() {
        for (tag, code) in [("de", "de"), ("pt-BR", "pt"), ("EN_us", "en"), ("nb", "no"), (" fr ", "fr")] {
            assert_eq!(Language::of_tag(tag).map(Language::code), Some(code));
        }
        assert_eq!(Language::of_tag("pl"), None);
        assert_eq!(Language::of_tag(""), None);
    }

    #[test]
    fn a_long_text_tells_its_language_and_a_short_one_does_not() {
        let german = "Die Schlüssel werden alle neunzig Tage ausgetauscht, und wer einen verliert, meldet das noch am \
                      selben Tag der Stelle, die ihn ausgegeben hat.";
        let french = "Les clés sont renouvelées tous les quatre-vingt-dix jours, et celui qui en perd une le signale le \
                      jour même au service qui la lui a remise.";
        assert_eq!(Language::detect(german).map(Language::code), Some("de"));
        assert_eq!(Language::detect(french).map(Language::code), Some("fr"));
        assert_eq!(Language::detect("Die Schlüssel"), None);
        assert_eq!(Language::detect(&"0123 4567 ".repeat(30)), None);
    }
}
