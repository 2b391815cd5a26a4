//! Where a repository on a disk really is.
//!
//! Promises: whatever git reads of it lies in a folder that the operator allows, be it behind a link, behind a file `.git`,
//! or in the folder that a worktree shares; a repository that borrows objects, or in which links lie where git looks, is
//! refused. Does not: read what is in it.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::error::SourceError;
use crate::folder::real_below;

/// Longest file that says where a repository is, in bytes.
const POINTER_BYTES_MAX: u64 = 4 * 1024;
/// How deep below a repository's own folder git looks, names of branches included.
const DEPTH_MAX: usize = 64;

/// The folder of the repository at `path`, as git is to open it.
pub(super) fn real_repository(path: &Path, allowed: &[PathBuf]) -> Result<PathBuf, SourceError> {
    let top = real_below(path, allowed)?;
    let inner = top.join(".git");
    let found = if inner.symlink_metadata().is_ok() { real_below(&inner, allowed)? } else { top.clone() };
    let folder = if found.is_file() {
        let said = pointer(&found, path)?;
        let said = said.strip_prefix("gitdir:").ok_or_else(|| refused(path, "its file .git names no repository"))?;
        real_below(&top.join(said.trim()), allowed)?
    } else {
        found
    };
    check_links(&folder, path)?;
    let shares = folder.join("commondir");
    let common = if shares.is_file() {
        real_below(&folder.join(pointer(&shares, path)?.trim()), allowed)?
    } else {
        folder.clone()
    };
    check_links(&common, path)?;
    for borrows in ["objects/info/alternates", "objects/info/http-alternates"] {
        if common.join(borrows).symlink_metadata().is_ok() {
            return Err(refused(
                path,
                "it borrows objects of another repository (alternates); make it whole with git repack -a",
            ));
        }
    }
    Ok(folder)
}

/// What a file says that names another place.
fn pointer(file: &Path, path: &Path) -> Result<String, SourceError> {
    let mut said = String::new();
    let read = fs::File::open(file).and_then(|file| file.take(POINTER_BYTES_MAX).read_to_string(&mut said));
    read.map_err(|_| refused(path, "where its repository is cannot be read"))?;
    Ok(said)
}

/// Refuses links in the places in which git reads.
fn check_links(folder: &Path, path: &Path) -> Result<(), SourceError> {
    let failed = |error: std::io::Error| SourceError::unreachable(path.display().to_string(), error.to_string());
    let reason = "a link lies in its folder where git reads; links there are not followed";
    for name in
        ["HEAD", "config", "config.worktree", "commondir", "packed-refs", "shallow", "objects", "refs", "reftable"]
    {
        if folder.join(name).is_symlink() {
            return Err(refused(path, reason));
        }
    }
    // Objects lie in folders of one level; branches in as many as their names have parts.
    let mut waiting = vec![(folder.join("objects"), 1), (folder.join("refs"), DEPTH_MAX), (folder.join("reftable"), 0)];
    while let Some((inner, depth)) = waiting.pop() {
        let entries = match fs::read_dir(&inner) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_symlink() || (kind.is_dir() && depth == 0 && inner.starts_with(folder.join("refs"))) {
                return Err(refused(path, reason));
            }
            if kind.is_dir() && depth > 0 {
                waiting.push((entry.path(), depth - 1));
            }
        }
    }
    Ok(())
}

fn refused(path: &Path, reason: &str) -> SourceError {
    SourceError::refused(path.display().to_string(), reason)
}
