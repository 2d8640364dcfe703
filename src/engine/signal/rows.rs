//! The rows of a source that gives tables: where the series of each lives, so that none is looked up again.

use super::places::NOWHERE;
use crate::{series::Labels, source::Known};
use std::collections::HashMap;

/// Rows of tables and places of series.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Of the newest table.
    key: u64,
    /// The place of the series of each row.
    places: Vec<u32>,
    /// The row of the series at each place.
    rows: Vec<u32>,
    /// The labels of rows without a place: none had a value yet, had none for long, or found no room.
    without: HashMap<u32, Labels>,
}

impl Rows {
    /// What is known; nothing before the first table.
    pub(super) fn known(&self) -> Option<Known> {
        (self.key != 0 || !self.places.is_empty()).then_some(Known {
            key: self.key,
            rows: self.places.len(),
        })
    }

    /// A table with this key came, with labels from row `first` on. Whether those before are known.
    pub(super) fn begin(&mut self, key: u64, first: usize) -> bool {
        if key != self.key || first < self.places.len() {
            *self = Self {
                key,
                ..Self::default()
            };
        }
        first == self.places.len()
    }

    /// The place of the series of a row.
    pub(super) fn place(&self, row: usize) -> Option<u32> {
        let place = self.places.get(row).copied();
        place.filter(|&place| place != NOWHERE)
    }

    /// Appends the next row, whose series lives there.
    pub(super) fn push(&mut self, place: u32) {
        self.places.push(NOWHERE);
        self.assign(self.places.len() - 1, place);
    }

    /// Appends the next row, whose series has no place. It gets one, or its labels are [kept](Self::keep).
    pub(super) fn push_nowhere(&mut self) {
        self.places.push(NOWHERE);
    }

    /// Remembers the labels of a row without a place.
    pub(super) fn keep(&mut self, row: usize, labels: Labels) {
        self.without.insert(row as u32, labels);
    }

    /// The labels of a row without a place.
    pub(super) fn labels(&self, row: usize) -> Option<Labels> {
        self.without.get(&(row as u32)).cloned()
    }

    /// The series of this row lives there from now on.
    pub(super) fn assign(&mut self, row: usize, place: u32) {
        self.without.remove(&(row as u32));
        self.places[row] = place;
        let place = place as usize;
        if self.rows.len() <= place {
            self.rows.resize(place + 1, NOWHERE);
        }
        self.rows[place] = row as u32;
    }

    /// The series at this place is forgotten; these are its labels.
    pub(super) fn evict(&mut self, place: u32, labels: Labels) {
        let own = self.rows.get_mut(place as usize);
        let row = own.map_or(NOWHERE, |own| std::mem::replace(own, NOWHERE));
        if let Some(own) = self.places.get_mut(row as usize) {
            *own = NOWHERE;
            self.without.insert(row, labels);
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        (self.places.capacity() + self.rows.capacity()) * size_of::<u32>()
            + self.without.capacity() * size_of::<(u32, Labels)>()
    }
}
