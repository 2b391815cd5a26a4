//! The database itself: how it is opened, and the only two ways to a transaction.
//!
//! Promises: writes go through one connection, one after the other, each begun as a write so that it never has to wait
//! in its middle; what was acknowledged is on the disk; a transaction that was not committed is rolled back, and a
//! connection that could not be brought out of its transaction is thrown away; after a failed commit that may have
//! left the disk in doubt, nothing more is acknowledged.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use catena_access::Pepper;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Sqlite, SqliteConnection, SqlitePool, Transaction};
use tracing::Instrument as _;

use crate::error::{CatalogError, Result};
use crate::folder::Folder;
use crate::sqlite::schema;

const READERS: u32 = 4;
/// How long work waits for a connection before it is turned away.
const CONNECTION_WAIT: Duration = Duration::from_secs(10);
/// How long a connection waits for a lock that another process holds.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// What is left of the write-ahead log's file after it was emptied.
const JOURNAL_BYTES_KEPT: &str = "67108864";

/// The open database. Cloning gives another handle to the same one.
#[derive(Clone)]
pub(crate) struct Store(Arc<Inner>);

struct Inner {
    // The pools stand first, so that they are dropped before the folder's lock.
    writer: SqlitePool,
    readers: SqlitePool,
    writable: AtomicBool,
    folder: Folder,
}

impl Store {
    pub(crate) async fn open(folder: &Path) -> Result<Self> {
        let folder = Folder::open(folder)?;
        let path = folder.database();
        let options = options(&path).create_if_missing(true);
        let writer = pool(1).connect_with(options.clone()).await?;
        let mut connection = writer.acquire().await?;
        schema::require_version(&mut connection).await?;
        schema::migrate(&mut connection, &path).await?;
        drop(connection);
        folder.sync()?;
        let readers = pool(READERS).connect_with(options.create_if_missing(false).read_only(true)).await?;
        Ok(Self(Arc::new(Inner { writer, readers, writable: AtomicBool::new(true), folder })))
    }

    pub(crate) fn pepper(&self) -> &Pepper {
        self.0.folder.pepper()
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.0.writable.load(Ordering::Acquire)
    }

    pub(crate) async fn close(&self) -> Result<()> {
        self.0.readers.close().await;
        self.0.writer.close().await;
        self.0.folder.release()
    }

    /// Begins a transaction that sees one state of everything, whatever is written meanwhile.
    pub(crate) async fn read(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.0.readers.begin().await?)
    }

    /// Begins the one transaction that may write now. Call it from [`in_task`] only.
    pub(crate) async fn write(&self) -> Result<WriteTx> {
        self.require_writable()?;
        let tx = self.0.writer.begin_with("BEGIN IMMEDIATE").await?;
        // Asked again: the transaction that we waited for may have been the one that failed.
        self.require_writable()?;
        Ok(WriteTx { tx, store: self.clone() })
    }

    fn stop_writing(&self, error: &sqlx::Error) {
        self.0.writable.store(false, Ordering::Release);
        tracing::error!(%error, "a commit failed; the catalog takes no more writes until it is opened anew");
    }

    fn require_writable(&self) -> Result<()> {
        if self.is_writable() { Ok(()) } else { Err(CatalogError::NotWritable) }
    }
}

/// A transaction that writes. Dropped without [`WriteTx::commit`], it leaves nothing behind.
pub(crate) struct WriteTx {
    tx: Transaction<'static, Sqlite>,
    store: Store,
}

impl WriteTx {
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.tx
    }

    /// The commit point. When this returns, everything in the transaction is on the disk.
    pub(crate) async fn commit(self) -> Result<()> {
        let Self { tx, store } = self;
        let Err(error) = tx.commit().await else { return Ok(()) };
        if leaves_doubt(&error) {
            store.stop_writing(&error);
        }
        Err(CatalogError::Storage { what: "commit", source: Arc::new(error) })
    }
}

/// Runs catalog work so that a caller who goes away does not cut it off.
pub(crate) async fn in_task<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    tokio::spawn(work.instrument(tracing::Span::current())).await.map_err(|_| CatalogError::Lost)?
}

