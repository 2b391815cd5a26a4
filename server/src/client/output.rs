//! What people and programs read.
//!
//! Promises: standard output holds the answer and nothing else, notes and bars go to standard error; text of documents
//! cannot steer a terminal. Does not: colour.

use std::io::{self, Write as _};

use catena_domain::names::is_invisible;
use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::de::DeserializeOwned;

use super::connection::Answer;

/// Who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// People.
    Table,
    /// Programs.
    Json,
}

/// Prints to standard output.
pub(crate) fn print(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    if !bytes.ends_with(b"\n") && !bytes.is_empty() {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Says something on standard error. If nobody listens there, nothing is lost.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Shows an answer: as it came for programs, and for people by `table`.
pub(crate) fn show<T: DeserializeOwned>(
    output: Output,
    answer: &Answer,
    table: impl FnOnce(T) -> String,
) -> anyhow::Result<()> {
    match output {
        Output::Json => print(&answer.body)?,
        Output::Table => print(table(answer.read()?).as_bytes())?,
    }
    Ok(())
}

/// A table with a header, fitted to the terminal.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.map(str::to_uppercase));
    for row in rows {
        table.add_row(row.map(|cell| clean(&cell)));
    }
    unindented(&table)
}

/// Names and values, one pair a line.
pub(crate) fn pairs<const N: usize>(pairs: [(&str, String); N]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    for (name, value) in pairs {
        table.add_row([name.to_owned(), clean(&value)]);
    }
    unindented(&table)
}

fn unindented(table: &Table) -> String {
    let lines: Vec<String> =
        table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned()).collect();
    lines.join("\n")
}

/// The text without what steers a terminal or hides from the eye.
pub(crate) fn clean(text: &str) -> String {
    let kept = |c: &char| *c == '\n' || *c == '\t' || !(c.is_control() || is_invisible(*c));
    text.chars().filter(kept).collect()
}

/// The beginning of a text on one line.
pub(crate) fn excerpt(text: &str, characters_max: usize) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    let line = line.join(" ");
    match line.char_indices().nth(characters_max) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// A time of the wire to the second.
pub(crate) fn moment(time: &str) -> String {
    time.get(..19).map_or_else(|| time.to_owned(), |start| format!("{start}Z"))
}

/// A text or a dash.
pub(crate) fn or_dash(text: Option<String>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned())
}

/// A bar on standard error; nothing where that is not a terminal.
pub(crate) fn bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {per_sec} {eta} {msg}") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_documents_text_cannot_steer_the_terminal() {
        let evil = "a\u{1b}[2Jb\u{202E}c\rd\u{9b}e\nf";
        assert_eq!(clean(evil), "a[2Jbcde\nf");
        assert!(!table(["x"], [[evil.to_owned()]]).contains('\u{1b}'));
    }

    #[test]
    fn an_excerpt_is_one_line_cut_between_characters() {
        assert_eq!(excerpt("ä\n b  c", 10), "ä b c");
        assert_eq!(excerpt("äöü", 2), "äö…");
    }

    #[test]
    fn tables_have_no_frame_and_no_trailing_blanks() {
        assert_eq!(table(["id", "name"], [["a".to_owned(), "Alpha".to_owned()]]), "ID  NAME\na   Alpha");
        assert_eq!(pairs([("seq", "3".to_owned())]), "seq  3");
    }
}
