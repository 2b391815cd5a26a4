//! Text into words, and words into the terms that are searched; the same for rows and for queries.
//!
//! Words are runs of letters and digits; a character of a script without spaces (Han, kana, Thai and its neighbours) is
//! a word by itself. A word's form is lower case with accents folded; its stems are what its language's stemmer makes of
//! it. No word is too common to be kept in a row.

use frostem::Stemmer;
use tantivy::tokenizer::{AsciiFoldingFilter, LowerCaser, RawTokenizer, TextAnalyzer, Token, TokenStream, Tokenizer};

use crate::lexical::language::Language;

/// Longest form. Longer ones are encoded data rather than words, and are dropped.
pub(crate) const FORM_BYTES_MAX: usize = 64;

/// A word of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// In lower case, without accents.
    pub(crate) form: String,
    /// In lower case, with its accents, when it has any.
    accented: Option<String>,
}

impl Word {
    /// A word that is known by its form alone.
    pub(crate) fn plain(form: &str) -> Self {
        Self { form: form.to_owned(), accented: None }
    }
}

/// The analyser, to be used for any number of texts.
pub(crate) struct Analyser {
    words: TextAnalyzer,
    fold: TextAnalyzer,
}

impl Analyser {
    pub(crate) fn new() -> Self {
        let words = TextAnalyzer::builder(Words::default()).filter(LowerCaser).filter(AsciiFoldingFilter).build();
        let fold = TextAnalyzer::builder(RawTokenizer::default()).filter(AsciiFoldingFilter).build();
        Self { words, fold }
    }

    /// Every word of `text`, in order.
    pub(crate) fn words(&mut self, text: &str) -> Vec<Word> {
        let mut words = Vec::new();
        self.visit(text, |word| {
            words.push(word);
            Go::On
        });
        words
    }

    /// Shows words until `see` has enough.
    pub(crate) fn visit(&mut self, text: &str, mut see: impl FnMut(Word) -> Go) {
        let mut stream = self.words.token_stream(text);
        while stream.advance() {
            let token = stream.token();
            if token.text.is_empty() || token.text.len() > FORM_BYTES_MAX {
                continue;
            }
            let raw = &text[token.offset_from..token.offset_to];
            let accented = (!raw.is_ascii()).then(|| raw.to_lowercase());
            if see(Word { form: token.text.clone(), accented }) == Go::Stop {
                return;
            }
        }
    }

    /// The stems of a word: of what was written, and of its form when that has another one. A language that needs its
    /// accents is so stemmed by them, and whoever leaves them out is understood too.
    pub(crate) fn stems(&mut self, word: &Word, stemmer: Stemmer) -> (String, Option<String>) {
        let plain = stemmer.stem(&word.form);
        // A stemmer may leave nothing, of a vowel mark that stands alone for one; then the word is its own stem.
        let plain = if plain.is_empty() { word.form.clone() } else { plain.into_owned() };
        let Some(accented) = &word.accented else { return (plain, None) };
        let stem = stemmer.stem(accented);
        let mut stream = self.fold.token_stream(&stem);
        let folded = if stream.advance() { stream.token().text.clone() } else { String::new() };
        let is_another = folded != plain && !folded.is_empty() && folded.len() <= FORM_BYTES_MAX;
        (plain, is_another.then_some(folded))
    }

    /// Every stem of a word in any of `languages`, each once, in order.
    pub(crate) fn variants(&mut self, word: &Word, languages: &[Language]) -> Vec<String> {
        let mut variants = Vec::with_capacity(languages.len());
        for language in languages {
            let (stem, other) = self.stems(word, language.stemmer());
            variants.push(stem);
            variants.extend(other);
        }
        variants.sort_unstable();
        variants.dedup();
        variants
    }
}

/// Whether to go on.
#[derive(PartialEq, Eq)]
pub(crate) enum Go {
    On,
    Stop,
}
/// Splits text into words.
#[derive(Clone, Default)]
struct Words(Token);

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        self.0.reset();
        WordStream { text, at: 0, token: &mut self.0 }
    }
}

