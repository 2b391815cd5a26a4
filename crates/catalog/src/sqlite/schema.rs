//! Which database library and which schema we run on.

use std::path::Path;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Row as _, SqliteConnection};

use crate::error::{CatalogError, Result};

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/sqlite");

/// From here on, several connections to one write-ahead log cannot damage the database by resetting it at once.
const SQLITE_MIN: [u32; 3] = [3, 51, 3];
const SQLITE_MIN_TEXT: &str = "3.51.3";

pub(crate) async fn require_version(connection: &mut SqliteConnection) -> Result<()> {
    let found: String =
        sqlx::query("SELECT sqlite_version() AS version").fetch_one(connection).await?.try_get("version")?;
    if is_new_enough(&found) { Ok(()) } else { Err(CatalogError::SqliteTooOld { found, needed: SQLITE_MIN_TEXT }) }
}

fn is_new_enough(version: &str) -> bool {
    let parts: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).collect();
    parts.as_slice() >= SQLITE_MIN.as_slice()
}

/// Brings the schema up to date, each step in its transaction, and refuses one that is newer than we know.
pub(crate) async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default();
    let found = applied(connection).await?;
    if found > known {
        return Err(CatalogError::SchemaNewer { path: path.to_owned(), found, known });
    }
    let failed = |error: MigrateError| CatalogError::Migration { path: path.to_owned(), reason: error.to_string() };
    MIGRATIONS.run_direct(None, connection, false).await.map_err(failed)
}

/// The schema's version; zero for an empty database.
async fn applied(connection: &mut SqliteConnection) -> Result<i64> {
    let exists = sqlx::query("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'");
    if exists.fetch_optional(&mut *connection).await?.is_none() {
        return Ok(0);
    }
    let newest = sqlx::query("SELECT coalesce(max(version), 0) AS version FROM _sqlx_migrations");
    Ok(newest.fetch_one(connection).await?.try_get("version")?)
}

#[cfg(test)]
mod tests {
    use super::is_new_enough;

    #[test]
    fn versions_compare_by_number_not_by_text() {
        for good in ["3.51.3", "3.51.10", "3.52.0", "4.0.0"] {
            assert!(is_new_enough(good), "{good}");
        }
        for bad in ["3.51.2", "3.9.9", "3.46.0", "2.99.99", "", "x"] {
            assert!(!is_new_enough(bad), "{bad}");
        }
    }
}
