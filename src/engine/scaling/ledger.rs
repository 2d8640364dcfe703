//! The seam to what is kept: the engine knows no database.

use crate::{
    decide::{Decision, Event, Override},
    series::Millis,
};
use std::{future::Future, pin::Pin, sync::Arc};

/// What people gave, as last read.
#[derive(Debug, Clone)]
pub struct Records {
    /// Whether they were ever read: where not, there may be orders that nobody here knows of.
    pub known: bool,
    /// Known causes of load.
    pub events: Arc<Vec<Event>>,
    /// Orders over workloads.
    pub overrides: Arc<Vec<Override>>,
}

impl Default for Records {
    /// There are none, and that is known.
    fn default() -> Self {
        Self {
            known: true,
            events: Arc::default(),
            overrides: Arc::default(),
        }
    }
}

/// What one workload remembers between decisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedState {
    /// The workload.
    pub workload: Arc<str>,
    /// Time of the decision after which it was so.
    pub at: Millis,
    /// As written by [`super::ScalingUnit::states`].
    pub text: String,
}

/// States, later.
pub type States<'a> = Pin<Box<dyn Future<Output = Result<Vec<SavedState>, String>> + Send + 'a>>;

/// Where records come from and decisions go. None of it but `states` may wait.
pub trait Ledger: Send + Sync + std::fmt::Debug {
    /// Events and overrides.
    fn records(&self) -> Records;
    /// What was saved last, at the start.
    fn states(&self) -> States<'_>;
    /// Decisions worth keeping.
    fn append(&self, decisions: Vec<Decision>);
    /// What a restart goes on from.
    fn save(&self, states: Vec<SavedState>);
}

/// Nothing is kept: no store is configured.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLedger;

impl Ledger for NoLedger {
    fn records(&self) -> Records {
        Records::default()
    }

    fn states(&self) -> States<'_> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn append(&self, _: Vec<Decision>) {}

    fn save(&self, _: Vec<SavedState>) {}
}
