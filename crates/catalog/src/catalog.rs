//! The handle to a catalog. Its methods, which lie beside the statements that they run, are the port.

use std::path::Path;

use catena_access::Pepper;

use crate::error::Result;
use crate::sqlite::{Recorder, Store};

/// An open catalog. Cloning gives another handle to the same one.
#[derive(Clone)]
pub struct Catalog {
    pub(crate) store: Store,
    pub(crate) recorder: Recorder,
}

impl Catalog {
    /// Opens the catalog in `folder`, making it if it is not there, and brings its schema up to date. The folder is
    /// this process's alone until [`Catalog::close`], or until the last handle is gone.
    pub async fn open(folder: &Path) -> Result<Self> {
        let store = Store::open(folder).await?;
        let recorder = Recorder::start(store.clone());
        Ok(Self { store, recorder })
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

    /// Ends all work: transactions under way are finished, and the folder is free for another process. What is asked
    /// of any handle afterwards fails.
    pub async fn close(&self) -> Result<()> {
        self.store.close().await
    }
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Catalog(..)")
    }
}
