//! Conformal intervals: as wide as the recent errors at the same horizon were, whatever the model says.
//!
//! Residuals are divided by a local scale ([`super::scale`]), so that quiet nights have narrow intervals
//! and busy hours wide ones. The interval's ends are quantiles of the newest normalised residuals, lower
//! and upper apart because loads are skewed. Each end's level is tracked: a miss widens, a hit narrows,
//! by steps that balance at the nominal rate (adaptive conformal inference: Gibbs & Candès 2021,
//! arXiv:2106.00170; a step for each forecast that comes due, as in Angelopoulos, Candès & Tibshirani
//! 2023, arXiv:2307.16895).
//!
//! The constants were chosen once for all traces of the coverage test together; none depends on the
//! kind of series.

use super::scale::{Mode, Scale, Seen};

/// An interval of fewer residuals would be a guess.
pub(super) const LEAST_RESIDUALS: usize = 20;
/// Newest normalised residuals kept.
const KEPT_RESIDUALS: usize = 512;
/// Share of the nominal misses that is aimed at: what the past did not show costs the rest.
pub(super) const AIMED_SHARE: f32 = 0.92;
/// Step of the tracked level, per resolved forecast.
const LEVEL_STEP: f32 = 0.01;
/// The tracked level stays below this multiple of the nominal one: a calm week must not narrow the
/// interval so far that the next storm finds it unprepared.
const MOST_LEVEL: f32 = 2.0;
/// So many overlapping forecasts halve the speed of what is tracked: their errors come in runs.
const OVERLAP_HALF: f32 = 10.0;
/// What misses at an end have taught makes the probability of values beyond another level no smaller than
/// this share of itself: of the middle they say little.
const LEAST_TAUGHT: f32 = 0.25;
/// Correction for few residuals: of overlapping forecasts this share shows nothing new.
pub(super) const REPEATED: f32 = 0.75;
/// No end is further out than this multiple of the greatest residual seen on its side.
const BEYOND_SEEN: f32 = 1.25;
/// Ends are moved out by this share of the scale: many series rest at one value, which must not fall
/// outside by a rounding error.
pub(super) const HAIR: f32 = 1e-3;

/// Intervals of one series at one horizon.
#[derive(Debug, Clone)]
pub(super) struct Conformal {
    /// Share of misses to settle at, on each side.
    target: f32,
    /// Forecasts under way at once.
    overlap: f32,
    scale: Scale,
    /// Least and greatest residual seen, zero included.
    extremes: [f32; 2],
    /// Newest normalised residuals, in a ring.
    ring: Vec<f32>,
    next: usize,
    /// The same, ascending.
    sorted: Vec<f32>,
    /// Tracked level: below, above.
    levels: [f32; 2],
    /// Ends of the interval in units of the scale.
    ends: [f32; 2],
}

impl Conformal {
    /// No residuals yet. `interval` is the nominal coverage, `overlap` how many forecasts are under
    /// way at once, `past` what the overall scale is learnt from.
    pub(super) fn new(interval: f32, overlap: usize, past: &[Seen], mode: Mode) -> Self {
        let target = (1.0 - interval) / 2.0 * AIMED_SHARE;
        let overlap = overlap as f32;
        let extremes = past.iter().fold([0.0_f32; 2], |[low, high], seen| {
            [low.min(seen.residual), high.max(seen.residual)]
        });
        Self {
            target,
            overlap,
            scale: Scale::new(past, mode, overlap, slower(overlap)),
            extremes,
            ring: Vec::new(),
            next: 0,
            sorted: Vec::new(),
            levels: [target; 2],
            ends: [f32::NAN; 2],
        }
    }

    /// The scale of residuals around a forecast, and the middle of the interval.
    pub(super) fn around(&self, bin: usize, expected: f32) -> (f32, f32) {
        let centre = self.scale.centre(expected);
        (self.scale.at(bin, centre), centre)
    }

