//! Circuit breaker: a source that failed several times in a row is left alone for a while.

use super::settings::BreakerSettings;
use crate::source::{BreakerState, Cause, SourceError};
use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

/// Requests wait so long for the trial of another: a source that is back answers it in less, and a
/// whole tick would be lost for each that is turned away.
const TRIAL_PATIENCE: Duration = Duration::from_secs(2);
/// A pause is shorter by a random part of this share, so that replicas do not try together.
const JITTER: f64 = 0.25;

/// Closed: requests go through. Open: none does until the pause is over. Half-open: one trial does,
/// and decides.
pub(super) struct Breaker {
    settings: BreakerSettings,
    state: Mutex<State>,
    /// Told when a trial is decided.
    decided: Notify,
    changed: Box<dyn Fn(&Change<'_>) + Send + Sync>,
}

/// A breaker changed its state.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// What it was.
    pub from: BreakerState,
    /// What it is.
    pub to: BreakerState,
    /// Where it opened: how long nothing is sent.
    pub pause: Duration,
    /// Where it opened: the failure that opened it.
    pub reason: &'a str,
}

/// What a request is told.
enum Admission<'b> {
    Go(Ticket<'b>),
    /// A trial is under way.
    Wait,
    Stop(SourceError),
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
    /// A closed breaker that tells `changed` each change.
    pub(super) fn new(
        settings: &BreakerSettings,
        changed: impl Fn(&Change<'_>) + Send + Sync + 'static,
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
            decided: Notify::new(),
            changed: Box::new(changed),
        }
    }

    /// The state; open even where the pause is over, until a trial begins.
    pub(super) fn state(&self) -> BreakerState {
        self.lock().now
    }

    /// Asks to send a request. Waits a little for a trial that is under way.
    ///
    /// # Errors
    /// The breaker is open, or a trial is not decided soon.
    pub(super) async fn admit(&self) -> Result<Ticket<'_>, SourceError> {
        let until_decided = async {
            loop {
                // Listens before it looks, or a decision between the two would be missed.
                let mut decided = std::pin::pin!(self.decided.notified());
                decided.as_mut().enable();
                match self.look() {
                    Admission::Go(ticket) => return Ok(ticket),
                    Admission::Stop(error) => return Err(error),
                    Admission::Wait => decided.await,
                }
            }
        };
        let admitted = timeout(TRIAL_PATIENCE, until_decided).await;
        admitted.unwrap_or_else(|_| Err(refusal("a trial request is under way", &self.lock())))
    }

    fn look(&self) -> Admission<'_> {
        let mut state = self.lock();
        let left = state
            .until
            .map_or(Duration::ZERO, |until| until - Instant::now());
        match state.now {
            BreakerState::Closed => Admission::Go(self.ticket(false)),
            BreakerState::HalfOpen => Admission::Wait,
            BreakerState::Open if left.is_zero() => {
                self.change(&mut state, BreakerState::HalfOpen, Duration::ZERO);
                Admission::Go(self.ticket(true))
            }
            BreakerState::Open => {
                let wait = format!("not asked for another {} s", left.as_secs_f64().ceil());
                Admission::Stop(refusal(&wait, &state))
            }
        }
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
            self.change(&mut state, BreakerState::Closed, Duration::ZERO);
        }
    }

    fn failed(&self, trial: bool, reason: &SourceError) {
        let mut state = self.lock();
        if state.now != BreakerState::Closed && !trial {
            return;
        }
        state.failures = state.failures.saturating_add(1);
        if trial || state.failures >= self.settings.failures {
            let pause = state.pause.mul_f64(1.0 - JITTER * fastrand::f64());
            state.until = Some(Instant::now() + pause);
            state.pause = (state.pause * 2).min(self.settings.max_pause.to_std());
            state.reason.clone_from(&reason.message);
            self.change(&mut state, BreakerState::Open, pause);
        }
    }

    /// A trial was given up before it was decided: the next request may be the trial.
    fn abandoned(&self) {
        let mut state = self.lock();
        state.until = None;
        self.change(&mut state, BreakerState::Open, Duration::ZERO);
    }

    fn change(&self, state: &mut State, to: BreakerState, pause: Duration) {
        let from = std::mem::replace(&mut state.now, to);
        if from != to {
            (self.changed)(&Change {
                from,
                to,
                pause,
                reason: &state.reason,
            });
        }
        if to != BreakerState::HalfOpen {
            self.decided.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing inside can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal(wait: &str, state: &State) -> SourceError {
    SourceError {
        cause: Cause::BreakerOpen,
        message: format!("{wait}, as it kept failing: {}", state.reason),
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
        let breaker = Breaker::new(&settings, move |change| {
            told.lock().unwrap().push(change.to)
        });
        (breaker, seen)
    }

    fn refused() -> SourceError {
        SourceError {
            cause: Cause::Connect,
            message: String::from("refused"),
        }
    }

    async fn fail(breaker: &Breaker) {
        breaker.admit().await.unwrap().end(Some(&refused()));
    }

    #[tokio::test(start_paused = true)]
    async fn opens_tries_once_and_closes() {
        let (breaker, seen) = breaker();
        fail(&breaker).await;
        breaker.admit().await.unwrap().end(None);
        fail(&breaker).await;
        assert_eq!(breaker.state(), BreakerState::Closed);
        fail(&breaker).await;
        let error = breaker.admit().await.unwrap_err();
        assert_eq!(error.cause, Cause::BreakerOpen);
        let said = error.message.strip_prefix("not asked for another ");
        let (seconds, reason) = said.unwrap().split_once(" s, ").unwrap();
        assert!(
            (8..=10).contains(&seconds.parse::<u32>().unwrap()),
            "{error}"
        );
        assert_eq!(reason, "as it kept failing: refused");
        tokio::time::advance(Duration::from_secs(10)).await;
        let trial = breaker.admit().await.unwrap();
        assert!(breaker.admit().await.unwrap_err().message.contains("trial"));
        trial.end(None);
        breaker.admit().await.unwrap().end(None);
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
        fail(&breaker).await;
        fail(&breaker).await;
        for pause in [10, 20, 30, 30] {
            let least = Duration::from_millis(pause * 750 - 1);
            tokio::time::advance(least).await;
            assert!(breaker.admit().await.is_err(), "{pause}");
            tokio::time::advance(Duration::from_secs(pause) - least).await;
            fail(&breaker).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_abandoned_trial_makes_room_for_another_and_late_answers_do_not_count() {
        let (breaker, _) = breaker();
        let early = breaker.admit().await.unwrap();
        fail(&breaker).await;
        fail(&breaker).await;
        early.end(None);
        assert_eq!(breaker.state(), BreakerState::Open);
        tokio::time::advance(Duration::from_secs(10)).await;
        drop(breaker.admit().await.unwrap());
        assert_eq!(breaker.state(), BreakerState::Open);
        breaker.admit().await.unwrap().end(None);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn others_wait_for_a_trial_and_go_when_it_is_good() {
        let (breaker, _) = breaker();
        fail(&breaker).await;
        fail(&breaker).await;
        tokio::time::advance(Duration::from_secs(10)).await;
        let trial = breaker.admit().await.unwrap();
        let decide = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            trial.end(None);
        };
        let (other, ()) = tokio::join!(breaker.admit(), decide);
        other.unwrap().end(None);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn others_are_refused_with_the_trial_that_fails() {
        let (breaker, _) = breaker();
        fail(&breaker).await;
        fail(&breaker).await;
        tokio::time::advance(Duration::from_secs(10)).await;
        let trial = breaker.admit().await.unwrap();
        let decide = async { trial.end(Some(&refused())) };
        let (other, ()) = tokio::join!(breaker.admit(), decide);
        assert!(
            other
                .unwrap_err()
                .message
                .starts_with("not asked for another")
        );
    }
}
