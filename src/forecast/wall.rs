//! Seasons follow the wall clock: where a grid time lies in a season.

use crate::series::{Grid, Millis, Zone};

/// Zones change their offset at multiples of this, so one look-up serves as long.
const OFFSET_VALID: Millis = 15 * 60_000;

/// Grid times counted on the wall clock of one zone.
#[derive(Debug, Clone)]
pub(super) struct Wall {
    grid: Grid,
    zone: Zone,
    /// The quarter of an hour looked up last, and its offset.
    newest: (i64, Millis),
}

impl Wall {
    /// UTC, until [`Wall::set_zone`] says otherwise.
    pub(super) fn new(grid: Grid) -> Self {
        Self {
            grid,
            zone: Zone::default(),
            newest: (i64::MIN, 0),
        }
    }

    /// The zone of the signal.
    pub(super) fn set_zone(&mut self, zone: &Zone) {
        if self.zone != *zone {
            self.zone = zone.clone();
            self.newest = (i64::MIN, 0);
        }
    }

    /// How many steps the wall clock has made until `at`.
    pub(super) fn index(&self, at: Millis) -> i64 {
        self.grid.index(at + self.zone.offset(at))
    }

    /// Where the times are that are `horizons` steps ahead.
    pub(super) fn targets<'a>(&'a self, horizons: &'a [usize]) -> Targets<'a> {
        Targets {
            wall: self,
            horizons,
            now: Millis::MIN,
            steps: vec![0; horizons.len()],
        }
    }

    /// As [`Wall::index`], remembering the look-up: for times that come one after the other.
    pub(super) fn walk(&mut self, at: Millis) -> i64 {
        let quarter = at.div_euclid(OFFSET_VALID);
        if self.newest.0 != quarter {
            self.newest = (quarter, self.zone.offset(at));
        }
        self.grid.index(at + self.newest.1)
    }
}

/// Wall-clock steps of what is forecast, looked up once for all series that are at the same time.
pub(super) struct Targets<'a> {
    wall: &'a Wall,
    horizons: &'a [usize],
    now: Millis,
    steps: Vec<i64>,
}

impl Targets<'_> {
    /// By horizon, after `now`.
    pub(super) fn after(&mut self, now: Millis) -> &[i64] {
        if self.now != now {
            self.now = now;
            for (index, &steps) in self.steps.iter_mut().zip(self.horizons) {
                let ahead = steps as i64 * self.wall.grid.step();
                *index = self.wall.index(now + ahead);
            }
        }
        &self.steps
    }
}

/// Where the wall-clock step `index` lies in a season of `season` steps.
pub(super) fn phase_of(index: i64, season: usize) -> usize {
    index.rem_euclid(season as i64) as usize
}
