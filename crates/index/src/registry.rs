//! The open generations of all tenants: opened once, shared, and closed when others were asked for more lately.
//!
//! Promises: of one generation there is at most one open at a time, however many ask for it at once; what is kept open
//! for nobody stays within [`OpenLimits`]; opening one does not hold up the others; one that is not open has no thread, no
//! timer, no descriptor and no map; whose generation was found damaged is remembered until somebody asks.
//! Does not: close one that somebody still holds. Such a one is found again rather than opened a second time. Mend.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use catena_access::Scope;
use catena_domain::{GenerationId, RecipeId, Seq, TenantId};
use lru::LruCache;

use crate::aside::{self, base};
use crate::disk;
use crate::error::IndexError;
use crate::generation::{Footprint, Generation};
use crate::inspect::{self, Inspection};
use crate::manifest::{self, Identity};

/// What follows a generation's name while it is being removed.
const DISCARDED: &str = "discarded";
/// Longest vector, in numbers.
const DIMENSION_MAX: usize = 16_384;
/// Places of generations that nobody holds are forgotten when there are this many more than may be open.
const IDLE_PLACES: usize = 64;

type Key = (TenantId, GenerationId);
/// The one place of a generation: whoever opens, closes or moves it holds the lock.
type Place = Arc<Mutex<Weak<Generation>>>;

/// How much is kept open for nobody, at most. What somebody holds counts as well, and is not closed for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenLimits {
    /// Generations.
    pub generations: NonZeroUsize,
    /// Bytes of their files. They are mapped, so the system has in memory what is used of them and gives it back when it
    /// must.
    pub mapped_bytes: u64,
    /// Memory maps, one for each file. Linux lets a process have 65,530 unless it is told otherwise.
    pub maps: usize,
}

impl OpenLimits {
    /// Half of the maps that Linux lets a process have, so that readers of closed generations find some.
    pub const MAPS: usize = 32_768;
    /// More than most machines have memory: the system itself decides what of it stays there.
    pub const MAPPED_BYTES: u64 = 256 * 1024 * 1024 * 1024;

    fn admit(&self, held: Footprint) -> bool {
        held.bytes <= self.mapped_bytes && held.maps <= self.maps
    }
}

impl From<NonZeroUsize> for OpenLimits {
    fn from(generations: NonZeroUsize) -> Self {
        Self { generations, mapped_bytes: Self::MAPPED_BYTES, maps: Self::MAPS }
    }
}

/// All tenants' indexes below one folder.
#[derive(Debug)]
pub struct Index {
    root: PathBuf,
    limits: OpenLimits,
    open: Mutex<Open>,
}

/// What to do when a generation is not on the disk. Looked up under the lock of its place, so that one which is being
/// discarded is not begun anew by a reader.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WhenAbsent {
    Begin,
    Leave,
}

/// A generation as its manifest has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance {
    /// The last write that it includes.
    pub applied_seq: Seq,
    /// Whether rows were lost to damage and are not back yet.
    pub lacks_rows: bool,
}

/// A generation that is kept open, and what it took when it was last asked for.
#[derive(Debug)]
struct Kept {
    generation: Arc<Generation>,
    footprint: Footprint,
}

#[derive(Debug)]
struct Open {
    recent: LruCache<Key, Kept>,
    /// What all of `recent` take together.
    held: Footprint,
    places: HashMap<Key, Place>,
    /// Whose generation lacks rows, or cannot be read, or is not there.
    unwell: BTreeSet<TenantId>,
}

impl Open {
    /// The generation, if it is kept; from now on it is the one that was asked for last.
    fn asked(&mut self, key: &Key) -> Option<Arc<Generation>> {
        let kept = self.recent.get_mut(key)?;
        let footprint = kept.generation.footprint();
        self.held = self.held.minus(kept.footprint).plus(footprint);
        kept.footprint = footprint;
        Some(Arc::clone(&kept.generation))
    }

