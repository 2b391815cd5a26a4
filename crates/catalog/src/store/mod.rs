//! The database itself: which one it is, and the only two ways to a transaction.
//!
//! Promises: a write sees and changes one state of its tenant, one write of a tenant after the other; what was
//! acknowledged is on the disk; a transaction that was not committed leaves nothing behind, and a connection that could
//! not be brought out of its transaction is thrown away; a caller who goes away does not cut anything in half. In
//! PostgreSQL a transaction reaches no further than its [`Reach`], by the database's own rules. After a failed commit of
//! SQLite that may have left the disk in doubt, nothing more is acknowledged.

mod postgres;
mod rows;
mod schema;
mod sql;
mod sqlite;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use catena_access::{Pepper, Scope};
use catena_domain::{KeyId, TenantId};
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument as _;

use crate::error::{CatalogError, Result};
use crate::folder::{Folder, Keeps, Secret};

pub use postgres::PostgresPlace;
pub(crate) use postgres::{Moment, Reader};
pub(crate) use rows::{Insertion, insert_rows};
pub(crate) use schema::newest_step;
pub(crate) use sql::{Connection, Row, Value, sql, sql_made, sql_of};
pub(crate) use sqlite::{Medium, has_failed_to_open, read_only};

/// How long work waits for a connection before it is turned away.
const CONNECTION_WAIT: Duration = Duration::from_secs(10);

/// Which database holds the catalog.
#[derive(Debug, Clone, Default)]
pub enum Database {
    /// SQLite, in the data folder.
    #[default]
    Embedded,
    /// PostgreSQL.
    Postgres(PostgresPlace),
}

/// What a transaction reaches.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reach<'a> {
    /// One tenant's data. Whoever writes is turned away when the tenant is being removed, or was.
    Tenant(&'a TenantId),
    /// The same of a tenant that may be gone, for its removal and its record.
    Remains(&'a TenantId),
    /// One key, of whichever tenant, for the door.
    Key(&'a KeyId),
    /// The lists of tenants and of jobs, for the operator and for workers, and the service's own chain. No documents.
    Installation,
}

impl<'a> From<&'a TenantId> for Reach<'a> {
    fn from(tenant: &'a TenantId) -> Self {
        Self::Tenant(tenant)
    }
}

impl<'a> From<&'a Scope> for Reach<'a> {
    fn from(scope: &'a Scope) -> Self {
        Self::Tenant(scope.tenant())
    }
}

/// Whether somebody waits for an answer that hangs on a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hurry {
    Usual,
    High,
}

/// The open database. Cloning gives another handle to the same one.
#[derive(Clone)]
pub(crate) struct Store(Arc<Inner>);

struct Inner {
    // The engine stands first, so that it is dropped before the folder's lock.
    engine: Engine,
    writable: AtomicBool,
    reachable: AtomicBool,
    folder: Folder,
}

enum Engine {
    Sqlite(sqlite::Pools),
    Postgres(Box<postgres::Pool>),
}

/// How many tenants one transaction may write for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Batching {
    /// Any number: writes take turns in any case, so one that holds many is one sync to disk.
    AcrossTenants,
    /// One: a transaction reaches one tenant alone, and tenants do not wait for each other.
    PerTenant,
}

impl Store {
    pub(crate) async fn open(folder: &Path, database: &Database) -> Result<Self> {
        Self::open_with(folder, database, Secret::Own).await
    }

    /// Opens it in a folder that has, or from now on has, this secret.
    pub(crate) async fn open_with(folder: &Path, database: &Database, secret: Secret) -> Result<Self> {
        let (folder, engine) = match database {
            Database::Embedded => {
                let folder = Folder::open(folder, Keeps::Database, secret)?;
                let pools = sqlite::Pools::open(&folder).await?;
                (folder, Engine::Sqlite(pools))
            }
            Database::Postgres(place) => {
                let folder = Folder::open(folder, Keeps::SecretAlone, secret)?;
                (folder, Engine::Postgres(Box::new(postgres::Pool::open(place).await?)))
            }
        };
        let store =
            Self(Arc::new(Inner { engine, writable: AtomicBool::new(true), reachable: AtomicBool::new(true), folder }));
        store.require_own_secret().await?;
        if let Engine::Postgres(pool) = &store.0.engine {
            pool.watch(Arc::downgrade(&store.0));
        }
        Ok(store)
    }

    pub(crate) fn pepper(&self) -> &Pepper {
        self.0.folder.pepper()
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.0.writable.load(Ordering::Acquire)
    }

    pub(crate) fn is_reachable(&self) -> bool {
        self.0.reachable.load(Ordering::Acquire)
    }

