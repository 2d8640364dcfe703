//! When the state of a series is derived anew from its past (invariants 3 and 4 of the crate).
//!
//! Every series has *epochs*: grid times, the same on every replica, at which everything known of it
//! is derived from its window alone. What was derived is in force from [`Epochs::lag`] steps after the
//! epoch on (it is *installed* then), so that there is time to derive it between the ticks; the same on
//! every replica too, however long it took. Between two installations state only steps on. A process that
//! starts at `T` therefore reaches the state of one that has been running: it derives every series as it
//! was installed last before [`Epochs::restart`] and steps on from there.

use crate::series::{Grid, Millis};

/// A history is divided into so many epochs: three weeks give one a day.
const EPOCHS_PER_HISTORY: usize = 21;
/// Fewer steps between two epochs than this would spend more on deriving than on stepping.
const MIN_REFIT: usize = 16;
/// Steps a restart begins earlier than the epochs alone ask for, so that detectors that compare
/// series with each other (they remember a few steps, not an epoch) have settled too.
const SETTLE: usize = 64;
/// Grid times that are read again each time, because late samples change them: a past that ends before
/// them is final.
pub const REREAD: usize = 3;
/// Steps that there are at most for deriving a series, once its past is final.
const MOST_TIME: usize = 4;
/// Age in steps of the first epoch of a young series; each further one is at twice the age. All are up to
/// a quarter of that later, by a hash of the labels: many series may be born in the same step.
const FIRST_AGE: i64 = 16;
/// Forecasts are served until so many epochs have passed since the one they were derived at: two that were missed
/// are an overload that will pass, and a forecast of further ago was calibrated on another past.
const FORECAST_EPOCHS: usize = 3;

/// The spans that follow from a signal's history, in steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epochs {
    /// Steps of history kept.
    pub history: usize,
    /// Steps between two epochs of one series.
    pub refit: usize,
    /// Steps from an epoch until what was derived at it is in force.
    pub lag: usize,
    /// Steps of past from which a series is derived at an epoch.
    pub memory: usize,
    /// A series without a sample for so many steps is forgotten; so is what was before such a gap.
    pub forget: usize,
}

impl Epochs {
    /// The least history that leaves about as much to learn from as is stepped over, in steps.
    pub const MIN_HISTORY: usize = 4 * MIN_REFIT + SETTLE;

    /// The spans for a history of `history` (raised to [`Epochs::MIN_HISTORY`]) on `grid`.
    pub fn new(history: Millis, grid: Grid) -> Self {
        let history = grid.steps(history).max(Self::MIN_HISTORY);
        let refit = (history / EPOCHS_PER_HISTORY).max(MIN_REFIT);
        let lag = lag(refit);
        Self {
            history,
            refit,
            lag,
            memory: history - 3 * refit - SETTLE - lag,
            forget: (history / 3).max(1),
        }
    }

    /// Steps after its epoch that a forecast is served unless the configuration says otherwise.
    pub fn forecast_age(&self) -> usize {
        FORECAST_EPOCHS * self.refit
    }

    /// The shortest history, in steps, of which a series is derived from `memory` steps.
    pub fn history_for(memory: usize, grid: Grid) -> usize {
        let memory_of = |history: usize| Self::new(grid.step() * history as i64, grid).memory;
        let (mut short, mut long) = (0, Self::MIN_HISTORY);
        while memory_of(long) < memory {
            (short, long) = (long, 2 * long);
        }
        // Each step more of history is at most one more of memory, and never one less by more than the rounding of a refit.
        while long - short > 1 {
            let middle = short.midpoint(long);
            match memory_of(middle) < memory {
                true => short = middle,
                false => long = middle,
            }
        }
        long
    }

    /// Where in the cycle of epochs a series with this fingerprint stands.
    pub fn offset(&self, fingerprint: u64) -> i64 {
        (fingerprint % self.refit as u64) as i64
    }

    /// Whether the grid slot `index` is an epoch of a series whose first sample was in slot `first`.
    fn due(&self, index: i64, offset: i64, first: i64) -> bool {
        let age = index - first;
        let young = age < self.refit as i64 && self.young(offset).any(|young| young == age);
        young || (age > 0 && (index - offset).rem_euclid(self.refit as i64) == 0)
    }

