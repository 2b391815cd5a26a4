//! Both arms give the same answer however rows lie in segments, and their exact scores agree with their lists.

use super::*;
use proptest::prelude::*;

const WORDS: [&str; 6] = ["key", "door", "lunch", "river", "stone", "cloud"];

/// A body of words drawn by `seed`.
fn body(seed: u64) -> String {
    let picks = direction(seed, 12);
    let pick = |value: &f32| WORDS[(value.abs() * 100.0) as usize % WORDS.len()];
    picks.iter().map(pick).collect::<Vec<_>>().join(" ")
}

/// A document's rows at a version, with a title and headings that hold words of the queries too.
fn versions(doc: u32, version: u32, chunks: u32) -> Vec<RowInput> {
    let chunk = |chunk: u32| RowInput {
        title: WORDS[doc as usize % WORDS.len()].to_owned(),
        headings: WORDS[(doc + version) as usize % WORDS.len()].to_owned(),
        ..row(doc, version, chunk, &body(u64::from(doc * 100 + version * 10 + chunk)))
    };
    (0..chunks).map(chunk).collect()
}

/// All that both arms answer to a few questions: keys with the bits of their scores.
fn answers(snapshot: &Snapshot, live: &LiveTable) -> Vec<(RowKey, u32)> {
    let mut answers = Vec::new();
    for query in ["key", "lunch river", "key door cloud stone", "unknown key", "rivre"] {
        answers.extend(words(snapshot, live, query));
    }
    for seed in [3, 5, 8] {
        answers.extend(vectors(snapshot, live, seed, 7));
    }
    answers.into_iter().map(|(key, score)| (key, score.to_bits())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_index_with_dead_rows_in_many_segments_answers_like_one_of_the_live_rows_alone(
        writes in prop::collection::vec((0_u32..12, 0_u32..4, any::<bool>()), 1..30),
        writes_per_segment in 1_usize..8,
    ) {
        let (scattered, compact) = (Fixture::new(), Fixture::new());
        let mut current: BTreeMap<u32, (u32, u32, Liveness)> = BTreeMap::new();
        let mut waiting = Vec::new();
        for (at, &(doc, chunks, deleted)) in writes.iter().enumerate() {
            let version = current.get(&doc).map_or(1, |entry| entry.1 + 1);
            let state = if deleted && at % 3 == 0 { Liveness::Deleted } else { Liveness::Live };
            current.insert(doc, (chunks, version, state));
            waiting.extend(versions(doc, version, chunks));
            if (at + 1) % writes_per_segment == 0 || at + 1 == writes.len() {
                scattered.generation().publish(std::mem::take(&mut waiting), Seq(at as u64 + 1)).unwrap();
            }
        }
        let seq = writes.len() as u64;
        let documents = current.iter().map(|(&doc, &(_, version, live))| LiveDocument { live, ..document(doc, version, OPEN) });
        let table = live(seq, documents.collect());
        let living = current.iter().filter(|(_, entry)| entry.2 == Liveness::Live);
        let rows = living.flat_map(|(&doc, &(chunks, version, _))| versions(doc, version, chunks)).collect();
        compact.generation().publish(rows, Seq(seq)).unwrap();
        let scattered = scattered.generation();
        let want = answers(&compact.generation().snapshot(), &table);
        prop_assert_eq!(&answers(&scattered.snapshot(), &table), &want);

        while let Some(plan) = scattered.merge_plan(&table) {
            scattered.merge(&plan).unwrap();
            prop_assert_eq!(&answers(&scattered.snapshot(), &table), &want, "a merge changed an answer");
        }
    }

    #[test]
    fn exact_scores_are_those_of_the_lists(seed in any::<u64>(), documents in 1_u32..40, hidden in 0_u32..40) {
        let fixture = Fixture::new();
        let generation = fixture.generation();
        for doc in 0..documents {
            if doc % 5 == 0 {
                generation.publish(versions(doc, 1, 3), Seq(u64::from(doc))).unwrap();
            }
        }
        let rest = (0..documents).filter(|doc| doc % 5 != 0).flat_map(|doc| versions(doc, 1, 3));
        generation.publish(rest.collect(), Seq(100)).unwrap();
        let acl = |doc| if doc == hidden { CLOSED } else { OPEN };
        let table = live(100, (0..documents).map(|doc| document(doc, 1, acl(doc))).collect());
        let snapshot = generation.snapshot();
        let visible = seen(&snapshot, &table);
        let all: Vec<crate::RowId> = snapshot.segments().iter().enumerate().flat_map(|(segment, open)| {
            (0..open.rows()).rev().map(move |row| crate::RowId { segment: segment as u32, row })
        }).collect();

        let query = LexicalQuery::parse(&body(seed));
        let listed: std::collections::HashMap<_, _> =
            snapshot.lexical(&query, &visible, 1_000).unwrap().iter().map(|hit| (hit.row, hit.score.to_bits())).collect();
        prop_assert!(listed.keys().all(|row| snapshot.key(*row).doc != DocNo(hidden)));
        for (row, score) in all.iter().zip(snapshot.lexical_scores(&query, &visible, &all).unwrap()) {
            prop_assert_eq!(score.to_bits(), listed.get(row).copied().unwrap_or_default());
        }
        let query = query_vector(seed);
        let scores = snapshot.dense_scores(&query, &all).unwrap();
        let by_row: std::collections::HashMap<_, _> = all.iter().zip(scores).collect();
        for hit in snapshot.dense(&query, &visible, 1_000).unwrap() {
            prop_assert_eq!(hit.score.to_bits(), by_row[&hit.row].to_bits());
            prop_assert_ne!(snapshot.key(hit.row).doc, DocNo(hidden));
        }
    }
}

#[test]
fn equal_scores_come_in_the_order_of_documents_and_chunks() {
    let fixture = Fixture::new();
    let generation = fixture.generation();
    let same = |doc, chunk| RowInput {
        vector: halves(&direction(1, DIMENSION)),
        title: String::new(),
        ..row(doc, 1, chunk, "key")
    };
    generation.publish(vec![same(5, 1), same(5, 0)], Seq(1)).unwrap();
    generation.publish(vec![same(2, 0), same(9, 0)], Seq(2)).unwrap();
    let table = all_open(2, &[(2, 1), (5, 1), (9, 1)]);
    let want = [key(2, 1, 0), key(5, 1, 0), key(5, 1, 1), key(9, 1, 0)];
    assert_eq!(keys(&words(&generation.snapshot(), &table, "key")), want);
    assert_eq!(keys(&vectors(&generation.snapshot(), &table, 4, 10)), want);
    assert_eq!(keys(&vectors(&generation.snapshot(), &table, 4, 2)), want[..2]);
}

#[test]
fn a_query_is_words_and_nothing_else() {
    let fixture = Fixture::new();
    let generation = fixture.generation();
    generation.publish(vec![row(0, 1, 0, "not a key, AND or OR"), row(1, 1, 0, "door")], Seq(1)).unwrap();
    let (snapshot, table) = (generation.snapshot(), all_open(1, &[(0, 1), (1, 1)]));
    for odd in
        ["(".repeat(10_000), "NOT ".repeat(2_500), "\"".repeat(10_000), "body:".repeat(2_000), "^~*?\\[]{}".repeat(900)]
    {
        let query = LexicalQuery::parse(&odd);
        assert!(query.words().count() <= 2, "{query:?}");
        snapshot.lexical(&query, &seen(&snapshot, &table), 10).unwrap();
        let found = keys(&words(&snapshot, &table, &format!("{} NOT door key", &odd[..4_000])));
        assert_eq!(found.len(), 2, "the question's words count, whatever stands before them");
    }
    assert_eq!(keys(&words(&snapshot, &table, "-door")), [key(1, 1, 0)]);
    assert!(LexicalQuery::parse(" ((--\"\")) ").is_empty());
}

#[test]
fn a_query_has_a_bounded_number_of_distinct_terms() {
    let many: Vec<String> = (0..1_000).map(|number| format!("w{}", number / 2)).collect();
    let query = LexicalQuery::parse(&many.join(" "));
    assert_eq!(query.words().count(), catena_domain::limits::QUERY_TERMS_MAX);
    assert_eq!(query.words().take(2).collect::<Vec<_>>(), ["w0", "w1"]);
    let late = format!("{}{}", " ".repeat(catena_domain::limits::QUERY_BYTES_MAX), "late");
    assert!(LexicalQuery::parse(&late).is_empty());
}

#[test]
fn a_vector_of_another_recipe_is_refused_and_never_compared() {
    let fixture = Fixture::new();
    let generation = fixture.generation();
    generation.publish(vec![row(0, 1, 0, "key")], Seq(1)).unwrap();
    let (snapshot, table) = (generation.snapshot(), all_open(1, &[(0, 1)]));
    let ask = |query: &QueryVector| {
        let listed = snapshot.dense(query, &seen(&snapshot, &table), 3).map(|_| ());
        let scored = snapshot.dense_scores(query, &[]).map(|_| ());
        assert_eq!(listed.is_err(), scored.is_err());
        listed.unwrap_err()
    };
    let foreign = QueryVector { recipe: RecipeId::new("recipe-2").unwrap(), ..query_vector(1) };
    let error = ask(&foreign);
    assert!(matches!(error, IndexError::Recipe { .. }), "{error}");
    assert!(error.to_string().contains("recipe-1") && error.to_string().contains("recipe-2"), "{error}");
    assert!(matches!(ask(&QueryVector { values: vec![1.0; 9], ..query_vector(1) }), IndexError::Dimension { .. }));
    for bad in [0.0, f32::NAN, f32::INFINITY] {
        let error = ask(&QueryVector { values: vec![bad; DIMENSION], ..query_vector(1) });
        assert!(matches!(error, IndexError::QueryVector { .. }), "{error}");
    }
}

#[test]
fn rows_and_visible_sets_of_another_snapshot_are_refused() {
    let fixture = Fixture::new();
    let generation = fixture.generation();
    generation.publish(vec![row(0, 1, 0, "key")], Seq(1)).unwrap();
    let table = all_open(1, &[(0, 1)]);
    let old = seen(&generation.snapshot(), &table);
    generation.publish(vec![row(1, 1, 0, "key")], Seq(2)).unwrap();
    let snapshot = generation.snapshot();
    let refused = |error: IndexError| assert!(matches!(error, IndexError::OtherSnapshot { .. }), "{error}");
    refused(snapshot.lexical(&LexicalQuery::parse("key"), &old, 3).unwrap_err());
    refused(snapshot.dense(&query_vector(1), &old, 3).unwrap_err());
    let nowhere = [crate::RowId { segment: 0, row: 1 }];
    refused(snapshot.dense_scores(&query_vector(1), &nowhere).unwrap_err());
    refused(snapshot.lexical_scores(&LexicalQuery::parse("key"), &seen(&snapshot, &table), &nowhere).unwrap_err());
}

/// The share of the true best ten that the dense arm finds.
fn recall_of_ten(vectors: &[Vec<f32>], queries: &[Vec<f32>]) -> f64 {
    let dimension = vectors[0].len();
    let fixture = Fixture::new();
    let open = fixture.index.generation(&ann(), &generation_id("g1"), &recipe(), dimension).unwrap();
    let rows = |(doc, vector): (usize, &Vec<f32>)| RowInput { vector: halves(vector), ..row(doc as u32, 1, 0, "") };
    open.publish(vectors.iter().enumerate().map(rows).collect(), Seq(1)).unwrap();
    let documents: Vec<(u32, u32)> = (0..vectors.len() as u32).map(|doc| (doc, 1)).collect();
    let (snapshot, table) = (open.snapshot(), all_open(1, &documents));
    let visible = seen(&snapshot, &table);
    let cosine = |a: &[f32], b: &[f32]| {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    let mut found = 0;
    for query in queries {
        let mut exact: Vec<(f64, u32)> = (0..).zip(vectors).map(|(doc, vector)| (cosine(query, vector), doc)).collect();
        exact.sort_by(|a, b| b.0.total_cmp(&a.0));
        let best: Vec<u32> = exact[..10].iter().map(|pair| pair.1).collect();
        let asked = QueryVector { recipe: recipe(), values: query.clone() };
        let hits = snapshot.dense(&asked, &visible, 10).unwrap();
        found += hits.iter().filter(|hit| best.contains(&snapshot.key(hit.row).doc.0)).count();
    }
    found as f64 / (queries.len() * 10) as f64
}

#[test]
fn ten_of_ten_nearest_rows_are_found_among_scattered_and_among_crowded_vectors() {
    const DIMENSIONS: usize = 128;
    let scattered: Vec<Vec<f32>> = (0..3_000).map(|seed| direction(seed, DIMENSIONS)).collect();
    let queries: Vec<Vec<f32>> = (10_000..10_050).map(|seed| direction(seed, DIMENSIONS)).collect();
    let recall = recall_of_ten(&scattered, &queries);
    assert!(recall >= 0.99, "scattered: {recall}");

    let near = |seed: u64, centre: u64| -> Vec<f32> {
        direction(centre, DIMENSIONS).iter().zip(direction(seed, DIMENSIONS)).map(|(c, n)| c + 0.3 * n).collect()
    };
    let crowded: Vec<Vec<f32>> = (0..3_000).map(|seed| near(seed, 50_000 + seed % 20)).collect();
    let queries: Vec<Vec<f32>> = (10_000..10_050).map(|seed| near(seed, 50_000 + seed % 20)).collect();
    let recall = recall_of_ten(&crowded, &queries);
    assert!(recall >= 0.99, "crowded: {recall}");
}
