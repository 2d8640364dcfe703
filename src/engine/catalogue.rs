//! The units that are running, as readers see them. Replaced whole on reload.

use super::{
    demand::Demand,
    outcome::Outcome,
    scaling::{Advice, Courses, Scaling, Silence},
    trail::Trail,
};
use crate::{
    decide::Settings,
    series::{Millis, Span},
};
use arc_swap::ArcSwap;
use serde::Serialize;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// The units that are running.
#[derive(Debug, Default)]
pub struct Catalogue {
    units: ArcSwap<Vec<Arc<UnitHandle>>>,
    demand: Arc<Demand>,
    scaling: watch::Sender<Option<ScalingHandle>>,
    workloads: ArcSwap<Vec<Arc<str>>>,
    courses: Courses,
}

/// The newest decisions, as readers see them.
#[derive(Debug, Clone)]
pub struct ScalingHandle {
    /// The decisions.
    pub newest: Arc<Scaling>,
    /// Older ones are not served.
    pub max_age: Span,
}

impl ScalingHandle {
    /// Whether it is served at `now`.
    pub fn is_fresh(&self, now: Millis) -> bool {
        let age = now.saturating_sub(self.newest.at).saturating_abs();
        age <= self.max_age.as_millis()
    }
}

impl Catalogue {
    /// Which encodings readers ask for.
    pub fn demand(&self) -> &Arc<Demand> {
        &self.demand
    }

    /// The units, sorted by name.
    pub fn units(&self) -> Arc<Vec<Arc<UnitHandle>>> {
        self.units.load_full()
    }

    /// Puts these units in the place of the former ones.
    pub fn replace(&self, mut units: Vec<Arc<UnitHandle>>) {
        units.sort_by(|one, other| one.name.cmp(&other.name));
        self.units.store(Arc::new(units));
    }

    /// The newest decisions on workloads, unless they are too old at `now` or there are none.
    pub fn scaling(&self, now: Millis) -> Option<Arc<Scaling>> {
        let handle = self.last_scaling()?;
        handle.is_fresh(now).then_some(handle.newest)
    }

    /// What an autoscaler is told of a workload at `now`.
    ///
    /// # Errors
    /// There is nothing that it could be told.
    pub fn advice(&self, now: Millis, workload: &str) -> Result<Advice, Silence> {
        self.knows(workload)?;
        let scaling = self.scaling(now).ok_or(Silence::Undecided)?;
        scaling.advice(workload)
    }

    /// Whether a workload is in the configuration in force, decided on or not.
    ///
    /// # Errors
    /// It is not; with the names of those that are.
    pub fn knows(&self, workload: &str) -> Result<(), Silence> {
        let known = self.workloads.load_full();
        match known.iter().any(|name| **name == *workload) {
            true => Ok(()),
            false => Err(Silence::Stranger(workload.to_owned(), known.to_vec())),
        }
    }

    /// The names of the workloads of the configuration in force, decided on or not.
    pub fn workloads(&self) -> Arc<Vec<Arc<str>>> {
        self.workloads.load_full()
    }

    /// Puts the names of these workloads in the place of the former ones.
    pub fn announce(&self, workloads: Vec<Arc<str>>) {
        self.workloads.store(Arc::new(workloads));
    }

    /// What was decided last since workloads were configured, however long ago.
    pub fn last_scaling(&self) -> Option<ScalingHandle> {
        self.scaling.borrow().clone()
    }

    /// The recent past of workloads.
    pub fn courses(&self) -> &Courses {
        &self.courses
    }

    /// Puts newer decisions in the place of the former ones; `None` where nothing is decided any more.
    pub fn decided(&self, handle: Option<ScalingHandle>) {
        if let Some(handle) = &handle {
            let past = |workload: &Settings| self.demand_so_far(workload, handle.newest.at);
            self.courses.record(&handle.newest, past);
        }
        self.scaling.send_replace(handle);
    }

