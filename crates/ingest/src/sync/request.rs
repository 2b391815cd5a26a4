//! Making, changing and opening sources, and asking for their syncs.
//!
//! Promises: a source that is stored can be opened as far as that can be known without asking anybody; credentials that
//! were given for one place are never shown to another.

use std::path::PathBuf;
use std::sync::Arc;

use catena_access::Scope;
use catena_catalog::{
    Deed, Job, JobKind, NewJob, SealedCredentials, SourceDescription, SourceRow, SourceState, Tally, Written,
};
use catena_domain::{SourceName, TenantId, Timestamp};
use catena_runtime::clock;
use catena_sources::{Credentials, Source, SourceSpec, Surroundings};

use super::description::{Guards, GuardsChange, Place, Schedule};
use super::mirrors::mirror;
use super::{Opener, Order, seal};
use crate::{Ingest, IngestError};

/// A source that is to be made.
#[derive(Debug, Clone)]
pub struct NewSource {
    /// What it is and where.
    pub spec: SourceSpec,
    /// What stands before the ids of its documents; without one, its name and a slash.
    pub prefix: Option<String>,
    /// What opens it.
    pub credentials: Credentials,
    /// When it is looked at by itself.
    pub schedule: Option<Schedule>,
    /// What waits for approval.
    pub guards: Guards,
    /// Whether it is looked at by itself.
    pub state: SourceState,
}

/// What changes about a source; what is not said stays.
#[derive(Debug, Clone, Default)]
pub struct SourceChange {
    /// What it is and where.
    pub spec: Option<SourceSpec>,
    /// What stands before the ids of its documents.
    pub prefix: Option<String>,
    /// What opens it, in place of all that did.
    pub credentials: Option<Credentials>,
    /// When it is looked at by itself; `Some(None)` for never.
    pub schedule: Option<Option<Schedule>>,
    /// What waits for approval.
    pub guards: GuardsChange,
    /// Whether it is looked at by itself.
    pub state: Option<SourceState>,
}

/// What the service needs to open sources.
pub(crate) struct SourceAccess {
    opener: Opener,
    pub(super) mirrors: Option<PathBuf>,
}

impl Ingest {
    /// Lets sources reach what `surroundings` allow, with a folder for what they fetched before. To be said once, before
    /// anything is synced; until then they reach nothing but the public internet, and keep nothing.
    pub fn allow_sources(&self, surroundings: Surroundings, mirrors: PathBuf) {
        let below = mirrors.clone();
        let opener: Opener = Arc::new(move |tenant, name, spec, credentials| {
            let mirror = Some(mirror(&below, tenant, name));
            catena_sources::open(spec, credentials, &Surroundings { mirror, ..surroundings.clone() })
        });
        let _ = self.0.sources.set(SourceAccess { opener, mirrors: Some(mirrors) });
    }

    /// Opens sources in another way, for tests.
    pub fn open_sources_by(&self, opener: Opener) {
        let _ = self.0.sources.set(SourceAccess { opener, mirrors: None });
    }

    fn open(
        &self,
        tenant: &TenantId,
        name: &SourceName,
        spec: &SourceSpec,
        credentials: &Credentials,
    ) -> Result<Box<dyn Source>, IngestError> {
        Ok(match self.0.sources.get() {
            Some(access) => (access.opener)(tenant, name, spec, credentials)?,
            None => catena_sources::open(spec, credentials, &Surroundings::default())?,
        })
    }

