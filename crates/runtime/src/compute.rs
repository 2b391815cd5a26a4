//! The bridge from code that waits to code that computes.
//!
//! Promises: at most a fixed number of pieces of work are accepted at once, and whoever comes after waits its turn; a
//! piece whose caller has gone is not begun; the caller's tracing span is kept. Does not: carry work that blocks on
//! input or output for long, which would hold a processor idle.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};

use crate::thread::{Priority, stand_back};

/// Pieces of work accepted at once, for each thread.
const PENDING_PER_THREAD: usize = 64;

/// Why a piece of work gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ComputeError {
    /// The threads could not be started.
    #[error("the compute threads could not be started: {0}")]
    Start(#[from] rayon::ThreadPoolBuildError),
    /// The work panicked, or the process is stopping.
    #[error("a computation ended without a result")]
    Lost,
}

/// A pool of threads for computing. Cloning gives another handle to the same pool.
#[derive(Clone)]
pub struct Compute {
    pool: Arc<rayon::ThreadPool>,
    permits: Arc<Semaphore>,
}

impl Compute {
    /// A pool of `threads` threads, which are called by `name`. Work of one pool does not wait for work of another.
    pub fn start(threads: NonZeroUsize, name: &'static str, priority: Priority) -> Result<Self, ComputeError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.get())
            .start_handler(move |_| stand_back(priority))
            .thread_name(move |number| format!("{name}-{number}"))
            .panic_handler(|_| tracing::error!("a computation panicked"))
            .build()?;
        let permits = Arc::new(Semaphore::new(threads.get() * PENDING_PER_THREAD));
        Ok(Self { pool: Arc::new(pool), permits })
    }

    /// Runs `work` on the pool and waits for its result. Dropping the future before the work begins cancels it.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ComputeError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| ComputeError::Lost)?;
        let (sender, receiver) = oneshot::channel();
        let span = tracing::Span::current();
        self.pool.spawn(move || {
            let _permit = permit;
            if sender.is_closed() {
                return;
            }
            let _ = sender.send(span.in_scope(work));
        });
        receiver.await.map_err(|_| ComputeError::Lost)
    }
}

impl std::fmt::Debug for Compute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Compute({} threads)", self.pool.current_num_threads())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    #[tokio::test]
    async fn work_comes_back_and_a_panic_is_an_error() {
        let compute = Compute::start(NonZeroUsize::MIN, "try", Priority::Foreground).unwrap();
        assert_eq!(compute.run(|| 6 * 7).await.unwrap(), 42);
        let panicked: Result<(), _> = compute.run(|| std::panic::resume_unwind(Box::new(()))).await;
        assert!(matches!(panicked, Err(ComputeError::Lost)));
        assert_eq!(compute.run(|| 1).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn work_whose_caller_has_gone_is_not_begun() {
        let compute = Compute::start(NonZeroUsize::MIN, "try", Priority::Foreground).unwrap();
        let (release, hold) = mpsc::channel::<()>();
        let busy = tokio::spawn({
            let compute = compute.clone();
            async move { compute.run(move || hold.recv().is_ok()).await }
        });
        tokio::task::yield_now().await;
        let began = Arc::new(AtomicBool::new(false));
        {
            let flag = Arc::clone(&began);
            let abandoned = compute.run(move || flag.store(true, Ordering::SeqCst));
            let mut abandoned = std::pin::pin!(abandoned);
            assert!(futures_poll_once(abandoned.as_mut()).await.is_none());
        }
        release.send(()).unwrap();
        assert!(busy.await.unwrap().unwrap());
        compute.run(|| ()).await.unwrap();
        assert!(!began.load(Ordering::SeqCst));
    }

    async fn futures_poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        let mut future = Some(future);
        std::future::poll_fn(move |context| {
            let polled = future.take().map(|future| future.poll(context));
            std::task::Poll::Ready(match polled {
                Some(std::task::Poll::Ready(output)) => Some(output),
                _ => None,
            })
        })
        .await
    }
}
