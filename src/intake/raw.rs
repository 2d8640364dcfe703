//! The newest samples of one series, as they came.

use super::{
    is_stale,
    rate::{Change, change},
};
use crate::series::{Grid, Millis};
use std::collections::VecDeque;

/// What was done with a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// It is there now.
    Stored,
    /// It was there before.
    Duplicate,
    /// Another value was there for the same time; that one stays.
    Conflict,
    /// Older than what is kept.
    Old,
    /// There are [`MOST_SAMPLES`] already.
    TooMany,
}

/// A day of seconds and more; a series that has as many is none that anybody meant.
const MOST_SAMPLES: usize = 100_000;

/// The newest samples of one series, ascending; stale markers among them.
#[derive(Debug, Clone, Default)]
pub(super) struct Raw {
    samples: VecDeque<(Millis, f64)>,
    /// What was before this time was let go.
    since: Option<Millis>,
}

impl Raw {
    /// Of samples in ascending order.
    pub(super) fn of(samples: impl IntoIterator<Item = (Millis, f64)>) -> Self {
        Self {
            samples: samples.into_iter().collect(),
            since: None,
        }
    }

    /// Takes in a sample. Where `thin` is a grid, only the first and the newest of each of its steps are kept.
    pub(super) fn put(&mut self, at: Millis, value: f64, thin: Option<Grid>) -> Put {
        if self.since.is_some_and(|since| at < since) {
            return Put::Old;
        }
        if self.samples.len() >= MOST_SAMPLES {
            return Put::TooMany;
        }
        if self.samples.back().is_none_or(|newest| newest.0 < at) {
            self.append(at, value, thin);
            return Put::Stored;
        }
        let place = self.samples.partition_point(|sample| sample.0 < at);
        match self.samples.get(place) {
            Some(&(time, own)) if time == at && own.to_bits() == value.to_bits() => Put::Duplicate,
            Some(&(time, _)) if time == at => Put::Conflict,
            _ => {
                self.samples.insert(place, (at, value));
                Put::Stored
            }
        }
    }

    fn append(&mut self, at: Millis, value: f64, thin: Option<Grid>) {
        let mut newest = self.samples.iter_mut().rev();
        if let (Some(grid), Some(last), Some(before)) = (thin, newest.next(), newest.next()) {
            let slot = grid.index(at);
            let same = |sample: &(Millis, f64)| grid.index(sample.0) == slot && !is_stale(sample.1);
            if same(last) && same(before) {
                *last = (at, value);
                return;
            }
        }
        self.samples.push_back((at, value));
    }

    /// Lets go of what is before `time`, but for the last of it, which is what there was at `time`.
    pub(super) fn forget_before(&mut self, time: Millis) {
        let mut went = false;
        while self.samples.get(1).is_some_and(|next| next.0 <= time) {
            self.samples.pop_front();
            went = true;
        }
        if went {
            self.since = self.samples.front().map(|first| first.0);
        }
    }

    /// Lets go of what is after `time`.
    pub(super) fn forget_after(&mut self, time: Millis) {
        let kept = self.samples.partition_point(|sample| sample.0 <= time);
        self.samples.truncate(kept);
        self.since = self.since.filter(|since| *since <= time);
    }

    /// Whether it has ended at `at` without having said so: what it would be then is not known.
    pub(super) fn is_silent(&self, at: Millis, look: &Look) -> bool {
        let after = self.samples.partition_point(|sample| sample.0 <= at);
        let newest = after
            .checked_sub(1)
            .and_then(|place| self.samples.get(place));
        newest.is_some_and(|sample| !is_stale(sample.1) && sample.0 <= at - look.limit())
    }

    /// The newest sample.
    pub(super) fn newest(&self) -> Option<(Millis, f64)> {
        self.samples.back().copied()
    }

    /// All samples, ascending.
    pub(super) fn samples(&self) -> impl ExactSizeIterator<Item = (Millis, f64)> + Clone {
        self.samples.iter().copied()
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.samples.capacity() * size_of::<(Millis, f64)>()
    }

    /// The value of the grid time `at`, see the module: of the step that begins with it, or what was there before.
    pub(super) fn of_step(&self, at: Millis, step: Millis, look: &Look) -> Option<f64> {
        let first = self.samples.partition_point(|sample| sample.0 < at);
        let own = self.samples.range(first..);
        let mut own = own.take_while(|sample| sample.0 < at + step);
        match own.find(|sample| !is_stale(sample.1)) {
            Some(&(time, value)) => self.until(time, value, look),
            None => self.at(at, look),
        }
    }

    /// The value at any time: of the newest sample that is not after it. A range ends at that sample, so that the rate of
    /// what has gone silent is what it was, for one window, and does not sink before it is unknown.
    pub(super) fn at(&self, at: Millis, look: &Look) -> Option<f64> {
        let after = self.samples.partition_point(|sample| sample.0 <= at);
        let &(time, value) = self.samples.get(after.checked_sub(1)?)?;
        if is_stale(value) || time <= at - look.limit() {
            return None;
        }
        self.until(time, value, look)
    }

