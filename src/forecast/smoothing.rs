//! Exponential smoothing: level, trend, damped trend, with additive errors.
//!
//! The recursion and its names are those of Hyndman, Koehler, Ord & Snyder, "Forecasting with
//! Exponential Smoothing" (2008), models (A,N,N), (A,A,N) and (A,Ad,N). Parameters minimise the squared
//! error one step ahead; the form is chosen by AICc.

/// Bounds of the parameters: outside, forecasts explode or never learn.
const ALPHA: (f64, f64) = (0.001, 0.999);
const DAMPING: (f64, f64) = (0.8, 0.98);
/// What is left of a trend after each step without a value: nobody saw it go on, and a straight line
/// through a long gap ends far from anything that ever was.
const UNSEEN: f64 = 0.9;
/// Rounds of the simplex search. It starts from the best point of a grid and moves little.
const ROUNDS: usize = 24;

/// Smoothing parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Smoothing {
    /// Weight of the newest error in the level, 0 to 1.
    pub(super) alpha: f64,
    /// Weight of the newest error in the trend, 0 to alpha.
    pub(super) beta: f64,
    /// What is left of the trend after one step, 0 (no trend) to 1.
    pub(super) phi: f64,
}

/// What is known of a series after some value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct State {
    /// Level, in the unit of the series.
    pub(super) level: f64,
    /// Change per step.
    pub(super) trend: f64,
}

/// The form of a model: which of its parameters are free.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Form {
    /// (A,N,N)
    Simple,
    /// (A,A,N)
    Holt,
    /// (A,Ad,N)
    Damped,
}

impl Form {
    /// From the fewest parameters to the most.
    pub(super) const ALL: [Self; 3] = [Self::Simple, Self::Holt, Self::Damped];

    fn free(self) -> usize {
        match self {
            Self::Simple => 1,
            Self::Holt => 2,
            Self::Damped => 3,
        }
    }

    /// Parameters of a point in the unit cube.
    fn smoothing(self, point: [f64; 3]) -> Smoothing {
        let within = |share: f64, (low, high): (f64, f64)| low + share * (high - low);
        let alpha = within(point[0], ALPHA);
        let (beta, phi) = match self {
            Self::Simple => (0.0, 0.0),
            Self::Holt => (alpha * point[1], 1.0),
            Self::Damped => (alpha * point[1], within(point[2], DAMPING)),
        };
        Smoothing { alpha, beta, phi }
    }

    /// Where the search looks first. One-step errors are flat near their minimum: a coarse grid finds it.
    fn grid(self) -> &'static [[f64; 3]] {
        const SIMPLE: [[f64; 3]; 6] = [
            [0.02, 0.0, 0.0],
            [0.06, 0.0, 0.0],
            [0.15, 0.0, 0.0],
            [0.35, 0.0, 0.0],
            [0.65, 0.0, 0.0],
            [0.95, 0.0, 0.0],
        ];
        const TREND: [[f64; 3]; 6] = [
            [0.05, 0.02, 0.5],
            [0.05, 0.2, 0.5],
            [0.3, 0.02, 0.5],
            [0.3, 0.2, 0.5],
            [0.8, 0.05, 0.5],
            [0.8, 0.4, 0.5],
        ];
        match self {
            Self::Simple => &SIMPLE,
            Self::Holt | Self::Damped => &TREND,
        }
    }
}

impl State {
    /// A start from the first values: their mean, and no trend yet. `None` where all are missing.
    pub(super) fn start(values: &[f32]) -> Option<Self> {
        const FIRST: usize = 8;
        let (mut sum, mut count) = (0.0, 0_usize);
        for &value in values.iter().filter(|value| value.is_finite()).take(FIRST) {
            sum += f64::from(value);
            count += 1;
        }
        (count > 0).then(|| Self {
            level: sum / count as f64,
            trend: 0.0,
        })
    }

    /// Takes in the next value and gives its error; a missing one is predicted through, with a trend
    /// that fades.
    pub(super) fn step(&mut self, smoothing: &Smoothing, value: f64) -> f64 {
        let expected = self.level + smoothing.phi * self.trend;
        let error = value - expected;
        if !error.is_finite() {
            self.level = expected;
            self.trend *= smoothing.phi.min(UNSEEN);
            return 0.0;
        }
        self.level = expected + smoothing.alpha * error;
        self.trend = smoothing.phi * self.trend + smoothing.beta * error;
        error
    }

