//! The record: every write leaves one leaf, every chain can be checked, and damage is found.

use super::*;
use catena_access::Liveness;
use catena_audit::{Chain, Finding};
use catena_domain::{ContextId, ErrorKind};
use proptest::prelude::*;

async fn leaf_count(home: &Home, tenant: &str) -> u64 {
    home.catalog.chain_head(&admin(tenant)).await.unwrap().map_or(0, |head| head.index + 1)
}

/// Asks something, which is recorded.
pub(super) async fn ask(catalog: &Catalog, scope: &Scope) {
    catalog.record_context(scope, context("ctx_1"), draft("context")).await.unwrap();
}

fn context(name: &str) -> NewContext {
    let citation = ContextCitation {
        document: id("a"),
        version: VersionNo(1),
        span: Span { start: 0, end: 4 },
        quote_sha256: [3; 32],
    };
    NewContext {
        id: ContextId::new(name).unwrap(),
        request_sha256: [1; 32],
        text_sha256: [2; 32],
        tokens_used: 77,
        citations: vec![citation],
    }
}

async fn every_write_leaves_exactly_one_leaf_that_says_what_was_done(on: On) {
    let home = on.home_with_tenants().await;
    let (scope, catalog) = (admin("acme"), &home.catalog);
    let mut leaves = vec![catalog.chain_head(&scope).await.unwrap().unwrap()];
    leaves.push(put(catalog, &scope, document("a", "text")).await.leaf);
    leaves.push(put(catalog, &scope, document("a", "text")).await.leaf);
    leaves.push(
        catalog.set_acl(&scope, &id("a"), &acl(&[], &[]), Expect::Any, draft("acl.set")).await.unwrap().unwrap().leaf,
    );
    leaves.push(
        catalog.delete_document(&scope, &id("a"), Expect::Any, draft("document.delete")).await.unwrap().unwrap().leaf,
    );
    leaves.push(catalog.put_group(&scope, &group("eng"), of(&["ann"]), draft("group.put")).await.unwrap().leaf);
    leaves.push(catalog.delete_group(&scope, &group("eng"), draft("group.delete")).await.unwrap().unwrap().leaf);
    leaves.push(catalog.put_labels(&scope, &[label("low")], draft("labels.put")).await.unwrap().leaf);
    leaves.push(catalog.create_key(&scope, new_key("k1"), draft("key.create")).await.unwrap().leaf);
    let k1 = KeyId::new("k1").unwrap();
    let rotated = catalog.rotate_key(&scope, &k1, keys::successor("k2", 60), draft("key.rotate")).await;
    leaves.push(rotated.unwrap().unwrap().leaf);
    leaves.push(catalog.revoke_key(&scope, &k1, draft("key.revoke")).await.unwrap().unwrap().leaf);
    let job = catalog.enqueue_job(&scope, NewJob::of(JobKind::Reindex), draft("reindex")).await.unwrap();
    leaves.push(job.leaf);
    leaves.push(catalog.cancel_job(&scope, &job.value.id, draft("job.cancel")).await.unwrap().unwrap().leaf);
    let generation = catalog.create_generation(&scope, &recipe(), 4, &Chunking::default(), None).await.unwrap();
    leaves.push(catalog.promote_generation(&scope, &generation.id, draft("generation.promote")).await.unwrap().leaf);
    leaves.push(catalog.record(Chain::Tenant(scope.tenant()), draft("search")).await.unwrap());
    leaves.push(catalog.record_context(&scope, context("ctx_1"), draft("context")).await.unwrap());
    let stored = catalog.leaves(&scope, 0, 100).await.unwrap();
    assert_eq!(stored.iter().map(|leaf| leaf.index).collect::<Vec<_>>(), (0..leaves.len() as u64).collect::<Vec<_>>());
    assert_eq!(
        stored.iter().map(|leaf| leaf.hash).collect::<Vec<_>>(),
        leaves.iter().map(|leaf| leaf.hash).collect::<Vec<_>>()
    );
    let parsed: Vec<serde_json::Value> =
        stored.iter().map(|leaf| serde_json::from_slice(&leaf.bytes).unwrap()).collect();
    assert_eq!(parsed[1]["seq"], 1);
    assert_eq!(parsed[1]["objects"][0]["id"], "a");
    assert_eq!(parsed[2].get("seq"), None, "a write that changed nothing claims a sequence number");
    assert_eq!(parsed[15]["objects"][0]["kind"], "context");
    assert_eq!(home.chains().await["tenant:acme"], leaves.len() as u64);
    assert_eq!(leaf_count(&home, "globex").await, 1);
}

