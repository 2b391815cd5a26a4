//! What the index and the gate get to read.

use super::*;
use crate::store::sql;
use crate::{Cutting, Disused};
use catena_domain::Seq;

async fn changes(home: &Home, after: u64, documents_max: usize) -> (Vec<(u32, u32, u32)>, u64) {
    let scope = Scope::service(&tenant("acme"));
    let changes = home.catalog.index_changes(&scope, &recipe(), Seq(after), documents_max).await.unwrap();
    (changes.rows.iter().map(|row| (row.doc.0, row.version.0, row.chunk)).collect(), changes.upto.0)
}

async fn the_index_gets_every_current_version_once_in_order(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    put(&home.catalog, &scope, document("a", "one\n\ntwo")).await;
    put(&home.catalog, &scope, document("b", "three")).await;
    put(&home.catalog, &scope, document("a", "four")).await;
    home.catalog.set_acl(&scope, &id("b"), &acl(&[], &[]), Expect::Any, draft("acl")).await.unwrap();
    put(&home.catalog, &scope, document("empty", "")).await;
    assert_eq!(changes(&home, 0, 100).await, (vec![(1, 1, 0), (0, 2, 0)], 5));
    assert_eq!(changes(&home, 0, 1).await, (vec![(1, 1, 0)], 2));
    assert_eq!(changes(&home, 2, 1).await, (vec![(0, 2, 0)], 4));
    assert_eq!(changes(&home, 4, 1).await, (vec![], 5), "a text without a chunk held the index up");
    assert_eq!(changes(&home, 5, 1).await, (vec![], 5));
    put(&home.catalog, &scope, NewDocument { uri: None, ..document("a", "four") }).await;
    assert_eq!(changes(&home, 5, 100).await, (vec![], 6), "what is said about a document was indexed again");
    home.catalog.delete_document(&scope, &id("b"), Expect::Any, draft("delete")).await.unwrap();
    assert_eq!(changes(&home, 0, 100).await, (vec![(0, 2, 0)], 7));
}

async fn a_row_of_the_index_has_its_text_its_headings_and_its_vector(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    let new = document("a", "one\n\ntwo é");
    put(&home.catalog, &scope, new.clone()).await;
    let service = Scope::service(&tenant("acme"));
    let rows = home.catalog.index_changes(&service, &recipe(), Seq(0), 10).await.unwrap().rows;
    assert_eq!(rows.iter().map(|row| row.body.as_str()).collect::<Vec<_>>(), ["one\n\n", "two é"]);
    for (row, chunk) in rows.iter().zip(&new.chunks) {
        assert_eq!((&row.title, &row.headings), (&new.title, &chunk.headings));
        assert_eq!(row.vector, vector_of(&chunk.hash));
    }
    let again = home.catalog.index_rows(&service, &recipe(), &[(DocNo(0), VersionNo(1))]).await.unwrap();
    assert_eq!(again, rows);
    for gone in [(DocNo(0), VersionNo(2)), (DocNo(7), VersionNo(1))] {
        assert_eq!(home.catalog.index_rows(&service, &recipe(), &[gone]).await.unwrap(), []);
    }
}

