//! Callers who go away, and commits that fail.

use std::future::poll_fn;
use std::task::Poll;

use super::*;
use crate::tables::testing;
use catena_domain::{ErrorKind, Seq};

/// When a future that waits is dropped.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    /// As soon as it waits: what it waits for is still going on.
    Waiting,
    /// When what it waited for has happened, but before it learns of it.
    Woken,
}

/// Polls a future so often and then drops it; whether it had ended by then.
async fn dropped_after(polls: usize, moment: Moment, future: impl Future) -> bool {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if left == 0 && moment == Moment::Waiting => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// The document is there whole or not at all, and its leaf with it. Says which.
async fn is_whole(home: &Home, name: &str, seq_before: Seq) -> bool {
    let scope = admin("acme");
    // A write of our own waits for whatever is still under way.
    put(&home.catalog, &scope, document("barrier", name)).await;
    let seq = home.catalog.seq(&scope).await.unwrap();
    let found = home.catalog.document(&scope, &id(name)).await.unwrap();
    let leaves = home.catalog.chain_head(&scope).await.unwrap().unwrap().index + 1;
    let took_place = match seq.0 - seq_before.0 {
        1 => false,
        2 => true,
        other => panic!("{other} sequence numbers were taken"),
    };
    assert_eq!(found.is_some(), took_place);
    // One leaf for the tenant, and one for each write so far.
    assert_eq!(leaves, 1 + seq.0);
    took_place
}

/// Waits for a document that somebody else is writing.
async fn seen(home: &Home, name: &str) {
    for _ in 0..100_000 {
        if home.catalog.current(&admin("acme"), &id(name)).await.unwrap().is_some() {
            return;
        }
    }
    panic!("the write of {name} was begun and cut off");
}

async fn a_write_whose_caller_goes_away_happens_whole_or_not_at_all(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    for (polls, moment) in (0..6).flat_map(|polls| [(polls, Moment::Waiting), (polls, Moment::Woken)]) {
        let before = home.catalog.seq(&scope).await.unwrap();
        let name = format!("doc-{polls}-{moment:?}");
        let write = home.catalog.put_document(&scope, document(&name, "some\n\ntext"), draft("document.put"));
        dropped_after(polls, moment, write).await;
        if polls > 0 {
            seen(&home, &name).await;
        }
        assert_eq!(is_whole(&home, &name, before).await, polls > 0);
    }
}

async fn the_work_itself_cut_off_at_any_step_happens_whole_or_not_at_all(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    let mut cut_off = 0;
    // How far a poll gets depends on the machine: several rounds cut at more places than one.
    for round in 0..16 {
        let moment = if round % 2 == 0 { Moment::Waiting } else { Moment::Woken };
        let mut polls = 1;
        loop {
            let before = home.catalog.seq(&scope).await.unwrap();
            let name = format!("doc-{polls}-{round}");
            let new = document(&name, &format!("{name} some text\n\n").repeat(12));
            let work = testing::put(home.catalog.store.clone(), tenant("acme"), new, draft("document.put").into());
            let ended = dropped_after(polls, moment, work).await;
            let took_place = is_whole(&home, &name, before).await;
            assert!(took_place || !ended, "a write that ended is not there");
            cut_off += usize::from(!took_place);
            if ended {
                break;
            }
            polls += 1;
        }
    }
    assert!(cut_off >= 5, "the write was cut off only {cut_off} times");
}

async fn a_reader_who_goes_away_leaves_the_readers_usable(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    put(&home.catalog, &scope, document("a", "text")).await;
    for polls in 0..40 {
        let moment = if polls < 20 { Moment::Waiting } else { Moment::Woken };
        dropped_after(polls % 10, moment, home.catalog.document(&scope, &id("a"))).await;
    }
    put(&home.catalog, &scope, document("a", "new text")).await;
    for _ in 0..8 {
        // A reader that was left in its transaction would still see the old text.
        assert_eq!(home.catalog.document(&scope, &id("a")).await.unwrap().unwrap().text, "new text");
    }
}

#[tokio::test]
async fn a_commit_that_fails_leaves_no_change_no_number_and_no_leaf() {
    let home = On::Sqlite.home_with_tenants().await;
    let scope = admin("acme");
    let set_hook = async |let_through: bool| {
        let mut tx = home.catalog.store.write(&tenant("acme")).await.unwrap();
        let mut handle = tx.connection().sqlite().lock_handle().await.unwrap();
        handle.set_commit_hook(move || let_through);
        drop(handle);
    };
    set_hook(false).await;
    let error = home.catalog.put_document(&scope, document("a", "text"), draft("put")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("cannot commit"), "{error}");
    set_hook(true).await;
    assert_eq!(home.catalog.seq(&scope).await.unwrap(), Seq(0));
    assert_eq!(home.catalog.document(&scope, &id("a")).await.unwrap(), None);
    assert_eq!(home.catalog.chain_head(&scope).await.unwrap().unwrap().index, 0);
    assert!(home.catalog.is_writable(), "a refused commit leaves no doubt about the disk");
    assert_eq!(put(&home.catalog, &scope, document("a", "text")).await.value.seq, Some(Seq(1)));
}

#[tokio::test]
async fn a_full_database_refuses_writes_still_reads_and_goes_on_when_there_is_room() {
    let home = On::Sqlite.home_with_tenants().await;
    let scope = admin("acme");
    put(&home.catalog, &scope, document("a", "text")).await;
    let limit_pages = async |statement: &'static str| {
        let mut tx = home.catalog.store.write(&tenant("acme")).await.unwrap();
        sqlx::query(statement).fetch_one(tx.connection().sqlite()).await.unwrap();
    };
    let mut state = 1u64;
    let letters = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'a' + (state >> 60) as u8)
    });
    let noise: String = letters.take(1_000_000).collect();
    for round in 0..3 {
        let large = document(&format!("large-{round}"), &noise);
        // SQLite ends the transaction by itself, behind the driver's back: the connection, and our limit with it, is
        // given up each time.
        limit_pages("PRAGMA max_page_count = 1").await;
        let error = home.catalog.put_document(&scope, large, draft("put")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
    assert_eq!(home.catalog.document(&scope, &id("a")).await.unwrap().unwrap().text, "text");
    assert!(home.catalog.is_writable());
    assert_eq!(put(&home.catalog, &scope, document("b", "text")).await.value.seq, Some(Seq(2)));
}

on_both! {
    a_write_whose_caller_goes_away_happens_whole_or_not_at_all,
    the_work_itself_cut_off_at_any_step_happens_whole_or_not_at_all,
    a_reader_who_goes_away_leaves_the_readers_usable,
}
