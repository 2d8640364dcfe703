//! Known occasions, such as holidays and campaigns: what each adds to a series, learnt from those of the past and
//! expected of those to come.
//!
//! Each calendar is one regressor: the share of a step that lies inside one of its spans, known as far ahead as
//! is forecast. A step is the one that ends at its grid time, since rates and means look back. Effects are learnt in three
//! moves, as in backfitting (Hastie & Tibshirani, "Generalized additive models", 1990, section 4.4): the course of the seasons
//! from the values outside of all occasions; what an occasion departs from it and from the level of the days
//! around it; ridge regression of that on the calendars. Where a calendar has shown at least [`SHAPED`] occasions its effect may
//! follow the time of day, by two pairs of waves. [`Effects`] does so for forecasters that know nothing of it: they
//! learn from values without effects, and effects are put on what they forecast.
//!
//! Cost: 40 bytes per series and calendar; learning takes what finding the course of the seasons takes, once more; nothing
//! without calendars.

use super::{
    harmonic::course,
    wall::{Wall, phase_of},
};
use crate::{
    series::{Calendar, Grid, Millis, Past, Slot, calendar::Interval},
    stats::linear::{Cholesky, add_scaled, add_square, dot},
};
use std::{borrow::Cow, f64::consts::TAU, sync::Arc};

const DAY: Millis = 86_400_000;
/// Calendars are asked for so much more than is needed, as they are asked day by day.
const AHEAD: Millis = 31 * DAY;
/// Pairs of waves that the shape of an effect over the day has.
const WAVES: usize = 2;
/// The share itself, and its waves.
const TERMS: usize = 1 + 2 * WAVES;
/// Fewer occasions than this show how much, not when.
const SHAPED: usize = 3;
/// The level is that of so many days before and after.
const AROUND_DAYS: usize = 3;
/// An effect is held back as by so many occasions without any: what happened once may have had another reason.
const PULL: f64 = 0.2;

/// The calendars of a signal that its forecasters may know, each with an effect of its own.
#[derive(Debug, Clone, Default)]
pub struct Occasions(Vec<Arc<Calendar>>);

impl Occasions {
    /// Those that `calendars` have; one that is given twice counts once.
    pub fn new(calendars: impl IntoIterator<Item = Arc<Calendar>>) -> Self {
        let mut own: Vec<Arc<Calendar>> = Vec::new();
        for calendar in calendars {
            if !own.iter().any(|known| Arc::ptr_eq(known, &calendar)) {
                own.push(calendar);
            }
        }
        Self(own)
    }
}

impl PartialEq for Occasions {
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        self.0.len() == other.0.len() && pairs.into_iter().all(|(one, two)| Arc::ptr_eq(one, two))
    }
}

/// When the occasions of each calendar are, as far as was asked.
#[derive(Debug)]
pub(super) struct Dates {
    step: Millis,
    calendars: Vec<Arc<Calendar>>,
    /// By calendar, sorted, apart from each other.
    spans: Vec<Vec<Interval>>,
    /// What `spans` cover.
    covered: Option<Interval>,
}

impl Dates {
    pub(super) fn new(occasions: &Occasions, grid: Grid) -> Self {
        Self {
            step: grid.step(),
            calendars: occasions.0.clone(),
            spans: vec![Vec::new(); occasions.0.len()],
            covered: None,
        }
    }

    /// Number of calendars.
    pub(super) fn count(&self) -> usize {
        self.calendars.len()
    }

    /// Makes known the steps that end between `from` and `to`.
    pub(super) fn cover(&mut self, from: Millis, to: Millis) {
        let from = from - self.step;
        let known = self.covered.unwrap_or(Interval { from: to, to: from });
        if self.calendars.is_empty() || (known.from <= from && known.to >= to) {
            return;
        }
        let wanted = Interval {
            from: known.from.min(from),
            to: known.to.max(to + AHEAD),
        };
        for (spans, calendar) in self.spans.iter_mut().zip(&self.calendars) {
            *spans = calendar.touching(wanted.from, wanted.to);
        }
        self.covered = Some(wanted);
    }

    /// The share, 0 to 1, of the step that ends at `at` that is inside an occasion of the calendar. 0 outside of what is
    /// covered.
    pub(super) fn share(&self, calendar: usize, at: Millis) -> f64 {
        let from = at - self.step;
        let spans = &self.spans[calendar];
        let first = spans.partition_point(|span| span.to <= from);
        let touching = spans[first..].iter().take_while(|span| span.from < at);
        let inside: Millis = touching
            .map(|span| span.to.min(at) - span.from.max(from))
            .sum();
        inside as f64 / self.step as f64
    }

    /// Whether the step that ends at `at` touches an occasion.
    fn any(&self, at: Millis) -> bool {
        (0..self.count()).any(|calendar| self.share(calendar, at) > 0.0)
    }
}

