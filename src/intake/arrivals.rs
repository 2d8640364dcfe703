//! Who has a sample of the newest step, and who is still waited for.

/// How many series have a sample of the newest step that anybody has one of.
#[derive(Debug, Clone)]
pub(super) struct Arrivals {
    /// The newest step that anybody has a sample of.
    open: i64,
    /// Series that are expected and have one of it.
    arrived: usize,
    /// Series that are expected to have more samples.
    live: usize,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self {
            open: i64::MIN,
            arrived: 0,
            live: 0,
        }
    }
}

impl Arrivals {
    /// Of the newest steps of all series that are expected.
    pub(super) fn of(slots: impl Iterator<Item = i64>) -> Self {
        let mut all = Self::default();
        slots.for_each(|slot| all.came(None, slot));
        all
    }

    /// A series has a sample of `slot`; `before` is the newest step that it had one of, where it was expected.
    pub(super) fn came(&mut self, before: Option<i64>, slot: i64) {
        self.live += usize::from(before.is_none());
        if slot > self.open {
            (self.open, self.arrived) = (slot, 1);
        } else if slot == self.open && before != Some(slot) {
            self.arrived += 1;
        }
    }

    /// A series that was expected, and whose newest step is `slot`, is not any more.
    pub(super) fn ended(&mut self, slot: i64) {
        self.live -= 1;
        self.arrived -= usize::from(slot == self.open);
    }

    /// The newest step of which every series that is expected has a sample.
    pub(super) fn complete(&self) -> Option<i64> {
        (self.live > 0 && self.arrived >= self.live).then_some(self.open)
    }
}
