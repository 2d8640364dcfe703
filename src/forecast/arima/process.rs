//! The recursion of an ARIMA process, and its estimation by least squares of the errors it makes.

use crate::stats::linear::{Cholesky, add_scaled, add_square, dot};

/// Orders that may be chosen or given, at most.
pub(super) const MOST_AR: usize = 5;
pub(super) const MOST_MA: usize = 2;
/// Parameters of the largest process: both orders and the mean.
const MOST: usize = MOST_AR + MOST_MA + 1;

/// Partial autocorrelations stay below this: a root on the unit circle never forgets, one inside it explodes.
const MOST_PARTIAL: f64 = 0.999;
/// What the roots are moved outwards by until they are far enough out.
const DAMPING: f64 = 0.98;
const MOST_DAMPINGS: usize = 400;
/// Steps of Gauss and Newton; they start near.
const ROUNDS: usize = 6;
/// A step is halved this often before it is given up.
const HALVINGS: usize = 4;
/// A round that gains less than this share of the squared errors is the last.
const LEAST_GAIN: f64 = 1e-6;
/// Once all that a forecast depends on is within this share of an error, it stays where it is.
const SETTLED: f64 = 1e-6;
/// What counts as an error where one change of one is followed: it settles late, as states may be large.
const UNIT_ERROR: f64 = 1e-3;

/// How many values, differences and errors a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) ar: usize,
    pub(super) differenced: bool,
    pub(super) ma: usize,
}

/// `w(t) = ar * w(t - i) + e(t) + ma * e(t - j)`, of values less their mean or of the differences of values (Box &
/// Jenkins 1970). Parameters beyond its order are 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Process {
    pub(super) differenced: bool,
    /// Of the values; 0 where they are differenced.
    pub(super) mean: f64,
    pub(super) ar: [f64; MOST_AR],
    pub(super) ma: [f64; MOST_MA],
    /// Typical error one step ahead.
    pub(super) error: f64,
}

/// What is known of a series after some value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct State {
    /// The newest value, or what was expected of it.
    value: f64,
    /// Newest first: values less their mean, or differences.
    changes: [f64; MOST_AR],
    errors: [f64; MOST_MA],
}

impl Process {
    /// The mean, or the newest value, for ever.
    pub(super) fn still(differenced: bool, mean: f64) -> Self {
        Self {
            differenced,
            mean: if differenced { 0.0 } else { mean },
            ar: [0.0; MOST_AR],
            ma: [0.0; MOST_MA],
            error: 0.0,
        }
    }

    /// Expected next of the changes.
    fn next(&self, state: &State) -> f64 {
        let own: f64 = self.ar.iter().zip(&state.changes).map(|(a, b)| a * b).sum();
        let errors: f64 = self.ma.iter().zip(&state.errors).map(|(a, b)| a * b).sum();
        own + errors
    }

    /// The same with its roots moved outwards, as far as it takes for it to be stable and invertible.
    pub(super) fn stable(mut self) -> Self {
        damp(&mut self.ar, 1.0);
        damp(&mut self.ma, -1.0);
        self
    }

    /// The parameters of `order` that have the least squared errors one step ahead on `values` (`NaN` where missing),
    /// from these on. Conditional: the first values are taken as they are.
    pub(super) fn refine(self, order: Order, values: &[f64]) -> Self {
        let mut best = self.stable();
        let mut slopes = Slopes::of(&best, order, values);
        for _ in 0..ROUNDS {
            let Some(step) = slopes.step() else { break };
            let mut found = None;
            for halving in 0..HALVINGS {
                let share = 0.5_f64.powi(halving as i32);
                let next = best.moved(order, &step, share).stable();
                let at = Slopes::of(&next, order, values);
                if at.square < slopes.square {
                    found = Some((next, at));
                    break;
                }
            }
            let Some((next, at)) = found else { break };
            let gain = 1.0 - at.square / slopes.square;
            (best, slopes) = (next, at);
            if gain < LEAST_GAIN {
                break;
            }
        }
        best.error = (slopes.square / slopes.count.max(1) as f64).sqrt();
        best
    }

