//! The time of day. The only place that reads it: everything else takes time as a parameter.

use crate::series::Millis;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::Instant;

/// Where the engine's time comes from.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's clock; it may step.
    System,
    /// A clock that starts at a chosen time and runs `speed` times as fast as the real one. It follows
    /// tokio's time, so it stands still where a test pauses that.
    Scaled {
        /// Real time at the start.
        since: Instant,
        /// Shown time at the start.
        start: Millis,
        /// Shown seconds per real second.
        speed: f64,
    },
    /// A clock that can be set while it runs, to see what happens then.
    Settable {
        /// The clock behind it.
        behind: Box<Clock>,
        /// Milliseconds it is ahead of that one.
        ahead: Arc<AtomicI64>,
    },
}

impl Clock {
    /// A clock that shows `start` now and runs `speed` times as fast as the real one.
    pub fn scaled(start: Millis, speed: f64) -> Self {
        Self::Scaled {
            since: Instant::now(),
            start,
            speed,
        }
    }

    /// The time now.
    pub fn now(&self) -> Millis {
        match self {
            Self::System => system_now(),
            Self::Scaled {
                since,
                start,
                speed,
            } => start + (since.elapsed().as_secs_f64() * 1_000.0 * speed) as Millis,
            Self::Settable { behind, ahead } => behind.now() + ahead.load(Ordering::Relaxed),
        }
    }

    /// How long to wait, in real time, until `time` is shown; zero where it is past.
    pub fn until(&self, time: Millis) -> Duration {
        let shown = u64::try_from(time - self.now()).unwrap_or(0);
        Duration::from_secs_f64(shown as f64 / 1_000.0 / self.speed())
    }

    /// Shown seconds per real second.
    pub fn speed(&self) -> f64 {
        match self {
            Self::System => 1.0,
            Self::Scaled { speed, .. } => *speed,
            Self::Settable { behind, .. } => behind.speed(),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the machine's clock"
)]
fn system_now() -> Millis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_scaled_clock_runs_faster() {
        let clock = Clock::scaled(1_000_000, 60.0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(clock.now(), 1_060_000);
        assert_eq!(clock.until(1_120_000), Duration::from_secs(1));
        assert_eq!(clock.until(0), Duration::ZERO);
    }
}
