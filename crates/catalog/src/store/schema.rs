//! Which database program and which schema we run on.
//!
//! Promises: each step of a schema is one transaction, so a step that fails leaves the schema as it was; one process at a
//! time takes steps; a schema that is newer than this program is refused by its number. In PostgreSQL, whoever serves
//! is held against a list of what would undo the separation of tenants, and refused by the first item that fits.

use std::path::Path;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AssertSqlSafe, PgConnection, Row as _, SqliteConnection};

use super::postgres::identifier;
use crate::error::{CatalogError, Result};

static SQLITE: Migrator = sqlx::migrate!("../../migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("../../migrations/postgres");

/// The schema that holds our tables, so that nothing is looked up anywhere else.
pub(super) const POSTGRES_SCHEMA: &str = "catena";

/// From here on, several connections to one write-ahead log cannot damage the database by resetting it at once.
const SQLITE_MIN: [u32; 3] = [3, 51, 3];
const SQLITE_MIN_TEXT: &str = "3.51.3";

/// For each major version of PostgreSQL, the first release in which row-level security has no known hole.
const POSTGRES_MIN: [(i32, i32); 3] = [(15, 14), (16, 10), (17, 6)];
const POSTGRES_MIN_TEXT: &str = "15.14, 16.10, 17.6 or 18";

/// Tables of which a row never changes, and those of which none is removed either.
const NEVER_UPDATED: [&str; 6] =
    ["acls", "versions", "version_text", "version_places", "audit_outbox", "service_outbox"];
const NEVER_DELETED: [&str; 2] = ["audit_outbox", "service_outbox"];

pub(super) async fn require_sqlite(connection: &mut SqliteConnection) -> Result<()> {
    let found: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(connection).await?;
    if is_new_enough(&found) { Ok(()) } else { Err(CatalogError::SqliteTooOld { found, needed: SQLITE_MIN_TEXT }) }
}

fn is_new_enough(version: &str) -> bool {
    let parts: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).collect();
    parts.as_slice() >= SQLITE_MIN.as_slice()
}

/// Brings the schema up to date.
pub(super) async fn migrate_sqlite(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    let place = path.display().to_string();
    let exists = sqlx::query("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'");
    let found = match exists.fetch_optional(&mut *connection).await? {
        Some(_) => newest().fetch_one(&mut *connection).await?.try_get("version")?,
        None => 0,
    };
    require_known(&SQLITE, &place, found)?;
    SQLITE.run_direct(None, connection, false).await.map_err(|error| failed(place, &error))
}

/// Brings the schema up to date as its owner, and lets `service`, the role that serves, do what it needs, and no more.
pub(super) async fn migrate_postgres(owner: &mut PgConnection, place: &str, service: &str) -> Result<()> {
    require_postgres_version(owner).await?;
    let schema = format!("CREATE SCHEMA IF NOT EXISTS {POSTGRES_SCHEMA}");
    sqlx::query(AssertSqlSafe(schema)).execute(&mut *owner).await?;
    require_known(&POSTGRES, place, postgres_version(owner).await?)?;
    POSTGRES.run_direct(None, owner, false).await.map_err(|error| failed(place.to_owned(), &error))?;
    let role = identifier(service);
    let mut grants = format!(
        "GRANT USAGE ON SCHEMA {POSTGRES_SCHEMA} TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {POSTGRES_SCHEMA} TO {role};
         REVOKE ALL ON _sqlx_migrations FROM {role};
         GRANT SELECT ON _sqlx_migrations TO {role};"
    );
    grants.extend(NEVER_UPDATED.map(|table| format!("REVOKE UPDATE ON {table} FROM {role};")));
    grants.extend(NEVER_DELETED.map(|table| format!("REVOKE DELETE ON {table} FROM {role};")));
    sqlx::raw_sql(AssertSqlSafe(grants)).execute(owner).await?;
    Ok(())
}

/// Checks that the role behind a connection may serve here, and that the schema is the one that this program knows.
pub(super) async fn require_postgres(service: &mut PgConnection, place: &str) -> Result<()> {
    require_postgres_version(service).await?;
    let known = newest_known(&POSTGRES);
    let found = postgres_version(service).await?;
    require_known(&POSTGRES, place, found)?;
    if found < known {
        return Err(CatalogError::SchemaOlder { place: place.to_owned(), found, known });
    }
    let weak = sqlx::query_as(
        "SELECT current_user::text, CASE
             WHEN r.rolsuper THEN 'is a superuser'
             WHEN r.rolbypassrls THEN 'has BYPASSRLS'
             WHEN r.rolcreaterole THEN 'has CREATEROLE'
             WHEN has_schema_privilege('catena', 'CREATE') THEN 'may create things in the schema catena'
             WHEN EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'catena'::regnamespace
                          AND pg_has_role(c.relowner, 'MEMBER'))
                 THEN 'owns the tables, or is a member of the role that does'
             WHEN EXISTS (SELECT FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant'
                          WHERE c.relnamespace = 'catena'::regnamespace AND c.relkind IN ('r', 'p')
                          AND NOT (c.relrowsecurity AND c.relforcerowsecurity))
                 THEN 'would work on tables without forced row-level security'
         END
         FROM pg_roles r WHERE r.rolname = current_user",
    );
    let (role, why): (String, Option<String>) = weak.fetch_one(service).await?;
    match why {
        Some(why) => Err(CatalogError::RoleTooStrong { role, why }),
        None => Ok(()),
    }
}

