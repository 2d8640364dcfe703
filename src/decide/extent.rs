//! The least and the greatest size of the newest past, in bounded memory.

use crate::series::Millis;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A span is remembered in so many pieces: what is remembered counts up to one of them longer.
const PIECES: Millis = 32;

/// Extremes over a sliding span.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Extent {
    pieces: VecDeque<Piece>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Piece {
    from: Millis,
    /// Its end; outside.
    to: Millis,
    least: u32,
    greatest: u32,
}

impl Extent {
    /// The size was `size` at `at`; nothing older than `span` will be asked for.
    pub(super) fn note(&mut self, at: Millis, span: Millis, size: u32) {
        if span <= 0 {
            self.pieces.clear();
            return;
        }
        while self.pieces.front().is_some_and(|one| one.to <= at - span) {
            self.pieces.pop_front();
        }
        if let Some(last) = self.pieces.back_mut().filter(|last| at < last.to) {
            last.least = last.least.min(size);
            last.greatest = last.greatest.max(size);
            return;
        }
        let width = (span / PIECES).max(1);
        let from = at.div_euclid(width) * width;
        self.pieces.push_back(Piece {
            from,
            to: from + width,
            least: size,
            greatest: size,
        });
    }

    /// The least size since `at - span`; `None` where nothing is known of that time.
    pub(super) fn least(&self, at: Millis, span: Millis) -> Option<u32> {
        self.since(at, span).map(|one| one.least).min()
    }

    /// The greatest size since `at - span`; `None` where nothing is known of that time.
    pub(super) fn greatest(&self, at: Millis, span: Millis) -> Option<u32> {
        self.since(at, span).map(|one| one.greatest).max()
    }

    /// The clock was set back to `at`: what lies after it counts as if it were now.
    pub(super) fn rewind(&mut self, at: Millis) {
        for piece in self.pieces.iter_mut().filter(|one| one.to > at) {
            let width = piece.to - piece.from;
            piece.from = piece.from.min(at);
            piece.to = piece.from + width;
        }
    }

    fn since(&self, at: Millis, span: Millis) -> impl Iterator<Item = &Piece> {
        let recent = self.pieces.iter().rev();
        recent.take_while(move |one| one.to > at - span && span > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Millis = 60_000;

    #[test]
    fn forgets_after_the_span() {
        let mut extent = Extent::default();
        extent.note(0, 5 * MINUTE, 9);
        extent.note(MINUTE, 5 * MINUTE, 3);
        assert_eq!(extent.greatest(4 * MINUTE, 5 * MINUTE), Some(9));
        assert_eq!(extent.greatest(5 * MINUTE + 15_000, 5 * MINUTE), Some(3));
        assert_eq!(extent.least(4 * MINUTE, 5 * MINUTE), Some(3));
        assert_eq!(extent.greatest(9 * MINUTE, 5 * MINUTE), None);
        assert_eq!(extent.greatest(4 * MINUTE, 0), None);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_keep_the_future() {
        let mut extent = Extent::default();
        extent.note(600 * MINUTE, 5 * MINUTE, 9);
        extent.rewind(MINUTE);
        assert_eq!(extent.greatest(2 * MINUTE, 5 * MINUTE), Some(9));
        assert_eq!(extent.greatest(8 * MINUTE, 5 * MINUTE), None);
    }

    proptest! {
        #[test]
        fn holds_at_least_what_it_must_and_stays_small(
            sizes in prop::collection::vec((1_i64..40_000, 0_u32..99), 1..200),
        ) {
            let (mut extent, mut at, mut all) = (Extent::default(), 0, Vec::new());
            for (pause, size) in sizes {
                at += pause;
                all.push((at, size));
                extent.note(at, 3 * MINUTE, size);
                prop_assert!(extent.pieces.len() as i64 <= PIECES + 2);
                let inside = || all.iter().filter(|(then, _)| *then > at - 3 * MINUTE);
                let (greatest, least) = (inside().map(|one| one.1).max(), inside().map(|one| one.1).min());
                prop_assert!(extent.greatest(at, 3 * MINUTE) >= greatest);
                prop_assert!(extent.least(at, 3 * MINUTE).unwrap() <= least.unwrap());
            }
        }
    }
}
