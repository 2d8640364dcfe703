//! The unit of all workloads: at every tick what is asked and forecast now becomes a size for each.
//!
//! | file | what |
//! |---|---|
//! | `questions.rs` | what the sources are asked at decision time, each thing once however many workloads want it |
//! | `gather.rs` | from answers and outcomes to what a decision looks at |
//! | `advice.rs` | what an autoscaler is told |
//! | `current.rs` | the series of this process as rules see them |
//! | `publish.rs` | the families of workloads |
//! | `what_if.rs` | what would be decided if something were otherwise |
//! | `course.rs` | the recent past of workloads, for pictures |
//! | `ledger.rs` | the seam to what is kept: events, overrides, decisions |
//!
//! Synchronous and without IO, as every unit: the live loop asks the questions and hands the answers in.

mod advice;
mod course;
mod current;
mod gather;
mod ledger;
mod publish;
mod questions;
#[cfg(test)]
mod tests;
mod what_if;

pub use advice::{Advice, Silence, Target};
pub use course::{CoursePoint, Courses};
pub use ledger::{Ledger, NoLedger, Records, SavedState, States};
pub use questions::{Answer, Question, Questions, the_one};
pub use what_if::Supposed;

use crate::{
    decide::{
        Binding, Board, Decision, Gate, Inputs, Mode, Settings, SharedSettings, State, Workload,
    },
    engine::{guard::guarded, outcome::Outcome},
    expo::Chunk,
    promql::Expression,
    quality::Bounds,
    series::{Millis, Span},
};
use gather::Gatherer;
use std::{collections::HashMap, sync::Arc};

/// One workload that is to be decided on.
#[derive(Debug, Clone)]
pub struct WorkloadPlan {
    /// Its settings, with calendars and the interval put in.
    pub settings: Arc<Settings>,
    /// Its rules, in the order of the settings.
    pub rules: Vec<Expression>,
    /// Step of the signal its demand is of.
    pub step: Span,
    /// Share of values inside the intervals of that signal.
    pub interval: f64,
    /// The query of that signal: asked for the newest demand where the workload has none of its own.
    pub query: String,
    /// Most series of an answer to it.
    pub max_series: usize,
    /// Which of the sources is asked for that.
    pub source: usize,
    /// Which of the sources is asked what the workload asks itself: another one where that of its signal answers no
    /// queries.
    pub asked: usize,
    /// The values that the demand of now can have: those of the signal where its query is asked.
    pub bounds: Bounds,
}

/// What one evaluation of all workloads produced. Immutable; every reader reads it.
#[derive(Debug, Default)]
pub struct Scaling {
    /// The aligned time of the decisions.
    pub at: Millis,
    /// One a workload, in the order of the configuration.
    pub decisions: Vec<Decided>,
    /// What `/metrics` shows of them.
    pub chunks: Vec<Chunk>,
    /// Workloads whose decision panicked.
    pub panicked: usize,
    /// What was decided from, for whoever asks what would be if.
    inputs: Vec<Inputs>,
    before: Arc<Board>,
}

/// A decision, and what readers want to know beside it.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The decision.
    pub decision: Decision,
    /// The workload it is about.
    pub settings: Arc<Settings>,
    /// Whether it differs from the one before in anything a person would want to read in the log.
    pub is_news: bool,
    /// What could not be found out, in sentences.
    pub notes: Vec<String>,
    /// Share of recent greatest demands at or below their quantile, in the worst of the workload's windows; estimated from
    /// how the upper end of the signal's interval held. `None` where not known.
    pub coverage: Option<f64>,
    /// 1 minus the error relative to seasonal naive; `None` where not known.
    pub skill: Option<f64>,
}

/// The unit of all workloads.
#[derive(Debug)]
pub struct ScalingUnit {
    /// Shared with whoever looks at what was before, and with the task that may take its place.
    board: Arc<Board>,
    settings: Vec<Arc<Settings>>,
    gatherer: Gatherer,
    replica: Option<String>,
    /// What was logged last of each workload.
    logged: Vec<Option<LogKey>>,
}

/// What of a decision is worth a line in the log when it changes.
type LogKey = (
    Mode,
    Option<u32>,
    Option<u32>,
    Gate,
    Binding,
    Option<Binding>,
);

impl ScalingUnit {
    /// A unit that knows nothing of what was.
    pub fn new(plans: &[WorkloadPlan], shared: Vec<SharedSettings>, replica: Option<&str>) -> Self {
        let settings = plans.iter().map(|plan| Arc::clone(&plan.settings));
        let settings: Vec<_> = settings.collect();
        let workloads = settings.iter().map(|own| Workload::new(Arc::clone(own)));
        Self {
            board: Arc::new(Board {
                workloads: workloads.collect(),
                shared,
                used: Vec::new(),
            }),
            settings,
            gatherer: Gatherer::new(plans),
            replica: replica.map(str::to_owned),
            logged: vec![None; plans.len()],
        }
    }

    /// There are these signals and panels, and no others: a rule about one that has no newest outcome is not known.
    pub fn know(&mut self, signals: impl IntoIterator<Item = Arc<str>>) {
        self.gatherer.know(signals);
    }

    /// What the sources are to be asked before each decision.
    pub fn questions(&self) -> &[Question] {
        self.gatherer.questions()
    }

    /// Goes on from where another unit in this process was, which may have had other settings.
    pub fn take_over(&mut self, former: &Board) {
        let board = Arc::make_mut(&mut self.board);
        board.used.clone_from(&former.used);
        let known: HashMap<&str, &Workload> = former
            .workloads
            .iter()
            .map(|one| (one.settings().name.as_str(), one))
            .collect();
        for (workload, settings) in board.workloads.iter_mut().zip(&self.settings) {
            if let Some(former) = known.get(settings.name.as_str()) {
                *workload = Workload::restore(Arc::clone(settings), former.state().clone());
            }
        }
    }

