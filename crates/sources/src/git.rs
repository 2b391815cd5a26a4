//! A git repository as a source: a bare mirror of one branch, and what differs between two of its commits.
//!
//! The cursor is a commit, and with it what else decides a listing: the description, and the rules that lie in the
//! repository. Between two commits only differences are told, exact renames as moves. Trees are compared, not histories, so
//! a rewritten history is no different from a new commit as long as the old commit is still in the mirror; when it is not,
//! everything is listed. The mirror is shallow: it holds what is listed and little of what was.
//!
//! Promises: see [`command`] for what git may do; credentials go to the host of the description alone, and in clear only to
//! a host that the operator names; the addresses that git connects to are those that were checked. Does not: follow
//! submodules or links, or fetch what a pointer of Git LFS stands for.

mod blobs;
mod command;
mod disk;
mod listing;
mod told;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::access::{Decider, FILE as RULES, Said, Speaks, has_front_matter, rules, said_in};
use crate::credentials::Credentials;
use crate::error::SourceError;
use crate::events::{self, Emit};
use crate::globs::Globs;
use crate::net::Outward;
use crate::spec::GitSpec;
use crate::surroundings::Surroundings;
use crate::{Coverage, Cursor, Ended, Event, FETCH_BYTES_MAX, Fetch, Fetched, Item, Source};
use blobs::{Blob, Blobs};
use command::Git;
use disk::real_repository;
use told::Told;

/// Where the mirror keeps the commit that was fetched last.
const TIP: &str = "refs/catena/tip";
/// Longest answer about one thing.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;
/// What stays as it is in the path of a link.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A git repository.
#[derive(Clone)]
pub(crate) struct GitSource(Arc<Repository>);

/// A repository, shared between a look and the fetches beside it.
struct Repository {
    spec: GitSpec,
    globs: Globs,
    from: Place,
    mirror: PathBuf,
    outward: Outward,
    header: Option<String>,
    secrets: Vec<String>,
    /// One look at a time writes to the mirror.
    writing: tokio::sync::Mutex<()>,
    at: Mutex<Option<At>>,
    blobs: Blobs,
}

/// Where the repository is.
#[derive(Debug, Clone)]
enum Place {
    Remote(Url),
    Disk { path: PathBuf, allowed: Vec<PathBuf> },
}

/// What a look found, for the fetches after it.
#[derive(Debug, Clone)]
struct At {
    commit: String,
    branch: String,
    decider: Decider,
}

impl GitSource {
    pub(crate) fn new(
        spec: &GitSpec,
        credentials: &Credentials,
        surroundings: &Surroundings,
        outward: Outward,
    ) -> Result<Self, SourceError> {
        let mirror = surroundings.mirror.clone();
        let mirror = mirror.ok_or_else(|| SourceError::invalid("no folder for git mirrors is set"))?;
        let from = if spec.url.starts_with('/') {
            let (path, allowed) = (PathBuf::from(&spec.url), surroundings.folders.clone());
            if let Err(error @ SourceError::Refused { .. }) = real_repository(&path, &allowed) {
                return Err(error);
            }
            Place::Disk { path, allowed }
        } else {
            let url = Url::parse(&spec.url).map_err(|error| SourceError::invalid(format!("url: {error}")))?;
            outward.check(&url)?;
            if url.scheme() == "http" && !credentials.is_empty() && !outward.is_named(&url) {
                return Err(SourceError::invalid("credentials are not sent in clear; write the address with https://"));
            }
            Place::Remote(url)
        };
        let header = authorization(credentials);
        let known = ["username", "password", "token"].iter().filter_map(|name| credentials.get(name));
        let secrets = known.map(ToOwned::to_owned).chain(header.clone()).collect();
        Ok(Self(Arc::new(Repository {
            globs: Globs::new(&spec.include, &spec.exclude)?,
            spec: spec.clone(),
            from,
            mirror,
            outward,
            header,
            secrets,
            writing: tokio::sync::Mutex::default(),
            at: Mutex::default(),
            blobs: Blobs::default(),
        })))
    }
}

