//! Merging drops dead rows, bounds the number of segments, and refuses what does not fit its plan.

use std::collections::BTreeMap;

use super::*;

/// Eight documents in eight segments; the first is superseded, the second deleted.
fn eight() -> (Fixture, Arc<Generation>, LiveTable) {
    let fixture = Fixture::new();
    let generation = fixture.generation();
    for doc in 0..8 {
        generation.publish(vec![row(doc, 1, 0, "key"), row(doc, 1, 1, "door")], Seq(u64::from(doc) + 1)).unwrap();
    }
    generation.publish(vec![row(0, 2, 0, "key key")], Seq(9)).unwrap();
    let mut documents: Vec<LiveDocument> = (1..8).map(|doc| document(doc, 1, OPEN)).collect();
    documents[0].live = Liveness::Deleted;
    documents.push(document(0, 2, OPEN));
    (fixture, generation, live(9, documents))
}

#[test]
fn merging_drops_dead_rows_and_keeps_every_answer() {
    let (mut fixture, generation, table) = eight();
    let answers = |generation: &Generation| {
        let snapshot = generation.snapshot();
        (words(&snapshot, &table, "key door"), vectors(&snapshot, &table, 3, 100))
    };
    let before = answers(&generation);
    let mut merges = 0;
    while let Some(plan) = generation.merge_plan(&table) {
        generation.merge(&plan).unwrap();
        assert_eq!(answers(&generation), before);
        merges += 1;
    }
    assert!(merges >= 1);
    assert_eq!(generation.snapshot().rows(), 13, "only live rows are left");
    assert_eq!(generation.applied_seq(), Seq(9));
    let folders = std::fs::read_dir(fixture.path()).unwrap().count();
    assert_eq!(folders, generation.segments() + 1, "merged segments are gone from the disk");
    drop(generation);
    fixture.restart();
    assert_eq!(answers(&fixture.generation()), before);
}

#[test]
fn a_segment_without_a_live_row_goes_without_a_successor() {
    let fixture = Fixture::new();
    let generation = fixture.generation();
    generation.publish(vec![row(0, 1, 0, "key")], Seq(1)).unwrap();
    let table = live(2, vec![LiveDocument { live: Liveness::Deleted, ..document(0, 1, OPEN) }]);
    let plan = generation.merge_plan(&table).unwrap();
    assert_eq!(plan.documents(), []);
    generation.merge(&plan).unwrap();
    assert_eq!((generation.segments(), generation.snapshot().rows()), (0, 0));
}

#[test]
fn a_table_older_than_the_index_plans_nothing() {
    let fixture = Fixture::new();
    let generation = fixture.generation();
    for doc in 0..9 {
        generation.publish(vec![row(doc, 1, 0, "key")], Seq(u64::from(doc) + 1)).unwrap();
    }
    assert!(generation.merge_plan(&all_open(8, &[(0, 1)])).is_none(), "newer rows would have looked dead");
    assert!(generation.merge_plan(&all_open(9, &[(0, 1)])).is_some());
}

#[test]
fn a_plan_of_the_past_is_refused_and_changes_nothing() {
    let (_fixture, generation, table) = eight();
    let plan = generation.merge_plan(&table).unwrap();
    generation.merge(&plan).unwrap();
    let after = generation.snapshot();
    let error = generation.merge(&plan).unwrap_err();
    assert!(matches!(error, IndexError::StalePlan { .. }), "{error}");
    assert_eq!(generation.snapshot().rows(), after.rows());
}

#[test]
fn what_was_published_after_the_plan_was_made_stays() {
    let (_fixture, generation, table) = eight();
    let plan = generation.merge_plan(&table).unwrap();
    generation.publish(vec![row(50, 1, 0, "key")], Seq(10)).unwrap();
    generation.merge(&plan).unwrap();
    let table = table.with(Seq(10), vec![document(50, 1, OPEN)], vec![]);
    assert_eq!(generation.applied_seq(), Seq(10));
    assert!(keys(&words(&generation.snapshot(), &table, "key")).contains(&key(50, 1, 0)));
}

#[test]
fn erasing_a_document_takes_every_row_of_it_off_the_disk_and_leaves_the_others() {
    let fixture = Fixture::new();
    let generation = fixture.generation();
    generation.publish(vec![row(0, 1, 0, "key"), row(1, 1, 0, "key"), row(2, 1, 0, "door")], Seq(3)).unwrap();
    generation.publish(vec![row(0, 2, 0, "key key"), row(3, 1, 0, "key")], Seq(5)).unwrap();
    generation.publish(vec![row(4, 1, 0, "key")], Seq(6)).unwrap();
    let names = || -> Vec<String> {
        generation.snapshot().segments().iter().map(|segment| segment.entry().name.clone()).collect()
    };
    let before = names();
    let gone = BTreeMap::from([(DocNo(0), VersionNo(2))]);
    let mut rewritten = 0;
    while let Some(plan) = generation.erasure_plan(&gone) {
        generation.merge(&plan).unwrap();
        rewritten += 1;
    }
    assert_eq!(rewritten, 2, "only the segments that hold the document are written again");
    let after = names();
    assert!(!after.contains(&before[0]) && !after.contains(&before[1]) && after.contains(&before[2]), "{after:?}");
    let snapshot = generation.snapshot();
    assert!(snapshot.segments().iter().flat_map(|segment| segment.versions()).all(|(doc, ..)| doc != DocNo(0)));
    assert_eq!((snapshot.rows(), snapshot.applied_seq()), (4, Seq(6)));
    let folders = std::fs::read_dir(fixture.path()).unwrap().count();
    assert_eq!(folders, generation.segments() + 1, "a segment that held it is still on the disk");
    assert_eq!(generation.erasure_plan(&gone), None);
}
