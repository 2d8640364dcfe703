//! What is shown of targets, of all sources that scrape.

use super::target::Target;
use crate::series::{Labels, Millis, relabel::LabelMap};
use serde::{Serialize, Serializer};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Of targets that are not scraped so many are shown; all are counted.
const MOST_DROPPED: usize = 100;

/// What is shown of targets, by source.
#[derive(Debug, Default)]
pub struct Board(Mutex<BTreeMap<Arc<str>, Arc<Pool>>>);

/// What is shown of the targets of one source.
#[derive(Debug, Default)]
pub(super) struct Pool {
    active: Mutex<BTreeMap<u64, Arc<Shown>>>,
    others: Mutex<Others>,
}

#[derive(Debug, Default)]
struct Others {
    dropped: Vec<LabelMap>,
    dropped_count: usize,
    invalid: Vec<(LabelMap, String)>,
}

/// What is shown of a target.
#[derive(Debug)]
pub(super) struct Shown {
    target: Arc<Target>,
    newest: Mutex<Newest>,
}

/// The newest scrape of a target.
#[derive(Debug, Clone, Default)]
pub(super) struct Newest {
    pub(super) health: Health,
    pub(super) error: Option<String>,
    pub(super) at: Option<Millis>,
    pub(super) seconds: f64,
    pub(super) samples: usize,
    /// Whether the target is shown no more.
    pub(super) is_hidden: bool,
}

/// Whether a target answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It was not asked yet.
    #[default]
    Unknown,
    /// Its newest scrape went well.
    Up,
    /// It did not.
    Down,
}

impl Health {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// Which targets are asked for.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Of this source only.
    pub source: Option<String>,
    /// Whether those that are scraped are wanted.
    pub active: bool,
    /// Whether those that are not are wanted.
    pub dropped: bool,
}

/// The targets of all sources, in the words of Prometheus' `/api/v1/targets`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Those that are scraped, by source and address.
    pub active_targets: Vec<Active>,
    /// Those that relabelling let go of, some of each source.
    pub dropped_targets: Vec<Dropped>,
    /// How many there are of these, by source.
    pub dropped_target_counts: BTreeMap<Arc<str>, usize>,
    /// Those that cannot be scraped, and why.
    pub invalid_targets: Vec<Invalid>,
}

/// A target that is scraped.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Active {
    /// What was discovered of it.
    pub discovered_labels: LabelMap,
    /// The labels that its series get.
    #[serde(serialize_with = "as_map")]
    pub labels: Labels,
    /// The source.
    pub scrape_pool: Arc<str>,
    /// What is asked for.
    pub scrape_url: String,
    /// Why the newest scrape failed; empty where it did not.
    pub last_error: String,
    /// When that began, milliseconds since the epoch; null before the first.
    pub last_scrape: Option<Millis>,
    /// How long it took, in seconds.
    pub last_scrape_duration: f64,
    /// The samples it had.
    pub last_samples: usize,
    /// Whether it answers.
    pub health: Health,
    /// How often it is scraped.
    pub scrape_interval: String,
    /// How long that may take.
    pub scrape_timeout: String,
}

/// A target that relabelling let go of.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dropped {
    /// What was discovered of it.
    pub discovered_labels: LabelMap,
    /// The source.
    pub scrape_pool: Arc<str>,
}

/// A target that cannot be scraped.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Invalid {
    /// What was discovered of it.
    pub discovered_labels: LabelMap,
    /// The source.
    pub scrape_pool: Arc<str>,
    /// Why not.
    pub error: String,
}

impl Board {
    /// The targets as they are now.
    pub fn report(&self, wish: &Wish) -> Report {
        let mut report = Report {
            active_targets: Vec::new(),
            dropped_targets: Vec::new(),
            dropped_target_counts: BTreeMap::new(),
            invalid_targets: Vec::new(),
        };
        let pools = lock(&self.0).clone();
        let wanted = |name: &str| wish.source.as_ref().is_none_or(|source| source == name);
        for (name, pool) in pools.iter().filter(|(name, _)| wanted(name)) {
            if wish.active {
                let mut shown: Vec<_> = lock(&pool.active).values().cloned().collect();
                shown.sort_by(|one, other| one.target.url.cmp(&other.target.url));
                report
                    .active_targets
                    .extend(shown.iter().map(|shown| shown.row(name)));
            }
            let others = lock(&pool.others);
            report
                .dropped_target_counts
                .insert(Arc::clone(name), others.dropped_count);
            if wish.dropped {
                let dropped = others.dropped.iter().map(|labels| Dropped {
                    discovered_labels: labels.clone(),
                    scrape_pool: Arc::clone(name),
                });
                report.dropped_targets.extend(dropped);
                let invalid = others.invalid.iter().map(|(labels, error)| Invalid {
                    discovered_labels: labels.clone(),
                    scrape_pool: Arc::clone(name),
                    error: error.clone(),
                });
                report.invalid_targets.extend(invalid);
            }
        }
        report
    }

    /// The place of a source, in place of a former one of the same name.
    pub(super) fn open(&self, source: &Arc<str>) -> Arc<Pool> {
        let pool = Arc::new(Pool::default());
        lock(&self.0).insert(Arc::clone(source), Arc::clone(&pool));
        pool
    }

    /// Takes the place of a source away, unless it is another one's by now.
    pub(super) fn close(&self, source: &str, pool: &Arc<Pool>) {
        let mut pools = lock(&self.0);
        if pools.get(source).is_some_and(|own| Arc::ptr_eq(own, pool)) {
            pools.remove(source);
        }
    }
}

impl Pool {
    pub(super) fn show(&self, target: &Arc<Target>) -> Arc<Shown> {
        let shown = Arc::new(Shown {
            target: Arc::clone(target),
            newest: Mutex::default(),
        });
        lock(&self.active).insert(target.id, Arc::clone(&shown));
        shown
    }

    /// Shows a target no more; gives its health.
    pub(super) fn hide(&self, id: u64) -> Option<Health> {
        let shown = lock(&self.active).remove(&id)?;
        let mut newest = lock(&shown.newest);
        // A last scrape may still be on its way, and is not to be counted.
        newest.is_hidden = true;
        Some(newest.health)
    }

    /// The targets that are not scraped.
    pub(super) fn set_others(&self, dropped: Vec<LabelMap>, invalid: Vec<(LabelMap, String)>) {
        let mut others = lock(&self.others);
        others.dropped_count = dropped.len();
        others.dropped = dropped;
        others.dropped.truncate(MOST_DROPPED);
        others.invalid = invalid;
        others.invalid.truncate(MOST_DROPPED);
    }
}

impl Shown {
    /// Shows this scrape from now on; gives the health before, or nothing where the target is shown no more.
    pub(super) fn set(&self, newest: Newest) -> Option<Health> {
        let mut own = lock(&self.newest);
        if own.is_hidden {
            return None;
        }
        Some(std::mem::replace(&mut *own, newest).health)
    }

    fn row(&self, source: &Arc<str>) -> Active {
        let newest = lock(&self.newest).clone();
        let target = &self.target;
        Active {
            discovered_labels: target.discovered.clone(),
            labels: target.labels.clone(),
            scrape_pool: Arc::clone(source),
            scrape_url: target.url.clone(),
            last_error: newest.error.unwrap_or_default(),
            last_scrape: newest.at,
            last_scrape_duration: newest.seconds,
            last_samples: newest.samples,
            health: newest.health,
            scrape_interval: target.interval.to_string(),
            scrape_timeout: target.timeout.to_string(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn as_map<S: Serializer>(labels: &Labels, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels.iter())
}
