//! LSTM layers in one piece, and what the library would pass over in silence.
//!
//! tract runs an LSTM as a loop over a small graph, one operation after the other at each step. Here the whole
//! sequence is one operation: the products with the inputs are taken for many steps at once, and a step is one product
//! and the gates of each row. The equations are those of the ONNX operator `LSTM` with its default activations
//! (<https://onnx.ai/onnx/operators/onnx__LSTM.html>). What it costs beside onnxruntime is printed by
//! `benches/network_peers.py`.

use ndarray::{Array1, Array2, ArrayView2, Axis, Slice, linalg::general_mat_mul};
use tract_onnx::{
    Onnx,
    model::ParsingContext,
    ops::rec::{common::CommonRec, lstm},
    pb::{AttributeProto, NodeProto},
    tract_hir::{
        internal::*,
        ops::{math::tanh, nn::sigmoid},
        tract_core::tract_linalg::{element_wise::ElementWise, routines::Func},
    },
};

/// Fewer rows than this are left to the library's loop, whose product of a matrix and a vector packs nothing.
const LEAST_ROWS: i64 = 8;
/// Rows of the products with the inputs that are worked out at once: what they take stays in the cache.
const BLOCK: usize = 512;

/// Teaches `onnx` to read LSTM layers as one operation.
pub(super) fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("LSTM", read);
}

/// What a recurrent layer asks for and the library does not read: it would answer wrongly.
pub(super) fn ignored(node: &NodeProto) -> Option<String> {
    let usual: &[&str] = match node.op_type.as_str() {
        "LSTM" => &["Sigmoid", "Tanh", "Tanh"],
        "GRU" => &["Sigmoid", "Tanh"],
        "RNN" => &["Tanh"],
        _ => return None,
    };
    let attributes = node.attribute.iter();
    let unread = attributes.filter_map(|attribute| unread(attribute, usual));
    let unread: Vec<String> = unread.collect();
    (!unread.is_empty()).then(|| format!("{} with {}", node.op_type, unread.join(" and ")))
}

fn unread(attribute: &AttributeProto, usual: &[&str]) -> Option<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match attribute.name.as_str() {
        "activations" => {
            let names: Vec<String> = attribute.strings.iter().map(|name| text(name)).collect();
            let all = names.iter().zip(usual.iter().cycle());
            let default = all.into_iter().all(|(a, b)| a.eq_ignore_ascii_case(b));
            (!default).then(|| format!("activations {}", names.join(", ")))
        }
        "clip" => Some(format!("clip {}", attribute.f)),
        "input_forget" if attribute.i != 0 => Some("input_forget".to_owned()),
        "direction" if text(&attribute.s) == "reverse" => Some("direction reverse".to_owned()),
        _ => None,
    }
}

type Read = (Box<dyn InferenceOp>, Vec<String>);

fn read(_: &ParsingContext<'_>, node: &NodeProto) -> TractResult<Read> {
    let body = lstm::LSTM {
        f: Box::new(sigmoid()),
        g: Box::new(tanh()),
        h: Box::new(tanh()),
    };
    let layer = CommonRec::from_node_and_options(node, 3, 0, Box::new(body))?;
    Ok((expand(Layer(layer)), Vec::new()))
}

/// An LSTM as it stands in the file.
#[derive(Debug, Clone)]
struct Layer(CommonRec);

impl Expansion for Layer {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        self.0.nboutputs()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        self.0.rules(solver, inputs, outputs)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let Some(whole) = self.whole(model, inputs)? else {
            return self.0.wire(prefix, model, inputs);
        };
        let starts = self.starts().into_iter().flatten();
        let taken: Vec<OutletId> = [0]
            .into_iter()
            .chain(starts)
            .map(|slot| inputs[slot])
            .collect();
        let wired = model.wire_node(prefix, whole, &taken)?;
        let layer = &self.0;
        let slots = [
            layer.optional_y_output,
            layer.optional_y_h_output,
            layer.optional_y_c_output,
        ];
        // Outputs that nobody reads have no slot; the others keep their order.
        let read = slots.iter().zip(wired);
        Ok(read
            .filter_map(|(slot, outlet)| slot.map(|_| outlet))
            .collect())
    }
}

