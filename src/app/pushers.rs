//! The Alertmanagers in force: each a task of its own, which goes on untouched where its settings stay.

use super::options::AppOptions;
use crate::{
    config::Config,
    engine::Catalogue,
    sink::alertmanager::{Pusher, Settings, Surroundings},
    telemetry::Telemetry,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Everything that an Alertmanager's alerts are made from but the outcomes: where it is the same, the
/// task stays.
#[derive(Debug, Clone, PartialEq)]
struct Terms {
    settings: Settings,
    external_labels: BTreeMap<String, String>,
}

/// The Alertmanagers in force, by URL.
#[derive(Debug)]
pub(super) struct Pushers {
    tracker: TaskTracker,
    stop: CancellationToken,
    running: BTreeMap<String, (Terms, CancellationToken)>,
}

/// The Alertmanagers of a configuration, those built that do not run already.
#[derive(Debug)]
pub(super) struct PreparedPushers {
    all: BTreeSet<String>,
    new: Vec<(String, Terms, Pusher)>,
}

// === impl Pushers ===

impl Pushers {
    /// None yet. `tracker` waits for their tasks, `stop` ends them.
    pub(super) fn new(tracker: TaskTracker, stop: CancellationToken) -> Self {
        Self {
            tracker,
            stop,
            running: BTreeMap::new(),
        }
    }

    /// Builds what `config` asks for and does not run already. Starts nothing.
    pub(super) fn prepare(
        &self,
        config: &Config,
        options: &AppOptions,
        telemetry: &Telemetry,
    ) -> Result<PreparedPushers, String> {
        let mut prepared = PreparedPushers {
            all: BTreeSet::new(),
            new: Vec::new(),
        };
        for (index, settings) in config.alertmanagers.iter().enumerate() {
            let url = settings.url.to_string();
            let terms = Terms {
                settings: settings.clone(),
                external_labels: config.global.external_labels.clone(),
            };
            prepared.all.insert(url.clone());
            if self.running.get(&url).is_some_and(|(old, _)| *old == terms) {
                continue;
            }
            let around = Surroundings {
                clock: options.clock.clone(),
                events: Arc::clone(&telemetry.sink),
                external_labels: terms.external_labels.clone(),
                page: options.external_url.clone(),
            };
            let built = Pusher::build(settings, around);
            let pusher = built.map_err(|problem| format!("alertmanagers[{index}]: {problem}"))?;
            prepared.new.push((url, terms, pusher));
        }
        Ok(prepared)
    }

    /// Starts what is new or changed, stops what is gone or changed. Nothing is resolved by that: what
    /// nobody repeats runs out at Alertmanager.
    pub(super) fn commit(
        &mut self,
        prepared: PreparedPushers,
        catalogue: &Arc<Catalogue>,
        telemetry: &Telemetry,
    ) {
        let PreparedPushers { all, new } = prepared;
        self.running.retain(|url, (_, stop)| {
            let stays = all.contains(url);
            if !stays {
                stop.cancel();
                telemetry.sink.forget(url);
            }
            stays
        });
        for (url, terms, pusher) in new {
            let stop = self.stop.child_token();
            match self.running.insert(url.clone(), (terms, stop.clone())) {
                Some((_, former)) => former.cancel(),
                None => telemetry.sink.announce(&url),
            }
            drop(self.tracker.spawn(pusher.run(Arc::clone(catalogue), stop)));
        }
    }
}
