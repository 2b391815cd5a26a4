//! Bringing versions back, and purging, with everything real beneath.

use std::time::Duration;

use catena_access::{Acl, Liveness};
use catena_catalog::PutOutcome;
use catena_domain::VersionNo;

use super::*;
use crate::{Restore, Thoroughness};

/// An invented word.
const CANARY: &str = "vexilquorn";

fn id(text: &str) -> DocumentId {
    DocumentId::new(text).unwrap()
}

fn open_to_all() -> Option<Acl> {
    Some(Acl::parse(&["everyone"], &[]).unwrap())
}

impl Life {
    async fn restore(&self, version: u32, acl: Option<Acl>) -> Result<Option<Put>, crate::IngestError> {
        let restore = Restore { id: id("a.md"), version: VersionNo(version), acl, expect: Expect::Any };
        let deed: catena_catalog::Deed<PutOutcome> = draft().into();
        let written = self.ingest.restore(&writer(), restore, Freshness::Searchable, deed).await?;
        Ok(written.map(|written| written.value))
    }

    async fn text(&self) -> String {
        self.catalog.document(&writer(), &id("a.md")).await.unwrap().unwrap().text
    }

    async fn delete(&self, name: &str) {
        self.ingest.delete(&writer(), &id(name), Expect::Any, draft()).await.unwrap().unwrap();
    }

    async fn leaves(&self) -> u64 {
        self.catalog.chain_head(&writer()).await.unwrap().unwrap().index
    }
}

/// Whether any file below `folder` holds the word.
fn holds(folder: &Path) -> bool {
    files(folder).iter().any(|path| {
        let bytes = fs::read(path).unwrap_or_default();
        bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
    })
}

#[tokio::test]
async fn an_earlier_version_comes_back_as_a_new_one_and_nothing_is_embedded_for_it() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    let first = life.put("a.md", &handbook("Rule 5 says"), Freshness::Searchable).await;
    let before = life.text().await;
    life.put("a.md", "# Other\n\nSomething else.", Freshness::Searchable).await;
    let leaves = life.leaves().await;
    let back = life.restore(1, None).await.unwrap().unwrap();
    assert_eq!((back.change, back.version), (Change::NewVersion, VersionNo(3)));
    assert_eq!((back.cut.chunks, back.embedded.chunks, back.searchable), (first.cut.chunks, 0, true));
    assert_eq!(life.leaves().await, leaves + 1);
    assert_eq!(life.text().await, before);
    let versions = life.catalog.versions(&writer(), &id("a.md")).await.unwrap().unwrap();
    assert_eq!(versions[0].bytes_sha256, versions[2].bytes_sha256);
    let again = life.restore(3, None).await.unwrap().unwrap();
    assert_eq!((again.change, again.version), (Change::None, VersionNo(3)));
    assert_eq!(life.restore(9, None).await.unwrap(), None);
    life.end().await;
}

#[tokio::test]
async fn a_deleted_document_comes_back_only_to_those_who_are_named() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    life.put("a.md", "# Here\n\nIt was here.", Freshness::Searchable).await;
    life.delete("a.md").await;
    let refused = life.restore(1, None).await.unwrap_err();
    assert!(matches!(refused, crate::IngestError::AclNeeded), "{refused}");
    let back = life.restore(1, open_to_all()).await.unwrap().unwrap();
    assert_eq!((back.change, back.version, back.embedded.chunks), (Change::Created, VersionNo(2), 0));
    life.end().await;
}

#[tokio::test]
async fn a_purge_leaves_no_byte_in_the_catalog_the_index_or_what_was_put_aside() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    for at in 0..5 {
        life.put(&format!("{at}.md"), &format!("Note {at} of the day."), Freshness::Searchable).await;
        life.put("a.md", &format!("# {CANARY} {at}\n\nThe word is {CANARY}, number {at}."), Freshness::Searchable)
            .await;
    }
    let live = life.catalog.live_generation(&writer()).await.unwrap().id;
    for aside in ["old.damaged-1".to_owned(), format!("{live}/0000000099.damaged-1")] {
        let aside = folder.path().join("index/acme").join(aside);
        fs::create_dir_all(&aside).unwrap();
        fs::write(aside.join("lexical"), CANARY).unwrap();
    }
    life.delete("a.md").await;
    assert!(holds(folder.path()), "the test is worth nothing");
    let purged = life.ingest.purge(&writer(), &id("a.md"), Expect::Any, Thoroughness::Done, draft().into()).await;
    assert!(purged.unwrap().unwrap().value.is_done);
    assert!(!holds(folder.path()));
    assert_eq!(life.indexed().await.1, 5, "the others are still there");
    life.put("a.md", "Written anew.", Freshness::Searchable).await;
    assert_eq!(life.restore(1, open_to_all()).await.unwrap(), None);
    life.end().await;
    assert!(!holds(folder.path()));
}

#[tokio::test]
async fn housekeeping_purges_what_was_deleted_long_enough_ago_and_ends_what_was_cut_off() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    for name in ["begun.md", "overdue.md", "there.md"] {
        life.put(name, &format!("# {name}\n\nSome text of {name}."), Freshness::Searchable).await;
    }
    life.delete("begun.md").await;
    // As if the process had died right after the write that began the purge.
    life.catalog.purge_document(&writer(), &id("begun.md"), Expect::Any, draft()).await.unwrap().unwrap();
    life.delete("overdue.md").await;
    let deleted = async || life.catalog.deleted_documents(&writer(), None, 9).await.unwrap().items.len();
    life.ingest.keep_house_once(None).await;
    assert!(life.catalog.pending_purges(&writer()).await.unwrap().is_empty());
    assert_eq!(deleted().await, 1);
    life.ingest.keep_house_once(Some(Duration::from_secs(3_600))).await;
    assert_eq!(deleted().await, 1, "it was purged before its time");
    life.ingest.keep_house_once(Some(Duration::ZERO)).await;
    assert_eq!(deleted().await, 0);
    assert_eq!(life.indexed().await.1, 1);
    let there = life.catalog.restorable(&writer(), &id("there.md"), VersionNo(1)).await.unwrap().unwrap();
    assert_eq!(there.state, Liveness::Live);
    life.end().await;
}
