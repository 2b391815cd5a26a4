//! Text into terms, the same for rows and for queries.
//!
//! Words are runs of letters and digits; a character of a script without spaces (Han, kana, Thai and its neighbours) is
//! a word by itself. Then lower case, accents folded to ASCII, English stems. No word is too common to be kept.

use tantivy::tokenizer::{
    AsciiFoldingFilter, Language, LowerCaser, RemoveLongFilter, Stemmer, TextAnalyzer, Token, TokenStream, Tokenizer,
};

/// Longest term. Longer ones are encoded data rather than words, and are dropped.
const TERM_BYTES_MAX: usize = 64;

/// The analyser, to be used for any number of texts.
pub(crate) struct Analyser(TextAnalyzer);

impl Analyser {
    pub(crate) fn new() -> Self {
        let chain = TextAnalyzer::builder(Words::default())
            .filter(LowerCaser)
            .filter(AsciiFoldingFilter)
            .filter(RemoveLongFilter::limit(TERM_BYTES_MAX + 1))
            .filter(Stemmer::new(Language::English));
        Self(chain.build())
    }

    /// Every term of `text`, in order.
    pub(crate) fn tokens(&mut self, text: &str) -> Vec<Token> {
        let mut tokens = Vec::new();
        self.visit(text, |token| {
            tokens.push(token.clone());
            Go::On
        });
        tokens
    }

    /// Shows terms until `see` has enough.
    pub(crate) fn visit(&mut self, text: &str, mut see: impl FnMut(&Token) -> Go) {
        let mut stream = self.0.token_stream(text);
        while stream.advance() {
            if see(stream.token()) == Go::Stop {
                return;
            }
        }
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

    fn terms(text: &str) -> Vec<String> {
        Analyser::new().tokens(text).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn words_are_folded_and_stemmed() {
        assert_eq!(terms("Rotating the Keys, keys.md (naïve_2)!"), ["rotat", "the", "key", "key", "md", "naiv", "2"]);
        assert_eq!(terms("署名鍵 key"), ["署", "名", "鍵", "key"]);
        assert_eq!(terms("  ((\"\" -- ))"), Vec::<String>::new());
    }

    #[test]
    fn encoded_data_is_no_term() {
        assert_eq!(terms(&format!("a {} b", "x".repeat(TERM_BYTES_MAX + 1))), ["a", "b"]);
        assert_eq!(terms(&"z".repeat(TERM_BYTES_MAX)).len(), 1);
    }

    proptest! {
        #[test]
        fn any_text_is_analysed_without_harm(text in "\\PC{0,200}|[\\s\\S]{0,100}") {
            for token in Analyser::new().tokens(&text) {
                prop_assert!(text.get(token.offset_from..token.offset_to).is_some());
                prop_assert!(!token.text.is_empty());
            }
        }
    }
}
