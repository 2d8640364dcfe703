//! How badly a network that knows ordinary shapes redraws the newest window.
//!
//! The network sees the newest values of a series, scaled to mean 0 and deviation 1, and answers the course that it
//! takes to be beneath them; the error is the root mean square of what the newest eighth of the window differs from
//! it by, in the unit of the series. What counts is how far the error leaves the range it had for this series.
//!
//! *When*: spikes, breaks and bursts in what else runs smoothly, whatever its season, as a second vote; or with a
//! network of your own (`path`) that was trained on what your series look like on good days. *Cost*: about 13 us a
//! value where a series is derived from its past (three weeks of minutes take 0.4 s at an epoch), 2.4 us where those of
//! a shard go on together, and 300 bytes a series: for some hundreds of series.
//! *Reference*: Sakurada & Yairi, "Anomaly detection using autoencoders with nonlinear dimensionality reduction"
//! (MLSDA 2014); the network that comes with the program is a denoising one (Vincent et al., ICML 2008) of 64-32-8-32-64
//! units, trained by `tests/fixtures/autoencoder/train.py` on synthetic windows.
//!
//! A network of your own is an ONNX file with an input `(N, window)` or `(N, window, 1)` and an output with as many
//! values: the newest value is the last, a gap is a straight line. It sees one window at a time, so it may be of
//! any kind; the fixed length of the window is read from the file.

use super::{Batch, Detector, Problems, Scope, is_usable, novelty::Ceiling, positive};
use crate::{
    series::{Grid, Slot, swap_rows},
    stats::{
        network::{self, ModelFiles, Network, NetworkFile},
        robust,
    },
};
use serde::Deserialize;
use std::{
    path::PathBuf,
    sync::{Arc, LazyLock},
};

/// This share of the deviation of the window is no news: what nobody would see in a chart.
const SLACK: f32 = 0.02;
/// Nor is this share of the least step in the window: of rare counts, two among the newest values and once three are
/// no different kinds of behaviour.
const GRAIN: f32 = 0.15;
/// The error is that of this share of the window, the newest: that of all of it alarms for as long as an incident is
/// in the window, that of the newest value alone misses what is wrong with a few.
const JUDGED: usize = 8;
/// Where more than this share of the window is missing, too much of it is made up.
const MISSING: usize = 4;
/// A shorter window has no shape.
const SHORTEST: usize = 8;
/// Every series keeps its window.
const LONGEST: usize = 1_024;

/// The model of those who name none.
const DEFAULT_MODEL: &[u8] = include_bytes!("autoencoder/default.onnx");

/// Loaded once: every shard and every copy runs the same.
static DEFAULT: LazyLock<Option<Arc<Network>>> =
    LazyLock::new(|| load(DEFAULT_MODEL).ok().map(Arc::new));

/// Settings of the detector.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// An ONNX file; the model that comes with the program where left out.
    pub path: Option<PathBuf>,
    /// An error this far outside of its range, as a share of the width of the range, scores 1.
    pub novelty: f64,
    #[serde(skip)]
    model: Model,
}

/// The content of the file that the settings name.
#[derive(Debug, Clone, Default)]
enum Model {
    /// It was not read yet.
    #[default]
    Unread,
    Loaded(Arc<Network>),
}

impl PartialEq for Model {
    /// Settings are the same whether their file was read or not.
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: None,
            novelty: 0.07,
            model: Model::Unread,
        }
    }
}

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        let mut problems = positive("novelty", self.novelty);
        if self
            .path
            .as_ref()
            .is_some_and(|path| path.as_os_str().is_empty())
        {
            let text = "is empty; allowed: the name of an ONNX file".to_owned();
            problems.push(("path".into(), text));
        }
        problems
    }

    /// Takes the model out of the files that were read.
    ///
    /// # Errors
    /// What is wrong with the file, or that it was not read.
    pub fn load(&mut self, files: &ModelFiles) -> Result<(), String> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let name = path.display();
        let bytes = files
            .get(path)
            .ok_or_else(|| format!("{name}: no such model file"))?;
        let network = load(bytes).map_err(|problem| format!("{name}: {problem}"))?;
        self.model = Model::Loaded(Arc::new(network));
        Ok(())
    }

    /// The detector; one whose file was not loaded abstains.
    pub fn build(&self, grid: Grid) -> Box<dyn Detector> {
        let network = match (&self.path, &self.model) {
            (None, _) => DEFAULT.clone(),
            (Some(_), Model::Loaded(network)) => Some(Arc::clone(network)),
            (Some(_), Model::Unread) => None,
        };
        Box::new(Autoencoder {
            window: network.as_ref().map_or(0, |network| network.answers()),
            network,
            novelty: self.novelty as f32,
            grid,
            states: Vec::new(),
            values: Vec::new(),
            asked: Vec::new(),
            newest: Vec::new(),
            rows: Vec::new(),
            answers: Vec::new(),
        })
    }
}

/// A network that answers a window with a window.
fn load(bytes: &[u8]) -> Result<Network, String> {
    let file = NetworkFile::read(bytes)?;
    let shape = file.row_shape().unwrap_or_default();
    let window = match shape[..] {
        [window] | [window, 1] => window,
        _ => {
            return Err("its input is not of the shape (N, window) with a fixed window".to_owned());
        }
    };
    if !(SHORTEST..=LONGEST).contains(&window) {
        return Err(format!(
            "takes a window of {window} values; allowed: {SHORTEST} to {LONGEST}"
        ));
    }
    let network = file.network(&shape)?;
    if network.answers() != window {
        return Err(format!(
            "answers {} values to a window of {window}; it must answer the window",
            network.answers()
        ));
    }
    Ok(network)
}

