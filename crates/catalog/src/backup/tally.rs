//! What a section holds, counted and checked in the same way when it is written and when it is read.
//!
//! Promises: the record is checked leaf by leaf against the head that stands apart from it, whatever the stored hashes
//! say. Does not: hold more than one row.

use std::collections::BTreeMap;

use catena_audit::{Chain, Finding, LeafHash, LeafRef, Verifier};
use catena_domain::TenantId;
use serde::{Deserialize, Serialize};

use super::frames::{Fault, damaged};
use super::rows::Shape;
use super::tables::Of;
use crate::store::Value;

/// What a section says of itself at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    /// Rows by table.
    rows: BTreeMap<String, u64>,
    /// Documents that are not deleted.
    documents: u64,
    /// What was wrong with the record already when the backup was made.
    record: Option<String>,
}

/// What was found in a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) end: End,
    pub(super) documents: u64,
    pub(super) seq: u64,
    pub(super) keys: u64,
    pub(super) leaves: u64,
    pub(super) finding: Option<Finding>,
}

/// Counts and checks one section.
pub(super) struct Tally {
    of: Of,
    rows: BTreeMap<String, u64>,
    documents: u64,
    seq: u64,
    head: Option<LeafRef>,
    /// The check of the record, until it has found something.
    verifier: Result<Verifier, Finding>,
    /// The table of the last row.
    place: usize,
}

impl Tally {
    pub(super) fn new(tenant: Option<&TenantId>) -> Self {
        Self {
            of: if tenant.is_some() { Of::Tenant } else { Of::Installation },
            rows: BTreeMap::new(),
            documents: 0,
            seq: 0,
            head: None,
            verifier: Ok(Verifier::new(tenant.map_or(Chain::Service, Chain::Tenant).name())),
            place: 0,
        }
    }

    /// Takes note of the next row.
    pub(super) fn see(&mut self, shape: &Shape, row: &[Value]) -> Result<(), Fault> {
        let name = shape.table.name;
        if shape.table.of != self.of || shape.place < self.place {
            return damaged(format!("rows of {name} stand where they do not belong"));
        }
        self.place = shape.place;
        *self.rows.entry(name.to_owned()).or_default() += 1;
        match name {
            "tenants" | "installation" => {
                self.seq = shape.long(row, "seq").and_then(|seq| u64::try_from(seq).ok()).unwrap_or_default();
                self.head = head(shape, row)?;
            }
            "documents" if shape.long(row, "live") == Some(1) => self.documents += 1,
            "audit_outbox" | "service_outbox" => {
                let bytes = shape.blob(row, "bytes").unwrap_or_default();
                if let Ok(verifier) = &mut self.verifier
                    && let Err(finding) = verifier.leaf(bytes)
                {
                    self.verifier = Err(finding);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends the section.
    pub(super) fn end(self) -> Result<Found, Fault> {
        let rows = |name: &str| self.rows.get(name).copied().unwrap_or_default();
        let (main, leaves) = match self.of {
            Of::Tenant => ("tenants", "audit_outbox"),
            Of::Installation => ("installation", "service_outbox"),
        };
        if rows(main) != 1 {
            return damaged(format!("a part of it has {} rows of {main}, and must have one", rows(main)));
        }
        let (leaves, keys) = (rows(leaves), rows("api_keys"));
        let finding = self.verifier.and_then(|verifier| verifier.finish(self.head)).err();
        let record = finding.as_ref().map(ToString::to_string);
        let end = End { rows: self.rows, documents: self.documents, record };
        Ok(Found { end, documents: self.documents, seq: self.seq, keys, leaves, finding })
    }
}

/// The head of a record, in the row that keeps it.
fn head(shape: &Shape, row: &[Value]) -> Result<Option<LeafRef>, Fault> {
    let leaves = shape.long(row, "leaves").and_then(|leaves| u64::try_from(leaves).ok());
    let hash = shape.blob(row, "head").map(<[u8; 32]>::try_from);
    match (leaves, hash) {
        (Some(0), _) => Ok(None),
        (Some(leaves), Some(Ok(hash))) => Ok(Some(LeafRef { index: leaves - 1, hash: LeafHash(hash) })),
        _ => damaged("the head of a record is none"),
    }
}
