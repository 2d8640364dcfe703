//! Which grid times of a panel can be evaluated, with which inputs. Pure: time is a parameter.

use super::{
    Fed,
    thin::{Kept, Thinner},
};
use crate::{engine::outcome::Outcome, series::Millis};
use std::{collections::BTreeMap, sync::Arc};

/// Grid times held beyond the panel's memory while an input is missing.
const MARGIN: usize = 16;

/// The outcomes of a panel's inputs, side by side by grid time.
///
/// A grid time is complete when each input has given it, or has given a later one (it will not go
/// back), or when the first of them has been waiting for `grace`: a late input abstains. At the start
/// nothing is complete before each input has given a live outcome: until then they replay, each as
/// fast as it can, and what waits is held as thin as a panel's detectors can do with.
#[derive(Debug)]
pub(super) struct Join {
    inputs: Vec<Input>,
    waiting: BTreeMap<Millis, Waiting>,
    keep: usize,
    grace: Millis,
    done: Option<Millis>,
}

#[derive(Debug, Clone, Default)]
struct Input {
    newest: Option<Millis>,
    live: bool,
    thinner: Thinner,
}

#[derive(Debug)]
struct Waiting {
    outcomes: Vec<Option<Kept>>,
    since: Millis,
    live: bool,
}

/// One grid time with its inputs.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) at: Millis,
    /// The outcomes of the inputs that were in time, in the order of the inputs.
    pub(super) inputs: Vec<Arc<Outcome>>,
    /// Whether it is newly evaluated, not replayed.
    pub(super) live: bool,
}

impl Join {
    /// A join of so many inputs; `memory` grid times are kept for the start, and `grace` is in the
    /// same steady milliseconds as the times given to the other methods.
    pub(super) fn new(inputs: usize, memory: usize, grace: Millis) -> Self {
        Self {
            inputs: vec![Input::default(); inputs],
            waiting: BTreeMap::new(),
            keep: memory.saturating_add(MARGIN),
            grace,
            done: None,
        }
    }

    /// Takes in an outcome that came at `now`. `false`: its grid time was evaluated already.
    pub(super) fn add(&mut self, fed: Fed, now: Millis) -> bool {
        let at = fed.outcome.at;
        let count = self.inputs.len();
        let Some(input) = self.inputs.get_mut(fed.input) else {
            return true;
        };
        input.newest = input.newest.max(Some(at));
        input.live |= fed.live;
        if self.done.is_some_and(|done| at <= done) {
            return false;
        }
        let waiting = self.waiting.entry(at).or_insert_with(|| Waiting {
            outcomes: (0..count).map(|_| None).collect(),
            since: now,
            live: false,
        });
        waiting.live |= fed.live;
        waiting.outcomes[fed.input] = Some(match fed.live {
            true => Kept::Whole(fed.outcome),
            false => input.thinner.thin(&fed.outcome),
        });
        self.thin_oldest();
        while self.waiting.len() > self.keep {
            self.waiting.pop_first();
        }
        true
    }

    /// Live outcomes wait in number only while an input is missing.
    fn thin_oldest(&mut self) {
        let Some((_, waiting)) = self.waiting.iter_mut().rev().nth(MARGIN) else {
            return;
        };
        for (outcome, input) in waiting.outcomes.iter_mut().zip(&mut self.inputs) {
            if let Some(Kept::Whole(whole)) = outcome {
                *outcome = Some(input.thinner.thin(whole));
            }
        }
    }

    /// By how much the newest evaluated grid time lies after `now`: the clock was set back. A signal
    /// that speaks then has started afresh, since others wait until the clock is where it was.
    pub(super) fn ahead(&self, now: Millis) -> Option<Millis> {
        self.done.map(|done| done - now).filter(|&ahead| ahead > 0)
    }

    /// The input that has not come up yet, if one has not.
    pub(super) fn missing(&self) -> Option<usize> {
        self.inputs.iter().position(|input| !input.live)
    }

