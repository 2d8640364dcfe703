//! As many distinct series as wanted, cheap to compute: for tests of scale and benches.

use super::{Dataset, SCRAPE, noise};
use crate::series::{Labels, Millis};
use std::f64::consts::TAU;

/// The name of the generated metric.
pub const NAME: &str = "synthetic_requests:rate2m";

/// Minutes of a day: the season is looked up in a table of so many values.
const DAY_MINUTES: usize = 1_440;

/// Generated series: a level, a daily season and noise, each its own.
#[derive(Debug)]
pub struct Generated {
    seed: u64,
    labels: Vec<Labels>,
    day: Vec<f64>,
}

impl Generated {
    /// `count` series named [`NAME`] with the labels `namespace` (a hundred of them) and `deployment`.
    pub fn new(count: usize, seed: u64) -> Self {
        let labels = (0..count).filter_map(|index| {
            let namespace = format!("team-{:02}", index % 100);
            let deployment = format!("app-{index:06}");
            let pairs = [
                ("__name__", NAME.to_owned()),
                ("deployment", deployment),
                ("namespace", namespace),
            ];
            Labels::new(pairs).ok()
        });
        let day = (0..DAY_MINUTES).map(|minute| {
            let turn = TAU * minute as f64 / DAY_MINUTES as f64;
            -0.4 * turn.cos() - 0.15 * (2.0 * turn).cos()
        });
        Self {
            seed,
            labels: labels.collect(),
            day: day.collect(),
        }
    }
}

impl Dataset for Generated {
    fn labels(&self) -> &[Labels] {
        &self.labels
    }

    fn value(&self, series: usize, at: Millis) -> Option<f64> {
        let own = noise::hash(self.seed, series as i64);
        let level = 20.0 + (own % 1_000) as f64;
        let late = (own >> 10) as usize % 180;
        let minute = at.div_euclid(60_000).rem_euclid(DAY_MINUTES as i64);
        let season = self.day[(usize::try_from(minute).ok()? + late) % DAY_MINUTES];
        let noise = noise::normal(own, at.div_euclid(SCRAPE));
        Some(level * (1.0 + season + 0.05 * noise))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_distinct_positive_and_seasonal() {
        let generated = Generated::new(300, 1);
        assert_eq!(generated.labels().len(), 300);
        for series in 0..300 {
            let at = |minute: i64| generated.value(series, minute * 60_000).unwrap();
            assert!((0..1_440).step_by(10).all(|minute| at(minute) > 0.0));
            assert!(at(640) > at(1_350));
        }
        assert_ne!(generated.value(0, 0), generated.value(1, 0));
    }
}
