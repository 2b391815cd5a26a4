//! The lexical part of a sealed segment: postings by term, lengths by row, bounds by block.
//!
//! Promises: whatever is read lies inside bytes that verified. Does not: know documents, rights or statistics.

use std::path::Path;
use std::sync::Arc;

use catena_kernels::Map;
use tantivy::directory::OwnedBytes;
use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::{BlockSegmentPostings, SegmentPostings, TermInfo};
use tantivy::schema::IndexRecordOption;
use tantivy::{InvertedIndexReader, SegmentReader};

use crate::bundle;
use crate::error::IndexError;
use crate::lexical::bounds::{Bound, Bounds};
use crate::sealed::SealedDirectory;
use crate::words::{self, FIELDS};

/// Our own file among the engine's.
pub(crate) const BOUNDS: &str = "bounds";

/// An open part.
pub(crate) struct Part {
    segment: tantivy::Segment,
    reader: SegmentReader,
    lengths: [FieldNormReader; FIELDS],
    bounds: Bounds,
}

impl Part {
    /// Opens the bundle at `path`, which has verified and is mapped. It must hold `rows` rows.
    pub(crate) fn open(path: &Path, map: Map, rows: u32) -> Result<Self, IndexError> {
        let files = bundle::list(&map).map_err(|what| IndexError::corrupt(path, what))?;
        let bytes = OwnedBytes::new(map);
        let files: Vec<(String, OwnedBytes)> =
            files.into_iter().map(|(name, range)| (name, bytes.slice(range))).collect();
        let ours = files.iter().find(|(name, _)| name == BOUNDS).map(|(_, content)| content.clone());
        let bounds = ours.and_then(Bounds::open);
        let bounds = bounds.ok_or_else(|| IndexError::corrupt(path, "its lexical part has no bounds of blocks"))?;
        let open = || -> tantivy::Result<(Vec<tantivy::Segment>, Vec<SegmentReader>)> {
            let segments = tantivy::Index::open(SealedDirectory::new(files))?.searchable_segments()?;
            let readers = segments.iter().map(SegmentReader::open).collect::<Result<_, _>>()?;
            Ok((segments, readers))
        };
        let (mut segments, mut readers) = open().map_err(IndexError::engine("open a segment"))?;
        match (segments.pop(), readers.pop(), readers.pop()) {
            (Some(segment), Some(reader), None) if reader.max_doc() == rows && reader.num_docs() == rows => {
                let lengths = [0, 1, 2].map(|at| reader.get_fieldnorms_reader(words::field(at)));
                let [title, headings, body] = lengths;
                let lengths = || -> tantivy::Result<_> { Ok([title?, headings?, body?]) };
                let lengths = lengths().map_err(IndexError::engine("open a segment"))?;
                Ok(Self { segment, reader, lengths, bounds })
            }
            _ => Err(IndexError::corrupt(path, format!("its lexical part does not have the {rows} rows of the rest"))),
        }
    }

    pub(crate) fn rows(&self) -> u32 {
        self.reader.max_doc()
    }

    pub(crate) fn engine_segment(&self) -> &tantivy::Segment {
        &self.segment
    }

    /// Terms and postings of a field.
    pub(crate) fn inverted(&self, field: usize) -> tantivy::Result<Arc<InvertedIndexReader>> {
        self.reader.inverted_index(words::field(field))
    }

    /// Where a term of a field lies.
    pub(crate) fn term(&self, field: usize, term: &str) -> tantivy::Result<Option<TermInfo>> {
        Ok(self.inverted(field)?.terms().get(term)?)
    }

    /// The rows of a term, with frequencies.
    pub(crate) fn postings(&self, field: usize, term: &TermInfo) -> tantivy::Result<BlockSegmentPostings> {
        Ok(self.inverted(field)?.read_block_postings_from_terminfo(term, IndexRecordOption::WithFreqs)?)
    }

    /// The rows of a term, without frequencies.
    pub(crate) fn postings_alone(&self, field: usize, term: &TermInfo) -> tantivy::Result<BlockSegmentPostings> {
        Ok(self.inverted(field)?.read_block_postings_from_terminfo(term, IndexRecordOption::Basic)?)
    }

    /// The rows of a form, with the places where it stands.
    pub(crate) fn places(&self, form: &str) -> tantivy::Result<Option<SegmentPostings>> {
        let inverted = self.inverted(words::FORMS)?;
        let Some(term) = inverted.terms().get(form)? else { return Ok(None) };
        Ok(Some(inverted.read_postings_from_terminfo(&term, IndexRecordOption::WithFreqsAndPositions)?))
    }

    /// The lengths of a scored field, row by row.
    pub(crate) fn lengths(&self, field: usize) -> &FieldNormReader {
        &self.lengths[field]
    }

    /// The bounds of a term of a scored field; empty when it has one block.
    pub(crate) fn bounds(&self, field: usize, term: &TermInfo) -> &[Bound] {
        self.bounds.of(field, term.postings_range.start)
    }
}
