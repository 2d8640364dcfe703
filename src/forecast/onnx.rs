//! A network that a person trained: an ONNX file that answers windows with forecasts.
//!
//! Three ways to name one. `path` and `window`, a plain file: input `(N, window, 1)`, the newest `window` values,
//! oldest first, scaled to mean 0 and standard deviation 1 (a gap is the value before it); output
//! `(N, horizons)`, or `(N, horizons, quantiles)` with the quantiles ascending and odd in number, of which the middle one
//! is taken; horizons are those of the configuration, in their order. `path` and `manifest`: the manifest says all
//! that, and has features, several outputs, a hash and a signature ([`crate::contract`]). `model`: the version in force
//! of that model in the registry, which has both files.
//!
//! A model with a manifest answers the horizons it has and abstains at others. Intervals are conformal whatever the
//! network says. *Cost*: one run of the network per step, in batches over the series of a shard, and 512 per rebuild; four
//! bytes per value of the window and of what its features look back on.

mod challenger;

pub use challenger::Challenger;

use super::{Forecaster, ModelFiles, Role};
use crate::{
    contract::{Model, Trust, refuse_name},
    features::{Scale, View},
    series::{Grid, LocalTime, Millis, Past, Slot, Span, swap_rows},
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// A week of minutes.
const LONGEST_WINDOW: usize = 10_080;
const UNSIGNED: &str =
    "has no manifest, and models.require_signature is on; name one with manifest";

/// Which network, and what it looks at.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The file.
    pub path: Option<PathBuf>,
    /// How many values a file without a manifest takes.
    pub window: Option<usize>,
    /// The manifest of the file.
    pub manifest: Option<PathBuf>,
    /// A model of the registry, instead of a file.
    pub model: Option<String>,
    /// A version of `model` that forecasts silently beside the one in force.
    pub challenger: Option<Challenger>,
    // Boxed: the settings of others are a few bytes.
    #[serde(skip)]
    pub(super) around: Box<Around>,
}

/// What the application puts around the settings before anything is built.
#[derive(Debug, Clone, Default)]
pub(super) struct Around {
    /// The version in force of `model`.
    placed: Option<Placed>,
    /// The horizons of the configuration in steps, where it is asked for others too.
    answered: Option<Vec<usize>>,
    /// Other versions of it.
    beside: Vec<(Beside, Arc<Mutex<Option<Shared>>>)>,
    trust: Trust,
    local: LocalTime,
    /// Not known where nobody said so, as in a comparison.
    kept: Option<Kept>,
    /// One network serves every shard of a signal, and the checks before it.
    shared: Arc<Mutex<Option<Shared>>>,
}

/// Where the version of a model that is in force lies.
#[derive(Debug, Clone)]
pub struct Placed {
    /// The ONNX file.
    pub network: PathBuf,
    /// Its manifest.
    pub manifest: PathBuf,
    /// What the manifest must say it is, such as `checkout/7`.
    pub version: String,
}

/// A version of a model that runs beside the one in force.
#[derive(Debug, Clone)]
pub struct Beside {
    /// What it is there for.
    pub role: Role,
    /// Whether a person named it: then it must be sound.
    pub is_named: bool,
    /// Where it lies.
    pub placed: Placed,
}

/// How much of a series is kept where a model is to run.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// Values that are there whenever a series is derived anew.
    pub values: usize,
    /// The history in steps that keeps so many.
    pub history_for: fn(usize, Grid) -> usize,
}

impl Kept {
    /// What is wrong with a model that depends on so many values.
    fn refuse(&self, needed: usize, grid: Grid) -> Option<String> {
        let span = |steps: usize| Span::millis(grid.step() * steps as i64);
        (needed > self.values).then(|| {
            format!(
                "looks back on {}, but with this history only {} of a series are sure to be there; set history of the \
                 signal to {} or more, or train with features that look back less far",
                span(needed),
                span(self.values),
                span((self.history_for)(needed, grid))
            )
        })
    }
}

/// A network, and the bytes it was made of.
#[derive(Debug)]
struct Shared {
    bytes: Vec<Arc<[u8]>>,
    model: Arc<Model>,
}

impl PartialEq for Around {
    /// Whom to trust is part of what was set; that files changed is seen by their content.
    fn eq(&self, other: &Self) -> bool {
        self.trust == other.trust
    }
}

