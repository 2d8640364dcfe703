//! How far a reading is outside everything seen so far: the decaying envelope of its past.

use super::{MAX_SCORE, UNMEASURED};
use std::f64::consts::LN_2;

/// The range of a [`Ceiling`] is learned in blocks of so many steps.
const BLOCK: i64 = 30;
/// It loses half of its width in so many steps, if nothing renews it.
const HALF_LIFE: f64 = 10_000.0;
const LOSS: f32 = (LN_2 / HALF_LIFE) as f32;
/// The extremes of so few readings tell half of what they will.
const YOUNG: f32 = 300.0;

/// The decaying minimum and maximum of one reading of one series. Readings enter it one to two blocks later:
/// what is new stays new for long enough to be confirmed, and is ordinary afterwards. 24 bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Channel {
    /// What is known: all blocks but the running one and the one before.
    known: Range,
    /// The running block and the one before.
    waiting: [Range; 2],
}

impl Channel {
    /// Nothing is known.
    pub(super) const EMPTY: Self = Self {
        known: Range::EMPTY,
        waiting: [Range::EMPTY; 2],
    };

    /// A block ends: the one before it becomes known.
    pub(super) fn turn(&mut self) {
        self.known = self.known.join(self.waiting[1]);
        self.waiting = [Range::EMPTY, self.waiting[0]];
    }

    /// From the lower edge to the upper one.
    pub(super) fn width(&self) -> f32 {
        (self.known.high - self.known.low).max(0.0)
    }

    /// How far a reading is outside, before it is taken in; `slack` beyond the edge is still inside.
    pub(super) fn step(&mut self, reading: f32, slack: f32, loss: f32) -> Outside {
        self.waiting[0] = self.waiting[0].join(Range {
            low: reading,
            high: reading,
        });
        let Range { low, high } = self.known;
        let width = high - low;
        let (side, edge) = if reading > high {
            (1.0, high)
        } else {
            (-1.0, low)
        };
        let distance = (reading - edge) * side - slack;
        self.known.low += 0.5 * loss * width;
        self.known.high -= 0.5 * loss * width;
        let share = if width.is_nan() || width < 0.0 {
            // Nothing is known yet.
            f32::NAN
        } else if distance <= 0.0 {
            0.0
        } else if width > 0.0 {
            distance / width
        } else {
            f32::INFINITY
        };
        Outside { share, side, edge }
    }
}

/// Where a reading is, seen from an envelope.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outside {
    /// The distance relative to the width: 0 inside, infinite without a width, `NaN` where nothing is known.
    pub(super) share: f32,
    /// 1 above, -1 below (or inside).
    pub(super) side: f32,
    /// The nearer edge.
    pub(super) edge: f32,
}

#[derive(Debug, Clone, Copy)]
struct Range {
    low: f32,
    high: f32,
}

impl Range {
    const EMPTY: Self = Self {
        low: f32::INFINITY,
        high: f32::NEG_INFINITY,
    };

    fn join(self, other: Self) -> Self {
        Self {
            low: self.low.min(other.low),
            high: self.high.max(other.high),
        }
    }
}

/// The range of a distance from all that is known, of which only more than ever is news. 28 bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ceiling {
    range: Channel,
    /// Readings taken in.
    seen: u32,
}

impl Ceiling {
    /// Nothing is known.
    pub(super) const EMPTY: Self = Self {
        range: Channel::EMPTY,
        seen: 0,
    };
    /// Of the range less than half a percent is left after eight half-lives.
    pub(super) const MEMORY: usize = (8.0 * HALF_LIFE) as usize;

    /// Every grid time begins with its index.
    pub(super) fn pass(&mut self, index: i64) {
        if index % BLOCK == 0 {
            self.range.turn();
        }
    }

    /// The score of a reading, which is taken in: 1 where it is above the range by `slack` and `novelty` widths of
    /// the range; `NaN` while nothing is known.
    pub(super) fn score(&mut self, reading: f32, slack: f32, novelty: f32) -> f32 {
        self.seen = self.seen.saturating_add(1);
        let outside = self.range.step(reading, slack, LOSS);
        let young = YOUNG / self.seen as f32;
        match outside.share {
            share if share.is_nan() => f32::NAN,
            // Less than ever: as ordinary as can be.
            _ if outside.side < 0.0 => 0.0,
            f32::INFINITY => UNMEASURED,
            share => (share / (novelty * (1.0 + young))).min(MAX_SCORE),
        }
    }
}
