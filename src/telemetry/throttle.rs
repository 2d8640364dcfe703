//! How often the same is logged.

use std::sync::{Mutex, PoisonError};
use tokio::time::{Duration, Instant};

/// What others cause, and may cause thousands of times, is logged at most this often.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// When something was logged last.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<Option<Instant>>);

impl Throttle {
    /// Whether it may be logged now; then it counts as logged.
    pub(super) fn may_log(&self) -> bool {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let may = logged.is_none_or(|last| now.duration_since(last) >= LOG_EVERY);
        if may {
            *logged = Some(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_often_is_logged_now_and_then() {
        let throttle = Throttle::default();
        let mut logged = Vec::new();
        for second in 0..25 {
            if throttle.may_log() {
                logged.push(second);
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(logged, [0, 10, 20]);
    }
}
