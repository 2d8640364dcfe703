//! The typical course of a series over one season: a value per place in the season.
//!
//! Robust by medians: each place takes the median over the cycles, after each cycle's own level was
//! taken away, so neither a trend nor an incident nor a gap shapes it.

use super::robust;
use crate::series::Millis;

/// Places in a season of up to a day: five minutes each in a day.
pub const PLACES: usize = 288;
/// Places in a longer season: half an hour each in a week.
pub const LONG_PLACES: usize = 336;
const DAY: Millis = 86_400_000;
/// Rounds of taking away levels and medians in turn; the third changes next to nothing.
const ROUNDS: usize = 3;

/// The course of a series over one season, less its level. 4 bytes a place.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    season: Season,
    /// Where inside a place, from 0 to 1, the mean time of its values is: at its start where only one step
    /// falls into it, almost in its middle where many do.
    middle: f32,
    values: Vec<f32>,
}

/// A season's length and places. Dividing by a known number is a multiplication, several times as fast.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Season {
    period: Millis,
    per_milli: f64,
    places_per_milli: f64,
    places: usize,
}

impl Season {
    fn new(period: Millis, places: usize) -> Self {
        Self {
            period,
            per_milli: 1.0 / period as f64,
            places_per_milli: places as f64 / period as f64,
            places,
        }
    }

    /// Whole seasons in `time`, and the rest in milliseconds.
    fn split(&self, time: Millis) -> (i64, Millis) {
        let mut whole = (time as f64 * self.per_milli) as i64;
        let mut rest = time - whole * self.period;
        // The multiplication may be off by one, and rounds times before the epoch up.
        if rest < 0 {
            whole -= 1;
            rest += self.period;
        } else if rest >= self.period {
            whole += 1;
            rest -= self.period;
        }
        (whole, rest)
    }

    /// The place of the wall-clock time `local`, and where inside it, from 0 to 1.
    fn place(&self, local: Millis) -> (usize, f32) {
        // Half a millisecond later: no rounding puts the first moment of a place into the one before.
        let place = (self.split(local).1 as f64 + 0.5) * self.places_per_milli;
        let whole = (place as usize).min(self.places - 1);
        (whole, (place - whole as f64) as f32)
    }
}

impl Profile {
    /// How many places a season of `period` has on a grid of `step`.
    pub fn places(period: Millis, step: Millis) -> usize {
        let most = if period > DAY { LONG_PLACES } else { PLACES };
        usize::try_from(period / step).unwrap_or(1).clamp(1, most)
    }

    /// A profile with these values, evenly over `period`, each the mean of the steps in its place.
    pub fn new(period: Millis, step: Millis, values: Vec<f32>) -> Self {
        let steps_in_place = period as f32 / values.len() as f32 / step as f32;
        Self {
            season: Season::new(period, values.len()),
            middle: 0.5 * (1.0 - 1.0 / steps_in_place.max(1.0)),
            values,
        }
    }

    /// Learns the profile of `values`, whose wall-clock times are `times`, and takes it away from them;
    /// `None`, and nothing taken away, with fewer than two cycles.
    pub fn learn(
        values: &mut [f32],
        times: &[Millis],
        period: Millis,
        step: Millis,
    ) -> Option<Self> {
        let places = Self::places(period, step);
        let season = Season::new(period, places);
        let found: Vec<(usize, f32)> = times.iter().map(|&time| season.place(time)).collect();
        let cells = Cells::new(values, times, &found, season)?;
        let mut profile = vec![0.0; places];
        for _ in 0..ROUNDS {
            let levels = cells.levels(&profile);
            profile = cells.medians(&levels);
        }
        center(&mut profile);
        let profile = Self::new(period, step, smooth(&profile));
        for (value, &(place, inside)) in values.iter_mut().zip(&found) {
            *value -= profile.inside(place, inside).0;
        }
        Some(profile)
    }

    /// The value at the wall-clock time `local`, between the two nearest places, and how much it changes
    /// from place to place there (a value that comes a little early or late differs by about that).
    pub fn at(&self, local: Millis) -> (f32, f32) {
        let (place, inside) = self.season.place(local);
        self.inside(place, inside)
    }

