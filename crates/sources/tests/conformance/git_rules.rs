//! What a git repository promises beyond the suite.

use std::path::{Path, PathBuf};

use catena_sources::spec::GitSpec;
use catena_sources::{AccessSpec, Coverage, Fetch, Source, SourceError, SourceSpec, Surroundings};

use futures::StreamExt as _;

use crate::git::{git, place};
use crate::http::Server;
use crate::suite::{look, other_rules_are_another_tag, try_look};
use crate::{credentials, open, write};

/// A repository on the disk, which the operator allows.
struct Local {
    home: tempfile::TempDir,
    hour: u64,
}

impl Local {
    fn new() -> Self {
        let local = Self { home: tempfile::tempdir().unwrap(), hour: 0 };
        std::fs::create_dir(local.work()).unwrap();
        git(&local.work(), &["init", "--quiet", "--initial-branch=main"]);
        local
    }

    fn work(&self) -> PathBuf {
        self.home.path().join("work")
    }

    fn commit(&mut self, files: &[(&str, &str)]) {
        for (path, text) in files {
            self.hour += 1;
            write(&self.work().join(path), text.as_bytes(), self.hour);
        }
        git(&self.work(), &["add", "--all"]);
        git(&self.work(), &["commit", "--quiet", "--allow-empty", "--message", "change"]);
    }

    fn spec(&self) -> GitSpec {
        GitSpec { url: self.work().display().to_string(), ..GitSpec::default() }
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings {
            folders: vec![self.home.path().to_owned()],
            mirror: Some(self.home.path().join("mirror")),
            ..Surroundings::default()
        }
    }

    fn source(&self, spec: GitSpec) -> Box<dyn Source> {
        open(&SourceSpec::Git(spec), &credentials(&[]), &self.surroundings())
    }
}

