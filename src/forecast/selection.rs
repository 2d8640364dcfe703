//! All forecasts of a shard: members, the choice among them, intervals, and trust.
//!
//! At a rebuild the members are fitted to the older part of the past and carried through the rest of
//! it without looking ahead; what they forecast at aligned origins on the way decides which one (or
//! a mean of the best two) is used at each horizon, and calibrates its interval. On the way they are
//! fitted anew some times, the last time to all but the newest eighth of the past. Between rebuilds
//! members are carried on, and forecasts that come due adapt the interval; the choice stays.

use super::{
    Forecaster, Interval, ModelFiles, Settings, Trust, calibration::Walk, choice::Choice,
    health::Health, reach::Reach, seasonal_naive::SeasonalNaive, track::Track, wall::Wall,
};
use crate::{
    series::{Grid, Millis, Past, Slot, swap_rows},
    stats::robust::median_of,
};

/// Origins aimed at in one calibration.
const ORIGINS: usize = 512;
/// How often members are fitted anew on the walk of a calibration: between live rebuilds little passes,
/// and what they would have forecast with a much shorter past says little about now.
const STAGES: usize = 4;
/// Below this many values nothing is forecast.
const LEAST_PAST: usize = 30;

/// The forecasts of all series of one shard.
#[derive(Debug)]
pub struct Forecasts {
    grid: Grid,
    horizons: Vec<usize>,
    /// By horizon: values of a past that must be known.
    least_known: Vec<usize>,
    interval: f32,
    members: Vec<Box<dyn Forecaster>>,
    /// What skill is measured against.
    reference: SeasonalNaive,
    wall: Wall,
    /// By slot: newest grid time taken in.
    now: Vec<Millis>,
    /// By slot: what its past and the steps since have shown.
    reaches: Vec<Reach>,
    health: Health,
    /// By slot, horizons inner.
    tracks: Vec<Track>,
    /// By slot, horizons inner: what is published now.
    current: Vec<Interval>,
    scratch: Scratch,
}

/// Buffers kept between steps.
#[derive(Debug, Default)]
struct Scratch {
    slots: Vec<Slot>,
    values: Vec<f32>,
    /// By member (the reference last), then slot, horizons inner.
    points: Vec<f32>,
}

impl Forecasts {
    /// Forecasts without any series yet.
    ///
    /// # Errors
    /// What a person can change: a horizon that the grid does not have, a model file that is missing
    /// or cannot be run.
    pub fn build(settings: &Settings, grid: Grid, files: &ModelFiles) -> Result<Self, String> {
        let horizons = settings.horizon_steps(grid).map_err(|problems| {
            let texts: Vec<String> = problems
                .into_iter()
                .map(|(field, text)| format!("{field}: {text}"))
                .collect();
            texts.join("; ")
        })?;
        let members = settings
            .members()
            .iter()
            .map(|model| model.build(grid, &horizons, files))
            .collect::<Result<Vec<_>, _>>()?;
        let least_known = horizons
            .iter()
            .map(|&steps| settings.least_known(grid, steps));
        Ok(Self {
            grid,
            least_known: least_known.collect(),
            horizons,
            interval: settings.interval as f32,
            members,
            reference: SeasonalNaive::shortest(grid),
            wall: Wall::new(grid),
            now: Vec::new(),
            reaches: Vec::new(),
            health: Health::new(grid),
            tracks: Vec::new(),
            current: Vec::new(),
            scratch: Scratch::default(),
        })
    }

    /// The horizons in steps, shortest first.
    pub fn horizons(&self) -> &[usize] {
        &self.horizons
    }

    /// Makes room for `slots` series in all; new ones know nothing.
    pub fn grow(&mut self, slots: usize) {
        for member in &mut self.members {
            member.grow(slots);
        }
        self.reference.grow(slots);
        self.now.resize(slots, Millis::MIN);
        self.reaches.resize(slots, Reach::NOTHING);
        self.health.grow(slots);
        self.tracks
            .resize_with(slots * self.horizons.len(), Track::default);
        self.current
            .resize(slots * self.horizons.len(), Interval::ABSENT);
    }