    /// The oldest grid time, if it is complete at `now`.
    pub(super) fn next(&mut self, now: Millis) -> Option<Ready> {
        if self.missing().is_some() {
            return None;
        }
        let (&at, waiting) = self.waiting.first_key_value()?;
        if now - waiting.since < self.grace && !self.complete(at, waiting) {
            return None;
        }
        let (at, waiting) = self.waiting.pop_first()?;
        self.done = Some(at);
        Some(Ready {
            at,
            inputs: waiting
                .outcomes
                .into_iter()
                .flatten()
                .map(Kept::whole)
                .collect(),
            live: waiting.live,
        })
    }

    /// When the oldest grid time will be evaluated without the inputs that are missing.
    pub(super) fn deadline(&self) -> Option<Millis> {
        let up = self.missing().is_none();
        let (_, oldest) = self.waiting.first_key_value().filter(|_| up)?;
        Some(oldest.since + self.grace)
    }

    fn complete(&self, at: Millis, waiting: &Waiting) -> bool {
        let mut both = waiting.outcomes.iter().zip(&self.inputs);
        both.all(|(outcome, input)| outcome.is_some() || input.newest > Some(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(input: usize, at: Millis, live: bool) -> Fed {
        let outcome = Outcome {
            unit: format!("input-{input}").into(),
            at,
            ..Outcome::default()
        };
        Fed {
            input,
            outcome: Arc::new(outcome),
            live,
        }
    }

    fn next(join: &mut Join, now: Millis) -> Option<(Millis, Vec<String>)> {
        let ready = join.next(now)?;
        let units = ready.inputs.iter().map(|input| input.unit.to_string());
        Some((ready.at, units.collect()))
    }

    fn both(at: Millis) -> Option<(Millis, Vec<String>)> {
        Some((at, vec!["input-0".into(), "input-1".into()]))
    }

    #[test]
    fn replays_wait_for_each_other() {
        let mut join = Join::new(2, 100, 30);
        for at in 1..=5 {
            join.add(fed(0, at, at == 5), 0);
        }
        assert_eq!(next(&mut join, 1_000), None, "not even after the grace");
        assert_eq!((join.missing(), join.deadline()), (Some(1), None));
        for at in 3..=5 {
            join.add(fed(1, at, at == 5), 1_000);
        }
        assert_eq!(next(&mut join, 1_000).map(|ready| ready.0), Some(1));
        assert_eq!(next(&mut join, 1_000).map(|ready| ready.0), Some(2));
        for at in 3..=5 {
            assert_eq!(next(&mut join, 1_000), both(at));
        }
        assert_eq!(next(&mut join, 1_000), None);
    }

    fn up() -> Join {
        let mut join = Join::new(2, 100, 30);
        join.add(fed(0, 1, true), 0);
        join.add(fed(1, 1, true), 0);
        assert_eq!(next(&mut join, 0), both(1));
        join
    }

    #[test]
    fn a_late_input_abstains_and_is_told_so() {
        let mut join = up();
        assert!(join.add(fed(0, 2, true), 60));
        assert_eq!((next(&mut join, 89), join.deadline()), (None, Some(90)));
        assert_eq!(next(&mut join, 90), Some((2, vec!["input-0".into()])));
        assert!(!join.add(fed(1, 2, true), 91));
        assert!(join.add(fed(1, 3, true), 120) && join.add(fed(0, 3, true), 125));
        assert_eq!(next(&mut join, 125), both(3));
    }

    #[test]
    fn an_input_that_went_on_is_not_waited_for() {
        let mut join = up();
        join.add(fed(0, 2, true), 60);
        join.add(fed(1, 3, true), 61);
        assert_eq!(next(&mut join, 61), Some((2, vec!["input-0".into()])));
        assert_eq!(next(&mut join, 61), None, "the other may still give 3");
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut join = Join::new(2, 10, 30);
        for at in 0..1_000 {
            join.add(fed(0, at, true), 0);
        }
        join.add(fed(1, 999, true), 0);
        let first = next(&mut join, 0).unwrap().0;
        assert_eq!(first, 1_000 - 10 - MARGIN as Millis);
    }
}
