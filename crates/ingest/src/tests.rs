//! The way in, with the real model, a real catalog and a real index on disk.

mod chunking;
mod firewall;
mod history;
mod jobs;
mod sync;
mod sync_any;
mod sync_guards;
mod sync_whole;

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use catena_access::{Acl, Credential, Directory, Entry, Right, Rights, Scope};
use catena_audit::Draft;
use catena_catalog::{Catalog, CatalogReader, Change, Cutting, Database, Expect, GenerationState, JobState};
use catena_domain::{DocumentId, KeyId, RecipeId, Seq, TenantId};
use catena_embedding::{Allowed, DEFAULT_MODEL, Embedder, Place, open_model};
use catena_formats::Formats;
use catena_index::Index;
use catena_runtime::thread::Priority;
use catena_runtime::{Compute, environment};
use catena_text::Format;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::verify::RowCounts;
use crate::{Condition, Freshness, Ingest, Put, Submission, Workers, pipeline, recipe};

fn provisioned() -> PathBuf {
    let folder = environment::variable("CATENA_PROVISION")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.catena"), PathBuf::from);
    assert!(folder.join("models").is_dir(), "{} is not filled: run `make provision`", folder.display());
    folder
}

fn embedder() -> Embedder {
    let model = open_model(&provisioned().join("models"), DEFAULT_MODEL, &Allowed::default()).unwrap();
    let place = Place { onnxruntime: Some(provisioned().join("runtime")), ..Place::here(NonZeroUsize::MIN) };
    Embedder::start(model, &place).unwrap()
}

fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn operator() -> Credential {
    Credential {
        key: KeyId::new("operator").unwrap(),
        name: "operator".into(),
        tenant: None,
        rights: Rights::of(&[Right::Operator]),
        user: None,
        groups: vec![],
        clearance: None,
    }
}

fn writer() -> Scope {
    let rights = Rights::of(&[Right::Read, Right::Write, Right::Admin]);
    let credential = Credential { tenant: Some(tenant()), rights, ..operator() };
    credential
        .enter(Entry { tenant: &tenant(), need: Right::Write, on_behalf: None, directory: Directory::default() })
        .unwrap()
}

fn draft() -> Draft {
    Draft::new("test", "test")
}

/// One service's life on a folder.
struct Life {
    ingest: Ingest,
    catalog: Catalog,
    index: Arc<Index>,
}

impl Life {
    async fn begin(folder: &TempDir) -> Self {
        Self::with(folder, |ingest| ingest).await
    }

    /// The life of a worker beside the service that has the index.
    async fn begin_beside(folder: &TempDir) -> Self {
        Self::with(folder, Ingest::beside_the_index).await
    }

    async fn with(folder: &TempDir, kind: impl FnOnce(Ingest) -> Ingest) -> Self {
        let catalog = Catalog::open(folder.path(), &Database::Embedded).await.unwrap();
        let index = Arc::new(Index::new(folder.path().join("index"), NonZeroUsize::new(8).unwrap()));
        let compute = Compute::start(NonZeroUsize::MIN, "try", Priority::Foreground).unwrap();
        let (formats, merges) = (Formats::default(), compute.clone());
        let ingest = Ingest::new(catalog.clone(), embedder(), formats, Arc::clone(&index), compute, merges);
        Self { ingest: kind(ingest), catalog, index }
    }

    async fn make_tenant(&self, recipe: &RecipeId) {
        let operator = operator().operate().unwrap();
        self.catalog.create_tenant(&operator, &tenant(), "Acme", recipe, 384, draft()).await.unwrap();
    }

    /// Runs the next job to its end, if there is one.
    async fn run_next_job(&self) -> bool {
        self.ingest.run_next_job(&Workers::default(), &CancellationToken::new()).await.unwrap()
    }

    async fn put(&self, id: &str, text: &str, freshness: Freshness) -> Put {
        self.ingest.put(&writer(), submission(id, text), freshness, draft()).await.unwrap().value
    }

