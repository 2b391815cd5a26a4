//! What waits for approval, whatever happened before: nothing that widens is forgotten on the way.

use std::sync::atomic::{AtomicUsize, Ordering};

use catena_access::{AclEntry, Window};
use catena_catalog::Job;
use catena_domain::Label;
use catena_sources::memory::{Memory, MemoryDocument};
use catena_sources::{Access, Cursor, Event, Fetch, Item, Source, SourceError};
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use super::sync::{World, everyone, new_source, note, stated};
use super::*;
use crate::sync::SourceChange;
use crate::sync::description::GuardsChange;

impl World {
    async fn refuse(&self, job: &Job) {
        self.life.catalog.refuse_job(&writer(), &job.id, draft()).await.unwrap().unwrap();
    }

    /// So many readers more need no approval.
    async fn bound(&self, readers: u64) {
        let guards = GuardsChange { widening_max_readers: Some(Some(readers)), ..GuardsChange::default() };
        let change = SourceChange { guards, ..SourceChange::default() };
        self.life.ingest.change_source(&writer(), &self.name, change, draft()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_label_that_goes_waits_again_after_it_was_refused() {
    let world = World::of(Memory::new()).await;
    world.group("few", &["ann"]).await;
    let secret = Label::new("secret").unwrap();
    world.life.catalog.put_labels(&writer(), std::slice::from_ref(&secret), draft()).await.unwrap();
    let labelled = |allow: Vec<AclEntry>| Acl::of(allow, vec![], Some(secret.clone())).unwrap();
    let few = "group:few".parse::<catena_access::Who>().unwrap();
    world.put("a.md", &note(1), Access::Stated(labelled(vec![few.into()])));
    world.synced().await;
    world.put("a.md", &note(1), stated(&["group:few"]));
    for _ in 0..2 {
        let held = world.sync().await;
        assert_eq!(held.state, JobState::Held, "{held:?}");
        assert_eq!(world.acl("a.md").await, labelled(vec![]));
        world.refuse(&held).await;
    }
    let held = world.sync().await;
    assert_eq!(world.approve(&held).await.state, JobState::Succeeded);
    assert_eq!(world.acl("a.md").await, Acl::parse(&["group:few"], &[]).unwrap());
}

#[tokio::test]
async fn an_entry_for_a_time_is_none_for_all_times() {
    let world = World::of(Memory::new()).await;
    world.group("few", &["ann", "bob"]).await;
    let entry =
        |who: &str, from, until| AclEntry { who: who.parse().unwrap(), window: Window::parse(from, until).unwrap() };
    let always = |who| entry(who, None, None);
    let (later, for_now) =
        (entry("everyone", Some("2090-01-01T00:00:00Z"), None), entry("everyone", None, Some("2090-01-01T00:00:00Z")));
    let list = |allow: &[&AclEntry], deny: &[&AclEntry]| {
        let side = |entries: &[&AclEntry]| entries.iter().map(|&entry| entry.clone()).collect();
        Acl::of(side(allow), side(deny), None).unwrap()
    };
    let (all, few, ann) = (always("everyone"), always("group:few"), always("user:ann"));
    for (before, after, is_held) in [
        (list(&[&later], &[]), list(&[&all], &[]), true),
        (list(&[&few], &[]), list(&[&all], &[&for_now]), true),
        (list(&[&all], &[&for_now]), list(&[&all], &[]), true),
        (list(&[&all], &[&all]), list(&[&all], &[&for_now]), true),
        (list(&[&later], &[]), list(&[&later, &ann], &[]), false),
        (list(&[&all], &[]), list(&[&later], &[]), false),
        (list(&[&all], &[&for_now]), list(&[&all], &[&all]), false),
    ] {
        world.memory.remove("a.md");
        world.synced().await;
        world.put("a.md", &note(1), Access::Stated(before.clone()));
        world.synced().await;
        world.put("a.md", &note(1), Access::Stated(after.clone()));
        let job = world.sync().await;
        assert_eq!(job.state == JobState::Held, is_held, "{before:?} {after:?}: {job:?}");
        if is_held {
            world.refuse(&job).await;
        }
    }
}

#[tokio::test]
async fn a_source_that_is_made_anew_is_guarded_by_the_lists_that_hold() {
    let away = || SourceError::Unreachable { place: "the store".to_owned(), reason: "it is away".to_owned() };
    for is_away in [true, false] {
        let world = World::of(Memory::new()).await;
        world.put("a.md", &note(1), stated(&["user:ann"]));
        world.synced().await;
        world.life.ingest.delete_source(&writer(), &world.name, draft()).await.unwrap().unwrap();
        world.life.ingest.create_source(&writer(), &world.name, new_source(Some("")), draft()).await.unwrap();
        if is_away {
            world.memory.fail_fetch("a.md", away());
        } else {
            world.put("a.md", &note(1), Access::Unreadable { reason: "access.toml is cut off".to_owned() });
        }
        world.synced().await;
        world.put("a.md", &note(1), everyone());
        let held = world.sync().await;
        assert_eq!(held.state, JobState::Held, "away: {is_away}: {held:?}");
        assert_eq!(world.approve(&held).await.state, JobState::Succeeded);
        assert_eq!(world.acl("a.md").await, Acl::parse(&["everyone"], &[]).unwrap());
    }
}

/// A source that says something else when it is asked once more.
#[derive(Debug, Clone)]
struct Turning {
    memory: Memory,
    fetches: Arc<AtomicUsize>,
    turns_after: usize,
}

impl Source for Turning {
    fn look(&self, since: Option<Cursor>) -> BoxStream<'_, Result<Event, SourceError>> {
        self.memory.look(since)
    }

    fn fetch<'a>(&'a self, item: &'a Item, known_tag: Option<&'a str>) -> BoxFuture<'a, Result<Fetch, SourceError>> {
        Box::pin(async move {
            let mut found = self.memory.fetch(item, known_tag).await?;
            let at = self.fetches.fetch_add(1, Ordering::SeqCst);
            if let Fetch::Document { fetched, .. } = &mut found
                && at >= self.turns_after
            {
                fetched.access = everyone();
            }
            Ok(found)
        })
    }
}

