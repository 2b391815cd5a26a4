//! Which issuers are trusted, and what their tokens become: the `[[oidc]]` tables of the file.
//!
//! Promises: what cannot be meant, or must not be, is refused at the start with its name. Does not: have a default for
//! whom to trust, or for which tenant.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use catena_access::{Right, Rights};
use catena_domain::TenantId;
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use reqwest::Url;
use serde::Deserialize;

/// Longest name of an issuer: with the user's letters behind it, it must still be the name of a key.
const NAME_BYTES_MAX: usize = 12;
/// The most that clocks may differ.
const LEEWAY_S_MAX: u64 = 60;
/// The longest that a key may be used which the issuer has withdrawn.
const KEYS_MAX_AGE_S_MAX: u64 = 300;
/// The longest that keys may be used, beyond their age, while the issuer does not answer.
const KEYS_OUTAGE_S_MAX: u64 = 24 * 60 * 60;

/// One table, as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Given {
    name: String,
    issuer: String,
    audience: Vec<String>,
    jwks_url: Option<String>,
    algorithms: Option<Vec<String>>,
    token_types: Option<Vec<TokenType>>,
    user_claim: Option<String>,
    groups_claim: Option<String>,
    tenant: Option<String>,
    tenant_claim: Option<String>,
    #[serde(default)]
    tenants: BTreeMap<String, String>,
    #[serde(default)]
    scopes: BTreeMap<String, Vec<String>>,
    default_scopes: Option<Vec<String>>,
    leeway_s: Option<u64>,
    keys_max_age_s: Option<u64>,
    keys_refresh_s: Option<u64>,
    keys_outage_s: Option<u64>,
}

/// What the header of a token says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum TokenType {
    /// An access token (RFC 9068).
    #[serde(rename = "at+jwt")]
    Access,
    /// Some token; that it is no ID token shows by its audience and its claims alone.
    #[serde(rename = "JWT")]
    Any,
    /// Nothing.
    #[serde(rename = "absent")]
    Absent,
}

impl TokenType {
    /// Whether a header's `typ` says this.
    pub(super) fn is(self, typ: Option<&str>) -> bool {
        let typ = typ.map(|typ| typ.to_ascii_lowercase());
        match (self, typ.as_deref().map(|typ| typ.trim_start_matches("application/"))) {
            (Self::Access, Some("at+jwt")) | (Self::Any, Some("jwt")) | (Self::Absent, None) => true,
            (Self::Access | Self::Any | Self::Absent, _) => false,
        }
    }
}

/// Where an issuer's keys are.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// At this address.
    Known(Url),
    /// At the address that the issuer's description gives, which is here.
    Described(Url),
}

/// How a token's tenant is found.
#[derive(Debug, Clone)]
pub(crate) enum Tenancy {
    /// It is this one.
    Fixed(TenantId),
    /// It is the one that the claim's value is mapped to.
    ByClaim { claim: String, tenants: BTreeMap<String, TenantId> },
}

/// How long keys count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ages {
    /// After this, they are asked for again.
    pub(crate) max: Duration,
    /// They are not asked for more often than this.
    pub(crate) between: Duration,
    /// While the issuer does not answer, they count for so much longer.
    pub(crate) outage: Duration,
}

/// One issuer and what its tokens become.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    pub(crate) name: String,
    pub(crate) issuer: String,
    pub(crate) audience: Vec<String>,
    pub(crate) source: Source,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) token_types: Vec<TokenType>,
    pub(crate) user_claim: String,
    pub(crate) groups_claim: String,
    pub(crate) tenancy: Tenancy,
    pub(crate) scopes: BTreeMap<String, Rights>,
    pub(crate) default_rights: Rights,
    pub(crate) leeway_s: i64,
    pub(crate) ages: Ages,
}

impl Trust {
    /// The issuers of all tables.
    pub(crate) fn all(given: Vec<Given>) -> anyhow::Result<Vec<Self>> {
        let mut all: Vec<Self> = Vec::with_capacity(given.len());
        for given in given {
            let name = given.name.clone();
            let trust = Self::of(given).with_context(|| format!("[[oidc]] named {name:?}"))?;
            if all.iter().any(|known| known.name == trust.name || known.issuer == trust.issuer) {
                bail!("[[oidc]] named {name:?} has the name or the issuer of another; each must be its own");
            }
            all.push(trust);
        }
        Ok(all)
    }

    fn of(given: Given) -> anyhow::Result<Self> {
        check_name(&given.name)?;
        let issuer = address("issuer", &given.issuer)?;
        ensure!(
            !given.audience.is_empty() && given.audience.iter().all(|audience| !audience.is_empty()),
            "`audience` is empty; name what the provider puts into `aud` for this service"
        );
        let source = match &given.jwks_url {
            Some(url) => Source::Known(address("jwks_url", url)?),
            None => Source::Described(description(&issuer)?),
        };
        Ok(Self {
            algorithms: algorithms(given.algorithms)?,
            token_types: given.token_types.unwrap_or_else(|| vec![TokenType::Access]),
            user_claim: given.user_claim.unwrap_or_else(|| "sub".to_owned()),
            groups_claim: given.groups_claim.unwrap_or_else(|| "groups".to_owned()),
            tenancy: tenancy(given.tenant, given.tenant_claim, given.tenants)?,
            default_rights: default_rights(given.default_scopes, given.scopes.is_empty())?,
            scopes: scopes(given.scopes)?,
            leeway_s: i64::try_from(within("leeway_s", given.leeway_s, 30, 0, LEEWAY_S_MAX)?)?,
            ages: ages(given.keys_max_age_s, given.keys_refresh_s, given.keys_outage_s)?,
            name: given.name,
            issuer: given.issuer,
            audience: given.audience,
            source,
        })
    }

