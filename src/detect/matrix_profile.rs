//! How unlike everything before it the shape of the newest values is.
//!
//! *When*: a course that repeats, and an incident that shows in its shape before it shows in its values: a beat
//! that is missed, a ramp at the wrong pace. Give it little weight, or let it confirm others
//! (`combine: {at_least: 2}`). *Cost*: about 2.5 ns a step of the past and value (5 us with the defaults; an epoch
//! that replays three weeks of minutes takes an eighth of a second) and 24 bytes a step of the past (49 kB): for
//! some hundreds of series, not for thousands. *Reference*: the left matrix profile, kept up incrementally (Yeh
//! et al., "Matrix profile I", ICDM 2016; STAMPI), here of the raw distance with the mean removed: normalised by
//! its deviation, the noise of a quiet hour is as unlike as an incident (on the Numenta benchmark that scores a
//! third of what the raw one does).
//!
//! Each new value changes the distance to every earlier subsequence by what enters it and what leaves it, so a
//! step costs as much as there are subsequences, whatever their length. The distance to the nearest one says
//! little by itself: what counts is how far it leaves the range it had for this series.

use super::{Batch, Detector, Problems, Scope, is_usable, novelty::Ceiling, positive};
use crate::series::{Grid, Slot, swap_rows};
use serde::Deserialize;

/// This share of the mean distance to all subsequences is no news: what nobody would see in a chart.
const SLACK: f64 = 0.02;
/// Where so much more left a sum than stays in it, too few digits of it are left: it is summed anew.
const DIGITS: f64 = 1e9;
/// Where more values in a row are missing, what stands in for them is a shape of its own: there is no score
/// until it has left the newest subsequence.
const LONGEST_GAP: usize = 2;

/// Settings of the detector.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Steps of a shape.
    pub length: usize,
    /// Steps of the past that shapes are compared with.
    pub past: usize,
    /// The distance to the nearest shape this far outside of its range, as a share of the width of the range,
    /// scores 1.
    pub novelty: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            length: 50,
            past: 2_016,
            novelty: 0.1,
        }
    }
}

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        let mut problems = Problems::new();
        if !(8..=500).contains(&self.length) {
            let text = format!("{} is not allowed; allowed: 8 to 500", self.length);
            problems.push(("length".into(), text));
        }
        let least = 8 * self.length;
        if !(least..=20_160).contains(&self.past) {
            let text = format!(
                "{} is not allowed; allowed: {least} (that is eight times `length`) to 20160",
                self.past
            );
            problems.push(("past".into(), text));
        }
        problems.extend(positive("novelty", self.novelty));
        problems
    }

    /// The detector.
    pub fn build(&self, grid: Grid) -> Box<dyn Detector> {
        Box::new(MatrixProfile {
            length: self.length,
            past: self.past,
            ring: self.past + self.length + 1,
            novelty: self.novelty as f32,
            grid,
            states: Vec::new(),
            values: Vec::new(),
            squares: Vec::new(),
            sums: Vec::new(),
        })
    }
}

#[derive(Debug, Clone)]
struct MatrixProfile {
    /// Steps of a subsequence.
    length: usize,
    /// The greatest lag.
    past: usize,
    /// Values kept: all that the subsequence at the greatest lag needs, and the one that left it.
    ring: usize,
    novelty: f32,
    grid: Grid,
    states: Vec<State>,
    /// Per slot twice `ring` values less the first one, each kept in both halves: the newest ones always lie
    /// side by side.
    values: Vec<f32>,
    /// Per slot and lag, the greatest lag first: how far the newest subsequence is from the one at that lag. Sum
    /// of the squared differences of their values, and sum of the differences: what the means differ by does
    /// not count.
    squares: Vec<f64>,
    sums: Vec<f64>,
}

/// One series, beside its values and distances.
#[derive(Debug, Clone, Copy)]
struct State {
    /// The first value; `NaN` before there was one.
    first: f32,
    /// Where in the ring the next value goes.
    next: usize,
    /// Steps since the first value, no more than the greatest lag needs.
    steps: usize,
    /// How many of the newest values were missing, in a row.
    missing: usize,
    /// So many more steps without a score.
    blind: usize,
    distances: Ceiling,
}

impl State {
    const NEW: Self = Self {
        first: f32::NAN,
        next: 0,
        steps: 0,
        missing: 0,
        blind: 0,
        distances: Ceiling::EMPTY,
    };
}

/// Of the newest subsequence, root mean square differences a step.
struct Nearest {
    /// To the nearest earlier one.
    distance: f32,
    /// To all earlier ones, on average.
    typical: f32,
}

