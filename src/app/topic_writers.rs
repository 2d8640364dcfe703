//! The topics in force that are written to: each a task of its own, which goes on untouched where its settings stay.

use super::{
    options::AppOptions,
    tasks::{Prepared, Tasks},
};
use crate::{
    config::Config,
    engine::Catalogue,
    sink::kafka::{Handover, Settings, Surroundings, Writer},
    telemetry::Telemetry,
};
use std::{collections::BTreeMap, sync::Arc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Everything that is written is made from, but the outcomes: where it is the same, the task stays.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Terms {
    settings: Settings,
    external_labels: BTreeMap<String, String>,
}

/// The topics in force that are written to, by name.
#[derive(Debug)]
pub(super) struct TopicWriters {
    tasks: Tasks<Terms, Handover>,
}

/// The topics that are written to of a configuration, the writers built of those that do not run already.
pub(super) type PreparedTopicWriters = Prepared<Terms, Writer>;

/// As of remote write: several shards say something of a signal as a whole, each of its own series.
const WITHOUT_REPLICA: &str = "kafka beside --shard needs --replica=NAME, another one in each shard: what each says of a signal as a whole would be written as one series";

// === impl TopicWriters ===

impl TopicWriters {
    /// None yet. `tracker` waits for their tasks, `stop` ends them.
    pub(super) fn new(tracker: TaskTracker, stop: CancellationToken) -> Self {
        Self {
            tasks: Tasks::new(tracker, stop),
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
            let terms = Terms {
                settings: settings.clone(),
                external_labels: config.global.external_labels.clone(),
            };
            let build = |terms: &Terms| {
                let around = Surroundings {
                    clock: options.clock.clone(),
                    events: Arc::clone(&telemetry.kafka),
                    external_labels: terms.external_labels.clone(),
                };
                let built = Writer::build(settings, around);
                built.map_err(|problem| format!("kafka[{index}]: {problem}"))
            };
            self.tasks
                .add(&mut prepared, (settings.name(), terms), build)?;
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
        let events = &telemetry.kafka;
        let tell = (
            |name: &str| events.announce_sink(name),
            |name: &str| events.forget_sink(name),
        );
        self.tasks.commit(prepared, tell, |writer, place| {
            let catalogue = Arc::clone(catalogue);
            writer.run(catalogue, place.stop, place.replaced, place.former)
        });
    }
}

#[cfg(test)]
#[cfg(feature = "kafka")]
mod tests {
    use super::*;
    use crate::app::ConfigSource;

    #[tokio::test]
    async fn a_topic_that_comes_back_waits_for_its_former_writer() {
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let mut writers = TopicWriters::new(tracker.clone(), stop.clone());
        let mut config = Config::single("http://x:9090", "load", "node_load1").unwrap();
        let telemetry = Telemetry::default();
        let options = AppOptions::new(ConfigSource::Literal(Box::new(config.clone())));
        let mut reload = |config: &Config| {
            let prepared = writers.prepare(config, &options, &telemetry).unwrap();
            let started = prepared.new.len();
            writers.commit(prepared, &Arc::new(Catalogue::default()), &telemetry);
            (started, writers.tasks.leaving.len())
        };
        assert_eq!(reload(&config), (0, 0));
        // Nobody listens there.
        let settings = "{brokers: ['127.0.0.1:1'], topic: published}";
        config.kafka = vec![serde_yaml::from_str(settings).unwrap()];
        assert_eq!(reload(&config), (1, 0));
        let gone = config.kafka.pop().unwrap();
        assert_eq!(reload(&config), (0, 1));
        config.kafka.push(gone);
        assert_eq!(reload(&config), (1, 0), "it is waited for");
        stop.cancel();
        tracker.close();
        tracker.wait().await;
    }
}
