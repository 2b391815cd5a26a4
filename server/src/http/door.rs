//! The door: from a header to a credential, from a credential to a scope.
//!
//! Promises: a key that is wrong, unknown, ended, revoked or another tenant's is turned away here, and all of them alike,
//! and so is a token that does not hold; what comes out is proof. Does not: remember anything between requests, so that
//! a revocation holds from the next one on.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use catena_access::{Credential, Directory, Entry, KeyText, OnBehalf, Operator, Right, Rights, Scope};
use catena_catalog::{Quotas, Standing};
use catena_domain::{GroupName, KeyId, TenantId, UserName, limits};
use http::request::Parts;
use http::{HeaderMap, header};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::once::Named;
use crate::http::problem::Problem;
use crate::http::trail::Trail;
use crate::oidc::Refusal;

/// The key's other header, for clients that cannot set `authorization`.
const API_KEY: &str = "x-api-key";

/// Whom a request speaks for. Needs the scope `impersonate`.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct As {
    /// The user.
    #[serde(default)]
    pub(crate) user: Option<String>,
    /// Groups that the caller vouches for, besides those of the tenant's directory.
    #[serde(default)]
    pub(crate) groups: Vec<String>,
}

impl As {
    pub(crate) fn parse(self) -> Result<OnBehalf, Problem> {
        Ok(OnBehalf { user: self.user.as_deref().map(UserName::new).transpose()?, groups: group_names(&self.groups)? })
    }
}

/// Group names out of a request, within bounds.
pub(crate) fn group_names(groups: &[String]) -> Result<Vec<GroupName>, Problem> {
    if groups.len() > limits::GROUPS_PER_PRINCIPAL_MAX {
        let most = limits::GROUPS_PER_PRINCIPAL_MAX;
        return Err(Problem::invalid(format!("{} groups were given; the limit is {most}.", groups.len())));
    }
    groups.iter().map(|group| GroupName::new(group).map_err(Problem::from)).collect()
}

/// Finds out whose key the request carries.
pub(crate) async fn authenticate(app: &App, headers: &HeaderMap) -> Result<Credential, Problem> {
    let presented = presented(headers)?;
    let hash = app.catalog().pepper().hash(presented);
    if app.operator_key() == hash {
        return Ok(operator());
    }
    if app.oidc().is_for(presented) && headers.contains_key(header::AUTHORIZATION) {
        return by_token(app, presented).await;
    }
    let key = KeyText::parse(presented).map_err(|error| {
        Problem::unauthenticated(format!("The key cannot be right: {error}. Copy it again, or ask for a new one."))
    })?;
    let stored = app.catalog().find_key(key.id()).await?.ok_or_else(unknown_key)?;
    if stored.hash != hash {
        return Err(unknown_key());
    }
    app.catalog().key_was_used(&stored.credential);
    Ok(stored.credential)
}

/// Finds out whom a token of an identity provider stands for.
async fn by_token(app: &App, token: &str) -> Result<Credential, Problem> {
    let refusal = match app.oidc().identify(token).await {
        Ok(credential) if is_there(app, credential.tenant.as_ref()).await? => return Ok(credential),
        Ok(_) => Refusal::Unfit("the tenant that the settings give it does not exist".to_owned()),
        Err(refusal) => refusal,
    };
    match refusal {
        Refusal::Unproven(reason) => tracing::debug!(reason, "a token was refused"),
        Refusal::Unfit(reason) => tracing::warn!(reason, "a token of a trusted issuer was refused"),
        Refusal::TooManyGroups => {
            tracing::warn!("a token names more groups than one may have, or leaves some out");
            return Err(Problem::too_many_groups());
        }
        Refusal::NoKeys => {
            return Err(Problem::unavailable(
                "The identity provider cannot be asked for its keys right now, so no token can be checked. Try again.",
            ));
        }
    }
    Err(Problem::invalid_token())
}

async fn is_there(app: &App, tenant: Option<&TenantId>) -> Result<bool, Problem> {
    match tenant {
        Some(tenant) => Ok(app.catalog().standing(tenant).await?.is_some_and(|standing| !standing.state.is_gone())),
        None => Ok(false),
    }
}

