//! When a unit evaluates what. Pure: the time is a parameter.
//!
//! Ticks are aligned to multiples of the evaluation interval, so every replica has the same ones, and
//! are then delayed by the signal's `offset` (late samples) and by a hash of its name (so that not
//! every signal asks in the same millisecond). At a tick the newest grid time that is `offset` old is
//! due, together with all grid times since the last one evaluated: ticks may be missed, grid times
//! are not.

use crate::series::{Grid, Millis};
use xxhash_rust::xxh3::xxh3_64;

/// The hash delays a tick by at most this fraction of the interval: freshness is worth more than an
/// even load.
const SPREAD_DIVISOR: Millis = 8;
/// A restart replays between two and three refits, each a 21st of the history. A gap longer than
/// that costs more to walk than to read afresh.
const BRIDGE_DIVISOR: Millis = 7;

/// When one unit evaluates what.
#[derive(Debug, Clone)]
pub struct Schedule {
    grid: Grid,
    interval: Millis,
    delay: Millis,
    bridge: Millis,
    patience: Millis,
    tick: Option<i64>,
    reached: Millis,
    arrived: Millis,
}

/// What a schedule is made of. All spans in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// The grid of the unit.
    pub grid: Grid,
    /// Evaluation interval; it divides the step, or the step divides it.
    pub interval: Millis,
    /// A grid time is read this long after it.
    pub offset: Millis,
    /// The history a restart reads.
    pub history: Millis,
    /// A clock set back further than this is believed: the unit starts afresh.
    pub max_age: Millis,
}

/// One tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// Ticks that passed unused since the last one.
    pub missed: u64,
    /// What is to be done at this one.
    pub work: Work,
}

/// What is to be done at a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Grid times from `from` to `to`, both included, one after another.
    Evaluate {
        /// The oldest grid time that was not evaluated yet.
        from: Millis,
        /// The newest grid time that is due.
        to: Millis,
    },
    /// No new grid time is due: the newest outcome stays in force.
    Republish,
    /// The clock was set back a little: nothing is evaluated twice, so wait until it catches up.
    Wait {
        /// The newest grid time that was evaluated.
        reached: Millis,
    },
    /// The state cannot be carried on: read the history afresh.
    Rebuild(Rebuild),
}

/// Why the history must be read afresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebuild {
    /// The gap since the last evaluation, in milliseconds, is too long to walk through.
    Gap(Millis),
    /// The clock was set back by so many milliseconds behind what was evaluated.
    ClockBack(Millis),
}

impl Schedule {
    /// The schedule of the unit `name`.
    pub fn new(name: &str, timing: Timing) -> Self {
        let interval = timing.interval.max(1);
        let room = u64::try_from(interval / SPREAD_DIVISOR).unwrap_or(0);
        let spread = xxh3_64(name.as_bytes())
            .checked_rem(room)
            .and_then(|spread| Millis::try_from(spread).ok())
            .unwrap_or(0);
        Self {
            grid: timing.grid,
            interval,
            delay: timing.offset + spread,
            bridge: (timing.history / BRIDGE_DIVISOR).max(timing.grid.step()),
            patience: timing.max_age,
            tick: None,
            reached: Millis::MIN,
            arrived: Millis::MIN,
        }
    }

    /// The grid of the unit.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// How long after a grid time it is read, in milliseconds.
    pub fn delay(&self) -> Millis {
        self.delay
    }

    /// The longest gap that is walked through instead of read afresh, in milliseconds.
    pub fn bridge(&self) -> Millis {
        self.bridge
    }

    /// The newest grid time that may be read at `now`: the one whose delay is over, or a later one of which everything is
    /// there already.
    pub fn newest(&self, now: Millis) -> Millis {
        let early = self.arrived.min(self.grid.floor(now));
        self.grid.floor(now - self.delay).max(early)
    }

    /// Notes that everything of the grid time `at` is there, and of those before it all that will be.
    pub fn arrive(&mut self, at: Millis) {
        self.arrived = at;
    }

    /// The newest grid time that was evaluated.
    pub fn reached(&self) -> Millis {
        self.reached
    }

    /// Notes that every grid time up to `at` was evaluated.
    pub fn reach(&mut self, at: Millis) {
        self.reached = at;
    }

    /// Starts at `now`, with every grid time up to `reached` evaluated. Where more is due already it
    /// is due at once, not at the next tick.
    pub fn start(&mut self, now: Millis, reached: Millis) {
        self.reached = reached;
        let late = self.newest(now) > reached;
        self.tick = Some(self.number(now) - i64::from(late));
    }

    /// The time of the next tick after `now`.
    pub fn next(&self, now: Millis) -> Millis {
        (self.number(now) + 1) * self.interval + self.delay
    }

