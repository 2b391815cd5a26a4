//! Labels of a tenant, clearances for them, and documents that nobody may see.

use super::*;
use catena_access::acl::Why;
use catena_domain::ErrorKind;

/// Somebody as the door lets them in.
async fn let_in(home: &Home, credential: Credential) -> Scope {
    let acme = tenant("acme");
    let directory = home.catalog.directory(&acme, credential.concerned(None)).await.unwrap();
    credential.enter(Entry { tenant: &acme, need: Right::Read, on_behalf: None, directory }).unwrap()
}

fn reader(name: &str) -> Credential {
    Credential { user: Some(user(name)), ..credential("k1", Some(tenant("acme")), &[Right::Read]) }
}

fn administrator() -> Credential {
    credential("adm1", Some(tenant("acme")), &[Right::Admin, Right::Read])
}

/// The documents that they may see, in a list and one by one.
async fn seen(home: &Home, credential: Credential) -> Vec<String> {
    let scope = let_in(home, credential).await;
    let page = home.catalog.documents(&scope, None, 100).await.unwrap();
    for name in ["plain", "low", "high", "odd", "unread"] {
        let listed = page.items.iter().any(|row| row.id == id(name));
        assert_eq!(home.catalog.document(&scope, &id(name)).await.unwrap().is_some(), listed, "{name}");
    }
    page.items.iter().map(|row| row.id.to_string()).collect()
}

async fn quarantined(home: &Home, credential: Credential) -> Vec<(String, Why)> {
    let scope = let_in(home, credential).await;
    let page = home.catalog.quarantine(&scope, None, 100).await.unwrap();
    page.items.into_iter().map(|item| (item.id.to_string(), item.why)).collect()
}

async fn put_labels(home: &Home, names: &[&str]) -> Result<(), CatalogError> {
    let labels: Vec<Label> = names.iter().map(|name| label(name)).collect();
    home.catalog.put_labels(&admin("acme"), &labels, draft("labels.put")).await.map(|_| ())
}

/// Documents that everyone may read who is cleared for their labels.
async fn shelf(home: &Home) {
    let scope = admin("acme");
    let open = |name: Option<&str>| {
        Acl::of(vec!["everyone".parse::<catena_access::Who>().unwrap().into()], vec![], name.map(label)).unwrap()
    };
    for (name, acl) in [
        ("plain", open(None)),
        ("low", open(Some("low"))),
        ("high", open(Some("high"))),
        ("odd", open(Some("odd"))),
        ("unread", Acl::unknown("it said 403")),
    ] {
        put(&home.catalog, &scope, NewDocument { acl, ..document(name, name) }).await;
    }
}

async fn the_highest_clearance_of_groups_and_key_counts_with_all_labels_below_it(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    put_labels(&home, &["low", "mid", "high"]).await.unwrap();
    shelf(&home).await;
    let cleared = |members: &[&str], name: &str| Group { clearance: Some(label(name)), ..of(members) };
    for (name, said) in
        [("inner", of(&["ann"])), ("outer", cleared(&["group:inner"], "high")), ("some", cleared(&["bob"], "mid"))]
    {
        home.catalog.put_group(&scope, &group(name), said, draft("group.put")).await.unwrap();
    }
    assert_eq!(seen(&home, reader("ann")).await, ["high", "low", "plain"]);
    assert_eq!(seen(&home, reader("bob")).await, ["low", "plain"]);
    assert_eq!(seen(&home, reader("carl")).await, ["plain"]);
    let key_cleared = Credential { clearance: Some(label("high")), ..reader("bob") };
    assert_eq!(seen(&home, key_cleared).await, ["high", "low", "plain"]);
    let carried = Credential { groups: vec![group("inner")], ..reader("carl") };
    assert_eq!(seen(&home, carried).await, ["high", "low", "plain"]);
    assert_eq!(seen(&home, administrator()).await, ["high", "low", "plain"]);
    // Another order holds from the next query on.
    put_labels(&home, &["high", "mid", "low"]).await.unwrap();
    assert_eq!(seen(&home, reader("ann")).await, ["high", "plain"]);
    assert_eq!(seen(&home, reader("bob")).await, ["high", "plain"]);
    // So does the end of a membership, of a clearance, and of a label.
    home.catalog.put_group(&scope, &group("inner"), of(&[]), draft("group.put")).await.unwrap();
    assert_eq!(seen(&home, reader("ann")).await, ["plain"]);
    home.catalog.put_group(&scope, &group("some"), of(&["bob"]), draft("group.put")).await.unwrap();
    assert_eq!(seen(&home, reader("bob")).await, ["plain"]);
    put_labels(&home, &["low"]).await.unwrap();
    let key_cleared = Credential { clearance: Some(label("high")), ..reader("bob") };
    assert_eq!(seen(&home, key_cleared).await, ["plain"], "a clearance for what is no label clears for nothing");
    assert_eq!(seen(&home, administrator()).await, ["low", "plain"]);
}

