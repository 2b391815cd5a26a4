//! What a sync promises, on a source in memory.

use catena_access::AclEntry;
use catena_catalog::{Group, ItemState, Job, Member, SourceState};
use catena_domain::{ErrorKind, GroupName, SourceName};
use catena_sources::memory::{Memory, MemoryDocument};
use catena_sources::spec::FolderSpec;
use catena_sources::{Access, Credentials, SourceError, SourceSpec};

use super::*;
use crate::sync::description::{Guards, Schedule};
use crate::sync::{LastSync, NewSource, Opener, SourceChange, Totals, Wider};

/// A tenant with one source, which lives in memory.
pub(super) struct World {
    _folder: TempDir,
    pub(super) life: Life,
    pub(super) memory: Memory,
    pub(super) name: SourceName,
    pub(super) scope: Scope,
}

pub(super) fn everyone() -> Access {
    stated(&["everyone"])
}

pub(super) fn stated(allow: &[&str]) -> Access {
    Access::Stated(Acl::parse(allow, &[]).unwrap())
}

/// A text whose title is its heading, and whose words are its own.
pub(super) fn note(at: usize) -> String {
    format!("# Note {at}\n\nOn day {at} the heron of pond {at} stood where the reeds are cut.\n")
}

pub(super) fn new_source(prefix: Option<&str>) -> NewSource {
    NewSource {
        spec: SourceSpec::Folder(FolderSpec { path: "/srv/memory".to_owned(), ..FolderSpec::default() }),
        prefix: prefix.map(str::to_owned),
        credentials: Credentials::default(),
        schedule: None,
        guards: Guards::default(),
        state: SourceState::Active,
    }
}

impl World {
    pub(super) async fn of(memory: Memory) -> Self {
        let handle = memory.clone();
        Self::reading(memory, Arc::new(move |_, _, _, _| Ok(Box::new(handle.clone())))).await
    }

    /// A tenant whose source is opened so.
    pub(super) async fn reading(memory: Memory, opener: Opener) -> Self {
        let folder = TempDir::new().unwrap();
        let life = Life::begin(&folder).await;
        life.make_tenant(life.ingest.recipe()).await;
        life.ingest.open_sources_by(opener);
        let name = SourceName::new("pond").unwrap();
        life.ingest.create_source(&writer(), &name, new_source(Some("")), draft()).await.unwrap();
        Self { _folder: folder, life, memory, name, scope: Scope::service(&tenant()) }
    }

    pub(super) fn put(&self, id: &str, text: &str, access: Access) {
        self.memory.put(id, MemoryDocument::new(text, access));
    }

    /// Asks for a sync and runs it.
    pub(super) async fn sync(&self) -> Job {
        self.sync_as(false).await
    }

    async fn sync_as(&self, again: bool) -> Job {
        let asked = self.life.ingest.request_sync(&writer(), &self.name, again, draft()).await.unwrap().unwrap();
        assert!(self.life.run_next_job().await);
        self.job(&asked.value).await
    }

    async fn job(&self, job: &Job) -> Job {
        self.life.catalog.job(&self.scope, &job.id).await.unwrap().unwrap()
    }

    /// Syncs, which must succeed, and says what it did.
    pub(super) async fn synced(&self) -> Totals {
        let job = self.sync().await;
        assert_eq!(job.state, JobState::Succeeded, "{job:?}");
        self.last().await.totals
    }

    pub(super) async fn last(&self) -> LastSync {
        let row = self.life.catalog.source(&self.scope, &self.name).await.unwrap().unwrap();
        LastSync::read(&row.last.unwrap()).unwrap()
    }

    pub(super) async fn cursor(&self) -> Option<String> {
        self.life.catalog.source(&self.scope, &self.name).await.unwrap().unwrap().cursor
    }

    pub(super) async fn current(&self, document: &str) -> Option<catena_catalog::CurrentVersion> {
        self.life.catalog.current(&self.scope, &id(document)).await.unwrap()
    }

    pub(super) async fn acl(&self, document: &str) -> Acl {
        self.current(document).await.unwrap().acl
    }

