//! How far a value is outside the quantiles of the newest ones, each side measured by itself.
//!
//! *When*: skewed or heavy-tailed series such as latencies, error counts, queue lengths, where a symmetric
//! scale is too narrow above and too wide below; `log: true` where the tail reaches over powers of ten.
//! *Cost*: about 0.2 us a value; eight bytes a value of the window (at most 256 of them, evenly spaced, are
//! kept) and 40 bytes a series. *Reference*: sample quantiles (R's type 7); the distance beyond a quantile in
//! units of the quantile's own distance from the median is the fence of an asymmetric box plot, with
//! half-spreads instead of one (Hubert & Vandervieren, "An adjusted boxplot for skewed distributions", 2008).

use super::{
    Batch, Detector, MAX_SCORE, Problems, Scope, UNMEASURED, at_least, least_scale, positive,
    share, tail::Tail,
};
use crate::{
    series::{Grid, Slot, Span},
    stats::moving::Moving,
};
use serde::Deserialize;

/// Settings of the detector.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How far back the window reaches.
    pub window: Span,
    /// Values below this quantile are judged by how far they are below it.
    pub lower: f64,
    /// Values above this quantile are judged by how far they are above it.
    pub upper: f64,
    /// So many times the quantile's distance from the median beyond the quantile scores 1.
    pub threshold: f64,
    /// That distance is never smaller than this share of the range of the window.
    pub floor: f64,
    /// Looks at `ln(1 + value)` (of the size, where a value is negative) instead of the value. The unit should
    /// be one in which ordinary values are above 1: below it the logarithm does next to nothing.
    pub log: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: Span::days(1),
            lower: 0.05,
            upper: 0.95,
            threshold: 3.0,
            floor: 0.05,
            log: false,
        }
    }
}

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        let mut problems = positive("window", self.window.as_millis() as f64);
        if !(self.lower > 0.0 && self.lower < 0.5) {
            let text = format!("{} is not allowed; allowed: above 0, below 0.5", self.lower);
            problems.push(("lower".into(), text));
        }
        if !(self.upper > 0.5 && self.upper < 1.0) {
            let text = format!("{} is not allowed; allowed: above 0.5, below 1", self.upper);
            problems.push(("upper".into(), text));
        }
        problems.extend(positive("threshold", self.threshold));
        problems.extend(share("floor", self.floor));
        problems
    }

    /// The detector.
    pub fn build(&self, grid: Grid) -> Box<dyn Detector> {
        Box::new(Quantile {
            settings: self.clone(),
            threshold: self.threshold as f32,
            moving: Moving::new(self.window, grid),
            states: Vec::new(),
        })
    }
}

#[derive(Debug, Clone)]
struct Quantile {
    settings: Settings,
    threshold: f32,
    moving: Moving,
    states: Vec<State>,
}

/// One series, beside its window. The ends are those of the window as it was after its newest value.
#[derive(Debug, Clone, Copy)]
struct State {
    below: End,
    above: End,
}

/// One end of the band.
#[derive(Debug, Clone, Copy)]
struct End {
    /// The quantile; `NaN` before the window is known.
    edge: f32,
    /// Its distance from the median; `NaN` where the window holds nothing but zeros.
    reach: f32,
    tail: Tail,
}

impl End {
    fn new(threshold: f32) -> Self {
        Self {
            edge: f32::NAN,
            reach: f32::NAN,
            tail: Tail::new(threshold),
        }
    }

    fn set(&mut self, edge: f32, median: f32, floor: f32) {
        self.edge = edge;
        self.reach = at_least((edge - median).abs(), floor);
    }

    /// `outside` is the distance beyond the edge, negative inside; both are `NaN` where nothing is known.
    fn score(&mut self, outside: f32, threshold: f32) -> f32 {
        let distance = match outside {
            outside if outside.is_nan() => return f32::NAN,
            outside if outside <= 0.0 => 0.0,
            outside if self.reach > 0.0 => outside / self.reach,
            _ => UNMEASURED * threshold,
        };
        self.tail.score(distance, threshold)
    }
}

/// The logarithm of one more than the size, with the sign of `value`.
fn compress(value: f32) -> f32 {
    value.abs().ln_1p().copysign(value)
}

