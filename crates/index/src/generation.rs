//! A tenant's index under one recipe: segments behind one manifest, changed by publishing and merging alone.
//!
//! One change at a time, each durable as a whole before anybody sees it. Readers take a snapshot and wait for nothing.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use catena_domain::{DocNo, GenerationId, RecipeId, Seq, VersionNo};

use crate::aside;
use crate::disk;
use crate::error::IndexError;
use crate::live::LiveTable;
use crate::manifest::{self, Cut, Identity, Loss, Manifest, SegmentEntry};
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

/// What an open generation takes of what a process has little of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Footprint {
    pub(crate) bytes: u64,
    pub(crate) maps: usize,
}

impl Footprint {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, maps: self.maps + other.maps }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_sub(other.bytes), maps: self.maps.saturating_sub(other.maps) }
    }
}

/// What only the one who changes the generation needs.
#[derive(Debug)]
struct Writer {
    manifest: Manifest,
    /// The number of the next segment. Never used twice, also not after a failure.
    next: u64,
}

impl Generation {
    /// Opens the generation in `folder`, verifying every byte of it; begins an empty one when nothing is there. A segment
    /// that is damaged is put aside, and the manifest says so before anybody reads the others.
    pub(crate) fn open(folder: PathBuf, identity: Identity) -> Result<Self, IndexError> {
        let manifest = match manifest::read(&folder)? {
            Some(manifest) => manifest,
            None => begin(&folder, Manifest::empty(&identity))?,
        };
        Self::open_as(folder, identity, manifest)
    }

    /// Begins the generation in `folder` again, after all that was there has been put aside.
    pub(crate) fn begin_again(folder: PathBuf, identity: Identity) -> Result<Self, IndexError> {
        let manifest = begin(&folder, Manifest::empty_after_loss(&identity))?;
        Self::open_as(folder, identity, manifest)
    }

    fn open_as(folder: PathBuf, identity: Identity, manifest: Manifest) -> Result<Self, IndexError> {
        manifest.check(&manifest::path(&folder), &identity)?;
        let (segments, damaged) = open_segments(&folder, &manifest, identity.dimension)?;
        let manifest = if damaged.is_empty() { manifest } else { without(&folder, manifest, &damaged)? };
        sweep(&folder, &manifest)?;
        let identity = Arc::new(identity);
        let snapshot = Snapshot::new(Arc::clone(&identity), manifest.applied_seq(), segments, manifest.loss.clone());
        let next = next_number(&manifest);
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

    /// Says that every row which was lost is there again. Durable when it returns; nothing was lost is fine.
    pub fn mended(&self) -> Result<(), IndexError> {
        let mut writer = self.writer()?;
        if writer.manifest.loss.is_none() {
            return Ok(());
        }
        let manifest = Manifest { loss: None, ..writer.manifest.clone() };
        let segments = self.snapshot().segments().to_vec();
        self.replace(&mut writer, manifest, segments)
    }

    /// What it takes of the process while it is open.
    pub(crate) fn footprint(&self) -> Footprint {
        let snapshot = self.snapshot();
        let files = snapshot.segments().iter().flat_map(|segment| &segment.entry().files);
        files.fold(Footprint::default(), |sum, file| sum.plus(Footprint { bytes: file.bytes, maps: 1 }))
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

    /// Whether anybody but the caller still reads it, or a state that it had.
    #[must_use]
    pub fn has_readers(self: &Arc<Self>) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        // The generation and its current state have one each.
        Arc::strong_count(self) > 1 || Arc::strong_count(&current) > 1 || Arc::strong_count(&self.identity) > 2
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
        self.replace(writer, manifest, segments)
    }

    fn replace(&self, writer: &mut Writer, manifest: Manifest, segments: Vec<Arc<Segment>>) -> Result<(), IndexError> {
        match manifest::publish(&self.folder, &manifest) {
            Ok(()) => {}
            Err(Cut::Before(error)) => return Err(error),
            Err(Cut::Unknown(error)) => {
                // The disk may hold either manifest. Whoever goes on must first read which.
                self.closed.store(true, Ordering::Release);
                return Err(error);
            }
        }
        let (applied, loss) = (manifest.applied_seq(), manifest.loss.clone());
        writer.manifest = manifest;
        let snapshot = Arc::new(Snapshot::new(Arc::clone(&self.identity), applied, segments, loss));
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

/// The segments that the manifest names, and the entries of those that are damaged. What may be better the next time,
/// as when the process has no descriptor left, is an error and no damage.
fn open_segments(
    folder: &Path,
    manifest: &Manifest,
    dimension: usize,
) -> Result<(Vec<Arc<Segment>>, Vec<SegmentEntry>), IndexError> {
    let (mut segments, mut damaged) = (Vec::with_capacity(manifest.segments.len()), Vec::new());
    for entry in &manifest.segments {
        match Segment::open(folder, entry, dimension) {
            Ok(segment) => segments.push(Arc::new(segment)),
            Err(error) if error.is_damage() => {
                let (tenant, generation) = (&manifest.tenant, &manifest.generation);
                tracing::error!(%tenant, %generation, segment = %entry.name, rows = entry.rows, %error,
                    "a damaged segment is put aside; its rows are brought back from the catalog, the others are served");
                damaged.push(entry.clone());
            }
            Err(error) => return Err(error),
        }
    }
    Ok((segments, damaged))
}

/// Puts the damaged segments aside, then makes a manifest without them the one in `folder`. In this order, because what
/// no manifest names is swept away.
fn without(folder: &Path, manifest: Manifest, damaged: &[SegmentEntry]) -> Result<Manifest, IndexError> {
    for entry in damaged.iter().filter(|entry| segment::number(&entry.name).is_some()) {
        aside::put(folder, &entry.name)?;
    }
    let before = manifest.loss.clone().unwrap_or(Loss { segments: Vec::new(), rows: 0 });
    let loss = Loss {
        segments: before.segments.into_iter().chain(damaged.iter().map(|entry| entry.name.clone())).collect(),
        rows: before.rows + damaged.iter().map(|entry| u64::from(entry.rows)).sum::<u64>(),
    };
    let healthy = manifest.segments.iter().filter(|entry| !damaged.contains(entry)).cloned().collect();
    let manifest = Manifest { segments: healthy, loss: Some(loss), ..manifest };
    manifest::publish(folder, &manifest).map_err(|(Cut::Before(error) | Cut::Unknown(error))| error)?;
    Ok(manifest)
}

/// A number that no segment has, and none that was put aside.
fn next_number(manifest: &Manifest) -> u64 {
    let there = manifest.segments.iter().map(|entry| &entry.name);
    let lost = manifest.loss.iter().flat_map(|loss| &loss.segments);
    there.chain(lost).filter_map(|name| segment::number(name)).max().map_or(0, |number| number + 1)
}

/// Makes `manifest`, which names no segment, the first one in `folder`, which must hold none: those would have had one.
fn begin(folder: &Path, manifest: Manifest) -> Result<Manifest, IndexError> {
    if disk::names(folder)?.iter().any(|name| segment::number(name).is_some()) {
        return Err(IndexError::corrupt(&manifest::path(folder), "it is missing, although there are segments"));
    }
    disk::make_folder(folder)?;
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
