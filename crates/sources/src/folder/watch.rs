//! When something in a folder may have changed, as the system says.
//!
//! Promises: many changes in a row are told once, after a quiet moment, and at the latest after a set time; nothing is
//! remembered but that there was one. Where the system cannot watch so many folders, one line in the log says so and the
//! stream ends; what changes is then found by the next look. Does not: say what has changed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use catena_runtime::clock;
use catena_runtime::thread::{self, Priority};
use futures::stream::{self, BoxStream, StreamExt as _};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{mpsc, oneshot};

/// A moment without changes after which they are told.
const QUIET: Duration = Duration::from_millis(500);
/// Quiet moments that are waited for at most, while changes go on.
const QUIET_MAX: u32 = 10;

struct Watched {
    changed: mpsc::Receiver<()>,
    /// Watches until it is dropped.
    _watcher: RecommendedWatcher,
}

/// Tells of changes below `top`, until it is dropped.
pub(super) fn changes(top: PathBuf) -> BoxStream<'static, ()> {
    stream::once(watched(top)).filter_map(std::future::ready).flat_map(|watched| stream::unfold(watched, next)).boxed()
}

async fn next(mut watched: Watched) -> Option<((), Watched)> {
    watched.changed.recv().await?;
    for _ in 0..QUIET_MAX {
        clock::pause(QUIET).await;
        if watched.changed.try_recv().is_err() {
            break;
        }
    }
    Some(((), watched))
}

/// Begins to watch, on a thread, since every folder below is visited once for that.
async fn watched(top: PathBuf) -> Option<Watched> {
    let (sender, receiver) = oneshot::channel();
    let shown = top.display().to_string();
    let started = thread::spawn("folder-watch", Priority::Background, move || {
        let _ = sender.send(watch(&top));
    });
    let answer = match started {
        Ok(_) => receiver.await.ok()?,
        Err(error) => Err(error.to_string()),
    };
    match answer {
        Ok(watched) => Some(watched),
        Err(reason) => {
            tracing::warn!(
                folder = shown,
                reason,
                "a folder is not watched; its changes are found at the next scheduled sync"
            );
            None
        }
    }
}

fn watch(top: &Path) -> Result<Watched, String> {
    let (sender, changed) = mpsc::channel(1);
    let heard = move |event: notify::Result<notify::Event>| {
        // What went wrong may have hidden a change, so it counts as one. A full queue says already what is to be said.
        if event.map_or(true, |event| !matches!(event.kind, EventKind::Access(_))) {
            let _ = sender.try_send(());
        }
    };
    let mut watcher = notify::recommended_watcher(heard).map_err(|error| reason(&error))?;
    watcher.watch(top, RecursiveMode::Recursive).map_err(|error| reason(&error))?;
    Ok(Watched { changed, _watcher: watcher })
}

fn reason(error: &notify::Error) -> String {
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => {
            "the system watches no more folders for this user; raise fs.inotify.max_user_watches".to_owned()
        }
        other => format!("{other:?}"),
    }
}
