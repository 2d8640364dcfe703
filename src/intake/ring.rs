//! The newest steps of one series in 64 bytes: what grid times are made of, and no sample beside it but the newest.
//!
//! Of each step there is its first sample or, where it has none, what was there before it, with the time of that. It is all that
//! late samples may still change, and what decides whether they do. A sample that says nothing of them any more is not remembered, so
//! another one of its time is not told from it.

use super::{is_stale, raw::Put};
use crate::series::Millis;

/// Steps that are there: the newest, and those that late samples may change.
pub(super) const SLOTS: usize = 6;

/// No sample.
const NONE: i32 = i32::MIN;

/// How long a step is, and how long a sample counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    /// Milliseconds of a step, no more than an `i32` holds.
    pub(super) step: Millis,
    /// Milliseconds that are looked back.
    pub(super) limit: Millis,
}

/// A time: the number of its step, and milliseconds since that began.
pub(super) type Moment = (i32, i32);

/// One step.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cell {
    /// `NaN` where there is no value at its grid time; infinite where it is too large for 32 bits.
    value: f32,
    /// When the sample was that says so, in milliseconds since the grid time; before it where that is negative.
    from: i32,
}

impl Cell {
    const EMPTY: Self = Self {
        value: f32::NAN,
        from: NONE,
    };

    /// Whether it is of a sample of its own step.
    fn is_own(self) -> bool {
        self.from >= 0 && !self.value.is_nan()
    }
}

/// The newest steps of one series.
#[derive(Debug, Clone)]
pub(super) struct Ring {
    /// Value of the newest sample, perhaps a stale marker.
    value: f64,
    /// A step is in the place of its number modulo [`SLOTS`].
    cells: [Cell; SLOTS],
    /// Time of the newest sample; its step is [`NONE`] where there is none.
    newest: Moment,
}

impl Default for Ring {
    fn default() -> Self {
        Self {
            value: f64::NAN,
            cells: [Cell::EMPTY; SLOTS],
            newest: (NONE, 0),
        }
    }
}

impl Ring {
    /// Of samples in ascending order.
    pub(super) fn of(samples: impl Iterator<Item = (Moment, f64)>, scale: &Scale) -> Self {
        let mut ring = Self::default();
        for (at, value) in samples {
            ring.put(at, value, scale);
        }
        ring
    }

    /// Time and value of the newest sample.
    pub(super) fn newest(&self) -> Option<(Moment, f64)> {
        (self.newest.0 != NONE).then_some((self.newest, self.value))
    }

    /// Takes in a sample.
    pub(super) fn put(&mut self, at: Moment, value: f64, scale: &Scale) -> Put {
        if self.newest.0 == NONE || self.newest < at {
            self.append(at, value, scale);
            return Put::Stored;
        }
        if self.newest == at {
            let same = self.value.to_bits() == value.to_bits();
            return if same { Put::Duplicate } else { Put::Conflict };
        }
        self.known(at, value, scale)
            .unwrap_or_else(|| self.insert(at, value, scale))
    }

    fn append(&mut self, at: Moment, value: f64, scale: &Scale) {
        let oldest = at.0.saturating_sub(SLOTS as i32 - 1);
        if self.newest.0 == NONE {
            self.cells = [Cell::EMPTY; SLOTS];
        } else {
            for slot in oldest.max(self.newest.0.saturating_add(1))..=at.0 {
                let since = scale.between(self.newest, (slot, 0));
                self.cells[place(slot)] = scale.carried(self.value, since);
            }
        }
        (self.newest, self.value) = (at, value);
        self.begin(at, value);
    }

    /// The step of a sample may begin with it.
    fn begin(&mut self, at: Moment, value: f64) {
        let cell = &mut self.cells[place(at.0)];
        if is_stale(value) {
            // What ended at the very grid time has no value then, unless it comes back within the step.
            if at.1 == 0 && !cell.is_own() {
                *cell = Cell {
                    value: f32::NAN,
                    from: 0,
                };
            }
        } else if !cell.is_own() || at.1 < cell.from {
            *cell = Cell {
                value: narrow(value),
                from: at.1,
            };
        }
    }

    /// Steps that are there and may have to do with what was at `at`.
    fn slots_from(&self, at: Moment) -> std::ops::RangeInclusive<i32> {
        at.0.max(self.oldest())..=self.newest.0
    }

    fn oldest(&self) -> i32 {
        self.newest.0.saturating_sub(SLOTS as i32 - 1)
    }

