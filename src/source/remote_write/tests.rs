//! Receivers as senders see them.

use super::*;
use crate::{
    engine::Clock,
    expo::wire::{
        Packer,
        write::{Outgoing, Point, Version, Writer},
    },
    intake::{Reading, STALE_NAN, Selection},
    series::{Grid, Labels, Millis, Share},
    source::local::{Hub, Subscription},
    telemetry::Telemetry,
};
use hyper::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue},
};

const STEP: Millis = 60_000;

/// The labels of a series, and its samples.
type Sent<'a> = (&'a [(&'a str, &'a str)], Vec<Point>);

struct World {
    receiver: Receiver,
    telemetry: Telemetry,
    now: Millis,
}

impl World {
    fn new(settings: &str) -> Self {
        let settings: Settings = serde_yaml::from_str(settings).unwrap();
        assert_eq!(settings.validate(), []);
        let telemetry = Telemetry::default();
        let hub = Hub::new("pushed", settings.max_series, Arc::clone(&telemetry.intake));
        hub.subscribe(
            Subscription {
                selection: Selection::new("load", Reading::Gauge, None, None).unwrap(),
                grid: Grid::new(STEP).unwrap(),
                history: 100,
                max_series: 1_000,
                share: Share::ALL,
            },
            None,
        );
        let around = (Arc::clone(&telemetry.intake), Clock::System);
        let receiver = Receiver::build("pushed", &settings, Arc::new(hub), around);
        Self {
            receiver: receiver.unwrap(),
            telemetry,
            now: Clock::System.now(),
        }
    }

