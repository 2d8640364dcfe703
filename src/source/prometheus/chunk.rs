//! Cuts a range into requests a source can answer, and learns how long they may be.

use super::decode::Range;

/// Prometheus refuses more than 11,000 steps in one query (`exceeded maximum resolution`).
const MOST_POINTS: usize = 11_000;
/// Samples of one answer once the number of series is known: some 25 MB of JSON. Longer answers save
/// nothing, and a few are in memory at a time.
const USUAL_SAMPLES: usize = 1_000_000;

/// Plans the requests of one range, oldest first.
#[derive(Debug)]
pub(super) struct Plan {
    whole: Range,
    /// First grid time not yet asked for.
    next: i64,
    /// Grid times of the next request.
    points: usize,
    /// Requests that may be under way together.
    width: usize,
    concurrency: usize,
    max_samples: usize,
    /// Never longer than this again: it was too much for the source.
    ceiling: usize,
}

impl Plan {
    /// A plan for `whole`, where up to `max_series` series are expected.
    pub(super) fn new(
        whole: Range,
        max_series: usize,
        max_samples: usize,
        concurrency: usize,
    ) -> Self {
        Self {
            whole,
            next: whole.start,
            points: (max_samples / max_series.max(1)).clamp(1, MOST_POINTS),
            // The first answer tells how many series there are: none goes beside it.
            width: 1,
            concurrency,
            max_samples,
            ceiling: MOST_POINTS,
        }
    }

    /// The next requests, to be sent together; empty when all is asked for.
    pub(super) fn wave(&self) -> Vec<Range> {
        let mut wave = Vec::new();
        let mut start = self.next;
        while start <= self.whole.end && wave.len() < self.width {
            let last = start + (self.points as i64 - 1) * self.whole.step;
            let end = last.min(self.whole.end);
            wave.push(Range {
                start,
                end,
                ..self.whole
            });
            start = end + self.whole.step;
        }
        wave
    }

    /// The request for `range` was answered with `series` series.
    pub(super) fn answered(&mut self, range: Range, series: usize) {
        self.next = range.end + range.step;
        self.width = self.concurrency.max(1);
        let most = USUAL_SAMPLES.min(self.max_samples);
        self.points = (most / series.max(1)).clamp(1, self.ceiling);
    }

    /// The request for `range` was too much for the source or for us. Whether a shorter one is worth
    /// trying.
    pub(super) fn too_much(&mut self, range: Range) -> bool {
        let points = range.points();
        if points <= 1 {
            return false;
        }
        self.ceiling = points / 2;
        self.points = self.ceiling;
        self.width = 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(points: i64) -> Range {
        Range {
            start: 600_000,
            end: 600_000 + (points - 1) * 60_000,
            step: 60_000,
        }
    }

    #[test]
    fn a_tick_is_one_request_and_no_request_exceeds_the_limit_of_prometheus() {
        let tick = Plan::new(whole(4), 5_000, 10_000_000, 4);
        assert_eq!(tick.wave(), [whole(4)]);
        let long = Plan::new(whole(30_240), 1, 10_000_000, 4);
        assert_eq!(long.wave()[0].points(), 11_000);
        let wide = Plan::new(whole(30_240), 5_000, 10_000_000, 4);
        assert_eq!(wide.wave()[0].points(), 2_000);
    }

    #[test]
    fn the_number_of_series_makes_requests_longer_and_failures_shorter() {
        let mut plan = Plan::new(whole(30_240), 5_000, 10_000_000, 3);
        let first = plan.wave()[0];
        plan.answered(first, 100);
        let wave = plan.wave();
        assert_eq!(wave.len(), 3);
        assert_eq!(wave[0].points(), 10_000);
        assert!(plan.too_much(wave[0]));
        assert_eq!(plan.wave().len(), 1);
        assert_eq!(plan.wave()[0].points(), 5_000);
        plan.answered(plan.wave()[0], 1);
        assert_eq!(
            plan.wave()[0].points(),
            5_000,
            "what was too much stays too much"
        );
        assert!(!Plan::new(whole(1), 1, 1, 1).too_much(whole(1)));
    }

    proptest! {
        #[test]
        fn every_grid_time_is_asked_for_once(
            points in 1_i64..40_000,
            series in prop::collection::vec(0_usize..3_000_000, 1..40),
            max_series in 0_usize..2_000_000,
            concurrency in 0_usize..6,
        ) {
            let all = whole(points);
            let mut plan = Plan::new(all, max_series, 10_000_000, concurrency);
            let mut counts = series.iter().cycle();
            let mut next = all.start;
            // Each wave makes progress or halves the points: it ends.
            for _ in 0..200_000 {
                let wave = plan.wave();
                if wave.is_empty() {
                    break;
                }
                for range in wave {
                    prop_assert_eq!(range.start, next);
                    prop_assert!(range.end >= range.start && range.end <= all.end);
                    prop_assert!(range.points() <= 11_000);
                    let count = *counts.next().unwrap();
                    if count % 5 == 4 && plan.too_much(range) {
                        break;
                    }
                    plan.answered(range, count);
                    next = range.end + range.step;
                }
            }
            prop_assert_eq!(next, all.end + all.step);
        }
    }
}
