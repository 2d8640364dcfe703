//! Drift: how often it is seen where nothing was changed, and how soon where something was.
//!
//! Every series is walked as in live use, derived anew once a day from the days before. Then its level, its height or its time
//! of day is changed from some time on, at several times, and it is walked for a day more.

use super::{
    contender::{Contender, rebuild},
    data::Series,
};
use crate::series::{Grid, Millis};
use rayon::prelude::*;
use std::fmt;

const DAY: Millis = 86_400_000;
/// Days from which a series is derived: what a signal with the default history has.
const MEMORY_DAYS: usize = 17;
/// Days that are walked at least.
const LEAST_WALKED: usize = 4;
/// Times at which something is changed, at most.
const TIMES: usize = 4;
/// A series with fewer different values is a state, not a quantity.
const LEAST_VALUES: usize = 100;
/// Share of values that must be known.
const LEAST_KNOWN: f64 = 0.9;

/// What is changed, from some time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Level,
    Height,
    Phase,
}

/// The changes and what they are called.
const CHANGES: [(Change, &str); 3] = [
    (Change::Level, "level +50 %"),
    (Change::Height, "height x 2"),
    (Change::Phase, "6 h later"),
];

/// How often something was seen, of how many times it could have been: by inputs, by errors, by either.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Seen {
    /// How often, by inputs, errors, either.
    pub seen: [usize; 3],
    /// Of how many.
    pub of: usize,
}

/// One series.
#[derive(Debug, Clone)]
pub struct Drifts {
    /// Its name.
    pub name: String,
    /// Steps at which the score was above 1 though nothing was changed.
    pub ordinary: Seen,
    /// By change: times at which it was above 1 within a day.
    pub found: [Seen; 3],
}

/// All series.
#[derive(Debug)]
pub struct Report(Vec<Drifts>);

impl Seen {
    fn add(&mut self, other: &Self) {
        self.of += other.of;
        for (own, other) in self.seen.iter_mut().zip(other.seen) {
            *own += other;
        }
    }

    fn share(&self, part: usize) -> f64 {
        self.seen[part] as f64 / self.of as f64
    }
}

impl Report {
    /// Share of the steps of all series at which the score was above 1 though nothing was changed; the mean over the series.
    pub fn false_alarms(&self) -> f64 {
        self.0.iter().map(|one| one.ordinary.share(2)).sum::<f64>() / self.0.len() as f64
    }

    /// Share of changes that were found within a day, by kind: level, height, time of day.
    pub fn found(&self) -> [f64; 3] {
        let mut all = [Seen::default(); 3];
        for one in &self.0 {
            all.iter_mut()
                .zip(&one.found)
                .for_each(|(all, own)| all.add(own));
        }
        all.map(|seen| seen.share(2))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Drift score above 1, share of the time by inputs, errors, either; then changes found within a day\n"
        )?;
        write!(f, "{:<44} {:>20}", "SERIES", "nothing changed")?;
        for (_, name) in CHANGES {
            write!(f, " {name:>17}")?;
        }
        writeln!(f)?;
        for one in &self.0 {
            write!(f, "{:<44} ", one.name)?;
            for part in 0..3 {
                write!(f, " {:>6.3}", one.ordinary.share(part))?;
            }
            for found in &one.found {
                write!(f, "  ")?;
                for part in 0..3 {
                    write!(f, " {:>4.2}", found.share(part))?;
                }
            }
            writeln!(f)?;
        }
        let [level, height, phase] = self.found();
        let alarms = 100.0 * self.false_alarms();
        writeln!(
            f,
            "\n{} series: above 1 during {alarms:.2} % of the time; found level {level:.2}, height {height:.2}, time of day {phase:.2}",
            self.0.len()
        )
    }
}

/// Walks every series that is long, whole and varied enough.
///
/// # Errors
/// A member that cannot be built.
pub fn measure(
    contender: &Contender,
    series: &[Series],
    grid: Grid,
    horizons: &[usize],
) -> Result<Report, String> {
    let day = grid.steps(DAY);
    let usable: Vec<&Series> = series
        .iter()
        .filter(|one| is_usable(&one.values, day))
        .collect();
    let of_each = usable.into_par_iter().map(|series| {
        let walk = Walk {
            contender,
            series,
            grid,
            day,
            horizons,
        };
        walk.drifts()
    });
    of_each.collect::<Result<Vec<_>, _>>().map(Report)
}

fn is_usable(values: &[f32], day: usize) -> bool {
    let mut known: Vec<u32> = values
        .iter()
        .filter(|value| value.is_finite())
        .map(|value| value.to_bits())
        .collect();
    let count = known.len() as f64;
    known.sort_unstable();
    known.dedup();
    values.len() >= (MEMORY_DAYS + LEAST_WALKED) * day
        && count >= LEAST_KNOWN * values.len() as f64
        && known.len() >= LEAST_VALUES
}

