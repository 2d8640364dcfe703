//! The sources in force whose samples come by themselves: the hub of each, what it keeps for which signals, and its file.

use super::options::AppOptions;
use crate::{
    config::{Config, SourceKind, SourceSettings},
    engine::{Clock, SignalSettings},
    intake::Recorder,
    series::{Millis, Share},
    source::{
        Source,
        kafka::{Progress, TopicSource},
        local::{
            Hub, LocalSource, Subscription,
            disk::{Past, Shelf},
            joined,
        },
    },
    telemetry::{IntakeEvents, Telemetry},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How often what nobody asked for is computed and what is old is forgotten.
const TIDY_EVERY: Duration = Duration::from_secs(15);
/// How long the last snapshot waits for what is being taken in.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// The hubs in force, by source.
#[derive(Debug)]
pub(super) struct Hubs {
    tracker: TaskTracker,
    quit: CancellationToken,
    running: BTreeMap<String, (Home, CancellationToken)>,
}

/// A hub, the source that signals ask, and its file.
#[derive(Debug, Clone)]
struct Home {
    hub: Arc<Hub>,
    source: Arc<dyn Source>,
    /// How far its topic was read; nothing where it is no topic.
    progress: Option<Arc<Progress>>,
    shelf: Option<Arc<Shelf>>,
}

/// The hubs of a configuration: those that run already, and new ones.
#[derive(Debug, Default)]
pub(super) struct PreparedHubs {
    homes: BTreeMap<String, Home>,
    subscriptions: BTreeMap<String, Vec<Subscription>>,
    /// What former processes knew, of new ones.
    pasts: BTreeMap<String, Past>,
}

// === impl PreparedHubs ===

impl PreparedHubs {
    /// The hub of a source.
    pub(super) fn hub(&self, source: &str) -> Option<&Arc<Hub>> {
        self.homes.get(source).map(|home| &home.hub)
    }

    /// The source itself.
    pub(super) fn source(&self, source: &str) -> Option<&Arc<dyn Source>> {
        self.homes.get(source).map(|home| &home.source)
    }

    /// How far its topic was read; nothing where it is no topic.
    pub(super) fn progress(&self, source: &str) -> Option<&Arc<Progress>> {
        self.homes.get(source)?.progress.as_ref()
    }
}

// === impl Hubs ===

impl Hubs {
    /// None yet. `tracker` waits for their tasks, `quit` ends them with the process.
    pub(super) fn new(tracker: TaskTracker, quit: CancellationToken) -> Self {
        Self {
            tracker,
            quit,
            running: BTreeMap::new(),
        }
    }

    /// Makes what `config` asks for and is not there already, and reads what former processes knew. Starts nothing.
    pub(super) async fn prepare(
        &self,
        config: &Config,
        options: &AppOptions,
        telemetry: &Telemetry,
    ) -> Result<PreparedHubs, String> {
        let mut prepared = PreparedHubs::default();
        let divisions = config.divisions();
        for source in &config.sources {
            let Some(max_series) = source.kind.max_series() else {
                continue;
            };
            let name = &source.name;
            let of_source = |signal: &&SignalSettings| config.source_of(signal) == Some(source);
            let signals = config.signals.iter().filter(of_source);
            let subscriptions = signals.filter_map(|signal| {
                let division = divisions.signal(&signal.name);
                let share = division.map_or(Share::ALL, |own| own.share(options.shard));
                // Nobody asks for it here.
                let is_here = !share.is_nothing();
                is_here.then(|| signal.subscription(max_series, share))?
            });
            prepared
                .subscriptions
                .insert(name.clone(), subscriptions.collect());
            let home = match self.running.get(name) {
                Some((home, _)) => home.of_kind(source),
                None => {
                    let (home, past) = new_home(source, max_series, options, telemetry).await?;
                    prepared.pasts.insert(name.clone(), past);
                    home
                }
            };
            prepared.homes.insert(name.clone(), home);
        }
        // Signals that are started before this is in force find what they ask for. Those that go keep it until then.
        for (name, home) in &prepared.homes {
            let past = prepared.pasts.get(name);
            prepared.subscribe(name, home, past, options.clock.now(), &telemetry.intake);
        }
        Ok(prepared)
    }

    /// Starts what is new, stops what is gone, forgets what no signal selects any more.
    pub(super) fn commit(
        &mut self,
        prepared: PreparedHubs,
        config: &Config,
        options: &AppOptions,
        telemetry: &Telemetry,
    ) {
        let PreparedHubs {
            homes,
            subscriptions,
            pasts,
        } = prepared;
        self.running.retain(|name, (_, stop)| {
            let stays = homes.contains_key(name);
            if !stays {
                stop.cancel();
            }
            stays
        });
        for (name, home) in homes {
            let source = config.sources.iter().find(|source| source.name == name);
            let max_series = source.and_then(|source| source.kind.max_series());
            home.hub.limit(max_series.unwrap_or(Hub::MOST_SERIES));
            home.hub
                .retain(subscriptions.get(&name).map_or(&[], Vec::as_slice));
            if let Some((running, _)) = self.running.get_mut(&name) {
                *running = home;
                continue;
            }
            let events = &telemetry.intake;
            events.announce(&name);
            match &home.shelf {
                None => events.kept_nowhere(&name),
                // What came meanwhile is in the topic, and is read.
                Some(_) if home.progress.is_some() => {}
                Some(_) => tell_gap(&name, pasts.get(&name), options.clock.now(), events),
            }
            let stop = self.quit.child_token();
            let keeper = Keeper {
                name: name.clone(),
                hub: Arc::clone(&home.hub),
                shelf: home.shelf.clone(),
                clock: options.clock.clone(),
                every: options.snapshot_interval,
                events: Arc::clone(events),
            };
            self.running.insert(name, (home, stop.clone()));
            drop(self.tracker.spawn(keeper.run(stop)));
        }
    }
}

impl PreparedHubs {
    /// Gives every signal what it selects, with what a former process knew of it.
    fn subscribe(
        &self,
        name: &str,
        home: &Home,
        past: Option<&Past>,
        now: Millis,
        events: &IntakeEvents,
    ) {
        let own = self.subscriptions.get(name).map_or(&[][..], Vec::as_slice);
        for subscription in joined(own) {
            let restored = past.map(|past| past.of(&subscription, now)).transpose();
            let restored = restored.unwrap_or_else(|problem| {
                let problem = format!("{}: {problem}", subscription.selection);
                events.damaged(name, &problem, None);
                None
            });
            home.hub.subscribe(subscription, restored.flatten());
        }
    }
}

async fn new_home(
    settings: &SourceSettings,
    max_series: usize,
    options: &AppOptions,
    telemetry: &Telemetry,
) -> Result<(Home, Past), String> {
    let (name, events) = (settings.name.as_str(), Arc::clone(&telemetry.intake));
    let hub = Arc::new(Hub::new(name, max_series, Arc::clone(&events)));
    let (mut shelf, mut past) = (None, Past::default());
    if let Some(folder) = options.storage.clone() {
        let own = name.to_owned();
        let opened = spawn_blocking(move || {
            let shelf = Shelf::new(&folder, &own)?;
            let read = shelf
                .read()
                .map_err(|problem| (problem, shelf.put_aside().ok()));
            Ok::<_, String>((shelf, read))
        });
        let (opened, read) = opened.await.map_err(|panic| panic.to_string())??;
        match read {
            Ok(read) => past = read,
            Err((problem, aside)) => events.damaged(name, &problem, aside.as_deref()),
        }
        shelf = Some(Arc::new(opened));
    }
    Ok((Home::new(settings, hub, shelf, past.newest), past))
}

impl Home {
    /// Of a source whose hub knows something up to `known_until`.
    fn new(
        settings: &SourceSettings,
        hub: Arc<Hub>,
        shelf: Option<Arc<Shelf>>,
        known_until: Option<Millis>,
    ) -> Self {
        let local = LocalSource::new(&settings.name, Arc::clone(&hub));
        let progress = is_topic(settings).then(|| Arc::new(Progress::new(known_until)));
        let source: Arc<dyn Source> = match &progress {
            Some(progress) => Arc::new(TopicSource::new(local, Arc::clone(progress))),
            None => Arc::new(local),
        };
        Self {
            hub,
            source,
            progress,
            shelf,
        }
    }

    /// The same, or the same hub behind another source where it becomes a topic that is read or is one no more.
    fn of_kind(&self, settings: &SourceSettings) -> Self {
        if is_topic(settings) == self.progress.is_some() {
            return self.clone();
        }
        let newest = self.hub.each(Recorder::newest).into_iter().flatten().max();
        Self::new(settings, Arc::clone(&self.hub), self.shelf.clone(), newest)
    }
}

fn is_topic(settings: &SourceSettings) -> bool {
    matches!(settings.kind, SourceKind::Kafka(_))
}

/// Says how long before now nothing is known.
fn tell_gap(name: &str, past: Option<&Past>, now: Millis, events: &IntakeEvents) {
    if let Some(newest) = past.and_then(|past| past.newest) {
        events.restored(name, (now - newest).max(0) as f64 / 1_000.0);
    }
}

/// Who keeps one hub.
struct Keeper {
    name: String,
    hub: Arc<Hub>,
    shelf: Option<Arc<Shelf>>,
    clock: Clock,
    /// How often it is written.
    every: Duration,
    events: Arc<IntakeEvents>,
}

impl Keeper {
    /// Tidies and writes now and then, and once more at the end.
    async fn run(self, stop: CancellationToken) {
        let keeper = Arc::new(self);
        let mut written = Instant::now();
        loop {
            let left = keeper.every.saturating_sub(written.elapsed());
            let stopped = tokio::select! {
                () = stop.cancelled() => true,
                () = sleep(TIDY_EVERY.min(left)) => false,
            };
            if stopped {
                // What is being taken in while servers drain belongs to what is written.
                sleep(LAST_WORDS).await;
            }
            let write = stopped || written.elapsed() >= keeper.every;
            if write {
                written = Instant::now();
            }
            let own = Arc::clone(&keeper);
            // What panics here panics again at the next turn; the hub itself goes on.
            drop(spawn_blocking(move || own.keep(write)).await);
            if stopped {
                // After its last words. At the end of the process nobody reads them any more.
                keeper.events.forget(&keeper.name);
                return;
            }
        }
    }

    fn keep(&self, write: bool) {
        self.hub.tidy(self.clock.now());
        if let (true, Some(shelf)) = (write, &self.shelf) {
            match shelf.write(&self.hub) {
                Ok(bytes) => self.events.written(&self.name, bytes),
                Err(error) => {
                    let problem = format!("{}: {error}", shelf.path().display());
                    self.events.not_written(&self.name, &problem);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
