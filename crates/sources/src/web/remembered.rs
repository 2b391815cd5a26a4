//! What was learnt of pages by earlier looks, so that a page which has not changed is not sent again.
//!
//! Promises: it is a help and no truth; a file that is lost, damaged or of another form costs requests and nothing else; it
//! is within a bound. Does not: hold what pages say.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use catena_domain::Timestamp;
use serde::{Deserialize, Serialize};

/// Largest file, in bytes.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// The form of the file; another one is not read.
const FORM: u32 = 1;
const NAME: &str = "pages.json";

/// Pages by their names.
#[derive(Debug, Clone, Default)]
pub(super) struct Remembered {
    file: Option<PathBuf>,
    pub(super) pages: BTreeMap<String, Page>,
}

/// What is known of one page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Page {
    pub(super) scheme: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_modified: Option<String>,
    /// Nothing, if the page is none to keep: it asks for that, or is known under another address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kept: Option<Kept>,
    /// Where it leads, and is wanted.
    #[serde(default)]
    pub(super) links: Vec<String>,
}

/// A page that is a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) tag: String,
    pub(super) bytes: u64,
    pub(super) modified_us: Option<i64>,
}

impl Kept {
    pub(super) fn modified_at(&self) -> Option<Timestamp> {
        self.modified_us.map(Timestamp)
    }
}

#[derive(Serialize, Deserialize)]
struct FileText {
    form: u32,
    /// What the pages were looked at with; under another description they say nothing.
    under: String,
    pages: BTreeMap<String, Page>,
}

impl Remembered {
    /// What is in the folder, if it was kept under the same description.
    pub(super) async fn open(folder: Option<&PathBuf>, under: &str) -> Self {
        let file = folder.map(|folder| folder.join(NAME));
        let mut pages = BTreeMap::new();
        if let Some(file) = &file
            && let Ok(bytes) = tokio::fs::read(file).await
            && let Ok(read) = serde_json::from_slice::<FileText>(&bytes)
            && read.form == FORM
            && read.under == under
        {
            pages = read.pages;
        }
        Self { file, pages }
    }

    /// What is known at the beginning of a look: nothing yet, in the same place.
    pub(super) fn beginning(&self) -> Self {
        Self { file: self.file.clone(), pages: BTreeMap::new() }
    }

    /// Keeps what is known, in place of what was. Beyond the bound, nothing is kept.
    pub(super) async fn save(&self, under: &str) {
        let Some(file) = &self.file else { return };
        let text = FileText { form: FORM, under: under.to_owned(), pages: self.pages.clone() };
        let saved = async {
            let bytes = serde_json::to_vec(&text).map_err(io::Error::other)?;
            if bytes.len() > BYTES_MAX {
                return Err(io::Error::other(format!("it would be larger than {BYTES_MAX} bytes")));
            }
            if let Some(folder) = file.parent() {
                tokio::fs::create_dir_all(folder).await?;
            }
            let beside = file.with_extension("new");
            tokio::fs::write(&beside, bytes).await?;
            tokio::fs::rename(&beside, file).await
        };
        if let Err(error) = saved.await {
            tracing::warn!(%error, "what was learnt of a site's pages is not kept; the next look asks for all of them again");
        }
    }
}
