//! Addresses of pages in one form, and which of them are wanted.
//!
//! Promises: addresses of one page that differ only in how they are written become equal, and the id is made of the address
//! alone, so that it is the same in every look. Does not: ask anybody.

use std::collections::BTreeSet;

use catena_domain::DocumentId;
use url::Url;

use crate::error::SourceError;
use crate::globs::Globs;
use crate::spec::{QueryPolicy, WebSpec};

/// Which addresses of a site are wanted.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    /// Schemes, hosts and ports.
    hosts: BTreeSet<(String, String, u16)>,
    paths: Vec<String>,
    query: QueryPolicy,
    globs: Globs,
    /// Where credentials go: scheme, host and port of what the description names itself.
    origins: BTreeSet<String>,
}

impl Bounds {
    pub(super) fn new(spec: &WebSpec) -> Result<Self, SourceError> {
        let mut hosts = BTreeSet::new();
        let mut origins = BTreeSet::new();
        for address in spec.start.iter().chain(&spec.sitemaps) {
            let url = Url::parse(address).map_err(|error| SourceError::invalid(format!("{address}: {error}")))?;
            origins.insert(url.origin().ascii_serialization());
            if let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) {
                let named = spec.hosts.is_empty() || spec.hosts.iter().any(|one| one == host);
                if named {
                    hosts.insert((url.scheme().to_owned(), host.to_owned(), port));
                }
            }
        }
        for host in &spec.hosts {
            hosts.extend([("http", 80), ("https", 443)].map(|(scheme, port)| (scheme.to_owned(), host.clone(), port)));
        }
        let globs = Globs::new(&[], &spec.exclude)?;
        Ok(Self { hosts, paths: spec.paths.clone(), query: spec.query.clone(), globs, origins })
    }

    /// An address in the form in which it is asked for.
    pub(super) fn normal(&self, mut url: Url) -> Url {
        url.set_fragment(None);
        let path = plain(url.path());
        url.set_path(&path);
        let kept: Vec<String> = match (&self.query, url.query()) {
            (QueryPolicy::Drop, _) | (_, None) => Vec::new(),
            (QueryPolicy::Keep, Some(query)) => query.split('&').map(ToOwned::to_owned).collect(),
            (QueryPolicy::Only(names), Some(query)) => {
                let is_named = |part: &&str| names.iter().any(|name| part.split('=').next() == Some(name.as_str()));
                query.split('&').filter(is_named).map(ToOwned::to_owned).collect()
            }
        };
        let mut kept: Vec<String> = kept.into_iter().filter(|part| !part.is_empty()).collect();
        kept.sort_unstable();
        url.set_query((!kept.is_empty()).then(|| kept.join("&")).as_deref());
        url
    }

    /// Where a link of a page leads, if that is wanted.
    pub(super) fn link(&self, base: &Url, text: &str) -> Option<Url> {
        let url = self.normal(base.join(text).ok()?);
        self.want(&url).then_some(url)
    }

    pub(super) fn want(&self, url: &Url) -> bool {
        let plain = url.username().is_empty() && url.password().is_none();
        let host = url.host_str().zip(url.port_or_known_default());
        let here =
            host.is_some_and(|(host, port)| self.hosts.contains(&(url.scheme().to_owned(), host.to_owned(), port)));
        let path = self.paths.is_empty() || self.paths.iter().any(|path| url.path().starts_with(path.as_str()));
        plain && here && path && self.globs.want(&name(url))
    }

    /// The address of a page by its id, if it is wanted.
    pub(super) fn of_id(&self, id: &DocumentId) -> Option<Url> {
        ["https", "http"].into_iter().filter_map(|scheme| of_id(id, scheme)).find(|url| self.want(url))
    }

    /// Whether the description's credentials may be shown there.
    pub(super) fn is_own(&self, url: &Url) -> bool {
        self.origins.contains(&url.origin().ascii_serialization())
    }
}

/// What a page is called: its address without the scheme.
pub(super) fn name(url: &Url) -> String {
    let text = url.as_str();
    text.split_once("://").map_or(text, |(_, rest)| rest).to_owned()
}

/// The id of a page.
pub(super) fn id(url: &Url) -> Option<DocumentId> {
    DocumentId::new(&name(url)).ok()
}

/// The address of a page by its id, if it is one.
pub(super) fn of_id(id: &DocumentId, scheme: &str) -> Option<Url> {
    Url::parse(&format!("{scheme}://{id}")).ok()
}

/// A path in which only those characters are written in percent that must be.
fn plain(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let coded = rest.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match coded {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                out.push(char::from(byte));
                rest = &rest[at + 3..];
            }
            Some(byte) => {
                out.push_str(&format!("%{byte:02X}"));
                rest = &rest[at + 3..];
            }
            None => {
                out.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(query: QueryPolicy) -> Bounds {
        let spec = WebSpec {
            start: vec!["https://docs.example.org/guide/".to_owned()],
            paths: vec!["/guide/".to_owned()],
            exclude: vec!["**/old/**".to_owned()],
            query,
            ..WebSpec::default()
        };
        Bounds::new(&spec).unwrap()
    }

    #[test]
    fn one_page_has_one_address_however_it_is_written() {
        for (query, text, expected) in [
            (QueryPolicy::Drop, "a%7eb/%c3%a4.html?x=1#y", "https://docs.example.org/guide/a~b/%C3%A4.html"),
            (QueryPolicy::Keep, "a?b=2&a=1&", "https://docs.example.org/guide/a?a=1&b=2"),
            (QueryPolicy::Only(vec!["id".to_owned()]), "a?s=9&id=1&idx=2", "https://docs.example.org/guide/a?id=1"),
            (QueryPolicy::Keep, "HTTPS://DOCS.example.org:443/x/../guide/a?", "https://docs.example.org/guide/a"),
        ] {
            let base = Url::parse("https://docs.example.org/guide/").unwrap();
            let url = bounds(query).link(&base, text).unwrap();
            assert_eq!(url.as_str(), expected);
            assert_eq!(of_id(&id(&url).unwrap(), "https").unwrap(), url, "the id leads back to the address");
        }
    }

    #[test]
    fn what_is_elsewhere_is_not_wanted() {
        let base = Url::parse("https://docs.example.org/guide/").unwrap();
        for text in [
            "https://example.org/guide/",
            "https://docs.example.org:8443/guide/",
            "https://user@docs.example.org/guide/",
            "http://docs.example.org/guide/",
            "/other/",
            "old/x",
            "mailto:a@b",
            "javascript:x",
            "file:///guide/",
            "ftp://docs.example.org/guide/",
            "https://docs.example.org.evil.org/guide/",
            "https://[::1]/guide/",
        ] {
            assert_eq!(bounds(QueryPolicy::Keep).link(&base, text), None, "{text}");
        }
    }
}
