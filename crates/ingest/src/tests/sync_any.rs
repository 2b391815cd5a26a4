//! Whatever happens to a source, and however often a look breaks off, a look that comes to its end leaves the tenant as
//! the source is.

use std::collections::BTreeSet;

use catena_domain::SourceName;
use catena_sources::memory::{Memory, MemoryDocument};
use catena_sources::{Access, SourceError};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sha2::{Digest as _, Sha256};

use super::sync::{World, new_source, note};
use super::*;
use crate::sync::SourceChange;
use crate::sync::description::Guards;

const CASES: u32 = 24;
const NAMES: [&str; 6] = ["a.md", "b.md", "deep/a.md", "deep/c.md", "d.md", "e.txt"];

#[derive(Debug, Clone)]
enum Act {
    Write(usize, usize),
    Touch(usize),
    Readers(usize, usize),
    Move(usize, usize),
    Remove(usize),
    FailFetch(usize),
    /// A sync whose look breaks off after so many events.
    SyncBroken(usize),
    Sync,
}

fn act() -> impl Strategy<Value = Act> {
    let name = 0..NAMES.len();
    prop_oneof![
        4 => (name.clone(), 0..8usize).prop_map(|(at, text)| Act::Write(at, text)),
        1 => name.clone().prop_map(Act::Touch),
        2 => (name.clone(), 0..4usize).prop_map(|(at, who)| Act::Readers(at, who)),
        2 => (name.clone(), name.clone()).prop_map(|(from, to)| Act::Move(from, to)),
        2 => name.clone().prop_map(Act::Remove),
        1 => name.prop_map(Act::FailFetch),
        2 => (0..6usize).prop_map(Act::SyncBroken),
        2 => Just(Act::Sync),
    ]
}

fn readers(who: usize) -> Access {
    match who {
        0 => Access::Stated(Acl::parse(&["everyone"], &[]).unwrap()),
        1 => Access::Stated(Acl::parse(&["user:ann"], &["user:bob"]).unwrap()),
        2 => Access::Unstated,
        _ => Access::Unreadable { reason: "cut off".to_owned() },
    }
}

fn expected(access: &Access) -> Acl {
    match access {
        Access::Stated(acl) => acl.clone(),
        Access::Unstated => Acl::default(),
        Access::Unreadable { reason } => Acl::unknown(reason),
    }
}

fn apply(memory: &Memory, act: &Act, touches: &mut usize) {
    let held = memory.documents();
    match act {
        Act::Write(at, text) => {
            let access = held.get(NAMES[*at]).map_or_else(|| readers(0), |document| document.access.clone());
            memory.put(NAMES[*at], MemoryDocument::new(note(*text), access));
        }
        Act::Touch(at) => {
            if let Some(document) = held.get(NAMES[*at]) {
                *touches += 1;
                memory.put_tagged(NAMES[*at], document.clone(), &format!("touch-{touches}"));
            }
        }
        Act::Readers(at, who) => {
            if let Some(document) = held.get(NAMES[*at]) {
                let document = MemoryDocument { access: readers(*who), ..document.clone() };
                memory.put(NAMES[*at], document);
            }
        }
        Act::Move(from, to) if from != to => memory.rename(NAMES[*from], NAMES[*to]),
        Act::Remove(at) => memory.remove(NAMES[*at]),
        Act::FailFetch(at) => memory.fail_fetch(NAMES[*at], away()),
        Act::Move(..) | Act::SyncBroken(_) | Act::Sync => {}
    }
}

fn away() -> SourceError {
    SourceError::Unreachable { place: "the store".to_owned(), reason: "away".to_owned() }
}

async fn live(world: &World) -> BTreeSet<&'static str> {
    let mut live = BTreeSet::new();
    for name in NAMES {
        if world.current(name).await.is_some() {
            live.insert(name);
        }
    }
    live
}