    /// Keeps a generation, and gives what has to go for it, the one that was not asked for the longest first.
    fn keep(&mut self, key: Key, generation: &Arc<Generation>, limits: &OpenLimits) -> Vec<Kept> {
        let footprint = generation.footprint();
        self.held = self.held.plus(footprint);
        let kept = Kept { generation: Arc::clone(generation), footprint };
        let mut gone: Vec<Kept> = self.recent.push(key, kept).into_iter().map(|(_, kept)| kept).collect();
        self.held = gone.iter().fold(self.held, |held, kept| held.minus(kept.footprint));
        while !limits.admit(self.held) && self.recent.len() > 1 {
            let Some((_, kept)) = self.recent.pop_lru() else { break };
            self.held = self.held.minus(kept.footprint);
            gone.push(kept);
        }
        gone
    }

    fn forget(&mut self, key: &Key) -> Option<Arc<Generation>> {
        let kept = self.recent.pop(key)?;
        self.held = self.held.minus(kept.footprint);
        Some(kept.generation)
    }
}

impl Index {
    /// The indexes below `root`, of which no more are kept open for nobody than the limits say.
    #[must_use]
    pub fn new(root: PathBuf, limits: impl Into<OpenLimits>) -> Self {
        let limits = limits.into();
        let open = Open {
            recent: LruCache::new(limits.generations),
            held: Footprint::default(),
            places: HashMap::new(),
            unwell: BTreeSet::new(),
        };
        Self { root, limits, open: Mutex::new(open) }
    }

    /// The tenants of whom a generation was found to lack rows, or not to be readable, since this was asked last. Whoever
    /// asks is to mend them.
    #[must_use]
    pub fn take_unwell(&self) -> Vec<TenantId> {
        let mut open = self.open();
        if open.unwell.is_empty() { Vec::new() } else { std::mem::take(&mut open.unwell).into_iter().collect() }
    }

    /// What the manifest of a generation says; `None` when there is none. Reads nothing else, so that many can be asked
    /// about at a start.
    pub fn glance(&self, scope: &Scope, id: &GenerationId) -> Result<Option<Glance>, IndexError> {
        let manifest = manifest::read(&self.folder(&(scope.tenant().clone(), id.clone())))?;
        let told = |manifest: manifest::Manifest| Glance {
            applied_seq: manifest.applied_seq(),
            lacks_rows: manifest.loss.is_some(),
        };
        Ok(manifest.map(told))
    }

    /// Looks at a generation as it lies on the disk, and at every byte of it, without changing anything; also while
    /// another process has it open. `None` when nothing of it is there.
    pub fn inspect(
        &self,
        scope: &Scope,
        id: &GenerationId,
        recipe: &RecipeId,
        dimension: usize,
    ) -> Result<Option<Inspection>, IndexError> {
        let identity =
            Identity { tenant: scope.tenant().clone(), generation: id.clone(), recipe: recipe.clone(), dimension };
        inspect::inspect(&self.folder(&(identity.tenant.clone(), identity.generation.clone())), &identity)
    }

    /// A generation of the scope's tenant: the open one, or the one on the disk once all of it has been verified, or a
    /// new, empty one. One of another recipe or dimension is refused.
    pub fn generation(
        &self,
        scope: &Scope,
        id: &GenerationId,
        recipe: &RecipeId,
        dimension: usize,
    ) -> Result<Arc<Generation>, IndexError> {
        let opened = self.obtain(scope, id, recipe, dimension, WhenAbsent::Begin)?;
        opened.ok_or_else(|| IndexError::Absent { generation: id.to_string() })
    }

    /// A generation that somebody has made, for those who only read: `None` when nothing of it is on the disk, as after a
    /// re-index has replaced it.
    pub fn existing(
        &self,
        scope: &Scope,
        id: &GenerationId,
        recipe: &RecipeId,
        dimension: usize,
    ) -> Result<Option<Arc<Generation>>, IndexError> {
        let found = self.obtain(scope, id, recipe, dimension, WhenAbsent::Leave);
        let is_unwell = match &found {
            Ok(found) => found.is_none(),
            Err(error) => error.is_damage(),
        };
        if is_unwell {
            self.open().unwell.insert(scope.tenant().clone());
        }
        found
    }

