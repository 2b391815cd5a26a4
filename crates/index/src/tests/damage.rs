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

fn must_be_corrupt(opened: Result<(), IndexError>, what: &str) {
    match opened {
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}"),
        Ok(()) => panic!("{what} was opened"),
    }
}

/// What must be so when one segment is damaged: the other answers, what is missing is known, also after a restart.
fn must_be_put_aside(mut fixture: Fixture, segment: &str, what: &str) {
    let rows = if segment == "0000000000" { 1 } else { 2 };
    for _ in 0..2 {
        let snapshot = fixture.generation().snapshot();
        assert_eq!((snapshot.rows(), snapshot.applied_seq()), (rows, Seq(2)), "{what}");
        assert!(snapshot.lacks_rows() && snapshot.lost_segments() == 1, "{what}");
        let names = crate::disk::names(&fixture.path()).unwrap();
        assert!(!names.iter().any(|name| name == segment), "{what}: {names:?}");
        fixture.restart();
    }
}

#[test]
fn a_changed_byte_a_cut_and_a_loss_of_any_file_are_seen_and_cost_no_more_than_the_segment() {
    let image = files(&written().path());
    assert_eq!(image.len(), 1 + 2 * 4);
    for (file, content) in &image {
        let check = |content: Option<Vec<u8>>, what: &str| {
            let what = format!("{} {what}", file.display());
            let mut damaged = image.clone();
            match content {
                Some(content) => damaged.insert(file.clone(), content),
                None => damaged.remove(file),
            };
            let fixture = Fixture::of(&damaged);
            match file.parent().and_then(std::path::Path::to_str) {
                None | Some("") => must_be_corrupt(fixture.open().map(|_| ()), &what),
                Some(segment) => must_be_put_aside(fixture, segment, &what),
            }
        };
        let step = (content.len() / 10).max(1);
        for at in (0..content.len()).step_by(step).chain([content.len() - 1]) {
            let mut changed = content.clone();
            changed[at] ^= 1 << (at % 8);
            check(Some(changed), &format!("with byte {at} changed"));
            check(Some(content[..at].to_vec()), &format!("cut at {at}"));
        }
        check(Some([&content[..], b"\n"].concat()), "with a byte more");
        check(None, "missing");
    }
}

#[test]
fn a_segment_of_which_nothing_is_left_is_lacking_too() {
    let fixture = written();
    std::fs::remove_dir_all(fixture.path().join("0000000000")).unwrap();
    must_be_put_aside(fixture, "0000000000", "a segment that is gone");
}

#[test]
fn a_segment_that_the_manifest_names_in_an_unknown_way_is_put_aside_alone() {
    let fixture = written();
    let mut manifest = crate::manifest::read(&fixture.path()).unwrap().unwrap();
    manifest.segments[1].files.clear();
    assert!(crate::manifest::publish(&fixture.path(), &manifest).is_ok());
    must_be_put_aside(fixture, "0000000001", "an entry without files");
}

#[test]
fn what_was_lost_is_brought_back_by_its_rows_and_then_nothing_is_lacking() {
    let mut fixture = written();
    std::fs::write(fixture.path().join("0000000000").join("rows"), b"damage").unwrap();
    let generation = fixture.generation();
    assert_eq!(fixture.index.take_unwell(), [tenant("acme")]);
    assert_eq!(fixture.index.take_unwell(), []);
    assert_eq!(generation.snapshot().rows_of(DocNo(0), VersionNo(1)), 0);
    generation
        .publish(vec![row(0, 1, 0, "signing keys"), row(0, 1, 1, "doors"), row(1, 1, 0, "lunch")], Seq(2))
        .unwrap();
    assert!(generation.snapshot().lacks_rows(), "nobody said yet that this was all");
    assert_eq!(generation.snapshot().rows_of(DocNo(0), VersionNo(1)), 2);
    generation.mended().unwrap();
    fixture.restart();
    let snapshot = fixture.generation().snapshot();
    assert_eq!((snapshot.rows(), snapshot.lacks_rows(), snapshot.lost_segments()), (3, false, 0));
    assert_eq!(keys(&words(&snapshot, &all_open(2, &[(0, 1), (1, 1)]), "doors")), [key(0, 1, 1)]);
    assert_eq!(fixture.index.take_unwell(), []);
}

