//! A neural network from an ONNX file: checked when loaded, then run. The core does no IO: bytes come in.

mod recurrent;

use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    hint::black_box,
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
};
use tract_onnx::{
    Onnx,
    pb::{
        GraphProto, ModelProto, NodeProto, ValueInfoProto,
        tensor_proto::DataLocation,
        tensor_shape_proto::{Dimension, dimension::Value as Extent},
        type_proto::Value as Type,
    },
    prelude::*,
};

/// Contents of the model files named in configuration: the application reads them.
pub type ModelFiles = BTreeMap<PathBuf, Arc<[u8]>>;

/// What runs for every series is small; a larger file is a mistake.
pub const MOST_BYTES: usize = 64 << 20;
/// More operations than this are no network that runs for every series; the largest of the tests has 300.
const MOST_NODES: usize = 20_000;
/// Rows answered in one run: larger batches were not faster.
const BATCHES: [usize; 2] = [16, 64];
/// Operators whose work no shape bounds: what runs at every step must end. `Scan` is not among them, as it goes once through
/// a tensor that is there.
const UNBOUNDED: &[&str] = &["Loop"];
/// How far the two plans may differ on the same row.
const TOLERANCE: f32 = 1e-3;

/// An ONNX file that was understood, with one input; made a [`Network`] by the shape of that input.
pub struct NetworkFile {
    onnx: Onnx,
    model: ModelProto,
}

/// How many rows a network takes in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    /// Any number of them.
    #[default]
    Dynamic,
    /// Always so many.
    Fixed(usize),
}

/// A network `(N, ..) -> (N, ..)` of numbers: rows of a fixed shape, each answered by itself.
pub struct Network {
    /// The shape of a row.
    shape: Vec<usize>,
    /// The outputs that are read, in this order: their place among those of the file.
    outputs: Vec<usize>,
    /// The shape of each of them for one row.
    answers: Vec<Vec<usize>>,
    /// By rows in a run, ascending: at least one.
    plans: Vec<(usize, Plan)>,
}