    pub(super) async fn seq(&self) -> Seq {
        self.life.catalog.seq(&self.scope).await.unwrap()
    }

    pub(super) async fn items(&self, state: ItemState) -> Vec<(String, String)> {
        let page = self.life.catalog.items_in(&self.scope, &self.name, state, None, 100).await.unwrap();
        page.items.into_iter().map(|item| (item.id.to_string(), item.reason.unwrap_or_default())).collect()
    }

    pub(super) async fn approve(&self, job: &Job) -> Job {
        let digest = job.approval.as_ref().unwrap().digest;
        self.life.catalog.approve_job(&writer(), &job.id, digest, draft()).await.unwrap().unwrap();
        assert!(self.life.run_next_job().await);
        self.job(job).await
    }

    pub(super) async fn group(&self, name: &str, members: &[&str]) {
        let members: Group = members.iter().map(|member| member.parse::<Member>().unwrap()).collect();
        self.life.catalog.put_group(&writer(), &GroupName::new(name).unwrap(), members, draft()).await.unwrap();
    }
}

fn id(text: &str) -> DocumentId {
    DocumentId::new(text).unwrap()
}

fn notes(world: &World, count: usize) {
    (0..count).for_each(|at| world.put(&format!("{at}.md"), &note(at), everyone()));
}

#[tokio::test]
async fn what_did_not_change_is_neither_fetched_nor_written() {
    let world = World::of(Memory::new()).await;
    notes(&world, 5);
    let first = world.synced().await;
    assert_eq!((first.added, first.chunks_embedded), (5, 5));
    assert_eq!(world.acl("3.md").await, Acl::parse(&["everyone"], &[]).unwrap());
    let (seq, fetched) = (world.seq().await, world.memory.asked().1);
    let again = world.synced().await;
    assert_eq!(again, Totals { unchanged: 5, ..Totals::default() });
    assert_eq!((world.seq().await, world.memory.asked().1), (seq, fetched));

    world.memory.put_tagged("3.md", MemoryDocument::new(note(3), everyone()), "touched");
    let touched = world.synced().await;
    assert_eq!((touched.unchanged, touched.chunks_embedded), (5, 0));
    assert_eq!((world.seq().await, world.memory.asked().1), (seq, fetched + 1), "equal bytes were written");

    world.put("3.md", &note(33), everyone());
    let edited = world.synced().await;
    assert_eq!((edited.changed, edited.unchanged, edited.chunks_embedded), (1, 4, 1));
    assert_eq!(first.tokens_embedded, first.tokens, "all was new");
    assert!(
        edited.tokens_embedded > 0 && edited.tokens_embedded * 4 < first.tokens_embedded,
        "{edited:?} after {first:?}"
    );
    assert_eq!(world.current("3.md").await.unwrap().version.0, 2);
}

#[tokio::test]
async fn another_access_list_is_written_without_a_fetch() {
    let world = World::of(Memory::new()).await;
    notes(&world, 3);
    world.synced().await;
    let fetched = world.memory.asked().1;
    world.put("1.md", &note(1), stated(&["user:ann"]));
    let restated = world.synced().await;
    assert_eq!((restated.restated, restated.unchanged, restated.chunks_embedded), (1, 2, 0));
    assert_eq!(world.memory.asked().1, fetched);
    assert_eq!(world.acl("1.md").await, Acl::parse(&["user:ann"], &[]).unwrap());
}

