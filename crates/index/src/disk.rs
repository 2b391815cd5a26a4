//! Every change that the index makes to the disk, step by step, so that a test can stop after any of them.
//!
//! Promises: when [`write_sealed`] returns, the file's bytes are durable; a name is durable once its folder was synced.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use catena_kernels::Map;

use crate::error::IndexError;

/// A step that was taken.
#[cfg_attr(not(test), expect(dead_code, reason = "read by tests"))]
pub(crate) enum Step<'a> {
    Made(&'a Path),
    Wrote(&'a Path),
    SyncedFile(&'a Path),
    SyncedFolder(&'a Path),
    Renamed(&'a Path, &'a Path),
    Removed(&'a Path),
}

#[cfg(test)]
pub(crate) type Watcher = Box<dyn FnMut(Step<'_>)>;

#[cfg(test)]
thread_local! {
    /// Who watches the steps of this thread.
    pub(crate) static WATCH: std::cell::RefCell<Option<Watcher>> = const { std::cell::RefCell::new(None) };
}

#[cfg(test)]
fn took(step: Step<'_>) {
    WATCH.with_borrow_mut(|watch| {
        if let Some(watch) = watch {
            watch(step);
        }
    });
}

#[cfg(not(test))]
fn took(_: Step<'_>) {}

/// Makes a folder and its missing parents, each durable.
pub(crate) fn make_folder(path: &Path) -> Result<(), IndexError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make_folder(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(IndexError::io("make folder", path, error));
        }
        _ => took(Step::Made(path)),
    }
    parent.map_or(Ok(()), sync_folder)
}

/// Writes a file that was not there before, and syncs it.
pub(crate) fn write_sealed(path: &Path, bytes: &[u8]) -> Result<(), IndexError> {
    seal(path, |out| out.write_all(bytes)).map(|_| ())
}

/// Writes a file that was not there before, and syncs it; says how long it is and its BLAKE3.
pub(crate) fn seal(
    path: &Path,
    fill: impl FnOnce(&mut Sealing) -> io::Result<()>,
) -> Result<(u64, String), IndexError> {
    let failed = |error| IndexError::io("write", path, error);
    let file = File::create_new(path).map_err(failed)?;
    let mut out = Sealing { file: BufWriter::with_capacity(WRITTEN_AT_ONCE, file), hasher: blake3::Hasher::new() };
    fill(&mut out).map_err(failed)?;
    let Sealing { file, hasher } = out;
    let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
    took(Step::Wrote(path));
    file.sync_all().map_err(failed)?;
    took(Step::SyncedFile(path));
    Ok((hasher.count(), hasher.finalize().to_hex().to_string()))
}

/// Bytes that reach the file in one step.
const WRITTEN_AT_ONCE: usize = 256 * 1024;

/// A file on its way to the disk. Its bytes are hashed as they pass.
pub(crate) struct Sealing {
    file: BufWriter<File>,
    hasher: blake3::Hasher,
}

impl Sealing {
    /// Writes zeros up to the next multiple of `bytes`.
    pub(crate) fn pad(&mut self, bytes: usize) -> io::Result<()> {
        let written = self.hasher.count() as usize;
        self.write_all(&vec![0; written.next_multiple_of(bytes) - written])
    }
}

impl Write for Sealing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), IndexError> {
    let folder = File::open(path).and_then(|folder| folder.sync_all());
    folder.map_err(|error| IndexError::io("sync folder", path, error))?;
    took(Step::SyncedFolder(path));
    Ok(())
}

/// Renames; whatever had the new name is replaced if it is a file.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), IndexError> {
    fs::rename(from, to).map_err(|error| IndexError::io("rename", from, error))?;
    took(Step::Renamed(from, to));
    Ok(())
}

/// Removes a file or a folder with all that is in it; nothing there is fine.
pub(crate) fn remove(path: &Path) -> Result<(), IndexError> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    let removed = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(IndexError::io("remove", path, error)),
        _ => {
            took(Step::Removed(path));
            Ok(())
        }
    }
}

/// The names in a folder, sorted; none when there is no such folder. Names that are no text are left out.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, IndexError> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| IndexError::io("list", path, error))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| IndexError::io("list", path, error))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// What the system answers when a disk cannot read a block (EIO).
const UNREADABLE: i32 = 5;

/// Maps a file, if its bytes are those that were sealed.
///
/// The bytes are verified by reading, not through the map: a block that the disk cannot read is an error here, where it
/// would end the process there.
pub(crate) fn open_sealed(path: &Path, bytes: u64, blake3: &str) -> Result<Map, IndexError> {
    let failed = |error: io::Error| match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::NotFound | io::ErrorKind::NotADirectory, _) => IndexError::corrupt(path, "it is missing"),
        (_, Some(UNREADABLE)) => IndexError::corrupt(path, "the disk cannot read it"),
        _ => IndexError::io("read", path, error),
    };
    let file = File::open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?.len();
    if found != bytes {
        return Err(IndexError::corrupt(path, format!("it has {found} bytes, {bytes} were written")));
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&file).map_err(failed)?;
    if hasher.finalize().to_hex().as_str() != blake3 {
        return Err(IndexError::corrupt(path, "its bytes are not those that were written"));
    }
    let map = Map::open(path).map_err(failed)?;
    if map.len() as u64 != bytes {
        return Err(IndexError::corrupt(path, "it changed while it was opened"));
    }
    Ok(map)
}

/// Reads a small file; `None` when it is not there.
pub(crate) fn read_small(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, IndexError> {
    let failed = |error: io::Error| match error.raw_os_error() {
        Some(UNREADABLE) => IndexError::corrupt(path, "the disk cannot read it"),
        _ => IndexError::io("read", path, error),
    };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let mut content = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > bytes_max {
        return Err(IndexError::corrupt(path, format!("it has more than {bytes_max} bytes")));
    }
    Ok(Some(content))
}
