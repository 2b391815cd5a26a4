//! Pages of lists: bounded, with the last item's id as the way on.

use catena_domain::limits;

use crate::model::Page;

/// The number of items that a page asked for with `limit` may have.
pub(crate) fn limit(limit: usize) -> usize {
    limit.clamp(1, limits::PAGE_ITEMS_MAX)
}

/// Items of which one more was read than the page may have, to see whether more follow.
pub(crate) trait Items<T> {
    fn into_page(self, limit: usize, id: fn(&T) -> String) -> Page<T>;
}

impl<T> Items<T> for Vec<T> {
    fn into_page(mut self, limit: usize, id: fn(&T) -> String) -> Page<T> {
        let more = self.len() > limit;
        self.truncate(limit);
        let next = if more { self.last().map(id) } else { None };
        Page { items: self, next }
    }
}
