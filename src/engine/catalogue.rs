//! The units that are running, as readers see them. Replaced whole on reload.

use super::{
    demand::Demand,
    outcome::Outcome,
    scaling::{Advice, Courses, Scaling, Silence, the_one},
    trail::Trail,
};
use crate::{
    decide::Settings,
    series::{Millis, Span},
};
use arc_swap::{ArcSwap, ArcSwapOption};
use serde::Serialize;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// The units that are running.
#[derive(Debug, Default)]
pub struct Catalogue {
    units: ArcSwap<Vec<Arc<UnitHandle>>>,
    demand: Arc<Demand>,
    scaling: watch::Sender<Option<ScalingHandle>>,
    /// `None` before any configuration was in force.
    workloads: ArcSwapOption<Vec<Arc<str>>>,
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

    /// The names of the workloads of the configuration in force, decided on or not. Nobody else says which there are:
    /// after a reload the newest decisions are of the configuration before.
    pub fn workloads(&self) -> Arc<Vec<Arc<str>>> {
        self.workloads.load_full().unwrap_or_default()
    }

    /// Whether a workload is one of [`Catalogue::workloads`].
    ///
    /// # Errors
    /// It is not, with the names of those that are; or no configuration is in force yet.
    pub fn knows(&self, workload: &str) -> Result<(), Silence> {
        let known = self.workloads.load_full().ok_or(Silence::Undecided)?;
        match known.iter().any(|name| **name == *workload) {
            true => Ok(()),
            false => Err(Silence::Stranger(workload.to_owned(), known.to_vec())),
        }
    }

    /// Puts the names of these workloads in the place of the former ones.
    pub fn announce(&self, workloads: Vec<Arc<str>>) {
        self.workloads.store(Some(Arc::new(workloads)));
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
        let labels = unit.trail.labels();
        let Ok(place) = the_one(&wanted.r#match, labels.iter()) else {
            return Some(Vec::new());
        };
        let points = unit.trail.points(&labels[place]).into_iter();
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

/// Series whose newest value is not believed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InvalidReport {
    /// As the label `reason`.
    pub reason: &'static str,
    /// How many there are.
    pub series: usize,
    /// The first of them by its labels.
    pub example: String,
    /// What it means and what to do.
    pub why: &'static str,
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
    /// Series of the newest answer that other shards carry.
    pub foreign: usize,
    /// Series of the newest answer for which there was no place, as silent ones still have theirs.
    pub refused: usize,
    /// Share of the history read, 0 to 1, while backfilling.
    pub backfilled: Option<f64>,
    /// Series whose newest value is not believed, by reason.
    pub invalid: Vec<InvalidReport>,
    /// Bytes of state.
    pub state_bytes: usize,
    /// What the source warned about last.
    pub warnings: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::SeriesOutcome,
        engine::scaling::{Records, ScalingUnit, WorkloadPlan},
        quality::Bounds,
        series::Labels,
    };

    const NOW: Millis = 1_700_000_040_000;

    /// Decides on a workload of that name, of whose demand nothing is known.
    fn decide(catalogue: &Catalogue, name: &str) {
        let text = format!(
            "{{name: {name}, demand: {{signal: load, match: {{app: shop}}}}, capacity_per_replica: 10}}"
        );
        let plan = WorkloadPlan {
            settings: Arc::new(serde_yaml::from_str(&text).unwrap()),
            rules: Vec::new(),
            step: Span::minutes(1),
            interval: 0.9,
            query: "load".to_owned(),
            max_series: 10,
            source: 0,
            asked: 0,
            bounds: Bounds::default(),
        };
        let mut unit = ScalingUnit::new(&[plan], Vec::new(), None);
        let newest = unit.decide(NOW, vec![None], &[], &Records::default());
        catalogue.decided(Some(ScalingHandle {
            newest: Arc::new(newest),
            max_age: Span::minutes(5),
        }));
    }

    #[test]
    fn the_configuration_says_which_workloads_there_are_whatever_was_decided() {
        let catalogue = Catalogue::default();
        let said = |name: &str| catalogue.advice(NOW, name).unwrap_err();
        assert_eq!(said("checkout"), Silence::Undecided, "no configuration yet");
        catalogue.announce(Vec::new());
        let text = said("checkout").to_string();
        assert!(text.contains("the configuration has none"), "{text}");
        catalogue.announce(vec!["checkout".into()]);
        assert_eq!(said("checkout"), Silence::Undecided);
        let stranger = Silence::Stranger("chekcout".to_owned(), vec!["checkout".into()]);
        assert_eq!(said("chekcout"), stranger);
        decide(&catalogue, "checkout");
        assert!(matches!(said("checkout"), Silence::Unknown(..)));
        // After a reload the newest decisions are of the configuration before.
        catalogue.announce(vec!["cart".into()]);
        assert_eq!(said("cart"), Silence::Undecided);
        let text = said("checkout").to_string();
        assert_eq!(text, "there is no workload \"checkout\"; there are cart");
    }

    #[test]
    fn the_course_of_a_workload_begins_with_the_one_series_of_its_demand() {
        let past = |apps: &[&str]| {
            let catalogue = Catalogue::default();
            let series = apps.iter().map(|app| SeriesOutcome {
                labels: Labels::new([("app", *app), ("pod", "1")]).unwrap(),
                value: 7.0,
                band: crate::baseline::Band::UNKNOWN,
                score: f32::NAN,
                active: false,
                severity: 0,
                direction: 0,
                began: false,
                since: None,
                worst: 0,
                reason: None,
            });
            let outcome = Arc::new(Outcome {
                unit: "load".into(),
                at: NOW - 180_000,
                series: series.collect(),
                ..Outcome::default()
            });
            let unit = unit("load", Span::minutes(5), Arc::clone(&outcome));
            unit.trail.record(&outcome);
            catalogue.replace(vec![Arc::new(unit)]);
            decide(&catalogue, "checkout");
            let course = catalogue.courses().of("checkout", Millis::MIN);
            course.len()
        };
        // The decision itself is a point.
        assert_eq!(past(&["cart", "shop"]), 2);
        assert_eq!(past(&["cart", "mail"]), 1);
    }

    fn unit(name: &str, max_age: Span, outcome: Arc<Outcome>) -> UnitHandle {
        UnitHandle {
            name: name.into(),
            kind: "signal",
            step: Span::minutes(1),
            outcome: watch::channel(Some(outcome)).1,
            max_age,
            report: Arc::default(),
            trail: Arc::default(),
        }
    }

    #[test]
    fn an_outcome_is_served_until_max_age_and_not_from_the_future() {
        let outcome = Outcome {
            at: 1_000_000,
            ..Outcome::default()
        };
        let unit = unit("requests", Span::seconds(60), Arc::new(outcome));
        let served = |now| unit.fresh(now).is_some();
        assert!(served(1_060_000) && served(940_000));
        assert!(!served(1_060_001) && !served(939_999));
    }
}
