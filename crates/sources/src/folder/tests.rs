//! Folders as the command line and the demo read them.

use super::*;

fn ids(folder: &Folder) -> Vec<&str> {
    folder.documents.iter().map(|document| document.id.as_str()).collect()
}

fn folder_of(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

#[test]
fn a_plain_folder_gives_documents_and_says_why_the_rest_are_none() {
    let folder = folder_of(&[
        ("b.md", "b"),
        ("a/x.TXT", "x"),
        ("a/logo.png", ""),
        (".hidden.md", ""),
        (".git/config.md", ""),
        ("drafts/d.md", ""),
        (".gitignore", "drafts/"),
    ]);
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join("out.md")).unwrap();
    std::os::unix::fs::symlink("b.md", folder.path().join("in.md")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("dead.md")).unwrap();
    let acl = Acl::parse(&["everyone"], &[]).unwrap();
    let read = read(folder.path(), Some(&acl)).unwrap();
    assert_eq!(ids(&read), ["a/x.TXT", "b.md", "in.md"]);
    assert!(read.documents.iter().all(|document| document.acl == acl && document.decided == Decided::Given));
    let reason = |path: &str| &read.skipped.iter().find(|skipped| skipped.path == path).unwrap().reason;
    assert!(reason("a/logo.png").contains("ending"));
    assert!(reason(".git").contains("hidden") && reason(".hidden.md").contains("hidden"));
    assert!(reason("out.md").contains("out of the folder"));
    assert!(reason("dead.md").contains("nowhere"));
}

#[test]
fn without_rules_and_without_a_list_nobody_is_allowed() {
    let folder = folder_of(&[("a.md", "a")]);
    assert_eq!(read(folder.path(), None).unwrap().documents[0].acl, Acl::default());
}

#[test]
fn rules_and_a_given_list_exclude_each_other() {
    let folder = folder_of(&[("a.md", "a"), ("access.toml", "")]);
    assert!(read(folder.path(), Some(&Acl::default())).is_err());
    let read = read(folder.path(), None).unwrap();
    assert_eq!((ids(&read), read.documents[0].decided), (vec!["a.md"], Decided::NoRule));
    assert!(read.skipped.is_empty(), "{:?}", read.skipped);
}

#[test]
fn a_link_shows_nothing_that_is_hidden_or_under_another_rule() {
    let rules = "[[rule]]\npath = '**'\nallow = ['everyone']\n[[rule]]\npath = 'legal/**'\nallow = ['group:legal']\n";
    let folder = folder_of(&[("access.toml", rules), ("legal/deal.md", ""), (".git/config.md", ""), ("open/a.md", "")]);
    for (name, target) in [
        ("deal.md", "../legal/deal.md"),
        ("config.md", "../.git/config.md"),
        ("rules.md", "../access.toml"),
        ("b.md", "a.md"),
    ] {
        std::os::unix::fs::symlink(target, folder.path().join("open").join(name)).unwrap();
    }
    let read = read(folder.path(), None).unwrap();
    assert_eq!(ids(&read), ["legal/deal.md", "open/a.md", "open/b.md"]);
    let links: Vec<&str> =
        read.skipped.iter().filter(|one| one.reason.contains("link")).map(|one| one.path.as_str()).collect();
    assert_eq!(links, ["open/config.md", "open/deal.md", "open/rules.md"]);
}

#[test]
fn earlier_texts_belong_to_their_document_in_the_order_of_their_numbers() {
    let folder = folder_of(&[
        ("access.toml", "[[rule]]\npath = '**'\nallow = ['everyone']"),
        ("documents/k/keys.txt", "now"),
        ("documents/k/other.md", "now"),
        ("tenant.toml", ""),
        ("history/k/keys.txt/10.md", ""),
        ("history/k/keys.txt/9.md", ""),
        ("history/k/gone.md/1.md", ""),
    ]);
    let read = read(folder.path(), None).unwrap();
    assert_eq!(ids(&read), ["k/keys.txt", "k/other.md"]);
    let names: Vec<_> = read.documents[0].history.iter().map(|path| path.file_name().unwrap()).collect();
    assert_eq!(names, ["9.md", "10.md"]);
    assert_eq!(read.skipped.len(), 1);
    assert_eq!(read.skipped[0].path, "history/k/gone.md/1.md");
}

#[test]
fn the_demo_tenants_can_be_read_whole() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../corpora");
    for (tenant, document, group, earlier) in [
        ("kestrel", "eng/signing-keys.md", "group:eng", 2),
        ("harbour", "policies/anchor-home-wording.md", "everyone", 2),
    ] {
        let read = read(&corpora.join(tenant), None).unwrap();
        assert!(read.skipped.is_empty(), "{tenant}: {:?}", read.skipped);
        let found = read.documents.iter().find(|found| found.id.as_str() == document).unwrap();
        let allow: Vec<String> = found.acl.lists().unwrap().allow().iter().map(ToString::to_string).collect();
        assert_eq!((allow, found.history.len()), (vec![group.to_owned()], earlier));
    }
}
