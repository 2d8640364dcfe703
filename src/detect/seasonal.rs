//! How far a value is from what the series does at this time of the day and hour of the week.
//!
//! *When*: anything people or schedules drive, where the time of the day says more than the last hour does:
//! a value that is ordinary at noon is news at night. It keeps its own profile and asks no baseline: a second
//! opinion beside one that has another season, or none. *Cost*: about 50 ns a value and 2.6 kB a series (1.3
//! without `week`). *Needs*: two days; a whole week before weekends are known. *Reference*: residuals of an
//! additive model (level, day, week; Hastie & Tibshirani, "Generalized additive models", 1990), fitted online
//! by backfitting, with Huber's clipping and a scale of each time of the day.
//!
//! Times are those of the wall clock of the signal (`timezone`), so that setting it moves nothing, and holidays
//! (`holidays`) have the course of a Sunday: there are too few of them to learn one of their own.

use super::{
    Batch, Detector, MAX_SCORE, Problems, Scope, UNMEASURED, is_usable, positive, share, tail::Tail,
};
use crate::{
    baseline,
    series::{Grid, LocalTime, Millis, Slot, Span, swap_rows},
    stats::{
        robust,
        track::{Gains, Tracker},
    },
};
use serde::Deserialize;

const DAY: Millis = 86_400_000;
const HOURS_OF_WEEK: usize = 168;
/// Places of a day: a quarter of an hour each.
const MOST_PLACES: i64 = 96;
/// A visit of a place moves it by no less than this share of what it was wrong by: about a week is remembered.
const LEAST_GAIN: f32 = 1.0 / 8.0;
/// The same for an hour of the week, which is visited seldom.
const LEAST_WEEKLY_GAIN: f32 = 1.0 / 3.0;
/// What one value, or one visit, can be wrong by at most when something is learned of it, in scales.
const CLIP: f32 = 3.0;
/// The scale of a place counts for as many visits as it had, that of the whole day for so many.
const PRIOR_VISITS: f32 = 2.0;
/// The two hours beside one of the week count together for as many visits of it.
const NEIGHBOURS_VISITS: f32 = 2.0;
/// An hour remembers no more visits than about this.
const MOST_VISITS: u32 = 4;
/// Share of the change from one place to the next that counts as noise: nothing happens at the same second
/// every day.
const TIMING: f32 = 0.5;
/// `sqrt(pi / 2)`: mean absolute deviation to standard deviation, for normal noise.
const MEAN_DEVIATION: f32 = 1.253_314_1;
/// Mean absolute difference of neighbours to standard deviation, for normal noise: `sqrt(pi) / 2`.
const MEAN_DIFFERENCE: f32 = 0.886_226_9;
/// The smallest difference ever seen is forgotten at this pace, a step.
const QUANTUM_GROWTH: f32 = 1.0005;

/// Settings of the detector.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// So many scales (of this time of the day) score 1.
    pub threshold: f64,
    /// Time constant of the level on which the profile rides.
    pub level: Span,
    /// Whether each hour of the week has its own difference from the average day.
    pub week: bool,
    /// Whether the hours before and after weigh in on an hour of the week, most where it was seldom visited. With it the
    /// standard score of this detector on NAB is 60.6 instead of 58.5, VUS-PR on two KPI series 0.66 instead of 0.62;
    /// off, as it blurs the hours in which work begins and ends: a holiday on which people work is seen less well.
    pub smooth_week: bool,
    /// The scale is never smaller than this share of the range of the profile.
    pub floor: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threshold: 6.0,
            level: Span::minutes(720),
            week: true,
            smooth_week: false,
            floor: 0.02,
        }
    }
}

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        let mut problems = positive("threshold", self.threshold);
        problems.extend(positive("level", self.level.as_millis() as f64));
        problems.extend(share("floor", self.floor));
        problems
    }

    /// The detector, by UTC and without holidays.
    pub fn build(&self, grid: Grid) -> Box<dyn Detector> {
        self.build_local(grid, &LocalTime::default())
    }

    /// The detector by this wall clock.
    pub fn build_local(&self, grid: Grid, local: &LocalTime) -> Box<dyn Detector> {
        let places = (DAY / grid.step()).clamp(1, MOST_PLACES) as usize;
        Box::new(Seasonal {
            threshold: self.threshold as f32,
            floor: self.floor as f32,
            local: local.clone(),
            gains: Gains::new(grid, self.level, Span::days(2)),
            places,
            hours: if self.week { HOURS_OF_WEEK } else { 0 },
            smooth_week: self.smooth_week,
            states: Vec::new(),
            day: Vec::new(),
            week: Vec::new(),
        })
    }
}

