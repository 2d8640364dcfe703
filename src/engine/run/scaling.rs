//! The task of all workloads: asks what is needed at aligned ticks, decides, publishes, and hands on what is to be kept.

use crate::{
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
    sync::{Arc, Mutex, PoisonError},
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
/// A start waits no longer for what was kept.
const LONGEST_RESTORE: Duration = Duration::from_secs(10);
/// The longest sleep: a clock that was set meanwhile is noticed within this.
const LONGEST_SLEEP: Duration = Duration::from_secs(15);
/// Decisions are served for so many ticks.
const SERVED_TICKS: i64 = 3;
/// And at least so long.
const LEAST_SERVED: Span = Span::seconds(60);

/// Makes the unit of all workloads, knowing nothing of what was.
pub type MakeScaling = Arc<dyn Fn() -> ScalingUnit + Send + Sync>;

/// What workloads remember, from one task to the next that takes its place.
#[derive(Debug, Clone, Default)]
pub struct Carried(Arc<Mutex<Vec<SavedState>>>);

impl Carried {
    fn get(&self) -> Vec<SavedState> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, states: Vec<SavedState>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = states;
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
        let kept = self.kept().await;
        self.carried.set(kept);
        loop {
            let mut unit = (self.make)();
            let unread = unit.restore(&self.carried.get());
            unread
                .iter()
                .for_each(|name| self.events.state_unread(name));
            let panic = self.follow(unit).await;
            self.events.panicked(&panic);
            sleep(LONGEST_SLEEP).await;
        }
    }

    /// What was kept of earlier decisions: what this process remembers goes before what the store has.
    async fn kept(&self) -> Vec<SavedState> {
        let mut kept = self.carried.get();
        let stored = match timeout(LONGEST_RESTORE, self.ledger.states()).await {
            Ok(Ok(stored)) => stored,
            Ok(Err(error)) => {
                self.events.not_restored(&error);
                Vec::new()
            }
            Err(_) => {
                self.events
                    .not_restored(&"the store did not answer in time");
                Vec::new()
            }
        };
        let newer = |stored: &SavedState| {
            let mut kept = kept.iter();
            kept.all(|kept| kept.workload != stored.workload)
        };
        let stored: Vec<SavedState> = stored.into_iter().filter(newer).collect();
        kept.extend(stored);
        kept
    }

    /// Decides at every tick; returns what a panic said.
    async fn follow(&self, mut unit: ScalingUnit) -> String {
        let tick = self.tick.as_millis().max(1);
        let mut last = None;
        loop {
            let at = self.clock.now().div_euclid(tick) * tick;
            if last.replace(at) != Some(at) {
                let answers = self.ask(unit.questions(), at).await;
                match self.decide(unit, at, answers).await {
                    Ok(back) => unit = back,
                    Err(panic) => return panic,
                }
            }
            let next = self.clock.until(at + tick);
            sleep(next.min(LONGEST_SLEEP).max(Duration::from_millis(1))).await;
        }
    }

    async fn decide(
        &self,
        unit: ScalingUnit,
        at: Millis,
        answers: Vec<Option<Answer>>,
    ) -> Result<ScalingUnit, String> {
        let outcomes = self.catalogue.fresh(self.clock.now());
        let records: Records = self.ledger.records();
        let demand = Arc::clone(self.catalogue.demand());
        let work = move |unit: &mut ScalingUnit| {
            let began = Instant::now();
            let scaling = unit.decide(at, answers, &outcomes, &records);
            demand.warm_chunks(&scaling.chunks);
            (scaling, unit.states(at), began.elapsed())
        };
        let done = self.pool.run(unit, work).await;
        let (unit, (scaling, states, took)) = done.map_err(|panic| panic.to_string())?;
        self.carried.set(states.clone());
        self.ledger.save(states);
        self.publish(scaling, took);
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
        let served = Span::millis(self.tick.as_millis() * SERVED_TICKS).max(LEAST_SERVED);
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
                    Ok((place, Ok(matrix))) => {
                        let matrix = Arc::new(matrix);
                        answers[place] = Some(Answer { at, matrix });
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
                .unanswered("timeout", "", &"the tick did not wait any longer");
        }
        answers
    }
}