/// The one answer to keys that open nothing.
pub(crate) fn unknown_key() -> Problem {
    Problem::unauthenticated("The key is unknown, has ended or was revoked. Ask for a new one.")
}

fn presented(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = "No key was sent. Send one in the header `authorization: Bearer KEY`.";
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().unwrap_or_default();
        let (scheme, key) = text.split_once(' ').unwrap_or_default();
        return if scheme.eq_ignore_ascii_case("bearer") && !key.trim().is_empty() {
            Ok(key.trim())
        } else {
            Err(Problem::unauthenticated("The header `authorization` must read `Bearer KEY`."))
        };
    }
    headers
        .get(API_KEY)
        .and_then(|value| value.to_str().ok())
        .filter(|key| !key.is_empty())
        .ok_or_else(|| Problem::unauthenticated(missing))
}

fn operator() -> Credential {
    Credential {
        key: KeyId::new("operator").unwrap_or_else(|_| unreachable!("a constant name is a name")),
        name: "operator".to_owned(),
        tenant: None,
        rights: Rights::of(&[Right::Operator]),
        user: None,
        groups: Vec::new(),
        clearance: None,
    }
}

/// Who calls, as an extractor: present on every route behind the record's layer.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) credential: Arc<Credential>,
    /// What its tenant may hold and use.
    pub(crate) quotas: Arc<Quotas>,
    pub(crate) trail: Trail,
    /// The caller's own name for the request.
    pub(crate) named: Option<Named>,
}

impl Caller {
    /// Enters `tenant` by the right that is needed.
    pub(crate) async fn enter(&self, app: &App, tenant: &str, need: Right) -> Result<Scope, Problem> {
        self.enter_as(app, tenant, need, None).await
    }

    /// Enters `tenant` as an administrator of it. An operator administers, but sees no document, not even that it is there.
    pub(crate) async fn administer(&self, app: &App, tenant: &str) -> Result<Scope, Problem> {
        let scope = self.enter(app, tenant, Right::Admin).await?;
        if scope.principal().is_administrator() {
            Ok(scope)
        } else {
            Err(Problem::missing_right(Right::Admin.as_str()))
        }
    }

    /// Enters `tenant` on behalf of somebody.
    pub(crate) async fn enter_as(
        &self,
        app: &App,
        tenant: &str,
        need: Right,
        on_behalf: Option<OnBehalf>,
    ) -> Result<Scope, Problem> {
        // A name that cannot be a tenant's is as absent as one that is not.
        let tenant = TenantId::new(tenant).map_err(|_| Problem::not_found())?;
        if self.credential.operate().is_ok() {
            let standing = app.catalog().standing(&tenant).await?;
            // Of a tenant that is gone, the record is all that is left.
            let is_there = |standing: &Standing| need == Right::Audit || !standing.state.is_gone();
            standing.filter(is_there).ok_or_else(Problem::not_found)?;
        }
        let directory = if self.credential.tenant.as_ref() == Some(&tenant) {
            app.catalog().directory(&tenant, self.credential.concerned(on_behalf.as_ref())).await?
        } else {
            Directory::default()
        };
        let scope = self.credential.enter(Entry { tenant: &tenant, need, on_behalf, directory })?;
        self.trail.entered(&scope);
        Ok(scope)
    }

    /// Enters the installation as its operator. To all others, there is nothing here.
    pub(crate) fn operate(&self) -> Result<Operator, Problem> {
        self.credential.operate().map_err(|_| Problem::missing_right(Right::Operator.as_str()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(parts)
    }
}

impl Caller {
    /// The caller of the request that `parts` belong to. Fails closed where the record's layer is missing.
    pub(crate) fn of(parts: &Parts) -> Result<Self, Problem> {
        let credential = parts.extensions.get::<Arc<Credential>>().cloned();
        let quotas = parts.extensions.get::<Arc<Quotas>>().cloned();
        let trail = parts.extensions.get::<Trail>().cloned();
        match (credential, quotas, trail) {
            (Some(credential), Some(quotas), Some(trail)) => {
                Ok(Self { credential, quotas, trail, named: parts.extensions.get::<Named>().cloned() })
            }
            _ => Err(Problem::internal()),
        }
    }
}