async fn require_postgres_version(connection: &mut PgConnection) -> Result<()> {
    let row = sqlx::query_as("SELECT current_setting('server_version_num')::int, current_setting('server_version')");
    let (number, found): (i32, String) = row.fetch_one(connection).await?;
    if is_sound(number) { Ok(()) } else { Err(CatalogError::PostgresTooOld { found, needed: POSTGRES_MIN_TEXT }) }
}

/// Whether the server of this number (major times 10,000, plus minor) keeps rows apart as it should.
fn is_sound(number: i32) -> bool {
    let (major, minor) = (number / 10_000, number % 10_000);
    match POSTGRES_MIN.iter().find(|(of, _)| *of == major) {
        Some((_, least)) => minor >= *least,
        None => major > POSTGRES_MIN[POSTGRES_MIN.len() - 1].0,
    }
}

/// The schema's version; zero when there is none that we may see.
async fn postgres_version(connection: &mut PgConnection) -> Result<i64> {
    let exists = "SELECT has_schema_privilege(n.oid, 'USAGE') AND to_regclass('catena._sqlx_migrations') IS NOT NULL
                  FROM pg_namespace n WHERE n.nspname = 'catena'";
    match sqlx::query_scalar(exists).fetch_optional(&mut *connection).await? {
        Some(true) => Ok(sqlx::query_scalar(NEWEST).fetch_one(connection).await?),
        Some(false) | None => Ok(0),
    }
}

const NEWEST: &str = "SELECT coalesce(max(version), 0) AS version FROM _sqlx_migrations";

fn newest() -> sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments> {
    sqlx::query(NEWEST)
}

/// The step that this program knows, which is the same for both databases.
pub(crate) fn newest_step() -> i64 {
    newest_known(&SQLITE)
}

fn newest_known(steps: &Migrator) -> i64 {
    steps.iter().map(|step| step.version).max().unwrap_or_default()
}

fn require_known(steps: &Migrator, place: &str, found: i64) -> Result<()> {
    let known = newest_known(steps);
    if found > known {
        return Err(CatalogError::SchemaNewer { place: place.to_owned(), found, known });
    }
    Ok(())
}

fn failed(place: String, error: &MigrateError) -> CatalogError {
    CatalogError::Migration { place, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number_not_by_text() {
        for good in ["3.51.3", "3.51.10", "3.52.0", "4.0.0"] {
            assert!(is_new_enough(good), "{good}");
        }
        for bad in ["3.51.2", "3.9.9", "3.46.0", "2.99.99", "", "x"] {
            assert!(!is_new_enough(bad), "{bad}");
        }
    }

    #[test]
    fn a_server_with_a_known_hole_in_row_level_security_is_too_old() {
        for good in [150_014, 150_018, 160_010, 170_006, 180_000, 190_001] {
            assert!(is_sound(good), "{good}");
        }
        for bad in [150_013, 160_009, 170_005, 140_019, 130_022, 90_624] {
            assert!(!is_sound(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn what_a_catalog_held_before_it_had_labels_and_nesting_is_there_afterwards() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("catalog.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
        SQLITE.run_to(2, &mut connection).await.unwrap();
        sqlx::raw_sql(
            "INSERT INTO tenants (tenant, name, created_at, secret) VALUES ('acme', 'Acme', 1, zeroblob(32));
             INSERT INTO api_keys (key, tenant, hash, name, rights, groups, created_at)
             VALUES ('k1', 'acme', zeroblob(32), 'app', 'read', '[]', 1);
             INSERT INTO groups (tenant, group_name, members) VALUES ('acme', 'eng', 1);
             INSERT INTO group_members (tenant, group_name, user_name) VALUES ('acme', 'eng', 'ann')",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        migrate_sqlite(&mut connection, &path).await.unwrap();
        let held: String = sqlx::query_scalar(
            "SELECT k.key || ' ' || m.user_name || ' ' || (k.expires_at IS NULL) || (k.replaces IS NULL)
                    || (g.clearance IS NULL) || (SELECT count(*) FROM labels) || (SELECT count(*) FROM group_nesting)
             FROM api_keys k JOIN groups g USING (tenant) JOIN group_members m USING (tenant, group_name)",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        assert_eq!(held, "k1 ann 11100");
    }

    #[test]
    fn both_databases_are_at_the_same_step() {
        assert_eq!(newest_known(&SQLITE), newest_known(&POSTGRES));
    }
}