    /// What the index of the live generation holds: how far it is, and how many rows.
    async fn indexed(&self) -> (Seq, u64) {
        let scope = Scope::service(&tenant());
        let row = self.catalog.live_generation(&scope).await.unwrap();
        let generation = self.index.existing(&scope, &row.id, &row.recipe, row.dimension as usize).unwrap().unwrap();
        (generation.applied_seq(), generation.snapshot().rows() as u64)
    }

    async fn condition(&self) -> Condition {
        let scope = Scope::service(&tenant());
        let row = self.catalog.live_generation(&scope).await.unwrap();
        self.ingest.condition(&scope, &row).await.unwrap().unwrap()
    }

    async fn lacks_rows(&self) -> bool {
        let scope = Scope::service(&tenant());
        let row = self.catalog.live_generation(&scope).await.unwrap();
        let generation = self.index.existing(&scope, &row.id, &row.recipe, row.dimension as usize).unwrap().unwrap();
        generation.snapshot().lacks_rows()
    }

    /// The pipeline alone: as if the process had died between the catalog's commit and the publication.
    async fn write_unpublished(&self, id: &str, text: &str) -> Seq {
        let written = pipeline::put(&self.ingest.0, &writer(), &submission(id, text), draft().into()).await.unwrap();
        written.value.seq.unwrap()
    }

    async fn end(self) {
        self.catalog.close().await.unwrap();
    }
}

fn submission(id: &str, text: &str) -> Submission {
    Submission {
        id: DocumentId::new(id).unwrap(),
        bytes: text.as_bytes().to_vec(),
        format: Format::Markdown,
        charset: None,
        title: None,
        uri: None,
        source: None,
        attributes: Default::default(),
        modified_at: None,
        acl: Acl::parse(&["everyone"], &[]).unwrap(),
        expect: Expect::Any,
    }
}

fn handbook(changed: &str) -> String {
    let section = |at: usize| {
        let sentence = format!("Rule {at} says that every report is filed with the desk before noon on day {at}. ");
        format!("## Section {at}\n\n{}\n\n", sentence.repeat(8))
    };
    let mut text = String::from("# Handbook\n\n");
    (0..12).for_each(|at| text.push_str(&section(at)));
    text.replace("Rule 5 says", changed)
}

#[tokio::test]
async fn the_same_bytes_twice_change_nothing_and_an_edit_embeds_only_what_it_touched() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    let first = life.put("a.md", &handbook("Rule 5 says"), Freshness::Searchable).await;
    assert_eq!((first.change, first.embedded.chunks, first.searchable), (Change::Created, first.cut.chunks, true));
    let again = life.put("a.md", &handbook("Rule 5 says"), Freshness::Searchable).await;
    assert_eq!((again.change, again.seq, again.embedded.chunks), (Change::None, None, 0));
    let edited = life.put("a.md", &handbook("Rule 5 demands"), Freshness::Searchable).await;
    assert_eq!(edited.change, Change::NewVersion);
    assert!((1..=2).contains(&edited.embedded.chunks), "{} chunks were embedded", edited.embedded.chunks);
    life.end().await;
}

#[tokio::test]
async fn a_write_that_was_never_published_is_searchable_after_the_next_start() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    // The pipeline alone: as if the process had died between the catalog's commit and the publication.
    let written =
        pipeline::put(&life.ingest.0, &writer(), &submission("a.md", "Lost and found."), draft().into()).await.unwrap();
    let seq = written.value.seq.unwrap();
    life.end().await;

    let life = Life::begin(&folder).await;
    life.ingest.recover().await.unwrap();
    assert_eq!(life.indexed().await, (seq, 1));
    life.end().await;
}

#[tokio::test]
async fn a_writer_who_repeats_a_write_and_waits_finds_it_searchable() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    let seq = life.write_unpublished("a.md", "Said twice.").await;
    let again = life.put("a.md", "Said twice.", Freshness::Searchable).await;
    assert_eq!((again.change, again.searchable), (Change::None, true));
    assert_eq!(life.indexed().await, (seq, 1));
    life.end().await;
}

/// Flips a bit in the middle of a file.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// The files of this name in the index, sorted.
fn index_files(folder: &TempDir, name: &str) -> Vec<PathBuf> {
    let mut found = files(&folder.path().join("index"));
    found.retain(|path| path.ends_with(name));
    found.sort();
    found
}