async fn many_questions_at_once_get_one_leaf_each_and_a_refused_one_disturbs_nobody(on: On) {
    let home = on.home_with_tenants().await;
    let (acme, nowhere) = (tenant("acme"), tenant("nowhere"));
    home.catalog.record_context(&admin("acme"), context("ctx_twice"), draft("context")).await.unwrap();
    let before = leaf_count(&home, "acme").await;
    let asked = (0..300).map(|number| {
        let (catalog, acme, nowhere) = (home.catalog.clone(), acme.clone(), nowhere.clone());
        tokio::spawn(async move {
            match number % 10 {
                3 => catalog.record(Chain::Tenant(&nowhere), draft("search")).await,
                4 => catalog.record(Chain::Service, draft("request.refused")).await,
                5 => catalog.record_context(&admin("acme"), context("ctx_twice"), draft("context")).await,
                _ => catalog.record(Chain::Tenant(&acme), draft("search")).await,
            }
        })
    });
    let (mut kinds, mut indexes) = (Vec::new(), Vec::new());
    for (number, task) in asked.collect::<Vec<_>>().into_iter().enumerate() {
        match task.await.unwrap() {
            Ok(leaf) if number % 10 != 4 => indexes.push(leaf.index),
            Ok(_) => {}
            Err(error) => kinds.push(error.kind()),
        }
    }
    indexes.sort_unstable();
    assert_eq!(indexes, (before..before + 210).collect::<Vec<_>>());
    assert_eq!(kinds.iter().filter(|kind| **kind == ErrorKind::NotFound).count(), 30);
    assert_eq!(kinds.iter().filter(|kind| **kind == ErrorKind::Conflict).count(), 30);
    let lengths = home.chains().await;
    assert_eq!((lengths["tenant:acme"], lengths["service"]), (before + 210, 30));
    assert_eq!(home.catalog.service_head(&operator()).await.unwrap().unwrap().index, 29);
    assert_eq!(home.catalog.service_leaves(&operator(), 28, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn more_waiting_leaves_than_the_queue_holds_are_refused_and_not_forgotten() {
    let home = On::Sqlite.home_with_tenants().await;
    let acme = tenant("acme");
    // The writer is taken, so that nothing drains the queue.
    let tx = home.catalog.store.write(&tenant("acme")).await.unwrap();
    let asked: Vec<_> = (0..2_000)
        .map(|_| {
            let (catalog, acme) = (home.catalog.clone(), acme.clone());
            tokio::spawn(async move { catalog.record(Chain::Tenant(&acme), draft("search")).await })
        })
        .collect();
    tokio::task::yield_now().await;
    drop(tx);
    let (mut done, mut busy) = (0, 0);
    for task in asked {
        match task.await.unwrap() {
            Ok(_) => done += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
                busy += 1;
            }
        }
    }
    assert!(done >= 1_024 && busy > 0, "{done} done, {busy} refused");
    assert_eq!(home.chains().await["tenant:acme"], 1 + done);
}

async fn a_receipt_is_for_who_asked_and_for_administrators_and_auditors(on: On) {
    let home = on.home_with_tenants().await;
    let (ann, bob) = (as_user("acme", "ann", &[]), as_user("acme", "bob", &[]));
    let leaf = home.catalog.record_context(&ann, context("ctx_1"), draft("context")).await.unwrap();
    let ctx = ContextId::new("ctx_1").unwrap();
    let receipt = home.catalog.context(&ann, &ctx).await.unwrap().unwrap();
    assert_eq!((&receipt.context, receipt.leaf), (&context("ctx_1"), leaf));
    assert_eq!((receipt.actor.as_str(), &receipt.user), ("app1", &Some(user("ann"))));
    let auditor = enter("aud1", &[Right::Audit], "acme", None);
    for (scope, sees) in [
        (app("acme"), true),
        (admin("acme"), true),
        (auditor, true),
        (bob, false),
        (enter("app2", &[Right::Read], "acme", None), false),
        (admin("globex"), false),
    ] {
        assert_eq!(home.catalog.context(&scope, &ctx).await.unwrap().is_some(), sees, "{scope:?}");
    }
}

#[tokio::test]
async fn whoever_changes_the_stored_record_is_found_out() {
    let damages: [(&'static str, &str); 6] = [
        (
            "UPDATE audit_outbox SET bytes = CAST(replace(bytes, '\"status\":201', '\"status\":404') AS BLOB) WHERE leaf_index = 2",
            "leaf 2",
        ),
        (
            "UPDATE audit_outbox SET bytes = CAST(replace(bytes, '\"status\":201', '\"status\":404') AS BLOB) WHERE leaf_index = 5",
            "leaf 5",
        ),
        ("DELETE FROM audit_outbox WHERE leaf_index = 3", "leaf 3 of tenant:acme is missing"),
        ("DELETE FROM audit_outbox WHERE leaf_index = 5", "cut off"),
        ("UPDATE tenants SET leaves = 5 WHERE tenant = 'acme'", "some were added"),
        (
            "UPDATE audit_outbox SET bytes = (SELECT bytes FROM audit_outbox WHERE leaf_index = 1) WHERE leaf_index = 4",
            "leaf 1 once more",
        ),
    ];
    for (damage, said) in damages {
        let home = On::Sqlite.home().await;
        home.catalog.create_tenant(&operator(), &tenant("acme"), "x", &recipe(), 4, draft("create")).await.unwrap();
        for number in 0..5 {
            put(&home.catalog, &admin("acme"), document(&format!("d{number}"), "text")).await;
        }
        assert_eq!(home.chains().await["tenant:acme"], 6);
        let mut tx = home.catalog.store.write(&tenant("acme")).await.unwrap();
        let done = sqlx::query(damage).execute(tx.connection().sqlite()).await.unwrap();
        assert_eq!(done.rows_affected(), 1);
        tx.commit().await.unwrap();
        let checked = verify_record(home.folder.path(), &Database::Embedded).await.unwrap();
        let acme: Vec<Finding> = checked.into_iter().filter_map(|(_, result)| result.err()).collect();
        assert!(acme.len() == 1 && acme[0].to_string().contains(said), "{damage}: {acme:?}");
    }
}

#[tokio::test]
async fn the_record_of_a_folder_without_a_catalog_is_an_error_and_makes_none() {
    let folder = TempDir::new().unwrap();
    assert!(verify_record(folder.path(), &Database::Embedded).await.is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, u8, bool),
    Acl(u8, u8),
    Delete(u8),
    Group(u8),
    Ask,
    Context,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..4, 0u8..3, any::<bool>()).prop_map(|(doc, text, wrong)| Step::Put(doc, text, wrong)),
        2 => (0u8..4, 0u8..3).prop_map(|(doc, acl)| Step::Acl(doc, acl)),
        1 => (0u8..4).prop_map(Step::Delete),
        1 => (0u8..3).prop_map(Step::Group),
        1 => Just(Step::Ask),
        1 => Just(Step::Context),
    ]
}

/// Does one step; whether it wrote.
async fn take(catalog: &Catalog, scope: &Scope, step: &Step, number: usize) -> bool {
    match step {
        Step::Put(doc, text, wrong) => {
            let mut new = document(&format!("d{doc}"), &format!("text {text}"));
            if *wrong {
                new.expect = Expect::Version(VersionNo(999));
            }
            catalog.put_document(scope, new, draft("document.put")).await.is_ok()
        }
        Step::Acl(doc, to) => {
            let to =
                [acl(&["everyone"], &[]), acl(&[], &[]), acl(&["user:ann"], &["group:eng"])][usize::from(*to)].clone();
            catalog.set_acl(scope, &id(&format!("d{doc}")), &to, Expect::Any, draft("acl.set")).await.unwrap().is_some()
        }
        Step::Delete(doc) => catalog
            .delete_document(scope, &id(&format!("d{doc}")), Expect::Any, draft("document.delete"))
            .await
            .unwrap()
            .is_some(),
        Step::Group(members) => {
            let members: Group = (0..*members).map(|n| user(&format!("u{n}"))).collect();
            catalog.put_group(scope, &group("eng"), members, draft("group.put")).await.is_ok()
        }
        Step::Ask => catalog.record(Chain::Tenant(scope.tenant()), draft("search")).await.is_ok(),
        Step::Context => {
            catalog.record_context(scope, context(&format!("ctx_{number}")), draft("context")).await.is_ok()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn after_any_history_the_chain_verifies_and_has_one_leaf_for_each_write(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let home = On::Sqlite.home_with_tenants().await;
            let scope = admin("acme");
            let mut writes = 1;
            for (number, step) in steps.iter().enumerate() {
                writes += u64::from(take(&home.catalog, &scope, step, number).await);
                let everything = home.catalog.live_changes(&scope, catena_domain::Seq(0)).await.unwrap();
                let live = everything.documents.iter().filter(|row| row.live == Liveness::Live).count() as u64;
                assert_eq!(home.catalog.document_count(&scope).await.unwrap(), live);
            }
            assert_eq!(home.chains().await["tenant:acme"], writes);
        });
    }
}

on_both! {
    every_write_leaves_exactly_one_leaf_that_says_what_was_done,
    many_questions_at_once_get_one_leaf_each_and_a_refused_one_disturbs_nobody,
    a_receipt_is_for_who_asked_and_for_administrators_and_auditors,
}