pub(crate) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(LOCK_WAIT)
        .pragma("trusted_schema", "OFF")
        .pragma("journal_size_limit", JOURNAL_BYTES_KEPT)
        .thread_name(|number| format!("catalog-{number}"))
        .disable_statement_logging()
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .min_connections(connections)
        .max_connections(connections)
        .acquire_timeout(CONNECTION_WAIT)
        .max_lifetime(None)
        .idle_timeout(None)
        .after_release(|connection, _| {
            Box::pin(async move {
                // The ping goes behind a rollback that a dropped transaction has queued. A transaction that is open
                // even then was ended by SQLite itself, unknown to the driver: this connection is of no more use.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        })
}

/// Whether a failed commit leaves it open what is on the disk. A full disk does not: SQLite writes the commit mark
/// last and syncs after it, so without room for the mark there is none. A failed sync does, and a later one that
/// succeeds would prove nothing.
fn leaves_doubt(error: &sqlx::Error) -> bool {
    const BUSY: i32 = 5;
    const CONSTRAINT: i32 = 19;
    !matches!(primary_code(error), Some(BUSY | FULL | CONSTRAINT))
}

/// SQLite's result code for a disk without room.
const FULL: i32 = 13;

/// Whether the disk had no room.
pub(crate) fn is_full(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(FULL)
}

/// SQLite's primary result code behind an error.
pub(crate) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xFF)
}

impl From<sqlx::Error> for CatalogError {
    fn from(error: sqlx::Error) -> Self {
        const CORRUPT: i32 = 11;
        const NOT_A_DATABASE: i32 = 26;
        let damaged = |what| Self::Corrupt { what, id: "the database".to_owned() };
        match &error {
            sqlx::Error::PoolTimedOut => Self::Busy { what: "the queue for the database" },
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => damaged("a row"),
            error if matches!(primary_code(error), Some(CORRUPT | NOT_A_DATABASE)) => damaged("a page"),
            _ => Self::Storage { what: "use its database", source: Arc::new(error) },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::fmt;

    use sqlx::error::{DatabaseError, ErrorKind};

    use super::*;

    /// An error as SQLite gives it, of this extended code.
    #[derive(Debug)]
    struct Code(i32);

    impl fmt::Display for Code {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "code {}", self.0)
        }
    }

    impl std::error::Error for Code {}

    impl DatabaseError for Code {
        fn message(&self) -> &str {
            "made up"
        }

        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.0.to_string().into())
        }

        fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
            self
        }

        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    #[test]
    fn a_commit_is_in_doubt_when_the_disk_failed_and_not_when_it_was_full() {
        // Write, fsync, directory fsync, plain input/output, out of memory, a damaged page, a worker that died.
        for code in [778, 1_034, 1_290, 10, 7, 11] {
            assert!(leaves_doubt(&sqlx::Error::Database(Box::new(Code(code)))), "{code}");
        }
        assert!(leaves_doubt(&sqlx::Error::WorkerCrashed));
        // Full, busy, busy with a snapshot, refused by a constraint, refused by a hook.
        for code in [13, 5, 517, 19, 531] {
            assert!(!leaves_doubt(&sqlx::Error::Database(Box::new(Code(code)))), "{code}");
        }
    }

    #[tokio::test]
    async fn after_a_commit_in_doubt_nothing_is_written_until_the_database_is_opened_anew() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let waiting = {
            let tx = store.write().await.unwrap();
            let other = store.clone();
            let waiting = tokio::spawn(async move { other.write().await.map(|_| ()) });
            tokio::task::yield_now().await;
            tx.store.stop_writing(&sqlx::Error::Database(Box::new(Code(1_034))));
            waiting
        };
        let late = waiting.await.unwrap();
        assert!(matches!(late, Err(CatalogError::NotWritable)), "one that waited during the failure got through");
        assert!(matches!(store.write().await.map(|_| ()), Err(CatalogError::NotWritable)));
        assert!(!store.is_writable());
        store.read().await.unwrap();
        store.close().await.unwrap();
        assert!(Store::open(folder.path()).await.unwrap().is_writable());
    }
}
