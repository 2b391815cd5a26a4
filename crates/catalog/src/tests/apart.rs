//! What PostgreSQL itself keeps apart, whatever the statements say.

use std::future::poll_fn;
use std::task::Poll;

use catena_audit::Chain;
use catena_tests::postgres::{Database as Made, OWNER, Postgres, shared};

use super::*;
use crate::store::Reach;

/// Every table that has a tenant, as the database knows them.
const TABLES: &str =
    "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant'
                      WHERE c.relnamespace = 'catena'::regnamespace AND c.relkind = 'r' ORDER BY 1";

fn place(made: &Made) -> PostgresPlace {
    PostgresPlace::new(made.app_url(), Some(made.owner_url().to_owned())).with_connections(1)
}

/// A catalog with something of two tenants in every table, on a pool of one connection.
async fn furnished() -> (&'static Postgres, Made, Home) {
    let server = shared();
    let made = server.database("apart");
    let (folder, database) = (TempDir::new().unwrap(), Database::Postgres(place(&made)));
    let catalog = Catalog::open(folder.path(), &database).await.unwrap();
    let home = Home { folder, database, catalog };
    for id in ["acme", "globex"] {
        home.catalog.create_tenant(&operator(), &tenant(id), id, &recipe(), 4, draft("tenant.create")).await.unwrap();
        let scope = admin(id);
        put(&home.catalog, &scope, document("a", id)).await;
        home.catalog.create_key(&scope, new_key(&format!("k{id}")), draft("key.create")).await.unwrap();
        home.catalog.put_group(&scope, &group("eng"), of(&["ann"]), draft("group.put")).await.unwrap();
        home.catalog.put_group(&scope, &group("all"), of(&["group:eng"]), draft("group.put")).await.unwrap();
        home.catalog.put_labels(&scope, &[label("open")], draft("labels.put")).await.unwrap();
        request_import(&home.catalog, &scope, id).await;
        home.catalog.keep_back(&scope, suspect("s", id), Expect::Any, draft("document.put")).await.unwrap();
        sources::furnish_source(&home.catalog, &scope).await;
        audit::ask(&home.catalog, &scope).await;
        put(&home.catalog, &scope, document("purged", id)).await;
        let (of, any) = (super::id("purged"), Expect::Any);
        home.catalog.delete_document(&scope, &of, any, named("delete-1", 1)).await.unwrap().unwrap();
        home.catalog.purge_document(&scope, &of, any, draft("document.purge")).await.unwrap().unwrap();
    }
    (server, made, home)
}

/// What a statement answers as the role that serves, in a session of its own.
fn as_service(server: &Postgres, made: &Made, statement: &str) -> Result<String, String> {
    server.psql(made.app_url(), &format!("SET search_path = catena; {statement}"))
}