#[tokio::test]
async fn what_was_approved_is_one_list_and_no_other() {
    // It is fetched once, once more for the plan, and twice after the approval: to compare, and to write.
    let turning = Turning { memory: Memory::new(), fetches: Arc::default(), turns_after: 3 };
    let (memory, fetches) = (turning.memory.clone(), Arc::clone(&turning.fetches));
    let world = World::reading(memory, Arc::new(move |_, _, _, _| Ok(Box::new(turning.clone())))).await;
    let unlisted =
        |access| MemoryDocument { listed_access: false, ..MemoryDocument::new(note(1).into_bytes(), access) };
    world.memory.put_tagged("a.md", unlisted(stated(&["user:ann"])), "one");
    world.synced().await;
    world.memory.put_tagged("a.md", unlisted(stated(&["group:of-nobody-knows"])), "two");
    let held = world.sync().await;
    assert_eq!(held.state, JobState::Held, "{held:?}");
    let again = world.approve(&held).await;
    assert_eq!((again.state, fetches.load(Ordering::SeqCst)), (JobState::Held, 4), "{again:?}");
    assert!(again.approval.as_ref().unwrap().plan.contains("everyone"));
    assert_eq!(world.acl("a.md").await, Acl::default());
    assert_eq!(world.approve(&again).await.state, JobState::Succeeded);
    assert_eq!(world.acl("a.md").await, Acl::parse(&["everyone"], &[]).unwrap());
}

#[tokio::test]
async fn one_approval_is_enough_though_fewer_see_it_meanwhile() {
    let world = World::of(Memory::new()).await;
    world.group("outer", &["ann", "bob", "eve"]).await;
    world.bound(1).await;
    world.put("a.md", &note(1), stated(&["user:ann"]));
    world.synced().await;
    world.put("a.md", &note(1), stated(&["group:outer"]));
    let held = world.sync().await;
    assert_eq!(held.state, JobState::Held, "{held:?}");
    assert_eq!(world.acl("a.md").await, Acl::default());
    let done = world.approve(&held).await;
    assert_eq!(done.state, JobState::Succeeded, "{done:?}");
    assert_eq!(world.acl("a.md").await, Acl::parse(&["group:outer"], &[]).unwrap());
}
