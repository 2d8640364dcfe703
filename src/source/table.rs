//! Values in columns: what a source that has them in memory gives of very many series, without a list for each of them.

use super::RangeRequest;
use crate::series::{Labels, Millis};

/// Asks for values in columns, see [`Source::table`](super::Source::table).
#[derive(Debug, Clone, PartialEq)]
pub struct TableRequest {
    /// What is asked for. Of more series than `max_series` that have a value, those that came first are given; the others are
    /// counted in [`Table::dropped`], and their values are `NaN`.
    pub range: RangeRequest,
    /// What the asker knows already.
    pub known: Option<Known>,
}

/// What is known of a table from the answer before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Of [`Table::key`].
    pub key: u64,
    /// Of [`Table::rows`].
    pub rows: usize,
}

/// Values of many series at some grid times, in columns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// Another number: rows stand for other series than before, and all have to be looked up anew. Unique in the process.
    pub key: u64,
    /// Series, those that are no more included: as long as `key` is the same, a row stands for the same series, and new ones are
    /// appended.
    pub rows: usize,
    /// The row of the first of `labels`: those before are known to who asked.
    pub first_label: usize,
    /// The labels of the rows from `first_label` on, `__name__` removed; no two rows have the same.
    pub labels: Vec<Labels>,
    /// The first grid time.
    pub start: Millis,
    /// From one grid time to the next, in milliseconds.
    pub step: Millis,
    /// Column after column, each of `rows` values: column `k` is that of the grid time `start + k * step`. `NaN` is a gap; no
    /// value is infinite.
    pub values: Vec<f32>,
    /// Series over the limit that were left out.
    pub dropped: usize,
    /// Series that other shards carry: their values are `NaN`.
    pub foreign: usize,
}

impl Table {
    /// Grid times, in ascending order, and the values of all rows at each.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = (Millis, &[f32])> {
        let columns = self.values.chunks_exact(self.rows.max(1)).enumerate();
        columns.map(|(place, values)| (self.start + place as Millis * self.step, values))
    }
}
