//! How many robust standard deviations a value is from the median of the newest ones.
//!
//! *When*: no season, or none that matters, and noise with now and then a wild value: queues, errors, batch
//! sizes. It asks no baseline: with a seasonal one beside it, it judges the plain value. *Cost*: about 0.2 us
//! a value; eight bytes a value of the window (at most 256 of them, evenly spaced, are kept) and 20 bytes a
//! series. *Reference*: the median absolute deviation as a scale (Hampel, "The influence curve and its role
//! in robust estimation", JASA 1974; Leys et al., J. Exp. Soc. Psych. 2013). Half of the window may be wild.
//!
//! By itself the deviation of a quiet window is nothing, and every value a sensation: so the scale has a
//! floor, and the threshold rises where a series often reaches it.

use super::{
    Batch, Detector, MAX_SCORE, Problems, Scope, UNMEASURED, at_least, at_least_zero, least_scale,
    positive, share, tail::Tail,
};
use crate::{
    series::{Grid, Slot, Span},
    stats::{moving::Moving, robust},
};
use serde::Deserialize;

/// Settings of the detector.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How far back the window reaches.
    pub window: Span,
    /// So many scales (median absolute deviations, as standard deviations) score 1.
    pub threshold: f64,
    /// The scale is never smaller than this share of the range of the window.
    pub floor: f64,
    /// The scale is never taken smaller than this, in the unit of the signal.
    pub min_scale: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: Span::days(2),
            threshold: 8.0,
            floor: 0.05,
            min_scale: 0.0,
        }
    }
}

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        let mut problems = positive("window", self.window.as_millis() as f64);
        problems.extend(positive("threshold", self.threshold));
        problems.extend(share("floor", self.floor));
        problems.extend(at_least_zero("min_scale", self.min_scale));
        problems
    }

    /// The detector.
    pub fn build(&self, grid: Grid) -> Box<dyn Detector> {
        Box::new(Mad {
            threshold: self.threshold as f32,
            floor: self.floor as f32,
            min_scale: self.min_scale as f32,
            consistency: robust::mad_consistency(),
            moving: Moving::new(self.window, grid),
            states: Vec::new(),
        })
    }
}

#[derive(Debug, Clone)]
struct Mad {
    threshold: f32,
    floor: f32,
    min_scale: f32,
    consistency: f32,
    moving: Moving,
    states: Vec<State>,
}

/// One series, beside its window.
#[derive(Debug, Clone, Copy)]
struct State {
    /// Of the window as it was after its newest value; `NaN` before it is known.
    median: f32,
    /// `NaN` also where the window holds nothing but zeros.
    scale: f32,
    tail: Tail,
}

impl State {
    fn new(threshold: f32) -> Self {
        Self {
            median: f32::NAN,
            scale: f32::NAN,
            tail: Tail::new(threshold),
        }
    }

    /// The distance from the median in scales; `NaN` where the value is missing or the window not known.
    fn distance(&self, value: f32, min_scale: f32, threshold: f32) -> f32 {
        let away = (value - self.median).abs();
        let scale = self.scale.max(min_scale);
        match () {
            () if away.is_nan() || !value.is_finite() => f32::NAN,
            () if away == 0.0 => 0.0,
            () if scale > 0.0 => away / scale,
            () => UNMEASURED * threshold,
        }
    }
}