async fn a_document_that_nobody_can_decide_on_is_listed_for_administrators_until_somebody_does(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    put_labels(&home, &["low", "high"]).await.unwrap();
    shelf(&home).await;
    let unread = ("unread".to_owned(), Acl::unknown("it said 403").unknown_to(&Default::default()).unwrap());
    let odd = ("odd".to_owned(), Why::Label(label("odd")));
    assert_eq!(quarantined(&home, administrator()).await, [odd.clone(), unread.clone()]);
    assert_eq!(quarantined(&home, reader("ann")).await, []);
    let on_behalf = as_user("acme", "ann", &[]);
    for other in [&on_behalf, &admin("globex"), &Scope::service(&tenant("acme"))] {
        assert_eq!(home.catalog.quarantine(other, None, 100).await.unwrap().items, []);
    }
    put_labels(&home, &["low"]).await.unwrap();
    let high = ("high".to_owned(), Why::Label(label("high")));
    assert_eq!(quarantined(&home, administrator()).await, [high.clone(), odd.clone(), unread]);
    let first = home.catalog.quarantine(&scope, None, 2).await.unwrap();
    assert_eq!((first.items.len(), first.next.as_deref()), (2, Some("odd")));
    let second = home.catalog.quarantine(&scope, Some(&id("odd")), 2).await.unwrap();
    assert_eq!((second.items[0].id.as_str(), second.next), ("unread", None));
    let open = acl(&["everyone"], &[]);
    home.catalog.set_acl(&scope, &id("unread"), &open, Expect::Any, draft("acl")).await.unwrap().unwrap();
    assert_eq!(quarantined(&home, administrator()).await, [high, odd.clone()]);
    assert_eq!(seen(&home, reader("ann")).await, ["plain", "unread"]);
    put_labels(&home, &["low", "high"]).await.unwrap();
    assert_eq!(quarantined(&home, administrator()).await, [odd]);
    home.catalog.delete_document(&scope, &id("odd"), Expect::Any, draft("delete")).await.unwrap().unwrap();
    assert_eq!(quarantined(&home, administrator()).await, []);
}

async fn labels_are_bounded_each_has_one_place_and_a_clearance_is_for_one_of_them(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    let many: Vec<String> = (0..33).map(|number| format!("l{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(put_labels(&home, &many).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(put_labels(&home, &["a", "b", "a"]).await.unwrap_err().kind(), ErrorKind::Invalid);
    put_labels(&home, &many[..32]).await.unwrap();
    let stored: Vec<String> = home.catalog.labels(&scope).await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(stored, many[..32]);
    assert!(home.catalog.labels(&admin("globex")).await.unwrap().is_empty());
    let said = "the clearance l99 is none of the tenant's labels; make it one first, or choose another";
    let cleared = Group { clearance: Some(label("l99")), ..of(&["ann"]) };
    let error = home.catalog.put_group(&scope, &group("eng"), cleared, draft("group.put")).await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Invalid, said));
    let key = NewKey { clearance: Some(label("l99")), ..new_key("k1") };
    let error = home.catalog.create_key(&scope, key, draft("key.create")).await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Invalid, said));
    put_labels(&home, &[]).await.unwrap();
    assert!(home.catalog.labels(&scope).await.unwrap().is_empty());
}

on_both! {
    the_highest_clearance_of_groups_and_key_counts_with_all_labels_below_it,
    a_document_that_nobody_can_decide_on_is_listed_for_administrators_until_somebody_does,
    labels_are_bounded_each_has_one_place_and_a_clearance_is_for_one_of_them,
}
