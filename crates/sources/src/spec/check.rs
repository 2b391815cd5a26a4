//! The bounds of a description, each with what would be right.

use url::Url;

use super::{FolderSpec, GitSpec, ObjectsSpec, QueryPolicy, SourceSpec, Store, WebSpec};
use crate::access::{self, AccessSpec};
use crate::error::SourceError;
use crate::globs::Globs;

/// Most entries of one list of a description.
const ENTRIES_MAX: usize = 256;
/// Longest address, path or pattern, in bytes.
const TEXT_BYTES_MAX: usize = 2_048;
/// Most pages of a site.
const PAGES_MAX: u32 = 100_000;
/// Most links from a start.
const DEPTH_MAX: u32 = 16;
/// Longest wait between two requests, in milliseconds.
const DELAY_MS_MAX: u64 = 60_000;

impl SourceSpec {
    /// Refuses what is beyond a bound or cannot be right.
    pub fn check(&self) -> Result<(), SourceError> {
        match self {
            Self::Folder(spec) => spec.check(),
            Self::Git(spec) => spec.check(),
            Self::Web(spec) => spec.check(),
            Self::Objects(spec) => spec.check(),
            Self::Push(_) => Ok(()),
        }
    }
}

impl FolderSpec {
    fn check(&self) -> Result<(), SourceError> {
        text("path", &self.path)?;
        if !self.path.starts_with('/') || self.path.split('/').any(|part| part == "..") {
            return wrong("path", "write the folder's absolute path, without ..");
        }
        globs(&self.include, &self.exclude)?;
        rules(&self.access)
    }
}

impl GitSpec {
    fn check(&self) -> Result<(), SourceError> {
        text("url", &self.url)?;
        if self.url.starts_with('/') {
            if self.url.split('/').any(|part| part == "..") {
                return wrong("url", "write the repository's absolute path, without ..");
            }
        } else {
            address("url", &self.url)?;
        }
        if let Some(branch) = &self.branch {
            text("branch", branch)?;
            if !is_reference(branch) {
                return wrong("branch", "write the name of a branch or a tag, such as main");
            }
        }
        if let Some(folder) = &self.folder {
            text("folder", folder)?;
            if folder.split('/').any(|part| matches!(part, "" | "." | "..")) {
                return wrong("folder", "write a path inside the repository, such as docs/en");
            }
        }
        if let Some(link) = &self.link {
            text("link", link)?;
            let shown = link.replace("{path}", "a").replace("{commit}", "a").replace("{branch}", "a");
            address("link", &shown)?;
        }
        globs(&self.include, &self.exclude)?;
        rules(&self.access)
    }
}

/// Whether git takes it for a name, and nobody for an option or a range.
fn is_reference(name: &str) -> bool {
    let odd = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    let bad = ["..", "@{", "//"];
    !name.starts_with(['-', '/', '.'])
        && !name.ends_with(['/', '.'])
        && !name.contains(odd)
        && bad.iter().all(|bad| !name.contains(bad))
}

