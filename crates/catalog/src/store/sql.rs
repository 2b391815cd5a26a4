//! Statements, values and rows that mean the same in both databases.
//!
//! Promises: one text of a statement for both, in the dialect that they share (`$1`, `ON CONFLICT`, `RETURNING`, whole
//! numbers of 64 bits, texts, bytes); where they have no common words, both texts stand side by side. A statement runs
//! inside a transaction or not at all. Does not: build texts out of values.

use std::borrow::Cow;
use std::fmt;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Postgres, Row as _, Sqlite, Transaction};

use super::postgres::UNHURRIED;
use crate::error::Result;

/// A value to be bound. A null has its kind, because one of the databases asks for it.
#[derive(Clone, PartialEq)]
pub(crate) enum Value {
    Long(Option<i64>),
    Text(Option<String>),
    Blob(Option<Vec<u8>>),
}

macro_rules! value_from {
    ($($from:ty => $kind:ident, $value:ident => $into:expr;)*) => {$(
        impl From<$from> for Value {
            fn from($value: $from) -> Self {
                Self::$kind(Some($into))
            }
        }

        impl From<Option<$from>> for Value {
            fn from(value: Option<$from>) -> Self {
                Self::$kind(value.map(|$value| $into))
            }
        }
    )*};
}

value_from! {
    i64 => Long, value => value;
    u32 => Long, value => i64::from(value);
    &str => Text, value => value.to_owned();
    String => Text, value => value;
    &[u8] => Blob, value => value.to_vec();
    Vec<u8> => Blob, value => value;
}

/// A statement with its values.
pub(crate) struct Statement {
    sqlite: Cow<'static, str>,
    postgres: Cow<'static, str>,
    values: Vec<Value>,
}

/// A statement that reads the same in both databases.
pub(crate) fn sql(text: &'static str) -> Statement {
    sql_of(text, text)
}

/// A statement for which the databases have different words: the first text is SQLite's, the second PostgreSQL's.
pub(crate) fn sql_of(sqlite: &'static str, postgres: &'static str) -> Statement {
    Statement { sqlite: Cow::Borrowed(sqlite), postgres: Cow::Borrowed(postgres), values: Vec::new() }
}

/// A statement put together of names that stand in this crate's code, and of nothing that came from outside.
pub(crate) fn sql_made(text: String) -> Statement {
    Statement { sqlite: Cow::Owned(text.clone()), postgres: Cow::Owned(text), values: Vec::new() }
}

impl Statement {
    /// Binds the next value.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs the statement: how many rows it changed.
    pub(crate) async fn execute(self, connection: &mut Connection) -> Result<u64> {
        Ok(match connection {
            Connection::Sqlite(tx) => self.for_sqlite().execute(&mut **tx).await?.rows_affected(),
            Connection::Postgres(tx) => self.for_postgres().execute(&mut **tx).await?.rows_affected(),
        })
    }

    /// Every row.
    pub(crate) async fn fetch_all(self, connection: &mut Connection) -> Result<Vec<Row>> {
        Ok(match connection {
            Connection::Sqlite(tx) => {
                self.for_sqlite().fetch_all(&mut **tx).await?.into_iter().map(Row::Sqlite).collect()
            }
            Connection::Postgres(tx) => {
                self.for_postgres().fetch_all(&mut **tx).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The row, if there is one.
    pub(crate) async fn fetch_optional(self, connection: &mut Connection) -> Result<Option<Row>> {
        Ok(match connection {
            Connection::Sqlite(tx) => self.for_sqlite().fetch_optional(&mut **tx).await?.map(Row::Sqlite),
            Connection::Postgres(tx) => self.for_postgres().fetch_optional(&mut **tx).await?.map(Row::Postgres),
        })
    }

    /// The row that is always there.
    pub(crate) async fn fetch_one(self, connection: &mut Connection) -> Result<Row> {
        Ok(self.fetch_optional(connection).await?.ok_or(sqlx::Error::RowNotFound)?)
    }

    fn for_sqlite(self) -> Query<'static, Sqlite, SqliteArguments> {
        let query = match self.sqlite {
            Cow::Borrowed(text) => sqlx::query(text),
            Cow::Owned(text) => sqlx::query(AssertSqlSafe(text)),
        };
        self.values.into_iter().fold(query, |query, value| match value {
            Value::Long(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Blob(value) => query.bind(value),
        })
    }

    fn for_postgres(self) -> Query<'static, Postgres, PgArguments> {
        let query = match self.postgres {
            Cow::Borrowed(text) => sqlx::query(text),
            Cow::Owned(text) => sqlx::query(AssertSqlSafe(text)),
        };
        self.values.into_iter().fold(query, |query, value| match value {
            Value::Long(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Blob(value) => query.bind(value),
        })
    }
}

/// An open transaction. Dropped without a commit, it leaves nothing behind.
pub(crate) enum Connection {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Connection {
    /// Lets the transaction wait for something else than the database, for as long as it takes.
    pub(crate) async fn take_time(&mut self) -> Result<()> {
        if let Self::Postgres(tx) = self {
            sqlx::query(UNHURRIED).execute(&mut **tx).await?;
        }
        Ok(())
    }

    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => tx.commit().await,
        }
    }
}

/// A row of either database. What its columns mean stands in `tables/codec.rs`.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

macro_rules! column {
    ($($name:ident: $of:ty;)*) => {$(
        pub(crate) fn $name(&self, column: &'static str) -> Result<$of> {
            Ok(match self {
                Self::Sqlite(row) => row.try_get(column)?,
                Self::Postgres(row) => row.try_get(column)?,
            })
        }
    )*};
}

impl Row {
    column! {
        text: String;
        text_or_null: Option<String>;
        blob: Vec<u8>;
        blob_or_null: Option<Vec<u8>>;
        long: i64;
        long_or_null: Option<i64>;
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Row(..)")
    }
}

#[cfg(test)]
impl Connection {
    /// SQLite's own connection, for tests that reach behind.
    pub(crate) fn sqlite(&mut self) -> &mut sqlx::SqliteConnection {
        match self {
            Self::Sqlite(tx) => tx,
            Self::Postgres(_) => panic!("this is PostgreSQL"),
        }
    }

    /// PostgreSQL's own connection, for tests that reach behind.
    pub(crate) fn postgres(&mut self) -> &mut sqlx::PgConnection {
        match self {
            Self::Postgres(tx) => tx,
            Self::Sqlite(_) => panic!("this is SQLite"),
        }
    }
}
