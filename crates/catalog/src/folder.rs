//! The data folder: its lock, and the installation's secret.
//!
//! Promises: one process at a time; the secret is made once, readable by its owner alone, and on the disk before it is
//! used; a database without its secret is not opened, because every key would silently stop working.
//! Does not: know what is in the database, or where the index lies.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use catena_access::Pepper;
use catena_runtime::random;

use crate::CatalogError;
use crate::error::Result;

const SECRET_BYTES: usize = 32;
const SECRET_FILE: &str = "secret.key";

/// What a data folder keeps of the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// All of it: the database lies here.
    Database,
    /// The secret. The database lies elsewhere.
    SecretAlone,
}

/// Which secret a data folder is to have.
#[derive(Clone)]
pub(crate) enum Secret {
    /// The one that is there, or a new one.
    Own,
    /// This one, which comes from a backup: there already, or not yet any.
    Given([u8; SECRET_BYTES]),
}

/// A data folder that this process alone holds.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    lock: File,
    pepper: Pepper,
}

/// The database's file, for its owner alone, whatever the folder allows; the log beside it takes on its mode.
fn make_private(database: &Path) -> Result<()> {
    let owner_only = Permissions::from_mode(0o600);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(database);
    file.and_then(|file| file.set_permissions(owner_only)).map_err(failed("cannot make private", database))
}

impl Folder {
    /// Makes the folder if it is not there, and takes it.
    pub(crate) fn open(path: &Path, keeps: Keeps, wanted: Secret) -> Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("cannot make the folder", path))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed("cannot open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(CatalogError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(failed("cannot lock", &lock_path)(error)),
        }
        let pepper = Pepper::new(secret(path, wanted)?);
        if keeps == Keeps::Database {
            make_private(&database(path))?;
        }
        Ok(Self { path: path.to_owned(), lock, pepper })
    }

    pub(crate) fn pepper(&self) -> &Pepper {
        &self.pepper
    }

    /// The secret's file.
    pub(crate) fn secret(&self) -> PathBuf {
        secret_file(&self.path)
    }

    /// The database's file.
    pub(crate) fn database(&self) -> PathBuf {
        database(&self.path)
    }

    /// Makes what was created in the folder survive a power cut.
    pub(crate) fn sync(&self) -> Result<()> {
        sync(&self.path)
    }

    /// Lets another process have the folder.
    pub(crate) fn release(&self) -> Result<()> {
        self.lock.unlock().map_err(failed("cannot unlock", &self.path))
    }
}

/// The database's file in a data folder.
pub(crate) fn database(folder: &Path) -> PathBuf {
    folder.join("catalog.db")
}

/// The secret's file in a data folder.
pub(crate) fn secret_file(folder: &Path) -> PathBuf {
    folder.join(SECRET_FILE)
}

/// The secret of a data folder that a service may have.
pub(crate) fn read_secret(folder: &Path) -> Result<[u8; SECRET_BYTES]> {
    let path = secret_file(folder);
    stored_secret(&path)?.ok_or(CatalogError::SecretMissing { path })
}

fn stored_secret(path: &Path) -> Result<Option<[u8; SECRET_BYTES]>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => {
            file.take(SECRET_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed("cannot read", path))?;
            bytes.try_into().map(Some).map_err(|_| CatalogError::SecretMissing { path: path.to_owned() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("cannot read", path)(error)),
    }
}

fn secret(folder: &Path, wanted: Secret) -> Result<[u8; SECRET_BYTES]> {
    let path = secret_file(folder);
    match (stored_secret(&path)?, wanted) {
        (Some(stored), Secret::Given(given)) if stored != given => Err(CatalogError::NotEmpty {
            place: path.display().to_string(),
            holds: "the secret of another installation".to_owned(),
        }),
        (Some(stored), _) => Ok(stored),
        (None, _) if database(folder).exists() => Err(CatalogError::SecretMissing { path }),
        (None, Secret::Given(given)) => keep_secret(folder, &path, given),
        (None, Secret::Own) => {
            let drawn = random::bytes().map_err(failed("cannot draw the secret for", &path))?;
            keep_secret(folder, &path, drawn)
        }
    }
}

fn keep_secret(folder: &Path, path: &Path, secret: [u8; SECRET_BYTES]) -> Result<[u8; SECRET_BYTES]> {
    let draft = folder.join("secret.key.new");
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(&secret)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    write().map_err(failed("cannot write", path))?;
    sync(folder)?;
    Ok(secret)
}

/// Makes what was created in a folder survive a power cut.
pub(crate) fn sync(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(failed("cannot sync the folder", folder))
}

pub(crate) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CatalogError {
    let path = path.to_owned();
    move |error| CatalogError::Folder { what, path, source: Arc::new(error) }
}
