//! The threads that embed, and the handle that async code holds.
//!
//! Promises: queries go before documents; both queues are bounded, and a caller waits where the queue is full; work
//! whose caller has gone is dropped before it costs anything; results come back in the order of the texts; when the last
//! handle goes, so do the threads. Does not: retry, batch (a run is one text, so that company never changes a vector),
//! or share fairly between callers beyond first come, first served within a queue.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use ort::environment::Environment;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::EmbeddingError;
use crate::model::{Facts, ModelSpec};
use crate::session::{self, Embedded, Role, Runner};

const QUERIES_LIMIT: usize = 256;
const DOCUMENTS_LIMIT: usize = 256;

/// A query's vector, and whether it stands for the whole query.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryVector {
    /// The vector.
    pub values: Vec<f32>,
    /// Tokens at the query's end that did not fit the model's window; 0 when all did.
    pub truncated_tokens: usize,
}

struct Job {
    role: Role,
    position: usize,
    text: String,
    reply: oneshot::Sender<Result<Embedded, EmbeddingError>>,
    /// A place in the queue; given back when a worker takes the job.
    place: OwnedSemaphorePermit,
}

#[derive(Default)]
struct Waiting {
    queries: VecDeque<Job>,
    documents: VecDeque<Job>,
    closed: bool,
    workers: usize,
}

/// Two bounded queues that threads take from, queries first.
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    query_places: Arc<Semaphore>,
    document_places: Arc<Semaphore>,
}

impl Queue {
    fn new(query_places: usize, document_places: usize) -> Self {
        Self {
            waiting: Mutex::new(Waiting::default()),
            changed: Condvar::new(),
            query_places: Arc::new(Semaphore::new(query_places)),
            document_places: Arc::new(Semaphore::new(document_places)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues one text, waiting for a place; the receiver gets its vector.
    async fn submit(
        &self,
        role: Role,
        position: usize,
        text: String,
    ) -> Result<oneshot::Receiver<Result<Embedded, EmbeddingError>>, EmbeddingError> {
        let places = match role {
            Role::Query => &self.query_places,
            Role::Document => &self.document_places,
        };
        let place = Arc::clone(places).acquire_owned().await.map_err(|_| EmbeddingError::Stopped)?;
        let (reply, answer) = oneshot::channel();
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(EmbeddingError::Stopped);
        }
        let job = Job { role, position, text, reply, place };
        match role {
            Role::Query => waiting.queries.push_back(job),
            Role::Document => waiting.documents.push_back(job),
        }
        drop(waiting);
        self.changed.notify_one();
        Ok(answer)
    }

    /// The next job that somebody still waits for; none when the queue is closed.
    fn next(&self) -> Option<Job> {
        let mut waiting = self.lock();
        loop {
            if waiting.closed {
                return None;
            }
            match waiting.queries.pop_front().or_else(|| waiting.documents.pop_front()) {
                Some(job) if job.reply.is_closed() => {}
                Some(job) => return Some(job),
                None => waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Ends the workers and answers everyone who waits, now or later, with `Stopped`.
    fn close(&self) {
        self.query_places.close();
        self.document_places.close();
        let mut waiting = self.lock();
        waiting.closed = true;
        waiting.queries.clear();
        waiting.documents.clear();
        drop(waiting);
        self.changed.notify_all();
    }
}

/// Counts a worker while it lives, even if it ends by a panic, so that nobody waits for a thread that is gone.
struct Presence<'a>(&'a Queue);

impl<'a> Presence<'a> {
    fn new(queue: &'a Queue) -> Self {
        queue.lock().workers += 1;
        Self(queue)
    }
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.workers -= 1;
        let (left, unexpected) = (waiting.workers, !waiting.closed);
        drop(waiting);
        if unexpected {
            tracing::error!(workers_left = left, "an embedding worker ended unexpectedly");
        }
        if left == 0 {
            self.0.close();
        }
    }
}

/// What all handles share; the threads end with it.
struct Workers {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // At most one text is still running. A worker that panicked was reported when it ended.
            let _ = thread.join();
        }
    }
}

/// A handle on running workers; cheap to clone.
#[derive(Clone)]
pub struct Embedder {
    facts: Arc<Facts>,
    workers: Arc<Workers>,
}

impl std::fmt::Debug for Embedder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Embedder")
            .field("model", &self.facts.description.name)
            .field("workers", &self.workers.threads.len())
            .finish_non_exhaustive()
    }
}

impl Embedder {
    /// Loads the library and starts `workers` threads, each with a session of its own. Blocks until all are ready; if
    /// one fails, none is left.
    pub fn start(model: ModelSpec, library: &Path, workers: NonZeroUsize) -> Result<Self, EmbeddingError> {
        let environment = session::environment(library)?;
        let facts = Arc::clone(&model.facts);
        let model = Arc::new(model);
        let queue = Arc::new(Queue::new(QUERIES_LIMIT, DOCUMENTS_LIMIT));
        let mut workers_started = Workers { queue, threads: Vec::with_capacity(workers.get()) };
        let (ready, started) = mpsc::sync_channel(workers.get());
        for number in 0..workers.get() {
            let (queue, model) = (Arc::clone(&workers_started.queue), Arc::clone(&model));
            let (environment, ready) = (environment.clone(), ready.clone());
            let work = move || work(&queue, &environment, model, ready);
            let thread = catena_runtime::thread::spawn(&format!("embed-{number}"), work)
                .map_err(|source| EmbeddingError::Thread { source })?;
            workers_started.threads.push(thread);
        }
        drop((ready, model));
        for _ in 0..workers.get() {
            // A worker that panicked says nothing: its end of the channel is gone.
            started.recv().unwrap_or(Err(EmbeddingError::Stopped))?;
        }
        Ok(Self { facts, workers: Arc::new(workers_started) })
    }