    pub(crate) fn batching(&self) -> Batching {
        match self.0.engine {
            Engine::Sqlite(_) => Batching::AcrossTenants,
            Engine::Postgres(_) => Batching::PerTenant,
        }
    }

    pub(crate) async fn close(&self) -> Result<()> {
        match &self.0.engine {
            Engine::Sqlite(pools) => pools.close().await,
            Engine::Postgres(pool) => pool.close().await,
        }
        self.0.folder.release()
    }

    /// Begins a transaction that sees one state of everything it reaches, whatever is written meanwhile.
    pub(crate) async fn read<'a>(&self, reach: impl Into<Reach<'a>>) -> Result<Connection> {
        match &self.0.engine {
            Engine::Sqlite(pools) => pools.read().await,
            Engine::Postgres(pool) => pool.read(reach.into()).await,
        }
    }

    /// Begins a transaction that writes; the only one that may for its tenant, until it ends. Call it from [`in_task`]
    /// only.
    pub(crate) async fn write<'a>(&self, reach: impl Into<Reach<'a>>) -> Result<WriteTx> {
        self.begin(reach.into(), Hurry::Usual).await
    }

    /// The same for a short transaction that an answer waits for: it goes before all that have not begun.
    pub(crate) async fn write_first<'a>(&self, reach: impl Into<Reach<'a>>) -> Result<WriteTx> {
        self.begin(reach.into(), Hurry::High).await
    }

    async fn begin(&self, reach: Reach<'_>, hurry: Hurry) -> Result<WriteTx> {
        self.require_writable()?;
        let (mut connection, turn) = match &self.0.engine {
            Engine::Sqlite(pools) => pools.write(hurry).await?,
            // Only writes of one tenant wait for each other there.
            Engine::Postgres(pool) => (pool.write(reach).await?, None),
        };
        // Asked again: the transaction that we waited for may have been the one that failed.
        self.require_writable()?;
        if let Reach::Tenant(tenant) = reach {
            require_not_gone(&mut connection, tenant).await?;
        }
        Ok(WriteTx { connection, store: self.clone(), _turn: turn })
    }

    /// Empties the log beside SQLite's file, which holds pages as they were before something was deleted. PostgreSQL
    /// clears its own away.
    pub(crate) async fn empty_log(&self) -> Result<()> {
        match &self.0.engine {
            Engine::Sqlite(pools) => pools.empty_log().await,
            Engine::Postgres(_) => Ok(()),
        }
    }

    fn require_writable(&self) -> Result<()> {
        if self.is_writable() { Ok(()) } else { Err(CatalogError::NotWritable) }
    }

    /// Every stored key hangs on the installation's secret. A catalog that was made with another one is refused, before
    /// every key stops working and nobody knows why.
    async fn require_own_secret(&self) -> Result<()> {
        let check = secret_check(self.pepper());
        let store = self.clone();
        let stored = in_task(async move {
            let mut tx = store.write(Reach::Installation).await?;
            sql("UPDATE installation SET secret_check = coalesce(secret_check, $1) WHERE one = 1")
                .bind(check.to_vec())
                .execute(tx.connection())
                .await?;
            let row = sql("SELECT secret_check FROM installation WHERE one = 1").fetch_one(tx.connection()).await?;
            let stored = row.hash("secret_check")?;
            tx.commit().await?;
            Ok(stored)
        });
        if stored.await? == check { Ok(()) } else { Err(CatalogError::OtherSecret { path: self.0.folder.secret() }) }
    }
}

/// What a catalog keeps of the secret that it was made with.
pub(crate) fn secret_check(pepper: &Pepper) -> [u8; 32] {
    pepper.derive("catena 2026-11 catalog secret check", b"")
}

impl Inner {
    fn stop_writing(&self, error: &sqlx::Error) {
        self.writable.store(false, Ordering::Release);
        tracing::error!(%error, "the catalog takes no more writes until it is opened anew");
    }
}

/// Refuses to write for a tenant that is being removed, or was: whatever was on its way when the removal was
/// acknowledged ends here. A tenant that was never there is its caller's to notice.
pub(crate) async fn require_not_gone(connection: &mut Connection, tenant: &TenantId) -> Result<()> {
    let gone = sql("SELECT 1 AS one FROM tenants WHERE tenant = $1 AND state IN ('deleting', 'deleted')")
        .bind(tenant.as_str())
        .fetch_optional(connection)
        .await?;
    match gone {
        Some(_) => Err(CatalogError::TenantGone { tenant: tenant.clone() }),
        None => Ok(()),
    }
}

/// A transaction that writes. Dropped without [`WriteTx::commit`], it leaves nothing behind.
pub(crate) struct WriteTx {
    connection: Connection,
    store: Store,
    /// Given back after the connection.
    _turn: Option<OwnedSemaphorePermit>,
}

