//! What a folder promises beyond the suite.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use catena_access::Acl;
use catena_sources::spec::FolderSpec;
use catena_sources::{Access, AccessSpec, Fetch, Source, SourceError, SourceSpec, Surroundings};
use futures::StreamExt as _;

use crate::suite::{look, other_rules_are_another_tag, try_look};
use crate::{credentials, open, write};

fn spec(path: &Path) -> FolderSpec {
    FolderSpec { path: path.display().to_string(), ..FolderSpec::default() }
}

fn allowing(folder: &Path) -> Surroundings {
    Surroundings { folders: vec![folder.to_owned()], ..Surroundings::default() }
}

fn source(spec: FolderSpec, folder: &Path) -> Box<dyn Source> {
    open(&SourceSpec::Folder(spec), &credentials(&[]), &allowing(folder))
}

#[tokio::test]
async fn only_folders_that_the_operator_allows_are_read_whatever_leads_there() {
    let home = tempfile::tempdir().unwrap();
    let (open, closed) = (home.path().join("open"), home.path().join("closed"));
    write(&open.join("a.md"), b"a", 1);
    write(&closed.join("b.md"), b"b", 1);
    symlink(&closed, open.join("way")).unwrap();
    let refuse = |path: &Path, surroundings: &Surroundings| {
        catena_sources::open(&SourceSpec::Folder(spec(path)), &credentials(&[]), surroundings).map(|_| ()).unwrap_err()
    };
    for path in [&closed, &open.join("way"), Path::new("/etc"), &home.path().join("nowhere")] {
        assert!(matches!(refuse(path, &allowing(&open)), SourceError::Refused { .. }), "{}", path.display());
    }
    assert!(matches!(refuse(&open, &Surroundings::default()), SourceError::Refused { .. }));
    for path in ["relative", "/a/../b", ""] {
        assert!(matches!(refuse(Path::new(path), &allowing(&open)), SourceError::Invalid { .. }), "{path}");
    }
    // A folder that becomes a way out later is one no more.
    let moving = open.join("moving");
    write(&moving.join("b.md"), b"b", 1);
    let source = source(spec(&moving), &open);
    let seen = look(source.as_ref()).await;
    fs::remove_dir_all(&moving).unwrap();
    symlink(&closed, &moving).unwrap();
    assert!(matches!(try_look(source.as_ref(), None).await.map(|look| look.found), Err(SourceError::Refused { .. })));
    assert!(source.fetch(&seen.found["b.md"], None).await.is_err());
}

#[tokio::test]
async fn a_link_that_is_put_in_the_place_of_a_document_leads_to_nothing() {
    let home = tempfile::tempdir().unwrap();
    let top = home.path().join("top");
    write(&top.join("a.md"), b"a", 1);
    write(&top.join("deep/b.md"), b"b", 1);
    write(&home.path().join("secret/b.md"), b"secret", 1);
    let source = source(spec(&top), &top);
    let seen = look(source.as_ref()).await;
    fs::remove_file(top.join("a.md")).unwrap();
    symlink(home.path().join("secret/b.md"), top.join("a.md")).unwrap();
    fs::remove_dir_all(top.join("deep")).unwrap();
    symlink(home.path().join("secret"), top.join("deep")).unwrap();
    for id in ["a.md", "deep/b.md"] {
        assert_eq!(source.fetch(&seen.found[id], None).await.unwrap(), Fetch::Gone, "{id}");
    }
    let mut item = seen.found["a.md"].clone();
    item.id = "../secret/b.md".parse().unwrap();
    assert!(matches!(source.fetch(&item, None).await, Err(SourceError::Document { .. })));
}

#[tokio::test]
async fn a_link_shows_nothing_that_is_hidden_left_out_or_under_another_rule() {
    let home = tempfile::tempdir().unwrap();
    let rules = "[[rule]]\npath = '**'\nallow = ['everyone']\n[[rule]]\npath = 'legal/**'\nallow = ['group:legal']\n";
    write(&home.path().join("access.toml"), rules.as_bytes(), 1);
    for path in ["legal/deal.md", ".git/config", ".git/notes.md", "drafts/d.md", "public/open.md", "public/raw.bin"] {
        write(&home.path().join(path), b"secret", 1);
    }
    let links = [
        ("deal.md", "../legal/deal.md"),
        ("config.txt", "../.git/config"),
        ("notes.md", "../.git/notes.md"),
        ("draft.md", "../drafts/d.md"),
        ("raw.md", "raw.bin"),
        ("rules.md", "../access.toml"),
        ("again.md", "open.md"),
    ];
    for (name, target) in links {
        symlink(target, home.path().join("public").join(name)).unwrap();
    }
    let access = AccessSpec { from_file: true, ..AccessSpec::default() };
    let spec = FolderSpec { access, exclude: vec!["drafts/**".to_owned()], ..spec(home.path()) };
    let source = source(spec, home.path());
    let seen = look(source.as_ref()).await;
    assert_eq!(seen.found.keys().collect::<Vec<_>>(), ["legal/deal.md", "public/again.md", "public/open.md"]);
    for (name, _) in &links[..6] {
        assert!(seen.skipped.iter().any(|skipped| skipped.starts_with(&format!("public/{name}: "))), "{name}");
        let mut item = seen.found["public/again.md"].clone();
        item.id = format!("public/{name}").parse().unwrap();
        assert_eq!(source.fetch(&item, None).await.unwrap(), Fetch::Gone, "{name}");
    }
    let whole = source.fetch(&seen.found["public/again.md"], None).await.unwrap();
    assert!(matches!(whole, Fetch::Document { .. }), "{whole:?}");
}