    /// The value of a range that ends at `end`, or `value` where there is no range.
    fn until(&self, end: Millis, value: f64, look: &Look) -> Option<f64> {
        let Some((how, window)) = look.range else {
            return Some(value);
        };
        let start = end - window;
        let first = self.samples.partition_point(|sample| sample.0 <= start);
        let samples = self.samples.range(first..).copied();
        let samples = samples.take_while(|sample| sample.0 <= end);
        change(
            how,
            samples.filter(|sample| !is_stale(sample.1)),
            start,
            end,
        )
    }
}

/// How a value is made of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// A sample older than this is none.
    pub(super) back: Millis,
    /// What is made of the samples of which span; a value as it is where there is none.
    pub(super) range: Option<(Change, Millis)>,
}

impl Look {
    /// How old the newest sample may be: no older than PromQL looks back, nor than what a range is taken over.
    fn limit(&self) -> Millis {
        self.range
            .map_or(self.back, |(_, window)| window.min(self.back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::STALE_NAN;

    const STEP: Millis = 60_000;
    const GAUGE: Look = Look {
        back: 300_000,
        range: None,
    };

    fn of(samples: &[(Millis, f64)]) -> Raw {
        Raw::of(samples.iter().copied())
    }

    #[test]
    fn a_step_has_its_first_sample_or_what_was_before_it() {
        let raw = of(&[(0, 1.0), (61_000, 2.0), (119_000, 3.0)]);
        assert_eq!(raw.of_step(0, STEP, &GAUGE), Some(1.0));
        assert_eq!(raw.of_step(STEP, STEP, &GAUGE), Some(2.0));
        assert_eq!(raw.of_step(2 * STEP, STEP, &GAUGE), Some(3.0), "looks back");
        assert_eq!(
            raw.of_step(119_000 + 300_000, STEP, &GAUGE),
            None,
            "so far only"
        );
        assert_eq!(of(&[]).of_step(0, STEP, &GAUGE), None);
    }

    #[test]
    fn a_stale_marker_ends_a_series_until_it_comes_back() {
        let raw = of(&[(0, 1.0), (70_000, STALE_NAN), (200_000, 5.0)]);
        assert_eq!(
            raw.of_step(STEP, STEP, &GAUGE),
            Some(1.0),
            "it ended within the step"
        );
        assert_eq!(raw.of_step(2 * STEP, STEP, &GAUGE), None);
        assert_eq!(raw.of_step(3 * STEP, STEP, &GAUGE), Some(5.0));
        assert_eq!(raw.at(199_999, &GAUGE), None);
        assert_eq!(raw.at(200_000, &GAUGE), Some(5.0));
    }

    #[test]
    fn samples_come_in_any_order_and_the_first_of_a_time_counts() {
        let mut raw = Raw::default();
        for (at, value, expected) in [
            (10, 1.0, Put::Stored),
            (30, 3.0, Put::Stored),
            (20, 2.0, Put::Stored),
            (20, 2.0, Put::Duplicate),
            (20, 9.0, Put::Conflict),
        ] {
            assert_eq!(raw.put(at, value, None), expected, "{at}");
        }
        let all: Vec<_> = raw.samples().collect();
        assert_eq!(all, [(10, 1.0), (20, 2.0), (30, 3.0)]);
        raw.forget_before(25);
        let all: Vec<_> = raw.samples().collect();
        assert_eq!(all, [(20, 2.0), (30, 3.0)], "what there was then stays");
        assert_eq!(raw.put(15, 1.0, None), Put::Old);
    }

    #[test]
    fn of_a_step_the_first_and_the_newest_are_kept() {
        let grid = Grid::new(STEP).unwrap();
        let mut raw = Raw::default();
        for at in (0..4 * STEP).step_by(1_000) {
            raw.put(at, at as f64, Some(grid));
        }
        assert_eq!(raw.samples().len(), 8);
        for slot in 0..4 {
            let first = (slot * STEP) as f64;
            assert_eq!(raw.of_step(slot * STEP, STEP, &GAUGE), Some(first));
        }
        assert_eq!(raw.newest().unwrap().0, 239_000);
    }

    #[test]
    fn a_rate_ends_at_the_sample_of_its_step() {
        let look = Look {
            back: 300_000,
            range: Some((Change::Rate, 120_000)),
        };
        let counts = (0..20).map(|n| (n * 15_000 + 7_000, 1_000.0 + n as f64 * 30.0));
        let raw = Raw::of(counts);
        assert_eq!(raw.of_step(4 * STEP, STEP, &look), Some(2.0));
        assert_eq!(raw.at(240_000, &look), Some(2.0));
        // The newest is of 292 s.
        for at in [300_000, 350_000, 411_999] {
            assert_eq!(raw.at(at, &look), Some(2.0), "it does not sink: {at}");
        }
        assert_eq!(raw.at(412_000, &look), None);
        assert!(raw.is_silent(412_000, &look) && !raw.is_silent(411_999, &look));
    }

    #[test]
    fn no_series_has_samples_without_end() {
        let mut raw = Raw::default();
        let stored = |raw: &mut Raw, at| raw.put(at, 1.0, None) == Put::Stored;
        assert!((0..100_000).all(|at| stored(&mut raw, at)));
        assert_eq!(raw.put(100_000, 1.0, None), Put::TooMany);
        raw.forget_before(50_000);
        assert!(stored(&mut raw, 100_000));
        raw.forget_after(60_000);
        assert_eq!(raw.newest(), Some((60_000, 1.0)));
    }
}
