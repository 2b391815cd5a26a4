//! Words of the rows that resemble a word of the query: those with its beginning, and those a letter or two away.
//!
//! Promises: a word is only given if a visible row has it, so that no word of a hidden row shows in an answer; which ones
//! are taken depends on rows that count and on spelling, never on how rows lie in segments.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use levenshtein_automata::{DFA, Distance, LevenshteinAutomatonBuilder, SINK_STATE};
use tantivy_fst::Automaton;

use crate::lexical::corpus::Corpus;
use crate::words::FORMS;

/// Most words that a prefix stands for.
const PREFIX_WORDS_MAX: usize = 64;
/// Most words that a mistyped one stands for.
const NEAR_WORDS_MAX: usize = 4;
/// Letters from which on a word may be one letter, or two, away from what was meant.
const ONE_AWAY_LETTERS: usize = 5;
const TWO_AWAY_LETTERS: usize = 9;

static ONE_AWAY: LazyLock<LevenshteinAutomatonBuilder> = LazyLock::new(|| LevenshteinAutomatonBuilder::new(1, true));
static TWO_AWAY: LazyLock<LevenshteinAutomatonBuilder> = LazyLock::new(|| LevenshteinAutomatonBuilder::new(2, true));

/// The commonest words of the rows that begin with `prefix`.
pub(crate) fn beginning_with(corpus: &Corpus<'_>, prefix: &str) -> tantivy::Result<Vec<String>> {
    let mut found = BTreeMap::new();
    for shelf in &corpus.shelves {
        let inverted = shelf.part.inverted(FORMS)?;
        let mut terms = inverted.terms().range().ge(prefix).into_stream()?;
        while let Some((term, _)) = terms.next() {
            let Some(form) = std::str::from_utf8(term).ok().filter(|form| form.starts_with(prefix)) else { break };
            found.insert(form.to_owned(), 0);
        }
    }
    choose(corpus, found, PREFIX_WORDS_MAX)
}

/// The nearest words of the rows, the commonest of them, for a word that no visible row has. Its first letter is taken to
/// be right: it seldom is not, and a dictionary is in the order of first letters.
pub(crate) fn near(corpus: &Corpus<'_>, form: &str) -> tantivy::Result<Vec<String>> {
    let letters = form.chars().count();
    let Some(first) = form.chars().next().filter(|_| letters >= ONE_AWAY_LETTERS) else { return Ok(Vec::new()) };
    if !form.chars().all(char::is_alphabetic) {
        return Ok(Vec::new());
    }
    let builder = if letters < TWO_AWAY_LETTERS { &ONE_AWAY } else { &TWO_AWAY };
    let resembling = Resembling(builder.build_dfa(form));
    let mut found = BTreeMap::new();
    for shelf in &corpus.shelves {
        let inverted = shelf.part.inverted(FORMS)?;
        let terms = inverted.terms().search(&resembling);
        let mut terms = terms.ge(first.to_string()).lt(beyond(first)).into_stream()?;
        while terms.advance() {
            let Ok(near) = std::str::from_utf8(terms.key()) else { continue };
            found.insert(near.to_owned(), resembling.0.eval(near).to_u8());
        }
    }
    choose(corpus, found, NEAR_WORDS_MAX)
}

/// The least text after all that begin with `first`.
fn beyond(first: char) -> String {
    char::from_u32(u32::from(first) + 1).unwrap_or(char::MAX).to_string()
}

/// Of words with their distances, the visible ones that are nearest; of equally near ones the commonest, then by spelling.
fn choose(corpus: &Corpus<'_>, found: BTreeMap<String, u8>, most: usize) -> tantivy::Result<Vec<String>> {
    let mut ranked = Vec::with_capacity(found.len());
    for (form, distance) in found {
        ranked.push((distance, Reverse(corpus.frequency(FORMS, &form)?), form));
    }
    ranked.sort_unstable();
    let mut chosen = Vec::new();
    let mut nearest = None;
    for (distance, _, form) in ranked {
        if chosen.len() == most || nearest.is_some_and(|nearest| nearest < distance) {
            break;
        }
        if corpus.shows(FORMS, &form)? {
            nearest = Some(distance);
            chosen.push(form);
        }
    }
    Ok(chosen)
}

/// The spellings within some distance of one.
struct Resembling(DFA);

impl Automaton for Resembling {
    type State = u32;

    fn start(&self) -> u32 {
        self.0.initial_state()
    }

    fn is_match(&self, state: &u32) -> bool {
        matches!(self.0.distance(*state), Distance::Exact(_))
    }

    fn can_match(&self, state: &u32) -> bool {
        *state != SINK_STATE
    }

    fn accept(&self, state: &u32, byte: u8) -> u32 {
        self.0.transition(*state, byte)
    }
}
