//! Counting the tokens of many texts that are made of the same words, as the pieces of one document are.
//!
//! Promises: a count is the tokenizer's own, whatever the tokenizer; where that reads each word by itself, as those of
//! BERT's kind do, a word that came before is not read again; what is kept has a bound, and goes with the counter. Does
//! not: share words between documents, where one would tell of another.

use std::cell::RefCell;
use std::collections::HashMap;

use tokenizers::{NormalizerWrapper, PreTokenizerWrapper, Tokenizer};

use crate::model::Facts;

/// What parts words for every tokenizer that reads them apart. Other whitespace may be dropped before words are parted.
const BETWEEN_WORDS: [char; 4] = [' ', '\n', '\t', '\r'];
/// Most words that are kept, and the longest, in bytes.
const WORDS_MAX: usize = 1 << 16;
const WORD_BYTES_MAX: usize = 64;

/// Counts tokens, one text after the other.
pub struct Counter<'e> {
    facts: &'e Facts,
    words: RefCell<HashMap<Box<str>, usize>>,
}

impl<'e> Counter<'e> {
    pub(crate) fn new(facts: &'e Facts) -> Self {
        Self { facts, words: RefCell::default() }
    }

    /// Tokens of `text` in the model's own tokenizer, without the marks that it adds. Computes on the calling thread.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        if !self.facts.reads_words_apart {
            return self.facts.count_tokens(text);
        }
        let words = text.split(BETWEEN_WORDS).filter(|word| !word.is_empty());
        words.fold(0, |tokens, word| tokens.saturating_add(self.count_word(word)))
    }

    fn count_word(&self, word: &str) -> usize {
        let mut words = self.words.borrow_mut();
        if let Some(&tokens) = words.get(word) {
            return tokens;
        }
        let tokens = self.facts.count_tokens(word);
        if word.len() <= WORD_BYTES_MAX && words.len() < WORDS_MAX {
            words.insert(word.into(), tokens);
        }
        tokens
    }
}

/// Whether a text's tokens are those of its words, one after the other: nothing is done across whitespace.
pub(crate) fn reads_words_apart(tokenizer: &Tokenizer) -> bool {
    let normalises_apart = matches!(tokenizer.get_normalizer(), None | Some(NormalizerWrapper::BertNormalizer(_)));
    let parts_words = matches!(tokenizer.get_pre_tokenizer(), Some(PreTokenizerWrapper::BertPreTokenizer(_)));
    let added = tokenizer.get_added_tokens_decoder();
    let has_gaps = added.values().any(|token| token.content.contains(char::is_whitespace));
    normalises_apart && parts_words && !has_gaps
}
