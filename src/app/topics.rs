//! The topics in force that are read: each a task of its own, which goes on untouched where its settings stay.

use super::{hubs::PreparedHubs, options::AppOptions};
use crate::{
    config::{Config, SourceKind},
    source::{
        kafka::{Reader, Settings, Surroundings},
        local::Hub,
    },
    telemetry::Telemetry,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What a reader is made from: where it is the same, the task stays.
#[derive(Debug, Clone)]
struct Terms {
    settings: Settings,
    hub: Arc<Hub>,
}

impl PartialEq for Terms {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings && Arc::ptr_eq(&self.hub, &other.hub)
    }
}

/// The topics in force that are read, by source.
#[derive(Debug)]
pub(super) struct Topics {
    tracker: TaskTracker,
    quit: CancellationToken,
    running: BTreeMap<String, (Terms, CancellationToken)>,
}

/// The topics of a configuration, the readers built of those that do not run already.
#[derive(Debug, Default)]
pub(super) struct PreparedTopics {
    all: BTreeSet<String>,
    new: Vec<(String, Terms, Reader)>,
}

impl Topics {
    /// None yet. `tracker` waits for their tasks, `quit` ends them with the process.
    pub(super) fn new(tracker: TaskTracker, quit: CancellationToken) -> Self {
        Self {
            tracker,
            quit,
            running: BTreeMap::new(),
        }
    }

    /// Builds what `config` asks for and does not run already. Starts nothing.
    pub(super) fn prepare(
        &self,
        config: &Config,
        hubs: &PreparedHubs,
        options: &AppOptions,
        telemetry: &Telemetry,
    ) -> Result<PreparedTopics, String> {
        let mut prepared = PreparedTopics::default();
        for source in &config.sources {
            let (name, SourceKind::Kafka(settings)) = (&source.name, &source.kind) else {
                continue;
            };
            let (Some(hub), Some(progress)) = (hubs.hub(name), hubs.progress(name)) else {
                return Err(format!("source {name:?}: nobody takes its samples"));
            };
            let terms = Terms {
                settings: settings.clone(),
                hub: Arc::clone(hub),
            };
            prepared.all.insert(name.clone());
            if self.running.get(name).is_some_and(|(old, _)| *old == terms) {
                continue;
            }
            let around = Surroundings {
                hub: Arc::clone(hub),
                progress: Arc::clone(progress),
                events: Arc::clone(&telemetry.kafka),
                intake: Arc::clone(&telemetry.intake),
                clock: options.clock.clone(),
            };
            let built = Reader::build(name, settings, around);
            let built = built.map_err(|problem| format!("source {name:?}: kafka: {problem}"))?;
            prepared.new.push((name.clone(), terms, built));
        }
        Ok(prepared)
    }

    /// Starts what is new or changed, stops what is gone or changed. Another reader of the same topic goes on where the former was.
    pub(super) fn commit(&mut self, prepared: PreparedTopics, telemetry: &Telemetry) {
        let PreparedTopics { all, new } = prepared;
        self.running.retain(|name, (_, stop)| {
            let stays = all.contains(name);
            if !stays {
                stop.cancel();
                telemetry.kafka.forget(name);
            }
            stays
        });
        for (name, terms, reader) in new {
            let stop = self.quit.child_token();
            match self.running.insert(name.clone(), (terms, stop.clone())) {
                Some((_, former)) => former.cancel(),
                None => telemetry.kafka.announce(&name),
            }
            drop(self.tracker.spawn(reader.run(stop)));
        }
    }
}