async fn play(world: &World, acts: &[Act]) {
    let memory = &world.memory;
    let mut touches = 0;
    for act in acts {
        apply(memory, act, &mut touches);
        match act {
            Act::Sync => {
                world.sync().await;
            }
            Act::SyncBroken(after) => {
                let before = live(world).await;
                memory.break_after(Some(*after));
                let job = world.sync().await;
                memory.break_after(None);
                if job.state == JobState::Succeeded {
                    // It came to its end before it would have broken off.
                    continue;
                }
                assert!(job.error.as_ref().is_some_and(|error| error.contains("broke off")), "{job:?}");
                let after = live(world).await;
                // What the source itself says was moved is at its new place; nothing is fewer.
                assert!(after.len() >= before.len(), "{before:?} became {after:?} by a look that broke off");
            }
            _ => {}
        }
    }
    for (id, document) in memory.documents() {
        memory.put(&id, document);
    }
    world.synced().await;
    let held = memory.documents();
    let there: BTreeSet<&str> = held.keys().map(String::as_str).collect();
    assert_eq!(live(world).await, there);
    for (id, document) in &held {
        let current = world.current(id).await.unwrap();
        let sha256: [u8; 32] = Sha256::digest(&document.bytes).into();
        assert_eq!(current.bytes_sha256, sha256, "{id} has other bytes");
        assert_eq!(current.acl, expected(&document.access), "{id} has other readers");
    }
    let seq = world.life.catalog.seq(&world.scope).await.unwrap();
    let quiet = world.synced().await;
    assert_eq!(quiet.chunks_embedded, 0);
    assert_eq!(
        world.life.catalog.seq(&world.scope).await.unwrap(),
        seq,
        "a sync of what did not change wrote: {quiet:?}"
    );
}

fn on_one_thread(story: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(story);
}

async fn live_through(memory: Memory, acts: &[Act]) {
    let world = World::of(memory).await;
    let guards = Guards { widening_max_readers: None, ..Guards::default() };
    let change = SourceChange { guards: guards.into(), ..SourceChange::default() };
    world.life.ingest.change_source(&writer(), &world.name, change, draft()).await.unwrap().unwrap();
    play(&world, acts).await;
}

fn any_story(memory: fn() -> Memory) {
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    runner
        .run(&prop::collection::vec(act(), 1..24), |acts| {
            on_one_thread(live_through(memory(), &acts));
            Ok(())
        })
        .unwrap();
}

#[test]
fn after_a_whole_look_the_tenant_is_as_the_source_is() {
    any_story(Memory::new);
}

#[test]
fn after_a_look_since_a_cursor_the_tenant_is_as_the_source_is() {
    any_story(Memory::with_cursor);
}

#[test]
fn what_was_moved_to_where_something_lies_is_gone_from_where_it_was() {
    let acts = [Act::Write(3, 0), Act::Write(5, 0), Act::Sync, Act::Move(3, 5)];
    on_one_thread(live_through(Memory::with_cursor(), &acts));
}

#[test]
fn what_was_moved_to_where_nothing_can_lie_is_gone_from_where_it_was() {
    on_one_thread(async {
        let world = World::of(Memory::with_cursor()).await;
        let other = SourceName::new("other").unwrap();
        world.life.ingest.create_source(&writer(), &other, new_source(None), draft()).await.unwrap();
        let sync = async || {
            world.life.ingest.request_sync(&writer(), &other, false, draft()).await.unwrap().unwrap();
            assert!(world.life.run_next_job().await);
        };
        world.put("a.md", &note(1), readers(0));
        sync().await;
        assert!(world.current("other/a.md").await.is_some());
        // An id of its source, and too long behind the prefix.
        world.memory.rename("a.md", &format!("{}.md", "a".repeat(507)));
        sync().await;
        assert!(world.current("other/a.md").await.is_none());
    });
}

#[test]
fn sources_with_prefixes_of_their_own_do_not_meet() {
    on_one_thread(async {
        let world = World::of(Memory::new()).await;
        world.put("a.md", &note(1), readers(0));
        world.synced().await;
        let other = SourceName::new("other").unwrap();
        world.life.ingest.create_source(&writer(), &other, new_source(None), draft()).await.unwrap();
        world.life.ingest.request_sync(&writer(), &other, false, draft()).await.unwrap().unwrap();
        assert!(world.life.run_next_job().await);
        assert_eq!(world.current("other/a.md").await.unwrap().source.as_deref(), Some("other"));
        assert_eq!(world.current("a.md").await.unwrap().source.as_deref(), Some("pond"));
    });
}
