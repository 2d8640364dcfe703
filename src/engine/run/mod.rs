//! The live loop: what asks the sources on aligned ticks, drives the units and hands on what they say.
//!
//! One task per unit (`signal`, `panel`); it owns the unit's state, so there are no locks. The set
//! of tasks is the [`Fleet`], which a reload changes without touching what did not change. What a unit
//! says about itself goes over its `desk`.

mod ask;
mod backfill;
mod desk;
mod doubts;
mod fleet;
mod join;
mod panel;
mod plan;
mod scaling;
mod signal;
#[cfg(test)]
mod tests;
mod thin;

pub use backfill::Pieces;
pub use fleet::{Fleet, FleetParts, Prepared};
pub use plan::{FleetPlan, PanelPlan, SignalPlan};
pub use scaling::{Carried, MakeScaling, ScalingTask};

use super::{
    outcome::{Mode, Outcome},
    panel::PanelUnit,
    signal::SignalUnit,
};
use crate::{
    series::{Grid, Millis},
    source::{Known, Matrix, Table},
};
use std::sync::Arc;
use tokio::sync::mpsc;

/// What the loop needs of a signal's unit. A seam, so that the loop is tested by itself.
pub trait EvaluateSignal: Send + std::fmt::Debug {
    /// The unit's grid.
    fn grid(&self) -> Grid;
    /// First grid time needed to start at `at`.
    fn history_start(&self, at: Millis) -> Millis;
    /// Takes in samples; those of grid times that were there before are corrections.
    fn ingest(&mut self, matrix: &Matrix);
    /// Whether a source that has tables is to be asked for one.
    fn takes_tables(&self) -> bool {
        false
    }
    /// What it knows of the rows of such tables.
    fn known(&self) -> Option<Known> {
        None
    }
    /// As `ingest`; `false` where the table is to be asked for again.
    fn ingest_table(&mut self, _table: &Table) -> bool {
        false
    }
    /// Rebuilds the state from what was ingested. Returns the grid time it stands at: the caller
    /// must `advance` from the next one up to `at`.
    fn restart(&mut self, at: Millis) -> Millis;
    /// Evaluates one grid time, each after the other, none left out.
    fn advance(&mut self, at: Millis, mode: Mode) -> Outcome;
    /// Does a piece, some milliseconds, of what later grid times will need; `false` where nothing is left.
    fn refit(&mut self) -> bool {
        false
    }
}

/// What the loop needs of a panel's unit.
pub trait EvaluatePanel: Send + std::fmt::Debug {
    /// The bounded span its state depends on, in steps (invariant 3).
    fn memory(&self) -> usize;
    /// Evaluates one grid time; `inputs` are the outcomes of the signals that were in time.
    fn advance(&mut self, at: Millis, inputs: &[Arc<Outcome>], mode: Mode) -> Outcome;
    /// Does a piece of what the next grid time will need; `false` where nothing is left.
    fn prepare(&mut self) -> bool {
        false
    }
}

impl EvaluateSignal for SignalUnit {
    fn grid(&self) -> Grid {
        self.grid()
    }

    fn history_start(&self, at: Millis) -> Millis {
        self.history_start(at)
    }

    fn ingest(&mut self, matrix: &Matrix) {
        self.ingest(matrix);
    }

    fn takes_tables(&self) -> bool {
        self.takes_tables()
    }

    fn known(&self) -> Option<Known> {
        self.known()
    }

    fn ingest_table(&mut self, table: &Table) -> bool {
        self.ingest_table(table)
    }

    fn restart(&mut self, at: Millis) -> Millis {
        self.restart(at)
    }

    fn advance(&mut self, at: Millis, mode: Mode) -> Outcome {
        self.advance(at, mode)
    }

    fn refit(&mut self) -> bool {
        self.refit()
    }
}

impl EvaluatePanel for PanelUnit {
    fn memory(&self) -> usize {
        self.memory()
    }

    fn advance(&mut self, at: Millis, inputs: &[Arc<Outcome>], mode: Mode) -> Outcome {
        self.advance(at, inputs, mode)
    }

    fn prepare(&mut self) -> bool {
        self.prepare()
    }
}

/// Makes a signal's unit without history; again after a panic.
pub type MakeSignal = Arc<dyn Fn() -> Result<Box<dyn EvaluateSignal>, String> + Send + Sync>;
/// Makes a panel's unit that knows nothing; again after a panic.
pub type MakePanel = Arc<dyn Fn() -> Result<Box<dyn EvaluatePanel>, String> + Send + Sync>;

/// Outcomes in flight from a signal to a panel. Live there is one a tick; a replay waits for room.
const CHANNEL: usize = 64;

/// One outcome on its way from a signal to a panel.
#[derive(Debug)]
struct Fed {
    /// Which of the panel's signals.
    input: usize,
    outcome: Arc<Outcome>,
    /// Whether it is newly evaluated, not replayed.
    live: bool,
}

/// A panel that wants the outcomes of a signal.
#[derive(Debug, Clone)]
struct Listener {
    input: usize,
    /// How much of the replayed past it needs, in steps.
    memory: usize,
    sender: mpsc::Sender<Fed>,
}

impl Fed {
    fn new(to: &Listener, outcome: &Arc<Outcome>, live: bool) -> Self {
        Self {
            input: to.input,
            outcome: Arc::clone(outcome),
            live,
        }
    }
}