#[tokio::test]
async fn a_document_that_moves_keeps_its_number_and_its_history() {
    for memory in [Memory::new(), Memory::with_cursor()] {
        let world = World::of(memory).await;
        notes(&world, 3);
        world.put("plain.txt", "No heading at all, only a line.", everyone());
        world.synced().await;
        world.put("1.md", &note(11), everyone());
        world.synced().await;
        let (before, plain) = (world.current("1.md").await.unwrap(), world.current("plain.txt").await.unwrap());
        assert_eq!((before.version.0, plain.title.as_str()), (2, "plain.txt"));
        world.memory.rename("1.md", "moved/1.md");
        world.memory.rename("plain.txt", "moved/simple.txt");
        let moved = world.synced().await;
        assert_eq!((moved.moved, moved.deleted, moved.added, moved.chunks_embedded), (2, 0, 0, 0));
        let after = world.current("moved/1.md").await.unwrap();
        assert_eq!((after.doc, after.version, &after.title), (before.doc, before.version, &before.title));
        let simple = world.current("moved/simple.txt").await.unwrap();
        assert_eq!((simple.doc, simple.version, simple.title.as_str()), (plain.doc, plain.version, "simple.txt"));
        assert!(world.current("1.md").await.is_none());
        assert_eq!(world.synced().await.unchanged, if world.cursor().await.is_some() { 0 } else { 4 });
        world.put("1.md", &note(5), everyone());
        assert_eq!(world.synced().await.added, 1);
        assert_ne!(world.current("1.md").await.unwrap().doc, before.doc);
    }
}

#[tokio::test]
async fn a_look_that_breaks_off_deletes_nothing_and_does_not_move_the_cursor() {
    for memory in [Memory::new(), Memory::with_cursor()] {
        let world = World::of(memory).await;
        notes(&world, 4);
        world.synced().await;
        let cursor = world.cursor().await;
        world.memory.remove("0.md");
        world.put("new.md", &note(9), everyone());
        world.put("2.md", &note(22), everyone());
        for events in 0..2 {
            world.memory.break_after(Some(events));
            let job = world.sync().await;
            assert_eq!(job.state, JobState::Failed, "{job:?}");
            assert!(job.error.unwrap().contains("broke off"));
            assert!(world.last().await.error.is_some());
            assert!(world.current("0.md").await.is_some(), "a document was deleted after {events} events");
            assert_eq!(world.cursor().await, cursor);
        }
        world.memory.break_after(None);
        let done = world.synced().await;
        assert_eq!((done.deleted, world.current("0.md").await), (1, None));
        assert_eq!(world.current("2.md").await.unwrap().version.0, 2);
        assert!(world.current("new.md").await.is_some());
    }
}

#[tokio::test]
async fn many_deletions_wait_for_approval_of_exactly_these() {
    let world = World::of(Memory::new()).await;
    notes(&world, 30);
    world.synced().await;
    (0..12).for_each(|at| world.memory.remove(&format!("{at}.md")));
    world.put("29.md", &note(290), everyone());
    let held = world.sync().await;
    assert_eq!(held.state, JobState::Held, "{held:?}");
    let plan: serde_json::Value = serde_json::from_str(&held.approval.as_ref().unwrap().plan).unwrap();
    assert_eq!((&plan["deletes"]["count"], &plan["deletes"]["documents"][0]), (&12.into(), &"0.md".into()));
    assert!(world.current("0.md").await.is_some());
    assert_eq!(world.current("29.md").await.unwrap().version.0, 2, "what is harmless waited, too");
    let other = world.life.catalog.approve_job(&writer(), &held.id, [7; 32], draft()).await;
    assert_eq!(other.unwrap_err().kind(), ErrorKind::Conflict);

    // The world moves on between the plan and its approval: it is held again, with what is true now.
    world.memory.remove("20.md");
    let again = world.approve(&held).await;
    assert_eq!(again.state, JobState::Held, "{again:?}");
    assert_ne!(again.approval.as_ref().unwrap().digest, held.approval.as_ref().unwrap().digest);
    assert!(world.current("0.md").await.is_some() && world.current("20.md").await.is_some());
    let done = world.approve(&again).await;
    assert_eq!((done.state, world.last().await.totals.deleted), (JobState::Succeeded, 13));
    assert!(world.current("0.md").await.is_none());
    assert_eq!(world.life.catalog.document_count(&world.scope).await.unwrap(), 17);
}

#[tokio::test]
async fn a_few_deletions_do_not_wait() {
    let world = World::of(Memory::with_cursor()).await;
    notes(&world, 12);
    world.synced().await;
    (0..10).for_each(|at| world.memory.remove(&format!("{at}.md")));
    let done = world.synced().await;
    assert_eq!((done.deleted, world.life.catalog.document_count(&world.scope).await.unwrap()), (10, 2));
}

