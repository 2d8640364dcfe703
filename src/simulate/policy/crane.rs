//! A predictor like Crane's: where the demand has a period of a day or a week, the greatest value at the same phase of the periods before, the
//! greatest of that within the next window, and a margin; beside what the HPA says. Without a period it has no answer, as there.

use super::{Hpa, Metric, Past, Policy, Size, publish::Published};
use crate::{
    series::Span,
    simulate::{Parameters, autocorrelation},
};

/// Autocorrelation at a period from which it counts as one.
const PERIODIC: f64 = 0.5;
/// Periods whose greatest values count, and how many of them there must be before.
const PERIODS: usize = 3;
const LEAST_PERIODS: usize = 2;
/// `predictionWindowSeconds` of its examples.
const WINDOW: Span = Span::minutes(60);
/// Cells of its memory.
const CELL: Span = Span::minutes(5);

/// A predictor like Crane's.
#[derive(Debug, Clone)]
pub(in crate::simulate) struct Crane {
    hpa: Hpa,
    margin: f64,
    cell: usize,
    /// Mean demand of every cell so far.
    cells: Vec<f64>,
    /// Cells of the period in force; looked for every hour.
    period: Option<usize>,
    periods: [usize; 2],
    window: usize,
    published: Published,
}

impl Crane {
    pub(in crate::simulate) fn new(hpa: Hpa, margin: f64, parameters: &Parameters) -> Self {
        let cell = parameters.ticks(CELL);
        let cells = |span: Span| parameters.ticks(span) / cell;
        Self {
            hpa,
            margin,
            cell,
            cells: Vec::new(),
            period: None,
            periods: [cells(Span::days(1)), cells(Span::days(7))],
            window: cells(WINDOW),
            published: Published::new(parameters),
        }
    }

    /// The greatest value within the window ahead, with the margin, as replicas at the HPA's target.
    fn predicted(&self) -> Option<u32> {
        let period = self.period?;
        let known = self.cells.len();
        let at = |ahead: usize| {
            let before =
                (1..=PERIODS).filter_map(|count| (known + ahead).checked_sub(count * period));
            before
                .filter_map(|cell| self.cells.get(cell))
                .copied()
                .filter(|value| value.is_finite())
                .fold(f64::NAN, f64::max)
        };
        let greatest = (0..=self.window).map(at).fold(f64::NAN, f64::max);
        let replicas = greatest * (1.0 + self.margin) / self.hpa.target;
        replicas.is_finite().then(|| replicas.ceil() as u32)
    }

    fn learn(&mut self, past: Past<'_>) {
        while (self.cells.len() + 1) * self.cell <= past.end() {
            let from = self.cells.len() * self.cell;
            self.cells
                .push(past.mean(from, from + self.cell).unwrap_or(f64::NAN));
            if self.cells.len().is_multiple_of(self.window) {
                self.period = self.found();
            }
        }
    }

    /// The shortest period whose autocorrelation is high enough.
    fn found(&self) -> Option<usize> {
        let enough = |period: &usize| self.cells.len() >= LEAST_PERIODS * period;
        let periodic = |period: &usize| {
            autocorrelation(
                &self.cells[self.cells.len().saturating_sub((PERIODS + 1) * period)..],
                *period,
            ) > PERIODIC
        };
        self.periods.into_iter().filter(enough).find(periodic)
    }
}

impl Policy for Crane {
    fn metrics(&mut self, tick: usize, past: Past<'_>, size: Size, out: &mut Vec<Metric>) {
        self.learn(past);
        out.push(self.hpa.metric(past));
        // Where it has no period its metric is not there: nobody who runs Crane without one keeps it configured.
        if let Some(predicted) = self.predicted() {
            out.push(self.published.step(tick, size, Some(predicted)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crane(values: impl Iterator<Item = f64>) -> Crane {
        let hpa = Hpa {
            target: 0.5,
            window: 4,
        };
        let mut crane = Crane::new(hpa, 0.2, &Parameters::built_in().unwrap());
        for value in values {
            crane.cells.push(value);
        }
        crane.period = crane.found();
        crane
    }

    #[test]
    fn a_day_like_those_before_is_foreseen_an_hour_ahead() {
        let day = |cell: usize| if cell % 288 >= 120 { 10.0 } else { 2.0 };
        let early = crane((0..288 * 4 + 100).map(day));
        assert_eq!(early.period, Some(288));
        // 2 / 0.5 * 1.2, rounded up; the step comes 20 cells later, and is seen when it is 12 away.
        assert_eq!(early.predicted(), Some(5));
        assert_eq!(crane((0..288 * 4 + 110).map(day)).predicted(), Some(24));
    }

    #[test]
    fn without_a_period_it_says_nothing() {
        let mut rng = fastrand::Rng::with_seed(5);
        let noise = crane((0..288 * 20).map(|_| rng.f64()));
        assert_eq!((noise.period, noise.predicted()), (None, None));
        assert_eq!(crane((0..400).map(|cell| (cell % 288) as f64)).period, None);
    }
}
