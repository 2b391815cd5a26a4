//! `kill -9` at every step of whatever changes the disk: a process of its own is stopped at a step and killed there.

use std::path::Path;

use super::child::{self, Running};
use super::*;
use crate::disk::WATCH;

type Image = BTreeMap<PathBuf, Vec<u8>>;
/// What a generation holds: its seq, its rows as the words find them, and whether it says that rows are missing.
type State = (Seq, Vec<RowKey>, bool);

/// A change of a generation, which is cut off at every step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Begin,
    Publish,
    Merge,
    PutAside,
    Mend,
}

const ALL: [Work; 5] = [Work::Begin, Work::Publish, Work::Merge, Work::PutAside, Work::Mend];
const DOCUMENTS: u32 = 8;

impl Work {
    /// The files that it begins with.
    fn before(self) -> Image {
        let fixture = Fixture::new();
        if self == Self::Begin {
            return Image::new();
        }
        for doc in 0..DOCUMENTS {
            fixture.generation().publish(vec![row(doc, 1, 0, "key")], Seq(u64::from(doc) + 1)).unwrap();
        }
        let mut image = files(&fixture.path());
        if matches!(self, Self::PutAside | Self::Mend) {
            image.get_mut(Path::new("0000000003/rows")).unwrap()[0] ^= 1;
        }
        if self == Self::Mend {
            let fixture = Fixture::of(&image);
            drop(fixture.generation());
            image = files(&fixture.path());
        }
        image
    }

    /// Does it; `watched` is called between what it needs and what is cut off.
    fn run(self, fixture: &Fixture, watched: impl FnOnce()) {
        let open = || fixture.generation();
        match self {
            Self::Begin | Self::PutAside => {
                watched();
                drop(open());
            }
            Self::Publish => {
                let generation = open();
                watched();
                generation.publish(vec![row(DOCUMENTS, 1, 0, "key")], Seq(u64::from(DOCUMENTS) + 1)).unwrap();
            }
            Self::Merge => {
                let generation = open();
                let Some(plan) = generation.merge_plan(&table()) else { return };
                watched();
                generation.merge(&plan).unwrap();
            }
            Self::Mend => {
                let generation = open();
                watched();
                generation.publish(vec![row(3, 1, 0, "key")], generation.applied_seq()).unwrap();
                generation.mended().unwrap();
            }
        }
    }

    /// What may be found afterwards; the last is what is found once the work is done.
    fn states(self) -> Vec<State> {
        let all = |documents: u32| (0..documents).map(|doc| key(doc, 1, 0)).collect::<Vec<_>>();
        let seq = Seq(u64::from(DOCUMENTS));
        let without: Vec<RowKey> = all(DOCUMENTS).into_iter().filter(|key| key.doc != DocNo(3)).collect();
        match self {
            Self::Begin => vec![(Seq(0), vec![], false)],
            Self::Publish => {
                vec![(seq, all(DOCUMENTS), false), (Seq(u64::from(DOCUMENTS) + 1), all(DOCUMENTS + 1), false)]
            }
            Self::Merge => vec![(seq, all(DOCUMENTS), false)],
            Self::PutAside => vec![(seq, without, true)],
            // The rows come first: a cut leaves at worst a note that is not true any more, and never the other way.
            Self::Mend => {
                vec![(seq, without, true), (seq, all(DOCUMENTS), true), (seq, all(DOCUMENTS), false)]
            }
        }
    }
}

fn table() -> LiveTable {
    all_open(u64::from(DOCUMENTS) + 1, &(0..=DOCUMENTS).map(|doc| (doc, 1)).collect::<Vec<_>>())
}

fn state(fixture: &Fixture) -> State {
    let snapshot = fixture.generation().snapshot();
    let found = keys(&words(&snapshot, &table(), "key"));
    assert_eq!(found.len(), snapshot.rows(), "a row is there that no word finds, or twice");
    (snapshot.applied_seq(), found, snapshot.lacks_rows())
}

/// A fixture on a folder that is there already.
fn on(folder: tempfile::TempDir) -> Fixture {
    let index = Index::new(folder.path().to_owned(), NonZeroUsize::MIN);
    Fixture { folder, index }
}

/// Not a test by itself: what the killed process does.
#[test]
fn the_work_of_a_child() {
    let Some(task) = child::task() else { return };
    let [work, steps, folder] = task.splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
    let work = ALL.into_iter().find(|known| format!("{known:?}") == work).unwrap();
    let steps: usize = steps.parse().unwrap();
    let fixture =
        Fixture { folder: tempfile::tempdir().unwrap(), index: Index::new(PathBuf::from(folder), NonZeroUsize::MIN) };
    let mut taken = 0;
    let stop = move |_: crate::disk::Step<'_>| {
        taken += 1;
        if taken == steps {
            child::say_and_stand_still("here");
        }
    };
    work.run(&fixture, || WATCH.set(Some(Box::new(stop))));
    WATCH.set(None);
    child::say("done");
}

/// Kills a process at that step of the work. Whether the work came so far.
fn killed_at(work: Work, step: usize, folder: &Path) -> bool {
    let task = format!("{work:?} {step} {}", folder.display());
    let mut child: Running = child::start("tests::kills::the_work_of_a_child", &task);
    match child.hear().as_deref() {
        Some("here") => {
            child.kill();
            true
        }
        Some("done") => {
            child.end();
            false
        }
        other => panic!("the child said {other:?}"),
    }
}

#[test]
fn a_process_killed_at_any_step_leaves_the_state_before_or_after_and_the_work_can_be_done_again() {
    for work in ALL {
        let (before, states) = (work.before(), work.states());
        let (mut step, mut seen) = (1, Vec::new());
        loop {
            let fixture = Fixture::of(&before);
            let was_killed = killed_at(work, step, fixture.folder.path());
            let fixture = on(fixture.folder);
            let found = state(&fixture);
            assert!(states.contains(&found), "{work:?} killed at step {step}: {found:?}");
            assert!(was_killed || Some(&found) == states.last(), "{work:?} was done: {found:?}");
            let place = states.iter().position(|state| *state == found);
            assert!(seen.last() <= Some(&place), "{work:?} killed at step {step} went back: {found:?}");
            seen.push(place);
            work.run(&fixture, || {});
            assert_eq!(Some(&state(&on(fixture.folder))), states.last(), "{work:?} again, after step {step}");
            if !was_killed {
                break;
            }
            step += 1;
        }
        seen.dedup();
        assert_eq!(seen.len(), states.len(), "{work:?} was not seen in every state");
        println!("{work:?}: killed at each of {} steps", step - 1);
    }
}
