//! Where nobody reads the other series of a wide signal, an outcome has only those that are anomalous or were so lately. The
//! others are counted where they are judged, and what was worked out of them is let go of shard by shard: a million series
//! take no more room in a step than those of a few shards.

use super::{columns::Columns, groups::Tally, shard::Shard};

/// Steps that a series is still told of after its verdict ended: as long as somebody needs who reads only now and then, and
/// wants to know that it is over.
pub(super) const LATELY: i64 = 60;

/// How many series of a shard there were of which kind in one step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// With a value.
    pub(super) valued: usize,
    /// Of those, without a score.
    pub(super) unscored: usize,
    /// Of those, of which something was expected.
    pub(super) expected: usize,
    /// Of those, whose verdict is on.
    pub(super) active: usize,
}

impl Seen {
    /// Of all shards.
    pub(super) fn of(shards: &[Shard]) -> Self {
        let all = shards.iter().map(|shard| shard.seen);
        all.fold(Self::default(), |one, other| Self {
            valued: one.valued + other.valued,
            unscored: one.unscored + other.unscored,
            expected: one.expected + other.expected,
            active: one.active + other.active,
        })
    }
}

impl Shard {
    /// Counts what the step found and keeps the columns of the series that are told of; gives the columns of all, for their
    /// memory.
    pub(super) fn keep_shown(&mut self, mut tally: Tally<'_>) -> Columns {
        let mut seen = Seen::default();
        let columns = &self.columns;
        for (position, &slot) in columns.slots.iter().enumerate() {
            if columns.verdicts[position].active {
                self.lately.insert(slot, self.newest);
            }
            if !columns.values[position].is_finite() {
                continue;
            }
            seen.valued += 1;
            seen.expected += usize::from(columns.bands[position].is_known());
            seen.active += usize::from(columns.verdicts[position].active);
            if columns.news[position].is_nan() {
                seen.unscored += 1;
            } else {
                tally.count(slot);
            }
        }
        tally.end();
        self.seen = seen;
        let looked = columns.slots.iter().zip(&columns.values);
        let doubted = looked.zip(&columns.doubts);
        let doubted = doubted.filter_map(|((&slot, &value), doubt)| Some((slot, value, (*doubt)?)));
        self.doubted = doubted.collect();
        let newest = self.newest;
        self.lately.retain(|_, last| newest - *last <= LATELY);
        let slots = &columns.slots;
        let positions = self.lately.keys();
        let positions = positions.filter_map(|slot| slots.binary_search(slot).ok());
        let shown = columns.picked(&positions.collect::<Vec<_>>());
        let mut all = std::mem::replace(&mut self.columns, shown);
        // What is not of one series.
        let shown = &mut self.columns;
        shown.panics.append(&mut all.panics);
        shown.failures.append(&mut all.failures);
        (shown.late_pieces, shown.late_refits) = (all.late_pieces, all.late_refits);
        shown.outdated = all.outdated;
        all
    }
}

impl Columns {
    /// The same of the series at these positions only. There are no forecasts.
    fn picked(&self, positions: &[usize]) -> Self {
        fn of<T: Copy>(column: &[T], positions: &[usize]) -> Vec<T> {
            let own = positions.iter().map(|&position| column[position]);
            own.collect()
        }
        Self {
            slots: of(&self.slots, positions),
            values: of(&self.values, positions),
            bands: of(&self.bands, positions),
            scores: self
                .scores
                .iter()
                .map(|column| of(column, positions))
                .collect(),
            lenient: of(&self.lenient, positions),
            combined: of(&self.combined, positions),
            news: of(&self.news, positions),
            verdicts: of(&self.verdicts, positions),
            ..Self::default()
        }
    }
}
