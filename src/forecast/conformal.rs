//! Conformal intervals: as wide as the recent errors at the same horizon were, whatever the model says.
//!
//! Residuals are divided by a local scale (their usual size at that time of the season, times their
//! recent size), so that quiet nights have narrow intervals and busy hours wide ones. The interval's
//! ends are quantiles of the newest normalised residuals, lower and upper apart because loads are
//! skewed. Each end's level is tracked: a miss widens, a hit narrows, by steps that balance at the
//! nominal rate (adaptive conformal inference: Gibbs & Candès 2021, arXiv:2106.00170; with feedback
//! delayed by the horizon, as in Angelopoulos, Candès & Tibshirani 2023, arXiv:2307.16895).

/// An interval of fewer residuals would be a guess.
pub(super) const LEAST_RESIDUALS: usize = 20;
/// Newest normalised residuals kept.
pub(super) const KEPT_RESIDUALS: usize = 512;
/// Parts of the season that have a usual residual size of their own.
pub(super) const BINS: usize = 24;
/// Weight of the overall size in the size of one part, in residuals: parts with few stay near it.
const BIN_PRIOR: f32 = 10.0;
/// Step of the tracked level, per resolved forecast.
const LEVEL_STEP: f32 = 0.01;
/// Weight of the newest residual in the recent size.
const RECENT_WEIGHT: f32 = 0.05;
/// Forecasts under way at once that halve both.
const OVERLAP_HALF: f32 = 10.0;
const HAIR: f32 = 1e-3;

/// The recent size moves the interval only within these bounds: one outlier must not.
const RECENT_BOUNDS: (f32, f32) = (0.25, 4.0);

/// What the scale of residuals follows, besides their overall size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mode {
    /// The time of the season.
    pub(super) seasonal: bool,
    /// How far the forecast is above the floor of the series: busy is noisy.
    pub(super) level: bool,
    /// Their recent size.
    pub(super) recent: bool,
    /// The interval's centre follows the mean of recent residuals: the model lags behind a trend.
    pub(super) drift: bool,
}

impl Mode {
    /// What the scale follows, the plainest first: it is kept unless another does better.
    pub(super) const SCALES: [Self; 3] = [
        Self::of(false, false),
        Self::of(true, false),
        Self::of(false, true),
    ];

    const fn of(seasonal: bool, level: bool) -> Self {
        Self {
            seasonal,
            level,
            recent: false,
            drift: false,
        }
    }

    /// The same with what may be added.
    pub(super) fn refined(self) -> [Self; 3] {
        [
            Self {
                recent: true,
                ..self
            },
            Self {
                drift: true,
                ..self
            },
            Self {
                recent: true,
                drift: true,
                ..self
            },
        ]
    }
}

/// A forecast and what came of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// Part of the season.
    pub(super) bin: usize,
    pub(super) expected: f32,
    pub(super) residual: f32,
}

/// Where a series is when idle, and how far above that it usually is.
#[derive(Debug, Clone, Copy)]
struct Floor {
    low: f32,
    span: f32,
}

impl Floor {
    fn of(past: &[Seen]) -> Option<Self> {
        let actual = |seen: &Seen| seen.expected + seen.residual;
        let low = past.iter().map(actual).fold(f32::INFINITY, f32::min);
        let span = past.iter().map(|seen| actual(seen) - low).sum::<f32>() / past.len() as f32;
        (span > 0.0).then_some(Self { low, span })
    }

    /// How busy a forecast is, relative to what is usual.
    fn factor(self, expected: f32) -> f32 {
        ((expected - self.low) / self.span).clamp(0.2, 5.0)
    }
}