#[derive(Debug, Clone)]
struct Seasonal {
    threshold: f32,
    floor: f32,
    local: LocalTime,
    gains: Gains,
    places: usize,
    hours: usize,
    smooth_week: bool,
    states: Vec<State>,
    /// Per slot `places` places.
    day: Vec<Place>,
    /// Per slot `hours` hours.
    week: Vec<Hour>,
}

/// A time of the day.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// What the series does then, less its level; `NaN` before the first visit.
    value: f32,
    /// Scale of the noise then; of no meaning with fewer than two visits.
    scale: f32,
    visits: u32,
}

impl Place {
    const NEW: Self = Self {
        value: f32::NAN,
        scale: 0.0,
        visits: 0,
    };

    fn learn(&mut self, visit: Visit, limit: f32) {
        let (rest, size) = visit.means();
        self.visits = self.visits.saturating_add(1);
        if self.visits == 1 {
            self.value = rest;
            return;
        }
        let gain = (1.0 / self.visits as f32).max(LEAST_GAIN);
        self.value += gain * robust::clip(rest, limit);
        let gain = (1.0 / (self.visits - 1) as f32).max(LEAST_GAIN);
        self.scale += gain * (MEAN_DEVIATION * size.min(limit) - self.scale);
    }
}

/// An hour of the week.
#[derive(Debug, Clone, Copy)]
struct Hour {
    /// How it differs from the same hour of the average day.
    value: f32,
    visits: u32,
}

impl Hour {
    const NEW: Self = Self {
        value: 0.0,
        visits: 0,
    };

    fn learn(&mut self, visit: Visit, limit: f32) {
        let gain = (1.0 / (self.visits + 2) as f32).max(LEAST_WEEKLY_GAIN);
        self.visits = self.visits.saturating_add(1);
        // A Sunday may be as far from the average day as it likes the first two times.
        let limit = if self.visits <= 2 {
            f32::INFINITY
        } else {
            limit
        };
        self.value += gain * robust::clip(visit.means().0, limit);
    }
}

/// What was left of the values while a place, or an hour, was visited.
#[derive(Debug, Clone, Copy)]
struct Visit {
    at: usize,
    rest: f32,
    size: f32,
    count: f32,
}

impl Visit {
    fn new(at: usize) -> Self {
        Self {
            at,
            rest: 0.0,
            size: 0.0,
            count: 0.0,
        }
    }

    fn take(&mut self, rest: f32, size: f32) {
        self.rest += rest;
        self.size += size;
        self.count += 1.0;
    }

    /// Mean of what was left, and of the sizes.
    fn means(self) -> (f32, f32) {
        (self.rest / self.count, self.size / self.count)
    }
}

/// One series, beside its places.
#[derive(Debug, Clone, Copy)]
struct State {
    /// Level of what the profile leaves, and its scale; `None` in the first day.
    tracker: Option<Tracker>,
    /// Time and value of the first sample. Everything is kept less this value: a profile on a high level
    /// keeps its digits.
    began: Option<(Millis, f32)>,
    /// Of the first day: the sum of the differences of neighbours, how many there were.
    differences: (f32, f32),
    last: f32,
    /// The smallest difference of neighbours.
    quantum: f32,
    floor: f32,
    place: Visit,
    hour: Visit,
    tail: Tail,
}

impl State {
    fn new(threshold: f32) -> Self {
        Self {
            tracker: None,
            began: None,
            differences: (0.0, 0.0),
            last: f32::NAN,
            quantum: f32::INFINITY,
            floor: 0.0,
            place: Visit::new(0),
            hour: Visit::new(0),
            tail: Tail::new(threshold),
        }
    }

