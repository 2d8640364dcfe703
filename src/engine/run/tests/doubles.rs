//! A source and units that do as they are told, and the world around them.

use super::super::{
    EvaluatePanel, EvaluateSignal, Fleet, FleetParts, FleetPlan, MakePanel, MakeSignal, PanelPlan,
    SignalPlan,
};
use crate::{
    baseline::Band,
    engine::{
        Catalogue, Clock, Mode, Outcome, Pool, SeriesOutcome, SignalSettings, UnitHandle,
        UnitReport, outcome::Counts,
    },
    series::{Grid, Labels, Millis, Share, Span},
    source::{
        Answer, BreakerState, Cause, Matrix, Prints, RangeRequest, SeriesSamples, Source,
        SourceError,
    },
    telemetry::Telemetry,
};
use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(super) const MINUTE: Millis = 60_000;
/// A whole minute.
pub(super) const START: Millis = 28_333_333 * MINUTE;
/// Grid times a fake unit replays.
pub(super) const REPLAY: i64 = 10;

// --- Source ---

#[derive(Debug, Clone)]
pub(super) enum Manner {
    Answer,
    Refuse,
    Hang,
    Late(Duration),
    Panic,
    /// As `Answer`, and says that others were left out.
    Crowd,
}

/// Has one series whose value is the number of the grid time.
#[derive(Debug)]
pub(super) struct FakeSource {
    manner: Mutex<Manner>,
    asked: Mutex<Vec<RangeRequest>>,
    known: Mutex<Vec<Arc<Prints>>>,
}

impl FakeSource {
    pub(super) fn new(manner: Manner) -> Arc<Self> {
        Arc::new(Self {
            manner: Mutex::new(manner),
            asked: Mutex::default(),
            known: Mutex::default(),
        })
    }

    pub(super) fn be(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// The requests since the last look.
    pub(super) fn asked(&self) -> Vec<RangeRequest> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// Series that were said to be known since the last look, by live request.
    pub(super) fn known(&self) -> Vec<Arc<Prints>> {
        std::mem::take(&mut self.known.lock().unwrap())
    }
}

impl Source for FakeSource {
    fn name(&self) -> &str {
        "fake"
    }

    fn range(&self, request: RangeRequest) -> Answer<'_> {
        self.asked.lock().unwrap().push(request.clone());
        let manner = self.manner.lock().unwrap().clone();
        Box::pin(async move {
            match manner {
                Manner::Answer => Ok(matrix(&request)),
                Manner::Refuse => Err(SourceError {
                    cause: Cause::Connect,
                    message: "connection refused".into(),
                }),
                Manner::Hang => std::future::pending().await,
                Manner::Late(delay) => {
                    tokio::time::sleep(delay).await;
                    Ok(matrix(&request))
                }
                Manner::Crowd => Ok(Matrix {
                    dropped: 7,
                    ..matrix(&request)
                }),
                Manner::Panic => panic!("a source that panics"),
            }
        })
    }

    fn range_on(&self, request: RangeRequest, known: Arc<Prints>) -> Answer<'_> {
        self.known.lock().unwrap().push(known);
        self.range(request)
    }

    fn breaker(&self) -> BreakerState {
        BreakerState::Closed
    }
}

fn matrix(request: &RangeRequest) -> Matrix {
    let times = (request.start..=request.end).step_by(request.step as usize);
    Matrix {
        series: vec![SeriesSamples {
            labels: Labels::default(),
            samples: times.map(|at| (at, (at / request.step) as f64)).collect(),
        }],
        foreign: request.share.parts() - 1,
        ..Matrix::default()
    }
}

// --- Units ---

/// What fake units have been doing.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) evaluated: Mutex<Vec<(Millis, Mode)>>,
    /// A grid time at which the next evaluation panics, once.
    pub(super) panic_at: AtomicI64,
    /// Whether every evaluation after a restart panics.
    pub(super) panic_live: AtomicBool,
    pub(super) made: AtomicI64,
}

