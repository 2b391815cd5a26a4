//! Workbooks as Markdown: a heading and a table for each sheet, each row at its number.
//!
//! Promises: cells as they are shown as far as dates, numbers and truth values go; hidden sheets, rows and columns and
//! comments are counted and left out; memory grows with one row and the workbook's shared texts, not with a sheet's
//! corners. Does not: compute formulas (their last result is taken), or apply number formats.

use std::collections::HashSet;
use std::io::Cursor;

use calamine::{Cell, DataRef, ExcelDateTime, Reader as _, SheetType, SheetVisible, Xlsx};
use catena_text::{Position, Reading};

use crate::archive::Archive;
use crate::draft::Draft;
use crate::error::FormatError;
use crate::office::{self, Relations};

const FORMAT: &str = "workbook";
const WORKBOOK: &str = "xl/workbook.xml";
/// The longest name of a sheet that is kept; Excel allows 31 characters.
const SHEET_NAME_CHARS_MAX: usize = 64;

/// Reads a workbook.
pub(crate) fn read(bytes: &[u8]) -> Result<Reading, FormatError> {
    let mut archive = Archive::open(bytes, FORMAT)?;
    let parts = sheet_parts(&mut archive)?;
    // Checks the XML of every sheet against its bounds before the cells are read, and finds what is hidden.
    let mut hidden = Vec::with_capacity(parts.len());
    for (_, part) in &parts {
        hidden.push(Hidden::of(&mut archive, part)?);
    }
    for part in ["xl/sharedStrings.xml", "xl/styles.xml"] {
        office::count(&mut archive, part, &[])?;
    }
    let mut draft = Draft::default();
    let mut book: Xlsx<_> =
        Xlsx::new(Cursor::new(bytes)).map_err(|_| FormatError::damaged(FORMAT, "its parts are broken"))?;
    let sheets = book.sheets_metadata().to_vec();
    for sheet in sheets {
        if sheet.visible != SheetVisible::Visible {
            draft.noticed.hidden_text = draft.noticed.hidden_text.saturating_add(1);
            continue;
        }
        let at = parts.iter().position(|(name, _)| *name == sheet.name);
        let part = at.and_then(|at| Some((hidden.get(at)?.as_ref(), &parts.get(at)?.1)));
        if sheet.typ == SheetType::WorkSheet {
            // Without its part nobody knows what of it is hidden.
            let hidden = part.and_then(|(hidden, _)| hidden);
            let hidden = hidden.ok_or_else(|| FormatError::damaged(FORMAT, "the part of a sheet is missing"))?;
            rows(&mut book, &sheet.name, hidden, &mut draft)?;
        }
        if let Some((_, part)) = part {
            charts(&mut archive, part, &mut draft)?;
        }
        if draft.is_over() {
            break;
        }
    }
    let comments: Vec<String> =
        archive.names().iter().filter(|name| name.starts_with("xl/") && name.contains("omments")).cloned().collect();
    for part in comments.iter().filter(|name| name.ends_with(".xml")) {
        draft.noticed.comments += office::count(&mut archive, part, &["x:comment", "threadedComment"])?;
    }
    draft.noticed.scripts += office::macros(&archive);
    draft.title = office::own_title(&mut archive)?;
    draft.finish()
}

/// The sheets' names with the parts that hold them.
fn sheet_parts(archive: &mut Archive<'_>) -> Result<Vec<(String, String)>, FormatError> {
    let relations = Relations::of(archive, WORKBOOK)?;
    let workbook = archive.needed(WORKBOOK)?.tree()?;
    let sheets = workbook.child("x:sheets");
    let each = sheets.into_iter().flat_map(|sheets| sheets.children()).filter_map(|sheet| {
        Some((sheet.attribute("name")?.to_owned(), relations.target(sheet.attribute("r:id")?)?.to_owned()))
    });
    Ok(each.collect())
}

/// The rows and columns of a sheet that are not shown, from nought.
#[derive(Debug, Default)]
struct Hidden {
    rows: HashSet<u32>,
    columns: Vec<(u32, u32)>,
}

impl Hidden {
    /// Those of this part, if it is there.
    fn of(archive: &mut Archive<'_>, part: &str) -> Result<Option<Self>, FormatError> {
        let mut hidden = Self::default();
        let Some(mut xml) = archive.xml(part)? else { return Ok(None) };
        let mut row = 0_u32;
        while let Some(element) = xml.find(&["x:row", "x:col"])? {
            let number = |name| element.attribute(name).and_then(|number| number.parse::<u32>().ok());
            let is_hidden = matches!(element.attribute("hidden"), Some("1" | "true"));
            if element.name == "x:row" {
                row = number("r").unwrap_or(row + 1);
                if is_hidden {
                    hidden.rows.insert(row.saturating_sub(1));
                }
            } else if let (true, Some(first), Some(last)) = (is_hidden, number("min"), number("max")) {
                hidden.columns.push((first.saturating_sub(1), last.saturating_sub(1)));
            }
        }
        Ok(Some(hidden))
    }

    fn has(&self, row: u32, column: u32) -> bool {
        self.rows.contains(&row) || self.columns.iter().any(|(first, last)| (*first..=*last).contains(&column))
    }
}