    /// Keeps up what is known of the differences of neighbours.
    fn watch(&mut self, value: f32) {
        let difference = (value - self.last).abs();
        self.last = value;
        self.quantum *= QUANTUM_GROWTH;
        if difference.is_nan() {
            return;
        }
        if self.tracker.is_none() {
            self.differences.0 += difference;
            self.differences.1 += 1.0;
        }
        if difference > 0.0 {
            self.quantum = self.quantum.min(difference);
        }
    }

    fn level(&self) -> f32 {
        self.tracker.map_or(0.0, |tracker| tracker.level)
    }

    fn scale(&self) -> f32 {
        self.tracker.map_or(f32::NAN, |tracker| tracker.scale)
    }
}

/// A grid time, its place of the day and its hour of the week.
#[derive(Debug, Clone, Copy)]
struct When {
    at: Millis,
    place: usize,
    hour: usize,
}

/// What is expected at one time.
struct Expected {
    value: f32,
    scale: f32,
    /// The value without the neighbours of the place: what the place learns from. Learning from the smooth
    /// one, a place and its neighbours could be wrong for ever, in turn.
    unsmoothed: f32,
}

impl Seasonal {
    fn when(&mut self, at: Millis) -> When {
        let place = self.local.of_day(at) * self.places as i64 / DAY;
        When {
            at,
            place: place as usize,
            hour: self.local.hour_of_week(at),
        }
    }

    fn day_of(&mut self, slot: Slot) -> &mut [Place] {
        &mut self.day[slot * self.places..][..self.places]
    }

    /// Ends the visits that are over: what they left is learned.
    fn turn(&mut self, slot: Slot, place: usize, hour: usize) {
        let State {
            place: visit,
            hour: weekly,
            ..
        } = self.states[slot];
        let limit = match self.states[slot].scale() {
            scale if scale > 0.0 => CLIP * scale,
            // Nothing is known of the size of the noise.
            _ => f32::INFINITY,
        };
        if visit.at != place {
            if visit.count > 0.0 {
                self.day_of(slot)[visit.at].learn(visit, limit);
                self.states[slot].floor = self.least(slot);
            }
            self.states[slot].place = Visit::new(place);
        }
        if weekly.at != hour {
            if weekly.count > 0.0 && self.hours > 0 {
                self.week[slot * self.hours + weekly.at].learn(weekly, limit);
            }
            self.states[slot].hour = Visit::new(hour);
        }
    }

    /// The least scale, see [`baseline::scale_floor`].
    fn least(&mut self, slot: Slot) -> f32 {
        let State { quantum, .. } = self.states[slot];
        let first = self.states[slot].began.map_or(0.0, |(_, first)| first);
        let quantum = if quantum.is_finite() { quantum } else { 0.0 };
        let share = self.floor;
        let known = self.day_of(slot).iter().map(|place| place.value);
        // `min` and `max` leave out the places that were never visited.
        let (low, high) = known.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        baseline::scale_floor((high - low).max(0.0), quantum, &[first], share)
    }

    /// `NaN` where the time of the day was not seen twice yet.
    fn expected(&self, slot: Slot, place: usize, hour: usize) -> Expected {
        let day = &self.day[slot * self.places..][..self.places];
        let (before, here, after) = (
            day[(place + self.places - 1) % self.places],
            day[place],
            day[(place + 1) % self.places],
        );
        let or_here = |other: Place| {
            if other.visits > 0 {
                other.value
            } else {
                here.value
            }
        };
        let (earlier, later) = (or_here(before), or_here(after));
        let change = (earlier - here.value).abs().max((later - here.value).abs());
        let (smooth, weekly) = self.weekly(slot, hour);
        let state = &self.states[slot];
        let visits = here.visits.saturating_sub(1).min(8) as f32;
        let own = visits * here.scale + PRIOR_VISITS * state.scale();
        let noise = own / (visits + PRIOR_VISITS);
        let scale = noise.hypot(TIMING * change).max(state.floor);
        let course = 0.25 * earlier + 0.5 * here.value + 0.25 * later;
        Expected {
            value: state.level() + smooth + course,
            scale,
            unsmoothed: state.level() + weekly + here.value,
        }
    }