    fn obtain(
        &self,
        scope: &Scope,
        id: &GenerationId,
        recipe: &RecipeId,
        dimension: usize,
        when_absent: WhenAbsent,
    ) -> Result<Option<Arc<Generation>>, IndexError> {
        let identity =
            Identity { tenant: scope.tenant().clone(), generation: id.clone(), recipe: recipe.clone(), dimension };
        let key = (identity.tenant.clone(), identity.generation.clone());
        if let Some(generation) = self.recent(&key) {
            return matching(generation, &identity).map(Some);
        }
        let place = self.place(&key);
        let mut held = place.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = match held.upgrade().filter(|generation| !generation.is_closed()) {
            Some(generation) => matching(generation, &identity)?,
            None => {
                if dimension == 0 || dimension > DIMENSION_MAX {
                    return Err(IndexError::DimensionLimit { given: dimension, limit: DIMENSION_MAX });
                }
                let folder = self.folder(&key);
                if when_absent == WhenAbsent::Leave && !folder.is_dir() {
                    return Ok(None);
                }
                let generation = Arc::new(Generation::open(folder, identity)?);
                *held = Arc::downgrade(&generation);
                generation
            }
        };
        // What falls out of the cache is dropped after the lock is: closing maps takes a while.
        let _evicted = {
            let mut open = self.open();
            if generation.snapshot().lacks_rows() {
                open.unwell.insert(key.0.clone());
            }
            open.keep(key, &generation, &self.limits)
        };
        Ok(Some(generation))
    }

    /// Puts a damaged generation aside and begins it again, empty, with a note that it lacks rows. Says where the damaged
    /// one is.
    pub fn begin_again(
        &self,
        scope: &Scope,
        id: &GenerationId,
        recipe: &RecipeId,
        dimension: usize,
    ) -> Result<(PathBuf, Arc<Generation>), IndexError> {
        let identity =
            Identity { tenant: scope.tenant().clone(), generation: id.clone(), recipe: recipe.clone(), dimension };
        let key = (identity.tenant.clone(), identity.generation.clone());
        let place = self.place(&key);
        let mut held = place.lock().unwrap_or_else(PoisonError::into_inner);
        let aside = self.put_aside(&key, &mut held)?;
        let generation = Arc::new(Generation::begin_again(self.folder(&key), identity)?);
        *held = Arc::downgrade(&generation);
        Ok((aside, generation))
    }

    /// Puts a damaged generation aside under another name, and says which. It counts as absent from then on.
    pub fn quarantine(&self, scope: &Scope, id: &GenerationId) -> Result<PathBuf, IndexError> {
        let key = (scope.tenant().clone(), id.clone());
        let place = self.place(&key);
        let mut held = place.lock().unwrap_or_else(PoisonError::into_inner);
        self.put_aside(&key, &mut held)
    }

    fn put_aside(&self, key: &Key, held: &mut Weak<Generation>) -> Result<PathBuf, IndexError> {
        self.close(key, held);
        let aside = aside::put(&self.tenant(&key.0), key.1.as_str())?;
        aside.ok_or_else(|| IndexError::Absent { generation: key.1.to_string() })
    }

    /// Removes a retired generation with all that was put aside of it. Nothing there is fine. Gives the generation if
    /// somebody had it open: whoever reads it reads on.
    pub fn discard(&self, scope: &Scope, id: &GenerationId) -> Result<Option<Arc<Generation>>, IndexError> {
        let key = (scope.tenant().clone(), id.clone());
        let place = self.place(&key);
        let mut held = place.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = self.close(&key, &mut held);
        let (folder, tenant) = (self.folder(&key), self.tenant(&key.0));
        let doomed = tenant.join(format!("{id}.{DISCARDED}"));
        disk::remove(&doomed)?;
        if folder.is_dir() {
            // Renamed first, so that a removal which is cut off leaves no half of a generation under its name.
            disk::rename(&folder, &doomed)?;
            disk::sync_folder(&tenant)?;
        }
        let rest: Vec<String> = disk::names(&tenant)?.into_iter().filter(|name| base(name) == id.as_str()).collect();
        for name in rest {
            disk::remove(&tenant.join(name))?;
        }
        Ok(closed)
    }