    /// Refuses a description by which no source can be opened, as far as that shows without asking it.
    fn require_openable(
        &self,
        tenant: &TenantId,
        name: &SourceName,
        spec: &SourceSpec,
        credentials: &Credentials,
    ) -> Result<(), IngestError> {
        match self.open(tenant, name, spec, credentials) {
            Ok(_) => Ok(()),
            Err(IngestError::Source(error)) => Err(IngestError::Description { reason: error.to_string() }),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn open_source(&self, scope: &Scope, row: &SourceRow) -> Result<Box<dyn Source>, IngestError> {
        let place = Place::read(&row.description.spec)?;
        let (pepper, sealed) = (self.0.catalog.pepper(), &row.description.credentials);
        let credentials = seal::unseal(pepper, scope.tenant(), &row.name, sealed)?;
        self.open(scope.tenant(), &row.name, &place.spec, &credentials)
    }

    /// Makes a source.
    pub async fn create_source(
        &self,
        scope: &Scope,
        name: &SourceName,
        new: NewSource,
        deed: impl Into<Deed<SourceRow>>,
    ) -> Result<Written<SourceRow>, IngestError> {
        let place = Place::new(name, new.spec, new.prefix)?;
        let credentials = self.sealed(scope, name, &place.spec, &new.credentials)?;
        self.require_openable(scope.tenant(), name, &place.spec, &new.credentials)?;
        let description = describe(&place, credentials, new.schedule.as_ref(), new.guards, new.state)?;
        Ok(self.0.catalog.create_source(scope, name, description, deed).await?)
    }

    /// Changes a source; `None` when there is none.
    pub async fn change_source(
        &self,
        scope: &Scope,
        name: &SourceName,
        change: SourceChange,
        deed: impl Into<Deed<SourceRow>>,
    ) -> Result<Option<Written<SourceRow>>, IngestError> {
        let Some(row) = self.0.catalog.source(scope, name).await? else { return Ok(None) };
        let before = row.description;
        let old = Place::read(&before.spec)?;
        let prefix = change.prefix.unwrap_or_else(|| old.prefix.clone());
        let place = Place::new(name, change.spec.unwrap_or_else(|| old.spec.clone()), Some(prefix))?;
        let credentials = match change.credentials {
            Some(given) => {
                self.require_openable(scope.tenant(), name, &place.spec, &given)?;
                self.sealed(scope, name, &place.spec, &given)?
            }
            None if before.credentials.sealed.is_some() && !is_same_place(&old.spec, &place.spec) => {
                let reason = "it is another place now; give its credentials again, or {} for none".to_owned();
                return Err(IngestError::Description { reason });
            }
            None => {
                let known = seal::unseal(self.0.catalog.pepper(), scope.tenant(), name, &before.credentials)?;
                self.require_openable(scope.tenant(), name, &place.spec, &known)?;
                before.credentials
            }
        };
        let schedule = match change.schedule {
            Some(schedule) => schedule,
            None => before.schedule.as_deref().map(Schedule::read).transpose()?,
        };
        let guards = change.guards.of(Guards::read(&before.guards)?);
        let state = change.state.unwrap_or(before.state);
        let description = describe(&place, credentials, schedule.as_ref(), guards, state)?;
        Ok(self.0.catalog.describe_source(scope, name, description, deed).await?)
    }

    fn sealed(
        &self,
        scope: &Scope,
        name: &SourceName,
        spec: &SourceSpec,
        credentials: &Credentials,
    ) -> Result<SealedCredentials, IngestError> {
        credentials.check(spec)?;
        seal::seal(self.0.catalog.pepper(), scope.tenant(), name, credentials)
    }

    /// Removes a source; its documents stay. `None` when there is none.
    pub async fn delete_source(
        &self,
        scope: &Scope,
        name: &SourceName,
        deed: impl Into<Deed<()>>,
    ) -> Result<Option<Written<()>>, IngestError> {
        let deleted = self.0.catalog.delete_source(scope, name, deed).await?;
        if deleted.is_some() {
            self.forget_source(scope.tenant(), name);
        }
        Ok(deleted)
    }

    /// Asks for a sync; `None` when there is no such source. With `again`, every document is read, whatever its tag says.
    pub async fn request_sync(
        &self,
        scope: &Scope,
        name: &SourceName,
        again: bool,
        deed: impl Into<Deed<Job>>,
    ) -> Result<Option<Written<Job>>, IngestError> {
        let Some(row) = self.0.catalog.source(scope, name).await? else { return Ok(None) };
        if !Place::read(&row.description.spec)?.spec.is_looked_at() {
            let reason = "nothing is looked at there: its documents are handed in".to_owned();
            return Err(IngestError::Description { reason });
        }
        self.request(scope, name, &Order { again, ..Order::default() }, deed).await.map(Some)
    }

    /// Asks for a source to be removed with the documents that it wrote; `None` when there is none.
    pub async fn request_source_removal(
        &self,
        scope: &Scope,
        name: &SourceName,
        deed: impl Into<Deed<Job>>,
    ) -> Result<Option<Written<Job>>, IngestError> {
        if self.0.catalog.source(scope, name).await?.is_none() {
            return Ok(None);
        }
        self.request(scope, name, &Order { remove: true, ..Order::default() }, deed).await.map(Some)
    }

    async fn request(
        &self,
        scope: &Scope,
        name: &SourceName,
        order: &Order,
        deed: impl Into<Deed<Job>>,
    ) -> Result<Written<Job>, IngestError> {
        let spec = serde_json::to_string(order).unwrap_or_default();
        let job = NewJob { kind: JobKind::Sync, subject: Some(name.to_string()), spec, tally: Tally::default() };
        self.request_job(scope, job, deed).await
    }
}

fn describe(
    place: &Place,
    credentials: SealedCredentials,
    schedule: Option<&Schedule>,
    guards: Guards,
    state: SourceState,
) -> Result<SourceDescription, IngestError> {
    guards.check()?;
    let next_at: Option<Timestamp> = match schedule {
        Some(_) if !place.spec.is_looked_at() => {
            let reason = "nothing is looked at there, so it has no schedule: its documents are handed in".to_owned();
            return Err(IngestError::Description { reason });
        }
        Some(schedule) => {
            schedule.check()?;
            Some(schedule.after(clock::now())?).filter(|_| state == SourceState::Active)
        }
        None => None,
    };
    Ok(SourceDescription {
        spec: place.text()?,
        credentials,
        schedule: schedule.map(Schedule::text).transpose()?,
        guards: guards.text()?,
        state,
        next_at,
    })
}

/// Whether credentials for the one may be shown to the other.
fn is_same_place(one: &SourceSpec, other: &SourceSpec) -> bool {
    match (one, other) {
        (SourceSpec::Folder(one), SourceSpec::Folder(other)) => one.path == other.path,
        (SourceSpec::Git(one), SourceSpec::Git(other)) => one.url == other.url,
        (SourceSpec::Web(one), SourceSpec::Web(other)) => {
            (&one.start, &one.sitemaps, &one.hosts) == (&other.start, &other.sitemaps, &other.hosts)
        }
        (SourceSpec::Objects(one), SourceSpec::Objects(other)) => {
            (&one.store, &one.bucket, &one.endpoint, &one.account, &one.region)
                == (&other.store, &other.bucket, &other.endpoint, &other.account, &other.region)
        }
        (SourceSpec::Push(_), SourceSpec::Push(_)) => true,
        _ => false,
    }
}
