//! The network as an ONNX file: the very operations of `network` and [`super::head`], with a batch of any size.

use super::{
    LEVELS, OUTPUT,
    network::{CUT, Layer, Network},
};
use ndarray::Array2;
use prost::Message;
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension::Value as Extent},
    type_proto::{Tensor, Value as Type},
};

/// Format and operators of 2022: every runtime of today reads them.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;
const INPUT: &str = "window";

/// The bytes of the file: `window (batch, rows, width)` to `forecast (batch, horizons, levels)`.
pub(super) fn write(network: &Network, rows: usize, width: usize) -> Vec<u8> {
    let outputs = network.head.straight.nrows();
    let (inputs, horizons) = (rows * width, outputs / LEVELS.len());
    let mut graph = Graph::default();
    graph.integers("flat", &[-1, inputs as i64]);
    graph.integers("by_horizon", &[-1, horizons as i64, LEVELS.len() as i64]);
    graph.floats("least", &[], &[-CUT]);
    graph.floats("most", &[], &[CUT]);
    graph.floats("one", &[], &[1.0]);
    graph.matrix("straight", &network.head.straight);
    graph.matrix("steps", &network.head.steps);
    graph.node("Reshape", &[INPUT, "flat"], "numbers");
    graph.node("Clip", &["numbers", "least", "most"], "layer0");
    for (index, layer) in network.layers.iter().enumerate() {
        graph.layer(index, layer);
    }
    graph.softplus("z", "softplus");
    graph.node("MatMul", &["z", "straight"], "medians");
    graph.node("MatMul", &["softplus", "steps"], "spreads");
    graph.node("Add", &["medians", "spreads"], "quantiles");
    graph.node("Reshape", &["quantiles", "by_horizon"], OUTPUT);
    let graph = GraphProto {
        name: "forethought".to_owned(),
        node: graph.nodes,
        initializer: graph.tensors,
        input: vec![value(INPUT, &[rows, width])],
        output: vec![value(OUTPUT, &[horizons, LEVELS.len()])],
        ..GraphProto::default()
    };
    let model = ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
        producer_name: "forethought".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph),
        ..ModelProto::default()
    };
    model.encode_to_vec()
}

#[derive(Debug, Default)]
struct Graph {
    nodes: Vec<NodeProto>,
    tensors: Vec<TensorProto>,
}

impl Graph {
    fn node(&mut self, kind: &str, inputs: &[&str], output: &str) {
        self.nodes.push(NodeProto {
            name: output.to_owned(),
            op_type: kind.to_owned(),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        });
    }

    /// From `layer{index}` to the next one, or to `z` after the last.
    fn layer(&mut self, index: usize, layer: &Layer) {
        let named = |what: &str| format!("{what}{index}");
        let (weights, bias) = (named("weights"), named("bias"));
        self.matrix(&weights, &layer.weights);
        self.floats(&bias, &[layer.bias.len()], &layer.bias.to_vec());
        let last = index == 2;
        let sum = if last { "z".to_owned() } else { named("sum") };
        self.node("Gemm", &[&named("layer"), &weights, &bias], &sum);
        if !last {
            self.node("Relu", &[&sum], &format!("layer{}", index + 1));
        }
    }

    /// `max(z, 0) + ln(1 + e^-|z|)`: as our own arithmetic has it.
    fn softplus(&mut self, z: &str, output: &str) {
        self.node("Relu", &[z], "above");
        self.node("Abs", &[z], "amount");
        self.node("Neg", &["amount"], "negative");
        self.node("Exp", &["negative"], "power");
        self.node("Add", &["power", "one"], "sum");
        self.node("Log", &["sum"], "rest");
        self.node("Add", &["above", "rest"], output);
    }

    fn matrix(&mut self, name: &str, matrix: &Array2<f32>) {
        let values: Vec<f32> = matrix.iter().copied().collect();
        self.floats(name, &[matrix.nrows(), matrix.ncols()], &values);
    }

    fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.tensor(name, shape, DataType::Float, bytes.collect());
    }

    fn integers(&mut self, name: &str, values: &[i64]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.tensor(name, &[values.len()], DataType::Int64, bytes.collect());
    }

    fn tensor(&mut self, name: &str, shape: &[usize], kind: DataType, bytes: Vec<u8>) {
        self.tensors.push(TensorProto {
            name: name.to_owned(),
            dims: shape.iter().map(|&extent| extent as i64).collect(),
            data_type: kind as i32,
            raw_data: bytes,
            ..TensorProto::default()
        });
    }
}

/// `(batch, ..shape)` of 32-bit floats.
fn value(name: &str, shape: &[usize]) -> ValueInfoProto {
    let dimension = |value: Extent| Dimension {
        value: Some(value),
        ..Dimension::default()
    };
    let batch = dimension(Extent::DimParam("batch".to_owned()));
    let rest = shape
        .iter()
        .map(|&extent| dimension(Extent::DimValue(extent as i64)));
    let tensor = Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto {
            dim: std::iter::once(batch).chain(rest).collect(),
        }),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(Type::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}
