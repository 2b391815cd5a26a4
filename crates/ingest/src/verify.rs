//! Verifying: what the catalog says should be in an index, held against what is.
//!
//! Promises: reads only, and every byte of the index; what is found missing was missing, also when a service writes
//! meanwhile: the index is looked at first and the catalog after it. Does not: mend.

use std::sync::Arc;

use catena_access::Scope;
use catena_catalog::{CatalogReader, GenerationRow, IndexedVersion, LiveIndex};
use catena_domain::{DocNo, GenerationId, Seq, TenantId, VersionNo};
use catena_index::{Index, IndexError, Inspection, RowKey};
use catena_runtime::Compute;

use crate::{Ingest, IngestError};

/// What was found of one tenant's live generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The tenant.
    pub tenant: TenantId,
    /// Its live generation.
    pub generation: GenerationId,
    /// The tenant's last write.
    pub seq: Seq,
    /// The last write that the generation includes.
    pub applied_seq: Seq,
    /// What was counted.
    pub rows: RowCounts,
    /// What is wrong with segments, or with the generation as a whole.
    pub damage: Vec<String>,
    /// Whether the generation knows that it lacks rows.
    pub lacks_rows: bool,
    /// Segments that can be read.
    pub segments: usize,
    /// Segments that were put aside and are still there.
    pub aside: usize,
}

/// Rows of a generation beside those that the catalog has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowCounts {
    /// Those that the catalog has.
    pub catalog: u64,
    /// Those of them that can be found.
    pub found: u64,
    /// Those that the generation says it has applied, and that are not there.
    pub missing: u64,
    /// Those of writes that the generation has not applied yet.
    pub waiting: u64,
    /// Rows that no live version has any more. A merge drops them.
    pub dead: u64,
    /// Rows that are there more than once.
    pub twice: u64,
}

impl RowCounts {
    /// How much of what the catalog has can be found, in percent, to a tenth. 100 only when it is all.
    #[must_use]
    pub fn complete_percent(&self) -> f64 {
        match (self.found * 1_000).checked_div(self.catalog) {
            None => 100.0,
            Some(permille) => permille as f64 / 10.0,
        }
    }
}

impl Verdict {
    /// Whether nothing is missing that should be there and nothing is wrong. Writes that wait are no fault.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty() && !self.lacks_rows && self.rows.missing == 0 && self.rows.twice == 0
    }
}

/// The state of a generation that a service has open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Condition {
    /// The last write that it includes.
    pub applied_seq: Seq,
    /// Its rows, dead ones included.
    pub rows: u64,
    /// Segments that were put aside because they were damaged, and are not made up for yet.
    pub damaged_segments: usize,
    /// How much of what should be there is, in percent. Below 100 only while what was damaged is brought back.
    pub complete_percent: f64,
}

impl Condition {
    /// Of a generation that cannot be read.
    const NOTHING: Self = Self { applied_seq: Seq(0), rows: 0, damaged_segments: 0, complete_percent: 0.0 };
}

/// Looks at one tenant's live generation.
pub async fn look(
    reader: &CatalogReader,
    index: &Arc<Index>,
    compute: &Compute,
    live: &LiveIndex,
) -> Result<Verdict, IngestError> {
    let (of, scope, row) = (Arc::clone(index), Scope::service(&live.tenant), live.generation.clone());
    let inspected = compute.run(move || of.inspect(&scope, &row.id, &row.recipe, row.dimension as usize)).await?;
    let versions = reader.census(&live.tenant, &live.generation.recipe).await?;
    let live = live.clone();
    Ok(compute.run(move || judge(&live, inspected, &versions)).await??)
}

fn judge(
    live: &LiveIndex,
    inspected: Result<Option<Inspection>, IndexError>,
    versions: &[IndexedVersion],
) -> Result<Verdict, IndexError> {
    let mut verdict = Verdict {
        tenant: live.tenant.clone(),
        generation: live.generation.id.clone(),
        seq: live.seq,
        applied_seq: Seq(0),
        rows: RowCounts::default(),
        damage: Vec::new(),
        lacks_rows: false,
        segments: 0,
        aside: 0,
    };
    let found = match inspected {
        Ok(found) => found,
        Err(error) if error.is_damage() => {
            verdict.damage.push(error.to_string());
            None
        }
        Err(error) => return Err(error),
    };
    let Some(found) = found else {
        verdict.rows = count(&[], Seq(0), versions);
        if verdict.damage.is_empty() && verdict.rows.catalog > 0 {
            verdict.damage.push(format!("generation {} is not on the disk", live.generation.id));
        }
        return Ok(verdict);
    };
    verdict.applied_seq = found.applied_seq;
    verdict.lacks_rows = found.lacks_rows;
    verdict.aside = found.aside.len();
    verdict.rows = count(&found.rows, found.applied_seq, versions);
    verdict.segments = found.segments.iter().filter(|segment| segment.damage.is_none()).count();
    let told = |segment: catena_index::SegmentReport| {
        let (name, rows) = (segment.name, segment.rows);
        segment.damage.map(|damage| format!("segment {name} of {rows} rows: {damage}"))
    };
    verdict.damage = found.segments.into_iter().filter_map(told).collect();
    Ok(verdict)
}

