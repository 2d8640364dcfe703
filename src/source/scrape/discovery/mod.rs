//! Finding targets: by name, in files, from a server, in Kubernetes. Each mechanism is a task that tells all targets
//! it knows whenever they change, and keeps them where it cannot know better.

mod file;
mod http;
mod kubernetes;

pub use file::FileSdSettings;
pub use http::HttpSdSettings;
pub use kubernetes::{KubernetesSdSettings, Namespaces, Role, Selector};

use super::{
    settings::{Settings, StaticSettings},
    target::ADDRESS,
};
use crate::{series::relabel::LabelMap, telemetry::ScrapeEvents};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Targets with labels in common.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Group {
    /// The labels of each by itself.
    pub(super) targets: Vec<LabelMap>,
    /// The labels of all of them; what a target says itself goes before.
    pub(super) labels: LabelMap,
}

/// All targets that the mechanism of this index knows.
pub(super) type Told = (usize, Vec<Group>);

/// The mechanisms of a source, built but not running.
#[derive(Debug)]
pub(super) struct Discovery {
    mechanisms: Vec<Mechanism>,
}

#[derive(Debug)]
enum Mechanism {
    Static(Vec<Group>),
    File(FileSdSettings),
    Http(Box<http::HttpSd>),
    Kubernetes(KubernetesSdSettings),
}

impl Group {
    /// Of a list of addresses, with one label more.
    pub(super) fn of(settings: StaticSettings, more: Option<(&str, &str)>) -> Self {
        let target = |address: String| LabelMap::from([(ADDRESS.to_owned(), address)]);
        let mut labels = settings.labels;
        labels.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Self {
            targets: settings.targets.into_iter().map(target).collect(),
            labels,
        }
    }

    /// The labels of each target.
    pub(super) fn each(&self) -> impl Iterator<Item = LabelMap> + '_ {
        self.targets.iter().map(|own| {
            let mut labels = self.labels.clone();
            labels.extend(own.clone());
            labels
        })
    }
}

impl Discovery {
    /// The mechanisms that `settings`, which are valid, ask for. Reads the files of HTTP clients.
    ///
    /// # Errors
    /// A file that cannot be used, with its key.
    pub(super) fn build(settings: &Settings) -> Result<Self, String> {
        let named = settings.static_configs.iter().cloned();
        let named: Vec<Group> = named.map(|group| Group::of(group, None)).collect();
        let mut mechanisms = vec![Mechanism::Static(named)];
        mechanisms.extend(
            settings
                .file_sd_configs
                .iter()
                .cloned()
                .map(Mechanism::File),
        );
        for (index, server) in settings.http_sd_configs.iter().enumerate() {
            let built = http::HttpSd::build(server);
            let built = built.map_err(|problem| format!("http_sd_configs[{index}]: {problem}"))?;
            mechanisms.push(Mechanism::Http(Box::new(built)));
        }
        let clusters = settings.kubernetes_sd_configs.iter().cloned();
        mechanisms.extend(clusters.map(Mechanism::Kubernetes));
        Ok(Self { mechanisms })
    }

    /// Runs all of them until dropped.
    pub(super) async fn run(
        self,
        source: Arc<str>,
        told: mpsc::Sender<Told>,
        events: Arc<ScrapeEvents>,
    ) {
        let mut running = tokio::task::JoinSet::new();
        for (index, mechanism) in self.mechanisms.into_iter().enumerate() {
            let publisher = Publisher {
                index,
                mechanism: mechanism.name(),
                source: Arc::clone(&source),
                told: told.clone(),
                events: Arc::clone(&events),
            };
            running.spawn(mechanism.run(publisher));
        }
        while running.join_next().await.is_some() {}
        // Those that are named stay; nobody else tells anything any more.
        std::future::pending().await
    }
}

impl Mechanism {
    fn name(&self) -> &'static str {
        match self {
            Self::Static(_) => "static",
            Self::File(_) => "file",
            Self::Http(_) => "http",
            Self::Kubernetes(_) => "kubernetes",
        }
    }

    async fn run(self, publisher: Publisher) {
        match self {
            Self::Static(groups) => publisher.tell(groups).await,
            Self::File(settings) => file::run(settings, publisher).await,
            Self::Http(server) => server.run(publisher).await,
            Self::Kubernetes(settings) => kubernetes::run(settings, publisher).await,
        }
    }
}

/// Where a mechanism tells what it found.
#[derive(Debug)]
struct Publisher {
    index: usize,
    mechanism: &'static str,
    source: Arc<str>,
    told: mpsc::Sender<Told>,
    events: Arc<ScrapeEvents>,
}

impl Publisher {
    /// These are all targets now.
    async fn tell(&self, groups: Vec<Group>) {
        // Nobody listens any more: the source is being stopped.
        drop(self.told.send((self.index, groups)).await);
    }

    /// It could not be found out; what was told before stays.
    fn failed(&self, problem: &str) {
        self.events
            .discovery_failed(&self.source, self.mechanism, problem);
    }
}
