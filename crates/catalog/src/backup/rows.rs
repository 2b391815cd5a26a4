//! Rows as bytes, the same whatever database they come from and go to.
//!
//! Promises: a row is read back only if each value is of its column's kind; numbers of rows and lengths are bounded.

use std::collections::BTreeSet;

use catena_domain::TenantId;
use serde::{Deserialize, Serialize};

use super::frames::{Fault, PLAIN_BYTES_MAX, damaged};
use super::tables::{Column, Kind, Null, TABLES, Table};
use crate::error::Result;
use crate::store::{Row, Value};

/// The longest row.
const ROW_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most rows of one frame.
pub(super) const ROWS_PER_FRAME: usize = 1_000;
/// A frame with so many bytes is long enough.
pub(super) const FRAME_BYTES: usize = 256 * 1024;

/// A table and those of its columns that a backup holds.
#[derive(Clone)]
pub(super) struct Shape {
    pub(super) table: &'static Table,
    pub(super) columns: Vec<&'static Column>,
    /// The table's place among all.
    pub(super) place: usize,
}

/// A table as a backup names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    name: String,
    columns: Vec<String>,
}

impl Shape {
    /// All tables as they are now.
    pub(super) fn all() -> Vec<Self> {
        let shape =
            |(place, table): (usize, &'static Table)| Self { table, columns: table.columns.iter().collect(), place };
        TABLES.iter().enumerate().map(shape).collect()
    }

    pub(super) fn named(&self) -> Named {
        let columns = self.columns.iter().map(|column| column.name.to_owned()).collect();
        Named { name: self.table.name.to_owned(), columns }
    }

    /// What a backup means by its names.
    pub(super) fn of(named: &Named) -> Result<Self, Fault> {
        let Some(place) = TABLES.iter().position(|table| table.name == named.name) else {
            return damaged("it holds a table that this program does not know");
        };
        let table = &TABLES[place];
        let find = |name: &String| table.columns.iter().find(|column| column.name == name);
        let columns: Option<Vec<&'static Column>> = named.columns.iter().map(find).collect();
        let Some(columns) = columns else {
            return damaged(format!("its table {} has a column that this program does not know", table.name));
        };
        let distinct: BTreeSet<&str> = columns.iter().map(|column| column.name).collect();
        let has_key = table.key.iter().all(|name| distinct.contains(name));
        if columns.is_empty() || distinct.len() != columns.len() || !has_key {
            return damaged(format!("its table {} has not the columns that it must have", table.name));
        }
        Ok(Self { table, columns, place })
    }

    /// Whether it holds every column that there is.
    pub(super) fn is_complete(&self) -> bool {
        self.columns.len() == self.table.columns.len()
    }

    /// The values of a database's row.
    pub(super) fn values(&self, row: &Row) -> Result<Vec<Value>> {
        let value = |column: &&'static Column| {
            Ok(match column.kind {
                Kind::Long => Value::Long(row.long_or_null(column.name)?),
                Kind::Text => Value::Text(row.text_or_null(column.name)?),
                Kind::Blob => Value::Blob(row.blob_or_null(column.name)?),
            })
        };
        self.columns.iter().map(value).collect()
    }

    /// The value in a column of a row.
    pub(super) fn value<'a>(&self, values: &'a [Value], column: &str) -> Option<&'a Value> {
        values.get(self.columns.iter().position(|known| known.name == column)?)
    }

    /// The number in a column of a row.
    pub(super) fn long(&self, values: &[Value], column: &str) -> Option<i64> {
        match self.value(values, column)? {
            Value::Long(number) => *number,
            Value::Text(_) | Value::Blob(_) => None,
        }
    }

    /// The bytes in a column of a row.
    pub(super) fn blob<'a>(&self, values: &'a [Value], column: &str) -> Option<&'a [u8]> {
        match self.value(values, column)? {
            Value::Blob(bytes) => bytes.as_deref(),
            Value::Long(_) | Value::Text(_) => None,
        }
    }
}

/// Rows of one table on their way into a frame.
pub(super) struct Packer {
    shape: u16,
    rows: u32,
    bytes: Vec<u8>,
}

impl Packer {
    /// For rows of the `shape`th shape.
    pub(super) fn new(shape: usize) -> Self {
        Self { shape: u16::try_from(shape).unwrap_or(u16::MAX), rows: 0, bytes: Vec::new() }
    }

