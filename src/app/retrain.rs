//! Trained models kept up to date: trained anew when it is time, challengers put in force when they are better.
//!
//! One task looks at every model once a minute ([`crate::forecast::renewal`] says what is due) and trains one at a time, on one
//! thread of its own, so that ticks have the others. Only a process with `--train` does; others show what is due. Whatever fails,
//! the version in force stays: nothing of what a training learns is on disk before it is over, and the registry replaces the pin last.

use super::{
    load::Loaded,
    options::AppOptions,
    training::{self, Done, Fate, Fetch, History, Job, Kept, Store},
    wiring::{self, Sources},
};
use crate::{
    config::Config,
    engine::{Catalogue, Clock, Outcome, SignalSettings, settings::Calendars},
    forecast::{
        Models,
        renewal::{Known, Settings, Since, Why},
    },
    registry,
    series::{Millis, Span},
    source::Source,
    telemetry::{Telemetry, TrainingEvents, TrainingResult},
    train::{self, Rule},
};
use std::{panic::resume_unwind, path::PathBuf, sync::Arc, time::Duration};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How often models are looked at.
const LOOK: Span = Span::minutes(1);
/// The shortest time without an outcome after which nobody knows whether something went on.
const LEAST_GAP: Span = Span::minutes(120);

/// What a process does beyond showing what is due.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrainingRole {
    /// An Ed25519 private key (PKCS#8, DER) to sign manifests with.
    pub signing_key: Option<PathBuf>,
}

/// A model that is trained now and then, and all that its training follows from.
#[derive(Debug, Clone)]
struct Subject {
    model: String,
    renewal: Settings,
    /// Without its forecasters: which version of them is in force does not matter here.
    signal: SignalSettings,
    source: Arc<dyn Source>,
    calendars: Calendars,
    calendar_revision: u64,
    models: registry::Settings,
    /// Where what is in force is shared with other machines.
    shared: Option<registry::Shared>,
}

/// Trained models kept up to date.
#[derive(Debug)]
pub(super) struct Retrainer {
    tracker: TaskTracker,
    stop: CancellationToken,
    running: Option<(Vec<Subject>, Option<Role>, CancellationToken)>,
}

/// The models of a configuration.
#[derive(Debug)]
pub(super) struct PreparedModels {
    subjects: Vec<Subject>,
    role: Option<Role>,
}

/// What a process trains with.
#[derive(Clone, PartialEq)]
struct Role {
    key: Option<Vec<u8>>,
}

// === impl Retrainer ===

impl Retrainer {
    /// Nothing yet. `tracker` waits for its task, `stop` ends it.
    pub(super) fn new(tracker: TaskTracker, stop: CancellationToken) -> Self {
        Self {
            tracker,
            stop,
            running: None,
        }
    }

    /// Finds the models that `loaded` wants trained. Starts nothing.
    ///
    /// # Errors
    /// A key that is needed and not there.
    pub(super) fn prepare(
        loaded: &Loaded,
        sources: &Sources,
        options: &AppOptions,
    ) -> Result<PreparedModels, String> {
        let config = &loaded.config;
        // Only who trains puts anything in the store: it is opened once, and only for that.
        let is_needed = options.train.is_some() && config.signals.iter().any(trains);
        let shared = match is_needed {
            true => super::models::followed(&config.models, options)?,
            false => None,
        };
        let subjects = config
            .signals
            .iter()
            .filter_map(|signal| Some((signal, signal.forecast.train.clone()?)))
            .map(|(signal, renewal)| {
                let shared = shared.clone();
                subject(signal, renewal, loaded, shared, sources, options)
            })
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(twice) = twice(&subjects) {
            return Err(format!(
                "signals train the same model {twice:?}; give each its own forecast.train.model"
            ));
        }
        let role = options.train.as_ref();
        let role = role.filter(|_| !subjects.is_empty());
        let role = role.map(|role| Role::new(role, config)).transpose()?;
        Ok(PreparedModels { subjects, role })
    }

