//! What a series was: newest values, averages, and the same time of seasons before, as columns of a
//! regression.

/// Newest values looked at, by their age in steps.
const AGES: [usize; 5] = [1, 2, 3, 6, 12];
const KEPT: usize = 13;
/// Weights of the newest value in the running averages.
const WEIGHTS: [f32; 5] = [0.3, 0.1, 0.03, 1.0 / 144.0, 1.0 / 500.0];
/// Seasons looked back at.
const MOST_SEASONS: usize = 3;
/// Columns that each of them gives: the values then, and their surroundings, at the time forecast and now.
const PER_SEASON: usize = 4;
/// Columns in all.
pub(super) const MOST_COLUMNS: usize = AGES.len() + WEIGHTS.len() + MOST_SEASONS * PER_SEASON;
/// Blocks in a season, at most.
const MOST_BLOCKS: usize = 288;
/// Blocks on each side that belong to the surroundings.
const AROUND: i64 = 3;

/// What is remembered of one series.
#[derive(Debug, Clone)]
pub(super) struct Lags {
    /// Newest values, in a ring; a missing one is as the one before it.
    newest: [f32; KEPT],
    next: usize,
    averages: [f32; WEIGHTS.len()],
    /// The newest value that was there.
    level: f32,
    /// The wall-clock step of the newest value, there or not.
    index: i64,
    blocks: Blocks,
    seasons: usize,
}

/// Means over blocks of wall-clock steps.
#[derive(Debug, Clone)]
struct Blocks {
    /// Steps in a season and in a block.
    season: usize,
    width: usize,
    /// Ring by number of the block; `NaN` where nothing was seen.
    means: Box<[f32]>,
    /// Number of the newest block, and the values in it.
    current: i64,
    count: f32,
}

impl Lags {
    /// Nothing seen yet. `season` in steps, `values` how many there are to learn from: as many
    /// seasons are looked back at as leave half of them to learn from.
    pub(super) fn new(season: Option<usize>, values: usize) -> Self {
        let season = season.filter(|&season| season > 1).unwrap_or(0);
        let whole = values.checked_div(season).unwrap_or(0);
        let seasons = (whole.saturating_sub(1) / 2).min(MOST_SEASONS);
        Self {
            newest: [f32::NAN; KEPT],
            next: 0,
            averages: [f32::NAN; WEIGHTS.len()],
            level: f32::NAN,
            index: 0,
            blocks: Blocks::new(season, seasons),
            seasons,
        }
    }

    /// Columns of a row.
    pub(super) fn columns(&self) -> usize {
        AGES.len() + WEIGHTS.len() + self.seasons * PER_SEASON
    }

    /// Values before which a row would miss most of what it holds.
    pub(super) fn warm_up(&self) -> usize {
        KEPT + self.seasons * self.blocks.season
    }

    /// The newest value that was there; `NaN` before any.
    pub(super) fn level(&self) -> f32 {
        self.level
    }

    /// Takes in the value of the wall-clock step `index`, `NaN` where it is missing.
    pub(super) fn see(&mut self, index: i64, value: f32) {
        if value.is_finite() {
            self.level = value;
            for (average, weight) in self.averages.iter_mut().zip(WEIGHTS) {
                *average = if average.is_finite() {
                    *average + weight * (value - *average)
                } else {
                    value
                };
            }
        }
        self.index = index;
        self.newest[self.next] = self.level;
        self.next = (self.next + 1) % KEPT;
        if self.seasons > 0 {
            self.blocks.see(index, value);
        }
    }

    /// The columns for the wall-clock step `target`, `steps` ahead: each relative to the newest value, 0
    /// where nothing is known.
    pub(super) fn row(&self, target: i64, steps: usize, out: &mut [f32]) {
        let relative = |value: f32| {
            let relative = value - self.level;
            if relative.is_finite() { relative } else { 0.0 }
        };
        let (ages, rest) = out.split_at_mut(AGES.len());
        for (out, age) in ages.iter_mut().zip(AGES) {
            *out = relative(self.newest[(self.next + KEPT - 1 - age) % KEPT]);
        }
        let (averages, rest) = rest.split_at_mut(WEIGHTS.len());
        for (out, &average) in averages.iter_mut().zip(&self.averages) {
            *out = relative(average);
        }
        if self.seasons == 0 {
            return;
        }
        let season = self.blocks.season as i64;
        // The first season back that is not itself in the future.
        let first = steps.div_ceil(self.blocks.season).max(1) as i64;
        for (back, out) in rest.chunks_exact_mut(PER_SEASON).enumerate() {
            let then = target - (first + back as i64) * season;
            let now = self.index - (1 + back as i64) * season;
            let (then, now) = (self.blocks.number(then), self.blocks.number(now));
            out[0] = relative(self.blocks.at(then));
            out[1] = relative(self.blocks.around(then));
            out[2] = relative(self.blocks.at(now));
            out[3] = relative(self.blocks.around(now));
        }
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.blocks.means)
    }
}

impl Blocks {
    fn new(season: usize, seasons: usize) -> Self {
        if seasons == 0 {
            return Self {
                season,
                width: 1,
                means: Box::default(),
                current: i64::MIN,
                count: 0.0,
            };
        }
        // A divisor of the season, so that seasons stay whole.
        let least = season.div_ceil(MOST_BLOCKS);
        let width = (least..=season)
            .find(|width| season.is_multiple_of(*width))
            .unwrap_or(1);
        let blocks = seasons * (season / width) + 2 * AROUND as usize;
        Self {
            season,
            width,
            means: vec![f32::NAN; blocks].into_boxed_slice(),
            current: i64::MIN,
            count: 0.0,
        }
    }

    fn number(&self, index: i64) -> i64 {
        index.div_euclid(self.width as i64)
    }

    fn place(&self, number: i64) -> usize {
        number.rem_euclid(self.means.len() as i64) as usize
    }

    fn see(&mut self, index: i64, value: f32) {
        let number = self.number(index);
        if number > self.current {
            let skipped = if self.current == i64::MIN {
                0
            } else {
                (number - self.current - 1).min(self.means.len() as i64)
            };
            for number in number - skipped..=number {
                let place = self.place(number);
                self.means[place] = f32::NAN;
            }
            self.current = number;
            self.count = 0.0;
        }
        // An hour that a clock put back shows twice is kept as it was first.
        if number == self.current && value.is_finite() {
            let place = self.place(number);
            let mean = self.means[place];
            self.count += 1.0;
            self.means[place] = if mean.is_finite() {
                mean + (value - mean) / self.count
            } else {
                value
            };
        }
    }

    fn at(&self, number: i64) -> f32 {
        if number > self.current || number <= self.current - self.means.len() as i64 {
            return f32::NAN;
        }
        self.means[self.place(number)]
    }

    fn around(&self, number: i64) -> f32 {
        let (mut sum, mut count) = (0.0, 0.0);
        for number in number - AROUND..=number + AROUND {
            let mean = self.at(number);
            if mean.is_finite() {
                sum += mean;
                count += 1.0;
            }
        }
        sum / count
    }
}
