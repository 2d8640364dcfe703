//! When a network that answers nobody is asked again.
//!
//! A function of grid time and of the answers, without a clock (invariant 4). After some steps in a row at which it was asked
//! and gave nothing finite to any series of the signal, a network is not asked until a later grid time; then for one step.
//! If that fails too, it rests twice as long, a day at most (eight steps, where those are longer). The grid times at which it is tried are multiples of the rest, so
//! replicas that saw the first failures at different times try at the same ones before long.

use super::Asked;
use crate::series::Grid;

/// Steps in a row without any answer before it rests: a single one may be an odd minute.
const FAILURES: u32 = 5;
/// The first rest, in steps.
const FIRST_REST: i64 = 8;
const DAY: i64 = 86_400_000;

/// Whether one network of a signal is asked.
#[derive(Debug, Clone)]
pub struct Breaker {
    state: State,
    /// The longest rest, in steps.
    longest: i64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Asked; so many steps in a row without an answer.
    Closed { failures: u32 },
    /// Not asked before grid time number `until`, after a rest of `rest` steps.
    Open { rest: i64, until: i64 },
    /// Asked once.
    HalfOpen { rest: i64 },
}

impl Breaker {
    /// The states as in the label `state`.
    pub const STATES: [&'static str; 3] = ["closed", "half_open", "open"];

    /// Closed.
    pub fn new(grid: Grid) -> Self {
        let day = DAY / grid.step();
        let rests = std::iter::successors(Some(FIRST_REST), |rest| Some(2 * rest));
        let longest = rests.take_while(|&rest| rest <= day).last();
        Self {
            state: State::Closed { failures: 0 },
            longest: longest.unwrap_or(FIRST_REST),
        }
    }

    /// One of [`Breaker::STATES`].
    pub fn state(&self) -> &'static str {
        match self.state {
            State::Closed { .. } => "closed",
            State::HalfOpen { .. } => "half_open",
            State::Open { .. } => "open",
        }
    }

    /// Whether the network is asked at the next grid time.
    pub fn asks(&self) -> bool {
        !matches!(self.state, State::Open { .. })
    }

    /// Takes in how it did at grid time number `index`, all series of the signal together.
    pub fn step(&mut self, index: i64, asked: Asked) {
        let (nobody, failed) = (asked.series == 0, asked.answered == 0);
        self.state = match self.state {
            State::Open { rest, until } if index + 1 >= until => State::HalfOpen { rest },
            State::Closed { failures } if failed && !nobody && failures + 1 >= FAILURES => {
                rest_after(index, FIRST_REST)
            }
            State::Closed { failures } if failed && !nobody => State::Closed {
                failures: failures + 1,
            },
            State::HalfOpen { rest } if failed && !nobody => {
                rest_after(index, (2 * rest).min(self.longest))
            }
            State::Closed { .. } | State::HalfOpen { .. } if !nobody => {
                State::Closed { failures: 0 }
            }
            same => same,
        };
    }
}

/// Until the next grid time whose number is a multiple of `rest`.
fn rest_after(index: i64, rest: i64) -> State {
    match (index.div_euclid(rest) + 1) * rest {
        until if until == index + 1 => State::HalfOpen { rest },
        until => State::Open { rest, until },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEAD: Asked = Asked {
        series: 3,
        answered: 0,
    };
    const NOBODY: Asked = Asked {
        series: 0,
        answered: 0,
    };
    const SOME: Asked = Asked {
        series: 3,
        answered: 1,
    };

    fn breaker() -> Breaker {
        Breaker::new(Grid::new(60_000).unwrap())
    }

    /// Steps until `to` with `answers` whenever it asks; the grid times at which it asked.
    fn run(breaker: &mut Breaker, from: i64, to: i64, answers: Asked) -> Vec<i64> {
        let mut asked = Vec::new();
        for index in from..to {
            let asks = breaker.asks();
            if asks {
                asked.push(index);
            }
            breaker.step(index, if asks { answers } else { NOBODY });
        }
        asked
    }

    #[test]
    fn a_network_that_never_answers_is_asked_ever_more_rarely() {
        let mut breaker = breaker();
        let asked = run(&mut breaker, 3, 6_000, DEAD);
        assert_eq!(asked[..5], [3, 4, 5, 6, 7]);
        assert_eq!(
            asked[5..],
            [
                8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 3_072, 4_096, 5_120
            ]
        );
        assert_eq!(breaker.state(), "open");
    }

    #[test]
    fn one_answer_puts_it_back() {
        let mut breaker = breaker();
        run(&mut breaker, 3, 20, DEAD);
        let asked = run(&mut breaker, 20, 40, SOME);
        assert_eq!(asked[..2], [32, 33], "{asked:?}");
        assert_eq!(breaker.state(), "closed");
        // Then it takes as many failures as at first, in a row.
        assert_eq!(run(&mut breaker, 40, 44, DEAD).len(), 4);
        run(&mut breaker, 44, 45, SOME);
        assert_eq!(run(&mut breaker, 45, 49, DEAD).len(), 4);
        assert_eq!(breaker.state(), "closed");
        run(&mut breaker, 49, 50, DEAD);
        assert_eq!(breaker.state(), "open");
    }

    #[test]
    fn where_nobody_could_be_asked_nothing_follows() {
        let mut breaker = breaker();
        run(&mut breaker, 0, 4, DEAD);
        run(&mut breaker, 4, 400, NOBODY);
        assert_eq!(breaker.state(), "closed");
        run(&mut breaker, 400, 401, DEAD);
        assert_eq!(breaker.state(), "open");
        run(&mut breaker, 401, 900, NOBODY);
        assert_eq!(breaker.state(), "half_open", "still waiting for its trial");
    }

    #[test]
    fn replicas_that_start_later_try_at_the_same_times() {
        let (mut old, mut young) = (breaker(), breaker());
        run(&mut old, 0, 10_000, DEAD);
        let of_old = run(&mut old, 10_000, 20_000, DEAD);
        let of_young = run(&mut young, 10_000, 20_000, DEAD);
        let late = |asked: &[i64]| asked.iter().copied().filter(|&at| at > 12_048).collect();
        let (one, other): (Vec<i64>, Vec<i64>) = (late(&of_old), late(&of_young));
        assert_eq!(one, other);
        assert!(one.len() > 5, "{one:?}");
    }
}
