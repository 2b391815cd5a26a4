//! What a reader makes of a document's bytes: its normalised text, and what it knows besides.
//!
//! Does not: read anything. The readers of the single formats live in `formats`.

use serde::{Deserialize, Serialize};

/// A document that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Its normalised text: its own where [`crate::Format::is_text`] says so, else Markdown made of it.
    pub text: String,
    /// The title that the document states about itself, apart from its headings.
    pub title: Option<String>,
    /// Where in the original the stretches of the text come from, in the order of the text.
    pub places: Vec<Place>,
    /// What is no part of the text, and was found.
    pub noticed: Noticed,
}

/// From `start` on, up to the next place, the text comes from there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The first byte of the normalised text that it is about.
    pub start: u32,
    /// Where that is in the original.
    pub position: Position,
}

/// Where something is in an original.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// A page, from one.
    Page(u32),
    /// A slide, from one.
    Slide(u32),
    /// Rows of a sheet. The line of the text at `start` is row `first_row`, each line after it is the next row.
    Rows {
        /// The sheet's name; none in a file that has only one without a name.
        sheet: Option<String>,
        /// The number of the first row, from one.
        first_row: u32,
        /// The number of columns that the rows have, beginning with A.
        columns: u32,
    },
    /// A part of the original with a name of its own, such as a mail's attachment.
    Part(String),
}

/// Things that are found in a document and are not indexed as its body, each with how often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Noticed {
    /// Stretches of text that whoever looks at the original does not see.
    pub hidden_text: u32,
    /// Comments and notes of authors.
    pub comments: u32,
    /// Scripts and macros.
    pub scripts: u32,
    /// Characters that nobody sees: zero width, direction marks, tags.
    pub invisible_characters: u32,
    /// Control characters that were taken out.
    pub control_characters: u32,
    /// Pages that hold pictures alone, so that nothing of them could be read.
    pub unread_pages: u32,
}

impl Noticed {
    /// Whether nothing was noticed.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}
