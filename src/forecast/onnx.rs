//! A network that a person trained: any ONNX file that answers a window with the configured horizons.
//!
//! Input `(N, window, 1)`: the newest `window` values, oldest first, scaled to mean 0 and standard
//! deviation 1 (a gap is the value before it). Output `(N, horizons)`, or `(N, horizons, quantiles)` with
//! the quantiles ascending and odd in number, of which the middle one is taken: intervals are conformal
//! whatever the network says. Horizons are those of the configuration, in their order. Cost: one run of
//! the network per step, and 512 per rebuild; four bytes per value of the window.

use super::{Forecaster, ModelFiles};
use crate::{
    series::{Grid, Millis, Past, Slot, swap_rows},
    stats::network::{self, Network, NetworkFile},
};
use std::path::PathBuf;

/// A week of minutes.
const LONGEST_WINDOW: usize = 10_080;

/// Which network, and what it looks at.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The file.
    pub path: PathBuf,
    /// How many values it takes.
    pub window: usize,
}

impl Settings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if self.path.as_os_str().is_empty() {
            problems.push(("path".to_owned(), "is empty; name an ONNX file".to_owned()));
        }
        if !(2..=LONGEST_WINDOW).contains(&self.window) {
            let text = format!("{} is not within 2 to {LONGEST_WINDOW}", self.window);
            problems.push(("window".to_owned(), text));
        }
        problems
    }
}

/// The network and the newest window of each series.
#[derive(Debug)]
pub(super) struct Onnx {
    network: Network,
    /// Answers for each horizon.
    quantiles: usize,
    window: usize,
    /// By slot: a ring of `window` values.
    rings: Vec<f32>,
    /// By slot: where the oldest value is; `None` where it abstains.
    oldest: Vec<Option<usize>>,
}

impl Onnx {
    /// See [`super::ModelSettings::build`].
    pub(super) fn build(
        settings: &Settings,
        _grid: Grid,
        horizons: &[usize],
        files: &ModelFiles,
    ) -> Result<Self, String> {
        let path = settings.path.display();
        let Some(bytes) = files.get(&settings.path) else {
            return Err(format!("{path}: no such model file"));
        };
        let (network, quantiles) = load(bytes, settings.window, horizons.len())
            .map_err(|problem| format!("{path}: {problem}"))?;
        Ok(Self {
            network,
            quantiles,
            window: settings.window,
            rings: Vec::new(),
            oldest: Vec::new(),
        })
    }

    fn ring(&self, slot: Slot) -> &[f32] {
        &self.rings[slot * self.window..(slot + 1) * self.window]
    }

    /// Appends the scaled window of a series; its mean and deviation. `None` where it or half of it is unknown, and
    /// a deviation of zero where it is constant: then there is nothing to ask.
    fn scaled(&self, slot: Slot, out: &mut Vec<f32>) -> Option<(f32, f32)> {
        let oldest = self.oldest[slot]?;
        let (newer, older) = self.ring(slot).split_at(oldest);
        let values = older.iter().chain(newer).copied();
        let (mean, deviation) = network::standardised(values, self.window.div_ceil(2), out)?;
        Some((mean as f32, deviation as f32))
    }
}

/// The network, and how many quantiles it answers for each horizon.
fn load(bytes: &[u8], window: usize, horizons: usize) -> Result<(Network, usize), String> {
    let network = NetworkFile::read(bytes)?.network(&[window, 1])?;
    let values = network.answers();
    let quantiles = values / horizons.max(1);
    if quantiles * horizons != values || quantiles.is_multiple_of(2) {
        return Err(format!(
            "answers {values} values for {horizons} horizons; it must answer one for each \
             configured horizon, or an odd number of quantiles for each"
        ));
    }
    Ok((network, quantiles))
}

