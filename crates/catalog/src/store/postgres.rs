//! PostgreSQL: who we are there, and how far a transaction reaches.
//!
//! Promises: the service's role can neither bypass nor change what keeps tenants apart, or it is refused at the start;
//! a transaction names its tenant in the message that begins it, so there is no moment without; a transaction is begun
//! by a task that no caller can cut off; a connection goes back to the pool only when it reaches nothing. One service
//! holds a catalog at a time, with any number of workers beside it. Does not: pool for others, or speak to a database that is not checked.

use std::str::FromStr as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use catena_runtime::clock::{self, Stopwatch};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::{CONNECTION_WAIT, Connection, Inner, Reach, in_task, schema, sql};
use crate::error::{CatalogError, Result};

/// Where a catalog in PostgreSQL is. Its `Debug` shows no password.
#[derive(Clone)]
pub struct PostgresPlace {
    /// The role that the service works as. It owns nothing.
    url: String,
    /// The role that owns the schema, to bring it up to date at the start.
    owner_url: Option<String>,
    connections: u32,
    holds: Holds,
}

/// Whether a process has a catalog for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// It serves it, and no other process does.
    Alone,
    /// It works beside whoever serves it, and beside others like itself.
    Beside,
}

/// Connections of a service to its database.
const CONNECTIONS: u32 = 16;
/// Connections of a worker beside it.
const WORKER_CONNECTIONS: u32 = 8;
/// The advisory lock that says that a service holds this catalog.
const SERVICE_LOCK: i64 = 0x6361_7465_6e61;
/// How long a start waits for the lock, and how often it looks.
const LOCK_WAIT: Duration = Duration::from_secs(5);
const LOCK_TRY: Duration = Duration::from_millis(50);
/// How often the lock is looked after.
const LOCK_CARE: Duration = Duration::from_secs(5);
/// How long the database may take to answer before it counts as gone.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// Whether a connection, as it comes back, still reaches something.
const REACHES: &str = "SELECT concat(current_setting('catena.tenant', true), current_setting('catena.key', true),
                                     current_setting('catena.reach', true)) <> '' AS reaches";

impl PostgresPlace {
    /// The place that `url` names, as the role in it; `owner_url` is the same place as the schema's owner.
    #[must_use]
    pub fn new(url: impl Into<String>, owner_url: Option<String>) -> Self {
        Self { url: url.into(), owner_url, connections: CONNECTIONS, holds: Holds::Alone }
    }

    /// For a worker beside the service that has the catalog, and beside other workers.
    #[must_use]
    pub fn beside_a_service(self) -> Self {
        Self { holds: Holds::Beside, connections: WORKER_CONNECTIONS, ..self }
    }

    /// With so many connections.
    #[must_use]
    pub fn with_connections(self, connections: u32) -> Self {
        Self { connections: connections.max(1), ..self }
    }

    fn options(&self) -> Result<PgConnectOptions> {
        options(&self.url, "catalog")
    }

    /// What people call the place.
    fn name(&self) -> Result<String> {
        let options = self.options()?;
        let database = options.get_database().unwrap_or_else(|| options.get_username()).to_owned();
        Ok(format!("database {database} on {}:{}", options.get_host(), options.get_port()))
    }
}

impl std::fmt::Debug for PostgresPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostgresPlace(..)")
    }
}

fn options(url: &str, setting: &'static str) -> Result<PgConnectOptions> {
    // The text of the error is left out: it may repeat the password.
    let options = PgConnectOptions::from_str(url).map_err(|_| CatalogError::Invalid {
        what: setting,
        reason: "is not an address like postgres://USER:PASSWORD@HOST:PORT/DATABASE".to_owned(),
    })?;
    let options = options.application_name("catena").disable_statement_logging().options([
        ("search_path", schema::POSTGRES_SCHEMA),
        ("synchronous_commit", "on"),
        ("standard_conforming_strings", "on"),
        ("lock_timeout", "10s"),
        ("statement_timeout", "120s"),
        // Who stalls inside of a transaction has the tenant's row. It loses it before those who wait give up.
        ("idle_in_transaction_session_timeout", "5s"),
        // Every statement is short; compiling one would take longer than running it.
        ("jit", "off"),
    ]);
    Ok(options)
}

pub(super) struct Pool {
    pool: PgPool,
    lock: Arc<Mutex<PgConnection>>,
    options: PgConnectOptions,
    holds: Holds,
}

