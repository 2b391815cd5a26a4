//! What is found in documents, what waits because of it, and who sees either.

use super::*;
use crate::tables::testing::TABLES;
use catena_access::{Liveness, Who};
use catena_domain::{ErrorKind, Seq};

const TEXT: &str = "the code is vexilquorn-77";

async fn keep_back(catalog: &Catalog, name: &str, text: &str) -> Result<PutOutcome, CatalogError> {
    let kept = catalog.keep_back(&admin("acme"), suspect(name, text), Expect::Any, draft("document.put")).await?;
    Ok(kept.value)
}

async fn waiting(catalog: &Catalog) -> Vec<String> {
    let page = catalog.suspects(&admin("acme"), None, 100).await.unwrap();
    page.items.into_iter().map(|item| item.document.to_string()).collect()
}

fn with(flags: &[&str], policy: u8) -> Screening {
    let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    Screening { policy: [policy; 32], flags, ..screening() }
}

async fn what_waits_is_in_no_list_and_for_administrators_alone(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    let kept = keep_back(catalog, "a", TEXT).await.unwrap();
    assert_eq!((kept.change, kept.version, kept.seq), (Change::Quarantined, VersionNo(0), None));
    assert_eq!(catalog.document(&scope, &id("a")).await.unwrap(), None);
    assert_eq!(catalog.version_text(&scope, &id("a"), VersionNo(1)).await.unwrap(), None);
    assert_eq!(catalog.documents(&scope, None, 10).await.unwrap().items, []);
    assert_eq!(catalog.deleted_documents(&scope, None, 10).await.unwrap().items, []);
    let live = catalog.live_changes(&Scope::service(&tenant("acme")), Seq(0)).await.unwrap();
    assert!(live.documents.is_empty() && live.acls.is_empty());
    assert_eq!(catalog.current(&scope, &id("a")).await.unwrap(), None);
    let shown = catalog.suspect(&scope, &id("a")).await.unwrap().unwrap();
    assert_eq!((shown.bytes.as_slice(), shown.said.as_str()), (TEXT.as_bytes(), "{}"));
    assert_eq!(shown.row.base, None);
    for other in [as_user("acme", "ann", &[]), app("acme"), admin("globex"), Scope::service(&tenant("acme"))] {
        assert_eq!(catalog.suspect(&other, &id("a")).await.unwrap(), None);
        assert_eq!(catalog.suspects(&other, None, 10).await.unwrap().items, []);
        assert!(catalog.reject(&other, &id("a"), draft("reject")).await.unwrap().is_none());
    }
    assert_eq!(waiting(catalog).await, ["a"]);
    let leaves = catalog.leaves(&scope, 0, 100).await.unwrap();
    let told = leaves.iter().map(|leaf| String::from_utf8_lossy(&leaf.bytes).into_owned()).collect::<String>();
    assert!(told.contains("email=1") && !told.contains("vexilquorn"), "{told}");
}

async fn what_waits_is_there_for_those_alone_whom_its_access_list_admits(on: On) {
    let home = on.home_with_tenants().await;
    let catalog = &home.catalog;
    let labelled = Acl::of(vec!["everyone".parse::<Who>().unwrap().into()], vec![], Some(label("unheard"))).unwrap();
    let lists = [
        ("a denied", acl(&["everyone"], &["user:bob"])),
        ("b unknown", Acl::unknown("403")),
        ("c labelled", labelled),
        ("d open", acl(&["everyone"], &[])),
        ("e nobody's", acl(&[], &[])),
    ];
    for (name, acl) in lists {
        let kept = NewSuspect { acl, ..suspect(name, TEXT) };
        catalog.keep_back(&admin("acme"), kept, Expect::Any, draft("document.put")).await.unwrap();
    }
    let seen_by = async |scope: &Scope| {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = catalog.suspects(scope, after.as_ref(), 1).await.unwrap();
            seen.extend(page.items.into_iter().map(|item| item.document.to_string()));
            let Some(next) = page.next else { return seen };
            after = Some(id(&next));
        }
    };
    let bob = Credential { user: Some(user("bob")), ..credential("adm2", Some(tenant("acme")), &[Right::Admin]) };
    let entry = Entry { tenant: &tenant("acme"), need: Right::Admin, on_behalf: None, directory: Directory::default() };
    let bob = bob.enter(entry).unwrap();
    assert_eq!(seen_by(&admin("acme")).await, ["a denied", "d open", "e nobody's"]);
    assert_eq!(seen_by(&bob).await, ["d open", "e nobody's"]);
    for hidden in ["a denied", "b unknown", "c labelled"] {
        assert_eq!(catalog.suspect(&bob, &id(hidden)).await.unwrap(), None, "{hidden}");
        assert!(catalog.reject(&bob, &id(hidden), draft("reject")).await.unwrap().is_none(), "{hidden}");
    }
    assert!(catalog.suspect(&bob, &id("d open")).await.unwrap().is_some());
    assert!(catalog.reject(&admin("acme"), &id("a denied"), draft("reject")).await.unwrap().is_some());
}