    /// Looks after these models from now on. Where nothing changed, what is under way goes on.
    pub(super) fn commit(
        &mut self,
        prepared: PreparedModels,
        catalogue: &Arc<Catalogue>,
        telemetry: &Telemetry,
        clock: &Clock,
    ) {
        let PreparedModels { subjects, role } = prepared;
        if let Some((running, trains, stop)) = &self.running {
            if *running == subjects && *trains == role {
                return;
            }
            stop.cancel();
        }
        self.running = None;
        let every = |subject: &Subject| subject.renewal.every.as_millis() as f64 / 1_000.0;
        let models: Vec<(String, f64)> = subjects
            .iter()
            .map(|subject| (subject.model.clone(), every(subject)))
            .collect();
        telemetry.training.announce(&models);
        if subjects.is_empty() {
            return;
        }
        let stop = self.stop.child_token();
        let keeper = Keeper {
            watched: subjects.iter().cloned().map(Watched::new).collect(),
            role: role.clone(),
            catalogue: Arc::clone(catalogue),
            events: Arc::clone(&telemetry.training),
            clock: clock.clone(),
            stop: stop.clone(),
        };
        self.running = Some((subjects, role, stop));
        drop(self.tracker.spawn(keeper.run()));
    }
}

fn trains(signal: &SignalSettings) -> bool {
    signal.forecast.train.is_some()
}

fn subject(
    signal: &SignalSettings,
    renewal: Settings,
    loaded: &Loaded,
    shared: Option<registry::Shared>,
    sources: &Sources,
    options: &AppOptions,
) -> Result<Subject, String> {
    let mut own = signal.clone();
    own.forecast.models = Models::Auto;
    Ok(Subject {
        model: renewal.model.clone().unwrap_or_else(|| signal.name.clone()),
        renewal,
        source: wiring::source_of(signal, &loaded.config, sources, options)?,
        calendars: loaded.calendars.clone(),
        calendar_revision: super::calendars::revision(signal, &loaded.calendars),
        signal: own,
        models: loaded.config.models.clone(),
        shared,
    })
}

fn twice(subjects: &[Subject]) -> Option<&str> {
    let mut names: Vec<&str> = subjects
        .iter()
        .map(|subject| subject.model.as_str())
        .collect();
    names.sort_unstable();
    names
        .windows(2)
        .find(|pair| pair[0] == pair[1])
        .map(|pair| pair[0])
}

impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        self.model == other.model
            && self.renewal == other.renewal
            && self.signal == other.signal
            && Arc::ptr_eq(&self.source, &other.source)
            && self.calendar_revision == other.calendar_revision
            && self.models == other.models
    }
}

impl std::fmt::Debug for Role {
    /// The key is private.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Role")
            .field("signs", &self.key.is_some())
            .finish()
    }
}

impl Role {
    fn new(role: &TrainingRole, config: &Config) -> Result<Self, String> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|error| {
                format!(
                    "--models.signing-key: cannot read {}: {error}",
                    path.display()
                )
            })
        };
        let key = role.signing_key.as_ref().map(read).transpose()?;
        if config.models.require_signature && key.is_none() {
            return Err(
                "--models.signing-key: is needed with --train, as models.require_signature is on"
                    .to_owned(),
            );
        }
        Ok(Self { key })
    }
}

/// The task.
struct Keeper {
    watched: Vec<Watched>,
    /// `None`: it only shows what is due.
    role: Option<Role>,
    catalogue: Arc<Catalogue>,
    events: Arc<TrainingEvents>,
    clock: Clock,
    stop: CancellationToken,
}

/// A model and what was seen of it.
struct Watched {
    subject: Subject,
    known: Known,
    /// A challenger that is better than the version in force (both), and since when.
    better: Option<([String; 2], Since)>,
}

/// What became of a training.
enum Came {
    Stored(Box<Kept>, Vec<String>),
    Failed(String),
    GivenUp,
}

impl Watched {
    fn new(subject: Subject) -> Self {
        Self {
            subject,
            known: Known::default(),
            better: None,
        }
    }

    /// Takes in what the newest outcome says.
    fn see(&mut self, outcome: &Outcome) {
        let renewal = &self.subject.renewal;
        let drifts = outcome.drift.is_some_and(|drift| drift > 1.0);
        self.known.drifting.see(drifts, outcome.at, self.gap());
        let bound = renewal
            .above_error
            .map_or(f32::INFINITY, |bound| bound as f32);
        let errs = outcome
            .trust
            .iter()
            .flatten()
            .any(|trust| trust.error_ratio > bound);
        self.known.erring.see(errs, outcome.at, self.gap());
        self.contest(outcome);
    }

