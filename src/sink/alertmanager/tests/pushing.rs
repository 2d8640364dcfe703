//! The task, over a catalogue of ours, to an Alertmanager that does as it is told.

use super::{
    super::{Pusher, Settings, Surroundings},
    calm, on, outcome,
};
use crate::{
    engine::{Catalogue, Clock, Outcome, SeriesOutcome, UnitHandle},
    series::{Labels, Millis, Span},
    telemetry::Telemetry,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

/// More than any of it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the fake answers: a status, or `None` for silence.
type Answer = Option<(u16, &'static str)>;

/// An Alertmanager that answers as it is told and remembers what it was sent.
struct Fake {
    url: String,
    answer: Arc<Mutex<Answer>>,
    /// Path and body of each request.
    asked: Arc<Mutex<Vec<(String, Value)>>>,
    _serving: JoinSet<()>,
}

impl Fake {
    async fn new(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/prefix/", listener.local_addr().unwrap());
        let answer = Arc::new(Mutex::new(answer));
        let asked: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let state = (Arc::clone(&answer), Arc::clone(&asked));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (answer, asked) = state.clone();
                let service = service_fn(move |request| {
                    reply(request, Arc::clone(&answer), Arc::clone(&asked))
                });
                let connection = http1::Builder::new().serve_connection(TokioIo::new(tcp), service);
                // A client that goes away in the middle is part of the tests.
                connections.spawn(async move { drop(connection.await) });
            }
        });
        Self {
            url,
            answer,
            asked,
            _serving: serving,
        }
    }

    fn set(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> Vec<(String, Value)> {
        self.asked.lock().unwrap().clone()
    }

    /// The alerts of the newest request.
    fn newest(&self) -> Vec<Value> {
        let newest = self.asked().pop();
        newest.map_or_else(Vec::new, |(_, body)| body.as_array().unwrap().clone())
    }
}

async fn reply(
    request: Request<Incoming>,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = format!("{} {}", request.method(), request.uri().path());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let document = serde_json::from_slice(&body).unwrap();
    asked.lock().unwrap().push((path, document));
    let now = *answer.lock().unwrap();
    match now {
        None => std::future::pending().await,
        Some((status, text)) => Ok(Response::builder()
            .status(status)
            .body(Full::from(text))
            .unwrap()),
    }
}

/// A pusher that runs, and the unit it reads.
struct World {
    telemetry: Telemetry,
    sender: watch::Sender<Option<Arc<Outcome>>>,
    stop: CancellationToken,
    running: JoinSet<()>,
}

impl World {
    fn start(settings: &Settings) -> Self {
        let telemetry = Telemetry::default();
        let (sender, receiver) = watch::channel(None);
        let catalogue = Arc::new(Catalogue::default());
        catalogue.replace(vec![Arc::new(UnitHandle {
            name: "rps".into(),
            kind: "signal",
            step: Span::minutes(1),
            outcome: receiver,
            max_age: Span::minutes(5),
            report: Arc::default(),
            trail: Arc::default(),
        })]);
        let around = Surroundings {
            clock: Clock::System,
            events: Arc::clone(&telemetry.sink),
            external_labels: BTreeMap::from([("cluster".to_owned(), "global".to_owned())]),
            page: None,
        };
        let pusher = Pusher::build(settings, around).unwrap();
        telemetry.sink.announce(&settings.url.to_string());
        let mut running = JoinSet::new();
        let stop = CancellationToken::new();
        running.spawn(pusher.run(catalogue, stop.clone()));
        Self {
            telemetry,
            sender,
            stop,
            running,
        }
    }

    fn publish(&self, at: Millis, series: Vec<SeriesOutcome>) {
        // Never waits: that is what keeps a slow Alertmanager from holding up an evaluation.
        self.sender
            .send_replace(Some(Arc::new(outcome(at, series))));
    }

