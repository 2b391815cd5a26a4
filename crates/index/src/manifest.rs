//! The manifest: the one file of a generation that changes, and it changes as a whole.
//!
//! It names the segments with the length and BLAKE3 of each of their files, and carries a BLAKE3 of itself, so nothing
//! of a generation can differ by a byte from what was written and go unnoticed. Published last: see [`publish`].

use std::path::{Path, PathBuf};

use catena_domain::{GenerationId, RecipeId, Seq, TenantId};
use serde::{Deserialize, Serialize};

use crate::disk;
use crate::error::IndexError;

/// The layout of everything below a generation's folder, analyser and fields included. Raise it with any change there.
pub(crate) const FORMAT: u32 = 2;
const FILE: &str = "manifest.json";
const NEW_FILE: &str = "manifest.json.new";
/// A segment takes about 500 bytes of it.
const BYTES_MAX: u64 = 64 * 1024 * 1024;
const HEAD: &[u8] = br#"{"manifest":"#;
const SEAL: &[u8] = br#","blake3":""#;
const TAIL: &[u8] = b"\"}\n";
const HASH_BYTES: usize = 64;

/// What a generation consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    pub(crate) tenant: String,
    pub(crate) generation: String,
    pub(crate) recipe: String,
    pub(crate) dimension: usize,
    pub(crate) applied_seq: u64,
    pub(crate) segments: Vec<SegmentEntry>,
}

/// A segment, as the manifest knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SegmentEntry {
    pub(crate) name: String,
    pub(crate) rows: u32,
    pub(crate) files: Vec<FileEntry>,
}

/// A file, as the manifest knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) blake3: String,
}

/// Which generation a manifest should be of.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) tenant: TenantId,
    pub(crate) generation: GenerationId,
    pub(crate) recipe: RecipeId,
    pub(crate) dimension: usize,
}

impl Manifest {
    /// The manifest of a generation without rows.
    pub(crate) fn empty(identity: &Identity) -> Self {
        Self {
            format: FORMAT,
            tenant: identity.tenant.to_string(),
            generation: identity.generation.to_string(),
            recipe: identity.recipe.to_string(),
            dimension: identity.dimension,
            applied_seq: 0,
            segments: Vec::new(),
        }
    }

    pub(crate) fn applied_seq(&self) -> Seq {
        Seq(self.applied_seq)
    }

    /// Refuses a manifest that is not of this generation; says by name in what it differs.
    pub(crate) fn check(&self, path: &Path, identity: &Identity) -> Result<(), IndexError> {
        if self.tenant != identity.tenant.as_str() || self.generation != identity.generation.as_str() {
            let what = format!("it belongs to generation {} of tenant {}", self.generation, self.tenant);
            return Err(IndexError::corrupt(path, what));
        }
        if self.recipe != identity.recipe.as_str() {
            let index = RecipeId::new(&self.recipe).map_err(|error| IndexError::corrupt(path, error.to_string()))?;
            return Err(IndexError::Recipe { index, given: identity.recipe.clone() });
        }
        if self.dimension != identity.dimension {
            return Err(IndexError::Dimension { index: self.dimension, given: identity.dimension });
        }
        Ok(())
    }
}

pub(crate) fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// Whether a name in a generation's folder is what a publication that was cut off may leave of its manifest.
pub(crate) fn is_leftover(name: &str) -> bool {
    name == NEW_FILE
}

/// The manifest in `folder`; `None` when there is none.
pub(crate) fn read(folder: &Path) -> Result<Option<Manifest>, IndexError> {
    let path = path(folder);
    let Some(content) = disk::read_small(&path, BYTES_MAX)? else { return Ok(None) };
    let body =
        unseal(&content).ok_or_else(|| IndexError::corrupt(&path, "its bytes are not those that were written"))?;
    // The format comes first: a manifest of another one may have other fields.
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let unreadable = |error: serde_json::Error| IndexError::corrupt(&path, error.to_string());
    let Format { format } = serde_json::from_slice(body).map_err(unreadable)?;
    if format != FORMAT {
        return Err(IndexError::Format { path, found: format, expected: FORMAT });
    }
    serde_json::from_slice(body).map(Some).map_err(unreadable)
}

/// Makes `manifest` the one in `folder`. What it names must be durable already.
///
/// A temporary name, sync, rename, sync of the folder: after a power cut at any moment, the folder holds the old manifest
/// or the new one. When the error is [`Cut::Unknown`], which of the two cannot be told.
pub(crate) fn publish(folder: &Path, manifest: &Manifest) -> Result<(), Cut> {
    let (new, path) = (folder.join(NEW_FILE), path(folder));
    let prepare = || {
        let body = serde_json::to_vec(manifest).map_err(|error| IndexError::io("write", &new, error.into()))?;
        disk::remove(&new)?;
        disk::write_sealed(&new, &seal(&body))
    };
    prepare().map_err(Cut::Before)?;
    disk::rename(&new, &path).and_then(|()| disk::sync_folder(folder)).map_err(Cut::Unknown)
}

/// Where a publication failed.
pub(crate) enum Cut {
    /// The old manifest stands.
    Before(IndexError),
    /// The old one or the new one stands.
    Unknown(IndexError),
}

fn seal(body: &[u8]) -> Vec<u8> {
    let hash = blake3::hash(body).to_hex();
    [HEAD, body, SEAL, hash.as_bytes(), TAIL].concat()
}

/// The body of a sealed manifest, if every byte of it and around it is what was written.
fn unseal(content: &[u8]) -> Option<&[u8]> {
    let rest = content.strip_prefix(HEAD)?.strip_suffix(TAIL)?;
    let (rest, hash) = rest.split_at_checked(rest.len().checked_sub(HASH_BYTES)?)?;
    let body = rest.strip_suffix(SEAL)?;
    (blake3::hash(body).to_hex().as_bytes() == hash).then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_sealed_manifest_is_json_and_any_changed_byte_shows() {
        let body = br#"{"format":1,"x":[]}"#;
        let sealed = seal(body);
        assert!(serde_json::from_slice::<serde_json::Value>(&sealed).is_ok());
        assert_eq!(unseal(&sealed), Some(&body[..]));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(unseal(&changed), None, "byte {at}");
            assert_eq!(unseal(&sealed[..at]), None, "cut at {at}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused(content in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(unseal(&content), None);
        }
    }
}
