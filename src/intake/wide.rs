//! A recorder of very many series that are read as they are, with a few steps of past: one small row each.
//!
//! The place of a series is its row. Where one is forgotten its row stays empty, so that the others keep their places, until an
//! eighth of all are.

mod goes;

use super::{
    Reading, Shape, Verdict,
    arrivals::Arrivals,
    deep::Deep,
    is_stale,
    raw::{Look, Put, Raw},
    recorder::Sample,
    ring::{Moment, Ring, SLOTS, Scale},
    row::{Row, State, moment_of, seconds},
};
use crate::series::{Grid, Labels, Millis};
use std::collections::HashMap;

/// Rows grow by a sixteenth: room for twice as many would be as much again.
const GROWTH: usize = 16;

/// Many series, each a row.
#[derive(Debug, Clone)]
pub(super) struct Wide {
    grid: Grid,
    scale: Scale,
    rows: Vec<Row>,
    members: usize,
    /// The metric's name.
    name: Box<str>,
    /// Empty rows: who comes back gets its own.
    empty: HashMap<Labels, u32>,
    /// Samples of series that are ahead, by row.
    ahead: HashMap<u32, Raw>,
    /// Steps are counted from here, that of the first series.
    base: Option<i64>,
    arrivals: Arrivals,
    /// How many times rows moved.
    pub(super) numbering: u64,
}

impl Wide {
    /// `None` where more is asked for: values made of several samples or series, or a longer past.
    pub(super) fn new(shape: &Shape) -> Option<Self> {
        let selection = &shape.selection;
        let is_plain = selection.aggregate().is_none() && selection.reading() == Reading::Gauge;
        let is_short = shape.history < SLOTS && shape.grid.step() <= i64::from(i32::MAX);
        (is_plain && is_short).then(|| Self {
            grid: shape.grid,
            scale: Scale {
                step: shape.grid.step(),
                limit: selection.look().back,
            },
            rows: Vec::new(),
            members: 0,
            name: Box::default(),
            empty: HashMap::new(),
            ahead: HashMap::new(),
            base: None,
            arrivals: Arrivals::default(),
            numbering: 0,
        })
    }

    /// The same series in the same places, for whoever wants more of them from now on.
    pub(super) fn deepened(&self, shape: &Shape, newest: Millis) -> Deep {
        let rows = self.rows.iter().enumerate();
        let series = rows.map(|(place, row)| {
            let raw = || Raw::of(self.samples(place as u32, row));
            let seen = i64::from(row.seen) * 1_000;
            (row.state != State::Empty).then(|| (&row.labels, raw(), seen))
        });
        let mut deep = Deep::of(shape, &self.name, series);
        deep.numbering = self.numbering + 1;
        deep.wake(shape, None, newest);
        deep
    }

    /// Series that are read.
    pub(super) fn members(&self) -> usize {
        self.members
    }

    /// Rows, the empty ones included.
    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The labels of a row that is there.
    pub(super) fn labels(&self, row: usize) -> &Labels {
        &self.rows[row].labels
    }

    // --- Samples ---

    /// Gives a series with these samples a row. Each comes once.
    pub(super) fn place(&mut self, (name, labels): (&str, &Labels), raw: &Raw, now: Millis) -> u32 {
        if self.name.is_empty() {
            self.name = name.into();
        }
        self.base.get_or_insert(self.grid.index(now));
        self.members += 1;
        let row = Row {
            labels: labels.clone(),
            ring: self.ring_of(raw),
            seen: seconds(now),
            state: State::Ended,
            is_ahead: false,
        };
        if let Some(place) = self.empty.remove(labels) {
            self.rows[place as usize] = row;
            return place;
        }
        if self.rows.len() == self.rows.capacity() {
            self.rows.reserve_exact(self.rows.len() / GROWTH + 16);
        }
        self.rows.push(row);
        (self.rows.len() - 1) as u32
    }

    /// Takes in a sample of the series at `place`.
    pub(super) fn take(&mut self, place: u32, sample: &Sample) -> Verdict {
        let &Sample {
            at,
            value,
            now,
            kept,
            ..
        } = sample;
        let Some(row) = self.rows.get_mut(place as usize) else {
            return Verdict::Old;
        };
        if row.state == State::Empty {
            return Verdict::Old;
        }
        row.seen = seconds(now);
        if at < kept {
            return Verdict::Old;
        }
        let base = self.base.unwrap_or(0);
        let Some(moment) = moment_of(self.grid, base, at) else {
            return Verdict::Old;
        };
        // A row has no room for steps that are not yet, nor for what is between them and now.
        if row.is_ahead || self.grid.index(at) > self.grid.index(now) {
            return self.take_ahead(place, sample);
        }
        let before = row.ring.newest().map(|newest| newest.0);
        match row.ring.put(moment, value, &self.scale) {
            Put::Stored => {}
            other => return other.into(),
        }
        if before.is_none_or(|before| before < moment) {
            let before = before.map_or(i64::MIN, |before| base + i64::from(before.0));
            let slot = base + i64::from(moment.0);
            row.came(
                &mut self.arrivals,
                before,
                (!is_stale(value)).then_some(slot),
            );
        }
        Verdict::Stored
    }