    /// Forgets one series.
    pub fn evict(&mut self, slot: Slot) {
        for member in &mut self.members {
            member.evict(slot);
        }
        self.reference.evict(slot);
        self.now[slot] = Millis::MIN;
        self.reaches[slot] = Reach::NOTHING;
        self.health.evict(slot);
        let range = self.range(slot);
        self.tracks[range.clone()].fill_with(Track::default);
        self.current[range].fill(Interval::ABSENT);
    }

    /// Exchanges what is known of two series.
    pub fn swap(&mut self, one: Slot, other: Slot) {
        for member in &mut self.members {
            member.swap(one, other);
        }
        self.reference.swap(one, other);
        self.now.swap(one, other);
        self.reaches.swap(one, other);
        self.health.swap(one, other);
        swap_rows(&mut self.tracks, self.horizons.len(), one, other);
        swap_rows(&mut self.current, self.horizons.len(), one, other);
    }

    /// Derives the state of one series from its past alone, up to and including `past.end`.
    pub fn rebuild(&mut self, slot: Slot, past: &Past<'_>) {
        self.evict(slot);
        let shortest = self.least_known.first();
        if past.values.len() < LEAST_PAST || shortest.is_none_or(|&least| known(past) < least) {
            return;
        }
        self.wall.set_zone(past.zone);
        let calibrated = calibration_steps(past.values.len());
        self.calibrate(slot, past, calibrated);
        self.health.derive(slot, past, &self.wall);
        self.now[slot] = past.end;
        self.publish(&[slot]);
    }

    /// Takes in the values at grid time `at` (`NaN` where missing). Series whose past already holds
    /// `at` (a rebuild at this very time) stay as they are.
    pub fn step(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        if self.horizons.is_empty() {
            return;
        }
        let mut fresh = std::mem::take(&mut self.scratch.slots);
        let mut taken = std::mem::take(&mut self.scratch.values);
        fresh.clear();
        taken.clear();
        for (&slot, &value) in slots.iter().zip(values) {
            if self.now[slot] != Millis::MIN && self.now[slot] < at {
                fresh.push(slot);
                taken.push(value);
                self.now[slot] = at;
                self.reaches[slot].see(value);
            }
        }
        for member in &mut self.members {
            member.extend(at, &fresh, &taken);
        }
        self.reference.extend(at, &fresh, &taken);
        let wall = self.wall.index(at);
        self.health.step(wall, &fresh, &taken);
        self.resolve(at, &fresh, &taken);
        self.publish(&fresh);
        self.scratch.slots = fresh;
        self.scratch.values = taken;
    }

    /// What is published now: `out[i * horizons + j]` is that of `slots[i]` at the `j`-th horizon.
    pub fn intervals(&self, slots: &[Slot], out: &mut [Interval]) {
        let count = self.horizons.len();
        if count == 0 {
            return;
        }
        for (&slot, row) in slots.iter().zip(out.chunks_exact_mut(count)) {
            row.copy_from_slice(&self.current[self.range(slot)]);
        }
    }

    /// Quantiles of the future of one series: `out[h * levels.len() + l]` is the value that is not
    /// exceeded at the `h`-th horizon with probability `levels[l]` (0 to 1), never falling with it; `NaN`
    /// where nothing is published.
    pub fn quantiles(&mut self, slot: Slot, levels: &[f32], out: &mut [f32]) {
        out.fill(f32::NAN);
        let count = self.horizons.len();
        if count == 0 || levels.is_empty() {
            return;
        }
        self.ask(&[slot]);
        for (h, row) in out.chunks_exact_mut(levels.len()).enumerate().take(count) {
            let track = &self.tracks[slot * count + h];
            let Some(choice) = track.choice else { continue };
            let points = &self.scratch.points;
            let expected = choice.of(|m| points[m * count + h]);
            let steps = self.horizons[h] as i64;
            let wall = self.wall.index(self.now[slot] + steps * self.grid.step());
            let mut least = f32::NEG_INFINITY;
            for (out, &level) in row.iter_mut().zip(levels) {
                let value = track.quantile(track.bin(wall), expected, level);
                least = least.max(value);
                *out = if value.is_nan() { value } else { least };
            }
        }
    }

