//! Where texts come from, and how a tenant has them cut.

use super::*;
use catena_domain::ErrorKind;

on_both!(
    a_passage_comes_with_the_places_that_it_begins_and_ends_in,
    places_out_of_order_or_outside_of_the_text_are_refused,
    what_was_noticed_and_the_places_come_back_with_a_version,
    a_text_cut_by_settings_that_are_others_by_now_is_refused,
    vectors_of_another_recipe_are_taken_over_when_the_model_is_the_same,
    a_text_is_stored_under_the_recipe_of_the_generation_that_answers_as_well,
);

fn page(start: u32, line: u32, number: u32) -> Place {
    Place { start, line, position: Position::Page(number) }
}

fn with_places(name: &str, text: &str, places: Vec<Place>) -> NewDocument {
    let new = document(name, text);
    NewDocument { besides: Besides { places, ..new.besides.clone() }, ..new }
}

async fn a_passage_comes_with_the_places_that_it_begins_and_ends_in(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    // Three chunks of six bytes, the last of five.
    let pages = vec![page(0, 1, 1), page(3, 1, 2), page(7, 3, 3), page(9, 3, 4), page(10, 4, 5)];
    let doc = put(&home.catalog, &scope, with_places("a", "aaaa\n\nbbbb\n\nccccc", pages.clone())).await.value.doc;
    let none = put(&home.catalog, &scope, with_places("b", "plain", vec![])).await.value.doc;
    let keys =
        [key(doc, VersionNo(1), 2), key(doc, VersionNo(1), 0), key(none, VersionNo(1), 0), key(doc, VersionNo(1), 1)];
    let found = home.catalog.passages(&as_user("acme", "ann", &[]), &recipe(), &keys).await.unwrap();
    let places: Vec<Places> = found.into_iter().map(|passage| passage.unwrap().places).collect();
    let of = |at_start: usize, inside: Option<(usize, usize)>| Places {
        at_start: Some(pages[at_start].clone()),
        first_inside: inside.map(|(first, _)| pages[first].clone()),
        last_inside: inside.map(|(_, last)| pages[last].clone()),
    };
    assert_eq!(places, [of(4, None), of(0, Some((1, 1))), Places::default(), of(1, Some((2, 4)))]);
    let others = home.catalog.passages(&as_user("globex", "ann", &[]), &recipe(), &keys).await.unwrap();
    assert!(others.iter().all(Option::is_none));
}