async fn another_recipe_waits_for_its_chunks_and_then_goes_on(on: On) {
    let home = on.home_with_tenants().await;
    let (scope, service) = (admin("acme"), Scope::service(&tenant("acme")));
    let other = RecipeId::new("recipe-2").unwrap();
    for (name, text) in [("a", "one\n\ntwo"), ("b", "three"), ("c", "four")] {
        put(&home.catalog, &scope, document(name, text)).await;
    }
    let upto = async || home.catalog.index_changes(&service, &other, Seq(0), 10).await.unwrap().upto;
    let uncut = async |after, limit| {
        let texts = home.catalog.documents_unchunked(&service, &other, after, limit).await.unwrap();
        texts.into_iter().map(|text| (text.document.to_string(), text.text)).collect::<Vec<_>>()
    };
    assert_eq!(upto().await, Seq(0));
    let all = [("a", "one\n\ntwo"), ("b", "three"), ("c", "four")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(uncut(None, 10).await, all);
    assert_eq!(uncut(Some(DocNo(0)), 1).await, all[1..2]);
    let cut_again = async |doc, version, text| {
        let (chunks, embeddings) = cut("T", text);
        let known: Vec<ChunkHash> = chunks.iter().map(|chunk| chunk.hash).collect();
        let put = home.catalog.put_chunks(
            &service,
            DocNo(doc),
            VersionNo(version),
            Cut { recipe: other.clone(), chunks, embeddings },
            None,
        );
        let put = put.await.unwrap();
        (put, home.catalog.embeddings_known(&service, &other, &known).await.unwrap().len() == known.len())
    };
    assert_eq!(cut_again(0, 1, "one\n\ntwo").await, (ChunksPut::Stored, true));
    assert_eq!(upto().await, Seq(1));
    assert_eq!(cut_again(0, 1, "one\n\ntwo").await, (ChunksPut::Stored, true), "cutting twice is no error");
    assert_eq!(cut_again(1, 1, "three").await, (ChunksPut::Stored, true));
    assert_eq!(cut_again(2, 9, "four").await, (ChunksPut::Superseded, false));
    assert_eq!(upto().await, Seq(2));
    // A write by the new recipe cuts by it, also when nothing else changes.
    put(&home.catalog, &scope, NewDocument { recipe: other.clone(), ..document("c", "four") }).await;
    assert_eq!(upto().await, Seq(3));
    assert_eq!(uncut(None, 10).await, []);
    let current = home.catalog.current(&scope, &id("c")).await.unwrap().unwrap();
    assert_eq!((current.chunks(&recipe()), current.chunks(&other)), (Some(1), Some(1)));
    drop_derived(&home.catalog, &service, &other).await;
    assert_eq!(upto().await, Seq(0));
    assert_eq!(changes(&home, 0, 10).await.1, 3, "the other recipe's chunks were dropped too");
}

async fn vectors(home: &Home, recipe: &RecipeId) -> u64 {
    let mut tx = home.catalog.store.read(&tenant("acme")).await.unwrap();
    let count = sql("SELECT count(*) AS vectors FROM embeddings WHERE tenant = $1 AND recipe = $2");
    let row = count.bind("acme").bind(recipe.as_str()).fetch_one(&mut tx).await.unwrap();
    row.u64("vectors").unwrap()
}

async fn what_no_recipe_in_use_made_is_dropped_bit_by_bit_and_nothing_else_is(on: On) {
    let home = on.home_with_tenants().await;
    let (scope, service, old) = (admin("acme"), Scope::service(&tenant("acme")), RecipeId::new("recipe-0").unwrap());
    let generation = home.catalog.create_generation(&service, &old, 4, &Chunking::default(), None).await.unwrap();
    let also = |text: &str| {
        let (chunks, embeddings) = cut("T", text);
        Besides { also: Some(Cut { recipe: old.clone(), chunks, embeddings }), ..Besides::default() }
    };
    let document_of_both = |name: &str, text: &str| NewDocument { besides: also(text), ..document(name, text) };
    // So many that one step does not do.
    for number in 0..100 {
        put(&home.catalog, &scope, document_of_both(&format!("d{}", number % 90), &number.to_string())).await;
    }
    put(&home.catalog, &admin("globex"), NewDocument { recipe: old.clone(), ..document("theirs", "six") }).await;
    let disused = async || home.catalog.disused_recipes(&service, &recipe()).await.unwrap();
    assert_eq!(disused().await, [], "a generation that is being built is of use");
    home.catalog.forget_generation(&service, &generation.id, None).await.unwrap();
    put(&home.catalog, &scope, document_of_both("d0", "by one who had read before")).await;
    let tally = async |recipe| home.catalog.chunked(&service, recipe).await.unwrap().chunks.done;
    assert_eq!(tally(&old).await, 89, "a write brought back what a generation that is gone was made of");
    assert_eq!(disused().await, std::slice::from_ref(&old));
    assert_eq!(home.catalog.disused_recipes(&service, &old).await.unwrap(), [], "what is wanted is of use");

    let all = Cutting { target_tokens: Some(64), ..Cutting::default() };
    let elsewhere = Disused { recipe: old.clone(), chunking: Chunking { all, ..Chunking::default() } };
    let refused = home.catalog.drop_derived(&service, &elsewhere, Dropped::default(), None).await;
    assert!(matches!(refused, Err(CatalogError::ChunkingChanged)), "{refused:?}");
    let held = home.catalog.tenant(&operator(), &tenant("acme")).await.unwrap().unwrap().held;
    let disused_now = Disused { recipe: old.clone(), chunking: Chunking::default() };
    home.catalog.drop_derived(&service, &disused_now, Dropped::default(), None).await.unwrap().unwrap();
    let left = vectors(&home, &old).await;
    assert!(left > 0 && left < 100, "{left} vectors are left of 100: chunks go with theirs, some at a time");
    assert!(drop_derived(&home.catalog, &service, &old).await > 1);
    assert_eq!((vectors(&home, &old).await, vectors(&home, &recipe()).await), (0, 101));
    assert_eq!(disused().await, []);
    assert_eq!(home.catalog.tenant(&operator(), &tenant("acme")).await.unwrap().unwrap().held, held);
    assert_eq!((tally(&old).await, tally(&recipe()).await), (0, 90));
    let theirs = Scope::service(&tenant("globex"));
    assert_eq!(home.catalog.chunked(&theirs, &old).await.unwrap().chunks.done, 1);
}

async fn a_census_counts_the_rows_of_live_current_versions_and_is_the_same_beside_a_service(on: On) {
    let home = on.home_with_tenants().await;
    let (scope, service) = (admin("acme"), Scope::service(&tenant("acme")));
    for (name, text) in [("a", "one\n\ntwo"), ("b", "three"), ("gone", "four"), ("empty", ""), ("a", "five")] {
        put(&home.catalog, &scope, document(name, text)).await;
    }
    put(&home.catalog, &admin("globex"), document("theirs", "six")).await;
    home.catalog.delete_document(&scope, &id("gone"), Expect::Any, draft("delete")).await.unwrap();
    let row = |doc, version, seq, chunks| IndexedVersion {
        doc: DocNo(doc),
        version: VersionNo(version),
        seq: Seq(seq),
        chunks,
    };
    let all = vec![row(0, 2, 5, 1), row(1, 1, 2, 1), row(3, 1, 4, 0)];
    assert_eq!(home.catalog.indexed_versions(&service, &recipe(), None).await.unwrap(), all);
    assert_eq!(home.catalog.indexed_versions(&service, &recipe(), Some(DocNo(0))).await.unwrap(), all[1..]);
    let other = RecipeId::new("recipe-2").unwrap();
    assert_eq!(home.catalog.indexed_versions(&service, &other, None).await.unwrap(), []);
    let reader = CatalogReader::open(home.folder.path(), &home.database).await.unwrap();
    assert_eq!(reader.census(&tenant("acme"), &recipe()).await.unwrap(), all);
    let live = home.catalog.live_indexes().await.unwrap();
    assert_eq!(
        live.iter().map(|live| (live.tenant.as_str(), live.seq.0)).collect::<Vec<_>>(),
        [("acme", 6), ("globex", 1)]
    );
    assert_eq!(live[0].generation, home.catalog.live_generation(&service).await.unwrap());
    assert_eq!(reader.live_indexes().await.unwrap(), live);
}

async fn the_live_table_has_everything_from_zero_and_only_the_new_later(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    put(&home.catalog, &scope, document("a", "x")).await;
    put(&home.catalog, &scope, NewDocument { acl: acl(&["user:ann"], &[]), ..document("b", "x") }).await;
    let all = home.catalog.live_changes(&scope, Seq(0)).await.unwrap();
    assert_eq!((all.seq, all.documents.len(), all.acls.len()), (Seq(2), 2, 2));
    assert_eq!(all.documents[0].source.as_deref(), Some("handbook"));
    assert_eq!(all.documents[0].attributes["lang"], "en".into());
    let later = home.catalog.live_changes(&scope, Seq(1)).await.unwrap();
    assert_eq!((later.seq, later.documents.len(), later.acls.len()), (Seq(2), 1, 1));
    put(&home.catalog, &scope, document("c", "x")).await;
    let known_acl = home.catalog.live_changes(&scope, Seq(2)).await.unwrap();
    assert_eq!((known_acl.documents.len(), known_acl.acls.len()), (1, 0), "an acl that was known came again");
    let none = home.catalog.live_changes(&scope, Seq(3)).await.unwrap();
    assert_eq!((none.seq, none.documents.len(), none.acls.len()), (Seq(3), 0, 0));
}

async fn the_gate_gives_each_passage_in_its_place_with_the_bytes_of_its_span(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    let paragraphs: Vec<String> = (0..40).map(|n| format!("{n} {}é語\n\n", "wörd ".repeat(n * 20))).collect();
    let text = paragraphs.concat();
    let new = document("long", &text);
    let long = put(&home.catalog, &scope, new.clone()).await.value;
    let hidden = NewDocument { acl: acl(&["user:bob"], &[]), ..document("hidden", "secret") };
    let hidden = put(&home.catalog, &scope, hidden).await.value;
    let ann = as_user("acme", "ann", &[]);
    let mut keys: Vec<PassageKey> = (0..40).rev().map(|chunk| key(long.doc, long.version, chunk)).collect();
    keys.insert(3, key(hidden.doc, hidden.version, 0));
    keys.push(key(long.doc, VersionNo(9), 0));
    keys.push(key(long.doc, long.version, 40));
    keys.push(key(DocNo(99), VersionNo(1), 0));
    keys.push(keys[0]);
    let passages = home.catalog.passages(&ann, &recipe(), &keys).await.unwrap();
    assert_eq!(passages.len(), keys.len());
    for (place, (key, passage)) in keys.iter().zip(&passages).enumerate() {
        let Some(passage) = passage else {
            assert!([3, 41, 42, 43].contains(&place), "passage {place} is missing");
            continue;
        };
        let chunk = &new.chunks[key.chunk as usize];
        assert_eq!((passage.chunk, passage.span, passage.chunks_total), (key.chunk, chunk.span, 40));
        assert_eq!(passage.text, chunk.span.of(&text).unwrap());
        assert_eq!((&passage.document, passage.text_sha256), (&new.id, new.text_sha256));
        assert_eq!(passage.rule.to_string(), "allow everyone");
    }
    put(&home.catalog, &scope, document("long", "now short")).await;
    let superseded = home.catalog.passages(&ann, &recipe(), &keys).await.unwrap();
    assert!(superseded.iter().all(Option::is_none), "a superseded version left");
    assert!(home.catalog.passages(&ann, &recipe(), &vec![keys[0]; 1_001]).await.is_err());
}

async fn generations_change_places_in_one_step_and_the_live_one_is_not_forgotten(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    let old = home.catalog.live_generation(&scope).await.unwrap();
    let new = home
        .catalog
        .create_generation(&scope, &RecipeId::new("recipe-2").unwrap(), 8, &Chunking::default(), None)
        .await
        .unwrap();
    assert_eq!((new.state, new.promoted_at), (GenerationState::Building, None));
    home.catalog.promote_generation(&scope, &new.id, draft("promote")).await.unwrap();
    let live = home.catalog.live_generation(&scope).await.unwrap();
    assert_eq!((&live.id, live.dimension), (&new.id, 8));
    assert!(home.catalog.forget_generation(&scope, &new.id, None).await.is_err());
    home.catalog.forget_generation(&scope, &old.id, None).await.unwrap();
    assert_eq!(home.catalog.generations(&scope).await.unwrap(), std::slice::from_ref(&live));
    let unknown = catena_domain::GenerationId::new("nothing").unwrap();
    assert!(home.catalog.promote_generation(&scope, &unknown, draft("promote")).await.is_err());
    assert_eq!(home.catalog.live_generation(&scope).await.unwrap(), live, "a failed promotion retired the live one");
}

on_both! {
    the_index_gets_every_current_version_once_in_order,
    a_row_of_the_index_has_its_text_its_headings_and_its_vector,
    another_recipe_waits_for_its_chunks_and_then_goes_on,
    a_census_counts_the_rows_of_live_current_versions_and_is_the_same_beside_a_service,
    the_live_table_has_everything_from_zero_and_only_the_new_later,
    the_gate_gives_each_passage_in_its_place_with_the_bytes_of_its_span,
    generations_change_places_in_one_step_and_the_live_one_is_not_forgotten,
    what_no_recipe_in_use_made_is_dropped_bit_by_bit_and_nothing_else_is,
}
