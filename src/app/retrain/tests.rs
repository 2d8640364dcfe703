//! What is trained, when, and what is in force when it cannot be.

use super::*;
use crate::{
    contract::{Manifest, Trust},
    forecast::{Contest, ContestHorizon},
    registry::Registry,
    source::{Answer, BreakerState, Cause, Matrix, RangeRequest, SeriesSamples, SourceError},
};
use std::{
    path::Path,
    sync::atomic::{AtomicI64, AtomicU8, Ordering},
};
use tempfile::TempDir;

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;
const START: Millis = 20_000 * DAY;

/// Hours of a course that is high or low for a day, so that the day before is a poor guide.
#[derive(Debug, Default)]
struct Hours(AtomicU8);

const FAILS: u8 = 1;
const HANGS: u8 = 2;

impl Hours {
    fn matrix(request: &RangeRequest) -> Matrix {
        let value = |at: Millis| {
            let mut of_day = fastrand::Rng::with_seed((at / DAY) as u64);
            let mut of_hour = fastrand::Rng::with_seed((at / HOUR) as u64);
            let phase = (at % DAY) as f64 / DAY as f64;
            let height = 10.0 + 30.0 * of_day.f64();
            100.0 + height * (std::f64::consts::TAU * phase).sin() + of_hour.f64()
        };
        let times = (request.start..=request.end).step_by(request.step as usize);
        let series = SeriesSamples {
            labels: crate::series::Labels::new([("app", "shop")]).unwrap(),
            samples: times.map(|at| (at, value(at))).collect(),
        };
        Matrix {
            series: vec![series],
            ..Matrix::default()
        }
    }
}

impl Source for Hours {
    fn name(&self) -> &str {
        "hours"
    }

    fn range(&self, request: RangeRequest) -> Answer<'_> {
        Box::pin(async move {
            match self.0.load(Ordering::Relaxed) {
                FAILS => Err(SourceError {
                    cause: Cause::Connect,
                    message: "the source is gone".to_owned(),
                }),
                HANGS => std::future::pending().await,
                _ => Ok(Self::matrix(&request)),
            }
        })
    }

    fn breaker(&self) -> BreakerState {
        BreakerState::Closed
    }
}

struct World {
    folder: TempDir,
    source: Arc<Hours>,
    ahead: Arc<AtomicI64>,
    clock: Clock,
    telemetry: Telemetry,
    stop: CancellationToken,
}

impl World {
    fn new() -> Self {
        let ahead = Arc::new(AtomicI64::new(0));
        Self {
            folder: TempDir::new().unwrap(),
            source: Arc::default(),
            clock: Clock::Settable {
                behind: Box::new(Clock::scaled(START, 1.0)),
                ahead: Arc::clone(&ahead),
            },
            ahead,
            telemetry: Telemetry::default(),
            stop: CancellationToken::new(),
        }
    }

    fn models(&self) -> std::path::PathBuf {
        self.folder.path().join("models")
    }

    fn registry(&self) -> Registry {
        Registry::new(self.models(), Trust::default(), 5)
    }

    /// One that has just started.
    fn keeper(&self, trains: bool, renewal: &str) -> Keeper {
        let text = "{name: load, query: load, step: 1h, forecast: {horizons: [1h, 3h]}}";
        let signal: SignalSettings = serde_yaml::from_str(text).unwrap();
        let subject = Subject {
            model: "load".to_owned(),
            renewal: serde_yaml::from_str(renewal).unwrap(),
            signal,
            source: self.source.clone(),
            calendars: Calendars::new(),
            calendar_revision: 0,
            models: registry::Settings {
                directory: Some(self.models()),
                max_latency: Span::minutes(1),
                ..registry::Settings::default()
            },
            shared: None,
        };
        self.telemetry
            .training
            .announce(&[("load".to_owned(), 604_800.0)]);
        Keeper {
            watched: vec![Watched::new(subject)],
            role: trains.then_some(Role { key: None }),
            catalogue: Arc::default(),
            events: Arc::clone(&self.telemetry.training),
            clock: self.clock.clone(),
            stop: self.stop.clone(),
        }
    }

    fn pass(&self, span: Millis) {
        self.ahead.fetch_add(span, Ordering::Relaxed);
    }