    /// What the trail of its signal has of the demand of a workload; nothing where that is not one series, `None` before
    /// the history was read.
    fn demand_so_far(&self, workload: &Settings, now: Millis) -> Option<Vec<(Millis, f32)>> {
        let wanted = &workload.demand;
        let units = self.units();
        let unit = units.iter().find(|unit| *unit.name == *wanted.signal)?;
        unit.fresh(now)?;
        let mut labels = unit.trail.labels();
        labels.retain(|labels| {
            let mut pairs = wanted.r#match.iter();
            pairs.all(|(name, value)| labels.get(name) == Some(value))
        });
        let [labels] = labels.as_slice() else {
            return Some(Vec::new());
        };
        let points = unit.trail.points(labels).into_iter();
        let known = points.filter_map(|point| Some((point.at, point.value?)));
        Some(known.collect())
    }

    /// Tells of every change of the decisions.
    pub fn follow_scaling(&self) -> watch::Receiver<Option<ScalingHandle>> {
        self.scaling.subscribe()
    }

    /// The newest outcome of every unit that is not too old at `now`.
    pub fn fresh(&self, now: Millis) -> Vec<Arc<Outcome>> {
        self.units
            .load()
            .iter()
            .filter_map(|unit| unit.fresh(now))
            .collect()
    }
}

/// One running unit, as readers see it.
#[derive(Debug)]
pub struct UnitHandle {
    /// Name of the signal or panel.
    pub name: Arc<str>,
    /// `signal` or `panel`.
    pub kind: &'static str,
    /// Grid step.
    pub step: Span,
    /// The newest outcome; `None` before the first.
    pub outcome: watch::Receiver<Option<Arc<Outcome>>>,
    /// An outcome older than this is not served.
    pub max_age: Span,
    /// What the unit is doing and why it is silent, if it is.
    pub report: Arc<Mutex<UnitReport>>,
    /// The recent past of some of its series, for charts.
    pub trail: Arc<Trail>,
}

impl UnitHandle {
    /// The newest outcome, unless it is too old at `now`, or so far ahead that the clock must have
    /// been set back: absence over lies (invariant 8).
    pub fn fresh(&self, now: Millis) -> Option<Arc<Outcome>> {
        let newest = self.outcome.borrow().clone()?;
        let age = now.saturating_sub(newest.at).saturating_abs();
        (age <= self.max_age.as_millis()).then_some(newest)
    }
}

/// What a unit is doing, for `/api/v1/status`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct UnitReport {
    /// Name of the signal or panel.
    pub name: String,
    /// `signal` or `panel`.
    pub kind: String,
    /// What it is doing, as one word: `waiting`, `backfilling`, `running`, `failing`.
    pub phase: String,
    /// Why nothing is published, or judged, in a sentence; absent while something is.
    pub silent_because: Option<String>,
    /// The last error and when it was, seconds since the epoch. It stays when it is over: `phase` says
    /// what is now.
    pub last_error: Option<(String, f64)>,
    /// Grid time of the newest outcome, seconds since the epoch.
    pub last_evaluation: Option<f64>,
    /// How long the newest evaluation took, seconds, without waiting for the source.
    pub last_duration: Option<f64>,
    /// Series with state.
    pub series: usize,
    /// Series still without enough history to be scored.
    pub warming: usize,
    /// Series whose verdict is on.
    pub active: usize,
    /// Series of the newest answer that the source left out because of `max_series`.
    pub dropped: usize,
    /// Series of the newest answer for which there was no place, as silent ones still have theirs.
    pub refused: usize,
    /// Share of the history read, 0 to 1, while backfilling.
    pub backfilled: Option<f64>,
    /// Bytes of state.
    pub state_bytes: usize,
    /// What the source warned about last.
    pub warnings: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_served_until_max_age_and_not_from_the_future() {
        let outcome = Outcome {
            at: 1_000_000,
            ..Outcome::default()
        };
        let (_sender, receiver) = watch::channel(Some(Arc::new(outcome)));
        let unit = UnitHandle {
            name: "requests".into(),
            kind: "signal",
            step: Span::minutes(1),
            outcome: receiver,
            max_age: Span::seconds(60),
            report: Arc::default(),
            trail: Arc::default(),
        };
        let served = |now| unit.fresh(now).is_some();
        assert!(served(1_060_000) && served(940_000));
        assert!(!served(1_060_001) && !served(939_999));
    }
}
