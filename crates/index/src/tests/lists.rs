//! Segments that are large enough for lists: what is found by them is what a scan finds.

use std::sync::OnceLock;

use super::*;
use crate::{Effort, Way};

/// Rows around some directions of their own, as texts about some topics are.
const TOPICS: u64 = 40;
const ROWS: u32 = 9_000;
const WIDE: usize = 256;
const LIMIT: usize = 10;

/// A row of a topic; every document has three chunks.
fn about(number: u32) -> RowInput {
    let topic = direction(u64::from(number) % TOPICS, WIDE);
    let own = direction(1_000 + u64::from(number), WIDE);
    let vector = topic.iter().zip(own).map(|(topic, own)| f16::from_f32(topic + 0.6 * own)).collect();
    RowInput { vector, ..row(number / 3, 1, number % 3, "key") }
}

fn question(seed: u64) -> QueryVector {
    let topic = direction(seed % TOPICS, WIDE);
    let own = direction(90_000 + seed, WIDE);
    QueryVector { recipe: recipe(), values: topic.iter().zip(own).map(|(topic, own)| topic + 0.6 * own).collect() }
}

struct Large {
    fixture: Fixture,
    generation: Arc<Generation>,
}

/// One segment of all rows, made by a publication.
fn large() -> &'static Large {
    static LARGE: OnceLock<Large> = OnceLock::new();
    LARGE.get_or_init(|| {
        let fixture = Fixture::new();
        let generation = open(&fixture);
        generation.publish((0..ROWS).map(about).collect(), Seq(1)).unwrap();
        Large { fixture, generation }
    })
}

fn open(fixture: &Fixture) -> Arc<Generation> {
    fixture.index.generation(&Scope::service(&tenant("acme")), &generation_id("g1"), &recipe(), WIDE).unwrap()
}

/// A table in which one document of `of` is open.
fn some_open(of: u32) -> LiveTable {
    let acl = |doc: u32| if doc.is_multiple_of(of) { OPEN } else { CLOSED };
    live(1, (0..ROWS / 3).map(|doc| document(doc, 1, acl(doc))).collect())
}

/// What a look at every visible row finds.
fn truth(snapshot: &Snapshot, visible: &Visible, query: &QueryVector) -> Vec<RowKey> {
    let mut scored = Vec::new();
    for (at, (segment, bits)) in snapshot.segments().iter().zip(&visible.segments).enumerate() {
        let rows: Vec<crate::RowId> = bits.visible.iter().map(|row| crate::RowId { segment: at as u32, row }).collect();
        let scores = snapshot.dense_scores(query, &rows).unwrap();
        scored.extend(rows.iter().zip(scores).map(|(row, score)| (score, segment.columns().key(row.row))));
    }
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    scored.into_iter().take(LIMIT).map(|(_, key)| key).collect()
}

/// The share of what should be found that is found, over many questions.
fn recall(snapshot: &Snapshot, visible: &Visible) -> f64 {
    let (mut found, mut wanted) = (0, 0);
    for seed in 0..100 {
        let query = question(seed);
        let hits = snapshot.dense(&query, visible, LIMIT).unwrap();
        let keys: Vec<RowKey> = hits.iter().map(|hit| snapshot.key(hit.row)).collect();
        let truth = truth(snapshot, visible, &query);
        found += truth.iter().filter(|key| keys.contains(key)).count();
        wanted += truth.len();
        let allowed = |hit: &Hit| visible.segments[hit.row.segment as usize].visible.has(hit.row.row);
        assert!(hits.iter().all(allowed), "a hidden row was found");
    }
    found as f64 / f64::from(wanted as u32)
}

#[test]
fn lists_find_what_a_scan_finds_and_the_plan_says_which_is_taken() {
    let snapshot = large().generation.snapshot();
    let all = seen(&snapshot, &some_open(1));
    assert_eq!(snapshot.plan(&all, LIMIT).ways().map(|(_, way)| way).collect::<Vec<_>>(), [Way::Lists]);
    let recall = recall(&snapshot, &all);
    assert!(recall >= 0.998, "{recall}");
}