    fn moved(mut self, order: Order, step: &[f64], share: f64) -> Self {
        let (ar, rest) = step.split_at(order.ar);
        let (ma, mean) = rest.split_at(order.ma);
        add_scaled(&mut self.ar, ar, share);
        add_scaled(&mut self.ma, ma, share);
        self.mean += share * mean.first().unwrap_or(&0.0);
        self
    }
}

impl State {
    /// Before anything but `value`, that of the step before the first.
    pub(super) fn start(value: f64) -> Self {
        Self {
            value,
            changes: [0.0; MOST_AR],
            errors: [0.0; MOST_MA],
        }
    }

    /// The state after `values`, the first of which are taken as they are; `None` where all are missing.
    pub(super) fn after(process: &Process, values: &[f64]) -> Option<Self> {
        let first = values.iter().position(|value| value.is_finite())?;
        let mut state = Self::start(values[first]);
        for (place, &value) in values[first..].iter().enumerate() {
            state.step(process, value);
            if place < MOST_AR {
                state.errors[0] = 0.0;
            }
        }
        Some(state)
    }

    /// Takes in the next value and gives its error; what is missing is as it was expected to be.
    pub(super) fn step(&mut self, process: &Process, value: f64) -> f64 {
        let expected = process.next(self);
        let base = if process.differenced {
            self.value
        } else {
            process.mean
        };
        let (change, error) = if value.is_finite() {
            (value - base, value - base - expected)
        } else {
            (expected, 0.0)
        };
        self.value = base + change;
        self.changes.rotate_right(1);
        self.changes[0] = change;
        self.errors.rotate_right(1);
        self.errors[0] = error;
        error
    }

    /// Expected values at each of `horizons`, in steps, in their order: one walk where that is growing.
    pub(super) fn ahead(&self, process: &Process, horizons: &[usize]) -> impl Iterator<Item = f64> {
        let (mut state, mut walked, mut settled) = (*self, 0, false);
        horizons.iter().map(move |&steps| {
            if steps < walked {
                (state, walked, settled) = (*self, 0, false);
            }
            while walked < steps && !settled {
                state.step(process, f64::NAN);
                settled = state.is_settled(process);
                walked += 1;
            }
            walked = steps;
            state.value
        })
    }

    fn is_settled(&self, process: &Process) -> bool {
        let known = self.changes.iter().chain(&self.errors);
        known
            .into_iter()
            .all(|value| value.abs() <= SETTLED * process.error)
    }
}

/// What a forecast is made of at some horizons: it is linear in the newest changes and errors, so what each of them
/// adds is worked out once instead of walking to the longest horizon for every forecast.
#[derive(Debug, Clone)]
pub(super) struct Ahead {
    /// By horizon: what a change or an error of one adds, in the order of [`State`].
    weights: Box<[[f64; MOST_AR + MOST_MA]]>,
}

impl Ahead {
    /// At `horizons`, in steps.
    pub(super) fn new(process: &Process, horizons: &[usize]) -> Self {
        let mut weights = vec![[0.0; MOST_AR + MOST_MA]; horizons.len()].into_boxed_slice();
        let centred = Process {
            mean: 0.0,
            error: UNIT_ERROR,
            ..*process
        };
        for part in 0..MOST_AR + MOST_MA {
            let mut unit = State::start(0.0);
            match part.checked_sub(MOST_AR) {
                None => unit.changes[part] = 1.0,
                Some(error) => unit.errors[error] = 1.0,
            }
            for (row, value) in weights.iter_mut().zip(unit.ahead(&centred, horizons)) {
                row[part] = value;
            }
        }
        Self { weights }
    }

    /// Expected values after `state`, one for each horizon.
    pub(super) fn of(&self, process: &Process, state: &State) -> impl Iterator<Item = f64> {
        let base = if process.differenced {
            state.value
        } else {
            process.mean
        };
        self.weights.iter().map(move |row| {
            let known = state.changes.iter().chain(&state.errors);
            base + row.iter().zip(known).map(|(a, b)| a * b).sum::<f64>()
        })
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.weights)
    }
}

/// Squared errors of a process, and where they fall off to.
struct Slopes {
    square: f64,
    count: usize,
    width: usize,
    gram: Vec<f64>,
    right: Vec<f64>,
}

