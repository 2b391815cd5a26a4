//! Cuts at every step of a publication and of a merge: by a killed process, and by a power cut that takes with it all
//! that was not synced.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use super::*;
use crate::disk::{Step, WATCH};

type Image = BTreeMap<PathBuf, Vec<u8>>;

/// A change of a folder's names that no sync has made durable.
#[derive(Clone)]
enum Pending {
    Add(PathBuf, usize),
    AddFolder(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

/// A disk that forgets at a power cut whatever was not synced: names and contents alike.
#[derive(Default)]
struct Disk {
    contents: Vec<Vec<u8>>,
    synced: BTreeSet<usize>,
    names: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    folders: BTreeSet<PathBuf>,
    pending: Vec<(PathBuf, Pending)>,
}

impl Disk {
    /// A disk on which everything below `root` is durable.
    fn of(root: &Path) -> Self {
        let mut disk = Self { folders: BTreeSet::from([root.to_owned()]), ..Self::default() };
        for (name, content) in files(root) {
            let path = root.join(name);
            disk.folders.extend(path.ancestors().skip(1).take_while(|folder| *folder != root).map(Path::to_owned));
            disk.synced.insert(disk.contents.len());
            disk.names.insert(path.clone(), disk.contents.len());
            disk.durable.insert(path, disk.contents.len());
            disk.contents.push(content);
        }
        disk
    }

    fn see(&mut self, step: &Step<'_>) {
        let parent = |path: &Path| path.parent().unwrap().to_owned();
        match step {
            Step::Made(path) => self.pending.push((parent(path), Pending::AddFolder(path.to_path_buf()))),
            Step::Wrote(path) => {
                let file = self.contents.len();
                self.contents.push(std::fs::read(path).unwrap());
                self.names.insert(path.to_path_buf(), file);
                self.pending.push((parent(path), Pending::Add(path.to_path_buf(), file)));
            }
            Step::SyncedFile(path) => {
                self.synced.insert(self.names[*path]);
            }
            Step::Renamed(from, to) => {
                moved(&mut self.names, from, to);
                self.pending.push((parent(to), Pending::Rename(from.to_path_buf(), to.to_path_buf())));
            }
            Step::Removed(path) => {
                self.names.retain(|name, _| !name.starts_with(path));
                self.pending.push((parent(path), Pending::Remove(path.to_path_buf())));
            }
            Step::SyncedFolder(folder) => self.settle(folder),
        }
    }

    fn settle(&mut self, folder: &Path) {
        let (now, later) = std::mem::take(&mut self.pending).into_iter().partition(|(parent, _)| parent == folder);
        self.pending = later;
        let now: Vec<(PathBuf, Pending)> = now;
        for (_, change) in now {
            match change {
                Pending::Add(path, file) => {
                    self.durable.insert(path, file);
                }
                Pending::AddFolder(path) => {
                    self.folders.insert(path);
                }
                Pending::Rename(from, to) => {
                    moved(&mut self.durable, &from, &to);
                    let folders = std::mem::take(&mut self.folders).into_iter();
                    self.folders = folders.map(|path| renamed(&path, &from, &to).unwrap_or(path)).collect();
                }
                Pending::Remove(path) => {
                    self.durable.retain(|name, _| !name.starts_with(&path));
                    self.folders.retain(|name| !name.starts_with(&path));
                }
            }
        }
    }

    /// What a power cut leaves below `root`: durable names, with half of each content that was not synced.
    fn after_power_cut(&self, root: &Path) -> Image {
        let reachable = |path: &Path| {
            path.ancestors().skip(1).take_while(|folder| *folder != root).all(|folder| self.folders.contains(folder))
        };
        let left = self.durable.iter().filter(|(path, _)| reachable(path)).map(|(path, file)| {
            let content = &self.contents[*file];
            let kept = if self.synced.contains(file) { content.len() } else { content.len() / 2 };
            (path.strip_prefix(root).unwrap().to_owned(), content[..kept].to_vec())
        });
        left.collect()
    }
}

/// The new name of what was renamed, or of what lies in a folder that was.
fn renamed(path: &Path, from: &Path, to: &Path) -> Option<PathBuf> {
    let rest = path.strip_prefix(from).ok()?;
    Some(if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) })
}

fn moved(names: &mut BTreeMap<PathBuf, usize>, from: &Path, to: &Path) {
    let new: Vec<(PathBuf, PathBuf)> =
        names.keys().filter_map(|path| Some((path.clone(), renamed(path, from, to)?))).collect();
    assert!(!new.is_empty(), "{} was not there", from.display());
    for (old, new) in new {
        let file = names.remove(&old).unwrap();
        names.insert(new, file);
    }
}

