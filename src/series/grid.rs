//! The time grid of a signal: multiples of its step since the Unix epoch.

/// Milliseconds since the Unix epoch, or a span in milliseconds.
pub type Millis = i64;

/// Grid times are the whole multiples of `step`, so every replica has the same ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    step: Millis,
}

impl Grid {
    /// A grid with a step of `step` milliseconds; `None` unless the step is positive.
    pub fn new(step: Millis) -> Option<Self> {
        (step > 0).then_some(Self { step })
    }

    /// The spacing in milliseconds.
    pub fn step(self) -> Millis {
        self.step
    }

    /// The newest grid time that is not after `time`.
    pub fn floor(self, time: Millis) -> Millis {
        time.div_euclid(self.step) * self.step
    }

    /// The number of `time`'s grid slot since the epoch.
    pub fn index(self, time: Millis) -> i64 {
        time.div_euclid(self.step)
    }

    /// How many whole steps fit into `span`.
    pub fn steps(self, span: Millis) -> usize {
        usize::try_from(span / self.step).unwrap_or(0)
    }

    /// How many steps are needed to cover `span`.
    pub fn steps_up(self, span: Millis) -> usize {
        usize::try_from(span.max(0).div_euclid(self.step) + i64::from(span.max(0) % self.step != 0))
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floors_towards_the_past_even_before_the_epoch() {
        let grid = Grid::new(60_000).unwrap();
        assert_eq!(grid.floor(119_999), 60_000);
        assert_eq!(grid.floor(-1), -60_000);
        assert_eq!(grid.index(-1), -1);
        assert_eq!(grid.steps_up(60_001), 2);
        assert_eq!(grid.steps(119_999), 1);
        assert!(Grid::new(0).is_none());
    }
}
