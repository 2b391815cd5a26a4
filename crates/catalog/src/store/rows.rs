//! Inserting many rows with few statements: each costs a way to the database and back.

use crate::error::Result;
use crate::store::{Connection, Value, sql_made};

/// Rows of one statement, at most. What is left is parted into powers of two, so that few texts are prepared.
const ROWS_PER_STATEMENT: usize = 64;

/// Where rows go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Insertion {
    /// `INSERT INTO table (columns)`.
    pub(crate) head: &'static str,
    /// What is to be done about rows that are there already.
    pub(crate) tail: &'static str,
}

impl From<&'static str> for Insertion {
    fn from(head: &'static str) -> Self {
        Self { head, tail: "" }
    }
}

/// Inserts a row for each of `rows`, in their order: the values that all have in common, then its own.
pub(crate) async fn insert_rows<T, const N: usize>(
    connection: &mut Connection,
    into: impl Into<Insertion>,
    common: &[Value],
    rows: &[T],
    own: impl Fn(&T) -> [Value; N],
) -> Result<()> {
    let (into, mut left) = (into.into(), rows);
    while !left.is_empty() {
        let count = if left.len() >= ROWS_PER_STATEMENT { ROWS_PER_STATEMENT } else { 1 << left.len().ilog2() };
        let (some, rest) = left.split_at(count);
        let statement = sql_made(text(into, common.len(), N, count));
        let statement = common.iter().cloned().fold(statement, |statement, value| statement.bind(value));
        let statement = some.iter().flat_map(&own).fold(statement, |statement, value| statement.bind(value));
        statement.execute(connection).await?;
        left = rest;
    }
    Ok(())
}

fn text(Insertion { head, tail }: Insertion, common: usize, own: usize, rows: usize) -> String {
    let row = |row: usize| {
        let own = (0..own).map(|at| 1 + common + row * own + at);
        let places: Vec<String> = (1..=common).chain(own).map(|place| format!("${place}")).collect();
        format!("({})", places.join(", "))
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!("{head} VALUES {} {tail}", rows.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_a_place_for_each_value() {
        assert_eq!(
            text("INSERT INTO t (a, b, c)".into(), 1, 2, 2),
            "INSERT INTO t (a, b, c) VALUES ($1, $2, $3), ($1, $4, $5) "
        );
        let into = Insertion { head: "INSERT INTO t (a)", tail: "ON CONFLICT DO NOTHING" };
        assert_eq!(text(into, 0, 1, 1), "INSERT INTO t (a) VALUES ($1) ON CONFLICT DO NOTHING");
    }
}
