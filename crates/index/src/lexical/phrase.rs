//! Words that stand side by side.

use tantivy::postings::{Postings, SegmentPostings};
use tantivy::{DocSet, TERMINATED};

use crate::lexical::corpus::Shelf;

/// The rows that count in which `forms` stand one after the other, with how often they do.
pub(crate) fn rows(shelf: &Shelf<'_>, forms: &[String]) -> tantivy::Result<Vec<(u32, u32)>> {
    let mut words = Vec::with_capacity(forms.len());
    for form in forms {
        let Some(places) = shelf.part.places(form)? else { return Ok(Vec::new()) };
        words.push(places);
    }
    let mut found = Vec::new();
    let mut places = Places::default();
    let mut row = 0;
    while let Some(common) = next_common(&mut words, row) {
        if shelf.counted.has(common) {
            let times = places.count(&mut words);
            found.extend((times > 0).then_some((common, times)));
        }
        row = common + 1;
    }
    Ok(found)
}

/// The first row from `from` on that all postings have; they then stand at it.
fn next_common(words: &mut [SegmentPostings], from: u32) -> Option<u32> {
    let mut row = from;
    loop {
        let mut farthest = row;
        for postings in words.iter_mut() {
            if postings.doc() < row {
                postings.seek(row);
            }
            farthest = farthest.max(postings.doc());
        }
        if farthest == TERMINATED {
            return None;
        }
        if words.iter().all(|postings| postings.doc() == farthest) {
            return Some(farthest);
        }
        row = farthest;
    }
}

/// Room for the places of words in a row, used again for each.
#[derive(Default)]
struct Places {
    ends: Vec<u32>,
    next: Vec<u32>,
}

impl Places {
    /// How often the words stand one after the other in the row at which their postings stand.
    fn count(&mut self, words: &mut [SegmentPostings]) -> u32 {
        let Some((first, rest)) = words.split_first_mut() else { return 0 };
        first.positions(&mut self.ends);
        for postings in rest {
            postings.positions(&mut self.next);
            // Both are in order: what stays of the first are the places right after which the next word stands.
            self.ends.retain_mut(|end| {
                *end += 1;
                self.next.binary_search(end).is_ok()
            });
        }
        self.ends.len() as u32
    }
}