#[test]
fn under_a_filter_the_search_looks_further_and_few_rows_are_scanned() {
    let snapshot = large().generation.snapshot();
    for (of, way) in [(2, Way::Lists), (1_500, Way::Scan)] {
        let visible = seen(&snapshot, &some_open(of));
        assert_eq!(snapshot.plan(&visible, LIMIT).ways().map(|(_, way)| way).collect::<Vec<_>>(), [way]);
        let recall = recall(&snapshot, &visible);
        assert!(recall >= 0.998, "one of {of}: {recall}");
        assert!(way != Way::Scan || recall == 1.0, "a scan is exact");
    }
    let nothing = seen(&snapshot, &live(1, vec![]));
    assert_eq!(snapshot.plan(&nothing, LIMIT).ways().map(|(_, way)| way).collect::<Vec<_>>(), [Way::Nothing]);
    assert_eq!(snapshot.dense(&question(1), &nothing, LIMIT).unwrap(), []);
}

#[test]
fn more_effort_finds_no_less() {
    let snapshot = large().generation.snapshot();
    let all = seen(&snapshot, &some_open(1));
    let count = |effort| {
        let found = (0..50).map(|seed| {
            let query = question(seed);
            let truth = truth(&snapshot, &all, &query);
            let hits = snapshot.dense_with(&query, &all, LIMIT, effort).unwrap();
            hits.iter().filter(|hit| truth.contains(&snapshot.key(hit.row))).count()
        });
        found.sum::<usize>()
    };
    let (least, usual, all) = (count(Effort::of_spreads(-9.0)), count(Effort::USUAL), count(Effort::of_spreads(1e9)));
    assert!(least < usual && usual <= all, "{least} {usual} {all}");
}

#[test]
fn a_merge_makes_lists_and_gives_the_scores_of_the_rows_that_it_was_made_of() {
    let fixture = Fixture::new();
    let generation = open(&fixture);
    for part in 0..9 {
        generation.publish((part * 1_000..(part + 1) * 1_000).map(about).collect(), Seq(u64::from(part) + 1)).unwrap();
    }
    let mut documents: Vec<LiveDocument> = (0..ROWS / 3).map(|doc| document(doc, 1, OPEN)).collect();
    documents[0].live = Liveness::Deleted;
    let table = live(9, documents);
    let before = generation.snapshot();
    assert!(before.segments().iter().all(|segment| segment.coarse().is_none()));
    // A version that two segments share stays whole.
    let plan = generation.merge_plan(&table).unwrap();
    generation.merge(&plan).unwrap();
    let after = generation.snapshot();
    assert!(after.segments().iter().any(|segment| segment.coarse().is_some()));
    assert!(after.segments().iter().all(|segment| !segment.has(key(0, 1, 0))), "a dead row was taken along");
    assert_eq!(after.rows(), ROWS as usize - 3);
    let (was, is) = (seen(&before, &table), seen(&after, &table));
    for seed in 0..20 {
        let query = question(seed);
        let found = |snapshot: &Snapshot, visible| keyed(snapshot, &snapshot.dense(&query, visible, LIMIT).unwrap());
        assert_eq!(found(&after, &is), found(&before, &was));
    }
    let query = LexicalQuery::parse("key title");
    let words = |snapshot: &Snapshot, visible| keyed(snapshot, &snapshot.lexical(&query, visible, 50).unwrap());
    assert_eq!(words(&after, &is), words(&before, &was));
}

#[test]
fn the_same_rows_make_the_same_lists_byte_for_byte() {
    let fixture = Fixture::new();
    open(&fixture).publish((0..ROWS).rev().map(about).collect(), Seq(1)).unwrap();
    let lists = |fixture: &Fixture| std::fs::read(fixture.path().join("0000000000").join("vectors.b1")).unwrap();
    assert!(lists(&fixture) == lists(&large().fixture));
}

#[test]
fn equal_rows_and_rows_that_differ_in_length_alone_are_no_trouble() {
    let fixture = Fixture::new();
    let generation = open(&fixture);
    let rows = (0..ROWS).map(|number| {
        let values = direction(u64::from(number % 2), WIDE).into_iter().map(|value| value * (1.0 + number as f32));
        RowInput { vector: values.map(f16::from_f32).collect(), ..row(number, 1, 0, "key") }
    });
    generation.publish(rows.collect(), Seq(1)).unwrap();
    let snapshot = generation.snapshot();
    let visible = seen(&snapshot, &all_open(1, &(0..ROWS).map(|doc| (doc, 1)).collect::<Vec<_>>()));
    let query = QueryVector { recipe: recipe(), values: direction(1, WIDE) };
    let hits = snapshot.dense(&query, &visible, LIMIT).unwrap();
    assert_eq!(hits.len(), LIMIT);
    assert!(hits.iter().all(|hit| hit.score > 0.999), "{hits:?}");
}
