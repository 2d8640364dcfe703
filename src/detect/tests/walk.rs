//! Scores a series as the engine does: at each epoch the state is derived from the past alone.

use crate::{
    baseline::{self, Band, Baseline},
    detect::{self, Batch, Detector},
    series::{Grid, Millis, Past, Zone},
    stats::season,
};

const DAY: Millis = 86_400_000;

pub(super) struct Walk {
    grid: Grid,
    baseline: Box<dyn Baseline>,
    detectors: Vec<Box<dyn Detector>>,
}

pub(super) struct Scored {
    pub(super) bands: Vec<Band>,
    /// By detector.
    pub(super) scores: Vec<Vec<f32>>,
}

impl Walk {
    pub(super) fn new(
        grid: Grid,
        baseline: &baseline::Settings,
        detectors: &[detect::Settings],
    ) -> Self {
        let mut walk = Self {
            grid,
            baseline: baseline.build(grid),
            detectors: detectors.iter().map(|one| one.build(grid)).collect(),
        };
        walk.baseline.grow(1);
        walk.detectors.iter_mut().for_each(|one| one.grow(1));
        walk
    }

    /// `values[i]` is at grid time `start + i * step`.
    pub(super) fn score(&mut self, start: Millis, values: &[f32]) -> Scored {
        let mut scored = Scored {
            bands: Vec::new(),
            scores: vec![Vec::new(); self.detectors.len()],
        };
        for (index, &value) in values.iter().enumerate() {
            let at = start + index as i64 * self.grid.step();
            let young = index >= 16 && index % 16 == 0 && (index / 16).is_power_of_two();
            if young || (index > 0 && at % DAY == 0) {
                self.rebuild(at, &values[..index]);
            }
            let (band, scores) = self.step(at, value);
            scored.bands.push(band);
            for (column, score) in scored.scores.iter_mut().zip(scores) {
                column.push(score);
            }
        }
        scored
    }

    /// As [`Walk::score`], without epochs.
    pub(super) fn go_on(&mut self, start: Millis, values: &[f32]) -> Scored {
        let mut scored = Scored {
            bands: Vec::new(),
            scores: vec![Vec::new(); self.detectors.len()],
        };
        for (index, &value) in values.iter().enumerate() {
            let (band, scores) = self.step(start + index as i64 * self.grid.step(), value);
            scored.bands.push(band);
            for (column, score) in scored.scores.iter_mut().zip(scores) {
                column.push(score);
            }
        }
        scored
    }

    /// Teaches a baseline `values` that begin at the epoch.
    pub(super) fn fit(baseline: &mut dyn Baseline, slot: usize, grid: Grid, values: &[f32]) {
        let seasons = season::detect(values, grid);
        let past = Past {
            end: (values.len() as i64 - 1) * grid.step(),
            grid,
            values,
            seasons: &seasons,
            zone: &Zone::default(),
        };
        baseline.fit(slot, &past);
    }

    pub(super) fn rebuild(&mut self, at: Millis, values: &[f32]) {
        // As configured by default; a coarser step comes with a longer history.
        let most = self.grid.steps(18 * DAY).max(5_000);
        let values = &values[values.len().saturating_sub(most)..];
        self.fit_baseline(at, values);
        let time = |index: usize| at - (values.len() - index) as i64 * self.grid.step();
        let start = time(0);
        self.detectors.iter_mut().for_each(|one| one.reset(0));
        for (index, &value) in values.iter().enumerate() {
            self.step(start + index as i64 * self.grid.step(), value);
        }
    }

    /// Teaches the baseline alone, as at an epoch; `at` is the grid time after the last value.
    pub(super) fn fit_baseline(&mut self, at: Millis, values: &[f32]) {
        let seasons = season::detect(values, self.grid);
        let past = Past {
            end: at - self.grid.step(),
            grid: self.grid,
            values,
            seasons: &seasons,
            zone: &Zone::default(),
        };
        self.baseline.fit(0, &past);
    }

    fn step(&mut self, at: Millis, value: f32) -> (Band, Vec<f32>) {
        let mut bands = [Band::UNKNOWN];
        self.baseline.expect(at, &[0], &mut bands);
        let batch = Batch {
            at,
            slots: &[0],
            values: &[value],
            bands: &bands,
        };
        let scores = self
            .detectors
            .iter_mut()
            .map(|one| {
                let mut out = [f32::NAN];
                one.step(&batch, &mut out);
                out[0]
            })
            .collect();
        self.baseline.observe(at, &[0], &[value]);
        (bands[0], scores)
    }
}
