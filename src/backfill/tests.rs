//! What is written beside what a process showed; samples of former times beside samples that came in time.

mod import;

use super::*;
use crate::{
    engine::{
        Mode, PanelUnit, SignalUnit, UnitOptions,
        settings::{Class, Emit},
    },
    expo::{Chunk, Escaping},
    series::{Grid, Labels},
    source::{Matrix, SeriesSamples},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

const STEP: Millis = 300_000;
const DAY: i64 = 288;
/// Grid times of the samples, and of the span that is written.
const SAMPLES: i64 = 5 * DAY;
const FIRST: i64 = 4 * DAY;
const LAST: i64 = 4 * DAY + 60;

/// Samples by series and time.
type Shown = BTreeMap<(String, Millis), f64>;

fn settings(name: &str) -> SignalSettings {
    let text = format!(
        "{{name: {name}, query: up, step: 5m, history: 2d, forecast: {{horizons: [15m]}}, \
         alerting: {{for: 10m, recover_for: 10m, refractory: 30m}}}}"
    );
    serde_yaml::from_str(&text).unwrap()
}

fn panel() -> PanelSettings {
    serde_json::from_str(r#"{"name": "hosts", "signals": ["cpu", "memory"], "on": ["pod"]}"#)
        .unwrap()
}

/// A daily season with noise, and an incident within the span that is written.
fn value(name: &str, pod: i64, index: i64) -> f64 {
    let phase = (index % DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
    let noise = ((index * 7_919 + pod * 104_729 + name.len() as i64 * 31) % 101) as f64 / 25.0;
    let incident = (FIRST + 20..FIRST + 32).contains(&index) && pod == 1;
    100.0 + 30.0 * phase.sin() + noise + f64::from(u8::from(incident)) * 200.0
}

/// Three pods; the last of them is born while the span is written.
fn samples(name: &str, from: i64, to: i64) -> Matrix {
    let series = (0..3).filter_map(|pod| {
        let born = if pod == 2 { FIRST + 10 } else { 0 };
        let samples: Vec<_> = (from.max(born)..=to)
            .map(|index| (index * STEP, value(name, pod, index)))
            .collect();
        let labels = Labels::new([("pod", format!("pod-{pod}"))]).unwrap();
        (!samples.is_empty()).then_some(SeriesSamples { labels, samples })
    });
    Matrix {
        series: series.collect(),
        ..Matrix::default()
    }
}

fn options() -> Backfill {
    Backfill {
        signals: ["cpu", "memory"].map(settings).into(),
        panels: vec![panel()],
        // Between grid times on purpose.
        start: FIRST * STEP - 1_000,
        end: LAST * STEP + 1_000,
        now: SAMPLES * STEP,
        models: ModelFiles::default(),
        calendars: Calendars::default(),
        replica: None,
        style: Style {
            escaping: Escaping::Underscores,
            labels: Vec::new(),
        },
    }
}

fn input() -> Input {
    let all = ["cpu", "memory"].map(|name| (name.to_owned(), samples(name, 0, SAMPLES)));
    Input::Samples(all.into())
}

fn written(options: &Backfill, held: usize) -> Result<(String, Written), Problem> {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut out = Vec::new();
    let input = input();
    let done = write_within(options, &input, (folder.path(), held), &mut out, &|_, _| {});
    let written = runtime.block_on(done)?;
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    Ok((String::from_utf8(out).unwrap(), written))
}

/// The samples of a text; that it is as OpenMetrics wants it.
fn read(text: &str) -> Shown {
    let mut shown = Shown::new();
    let (mut family, mut families) = (String::new(), BTreeSet::new());
    let (mut series, mut all) = (String::new(), BTreeSet::new());
    let mut newest = 0;
    let body = text.strip_suffix("# EOF\n").expect("the end is marked");
    for line in body.lines() {
        if let Some(about) = line.strip_prefix("# TYPE ") {
            family = about.split(' ').next().unwrap().to_owned();
            assert!(families.insert(family.clone()), "{family} comes twice");
        }
        if line.starts_with('#') {
            continue;
        }
        let mut parts = line.rsplitn(3, ' ');
        let at = parts.next().unwrap().parse::<f64>().unwrap();
        let value = parts.next().unwrap().parse().unwrap();
        let own = parts.next().unwrap().to_owned();
        assert!(own.starts_with(&family), "{own} is not of {family}");
        let at = (at * 1_000.0) as Millis;
        if own == series {
            assert!(at > newest, "{own} goes back");
        } else {
            assert!(all.insert(own.clone()), "{own} comes twice");
            series.clone_from(&own);
        }
        newest = at;
        shown.insert((own, at), value);
    }
    shown
}

fn take(shown: &mut Shown, outcome: &Outcome) {
    for (name, labels, value) in outcome.chunks.iter().flat_map(Chunk::samples) {
        let labels = labels.as_str();
        shown.insert((format!("{name}{{{labels}}}"), outcome.at), value);
    }
}

/// What a process shows that was started at `start`, on every tick from the first to the last grid time.
fn live(start: i64) -> Shown {
    let none = (UnitOptions::default(), ModelFiles::default());
    let names = ["cpu", "memory"];
    let mut units = names.map(|name| SignalUnit::new(&settings(name), &none.0, &none.1).unwrap());
    let replay = settings("cpu").replay();
    let grid = Grid::new(STEP).unwrap();
    let mut panel = PanelUnit::new(&panel(), &none.0, grid, replay).unwrap();
    let begin = start - panel.memory() as i64;
    let mut reached = 0;
    for (name, unit) in names.iter().zip(&mut units) {
        let from = unit.history_start(start * STEP) / STEP;
        unit.ingest(&samples(name, from, start));
        reached = unit.restart(start * STEP) / STEP;
    }
    let mut shown = Shown::new();
    for index in reached + 1..=LAST {
        let mode = if index < start {
            Mode::Replay
        } else {
            Mode::Publish
        };
        let mut outcomes = Vec::new();
        for (name, unit) in names.iter().zip(&mut units) {
            if index > start {
                // The last ones are read again, as a process does.
                unit.ingest(&samples(name, index - 3, index));
            }
            outcomes.push(Arc::new(unit.advance(index * STEP, mode)));
        }
        if index > begin {
            let outcome = panel.advance(index * STEP, &outcomes, mode);
            outcomes.push(Arc::new(outcome));
        }
        if index >= FIRST {
            outcomes
                .iter()
                .for_each(|outcome| take(&mut shown, outcome));
        }
    }
    shown
}

#[test]
fn what_is_written_is_what_a_process_showed() {
    let (text, done) = written(&options(), 1_000).unwrap();
    let shown = read(&text);
    assert_eq!(done.counts.samples, shown.len() as u64);
    let series: BTreeSet<&String> = shown.keys().map(|(series, _)| series).collect();
    assert_eq!(done.counts.series, series.len());
    assert_eq!(shown, live(FIRST));
    let score = |signal: &str| {
        let own = format!("anomaly_score{{pod=\"pod-1\",signal=\"{signal}\"}}");
        let times = FIRST + 20..FIRST + 32;
        times
            .filter_map(|index| shown.get(&(own.clone(), index * STEP)).copied())
            .fold(0.0, f64::max)
    };
    for signal in ["cpu", "memory", "hosts"] {
        assert!(score(signal) > 1.0, "{signal} shows the incident");
    }
    assert_eq!(done.notes, [""; 0]);
    // However little of it memory holds.
    assert_eq!(written(&options(), 1_000_000).unwrap().0, text);
}

#[test]
fn a_process_that_had_been_running_for_long_showed_the_same() {
    let (text, _) = written(&options(), 1_000_000).unwrap();
    let (shown, long) = (read(&text), live(FIRST - 300));
    let is_judgement = |(series, _): &&(String, Millis)| {
        let own = [
            "anomaly_active",
            "anomaly_score",
            "anomaly_severity",
            "predicted_cpu",
        ];
        own.iter()
            .any(|name| series.starts_with(&format!("{name}{{")))
    };
    let keys: BTreeSet<_> = shown.keys().filter(is_judgement).collect();
    assert!(keys.iter().copied().eq(long.keys().filter(is_judgement)));
    assert!(keys.len() > 1_000, "{}", keys.len());
    for key in keys {
        let (one, other) = (shown[key], long[key]);
        let tolerance = 0.01 * other.abs().max(1.0);
        assert!((one - other).abs() <= tolerance, "{key:?}: {one} {other}");
    }
}

#[test]
fn labels_of_a_scrape_are_added_and_the_replica_is_named() {
    let mut options = options();
    options.signals.truncate(1);
    options.style.labels = vec![("job".to_owned(), "forethought".to_owned())];
    options.replica = Some("a".to_owned());
    let (text, _) = written(&options, 1_000_000).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        assert!(line.contains("job=\"forethought\""), "{line}");
        assert!(line.contains("forethought_replica=\"a\""), "{line}");
    }
    assert!(!text.contains("hosts"), "a panel needs all its signals");
}

#[test]
fn spans_without_anything_are_refused_and_short_pasts_are_told() {
    let failed = |options: &Backfill| match written(options, 1_000) {
        Err(Problem::Failed(why)) => why,
        other => panic!("{other:?}"),
    };
    let mut between = options();
    (between.start, between.end) = (FIRST * STEP + 1, FIRST * STEP + 2);
    let why = failed(&between);
    assert!(
        why.contains("no grid time") && why.contains("--to"),
        "{why}"
    );
    let mut after = options();
    (after.start, after.end) = (2 * SAMPLES * STEP, 2 * SAMPLES * STEP + STEP);
    after.now = 3 * SAMPLES * STEP;
    let why = failed(&after);
    assert!(why.contains("no samples"), "{why}");
    let mut early = options();
    (early.start, early.end) = (DAY * STEP, (DAY + 20) * STEP);
    let (_, done) = written(&early, 1_000_000).unwrap();
    assert_eq!(done.notes.len(), 2, "{:?}", done.notes);
    assert!(
        done.notes[0].contains("begins at 1970-01-01T00:00:00Z"),
        "{:?}",
        done.notes
    );
}

#[test]
fn a_wide_signal_that_tells_of_what_is_anomalous_alone_may_be_quiet() {
    let mut quiet = options();
    quiet.panels.clear();
    quiet.signals.truncate(1);
    let own = &mut quiet.signals[0];
    (own.class, own.emit, own.shown_only) = (Class::Wide, Emit::Anomalous, true);
    own.forecast = Default::default();
    quiet.end = (FIRST + 10) * STEP;
    let (text, _) = written(&quiet, 1_000).unwrap();
    assert!(text.contains("anomaly_"), "{text}");
}
