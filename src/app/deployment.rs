//! The configuration in force, and how another takes its place: everything is read, checked and built
//! before anything is stopped, and where one of these fails nothing changes.

use super::{
    calendars::CalendarFiles,
    follow::{Follower, PreparedFollower},
    hubs::{Hubs, PreparedHubs},
    load::{self, Loaded},
    models,
    options::{AppError, AppOptions, ConfigSource},
    pushers::{PreparedPushers, Pushers},
    receivers,
    records::{PreparedRecords, Records, StoreSlot},
    retrain::{PreparedModels, Retrainer},
    scaling::{PreparedScaling, Scaler},
    scrapers::{PreparedScrapers, Scrapers},
    topic_writers::{PreparedTopicWriters, TopicWriters},
    topics::{PreparedTopics, Topics},
    wiring::{self, Sources},
    writers::{PreparedWriters, Writers},
};
use crate::{
    engine::{
        Catalogue,
        run::{Fleet, Prepared},
    },
    forecast::ModelFiles,
    source::{
        remote_write::Receivers,
        scrape::{Board, Taker},
    },
    telemetry::Telemetry,
    web::ConfigReport,
};
use std::sync::{Arc, Mutex, PoisonError};

/// What runs because of a configuration, before there is one.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) fleet: Fleet,
    pub(super) pushers: Pushers,
    pub(super) writers: Writers,
    pub(super) hubs: Hubs,
    pub(super) scrapers: Scrapers,
    pub(super) topics: Topics,
    pub(super) topic_writers: TopicWriters,
    pub(super) retrainer: Retrainer,
    pub(super) follower: Follower,
    pub(super) scaler: Scaler,
    pub(super) records: Records,
}

/// The configuration in force and what runs because of it.
#[derive(Debug)]
pub(super) struct Deployment {
    options: AppOptions,
    telemetry: Telemetry,
    fleet: Fleet,
    pushers: Pushers,
    writers: Writers,
    scrapers: Scrapers,
    topics: Topics,
    topic_writers: TopicWriters,
    follower: Follower,
    retrainer: Retrainer,
    scaler: Scaler,
    records: Records,
    sources: Sources,
    hubs: Hubs,
    receivers: Arc<Receivers>,
    models: ModelFiles,
    calendar_files: CalendarFiles,
    /// Of the newest content that was tried, well or not: the poll tries each content once.
    tried: Option<u64>,
    report: Arc<Mutex<ConfigReport>>,
}

/// Everything a configuration needs, ready for [`Deployment::put_in_force`].
#[derive(Debug)]
pub(super) struct Built {
    loaded: Loaded,
    sources: Sources,
    hubs: PreparedHubs,
    receivers: receivers::Prepared,
    prepared: Prepared,
    pushers: PreparedPushers,
    writers: PreparedWriters,
    scrapers: PreparedScrapers,
    topics: PreparedTopics,
    topic_writers: PreparedTopicWriters,
    follower: PreparedFollower,
    trained: PreparedModels,
    scaling: PreparedScaling,
    records: PreparedRecords,
}

// === impl Deployment ===

impl Deployment {
    /// Reads, checks and builds the first configuration. Starts nothing.
    pub(super) async fn build(
        options: &AppOptions,
        parts: Parts,
        telemetry: Telemetry,
    ) -> Result<(Self, Built), AppError> {
        let file = match &options.config {
            ConfigSource::File(path) => Some(path.display().to_string()),
            ConfigSource::Literal(_) => None,
        };
        let report = ConfigReport {
            file,
            ..ConfigReport::default()
        };
        let mut deployment = Self {
            options: options.clone(),
            telemetry,
            fleet: parts.fleet,
            pushers: parts.pushers,
            writers: parts.writers,
            scrapers: parts.scrapers,
            topics: parts.topics,
            topic_writers: parts.topic_writers,
            retrainer: parts.retrainer,
            follower: parts.follower,
            scaler: parts.scaler,
            records: parts.records,
            sources: Sources::new(),
            hubs: parts.hubs,
            receivers: Arc::default(),
            models: ModelFiles::new(),
            calendar_files: CalendarFiles::new(),
            tried: None,
            report: Arc::new(Mutex::new(report)),
        };
        let first = deployment.built().await.map_err(AppError::Config)?;
        deployment.tried = Some(first.loaded.hash);
        Ok((deployment, first))
    }

    /// What readers see.
    pub(super) fn catalogue(&self) -> Arc<Catalogue> {
        self.fleet.catalogue()
    }

    /// Where the store in force is found.
    pub(super) fn store(&self) -> StoreSlot {
        self.records.slot()
    }

    /// Who takes what is pushed.
    pub(super) fn receivers(&self) -> Arc<Receivers> {
        Arc::clone(&self.receivers)
    }

    /// Where the targets of sources that scrape are shown.
    pub(super) fn targets(&self) -> Arc<Board> {
        self.scrapers.board()
    }

    /// Whether workloads are decided on.
    pub(super) fn scales(&self) -> bool {
        self.scaler.runs()
    }

    /// What became of the configuration, for the status page.
    pub(super) fn report(&self) -> Arc<Mutex<ConfigReport>> {
        Arc::clone(&self.report)
    }

