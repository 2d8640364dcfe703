//! The task of one signal: read the history, replay it, then evaluate on aligned ticks.

use super::{EvaluateSignal, Fed, Listener, MakeSignal, backfill::Pieces, desk::Desk};
use crate::{
    engine::{
        clock::Clock,
        outcome::{Mode, Outcome},
        pool::{Panicked, Pool},
        schedule::{ClockWatch, Rebuild, Schedule, Tick, Timing, Work},
        signal::REREAD,
    },
    series::{Millis, Share},
    source::{Cause, Matrix, Prints, Source, SourceError},
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use xxhash_rust::xxh3::xxh3_64;

/// A source has deadlines of its own; this one is for a source that breaks them. Shorter than any
/// sensible `max_age`, so that the report says why before the series go absent.
pub(super) const LIVE_DEADLINE: Duration = Duration::from_secs(120);
/// The same for a piece of history, which may be many requests.
const BACKFILL_DEADLINE: Duration = Duration::from_secs(600);
/// Pause after the first failure of a backfill; doubled with each further one. The source itself has
/// tried several times already.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The longest such pause: a source that came back is noticed within this. Its circuit breaker is what
/// keeps it from being asked too often.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// The longest pause after a panic: each costs reading the history again, and what makes a unit panic
/// rarely goes away by itself.
const LONGEST_REST: Duration = Duration::from_secs(600);
/// The longest sleep: a clock that was set meanwhile, or a source that came back, is noticed within this.
const LONGEST_SLEEP: Duration = Duration::from_secs(15);
/// Work of one turn in the pool. Then others have theirs, and a shutdown is noticed.
const TURN: Duration = Duration::from_millis(250);
/// Work of one turn between the ticks: a tick that becomes due meanwhile waits for it.
pub(super) const SHORT_TURN: Duration = Duration::from_millis(25);
/// Most grid times of one turn: their outcomes are held at once.
const TURN_SLOTS: usize = 64;
/// Share of a backfill's progress that is reading; the rest is replaying.
const READING: f64 = 0.7;
/// Live evaluations after which earlier panics are forgotten: a unit that panics sooner each time must
/// not read its history again and again.
const CALM: u32 = 10;
/// What the trail keeps; older replayed outcomes need not be handed to it.
const TRAIL: Millis = 86_400_000;
/// Less drift of the clock than this is not worth a line in the log.
const CLOCK_TOLERANCE: Millis = 2_000;

/// The task of one signal.
pub(super) struct SignalTask {
    pub(super) desk: Desk,
    pub(super) query: String,
    pub(super) max_series: usize,
    pub(super) share: Share,
    pub(super) timing: Timing,
    pub(super) source: Arc<dyn Source>,
    pub(super) make: MakeSignal,
    pub(super) clock: Clock,
    pub(super) pool: Pool,
    pub(super) listeners: Vec<Listener>,
    /// The series of the newest live answer, where others were left out of it.
    pub(super) kept: Mutex<Arc<Prints>>,
}

/// Why a unit's state was given up.
enum End {
    Rebuild(Rebuild),
    Panicked(String),
}

impl From<Panicked> for End {
    fn from(panic: Panicked) -> Self {
        Self::Panicked(panic.to_string())
    }
}

pub(super) type Unit = Box<dyn EvaluateSignal>;

/// What one turn in the pool gave.
struct Turn {
    outcomes: Vec<Arc<Outcome>>,
    took: Duration,
}

// === impl SignalTask ===

impl SignalTask {
    /// Runs until dropped. `first` is the unit to begin with; others are made after a panic.
    pub(super) async fn run(self: Arc<Self>, mut first: Option<Unit>) {
        let mut panics = 0;
        loop {
            let made = first.take().map_or_else(|| (self.make)(), Ok);
            let end = match made {
                Ok(unit) => self.live(unit, &mut panics).await,
                Err(problem) => End::Panicked(problem),
            };
            match end {
                End::Rebuild(why) => self.desk.rebuilds(why),
                End::Panicked(error) => {
                    self.desk.panicked(&error, self.clock.now());
                    self.pause(panics, LONGEST_REST).await;
                    panics += 1;
                    self.desk.events.restarted(&self.desk.name, "panic", &error);
                }
            }
        }
    }

    /// From a unit without history until its state is given up.
    async fn live(&self, unit: Unit, panics: &mut u32) -> End {
        match self.backfill(unit).await {
            Ok((unit, schedule)) => self.follow(unit, schedule, panics).await,
            Err(panic) => panic.into(),
        }
    }

    // --- History ---

    /// Reads the history, rebuilds the state and replays up to now, where it publishes.
    async fn backfill(&self, unit: Unit) -> Result<(Unit, Schedule), Panicked> {
        let began = Instant::now();
        let mut schedule = Schedule::new(&self.desk.name, self.timing);
        let (unit, at) = self.read_history(unit, &schedule).await?;
        let (unit, from) = self.pool.run(unit, move |unit| unit.restart(at)).await?;
        let unit = self.replay(unit, from, at).await?;
        schedule.start(self.clock.now(), at);
        let series = self
            .desk
            .outcome
            .borrow()
            .as_ref()
            .map_or(0, |newest| newest.counts.series);
        let seconds = began.elapsed().as_secs_f64();
        self.desk.events.running(&self.desk.name, series, seconds);
        Ok((unit, schedule))
    }

    /// Reads the history in pieces; asks until it is answered. Returns the newest grid time read.
    async fn read_history(
        &self,
        mut unit: Unit,
        schedule: &Schedule,
    ) -> Result<(Unit, Millis), Panicked> {
        let mut end = schedule.newest(self.clock.now());
        let mut pieces = Pieces::new(self.timing.grid, unit.history_start(end));
        self.desk.backfilled(0.0, self.clock.now());
        loop {
            while let Some((from, to)) = pieces.next(end) {
                let told;
                (unit, told) = self.ask_for_table(unit, from, to).await?;
                let series = match told {
                    Some(told) => told.rows,
                    None => {
                        let matrix = self.ask_until_answered(from, to).await;
                        let series = matrix.series.len();
                        let work = move |unit: &mut Unit| unit.ingest(&matrix);
                        (unit, ()) = self.pool.run(unit, work).await?;
                        series
                    }
                };
                pieces.done(to, series);
                let share = READING * pieces.share(end);
                self.desk.backfilled(share, self.clock.now());
            }
            // Reading may take long; what came meanwhile is read too, unless it is so little that
            // the first tick bridges it.
            let now = schedule.newest(self.clock.now());
            if now - end <= schedule.bridge() / 2 {
                return Ok((unit, end));
            }
            end = now;
        }
    }

    async fn ask_until_answered(&self, from: Millis, to: Millis) -> Matrix {
        let mut failures = 0;
        loop {
            match self.ask(from, to, BACKFILL_DEADLINE).await {
                Ok(matrix) => return matrix,
                Err(error) => self.desk.failed(&error, self.clock.now()),
            }
            self.pause(failures, LONGEST_PAUSE).await;
            failures += 1;
        }
    }

    /// Evaluates quietly from the grid time after `from` up to `at`, which is published.
    async fn replay(&self, mut unit: Unit, from: Millis, at: Millis) -> Result<Unit, Panicked> {
        let step = self.timing.grid.step();
        let mut reached = from;
        while reached < at {
            let turn;
            (unit, turn) = self.turn(unit, None, reached + step, at, Some(at)).await?;
            reached += turn.outcomes.len() as Millis * step;
            for outcome in &turn.outcomes {
                let newest = outcome.at == at;
                self.desk.part_panics(&outcome.counts);
                if outcome.at > at - TRAIL {
                    self.desk.trail.record(outcome);
                }
                if newest {
                    self.desk.publish(Arc::clone(outcome), turn.took);
                }
                self.feed_replayed(outcome, at, newest).await;
            }
            let share = (reached - from) as f64 / (at - from) as f64;
            if reached < at {
                let share = READING + (1.0 - READING) * share;
                self.desk.backfilled(share, self.clock.now());
            }
        }
        Ok(unit)
    }

    // --- Ticks ---

    /// Evaluates on aligned ticks until the state must be given up.
    async fn follow(&self, mut unit: Unit, mut schedule: Schedule, panics: &mut u32) -> End {
        let began = Instant::now();
        let mut calm = 0;
        let mut watch = ClockWatch::new(CLOCK_TOLERANCE);
        let (mut failed, mut slept) = (false, false);
        let mut idle = false;
        let mut arrivals = self.source.arrivals(&self.query, self.timing.grid.step());
        loop {
            let came = arrived(&mut arrivals, &mut schedule);
            let now = self.clock.now();
            let steady = began.elapsed().as_secs_f64() * 1_000.0 * self.clock.speed();
            if let Some(step) = watch.look(now, steady as Millis) {
                self.desk.events.clock_set(&self.desk.name, step);
            }
            let tick = schedule.due(now);
            let on_tick = tick.is_some();
            // After a failure the rest is tried again before the next tick, which may be far.
            let again = failed && slept;
            let overdue = (came || again).then(|| schedule.overdue(now)).flatten();
            let Some(Tick { missed, work }) = tick.or(overdue) else {
                if !idle {
                    (unit, idle) = match self.refit(unit).await {
                        Ok(done) => done,
                        Err(panic) => return panic.into(),
                    };
                    continue;
                }
                tokio::select! {
                    () = sleep(self.clock.until(schedule.next(now)).min(LONGEST_SLEEP)) => slept = true,
                    () = news(&mut arrivals) => {}
                }
                continue;
            };
            (slept, idle) = (false, false);
            self.desk.events.missed(&self.desk.name, missed);
            match work {
                Work::Republish => self.desk.republish(),
                Work::Wait { reached } => self.desk.waits(reached, now),
                Work::Rebuild(why) => return End::Rebuild(why),
                Work::Evaluate { from, to } => {
                    let caught_up = self.catch_up(unit, &mut schedule, from, to).await;
                    let failure;
                    (unit, failure) = match caught_up {
                        Ok(reached) => reached,
                        Err(panic) => return panic.into(),
                    };
                    calm += 1;
                    if calm >= CALM {
                        *panics = 0;
                    }
                    let now = self.clock.now();
                    match &failure {
                        Some(error) if on_tick => self.desk.failed(error, now),
                        Some(error) => self.desk.failed_again(error, now),
                        None => {}
                    }
                    // What the source refuses it will refuse again: that waits for its tick.
                    failed = failure
                        .is_some_and(|error| !matches!(error.cause, Cause::Query | Cause::Limit));
                }
            }
        }
    }

    /// A short turn of what later grid times will need; whether nothing is left of it.
    async fn refit(&self, unit: Unit) -> Result<(Unit, bool), Panicked> {
        let work = |unit: &mut Unit| {
            let began = Instant::now();
            while unit.refit() {
                if began.elapsed() >= SHORT_TURN {
                    return false;
                }
            }
            true
        };
        self.pool.run(unit, work).await
    }

    /// Evaluates every grid time from `from` to `to`, in order, and publishes the newest. Where the
    /// source fails, what was reached stays reached, and the failure is given: the rest is due again.
    async fn catch_up(
        &self,
        mut unit: Unit,
        schedule: &mut Schedule,
        from: Millis,
        to: Millis,
    ) -> Result<(Unit, Option<SourceError>), Panicked> {
        let step = self.timing.grid.step();
        let mut pieces = Pieces::new(self.timing.grid, from);
        // The number of series is known: a gap of up to a day is one request.
        pieces.expect(
            self.desk
                .outcome
                .borrow()
                .as_ref()
                .map_or(0, |newest| newest.counts.series),
        );
        while let Some((first, last)) = pieces.next(to) {
            let start = first - (REREAD as i64 + 1) * step;
            let told;
            (unit, told) = self.ask_for_table(unit, start, last).await?;
            let (mut answer, mut took) = (None, Duration::ZERO);
            if let Some(told) = told {
                pieces.done(last, told.rows);
                self.desk.told(told.dropped);
                took = told.took;
            } else {
                let matrix = match self.ask_on(start, last).await {
                    Ok(matrix) => matrix,
                    Err(error) => return Ok((unit, Some(error))),
                };
                pieces.done(last, matrix.series.len());
                answer = Some(matrix);
            }
            while schedule.reached() < last {
                let next = schedule.reached() + step;
                let turn;
                // Only the newest of all is published: nobody looks at the ones between.
                let publish = (last == to).then_some(to);
                (unit, turn) = self.turn(unit, answer.take(), next, last, publish).await?;
                took += turn.took;
                for outcome in turn.outcomes {
                    schedule.reach(outcome.at);
                    self.evaluated(outcome, to, took);
                }
            }
        }
        Ok((unit, None))
    }

    /// One grid time was evaluated live.
    fn evaluated(&self, outcome: Arc<Outcome>, to: Millis, took: Duration) {
        self.desk.happened(&outcome);
        self.desk.trail.record(&outcome);
        if outcome.at == to {
            self.desk.publish(Arc::clone(&outcome), took);
        }
        for listener in &self.listeners {
            // A panel that is so far behind must not hold up the signal: it will call this input late.
            let fed = Fed::new(listener, &outcome, true);
            if listener.sender.try_send(fed).is_err() && !listener.sender.is_closed() {
                let name = &self.desk.name;
                self.desk.events.input_late(name, name, outcome.at);
            }
        }
    }

    async fn feed_replayed(&self, outcome: &Arc<Outcome>, at: Millis, live: bool) {
        for listener in &self.listeners {
            let memory = (listener.memory as Millis).saturating_mul(self.timing.grid.step());
            if outcome.at > at.saturating_sub(memory) || live {
                let fed = Fed::new(listener, outcome, live);
                // Closed: the panel was removed.
                drop(listener.sender.send(fed).await);
            }
        }
    }

    // --- Parts ---

    /// One turn in the pool: takes in the answer, then evaluates from `from` on, `to` at most.
    async fn turn(
        &self,
        unit: Unit,
        answer: Option<Matrix>,
        from: Millis,
        to: Millis,
        publish: Option<Millis>,
    ) -> Result<(Unit, Turn), Panicked> {
        let step = self.timing.grid.step();
        if let Some(matrix) = &answer {
            self.desk.answered(matrix);
        }
        let demand = Arc::clone(&self.desk.demand);
        let work = move |unit: &mut Unit| {
            let began = Instant::now();
            if let Some(matrix) = &answer {
                unit.ingest(matrix);
            }
            let mut outcomes = Vec::new();
            let mut at = from;
            while at <= to && outcomes.len() < TURN_SLOTS {
                let mode = if publish == Some(at) {
                    Mode::Publish
                } else {
                    Mode::Replay
                };
                let outcome = unit.advance(at, mode);
                if mode == Mode::Publish {
                    demand.warm(&outcome);
                }
                outcomes.push(Arc::new(outcome));
                at += step;
                if began.elapsed() >= TURN {
                    break;
                }
            }
            Turn {
                outcomes,
                took: began.elapsed(),
            }
        };
        self.pool.run(unit, work).await
    }

    /// Waits after a failure: longer each time up to `longest`, and not as long as the others do.
    async fn pause(&self, failures: u32, longest: Duration) {
        let pause = FIRST_PAUSE
            .saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX))
            .min(longest);
        let share = (xxh3_64(self.desk.name.as_bytes()) % 1_000) as f64 / 1_000.0;
        sleep(pause.mul_f64(0.75 + share / 4.0)).await;
    }
}

/// Tells the schedule what has come by itself since the last look; whether anything has.
fn arrived(arrivals: &mut Option<watch::Receiver<Millis>>, schedule: &mut Schedule) -> bool {
    let news = arrivals
        .as_mut()
        .filter(|one| one.has_changed().unwrap_or(false));
    let Some(news) = news else { return false };
    schedule.arrive(*news.borrow_and_update());
    true
}

/// Waits until something comes by itself: for ever where nothing can. Looks, but marks nothing as seen.
async fn news(arrivals: &mut Option<watch::Receiver<Millis>>) {
    let more = match arrivals {
        Some(arrivals) => arrivals.changed().await.is_ok(),
        None => false,
    };
    match (more, arrivals) {
        (true, Some(arrivals)) => arrivals.mark_changed(),
        // Nobody tells any more: the signal was taken off its source.
        (_, arrivals) => {
            *arrivals = None;
            std::future::pending().await
        }
    }
}