impl Layer {
    /// Where the first state and the first cell are given.
    fn starts(&self) -> [Option<usize>; 2] {
        [
            self.0.optional_initial_h_input,
            self.0.optional_initial_c_input,
        ]
    }

    /// The layer as one operation; `None` for a few rows, and where it has what only the library does: peepholes,
    /// lengths, rows first, weights that are worked out.
    fn whole(&self, model: &TypedModel, inputs: &[OutletId]) -> TractResult<Option<Lstm>> {
        let layer = &self.0;
        let constant = |slot: usize| -> TractResult<Option<Arc<Tensor>>> {
            let known = model.outlet_fact(inputs[slot])?.konst.clone();
            Ok(known.filter(|tensor| tensor.datum_type() == f32::datum_type()))
        };
        let rows = model.outlet_fact(inputs[0])?.shape[1].to_i64();
        let special = !rows.is_ok_and(|rows| rows >= LEAST_ROWS)
            || layer.batch_first
            || layer.optional_sequence_lens_input.is_some()
            || layer.optional_p_input.is_some();
        let bias = layer.optional_bias_input.map(constant).transpose()?;
        let (Some(w), Some(r), false) = (constant(1)?, constant(2)?, special || bias == Some(None))
        else {
            return Ok(None);
        };
        let starts = self.starts().map(|slot| slot.is_some());
        Lstm::new(&w, &r, bias.flatten().as_deref(), starts).map(Some)
    }
}

/// One or two directions over a whole sequence: `(steps, rows, inputs)` gives every state `(steps, directions, rows,
/// hidden)`, the last of them, and the last cell, `(directions, rows, hidden)` each. Further inputs are the first state
/// and the first cell, where they are given; else they are zeros.
#[derive(Debug, Clone, PartialEq)]
struct Lstm {
    hidden: usize,
    starts: [bool; 2],
    directions: Vec<Direction>,
}

impl Eq for Lstm {}

/// Weights of one direction; gates are columns in the order of ONNX: input, output, forget, cell.
#[derive(Debug, Clone, PartialEq)]
struct Direction {
    /// `(inputs, 4 hidden)`.
    input: Array2<f32>,
    /// `(hidden, 4 hidden)`.
    recurrent: Array2<f32>,
    bias: Array1<f32>,
}

impl Lstm {
    /// From `W` `(directions, 4 hidden, inputs)`, `R` `(directions, 4 hidden, hidden)` and `B` `(directions, 8 hidden)`.
    fn new(w: &Tensor, r: &Tensor, b: Option<&Tensor>, starts: [bool; 2]) -> TractResult<Self> {
        let &[directions, gates, inputs] = w.shape() else {
            bail!("weights of shape {:?}", w.shape());
        };
        let hidden = gates / 4;
        let matrix = |tensor: &Tensor, direction: usize, columns: usize| {
            let values = tensor.try_as_plain_ram()?.as_slice::<f32>()?;
            let (from, size) = (direction * gates * columns, gates * columns);
            let rows = ArrayView2::from_shape((gates, columns), &values[from..from + size])?;
            TractResult::Ok(rows.t().as_standard_layout().into_owned())
        };
        let bias = |direction: usize| -> TractResult<Array1<f32>> {
            let Some(b) = b else {
                return Ok(Array1::zeros(gates));
            };
            let both = b.try_as_plain_ram()?.as_slice::<f32>()?;
            let both = &both[2 * gates * direction..2 * gates * (direction + 1)];
            let (of_input, recurrent) = both.split_at(gates);
            Ok(of_input.iter().zip(recurrent).map(|(a, b)| a + b).collect())
        };
        let direction = |index| {
            Ok(Direction {
                input: matrix(w, index, inputs)?,
                recurrent: matrix(r, index, hidden)?,
                bias: bias(index)?,
            })
        };
        Ok(Self {
            hidden,
            starts,
            directions: (0..directions).map(direction).collect::<TractResult<_>>()?,
        })
    }
}

