//! The manifest beside an ONNX file: what the network takes and answers, where it comes from, whose it is.

use crate::{
    features::{FeatureSet, Scaling},
    series::{Grid, Span},
    stats::network::Rows,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The format that this program reads and writes.
pub const FORMAT: u32 = 1;
/// A longer manifest is none.
const MOST_BYTES: usize = 1 << 20;
/// A week of minutes.
const LONGEST_WINDOW: usize = 10_080;
/// Names become folders and label values.
const LONGEST_NAME: usize = 64;
/// Rows of one call, features of a row's step, and values of one call: 64 MiB.
const MOST_ROWS: usize = 1_024;
const MOST_FEATURES: usize = 256;
const MOST_VALUES: usize = 1 << 24;

/// What a model file is, as a JSON document; unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Of this document: [`FORMAT`].
    pub format: u32,
    /// Of the model, all versions alike: letters, digits, `-`, `_` and `.`, at most 64, no dot in front.
    pub name: String,
    /// Which of them, written as the name is.
    pub version: String,
    /// The version it was trained from, or is to take the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// When it was trained, such as `2026-11-22T09:00:00Z`.
    pub created: String,
    /// The step of the series it was trained on and runs on.
    pub step: Span,
    /// Rows of a window: the network takes `(N, window, features)`, or `(N, window)` where there is one feature.
    pub window: usize,
    /// The columns of a window in order, by their names in [`crate::features`]; the first is `value`.
    pub features: Vec<String>,
    /// `"dynamic"`, or `{"fixed": 1}` for a network that takes so many rows at a time.
    #[serde(default)]
    pub batch: Rows,
    /// What it answers.
    pub outputs: Outputs,
    /// How windows are scaled, and answers back.
    pub scaling: Scaling,
    /// What it was trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataRange>,
    /// How good it was when it was trained, by names that who trains chooses, such as `mase`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<String, f64>,
    /// SHA-256 of the ONNX file, in hexadecimal digits.
    pub sha256: String,
    /// Ed25519 over the bytes of this file with this text left empty, in Base64; empty or left out: not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// What a network answers, by the names of its outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outputs {
    /// The forecasts: one head or several, each with horizons of its own.
    pub heads: Vec<Head>,
    /// How sure the network is of a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
}

/// One output `(N, horizons)`, or `(N, horizons, quantiles)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Of the output in the ONNX file.
    pub name: String,
    /// How far ahead, in the order of the output.
    pub horizons: Vec<Span>,
    /// The levels of the quantiles, ascending, 0.5 among them; left out: one value for each horizon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantiles: Option<Vec<f64>>,
}

/// An output `(N)` or `(N, 1)` between 0 and 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confidence {
    /// Of the output in the ONNX file.
    pub name: String,
    /// Below this the model says nothing.
    #[serde(default)]
    pub least: f64,
}

/// The span of the data a model was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRange {
    /// First time.
    pub from: String,
    /// Last time.
    pub to: String,
    /// How many series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<u64>,
}

impl Head {
    /// Values for each horizon.
    pub fn per_horizon(&self) -> usize {
        self.quantiles.as_ref().map_or(1, Vec::len)
    }

    /// The place of the median among them.
    pub fn median(&self) -> usize {
        let levels = self.quantiles.as_deref().unwrap_or_default();
        levels.iter().position(|&level| level == 0.5).unwrap_or(0)
    }
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its key.
    pub fn read(bytes: &[u8]) -> Result<Self, Vec<String>> {
        if bytes.len() > MOST_BYTES {
            let count = bytes.len();
            return Err(vec![format!("{count} bytes; at most {MOST_BYTES}")]);
        }
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let read: Result<Self, _> = serde_path_to_error::deserialize(&mut json);
        let manifest = read.map_err(|error| {
            let path = error.path().to_string();
            vec![format!("{path}: {}", error.into_inner())]
        })?;
        json.end().map_err(|error| vec![error.to_string()])?;
        let problems = manifest.problems();
        if problems.is_empty() {
            Ok(manifest)
        } else {
            Err(problems)
        }
    }

    /// The document, for a file.
    ///
    /// # Errors
    /// A score that is not finite.
    pub fn to_json(&self) -> Result<Vec<u8>, String> {
        let text = serde_json::to_vec_pretty(self).map_err(|error| error.to_string())?;
        Ok([text, b"\n".to_vec()].concat())
    }

    /// The grid that its step makes; every checked manifest has one.
    pub fn grid(&self) -> Option<Grid> {
        Grid::new(self.step.as_millis())
    }

    /// The horizons of all heads, in their order.
    pub fn horizons(&self) -> impl Iterator<Item = Span> {
        self.outputs
            .heads
            .iter()
            .flat_map(|head| &head.horizons)
            .copied()
    }

