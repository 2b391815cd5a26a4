//! What may be seen is decided by the document table and the access lists, at once and without a write to the index.

use super::*;

fn two_documents() -> (Fixture, Arc<Snapshot>) {
    let fixture = Fixture::new();
    fixture.generation().publish(vec![row(0, 1, 0, "key"), row(1, 1, 0, "key")], Seq(1)).unwrap();
    let snapshot = fixture.generation().snapshot();
    (fixture, snapshot)
}

fn found(snapshot: &Snapshot, table: &LiveTable) -> Vec<RowKey> {
    let by_words = keys(&words(snapshot, table, "key"));
    let mut by_vector = keys(&vectors(snapshot, table, 1, 10));
    by_vector.sort();
    assert_eq!(by_words, by_vector, "the arms disagree about what may be seen");
    by_words
}

#[test]
fn a_superseded_version_and_a_deleted_document_vanish_with_no_write_to_the_index() {
    let (_fixture, snapshot) = two_documents();
    let table = all_open(1, &[(0, 1), (1, 1)]);
    assert_eq!(found(&snapshot, &table), [key(0, 1, 0), key(1, 1, 0)]);
    let superseded = table.with(Seq(2), vec![document(0, 2, OPEN)], vec![]);
    assert_eq!(found(&snapshot, &superseded), [key(1, 1, 0)]);
    let deleted =
        superseded.with(Seq(3), vec![LiveDocument { live: Liveness::Deleted, ..document(1, 1, OPEN) }], vec![]);
    assert_eq!(found(&snapshot, &deleted), []);
    assert_eq!(found(&snapshot, &table).len(), 2, "an older table still says what it said");
}

#[test]
fn a_revocation_holds_at_once() {
    let (_fixture, snapshot) = two_documents();
    let table = all_open(1, &[(0, 1), (1, 1)]).with(Seq(2), vec![document(0, 1, CLOSED)], vec![]);
    assert_eq!(found(&snapshot, &table), [key(1, 1, 0)]);
}

#[test]
fn a_document_or_a_list_that_the_table_does_not_know_is_not_seen_by_anyone() {
    let (_fixture, snapshot) = two_documents();
    let administrator = scope_of("root", &[Right::Read, Right::Admin]);
    let rows =
        |table: &LiveTable| snapshot.visible(&administrator, table, &Filter::default(), Counted::Live, NOW).rows();
    assert_eq!(rows(&all_open(1, &[(0, 1)])), 1);
    assert_eq!(rows(&all_open(1, &[(0, 1)]).with(Seq(2), vec![document(1, 1, 99)], vec![])), 1);
}

#[test]
fn the_service_and_other_tenants_see_nothing() {
    let (_fixture, snapshot) = two_documents();
    let table = all_open(1, &[(0, 1), (1, 1)]);
    for scope in [Scope::service(&tenant("acme")), Scope::service(&tenant("globex"))] {
        assert_eq!(snapshot.visible(&scope, &table, &Filter::default(), Counted::Live, NOW).rows(), 0);
    }
    let foreign = Credential {
        key: KeyId::new("k2").unwrap(),
        name: "foreign".into(),
        tenant: Some(tenant("globex")),
        rights: Rights::of(&[Right::Read, Right::Admin]),
        user: None,
        groups: vec![],
        clearance: None,
    };
    let globex = tenant("globex");
    let scope = foreign
        .enter(Entry { tenant: &globex, need: Right::Read, on_behalf: None, directory: Directory::default() })
        .unwrap();
    let visible = snapshot.visible(&scope, &table, &Filter::default(), Counted::Live, NOW);
    assert_eq!((visible.rows(), visible.counted_rows()), (0, 0));
    assert!(snapshot.lexical(&LexicalQuery::parse("key"), &visible, 10).unwrap().is_empty());
    assert!(snapshot.dense(&query_vector(1), &visible, 10).unwrap().is_empty());
}

#[test]
fn hidden_rows_count_in_scores_and_dead_ones_do_not() {
    let (_fixture, snapshot) = two_documents();
    let score = |table: &LiveTable| words(&snapshot, table, "key")[0].1;
    let both = all_open(1, &[(0, 1), (1, 1)]);
    let one_hidden = both.with(Seq(2), vec![document(1, 1, CLOSED)], vec![]);
    let one_dead = both.with(Seq(2), vec![LiveDocument { live: Liveness::Deleted, ..document(1, 1, OPEN) }], vec![]);
    assert_eq!(score(&one_hidden), score(&both));
    assert_ne!(score(&one_dead), score(&both));
}

#[test]
fn a_filter_takes_any_of_the_sources_and_every_attribute() {
    let (_fixture, snapshot) = two_documents();
    let attributes = |pairs: &[(&str, &str)]| {
        Arc::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect())
    };
    let documents = vec![
        LiveDocument {
            source: Some("handbook".into()),
            attributes: attributes(&[("lang", "en"), ("team", "ops")]),
            ..document(0, 1, OPEN)
        },
        LiveDocument { attributes: attributes(&[("lang", "de")]), ..document(1, 1, OPEN) },
    ];
    let table = live(1, documents);
    let seen = |sources: &[&str], wanted: &[(&str, &[&str])]| -> Vec<u32> {
        let filter = Filter {
            sources: sources.iter().map(|source| (*source).to_owned()).collect(),
            attributes: wanted
                .iter()
                .map(|(name, values)| ((*name).to_owned(), values.iter().map(|&value| value.into()).collect()))
                .collect(),
            clause: None,
        };
        let visible = snapshot.visible(&ann(), &table, &filter, Counted::Live, NOW);
        let hits = snapshot.lexical(&LexicalQuery::parse("key"), &visible, 10).unwrap();
        hits.iter().map(|hit| snapshot.key(hit.row).doc.0).collect()
    };
    assert_eq!(seen(&[], &[]), [0, 1]);
    assert_eq!(seen(&["wiki", "handbook"], &[]), [0]);
    assert_eq!(seen(&["wiki"], &[]), [] as [u32; 0]);
    assert_eq!(seen(&[], &[("lang", &["en", "de"])]), [0, 1]);
    assert_eq!(seen(&[], &[("lang", &["en", "de"]), ("team", &["ops"])]), [0]);
    assert_eq!(seen(&[], &[("lang", &[])]), [] as [u32; 0]);
}
