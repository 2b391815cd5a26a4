//! What is published is found, once, also after a restart.

use super::*;

#[test]
fn what_was_published_is_found_by_words_and_by_vector_also_after_a_restart() {
    let mut fixture = Fixture::new();
    fixture
        .generation()
        .publish(vec![row(0, 1, 0, "signing keys rotate"), row(0, 1, 1, "lunch menu")], Seq(1))
        .unwrap();
    fixture.generation().publish(vec![row(1, 1, 0, "the key of the door")], Seq(2)).unwrap();
    let table = all_open(2, &[(0, 1), (1, 1)]);
    let check = |generation: &Generation| {
        let snapshot = generation.snapshot();
        assert_eq!((snapshot.applied_seq(), snapshot.rows()), (Seq(2), 3));
        assert_eq!(keys(&words(&snapshot, &table, "rotating keys")), [key(0, 1, 0), key(1, 1, 0)]);
        assert_eq!(words(&snapshot, &table, "lunches")[0].0, key(0, 1, 1));
        let (found, score) = vectors(&snapshot, &table, 1 << 16 | 1, 3)[0];
        assert_eq!(found, key(0, 1, 1));
        assert!((score - 1.0).abs() < 1e-3, "{score}");
    };
    check(&fixture.generation());
    let before = words(&fixture.generation().snapshot(), &table, "rotating keys");
    fixture.restart();
    check(&fixture.generation());
    assert_eq!(words(&fixture.generation().snapshot(), &table, "rotating keys"), before);
}

#[test]
fn an_empty_generation_answers_with_nothing() {
    let fixture = Fixture::new();
    let snapshot = fixture.generation().snapshot();
    let table = all_open(0, &[]);
    assert_eq!((snapshot.applied_seq(), snapshot.rows(), snapshot.recipe().clone()), (Seq(0), 0, recipe()));
    assert!(words(&snapshot, &table, "keys").is_empty());
    assert!(vectors(&snapshot, &table, 1, 10).is_empty());
    assert!(fixture.generation().merge_plan(&table).is_none());
}

#[test]
fn a_publication_without_rows_moves_the_seq_alone() {
    let mut fixture = Fixture::new();
    fixture.generation().publish(vec![row(0, 1, 0, "keys")], Seq(1)).unwrap();
    fixture.generation().publish(vec![], Seq(7)).unwrap();
    fixture.restart();
    let generation = fixture.generation();
    assert_eq!((generation.applied_seq(), generation.segments()), (Seq(7), 1));
}

#[test]
fn a_publication_made_again_adds_nothing() {
    let fixture = Fixture::new();
    let generation = fixture.generation();
    let rows = || vec![row(0, 1, 0, "keys"), row(0, 1, 1, "doors")];
    generation.publish(rows(), Seq(3)).unwrap();
    generation.publish(rows(), Seq(3)).unwrap();
    generation.publish([rows(), vec![row(0, 1, 2, "locks")]].concat(), Seq(4)).unwrap();
    assert_eq!((generation.snapshot().rows(), generation.segments()), (3, 2));
    assert_eq!(words(&generation.snapshot(), &all_open(4, &[(0, 1)]), "keys").len(), 1);
}

#[test]
fn a_publication_of_the_past_is_refused() {
    let fixture = Fixture::new();
    let generation = fixture.generation();
    generation.publish(vec![], Seq(5)).unwrap();
    let error = generation.publish(vec![row(0, 1, 0, "keys")], Seq(4)).unwrap_err();
    assert!(matches!(error, IndexError::Order { applied: Seq(5), upto: Seq(4) }), "{error}");
    assert_eq!(generation.snapshot().rows(), 0);
}

#[test]
fn a_vector_that_points_nowhere_is_refused_and_leaves_nothing_behind() {
    let fixture = Fixture::new();
    let generation = fixture.generation();
    let with = |vector: Vec<f32>| vec![row(0, 1, 0, "ok"), RowInput { vector: halves(&vector), ..row(0, 1, 1, "bad") }];
    for bad in [vec![0.0; DIMENSION], vec![f32::NAN; DIMENSION], vec![f32::INFINITY; DIMENSION]] {
        let error = generation.publish(with(bad), Seq(1)).unwrap_err();
        assert!(matches!(error, IndexError::RowVector { chunk: 1, .. }), "{error}");
    }
    let error = generation.publish(with(vec![1.0; DIMENSION + 1]), Seq(1)).unwrap_err();
    assert!(matches!(error, IndexError::Dimension { index: DIMENSION, given: 9 }), "{error}");
    let error = generation.publish(vec![row(0, 1, 0, "one"), row(0, 1, 0, "two")], Seq(1)).unwrap_err();
    assert!(matches!(error, IndexError::RowTwice { .. }), "{error}");
    assert_eq!((generation.snapshot().rows(), generation.applied_seq()), (0, Seq(0)));
    assert_eq!(files(&fixture.path()).len(), 1, "only the manifest is left");
    generation.publish(vec![row(0, 1, 0, "ok")], Seq(1)).unwrap();
}

#[test]
fn a_reader_keeps_its_snapshot_while_others_publish_and_merge() {
    let fixture = Fixture::new();
    let generation = fixture.generation();
    for doc in 0..8 {
        generation.publish(vec![row(doc, 1, 0, "keys")], Seq(u64::from(doc) + 1)).unwrap();
    }
    let documents: Vec<(u32, u32)> = (0..8).map(|doc| (doc, 1)).collect();
    let table = all_open(8, &documents);
    let old = generation.snapshot();
    let before = words(&old, &table, "keys");
    let plan = generation.merge_plan(&table).unwrap();
    generation.merge(&plan).unwrap();
    generation.publish(vec![row(9, 1, 0, "keys")], Seq(9)).unwrap();
    assert_eq!((generation.segments(), old.segments().len()), (2, 8));
    assert_eq!(words(&old, &table, "keys"), before);
}
