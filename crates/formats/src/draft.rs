//! The Markdown that a reader makes, as it grows.
//!
//! Promises: it never grows beyond what one document may be; places begin where their text begins, whatever cleaning
//! takes out of it; text of the original is not mistaken for Markdown's own marks at the beginning of a line. Does not:
//! escape marks inside a line, because a quote should read as the original does.

use catena_domain::limits::{DOCUMENT_BODY_BYTES_MAX, PLACES_MAX};
use catena_text::{Noticed, Place, Position, Reading, TextError};

use crate::clean::clean;
use crate::error::FormatError;

/// A growing text with its places.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    text: String,
    places: Vec<(usize, Position)>,
    pub(crate) title: Option<String>,
    pub(crate) noticed: Noticed,
    is_in_list: bool,
    is_over: bool,
}

impl Draft {
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether nothing more is taken: the text is longer than a document may be.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// What comes next is from there.
    pub(crate) fn place(&mut self, position: Position) {
        self.part();
        self.mark(position);
    }

    /// The same in the middle of a block.
    fn mark(&mut self, position: Position) {
        if let Some((start, last)) = self.places.last_mut()
            && *start == self.text.len()
        {
            *last = position;
        } else if self.places.len() < PLACES_MAX {
            self.places.push((self.text.len(), position));
        }
    }

    /// Ends the block before with an empty line.
    fn part(&mut self) {
        self.is_in_list = false;
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.push(if self.text.ends_with('\n') { "\n" } else { "\n\n" });
        }
    }

    fn push(&mut self, text: &str) {
        if self.text.len() + text.len() > DOCUMENT_BODY_BYTES_MAX {
            self.is_over = true;
        } else if !self.is_over {
            self.text.push_str(text);
        }
    }

    /// A heading of a level from one to six.
    pub(crate) fn heading(&mut self, level: usize, text: &str) {
        let text = one_line(text);
        if text.is_empty() {
            return;
        }
        self.part();
        self.push(&"######"[..level.clamp(1, 6)]);
        self.push(" ");
        self.push(&text);
        self.push("\n\n");
    }

    /// A paragraph of the original's text. Its line breaks stay.
    pub(crate) fn paragraph(&mut self, text: &str) {
        let mut lines = text.split('\n').map(one_line).filter(|line| !line.is_empty()).peekable();
        if lines.peek().is_none() {
            return;
        }
        self.part();
        for line in lines {
            self.push(&plain_start(&line));
            self.push("\n");
        }
        self.push("\n");
    }

    /// An item of a list, `depth` from nought, with its own mark: `-`, `3.` or the like.
    pub(crate) fn item(&mut self, depth: usize, mark: &str, text: &str) {
        let text = one_line(text);
        if text.is_empty() {
            return;
        }
        if !self.is_in_list {
            self.part();
        }
        self.is_in_list = true;
        self.push(&"    ".repeat(depth.min(8)));
        self.push(mark);
        self.push(" ");
        self.push(&text);
        self.push("\n");
    }

    /// Text whose spaces and line breaks count.
    pub(crate) fn code(&mut self, text: &str) {
        let text = text.trim_matches('\n').trim_end();
        if text.trim().is_empty() {
            return;
        }
        self.part();
        let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
        let fence = "`".repeat(longest.max(2) + 1);
        for piece in [&fence, "\n", text, "\n", &fence, "\n\n"] {
            self.push(piece);
        }
    }

    /// Markdown that was made elsewhere, as it is.
    pub(crate) fn markdown(&mut self, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        self.part();
        self.push(text.trim_matches('\n'));
        self.push("\n\n");
    }

    /// A table whose first row is its heading. Rows may be of different lengths.
    pub(crate) fn table(&mut self, rows: &[Vec<String>]) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        if rows.iter().flatten().all(|cell| cell.trim().is_empty()) {
            return;
        }
        self.begin_table(columns, rows.first().map_or(&[], Vec::as_slice));
        for row in rows.iter().skip(1) {
            self.row(row);
        }
        self.push("\n");
    }

    /// The heading of a table that is filled by [`Draft::row`].
    pub(crate) fn begin_table(&mut self, columns: usize, heading: &[String]) {
        self.part();
        let mut heading = heading.to_vec();
        heading.resize(columns.max(heading.len()), String::new());
        self.row(&heading);
        self.push(&"|---".repeat(heading.len()));
        self.push("|\n");
    }

    /// One row of the table that was begun.
    pub(crate) fn row(&mut self, cells: &[String]) {
        self.push("|");
        for cell in cells {
            self.push(" ");
            self.push(&one_line(cell).replace('|', "\\|"));
            self.push(" |");
        }
        self.push("\n");
    }

    /// The same, at its place in the original.
    pub(crate) fn row_at(&mut self, position: Position, cells: &[String]) {
        self.mark(position);
        self.row(cells);
    }

    /// Another reading, as a part of this one.
    pub(crate) fn append(&mut self, reading: Reading) {
        self.part();
        let start = self.text.len();
        if start + reading.text.len() > DOCUMENT_BODY_BYTES_MAX {
            self.is_over = true;
            return;
        }
        self.places.extend(reading.places.into_iter().map(|place| (start + place.start as usize, place.position)));
        self.places.truncate(PLACES_MAX);
        self.push(&reading.text);
        self.push("\n\n");
        add(&mut self.noticed, reading.noticed);
    }

    /// The finished reading: each stretch is cleaned and normalised for itself, so that places stay true.
    pub(crate) fn finish(self) -> Result<Reading, FormatError> {
        if self.is_over {
            let limit_bytes = DOCUMENT_BODY_BYTES_MAX;
            return Err(TextError::TooLong { bytes: limit_bytes + 1, limit_bytes }.into());
        }
        let end = self.text.trim_end().len();
        let mut reading =
            Reading { text: String::with_capacity(end), title: None, places: Vec::new(), noticed: self.noticed };
        let starts: Vec<usize> = self.places.iter().map(|(start, _)| (*start).min(end)).collect();
        let first = starts.first().copied().unwrap_or(end);
        add_stretch(&mut reading, &self.text[..first])?;
        for (index, (_, position)) in self.places.into_iter().enumerate() {
            let stretch = &self.text[starts[index]..starts.get(index + 1).copied().unwrap_or(end)];
            if stretch.is_empty() {
                continue;
            }
            let start = u32::try_from(reading.text.len()).unwrap_or(u32::MAX);
            reading.places.push(Place { start, position });
            add_stretch(&mut reading, stretch)?;
        }
        if reading.text.trim().is_empty() {
            return Err(TextError::Empty.into());
        }
        reading.text.truncate(reading.text.trim_end().len());
        reading.text.push('\n');
        let titled = self.title.map(|title| one_line(&clean(&title).text)).filter(|title| !title.is_empty());
        reading.title = titled.map(|title| title.chars().take(TITLE_CHARS_MAX).collect());
        Ok(reading)
    }
}

