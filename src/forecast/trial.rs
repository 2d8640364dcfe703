//! Coverage and interval score on the given traces, evaluated as the engine does it.

use super::{Forecasts, Interval, ModelFiles, Settings};
use crate::{
    series::{Grid, Millis, Past, Span, Zone},
    stats::season,
};
use rayon::prelude::*;
use std::{collections::BTreeMap, io::Read, path::PathBuf, process::Command};

const DAY: Millis = 86_400_000;
/// History of a signal by default; see `engine` for how epochs follow from it.
const HISTORY: Millis = 21 * DAY;
const NOMINAL: f64 = 0.9;
/// Origins per series that are judged, about.
const JUDGED: usize = 1_500;

struct Trace {
    name: &'static str,
    step: Millis,
    horizons: Vec<Span>,
    series: Vec<Values>,
}

struct Values {
    start: Millis,
    values: Vec<f32>,
}

/// Sums over judged origins of one series at one horizon.
#[derive(Default, Clone)]
struct Tally {
    origins: usize,
    covered: usize,
    score: f64,
    baseline_covered: usize,
    baseline_score: f64,
    error: f64,
    baseline_error: f64,
    models: BTreeMap<&'static str, usize>,
}

fn data() -> Option<PathBuf> {
    let given = std::env::var_os("FORETHOUGHT_DATA").map(PathBuf::from);
    let root =
        given.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    root.join("traces").is_dir().then(|| root.join("traces"))
}

fn text(path: &std::path::Path) -> Option<String> {
    if path.extension()? == "gz" {
        let file = std::fs::File::open(path).ok()?;
        let mut text = String::new();
        flate2::read::GzDecoder::new(file)
            .read_to_string(&mut text)
            .ok()?;
        return Some(text);
    }
    let output = Command::new("xz").arg("-dc").arg(path).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).ok())?
}

/// Columns of a file with one row per time; `key` names the column that tells series apart, if any.
fn read(path: &std::path::Path, step: Millis, columns: &[&str], key: Option<&str>) -> Vec<Values> {
    let text = text(path).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let place = |name: &str| header.iter().position(|column| column == name).unwrap();
    let (time, key) = (place("timestamp"), key.map(place));
    let mut rows: BTreeMap<(String, &str), Vec<(Millis, f32)>> = BTreeMap::new();
    for row in reader.records().map(Result::unwrap) {
        let at = row[time].parse::<Millis>().unwrap() * 1_000;
        for &column in columns {
            let Ok(value) = row[place(column)].parse::<f32>() else {
                continue;
            };
            let owner = key.map_or(String::new(), |key| row[key].to_owned());
            rows.entry((owner, column))
                .or_default()
                .push((at.div_euclid(step), value));
        }
    }
    rows.into_values()
        .map(|rows| {
            let (first, last) = (rows[0].0, rows[rows.len() - 1].0);
            let mut values = vec![f32::NAN; (last - first + 1) as usize];
            for (at, value) in rows {
                values[(at - first) as usize] = value;
            }
            Values {
                start: first * step,
                values,
            }
        })
        .collect()
}