    /// Expected value `steps` ahead.
    pub(super) fn ahead(&self, smoothing: &Smoothing, steps: usize) -> f64 {
        let phi = smoothing.phi;
        let kept = if phi >= 1.0 {
            steps as f64
        } else {
            // phi + phi^2 + ... + phi^steps
            phi * (1.0 - phi.powi(steps as i32)) / (1.0 - phi)
        };
        self.level + kept * self.trend
    }
}

/// Sum of squared one-step errors from `start` through `values`, and the state after them.
pub(super) fn run(smoothing: &Smoothing, start: State, values: &[f32]) -> (f64, State) {
    let mut state = start;
    let mut sum = 0.0;
    for &value in values {
        let error = state.step(smoothing, f64::from(value));
        sum += error * error;
    }
    (sum, state)
}

/// The parameters of `form` with the least squared error, and that error.
pub(super) fn optimise(form: Form, start: State, values: &[f32]) -> (Smoothing, f64) {
    let cost = |point: [f64; 3]| run(&form.smoothing(point), start, values).0;
    let mut best = form.grid().iter().map(|&point| (point, cost(point)));
    let first = best.next().unwrap_or(([0.5; 3], f64::INFINITY));
    let best = best.fold(
        first,
        |best, next| if next.1 < best.1 { next } else { best },
    );
    let (point, error) = simplex(form.free(), best, cost);
    (form.smoothing(point), error)
}

/// The form with the least AICc, its parameters, and the state after `values`. `None` without values.
pub(super) fn fit(values: &[f32]) -> Option<(Smoothing, State)> {
    let start = State::start(values)?;
    let count = values.iter().filter(|value| value.is_finite()).count() as f64;
    let mut best: Option<(f64, Smoothing)> = None;
    for form in Form::ALL {
        // Parameters, initial states and the variance.
        let used = 2.0 * form.free() as f64 + 1.0;
        if count <= used + 2.0 && form != Form::Simple {
            break;
        }
        let (smoothing, error) = optimise(form, start, values);
        if error <= 0.0 {
            // Nothing to gain from more parameters: the series is constant.
            best = Some((f64::NEG_INFINITY, smoothing));
            break;
        }
        let correction = 2.0 * used * (used + 1.0) / (count - used - 1.0).max(1.0);
        let criterion = count * (error / count).ln() + 2.0 * used + correction;
        if best.is_none_or(|(least, _)| criterion < least) {
            best = Some((criterion, smoothing));
        }
    }
    let (_, smoothing) = best?;
    Some((smoothing, run(&smoothing, start, values).1))
}

/// Nelder and Mead's search within the unit cube, over the first `free` coordinates.
fn simplex(free: usize, start: ([f64; 3], f64), cost: impl Fn([f64; 3]) -> f64) -> ([f64; 3], f64) {
    const SIDE: f64 = 0.1;
    let mut corners = vec![start];
    for axis in 0..free {
        let mut point = start.0;
        point[axis] += if point[axis] > 0.5 { -SIDE } else { SIDE };
        corners.push((point, cost(point)));
    }
    for _ in 0..ROUNDS {
        corners.sort_by(|a, b| a.1.total_cmp(&b.1));
        let worst = corners[free];
        let centre = mean(&corners[..free]);
        let at = |share: f64| along(centre, worst.0, share);
        let reflected = (at(-1.0), cost(at(-1.0)));
        if reflected.1 < corners[0].1 {
            let further = (at(-2.0), cost(at(-2.0)));
            corners[free] = if further.1 < reflected.1 {
                further
            } else {
                reflected
            };
        } else if reflected.1 < corners[free - 1].1 {
            corners[free] = reflected;
        } else {
            let inner = (at(0.5), cost(at(0.5)));
            if inner.1 < worst.1 {
                corners[free] = inner;
            } else {
                let best = corners[0].0;
                for corner in &mut corners[1..] {
                    corner.0 = along(best, corner.0, 0.5);
                    corner.1 = cost(corner.0);
                }
            }
        }
    }
    corners
        .into_iter()
        .reduce(|best, next| if next.1 < best.1 { next } else { best })
        .unwrap_or(start)
}

