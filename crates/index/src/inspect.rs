//! Looking at a generation on the disk: what is damaged, and whether the parts of each segment say the same.
//!
//! Promises: changes nothing and takes no lock, so it can be done beside the process that has the generation open; reads
//! every byte; holds one segment open at a time. Does not: know what should be there, which is the catalog's.

use std::path::Path;

use catena_domain::Seq;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, TERMINATED};

use crate::aside;
use crate::disk;
use crate::error::IndexError;
use crate::manifest::{self, Identity, Manifest};
use crate::row::RowKey;
use crate::segment::Segment;
use crate::words::FIELDS;

/// How often a generation that is changed meanwhile is looked at anew.
const TRIES: usize = 10;

/// A generation as it lies on the disk.
#[derive(Debug)]
pub struct Inspection {
    /// The write that it includes last.
    pub applied_seq: Seq,
    /// Its segments, in the manifest's order.
    pub segments: Vec<SegmentReport>,
    /// Whether its manifest says that rows were lost and are not back yet.
    pub lacks_rows: bool,
    /// What was put aside inside of it and is still there.
    pub aside: Vec<String>,
    /// The rows of the segments that can be read, in order. One that is there twice is named twice.
    pub rows: Vec<RowKey>,
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its name in the generation's folder.
    pub name: String,
    /// Its rows, as the manifest has it.
    pub rows: u32,
    /// What is wrong with it, if anything.
    pub damage: Option<String>,
}

/// Looks at the generation in `folder`; `None` when nothing of it is there.
pub(crate) fn inspect(folder: &Path, identity: &Identity) -> Result<Option<Inspection>, IndexError> {
    for _ in 1..TRIES {
        let Some(manifest) = read(folder, identity)? else { return Ok(None) };
        let found = look(folder, &manifest, identity.dimension)?;
        // A segment that was merged away while it was looked at is no damage.
        let is_whole = found.segments.iter().all(|segment| segment.damage.is_none());
        if is_whole || read(folder, identity)?.is_some_and(|now| now == manifest) {
            return Ok(Some(found));
        }
    }
    let Some(manifest) = read(folder, identity)? else { return Ok(None) };
    look(folder, &manifest, identity.dimension).map(Some)
}

fn read(folder: &Path, identity: &Identity) -> Result<Option<Manifest>, IndexError> {
    let path = manifest::path(folder);
    match manifest::read(folder)? {
        Some(manifest) => manifest.check(&path, identity).map(|()| Some(manifest)),
        None if disk::names(folder)?.is_empty() => Ok(None),
        None => Err(IndexError::corrupt(&path, "it is missing")),
    }
}

fn look(folder: &Path, manifest: &Manifest, dimension: usize) -> Result<Inspection, IndexError> {
    let mut found = Inspection {
        applied_seq: manifest.applied_seq(),
        segments: Vec::new(),
        lacks_rows: manifest.loss.is_some(),
        aside: disk::names(folder)?.into_iter().filter(|name| aside::is_aside(name)).collect(),
        rows: Vec::new(),
    };
    for entry in &manifest.segments {
        let looked = Segment::open(folder, entry, dimension).and_then(|segment| {
            disagreement(&segment).map_err(IndexError::engine("read a segment")).map(|damage| (segment, damage))
        });
        let damage = match looked {
            Ok((segment, None)) => {
                found.rows.extend((0..segment.rows()).map(|row| segment.columns().key(row)));
                None
            }
            Ok((_, damage)) => damage,
            Err(error) if error.is_damage() => Some(error.to_string()),
            Err(error) => return Err(error),
        };
        found.segments.push(SegmentReport { name: entry.name.clone(), rows: entry.rows, damage });
    }
    found.rows.sort_unstable();
    Ok(found)
}

/// What the lexical part of a segment says otherwise than its columns. All other parts were held against each other when
/// the segment was opened.
fn disagreement(segment: &Segment) -> tantivy::Result<Option<String>> {
    let mut terms = vec![[0_u64; FIELDS]; segment.rows() as usize];
    for at in 0..FIELDS {
        let inverted = segment.lexical().inverted(at)?;
        let mut stream = inverted.terms().stream()?;
        while stream.advance() {
            let mut postings = inverted.read_postings_from_terminfo(stream.value(), IndexRecordOption::WithFreqs)?;
            while postings.doc() != TERMINATED {
                let Some(row) = terms.get_mut(postings.doc() as usize) else {
                    return Ok(Some(format!("a term has row {}, of which there is none", postings.doc())));
                };
                row[at] += u64::from(tantivy::postings::Postings::term_freq(&postings));
                postings.advance();
            }
        }
    }
    let differs = |(row, found): (usize, &[u64; FIELDS])| {
        let row = row as u32;
        let wanted = segment.columns().tokens(row..row + 1);
        (*found != wanted).then(|| format!("row {row} has {found:?} terms in its postings, {wanted:?} were written"))
    };
    Ok(terms.iter().enumerate().find_map(differs))
}
