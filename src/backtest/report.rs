//! What a backtest found, as a table and as JSON.

use super::score::HorizonScore;
use serde::Serialize;
use std::fmt;

/// What a backtest found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// One per signal.
    pub signals: Vec<SignalReport>,
}

/// What a backtest found in one signal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SignalReport {
    /// Name of the signal.
    pub signal: String,
    /// First grid time with a value, seconds since the epoch.
    pub from: f64,
    /// Last grid time with a value, seconds since the epoch.
    pub to: f64,
    /// Series seen.
    pub series: usize,
    /// Values judged.
    pub values: u64,
    /// Values with a score above 1.
    pub anomalous_values: u64,
    /// Verdicts begun.
    pub anomalies: u64,
    /// Verdicts begun per series and week of values.
    pub alarms_per_series_per_week: f64,
    /// When verdicts began, oldest first; at most a thousand.
    pub events: Vec<Event>,
    /// Per horizon.
    pub horizons: Vec<HorizonScore>,
    /// Nominal coverage of the intervals.
    pub nominal_coverage: f64,
}

/// The beginning of an anomaly.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Seconds since the epoch.
    pub at: f64,
    /// The series, as Prometheus writes it.
    pub series: String,
    /// The value then.
    pub value: f32,
    /// What was expected.
    pub expected: Option<f32>,
    /// The score then.
    pub score: f32,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, signal) in self.signals.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{signal}")?;
        }
        Ok(())
    }
}

impl fmt::Display for SignalReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = (self.to - self.from) / 86_400.0;
        writeln!(
            f,
            "{}: {} series over {days:.1} days",
            self.signal, self.series
        )?;
        writeln!(
            f,
            "  {} anomalies in {} values, {:.2} alarms per series per week",
            self.anomalies, self.values, self.alarms_per_series_per_week
        )?;
        if self.horizons.iter().all(|horizon| horizon.forecasts == 0) {
            return writeln!(
                f,
                "  no forecast was due: the span is shorter than the horizons, or too little history lies before it"
            );
        }
        writeln!(
            f,
            "  {:>8} {:>10} {:>8} {:>14} {:>10} {:>8} {:>9} {:>14}",
            "horizon",
            "forecasts",
            "error",
            "seasonal naive",
            "last value",
            "skill",
            "coverage",
            "interval score"
        )?;
        for row in &self.horizons {
            writeln!(
                f,
                "  {:>8} {:>10} {:>8} {:>14} {:>10} {:>8} {:>9} {:>14}",
                row.horizon,
                row.forecasts,
                percent(row.error_ratio),
                percent(row.seasonal_naive_error_ratio),
                percent(row.last_value_error_ratio),
                percent(row.skill_ratio),
                percent(row.coverage_ratio),
                row.interval_score
                    .map_or("-".into(), |score| format!("{score:.4}")),
            )?;
        }
        writeln!(
            f,
            "  error is absolute error over absolute value; intervals are meant to cover {:.0} %",
            self.nominal_coverage * 100.0
        )
    }
}

fn percent(ratio: Option<f64>) -> String {
    ratio.map_or("-".into(), |ratio| format!("{:.1} %", ratio * 100.0))
}
