//! The very pipeline over the past: tables, JSON and pictures.
//!
//! Each signal's unit is started as if it were then, and stepped through the span with nothing but
//! what was known at each time: what is measured here is what runs.

mod input;
mod plot;
mod report;
mod score;

pub use input::Input;
pub(crate) use input::only;
pub use plot::{Theme, plot};
pub use report::{Event, Report, SignalReport};
pub use score::HorizonScore;

use crate::{
    engine::{Mode, Outcome, SignalSettings, SignalUnit, UnitOptions, settings::Calendars},
    forecast::ModelFiles,
    series::{Grid, Labels, Millis},
};
use score::Scorer;
use std::collections::{BTreeMap, BTreeSet};

/// Samples are fetched in pieces of this length.
const CHUNK: Millis = 86_400_000;
/// Events kept in a report.
const EVENTS: usize = 1_000;
/// Points kept per series for a picture.
const PLOT_POINTS: usize = 20_000;
/// Series kept for a picture; the one that shows most is drawn.
const PLOT_SERIES: usize = 50;

/// What to look back on.
#[derive(Debug)]
pub struct BacktestOptions {
    /// The signals.
    pub signals: Vec<SignalSettings>,
    /// First time judged; a third into the data where left out and the input knows its span.
    pub from: Option<Millis>,
    /// Last time judged; the newest in the data where left out and the input knows its span.
    pub to: Option<Millis>,
    /// Contents of the model files the signals name.
    pub models: ModelFiles,
    /// The calendars the signals name.
    pub calendars: Calendars,
    /// Whether points are kept for a picture.
    pub keep_points: bool,
}

/// A report and, where asked for, the points to draw.
#[derive(Debug)]
pub struct Backtest {
    /// The figures.
    pub report: Report,
    /// One per signal; empty unless asked for.
    pub pictures: Vec<Picture>,
}

/// The points of one signal.
#[derive(Debug, Default)]
pub struct Picture {
    /// Name of the signal.
    pub signal: String,
    /// The horizon drawn; `0s` where nothing is forecast.
    pub horizon: String,
    /// Per series, oldest first.
    pub series: BTreeMap<Labels, Vec<Point>>,
}

/// One grid time of one series: the value, and what had been forecast for that time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Grid time.
    pub at: Millis,
    /// The value.
    pub value: f32,
    /// What had been forecast one horizon before; `NaN` where nothing was.
    pub expected: f32,
    /// Its lower bound.
    pub lower: f32,
    /// Its upper bound.
    pub upper: f32,
    /// Whether the verdict was on.
    pub active: bool,
}

/// Runs every signal over the span. `progress` is told the signal and the share done, 0 to 1.
///
/// # Errors
/// A span that is empty or not known, settings that cannot be, a source that does not answer.
pub async fn run(
    options: &BacktestOptions,
    input: &Input,
    progress: &(dyn Fn(&str, f64) + Sync),
) -> Result<Backtest, String> {
    let mut done = Backtest {
        report: Report::default(),
        pictures: Vec::new(),
    };
    for settings in &options.signals {
        let name = settings.name.clone();
        let study = Study::new(settings, options, input).map_err(|why| format!("{name}: {why}"))?;
        let (report, picture) = study
            .run(input, progress)
            .await
            .map_err(|why| format!("{name}: {why}"))?;
        done.report.signals.push(report);
        done.pictures.extend(picture);
    }
    Ok(done)
}

/// One signal under way.
struct Study<'a> {
    settings: &'a SignalSettings,
    unit: SignalUnit,
    grid: Grid,
    from: Millis,
    to: Millis,
    scorer: Scorer,
    report: SignalReport,
    seen: BTreeSet<Labels>,
    picture: Option<Drawing>,
}

impl<'a> Study<'a> {
    fn new(
        settings: &'a SignalSettings,
        options: &BacktestOptions,
        input: &Input,
    ) -> Result<Self, String> {
        let unit_options = UnitOptions {
            calendars: options.calendars.clone(),
            ..UnitOptions::default()
        };
        // Looking back, all series are looked at.
        let whole = SignalSettings {
            shown_only: false,
            ..settings.clone()
        };
        let unit = SignalUnit::new(&whole, &unit_options, &options.models)?;
        let grid = unit.grid();
        let (from, to) = span(options, input, settings, grid)?;
        let horizons: Vec<crate::engine::Horizon> = settings
            .forecast()
            .horizons()
            .iter()
            .map(|&span| crate::engine::Horizon {
                span,
                steps: grid.steps(span.as_millis()),
            })
            .collect();
        let interval = settings.forecast.interval;
        let season = grid.steps(86_400_000).max(1);
        let horizon = horizons
            .first()
            .map_or("0s".into(), |horizon| horizon.span.to_string());
        let steps = horizons.first().map_or(0, |horizon| horizon.steps);
        Ok(Self {
            settings,
            grid,
            from,
            to,
            scorer: Scorer::new(grid, horizons.into(), season, interval),
            report: SignalReport {
                signal: settings.name.clone(),
                from: from as f64 / 1_000.0,
                to: to as f64 / 1_000.0,
                series: 0,
                values: 0,
                anomalous_values: 0,
                anomalies: 0,
                alarms_per_series_per_week: 0.0,
                events: Vec::new(),
                horizons: Vec::new(),
                nominal_coverage: interval,
            },
            seen: BTreeSet::new(),
            picture: options
                .keep_points
                .then(|| Drawing::new(settings.name.clone(), horizon, steps as i64 * grid.step())),
            unit,
        })
    }