/// The folder as it may be found after each step of `work`, killed and cut off from power.
fn images(root: &Path, work: impl FnOnce()) -> Vec<(String, Image)> {
    let disk = Rc::new(RefCell::new(Disk::of(root)));
    let images = Rc::new(RefCell::new(Vec::new()));
    let (seen, kept, folder) = (Rc::clone(&disk), Rc::clone(&images), root.to_owned());
    WATCH.set(Some(Box::new(move |step| {
        let mut disk = seen.borrow_mut();
        disk.see(&step);
        let at = kept.borrow().len() / 2 + 1;
        kept.borrow_mut().push((format!("killed after step {at}"), files(&folder)));
        kept.borrow_mut().push((format!("power cut after step {at}"), disk.after_power_cut(&folder)));
    })));
    work();
    WATCH.set(None);
    images.take()
}

/// What a generation restored from an image holds: its seq, rows and answer.
fn restored(image: &Image, table: &LiveTable) -> (Seq, usize, Vec<RowKey>) {
    let fixture = Fixture::of(image);
    let generation = fixture.generation();
    let snapshot = generation.snapshot();
    let found = keys(&words(&snapshot, table, "key"));
    // What was restored can be written to again.
    generation.publish(vec![row(99, 1, 0, "more")], Seq(99)).unwrap();
    assert_eq!(generation.snapshot().rows(), snapshot.rows() + 1);
    let names = crate::disk::names(&fixture.path()).unwrap();
    let left = names.iter().filter(|name| !name.contains("damaged")).count();
    assert_eq!(left, generation.segments() + 1, "what was cut off is cleared away");
    (snapshot.applied_seq(), snapshot.rows(), found)
}

#[test]
fn a_publication_cut_off_at_any_step_leaves_the_state_before_it_or_after_it() {
    let fixture = Fixture::new();
    let generation = fixture.generation();
    generation.publish(vec![row(0, 1, 0, "key")], Seq(1)).unwrap();
    let table = all_open(2, &[(0, 1), (1, 1)]);
    let before = (Seq(1), 1, vec![key(0, 1, 0)]);
    let after = (Seq(2), 2, vec![key(0, 1, 0), key(1, 1, 0)]);
    let images = images(&fixture.path(), || generation.publish(vec![row(1, 1, 0, "key")], Seq(2)).unwrap());
    assert!(images.len() > 20, "{} images", images.len());
    let mut published = false;
    for (moment, image) in &images {
        let state = restored(image, &table);
        assert!(state == before || state == after, "{moment}: {state:?}");
        published |= state == after;
    }
    assert!(published);
    for (moment, image) in &images[images.len() - 2..] {
        assert_eq!(restored(image, &table), after, "{moment}: an acknowledged publication was lost");
    }
}

#[test]
fn a_merge_cut_off_at_any_step_loses_no_live_row() {
    let fixture = Fixture::new();
    let generation = fixture.generation();
    let documents: Vec<(u32, u32)> = (0..8).map(|doc| (doc, 1)).collect();
    for &(doc, _) in &documents {
        generation.publish(vec![row(doc, 1, 0, "key")], Seq(u64::from(doc) + 1)).unwrap();
    }
    let table = all_open(8, &documents);
    let plan = generation.merge_plan(&table).unwrap();
    let want: Vec<RowKey> = documents.iter().map(|&(doc, _)| key(doc, 1, 0)).collect();
    let images = images(&fixture.path(), || generation.merge(&plan).unwrap());
    for (moment, image) in &images {
        let (seq, rows, found) = restored(image, &table);
        assert_eq!((seq, rows), (Seq(8), 8), "{moment}");
        assert_eq!(found, want, "{moment}");
    }
    assert_eq!(generation.segments(), 1);
}

#[test]
fn putting_a_segment_aside_may_be_cut_off_at_any_step_and_is_not_forgotten() {
    let fixture = Fixture::new();
    for doc in 0..3 {
        fixture.generation().publish(vec![row(doc, 1, 0, "key")], Seq(u64::from(doc) + 1)).unwrap();
    }
    let mut image = files(&fixture.path());
    image.get_mut(Path::new("0000000001/vectors.i8")).unwrap()[0] ^= 1;
    let fixture = Fixture::of(&image);
    let table = all_open(3, &[(0, 1), (1, 1), (2, 1)]);
    for (moment, image) in images(&fixture.path(), || drop(fixture.generation())) {
        let found = Fixture::of(&image);
        assert!(found.generation().snapshot().lacks_rows(), "{moment}");
        let names = crate::disk::names(&found.path()).unwrap();
        assert!(names.iter().any(|name| name.starts_with("0000000001.damaged-")), "{moment}: {names:?}");
        assert_eq!(restored(&image, &table), (Seq(3), 2, vec![key(0, 1, 0), key(2, 1, 0)]), "{moment}");
    }
}

#[test]
fn a_generation_cut_off_while_it_was_begun_is_begun_again() {
    let fixture = Fixture::new();
    std::fs::create_dir_all(fixture.path()).unwrap();
    let images = images(&fixture.path(), || drop(fixture.generation()));
    for (_, image) in &images {
        assert_eq!(restored(image, &all_open(0, &[])), (Seq(0), 0, vec![]));
    }
}
