//! A neural network from an ONNX file: checked when loaded, then run. The core does no IO: bytes come in.

use std::{collections::BTreeMap, hint::black_box, io::Cursor, path::PathBuf, sync::Arc};
use tract_onnx::{
    Onnx,
    pb::{
        ModelProto, ValueInfoProto, tensor_proto::DataLocation,
        tensor_shape_proto::dimension::Value as Extent, type_proto::Value as Type,
    },
    prelude::*,
};

/// Contents of the model files named in configuration: the application reads them.
pub type ModelFiles = BTreeMap<PathBuf, Arc<[u8]>>;

/// What runs for every series is small; a larger file is a mistake.
const MOST_BYTES: usize = 64 << 20;
/// Rows answered in one run: larger batches were not faster.
const BATCH: usize = 32;
/// How far the two plans may differ on the same row.
const TOLERANCE: f32 = 1e-3;

/// An ONNX file that was understood, with one input; made a [`Network`] by the shape of that input.
pub struct NetworkFile {
    onnx: Onnx,
    model: ModelProto,
}

/// A network `(N, ..) -> (N, ..)` of numbers: rows of a fixed shape, each answered by itself.
pub struct Network {
    /// The shape of a row.
    shape: Vec<usize>,
    /// Values answered to a row.
    answers: usize,
    one: Arc<TypedRunnableModel>,
    /// `None` for a network that takes one row at a time.
    many: Option<Arc<TypedRunnableModel>>,
}

impl std::fmt::Debug for NetworkFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shape = self.row_shape();
        f.debug_struct("NetworkFile")
            .field("row_shape", &shape)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("shape", &self.shape)
            .field("answers", &self.answers)
            .finish_non_exhaustive()
    }
}

impl NetworkFile {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it: size, format, operators, number of inputs.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
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
        check_weights(&model)?;
        check_inputs(&model)?;
        Ok(Self { onnx, model })
    }

    /// The shape of its input without the first dimension, the batch; `None` where the file leaves it open.
    pub fn row_shape(&self) -> Option<Vec<usize>> {
        let Type::TensorType(tensor) = inputs(&self.model)
            .next()?
            .r#type
            .as_ref()?
            .value
            .as_ref()?;
        let dimensions = &tensor.shape.as_ref()?.dim;
        let extent = |value: &Option<Extent>| match value {
            Some(Extent::DimValue(extent)) => usize::try_from(*extent).ok(),
            _ => None,
        };
        let rest = dimensions.get(1..)?.iter();
        rest.map(|dimension| extent(&dimension.value)).collect()
    }

    /// The network for rows of this shape, tried on a plain wave.
    ///
    /// # Errors
    /// What does not fit: the shape, or what it answers.
    pub fn network(&self, shape: &[usize]) -> Result<Network, String> {
        let one = self.plan(1, shape)?;
        let probe = probe(shape.iter().product());
        let answer = run(&one, 1, shape, &probe)?;
        if answer.is_empty() {
            return Err("answers nothing".to_owned());
        }
        if !answer.iter().all(|value| value.is_finite()) {
            return Err("answers a plain wave with a value that is not finite".to_owned());
        }
        // Some exports take one row only, and some take many and answer wrongly.
        let many = self.plan(BATCH, shape).ok().filter(|many| {
            let same = |row: &[f32]| {
                row.iter()
                    .zip(&answer)
                    .all(|(a, b)| (a - b).abs() <= TOLERANCE * (1.0 + b.abs()))
            };
            run(many, BATCH, shape, &probe.repeat(BATCH)).is_ok_and(|answers| {
                answers.len() == answer.len() * BATCH
                    && answers.chunks_exact(answer.len()).all(same)
            })
        });
        Ok(Network {
            shape: shape.to_vec(),
            answers: answer.len(),
            one,
            many,
        })
    }

    fn plan(&self, batch: usize, shape: &[usize]) -> Result<Arc<TypedRunnableModel>, String> {
        let batched = batched(batch, shape);
        let fact = f32::fact(&batched);
        self.onnx
            .model_for_proto_model(&self.model)
            .and_then(|model| model.with_input_fact(0, fact.into()))
            .and_then(|model| model.into_optimized())
            .and_then(|model| model.into_runnable())
            .map_err(|error| format!("cannot take an input of {}: {error:#}", shown(&batched)))
    }
}

