//! A user's question as words, phrases and prefixes.
//!
//! Promises: every part is bounded, and beyond the bound there is a refusal that says it; free text is words and nothing
//! else. There is no grammar, so nothing in a user's text is an instruction. Does not: know an index.

use catena_domain::limits;

use crate::analyser::{Analyser, Go, Word};
use crate::error::IndexError;
use crate::words;

/// What becomes of a word that no visible row has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Typos {
    /// It finds nothing.
    Off,
    /// It is read as the nearest words that visible rows have and that begin like it: one letter away from five letters
    /// on, two from nine on.
    #[default]
    Auto,
}

/// What is looked for by words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LexicalQuery {
    /// Each word once, with how often it stands in the text.
    words: Vec<(Word, u32)>,
    phrases: Vec<Vec<String>>,
    prefixes: Vec<String>,
    typos: Typos,
}

impl LexicalQuery {
    /// The words of `text`: each once, in their order, the first [`limits::QUERY_TERMS_MAX`] of the first
    /// [`limits::QUERY_BYTES_MAX`] bytes. Words that only join others are left out, unless there are no others.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = &text[..text.floor_char_boundary(limits::QUERY_BYTES_MAX)];
        let (telling, joining) = (distinct(text, |form| !words::only_joins(form)), distinct(text, words::only_joins));
        Self { words: if telling.is_empty() { joining } else { telling }, ..Self::default() }
    }

    /// The same, and rows are sought in which these words stand side by side as they are written here.
    pub fn with_phrase(mut self, text: &str) -> Result<Self, IndexError> {
        let refused = |what| Err(IndexError::LexicalOption { what });
        let words = Analyser::new().words(text);
        if self.phrases.len() >= limits::QUERY_PHRASES_MAX {
            return refused(format!("a query has at most {} phrases; leave some out", limits::QUERY_PHRASES_MAX));
        }
        if words.is_empty() || words.len() > limits::QUERY_PHRASE_WORDS_MAX {
            let (given, most) = (words.len(), limits::QUERY_PHRASE_WORDS_MAX);
            return refused(format!("a phrase has 1 to {most} words, this one has {given}; change or leave it out"));
        }
        let phrase = words.into_iter().map(|word| word.form).collect();
        if !self.phrases.contains(&phrase) {
            self.phrases.push(phrase);
        }
        Ok(self)
    }

    /// The same, and rows are sought that have a word with this beginning.
    pub fn with_prefix(mut self, text: &str) -> Result<Self, IndexError> {
        let refused = |what| Err(IndexError::LexicalOption { what });
        if self.prefixes.len() >= limits::QUERY_PREFIXES_MAX {
            return refused(format!("a query has at most {} prefixes; leave some out", limits::QUERY_PREFIXES_MAX));
        }
        let mut words = Analyser::new().words(text);
        match (words.pop(), words.pop()) {
            (Some(word), None) if word.form.chars().count() >= limits::QUERY_PREFIX_CHARS_MIN => {
                if !self.prefixes.contains(&word.form) {
                    self.prefixes.push(word.form);
                }
                Ok(self)
            }
            _ => refused(format!(
                "a prefix is the beginning of one word and has at least {} letters or digits",
                limits::QUERY_PREFIX_CHARS_MIN
            )),
        }
    }

    /// The same, with another rule for words that no visible row has.
    #[must_use]
    pub fn with_typos(self, typos: Typos) -> Self {
        Self { typos, ..self }
    }

    /// The words, in lower case and without accents.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(|(word, _)| word.form.as_str())
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty() && self.phrases.is_empty() && self.prefixes.is_empty()
    }

    pub(crate) fn repeated_words(&self) -> &[(Word, u32)] {
        &self.words
    }

    pub(crate) fn phrases(&self) -> &[Vec<String>] {
        &self.phrases
    }

    pub(crate) fn prefixes(&self) -> &[String] {
        &self.prefixes
    }

    pub(crate) fn typos(&self) -> Typos {
        self.typos
    }
}

/// The words that `wanted` admits by their form, with how often each stands there.
fn distinct(text: &str, wanted: impl Fn(&str) -> bool) -> Vec<(Word, u32)> {
    let mut words: Vec<(Word, u32)> = Vec::new();
    Analyser::new().visit(text, |word| {
        if !wanted(&word.form) {
            return Go::On;
        }
        match words.iter().position(|(known, _)| *known == word) {
            Some(at) => words[at].1 += 1,
            None if words.len() < limits::QUERY_TERMS_MAX => words.push((word, 1)),
            None => {}
        }
        Go::On
    });
    words
}