impl Settings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut add = |field: &str, text: &str| problems.push((field.to_owned(), text.to_owned()));
        if self.model.is_none() && self.challenger.is_some() {
            add(
                "challenger",
                "is a version of a model of the registry; name that with model",
            );
        }
        if let Some(Challenger::Version(version)) = &self.challenger
            && let Some(problem) = refuse_name(version)
        {
            add("challenger", &problem);
        }
        if let Some(model) = &self.model {
            if let Some(problem) = refuse_name(model) {
                add("model", &problem);
            }
            for (field, given) in [
                ("path", self.path.is_some()),
                ("window", self.window.is_some()),
                ("manifest", self.manifest.is_some()),
            ] {
                if given {
                    add(
                        field,
                        "is not for a model of the registry, which has it; leave it out",
                    );
                }
            }
            return problems;
        }
        match &self.path {
            None => add(
                "path",
                "is required; name an ONNX file, or a model of the registry with model",
            ),
            Some(path) if path.as_os_str().is_empty() => add("path", "is empty; name an ONNX file"),
            Some(_) => {}
        }
        match (self.window, &self.manifest) {
            (None, None) => add("window", "is required for a file without a manifest"),
            (Some(_), Some(_)) => add("window", "is in the manifest; leave it out"),
            (Some(window), None) if !(2..=LONGEST_WINDOW).contains(&window) => {
                add(
                    "window",
                    &format!("{window} is not within 2 to {LONGEST_WINDOW}"),
                );
            }
            _ => {}
        }
        problems
    }

    /// The files that are named, with the keys that name them.
    pub(super) fn named_files(&self) -> Vec<(&'static str, PathBuf)> {
        let named = [("path", &self.path), ("manifest", &self.manifest)];
        let named = named.into_iter();
        named
            .filter_map(|(key, path)| Some((key, path.clone()?)))
            .collect()
    }

    /// The files that must be read before [`Settings::load`]: network, and manifest where there is one.
    pub fn files(&self) -> Vec<PathBuf> {
        match &self.around.placed {
            Some(placed) => vec![placed.network.clone(), placed.manifest.clone()],
            None => self.path.iter().chain(&self.manifest).cloned().collect(),
        }
    }

    /// Makes relative files relative to `directory`.
    pub(super) fn set_directory(&mut self, directory: &Path) {
        for path in self.path.iter_mut().chain(&mut self.manifest) {
            *path = directory.join(&*path);
        }
    }

    /// Says which version is in force of [`Settings::model`], and whose models are trusted.
    pub fn place(&mut self, placed: Option<Placed>, trust: Trust) {
        self.around.placed = placed;
        self.around.trust = trust;
        self.around.shared = Arc::default();
    }

    /// Says which horizons are those of the configuration: a plain file answers them in their order.
    pub(super) fn answer(&mut self, horizons: &[usize]) {
        self.around.answered = Some(horizons.to_vec());
    }

    /// Says which versions run beside the one in force.
    pub fn place_beside(&mut self, versions: Vec<Beside>) {
        let versions = versions.into_iter();
        self.around.beside = versions.map(|one| (one, Arc::default())).collect();
    }

    /// The files of the versions beside the one in force.
    pub fn files_beside(&self) -> Vec<PathBuf> {
        let placed = self.around.beside.iter().map(|(one, _)| &one.placed);
        let files = placed.flat_map(|placed| [&placed.network, &placed.manifest]);
        files.cloned().collect()
    }

    /// The settings of each of those, and whether a person named it: to see whether it answers at all.
    pub fn others(&self) -> Vec<(bool, Self)> {
        let beside = self.beside();
        beside
            .map(|(_, is_named, other)| (is_named, other))
            .collect()
    }

    /// Leaves out those of the versions beside the one in force of which `kept` says so, by their place.
    pub fn retain_beside(&mut self, kept: &[bool]) {
        let mut kept = kept.iter();
        self.around
            .beside
            .retain(|_| kept.next().copied().unwrap_or(true));
    }

    /// The settings of each of those, what it is there for, and whether a person named it.
    pub(super) fn beside(&self) -> impl Iterator<Item = (Role, bool, Self)> {
        self.around.beside.iter().map(|(one, shared)| {
            let mut other = self.clone();
            other.around.placed = Some(one.placed.clone());
            other.around.shared = Arc::clone(shared);
            (one.role, one.is_named, other)
        })
    }

    /// Says what the wall clock and the holidays of the signal are.
    pub(super) fn set_local(&mut self, local: &LocalTime) {
        self.around.local = local.clone();
    }

    /// Says how much of a series is kept.
    pub(super) fn set_kept(&mut self, kept: Kept) {
        self.around.kept = Some(kept);
    }

    /// The network, checked; the same one for all who ask with the same files.
    ///
    /// # Errors
    /// What a person can change, with the name of the file.
    pub fn load(
        &self,
        grid: Grid,
        horizons: &[Span],
        files: &ModelFiles,
    ) -> Result<Arc<Model>, String> {
        let paths = self.files();
        let Some(path) = paths.first() else {
            let name = self.model.as_deref().unwrap_or_default();
            return Err(format!("model {name}: no version of it is in force"));
        };
        let named = |problem: String| format!("{}: {problem}", path.display());
        let missing = |path: &PathBuf| format!("{}: no such model file", path.display());
        let bytes = paths
            .iter()
            .map(|path| files.get(path).cloned().ok_or_else(|| missing(path)));
        let bytes = bytes.collect::<Result<Vec<_>, _>>()?;
        let mut shared = self
            .around
            .shared
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let refused = |model: &Model| {
            let kept = self.around.kept.as_ref();
            kept.and_then(|kept| kept.refuse(model.reach(), grid))
                .map_or(Ok(()), |problem| Err(named(problem)))
        };
        if let Some(known) = shared.as_ref().filter(|known| same(&known.bytes, &bytes)) {
            // It may have been loaded before anybody knew how much is kept.
            refused(&known.model)?;
            return Ok(Arc::clone(&known.model));
        }
        let model = self.checked(&bytes, grid, horizons).map_err(named)?;
        refused(&model)?;
        let model = Arc::new(model);
        *shared = Some(Shared {
            bytes,
            model: Arc::clone(&model),
        });
        Ok(model)
    }

    fn checked(&self, bytes: &[Arc<[u8]>], grid: Grid, horizons: &[Span]) -> Result<Model, String> {
        let model = match bytes {
            [network, manifest] => Model::load(network, manifest, &self.around.trust)?,
            [_] if self.around.trust.required => {
                return Err(UNSIGNED.to_owned());
            }
            [network, ..] => {
                Model::plain(network, self.window.unwrap_or_default(), grid, horizons)?
            }
            [] => return Err("no such model file".to_owned()),
        };
        check_use(&model, grid, horizons)?;
        if let (Some(placed), Some(manifest)) = (&self.around.placed, model.manifest()) {
            let (own, wanted) = (manifest.to_string(), &placed.version);
            if own != *wanted {
                return Err(format!("its manifest is that of {own}, not of {wanted}"));
            }
        }
        Ok(model)
    }
}