    /// What is known of a sample that is not the newest.
    fn known(&self, at: Moment, value: f64, scale: &Scale) -> Option<Put> {
        self.slots_from(at).find_map(|slot| {
            let cell = self.cells[place(slot)];
            let is_of_it =
                cell.from != NONE && i64::from(cell.from) == scale.between((slot, 0), at);
            is_of_it.then(|| {
                // Of what is too old to count only the time is known.
                let same = match cell.value.is_nan() {
                    true => is_stale(value) || i64::from(cell.from) <= -scale.limit,
                    false => !is_stale(value) && narrow(value) == cell.value,
                };
                if same { Put::Duplicate } else { Put::Conflict }
            })
        })
    }

    /// A late sample.
    fn insert(&mut self, at: Moment, value: f64, scale: &Scale) -> Put {
        let mut put = Put::Old;
        for slot in self.slots_from(at) {
            if slot == at.0 {
                self.begin(at, value);
                put = Put::Stored;
                continue;
            }
            let cell = &mut self.cells[place(slot)];
            let since = scale.between(at, (slot, 0));
            if i64::from(cell.from) < -since {
                *cell = scale.carried(value, since);
                put = Put::Stored;
            }
        }
        put
    }

    /// The value of a grid time; `NaN` is none.
    pub(super) fn value(&self, slot: i32, scale: &Scale) -> f32 {
        let value = if self.newest.0 == NONE || slot < self.oldest() {
            return f32::NAN;
        } else if slot <= self.newest.0 {
            self.cells[place(slot)].value
        } else {
            let since = scale.between(self.newest, (slot, 0));
            scale.carried(self.value, since).value
        };
        if value.is_finite() { value } else { f32::NAN }
    }

    /// The value at any time. Before the newest sample only the first sample of each step is known.
    pub(super) fn at(&self, at: Moment, scale: &Scale) -> Option<f64> {
        let (time, value) = self.before(at, scale)?;
        let counts = !is_stale(value) && scale.between(time, at) < scale.limit;
        counts.then_some(value)
    }

    /// The newest sample that is known and not after `at`.
    fn before(&self, at: Moment, scale: &Scale) -> Option<(Moment, f64)> {
        let newest = self.newest()?;
        if newest.0 <= at {
            return Some(newest);
        }
        let known = self.samples(scale);
        known.into_iter().rev().find(|(time, _)| *time <= at)
    }

    /// All samples that are known, ascending: a ring [of](Ring::of) them is the same.
    pub(super) fn samples(&self, scale: &Scale) -> Vec<(Moment, f64)> {
        let mut found: Vec<(Moment, f64)> = Vec::new();
        let Some(newest) = self.newest() else {
            return found;
        };
        for slot in self.slots_from((NONE, 0)) {
            let cell = self.cells[place(slot)];
            if cell.from == NONE || i64::from(cell.from) <= -scale.limit {
                continue;
            }
            let at = scale.moment(slot, cell.from);
            let value = match cell.value.is_nan() {
                true => super::STALE_NAN,
                false => f64::from(cell.value),
            };
            if found.last().is_none_or(|last| last.0 < at) {
                found.push((at, value));
            }
        }
        if found.last().is_some_and(|last| last.0 == newest.0) {
            found.pop();
        }
        found.push(newest);
        found
    }
}

impl Scale {
    /// Milliseconds from one time to another.
    fn between(&self, from: Moment, to: Moment) -> Millis {
        (i64::from(to.0) - i64::from(from.0)) * self.step + i64::from(to.1) - i64::from(from.1)
    }

    /// So many milliseconds after the grid time of a step, before it where negative.
    fn moment(&self, slot: i32, from: i32) -> Moment {
        let later = i64::from(from).div_euclid(self.step);
        let since = i64::from(from).rem_euclid(self.step);
        (slot.saturating_add(later as i32), since as i32)
    }

    /// What a sample is to a grid time `since` milliseconds after it.
    fn carried(&self, value: f64, since: Millis) -> Cell {
        let counts = !is_stale(value) && since < self.limit;
        Cell {
            value: if counts { narrow(value) } else { f32::NAN },
            from: i32::try_from(-since).unwrap_or(NONE + 1),
        }
    }
}

fn place(slot: i32) -> usize {
    slot.rem_euclid(SLOTS as i32) as usize
}

