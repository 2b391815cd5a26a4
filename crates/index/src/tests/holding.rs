//! Opening, sharing, evicting, putting aside and discarding generations.

use super::*;

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
    let made = fixture.generation();
    assert!(look().is_some_and(|found| Arc::ptr_eq(&found, &made)));
    fixture.index.discard(&ann(), &generation_id("g1")).unwrap();
    assert!(look().is_none() && !fixture.path().exists());
}