    /// The model's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.facts.description.name
    }

    /// Numbers in a vector.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.facts.description.dimension
    }

    /// Tokens that a document's text may have, as `count_tokens` counts them.
    #[must_use]
    pub fn max_tokens(&self) -> usize {
        self.facts.text_tokens
    }

    /// A hash (hex) over everything that a vector depends on.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.facts.fingerprint
    }

    /// Tokens of `text` in the model's own tokenizer, without the marks that it adds. Computes on the calling thread.
    #[must_use]
    pub fn count_tokens(&self, text: &str) -> usize {
        self.facts.count_tokens(text)
    }

    /// The vectors of documents' texts, in their order. The first text that cannot be embedded whole fails them all.
    pub async fn embed_documents(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, EmbeddingError> {
        let mut answers = Vec::with_capacity(texts.len());
        for (position, text) in texts.into_iter().enumerate() {
            answers.push(self.workers.queue.submit(Role::Document, position, text).await?);
        }
        let mut vectors = Vec::with_capacity(answers.len());
        for answer in answers {
            vectors.push(answer.await.unwrap_or(Err(EmbeddingError::Stopped))?.values);
        }
        Ok(vectors)
    }

    /// A query's vector. A query that is longer than the model's window is cut to it, and the answer says by how much.
    pub async fn embed_query(&self, text: &str) -> Result<QueryVector, EmbeddingError> {
        let answer = self.workers.queue.submit(Role::Query, 0, text.to_owned()).await?;
        let Embedded { values, truncated_tokens } = answer.await.unwrap_or(Err(EmbeddingError::Stopped))?;
        Ok(QueryVector { values, truncated_tokens })
    }
}

/// A worker's life.
fn work(
    queue: &Queue,
    environment: &Environment,
    model: Arc<ModelSpec>,
    ready: mpsc::SyncSender<Result<(), EmbeddingError>>,
) {
    let mut runner = match Runner::new(environment, &model) {
        Ok(runner) => runner,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    // The graph's bytes go when the last worker has read them.
    drop(model);
    let presence = Presence::new(queue);
    let _ = ready.send(Ok(()));
    drop(ready);
    while let Some(Job { role, position, text, reply, place }) = queue.next() {
        drop(place);
        let _ = reply.send(runner.embed(role, position, &text));
    }
    drop(presence);
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answer = oneshot::Receiver<Result<Embedded, EmbeddingError>>;

    async fn submit(queue: &Queue, role: Role, text: &str) -> Result<Answer, EmbeddingError> {
        queue.submit(role, 0, text.to_owned()).await
    }

    fn next_text(queue: &Queue) -> Option<String> {
        queue.next().map(|job| job.text)
    }

    #[tokio::test]
    async fn a_query_goes_before_documents_that_came_earlier() -> Result<(), EmbeddingError> {
        let queue = Queue::new(4, 4);
        let _first = submit(&queue, Role::Document, "d1").await?;
        let _second = submit(&queue, Role::Document, "d2").await?;
        let _third = submit(&queue, Role::Query, "q1").await?;
        let _fourth = submit(&queue, Role::Query, "q2").await?;
        let order: Vec<_> = (0..4).map(|_| next_text(&queue)).collect();
        assert_eq!(order, ["q1", "q2", "d1", "d2"].map(|text| Some(text.to_owned())));
        Ok(())
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_skipped_and_its_place_is_free_again() -> Result<(), EmbeddingError> {
        let queue = Queue::new(1, 2);
        let gone = submit(&queue, Role::Document, "gone").await?;
        let _here = submit(&queue, Role::Document, "here").await?;
        assert_eq!(queue.document_places.available_permits(), 0);
        drop(gone);
        assert_eq!(next_text(&queue), Some("here".to_owned()));
        assert_eq!(queue.document_places.available_permits(), 2);
        Ok(())
    }

    #[tokio::test]
    async fn a_full_queue_makes_the_caller_wait_and_the_other_queue_does_not() -> Result<(), EmbeddingError> {
        let queue = Queue::new(1, 1);
        let _first = submit(&queue, Role::Document, "d1").await?;
        let mut waiting = Box::pin(submit(&queue, Role::Document, "d2"));
        assert!(poll_once(&mut waiting).await.is_none());
        let _query = submit(&queue, Role::Query, "q1").await?;
        assert_eq!(next_text(&queue), Some("q1".to_owned()));
        assert!(poll_once(&mut waiting).await.is_none());
        assert_eq!(next_text(&queue), Some("d1".to_owned()));
        let _second = waiting.await?;
        assert_eq!(next_text(&queue), Some("d2".to_owned()));
        Ok(())
    }

    #[tokio::test]
    async fn when_the_last_worker_is_gone_everyone_who_waits_is_told() -> Result<(), EmbeddingError> {
        let queue = Queue::new(1, 1);
        let (one, two) = (Presence::new(&queue), Presence::new(&queue));
        let queued = submit(&queue, Role::Document, "d1").await?;
        let blocked = submit(&queue, Role::Document, "d2");
        drop(one);
        assert!(!queue.lock().closed);
        drop(two);
        assert!(queued.await.is_err());
        assert!(matches!(blocked.await, Err(EmbeddingError::Stopped)));
        assert!(matches!(submit(&queue, Role::Query, "q").await, Err(EmbeddingError::Stopped)));
        assert_eq!(next_text(&queue), None);
        Ok(())
    }

    /// Polls once: the result if it is there.
    async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