    /// The tick that is due at `now`, once.
    pub fn due(&mut self, now: Millis) -> Option<Tick> {
        let number = self.number(now);
        let missed = match self.tick {
            Some(last) if last == number => return None,
            Some(last) => u64::try_from(number - last - 1).unwrap_or(0),
            None => 0,
        };
        self.tick = Some(number);
        Some(Tick {
            missed,
            work: self.work(now),
        })
    }

    /// Between two ticks: what a former tick left to be evaluated or what came since, if there is any.
    pub fn overdue(&self, now: Millis) -> Option<Tick> {
        let work = self.work(now);
        matches!(work, Work::Evaluate { .. }).then_some(Tick { missed: 0, work })
    }

    fn work(&self, now: Millis) -> Work {
        let newest = self.newest(now);
        let gap = newest.saturating_sub(self.reached);
        if gap == 0 {
            Work::Republish
        } else if gap > self.bridge {
            Work::Rebuild(Rebuild::Gap(gap))
        } else if gap > 0 {
            Work::Evaluate {
                from: self.reached + self.grid.step(),
                to: newest,
            }
        } else if -gap > self.patience {
            Work::Rebuild(Rebuild::ClockBack(-gap))
        } else {
            Work::Wait {
                reached: self.reached,
            }
        }
    }

    fn number(&self, now: Millis) -> i64 {
        (now - self.delay).div_euclid(self.interval)
    }
}

/// Notices that the clock was set: it compares what the clock shows with time that only runs on.
#[derive(Debug, Clone)]
pub struct ClockWatch {
    tolerance: Millis,
    seen: Option<(Millis, Millis)>,
}

impl ClockWatch {
    /// A watch that takes a difference up to `tolerance` milliseconds for drift.
    pub fn new(tolerance: Millis) -> Self {
        Self {
            tolerance,
            seen: None,
        }
    }

