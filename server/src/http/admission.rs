//! Behind the door: whether the tenant of a proven key is served, and how much it may ask for.
//!
//! Promises: a tenant that is gone answers like an unknown key; one that is suspended says so to those alone whose key is
//! right; what exceeds a rate is turned away before its body is read. Does not: remember a tenant's state or quotas, so
//! that a change holds from the next request on.

use axum::extract::FromRequestParts;
use catena_access::{Credential, Right};
use catena_catalog::{Quotas, Standing, TenantState};
use http::HeaderMap;
use http::request::Parts;

use crate::allowance::{Place, Rate};
use crate::app::App;
use crate::http::door::{self, Caller};
use crate::http::problem::Problem;
use crate::http::trail::Trail;

/// Who was let in, and what its tenant may.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) credential: Credential,
    pub(crate) quotas: Quotas,
    /// Held while the request is at work.
    pub(crate) place: Option<Place>,
}

/// Lets a request in whose key is right and whose tenant is served.
pub(crate) async fn admit(app: &App, trail: &Trail, headers: &HeaderMap) -> Result<Admitted, Problem> {
    let (credential, standing) = proven(app, headers).await?;
    trail.presented(&credential);
    let (Some(tenant), Some(standing)) = (&credential.tenant, standing) else {
        return Ok(Admitted { credential, quotas: Quotas::default(), place: None });
    };
    served(&standing)?;
    let place = app.allowances().enter(tenant, &standing.quotas).map_err(Problem::quota)?;
    Ok(Admitted { credential, quotas: standing.quotas, place })
}

/// Refuses what would not be let in now: for what goes on after its request was.
pub(crate) async fn still(app: &App, headers: &HeaderMap) -> Result<(), Problem> {
    let (_, standing) = proven(app, headers).await?;
    standing.as_ref().map_or(Ok(()), served)
}

/// Whose key it is, and how its tenant stands, which is there. An operator has none.
async fn proven(app: &App, headers: &HeaderMap) -> Result<(Credential, Option<Standing>), Problem> {
    let credential = door::authenticate(app, headers).await?;
    let Some(tenant) = &credential.tenant else { return Ok((credential, None)) };
    let standing = app.catalog().standing(tenant).await?.filter(|standing| !standing.state.is_gone());
    let standing = standing.ok_or_else(door::unknown_key)?;
    Ok((credential, Some(standing)))
}

fn served(standing: &Standing) -> Result<(), Problem> {
    if standing.state == TenantState::Suspended { Err(Problem::suspended()) } else { Ok(()) }
}

impl Caller {
    /// Holds the request against a rate of its tenant. The operator's are not measured.
    pub(crate) fn spend(&self, app: &App, rate: Rate) -> Result<(), Problem> {
        let Some(tenant) = &self.credential.tenant else { return Ok(()) };
        let Some(measured) = app.allowances().take(tenant, &self.quotas, rate) else { return Ok(()) };
        self.trail.measured(measured);
        match measured.exceeded() {
            None => Ok(()),
            Some(exceeded) => {
                self.trail.doing("request.limited");
                Err(Problem::quota(exceeded))
            }
        }
    }
}

/// A caller whose write is within its tenant's rate. Comes before the body in a handler's arguments.
#[derive(Debug)]
pub(crate) struct Writing(pub(crate) Caller);

/// The same where the write needs an administrator.
#[derive(Debug)]
pub(crate) struct AdminWriting(pub(crate) Caller);

/// A caller whose question is within its tenant's rate. Comes before the body in a handler's arguments.
#[derive(Debug)]
pub(crate) struct Asking(pub(crate) Caller);

impl FromRequestParts<App> for Writing {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        measured(parts, app, Right::Write, Rate::Writes).map(Self)
    }
}

impl FromRequestParts<App> for AdminWriting {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        measured(parts, app, Right::Admin, Rate::Writes).map(Self)
    }
}

impl FromRequestParts<App> for Asking {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        measured(parts, app, Right::Read, Rate::Queries).map(Self)
    }
}

/// A key that may not do it anyway spends nothing of what others need.
fn measured(parts: &Parts, app: &App, need: Right, rate: Rate) -> Result<Caller, Problem> {
    let caller = Caller::of(parts)?;
    if caller.credential.rights.has(need) {
        caller.spend(app, rate)?;
    }
    Ok(caller)
}
