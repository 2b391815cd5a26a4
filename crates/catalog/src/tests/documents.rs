//! Documents, their versions, and who may read them.

use super::*;
use catena_access::Liveness;
use catena_domain::{ErrorKind, Seq, Timestamp};

async fn a_document_reads_back_as_it_was_written(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    let text = format!("First paragraph.\n\n{}\n\nLast: é 語 🦀.", "Long. ".repeat(5_000));
    let attributes = r#"{"draft": false, "lang": "en", "tags": ["a", "b"], "year": 2024, "weight": 0.5}"#;
    let attributes = serde_json::from_str(attributes).unwrap();
    let new = NewDocument { modified_at: Some(Timestamp(5)), attributes, ..document("a/b.md", &text) };
    let written = put(&home.catalog, &scope, new.clone()).await;
    assert_eq!((written.value.version, written.value.change), (VersionNo(1), Change::Created));
    let read = home.catalog.document(&scope, &new.id).await.unwrap().unwrap();
    assert_eq!((read.text, read.text_sha256), (text, new.text_sha256));
    assert_eq!((read.title, read.uri, read.source), (new.title, new.uri, new.source));
    assert_eq!((read.attributes, read.acl, read.modified_at), (new.attributes, new.acl, new.modified_at));
    assert_eq!((read.version, read.versions, read.content_type), (VersionNo(1), 1, new.content_type));
    assert_eq!(read.rule.to_string(), "allow everyone");
}

async fn equal_bytes_and_metadata_change_nothing_but_leave_a_leaf(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    let first = put(&home.catalog, &scope, document("a", "text")).await;
    let again = put(&home.catalog, &scope, document("a", "text")).await;
    assert_eq!(again.value.change, Change::None);
    assert_eq!((again.value.seq, again.value.version), (None, first.value.version));
    assert_eq!(home.catalog.seq(&scope).await.unwrap(), Seq(1));
    assert_eq!(again.leaf.index, first.leaf.index + 1);
}