impl Detector for Quantile {
    fn kind(&self) -> &'static str {
        "quantile"
    }

    fn scope(&self) -> Scope {
        Scope::Series
    }

    fn memory(&self) -> usize {
        self.moving.memory() + Tail::MEMORY
    }

    fn grow(&mut self, slots: usize) {
        self.moving.grow(slots);
        let end = End::new(self.threshold);
        let state = State {
            below: end,
            above: end,
        };
        self.states.resize(slots.max(self.states.len()), state);
    }

    fn reset(&mut self, slot: Slot) {
        self.moving.reset(slot);
        let end = End::new(self.threshold);
        self.states[slot] = State {
            below: end,
            above: end,
        };
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.moving.swap(one, other);
        self.states.swap(one, other);
    }

    fn step(&mut self, batch: &Batch<'_>, out: &mut [f32]) {
        let Settings {
            lower,
            upper,
            floor,
            ..
        } = self.settings;
        for (index, &slot) in batch.slots.iter().enumerate() {
            let value = match batch.values[index] {
                value if !value.is_finite() => f32::NAN,
                value if self.settings.log => compress(value),
                value => value,
            };
            let State { below, above } = &mut self.states[slot];
            let low = below.score(below.edge - value, self.threshold);
            let high = above.score(value - above.edge, self.threshold);
            // Both are `NaN` or neither is.
            out[index] = if low.is_nan() {
                f32::NAN
            } else {
                low.max(high).min(MAX_SCORE)
            };
            if let Some(held) = self.moving.take(slot, batch.at, value) {
                let median = held.quantile(0.5);
                let floor = least_scale(held.sorted(), floor as f32);
                below.set(held.quantile(lower), median, floor);
                above.set(held.quantile(upper), median, floor);
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

    fn scores(settings: &Settings, values: &[f32]) -> Vec<f32> {
        alone(settings.build(Grid::new(300_000).unwrap()), values)
    }

    /// From 0 to 100 evenly, then to 1,000: a long tail above.
    fn skewed(count: usize) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(4);
        (0..count)
            .map(|_| 100.0 * random.f32() + f32::from(random.u8(..) < 24) * 900.0 * random.f32())
            .collect()
    }

    #[test]
    fn each_side_is_measured_by_its_own_half() {
        let mut values = skewed(1_200);
        (values[1_000], values[1_100]) = (-600.0, 700.0);
        let scores = scores(&Settings::default(), &values);
        // The same distance from the median, about 50: below it is ten halves away, above it is ordinary.
        assert!(scores[1_000] > 2.0, "{}", scores[1_000]);
        assert!(scores[1_100] < 0.5, "{}", scores[1_100]);
    }

    #[test]
    fn the_score_is_the_distance_beyond_the_quantile_in_its_own_units() {
        // 0 to 99 again and again: the quantiles are known, and the newest value of the window is not of it.
        let mut values: Vec<f32> = (0..1_000).map(|step| (step * 37 % 100) as f32).collect();
        values[900] = 94.0 + 3.0 * 45.0;
        let score = scores(&Settings::default(), &values)[900];
        assert!((score - 1.0).abs() < 0.05, "{score}");
        assert_eq!(scores(&Settings::default(), &values)[901], 0.0);
    }

    #[test]
    fn in_logarithms_ten_times_as_much_is_one_step() {
        // Five powers of ten, the logarithms about normal; and one value far beyond them.
        let mut random = fastrand::Rng::with_seed(6);
        let mut values: Vec<f32> = (0..1_200)
            .map(|_| 10_f32.powf(1.0 + (0..4).map(|_| random.f32()).sum::<f32>() * 1.2))
            .collect();
        values[1_000] = 1e10;
        let log = Settings {
            log: true,
            ..Settings::default()
        };
        let (plain, log) = (scores(&Settings::default(), &values), scores(&log, &values));
        let loud = |scores: &[f32]| {
            scores[..1_000]
                .iter()
                .filter(|score| **score >= 1.0)
                .count()
        };
        assert!(loud(&plain) > 0);
        assert_eq!(loud(&log), 0);
        assert!(log[1_000] >= 1.0, "{}", log[1_000]);
        assert_eq!((compress(0.0), compress(-9.0)), (0.0, -compress(9.0)));
    }
}