    fn push(&self, version: Version, series: &[Sent<'_>]) -> Result<Written, Refusal> {
        self.receiver.take(&packed(version, series), version)
    }

    fn counted(&self, line: &str) -> bool {
        let text = self.telemetry.open_metrics().unwrap();
        text.lines().any(|own| own == line)
    }

    fn value(&self, pod: &str) -> Option<f64> {
        let found = self
            .receiver
            .hub()
            .with("load", (None, &Share::ALL), |recorder| {
                recorder.instant(self.now)
            });
        let wanted = Labels::new([("pod", pod)]).unwrap();
        let mut all = found.unwrap().into_iter();
        all.find(|(labels, _)| *labels == wanted)
            .map(|(_, value)| value)
    }
}

fn packed(version: Version, series: &[Sent<'_>]) -> Vec<u8> {
    let mut writer = Writer::new(version);
    for (labels, samples) in series {
        writer.push(&Outgoing {
            name: labels
                .iter()
                .find(|(name, _)| *name == "__name__")
                .map_or("", |(_, value)| value),
            labels,
            samples,
            metadata: None,
            created: None,
        });
    }
    let mut body = Vec::new();
    writer.append_to(&mut body);
    Packer::new().pack(&body).unwrap().to_vec()
}

fn point(at: Millis, value: f64) -> Vec<Point> {
    vec![Point { at, value }]
}

const LOAD_A: &[(&str, &str)] = &[("__name__", "load"), ("pod", "a")];
const LOAD_B: &[(&str, &str)] = &[("__name__", "load"), ("pod", "b")];
const HEAT: &[(&str, &str)] = &[("__name__", "heat"), ("pod", "a")];

#[test]
fn samples_of_both_versions_reach_the_signals_that_select_them() {
    for version in [Version::V1, Version::V2] {
        let world = World::new("{}");
        let now = world.now;
        let series = [
            (LOAD_A, point(now - 1_000, 1.0)),
            (HEAT, point(now - 1_000, 9.0)),
            (
                LOAD_B,
                vec![
                    Point {
                        at: now - 2_000,
                        value: 2.0,
                    },
                    Point {
                        at: now - 1_000,
                        value: 3.0,
                    },
                ],
            ),
        ];
        let written = world.push(version, &series).unwrap();
        assert_eq!(
            written,
            Written {
                samples: 4,
                problem: None
            }
        );
        assert_eq!((world.value("a"), world.value("b")), (Some(1.0), Some(3.0)));
        assert!(
            world
                .counted("forethought_intake_samples_total{source=\"pushed\",result=\"stored\"} 3")
        );
        assert!(
            world.counted(
                "forethought_intake_samples_total{source=\"pushed\",result=\"unwanted\"} 1"
            )
        );
        let stale = [(LOAD_A, point(now, STALE_NAN))];
        assert_eq!(world.push(version, &stale).unwrap().samples, 1);
        assert_eq!((world.value("a"), world.value("b")), (None, Some(3.0)));
    }
}

#[test]
fn what_comes_twice_or_late_is_no_fault_of_the_sender() {
    let world = World::new("{}");
    let now = world.now;
    world
        .push(Version::V1, &[(LOAD_A, point(now, 1.0))])
        .unwrap();
    for (at, value) in [(now, 1.0), (now, 2.0), (now - 86_400_000, 3.0)] {
        let written = world
            .push(Version::V1, &[(LOAD_A, point(at, value))])
            .unwrap();
        assert_eq!(written.problem, None);
    }
    assert_eq!(world.value("a"), Some(1.0));
    for result in ["duplicate", "conflict", "old"] {
        let line =
            format!("forethought_intake_samples_total{{source=\"pushed\",result=\"{result}\"}} 1");
        assert!(world.counted(&line), "{result}");
    }
}

#[test]
fn a_clock_a_day_off_is_told_and_harms_nobody() {
    let world = World::new("{}");
    let now = world.now;
    let series = [
        (LOAD_A, point(now + 86_400_000, 1.0)),
        (LOAD_B, point(now, 2.0)),
    ];
    let written = world.push(Version::V1, &series).unwrap();
    assert_eq!(written.samples, 1);
    assert!(written.problem.unwrap().contains("ahead of our clock"));
    assert_eq!((world.value("a"), world.value("b")), (None, Some(2.0)));
}

#[test]
fn a_bad_series_is_told_and_the_others_are_taken() {
    let world = World::new("{}");
    let now = world.now;
    let nameless: &[(&str, &str)] = &[("pod", "x")];
    let long = "x".repeat(5_000);
    let lengthy: &[(&str, &str)] = &[("__name__", "load"), ("pod", &long)];
    let series = [
        (nameless, point(now, 1.0)),
        (lengthy, point(now, 1.0)),
        (LOAD_B, point(now, 2.0)),
    ];
    let written = world.push(Version::V1, &series).unwrap();
    assert_eq!(written.samples, 1);
    let problem = written.problem.unwrap();
    assert_eq!(
        problem,
        "a series was left out: no metric name: expected a label __name__"
    );
    assert_eq!(world.value("b"), Some(2.0));
    for reason in ["no_name", "label_value_too_long"] {
        let line = format!(
            "forethought_intake_series_invalid_total{{source=\"pushed\",reason=\"{reason}\"}} 1"
        );
        assert!(world.counted(&line), "{reason}");
    }
}

#[test]
fn garbage_is_refused_and_what_is_too_large_as_such() {
    let world = World::new("{max_request_bytes: 65536}");
    let status = |packed: &[u8]| world.receiver.take(packed, Version::V1).unwrap_err().status;
    assert_eq!(status(b""), StatusCode::BAD_REQUEST);
    assert_eq!(status(b"garbage"), StatusCode::BAD_REQUEST);
    let not_protobuf = Packer::new().pack(&[0xff; 100]).unwrap().to_vec();
    assert_eq!(status(&not_protobuf), StatusCode::BAD_REQUEST);
    let bomb = Packer::new().pack(&vec![0; 70_000]).unwrap().to_vec();
    assert!(bomb.len() < 5_000);
    assert_eq!(status(&bomb), StatusCode::PAYLOAD_TOO_LARGE);
    let sound = packed(Version::V1, &[(LOAD_A, point(world.now, 1.0))]);
    for end in 0..sound.len() {
        // Some beginnings are a request of their own; none panics.
        drop(world.receiver.take(&sound[..end], Version::V1));
    }
    assert_eq!(world.receiver.take(&sound, Version::V1).unwrap().samples, 1);
}

#[test]
fn a_flood_of_series_takes_no_more_than_its_room() {
    let world = World::new("{max_series: 50}");
    let now = world.now;
    for hundred in 0..50 {
        let names: Vec<String> = (0..100).map(|n| format!("{}", hundred * 100 + n)).collect();
        let labels: Vec<[(&str, &str); 2]> = names
            .iter()
            .map(|name| [("__name__", "load"), ("pod", name.as_str())])
            .collect();
        let series: Vec<Sent<'_>> = labels
            .iter()
            .map(|labels| (&labels[..], point(now, 1.0)))
            .collect();
        assert_eq!(world.push(Version::V1, &series).unwrap().problem, None);
    }
    assert_eq!(world.receiver.hub().series(), 50);
    assert!(world.counted("forethought_intake_series_refused_total{source=\"pushed\"} 4950"));
    assert_eq!(world.value("0"), Some(1.0), "who was first stays");
}

#[test]
fn a_signal_that_comes_later_gets_series_that_were_known_as_unwanted() {
    let world = World::new("{}");
    world
        .push(Version::V1, &[(HEAT, point(world.now - 5, 1.0))])
        .unwrap();
    let selection = Selection::new("heat", Reading::Gauge, None, None).unwrap();
    let (grid, history, max_series) = (Grid::new(STEP).unwrap(), 10, 10);
    world.receiver.hub().subscribe(
        Subscription {
            selection,
            grid,
            history,
            max_series,
            share: Share::ALL,
        },
        None,
    );
    world
        .push(Version::V1, &[(HEAT, point(world.now, 2.0))])
        .unwrap();
    let found = world
        .receiver
        .hub()
        .with("heat", (None, &Share::ALL), |recorder| {
            recorder.instant(world.now)
        });
    assert_eq!(found.unwrap()[0].1, 2.0);
}

fn headers(pairs: &[(hyper::header::HeaderName, &str)]) -> HeaderMap {
    let pairs = pairs
        .iter()
        .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()));
    pairs.collect()
}

