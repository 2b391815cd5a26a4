//! Tenants, keys and groups: what the door asks.

use super::*;
use catena_domain::ErrorKind;

async fn a_tenant_is_made_once_with_a_generation_that_answers_and_its_own_secret(on: On) {
    let home = on.home_with_tenants().await;
    let again = home.catalog.create_tenant(&operator(), &tenant("acme"), "x", &recipe(), 4, draft("create")).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Conflict);
    let acme = home.catalog.tenant(&operator(), &tenant("acme")).await.unwrap().unwrap();
    assert_eq!((acme.name.as_str(), acme.held.documents), ("acme", 0));
    let live = home.catalog.live_generation(&admin("acme")).await.unwrap();
    assert_eq!((&live.id, &live.recipe, live.dimension), (acme.live_generation.as_ref().unwrap(), &recipe(), 4));
    let secrets =
        [admin("acme"), admin("globex")].map(|scope| async { home.catalog.tenant_secret(&{ scope }).await.unwrap() });
    let [acme, globex] = secrets;
    assert_ne!(acme.await, globex.await);
    assert_eq!(home.catalog.all_tenants().await.unwrap(), [tenant("acme"), tenant("globex")]);
    let first = home.catalog.tenants(&operator(), None, 1).await.unwrap();
    assert_eq!((first.items.len(), first.next.as_deref()), (1, Some("acme")));
    let second = home.catalog.tenants(&operator(), Some(&tenant("acme")), 1).await.unwrap();
    assert_eq!((second.items[0].id.as_str(), second.next), ("globex", None));
}

async fn a_tenant_that_is_not_there_is_said_to_be_gone(on: On) {
    let home = on.home().await;
    let scope = admin("nowhere");
    let errors = [
        home.catalog.put_document(&scope, document("a", "x"), draft("put")).await.map(|_| ()).unwrap_err(),
        home.catalog.create_key(&scope, new_key("k1"), draft("key")).await.map(|_| ()).unwrap_err(),
        home.catalog.put_group(&scope, &group("eng"), of(&[]), draft("group")).await.map(|_| ()).unwrap_err(),
        home.catalog.enqueue_job(&scope, NewJob::of(JobKind::Reindex), draft("job")).await.map(|_| ()).unwrap_err(),
        home.catalog.create_generation(&scope, &recipe(), 4, &Chunking::default(), None).await.map(|_| ()).unwrap_err(),
        home.catalog.seq(&scope).await.map(|_| ()).unwrap_err(),
        home.catalog.live_generation(&scope).await.map(|_| ()).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.to_string(), "there is no tenant nowhere");
    }
}

async fn a_key_is_found_until_it_is_revoked(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    let made = home.catalog.create_key(&scope, new_key("k1"), draft("key.create")).await.unwrap().value;
    assert_eq!(home.catalog.keys(&scope, None, 100).await.unwrap().items, [made]);
    let found = home.catalog.find_key(&KeyId::new("k1").unwrap()).await.unwrap().unwrap();
    assert_eq!(found.hash, KeyHash::from_bytes([7; 32]));
    let credential = found.credential;
    assert_eq!((credential.tenant, credential.user), (Some(tenant("acme")), Some(user("ann"))));
    assert_eq!((credential.groups, credential.rights), (vec![group("eng")], Rights::of(&[Right::Read])));
    let taken = home.catalog.create_key(&admin("globex"), new_key("k1"), draft("key.create")).await;
    assert_eq!(taken.unwrap_err().kind(), ErrorKind::Conflict);
    let k1 = KeyId::new("k1").unwrap();
    assert!(home.catalog.revoke_key(&admin("globex"), &k1, draft("key.revoke")).await.unwrap().is_none());
    assert!(home.catalog.revoke_key(&scope, &k1, draft("key.revoke")).await.unwrap().is_some());
    assert!(home.catalog.revoke_key(&scope, &k1, draft("key.revoke")).await.unwrap().is_none());
    assert!(home.catalog.find_key(&k1).await.unwrap().is_none());
    assert_eq!(home.catalog.keys(&scope, None, 100).await.unwrap().items, []);
}

async fn no_key_of_a_tenant_is_an_operators(on: On) {
    let home = on.home_with_tenants().await;
    let key = NewKey { rights: Rights::of(&[Right::Operator]), ..new_key("k1") };
    let refused = home.catalog.create_key(&admin("acme"), key, draft("key.create")).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
}

async fn the_operators_key_is_the_one_set_last(on: On) {
    let home = on.home().await;
    assert_eq!(home.catalog.operator_key_hash().await.unwrap(), None);
    for byte in [1, 2] {
        home.catalog.set_operator_key_hash(KeyHash::from_bytes([byte; 32])).await.unwrap();
        assert_eq!(home.catalog.operator_key_hash().await.unwrap(), Some(KeyHash::from_bytes([byte; 32])));
    }
}

async fn a_group_has_the_members_that_were_said_last(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    let put = async |group_of: Group| home.catalog.put_group(&scope, &group("eng"), group_of, draft("group.put")).await;
    let groups = async |name: &str| directory(&home.catalog, "acme", name).await.groups;
    put(of(&["bob", "ann", "bob"])).await.unwrap();
    assert_eq!(home.catalog.group(&scope, &group("eng")).await.unwrap(), Some(of(&["ann", "bob"])));
    let row = |members| GroupRow { name: group("eng"), members, clearance: None };
    assert_eq!(home.catalog.groups(&scope).await.unwrap(), [row(2)]);
    assert_eq!(groups("bob").await, [group("eng")]);
    put(of(&["ann"])).await.unwrap();
    assert_eq!(groups("bob").await, []);
    let many: Vec<UserName> = (0..10_001).map(|n| user(&format!("u{n}"))).collect();
    assert_eq!(put(many.iter().cloned().collect()).await.unwrap_err().kind(), ErrorKind::Invalid);
    put(many[1..].iter().cloned().collect()).await.unwrap();
    assert_eq!(home.catalog.groups(&scope).await.unwrap(), [row(10_000)]);
    assert!(home.catalog.delete_group(&scope, &group("eng"), draft("group.delete")).await.unwrap().is_some());
    assert!(home.catalog.delete_group(&scope, &group("eng"), draft("group.delete")).await.unwrap().is_none());
    assert_eq!(home.catalog.group(&scope, &group("eng")).await.unwrap(), None);
    assert_eq!(groups("u5").await, []);
}

on_both! {
    a_tenant_is_made_once_with_a_generation_that_answers_and_its_own_secret,
    a_tenant_that_is_not_there_is_said_to_be_gone,
    a_key_is_found_until_it_is_revoked,
    no_key_of_a_tenant_is_an_operators,
    the_operators_key_is_the_one_set_last,
    a_group_has_the_members_that_were_said_last,
}