fn tables(server: &Postgres, made: &Made) -> Vec<String> {
    let tables: Vec<String> = server.sql(made.name(), TABLES).lines().map(str::to_owned).collect();
    assert!(tables.len() >= 15, "{tables:?}");
    tables
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_without_a_tenant_sees_and_changes_nothing() {
    let (server, made, _home) = furnished().await;
    for table in tables(server, &made) {
        let all = server.sql(made.name(), &format!("SELECT count(*) FROM catena.{table}"));
        assert_ne!(all, "0", "the test is worth nothing for {table}");
        for empty in ["", "SET catena.tenant = '';", "SET catena.tenant = 'nowhere';", "SET catena.key = '';"] {
            let seen = as_service(server, &made, &format!("{empty} SELECT count(*) FROM {table}"));
            assert_eq!(seen.as_deref(), Ok("0"), "{table} after {empty:?}");
        }
        let own =
            as_service(server, &made, &format!("SET catena.tenant = 'acme'; SELECT DISTINCT tenant FROM {table}"));
        assert_eq!(own.as_deref(), Ok("acme"), "{table}");
        let deleted = as_service(
            server,
            &made,
            &format!("WITH gone AS (DELETE FROM {table} RETURNING 1) SELECT count(*) FROM gone"),
        );
        assert!(matches!(deleted.as_deref(), Ok("0") | Err(_)), "{table}: {deleted:?}");
        assert_eq!(server.sql(made.name(), &format!("SELECT count(*) FROM catena.{table}")), all, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_of_another_tenant_cannot_be_written_and_the_refusal_tells_nothing_of_it() {
    let (server, made, _home) = furnished().await;
    let in_acme = |statement: &str| as_service(server, &made, &format!("SET catena.tenant = 'acme'; {statement}"));
    for statement in [
        "UPDATE documents SET tenant = 'globex'",
        "INSERT INTO groups (tenant, group_name, members) VALUES ('globex', 'spies', 0)",
        "INSERT INTO embeddings (tenant, recipe, hash, vector)
         SELECT 'globex', recipe, decode(repeat('07', 32), 'hex'), vector FROM embeddings LIMIT 1",
    ] {
        let error = in_acme(statement).unwrap_err();
        assert!(error.contains("row-level security"), "{statement}: {error}");
        assert!(!error.contains("Title of"), "{error}");
    }
    assert_eq!(in_acme("UPDATE documents SET title = 'x' WHERE tenant = 'globex' RETURNING 1").as_deref(), Ok(""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_for_workers_and_the_door_show_no_document() {
    let (server, made, _home) = furnished().await;
    for table in tables(server, &made) {
        let listed =
            as_service(server, &made, &format!("SET catena.reach = 'installation'; SELECT count(*) FROM {table}"));
        let expected =
            if ["tenants", "generations", "jobs", "source_schedules"].contains(&table.as_str()) { "2" } else { "0" };
        assert_eq!(listed.as_deref(), Ok(expected), "{table}");
        let found = as_service(server, &made, &format!("SET catena.key = 'kacme'; SELECT count(*) FROM {table}"));
        let expected = if table == "api_keys" { "1" } else { "0" };
        assert_eq!(found.as_deref(), Ok(expected), "{table}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_serving_role_can_neither_bypass_nor_alter_what_keeps_tenants_apart() {
    let (server, made, _home) = furnished().await;
    for statement in [
        "ALTER TABLE documents NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE documents DISABLE ROW LEVEL SECURITY",
        "DROP POLICY keep_apart ON documents",
        "CREATE POLICY open ON documents USING (true)",
        "ALTER TABLE documents OWNER TO catena_app",
        "TRUNCATE audit_outbox",
        "CREATE TABLE catena.mine (a INT)",
        "CREATE FUNCTION catena.f() RETURNS INT LANGUAGE sql AS 'SELECT 1'",
        "ALTER ROLE catena_app BYPASSRLS",
        "SET ROLE catena_owner",
        "SET SESSION AUTHORIZATION postgres",
        "UPDATE audit_outbox SET bytes = bytes",
        "DELETE FROM audit_outbox",
        "UPDATE service_outbox SET bytes = bytes",
        "UPDATE version_text SET zstd = zstd",
        "UPDATE acls SET entries = entries",
        "DELETE FROM _sqlx_migrations",
    ] {
        let said = as_service(server, &made, &format!("SET catena.tenant = 'acme'; {statement}"));
        let error = said.expect_err(statement);
        assert!(
            ["denied", "must be owner", "must be superuser"].iter().any(|no| error.contains(no)),
            "{statement}: {error}"
        );
    }
    // The owner is held by the same rules.
    let owner = server.psql(made.owner_url(), "SELECT count(*) FROM catena.documents");
    assert_eq!(owner.as_deref(), Ok("0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_or_a_table_that_would_undo_it_is_refused_at_the_start() {
    let (server, made, home) = furnished().await;
    home.catalog.close().await.unwrap();
    let open = async |database: &Database| Catalog::open(home.folder.path(), database).await.map(|_| ());
    let as_other = |url: &str| Database::Postgres(PostgresPlace::new(url, None));
    let superuser = format!("{}/{}", server.admin_url().trim_end_matches("/postgres"), made.name());
    for (url, said) in [(made.owner_url(), "catena_owner may create things"), (&superuser, "postgres is a superuser")] {
        let error = open(&as_other(url)).await.unwrap_err();
        assert!(matches!(error, CatalogError::RoleTooStrong { .. }), "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
    // Roles belong to the server, and other tests serve as the usual one.
    server.sql(made.name(), &format!("CREATE ROLE member LOGIN PASSWORD 'x' IN ROLE {OWNER}"));
    let address = made.app_url().split('@').nth(1).unwrap();
    let error = open(&as_other(&format!("postgres://member:x@{address}"))).await.unwrap_err();
    assert!(error.to_string().contains("the role member may create things"), "{error}");
    let service = as_other(made.app_url());
    server.sql(made.name(), "ALTER TABLE catena.documents NO FORCE ROW LEVEL SECURITY");
    let error = open(&service).await.unwrap_err();
    assert!(error.to_string().contains("without forced row-level security"), "{error}");
    server.sql(made.name(), "ALTER TABLE catena.documents FORCE ROW LEVEL SECURITY");
    open(&service).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_altered_record_is_found_out_even_when_a_superuser_did_it() {
    let (server, made, home) = furnished().await;
    let lengths = home.chains().await;
    assert!(lengths["tenant:acme"] > 4);
    server.sql(
        made.name(),
        "UPDATE catena.audit_outbox SET bytes = (SELECT bytes FROM catena.audit_outbox WHERE tenant = 'acme' AND leaf_index = 1)
         WHERE tenant = 'acme' AND leaf_index = 2",
    );
    let checked = verify_record(home.folder.path(), &home.database).await.unwrap();
    let wrong: Vec<_> = checked.into_iter().filter(|(_, result)| result.is_err()).map(|(name, _)| name).collect();
    assert_eq!(wrong, ["tenant:acme"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_service_at_a_time_holds_a_catalog() {
    let (_server, _made, home) = furnished().await;
    let elsewhere = TempDir::new().unwrap();
    std::fs::copy(home.folder.path().join("secret.key"), elsewhere.path().join("secret.key")).unwrap();
    let error = Catalog::open(elsewhere.path(), &home.database).await.unwrap_err();
    assert!(matches!(error, CatalogError::Taken { .. }), "{error}");
    home.catalog.close().await.unwrap();
    Catalog::open(elsewhere.path(), &home.database).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_without_the_catalogs_secret_is_refused() {
    let (_server, _made, home) = furnished().await;
    home.catalog.close().await.unwrap();
    let elsewhere = TempDir::new().unwrap();
    let error = Catalog::open(elsewhere.path(), &home.database).await.unwrap_err();
    assert!(matches!(error, CatalogError::OtherSecret { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_owner_a_schema_is_not_made_and_what_to_do_is_said() {
    let server = shared();
    let made = server.database("bare");
    let folder = TempDir::new().unwrap();
    let bare = Database::Postgres(PostgresPlace::new(made.app_url(), None));
    let error = Catalog::open(folder.path(), &bare).await.unwrap_err();
    assert!(matches!(error, CatalogError::SchemaOlder { found: 0, .. }), "{error}");
    assert!(error.to_string().contains("CATENA_CATALOG_OWNER"), "{error}");
    Catalog::open(folder.path(), &Database::Postgres(place(&made))).await.unwrap().close().await.unwrap();
    Catalog::open(folder.path(), &bare).await.unwrap().close().await.unwrap();
    server.sql(made.name(), "INSERT INTO catena._sqlx_migrations VALUES (999, 'later', now(), true, '', 0)");
    for database in [bare, Database::Postgres(place(&made))] {
        let error = Catalog::open(folder.path(), &database).await.unwrap_err();
        assert!(matches!(error, CatalogError::SchemaNewer { found: 999, .. }), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_of_the_schema_that_fails_leaves_the_schema_as_it_was() {
    let server = shared();
    let made = server.database("broken");
    // Something is in the way of the last of the tables.
    server.sql(
        made.name(),
        &format!("CREATE SCHEMA catena AUTHORIZATION {OWNER}; CREATE TABLE catena.service_outbox (a INT)"),
    );
    let folder = TempDir::new().unwrap();
    let error = Catalog::open(folder.path(), &Database::Postgres(place(&made))).await.unwrap_err();
    assert!(matches!(error, CatalogError::Migration { .. }), "{error}");
    let left = server.sql(
        made.name(),
        "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class
        WHERE relnamespace = 'catena'::regnamespace AND relkind = 'r'",
    );
    assert_eq!(left, "_sqlx_migrations service_outbox");
    server.sql(made.name(), "DROP TABLE catena.service_outbox");
    Catalog::open(folder.path(), &Database::Postgres(place(&made))).await.unwrap();
}

/// Polls a future so often, and drops it.
async fn cut_off_after(polls: usize, future: impl Future) -> bool {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(|context| match (left, future.as_mut().poll(context)) {
        (_, Poll::Ready(_)) => Poll::Ready(true),
        (0, Poll::Pending) => Poll::Ready(false),
        (_, Poll::Pending) => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_cut_off_at_any_await_leaves_no_open_transaction_and_no_tenant_on_the_one_connection() {
    let (_server, _made, home) = furnished().await;
    let store = &home.catalog.store;
    let mut cut_off = 0;
    for round in 0..60 {
        let acme = admin("acme");
        let ended = match round % 4 {
            0 => cut_off_after(round / 4 % 3, home.catalog.document(&acme, &id("a"))).await,
            1 => cut_off_after(round / 4 % 3, home.catalog.put_document(&acme, document("b", "x"), draft("put"))).await,
            2 => cut_off_after(round / 4 % 3, async { drop(store.read(&tenant("acme")).await) }).await,
            _ => cut_off_after(round / 4 % 3, home.catalog.record(Chain::Tenant(acme.tenant()), draft("search"))).await,
        };
        cut_off += usize::from(!ended);
        // The next one to have the connection sees its own tenant, and nothing that was left there.
        let mut tx = store.read(Reach::Installation).await.unwrap();
        let (tenant, age): (Option<String>, bool) = sqlx::query_as(
            "SELECT current_setting('catena.tenant', true), now() - transaction_timestamp() < interval '1 second'",
        )
        .fetch_one(tx.postgres())
        .await
        .unwrap();
        assert!(tenant.is_none_or(|tenant| tenant.is_empty()), "a tenant was left on the connection");
        assert!(age);
        drop(tx);
        let name = format!("own-{round}");
        put(&home.catalog, &admin("globex"), document(&name, "text")).await;
        assert!(
            home.catalog.document(&admin("globex"), &id(&name)).await.unwrap().is_some(),
            "an own write is not seen"
        );
    }
    assert!(cut_off >= 20, "only {cut_off} requests were cut off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_was_left_in_a_transaction_is_not_used_again() {
    let (_server, _made, home) = furnished().await;
    let pid = async || {
        let mut tx = home.catalog.store.read(Reach::Installation).await.unwrap();
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(tx.postgres()).await.unwrap();
        pid
    };
    let before = pid().await;
    assert_eq!(pid().await, before, "a sound connection is used again");
    let mut tx = home.catalog.store.read(&tenant("acme")).await.unwrap();
    // Behind the driver's back, as a cut-off beginning would leave it.
    sqlx::raw_sql("COMMIT; BEGIN; SET catena.tenant = 'acme'").execute(tx.postgres()).await.unwrap();
    sqlx::raw_sql("COMMIT; BEGIN").execute(tx.postgres()).await.unwrap();
    drop(tx);
    assert_ne!(pid().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stalls_inside_of_a_transaction_holds_its_tenant_up_for_seconds_and_nobody_is_turned_away() {
    let (_server, made, home) = furnished().await;
    let folder = TempDir::new().unwrap();
    std::fs::copy(home.folder.path().join("secret.key"), folder.path().join("secret.key")).unwrap();
    let worker = Catalog::open(folder.path(), &Database::Postgres(place(&made).beside_a_service())).await.unwrap();
    let stalled = worker.store.write(&tenant("acme")).await.unwrap();
    put(&home.catalog, &admin("acme"), document("b", "written meanwhile")).await;
    assert!(stalled.commit().await.is_err(), "the one that stalled was not told");
}
