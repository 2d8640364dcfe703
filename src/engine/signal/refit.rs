//! Deriving a series at its epoch: piece by piece between the ticks, in a spare slot beside the state that is
//! in force, and installed at a fixed later grid time (see `epoch`).
//!
//! What is not done by then is [`Late`]: looking back and while a start is replayed the step does all of it, so that
//! the numbers are the same everywhere. Live a step does so many units of it and no more, the oldest first; the series
//! goes on with what was derived last, and the new state is installed by the step that finds it done. A series has one
//! derivation at its epochs at a time: a later epoch takes the place of one that nobody has begun with, and otherwise
//! follows when that is installed.
//!
//! A series of which a sample was corrected after it was learned from is *repaired*: derived again at the epoch
//! in force, and installed when that is done. It is then what a process that has just started says. A derivation
//! costs as much as some 10,000 steps, so a shard repairs one series a step at most; where samples are late all
//! the time, the signal's `offset` is too short.

use super::{Epochs, epoch::REREAD, plan::Plan, shard::Shard};
use crate::{
    engine::guard::guarded,
    series::{Millis, Slot, Window},
};
use std::{borrow::Cow, sync::Arc};

/// Steps of the past walked in one piece: a few milliseconds with the default detectors.
const PIECE: usize = 4_096;

/// Steps followed in one piece where forecasters step too: each is asked for every horizon at each of them.
const FOLLOWED: usize = 64;

/// Calibrating the forecasters costs as much as so many walks over the same past.
const FORECAST_COST: usize = 8;

/// What a step does about derivations that should be installed and are not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    /// All that is missing: late is better than different.
    Finish,
    /// Nothing: they are installed by a later step.
    Leave,
}

/// The derivation of one series at one of its epochs, as far as it is done.
#[derive(Debug)]
pub(super) struct Refit {
    slot: Slot,
    /// Grid index; the past ends before it.
    epoch: i64,
    /// Grid index at which it is to be installed; `None` of a repair, which has no such time.
    due: Option<i64>,
    /// Where the new state grows.
    spare: Slot,
    next: Piece,
    /// Grid index of the first value since the epoch that was not stepped over yet.
    since: i64,
    seasons: Vec<usize>,
    /// Whether the spare slot has forecasts, and whether those panicked.
    forecasts: Option<Outcome>,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Fit,
    /// From this value of the past on.
    Walk(usize),
    Forecast,
    /// Over the values since the epoch that are final.
    Follow,
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Derived,
    Panicked,
}

impl Refit {
    fn is_unfinished(&self) -> bool {
        self.next != Piece::Nothing
    }

    fn is_repair(&self) -> bool {
        self.due.is_none()
    }

    fn is_due(&self, index: i64) -> bool {
        self.due.is_some_and(|due| due <= index)
    }
}

impl Shard {
    /// Begins what may begin at grid time `at`, and installs what is due; `late` says what if that is not done.
    pub(super) fn refit_due(&mut self, at: Millis, late: Late) {
        if !self.plan.deep {
            return;
        }
        let plan = Arc::clone(&self.plan);
        let index = plan.grid.index(at);
        self.install_repairs(index);
        for position in 0..self.columns.slots.len() {
            let slot = self.columns.slots[position];
            let Some(member) = &self.members[slot] else {
                continue;
            };
            let (offset, first) = member.cycle();
            let installs = plan.epochs.installs(index, offset, first);
            match (installs, late) {
                (Some(epoch), Late::Finish) => {
                    let refit = self.take_refit(slot, epoch);
                    self.drop_repairs(slot);
                    self.install(refit, index);
                }
                (Some(epoch), Late::Leave) => self.note_late(slot, epoch),
                (None, _) => {}
            }
            if let Some(epoch) = plan.epochs.begins(index, offset, first) {
                self.wants_refit(slot, epoch);
            }
        }
        if late == Late::Leave {
            self.install_done(index);
        }
    }

    /// Grid index at which the oldest derivation that is not done is to be installed; repairs come last.
    pub(super) fn oldest_due(&self) -> i64 {
        let unfinished = self.refits.iter().filter(|refit| refit.is_unfinished());
        let due = unfinished.filter_map(|refit| refit.due);
        due.min().unwrap_or(i64::MAX)
    }

