//! Folders with what sources fetched before, so that it need not be fetched again. They go with their source or tenant.
//!
//! Promises: when a tenant is gone, so is its folder; what a process left behind that was killed meanwhile, or that had
//! no part in a removal, goes at its next start. Does not: touch what can be no tenant's or source's folder.

use std::collections::HashSet;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use catena_access::Scope;
use catena_domain::{SourceName, TenantId};

use crate::{Ingest, IngestError};

/// Where the bytes of one source are kept.
pub(super) fn mirror(below: &Path, tenant: &TenantId, name: &SourceName) -> PathBuf {
    below.join(tenant.as_str()).join(name.as_str())
}

impl Ingest {
    fn mirrors(&self) -> Option<&PathBuf> {
        self.0.sources.get().and_then(|access| access.mirrors.as_ref())
    }

    /// Takes away what was kept of a source's bytes.
    pub(crate) fn forget_source(&self, tenant: &TenantId, name: &SourceName) {
        let Some(mirrors) = self.mirrors() else { return };
        let (folder, compute) = (mirror(mirrors, tenant, name), self.0.compute.clone());
        tokio::spawn(async move {
            // What cannot go now is in nobody's way, and goes at the next start.
            let _ = compute.run(move || std::fs::remove_dir_all(folder)).await;
        });
    }

    /// Takes away what was kept of the bytes of all of a tenant's sources.
    pub(crate) async fn forget_sources_of(&self, tenant: &TenantId) -> Result<(), IngestError> {
        match self.mirrors() {
            Some(mirrors) => self.remove_folder(mirrors.join(tenant.as_str())).await,
            None => Ok(()),
        }
    }

    /// Takes away what is kept of sources that there are not any more.
    pub(crate) async fn forget_gone_sources(&self) -> Result<(), IngestError> {
        let Some(mirrors) = self.mirrors() else { return Ok(()) };
        // In this order, so that whoever is made meanwhile is no stranger.
        let folders = self.folders_in(mirrors).await?;
        let tenants: HashSet<TenantId> = self.0.catalog.all_tenants().await?.into_iter().collect();
        for folder in folders {
            let Ok(tenant) = TenantId::new(&folder) else { continue };
            if !tenants.contains(&tenant) {
                self.forget_sources_of(&tenant).await?;
                continue;
            }
            for folder in self.folders_in(&mirrors.join(tenant.as_str())).await? {
                let Ok(name) = SourceName::new(&folder) else { continue };
                if self.0.catalog.source(&Scope::service(&tenant), &name).await?.is_none() {
                    self.remove_folder(mirror(mirrors, &tenant, &name)).await?;
                }
            }
        }
        Ok(())
    }

    async fn folders_in(&self, folder: &Path) -> Result<Vec<String>, IngestError> {
        let path = folder.to_owned();
        let names = self.0.compute.run(move || -> Result<Vec<String>, Error> {
            let entries = match std::fs::read_dir(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
                entries => entries?,
            };
            let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
            Ok(names.collect::<Result<Vec<_>, Error>>()?.into_iter().flatten().collect())
        });
        names.await?.map_err(|source| IngestError::Mirror { path: folder.to_owned(), source })
    }

    async fn remove_folder(&self, folder: PathBuf) -> Result<(), IngestError> {
        let path = folder.clone();
        match self.0.compute.run(move || std::fs::remove_dir_all(path)).await? {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(IngestError::Mirror { path: folder, source }),
            _ => Ok(()),
        }
    }
}
