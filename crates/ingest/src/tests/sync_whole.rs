//! After a sync that was cut off, or that met a limit, the next one leaves the tenant as the source is.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use catena_catalog::{Move, Quota, TenantChange};
use catena_firewall::{Action, Policy};
use catena_sources::memory::{Memory, MemoryDocument};
use catena_sources::spec::FolderSpec;
use catena_sources::{AccessSpec, Credentials, Cursor, Event, Fetch, Item, Source, SourceError};
use catena_sources::{SourceSpec, Surroundings};
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use super::sync::{World, everyone, note, stated};
use super::*;
use crate::sync::{Opener, Totals};

fn list(allow: &[&str]) -> Acl {
    Acl::parse(allow, &[]).unwrap()
}

fn id(text: &str) -> DocumentId {
    DocumentId::new(text).unwrap()
}

impl World {
    /// Writes a document as a sync does that is killed before it notes that.
    async fn put_unnoted(&self, name: &str, text: &str) {
        let submission = Submission { source: Some(self.name.to_string()), ..submission(name, text) };
        self.life.ingest.put(&writer(), submission, Freshness::Durable, draft()).await.unwrap();
    }

    async fn bound_documents(&self, limit: u64) {
        let operator = operator().operate().unwrap();
        let quotas = [(Quota::Documents, Some(limit))].into();
        let change = TenantChange { quotas, ..TenantChange::default() };
        self.life.catalog.change_tenant(&operator, &tenant(), change, draft()).await.unwrap().unwrap();
    }

    async fn documents(&self) -> u64 {
        self.life.catalog.document_count(&self.scope).await.unwrap()
    }
}

#[tokio::test]
async fn a_document_that_was_moved_and_not_read_yet_is_read_at_its_new_place() {
    let world = World::of(Memory::with_cursor()).await;
    let unlisted =
        |access| MemoryDocument { listed_access: false, ..MemoryDocument::new(note(1).into_bytes(), access) };
    world.memory.put("a.md", unlisted(everyone()));
    world.synced().await;
    world.memory.rename("a.md", "closed/a.md");
    world.memory.put("closed/a.md", unlisted(stated(&["user:ann"])));
    let moved = Move { source: world.name.clone(), from: id("a.md"), to: id("closed/a.md"), title_from_id: None };
    world.life.catalog.move_document(&world.scope, moved, draft()).await.unwrap().unwrap();
    world.synced().await;
    assert_eq!(world.acl("closed/a.md").await, list(&["user:ann"]));
}

#[tokio::test]
async fn a_document_that_was_written_and_not_noted_goes_when_it_is_gone() {
    let world = World::of(Memory::new()).await;
    world.put("kept.md", &note(1), everyone());
    world.put_unnoted("lost.md", &note(2)).await;
    world.put_unnoted("kept.md", &note(1)).await;
    world.life.put("mine.md", &note(3), Freshness::Durable).await;
    let plan = world.life.ingest.plan_source(&world.scope, &world.name).await.unwrap().unwrap();
    assert_eq!(plan.deletes.documents, [id("lost.md")]);
    let done = world.synced().await;
    assert_eq!((done.deleted, done.unchanged), (1, 1), "{done:?}");
    assert!(world.current("lost.md").await.is_none() && world.current("mine.md").await.is_some());
    assert_eq!(world.synced().await, Totals { unchanged: 1, ..Totals::default() });

    // So many at once wait for approval, noted or not.
    for at in 10..25 {
        world.put_unnoted(&format!("{at}.md"), &note(at)).await;
    }
    let held = world.sync().await;
    assert_eq!((held.state, world.documents().await), (JobState::Held, 17), "{held:?}");
    assert_eq!(world.approve(&held).await.state, JobState::Succeeded);
    assert_eq!(world.documents().await, 2);
}

#[tokio::test]
async fn a_source_that_goes_takes_documents_with_it_that_were_not_noted() {
    let world = World::of(Memory::new()).await;
    world.put("kept.md", &note(1), everyone());
    world.synced().await;
    world.put_unnoted("lost.md", &note(2)).await;
    world.life.put("mine.md", &note(3), Freshness::Durable).await;
    world.life.ingest.request_source_removal(&writer(), &world.name, draft()).await.unwrap().unwrap();
    assert!(world.life.run_next_job().await);
    assert_eq!(world.documents().await, 1);
}

#[tokio::test]
async fn a_tenant_that_is_full_still_loses_what_is_gone() {
    let world = World::of(Memory::new()).await;
    (0..10).for_each(|at| world.put(&format!("{at}.md"), &note(at), everyone()));
    world.synced().await;
    world.bound_documents(10).await;
    (0..5).for_each(|at| world.memory.remove(&format!("{at}.md")));
    (10..15).for_each(|at| world.put(&format!("{at}.md"), &note(at), everyone()));
    let full = world.synced().await;
    assert_eq!((full.failed, full.deleted, full.added), (5, 5, 0), "{full:?}");
    let done = world.synced().await;
    assert_eq!((done.failed, done.added, world.documents().await), (0, 5, 10), "{done:?}");
}

