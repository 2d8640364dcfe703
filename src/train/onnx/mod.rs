//! What was learnt as an ONNX file: plain operators of 2022, with a batch of any size.

pub(super) mod forest;
pub(super) mod network;

use super::OUTPUT;
use ndarray::ArrayView2;
use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto,
    attribute_proto::AttributeType,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension::Value as Extent},
    type_proto::{Tensor, Value as Type},
};

/// Format and operators of 2022: every runtime of today reads them.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;
const INPUT: &str = "window";

/// The bytes of the file: `window (batch, rows, width)` to `forecast (batch, horizons, levels)`.
fn finish(graph: Graph, window: (usize, usize), answer: (usize, usize)) -> Vec<u8> {
    let graph = GraphProto {
        name: "forethought".to_owned(),
        node: graph.nodes,
        initializer: graph.tensors,
        input: vec![value(INPUT, &[window.0, window.1])],
        output: vec![value(OUTPUT, &[answer.0, answer.1])],
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

/// A graph that is written.
#[derive(Debug, Default)]
struct Graph {
    nodes: Vec<NodeProto>,
    tensors: Vec<TensorProto>,
}

impl Graph {
    fn node(&mut self, kind: &str, inputs: &[&str], output: &str) {
        self.node_with(kind, inputs, output, &[]);
    }

    fn node_with(&mut self, kind: &str, inputs: &[&str], output: &str, attributes: &[(&str, i64)]) {
        self.node_outputs(kind, inputs, &[output], attributes);
    }

    fn node_outputs(
        &mut self,
        kind: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[(&str, i64)],
    ) {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let attribute = |&(name, number): &(&str, i64)| AttributeProto {
            name: name.to_owned(),
            r#type: AttributeType::Int as i32,
            i: number,
            ..AttributeProto::default()
        };
        self.nodes.push(NodeProto {
            name: outputs.join("_"),
            op_type: kind.to_owned(),
            input: owned(inputs),
            output: owned(outputs),
            attribute: attributes.iter().map(attribute).collect(),
            ..NodeProto::default()
        });
    }

    /// Truth to 1 and 0, or whole numbers to integers.
    fn cast(&mut self, input: &str, output: &str, kind: DataType) {
        self.node_with("Cast", &[input], output, &[("to", i64::from(kind as i32))]);
    }

    fn transpose(&mut self, input: &str, output: &str, axes: &[i64]) {
        self.node("Transpose", &[input], output);
        if let Some(node) = self.nodes.last_mut() {
            node.attribute.push(AttributeProto {
                name: "perm".to_owned(),
                r#type: AttributeType::Ints as i32,
                ints: axes.to_vec(),
                ..AttributeProto::default()
            });
        }
    }

    fn matrix(&mut self, name: &str, matrix: &ArrayView2<'_, f32>) {
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
