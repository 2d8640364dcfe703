//! The receivers of remote write in force: each a task of its own, which goes on untouched where its settings stay.

use super::{
    options::AppOptions,
    tasks::{Prepared, Tasks},
};
use crate::{
    config::Config,
    engine::Catalogue,
    sink::remote_write::{Handover, Settings, Surroundings, Writer},
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

/// The receivers in force, by name.
#[derive(Debug)]
pub(super) struct Writers {
    tasks: Tasks<Terms, Handover>,
}

/// The receivers of a configuration, the writers built of those that do not run already.
pub(super) type PreparedWriters = Prepared<Terms, Writer>;

/// Several shards say something of a signal as a whole, such as its error, each of its own series.
const WITHOUT_REPLICA: &str = "remote_write beside --shard needs --replica=NAME, another one in each shard: what each says of a signal as a whole would be written as one series";

// === impl Writers ===

impl Writers {
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
    ) -> Result<PreparedWriters, String> {
        let mut prepared = PreparedWriters::default();
        if options.shard.is_some() && options.replica.is_none() && !config.remote_write.is_empty() {
            return Err(WITHOUT_REPLICA.to_owned());
        }
        for (index, settings) in config.remote_write.iter().enumerate() {
            let terms = Terms {
                settings: settings.clone(),
                external_labels: config.global.external_labels.clone(),
            };
            let build = |terms: &Terms| {
                let around = Surroundings {
                    clock: options.clock.clone(),
                    events: Arc::clone(&telemetry.remote_write),
                    external_labels: terms.external_labels.clone(),
                    storage: options.storage.clone(),
                };
                let built = Writer::build(settings, around);
                built.map_err(|problem| format!("remote_write[{index}]: {problem}"))
            };
            self.tasks
                .add(&mut prepared, (settings.name(), terms), build)?;
        }
        Ok(prepared)
    }

    /// Starts what is new or changed, stops what is gone or changed.
    pub(super) fn commit(
        &mut self,
        prepared: PreparedWriters,
        catalogue: &Arc<Catalogue>,
        telemetry: &Telemetry,
    ) {
        let events = &telemetry.remote_write;
        let tell = (
            |name: &str| events.announce(name),
            |name: &str| events.forget(name),
        );
        self.tasks.commit(prepared, tell, |writer, place| {
            let catalogue = Arc::clone(catalogue);
            writer.run(catalogue, place.stop, place.replaced, place.former)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::ConfigSource,
        series::{Shard, Span},
    };

    /// Writers, and what they are prepared with.
    struct World {
        writers: Writers,
        config: Config,
        telemetry: Telemetry,
    }

    impl World {
        /// Puts the configuration in force; how many tasks were started.
        fn reload(&mut self) -> Result<usize, String> {
            let config = ConfigSource::Literal(Box::new(self.config.clone()));
            self.reload_with(&AppOptions::new(config))
        }

        fn reload_with(&mut self, options: &AppOptions) -> Result<usize, String> {
            let prepared = self
                .writers
                .prepare(&self.config, options, &self.telemetry)?;
            let started = prepared.new.len();
            let catalogue = Arc::new(Catalogue::default());
            self.writers.commit(prepared, &catalogue, &self.telemetry);
            Ok(started)
        }

        /// How many receivers show themselves.
        fn shown(&self) -> usize {
            let text = self.telemetry.open_metrics().unwrap();
            text.matches("forethought_remote_write_samples_pending{")
                .count()
        }
    }

    #[tokio::test]
    async fn only_what_changed_is_started_and_only_what_is_gone_ends() {
        let stop = CancellationToken::new();
        let mut world = World {
            writers: Writers::new(TaskTracker::new(), stop.clone()),
            config: Config::single("http://x:9090", "load", "node_load1").unwrap(),
            telemetry: Telemetry::default(),
        };
        let tracker = world.writers.tasks.tracker.clone();
        assert_eq!(world.reload(), Ok(0));
        world.config.remote_write = ["http://a/api/v1/write", "http://b/api/v1/write"]
            .map(Settings::new)
            .to_vec();
        assert_eq!((world.reload(), world.shown()), (Ok(2), 2));
        assert_eq!(world.reload(), Ok(0), "nothing changed");
        let token = |world: &World, name: &str| {
            let running = &world.writers.tasks.running[&format!("http://{name}/api/v1/write")];
            (running.stop.clone(), running.replaced.clone())
        };
        let (first, second) = (token(&world, "a"), token(&world, "b"));

        world.config.remote_write[0].queue.batch_send_deadline = Span::minutes(2);
        assert_eq!((world.reload(), world.shown()), (Ok(1), 2));
        assert!(first.1.is_cancelled() && !second.1.is_cancelled());
        assert!(!first.0.is_cancelled(), "its series go on with another");
        world.config.remote_write[0].tls_config.ca_file = Some("/nowhere/ca".into());
        let gone = world.config.remote_write.pop().unwrap();
        let problem = world.reload().unwrap_err();
        assert!(
            problem.starts_with("remote_write[0]: tls_config.ca_file"),
            "{problem}"
        );
        assert!(
            !second.0.is_cancelled(),
            "what cannot be built stops nothing"
        );

        // These are labels of every series.
        world.config.remote_write[0].tls_config.ca_file = None;
        let labels = &mut world.config.global.external_labels;
        labels.insert("cluster".to_owned(), "eu-1".to_owned());
        assert_eq!((world.reload(), world.shown()), (Ok(1), 1));
        assert!(second.0.is_cancelled());
        assert_eq!(world.writers.tasks.leaving.len(), 1);
        world.config.remote_write.push(gone);
        assert_eq!((world.reload(), world.shown()), (Ok(1), 2));
        assert!(world.writers.tasks.leaving.is_empty(), "it is waited for");

        // What shards say of a signal as a whole differs.
        let config = ConfigSource::Literal(Box::new(world.config.clone()));
        let mut options = AppOptions::new(config);
        options.shard = Shard::new(0, 2);
        let problem = world.reload_with(&options).unwrap_err();
        assert!(problem.contains("--replica=NAME"), "{problem}");
        options.replica = Some("shard-0".to_owned());
        assert_eq!(world.reload_with(&options), Ok(0));
        stop.cancel();
        tracker.close();
        tracker.wait().await;
    }
}