async fn equal_bytes_wait_once_and_the_last_ones_wait(on: On) {
    let home = on.home_with_tenants().await;
    let catalog = &home.catalog;
    keep_back(catalog, "a", TEXT).await.unwrap();
    let first = catalog.suspects(&admin("acme"), None, 10).await.unwrap().items;
    keep_back(catalog, "a", TEXT).await.unwrap();
    assert_eq!(catalog.suspects(&admin("acme"), None, 10).await.unwrap().items, first);
    keep_back(catalog, "a", "another").await.unwrap();
    let shown = catalog.suspect(&admin("acme"), &id("a")).await.unwrap().unwrap();
    assert_eq!(shown.bytes, b"another");
    assert_eq!(waiting(catalog).await, ["a"]);
    let known = catalog.waiting(&admin("acme"), &id("a")).await.unwrap();
    assert_eq!(known, Some((sha256(b"another"), [7; 32])));
}

async fn what_is_newer_takes_away_what_waits(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    put(catalog, &scope, document("a", "clean")).await;
    let kept = keep_back(catalog, "a", TEXT).await.unwrap();
    assert_eq!((kept.change, kept.version), (Change::Quarantined, VersionNo(1)), "what is live stays");
    assert_eq!(catalog.document(&scope, &id("a")).await.unwrap().unwrap().text, "clean");
    put(catalog, &scope, document("a", "clean again")).await;
    assert!(waiting(catalog).await.is_empty(), "a write came after it");

    keep_back(catalog, "a", TEXT).await.unwrap();
    put(catalog, &scope, document("a", "clean again")).await;
    assert!(waiting(catalog).await.is_empty(), "the original is what is live again");

    keep_back(catalog, "a", TEXT).await.unwrap();
    catalog.delete_document(&scope, &id("a"), Expect::Any, draft("delete")).await.unwrap().unwrap();
    assert!(waiting(catalog).await.is_empty(), "what is deleted does not come back by itself");

    keep_back(catalog, "a", TEXT).await.unwrap();
    catalog.purge_document(&scope, &id("a"), Expect::Any, draft("purge")).await.unwrap().unwrap();
    assert!(waiting(catalog).await.is_empty(), "of what is purged nothing stays");

    keep_back(catalog, "b", TEXT).await.unwrap();
    catalog.reject(&scope, &id("b"), draft("reject")).await.unwrap().unwrap();
    assert!(catalog.reject(&scope, &id("b"), draft("reject")).await.unwrap().is_none());
    assert!(waiting(catalog).await.is_empty());
}

async fn the_write_that_was_expected_is_asked_for_before_anything_is_kept(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    put(catalog, &scope, document("a", "clean")).await;
    for expect in [Expect::Absent, Expect::Version(VersionNo(2))] {
        let refused = catalog.keep_back(&scope, suspect("a", TEXT), expect, draft("put")).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
    }
    assert!(waiting(catalog).await.is_empty());
}

async fn flags_are_with_the_version_and_a_change_of_them_is_a_write(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    let new = |screening| NewDocument { screening: Some(screening), ..document("a", "text") };
    let first = put(catalog, &scope, new(with(&["secret"], 1))).await.value;
    assert_eq!(catalog.document(&scope, &id("a")).await.unwrap().unwrap().flags, ["secret"]);
    let keys = [PassageKey { doc: first.doc, version: first.version, chunk: 0 }];
    let passages = catalog.passages(&scope, &recipe(), &keys).await.unwrap();
    assert_eq!(passages[0].as_ref().unwrap().flags, ["secret"]);

    // Another policy that comes to the same is noted, and is no change.
    let same = put(catalog, &scope, new(with(&["secret"], 2))).await.value;
    assert_eq!((same.change, same.seq), (Change::None, None));
    let current = catalog.current(&scope, &id("a")).await.unwrap().unwrap();
    assert_eq!(current.screening.unwrap().policy, [2; 32]);

    let other = put(catalog, &scope, new(with(&["personal"], 3))).await.value;
    assert_eq!((other.change, other.version), (Change::Metadata, VersionNo(1)));
    assert!(other.seq > first.seq, "an answer at the same seq says the same");
    assert_eq!(catalog.document(&scope, &id("a")).await.unwrap().unwrap().flags, ["personal"]);
    let findings = catalog.findings(&scope, None, 10).await.unwrap().items;
    assert_eq!((findings.len(), findings[0].found["email"]), (1, 1));
    assert_eq!(catalog.findings(&as_user("acme", "ann", &[]), None, 10).await.unwrap().items.len(), 1);
    catalog.set_acl(&scope, &id("a"), &acl(&["user:bob"], &[]), Expect::Any, draft("acl")).await.unwrap();
    assert!(catalog.findings(&as_user("acme", "ann", &[]), None, 10).await.unwrap().items.is_empty());
}

