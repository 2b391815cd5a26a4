//! Earlier versions, deleted documents, and what a purge leaves of them.

use super::*;
use crate::store;
use catena_access::Liveness;
use catena_domain::{ErrorKind, Seq};

/// An invented word, in a text that compresses badly enough to be found in the file.
const CANARY: &str = "vexilquorn";

async fn delete(catalog: &Catalog, name: &str) -> Changed {
    let deleted = catalog.delete_document(&admin("acme"), &id(name), Expect::Any, draft("document.delete")).await;
    deleted.unwrap().unwrap().value
}

async fn purge(catalog: &Catalog, name: &str) -> Result<Option<Changed>, CatalogError> {
    let done = catalog.purge_document(&admin("acme"), &id(name), Expect::Any, draft("document.purge")).await?;
    Ok(done.map(|written| written.value))
}

/// Takes every pending purge to its end, as far as the catalog goes; in how many steps.
async fn finish(catalog: &Catalog) -> usize {
    let scope = admin("acme");
    let mut steps = 0;
    for pending in catalog.pending_purges(&scope).await.unwrap() {
        while catalog.purge_step(&scope, pending).await.unwrap() == PurgeStep::More {
            steps += 1;
        }
        catalog.finish_purge(&scope, pending).await.unwrap();
    }
    steps
}

/// How many rows of the tenant each table holds that a purge empties.
async fn rows(catalog: &Catalog) -> Vec<u64> {
    let mut tx = catalog.store.read(&tenant("acme")).await.unwrap();
    let mut counts = Vec::new();
    for count in [
        "SELECT count(*) AS count FROM versions WHERE tenant = 'acme'",
        "SELECT count(*) AS count FROM version_text WHERE tenant = 'acme'",
        "SELECT count(*) AS count FROM version_places WHERE tenant = 'acme'",
        "SELECT count(*) AS count FROM chunkings WHERE tenant = 'acme'",
        "SELECT count(*) AS count FROM chunks WHERE tenant = 'acme'",
        "SELECT count(*) AS count FROM embeddings WHERE tenant = 'acme'",
        "SELECT count(*) AS count FROM screenings WHERE tenant = 'acme'",
        "SELECT count(*) AS count FROM purges WHERE tenant = 'acme'",
    ] {
        counts.push(store::sql(count).fetch_one(&mut tx).await.unwrap().u64("count").unwrap());
    }
    counts
}

async fn an_earlier_version_is_for_administrators_alone(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    put(catalog, &scope, NewDocument { title: "Old title".into(), ..document("a", "first text") }).await;
    let markdown = NewDocument { content_type: "text/markdown".into(), ..document("a", "second text") };
    put(catalog, &scope, markdown).await;
    let first = catalog.version(&scope, &id("a"), VersionNo(1)).await.unwrap().unwrap();
    assert_eq!((first.title.as_str(), first.text.as_str()), ("Old title", "first text"));
    assert_eq!((first.content_type.as_str(), first.bytes_sha256), ("text/plain", sha256(b"first text")));
    assert_eq!(catalog.version(&scope, &id("a"), VersionNo(3)).await.unwrap(), None);
    for other in [as_user("acme", "ann", &[]), app("acme"), admin("globex"), Scope::service(&tenant("acme"))] {
        for version in [1, 2] {
            assert_eq!(catalog.version(&other, &id("a"), VersionNo(version)).await.unwrap(), None);
        }
    }
    let denied = acl(&["everyone"], &["user:ann"]);
    catalog.set_acl(&scope, &id("a"), &denied, Expect::Any, draft("acl")).await.unwrap();
    assert!(catalog.version(&scope, &id("a"), VersionNo(1)).await.unwrap().is_some());
    delete(catalog, "a").await;
    assert_eq!(catalog.version(&scope, &id("a"), VersionNo(1)).await.unwrap(), None);
}