async fn places_out_of_order_or_outside_of_the_text_are_refused(on: On) {
    let home = on.home_with_tenants().await;
    for places in [vec![page(2, 1, 1), page(2, 1, 2)], vec![page(3, 1, 1), page(1, 1, 2)], vec![page(5, 1, 1)]] {
        let new = with_places("a", "text", places);
        let error = home.catalog.put_document(&admin("acme"), new, draft("put")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

async fn what_was_noticed_and_the_places_come_back_with_a_version(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    let places = vec![page(0, 1, 7), page(2, 1, 8)];
    put(catalog, &scope, with_places("a", "text", places.clone())).await;
    let read = catalog.document(&scope, &id("a")).await.unwrap().unwrap();
    assert_eq!(read.noticed, [("comments".to_owned(), 2)].into());
    let old = catalog.restorable(&scope, &id("a"), VersionNo(1)).await.unwrap().unwrap();
    assert_eq!((old.places, old.noticed), (places, read.noticed));
}

fn aiming_at(target_tokens: u32) -> Chunking {
    Chunking { all: Cutting { target_tokens: Some(target_tokens), ..Cutting::default() }, ..Chunking::default() }
}

async fn set_chunking(home: &Home, chunking: Chunking) -> Tenant {
    let change = TenantChange { chunking: Some(chunking), ..TenantChange::default() };
    home.catalog.change_tenant(&operator(), &tenant("acme"), change, draft("change")).await.unwrap().unwrap().value
}

async fn a_text_cut_by_settings_that_are_others_by_now_is_refused(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    let cut_by = |chunking| {
        let new = document("a", "text");
        NewDocument { besides: Besides { chunking: Some(chunking), ..new.besides.clone() }, ..new }
    };
    assert_eq!(set_chunking(&home, aiming_at(64)).await.chunking, aiming_at(64));
    let error = catalog.put_document(&scope, cut_by(Chunking::default()), draft("put")).await.unwrap_err();
    assert!(matches!(error, CatalogError::ChunkingChanged), "{error}");
    put(catalog, &scope, cut_by(aiming_at(64))).await;

    // A generation that was built by other settings does not come to answer.
    let old = catalog.create_generation(&scope, &recipe(), 4, &Chunking::default(), None).await.unwrap();
    let error = catalog.promote_generation(&scope, &old.id, draft("promote")).await.unwrap_err();
    assert!(matches!(error, CatalogError::ChunkingChanged), "{error}");
    let new = catalog.create_generation(&scope, &recipe(), 4, &aiming_at(64), None).await.unwrap();
    catalog.promote_generation(&scope, &new.id, draft("promote")).await.unwrap();
    let cuttings = catalog.cuttings(&scope).await.unwrap();
    assert_eq!((cuttings.wanted, cuttings.live.chunking, cuttings.live.id), (aiming_at(64), aiming_at(64), new.id));
}

fn of_model(model: char, cutting: char) -> RecipeId {
    RecipeId::of_parts(&model.to_string().repeat(16), &cutting.to_string().repeat(16)).unwrap()
}

async fn vectors_of_another_recipe_are_taken_over_when_the_model_is_the_same(on: On) {
    let home = on.home().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    let draft_of = draft("tenant.create");
    catalog.create_tenant(&operator(), &tenant("acme"), "Acme", &of_model('a', 'b'), 4, draft_of).await.unwrap();
    let new = NewDocument { recipe: of_model('a', 'b'), ..document("a", "one\n\ntwo") };
    let hashes: Vec<ChunkHash> = new.chunks.iter().map(|chunk| chunk.hash).collect();
    put(catalog, &scope, new).await;
    let known = async |recipe: RecipeId| catalog.embeddings_known(&scope, &recipe, &hashes).await.unwrap().len();
    assert_eq!((known(of_model('a', 'c')).await, known(of_model('d', 'b')).await), (2, 0));

    let without = |recipe| NewDocument { recipe, embeddings: vec![], ..document("a", "one\n\ntwo") };
    put(catalog, &scope, without(of_model('a', 'c'))).await;
    let rows = catalog.index_changes(&scope, &of_model('a', 'c'), catena_domain::Seq(0), 9).await.unwrap().rows;
    assert_eq!(
        rows.iter().map(|row| row.vector.clone()).collect::<Vec<_>>(),
        hashes.iter().map(vector_of).collect::<Vec<_>>()
    );
    let error = catalog.put_document(&scope, without(of_model('d', 'c')), draft("put")).await.unwrap_err();
    assert!(matches!(error, CatalogError::VectorsMissing { missing: 2 }), "{error}");
}

async fn a_text_is_stored_under_the_recipe_of_the_generation_that_answers_as_well(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    let other = RecipeId::new("recipe-2").unwrap();
    catalog.create_generation(&scope, &other, 4, &Chunking::default(), None).await.unwrap();
    let new = document("a", "one\n\ntwo");
    let also = Cut { recipe: other.clone(), chunks: new.chunks[..1].to_vec(), embeddings: new.embeddings.clone() };
    put(catalog, &scope, NewDocument { besides: Besides { also: Some(also), ..new.besides.clone() }, ..new }).await;
    for (recipe, rows) in [(recipe(), 2), (other, 1)] {
        let changes = catalog.index_changes(&scope, &recipe, catena_domain::Seq(0), 9).await.unwrap();
        assert_eq!((changes.rows.len(), changes.upto), (rows, catena_domain::Seq(1)), "{recipe}");
    }
}
