//! Who may read a document, as its source says: from rules, and from the document itself where that is allowed.
//!
//! One speaks, and that one decides alone; nothing is added up. In this order:
//!
//! 1. the document itself, if `from_documents` lets it: its front matter, or its object's metadata;
//! 2. the last of the rules whose pattern matches its id. They stand in the description, or in the `access.toml` of the
//!    place, never in both;
//! 3. nobody: [`Access::Unstated`].
//!
//! Attributes follow the same order, one by one: what the document says of itself, and beside it what the rule says.
//!
//! Promises: what is said and cannot be read is [`Access::Unreadable`], also where a rule further down would admit
//! somebody. Does not: read anything.

mod front;
pub mod rules;

use catena_access::{Attributes, attribute};
use catena_text::Format;
use serde::{Deserialize, Serialize};

use crate::Access;
use crate::error::SourceError;
pub(crate) use front::said_in;
pub use rules::{EntryText, RuleText, Rules};

/// The name of the rule file in a place.
pub const FILE: &str = "access.toml";
/// How the metadata of an object begin that are meant for this service.
const METADATA: &str = "catena-";
/// The same where a store's metadata may have no `-` in their names.
const METADATA_PLAIN: &str = "catena_";

/// Where a source's access lists come from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessSpec {
    /// Rules; the last one whose pattern matches a document's id decides alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleText>,
    /// Whether the rules are those of the file `access.toml` in the place itself. Whoever may write there then decides who
    /// may read.
    #[serde(default)]
    pub from_file: bool,
    /// Whether a document may say itself who may read it. Whoever may write a document then decides who may read it.
    #[serde(default)]
    pub from_documents: bool,
}

/// What a document says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Said {
    pub(crate) access: Option<Access>,
    pub(crate) attributes: Attributes,
}

impl Said {
    fn unreadable(reason: impl Into<String>) -> Self {
        Self { access: Some(Access::Unreadable { reason: reason.into() }), attributes: Attributes::new() }
    }
}

/// Decides for the documents of one source.
#[derive(Debug, Clone, Default)]
pub(crate) struct Decider {
    rules: Rules,
    from_documents: bool,
}

impl Decider {
    /// With the rules of the description, or with those of the place's `access.toml`, of which this is the text.
    pub(crate) fn new(spec: &AccessSpec, file: Option<&[u8]>) -> Result<Self, SourceError> {
        let rules = match (spec.from_file, file) {
            (false, _) => Rules::of(&spec.rules).map_err(|error| error.to_string()),
            (true, None) => Err(format!(
                "{FILE} is not there, and the source takes its rules from it; write it, or leave out access.from_file"
            )),
            (true, Some(bytes)) => parse(bytes).map_err(|error| format!("{FILE} is not understood: {error}")),
        };
        let rules = rules.map_err(SourceError::invalid)?;
        Ok(Self { rules, from_documents: spec.from_documents })
    }

    pub(crate) fn lets_documents_speak(&self) -> bool {
        self.from_documents
    }

    /// Whether the same decides for both: the same rule or none, and themselves or not.
    pub(crate) fn decides_alike(&self, one: &str, other: &str) -> bool {
        let line = |id| self.rules.decide(id).map(|rule| rule.line);
        line(one) == line(other) && (!self.from_documents || has_front_matter(one) == has_front_matter(other))
    }

    /// What can be said of a document before its bytes are there; nothing, if they may say otherwise.
    pub(crate) fn listed(&self, id: &str, speaks: Speaks) -> Option<Access> {
        let may_speak = match speaks {
            Speaks::Never => false,
            Speaks::InFrontMatter => has_front_matter(id),
            Speaks::InMetadata => true,
        };
        (!(self.from_documents && may_speak)).then(|| self.decide(id, Said::default()).0)
    }

