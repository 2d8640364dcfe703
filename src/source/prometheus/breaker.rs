//! Circuit breaker: a source that failed several times in a row is left alone for a while.

use super::settings::BreakerSettings;
use crate::source::{BreakerState, Cause, SourceError};
use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Closed: requests go through. Open: none does until the pause is over. Half-open: one trial does,
/// and decides.
pub(super) struct Breaker {
    settings: BreakerSettings,
    state: Mutex<State>,
    changed: Box<dyn Fn(BreakerState) + Send + Sync>,
}

struct State {
    now: BreakerState,
    /// Failed requests since the newest good one.
    failures: u32,
    /// The pause of the next opening.
    pause: Duration,
    /// When the pause is over.
    until: Option<Instant>,
    /// The failure that opened it.
    reason: String,
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl Breaker {
    /// A closed breaker that tells `changed` each new state.
    pub(super) fn new(
        settings: &BreakerSettings,
        changed: impl Fn(BreakerState) + Send + Sync + 'static,
    ) -> Self {
        Self {
            state: Mutex::new(State {
                now: BreakerState::Closed,
                failures: 0,
                pause: settings.pause.to_std(),
                until: None,
                reason: String::new(),
            }),
            settings: settings.clone(),
            changed: Box::new(changed),
        }
    }

    /// The state; open even where the pause is over, until a trial begins.
    pub(super) fn state(&self) -> BreakerState {
        self.lock().now
    }

    /// Asks to send a request.
    ///
    /// # Errors
    /// The breaker is open, or a trial is under way.
    pub(super) fn admit(&self) -> Result<Ticket<'_>, SourceError> {
        let mut state = self.lock();
        if state.now == BreakerState::Closed {
            return Ok(self.ticket(false));
        }
        let now = Instant::now();
        let left = state.until.map_or(Duration::ZERO, |until| until - now);
        if state.now == BreakerState::Open && left.is_zero() {
            self.change(&mut state, BreakerState::HalfOpen);
            return Ok(self.ticket(true));
        }
        let wait = match state.now {
            BreakerState::HalfOpen => String::from("a trial request is under way"),
            _ => format!("not asked for another {} s", left.as_secs_f64().ceil()),
        };
        let message = format!("{wait}, as it kept failing: {}", state.reason);
        Err(SourceError {
            cause: Cause::BreakerOpen,
            message,
        })
    }

    fn ticket(&self, trial: bool) -> Ticket<'_> {
        Ticket {
            breaker: self,
            trial,
            ended: false,
        }
    }

    fn succeeded(&self, trial: bool) {
        let mut state = self.lock();
        // A request from before the opening says nothing about now.
        if state.now == BreakerState::Closed || trial {
            state.failures = 0;
            state.pause = self.settings.pause.to_std();
            self.change(&mut state, BreakerState::Closed);
        }
    }

    fn failed(&self, trial: bool, reason: &SourceError) {
        let mut state = self.lock();
        if state.now != BreakerState::Closed && !trial {
            return;
        }
        state.failures = state.failures.saturating_add(1);
        if trial || state.failures >= self.settings.failures {
            state.until = Some(Instant::now() + state.pause);
            state.pause = (state.pause * 2).min(self.settings.max_pause.to_std());
            state.reason.clone_from(&reason.message);
            self.change(&mut state, BreakerState::Open);
        }
    }

    /// A trial was given up before it was decided: the next request may be the trial.
    fn abandoned(&self) {
        let mut state = self.lock();
        state.until = None;
        self.change(&mut state, BreakerState::Open);
    }

    fn change(&self, state: &mut State, to: BreakerState) {
        if state.now != to {
            state.now = to;
            (self.changed)(to);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing inside can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The permission to send one request. Dropped without an end, it was given up.
#[derive(Debug)]
pub(super) struct Ticket<'a> {
    breaker: &'a Breaker,
    trial: bool,
    ended: bool,
}

impl Ticket<'_> {
    /// The request ended: `None` where the source did its part.
    pub(super) fn end(mut self, failure: Option<&SourceError>) {
        self.ended = true;
        match failure {
            None => self.breaker.succeeded(self.trial),
            Some(error) => self.breaker.failed(self.trial, error),
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if self.trial && !self.ended {
            self.breaker.abandoned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Span;
    use std::sync::Arc;

    fn breaker() -> (Breaker, Arc<Mutex<Vec<BreakerState>>>) {
        let settings = BreakerSettings {
            failures: 2,
            pause: Span::seconds(10),
            max_pause: Span::seconds(30),
        };
        let seen = Arc::new(Mutex::new(Vec::new()));
        let told = seen.clone();
        let breaker = Breaker::new(&settings, move |state| told.lock().unwrap().push(state));
        (breaker, seen)
    }

    fn refused() -> SourceError {
        SourceError {
            cause: Cause::Connect,
            message: String::from("refused"),
        }
    }

    fn fail(breaker: &Breaker) {
        breaker.admit().unwrap().end(Some(&refused()));
    }

    #[tokio::test(start_paused = true)]
    async fn opens_tries_once_and_closes() {
        let (breaker, seen) = breaker();
        fail(&breaker);
        breaker.admit().unwrap().end(None);
        fail(&breaker);
        assert_eq!(breaker.state(), BreakerState::Closed);
        fail(&breaker);
        let error = breaker.admit().unwrap_err();
        assert_eq!(error.cause, Cause::BreakerOpen);
        assert_eq!(
            error.message,
            "not asked for another 10 s, as it kept failing: refused"
        );
        tokio::time::advance(Duration::from_secs(10)).await;
        let trial = breaker.admit().unwrap();
        assert!(breaker.admit().unwrap_err().message.contains("trial"));
        trial.end(None);
        breaker.admit().unwrap().end(None);
        let expected = [
            BreakerState::Open,
            BreakerState::HalfOpen,
            BreakerState::Closed,
        ];
        assert_eq!(*seen.lock().unwrap(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn the_pause_doubles_to_its_bound() {
        let (breaker, _) = breaker();
        fail(&breaker);
        fail(&breaker);
        for pause in [10, 20, 30, 30] {
            tokio::time::advance(Duration::from_millis(pause * 1_000 - 1)).await;
            assert!(breaker.admit().is_err(), "{pause}");
            tokio::time::advance(Duration::from_millis(1)).await;
            fail(&breaker);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_abandoned_trial_makes_room_for_another_and_late_answers_do_not_count() {
        let (breaker, _) = breaker();
        let early = breaker.admit().unwrap();
        fail(&breaker);
        fail(&breaker);
        early.end(None);
        assert_eq!(breaker.state(), BreakerState::Open);
        tokio::time::advance(Duration::from_secs(10)).await;
        drop(breaker.admit().unwrap());
        assert_eq!(breaker.state(), BreakerState::Open);
        breaker.admit().unwrap().end(None);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
