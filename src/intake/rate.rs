//! Rates of counters and differences of gauges, as Prometheus computes them.

use crate::series::Millis;

/// What is made of the samples of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Per second, of a counter: a value below the one before is a restart from zero.
    Rate,
    /// As `Rate`, over the whole range.
    Increase,
    /// Of a gauge, over the whole range: what goes down is no restart.
    Delta,
}

/// A gap of this many times the usual one at an end of the range is no gap between samples but the end of the series.
const END_OF_SERIES: f64 = 1.1;

/// The change over `(start, end]`, extrapolated to all of it (`extrapolatedRate` of Prometheus 3, `promql/functions.go`);
/// `None` of less than two samples. `samples` are those of the range, ascending, without stale markers.
pub(super) fn change(
    how: Change,
    samples: impl Iterator<Item = (Millis, f64)>,
    start: Millis,
    end: Millis,
) -> Option<f64> {
    let seen = Seen::of(samples)?;
    let is_counter = how != Change::Delta;
    let mut result = seen.last.1 - seen.first.1;
    if is_counter {
        result += seen.lost;
    }
    let sampled = (seen.last.0 - seen.first.0) as f64;
    let usual = sampled / (seen.count - 1) as f64;
    let bounded = |gap: f64| {
        if gap >= usual * END_OF_SERIES {
            usual / 2.0
        } else {
            gap
        }
    };
    let mut before = bounded((seen.first.0 - start) as f64);
    let after = bounded((end - seen.last.0) as f64);
    if is_counter && result > 0.0 && seen.first.1 >= 0.0 {
        // A counter was not below zero.
        before = before.min(sampled * (seen.first.1 / result));
    }
    let whole = result * ((sampled + before + after) / sampled);
    Some(match how {
        Change::Rate => whole / ((end - start) as f64 / 1_000.0),
        Change::Increase | Change::Delta => whole,
    })
}

/// What one pass over the samples finds.
struct Seen {
    first: (Millis, f64),
    last: (Millis, f64),
    count: usize,
    /// What restarts took away.
    lost: f64,
}

impl Seen {
    fn of(mut samples: impl Iterator<Item = (Millis, f64)>) -> Option<Self> {
        let first = samples.next()?;
        let mut seen = Self {
            first,
            last: first,
            count: 1,
            lost: 0.0,
        };
        for sample in samples {
            if sample.1 < seen.last.1 {
                seen.lost += seen.last.1;
            }
            seen.last = sample;
            seen.count += 1;
        }
        (seen.count > 1).then_some(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(how: Change, samples: &[(Millis, f64)], start: Millis, end: Millis) -> Option<f64> {
        change(how, samples.iter().copied(), start, end)
    }

    #[test]
    fn less_than_two_samples_have_no_rate() {
        assert_eq!(of(Change::Rate, &[], 0, 60_000), None);
        assert_eq!(of(Change::Rate, &[(1, 5.0)], 0, 60_000), None);
    }

    #[test]
    fn a_steady_counter_has_its_rate_and_a_restart_does_not_show() {
        let steady: Vec<_> = (1..=4)
            .map(|n| (n * 15_000, 1_000.0 + n as f64 * 30.0))
            .collect();
        assert_eq!(of(Change::Rate, &steady, 0, 60_000), Some(2.0));
        assert_eq!(of(Change::Increase, &steady, 0, 60_000), Some(120.0));
        let restarted = [
            (15_000, 1_030.0),
            (30_000, 1_060.0),
            (45_000, 30.0),
            (60_000, 60.0),
        ];
        assert_eq!(of(Change::Rate, &restarted, 0, 60_000), Some(2.0));
        // Of a gauge it is what it is: three quarters of the range, extrapolated.
        let fallen = of(Change::Delta, &restarted, 0, 60_000).unwrap();
        assert!((fallen - -970.0 / 0.75).abs() < 1e-9, "{fallen}");
    }

    #[test]
    fn a_young_counter_is_not_extrapolated_below_zero_nor_past_its_ends() {
        // It began at zero 10 s before its first sample; the other 5 s it was not there.
        let young = [(15_000, 10.0), (30_000, 25.0)];
        assert_eq!(of(Change::Increase, &young, 0, 30_000), Some(25.0));
        // 40 s without a sample are the end of it: half a gap is added, not all.
        let ended = [(15_000, 100.0), (30_000, 115.0)];
        assert_eq!(
            of(Change::Increase, &ended, 0, 70_000),
            Some(15.0 * 37.5 / 15.0)
        );
    }
}