    fn contest(&mut self, outcome: &Outcome) {
        let promote = self.subject.renewal.promote.as_ref();
        let contest = outcome
            .contests
            .iter()
            .find(|one| one.model == self.subject.model);
        let (Some(promote), Some(contest)) = (promote, contest) else {
            self.better = None;
            return;
        };
        let challenger = contest.challenger.clone().unwrap_or_default();
        let both = [contest.champion.clone(), challenger];
        let before = self.better.take().filter(|(pair, _)| *pair == both);
        let mut since = before.map(|(_, since)| since).unwrap_or_default();
        since.see(promote.is_better(contest), outcome.at, self.gap());
        self.better = Some((both, since));
    }

    /// What was not seen for longer than this is not known to have lasted.
    fn gap(&self) -> Span {
        LEAST_GAP.max(Span::millis(3 * self.subject.signal.step.as_millis()))
    }

    /// The version in force and the challenger that is to take its place.
    fn winner(&self) -> Option<&[String; 2]> {
        let after = self.subject.renewal.promote.as_ref()?.after;
        let (both, since) = self.better.as_ref()?;
        since.lasts(after).then_some(both)
    }
}

// === impl Keeper ===

impl Keeper {
    async fn run(mut self) {
        let pause = Duration::from_secs_f64(LOOK.to_std().as_secs_f64() / self.clock.speed());
        loop {
            for index in 0..self.watched.len() {
                self.look(index).await;
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    async fn look(&mut self, index: usize) {
        let now = self.clock.now();
        let watched = &mut self.watched[index];
        let units = self.catalogue.units();
        let unit = units
            .iter()
            .find(|unit| *unit.name == *watched.subject.signal.name);
        if let Some(outcome) = unit.and_then(|unit| unit.fresh(now)) {
            watched.see(&outcome);
        }
        let subject = watched.subject.clone();
        let trained = spawn_blocking(move || newest(&subject)).await;
        let model = &watched.subject.model;
        match trained.unwrap_or_else(|_| Err("reading it panicked".to_owned())) {
            Ok(trained) => watched.known.trained = trained,
            Err(problem) => {
                self.events.registry_failed(model, &problem);
                return;
            }
        }
        let due = watched.subject.renewal.due(model, &watched.known, now);
        self.events.due(model, due.is_some(), watched.known.trained);
        if self.role.is_none() || self.stop.is_cancelled() {
            return;
        }
        self.promote(index).await;
        let watched = &self.watched[index];
        if let Some(why) = due.filter(|_| watched.subject.renewal.may(&watched.known, now)) {
            self.train(index, why, now).await;
        }
    }

    /// Puts a challenger in force that has been better for long enough.
    async fn promote(&mut self, index: usize) {
        let watched = &mut self.watched[index];
        let Some([champion, challenger]) = watched.winner().cloned() else {
            return;
        };
        watched.better = None;
        let (model, models, shared) = (
            watched.subject.model.clone(),
            watched.subject.models.clone(),
            watched.subject.shared.clone(),
        );
        let (name, version, before) = (model.clone(), challenger.clone(), champion.clone());
        let done = spawn_blocking(move || {
            if let Some(shared) = shared {
                let promoted = shared.promote_after(&name, &version, Some(&before));
                return promoted.map(drop);
            }
            let registry = models.registry().ok_or("models.directory is not set")?;
            registry
                .promote_after(&name, &version, Some(&before))
                .map(drop)
        });
        match done
            .await
            .unwrap_or_else(|_| Err("promoting panicked".to_owned()))
        {
            Ok(()) => self.events.won(&model, &challenger, &champion),
            Err(problem) => self.events.registry_failed(&model, &problem),
        }
    }

    async fn train(&mut self, index: usize, why: Why, now: Millis) {
        let subject = self.watched[index].subject.clone();
        let key = self.role.as_ref().and_then(|role| role.key.clone());
        self.events.began(&subject.model, why.as_str());
        let began = tokio::time::Instant::now();
        let came = tokio::select! {
            biased;
            () = self.stop.cancelled() => Came::GivenUp,
            came = trained(subject.clone(), key, now, self.stop.clone()) => came,
        };
        let seconds = began.elapsed().as_secs_f64();
        let known = &mut self.watched[index].known;
        known.tried = Some(now);
        let model = &subject.model;
        match came {
            Came::GivenUp => self.events.gave_up(model),
            Came::Failed(problem) => {
                known.failures += 1;
                let failed = TrainingResult::Failed;
                self.events.ended(model, failed, "", &problem, seconds);
            }
            Came::Stored(kept, objections) => {
                known.failures = 0;
                known.trained = Some(now);
                self.events.due(model, false, known.trained);
                let (result, text) = match kept.fate {
                    Fate::InForce { .. } => (TrainingResult::Promoted, String::new()),
                    Fate::Overtaken { by } => (
                        TrainingResult::Kept,
                        format!("{model}/{by} was put in force meanwhile"),
                    ),
                    Fate::Refused | Fate::NotStored => {
                        (TrainingResult::Kept, objections.join("; "))
                    }
                };
                let version = kept.manifest.to_string();
                self.events.ended(model, result, &version, &text, seconds);
            }
        }
    }
}

/// When the newest version of a model was trained; `None` where there is none.
fn newest(subject: &Subject) -> Result<Option<Millis>, String> {
    let registry = subject
        .models
        .registry()
        .ok_or("models.directory is not set")?;
    if !registry.directory().join(&subject.model).is_dir() {
        return Ok(None);
    }
    // Names say nothing about when: `best` may be older than `10`.
    let versions = registry.versions(&subject.model)?;
    let created = versions
        .iter()
        .map(|version| created(&registry, &subject.model, version));
    let (mut newest, mut failed) = (None, None);
    for one in created {
        match one {
            Ok(at) => newest = newest.max(Some(at)),
            Err(problem) => failed = Some(problem),
        }
    }
    match (newest, failed) {
        (None, Some(problem)) => Err(problem),
        (newest, _) => Ok(newest),
    }
}

fn created(registry: &registry::Registry, model: &str, version: &str) -> Result<Millis, String> {
    let created = registry.manifest(model, version)?.created;
    let at: Result<jiff::Timestamp, _> = created.parse();
    let at = at.map_err(|error| format!("{model}/{version}: created {created:?}: {error}"))?;
    Ok(at.as_millisecond())
}

/// Fetches, trains, judges and stores.
async fn trained(
    subject: Subject,
    key: Option<Vec<u8>>,
    now: Millis,
    stop: CancellationToken,
) -> Came {
    let to = now - subject.signal.offset.as_millis();
    let wanted = Fetch {
        source: &*subject.source,
        settings: &subject.signal,
        span: (to - subject.renewal.from.as_millis(), to),
        now,
        // Without a cache it does not matter where the source is.
        address: "",
        cache: None,
    };
    let samples = match training::fetch(&wanted, &mut |_| ()).await {
        Ok(samples) => samples,
        Err(problem) => return Came::Failed(problem),
    };
    let work = spawn_blocking(move || {
        let history = History::new(subject.signal.clone(), &samples, &subject.calendars, None);
        let history = history?.of_configuration();
        drop(samples);
        let store = store(&subject, key, now);
        let done = learnt(&subject, &history, &store, &stop)?;
        if stop.is_cancelled() {
            return Ok(None);
        }
        let kept = store.keep(&done)?;
        Ok(Some((kept, done.objections)))
    });
    match work.await {
        Ok(Ok(Some((kept, objections)))) => Came::Stored(Box::new(kept), objections),
        Ok(Ok(None)) => Came::GivenUp,
        Ok(Err(problem)) => Came::Failed(problem),
        Err(_) => Came::Failed("it panicked".to_owned()),
    }
}

fn store(subject: &Subject, key: Option<Vec<u8>>, now: Millis) -> Store {
    let created = jiff::Timestamp::from_millisecond(now.div_euclid(1_000) * 1_000);
    Store {
        registry: subject.models.registry(),
        shared: subject.shared.clone(),
        is_dry: false,
        name: subject.model.clone(),
        key,
        max_latency: subject.models.max_latency,
        created: created.map_or_else(|_| String::new(), |time| time.to_string()),
    }
}

/// On one thread, until it is done or told to stop.
fn learnt(
    subject: &Subject,
    history: &History,
    store: &Store,
    stop: &CancellationToken,
) -> Result<Done, String> {
    let mut settings = train::Settings::new(Vec::new(), history.horizons.clone());
    settings.network = subject.renewal.network;
    settings.epochs = subject.renewal.network.epochs();
    settings.features = history.features(settings.window);
    history.check(&settings)?;
    let rule = Rule {
        margin: subject.renewal.margin,
        max_error: subject.renewal.max_error,
    };
    let job = Job {
        history,
        settings: &settings,
        rule: &rule,
        store,
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.map_err(|error| format!("cannot start a thread: {error}"))?;
    pool.install(|| {
        training::train(&job, &mut |_| {
            if stop.is_cancelled() {
                // Learning has no other way out. It is no panic: nothing is printed, and whoever waits has left.
                resume_unwind(Box::new("told to stop"));
            }
        })
    })
}

#[cfg(test)]
mod tests;