    fn shows(&self, line: &str) -> bool {
        let text = self.telemetry.open_metrics().unwrap();
        text.lines().any(|shown| shown == line)
    }

    fn runs(&self, result: &str, count: u64) -> bool {
        let labels = format!("model=\"load\",result=\"{result}\"");
        self.shows(&format!(
            "forethought_training_runs_total{{{labels}}} {count}"
        ))
    }
}

#[tokio::test]
async fn the_first_is_trained_at_once_and_a_restart_trains_nothing_again() {
    let world = World::new();
    let mut shows_only = world.keeper(false, "{from: 60d}");
    shows_only.look(0).await;
    assert!(world.shows("forethought_training_due{model=\"load\"} 1"));
    assert!(!world.models().exists(), "only a process that trains does");

    let mut keeper = world.keeper(true, "{from: 60d}");
    keeper.look(0).await;
    assert!(
        world.runs("promoted", 1),
        "{}",
        world.telemetry.open_metrics().unwrap()
    );
    assert!(world.shows("forethought_training_running 0"));
    let promotions = "forethought_model_promotions_total{model=\"load\",by=\"training\"} 1";
    assert!(world.shows(promotions));
    assert_eq!(world.registry().in_force("load").unwrap().version, "1");

    assert!(world.shows("forethought_training_due{model=\"load\"} 0"));
    world.keeper(true, "{from: 60d}").look(0).await;
    assert!(world.shows("forethought_training_due{model=\"load\"} 0"));
    let seconds = START as f64 / 1_000.0;
    let last = format!(
        "forethought_training_last_success_timestamp_seconds{{model=\"load\"}} {seconds:.1}"
    );
    assert!(
        world.shows(&last),
        "{last}: {}",
        world.telemetry.open_metrics().unwrap()
    );
    assert_eq!(world.registry().versions("load").unwrap(), ["1"]);

    // Drift for an hour, once the pause is over.
    world.pass(7 * HOUR);
    let drifts = |at: Millis| Outcome {
        at,
        drift: Some(1.5),
        ..Outcome::default()
    };
    let mut off_schedule = world.keeper(true, "{from: 60d, every: 1000d}");
    for hour in [6, 7] {
        off_schedule.watched[0].see(&drifts(START + hour * HOUR));
    }
    off_schedule.look(0).await;
    assert_eq!(world.registry().versions("load").unwrap(), ["1", "2"]);
    off_schedule.look(0).await;
    let over: u64 = [("promoted", 2), ("kept", 1)]
        .into_iter()
        .map(|(result, count)| u64::from(world.runs(result, count)))
        .sum();
    assert_eq!(over, 1, "once: {}", world.telemetry.open_metrics().unwrap());
}

#[tokio::test]
async fn what_fails_is_counted_and_tried_again_later() {
    let world = World::new();
    world.source.0.store(FAILS, Ordering::Relaxed);
    let mut keeper = world.keeper(true, "{from: 60d}");
    keeper.look(0).await;
    assert!(world.runs("failed", 1));
    keeper.look(0).await;
    assert!(world.runs("failed", 1), "not at once");
    world.pass(16 * 60_000);
    keeper.look(0).await;
    assert!(world.runs("failed", 2));
    world.pass(16 * 60_000);
    keeper.look(0).await;
    assert!(world.runs("failed", 2), "later and later");
    assert!(!world.models().exists());
}

#[tokio::test]
async fn a_disk_that_takes_nothing_fails_the_training_alone() {
    let world = World::new();
    // There is a file where the folder should be.
    std::fs::write(world.models(), b"").unwrap();
    let mut keeper = world.keeper(true, "{from: 60d}");
    keeper.look(0).await;
    assert!(
        world.runs("failed", 1),
        "{}",
        world.telemetry.open_metrics().unwrap()
    );
}

