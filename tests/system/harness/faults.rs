//! A disk that fails when a test says so: `tests/system/faults`, preloaded into the program, which has no hook for it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::server::{Home, Launch};

/// What happens at the call that a [`Rule`] names; `faults.c` says it in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Every such call is noted.
    Trace,
    /// The process is killed before the call, or after it.
    Kill(When),
    /// Half of a write is done, then the process is killed.
    Torn,
    /// The power goes: the process ends, and what was not synced is lost; with a seed, some of it.
    Power(When, u64),
    /// The disk is full from this call on.
    Full,
    /// This one call fails.
    Eio,
    /// From this call on, nothing is done, and "done" is said.
    Lie,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

/// What is to go wrong, where.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// `*`, or some of write, sync, truncate, create, rename, unlink, mkdir, with commas between.
    pub(crate) calls: String,
    /// A shell pattern over the path below the data folder; its `*` matches a slash as well.
    pub(crate) pattern: String,
    /// Which of the calls that match, from one.
    pub(crate) nth: u64,
    pub(crate) action: Action,
}

impl Rule {
    pub(crate) fn new(calls: &str, pattern: &str, nth: u64, action: Action) -> Self {
        Self { calls: calls.to_owned(), pattern: pattern.to_owned(), nth, action }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ", self.calls, self.pattern, self.nth)?;
        let name = |when: When| match when {
            When::Before => "before",
            When::After => "after",
        };
        match self.action {
            Action::Trace => write!(f, "trace"),
            Action::Kill(when) => write!(f, "kill-{}", name(when)),
            Action::Torn => write!(f, "torn"),
            Action::Power(when, seed) => write!(f, "power-{} {seed}", name(when)),
            Action::Full => write!(f, "full"),
            Action::Eio => write!(f, "eio"),
            Action::Lie => write!(f, "lie"),
        }
    }
}

/// The faults of one service's data folder. They can be changed while it runs.
#[derive(Debug)]
pub(crate) struct Faults {
    folder: PathBuf,
    root: PathBuf,
}

impl Faults {
    pub(crate) fn of(home: &Home) -> Self {
        let path = home.path().canonicalize().expect("a folder for a test");
        let (folder, root) = (path.join("faults"), home.data());
        fs::create_dir(&folder).expect("a folder for faults");
        let root = path.join(root.file_name().expect("the data folder has a name"));
        Self { folder, root }
    }

    /// The program with this disk.
    pub(crate) fn under(&self, launch: Launch) -> Launch {
        launch
            .variable("LD_PRELOAD", library().display())
            .variable("FAULTS_FOLDER", self.folder.display())
            .variable("FAULTS_ROOT", self.root.display())
    }

    /// From now on these go wrong, and nothing else.
    pub(crate) fn set(&self, rules: &[Rule]) {
        let text: String = rules.iter().map(|rule| format!("{rule}\n")).collect();
        let new = self.folder.join("rules.new");
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, self.folder.join("rules")))
            .expect("the rules are written");
    }

    /// From now on nothing goes wrong.
    pub(crate) fn clear(&self) {
        self.set(&[]);
    }

    /// The calls that were noted since this was asked last: what was called, and on which path below the data folder.
    pub(crate) fn traced(&self) -> Vec<(String, String)> {
        let path = self.folder.join("trace");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        let call = |line: &str| line.split_once(' ').map(|(call, path)| (call.to_owned(), path.to_owned()));
        text.lines().filter_map(call).collect()
    }
}

/// The library, compiled once for each run of the tests.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("system/faults");
        let (new, library) = (folder.join(format!("faults-{}.so", std::process::id())), folder.join("faults.so"));
        let mut compile = Command::new("cc");
        compile.args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]).arg(&new);
        let done =
            compile.args([source.join("faults.c"), source.join("unsynced.c")]).args(["-ldl", "-lpthread"]).output();
        let done = done.expect("a C compiler `cc`, which the workspace needs as well");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        fs::rename(&new, &library).expect("the library gets its name");
        library
    })
}
