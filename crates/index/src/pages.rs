//! An array of which a changed copy is cheap: pages are shared until they are written to.

use std::sync::Arc;

const PAGE_ITEMS: usize = 256;

type Page<T> = Arc<Vec<Option<T>>>;

/// A sparse array by small numbers. A clone shares every page.
#[derive(Debug, Clone)]
pub(crate) struct Pages<T>(Vec<Option<Page<T>>>);

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone> Pages<T> {
    pub(crate) fn get(&self, at: u32) -> Option<&T> {
        let at = at as usize;
        self.0.get(at / PAGE_ITEMS)?.as_ref()?.get(at % PAGE_ITEMS)?.as_ref()
    }

    pub(crate) fn set(&mut self, at: u32, item: T) {
        let at = at as usize;
        let page = at / PAGE_ITEMS;
        if self.0.len() <= page {
            self.0.resize(page + 1, None);
        }
        let page = self.0[page].get_or_insert_with(|| Arc::new(vec![None; PAGE_ITEMS]));
        Arc::make_mut(page)[at % PAGE_ITEMS] = Some(item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn a_copy_changes_without_its_original(
            first in prop::collection::vec((0_u32..2_000, any::<u8>()), 0..60),
            second in prop::collection::vec((0_u32..2_000, any::<u8>()), 0..60),
        ) {
            let (mut pages, mut model) = (Pages::default(), HashMap::new());
            for (at, item) in first {
                pages.set(at, item);
                model.insert(at, item);
            }
            let (original, before) = (pages.clone(), model.clone());
            for (at, item) in second {
                pages.set(at, item);
                model.insert(at, item);
            }
            for at in 0..2_100 {
                prop_assert_eq!(original.get(at), before.get(&at));
                prop_assert_eq!(pages.get(at), model.get(&at));
            }
        }
    }
}