fn traces(root: &std::path::Path) -> Vec<Trace> {
    let short = || vec![Span::minutes(15), Span::minutes(60)];
    let long = || vec![Span::minutes(15), Span::minutes(60), Span::days(1)];
    let trace = |name, file: &str, step, horizons, columns: &[&str], key| Trace {
        name,
        step,
        horizons,
        series: read(&root.join(file), step, columns, key),
    };
    let mut bitbrains = trace(
        "bitbrains",
        "bitbrains_rnd201308_5min.csv.xz",
        300_000,
        long(),
        &["cpu_pct", "net_rx"],
        Some("series"),
    );
    // Every fourth of 48: the machines are of two kinds, and time is short.
    let mut index = 0;
    bitbrains.series.retain(|_| {
        index += 1;
        index % 4 == 1
    });
    vec![
        trace(
            "nasa",
            "nasa_http_1min.csv.gz",
            60_000,
            long(),
            &["value"],
            None,
        ),
        trace(
            "wc98",
            "wc98_pre_1min.csv.gz",
            60_000,
            long(),
            &["value"],
            None,
        ),
        trace(
            "alibaba",
            "alibaba2018_cluster_30s.csv.gz",
            30_000,
            short(),
            &[
                "cpu_util_percent",
                "mem_util_percent",
                "net_in",
                "net_out",
                "disk_io_percent",
            ],
            None,
        ),
        trace(
            "google",
            "google2019_cell_5min.csv.gz",
            300_000,
            long(),
            &[
                "avg_cpu",
                "avg_mem",
                "avg_assigned_mem",
                "avg_cycles_per_instruction",
            ],
            None,
        ),
        // Its 58 minutes scaled as 15 minutes and an hour are to a day and more.
        trace(
            "azure",
            "azure_llm2023_conv_1s.csv.gz",
            1_000,
            vec![Span::seconds(15), Span::seconds(60)],
            &["requests", "context_tokens", "generated_tokens"],
            None,
        ),
        bitbrains,
    ]
}

/// Winkler's interval score.
fn score(actual: f32, lower: f32, upper: f32) -> f64 {
    let outside = (lower - actual).max(actual - upper).max(0.0);
    f64::from(upper - lower) + 2.0 / (1.0 - NOMINAL) * f64::from(outside)
}

/// Half width of split-conformal seasonal naive: the conformal quantile of absolute residuals of the past.
fn split_conformal(past: &[f32], lag: usize) -> f32 {
    let mut residuals: Vec<f32> = past[lag.min(past.len())..]
        .iter()
        .zip(past)
        .map(|(new, old)| (new - old).abs())
        .filter(|residual| residual.is_finite())
        .collect();
    if residuals.is_empty() {
        return f32::NAN;
    }
    residuals.sort_unstable_by(f32::total_cmp);
    let rank = ((residuals.len() + 1) as f64 * NOMINAL).ceil() as usize;
    residuals[rank.min(residuals.len()) - 1]
}

fn due(age: usize, refit: usize) -> bool {
    age >= 16
        && (age.is_multiple_of(refit) || (age.is_multiple_of(16) && (age / 16).is_power_of_two()))
}

