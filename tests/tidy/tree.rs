//! The repository's files, read once and searched as text.
//!
//! Does not: follow links, or read what is not UTF-8 (such files are known by name only).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::report::Report;
use crate::rules::Walk;
use crate::source::Source;

/// One text file.
pub(crate) struct TextFile {
    /// Relative to the repository's root, with `/` between the parts.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// All files of the repository.
pub(crate) struct Tree {
    texts: Vec<TextFile>,
    paths: Vec<String>,
}

/// The folder that holds the workspace.
pub(crate) fn repository_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

impl Tree {
    /// Reads every file below `root` but for the folders to skip.
    pub(crate) fn read(root: &Path, walk: &Walk) -> Result<Self, Report> {
        let mut tree = Self { texts: Vec::new(), paths: Vec::new() };
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let entries = std::fs::read_dir(root.join(&folder)).map_err(|cause| Report::unreadable(&folder, cause))?;
            for entry in entries {
                let entry = entry.map_err(|cause| Report::unreadable(&folder, cause))?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
                let kind = entry.file_type().map_err(|cause| Report::unreadable(&path, cause))?;
                if kind.is_dir() && !walk.skip.contains(&name) {
                    folders.push(path.clone());
                    tree.paths.push(path);
                } else if kind.is_file() {
                    tree.add(root, path)?;
                }
            }
        }
        tree.texts.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    fn add(&mut self, root: &Path, path: String) -> Result<(), Report> {
        let bytes = std::fs::read(root.join(&path)).map_err(|cause| Report::unreadable(&path, cause))?;
        if let Ok(text) = String::from_utf8(bytes) {
            self.texts.push(TextFile { path: path.clone(), text });
        }
        self.paths.push(path);
        Ok(())
    }

    /// The text of one file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.texts.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }

    /// All text files.
    pub(crate) fn texts(&self) -> &[TextFile] {
        &self.texts
    }

    /// Text files that are not data: code, settings and documents.
    pub(crate) fn own_texts<'a>(&'a self, walk: &'a Walk) -> impl Iterator<Item = &'a TextFile> {
        let ours = |file: &&TextFile| {
            !file.path.ends_with(".lock") && !walk.data.iter().any(|data| file.path.starts_with(data))
        };
        self.texts.iter().filter(ours)
    }

    /// Whether a file or folder is there.
    pub(crate) fn exists(&self, path: &str) -> bool {
        path.is_empty() || self.paths.iter().any(|known| known == path)
    }

    /// All Rust files, prepared for searching.
    pub(crate) fn rust_sources(&self) -> Vec<Source> {
        let files: BTreeMap<_, _> = self
            .texts
            .iter()
            .filter(|file| file.path.ends_with(".rs"))
            .map(|file| (file.path.as_str(), file.text.as_str()))
            .collect();
        Source::prepare(&files)
    }
}