#[tokio::test]
async fn many_documents_of_others_do_not_make_a_source_unreachable() {
    let world = World::of(Memory::new()).await;
    world.put("zz.md", &note(99), everyone());
    world.synced().await;
    for at in 0..60 {
        let name = format!("{at:02}.md");
        world.life.put(&name, "# Mine\n\nWritten by hand.", Freshness::Durable).await;
        world.put(&name, &note(at), everyone());
    }
    world.memory.remove("zz.md");
    let done = world.synced().await;
    assert_eq!((done.failed, done.deleted, world.documents().await), (60, 1, 60), "{done:?}");
}

#[tokio::test]
async fn what_waits_in_quarantine_is_released_to_those_who_may_read_it_now() {
    let world = World::of(Memory::new()).await;
    let policy = serde_json::to_string(&Policy { secret: Action::Quarantine, ..Policy::default() }).unwrap();
    world.life.catalog.put_firewall_policy(&writer(), policy, draft()).await.unwrap();
    let text = "# Notes\n\nThe password: Vq7kZ2mLx9wP4tR8 opens the sluice.\n";
    world.put("a.md", text, everyone());
    assert_eq!(world.synced().await.failed, 1);
    world.put("a.md", text, stated(&["user:ann"]));
    world.synced().await;
    let fetched = world.memory.asked().1;
    world.synced().await;
    assert_eq!(world.memory.asked().1, fetched, "what waits is fetched again and again");
    let mut draft = draft();
    draft.actor = Some("adm1".to_owned());
    world.life.ingest.release(&writer(), &id("a.md"), Freshness::Durable, draft.into()).await.unwrap().unwrap();
    assert_eq!(world.acl("a.md").await, list(&["user:ann"]));
}

/// A source that counts what is fetched from it.
#[derive(Debug)]
struct Counting(Box<dyn Source>, Arc<AtomicUsize>);

impl Source for Counting {
    fn look(&self, since: Option<Cursor>) -> BoxStream<'_, Result<Event, SourceError>> {
        self.0.look(since)
    }

    fn fetch<'a>(&'a self, item: &'a Item, known_tag: Option<&'a str>) -> BoxFuture<'a, Result<Fetch, SourceError>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.fetch(item, known_tag)
    }
}

/// Writes a file that is old, so that its time alone tells whether it changes.
fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    fs::File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
}

#[tokio::test]
async fn another_rule_in_the_folder_reaches_documents_that_may_speak_for_themselves() {
    let home = TempDir::new().unwrap();
    let rules = |allow: &str| {
        write(&home.path().join("access.toml"), &format!("[[rule]]\npath = '**'\n{allow}\n"));
    };
    write(&home.path().join("a.md"), &note(1));
    let (path, fetches) = (home.path().to_owned(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&fetches);
    let opener: Opener = Arc::new(move |_, _, _, _| {
        let access = AccessSpec { from_file: true, from_documents: true, ..AccessSpec::default() };
        let spec = FolderSpec { path: path.display().to_string(), access, ..FolderSpec::default() };
        let surroundings = Surroundings { folders: vec![path.clone()], ..Surroundings::default() };
        let source = catena_sources::open(&SourceSpec::Folder(spec), &Credentials::default(), &surroundings)?;
        Ok(Box::new(Counting(source, Arc::clone(&counted))))
    });
    let world = World::reading(Memory::new(), opener).await;
    for (allow, who) in [
        ("allow = ['everyone']", "everyone"),
        ("allow = ['user:ann']", "user:ann"),
        ("allow = ['user:ann']\nattributes = { lang = 'en' }", "user:ann"),
    ] {
        rules(allow);
        let done = world.synced().await;
        assert_eq!(done.added + done.restated, 1, "{allow}: {done:?}");
        assert_eq!(world.acl("a.md").await, list(&[who]));
        let before = fetches.load(Ordering::SeqCst);
        assert_eq!(world.synced().await, Totals { unchanged: 1, ..Totals::default() });
        assert_eq!(fetches.load(Ordering::SeqCst), before, "what did not change is fetched");
    }
    assert_eq!(world.current("a.md").await.unwrap().attributes.len(), 1);
}

#[tokio::test]
async fn what_a_sync_wrote_is_found_once_it_has_succeeded() {
    let world = World::of(Memory::new()).await;
    // The second follows the first one's publication at once.
    for round in 0..2 {
        (0..3).for_each(|at| world.put(&format!("{at}.md"), &note(10 * round + at), everyone()));
        world.synced().await;
        assert_eq!(world.life.indexed().await.0, world.seq().await, "round {round}");
    }
}