impl Detector for Mad {
    fn kind(&self) -> &'static str {
        "mad"
    }

    fn scope(&self) -> Scope {
        Scope::Series
    }

    fn memory(&self) -> usize {
        self.moving.memory() + Tail::MEMORY
    }

    fn grow(&mut self, slots: usize) {
        self.moving.grow(slots);
        let state = State::new(self.threshold);
        self.states.resize(slots.max(self.states.len()), state);
    }

    fn reset(&mut self, slot: Slot) {
        self.moving.reset(slot);
        self.states[slot] = State::new(self.threshold);
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.moving.swap(one, other);
        self.states.swap(one, other);
    }

    fn step(&mut self, batch: &Batch<'_>, out: &mut [f32]) {
        for (index, &slot) in batch.slots.iter().enumerate() {
            let value = batch.values[index];
            let state = &mut self.states[slot];
            let distance = state.distance(value, self.min_scale, self.threshold);
            out[index] = match distance {
                distance if distance.is_nan() => f32::NAN,
                distance => state.tail.score(distance, self.threshold).min(MAX_SCORE),
            };
            if let Some(held) = self.moving.take(slot, batch.at, value) {
                state.median = held.quantile(0.5);
                let deviation = held.deviation(state.median) * self.consistency;
                state.scale = at_least(deviation, least_scale(held.sorted(), self.floor));
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        self.moving.heap_bytes() + self.states.capacity() * size_of::<State>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::tests::alone;

    /// Twelve uniform values make a normal one.
    fn noise(count: usize) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(3);
        (0..count)
            .map(|_| (0..12).map(|_| random.f32()).sum::<f32>() - 6.0)
            .collect()
    }

    fn scores(settings: &Settings, values: &[f32]) -> Vec<f32> {
        alone(settings.build(Grid::new(300_000).unwrap()), values)
    }

    #[test]
    fn the_threshold_is_in_standard_deviations_of_the_bulk() {
        let mut values = noise(1_000);
        // A tenth is wild, now and then: it moves neither median nor deviation by much.
        values.iter_mut().step_by(10).for_each(|value| *value = 5.0);
        values[995] = -16.0;
        let score = scores(&Settings::default(), &values)[995];
        assert!((1.4..2.1).contains(&score), "{score}");
    }

    /// Made by `tests/fixtures/detect/make.py`.
    const REFERENCE: &str = include_str!("../../tests/fixtures/detect/mad.json");

    #[derive(serde::Deserialize)]
    struct Reference {
        values: Vec<f32>,
        probes: Vec<f32>,
        distances: Vec<f32>,
    }

    /// Made by `tests/fixtures/detect/make_pyod.py`.
    const PYOD: &str = include_str!("../../tests/fixtures/detect/pyod.json");

    #[derive(serde::Deserialize)]
    struct Pyod {
        mad: Vec<f32>,
    }

    #[test]
    fn agrees_with_scipy_and_pyod() {
        let reference: Reference = serde_json::from_str(REFERENCE).unwrap();
        let pyod: Pyod = serde_json::from_str(PYOD).unwrap();
        assert_eq!(pyod.mad.len(), reference.probes.len());
        for (pyod, scipy) in pyod.mad.iter().zip(&reference.distances) {
            // PyOD has four digits of the factor of the scale.
            assert!(
                (pyod - scipy).abs() < 1e-4 * (1.0 + scipy),
                "{pyod}, {scipy}"
            );
        }
        // A window that holds all of the values, no floor, and a threshold that no distance comes near: the
        // tail has nothing to get used to.
        let settings = Settings {
            window: Span::minutes(5 * reference.values.len() as i64),
            threshold: 1e6,
            floor: 0.0,
            min_scale: 0.0,
        };
        for (&probe, &theirs) in reference.probes.iter().zip(&reference.distances) {
            let mut values = reference.values.clone();
            values.push(probe);
            let ours = 1e6 * scores(&settings, &values)[values.len() - 1];
            assert!(
                (ours - theirs).abs() < 1e-4 * (1.0 + theirs),
                "{ours}, not {theirs}"
            );
        }
        assert!(reference.probes.len() > 5);
    }

    #[test]
    fn no_score_before_half_a_window() {
        let scores = scores(&Settings::default(), &noise(600));
        let first = scores.iter().position(|score| score.is_finite());
        assert_eq!(first, Some(286));
    }

    #[test]
    fn a_quiet_window_has_a_scale_all_the_same() {
        // Mostly one value, seldom another: the deviation is 0, the floor half of the only difference.
        let mut values = vec![3.0; 1_000];
        values.iter_mut().step_by(40).for_each(|value| *value = 4.0);
        values[995] = 7.0;
        let scores = scores(&Settings::default(), &values);
        assert!(scores[300..995].iter().all(|score| *score <= 0.25));
        assert!((scores[995] - 1.0).abs() < 1e-3, "{}", scores[995]);
    }

    #[test]
    fn the_first_error_of_a_series_of_zeros_is_news_of_unknown_size() {
        let mut values = vec![0.0; 600];
        values[500] = 40.0;
        let scores = scores(&Settings::default(), &values);
        assert_eq!((scores[499], scores[500]), (0.0, UNMEASURED));
        let known = Settings {
            min_scale: 10.0,
            ..Settings::default()
        };
        assert_eq!(self::scores(&known, &values)[500], 0.5);
    }
}
