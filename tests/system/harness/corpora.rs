//! The demo corpora as the tests know them: who may read what, which word gives a leak away, what a question should find.
//!
//! Decides who may read a document by its own reading of `access.toml`, so that it can contradict the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::place;

/// The tenants of the demo.
pub(crate) const TENANTS: [&str; 3] = ["harbour", "kestrel", "stlucian"];

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Persona {
    pub(crate) name: String,
    pub(crate) user: String,
}

#[derive(Debug, Deserialize)]
struct TenantFile {
    groups: BTreeMap<String, BTreeSet<String>>,
    persona: Vec<Persona>,
}

#[derive(Debug, Deserialize)]
struct AccessFile {
    rule: Vec<AccessRule>,
}

#[derive(Debug, Deserialize)]
struct AccessRule {
    path: String,
    allow: Vec<String>,
    #[serde(default)]
    deny: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Canaries {
    pub(crate) tenant: Vec<String>,
    pub(crate) groups: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(crate) users: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Golden {
    pub(crate) id: String,
    pub(crate) persona: String,
    pub(crate) query: String,
    pub(crate) expect: Vec<String>,
    pub(crate) absent: Vec<String>,
}

/// One tenant's corpus.
#[derive(Debug)]
pub(crate) struct Corpus {
    pub(crate) id: &'static str,
    pub(crate) groups: BTreeMap<String, BTreeSet<String>>,
    pub(crate) personas: Vec<Persona>,
    pub(crate) canaries: Canaries,
    pub(crate) golden: Vec<Golden>,
    pub(crate) documents: BTreeSet<String>,
    rules: Vec<AccessRule>,
}

fn read<T: DeserializeOwned>(path: &Path) -> T {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(folder: &Path, below: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder of documents") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, below, found);
        } else {
            found.insert(path.strip_prefix(below).expect("a path below").display().to_string());
        }
    }
}

impl Corpus {
    pub(crate) fn load(id: &'static str) -> Self {
        let folder = place::project().join("corpora").join(id);
        let tenant: TenantFile = read(&folder.join("tenant.toml"));
        let access: AccessFile = read(&folder.join("access.toml"));
        let golden = fs::read_to_string(folder.join("golden.jsonl")).expect("golden queries");
        let golden = golden.lines().filter(|line| !line.trim().is_empty());
        let mut documents = BTreeSet::new();
        files(&folder.join("documents"), &folder.join("documents"), &mut documents);
        Self {
            id,
            groups: tenant.groups,
            personas: tenant.persona,
            canaries: read(&folder.join("canaries.toml")),
            golden: golden.map(|line| serde_json::from_str(line).expect("a golden query")).collect(),
            documents,
            rules: access.rule,
        }
    }

    pub(crate) fn all() -> Vec<Self> {
        TENANTS.map(Self::load).into()
    }

    pub(crate) fn persona(&self, name: &str) -> &Persona {
        self.personas.iter().find(|persona| persona.name == name).expect("a golden query's persona")
    }

    /// Whether `user` may read `document`; nobody in particular may read what is open to everyone.
    pub(crate) fn admits(&self, user: Option<&str>, document: &str) -> bool {
        let Some(rule) = self.rules.iter().rev().find(|rule| glob(rule.path.as_bytes(), document.as_bytes())) else {
            return false;
        };
        let names = |entry: &String| match entry.split_once(':') {
            None => entry == "everyone",
            Some(("user", name)) => user == Some(name),
            Some((_, group)) => user.is_some_and(|user| self.groups.get(group).is_some_and(|all| all.contains(user))),
        };
        rule.allow.iter().any(names) && !rule.deny.iter().any(names)
    }

    /// The documents that `user` may read.
    pub(crate) fn readable(&self, user: Option<&str>) -> BTreeSet<String> {
        self.documents.iter().filter(|document| self.admits(user, document)).cloned().collect()
    }

    /// Canaries of this tenant's groups and users that `user` must not meet.
    pub(crate) fn closed_to(&self, user: Option<&str>) -> Vec<String> {
        let outside = |group: &String| !user.is_some_and(|user| self.groups[group].contains(user));
        let groups = self.canaries.groups.iter().filter(|(group, _)| outside(group)).map(|(_, words)| words);
        let users = self.canaries.users.iter().filter(|(name, _)| user != Some(name.as_str())).map(|(_, words)| words);
        groups.chain(users).flatten().cloned().collect()
    }

    /// Every canary of this tenant.
    pub(crate) fn all_canaries(&self) -> Vec<String> {
        self.canaries.tenant.iter().cloned().chain(self.closed_to(None)).collect()
    }
}

/// `**` stands for any run of characters, `*` for one within a segment of the path.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', b'*', rest @ ..] => (0..=text.len()).any(|skipped| glob(rest, &text[skipped..])),
        [b'*', rest @ ..] => {
            let segment = text.iter().position(|&byte| byte == b'/').unwrap_or(text.len());
            (0..=segment).any(|skipped| glob(rest, &text[skipped..]))
        }
        [first, rest @ ..] => text.split_first().is_some_and(|(byte, text)| byte == first && glob(rest, text)),
    }
}

#[test]
fn a_star_stays_in_its_segment_and_two_do_not() {
    let matches = |pattern: &str, text: &str| glob(pattern.as_bytes(), text.as_bytes());
    assert!(matches("eng/**", "eng/a/b.md") && matches("**", "a/b") && matches("a/*-b.*", "a/x-b.md"));
    assert!(!matches("eng/*", "eng/a/b.md") && !matches("eng/**", "sre/a.md"));
}