async fn what_was_looked_at_is_what_is_written_over(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    put(catalog, &scope, document("a", "first")).await;
    put(catalog, &scope, document("a", "second")).await;
    let old = catalog.restorable(&scope, &id("a"), VersionNo(1)).await.unwrap().unwrap();
    assert_eq!((old.text.as_str(), old.state, old.current.version), ("first", Liveness::Live, VersionNo(2)));
    let over = |seq| NewDocument { expect: Expect::ChangedBy(seq), ..document("a", "first") };
    // Somebody narrows the access list between the look and the write.
    catalog.set_acl(&scope, &id("a"), &acl(&["user:ann"], &[]), Expect::Any, draft("acl")).await.unwrap();
    let error = catalog.put_document(&scope, over(old.changed_seq), draft("restore")).await.unwrap_err();
    assert!(matches!(error, CatalogError::Precondition { .. }), "{error}");
    let deleted = delete(catalog, "a").await;
    let old = catalog.restorable(&scope, &id("a"), VersionNo(1)).await.unwrap().unwrap();
    assert_eq!((old.state, old.changed_seq), (Liveness::Deleted, deleted.seq));
    let back = catalog.put_document(&scope, over(old.changed_seq), draft("restore")).await.unwrap().value;
    assert_eq!((back.version, back.change), (VersionNo(3), Change::Created));
}

async fn a_write_of_any_kind_holds_to_what_its_writer_believes(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    put(catalog, &scope, document("a", "text")).await;
    let (a, wrong, right) = (id("a"), Expect::Version(VersionNo(2)), Expect::Version(VersionNo(1)));
    let open = acl(&["everyone"], &[]);
    let before = (catalog.seq(&scope).await.unwrap(), catalog.chain_head(&scope).await.unwrap());
    let refused = |result: Result<Option<Written<Changed>>, CatalogError>| {
        matches!(result, Err(CatalogError::Precondition { .. }))
    };
    assert!(refused(catalog.set_acl(&scope, &a, &open, wrong, draft("acl")).await));
    assert!(refused(catalog.delete_document(&scope, &a, wrong, draft("delete")).await));
    assert!(refused(catalog.purge_document(&scope, &a, wrong, draft("purge")).await));
    assert_eq!((catalog.seq(&scope).await.unwrap(), catalog.chain_head(&scope).await.unwrap()), before);
    catalog.set_acl(&scope, &a, &open, right, draft("acl")).await.unwrap().unwrap();
    catalog.delete_document(&scope, &a, right, draft("delete")).await.unwrap().unwrap();
    catalog.purge_document(&scope, &a, right, draft("purge")).await.unwrap().unwrap();
}

