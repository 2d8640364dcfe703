//! News: a combined score that is above 1 where a series does something new, stays just below where it
//! goes on with what it is doing already, and fades when that is over.
//!
//! *Why*: an incident of an hour is one event. A score that says so sixty times hides the next event, and
//! every second crossing costs the trust of those who look at it. One that is gone with the last anomalous
//! step says nothing to those who look a minute later. *How*: while the greatest score of
//! the last [`BLOCK`] to twice as many steps is anomalous, only a score [`GROWTH`] times as large is news; all
//! else is shown below 1, as what it is or as what is left of the greatest lately, which loses half every
//! [`HALF_LIFE`] steps. Verdicts are made of the combined score itself: they stay on for as long as the incident
//! lasts. *Cost*: 16 bytes a series. *Reference*: refractory periods, as in the Numenta benchmark (Lavin & Ahmad
//! 2015, arXiv:1510.03336); the constants were chosen on its public half.

use crate::series::Slot;

/// Steps of a block at most; what is remembered are the running block and the one before.
const BLOCK: usize = 100;
/// So many times what is going on is news again.
const GROWTH: f32 = 2.0;
/// What is no news is shown as it is up to here, and above closer and closer to 1.
const ONGOING: f32 = 0.9;
/// Steps after which half of a score is left. On the public data sets 10 to 50 ranked rows far better than none; above
/// 20 the short incidents of hosts and indicators lost again.
const HALF_LIFE: usize = 15;
/// Greater scores fade as this one.
const MOST: f32 = 64.0;
/// What is left of a score is forgotten here: [`FADED`] half-lives below [`MOST`].
const LEAST: f32 = 0.0625;
const FADED: usize = 10;

/// The greatest combined scores lately, of the series of one shard or panel.
#[derive(Debug, Clone)]
pub struct Onsets {
    block: i64,
    /// What a step leaves of a score.
    keep: f32,
    states: Vec<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    block: i32,
    /// Greatest score of the block before and of the running one.
    greatest: [f32; 2],
    /// What is left of the greatest score.
    left: f32,
}

impl State {
    const EMPTY: Self = Self {
        block: i32::MIN,
        greatest: [0.0; 2],
        left: 0.0,
    };

    fn step(&mut self, block: i32, keep: f32, score: f32) -> f32 {
        if block != self.block {
            let before = if block.checked_sub(1) == Some(self.block) {
                self.greatest[1]
            } else {
                self.left = 0.0;
                0.0
            };
            (self.block, self.greatest) = (block, [before, 0.0]);
        }
        self.left *= keep;
        if self.left < LEAST {
            self.left = 0.0;
        }
        if score.is_nan() {
            return score;
        }
        let known = GROWTH * self.greatest[0].max(self.greatest[1]);
        self.greatest[1] = self.greatest[1].max(score);
        self.left = self.left.max(score.min(MOST));
        if score >= 1.0 && (known < GROWTH || score > known) {
            score
        } else {
            below_one(self.left.max(score))
        }
    }
}

/// Rises with the score, and stays below 1.
fn below_one(score: f32) -> f32 {
    if score <= ONGOING {
        score
    } else {
        1.0 - (1.0 - ONGOING) * ONGOING / score
    }
}

impl Onsets {
    /// Of no series yet. A score depends on no more than the last `memory` steps (at least [`FADED`]).
    pub fn new(memory: usize) -> Self {
        let half_life = (memory / (FADED + 1)).clamp(1, HALF_LIFE);
        Self {
            block: (memory / 2).clamp(1, BLOCK) as i64,
            keep: 0.5_f32.powf(1.0 / half_life as f32),
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
            *out = self.states[slot].step(block, self.keep, score);
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
        assert!(scores[3] < 1.0 && scores[3] > ONGOING);
        assert!(scores[4] < 1.0 && scores[4] > scores[3]);
        assert_eq!(scores[5], 6.0);
        assert!(scores[6] < 1.0 && scores[7] < scores[6]);
    }

    #[test]
    fn what_is_over_fades_and_is_forgotten() {
        let mut scores = vec![0.0; 300];
        scores[10] = 40.0;
        let news = news(&scores);
        assert!(news[10] == 40.0 && news[11] > 0.99 && news[11] < 1.0);
        assert!(news[11..200].is_sorted_by(|one, next| one >= next));
        assert!((news[10 + 6 * HALF_LIFE] - 40.0 / 64.0).abs() < 1e-3);
        assert_eq!(news[10 + FADED * HALF_LIFE], 0.0);
    }

    #[test]
    fn nothing_depends_on_more_than_the_memory() {
        for memory in [12, 40, 1_000] {
            let mut onsets = [Onsets::new(memory), Onsets::new(memory)];
            for (which, own) in onsets.iter_mut().enumerate() {
                own.grow(1);
                for index in 0..3 * memory as i64 {
                    // One has seen far worse, before what is remembered.
                    let worse = if which == 0 && index < memory as i64 {
                        500.0
                    } else {
                        1.0
                    };
                    let score = worse * ((index * 7) % 5) as f32 / 3.0;
                    own.step(index, &[0], &[score], &mut [0.0]);
                }
            }
            let mut out = [[0.0]; 2];
            for (own, out) in onsets.iter_mut().zip(&mut out) {
                own.step(3 * memory as i64, &[0], &[0.1], out);
            }
            assert_eq!(out[0], out[1], "{memory}");
        }
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
