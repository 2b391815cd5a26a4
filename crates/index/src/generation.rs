//! A tenant's index under one recipe: segments behind one manifest, changed by publishing and merging alone.
//!
//! One change at a time, each durable as a whole before anybody sees it. Readers take a snapshot and wait for nothing.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use catena_domain::{DocNo, GenerationId, RecipeId, Seq, VersionNo};

use crate::disk;
use crate::error::IndexError;
use crate::live::LiveTable;
use crate::manifest::{self, Cut, Identity, Manifest, SegmentEntry};
use crate::merge::{self, MergePlan};
use crate::row::{RowInput, RowKey};
use crate::segment::{self, ROWS_MAX, Segment};
use crate::snapshot::Snapshot;
use crate::write::{self, Part, Place};

/// A generation, open.
#[derive(Debug)]
pub struct Generation {
    identity: Arc<Identity>,
    folder: PathBuf,
    writer: Mutex<Writer>,
    /// Held by the one who merges.
    merging: Mutex<()>,
    current: RwLock<Arc<Snapshot>>,
    closed: AtomicBool,
}

/// What only the one who changes the generation needs.
#[derive(Debug)]
struct Writer {
    manifest: Manifest,
    /// The number of the next segment. Never used twice, also not after a failure.
    next: u64,
}

impl Generation {
    /// Opens the generation in `folder`, verifying every byte of it; begins an empty one when nothing is there.
    pub(crate) fn open(folder: PathBuf, identity: Identity) -> Result<Self, IndexError> {
        let manifest = match manifest::read(&folder)? {
            Some(manifest) => manifest,
            None => begin(&folder, &identity)?,
        };
        manifest.check(&manifest::path(&folder), &identity)?;
        let open = |entry| Segment::open(&folder, entry, identity.dimension).map(Arc::new);
        let segments = manifest.segments.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        sweep(&folder, &manifest)?;
        let next = manifest.segments.iter().filter_map(|entry| segment::number(&entry.name)).max().map_or(0, |n| n + 1);
        let identity = Arc::new(identity);
        let snapshot = Snapshot::new(Arc::clone(&identity), manifest.applied_seq(), segments);
        Ok(Self {
            identity,
            folder,
            writer: Mutex::new(Writer { manifest, next }),
            merging: Mutex::new(()),
            current: RwLock::new(Arc::new(snapshot)),
            closed: AtomicBool::new(false),
        })
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &GenerationId {
        &self.identity.generation
    }

    /// The recipe that its vectors are made by.
    #[must_use]
    pub fn recipe(&self) -> &RecipeId {
        &self.identity.recipe
    }

    /// How many numbers a vector has.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.identity.dimension
    }

    /// The last write that a search finds.
    #[must_use]
    pub fn applied_seq(&self) -> Seq {
        self.snapshot().applied_seq()
    }

