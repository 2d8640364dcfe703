//! The process in process: over a synthetic Prometheus, on free ports, reloaded in every way.

mod certificates;
mod models;
mod training;

use super::{
    App, AppError, AppOptions, ConfigSource,
    deployment::{Built, Deployment, Parts},
    load,
    pushers::Pushers,
    retrain::{Retrainer, TrainingRole},
};
use crate::{
    demo::{Generated, generated, server},
    engine::{
        Clock, Pool,
        run::{Fleet, FleetParts},
    },
    source::BreakerState,
    telemetry::Telemetry,
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A Wednesday at noon.
const START: i64 = 28_333_380 * 60_000;
/// Enough for a backfill on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A synthetic Prometheus with a clock, a folder with a configuration file, and what runs.
struct World {
    folder: TempDir,
    prometheus: SocketAddr,
    clock: Clock,
    tasks: JoinSet<()>,
}

/// A running process.
struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
}

impl World {
    async fn new() -> Self {
        let clock = Clock::scaled(START, 60.0);
        let listener = TcpListener::bind(ANY_PORT).await.unwrap();
        let prometheus = listener.local_addr().unwrap();
        let data = Arc::new(Generated::new(3, 1));
        let mut tasks = JoinSet::new();
        let serve = server::serve(listener, data, clock.clone(), CancellationToken::new());
        tasks.spawn(serve);
        Self {
            folder: TempDir::new().unwrap(),
            prometheus,
            clock,
            tasks,
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("forethought.yml")
    }

    /// Writes a configuration of these signals, each with a `max_series`.
    fn write(&self, signals: &[(&str, usize)]) {
        let query = generated::NAME;
        let mut text = format!(
            "global: {{evaluation_interval: 1m}}\nsources: [{{name: main, prometheus: {{url: 'http://{}'}}}}]\nsignals:\n",
            self.prometheus
        );
        for (name, max_series) in signals {
            text += &format!(
                "- {{name: {name}, query: '{query}', step: 1m, history: 1d, max_series: {max_series}, forecast: {{horizons: [15m]}}}}\n"
            );
        }
        std::fs::write(self.file(), text).unwrap();
    }

    fn options(&self) -> AppOptions {
        AppOptions {
            listen: vec![ANY_PORT],
            clock: self.clock.clone(),
            lifecycle: true,
            poll_interval: Duration::from_secs(3_600),
            ..AppOptions::new(ConfigSource::File(self.file()))
        }
    }

    async fn run(&mut self, options: AppOptions) -> Running {
        let app = App::build(options).await.unwrap();
        let (address, (stop, stopped)) = (app.addr(), oneshot::channel());
        self.tasks.spawn(app.run(stopped));
        Running {
            address,
            stop: Some(stop),
        }
    }
}

impl Running {
    async fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    }

    async fn metrics(&self) -> String {
        self.ask("GET", "/metrics").await.1
    }