impl MatrixProfile {
    /// Puts a value into the ring, the last one again where it is missing. Gives its place in the upper half.
    fn push(&mut self, slot: Slot, value: f32) -> usize {
        let state = &mut self.states[slot];
        let values = &mut self.values[slot * 2 * self.ring..][..2 * self.ring];
        let place = state.next;
        let missing = !is_usable(value);
        let kept = if missing {
            values[(place + self.ring - 1) % self.ring]
        } else {
            value - state.first
        };
        values[place] = kept;
        values[place + self.ring] = kept;
        state.next = (place + 1) % self.ring;
        state.missing = if missing { state.missing + 1 } else { 0 };
        state.blind = if state.missing > LONGEST_GAP {
            self.length
        } else {
            state.blind.saturating_sub(1)
        };
        state.steps += 1;
        place + self.ring
    }

    /// Moves all sums on by the value at `place`. Two plain loops: the compiler takes several lags at a time.
    fn advance(&mut self, slot: Slot, place: usize) {
        let (length, past) = (self.length, self.past);
        let values = &self.values[slot * 2 * self.ring..][..2 * self.ring];
        let squares = &mut self.squares[slot * past..][..past];
        let sums = &mut self.sums[slot * past..][..past];
        let entering = &values[place - past..place];
        let leaving = &values[place - length - past..place - length];
        let (newest, oldest) = (f64::from(values[place]), f64::from(values[place - length]));
        let mut exact = true;
        for (((square, sum), &entering), &leaving) in
            squares.iter_mut().zip(sums).zip(entering).zip(leaving)
        {
            let enters = newest - f64::from(entering);
            let leaves = oldest - f64::from(leaving);
            *square += enters * enters - leaves * leaves;
            *sum += enters - leaves;
            exact &= leaves * leaves <= DIGITS * *square;
        }
        // Rounding piles up, slowly: now and then each is summed anew.
        let turn = self.states[slot].steps % past;
        self.sum_anew(slot, place, turn);
        if !exact {
            (0..past).for_each(|index| self.mend(slot, place, index));
        }
    }

    /// Sums anew where what left was so great that few digits of the rest are left.
    fn mend(&mut self, slot: Slot, place: usize, index: usize) {
        let values = &self.values[slot * 2 * self.ring..][..2 * self.ring];
        let oldest = f64::from(values[place - self.length]);
        let leaves = oldest - f64::from(values[place - self.length - self.past + index]);
        if leaves * leaves > DIGITS * self.squares[slot * self.past + index] {
            self.sum_anew(slot, place, index);
        }
    }

    fn sum_anew(&mut self, slot: Slot, place: usize, index: usize) {
        let values = &self.values[slot * 2 * self.ring..][..2 * self.ring];
        let subsequence = |end: usize| &values[end + 1 - self.length..=end];
        let (one, other) = (subsequence(place), subsequence(place - self.past + index));
        let (mut squares, mut sum) = (0.0, 0.0);
        for (one, other) in one.iter().zip(other) {
            let difference = f64::from(*one) - f64::from(*other);
            squares += difference * difference;
            sum += difference;
        }
        self.squares[slot * self.past + index] = squares;
        self.sums[slot * self.past + index] = sum;
    }

    /// The nearest of the subsequences that do not overlap the newest one and do not begin before the first
    /// value; `None` where they are too few.
    fn nearest(&self, slot: Slot) -> Option<Nearest> {
        let (length, past) = (self.length, self.past);
        let first = past.saturating_sub(self.states[slot].steps.saturating_sub(length));
        let known = slot * past + first..(slot + 1) * past - length + 1;
        if known.len() <= past / 4 {
            return None;
        }
        let (mut least, mut total) = (f64::INFINITY, 0.0);
        let count = known.len() as f64;
        for (square, sum) in self.squares[known.clone()].iter().zip(&self.sums[known]) {
            let distance = square - sum * sum / length as f64;
            least = if distance < least { distance } else { least };
            total += distance;
        }
        let per_step = |distance: f64| (distance.max(0.0) / length as f64).sqrt() as f32;
        Some(Nearest {
            distance: per_step(least),
            typical: per_step(total / count),
        })
    }

    fn score(&mut self, slot: Slot, index: i64, value: f32) -> f32 {
        let state = &mut self.states[slot];
        state.distances.pass(index);
        if state.first.is_nan() {
            if !is_usable(value) {
                return f32::NAN;
            }
            state.first = value;
        }
        let place = self.push(slot, value);
        self.advance(slot, place);
        match self.nearest(slot) {
            Some(nearest) if is_usable(value) && self.states[slot].blind == 0 => {
                let slack = SLACK as f32 * nearest.typical;
                let distances = &mut self.states[slot].distances;
                distances.score(nearest.distance, slack, self.novelty)
            }
            _ => f32::NAN,
        }
    }
}