impl WebSpec {
    fn check(&self) -> Result<(), SourceError> {
        if self.start.is_empty() && self.sitemaps.is_empty() {
            return wrong("start", "name at least one page in start, or a sitemap in sitemaps");
        }
        for (field, addresses) in [("start", &self.start), ("sitemaps", &self.sitemaps)] {
            list(field, addresses)?;
            addresses.iter().try_for_each(|one| address(field, one))?;
        }
        list("hosts", &self.hosts)?;
        for host in &self.hosts {
            let read = Url::parse(&format!("http://{host}/"));
            if !read.is_ok_and(|url| url.host_str() == Some(host.as_str()) && url.port().is_none()) {
                return wrong("hosts", "write hosts' names alone, in small letters, such as docs.example.org");
            }
        }
        list("paths", &self.paths)?;
        if self.paths.iter().any(|path| !path.starts_with('/')) {
            return wrong("paths", "write beginnings of paths, such as /docs/");
        }
        if let QueryPolicy::Only(names) = &self.query {
            list("query.only", names)?;
        }
        if self.depth > DEPTH_MAX {
            return wrong("depth", &format!("at most {DEPTH_MAX}"));
        }
        if self.pages_max == 0 || self.pages_max > PAGES_MAX {
            return wrong("pages_max", &format!("from 1 to {PAGES_MAX}"));
        }
        if self.delay_ms > DELAY_MS_MAX {
            return wrong("delay_ms", &format!("at most {DELAY_MS_MAX}"));
        }
        if self.access.from_file {
            return wrong("access.from_file", "a web site has no access.toml; write the rules into the description");
        }
        if self.access.from_documents {
            return wrong("access.from_documents", "pages do not say who may read them; write rules");
        }
        globs(&[], &self.exclude)?;
        rules(&self.access)
    }
}

impl ObjectsSpec {
    fn check(&self) -> Result<(), SourceError> {
        text("bucket", &self.bucket)?;
        if !self.bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)) {
            return wrong("bucket", "write the bucket's name alone");
        }
        if let Some(prefix) = &self.prefix {
            text("prefix", prefix)?;
            if prefix.trim_end_matches('/').split('/').any(|part| matches!(part, "" | "." | "..")) {
                return wrong("prefix", "write the beginning of the keys, whole folders of it, such as docs/en");
            }
        }
        for (field, given) in [("region", &self.region), ("account", &self.account)] {
            let Some(given) = given else { continue };
            text(field, given)?;
            if !given.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                return wrong(field, "use letters, digits and -");
            }
        }
        if let Some(endpoint) = &self.endpoint {
            text("endpoint", endpoint)?;
            address("endpoint", endpoint)?;
        }
        match self.store {
            Store::S3 if self.account.is_some() => wrong("account", "S3 has none; leave it out"),
            Store::Gcs if self.account.is_some() || self.region.is_some() || self.endpoint.is_some() => {
                wrong("store", "Google's store needs neither region, nor account, nor endpoint; leave them out")
            }
            Store::Azure if self.account.is_none() => wrong("account", "name the storage account"),
            _ => Ok(()),
        }?;
        globs(&self.include, &self.exclude)?;
        rules(&self.access)
    }
}

fn wrong<T>(field: &str, right: &str) -> Result<T, SourceError> {
    Err(SourceError::invalid(format!("{field} is not acceptable: {right}")))
}

fn text(field: &str, text: &str) -> Result<(), SourceError> {
    if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
        return wrong(field, &format!("write one line of 1 to {TEXT_BYTES_MAX} bytes"));
    }
    Ok(())
}

fn list(field: &str, entries: &[String]) -> Result<(), SourceError> {
    if entries.len() > ENTRIES_MAX {
        return wrong(field, &format!("it has {} entries; the limit is {ENTRIES_MAX}", entries.len()));
    }
    entries.iter().try_for_each(|entry| text(field, entry))
}

/// An address that is not, by mistake, a secret as well: what stands before `@` would be shown and stored in clear.
fn address(field: &str, text: &str) -> Result<(), SourceError> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(url) = url else {
        return wrong(field, "write an address that begins with https:// or http://");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return wrong(field, "it holds a user name or a password; give those as credentials");
    }
    Ok(())
}

fn globs(include: &[String], exclude: &[String]) -> Result<(), SourceError> {
    list("include", include)?;
    list("exclude", exclude)?;
    Globs::new(include, exclude).map(|_| ())
}

fn rules(access: &AccessSpec) -> Result<(), SourceError> {
    if access.from_file && !access.rules.is_empty() {
        return wrong("access", "rules stand either in the description or in access.toml (from_file), not in both");
    }
    access::rules::Rules::of(&access.rules).map_err(|error| SourceError::invalid(format!("access: {error}")))?;
    Ok(())
}