    /// Takes in a sample of a series that is ahead of the clock, or that was.
    #[cold]
    fn take_ahead(&mut self, place: u32, sample: &Sample) -> Verdict {
        let (base, grid) = (self.base.unwrap_or(0), self.grid);
        let row = &self.rows[place as usize];
        if !row.is_ahead {
            let known = Raw::of(self.samples(place, row));
            self.ahead.insert(place, known);
            self.rows[place as usize].is_ahead = true;
        }
        let Some(raw) = self.ahead.get_mut(&place) else {
            return Verdict::Old;
        };
        let is_newest = raw.newest().is_none_or(|newest| newest.0 < sample.at);
        match raw.put(sample.at, sample.value, Some(grid)) {
            Put::Stored => {}
            other => return other.into(),
        }
        // No more than a row keeps, or who is always ahead never lets go of much.
        let oldest = grid.index(sample.now).saturating_sub(SLOTS as i64);
        raw.forget_before(sample.kept.max(oldest.saturating_mul(grid.step())));
        let row = &mut self.rows[place as usize];
        if is_newest {
            let before = row.ring.newest();
            let before = before.map_or(i64::MIN, |(before, _)| base + i64::from(before.0));
            // A clock that is ahead must not make the others wait.
            let slot = grid.index(sample.at.min(sample.now));
            let has_value = !is_stale(sample.value);
            row.came(&mut self.arrivals, before, has_value.then_some(slot));
            // Only the step of it counts.
            let slot = (slot - base).max(before.saturating_sub(base));
            let slot = i32::try_from(slot).unwrap_or(0);
            let mark = std::iter::once(((slot, 0), sample.value));
            row.ring = Ring::of(mark, &self.scale);
        }
        Verdict::Stored
    }

    /// All that is known of a row, ascending.
    fn samples(&self, place: u32, row: &Row) -> Vec<(Millis, f64)> {
        if row.is_ahead {
            let raw = self.ahead.get(&place);
            return raw.map_or_else(Vec::new, |raw| raw.samples().collect());
        }
        let samples = row.ring.samples(&self.scale).into_iter();
        samples
            .map(|(moment, value)| (self.time_of(moment), value))
            .collect()
    }

    fn time_of(&self, (slot, since): Moment) -> Millis {
        let slot = self.base.unwrap_or(0) + i64::from(slot);
        slot.saturating_mul(self.scale.step)
            .saturating_add(i64::from(since))
    }

    fn ring_of(&self, raw: &Raw) -> Ring {
        let base = self.base.unwrap_or(0);
        let samples = raw.samples().filter_map(|(at, value)| {
            let moment = moment_of(self.grid, base, at)?;
            Some((moment, value))
        });
        Ring::of(samples, &self.scale)
    }

    /// The newest step of which everything has come that is expected.
    pub(super) fn complete(&self) -> Option<i64> {
        self.arrivals.complete()
    }

    // --- Values ---

    /// Tells the values of a row from step `first` to `last`, but for gaps.
    pub(super) fn read(
        &self,
        place: usize,
        (first, last): (i64, i64),
        mut tell: impl FnMut(i64, f32),
    ) {
        let (Some(row), Some(base)) = (self.rows.get(place), self.base) else {
            return;
        };
        let raw = row.is_ahead.then(|| self.ahead.get(&(place as u32)));
        if let Some(raw) = raw.flatten() {
            let (step, look) = (self.scale.step, self.look());
            for index in first..=last {
                let value = raw.of_step(index * step, step, &look);
                let value = value.map(|value| value as f32);
                value
                    .filter(|value| value.is_finite())
                    .into_iter()
                    .for_each(|value| tell(index, value));
            }
            return;
        }
        for index in first..=last {
            if let Ok(slot) = i32::try_from(index.saturating_sub(base)) {
                let value = row.ring.value(slot, &self.scale);
                if !value.is_nan() {
                    tell(index, value);
                }
            }
        }
    }

