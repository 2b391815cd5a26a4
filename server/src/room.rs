//! Whether the disk has room again, once it was full.
//!
//! Promises: as long as nothing has failed for want of room, nothing is tried; afterwards the disk counts as full until a
//! file of [`PROBE_BYTES`] could be written and synced, which is tried when somebody asks, at most once a second. Does
//! not: hold up or refuse a write, which finds out for itself.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use catena_runtime::clock::Stopwatch;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Mutex;

/// More than a write of a usual document takes, so that readiness does not come and go with the last few bytes.
const PROBE_BYTES: usize = 1 << 20;
const PROBE_PAUSE: Duration = Duration::from_secs(1);
const PROBE_FILE: &str = "room.probe";

/// The room on the data folder's disk.
pub(crate) struct Room {
    file: PathBuf,
    is_short: AtomicBool,
    last_try: Mutex<Option<Stopwatch>>,
}

impl Room {
    pub(crate) fn of(folder: &std::path::Path) -> Self {
        Self { file: folder.join(PROBE_FILE), is_short: AtomicBool::new(false), last_try: Mutex::new(None) }
    }

    /// Something could not be written for want of room.
    pub(crate) fn ran_out(&self) {
        if !self.is_short.swap(true, Ordering::AcqRel) {
            tracing::error!(
                "the disk of the data folder is full; writes and questions are refused until there is room"
            );
        }
    }

    /// Whether room is short, found out anew if it was.
    pub(crate) async fn is_short(&self) -> bool {
        if !self.is_short.load(Ordering::Acquire) {
            return false;
        }
        let mut last_try = self.last_try.lock().await;
        let is_too_soon = last_try.as_ref().is_some_and(|watch| watch.elapsed() < PROBE_PAUSE);
        if is_too_soon || !self.is_short.load(Ordering::Acquire) {
            return self.is_short.load(Ordering::Acquire);
        }
        let tried = self.probe().await;
        *last_try = Some(Stopwatch::start());
        if tried.is_ok() {
            tracing::info!("the disk of the data folder has room again");
            self.is_short.store(false, Ordering::Release);
        }
        tried.is_err()
    }

    async fn probe(&self) -> std::io::Result<()> {
        let write = async {
            let mut file = tokio::fs::File::create(&self.file).await?;
            file.write_all(&vec![0; PROBE_BYTES]).await?;
            file.sync_all().await
        };
        let written = write.await;
        let removed = tokio::fs::remove_file(&self.file).await;
        written.and(removed)
    }
}
