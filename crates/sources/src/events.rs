//! How an adapter tells what it finds: into a short queue, ahead of whoever listens by no more than that.
//!
//! Promises: the end comes last and only from work that came to its end; work that nobody listens to any more stops at its
//! next event. Does not: start tasks; work that waits moves while its stream is polled.

use std::future::Future;
use std::task::Poll;

use catena_runtime::thread::{self, Priority};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::mpsc;

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

/// The events of work that waits.
pub(crate) fn of<'a, F>(work: impl FnOnce(Emit) -> F) -> BoxStream<'a, Said>
where
    F: Future<Output = Result<Ended, SourceError>> + Send + 'a,
{
    let (sender, mut events) = mpsc::channel(AHEAD);
    let mut work: Option<BoxFuture<'a, _>> = Some(Box::pin(work(Emit(sender))));
    let mut last: Option<Said> = None;
    stream::poll_fn(move |context| {
        if let Some(running) = &mut work
            && let Poll::Ready(ended) = running.as_mut().poll(context)
        {
            work = None;
            last = Some(ended.map(Event::End));
        }
        // The queue is looked at after the work, so that what it was filled with just now is not slept over.
        match events.poll_recv(context) {
            Poll::Ready(Some(event)) => Poll::Ready(Some(event)),
            Poll::Ready(None) => Poll::Ready(last.take()),
            Poll::Pending => Poll::Pending,
        }
    })
    .boxed()
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