    /// Everything that is wrong, each with its key.
    pub fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.format != FORMAT {
            // Another format may mean anything: nothing else is looked at.
            return vec![format!(
                "format: {} is not known; this program reads {FORMAT}",
                self.format
            )];
        }
        for (key, name) in [
            ("name", Some(&self.name)),
            ("version", Some(&self.version)),
            ("parent", self.parent.as_ref()),
        ] {
            if let Some(problem) = name.and_then(|name| refuse_name(name)) {
                found.push(format!("{key}: {problem}"));
            }
        }
        self.check_times(&mut found);
        self.check_window(&mut found);
        self.check_outputs(&mut found);
        if self.sha256.len() != 64 || !self.sha256.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            found.push("sha256: is not 64 hexadecimal digits".to_owned());
        }
        for (name, score) in &self.scores {
            if !score.is_finite() {
                found.push(format!("scores.{name}: {score} is not finite"));
            }
        }
        found
    }

    fn check_times(&self, found: &mut Vec<String>) {
        let mut check = |key: &str, text: &str| {
            if text.parse::<jiff::Timestamp>().is_err() {
                found.push(format!(
                    "{key}: {text:?} is not a time such as 2026-11-22T09:00:00Z"
                ));
            }
        };
        check("created", &self.created);
        if let Some(data) = &self.data {
            check("data.from", &data.from);
            check("data.to", &data.to);
        }
    }

    fn check_window(&self, found: &mut Vec<String>) {
        if !(2..=LONGEST_WINDOW).contains(&self.window) {
            found.push(format!(
                "window: {} is not within 2 to {LONGEST_WINDOW}",
                self.window
            ));
        }
        self.check_size(found);
        match self.grid() {
            None => found.push("step: must be longer than 0s".to_owned()),
            Some(grid) => {
                let features = FeatureSet::new(&self.features, grid);
                let problems = features.err().unwrap_or_default();
                found.extend(
                    problems
                        .iter()
                        .map(|(at, text)| format!("features[{at}]: {text}")),
                );
            }
        }
        let scaling = self.scaling.problems(self.features.len());
        found.extend(scaling.iter().map(|text| format!("scaling.{text}")));
    }

    /// What one call takes must fit into memory before anything is run to see whether it does.
    fn check_size(&self, found: &mut Vec<String>) {
        let batch = match self.batch {
            Rows::Fixed(rows) => rows,
            _ => 1,
        };
        if !(1..=MOST_ROWS).contains(&batch) {
            found.push(format!(
                "batch.fixed: {batch} is not within 1 to {MOST_ROWS}"
            ));
        }
        let features = self.features.len();
        if features > MOST_FEATURES {
            found.push(format!("features: {features}; at most {MOST_FEATURES}"));
        }
        let values = self.window.saturating_mul(features).saturating_mul(batch);
        if values > MOST_VALUES {
            found.push(format!(
                "window, features and batch make {values} values of one call; at most {MOST_VALUES}"
            ));
        }
    }

    fn check_outputs(&self, found: &mut Vec<String>) {
        if self.outputs.heads.is_empty() {
            found.push("outputs.heads: is empty; name at least one output".to_owned());
        }
        let mut seen = BTreeSet::new();
        for (index, head) in self.outputs.heads.iter().enumerate() {
            let key = format!("outputs.heads[{index}]");
            if head.horizons.is_empty() {
                found.push(format!("{key}.horizons: is empty"));
            }
            for horizon in &head.horizons {
                let millis = horizon.as_millis();
                if millis <= 0 || millis.checked_rem(self.step.as_millis()) != Some(0) {
                    let step = self.step;
                    found.push(format!(
                        "{key}.horizons: {horizon} is not a whole number of steps of {step}"
                    ));
                }
                if !seen.insert(*horizon) {
                    found.push(format!("{key}.horizons: {horizon} is there twice"));
                }
            }
            let levels = head.quantiles.as_deref().unwrap_or(&[0.5]);
            let inside = levels.iter().all(|level| *level > 0.0 && *level < 1.0);
            if !inside || !levels.is_sorted_by(|a, b| a < b) || !levels.contains(&0.5) {
                found.push(format!(
                    "{key}.quantiles: must ascend between 0 and 1 and have 0.5"
                ));
            }
        }
        if let Some(confidence) = &self.outputs.confidence
            && !(0.0..=1.0).contains(&confidence.least)
        {
            let least = confidence.least;
            found.push(format!(
                "outputs.confidence.least: {least} is not within 0 to 1"
            ));
        }
    }
}

/// What is wrong with the name of a model or of a version, if it cannot be one. Names are folders: nothing in them
/// leads elsewhere.
pub fn refuse_name(name: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fits = !name.is_empty() && name.len() <= LONGEST_NAME && !name.starts_with(['.', '-']);
    let is_name = fits && name.bytes().all(allowed);
    (!is_name).then(|| {
        format!("{name:?} is not allowed; allowed: letters, digits, - _ and . (not in front), at most {LONGEST_NAME}")
    })
}