struct WordStream<'a> {
    text: &'a str,
    at: usize,
    token: &'a mut Token,
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let Some((skipped, first)) = rest.char_indices().find(|(_, c)| c.is_alphanumeric()) else {
            self.at = self.text.len();
            return false;
        };
        let word = &rest[skipped..];
        let bytes = if stands_alone(first) {
            first.len_utf8()
        } else {
            word.find(|c: char| !continues(c) || stands_alone(c)).unwrap_or(word.len())
        };
        let start = self.at + skipped;
        self.at = start + bytes;
        self.token.position = self.token.position.wrapping_add(1);
        self.token.offset_from = start;
        self.token.offset_to = self.at;
        self.token.text.clear();
        self.token.text.push_str(&word[..bytes]);
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

/// Whether a word goes on with `c`: a letter, a digit, or a mark that belongs to the letter before it.
fn continues(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '\u{0300}'..='\u{036F}' | '\u{094D}' | '\u{09CD}' | '\u{200C}' | '\u{200D}')
}

/// Whether `c` is a word by itself, because its script puts no spaces between words.
fn stands_alone(c: char) -> bool {
    matches!(c,
        '\u{0E00}'..='\u{0EFF}'        // Thai, Lao
        | '\u{1000}'..='\u{109F}'      // Myanmar
        | '\u{1780}'..='\u{17FF}'      // Khmer
        | '\u{3005}'..='\u{3007}'
        | '\u{3040}'..='\u{30FF}'      // kana
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn forms(text: &str) -> Vec<String> {
        Analyser::new().words(text).into_iter().map(|word| word.form).collect()
    }

    fn variants(text: &str, codes: &[&str]) -> Vec<String> {
        let languages: Vec<Language> = codes.iter().filter_map(|code| Language::of_tag(code)).collect();
        let mut analyser = Analyser::new();
        let words = analyser.words(text);
        words.iter().flat_map(|word| analyser.variants(word, &languages)).collect()
    }

    #[test]
    fn words_are_cut_folded_and_stemmed() {
        let text = "Rotating the Keys, keys.md (naïve_2)!";
        assert_eq!(forms(text), ["rotating", "the", "keys", "keys", "md", "naive", "2"]);
        assert_eq!(variants(text, &["en"]), ["rotat", "the", "key", "key", "md", "naiv", "2"]);
        assert_eq!(forms("署名鍵 key"), ["署", "名", "鍵", "key"]);
        assert_eq!(forms("  ((\"\" -- ))"), Vec::<String>::new());
    }

    #[test]
    fn a_language_is_stemmed_by_its_accents_and_understood_without_them() {
        let of = |text| variants(text, &["es"]);
        assert!(of("información").iter().any(|stem| of("informaciones").contains(stem)));
        assert!(of("información").iter().any(|stem| of("informacion").contains(stem)));
        assert_eq!(variants("Häuser", &["de"]), variants("Haus", &["de"]));
    }

    #[test]
    fn one_word_has_one_variant_where_languages_agree() {
        assert_eq!(variants("key", &["en", "fr", "de"]), ["key"]);
        assert_eq!(variants("keys", &["en", "de"]), ["key", "keys"]);
    }

    #[test]
    fn encoded_data_is_no_word() {
        assert_eq!(forms(&format!("a {} b", "x".repeat(FORM_BYTES_MAX + 1))), ["a", "b"]);
        assert_eq!(forms(&"z".repeat(FORM_BYTES_MAX)).len(), 1);
    }

    proptest! {
        #[test]
        fn any_text_is_analysed_without_harm(text in "\\PC{0,200}|[\\s\\S]{0,100}") {
            let mut analyser = Analyser::new();
            let languages: Vec<Language> = Language::all().collect();
            for word in analyser.words(&text) {
                prop_assert!(!word.form.is_empty() && word.form.len() <= FORM_BYTES_MAX);
                for stem in analyser.variants(&word, &languages) {
                    prop_assert!(!stem.is_empty());
                }
            }
        }
    }
}