impl Detector for MatrixProfile {
    fn kind(&self) -> &'static str {
        "matrix_profile"
    }

    fn scope(&self) -> Scope {
        Scope::Series
    }

    fn memory(&self) -> usize {
        self.ring + Ceiling::MEMORY
    }

    fn grow(&mut self, slots: usize) {
        let slots = slots.max(self.states.len());
        self.states.resize(slots, State::NEW);
        self.values.resize(slots * 2 * self.ring, 0.0);
        self.squares.resize(slots * self.past, 0.0);
        self.sums.resize(slots * self.past, 0.0);
    }

    fn reset(&mut self, slot: Slot) {
        self.states[slot] = State::NEW;
        self.values[slot * 2 * self.ring..][..2 * self.ring].fill(0.0);
        self.squares[slot * self.past..][..self.past].fill(0.0);
        self.sums[slot * self.past..][..self.past].fill(0.0);
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.states.swap(one, other);
        swap_rows(&mut self.values, 2 * self.ring, one, other);
        swap_rows(&mut self.squares, self.past, one, other);
        swap_rows(&mut self.sums, self.past, one, other);
    }

    fn step(&mut self, batch: &Batch<'_>, out: &mut [f32]) {
        let at = self.grid.index(batch.at);
        for (index, &slot) in batch.slots.iter().enumerate() {
            out[index] = self.score(slot, at, batch.values[index]);
        }
    }

    fn heap_bytes(&self) -> usize {
        self.values.capacity() * size_of::<f32>()
            + (self.squares.capacity() + self.sums.capacity()) * size_of::<f64>()
            + self.states.capacity() * size_of::<State>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::tests::alone;
    use std::f32::consts::TAU;

    fn grid() -> Grid {
        Grid::new(300_000).unwrap()
    }

    /// A beat of 40 steps with a little noise.
    fn beat(count: usize) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(6);
        (0..count)
            .map(|step| 10.0 * (TAU * step as f32 / 40.0).sin() + random.f32())
            .collect()
    }

    /// The definition: least distance, means removed, of the newest 20 values from any 20 before them.
    fn by_definition(values: &[f32], length: usize, past: usize) -> f32 {
        let centered = |end: usize| {
            let part = &values[end - length..end];
            let mean = part.iter().sum::<f32>() / length as f32;
            part.iter().map(|value| value - mean).collect::<Vec<f32>>()
        };
        let newest = centered(values.len());
        let lags = length..=past.min(values.len() - length);
        let distance = |lag: usize| {
            let other = centered(values.len() - lag);
            let squares = newest
                .iter()
                .zip(&other)
                .map(|(one, other)| (one - other).powi(2));
            (squares.sum::<f32>() / length as f32).sqrt()
        };
        lags.map(distance).fold(f32::INFINITY, f32::min)
    }

    #[test]
    fn the_distance_is_that_of_the_definition_after_a_gap_and_a_monstrous_value_too() {
        let (length, past) = (20, 160);
        let mut random = fastrand::Rng::with_seed(2);
        let mut values: Vec<f32> = (0..900).map(|_| 1_000.0 + random.f32()).collect();
        values[300] = 3e12;
        values[500..505].fill(f32::NAN);
        let mut detector = MatrixProfile {
            length,
            past,
            ring: past + length + 1,
            novelty: 0.1,
            grid: grid(),
            states: Vec::new(),
            values: Vec::new(),
            squares: Vec::new(),
            sums: Vec::new(),
        };
        detector.grow(1);
        detector.states[0].first = values[0];
        let mut stood_in = values.clone();
        for index in 0..values.len() {
            if values[index].is_nan() {
                stood_in[index] = stood_in[index - 1];
            }
            let place = detector.push(0, values[index]);
            detector.advance(0, place);
            if let Some(nearest) = detector.nearest(0)
                && !(300..300 + length).contains(&index)
            {
                let expected = by_definition(&stood_in[..=index], length, past);
                let near = (nearest.distance - expected).abs() < 1e-3;
                assert!(near, "{} at {index}, not {expected}", nearest.distance);
            }
        }
    }

    #[test]
    fn a_missed_beat_is_news_though_every_value_is_ordinary() {
        let mut values = beat(4_000);
        // Half a beat of standing still on the zero line.
        values[3_800..3_820]
            .iter_mut()
            .for_each(|value| *value = 0.5);
        let scores = alone(Settings::default().build(grid()), &values);
        let news = scores[3_805..3_840].iter().copied().fold(0.0, f32::max);
        assert!(news >= 1.0, "{news}");
        assert!(scores[1_500..3_800].iter().all(|score| *score < 1.0));
    }

    #[test]
    fn another_level_is_no_other_shape() {
        let mut values = beat(4_000);
        values[3_000..].iter_mut().for_each(|value| *value += 300.0);
        let scores = alone(Settings::default().build(grid()), &values);
        assert!(scores[3_005] >= 1.0, "the jump itself is one");
        assert!(scores[3_060..].iter().all(|score| *score < 1.0));
    }

    #[test]
    fn a_series_takes_fifty_kilobytes() {
        let mut detector = Settings::default().build(grid());
        detector.grow(16);
        assert!(
            detector.heap_bytes() / 16 <= 52_000,
            "{}",
            detector.heap_bytes()
        );
    }
}
