//! A folder of the disk.

use std::path::PathBuf;
use std::process::Command;

use catena_sources::spec::FolderSpec;
use catena_sources::{Source, SourceSpec, Surroundings};

use crate::suite::Place;
use crate::{access, credentials, hostile_files, open, rename, write};

struct Folder {
    home: tempfile::TempDir,
    source: Box<dyn Source>,
    hour: u64,
}

fn top(home: &tempfile::TempDir) -> PathBuf {
    home.path().join("documents")
}

fn source(home: &tempfile::TempDir) -> Box<dyn Source> {
    let spec = FolderSpec { path: top(home).display().to_string(), access: access(true), ..FolderSpec::default() };
    let surroundings = Surroundings { folders: vec![home.path().to_owned()], ..Surroundings::default() };
    open(&SourceSpec::Folder(spec), &credentials(&[]), &surroundings)
}

async fn place() -> Folder {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(top(&home)).unwrap();
    Folder { source: source(&home), home, hour: 1 }
}

impl Place for Folder {
    const HAS_CURSOR: bool = false;
    const TELLS_MOVES: bool = false;
    const SPEAKS: bool = true;

    fn source(&self) -> &dyn Source {
        self.source.as_ref()
    }

    fn again(&self) -> Box<dyn Source> {
        source(&self.home)
    }

    fn put(&mut self, path: &str, bytes: &[u8]) {
        self.hour += 1;
        write(&top(&self.home).join(path), bytes, self.hour);
    }

    fn remove(&mut self, path: &str) {
        std::fs::remove_file(top(&self.home).join(path)).unwrap();
    }

    fn rename(&mut self, from: &str, to: &str) {
        rename(&top(&self.home), from, to);
    }

    fn put_hostile_names(&mut self) {
        hostile_files(&top(&self.home));
        let made = Command::new("mkfifo").arg(top(&self.home).join("pipe.md")).status().unwrap();
        assert!(made.success());
        self.put(".gitignore", b"ignored.md\n");
        self.put("ignored.md", b"x");
    }

    /// A folder so deep that its path cannot be opened: what lies in it cannot be known.
    fn damage(&mut self) {
        let name = "d".repeat(250);
        let script = "cd \"$0\" && mkdir broken && cd broken && for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18; \
                      do mkdir \"$1\" && cd -P \"$1\" || exit 1; done";
        let made = Command::new("sh").args(["-c", script]).arg(top(&self.home)).arg(&name).status().unwrap();
        assert!(made.success());
    }

    fn mend(&mut self) {
        let removed = Command::new("rm").arg("-rf").arg(top(&self.home).join("broken")).status().unwrap();
        assert!(removed.success());
    }
}

crate::keeps_every_promise!(promises, super::place());
