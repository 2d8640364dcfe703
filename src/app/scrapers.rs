//! The sources in force that scrape: each a task of its own, which goes on untouched where its settings stay.

use super::options::AppOptions;
use crate::{
    config::{Config, SourceKind},
    source::scrape::{Board, Scraper, Settings, Surroundings, Taker},
    telemetry::Telemetry,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What a source is made from: where it is the same, the task stays.
#[derive(Debug, Clone)]
struct Terms {
    settings: Settings,
    taker: Arc<dyn Taker>,
}

impl PartialEq for Terms {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings && Arc::ptr_eq(&self.taker, &other.taker)
    }
}

/// The sources in force that scrape, by name.
#[derive(Debug)]
pub(super) struct Scrapers {
    tracker: TaskTracker,
    quit: CancellationToken,
    board: Arc<Board>,
    running: BTreeMap<String, (Terms, CancellationToken)>,
}

/// The sources of a configuration that scrape, those built that do not run already.
#[derive(Debug, Default)]
pub(super) struct PreparedScrapers {
    all: BTreeSet<String>,
    new: Vec<(String, Terms, Scraper)>,
}

// === impl Scrapers ===

impl Scrapers {
    /// None yet. `tracker` waits for their tasks, `quit` ends them with the process.
    pub(super) fn new(tracker: TaskTracker, quit: CancellationToken) -> Self {
        Self {
            tracker,
            quit,
            board: Arc::default(),
            running: BTreeMap::new(),
        }
    }

    /// Where targets are shown.
    pub(super) fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// Builds what `config` asks for and does not run already. `taker_of` is who takes the samples of a source.
    /// Starts nothing.
    pub(super) fn prepare(
        &self,
        config: &Config,
        options: &AppOptions,
        telemetry: &Telemetry,
        taker_of: impl Fn(&str) -> Option<Arc<dyn Taker>>,
    ) -> Result<PreparedScrapers, String> {
        let mut prepared = PreparedScrapers::default();
        for source in &config.sources {
            let (name, SourceKind::Scrape(settings)) = (&source.name, &source.kind) else {
                continue;
            };
            let taker = taker_of(name);
            let taker =
                taker.ok_or_else(|| format!("source {name:?}: nobody takes its samples"))?;
            let terms = Terms {
                settings: settings.clone(),
                taker,
            };
            prepared.all.insert(name.clone());
            if self.running.get(name).is_some_and(|(old, _)| *old == terms) {
                continue;
            }
            let around = Surroundings {
                taker: Arc::clone(&terms.taker),
                events: Arc::clone(&telemetry.scrape),
                clock: options.clock.clone(),
                board: Arc::clone(&self.board),
            };
            let built = Scraper::build(name, settings, around);
            let built = built.map_err(|problem| format!("source {name:?}: scrape: {problem}"))?;
            prepared.new.push((name.clone(), terms, built));
        }
        Ok(prepared)
    }

    /// Starts what is new or changed, stops what is gone or changed.
    pub(super) fn commit(&mut self, prepared: PreparedScrapers, telemetry: &Telemetry) {
        let PreparedScrapers { all, new } = prepared;
        self.running.retain(|name, (_, stop)| {
            let stays = all.contains(name);
            if !stays {
                stop.cancel();
                telemetry.scrape.forget(name);
            }
            stays
        });
        for (name, terms, scraper) in new {
            let stop = self.quit.child_token();
            match self.running.insert(name.clone(), (terms, stop.clone())) {
                Some((_, former)) => former.cancel(),
                None => telemetry.scrape.announce(&name),
            }
            drop(self.tracker.spawn(scraper.run(stop, self.quit.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{app::ConfigSource, config::SourceSettings, series::Span, source::local::Hub};

    /// Scrapers, and what they are prepared with.
    struct World {
        scrapers: Scrapers,
        config: Config,
        telemetry: Telemetry,
        hub: Arc<dyn Taker>,
    }

    impl World {
        /// Puts the configuration in force; how many tasks were started.
        fn reload(&mut self) -> Result<usize, String> {
            let options = AppOptions::new(ConfigSource::Literal(Box::new(self.config.clone())));
            let hub = |_: &str| Some(Arc::clone(&self.hub));
            let prepared = self
                .scrapers
                .prepare(&self.config, &options, &self.telemetry, hub)?;
            let started = prepared.new.len();
            self.scrapers.commit(prepared, &self.telemetry);
            Ok(started)
        }

        fn settings(&mut self, index: usize) -> &mut Settings {
            match &mut self.config.sources[index].kind {
                SourceKind::Scrape(settings) => settings,
                _ => panic!("not a scraped source"),
            }
        }

        /// How many sources show themselves.
        fn shown(&self) -> usize {
            let text = self.telemetry.open_metrics().unwrap();
            text.matches("forethought_scrape_attempts_total{").count()
        }
    }

    fn source(name: &str) -> SourceSettings {
        let yaml = "static_configs: [{targets: ['127.0.0.1:1']}]";
        SourceSettings {
            name: name.to_owned(),
            kind: SourceKind::Scrape(serde_yaml::from_str(yaml).unwrap()),
        }
    }

    #[tokio::test]
    async fn only_what_changed_is_started_and_only_what_is_gone_ends() {
        let quit = CancellationToken::new();
        let mut world = World {
            scrapers: Scrapers::new(TaskTracker::new(), quit.clone()),
            config: Config::single("http://x:9090", "load", "node_load1").unwrap(),
            telemetry: Telemetry::default(),
            hub: Arc::new(Hub::default()),
        };
        let tracker = world.scrapers.tracker.clone();
        assert_eq!((world.reload(), world.shown()), (Ok(0), 0));
        world.config.sources.extend(["a", "b"].map(source));
        assert_eq!((world.reload(), world.shown()), (Ok(2), 2));
        assert_eq!(world.reload(), Ok(0), "nothing changed");
        let first = world.scrapers.running["a"].1.clone();
        let second = world.scrapers.running["b"].1.clone();

        world.settings(1).scrape_interval = Span::minutes(1);
        assert_eq!((world.reload(), world.shown()), (Ok(1), 2));
        assert!(first.is_cancelled() && !second.is_cancelled());
        world.settings(1).tls_config.ca_file = Some("/nowhere/ca".into());
        let problem = world.reload().unwrap_err();
        let start = "source \"a\": scrape: tls_config.ca_file";
        assert!(problem.starts_with(start), "{problem}");
        assert!(!second.is_cancelled(), "what cannot be built stops nothing");

        world.settings(1).tls_config.ca_file = None;
        world.config.sources.truncate(2);
        assert_eq!((world.reload(), world.shown()), (Ok(0), 1));
        assert!(second.is_cancelled());
        quit.cancel();
        tracker.close();
        tracker.wait().await;
    }
}