    /// Asks until the metrics contain `line`.
    async fn shows(&self, line: &str) {
        let all = async {
            while !self.metrics().await.contains(line) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let shown = timeout(PATIENCE, all).await;
        assert!(shown.is_ok(), "no {line} in\n{}", self.metrics().await);
    }

    async fn is_ready(&self) {
        let all = async {
            while self.ask("GET", "/-/ready").await.0 != 200 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, all).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_backfills_serves_reloads_and_quits() {
    let mut world = World::new().await;
    world.write(&[("kept", 10), ("removed", 10)]);
    let running = world.run(world.options()).await;
    assert_eq!(running.ask("GET", "/-/healthy").await.0, 200);
    running.is_ready().await;
    // What is counted may be published a moment after what is served.
    for line in [
        "predicted_kept{",
        "predicted_removed{",
        "forethought_ready 1",
        "forethought_config_last_reload_successful 1",
        "forethought_signal_series{signal=\"kept\"} 3",
        "process_resident_memory_bytes ",
    ] {
        running.shows(line).await;
    }

    std::fs::write(world.file(), "signals: 7\n").unwrap();
    let (status, answer) = running.ask("POST", "/-/reload").await;
    assert_eq!(status, 500, "{answer}");
    assert!(
        answer.contains("forethought.yml:1"),
        "names the place: {answer}"
    );
    let broken = running.metrics().await;
    assert!(broken.contains("forethought_config_last_reload_successful 0"));
    assert!(broken.contains("predicted_kept{") && broken.contains("predicted_removed{"));

    world.write(&[("kept", 10), ("added", 1)]);
    let (status, answer) = running.ask("POST", "/-/reload").await;
    assert_eq!(status, 200, "{answer}");
    let after = running.metrics().await;
    assert!(after.contains("forethought_config_last_reload_successful 1"));
    assert!(after.contains("predicted_kept{"), "untouched");
    assert!(
        !after.contains("removed"),
        "gone at once, with its own metrics"
    );
    running.shows("predicted_added{").await;
    running
        .shows("forethought_signal_series_dropped{signal=\"added\"} 2")
        .await;

    assert_eq!(running.ask("POST", "/-/quit").await.0, 200);
    let ended = async { while TcpStream::connect(running.address).await.is_ok() {} };
    timeout(PATIENCE, ended).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_noticed() {
    let mut world = World::new().await;
    world.write(&[("first", 10)]);
    let mut options = world.options();
    options.poll_interval = Duration::from_millis(20);
    let running = world.run(options).await;
    running.is_ready().await;
    std::fs::write(world.file(), "broken").unwrap();
    running
        .shows("forethought_config_reload_failures_total 1")
        .await;
    world.write(&[("second", 10)]);
    running.shows("predicted_second{").await;
    assert!(!running.metrics().await.contains("predicted_first"));
    let status = running.ask("GET", "/api/v1/status").await.1;
    assert!(
        status.contains("\"last_reload_successful\":true"),
        "{status}"
    );
}

/// What a process has when it is built, before anything runs.
async fn deployment(options: &AppOptions) -> (Deployment, Built, Telemetry) {
    let telemetry = Telemetry::default();
    let parts = FleetParts {
        catalogue: Arc::default(),
        pool: Pool::new(options.threads).unwrap(),
        clock: options.clock.clone(),
        events: Arc::clone(&telemetry.engine),
        tracker: TaskTracker::new(),
        stop: CancellationToken::new(),
    };
    let pushers = Pushers::new(parts.tracker.clone(), parts.stop.clone());
    let writers = crate::app::Writers::new(parts.tracker.clone(), parts.stop.clone());
    let scrapers = crate::app::Scrapers::new(parts.tracker.clone(), parts.stop.clone());
    let hubs = crate::app::Hubs::new(parts.tracker.clone(), parts.stop.clone());
    let topics = crate::app::Topics::new(parts.tracker.clone(), parts.stop.clone());
    let topic_writers = crate::app::TopicWriters::new(parts.tracker.clone(), parts.stop.clone());
    let retrainer = Retrainer::new(parts.tracker.clone(), parts.stop.clone());
    let follower = crate::app::Follower::new(parts.tracker.clone(), parts.stop.clone());
    let (tracker, stop) = (parts.tracker.clone(), parts.stop.clone());
    let (pool, clock) = (parts.pool.clone(), parts.clock.clone());
    let ledger = Arc::new(crate::engine::scaling::NoLedger);
    let scaler = crate::app::Scaler::new(tracker, stop, pool, clock, ledger);
    let records = crate::app::Records::new(parts.tracker.clone(), parts.stop.clone());
    let parts = Parts {
        fleet: Fleet::new(parts),
        pushers,
        writers,
        hubs,
        scrapers,
        topics,
        topic_writers,
        retrainer,
        follower,
        scaler,
        records,
    };
    let built = Deployment::build(options, parts, telemetry.clone()).await;
    let (deployment, first) = built.unwrap();
    (deployment, first, telemetry)
}

#[tokio::test]
async fn a_broken_file_is_tried_once() {
    let world = World::new().await;
    world.write(&[("requests", 10)]);
    let (mut deployment, first, telemetry) = deployment(&world.options()).await;
    deployment.put_in_force(first).await;
    std::fs::write(world.file(), "broken").unwrap();
    for _ in 0..5 {
        deployment.reload_if_changed().await;
    }
    let shown = telemetry.open_metrics().unwrap();
    let failures = "forethought_config_reload_failures_total 1\n";
    assert!(shown.contains(failures), "{shown}");
}

#[tokio::test]
async fn a_failed_reload_leaves_what_is_shown_of_a_source() {
    let world = World::new().await;
    world.write(&[("requests", 10)]);
    let (mut deployment, first, telemetry) = deployment(&world.options()).await;
    let of_source = || {
        let shown = telemetry.open_metrics().unwrap();
        let ours = shown
            .lines()
            .filter(|line| line.contains("source=\"main\""));
        ours.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of_source(), [""; 0], "not in force yet");
    deployment.put_in_force(first).await;
    let open = "forethought_source_breaker_state{source=\"main\",state=\"open\"} 1";
    assert!(!of_source().iter().any(|line| line == open));
    telemetry.source.show_breaker("main", BreakerState::Open);
    // Its source is built anew; then its model turns out to be none.
    let text = std::fs::read_to_string(world.file()).unwrap();
    let other = text.replace("prometheus: {", "prometheus: {retries: 1, ");
    let models = "forecast: {models: [onnx: {path: bad.onnx, window: 9}], ";
    let other = other.replace("forecast: {", models);
    std::fs::write(world.folder.path().join("bad.onnx"), "no model").unwrap();
    std::fs::write(world.file(), other).unwrap();
    let problem = deployment.reload().await.unwrap_err();
    assert!(problem.starts_with("signal \"requests\""), "{problem}");
    assert!(
        of_source().iter().any(|line| line == open),
        "{:?}",
        of_source()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_in_one_process_do_not_mix() {
    let mut world = World::new().await;
    world.write(&[("requests", 10)]);
    let mut options = world.options();
    options.replica = Some("a".into());
    let mut one = world.run(options.clone()).await;
    options.replica = Some("b".into());
    let other = world.run(options).await;
    one.is_ready().await;
    other.is_ready().await;
    for (running, own, foreign) in [(&one, "a", "b"), (&other, "b", "a")] {
        let shown = running.metrics().await;
        assert!(
            shown.contains(&format!("forethought_replica=\"{own}\"")),
            "{shown}"
        );
        assert!(!shown.contains(&format!("forethought_replica=\"{foreign}\"")));
    }
    drop(one.stop.take());
    let ended = async { while TcpStream::connect(one.address).await.is_ok() {} };
    timeout(PATIENCE, ended).await.unwrap();
    other.shows("predicted_requests{").await;
}

#[tokio::test]
async fn what_cannot_be_built_says_what_to_change() {
    let world = World::new().await;
    let fails = async |options: AppOptions| App::build(options).await.unwrap_err();
    let error = fails(world.options()).await;
    assert!(error.to_string().contains("forethought.yml"), "{error}");
    assert_eq!(error.exit_code(), 2);

    world.write(&[("requests", 10), ("requests", 10)]);
    let error = fails(world.options()).await;
    assert!(
        matches!(error, AppError::Config(_)) && error.to_string().contains(".yml:5"),
        "{error}"
    );

    world.write(&[("requests", 5_000)]);
    let mut options = world.options();
    options.memory_limit = Some(1 << 20);
    let error = fails(options).await;
    assert!(
        error.to_string().contains("--storage.memory-limit"),
        "{error}"
    );

    let taken = TcpListener::bind(ANY_PORT).await.unwrap();
    let mut options = world.options();
    options.listen = vec![taken.local_addr().unwrap()];
    let error = fails(options).await;
    assert!(
        error.to_string().contains("--web.listen-address"),
        "{error}"
    );
    assert_eq!(error.exit_code(), 1);

    let mut options = world.options();
    (options.listen, options.replica) = (vec![], Some(String::new()));
    let error = fails(options).await;
    assert_eq!(error.to_string().lines().count(), 2, "all at once: {error}");
}

#[tokio::test]
async fn calendars_are_read_with_the_configuration_and_again_when_they_change() {
    let world = World::new().await;
    world.write(&[("requests", 10), ("others", 10)]);
    let file = world.folder.path().join("maintenance.ics");
    let text = std::fs::read_to_string(world.file()).unwrap();
    let named = text.replacen("step: 1m", "exclude: [{calendar: works}], step: 1m", 1);
    let calendars = "calendars: [{name: works, ical: maintenance.ics}]";
    std::fs::write(world.file(), format!("{named}{calendars}\n")).unwrap();
    let error = App::build(world.options()).await.unwrap_err().to_string();
    assert!(error.contains("calendars[0].ical: cannot read"), "{error}");

    let events = |day: &str| {
        let event = format!("BEGIN:VEVENT\nDTSTART;VALUE=DATE:{day}\nEND:VEVENT\n");
        std::fs::write(&file, format!("BEGIN:VCALENDAR\n{event}END:VCALENDAR\n")).unwrap();
    };
    events("2026-01-01");
    let error = App::build(world.options()).await.unwrap_err().to_string();
    let place = format!("{}:3: calendars[0].ical: DTSTART", file.display());
    assert!(error.contains(&place), "{error}");

    events("20260101");
    let loaded = super::load(&world.options()).await.unwrap();
    let peeked = load::peek(&world.options(), &loaded.models, &loaded.calendar_files).await;
    assert_eq!(peeked, Some(loaded.hash));
    events("20260102");
    let again = super::load(&world.options()).await.unwrap();
    let peeked = load::peek(&world.options(), &loaded.models, &loaded.calendar_files).await;
    assert_eq!(peeked, Some(again.hash));
    assert_ne!(loaded.hash, again.hash, "a changed file is noticed");
    let revisions = |loaded: &super::Loaded| {
        let signals = loaded.config.signals.iter();
        let of = |signal| super::calendars::revision(signal, &loaded.calendars);
        signals.map(of).collect::<Vec<u64>>()
    };
    let (before, after) = (revisions(&loaded), revisions(&again));
    assert_ne!(before[0], after[0], "its unit is made anew");
    assert_eq!(before[1], after[1], "it goes on untouched");
}