/// A sheet's rows as they come: one is gathered, and written when the next begins.
struct Table<'d> {
    draft: &'d mut Draft,
    sheet: String,
    columns: usize,
    row: u32,
    cells: Vec<String>,
    /// The row that the next line is taken for, as the places say so far.
    expected: Option<u32>,
}

impl Table<'_> {
    fn write(&mut self) {
        if self.cells.iter().all(String::is_empty) {
            self.cells.clear();
            return;
        }
        let position = Position::Rows {
            sheet: Some(self.sheet.clone()),
            first_row: self.row.saturating_add(1),
            columns: u32::try_from(self.columns).unwrap_or(u32::MAX),
        };
        match self.expected {
            None => {
                self.draft.place(position);
                self.draft.begin_table(self.columns, &self.cells);
                // The line below the heading is Markdown's own, so the rows behind it begin anew.
                self.expected = Some(u32::MAX);
            }
            Some(expected) if expected == self.row => {
                self.draft.row(&self.cells);
                self.expected = Some(self.row + 1);
            }
            Some(_) => {
                self.draft.row_at(position, &self.cells);
                self.expected = Some(self.row + 1);
            }
        }
        self.cells.clear();
    }
}

fn rows(book: &mut Xlsx<Cursor<&[u8]>>, sheet: &str, hidden: &Hidden, draft: &mut Draft) -> Result<(), FormatError> {
    let broken = || FormatError::damaged(FORMAT, "a sheet's cells are broken");
    let columns = widest(book, sheet, hidden)?;
    if columns == 0 {
        return Ok(());
    }
    draft.heading(2, sheet);
    let name: String = sheet.chars().take(SHEET_NAME_CHARS_MAX).collect();
    let mut unseen = 0_u32;
    let mut table = Table { draft, sheet: name, columns, row: 0, cells: Vec::new(), expected: None };
    let mut cells = book.worksheet_cells_reader(sheet).map_err(|_| broken())?;
    let mut last_hidden = None;
    while let Some(cell) = cells.next_cell().map_err(|_| broken())? {
        let (row, column) = cell.get_position();
        let text = shown(&cell);
        if text.is_empty() {
            continue;
        }
        if hidden.has(row, column) {
            let which = (hidden.rows.contains(&row), if hidden.rows.contains(&row) { row } else { column });
            unseen = unseen.saturating_add(u32::from(last_hidden != Some(which)));
            last_hidden = Some(which);
            continue;
        }
        if row != table.row {
            table.write();
            table.row = row;
            if table.draft.is_over() {
                break;
            }
        }
        let column = column as usize;
        if table.cells.len() <= column {
            table.cells.resize(column + 1, String::new());
        }
        table.cells[column] = text;
    }
    table.write();
    draft.noticed.hidden_text = draft.noticed.hidden_text.saturating_add(unseen);
    Ok(())
}

/// How many columns the sheet's cells reach to.
fn widest(book: &mut Xlsx<Cursor<&[u8]>>, sheet: &str, hidden: &Hidden) -> Result<usize, FormatError> {
    let broken = || FormatError::damaged(FORMAT, "a sheet's cells are broken");
    let mut cells = book.worksheet_cells_reader(sheet).map_err(|_| broken())?;
    let mut columns = 0;
    while let Some(cell) = cells.next_cell().map_err(|_| broken())? {
        let (row, column) = cell.get_position();
        if !matches!(cell.get_value(), DataRef::Empty) && !hidden.has(row, column) {
            columns = columns.max(column as usize + 1);
        }
    }
    Ok(columns)
}

fn shown(cell: &Cell<DataRef<'_>>) -> String {
    match cell.get_value() {
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => number.to_string(),
        DataRef::String(text) => text.trim().to_owned(),
        DataRef::SharedString(text) => text.trim().to_owned(),
        DataRef::Bool(true) => "TRUE".to_owned(),
        DataRef::Bool(false) => "FALSE".to_owned(),
        DataRef::DateTime(time) => date(time),
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text.clone(),
        DataRef::Error(error) => error.to_string(),
        DataRef::Empty => String::new(),
    }
}

/// A date, a time of day, or both, by what the number says.
fn date(time: &ExcelDateTime) -> String {
    let value = time.as_f64();
    if time.is_duration() {
        let seconds = (value * 86_400.0).round().clamp(0.0, 1e15) as u64;
        return format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    }
    let (year, month, day, hour, minute, second, _) = time.to_ymd_hms_milli();
    let (date, clock) = (format!("{year:04}-{month:02}-{day:02}"), format!("{hour:02}:{minute:02}:{second:02}"));
    match () {
        () if value.fract() == 0.0 => date,
        () if value < 1.0 => clock,
        () => format!("{date} {clock}"),
    }
}

/// The numbers of the charts that a sheet shows.
fn charts(archive: &mut Archive<'_>, part: &str, draft: &mut Draft) -> Result<(), FormatError> {
    let drawings: Vec<String> =
        Relations::of(archive, part)?.of_kind("drawing").into_iter().map(str::to_owned).collect();
    for drawing in drawings {
        let charts: Vec<String> =
            Relations::of(archive, &drawing)?.of_kind("chart").into_iter().map(str::to_owned).collect();
        for chart in charts {
            office::chart(archive, &chart, draft)?;
        }
        if let Some(xml) = archive.xml(&drawing)? {
            draft.paragraph(&office::drawn_text(&xml.tree()?));
        }
    }
    Ok(())
}
