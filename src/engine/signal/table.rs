//! Samples in columns: what [`SignalUnit::ingest`] does, without looking a series up again that was in the table before.

use super::{
    SignalUnit,
    places::{number, place},
};
use crate::{
    series::{Labels, Millis},
    source::{Known, Table},
};

/// One column: grid index, grid time, values by row.
type Column<'t> = (i64, Millis, &'t [f32]);

impl SignalUnit {
    /// Whether tables are worth asking for: a deep series costs so much more that it makes no difference.
    pub fn takes_tables(&self) -> bool {
        !self.plan.deep
    }

    /// What [`SignalUnit::ingest_table`] knows of the rows of the tables that came.
    pub fn known(&self) -> Option<Known> {
        self.rows.known()
    }

    /// As [`SignalUnit::ingest`], of columns. `false`: the table tells of labels that came before and are not known; it is to be
    /// asked for again with [`SignalUnit::known`], and nothing of it was taken in.
    pub fn ingest_table(&mut self, table: &Table) -> bool {
        if !self.rows.begin(table.key, table.first_label) {
            return false;
        }
        let columns: Vec<Column<'_>> = table
            .columns()
            .map(|(at, values)| (self.plan.grid.index(at), at, values))
            .collect();
        let newest = self.newest_for_windows();
        // Whoever is known first: nobody is taken for silent whose sample comes next.
        let mut others = Vec::new();
        for row in 0..table.first_label.min(table.rows) {
            match self.rows.place(row) {
                Some(place) => self.put_row(row, place, &columns, newest),
                None if first(row, &columns).is_some() => others.push(row),
                None => {}
            }
        }
        let mut newcomers = Vec::new();
        for (row, labels) in (table.first_label..table.rows).zip(&table.labels) {
            match self.places.get(labels, super::labels_in(&self.shards)) {
                Some(place) => {
                    self.rows.push(place);
                    self.put_row(row, place, &columns, newest);
                }
                None => {
                    self.rows.push_nowhere();
                    newcomers.push((row, labels));
                }
            }
        }
        for row in others {
            if let Some(labels) = self.rows.labels(row) {
                self.begin_row(row, &labels, &columns, newest);
            }
        }
        for (row, labels) in newcomers {
            if !self.begin_row(row, labels, &columns, newest) {
                self.rows.keep(row, labels.clone());
            }
        }
        self.silent = None;
        true
    }

    /// Gives the series of a row a place as soon as it has a value; whether it has one.
    fn begin_row(
        &mut self,
        row: usize,
        labels: &Labels,
        columns: &[Column<'_>],
        newest: Millis,
    ) -> bool {
        let Some(first) = first(row, columns) else {
            return false;
        };
        let Some((shard, slot)) = self.place(labels, first) else {
            self.refused += 1;
            return false;
        };
        let place = number(shard, slot);
        self.rows.assign(row, place);
        self.put_row(row, place, columns, newest);
        true
    }

    fn put_row(&mut self, row: usize, own: u32, columns: &[Column<'_>], newest: Millis) {
        let (shard, slot) = place(own);
        let shard = &mut self.shards[shard];
        for &(index, at, values) in columns {
            let value = values[row];
            if !value.is_finite() {
                continue;
            }
            if at > newest {
                shard.put_ahead(slot, at, value);
            } else if shard.put_at(slot, (index, at), value) {
                self.corrections += 1;
            }
        }
    }
}

/// The grid time of the first value of a row.
fn first(row: usize, columns: &[Column<'_>]) -> Option<Millis> {
    let mut columns = columns.iter();
    let first = columns.find(|(_, _, values)| values[row].is_finite());
    first.map(|(_, at, _)| *at)
}