fn mean(corners: &[([f64; 3], f64)]) -> [f64; 3] {
    let mut centre = [0.0; 3];
    for (point, _) in corners {
        for (sum, value) in centre.iter_mut().zip(point) {
            *sum += value / corners.len() as f64;
        }
    }
    centre
}

/// `from + share * (to - from)`, kept within the unit cube.
fn along(from: [f64; 3], to: [f64; 3], share: f64) -> [f64; 3] {
    std::array::from_fn(|axis| (from[axis] + share * (to[axis] - from[axis])).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(serde::Deserialize)]
    struct Fixture {
        values: Vec<f32>,
        start: f64,
        cases: BTreeMap<String, Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        fitted: Vec<f64>,
        sse: f64,
        ahead: Vec<f64>,
        best_sse: f64,
    }

    /// Made by `tests/fixtures/forecast/make_smoothing.py`.
    fn fixture() -> Fixture {
        serde_json::from_str(include_str!("../../tests/fixtures/forecast/smoothing.json")).unwrap()
    }

    fn given(form: &str) -> (Form, Smoothing) {
        let (alpha, star) = (0.3, 0.2);
        match form {
            "simple" => (
                Form::Simple,
                Smoothing {
                    alpha,
                    beta: 0.0,
                    phi: 0.0,
                },
            ),
            "holt" => (
                Form::Holt,
                Smoothing {
                    alpha,
                    beta: alpha * star,
                    phi: 1.0,
                },
            ),
            _ => (
                Form::Damped,
                Smoothing {
                    alpha,
                    beta: alpha * star,
                    phi: 0.9,
                },
            ),
        }
    }

    #[test]
    fn recursion_agrees_with_statsmodels() {
        let fixture = fixture();
        for (name, case) in &fixture.cases {
            let (_, smoothing) = given(name);
            let start = State {
                level: fixture.start,
                trend: 0.0,
            };
            let mut state = start;
            for (&value, &expected) in fixture.values.iter().zip(&case.fitted) {
                let got = state.ahead(&smoothing, 1);
                assert!((got - expected).abs() < 1e-4, "{name}: {got} {expected}");
                state.step(&smoothing, f64::from(value));
            }
            let (sse, _) = run(&smoothing, start, &fixture.values);
            assert!(
                (sse / case.sse - 1.0).abs() < 1e-5,
                "{name}: {sse} {}",
                case.sse
            );
            for (steps, &expected) in case.ahead.iter().enumerate() {
                let got = state.ahead(&smoothing, steps + 1);
                assert!(
                    (got - expected).abs() < 1e-4,
                    "{name} {steps}: {got} {expected}"
                );
            }
        }
    }

    #[test]
    fn optimised_error_is_as_small_as_that_of_statsmodels() {
        let fixture = fixture();
        for (name, case) in &fixture.cases {
            let (form, _) = given(name);
            let start = State::start(&fixture.values).unwrap();
            assert!((start.level - fixture.start).abs() < 1e-5);
            let (_, sse) = optimise(form, start, &fixture.values);
            assert!(
                sse < case.best_sse * 1.01,
                "{name}: {sse} {}",
                case.best_sse
            );
        }
    }

    #[test]
    fn a_gap_is_predicted_through_with_a_trend_that_fades() {
        let smoothing = given("holt").1;
        let mut state = State {
            level: 10.0,
            trend: 2.0,
        };
        for _ in 0..3 {
            state.step(&smoothing, f64::NAN);
        }
        assert!((state.level - (10.0 + 2.0 + 1.8 + 1.62)).abs() < 1e-9);
        for _ in 0..10_000 {
            state.step(&smoothing, f64::NAN);
        }
        assert!(
            (state.level - 30.0).abs() < 1e-6,
            "ten steps of the trend, no more"
        );
    }

    #[test]
    fn a_straight_line_is_followed_and_a_constant_is_kept() {
        let line: Vec<f32> = (0..200).map(|index| 3.0 + 0.5 * index as f32).collect();
        let (smoothing, state) = fit(&line).unwrap();
        assert!((state.ahead(&smoothing, 10) - 107.5).abs() < 0.5);
        let (smoothing, state) = fit(&[4.0; 50]).unwrap();
        assert_eq!(state.ahead(&smoothing, 100), 4.0);
        assert!(fit(&[f32::NAN; 50]).is_none());
    }
}