impl Log {
    /// What was evaluated since the last look.
    pub(super) fn take(&self) -> Vec<(Millis, Mode)> {
        std::mem::take(&mut self.evaluated.lock().unwrap())
    }
}

/// Checks that the loop keeps its promises: each grid time once, in order, with its sample.
#[derive(Debug)]
struct FakeUnit {
    name: Arc<str>,
    grid: Grid,
    samples: BTreeMap<Millis, f64>,
    reached: Option<Millis>,
    restarted: Millis,
    log: Arc<Log>,
}

impl EvaluateSignal for FakeUnit {
    fn grid(&self) -> Grid {
        self.grid
    }

    fn history_start(&self, at: Millis) -> Millis {
        at - 7 * 60 * self.grid.step()
    }

    fn ingest(&mut self, matrix: &Matrix) {
        for series in &matrix.series {
            self.samples.extend(series.samples.iter().copied());
        }
    }

    fn restart(&mut self, at: Millis) -> Millis {
        let missing = |time: &Millis| !self.samples.contains_key(time);
        let all = (self.history_start(at)..=at).step_by(self.grid.step() as usize);
        assert_eq!(all.clone().find(missing), None, "a hole in the history");
        let from = at - REPLAY * self.grid.step();
        self.reached = Some(from);
        self.restarted = at;
        from
    }

    fn advance(&mut self, at: Millis, mode: Mode) -> Outcome {
        assert_eq!(
            self.reached.map(|reached| reached + self.grid.step()),
            Some(at)
        );
        self.reached = Some(at);
        let value = self.samples[&at] as f32;
        self.log.evaluated.lock().unwrap().push((at, mode));
        let due = self
            .log
            .panic_at
            .compare_exchange(at, 0, Ordering::Relaxed, Ordering::Relaxed);
        assert!(due.is_err(), "told to panic");
        let live = at > self.restarted && self.log.panic_live.load(Ordering::Relaxed);
        assert!(!live, "told to panic whenever live");
        outcome(&self.name, at, value)
    }
}

fn outcome(unit: &Arc<str>, at: Millis, value: f32) -> Outcome {
    Outcome {
        unit: Arc::clone(unit),
        at,
        series: vec![SeriesOutcome {
            labels: Labels::default(),
            value,
            band: Band::UNKNOWN,
            score: f32::NAN,
            active: false,
            severity: 0,
            direction: 0,
            began: false,
            since: None,
            worst: 0,
            reason: None,
        }],
        counts: Counts {
            series: 1,
            ..Counts::default()
        },
        ..Outcome::default()
    }
}

/// What a fake panel was given: grid time, the signals in time, mode.
pub(super) type PanelLog = Arc<Mutex<Vec<(Millis, Vec<String>, Mode)>>>;

#[derive(Debug)]
struct FakePanel {
    log: PanelLog,
}

impl EvaluatePanel for FakePanel {
    fn memory(&self) -> usize {
        5
    }

    fn advance(&mut self, at: Millis, inputs: &[Arc<Outcome>], mode: Mode) -> Outcome {
        let names = inputs.iter().map(|input| input.unit.to_string()).collect();
        self.log.lock().unwrap().push((at, names, mode));
        outcome(&"panel".into(), at, 0.0)
    }
}

// --- World ---

/// A fleet with a clock that can be set, in paused time.
pub(super) struct World {
    pub(super) fleet: Fleet,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) telemetry: Telemetry,
    pub(super) clock: Clock,
    pub(super) tracker: TaskTracker,
    pub(super) stop: CancellationToken,
    pub(super) source: Arc<FakeSource>,
    ahead: Arc<AtomicI64>,
}

