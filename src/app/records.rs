//! The store of events, overrides and decisions that is in force, and the task that keeps it.

use super::options::AppOptions;
use crate::{config::Config, store::Store, telemetry::Telemetry};
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The store in force, for whoever reads or writes: `None` where the configuration has none.
pub(crate) type StoreSlot = Arc<ArcSwapOption<Store>>;

/// The store in force, and its task.
#[derive(Debug)]
pub(super) struct Records {
    tracker: TaskTracker,
    stop: CancellationToken,
    slot: StoreSlot,
    running: Option<CancellationToken>,
}

/// What a configuration wants: a store that was opened, or the one that runs already.
#[derive(Debug)]
pub(super) enum PreparedRecords {
    None,
    Same,
    Other(Box<Store>),
}

// === impl Records ===

impl Records {
    /// Nothing is kept yet. `tracker` waits for the task, `stop` ends it.
    pub(super) fn new(tracker: TaskTracker, stop: CancellationToken) -> Self {
        Self {
            tracker,
            stop,
            slot: StoreSlot::default(),
            running: None,
        }
    }

    /// Where the store in force is found.
    pub(super) fn slot(&self) -> StoreSlot {
        Arc::clone(&self.slot)
    }

    /// Opens the store that `config` wants, where it is another one. Where its database does not answer right now
    /// the process goes on without: decisions do not need it.
    ///
    /// # Errors
    /// What waiting does not help: the database is of a newer version, or cannot be one of ours.
    pub(super) async fn prepare(
        &self,
        config: &Config,
        options: &AppOptions,
        telemetry: &Telemetry,
    ) -> Result<PreparedRecords, String> {
        let Some(settings) = &config.store else {
            return Ok(PreparedRecords::None);
        };
        let running = self.slot.load();
        if running
            .as_ref()
            .is_some_and(|store| store.settings() == settings)
        {
            return Ok(PreparedRecords::Same);
        }
        let store = Store::new(
            settings.clone(),
            options.clock.clone(),
            Arc::clone(&telemetry.store),
        );
        match store.open().await {
            Err(error) if !error.may_pass() => Err(format!("store: {error}")),
            _ => Ok(PreparedRecords::Other(Box::new(store))),
        }
    }

    /// Puts in force what was prepared. The former store writes down what still waits.
    pub(super) fn commit(&mut self, prepared: PreparedRecords, telemetry: &Telemetry) {
        let next = match prepared {
            PreparedRecords::Same => return,
            PreparedRecords::None => None,
            PreparedRecords::Other(store) => Some(*store),
        };
        if let Some(running) = self.running.take() {
            running.cancel();
            telemetry.store.forget();
        }
        self.slot.store(next.clone().map(Arc::new));
        let Some(store) = next else { return };
        telemetry.store.announce(store.settings().kind());
        let stop = self.stop.child_token();
        self.running = Some(stop.clone());
        drop(self.tracker.spawn(async move { store.keep(stop).await }));
    }
}
