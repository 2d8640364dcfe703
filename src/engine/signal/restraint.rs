//! What the baseline does not learn, and what is judged more mildly: both follow from the alarms of a series itself.
//!
//! *The baseline learns nothing while a verdict is on*: an outage must not become the new normal, a shift that stays
//! must. It sees `NaN` for [`AlertingSettings::adapt_after`](crate::detect::AlertingSettings::adapt_after), as for times
//! that are excluded; then it learns freely until the verdict ended, and for as long again: a series that hovers around
//! its threshold while it gets used to a shift would never be done. Steps held back are remembered for as many calm ones, so a verdict that
//! comes and goes counts as one. Detectors go on: they calibrate themselves to what a series does now and then, and
//! holding them back too made a fifth more alarms on the public half of the Numenta benchmark (2.2 instead of 1.8
//! a week, the score of the default 71.1 instead of 73.3). So nothing is copied, and a step costs what it did.
//!
//! *The way back is no news*: detectors have learned what the incident was like, and would report its end as a shift.
//! Once a value was outside the bounds of the baseline in a verdict, those inside them are ordinary for
//! [`WAY_BACK`] steps.
//!
//! *Bounds widen* where a series has more alarms than its [budget](crate::detect::Budget).
//!
//! Everything here is derived from the window at every epoch, by the same walk that derives the detectors, and goes
//! on from there: so a restart agrees (invariant 4). The verdicts are therefore own ones: published ones remember an
//! epoch, and also follow detectors that compare series with each other, which no walk over one series can ask.
//!
//! Series of the class `wide` are never restrained: it would take a quarter of what they have in all.
//!
//! *Cost*: the scores of each step are combined once more, and some 110 bytes a series (170 with a budget).

use super::plan::Plan;
use crate::{
    baseline::Band,
    detect::{Batch, Verdict, Verdicts},
    series::{Millis, Slot},
};
use std::{borrow::Cow, sync::Arc};

/// Steps in which moving means (two blocks of 30 steps, and the one they are compared with) forget an incident.
const WAY_BACK: u8 = 90;
/// The greatest score of a value on its way back.
const BACK: f32 = 0.5;

/// What makes the scores of one series milder at one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Leniency {
    /// What the score is divided by, see [`crate::detect::Budget`].
    pub(super) factor: f32,
    /// Whether a value inside the bounds is on its way back.
    back: bool,
}

impl Leniency {
    const NONE: Self = Self {
        factor: 1.0,
        back: false,
    };

    /// The score of a value of which this was expected.
    pub(super) fn apply(self, score: f32, value: f32, band: &Band) -> f32 {
        let score = score / self.factor;
        if self.back && score > BACK && inside(value, band) {
            BACK
        } else {
            score
        }
    }
}

fn inside(value: f32, band: &Band) -> bool {
    value >= band.lower && value <= band.upper
}

/// What restrains the learning and the alarms of the series of one shard.
#[derive(Debug)]
pub(super) struct Restraint {
    plan: Arc<Plan>,
    /// While one is on nothing is learned.
    incidents: Verdicts,
    /// As published, so far as series are judged by themselves; only where there is a budget for them.
    alarms: Option<Verdicts>,
    /// Steps held back at most.
    most: u32,
    states: Vec<State>,
    /// Kept for their memory.
    lenient: Vec<Leniency>,
    combined: Vec<f32>,
    verdicts: Vec<Verdict>,
}

/// One series.
#[derive(Debug, Clone, Copy)]
struct State {
    /// Whether the baseline does not learn the next value.
    held: bool,
    /// Values that the baseline learned.
    learned: u32,
    /// Steps held back, less the calm ones since.
    withheld: u32,
    /// Calm steps left in which nothing is held back.
    free: u32,
    /// Steps left in which values may be on their way back.
    back: u8,
    /// Alarms of the budget that are used.
    spent: f64,
    /// What scores are divided by.
    factor: f32,
}

impl State {
    const NEW: Self = Self {
        held: false,
        learned: 0,
        withheld: 0,
        free: 0,
        back: 0,
        spent: 0.0,
        factor: 1.0,
    };

