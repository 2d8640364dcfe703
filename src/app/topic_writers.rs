//! The topics in force that are written to: each a task of its own, which goes on untouched where its settings stay.

use super::options::AppOptions;
use crate::{
    config::Config,
    engine::Catalogue,
    sink::kafka::{Handover, Settings, Surroundings, Writer},
    telemetry::Telemetry,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Everything that is written is made from, but the outcomes: where it is the same, the task stays.
#[derive(Debug, Clone, PartialEq)]
struct Terms {
    settings: Settings,
    external_labels: BTreeMap<String, String>,
}

/// The topics in force that are written to, by name.
#[derive(Debug)]
pub(super) struct TopicWriters {
    tracker: TaskTracker,
    stop: CancellationToken,
    running: BTreeMap<String, Running>,
}

#[derive(Debug)]
struct Running {
    terms: Terms,
    /// Ends every series.
    stop: CancellationToken,
    /// Another goes on with them.
    replaced: CancellationToken,
    task: JoinHandle<Handover>,
}

/// The topics of a configuration, the writers built of those that do not run already.
#[derive(Debug, Default)]
pub(super) struct PreparedTopicWriters {
    all: BTreeSet<String>,
    new: Vec<(String, Terms, Writer)>,
}

/// As of remote write: several shards say something of a signal as a whole, each of its own series.
const WITHOUT_REPLICA: &str = "kafka beside --shard needs --replica=NAME, another one in each shard: what each says of a signal as a whole would be written as one series";

impl TopicWriters {
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
    ) -> Result<PreparedTopicWriters, String> {
        let mut prepared = PreparedTopicWriters::default();
        if options.shard.is_some() && options.replica.is_none() && !config.kafka.is_empty() {
            return Err(WITHOUT_REPLICA.to_owned());
        }
        for (index, settings) in config.kafka.iter().enumerate() {
            let name = settings.name();
            let terms = Terms {
                settings: settings.clone(),
                external_labels: config.global.external_labels.clone(),
            };
            prepared.all.insert(name.clone());
            let running = self.running.get(&name);
            if running.is_some_and(|running| running.terms == terms) {
                continue;
            }
            let around = Surroundings {
                clock: options.clock.clone(),
                events: Arc::clone(&telemetry.kafka),
                external_labels: terms.external_labels.clone(),
            };
            let built = Writer::build(settings, around);
            let writer = built.map_err(|problem| format!("kafka[{index}]: {problem}"))?;
            prepared.new.push((name, terms, writer));
        }
        Ok(prepared)
    }

    /// Starts what is new or changed, stops what is gone or changed.
    pub(super) fn commit(
        &mut self,
        prepared: PreparedTopicWriters,
        catalogue: &Arc<Catalogue>,
        telemetry: &Telemetry,
    ) {
        let PreparedTopicWriters { all, new } = prepared;
        self.running.retain(|name, running| {
            let stays = all.contains(name);
            if !stays {
                running.stop.cancel();
                telemetry.kafka.forget_sink(name);
            }
            stays
        });
        for (name, terms, writer) in new {
            let former = match self.running.remove(&name) {
                Some(running) => {
                    running.replaced.cancel();
                    Some(running.task)
                }
                None => {
                    telemetry.kafka.announce_sink(&name);
                    None
                }
            };
            let (stop, replaced) = (self.stop.child_token(), CancellationToken::new());
            let run = writer.run(
                Arc::clone(catalogue),
                stop.clone(),
                replaced.clone(),
                former,
            );
            let task = self.tracker.spawn(run);
            let running = Running {
                terms,
                stop,
                replaced,
                task,
            };
            self.running.insert(name, running);
        }
    }
}