    /// Does a piece of the oldest derivation that should be installed at grid index `index` or before; its cost.
    pub(super) fn refit_a_late_piece(&mut self, index: i64) -> usize {
        let late = |refit: &Refit| refit.is_due(index) && refit.is_unfinished();
        let Some(place) = self.refits.iter().position(late) else {
            return 0;
        };
        self.late_pieces += 1;
        self.go_on_at(place)
    }

    /// Whether there is something to do between the ticks.
    pub(super) fn is_unfinished(&self) -> bool {
        let repair = !self.repairs.is_empty() && self.repaired != Some(self.newest);
        repair || self.refits.iter().any(Refit::is_unfinished)
    }

    /// Does a piece of the oldest derivation that is not done, or begins a repair.
    pub(super) fn refit_a_piece(&mut self) {
        let place = self.refits.iter().position(Refit::is_unfinished);
        let Some(place) = place.or_else(|| self.begin_a_repair()) else {
            return;
        };
        self.go_on_at(place);
    }

    fn go_on_at(&mut self, place: usize) -> usize {
        // A panic outside of the guards must not leave the derivation in the list half done.
        let Some(mut refit) = self.refits.remove(place) else {
            return 0;
        };
        let cost = self.go_on(&mut refit);
        self.refits.insert(place, refit);
        cost
    }

    /// Notes that a value of a series was corrected after it was learned from.
    pub(super) fn wants_repair(&mut self, slot: Slot) {
        if self.plan.deep && !self.repairs.contains(&slot) {
            self.repairs.push_back(slot);
        }
    }

    /// Gives up what is being derived of a series.
    pub(super) fn drop_refits(&mut self, slot: Slot) {
        self.repairs.retain(|&other| other != slot);
        self.drop_where(|refit| refit.slot == slot);
    }

    fn drop_repairs(&mut self, slot: Slot) {
        self.repairs.retain(|&other| other != slot);
        self.drop_where(|refit| refit.is_repair() && refit.slot == slot);
    }

    fn drop_where(&mut self, gone: impl Fn(&Refit) -> bool) {
        for refit in std::mem::take(&mut self.refits) {
            if gone(&refit) {
                self.clear(refit.spare);
            } else {
                self.refits.push_back(refit);
            }
        }
    }

    /// Begins to repair the series that has waited longest, unless one was begun since the newest step; its place.
    fn begin_a_repair(&mut self) -> Option<usize> {
        if self.repaired == Some(self.newest) {
            return None;
        }
        let slot = self.repairs.pop_front()?;
        let (offset, first) = self.members[slot].as_ref()?.cycle();
        // Where an epoch is about to be installed, that repairs it too.
        let epoch = self.plan.epochs.in_force(self.newest + 1, offset, first);
        let epoch = epoch.filter(|_| self.refits.iter().all(|refit| refit.slot != slot))?;
        let refit = self.begin(slot, epoch, None);
        self.refits.push_back(refit);
        self.repaired = Some(self.newest);
        Some(self.refits.len() - 1)
    }

    fn install_repairs(&mut self, index: i64) {
        let done = |refit: &Refit| refit.is_repair() && !refit.is_unfinished();
        while let Some(place) = self.refits.iter().position(done) {
            if let Some(refit) = self.refits.remove(place) {
                self.install(refit, index);
            }
        }
    }

    /// Installs what is done and due. What was late may have had to be done anew meanwhile: that begins.
    fn install_done(&mut self, index: i64) {
        let done = |refit: &Refit| refit.is_due(index) && !refit.is_unfinished();
        while let Some(place) = self.refits.iter().position(done) {
            let Some(refit) = self.refits.remove(place) else {
                return;
            };
            let (slot, epoch) = (refit.slot, refit.epoch);
            self.drop_repairs(slot);
            self.install(refit, index);
            let Some(member) = &self.members[slot] else {
                continue;
            };
            let (offset, first) = member.cycle();
            let newest = self.plan.epochs.newest_final(index, offset, first);
            if let Some(newest) = newest.filter(|&newest| newest > epoch) {
                self.wants_refit(slot, newest);
            }
        }
    }

    /// Counts a derivation that is to be installed now where it is not done.
    fn note_late(&mut self, slot: Slot, epoch: i64) {
        let own = |refit: &&Refit| refit.slot == slot && !refit.is_repair();
        match self.refits.iter().find(own) {
            Some(refit) if refit.epoch == epoch && !refit.is_unfinished() => return,
            Some(_) => {}
            // Lost to a panic.
            None => self.wants_refit(slot, epoch),
        }
        self.columns.late_refits += 1;
    }