impl WriteTx {
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Lets the transaction reach something else from here on. For a restore, which writes what nobody is served yet and
    /// is one transaction however many tenants it holds; everything else begins a transaction of its own.
    pub(crate) async fn turn(&mut self, reach: Reach<'_>) -> Result<()> {
        match &mut self.connection {
            Connection::Sqlite(_) => Ok(()),
            Connection::Postgres(tx) => postgres::turn(tx, reach).await,
        }
    }

    /// The commit point. When this returns, everything in the transaction is on the disk.
    pub(crate) async fn commit(self) -> Result<()> {
        let Self { connection, store, _turn } = self;
        let Err(error) = connection.commit().await else { return Ok(()) };
        if matches!(store.0.engine, Engine::Sqlite(_)) && sqlite::leaves_doubt(&error) {
            store.0.stop_writing(&error);
        }
        Err(CatalogError::Storage { what: "commit", source: Arc::new(error) })
    }
}

/// Whether a disk without room is behind an error.
pub(crate) fn is_full(error: &sqlx::Error) -> bool {
    sqlite::is_full(error) || postgres::is_full(error)
}

/// Runs catalog work so that a caller who goes away does not cut it off.
pub(crate) async fn in_task<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    tokio::spawn(work.instrument(tracing::Span::current())).await.map_err(|_| CatalogError::Lost)?
}

impl From<sqlx::Error> for CatalogError {
    fn from(error: sqlx::Error) -> Self {
        let damaged = |what| Self::Corrupt { what, id: "the database".to_owned() };
        match &error {
            sqlx::Error::PoolTimedOut => Self::Busy { what: "the queue for the database" },
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => damaged("a row"),
            error if sqlite::says_damaged(error) || postgres::says_damaged(error) => damaged("a page"),
            error if postgres::says_busy(error) => Self::Busy { what: "what this write waits for" },
            _ => Self::Storage { what: "use its database", source: Arc::new(error) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn after_a_commit_in_doubt_nothing_is_written_until_the_database_is_opened_anew() {
        let folder = tempfile::TempDir::new().unwrap();
        let open = async || Store::open(folder.path(), &Database::Embedded).await;
        let store = open().await.unwrap();
        let waiting = {
            let tx = store.write(Reach::Installation).await.unwrap();
            let other = store.clone();
            let waiting = tokio::spawn(async move { other.write(Reach::Installation).await.map(|_| ()) });
            tokio::task::yield_now().await;
            tx.store.0.stop_writing(&sqlx::Error::WorkerCrashed);
            waiting
        };
        let late = waiting.await.unwrap();
        assert!(matches!(late, Err(CatalogError::NotWritable)), "one that waited during the failure got through");
        assert!(matches!(store.write(Reach::Installation).await.map(|_| ()), Err(CatalogError::NotWritable)));
        assert!(!store.is_writable());
        store.read(Reach::Installation).await.unwrap();
        store.close().await.unwrap();
        assert!(open().await.unwrap().is_writable());
    }

    #[tokio::test]
    async fn what_an_answer_waits_for_goes_before_writes_that_have_not_begun() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = Store::open(folder.path(), &Database::Embedded).await.unwrap();
        let begun = store.write(Reach::Installation).await.unwrap();
        let (ended, mut order) = tokio::sync::mpsc::channel(8);
        for name in ["first", "second", "third"] {
            let (store, ended) = (store.clone(), ended.clone());
            tokio::spawn(async move {
                let tx = store.write(Reach::Installation).await.unwrap();
                ended.send(name).await.unwrap();
                tx.commit().await.unwrap();
            });
        }
        tokio::task::yield_now().await;
        let (other, told) = (store.clone(), ended.clone());
        tokio::spawn(async move {
            let tx = other.write_first(Reach::Installation).await.unwrap();
            told.send("answer").await.unwrap();
            tx.commit().await.unwrap();
        });
        tokio::task::yield_now().await;
        begun.commit().await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(order.recv().await.unwrap());
        }
        assert_eq!(seen, ["answer", "first", "second", "third"]);
    }

    #[tokio::test]
    async fn a_folder_with_another_secret_is_refused_before_any_key_stops_working() {
        let folder = tempfile::TempDir::new().unwrap();
        Store::open(folder.path(), &Database::Embedded).await.unwrap().close().await.unwrap();
        let secret = folder.path().join("secret.key");
        std::fs::write(&secret, [7; 32]).unwrap();
        let error = Store::open(folder.path(), &Database::Embedded).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, CatalogError::OtherSecret { .. }), "{error}");
        assert!(error.to_string().contains(&secret.display().to_string()), "{error}");
    }
}
