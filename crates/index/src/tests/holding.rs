//! Opening, sharing, evicting, putting aside and discarding generations.

use super::*;
use crate::OpenLimits;

#[test]
fn no_more_generations_are_kept_open_than_allowed_and_one_that_is_held_is_not_opened_twice() {
    let fixture = Fixture::with_open_max(2);
    let held = fixture.open_named("g0").unwrap();
    let watched: Vec<_> = (0..20).map(|id| Arc::downgrade(&fixture.open_named(&format!("g{id}")).unwrap())).collect();
    let open = watched.iter().filter(|generation| generation.strong_count() > 0).count();
    assert_eq!(open, 3, "two for nobody, one for its holder");
    assert!(Arc::ptr_eq(&fixture.open_named("g0").unwrap(), &held));
    held.publish(vec![row(0, 1, 0, "key")], Seq(1)).unwrap();
    assert_eq!(fixture.open_named("g0").unwrap().applied_seq(), Seq(1));
}

#[test]
fn many_who_ask_at_once_get_the_same_one() {
    let fixture = Fixture::new();
    fixture.generation().publish(vec![row(0, 1, 0, "key")], Seq(1)).unwrap();
    let again = Index::new(fixture.folder.path().to_owned(), NonZeroUsize::MIN);
    let all: Vec<Arc<Generation>> = std::thread::scope(|threads| {
        let open = || again.generation(&ann(), &generation_id("g1"), &recipe(), DIMENSION).unwrap();
        let running: Vec<_> = (0..8).map(|_| threads.spawn(open)).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(all.iter().all(|generation| Arc::ptr_eq(generation, &all[0])));
}

#[test]
fn tenants_with_generations_of_one_name_have_nothing_in_common() {
    let fixture = Fixture::new();
    let globex = Scope::service(&tenant("globex"));
    let theirs = fixture.index.generation(&globex, &generation_id("g1"), &recipe(), DIMENSION).unwrap();
    theirs.publish(vec![row(0, 1, 0, "key")], Seq(4)).unwrap();
    assert_eq!((fixture.generation().applied_seq(), fixture.generation().snapshot().rows()), (Seq(0), 0));
    fixture.index.discard(&ann(), &generation_id("g1")).unwrap();
    assert_eq!(fixture.index.generations_on_disk(&ann()).unwrap(), []);
    assert_eq!(fixture.index.generations_on_disk(&globex).unwrap(), [generation_id("g1")]);
}

#[test]
fn a_generation_put_aside_is_absent_and_can_be_built_again() {
    let fixture = Fixture::new();
    let old = fixture.generation();
    old.publish(vec![row(0, 1, 0, "key")], Seq(1)).unwrap();
    let snapshot = old.snapshot();
    for number in 1..3 {
        let aside = fixture.index.quarantine(&ann(), &generation_id("g1")).unwrap();
        assert!(aside.ends_with(format!("g1.damaged-{number}")) && aside.is_dir(), "{}", aside.display());
        let fresh = fixture.generation();
        assert_eq!(fresh.applied_seq(), Seq(0));
        fresh.publish(vec![row(0, 1, 0, "key")], Seq(1)).unwrap();
    }
    let error = old.publish(vec![row(1, 1, 0, "key")], Seq(2)).unwrap_err();
    assert!(matches!(error, IndexError::Closed { .. }), "{error}");
    assert_eq!(words(&snapshot, &all_open(1, &[(0, 1)]), "key").len(), 1, "its readers read on");
    let missing = fixture.index.quarantine(&ann(), &generation_id("g9")).unwrap_err();
    assert!(matches!(missing, IndexError::Absent { .. }), "{missing}");
}

#[test]
fn discarding_removes_a_generation_with_all_that_was_put_aside_of_it() {
    let fixture = Fixture::new();
    let _held = fixture.generation();
    fixture.index.quarantine(&ann(), &generation_id("g1")).unwrap();
    fixture.generation().publish(vec![row(0, 1, 0, "key")], Seq(1)).unwrap();
    fixture.open_named("g10").unwrap();
    assert_eq!(fixture.index.generations_on_disk(&ann()).unwrap(), [generation_id("g1"), generation_id("g10")]);
    fixture.index.discard(&ann(), &generation_id("g1")).unwrap();
    fixture.index.discard(&ann(), &generation_id("g1")).unwrap();
    let left: Vec<_> =
        std::fs::read_dir(fixture.folder.path().join("acme")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["g10"]);
}

#[test]
fn a_generation_has_readers_while_anybody_holds_it_or_a_state_that_it_had() {
    let fixture = Fixture::new();
    let generation = fixture.generation();
    generation.publish(vec![row(0, 1, 0, "key")], Seq(1)).unwrap();
    let before = generation.snapshot();
    generation.publish(vec![row(1, 1, 0, "lock")], Seq(2)).unwrap();
    let (now, other) = (generation.snapshot(), Arc::clone(&generation));
    fixture.index.discard(&ann(), &generation_id("g1")).unwrap();
    assert!(generation.has_readers());
    drop(before);
    assert!(generation.has_readers());
    drop(now);
    assert!(generation.has_readers());
    drop(other);
    assert!(!generation.has_readers());
}

#[test]
fn housekeeping_removes_what_was_put_aside_inside_of_a_generation_and_leaves_the_generation() {
    let mut fixture = Fixture::new();
    for doc in 0..3 {
        fixture.generation().publish(vec![row(doc, 1, 0, "key")], Seq(u64::from(doc) + 1)).unwrap();
    }
    fixture.restart();
    std::fs::write(fixture.path().join("0000000001").join("rows"), b"damage").unwrap();
    assert_eq!(fixture.generation().snapshot().rows(), 2);
    assert!(fixture.path().join("0000000001.damaged-1").is_dir());
    fixture.index.discard_aside(&ann()).unwrap();
    assert_eq!(crate::disk::names(&fixture.path()).unwrap(), ["0000000000", "0000000002", "manifest.json"]);
    fixture.restart();
    assert_eq!(fixture.generation().snapshot().rows(), 2);
}

#[test]
fn what_is_kept_open_stays_within_bytes_and_maps() {
    let fixture = Fixture::with_open_max(100);
    for id in 0..6 {
        fixture.open_named(&format!("g{id}")).unwrap().publish(vec![row(0, 1, 0, "key")], Seq(1)).unwrap();
    }
    let bytes: u64 = fixture.open_named("g0").unwrap().footprint().bytes;
    let generous = OpenLimits::from(NonZeroUsize::new(100).unwrap());
    let cases = [
        (OpenLimits { maps: 2 * 4 + 3, ..generous }, 2),
        (OpenLimits { mapped_bytes: 3 * bytes, ..generous }, 3),
        (OpenLimits { maps: 0, ..generous }, 1),
        (generous, 6),
    ];
    for (limits, wanted) in cases {
        let index = Index::new(fixture.folder.path().to_owned(), limits);
        let open = |id: usize| {
            let id = generation_id(&format!("g{id}"));
            Arc::downgrade(&index.generation(&ann(), &id, &recipe(), DIMENSION).unwrap())
        };
        let watched: Vec<_> = (0..6).map(open).collect();
        let left: Vec<usize> = (0..6).filter(|&id| watched[id].strong_count() > 0).collect();
        assert_eq!(left, (6 - wanted..6).collect::<Vec<_>>(), "the last asked for, {limits:?}");
    }
}

#[test]
fn a_generation_that_grew_since_it_was_opened_counts_with_what_it_has_now() {
    let fixture = Fixture::new();
    let limits = OpenLimits { maps: 3 * 4, ..OpenLimits::from(NonZeroUsize::new(100).unwrap()) };
    let index = Index::new(fixture.folder.path().to_owned(), limits);
    let open = |id: &str| index.generation(&ann(), &generation_id(id), &recipe(), DIMENSION).unwrap();
    open("g1").publish(vec![row(0, 1, 0, "key")], Seq(1)).unwrap();
    let small = Arc::downgrade(&open("g1"));
    for doc in 0..3 {
        open("g2").publish(vec![row(doc, 1, 0, "key")], Seq(u64::from(doc) + 1)).unwrap();
    }
    open("g2");
    open("g3");
    assert_eq!(small.strong_count(), 0);
    assert_eq!(open("g1").snapshot().rows(), 1, "a closed one just works");
}

/// How many of each the process has.
fn resources() -> (usize, usize, usize) {
    let count = |of: &str| std::fs::read_dir(format!("/proc/self/{of}")).unwrap().count();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let maps = maps.lines().filter(|line| line.contains("/g1/")).count();
    (count("fd"), count("task"), maps)
}

/// Not a test by itself: what the process that has nothing else in it does.
#[test]
fn opening_and_closing_of_a_child() {
    let Some(folder) = child::task() else { return };
    let index = Index::new(PathBuf::from(folder), NonZeroUsize::new(10).unwrap());
    let open = |at: usize| {
        let scope = Scope::service(&tenant(&format!("t{at}")));
        let generation = index.generation(&scope, &generation_id("g1"), &recipe(), DIMENSION).unwrap();
        assert_eq!(words(&generation.snapshot(), &LiveTable::empty(), "key"), []);
        generation.snapshot().rows()
    };
    assert_eq!(open(0), 1);
    let (descriptors, threads, _) = resources();
    for at in 0..100 {
        assert_eq!(open(at), 1);
        let now = resources();
        assert_eq!((now.0, now.1), (descriptors, threads), "after {at} tenants");
        assert!(now.2 <= 10 * 4, "{} maps after {at} tenants", now.2);
    }
    drop(index);
    assert_eq!(resources(), (descriptors, threads, 0));
    child::say("done");
}

#[test]
fn an_idle_tenant_has_no_descriptor_no_thread_and_once_it_is_closed_no_map() {
    let fixture = Fixture::new();
    for at in 0..100 {
        let scope = Scope::service(&tenant(&format!("t{at}")));
        let generation = fixture.index.generation(&scope, &generation_id("g1"), &recipe(), DIMENSION).unwrap();
        generation.publish(vec![row(0, 1, 0, "key")], Seq(1)).unwrap();
    }
    let folder = fixture.folder.path().display().to_string();
    let mut child = child::start("tests::holding::opening_and_closing_of_a_child", &folder);
    assert_eq!(child.hear().as_deref(), Some("done"));
    child.end();
}

#[test]
fn a_removal_that_was_cut_off_is_still_listed_and_can_be_finished() {
    let fixture = Fixture::new();
    let _ = fixture.generation();
    std::fs::rename(fixture.path(), fixture.path().with_extension("discarded")).unwrap();
    assert_eq!(fixture.index.generations_on_disk(&ann()).unwrap(), [generation_id("g1")]);
    fixture.index.discard(&ann(), &generation_id("g1")).unwrap();
    assert_eq!(fixture.index.generations_on_disk(&ann()).unwrap(), []);
}

#[test]
fn another_recipe_or_dimension_is_refused_by_name_open_or_not() {
    let mut fixture = Fixture::new();
    let _ = fixture.generation();
    for restart in [false, true] {
        if restart {
            fixture.restart();
        }
        let other = RecipeId::new("recipe-2").unwrap();
        let open = |recipe, dimension| fixture.index.generation(&ann(), &generation_id("g1"), recipe, dimension);
        let error = open(&other, DIMENSION).unwrap_err();
        assert!(matches!(&error, IndexError::Recipe { given, .. } if *given == other), "{error}");
        let error = open(&recipe(), 9).unwrap_err();
        assert!(matches!(error, IndexError::Dimension { index: DIMENSION, given: 9 }), "{error}");
    }
    for odd in [0, usize::MAX] {
        let error = fixture.index.generation(&ann(), &generation_id("g2"), &recipe(), odd).unwrap_err();
        assert!(matches!(error, IndexError::DimensionLimit { .. }), "{error}");
    }
}

#[test]
fn a_reader_begins_no_generation() {
    let fixture = Fixture::new();
    let look = || fixture.index.existing(&ann(), &generation_id("g1"), &recipe(), DIMENSION).unwrap();
    assert!(look().is_none() && !fixture.path().exists());
    assert_eq!(fixture.index.take_unwell(), [tenant("acme")], "somebody asked for what is not there");
    let made = fixture.generation();
    assert!(look().is_some_and(|found| Arc::ptr_eq(&found, &made)));
    fixture.index.discard(&ann(), &generation_id("g1")).unwrap();
    assert!(look().is_none() && !fixture.path().exists());
}
