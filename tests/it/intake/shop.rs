//! A target whose values the test moves, and a past for it that a former process might have left.

use crate::support::{
    now,
    server::{Answer, Server},
};
use forethought::{
    config::{self, Config},
    series::{Labels, Millis, Share},
    source::local::{Hub, disk::Shelf},
};
use std::{
    f64::consts::TAU,
    fmt::Write,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;

/// Requests per second of each path.
const LEVEL: f64 = 40.0;
/// How far they swing, as a share of that, and how long a swing takes in seconds.
const SWING: (f64, f64) = (0.2, 30.0);
/// Jobs that wait.
const WAITING: f64 = 50.0;
/// Two pods answer each path.
const PODS: [&str; 2] = ["a", "b"];
/// What is asked for.
pub(super) const PATHS: [&str; 2] = ["/cart", "/search"];
/// The name of the source in configurations, and of its job.
pub(super) const SOURCE: &str = "direct";

#[derive(Debug, Default)]
struct Told {
    /// Of the jobs that wait; 0: none was set.
    factor: f64,
    /// When the first answer with the newest factor went out.
    served: Option<Instant>,
    /// What counters had counted when the target last began anew.
    gone: f64,
}

/// A target: counters of requests that swing, and a number of jobs that wait.
pub(super) struct Shop {
    told: Arc<Mutex<Told>>,
    server: Server,
}

impl Shop {
    pub(super) fn start() -> Self {
        let told = Arc::new(Mutex::new(Told {
            factor: 1.0,
            ..Told::default()
        }));
        let shown = Arc::clone(&told);
        let server = Server::start(move |_| {
            let mut told = shown.lock().unwrap();
            told.served.get_or_insert_with(Instant::now);
            let text = exposition(now(), told.factor, told.gone);
            Answer::Whole(200, "text/plain; version=0.0.4", text)
        });
        Self { told, server }
    }

    pub(super) fn address(&self) -> String {
        self.server.address()
    }

    /// So many times as many jobs wait from now on; gives when the first answer that says so went out.
    pub(super) fn multiply(&self, factor: f64) -> Instant {
        {
            let mut told = self.told.lock().unwrap();
            (told.factor, told.served) = (factor, None);
        }
        let began = Instant::now();
        loop {
            if let Some(served) = self.told.lock().unwrap().served {
                return served;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "not scraped");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Counters begin at zero, as those of a process that restarted do.
    pub(super) fn restart(&self) {
        self.told.lock().unwrap().gone = counted(now());
    }

    pub(super) fn die(&mut self) {
        self.server.refuse();
    }

    pub(super) fn revive(&mut self) {
        self.server.resume();
    }
}

/// Requests since the epoch: what a rate of `LEVEL` that swings comes to.
fn counted(at: Millis) -> f64 {
    let ((share, season), seconds) = (SWING, at as f64 / 1_000.0);
    // Counted from a while ago, or numbers are so large that fractions are lost.
    let since = seconds - 1.7e9;
    LEVEL * (since - share * season / TAU * (TAU * since / season).cos())
}

fn waiting(at: Millis) -> f64 {
    // Noise that depends on the time alone.
    let noise = ((at / 1_000 * 2_654_435_761).rem_euclid(1_000)) as f64 / 1_000.0 - 0.5;
    WAITING * (1.0 + 0.04 * noise)
}

fn exposition(at: Millis, factor: f64, gone: f64) -> String {
    let mut text = String::from("# TYPE shop_requests_total counter\n");
    for path in PATHS {
        for pod in PODS {
            let count = counted(at) - gone;
            let labels = format!("path=\"{path}\",pod=\"{pod}\"");
            writeln!(text, "shop_requests_total{{{labels},code=\"200\"}} {count}").unwrap();
            writeln!(text, "shop_requests_total{{{labels},code=\"500\"}} 1").unwrap();
        }
    }
    let waiting = factor * waiting(at);
    writeln!(text, "# TYPE shop_waiting_jobs gauge").unwrap();
    writeln!(text, "shop_waiting_jobs{{queue=\"mail\"}} {waiting}").unwrap();
    text
}

/// The configuration of the tests: everything each second. `rest` is put behind it.
pub(super) fn configuration(address: &str, rest: &str) -> String {
    format!(
        r#"
global: {{evaluation_interval: 1s}}
sources:
  - name: {SOURCE}
    scrape: {{scrape_interval: 1s, static_configs: [{{targets: ["{address}"]}}]}}
signals:
  - name: shop_requests
    source: {SOURCE}
    select: shop_requests_total{{code="200"}}
    as: rate
    window: 10s
    aggregate: {{sum_by: [path]}}
    step: 1s
    history: 75m
    offset: 1s
    max_age: 10s
    seasonality: []
    forecast: {{horizons: [10s]}}
  - name: waiting_jobs
    source: {SOURCE}
    select: shop_waiting_jobs
    step: 1s
    history: 75m
    offset: 1s
    max_age: 10s
    seasonality: []
    alerting: {{for: 2s, recover_for: 2s}}
    forecast: {{horizons: [10s]}}
{rest}"#
    )
}

pub(crate) fn parsed(text: &str) -> Config {
    match config::parse(text, &|_| None) {
        Ok(config) => config,
        Err(problems) => panic!("{}", problems.render("configuration")),
    }
}

/// Writes what a process that scraped the target at `address` for 75 minutes would have left in `folder`.
pub(super) fn leave_past(folder: &Path, configuration: &str, address: &str) {
    let hub = Hub::default();
    for signal in &parsed(configuration).signals {
        hub.subscribe(signal.subscription(1_000, Share::ALL).unwrap(), None);
    }
    let of = |own: &[(&str, &str)]| {
        let target = [("instance", address), ("job", SOURCE)];
        Labels::new(own.iter().copied().chain(target)).unwrap()
    };
    let end = now() / 1_000 * 1_000;
    let began = end - 75 * 60_000;
    let queue = of(&[("queue", "mail")]);
    let queue = hub.route("shop_waiting_jobs", &queue, began);
    let each = PATHS.iter().flat_map(|path| PODS.map(|pod| (*path, pod)));
    let counters: Vec<_> = each
        .map(|(path, pod)| {
            let labels = of(&[("path", path), ("pod", pod), ("code", "200")]);
            hub.route("shop_requests_total", &labels, began)
        })
        .collect();
    for at in (began..=end).step_by(1_000) {
        let count = counted(at);
        let mut samples: Vec<_> = counters.iter().map(|route| (*route, at, count)).collect();
        samples.push((queue, at, waiting(at)));
        hub.take(&samples, at);
        if at % 15_000 == 0 {
            hub.tidy(at);
        }
    }
    hub.tidy(end);
    Shelf::new(folder, SOURCE).unwrap().write(&hub).unwrap();
}