    /// `most`: steps that are held back at most, however long the series is known.
    fn hold(&mut self, active: bool, most: u32) {
        if !active {
            self.free = self.free.saturating_sub(1);
        }
        self.held = active && self.free == 0;
        if !self.held {
            self.withheld = self.withheld.saturating_sub(1);
            return;
        }
        // Who has seen little cannot tell an outage from what comes next.
        let most = most.min(self.learned / 2);
        self.withheld += 1;
        if self.withheld > most {
            (self.held, self.withheld, self.free) = (false, 0, most);
        }
    }
}

/// One grid time of some series; all slices but `scores` have the same length.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) at: Millis,
    pub(super) slots: &'a [Slot],
    pub(super) values: &'a [f32],
    /// The values as the baseline saw them.
    pub(super) ordinary: &'a [f32],
    pub(super) bands: &'a [Band],
    /// One column per configured detector.
    pub(super) scores: &'a [&'a [f32]],
    /// Whether nothing may follow from the scores.
    pub(super) blind: bool,
}

impl Restraint {
    pub(super) fn new(plan: &Arc<Plan>) -> Self {
        Self {
            incidents: plan.incidents(),
            alarms: plan.budget().map(|_| plan.alarms()),
            most: plan.adapt_after(),
            plan: Arc::clone(plan),
            states: Vec::new(),
            lenient: Vec::new(),
            combined: Vec::new(),
            verdicts: Vec::new(),
        }
    }

    fn is_off(&self) -> bool {
        !self.plan.deep
    }

    pub(super) fn grow(&mut self, slots: usize) {
        if self.is_off() {
            return;
        }
        self.incidents.grow(slots);
        if let Some(alarms) = &mut self.alarms {
            alarms.grow(slots);
        }
        self.states.resize(slots, State::NEW);
    }

    pub(super) fn evict(&mut self, slot: Slot) {
        if self.is_off() {
            return;
        }
        self.incidents.evict(slot);
        if let Some(alarms) = &mut self.alarms {
            alarms.evict(slot);
        }
        self.states[slot] = State::NEW;
    }

    pub(super) fn swap(&mut self, one: Slot, other: Slot) {
        if self.is_off() {
            return;
        }
        self.incidents.swap(one, other);
        if let Some(alarms) = &mut self.alarms {
            alarms.swap(one, other);
        }
        self.states.swap(one, other);
    }

    /// How milder these series are judged at the next step.
    pub(super) fn leniencies(&self, slots: &[Slot], out: &mut Vec<Leniency>) {
        out.clear();
        if self.is_off() {
            out.resize(slots.len(), Leniency::NONE);
            return;
        }
        out.extend(slots.iter().map(|&slot| {
            let State { factor, back, .. } = self.states[slot];
            Leniency {
                factor,
                back: back > 0,
            }
        }));
    }

    /// The values that may be learned as the baseline sees them: `NaN` where they are held back.
    pub(super) fn ordinary<'v>(&self, slots: &[Slot], learns: &'v [f32]) -> Cow<'v, [f32]> {
        let mut ordinary = Cow::Borrowed(learns);
        if self.is_off() {
            return ordinary;
        }
        for (index, &slot) in slots.iter().enumerate() {
            if self.states[slot].held {
                ordinary.to_mut()[index] = f32::NAN;
            }
        }
        ordinary
    }

    /// Takes in the scores of one grid time.
    pub(super) fn step(&mut self, view: View<'_>) {
        if self.is_off() {
            return;
        }
        let mut lenient = std::mem::take(&mut self.lenient);
        self.leniencies(view.slots, &mut lenient);
        self.combined.clear();
        self.combined.resize(view.slots.len(), f32::NAN);
        if !view.blind {
            let (values, bands) = (view.values, view.bands);
            self.plan
                .combined(view.scores, values, bands, &lenient, &mut self.combined);
        }
        self.lenient = lenient;
        self.hold(view);
        self.spend(view);
    }

    fn hold(&mut self, view: View<'_>) {
        judge(
            &mut self.incidents,
            view,
            &self.combined,
            &mut self.verdicts,
        );
        for (index, &slot) in view.slots.iter().enumerate() {
            let state = &mut self.states[slot];
            let learned = u32::from(view.ordinary[index].is_finite());
            state.learned = state.learned.saturating_add(learned);
            let active = self.verdicts[index].active;
            state.hold(active, self.most);
            let (value, band) = (view.values[index], &view.bands[index]);
            // A value that is missing, or that the walk over the past will not see, was not outside.
            if active && !view.blind && (value < band.lower || value > band.upper) {
                state.back = WAY_BACK;
            } else {
                state.back = state.back.saturating_sub(1);
            }
        }
    }

    fn spend(&mut self, view: View<'_>) {
        let (Some(alarms), Some(budget)) = (&mut self.alarms, self.plan.budget()) else {
            return;
        };
        judge(alarms, view, &self.combined, &mut self.verdicts);
        for (verdict, &slot) in self.verdicts.iter().zip(view.slots) {
            let state = &mut self.states[slot];
            state.spent = budget.step(state.spent, verdict.began, self.plan.grid);
            // An alarm is not ended by its own beginning.
            if !verdict.active {
                state.factor = budget.factor(state.spent);
            }
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let alarms = self.alarms.as_ref().map_or(0, Verdicts::heap_bytes);
        self.incidents.heap_bytes() + alarms + self.states.capacity() * size_of::<State>()
    }
}

