//! Sources, what is known of their documents, and documents that move.

use super::*;
use catena_domain::{ErrorKind, SourceName, Timestamp};

fn name(text: &str) -> SourceName {
    SourceName::new(text).unwrap()
}

fn described(spec: &str) -> SourceDescription {
    SourceDescription {
        spec: spec.to_owned(),
        credentials: SealedCredentials { sealed: Some(vec![1, 2, 3]), names: vec!["token".to_owned()] },
        schedule: None,
        guards: "{}".to_owned(),
        state: SourceState::Active,
        next_at: None,
    }
}

fn item(document: &str, state: ItemState) -> SourceItem {
    SourceItem {
        id: id(document),
        tag: "t1".to_owned(),
        bytes_sha256: Some([7; 32]),
        said_sha256: None,
        acl: Some(acl(&["everyone"], &[])),
        state,
        reason: None,
    }
}

async fn made(home: &Home, tenant: &str, source: &str) -> SourceRow {
    let draft = draft("source.create");
    home.catalog.create_source(&admin(tenant), &name(source), described("{}"), draft).await.unwrap().value
}

/// A source with a document of its own and a schedule, for tests that need something in every table.
pub(super) async fn furnish_source(catalog: &Catalog, scope: &Scope) {
    let (docs, at) = (name("docs"), SourceDescription { next_at: Some(Timestamp(i64::MAX)), ..described("{}") });
    catalog.create_source(scope, &docs, at, draft("source.create")).await.unwrap();
    let look = catalog.begin_look(scope, &docs, None).await.unwrap();
    let changes = ItemChanges { kept: vec![item("docs/a.md", ItemState::Ok)], gone: vec![] };
    catalog.note_items(scope, &docs, look, changes, None).await.unwrap();
}

async fn a_source_is_its_tenants_alone_and_described_anew_it_is_read_anew(on: On) {
    let home = on.home_with_tenants().await;
    let (acme, globex, docs) = (admin("acme"), admin("globex"), name("docs"));
    let row = made(&home, "acme", "docs").await;
    assert_eq!(home.catalog.source(&acme, &docs).await.unwrap(), Some(row));
    let again = home.catalog.create_source(&acme, &docs, described("{}"), draft("source.create")).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(home.catalog.source(&globex, &docs).await.unwrap(), None);
    assert!(home.catalog.delete_source(&globex, &docs, draft("source.delete")).await.unwrap().is_none());

    let look = home.catalog.begin_look(&acme, &docs, None).await.unwrap();
    let changes = ItemChanges { kept: vec![item("a.md", ItemState::Ok)], gone: vec![] };
    home.catalog.note_items(&acme, &docs, look, changes, None).await.unwrap();
    home.catalog.end_look(&acme, &docs, look, Some("c1".into()), "{}".into(), draft("sync")).await.unwrap();
    assert_eq!(home.catalog.source(&acme, &docs).await.unwrap().unwrap().cursor.as_deref(), Some("c1"));
    assert_eq!(home.catalog.known_items(&acme, &docs, None).await.unwrap(), [item("a.md", ItemState::Ok)]);
    assert!(home.catalog.known_items(&globex, &docs, None).await.unwrap().is_empty());

    let paused = SourceDescription { state: SourceState::Paused, ..described("{}") };
    home.catalog.describe_source(&acme, &docs, paused, draft("change")).await.unwrap().unwrap();
    assert_eq!(home.catalog.known_items(&acme, &docs, None).await.unwrap()[0].tag, "t1");
    home.catalog.describe_source(&acme, &docs, described("[]"), draft("change")).await.unwrap().unwrap();
    assert_eq!(home.catalog.known_items(&acme, &docs, None).await.unwrap()[0].tag, "");
    assert_eq!(home.catalog.source(&acme, &docs).await.unwrap().unwrap().cursor, None);
    home.catalog.delete_source(&acme, &docs, draft("source.delete")).await.unwrap().unwrap();
    assert_eq!(home.catalog.source(&acme, &docs).await.unwrap(), None);
    assert!(home.chains().await["tenant:acme"] >= 5);
}

async fn whoever_looks_when_another_began_to_look_writes_nothing_more(on: On) {
    let home = on.home_with_tenants().await;
    let (acme, docs) = (admin("acme"), name("docs"));
    made(&home, "acme", "docs").await;
    let old = home.catalog.begin_look(&acme, &docs, None).await.unwrap();
    let new = home.catalog.begin_look(&acme, &docs, None).await.unwrap();
    let changes = || ItemChanges { kept: vec![item("a.md", ItemState::Failed)], gone: vec![] };
    let late = home.catalog.note_items(&acme, &docs, old, changes(), None).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Conflict);
    let late = home.catalog.end_look(&acme, &docs, old, Some("c".into()), "{}".into(), draft("sync")).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(home.catalog.source(&acme, &docs).await.unwrap().unwrap().cursor, None);
    home.catalog.note_items(&acme, &docs, new, changes(), None).await.unwrap();
    let failed = home.catalog.items_in(&acme, &docs, ItemState::Failed, None, 10).await.unwrap();
    assert_eq!(failed.items.len(), 1);
    assert_eq!(home.catalog.item_counts(&acme, &docs).await.unwrap(), [(ItemState::Failed, 1)]);
}