    /// How many segments it has.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.snapshot().segments().len()
    }

    /// The generation as it is now. Never waits for a change to be written.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds rows, usually as one segment, and moves the applied seq; without rows, only the latter. A row that is there already
    /// is left out, so a publication may be made again. Durable and visible to new snapshots when it returns.
    pub fn publish(&self, rows: Vec<RowInput>, upto: Seq) -> Result<(), IndexError> {
        let mut writer = self.writer()?;
        let snapshot = self.snapshot();
        if upto < snapshot.applied_seq() {
            return Err(IndexError::Order { applied: snapshot.applied_seq(), upto });
        }
        let rows = new_rows(snapshot.segments(), rows);
        if rows.is_empty() && upto == snapshot.applied_seq() {
            return Ok(());
        }
        let mut segments = snapshot.segments().to_vec();
        segments.extend(self.write(&mut writer, rows)?);
        self.install(&mut writer, upto, segments)
    }

    /// What a merge should do now, if anything. `live` must be at the applied seq or later.
    #[must_use]
    pub fn merge_plan(&self, live: &LiveTable) -> Option<MergePlan> {
        merge::plan(&self.snapshot(), live)
    }

    /// What a merge must do so that nothing of the named documents stays, up to a version each; `None` when nothing of
    /// them is there. To be asked again until it is.
    #[must_use]
    pub fn erasure_plan(&self, gone: &BTreeMap<DocNo, VersionNo>) -> Option<MergePlan> {
        merge::erasure(&self.snapshot(), gone)
    }

    /// Replaces the plan's segments by one that holds the rows of the plan's documents. Readers of older snapshots keep
    /// theirs; publications go on while the new segment is written. One merge at a time.
    pub fn merge(&self, plan: &MergePlan) -> Result<(), IndexError> {
        let _one = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.planned(plan)?;
        let kept: HashSet<_> = plan.documents.iter().copied().collect();
        let parts: Vec<Part<'_>> = old.iter().map(|segment| part(segment, &kept)).collect();
        let merged = match parts.iter().map(Part::count).sum::<usize>() {
            0 => None,
            _ => {
                let name = self.next_name(&mut *self.writer()?);
                Some(self.written(&name, |place| write::from_segments(place, &parts))?)
            }
        };
        let mut writer = self.writer()?;
        self.planned(plan)?;
        let snapshot = self.snapshot();
        let names: HashSet<&str> = plan.segments.iter().map(String::as_str).collect();
        let stays = |segment: &&Arc<Segment>| !names.contains(segment.entry().name.as_str());
        let mut segments: Vec<_> = snapshot.segments().iter().filter(stays).cloned().collect();
        segments.extend(merged);
        self.install(&mut writer, snapshot.applied_seq(), segments)?;
        for segment in old {
            // The manifest no longer names it; what cannot be removed now is removed at the next opening.
            if let Err(error) = disk::remove(&self.folder.join(&segment.entry().name)) {
                tracing::warn!(tenant = %self.identity.tenant, %error, "a merged segment stays on the disk");
            }
        }
        Ok(())
    }

    /// The segments that a plan names, all of which are still there.
    fn planned(&self, plan: &MergePlan) -> Result<Vec<Arc<Segment>>, IndexError> {
        let snapshot = self.snapshot();
        let find = |name: &String| {
            let found = snapshot.segments().iter().find(|segment| segment.entry().name == *name);
            found.cloned().ok_or_else(|| IndexError::StalePlan { segment: name.clone() })
        };
        plan.segments.iter().map(find).collect()
    }

    /// Turns away every later change. A publication that is under way is waited for, and a merge until it notices: nothing
    /// is written to the folder afterwards.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        drop(self.merging.lock().unwrap_or_else(PoisonError::into_inner));
        drop(self.writer.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    fn writer(&self) -> Result<MutexGuard<'_, Writer>, IndexError> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed() { Err(IndexError::Closed { generation: self.id().to_string() }) } else { Ok(writer) }
    }

    /// Writes rows as segments that nothing names yet. None for no rows.
    fn write(&self, writer: &mut Writer, mut rows: Vec<RowInput>) -> Result<Vec<Arc<Segment>>, IndexError> {
        write::sort(&mut rows)?;
        let mut segments = Vec::new();
        for rows in rows.chunks(ROWS_MAX) {
            let name = self.next_name(writer);
            segments.push(self.written(&name, |place| write::from_rows(place, rows))?);
        }
        Ok(segments)
    }

    fn next_name(&self, writer: &mut Writer) -> String {
        let name = segment::name(writer.next);
        writer.next += 1;
        name
    }

    /// Opens what `write` has written, as a later reader would.
    fn written(
        &self,
        name: &str,
        write: impl FnOnce(Place<'_>) -> Result<SegmentEntry, IndexError>,
    ) -> Result<Arc<Segment>, IndexError> {
        let place = Place { generation: &self.folder, name, dimension: self.dimension(), closed: &self.closed };
        let written = write(place).and_then(|entry| Segment::open(&self.folder, &entry, self.dimension()));
        if written.is_err() {
            // Best effort: the next opening removes it too.
            let _ = disk::remove(&self.folder.join(name));
        }
        written.map(Arc::new)
    }

    /// Makes `segments` at `applied` what the generation is, first on the disk, then for readers.
    fn install(&self, writer: &mut Writer, applied: Seq, segments: Vec<Arc<Segment>>) -> Result<(), IndexError> {
        let manifest = Manifest {
            applied_seq: applied.0,
            segments: segments.iter().map(|segment| segment.entry().clone()).collect(),
            ..writer.manifest.clone()
        };
        match manifest::publish(&self.folder, &manifest) {
            Ok(()) => {}
            Err(Cut::Before(error)) => return Err(error),
            Err(Cut::Unknown(error)) => {
                // The disk may hold either manifest. Whoever goes on must first read which.
                self.closed.store(true, Ordering::Release);
                return Err(error);
            }
        }
        writer.manifest = manifest;
        let snapshot = Arc::new(Snapshot::new(Arc::clone(&self.identity), applied, segments));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = snapshot;
        Ok(())
    }
}

/// What a merge takes of a segment: its rows of the versions in `kept`, in their order.
fn part<'a>(segment: &'a Segment, kept: &HashSet<(DocNo, VersionNo)>) -> Part<'a> {
    let runs = segment.columns().runs().iter().filter(|run| kept.contains(&(run.doc(), run.version())));
    let mut rows: Vec<_> = runs.map(|run| run.rows()).collect();
    rows.sort_unstable_by_key(|rows| rows.start);
    Part { segment, rows }
}

/// `rows` without those that `segments` hold.
fn new_rows(segments: &[Arc<Segment>], mut rows: Vec<RowInput>) -> Vec<RowInput> {
    let held = |key: RowKey| segments.iter().any(|segment| segment.has(key));
    rows.retain(|row| !held(row.key()));
    rows
}

/// Begins an empty generation in `folder`, which must hold no segment: those would have had a manifest.
fn begin(folder: &Path, identity: &Identity) -> Result<Manifest, IndexError> {
    if disk::names(folder)?.iter().any(|name| segment::number(name).is_some()) {
        return Err(IndexError::corrupt(&manifest::path(folder), "it is missing, although there are segments"));
    }
    disk::make_folder(folder)?;
    let manifest = Manifest::empty(identity);
    manifest::publish(folder, &manifest).map_err(|(Cut::Before(error) | Cut::Unknown(error))| error)?;
    Ok(manifest)
}

/// Removes what a publication that was cut off has left.
fn sweep(folder: &Path, manifest: &Manifest) -> Result<(), IndexError> {
    let named: HashSet<&str> = manifest.segments.iter().map(|entry| entry.name.as_str()).collect();
    for name in disk::names(folder)? {
        let is_stray = segment::number(&name).is_some() && !named.contains(name.as_str());
        if is_stray || manifest::is_leftover(&name) {
            disk::remove(&folder.join(&name))?;
        }
    }
    Ok(())
}
