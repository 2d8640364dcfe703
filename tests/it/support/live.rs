//! The real loop, shared by the run: targets that go on where the history ends, Prometheus that scrapes
//! them, forethought that asks Prometheus, and Prometheus again that scrapes forethought.

use super::{
    eventually, now,
    program::Program,
    server::Target,
    servers::{PASTS, Past, Prometheus, Scrape, prometheus},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock},
};

/// A target that exposes the series of one job of [`PASTS`], and whatever is done to them.
pub(crate) struct Job {
    factors: Arc<Mutex<BTreeMap<String, f64>>>,
    _target: Target,
    _scrape: Scrape,
}

impl Job {
    /// Exposes the series of `job` as its history goes on, and has this Prometheus scrape them.
    pub(crate) fn start_for(prometheus: &Prometheus, job: &'static str) -> Self {
        let factors: Arc<Mutex<BTreeMap<String, f64>>> = Arc::default();
        let shown = Arc::clone(&factors);
        let target = Target::start(move || {
            let factors = shown.lock().unwrap();
            let factor = |past: &Past| factors.get(past.path).copied().unwrap_or(1.0);
            let seconds = now() / 1_000;
            let lines = pasts(job).iter();
            lines.map(|past| past.line(seconds, factor(past))).collect()
        });
        let scrape = prometheus.scrape(job, job, &target.address());
        Self {
            factors,
            _target: target,
            _scrape: scrape,
        }
    }

    /// Multiplies the series of this path from now on.
    pub(crate) fn multiply(&self, path: &str, factor: f64) {
        self.factors.lock().unwrap().insert(path.to_owned(), factor);
    }
}

/// The series of a job.
pub(crate) fn pasts(job: &str) -> &'static [Past] {
    let found = PASTS.iter().find(|(name, _)| *name == job);
    found.map(|(_, pasts)| *pasts).unwrap()
}

/// A configuration with one signal over a job's series, in a hurry: what takes minutes in earnest takes
/// seconds here.
pub(crate) fn configuration(job: &str, signal: &str) -> String {
    let (metric, address) = (pasts(job)[0].metric, prometheus().address());
    format!(
        r#"
global: {{evaluation_interval: 2s}}
sources: [{{name: main, prometheus: {{url: "http://{address}"}}}}]
signals:
  - name: {signal}
    query: {metric}{{job="{job}"}}
    step: 2s
    history: 2h
    offset: 1s
    max_age: 20s
    seasonality: [10m]
    group_by: [job]
    alerting: {{for: 4s, recover_for: 4s, refractory: 10s}}
    forecast: {{horizons: [10s, 1m]}}
"#
    )
}

/// Workloads over the series of [`SIGNAL`]: one that is followed, one that is only observed.
const WORKLOADS: &str = r#"
store: {sqlite: decisions.db}
workloads:
  - name: checkout
    demand: {signal: shop_requests, match: {path: /checkout}}
    capacity_per_replica: 10
    lead_time: 10s
    pipeline: 4s
    limits: {min: 1, max: 500, hold: 20s}
    # The past of a job repeats itself, so nothing is better than seasonal naive.
    gate: {min_skill: -1}
    mode: guarded
  - name: search
    demand: {signal: shop_requests, match: {path: /search}}
    capacity_per_replica: 10
    lead_time: 10s
    pipeline: 4s
    limits: {min: 1, max: 500, hold: 20s}
"#;

/// The parts of the loop.
pub(crate) struct Live {
    /// What is scraped first.
    pub(crate) shop: Job,
    /// forethought, ready.
    pub(crate) program: Program,
    _scrape: Scrape,
}

/// The signal of the loop.
pub(crate) const SIGNAL: &str = "shop_requests";

/// The loop over the job `shop`, running: Prometheus has scraped forethought at least once.
pub(crate) fn live() -> &'static Live {
    static SHARED: OnceLock<Live> = OnceLock::new();
    SHARED.get_or_init(|| {
        let shop = Job::start_for(prometheus(), "shop");
        let program = Program::ready(&[&configuration("shop", SIGNAL), WORKLOADS].concat(), &[]);
        let scrape = prometheus().scrape_forethought(program.address());
        let query = format!("count(predicted_{SIGNAL}{{job=\"shop\",horizon=\"0s\"}}) == 3");
        eventually("Prometheus scrapes forethought", 60, || {
            let program = program.metrics().map(|metrics| metrics.text);
            let why = |error| format!("{error}\n{}", program.unwrap_or_else(|error| error));
            prometheus().value(&query).map_err(why)
        });
        Live {
            shop,
            program,
            _scrape: scrape,
        }
    })
}