    /// How far the forecasts of a series at the `h`-th horizon can be trusted; `None` before any came due.
    pub fn trust(&self, slot: Slot, h: usize) -> Option<Trust> {
        self.tracks[slot * self.horizons.len() + h].trust()
    }

    /// How far a series has drifted from what its forecasts were derived from, 1 at the threshold: the greater of what its
    /// newest day and its errors say; `NaN` while neither is known.
    pub fn drift(&self, slot: Slot) -> f32 {
        let [inputs, errors] = self.drifts(slot);
        inputs.max(errors)
    }

    /// The two parts of [`Forecasts::drift`]: what its newest day says, and what its errors say,
    /// the median over its horizons.
    pub fn drifts(&self, slot: Slot) -> [f32; 2] {
        let tracks = self.tracks[self.range(slot)].iter();
        let mut errors: Vec<f32> = tracks
            .map(Track::drift)
            .filter(|score| score.is_finite())
            .collect();
        [self.health.inputs(slot), median_of(&mut errors)]
    }

    /// The forecaster in force of a series at the `h`-th horizon.
    pub fn model(&self, slot: Slot, h: usize) -> Option<&'static str> {
        match self.tracks[slot * self.horizons.len() + h].choice? {
            Choice::One(member) => Some(self.members[member].kind()),
            Choice::Two(..) => Some("mean_of_two"),
        }
    }

    /// The versions of the networks among the members called `model`, such as `checkout/7`.
    pub fn versions(&self, model: &str) -> impl Iterator<Item = String> {
        let members = self.members.iter();
        let of = members.filter(move |member| member.kind() == model);
        of.filter_map(|member| member.version())
    }

    /// Bytes of state, all series together.
    pub fn heap_bytes(&self) -> usize {
        let members: usize = self.members.iter().map(|member| member.heap_bytes()).sum();
        let tracks: usize = self.tracks.iter().map(Track::heap_bytes).sum();
        members
            + tracks
            + self.reference.heap_bytes()
            + self.tracks.capacity() * size_of::<Track>()
            + self.current.capacity() * size_of::<Interval>()
            + self.now.capacity() * size_of::<Millis>()
            + self.reaches.capacity() * size_of::<Reach>()
            + self.health.heap_bytes()
            + self.scratch.points.capacity() * size_of::<f32>()
    }

    fn range(&self, slot: Slot) -> std::ops::Range<usize> {
        let count = self.horizons.len();
        slot * count..(slot + 1) * count
    }

    /// Fits every member and the reference to `past`; who cannot learn from it abstains.
    fn fit(&mut self, slot: Slot, past: &Past<'_>) {
        for member in &mut self.members {
            if !member.fit(slot, past) {
                member.evict(slot);
            }
        }
        if !self.reference.fit(slot, past) {
            self.reference.evict(slot);
        }
    }

    /// Members fitted to the past without its newest `calibrated` values, carried through those, asked at every origin.
    fn calibrate(&mut self, slot: Slot, past: &Past<'_>, calibrated: usize) {
        let Some(head) = past.before(calibrated) else {
            return;
        };
        self.fit(slot, &head);
        let stride = calibrated.div_ceil(ORIGINS).max(1);
        let (mut origins, mut points) = (Vec::new(), Vec::new());
        for value in head.values {
            self.reaches[slot].see(*value);
        }
        let first = head.values.len();
        let stage = calibrated.div_ceil(STAGES).max(1);
        for index in first - 1..past.values.len() {
            let at = past.time(index);
            let anew = index > first && (index - first).is_multiple_of(stage);
            let before = past.before(past.values.len() - index);
            if let Some(before) = before.filter(|_| anew) {
                self.fit(slot, &before);
            }
            if index >= first {
                let value = &past.values[index..=index];
                self.reaches[slot].see(value[0]);
                for member in &mut self.members {
                    member.extend(at, &[slot], value);
                }
                self.reference.extend(at, &[slot], value);
            }
            if self.grid.index(at).rem_euclid(stride as i64) == 0 {
                origins.push(index);
                self.ask(&[slot]);
                points.extend_from_slice(&self.scratch.points);
            }
        }
        let walk = Walk {
            past,
            wall: &self.wall,
            stride,
            members: self.members.len(),
            horizons: &self.horizons,
            origins,
            points,
        };
        for h in 0..self.horizons.len() {
            if known(past) >= self.least_known[h] {
                self.tracks[slot * self.horizons.len() + h] = walk.track(h, self.interval);
            }
        }
    }

    /// Forecasts of every member and the reference into the scratch buffer.
    fn ask(&mut self, slots: &[Slot]) {
        let size = slots.len() * self.horizons.len();
        let points = &mut self.scratch.points;
        points.resize(size * (self.members.len() + 1), f32::NAN);
        let (own, reference) = points.split_at_mut(size * self.members.len());
        for (member, out) in self.members.iter().zip(own.chunks_exact_mut(size.max(1))) {
            member.predict(slots, &self.horizons, out);
        }
        self.reference.predict(slots, &self.horizons, reference);
        for row in points.chunks_exact_mut(size.max(1)) {
            for (slot, row) in slots.iter().zip(row.chunks_exact_mut(self.horizons.len())) {
                for (point, &steps) in row.iter_mut().zip(&self.horizons) {
                    *point = self.reaches[*slot].limit(*point, steps);
                }
            }
        }
    }

    /// Forecasts that come due at `at` meet their actual value.
    fn resolve(&mut self, at: Millis, slots: &[Slot], values: &[f32]) {
        let index = self.grid.index(at);
        let count = self.horizons.len();
        for (&slot, &value) in slots.iter().zip(values) {
            for track in &mut self.tracks[slot * count..(slot + 1) * count] {
                while let Some(due) = track.due(index) {
                    let actual = if due.target == index { value } else { f32::NAN };
                    track.resolve(&due, actual);
                }
            }
        }
    }

    /// Brings what is published up to date, and files the forecasts of origins.
    fn publish(&mut self, slots: &[Slot]) {
        self.ask(slots);
        let (count, members) = (self.horizons.len(), self.members.len());
        let size = slots.len() * count;
        for (i, &slot) in slots.iter().enumerate() {
            let origin = self.grid.index(self.now[slot]);
            for h in 0..count {
                let track = &mut self.tracks[slot * count + h];
                let Some(choice) = track.choice else { continue };
                let points = &self.scratch.points;
                let expected = choice.of(|m| points[m * size + i * count + h]);
                let steps = self.horizons[h] as i64;
                let wall = self.wall.index(self.now[slot] + steps * self.grid.step());
                let bin = track.bin(wall);
                self.current[slot * count + h] = track.interval(bin, expected);
                let newest = track
                    .newest_target()
                    .is_none_or(|target| target < origin + steps);
                if origin.rem_euclid(track.stride as i64) == 0 && newest {
                    let reference = points[members * size + i * count + h];
                    track.forecast(origin + steps, bin, expected, reference);
                }
            }
        }
    }
}

/// How many values of a past are not missing.
fn known(past: &Past<'_>) -> usize {
    past.values.iter().filter(|value| value.is_finite()).count()
}

/// How many of the newest values of a past calibrate.
fn calibration_steps(past: usize) -> usize {
    if past >= 128 {
        past / 2
    } else {
        past - (past / 4).max(10)
    }
}