impl Op for Lstm {
    fn name(&self) -> StaticName {
        "WholeLstm".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Lstm {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let &[steps, rows, width] = inputs[0].shape() else {
            bail!("a sequence of shape {:?}", inputs[0].shape());
        };
        let sequence = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;
        let sequence = ArrayView2::from_shape((steps * rows, width), sequence)?;
        let (directions, size) = (self.directions.len(), rows * self.hidden);
        let mut states = vec![0.0; steps * directions * size];
        let (mut last, mut cells) = (Vec::new(), Vec::new());
        let mut given = inputs[1..].iter();
        let [state, cell] = self
            .starts
            .map(|start| start.then(|| given.next()).flatten());
        for (index, direction) in self.directions.iter().enumerate() {
            let start = |given: Option<&TValue>| -> TractResult<Vec<f32>> {
                let Some(given) = given else {
                    return Ok(vec![0.0; size]);
                };
                let values = given.try_as_plain_ram()?.as_slice::<f32>()?;
                let own = values.get(index * size..(index + 1) * size);
                Ok(own.context("a start for every row")?.to_vec())
            };
            let mut walk = Walk {
                direction,
                rows,
                steps,
                backwards: index == 1,
                state: Array2::from_shape_vec((rows, self.hidden), start(state)?)?,
                cell: start(cell)?,
                sigmoid: Func::Sigmoid.ew_f32()?,
                tanh: Func::Tanh.ew_f32()?,
            };
            walk.run(&sequence, |step, state| {
                let from = (step * directions + index) * size;
                states[from..from + size].copy_from_slice(state);
            })?;
            last.extend_from_slice(walk.state.as_slice().unwrap_or_default());
            cells.append(&mut walk.cell);
        }
        let end = [directions, rows, self.hidden];
        Ok(tvec!(
            Tensor::from_shape(&[steps, directions, rows, self.hidden], &states)?.into(),
            Tensor::from_shape(&end, &last)?.into(),
            Tensor::from_shape(&end, &cells)?.into()
        ))
    }
}

impl TypedOp for Lstm {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shape = &inputs[0].shape;
        let (directions, hidden) = (self.directions.len().to_dim(), self.hidden.to_dim());
        let all = [
            shape[0].clone(),
            directions.clone(),
            shape[1].clone(),
            hidden.clone(),
        ];
        let end = f32::fact([directions, shape[1].clone(), hidden]);
        Ok(tvec!(f32::fact(all), end.clone(), end))
    }

    as_op!();
}

/// One direction on its way over a sequence.
struct Walk<'a> {
    direction: &'a Direction,
    rows: usize,
    steps: usize,
    backwards: bool,
    /// `(rows, hidden)`.
    state: Array2<f32>,
    /// The same in one piece.
    cell: Vec<f32>,
    sigmoid: Box<dyn ElementWise<f32>>,
    tanh: Box<dyn ElementWise<f32>>,
}