    fn metric(&self, name: &str, cause: Option<&str>) -> f64 {
        let text = self.telemetry.open_metrics().unwrap();
        let cause = cause.map_or(String::new(), |cause| format!("cause=\"{cause}\""));
        let name = format!("forethought_alertmanager_{name}{{");
        let of = |line: &&str| line.starts_with(&name) && line.contains(&cause);
        let line = text.lines().find(of).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let all = async {
        while !condition() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, all).await.is_ok(), "{what}");
}

fn now() -> Millis {
    Clock::System.now() / 1_000 * 1_000
}

/// Two of three series are as expected, so that no group is an alert.
fn one_on(since: Millis) -> Vec<SeriesOutcome> {
    vec![on("/a", 2, since), calm("/b"), calm("/c")]
}

fn all_calm() -> Vec<SeriesOutcome> {
    vec![calm("/a"), calm("/b"), calm("/c")]
}

fn settings(fake: &Fake) -> Settings {
    Settings {
        external_labels: BTreeMap::from([("cluster".to_owned(), "own".to_owned())]),
        ..Settings::new(&fake.url)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_posted_under_the_prefix_and_resolved() {
    let fake = Fake::new(Some((200, ""))).await;
    let world = World::start(&settings(&fake));
    let begun = now() - 60_000;
    world.publish(begun, one_on(begun));
    eventually("the alert", || fake.asked().len() == 1).await;
    let (path, body) = fake.asked().remove(0);
    assert_eq!(path, "POST /prefix/api/v2/alerts");
    assert_eq!(
        body[0]["labels"]["cluster"], "own",
        "it goes before the global one"
    );
    assert_eq!(body[0]["labels"]["alertname"], "ForethoughtAnomaly");
    eventually("it is counted", || world.metric("up", None) == 1.0).await;
    assert_eq!(world.metric("notifications_total", None), 1.0);
    assert!(world.metric("last_success_timestamp_seconds", None) >= (begun / 1_000) as f64);

    world.publish(now(), all_calm());
    eventually("the end", || fake.asked().len() == 2).await;
    let ended = &fake.newest()[0];
    assert_eq!(ended["labels"], body[0]["labels"]);
    assert_eq!(ended["startsAt"], body[0]["startsAt"]);
    assert!(
        ended["endsAt"].as_str() < body[0]["endsAt"].as_str(),
        "{ended}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_the_newest_state_is_sent_and_nothing_else() {
    let fake = Fake::new(Some((503, "starting"))).await;
    let world = World::start(&settings(&fake));
    let begun = now() - 60_000;
    world.publish(begun, one_on(begun));
    eventually("it is tried again", || fake.asked().len() >= 3).await;
    assert!(world.metric("failures_total", Some("status")) >= 2.0);
    assert_eq!(world.metric("up", None), 0.0);
    // While nothing gets through, the first recovers and another begins.
    let later = begun + 30_000;
    world.publish(later, vec![calm("/a"), on("/b", 2, later), calm("/c")]);
    let about = |alerts: &[Value], path: &str| {
        alerts
            .iter()
            .filter(|alert| alert["labels"]["path"] == path)
            .count()
    };
    eventually("the new one is tried", || about(&fake.newest(), "/b") == 1).await;
    fake.set(Some((200, "")));
    eventually("it gets through", || world.metric("up", None) == 1.0).await;
    let newest = fake.newest();
    // The first may have arrived without our hearing of it, so its end is said too.
    assert_eq!(
        (about(&newest, "/a"), about(&newest, "/b")),
        (1, 1),
        "{newest:?}"
    );
    let asked = fake.asked().len();
    sleep(Duration::from_secs(3)).await;
    assert_eq!(fake.asked().len(), asked, "no backlog follows");
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_ends_at_the_deadline_and_is_tried_again() {
    let fake = Fake::new(None).await;
    let settings = Settings {
        timeout: Span::millis(200),
        ..settings(&fake)
    };
    let world = World::start(&settings);
    let begun = now();
    world.publish(begun, one_on(begun));
    eventually("it is tried again", || fake.asked().len() >= 2).await;
    eventually("it is counted", || {
        world.metric("failures_total", Some("timeout")) >= 1.0
    })
    .await;
    fake.set(Some((200, "")));
    eventually("it gets through", || world.metric("up", None) == 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_waits_for_its_next_repetition() {
    let fake = Fake::new(Some((400, "\"bad label\""))).await;
    let world = World::start(&settings(&fake));
    let begun = now();
    world.publish(begun, one_on(begun));
    eventually("it is refused", || {
        world.metric("failures_total", Some("status")) == 1.0
    })
    .await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(fake.asked().len(), 1, "the same would be refused again");
    assert_eq!(world.metric("up", None), 0.0);
    // Something new is sent all the same.
    fake.set(Some((200, "")));
    world.publish(begun, one_on(begun));
    let next = begun + 1_000;
    world.publish(
        next,
        vec![
            on("/a", 2, begun),
            on("/b", 2, next),
            calm("/c"),
            calm("/d"),
        ],
    );
    eventually("the new one is taken", || world.metric("up", None) == 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_page_is_no_success() {
    let fake = Fake::new(Some((200, "<html>Sign in</html>"))).await;
    let world = World::start(&settings(&fake));
    world.publish(now(), one_on(now()));
    eventually("it is seen through", || {
        world.metric("failures_total", Some("decode")) >= 1.0
    })
    .await;
    assert_eq!(world.metric("notifications_total", None), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_alerts_go_in_batches() {
    let fake = Fake::new(Some((200, ""))).await;
    let world = World::start(&settings(&fake));
    let begun = now();
    let pod = |index: usize, series: SeriesOutcome| SeriesOutcome {
        labels: Labels::new([("pod", format!("{index:05}"))]).unwrap(),
        ..series
    };
    let many = (0..3_000).map(|index| match index {
        0..1_200 => pod(index, on("", 1, begun)),
        _ => pod(index, calm("")),
    });
    world.publish(begun, many.collect());
    eventually("all are taken", || {
        world.metric("notifications_total", None) == 1_200.0
    })
    .await;
    let sizes: Vec<usize> = fake
        .asked()
        .iter()
        .map(|(_, body)| body.as_array().unwrap().len())
        .collect();
    assert_eq!(sizes, [500, 500, 200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_is_too_old_is_not_repeated() {
    let fake = Fake::new(Some((200, ""))).await;
    let settings = Settings {
        resend: Span::seconds(1),
        ..settings(&fake)
    };
    let world = World::start(&settings);
    let begun = now();
    world.publish(begun, one_on(begun));
    eventually("it is repeated", || fake.asked().len() >= 3).await;
    // Older than the max_age of its unit.
    world.publish(begun - 6 * 60_000, one_on(begun - 6 * 60_000));
    sleep(Duration::from_secs(2)).await;
    let asked = fake.asked();
    sleep(Duration::from_secs(4)).await;
    assert_eq!(
        fake.asked().len(),
        asked.len(),
        "neither renewed nor resolved"
    );
    let last = asked.last().unwrap().1[0].clone();
    assert!(last["endsAt"].as_str() > last["startsAt"].as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_program_resolves_nothing_and_waits_for_nobody() {
    let fake = Fake::new(Some((200, ""))).await;
    let mut world = World::start(&settings(&fake));
    let begun = now();
    world.publish(begun, one_on(begun));
    eventually("the alert", || world.metric("up", None) == 1.0).await;
    // In the middle of a request that is never answered.
    fake.set(None);
    let next = begun + 1_000;
    world.publish(
        next,
        vec![on("/a", 2, begun), on("/b", 2, next), calm("/c")],
    );
    eventually("the next one is on its way", || fake.asked().len() == 2).await;
    world.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(2), world.running.join_next()).await;
    assert!(ended.unwrap().unwrap().is_ok());
    let of_all = fake.asked();
    let alerts = of_all.iter().flat_map(|(_, body)| body.as_array().unwrap());
    let now = jiff::Timestamp::now().to_string();
    for alert in alerts {
        assert!(alert["endsAt"].as_str() > Some(&now), "resolved: {alert}");
    }
}
