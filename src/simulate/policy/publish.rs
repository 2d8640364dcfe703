//! The way of a published number: Prometheus scrapes it, KEDA polls it, the HPA reads what KEDA has.

use super::{Metric, Size};
use crate::simulate::Parameters;
use std::collections::VecDeque;

/// Numbers on their way.
#[derive(Debug, Clone)]
pub(super) struct Delayed {
    scraped_after: usize,
    poll: usize,
    /// When each can be polled, and the number; `NaN` where there was none.
    under_way: VecDeque<(usize, f64)>,
    polled: Option<f64>,
}

impl Delayed {
    pub(super) fn new(parameters: &Parameters) -> Self {
        Self {
            scraped_after: parameters.ticks(parameters.publish),
            poll: parameters.ticks(parameters.poll),
            under_way: VecDeque::new(),
            polled: None,
        }
    }

    /// Publishes a sum, in replicas (nothing where it is not known), and gives the metric that the HPA reads at the same time.
    pub(super) fn step(&mut self, tick: usize, sum: Option<f64>) -> Metric {
        self.under_way
            .push_back((tick + self.scraped_after, sum.unwrap_or(f64::NAN)));
        while self.under_way.len() > 1 && self.under_way[1].0 <= tick {
            self.under_way.pop_front();
        }
        if tick.is_multiple_of(self.poll) {
            let newest = self.under_way.front().filter(|(at, _)| *at <= tick);
            self.polled = newest.map(|(_, sum)| *sum);
        }
        match self.polled {
            Some(sum) if sum.is_finite() => Metric::Average { sum, target: 1.0 },
            _ => Metric::Failed,
        }
    }
}

/// Sizes on their way, as sums that an HPA with a tolerance follows.
#[derive(Debug, Clone)]
pub(super) struct Published {
    delayed: Delayed,
    tolerance: f64,
}

impl Published {
    pub(super) fn new(parameters: &Parameters) -> Self {
        Self {
            delayed: Delayed::new(parameters),
            tolerance: parameters.following_tolerance,
        }
    }

    /// Publishes `replicas` (nothing where that is not known) and gives the metric that the HPA reads at the same time.
    pub(super) fn step(&mut self, tick: usize, size: Size, replicas: Option<u32>) -> Metric {
        let sum = replicas.map(|wanted| compensated(wanted, size.wanted, self.tolerance));
        self.delayed.step(tick, sum)
    }
}

/// The sum that makes an HPA of this tolerance arrive at no less than `wanted`: a step up that is too small to be taken is made just large
/// enough.
fn compensated(wanted: u32, current: u32, tolerance: f64) -> f64 {
    let (wanted, current) = (f64::from(wanted), f64::from(current));
    let taken = current * (1.0 + tolerance);
    if wanted > current && wanted <= taken {
        (taken + 1e-9).floor() + 1.0
    } else {
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::autoscaler::{Autoscaler, Settings};

    fn size(replicas: u32) -> Size {
        Size {
            wanted: replicas,
            existing: replicas,
            ready: replicas,
        }
    }

    #[test]
    fn a_number_waits_for_a_scrape_and_a_poll() {
        let mut published = Delayed::new(&Parameters::built_in().unwrap());
        let seen: Vec<Metric> = (0..6)
            .map(|tick| published.step(tick, Some(100.0 + tick as f64)))
            .collect();
        let sum = |sum| Metric::Average { sum, target: 1.0 };
        assert_eq!(
            seen,
            [
                Metric::Failed,
                Metric::Failed,
                sum(101.0),
                sum(101.0),
                sum(103.0),
                sum(103.0)
            ]
        );
        assert_eq!(published.step(6, None), sum(105.0));
        published.step(7, Some(9.0));
        assert_eq!(published.step(8, Some(9.0)), sum(9.0));
    }

    #[test]
    fn absent_is_a_failed_metric() {
        let mut published = Delayed::new(&Parameters::built_in().unwrap());
        published.step(0, Some(5.0));
        published.step(1, None);
        assert_eq!(published.step(2, None), Metric::Failed);
    }

    #[test]
    fn no_tolerance_keeps_an_autoscaler_below_what_is_wanted() {
        for current in 1..60 {
            for wanted in current..current + 12 {
                let sum = compensated(wanted, current, 0.1);
                let next = Autoscaler::new(Settings::new(1, 1_000)).sync(
                    0,
                    size(current),
                    &[Metric::Average { sum, target: 1.0 }],
                );
                let most = (f64::from(current) * 1.1 + 1.0) as u32;
                assert!(
                    next >= wanted.min((2 * current).max(current + 4)),
                    "{current} to {wanted}: {next}"
                );
                assert!(next <= wanted.max(most), "{current} to {wanted}: {next}");
            }
        }
    }
}
