//! Keys that end, that follow one another, and that are looked after.

use std::time::Duration;

use super::*;
use catena_domain::{ErrorKind, Timestamp, limits};
use catena_runtime::clock;

/// A key in the place of another one.
pub(super) fn successor(id: &str, overlap_s: u64) -> Successor {
    Successor {
        key: KeyId::new(id).unwrap(),
        hash: KeyHash::from_bytes([8; 32]),
        expires_at: None,
        overlap: Duration::from_secs(overlap_s),
    }
}

fn key_id(id: &str) -> KeyId {
    KeyId::new(id).unwrap()
}

/// So many seconds from now, or before.
fn in_s(seconds: i64) -> Timestamp {
    Timestamp(clock::now().0 + seconds * 1_000_000)
}

async fn make(home: &Home, key: NewKey) -> Result<KeyRow, CatalogError> {
    Ok(home.catalog.create_key(&admin("acme"), key, draft("key.create")).await?.value)
}

async fn list(home: &Home) -> Vec<KeyRow> {
    home.catalog.keys(&admin("acme"), None, 500).await.unwrap().items
}

async fn opens(home: &Home, id: &str) -> bool {
    home.catalog.find_key(&key_id(id)).await.unwrap().is_some()
}

/// Moves a key's end, as the passing of time would.
async fn set_end(home: &Home, id: &str, end: Timestamp) {
    let acme = tenant("acme");
    let mut tx = home.catalog.store.write(&acme).await.unwrap();
    store::sql("UPDATE api_keys SET expires_at = $2 WHERE key = $1")
        .bind(id)
        .bind(end.0)
        .execute(tx.connection())
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

async fn a_key_opens_until_its_end_and_not_from_then_on(on: On) {
    let home = on.home_with_tenants().await;
    let end = in_s(3_600);
    let made = make(&home, NewKey { expires_at: Some(end), ..new_key("k1") }).await.unwrap();
    assert_eq!(made.expires_at, Some(end));
    assert!(opens(&home, "k1").await);
    for past in [in_s(-1), in_s(0), Timestamp(0)] {
        let refused = make(&home, NewKey { expires_at: Some(past), ..new_key("k2") }).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
        set_end(&home, "k1", past).await;
        assert!(!opens(&home, "k1").await, "{past:?}");
    }
    // Those who look after keys see why it opens nothing any more.
    assert_eq!(list(&home).await[0].expires_at, Some(Timestamp(0)));
    set_end(&home, "k1", in_s(60)).await;
    assert!(opens(&home, "k1").await);
}

async fn a_key_that_replaces_another_is_and_may_the_same_while_the_other_opens_for_the_overlap(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    home.catalog.put_labels(&scope, &[label("open")], draft("labels.put")).await.unwrap();
    let first = NewKey { clearance: Some(label("open")), ..new_key("k1") };
    let old = make(&home, first).await.unwrap();
    let rotate = async |old: &str, new| home.catalog.rotate_key(&scope, &key_id(old), new, draft("key.rotate")).await;
    let new = rotate("k1", successor("k2", 3_600)).await.unwrap().unwrap().value;
    let same = KeyRow { key: key_id("k2"), created_at: new.created_at, replaces: Some(key_id("k1")), ..old.clone() };
    assert_eq!(new, same);
    assert!(opens(&home, "k1").await && opens(&home, "k2").await);
    let credential = async |id: &str| home.catalog.find_key(&key_id(id)).await.unwrap().unwrap().credential;
    let (before, after) = (credential("k1").await, credential("k2").await);
    assert_eq!(after, Credential { key: key_id("k2"), ..before });
    let listed = list(&home).await;
    let ends_in_s = (listed[0].expires_at.unwrap().0 - clock::now().0) / 1_000_000;
    assert!((3_500..=3_600).contains(&ends_in_s), "{ends_in_s}");
    assert_eq!(listed[0].replaced_by, Some(key_id("k2")));
    // A key has one successor, unless that one was revoked: its text may have been lost on the way.
    let error = rotate("k1", successor("k3", 60)).await.unwrap_err();
    assert_eq!(error.to_string(), "key k1, which key k2 replaces, is not replaced twice; replace or revoke that one");
    assert!(!opens(&home, "k3").await);
    home.catalog.revoke_key(&scope, &key_id("k2"), draft("key.revoke")).await.unwrap().unwrap();
    rotate("k1", successor("k3", 60)).await.unwrap().unwrap();
    let ends_in_s = (list(&home).await[0].expires_at.unwrap().0 - clock::now().0) / 1_000_000;
    assert!(ends_in_s <= 60, "a later replacement may bring the end forward");
    assert!(rotate("k2", successor("k4", 60)).await.unwrap().is_none());
    assert!(rotate("nosuch", successor("k4", 60)).await.unwrap().is_none());
    let too_long = rotate("k3", successor("k4", limits::KEY_OVERLAP_S_MAX + 1)).await.unwrap_err();
    assert_eq!(too_long.kind(), ErrorKind::Invalid);
}

async fn without_an_overlap_the_old_key_ends_at_once_and_an_overlap_never_lengthens_its_life(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    make(&home, new_key("k1")).await.unwrap();
    home.catalog.rotate_key(&scope, &key_id("k1"), successor("k2", 0), draft("key.rotate")).await.unwrap().unwrap();
    assert!(!opens(&home, "k1").await && opens(&home, "k2").await);
    let end = in_s(60);
    make(&home, NewKey { expires_at: Some(end), ..new_key("k5") }).await.unwrap();
    let rotated = home.catalog.rotate_key(&scope, &key_id("k5"), successor("k6", 3_600), draft("key.rotate")).await;
    let new = rotated.unwrap().unwrap().value;
    let listed = list(&home).await;
    assert_eq!(listed.iter().find(|row| row.key == key_id("k5")).unwrap().expires_at, Some(end));
    // The new one lives as long as the old one was made to, unless another end is asked for.
    let lives_s = (new.expires_at.unwrap().0 - new.created_at.0 + 500_000) / 1_000_000;
    assert!((59..=60).contains(&lives_s), "{lives_s}");
    let asked = Successor { expires_at: Some(in_s(7_200)), ..successor("k7", 0) };
    let until = asked.expires_at;
    let new = home.catalog.rotate_key(&scope, &key_id("k6"), asked, draft("key.rotate")).await.unwrap().unwrap();
    assert_eq!(new.value.expires_at, until);
}

async fn the_last_use_of_a_key_is_seen_at_once_and_kept_when_the_service_ends(on: On) {
    let home = on.home_with_tenants().await;
    make(&home, new_key("k1")).await.unwrap();
    make(&home, new_key("k2")).await.unwrap();
    let last = async |home: &Home| list(home).await.iter().map(|row| row.last_used_at).collect::<Vec<_>>();
    assert_eq!(last(&home).await, [None, None]);
    let used = home.catalog.find_key(&key_id("k1")).await.unwrap().unwrap().credential;
    let before = clock::now();
    for _ in 0..1_000 {
        home.catalog.key_was_used(&used);
    }
    let first = last(&home).await;
    assert!(first[0] >= Some(before) && first[1].is_none());
    let leaves = home.catalog.chain_head(&admin("acme")).await.unwrap();
    home.catalog.key_uses.write_down().await;
    assert_eq!(last(&home).await, first);
    assert_eq!(home.catalog.chain_head(&admin("acme")).await.unwrap(), leaves, "a use has no leaf of its own");
    home.catalog.key_was_used(&used);
    let second = last(&home).await;
    assert!(second[0] > first[0]);
    home.catalog.close().await.unwrap();
    let again = Catalog::open(home.folder.path(), &home.database).await.unwrap();
    assert_eq!(last(&Home { catalog: again, ..home }).await, second);
}

/// A catalog that is full of keys whose uses are noted, on a disk that takes nothing.
async fn what_cannot_be_written_down_of_uses_disturbs_nobody(on: On) {
    let home = on.home_with_tenants().await;
    make(&home, new_key("k1")).await.unwrap();
    let used = home.catalog.find_key(&key_id("k1")).await.unwrap().unwrap().credential;
    for number in 0..20_000 {
        home.catalog.key_was_used(&Credential { key: key_id(&format!("x{number}")), ..used.clone() });
    }
    assert!(home.catalog.key_uses.last(&key_id("x16383")).is_some());
    assert!(home.catalog.key_uses.last(&key_id("x16384")).is_none(), "what is remembered is bounded");
    home.catalog.close().await.unwrap();
    home.catalog.key_was_used(&used);
    home.catalog.key_uses.write_down().await;
}

async fn keys_are_listed_in_pages_and_those_that_ended_leave_room_for_others(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    for number in 0..7 {
        make(&home, new_key(&format!("k{number}"))).await.unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = home.catalog.keys(&scope, after.as_ref(), 3).await.unwrap();
        seen.extend(page.items.iter().map(|row| row.key.to_string()));
        // A key that is revoked meanwhile is a place to go on from all the same.
        if let Some(last) = page.items.last().filter(|last| last.key == key_id("k2")) {
            home.catalog.revoke_key(&scope, &last.key, draft("key.revoke")).await.unwrap().unwrap();
        }
        match page.next {
            Some(next) => after = Some(key_id(&next)),
            None => break,
        }
    }
    assert_eq!(seen, ["k0", "k1", "k2", "k3", "k4", "k5", "k6"]);
    // Many more, in one go.
    let acme = tenant("acme");
    let mut tx = home.catalog.store.write(&acme).await.unwrap();
    for number in 7..1_001 {
        store::sql(
            "INSERT INTO api_keys (key, tenant, hash, name, rights, groups, created_at)
             SELECT $1, tenant, hash, name, rights, groups, created_at FROM api_keys WHERE key = 'k0'",
        )
        .bind(format!("k{number}"))
        .execute(tx.connection())
        .await
        .unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(make(&home, new_key("onemore")).await.unwrap_err().kind(), ErrorKind::Conflict);
    set_end(&home, "k500", in_s(-1)).await;
    make(&home, new_key("onemore")).await.unwrap();
}

on_both! {
    a_key_opens_until_its_end_and_not_from_then_on,
    a_key_that_replaces_another_is_and_may_the_same_while_the_other_opens_for_the_overlap,
    without_an_overlap_the_old_key_ends_at_once_and_an_overlap_never_lengthens_its_life,
    the_last_use_of_a_key_is_seen_at_once_and_kept_when_the_service_ends,
    what_cannot_be_written_down_of_uses_disturbs_nobody,
    keys_are_listed_in_pages_and_those_that_ended_leave_room_for_others,
}
