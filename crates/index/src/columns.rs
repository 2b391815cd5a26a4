//! The `rows` file: what each row is, column by column, and where each version's rows lie.
//!
//! Layout: the number of runs; document, version and chunk, then the number of terms of each field, each column one `u32` a
//! row; then the runs, in the order of their keys. A run is neighbouring rows of one version with chunks that follow each
//! other. Rows may lie in any order: a merge leaves each segment's rows as they were, one segment after the other.

use std::ops::Range;
use std::path::Path;

use bytemuck::{Pod, Zeroable};
use catena_domain::{DocNo, VersionNo};
use catena_kernels::Map;

use crate::error::IndexError;
use crate::row::RowKey;
use crate::words::FIELDS;

const _: () = assert!(cfg!(target_endian = "little"), "files are little-endian and read in place");

const DOC: usize = 0;
const VERSION: usize = 1;
const CHUNK: usize = 2;
const TOKENS: usize = 3;
const COLUMNS: usize = TOKENS + FIELDS;
const HEAD_BYTES: usize = size_of::<u32>();

/// The columns of a segment that is being built.
pub(crate) struct ColumnsBuilder([Vec<u32>; COLUMNS]);

impl ColumnsBuilder {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| Vec::new()))
    }

    pub(crate) fn push(&mut self, key: RowKey, tokens: [u32; FIELDS]) {
        let row = [key.doc.0, key.version.0, key.chunk].into_iter().chain(tokens);
        for (column, value) in self.0.iter_mut().zip(row) {
            column.push(value);
        }
    }

    /// Adds a row of another segment as it is.
    pub(crate) fn copy(&mut self, from: &Columns, row: u32) {
        for (column, values) in self.0.iter_mut().enumerate() {
            values.push(from.column(column)[row as usize]);
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        let runs = self.runs();
        let mut bytes = (runs.len() as u32).to_le_bytes().to_vec();
        for column in &self.0 {
            bytes.extend_from_slice(bytemuck::cast_slice(column));
        }
        bytes.extend_from_slice(bytemuck::cast_slice(&runs));
        bytes
    }

    fn runs(&self) -> Vec<Run> {
        let [docs, versions, chunks, ..] = &self.0;
        let mut runs: Vec<Run> = Vec::new();
        for (row, ((&doc, &version), &chunk)) in docs.iter().zip(versions).zip(chunks).enumerate() {
            match runs.last_mut() {
                Some(run) if (run.doc, run.version) == (doc, version) && run.chunk + run.count == chunk => {
                    run.count += 1
                }
                _ => runs.push(Run { doc, version, chunk, row: row as u32, count: 1 }),
            }
        }
        runs.sort_unstable_by_key(|run| run.key());
        runs
    }
}

/// A run of neighbouring rows of one version, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Run {
    doc: u32,
    version: u32,
    /// The first row's chunk.
    chunk: u32,
    row: u32,
    count: u32,
}

impl Run {
    pub(crate) fn doc(self) -> DocNo {
        DocNo(self.doc)
    }

    pub(crate) fn version(self) -> VersionNo {
        VersionNo(self.version)
    }

    pub(crate) fn rows(self) -> Range<u32> {
        self.row..self.row + self.count
    }

    /// The first row's key.
    fn key(self) -> RowKey {
        RowKey { doc: self.doc(), version: self.version(), chunk: self.chunk }
    }

    /// The key that follows the last row's.
    fn end(self) -> RowKey {
        RowKey { chunk: self.chunk.saturating_add(self.count), ..self.key() }
    }
}

/// The columns of a sealed segment.
pub(crate) struct Columns {
    map: Map,
    rows: u32,
    runs: usize,
}

impl Columns {
    pub(crate) fn open(path: &Path, map: Map, rows: u32) -> Result<Self, IndexError> {
        let corrupt = |what: &str| IndexError::corrupt(path, what);
        let runs = map.first_chunk::<HEAD_BYTES>().map(|head| u32::from_le_bytes(*head) as usize);
        let runs = runs.ok_or_else(|| corrupt("it is too short"))?;
        if map.len() != HEAD_BYTES + rows as usize * COLUMNS * size_of::<u32>() + runs * size_of::<Run>() {
            return Err(IndexError::corrupt(path, format!("{} bytes cannot be {rows} rows", map.len())));
        }
        let columns = Self { map, rows, runs };
        let inside = |run: &Run| run.row.checked_add(run.count).is_some_and(|end| end <= rows);
        let total: u64 = columns.runs().iter().map(|run| u64::from(run.count)).sum();
        let in_order = columns.runs().is_sorted_by(|one, next| one.end() <= next.key());
        if !columns.runs().iter().all(inside) || total != u64::from(rows) || !in_order {
            return Err(corrupt("its runs are not its rows"));
        }
        Ok(columns)
    }

    pub(crate) fn rows(&self) -> u32 {
        self.rows
    }

    /// The row's key. `row` is one of the segment's rows.
    pub(crate) fn key(&self, row: u32) -> RowKey {
        let value = |column: usize| self.column(column)[row as usize];
        RowKey { doc: DocNo(value(DOC)), version: VersionNo(value(VERSION)), chunk: value(CHUNK) }
    }

    /// Whether there is a row of this key.
    pub(crate) fn has(&self, key: RowKey) -> bool {
        let after = self.runs().partition_point(|run| run.key() <= key);
        after > 0 && key < self.runs()[after - 1].end()
    }

    /// The chunks of a version.
    pub(crate) fn chunks_of(&self, doc: DocNo, version: VersionNo) -> impl Iterator<Item = u32> + '_ {
        let first = self.runs().partition_point(|run| (run.doc(), run.version()) < (doc, version));
        let of_version =
            self.runs()[first..].iter().take_while(move |run| (run.doc(), run.version()) == (doc, version));
        of_version.flat_map(|run| run.chunk..run.chunk + run.count)
    }

    /// The runs, in the order of their keys.
    pub(crate) fn runs(&self) -> &[Run] {
        bytemuck::cast_slice(&self.map[self.map.len() - self.runs * size_of::<Run>()..])
    }

    /// How many terms the fields of some rows have together.
    pub(crate) fn tokens(&self, rows: Range<u32>) -> [u64; FIELDS] {
        let rows = rows.start as usize..rows.end as usize;
        std::array::from_fn(|field| self.column(TOKENS + field)[rows.clone()].iter().copied().map(u64::from).sum())
    }

    fn column(&self, column: usize) -> &[u32] {
        let bytes = self.rows as usize * size_of::<u32>();
        bytemuck::cast_slice(&self.map[HEAD_BYTES + column * bytes..][..bytes])
    }
}
