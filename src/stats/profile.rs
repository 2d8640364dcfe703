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
    period: Millis,
    values: Vec<f32>,
}

impl Profile {
    /// How many places a season of `period` has on a grid of `step`.
    pub fn places(period: Millis, step: Millis) -> usize {
        let most = if period > DAY { LONG_PLACES } else { PLACES };
        usize::try_from(period / step).unwrap_or(1).clamp(1, most)
    }

    /// A profile with these values, evenly over `period`.
    pub fn new(period: Millis, values: Vec<f32>) -> Self {
        Self { period, values }
    }

    /// Learns the profile of `values`, whose wall-clock times are `times`; `None` with fewer than two
    /// cycles.
    pub fn learn(values: &[f32], times: &[Millis], period: Millis, step: Millis) -> Option<Self> {
        let places = Self::places(period, step);
        let cells = Cells::new(values, times, period, places)?;
        let mut profile = vec![0.0; places];
        for _ in 0..ROUNDS {
            let levels = cells.levels(&profile);
            profile = cells.medians(&levels);
        }
        center(&mut profile);
        Some(Self {
            period,
            values: smooth(&profile),
        })
    }

    /// The value at the wall-clock time `local`, between the two nearest places, and how much it changes
    /// from place to place there (a value that comes a little early or late differs by about that).
    pub fn at(&self, local: Millis) -> (f32, f32) {
        let places = self.values.len();
        let scaled = local.rem_euclid(self.period) * places as i64;
        let place = (scaled / self.period) as usize;
        let before = if place == 0 { places - 1 } else { place - 1 };
        let after = if place + 1 == places { 0 } else { place + 1 };
        let (before, here, after) = (self.values[before], self.values[place], self.values[after]);
        // The value of a place stands for its middle.
        let inside = (scaled - place as i64 * self.period) as f32 / self.period as f32 - 0.5;
        let neighbour = if inside < 0.0 { before } else { after };
        let change = (before - here).abs().max((after - here).abs());
        (here + inside.abs() * (neighbour - here), change)
    }

    /// The season's length.
    pub fn period(&self) -> Millis {
        self.period
    }

    /// Greatest less smallest value.
    pub fn range(&self) -> f32 {
        let high = self.values.iter().copied().fold(f32::MIN, f32::max);
        let low = self.values.iter().copied().fold(f32::MAX, f32::min);
        high - low
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
    fn new(values: &[f32], times: &[Millis], period: Millis, places: usize) -> Option<Self> {
        let (&newest, &oldest) = (times.last()?, times.first()?);
        let cycles = usize::try_from((newest - oldest) / period).ok()? + 1;
        let mut sums = vec![(0.0_f32, 0_u32); cycles * places];
        // Less a common value first: sums of small differences keep the digits of f32.
        let common = values.iter().copied().find(|value| value.is_finite())?;
        for (&value, &time) in values.iter().zip(times) {
            if value.is_finite() && time <= newest {
                let cycle = ((newest - time) / period) as usize;
                let place = (time.rem_euclid(period) * places as i64 / period) as usize;
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
        let newest = (newest.rem_euclid(period) * places as i64 / period) as usize;
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