impl Forecaster for Onnx {
    fn kind(&self) -> &'static str {
        "onnx"
    }

    fn grow(&mut self, slots: usize) {
        self.rings.resize(slots * self.window, f32::NAN);
        self.oldest.resize(slots, None);
    }

    fn evict(&mut self, slot: Slot) {
        self.oldest[slot] = None;
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        swap_rows(&mut self.rings, self.window, one, other);
        self.oldest.swap(one, other);
    }

    fn fit(&mut self, slot: Slot, past: &Past<'_>) -> bool {
        let Some(from) = past.values.len().checked_sub(self.window) else {
            self.oldest[slot] = None;
            return false;
        };
        let range = slot * self.window..(slot + 1) * self.window;
        self.rings[range].copy_from_slice(&past.values[from..]);
        self.oldest[slot] = Some(0);
        true
    }

    fn extend(&mut self, _at: Millis, slots: &[Slot], values: &[f32]) {
        for (&slot, &value) in slots.iter().zip(values) {
            if let Some(oldest) = &mut self.oldest[slot] {
                self.rings[slot * self.window + *oldest] = value;
                *oldest = (*oldest + 1) % self.window;
            }
        }
    }

    fn predict(&self, slots: &[Slot], horizons: &[usize], out: &mut [f32]) {
        let mut windows = Vec::new();
        let scales: Vec<Option<(f32, f32)>> = slots
            .iter()
            .map(|&slot| self.scaled(slot, &mut windows))
            .collect();
        let mut answers = Vec::new();
        self.network.run(&windows, &mut answers);
        let mut answers = answers.chunks_exact(horizons.len() * self.quantiles);
        for (scale, row) in scales.into_iter().zip(out.chunks_exact_mut(horizons.len())) {
            row.fill(f32::NAN);
            match scale {
                None => {}
                Some((mean, 0.0)) => row.fill(mean),
                Some((mean, deviation)) => {
                    let answer = answers.next().unwrap_or_default();
                    let quantiles = answer.chunks_exact(self.quantiles);
                    for (out, quantiles) in row.iter_mut().zip(quantiles) {
                        // In ascending order: the middle one is the median.
                        *out = mean + deviation * quantiles[self.quantiles / 2];
                    }
                }
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        self.rings.capacity() * size_of::<f32>()
            + self.oldest.capacity() * size_of::<Option<usize>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Zone;
    use std::sync::Arc;

    #[derive(serde::Deserialize)]
    struct Answers {
        windows: Vec<Vec<f32>>,
        tiny: Vec<Vec<f32>>,
        quantiles: Vec<Vec<f32>>,
    }

    fn fixture(name: &str) -> Vec<u8> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        std::fs::read(root.join("tests/fixtures/forecast").join(name)).unwrap()
    }

    fn build(name: &str, window: usize, horizons: &[usize]) -> Result<Onnx, String> {
        let path = PathBuf::from(name);
        let files = ModelFiles::from([(path.clone(), Arc::from(fixture(name)))]);
        let settings = Settings { path, window };
        Onnx::build(&settings, Grid::new(60_000).unwrap(), horizons, &files)
    }

    /// Made by `tests/fixtures/forecast/make_onnx.py`.
    #[test]
    fn answers_as_onnxruntime_does() {
        let answers: Answers = serde_json::from_slice(&fixture("onnx.json")).unwrap();
        for (name, expected) in [
            ("tiny.onnx", &answers.tiny),
            ("quantiles.onnx", &answers.quantiles),
        ] {
            let mut onnx = build(name, 16, &[1, 5]).unwrap();
            onnx.grow(answers.windows.len());
            let slots: Vec<Slot> = (0..answers.windows.len()).collect();
            for (slot, window) in answers.windows.iter().enumerate() {
                // The first half is learnt, the second comes in step by step.
                let mut past = vec![f32::NAN; 8];
                past.extend(&window[..8]);
                let zone = Zone::default();
                let grid = Grid::new(60_000).unwrap();
                let past = Past {
                    end: 0,
                    grid,
                    values: &past,
                    seasons: &[],
                    zone: &zone,
                };
                assert!(onnx.fit(slot, &past));
                for (step, &value) in window[8..].iter().enumerate() {
                    onnx.extend(60_000 * (step as i64 + 1), &[slot], &[value]);
                }
            }
            let mut out = vec![0.0; slots.len() * 2];
            onnx.predict(&slots, &[1, 5], &mut out);
            for (got, expected) in out.chunks_exact(2).zip(expected) {
                let per_horizon = expected.len() / 2;
                for (h, got) in got.iter().enumerate() {
                    let expected = expected[h * per_horizon + per_horizon / 2];
                    assert!((got - expected).abs() < 1e-3, "{name}: {got} {expected}");
                }
            }
        }
    }

    #[test]
    fn a_file_that_cannot_serve_is_refused_with_the_reason() {
        for (name, window, horizons, part) in [
            ("unknown.onnx", 16, 2, "unknown operators: Crystalball"),
            ("tiny.onnx", 12, 2, "12"),
            ("tiny.onnx", 16, 3, "answers 2 values for 3 horizons"),
            ("onnx.json", 16, 2, "not an ONNX model"),
        ] {
            let problem = build(name, window, &vec![1; horizons]).unwrap_err();
            assert!(
                problem.starts_with(name) && problem.contains(part),
                "{problem}"
            );
        }
        let settings = Settings {
            path: "gone.onnx".into(),
            window: 16,
        };
        let grid = Grid::new(60_000).unwrap();
        let problem = Onnx::build(&settings, grid, &[1], &ModelFiles::new()).unwrap_err();
        assert_eq!(problem, "gone.onnx: no such model file");
    }

    #[test]
    fn a_constant_window_is_forecast_as_it_is_and_a_gap_is_not_a_zero() {
        let mut onnx = build("tiny.onnx", 16, &[1, 5]).unwrap();
        onnx.grow(2);
        let (grid, zone) = (Grid::new(60_000).unwrap(), Zone::default());
        let constant = [7.0_f32; 16];
        let mut gaps = [7.0_f32; 16];
        gaps[..9].fill(f32::NAN);
        for (slot, values) in [constant, gaps].iter().enumerate() {
            let past = Past {
                end: 0,
                grid,
                values,
                seasons: &[],
                zone: &zone,
            };
            onnx.fit(slot, &past);
        }
        let mut out = [0.0; 4];
        onnx.predict(&[0, 1], &[1, 5], &mut out);
        assert_eq!(out[..2], [7.0, 7.0]);
        assert!(out[2].is_nan() && out[3].is_nan());
    }
}