#[tokio::test]
async fn a_wider_list_waits_and_whoever_was_taken_out_is_out_at_once() {
    let world = World::of(Memory::new()).await;
    world.group("few", &["ann", "bob"]).await;
    world.group("outer", &["group:few", "eve"]).await;
    world.put("a.md", &note(1), stated(&["group:few", "user:ted"]));
    world.put("b.md", &note(2), stated(&["user:ann"]));
    world.synced().await;
    // One more reader is within the bound.
    world.put("b.md", &note(2), stated(&["group:outer"]));
    assert_eq!(world.synced().await.restated, 1);

    world.put("a.md", &note(1), stated(&["everyone", "group:few"]));
    let held = world.sync().await;
    assert_eq!(held.state, JobState::Held, "{held:?}");
    let plan: serde_json::Value = serde_json::from_str(&held.approval.as_ref().unwrap().plan).unwrap();
    assert_eq!(plan["widenings"]["documents"][0]["wider"], serde_json::to_value(Wider::Everyone).unwrap());
    assert_eq!(world.acl("a.md").await, Acl::parse(&["group:few"], &[]).unwrap());
    let done = world.approve(&held).await;
    assert_eq!(done.state, JobState::Succeeded, "{done:?}");
    assert_eq!(world.acl("a.md").await, Acl::parse(&["everyone", "group:few"], &[]).unwrap());
    assert_eq!(world.synced().await.unchanged, 2);
}