/// A service with three documents in three segments, stopped.
async fn three_notes(folder: &TempDir) -> (Seq, u64) {
    let life = Life::begin(folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    for at in 0..3 {
        life.put(&format!("{at}.md"), &format!("Note {at} of the day."), Freshness::Searchable).await;
    }
    let before = life.indexed().await;
    life.end().await;
    before
}

#[tokio::test]
async fn a_damaged_manifest_puts_the_index_aside_and_it_is_built_anew_from_the_catalog() {
    let folder = TempDir::new().unwrap();
    let before = three_notes(&folder).await;
    damage(&index_files(&folder, "manifest.json")[0]);

    let life = Life::begin(&folder).await;
    life.ingest.recover().await.unwrap();
    assert_eq!(life.indexed().await, before);
    assert!(life.condition().await.complete_percent == 100.0);
    life.ingest.mend(&tenant()).await.unwrap();
    assert!(!life.lacks_rows().await, "nobody said that it is whole again");
    life.end().await;
}

#[tokio::test]
async fn a_format_that_this_program_does_not_read_is_rebuilt() {
    let folder = TempDir::new().unwrap();
    let before = three_notes(&folder).await;
    let path = &index_files(&folder, "manifest.json")[0];
    reseal(path, |manifest| manifest["format"] = 99.into());

    let life = Life::begin(&folder).await;
    life.ingest.recover().await.unwrap();
    assert_eq!(life.indexed().await, before);
    life.end().await;
}

/// Changes what a manifest says, so that nobody sees that it was changed.
fn reseal(path: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let mut sealed: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut sealed["manifest"]);
    let body = serde_json::to_string(&sealed["manifest"]).unwrap();
    let hash = blake3::hash(body.as_bytes()).to_hex();
    fs::write(path, format!("{{\"manifest\":{body},\"blake3\":\"{hash}\"}}\n")).unwrap();
}

#[tokio::test]
async fn a_damaged_segment_is_missed_alone_said_so_and_brought_back() {
    let folder = TempDir::new().unwrap();
    let before = three_notes(&folder).await;
    damage(&index_files(&folder, "vectors.i8")[1]);

    let life = Life::begin(&folder).await;
    life.ingest.recover().await.unwrap();
    assert_eq!(life.indexed().await, (before.0, 2), "the others are served");
    let condition = life.condition().await;
    assert_eq!((condition.damaged_segments, condition.complete_percent), (1, 66.6));
    life.end().await;

    let life = Life::begin(&folder).await;
    assert_eq!(life.condition().await, condition, "a restart forgot it");
    let mended = life.ingest.mend(&tenant()).await.unwrap();
    assert_eq!(mended, crate::Mended { rows: 1, documents: 1 });
    assert_eq!((life.indexed().await, life.lacks_rows().await), (before, false));
    assert_eq!(life.ingest.mend(&tenant()).await.unwrap(), crate::Mended::default());
    life.end().await;
}

