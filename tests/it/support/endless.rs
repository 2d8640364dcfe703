//! A network that goes on and on.

use prost::Message;
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, tensor_proto::DataType,
};

const WIDTH: usize = 1_024;

/// A network that multiplies matrices of a thousand rows so often, each time two thousand million operations; the weights are
/// stored once. Its input, 16 values, and its output are called as those of `template`.
pub(crate) fn endless(template: &[u8], products: usize) -> Vec<u8> {
    let template = ModelProto::decode(template).unwrap();
    let graph = template.graph.unwrap();
    let (input, output) = (graph.input[0].clone(), graph.output[0].clone());
    let tensor = |name: &str, dims: &[usize], value: f32| TensorProto {
        name: name.to_owned(),
        dims: dims.iter().map(|&extent| extent as i64).collect(),
        data_type: DataType::Float as i32,
        raw_data: value.to_le_bytes().repeat(dims.iter().product()),
        ..TensorProto::default()
    };
    let node = |kind: &str, inputs: [&str; 2], output: &str| NodeProto {
        op_type: kind.to_owned(),
        input: inputs.map(str::to_owned).to_vec(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    };
    let flat = TensorProto {
        name: "flat".to_owned(),
        dims: vec![3],
        data_type: DataType::Int64 as i32,
        raw_data: [-1_i64, 1, 16]
            .iter()
            .flat_map(|extent| extent.to_le_bytes())
            .collect(),
        ..TensorProto::default()
    };
    let weights = [
        flat,
        tensor("wide", &[16, WIDTH], 0.01),
        tensor("square", &[WIDTH, WIDTH], 0.001),
    ];
    // (N, 16) to (N, 1, WIDTH), and by a sum to (N, WIDTH, WIDTH): a square that depends on the window.
    let mut nodes = vec![
        node("Reshape", [&input.name, "flat"], "rows"),
        node("MatMul", ["rows", "wide"], "row"),
        node("Add", ["row", "square"], "x0"),
    ];
    for step in 0..products {
        let (from, to) = (format!("x{step}"), format!("x{}", step + 1));
        nodes.push(node("MatMul", [&from, "square"], &to));
    }
    let last = NodeProto {
        op_type: "Identity".to_owned(),
        input: vec![format!("x{products}")],
        output: vec![output.name.clone()],
        ..NodeProto::default()
    };
    nodes.push(last);
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 17,
        }],
        graph: Some(GraphProto {
            name: "endless".to_owned(),
            node: nodes,
            initializer: weights.to_vec(),
            input: vec![input],
            output: vec![output],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
    .encode_to_vec()
}