    /// Goes on from what was kept. A text that cannot be read is left aside: returns the workloads it is of.
    pub fn restore(&mut self, states: &[SavedState]) -> Vec<String> {
        let mut unread = Vec::new();
        let board = Arc::make_mut(&mut self.board);
        if let Some(saved) = states.iter().find(|saved| saved.workload.is_empty()) {
            match serde_json::from_str(&saved.text) {
                Ok(used) => board.used = used,
                Err(_) => unread.push("what was used of quotas".to_owned()),
            }
        }
        for (workload, settings) in board.workloads.iter_mut().zip(&self.settings) {
            let of = |saved: &&SavedState| *saved.workload == *settings.name;
            let Some(saved) = states.iter().find(of) else {
                continue;
            };
            match serde_json::from_str::<State>(&saved.text) {
                Ok(state) => *workload = Workload::restore(Arc::clone(settings), state),
                Err(_) => unread.push(settings.name.clone()),
            }
        }
        unread
    }

    /// All it remembers, as of its newest decision.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// What a restart must be given again of the workloads that are `wanted`, by name. Takes longer than a decision.
    pub fn states(&self, at: Millis, wanted: impl Fn(&str) -> bool) -> Vec<SavedState> {
        let of = |workload: &Workload| {
            if !wanted(&workload.settings().name) {
                return None;
            }
            let text = serde_json::to_string(workload.state()).ok()?;
            let workload = workload.settings().name.as_str().into();
            Some(SavedState { workload, at, text })
        };
        let workloads = self.board.workloads.iter().filter_map(of);
        // What was used of quotas belongs to no workload, and no workload is called "".
        let used = serde_json::to_string(&self.board.used).ok();
        let used = used.filter(|_| !self.board.used.is_empty());
        let used = used.map(|text| SavedState {
            workload: "".into(),
            at,
            text,
        });
        workloads.chain(used).collect()
    }

    /// Decides on every workload at `at`, an aligned time. `answers` are to [`ScalingUnit::questions`], in their order;
    /// `None` where there was none. `outcomes` are the newest of the signals.
    pub fn decide(
        &mut self,
        at: Millis,
        answers: Vec<Option<Answer>>,
        outcomes: &[Arc<Outcome>],
        records: &Records,
    ) -> Scaling {
        let gathered = self.gatherer.gather(at, answers, outcomes, records);
        let before = Arc::clone(&self.board);
        let (decisions, panicked) = self.decisions(at, &gathered.inputs, &before);
        let mut decided = Vec::with_capacity(decisions.len());
        for (place, (decision, about)) in decisions.into_iter().zip(gathered.about).enumerate() {
            let is_news = self.is_news(place, &decision, &before);
            decided.push(Decided {
                decision,
                settings: Arc::clone(&self.settings[place]),
                is_news,
                notes: about.notes,
                coverage: about.coverage,
                skill: about.skill,
            });
        }
        Scaling {
            at,
            chunks: publish::chunks(&decided, self.replica.as_deref()),
            decisions: decided,
            panicked: panicked.len(),
            inputs: gathered.inputs,
            before,
        }
    }

    /// Whether a decision is worth a line in the log, and that it has one now.
    fn is_news(&mut self, place: usize, decision: &Decision, before: &Board) -> bool {
        let key = Some(log_key(decision));
        let differs = self.logged[place] != key;
        // What was decided on at this very time before, as by the task of the configuration before, may stand in the log
        // under this time already, and one line is all that a time has. So the next decision says it as well.
        let is_again = before.workloads[place].decided() >= Some(decision.at);
        self.logged[place] = key.filter(|_| !is_again);
        // The end of a rise and a withdrawal are told once, whatever the size is then.
        let ends = decision.prewarmed.is_some() || decision.withdrawn;
        differs || (ends && decision.mode != Mode::Off)
    }

    /// Decides on all at once; where that panics, the workload that does begins anew, not knowing anything at this tick.
    fn decisions(
        &mut self,
        at: Millis,
        inputs: &[Inputs],
        before: &Board,
    ) -> (Vec<Decision>, Vec<usize>) {
        // The copy that leaves what was before as it was: the only one of a tick.
        if let Some(decisions) = guarded(|| Arc::make_mut(&mut self.board).decide(at, inputs)) {
            return (decisions, Vec::new());
        }
        let mut board = before.clone();
        let (mut inputs, mut panicked) = (inputs.to_vec(), Vec::new());
        for (place, workload) in board.workloads.iter_mut().enumerate() {
            let mut alone = Board {
                workloads: vec![workload.clone()],
                shared: Vec::new(),
                used: Vec::new(),
            };
            if guarded(|| alone.decide(at, &inputs[place..=place])).is_none() {
                *workload = Workload::new(Arc::clone(&self.settings[place]));
                inputs[place] = Inputs::default();
                panicked.push(place);
            }
        }
        let decisions = guarded(|| board.decide(at, &inputs));
        self.board = Arc::new(board);
        (decisions.unwrap_or_default(), panicked)
    }
}

/// Of a workload in mode `off` nothing is recommended: that it is off is all there is to say, once.
fn log_key(decision: &Decision) -> LogKey {
    if decision.mode == Mode::Off {
        return (Mode::Off, None, None, Gate::Open, Binding::Reactive, None);
    }
    (
        decision.mode,
        decision.replicas,
        decision.would_be,
        decision.gate,
        decision.binding,
        decision.held.map(|held| held.by),
    )
}
