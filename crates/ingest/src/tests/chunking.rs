//! A tenant has its documents cut in another way: nothing is lost meanwhile, and nothing is embedded without need.

use catena_catalog::{Chunking, Cutting, TenantChange, UsageKind};

use super::*;

fn aiming_at(target_tokens: u32) -> Chunking {
    Chunking { all: Cutting { target_tokens: Some(target_tokens), ..Cutting::default() }, ..Chunking::default() }
}

impl Life {
    async fn set_chunking(&self, chunking: Chunking) {
        let operator = operator().operate().unwrap();
        let change = TenantChange { chunking: Some(chunking), ..TenantChange::default() };
        self.catalog.change_tenant(&operator, &tenant(), change, draft()).await.unwrap().unwrap();
        self.ingest.reindex_if_changed(&tenant()).await.unwrap();
    }

    /// Tokens that were embedded for documents.
    async fn embedded_tokens(&self) -> u64 {
        let usage = self.catalog.usage(&Scope::service(&tenant())).await.unwrap();
        usage.today.of(UsageKind::EmbeddingTokens)
    }

    async fn live_recipe(&self) -> RecipeId {
        self.catalog.live_generation(&Scope::service(&tenant())).await.unwrap().recipe
    }
}

#[test]
fn settings_that_change_nothing_are_no_other_recipe() {
    let embedder = embedder();
    let of = |chunking: &Chunking| recipe::of(&embedder, chunking);
    let plain = of(&Chunking::default());
    let kept = Cutting { keep_tables: Some(true), ..Cutting::default() };
    assert_eq!(of(&Chunking { all: kept, ..Chunking::default() }), plain);
    assert_eq!(of(&Chunking { sources: [("git".into(), kept)].into(), ..Chunking::default() }), plain);
    assert_eq!(of(&aiming_at(2_000)), of(&aiming_at(1_000)), "both are beyond the model's window");
    let parted = Cutting { keep_tables: Some(false), ..Cutting::default() };
    let of_source = Chunking { sources: [("git".into(), parted)].into(), ..Chunking::default() };
    for other in [aiming_at(100), Chunking { all: parted, ..Chunking::default() }, of_source] {
        assert_ne!(of(&other), plain, "{other:?}");
        assert!(of(&other).has_model_of(&plain), "{other:?}");
    }
}

#[tokio::test]
async fn until_the_new_index_answers_the_old_one_takes_in_what_is_written() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    let before = life.put("a.md", &handbook("Rule 5 says"), Freshness::Searchable).await;
    life.set_chunking(aiming_at(64)).await;
    assert_eq!(&life.live_recipe().await, life.ingest.recipe());
    let between = life.put("b.md", "# Note\n\nWritten before the new index is there.\n", Freshness::Searchable).await;
    assert!(between.searchable, "a write was hidden until the index is built anew");

    assert!(life.run_next_job().await);
    assert!(!life.run_next_job().await);
    assert_eq!(life.live_recipe().await, life.ingest.recipe_of(&aiming_at(64)));
    let (seq, rows) = life.indexed().await;
    assert_eq!(seq, between.seq.unwrap());
    assert!(rows > before.cut.chunks + 1, "{rows} rows after cutting {} chunks finer", before.cut.chunks);
    let scope = Scope::service(&tenant());
    assert_eq!(life.catalog.disused_recipes(&scope, &life.live_recipe().await).await.unwrap(), []);
    assert_eq!(life.catalog.chunked(&scope, life.ingest.recipe()).await.unwrap().chunks.done, 0);
    life.end().await;
}

#[tokio::test]
async fn cutting_anew_embeds_only_the_chunks_that_differ() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    life.put("a.md", &handbook("Rule 5 says"), Freshness::Searchable).await;
    let (rows, tokens) = (life.indexed().await.1, life.embedded_tokens().await);
    assert!(tokens > 0);
    let parted = Cutting { keep_tables: Some(false), ..Cutting::default() };
    life.set_chunking(Chunking { all: parted, ..Chunking::default() }).await;
    assert!(life.run_next_job().await);
    assert_ne!(&life.live_recipe().await, life.ingest.recipe());
    assert_eq!((life.indexed().await.1, life.embedded_tokens().await), (rows, tokens), "no table is in the handbook");

    life.set_chunking(Chunking { sources: [("git".into(), aiming_at(64).all)].into(), ..Chunking::default() }).await;
    assert!(life.run_next_job().await);
    assert_eq!((life.indexed().await.1, life.embedded_tokens().await), (rows, tokens), "nothing comes from git");
    life.set_chunking(aiming_at(64)).await;
    assert!(life.run_next_job().await);
    assert!(life.indexed().await.1 > rows && life.embedded_tokens().await > tokens);
    life.end().await;
}

#[tokio::test]
async fn documents_of_a_source_are_cut_as_the_source_says() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    let sources = [("git".to_owned(), aiming_at(64).all)].into();
    life.set_chunking(Chunking { sources, ..Chunking::default() }).await;
    let of = async |id: &str, source: Option<&str>| {
        let submission = Submission { source: source.map(str::to_owned), ..submission(id, &handbook("Rule 5 says")) };
        life.ingest.put(&writer(), submission, Freshness::Durable, draft()).await.unwrap().value.cut.chunks
    };
    let (pushed, of_git) = (of("a.md", None).await, of("b.md", Some("git")).await);
    assert!(of_git > pushed, "{of_git} chunks from git, {pushed} pushed");
    life.end().await;
}

#[tokio::test]
async fn what_nobody_sees_is_counted_and_a_text_of_nothing_else_is_refused() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.make_tenant(life.ingest.recipe()).await;
    let put = life.put("a.md", "<!-- one -->\n\nWhat is seen.\n\n<!-- two -->\n", Freshness::Searchable).await;
    assert_eq!((put.cut.chunks, put.searchable), (1, true));
    let id = DocumentId::new("a.md").unwrap();
    let read = life.catalog.document(&writer(), &id).await.unwrap().unwrap();
    assert_eq!(read.noticed.get("comments"), Some(&2));
    let nothing = submission("b.md", "<!-- one -->\n\n<!-- two -->\n");
    let refused = life.ingest.put(&writer(), nothing, Freshness::Durable, draft()).await;
    assert!(refused.is_err_and(|error| error.kind() == catena_domain::ErrorKind::Invalid));
    life.end().await;
}
