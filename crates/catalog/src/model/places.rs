//! Where in an original a text comes from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where something is in an original.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// A page, from one.
    Page(u32),
    /// A slide, from one.
    Slide(u32),
    /// Rows of a sheet: the line at which the place begins is the first of them, each line after it the next.
    Rows {
        /// The sheet's name; none in a file that has only one without a name.
        sheet: Option<String>,
        /// The number of the first row, from one.
        first_row: u32,
        /// The number of columns that the rows have, beginning with A.
        columns: u32,
    },
    /// A part of the original with a name of its own.
    Part(String),
}

/// From `start` on, up to the next place, a text comes from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The first byte of the text that it is about.
    pub start: u32,
    /// The line that this byte is on, from one.
    pub line: u32,
    /// Where that is in the original.
    pub position: Position,
}

/// What was found in a document and is no part of its text, each with how often; what was not found is not named.
pub type Noticed = BTreeMap<String, u32>;

/// The places of a passage: the one that it begins in, and the first and the last that begin in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// The place that holds the passage's first byte.
    pub at_start: Option<Place>,
    /// The first place that begins further in.
    pub first_inside: Option<Place>,
    /// The last place that begins further in.
    pub last_inside: Option<Place>,
}

impl Places {
    /// The places, in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = &Place> {
        [&self.at_start, &self.first_inside, &self.last_inside].into_iter().flatten()
    }
}