    /// How this hour of the week differs from that of the average day: with the hours beside it where that is asked
    /// for, and by itself.
    fn weekly(&self, slot: Slot, hour: usize) -> (f32, f32) {
        if self.hours == 0 {
            return (0.0, 0.0);
        }
        let week = &self.week[slot * self.hours..][..self.hours];
        let own = week[hour];
        if !self.smooth_week {
            return (own.value, own.value);
        }
        let beside = [hour + self.hours - 1, hour + 1].map(|other| week[other % self.hours]);
        let visits: f32 = beside.iter().map(|other| other.visits as f32).sum();
        // An hour that was never visited is not taken for the one before it: days differ by their course too.
        if visits == 0.0 || own.visits == 0 {
            return (own.value, own.value);
        }
        let sum: f32 = beside
            .iter()
            .map(|other| other.visits as f32 * other.value)
            .sum();
        let visited = own.visits.min(MOST_VISITS) as f32;
        let smooth = visited * own.value + NEIGHBOURS_VISITS * sum / visits;
        (smooth / (visited + NEIGHBOURS_VISITS), own.value)
    }

    /// The score of one value, which is taken in then.
    fn score(&mut self, slot: Slot, When { at, place, hour }: When, value: f32) -> f32 {
        self.turn(slot, place, hour);
        if !is_usable(value) {
            return f32::NAN;
        }
        let value = value - self.begin(slot, at, value);
        let expected = self.expected(slot, place, hour);
        let visits = self.day_of(slot)[place].visits;
        let state = &mut self.states[slot];
        state.watch(value);
        if visits == 0 || state.tracker.is_none() {
            state.place.take(value - state.level(), 0.0);
            return f32::NAN;
        }
        let rest = value - expected.value;
        let own = value - expected.unsmoothed;
        state.place.take(own, rest.abs());
        state.hour.take(own, rest.abs());
        if let Some(tracker) = &mut state.tracker {
            let level = tracker.level;
            tracker.take(level + own, 1.0, state.floor.max(0.0), self.gains);
        }
        if visits < 2 {
            return f32::NAN;
        }
        let distance = match rest.abs() {
            0.0 => 0.0,
            size if expected.scale > 0.0 => size / expected.scale,
            _ => UNMEASURED * self.threshold,
        };
        state.tail.score(distance, self.threshold).min(MAX_SCORE)
    }

    /// After the first day its noise is known well enough to follow the level. Gives the very first value.
    fn begin(&mut self, slot: Slot, at: Millis, value: f32) -> f32 {
        let state = &mut self.states[slot];
        let (began, first) = *state.began.get_or_insert((at, value));
        if state.tracker.is_none() && at - began >= DAY {
            let (sum, count) = state.differences;
            let scale = MEAN_DIFFERENCE * sum / count.max(1.0);
            state.tracker = Some(Tracker::new(0.0, scale.max(state.floor)));
        }
        first
    }
}

impl Detector for Seasonal {
    fn kind(&self) -> &'static str {
        "seasonal"
    }

    fn scope(&self) -> Scope {
        Scope::Series
    }

    fn memory(&self) -> usize {
        // The level takes up most of what an hour of the week should learn: its errors halve in some twelve weeks.
        usize::MAX
    }

    fn grow(&mut self, slots: usize) {
        let slots = slots.max(self.states.len());
        self.states.resize(slots, State::new(self.threshold));
        self.day.resize(slots * self.places, Place::NEW);
        self.week.resize(slots * self.hours, Hour::NEW);
    }

    fn reset(&mut self, slot: Slot) {
        self.states[slot] = State::new(self.threshold);
        self.day_of(slot).fill(Place::NEW);
        self.week[slot * self.hours..][..self.hours].fill(Hour::NEW);
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.states.swap(one, other);
        swap_rows(&mut self.day, self.places, one, other);
        swap_rows(&mut self.week, self.hours, one, other);
    }

    fn step(&mut self, batch: &Batch<'_>, out: &mut [f32]) {
        let when = self.when(batch.at);
        for (index, &slot) in batch.slots.iter().enumerate() {
            out[index] = self.score(slot, when, batch.values[index]);
        }
    }

    fn heap_bytes(&self) -> usize {
        self.states.capacity() * size_of::<State>()
            + self.day.capacity() * size_of::<Place>()
            + self.week.capacity() * size_of::<Hour>()
    }
}

#[cfg(test)]
mod tests;
