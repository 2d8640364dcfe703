//! A network as the very operations of our own arithmetic.

use super::{Graph, INPUT, finish};
use crate::train::{
    LEVELS, OUTPUT,
    lstm::Lstm,
    mlp::Mlp,
    network::{Body, CUT, Layer, Network},
};
use ndarray::{Array2, ArrayView2};

/// The bytes of the file.
pub(in crate::train) fn write(network: &Network) -> Vec<u8> {
    let horizons = network.head.straight.nrows() / LEVELS.len();
    let mut graph = Graph::default();
    graph.integers("by_horizon", &[-1, horizons as i64, LEVELS.len() as i64]);
    graph.floats("least", &[], &[-CUT]);
    graph.floats("most", &[], &[CUT]);
    graph.floats("one", &[], &[1.0]);
    graph.matrix("straight", &network.head.straight.view());
    graph.matrix("steps", &network.head.steps.view());
    graph.node("Clip", &[INPUT, "least", "most"], "numbers");
    match &network.body {
        Body::Mlp(mlp) => perceptron(&mut graph, mlp),
        Body::Lstm(lstm) => recurrent(&mut graph, lstm),
    }
    softplus(&mut graph, "z", "softplus");
    graph.node("MatMul", &["z", "straight"], "medians");
    graph.node("MatMul", &["softplus", "steps"], "spreads");
    graph.node("Add", &["medians", "spreads"], "quantiles");
    graph.node("Reshape", &["quantiles", "by_horizon"], OUTPUT);
    finish(graph, network.shape, (horizons, LEVELS.len()))
}

fn perceptron(graph: &mut Graph, mlp: &Mlp) {
    graph.integers("flat", &[-1, mlp.layers[0].weights.nrows() as i64]);
    graph.node("Reshape", &["numbers", "flat"], "layer0");
    for (index, layer) in mlp.layers.iter().enumerate() {
        let named = |what: &str| format!("{what}{index}");
        let last = index + 1 == mlp.layers.len();
        let sum = if last { "z".to_owned() } else { named("sum") };
        dense(graph, layer, &named("layer"), &sum);
        if !last {
            graph.node("Relu", &[&sum], &format!("layer{}", index + 1));
        }
    }
}

/// The operator wants `(rows, batch, width)`, the weights of one direction with the gates in front, and a bias for each
/// of input and state.
fn recurrent(graph: &mut Graph, lstm: &Lstm) {
    let units = lstm.units();
    let turned = |weights: &Array2<f32>| weights.t().to_owned();
    let (input, state) = (
        turned(&lstm.layers[0].weights),
        turned(&lstm.layers[1].weights),
    );
    direction(graph, "input_weights", &input.view());
    direction(graph, "state_weights", &state.view());
    let mut bias = lstm.layers[0].bias.to_vec();
    bias.resize(8 * units, 0.0);
    graph.floats("both_biases", &[1, 8 * units], &bias);
    graph.integers("flat", &[-1, units as i64]);
    graph.transpose("numbers", "by_row", &[1, 0, 2]);
    let inputs = ["by_row", "input_weights", "state_weights", "both_biases"];
    graph.node_outputs(
        "LSTM",
        &inputs,
        &["states", "last_state"],
        &[("hidden_size", units as i64)],
    );
    graph.node("Reshape", &["last_state", "flat"], "layer2");
    dense(graph, &lstm.layers[2], "layer2", "z");
}

fn direction(graph: &mut Graph, name: &str, matrix: &ArrayView2<'_, f32>) {
    let values: Vec<f32> = matrix.iter().copied().collect();
    graph.floats(name, &[1, matrix.nrows(), matrix.ncols()], &values);
}

fn dense(graph: &mut Graph, layer: &Layer, input: &str, output: &str) {
    let (weights, bias) = (format!("{output}_weights"), format!("{output}_bias"));
    graph.matrix(&weights, &layer.weights.view());
    graph.floats(&bias, &[layer.bias.len()], &layer.bias.to_vec());
    graph.node("Gemm", &[input, &weights, &bias], output);
}

/// `max(z, 0) + ln(1 + e^-|z|)`: as our own arithmetic has it.
fn softplus(graph: &mut Graph, z: &str, output: &str) {
    graph.node("Relu", &[z], "above");
    graph.node("Abs", &[z], "amount");
    graph.node("Neg", &["amount"], "negative");
    graph.node("Exp", &["negative"], "power");
    graph.node("Add", &["power", "one"], "sum");
    graph.node("Log", &["sum"], "rest");
    graph.node("Add", &["above", "rest"], output);
}
