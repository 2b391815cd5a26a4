//! How an adapter tells what it finds: into a short queue, ahead of whoever listens by no more than that.
//!
//! Promises: the end comes last and only from work that came to its end; work that nobody listens to any more stops at its
//! next event. Does not: keep events for a second listener.

use std::future::Future;

use catena_runtime::thread::{self, Priority};
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::SourceError;
use crate::{Ended, Event};

/// Most events that wait for whoever listens.
const AHEAD: usize = 64;

type Said = Result<Event, SourceError>;

/// Where work puts its events.
#[derive(Clone)]
pub(crate) struct Emit(mpsc::Sender<Said>);

impl Emit {
    /// From work that waits.
    pub(crate) async fn send(&self, event: Event) -> Result<(), SourceError> {
        self.0.send(Ok(event)).await.map_err(|_| unheard())
    }

    /// From a thread.
    pub(crate) fn send_blocking(&self, event: Event) -> Result<(), SourceError> {
        self.0.blocking_send(Ok(event)).map_err(|_| unheard())
    }
}

fn unheard() -> SourceError {
    SourceError::unreachable("the listener", "nobody waits for the look any more")
}

/// The events of work that waits. It is a task of its own, so that whoever listens may do something else in between; it
/// begins when it is first listened to, and ends when nobody listens any more.
pub(crate) fn of<F>(work: impl FnOnce(Emit) -> F) -> BoxStream<'static, Said>
where
    F: Future<Output = Result<Ended, SourceError>> + Send + 'static,
{
    let (sender, events) = mpsc::channel(AHEAD);
    let work = work(Emit(sender.clone()));
    let begun = async move {
        let task = tokio::spawn(async move {
            let ended = work.await.map(Event::End);
            let _ = sender.send(ended).await;
        });
        Listening { events, _task: EndOnDrop(task) }
    };
    stream::once(begun).flat_map(|listening| stream::unfold(listening, Listening::next)).boxed()
}

struct Listening {
    events: mpsc::Receiver<Said>,
    _task: EndOnDrop,
}

impl Listening {
    async fn next(mut self) -> Option<(Said, Self)> {
        self.events.recv().await.map(|event| (event, self))
    }
}

struct EndOnDrop(JoinHandle<()>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The events of work that blocks, which gets a thread of its own.
pub(crate) fn of_thread(
    name: &str,
    work: impl FnOnce(&Emit) -> Result<Ended, SourceError> + Send + 'static,
) -> BoxStream<'static, Said> {
    let (sender, events) = mpsc::channel(AHEAD);
    let emit = Emit(sender.clone());
    let started = thread::spawn(name, Priority::Background, move || {
        let ended = work(&emit).map(Event::End);
        let _ = emit.0.blocking_send(ended);
    });
    if let Err(error) = started {
        let _ = sender.try_send(Err(SourceError::unreachable("the machine", format!("no thread can be had: {error}"))));
    }
    drop(sender);
    stream::unfold(events, |mut events| async { events.recv().await.map(|event| (event, events)) }).boxed()
}