impl Slopes {
    fn of(process: &Process, order: Order, values: &[f64]) -> Self {
        let width = order.ar + order.ma + usize::from(!order.differenced);
        let mut sums = Self {
            square: 0.0,
            count: 0,
            width,
            gram: vec![0.0; width * width],
            right: vec![0.0; width],
        };
        let Some(first) = values.iter().position(|value| value.is_finite()) else {
            return sums;
        };
        let mut state = State::start(values[first]);
        // What the newest errors change by with each parameter.
        let mut slopes = [[0.0; MOST]; MOST_MA];
        for (place, &value) in values[first..].iter().enumerate() {
            let before = state;
            let error = state.step(process, value);
            if place < order.ar + usize::from(order.differenced) {
                state.errors[0] = 0.0;
                continue;
            }
            let mut slope = [0.0; MOST];
            if value.is_finite() {
                slope = slope_of(process, order, &before, &slopes);
                sums.add(error, &slope[..width]);
            }
            slopes.rotate_right(1);
            slopes[0] = slope;
        }
        sums
    }

    fn add(&mut self, error: f64, slope: &[f64]) {
        self.square += error * error;
        self.count += 1;
        if self.width > 0 {
            add_square(&mut self.gram, slope, 1.0);
            add_scaled(&mut self.right, slope, -error);
        }
    }

    /// What to add to the parameters; `None` where there are none, or their parts cannot be told apart.
    fn step(&self) -> Option<Vec<f64>> {
        if self.width == 0 {
            return None;
        }
        let mut step = self.right.clone();
        Cholesky::new(self.gram.clone(), self.width)?.solve(&mut step);
        step.iter().all(|value| value.is_finite()).then_some(step)
    }
}

/// The derivatives of the error after `before` by each parameter.
fn slope_of(
    process: &Process,
    order: Order,
    before: &State,
    slopes: &[[f64; MOST]; MOST_MA],
) -> [f64; MOST] {
    let mut slope = [0.0; MOST];
    let direct = before.changes[..order.ar].iter();
    let direct = direct.chain(&before.errors[..order.ma]);
    for (slope, value) in slope.iter_mut().zip(direct) {
        *slope = -value;
    }
    if !order.differenced {
        slope[order.ar + order.ma] = process.ar.iter().sum::<f64>() - 1.0;
    }
    for (older, ma) in slopes.iter().zip(process.ma) {
        add_scaled(&mut slope, older, -ma);
    }
    slope
}

/// Moves the roots of `1 - sign * (c1 z + c2 z^2 + ..)` outwards until they are outside the unit circle.
fn damp(coefficients: &mut [f64], sign: f64) {
    for _ in 0..MOST_DAMPINGS {
        if coefficients.iter().all(|value| *value == 0.0) || is_stable(coefficients, sign) {
            return;
        }
        let mut share = 1.0;
        for value in coefficients.iter_mut() {
            share *= DAMPING;
            *value *= share;
        }
    }
    coefficients.fill(0.0);
}

/// Whether all roots are outside the unit circle: by the partial autocorrelations (Levinson's recursion backwards).
fn is_stable(coefficients: &[f64], sign: f64) -> bool {
    let mut rest: Vec<f64> = coefficients.iter().map(|value| sign * value).collect();
    while let Some(partial) = rest.pop() {
        if partial.is_nan() || partial.abs() >= MOST_PARTIAL {
            return false;
        }
        let mirrored: Vec<f64> = rest.iter().rev().copied().collect();
        for (value, other) in rest.iter_mut().zip(mirrored) {
            *value = (*value + partial * other) / (1.0 - partial * partial);
        }
    }
    true
}

