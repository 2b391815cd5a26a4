//! The handle to a catalog. Its methods, which lie beside the statements that they run, are the port.

use std::path::Path;

use catena_access::Pepper;

use crate::error::Result;
use crate::store::{Batching, Database, Store};
use crate::tables::{KeyUses, Recorder};

/// An open catalog. Cloning gives another handle to the same one.
#[derive(Clone)]
pub struct Catalog {
    pub(crate) store: Store,
    pub(crate) recorder: Recorder,
    pub(crate) key_uses: KeyUses,
}

impl Catalog {
    /// Opens the catalog in `database`, with the secret in `folder`, making what is not there, and brings the schema up
    /// to date. The folder is this process's alone until [`Catalog::close`], or until the last handle is gone; so is the catalog,
    /// but for workers that say of their [`PostgresPlace`](crate::PostgresPlace) that they work beside its service.
    pub async fn open(folder: &Path, database: &Database) -> Result<Self> {
        let store = Store::open(folder, database).await?;
        let recorder = Recorder::start(store.clone());
        let key_uses = KeyUses::start(store.clone());
        Ok(Self { store, recorder, key_uses })
    }

    /// The installation's secret.
    #[must_use]
    pub fn pepper(&self) -> &Pepper {
        self.store.pepper()
    }

    /// Whether writes are taken. Once false, it stays so until the catalog is opened anew.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.store.is_writable()
    }

    /// Whether the database answered when it was last looked at, a few seconds ago. Costs nothing, so that anybody may ask.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.store.is_reachable()
    }

    /// Whether another process may write to the catalog while this one has it.
    #[must_use]
    pub fn may_have_other_writers(&self) -> bool {
        self.store.batching() == Batching::PerTenant
    }

    /// Ends all work: transactions under way are finished, and the folder is free for another process. What is asked
    /// of any handle afterwards fails.
    pub async fn close(&self) -> Result<()> {
        self.key_uses.write_down().await;
        self.store.close().await
    }
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Catalog(..)")
    }
}