    fn look(&self) -> Look {
        Look {
            back: self.scale.limit,
            range: None,
        }
    }

    /// Of each row, whether its series is there still.
    pub(super) fn live_rows(&self) -> Vec<bool> {
        let rows = self.rows.iter();
        rows.map(|row| row.state == State::Live).collect()
    }

    /// The values at `at`, any time.
    pub(super) fn instant(&self, at: Millis) -> Vec<(Labels, f64)> {
        let moment = self.base.and_then(|base| moment_of(self.grid, base, at));
        let rows = self.rows.iter().enumerate();
        let known = rows.filter_map(|(place, row)| {
            let value = match row.is_ahead {
                true => self.ahead.get(&(place as u32))?.at(at, &self.look()),
                false => row.ring.at(moment?, &self.scale),
            };
            let value = value.filter(|value| value.is_finite())?;
            Some((row.labels.clone(), value))
        });
        known.collect()
    }

    /// Lets go of what is after `now`: the clock was ahead and was set back.
    pub(super) fn forget_after(&mut self, now: Millis) {
        for place in 0..self.rows.len() {
            let row = &self.rows[place];
            let newest = row.ring.newest().map(|newest| self.time_of(newest.0));
            let is_later = row.is_ahead || newest.is_some_and(|newest| newest > now);
            let mut raw = is_later.then(|| Raw::of(self.samples(place as u32, row)));
            let ring = raw.as_mut().map(|raw| {
                raw.forget_after(now);
                self.ring_of(raw)
            });
            let row = &mut self.rows[place];
            row.seen = row.seen.min(seconds(now));
            if let Some(ring) = ring {
                row.ring = ring;
                row.is_ahead = false;
                if row.ring.newest().is_none_or(|newest| is_stale(newest.1))
                    && row.state == State::Live
                {
                    row.state = State::Ended;
                }
            }
        }
        self.ahead.clear();
        self.count_arrivals();
    }

    fn count_arrivals(&mut self) {
        let base = self.base.unwrap_or(0);
        let live = self.rows.iter().filter(|row| row.state == State::Live);
        let slots = live.map(|row| row.slot(base));
        self.arrivals = Arrivals::of(slots);
    }

    /// Goes on after it was put away: expects more samples of those that had some lately.
    pub(super) fn wake(&mut self, reach: Millis, now: Millis) {
        for place in 0..self.rows.len() {
            let newest = self.rows[place].ring.newest();
            let lately =
                |(at, value): (Moment, f64)| !is_stale(value) && self.time_of(at) > now - reach;
            if newest.is_some_and(lately) {
                self.rows[place].state = State::Live;
            }
        }
        self.count_arrivals();
    }

    // --- What is there ---

    /// The series that are read: place, name, labels.
    pub(super) fn places(&self) -> impl Iterator<Item = (u32, &str, &Labels)> {
        let rows = self.rows.iter().enumerate();
        let members = rows.filter(|(_, row)| row.state != State::Empty);
        members.map(|(place, row)| (place as u32, &*self.name, &row.labels))
    }

    /// Series with their samples, from the row `first` on and of at most `count` rows; and the row to go on with, where there is one.
    pub(super) fn part(&self, first: usize, count: usize) -> (Vec<Kept<'_>>, Option<usize>) {
        let rows = self.rows.iter().enumerate().skip(first).take(count);
        let members = rows.filter(|(_, row)| row.state != State::Empty);
        let kept = members.map(|(place, row)| Kept {
            name: &self.name,
            labels: &row.labels,
            samples: self.samples(place as u32, row),
        });
        let next = first.saturating_add(count);
        (kept.collect(), (next < self.rows.len()).then_some(next))
    }

    /// Bytes on the heap, labels included.
    pub(super) fn heap_bytes(&self) -> usize {
        let labels: usize = self.rows.iter().map(|row| row.labels.heap_bytes()).sum();
        let ahead = self.rows.iter().enumerate();
        let ahead = ahead.filter(|(_, row)| row.is_ahead);
        let ahead = ahead.filter_map(|(place, _)| self.ahead.get(&(place as u32)));
        labels
            + self.rows.capacity() * size_of::<Row>()
            + self.empty.capacity() * size_of::<(Labels, u32)>()
            + self.ahead.capacity() * size_of::<(u32, Raw)>()
            + ahead.map(Raw::heap_bytes).sum::<usize>()
    }
}

/// A series and all that is known of it.
pub(super) struct Kept<'a> {
    pub(super) name: &'a str,
    pub(super) labels: &'a Labels,
    pub(super) samples: Vec<(Millis, f64)>,
}