    /// Removes every generation and every segment of the scope's tenant that was put aside, and what is left of removed
    /// ones.
    pub fn discard_aside(&self, scope: &Scope) -> Result<(), IndexError> {
        let tenant = self.tenant(scope.tenant());
        for name in disk::names(&tenant)? {
            let path = tenant.join(&name);
            if base(&name) == name { aside::discard(&path)? } else { disk::remove(&path)? }
        }
        Ok(())
    }

    /// Removes everything of the scope's tenant, open or on the disk. Nothing there is fine. Nobody may begin a generation
    /// of the tenant meanwhile.
    pub fn discard_all(&self, scope: &Scope) -> Result<(), IndexError> {
        let open: BTreeSet<GenerationId> = {
            let open = self.open();
            open.places.keys().filter(|(tenant, _)| tenant == scope.tenant()).map(|(_, id)| id.clone()).collect()
        };
        for id in open.into_iter().chain(self.generations_on_disk(scope)?) {
            self.discard(scope, &id)?;
        }
        disk::remove(&self.tenant(scope.tenant()))?;
        if self.root.is_dir() {
            disk::sync_folder(&self.root)?;
        }
        self.open().places.retain(|(tenant, _), _| tenant != scope.tenant());
        Ok(())
    }

    /// Every generation of the scope's tenant of which anything is on the disk, put aside or half removed included.
    pub fn generations_on_disk(&self, scope: &Scope) -> Result<Vec<GenerationId>, IndexError> {
        let names = disk::names(&self.tenant(scope.tenant()))?;
        let found: BTreeSet<GenerationId> =
            names.iter().filter_map(|name| GenerationId::new(base(name)).ok()).collect();
        Ok(found.into_iter().collect())
    }

    /// Closes the open generation, if there is one: whoever holds it can read on, and not write.
    fn close(&self, key: &Key, held: &mut Weak<Generation>) -> Option<Arc<Generation>> {
        let popped = self.open().forget(key);
        let closed = popped.or_else(|| held.upgrade());
        if let Some(generation) = &closed {
            generation.close();
        }
        *held = Weak::new();
        closed
    }

    fn recent(&self, key: &Key) -> Option<Arc<Generation>> {
        self.open().asked(key).filter(|generation| !generation.is_closed())
    }

    fn place(&self, key: &Key) -> Place {
        let mut open = self.open();
        if open.places.len() > self.limits.generations.get().saturating_add(IDLE_PLACES) {
            open.places.retain(|_, place| {
                let busy = Arc::strong_count(place) > 1;
                busy || place.lock().unwrap_or_else(PoisonError::into_inner).strong_count() > 0
            });
        }
        Arc::clone(open.places.entry(key.clone()).or_default())
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tenant(&self, tenant: &TenantId) -> PathBuf {
        self.root.join(tenant.as_str())
    }

    fn folder(&self, (tenant, generation): &Key) -> PathBuf {
        self.tenant(tenant).join(generation.as_str())
    }
}

/// An open generation, if it is what was asked for.
fn matching(generation: Arc<Generation>, wanted: &Identity) -> Result<Arc<Generation>, IndexError> {
    let found = generation.identity();
    if found.recipe != wanted.recipe {
        return Err(IndexError::Recipe { index: found.recipe.clone(), given: wanted.recipe.clone() });
    }
    if found.dimension != wanted.dimension {
        return Err(IndexError::Dimension { index: found.dimension, given: wanted.dimension });
    }
    Ok(generation)
}