/// Whether these are the same bytes, in memory.
fn same(one: &[Arc<[u8]>], other: &[Arc<[u8]>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| Arc::ptr_eq(a, b))
}

/// Whether a model can serve a signal.
fn check_use(model: &Model, grid: Grid, horizons: &[Span]) -> Result<(), String> {
    let Some(manifest) = model.manifest() else {
        return Ok(());
    };
    let step = Span::millis(grid.step());
    if manifest.step != step {
        let own = manifest.step;
        return Err(format!(
            "was made for a step of {own}, but the step of the signal is {step}"
        ));
    }
    if let Some(input) = model.features().inputs().next() {
        return Err(format!(
            "asks for input:{input}, but a signal has no inputs; train it without"
        ));
    }
    if !horizons.is_empty() && !horizons.iter().any(|&span| model.column(span).is_some()) {
        let shown = |spans: &mut dyn Iterator<Item = Span>| {
            spans
                .map(|span| span.to_string())
                .collect::<Vec<_>>()
                .join(", ")
        };
        return Err(format!(
            "answers none of the horizons {}; it has {}",
            shown(&mut horizons.iter().copied()),
            shown(&mut model.horizons())
        ));
    }
    Ok(())
}

/// The network and the newest values of each series.
#[derive(Debug)]
pub(super) struct Onnx {
    model: Arc<Model>,
    /// The name of a file without a manifest.
    file: String,
    grid: Grid,
    local: LocalTime,
    /// By horizon: where in an answer its expected value is; `None` where the model does not have it.
    columns: Vec<Option<usize>>,
    /// Values kept of a series.
    kept: usize,
    /// By slot: a ring of `kept` values.
    rings: Vec<f32>,
    /// By slot: where the oldest value is, and the time of the newest; `None` where it abstains.
    ends: Vec<Option<(usize, Millis)>>,
}

impl Onnx {
    /// See [`super::ModelSettings::build`].
    pub(super) fn build(
        settings: &Settings,
        grid: Grid,
        horizons: &[usize],
        files: &ModelFiles,
    ) -> Result<Self, String> {
        let spans = |steps: &[usize]| -> Vec<Span> {
            let spans = steps.iter().map(|&steps| grid.step() * steps as i64);
            spans.map(Span::millis).collect()
        };
        let answered = settings.around.answered.as_deref().unwrap_or(horizons);
        let model = settings.load(grid, &spans(answered), files)?;
        let spans = spans(horizons);
        let path = settings.path.as_deref().and_then(Path::file_stem);
        let file = path.map(|stem| stem.to_string_lossy().into_owned());
        Ok(Self {
            grid,
            file: file.unwrap_or_default(),
            local: settings.around.local.clone(),
            columns: spans.iter().map(|&span| model.column(span)).collect(),
            kept: model.reach(),
            model,
            rings: Vec::new(),
            ends: Vec::new(),
        })
    }

