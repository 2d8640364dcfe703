//! Coverage and interval score on the given traces, evaluated as the engine does it, and losses beside the
//! reference.

use super::{
    ForecastOptions,
    contender::contenders,
    live::{Live, Maxima, ONE_SIDED, Walked, walk},
    run,
    score::INTERVALS,
    windows::HORIZONS,
};
use crate::series::{Grid, Millis, Span};
use rayon::prelude::*;
use std::{collections::BTreeMap, io::Read, path::PathBuf, process::Command};

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
    let default = contenders(&["default".to_owned()]).unwrap().remove(0);
    let judge = |trace: &Trace, series: &Values| {
        let grid = Grid::new(trace.step).unwrap();
        let steps = |span: &Span| grid.steps(span.as_millis());
        let horizons: Vec<usize> = trace.horizons.iter().map(steps).collect();
        let windows = &horizons[..horizons.len().min(2)];
        walk(
            &default,
            &series.values,
            series.start,
            grid,
            &horizons,
            windows,
        )
        .unwrap()
    };
    let judged: Vec<(&str, Walked)> = work
        .par_iter()
        .map(|(trace, series)| (trace.name, judge(trace, series)))
        .collect();
    println!(
        "trace      horizon origins  in 50%  in 80%  in 90%  in 95%  score/baseline  error/baseline  widest/range  models"
    );
    let (mut failures, mut all) = (Vec::new(), Vec::new());
    for trace in &traces {
        let mut whole = Vec::new();
        for (h, span) in trace.horizons.iter().enumerate() {
            let own = judged.iter().filter(|(name, _)| *name == trace.name);
            let lives: Vec<&Live> = own.map(|(_, walked)| &walked.lives[h]).collect();
            let summary = Summary::of(&lives);
            let line = format!("{:<10} {:>7} {summary}", trace.name, span.to_string());
            println!("{line}");
            if !summary.holds() {
                failures.push(line);
            }
            whole.push(summary.sum.coverage());
        }
        failures.extend(off(trace.name, &whole, 0.05));
        all.extend(whole);
    }
    failures.extend(off("all", &all, 0.02));
    failures.extend(off_maxima(&judged));
    assert!(failures.is_empty(), "{failures:#?}");
}

/// The quantiles of greatest values within windows that hold too many or too few of them, over all traces.
#[expect(clippy::print_stdout, reason = "part of the table")]
fn off_maxima(judged: &[(&str, Walked)]) -> Vec<String> {
    let all = judged.iter().flat_map(|(_, walked)| &walked.maxima);
    let all: Vec<[f64; 4]> = all.map(Maxima::shares).collect();
    let mean = |place: usize| all.iter().map(|own| own[place]).sum::<f64>() / all.len() as f64;
    let means: Vec<(f32, f64)> = (0..ONE_SIDED.len())
        .map(|place| (ONE_SIDED[place], mean(place)))
        .collect();
    println!(
        "greatest within windows, mean of {}: {means:.3?}",
        all.len()
    );
    means
        .into_iter()
        .filter(|(level, mean)| (mean - f64::from(*level)).abs() > 0.02)
        .map(|(level, mean)| format!("greatest values: {mean:.3} to {level}"))
        .collect()
}

/// The intervals whose mean coverage is further than `most` from what they promise.
#[expect(clippy::print_stdout, reason = "part of the table")]
fn off(name: &str, coverages: &[[f64; 4]], most: f64) -> Vec<String> {
    let mean = |place: usize| {
        let sum: f64 = coverages.iter().map(|coverage| coverage[place]).sum();
        sum / coverages.len() as f64
    };
    let means: Vec<(f64, f64)> = (0..INTERVALS.len())
        .map(|place| (INTERVALS[place].0, mean(place)))
        .collect();
    println!("{name:<10}    mean         {means:.3?}");
    means
        .into_iter()
        .filter(|(nominal, mean)| (mean - nominal).abs() > most)
        .map(|(nominal, mean)| format!("{name}: {mean:.3} inside {nominal}"))
        .collect()
}

/// All series of a trace at one horizon.
struct Summary {
    sum: Live,
    /// Interval score and absolute error relative to the baseline: the mean over the series, which
    /// differ in unit.
    score: f64,
    error: f64,
}

impl Summary {
    fn of(lives: &[&Live]) -> Self {
        let mut sum = Live::default();
        lives.iter().for_each(|live| sum.add(live));
        let mean = |ratio: fn(&Live) -> f64| {
            lives.iter().map(|live| ratio(live)).sum::<f64>() / lives.len() as f64
        };
        Self {
            sum,
            score: mean(Live::score_ratio),
            error: mean(Live::error_ratio),
        }
    }

    /// What is promised of every trace at every horizon.
    fn holds(&self) -> bool {
        self.sum.origins >= 500 && self.score <= 1.0 && self.sum.widest <= 3.0
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>7}", self.sum.origins)?;
        for covered in self.sum.coverage() {
            write!(f, " {covered:>7.3}")?;
        }
        write!(
            f,
            " {:>15.3} {:>15.3} {:>13.2}  {:?}",
            self.score, self.error, self.sum.widest, self.sum.models
        )
    }
}

/// The weighted quantile losses that the default must stay below, by horizon: a tenth less than the best
/// single model of the reference has there.
const MOST: [f64; 3] = [0.0455, 0.0630, 0.160];
/// MASE on the hourly series of M4 that it must stay below; seasonal naive has 1.233.
const MOST_HOURLY: f64 = 0.95;

#[test]
#[expect(
    clippy::print_stdout,
    reason = "the table is what a person runs this test for"
)]
fn the_default_is_better_than_every_model_of_the_reference() {
    let Some(root) = data().and_then(|traces| traces.parent().map(PathBuf::from)) else {
        println!("SKIPPED: no data; set FORETHOUGHT_DATA");
        return;
    };
    let options = ForecastOptions {
        data: root,
        only: vec!["default".to_owned()],
        ..ForecastOptions::default()
    };
    let report = run(&options, &|_| {}).unwrap();
    println!("{report}");
    let row = &report.rows[0];
    for (place, most) in MOST.into_iter().enumerate() {
        assert!(row.wql(place) < most, "{place}: {}", row.wql(place));
        let label = HORIZONS[place].0;
        for (name, sums) in &row.series {
            let naive = ["naive", "snaive_day"]
                .map(|model| report.published[&(label.to_owned(), model.to_owned())][name]);
            let least = naive[0].min(naive[1]);
            let own = sums[place].wql();
            assert!(own <= 1.02 * least, "{name} {label}: {own} {least}");
        }
    }
    assert!(report.hourly[0].mase < MOST_HOURLY);
}
