//! The way of a published number: Prometheus scrapes it, KEDA polls it, the HPA reads what KEDA has.

use super::{Metric, Size};
use crate::simulate::Parameters;
use std::collections::VecDeque;

/// Numbers on their way.
#[derive(Debug, Clone)]
pub(super) struct Published {
    scraped_after: usize,
    poll: usize,
    tolerance: f64,
    /// When each can be polled, and the number.
    under_way: VecDeque<(usize, f64)>,
    polled: Option<f64>,
}

impl Published {
    pub(super) fn new(parameters: &Parameters) -> Self {
        Self {
            scraped_after: parameters.ticks(parameters.publish),
            poll: parameters.ticks(parameters.poll),
            tolerance: parameters.tolerance,
            under_way: VecDeque::new(),
            polled: None,
        }
    }

    /// Publishes `replicas` (nothing where that is not known) and gives the metric that the HPA reads at the same time.
    pub(super) fn step(&mut self, tick: usize, size: Size, replicas: Option<u32>) -> Metric {
        let value = replicas.map_or(f64::NAN, |wanted| {
            compensated(wanted, size.wanted, self.tolerance)
        });
        self.under_way.push_back((tick + self.scraped_after, value));
        while self.under_way.len() > 1 && self.under_way[1].0 <= tick {
            self.under_way.pop_front();
        }
        if tick.is_multiple_of(self.poll) {
            self.polled = self
                .under_way
                .front()
                .filter(|(at, _)| *at <= tick)
                .map(|(_, value)| *value);
        }
        match self.polled {
            Some(sum) if sum.is_finite() => Metric::Average { sum, target: 1.0 },
            _ => Metric::Failed,
        }
    }
}

/// The sum that makes an HPA of this tolerance arrive at no less than `wanted`: a step up that is too small to be taken is made just large
/// enough.
fn compensated(wanted: u32, current: u32, tolerance: f64) -> f64 {
    let (wanted, current) = (f64::from(wanted), f64::from(current));
    let taken = current * (1.0 + tolerance);
    if wanted > current && wanted <= taken {
        (taken + 1e-6).floor() + 1.0
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
        let mut published = Published::new(&Parameters::built_in().unwrap());
        let seen: Vec<Metric> = (0..6)
            .map(|tick| published.step(tick, size(1), Some(100 + tick as u32)))
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
        assert_eq!(published.step(6, size(1), None), sum(105.0));
        published.step(7, size(1), Some(9));
        assert_eq!(published.step(8, size(1), Some(9)), sum(9.0));
    }

    #[test]
    fn absent_is_a_failed_metric() {
        let mut published = Published::new(&Parameters::built_in().unwrap());
        published.step(0, size(1), Some(5));
        published.step(1, size(1), None);
        assert_eq!(published.step(2, size(1), None), Metric::Failed);
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