async fn deleted_documents_are_listed_until_they_are_purged_or_back(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    for name in ["a", "b", "c", "d"] {
        put(catalog, &scope, document(name, name)).await;
    }
    for name in ["a", "b", "c"] {
        delete(catalog, name).await;
    }
    let listed = async |after: Option<&DocumentId>, limit| {
        let page = catalog.deleted_documents(&scope, after, limit).await.unwrap();
        (page.items.iter().map(|deleted| deleted.row.id.to_string()).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(listed(None, 2).await, (vec!["a".into(), "b".into()], Some("b".into())));
    assert_eq!(listed(Some(&id("b")), 2).await, (vec!["c".to_owned()], None));
    put(catalog, &scope, document("a", "a")).await;
    purge(catalog, "b").await.unwrap().unwrap();
    assert_eq!(listed(None, 9).await, (vec!["c".to_owned()], None));
    let now = catena_runtime::clock::now();
    assert_eq!(catalog.deleted_before(&scope, now, 9).await.unwrap(), [id("c")]);
    assert!(catalog.deleted_before(&scope, catena_domain::Timestamp(now.0 - 60_000_000), 9).await.unwrap().is_empty());
}

async fn a_purge_takes_everything_but_the_number_and_what_others_need(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    put(catalog, &scope, document("kept", "shared\n\nown")).await;
    let kept = rows(catalog).await;
    let other = |text: &str| {
        let mut new = document("gone", text);
        new.title = "Title of kept".into();
        (new.chunks, new.embeddings) = cut("Title of kept", text);
        new
    };
    let many: String = (0..2_500).map(|number| format!("paragraph {number}\n\n")).collect();
    let first = put(catalog, &scope, other(&format!("shared\n\n{many}"))).await.value;
    put(catalog, &scope, other("shared\n\nsecond")).await;
    assert_eq!(purge(catalog, "gone").await.unwrap_err().kind(), ErrorKind::Conflict, "a live document was purged");
    assert_eq!(purge(catalog, "never").await.unwrap(), None);
    delete(catalog, "gone").await;
    let begun = purge(catalog, "gone").await.unwrap().unwrap();
    assert_eq!(begun, Changed { version: VersionNo(2), seq: Seq(5) });
    // From the first moment nothing can be had of it, whatever is still stored.
    assert_eq!(catalog.restorable(&scope, &id("gone"), VersionNo(1)).await.unwrap(), None);
    assert!(catalog.deleted_documents(&scope, None, 9).await.unwrap().items.is_empty());
    assert_eq!(purge(catalog, "gone").await.unwrap(), Some(begun), "asked again, it goes on");
    assert!(finish(catalog).await >= 3, "the purge was not done in bounded steps");
    assert_eq!(rows(catalog).await, kept);
    assert_eq!(purge(catalog, "gone").await.unwrap(), None);
    assert_eq!(catalog.document(&scope, &id("kept")).await.unwrap().unwrap().text, "shared\n\nown");
    // Written anew, it is the next version: an old citation never meets the new text.
    let back = put(catalog, &scope, document("gone", "new text")).await.value;
    assert_eq!((back.doc, back.version, back.change), (first.doc, VersionNo(3), Change::Created));
    assert_eq!(catalog.version_text(&scope, &id("gone"), VersionNo(1)).await.unwrap(), None);
    let versions = catalog.versions(&scope, &id("gone")).await.unwrap().unwrap();
    assert_eq!(versions.iter().map(|row| row.version.0).collect::<Vec<_>>(), [3]);
}

async fn a_document_written_anew_during_its_purge_keeps_its_new_version_alone(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    put(catalog, &scope, document("a", "old\n\ntext")).await;
    delete(catalog, "a").await;
    purge(catalog, "a").await.unwrap().unwrap();
    let pending = catalog.pending_purges(&scope).await.unwrap();
    assert_eq!(catalog.purge_step(&scope, pending[0]).await.unwrap(), PurgeStep::More);
    put(catalog, &scope, document("a", "new\n\ntext")).await;
    let versions = catalog.versions(&scope, &id("a")).await.unwrap().unwrap();
    assert_eq!(versions.iter().map(|row| row.version.0).collect::<Vec<_>>(), [2], "a version is half gone");
    assert_eq!(catalog.version(&scope, &id("a"), VersionNo(1)).await.unwrap(), None);
    finish(catalog).await;
    assert_eq!(catalog.document(&scope, &id("a")).await.unwrap().unwrap().text, "new\n\ntext");
    assert_eq!(rows(catalog).await, [1, 1, 1, 1, 2, 2, 1, 0]);
}

#[tokio::test]
async fn no_byte_of_a_purged_document_is_left_in_the_files_of_the_database() {
    let home = On::Sqlite.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    let held = || {
        let files = std::fs::read_dir(home.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.is_file()).any(|path| {
            let bytes = std::fs::read(path).unwrap_or_default();
            bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
        })
    };
    for round in 0..30 {
        let mut new = document("a", &format!("{CANARY} {round} of the text\n\nmore of it {round}"));
        new.title = format!("{CANARY} {round} {}", "of the title ".repeat(round));
        new.uri = Some(format!("https://{CANARY}.example/{round}"));
        new.attributes = BTreeMap::from([(CANARY.into(), CANARY.into())]);
        (new.chunks, new.embeddings) = cut(&new.title, &new.text);
        put(catalog, &scope, new).await;
        put(catalog, &scope, document(&format!("other-{round}"), &"other text ".repeat(round * 50))).await;
    }
    delete(catalog, "a").await;
    assert!(held(), "the test is worth nothing");
    purge(catalog, "a").await.unwrap().unwrap();
    finish(catalog).await;
    catalog.forget_earlier_pages().await.unwrap();
    assert!(!held());
    catalog.close().await.unwrap();
    assert!(!held());
}

on_both! {
    an_earlier_version_is_for_administrators_alone,
    what_was_looked_at_is_what_is_written_over,
    a_write_of_any_kind_holds_to_what_its_writer_believes,
    deleted_documents_are_listed_until_they_are_purged_or_back,
    a_purge_takes_everything_but_the_number_and_what_others_need,
    a_document_written_anew_during_its_purge_keeps_its_new_version_alone,
}
