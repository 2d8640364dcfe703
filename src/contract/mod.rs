//! The contract of an ONNX forecaster: its [`Manifest`], whether the file keeps it, and asking it.
//!
//! Pure: no IO, no clock (invariant 1). Bytes come in; whoever has a clock times [`Model::probe`].
//! [`Model::load`] checks everything that can be known before the first forecast: hash and signature, operators and
//! size, shapes of input and outputs, and that an ordinary window and one in which nothing moves are answered with
//! finite numbers. Errors name the key of the manifest that would have to change.

mod manifest;
pub mod seal;

pub use manifest::{Confidence, DataRange, FORMAT, Head, Manifest, Outputs, refuse_name};
pub use seal::{PublicKey, Signature, Trust};

use crate::{
    features::{FeatureSet, Scale, Scaling, View},
    series::{Grid, LocalTime, Span},
    stats::network::{Network, NetworkFile, Rows},
};

/// A network that was checked, with what is needed to ask it.
#[derive(Debug)]
pub struct Model {
    /// `None` for a plain file without a manifest.
    manifest: Option<Manifest>,
    signature: Signature,
    features: FeatureSet,
    window: usize,
    scaling: Scaling,
    network: Network,
    /// Where in an answer the expected value of a horizon is.
    columns: Vec<(Span, usize)>,
    /// Where in an answer the confidence is, and the least that counts.
    confidence: Option<(usize, f32)>,
}

impl Model {
    /// Checks a model against its manifest.
    ///
    /// # Errors
    /// What does not hold, with the key of the manifest where it is one.
    pub fn load(model: &[u8], manifest: &[u8], trust: &Trust) -> Result<Self, String> {
        let bytes = manifest;
        let manifest = Manifest::read(bytes)
            .map_err(|problems| format!("the manifest is wrong: {}", problems.join("; ")))?;
        let signature = trust.check(bytes, &manifest)?;
        seal::check_hash(model, &manifest)?;
        let file = NetworkFile::read(model)?;
        let grid = manifest.grid().ok_or("step: must be longer than 0s")?;
        let features = FeatureSet::new(&manifest.features, grid)
            .map_err(|problems| format!("features: {problems:?}"))?;
        let shape = row_shape(&file, &manifest)?;
        check_rows(&file, manifest.batch)?;
        let outputs = output_places(&file, &manifest.outputs)?;
        let network = file.network_of(&shape, manifest.batch, outputs)?;
        let (columns, confidence) = layout(&network, &manifest.outputs)?;
        let model = Self {
            signature,
            features,
            window: manifest.window,
            scaling: manifest.scaling.clone(),
            network,
            columns,
            confidence,
            manifest: Some(manifest),
        };
        model.check_still()?;
        Ok(model)
    }

    /// A file without a manifest: the newest `window` values, scaled to mean 0 and deviation 1, answered with one value
    /// for each of `horizons`, or an odd number of ascending quantiles for each.
    ///
    /// # Errors
    /// What does not fit.
    pub fn plain(
        model: &[u8],
        window: usize,
        grid: Grid,
        horizons: &[Span],
    ) -> Result<Self, String> {
        let network = NetworkFile::read(model)?.network(&[window, 1])?;
        let (values, count) = (network.answers(), horizons.len());
        let quantiles = values / count.max(1);
        if quantiles * count != values || quantiles.is_multiple_of(2) {
            return Err(format!(
                "answers {values} values for {count} horizons; it must answer one for each \
                 configured horizon, or an odd number of quantiles for each"
            ));
        }
        let columns = horizons.iter().enumerate();
        Ok(Self {
            manifest: None,
            signature: Signature::None,
            features: FeatureSet::new(&["value"], grid).map_err(|_| "features: value")?,
            window,
            scaling: Scaling::Window { floor: 0.0 },
            columns: columns
                .map(|(index, &span)| (span, index * quantiles + quantiles / 2))
                .collect(),
            confidence: None,
            network,
        })
    }

    /// `None` for a plain file.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Whose it is.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Values of a series that a forecast depends on: the window, and what its features look back on.
    pub fn reach(&self) -> usize {
        self.window + self.features.lookback()
    }

    /// Rows of a window.
    pub fn window(&self) -> usize {
        self.window
    }

    /// What a window is made of.
    pub fn features(&self) -> &FeatureSet {
        &self.features
    }

    /// Where in an answer the expected value of a horizon is; `None` where the model does not know that horizon.
    pub fn column(&self, horizon: Span) -> Option<usize> {
        let known = self.columns.iter().find(|(span, _)| *span == horizon);
        known.map(|(_, column)| *column)
    }

    /// The horizons it answers.
    pub fn horizons(&self) -> impl Iterator<Item = Span> {
        self.columns.iter().map(|(span, _)| *span)
    }

    /// Values in an answer.
    pub fn answers(&self) -> usize {
        self.network.answers()
    }

