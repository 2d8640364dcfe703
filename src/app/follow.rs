//! A process that follows the pin of a store that machines share: at the pace of the configuration's poll, in the
//! background, the folder of models is brought to what the store says. That the folder's pin changed is then noticed as
//! if a person had changed it. While the store is gone, what is in force stays in force.

use super::{models, options::AppOptions};
use crate::{
    config::Config,
    registry::{self, Followed, NotFollowed, RefusedPin, Shared},
    telemetry::{AppEvents, Telemetry},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Which models of which store: where it is the same, the task stays.
#[derive(Debug, Clone, PartialEq)]
struct Terms {
    settings: registry::Settings,
    names: BTreeSet<String>,
}

/// The store that is followed, if one is.
#[derive(Debug)]
pub(super) struct Follower {
    tracker: TaskTracker,
    stop: CancellationToken,
    running: Option<(Terms, CancellationToken)>,
}

/// What a configuration wants followed: opened where it is not followed already.
#[derive(Debug)]
pub(super) struct PreparedFollower(Option<(Terms, Option<Arc<Shared>>)>);

// === impl Follower ===

impl Follower {
    /// Follows nothing yet. `tracker` waits for its task, `stop` ends it.
    pub(super) fn new(tracker: TaskTracker, stop: CancellationToken) -> Self {
        Self {
            tracker,
            stop,
            running: None,
        }
    }

    /// Opens what `config` wants followed. Starts nothing and connects to nothing.
    pub(super) fn prepare(
        &self,
        config: &Config,
        options: &AppOptions,
    ) -> Result<PreparedFollower, String> {
        let Some(terms) = terms(config) else {
            return Ok(PreparedFollower(None));
        };
        if self
            .running
            .as_ref()
            .is_some_and(|(running, _)| *running == terms)
        {
            return Ok(PreparedFollower(Some((terms, None))));
        }
        let shared = open(&terms, options)?;
        Ok(PreparedFollower(Some((terms, Some(Arc::new(shared))))))
    }

    /// Follows what was prepared, and nothing else any more.
    pub(super) fn commit(
        &mut self,
        prepared: PreparedFollower,
        options: &AppOptions,
        telemetry: &Telemetry,
    ) {
        let next = match prepared.0 {
            Some((_, None)) => return,
            Some((terms, Some(shared))) => Some((terms, shared)),
            None => None,
        };
        if let Some((_, stop)) = self.running.take() {
            stop.cancel();
            telemetry.app.store_left();
        }
        let Some((terms, shared)) = next else {
            return;
        };
        let stop = self.stop.child_token();
        let (poll, ended) = (options.poll_interval, stop.clone());
        let mut task = Task {
            shared,
            names: terms.names.clone(),
            events: Arc::clone(&telemetry.app),
            said: BTreeMap::new(),
            refused: BTreeMap::new(),
        };
        self.running = Some((terms, stop));
        drop(self.tracker.spawn(async move {
            let mut poll = interval(poll);
            poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    biased;
                    () = ended.cancelled() => return,
                    _ = poll.tick() => {}
                }
                // Not inside the select: what was begun is done to the end.
                task.look(&ended).await;
            }
        }));
    }
}

/// The models that signals name, where a store is followed.
fn terms(config: &Config) -> Option<Terms> {
    let settings = config.models.clone();
    let names = models::names(config);
    let is_wanted = settings.is_followed() && !names.is_empty();
    is_wanted.then_some(Terms { settings, names })
}

fn open(terms: &Terms, options: &AppOptions) -> Result<Shared, String> {
    let fits = models::fits(terms.settings.max_latency);
    let shared = terms.settings.shared(&*options.env, fits)?;
    shared.ok_or_else(|| "models.store needs models.directory".to_owned())
}

/// Fetches what the store says is in force of models of which nothing is in force here: a new machine has nothing else
/// to start with.
///
/// # Errors
/// A sentence for each that could not be had. What is in force here already is not looked at.
pub(super) async fn fetch_first(config: &Config, options: &AppOptions) -> Vec<String> {
    let Some(terms) = terms(config) else {
        return Vec::new();
    };
    let Some(registry) = terms.settings.registry() else {
        return Vec::new();
    };
    let is_missing = |name: &&String| matches!(registry.pin(name), Ok(None));
    let missing: Vec<String> = terms.names.iter().filter(is_missing).cloned().collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let shared = match open(&terms, options) {
        Ok(shared) => shared,
        Err(problem) => return vec![problem],
    };
    let fetched = spawn_blocking(move || {
        let followed = missing.iter().map(|name| shared.follow(name));
        followed.filter_map(Result::err).collect()
    });
    fetched
        .await
        .unwrap_or_else(|error| vec![error.to_string()])
}

struct Task {
    shared: Arc<Shared>,
    names: BTreeSet<String>,
    events: Arc<AppEvents>,
    /// What went wrong last with each model: said once.
    said: BTreeMap<String, String>,
    /// What of each model did not pass a check: not fetched and run again before the store says something else.
    refused: BTreeMap<String, RefusedPin>,
}

impl Task {
    async fn look(&mut self, ended: &CancellationToken) {
        let mut failures = 0;
        for name in self.names.clone() {
            let (shared, asked) = (Arc::clone(&self.shared), name.clone());
            let refused = self.refused.get(&name).cloned();
            let looking = spawn_blocking(move || follow(&shared, &asked, refused.as_ref()));
            let found = tokio::select! {
                biased;
                // A folder is written whole or not at all, whenever the process ends.
                () = ended.cancelled() => return,
                found = looking => found.unwrap_or_else(|error| Err(error.to_string().into())),
            };
            let place = self.shared.store().place();
            match found {
                Ok(followed) => {
                    if let Some(Followed { pin, aside }) = followed {
                        self.events.store_followed(place, &name, &pin.version);
                        if let Some(aside) = aside {
                            self.events.version_set_aside(&name, &pin.version, &aside);
                        }
                    }
                    self.said.remove(&name);
                    self.refused.remove(&name);
                }
                Err(not) => {
                    failures += 1;
                    // A store that gives no answer for a while does not make a refused version sound.
                    if let NotFollowed::Refused(refused) = &not {
                        self.refused.insert(name.clone(), refused.clone());
                    }
                    let problem = not.problem();
                    let is_new = self.said.get(&name) != Some(&problem);
                    self.events.store_failed(place, &name, &problem, is_new);
                    self.said.insert(name, problem);
                }
            }
        }
        self.events
            .store_looked(self.shared.store().place(), failures == 0);
    }
}

fn follow(
    shared: &Shared,
    name: &str,
    refused: Option<&RefusedPin>,
) -> Result<Option<Followed>, NotFollowed> {
    let followed = shared.follow_anew(name, refused)?;
    if followed.is_some() {
        // What is in force is; that something old could not be removed is told by the next one who promotes.
        drop(shared.registry().prune(name));
    }
    Ok(followed)
}
