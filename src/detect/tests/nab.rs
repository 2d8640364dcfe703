//! The default detectors on real, labelled series (the public half of the Numenta benchmark), causally
//! and with one set of parameters.

use super::walk::Walk;
use crate::{
    baseline,
    detect::{self, AlertingSettings, Batch, Combine, SeverityThresholds, Verdict, Verdicts},
    series::{Grid, Millis, Span},
};
use flate2::read::GzDecoder;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

/// A labelled series on its grid; rows that were not in the file are gaps.
struct Labelled {
    name: String,
    grid: Grid,
    start: Millis,
    values: Vec<f32>,
    /// First and last index.
    windows: Vec<(usize, usize)>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    windows: usize,
    found: usize,
    false_points: usize,
    raw: f64,
}

impl Tally {
    /// NAB's standard profile: 0 for silence, 100 for perfection.
    fn standard(&self) -> f64 {
        100.0 * (self.raw + self.windows as f64) / (2.0 * self.windows as f64)
    }

    fn add(&mut self, other: Self) {
        self.windows += other.windows;
        self.found += other.found;
        self.false_points += other.false_points;
        self.raw += other.raw;
    }
}

fn data() -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "where test data is, is no configuration"
    )]
    let given = std::env::var("FORETHOUGHT_DATA").ok();
    let root = given.map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    root.join("nab/data").is_dir().then(|| root.join("nab"))
}

fn seconds(text: &str) -> i64 {
    let text = text.split('.').next().unwrap();
    let time: jiff::civil::DateTime = text.replace(' ', "T").parse().unwrap();
    time.to_zoned(jiff::tz::TimeZone::UTC)
        .unwrap()
        .timestamp()
        .as_second()
}

fn read(path: &Path, name: &str, windows: &[(String, String)]) -> Labelled {
    let lines = BufReader::new(GzDecoder::new(File::open(path).unwrap())).lines();
    let rows: Vec<(i64, f32)> = lines
        .skip(1)
        .map(|line| {
            let line = line.unwrap();
            let (time, value) = line.split_once(',').unwrap();
            (seconds(time), value.trim().parse().unwrap())
        })
        .collect();
    let mut steps: Vec<i64> = rows.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    steps.sort_unstable();
    let step = steps[steps.len() / 2];
    let index = |time: i64| usize::try_from((time - rows[0].0 + step / 2).max(0) / step).unwrap();
    let mut values = vec![f32::NAN; index(rows.last().unwrap().0) + 1];
    for &(time, value) in &rows {
        values[index(time)] = value;
    }
    Labelled {
        name: name.to_owned(),
        grid: Grid::new(step * 1_000).unwrap(),
        start: rows[0].0 / step * step * 1_000,
        windows: windows
            .iter()
            .map(|(from, to)| (index(seconds(from)), index(seconds(to))))
            .collect(),
        values,
    }
}

fn corpus(root: &Path) -> Vec<Labelled> {
    let text = fs::read_to_string(root.join("combined_windows.json")).unwrap();
    let labels: BTreeMap<String, Vec<(String, String)>> = serde_json::from_str(&text).unwrap();
    labels
        .iter()
        .map(|(name, windows)| read(&root.join(format!("data/{name}.gz")), name, windows))
        .collect()
}

/// NAB's rules: nothing counts in the probationary first part; the earliest detection in a window counts
/// by how early it is, each one outside against it by how far it is from the window before.
fn tally(series: &Labelled, found: impl Fn(usize) -> bool) -> Tally {
    let sigmoid = |y: f64| {
        if y > 3.0 {
            -1.0
        } else {
            2.0 / (1.0 + (5.0 * y).exp()) - 1.0
        }
    };
    let count = series.values.len();
    let probation = (count * 15 / 100).min(750);
    let mut total = Tally {
        windows: series.windows.len(),
        ..Tally::default()
    };
    for &(from, to) in &series.windows {
        let first = (from.max(probation)..=to.min(count - 1)).find(|&index| found(index));
        total.found += usize::from(first.is_some());
        total.raw += first.map_or(-1.0, |index| {
            let y = -((to - index + 1) as f64) / (to - from + 1) as f64;
            sigmoid(y) / sigmoid(-1.0)
        });
    }
    for index in probation..count {
        if found(index)
            && !series
                .windows
                .iter()
                .any(|&(from, to)| (from..=to).contains(&index))
        {
            total.false_points += 1;
            let before = series.windows.iter().rev().find(|window| window.1 < index);
            total.raw += 0.11
                * before.map_or(-1.0, |&(from, to)| {
                    sigmoid((index - to) as f64 / (to - from).max(1) as f64)
                });
        }
    }
    total
}