fn ids(found: &std::collections::BTreeMap<String, catena_sources::Item>) -> Vec<&str> {
    found.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_branch_and_a_folder_of_it_are_followed_and_links_lead_to_the_original() {
    let mut local = Local::new();
    local.commit(&[("docs/en/a b.md", "# A"), ("docs/de/a.md", "# A"), ("README.md", "r")]);
    git(&local.work(), &["branch", "stable"]);
    local.commit(&[("docs/en/new.md", "n")]);
    let spec = GitSpec {
        branch: Some("stable".to_owned()),
        folder: Some("docs/en".to_owned()),
        link: Some("https://git.example.org/blob/{branch}/{path}".to_owned()),
        ..local.spec()
    };
    let source = local.source(spec);
    let seen = look(source.as_ref()).await;
    assert_eq!(ids(&seen.found), ["a b.md"]);
    let Fetch::Document { fetched, .. } = source.fetch(&seen.found["a b.md"], None).await.unwrap() else { panic!() };
    assert_eq!(fetched.uri.as_deref(), Some("https://git.example.org/blob/stable/docs/en/a%20b.md"));
    for (spec, needle) in [
        (GitSpec { branch: Some("gone".to_owned()), ..local.spec() }, "gone"),
        (GitSpec { folder: Some("nowhere".to_owned()), ..local.spec() }, "nowhere"),
    ] {
        let error = try_look(local.source(spec).as_ref(), None).await.map(|look| look.found).unwrap_err();
        assert!(error.to_string().contains(needle), "{error}");
    }
}

#[tokio::test]
async fn a_rewritten_history_is_compared_by_its_files_and_listed_whole_when_the_old_commit_is_lost() {
    let mut local = Local::new();
    local.commit(&[("a.md", "a"), ("b.md", "b")]);
    let source = local.source(local.spec());
    let first = look(source.as_ref()).await;
    git(&local.work(), &["checkout", "--quiet", "--orphan", "other"]);
    local.commit(&[("a.md", "other")]);
    git(&local.work(), &["branch", "--force", "main", "other"]);
    git(&local.work(), &["checkout", "--quiet", "main"]);
    let second = try_look(source.as_ref(), first.cursor.clone()).await.unwrap();
    assert_eq!((second.coverage, ids(&second.found)), (Coverage::SinceCursor, vec!["a.md"]));
    std::fs::remove_dir_all(local.home.path().join("mirror")).unwrap();
    let third = try_look(source.as_ref(), first.cursor).await.unwrap();
    assert_eq!((third.coverage, ids(&third.found)), (Coverage::Everything, vec!["a.md", "b.md"]));
}

#[tokio::test]
async fn other_rules_in_the_repository_or_the_description_are_a_reason_to_list_everything() {
    let mut local = Local::new();
    let rules = |who: &str| format!("[[rule]]\npath = '**'\nallow = ['{who}']\n");
    local.commit(&[("a.md", "a"), ("b.md", "b"), ("access.toml", &rules("everyone"))]);
    let spec = GitSpec { access: AccessSpec { from_file: true, ..AccessSpec::default() }, ..local.spec() };
    let source = local.source(spec.clone());
    let first = look(source.as_ref()).await;
    local.commit(&[("access.toml", &rules("group:eng"))]);
    let second = try_look(source.as_ref(), first.cursor.clone()).await.unwrap();
    assert_eq!((second.coverage, second.found.len()), (Coverage::Everything, 2));
    assert_ne!(second.found["a.md"].access, first.found["a.md"].access);
    assert_eq!(second.found["a.md"].tag, first.found["a.md"].tag);
    let other = local.source(GitSpec { exclude: vec!["b.md".to_owned()], ..spec });
    let third = try_look(other.as_ref(), second.cursor).await.unwrap();
    assert_eq!((third.coverage, ids(&third.found)), (Coverage::Everything, vec!["a.md"]));
    // Rules that are gone, or wrong, decide nothing: the look ends there, and nobody is let in or shut out by accident.
    local.commit(&[("access.toml", "[[rule]]\npath = 'a'\nallow = ['eng']")]);
    let error = try_look(source.as_ref(), None).await.map(|look| look.found).unwrap_err();
    assert!(error.to_string().contains("access.toml"), "{error}");
}

#[tokio::test]
async fn a_rule_reaches_a_document_that_may_speak_for_itself() {
    let mut local = Local::new();
    local.commit(&[("a.md", "a")]);
    let access = AccessSpec { from_file: true, from_documents: true, ..AccessSpec::default() };
    let source = local.source(GitSpec { access, ..local.spec() });
    other_rules_are_another_tag(source.as_ref(), |rules| local.commit(&[("access.toml", rules)])).await;
}

#[tokio::test]
async fn what_is_moved_out_of_what_is_wanted_is_gone_and_what_is_moved_in_is_new() {
    let mut local = Local::new();
    local.commit(&[("a.md", "aaaa"), ("b.png", "bbbb"), ("c.md", "cccc")]);
    let source = local.source(local.spec());
    let first = look(source.as_ref()).await;
    for (from, to) in [("a.md", "a.png"), ("b.png", "b.md"), ("c.md", "deep/c.md")] {
        crate::rename(&local.work(), from, to);
    }
    local.commit(&[]);
    let since = try_look(source.as_ref(), first.cursor).await.unwrap();
    assert_eq!(ids(&since.found), ["b.md", "deep/c.md"]);
    assert_eq!(since.gone, ["a.md".to_owned(), "a.png".to_owned()].into());
    assert_eq!(since.found["b.md"].moved_from, None);
    assert_eq!(since.found["deep/c.md"].moved_from.as_ref().map(|id| id.as_str()), Some("c.md"));
}

#[tokio::test]
async fn pointers_and_hooks_and_links_do_nothing() {
    let mut local = Local::new();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n";
    std::os::unix::fs::symlink("/etc/passwd", local.work().join("link.md")).unwrap();
    local.commit(&[("lfs.md", pointer), ("a.md", "a"), (".gitattributes", "*.md filter=evil\n")]);
    let proof = local.home.path().join("ran");
    let source = local.source(local.spec());
    let seen = look(source.as_ref()).await;
    let hook = local.home.path().join("mirror/hooks/reference-transaction");
    write(&hook, format!("#!/bin/sh\ntouch {}\n", proof.display()).as_bytes(), 1);
    std::process::Command::new("chmod").arg("+x").arg(&hook).status().unwrap();
    local.commit(&[("b.md", "b")]);
    assert_eq!(ids(&look(source.as_ref()).await.found), ["a.md", "b.md", "lfs.md"]);
    assert!(!proof.exists(), "a hook ran");
    let error = source.fetch(&seen.found["lfs.md"], None).await.unwrap_err();
    assert!(matches!(error, SourceError::Document { .. }) && error.to_string().contains("LFS"), "{error}");
}

#[tokio::test]
async fn a_lock_that_a_killed_process_left_stops_nothing() {
    let mut local = Local::new();
    local.commit(&[("a.md", "a")]);
    let source = local.source(local.spec());
    look(source.as_ref()).await;
    for lock in ["shallow.lock", "packed-refs.lock", "refs/catena/tip.lock"] {
        std::fs::write(local.home.path().join("mirror").join(lock), "").unwrap();
    }
    local.commit(&[("b.md", "b")]);
    assert_eq!(look(source.as_ref()).await.found.len(), 2);
}

#[tokio::test]
async fn a_repository_that_lies_elsewhere_behind_a_link_or_a_file_is_refused() {
    let mut local = Local::new();
    local.commit(&[("a.md", "secret")]);
    let open_to = local.home.path().join("open");
    let surroundings = Surroundings { folders: vec![open_to.clone()], ..local.surroundings() };
    let try_open = |name: &str| {
        let spec = GitSpec { url: open_to.join(name).display().to_string(), ..GitSpec::default() };
        catena_sources::open(&SourceSpec::Git(spec), &credentials(&[]), &surroundings)
    };
    let hidden = local.work().join(".git");
    let laid = |name: &str| {
        std::fs::create_dir_all(open_to.join(name)).unwrap();
        open_to.join(name).join(".git")
    };
    std::os::unix::fs::symlink(&hidden, laid("link")).unwrap();
    std::fs::write(laid("file"), format!("gitdir: {}\n", hidden.display())).unwrap();
    std::fs::write(laid("near"), "gitdir: ../../work/.git\n").unwrap();
    git(&local.work(), &["worktree", "add", "--quiet", "--detach", &open_to.join("worktree").display().to_string()]);
    // A folder of its own, which takes everything that matters from elsewhere.
    let shares = laid("shares");
    write(&shares.join("HEAD"), b"ref: refs/heads/main\n", 1);
    write(&shares.join("commondir"), hidden.display().to_string().as_bytes(), 1);
    let clone = |name: &str| {
        let (from, to) = (local.work().display().to_string(), open_to.join(name).display().to_string());
        git(&open_to, &["clone", "--quiet", "--no-hardlinks", &from, &to]);
        open_to.join(name).join(".git")
    };
    let borrows = clone("borrows");
    write(&borrows.join("objects/info/alternates"), hidden.join("objects").display().to_string().as_bytes(), 1);
    for (name, what) in [("of-refs", "refs"), ("of-objects", "objects")] {
        let linked = clone(name);
        std::fs::remove_dir_all(linked.join(what)).unwrap();
        std::os::unix::fs::symlink(hidden.join(what), linked.join(what)).unwrap();
    }
    for name in ["link", "file", "near", "worktree", "shares", "borrows", "of-refs", "of-objects"] {
        assert!(matches!(try_open(name).map(|_| ()), Err(SourceError::Refused { .. })), "{name}");
    }
    // One that becomes so later is refused by the next look.
    let whole = clone("whole");
    let source = try_open("whole").unwrap();
    assert_eq!(ids(&look(source.as_ref()).await.found), ["a.md"]);
    std::fs::remove_dir_all(&whole).unwrap();
    std::os::unix::fs::symlink(&hidden, &whole).unwrap();
    let error = try_look(source.as_ref(), None).await.map(|look| look.found).unwrap_err();
    assert!(matches!(error, SourceError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn a_worktree_of_a_repository_that_is_allowed_is_read_and_so_is_one_of_another_user() {
    let mut local = Local::new();
    local.commit(&[("a.md", "a")]);
    let worktree = local.home.path().join("worktree").display().to_string();
    git(&local.work(), &["worktree", "add", "--quiet", "-b", "aside", &worktree]);
    local.commit(&[("b.md", "b")]);
    let source = local.source(GitSpec { url: worktree, ..GitSpec::default() });
    assert_eq!(ids(&look(source.as_ref()).await.found), ["a.md"]);
    // Only who runs as root can give a folder away; for others it stays their own.
    let _ = std::os::unix::fs::chown(local.work().join(".git"), Some(12_345), None);
    let source = local.source(local.spec());
    assert_eq!(ids(&look(source.as_ref()).await.found), ["a.md", "b.md"]);
}

#[tokio::test]
async fn what_a_killed_fetch_left_half_written_goes_with_the_next() {
    let mut local = Local::new();
    local.commit(&[("a.md", "a")]);
    let source = local.source(local.spec());
    look(source.as_ref()).await;
    let packs = local.home.path().join("mirror/objects/pack");
    for left in ["tmp_pack_3fGh2a", "tmp_idx_3fGh2a", ".tmp-77-pack-00.pack", "pack-00.keep"] {
        std::fs::write(packs.join(left), "half").unwrap();
    }
    local.commit(&[("b.md", "b")]);
    assert_eq!(look(source.as_ref()).await.found.len(), 2);
    let left = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let left: Vec<String> = std::fs::read_dir(&packs).unwrap().map(left).collect();
    assert!(!left.iter().any(|name| name.contains("tmp") || name.ends_with(".keep")), "{left:?}");
}

/// Processes of this machine that were started with a word among their arguments.
fn processes(word: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(word)).count()
}

#[tokio::test]
async fn a_look_that_nobody_waits_for_ends_its_git_and_what_that_started() {
    let server = Server::start_slow(|_| Box::pin(std::future::pending())).await;
    let home = tempfile::tempdir().unwrap();
    let surroundings = Surroundings {
        hosts: vec![format!("127.0.0.1:{}", server.port)],
        mirror: Some(home.path().join("mirror")),
        ..Surroundings::default()
    };
    let spec = GitSpec { url: server.url("/never.git"), ..GitSpec::default() };
    let source = open(&SourceSpec::Git(spec), &credentials(&[]), &surroundings);
    let mut events = source.look(None);
    let word = format!("127.0.0.1:{}/never.git", server.port);
    let until_asked = async {
        while server.asked().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        event = events.next() => panic!("{event:?}"),
        () = until_asked => {}
    }
    assert!(processes(&word) > 1, "git has a program of its own for http");
    drop(events);
    let until_gone = async {
        while processes(&word) > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), until_gone).await.unwrap();
}

#[tokio::test]
async fn wrong_credentials_are_a_refusal_and_repositories_that_are_not_allowed_are_none() {
    let place = place().await;
    let spec = GitSpec { url: place.server.url("/origin/.git"), ..GitSpec::default() };
    let surroundings = Surroundings {
        hosts: vec![format!("127.0.0.1:{}", place.server.port)],
        mirror: Some(place.home.path().join("other")),
        ..Surroundings::default()
    };
    let wrong = credentials(&[("username", "alice"), ("password", "wrong-0815")]);
    let source = open(&SourceSpec::Git(spec.clone()), &wrong, &surroundings);
    let error = try_look(source.as_ref(), None).await.map(|look| look.found).unwrap_err();
    assert!(matches!(error, SourceError::Refused { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("credentials") && !text.contains("0815"), "{text}");
    let refuse = |spec: GitSpec, surroundings: &Surroundings| {
        let opened = catena_sources::open(&SourceSpec::Git(spec), &credentials(&[]), surroundings);
        opened.map(|_| ()).unwrap_err()
    };
    let closed = Surroundings { mirror: surroundings.mirror.clone(), ..Surroundings::default() };
    assert!(matches!(refuse(spec, &closed), SourceError::Refused { .. }));
    let path = place.home.path().join("served/origin").display().to_string();
    assert!(Path::new(&path).is_dir());
    assert!(matches!(refuse(GitSpec { url: path, ..GitSpec::default() }, &closed), SourceError::Refused { .. }));
    for url in [
        "ssh://git@example.org/x",
        "git@example.org:x",
        "ext::sh -c id",
        "file:///etc",
        "https://a:b@example.org/x",
        "-upload",
    ] {
        let error = refuse(GitSpec { url: url.to_owned(), ..GitSpec::default() }, &closed);
        assert!(matches!(error, SourceError::Invalid { .. }), "{url}: {error}");
    }
    for branch in ["-x", "a..b", "a b", "@{u}", "/a", "a:b"] {
        let spec =
            GitSpec { url: "https://example.org/x".to_owned(), branch: Some(branch.to_owned()), ..GitSpec::default() };
        assert!(matches!(refuse(spec, &closed), SourceError::Invalid { .. }), "{branch}");
    }
}
