//! Threads that take from a lane until it closes.
//!
//! Promises: documents' workers stand back for whoever waits for an answer, and when they get no processor at all, one
//! that does not stand back steps in; a worker that ends, ends nobody's wait without
//! a word; when the last handle goes, so do the threads. Does not: know how an answer is computed.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use catena_runtime::thread::{self, Priority};

use crate::error::EmbeddingError;
use crate::lane::{Job, Lane, Presence, Turn};
use crate::session::Work;

/// How long work waits that nobody takes before the worker does that stands back for nobody.
const NEGLECT: Duration = Duration::from_secs(2);

/// What a worker does with its turns: a session of ONNX Runtime, or a connection to a server that has one.
pub(crate) trait Worker<A>: Send + 'static {
    /// How much it takes at once.
    fn turn(&self) -> Turn;

    /// Answers every job.
    fn answer(&mut self, jobs: Vec<Job<A>>) -> Work;
}

/// A lane and its threads, which end with it.
pub(crate) struct Crew<A: Send + 'static> {
    lane: Arc<Lane<A>>,
    threads: Vec<JoinHandle<()>>,
}

impl<A: Send + 'static> Crew<A> {
    /// Starts a thread for each worker.
    pub(crate) fn start<W: Worker<A>>(
        name: &'static str,
        priority: Priority,
        workers: Vec<W>,
    ) -> Result<Self, EmbeddingError> {
        let mut crew = Self { lane: Arc::new(Lane::new(name)), threads: Vec::with_capacity(workers.len()) };
        for (number, worker) in workers.into_iter().enumerate() {
            let lane = Arc::clone(&crew.lane);
            let thread = thread::spawn(&format!("{name}-{number}"), priority, move || work(&lane, worker, Lane::next))
                .map_err(|source| EmbeddingError::Thread { source })?;
            crew.threads.push(thread);
        }
        Ok(crew)
    }

    /// Adds a worker that does not stand back, for when the others get no processor.
    pub(crate) fn relieved_by<W: Worker<A>>(mut self, worker: W) -> Result<Self, EmbeddingError> {
        let lane = Arc::clone(&self.lane);
        let work = move || work(&lane, worker, |lane, turn| lane.next_neglected(turn, NEGLECT));
        let thread = thread::spawn("relief", Priority::Foreground, work);
        self.threads.push(thread.map_err(|source| EmbeddingError::Thread { source })?);
        Ok(self)
    }

    pub(crate) fn lane(&self) -> &Lane<A> {
        &self.lane
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.threads.len()
    }
}

impl<A: Send + 'static> Drop for Crew<A> {
    fn drop(&mut self) {
        self.lane.close();
        for thread in self.threads.drain(..) {
            // At most one turn is still running. A worker that panicked was reported when it ended.
            let _ = thread.join();
        }
    }
}

fn work<A>(lane: &Lane<A>, mut worker: impl Worker<A>, next: impl Fn(&Lane<A>, Turn) -> Option<Vec<Job<A>>>) {
    let presence = Presence::new(lane);
    let texts = metrics::counter!("catena_embedding_texts_total", "lane" => lane.name());
    let tokens = metrics::counter!("catena_embedding_tokens_total", "lane" => lane.name());
    while let Some(jobs) = next(lane, worker.turn()) {
        let done = worker.answer(jobs);
        texts.increment(done.texts as u64);
        tokens.increment(done.tokens as u64);
    }
    drop(presence);
}
