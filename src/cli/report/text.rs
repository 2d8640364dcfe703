//! The report as markdown.

use super::day::{Day, Sum, WorkloadDay};
use crate::{
    cli::explain::chart::short,
    series::{Millis, Span},
};
use std::fmt::Write;

/// All of it.
pub(super) fn markdown(day: &Day) -> String {
    let mut text = format!("# Report of {}\n", date(day.from));
    if day.until - day.from < super::DAY {
        let so_far = Span::millis((day.until - day.from) / 60_000 * 60_000);
        _ = writeln!(text, "\nThe first {so_far} of it.");
    }
    for workload in &day.workloads {
        text.push_str(&of_workload(workload));
    }
    if !day.accuracy.is_empty() {
        text.push_str("\n## Forecasts\n\n| signal | horizon | error | coverage | skill |\n|---|---|---|---|---|\n");
        for one in &day.accuracy {
            let horizon = Span::millis(one.horizon_ms);
            let (error, coverage) = (ratio(one.error), ratio(one.coverage));
            let skill = ratio(one.skill);
            _ = writeln!(
                text,
                "| {} | {horizon} | {error} | {coverage} | {skill} |",
                one.signal
            );
        }
    }
    for note in &day.notes {
        _ = writeln!(text, "\nNot known: {note}.");
    }
    text
}

fn of_workload(day: &WorkloadDay) -> String {
    let mut text = format!(
        "\n## {}\n\n| | minutes known | replica-hours | minutes without enough |\n|---|---|---|---|\n",
        day.workload
    );
    let mut row = |what: &str, sum: Option<Sum>| {
        if let Some(sum) = sum {
            let share = 100.0 * sum.violation_minutes as f64 / sum.minutes.max(1) as f64;
            let (hours, minutes) = (short(sum.replica_hours), sum.violation_minutes);
            _ = writeln!(
                text,
                "| {what} | {} | {hours} | {minutes} ({share:.1} %) |",
                sum.minutes
            );
        }
    };
    row("as it was", day.actual);
    row("as recommended", day.recommended);
    row("reactive autoscaler", Some(day.reactive));
    text.push('\n');
    let decisions = &day.decisions;
    _ = write!(
        text,
        "{} times up, {} times down",
        decisions.up, decisions.down
    );
    if let Some(open) = decisions.gate_open_ratio {
        _ = write!(
            text,
            "; the forecast counted in {:.0} % of the logged decisions",
            100.0 * open
        );
    }
    text.push_str(".\n");
    if decisions.rises > 0 {
        _ = writeln!(
            text,
            "Enough was ready all the way up to {} of {} peaks.",
            decisions.prewarmed, decisions.rises
        );
    }
    if let Some(saved) = day.saved {
        let what = if saved < 0.0 { "Cost" } else { "Saved" };
        let beside = if saved < 0.0 { "more than" } else { "beside" };
        let much = short(saved.abs());
        _ = writeln!(text, "{what} {much} {beside} the reactive autoscaler.");
    }
    for (by, times) in &decisions.held {
        _ = writeln!(text, "Held {times} times: {by}.");
    }
    if decisions.withdrawn > 0 {
        _ = writeln!(
            text,
            "Withdrawn {} times, as it made things worse.",
            decisions.withdrawn
        );
    }
    text
}

fn ratio(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.3}"))
}

fn date(at: Millis) -> String {
    let timestamp = jiff::Timestamp::from_millisecond(at).unwrap_or_default();
    timestamp.strftime("%Y-%m-%d").to_string()
}
