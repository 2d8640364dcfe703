//! The figures as tables.

use super::{
    live::{ONE_SIDED, Walked},
    score::{INTERVALS, Tally, geometric},
    windows::{HORIZONS, Plan, Published, WINDOWS},
};
use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

/// All figures of one run.
#[derive(Debug)]
pub struct Report {
    /// Windows of all series together.
    pub windows: usize,
    /// Figures of other programs on the same windows.
    pub published: Published,
    /// One for each contender.
    pub rows: Vec<Row>,
    /// By contender, then series: the figures of each horizon in live use.
    pub live: Vec<(String, BTreeMap<String, Walked>)>,
    /// Hourly series of M4.
    pub hourly_series: usize,
    /// One for each contender.
    pub hourly: Vec<HourlyRow>,
}

/// One contender.
#[derive(Debug)]
pub struct Row {
    /// Kind of the member, or `default`.
    pub name: String,
    /// By series: the sums of each horizon.
    pub series: BTreeMap<String, [Tally; 3]>,
    /// CPU seconds of one cold fit of one series.
    pub fit_seconds: f64,
    /// CPU seconds of carrying one series on by one value and forecasting.
    pub step_seconds: f64,
}

/// One contender on the hourly series of M4.
#[derive(Debug)]
pub struct HourlyRow {
    /// Kind of the member, or `default`.
    pub name: String,
    /// Mean over the series.
    pub mase: f64,
    /// Share of values within each interval.
    pub coverage: [f64; 4],
    /// Values for which there was no forecast.
    pub missing: usize,
}

impl Row {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            series: BTreeMap::new(),
            fit_seconds: 0.0,
            step_seconds: 0.0,
        }
    }

    /// Geometric mean over the series of the weighted quantile loss.
    pub fn wql(&self, horizon: usize) -> f64 {
        geometric(self.series.values().map(|sums| sums[horizon].wql()))
    }

    fn all(&self, horizon: usize) -> Tally {
        let mut all = Tally::default();
        for sums in self.series.values() {
            all.add(&sums[horizon]);
        }
        all
    }

    /// Mean over the series.
    fn mean(&self, horizon: usize, figure: impl Fn(&Tally) -> f64) -> f64 {
        let sum: f64 = self
            .series
            .values()
            .map(|sums| figure(&sums[horizon]))
            .sum();
        sum / self.series.len() as f64
    }
}

impl Report {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            windows: plan.windows.len(),
            published: plan.published.clone(),
            rows: Vec::new(),
            live: Vec::new(),
            hourly_series: 0,
            hourly: Vec::new(),
        }
    }

    fn write_horizon(&self, f: &mut impl Write, place: usize) -> fmt::Result {
        let (label, _) = HORIZONS[place];
        writeln!(
            f,
            "\n{label:<16}    WQL   MASE   WAPE   MAPE  in 50%  in 80%  in 90%  in 95%  absent  ms/fit  us/step"
        )?;
        for row in &self.rows {
            let all = row.all(place);
            write!(f, "{:<16} {}", row.name, figure(row.wql(place), 6, 4))?;
            for mean in [Tally::mase, Tally::wape, Tally::mape] {
                write!(f, " {}", figure(row.mean(place, mean), 6, 3))?;
            }
            for covered in all.coverage() {
                write!(f, " {}", figure(covered, 7, 3))?;
            }
            writeln!(
                f,
                " {:>7} {:>7.2} {:>8.1}",
                all.missing,
                row.fit_seconds * 1e3,
                row.step_seconds * 1e6
            )?;
        }
        for ((horizon, model), losses) in &self.published {
            let complete = self
                .rows
                .first()
                .is_some_and(|row| row.series.keys().all(|name| losses.contains_key(name)));
            if horizon == label && complete {
                let wql = geometric(losses.values().copied());
                writeln!(f, "{:<16} {wql:>6.4}   (reference)", model)?;
            }
        }
        Ok(())
    }

    /// The weighted quantile loss of each series, beside the best of the naive forecasts of the reference.
    fn write_series(&self, f: &mut impl Write, place: usize) -> fmt::Result {
        let (label, _) = HORIZONS[place];
        let Some(first) = self.rows.first() else {
            return Ok(());
        };
        write!(f, "\n{label:<28}")?;
        for row in &self.rows {
            write!(f, " {:>14}", row.name)?;
        }
        let known = |model: &str| self.published.get(&(label.to_owned(), model.to_owned()));
        let naive: Vec<_> = ["naive", "snaive_day"]
            .into_iter()
            .filter_map(known)
            .collect();
        let beside = if naive.is_empty() { "" } else { "   naive" };
        writeln!(f, "{beside}  WAPE")?;
        for (name, sums) in &first.series {
            write!(f, "{name:<28}")?;
            for row in &self.rows {
                write!(f, " {}", figure(row.series[name][place].wql(), 14, 4))?;
            }
            let best = naive.iter().filter_map(|losses| losses.get(name));
            let best = best.copied().fold(f64::INFINITY, f64::min);
            if best.is_finite() {
                write!(f, " {best:>7.4}")?;
            }
            writeln!(f, " {:>5.3}", sums[place].wape())?;
        }
        Ok(())
    }
}

