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

mod source;
#[cfg(test)]
mod tests;
mod walk;
mod watch;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use catena_access::{Acl, Attributes};
use catena_domain::{DocumentId, Timestamp};
use catena_text::Format;

use crate::FETCH_BYTES_MAX;
use crate::access::{FILE as RULES, Rules, rules};
use crate::error::SourceError;
pub(crate) use source::{FolderSource, real_below};
use walk::{Found, Walk, unknown_ending};

const DOCUMENTS: &str = "documents";
const HISTORY: &str = "history";
/// Why a link is none to follow, although what it leads to may be a document.
const LEADS_ELSEWHERE: &str = "it is a link to a file for which another rule decides, or which is not wanted";

/// What a folder holds.
#[derive(Debug)]
pub struct Folder {
    /// The documents, in the order of their ids.
    pub documents: Vec<FolderDocument>,
    /// What lies there besides.
    pub skipped: Vec<Skipped>,
    /// The rule file that decided, if there is one.
    pub rules: Option<PathBuf>,
}

/// One document of a folder.
#[derive(Debug, Clone)]
pub struct FolderDocument {
    /// Its path below the folder, with `/`.
    pub id: DocumentId,
    /// Where it lies.
    pub path: PathBuf,
    /// What its ending says it is.
    pub format: Format,
    /// Who may read it.
    pub acl: Acl,
    /// What is said of it besides.
    pub attributes: Attributes,
    /// What decided that.
    pub decided: Decided,
    /// When the file was changed last, if the disk knows.
    pub modified_at: Option<Timestamp>,
    /// Files with its earlier texts, the oldest first.
    pub history: Vec<PathBuf>,
}

/// What decided a document's access list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// The rule at this line.
    Rule {
        /// Its line in the file.
        line: usize,
    },
    /// There are rules, and none matches: nobody but administrators may read it.
    NoRule,
    /// Whoever asked for the folder to be read gave one list for all.
    Given,
}

/// Something in the folder that is no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its path below the folder.
    pub path: String,
    /// Whether that is as it should be.
    pub why: Why,
    /// Why it is no document.
    pub reason: String,
}

/// Whether something was left out on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is of a kind that is not read.
    Kind,
    /// It might be a document, but it cannot be read.
    Unreadable,
}

/// Reads the folder, or the one file, at `path`. Without rules of its own, each document gets the list `given`, or else
/// an empty one.
pub fn read(path: &Path, given: Option<&Acl>) -> Result<Folder, SourceError> {
    let facts = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if facts.is_file() {
        return one_file(path, given);
    }
    let inner = path.join(DOCUMENTS);
    let rules_path = path.join(RULES);
    let has_rules = rules_path.is_file();
    let beside = has_rules && inner.is_dir();
    let top = if beside { inner.as_path() } else { path };
    let access = match (has_rules, given) {
        (true, Some(_)) => {
            return Err(SourceError::invalid(format!(
                "{} decides who may read what, and so would --allow and --deny; leave them out, or move the file away",
                rules_path.display()
            )));
        }
        (true, None) => Access::Rules(read_rules(&rules_path)?),
        (false, given) => Access::One(given.cloned().unwrap_or_default()),
    };
    let mut walk = Walk::through(top)?;
    walk.skipped.retain(|skipped| !(has_rules && !beside && skipped.path == RULES));
    let (mut documents, mut skipped) = (Vec::new(), walk.skipped);
    for found in walk.found {
        let same = |name: &String| access.decides_alike(found.id.as_str(), name);
        let is_elsewhere = !found.leads_to.as_ref().is_none_or(same);
        if is_elsewhere {
            let reason = LEADS_ELSEWHERE.to_owned();
            skipped.push(Skipped { path: found.id.to_string(), why: Why::Kind, reason });
        } else {
            documents.push(access.document(found));
        }
    }
    skipped.sort_by(|a, b| a.path.cmp(&b.path));
    let past = path.join(HISTORY);
    if beside && past.is_dir() {
        add_history(&past, &mut documents, &mut skipped)?;
    }
    Ok(Folder { documents, skipped, rules: has_rules.then_some(rules_path) })
}

