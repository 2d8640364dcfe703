//! One series at one horizon: the choice in force, its interval, forecasts waiting for their actual
//! value, and how well they did.

use super::{
    Interval, Trust,
    choice::Choice,
    conformal::Conformal,
    crest::Crest,
    health::Errors,
    scale::{BINS, Mode, Seen},
    standby::{Link, Source, Standby},
    wall::phase_of,
};
use std::collections::VecDeque;

/// Weight of the newest resolved forecast in the sums behind [`Trust`]: about the last 200 count.
const TRUST_WEIGHT: f32 = 1.0 / 200.0;

/// A forecast waiting for its actual value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    /// Number of the grid time it is for.
    pub(super) target: i64,
    bin: u32,
    expected: f32,
    /// As the choice gave it, before what misses have taught; of somebody who stands by `NaN`.
    chosen: f32,
    reference: f32,
    scale: f32,
    /// `NaN` where no interval was given.
    lower: f32,
    upper: f32,
    /// Whether it is of somebody who stands by: it says nothing about the errors of the choice.
    is_standby: bool,
}

/// What quantiles are made of beside the errors so far.
pub(super) struct Told<F> {
    /// What the choice in force expects.
    pub(super) chosen: f32,
    /// What others do.
    pub(super) other: F,
    /// Of a window: what it held a day ago, `NaN` where that is not known.
    pub(super) day_before: f32,
}

/// What is published of one series at one horizon, and by whom it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Served {
    pub(super) link: Link,
    pub(super) interval: Interval,
    /// Its place among those who stand by; `None` where it is the choice in force.
    by: Option<u8>,
}

impl Served {
    pub(super) const NOTHING: Self = Self {
        link: Link::Absent,
        interval: Interval::ABSENT,
        by: None,
    };
}

/// State of one series at one horizon.
#[derive(Debug, Clone, Default)]
pub(super) struct Track {
    /// What is forecast with; `None` while nothing is.
    pub(super) choice: Option<Choice>,
    /// Origins are the grid times whose number is a multiple of this.
    pub(super) stride: usize,
    /// Season that the interval's width follows, in steps; 1 where none is known.
    season: usize,
    conformal: Option<Conformal>,
    pending: VecDeque<Pending>,
    sums: Sums,
    /// Whether errors are greater than they were.
    pub(super) errors: Errors,
    /// Winkler's: `2 / alpha` per unit outside the interval.
    penalty: f32,
    /// Of a window: at which levels what it held a day ago counts.
    pub(super) crest: Crest,
    /// Who stands by, in the order in which they are asked.
    pub(super) standbys: Box<[Standby]>,
}

/// Exponentially weighted sums over resolved forecasts.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    errors: f32,
    actuals: f32,
    /// Errors of this forecast and of the reference, where the reference had one.
    compared: [f32; 2],
    covered: f32,
    below: f32,
    judged: f32,
    /// Winkler's interval scores and their number, unweighted.
    scores: (f32, u32),
}

impl Track {
    /// Nothing known yet.
    pub(super) fn new(stride: usize, season: Option<usize>, interval: f32) -> Self {
        Self {
            stride,
            penalty: 2.0 / (1.0 - interval),
            season: season.unwrap_or(1),
            ..Self::default()
        }
    }

    /// Part of the season at the wall-clock step `index`.
    pub(super) fn bin(&self, index: i64) -> usize {
        phase_of(index, self.season) * BINS / self.season
    }

    /// Sets up the interval from residuals by part of the season.
    pub(super) fn prepare(&mut self, interval: f32, residuals: &[Seen], steps: usize, mode: Mode) {
        let overlap = steps / self.stride;
        self.conformal = Some(Conformal::new(interval, overlap, residuals, mode));
    }

