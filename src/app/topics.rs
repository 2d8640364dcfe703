//! The topics in force that are read: each a task of its own, which goes on untouched where its settings stay.

use super::{
    hubs::PreparedHubs,
    options::AppOptions,
    tasks::{Place, Prepared, Tasks},
};
use crate::{
    config::{Config, SourceKind},
    source::{
        kafka::{Reader, Settings, Surroundings},
        local::Hub,
    },
    telemetry::Telemetry,
};
use std::sync::Arc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What a reader is made from: where it is the same, the task stays.
#[derive(Debug, Clone)]
pub(super) struct Terms {
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
    tasks: Tasks<Terms, ()>,
}

/// The topics that are read of a configuration, the readers built of those that do not run already.
pub(super) type PreparedTopics = Prepared<Terms, Reader>;

impl Topics {
    /// None yet. `tracker` waits for their tasks, `quit` ends them with the process.
    pub(super) fn new(tracker: TaskTracker, quit: CancellationToken) -> Self {
        Self {
            tasks: Tasks::new(tracker, quit),
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
            let build = |terms: &Terms| {
                let around = Surroundings {
                    hub: Arc::clone(&terms.hub),
                    progress: Arc::clone(progress),
                    events: Arc::clone(&telemetry.kafka),
                    intake: Arc::clone(&telemetry.intake),
                    clock: options.clock.clone(),
                };
                let built = Reader::build(name, settings, around);
                built.map_err(|problem| format!("source {name:?}: kafka: {problem}"))
            };
            self.tasks
                .add(&mut prepared, (name.clone(), terms), build)?;
        }
        Ok(prepared)
    }

    /// Starts what is new or changed, stops what is gone or changed. Another reader of the same topic goes on where the former was.
    pub(super) fn commit(&mut self, prepared: PreparedTopics, telemetry: &Telemetry) {
        let events = &telemetry.kafka;
        let tell = (
            |name: &str| events.announce(name),
            |name: &str| events.forget(name),
        );
        self.tasks.commit(prepared, tell, |reader, place| {
            let Place {
                stop,
                replaced,
                former,
            } = place;
            let ends = async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = replaced.cancelled() => {}
                }
            };
            reader.run(ends, former)
        });
    }
}
