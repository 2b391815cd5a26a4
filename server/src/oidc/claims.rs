//! What a token claims, and what becomes of it.
//!
//! Promises: a claim of another type than it should have is refused, never taken for absent; names, groups and the tenant
//! come out as the provider wrote them or not at all. Does not: look at signatures; see `token`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use catena_access::{Credential, Right, Rights};
use catena_domain::{GroupName, KeyId, TenantId, UserName, limits};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::Refusal;
use super::settings::{Tenancy, Trust};

/// Claims that stand in ID tokens and logout tokens, which are not for services.
const NOT_FOR_ACCESS: [&str; 5] = ["nonce", "at_hash", "c_hash", "s_hash", "events"];
/// What `typ` among the claims must be where a provider puts one.
const BEARER: &str = "bearer";
/// Letters of a key's name that stand for a user.
const USER_LETTERS: usize = 14;
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A token's claims, each there once.
pub(super) struct Claims(BTreeMap<String, Value>);

impl Claims {
    /// Who says to have issued it.
    pub(super) fn issuer(&self) -> Option<&String> {
        match self.0.get("iss") {
            Some(Value::String(issuer)) => Some(issuer),
            _ => None,
        }
    }

    /// Whether it is an access token for this service, at this time.
    pub(super) fn check(&self, trust: &Trust, now_s: i64) -> Result<(), Refusal> {
        if self.issuer() != Some(&trust.issuer) {
            return Err(Refusal::unproven("`iss` is not the issuer's name"));
        }
        if !self.texts("aud")?.iter().any(|audience| trust.audience.iter().any(|ours| ours == audience)) {
            return Err(Refusal::unproven("`aud` is none of `audience`"));
        }
        self.check_times(trust.leeway_s, now_s)?;
        if let Some(claim) = NOT_FOR_ACCESS.iter().find(|claim| self.0.contains_key(**claim)) {
            return Err(Refusal::unproven(format!("it has the claim `{claim}`, so it is no access token")));
        }
        if self.0.get("typ").is_some_and(|kind| !kind.as_str().is_some_and(|kind| kind.eq_ignore_ascii_case(BEARER))) {
            return Err(Refusal::unproven("its claim `typ` does not say that it is a bearer token"));
        }
        if self.0.contains_key("cnf") {
            return Err(Refusal::unproven("it is bound to a key of its holder (`cnf`), which cannot be checked here"));
        }
        Ok(())
    }

    fn check_times(&self, leeway_s: i64, now_s: i64) -> Result<(), Refusal> {
        let (Some(ends), Some(issued)) = (self.seconds("exp")?, self.seconds("iat")?) else {
            return Err(Refusal::unproven("`exp` or `iat` is missing"));
        };
        if ends <= now_s.saturating_sub(leeway_s) {
            return Err(Refusal::unproven("it has expired"));
        }
        let latest = now_s.saturating_add(leeway_s);
        if issued > latest || self.seconds("nbf")?.is_some_and(|begins| begins > latest) {
            return Err(Refusal::unproven("it is not valid yet; are the clocks right?"));
        }
        Ok(())
    }

    /// A time in whole seconds. Present and anything else is refused.
    fn seconds(&self, claim: &str) -> Result<Option<i64>, Refusal> {
        match self.0.get(claim) {
            None => Ok(None),
            Some(value) => match value.as_i64() {
                Some(seconds) => Ok(Some(seconds)),
                None => Err(Refusal::unproven(format!("`{claim}` is not a whole number of seconds"))),
            },
        }
    }

