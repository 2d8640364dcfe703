//! The task, over a catalogue of ours, to a receiver that does as it is told.

use super::{
    super::{BufferSettings, Protocol, Settings, Surroundings, Writer},
    chunk, outcome,
};
use crate::{
    engine::{Catalogue, Clock, Outcome, UnitHandle},
    expo::wire::{
        Unpacker,
        write::{Item, Limits, Point, Reader, SAMPLES_WRITTEN, VERSION_HEADER, Version},
    },
    series::{Millis, Span},
    sink::remote_write::Handover,
    telemetry::Telemetry,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// More than any of it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const STEP: Millis = 1_000;

/// What the fake does with a request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Answer {
    /// A status, and perhaps after how many seconds to ask again.
    Status(u16, Option<&'static str>),
    /// Never answers.
    Silence,
    /// Closes the connection.
    Reset,
}

const TAKES: Answer = Answer::Status(204, None);

/// What came with one request: series as text with their points.
type Came = Vec<(String, Point)>;

#[derive(Default)]
struct Seen {
    /// Requests that were taken.
    taken: Vec<Came>,
    /// When each request came.
    times: Vec<Instant>,
}

/// A receiver that answers as it is told, and remembers what it took.
struct Fake {
    url: String,
    answer: Arc<Mutex<Answer>>,
    seen: Arc<Mutex<Seen>>,
    _serving: JoinSet<()>,
}

impl Fake {
    async fn new(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v1/write", listener.local_addr().unwrap());
        let answer = Arc::new(Mutex::new(answer));
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let state = (Arc::clone(&answer), Arc::clone(&seen));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (answer, seen) = state.clone();
                let service = service_fn(move |request| {
                    reply(request, Arc::clone(&answer), Arc::clone(&seen))
                });
                let connection = http1::Builder::new().serve_connection(TokioIo::new(tcp), service);
                connections.spawn(async move { drop(connection.await) });
            }
        });
        Self {
            url,
            answer,
            seen,
            _serving: serving,
        }
    }

    fn set(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn requests(&self) -> usize {
        self.seen.lock().unwrap().times.len()
    }

    /// What was taken of each series, in order: time and value, `None` where it ended.
    fn taken(&self) -> BTreeMap<String, Vec<(Millis, Option<f64>)>> {
        let mut found: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (series, point) in self.seen.lock().unwrap().taken.iter().flatten() {
            let value = (!point.is_stale()).then_some(point.value);
            found
                .entry(series.clone())
                .or_default()
                .push((point.at, value));
        }
        found
    }
}

async fn reply(
    request: Request<Incoming>,
    answer: Arc<Mutex<Answer>>,
    seen: Arc<Mutex<Seen>>,
) -> Result<Response<Empty<Bytes>>, io::Error> {
    seen.lock().unwrap().times.push(Instant::now());
    let headers = request.headers().clone();
    let header = |name: &str| headers[name].to_str().unwrap();
    let version = Version::of(header("content-type")).unwrap();
    assert_eq!(header("content-encoding"), "snappy");
    assert_eq!(header(VERSION_HEADER), version.header());
    assert!(header("user-agent").starts_with("forethought/"));
    assert_eq!(
        (request.method().as_str(), request.uri().path()),
        ("POST", "/api/v1/write")
    );
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let now = *answer.lock().unwrap();
    match now {
        Answer::Silence => std::future::pending().await,
        Answer::Reset => Err(io::Error::other("told to")),
        Answer::Status(status, after) => {
            if status < 300 {
                seen.lock().unwrap().taken.push(read(&body, version));
            }
            let mut response = Response::builder().status(status);
            // As the specification has it; 299 stands for a receiver that knows only 1.0.
            if version == Version::V2 && status != 299 {
                response = response.header(SAMPLES_WRITTEN, "1");
            }
            if let Some(after) = after {
                response = response.header("Retry-After", after);
            }
            Ok(response.body(Empty::new()).unwrap())
        }
    }
}

fn read(packed: &[u8], version: Version) -> Came {
    let mut unpacker = Unpacker::new();
    let body = unpacker.unpack(packed, 1 << 24).unwrap();
    let mut reader = Reader::new(body, version, Limits::default());
    let mut came = Vec::new();
    while let Some(item) = reader.next_item().unwrap() {
        let Item::Series(series) = item else {
            panic!("{item:?}");
        };
        let text = format!("{} {:?}", series.name, series.labels);
        came.extend(series.samples.iter().map(|point| (text.clone(), *point)));
    }
    came
}