fn one_file(path: &Path, given: Option<&Acl>) -> Result<Folder, SourceError> {
    let name = path.file_name().and_then(OsStr::to_str);
    let name = name.ok_or_else(|| SourceError::invalid("the file's name is not UTF-8; rename it"))?;
    let format = Format::from_path(name);
    let format = format.ok_or_else(|| SourceError::invalid(format!("{name}: {}", unknown_ending())))?;
    let id = DocumentId::new(name).map_err(|error| SourceError::invalid(error.to_string()))?;
    let access = Access::One(given.cloned().unwrap_or_default());
    let document = access.document(Found { id, path: path.to_owned(), format, leads_to: None });
    Ok(Folder { documents: vec![document], skipped: Vec::new(), rules: None })
}

/// A file's content, if it is not larger than a document may be.
pub fn content(path: &Path) -> Result<Vec<u8>, SourceError> {
    bounded(path, FETCH_BYTES_MAX)
}

fn bounded(path: &Path, bytes_max: u64) -> Result<Vec<u8>, SourceError> {
    let failed = |error: io::Error| unreadable(path, &error);
    let file = fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > bytes_max {
        let path = path.display();
        return Err(SourceError::document(format!("{path} is larger than {bytes_max} bytes, the limit; split it")));
    }
    Ok(bytes)
}

fn unreadable(path: &Path, error: &io::Error) -> SourceError {
    SourceError::unreachable(path.display().to_string(), error.to_string())
}

fn read_rules(path: &Path) -> Result<Rules, SourceError> {
    let wrong = |reason: String| SourceError::invalid(format!("{} is not understood: {reason}", path.display()));
    let text =
        String::from_utf8(bounded(path, rules::FILE_BYTES_MAX)?).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
    Rules::parse(&text).map_err(|error| wrong(error.to_string()))
}

/// Who decides about access.
enum Access {
    Rules(Rules),
    One(Acl),
}

impl Access {
    /// Whether the same decides for both.
    fn decides_alike(&self, one: &str, other: &str) -> bool {
        let line = |rules: &Rules, id| rules.decide(id).map(|rule| rule.line);
        match self {
            Self::One(_) => true,
            Self::Rules(rules) => line(rules, one) == line(rules, other),
        }
    }

    fn document(&self, found: Found) -> FolderDocument {
        let (acl, attributes, decided) = match self {
            Self::One(acl) => (acl.clone(), Attributes::new(), Decided::Given),
            Self::Rules(rules) => match rules.decide(found.id.as_str()) {
                Some(rule) => (rule.acl.clone(), rule.attributes.clone(), Decided::Rule { line: rule.line }),
                None => (Acl::default(), Attributes::new(), Decided::NoRule),
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

/// Gives each document its earlier texts: `PATH/N.md` below `past` is the Nth of the document PATH.
fn add_history(
    past: &Path,
    documents: &mut Vec<FolderDocument>,
    skipped: &mut Vec<Skipped>,
) -> Result<(), SourceError> {
    let mut earlier: BTreeMap<String, BTreeMap<u32, PathBuf>> = BTreeMap::new();
    let walk = Walk::through(past)?;
    let named = |skipped: Skipped| Skipped { path: format!("{HISTORY}/{}", skipped.path), ..skipped };
    skipped.extend(walk.skipped.into_iter().map(named));
    for found in walk.found {
        let text = found.id.as_str();
        let place = text.rsplit_once('/').filter(|_| found.leads_to.is_none()).and_then(|(document, name)| {
            let number: u32 = name.split_once('.')?.0.parse().ok()?;
            let known = documents.binary_search_by(|known| known.id.as_str().cmp(document));
            known.is_ok().then(|| (document.to_owned(), number))
        });
        match place {
            Some((document, number)) => {
                earlier.entry(document).or_default().insert(number, found.path);
            }
            None => {
                let reason =
                    "it is no earlier text of a document; one is called history/PATH/N.md, and is no link".to_owned();
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