    async fn run(
        mut self,
        input: &Input,
        progress: &(dyn Fn(&str, f64) + Sync),
    ) -> Result<(SignalReport, Option<Picture>), String> {
        let begin = self.unit.history_start(self.from);
        let whole = (self.to - begin).max(1) as f64;
        let step = self.grid.step();
        let mut at = begin;
        // The history before the span.
        while at <= self.from {
            let to = (at + CHUNK - step).min(self.from);
            self.unit.ingest(&input.fetch(self.settings, at, to).await?);
            at = to + step;
            progress(&self.settings.name, (at - begin) as f64 / whole);
        }
        let mut evaluated = self.unit.restart(self.from);
        while evaluated < self.from {
            evaluated += step;
            let outcome = self.unit.advance(evaluated, Mode::Replay);
            self.scorer.observe(&outcome);
        }
        // The span itself, one piece at a time.
        while evaluated < self.to {
            let to = (evaluated + CHUNK).min(self.to);
            let piece = input.fetch(self.settings, evaluated + step, to).await?;
            while evaluated < to {
                evaluated += step;
                // What is ingested lies at or before the time evaluated: nothing sees the future.
                self.unit.ingest(&input::only(&piece, evaluated));
                let outcome = self.unit.advance(evaluated, Mode::Study);
                self.observe(&outcome);
            }
            progress(&self.settings.name, (evaluated - begin) as f64 / whole);
        }
        if self.report.values == 0 {
            let (from, to) = (time(self.from), time(self.to));
            return Err(format!("there is no sample between {from} and {to}"));
        }
        Ok(self.finish())
    }

    fn observe(&mut self, outcome: &Outcome) {
        self.scorer.observe(outcome);
        let before = self.report.anomalies;
        self.report.anomalies += outcome.counts.begun.iter().sum::<u64>();
        if !outcome.series.is_empty() {
            let at = outcome.at as f64 / 1_000.0;
            if self.report.values == 0 {
                self.report.from = at;
            }
            self.report.to = at;
        }
        for series in &outcome.series {
            self.report.values += 1;
            self.report.anomalous_values += u64::from(series.score > 1.0);
            if !self.seen.contains(&series.labels) {
                self.seen.insert(series.labels.clone());
            }
        }
        if self.report.anomalies > before {
            self.note_events(outcome);
        }
        if let Some(picture) = &mut self.picture {
            picture.observe(outcome);
        }
    }

    fn note_events(&mut self, outcome: &Outcome) {
        for series in outcome.series.iter().filter(|series| series.began) {
            if self.report.events.len() < EVENTS {
                self.report.events.push(Event {
                    at: outcome.at as f64 / 1_000.0,
                    series: series.labels.to_string(),
                    value: series.value,
                    expected: series.band.is_known().then_some(series.band.expected),
                    score: series.score,
                });
            }
        }
    }

    fn finish(mut self) -> (SignalReport, Option<Picture>) {
        let weeks = self.report.values as f64 * self.grid.step() as f64 / 604_800_000.0;
        self.report.series = self.seen.len();
        self.report.horizons = self.scorer.scores();
        if weeks > 0.0 {
            self.report.alarms_per_series_per_week = self.report.anomalies as f64 / weeks;
        }
        (self.report, self.picture.map(|drawing| drawing.picture))
    }
}

fn span(
    options: &BacktestOptions,
    input: &Input,
    settings: &SignalSettings,
    grid: Grid,
) -> Result<(Millis, Millis), String> {
    let known = input.span(settings);
    let third = known.map(|(oldest, newest)| oldest + (newest - oldest) / 3);
    let from = options
        .from
        .or(third)
        .ok_or("--from is needed: the source does not say how far back it reaches")?;
    let to = options
        .to
        .or(known.map(|(_, newest)| newest))
        .ok_or("--to is needed")?;
    let (from, to) = (grid.floor(from), grid.floor(to));
    if from < to {
        return Ok((from, to));
    }
    let holds = known.map(|(oldest, newest)| {
        let (oldest, newest) = (time(oldest), time(newest));
        format!("; the samples are from {oldest} to {newest}")
    });
    let (from, to) = (time(from), time(to));
    Err(format!(
        "nothing lies between --from {from} and --to {to}{}",
        holds.unwrap_or_default()
    ))
}

/// A time as people write it.
fn time(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |time| time.to_string())
}

/// Collects the points to draw: each value beside what had been forecast for its time.
struct Drawing {
    picture: Picture,
    ahead: Millis,
    open: BTreeMap<(Labels, Millis), crate::forecast::Interval>,
}

