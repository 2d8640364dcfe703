//! How large the residuals of one series at one horizon are, by circumstances: what conformal
//! intervals are measured in.

/// Parts of the season that have a usual residual size of their own.
pub(super) const BINS: usize = 24;
/// Weight of the overall size in the size of one part, in independent residuals.
const BIN_PRIOR: f32 = 10.0;
/// How much of each overlapping forecast's error repeats the one before it, for that weight.
const REPEATED: f32 = 0.03;
/// Sizes of parts differ from the overall size by at most this factor downwards.
const LEAST_SHARE: f32 = 1e-3;
/// How far busy and idle may move the size.
const BUSY_BOUNDS: (f32, f32) = (0.2, 5.0);
/// How far recent residuals may: one outlier must not.
const RECENT_BOUNDS: (f32, f32) = (0.25, 4.0);
/// Weight of the newest residual in the recent size.
const RECENT_WEIGHT: f32 = 0.05;

/// What the size of residuals follows, besides being what it is overall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mode {
    /// The time of the season: nights are quiet.
    seasonal: bool,
    /// How far the forecast is above the floor of the series: busy is noisy.
    level: bool,
    /// The recent size: trouble lasts.
    recent: bool,
    /// The centre follows the mean of recent residuals: the forecast lags behind a trend.
    drift: bool,
}

impl Mode {
    /// The plainest first: it is kept unless another does better.
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
        let (recent, drift) = (true, true);
        [
            Self { recent, ..self },
            Self { drift, ..self },
            Self {
                recent,
                drift,
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
    /// The middle of its interval.
    pub(super) expected: f32,
    /// Actual value minus that.
    pub(super) residual: f32,
}

/// The scale of residuals, learnt as they come.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    mode: Mode,
    overall: f32,
    floor: Option<Floor>,
    /// Weight of the overall size in that of a part.
    prior: f32,
    /// By part of the season.
    sums: [f32; BINS],
    counts: [f32; BINS],
    /// Weight of the newest residual in what follows.
    weight: f32,
    /// Recent size relative to the usual one.
    recent: f32,
    /// Recent mean residual of the model: what is left of it around the centre moves it on.
    drift: f32,
}

impl Scale {
    /// Of what was seen in the past only the overall size and the floor are used: the rest is learnt
    /// causally, so that an interval on the way is as good or bad as one after it. `slower` (0 to 1) is
    /// for forecasts that overlap, whose errors repeat each other.
    pub(super) fn new(past: &[Seen], mode: Mode, overlap: f32, slower: f32) -> Self {
        let floor = if mode.level { Floor::of(past) } else { None };
        let mut scale = Self {
            mode,
            overall: 1.0,
            floor,
            prior: BIN_PRIOR * (1.0 + REPEATED * overlap),
            sums: [0.0; BINS],
            counts: [0.0; BINS],
            weight: RECENT_WEIGHT * slower,
            recent: 1.0,
            drift: 0.0,
        };
        let sum: f32 = past.iter().map(|seen| scale.plain(seen)).sum();
        let overall = sum / (past.len() as f32).max(1.0);
        // Where nothing ever erred any positive size will do: the ends are multiples of zero.
        scale.overall = if overall > 0.0 {
            overall
        } else {
            f32::MIN_POSITIVE.sqrt()
        };
        scale
    }

    /// Residual size to expect around the middle of an interval. Never zero.
    pub(super) fn at(&self, bin: usize, expected: f32) -> f32 {
        let (least, most) = RECENT_BOUNDS;
        self.usual(bin) * self.busy(expected) * self.recent.clamp(least, most)
    }

    /// The middle of an interval around a forecast.
    pub(super) fn centre(&self, expected: f32) -> f32 {
        expected + self.drift
    }

    /// Takes in a resolved forecast.
    pub(super) fn learn(&mut self, seen: &Seen) {
        let size = self.plain(seen);
        let relative = (size / self.usual(seen.bin)).min(2.0 * RECENT_BOUNDS.1);
        if self.mode.recent {
            self.recent += self.weight * (relative - self.recent);
        }
        if self.mode.drift {
            self.drift += self.weight * seen.residual;
        }
        self.sums[seen.bin] += size;
        self.counts[seen.bin] += 1.0;
    }

    /// Size as it would be at the usual level.
    fn plain(&self, seen: &Seen) -> f32 {
        seen.residual.abs() / self.busy(seen.expected)
    }

    fn busy(&self, expected: f32) -> f32 {
        self.floor.map_or(1.0, |floor| floor.busy(expected))
    }

    fn usual(&self, bin: usize) -> f32 {
        if !self.mode.seasonal {
            return self.overall;
        }
        let sum = self.sums[bin] + self.prior * self.overall;
        (sum / (self.counts[bin] + self.prior)).max(LEAST_SHARE * self.overall)
    }
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
    fn busy(self, expected: f32) -> f32 {
        let (least, most) = BUSY_BOUNDS;
        ((expected - self.low) / self.span).clamp(least, most)
    }
}