    /// Begins a derivation of a series, or has the one that nobody began with be of this epoch.
    fn wants_refit(&mut self, slot: Slot, epoch: i64) {
        let due = epoch + self.plan.epochs.lag as i64;
        let mut refits = self.refits.iter_mut();
        match refits.find(|refit| refit.slot == slot && !refit.is_repair()) {
            None => {
                let refit = self.begin(slot, epoch, Some(due));
                self.refits.push_back(refit);
            }
            Some(refit) if refit.next == Piece::Fit && refit.epoch < epoch => {
                (refit.epoch, refit.since, refit.due) = (epoch, epoch, Some(due));
            }
            Some(_) => {}
        }
    }

    /// Whether a derivation is going on in a slot.
    pub(super) fn is_spare(&self, slot: Slot) -> bool {
        self.refits.iter().any(|refit| refit.spare == slot)
    }

    fn take_refit(&mut self, slot: Slot, epoch: i64) -> Refit {
        let due = Some(epoch + self.plan.epochs.lag as i64);
        let same = |refit: &Refit| (refit.slot, refit.epoch, refit.due) == (slot, epoch, due);
        let begun = self.refits.iter().position(same);
        let begun = begun.and_then(|place| self.refits.remove(place));
        begun.unwrap_or_else(|| self.begin(slot, epoch, due))
    }

    fn begin(&mut self, slot: Slot, epoch: i64, due: Option<i64>) -> Refit {
        Refit {
            slot,
            epoch,
            due,
            spare: self.free_slot().unwrap_or_else(|| self.extend_by_one()),
            next: Piece::Fit,
            since: epoch,
            seasons: Vec::new(),
            forecasts: None,
        }
    }

    /// Does the next piece; its cost in walks of [`PIECE`] steps.
    fn go_on(&mut self, refit: &mut Refit) -> usize {
        let plan = Arc::clone(&self.plan);
        let Some((member, deep)) = self.members[refit.slot]
            .as_ref()
            .and_then(|member| Some((member, member.deep.as_ref()?)))
        else {
            return 0;
        };
        let end = (refit.epoch - 1) * plan.grid.step();
        let values = past_values(&plan, &deep.window, end);
        let whole = 1 + values.len() / PIECE;
        let cost = match refit.next {
            Piece::Fit => whole,
            Piece::Forecast => FORECAST_COST * whole,
            Piece::Walk(_) | Piece::Follow | Piece::Nothing => 1,
        };
        match refit.next {
            Piece::Fit => {
                refit.seasons = plan.seasons(&plan.checks.believed(&values));
                let past = plan.past(end, &values, &refit.seasons);
                self.learned.assign(refit.spare, &member.labels);
                self.learned.fit(refit.spare, &past, &mut self.refit_panics);
                refit.next = Piece::Walk(0);
            }
            Piece::Walk(from) => {
                let to = (from + PIECE).min(values.len());
                let past = plan.past(end, &values, &refit.seasons);
                if from < to {
                    let piece = &values[from..to];
                    self.learned
                        .walk(refit.spare, past.time(from), piece, &mut self.refit_panics);
                }
                refit.next = if to < values.len() {
                    Piece::Walk(to)
                } else {
                    Piece::Forecast
                };
            }
            Piece::Forecast => {
                let values = plan.checks.believed(&values);
                let past = plan.past(end, &values, &refit.seasons);
                if let Some(forecasts) = &mut self.forecasts
                    && refit.epoch >= deep.forecast_from
                {
                    let done = guarded(|| forecasts.rebuild(refit.spare, &past)).is_some();
                    refit.forecasts = Some(match done {
                        true => Outcome::Derived,
                        false => Outcome::Panicked,
                    });
                    if !done {
                        self.refit_panics.push("forecast");
                    }
                }
                refit.next = Piece::Follow;
            }
            Piece::Follow => {
                // The newest values may still be corrected.
                let last = self.newest - REREAD as i64 - 1;
                let piece = if self.forecasts.is_some() {
                    FOLLOWED
                } else {
                    PIECE
                };
                let to = (refit.since + piece as i64).min(last + 1);
                if refit.since < to {
                    self.follow(refit, to);
                }
                // What comes from now on is followed when it is installed: with a piece a step it would never end.
                if to > last {
                    refit.next = Piece::Nothing;
                }
            }
            Piece::Nothing => {}
        }
        cost
    }