/// Runs one series as the engine would and judges what was published.
fn judge(trace: &Trace, series: &Values) -> Vec<Tally> {
    let grid = Grid::new(trace.step).unwrap();
    let settings = Settings {
        horizons: Some(trace.horizons.clone()),
        interval: NOMINAL,
        ..Settings::default()
    };
    let mut forecasts = Forecasts::build(&settings, grid, &ModelFiles::new()).unwrap();
    forecasts.grow(1);
    let horizons = forecasts.horizons().to_vec();
    let mut tallies = vec![Tally::default(); horizons.len()];
    let mut published = vec![Interval::ABSENT; horizons.len()];
    let mut widths = vec![f32::NAN; horizons.len()];
    let (refit, day) = (grid.steps(HISTORY / 21), grid.steps(DAY));
    let memory = grid.steps(HISTORY) - 3 * refit;
    let values = &series.values;
    let warm = values.len() / 3;
    let stride = ((values.len() - warm) / JUDGED).max(1);
    for index in 0..values.len() {
        let at = series.start + index as i64 * trace.step;
        let daily = index >= 2 * day;
        let lag = |steps: usize| if daily { day.max(steps) } else { steps };
        if due(index + 1, refit) {
            let from = (index + 1).saturating_sub(memory);
            let past = &values[from..=index];
            let seasons = season::detect(past, grid);
            let zone = Zone::default();
            let past = Past {
                end: at,
                grid,
                values: past,
                seasons: &seasons,
                zone: &zone,
            };
            forecasts.rebuild(0, &past);
            for (width, &steps) in widths.iter_mut().zip(&horizons) {
                *width = split_conformal(past.values, lag(steps));
            }
        }
        forecasts.step(at, &[0], &[values[index]]);
        if index < warm || index % stride != 0 {
            continue;
        }
        forecasts.intervals(&[0], &mut published);
        for (h, &steps) in horizons.iter().enumerate() {
            let Some(&actual) = values.get(index + steps) else {
                continue;
            };
            let naive = values[index + steps - lag(steps)];
            let own = published[h];
            if !(actual.is_finite() && naive.is_finite() && own.expected.is_finite()) {
                continue;
            }
            let tally = &mut tallies[h];
            let (low, high) = (naive - widths[h], naive + widths[h]);
            tally.origins += 1;
            tally.covered += usize::from((own.lower..=own.upper).contains(&actual));
            tally.score += score(actual, own.lower, own.upper);
            tally.baseline_covered += usize::from((low..=high).contains(&actual));
            tally.baseline_score += score(actual, low, high);
            tally.error += f64::from((actual - own.expected).abs());
            tally.baseline_error += f64::from((actual - naive).abs());
            *tally
                .models
                .entry(forecasts.model(0, h).unwrap())
                .or_default() += 1;
        }
    }
    tallies
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "the table is what a person runs this test for"
)]
fn intervals_cover_what_they_promise_on_every_trace() {
    let Some(root) = data() else {
        println!("SKIPPED: no data; set FORETHOUGHT_DATA");
        return;
    };
    let traces = traces(&root);
    let work: Vec<(&Trace, &Values)> = traces
        .iter()
        .flat_map(|trace| trace.series.iter().map(move |series| (trace, series)))
        .collect();
    let judged: Vec<(&str, Vec<Tally>)> = work
        .par_iter()
        .map(|(trace, series)| (trace.name, judge(trace, series)))
        .collect();
    println!(
        "trace      horizon origins coverage baseline  score/baseline  error/baseline  models"
    );
    let mut failures = Vec::new();
    for trace in &traces {
        for (h, span) in trace.horizons.iter().enumerate() {
            let own = judged.iter().filter(|(name, _)| *name == trace.name);
            let summary = Summary::of(own.map(|(_, tallies)| &tallies[h]));
            println!("{:<10} {:>7} {summary}", trace.name, span.to_string());
            let Summary {
                origins,
                coverage,
                score,
                ..
            } = summary;
            if origins < 500 || !(0.88..=0.92).contains(&coverage) || score > 1.0 {
                failures.push(format!("{} {span}: {summary}", trace.name));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// All series of a trace at one horizon.
struct Summary {
    origins: usize,
    coverage: f64,
    baseline_coverage: f64,
    /// Interval score and absolute error relative to the baseline: the mean over the series, which
    /// differ in unit.
    score: f64,
    error: f64,
    models: BTreeMap<&'static str, usize>,
}

impl Summary {
    fn of<'a>(tallies: impl Iterator<Item = &'a Tally>) -> Self {
        let tallies: Vec<&Tally> = tallies.collect();
        let total =
            |part: fn(&Tally) -> usize| -> usize { tallies.iter().map(|tally| part(tally)).sum() };
        let mean = |ratio: fn(&Tally) -> f64| {
            tallies.iter().map(|tally| ratio(tally)).sum::<f64>() / tallies.len() as f64
        };
        let origins = total(|tally| tally.origins);
        let mut models = BTreeMap::new();
        for (&model, count) in tallies.iter().flat_map(|tally| &tally.models) {
            *models.entry(model).or_default() += count;
        }
        Self {
            origins,
            coverage: total(|tally| tally.covered) as f64 / origins as f64,
            baseline_coverage: total(|tally| tally.baseline_covered) as f64 / origins as f64,
            score: mean(|tally| tally.score / tally.baseline_score),
            error: mean(|tally| tally.error / tally.baseline_error),
            models,
        }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:>7} {:>8.3} {:>8.3} {:>15.3} {:>15.3}  {:?}",
            self.origins,
            self.coverage,
            self.baseline_coverage,
            self.score,
            self.error,
            self.models
        )
    }
}
