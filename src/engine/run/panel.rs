//! The task of one panel: joins the outcomes of its signals and evaluates each grid time once.

use super::{
    EvaluatePanel, Fed, MakePanel,
    desk::Desk,
    join::{Join, Ready},
    signal::SHORT_TURN,
};
use crate::{
    engine::{
        clock::Clock,
        outcome::{Mode, Outcome},
        pool::{Panicked, Pool},
        schedule::Rebuild,
    },
    series::Millis,
};
use std::{future::pending, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

/// Most grid times of one turn in the pool.
const TURN_SLOTS: usize = 64;
/// Pause after a panic: a panel that panics every time must not keep the processor busy.
const PAUSE: Duration = Duration::from_secs(10);

/// The task of one panel.
pub(super) struct PanelTask {
    pub(super) desk: Desk,
    /// Names of its signals, in the order of the inputs.
    pub(super) inputs: Vec<Arc<str>>,
    /// How long the first outcome of a grid time waits for the others, in shown time.
    pub(super) grace: Millis,
    pub(super) memory: usize,
    pub(super) make: MakePanel,
    pub(super) clock: Clock,
    pub(super) pool: Pool,
}

type Unit = Box<dyn EvaluatePanel>;

/// Why a panel's state was given up.
enum End {
    Panicked(String),
    /// The clock was set back so far that a signal started afresh: `first` is the first it said then.
    ClockBack {
        first: Fed,
        back: Millis,
    },
}

// === impl PanelTask ===

impl PanelTask {
    /// Runs until dropped. `first` is the unit to begin with.
    ///
    /// A panel that panicked starts knowing nothing: its inputs' past is gone by then. After `memory`
    /// steps it is what it would have been.
    pub(super) async fn run(
        self: Arc<Self>,
        mut first: Option<Unit>,
        receiver: Arc<tokio::sync::Mutex<mpsc::Receiver<Fed>>>,
    ) {
        let mut receiver = receiver.lock().await;
        let began = Instant::now();
        let mut join = Join::new(self.inputs.len(), self.memory, self.grace);
        loop {
            let end = match first.take().map_or_else(|| (self.make)(), Ok) {
                Ok(unit) => self.follow(unit, &mut join, &mut receiver, began).await,
                Err(problem) => End::Panicked(problem),
            };
            match end {
                End::Panicked(error) => {
                    self.desk.panicked(&error, self.clock.now());
                    sleep(PAUSE).await;
                    self.desk.events.restarted(&self.desk.name, "panic", &error);
                }
                End::ClockBack { first, back } => {
                    self.desk.rebuilds(Rebuild::ClockBack(back));
                    join = Join::new(self.inputs.len(), self.memory, self.grace);
                    self.take(first, &mut join, began);
                }
            }
        }
    }

    /// Evaluates what is ready, waits for more, until the state must be given up.
    async fn follow(
        &self,
        mut unit: Unit,
        join: &mut Join,
        receiver: &mut mpsc::Receiver<Fed>,
        began: Instant,
    ) -> End {
        let mut prepared = false;
        loop {
            let ready = self.ready(join, began);
            let done = match ready.is_empty() {
                false => self.evaluate(unit, ready).await.map(|unit| (unit, false)),
                true if !prepared => self.prepare(unit).await,
                true => Ok((unit, true)),
            };
            (unit, prepared) = match done {
                Ok(done) => done,
                Err(panic) => return End::Panicked(panic.to_string()),
            };
            self.say_who_is_missing(join);
            tokio::select! {
                biased;
                fed = receiver.recv() => match fed {
                    Some(fed) => match join.ahead(self.clock.now()) {
                        Some(back) => return End::ClockBack { first: fed, back },
                        None => self.take(fed, join, began),
                    },
                    // All signals are gone; a reload will end this task too.
                    None => pending().await,
                },
                () = self.until(join.deadline(), began) => {}
                // What comes is taken in between two turns of preparing.
                () = std::future::ready(()), if !prepared => {}
            }
        }
    }

    /// Up to a turn's worth of grid times that can be evaluated.
    fn ready(&self, join: &mut Join, began: Instant) -> Vec<Ready> {
        let now = self.steady(began);
        std::iter::from_fn(|| join.next(now))
            .take(TURN_SLOTS)
            .collect()
    }

    fn take(&self, fed: Fed, join: &mut Join, began: Instant) {
        let (input, at, live) = (fed.input, fed.outcome.at, fed.live);
        let late = !join.add(fed, self.steady(began));
        // A replayed one is of a signal that was restarted alone: what it says again is known.
        if let (true, true, Some(name)) = (late, live, self.inputs.get(input)) {
            self.desk.events.input_late(&self.desk.name, name, at);
        }
    }

    async fn evaluate(&self, unit: Unit, ready: Vec<Ready>) -> Result<Unit, Panicked> {
        let demand = Arc::clone(&self.desk.demand);
        let work = move |unit: &mut Unit| {
            let began = Instant::now();
            let last = ready.len() - 1;
            let evaluate = |(index, ready): (usize, &Ready)| {
                let newest = index == last && ready.live;
                let mode = if newest { Mode::Publish } else { Mode::Replay };
                let outcome = unit.advance(ready.at, &ready.inputs, mode);
                if newest {
                    demand.warm(&outcome);
                }
                (Arc::new(outcome), ready.live)
            };
            let outcomes: Vec<(Arc<Outcome>, bool)> =
                ready.iter().enumerate().map(evaluate).collect();
            (outcomes, began.elapsed())
        };
        let (unit, (outcomes, took)) = self.pool.run(unit, work).await?;
        for (outcome, live) in &outcomes {
            self.desk.trail.record(outcome);
            if *live {
                self.desk.happened(outcome);
            } else {
                self.desk.part_panics(&outcome.counts);
            }
        }
        if let Some((newest, true)) = outcomes.last() {
            self.desk.publish(Arc::clone(newest), took);
        }
        Ok(unit)
    }

    /// A short turn of what the next grid time will need; whether nothing is left of it.
    async fn prepare(&self, unit: Unit) -> Result<(Unit, bool), Panicked> {
        let work = |unit: &mut Unit| {
            let began = Instant::now();
            while unit.prepare() {
                if began.elapsed() >= SHORT_TURN {
                    return false;
                }
            }
            true
        };
        self.pool.run(unit, work).await
    }

    fn say_who_is_missing(&self, join: &Join) {
        let Some(name) = join.missing().and_then(|input| self.inputs.get(input)) else {
            return;
        };
        let serves = self.desk.serves(self.clock.now());
        self.desk.tell(|report| {
            "waiting".clone_into(&mut report.phase);
            report.silent_because =
                (!serves).then(|| format!("signal {name:?} has not published yet"));
        });
    }

    /// Time that only runs on, in shown milliseconds.
    fn steady(&self, began: Instant) -> Millis {
        (began.elapsed().as_secs_f64() * 1_000.0 * self.clock.speed()) as Millis
    }

    async fn until(&self, deadline: Option<Millis>, began: Instant) {
        let Some(deadline) = deadline else {
            return pending().await;
        };
        // A millisecond more, as the steady time is rounded down.
        let real = (deadline + 1) as f64 / 1_000.0 / self.clock.speed();
        sleep_until(began + Duration::from_secs_f64(real.max(0.0))).await;
    }
}