    /// The scopes of tokens that stand for just these rights.
    pub(crate) fn scopes_for(&self, rights: Rights) -> impl Iterator<Item = &str> {
        self.scopes.iter().filter(move |(_, mapped)| **mapped == rights).map(|(scope, _)| scope.as_str())
    }
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    ensure!(
        (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(fits),
        "`name` stands in the record; give 1 to {NAME_BYTES_MAX} of a-z and 0-9"
    );
    Ok(())
}

/// Whether an address is this machine's own.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// An address that keys may come from: nobody on the way may change what is read there.
pub(crate) fn address(setting: &str, text: &str) -> anyhow::Result<Url> {
    let url = Url::parse(text).with_context(|| format!("`{setting}` is not an address"))?;
    let safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    ensure!(safe, "`{setting}` must begin with https://, unless it is on this machine: {text}");
    ensure!(
        url.username().is_empty() && url.password().is_none() && url.fragment().is_none() && url.host().is_some(),
        "`{setting}` may hold neither a user nor a fragment"
    );
    Ok(url)
}

/// The service's own address, as others see it: what tokens for it are asked for by.
pub(crate) fn public_address(text: &str) -> anyhow::Result<Url> {
    let url = address("public_url", text)?;
    ensure!(url.path() == "/" && url.query().is_none(), "`public_url` may have no path: {text}");
    Ok(url)
}

fn description(issuer: &Url) -> anyhow::Result<Url> {
    let path = "/.well-known/openid-configuration";
    ensure!(issuer.query().is_none(), "`issuer` has a query, so `jwks_url` must be given");
    Ok(Url::parse(&format!("{}{path}", issuer.as_str().trim_end_matches('/')))?)
}

fn algorithms(names: Option<Vec<String>>) -> anyhow::Result<Vec<Algorithm>> {
    let Some(names) = names else { return Ok(vec![Algorithm::RS256, Algorithm::ES256]) };
    ensure!(!names.is_empty(), "`algorithms` is empty; leave it out for RS256 and ES256");
    let read = |name: &String| {
        let known: Option<Algorithm> = name.parse().ok();
        known.filter(|algorithm| algorithm.family() != AlgorithmFamily::Hmac).with_context(|| {
            format!(
                "`algorithms` holds {name:?}; only signatures by a key pair are accepted: RS256, RS384, RS512, PS256, \
                 PS384, PS512, ES256, ES384, EdDSA"
            )
        })
    };
    names.iter().map(read).collect()
}

fn tenancy(fixed: Option<String>, claim: Option<String>, tenants: BTreeMap<String, String>) -> anyhow::Result<Tenancy> {
    match (fixed, claim, tenants.is_empty()) {
        (Some(tenant), None, true) => Ok(Tenancy::Fixed(TenantId::new(&tenant).context("`tenant`")?)),
        (None, Some(claim), false) => {
            let map = |(value, tenant): (String, String)| Ok((value, TenantId::new(&tenant).context("`tenants`")?));
            Ok(Tenancy::ByClaim { claim, tenants: tenants.into_iter().map(map).collect::<anyhow::Result<_>>()? })
        }
        _ => {
            bail!("give either `tenant`, or `tenant_claim` with a table [oidc.tenants] of its values and their tenants")
        }
    }
}

fn rights(setting: &str, names: &[String]) -> anyhow::Result<Rights> {
    let rights = names.iter().map(|name| name.parse::<Right>()).collect::<Result<Rights, _>>();
    let rights = rights.with_context(|| format!("`{setting}`"))?;
    ensure!(
        !rights.has(Right::Operator),
        "`{setting}` may not hold `operator`: only the operator's key is the operator's"
    );
    Ok(rights)
}

fn scopes(given: BTreeMap<String, Vec<String>>) -> anyhow::Result<BTreeMap<String, Rights>> {
    let read = |(scope, names): (String, Vec<String>)| {
        ensure!(!scope.is_empty() && !scope.contains(' '), "`scopes` has {scope:?}, which is no scope of a token");
        let rights = rights("scopes", &names)?;
        Ok((scope, rights))
    };
    given.into_iter().map(read).collect()
}

/// What every token may do: reading, unless scopes are mapped or it is said.
fn default_rights(given: Option<Vec<String>>, nothing_is_mapped: bool) -> anyhow::Result<Rights> {
    let Some(names) = given else {
        return Ok(if nothing_is_mapped { Rights::of(&[Right::Read]) } else { Rights::default() });
    };
    let rights = rights("default_scopes", &names)?;
    ensure!(
        !rights.has(Right::Admin) && !rights.has(Right::Impersonate),
        "`default_scopes` may not hold `admin` or `impersonate`; map a scope of the token to them in `scopes`"
    );
    Ok(rights)
}

fn within(setting: &str, given: Option<u64>, default: u64, least: u64, most: u64) -> anyhow::Result<u64> {
    let value = given.unwrap_or(default);
    ensure!((least..=most).contains(&value), "`{setting}` is {value}; it must lie between {least} and {most}");
    Ok(value)
}

fn ages(max: Option<u64>, between: Option<u64>, outage: Option<u64>) -> anyhow::Result<Ages> {
    let max_s = within("keys_max_age_s", max, KEYS_MAX_AGE_S_MAX, 1, KEYS_MAX_AGE_S_MAX)?;
    let between_s = within("keys_refresh_s", between, max_s.min(30), 1, max_s)?;
    let outage_s = within("keys_outage_s", outage, 60 * 60, 0, KEYS_OUTAGE_S_MAX)?;
    let [max, between, outage] = [max_s, between_s, outage_s].map(Duration::from_secs);
    Ok(Ages { max, between, outage })
}