#[tokio::test]
async fn whoever_looks_for_damage_mends_it_without_being_asked() {
    let folder = TempDir::new().unwrap();
    let before = three_notes(&folder).await;
    fs::remove_file(&index_files(&folder, "rows")[0]).unwrap();

    let life = Life::begin(&folder).await;
    life.ingest.recover().await.unwrap();
    let stop = CancellationToken::new();
    let mending = tokio::spawn({
        let (ingest, stop) = (life.ingest.clone(), stop.clone());
        async move { ingest.run_mending(stop).await }
    });
    while life.indexed().await != before || life.lacks_rows().await {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    mending.await.unwrap();
    life.end().await;
}

#[tokio::test]
async fn rows_that_nobody_knew_to_be_missing_are_counted_and_brought_back() {
    let folder = TempDir::new().unwrap();
    let before = three_notes(&folder).await;
    let take_out = |manifest: &mut serde_json::Value| {
        manifest["segments"].as_array_mut().unwrap().remove(2);
    };
    reseal(&index_files(&folder, "manifest.json")[0], take_out);

    let verdict = verdict(&folder).await;
    let wanted = RowCounts { catalog: 3, found: 2, missing: 1, ..RowCounts::default() };
    assert_eq!((verdict.rows, verdict.is_sound(), verdict.lacks_rows), (wanted, false, false));
    let life = Life::begin(&folder).await;
    assert_eq!(life.ingest.mend(&tenant()).await.unwrap().rows, 1);
    assert_eq!(life.indexed().await, before);
    life.end().await;
    assert!(self::verdict(&folder).await.is_sound());
}

/// What is found of the one tenant, from outside.
async fn verdict(folder: &TempDir) -> crate::Verdict {
    let reader = CatalogReader::open(folder.path(), &Database::Embedded).await.unwrap();
    let live = reader.live_indexes().await.unwrap();
    let index = Arc::new(Index::new(folder.path().join("index"), NonZeroUsize::MIN));
    let compute = Compute::start(NonZeroUsize::MIN, "try", Priority::Foreground).unwrap();
    crate::verify::look(&reader, &index, &compute, &live[0]).await.unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

#[tokio::test]
async fn a_tenant_of_another_recipe_is_cut_and_embedded_again_and_then_swapped_in_one_step() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(&RecipeId::new("an-older-recipe").unwrap()).await;
    let put = life.put("a.md", &handbook("Rule 5 says"), Freshness::Searchable).await;
    assert!(!put.searchable, "a write under a new recipe was searchable in an index of an old one");

    life.ingest.recover().await.unwrap();
    assert!(life.run_next_job().await);
    assert!(!life.run_next_job().await);
    let scope = Scope::service(&tenant());
    assert_eq!(life.catalog.jobs(&scope, 10).await.unwrap()[0].state, JobState::Succeeded);
    let live = life.catalog.live_generation(&scope).await.unwrap();
    assert_eq!(&live.recipe, life.ingest.recipe());
    assert_eq!(life.indexed().await, (put.seq.unwrap(), put.cut.chunks));
    let states: Vec<_> = life.catalog.generations(&scope).await.unwrap().iter().map(|row| row.state).collect();
    assert!(states.contains(&GenerationState::Retired), "{states:?}");
    life.end().await;
}

#[tokio::test]
async fn many_small_writes_do_not_leave_many_segments() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    for at in 0..20 {
        life.put(&format!("{at}.md"), &format!("Note {at} of the day."), Freshness::Searchable).await;
    }
    let scope = Scope::service(&tenant());
    let row = life.catalog.live_generation(&scope).await.unwrap();
    let generation = life.index.existing(&scope, &row.id, &row.recipe, 384).unwrap().unwrap();
    assert!(generation.segments() < 16, "{} segments", generation.segments());
    assert_eq!(generation.snapshot().rows(), 20);
    life.end().await;
}

#[tokio::test]
async fn every_chunk_of_difficult_text_fits_the_real_model() {
    let embedder = embedder();
    let difficult = [
        "漢字かな交じり文。".repeat(900),
        "🙂🙃".repeat(2_000),
        "Donaudampfschifffahrtsgesellschaftskapitän ".repeat(300),
        "x".repeat(40_000),
        "a,b;c:d!e?".repeat(2_000),
        format!("| {} |\n|---|\n{}", "a", "| 0x7f3a9c04e1b28d56 |\n".repeat(400)),
        format!("# {}\n\n## {}\n\nshort", "Ünïcödé ".repeat(60), "très long ".repeat(60)),
    ];
    for text in difficult {
        let text = catena_text::normalise(text.as_bytes()).unwrap().into_string();
        let id = DocumentId::new("difficult.md").unwrap();
        let uncut = pipeline::Uncut { id, format: Format::Markdown, title: None, source: None, text };
        let prepared = pipeline::prepare(&embedder, Cutting::default(), &uncut);
        let window = recipe::rules(&embedder, Cutting::default()).window_tokens;
        for input in &prepared.inputs {
            let tokens = embedder.count_tokens(input);
            assert!(tokens <= window, "a chunk of {tokens} tokens for a window of {window}");
        }
        let few = prepared.inputs.into_iter().take(3).collect();
        embedder.embed_documents(&tenant(), few).await.unwrap();
    }
}