/// Intervals of one series at one horizon.
#[derive(Debug, Clone)]
pub(super) struct Conformal {
    /// Nominal share of misses on each side.
    nominal: f32,
    /// Forecasts under way at once: their errors come in runs of about this length.
    overlap: f32,
    mode: Mode,
    floor: Option<Floor>,
    runs: f32,
    /// Least and greatest residual seen.
    extremes: [f32; 2],
    /// Usual residual size by part of the season.
    usual: Sizes,
    /// Recent residual size relative to the usual one.
    recent: f32,
    /// Recent mean residual.
    drift: f32,
    /// Newest normalised residuals, in a ring.
    ring: Vec<f32>,
    next: usize,
    /// The same, ascending.
    sorted: Vec<f32>,
    /// Tracked share of misses aimed at: below, above.
    aimed: [f32; 2],
    /// Ends of the interval in units of the scale.
    ends: [f32; 2],
}

impl Conformal {
    /// No residuals yet; `interval` is the nominal coverage, `past` what sizes are learnt from.
    pub(super) fn new(interval: f32, past: &[Seen], overlap: usize, mode: Mode) -> Self {
        let nominal = (1.0 - interval) / 2.0 * knob(13, 1.0);
        let floor = if mode.level { Floor::of(past) } else { None };
        let runs = if knob(17, 1.0) > 0.0 {
            run_length(past, overlap)
        } else {
            overlap as f32
        };
        let overlap = overlap as f32;
        Self {
            nominal,
            runs,
            extremes: past.iter().fold([0.0_f32; 2], |[low, high], seen| {
                [low.min(seen.residual), high.max(seen.residual)]
            }),
            floor,
            overlap,
            mode,
            usual: Sizes::new(past, mode.seasonal, overlap, floor),
            recent: 1.0,
            drift: 0.0,
            ring: Vec::new(),
            next: 0,
            sorted: Vec::new(),
            aimed: [nominal; 2],
            ends: [f32::NAN; 2],
        }
    }

    /// Residual size to expect in a part of the season. Never zero.
    pub(super) fn scale(&self, bin: usize, expected: f32) -> f32 {
        let (least, most) = RECENT_BOUNDS;
        let busy = self.floor.map_or(1.0, |floor| floor.factor(expected));
        self.usual.at(bin) * busy * self.recent.clamp(least, most)
    }

    /// Lower and upper end around `expected`; `None` before there are enough residuals.
    pub(super) fn centre(&self, expected: f32) -> f32 {
        expected + self.drift
    }

    pub(super) fn interval(&self, expected: f32, scale: f32) -> Option<(f32, f32)> {
        (self.ring.len() >= LEAST_RESIDUALS).then(|| {
            // An interval always holds its own forecast, however skewed the residuals are.
            let [below, above] = self.ends;
            // Wider than rounding: many series rest at one value, which must not fall outside by a hair.
            let hair = scale * HAIR + expected.abs() * (4.0 * f32::EPSILON);
            (
                expected + (scale * below).clamp(knob(20, 1.25) * self.extremes[0], 0.0) - hair,
                expected + (scale * above).clamp(0.0, knob(20, 1.25) * self.extremes[1]) + hair,
            )
        })
    }