    /// What to publish: of the choice in force, which expects `chosen`, or of the first of those who stand by that has
    /// something to say. `usual` is the link of the choice.
    pub(super) fn serve(
        &self,
        usual: Link,
        bin: usize,
        chosen: f32,
        mut other: impl FnMut(Source) -> f32,
    ) -> Served {
        let own = self.interval(bin, chosen);
        if own.expected.is_finite() {
            return Served {
                link: usual,
                interval: own,
                by: None,
            };
        }
        let mut standbys = self.standbys.iter().enumerate();
        let answered = standbys.find_map(|(place, standby)| {
            let expected = other(standby.source);
            let interval = expected
                .is_finite()
                .then(|| standby.interval(expected, 1.0 / self.penalty))?;
            Some(Served {
                link: standby.source.link(),
                interval,
                by: Some(place as u8),
            })
        });
        answered.unwrap_or(Served::NOTHING)
    }

    /// The quantile at `level` of what is to come, by whoever was served; `told` gives what they expect now.
    fn quantile_of(
        &self,
        served: &Served,
        bin: usize,
        level: f32,
        told: &Told<impl Fn(Source) -> f32>,
    ) -> f32 {
        match served
            .by
            .and_then(|place| self.standbys.get(usize::from(place)))
        {
            Some(standby) => standby.quantile((told.other)(standby.source), level),
            None => {
                let own = self.quantile(bin, told.chosen, level);
                self.crest.over(own, told.day_before, level)
            }
        }
    }

    /// Quantiles at `levels`, never falling with them; `NaN` where nothing is served.
    pub(super) fn tail_of(
        &self,
        served: &Served,
        bin: usize,
        told: &Told<impl Fn(Source) -> f32>,
        levels: &[f32],
        out: &mut [f32],
    ) {
        if served.link == Link::Absent {
            return out.fill(f32::NAN);
        }
        let mut least = f32::NEG_INFINITY;
        for (out, &level) in out.iter_mut().zip(levels) {
            let value = self.quantile_of(served, bin, level, told);
            least = least.max(value);
            *out = if value.is_nan() { value } else { least };
        }
    }

    /// What to publish of the choice for `expected` in a part of the season.
    fn interval(&self, bin: usize, expected: f32) -> Interval {
        let known = self.conformal.as_ref().filter(|_| expected.is_finite());
        let Some(conformal) = known else {
            return Interval::ABSENT;
        };
        let (scale, expected) = conformal.around(bin, expected);
        let ends = conformal.interval(scale, expected);
        ends.map_or(Interval::ABSENT, |(lower, upper)| Interval {
            expected,
            lower,
            upper,
        })
    }

    /// The quantile at `level` of what is to come, for `expected` in a part of the season; `NaN` where
    /// it is not known.
    pub(super) fn quantile(&self, bin: usize, expected: f32, level: f32) -> f32 {
        let known = self.conformal.as_ref().filter(|_| expected.is_finite());
        let at = |conformal: &Conformal| {
            let (scale, centre) = conformal.around(bin, expected);
            conformal.quantile(level, scale, centre)
        };
        known.and_then(at).unwrap_or(f32::NAN)
    }

    /// The target of the newest forecast that waits.
    pub(super) fn newest_target(&self) -> Option<i64> {
        self.pending.back().map(|pending| pending.target)
    }

    /// Files what was published at an origin by somebody who stands by.
    pub(super) fn forecast_by_standby(
        &mut self,
        target: i64,
        bin: usize,
        served: &Served,
        reference: f32,
    ) {
        let Interval {
            expected,
            lower,
            upper,
        } = served.interval;
        if served.by.is_some() {
            self.pending.push_back(Pending {
                target,
                bin: bin as u32,
                expected,
                chosen: f32::NAN,
                reference,
                scale: f32::NAN,
                lower,
                upper,
                is_standby: true,
            });
        }
    }