    /// What was derived takes the place of what was in force, as it is at the beginning of grid slot `index`.
    fn install(&mut self, mut refit: Refit, index: i64) {
        while refit.is_unfinished() {
            self.go_on(&mut refit);
            self.late_pieces += 1;
        }
        self.follow(&mut refit, index);
        let (slot, spare) = (refit.slot, refit.spare);
        self.learned.swap(slot, spare);
        if !refit.is_repair() {
            // Verdicts are of scores that were said, and derived anew at epochs only, here as everywhere.
            self.verdicts.rederive(slot);
        }
        let member = self.members[slot].as_mut();
        if let Some(deep) = member.and_then(|member| member.deep.as_mut()) {
            deep.seasons = std::mem::take(&mut refit.seasons).into();
            if let (Some(outcome), Some(forecasts)) = (refit.forecasts, &mut self.forecasts) {
                deep.forecasting = outcome == Outcome::Derived;
                deep.forecast_epoch = refit.epoch;
                self.forecasts_broken[slot] = outcome == Outcome::Panicked;
                forecasts.swap(slot, spare);
            }
        }
        self.clear(spare);
    }

    /// Steps what was derived over the values since its epoch, those before grid slot `to`.
    fn follow(&mut self, refit: &mut Refit, to: i64) {
        let plan = Arc::clone(&self.plan);
        let member = self.members[refit.slot].as_ref();
        let Some(deep) = member.and_then(|member| member.deep.as_ref()) else {
            return;
        };
        let step = plan.grid.step();
        let values = deep.window.until(plan.grid, (to - 1) * step);
        let since = usize::try_from(to - refit.since).unwrap_or(0);
        let values = &values[values.len().saturating_sub(since)..];
        let begin = (to - values.len() as i64) * step;
        let values = plan.exclusions.learnable(begin, step, values);
        refit.since = to;
        let values = self
            .learned
            .walk(refit.spare, begin, &values, &mut self.refit_panics);
        let (Some(Outcome::Derived), Some(forecasts)) = (refit.forecasts, &mut self.forecasts)
        else {
            return;
        };
        for (at, value) in (begin..).step_by(step as usize).zip(values.iter()) {
            let step = || forecasts.step(at, &[refit.spare], std::slice::from_ref(value));
            if guarded(step).is_none() {
                self.refit_panics.push("forecast");
                refit.forecasts = Some(Outcome::Panicked);
                return;
            }
        }
    }

    /// Everything derived so far is lost: it is begun anew when it is due.
    pub(super) fn drop_all_refits(&mut self) {
        self.repairs.clear();
        self.drop_where(|_| true);
    }

    /// The forecasts derived so far are lost.
    pub(super) fn forecast_anew(&mut self) {
        for refit in &mut self.refits {
            if refit.forecasts.take().is_some() {
                // What follows walks both: all of it is done again.
                (refit.next, refit.since) = (Piece::Fit, refit.epoch);
            }
        }
    }

    fn clear(&mut self, spare: Slot) {
        self.learned.evict(spare);
        if let Some(forecasts) = &mut self.forecasts {
            forecasts.evict(spare);
        }
    }
}

/// The values a series is derived from: at most `memory` up to `end`, none from before a gap of
/// `forget` steps, `NaN` where nothing is to be learned, beginning with something to learn.
pub(super) fn past_values<'m>(plan: &Plan, window: &'m Window, end: Millis) -> Cow<'m, [f32]> {
    let Epochs { memory, forget, .. } = plan.epochs;
    let all = window.until(plan.grid, end);
    let all = &all[all.len().saturating_sub(memory)..];
    // Gaps are those of the source: what is excluded, however long, does not make a series a new one.
    let (mut gap, mut from) = (0, 0);
    for (position, value) in all.iter().enumerate().rev() {
        gap = if value.is_nan() { gap + 1 } else { 0 };
        if gap >= forget {
            from = position + gap;
            break;
        }
    }
    let step = plan.grid.step();
    let begin = end - (all.len() - from) as i64 * step + step;
    let known = |values: &[f32]| values.iter().position(|value| !value.is_nan());
    match plan.exclusions.learnable(begin, step, &all[from..]) {
        Cow::Borrowed(values) => Cow::Borrowed(&values[known(values).unwrap_or(values.len())..]),
        Cow::Owned(mut values) => {
            values.drain(..known(&values).unwrap_or(values.len()));
            Cow::Owned(values)
        }
    }
}
