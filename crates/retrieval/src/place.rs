//! Where in its original a passage comes from, out of the places that the catalog has for it.
//!
//! Promises: says nothing that no reader said; a passage of a version without places has none. Does not: name lines,
//! which every passage has.

use catena_catalog::{self as catalog, Places, Position};

/// A passage's place in its original. What is not known, or means nothing there, is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// First and last page, from one.
    pub pages: Option<(u32, u32)>,
    /// First and last slide, from one.
    pub slides: Option<(u32, u32)>,
    /// The sheet's name.
    pub sheet: Option<String>,
    /// The cells, such as `Budget!A12:F20`.
    pub cells: Option<String>,
    /// The part of the original, such as a mail's attachment.
    pub part: Option<String>,
}

/// The rows of one sheet that a passage holds.
struct Rows<'p> {
    sheet: Option<&'p str>,
    columns: u32,
    first: u32,
    last: u32,
}

impl Place {
    /// The place of a passage that begins as `first` does and ends as `last` does, on `lines`, from byte `start` on.
    pub(crate) fn of(first: &Places, last: &Places, lines: (u32, u32), start: u32) -> Self {
        let all: Vec<&catalog::Place> = first.iter().chain(last.iter()).filter(|place| place.line <= lines.1).collect();
        let part = all.iter().find_map(|place| match &place.position {
            Position::Part(name) => Some(name.clone()),
            _ => None,
        });
        let rows = rows(&all, lines, start);
        Self {
            pages: range(&all, |position| if let Position::Page(page) = position { Some(*page) } else { None }),
            slides: range(&all, |position| if let Position::Slide(slide) = position { Some(*slide) } else { None }),
            sheet: rows.as_ref().and_then(|rows| rows.sheet.map(str::to_owned)),
            cells: rows.map(|rows| rows.to_string()),
            part,
        }
    }

    /// The place in words, for the line above a passage; empty when nothing is known.
    pub(crate) fn words(&self) -> String {
        let numbered = |word: &str, range: Option<(u32, u32)>| {
            range.map(|(first, last)| match first == last {
                true => format!("{word} {first}"),
                false => format!("{word}s {first}-{last}"),
            })
        };
        let parts = [
            self.part.as_ref().map(|name| format!("part {name}")),
            numbered("page", self.pages),
            numbered("slide", self.slides),
            self.cells.clone(),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// The first and the last of the numbers that positions have.
fn range(places: &[&catalog::Place], number: impl Fn(&Position) -> Option<u32>) -> Option<(u32, u32)> {
    let numbers = || places.iter().filter_map(|place| number(&place.position));
    Some((numbers().min()?, numbers().max()?))
}

/// The rows of the sheet that the passage ends in: a heading of a sheet still stands in the place of the one before.
fn rows<'p>(places: &[&'p catalog::Place], lines: (u32, u32), start: u32) -> Option<Rows<'p>> {
    let of_rows = places.iter().rev().find(|place| matches!(place.position, Position::Rows { .. }))?;
    let Position::Rows { sheet, .. } = &of_rows.position else { return None };
    let mut found: Option<Rows<'p>> = None;
    for place in places {
        let Position::Rows { sheet: of, first_row, columns } = &place.position else { continue };
        if of != sheet {
            continue;
        }
        // What stands further up than the passage begins counts from there on.
        let first = first_row.saturating_add(if place.start < start { lines.0.saturating_sub(place.line) } else { 0 });
        let last = first_row.saturating_add(lines.1.saturating_sub(place.line));
        found = Some(match found {
            None => Rows { sheet: sheet.as_deref(), columns: *columns, first, last },
            Some(rows) => Rows { columns: rows.columns.max(*columns), last, ..rows },
        });
    }
    found
}

impl std::fmt::Display for Rows<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(sheet) = self.sheet {
            write!(f, "{sheet}!")?;
        }
        write!(f, "A{}:{}{}", self.first, column(self.columns), self.last.max(self.first))
    }
}

/// The letters of the column of this number, from one.
fn column(number: u32) -> String {
    let (mut left, mut letters) = (number.max(1), Vec::new());
    while left > 0 {
        left -= 1;
        letters.push(char::from(b'A' + u8::try_from(left % 26).unwrap_or(0)));
        left /= 26;
    }
    letters.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(start: u32, line: u32, position: Position) -> catalog::Place {
        catalog::Place { start, line, position }
    }

    fn rows(start: u32, line: u32, sheet: &str, first_row: u32) -> catalog::Place {
        place(start, line, Position::Rows { sheet: Some(sheet.into()), first_row, columns: 28 })
    }

    #[test]
    fn a_passage_names_the_pages_from_where_it_begins_to_where_it_ends() {
        let (one, two, three) =
            (place(0, 1, Position::Page(1)), place(50, 5, Position::Page(2)), place(90, 9, Position::Page(3)));
        let first = Places { at_start: Some(one), first_inside: Some(two.clone()), last_inside: Some(two.clone()) };
        let last = Places { at_start: Some(two), first_inside: Some(three.clone()), last_inside: Some(three) };
        assert_eq!(Place::of(&first, &first, (2, 6), 10).pages, Some((1, 2)));
        assert_eq!(Place::of(&first, &last, (2, 10), 10).pages, Some((1, 3)));
        assert_eq!(Place::of(&first, &last, (2, 10), 10).words(), "pages 1-3");
        assert_eq!(Place::of(&Places::default(), &Places::default(), (1, 2), 0), Place::default());
    }

    #[test]
    fn rows_are_counted_by_lines_from_the_place_on() {
        let inside = Places { at_start: Some(rows(40, 5, "Budget", 2)), ..Places::default() };
        let cells = |places: &Places, lines, start| Place::of(places, places, lines, start).cells.unwrap();
        assert_eq!(cells(&inside, (15, 23), 400), "Budget!A12:AB20");
        // A heading and the head of a table stand above, and the sheet before reaches down to the heading.
        let whole = Places {
            at_start: Some(rows(40, 5, "Budget", 2)),
            first_inside: Some(rows(520, 32, "Costs", 1)),
            last_inside: Some(rows(560, 34, "Costs", 2)),
        };
        assert_eq!(cells(&whole, (30, 40), 500), "Costs!A1:AB8");
        let place = Place::of(&whole, &whole, (30, 40), 500);
        assert_eq!((place.sheet.as_deref(), place.words().as_str()), (Some("Costs"), "Costs!A1:AB8"));
    }

    #[test]
    fn columns_are_lettered_as_sheets_letter_them() {
        let lettered: Vec<String> = [0, 1, 26, 27, 52, 53, 702, 703].into_iter().map(column).collect();
        assert_eq!(lettered, ["A", "A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]);
    }
}