    /// Appends the window of a series; `None` where it or half of it is unknown. With a factor of 0 nothing moves, and
    /// there is nothing to ask.
    fn ask(
        &self,
        slot: Slot,
        local: &mut LocalTime,
        values: &mut Vec<f32>,
        windows: &mut Vec<f32>,
    ) -> Option<Scale> {
        let (oldest, end) = self.ends[slot]?;
        let ring = &self.rings[slot * self.kept..(slot + 1) * self.kept];
        let (newer, older) = ring.split_at(oldest);
        values.clear();
        values.extend(older.iter().chain(newer));
        let view = View {
            end,
            grid: self.grid,
            values,
            inputs: &[],
        };
        self.model.ask(&view, local, windows)
    }
}

impl Forecaster for Onnx {
    fn kind(&self) -> &'static str {
        "onnx"
    }

    fn name(&self) -> String {
        let manifest = self.model.manifest();
        manifest.map_or_else(|| self.file.clone(), |manifest| manifest.name.clone())
    }

    fn version(&self) -> Option<String> {
        self.model.manifest().map(ToString::to_string)
    }

    /// Without a range of data, when it was trained.
    fn trained_until(&self) -> Option<Millis> {
        let manifest = self.model.manifest()?;
        let data = manifest.data.as_ref();
        let until = data.map_or(&manifest.created, |data| &data.to);
        let until: jiff::Timestamp = until.parse().ok()?;
        Some(until.as_millisecond())
    }

    fn abstains(&self) -> bool {
        true
    }

    fn is_network(&self) -> bool {
        true
    }

    fn grow(&mut self, slots: usize) {
        self.rings.resize(slots * self.kept, f32::NAN);
        self.ends.resize(slots, None);
    }

    fn evict(&mut self, slot: Slot) {
        self.ends[slot] = None;
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        swap_rows(&mut self.rings, self.kept, one, other);
        self.ends.swap(one, other);
    }

    fn fit(&mut self, slot: Slot, past: &Past<'_>) -> bool {
        if past.values.len() < self.model.window() {
            self.ends[slot] = None;
            return false;
        }
        let values = past.tail(self.kept).values;
        let ring = &mut self.rings[slot * self.kept..(slot + 1) * self.kept];
        let (before, known) = ring.split_at_mut(self.kept - values.len());
        before.fill(f32::NAN);
        known.copy_from_slice(values);
        self.ends[slot] = Some((0, past.end));
        true
    }

    fn extend(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        for (&slot, &value) in slots.iter().zip(values) {
            if let Some((oldest, end)) = &mut self.ends[slot] {
                self.rings[slot * self.kept + *oldest] = value;
                *oldest = (*oldest + 1) % self.kept;
                *end = at;
            }
        }
    }

    fn predict(&self, slots: &[Slot], horizons: &[usize], out: &mut [f32]) {
        // What it remembers of the wall clock is of no consequence: a copy serves.
        let mut local = self.local.clone();
        let (mut values, mut windows) = (Vec::with_capacity(self.kept), Vec::new());
        let scales: Vec<Option<Scale>> = slots
            .iter()
            .map(|&slot| self.ask(slot, &mut local, &mut values, &mut windows))
            .collect();
        let mut answers = Vec::new();
        self.model.run(&windows, &mut answers);
        let mut answers = answers.chunks_exact(self.model.answers());
        for (scale, row) in scales.into_iter().zip(out.chunks_exact_mut(horizons.len())) {
            row.fill(f32::NAN);
            let Some(Scale { shift, factor }) = scale else {
                continue;
            };
            let answer = (factor > 0.0).then(|| answers.next().unwrap_or_default());
            for (out, column) in row.iter_mut().zip(&self.columns) {
                if let Some(column) = column {
                    let value = answer.map_or(Some(&0.0), |answer| answer.get(*column));
                    let told = shift + factor * value.unwrap_or(&f32::NAN);
                    *out = if told.is_finite() {
                        told
                    } else {
                        f32::INFINITY
                    };
                }
            }
            // What is no number is a failure, however sure of it the network is.
            let failed = row.contains(&f32::INFINITY);
            if !failed && answer.is_some_and(|answer| !self.model.is_sure(answer)) {
                row.fill(f32::NAN);
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        self.rings.capacity() * size_of::<f32>()
            + self.ends.capacity() * size_of::<Option<(usize, Millis)>>()
    }
}

#[cfg(test)]
mod tests;