#[tokio::test]
async fn the_guard_counts_readers_through_groups_and_knows_when_it_cannot() {
    let world = World::of(Memory::new()).await;
    world.group("few", &["ann", "bob"]).await;
    world.group("outer", &["group:few", "eve"]).await;
    let guards = Guards { widening_max_readers: Some(2), ..Guards::default() };
    let change = SourceChange { guards: guards.into(), ..SourceChange::default() };
    world.life.ingest.change_source(&writer(), &world.name, change, draft()).await.unwrap().unwrap();
    for (before, after, is_held) in [
        (&["user:ann"][..], &["group:outer"][..], false),
        (&["user:zoe"], &["group:outer"], true),
        (&["group:outer"], &["group:few"], false),
        (&["user:ann"], &["group:of-nobody-knows"], true),
        (&["everyone"], &["group:outer"], false),
        (&["group:few"], &["everyone"], true),
    ] {
        world.memory.remove("a.md");
        world.synced().await;
        world.put("a.md", &note(1), stated(before));
        world.synced().await;
        world.put("a.md", &note(1), stated(after));
        let job = world.sync().await;
        assert_eq!(job.state == JobState::Held, is_held, "{before:?} {after:?}: {job:?}");
        if is_held {
            world.life.catalog.refuse_job(&writer(), &job.id, draft()).await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_changed_text_does_not_reach_new_readers_before_they_are_approved() {
    let world = World::of(Memory::new()).await;
    world.put("a.md", &note(1), stated(&["user:ann"]));
    world.synced().await;
    world.put("a.md", &note(2), everyone());
    let held = world.sync().await;
    assert_eq!(held.state, JobState::Held);
    let now = world.current("a.md").await.unwrap();
    assert_eq!((now.version.0, now.acl), (1, Acl::default()));
    assert_eq!(world.approve(&held).await.state, JobState::Succeeded);
    let now = world.current("a.md").await.unwrap();
    assert_eq!((now.version.0, now.acl), (2, Acl::parse(&["everyone"], &[]).unwrap()));
}

#[tokio::test]
async fn a_document_whose_readers_cannot_be_read_is_quarantined_and_comes_back_by_itself() {
    let world = World::of(Memory::new()).await;
    let unreadable = || Access::Unreadable { reason: "access.toml is cut off".to_owned() };
    world.put("old.md", &note(1), everyone());
    world.synced().await;
    world.put("old.md", &note(1), unreadable());
    world.put("new.md", &note(2), unreadable());
    let done = world.synced().await;
    assert_eq!((done.quarantined, done.added, done.restated), (2, 1, 1));
    for document in ["old.md", "new.md"] {
        assert!(world.acl(document).await.lists().is_none(), "{document} can be seen");
    }
    let listed = world.items(ItemState::Quarantined).await;
    assert_eq!(listed[1], ("old.md".to_owned(), "access.toml is cut off".to_owned()));
    world.put("old.md", &note(1), everyone());
    world.put("new.md", &note(2), everyone());
    let back = world.synced().await;
    assert_eq!((back.restated, back.chunks_embedded), (2, 0));
    assert!(world.items(ItemState::Quarantined).await.is_empty());
    assert_eq!(world.acl("new.md").await, world.acl("old.md").await);
}

#[tokio::test]
async fn a_quarantine_is_no_way_around_the_guard() {
    let world = World::of(Memory::new()).await;
    world.put("a.md", &note(1), stated(&["user:ann"]));
    world.synced().await;
    world.put("a.md", &note(1), Access::Unreadable { reason: "for now".to_owned() });
    world.synced().await;
    world.put("a.md", &note(1), everyone());
    assert_eq!(world.sync().await.state, JobState::Held);
    assert!(world.acl("a.md").await.lists().is_none());
}

#[tokio::test]
async fn what_cannot_be_read_is_one_failed_document_and_its_old_version_stays() {
    let world = World::of(Memory::with_cursor()).await;
    notes(&world, 3);
    world.synced().await;
    let cursor = world.cursor().await;
    world.put("0.md", &note(10), everyone());
    world.memory.put("1.md", MemoryDocument::new(b"\xff\xfe\x00broken\xff".to_vec(), everyone()));
    world.memory.put("what.xyzzy", MemoryDocument::new("of no known kind", everyone()));
    world.memory.fail_fetch("what.xyzzy", SourceError::Document { reason: "it is 80 GB long".to_owned() });
    let job = world.sync().await;
    assert_eq!((job.state, job.failed_documents > 0), (JobState::Succeeded, true), "{job:?}");
    assert_eq!(world.current("0.md").await.unwrap().version.0, 2);
    assert!(world.current("1.md").await.is_some());
    let failed = world.items(ItemState::Failed).await;
    assert_eq!(failed.last().unwrap().1, "it is 80 GB long");
    assert_ne!(world.cursor().await, cursor, "what will never be read held the cursor up");

    // For want of the source it is tried again, and the cursor waits.
    let cursor = world.cursor().await;
    world.put("2.md", &note(20), everyone());
    let away = SourceError::Unreachable { place: "the store".to_owned(), reason: "it is away".to_owned() };
    world.memory.fail_fetch("2.md", away);
    let job = world.sync().await;
    assert_eq!((job.state, job.failed_documents), (JobState::Succeeded, 1));
    assert_eq!(world.cursor().await, cursor);
    world.put("2.md", &note(20), everyone());
    assert_eq!(world.synced().await.changed, 1);
    assert_ne!(world.cursor().await, cursor);
}

#[tokio::test]
async fn nothing_is_taken_over_that_somebody_else_wrote() {
    let world = World::of(Memory::new()).await;
    world.life.put("mine.md", "# Mine\n\nWritten by hand.", Freshness::Durable).await;
    world.put("mine.md", &note(1), everyone());
    let job = world.sync().await;
    assert_eq!((job.state, job.failed_documents), (JobState::Succeeded, 1));
    assert!(world.items(ItemState::Failed).await[0].1.contains("prefix"));
    world.memory.remove("mine.md");
    world.synced().await;
    assert_eq!(world.current("mine.md").await.unwrap().source, None);
}

#[tokio::test]
async fn a_plan_says_what_a_sync_then_does_and_does_nothing() {
    let world = World::of(Memory::new()).await;
    notes(&world, 6);
    world.synced().await;
    world.memory.remove("0.md");
    world.memory.rename("1.md", "far/1.md");
    world.put("2.md", &note(22), everyone());
    world.put("3.md", &note(3), stated(&["user:ann"]));
    world.put("new.md", &note(7), everyone());
    let seq = world.seq().await;
    let plan = world.life.ingest.plan_source(&world.scope, &world.name).await.unwrap().unwrap();
    assert_eq!((plan.adds.documents, plan.changes.documents), (vec![id("new.md")], vec![id("2.md")]));
    assert_eq!((plan.deletes.documents, plan.moves), (vec![id("0.md")], vec![(id("1.md"), id("far/1.md"))]));
    assert_eq!((plan.access_count, plan.access[0].wider, plan.unchanged), (1, None, 2));
    assert_eq!((plan.estimate.documents, plan.estimate.sampled, plan.estimate.chunks), (3, 3, 2));
    assert_eq!(world.seq().await, seq, "a plan changed something");
    let done = world.synced().await;
    assert_eq!((done.added, done.changed, done.deleted, done.moved, done.restated), (1, 1, 1, 1, 1));
    assert_eq!(done.chunks_embedded, plan.estimate.chunks);
}

#[tokio::test]
async fn of_many_that_look_at_the_clock_one_asks_for_a_sync() {
    let world = World::of(Memory::new()).await;
    let change = SourceChange { schedule: Some(Some(Schedule::EverySeconds(60))), ..SourceChange::default() };
    world.life.ingest.change_source(&writer(), &world.name, change, draft()).await.unwrap().unwrap();
    assert!(!world.life.ingest.run_due_source().await.unwrap(), "it was due at once");
    let past = catena_domain::Timestamp(1);
    world.life.catalog.schedule_source(&world.scope, &world.name, Some(past)).await.unwrap();
    let asked = futures::future::join_all((0..8).map(|_| world.life.ingest.run_due_source())).await;
    assert_eq!(asked.into_iter().filter(|asked| *asked.as_ref().unwrap()).count(), 1);
    assert_eq!(world.life.catalog.jobs(&world.scope, 10).await.unwrap().len(), 1);
    let row = world.life.catalog.source(&world.scope, &world.name).await.unwrap().unwrap();
    assert!(row.description.next_at.unwrap() > catena_runtime::clock::now());
}

#[tokio::test]
async fn a_source_goes_with_its_documents_or_without() {
    let world = World::of(Memory::new()).await;
    notes(&world, 3);
    world.synced().await;
    world.life.put("mine.md", "# Mine\n\nWritten by hand.", Freshness::Durable).await;
    world.life.ingest.delete_source(&writer(), &world.name, draft()).await.unwrap().unwrap();
    assert_eq!(world.life.catalog.document_count(&world.scope).await.unwrap(), 4);
    world.life.ingest.create_source(&writer(), &world.name, new_source(Some("")), draft()).await.unwrap();
    let taken_up = world.synced().await;
    assert_eq!((taken_up.unchanged, taken_up.chunks_embedded), (3, 0), "{taken_up:?}");
    world.life.ingest.request_source_removal(&writer(), &world.name, draft()).await.unwrap().unwrap();
    assert!(world.life.run_next_job().await);
    assert_eq!(world.life.catalog.document_count(&world.scope).await.unwrap(), 1);
    assert!(world.life.catalog.source(&world.scope, &world.name).await.unwrap().is_none());
}

#[tokio::test]
async fn a_label_that_asks_for_less_is_a_wider_list() {
    let world = World::of(Memory::new()).await;
    let labels = ["internal", "secret"].map(|name| catena_domain::Label::new(name).unwrap());
    world.life.catalog.put_labels(&writer(), &labels, draft()).await.unwrap();
    let labelled = |label: Option<&catena_domain::Label>| {
        let who = AclEntry::from(catena_access::Who::Everyone);
        Access::Stated(Acl::of(vec![who], vec![], label.cloned()).unwrap())
    };
    for (before, after, is_held) in [
        (Some(&labels[1]), Some(&labels[0]), true),
        (Some(&labels[0]), Some(&labels[1]), false),
        (Some(&labels[0]), None, true),
    ] {
        world.memory.remove("a.md");
        world.synced().await;
        world.put("a.md", &note(1), labelled(before));
        world.synced().await;
        world.put("a.md", &note(1), labelled(after));
        let job = world.sync().await;
        assert_eq!(job.state == JobState::Held, is_held, "{before:?} {after:?}");
        if is_held {
            world.life.catalog.refuse_job(&writer(), &job.id, draft()).await.unwrap().unwrap();
        }
    }
}
