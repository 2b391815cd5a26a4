//! A folder of documents as it lies on a disk, with the rules that say who may read them.
//!
//! Promises: each file is either a document, with its access list decided, or named with the reason why it is none; the
//! order is the same everywhere; a rule file that is not understood is refused with its line, never half obeyed; what no
//! rule matches is nobody's. Does not: read what lies outside the folder, or the documents' contents before they are
//! asked for.
//!
//! Two layouts are known. Files that lie in the folder are its documents, and an `access.toml` beside them holds their
//! rules. Or the folder holds `documents/` and `access.toml` side by side; then `history/PATH/N.md` are the earlier texts
//! of `documents/PATH`. In both, the last rule whose pattern matches a document's id decides alone. Files that a
//! `.gitignore` of the folder names are left out.

mod rules;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};
use catena_access::Acl;
use catena_domain::{DocumentId, Timestamp, limits};
use catena_text::Format;
use ignore::{DirEntry, WalkBuilder};

use rules::Rules;

const RULES: &str = "access.toml";
const DOCUMENTS: &str = "documents";
const HISTORY: &str = "history";
/// Most documents of one folder.
const DOCUMENTS_MAX: usize = 1_000_000;

/// What a folder holds.
#[derive(Debug)]
pub(crate) struct Folder {
    /// The documents, in the order of their ids.
    pub(crate) documents: Vec<FolderDocument>,
    /// What lies there besides.
    pub(crate) skipped: Vec<Skipped>,
    /// The rule file that decided, if there is one.
    pub(crate) rules: Option<PathBuf>,
}

/// One document of a folder.
#[derive(Debug, Clone)]
pub(crate) struct FolderDocument {
    /// Its path below the folder, with `/`.
    pub(crate) id: DocumentId,
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
    pub(crate) acl: Acl,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) decided: Decided,
    /// When the file was changed last, if the disk knows.
    pub(crate) modified_at: Option<Timestamp>,
    /// Files with its earlier texts, the oldest first.
    pub(crate) history: Vec<PathBuf>,
}

/// What decided a document's access list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decided {
    /// The rule at this line.
    Rule { line: usize },
    /// There are rules, and none matches: nobody but administrators may read it.
    NoRule,
    /// Whoever asked for the folder to be read gave one list for all.
    Given,
}

/// Something in the folder that is no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skipped {
    /// Its path below the folder.
    pub(crate) path: String,
    pub(crate) why: Why,
    pub(crate) reason: String,
}

/// Whether something was left out on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is of a kind that is not read.
    Kind,
    /// It might be a document, but it cannot be read.
    Unreadable,
}

/// Reads the folder, or the one file, at `path`. Without rules of its own, each document gets the list `given`, or else
/// an empty one.
pub(crate) fn read(path: &Path, given: Option<&Acl>) -> anyhow::Result<Folder> {
    let facts = fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?;
    if facts.is_file() {
        return one_file(path, given);
    }
    let inner = path.join(DOCUMENTS);
    let rules_path = path.join(RULES);
    let has_rules = rules_path.is_file();
    let beside = has_rules && inner.is_dir();
    let top = if beside { inner.as_path() } else { path };
    let access = match (has_rules, given) {
        (true, Some(_)) => bail!(
            "{} decides who may read what, and so would --allow and --deny; leave them out, or move the file away",
            rules_path.display()
        ),
        (true, None) => Access::Rules(rules(&rules_path)?),
        (false, given) => Access::One(given.cloned().unwrap_or_default()),
    };
    let mut walk = Walk::through(top)?;
    walk.skipped.retain(|skipped| !(has_rules && !beside && skipped.path == RULES));
    let mut documents = walk.found.into_iter().map(|found| access.document(found)).collect();
    let mut skipped = walk.skipped;
    let past = path.join(HISTORY);
    if beside && past.is_dir() {
        add_history(&past, &mut documents, &mut skipped)?;
    }
    Ok(Folder { documents, skipped, rules: has_rules.then_some(rules_path) })
}

