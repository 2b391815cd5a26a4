//! What a snapshot remembers of who may see which of its rows.
//!
//! It lives in the snapshot, so what is remembered is of one tenant and of these segments, and goes when they do.
//! Promises: a set is given again only to an equal principal, for an equal filter and equal counting, under the very live
//! table that it was computed by, and not beyond the moment at which an entry's window opens or closes. These are
//! compared as they are, not by a hash. What is remembered has a bound in bytes; what was asked for least lately goes.
//! Does not: keep anything of an earlier live table. A write to the tenant forgets it all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use catena_access::Scope;
use catena_domain::Timestamp;
use lru::LruCache;

use crate::filter::Filter;
use crate::live::{LiveTable, TableId};
use crate::visible::{Counted, LiveRows, Visible};

/// Most bytes that one snapshot remembers.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// On what a set depends, beside the snapshot, the live table and the time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    /// See [`catena_access::Principal::fingerprint`]: all of it, so that equal ones are equal principals.
    principal: String,
    filter: Filter,
    counted: Counted,
}

impl Question {
    pub(crate) fn of(scope: &Scope, filter: &Filter, counted: Counted) -> Self {
        Self { principal: scope.principal().fingerprint(), filter: filter.clone(), counted }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.principal.len() + self.filter.bytes()
    }
}

/// A set, and from when on it holds.
#[derive(Debug)]
struct Remembered {
    visible: Arc<Visible>,
    from: Timestamp,
    bytes: usize,
}

impl Remembered {
    /// A clock that was turned back has not been here yet.
    fn holds_at(&self, now: Timestamp) -> bool {
        self.from <= now && self.visible.until().is_none_or(|until| now < until)
    }
}

/// The memory of one snapshot.
#[derive(Debug)]
pub(crate) struct Seen(Mutex<Memory>);

#[derive(Debug)]
struct Memory {
    /// The live table that everything here was computed by.
    table: Option<(TableId, Arc<LiveRows>)>,
    sets: LruCache<Question, Remembered>,
    bytes: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Self(Mutex::new(Memory { table: None, sets: LruCache::unbounded(), bytes: 0 }))
    }
}

impl Seen {
    /// The remembered answer to `question`, if it holds at `now`.
    pub(crate) fn recall(&self, question: &Question, table: &LiveTable, now: Timestamp) -> Option<Arc<Visible>> {
        let mut memory = self.memory();
        memory.live_rows(table.id())?;
        let remembered = memory.sets.get(question).filter(|remembered| remembered.holds_at(now))?;
        Some(Arc::clone(&remembered.visible))
    }

    /// The live rows by `table`: the remembered ones, or those that `compute` finds.
    pub(crate) fn live_rows(&self, table: &LiveTable, compute: impl FnOnce() -> LiveRows) -> Arc<LiveRows> {
        if let Some(rows) = self.memory().live_rows(table.id()) {
            return rows;
        }
        let rows = Arc::new(compute());
        self.memory().turn_to(table.id(), &rows);
        rows
    }

    /// Remembers what was computed at `now`, unless a later live table has come meanwhile.
    pub(crate) fn remember(&self, question: Question, table: &LiveTable, now: Timestamp, visible: &Arc<Visible>) {
        let bytes = question.bytes() + visible.bytes() + size_of::<Remembered>();
        let mut memory = self.memory();
        if memory.live_rows(table.id()).is_some() {
            memory.keep(question, Remembered { visible: Arc::clone(visible), from: now, bytes });
        }
    }

    /// Bytes that are remembered.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.memory().bytes
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn live_rows(&self, table: TableId) -> Option<Arc<LiveRows>> {
        self.table.as_ref().filter(|(id, _)| *id == table).map(|(_, rows)| Arc::clone(rows))
    }

    /// Forgets what was computed by an earlier table. Who still asks by an earlier one changes nothing.
    fn turn_to(&mut self, table: TableId, rows: &Arc<LiveRows>) {
        if self.table.as_ref().is_none_or(|(id, _)| *id < table) {
            self.sets.clear();
            self.bytes = rows.bytes();
            self.table = Some((table, Arc::clone(rows)));
        }
    }

    fn keep(&mut self, question: Question, remembered: Remembered) {
        self.bytes += remembered.bytes;
        if let Some((_, before)) = self.sets.push(question, remembered) {
            self.bytes -= before.bytes;
        }
        while self.bytes > BYTES_MAX
            && let Some((_, oldest)) = self.sets.pop_lru()
        {
            self.bytes -= oldest.bytes;
        }
    }
}