/// What occasions add to each series.
#[derive(Debug)]
pub(super) struct Effects {
    dates: Dates,
    wall: Wall,
    /// Steps of a day; 0 where a day is no whole number of them.
    day: usize,
    longest: Millis,
    /// By slot: [`TERMS`] of each calendar, empty where nothing is known.
    learnt: Vec<Box<[f64]>>,
}

impl Effects {
    /// For forecasts `horizons` steps ahead.
    pub(super) fn new(occasions: &Occasions, grid: Grid, horizons: &[usize]) -> Self {
        let day = grid.steps(DAY);
        let whole = day as Millis * grid.step() == DAY && day > 4 * WAVES;
        let longest = horizons.iter().copied().max().unwrap_or(1);
        Self {
            dates: Dates::new(occasions, grid),
            wall: Wall::new(grid),
            day: if whole { day } else { 0 },
            longest: longest as Millis * grid.step(),
            learnt: Vec::new(),
        }
    }

    pub(super) fn grow(&mut self, slots: usize) {
        self.learnt.resize_with(slots, Box::default);
    }

    pub(super) fn evict(&mut self, slot: Slot) {
        self.learnt[slot] = Box::default();
    }

    pub(super) fn swap(&mut self, one: Slot, other: Slot) {
        self.learnt.swap(one, other);
    }

    /// Bytes of state, all series together.
    pub(super) fn heap_bytes(&self) -> usize {
        let learnt = self.learnt.iter().map(|own| size_of_val(&**own));
        learnt.sum::<usize>() + self.learnt.capacity() * size_of::<Box<[f64]>>()
    }

    /// Learns the effects of a past; its values without them.
    pub(super) fn learn<'p>(&mut self, slot: Slot, past: &Past<'p>) -> Cow<'p, [f32]> {
        self.evict(slot);
        if self.dates.count() == 0 || past.values.is_empty() {
            return Cow::Borrowed(past.values);
        }
        self.wall.set_zone(past.zone);
        self.dates.cover(past.time(0), past.end + self.longest);
        if let Some(lessons) = Lessons::of(past, &self.dates, &mut self.wall)
            && let Some(learnt) = self.regress(&lessons)
        {
            self.learnt[slot] = learnt;
        }
        if self.learnt[slot].is_empty() {
            return Cow::Borrowed(past.values);
        }
        let values = past.values.iter().enumerate();
        let rest = values.map(|(index, &value)| value - self.at(slot, past.time(index)) as f32);
        Cow::Owned(rest.collect())
    }

    /// The values at grid time `at` without the effects.
    pub(super) fn without<'v>(
        &mut self,
        at: Millis,
        slots: &[Slot],
        values: &'v [f32],
    ) -> Cow<'v, [f32]> {
        if self.dates.count() == 0 {
            return Cow::Borrowed(values);
        }
        self.dates.cover(at, at + self.longest);
        if !self.dates.any(at) {
            return Cow::Borrowed(values);
        }
        let pairs = slots.iter().zip(values);
        let rest = pairs.map(|(&slot, &value)| value - self.at(slot, at) as f32);
        Cow::Owned(rest.collect())
    }

    /// A forecast for the time `at`, made without the effects, with them.
    pub(super) fn with(&self, slot: Slot, at: Millis, forecast: f32) -> f32 {
        if self.learnt[slot].is_empty() {
            return forecast;
        }
        forecast + self.at(slot, at) as f32
    }

    /// What the occasions around `at` add.
    fn at(&self, slot: Slot, at: Millis) -> f64 {
        let learnt = &self.learnt[slot];
        let calendars = learnt.chunks_exact(TERMS).enumerate();
        let effects = calendars.map(|(calendar, weights)| {
            let share = self.dates.share(calendar, at);
            if share == 0.0 {
                return 0.0;
            }
            dot(&terms(share, self.wall.index(at), self.day), weights)
        });
        effects.sum()
    }

    /// Ridge regression of what was left on the calendars.
    fn regress(&self, lessons: &Lessons) -> Option<Box<[f64]>> {
        let width = TERMS * self.dates.count();
        let (mut gram, mut right) = (vec![0.0; width * width], vec![0.0; width]);
        let mut row = vec![0.0; width];
        for lesson in &lessons.rows {
            let calendars = row.chunks_exact_mut(TERMS).zip(&lesson.shares);
            for ((terms_of, &share), &occasions) in calendars.zip(&lessons.occasions) {
                terms_of.fill(0.0);
                if share > 0.0 {
                    let shaped = if occasions >= SHAPED { self.day } else { 0 };
                    terms_of.copy_from_slice(&terms(share, lesson.wall, shaped));
                }
            }
            add_square(&mut gram, &row, 1.0);
            add_scaled(&mut right, &row, lesson.rest);
        }
        for place in 0..width {
            let own = &mut gram[place * (width + 1)];
            let occasions = lessons.occasions[place / TERMS].max(1) as f64;
            let order = ((place % TERMS).div_ceil(2) + 1) as f64;
            // Terms that never were have a weight of 0.
            *own += if *own > 0.0 {
                PULL * order * order * *own / occasions
            } else {
                1.0
            };
        }
        Cholesky::new(gram, width)?.solve(&mut right);
        let learnt = right.iter().all(|weight| weight.is_finite());
        learnt.then(|| right.into_boxed_slice())
    }
}