impl Network {
    /// Values answered to a row.
    pub fn answers(&self) -> usize {
        self.answers
    }

    /// Appends the answers to whole rows that lie one after the other: [`Network::answers`] values for each. A row
    /// that the network fails on gives `NaN`.
    pub fn run(&self, rows: &[f32], out: &mut Vec<f32>) {
        let length: usize = self.shape.iter().product();
        let mut rest = rows;
        while !rest.is_empty() {
            let left = rest.len() / length;
            let (plan, batch) = match &self.many {
                Some(many) if left > 1 => (many, BATCH),
                _ => (&self.one, 1),
            };
            let taken = left.min(batch);
            let (now, later) = rest.split_at(taken * length);
            rest = later;
            let mut input = now.to_vec();
            input.resize(batch * length, 0.0);
            let answer = run(plan, batch, &self.shape, &input)
                .ok()
                .filter(|answer| answer.len() == batch * self.answers);
            match answer {
                Some(answer) => out.extend(answer.iter().take(taken * self.answers)),
                None => out.resize(out.len() + taken * self.answers, f32::NAN),
            }
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
    Ok(())
}

fn check_weights(model: &ModelProto) -> Result<(), String> {
    let external = |location: Option<i32>| location == Some(DataLocation::External as i32);
    let mut weights = model.graph.iter().flat_map(|graph| &graph.initializer);
    if weights.any(|tensor| external(tensor.data_location)) {
        return Err("keeps weights in another file; export it as one file".to_owned());
    }
    Ok(())
}

fn check_inputs(model: &ModelProto) -> Result<(), String> {
    let names: Vec<&str> = inputs(model).map(|input| input.name.as_str()).collect();
    if names.len() != 1 {
        return Err(format!(
            "has {} inputs ({}); it must have one",
            names.len(),
            names.join(", ")
        ));
    }
    Ok(())
}

/// What must be given: some exports list the weights among the inputs.
fn inputs(model: &ModelProto) -> impl Iterator<Item = &ValueInfoProto> {
    model.graph.iter().flat_map(|graph| {
        let is_weight =
            |input: &&ValueInfoProto| graph.initializer.iter().any(|one| one.name == input.name);
        graph.input.iter().filter(move |input| !is_weight(input))
    })
}

fn run(
    plan: &Arc<TypedRunnableModel>,
    batch: usize,
    shape: &[usize],
    input: &[f32],
) -> Result<Vec<f32>, String> {
    let answer = || -> TractResult<Vec<f32>> {
        let input = Tensor::from_shape(&batched(batch, shape), input)?;
        let outputs = plan.run(tvec!(input.into()))?;
        match outputs.first() {
            Some(first) => Ok(first.try_as_plain_ram()?.as_slice::<f32>()?.to_vec()),
            None => Ok(Vec::new()),
        }
    };
    let answer = answer();
    end_wide_registers();
    answer.map_err(|error| format!("fails on an input of {}: {error:#}", shown(shape)))
}

/// Frees this thread of what tract leaves behind. Its assembler for AVX and AVX-512 ends without the `vzeroupper` that
/// the calling convention asks for, and while the upper halves of the registers are in use, every SSE instruction (what
/// Rust compiles to by default) waits for the one before it that wrote the same register. Learning the support vectors
/// of `one_class_svm` took 2,046 us a value on a thread that had run `autoencoder` once, and 234 us with this (`forethought
/// bench anomaly --kpi DIR --only autoencoder,one_class_svm`); nothing else ended it, as glibc's AVX-512 functions leave
/// these registers alone. `memchr` looks through 32 bytes and more with AVX2 where there is AVX2, and the compiler puts
/// the instruction at its end: the way to it without `unsafe`.
fn end_wide_registers() {
    const WIDE: [u8; 64] = [0; 64];
    black_box(memchr::memchr(1, black_box(&WIDE)));
}

fn batched(batch: usize, shape: &[usize]) -> Vec<usize> {
    std::iter::once(batch)
        .chain(shape.iter().copied())
        .collect()
}

/// `1 x 32 x 1`.
fn shown(shape: &[usize]) -> String {
    let words: Vec<String> = shape.iter().map(usize::to_string).collect();
    words.join(" x ")
}

/// An ordinary window: a wave with mean 0 and deviation 1.
fn probe(length: usize) -> Vec<f32> {
    (0..length)
        .map(|index| (index as f32 * 0.7).sin() * std::f32::consts::SQRT_2)
        .collect()
}

/// Appends a window, oldest first, as networks see it: scaled to mean 0 and deviation 1, a gap (not finite) taken
/// for the value before it, or the first known one. Gives mean and population standard deviation of the known
/// values; `None` where there are fewer of them than `least`. Nothing is appended then, nor where the deviation is
/// 0: there is nothing to ask.
pub fn standardised(
    values: impl Iterator<Item = f32> + Clone,
    least: usize,
    out: &mut Vec<f32>,
) -> Option<(f64, f64)> {
    let known = || {
        let finite = values.clone().filter(|value| value.is_finite());
        finite.map(f64::from)
    };
    let count = known().count();
    let mut newest = known().next().filter(|_| count >= least)?;
    let mean = known().sum::<f64>() / count as f64;
    let variance = known().map(|value| (value - mean).powi(2)).sum::<f64>() / count as f64;
    let deviation = variance.sqrt();
    if deviation > 0.0 {
        out.extend(values.map(|value| {
            newest = if value.is_finite() {
                value.into()
            } else {
                newest
            };
            ((newest - mean) / deviation) as f32
        }));
    }
    Some((mean, deviation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::function::gamma::ln_gamma;
    use std::time::{Duration, Instant};

    const AUTOENCODER: &[u8] = include_bytes!("../detect/autoencoder/default.onnx");

    /// The time of arithmetic whose steps need not wait for one another; the shortest of many.
    #[expect(
        clippy::disallowed_methods,
        reason = "what the processor does is timed"
    )]
    fn arithmetic() -> Duration {
        let once = || {
            let start = Instant::now();
            let values = (1..200).map(|value| ln_gamma(black_box(f64::from(value))));
            black_box(values.sum::<f64>());
            start.elapsed()
        };
        (0..200).map(|_| once()).min().unwrap_or_default()
    }

    #[test]
    fn a_network_does_not_slow_down_what_runs_after_it() {
        let before = arithmetic();
        let network = NetworkFile::read(AUTOENCODER)
            .unwrap()
            .network(&[64])
            .unwrap();
        network.run(&probe(64), &mut Vec::new());
        let after = arithmetic();
        assert!(after < before * 3 / 2, "{before:?}, then {after:?}");
    }

    #[test]
    fn a_window_is_scaled_and_a_gap_is_the_value_before_it() {
        let mut out = vec![9.0];
        let gap = f32::NAN;
        let values = [gap, 1.0, gap, 3.0, gap];
        let moments = standardised(values.into_iter(), 2, &mut out);
        assert_eq!(moments, Some((2.0, 1.0)));
        assert_eq!(out, [9.0, -1.0, -1.0, -1.0, 1.0, 1.0]);
        assert_eq!(standardised(values.into_iter(), 3, &mut out), None);
        assert_eq!(standardised([gap; 3].into_iter(), 0, &mut out), None);
        let constant = standardised([7.1; 3].into_iter(), 3, &mut out);
        assert_eq!(constant.map(|(_, deviation)| deviation), Some(0.0));
        assert_eq!(out.len(), 6, "nothing was appended");
    }
}
