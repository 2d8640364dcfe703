//! News: a combined score that is above 1 where a series does something new, and stays just below where it
//! goes on with what it is doing already.
//!
//! *Why*: an incident of an hour is one event. A score that says so sixty times hides the next event, and
//! every second crossing costs the trust of those who look at it. *How*: while the greatest score of
//! the last [`BLOCK`] to twice as many steps is anomalous, only a score [`GROWTH`] times as large is news; what
//! is anomalous and no news scores between [`ONGOING`] and [`KNOWN`]. Verdicts are made of the combined score
//! itself: they stay on for as long as the incident lasts. *Cost*: 12 bytes a series. *Reference*: refractory
//! periods, as in the Numenta benchmark (Lavin & Ahmad 2015, arXiv:1510.03336); the constants were chosen on
//! its public half.

use crate::series::Slot;

/// Steps of a block at most; what is remembered are the running block and the one before.
const BLOCK: usize = 100;
/// So many times what is going on is news again.
const GROWTH: f32 = 2.0;
/// What goes on scores at least and at most so much: just below the threshold.
const ONGOING: f32 = 0.9;
const KNOWN: f32 = 0.99;

/// The greatest combined scores lately, of the series of one shard or panel.
#[derive(Debug, Clone)]
pub struct Onsets {
    block: i64,
    states: Vec<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    block: i32,
    /// Greatest score of the block before and of the running one.
    greatest: [f32; 2],
}

impl State {
    const EMPTY: Self = Self {
        block: i32::MIN,
        greatest: [0.0; 2],
    };

    fn step(&mut self, block: i32, score: f32) -> f32 {
        if block != self.block {
            let before = if block.checked_sub(1) == Some(self.block) {
                self.greatest[1]
            } else {
                0.0
            };
            (self.block, self.greatest) = (block, [before, 0.0]);
        }
        if score.is_nan() {
            return score;
        }
        let known = GROWTH * self.greatest[0].max(self.greatest[1]);
        self.greatest[1] = self.greatest[1].max(score);
        if known < GROWTH || score > known {
            score
        } else if score >= 1.0 {
            ONGOING + (KNOWN - ONGOING) * score / known
        } else {
            score.min(ONGOING)
        }
    }
}

impl Onsets {
    /// Of no series yet. A score depends on no more than the last `memory` steps (at least two).
    pub fn new(memory: usize) -> Self {
        Self {
            block: (memory / 2).clamp(1, BLOCK) as i64,
            states: Vec::new(),
        }
    }

    /// Makes room for `slots` series in all; of new ones nothing is known.
    pub fn grow(&mut self, slots: usize) {
        self.states
            .resize(slots.max(self.states.len()), State::EMPTY);
    }

    /// Forgets one series.
    pub fn evict(&mut self, slot: Slot) {
        self.states[slot] = State::EMPTY;
    }

    /// `out[i]` is the news in `scores[i]` of `slots[i]` in grid slot `index`; `NaN` stays.
    pub fn step(&mut self, index: i64, slots: &[Slot], scores: &[f32], out: &mut [f32]) {
        let block = index.div_euclid(self.block) as i32;
        for ((&slot, &score), out) in slots.iter().zip(scores).zip(out) {
            *out = self.states[slot].step(block, score);
        }
    }

    /// Bytes of state, all series together.
    pub fn heap_bytes(&self) -> usize {
        self.states.capacity() * size_of::<State>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(scores: &[f32]) -> Vec<f32> {
        let mut onsets = Onsets::new(1_000);
        onsets.grow(1);
        let step = |(index, &score): (usize, &f32)| {
            let mut out = [0.0];
            onsets.step(index as i64, &[0], &[score], &mut out);
            out[0]
        };
        scores.iter().enumerate().map(step).collect()
    }

    #[test]
    fn an_incident_is_news_once_and_again_when_it_gets_twice_as_bad_at_once() {
        let scores = news(&[0.2, 0.9, 1.5, 1.5, 2.9, 6.0, 6.0, 0.4]);
        assert_eq!(
            scores[..3],
            [0.2, 0.9, 1.5],
            "ordinary scores are as they are"
        );
        assert!(scores[3] < KNOWN && scores[3] > ONGOING);
        assert!(scores[4] < KNOWN && scores[4] > scores[3]);
        assert_eq!(scores[5], 6.0);
        assert!(scores[6] < 1.0 && scores[7] == 0.4);
    }

    #[test]
    fn what_is_over_for_long_is_news_again() {
        let mut scores = vec![0.0; 500];
        (scores[10], scores[150], scores[420]) = (2.0, 2.0, 2.0);
        let news = news(&scores);
        assert_eq!((news[10], news[420]), (2.0, 2.0));
        assert!(news[150] < 1.0);
    }

    #[test]
    fn a_missing_score_stays_missing_and_teaches_nothing() {
        let news = news(&[f32::NAN, 2.0, f32::NAN, 2.0]);
        assert!(news[0].is_nan() && news[2].is_nan());
        assert!(news[1] == 2.0 && news[3] < 1.0);
    }
}