/// The times at which a verdict begins.
fn verdicts(series: &Labelled, scored: &super::walk::Scored, scores: &[f32]) -> Vec<bool> {
    let settings = AlertingSettings {
        hold: Span::minutes(2),
        recover_for: Span::millis(6 * series.grid.step()),
        refractory: Span::millis(100 * series.grid.step()),
        ..AlertingSettings::default()
    };
    let mut verdicts = Verdicts::new(
        &settings,
        &SeverityThresholds::default(),
        series.grid,
        1_440,
    );
    verdicts.grow(1);
    (0..scores.len())
        .map(|index| {
            let batch = Batch {
                at: series.start + index as i64 * series.grid.step(),
                slots: &[0],
                values: &series.values[index..=index],
                bands: &scored.bands[index..=index],
            };
            let mut out = [Verdict::default()];
            verdicts.step(&batch, &scores[index..=index], &mut out);
            out[0].began
        })
        .collect()
}

/// What one detector, or the combination, did over all series.
#[derive(Debug)]
struct Figures {
    tally: Tally,
    /// Points with a score of 1 and more.
    raw: usize,
}

/// The figures of each of `detectors` and, last, of the greatest of their scores; `None` without data.
/// `replays`: see [`Walk::without_replay`].
#[expect(
    clippy::print_stdout,
    reason = "the table is half of what these tests are for"
)]
fn judge(detectors: &[detect::Settings], replays: bool) -> Option<Vec<Figures>> {
    let Some(root) = data() else {
        println!("SKIPPED: no data; set FORETHOUGHT_DATA");
        return None;
    };
    let mut totals = vec![Tally::default(); detectors.len() + 1];
    let mut raw = vec![0_usize; detectors.len() + 1];
    let mut weeks = 0.0;
    for series in corpus(&root) {
        let mut walk = Walk::new(series.grid, &baseline::Settings::Auto, detectors);
        if !replays {
            walk = walk.without_replay();
        }
        let scored = walk.score(series.start, &series.values);
        let members: Vec<&[f32]> = scored.scores.iter().map(Vec::as_slice).collect();
        let mut combined = vec![0.0; series.values.len()];
        Combine::Max.apply(&members, &mut combined);
        weeks += series.values.len() as f64 * series.grid.step() as f64 / (7.0 * 86_400_000.0);
        let mut line = String::new();
        for (index, scores) in members.iter().copied().chain([&combined[..]]).enumerate() {
            let began = verdicts(&series, &scored, scores);
            let one = tally(&series, |at| began[at]);
            raw[index] += scores.iter().filter(|score| **score >= 1.0).count();
            line += &format!(" | {}/{} fp {:3}", one.found, one.windows, one.false_points);
            totals[index].add(one);
        }
        println!("{line} | {}", series.name);
    }
    let names = detectors
        .iter()
        .map(detect::Settings::kind)
        .chain(["combined"]);
    for ((name, total), raw) in names.zip(&totals).zip(&raw) {
        println!(
            "{name:10} found {}/{}, {} false alarms ({:.2} a series and week), standard {:.1}, points over 1: {raw}",
            total.found,
            total.windows,
            total.false_points,
            total.false_points as f64 / weeks,
            total.standard(),
        );
    }
    let figures = totals.into_iter().zip(raw);
    Some(figures.map(|(tally, raw)| Figures { tally, raw }).collect())
}

#[test]
fn default_detectors_find_labelled_anomalies_without_crying_wolf() {
    // Measured: 51 of 57 windows, 133 false alarms in 197 weeks, 70.5; with room for rounding.
    let Some(figures) = judge(&detect::defaults(), true) else {
        return;
    };
    let combined = figures[figures.len() - 1].tally;
    assert_eq!(combined.windows, 57);
    assert!(combined.found >= 49, "{combined:?}");
    assert!(combined.false_points <= 155, "{combined:?}");
    assert!(combined.standard() >= 67.0, "{}", combined.standard());
}

/// One detector by itself finds at least so many windows with at most so many false alarms.
fn alone(kind: &str, found: usize, false_points: usize) {
    let settings = serde_json::from_str(&format!("{{{kind:?}: {{}}}}")).unwrap();
    // Those that ask no baseline, and take long.
    let replays = !["isolation_forest", "matrix_profile"].contains(&kind);
    let Some(figures) = judge(&[settings], replays) else {
        return;
    };
    let tally = figures[0].tally;
    assert!(figures[0].raw > 0);
    assert!(tally.found >= found, "{tally:?}");
    assert!(tally.false_points <= false_points, "{tally:?}");
}

// Measured, of 57 windows in 197 weeks; with room for rounding.

#[test]
fn changepoint_by_itself() {
    alone("changepoint", 27, 70);
}

#[test]
fn forecast_residual_by_itself() {
    alone("forecast_residual", 34, 72);
}

#[test]
fn mad_by_itself() {
    alone("mad", 32, 112);
}

#[test]
fn quantile_by_itself() {
    alone("quantile", 28, 84);
}

#[test]
fn seasonal_by_itself() {
    alone("seasonal", 39, 94);
}

#[test]
fn isolation_forest_by_itself() {
    alone("isolation_forest", 21, 36);
}

#[test]
fn matrix_profile_by_itself() {
    alone("matrix_profile", 29, 42);
}