impl Drawing {
    fn new(signal: String, horizon: String, ahead: Millis) -> Self {
        let picture = Picture {
            signal,
            horizon,
            series: BTreeMap::new(),
        };
        Self {
            picture,
            ahead,
            open: BTreeMap::new(),
        }
    }

    fn observe(&mut self, outcome: &Outcome) {
        let horizons = outcome.horizons.len();
        for (index, series) in outcome.series.iter().enumerate() {
            let known = self.picture.series.contains_key(&series.labels);
            if !known && self.picture.series.len() >= PLOT_SERIES {
                continue;
            }
            let forecast = self.open.remove(&(series.labels.clone(), outcome.at));
            let interval = forecast.unwrap_or(crate::forecast::Interval {
                expected: if horizons == 0 {
                    series.band.expected
                } else {
                    f32::NAN
                },
                lower: if horizons == 0 {
                    series.band.lower
                } else {
                    f32::NAN
                },
                upper: if horizons == 0 {
                    series.band.upper
                } else {
                    f32::NAN
                },
            });
            let points = self
                .picture
                .series
                .entry(series.labels.clone())
                .or_default();
            if points.len() < PLOT_POINTS {
                points.push(Point {
                    at: outcome.at,
                    value: series.value,
                    expected: interval.expected,
                    lower: interval.lower,
                    upper: interval.upper,
                    active: series.active,
                });
            }
            if let Some(&next) = outcome
                .forecasts
                .get(index * horizons)
                .filter(|_| horizons > 0)
            {
                self.open
                    .insert((series.labels.clone(), outcome.at + self.ahead), next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Matrix, SeriesSamples};

    const STEP: Millis = 300_000;
    const DAY: i64 = 288;

    fn daily(index: i64) -> f64 {
        let phase = (index % DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
        let wobble = ((index * 7_919) % 101) as f64 / 101.0 - 0.5;
        100.0 + 40.0 * phase.sin() + 4.0 * wobble
    }

    fn samples(days: i64) -> Matrix {
        let value = |index: i64| match index - (days - 2) * DAY {
            0..12 => daily(index) + 200.0,
            _ => daily(index),
        };
        let samples = (0..days * DAY)
            .map(|index| (index * STEP, value(index)))
            .collect();
        let series = SeriesSamples {
            labels: Labels::default(),
            samples,
        };
        Matrix {
            series: vec![series],
            ..Matrix::default()
        }
    }

    fn options() -> BacktestOptions {
        let text = "{name: load, query: up, step: 5m, history: 10d, forecast: {horizons: [1h]}}";
        BacktestOptions {
            signals: vec![serde_yaml::from_str(text).unwrap()],
            from: Some(12 * DAY * STEP),
            to: None,
            models: ModelFiles::new(),
            calendars: Calendars::new(),
            keep_points: true,
        }
    }

    #[tokio::test]
    async fn a_daily_season_is_forecast_and_the_incident_found() {
        let input = Input::Samples([("load".into(), samples(20))].into());
        let done = run(&options(), &input, &|_, _| ()).await.unwrap();
        let report = &done.report.signals[0];
        assert_eq!(report.series, 1);
        assert_eq!(report.values, 8 * DAY as u64 - 1);
        assert!((1..=3).contains(&report.anomalies), "{report}");
        let hour = &report.horizons[0];
        assert!(hour.error_ratio < hour.last_value_error_ratio, "{report}");
        assert!(
            hour.coverage_ratio
                .is_some_and(|share| (0.8..=0.99).contains(&share)),
            "{report}"
        );
        assert_eq!(done.pictures[0].series.len(), 1);
    }

    #[tokio::test]
    async fn an_incident_in_an_excluded_span_is_no_anomaly() {
        let input = Input::Samples([("load".into(), samples(20))].into());
        let mut options = options();
        // The incident begins with day 18 and takes an hour.
        let exclude = "[{from: 1970-01-19, to: 1970-01-19T01:00:00Z}]";
        options.signals[0].exclude = serde_yaml::from_str(exclude).unwrap();
        let done = run(&options, &input, &|_, _| ()).await.unwrap();
        let report = &done.report.signals[0];
        let incident = (18 * DAY * STEP) as f64 / 1_000.0;
        let near = |event: &&Event| (event.at - incident).abs() < 7_200.0;
        assert_eq!(report.events.iter().filter(near).count(), 0, "{report}");
        assert_eq!(report.values, 8 * DAY as u64 - 1);
    }

    #[tokio::test]
    async fn an_empty_span_is_refused() {
        let input = Input::Samples([("load".into(), samples(20))].into());
        let nothing = BacktestOptions {
            to: Some(DAY * STEP),
            ..options()
        };
        let why = run(&nothing, &input, &|_, _| ()).await.unwrap_err();
        assert!(why.contains("--from"), "{why}");
        let elsewhere = BacktestOptions {
            from: Some(100 * DAY * STEP),
            to: Some(101 * DAY * STEP),
            ..options()
        };
        let why = run(&elsewhere, &input, &|_, _| ()).await.unwrap_err();
        assert!(why.contains("no sample between 1970-04-11"), "{why}");
    }
}