/// The terms of a calendar of which `share` of the step at wall-clock step `index` is; waves where a day has `day`
/// steps, none for 0.
fn terms(share: f64, index: i64, day: usize) -> [f64; TERMS] {
    let mut terms = [0.0; TERMS];
    terms[0] = share;
    if day > 0 {
        let angle = TAU * phase_of(index, day) as f64 / day as f64;
        for (wave, pair) in terms[1..].chunks_exact_mut(2).enumerate() {
            let (sine, cosine) = ((wave + 1) as f64 * angle).sin_cos();
            pair.copy_from_slice(&[share * cosine, share * sine]);
        }
    }
    terms
}

/// What the occasions of a past left to learn from.
struct Lessons {
    rows: Vec<Lesson>,
    /// By calendar: how many of its occasions were seen.
    occasions: Vec<usize>,
}

struct Lesson {
    /// By calendar.
    shares: Vec<f64>,
    /// Wall-clock step.
    wall: i64,
    /// Value less course and level.
    rest: f64,
}

impl Lessons {
    /// `None` where the past has no occasion, or nothing else.
    fn of(past: &Past<'_>, dates: &Dates, wall: &mut Wall) -> Option<Self> {
        let times = (0..past.values.len()).map(|index| past.time(index));
        let inside: Vec<bool> = times.map(|at| dates.any(at)).collect();
        let usual = past.values.iter().zip(&inside);
        let usual: Vec<f32> = usual
            .map(|(&value, &inside)| if inside { f32::NAN } else { value })
            .collect();
        if !inside.contains(&true) || usual.iter().all(|value| value.is_nan()) {
            return None;
        }
        let without = Past {
            values: &usual,
            ..*past
        };
        let profile = course(&without, wall);
        let expected = |wall: i64| {
            profile
                .as_ref()
                .map_or(0.0, |profile| f64::from(profile.at(wall)))
        };
        let walls: Vec<i64> = (0..usual.len())
            .map(|index| wall.walk(past.time(index)))
            .collect();
        let rests = usual.iter().zip(&walls);
        let levels = Levels::of(rests.map(|(&value, &wall)| f64::from(value) - expected(wall)));
        let around = AROUND_DAYS * past.grid.steps(DAY).max(1);
        let mut lessons = Self {
            rows: Vec::new(),
            occasions: vec![0; dates.count()],
        };
        let mut before = vec![0.0; dates.count()];
        for (index, &value) in past.values.iter().enumerate() {
            if !inside[index] {
                before.fill(0.0);
                continue;
            }
            let level = levels.around(index, around);
            let Some(level) = level.filter(|_| value.is_finite()) else {
                continue;
            };
            let at = past.time(index);
            let shares: Vec<f64> = (0..dates.count()).map(|one| dates.share(one, at)).collect();
            for ((seen, &share), before) in lessons.occasions.iter_mut().zip(&shares).zip(&before) {
                *seen += usize::from(share > 0.0 && *before == 0.0);
            }
            before.clone_from(&shares);
            lessons.rows.push(Lesson {
                shares,
                wall: walls[index],
                rest: f64::from(value) - expected(walls[index]) - level,
            });
        }
        Some(lessons)
    }
}

/// Sums from the first value on, and how many are known.
struct Levels {
    base: f64,
    sums: Vec<(f64, u32)>,
}

impl Levels {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (mut sum, mut sums, mut base) = ((0.0, 0), vec![(0.0, 0)], f64::NAN);
        for value in values {
            if value.is_finite() {
                // Less one of them: sums of small differences keep their digits.
                base = if base.is_nan() { value } else { base };
                sum = (sum.0 + value - base, sum.1 + 1);
            }
            sums.push(sum);
        }
        Self { base, sums }
    }

    /// The mean of what is known up to `steps` away; `None` where that is nothing.
    fn around(&self, index: usize, steps: usize) -> Option<f64> {
        let from = self.sums[index.saturating_sub(steps)];
        let to = self.sums[(index + steps + 1).min(self.sums.len() - 1)];
        let count = to.1 - from.1;
        (count > 0).then(|| self.base + (to.0 - from.0) / f64::from(count))
    }
}

#[cfg(test)]
mod tests;