type Plan = Arc<TypedRunnableModel>;

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
        let mut onnx = tract_onnx::onnx()
            .with_ignore_value_info(true)
            .with_ignore_output_shapes(true);
        recurrent::register(&mut onnx);
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
        let extent = |value: &Option<Extent>| match value {
            Some(Extent::DimValue(extent)) => usize::try_from(*extent).ok(),
            _ => None,
        };
        let rest = self.dimensions()?.get(1..)?.iter();
        rest.map(|dimension| extent(&dimension.value)).collect()
    }

    /// How many rows it takes, where the file fixes that.
    pub fn fixed_rows(&self) -> Option<usize> {
        match &self.dimensions()?.first()?.value {
            Some(Extent::DimValue(rows)) => usize::try_from(*rows).ok(),
            _ => None,
        }
    }

    /// How many dimensions its input has beside the batch; `None` where the file does not say.
    pub fn row_rank(&self) -> Option<usize> {
        self.dimensions()?.len().checked_sub(1)
    }

    fn dimensions(&self) -> Option<&[Dimension]> {
        let input = inputs(&self.model).next()?;
        let Type::TensorType(tensor) = input.r#type.as_ref()?.value.as_ref()?;
        Some(&tensor.shape.as_ref()?.dim)
    }

    /// The names of its outputs, in order.
    pub fn outputs(&self) -> Vec<&str> {
        let outputs = self.model.graph.iter().flat_map(|graph| &graph.output);
        outputs.map(|output| output.name.as_str()).collect()
    }

    /// The network for rows of this shape, tried on a plain wave; the first output is what it answers.
    ///
    /// # Errors
    /// What does not fit: the shape, or what it answers.
    pub fn network(&self, shape: &[usize]) -> Result<Network, String> {
        self.network_of(shape, Rows::Dynamic, vec![0])
    }

    /// As [`NetworkFile::network`], for a network that takes so many rows; it answers these of its
    /// [`NetworkFile::outputs`], by their place, one after the other.
    ///
    /// # Errors
    /// What does not fit: the shape, or what it answers.
    pub fn network_of(
        &self,
        shape: &[usize],
        rows: Rows,
        outputs: Vec<usize>,
    ) -> Result<Network, String> {
        // The library panics on some files that are no models of its kind.
        let built = catch_unwind(AssertUnwindSafe(|| self.tried(shape, rows, outputs)));
        built.unwrap_or_else(|_| Err("cannot be run: the ONNX library panicked on it".to_owned()))
    }

    fn tried(&self, shape: &[usize], rows: Rows, outputs: Vec<usize>) -> Result<Network, String> {
        let first = match rows {
            Rows::Dynamic => 1,
            Rows::Fixed(count) => count.max(1),
        };
        let mut network = Network {
            shape: shape.to_vec(),
            outputs,
            answers: Vec::new(),
            plans: vec![(first, self.plan(first, shape)?)],
        };
        let probe = probe(shape.iter().product());
        let (answer, shapes) = network.tried_with(&network.plans[0], &probe)?;
        if answer.is_empty() {
            return Err("answers nothing".to_owned());
        }
        if !answer.iter().all(|value| value.is_finite()) {
            return Err("answers a plain wave with a value that is not finite".to_owned());
        }
        network.answers = shapes;
        let one = &answer[..network.answers()];
        if !same(one, &answer) {
            return Err("answers the same row differently in one run".to_owned());
        }
        if rows == Rows::Dynamic {
            // Some exports take one row only, and some take many and answer wrongly.
            let plans = BATCHES.iter().filter_map(|&batch| {
                let plan = (batch, self.plan(batch, shape).ok()?);
                let (answers, _) = network.tried_with(&plan, &probe).ok()?;
                same(one, &answers).then_some(plan)
            });
            let plans: Vec<_> = plans.collect();
            network.plans.extend(plans);
        }
        Ok(network)
    }

    fn plan(&self, batch: usize, shape: &[usize]) -> Result<Plan, String> {
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
        self.answers.iter().map(|shape| extent(shape)).sum()
    }

    /// The shape of each output for one row.
    pub fn shapes(&self) -> &[Vec<usize>] {
        &self.answers
    }

    /// Numbers in a row.
    pub fn row_len(&self) -> usize {
        extent(&self.shape)
    }

    /// Appends the answers to whole rows that lie one after the other: [`Network::answers`] values for each. A row
    /// that the network fails on gives `NaN`.
    pub fn run(&self, rows: &[f32], out: &mut Vec<f32>) {
        let (length, answers) = (self.row_len(), self.answers());
        let mut rest = rows;
        while !rest.is_empty() {
            let left = rest.len() / length;
            let (batch, plan) = self.plan_for(left);
            let taken = left.min(*batch);
            let (now, later) = rest.split_at(taken * length);
            rest = later;
            let mut input = now.to_vec();
            input.resize(batch * length, 0.0);
            let answer = run(plan, *batch, &self.shape, &input, &self.outputs)
                .ok()
                .map(|outputs| joined(&outputs, *batch))
                .filter(|answer| answer.len() == batch * answers);
            match answer {
                Some(answer) => out.extend(answer.iter().take(taken * answers)),
                None => out.resize(out.len() + taken * answers, f32::NAN),
            }
        }
    }

    /// The plan with the most rows of which no more than half would be padding, or the smallest.
    fn plan_for(&self, left: usize) -> &(usize, Plan) {
        let fits = self
            .plans
            .iter()
            .rev()
            .find(|(batch, _)| left * 2 >= *batch);
        fits.unwrap_or(&self.plans[0])
    }

    /// What a plan answers to a row repeated, and the shape of each output for one row.
    fn tried_with(
        &self,
        (batch, plan): &(usize, Plan),
        row: &[f32],
    ) -> Result<(Vec<f32>, Vec<Vec<usize>>), String> {
        let outputs = run(
            plan,
            *batch,
            &self.shape,
            &row.repeat(*batch),
            &self.outputs,
        )?;
        let mut shapes = Vec::new();
        for output in &outputs {
            match output.shape.split_first() {
                Some((rows, rest)) if rows == batch => shapes.push(rest.to_vec()),
                _ => {
                    return Err(format!(
                        "answers {} to {batch} rows; the first dimension must be the row",
                        shown(&output.shape)
                    ));
                }
            }
        }
        Ok((joined(&outputs, *batch), shapes))
    }
}

