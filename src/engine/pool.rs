//! Where units compute: a bounded pool of threads beside the ones that wait for the network.

use std::{any::Any, num::NonZeroUsize, sync::Arc, thread};
use tokio::sync::Semaphore;

/// A bounded pool. A unit's state moves in, and back out with the result. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pool {
    threads: Arc<rayon::ThreadPool>,
    permits: Arc<Semaphore>,
}

/// The work panicked; the state that went in is gone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Panicked(pub String);

impl Pool {
    /// A pool of `threads`, by default one per processor this process may use.
    ///
    /// # Errors
    /// The operating system refused to start the threads.
    pub fn new(threads: Option<NonZeroUsize>) -> Result<Self, String> {
        let threads = threads
            .or_else(|| thread::available_parallelism().ok())
            .map_or(1, NonZeroUsize::get);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("compute-{index}"))
            .build()
            .map_err(|error| format!("no threads for the compute pool: {error}"))?;
        Ok(Self {
            threads: Arc::new(pool),
            permits: Arc::new(Semaphore::new(threads)),
        })
    }

    /// Runs `work` on `state` in the pool; parallel iterators inside it use the pool's threads.
    ///
    /// `spawn_blocking` around the pool, not the pool's own `spawn` with a channel back: tokio's
    /// paused time of the tests stands still only while it knows of the work. Dropping the future
    /// lets the work end by itself; its state is lost then.
    ///
    /// # Errors
    /// `work` panicked. Its state is dropped: nobody knows in what shape it was.
    pub async fn run<S, T>(
        &self,
        mut state: S,
        work: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<(S, T), Panicked>
    where
        S: Send + 'static,
        T: Send + 'static,
    {
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
            return Err(Panicked("the compute pool is closed".into()));
        };
        let threads = Arc::clone(&self.threads);
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            threads.install(move || {
                let result = work(&mut state);
                (state, result)
            })
        });
        done.await.map_err(|error| match error.try_into_panic() {
            Ok(payload) => Panicked(panic_message(payload.as_ref())),
            Err(error) => Panicked(error.to_string()),
        })
    }
}

/// What a panic said.
fn panic_message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&'static str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn state_goes_in_and_comes_back_while_paused_time_stands_still() {
        let pool = Pool::new(NonZeroUsize::new(1)).unwrap();
        let before = Instant::now();
        let run = pool.run(vec![1, 2], |state| {
            state.push(3);
            rayon::current_num_threads()
        });
        let raced = tokio::time::timeout(Duration::from_millis(1), run).await;
        let (state, threads) = raced.expect("paused time ran on").unwrap();
        assert_eq!((state, threads), (vec![1, 2, 3], 1));
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_pool_goes_on() {
        let pool = Pool::new(NonZeroUsize::new(1)).unwrap();
        let failed = pool.run((), |()| panic!("on {}", "purpose")).await;
        let failed: Result<((), ()), _> = failed;
        assert_eq!(failed.unwrap_err().to_string(), "on purpose");
        assert_eq!(pool.run(1, |one| *one + 1).await.unwrap(), (1, 2));
    }
}