    /// Appends the window at the end of `view`; see [`FeatureSet::window`].
    pub fn ask(
        &self,
        view: &View<'_>,
        local: &mut LocalTime,
        windows: &mut Vec<f32>,
    ) -> Option<Scale> {
        let (steps, scaling) = (self.window, &self.scaling);
        self.features.window(view, steps, scaling, local, windows)
    }

    /// Appends the answers to windows, [`Model::answers`] values each; `NaN` where the network fails.
    pub fn run(&self, windows: &[f32], out: &mut Vec<f32>) {
        self.network.run(windows, out);
    }

    /// Whether the network is sure enough of an answer.
    pub fn is_sure(&self, answer: &[f32]) -> bool {
        // A confidence that is not a number is none.
        self.confidence
            .is_none_or(|(place, least)| answer[place] >= least)
    }

    /// One window, through the network: for whoever wants to know how long that takes.
    pub fn probe(&self) {
        let mut out = Vec::with_capacity(self.network.answers());
        self.network
            .run(&vec![0.5; self.network.row_len()], &mut out);
    }

    /// A window in which nothing moves is as ordinary as a wave, which was tried when the network was built.
    fn check_still(&self) -> Result<(), String> {
        let mut out = Vec::new();
        self.network
            .run(&vec![0.0; self.network.row_len()], &mut out);
        match out.iter().all(|value| value.is_finite()) {
            true => Ok(()),
            false => Err("answers a window of zeros with a value that is not finite".to_owned()),
        }
    }
}

/// The shape of a window as the file takes it.
fn row_shape(file: &NetworkFile, manifest: &Manifest) -> Result<Vec<usize>, String> {
    let (window, width) = (manifest.window, manifest.features.len());
    let wanted = match file.row_rank() {
        Some(1) if width == 1 => vec![window],
        _ => vec![window, width],
    };
    match file.row_shape() {
        Some(shape) if shape != wanted => Err(format!(
            "takes (N, {}), but the manifest has window {window} and {width} features; correct window or features",
            shape
                .iter()
                .map(usize::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        )),
        _ => Ok(wanted),
    }
}

/// A file that fixes how many windows it takes may still run with others, and answer wrongly.
fn check_rows(file: &NetworkFile, batch: Rows) -> Result<(), String> {
    match file.fixed_rows() {
        Some(rows) if batch != Rows::Fixed(rows) => Err(format!(
            "takes {} at a time, but batch in the manifest says {batch}; write {{\"fixed\": {rows}}}",
            Rows::Fixed(rows)
        )),
        _ => Ok(()),
    }
}

/// The places of the outputs that the manifest names, heads first.
fn output_places(file: &NetworkFile, outputs: &Outputs) -> Result<Vec<usize>, String> {
    let known = file.outputs();
    let heads = outputs.heads.iter().map(|head| &head.name);
    let confidence = outputs.confidence.iter().map(|one| &one.name);
    let place = |name: &String| {
        known.iter().position(|one| one == name).ok_or_else(|| {
            format!(
                "outputs: there is no output {name:?}; outputs of the file: {}",
                known.join(", ")
            )
        })
    };
    heads.chain(confidence).map(place).collect()
}

type Layout = (Vec<(Span, usize)>, Option<(usize, f32)>);

/// Where in an answer the horizons and the confidence are.
fn layout(network: &Network, outputs: &Outputs) -> Result<Layout, String> {
    let (mut columns, mut from) = (Vec::new(), 0);
    let mut shapes = network.shapes().iter();
    for (head, shape) in outputs.heads.iter().zip(shapes.by_ref()) {
        let (horizons, quantiles) = (head.horizons.len(), head.per_horizon());
        let found: usize = shape.iter().product();
        if found != horizons * quantiles {
            return Err(format!(
                "outputs: {} answers {found} values, but the manifest has {horizons} horizons by {quantiles} \
                 quantiles for it; correct its horizons or quantiles",
                head.name
            ));
        }
        let place = |index: usize| from + index * quantiles + head.median();
        columns.extend(
            head.horizons
                .iter()
                .enumerate()
                .map(|(i, &span)| (span, place(i))),
        );
        from += found;
    }
    let confidence = match (&outputs.confidence, shapes.next()) {
        (Some(confidence), Some(shape)) if shape.iter().product::<usize>() == 1 => {
            Some((from, confidence.least as f32))
        }
        (Some(confidence), _) => {
            let name = &confidence.name;
            return Err(format!(
                "outputs.confidence: {name} must answer one value to a window"
            ));
        }
        (None, _) => None,
    };
    Ok((columns, confidence))
}

/// The version of a model for people and labels: `checkout/7`.
impl std::fmt::Display for Manifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.name, self.version)
    }
}

/// What a model takes at a time, for people.
impl std::fmt::Display for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dynamic => f.write_str("any number of windows"),
            Self::Fixed(1) => f.write_str("one window"),
            Self::Fixed(count) => write!(f, "{count} windows"),
        }
    }
}

#[cfg(test)]
mod tests;