#[tokio::test]
async fn who_may_push_and_how_is_asked_first() {
    let sound = [
        (CONTENT_TYPE, "application/x-protobuf"),
        (CONTENT_ENCODING, "snappy"),
    ];
    let open = World::new("{}");
    assert_eq!(open.receiver.admit(&headers(&sound)).await, Ok(Version::V1));
    for (name, value) in [
        (CONTENT_TYPE, "application/json"),
        (CONTENT_ENCODING, "zstd"),
    ] {
        let mut wrong = headers(&sound);
        wrong.insert(name, HeaderValue::from_static(value));
        let refusal = open.receiver.admit(&wrong).await.unwrap_err();
        assert_eq!(
            refusal.status,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{value}"
        );
        assert!(refusal.message.contains(value), "{}", refusal.message);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "hunter2\n").unwrap();
    let closed = World::new(&format!(
        "{{authorization: {{credentials_file: {}}}}}",
        file.display()
    ));
    let status = async |shown: Option<&str>| {
        let mut all = headers(&sound);
        if let Some(shown) = shown {
            all.insert(AUTHORIZATION, HeaderValue::from_str(shown).unwrap());
        }
        closed
            .receiver
            .admit(&all)
            .await
            .map_or_else(|refusal| refusal.status, |_| StatusCode::OK)
    };
    assert_eq!(status(None).await, StatusCode::UNAUTHORIZED);
    assert_eq!(
        status(Some("Bearer hunter3")).await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(status(Some("Bearer hunter2")).await, StatusCode::OK);
    std::fs::write(&file, "hunter3").unwrap();
    assert_eq!(
        status(Some("Bearer hunter3")).await,
        StatusCode::OK,
        "read anew"
    );
    std::fs::remove_file(&file).unwrap();
    assert_eq!(
        status(Some("Bearer hunter3")).await,
        StatusCode::SERVICE_UNAVAILABLE
    );
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_at_a_time_than_there_are_places() {
    let world = World::new("{concurrency: 2}");
    let (one, two) = (world.receiver.place().await, world.receiver.place().await);
    assert!(one.is_ok() && two.is_ok());
    let refusal = world.receiver.expects_more().err().unwrap();
    assert_eq!(refusal.status, StatusCode::SERVICE_UNAVAILABLE);
    let hour = std::time::Duration::from_secs(3_600);
    let third = tokio::time::timeout(hour, world.receiver.place()).await;
    assert!(third.is_err());
    drop(one);
    assert_eq!(world.receiver.expects_more(), Ok(()));
    assert!(world.receiver.place().await.is_ok());
}

#[test]
fn bodies_on_their_way_have_bounds_all_together() {
    let world = World::new("{concurrency: 2, max_request_bytes: 65536}");
    let (mut one, mut two) = (None, None);
    for _ in 0..2 {
        assert_eq!(world.receiver.make_room(&mut one, 40_000), Ok(()));
    }
    assert_eq!(world.receiver.make_room(&mut two, 51_072), Ok(()));
    let refusal = world.receiver.make_room(&mut two, 1).unwrap_err();
    assert_eq!(refusal.status, StatusCode::SERVICE_UNAVAILABLE);
    drop(one);
    assert_eq!(world.receiver.make_room(&mut two, 80_000), Ok(()));
}

#[test]
fn what_cannot_be_is_refused_with_its_key() {
    let settings: Settings = serde_yaml::from_str(
        "{max_series: 0, max_request_bytes: 1, concurrency: 1000, authorization: {type: Basic}}",
    )
    .unwrap();
    let keys: Vec<String> = settings
        .validate()
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    assert_eq!(
        keys,
        [
            "authorization",
            "authorization.type",
            "max_series",
            "max_request_bytes",
            "concurrency"
        ]
    );
}
