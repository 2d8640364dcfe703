//! What is counted and logged of trainings, and of challengers that were put in force.

use crate::series::Millis;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError, atomic::AtomicU64},
};

/// From a small history to hours of a recurrent network.
const DURATION_BUCKETS: [f64; 7] = [1.0, 10.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfModel {
    model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResult {
    model: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPromotion {
    model: String,
    by: &'static str,
}

/// What came of a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainingResult {
    /// The new version was stored and put in force.
    Promoted,
    /// It was stored, and another stays in force.
    Kept,
    /// There is no new version.
    Failed,
}

impl TrainingResult {
    const ALL: [Self; 3] = [Self::Failed, Self::Kept, Self::Promoted];

    fn as_str(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::Kept => "kept",
            Self::Failed => "failed",
        }
    }
}

/// What put a version in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromotedBy {
    /// The judgement at the end of its training.
    Training,
    /// It beat the version in force as a challenger.
    Contest,
}

impl PromotedBy {
    const ALL: [Self; 2] = [Self::Contest, Self::Training];

    fn as_str(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::Contest => "contest",
        }
    }
}

/// What is counted and logged of trainings. One method per event: the log line and its counter together.
#[derive(Debug)]
pub struct TrainingEvents {
    runs: Family<OfResult, Counter>,
    running: Gauge,
    due: Family<OfModel, Gauge>,
    interval: Family<OfModel, Gauge<f64, AtomicU64>>,
    last_success: Family<OfModel, Gauge<f64, AtomicU64>>,
    duration: Histogram,
    promotions: Family<OfPromotion, Counter>,
    known: Mutex<BTreeSet<String>>,
}

impl TrainingEvents {
    /// Registers the metrics; each model's series begin when it is announced.
    pub fn register(registry: &mut Registry) -> Self {
        let events = Self {
            runs: Family::default(),
            running: Gauge::default(),
            due: Family::default(),
            interval: Family::default(),
            last_success: Family::default(),
            duration: Histogram::new(DURATION_BUCKETS),
            promotions: Family::default(),
            known: Mutex::default(),
        };
        registry.register(
            "training_runs",
            "Trainings of a model by this process, by what came of them: promoted (stored and put in force), kept (stored only), failed",
            events.runs.clone(),
        );
        registry.register(
            "training_running",
            "Whether a model is being trained by this process",
            events.running.clone(),
        );
        registry.register(
            "training_due",
            "Whether a model is to be trained by now; only processes with --train do it",
            events.due.clone(),
        );
        registry.register(
            "training_interval_seconds",
            "How often a model is to be trained",
            events.interval.clone(),
        );
        registry.register(
            "training_last_success_timestamp_seconds",
            "When the newest version of a model in the registry was trained, by whomever",
            events.last_success.clone(),
        );
        registry.register(
            "training_duration_seconds",
            "Time a training took, fetching the past included",
            events.duration.clone(),
        );
        registry.register(
            "model_promotions",
            "Versions of a model that this process put in force, by what speaks for them: training, contest",
            events.promotions.clone(),
        );
        events
    }

    /// These models are to be trained now and then, each with how often, in seconds; no others.
    pub fn announce(&self, models: &[(String, f64)]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now: BTreeSet<String> = models.iter().map(|(model, _)| model.clone()).collect();
        for gone in known.difference(&now) {
            self.forget(gone);
        }
        for (model, interval) in models {
            let key = of(model);
            self.interval.get_or_create(&key).set(*interval);
            drop(self.due.get_or_create(&key));
            for result in TrainingResult::ALL {
                drop(self.runs.get_or_create(&of_result(model, result)));
            }
            for by in PromotedBy::ALL {
                drop(self.promotions.get_or_create(&of_promotion(model, by)));
            }
        }
        *known = now;
    }

    /// Whether a model is due, and when its newest version was trained, if there is one.
    pub fn due(&self, model: &str, due: bool, trained: Option<Millis>) {
        let key = of(model);
        self.due.get_or_create(&key).set(i64::from(due));
        match trained {
            Some(at) => {
                let seconds = at as f64 / 1_000.0;
                self.last_success.get_or_create(&key).set(seconds);
            }
            None => drop(self.last_success.remove(&key)),
        }
    }

    /// A training begins.
    pub fn began(&self, model: &str, why: &str) {
        self.running.set(1);
        tracing::info!(model, why, "training");
    }

    /// A training is over; `version` such as `checkout/7`, `text` is what speaks against it, or what failed.
    pub fn ended(
        &self,
        model: &str,
        result: TrainingResult,
        version: &str,
        text: &str,
        seconds: f64,
    ) {
        self.running.set(0);
        self.runs.get_or_create(&of_result(model, result)).inc();
        self.duration.observe(seconds);
        match result {
            TrainingResult::Promoted => {
                let by = of_promotion(model, PromotedBy::Training);
                self.promotions.get_or_create(&by).inc();
                tracing::info!(model, version, seconds, "trained and put in force");
            }
            TrainingResult::Kept => {
                tracing::info!(
                    model,
                    version,
                    seconds,
                    why = text,
                    "trained, not put in force"
                );
            }
            TrainingResult::Failed => {
                tracing::warn!(
                    model,
                    error = text,
                    seconds,
                    "training failed, the version in force stays"
                );
            }
        }
    }

    /// A training was given up, as the process stops or its configuration changed.
    pub fn gave_up(&self, model: &str) {
        self.running.set(0);
        tracing::info!(
            model,
            "training given up: the configuration changed, or the process stops"
        );
    }

    /// A challenger beat the version in force, and took its place.
    pub fn won(&self, model: &str, version: &str, before: &str) {
        let key = of_promotion(model, PromotedBy::Contest);
        self.promotions.get_or_create(&key).inc();
        tracing::info!(model, version, before, "challenger put in force");
    }

    /// The registry did not do what was asked of it.
    pub fn registry_failed(&self, model: &str, error: &str) {
        tracing::warn!(model, error, "the registry of models failed");
    }

    fn forget(&self, model: &str) {
        let key = of(model);
        self.interval.remove(&key);
        self.due.remove(&key);
        self.last_success.remove(&key);
        for result in TrainingResult::ALL {
            self.runs.remove(&of_result(model, result));
        }
        for by in PromotedBy::ALL {
            self.promotions.remove(&of_promotion(model, by));
        }
    }
}

fn of(model: &str) -> OfModel {
    OfModel {
        model: model.to_owned(),
    }
}

fn of_result(model: &str, result: TrainingResult) -> OfResult {
    OfResult {
        model: model.to_owned(),
        result: result.as_str(),
    }
}

fn of_promotion(model: &str, by: PromotedBy) -> OfPromotion {
    OfPromotion {
        model: model.to_owned(),
        by: by.as_str(),
    }
}
