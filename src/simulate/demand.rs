//! The demand of a trace, tick by tick, in replicas: 1 is what one replica can just serve.

use super::{Parameters, draw};
use crate::series::Millis;
use fastrand::Rng;

/// A recorded series, on its own step.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// For people.
    pub name: String,
    /// What may be asked of a policy there.
    pub kind: Kind,
    /// Start of the step of the first value.
    pub start: Millis,
    /// Milliseconds between values.
    pub step: Millis,
    /// One value per step, `NaN` where there was none.
    pub values: Vec<f32>,
}

/// What sort of demand a trace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A day like the day before.
    Periodic,
    /// Partly so.
    Mixed,
    /// Bursts nobody can foresee.
    Spiky,
}

impl Kind {
    /// As printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Periodic => "periodic",
            Self::Mixed => "mixed",
            Self::Spiky => "spiky",
        }
    }
}

/// Demand per tick.
#[derive(Debug, Clone)]
pub struct Demand {
    /// Start of the first tick.
    pub start: Millis,
    /// Demand of each tick in replicas, `NaN` where nothing is known.
    pub ticks: Vec<f64>,
    /// First tick that is scored.
    pub split: usize,
    /// What one replica can serve, in the trace's unit.
    pub capacity: f64,
    /// Size of the negative binomial that is drawn from; infinite: Poisson alone.
    pub size: f64,
    /// Sums of known demand before each tick, and how much of it was known.
    sums: Vec<(f64, u32)>,
}

/// Median of the square of a standard normal variable.
const MEDIAN_OF_SQUARE: f64 = 0.454_936;

impl Demand {
    /// Draws the demand of `trace`.
    ///
    /// Within a step longer than a tick, ticks are drawn from a negative binomial around the step's value and then scaled so that
    /// the step keeps it. Its size `r` (variance `m + m²/r`) is fitted to what neighbouring values of the first part differ by: the median of
    /// `(d²/2 / 0.455 - m) / m²`, so that ramps and jumps count for little. Values that are no counts have no part `m`.
    ///
    /// # Errors
    /// A trace that is too short, or without demand.
    pub fn draw(trace: &Trace, parameters: &Parameters) -> Result<Self, String> {
        let tick = parameters.tick.as_millis();
        if trace.step > tick && trace.step % tick != 0
            || trace.step < tick && tick % trace.step != 0
        {
            return Err(format!(
                "{}: its step of {} s and the tick of {} s do not divide each other",
                trace.name,
                trace.step / 1_000,
                tick / 1_000
            ));
        }
        let first = &trace.values[..(trace.values.len() as f64 * parameters.split) as usize];
        let by_rule = || capacity(first, parameters);
        let capacity = parameters.capacity.declared.unwrap_or_else(by_rule);
        let is_known = |value: &f32| value.is_finite();
        if capacity <= 0.0 || first.len() < 16 || !first.iter().any(is_known) {
            return Err(format!("{}: too short, or without demand", trace.name));
        }
        let is_count = trace
            .values
            .iter()
            .all(|value| value.is_nan() || value.fract() == 0.0);
        let size = size(first, is_count);
        let mut rng = Rng::with_seed(parameters.seed);
        let ticks = if trace.step > tick {
            let parts = (trace.step / tick) as usize;
            let mut ticks = Vec::with_capacity(trace.values.len() * parts);
            for &value in &trace.values {
                split(
                    f64::from(value),
                    parts,
                    size,
                    is_count,
                    &mut rng,
                    &mut ticks,
                );
            }
            ticks
        } else {
            let together = (tick / trace.step) as usize;
            trace.values.chunks(together).map(mean).collect()
        };
        let ticks: Vec<f64> = ticks.into_iter().map(|value| value / capacity).collect();
        let split = (ticks.len() as f64 * parameters.split) as usize;
        // Minutes are judged whole.
        let minute = parameters.ticks(crate::series::Span::minutes(1));
        Ok(Self {
            start: trace.start,
            split: split / minute * minute,
            capacity,
            size,
            sums: sums(&ticks),
            ticks,
        })
    }

    /// Mean demand of the ticks from `from` to before `to`; `None` where less than half of it is known.
    pub fn mean(&self, from: usize, to: usize) -> Option<f64> {
        let (to, from) = (to.min(self.ticks.len()), from.min(to));
        let (before, until) = (self.sums[from], self.sums[to]);
        let known = until.1 - before.1;
        (known > 0 && 2 * known as usize >= to - from)
            .then(|| (until.0 - before.0) / f64::from(known))
    }

    /// The same after its ticks were changed.
    #[cfg(test)]
    pub(super) fn with_ticks(mut self) -> Self {
        self.sums = sums(&self.ticks);
        self
    }

    /// What was known when the ticks before `end` were over.
    pub fn until(&self, end: usize) -> Past<'_> {
        Past {
            demand: self,
            end: end.min(self.ticks.len()),
        }
    }
}

/// Demand up to a time, and no further.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    demand: &'a Demand,
    end: usize,
}

impl Past<'_> {
    /// Mean over the newest `ticks`; `None` where less than half of it is known.
    pub fn rate(&self, ticks: usize) -> Option<f64> {
        self.demand.mean(self.end.saturating_sub(ticks), self.end)
    }

    /// Ticks it has.
    pub fn end(&self) -> usize {
        self.end
    }

    /// Mean of the ticks from `from` to before `to`, as far as they are past.
    pub fn mean(&self, from: usize, to: usize) -> Option<f64> {
        self.demand.mean(from.min(self.end), to.min(self.end))
    }
}