    /// The ages of the extra epochs of a young series, ascending.
    fn young(&self, offset: i64) -> impl Iterator<Item = i64> {
        let ages = std::iter::successors(Some(FIRST_AGE), |age| Some(2 * age));
        ages.map(move |age| age + offset % (age / 4))
            .take_while(|&age| age < self.refit as i64)
    }

    /// The epoch whose derivation may begin at `index`, if there is one: its past is final from then on.
    pub fn begins(&self, index: i64, offset: i64, first: i64) -> Option<i64> {
        self.epoch_before(index, REREAD, offset, first)
    }

    /// The epoch whose derivation is installed at `index`, if there is one.
    pub fn installs(&self, index: i64, offset: i64, first: i64) -> Option<i64> {
        self.epoch_before(index, self.lag, offset, first)
    }

    /// The epoch whose derivation is in force at `index`; `None` where there is none yet.
    pub fn in_force(&self, index: i64, offset: i64, first: i64) -> Option<i64> {
        self.last(index - self.lag as i64, offset, first)
    }

    /// The newest epoch whose past is final at `index`; `None` where there is none yet.
    pub fn newest_final(&self, index: i64, offset: i64, first: i64) -> Option<i64> {
        self.last(index - REREAD as i64, offset, first)
    }

    fn epoch_before(&self, index: i64, steps: usize, offset: i64, first: i64) -> Option<i64> {
        let epoch = index - steps as i64;
        self.due(epoch, offset, first).then_some(epoch)
    }

    /// The newest epoch at or before `index`; `None` where the series had none yet.
    fn last(&self, index: i64, offset: i64, first: i64) -> Option<i64> {
        let regular = index - (index - offset).rem_euclid(self.refit as i64);
        let regular = (regular > first).then_some(regular);
        let young = self.young(offset).map(|age| first + age);
        let young = young.take_while(|&young| young <= index).last();
        regular.max(young)
    }

    /// The grid slot from which a process that starts at `index` must step.
    pub fn restart(&self, index: i64) -> i64 {
        index - self.replay() as i64
    }

    /// Steps that a process steps through when it starts.
    pub fn replay(&self) -> usize {
        2 * self.refit + SETTLE
    }
}

const fn lag(refit: usize) -> usize {
    let time = refit / 16;
    REREAD + if time < MOST_TIME { time } else { MOST_TIME }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_history_that_a_memory_asks_for_has_it() {
        let grid = Grid::new(60_000).unwrap();
        for memory in [1, 100, 1_440, 10_080, 86_400] {
            let history = Epochs::history_for(memory, grid);
            let has = |steps: usize| Epochs::new(grid.step() * steps as i64, grid).memory;
            assert!(has(history) >= memory, "{memory}: {history}");
            assert!(
                history * 7 / 10 < memory + Epochs::MIN_HISTORY,
                "{memory}: {history}"
            );
        }
    }

    fn three_weeks() -> Epochs {
        Epochs::new(21 * 86_400_000, Grid::new(60_000).unwrap())
    }

    #[test]
    fn three_weeks_give_an_epoch_a_day() {
        let epochs = three_weeks();
        assert_eq!(
            (epochs.history, epochs.refit, epochs.lag, epochs.memory),
            (30_240, 1_440, 7, 25_849)
        );
    }

    #[test]
    fn what_a_restart_reads_lies_inside_the_history() {
        for minutes in [1, 200, 1_000, 30_240] {
            let epochs = Epochs::new(minutes * 60_000, Grid::new(60_000).unwrap());
            let derived = epochs.restart(0) - (epochs.refit + epochs.lag) as i64;
            assert!(derived - epochs.memory as i64 >= -(epochs.history as i64));
            assert!((REREAD + 1..MIN_REFIT).contains(&epochs.lag));
            assert!(epochs.memory >= MIN_REFIT - epochs.lag);
        }
    }

    proptest! {
        #[test]
        fn the_last_epoch_is_the_newest_due_one(
            index in 0_i64..20_000,
            first in 0_i64..20_000,
            fingerprint in any::<u64>(),
        ) {
            let epochs = three_weeks();
            let offset = epochs.offset(fingerprint);
            let newest = (first..=index).rev().find(|&slot| epochs.due(slot, offset, first));
            prop_assert_eq!(epochs.last(index, offset, first), newest);
        }
    }
}
