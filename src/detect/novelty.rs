//! How far a reading is outside everything seen so far: the decaying envelope of its past.

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