fn judge(verdicts: &mut Verdicts, view: View<'_>, combined: &[f32], out: &mut Vec<Verdict>) {
    out.clear();
    out.resize(view.slots.len(), Verdict::default());
    let batch = Batch {
        at: view.at,
        slots: view.slots,
        values: view.values,
        bands: view.bands,
    };
    verdicts.step(&batch, combined, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether each of these steps is held back, of a series of which much is known.
    fn held(active: impl Iterator<Item = bool>, most: u32) -> Vec<bool> {
        let mut state = State {
            learned: 1_000,
            ..State::NEW
        };
        let step = |active| {
            state.hold(active, most);
            state.held
        };
        active.map(step).collect()
    }

    fn steps(runs: &[(bool, usize)]) -> impl Iterator<Item = bool> {
        let runs = runs.iter();
        runs.flat_map(|&(active, count)| std::iter::repeat_n(active, count))
    }

    #[test]
    fn a_verdict_holds_learning_back_for_so_long_and_then_no_more() {
        let held = held(steps(&[(false, 5), (true, 40), (false, 5), (true, 5)]), 10);
        assert!(held[5..15].iter().all(|&held| held));
        let rest = [&held[..5], &held[15..]].concat();
        assert!(rest.iter().all(|&held| !held), "{held:?}");
    }

    #[test]
    fn a_verdict_that_comes_and_goes_counts_as_one_unless_it_was_calm_for_as_long() {
        let flapping = held(steps(&[(true, 3), (false, 1)].repeat(20)), 10);
        let count = flapping[..20].iter().filter(|&&held| held).count();
        assert!((10..=15).contains(&count), "{flapping:?}");
        let apart = held(steps(&[(true, 8), (false, 8)].repeat(5)), 10);
        assert_eq!(apart.iter().filter(|&&held| held).count(), 40);
    }

    #[test]
    fn who_has_seen_little_holds_back_little() {
        let mut state = State {
            learned: 6,
            ..State::NEW
        };
        let held: Vec<bool> = (0..5)
            .map(|_| {
                state.hold(true, 1_000);
                state.held
            })
            .collect();
        assert_eq!(held, [true, true, true, false, false]);
    }

    #[test]
    fn only_values_inside_the_bounds_are_on_their_way_back() {
        let band = Band {
            expected: 10.0,
            lower: 7.0,
            upper: 13.0,
            scale: 1.0,
        };
        let lenient = |factor, back| Leniency { factor, back };
        assert_eq!(lenient(1.0, true).apply(4.0, 12.0, &band), BACK);
        assert_eq!(lenient(1.0, true).apply(4.0, 14.0, &band), 4.0);
        assert_eq!(lenient(2.0, false).apply(4.0, 12.0, &band), 2.0);
        assert!(lenient(2.0, true).apply(f32::NAN, 12.0, &band).is_nan());
    }
}
