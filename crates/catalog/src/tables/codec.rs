//! Between rows and values. What cannot be read back as it was written is damage, never a panic.

use std::str::FromStr;

use catena_access::Acl;
use catena_audit::LeafHash;
use catena_domain::Timestamp;
use half::f16;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::error::{CatalogError, Result};
use crate::store::Row;
use crate::stored_acl::acl_of;
pub(crate) use crate::stored_acl::acl_text;

pub(crate) fn corrupt(what: &'static str, id: impl ToString) -> CatalogError {
    CatalogError::Corrupt { what, id: id.to_string() }
}

/// What columns mean.
impl Row {
    pub(crate) fn flag(&self, column: &'static str) -> Result<bool> {
        Ok(self.long(column)? != 0)
    }

    pub(crate) fn u64(&self, column: &'static str) -> Result<u64> {
        u64::try_from(self.long(column)?).map_err(|_| corrupt("a number", column))
    }

    pub(crate) fn u32(&self, column: &'static str) -> Result<u32> {
        u32::try_from(self.long(column)?).map_err(|_| corrupt("a number", column))
    }

    pub(crate) fn time(&self, column: &'static str) -> Result<Timestamp> {
        Ok(Timestamp(self.long(column)?))
    }

    pub(crate) fn time_or_null(&self, column: &'static str) -> Result<Option<Timestamp>> {
        Ok(self.long_or_null(column)?.map(Timestamp))
    }

    pub(crate) fn hash(&self, column: &'static str) -> Result<[u8; 32]> {
        self.blob(column)?.try_into().map_err(|_| corrupt("a hash", column))
    }

    pub(crate) fn hash_or_null(&self, column: &'static str) -> Result<Option<[u8; 32]>> {
        self.blob_or_null(column)?.map(|bytes| bytes.try_into().map_err(|_| corrupt("a hash", column))).transpose()
    }

    pub(crate) fn name<T: FromStr>(&self, column: &'static str) -> Result<T> {
        self.text(column)?.parse().map_err(|_| corrupt("a name", column))
    }

    pub(crate) fn name_or_null<T: FromStr>(&self, column: &'static str) -> Result<Option<T>> {
        self.text_or_null(column)?.map(|text| text.parse().map_err(|_| corrupt("a name", column))).transpose()
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T> {
        serde_json::from_str(&self.text(column)?).map_err(|_| corrupt("a list", column))
    }

    pub(crate) fn names<T: FromStr>(&self, column: &'static str) -> Result<Vec<T>> {
        let texts: Vec<String> = self.json(column)?;
        texts.iter().map(|text| text.parse().map_err(|_| corrupt("a name", column))).collect()
    }

    pub(crate) fn acl(&self, column: &'static str) -> Result<Acl> {
        acl_of(&self.text(column)?).ok_or_else(|| corrupt("an access list", column))
    }
}

/// Lists and maps of texts and numbers have no way of failing to become JSON.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| unreachable!("texts and numbers are JSON"))
}

pub(crate) fn names_json<T: ToString>(names: &[T]) -> String {
    json(&names.iter().map(ToString::to_string).collect::<Vec<_>>())
}

/// A count or number for the database. None of ours comes near the limit; one that did would be stored as the limit.
pub(crate) fn long(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(crate) fn hex(hash: &[u8; 32]) -> String {
    LeafHash(*hash).to_string()
}

pub(crate) fn vector_bytes(vector: &[f16]) -> Vec<u8> {
    vector.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub(crate) fn vector_of(bytes: &[u8]) -> Result<Vec<f16>> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if pairs.is_empty() || !rest.is_empty() {
        return Err(corrupt("a vector", "embeddings"));
    }
    Ok(pairs.iter().map(|&pair| f16::from_le_bytes(pair)).collect())
}
