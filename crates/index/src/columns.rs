//! The `rows` file: what each row is, column by column.
//!
//! Layout: document, version and chunk, then the number of terms of each field; a column is one `u32` a row.

use std::ops::Range;
use std::path::Path;

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

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0.iter().flatten().flat_map(|value| value.to_le_bytes()).collect()
    }
}

/// A run of neighbouring rows of one version.
pub(crate) struct Run {
    pub(crate) doc: DocNo,
    pub(crate) version: VersionNo,
    pub(crate) rows: Range<u32>,
}

/// The columns of a sealed segment.
pub(crate) struct Columns {
    map: Map,
    rows: u32,
}

impl Columns {
    pub(crate) fn open(path: &Path, map: Map, rows: u32) -> Result<Self, IndexError> {
        if map.len() != rows as usize * COLUMNS * size_of::<u32>() {
            return Err(IndexError::corrupt(path, format!("{} bytes cannot be {rows} rows", map.len())));
        }
        let columns = Self { map, rows };
        let keys = (0..rows).map(|row| columns.key(row));
        if !keys.is_sorted_by(|one, next| one < next) {
            return Err(IndexError::corrupt(path, "its rows are out of order"));
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

    /// The rows, version by version.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Run> + '_ {
        let (docs, versions) = (self.column(DOC), self.column(VERSION));
        let mut start = 0;
        std::iter::from_fn(move || {
            let (doc, version) = (*docs.get(start)?, *versions.get(start)?);
            let same = docs[start..].iter().zip(&versions[start..]);
            let length = same.take_while(|&(d, v)| (*d, *v) == (doc, version)).count();
            let rows = start as u32..(start + length) as u32;
            start += length;
            Some(Run { doc: DocNo(doc), version: VersionNo(version), rows })
        })
    }

    /// How many terms the fields of some rows have together.
    pub(crate) fn tokens(&self, rows: Range<u32>) -> [u64; FIELDS] {
        let rows = rows.start as usize..rows.end as usize;
        std::array::from_fn(|field| self.column(TOKENS + field)[rows.clone()].iter().copied().map(u64::from).sum())
    }

    fn column(&self, column: usize) -> &[u32] {
        let bytes = self.rows as usize * size_of::<u32>();
        bytemuck::cast_slice(&self.map[column * bytes..][..bytes])
    }
}
