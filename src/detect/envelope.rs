//! How far a value, its moving mean, or the shift of that mean is outside everything seen so far.
//!
//! *When*: never-seen extremes of any shape of series, and level shifts. *Cost*: about 15 ns a value and
//! some 200 bytes a series, whatever its history. *Reference*: a decaying minimum and maximum; the novelty
//! of a value is its distance outside, relative to the width. Measured on the Numenta benchmark it is
//! worth more than most published detectors, since it is calibrated to each series by construction.
//!
//! Values enter the envelope one to two blocks of 30 steps later: so what is new stays new for long enough
//! to be confirmed, and is ordinary afterwards (a level shift is reported once).

use super::{Batch, Detector, MAX_SCORE, Problems, Scope, UNMEASURED, novelty::Channel, positive};
use crate::series::{Grid, Slot, Span};
use serde::Deserialize;

/// Steps of the moving mean, and of a block.
const BLOCK: usize = 30;
/// Level, moving mean, shift of the moving mean.
const CHANNELS: usize = 3;
/// The shortest half-life that keeps coarse series from wearing their envelope out between seasons.
const FEWEST_STEPS: f64 = 10_000.0;
/// The extremes of so few values (independent ones: a moving mean has one per block) tell half of what they
/// will: the threshold is twice as high then, and falls towards its own as more are seen.
const YOUNG: f32 = 30.0;

/// Settings of the detector.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// This far outside scores 1, as a share of the width of the envelope.
    pub novelty: f64,
    /// The envelope loses half of its width in so long (and no fewer than 10,000 steps), if nothing renews
    /// it.
    pub half_life: Span,
    /// No score before a series was seen for so long, nor for fewer than 200 steps.
    pub warm_up: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            novelty: 0.04,
            half_life: Span::days(48),
            warm_up: Span::days(1),
        }
    }
}

impl Settings {
    /// Problems by field; empty where all is well.
    pub fn validate(&self) -> Problems {
        let mut problems = positive("novelty", self.novelty);
        problems.extend(positive("half_life", self.half_life.as_millis() as f64));
        problems
    }

    /// The detector.
    pub fn build(&self, grid: Grid) -> Box<dyn Detector> {
        let steps = (self.half_life.as_millis() as f64 / grid.step() as f64).max(FEWEST_STEPS);
        let warm_up = grid.steps_up(self.warm_up.as_millis()).max(200);
        Box::new(Envelope {
            novelty: self.novelty as f32,
            loss: (1.0 - 0.5_f64.powf(1.0 / steps)) as f32,
            warm_up: u32::try_from(warm_up).unwrap_or(u32::MAX),
            // After eight half-lives less than half a percent is left of a width.
            memory: (8.0 * steps) as usize + 2 * BLOCK,
            grid,
            states: Vec::new(),
        })
    }
}

#[derive(Debug, Clone)]
struct Envelope {
    novelty: f32,
    loss: f32,
    warm_up: u32,
    memory: usize,
    grid: Grid,
    states: Vec<State>,
}

/// One series.
#[derive(Debug, Clone, Copy)]
struct State {
    recent: Recent,
    channels: [Channel; CHANNELS],
    echo: Echo,
    seen: u32,
}

impl State {
    const NEW: Self = Self {
        recent: Recent::EMPTY,
        channels: [Channel::EMPTY; CHANNELS],
        echo: Echo { side: 0, left: 0 },
        seen: 0,
    };

    /// The greatest score of the channels, before taking the value in.
    fn step(&mut self, place: usize, value: f32, novelty: f32, loss: f32) -> f32 {
        let (mean, before) = self.recent.take(place, value);
        if place == 0 {
            for channel in &mut self.channels {
                channel.turn();
            }
        }
        self.seen = self.seen.saturating_add(u32::from(value.is_finite()));
        // What one ordinary extreme value makes of a mean is no news of the mean.
        let slack = self.channels[0].width() / BLOCK as f32;
        let young = YOUNG / self.seen.max(1) as f32;
        let slow = young * BLOCK as f32;
        self.echo.fade();
        let readings = [
            (value, 0.0, young),
            (mean, slack, slow),
            (mean - before, 2.0 * slack, slow),
        ];
        let mut score = f32::NAN;
        for (index, (reading, slack, young)) in readings.into_iter().enumerate() {
            if !reading.is_finite() {
                continue;
            }
            let outside = self.channels[index].step(reading, slack, loss);
            // A mean keeps what the values have left behind: only while they are there it is news.
            let holds = match index {
                0 => true,
                1 => (value - outside.edge) * outside.side > 0.0,
                _ => {
                    let there = (value - before) * outside.side >= 0.5 * reading.abs();
                    there && !self.echo.answers(outside.side)
                }
            };
            let here = match outside.share {
                share if share > 0.0 && !holds => 0.0,
                f32::INFINITY => UNMEASURED,
                share => share / (novelty * (1.0 + young)),
            };
            if here >= 1.0 {
                self.echo.hear(outside.side);
            }
            // `max` takes the other one where one is NaN.
            score = here.max(score);
        }
        score
    }
}

/// The way back from an incident is no shift of its own: for three blocks after news on one side a shift to
/// the other is not reported.
#[derive(Debug, Clone, Copy)]
struct Echo {
    side: i8,
    left: u8,
}