    fn inside(&self, place: usize, inside: f32) -> (f32, f32) {
        let places = self.values.len();
        let before = if place == 0 { places - 1 } else { place - 1 };
        let after = if place + 1 == places { 0 } else { place + 1 };
        let (before, here, after) = (self.values[before], self.values[place], self.values[after]);
        let inside = inside - self.middle;
        let neighbour = if inside < 0.0 { before } else { after };
        let change = (before - here).abs().max((after - here).abs());
        (here + inside.abs() * (neighbour - here), change)
    }

    /// The season's length.
    pub fn period(&self) -> Millis {
        self.season.period
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.values.capacity() * size_of::<f32>()
    }
}

/// Means by cycle (counted back from the newest value, so that only the oldest is cut) and place.
struct Cells {
    places: usize,
    /// The place of the newest value.
    newest: usize,
    means: Vec<f32>,
}

impl Cells {
    /// `found` are the places of the values.
    fn new(
        values: &[f32],
        times: &[Millis],
        found: &[(usize, f32)],
        season: Season,
    ) -> Option<Self> {
        let Season { period, places, .. } = season;
        let (&newest, &oldest) = (times.last()?, times.first()?);
        let cycles = usize::try_from((newest - oldest) / period).ok()? + 1;
        let mut sums = vec![(0.0_f32, 0_u32); cycles * places];
        // Less a common value first: sums of small differences keep the digits of f32.
        let common = values.iter().copied().find(|value| value.is_finite())?;
        for ((&value, &time), &(place, _)) in values.iter().zip(times).zip(found) {
            if value.is_finite() && time <= newest {
                let cycle = season.split(newest - time).0 as usize;
                // A wall clock set back can reach before the oldest cycle.
                if let Some(cell) = sums.get_mut(cycle * places + place) {
                    cell.0 += value - common;
                    cell.1 += 1;
                }
            }
        }
        let means = sums
            .iter()
            .map(|&(sum, count)| {
                if count == 0 {
                    f32::NAN
                } else {
                    sum / count as f32
                }
            })
            .collect();
        let newest = season.place(newest).0;
        (cycles >= 2).then_some(Self {
            places,
            newest,
            means,
        })
    }

    /// The level of each cycle: the median of what its places are above the profile.
    fn levels(&self, profile: &[f32]) -> Vec<f32> {
        self.means
            .chunks(self.places)
            .map(|cycle| {
                let mut above: Vec<f32> = cycle
                    .iter()
                    .zip(profile)
                    .map(|(mean, typical)| mean - typical)
                    .filter(|above| above.is_finite())
                    .collect();
                robust::median_of(&mut above)
            })
            .collect()
    }

    /// The median over the cycles at each place, less the levels (which run straight from the middle of
    /// one cycle to the middle of the next: a trend is no sawtooth).
    fn medians(&self, levels: &[f32]) -> Vec<f32> {
        let mut kept = Vec::with_capacity(levels.len());
        let mut profile: Vec<f32> = (0..self.places)
            .map(|place| {
                kept.clear();
                kept.extend(
                    (0..levels.len())
                        .map(|cycle| {
                            self.means[cycle * self.places + place]
                                - self.level_at(levels, cycle, place)
                        })
                        .filter(|value| value.is_finite()),
                );
                typical(&mut kept)
            })
            .collect();
        fill(&mut profile);
        profile
    }

    /// The level at one cell, between the middles of the two nearest cycles that have one.
    fn level_at(&self, levels: &[f32], cycle: usize, place: usize) -> f32 {
        let behind = (self.newest + self.places - place) % self.places;
        let inside = behind as f32 / self.places as f32 - 0.5;
        let neighbour = if inside < 0.0 {
            cycle.checked_sub(1)
        } else {
            Some(cycle + 1)
        };
        let other = neighbour.and_then(|at| levels.get(at)).copied();
        match other.filter(|level| level.is_finite()) {
            Some(other) => levels[cycle] + inside.abs() * (other - levels[cycle]),
            None => levels[cycle],
        }
    }
}