async fn what_is_searched_for_makes_a_version_and_what_is_said_about_it_does_not(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    put(&home.catalog, &scope, document("a", "text")).await;
    let base = document("a", "text");
    let same = |change: fn(&mut NewDocument)| {
        let mut document = base.clone();
        change(&mut document);
        document
    };
    for new in [
        same(|new| new.uri = None),
        same(|new| new.source = None),
        same(|new| new.modified_at = Some(Timestamp(9))),
        same(|new| new.acl = acl(&["group:eng"], &[])),
        same(|new| new.attributes = BTreeMap::new()),
    ] {
        let written = put(&home.catalog, &scope, new).await.value;
        assert_eq!((written.change, written.version), (Change::Metadata, VersionNo(1)));
        put(&home.catalog, &scope, base.clone()).await;
    }
    let retitled = same(|new| {
        new.title = "Other".into();
        (new.chunks, new.embeddings) = cut("Other", "text");
    });
    let retyped = same(|new| new.content_type = "text/markdown".into());
    for (new, version) in [(retitled, 2), (retyped, 3), (document("a", "other text"), 4)] {
        let written = put(&home.catalog, &scope, new).await.value;
        assert_eq!((written.change, written.version), (Change::NewVersion, VersionNo(version)));
    }
    let versions = home.catalog.versions(&scope, &id("a")).await.unwrap().unwrap();
    assert_eq!(versions.iter().map(|row| row.version.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!((versions[0].change, versions[3].change), (Change::Created, Change::NewVersion));
    assert_eq!((versions[3].bytes, versions[3].chunks), (10, 1));
    let old = home.catalog.version_text(&scope, &id("a"), VersionNo(1)).await.unwrap().unwrap();
    assert_eq!(old.0, "text");
}

async fn a_deleted_document_is_gone_for_all_and_continues_its_versions_when_it_comes_back(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    let first = put(&home.catalog, &scope, document("a", "text")).await.value;
    assert_eq!(home.catalog.document_count(&scope).await.unwrap(), 1);
    let deleted =
        home.catalog.delete_document(&scope, &id("a"), Expect::Any, draft("document.delete")).await.unwrap().unwrap();
    assert_eq!(deleted.value, Changed { version: VersionNo(1), seq: Seq(2) });
    assert_eq!(home.catalog.document_count(&scope).await.unwrap(), 0);
    assert_eq!(home.catalog.document(&scope, &id("a")).await.unwrap(), None);
    assert_eq!(home.catalog.current(&scope, &id("a")).await.unwrap(), None);
    assert_eq!(home.catalog.versions(&scope, &id("a")).await.unwrap(), None);
    assert_eq!(home.catalog.version_text(&scope, &id("a"), VersionNo(1)).await.unwrap(), None);
    assert!(
        home.catalog.delete_document(&scope, &id("a"), Expect::Any, draft("document.delete")).await.unwrap().is_none()
    );
    let changes = home.catalog.live_changes(&scope, first.seq.unwrap()).await.unwrap();
    assert_eq!(
        changes.documents.iter().map(|row| (row.doc, row.live)).collect::<Vec<_>>(),
        [(first.doc, Liveness::Deleted)]
    );
    let back = put(&home.catalog, &scope, document("a", "text")).await.value;
    assert_eq!((back.doc, back.version, back.change), (first.doc, VersionNo(2), Change::Created));
    assert_eq!(home.catalog.document_count(&scope).await.unwrap(), 1);
}

async fn a_writer_who_believes_wrong_is_told_and_leaves_nothing(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    let with = |expect, text: &str| NewDocument { expect, ..document("a", text) };
    let write = async |new| home.catalog.put_document(&scope, new, draft("document.put")).await;
    let kind = |result: Result<_, CatalogError>| result.map(|_: Written<PutOutcome>| ()).unwrap_err().kind();
    assert_eq!(kind(write(with(Expect::Version(VersionNo(1)), "x")).await), ErrorKind::Conflict);
    write(with(Expect::Absent, "x")).await.unwrap();
    assert_eq!(kind(write(with(Expect::Absent, "y")).await), ErrorKind::Conflict);
    assert_eq!(kind(write(with(Expect::Version(VersionNo(2)), "y")).await), ErrorKind::Conflict);
    write(with(Expect::Version(VersionNo(1)), "y")).await.unwrap();
    assert_eq!(home.catalog.seq(&scope).await.unwrap(), Seq(2));
    // The tenant's own leaf and one for each of the two writes that took place.
    assert_eq!(home.catalog.chain_head(&scope).await.unwrap().unwrap().index, 2);
}

async fn what_cannot_be_right_is_refused(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    let base = document("a", "some text\n\nmore text");
    let wrong = |change: fn(&mut NewDocument)| {
        let mut document = base.clone();
        change(&mut document);
        document
    };
    for (new, kind, what) in [
        (wrong(|new| new.text_sha256 = [0; 32]), ErrorKind::Invalid, "hash"),
        (wrong(|new| new.chunks[1].span.end = 999), ErrorKind::Invalid, "a piece of the text"),
        (wrong(|new| new.embeddings[0].1 = vec![f16::ONE; 5]), ErrorKind::Invalid, "another length"),
        (
            wrong(|new| new.embeddings = vec![(new.chunks[0].hash, vec![f16::ONE; 5])]),
            ErrorKind::Invalid,
            "vectors of 4",
        ),
        (wrong(|new| new.embeddings[0].1[0] = f16::NAN), ErrorKind::Invalid, "finite"),
        (wrong(|new| new.embeddings.clear()), ErrorKind::Conflict, "2 chunks have no vector"),
        (wrong(|new| new.title = "x".repeat(2_000)), ErrorKind::Invalid, "the limit is 1024"),
        (wrong(|new| new.attributes = (0..65).map(|n| (n.to_string(), "".into())).collect()), ErrorKind::Invalid, "65"),
    ] {
        let error = home.catalog.put_document(&scope, new, draft("document.put")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
    assert_eq!(home.catalog.seq(&scope).await.unwrap(), Seq(0));
    assert_eq!(home.catalog.chain_head(&scope).await.unwrap().unwrap().index, 0);
}

async fn a_changed_acl_is_obeyed_by_the_next_question_of_every_kind(on: On) {
    let home = on.home_with_tenants().await;
    let (writer, ann, bob) = (admin("acme"), as_user("acme", "ann", &["eng"]), as_user("acme", "bob", &[]));
    let new = NewDocument { acl: acl(&["group:eng"], &[]), ..document("a", "text") };
    let put = put(&home.catalog, &writer, new).await.value;
    let sees = async |scope: &Scope| {
        let catalog = &home.catalog;
        let keys = [key(put.doc, put.version, 0)];
        let answers = [
            catalog.document(scope, &id("a")).await.unwrap().is_some(),
            catalog.versions(scope, &id("a")).await.unwrap().is_some(),
            catalog.version_text(scope, &id("a"), put.version).await.unwrap().is_some(),
            !catalog.documents(scope, None, 10).await.unwrap().items.is_empty(),
            catalog.passages(scope, &recipe(), &keys).await.unwrap()[0].is_some(),
        ];
        assert!(answers.iter().all(|&answer| answer == answers[0]), "{answers:?}");
        answers[0]
    };
    assert_eq!((sees(&ann).await, sees(&bob).await), (true, false));
    let set = async |acl: &Acl| {
        home.catalog.set_acl(&writer, &id("a"), acl, Expect::Any, draft("acl")).await.unwrap().unwrap().value.seq
    };
    let seq = set(&acl(&["user:bob"], &[])).await;
    assert_eq!((sees(&ann).await, sees(&bob).await), (false, true));
    let changes = home.catalog.live_changes(&writer, put.seq.unwrap()).await.unwrap();
    assert_eq!((changes.seq, changes.documents.len(), changes.acls.len()), (seq, 1, 1));
    assert_eq!(changes.documents[0].acl, changes.acls[0].0);
    assert_eq!(set(&acl(&["user:bob"], &[])).await, seq, "an equal acl took a sequence number");
    set(&acl(&["everyone"], &["user:bob"])).await;
    assert_eq!((sees(&ann).await, sees(&bob).await), (true, false));
    set(&Acl::default()).await;
    assert_eq!((sees(&ann).await, sees(&bob).await, sees(&writer).await), (false, false, true));
    assert!(!sees(&Scope::service(&tenant("acme"))).await);
    home.catalog.delete_document(&writer, &id("a"), Expect::Any, draft("delete")).await.unwrap().unwrap();
    assert!(!sees(&writer).await);
}

async fn a_list_shows_only_what_may_be_seen_in_full_pages_and_to_the_end(on: On) {
    let home = on.home_with_tenants().await;
    let writer = admin("acme");
    for number in 0..50 {
        let open = if number % 7 == 0 { acl(&["user:ann"], &[]) } else { acl(&["user:bob"], &[]) };
        put(&home.catalog, &writer, NewDocument { acl: open, ..document(&format!("d{number:02}"), "x") }).await;
    }
    let ann = as_user("acme", "ann", &[]);
    let (mut after, mut seen, mut sizes) = (None, Vec::new(), Vec::new());
    loop {
        let page = home.catalog.documents(&ann, after.as_ref(), 3).await.unwrap();
        sizes.push(page.items.len());
        seen.extend(page.items.iter().map(|row| row.id.to_string()));
        let Some(next) = page.next else { break };
        after = Some(id(&next));
    }
    assert_eq!(seen, ["d00", "d07", "d14", "d21", "d28", "d35", "d42", "d49"]);
    assert_eq!(sizes, [3, 3, 2]);
}

async fn sequence_numbers_have_no_gap_under_many_writers(on: On) {
    let home = on.home_with_tenants().await;
    let writers = (0..8).map(|writer| {
        let catalog = home.catalog.clone();
        tokio::spawn(async move {
            let scope = admin("acme");
            let mut seqs = Vec::new();
            for number in 0..25 {
                let name = format!("w{}-{}", writer % 4, number % 10);
                let written = put(&catalog, &scope, document(&name, &format!("{writer} {number}"))).await;
                seqs.extend(written.value.seq);
                if number % 5 == 0 {
                    let deleted =
                        catalog.delete_document(&scope, &id(&name), Expect::Any, draft("delete")).await.unwrap();
                    seqs.extend(deleted.map(|written| written.value.seq));
                }
            }
            seqs
        })
    });
    let mut seqs = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        seqs.extend(writer.await.unwrap());
    }
    seqs.sort_unstable();
    let expected: Vec<Seq> = (1..=seqs.len() as u64).map(Seq).collect();
    assert_eq!(seqs, expected);
    assert_eq!(home.catalog.seq(&admin("acme")).await.unwrap().0, seqs.len() as u64);
    let everything = home.catalog.live_changes(&admin("acme"), Seq(0)).await.unwrap();
    let live = everything.documents.iter().filter(|row| row.live == Liveness::Live).count() as u64;
    assert_eq!(home.catalog.document_count(&admin("acme")).await.unwrap(), live);
}

on_both! {
    a_document_reads_back_as_it_was_written,
    equal_bytes_and_metadata_change_nothing_but_leave_a_leaf,
    what_is_searched_for_makes_a_version_and_what_is_said_about_it_does_not,
    a_deleted_document_is_gone_for_all_and_continues_its_versions_when_it_comes_back,
    a_writer_who_believes_wrong_is_told_and_leaves_nothing,
    what_cannot_be_right_is_refused,
    a_changed_acl_is_obeyed_by_the_next_question_of_every_kind,
    a_list_shows_only_what_may_be_seen_in_full_pages_and_to_the_end,
    sequence_numbers_have_no_gap_under_many_writers,
}