async fn who_released_a_version_stays_known(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    let released = Screening { admission: Admission::Released, ..screening() };
    let mut leaf = draft("release");
    leaf.actor = Some("adm1".to_owned());
    let new = NewDocument { screening: Some(released), ..document("a", "text") };
    catalog.put_document(&scope, new.clone(), leaf).await.unwrap();
    put(catalog, &scope, NewDocument { screening: Some(with(&["personal"], 9)), ..new }).await;
    let known = catalog.current(&scope, &id("a")).await.unwrap().unwrap().screening.unwrap();
    assert_eq!((known.released_by.as_deref(), known.policy), (Some("adm1"), [9; 32]));
    put(catalog, &scope, document("a", "another text")).await;
    let known = catalog.current(&scope, &id("a")).await.unwrap().unwrap().screening.unwrap();
    assert_eq!(known.released_by, None, "a new text was released by nobody");
}

async fn detectors_are_counted_over_what_is_there_now(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    for (name, text) in [("a", "one"), ("b", "two"), ("b", "three"), ("c", "gone")] {
        put(catalog, &scope, document(name, text)).await;
    }
    catalog.delete_document(&scope, &id("c"), Expect::Any, draft("delete")).await.unwrap().unwrap();
    keep_back(catalog, "d", TEXT).await.unwrap();
    let tallies = catalog.detector_tallies(&scope).await.unwrap();
    assert_eq!(tallies["email"], DetectorTally { documents: 2, findings: 2, waiting: 1 });
    assert!(catalog.detector_tallies(&admin("globex")).await.unwrap().is_empty());
}

async fn a_policy_is_kept_as_it_was_put_and_its_leaf_says_which(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    assert_eq!(catalog.firewall_policy(&scope).await.unwrap(), "{}");
    let policy = r#"{"secret":"redact","allow":["vexilquorn"]}"#;
    catalog.put_firewall_policy(&scope, policy.to_owned(), draft("firewall.put")).await.unwrap();
    assert_eq!(catalog.firewall_policy(&scope).await.unwrap(), policy);
    assert_eq!(catalog.firewall_policy(&admin("globex")).await.unwrap(), "{}");
    let leaves = catalog.leaves(&scope, 0, 100).await.unwrap();
    let last = String::from_utf8(leaves.last().unwrap().bytes.clone()).unwrap();
    let hash: String = sha256(policy.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(last.contains(&hash) && !last.contains("vexilquorn"), "{last}");
}

async fn of_a_purged_document_no_finding_is_left(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    put(catalog, &scope, document("a", "text")).await;
    catalog.delete_document(&scope, &id("a"), Expect::Any, draft("delete")).await.unwrap().unwrap();
    catalog.purge_document(&scope, &id("a"), Expect::Any, draft("purge")).await.unwrap().unwrap();
    for pending in catalog.pending_purges(&scope).await.unwrap() {
        while catalog.purge_step(&scope, pending).await.unwrap() == PurgeStep::More {}
        catalog.finish_purge(&scope, pending).await.unwrap();
    }
    let mut tx = catalog.store.read(&tenant("acme")).await.unwrap();
    let left = store::sql("SELECT count(*) AS count FROM screenings WHERE tenant = 'acme'");
    assert_eq!(left.fetch_one(&mut tx).await.unwrap().u64("count").unwrap(), 0);
    assert!(TABLES.iter().any(|table| table.name == "screenings"));
    let current = catalog.restorable(&scope, &id("a"), VersionNo(1)).await.unwrap();
    assert!(current.is_none_or(|it| it.state == Liveness::Deleted));
}

on_both!(
    what_waits_is_in_no_list_and_for_administrators_alone,
    what_waits_is_there_for_those_alone_whom_its_access_list_admits,
    equal_bytes_wait_once_and_the_last_ones_wait,
    what_is_newer_takes_away_what_waits,
    the_write_that_was_expected_is_asked_for_before_anything_is_kept,
    flags_are_with_the_version_and_a_change_of_them_is_a_write,
    who_released_a_version_stays_known,
    detectors_are_counted_over_what_is_there_now,
    a_policy_is_kept_as_it_was_put_and_its_leaf_says_which,
    of_a_purged_document_no_finding_is_left,
);