/// The median; of two that disagree the one nearer to nothing, since one of them may be an incident.
fn typical(values: &mut [f32]) -> f32 {
    match *values {
        [] => f32::NAN,
        [one, other] if one * other <= 0.0 => 0.0,
        [one, other] => {
            if one.abs() < other.abs() {
                one
            } else {
                other
            }
        }
        _ => robust::median_of(values),
    }
}

/// Places nobody saw take the nearest known values around them, in a straight line.
fn fill(profile: &mut [f32]) {
    let places = profile.len();
    let Some(first) = profile.iter().position(|value| value.is_finite()) else {
        profile.fill(0.0);
        return;
    };
    let mut last = first;
    for offset in 1..=places {
        let place = (first + offset) % places;
        if !profile[place].is_finite() {
            continue;
        }
        let gap = (place + places - last - 1) % places;
        let (from, to) = (profile[last], profile[place]);
        for inside in 1..=gap {
            let share = inside as f32 / (gap + 1) as f32;
            profile[(last + inside) % places] = from + share * (to - from);
        }
        last = place;
    }
}

fn center(profile: &mut [f32]) {
    let mean = profile.iter().sum::<f32>() / profile.len() as f32;
    for value in profile {
        *value -= mean;
    }
}

/// Each place takes a quarter of each neighbour.
fn smooth(profile: &[f32]) -> Vec<f32> {
    let places = profile.len();
    if places < 12 {
        return profile.to_vec();
    }
    (0..places)
        .map(|place| {
            let before = profile[(place + places - 1) % places];
            let after = profile[(place + 1) % places];
            0.25 * before + 0.5 * profile[place] + 0.25 * after
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f32::consts::TAU;

    const MINUTE: Millis = 60_000;

    fn course(minute: usize) -> f32 {
        20.0 * (TAU * minute as f32 / 1_440.0).sin()
    }

    fn learn(values: &[f32]) -> Option<Profile> {
        let times: Vec<Millis> = (0..values.len() as i64)
            .map(|minute| minute * MINUTE)
            .collect();
        Profile::learn(&mut values.to_vec(), &times, DAY, MINUTE)
    }

    fn worst(profile: &Profile) -> f32 {
        (0..1_440)
            .map(|minute| (profile.at(minute as i64 * MINUTE).0 - course(minute)).abs())
            .fold(0.0, f32::max)
    }

    #[test]
    fn sees_through_trend_noise_gaps_and_an_incident() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut values: Vec<f32> = (0..7 * 1_440)
            .map(|minute| 1e3 + minute as f32 * 0.01 + course(minute) + 2.0 * random.f32())
            .collect();
        values[2_000..2_900].fill(f32::NAN);
        values[5_000..5_300].fill(9e4);
        let profile = learn(&values).unwrap();
        assert!(worst(&profile) < 2.0, "{}", worst(&profile));
    }

    #[test]
    fn an_incident_in_one_of_two_cycles_does_not_stay() {
        let mut values: Vec<f32> = (0..2 * 1_440).map(course).collect();
        values[700..800].fill(500.0);
        let profile = learn(&values).unwrap();
        assert!(worst(&profile) < 25.0, "{}", worst(&profile));
        assert!(learn(&values[..1_440]).is_none());
    }

    #[test]
    fn the_same_wall_clock_time_is_the_same_place_even_before_the_epoch() {
        let step = 5 * MINUTE;
        let profile = Profile::new(DAY, step, (0..288).map(|place| place as f32).collect());
        for day in [-20_000, -1, 0, 1, 20_000] {
            for (time, expected) in [(0, 0.0), (150 * step, 150.0), (step / 2, 0.5)] {
                let (value, change) = profile.at(day * DAY + time);
                assert!((value - expected).abs() < 1e-3, "{value}, not {expected}");
                assert_eq!(change, if time < step { 287.0 } else { 1.0 });
            }
        }
        let coarse = Profile::new(DAY, MINUTE, (0..288).map(|place| place as f32).collect());
        assert!(
            (coarse.at(150 * step + 2 * MINUTE).0 - 150.0).abs() < 1e-3,
            "mean of five minutes"
        );
    }
}
