//! SQLite, in the data folder: writes go through one connection, one after the other, each begun as a write so that it
//! never has to wait in its middle, and what a question waits for goes first; readers see one state each and wait for
//! nobody.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use catena_runtime::clock;
use sqlx::sqlite::{SqliteConnectOptions, SqliteError, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqlitePool};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{CONNECTION_WAIT, Connection, Hurry, schema};
use crate::error::{CatalogError, Result};
use crate::folder::Folder;

const READERS: u32 = 4;
/// How long a connection waits for a lock that another process holds.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// How often a log that readers still need is looked at again before it is given up, and after how long.
const LOG_TRIES: u32 = 20;
const LOG_PAUSE: Duration = Duration::from_millis(100);
/// Up to this size the database is written anew after an erasure, while other writes wait.
const REWRITTEN_BYTES_MAX: i64 = 256 * 1024 * 1024;
/// What is left of the write-ahead log's file after it was emptied.
const JOURNAL_BYTES_KEPT: &str = "67108864";

pub(super) struct Pools {
    writer: SqlitePool,
    /// Whoever may wait a while queues here first, so that of those only one stands before somebody in a hurry.
    patient: Arc<Semaphore>,
    readers: SqlitePool,
}

impl Pools {
    pub(super) async fn open(folder: &Folder) -> Result<Self> {
        let path = folder.database();
        let options = options(&path).create_if_missing(true);
        let writer = pool(1).connect_with(options.clone()).await?;
        let mut connection = writer.acquire().await?;
        schema::require_sqlite(&mut connection).await?;
        schema::migrate_sqlite(&mut connection, &path).await?;
        drop(connection);
        folder.sync()?;
        let readers = pool(READERS).connect_with(options.create_if_missing(false).read_only(true)).await?;
        Ok(Self { writer, patient: Arc::new(Semaphore::new(1)), readers })
    }

    pub(super) async fn read(&self) -> Result<Connection> {
        Ok(Connection::Sqlite(self.readers.begin().await?))
    }

    /// Begins a write, and says for how long others who are as patient have to wait for it.
    pub(super) async fn write(&self, hurry: Hurry) -> Result<(Connection, Option<OwnedSemaphorePermit>)> {
        let turn = match hurry {
            Hurry::High => None,
            Hurry::Usual => Some(self.turn().await?),
        };
        Ok((Connection::Sqlite(self.writer.begin_with("BEGIN IMMEDIATE").await?), turn))
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit> {
        let turn = tokio::time::timeout(CONNECTION_WAIT, Arc::clone(&self.patient).acquire_owned());
        turn.await.ok().and_then(|turn| turn.ok()).ok_or(CatalogError::Busy { what: "the queue for the database" })
    }

    /// Moves every page of the log into the database, and cuts the log to nothing.
    pub(super) async fn empty_log(&self) -> Result<()> {
        self.rewrite().await?;
        for _ in 0..LOG_TRIES {
            let mut connection = self.writer.acquire().await?;
            let done = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection).await?;
            if done.try_get::<i64, _>(0)? == 0 {
                return Ok(());
            }
            drop(connection);
            clock::pause(LOG_PAUSE).await;
        }
        Err(CatalogError::Busy { what: "the database's log, which readers still use," })
    }

    /// Writes the database's file anew, if it is not too large for that. Deleting overwrites a row where it lies, but not
    /// what a page that was split or filled up again may still hold of it in its gaps.
    async fn rewrite(&self) -> Result<()> {
        let mut connection = self.writer.acquire().await?;
        let pages: i64 = sqlx::query("PRAGMA page_count").fetch_one(&mut *connection).await?.try_get(0)?;
        let page_bytes: i64 = sqlx::query("PRAGMA page_size").fetch_one(&mut *connection).await?.try_get(0)?;
        if pages.saturating_mul(page_bytes) > REWRITTEN_BYTES_MAX {
            tracing::warn!(pages, "the database is too large to be written anew after an erasure; run VACUUM on it");
            return Ok(());
        }
        // The copy is made in memory: a file for it would hold what is to be gone.
        sqlx::query("PRAGMA temp_store = MEMORY").execute(&mut *connection).await?;
        match sqlx::query("VACUUM").execute(&mut *connection).await {
            Ok(_) => Ok(()),
            // A full disk is no reason to keep what can be deleted.
            Err(error) => {
                tracing::warn!(%error, "the database could not be written anew after an erasure; the next one tries again");
                Ok(())
            }
        }
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(LOCK_WAIT)
        .pragma("trusted_schema", "OFF")
        // What is deleted is overwritten, so that nobody finds it in the file.
        .pragma("secure_delete", "ON")
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

/// A transaction on a database that somebody else may be serving. With `Medium::Fixed`, of a medium that cannot be
/// written, which is right only when no service left a log of unfinished business beside it.
pub(crate) async fn read_only(path: &Path, medium: Medium) -> Result<Connection, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(medium == Medium::Fixed)
        .pragma("trusted_schema", "OFF")
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    let mut tx = pool.begin().await?;
    // Nothing is opened before something is read.
    sqlx::query("SELECT one FROM installation").fetch_one(&mut *tx).await?;
    Ok(Connection::Sqlite(tx))
}

/// Whether what a database lies on may change under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Medium {
    Changing,
    Fixed,
}

/// Whether a failed commit leaves it open what is on the disk. A full disk does not: SQLite writes the commit mark
/// last and syncs after it, so without room for the mark there is none. A failed sync does, and a later one that
/// succeeds would prove nothing.
pub(super) fn leaves_doubt(error: &sqlx::Error) -> bool {
    code_leaves_doubt(primary_code(error))
}

fn code_leaves_doubt(primary: Option<i32>) -> bool {
    const BUSY: i32 = 5;
    const CONSTRAINT: i32 = 19;
    !matches!(primary, Some(BUSY | FULL | CONSTRAINT))
}

/// SQLite's result code for a disk without room.
const FULL: i32 = 13;

/// Whether the disk had no room.
pub(super) fn is_full(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(FULL)
}

/// Whether SQLite says that its file is not what it wrote.
pub(super) fn says_damaged(error: &sqlx::Error) -> bool {
    const CORRUPT: i32 = 11;
    const NOT_A_DATABASE: i32 = 26;
    matches!(primary_code(error), Some(CORRUPT | NOT_A_DATABASE))
}

/// Whether SQLite could not open its file as it is.
pub(crate) fn has_failed_to_open(error: &sqlx::Error) -> bool {
    const CANNOT_OPEN: i32 = 14;
    primary_code(error) == Some(CANNOT_OPEN)
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let error = error.as_database_error()?.try_downcast_ref::<SqliteError>()?;
    primary(&sqlx::error::DatabaseError::code(error)?)
}

/// The primary result code in an extended one.
fn primary(extended: &str) -> Option<i32> {
    Some(extended.parse::<i32>().ok()? & 0xFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_in_doubt_when_the_disk_failed_and_not_when_it_was_full() {
        // Write, fsync, directory fsync, plain input/output, out of memory, a damaged page.
        for code in ["778", "1034", "1290", "10", "7", "11"] {
            assert!(code_leaves_doubt(primary(code)), "{code}");
        }
        // A worker that died.
        assert!(leaves_doubt(&sqlx::Error::WorkerCrashed));
        // Full, busy, busy with a snapshot, refused by a constraint, refused by a hook.
        for code in ["13", "5", "517", "19", "531"] {
            assert!(!code_leaves_doubt(primary(code)), "{code}");
        }
    }
}