/// A writer that runs, and the unit it reads.
struct World {
    telemetry: Telemetry,
    catalogue: Arc<Catalogue>,
    sender: watch::Sender<Option<Arc<Outcome>>>,
    stop: CancellationToken,
    replaced: CancellationToken,
    running: JoinHandle<Handover>,
    start: Millis,
}

fn settings(url: &str) -> Settings {
    let mut settings = Settings::new(url);
    settings.name = Some("tsdb".to_owned());
    settings.queue.batch_send_deadline = Span::millis(50);
    settings.queue.min_backoff = Span::millis(20);
    settings.queue.max_backoff = Span::millis(100);
    settings
}

impl World {
    fn start(settings: &Settings) -> Self {
        Self::start_in(settings, None)
    }

    fn start_in(settings: &Settings, storage: Option<PathBuf>) -> Self {
        let (sender, receiver) = watch::channel(None);
        let catalogue = Arc::new(Catalogue::default());
        catalogue.replace(vec![Arc::new(UnitHandle {
            name: "rps".into(),
            kind: "signal",
            step: Span::millis(STEP),
            outcome: receiver,
            max_age: Span::minutes(5),
            report: Arc::default(),
            trail: Arc::default(),
        })]);
        let telemetry = Telemetry::default();
        telemetry.remote_write.announce("tsdb");
        let (stop, replaced) = (CancellationToken::new(), CancellationToken::new());
        let writer = writer_in(settings, &telemetry, storage);
        let run = writer.run(Arc::clone(&catalogue), stop.clone(), replaced.clone(), None);
        Self {
            telemetry,
            catalogue,
            sender,
            stop,
            replaced,
            running: TaskTracker::new().spawn(run),
            start: Clock::System.now() / STEP * STEP - 100 * STEP,
        }
    }

    /// The time of an evaluation.
    fn at(&self, number: Millis) -> Millis {
        self.start + number * STEP
    }

    /// Publishes an evaluation with these paths and the number as value, and waits until the writer has seen it.
    async fn publish(&self, number: Millis, paths: &[&str]) {
        let labels: Vec<[(&str, &str); 1]> = paths.iter().map(|path| [("path", *path)]).collect();
        let series: Vec<(&[(&str, &str)], f64)> = labels
            .iter()
            .map(|labels| (labels.as_slice(), number as f64))
            .collect();
        let outcome = outcome(
            "rps",
            self.at(number),
            vec![chunk("predicted_rps", &series)],
        );
        let before = self.seen();
        self.sender.send_replace(Some(outcome));
        eventually("it was looked at", || {
            self.seen() >= before + paths.len() as f64
        })
        .await;
    }

    /// Samples that came so far, whatever became of them.
    fn seen(&self) -> f64 {
        let all = [
            "samples_total",
            "samples_failed_total",
            "samples_dropped_total",
            "samples_pending",
        ];
        all.map(|name| self.metric(name)).iter().sum()
    }

    fn metric(&self, name: &str) -> f64 {
        let text = self.telemetry.open_metrics().unwrap();
        let start = format!("forethought_remote_write_{name}{{remote_write=\"tsdb\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap().parse().unwrap()
    }

    async fn end(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

fn writer(settings: &Settings, telemetry: &Telemetry) -> Writer {
    writer_in(settings, telemetry, None)
}

fn writer_in(settings: &Settings, telemetry: &Telemetry, storage: Option<PathBuf>) -> Writer {
    let around = Surroundings {
        clock: Clock::System,
        events: Arc::clone(&telemetry.remote_write),
        external_labels: BTreeMap::from([("cluster".to_owned(), "eu".to_owned())]),
        storage,
    };
    Writer::build(settings, around).unwrap()
}

async fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(10)).await;
    }
}

fn named(path: &str) -> String {
    format!("predicted_rps [(\"cluster\", \"eu\"), (\"path\", {path:?})]")
}

