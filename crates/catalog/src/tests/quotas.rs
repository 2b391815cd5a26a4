//! What a tenant holds and uses is counted exactly, and bounded by its quotas.

use super::*;
use crate::store::{Reach, sql};
use catena_audit::Chain;
use catena_domain::{ErrorKind, Seq};
use proptest::prelude::*;

fn quotas(of: &[(Quota, Option<u64>)]) -> TenantChange {
    TenantChange { quotas: of.iter().copied().collect(), ..TenantChange::default() }
}

pub(super) async fn change(home: &Home, change: TenantChange) -> Result<Tenant, CatalogError> {
    let written = home.catalog.change_tenant(&operator(), &tenant("acme"), change, draft("tenant.change")).await?;
    Ok(written.unwrap().value)
}

fn exceeded(error: CatalogError) -> Exceeded {
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    let CatalogError::QuotaExceeded(exceeded) = error else { panic!("{error}") };
    exceeded
}

/// What the tables themselves hold.
async fn recount(home: &Home, tenant_id: &str) -> Held {
    let mut tx = home.catalog.store.read(&tenant(tenant_id)).await.unwrap();
    let row = sql("SELECT
             (SELECT count(*) FROM documents WHERE tenant = $1 AND live = 1) AS documents,
             (SELECT CAST(coalesce(sum(v.text_bytes), 0) AS BIGINT) FROM versions v WHERE v.tenant = $1 AND EXISTS (
                  SELECT 1 FROM documents d
                  WHERE d.tenant = $1 AND d.doc = v.doc AND d.version = v.version AND d.live = 1)) AS text_bytes,
             (SELECT CAST(coalesce(sum(most), 0) AS BIGINT) FROM (
                  SELECT max(rows) AS most FROM (
                      SELECT c.doc, c.recipe, count(*) AS rows
                      FROM chunks c JOIN documents d ON d.tenant = $1 AND d.doc = c.doc AND d.version = c.version
                      WHERE c.tenant = $1 AND d.live = 1 GROUP BY c.doc, c.recipe) of_recipe
                  GROUP BY doc) of_document) AS chunks")
    .bind(tenant_id)
    .fetch_one(&mut tx)
    .await
    .unwrap();
    let number = |column| row.u64(column).unwrap();
    Held { documents: number("documents"), text_bytes: number("text_bytes"), chunks: number("chunks") }
}

async fn held(home: &Home, tenant_id: &str) -> Held {
    home.catalog.tenant(&operator(), &tenant(tenant_id)).await.unwrap().unwrap().held
}

#[derive(Debug, Clone)]
enum Step {
    /// A document of so many paragraphs, cut by one of two recipes, perhaps with a wrong belief.
    Put(u8, u8, bool, bool),
    Acl(u8, bool),
    Delete(u8),
    /// The current version cut again by the other recipe, into one chunk.
    CutAgain(u8),
    DropDerived(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let put = (0u8..5, 0u8..6, any::<bool>(), prop::bool::weighted(0.1));
    prop_oneof![
        6 => put.prop_map(|(doc, paragraphs, other, wrong)| Step::Put(doc, paragraphs, other, wrong)),
        2 => (0u8..5, any::<bool>()).prop_map(|(doc, open)| Step::Acl(doc, open)),
        3 => (0u8..5).prop_map(Step::Delete),
        2 => (0u8..5).prop_map(Step::CutAgain),
        1 => any::<bool>().prop_map(Step::DropDerived),
    ]
}

fn recipe_of(other: bool) -> RecipeId {
    if other { RecipeId::new("recipe-2").unwrap() } else { recipe() }
}

async fn take(catalog: &Catalog, step: &Step) {
    let scope = admin("acme");
    let named = |doc: &u8| id(&format!("d{doc}"));
    match step {
        Step::Put(doc, paragraphs, other, wrong) => {
            let text = (0..*paragraphs).map(|n| format!("paragraph {n} of {doc}")).collect::<Vec<_>>().join("\n\n");
            let expect = if *wrong { Expect::Version(VersionNo(999)) } else { Expect::Any };
            let new = document(named(doc).as_str(), &text);
            let new = NewDocument { recipe: recipe_of(*other), expect, ..new };
            match catalog.put_document(&scope, new, draft("put")).await {
                Ok(_) | Err(CatalogError::QuotaExceeded(_) | CatalogError::Precondition { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        Step::Acl(doc, open) => {
            let to = if *open { acl(&["everyone"], &[]) } else { acl(&[], &[]) };
            catalog.set_acl(&scope, &named(doc), &to, Expect::Any, draft("acl")).await.unwrap();
        }
        Step::Delete(doc) => {
            catalog.delete_document(&scope, &named(doc), Expect::Any, draft("delete")).await.unwrap();
        }
        Step::CutAgain(doc) => {
            let Some(current) = catalog.current(&scope, &named(doc)).await.unwrap() else { return };
            let other = recipe_of(!current.chunked.iter().any(|(of, _)| *of == recipe_of(true)));
            let text = catalog.document(&scope, &named(doc)).await.unwrap().unwrap().text;
            let whole = Span { start: 0, end: text.len() as u32 };
            let hash = sha256(text.as_bytes());
            let chunk = NewChunk { span: whole, headings: vec![], lines: (1, 1), tokens: 1, hash };
            let vectors = vec![(hash, vector_of(&hash))];
            let put = catalog
                .put_chunks(
                    &scope,
                    current.doc,
                    current.version,
                    Cut { recipe: other.clone(), chunks: vec![chunk], embeddings: vectors },
                    None,
                )
                .await;
            assert_eq!(put.unwrap(), ChunksPut::Stored);
        }
        Step::DropDerived(other) => {
            drop_derived(catalog, &scope, &recipe_of(*other)).await;
        }
    }
}

/// Takes the steps and counts after each.
async fn counters_hold_after_each(on: On, steps: &[Step]) {
    let home = on.home_with_tenants().await;
    let bounds = [(Quota::Documents, Some(4)), (Quota::TextBytes, Some(300)), (Quota::Chunks, Some(12))];
    change(&home, quotas(&bounds)).await.unwrap();
    for (number, step) in steps.iter().enumerate() {
        let before = held(&home, "acme").await;
        take(&home.catalog, step).await;
        let counted = held(&home, "acme").await;
        assert_eq!(counted, recount(&home, "acme").await, "after step {number}, {step:?}");
        // Cutting again is the service's own doing, and only counted.
        if !matches!(step, Step::CutAgain(_)) {
            for (((quota, before), (_, after)), (_, limit)) in
                before.amounts().into_iter().zip(counted.amounts()).zip(bounds)
            {
                assert!(after <= before || after <= limit.unwrap(), "{quota} grew to {after} by {step:?}");
            }
        }
    }
    assert_eq!(held(&home, "globex").await, Held::default());
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn after_any_step_the_counters_equal_a_recount_in_sqlite(steps in prop::collection::vec(step(), 1..40)) {
        run(counters_hold_after_each(On::Sqlite, &steps));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]
    #[test]
    fn after_any_step_the_counters_equal_a_recount_in_postgres(steps in prop::collection::vec(step(), 1..40)) {
        run(counters_hold_after_each(On::Postgres, &steps));
    }
}

async fn many_writers_at_once_get_exactly_what_the_quota_allows(on: On) {
    let home = on.home_with_tenants().await;
    change(&home, quotas(&[(Quota::Documents, Some(7))])).await.unwrap();
    let writers = (0..20).map(|number| {
        let catalog = home.catalog.clone();
        tokio::spawn(async move {
            let new = document(&format!("d{number}"), "text");
            catalog.put_document(&admin("acme"), new, draft("put")).await
        })
    });
    let mut written = 0;
    for writer in writers.collect::<Vec<_>>() {
        match writer.await.unwrap() {
            Ok(_) => written += 1,
            Err(error) => {
                let told = exceeded(error);
                assert_eq!((told.quota, told.limit, told.used, told.wanted), (Quota::Documents, 7, 7, 1));
                assert_eq!(told.retry_after_s, None);
            }
        }
    }
    assert_eq!(written, 7);
    assert_eq!(held(&home, "acme").await.documents, 7);
    assert_eq!(home.catalog.seq(&admin("acme")).await.unwrap(), Seq(7), "a refused write took a number");
    // Room that is made can be used, and what makes nothing larger is always allowed.
    put(&home.catalog, &admin("globex"), document("d", "another tenant has quotas of its own")).await;
    change(&home, quotas(&[(Quota::Documents, Some(2))])).await.unwrap();
    let kept = home.catalog.documents(&admin("acme"), None, 1).await.unwrap().items[0].id.clone();
    put(&home.catalog, &admin("acme"), document(kept.as_str(), "longer than before")).await;
    home.catalog.delete_document(&admin("acme"), &kept, Expect::Any, draft("delete")).await.unwrap().unwrap();
    change(&home, quotas(&[(Quota::Documents, None)])).await.unwrap();
    put(&home.catalog, &admin("acme"), document("new", "text")).await;
}

async fn tokens_are_spent_to_the_last_one_of_the_day_and_no_further(on: On) {
    let home = on.home_with_tenants().await;
    change(&home, quotas(&[(Quota::EmbeddingTokensPerDay, Some(100))])).await.unwrap();
    let spenders = (0..8).map(|_| {
        let catalog = home.catalog.clone();
        tokio::spawn(async move { catalog.spend_tokens(&admin("acme"), 30, Spending::WithinQuota).await })
    });
    let mut spent = 0;
    for spender in spenders.collect::<Vec<_>>() {
        match spender.await.unwrap() {
            Ok(()) => spent += 1,
            Err(error) => {
                let told = exceeded(error);
                assert_eq!((told.quota, told.limit, told.used), (Quota::EmbeddingTokensPerDay, 100, 90));
                assert!(told.retry_after_s.is_some_and(|seconds| (1..=86_401).contains(&seconds)));
            }
        }
    }
    assert_eq!(spent, 3);
    home.catalog.spend_tokens(&admin("acme"), 1_000, Spending::Regardless).await.unwrap();
    let used = home.catalog.usage(&admin("acme")).await.unwrap();
    assert_eq!(used.today.of(UsageKind::EmbeddingTokens), 1_090);
    home.catalog.spend_tokens(&admin("globex"), 1_000, Spending::WithinQuota).await.unwrap();
}

async fn what_is_used_is_counted_by_the_transaction_that_records_it(on: On) {
    let home = on.home_with_tenants().await;
    let (scope, catalog) = (admin("acme"), &home.catalog);
    put(catalog, &scope, document("a", "four")).await;
    put(catalog, &scope, document("a", "four")).await;
    put(catalog, &scope, document("a", "seven!!")).await;
    catalog.set_acl(&scope, &id("a"), &acl(&[], &[]), Expect::Any, draft("acl")).await.unwrap().unwrap();
    catalog.delete_document(&scope, &id("a"), Expect::Any, draft("delete")).await.unwrap().unwrap();
    let refused = NewDocument { expect: Expect::Version(VersionNo(9)), ..document("b", "x") };
    catalog.put_document(&scope, refused, draft("put")).await.unwrap_err();
    let asked = (0..40).map(|number| {
        let catalog = catalog.clone();
        tokio::spawn(async move {
            let action = if number % 2 == 0 { "search" } else { "document.read" };
            catalog.record(Chain::Tenant(&tenant("acme")), draft(action)).await.unwrap();
        })
    });
    for task in asked.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    audit::ask(catalog, &scope).await;
    let used = catalog.usage(&scope).await.unwrap();
    let told = |used: &Used| UsageKind::ALL.map(|kind| (kind.as_str(), used.of(kind)));
    let expected = [("writes", 5), ("queries", 21), ("embedding_tokens", 0), ("ingested_bytes", 11)];
    assert_eq!(told(&used.today), expected);
    assert_eq!(told(&used.month), expected);
    assert_eq!(told(&catalog.usage(&admin("globex")).await.unwrap().month).map(|(_, amount)| amount), [0; 4]);
}

async fn only_the_last_thirty_days_are_told(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    put(&home.catalog, &scope, document("a", "text")).await;
    let mut tx = home.catalog.store.write(scope.tenant()).await.unwrap();
    for (back, amount) in [(1, 10), (29, 100), (30, 1_000), (400, 10_000)] {
        sql("INSERT INTO usage (tenant, day, kind, amount) SELECT tenant, day - $2, kind, $3 FROM usage
             WHERE tenant = $1 AND kind = 'writes' ORDER BY day DESC LIMIT 1")
        .bind("acme")
        .bind(i64::from(back))
        .bind(i64::from(amount))
        .execute(tx.connection())
        .await
        .unwrap();
        tx.commit().await.unwrap();
        tx = home.catalog.store.write(scope.tenant()).await.unwrap();
    }
    drop(tx);
    let used = home.catalog.usage(&scope).await.unwrap();
    assert_eq!((used.today.of(UsageKind::Writes), used.month.of(UsageKind::Writes)), (1, 111));
}

async fn quotas_are_set_lifted_and_held_against_what_makes_sense(on: On) {
    let home = on.home_with_tenants().await;
    let set = change(&home, quotas(&[(Quota::Documents, Some(0)), (Quota::Concurrency, Some(3))])).await.unwrap();
    assert_eq!(set.quotas.iter().collect::<Vec<_>>(), [(Quota::Documents, 0), (Quota::Concurrency, 3)]);
    let renamed = TenantChange { name: Some("Acme Ltd".into()), ..quotas(&[(Quota::Documents, None)]) };
    let lifted = change(&home, renamed).await.unwrap();
    assert_eq!(lifted.quotas.iter().collect::<Vec<_>>(), [(Quota::Concurrency, 3)]);
    assert_eq!((lifted.name.as_str(), lifted.state), ("Acme Ltd", TenantState::Active));
    for (quota, limit) in [(Quota::WritesPerMinute, 0), (Quota::Concurrency, 0), (Quota::TextBytes, u64::MAX)] {
        let error = change(&home, quotas(&[(quota, Some(limit))])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(quota.as_str()), "{error}");
    }
    let standing = home.catalog.standing(&tenant("acme")).await.unwrap().unwrap();
    assert_eq!((standing.state, standing.quotas), (TenantState::Active, lifted.quotas));
    assert_eq!(home.catalog.standing(&tenant("nowhere")).await.unwrap(), None);
    let leaf = home.catalog.leaves(&admin("acme"), 1, 1).await.unwrap().remove(0);
    let leaf: serde_json::Value = serde_json::from_slice(&leaf.bytes).unwrap();
    let told: Vec<_> =
        leaf["objects"].as_array().unwrap().iter().map(|object| object["id"].as_str().unwrap()).collect();
    assert_eq!(told, ["acme", "documents=0", "concurrency=3"]);
    let nobody = home.catalog.change_tenant(&operator(), &tenant("nowhere"), quotas(&[]), draft("tenant.change")).await;
    assert!(nobody.unwrap().is_none());
}

async fn what_scores_are_counted_over_is_set_recorded_and_asked_for(on: On) {
    let home = on.home_with_tenants().await;
    let answering = async || home.catalog.answering(&admin("acme")).await.unwrap();
    assert_eq!(answering().await.statistics, Statistics::Live, "until somebody says otherwise");
    let strict = TenantChange { statistics: Some(Statistics::Visible), ..TenantChange::default() };
    assert_eq!(change(&home, strict).await.unwrap().statistics, Statistics::Visible);
    assert_eq!(change(&home, quotas(&[])).await.unwrap().statistics, Statistics::Visible, "what is not named stays");
    let answered = answering().await;
    assert_eq!(answered.statistics, Statistics::Visible);
    assert_eq!(answered.generation, home.catalog.live_generation(&admin("acme")).await.unwrap());
    let leaf = home.catalog.leaves(&admin("acme"), 1, 1).await.unwrap().remove(0);
    let leaf: serde_json::Value = serde_json::from_slice(&leaf.bytes).unwrap();
    assert_eq!((&leaf["objects"][1]["kind"], &leaf["objects"][1]["id"]), (&"statistics".into(), &"visible".into()));
}

const BACK_TO_THE_SCHEMA_BEFORE: &str = "ALTER TABLE tenants DROP COLUMN state; ALTER TABLE tenants DROP COLUMN quotas;
     ALTER TABLE tenants DROP COLUMN text_bytes; ALTER TABLE tenants DROP COLUMN chunks;
     ALTER TABLE tenants DROP COLUMN removed; DROP TABLE usage; DELETE FROM _sqlx_migrations WHERE version = 3;";

/// Documents of two tenants, some deleted, some cut by two recipes.
async fn furnish(home: &Home) -> [Held; 2] {
    for (tenant_id, documents) in [("acme", 5), ("globex", 2)] {
        for number in 0..documents {
            put(
                &home.catalog,
                &admin(tenant_id),
                document(&format!("d{number}"), &"a b\n\nc d\n\n".repeat(number + 1)),
            )
            .await;
        }
    }
    for step in [Step::Delete(1), Step::CutAgain(2), Step::CutAgain(0)] {
        take(&home.catalog, &step).await;
    }
    [recount(home, "acme").await, recount(home, "globex").await]
}

#[tokio::test]
async fn the_counters_of_an_existing_sqlite_database_are_filled_when_it_is_brought_up_to_date() {
    let home = On::Sqlite.home_with_tenants().await;
    let expected = furnish(&home).await;
    let mut tx = home.catalog.store.write(Reach::Installation).await.unwrap();
    sqlx::raw_sql(BACK_TO_THE_SCHEMA_BEFORE).execute(tx.connection().sqlite()).await.unwrap();
    tx.commit().await.unwrap();
    home.catalog.close().await.unwrap();
    let catalog = Catalog::open(home.folder.path(), &home.database).await.unwrap();
    let home = Home { catalog, ..home };
    assert_eq!([held(&home, "acme").await, held(&home, "globex").await], expected);
    assert_eq!(expected[0].documents, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_counters_of_an_existing_postgres_database_are_filled_when_it_is_brought_up_to_date() {
    let server = catena_tests::postgres::shared();
    let made = server.database("upgraded");
    let database = Database::Postgres(PostgresPlace::new(made.app_url(), Some(made.owner_url().to_owned())));
    let folder = TempDir::new().unwrap();
    let catalog = Catalog::open(folder.path(), &database).await.unwrap();
    let home = Home { folder, database, catalog };
    for tenant_id in ["acme", "globex"] {
        let draft = draft("tenant.create");
        home.catalog.create_tenant(&operator(), &tenant(tenant_id), tenant_id, &recipe(), 4, draft).await.unwrap();
    }
    let expected = furnish(&home).await;
    home.catalog.close().await.unwrap();
    server.sql(made.name(), &format!("SET search_path = catena; {BACK_TO_THE_SCHEMA_BEFORE}"));
    let catalog = Catalog::open(home.folder.path(), &home.database).await.unwrap();
    let home = Home { catalog, ..home };
    assert_eq!([held(&home, "acme").await, held(&home, "globex").await], expected);
}

on_both! {
    many_writers_at_once_get_exactly_what_the_quota_allows,
    tokens_are_spent_to_the_last_one_of_the_day_and_no_further,
    what_is_used_is_counted_by_the_transaction_that_records_it,
    only_the_last_thirty_days_are_told,
    quotas_are_set_lifted_and_held_against_what_makes_sense,
    what_scores_are_counted_over_is_set_recorded_and_asked_for,
}
