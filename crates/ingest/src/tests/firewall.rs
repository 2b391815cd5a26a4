//! What the firewall lets in, with everything real behind it.

use catena_catalog::PutOutcome;
use catena_firewall::{Action, Policy};
use catena_sources::memory::{Memory, MemoryDocument};
use sha2::{Digest as _, Sha256};

use super::sync::{World, everyone};
use super::*;
use crate::{IngestError, Restore};
use catena_domain::VersionNo;

/// A password that occurs nowhere else.
const CANARY: &str = "Vq7kZ2mLx9wP4tR8";

fn id(text: &str) -> DocumentId {
    DocumentId::new(text).unwrap()
}

fn notes() -> String {
    format!("# Notes\n\nThe password: {CANARY} opens the sluice.\n\nThe keeper sleeps at noon.")
}

impl Life {
    async fn police(&self, policy: &Policy) {
        let policy = serde_json::to_string(policy).unwrap();
        self.catalog.put_firewall_policy(&writer(), policy, draft()).await.unwrap();
    }

    async fn secrets(&self, action: Action) {
        self.police(&Policy { secret: action, ..Policy::default() }).await;
    }

    async fn release(&self, name: &str) -> Result<Option<Put>, IngestError> {
        let mut draft = draft();
        draft.actor = Some("adm1".to_owned());
        let written = self.ingest.release(&writer(), &id(name), Freshness::Searchable, draft.into()).await?;
        Ok(written.map(|written| written.value))
    }

    async fn bytes_sha256(&self, name: &str) -> [u8; 32] {
        self.catalog.current(&writer(), &id(name)).await.unwrap().unwrap().bytes_sha256
    }
}

/// Every file below `folder` in which the word is, as it is or in small letters.
fn holding(folder: &Path) -> Vec<PathBuf> {
    let words = [CANARY.to_owned(), CANARY.to_lowercase()];
    let holds = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap_or_default();
        words.iter().any(|word| bytes.windows(word.len()).any(|window| window == word.as_bytes()))
    };
    files(folder).into_iter().filter(holds).collect()
}

#[tokio::test]
async fn of_what_is_redacted_nothing_is_stored_not_even_a_hash_that_gives_it_away() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    life.secrets(Action::Redact).await;
    let mut told = submission("a.md", &notes());
    told.title = Some(format!("The password: {CANARY}"));
    told.uri = Some(format!("https://wiki/?token={CANARY}"));
    told.attributes.insert("note".to_owned(), format!("password={CANARY}").into());
    let put = life.ingest.put(&writer(), told.clone(), Freshness::Searchable, draft()).await.unwrap().value;
    assert_eq!((put.change, put.searchable), (Change::Created, true));

    let document = life.catalog.document(&writer(), &id("a.md")).await.unwrap().unwrap();
    assert_eq!(document.text, notes().replace(CANARY, "[redacted: password]"));
    assert!(!format!("{document:?}").contains(CANARY));
    assert_eq!(document.flags, Vec::<String>::new());
    let of_original: [u8; 32] = Sha256::digest(notes()).into();
    assert_ne!(life.bytes_sha256("a.md").await, of_original, "whoever tries all passwords would know the right one");

    let again = life.ingest.put(&writer(), told, Freshness::Searchable, draft()).await.unwrap().value;
    assert_eq!((again.change, again.embedded.chunks), (Change::None, 0), "the same bytes are the same document");
    life.end().await;
    assert_eq!(holding(folder.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn what_waits_is_not_embedded_and_not_indexed() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    life.put("b.md", "# Other\n\nA clean page.", Freshness::Searchable).await;
    life.secrets(Action::Quarantine).await;
    let rows = life.indexed().await.1;
    let put = life.put("a.md", &notes(), Freshness::Searchable).await;
    assert_eq!((put.change, put.searchable, put.cut.chunks, put.embedded.chunks), (Change::Quarantined, false, 0, 0));
    assert_eq!(life.indexed().await.1, rows);
    assert!(life.catalog.document(&writer(), &id("a.md")).await.unwrap().is_none());
    let kept = life.ingest.kept_back(&writer(), &id("a.md")).await.unwrap().unwrap();
    assert_eq!(kept.text, notes());
    let span = &kept.suspect.spans[0];
    assert_eq!(&kept.text[span.start as usize..span.end as usize], CANARY);
}

#[tokio::test]
async fn what_was_released_is_not_kept_back_again_until_it_changes() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    life.secrets(Action::Quarantine).await;
    life.put("a.md", &notes(), Freshness::Durable).await;
    let released = life.release("a.md").await.unwrap().unwrap();
    assert_eq!((released.change, released.searchable), (Change::Created, true));
    assert_eq!(life.catalog.document(&writer(), &id("a.md")).await.unwrap().unwrap().flags, ["secret"]);
    assert!(life.release("a.md").await.unwrap().is_none(), "it waits no more");
    assert_eq!(life.put("a.md", &notes(), Freshness::Durable).await.change, Change::None);
    let changed = notes().replace("noon", "dusk");
    assert_eq!(life.put("a.md", &changed, Freshness::Durable).await.change, Change::Quarantined);
    assert!(life.catalog.document(&writer(), &id("a.md")).await.unwrap().unwrap().text.contains("noon"));

    // Meanwhile somebody said who may see it: the release would undo that.
    let nobody = Acl::parse::<&str>(&[], &[]).unwrap();
    life.ingest.set_acl(&writer(), &id("a.md"), &nobody, Expect::Any, draft()).await.unwrap().unwrap();
    assert!(matches!(life.release("a.md").await, Err(IngestError::Overtaken)));
}