struct Walk<'a> {
    contender: &'a Contender,
    series: &'a Series,
    grid: Grid,
    /// Steps of a day.
    day: usize,
    horizons: &'a [usize],
}

impl Walk<'_> {
    fn drifts(&self) -> Result<Drifts, String> {
        let (values, first) = (&self.series.values, MEMORY_DAYS * self.day);
        let mut ordinary = Seen::default();
        self.scores(values, first, values.len(), |scores| {
            ordinary.of += 1;
            count(&mut ordinary.seen, scores);
        })?;
        let mut found = [Seen::default(); 3];
        // Not always at the same time of day.
        let begin = first + self.day / 3;
        let last = values.len() - self.day;
        let between = (last - begin) / TIMES + self.day / 7;
        for at in (begin..last).step_by(between) {
            for (found, (change, _)) in found.iter_mut().zip(CHANGES) {
                found.add(&self.finds(change, at)?);
            }
        }
        Ok(Drifts {
            name: self.series.name.clone(),
            ordinary,
            found,
        })
    }

    /// Whether a change at `at` is found within a day.
    fn finds(&self, change: Change, at: usize) -> Result<Seen, String> {
        let values = self.changed(change, at);
        let from = at - (at - MEMORY_DAYS * self.day) % self.day;
        let (mut step, mut seen) = (from, [0; 3]);
        self.scores(&values, from, at + self.day, |scores| {
            if step >= at {
                count(&mut seen, scores);
            }
            step += 1;
        })?;
        Ok(Seen {
            seen: seen.map(|count| usize::from(count > 0)),
            of: 1,
        })
    }

    fn changed(&self, change: Change, at: usize) -> Vec<f32> {
        let values = &self.series.values;
        let before = values[at - MEMORY_DAYS * self.day..at]
            .iter()
            .filter(|value| value.is_finite());
        let mean = before.clone().sum::<f32>() / before.count() as f32;
        let value = |index: usize| match change {
            _ if index < at => values[index],
            Change::Level => 1.5 * values[index],
            Change::Height => mean + 2.0 * (values[index] - mean),
            Change::Phase => values[index - self.day / 4],
        };
        (0..values.len()).map(value).collect()
    }

    /// Walks from a derivation at `from` to `to`; tells the score of inputs and that of errors after each step.
    fn scores(
        &self,
        values: &[f32],
        from: usize,
        to: usize,
        mut told: impl FnMut([f32; 2]),
    ) -> Result<(), String> {
        let mut forecasts = self.contender.forecasts(self.grid, self.horizons)?;
        let at = |index: usize| self.series.start + index as i64 * self.grid.step();
        for index in from..to {
            if (index - from).is_multiple_of(self.day) {
                let past = &values[index - MEMORY_DAYS * self.day..index];
                rebuild(&mut forecasts, past, at(index - 1), self.grid);
            }
            forecasts.step(at(index), &[0], &[values[index]]);
            told(forecasts.drifts(0));
        }
        Ok(())
    }
}

fn count(seen: &mut [usize; 3], [inputs, errors]: [f32; 2]) {
    for (seen, score) in seen.iter_mut().zip([inputs, errors, inputs.max(errors)]) {
        *seen += usize::from(score > 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            contender::given,
            data::{self, STEP},
        },
        *,
    };
    use std::path::PathBuf;

    /// Series of services and of whole cells, some of them growing, with holidays and outages.
    const SERIES: [&str; 4] = ["google2019", "nasa_http", "server_res", "wc98_pre"];

    #[test]
    #[expect(
        clippy::print_stdout,
        clippy::print_stderr,
        reason = "the table of docs/forecasting.md, and a test that did not run must say so"
    )]
    fn ordinary_series_hardly_drift_and_what_changed_is_found() {
        let given_folder = std::env::var_os("FORETHOUGHT_DATA").map(PathBuf::from);
        let here = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
        let folder = given_folder.unwrap_or_else(here);
        let Ok(mut series) = data::series(&folder) else {
            eprintln!("SKIPPED: no data in {}", folder.display());
            return;
        };
        series.retain(|one| SERIES.iter().any(|name| one.name.starts_with(name)));
        let contender = given("[seasonal_mean: {}, seasonal_naive: {}, ets: {}]").unwrap();
        let grid = Grid::new(STEP).unwrap();
        let report = measure(&contender, &series, grid, &[3, 12, 288]).unwrap();
        println!("{report}");
        assert!(report.false_alarms() < 0.02, "{report}");
        let [level, height, phase] = report.found();
        assert!(level > 0.75 && height > 0.6 && phase > 0.1, "{report}");
    }
}
