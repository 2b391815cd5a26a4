//! What of a row is searched by words, and how much each part counts: everything to tune is here.
//!
//! Changing a weight changes scores at once. Changing what goes into a field changes what lies in segments: raise
//! [`crate::manifest::FORMAT`] with it, and every index is rebuilt.

use std::borrow::Cow;

use tantivy::schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};

use crate::row::RowInput;

/// The number of fields.
pub(crate) const FIELDS: usize = 3;

/// Fields by name, with the weight of a match in each.
const WEIGHTS: [(&str, f32); FIELDS] = [("title", 0.1), ("headings", 0.0), ("body", 1.0)];

/// Whether the body field holds the chunk's text alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyField {
    /// The chunk's text.
    #[expect(dead_code, reason = "the other choice, kept to be compared")]
    Text,
    /// Title, headings and the chunk's text, so that a term of the breadcrumb counts for a chunk that omits it.
    Breadcrumb,
}

const BODY_FIELD: BodyField = BodyField::Breadcrumb;

/// The texts of a row's fields, in the fields' order.
pub(crate) fn texts(row: &RowInput) -> [Cow<'_, str>; FIELDS] {
    let body = match BODY_FIELD {
        BodyField::Text => Cow::Borrowed(row.body.as_str()),
        BodyField::Breadcrumb => Cow::Owned(format!("{}\n{}\n{}", row.title, row.headings, row.body)),
    };
    [Cow::Borrowed(&row.title), Cow::Borrowed(&row.headings), body]
}

/// The engine's schema: every field indexed with frequencies and lengths, nothing stored, no positions.
pub(crate) fn schema() -> Schema {
    let mut schema = Schema::builder();
    // Rows come analysed, so the tokenizer named here is never used; the engine wants one that it knows.
    let indexing = TextFieldIndexing::default().set_tokenizer("raw").set_index_option(IndexRecordOption::WithFreqs);
    for (name, _) in WEIGHTS {
        schema.add_text_field(name, TextOptions::default().set_indexing_options(indexing.clone()));
    }
    schema.build()
}

/// The engine's fields with their weights. Field numbers follow the order in which the schema was built.
pub(crate) fn fields() -> [(Field, f32); FIELDS] {
    std::array::from_fn(|at| (Field::from_field_id(at as u32), WEIGHTS[at].1))
}
