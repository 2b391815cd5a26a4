//! The format on the disk, held against folders that were written once: what lies on people's disks opens, or is refused
//! by name.
//!
//! Whoever changes what lies on the disk raises the format, lets the test write a folder of the new one beside the old, and
//! says here what becomes of the old.

use super::*;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/tests/golden")
}

/// A copy of a folder that was written once: opening sweeps, and may put aside.
fn copied(format: &str) -> Fixture {
    let fixture = Fixture::new();
    for (path, content) in files(&folder().join(format)) {
        let path = fixture.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    fixture
}

/// What the folder holds: two segments, a version of two chunks, and one that a later write replaced.
fn publish_all(generation: &Generation) {
    let english =
        |doc, chunk, body: &str| RowInput { language: crate::Language::of_tag("en"), ..row(doc, 1, chunk, body) };
    let first =
        vec![english(0, 0, "rotating the signing keys"), english(0, 1, "keys of doors"), english(1, 0, "lunch")];
    generation.publish(first, Seq(3)).unwrap();
    let german = RowInput { language: crate::Language::of_tag("de"), ..row(1, 2, 0, "die Schlüssel der Türen") };
    generation.publish(vec![german], Seq(4)).unwrap();
}

/// Writes the folder of this format, once.
fn write_what_is_missing(to: &std::path::Path) {
    if to.is_dir() {
        return;
    }
    let fixture = Fixture::new();
    publish_all(&fixture.generation());
    for (path, content) in files(fixture.folder.path()) {
        let path = to.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    panic!("{} was missing and has been written; look at it, add it, and run the test again", to.display());
}

#[test]
fn a_folder_of_this_format_opens_and_answers_as_one_that_is_written_now() {
    let format = crate::manifest::FORMAT.to_string();
    write_what_is_missing(&folder().join(&format));
    let old = copied(&format);
    let new = Fixture::new();
    publish_all(&new.generation());
    let table = all_open(4, &[(0, 1), (1, 2)]);
    let answers = |fixture: &Fixture| {
        let snapshot = fixture.generation().snapshot();
        let words: Vec<_> =
            ["key", "schlussel", "lunch", "signing doors"].map(|query| words(&snapshot, &table, query)).into();
        (snapshot.applied_seq(), snapshot.rows(), words, vectors(&snapshot, &table, 3, 10))
    };
    let (was, is) = (answers(&old), answers(&new));
    assert_eq!(was, is);
    assert_eq!((was.0, was.1, was.2[0].len()), (Seq(4), 4, 2));
}

#[test]
fn a_folder_of_an_older_format_is_refused_by_name_and_stays_as_it_is() {
    let old = copied("1");
    let before = files(old.folder.path());
    let error = old.open().unwrap_err();
    assert!(matches!(error, IndexError::Format { found: 1, .. }), "{error}");
    assert!(error.to_string().contains("has index format 1, this version reads"), "{error}");
    assert_eq!(files(old.folder.path()), before);
}
