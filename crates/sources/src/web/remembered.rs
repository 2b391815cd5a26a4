//! What was learnt of pages by earlier looks, so that a page which has not changed is not sent again.
//!
//! Promises: it is a help and no truth; a file that is lost, damaged or of another form costs requests and nothing else, and
//! so does a page that is not remembered; it is within a bound, on the disk and in memory. Does not: hold what pages say.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use catena_domain::Timestamp;
use serde::{Deserialize, Serialize};

/// Most that is remembered, in bytes.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// The form of the file; another one is not read.
const FORM: u32 = 1;
const NAME: &str = "pages.json";
/// What a text costs besides its letters.
const TEXT_BYTES: usize = 32;

/// Pages by their names.
#[derive(Debug, Clone, Default)]
pub(super) struct Remembered {
    file: Option<PathBuf>,
    pages: BTreeMap<String, Page>,
    /// What they come to.
    bytes: usize,
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

impl Page {
    fn bytes(&self, name: &str) -> usize {
        let said = [&self.etag, &self.last_modified].into_iter().flatten().chain(&self.links);
        said.map(|text| text.len() + TEXT_BYTES).sum::<usize>() + name.len() + 8 * TEXT_BYTES
    }
}

#[derive(Serialize, Deserialize)]
struct FileText<'a> {
    form: u32,
    /// What the pages were looked at with; under another description they say nothing.
    under: Cow<'a, str>,
    pages: Cow<'a, BTreeMap<String, Page>>,
}

impl Remembered {
    /// What is in the folder, if it was kept under the same description.
    pub(super) async fn open(folder: Option<&PathBuf>, under: &str) -> Self {
        let file = folder.map(|folder| folder.join(NAME));
        let mut known = Self { file: file.clone(), ..Self::default() };
        if let Some(file) = &file
            && let Ok(bytes) = tokio::fs::read(file).await
            && let Ok(read) = serde_json::from_slice::<FileText<'_>>(&bytes)
            && read.form == FORM
            && read.under == under
        {
            read.pages.into_owned().into_iter().for_each(|(name, page)| known.keep(name, page));
        }
        known
    }

    /// What is known of the page of this name.
    pub(super) fn page(&self, name: &str) -> Option<&Page> {
        self.pages.get(name)
    }

    /// Remembers a page, as long as that is within the bound. Of one that is not, the next look asks anew.
    pub(super) fn keep(&mut self, name: String, page: Page) {
        let before = self.pages.get(&name).map_or(0, |before| before.bytes(&name));
        let bytes = self.bytes - before + page.bytes(&name);
        if bytes <= BYTES_MAX {
            self.bytes = bytes;
            self.pages.insert(name, page);
        } else if self.pages.remove(&name).is_some() {
            self.bytes -= before;
        }
    }

    /// Remembers of another what is not known here.
    pub(super) fn keep_missing(&mut self, other: &Self) {
        for (name, page) in &other.pages {
            if !self.pages.contains_key(name) {
                self.keep(name.clone(), page.clone());
            }
        }
    }

    /// What is known at the beginning of a look: nothing yet, in the same place.
    pub(super) fn beginning(&self) -> Self {
        Self { file: self.file.clone(), ..Self::default() }
    }

    /// Keeps what is known, in place of what was. Beyond the bound, nothing is kept.
    pub(super) async fn save(&self, under: &str) {
        let Some(file) = &self.file else { return };
        let text = FileText { form: FORM, under: Cow::Borrowed(under), pages: Cow::Borrowed(&self.pages) };
        let saved = async {
            let bytes = serde_json::to_vec(&text).map_err(io::Error::other)?;
            // Letters that JSON writes with more than one.
            if bytes.len() > 2 * BYTES_MAX {
                return Err(io::Error::other(format!("it would be larger than {} bytes", 2 * BYTES_MAX)));
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