    /// Lower and upper end around the middle; `None` before there are enough residuals.
    pub(super) fn interval(&self, scale: f32, centre: f32) -> Option<(f32, f32)> {
        (self.ring.len() >= LEAST_RESIDUALS).then(|| {
            let [least, greatest] = self.extremes.map(|extreme| extreme * BEYOND_SEEN);
            let hair = scale * HAIR + centre.abs() * (4.0 * f32::EPSILON);
            // An interval always holds its own forecast, however skewed the residuals are.
            let below = (scale * self.ends[0]).clamp(least, 0.0);
            let above = (scale * self.ends[1]).clamp(0.0, greatest);
            (centre + below - hair, centre + above + hair)
        })
    }

    /// The value below which a share `level` (0 to 1) of actual values is expected, around the middle;
    /// `None` before there are enough residuals. What misses have taught of the ends goes for levels
    /// between them too, the less the nearer to the middle.
    pub(super) fn quantile(&self, level: f32, scale: f32, centre: f32) -> Option<f32> {
        if self.ring.len() < LEAST_RESIDUALS {
            return None;
        }
        let side = usize::from(level > 0.5);
        let tail = level.min(1.0 - level);
        // 0 in the middle, 1 at the ends that are tracked, more beyond.
        let out = (0.5 - tail) / (0.5 - self.target);
        let taught = (self.levels[side] / self.target).max(LEAST_TAUGHT);
        let tail = tail * taught.powf(out * out);
        let few = 1.0 + out * self.few();
        let at = if side == 1 { 1.0 - tail } else { tail };
        let [least, greatest] = self.extremes.map(|extreme| extreme * BEYOND_SEEN);
        let residual = few * quantile(&self.sorted, at);
        Some(centre + (scale * residual).clamp(least, greatest))
    }

    /// Takes in a resolved forecast: what was seen (`residual` from the middle of its interval), the
    /// scale it was given, and where an interval was given, whether the value was below or above it.
    pub(super) fn observe(&mut self, seen: &Seen, scale: f32, missed: Option<[bool; 2]>) {
        self.keep(seen.residual / scale);
        let [low, high] = self.extremes;
        self.extremes = [low.min(seen.residual), high.max(seen.residual)];
        self.scale.learn(seen);
        for (level, missed) in self.levels.iter_mut().zip(missed.into_iter().flatten()) {
            let error = if missed { 1.0 } else { 0.0 };
            let step = LEVEL_STEP * slower(self.overlap) * (self.target - error);
            *level = (*level + step).clamp(0.0, MOST_LEVEL * self.target);
        }
        let few = self.few();
        let [below, above] = self.levels;
        self.ends = [below, 1.0 - above].map(|level| (1.0 + few) * quantile(&self.sorted, level));
    }

    /// How much further out the ends are because there are few residuals, as a share.
    fn few(&self) -> f32 {
        (1.0 + REPEATED * self.overlap) / self.sorted.len() as f32
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        (self.ring.capacity() + self.sorted.capacity()) * size_of::<f32>()
    }

    fn keep(&mut self, score: f32) {
        if self.ring.len() == KEPT_RESIDUALS {
            let old = std::mem::replace(&mut self.ring[self.next], score);
            self.next = (self.next + 1) % KEPT_RESIDUALS;
            let at = self.sorted.partition_point(|&kept| kept < old);
            self.sorted.remove(at);
        } else {
            self.ring.push(score);
        }
        let at = self.sorted.partition_point(|&kept| kept < score);
        self.sorted.insert(at, score);
    }
}

fn slower(overlap: f32) -> f32 {
    OVERLAP_HALF / (OVERLAP_HALF + overlap)
}

/// The conformal quantile: of `n` values plus the one to come, between the two nearest.
fn quantile(sorted: &[f32], level: f32) -> f32 {
    let last = sorted.len() - 1;
    let position = level * (sorted.len() + 1) as f32 - 1.0;
    let position = position.clamp(0.0, last as f32);
    let below = position as usize;
    let share = position - below as f32;
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    low + share * (high - low)
}