/// The longest title that is taken from a document.
const TITLE_CHARS_MAX: usize = 250;

fn add_stretch(reading: &mut Reading, stretch: &str) -> Result<(), FormatError> {
    let cleaned = clean(stretch);
    reading.noticed.invisible_characters = reading.noticed.invisible_characters.saturating_add(cleaned.removed);
    match catena_text::normalise(cleaned.text.as_bytes()) {
        Ok(normalised) => {
            let removed = u32::try_from(normalised.removed_controls()).unwrap_or(u32::MAX);
            reading.noticed.control_characters = reading.noticed.control_characters.saturating_add(removed);
            reading.text.push_str(normalised.as_str());
            Ok(())
        }
        Err(TextError::Empty) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Adds what was noticed in a part to what was noticed in the whole.
pub(crate) fn add(whole: &mut Noticed, part: Noticed) {
    let Noticed { hidden_text, comments, scripts, invisible_characters, control_characters, unread_pages } = part;
    for (into, more) in [
        (&mut whole.hidden_text, hidden_text),
        (&mut whole.comments, comments),
        (&mut whole.scripts, scripts),
        (&mut whole.invisible_characters, invisible_characters),
        (&mut whole.control_characters, control_characters),
        (&mut whole.unread_pages, unread_pages),
    ] {
        *into = into.saturating_add(more);
    }
}

/// The text with every run of white space made one space.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// A line whose beginning Markdown does not take for a mark of its own.
fn plain_start(line: &str) -> String {
    let begins_block = line.starts_with(['#', '>', '|'])
        || line.starts_with("```")
        || line.starts_with("~~~")
        || ["-", "+", "*"]
            .iter()
            .any(|mark| line.strip_prefix(mark).is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')))
        || (line.len() >= 3 && (line.bytes().all(|b| b == b'-') || line.bytes().all(|b| b == b'=')));
    if begins_block { format!("\\{line}") } else { line.to_owned() }
}
