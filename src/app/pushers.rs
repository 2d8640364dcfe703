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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{app::ConfigSource, series::Span};

    /// Pushers, and what they are prepared with.
    struct World {
        pushers: Pushers,
        config: Config,
        telemetry: Telemetry,
    }

    impl World {
        /// Puts the configuration in force; how many tasks were started.
        fn reload(&mut self) -> Result<usize, String> {
            let config = ConfigSource::Literal(Box::new(self.config.clone()));
            let options = AppOptions::new(config);
            let prepared = self
                .pushers
                .prepare(&self.config, &options, &self.telemetry)?;
            let started = prepared.new.len();
            let catalogue = Arc::new(Catalogue::default());
            self.pushers.commit(prepared, &catalogue, &self.telemetry);
            Ok(started)
        }

        /// How many Alertmanagers show themselves.
        fn shown(&self) -> usize {
            let text = self.telemetry.open_metrics().unwrap();
            text.matches("forethought_alertmanager_up{").count()
        }
    }

    #[tokio::test]
    async fn only_what_changed_is_started_and_only_what_is_gone_ends() {
        let stop = CancellationToken::new();
        let mut world = World {
            pushers: Pushers::new(TaskTracker::new(), stop.clone()),
            config: Config::single("http://x:9090", "load", "node_load1").unwrap(),
            telemetry: Telemetry::default(),
        };
        let tracker = world.pushers.tracker.clone();
        assert_eq!(world.reload(), Ok(0));
        world.config.alertmanagers = ["http://a:9093", "http://b:9093"]
            .map(Settings::new)
            .to_vec();
        assert_eq!((world.reload(), world.shown()), (Ok(2), 2));
        assert_eq!(world.reload(), Ok(0), "nothing changed");
        let first = world.pushers.running["http://a:9093"].1.clone();
        let second = world.pushers.running["http://b:9093"].1.clone();

        world.config.alertmanagers[0].resend = Span::minutes(2);
        assert_eq!((world.reload(), world.shown()), (Ok(1), 2));
        assert!(first.is_cancelled() && !second.is_cancelled());
        world.config.alertmanagers[0].tls_config.ca_file = Some("/nowhere/ca".into());
        world.config.alertmanagers.truncate(1);
        let problem = world.reload().unwrap_err();
        assert!(
            problem.starts_with("alertmanagers[0]: tls_config.ca_file"),
            "{problem}"
        );
        assert!(!second.is_cancelled(), "what cannot be built stops nothing");

        // These are labels of every alert.
        world.config.alertmanagers[0].tls_config.ca_file = None;
        let labels = &mut world.config.global.external_labels;
        labels.insert("cluster".to_owned(), "eu-1".to_owned());
        assert_eq!((world.reload(), world.shown()), (Ok(1), 1));
        assert!(second.is_cancelled());
        stop.cancel();
        tracker.close();
        tracker.wait().await;
    }
}
