//! End-to-end figures: what a series costs in time and memory, and how that grows.
//!
//! The engine is the real one; only the answers of the source are made here, so that nothing but our
//! own time is measured. How well anomalies are found is [`anomaly`], how well is forecast [`mod@forecast`], how
//! soon readers are answered [`api`], what a million series cost from end to end [`scale`], and whether a process holds out
//! for hours [`soak`].

pub mod anomaly;
pub mod api;
mod cpu;
pub mod forecast;
pub mod network;
mod report;
pub mod scale;
mod shown;
pub mod soak;
mod table;

pub use report::{Report, Row};

use crate::{
    engine::{Mode, SignalSettings, SignalUnit, UnitOptions},
    expo::Escaping,
    forecast::ModelFiles,
    series::{Labels, Millis, Span},
    source::{Matrix, SeriesSamples},
};
use cpu::{cpu_seconds, resident_bytes};
use std::fmt::Write as _;
use tokio::time::Instant;

/// A full day of a five-minute grid of noise is enough to tell series apart.
const EPOCH: Millis = 1_767_225_600_000;
/// History is handed over in pieces of this length, as the live loop does.
const CHUNK: Millis = 86_400_000;
/// Ticks measured after a start.
const TICKS: i64 = 10;

/// What to measure.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// Numbers of series, one row each.
    pub series: Vec<usize>,
    /// History per series.
    pub history: Span,
    /// Grid step.
    pub step: Span,
    /// Forecast horizons.
    pub horizons: Vec<Span>,
}

/// Measures one row per number of series; `progress` is told what is being done.
///
/// # Errors
/// Options that cannot be, such as a step of zero.
pub fn run(options: &BenchOptions, progress: &dyn Fn(&str)) -> Result<Report, String> {
    let mut report = Report::default();
    for &series in &options.series {
        progress(&format!("{series} series x {}: history", options.history));
        report.rows.push(measure(options, series, progress)?);
    }
    Ok(report)
}

fn measure(options: &BenchOptions, series: usize, progress: &dyn Fn(&str)) -> Result<Row, String> {
    let mut unit = SignalUnit::new(
        &settings(options, series)?,
        &UnitOptions::default(),
        &ModelFiles::new(),
    )?;
    let grid = unit.grid();
    let now = grid.floor(EPOCH);
    let before = resident_bytes();
    let mut own = Timer::default();
    let mut from = unit.history_start(now);
    while from <= now {
        let to = (from + CHUNK - grid.step()).min(now);
        let answer = answer(series, from, to, grid.step());
        own.time(|| unit.ingest(&answer));
        from = to + grid.step();
    }
    progress(&format!("{series} series: deriving and replaying"));
    let start = own.time(|| unit.restart(now));
    let mut at = start;
    while at < now {
        at += grid.step();
        own.time(|| unit.advance(at, Mode::Replay));
    }
    progress(&format!("{series} series: ticks"));
    let (mut ticks, mut refits) = (Timer::default(), Timer::default());
    let (mut samples, mut slowest) = (0, 0.0_f64);
    for _ in 0..TICKS {
        // As the live loop does while nothing is due.
        refits.time(|| while unit.refit() {});
        at += grid.step();
        let answer = answer(series, at - 3 * grid.step(), at, grid.step());
        let wall = ticks.wall;
        let outcome = ticks.time(|| {
            unit.ingest(&answer);
            let outcome = unit.advance(at, Mode::Publish);
            // As the first scrape will want it: text with legacy names, compressed.
            outcome
                .chunks
                .iter()
                .for_each(|chunk| chunk.warm(Escaping::Underscores, true));
            outcome
        });
        slowest = slowest.max(ticks.wall - wall);
        samples = outcome.chunks.iter().map(crate::expo::Chunk::len).sum();
    }
    Ok(Row {
        series,
        points: grid.steps(options.history.as_millis()),
        start_wall_seconds: own.wall,
        start_cpu_seconds: own.cpu,
        refit_cpu_seconds: refits.cpu / TICKS as f64,
        tick_cpu_seconds: ticks.cpu / TICKS as f64,
        tick_wall_seconds: ticks.wall / TICKS as f64,
        slowest_tick_seconds: slowest,
        state_bytes_per_series: unit.state_bytes() / series.max(1),
        resident_bytes_per_series: (resident_bytes().saturating_sub(before)) as usize
            / series.max(1),
        samples,
    })
}

fn settings(options: &BenchOptions, series: usize) -> Result<SignalSettings, String> {
    let mut text = String::new();
    let horizons: Vec<String> = options.horizons.iter().map(Span::to_string).collect();
    let (step, history) = (options.step, options.history);
    write!(
        text,
        "{{name: bench, query: bench, class: deep, step: {step}, history: {history}, \
         max_series: {series}, forecast: {{horizons: [{}]}}}}",
        horizons.join(", ")
    )
    .map_err(|error| error.to_string())?;
    serde_yaml::from_str(&text).map_err(|error| error.to_string())
}

/// The answer of a source: `series` distinct series with a daily season and noise.
fn answer(series: usize, from: Millis, to: Millis, step: Millis) -> Matrix {
    let series = (0..series).map(|index| SeriesSamples {
        labels: labels(index),
        samples: (from..=to)
            .step_by(step.unsigned_abs() as usize)
            .map(|at| (at, value(index, at)))
            .collect(),
    });
    Matrix {
        series: series.collect(),
        ..Matrix::default()
    }
}

fn labels(index: usize) -> Labels {
    let pairs = [
        ("namespace", format!("team-{}", index % 40)),
        ("deployment", format!("service-{}", index % 400)),
        ("pod", format!("service-{}-{index:05}", index % 400)),
    ];
    Labels::new(pairs).unwrap_or_default()
}

fn value(index: usize, at: Millis) -> f64 {
    let own = index as f64;
    let day = (at as f64 / 86_400_000.0 + own / 977.0) * std::f64::consts::TAU;
    let week = (at as f64 / 604_800_000.0) * std::f64::consts::TAU;
    let level = 50.0 + own % 91.0;
    level * (1.0 + 0.4 * day.sin() + 0.1 * week.sin() + 0.08 * noise(index as u64, at))
}

/// Noise between -1 and 1 that depends on nothing but its arguments (a splitmix64 step).
fn noise(seed: u64, at: Millis) -> f64 {
    let mut hash = (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (seed << 1);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (hash >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// Adds up wall and CPU time of pieces of work.
#[derive(Debug, Default)]
struct Timer {
    wall: f64,
    cpu: f64,
}

impl Timer {
    fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (wall, cpu) = (Instant::now(), cpu_seconds());
        let done = work();
        self.wall += wall.elapsed().as_secs_f64();
        self.cpu += cpu_seconds() - cpu;
        done
    }
}
