//! Forecasts of a shard in one step: carried on, and read.
//!
//! A forecaster that fails is left out inside [`crate::forecast::Forecasts`]. The guards here are for what is around the
//! forecasters: the choice among them, intervals.

use super::{member::Member, plan::Plan, refit::past_values, shard::Shard};
use crate::{
    engine::guard::guarded,
    forecast::{Forecasts, Interval},
    series::{Millis, Slot},
};
use std::sync::Arc;

/// What is read of forecasts: intervals of these series.
type Read = fn(&Forecasts, &[Slot], &mut [Interval]);

impl Shard {
    /// Carries the forecasts on, all series at once.
    pub(super) fn carry_forecasts(&mut self, at: Millis) {
        if self.forecasts.is_none() {
            return;
        }
        let learns = !self.plan.exclusions.not_learned(at);
        let (mut slots, mut values) = (Vec::new(), Vec::new());
        let columns = &self.columns;
        let read = columns.slots.iter().zip(&columns.values);
        for ((&slot, &value), doubt) in read.zip(&columns.doubts) {
            if self.members[slot]
                .as_ref()
                .is_some_and(|member| member.forecast_epoch().is_some())
            {
                slots.push(slot);
                let learned = learns && doubt.is_none();
                values.push(if learned { value } else { f32::NAN });
            }
        }
        let Some(forecasts) = &mut self.forecasts else {
            return;
        };
        if guarded(|| forecasts.step(at, &slots, &values)).is_none() {
            self.columns.panics.push("forecast");
            self.recover_forecasts(at, &slots, &values);
        }
        if let Some(forecasts) = &mut self.forecasts {
            self.columns.failures.extend(forecasts.take_failures());
        }
    }

    /// New forecasters, derived series by series; a series that makes them panic is left out until
    /// its next epoch.
    fn recover_forecasts(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        // The models were loaded when the unit was built: the same bytes load again.
        let Ok(Some(fresh)) = self.plan.forecasts() else {
            return;
        };
        self.forecasts = Some(fresh);
        if let Some(forecasts) = &mut self.forecasts {
            forecasts.grow(self.members.len());
        }
        self.forecast_anew();
        let end = at - self.plan.grid.step();
        for (&slot, &value) in slots.iter().zip(values) {
            self.derive_forecasts(slot, end, i64::MAX);
            let Some(forecasts) = &mut self.forecasts else {
                return;
            };
            if guarded(|| forecasts.step(at, &[slot], &[value])).is_none() {
                self.forecasts_broken[slot] = true;
                forecasts.evict(slot);
                let member = self.members[slot].as_mut();
                if let Some(deep) = member.and_then(|member| member.deep.as_mut()) {
                    deep.forecasting = false;
                }
            }
        }
    }

    /// What readers get of them.
    pub(super) fn read_intervals(&mut self) {
        let Some(forecasts) = &self.forecasts else {
            return;
        };
        let columns = &mut self.columns;
        let width = self.plan.windows.len() * self.plan.levels.len();
        columns.tails.resize(columns.slots.len() * width, f32::NAN);
        if guarded(|| forecasts.tails(&columns.slots, &mut columns.tails)).is_none() {
            columns.panics.push("forecast");
            columns.tails.fill(f32::NAN);
        }
        let oldest = self.newest - self.plan.forecast_age;
        let is_young = |slot: Slot| {
            let member = self.members[slot].as_ref();
            let epoch = member.and_then(Member::forecast_epoch);
            epoch.map(|epoch| epoch >= oldest)
        };
        let outdated = |slot: &&Slot| is_young(**slot) == Some(false);
        columns.outdated += columns.slots.iter().filter(outdated).count();
        for (read, out, width) in [
            (
                Forecasts::intervals as Read,
                &mut columns.intervals,
                self.plan.horizons.len(),
            ),
            (
                Forecasts::maxima as Read,
                &mut columns.maxima,
                self.plan.windows.len(),
            ),
        ] {
            out.resize(columns.slots.len() * width, Interval::ABSENT);
            if guarded(|| read(forecasts, &columns.slots, out)).is_none() {
                columns.panics.push("forecast");
                out.fill(Interval::ABSENT);
            }
            for (position, &slot) in columns.slots.iter().enumerate() {
                let ready = is_young(slot) == Some(true);
                let shown = ready && !self.forecasts_broken[slot];
                for interval in &mut out[position * width..(position + 1) * width] {
                    *interval = if shown {
                        clipped(&self.plan, *interval)
                    } else {
                        Interval::ABSENT
                    };
                }
            }
        }
        for (position, &slot) in columns.slots.iter().enumerate() {
            let shown = is_young(slot) == Some(true) && !self.forecasts_broken[slot];
            for value in &mut columns.tails[position * width..(position + 1) * width] {
                *value = if shown {
                    self.plan.clip(*value)
                } else {
                    f32::NAN
                };
            }
        }
    }

    fn derive_forecasts(&mut self, slot: Slot, end: Millis, index: i64) {
        let plan = Arc::clone(&self.plan);
        let member = self.members[slot].as_mut();
        let deep = member.and_then(|member| member.deep.as_mut());
        let (Some(forecasts), Some(deep)) = (&mut self.forecasts, deep) else {
            return;
        };
        if index < deep.forecast_from {
            return;
        }
        let values = past_values(&plan, &deep.window, end);
        let values = plan.checks.believed(&values);
        let past = plan.past(end, &values, &deep.seasons);
        let done = guarded(|| forecasts.rebuild(slot, &past)).is_some();
        if !done {
            self.columns.panics.push("forecast");
            forecasts.evict(slot);
        }
        self.forecasts_broken[slot] = !done;
        deep.forecasting = done;
        deep.forecast_epoch = self.plan.grid.index(end) + 1;
    }
}

fn clipped(plan: &Plan, interval: Interval) -> Interval {
    Interval {
        expected: plan.clip(interval.expected),
        lower: plan.clip(interval.lower),
        upper: plan.clip(interval.upper),
    }
}