    /// What is added to a document's tag, so that it is read again when a rule says something else of it which no listing
    /// shows: attributes, and who may read it where the document may say that itself.
    pub(crate) fn mark(&self, id: &str, speaks: Speaks) -> String {
        let Some(rule) = self.rules.decide(id) else { return String::new() };
        let is_listed = self.listed(id, speaks).is_some();
        if is_listed && rule.attributes.is_empty() {
            return String::new();
        }
        let mut said = String::new();
        if let Some(lists) = rule.acl.lists().filter(|_| !is_listed) {
            said += &format!("{:?} {:?} {:?}", lists.allow(), lists.deny(), lists.label());
        }
        said += &format!("{:?}", rule.attributes);
        format!("+{}", &blake3::hash(said.as_bytes()).to_hex()[..16])
    }

    /// Who may read a document that says this of itself, and what is said of it.
    pub(crate) fn decide(&self, id: &str, said: Said) -> (Access, Attributes) {
        let rule = self.rules.decide(id);
        let said = if self.from_documents { said } else { Said::default() };
        let mut attributes = rule.map(|rule| rule.attributes.clone()).unwrap_or_default();
        attributes.extend(said.attributes);
        let access = match (said.access, rule) {
            (Some(access), _) => access,
            (None, Some(rule)) => Access::Stated(rule.acl.clone()),
            (None, None) => Access::Unstated,
        };
        match attribute::check(&attributes) {
            Ok(()) => (access, attributes),
            Err(error) => (Access::Unreadable { reason: error.to_string() }, Attributes::new()),
        }
    }
}

/// Where documents of a source may say who may read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Never,
    InFrontMatter,
    InMetadata,
}

/// Whether documents of this name have front matter that is read.
pub(crate) fn has_front_matter(id: &str) -> bool {
    Format::from_path(id) == Some(Format::Markdown)
}

fn parse(bytes: &[u8]) -> Result<Rules, String> {
    if bytes.len() as u64 > rules::FILE_BYTES_MAX {
        return Err(format!("it is larger than {} bytes", rules::FILE_BYTES_MAX));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    Rules::parse(text).map_err(|error| error.to_string())
}

/// What an object's metadata say: `catena-allow` and `catena-deny`, entries parted by commas, `catena-label`, and
/// `catena-attribute-NAME`. Others that begin so are not understood, and then the whole is not.
pub(crate) fn said_by_metadata<'a>(metadata: impl Iterator<Item = (&'a str, &'a str)>) -> Said {
    let (mut allow, mut deny, mut label) = (None, None, None);
    let mut attributes = Attributes::new();
    for (name, value) in metadata {
        let name = name.to_ascii_lowercase();
        let known = name.strip_prefix(METADATA).or_else(|| name.strip_prefix(METADATA_PLAIN));
        let Some(known) = known else { continue };
        match known {
            "allow" => allow = Some(entries(value)),
            "deny" => deny = Some(entries(value)),
            "label" => label = Some(value.trim().to_owned()),
            other => match attribute_of(other) {
                Some(name) => {
                    attributes.insert(name.to_owned(), value.into());
                }
                None => return Said::unreadable(format!("the metadata {METADATA}{other} is not known")),
            },
        }
    }
    let access = match (&allow, &deny, &label) {
        (None, None, None) => None,
        (None, ..) => {
            return Said::unreadable(format!("the metadata say a part of who may read it; {METADATA}allow is missing"));
        }
        (Some(allow), ..) => {
            let read = rules::acl(allow, &deny.unwrap_or_default(), label.as_deref());
            Some(read.map_or_else(|error| Access::Unreadable { reason: error.to_string() }, Access::Stated))
        }
    };
    Said { access, attributes }
}

fn attribute_of(name: &str) -> Option<&str> {
    name.strip_prefix("attribute").and_then(|rest| rest.strip_prefix(['-', '_'])).filter(|name| !name.is_empty())
}

fn entries(list: &str) -> Vec<EntryText> {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(EntryText::from).collect()
}

#[cfg(test)]
mod tests;