#[derive(Debug, Clone)]
struct Autoencoder {
    /// `None` where its file was not read.
    network: Option<Arc<Network>>,
    window: usize,
    novelty: f32,
    grid: Grid,
    states: Vec<State>,
    /// Per slot the newest `window` values, a ring; `NaN` where missing.
    values: Vec<f32>,
    /// Who is judged. Kept for its memory, as are the others.
    asked: Vec<Asked>,
    /// The window at hand.
    newest: Vec<f32>,
    /// The windows of those of them that move, scaled.
    rows: Vec<f32>,
    /// What the network makes of them.
    answers: Vec<f32>,
}

/// A window that is judged.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// Of its series in the batch.
    position: usize,
    /// 0 where nothing moves: no row is asked about then.
    deviation: f64,
    /// The error may exceed its range by so much.
    slack: f32,
}

/// One series, beside its values.
#[derive(Debug, Clone, Copy)]
struct State {
    /// Where in the ring the next value goes.
    next: usize,
    errors: Ceiling,
}

impl State {
    const NEW: Self = Self {
        next: 0,
        errors: Ceiling::EMPTY,
    };
}

impl Autoencoder {
    fn push(&mut self, slot: Slot, value: f32) {
        let state = &mut self.states[slot];
        let kept = if is_usable(value) { value } else { f32::NAN };
        self.values[slot * self.window + state.next] = kept;
        state.next = (state.next + 1) % self.window;
    }

    /// Appends the window of a series to the rows, unless nothing moves; `None` where too much is missing.
    fn ask(&mut self, position: usize, slot: Slot) -> Option<Asked> {
        let ring = &self.values[slot * self.window..][..self.window];
        let (newer, older) = ring.split_at(self.states[slot].next);
        self.newest.clear();
        self.newest.extend(older.iter().chain(newer));
        let missing = self.newest.iter().filter(|value| value.is_nan()).count();
        if missing > self.window / MISSING {
            return None;
        }
        bridge(&mut self.newest);
        let values = self.newest.iter().copied();
        let (_, deviation) = network::standardised(values, self.window, &mut self.rows)?;
        self.newest.sort_unstable_by(f32::total_cmp);
        let (_, least_step) = robust::range_and_quantum_of_sorted(&self.newest)?;
        Some(Asked {
            position,
            deviation,
            slack: SLACK * deviation as f32 + GRAIN * least_step,
        })
    }

    /// Takes in the values of a batch, and asks about those that can be judged.
    fn take(&mut self, batch: &Batch<'_>) {
        self.asked.clear();
        self.rows.clear();
        let index = self.grid.index(batch.at);
        for (position, &slot) in batch.slots.iter().enumerate() {
            self.states[slot].errors.pass(index);
            self.push(slot, batch.values[position]);
            if is_usable(batch.values[position])
                && let Some(asked) = self.ask(position, slot)
            {
                self.asked.push(asked);
            }
        }
    }
}

/// Puts a straight line where values are missing: the last one held would be a shape of its own. Before the first
/// known value it is level; the newest value is known.
fn bridge(values: &mut [f32]) {
    let mut before: Option<usize> = None;
    for place in 0..values.len() {
        if values[place].is_nan() {
            continue;
        }
        let (from, start) = before.map_or((0, values[place]), |known| (known + 1, values[known]));
        let (steps, rise) = ((place + 1 - from) as f32, values[place] - start);
        for (index, gap) in values[from..place].iter_mut().enumerate() {
            *gap = start + rise * (index + 1) as f32 / steps;
        }
        before = Some(place);
    }
}

/// Root mean square of what the newest part of a scaled window differs by from the answer to it.
fn missed(row: &[f32], answer: &[f32]) -> f32 {
    let from = row.len() - row.len() / JUDGED;
    let pairs = row[from..].iter().zip(&answer[from..]);
    let squares = pairs.map(|(value, redrawn)| (value - redrawn).powi(2));
    (squares.sum::<f32>() / (row.len() - from) as f32).sqrt()
}

impl Detector for Autoencoder {
    fn kind(&self) -> &'static str {
        "autoencoder"
    }

    fn scope(&self) -> Scope {
        Scope::Series
    }

    fn memory(&self) -> usize {
        self.window + Ceiling::MEMORY
    }

    fn grow(&mut self, slots: usize) {
        let slots = slots.max(self.states.len());
        self.states.resize(slots, State::NEW);
        self.values.resize(slots * self.window, f32::NAN);
    }

    fn reset(&mut self, slot: Slot) {
        self.states[slot] = State::NEW;
        self.values[slot * self.window..][..self.window].fill(f32::NAN);
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.states.swap(one, other);
        swap_rows(&mut self.values, self.window, one, other);
    }

    fn step(&mut self, batch: &Batch<'_>, out: &mut [f32]) {
        out.fill(f32::NAN);
        let Some(network) = self.network.clone() else {
            return;
        };
        self.take(batch);
        self.answers.clear();
        network.run(&self.rows, &mut self.answers);
        let rows = self.rows.chunks_exact(self.window);
        let mut errors = rows
            .zip(self.answers.chunks_exact(self.window))
            .map(|(row, answer)| missed(row, answer));
        for asked in &self.asked {
            let missed = if asked.deviation > 0.0 {
                errors.next().unwrap_or(f32::NAN)
            } else {
                0.0
            };
            if missed.is_finite() {
                let error = (asked.deviation * f64::from(missed)) as f32;
                let state = &mut self.states[batch.slots[asked.position]];
                out[asked.position] = state.errors.score(error, asked.slack, self.novelty);
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        let numbers = self.values.capacity() + self.rows.capacity() + self.answers.capacity();
        self.states.capacity() * size_of::<State>()
            + numbers * size_of::<f32>()
            + self.asked.capacity() * size_of::<Asked>()
    }
}

#[cfg(test)]
mod tests;