impl Repository {
    /// How git is called, with the addresses that the repository's host has at this moment.
    async fn git(&self) -> Result<Git, SourceError> {
        let mut config = Vec::new();
        let (place, protocols) = match &self.from {
            Place::Disk { path, .. } => (path.display().to_string(), "file"),
            Place::Remote(url) => {
                let addresses = self.outward.addresses(url).await?;
                if !addresses.is_empty() {
                    let shown = addresses.iter().map(|address| match address {
                        std::net::IpAddr::V4(four) => four.to_string(),
                        std::net::IpAddr::V6(six) => format!("[{six}]"),
                    });
                    let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(443));
                    let pinned = format!("{host}:{port}:{}", shown.collect::<Vec<_>>().join(","));
                    config.push(("http.curloptResolve".to_owned(), pinned));
                }
                if let Some(header) = &self.header {
                    let key = format!("http.{}/.extraHeader", url.origin().ascii_serialization());
                    config.push((key, format!("Authorization: {header}")));
                }
                (crate::net::shown(url), if url.scheme() == "https" { "https" } else { "http" })
            }
        };
        Ok(Git { mirror: self.mirror.clone(), place, protocols, config, secrets: self.secrets.clone() })
    }

    /// The repository's address in git's words, once more checked.
    fn address(&self) -> Result<String, SourceError> {
        match &self.from {
            Place::Remote(url) => Ok(url.to_string()),
            Place::Disk { path, allowed } => {
                let real = real_repository(path, allowed)?;
                let url =
                    Url::from_file_path(&real).map_err(|()| SourceError::invalid("url: it is no absolute path"))?;
                Ok(url.to_string())
            }
        }
    }

    /// How the other side is started where it is a repository on the disk: in exactly the folder that was checked.
    fn strictly(&self) -> &'static [&'static str] {
        match &self.from {
            Place::Remote(_) => &[],
            Place::Disk { .. } => &["--upload-pack=git-upload-pack --strict"],
        }
    }

    /// Looks into the repository, and tells what is there or what changed.
    async fn listed(self: Arc<Self>, since: Option<Cursor>, emit: Emit) -> Result<Ended, SourceError> {
        let _writing = self.writing.lock().await;
        let git = self.git().await?;
        self.prepare(&git).await?;
        let (reference, branch) = self.reference(&git).await?;
        let refspec = format!("+{reference}:{TIP}");
        let address = self.address()?;
        let options = ["--quiet", "--force", "--no-tags", "--no-write-fetch-head", "--depth=1"];
        let arguments = [&["fetch"], self.strictly(), &options, &[&address, &refspec]].concat();
        git.run(&arguments, ANSWER_BYTES_MAX).await?;
        self.blobs.forget().await;
        let commit = self.commit_of(&git, TIP).await?;
        let decider = self.decider(&git, &commit).await?;
        let cursor = format!("{commit}:{}", self.digest(&git, &commit).await?);
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(At { commit: commit.clone(), branch, decider: decider.clone() });
        let told = Told { source: &self, git: &git, emit: &emit, decider: &decider };
        let coverage = match self.known(&git, since, &cursor).await {
            Some(old) if old == commit => Coverage::SinceCursor,
            Some(old) => told.differences(&old, &commit).await?,
            None => told.everything(&commit).await?,
        };
        // What nobody needs any more goes, now and then. A mirror that cannot be tidied serves all the same.
        if let Err(error) = git.run(&["gc", "--auto", "--quiet"], ANSWER_BYTES_MAX).await {
            tracing::debug!(%error, "a git mirror could not be tidied");
        }
        Ok(Ended { coverage, cursor: Some(Cursor(cursor)) })
    }

    /// Makes the mirror, if it is not there, and takes away locks and halves of packs that a killed process left.
    async fn prepare(&self, git: &Git) -> Result<(), SourceError> {
        let failed = |error: std::io::Error| git.failed(&format!("its mirror cannot be written: {error}"));
        if self.mirror.join("HEAD").is_file() {
            self.trust(git).await?;
            for lock in
                ["shallow.lock", "packed-refs.lock", "config.lock", "HEAD.lock", "gc.pid", "refs/catena/tip.lock"]
            {
                match tokio::fs::remove_file(self.mirror.join(lock)).await {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
                    _ => {}
                }
            }
            // They would count against the mirror's bound for ever.
            return remove_unfinished(&self.mirror.join("objects/pack")).await.map_err(failed);
        }
        git.check_version().await?;
        tokio::fs::create_dir_all(&self.mirror).await.map_err(failed)?;
        git.run(&["init", "--bare", "--quiet", "--template="], ANSWER_BYTES_MAX).await?;
        self.trust(git).await
    }

    /// Lets git read a repository on the disk that belongs to another user. Which one it reads was checked.
    async fn trust(&self, git: &Git) -> Result<(), SourceError> {
        let Place::Disk { .. } = &self.from else { return Ok(()) };
        let written = tokio::fs::write(git.trusting(), "[safe]\n\tdirectory = *\n").await;
        written.map_err(|error| git.failed(&format!("its mirror cannot be written: {error}")))
    }

    /// The reference that is followed, in full, and its short name.
    async fn reference(&self, git: &Git) -> Result<(String, String), SourceError> {
        let address = self.address()?;
        let Some(branch) = &self.spec.branch else {
            let arguments = [&["ls-remote", "--symref"], self.strictly(), &[&address, "HEAD"]].concat();
            let said = git.run(&arguments, ANSWER_BYTES_MAX).await?;
            let said = String::from_utf8_lossy(&said);
            let named = said.lines().find_map(|line| line.strip_prefix("ref: ")?.strip_suffix("\tHEAD"));
            let here = said.lines().any(|line| line.ends_with("\tHEAD") && !line.starts_with("ref: "));
            return match (named, here) {
                (Some(named), true) => Ok((named.to_owned(), named.trim_start_matches("refs/heads/").to_owned())),
                (None, true) => Ok(("HEAD".to_owned(), "HEAD".to_owned())),
                _ => Err(git.failed("it has no commits, or names no branch of its own; name one in branch")),
            };
        };
        let candidates = [format!("refs/heads/{branch}"), format!("refs/tags/{branch}")];
        let arguments = [&["ls-remote"], self.strictly(), &[&address, &candidates[0], &candidates[1]]].concat();
        let said = git.run(&arguments, ANSWER_BYTES_MAX).await?;
        let said = String::from_utf8_lossy(&said);
        let is_there = |name: &&String| said.lines().any(|line| line.split('\t').nth(1) == Some(name.as_str()));
        let found = candidates.iter().find(is_there);
        let found = found.ok_or_else(|| git.failed(&format!("it has no branch and no tag {branch}")))?;
        Ok((found.clone(), branch.clone()))
    }

    async fn commit_of(&self, git: &Git, name: &str) -> Result<String, SourceError> {
        let said = git
            .run(&["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{name}^{{commit}}")], 4_096)
            .await?;
        let commit = String::from_utf8_lossy(&said).trim().to_owned();
        if listing::is_object(&commit) { Ok(commit) } else { Err(git.failed("git names a commit in no known form")) }
    }

    /// The tree of a commit in which the documents lie.
    fn tree(&self, commit: &str) -> String {
        match &self.spec.folder {
            Some(folder) => format!("{commit}:{folder}"),
            None => format!("{commit}^{{tree}}"),
        }
    }

    fn inside(&self, path: &str) -> String {
        self.spec.folder.as_ref().map_or_else(|| path.to_owned(), |folder| format!("{folder}/{path}"))
    }

    async fn decider(&self, git: &Git, commit: &str) -> Result<Decider, SourceError> {
        if !self.spec.access.from_file {
            return Decider::new(&self.spec.access, None);
        }
        let file = match self.blobs.get(git, &format!("{commit}:{}", self.inside(RULES))).await? {
            Blob::There { bytes, .. } if bytes.len() as u64 <= rules::FILE_BYTES_MAX => Some(bytes),
            Blob::There { .. } | Blob::TooLarge => {
                return Err(SourceError::invalid(format!("{RULES} is larger than {} bytes", rules::FILE_BYTES_MAX)));
            }
            Blob::Gone => None,
        };
        Decider::new(&self.spec.access, file.as_deref())
    }

    /// What decides a listing besides the commit: a cursor under another one begins nowhere.
    async fn digest(&self, git: &Git, commit: &str) -> Result<String, SourceError> {
        let spec = serde_json::to_vec(&self.spec).map_err(|error| SourceError::invalid(error.to_string()))?;
        let mut hash = blake3::Hasher::new();
        hash.update(&spec);
        if self.spec.access.from_file
            && let Blob::There { name, .. } = self.blobs.get(git, &format!("{commit}:{}", self.inside(RULES))).await?
        {
            hash.update(name.as_bytes());
        }
        Ok(hash.finalize().to_hex()[..16].to_owned())
    }

    /// The commit of a cursor, if a look may begin there.
    async fn known(&self, git: &Git, since: Option<Cursor>, now: &str) -> Option<String> {
        let since = since?.0;
        let (commit, digest) = since.split_once(':')?;
        let same = now.split_once(':').is_some_and(|(_, now)| now == digest);
        let there = listing::is_object(commit) && same;
        if there && git.run(&["cat-file", "-e", &self.tree(commit)], 4_096).await.is_ok() {
            return Some(commit.to_owned());
        }
        None
    }

    async fn fetched(&self, item: &Item, known_tag: Option<&str>) -> Result<Fetch, SourceError> {
        let id = item.id.as_str();
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let git = self.offline();
        let at = match at {
            Some(at) => at,
            // After a restart the mirror knows what was looked at last.
            None => {
                let commit = self.commit_of(&git, TIP).await?;
                let decider = self.decider(&git, &commit).await?;
                let branch = self.spec.branch.clone().unwrap_or_else(|| "HEAD".to_owned());
                let at = At { commit, branch, decider };
                *self.at.lock().unwrap_or_else(PoisonError::into_inner) = Some(at.clone());
                at
            }
        };
        let (name, bytes) = match self.blobs.get(&git, &format!("{}:{}", at.commit, self.inside(id))).await? {
            Blob::There { name, bytes } => (name, bytes),
            Blob::Gone => return Ok(Fetch::Gone),
            Blob::TooLarge => {
                return Err(SourceError::document(format!(
                    "it is larger than {FETCH_BYTES_MAX} bytes, the limit; split it"
                )));
            }
        };
        let tag = name + &at.decider.mark(id, Speaks::InFrontMatter);
        if known_tag == Some(tag.as_str()) {
            return Ok(Fetch::Unchanged);
        }
        if bytes.starts_with(b"version https://git-lfs.github.com/spec/") {
            return Err(SourceError::document("it is a pointer of Git LFS, and what it stands for is not fetched"));
        }
        let speaks = at.decider.lets_documents_speak() && has_front_matter(id);
        let said = if speaks { said_in(&bytes) } else { Said::default() };
        let (access, attributes) = at.decider.decide(id, said);
        let fetched = Fetched {
            bytes,
            content_type: None,
            title: None,
            uri: self.spec.link.as_deref().map(|link| self.link(link, &at, id)),
            modified_at: item.modified_at,
            attributes,
            access,
        };
        Ok(Fetch::Document { fetched, tag })
    }

    /// How git is called for what is in the mirror already.
    fn offline(&self) -> Git {
        let place = match &self.from {
            Place::Remote(url) => crate::net::shown(url),
            Place::Disk { path, .. } => path.display().to_string(),
        };
        let (config, secrets) = (Vec::new(), self.secrets.clone());
        Git { mirror: self.mirror.clone(), place, protocols: "none", config, secrets }
    }

    fn link(&self, template: &str, at: &At, id: &str) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, PATH).to_string();
        template
            .replace("{commit}", &at.commit)
            .replace("{branch}", &encoded(&at.branch))
            .replace("{path}", &encoded(&self.inside(id)))
    }
}

