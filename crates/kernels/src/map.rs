//! A file as bytes, without reading it.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;
use stable_deref_trait::StableDeref;

/// A read-only memory map of a file. Clones share it.
///
/// The file must not change while it is mapped: map only files that are written once and never again. Removing or
/// renaming one is harmless.
#[derive(Debug, Clone)]
pub struct Map(Arc<Mmap>);

impl Map {
    /// Maps the file at `path`. An empty file is an empty map.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the bytes under a map must not change. Callers map sealed files alone: those are written to the end
        // and synced before anything names them, no code of ours opens one for writing afterwards, and unlinking or
        // renaming leaves the mapped pages as they are.
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Self(Arc::new(map)))
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

// SAFETY: the bytes lie in the mapping and not in the `Map`, so they stay where they are when the `Map` is moved, and
// as long as one of its clones lives: all of them hold the one mapping, which is never remapped.
unsafe impl StableDeref for Map {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_shows_the_files_bytes_even_after_the_file_was_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"bytes").unwrap();
        let map = Map::open(&path).unwrap();
        let clone = map.clone();
        std::fs::remove_file(&path).unwrap();
        drop(map);
        assert_eq!(&*clone, b"bytes");
        assert_eq!(Map::open(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn an_empty_file_is_an_empty_map() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty");
        std::fs::write(&path, b"").unwrap();
        assert!(Map::open(&path).unwrap().is_empty());
    }
}