/// In 32 bits, and no `NaN`.
fn narrow(value: f64) -> f32 {
    let value = value as f32;
    if value.is_finite() {
        value
    } else {
        f32::INFINITY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        intake::{
            STALE_NAN,
            raw::{Look, Raw},
        },
        series::Grid,
    };
    use proptest::prelude::*;

    const LIMIT: Millis = 300_000;
    const LOOK: Look = Look {
        back: LIMIT,
        range: None,
    };

    fn scale(step: Millis) -> Scale {
        Scale { step, limit: LIMIT }
    }

    fn moment(at: Millis, step: Millis) -> Moment {
        (at.div_euclid(step) as i32, at.rem_euclid(step) as i32)
    }

    #[test]
    fn it_is_small() {
        assert_eq!(size_of::<Ring>(), 64);
    }

    #[test]
    fn what_came_before_is_told_from_what_is_new() {
        let scale = scale(60_000);
        let mut ring = Ring::default();
        for (at, value, expected) in [
            ((10, 5_000), 1.0, Put::Stored),
            ((10, 5_000), 1.0, Put::Duplicate),
            ((10, 5_000), 2.0, Put::Conflict),
            ((11, 7_000), STALE_NAN, Put::Stored),
            ((13, 0), 3.0, Put::Stored),
            ((10, 5_000), 1.0, Put::Duplicate),
            ((10, 5_000), 1.5, Put::Conflict),
            ((11, 7_000), STALE_NAN, Put::Duplicate),
            ((11, 7_000), 1.0, Put::Conflict),
            ((11, 8_000), 4.0, Put::Stored),
            ((4, 0), 4.0, Put::Stored),
            ((4, 0), 4.0, Put::Duplicate),
            ((3, 0), 4.0, Put::Old),
        ] {
            assert_eq!(ring.put(at, value, &scale), expected, "{at:?} {value}");
        }
        let values: Vec<_> = (7..16).map(|slot| ring.value(slot, &scale)).collect();
        assert_eq!(values[4..], [4.0, 4.0, 3.0, 3.0, 3.0]);
        assert!(values[0].is_nan(), "it is too old");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// It is what all samples together say, as long as none is older than what may change.
        #[test]
        fn a_ring_has_the_values_of_all_samples(
            step in prop::sample::select(vec![1_000, 15_000, 60_000, 400_000]),
            sent in prop::collection::vec((0..5_i64, 0..4_i64, 0..4_i64, 0..6_i64, 0..9_u8), 1..60),
        ) {
            let (scale, grid) = (scale(step), Grid::new(step).unwrap());
            let (mut ring, mut raw) = (Ring::default(), Raw::default());
            let mut newest = 1_000 * step;
            for (steps, quarters, late, late_quarters, value) in sent {
                newest += steps * step + quarters * step / 4;
                let at = newest - late * step - late_quarters * step / 4;
                let value = match value {
                    0 => STALE_NAN,
                    1 => 1e300,
                    other => f64::from(other),
                };
                // What is older than the ring is refused before it comes to it.
                if grid.index(newest) - grid.index(at) >= SLOTS as i64 {
                    continue;
                }
                let expected = raw.put(at, value, None);
                let mut tried = ring.clone();
                let taken = tried.put(moment(at, step), value, &scale);
                // What was forgotten is not told from what is new, and of what is too old the value is not known.
                let is_known = expected != Put::Stored;
                prop_assert!(taken == expected || is_known, "{taken:?} {expected:?}");
                if taken != Put::Stored || expected != Put::Conflict {
                    ring = tried;
                }
                let again = Ring::of(ring.samples(&scale).into_iter(), &scale);
                let newest_slot = grid.index(raw.newest().unwrap().0);
                for slot in newest_slot - SLOTS as i64 + 1..newest_slot + 8 {
                    let wanted = raw.of_step(slot * step, step, &LOOK).map_or(f32::NAN, |value| value as f32);
                    let wanted = if wanted.is_finite() { wanted } else { f32::NAN };
                    let own = ring.value(slot as i32, &scale);
                    prop_assert_eq!(own.to_bits(), wanted.to_bits(), "step {}: {} and not {}", slot, own, wanted);
                    prop_assert_eq!(again.value(slot as i32, &scale).to_bits(), own.to_bits());
                }
                for later in [0, step / 3, step, LIMIT - 1, LIMIT] {
                    let at = raw.newest().unwrap().0 + later;
                    prop_assert_eq!(ring.at(moment(at, step), &scale), raw.at(at, &LOOK));
                }
            }
        }
    }
}