/// One output of a run.
struct Output {
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// The outputs of each row one after the other.
fn joined(outputs: &[Output], batch: usize) -> Vec<f32> {
    let of_row = |row: usize| {
        outputs.iter().flat_map(move |output| {
            let length = output.values.len() / batch;
            &output.values[row * length..(row + 1) * length]
        })
    };
    (0..batch).flat_map(of_row).copied().collect()
}

/// Whether `answers` are `answer` again and again.
fn same(answer: &[f32], answers: &[f32]) -> bool {
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= TOLERANCE * (1.0 + b.abs());
    let mut rows = answers.chunks_exact(answer.len());
    rows.all(|row| row.iter().zip(answer).all(near))
}

fn extent(shape: &[usize]) -> usize {
    shape.iter().product()
}

fn check_operators(model: &ModelProto, known: impl Fn(&str) -> bool) -> Result<(), String> {
    let graph = model.graph.as_ref().ok_or("holds no graph")?;
    let mut nodes = Vec::new();
    collect_operators(graph, &mut nodes);
    if nodes.len() > MOST_NODES {
        let count = nodes.len();
        return Err(format!("has {count} operations; at most {MOST_NODES}"));
    }
    if let Some(node) = nodes
        .iter()
        .find(|node| UNBOUNDED.contains(&node.op_type.as_str()))
    {
        let kind = &node.op_type;
        return Err(format!(
            "uses {kind}, which may never end; export it with a fixed number of steps"
        ));
    }
    if let Some(ignored) = nodes.iter().find_map(|node| recurrent::ignored(node)) {
        return Err(format!(
            "uses {ignored}, which cannot be run; export it without"
        ));
    }
    let kinds = nodes.iter().map(|node| node.op_type.as_str());
    let mut unknown: Vec<&str> = kinds.filter(|kind| !known(kind)).collect();
    unknown.sort_unstable();
    unknown.dedup();
    if !unknown.is_empty() {
        return Err(format!("uses unknown operators: {}", unknown.join(", ")));
    }
    Ok(())
}

/// The operators of a graph, and of those inside its operations (branches, bodies of loops).
fn collect_operators<'m>(graph: &'m GraphProto, nodes: &mut Vec<&'m NodeProto>) {
    for node in &graph.node {
        nodes.push(node);
        for attribute in &node.attribute {
            for inner in attribute.g.iter().chain(&attribute.graphs) {
                collect_operators(inner, nodes);
            }
        }
    }
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
    plan: &Plan,
    batch: usize,
    shape: &[usize],
    input: &[f32],
    outputs: &[usize],
) -> Result<Vec<Output>, String> {
    let answer = || -> TractResult<Vec<Output>> {
        let input = Tensor::from_shape(&batched(batch, shape), input)?;
        let answered = plan.run(tvec!(input.into()))?;
        let wanted = outputs.iter().filter_map(|&place| answered.get(place));
        wanted.map(|tensor| read_output(tensor)).collect()
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

fn read_output(tensor: &Tensor) -> TractResult<Output> {
    Ok(Output {
        shape: tensor.shape().to_vec(),
        values: tensor.try_as_plain_ram()?.as_slice::<f32>()?.to_vec(),
    })
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
    use tract_onnx::pb::{AttributeProto, NodeProto};

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
    fn what_may_never_end_is_refused_by_name() {
        use prost::Message;
        let mut model = ModelProto::decode(AUTOENCODER).unwrap();
        let body = NodeProto {
            op_type: "Loop".to_owned(),
            ..NodeProto::default()
        };
        // Inside a branch, where it is no less endless.
        let branch = AttributeProto {
            name: "then_branch".to_owned(),
            g: Some(GraphProto {
                node: vec![body],
                ..GraphProto::default()
            }),
            ..AttributeProto::default()
        };
        let node = &mut model.graph.as_mut().unwrap().node[0];
        node.attribute.push(branch);
        let problem = NetworkFile::read(&model.encode_to_vec()).unwrap_err();
        assert!(
            problem.contains("uses Loop, which may never end"),
            "{problem}"
        );
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
