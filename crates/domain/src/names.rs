//! Names that people and programs give to things, checked once, when they are made.

use std::fmt;
use std::str::FromStr;

use crate::limits;

/// Why a text is not a name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("{what} is empty")]
    Empty {
        /// What was being named.
        what: &'static str,
    },
    /// The text is over its limit.
    #[error("{what} is {bytes} bytes long; the limit is {limit_bytes}")]
    TooLong {
        /// What was being named.
        what: &'static str,
        /// Length given.
        bytes: usize,
        /// Length allowed.
        limit_bytes: usize,
    },
    /// A character that such a name may not hold.
    #[error("{what} may not hold {character:?}; {allowed}")]
    Character {
        /// What was being named.
        what: &'static str,
        /// The first offending character.
        character: char,
        /// What may stand in such a name.
        allowed: &'static str,
    },
}

fn check(
    what: &'static str,
    text: &str,
    limit_bytes: usize,
    allowed: &'static str,
    admits: fn(char) -> bool,
) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    if text.len() > limit_bytes {
        return Err(NameError::TooLong { what, bytes: text.len(), limit_bytes });
    }
    match text.chars().find(|&c| !admits(c)) {
        Some(character) => Err(NameError::Character { what, character, allowed }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $limit:expr, $allowed:literal, $admits:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Box<str>);

        impl $type {
            /// Checks `text` and makes a name of it.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check($what, text, $limit, $allowed, $admits)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }
    };
}

fn is_slug(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

fn is_visible(c: char) -> bool {
    !c.is_control() && !is_invisible(c)
}

/// Characters that change how a text reads without being seen: direction marks, zero-width marks, tags.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}'
        | '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}')
}

fn is_name(c: char) -> bool {
    is_visible(c) && c != ':' && c != ','
}

name!(
    /// The unit of isolation's name; also a folder's name, hence narrow.
    TenantId, "a tenant id", limits::TENANT_ID_BYTES_MAX, "use a-z, 0-9 and -", is_slug);
name!(
    /// A document's name inside its tenant, as its source gives it: a path, a URL, an identifier.
    DocumentId, "a document id", limits::DOCUMENT_ID_BYTES_MAX, "use visible characters", is_visible);
name!(
    /// A user's name as the tenant's directory gives it.
    UserName, "a user name", limits::NAME_BYTES_MAX, "use visible characters except : and ,", is_name);
name!(
    /// A group's name as the tenant's directory gives it.
    GroupName, "a group name", limits::NAME_BYTES_MAX, "use visible characters except : and ,", is_name);
name!(
    /// A clearance label of a tenant, such as `confidential`. Which is above which is the tenant's to say.
    Label, "a label", limits::NAME_BYTES_MAX, "use visible characters except : and ,", is_name);
name!(
    /// The public half of a credential: it names the credential and proves nothing. No API key has a `-` in it.
    KeyId, "a key id", 32, "use a-z, 0-9 and -", is_slug);
name!(
    /// A recipe's fingerprint: parser, chunker, header and model with their versions.
    RecipeId, "a recipe", 64, "use a-z, 0-9 and -", is_slug);
name!(
    /// A place that a tenant's documents come from; also a part of a path, hence narrow.
    SourceName, "a source's name", limits::TENANT_ID_BYTES_MAX, "use a-z, 0-9 and -", is_slug);
name!(
    /// One build of a tenant's index.
    GenerationId, "a generation", 64, "use a-z, 0-9 and -", is_slug);
name!(
    /// A piece of background work.
    JobId, "a job id", 64, "use a-z, 0-9 and -", is_slug);
name!(
    /// One answered context request.
    ContextId, "a context id", 64, "use a-z, 0-9 and _", |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
name!(
    /// A caller's own name for one request, by which it is known again when it is sent a second time.
    RequestKey, "an idempotency key", limits::REQUEST_KEY_BYTES_MAX, "use visible ASCII characters", |c| c.is_ascii_graphic());

/// The digits of each of a recipe's two parts.
const RECIPE_PART_DIGITS: usize = 16;

impl RecipeId {
    /// The recipe of a model and of a way of cutting, each named by the first digits of a hash.
    pub fn of_parts(model: &str, cutting: &str) -> Result<Self, NameError> {
        let part = |hash: &'_ str| hash.get(..RECIPE_PART_DIGITS).unwrap_or(hash).to_owned();
        Self::new(&format!("{}-{}", part(model), part(cutting)))
    }

    /// Whether both make vectors with the same model, so that their vectors can be compared, however texts are cut.
    #[must_use]
    pub fn has_model_of(&self, other: &Self) -> bool {
        self == other || self.model().is_some_and(|model| other.model() == Some(model))
    }

    fn model(&self) -> Option<&str> {
        let (model, cutting) = self.as_str().split_once('-')?;
        (model.len() == RECIPE_PART_DIGITS && cutting.len() == RECIPE_PART_DIGITS).then_some(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_of_one_model_when_their_first_parts_say_so_and_never_by_chance() {
        let of = |model: char, cutting: char| {
            RecipeId::of_parts(&model.to_string().repeat(32), &cutting.to_string().repeat(32)).unwrap()
        };
        assert!(of('a', 'b').has_model_of(&of('a', 'c')));
        assert!(!of('a', 'b').has_model_of(&of('c', 'b')));
        let (one, two) = (RecipeId::new("recipe-1").unwrap(), RecipeId::new("recipe-2").unwrap());
        assert!(one.has_model_of(&one) && !one.has_model_of(&two) && !one.has_model_of(&of('a', 'b')));
    }

    #[test]
    fn a_tenant_id_is_safe_as_a_folder_name() {
        for bad in ["", ".", "..", "a/b", "A", "a b", "ä", &"a".repeat(limits::TENANT_ID_BYTES_MAX + 1)] {
            assert!(TenantId::new(bad).is_err(), "{bad:?} was taken for a tenant id");
        }
        assert!(TenantId::new("acme-2").is_ok());
    }

    #[test]
    fn a_document_id_may_be_a_path_but_holds_nothing_invisible() {
        assert!(DocumentId::new("handbook/keys.md").is_ok());
        assert!(DocumentId::new("Überblick (neu).txt").is_ok());
        for bad in ["a\nb", "a\u{202E}b", "a\u{200B}b", ""] {
            assert!(DocumentId::new(bad).is_err(), "{bad:?} was taken for a document id");
        }
    }

    #[test]
    fn a_refused_name_says_what_and_why() {
        let error = UserName::new("a:b").map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "a user name may not hold ':'; use visible characters except : and ,");
    }
}
