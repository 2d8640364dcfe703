//! Whole sources against servers that behave as a test says.

mod faults;
mod life;

use super::{
    Board, Scraper, Settings, Surroundings, Taker, Wish,
    board::{Active, Health},
};
use crate::{
    engine::clock::Clock,
    expo::STALE_NAN,
    series::{Labels, Millis},
    source::{
        local::Route,
        prometheus::tests::server::{Asked, Reply, Server},
    },
    telemetry::Telemetry,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Takes everything, and remembers it.
#[derive(Debug, Default)]
struct Memory {
    generation: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Their place is the number of the route.
    series: Vec<String>,
    asked: usize,
    /// Whether whoever asks where the next series goes panics.
    panics: bool,
    /// Whether the next samples have routes that are no more.
    forgets: bool,
    samples: BTreeMap<String, Vec<(Millis, f64)>>,
}

impl Taker for Memory {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    fn route(&self, name: &str, labels: &Labels, _: Millis) -> Route {
        let text = format!("{name}{labels}");
        let mut kept = self.kept.lock().unwrap();
        if std::mem::take(&mut kept.panics) {
            drop(kept);
            panic!("on purpose");
        }
        kept.asked += 1;
        if name.starts_with("nobody_") {
            return Route::NOWHERE;
        }
        let known = kept.series.iter().position(|own| *own == text);
        let index = known.unwrap_or_else(|| {
            kept.series.push(text);
            kept.series.len() - 1
        });
        Route::of(index as u32)
    }

    fn take(&self, samples: &[(Route, Millis, f64)], _: Millis) -> u64 {
        let mut kept = self.kept.lock().unwrap();
        if std::mem::take(&mut kept.forgets) {
            return samples.len() as u64;
        }
        for (route, at, value) in samples {
            let all = 0..kept.series.len();
            let index = all
                .into_iter()
                .find(|index| Route::of(*index as u32) == *route);
            let text = kept.series[index.expect("a route of nobody")].clone();
            kept.samples.entry(text).or_default().push((*at, *value));
        }
        0
    }
}

/// A source that runs; it ends with the test.
struct Running {
    memory: Arc<Memory>,
    board: Arc<Board>,
    telemetry: Telemetry,
    stop: CancellationToken,
    quit: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    /// A source named `direct` as the YAML says, with `{}` for the addresses, asking every 500 ms:
    /// as long a machine under load may take for an answer.
    fn start(yaml: &str, servers: &[&Server]) -> Self {
        Self::start_at(Clock::System, yaml, servers)
    }

    /// As [`Running::start`], by another clock.
    fn start_at(clock: Clock, yaml: &str, servers: &[&Server]) -> Self {
        let mut text = yaml.to_owned();
        for server in servers {
            text = text.replacen("{}", &server.address.to_string(), 1);
        }
        if !text.contains("scrape_interval") {
            text.push_str("\nscrape_interval: 500ms\n");
        }
        let settings: Settings = serde_yaml::from_str(&text).unwrap();
        let (memory, board) = (Arc::new(Memory::default()), Arc::new(Board::default()));
        let telemetry = Telemetry::default();
        telemetry.scrape.announce("direct");
        let around = Surroundings {
            taker: Arc::clone(&memory) as Arc<dyn Taker>,
            events: Arc::clone(&telemetry.scrape),
            clock,
            board: Arc::clone(&board),
        };
        let scraper = Scraper::build("direct", &settings, around).unwrap();
        let (stop, quit) = (CancellationToken::new(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(scraper.run(stop.clone(), quit.clone()));
        Self {
            memory,
            board,
            telemetry,
            stop,
            quit,
            tasks,
        }
    }

    /// The values of a series so far; `name{a="b"}` without the labels `instance` and `job`.
    fn values(&self, series: &str) -> Vec<f64> {
        self.samples(series)
            .into_iter()
            .map(|(_, value)| value)
            .collect()
    }

    fn samples(&self, series: &str) -> Vec<(Millis, f64)> {
        let kept = self.memory.kept.lock().unwrap();
        let found = kept
            .samples
            .iter()
            .filter(|(text, _)| without_target(text) == series);
        found.flat_map(|(_, samples)| samples.clone()).collect()
    }

    /// Whether the newest sample of a series is its end.
    fn is_ended(&self, series: &str) -> bool {
        let last = self.values(series).last().copied();
        last.is_some_and(|value| value.to_bits() == STALE_NAN)
    }

    /// Everything that has a name and labels, the target's left out.
    fn series(&self) -> Vec<String> {
        let kept = self.memory.kept.lock().unwrap();
        kept.samples
            .keys()
            .map(|text| without_target(text))
            .collect()
    }

    fn targets(&self) -> Vec<Active> {
        let wish = Wish {
            active: true,
            ..Wish::default()
        };
        self.board.report(&wish).active_targets
    }

    /// Our own metric.
    fn metric(&self, line: &str) -> f64 {
        let text = self.telemetry.open_metrics().unwrap();
        let found = text.lines().find_map(|own| own.strip_prefix(line));
        let found = found.unwrap_or_else(|| panic!("{line} is not in {text}"));
        found.trim().parse().unwrap()
    }

    /// Waits until something is so.
    async fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        for _ in 0..3_000 {
            if is_so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!(
            "not within 30 s: {what}; {:#?} {:#?}",
            self.memory,
            self.targets()
        );
    }

    async fn until_up(&self) {
        self.until("all targets are up", |own| {
            let targets = own.targets();
            !targets.is_empty() && targets.iter().all(|target| target.health == Health::Up)
        })
        .await;
    }

    /// Waits until the only target is down, and gives its error.
    async fn until_down(&self) -> String {
        self.until("the target is down", |own| {
            own.targets()
                .first()
                .is_some_and(|target| target.health == Health::Down)
        })
        .await;
        self.targets()[0].last_error.clone()
    }
}

fn without_target(text: &str) -> String {
    let instance = regex::Regex::new(r#"(, )?\b(instance|job)="[^"]*"(, )?"#).unwrap();
    let mut text = text.to_owned();
    while let Some(found) = instance.captures(&text) {
        let between = found.get(1).is_some() && found.get(3).is_some();
        let range = found.get(0).unwrap().range();
        text.replace_range(range, if between { ", " } else { "" });
    }
    text.replace("{}", "")
}

/// A server that exposes what the function says.
async fn exposing(body: impl Fn(&Asked) -> String + Send + Sync + 'static) -> Server {
    Server::new(move |asked| text(body(asked))).await
}

fn text(body: impl Into<String>) -> Reply {
    Reply::with(200, &[("content-type", "text/plain; version=0.0.4")], body)
}

const ONE: &str = "static_configs: [{targets: ['{}']}]";