#[tokio::test]
async fn a_folder_that_is_away_or_empty_is_an_error_and_never_an_empty_listing() {
    let home = tempfile::tempdir().unwrap();
    let top = home.path().join("top");
    write(&top.join("a.md"), b"a", 1);
    let source = source(spec(&top), home.path());
    look(source.as_ref()).await;
    fs::remove_file(top.join("a.md")).unwrap();
    let error = try_look(source.as_ref(), None).await.map(|look| look.found).unwrap_err();
    assert!(error.to_string().contains("not mounted"), "{error}");
    fs::remove_dir(&top).unwrap();
    let error = try_look(source.as_ref(), None).await.map(|look| look.found).unwrap_err();
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn globs_and_ignore_files_leave_out_what_they_name() {
    let home = tempfile::tempdir().unwrap();
    for path in ["docs/a.md", "docs/draft/b.md", "docs/c.txt", "docs/skip.md", "other/d.md"] {
        write(&home.path().join(path), b"x", 1);
    }
    fs::write(home.path().join("docs/.gitignore"), "skip.md\n").unwrap();
    let spec = FolderSpec {
        include: vec!["docs/**/*.md".to_owned()],
        exclude: vec!["**/draft/**".to_owned()],
        ..spec(home.path())
    };
    let seen = look(source(spec, home.path()).as_ref()).await;
    assert_eq!(seen.found.keys().collect::<Vec<_>>(), ["docs/a.md"]);
}

#[tokio::test]
async fn an_ignore_file_that_cannot_be_read_or_understood_shows_nothing_of_what_it_names() {
    for broken in [&b"skip.md\n[z-a].md\n"[..], b"skip.md\n\xFF\n", b""] {
        let home = tempfile::tempdir().unwrap();
        write(&home.path().join("docs/skip.md"), b"x", 1);
        write(&home.path().join("a.md"), b"x", 1);
        let file = home.path().join("docs/.gitignore");
        match broken {
            // What is no file cannot be read by anybody.
            [] => fs::create_dir(&file).unwrap(),
            text => fs::write(&file, text).unwrap(),
        }
        let source = source(spec(home.path()), home.path());
        let error = try_look(source.as_ref(), None).await.map(|look| look.found).unwrap_err();
        assert!(matches!(error, SourceError::Unreachable { .. }) && error.to_string().contains("part"), "{error}");
        assert!(catena_sources::folder::read(home.path(), None).is_err());
    }
}

#[tokio::test]
async fn rules_that_lie_in_the_folder_decide_where_the_description_says_so() {
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join("documents/a.md"), b"a", 1);
    write(&home.path().join("access.toml"), b"[[rule]]\npath = '**'\nallow = ['group:eng']\n", 1);
    let from_file = AccessSpec { from_file: true, ..AccessSpec::default() };
    let with = source(FolderSpec { access: from_file, ..spec(home.path()) }, home.path());
    let stated = Access::Stated(Acl::parse(&["group:eng"], &[]).unwrap());
    let seen = look(with.as_ref()).await;
    assert_eq!(seen.found["a.md"].access, Some(stated));
    let without = look(source(spec(home.path()), home.path()).as_ref()).await;
    assert_eq!(without.found["documents/a.md"].access, Some(Access::Unstated));
    write(&home.path().join("access.toml"), b"[[rule]]\npath = '**'\nalow = []\n", 2);
    assert!(try_look(with.as_ref(), None).await.is_err(), "rules that are not understood decide nothing");
}

#[tokio::test]
async fn a_rule_reaches_a_document_that_may_speak_for_itself() {
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join("a.md"), b"a", 1);
    let access = AccessSpec { from_file: true, from_documents: true, ..AccessSpec::default() };
    let source = source(FolderSpec { access, ..spec(home.path()) }, home.path());
    other_rules_are_another_tag(source.as_ref(), |rules| {
        write(&home.path().join("access.toml"), rules.as_bytes(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_file_written_twice_in_one_moment_has_two_tags() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.md");
    fs::write(&path, "one").unwrap();
    let source = source(spec(home.path()), home.path());
    let first = look(source.as_ref()).await;
    let at = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "two").unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
    let second = look(source.as_ref()).await;
    assert_ne!(first.found["a.md"].tag, second.found["a.md"].tag);
}

#[tokio::test]
async fn a_file_that_is_too_large_is_found_and_cannot_be_had() {
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join("big.txt"), b"", 1);
    fs::File::options().write(true).open(home.path().join("big.txt")).unwrap().set_len(65 * 1024 * 1024).unwrap();
    let source = source(spec(home.path()), home.path());
    let seen = look(source.as_ref()).await;
    let error = source.fetch(&seen.found["big.txt"], None).await.unwrap_err();
    assert!(matches!(error, SourceError::Document { .. }) && error.to_string().contains("larger"), "{error}");
}

#[tokio::test]
async fn a_change_is_told_once_after_a_quiet_moment_and_reading_is_none() {
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join("deep/a.md"), b"a", 1);
    let source = source(spec(home.path()), home.path());
    let mut changes = source.changes().unwrap();
    let mut written = 0;
    // Watching begins at some moment after the question, so the change is made until it is heard.
    let heard = loop {
        written += 1;
        fs::write(home.path().join("deep/a.md"), written.to_string()).unwrap();
        if let Ok(heard) = tokio::time::timeout(Duration::from_millis(1_500), changes.next()).await {
            break heard;
        }
        assert!(written < 20, "no change was heard");
    };
    assert_eq!(heard, Some(()));
    let seen = look(source.as_ref()).await;
    source.fetch(&seen.found["deep/a.md"], None).await.unwrap();
    let more = tokio::time::timeout(Duration::from_millis(900), changes.next()).await;
    assert!(more.is_err(), "reading is no change, and one change is told once");
}
