//! One suite for every source, each over a real place: a folder of the disk, a repository behind a web server, a web site,
//! a bucket that speaks S3, and the memory that other tests use.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

mod descriptions;
mod folder;
mod folder_rules;
mod git;
mod git_rules;
mod http;
mod memory;
mod objects;
mod objects_rules;
mod suite;
mod web;
mod web_rules;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use catena_sources::{AccessSpec, Credentials, Source, SourceSpec, Surroundings};

/// Rules of the suite, in the form of a description.
pub(crate) fn access(from_documents: bool) -> AccessSpec {
    let rules = suite::RULES
        .iter()
        .map(|(path, allow)| serde_json::from_value(serde_json::json!({"path": path, "allow": allow})).unwrap());
    AccessSpec { rules: rules.collect(), from_file: false, from_documents }
}

pub(crate) fn open(spec: &SourceSpec, credentials: &Credentials, surroundings: &Surroundings) -> Box<dyn Source> {
    // Through the wire's form, so that what is described is what is opened.
    let spec: SourceSpec = serde_json::from_value(serde_json::to_value(spec).unwrap()).unwrap();
    catena_sources::open(&spec, credentials, surroundings).unwrap()
}

pub(crate) fn credentials(secrets: &[(&str, &str)]) -> Credentials {
    let secrets: BTreeMap<String, String> =
        secrets.iter().map(|&(name, secret)| (name.to_owned(), secret.to_owned())).collect();
    Credentials::new(secrets)
}

/// Writes a file that was changed at a time of its own, long ago.
pub(crate) fn write(path: &Path, bytes: &[u8], hour: u64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + hour * 3_600);
    fs::File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
}

pub(crate) fn rename(top: &Path, from: &str, to: &str) {
    fs::create_dir_all(top.join(to).parent().unwrap()).unwrap();
    fs::rename(top.join(from), top.join(to)).unwrap();
}

/// Names that are none for a document, in a folder.
pub(crate) fn hostile_files(top: &Path) {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;
    let bidi = "evil\u{202E}dm.md".to_owned();
    let long = format!("{}/{}.md", "x".repeat(250), "y".repeat(250)).replace('/', &format!("/{}/", "z".repeat(200)));
    for name in ["pic.png", "noending", ".hidden.md", ".git2/x.md", "a\nb.md", "tab\t.md", &bidi, &long] {
        write(&top.join(name), b"x", 1);
    }
    write(&top.join(std::ffi::OsStr::from_bytes(b"not-utf8-\xFF.md")), b"x", 1);
    symlink("/etc/hostname", top.join("out.md")).unwrap();
    symlink("/etc", top.join("etc")).unwrap();
    symlink("nowhere.md", top.join("dead.md")).unwrap();
    symlink("loop.md", top.join("loop.md")).unwrap();
}
