//! The source in memory that other tests use, with and without a cursor.

use catena_sources::memory::{Memory, MemoryDocument};
use catena_sources::{Access, Source};

use crate::suite::Place;

struct InMemory<const CURSOR: bool>(Memory);

async fn place() -> InMemory<false> {
    InMemory(Memory::new())
}

async fn with_cursor() -> InMemory<true> {
    InMemory(Memory::with_cursor())
}

impl<const CURSOR: bool> Place for InMemory<CURSOR> {
    const HAS_CURSOR: bool = CURSOR;
    const TELLS_MOVES: bool = CURSOR;
    const SPEAKS: bool = false;

    fn source(&self) -> &dyn Source {
        &self.0
    }

    fn again(&self) -> Box<dyn Source> {
        Box::new(self.0.clone())
    }

    fn put(&mut self, path: &str, bytes: &[u8]) {
        self.0.put(path, MemoryDocument::new(bytes, Access::Unstated));
    }

    fn remove(&mut self, path: &str) {
        self.0.remove(path);
    }

    fn rename(&mut self, from: &str, to: &str) {
        self.0.rename(from, to);
    }

    fn put_hostile_names(&mut self) {
        for name in ["a\nb.md", "evil\u{202E}.md", &"x".repeat(600), ""] {
            self.put(name, b"x");
        }
    }

    fn damage(&mut self) {
        self.0.break_after(Some(0));
    }

    fn mend(&mut self) {
        self.0.break_after(None);
    }
}

crate::keeps_every_promise!(
    promises,
    super::place(),
    a_look_finds_everything_and_a_fetch_gives_its_bytes,
    a_tag_stays_while_the_bytes_stay_and_changes_with_them,
    what_was_fetched_already_is_not_sent_again,
    what_is_deleted_is_gone_from_the_next_look_and_the_next_fetch,
    what_is_moved_is_found_at_its_new_place_alone,
    a_look_since_a_cursor_tells_only_what_changed,
    a_look_that_sees_only_a_part_ends_with_an_error,
    names_that_are_none_are_skipped_and_never_become_documents,
    ids_and_tags_are_the_same_for_a_source_that_is_opened_again,
    nothing_secret_is_shown,
);

crate::keeps_every_promise!(
    promises_with_a_cursor,
    super::with_cursor(),
    a_look_finds_everything_and_a_fetch_gives_its_bytes,
    what_is_deleted_is_gone_from_the_next_look_and_the_next_fetch,
    what_is_moved_is_found_at_its_new_place_alone,
    a_look_since_a_cursor_tells_only_what_changed,
    a_look_that_sees_only_a_part_ends_with_an_error,
    names_that_are_none_are_skipped_and_never_become_documents,
    ids_and_tags_are_the_same_for_a_source_that_is_opened_again,
);