/// The mean square of `values` that are there; 0 without any.
pub(super) fn mean_square(values: &[f64]) -> f64 {
    let known: Vec<f64> = values
        .iter()
        .copied()
        .filter(|value| value.is_finite())
        .collect();
    dot(&known, &known) / known.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ARMA(2, 1) around 20.
    fn simulated(count: usize) -> Vec<f64> {
        let process = Process {
            ar: [0.6, 0.2, 0.0, 0.0, 0.0],
            ma: [0.4, 0.0],
            error: 1.0,
            ..Process::still(false, 20.0)
        };
        let mut random = fastrand::Rng::with_seed(6);
        let mut state = State::start(20.0);
        (0..count)
            .map(|_| {
                let noise = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
                let value = process.mean + process.next(&state) + noise;
                state.step(&process, value);
                value
            })
            .collect()
    }

    #[test]
    fn finds_the_parameters_of_a_process_through_gaps() {
        let mut values = simulated(6_000);
        values[2_000..2_050].fill(f64::NAN);
        values[100] = f64::NAN;
        let order = Order {
            ar: 2,
            differenced: false,
            ma: 1,
        };
        let found = Process::still(false, 19.0).refine(order, &values);
        for (got, expected) in [
            (found.ar[0], 0.6),
            (found.ar[1], 0.2),
            (found.ma[0], 0.4),
            (found.error, 1.0),
        ] {
            assert!((got - expected).abs() < 0.08, "{found:?}");
        }
        assert!((found.mean - 20.0).abs() < 0.5, "{found:?}");
        assert_eq!(found.ar[2..], [0.0; 3]);
    }

    #[test]
    fn roots_within_the_unit_circle_are_moved_out() {
        for ar in [
            [1.2, 0.3, 0.0, 0.0, 0.0],
            [2.5, -1.0, 0.0, 0.0, 0.0],
            [0.5; 5],
        ] {
            assert!(!is_stable(&ar, 1.0));
            let process = Process {
                ar,
                ma: [1.5, 0.0],
                error: 1.0,
                ..Process::still(false, 10.0)
            };
            let process = process.stable();
            assert!(is_stable(&process.ar, 1.0) && is_stable(&process.ma, -1.0));
            let mut state = State::start(10.0);
            for value in [12.0, 14.0, 17.0] {
                state.step(&process, value);
            }
            let far = state.ahead(&process, &[100_000]).next().unwrap();
            assert!((far - 10.0).abs() < 1.0, "{process:?} {far}");
        }
        // 1 - 0.5 z - 0.3 z^2 has its roots outside.
        let kept = Process {
            ar: [0.5, 0.3, 0.0, 0.0, 0.0],
            ..Process::still(false, 0.0)
        };
        assert_eq!(kept.stable(), kept);
    }

    #[test]
    fn one_walk_gives_what_each_horizon_alone_gives() {
        let process = Process {
            ar: [0.5, 0.0, 0.0, 0.0, 0.0],
            ma: [0.3, 0.0],
            error: 1.0,
            ..Process::still(true, 0.0)
        };
        let state = State::after(&process, &[3.0, 4.0, 6.0]).unwrap();
        let horizons = [1, 4, 2, 900];
        let together: Vec<f64> = state.ahead(&process, &horizons).collect();
        let alone: Vec<f64> = horizons
            .iter()
            .flat_map(|&steps| state.ahead(&process, &[steps]).collect::<Vec<_>>())
            .collect();
        assert_eq!(together, alone);
        // Changes of 2 go on halved: 6 + 1 + 0.5 + .. = 8, the last error aside.
        assert!(together[3] > together[1] && together[3] < 9.0);
    }

    #[test]
    fn what_is_worked_out_once_is_what_a_walk_gives() {
        let values = simulated(300);
        for differenced in [false, true] {
            let process = Process {
                differenced,
                mean: if differenced { 0.0 } else { 20.0 },
                ar: [0.6, 0.2, 0.0, -0.1, 0.05],
                ma: [0.4, -0.2],
                error: 1e-9,
            };
            let state = State::after(&process, &values).unwrap();
            let horizons = [1, 15, 60, 1_440];
            let once = Ahead::new(&process, &horizons);
            let walked = state.ahead(&process, &horizons);
            for (got, expected) in once.of(&process, &state).zip(walked) {
                assert!((got - expected).abs() < 1e-6, "{got} {expected}");
            }
        }
    }

    #[test]
    fn what_is_missing_is_as_expected() {
        let process = Process {
            ar: [0.5, 0.0, 0.0, 0.0, 0.0],
            error: 1.0,
            ..Process::still(false, 10.0)
        };
        let mut state = State::after(&process, &[f64::NAN, 18.0]).unwrap();
        let two = state.ahead(&process, &[3]).next().unwrap();
        assert_eq!(two, 11.0);
        state.step(&process, f64::NAN);
        assert_eq!(state.ahead(&process, &[2]).next().unwrap(), two);
        assert!(State::after(&process, &[f64::NAN]).is_none());
    }
}
