//! Writing a segment: from rows, or from the rows of other segments.
//!
//! Promises: what is written is durable, its name included, and named by no manifest yet; what is copied is copied as it
//! is, so a merge needs neither texts nor a model and changes no answer. Does not: decide which rows.

use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use catena_kernels::Map;
use half::f16;

use crate::bits::Bits;
use crate::columns::ColumnsBuilder;
use crate::disk::{self, Sealing};
use crate::error::IndexError;
use crate::manifest::{FileEntry, SegmentEntry};
use crate::row::RowInput;
use crate::segment::{EIGHT, LEXICAL, ONE, ROWS, ROWS_MAX, SIXTEEN, Segment};
use crate::vectors::{ALIGN_BYTES, Vectors, VectorsBuilder};
use crate::{bundle, coarse, lexical};

/// Brings rows into the order in which a segment holds them: neighbours are of one version.
pub(crate) fn sort(rows: &mut [RowInput]) -> Result<(), IndexError> {
    rows.sort_unstable_by_key(RowInput::key);
    match rows.windows(2).find(|pair| pair[0].key() == pair[1].key()) {
        Some(twice) => Err(IndexError::RowTwice { doc: twice[0].doc, chunk: twice[0].chunk }),
        None => Ok(()),
    }
}

/// Where a segment is to be written.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) generation: &'a Path,
    pub(crate) name: &'a str,
    pub(crate) dimension: usize,
    /// Set when nobody wants the segment any more: the next file is not begun.
    pub(crate) closed: &'a AtomicBool,
}

/// Writes a segment of sorted rows, at most [`ROWS_MAX`].
pub(crate) fn from_rows(place: Place<'_>, rows: &[RowInput]) -> Result<SegmentEntry, IndexError> {
    debug_assert!(rows.len() <= ROWS_MAX, "the caller splits");
    let dimension = place.dimension;
    let mut columns = ColumnsBuilder::new();
    let mut vectors = VectorsBuilder::new(rows.len(), dimension);
    let mut lexical = lexical::Builder::new(rows.len())?;
    for row in rows {
        if row.vector.len() != dimension {
            return Err(IndexError::Dimension { index: dimension, given: row.vector.len() });
        }
        let pointless = |what| IndexError::RowVector { doc: row.doc, chunk: row.chunk, what };
        vectors.push(&row.vector).map_err(pointless)?;
        let tokens = lexical.push(row)?;
        columns.push(row.key(), tokens);
    }
    let (eight, sixteen) = vectors.into_bytes();
    let files = lexical.finish()?;
    let mut folder = Folder::make(place)?;
    folder.put(LEXICAL, |out| out.write_all(&packed(&files)?))?;
    folder.put(ROWS, |out| out.write_all(&columns.into_bytes()))?;
    folder.put(EIGHT, |out| out.write_all(&eight))?;
    folder.put(SIXTEEN, |out| out.write_all(&sixteen))?;
    folder.finish(rows.len() as u32)
}

/// Rows of another segment, in their order.
pub(crate) struct Part<'a> {
    pub(crate) segment: &'a Segment,
    pub(crate) rows: Vec<Range<u32>>,
}

impl Part<'_> {
    fn bits(&self) -> Bits {
        let mut bits = Bits::empty(self.segment.rows());
        self.rows.iter().for_each(|rows| bits.fill(rows.clone()));
        bits
    }

    pub(crate) fn count(&self) -> usize {
        self.rows.iter().map(ExactSizeIterator::len).sum()
    }
}

/// Writes a segment of rows of others, at most [`ROWS_MAX`] and at least one.
pub(crate) fn from_segments(place: Place<'_>, parts: &[Part<'_>]) -> Result<SegmentEntry, IndexError> {
    let rows = parts.iter().map(Part::count).sum::<usize>();
    debug_assert!((1..=ROWS_MAX).contains(&rows), "the caller fits");
    let runs = || parts.iter().flat_map(|part| part.rows.iter().map(|rows| (part.segment, rows.clone())));
    let alive: Vec<Bits> = parts.iter().map(Part::bits).collect();
    let lexical: Vec<_> = parts.iter().zip(&alive).map(|(part, bits)| (part.segment.lexical(), bits)).collect();
    let files = lexical::merge(&lexical)?;
    let mut folder = Folder::make(place)?;
    folder.put(LEXICAL, |out| out.write_all(&packed(&files)?))?;
    drop(files);
    folder.put(ROWS, |out| {
        let mut columns = ColumnsBuilder::new();
        runs().for_each(|(segment, rows)| rows.for_each(|row| columns.copy(segment.columns(), row)));
        out.write_all(&columns.into_bytes())
    })?;
    folder.put(EIGHT, |out| {
        let worst = parts.iter().map(|part| part.segment.vectors().worst()).fold(0.0, f32::max);
        out.write_all(&worst.to_le_bytes())?;
        out.pad(ALIGN_BYTES)?;
        runs().try_for_each(|(segment, rows)| out.write_all(segment.vectors().scale_bytes(rows)))?;
        out.pad(ALIGN_BYTES)?;
        runs().try_for_each(|(segment, rows)| out.write_all(segment.vectors().code_bytes(rows)))
    })?;
    folder.put(SIXTEEN, |out| {
        runs().try_for_each(|(segment, rows)| {
            out.write_all(bytemuck::cast_slice::<f16, u8>(segment.vectors().halves(rows)))
        })
    })?;
    folder.finish(rows as u32)
}

fn packed(files: &[(String, Vec<u8>)]) -> io::Result<Vec<u8>> {
    bundle::pack(files).map_err(io::Error::other)
}

/// A segment's folder that is being filled.
struct Folder<'a> {
    place: Place<'a>,
    path: PathBuf,
    files: Vec<FileEntry>,
}

impl<'a> Folder<'a> {
    fn make(place: Place<'a>) -> Result<Self, IndexError> {
        let path = place.generation.join(place.name);
        disk::remove(&path)?;
        disk::make_folder(&path)?;
        Ok(Self { place, path, files: Vec::new() })
    }

    fn put(&mut self, name: &str, fill: impl FnOnce(&mut Sealing) -> io::Result<()>) -> Result<(), IndexError> {
        if self.place.closed.load(Ordering::Acquire) {
            return Err(IndexError::Closed { generation: self.place.generation.display().to_string() });
        }
        let (bytes, blake3) = disk::seal(&self.path.join(name), fill)?;
        self.files.push(FileEntry { name: name.to_owned(), bytes, blake3 });
        Ok(())
    }

    /// Adds the file that is made out of others, and makes the names durable.
    fn finish(mut self, rows: u32) -> Result<SegmentEntry, IndexError> {
        if rows >= coarse::FROM_ROWS {
            let map = |name: &str| {
                let path = self.path.join(name);
                Map::open(&path).map(|map| (path.clone(), map)).map_err(|error| IndexError::io("map", &path, error))
            };
            let ((eight_path, eight), (sixteen_path, sixteen)) = (map(EIGHT)?, map(SIXTEEN)?);
            let vectors = Vectors::open((&eight_path, eight), (&sixteen_path, sixteen), rows, self.place.dimension)?;
            let lists = coarse::build(&vectors);
            self.put(ONE, |out| out.write_all(&lists))?;
        }
        disk::sync_folder(&self.path)?;
        Ok(SegmentEntry { name: self.place.name.to_owned(), rows, files: self.files })
    }
}
