//! The open generations of all tenants: opened once, shared, and closed when others were asked for more lately.
//!
//! Promises: of one generation there is at most one open at a time, however many ask for it at once; at most a set
//! number are kept open for nobody; opening one does not hold up the others.
//! Does not: close one that somebody still holds. Such a one is found again rather than opened a second time.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use catena_access::Scope;
use catena_domain::{GenerationId, RecipeId, TenantId};
use lru::LruCache;

use crate::disk;
use crate::error::IndexError;
use crate::generation::Generation;
use crate::manifest::Identity;

/// What follows a generation's name when it was put aside, before its number.
const DAMAGED: &str = "damaged";
/// What follows a generation's name while it is being removed.
const DISCARDED: &str = "discarded";
/// Longest vector, in numbers.
const DIMENSION_MAX: usize = 16_384;
/// Places of generations that nobody holds are forgotten when there are this many more than may be open.
const IDLE_PLACES: usize = 64;

type Key = (TenantId, GenerationId);
/// The one place of a generation: whoever opens, closes or moves it holds the lock.
type Place = Arc<Mutex<Weak<Generation>>>;

/// All tenants' indexes below one folder.
#[derive(Debug)]
pub struct Index {
    root: PathBuf,
    open_max: NonZeroUsize,
    open: Mutex<Open>,
}

/// What to do when a generation is not on the disk. Looked up under the lock of its place, so that one which is being
/// discarded is not begun anew by a reader.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WhenAbsent {
    Begin,
    Leave,
}

#[derive(Debug)]
struct Open {
    recent: LruCache<Key, Arc<Generation>>,
    places: HashMap<Key, Place>,
}

impl Index {
    /// The indexes below `root`, of which at most `open_max` are kept open for nobody.
    #[must_use]
    pub fn new(root: PathBuf, open_max: NonZeroUsize) -> Self {
        let open = Open { recent: LruCache::new(open_max), places: HashMap::new() };
        Self { root, open_max, open: Mutex::new(open) }
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
        self.obtain(scope, id, recipe, dimension, WhenAbsent::Leave)
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
        let _evicted = self.open().recent.push(key, Arc::clone(&generation));
        Ok(Some(generation))
    }

    /// Puts a damaged generation aside under another name, and says which. It counts as absent from then on.
    pub fn quarantine(&self, scope: &Scope, id: &GenerationId) -> Result<PathBuf, IndexError> {
        let key = (scope.tenant().clone(), id.clone());
        let place = self.place(&key);
        let mut held = place.lock().unwrap_or_else(PoisonError::into_inner);
        self.close(&key, &mut held);
        let (folder, tenant) = (self.folder(&key), self.tenant(&key.0));
        if !folder.is_dir() {
            return Err(IndexError::Absent { generation: id.to_string() });
        }
        let taken = disk::names(&tenant)?;
        let name = |number: usize| format!("{id}.{DAMAGED}-{number}");
        let free = (1..=taken.len()).find(|&number| !taken.contains(&name(number))).unwrap_or(taken.len() + 1);
        let aside = tenant.join(name(free));
        disk::rename(&folder, &aside)?;
        disk::sync_folder(&tenant)?;
        Ok(aside)
    }

    /// Removes a retired generation with all that was put aside of it. Nothing there is fine.
    pub fn discard(&self, scope: &Scope, id: &GenerationId) -> Result<(), IndexError> {
        let key = (scope.tenant().clone(), id.clone());
        let place = self.place(&key);
        let mut held = place.lock().unwrap_or_else(PoisonError::into_inner);
        self.close(&key, &mut held);
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
        Ok(())
    }

    /// Removes every generation of the scope's tenant that was put aside, and what is left of removed ones.
    pub fn discard_aside(&self, scope: &Scope) -> Result<(), IndexError> {
        let tenant = self.tenant(scope.tenant());
        for name in disk::names(&tenant)?.into_iter().filter(|name| base(name) != name.as_str()) {
            disk::remove(&tenant.join(name))?;
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
    fn close(&self, key: &Key, held: &mut Weak<Generation>) {
        let popped = self.open().recent.pop(key);
        if let Some(generation) = popped.or_else(|| held.upgrade()) {
            generation.close();
        }
        *held = Weak::new();
    }

    fn recent(&self, key: &Key) -> Option<Arc<Generation>> {
        self.open().recent.get(key).filter(|generation| !generation.is_closed()).cloned()
    }

    fn place(&self, key: &Key) -> Place {
        let mut open = self.open();
        if open.places.len() > self.open_max.get().saturating_add(IDLE_PLACES) {
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

/// The generation's name in the name of a folder.
fn base(name: &str) -> &str {
    name.split_once('.').map_or(name, |(base, _)| base)
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