#[tokio::test(start_paused = true)]
async fn it_ends_while_it_waits_for_the_past() {
    let world = World::new();
    world.source.0.store(HANGS, Ordering::Relaxed);
    let keeper = world.keeper(true, "{from: 60d}");
    let task = TaskTracker::new().spawn(keeper.run());
    let begun = async {
        while !world.shows("forethought_training_running 1") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let begun = tokio::time::timeout(Duration::from_secs(3_600), begun).await;
    assert!(begun.is_ok(), "nothing is trained");
    world.stop.cancel();
    task.await.unwrap();
    assert!(world.shows("forethought_training_running 0"));
    assert!(world.runs("failed", 0) && world.runs("kept", 0));
    assert!(!world.models().exists());
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/onnx/");
    std::fs::read(Path::new(folder).join(name)).unwrap()
}

/// An outcome in which version 2 loses so much, and version 1 in force 0.8.
fn contest(at: Millis, loss: f32) -> Outcome {
    let horizon = ContestHorizon {
        span: Span::minutes(15),
        champion: 0.8,
        challenger: loss,
        previous: f32::NAN,
        scored: 1_000,
        since: START,
    };
    Outcome {
        at,
        contests: vec![Contest {
            model: "load".to_owned(),
            champion: "1".to_owned(),
            challenger: Some("2".to_owned()),
            previous: None,
            horizons: vec![horizon],
        }],
        ..Outcome::default()
    }
}

#[tokio::test]
async fn a_challenger_is_put_in_force_once_it_has_been_better_for_long_enough() {
    let world = World::new();
    let registry = world.registry();
    for version in ["1", "2"] {
        let mut manifest = Manifest::read(&fixture("gru.json")).unwrap();
        manifest.name = "load".to_owned();
        manifest.version = version.to_owned();
        let now = jiff::Timestamp::from_millisecond(START).unwrap();
        manifest.created = now.to_string();
        registry
            .add(&fixture("gru.onnx"), &manifest.to_json().unwrap())
            .unwrap();
    }
    registry.promote("load", "1").unwrap();
    let renewal = "{every: 1000d, promote: {after: 3d}}";
    let in_force = || registry.in_force("load").unwrap().version;
    let mut other = world.keeper(false, renewal);
    let mut keeper = world.keeper(true, renewal);
    let mut by_hand = world.keeper(true, "{every: 1000d}");
    for hour in 0..=72 {
        // Worse for one hour: it begins anew.
        let loss = if hour == 24 { 0.9 } else { 0.7 };
        for keeper in [&mut other, &mut keeper, &mut by_hand] {
            keeper.watched[0].see(&contest(START + hour * HOUR, loss));
        }
    }
    world.pass(3 * DAY);
    for keeper in [&mut other, &mut keeper, &mut by_hand] {
        keeper.look(0).await;
    }
    assert_eq!(in_force(), "1", "better for two days only");
    // Three days in which nothing was seen are not three days in which it was better.
    let mut blind = world.keeper(true, renewal);
    for hour in [0, 1, 75] {
        blind.watched[0].see(&contest(START + hour * HOUR, 0.7));
    }
    blind.look(0).await;
    assert_eq!(in_force(), "1", "better in three outcomes only");
    for hour in 73..=97 {
        for keeper in [&mut other, &mut keeper, &mut by_hand] {
            keeper.watched[0].see(&contest(START + hour * HOUR, 0.7));
        }
    }
    world.pass(DAY + HOUR);
    other.look(0).await;
    by_hand.look(0).await;
    assert_eq!(
        in_force(),
        "1",
        "neither without --train nor without the rule"
    );
    keeper.look(0).await;
    assert_eq!(in_force(), "2");
    let won = "forethought_model_promotions_total{model=\"load\",by=\"contest\"} 1";
    assert!(world.shows(won));

    // Whoever still believes that version 1 is in force changes nothing.
    let mut late = world.keeper(true, renewal);
    registry.rollback("load").unwrap();
    registry.promote("load", "2").unwrap();
    late.watched[0].see(&contest(START, 0.7));
    late.look(0).await;
    assert_eq!(in_force(), "2");
    assert!(world.shows(won), "not counted again");
}

#[test]
fn two_signals_do_not_train_the_same_model() {
    let world = World::new();
    let one = world.keeper(true, "{}").watched.remove(0).subject;
    let mut other = one.clone();
    assert_eq!(twice(&[one.clone(), other.clone()]), Some("load"));
    assert_eq!(one, other);
    other.model = "other".to_owned();
    assert_eq!(twice(&[one.clone(), other.clone()]), None);
    assert_ne!(one, other);
}
