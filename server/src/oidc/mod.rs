//! Access tokens of identity providers, the second kind of credential beside keys.
//!
//! Promises: a token counts only if an issuer out of the settings signed it for this service, and becomes a credential by
//! the settings' mapping alone; whatever a token says, nothing is fetched but the keys of a configured issuer, and those
//! at a bounded rate. A token is not kept, not logged and not sent on. Does not: sign anybody in, ask the provider about
//! a token, or notice that one was withdrawn before it ends.

mod claims;
mod fetch;
mod keys;
mod settings;
#[cfg(test)]
mod tests;
mod token;

use std::collections::BTreeSet;
use std::sync::Arc;

use catena_access::{Credential, Right, Rights};
use catena_runtime::clock;

use keys::Keys;
pub(crate) use settings::{Given, Trust, public_address};
use token::Unverified;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// Why a token was turned away. The reasons are for the log; they hold names of claims and never what a claim says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Whoever sent it has proved nothing.
    Unproven(String),
    /// Its issuer signed it, and it cannot be mapped.
    Unfit(String),
    /// It names more groups than a credential may have, or says that it left some out.
    TooManyGroups,
    /// The issuer's keys cannot be had.
    NoKeys,
}

impl Refusal {
    fn unproven(reason: impl Into<String>) -> Self {
        Self::Unproven(reason.into())
    }

    fn unfit(reason: impl Into<String>) -> Self {
        Self::Unfit(reason.into())
    }

    /// The same, with the issuer's name before its reason.
    fn of(self, issuer: &str) -> Self {
        match self {
            Self::Unproven(reason) => Self::Unproven(format!("{issuer}: {reason}")),
            Self::Unfit(reason) => Self::Unfit(format!("{issuer}: {reason}")),
            Self::TooManyGroups | Self::NoKeys => self,
        }
    }
}

/// The issuers that are trusted here, with their keys.
#[derive(Debug)]
pub(crate) struct Oidc(Vec<Provider>);

#[derive(Debug)]
struct Provider {
    trust: Trust,
    keys: Arc<Keys>,
}

impl Oidc {
    /// Makes ready to ask each issuer for its keys; asks nobody yet, so that the service starts without them.
    pub(crate) fn new(trusts: &[Trust]) -> anyhow::Result<Self> {
        let provider = |trust: &Trust| Ok(Provider { trust: trust.clone(), keys: Arc::new(Keys::new(trust)?) });
        Ok(Self(trusts.iter().map(provider).collect::<anyhow::Result<_>>()?))
    }

    /// Whether this text is to be read as a token. No key of ours holds a dot, and every token does.
    pub(crate) fn is_for(&self, presented: &str) -> bool {
        !self.0.is_empty() && presented.contains('.')
    }

    /// Who sent this token.
    pub(crate) async fn identify(&self, token: &str) -> Result<Credential, Refusal> {
        let token = Unverified::read(token)?;
        let issuer = token.claims().issuer();
        let provider = self.0.iter().find(|provider| issuer == Some(&provider.trust.issuer));
        let provider = provider.ok_or_else(|| Refusal::unproven("nobody of that name is trusted as an issuer"))?;
        provider.identify(&token).await.map_err(|refusal| refusal.of(&provider.trust.name))
    }

    /// The issuers' names, as agents look for them.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|provider| provider.trust.issuer.as_str())
    }

    /// The scopes of tokens that stand for reading and nothing else: what an agent should ask its provider for.
    pub(crate) fn reading_scopes(&self) -> BTreeSet<&str> {
        self.0.iter().flat_map(|provider| provider.trust.scopes_for(Rights::of(&[Right::Read]))).collect()
    }

    /// Asks each issuer for its keys: its name, and how many there are or what went wrong.
    pub(crate) async fn look(&self) -> Vec<(&str, Result<usize, String>)> {
        let mut seen = Vec::with_capacity(self.0.len());
        for provider in &self.0 {
            seen.push((provider.trust.name.as_str(), provider.keys.look().await.map_err(|error| format!("{error:#}"))));
        }
        seen
    }
}

impl Provider {
    /// Whatever can be refused without the keys is refused before they are asked for.
    async fn identify(&self, token: &Unverified<'_>) -> Result<Credential, Refusal> {
        let now_s = clock::now().0 / MICROS_PER_SECOND;
        token.check(&self.trust)?;
        token.claims().check(&self.trust, now_s)?;
        let key = self.keys.find(token.kid(), token.algorithm()).await?;
        token.verify(&key, &self.trust)?.credential(&self.trust)
    }
}
