//! The data folder: who may have it, and what survives.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[tokio::test]
async fn a_second_process_is_told_which_folder_is_taken() {
    let home = On::Sqlite.home().await;
    let error = Catalog::open(home.folder.path(), &Database::Embedded).await.unwrap_err();
    assert!(matches!(error, CatalogError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(&home.folder.path().display().to_string()));
    home.catalog.close().await.unwrap();
    Catalog::open(home.folder.path(), &Database::Embedded).await.unwrap();
}

#[tokio::test]
async fn the_folder_and_the_secret_are_their_owners_alone() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("data");
    Catalog::open(&folder, &Database::Embedded).await.unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join("secret.key"))), (0o700, 0o600));
    assert_eq!(std::fs::read(folder.join("secret.key")).unwrap().len(), 32);
}

#[tokio::test]
async fn the_secret_stays_the_same_and_its_loss_is_noticed() {
    let home = On::Sqlite.home().await;
    let hash = home.catalog.pepper().hash("key");
    home.catalog.close().await.unwrap();
    let again = Catalog::open(home.folder.path(), &Database::Embedded).await.unwrap();
    assert_eq!(again.pepper().hash("key"), hash);
    again.close().await.unwrap();
    std::fs::remove_file(home.folder.path().join("secret.key")).unwrap();
    let error = Catalog::open(home.folder.path(), &Database::Embedded).await.unwrap_err();
    assert!(matches!(error, CatalogError::SecretMissing { .. }), "{error}");
    std::fs::write(home.folder.path().join("secret.key"), b"short").unwrap();
    assert!(matches!(
        Catalog::open(home.folder.path(), &Database::Embedded).await.unwrap_err(),
        CatalogError::SecretMissing { .. }
    ));
}

#[tokio::test]
async fn a_schema_from_the_future_is_refused_with_both_versions() {
    let home = On::Sqlite.home().await;
    let mut tx = home.catalog.store.write(&tenant("acme")).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (999, 'later', TRUE, x'00', 0)",
    )
    .execute(tx.connection().sqlite())
    .await
    .unwrap();
    tx.commit().await.unwrap();
    home.catalog.close().await.unwrap();
    let error = Catalog::open(home.folder.path(), &Database::Embedded).await.unwrap_err();
    let CatalogError::SchemaNewer { found: 999, known, .. } = error else { panic!("{error}") };
    let (said, up_to) = (error.to_string(), format!("only up to schema {known};"));
    assert!(said.contains("has schema 999") && said.contains(&up_to), "{said}");
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill_at_any_moment() {
    let home = On::Sqlite.home_with_tenants().await;
    let scope = admin("acme");
    let mut acknowledged = Vec::new();
    for round in 0..12u64 {
        let name = format!("d{}", round % 5);
        let text = format!("round {round} {}", "x".repeat(round as usize * 997));
        put(&home.catalog, &scope, document(&name, &text)).await;
        acknowledged.retain(|(known, _)| *known != name);
        acknowledged.push((name, text));
        let leaf = home.catalog.record(catena_audit::Chain::Tenant(scope.tenant()), draft("search")).await.unwrap();
        // A writer is in the middle of its transaction when the process dies.
        let mut tx = home.catalog.store.write(&tenant("acme")).await.unwrap();
        sqlx::query("UPDATE tenants SET seq = 1000000").execute(tx.connection().sqlite()).await.unwrap();
        let copy = copy_of(home.folder.path());
        drop(tx);
        let survivor = Catalog::open(copy.path(), &Database::Embedded).await.unwrap();
        assert_eq!(survivor.seq(&scope).await.unwrap().0, round + 1);
        assert_eq!(survivor.chain_head(&scope).await.unwrap(), Some(leaf));
        for (name, text) in &acknowledged {
            let read = survivor.document(&scope, &id(name)).await.unwrap().unwrap();
            assert_eq!(&read.text, text);
        }
        survivor.close().await.unwrap();
        assert_eq!(chains(copy.path(), &Database::Embedded).await["tenant:acme"], leaf.index + 1);
    }
}

#[tokio::test]
async fn a_closed_catalog_answers_with_an_error_and_not_with_a_wait() {
    let home = On::Sqlite.home_with_tenants().await;
    home.catalog.close().await.unwrap();
    let scope = admin("acme");
    assert!(home.catalog.seq(&scope).await.is_err());
    assert!(home.catalog.put_document(&scope, document("a", "x"), draft("put")).await.is_err());
    assert!(home.catalog.record(catena_audit::Chain::Service, draft("x")).await.is_err());
}

#[tokio::test]
async fn a_commit_is_synced_to_the_disk_and_readers_cannot_write() {
    let home = On::Sqlite.home().await;
    let mut tx = home.catalog.store.write(&tenant("acme")).await.unwrap();
    for (pragma, value) in [("PRAGMA synchronous", 2i64), ("PRAGMA foreign_keys", 1), ("PRAGMA trusted_schema", 0)] {
        let found: i64 = sqlx::query_scalar(pragma).fetch_one(tx.connection().sqlite()).await.unwrap();
        assert_eq!(found, value, "{pragma}");
    }
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(tx.connection().sqlite()).await.unwrap();
    assert_eq!(mode, "wal");
    drop(tx);
    let mut tx = home.catalog.store.read(&tenant("acme")).await.unwrap();
    let refused = sqlx::query("UPDATE installation SET leaves = 7").execute(tx.sqlite()).await;
    assert!(refused.unwrap_err().to_string().contains("readonly"));
}