/// Removes what a fetch or a tidying began to write and did not finish, and what kept packs for one that ended.
async fn remove_unfinished(packs: &Path) -> std::io::Result<()> {
    let mut entries = match tokio::fs::read_dir(packs).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    while let Some(entry) = entries.next_entry().await? {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(b"tmp_") || name.starts_with(b".tmp-") || name.ends_with(b".keep") {
            tokio::fs::remove_file(entry.path()).await?;
        }
    }
    Ok(())
}

/// The header by which git shows who asks. Hosts of repositories take a token as the password of any user.
fn authorization(credentials: &Credentials) -> Option<String> {
    let pair = match (credentials.get("username"), credentials.get("password"), credentials.get("token")) {
        (_, _, Some(token)) => format!("{}:{token}", credentials.get("username").unwrap_or("x-access-token")),
        (user, Some(password), _) => format!("{}:{password}", user.unwrap_or_default()),
        _ => return None,
    };
    Some(format!("Basic {}", STANDARD.encode(pair)))
}

impl Source for GitSource {
    fn look(&self, since: Option<Cursor>) -> BoxStream<'_, Result<Event, SourceError>> {
        events::of(|emit| Arc::clone(&self.0).listed(since, emit))
    }

    fn fetch<'a>(&'a self, item: &'a Item, known_tag: Option<&'a str>) -> BoxFuture<'a, Result<Fetch, SourceError>> {
        Box::pin(self.0.fetched(item, known_tag))
    }
}

impl fmt::Debug for GitSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitSource")
            .field("url", &self.0.spec.url)
            .field("branch", &self.0.spec.branch)
            .finish_non_exhaustive()
    }
}