    /// Adds a row; false when it is longer than a backup can hold.
    #[must_use]
    pub(super) fn add(&mut self, values: &[Value]) -> bool {
        let before = self.bytes.len();
        for value in values {
            let (tag, bytes): (u8, &[u8]) = match value {
                Value::Long(Some(number)) => {
                    self.bytes.push(1);
                    self.bytes.extend(number.to_le_bytes());
                    continue;
                }
                Value::Text(Some(text)) => (2, text.as_bytes()),
                Value::Blob(Some(blob)) => (3, blob),
                Value::Long(None) | Value::Text(None) | Value::Blob(None) => {
                    self.bytes.push(0);
                    continue;
                }
            };
            self.bytes.push(tag);
            self.bytes.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
            self.bytes.extend(bytes);
        }
        self.rows += 1;
        self.bytes.len() - before <= ROW_BYTES_MAX
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows as usize >= ROWS_PER_FRAME || self.bytes.len() >= FRAME_BYTES
    }

    /// The frame's bytes, if there are any rows; the next frame begins.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        if self.rows == 0 {
            return None;
        }
        let mut plain = Vec::with_capacity(self.bytes.len() + 6);
        plain.extend(self.shape.to_le_bytes());
        plain.extend(self.rows.to_le_bytes());
        plain.append(&mut self.bytes);
        self.rows = 0;
        debug_assert!(plain.len() <= PLAIN_BYTES_MAX);
        Some(plain)
    }
}

/// The rows in a frame's bytes, and which of the shapes they have.
pub(super) fn unpack<'a>(plain: &[u8], shapes: &'a [Shape]) -> Result<(&'a Shape, Vec<Vec<Value>>), Fault> {
    let mut rest = Rest(plain);
    let shape = shapes.get(usize::from(u16::from_le_bytes(rest.array()?)));
    let Some(shape) = shape else { return damaged("it holds rows of no table") };
    let count = u32::from_le_bytes(rest.array()?) as usize;
    if count == 0 || count > ROWS_PER_FRAME {
        return damaged(format!("it holds {count} rows in one place, where at most {ROWS_PER_FRAME} can be"));
    }
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        let values: Result<Vec<Value>, Fault> = shape.columns.iter().map(|column| rest.value(shape, column)).collect();
        rows.push(values?);
    }
    if rest.0.is_empty() { Ok((shape, rows)) } else { damaged("there is something between its rows") }
}

/// Bytes that are not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let Some((first, rest)) = self.0.split_first_chunk() else { return damaged("a row ends too early") };
        self.0 = rest;
        Ok(*first)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        let Some((first, rest)) = self.0.split_at_checked(length) else { return damaged("a row ends too early") };
        self.0 = rest;
        Ok(first)
    }

    fn value(&mut self, shape: &Shape, column: &Column) -> Result<Value, Fault> {
        let [tag] = self.array()?;
        let null = column.null == Null::Allowed;
        Ok(match (tag, column.kind) {
            (0, Kind::Long) if null => Value::Long(None),
            (0, Kind::Text) if null => Value::Text(None),
            (0, Kind::Blob) if null => Value::Blob(None),
            (1, Kind::Long) => Value::Long(Some(i64::from_le_bytes(self.array()?))),
            (2, Kind::Text) => match std::str::from_utf8(self.bytes()?) {
                Ok(text) => Value::Text(Some(text.to_owned())),
                Err(_) => return damaged(format!("a text in {}.{} is none", shape.table.name, column.name)),
            },
            (3, Kind::Blob) => Value::Blob(Some(self.bytes()?.to_vec())),
            _ => return damaged(format!("a value in {}.{} is of another kind", shape.table.name, column.name)),
        })
    }
}

/// The beginning of a section.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SectionOf {
    /// The tenant's id; none for what belongs to the installation.
    pub(super) tenant: Option<String>,
}

impl SectionOf {
    pub(super) fn tenant(&self) -> Result<Option<TenantId>, Fault> {
        let parsed = self.tenant.as_deref().map(TenantId::new).transpose();
        parsed.or_else(|_| damaged("it names a tenant by what cannot be a tenant's name"))
    }
}
