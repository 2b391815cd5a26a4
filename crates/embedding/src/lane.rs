//! A bounded queue of texts that workers take from, one tenant after the other.
//!
//! Promises: whoever has work waiting gets a turn before anybody gets a second one, and a turn has a bound in bytes, so
//! that a tenant with much to do slows nobody down by more than its share; a caller waits where its tenant's line is full,
//! and only there; work whose caller has gone is dropped before it costs anything; when the last worker is gone, everyone
//! who waits is told. Does not: know what is made of a text.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use catena_domain::TenantId;
use catena_runtime::clock::Stopwatch;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::EmbeddingError;

/// Texts of one tenant that wait in a lane; whoever brings more waits with them.
pub(crate) const LINE_TEXTS: usize = 64;

/// What is to be made something of.
#[derive(Debug)]
pub(crate) enum Input {
    /// A text.
    Text(String),
    /// A passage, judged by a query.
    Pair {
        /// Shared by all passages of a question.
        query: Arc<str>,
        passage: String,
    },
}

impl Input {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Pair { query, passage } => query.len() + passage.len(),
        }
    }
}

/// How the answer goes back.
pub(crate) type Reply<A> = oneshot::Sender<Result<A, EmbeddingError>>;
/// How it arrives.
pub(crate) type Answered<A> = oneshot::Receiver<Result<A, EmbeddingError>>;

/// One text and whoever waits for its answer.
#[derive(Debug)]
pub(crate) struct Job<A> {
    pub(crate) position: usize,
    pub(crate) input: Input,
    pub(crate) reply: Reply<A>,
    /// A place in the tenant's line; given back when a worker takes the job.
    place: OwnedSemaphorePermit,
}

/// How much a worker takes in one turn: at least one text, and no more than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) texts: usize,
    pub(crate) bytes: usize,
}

impl Turn {
    /// One text, whatever its length.
    pub(crate) const ONE: Self = Self { texts: 1, bytes: 0 };
}

/// What one tenant waits for.
struct Line<A> {
    jobs: VecDeque<Job<A>>,
    places: Arc<Semaphore>,
}

struct Waiting<A> {
    lines: HashMap<TenantId, Line<A>>,
    /// The tenants whose lines are not empty, each once; the first has the next turn.
    turns: VecDeque<TenantId>,
    /// When one of the usual workers took a turn last, or work came after there was none.
    last_turn: Stopwatch,
    closed: bool,
    workers: usize,
}

/// The queue. Workers block on it, callers await.
pub(crate) struct Lane<A> {
    name: &'static str,
    waiting: Mutex<Waiting<A>>,
    changed: Condvar,
    /// For whoever waits for the lane to be neglected, and is not to be woken for each text.
    ended: Condvar,
}

impl<A> Lane<A> {
    pub(crate) fn new(name: &'static str) -> Self {
        let (lines, turns, last_turn) = (HashMap::new(), VecDeque::new(), Stopwatch::start());
        let waiting = Waiting { lines, turns, last_turn, closed: false, workers: 0 };
        Self { name, waiting: Mutex::new(waiting), changed: Condvar::new(), ended: Condvar::new() }
    }

