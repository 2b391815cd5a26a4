//! A folder as a source: what lies in it now, and a file's bytes.
//!
//! Promises: nothing outside the folder is read, whatever links lie in it and whenever they were put there; a folder that
//! is gone, that is empty, or of which a part cannot be read ends the look with an error, so that a disk which is not
//! mounted deletes nothing. Does not: look at contents, but for files changed a moment ago, whose time says too little.

use std::fs::{self, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use catena_domain::Timestamp;
use catena_runtime::clock;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tokio::io::AsyncReadExt as _;

use super::walk::{self, DOCUMENTS_MAX};
use super::{DOCUMENTS, LEADS_ELSEWHERE, RULES, Why, watch};
use crate::access::{Decider, Speaks, has_front_matter, rules, said_in};
use crate::error::SourceError;
use crate::events::{self, Emit};
use crate::globs::Globs;
use crate::spec::FolderSpec;
use crate::surroundings::Surroundings;
use crate::{Coverage, Cursor, Ended, Event, FETCH_BYTES_MAX, Fetch, Fetched, Item, Source};

/// A file that was changed less long ago may be changed again without its time showing it.
const RACY_US: i64 = 2_000_000;
/// How often a file that changes while it is read is read again.
const READINGS_MAX: usize = 3;

/// A folder of a disk.
#[derive(Debug, Clone)]
pub(crate) struct FolderSource {
    path: PathBuf,
    allowed: Vec<PathBuf>,
    spec: FolderSpec,
    globs: Globs,
}

/// The folder as it is at one moment.
struct Now {
    /// Where its documents begin, without links in it.
    top: PathBuf,
    decider: Decider,
    has_rules_inside: bool,
}

impl Now {
    /// Whether what lies at `name` may be shown as the document `id`, to whose readers it is not given otherwise.
    fn may_stand_for(&self, id: &str, name: &str, globs: &Globs) -> bool {
        walk::may_be_shown(name) && globs.want(name) && self.decider.decides_alike(id, name)
    }
}

impl FolderSource {
    pub(crate) fn new(spec: &FolderSpec, surroundings: &Surroundings) -> Result<Self, SourceError> {
        let source = Self {
            path: PathBuf::from(&spec.path),
            allowed: surroundings.folders.clone(),
            globs: Globs::new(&spec.include, &spec.exclude)?,
            spec: spec.clone(),
        };
        // Said at once where it can be; a folder that is away at the moment is an error of the look.
        match source.real() {
            Err(error @ SourceError::Refused { .. }) => Err(error),
            _ => Ok(source),
        }
    }

    /// The folder without links in its path, if the operator allows it.
    fn real(&self) -> Result<PathBuf, SourceError> {
        real_below(&self.path, &self.allowed)
    }

    fn now(&self) -> Result<Now, SourceError> {
        let root = self.real()?;
        let away = |error: io::Error| SourceError::unreachable(self.place(), error.to_string());
        if fs::read_dir(&root).map_err(away)?.next().is_none() {
            let reason =
                "it is empty, as the place of a disk that is not mounted is; remove the source if that is meant";
            return Err(SourceError::unreachable(self.place(), reason));
        }
        let file = root.join(RULES);
        let rules = match self.spec.access.from_file {
            true if file.symlink_metadata().is_ok_and(|facts| facts.is_file()) => {
                Some(bytes_of(&file, rules::FILE_BYTES_MAX).map_err(away)?)
            }
            _ => None,
        };
        let decider = Decider::new(&self.spec.access, rules.as_deref())?;
        let inner = root.join(DOCUMENTS);
        let beside = rules.is_some() && inner.symlink_metadata().is_ok_and(|facts| facts.is_dir());
        Ok(Now { top: if beside { inner } else { root }, decider, has_rules_inside: rules.is_some() && !beside })
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn walk(&self, emit: &Emit) -> Result<Ended, SourceError> {
        let now = self.now()?;
        let hidden = Arc::new(Mutex::new(Vec::new()));
        let mut count = 0;
        for entry in walk::entries(&now.top, Arc::clone(&hidden)) {
            let unread = |reason: String| {
                let reason = format!("a part of it cannot be read, so nothing counts as gone: {reason}");
                SourceError::unreachable(self.place(), reason)
            };
            let entry = entry.map_err(|error| unread(error.to_string()))?;
            if let Some(reason) = walk::misunderstood(&entry) {
                return Err(unread(reason));
            }
            if entry.depth() == 0 || entry.file_type().is_some_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = walk::below(&now.top, entry.path());
            if now.has_rules_inside && name == RULES {
                continue;
            }
            match walk::found(&entry, &now.top, &now.top) {
                Ok(found) => {
                    if !self.globs.want(found.id.as_str()) {
                        emit.send_blocking(skipped(name, "the source's include and exclude leave it out"))?;
                        continue;
                    }
                    let leads_to = found.leads_to.as_deref();
                    if leads_to.is_some_and(|target| !now.may_stand_for(found.id.as_str(), target, &self.globs)) {
                        emit.send_blocking(skipped(name, LEADS_ELSEWHERE))?;
                        continue;
                    }
                    let facts = match fs::metadata(entry.path()) {
                        Ok(facts) => facts,
                        Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                        Err(error) => return Err(SourceError::unreachable(self.place(), format!("{name}: {error}"))),
                    };
                    count += 1;
                    if count > DOCUMENTS_MAX {
                        return Err(walk::too_many(&now.top));
                    }
                    let access = now.decider.listed(found.id.as_str(), Speaks::InFrontMatter);
                    let mark = now.decider.mark(found.id.as_str(), Speaks::InFrontMatter);
                    emit.send_blocking(Event::Found(Item {
                        tag: tag(&facts, || bytes_of(entry.path(), FETCH_BYTES_MAX).ok()) + &mark,
                        bytes: Some(facts.len()),
                        modified_at: modified_at(&facts),
                        moved_from: None,
                        access,
                        id: found.id,
                    }))?;
                }
                Err((Why::Kind | Why::Unreadable, reason)) => emit.send_blocking(skipped(name, &reason))?,
            }
        }
        let hidden = std::mem::take(&mut *hidden.lock().unwrap_or_else(PoisonError::into_inner));
        for folder in hidden {
            emit.send_blocking(skipped(walk::below(&now.top, &folder), "it is hidden"))?;
        }
        Ok(Ended { coverage: Coverage::Everything, cursor: None })
    }

    async fn fetched(&self, item: &Item, known_tag: Option<&str>) -> Result<Fetch, SourceError> {
        let now = self.now()?;
        let id = item.id.as_str();
        if id.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(SourceError::document(format!("{id} is no path inside the folder")));
        }
        let path = now.top.join(id);
        let may_be_it = |name: &str| name == id || now.may_stand_for(id, name, &self.globs);
        let mark = now.decider.mark(id, Speaks::InFrontMatter);
        let known_tag = known_tag.and_then(|known| known.strip_suffix(mark.as_str()));
        for _ in 0..READINGS_MAX {
            let Some((before, bytes, after)) = read_inside(&path, &now.top, may_be_it).await.map_err(|error| {
                if error.kind() == io::ErrorKind::FileTooLarge {
                    SourceError::document(format!("it is larger than {FETCH_BYTES_MAX} bytes, the limit; split it"))
                } else {
                    SourceError::document(format!("it cannot be read: {error}"))
                }
            })?
            else {
                return Ok(Fetch::Gone);
            };
            if signs(&before) != signs(&after) {
                continue;
            }
            let tag = tag(&after, || Some(bytes.clone())) + &mark;
            // What was new when it became known may have aged since, and its tag with it.
            if known_tag.is_some_and(|known| known == signs(&after) || known == with_hash(&signs(&after), &bytes)) {
                return Ok(Fetch::Unchanged);
            }
            let said = if now.decider.lets_documents_speak() && has_front_matter(id) {
                said_in(&bytes)
            } else {
                crate::access::Said::default()
            };
            let (access, attributes) = now.decider.decide(id, said);
            let fetched = Fetched {
                bytes,
                content_type: None,
                title: None,
                uri: None,
                modified_at: modified_at(&after),
                attributes,
                access,
            };
            return Ok(Fetch::Document { fetched, tag });
        }
        Err(SourceError::document("it is being written just now; the next sync takes it"))
    }
}

impl Source for FolderSource {
    fn look(&self, _since: Option<Cursor>) -> BoxStream<'_, Result<Event, SourceError>> {
        let source = self.clone();
        events::of_thread("folder-look", move |emit| source.walk(emit))
    }

    fn fetch<'a>(&'a self, item: &'a Item, known_tag: Option<&'a str>) -> BoxFuture<'a, Result<Fetch, SourceError>> {
        Box::pin(self.fetched(item, known_tag))
    }

    fn changes(&self) -> Option<BoxStream<'static, ()>> {
        self.real().ok().map(watch::changes)
    }
}