async fn a_document_that_moves_is_the_same_document(on: On) {
    let home = on.home_with_tenants().await;
    let (acme, docs) = (admin("acme"), name("handbook"));
    made(&home, "acme", "handbook").await;
    let document = |name: &str, text: &str| NewDocument { title: "old.md".into(), ..document(name, text) };
    let first = put(&home.catalog, &acme, document("old.md", "One.")).await.value;
    put(&home.catalog, &acme, document("old.md", "Two.")).await;
    put(&home.catalog, &acme, document("taken.md", "Three.")).await;
    let to = |to: &str| Move {
        source: docs.clone(),
        from: id("old.md"),
        to: id(to),
        title_from_id: Some(("old.md".into(), to.to_owned())),
    };
    let moved = async |moved: Move| home.catalog.move_document(&acme, moved, draft("move")).await.unwrap();
    assert!(moved(to("taken.md")).await.is_none(), "it took another document's place");
    assert!(moved(Move { source: name("other"), ..to("new.md") }).await.is_none(), "another source moved it");
    let seq = moved(to("new.md")).await.unwrap().value.seq;
    let now = home.catalog.current(&acme, &id("new.md")).await.unwrap().unwrap();
    assert_eq!((now.doc, now.version, now.title.as_str()), (first.doc, VersionNo(2), "new.md"));
    assert_eq!(home.catalog.current(&acme, &id("old.md")).await.unwrap(), None);
    let versions = home.catalog.versions(&acme, &id("new.md")).await.unwrap().unwrap();
    assert_eq!(versions.len(), 2);
    let changes = home.catalog.live_changes(&acme, catena_domain::Seq(seq.0 - 1)).await.unwrap();
    assert_eq!(changes.documents.len(), 1);
    assert_eq!(put(&home.catalog, &acme, document("old.md", "Four.")).await.value.change, Change::Created);
}

async fn what_is_said_of_equal_bytes_is_written_without_a_version(on: On) {
    let home = on.home_with_tenants().await;
    let acme = admin("acme");
    let new = document("a.md", "One.");
    put(&home.catalog, &acme, new.clone()).await;
    let restated = Restated {
        id: new.id.clone(),
        bytes_sha256: new.bytes_sha256,
        uri: new.uri.clone(),
        attributes: new.attributes.clone(),
        source: new.source.clone(),
        modified_at: new.modified_at,
        acl: new.acl.clone(),
    };
    let restate = async |restated: Restated| {
        home.catalog.restate_document(&acme, restated, draft("restate")).await.unwrap().map(|written| written.value)
    };
    let same = restate(restated.clone()).await.unwrap();
    assert_eq!((same.change, same.seq), (Change::None, None));
    let other = Restated { modified_at: Some(Timestamp(7)), acl: acl(&["user:ann"], &[]), ..restated.clone() };
    let changed = restate(other).await.unwrap();
    assert_eq!((changed.change, changed.version), (Change::Metadata, VersionNo(1)));
    let now = home.catalog.current(&acme, &new.id).await.unwrap().unwrap();
    assert_eq!((now.modified_at, now.acl), (Some(Timestamp(7)), acl(&["user:ann"], &[])));
    assert_eq!(restate(Restated { bytes_sha256: [0; 32], ..restated }).await, None);
}

async fn a_source_that_is_due_is_given_to_one_of_many(on: On) {
    let home = on.home_with_tenants().await;
    for tenant in ["acme", "globex"] {
        made(&home, tenant, "docs").await;
        let due = Some(Timestamp(1));
        home.catalog.schedule_source(&admin(tenant), &name("docs"), due).await.unwrap();
    }
    let later = Timestamp(i64::MAX);
    let claims = (0..8).map(|_| home.catalog.claim_due_source(later));
    let claimed = futures::future::join_all(claims).await;
    let mut given: Vec<String> =
        claimed.into_iter().filter_map(|claim| claim.unwrap()).map(|(tenant, _)| tenant.to_string()).collect();
    given.sort();
    assert_eq!(given, ["acme", "globex"]);
    assert_eq!(home.catalog.scheduled_sources(10).await.unwrap().len(), 2);
}

async fn readers_are_counted_through_groups_and_denials(on: On) {
    let home = on.home_with_tenants().await;
    let acme = admin("acme");
    for (group_name, members) in [("few", &["ann", "bob"][..]), ("outer", &["group:few", "eve"])] {
        home.catalog.put_group(&acme, &group(group_name), of(members), draft("group")).await.unwrap();
    }
    for (before, after, users, unknown_groups) in [
        (acl(&["user:ann"], &[]), acl(&["group:outer"], &[]), 2, 0),
        (acl(&["user:ann"], &[]), acl(&["group:outer"], &["user:eve"]), 1, 0),
        (acl(&["group:outer"], &["group:few"]), acl(&["group:outer"], &[]), 2, 0),
        (acl(&["group:outer"], &[]), acl(&["group:few", "user:eve"], &[]), 0, 0),
        (acl(&[], &[]), acl(&["group:of-others", "user:zoe"], &[]), 1, 1),
        (acl(&["group:of-others"], &[]), acl(&["group:of-others"], &[]), 0, 0),
    ] {
        let gained = home.catalog.gained_readers(&acme, before.lists().unwrap(), after.lists().unwrap()).await.unwrap();
        assert_eq!(gained, GainedReaders { users, unknown_groups }, "{before:?} {after:?}");
    }
}

on_both! {
    a_source_is_its_tenants_alone_and_described_anew_it_is_read_anew,
    whoever_looks_when_another_began_to_look_writes_nothing_more,
    a_document_that_moves_is_the_same_document,
    what_is_said_of_equal_bytes_is_written_without_a_version,
    a_source_that_is_due_is_given_to_one_of_many,
    readers_are_counted_through_groups_and_denials,
}
