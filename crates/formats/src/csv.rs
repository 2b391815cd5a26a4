//! Rows of cells that are parted by commas, semicolons, tabs or bars.
//!
//! Promises: each row of the original is one line of a Markdown table, at its own number, empty rows counted; the first
//! row is the table's heading. Does not: know types, or guess whether the first row is a heading.

use catena_text::{Position, Reading};

use crate::decode::{Stated, decode};
use crate::draft::Draft;
use crate::error::FormatError;

const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Rows by which the delimiter is found.
const LOOKED_AT_ROWS: usize = 50;

/// Reads a table of rows.
pub(crate) fn read(stated: Stated<'_>, bytes: &[u8]) -> Result<Reading, FormatError> {
    let text = decode(bytes, stated)?;
    let text = text.trim_start_matches('\u{FEFF}');
    let mut rows = reader(text, delimiter(text));
    let mut draft = Draft::default();
    let (mut record, mut row, mut columns) = (csv::StringRecord::new(), 0_u32, 0_usize);
    let mut expected = 0;
    // The heading has to be as wide as the widest row, else Markdown hides the cells beyond it.
    let widest = reader(text, delimiter(text)).records().flatten().map(|record| record.len()).max().unwrap_or(0);
    while rows.read_record(&mut record).map_err(|error| FormatError::damaged("CSV file", told(&error)))? {
        row = row.saturating_add(1).saturating_add(empty_rows(text, record.position()));
        let cells: Vec<String> = record.iter().map(str::to_owned).collect();
        let position =
            |first_row| Position::Rows { sheet: None, first_row, columns: u32::try_from(widest).unwrap_or(u32::MAX) };
        if columns == 0 {
            columns = widest.max(1);
            draft.place(position(row));
            draft.begin_table(columns, &cells);
        } else if row == expected {
            draft.row(&cells);
        } else {
            draft.row_at(position(row), &cells);
        }
        // The line below the heading is Markdown's own, so the rows behind it begin anew.
        expected = if draft.as_str().ends_with("---|\n") { 0 } else { row + 1 };
        if draft.is_over() {
            break;
        }
    }
    draft.finish()
}

/// How many empty rows the reader passed over before the record that begins there.
fn empty_rows(text: &str, position: Option<&csv::Position>) -> u32 {
    let at = position.and_then(|position| usize::try_from(position.byte()).ok()).unwrap_or(0);
    let (before, rest) = text.as_bytes().split_at(at.min(text.len()));
    // The second half of a line end belongs to the row before.
    let rest = if before.ends_with(b"\r") { rest.strip_prefix(b"\n").unwrap_or(rest) } else { rest };
    let empty = rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).filter(|byte| **byte == b'\n').count();
    u32::try_from(empty).unwrap_or(u32::MAX)
}

fn reader(text: &str, delimiter: u8) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(text.as_bytes())
}

fn told(error: &csv::Error) -> String {
    match error.position() {
        Some(position) => format!("line {} is not a row of cells", position.line()),
        None => "it is not rows of cells".to_owned(),
    }
}

/// The delimiter that gives most rows one number of cells greater than one.
fn delimiter(text: &str) -> u8 {
    let agreeing = |delimiter: u8| {
        let mut counts = std::collections::HashMap::<usize, usize>::new();
        for record in reader(text, delimiter).records().take(LOOKED_AT_ROWS).flatten() {
            *counts.entry(record.len()).or_default() += 1;
        }
        counts.into_iter().filter(|(cells, _)| *cells > 1).map(|(cells, rows)| (rows, cells)).max().unwrap_or((0, 0))
    };
    let mut best = (b',', (0, 0));
    for delimiter in DELIMITERS {
        let score = agreeing(delimiter);
        if score > best.1 {
            best = (delimiter, score);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row_numbers(reading: &Reading) -> Vec<u32> {
        let numbers = reading.places.iter().map(|place| match &place.position {
            Position::Rows { first_row, .. } => *first_row,
            other => panic!("{other:?}"),
        });
        numbers.collect()
    }

    #[test]
    fn each_row_is_a_line_at_its_number_whatever_parts_the_cells() {
        for delimiter in [",", ";", "\t", "|"] {
            let text = "port,fee\nLarkmoor,12\n\n\"Far,side\",3\n"
                .replace(',', delimiter)
                .replace(&format!("Far{delimiter}side"), "Farside");
            let reading = read(Stated::Nothing, text.as_bytes()).unwrap();
            assert_eq!(
                reading.text, "| port | fee |\n|---|---|\n| Larkmoor | 12 |\n| Farside | 3 |\n",
                "{delimiter:?}"
            );
            assert_eq!(row_numbers(&reading), [1, 2, 4], "{delimiter:?}");
            let windows = read(Stated::Nothing, text.replace('\n', "\r\n").as_bytes()).unwrap();
            assert_eq!(windows, reading, "{delimiter:?}");
            for place in &reading.places {
                assert!(reading.text[place.start as usize..].starts_with('|'));
            }
        }
    }

    #[test]
    fn a_row_that_is_wider_than_the_heading_is_kept_whole() {
        let reading = read(Stated::Nothing, b"a,b\n1,2,3\n").unwrap();
        assert_eq!(reading.text, "| a | b |  |\n|---|---|---|\n| 1 | 2 | 3 |\n");
    }

    #[test]
    fn a_cell_with_bars_and_line_breaks_stays_one_cell() {
        let reading = read(Stated::Nothing, b"a,b\n\"x|y\nz\",2\nlast,row\n").unwrap();
        assert_eq!(reading.text, "| a | b |\n|---|---|\n| x\\|y z | 2 |\n| last | row |\n");
    }

    proptest! {
        #[test]
        fn any_bytes_are_rows_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(Stated::Nothing, &bytes);
        }

        #[test]
        fn no_cell_is_lost(rows in proptest::collection::vec(proptest::collection::vec("[a-z0-9 ,;\"|]{0,8}", 2..5), 1..12)) {
            let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let bytes = writer.into_inner().unwrap();
            if let Ok(reading) = read(Stated::Nothing, &bytes) {
                for word in rows.iter().flatten().flat_map(|cell| cell.split([',', ';', '"', '|', ' '])) {
                    prop_assert!(reading.text.contains(word), "{} in {}", word, reading.text);
                }
            }
        }
    }
}