#[test]
fn files_that_trade_places_are_seen() {
    let fixture = written();
    let path = fixture.path();
    let names: Vec<String> =
        crate::disk::names(&path).unwrap().into_iter().filter(|name| name != "manifest.json").collect();
    std::fs::rename(path.join(&names[0]), path.join("spare")).unwrap();
    std::fs::rename(path.join(&names[1]), path.join(&names[0])).unwrap();
    std::fs::rename(path.join("spare"), path.join(&names[1])).unwrap();
    let snapshot = fixture.generation().snapshot();
    assert_eq!((snapshot.rows(), snapshot.lost_segments()), (0, 2));
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
fn a_damaged_manifest_stands_in_nobodys_way_and_its_generation_is_begun_again_knowing_what_it_lacks() {
    let mut fixture = written();
    std::fs::write(fixture.path().join("manifest.json"), b"damage").unwrap();
    must_be_corrupt(fixture.open().map(|_| ()), "a damaged generation");
    let service = Scope::service(&tenant("globex"));
    fixture.index.generation(&service, &generation_id("g1"), &recipe(), DIMENSION).unwrap();
    let (aside, _) = fixture.index.begin_again(&ann(), &generation_id("g1"), &recipe(), DIMENSION).unwrap();
    assert!(aside.join("manifest.json").is_file());
    fixture.restart();
    let snapshot = fixture.generation().snapshot();
    assert_eq!((snapshot.applied_seq(), snapshot.rows(), snapshot.lacks_rows()), (Seq(0), 0, true));
    fixture.generation().mended().unwrap();
    fixture.restart();
    assert!(!fixture.generation().snapshot().lacks_rows());
}

#[test]
fn a_look_at_a_generation_changes_nothing_and_finds_what_is_wrong() {
    let fixture = written();
    let look = || {
        let found = fixture.index.inspect(&ann(), &generation_id("g1"), &recipe(), DIMENSION);
        found.unwrap().unwrap()
    };
    let found = look();
    assert_eq!(found.rows, [key(0, 1, 0), key(0, 1, 1), key(1, 1, 0)]);
    assert!(found.segments.iter().all(|segment| segment.damage.is_none()), "{found:?}");
    std::fs::write(fixture.path().join("0000000000").join("rows"), b"damage").unwrap();
    let before = files(&fixture.path());
    let found = look();
    assert_eq!((found.rows.len(), found.applied_seq, found.lacks_rows), (1, Seq(2), false));
    let damage = found.segments[0].damage.clone().unwrap();
    assert!(damage.contains("rows is damaged") && found.segments[1].damage.is_none(), "{damage}");
    assert_eq!(files(&fixture.path()), before);
    drop(fixture.generation());
    let found = look();
    assert!(found.lacks_rows && found.segments.len() == 1 && found.aside == ["0000000000.damaged-1"], "{found:?}");
    let nothing = fixture.index.inspect(&ann(), &generation_id("g9"), &recipe(), DIMENSION).unwrap();
    assert!(nothing.is_none());
}

#[test]
fn a_row_whose_words_are_not_those_that_were_counted_is_found() {
    let fixture = Fixture::new();
    fixture.generation().publish(vec![row(0, 1, 0, "one two three")], Seq(1)).unwrap();
    let other = Fixture::new();
    other.generation().publish(vec![row(0, 1, 0, "one two three four")], Seq(1)).unwrap();
    let (here, there) = (fixture.path(), other.path());
    std::fs::copy(there.join("0000000000").join("lexical"), here.join("0000000000").join("lexical")).unwrap();
    let mut manifest = crate::manifest::read(&here).unwrap().unwrap();
    manifest.segments[0].files[0] = crate::manifest::read(&there).unwrap().unwrap().segments[0].files[0].clone();
    assert!(crate::manifest::publish(&here, &manifest).is_ok());
    assert_eq!(fixture.generation().snapshot().rows(), 1, "every byte is as its manifest says");
    let found = fixture.index.inspect(&ann(), &generation_id("g1"), &recipe(), DIMENSION).unwrap().unwrap();
    assert!(found.segments[0].damage.as_ref().is_some_and(|what| what.contains("row 0 has")), "{found:?}");
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
