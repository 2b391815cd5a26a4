//! A walk through a folder that never leaves it.
//!
//! Promises: what a `.gitignore` of the folder itself names is left out, and one that cannot be read ends the walk; a link
//! is followed only to a file inside the folder that could be a document itself. Does not: read files, or follow links to folders.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use catena_domain::DocumentId;
use catena_text::Format;
use ignore::{DirEntry, WalkBuilder};

use super::{Skipped, Why, unreadable};
use crate::error::SourceError;

/// Most documents of one folder.
pub(super) const DOCUMENTS_MAX: usize = 1_000_000;

/// A file that is a document.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: DocumentId,
    pub(super) path: PathBuf,
    pub(super) format: Format,
    /// Where it really lies below the folder, if it is a link.
    pub(super) leads_to: Option<String>,
}

/// A walk through a folder, in the order of names.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) found: Vec<Found>,
    pub(super) skipped: Vec<Skipped>,
}

impl Walk {
    pub(super) fn through(top: &Path) -> Result<Self, SourceError> {
        let real = top.canonicalize().map_err(|error| unreadable(top, &error))?;
        let hidden = Arc::new(Mutex::new(Vec::new()));
        let mut walk = Self { found: Vec::new(), skipped: Vec::new() };
        for entry in entries(top, Arc::clone(&hidden)) {
            if let Some(reason) = entry.as_ref().ok().and_then(misunderstood) {
                return Err(SourceError::unreachable(top.display().to_string(), reason));
            }
            match entry {
                Ok(entry) if entry.depth() == 0 || entry.file_type().is_some_and(|kind| kind.is_dir()) => {}
                Ok(entry) => match found(&entry, top, &real) {
                    Ok(found) => walk.found.push(found),
                    Err((why, reason)) => walk.skip(below(top, entry.path()), why, reason),
                },
                Err(error) => walk.skip(top.display().to_string(), Why::Unreadable, error.to_string()),
            }
            if walk.found.len() > DOCUMENTS_MAX {
                return Err(too_many(top));
            }
        }
        for folder in hidden.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            walk.skip(below(top, folder), Why::Kind, "it is hidden".to_owned());
        }
        walk.found.sort_by(|a, b| a.id.cmp(&b.id));
        walk.skipped.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(walk)
    }

    fn skip(&mut self, path: String, why: Why, reason: String) {
        self.skipped.push(Skipped { path, why, reason });
    }
}

/// All that lies below `top`, but for what is in hidden folders; those are put into `hidden`.
pub(super) fn entries(top: &Path, hidden: Arc<Mutex<Vec<PathBuf>>>) -> ignore::Walk {
    WalkBuilder::new(top)
        .hidden(false)
        // Only what lies in the folder itself decides, so that it is read alike on every machine.
        .parents(false)
        .git_global(false)
        .git_exclude(false)
        .require_git(false)
        .follow_links(false)
        .sort_by_file_name(Ord::cmp)
        .filter_entry(move |entry| {
            let folder = entry.file_type().is_some_and(|kind| kind.is_dir());
            if entry.depth() == 0 || !folder || !is_hidden(entry) {
                return true;
            }
            hidden.lock().unwrap_or_else(PoisonError::into_inner).push(entry.path().to_owned());
            false
        })
        .build()
}

/// Why what an ignore file of a folder names is not known. It would all be shown otherwise.
pub(super) fn misunderstood(entry: &DirEntry) -> Option<String> {
    if let Some(error) = entry.error() {
        return Some(error.to_string());
    }
    if !entry.file_type().is_some_and(|kind| kind.is_dir()) {
        return None;
    }
    // The walk keeps silent about those that it cannot read.
    [".gitignore", ".ignore"].iter().find_map(|name| {
        let file = entry.path().join(name);
        let read = file.symlink_metadata().and_then(|_| fs::read_to_string(&file));
        let error = read.err().filter(|error| error.kind() != io::ErrorKind::NotFound || file.is_symlink())?;
        Some(format!("{}: {error}", file.display()))
    })
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

pub(super) fn below(top: &Path, path: &Path) -> String {
    path.strip_prefix(top).unwrap_or(path).display().to_string()
}

pub(super) fn unknown_ending() -> String {
    "its ending is none that is read".to_owned()
}

pub(super) fn found(entry: &DirEntry, top: &Path, real_top: &Path) -> Result<Found, (Why, String)> {
    let kind = |reason: &str| (Why::Kind, reason.to_owned());
    if is_hidden(entry) {
        return Err(kind("it is hidden"));
    }
    let parts: Option<Vec<&str>> =
        entry.path().strip_prefix(top).unwrap_or(entry.path()).iter().map(OsStr::to_str).collect();
    let id = parts.ok_or((Why::Unreadable, "its name is not UTF-8".to_owned()))?.join("/");
    let format = Format::from_path(&id).ok_or_else(|| (Why::Kind, unknown_ending()))?;
    let mut leads_to = None;
    if entry.path_is_symlink() {
        let target =
            entry.path().canonicalize().map_err(|_| (Why::Unreadable, "it is a link that leads nowhere".to_owned()))?;
        if !target.starts_with(real_top) {
            return Err(kind("it is a link out of the folder"));
        }
        if !target.is_file() {
            return Err(kind("it is a link to a folder; links to folders are not followed"));
        }
        let name = below(real_top, &target);
        if !may_be_shown(&name) {
            return Err(kind("it is a link to a file that is hidden, or whose ending is none that is read"));
        }
        leads_to = Some(name);
    } else if !entry.file_type().is_some_and(|kind| kind.is_file()) {
        return Err(kind("it is not a file"));
    }
    let id = DocumentId::new(&id).map_err(|error| (Why::Unreadable, error.to_string()))?;
    Ok(Found { id, path: entry.path().to_owned(), format, leads_to })
}

/// Whether a file of this name below the folder may be a document.
pub(super) fn may_be_shown(name: &str) -> bool {
    !name.split('/').any(|part| part.starts_with('.')) && Format::from_path(name).is_some()
}

pub(super) fn too_many(top: &Path) -> SourceError {
    let top = top.display();
    SourceError::invalid(format!("{top} holds more than {DOCUMENTS_MAX} documents; ingest its folders one by one"))
}
