//! A neural network from an ONNX file: checked when loaded, then run.

use std::{io::Cursor, sync::Arc};
use tract_onnx::{
    pb::{ModelProto, tensor_proto::DataLocation},
    prelude::*,
};

/// A forecaster is small; a larger file is a mistake.
const MOST_BYTES: usize = 64 << 20;
/// Series forecast in one run: larger batches were not faster.
const BATCH: usize = 32;
/// How far the two plans may differ on the same window.
const TOLERANCE: f32 = 1e-3;

/// A network `(N, window, 1) -> (N, horizons)` or `(N, horizons, quantiles)`.
pub(super) struct Network {
    window: usize,
    horizons: usize,
    quantiles: usize,
    one: Arc<TypedRunnableModel>,
    /// `None` for a network that takes one series at a time.
    many: Option<Arc<TypedRunnableModel>>,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("window", &self.window)
            .field("horizons", &self.horizons)
            .field("quantiles", &self.quantiles)
            .finish_non_exhaustive()
    }
}

impl Network {
    /// Loads and tries a network.
    ///
    /// # Errors
    /// What is wrong with the file: size, operators, shapes, or what it answers.
    pub(super) fn load(bytes: &[u8], window: usize, horizons: usize) -> Result<Self, String> {
        if bytes.len() > MOST_BYTES {
            let most = MOST_BYTES >> 20;
            return Err(format!("{} bytes; at most {most} MiB", bytes.len()));
        }
        let onnx = tract_onnx::onnx()
            .with_ignore_value_info(true)
            .with_ignore_output_shapes(true);
        let model = onnx
            .proto_model_for_read(&mut Cursor::new(bytes))
            .map_err(|error| format!("not an ONNX model: {error:#}"))?;
        check_operators(&model, |kind| onnx.op_register.0.contains_key(kind))?;
        let one = plan(&onnx, &model, 1, window)?;
        let probe = probe(window);
        let answer = run(&one, 1, window, &probe)?;
        let quantiles = quantiles(answer.len(), horizons)?;
        if !answer.iter().all(|value| value.is_finite()) {
            return Err("answers a plain wave with a value that is not finite".to_owned());
        }
        // Some exports take one series only, and some take many and answer wrongly.
        let many = plan(&onnx, &model, BATCH, window).ok().filter(|many| {
            let same = |row: &[f32]| {
                row.iter()
                    .zip(&answer)
                    .all(|(a, b)| (a - b).abs() <= TOLERANCE * (1.0 + b.abs()))
            };
            run(many, BATCH, window, &probe.repeat(BATCH)).is_ok_and(|answers| {
                answers.len() == answer.len() * BATCH
                    && answers.chunks_exact(answer.len()).all(same)
            })
        });
        Ok(Self {
            window,
            horizons,
            quantiles,
            one,
            many,
        })
    }

    /// The median forecasts for whole windows one after the other: `horizons` values for each. A window
    /// that the network fails on gives `NaN`.
    pub(super) fn forecast(&self, windows: &[f32], out: &mut Vec<f32>) {
        let mut rest = windows;
        while !rest.is_empty() {
            let left = rest.len() / self.window;
            let (plan, batch) = match &self.many {
                Some(many) if left > 1 => (many, BATCH),
                _ => (&self.one, 1),
            };
            let taken = left.min(batch);
            let (now, later) = rest.split_at(taken * self.window);
            rest = later;
            let mut input = now.to_vec();
            input.resize(batch * self.window, 0.0);
            let row = self.horizons * self.quantiles;
            let answer = run(plan, batch, self.window, &input)
                .ok()
                .filter(|answer| answer.len() == batch * row);
            let answer = answer.unwrap_or_else(|| vec![f32::NAN; batch * row]);
            // Quantiles are in ascending order: the middle one is the median.
            let medians = answer.chunks_exact(self.quantiles);
            let medians = medians.map(|quantiles| quantiles[self.quantiles / 2]);
            out.extend(medians.take(taken * self.horizons));
        }
    }
}

fn check_operators(model: &ModelProto, known: impl Fn(&str) -> bool) -> Result<(), String> {
    let graph = model.graph.as_ref().ok_or("holds no graph")?;
    let mut unknown: Vec<&str> = graph
        .node
        .iter()
        .map(|node| node.op_type.as_str())
        .filter(|kind| !known(kind))
        .collect();
    unknown.sort_unstable();
    unknown.dedup();
    if !unknown.is_empty() {
        return Err(format!("uses unknown operators: {}", unknown.join(", ")));
    }
    let external = |location: Option<i32>| location == Some(DataLocation::External as i32);
    if graph
        .initializer
        .iter()
        .any(|tensor| external(tensor.data_location))
    {
        return Err("keeps weights in another file; export it as one file".to_owned());
    }
    let given: Vec<&str> = graph
        .input
        .iter()
        .map(|input| input.name.as_str())
        .filter(|name| graph.initializer.iter().all(|tensor| tensor.name != *name))
        .collect();
    if given.len() != 1 {
        return Err(format!(
            "has {} inputs ({}); it must have one",
            given.len(),
            given.join(", ")
        ));
    }
    Ok(())
}

fn plan(
    onnx: &tract_onnx::Onnx,
    model: &ModelProto,
    batch: usize,
    window: usize,
) -> Result<Arc<TypedRunnableModel>, String> {
    let shape = f32::fact([batch, window, 1]);
    onnx.model_for_proto_model(model)
        .and_then(|model| model.with_input_fact(0, shape.into()))
        .and_then(|model| model.into_optimized())
        .and_then(|model| model.into_runnable())
        .map_err(|error| format!("cannot take an input of {batch} x {window} x 1: {error:#}"))
}

fn run(
    plan: &Arc<TypedRunnableModel>,
    batch: usize,
    window: usize,
    input: &[f32],
) -> Result<Vec<f32>, String> {
    let answer = || -> TractResult<Vec<f32>> {
        let input = Tensor::from_shape(&[batch, window, 1], input)?;
        let outputs = plan.run(tvec!(input.into()))?;
        match outputs.first() {
            Some(first) => Ok(first.try_as_plain_ram()?.as_slice::<f32>()?.to_vec()),
            None => Ok(Vec::new()),
        }
    };
    answer().map_err(|error| format!("fails on a window of {window} values: {error:#}"))
}

/// An ordinary window: a wave with mean 0 and deviation 1.
fn probe(window: usize) -> Vec<f32> {
    (0..window)
        .map(|index| (index as f32 * 0.7).sin() * std::f32::consts::SQRT_2)
        .collect()
}

fn quantiles(values: usize, horizons: usize) -> Result<usize, String> {
    let quantiles = values / horizons.max(1);
    if quantiles * horizons != values || quantiles.is_multiple_of(2) {
        return Err(format!(
            "answers {values} values for {horizons} horizons; it must answer one for each \
             configured horizon, or an odd number of quantiles for each"
        ));
    }
    Ok(quantiles)
}
