//! Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000) by our own arithmetic.
//!
//! Over the rows `x` of a window, oldest first, from `h = c = 0`:
//!
//! ```text
//! i, o, f = sigmoid(x W + h R + b)     g = tanh(x W + h R + b)     each with its columns of W, R and b
//! c = f c + i g                        h = o tanh(c)
//! ```
//!
//! and a dense layer takes the last `h`. The columns are in the order of ONNX: input, output, forget, cell. The gradient goes back
//! through all rows of the window (Werbos 1990); that is where it is cut off.

use super::{head::sigmoid, network::Layer};
use fastrand::Rng;
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis, Slice};

/// A window row by row, and one dense layer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lstm {
    /// `features x 4 units` with the bias, `units x 4 units` without one, `units x out`.
    pub(super) layers: Vec<Layer>,
    /// Rows of a window.
    pub(super) rows: usize,
}

/// What the rows gave on the way: all windows at the first row of the window, then at the second, and so on.
struct Trace {
    /// Windows.
    count: usize,
    /// By features.
    inputs: Array2<f32>,
    /// By 4 units: what comes out of sigmoid and tanh.
    gates: Array2<f32>,
    /// By units, before each row and after the last one.
    cells: Array2<f32>,
    hiddens: Array2<f32>,
}

impl Lstm {
    /// One that knows nothing and forgets slowly (Jozefowicz et al. 2015: a bias of 1).
    pub(super) fn random(
        (rows, width): (usize, usize),
        units: usize,
        outputs: usize,
        rng: &mut Rng,
    ) -> Self {
        let bound = 1.0 / (units as f32).sqrt();
        let mut uniform = |inputs: usize| {
            Array2::from_shape_simple_fn((inputs, 4 * units), || bound * (2.0 * rng.f32() - 1.0))
        };
        let mut first = Layer {
            weights: uniform(width),
            bias: Array1::zeros(4 * units),
        };
        first
            .bias
            .slice_axis_mut(Axis(0), Slice::from(2 * units..3 * units))
            .fill(1.0);
        let again = Layer {
            weights: uniform(units),
            bias: Array1::zeros(0),
        };
        Self {
            layers: vec![first, again, Layer::last(units, outputs, rng)],
            rows,
        }
    }

    /// Units.
    pub(super) fn units(&self) -> usize {
        self.layers[1].weights.nrows()
    }

    /// Rows of windows to rows of what the head takes.
    pub(super) fn z(&self, windows: &ArrayView2<'_, f32>) -> Array2<f32> {
        self.layers[2].apply(&self.walk(windows).last())
    }

    /// The gradient, where `back` gives that by `z`.
    pub(super) fn gradient(
        &self,
        windows: &ArrayView2<'_, f32>,
        back: &mut dyn FnMut(&Array2<f32>) -> Array2<f32>,
    ) -> Vec<Layer> {
        let trace = self.walk(windows);
        let by_z = back(&self.layers[2].apply(&trace.last()));
        let mut by_hidden = by_z.dot(&self.layers[2].weights.t());
        let mut by_cell = Array2::zeros(by_hidden.dim());
        let mut by_gates = Array2::zeros(trace.gates.dim());
        for row in (0..self.rows).rev() {
            let mut by_row = by_gates.slice_axis_mut(Axis(0), trace.windows(row));
            trace.back(row, &by_hidden, &mut by_cell, &mut by_row);
            by_hidden = by_row.dot(&self.layers[1].weights.t());
        }
        let before = trace
            .hiddens
            .slice_axis(Axis(0), Slice::from(..by_gates.nrows()));
        let again = Layer {
            weights: before.t().dot(&by_gates),
            bias: Array1::zeros(0),
        };
        vec![
            Layer::gradient(&trace.inputs.view(), &by_gates),
            again,
            Layer::gradient(&trace.last(), &by_z),
        ]
    }

    /// Through the rows of all windows together.
    fn walk(&self, windows: &ArrayView2<'_, f32>) -> Trace {
        let (count, units) = (windows.nrows(), self.units());
        let width = self.layers[0].weights.nrows();
        let mut inputs = Array2::zeros((self.rows * count, width));
        for row in 0..self.rows {
            let of_row = Slice::from(row * width..(row + 1) * width);
            inputs
                .slice_axis_mut(Axis(0), Slice::from(row * count..(row + 1) * count))
                .assign(&windows.slice_axis(Axis(1), of_row));
        }
        let mut trace = Trace {
            count,
            gates: self.layers[0].apply(&inputs.view()),
            inputs,
            cells: Array2::zeros(((self.rows + 1) * count, units)),
            hiddens: Array2::zeros(((self.rows + 1) * count, units)),
        };
        for row in 0..self.rows {
            let windows = trace.windows(row);
            let again = trace
                .hiddens
                .slice_axis(Axis(0), windows)
                .dot(&self.layers[1].weights);
            let mut gates = trace.gates.slice_axis_mut(Axis(0), windows);
            gates += &again;
            trace.step(row, units);
        }
        trace
    }
}

impl Trace {
    /// Where the windows are at a row.
    fn windows(&self, row: usize) -> Slice {
        Slice::from(row * self.count..(row + 1) * self.count)
    }

    /// The `h` after the last row.
    fn last(&self) -> ArrayView2<'_, f32> {
        let from = self.hiddens.nrows() - self.count;
        self.hiddens.slice_axis(Axis(0), Slice::from(from..))
    }

    /// From the sums of a row to its gates, and on.
    fn step(&mut self, row: usize, units: usize) {
        for window in row * self.count..(row + 1) * self.count {
            let after = window + self.count;
            let mut gates = self.gates.row_mut(window);
            for (column, gate) in gates.iter_mut().enumerate() {
                let is_new = column >= 3 * units;
                *gate = if is_new { tanh(*gate) } else { sigmoid(*gate) };
            }
            for unit in 0..units {
                let [input, output, forget, new] =
                    [0, 1, 2, 3].map(|gate| gates[gate * units + unit]);
                let cell = forget * self.cells[[window, unit]] + input * new;
                self.cells[[after, unit]] = cell;
                self.hiddens[[after, unit]] = output * tanh(cell);
            }
        }
    }

    /// Gradients by the sums of a row, from those by what it gave; `by_cell` becomes that by the cells before it.
    fn back(
        &self,
        row: usize,
        by_hidden: &Array2<f32>,
        by_cell: &mut Array2<f32>,
        by_sums: &mut ArrayViewMut2<'_, f32>,
    ) {
        let units = by_cell.ncols();
        for window in 0..self.count {
            let place = row * self.count + window;
            let gates = self.gates.row(place);
            let mut by_sums = by_sums.row_mut(window);
            for unit in 0..units {
                let [input, output, forget, new] =
                    [0, 1, 2, 3].map(|gate| gates[gate * units + unit]);
                let bent = tanh(self.cells[[place + self.count, unit]]);
                let by_hidden = by_hidden[[window, unit]];
                let by_own = &mut by_cell[[window, unit]];
                *by_own += by_hidden * output * (1.0 - bent * bent);
                let by = *by_own;
                by_sums[unit] = by * new * input * (1.0 - input);
                by_sums[units + unit] = by_hidden * bent * output * (1.0 - output);
                by_sums[2 * units + unit] =
                    by * self.cells[[place, unit]] * forget * (1.0 - forget);
                by_sums[3 * units + unit] = by * input * (1.0 - new * new);
                *by_own = by * forget;
            }
        }
    }
}

/// By one exponential, which costs half of the library's function; right to a few units of 1e-7.
fn tanh(value: f32) -> f32 {
    2.0 * sigmoid(2.0 * value) - 1.0
}