impl Walk<'_> {
    /// Walks over `sequence`, `(steps rows, inputs)`, and tells each state with the number of its step.
    fn run(
        &mut self,
        sequence: &ArrayView2<'_, f32>,
        mut tell: impl FnMut(usize, &[f32]),
    ) -> TractResult<()> {
        let (rows, gates) = (self.rows, self.direction.bias.len());
        let block = (BLOCK / rows.max(1)).clamp(1, self.steps.max(1));
        let mut products = Array2::zeros((block * rows, gates));
        let steps = |first: usize, count: usize| Slice::from(first * rows..(first + count) * rows);
        for done in (0..self.steps).step_by(block) {
            let count = block.min(self.steps - done);
            let first = match self.backwards {
                false => done,
                true => self.steps - done - count,
            };
            let mut products = products.slice_axis_mut(Axis(0), steps(0, count));
            products.assign(&self.direction.bias.view().insert_axis(Axis(0)));
            let inputs = sequence.slice_axis(Axis(0), steps(first, count));
            general_mat_mul(1.0, &inputs, &self.direction.input, 1.0, &mut products);
            for step in 0..count {
                let step = if self.backwards {
                    count - 1 - step
                } else {
                    step
                };
                let mut own = products.slice_axis_mut(Axis(0), steps(step, 1));
                general_mat_mul(1.0, &self.state, &self.direction.recurrent, 1.0, &mut own);
                self.step(own.as_slice_mut().context("rows in one piece")?)?;
                tell(first + step, self.state.as_slice().unwrap_or_default());
            }
        }
        Ok(())
    }

    /// One step of all rows, from what their gates add up to.
    fn step(&mut self, gates: &mut [f32]) -> TractResult<()> {
        let hidden = self.state.ncols();
        let states = self.state.as_slice_mut().context("rows in one piece")?;
        let rows = gates.chunks_exact_mut(4 * hidden);
        let rows = rows
            .zip(self.cell.chunks_exact_mut(hidden))
            .zip(states.chunks_exact_mut(hidden));
        for ((gates, cell), state) in rows {
            let (open, new) = gates.split_at_mut(3 * hidden);
            self.sigmoid.run(open)?;
            self.tanh.run(new)?;
            // The kernels leave the wide registers in use, which slows down the loops between them: half of all time.
            super::end_wide_registers();
            let (input, rest) = open.split_at(hidden);
            let (output, forget) = rest.split_at(hidden);
            for (((cell, forget), input), new) in cell.iter_mut().zip(forget).zip(input).zip(new) {
                *cell = *forget * *cell + *input * *new;
            }
            state.copy_from_slice(cell);
            self.tanh.run(state)?;
            super::end_wide_registers();
            for (state, output) in state.iter_mut().zip(output) {
                *state *= *output;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::NetworkFile;
    use prost::Message as _;
    use tract_onnx::pb::{AttributeProto, ModelProto};

    const BIDIRECTIONAL: &[u8] = include_bytes!("../../../tests/fixtures/onnx/bilstm.onnx");

    /// The file with an attribute put to its recurrent layers.
    fn with(attribute: &AttributeProto) -> Vec<u8> {
        let mut model = ModelProto::decode(BIDIRECTIONAL).unwrap();
        let nodes = &mut model.graph.as_mut().unwrap().node;
        for node in nodes.iter_mut().filter(|node| node.op_type == "LSTM") {
            node.attribute.retain(|one| one.name != attribute.name);
            node.attribute.push(attribute.clone());
        }
        model.encode_to_vec()
    }

    fn named(name: &str) -> AttributeProto {
        AttributeProto {
            name: name.to_owned(),
            ..AttributeProto::default()
        }
    }

    /// What one row is answered by the library is held against onnxruntime in the tests of `contract`.
    #[test]
    fn layers_in_one_piece_answer_what_the_loop_of_the_library_does() {
        let file = NetworkFile::read(BIDIRECTIONAL).unwrap();
        let network = file.network(&[60, 50]).unwrap();
        let batches: Vec<usize> = network.plans.iter().map(|(rows, _)| *rows).collect();
        assert_eq!(batches, [1, 16, 64]);
        let whole = |plan: usize| {
            let mut nodes = network.plans[plan].1.model().nodes().iter();
            nodes.any(|node| node.op.name() == "WholeLstm")
        };
        assert_eq!([whole(0), whole(1), whole(2)], [false, true, true]);

        let wave = |index: usize| (index as f32 * 0.37 + (index / 3_000) as f32).sin();
        let rows: Vec<f32> = (0..64 * 3_000).map(wave).collect();
        let (mut together, mut alone) = (Vec::new(), Vec::new());
        network.run(&rows, &mut together);
        for row in rows.chunks_exact(3_000) {
            network.run(row, &mut alone);
        }
        for (one, other) in together.iter().zip(&alone) {
            assert!((one - other).abs() < 1e-5, "{one} {other}");
        }
        assert!(alone.iter().any(|value| (value - alone[0]).abs() > 0.01));
    }

    #[test]
    fn what_the_library_would_pass_over_is_refused() {
        let backwards = AttributeProto {
            s: b"reverse".to_vec(),
            ..named("direction")
        };
        let activations = AttributeProto {
            strings: ["Sigmoid", "Relu", "Relu"]
                .map(|name| name.as_bytes().to_vec())
                .to_vec(),
            ..named("activations")
        };
        let clip = AttributeProto {
            f: 3.0,
            ..named("clip")
        };
        for (attribute, said) in [
            (backwards, "LSTM with direction reverse"),
            (activations, "LSTM with activations Sigmoid, Relu, Relu"),
            (clip, "LSTM with clip 3"),
        ] {
            let error = NetworkFile::read(&with(&attribute)).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        let usual = AttributeProto {
            strings: ["Sigmoid", "Tanh", "Tanh"]
                .repeat(2)
                .iter()
                .map(|name| name.as_bytes().to_vec())
                .collect(),
            ..named("activations")
        };
        assert!(NetworkFile::read(&with(&usual)).is_ok());
    }
}