#[tokio::test]
async fn every_evaluation_arrives_in_order_and_every_series_ends() {
    for protocol in [Protocol::V1, Protocol::V2] {
        let fake = Fake::new(TAKES).await;
        let settings = Settings {
            version: protocol,
            ..settings(&fake.url)
        };
        let world = World::start(&settings);
        world.publish(1, &["/a", "/b"]).await;
        world.publish(2, &["/a", "/b"]).await;
        world.publish(3, &["/b"]).await;
        eventually("all were taken", || world.metric("samples_total") == 6.0).await;
        let newest = world.metric("newest_sent_timestamp_seconds");
        assert_eq!(newest, world.at(3) as f64 / 1_000.0);
        let at = [0, 1, 2, 3].map(|number| world.at(number));
        let telemetry = world.telemetry.clone();
        world.end().await;
        let wanted = BTreeMap::from([
            (
                named("/a"),
                vec![(at[1], Some(1.0)), (at[2], Some(2.0)), (at[3], None)],
            ),
            (
                named("/b"),
                vec![
                    (at[1], Some(1.0)),
                    (at[2], Some(2.0)),
                    (at[3], Some(3.0)),
                    (at[3] + STEP - 1, None),
                ],
            ),
        ]);
        assert_eq!(fake.taken(), wanted);
        let shown = telemetry.open_metrics().unwrap();
        assert!(
            shown.contains("samples_pending{remote_write=\"tsdb\"} 0\n"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn nothing_is_lost_while_the_receiver_misbehaves() {
    let troubles = [
        Answer::Status(500, None),
        Answer::Status(503, None),
        Answer::Status(429, None),
        Answer::Silence,
        Answer::Reset,
    ];
    for trouble in troubles {
        let fake = Fake::new(trouble).await;
        let settings = Settings {
            timeout: Span::millis(200),
            ..settings(&fake.url)
        };
        let world = World::start(&settings);
        for number in 1..=3 {
            world.publish(number, &["/a", "/b"]).await;
        }
        eventually("it was tried again", || fake.requests() > 4).await;
        assert!(world.metric("samples_retried_total") > 0.0, "{trouble:?}");
        assert_eq!(world.metric("samples_pending"), 6.0, "{trouble:?}");
        fake.set(TAKES);
        eventually("all were taken", || world.metric("samples_total") == 6.0).await;
        let all: Vec<_> = (1..=3)
            .map(|number| (world.at(number), Some(number as f64)))
            .collect();
        let wanted = BTreeMap::from([(named("/a"), all.clone()), (named("/b"), all)]);
        assert_eq!(fake.taken(), wanted, "{trouble:?}");
        let lost = ["samples_failed_total", "samples_dropped_total"];
        assert_eq!(lost.map(|name| world.metric(name)), [0.0; 2], "{trouble:?}");
        world.end().await;
    }
}

#[tokio::test]
async fn the_pause_that_the_receiver_asks_for_is_kept() {
    let fake = Fake::new(Answer::Status(429, Some("2"))).await;
    let world = World::start(&settings(&fake.url));
    world.publish(1, &["/a"]).await;
    eventually("the first attempt", || fake.requests() == 1).await;
    fake.set(TAKES);
    eventually("it was taken", || world.metric("samples_total") == 1.0).await;
    let times = fake.seen.lock().unwrap().times.clone();
    assert!(times[1] - times[0] >= Duration::from_secs(2), "{times:?}");
    world.end().await;
}

#[tokio::test]
async fn what_is_refused_is_counted_and_the_next_goes_on() {
    let fake = Fake::new(Answer::Status(400, None)).await;
    let world = World::start(&settings(&fake.url));
    world.publish(1, &["/a", "/b"]).await;
    eventually("it was refused", || {
        world.metric("samples_failed_total") == 2.0
    })
    .await;
    fake.set(TAKES);
    world.publish(2, &["/a"]).await;
    eventually("the next were taken", || {
        world.metric("samples_total") == 2.0
    })
    .await;
    let wanted = BTreeMap::from([
        (named("/a"), vec![(world.at(2), Some(2.0))]),
        (named("/b"), vec![(world.at(2), None)]),
    ]);
    assert_eq!(fake.taken(), wanted);
    assert_eq!(world.metric("samples_retried_total"), 0.0);
    world.end().await;
}

#[tokio::test]
async fn who_does_not_know_the_version_has_taken_nothing_whatever_the_answer() {
    let fake = Fake::new(Answer::Status(299, None)).await;
    let settings = Settings {
        version: Protocol::V2,
        ..settings(&fake.url)
    };
    let world = World::start(&settings);
    world.publish(1, &["/a"]).await;
    eventually("it is lost", || world.metric("samples_failed_total") == 1.0).await;
    assert_eq!(world.metric("samples_total"), 0.0);
    let old = Settings {
        version: Protocol::V1,
        ..settings
    };
    let other = World::start(&old);
    other.publish(1, &["/a"]).await;
    eventually("1.0 has no such header", || {
        other.metric("samples_total") == 1.0
    })
    .await;
    world.end().await;
    other.end().await;
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_nothing_and_the_oldest_are_dropped() {
    let fake = Fake::new(Answer::Silence).await;
    let mut settings = settings(&fake.url);
    settings.queue.shards = 1;
    settings.queue.capacity = 4;
    settings.queue.max_samples_per_send = 2;
    settings.timeout = Span::seconds(1);
    let world = World::start(&settings);
    world.publish(1, &["/a", "/b"]).await;
    eventually("the first is under way", || fake.requests() > 0).await;
    for number in 2..=6 {
        world.publish(number, &["/a", "/b"]).await;
    }
    assert_eq!(world.metric("samples_dropped_total"), 6.0);
    assert_eq!(world.metric("samples_pending"), 6.0);
    fake.set(TAKES);
    eventually("the rest was taken", || {
        world.metric("samples_total") == 6.0
    })
    .await;
    let kept = [1, 5, 6].map(|number| (world.at(number), Some(number as f64)));
    assert_eq!(fake.taken()[&named("/a")], kept);
    world.end().await;
}

#[tokio::test]
async fn one_that_takes_over_goes_on_without_an_end_and_without_a_repetition() {
    let fake = Fake::new(TAKES).await;
    let mut world = World::start(&settings(&fake.url));
    world.publish(1, &["/a"]).await;
    let mut other = settings(&fake.url);
    other.queue.shards = 1;
    let next = writer(&other, &world.telemetry);
    world.replaced.cancel();
    let run = next.run(
        Arc::clone(&world.catalogue),
        world.stop.clone(),
        CancellationToken::new(),
        Some(world.running),
    );
    world.running = TaskTracker::new().spawn(run);
    sleep(Duration::from_millis(500)).await;
    let sender = world.sender.clone();
    let second = outcome(
        "rps",
        world.at(2),
        vec![chunk("predicted_rps", &[(&[("path", "/a")], 2.0)])],
    );
    sender.send_replace(Some(second));
    eventually("both were taken", || {
        let text = world.telemetry.open_metrics().unwrap();
        text.contains("remote_write_samples_total{remote_write=\"tsdb\"} 2\n")
    })
    .await;
    let (first, second) = (world.at(1), world.at(2));
    world.stop.cancel();
    world.running.await.unwrap();
    let end = second + STEP - 1;
    let wanted = [(first, Some(1.0)), (second, Some(2.0)), (end, None)];
    assert_eq!(fake.taken()[&named("/a")], wanted);
}

#[tokio::test]
async fn the_end_does_not_wait_for_a_receiver_that_hangs() {
    let fake = Fake::new(Answer::Silence).await;
    let world = World::start(&settings(&fake.url));
    world.publish(1, &["/a"]).await;
    let start = Instant::now();
    let telemetry = world.telemetry.clone();
    world.end().await;
    assert!(start.elapsed() < Duration::from_secs(10));
    let shown = telemetry.open_metrics().unwrap();
    // The sample and the end of its series.
    assert!(
        shown.contains("samples_dropped_total{remote_write=\"tsdb\"} 2\n"),
        "{shown}"
    );
    assert!(
        shown.contains("samples_pending{remote_write=\"tsdb\"} 0\n"),
        "{shown}"
    );
}

#[tokio::test]
async fn what_waits_on_disk_outlives_its_process_in_order_whatever_the_shards() {
    let folder = tempfile::tempdir().unwrap();
    let storage = || Some(folder.path().to_owned());
    let fake = Fake::new(Answer::Status(500, None)).await;
    let mut settings = settings(&fake.url);
    settings.buffer = Some(BufferSettings::default());
    let first = World::start_in(&settings, storage());
    first.publish(1, &["/a", "/b"]).await;
    first.publish(2, &["/a", "/b"]).await;
    // As where the process is killed: nothing is said or sent any more.
    first.running.abort();
    drop(first.running.await);
    settings.queue.shards = 3;
    // There is no room in memory for any of it.
    settings.queue.capacity = 1;
    settings.queue.max_samples_per_send = 1;
    let second = World::start_in(&settings, storage());
    eventually("it was found", || second.metric("samples_pending") == 4.0).await;
    second.publish(3, &["/a", "/b"]).await;
    fake.set(TAKES);
    eventually("all were taken", || second.metric("samples_total") == 6.0).await;
    let lost = [
        "samples_failed_total",
        "samples_dropped_total",
        "disk_failures_total",
    ];
    assert_eq!(lost.map(|name| second.metric(name)), [0.0; 3]);
    let taken = fake.taken();
    for path in ["/a", "/b"] {
        let values: Vec<_> = taken[&named(path)]
            .iter()
            .map(|(_, value)| *value)
            .collect();
        assert_eq!(values, [Some(1.0), Some(2.0), Some(3.0)]);
    }
    second.end().await;
}