/// For a transaction that nobody waits for, and that waits for files.
pub(super) const UNHURRIED: &str = "SET LOCAL idle_in_transaction_session_timeout = 0";

/// One moment of the whole database. It can be seen until this is dropped.
pub(crate) struct Moment {
    /// Sees it too, and reaches what belongs to no tenant.
    pub(crate) connection: Connection,
    id: String,
}

/// A way in for reading alone, beside a service that may be running.
pub(crate) struct Reader(PgPool);

impl Reader {
    pub(crate) async fn open(place: &PostgresPlace) -> Result<Self> {
        let (options, name) = (place.options()?, place.name()?);
        let mut first = connect(&options, &name).await?;
        schema::require_postgres(&mut first, &name).await?;
        first.close().await?;
        // One for the transaction at work, one for the moment that it sees.
        Ok(Self(pool(2).connect_with(options).await?))
    }

    /// Holds on to how everything is now, for transactions of several tenants to see.
    pub(crate) async fn moment(&self) -> Result<Moment> {
        let begin_with = format!("{}; {UNHURRIED}", reading(Reach::Installation));
        let mut connection = begin(&self.0, begin_with).await?;
        let id = sql("SELECT pg_export_snapshot() AS id").fetch_one(&mut connection).await?.text("id")?;
        Ok(Moment { connection, id })
    }

    /// A transaction that sees the moment, as far as it reaches.
    pub(crate) async fn read_at(&self, moment: &Moment, reach: Reach<'_>) -> Result<Connection> {
        let of = literal(&moment.id);
        let statement = format!("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET TRANSACTION SNAPSHOT {of}");
        begin(&self.0, format!("{statement}; {}; {UNHURRIED}", set(reach))).await
    }

    pub(crate) async fn read(&self, reach: Reach<'_>) -> Result<Connection> {
        begin(&self.0, reading(reach)).await
    }
}

impl Pool {
    pub(super) async fn open(place: &PostgresPlace) -> Result<Self> {
        let (options, name) = (place.options()?, place.name()?);
        if let Some(owner_url) = &place.owner_url {
            let mut owner = connect(&self::options(owner_url, "catalog_owner")?, &name).await?;
            schema::migrate_postgres(&mut owner, &name, options.get_username()).await?;
            owner.close().await?;
        }
        let mut first = connect(&options, &name).await?;
        schema::require_postgres(&mut first, &name).await?;
        // The session of a service that was killed a moment ago may not have ended yet.
        let watch = Stopwatch::start();
        while place.holds == Holds::Alone && !take_lock(&mut first).await? {
            if watch.elapsed() > LOCK_WAIT {
                return Err(CatalogError::Taken { place: name });
            }
            clock::pause(LOCK_TRY).await;
        }
        let pool = pool(place.connections).connect_with(options.clone()).await?;
        Ok(Self { pool, lock: Arc::new(Mutex::new(first)), options, holds: place.holds })
    }

    pub(super) async fn read(&self, reach: Reach<'_>) -> Result<Connection> {
        begin(&self.pool, reading(reach)).await
    }

    /// Waits for other writes of the tenant at its row, so that whatever is read afterwards stays so.
    pub(super) async fn write(&self, reach: Reach<'_>) -> Result<Connection> {
        let lock = match reach {
            Reach::Tenant(tenant) | Reach::Remains(tenant) => {
                let tenant = literal(tenant.as_str());
                format!("; SELECT FROM tenants WHERE tenant = {tenant} FOR NO KEY UPDATE")
            }
            Reach::Key(_) | Reach::Installation => String::new(),
        };
        begin(&self.pool, format!("BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE; {}{lock}", set(reach))).await
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
        // The session's end would free the lock too, but not before its task is gone.
        let unlock =
            async { sqlx::query("SELECT pg_advisory_unlock_all()").execute(&mut *self.lock.lock().await).await };
        let _ = timeout(ANSWER_WAIT, unlock).await;
    }