fn one_file(path: &Path, given: Option<&Acl>) -> anyhow::Result<Folder> {
    let name = path.file_name().and_then(OsStr::to_str).context("the file's name is not UTF-8; rename it")?;
    let format = Format::from_path(name).with_context(|| format!("{name}: {}", unknown_ending()))?;
    let found = Found { id: DocumentId::new(name)?, path: path.to_owned(), format };
    let access = Access::One(given.cloned().unwrap_or_default());
    Ok(Folder { documents: vec![access.document(found)], skipped: Vec::new(), rules: None })
}

/// A file's content, if it is not larger than a document may be.
pub(crate) fn content(path: &Path) -> anyhow::Result<Vec<u8>> {
    bounded(path, limits::DOCUMENT_BODY_BYTES_MAX as u64)
}

fn bounded(path: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    let failed = || format!("{} cannot be read", path.display());
    let file = fs::File::open(path).with_context(failed)?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).with_context(failed)?;
    if bytes.len() as u64 > bytes_max {
        bail!("{} is larger than {bytes_max} bytes, the limit; split it", path.display());
    }
    Ok(bytes)
}

fn rules(path: &Path) -> anyhow::Result<Rules> {
    let text = String::from_utf8(bounded(path, rules::BYTES_MAX)?);
    let text = text.with_context(|| format!("{} is not UTF-8", path.display()))?;
    Rules::parse(&text).with_context(|| format!("{} is not understood", path.display()))
}

/// Who decides about access.
enum Access {
    Rules(Rules),
    One(Acl),
}

impl Access {
    fn document(&self, found: Found) -> FolderDocument {
        let (acl, attributes, decided) = match self {
            Self::One(acl) => (acl.clone(), BTreeMap::new(), Decided::Given),
            Self::Rules(rules) => match rules.decide(found.id.as_str()) {
                Some(rule) => (rule.acl.clone(), rule.attributes.clone(), Decided::Rule { line: rule.line }),
                None => (Acl::default(), BTreeMap::new(), Decided::NoRule),
            },
        };
        FolderDocument {
            modified_at: modified_at(&found.path),
            id: found.id,
            path: found.path,
            format: found.format,
            acl,
            attributes,
            decided,
            history: Vec::new(),
        }
    }
}

fn modified_at(path: &Path) -> Option<Timestamp> {
    let modified = fs::metadata(path).and_then(|facts| facts.modified()).ok()?;
    Some(Timestamp(chrono::DateTime::<chrono::Utc>::from(modified).timestamp_micros()))
}

/// A file that is a document.
#[derive(Debug)]
struct Found {
    id: DocumentId,
    path: PathBuf,
    format: Format,
}

/// A walk through a folder, in the order of names.
#[derive(Debug)]
struct Walk {
    found: Vec<Found>,
    skipped: Vec<Skipped>,
}

impl Walk {
    fn through(top: &Path) -> anyhow::Result<Self> {
        let real = top.canonicalize().with_context(|| format!("{} cannot be read", top.display()))?;
        let hidden = Arc::new(Mutex::new(Vec::new()));
        let mut walk = Self { found: Vec::new(), skipped: Vec::new() };
        for entry in entries(top, Arc::clone(&hidden)) {
            match entry {
                Ok(entry) if entry.depth() == 0 || entry.file_type().is_some_and(|kind| kind.is_dir()) => {}
                Ok(entry) => match found(&entry, top, &real) {
                    Ok(found) => walk.found.push(found),
                    Err((why, reason)) => walk.skip(below(top, entry.path()), why, reason),
                },
                Err(error) => walk.skip(top.display().to_string(), Why::Unreadable, error.to_string()),
            }
            if walk.found.len() > DOCUMENTS_MAX {
                bail!("{} holds more than {DOCUMENTS_MAX} documents; ingest its folders one by one", top.display());
            }
        }
        for folder in hidden.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            walk.skip(below(top, folder), Why::Kind, "it is hidden".to_owned());
        }
        walk.found.sort_by(|a, b| a.id.cmp(&b.id));
        walk.skipped.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(walk)
    }

    fn skip(&mut self, path: String, why: Why, reason: String) {
        self.skipped.push(Skipped { path, why, reason });
    }
}

