//! Signals side by side: joining the series of several signals on labels.

use super::labels::Labels;
use std::collections::BTreeMap;

/// Series of several signals, joined: one row per entity, one column per signal.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Joined {
    /// The entities, sorted.
    pub entities: Vec<Labels>,
    /// Number of columns.
    pub channels: usize,
    /// Row by row; `NaN` where a signal has no series for the entity, or more than one.
    pub values: Vec<f32>,
    /// Series left out because another one of the same signal is of the same entity.
    pub ambiguous: usize,
}

impl Joined {
    /// The row of `entities[index]`.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.channels..(index + 1) * self.channels]
    }
}

/// Joins `channels`, each the series of one signal with the labels that name their entity.
pub fn join(channels: &[Vec<(Labels, f32)>]) -> Joined {
    let mut rows: BTreeMap<&Labels, Vec<(f32, u32)>> = BTreeMap::new();
    for (channel, series) in channels.iter().enumerate() {
        for (entity, value) in series {
            let row = rows
                .entry(entity)
                .or_insert_with(|| vec![(f32::NAN, 0); channels.len()]);
            let (cell, seen) = &mut row[channel];
            *seen += 1;
            // Two series for one cell: taking either would depend on their order.
            *cell = if *seen == 1 { *value } else { f32::NAN };
        }
    }
    let cells = rows.values().flatten();
    Joined {
        entities: rows.keys().map(|&entity| entity.clone()).collect(),
        channels: channels.len(),
        values: cells.clone().map(|(value, _)| *value).collect(),
        ambiguous: cells.map(|(_, seen)| seen.saturating_sub(1) as usize).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> Labels {
        Labels::new([("instance", name)]).unwrap()
    }

    #[test]
    fn rows_are_entities_and_gaps_stay_gaps() {
        let cpu = vec![(host("b"), 2.0), (host("a"), 1.0)];
        let memory = vec![(host("b"), 20.0)];
        let joined = join(&[cpu, memory]);
        assert_eq!(joined.entities, [host("a"), host("b")]);
        assert_eq!(joined.row(1), [2.0, 20.0]);
        assert_eq!(joined.row(0)[0], 1.0);
        assert!(joined.row(0)[1].is_nan());
    }

    #[test]
    fn two_series_for_one_cell_are_no_value() {
        let cpu = vec![(host("a"), 1.0), (host("a"), 5.0)];
        let joined = join(&[cpu]);
        assert!(joined.row(0)[0].is_nan());
        assert_eq!(joined.ambiguous, 1);
    }
}
