//! The targets of one source: which there are, and a loop for each.

use super::{
    board::{self, Board, Health},
    discovery::{Discovery, Group, Told},
    fetch::Fetcher,
    ingest::Rules,
    run::{Shared, TargetLoop},
    settings::Settings,
    taker::Taker,
    target::{Candidate, Target, candidate},
};
use crate::{engine::clock::Clock, series::relabel::Relabel, telemetry::ScrapeEvents};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering},
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::{Id, JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

/// What mechanisms found and nobody looked at yet.
const UNREAD: usize = 16;

/// What a source that scrapes needs of the world.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Who takes the samples.
    pub taker: Arc<dyn Taker>,
    /// What is counted and logged.
    pub events: Arc<ScrapeEvents>,
    /// What the time is.
    pub clock: Clock,
    /// Where targets are shown.
    pub board: Arc<Board>,
}

/// A source that scrapes, built but not running.
#[derive(Debug)]
pub struct Scraper {
    shared: Arc<Shared>,
    settings: Settings,
    steps: Vec<Relabel>,
    discovery: Discovery,
    board: Arc<Board>,
}

impl Scraper {
    /// A source with the name `name`. Reads the files that its HTTP clients need, and starts nothing.
    ///
    /// # Errors
    /// All problems of the settings, or the first file that cannot be used.
    pub fn build(name: &str, settings: &Settings, around: Surroundings) -> Result<Self, String> {
        let problems = settings.validate();
        if !problems.is_empty() {
            let all = problems.into_iter();
            let all: Vec<String> = all.map(|(path, text)| format!("{path}: {text}")).collect();
            return Err(all.join("; "));
        }
        let steps = settings.relabel_configs.iter().map(Relabel::new);
        let shared = Shared {
            source: name.into(),
            rules: Rules::new(settings)?,
            fetcher: Fetcher::build(settings)?,
            taker: around.taker,
            events: around.events,
            clock: around.clock,
            places: Semaphore::new(settings.concurrency),
            late_places: Semaphore::new(settings.concurrency.div_ceil(4)),
            too_many: 0.into(),
        };
        Ok(Self {
            steps: steps.collect::<Result<_, _>>()?,
            discovery: Discovery::build(settings)?,
            settings: settings.clone(),
            board: around.board,
            shared: Arc::new(shared),
        })
    }

    /// Scrapes until `stop`, then tells that all series are gone, unless it is the process that ends (`quit`).
    pub async fn run(self, stop: CancellationToken, quit: CancellationToken) {
        let source = Arc::clone(&self.shared.source);
        let events = Arc::clone(&self.shared.events);
        let shown = self.board.open(&source);
        let (sender, mut told) = mpsc::channel::<Told>(UNREAD);
        let mut pool = Pool {
            groups: BTreeMap::new(),
            running: BTreeMap::new(),
            tasks: HashMap::new(),
            loops: JoinSet::new(),
            shown: Arc::clone(&shown),
            shared: self.shared,
            settings: self.settings,
            steps: self.steps,
            quit,
        };
        let discovery = self.discovery.run(Arc::clone(&source), sender, events);
        tokio::pin!(discovery);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = &mut discovery => {}
                Some((index, groups)) = told.recv() => {
                    pool.groups.insert(index, groups);
                    pool.reconcile();
                }
                Some(ended) = pool.loops.join_next_with_id() => pool.ended(ended),
            }
        }
        pool.stop().await;
        self.board.close(&source, &shown);
    }
}

struct Pool {
    shared: Arc<Shared>,
    settings: Settings,
    steps: Vec<Relabel>,
    shown: Arc<board::Pool>,
    quit: CancellationToken,
    /// By mechanism.
    groups: BTreeMap<usize, Vec<Group>>,
    running: BTreeMap<u64, (Arc<Target>, CancellationToken)>,
    /// Whose task is whose.
    tasks: HashMap<Id, u64>,
    loops: JoinSet<()>,
}

impl Pool {
    /// Starts what is new, stops what is gone; what stays is not touched.
    fn reconcile(&mut self) {
        let (mut wanted, mut dropped, mut invalid) = (BTreeMap::new(), Vec::new(), Vec::new());
        let all = self.groups.values().flatten().flat_map(Group::each);
        for found in all {
            match candidate(&self.shared.source, &self.settings, &self.steps, &found) {
                // The same target found twice is one.
                Candidate::Target(target) => drop(wanted.insert(target.id, target)),
                Candidate::Dropped(labels) => dropped.push(labels),
                Candidate::Invalid(labels, problem) => invalid.push((labels, problem)),
            }
        }
        let (source, events) = (&*self.shared.source, &self.shared.events);
        for (_, problem) in &invalid {
            events.refused(source, problem);
        }
        events.discarded(source, dropped.len(), invalid.len());
        self.shown.set_others(dropped, invalid);
        let limit = self.settings.target_limit;
        let too_many = if limit > 0 && wanted.len() > limit {
            wanted.len()
        } else {
            0
        };
        self.shared.too_many.store(too_many, Ordering::Relaxed);
        let gone: Vec<u64> = self
            .running
            .keys()
            .filter(|id| !wanted.contains_key(id))
            .copied()
            .collect();
        for id in gone {
            self.remove(id);
        }
        for (id, target) in wanted {
            if !self.running.contains_key(&id) {
                self.start(Arc::new(*target));
            }
        }
    }

    fn start(&mut self, target: Arc<Target>) {
        let (id, gone) = (target.id, CancellationToken::new());
        let shown = self.shown.show(&target);
        let events = &self.shared.events;
        events.moved(&self.shared.source, None, Some(Health::Unknown));
        let work = TargetLoop::new(Arc::clone(&self.shared), Arc::clone(&target), shown);
        let task = self.loops.spawn(work.run(gone.clone(), self.quit.clone()));
        self.tasks.insert(task.id(), id);
        self.running.insert(id, (target, gone));
    }

    /// Its loop ends by itself.
    fn remove(&mut self, id: u64) -> Option<Arc<Target>> {
        let (target, gone) = self.running.remove(&id)?;
        gone.cancel();
        self.forget(id);
        Some(target)
    }

    fn forget(&self, id: u64) {
        if let Some(health) = self.shown.hide(id) {
            self.shared
                .events
                .moved(&self.shared.source, Some(health), None);
        }
    }

    /// A loop ended: because its target is gone, or by a panic, after which it begins anew.
    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let (task, panicked) = match &ended {
            Ok((task, ())) => (*task, false),
            Err(error) => (error.id(), error.is_panic()),
        };
        let Some(id) = self.tasks.remove(&task) else {
            return;
        };
        if panicked && let Some(target) = self.remove(id) {
            self.shared
                .events
                .panicked(&self.shared.source, &target.url);
            self.start(target);
        }
    }

    async fn stop(mut self) {
        let all: Vec<u64> = self.running.keys().copied().collect();
        for id in all {
            self.remove(id);
        }
        while self.loops.join_next().await.is_some() {}
    }
}