/// A path without links in it, if it lies in one of the folders.
pub(crate) fn real_below(path: &Path, allowed: &[PathBuf]) -> Result<PathBuf, SourceError> {
    let place = path.display().to_string();
    let refused = || {
        let reason = "it lies in none of the folders that the operator allows sources to read";
        SourceError::refused(place.clone(), reason)
    };
    let named = allowed.iter().any(|folder| path.starts_with(folder));
    let real = match path.canonicalize() {
        Ok(real) => real,
        // Whether something is there is told only of what may be read.
        Err(_) if !named => return Err(refused()),
        Err(error) => return Err(SourceError::unreachable(place, error.to_string())),
    };
    let inside = allowed.iter().filter_map(|folder| folder.canonicalize().ok()).any(|folder| real.starts_with(folder));
    if inside { Ok(real) } else { Err(refused()) }
}

fn skipped(name: String, reason: &str) -> Event {
    Event::Skipped {
        name: name.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect(),
        reason: reason.to_owned(),
    }
}

/// What shows that a file is another one, or was written to.
fn signs(facts: &Metadata) -> String {
    format!("{}.{:09}-{}-{}", facts.mtime(), facts.mtime_nsec(), facts.len(), facts.ino())
}

fn with_hash(signs: &str, bytes: &[u8]) -> String {
    format!("{signs}-{}", &blake3::hash(bytes).to_hex()[..16])
}

