//! What of a row is searched by words, and how much each part counts: everything to tune is here.
//!
//! Changing a weight changes scores at once. Changing what goes into a field, or how a text becomes terms, changes what
//! lies in segments: raise [`crate::manifest::FORMAT`] with it, and every index is rebuilt.

use tantivy::schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};

/// The number of fields that are scored.
pub(crate) const FIELDS: usize = 3;
/// The number of all fields.
const FIELDS_ALL: usize = 5;

/// Title, headings and text of a row in one: a word of the breadcrumb counts for a chunk that omits it.
pub(crate) const BODY: usize = 2;
/// The forms of the body's words, with their positions: for phrases, prefixes and mistyped words.
pub(crate) const FORMS: usize = 3;
/// The row's language.
pub(crate) const LANGUAGE: usize = 4;

/// What a field of the engine keeps of each row.
const KEPT: [(&str, IndexRecordOption); FIELDS_ALL] = [
    ("title", IndexRecordOption::WithFreqs),
    ("headings", IndexRecordOption::WithFreqs),
    ("body", IndexRecordOption::WithFreqs),
    ("forms", IndexRecordOption::WithFreqsAndPositions),
    ("language", IndexRecordOption::Basic),
];

/// How much a word of the query counts in each scored field. The title counts a fifth beside the body that holds it.
pub(crate) const WEIGHTS: [f32; FIELDS] = [0.2, 0.0, 1.0];
/// How much a phrase or a prefix counts beside a word.
pub(crate) const OPTION_WEIGHT: f32 = 1.0;

/// BM25: how soon more of a word in a row stops to count.
pub(crate) const K1: f32 = 1.6;
/// BM25: how much a long row is held against it.
pub(crate) const B: f32 = 0.4;
/// The same for a word that the query repeats. High, because a query repeats what it is about.
const K_QUERY: f32 = 8.0;

/// How much a word counts that stands `times` in the query.
pub(crate) fn repetition(times: u32) -> f32 {
    let times = times as f32;
    times * (K_QUERY + 1.0) / (times + K_QUERY)
}

/// How much a word counts that `having` of `rows` rows have.
pub(crate) fn rarity(rows: u64, having: u64) -> f32 {
    let (rows, having) = (rows as f64, having as f64);
    (1.0 + (rows - having + 0.5) / (having + 0.5)).ln() as f32
}

/// The engine's schema. Nothing is stored.
pub(crate) fn schema() -> Schema {
    let mut schema = Schema::builder();
    for (name, kept) in KEPT {
        // Rows come analysed, so the tokenizer named here is never used; the engine wants one that it knows.
        let indexing = TextFieldIndexing::default().set_tokenizer("raw").set_index_option(kept);
        let indexing = indexing.set_fieldnorms(kept == IndexRecordOption::WithFreqs);
        schema.add_text_field(name, TextOptions::default().set_indexing_options(indexing));
    }
    schema.build()
}

/// The engine's field. Field numbers follow the order in which the schema was built.
pub(crate) fn field(at: usize) -> Field {
    Field::from_field_id(at as u32)
}

/// Words that ask or join, and say nothing about what is looked for. A query is read without them when others remain; in
/// rows they are kept. Rarity alone cannot tell them: in short rows even these are rare enough to draw.
const FUNCTION_WORDS: [&str; 119] = [
    "a", "about", "above", "after", "again", "against", "all", "am", "an", "and", "any", "are", "as", "at", "be",
    "because", "been", "before", "being", "below", "between", "both", "but", "by", "can", "cannot", "could", "did",
    "do", "does", "doing", "down", "during", "each", "few", "for", "from", "further", "had", "has", "have", "having",
    "he", "her", "here", "hers", "him", "his", "how", "i", "if", "in", "into", "is", "it", "its", "itself", "me",
    "more", "most", "my", "no", "nor", "not", "of", "off", "on", "once", "only", "or", "other", "ought", "our", "ours",
    "out", "over", "own", "same", "she", "should", "so", "some", "such", "than", "that", "the", "their", "theirs",
    "them", "then", "there", "these", "they", "this", "those", "through", "to", "too", "under", "until", "up", "very",
    "was", "we", "were", "what", "when", "where", "which", "while", "who", "whom", "why", "will", "with", "would",
    "you", "your", "yours",
];

/// Whether a query can do without the word of that form.
pub(crate) fn only_joins(form: &str) -> bool {
    FUNCTION_WORDS.binary_search(&form).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_words_are_found_by_halving() {
        assert!(FUNCTION_WORDS.is_sorted());
        assert!(only_joins("the") && only_joins("a") && only_joins("yours") && !only_joins("key"));
    }

    #[test]
    fn a_word_counts_more_when_it_is_rare_or_repeated_and_never_nothing() {
        assert!(rarity(100, 1) > rarity(100, 2) && rarity(100, 100) > 0.0);
        assert!((repetition(1) - 1.0).abs() < f32::EPSILON);
        assert!(repetition(3) > repetition(2) && repetition(1_000) < K_QUERY + 1.0);
    }
}
