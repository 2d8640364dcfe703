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

    /// Puts in force what was prepared. The former store writes down what still waits, or leaves it to the next; what it
    /// read holds until the next has read something itself.
    pub(super) fn commit(&mut self, prepared: PreparedRecords, telemetry: &Telemetry) {
        let next = match prepared {
            PreparedRecords::Same => return,
            PreparedRecords::None => None,
            PreparedRecords::Other(store) => Some(*store),
        };
        telemetry.store.forget();
        if let Some(store) = &next {
            telemetry.store.announce(store.settings().kind());
            // Before anybody sees it: no decision is made without the orders that are known.
            if let Some(former) = self.slot.load_full() {
                store.succeed(&former);
            }
        }
        if let Some(running) = self.running.take() {
            running.cancel();
        }
        self.slot.store(next.clone().map(Arc::new));
        let Some(store) = next else { return };
        let stop = self.stop.child_token();
        self.running = Some(stop.clone());
        drop(self.tracker.spawn(async move { store.keep(stop).await }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::ledger::StoreLedger,
        decide::{Order, Override},
        engine::scaling::Ledger,
        store::Settings,
    };
    use std::time::Duration;

    fn configuration(store: Settings) -> Config {
        let text = "sources: [{name: main, prometheus: {url: 'http://127.0.0.1:1'}}]\nsignals: [{name: load, query: load}]\n";
        let mut config = crate::config::parse(text, &|_| None).unwrap();
        config.store = Some(store);
        config
    }

    #[tokio::test]
    async fn orders_stay_in_force_where_the_next_store_cannot_be_read_yet() {
        let folder = tempfile::tempdir().unwrap();
        let (telemetry, tracker) = (Telemetry::default(), TaskTracker::new());
        let options = AppOptions::new(crate::app::ConfigSource::File("unused".into()));
        let stop = CancellationToken::new();
        let mut records = Records::new(tracker.clone(), stop.clone());
        let ledger = StoreLedger(records.slot());
        let mut reload = async |store| {
            let config = configuration(store);
            let prepared = records.prepare(&config, &options, &telemetry).await;
            records.commit(prepared.unwrap(), &telemetry);
        };
        reload(Settings::sqlite(folder.path().join("f.db"))).await;
        let pin = Override {
            id: String::new(),
            workload: "checkout".to_owned(),
            order: Order::Pin(30),
            reason: "a game".to_owned(),
            author: "ada".to_owned(),
            created: 0,
            expires: None,
        };
        let first = ledger.0.load_full().unwrap();
        first.set_override(pin, None).await.unwrap();
        // Nobody listens there.
        reload(Settings::postgres("postgres://f@127.0.0.1:1/f")).await;
        let second = ledger.0.load_full().unwrap();
        assert_eq!(second.settings().kind(), "postgres");
        assert!(!second.health().up);
        let known = ledger.records();
        assert!(known.known, "decisions go on, with what is known");
        assert_eq!(known.overrides[0].order, Order::Pin(30));
        // And back: what counts then is what is read, not what was carried over.
        let cleared = crate::store::Cleared::Workload("checkout");
        let elsewhere = Store::new(
            first.settings().clone(),
            options.clock.clone(),
            Arc::clone(&telemetry.store),
        );
        elsewhere.clear_overrides(cleared).await.unwrap();
        reload(Settings::sqlite(folder.path().join("f.db"))).await;
        assert!(ledger.records().known && ledger.records().overrides.is_empty());
        stop.cancel();
        tracker.close();
        tokio::time::timeout(Duration::from_secs(30), tracker.wait())
            .await
            .unwrap();
    }
}
