//! Putting aside what is damaged: under another name in the same folder, where nothing is looked for by its name.
//!
//! Promises: what is put aside is kept, for whoever wants to know what happened to it, until it is discarded. Does not:
//! decide what is damaged, or build it again.

use std::path::{Path, PathBuf};

use crate::disk;
use crate::error::IndexError;

/// What follows a name when it was put aside, before a number.
const DAMAGED: &str = "damaged";

/// The name before the first dot, which is the whole name of what was not put aside.
pub(crate) fn base(name: &str) -> &str {
    name.split_once('.').map_or(name, |(base, _)| base)
}

/// Whether a thing of that name was put aside.
pub(crate) fn is_aside(name: &str) -> bool {
    name.split_once('.').is_some_and(|(_, rest)| rest.starts_with(DAMAGED))
}

/// Puts `name` in `folder` aside and says where it is now; `None` when there is nothing of that name.
pub(crate) fn put(folder: &Path, name: &str) -> Result<Option<PathBuf>, IndexError> {
    let path = folder.join(name);
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    let taken = disk::names(folder)?;
    let numbered = |number: usize| format!("{name}.{DAMAGED}-{number}");
    let free = (1..=taken.len()).find(|&number| !taken.contains(&numbered(number))).unwrap_or(taken.len() + 1);
    let aside = folder.join(numbered(free));
    disk::rename(&path, &aside)?;
    disk::sync_folder(folder)?;
    Ok(Some(aside))
}

/// Removes everything in `folder` that was put aside.
pub(crate) fn discard(folder: &Path) -> Result<(), IndexError> {
    for name in disk::names(folder)?.into_iter().filter(|name| is_aside(name)) {
        disk::remove(&folder.join(name))?;
    }
    Ok(())
}