/// The tag of a file: its signs, and the hash of what is in it while a write in the same moment could leave them as they are.
fn tag(facts: &Metadata, bytes: impl FnOnce() -> Option<Vec<u8>>) -> String {
    let signs = signs(facts);
    let age_us = clock::now().0.saturating_sub(facts.mtime().saturating_mul(1_000_000));
    if age_us >= RACY_US {
        return signs;
    }
    bytes().map_or_else(|| signs.clone(), |bytes| with_hash(&signs, &bytes))
}

fn modified_at(facts: &Metadata) -> Option<Timestamp> {
    Some(Timestamp(facts.mtime().checked_mul(1_000_000)?.checked_add(facts.mtime_nsec() / 1_000)?))
}

fn bytes_of(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// Opens and reads a file that lies inside `top`, under a name that may be read; nothing, if it is not there any more. That
/// the opened file is the one inside is asked after it was opened, so that a link which is put there in between leads to
/// nothing.
async fn read_inside(
    path: &Path,
    top: &Path,
    may_be_it: impl Fn(&str) -> bool,
) -> io::Result<Option<(Metadata, Vec<u8>, Metadata)>> {
    let gone = |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    match tokio::fs::metadata(path).await {
        Ok(facts) if facts.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    }
    let file = match tokio::fs::File::open(path).await {
        Ok(file) => file,
        Err(error) if gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let before = file.metadata().await?;
    let real = match tokio::fs::canonicalize(path).await {
        Ok(real) => real,
        Err(error) if gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let there = tokio::fs::symlink_metadata(&real).await?;
    let same = (there.dev(), there.ino()) == (before.dev(), before.ino());
    if !real.starts_with(top) || !may_be_it(&walk::below(top, &real)) || !same || !before.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let mut bounded = file.take(FETCH_BYTES_MAX + 1);
    bounded.read_to_end(&mut bytes).await?;
    if bytes.len() as u64 > FETCH_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let after = bounded.into_inner().metadata().await?;
    Ok(Some((before, bytes, after)))
}
