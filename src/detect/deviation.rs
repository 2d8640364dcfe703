//! How far the channels of an entity are from what is expected of each, all together.
//!
//! *When*: a panel of the signals of one host or service, the default there. An incident moves many channels at
//! once, each perhaps no farther than it goes by itself now and then. It does not know which of them belong together:
//! that is `pca`, which can stand beside it. On a single series the channels are its eight newest distances. *Cost*:
//! about 4 bytes a channel for each of up to 1,778 vectors of an entity (1,000 of a single series); a step is a sum
//! over the channels, and every 222 (125) steps the channels are measured anew. *Reference*: the sum over channels of how far each is in its own tail is
//! that of Li, Zhao, Hu, Botta, Ionescu & Chen, "ECOD: unsupervised outlier detection using empirical cumulative
//! distribution functions" (TKDE 2022); it adds up logarithms of probabilities, which end at the farthest vector
//! seen, where this goes on.

use super::{
    Batch, Detector, PanelDetector, Problems, Scope,
    lags::Lagged,
    positive,
    vectors::{Calm, Learner, Reach, Rows, Vectors},
};
use crate::{
    series::{Grid, Labels, Slot},
    stats::robust,
};
use serde::Deserialize;

/// Settings of the detector.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// So many times farther out than usual scores 1 (entities of a panel).
    pub threshold: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { threshold: 3.0 }
    }
}

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        positive("threshold", self.threshold)
    }

    /// The detector of single series.
    pub fn build(&self, grid: Grid) -> Box<dyn Detector> {
        Box::new(Lagged::new(Channels, grid))
    }

    /// The detector of the entities of a panel, with a memory of so many steps.
    pub fn build_panel(&self, grid: Grid, memory: usize) -> Box<dyn PanelDetector> {
        let calm = Calm {
            scales: Calm::SCALES,
            reach: Reach::Middle {
                margin: self.threshold as f32,
                noise: NOISE,
            },
        };
        Box::new(Vectors::new(Channels, grid, memory, calm))
    }
}

/// The distance of a channel that is not passed nine times of ten is its unit: the tenth tells more of incidents
/// than of the channel.
const ORDINARY: f64 = 0.9;
/// The unit is this many scales at least: a channel that kept still for a day does not become news by moving. Between
/// 2 and 3.5 there was little difference on four hosts with 38 channels and six with 19.
const LEAST_UNIT: f32 = 2.0;
/// More units than this count as so many.
const MOST: f32 = 16.0;
/// The mean of the channels of an entity that keeps still, in units.
const NOISE: f32 = 0.25;
/// The tail of the mean begins so far from its middle at least, on a single series.
const LEAST_TAIL: f32 = 0.5;

#[derive(Debug, Clone)]
struct Channels;

impl Channels {
    /// Of one channel, in units.
    fn distance(value: f32, unit: f32) -> f32 {
        (value.abs() / unit).min(MOST)
    }
}

impl Learner for Channels {
    /// The unit of each channel, in scales.
    type Model = Vec<f32>;
    const KIND: &'static str = "deviation";
    const CLIP: f32 = 1e6;
    const FAR: f32 = 1e6;

    fn least(&self) -> f32 {
        LEAST_TAIL
    }

    fn learn(&self, rows: Rows<'_>, _turn: i64) -> Option<Vec<f32>> {
        let mut column = Vec::with_capacity(rows.len());
        let units = (0..rows.channels).map(|channel| {
            column.clear();
            column.extend(rows.iter().map(|row| row[channel].abs()));
            robust::quantile_of(&mut column, ORDINARY).max(LEAST_UNIT)
        });
        Some(units.collect())
    }

    fn rate(&self, units: &Vec<f32>, row: &[f32]) -> f32 {
        self.carried(units, row).iter().sum::<f32>() / row.len().max(1) as f32
    }

    fn carried(&self, units: &Vec<f32>, row: &[f32]) -> Vec<f32> {
        let channels = row.iter().zip(units);
        channels
            .map(|(&value, &unit)| Self::distance(value, unit))
            .collect()
    }

    fn bytes(&self, units: &Vec<f32>) -> usize {
        units.capacity() * size_of::<f32>()
    }
}

impl Detector for Lagged<Channels> {
    fn kind(&self) -> &'static str {
        Channels::KIND
    }

    fn scope(&self) -> Scope {
        Scope::Series
    }

    fn memory(&self) -> usize {
        self.memory()
    }

    fn grow(&mut self, slots: usize) {
        self.grow(slots);
    }

    fn assign(&mut self, slot: Slot, labels: &Labels) {
        self.assign(slot, labels);
    }

    fn reset(&mut self, slot: Slot) {
        self.reset(slot);
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.swap(one, other);
    }

    fn step(&mut self, batch: &Batch<'_>, out: &mut [f32]) {
        self.step(batch, out);
    }

    fn prepare(&mut self) -> bool {
        self.prepare()
    }

    fn heap_bytes(&self) -> usize {
        self.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(of: &[[f32; 3]]) -> Vec<f32> {
        let values = of.concat();
        let rows = Rows {
            values: &values,
            channels: 3,
        };
        Channels.learn(rows, 0).unwrap()
    }

    #[test]
    fn a_channel_is_measured_by_what_it_usually_does() {
        let rows: Vec<[f32; 3]> = (0..1_000)
            .map(|index| {
                let wave = (index as f32).sin();
                [0.1 * wave, 5.0 * wave, 50.0 * wave]
            })
            .collect();
        let units = learned(&rows);
        assert_eq!(units[0], LEAST_UNIT);
        assert!((units[1] / 5.0 - 0.988).abs() < 0.01, "{units:?}");
        assert!((units[2] / units[1] - 10.0).abs() < 1e-3, "{units:?}");
        let same = Channels.carried(&units, &[2.0 * units[0], 2.0 * units[1], -2.0 * units[2]]);
        assert!(same.iter().all(|one| (one - 2.0).abs() < 1e-5), "{same:?}");
    }

    #[test]
    fn an_incident_of_an_hour_does_not_become_the_measure() {
        let mut rows: Vec<[f32; 3]> = (0..1_777).map(|index| [(index as f32).sin(); 3]).collect();
        let before = learned(&rows);
        rows[900..960].fill([80.0; 3]);
        assert_eq!(learned(&rows), before);
    }

    #[test]
    fn one_wild_channel_counts_so_much_and_no_more() {
        let units = vec![2.0; 3];
        let wild = Channels.rate(&units, &[1e6, 0.0, 0.0]);
        assert_eq!(wild, MOST / 3.0);
        assert!(Channels.rate(&units, &[20.0; 3]) > wild);
    }
}
