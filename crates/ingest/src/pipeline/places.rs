//! What a reader knows of a document besides its text, as the catalog keeps it.
//!
//! Promises: places are in the order of the text, each with its line, and their names are short. Does not: trust a reader
//! with the order of what it says.

use catena_catalog::{Noticed, Place, Position};
use catena_domain::limits;
use catena_text as text;

/// The places of `text`, in order, one for each beginning; of two that begin at one byte, the later holds.
pub(super) fn stored(text: &str, mut places: Vec<text::Place>) -> Vec<Place> {
    places.sort_by_key(|place| place.start);
    let (mut stored, mut at, mut line) = (Vec::<Place>::with_capacity(places.len()), 0, 1u32);
    for place in places {
        let start = text.floor_char_boundary(place.start as usize);
        if start >= text.len() {
            break;
        }
        let breaks = text[at..start].bytes().filter(|&byte| byte == b'\n').count();
        line = line.saturating_add(u32::try_from(breaks).unwrap_or(u32::MAX));
        at = start;
        let place = Place { start: u32::try_from(start).unwrap_or(u32::MAX), line, position: position(place.position) };
        match stored.last_mut() {
            Some(last) if last.start == place.start => *last = place,
            _ => stored.push(place),
        }
    }
    stored
}

fn position(position: text::Position) -> Position {
    match position {
        text::Position::Page(page) => Position::Page(page),
        text::Position::Slide(slide) => Position::Slide(slide),
        text::Position::Rows { sheet, first_row, columns } => {
            Position::Rows { sheet: sheet.map(short), first_row, columns }
        }
        text::Position::Part(name) => Position::Part(short(name)),
    }
}

fn short(mut name: String) -> String {
    name.truncate(name.floor_char_boundary(limits::PLACE_NAME_BYTES_MAX));
    name
}

/// What was noticed, by name. `comments` are those that the text itself has.
pub(super) fn noticed(noticed: &text::Noticed, comments: usize) -> Noticed {
    let comments = u32::try_from(comments).unwrap_or(u32::MAX).max(noticed.comments);
    [
        ("hidden_text", noticed.hidden_text),
        ("comments", comments),
        ("scripts", noticed.scripts),
        ("invisible_characters", noticed.invisible_characters),
        ("control_characters", noticed.control_characters),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(name, count)| (name.to_owned(), count))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_kept_in_order_with_their_lines() {
        let page = |start, number| text::Place { start, position: text::Position::Page(number) };
        let kept = stored("one\ntwo\n\nthree é", vec![page(9, 3), page(0, 1), page(4, 2), page(4, 4), page(900, 9)]);
        let kept: Vec<(u32, u32, Position)> =
            kept.into_iter().map(|place| (place.start, place.line, place.position)).collect();
        assert_eq!(kept, [(0, 1, Position::Page(1)), (4, 2, Position::Page(4)), (9, 4, Position::Page(3))]);
    }

    #[test]
    fn what_was_not_noticed_is_not_named() {
        let found = text::Noticed { scripts: 2, comments: 1, ..text::Noticed::default() };
        assert_eq!(noticed(&found, 3), [("comments".to_owned(), 3), ("scripts".to_owned(), 2)].into());
    }
}
