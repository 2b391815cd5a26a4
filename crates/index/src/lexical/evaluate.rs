//! The best visible rows of a segment, without scoring those that cannot be among them.
//!
//! Rows are taken in windows. In each, the parts of the query are ordered by the most that they can give there. Those
//! that together cannot lift a row over the worst one kept are looked up only for rows that the others have brought near;
//! when no part is left over, the window is passed by. Rows that are not visible are never scored and raise no bar. The
//! answer is the very one that scoring every visible row would give.

use crate::lexical::corpus::Shelf;
use crate::lexical::postings::{Cursor, Window, least_gains, score};
use crate::top::Top;

/// Rows of a window, a multiple of 64. Small in tests, so that few rows fill several.
const WINDOW_ROWS: u32 = if cfg!(test) { 64 } else { 4_096 };
/// Looking a row up costs about as much as walking over so many.
const LOOK_UP_ROWS: usize = 6;

/// Offers `best` those visible rows of a segment that may be good enough, each with its score.
pub(crate) fn offer_rows(
    cursors: &mut [Cursor<'_>],
    shelf: &Shelf<'_>,
    best: &mut Top,
    mut offer: impl FnMut(&mut Top, u32, f32),
) {
    let (rows, visible) = (shelf.part.rows(), shelf.visible);
    let mut window = Window::new(WINDOW_ROWS.min(rows));
    let mut bar = best.least().map_or(0, least_gains);
    let mut parts: Vec<Part> = Vec::with_capacity(cursors.len());
    for start in (0..rows).step_by(WINDOW_ROWS as usize) {
        window.rows = start..rows.min(start + WINDOW_ROWS);
        let seen: usize = window.words().map(|at| visible.word(at).count_ones() as usize).sum();
        if seen == 0 {
            continue;
        }
        rank(&mut parts, cursors, &window);
        let spare = parts.partition_point(|part| part.with_lesser < bar);
        for part in &parts[spare..] {
            let cursor = &mut cursors[part.cursor];
            if seen * LOOK_UP_ROWS < part.rows {
                cursor.look_up(&mut window, visible);
            } else {
                cursor.pour(&mut window, visible);
            }
        }
        let spare = &parts[..spare];
        window.drain(|row, gains| {
            let Some(gains) = complete(cursors, spare, row, gains, bar) else { return };
            offer(best, row, score(gains));
            bar = best.least().map_or(0, least_gains);
        });
    }
}

/// A part of the query in one window.
struct Part {
    cursor: usize,
    /// The most that a row can gain by it and by all parts that can give less.
    with_lesser: u32,
    most: u32,
    rows: usize,
}

/// Orders the parts that have rows in the window by the most that they can give.
fn rank(parts: &mut Vec<Part>, cursors: &mut [Cursor<'_>], window: &Window) {
    parts.clear();
    for (cursor, postings) in cursors.iter_mut().enumerate() {
        let (most, rows) = postings.promise(&window.rows);
        if most > 0 {
            parts.push(Part { cursor, with_lesser: 0, most, rows });
        }
    }
    parts.sort_unstable_by_key(|part| (part.most, part.cursor));
    let mut sum = 0_u32;
    for part in parts {
        sum += part.most;
        part.with_lesser = sum;
    }
}

/// A row's gains with those of the parts that were spared; `None` as soon as it cannot reach the bar any more.
fn complete(cursors: &mut [Cursor<'_>], spare: &[Part], row: u32, mut gains: u32, bar: u32) -> Option<u32> {
    for part in spare.iter().rev() {
        if gains + part.with_lesser < bar {
            return None;
        }
        gains += cursors[part.cursor].gain_of(row);
    }
    (gains >= bar).then_some(gains)
}