/// A dash where there is no figure.
fn figure(value: f64, width: usize, digits: usize) -> String {
    if value.is_nan() {
        return format!("{:>width$}", "-");
    }
    format!("{value:>width$.digits$}")
}

fn write_live(f: &mut impl Write, name: &str, series: &BTreeMap<String, Walked>) -> fmt::Result {
    writeln!(
        f,
        "\nLive, {name}{:<12}    origins  in 50%  in 80%  in 90%  in 95%  score/naive  error/naive  widest/range",
        ""
    )?;
    for (place, (label, _)) in HORIZONS.iter().enumerate() {
        for (name, walked) in series {
            let live = &walked.lives[place];
            write!(f, "{name:<26} {label} {:>7}", live.origins)?;
            for covered in live.coverage() {
                write!(f, " {}", figure(covered, 7, 3))?;
            }
            let (score, error) = (live.score_ratio(), live.error_ratio());
            writeln!(
                f,
                " {} {} {:>13.2}",
                figure(score, 12, 3),
                figure(error, 12, 3),
                live.widest
            )?;
        }
    }
    write!(f, "{:<38}", "mean")?;
    let all = || series.values().flat_map(|walked| &walked.lives);
    let all = || all().filter(|live| live.origins > 0);
    for place in 0..INTERVALS.len() {
        let sum: f64 = all().map(|live| live.coverage()[place]).sum();
        write!(f, " {}", figure(sum / all().count() as f64, 7, 3))?;
    }
    writeln!(f)?;
    write_maxima(f, name, series)
}

/// Shares of greatest values at or below their quantiles.
fn write_maxima(f: &mut impl Write, name: &str, series: &BTreeMap<String, Walked>) -> fmt::Result {
    write!(f, "\nGreatest value within, {name:<14} origins")?;
    for level in ONE_SIDED {
        write!(f, "  to {:>2.0}%", level * 100.0)?;
    }
    writeln!(f)?;
    let mut sums = [0.0; ONE_SIDED.len()];
    let mut count = 0.0;
    for (place, (label, _)) in WINDOWS.iter().enumerate() {
        for (name, walked) in series {
            let own = &walked.maxima[place];
            write!(f, "{name:<26} {label} {:>7}", own.origins)?;
            for (sum, share) in sums.iter_mut().zip(own.shares()) {
                write!(f, " {}", figure(share, 7, 3))?;
                *sum += share;
            }
            count += 1.0;
            writeln!(f)?;
        }
    }
    write!(f, "{:<38}", "mean")?;
    for sum in sums {
        write!(f, " {}", figure(sum / count, 7, 3))?;
    }
    writeln!(f)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} windows; each is forecast from its own history alone",
            self.windows
        )?;
        for place in 0..HORIZONS.len() {
            self.write_horizon(f, place)?;
        }
        writeln!(f, "\nWeighted quantile loss by series")?;
        for place in 0..HORIZONS.len() {
            self.write_series(f, place)?;
        }
        for (name, series) in &self.live {
            write_live(f, name, series)?;
        }
        if !self.hourly.is_empty() {
            writeln!(
                f,
                "\nM4 hourly, {} series, 48 hours ahead",
                self.hourly_series
            )?;
            write!(f, "{:<16}   MASE", "")?;
            for (nominal, ..) in INTERVALS {
                write!(f, "  in {:.0}%", nominal * 100.0)?;
            }
            writeln!(f, "  absent")?;
            for row in &self.hourly {
                write!(f, "{:<16} {}", row.name, figure(row.mase, 6, 3))?;
                for covered in row.coverage {
                    write!(f, " {}", figure(covered, 7, 3))?;
                }
                writeln!(f, " {:>7}", row.missing)?;
            }
        }
        Ok(())
    }
}