/// Holds sorted rows against the versions that should have them, which are in the order of their documents.
fn count(rows: &[RowKey], applied: Seq, versions: &[IndexedVersion]) -> RowCounts {
    let mut counts = RowCounts { dead: rows.len() as u64, ..RowCounts::default() };
    let twice = rows.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64;
    for version in versions {
        let of = |key: &RowKey| (key.doc, key.version);
        let start = rows.partition_point(|key| of(key) < (version.doc, version.version));
        let here = rows[start..].iter().take_while(|key| of(key) == (version.doc, version.version));
        let mut chunks: Vec<u32> = here.map(|key| key.chunk).filter(|chunk| *chunk < version.chunks).collect();
        let all = chunks.len() as u64;
        chunks.dedup();
        let (found, wanted) = (chunks.len() as u64, u64::from(version.chunks));
        counts.dead -= all;
        counts.catalog += wanted;
        counts.found += found;
        match version.seq <= applied {
            true => counts.missing += wanted - found,
            false => counts.waiting += wanted - found,
        }
    }
    RowCounts { twice, ..counts }
}

impl Ingest {
    /// The state of a tenant's generation, as the service has it open; `None` when nothing of it is on the disk.
    pub async fn condition(&self, scope: &Scope, row: &GenerationRow) -> Result<Option<Condition>, IngestError> {
        let shared = &self.0;
        let (index, owner, of) = (Arc::clone(&shared.index), scope.clone(), row.clone());
        let opened = shared.compute.run(move || index.existing(&owner, &of.id, &of.recipe, of.dimension as usize));
        let generation = match opened.await? {
            Ok(Some(generation)) => generation,
            Ok(None) => return Ok(None),
            // It is put aside and rebuilt in a moment.
            Err(error) if error.is_damage() => return Ok(Some(Condition::NOTHING)),
            Err(error) => return Err(error.into()),
        };
        let snapshot = generation.snapshot();
        let mut condition = Condition {
            applied_seq: snapshot.applied_seq(),
            rows: snapshot.rows() as u64,
            damaged_segments: snapshot.lost_segments(),
            complete_percent: 100.0,
        };
        if snapshot.lacks_rows() {
            let (mut counts, mut after) = (RowCounts::default(), None);
            loop {
                let versions = shared.catalog.indexed_versions(scope, &row.recipe, after).await?;
                let Some(last) = versions.last() else { break };
                after = Some(last.doc);
                let of = Arc::clone(&snapshot);
                let held = move |(doc, version): (DocNo, VersionNo)| u64::from(of.rows_of(doc, version));
                let counted = shared.compute.run(move || {
                    versions.iter().fold((0, 0), |(catalog, found), version| {
                        let chunks = u64::from(version.chunks);
                        (catalog + chunks, found + held((version.doc, version.version)).min(chunks))
                    })
                });
                let (catalog, found) = counted.await?;
                counts.catalog += catalog;
                counts.found += found;
            }
            condition.complete_percent = counts.complete_percent();
        }
        Ok(Some(condition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(doc: u32, version: u32, chunk: u32) -> RowKey {
        RowKey { doc: DocNo(doc), version: VersionNo(version), chunk }
    }

    fn version(doc: u32, version: u32, seq: u64, chunks: u32) -> IndexedVersion {
        IndexedVersion { doc: DocNo(doc), version: VersionNo(version), seq: Seq(seq), chunks }
    }

    #[test]
    fn rows_are_found_missing_waiting_dead_or_there_twice() {
        let versions = [version(0, 2, 5, 2), version(3, 1, 4, 3), version(4, 1, 9, 1), version(5, 1, 2, 0)];
        let rows = [key(0, 1, 0), key(0, 2, 0), key(0, 2, 1), key(0, 2, 1), key(3, 1, 1), key(8, 1, 0)];
        let counts = count(&rows, Seq(5), &versions);
        let wanted = RowCounts { catalog: 6, found: 3, missing: 2, waiting: 1, dead: 2, twice: 1 };
        assert_eq!((counts, counts.complete_percent()), (wanted, 50.0));
        assert_eq!(count(&[], Seq(0), &[]).complete_percent(), 100.0);
    }

    #[test]
    fn all_but_one_of_many_is_not_all() {
        let counts = RowCounts { catalog: 1_000_000, found: 999_999, ..RowCounts::default() };
        assert_eq!(counts.complete_percent(), 99.9);
    }
}