#[tokio::test]
async fn a_new_policy_is_seen_by_equal_bytes_and_embeds_nothing() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    life.secrets(Action::Off).await;
    life.put("a.md", &notes(), Freshness::Durable).await;
    let off = life.ingest.policy_digest(&writer()).await.unwrap();
    let known = |current: catena_catalog::CurrentVersion| current.screening.unwrap().policy;
    assert_eq!(known(life.catalog.current(&writer(), &id("a.md")).await.unwrap().unwrap()), off);

    life.secrets(Action::Flag).await;
    let flag = life.ingest.policy_digest(&writer()).await.unwrap();
    assert_ne!(flag, off);
    let flagged = life.put("a.md", &notes(), Freshness::Durable).await;
    assert_eq!((flagged.change, flagged.embedded.chunks), (Change::Metadata, 0));
    assert_eq!(known(life.catalog.current(&writer(), &id("a.md")).await.unwrap().unwrap()), flag);

    life.secrets(Action::Redact).await;
    assert_eq!(life.put("a.md", &notes(), Freshness::Durable).await.change, Change::NewVersion);
    assert!(!life.catalog.document(&writer(), &id("a.md")).await.unwrap().unwrap().text.contains(CANARY));

    // What the first version holds does not come back by a restore either.
    let restore = Restore { id: id("a.md"), version: VersionNo(1), acl: None, expect: Expect::Any };
    let deed: catena_catalog::Deed<PutOutcome> = draft().into();
    let restored = life.ingest.restore(&writer(), restore.clone(), Freshness::Durable, deed.clone()).await.unwrap();
    assert_eq!(restored.unwrap().value.change, Change::None, "redacted, it is what is there");
    life.secrets(Action::Quarantine).await;
    let refused = life.ingest.restore(&writer(), restore, Freshness::Durable, deed).await;
    assert!(matches!(refused, Err(IngestError::KeptBack)));
}

#[tokio::test]
async fn a_policy_can_be_tried_and_nothing_changes() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    life.put("a.md", &notes(), Freshness::Durable).await;
    life.put("b.md", "# Other\n\nA clean page.", Freshness::Durable).await;
    let seq = life.catalog.seq(&writer()).await.unwrap();
    let policy = Policy { secret: Action::Quarantine, ..Policy::default() };
    let page = life.ingest.would(&writer(), &policy, None, 10).await.unwrap();
    let told: Vec<_> = page.items.iter().map(|it| (it.document.as_str(), it.action, it.found["password"])).collect();
    assert_eq!(told, [("a.md", Action::Quarantine, 1)]);
    assert_eq!(life.catalog.seq(&writer()).await.unwrap(), seq);
    assert!(life.ingest.kept_back(&writer(), &id("a.md")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_touched_document_of_a_source_is_screened_by_the_policy_of_now() {
    let world = World::of(Memory::new()).await;
    let document = MemoryDocument::new(notes(), everyone());
    world.life.secrets(Action::Off).await;
    world.memory.put("a.md", document.clone());
    world.synced().await;
    let flags = async || world.current("a.md").await.unwrap().screening.unwrap().flags;
    assert_eq!(flags().await, Vec::<String>::new());
    world.life.secrets(Action::Flag).await;
    world.memory.put_tagged("a.md", document, "touched");
    let totals = world.synced().await;
    assert_eq!((flags().await.len(), totals.chunks_embedded), (1, 0), "{totals:?}");
}