    /// Takes in a resolved forecast: its residual, the scale it was given, and where an interval was
    /// given, whether the actual value was below or above it.
    pub(super) fn observe(&mut self, seen: Seen, scale: f32, missed: Option<[bool; 2]>) {
        let Seen {
            bin,
            expected,
            residual,
        } = seen;
        self.keep(residual / scale);
        self.extremes = [
            self.extremes[0].min(residual),
            self.extremes[1].max(residual),
        ];
        let busy = self.floor.map_or(1.0, |floor| floor.factor(expected));
        let residual = residual.abs() / busy;
        let size = (residual / self.usual.at(bin)).min(RECENT_BOUNDS.1 * 2.0);
        let slower = knob(5, OVERLAP_HALF) / (knob(5, OVERLAP_HALF) + self.overlap);
        self.usual.learn(bin, residual);
        if self.mode.drift {
            self.drift += knob(16, RECENT_WEIGHT) * slower * seen.residual;
        }
        if self.mode.recent {
            self.recent += RECENT_WEIGHT * slower * (size - self.recent);
        }
        if let Some(missed) = missed {
            for (aimed, missed) in self.aimed.iter_mut().zip(missed) {
                let error = if missed { 1.0 } else { 0.0 };
                *aimed = (*aimed + LEVEL_STEP * knob(4, 1.0) * slower * (self.nominal - error))
                    .clamp(
                        if knob(19, 0.0) > 0.0 { -0.1 } else { 0.0 },
                        knob(12, 10.0) * self.nominal,
                    );
            }
        }
        let few = (1.0 + self.runs * knob(8, 0.5)) / self.sorted.len() as f32;
        let wider = 1.0 + knob(7, 1.0) * few;
        let end = |aimed: f32, level: f32| {
            let beyond = 1.0 + knob(19, 0.0) * (-aimed).max(0.0);
            wider * beyond * quantile(&self.sorted, level)
        };
        let [below, above] = self.aimed;
        self.ends = [end(below, below.max(0.0)), end(above, 1.0 - above.max(0.0))];
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

/// How many origins one error lasts: the sum of the residuals' autocorrelations up to the first that is
/// not positive. Errors of overlapping forecasts are the same error seen again; noise is not.
fn run_length(past: &[Seen], overlap: usize) -> f32 {
    let mean = past.iter().map(|seen| seen.residual).sum::<f32>() / past.len() as f32;
    let residuals: Vec<f32> = past.iter().map(|seen| seen.residual - mean).collect();
    let product = |lag: usize| -> f32 {
        residuals
            .iter()
            .zip(&residuals[lag..])
            .map(|(a, b)| a * b)
            .sum()
    };
    let variance = product(0);
    if variance <= 0.0 {
        return 0.0;
    }
    (1..residuals.len().min(2 * overlap + 2))
        .map(|lag| product(lag) / variance)
        .take_while(|&correlation| correlation > 0.0)
        .sum::<f32>()
        * knob(18, 2.0)
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

/// Mean absolute residual by part of the season, drawn towards the overall mean where a part has few.
#[derive(Debug, Clone)]
struct Sizes {
    overall: f32,
    sums: [f32; BINS],
    counts: [f32; BINS],
    seasonal: bool,
    prior: f32,
}

impl Sizes {
    fn new(past: &[Seen], seasonal: bool, overlap: f32, floor: Option<Floor>) -> Self {
        let size = |seen: &Seen| {
            seen.residual.abs() / floor.map_or(1.0, |floor| floor.factor(seen.expected))
        };
        let sum: f32 = past.iter().map(size).sum();
        let overall = sum / (past.len() as f32).max(1.0);
        // Where nothing ever erred any positive size will do: the ends are multiples of zero residuals.
        let overall = if overall > 0.0 {
            overall
        } else {
            f32::MIN_POSITIVE.sqrt()
        };
        let mut sizes = Self {
            overall,
            sums: [0.0; BINS],
            counts: [0.0; BINS],
            seasonal,
            prior: knob(2, 10.0) * (1.0 + overlap * knob(15, 0.0)),
        };
        if knob(14, 0.0) == 0.0 {
            for seen in past {
                sizes.sums[seen.bin] += size(seen);
                sizes.counts[seen.bin] += 1.0;
            }
        }
        sizes
    }

    fn at(&self, bin: usize) -> f32 {
        if !self.seasonal {
            return self.overall;
        }
        let size = (self.sums[bin] + self.prior * self.overall) / (self.counts[bin] + self.prior);
        size.max(self.overall * 1e-3)
    }

    fn learn(&mut self, bin: usize, size: f32) {
        if knob(14, 0.0) != 0.0 {
            self.sums[bin] += size;
            self.counts[bin] += 1.0;
        }
    }
}

#[allow(missing_docs)]
pub(super) fn knob(i: usize, default: f32) -> f32 {
    static K: std::sync::OnceLock<Vec<Option<f32>>> = std::sync::OnceLock::new();
    K.get_or_init(|| {
        std::env::var("KNOBS")
            .unwrap_or_default()
            .split(',')
            .map(|x| x.parse().ok())
            .collect()
    })
    .get(i)
    .copied()
    .flatten()
    .unwrap_or(default)
}
