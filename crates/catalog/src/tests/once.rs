//! Requests that their caller named: done once, answered as often as they are asked.

use super::*;
use crate::store;
use catena_domain::{Seq, limits};

async fn kept(catalog: &Catalog, key: &str) -> Option<KeptAnswer> {
    let (holder, key) = (KeyId::new("adm1").unwrap(), RequestKey::new(key).unwrap());
    catalog.kept_answer(&tenant("acme"), &holder, &key).await.unwrap()
}

async fn a_named_write_and_its_answer_are_there_together_and_it_is_not_done_twice(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    let written = catalog.put_document(&scope, document("a", "text"), named("k", 1)).await.unwrap();
    let answer = kept(catalog, "k").await.unwrap();
    assert_eq!((answer.request_sha256, &answer.answer), ([1; 32], &format!("{:?}", written.value)));
    let before = (catalog.seq(&scope).await.unwrap(), catalog.chain_head(&scope).await.unwrap());
    // Whatever is asked under the name: nothing of it happens.
    for request in [1, 2] {
        let error = catalog.put_document(&scope, document("a", "other text"), named("k", request)).await.unwrap_err();
        assert!(matches!(error, CatalogError::Repeated), "{error}");
        let error =
            catalog.delete_document(&scope, &id("a"), Expect::Any, named("k", request)).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, CatalogError::Repeated), "{error}");
    }
    assert_eq!((catalog.seq(&scope).await.unwrap(), catalog.chain_head(&scope).await.unwrap()), before);
    assert_eq!(kept(catalog, "k").await, Some(answer));
    assert_eq!(catalog.document(&scope, &id("a")).await.unwrap().unwrap().text, "text");
}

async fn every_kind_of_write_keeps_its_answer(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope, any) = (&home.catalog, admin("acme"), Expect::Any);
    catalog.put_document(&scope, document("a", "text"), named("put", 1)).await.unwrap();
    catalog.set_acl(&scope, &id("a"), &acl(&[], &[]), any, named("acl", 1)).await.unwrap().unwrap();
    catalog.delete_document(&scope, &id("a"), any, named("delete", 1)).await.unwrap().unwrap();
    catalog.purge_document(&scope, &id("a"), any, named("purge", 1)).await.unwrap().unwrap();
    catalog.put_group(&scope, &group("eng"), of(&[]), named("group", 1)).await.unwrap();
    catalog.delete_group(&scope, &group("eng"), named("ungroup", 1)).await.unwrap().unwrap();
    catalog.enqueue_job(&scope, NewJob::of(JobKind::Reindex), named("job", 1)).await.unwrap();
    for key in ["put", "acl", "delete", "purge", "group", "ungroup", "job"] {
        assert!(kept(catalog, key).await.is_some(), "{key}");
    }
    catalog.create_tenant(&operator(), &tenant("newco"), "New", &recipe(), 4, named("made", 1)).await.unwrap();
    let (holder, key) = (KeyId::new("adm1").unwrap(), RequestKey::new("made").unwrap());
    assert!(catalog.kept_answer(&tenant("newco"), &holder, &key).await.unwrap().is_some());
}

async fn a_refused_write_keeps_nothing_so_it_can_be_mended(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    let wrong = NewDocument { expect: Expect::Version(VersionNo(9)), ..document("a", "text") };
    catalog.put_document(&scope, wrong, named("k", 1)).await.unwrap_err();
    assert!(catalog.delete_document(&scope, &id("a"), Expect::Any, named("k", 1)).await.unwrap().is_none());
    assert_eq!(kept(catalog, "k").await, None);
    catalog.put_document(&scope, document("a", "text"), named("k", 1)).await.unwrap();
    assert_eq!(catalog.seq(&scope).await.unwrap(), Seq(1));
}

async fn an_answer_is_its_tenants_and_its_keys_alone(on: On) {
    let home = on.home_with_tenants().await;
    let catalog = &home.catalog;
    catalog.put_document(&admin("acme"), document("a", "text"), named("k", 1)).await.unwrap();
    let key = RequestKey::new("k").unwrap();
    for (of, holder) in [("globex", "adm1"), ("acme", "adm2")] {
        let found = catalog.kept_answer(&tenant(of), &KeyId::new(holder).unwrap(), &key).await.unwrap();
        assert_eq!(found, None, "{of} {holder}");
    }
    catalog.put_document(&admin("globex"), document("a", "text"), named("k", 2)).await.unwrap();
    assert_eq!(kept(catalog, "k").await.unwrap().request_sha256, [1; 32]);
}

async fn an_old_answer_is_none_and_is_swept_away(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    for number in 0..40 {
        catalog
            .put_document(&scope, document("a", &format!("text {number}")), named(&format!("k{number}"), 1))
            .await
            .unwrap();
    }
    assert!(!catalog.sweep_answers(&scope).await.unwrap());
    assert!(kept(catalog, "k0").await.is_some(), "an answer was swept away before its time");
    let mut tx = catalog.store.write(&tenant("acme")).await.unwrap();
    let age = store::sql("UPDATE answers SET kept_at = kept_at - $2 WHERE tenant = $1 AND place <= 39");
    let age = age.bind("acme").bind(limits::ANSWERS_KEPT_HOURS * 3_600_000_000);
    age.execute(tx.connection()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(kept(catalog, "k0").await, None);
    assert!(kept(catalog, "k39").await.is_some());
    // A write sweeps a few beside it, and its own name if that is too old.
    catalog.put_document(&scope, document("a", "again"), named("k38", 2)).await.unwrap();
    assert_eq!(count(catalog).await, 2 + 40 - 1 - 16 - 1);
    assert!(!catalog.sweep_answers(&scope).await.unwrap());
    assert_eq!(count(catalog).await, 2);
}

async fn beyond_the_limit_the_oldest_answer_goes(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    for key in ["k1", "k2"] {
        catalog.put_document(&scope, document("a", key), named(key, 1)).await.unwrap();
    }
    let mut tx = catalog.store.write(&tenant("acme")).await.unwrap();
    let far = store::sql("UPDATE answers SET place = $2 WHERE tenant = $1 AND key = 'k2'");
    far.bind("acme").bind(limits::ANSWERS_KEPT_MAX as i64).execute(tx.connection()).await.unwrap();
    tx.commit().await.unwrap();
    catalog.put_document(&scope, document("a", "k3"), named("k3", 1)).await.unwrap();
    assert_eq!(kept(catalog, "k1").await, None);
    assert!(kept(catalog, "k2").await.is_some() && kept(catalog, "k3").await.is_some());
}

async fn count(catalog: &Catalog) -> u64 {
    let mut tx = catalog.store.read(&tenant("acme")).await.unwrap();
    let row = store::sql("SELECT count(*) AS count FROM answers WHERE tenant = 'acme'");
    row.fetch_one(&mut tx).await.unwrap().u64("count").unwrap()
}

on_both! {
    a_named_write_and_its_answer_are_there_together_and_it_is_not_done_twice,
    every_kind_of_write_keeps_its_answer,
    a_refused_write_keeps_nothing_so_it_can_be_mended,
    an_answer_is_its_tenants_and_its_keys_alone,
    an_old_answer_is_none_and_is_swept_away,
    beyond_the_limit_the_oldest_answer_goes,
}