    /// What the lane is called in metrics.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<A>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts one text into the tenant's line, waiting for a place there; the receiver gets the answer.
    pub(crate) async fn submit(
        &self,
        tenant: &TenantId,
        position: usize,
        input: Input,
    ) -> Result<Answered<A>, EmbeddingError> {
        let places = Arc::clone(&self.lock().line(tenant).places);
        let place = places.acquire_owned().await.map_err(|_| EmbeddingError::Stopped)?;
        let (reply, answer) = oneshot::channel();
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(EmbeddingError::Stopped);
        }
        let line = waiting.line(tenant);
        let was_empty = line.jobs.is_empty();
        line.jobs.push_back(Job { position, input, reply, place });
        if was_empty {
            if waiting.turns.is_empty() {
                waiting.last_turn = Stopwatch::start();
            }
            waiting.turns.push_back(tenant.clone());
        }
        drop(waiting);
        self.changed.notify_one();
        Ok(answer)
    }

    /// The next tenant's turn: texts that somebody still waits for. None when the lane is closed.
    pub(crate) fn next(&self, turn: Turn) -> Option<Vec<Job<A>>> {
        let mut waiting = self.lock();
        loop {
            if waiting.closed {
                return None;
            }
            match waiting.take_turn(turn) {
                Some(jobs) if jobs.is_empty() => {}
                Some(jobs) => {
                    waiting.last_turn = Stopwatch::start();
                    return Some(jobs);
                }
                None => {
                    waiting.forget_idle_lines();
                    waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// The same for a worker that steps in only when work has waited for `after` and nobody took any: the others do not get
    /// the processor then.
    pub(crate) fn next_neglected(&self, turn: Turn, after: Duration) -> Option<Vec<Job<A>>> {
        let mut waiting = self.lock();
        loop {
            if waiting.closed {
                return None;
            }
            // Its own turns do not count: while the others do not come back, it goes on.
            if waiting.last_turn.elapsed() >= after
                && let Some(jobs) = waiting.take_turn(turn)
                && !jobs.is_empty()
            {
                return Some(jobs);
            }
            waiting = self.ended.wait_timeout(waiting, after).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends the workers and answers everyone who waits, now or later, with `Stopped`.
    pub(crate) fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        waiting.turns.clear();
        for (_, line) in waiting.lines.drain() {
            line.places.close();
        }
        drop(waiting);
        self.changed.notify_all();
        self.ended.notify_all();
    }

    #[cfg(test)]
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }
}

impl<A> Waiting<A> {
    fn line(&mut self, tenant: &TenantId) -> &mut Line<A> {
        if self.closed {
            // Nobody will ever take from it: a caller that waits for a place is turned away.
            let places = Arc::new(Semaphore::new(0));
            places.close();
            return self.lines.entry(tenant.clone()).insert_entry(Line { jobs: VecDeque::new(), places }).into_mut();
        }
        self.lines
            .entry(tenant.clone())
            .or_insert_with(|| Line { jobs: VecDeque::new(), places: Arc::new(Semaphore::new(LINE_TEXTS)) })
    }

    /// What the first tenant gets of its line; empty if nobody waits for any of it. None if no tenant has a line.
    fn take_turn(&mut self, turn: Turn) -> Option<Vec<Job<A>>> {
        let tenant = self.turns.pop_front()?;
        let line = self.lines.get_mut(&tenant)?;
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(job) = line.jobs.pop_front() {
            if job.reply.is_closed() {
                continue;
            }
            bytes += job.input.bytes();
            if !taken.is_empty() && (taken.len() == turn.texts || bytes > turn.bytes) {
                line.jobs.push_front(job);
                break;
            }
            taken.push(job);
        }
        if !line.jobs.is_empty() {
            self.turns.push_back(tenant);
        }
        Some(taken)
    }

    /// A line without jobs whose places nobody holds or waits for would only take room.
    fn forget_idle_lines(&mut self) {
        self.lines.retain(|_, line| !line.jobs.is_empty() || Arc::strong_count(&line.places) > 1);
    }
}

impl<A> Job<A> {
    /// The parts that a worker needs; the place in the line is free again.
    pub(crate) fn begin(self) -> (usize, Input, Reply<A>) {
        let Self { position, input, reply, place } = self;
        drop(place);
        (position, input, reply)
    }
}

/// Counts a worker while it lives, even if it ends by a panic, so that nobody waits for a thread that is gone.
pub(crate) struct Presence<'a, A>(&'a Lane<A>);

impl<'a, A> Presence<'a, A> {
    pub(crate) fn new(lane: &'a Lane<A>) -> Self {
        lane.lock().workers += 1;
        Self(lane)
    }
}

impl<A> Drop for Presence<'_, A> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.workers -= 1;
        let (left, unexpected) = (waiting.workers, !waiting.closed);
        drop(waiting);
        if unexpected {
            tracing::error!(lane = self.0.name, workers_left = left, "an embedding worker ended unexpectedly");
        }
        if left == 0 {
            self.0.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: Turn = Turn { texts: 3, bytes: 100 };

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    async fn submit(lane: &Lane<()>, name: &str, text: &str) -> Result<Answered<()>, EmbeddingError> {
        lane.submit(&tenant(name), 0, Input::Text(text.to_owned())).await
    }

    fn taken(lane: &Lane<()>, turn: Turn) -> Vec<String> {
        let text = |job: Job<()>| match job.begin().1 {
            Input::Text(text) => text,
            Input::Pair { passage, .. } => passage,
        };
        lane.next(turn).into_iter().flatten().map(text).collect()
    }

    #[tokio::test]
    async fn a_tenant_with_little_to_do_does_not_wait_for_one_with_much() -> Result<(), EmbeddingError> {
        let lane = Lane::new("try");
        let mut answers = Vec::new();
        for number in 0..10 {
            answers.push(submit(&lane, "bulk", &format!("b{number}")).await?);
        }
        answers.push(submit(&lane, "small", "s0").await?);
        answers.push(submit(&lane, "third", "t0").await?);
        let order: Vec<_> = (0..5).map(|_| taken(&lane, MANY)).collect();
        assert_eq!(
            order,
            [vec!["b0", "b1", "b2"], vec!["s0"], vec!["t0"], vec!["b3", "b4", "b5"], vec!["b6", "b7", "b8"]]
        );
        Ok(())
    }

    #[tokio::test]
    async fn a_turn_has_a_bound_in_texts_and_in_bytes_and_holds_at_least_one() -> Result<(), EmbeddingError> {
        let lane = Lane::new("try");
        let mut answers = Vec::new();
        for text in ["x".repeat(500), "y".repeat(60), "z".repeat(60), "w".to_owned()] {
            answers.push(submit(&lane, "a", &text).await?);
        }
        let sizes = |lane: &Lane<()>, turn| taken(lane, turn).iter().map(String::len).collect::<Vec<_>>();
        assert_eq!(sizes(&lane, MANY), [500]);
        assert_eq!(sizes(&lane, MANY), [60]);
        assert_eq!(sizes(&lane, Turn::ONE), [60]);
        assert_eq!(sizes(&lane, MANY), [1]);
        Ok(())
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_skipped_and_its_place_is_free_again() -> Result<(), EmbeddingError> {
        let lane = Lane::new("try");
        let gone = submit(&lane, "a", "gone").await?;
        let _here = submit(&lane, "a", "here").await?;
        let all_gone = submit(&lane, "b", "gone too").await?;
        let _last = submit(&lane, "c", "last").await?;
        drop((gone, all_gone));
        assert_eq!(taken(&lane, MANY), ["here"]);
        assert_eq!(taken(&lane, MANY), ["last"]);
        let places = Arc::clone(&lane.lock().line(&tenant("a")).places);
        assert_eq!(places.available_permits(), LINE_TEXTS);
        Ok(())
    }

    #[tokio::test]
    async fn whose_line_is_full_waits_and_nobody_else_does() -> Result<(), EmbeddingError> {
        let lane = Lane::new("try");
        let mut answers = Vec::new();
        for _ in 0..LINE_TEXTS {
            answers.push(submit(&lane, "full", "f").await?);
        }
        let mut waiting = Box::pin(submit(&lane, "full", "late"));
        assert!(poll_once(&mut waiting).await.is_none());
        let _other = submit(&lane, "other", "o").await?;
        assert_eq!(taken(&lane, Turn::ONE), ["f"]);
        answers.push(waiting.await?);
        Ok(())
    }

    #[tokio::test]
    async fn who_steps_in_does_so_only_when_work_waits_and_nobody_takes_it() -> Result<(), EmbeddingError> {
        let lane = Arc::new(Lane::new("try"));
        let (told, tells) = std::sync::mpsc::channel();
        let relief = Arc::clone(&lane);
        let work = move || {
            let after = Duration::from_millis(150);
            while let Some(jobs) = relief.next_neglected(MANY, after) {
                let _ = told.send(jobs.len());
            }
        };
        catena_runtime::thread::spawn("relief", catena_runtime::thread::Priority::Foreground, work).unwrap();
        let _taken = submit(&lane, "a", "taken by a worker").await?;
        assert_eq!(taken(&lane, MANY).len(), 1);
        assert!(tells.recv_timeout(Duration::from_millis(400)).is_err());
        let _left = submit(&lane, "a", "left alone").await?;
        assert_eq!(tells.recv_timeout(Duration::from_secs(20)), Ok(1));
        lane.close();
        Ok(())
    }

    #[tokio::test]
    async fn a_line_that_is_done_leaves_nothing_behind() -> Result<(), EmbeddingError> {
        let lane = Arc::new(Lane::new("try"));
        let _answer = submit(&lane, "a", "x").await?;
        assert_eq!(taken(&lane, MANY), ["x"]);
        let mut waiting = lane.lock();
        waiting.forget_idle_lines();
        assert!(waiting.lines.is_empty() && waiting.turns.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn when_the_last_worker_is_gone_everyone_who_waits_is_told() -> Result<(), EmbeddingError> {
        let lane = Lane::new("try");
        let (one, two) = (Presence::new(&lane), Presence::new(&lane));
        let queued = submit(&lane, "a", "d1").await?;
        let mut full = Vec::new();
        for _ in 0..LINE_TEXTS {
            full.push(submit(&lane, "b", "d").await?);
        }
        let mut blocked = Box::pin(submit(&lane, "b", "d2"));
        assert!(poll_once(&mut blocked).await.is_none());
        drop(one);
        assert!(!lane.is_closed());
        drop(two);
        assert!(queued.await.is_err());
        assert!(matches!(blocked.await, Err(EmbeddingError::Stopped)));
        assert!(matches!(submit(&lane, "a", "q").await, Err(EmbeddingError::Stopped)));
        assert!(taken(&lane, MANY).is_empty());
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