    /// Reads the configuration again and puts it in force, or says why not.
    pub(super) async fn reload(&mut self) -> Result<(), String> {
        let peeked = load::peek(&self.options, &self.models, &self.calendar_files).await;
        self.tried = peeked.or(self.tried);
        match self.built().await {
            Ok(built) => {
                self.put_in_force(built).await;
                Ok(())
            }
            Err(problem) => {
                self.telemetry.app.load_failed(&problem);
                let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
                report.last_reload_successful = false;
                report.last_error = Some(problem.clone());
                Err(problem)
            }
        }
    }

    /// Reloads where the content of the file, or of a file it names, is not that of the last attempt.
    pub(super) async fn reload_if_changed(&mut self) {
        let now = load::peek(&self.options, &self.models, &self.calendar_files).await;
        if now.is_some() && now != self.tried {
            // What went wrong was logged, counted and reported.
            drop(self.reload().await);
        }
    }

    async fn built(&self) -> Result<Built, String> {
        let mut loaded = load::load_followed(&self.options).await?;
        let mut slow = models::leave_out_hanging(&mut loaded).await;
        slow.extend(models::too_slow(&loaded).await);
        if !slow.is_empty() {
            return Err(slow.join("\n"));
        }
        let (options, telemetry) = (&self.options, &self.telemetry);
        let hubs = self
            .hubs
            .prepare(&loaded.config, options, telemetry)
            .await?;
        let (plan, sources) = wiring::plan(&loaded, (&self.sources, &hubs), options, telemetry)?;
        let prepared = self.fleet.prepare(plan)?;
        let receivers =
            receivers::prepare(&self.receivers, &loaded.config, &hubs, options, telemetry)?;
        let taker_of = |name: &str| hubs.hub(name).map(|hub| Arc::clone(hub) as Arc<dyn Taker>);
        let scrapers =
            self.scrapers
                .prepare(&loaded.config, &self.options, &self.telemetry, taker_of)?;
        Ok(Built {
            prepared,
            scrapers,
            receivers,
            topics: self
                .topics
                .prepare(&loaded.config, &hubs, options, telemetry)?,
            topic_writers: self
                .topic_writers
                .prepare(&loaded.config, options, telemetry)?,
            hubs,
            pushers: self
                .pushers
                .prepare(&loaded.config, &self.options, &self.telemetry)?,
            writers: self
                .writers
                .prepare(&loaded.config, &self.options, &self.telemetry)?,
            follower: self.follower.prepare(&loaded.config, &self.options)?,
            trained: Retrainer::prepare(&loaded, &sources, &self.options)?,
            scaling: Scaler::prepare(&loaded, &sources, &self.options)?,
            records: self
                .records
                .prepare(&loaded.config, &self.options, &self.telemetry)
                .await?,
            loaded,
            sources,
        })
    }

    /// Starts what is new or changed, stops what is gone or changed.
    pub(super) async fn put_in_force(&mut self, built: Built) {
        let Built {
            loaded,
            sources,
            hubs,
            receivers,
            prepared,
            pushers,
            writers,
            scrapers,
            topics,
            topic_writers,
            follower,
            trained,
            scaling,
            records,
        } = built;
        let events = Arc::clone(&self.telemetry.source);
        for (name, (settings, source)) in &sources {
            let kept = self.sources.get(name);
            let is_asked = settings.kind.as_prometheus().is_some();
            if is_asked && kept.is_none_or(|(_, old)| !Arc::ptr_eq(old, source)) {
                events.announce(name);
            }
        }
        self.fleet.commit(prepared).await;
        self.pushers
            .commit(pushers, &self.fleet.catalogue(), &self.telemetry);
        self.writers
            .commit(writers, &self.fleet.catalogue(), &self.telemetry);
        self.hubs
            .commit(hubs, &loaded.config, &self.options, &self.telemetry);
        self.receivers.store(Arc::new(receivers));
        self.scrapers.commit(scrapers, &self.telemetry);
        self.topics.commit(topics, &self.telemetry);
        self.topic_writers
            .commit(topic_writers, &self.fleet.catalogue(), &self.telemetry);
        self.records.commit(records, &self.telemetry);
        self.follower
            .commit(follower, &self.options, &self.telemetry);
        self.retrainer.commit(
            trained,
            &self.fleet.catalogue(),
            &self.telemetry,
            &self.options.clock,
        );
        self.scaler
            .commit(scaling, &self.fleet.catalogue(), &self.telemetry);
        let asked = sources
            .iter()
            .filter(|(_, (settings, _))| settings.kind.as_prometheus().is_some());
        for (name, (_, source)) in asked {
            // A former source of the same name may have had a last word.
            events.show_breaker(name, source.breaker());
        }
        for gone in self.sources.keys() {
            if !sources.contains_key(gone) {
                events.forget(gone);
            }
        }
        self.sources = sources;
        let in_force = models::in_force(&loaded);
        let in_force = in_force
            .iter()
            .map(|(name, version)| (name.as_str(), version.as_str()));
        self.telemetry.app.models(in_force);
        self.models = loaded.models;
        self.calendar_files = loaded.calendar_files;
        self.tried = Some(loaded.hash);
        let at = self.options.clock.now() as f64 / 1_000.0;
        let (signals, panels) = (loaded.config.signals.len(), loaded.config.panels.len());
        self.telemetry.app.loaded(loaded.hash, at, signals, panels);
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.last_reload_successful = true;
        report.last_reload_success = Some(at);
        report.last_error = None;
    }
}
