//! What very many series let go of: who was silent for long, what other shards carry, and the holes they leave.

use super::{GROWTH, Ring, State, Wide};
use crate::{
    intake::{Shape, raw::Raw, recorder::FORGOTTEN_AFTER},
    series::{Millis, Share},
};
use std::collections::HashMap;

impl Wide {
    /// Forgets series that were silent for long; gives their places.
    pub(in crate::intake) fn tidy(&mut self, shape: &Shape, now: Millis) -> Vec<u32> {
        let reach = shape.selection.reach();
        let asked_for = self.grid.index(now) - shape.history as i64;
        let base = self.base.unwrap_or(0);
        let mut gone = Vec::new();
        for place in 0..self.rows.len() {
            let row = &self.rows[place];
            if row.state == State::Empty {
                continue;
            }
            if row.is_ahead {
                self.settle(place as u32, now);
            }
            let row = &self.rows[place];
            let seen = i64::from(row.seen) * 1_000;
            let newest = row.ring.newest();
            let newest = newest.map_or(seen, |newest| self.time_of(newest.0).min(now));
            let slot = row.slot(base);
            let row = &mut self.rows[place];
            if newest < now - reach && row.state == State::Live {
                row.state = State::Ended;
                self.arrivals.ended(slot);
            }
            // Steps that are asked for are kept, and what is looked back to from them.
            let is_asked_for = self.grid.index(newest + reach) >= asked_for;
            if seen.max(newest) < now - reach - FORGOTTEN_AFTER && !is_asked_for {
                self.vacate(place as u32);
                gone.push(place as u32);
            }
        }
        gone
    }

    /// Forgets the series of other shards; gives their places.
    pub(in crate::intake) fn forget_foreign(&mut self, share: &Share) -> Vec<u32> {
        let base = self.base.unwrap_or(0);
        let mut gone = Vec::new();
        for place in 0..self.rows.len() {
            let row = &self.rows[place];
            if row.state == State::Empty || share.has(&row.labels) {
                continue;
            }
            if row.state == State::Live {
                self.arrivals.ended(row.slot(base));
            }
            self.vacate(place as u32);
            gone.push(place as u32);
        }
        gone
    }

    /// Leaves a row empty.
    fn vacate(&mut self, place: u32) {
        let row = &mut self.rows[place as usize];
        row.state = State::Empty;
        row.ring = Ring::default();
        row.is_ahead = false;
        self.ahead.remove(&place);
        self.empty.insert(row.labels.clone(), place);
        self.members -= 1;
    }

    /// Keeps a series as all others, now that the clock has come to its samples.
    fn settle(&mut self, place: u32, now: Millis) {
        let raw = self.ahead.get(&place);
        let newest = raw.and_then(Raw::newest).map(|newest| newest.0);
        if newest.is_some_and(|newest| self.grid.index(newest) > self.grid.index(now)) {
            return;
        }
        let Some(raw) = self.ahead.remove(&place) else {
            return;
        };
        let ring = self.ring_of(&raw);
        let base = self.base.unwrap_or(0);
        let row = &mut self.rows[place as usize];
        let before = row.slot(base);
        (row.ring, row.is_ahead) = (ring, false);
        // Its newest step may be newer than it was when its samples came.
        let slot = row.slot(base);
        if row.state == State::Live && slot != before {
            self.arrivals.ended(before);
            self.arrivals.came(None, slot);
        }
    }

    /// Moves rows together once an eighth of them is empty; gives the new place of each.
    pub(in crate::intake) fn compact(&mut self) -> Option<Vec<u32>> {
        let empty = self.rows.len() - self.members;
        if empty == 0 || empty < self.rows.len() / 8 {
            return None;
        }
        let (mut next, mut moved) = (0, Vec::with_capacity(self.rows.len()));
        let mut ahead = HashMap::new();
        for (place, row) in self.rows.iter().enumerate() {
            if row.state == State::Empty {
                moved.push(u32::MAX);
                continue;
            }
            if let Some(raw) = self.ahead.remove(&(place as u32)) {
                ahead.insert(next, raw);
            }
            moved.push(next);
            next += 1;
        }
        self.rows.retain(|row| row.state != State::Empty);
        self.rows
            .shrink_to(self.rows.len() + self.rows.len() / GROWTH);
        self.ahead = ahead;
        self.empty = HashMap::new();
        self.numbering += 1;
        Some(moved)
    }
}
