//! Secrets of a source, by name, apart from its description.
//!
//! Promises: they show themselves in no `Debug` output and no error; what a kind of source cannot use is refused by name.
//! Does not: keep them. Whoever stores them seals them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::SourceError;
use crate::spec::SourceSpec;

/// Longest secret, in bytes: a service account's key is a JSON document.
pub const SECRET_BYTES_MAX: usize = 16 * 1024;

/// Secrets by name. Serialising them gives the secrets themselves, to be sealed.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Credentials(BTreeMap<String, String>);

impl Credentials {
    /// These secrets.
    #[must_use]
    pub fn new(secrets: BTreeMap<String, String>) -> Self {
        Self(secrets)
    }

    /// Their names, which may be shown.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses what a source of this kind cannot use, and what belongs together and is not there together.
    pub fn check(&self, spec: &SourceSpec) -> Result<(), SourceError> {
        let known = spec.secrets();
        for (name, secret) in &self.0 {
            let kind = spec.kind();
            if !known.contains(&name.as_str()) {
                let usable = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let name: String = name.chars().take(64).collect();
                return Err(SourceError::invalid(format!(
                    "{name:?} is no credential of a {kind} source; it can use {usable}"
                )));
            }
            if secret.is_empty() || secret.len() > SECRET_BYTES_MAX {
                return Err(SourceError::invalid(format!(
                    "the credential {name} is empty or longer than {SECRET_BYTES_MAX} bytes"
                )));
            }
            if secret.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
                return Err(SourceError::invalid(format!("the credential {name} holds a control character")));
            }
        }
        let needs = |one: &str, other: &str| match (self.0.contains_key(one), self.0.contains_key(other)) {
            (true, false) => Err(SourceError::invalid(format!("the credential {one} is of use only with {other}"))),
            _ => Ok(()),
        };
        needs("username", "password")?;
        needs("access_key_id", "secret_access_key")?;
        needs("secret_access_key", "access_key_id")?;
        needs("session_token", "access_key_id")?;
        if self.0.contains_key("token") && self.0.contains_key("password") {
            return Err(SourceError::invalid("give either a token, or a username and a password"));
        }
        Ok(())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