    /// Files the forecast that the choice in force makes at an origin.
    pub(super) fn forecast(&mut self, target: i64, bin: usize, expected: f32, reference: f32) {
        let Some(conformal) = self.conformal.as_ref().filter(|_| expected.is_finite()) else {
            return;
        };
        let chosen = expected;
        let (scale, expected) = conformal.around(bin, chosen);
        let (lower, upper) = conformal
            .interval(scale, expected)
            .unwrap_or((f32::NAN, f32::NAN));
        self.pending.push_back(Pending {
            target,
            bin: bin as u32,
            expected,
            chosen,
            reference,
            scale,
            lower,
            upper,
            is_standby: false,
        });
    }

    /// The oldest forecast whose target is not after grid time number `index`, if there is one.
    pub(super) fn due(&mut self, index: i64) -> Option<Pending> {
        let due = self.pending.front()?.target <= index;
        if due { self.pending.pop_front() } else { None }
    }

    /// A forecast meets its actual value; a missing one teaches nothing.
    pub(super) fn resolve(&mut self, due: &Pending, actual: f32) {
        if !actual.is_finite() {
            return;
        }
        let missed = due
            .lower
            .is_finite()
            .then_some([actual < due.lower, actual > due.upper]);
        let seen = Seen {
            bin: due.bin as usize,
            expected: due.expected,
            residual: actual - due.expected,
        };
        let own = self.conformal.as_mut().filter(|_| !due.is_standby);
        if let Some(conformal) = own {
            conformal.observe(&seen, due.scale, missed);
            // As the errors of the past that it is judged by.
            self.errors.see(actual - due.chosen);
        }
        self.sums.add(due, actual, missed, self.penalty);
    }

    /// Mean interval score so far; infinite where none was judged.
    pub(super) fn score(&self) -> f32 {
        let (sum, count) = self.sums.scores;
        if count == 0 {
            f32::INFINITY
        } else {
            sum / count as f32
        }
    }

    /// How well the resolved forecasts did.
    pub(super) fn trust(&self) -> Option<Trust> {
        let sums = &self.sums;
        (sums.judged > 0.0).then(|| Trust {
            error_ratio: ratio(sums.errors, sums.actuals),
            coverage_ratio: ratio(sums.covered, sums.judged),
            below_ratio: ratio(sums.below, sums.judged),
            // Without a season there is nothing to be better than, and perfect would be a lie.
            skill_ratio: if sums.compared[1] > 0.0 {
                1.0 - sums.compared[0] / sums.compared[1]
            } else {
                f32::NAN
            },
        })
    }

    /// Whether errors are greater than they were, 1 at the threshold; `NaN` while that is not known.
    pub(super) fn drift(&self) -> f32 {
        self.errors.score()
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.conformal.as_ref().map_or(0, Conformal::heap_bytes)
            + self.pending.capacity() * size_of::<Pending>()
            + size_of_val(&*self.standbys)
    }
}

impl Sums {
    fn add(&mut self, due: &Pending, actual: f32, missed: Option<[bool; 2]>, penalty: f32) {
        let keep = 1.0 - TRUST_WEIGHT;
        let error = (actual - due.expected).abs();
        self.errors = keep * self.errors + error;
        self.actuals = keep * self.actuals + actual.abs();
        if due.reference.is_finite() {
            self.compared[0] = keep * self.compared[0] + error;
            self.compared[1] = keep * self.compared[1] + (actual - due.reference).abs();
        }
        if let Some(missed) = missed {
            let covered = if missed == [false; 2] { 1.0 } else { 0.0 };
            let below = if missed[1] { 0.0 } else { 1.0 };
            self.covered = keep * self.covered + covered;
            self.below = keep * self.below + below;
            self.judged = keep * self.judged + 1.0;
            let outside = (due.lower - actual).max(actual - due.upper).max(0.0);
            self.scores.0 += due.upper - due.lower + penalty * outside;
            self.scores.1 += 1;
        }
    }
}

/// `part / whole`; of nothing over nothing, nothing.
fn ratio(part: f32, whole: f32) -> f32 {
    if part == 0.0 { 0.0 } else { part / whole }
}