impl Echo {
    fn fade(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    fn hear(&mut self, side: f32) {
        *self = Self {
            side: side as i8,
            left: 3 * BLOCK as u8,
        };
    }

    fn answers(&self, side: f32) -> bool {
        self.left > 0 && side as i8 != self.side
    }
}

/// The newest values, for the moving mean.
#[derive(Debug, Clone, Copy)]
struct Recent {
    values: [f32; BLOCK],
    /// Sum and number of the values that are there, kept up with each value, summed anew at each block:
    /// rounding cannot pile up.
    sum: f32,
    count: u8,
    /// The moving mean at the ends of the two blocks before.
    means: [f32; 2],
}

impl Recent {
    const EMPTY: Self = Self {
        values: [f32::NAN; BLOCK],
        sum: 0.0,
        count: 0,
        means: [f32::NAN; 2],
    };

    /// Puts a value at its place in the block; gives the moving mean, and that of one to two blocks ago.
    fn take(&mut self, place: usize, value: f32) -> (f32, f32) {
        if place == 0 {
            (self.sum, self.count) = (0.0, 0);
            for &value in &self.values {
                if value.is_finite() {
                    self.sum += value;
                    self.count += 1;
                }
            }
            self.means = [self.mean(), self.means[0]];
        }
        let oldest = std::mem::replace(&mut self.values[place], value);
        if value.is_finite() {
            self.sum += value;
            self.count += 1;
        }
        if oldest.is_finite() {
            self.sum -= oldest;
            self.count -= 1;
        }
        (self.mean(), self.means[1])
    }

    /// `NaN` unless two thirds of the values are there.
    fn mean(&self) -> f32 {
        if 3 * usize::from(self.count) >= 2 * BLOCK {
            self.sum / f32::from(self.count)
        } else {
            f32::NAN
        }
    }
}

impl Detector for Envelope {
    fn kind(&self) -> &'static str {
        "envelope"
    }

    fn scope(&self) -> Scope {
        Scope::Series
    }

    fn memory(&self) -> usize {
        self.memory
    }

    fn grow(&mut self, slots: usize) {
        self.states.resize(slots.max(self.states.len()), State::NEW);
    }

    fn reset(&mut self, slot: Slot) {
        self.states[slot] = State::NEW;
    }

    fn swap(&mut self, one: Slot, other: Slot) {
        self.states.swap(one, other);
    }

    fn step(&mut self, batch: &Batch<'_>, out: &mut [f32]) {
        let place = self.grid.index(batch.at).rem_euclid(BLOCK as i64) as usize;
        for (index, &slot) in batch.slots.iter().enumerate() {
            let state = &mut self.states[slot];
            let score = state.step(place, batch.values[index], self.novelty, self.loss);
            let known = state.seen > self.warm_up && batch.values[index].is_finite();
            out[index] = if known {
                score.min(MAX_SCORE)
            } else {
                f32::NAN
            };
        }
    }

    fn heap_bytes(&self) -> usize {
        self.states.capacity() * size_of::<State>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Band;

    fn scores(values: &[f32]) -> Vec<f32> {
        let mut detector = Settings::default().build(Grid::new(300_000).unwrap());
        detector.grow(1);
        values
            .iter()
            .enumerate()
            .map(|(index, &value)| {
                let mut out = [0.0];
                let batch = Batch {
                    at: index as i64 * 300_000,
                    slots: &[0],
                    values: &[value],
                    bands: &[Band::UNKNOWN],
                };
                detector.step(&batch, &mut out);
                out[0]
            })
            .collect()
    }

    /// Between 0 and 1.
    fn noise(count: usize) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(8);
        (0..count).map(|_| random.f32()).collect()
    }

    #[test]
    fn the_score_is_the_distance_outside_relative_to_the_width() {
        let mut values = noise(6_000);
        values[5_990] = 1.2;
        let score = scores(&values)[5_990];
        // A fifth of the width, by a threshold of 4 % that is half a percent higher for a series this young;
        // the width has shrunk a little.
        assert!((4.5..5.5).contains(&score), "{score}");
    }

    #[test]
    fn a_shift_that_stays_is_news_for_an_hour_or_more_and_then_no_more() {
        let mut values = noise(4_000);
        values[3_000..].iter_mut().for_each(|value| *value += 3.0);
        let scores = scores(&values);
        assert!(scores[300..3_000].iter().all(|&score| score < 1.0));
        assert!(scores[3_000..3_030].iter().all(|&score| score >= 1.0));
        assert!(scores[3_070..].iter().all(|&score| score < 1.0));
    }

    #[test]
    fn a_small_shift_within_the_noise_shows_in_the_mean() {
        let mut values: Vec<f32> = noise(6_000)
            .iter()
            .map(|value| 3.0 * value.powi(3))
            .collect();
        values[5_000..]
            .iter_mut()
            .for_each(|value| *value = 0.6 * *value + 1.2);
        let scores = scores(&values);
        assert!(scores[5_010..5_040].iter().any(|&score| score >= 1.0));
    }

    #[test]
    fn the_first_change_of_a_constant_series_is_news_of_unknown_size() {
        let mut values = vec![7.0; 1_000];
        values[900] = 8.0;
        assert_eq!(scores(&values)[900], UNMEASURED);
        assert_eq!(scores(&values)[899], 0.0);
    }

    #[test]
    fn a_series_takes_a_quarter_of_a_kilobyte() {
        assert!(size_of::<State>() <= 220, "{}", size_of::<State>());
    }
}
