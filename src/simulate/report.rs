//! Tables of what came of traces.

use super::{Beside, Comparison, Frontier, Outcome, Parameters, Score};
use std::fmt::{self, Display, Formatter};

/// What came of all traces.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
pub struct Report {
    /// In the order they were given.
    pub traces: Vec<Outcome>,
    /// Traces that could not be used, and why.
    pub left_out: Vec<String>,
}

impl Report {
    /// One line per trace, policy and knob.
    pub fn csv(&self) -> String {
        let mut text = "trace,kind,policy,setting,violation_ratio,violation_minutes,minutes,replica_hours,cost,queue_peak,queue_max,\
             actions_per_hour,reversals,window_coverage,peaks,prewarmed\n"
            .to_owned();
        for outcome in &self.traces {
            let rows = outcome
                .rows
                .iter()
                .map(|row| (row.name.clone(), row.setting.clone(), row.score));
            let swept = outcome.frontiers.iter().flat_map(|frontier| {
                let points = frontier.points.iter();
                points.map(|point| {
                    (
                        format!("{} frontier", frontier.name),
                        point.knob.to_string(),
                        point.score,
                    )
                })
            });
            let lines = rows.chain(swept).map(|(name, setting, score)| {
                let Score {
                    violation_ratio,
                    violations,
                    minutes,
                    replica_hours,
                    cost,
                    ..
                } = score;
                format!(
                    "{},{},{name},\"{setting}\",{violation_ratio},{violations},{minutes},{replica_hours},{cost},{},{},{},{},{},{},{}\n",
                    outcome.trace,
                    outcome.kind.as_str(),
                    score.queue_peak,
                    score.queue_max,
                    score.actions_per_hour,
                    score.reversals,
                    score.window_coverage,
                    score.peaks,
                    score.prewarmed
                )
            });
            text.extend(lines);
        }
        text
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for outcome in &self.traces {
            table(outcome, f)?;
        }
        let of = |own: fn(&Outcome) -> Option<&Comparison>| {
            let traces = self.traces.iter();
            traces.filter_map(move |outcome| Some((outcome, own(outcome)?)))
        };
        summary("Ours", of(|outcome| outcome.comparison.as_ref()), f)?;
        summary("Ours alone", of(|outcome| outcome.alone.as_ref()), f)?;
        for problem in &self.left_out {
            writeln!(f, "left out: {problem}")?;
        }
        Ok(())
    }
}

fn table(outcome: &Outcome, f: &mut Formatter<'_>) -> fmt::Result {
    writeln!(
        f,
        "{} ({}), {:.1} days scored, one replica serves {:.4}, dispersion {}, forecast {:.0} %",
        outcome.trace,
        outcome.kind.as_str(),
        outcome.days,
        outcome.capacity,
        outcome
            .size
            .map_or("0".to_owned(), |size| format!("1/{size:.1}")),
        100.0 * outcome.forecast_ratio
    )?;
    writeln!(
        f,
        "{:15} {:22} {:>7} {:>8} {:>9} {:>8} {:>7} {:>7} {:>6} {:>5} {:>6} {:>7}",
        "",
        "",
        "viol. %",
        "minutes",
        "repl. h",
        "cost",
        "queue",
        "max",
        "act./h",
        "rev.",
        "window",
        "peaks"
    )?;
    for row in &outcome.rows {
        line(&row.name, &row.setting, &row.score, f)?;
    }
    for frontier in outcome
        .frontiers
        .iter()
        .filter(|one| ["HPA", "ours", "ours alone"].contains(&one.name.as_str()))
    {
        pairs(frontier, f)?;
    }
    for note in &outcome.notes {
        writeln!(f, "note: {note}")?;
    }
    writeln!(f)
}

/// The points that no other beats in both: share of violations and replica-hours.
fn pairs(frontier: &Frontier, f: &mut Formatter<'_>) -> fmt::Result {
    let best = frontier.best();
    // So many fit into a line; the ends are always there.
    let stride = best.len().div_ceil(10).max(1);
    let told = best.iter().rev().step_by(stride).rev();
    let told: Vec<String> = told
        .map(|(hours, ratio)| format!("{:.3}% {hours:.0}", 100.0 * ratio))
        .collect();
    writeln!(f, "frontier of {}: {}", frontier.name, told.join(", "))
}

fn line(name: &str, setting: &str, score: &Score, f: &mut Formatter<'_>) -> fmt::Result {
    writeln!(
        f,
        "{name:15} {setting:22} {:7.3} {:8} {:9.1} {:8.1} {:7.2} {:7.1} {:6.2} {:5} {:6.3} {:>3}/{:<3}",
        100.0 * score.violation_ratio,
        score.violations,
        score.replica_hours,
        score.cost,
        score.queue_peak,
        score.queue_max,
        score.actions_per_hour,
        score.reversals,
        score.window_coverage,
        score.prewarmed,
        score.peaks
    )
}

/// A line per trace, of those that have a comparison.
fn summary<'a>(
    whose: &str,
    compared: impl Iterator<Item = (&'a Outcome, &'a Comparison)>,
    f: &mut Formatter<'_>,
) -> fmt::Result {
    let mut compared = compared.peekable();
    if compared.peek().is_none() {
        return Ok(());
    }
    writeln!(
        f,
        "{whose} by the HPA, on the frontiers (violations at equal replica-hours, replica-hours at equal violations), and at its own level\n\
         {:42} {:8} {:>10} {:>10} {:>10} {:>10} {:>7} {:>6} {:>6} {:>6} {:>11}",
        "",
        "",
        "own level",
        "tuned",
        "at 1 %",
        "at 0.1 %",
        "viol.",
        "hours",
        "queue",
        "static",
        "prewarmed"
    )?;
    let ratio = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    for (outcome, one) in compared {
        let pair =
            |beside: &Beside| format!("{} {}", ratio(beside.violations), ratio(beside.hours));
        writeln!(
            f,
            "{:42} {:8} {:>10} {:>10} {:>10} {:>10} {:>7} {:>6.2} {:>6} {:>6.2} {:>5.2} {:>5.2}",
            outcome.trace,
            outcome.kind.as_str(),
            pair(&one.own),
            pair(&one.tuned),
            pair(&one.hundredth),
            pair(&one.thousandth),
            ratio(one.violations),
            one.hours,
            ratio(one.queue),
            one.cost_of_static,
            one.prewarmed,
            one.prewarmed_hpa
        )?;
    }
    Ok(())
}

/// The parameters, as they are printed with results: what a reader must know to judge them.
pub fn heading(parameters: &Parameters) -> String {
    format!(
        "Lead time {} +/- {:.0} %, sync {}, poll {}, tolerance {}, a replica-hour {}, a missing one {} (level {:.3}), seed {}",
        parameters.lead,
        100.0 * parameters.jitter,
        parameters.sync,
        parameters.poll,
        parameters.tolerance,
        parameters.cost.replica_hour,
        parameters.cost.shortfall_hour,
        parameters.cost.level(),
        parameters.seed
    )
}