    /// A text, or several; not there is none.
    fn texts(&self, claim: &str) -> Result<Vec<&str>, Refusal> {
        let wrong = || Refusal::unproven(format!("`{claim}` is neither a text nor a list of texts"));
        match self.0.get(claim) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(items)) => items.iter().map(|item| item.as_str().ok_or_else(wrong)).collect(),
            Some(_) => Err(wrong()),
        }
    }

    /// The credential that these claims are, by the settings. Only for claims whose signature was checked.
    pub(super) fn credential(&self, trust: &Trust) -> Result<Credential, Refusal> {
        let user = self.user(&trust.user_claim)?;
        Ok(Credential {
            key: actor(trust, &user)?,
            name: trust.name.clone(),
            tenant: Some(self.tenant(&trust.tenancy)?),
            rights: self.rights(trust)?,
            user: Some(user),
            groups: self.groups(&trust.groups_claim)?,
            clearance: None,
        })
    }

    fn user(&self, claim: &str) -> Result<UserName, Refusal> {
        let name = self.0.get(claim).and_then(Value::as_str);
        let name =
            name.ok_or_else(|| Refusal::unfit(format!("`{claim}`, which names the user, is missing or no text")))?;
        UserName::new(name).map_err(|_| Refusal::unfit(format!("`{claim}` cannot be a user's name")))
    }

    fn tenant(&self, tenancy: &Tenancy) -> Result<TenantId, Refusal> {
        match tenancy {
            Tenancy::Fixed(tenant) => Ok(tenant.clone()),
            Tenancy::ByClaim { claim, tenants } => {
                let value = self.0.get(claim).and_then(Value::as_str);
                let tenant = value.and_then(|value| tenants.get(value));
                tenant.cloned().ok_or_else(|| Refusal::unfit(format!("`{claim}` is none of those that `tenants` maps")))
            }
        }
    }

    fn rights(&self, trust: &Trust) -> Result<Rights, Refusal> {
        let mut rights: Vec<Right> = trust.default_rights.iter().collect();
        for claim in ["scope", "scp"] {
            for scopes in self.texts(claim)? {
                let known = scopes.split(' ').filter_map(|scope| trust.scopes.get(scope));
                rights.extend(known.flat_map(|rights| rights.iter()));
            }
        }
        Ok(rights.into_iter().collect())
    }

    /// The groups whose names can be names here. A list that is too long, or that says it is not whole, is refused: a
    /// group that is missing may be one that a document shuts out.
    fn groups(&self, claim: &str) -> Result<Vec<GroupName>, Refusal> {
        let elsewhere = self.0.get("_claim_names").is_some_and(|names| names.get(claim).is_some());
        let left_out = self.0.get("hasgroups").is_some_and(|has| *has != Value::Bool(false));
        let names = match self.0.get(claim) {
            None => &Vec::new(),
            Some(Value::Array(names)) => names,
            Some(_) => return Err(Refusal::unfit(format!("`{claim}` is not a list of groups"))),
        };
        if elsewhere || left_out || names.len() > limits::GROUPS_PER_PRINCIPAL_MAX {
            return Err(Refusal::TooManyGroups);
        }
        let mut groups = BTreeSet::new();
        for name in names {
            let name = name.as_str().ok_or_else(|| Refusal::unfit(format!("`{claim}` holds more than names")))?;
            groups.extend(GroupName::new(name).ok());
        }
        Ok(groups.into_iter().collect())
    }
}

/// The name under which one user of one issuer stands in the record. It differs from user to user, because what one
/// credential asked for is that credential's to read again.
fn actor(trust: &Trust, user: &UserName) -> Result<KeyId, Refusal> {
    let digest = Sha256::digest([trust.issuer.as_bytes(), &[0], user.as_str().as_bytes()].concat());
    let letters = digest.iter().take(USER_LETTERS).map(|byte| char::from(LETTERS[usize::from(byte & 31)]));
    let name = format!("oidc-{}-{}", trust.name, letters.collect::<String>());
    KeyId::new(&name).map_err(|_| Refusal::unfit("the issuer's `name` is too long"))
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EachOnce)
    }
}

/// Reads an object in which no name may stand twice: two readers could take one each.
struct EachOnce;

impl<'de> Visitor<'de> for EachOnce {
    type Value = Claims;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
        let mut claims = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if claims.insert(name, value).is_some() {
                return Err(A::Error::custom("a claim stands there twice"));
            }
        }
        Ok(Claims(claims))
    }
}