    /// The clock shows `shown`, steady time is `steady`: by how much the clock was set since the
    /// last look, if it was.
    pub fn look(&mut self, shown: Millis, steady: Millis) -> Option<Millis> {
        let before = self.seen.replace((shown, steady))?;
        let step = (shown - before.0) - (steady - before.1);
        (step.abs() > self.tolerance).then_some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Millis = 60_000;
    const DAY: Millis = 1_440 * MINUTE;

    fn schedule(step: Millis, interval: Millis) -> Schedule {
        let timing = Timing {
            grid: Grid::new(step).unwrap(),
            interval,
            offset: 30_000,
            history: 21 * DAY,
            max_age: 5 * MINUTE,
        };
        Schedule::new("requests", timing)
    }

    fn evaluate(from: Millis, to: Millis) -> Work {
        Work::Evaluate { from, to }
    }

    #[test]
    fn a_tick_is_aligned_then_delayed_by_offset_and_hash() {
        let schedule = schedule(MINUTE, MINUTE);
        let delay = schedule.delay();
        assert!((30_000..30_000 + MINUTE / 8).contains(&delay));
        assert_eq!(schedule.next(10 * MINUTE), 10 * MINUTE + delay);
        assert_eq!(schedule.next(10 * MINUTE + delay), 11 * MINUTE + delay);
        assert_eq!(schedule.newest(10 * MINUTE + delay - 1), 9 * MINUTE);
        assert_eq!(schedule.newest(10 * MINUTE + delay), 10 * MINUTE);
    }

    #[test]
    fn names_are_spread_but_the_same_name_is_not() {
        let delay = |name| {
            let of = schedule(MINUTE, MINUTE);
            let timing = Timing {
                grid: of.grid(),
                interval: MINUTE,
                offset: 0,
                history: DAY,
                max_age: MINUTE,
            };
            Schedule::new(name, timing).delay()
        };
        assert_eq!(delay("one"), delay("one"));
        assert_ne!(delay("one"), delay("two"));
    }

    #[test]
    fn a_shorter_interval_republishes_and_never_rescores() {
        let mut schedule = schedule(MINUTE, 15_000);
        let start = 100 * MINUTE + schedule.delay();
        schedule.start(start, 100 * MINUTE);
        let mut works = Vec::new();
        for quarter in 0..=4 {
            if let Some(tick) = schedule.due(start + quarter * 15_000) {
                assert_eq!(tick.missed, 0);
                works.push(tick.work);
            }
        }
        let again = Work::Republish;
        let next = evaluate(101 * MINUTE, 101 * MINUTE);
        assert_eq!(works, [again, again, again, next]);
    }

    #[test]
    fn a_longer_interval_evaluates_every_grid_time_between() {
        let mut schedule = schedule(MINUTE, 5 * MINUTE);
        let start = 100 * MINUTE + schedule.delay();
        schedule.start(start, 100 * MINUTE);
        assert_eq!(schedule.due(start + 4 * MINUTE), None);
        let tick = schedule.due(start + 5 * MINUTE).unwrap();
        assert_eq!(tick.work, evaluate(101 * MINUTE, 105 * MINUTE));
    }

    #[test]
    fn missed_ticks_are_counted_and_their_grid_times_caught_up() {
        let mut schedule = schedule(MINUTE, MINUTE);
        let start = 100 * MINUTE + schedule.delay();
        schedule.start(start, 100 * MINUTE);
        let tick = schedule.due(start + 4 * MINUTE).unwrap();
        assert_eq!(tick.missed, 3);
        assert_eq!(tick.work, evaluate(101 * MINUTE, 104 * MINUTE));
        assert_eq!(schedule.due(start + 4 * MINUTE), None, "a tick is due once");
        let tick = schedule.due(start + 5 * MINUTE).unwrap();
        assert_eq!(tick.missed, 0);
        assert_eq!(
            tick.work,
            evaluate(101 * MINUTE, 105 * MINUTE),
            "not reached, so due again"
        );
    }

    #[test]
    fn a_long_backfill_is_followed_at_once() {
        let mut schedule = schedule(MINUTE, MINUTE);
        let now = 110 * MINUTE + schedule.delay() + 5;
        schedule.start(now, 100 * MINUTE);
        let tick = schedule.due(now).unwrap();
        assert_eq!(
            (tick.missed, tick.work),
            (0, evaluate(101 * MINUTE, 110 * MINUTE))
        );
    }

    #[test]
    fn a_clock_set_back_waits_or_starts_afresh() {
        let mut schedule = schedule(MINUTE, MINUTE);
        let start = 10_000 * MINUTE + schedule.delay();
        schedule.start(start, 10_000 * MINUTE);
        let tick = schedule.due(start - 3 * MINUTE).unwrap();
        let reached = 10_000 * MINUTE;
        assert_eq!((tick.missed, tick.work), (0, Work::Wait { reached }));
        let tick = schedule.due(start).unwrap();
        assert_eq!(tick.work, Work::Republish);
        let tick = schedule.due(start - 60 * MINUTE).unwrap();
        assert_eq!(tick.work, Work::Rebuild(Rebuild::ClockBack(60 * MINUTE)));
    }

    #[test]
    fn what_is_all_there_is_due_at_once_and_not_again_at_its_tick() {
        let mut schedule = schedule(MINUTE, MINUTE);
        let now = 100 * MINUTE + 7_000;
        schedule.start(now, 99 * MINUTE);
        assert_eq!(schedule.overdue(now), None);
        schedule.arrive(100 * MINUTE);
        let tick = schedule.overdue(now).unwrap();
        assert_eq!(tick.work, evaluate(100 * MINUTE, 100 * MINUTE));
        schedule.reach(100 * MINUTE);
        assert_eq!(schedule.overdue(now), None);
        let tick = schedule.due(100 * MINUTE + schedule.delay()).unwrap();
        assert_eq!((tick.missed, tick.work), (0, Work::Republish));
        schedule.arrive(200 * MINUTE);
        assert_eq!(
            schedule.newest(now),
            100 * MINUTE,
            "the clock of a sender is not ours"
        );
    }

    #[test]
    fn a_gap_longer_than_the_bridge_is_read_afresh() {
        let mut schedule = schedule(MINUTE, MINUTE);
        let start = 100 * DAY + schedule.delay();
        schedule.start(start, 100 * DAY);
        let tick = schedule.due(start + 3 * DAY).unwrap();
        assert_eq!(tick.work, evaluate(100 * DAY + MINUTE, 103 * DAY));
        let tick = schedule.due(start + 3 * DAY + MINUTE).unwrap();
        assert_eq!(tick.work, Work::Rebuild(Rebuild::Gap(3 * DAY + MINUTE)));
    }

    #[test]
    fn the_watch_tells_a_set_clock_from_a_slow_loop() {
        let mut watch = ClockWatch::new(1_000);
        assert_eq!(watch.look(0, 0), None);
        assert_eq!(
            watch.look(90_500, 90_000),
            None,
            "slow, with a little drift"
        );
        assert_eq!(watch.look(30_500, 91_000), Some(-61_000));
        assert_eq!(watch.look(31_500, 92_000), None, "told once");
        assert_eq!(watch.look(131_500, 93_000), Some(99_000));
    }

    proptest! {
        #[test]
        fn every_grid_time_is_evaluated_once_whatever_the_delays(
            waits in prop::collection::vec(1_i64..400_000, 1..200),
            interval in prop::sample::select(vec![15_000, MINUTE, 5 * MINUTE]),
        ) {
            let mut schedule = schedule(MINUTE, interval);
            let mut now = 1_000 * DAY + schedule.delay();
            schedule.start(now, 1_000 * DAY);
            let mut seen = 1_000 * DAY;
            for wait in waits {
                now += wait;
                if let Some(Tick { work: Work::Evaluate { from, to }, .. }) = schedule.due(now) {
                    prop_assert_eq!(from, seen + MINUTE);
                    prop_assert!(to + schedule.delay() <= now);
                    seen = to;
                    schedule.reach(to);
                }
            }
            prop_assert!(now - seen < 2 * interval.max(MINUTE) + schedule.delay());
        }
    }
}
