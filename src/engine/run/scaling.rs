//! The task of all workloads: asks what is needed at aligned ticks, decides, publishes, and hands on what is to be kept.

use crate::{
    decide::Board,
    engine::{
        Clock, Pool,
        catalogue::{Catalogue, ScalingHandle},
        scaling::{Answer, Decided, Ledger, Question, Records, SavedState, Scaling, ScalingUnit},
    },
    series::{Millis, Span},
    source::Source,
    telemetry::ScalingEvents,
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// Questions that are asked at once: a source is not to be flooded every few seconds.
const AT_ONCE: usize = 8;
/// A decision waits no longer for answers; those before are in force until they are too old.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Where the store could not be asked at the start, a tick waits so long for it.
const LONGEST_RETRY: Duration = Duration::from_secs(2);
/// Nothing is decided for so long where the orders of people were never read.
const LONGEST_BLIND: Duration = Duration::from_secs(60);
/// What workloads remember is written so often where nothing changed, and at once where their decision did.
const SAVED_EVERY: Duration = Duration::from_secs(15);
/// A start waits no longer for what was kept.
const LONGEST_RESTORE: Duration = Duration::from_secs(10);
/// The longest sleep: a clock that was set meanwhile is noticed within this.
const LONGEST_SLEEP: Duration = Duration::from_secs(15);
/// Decisions are made of times that are multiples of this, or of the tick where that is shorter, milliseconds.
const LONGEST_GRAIN: Millis = 30_000;
/// Decisions are served for so many ticks, as long as that is short.
const SERVED_TICKS: i64 = 3;
const SERVED: Span = Span::minutes(5);
/// And at least so much longer than a tick.
const LEAST_SERVED: Span = Span::seconds(60);

/// Makes the unit of all workloads, knowing nothing of what was.
pub type MakeScaling = Arc<dyn Fn() -> ScalingUnit + Send + Sync>;

/// What workloads remember, from one task to the next that takes its place.
#[derive(Debug, Clone, Default)]
pub struct Carried(Arc<Mutex<Remembered>>);

#[derive(Debug, Default)]
struct Remembered {
    /// As of the newest decision.
    board: Option<Arc<Board>>,
    /// What the store had of workloads that are not [`Remembered::own`].
    stored: Vec<SavedState>,
    /// Workloads of which the store has nothing that is not known here: it was read before they were first decided on. Of
    /// all others what is stored counts, or the first save would overwrite it with what a blind start knows.
    own: BTreeSet<Arc<str>>,
}

impl Carried {
    /// What the store has, less what is known better here.
    fn set_stored(&self, mut stored: Vec<SavedState>) -> Vec<SavedState> {
        let mut remembered = self.remembered();
        stored.retain(|one| !remembered.own.contains(&one.workload));
        remembered.stored.clone_from(&stored);
        stored
    }

    /// After a decision; `restored`: the store was read before it.
    fn set(&self, board: Arc<Board>, restored: bool) {
        let mut remembered = self.remembered();
        if restored {
            let names = board.workloads.iter().map(|one| &*one.settings().name);
            // What was used of quotas is kept under no name.
            let mut names = names.chain([""]);
            let own = &mut remembered.own;
            let count = board.workloads.len() + 1;
            if own.len() != count || !names.clone().all(|name| own.contains(name)) {
                *own = names.by_ref().map(Arc::from).collect();
            }
            remembered.stored.clear();
        }
        remembered.board = Some(board);
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task of all workloads.
pub struct ScalingTask {
    /// Makes the unit; again after a panic.
    pub make: MakeScaling,
    /// What the questions are asked of, by their place.
    pub sources: Vec<Arc<dyn Source>>,
    /// How often decisions are made.
    pub tick: Span,
    /// Where the newest outcomes are, and decisions go.
    pub catalogue: Arc<Catalogue>,
    /// What is kept.
    pub ledger: Arc<dyn Ledger>,
    /// What a former task left.
    pub carried: Carried,
    /// The time.
    pub clock: Clock,
    /// Where it computes.
    pub pool: Pool,
    /// What is counted and logged.
    pub events: Arc<ScalingEvents>,
}

/// What becomes of what workloads remember after a decision.
#[derive(Debug, Clone, Copy)]
struct Keep {
    /// Whether the store was read before.
    restored: bool,
    /// Whether it is written there now.
    save: bool,
}

impl std::fmt::Debug for ScalingTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScalingTask")
            .field("tick", &self.tick)
            .field("sources", &self.sources)
            .finish_non_exhaustive()
    }
}

// === impl ScalingTask ===

impl ScalingTask {
    /// Runs until dropped.
    pub async fn run(self: Arc<Self>) {
        let mut restored = self.stored(LONGEST_RESTORE).await.is_some();
        loop {
            let mut unit = (self.make)();
            let (board, stored) = {
                let remembered = self.carried.remembered();
                (remembered.board.clone(), remembered.stored.clone())
            };
            if let Some(board) = board {
                unit.take_over(&board);
            }
            self.take_up(&mut unit, &stored);
            let panic = self.follow(unit, &mut restored).await;
            self.events.panicked(&panic);
            sleep(LONGEST_SLEEP).await;
        }
    }

    /// What the store has of workloads that this process does not remember better itself; `None` where the store does not
    /// answer. Until it did nothing is saved there, or what it has would be lost.
    async fn stored(&self, patience: Duration) -> Option<Vec<SavedState>> {
        match timeout(patience, self.ledger.states()).await {
            Ok(Ok(stored)) => return Some(self.carried.set_stored(stored)),
            Ok(Err(error)) => self.events.not_restored(&error),
            Err(_) => self
                .events
                .not_restored(&"the store did not answer in time"),
        }
        None
    }

    fn take_up(&self, unit: &mut ScalingUnit, states: &[SavedState]) {
        let unread = unit.restore(states);
        unread
            .iter()
            .for_each(|name| self.events.state_unread(name));
    }

    /// Decides at every tick; returns what a panic said.
    async fn follow(&self, mut unit: ScalingUnit, restored: &mut bool) -> String {
        let tick = self.tick.as_millis().max(1);
        let (mut last, mut blind, mut saved) = (None, None, None);
        loop {
            let (turn, at) = turn_at(self.clock.now(), tick);
            if last.replace(turn) != Some(turn) {
                if !*restored && let Some(stored) = self.stored(LONGEST_RETRY).await {
                    self.take_up(&mut unit, &stored);
                    *restored = true;
                }
                let records = self.ledger.records();
                if self.may_decide(&records, &mut blind) {
                    let answers = self.ask(unit.questions(), at).await;
                    let keep = Keep {
                        restored: *restored,
                        save: *restored && self.is_time_to_save(&mut saved),
                    };
                    match self.decide(unit, (at, keep), answers, records).await {
                        Ok(back) => unit = back,
                        Err(panic) => return panic,
                    }
                }
            }
            let next = self.clock.until((turn + 1) * tick);
            sleep(next.min(LONGEST_SLEEP).max(Duration::from_millis(1))).await;
        }
    }

    /// Orders that were never read are waited for, but not for ever. `blind` is since when.
    fn may_decide(&self, records: &Records, blind: &mut Option<Instant>) -> bool {
        if records.known {
            *blind = None;
            return true;
        }
        let since = *blind.get_or_insert_with(Instant::now);
        let waits = since.elapsed() < LONGEST_BLIND;
        self.events.blind(waits);
        !waits
    }

    fn is_time_to_save(&self, saved: &mut Option<Instant>) -> bool {
        let is_time = saved.is_none_or(|last| last.elapsed() >= SAVED_EVERY);
        if is_time {
            *saved = Some(Instant::now());
        }
        is_time
    }

    async fn decide(
        &self,
        unit: ScalingUnit,
        (at, keep): (Millis, Keep),
        answers: Vec<Option<Answer>>,
        records: Records,
    ) -> Result<ScalingUnit, String> {
        let outcomes = self.catalogue.fresh(self.clock.now());
        let signals = self.catalogue.units();
        let demand = Arc::clone(self.catalogue.demand());
        let work = move |unit: &mut ScalingUnit| {
            let began = Instant::now();
            unit.know(signals.iter().map(|handle| Arc::clone(&handle.name)));
            let scaling = unit.decide(at, answers, &outcomes, &records);
            demand.warm_chunks(&scaling.chunks);
            (scaling, began.elapsed())
        };
        let done = self.pool.run(unit, work).await;
        let (unit, (scaling, took)) = done.map_err(|panic| panic.to_string())?;
        self.carried.set(Arc::clone(unit.board()), keep.restored);
        // Whoever starts from an older state would go back behind the newest change.
        let news = scaling.decisions.iter().filter(|one| one.is_news);
        let changed: BTreeSet<_> = news.map(|one| one.decision.workload.clone()).collect();
        self.publish(scaling, took);
        if !(keep.save || keep.restored && !changed.is_empty()) {
            return Ok(unit);
        }
        let work = move |unit: &mut ScalingUnit| {
            unit.states(at, |name| keep.save || changed.contains(name))
        };
        let saved = self.pool.run(unit, work).await;
        let (unit, states) = saved.map_err(|panic| panic.to_string())?;
        self.ledger.save(states);
        Ok(unit)
    }

    fn publish(&self, scaling: Scaling, took: Duration) {
        self.events
            .decided(scaling.at, scaling.decisions.len(), scaling.panicked, took);
        for Decided { decision, .. } in &scaling.decisions {
            if let Some(prewarmed) = decision.prewarmed {
                self.events.rose(&decision.workload, prewarmed);
            }
        }
        let news = scaling.decisions.iter().filter(|one| one.is_news);
        let news: Vec<_> = news.map(|one| one.decision.clone()).collect();
        news.iter().for_each(|decision| self.events.news(decision));
        self.ledger.append(news);
        let tick = self.tick.as_millis();
        let served = Span::millis(tick * SERVED_TICKS).min(SERVED);
        let served = served.max(Span::millis(tick + LEAST_SERVED.as_millis()));
        self.catalogue.decided(Some(ScalingHandle {
            newest: Arc::new(scaling),
            max_age: served,
        }));
    }

    /// Asks everything at once, as far as that is polite; what is not answered in time is `None`.
    async fn ask(&self, questions: &[Question], at: Millis) -> Vec<Option<Answer>> {
        let half = Duration::from_millis(self.tick.as_millis().unsigned_abs() / 2);
        let wait = half.min(LONGEST_WAIT);
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let mut asked = JoinSet::new();
        for (place, question) in questions.iter().enumerate() {
            let Some(source) = self.sources.get(question.source).map(Arc::clone) else {
                continue;
            };
            let (request, turns) = (question.at(at), Arc::clone(&turns));
            asked.spawn(async move {
                let _turn = turns.acquire_owned().await;
                (place, source.range(request).await)
            });
        }
        let mut answers = vec![None; questions.len()];
        let collect = async {
            while let Some(answered) = asked.join_next().await {
                match answered {
                    // Half of the demand is not the demand: the answer before holds until it is too old.
                    Ok((place, Ok(matrix))) if matrix.is_partial() => {
                        let query = &questions[place].query;
                        let why = matrix.warnings.join("; ");
                        self.events.unanswered("partial", query, &why);
                    }
                    Ok((place, Ok(matrix))) => {
                        let matrix = Arc::new(matrix);
                        answers[place] = Some(Answer::new(at, matrix));
                    }
                    Ok((place, Err(error))) => {
                        let query = &questions[place].query;
                        self.events.unanswered(error.cause.as_str(), query, &error);
                    }
                    Err(panic) => self.events.unanswered("panic", "", &panic),
                }
            }
        };
        if timeout(wait, collect).await.is_err() {
            self.events
                .unanswered("tick", "", &"the tick did not wait any longer");
        }
        answers
    }
}

/// The number of the tick that `now` is in, and the time that is decided about then: the same on every replica, and not long
/// past where ticks are rare.
fn turn_at(now: Millis, tick: Millis) -> (i64, Millis) {
    let grain = tick.min(LONGEST_GRAIN);
    (now.div_euclid(tick), now.div_euclid(grain) * grain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tick_has_its_turn_as_soon_as_it_begins() {
        for (tick, begins) in [
            (15_000, vec![0, 15_000, 30_000]),
            (45_000, vec![0, 45_000, 90_000, 135_000]),
            (1_800_000, vec![0, 1_800_000]),
        ] {
            let mut before = None;
            for (turn, begin) in begins.into_iter().enumerate() {
                let (found, at) = turn_at(begin, tick);
                assert_eq!(found, turn as i64, "{tick}");
                assert!(at <= begin && begin - at < LONGEST_GRAIN, "{tick}: {at}");
                assert!(before < Some(at), "{tick}: {at} again");
                before = Some(at);
                assert_eq!(turn_at(begin + tick - 1, tick).0, turn as i64);
            }
        }
        // Whoever starts in between decides about now, not about when the tick began.
        assert_eq!(turn_at(1_745_000, 1_800_000), (0, 1_740_000));
    }
}