    /// Looks after the lock, and whether the database answers at all, as long as somebody has the store: a session that broke is made anew, and when somebody
    /// else has the catalog by then, nothing more is written here.
    pub(super) fn watch(&self, store: Weak<Inner>) {
        let (lock, options, holds) = (Arc::clone(&self.lock), self.options.clone(), self.holds);
        tokio::spawn(async move {
            loop {
                clock::pause(LOCK_CARE).await;
                let Some(store) = store.upgrade() else { return };
                let super::Engine::Postgres(pool) = &store.engine else { return };
                if pool.pool.is_closed() {
                    return;
                }
                let mut session = lock.lock().await;
                let answer = timeout(ANSWER_WAIT, session.ping()).await;
                store.reachable.store(matches!(answer, Ok(Ok(()))), Ordering::Release);
                // One that is only late may still have the lock.
                let Ok(Err(_)) = answer else { continue };
                let Ok(mut again) = options.connect().await else { continue };
                if holds == Holds::Beside {
                    *session = again;
                    continue;
                }
                match take_lock(&mut again).await {
                    Ok(true) => *session = again,
                    Ok(false) => return store.stop_writing(&sqlx::Error::Protocol("another catena took it".into())),
                    Err(error) => tracing::warn!(%error, "the catalog's lock cannot be taken again yet"),
                }
            }
        });
    }
}

/// The driver's way of beginning may leave a connection in a transaction when it is cut off, so it never is.
async fn begin(pool: &PgPool, statement: String) -> Result<Connection> {
    let pool = pool.clone();
    in_task(async move { Ok(Connection::Postgres(pool.begin_with(AssertSqlSafe(statement)).await?)) }).await
}

/// Lets an open transaction reach something else, and nothing of what it reached before.
pub(super) async fn turn(connection: &mut PgConnection, reach: Reach<'_>) -> Result<()> {
    let none = "SET LOCAL catena.tenant = ''; SET LOCAL catena.key = ''; SET LOCAL catena.reach = ''";
    sqlx::raw_sql(AssertSqlSafe(format!("{none}; {}", set(reach)))).execute(connection).await?;
    Ok(())
}

fn reading(reach: Reach<'_>) -> String {
    format!("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; {}", set(reach))
}

fn pool(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new().max_connections(connections).acquire_timeout(CONNECTION_WAIT).max_lifetime(None).after_release(
        |connection, _| {
            Box::pin(async move {
                // The query goes behind a rollback that a dropped transaction has queued. A connection that reaches
                // something even then is in a transaction that nobody ends.
                let reaches: bool = sqlx::query_scalar(REACHES).fetch_one(connection).await?;
                Ok(!reaches)
            })
        },
    )
}

async fn connect(options: &PgConnectOptions, name: &str) -> Result<PgConnection> {
    options
        .connect()
        .await
        .map_err(|error| CatalogError::Unreachable { place: name.to_owned(), source: Arc::new(error) })
}

async fn take_lock(connection: &mut PgConnection) -> Result<bool> {
    Ok(sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(SERVICE_LOCK).fetch_one(connection).await?)
}

/// What a transaction says about itself, for the database's rules. It ends with the transaction.
fn set(reach: Reach<'_>) -> String {
    match reach {
        Reach::Tenant(tenant) | Reach::Remains(tenant) => {
            format!("SET LOCAL catena.tenant = {}", literal(tenant.as_str()))
        }
        Reach::Key(key) => format!("SET LOCAL catena.key = {}", literal(key.as_str())),
        Reach::Installation => "SET LOCAL catena.reach = 'installation'".to_owned(),
    }
}

/// A text as PostgreSQL reads it. Names of tenants and keys hold nothing that would need it; this is the second lock.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name as PostgreSQL reads it.
pub(super) fn identifier(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn state(error: &sqlx::Error) -> Option<String> {
    let error = error.as_database_error()?.try_downcast_ref::<sqlx::postgres::PgDatabaseError>()?;
    Some(error.code().to_owned())
}

/// Whether PostgreSQL says that its files are not what it wrote.
pub(super) fn says_damaged(error: &sqlx::Error) -> bool {
    state(error).is_some_and(|state| matches!(state.as_str(), "XX001" | "XX002"))
}

/// Whether the server's disk had no room.
pub(super) fn is_full(error: &sqlx::Error) -> bool {
    state(error).as_deref() == Some("53100")
}

/// Whether the same again may well succeed: somebody else was in the way for too long.
pub(super) fn says_busy(error: &sqlx::Error) -> bool {
    // A serialization failure, a deadlock, a lock that was not had in time, a statement that took too long, a transaction
    // that stood still.
    state(error).is_some_and(|state| matches!(state.as_str(), "40001" | "40P01" | "55P03" | "57014" | "25P03"))
}