fn capacity(first: &[f32], parameters: &Parameters) -> f64 {
    let mut known: Vec<f32> = first
        .iter()
        .copied()
        .filter(|value| value.is_finite())
        .collect();
    known.sort_unstable_by(f32::total_cmp);
    let rank = (known.len() as f64 * parameters.capacity.quantile) as usize;
    let peak = known.get(rank.min(known.len().saturating_sub(1)));
    peak.map_or(0.0, |&peak| f64::from(peak) / parameters.capacity.replicas)
}

fn size(first: &[f32], is_count: bool) -> f64 {
    let mut excess: Vec<f64> = first
        .windows(2)
        .map(|pair| (f64::from(pair[0]), f64::from(pair[1])))
        .filter(|(one, other)| one + other > 0.0)
        .map(|(one, other)| {
            let mean = (one + other) / 2.0;
            let variance = (one - other).powi(2) / 2.0 / MEDIAN_OF_SQUARE;
            let chance = if is_count { mean } else { 0.0 };
            (variance - chance) / (mean * mean)
        })
        .collect();
    excess.sort_unstable_by(f64::total_cmp);
    match excess.get(excess.len() / 2) {
        Some(&median) if median > 0.0 => 1.0 / median,
        _ => f64::INFINITY,
    }
}

/// Draws the `parts` ticks of a step of mean `value`.
fn split(value: f64, parts: usize, size: f64, is_count: bool, rng: &mut Rng, out: &mut Vec<f64>) {
    let from = out.len();
    if value.is_nan() || value <= 0.0 {
        // Nothing is nothing in every tick, and what is not known in none.
        out.extend(std::iter::repeat_n(value, parts));
        return;
    }
    let each = value / parts as f64;
    let mut sum = 0.0;
    for _ in 0..parts {
        let drawn = draw::negative_binomial(each, size, is_count, rng);
        sum += drawn;
        out.push(drawn);
    }
    for drawn in &mut out[from..] {
        *drawn = if sum > 0.0 {
            *drawn * value * parts as f64 / sum
        } else {
            value
        };
    }
}

fn mean(values: &[f32]) -> f64 {
    let known = values.iter().filter(|value| value.is_finite());
    let (sum, count) = known.fold((0.0, 0), |(sum, count), &value| {
        (sum + f64::from(value), count + 1)
    });
    sum / f64::from(count)
}

fn sums(ticks: &[f64]) -> Vec<(f64, u32)> {
    let mut sums = Vec::with_capacity(ticks.len() + 1);
    let mut sum = (0.0, 0);
    sums.push(sum);
    for &tick in ticks {
        if tick.is_finite() {
            sum = (sum.0 + tick, sum.1 + 1);
        }
        sums.push(sum);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(step: Millis, values: Vec<f32>) -> Trace {
        Trace {
            name: "made".into(),
            kind: Kind::Periodic,
            start: 0,
            step,
            values,
        }
    }

    #[test]
    fn a_step_keeps_its_value_and_its_ticks_differ() {
        let mut rng = Rng::with_seed(7);
        let values: Vec<f32> = (0..2_000)
            .map(|_| draw::negative_binomial(100.0, 25.0, true, &mut rng) as f32)
            .collect();
        let demand = Demand::draw(
            &trace(60_000, values.clone()),
            &Parameters::built_in().unwrap(),
        )
        .unwrap();
        assert!((15.0..45.0).contains(&demand.size), "{}", demand.size);
        for (step, &value) in values.iter().enumerate() {
            let mean = demand.mean(4 * step, 4 * step + 4).unwrap() * demand.capacity;
            assert!((mean - f64::from(value)).abs() < 1e-6 * f64::from(value));
        }
        let differ = demand
            .ticks
            .chunks(4)
            .filter(|ticks| ticks[0] != ticks[1])
            .count();
        assert!(differ > 1_800, "{differ}");
        let again = Demand::draw(&trace(60_000, values), &Parameters::built_in().unwrap()).unwrap();
        assert_eq!(again.ticks, demand.ticks);
    }

    #[test]
    fn capacity_follows_the_first_part_alone() {
        let mut values = vec![40.0; 1_000];
        values.extend(vec![400.0; 1_000]);
        let demand =
            Demand::draw(&trace(60_000, values), &Parameters::built_in().unwrap()).unwrap();
        assert_eq!(demand.capacity, 2.0);
        assert_eq!(demand.split, 4_000);
        assert!((demand.mean(4_000, 8_000).unwrap() - 200.0).abs() < 1e-9);
    }

    #[test]
    fn a_gap_is_not_nothing() {
        let mut values = vec![10.0; 100];
        values[50..60].fill(f32::NAN);
        let demand =
            Demand::draw(&trace(60_000, values), &Parameters::built_in().unwrap()).unwrap();
        assert_eq!(demand.mean(200, 240), None);
        assert!(demand.until(202).rate(4).is_some() && demand.until(204).rate(4).is_none());
        assert_eq!(demand.until(204).mean(204, 300), None);
    }

    #[test]
    fn seconds_are_taken_together() {
        let values: Vec<f32> = (0..3_000).map(|second| (second % 15) as f32).collect();
        let demand = Demand::draw(&trace(1_000, values), &Parameters::built_in().unwrap()).unwrap();
        assert_eq!(demand.ticks.len(), 200);
        assert!(
            demand
                .ticks
                .iter()
                .all(|&tick| (tick * demand.capacity - 7.0).abs() < 1e-9)
        );
    }
}
