//! Nothing that differs by a byte from what was written is opened.

use super::*;
use catena_domain::ErrorKind;

/// Two small segments.
fn written() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.generation().publish(vec![row(0, 1, 0, "signing keys"), row(0, 1, 1, "doors")], Seq(1)).unwrap();
    fixture.generation().publish(vec![row(1, 1, 0, "lunch")], Seq(2)).unwrap();
    fixture.restart();
    fixture
}

/// Opens with `file` holding `content` (or missing), then puts back what was there.
fn open_with(fixture: &mut Fixture, file: &PathBuf, content: Option<&[u8]>) -> Result<(), IndexError> {
    let path = fixture.path().join(file);
    let original = std::fs::read(&path).unwrap();
    match content {
        Some(content) => std::fs::write(&path, content).unwrap(),
        None => std::fs::remove_file(&path).unwrap(),
    }
    fixture.restart();
    let opened = fixture.open().map(|_| ());
    std::fs::write(&path, original).unwrap();
    opened
}

fn must_be_corrupt(opened: Result<(), IndexError>, what: &str) {
    match opened {
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}"),
        Ok(()) => panic!("{what} was opened"),
    }
}

#[test]
fn a_changed_byte_a_cut_and_a_loss_of_any_file_are_seen() {
    let mut fixture = written();
    let files = files(&fixture.path());
    assert_eq!(files.len(), 1 + 2 * 4);
    for (file, content) in files {
        let step = (content.len() / 40).max(1);
        for at in (0..content.len()).step_by(step).chain([content.len() - 1]) {
            let mut changed = content.clone();
            changed[at] ^= 1 << (at % 8);
            must_be_corrupt(
                open_with(&mut fixture, &file, Some(&changed)),
                &format!("{} with byte {at} changed", file.display()),
            );
            must_be_corrupt(
                open_with(&mut fixture, &file, Some(&content[..at])),
                &format!("{} cut at {at}", file.display()),
            );
        }
        let longer = [&content[..], b"\n"].concat();
        must_be_corrupt(open_with(&mut fixture, &file, Some(&longer)), &format!("{} with a byte more", file.display()));
        must_be_corrupt(open_with(&mut fixture, &file, None), &format!("a generation without {}", file.display()));
    }
    fixture.restart();
    assert_eq!(fixture.generation().snapshot().rows(), 3, "put back, it opens");
}

#[test]
fn files_that_trade_places_are_seen() {
    let mut fixture = written();
    let path = fixture.path();
    let names: Vec<String> =
        crate::disk::names(&path).unwrap().into_iter().filter(|name| name != "manifest.json").collect();
    std::fs::rename(path.join(&names[0]), path.join("spare")).unwrap();
    std::fs::rename(path.join(&names[1]), path.join(&names[0])).unwrap();
    std::fs::rename(path.join("spare"), path.join(&names[1])).unwrap();
    must_be_corrupt(fixture.open().map(|_| ()), "a generation with segments swapped");
    fixture.restart();
}

#[test]
fn another_tenants_or_another_generations_folder_is_not_opened() {
    let fixture = written();
    let copy = |to: &std::path::Path| {
        for (file, content) in files(&fixture.path()) {
            let path = to.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
    };
    copy(&fixture.folder.path().join("globex").join("g1"));
    copy(&fixture.folder.path().join("acme").join("g2"));
    let globex = Scope::service(&tenant("globex"));
    let theirs = fixture.index.generation(&globex, &generation_id("g1"), &recipe(), DIMENSION);
    must_be_corrupt(theirs.map(|_| ()), "another tenant's generation");
    must_be_corrupt(fixture.open_named("g2").map(|_| ()), "another generation");
    assert_eq!(fixture.generation().snapshot().rows(), 3, "the tenant itself is served");
}

#[test]
fn a_damaged_generation_stands_in_nobodys_way_and_is_built_again() {
    let fixture = written();
    let rows = fixture.path().join("0000000000").join("rows");
    std::fs::write(rows, b"damage").unwrap();
    must_be_corrupt(fixture.open().map(|_| ()), "a damaged generation");
    let globex = Scope::service(&tenant("globex"));
    fixture.index.generation(&globex, &generation_id("g1"), &recipe(), DIMENSION).unwrap();
    fixture.index.quarantine(&ann(), &generation_id("g1")).unwrap();
    assert_eq!(fixture.generation().applied_seq(), Seq(0));
}

#[test]
fn a_publication_of_which_the_outcome_is_unknown_closes_the_generation_until_it_is_read_again() {
    let fixture = written();
    let generation = fixture.generation();
    let manifest = fixture.path().join("manifest.json");
    let content = std::fs::read(&manifest).unwrap();
    // A folder in the manifest's place lets the rename fail, after everything else was done.
    std::fs::remove_file(&manifest).unwrap();
    std::fs::create_dir(&manifest).unwrap();
    let error = generation.publish(vec![row(5, 1, 0, "key")], Seq(3)).unwrap_err();
    assert!(matches!(error, IndexError::Io { .. }), "{error}");
    let error = generation.publish(vec![row(5, 1, 0, "key")], Seq(3)).unwrap_err();
    assert!(matches!(error, IndexError::Closed { .. }), "{error}");
    std::fs::remove_dir(&manifest).unwrap();
    std::fs::write(&manifest, content).unwrap();
    let again = fixture.generation();
    assert_eq!(again.applied_seq(), Seq(2), "what the disk holds counts");
    again.publish(vec![row(5, 1, 0, "key")], Seq(3)).unwrap();
    assert_eq!(again.snapshot().rows(), 4);
}

#[test]
fn an_index_of_another_format_is_named_as_such() {
    let mut fixture = written();
    let manifest = crate::manifest::read(&fixture.path()).unwrap().unwrap();
    let newer = crate::manifest::Manifest { format: crate::manifest::FORMAT + 1, ..manifest };
    assert!(crate::manifest::publish(&fixture.path(), &newer).is_ok());
    fixture.restart();
    let error = fixture.open().map(|_| ()).unwrap_err();
    assert!(matches!(error, IndexError::Format { found, .. } if found == crate::manifest::FORMAT + 1), "{error}");
}