impl World {
    pub(super) fn new(manner: Manner) -> Self {
        let ahead = Arc::new(AtomicI64::new(0));
        let clock = Clock::Settable {
            behind: Box::new(Clock::scaled(START, 1.0)),
            ahead: Arc::clone(&ahead),
        };
        let (telemetry, catalogue) = (Telemetry::default(), Arc::new(Catalogue::default()));
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let parts = FleetParts {
            catalogue: Arc::clone(&catalogue),
            pool: Pool::new(NonZeroUsize::new(2)).unwrap(),
            clock: clock.clone(),
            events: Arc::clone(&telemetry.engine),
            tracker: tracker.clone(),
            stop: stop.clone(),
        };
        Self {
            fleet: Fleet::new(parts),
            catalogue,
            telemetry,
            clock,
            tracker,
            stop,
            source: FakeSource::new(manner),
            ahead,
        }
    }

    pub(super) async fn run(&mut self, signals: Vec<SignalPlan>, panels: Vec<PanelPlan>) {
        let plan = plan(MINUTE, signals, panels);
        let prepared = self.fleet.prepare(plan).unwrap();
        self.fleet.commit(prepared).await;
    }

    /// A signal over this world's source.
    pub(super) fn signal(&self, name: &str, log: &Arc<Log>) -> SignalPlan {
        signal(name, &self.source, log)
    }

    /// Lets time pass.
    pub(super) async fn pass(&self, minutes: f64) {
        tokio::time::sleep(Duration::from_secs_f64(minutes * 60.0)).await;
    }

    /// Sets the clock.
    pub(super) fn set_ahead(&self, by: Millis) {
        self.ahead.fetch_add(by, Ordering::Relaxed);
    }

    pub(super) fn unit(&self, name: &str) -> Arc<UnitHandle> {
        let units = self.catalogue.units();
        let found = units.iter().find(|unit| &*unit.name == name);
        Arc::clone(found.unwrap())
    }

    pub(super) fn report(&self, name: &str) -> UnitReport {
        self.unit(name).report.lock().unwrap().clone()
    }

    /// Grid time of what readers get, if they get anything.
    pub(super) fn served(&self, name: &str) -> Option<Millis> {
        self.unit(name)
            .fresh(self.clock.now())
            .map(|outcome| outcome.at)
    }

    /// The value of one of our own metrics.
    pub(super) fn metric(&self, series: &str) -> Option<f64> {
        let text = self.telemetry.open_metrics().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.map(|value| value.trim().parse().unwrap())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(super) fn plan(
    interval: Millis,
    signals: Vec<SignalPlan>,
    panels: Vec<PanelPlan>,
) -> FleetPlan {
    FleetPlan {
        interval: Span::millis(interval),
        signals,
        panels,
    }
}

pub(super) fn signal(name: &str, source: &Arc<FakeSource>, log: &Arc<Log>) -> SignalPlan {
    let text = format!("{{name: {name}, query: up, step: 1m, history: 7h, offset: 30s}}");
    let settings: SignalSettings = serde_yaml::from_str(&text).unwrap();
    let (name, log): (Arc<str>, _) = (name.into(), Arc::clone(log));
    let make: MakeSignal = Arc::new(move || {
        log.made.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(FakeUnit {
            name: Arc::clone(&name),
            grid: Grid::new(MINUTE).unwrap(),
            samples: BTreeMap::new(),
            reached: None,
            restarted: Millis::MAX,
            log: Arc::clone(&log),
        }))
    });
    SignalPlan {
        settings,
        source: Arc::clone(source) as Arc<dyn Source>,
        share: Share::ALL,
        revision: 0,
        make,
    }
}

pub(super) fn panel(signals: &[&str], log: &PanelLog) -> PanelPlan {
    let text = format!(
        "{{name: panel, signals: [{}], on: [instance], detectors: []}}",
        signals.join(", ")
    );
    let log = Arc::clone(log);
    let make: MakePanel = Arc::new(move || {
        Ok(Box::new(FakePanel {
            log: Arc::clone(&log),
        }))
    });
    PanelPlan {
        settings: serde_yaml::from_str(&text).unwrap(),
        make,
    }
}
