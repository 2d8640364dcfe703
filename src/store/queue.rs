//! What waits to be written.

use super::{SavedState, Store};
use crate::decide::Decision;
use std::collections::{BTreeMap, VecDeque};

/// Decisions that may wait: a thousand workloads that all change their mind every half minute fill it in five minutes,
/// ordinary ones in hours.
const MOST: usize = 10_000;
/// Rows of one transaction: others get their turn between two.
const PIECE: usize = 500;

/// What waits to be written: decisions in their order, and the newest state of each workload.
#[derive(Debug, Default)]
pub(super) struct Queue {
    decisions: VecDeque<Decision>,
    states: BTreeMap<String, SavedState>,
    /// Of what was taken out, what is not on disk yet.
    writing: usize,
    /// Decisions that were given up.
    pub(super) dropped: u64,
}

/// Some of what waits, taken out.
#[derive(Debug)]
struct Piece {
    decisions: Vec<Decision>,
    states: Vec<SavedState>,
}

/// A piece on its way to disk. It waits again where that does not come to its end, as where whoever writes it is dropped.
#[derive(Debug)]
pub(super) struct Taken<'s> {
    store: &'s Store,
    piece: Option<Piece>,
}

// === impl Taken ===

impl Taken<'_> {
    pub(super) fn decisions(&self) -> &[Decision] {
        self.piece.as_ref().map_or(&[], |piece| &piece.decisions)
    }

    pub(super) fn states(&self) -> &[SavedState] {
        self.piece.as_ref().map_or(&[], |piece| &piece.states)
    }

    /// It is on disk.
    pub(super) fn written(&mut self) {
        self.piece = None;
        self.store.queue().written();
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let (length, dropped) = {
            let mut queue = self.store.queue();
            let dropped = self.piece.take().map_or(0, |piece| queue.put_back(piece));
            (queue.len(), dropped)
        };
        let store = self.store;
        store.inner.events.queued(store.kind(), length, dropped);
    }
}

impl Store {
    /// Takes out a piece of what waits.
    pub(super) fn take(&self) -> Option<Taken<'_>> {
        let piece = self.queue().take()?;
        Some(Taken {
            store: self,
            piece: Some(piece),
        })
    }
}

// === impl Queue ===

impl Queue {
    /// Adds decisions; says how many of the oldest were given up for them.
    pub(super) fn append(&mut self, decisions: impl IntoIterator<Item = Decision>) -> u64 {
        self.decisions.extend(decisions);
        self.shorten()
    }

    /// Adds states. There are never more than workloads.
    pub(super) fn save(&mut self, states: impl IntoIterator<Item = SavedState>) {
        for state in states {
            let newer = self.states.get(&state.workload);
            if newer.is_none_or(|waiting| waiting.at <= state.at) {
                self.states.insert(state.workload.clone(), state);
            }
        }
    }

    /// Decisions and states that are not on disk.
    pub(super) fn len(&self) -> usize {
        self.decisions.len() + self.states.len() + self.writing
    }

    /// The next piece, no longer than a transaction should be; `None` where nothing waits.
    fn take(&mut self) -> Option<Piece> {
        if self.decisions.is_empty() && self.states.is_empty() {
            return None;
        }
        let some = self.decisions.len().min(PIECE);
        let room = PIECE - some;
        let rest = match self.states.keys().nth(room).cloned() {
            Some(first) => self.states.split_off(&first),
            None => BTreeMap::new(),
        };
        let states = std::mem::replace(&mut self.states, rest);
        let piece = Piece {
            decisions: self.decisions.drain(..some).collect(),
            states: states.into_values().collect(),
        };
        self.writing = piece.decisions.len() + piece.states.len();
        Some(piece)
    }

    /// What was taken out is on disk.
    fn written(&mut self) {
        self.writing = 0;
    }

    /// Everything that waits, for whoever writes it instead.
    pub(super) fn give_away(&mut self) -> (Vec<Decision>, Vec<SavedState>) {
        let decisions = std::mem::take(&mut self.decisions);
        let states = std::mem::take(&mut self.states);
        (decisions.into(), states.into_values().collect())
    }

    /// Puts back what could not be written; says how many decisions were given up, as others came meanwhile.
    fn put_back(&mut self, piece: Piece) -> u64 {
        self.writing = 0;
        for decision in piece.decisions.into_iter().rev() {
            self.decisions.push_front(decision);
        }
        for state in piece.states {
            // What came meanwhile is newer.
            self.states.entry(state.workload.clone()).or_insert(state);
        }
        self.shorten()
    }

    fn shorten(&mut self) -> u64 {
        let surplus = self.decisions.len().saturating_sub(MOST);
        self.decisions.drain(..surplus);
        self.dropped += surplus as u64;
        surplus as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::decision;

    fn state(workload: &str, at: i64) -> SavedState {
        SavedState {
            workload: workload.to_owned(),
            at,
            body: at.to_string(),
        }
    }

    #[test]
    fn the_oldest_decisions_are_given_up_and_counted() {
        let mut queue = Queue::default();
        let all = (0..MOST as i64 + 3).map(|at| decision("a", at));
        assert_eq!(queue.append(all), 3);
        assert_eq!((queue.len(), queue.dropped), (MOST, 3));
        let piece = queue.take().unwrap();
        assert_eq!(piece.decisions.len(), PIECE);
        assert_eq!(piece.decisions[0].at, 3);
        assert_eq!(
            queue.append((0..PIECE as i64).map(|at| decision("b", at))),
            0
        );
        assert_eq!(queue.put_back(piece), PIECE as u64);
        assert_eq!(queue.len(), MOST);
        let next = queue.take().unwrap().decisions.remove(0);
        assert_eq!(queue.len(), MOST, "what is being written is not on disk");
        queue.written();
        assert_eq!(queue.len(), MOST - PIECE);
        assert_eq!((&*next.workload, next.at), ("a", 3 + PIECE as i64));
    }

    #[test]
    fn of_a_workload_the_newest_state_waits() {
        let mut queue = Queue::default();
        queue.save([state("a", 2), state("b", 1), state("a", 1)]);
        let piece = queue.take().unwrap();
        assert_eq!(piece.states, [state("a", 2), state("b", 1)]);
        queue.save([state("a", 3)]);
        queue.put_back(piece);
        let states = queue.take().unwrap().states;
        assert_eq!(states, [state("a", 3), state("b", 1)]);
        assert!(queue.take().is_none());
    }

    #[test]
    fn a_piece_is_no_longer_than_a_transaction_should_be() {
        let mut queue = Queue::default();
        queue.append((0..3).map(|at| decision("a", at)));
        queue.save((0..PIECE).map(|place| state(&format!("{place:04}"), 1)));
        let first = queue.take().unwrap();
        assert_eq!((first.decisions.len(), first.states.len()), (3, PIECE - 3));
        queue.written();
        let second = queue.take().unwrap();
        assert_eq!((second.decisions.len(), second.states.len()), (0, 3));
        assert_eq!(second.states[2].workload, "0499");
        queue.written();
        assert!(queue.take().is_none());
    }
}