/// All that lies below `top`, but for what is in hidden folders; those are put into `hidden`.
fn entries(top: &Path, hidden: Arc<Mutex<Vec<PathBuf>>>) -> ignore::Walk {
    WalkBuilder::new(top)
        .hidden(false)
        // Only what lies in the folder itself decides, so that it is read alike on every machine.
        .parents(false)
        .git_global(false)
        .git_exclude(false)
        .require_git(false)
        .follow_links(false)
        .sort_by_file_name(Ord::cmp)
        .filter_entry(move |entry| {
            let folder = entry.file_type().is_some_and(|kind| kind.is_dir());
            if entry.depth() == 0 || !folder || !is_hidden(entry) {
                return true;
            }
            hidden.lock().unwrap_or_else(PoisonError::into_inner).push(entry.path().to_owned());
            false
        })
        .build()
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

fn below(top: &Path, path: &Path) -> String {
    path.strip_prefix(top).unwrap_or(path).display().to_string()
}

fn unknown_ending() -> String {
    "its ending is none of .md, .markdown, .txt, .text".to_owned()
}

fn found(entry: &DirEntry, top: &Path, real_top: &Path) -> Result<Found, (Why, String)> {
    let kind = |reason: &str| (Why::Kind, reason.to_owned());
    if is_hidden(entry) {
        return Err(kind("it is hidden"));
    }
    let parts: Option<Vec<&str>> =
        entry.path().strip_prefix(top).unwrap_or(entry.path()).iter().map(OsStr::to_str).collect();
    let id = parts.ok_or((Why::Unreadable, "its name is not UTF-8".to_owned()))?.join("/");
    let format = Format::from_path(&id).ok_or_else(|| (Why::Kind, unknown_ending()))?;
    if entry.path_is_symlink() {
        let target =
            entry.path().canonicalize().map_err(|_| (Why::Unreadable, "it is a link that leads nowhere".to_owned()))?;
        if !target.starts_with(real_top) {
            return Err(kind("it is a link out of the folder"));
        }
        if !target.is_file() {
            return Err(kind("it is a link to a folder; links to folders are not followed"));
        }
    } else if !entry.file_type().is_some_and(|kind| kind.is_file()) {
        return Err(kind("it is not a file"));
    }
    let id = DocumentId::new(&id).map_err(|error| (Why::Unreadable, error.to_string()))?;
    Ok(Found { id, path: entry.path().to_owned(), format })
}

/// Gives each document its earlier texts: `PATH/N.md` below `past` is the Nth of the document PATH.
fn add_history(past: &Path, documents: &mut Vec<FolderDocument>, skipped: &mut Vec<Skipped>) -> anyhow::Result<()> {
    let mut earlier: BTreeMap<String, BTreeMap<u32, PathBuf>> = BTreeMap::new();
    let walk = Walk::through(past)?;
    let named = |skipped: Skipped| Skipped { path: format!("{HISTORY}/{}", skipped.path), ..skipped };
    skipped.extend(walk.skipped.into_iter().map(named));
    for found in walk.found {
        let text = found.id.as_str();
        let place = text.rsplit_once('/').and_then(|(document, name)| {
            let number: u32 = name.split_once('.')?.0.parse().ok()?;
            let known = documents.binary_search_by(|known| known.id.as_str().cmp(document));
            known.is_ok().then(|| (document.to_owned(), number))
        });
        match place {
            Some((document, number)) => {
                earlier.entry(document).or_default().insert(number, found.path);
            }
            None => {
                let reason = "it is no earlier text of a document; one is called history/PATH/N.md".to_owned();
                skipped.push(Skipped { path: format!("{HISTORY}/{text}"), why: Why::Unreadable, reason });
            }
        }
    }
    for document in documents {
        if let Some(texts) = earlier.remove(document.id.as_str()) {
            document.history = texts.into_values().collect();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
        let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpora");
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
}
