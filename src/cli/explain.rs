//! `forethought explain`: why a workload has the size it has.

pub(super) mod chart;
pub(super) mod picture;

use super::{
    Failure,
    records::{self, Client, Output, Place, Records},
    table, workload,
};
use crate::{
    backtest::Theme,
    decide::Decision,
    engine::{Clock, scaling::CoursePoint},
    series::{Millis, Span},
    store::{Cut, DecisionFilter, Store},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use std::{fmt::Write as _, io::Write, path::PathBuf};

const EXAMPLES: &str = "\
Examples:
  Why does checkout have this size now? Asked of a process that runs:
    forethought explain checkout --url=http://localhost:10057
  The same from the decision log, whether forethought runs or not:
    forethought explain checkout --config.file=forethought.yml
  As a picture of the last day:
    forethought explain checkout --url=http://localhost:10057 --svg=checkout.svg

Exit codes: 0 all well, 1 failed, 2 usage or configuration.";

/// Decisions that are read of the log for a picture of a day.
const DAY: Span = Span::days(1);
const MOST_DECISIONS: usize = 1_000;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The workload
    #[arg(value_name = "WORKLOAD")]
    workload: String,
    #[command(flatten)]
    place: Place,
    /// Also draw the last day into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Light lines on a dark page
    #[arg(long, requires = "svg")]
    dark: bool,
    /// How it is printed
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

/// What is known of a workload.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    #[serde(flatten)]
    decision: Decision,
    #[serde(default)]
    notes: Vec<String>,
    #[serde(default)]
    coverage: Option<f64>,
    #[serde(default)]
    skill: Option<f64>,
    #[serde(default)]
    course: Vec<CoursePoint>,
}

/// Explains it.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let (records, runtime) = arguments.place.open()?;
    let now = Clock::System.now();
    let name = &arguments.workload;
    let read = async {
        match &records {
            Records::Client(client) => newest(client, name).await,
            Records::Store(store) => logged(store, &arguments.place, name, now).await,
        }
    };
    let known = runtime.block_on(records.closed(read))?;
    if let Some(path) = &arguments.svg {
        let theme = if arguments.dark {
            Theme::Dark
        } else {
            Theme::Light
        };
        picture::draw(&[(name.as_str(), &known.course)], theme, path).map_err(Failure::Failed)?;
    }
    match arguments.output {
        Output::Json => records::json(out, &known),
        Output::Table => Ok(write!(out, "{}", text(&known, now))?),
    }
}

/// Asks a process that runs.
async fn newest(client: &Client, name: &str) -> Result<Known, Failure> {
    let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
    let answer = client.get(&format!("workloads?name={name}")).await?;
    let found: Vec<Known> = records::field(answer, "workloads")?;
    let found = found.into_iter().next();
    found.ok_or_else(|| Failure::Failed("the answer has no workload".to_owned()))
}

/// Reads the log: the newest decision, and the changes of a day for the picture.
async fn logged(store: &Store, place: &Place, name: &str, now: Millis) -> Result<Known, Failure> {
    let filter = DecisionFilter {
        workload: Some(name.to_owned()),
        since: None,
        until: None,
    };
    let cut = Cut {
        limit: MOST_DECISIONS,
        cursor: None,
    };
    let page = store.decisions(&filter, &cut).await?;
    let of_day = page
        .items
        .iter()
        .filter(|one| now - one.at <= DAY.as_millis());
    let mut course: Vec<CoursePoint> = of_day.map(CoursePoint::of).collect();
    course.reverse();
    let Some(decision) = page.items.into_iter().next() else {
        // Of one that was configured once the log may still know; a name that is neither there nor here is mistaken.
        if let Some(config) = place.configuration()? {
            workload::named(&config, name)?;
        }
        return Err(Failure::Failed(format!(
            "the log has no decision about the workload {name:?} yet"
        )));
    };
    Ok(Known {
        decision,
        notes: Vec::new(),
        coverage: None,
        skill: None,
        course,
    })
}

/// The sentence, the numbers, the picture.
fn text(known: &Known, now: Millis) -> String {
    let decision = &known.decision;
    let size = |size: Option<u32>| size.map_or("unknown".to_owned(), |size| size.to_string());
    let mut text = format!(
        "{}: {} replicas, mode {}\n\n  {}\n",
        decision.workload,
        size(decision.replicas),
        decision.mode.as_str(),
        decision.reason
    );
    for note in &known.notes {
        _ = writeln!(text, "  Not known: {note}");
    }
    if let Some(held) = decision.held {
        _ = writeln!(
            text,
            "  {} wanted; held by: {}",
            held.wanted,
            held.by.as_str()
        );
    }
    text.push('\n');
    let rows: Vec<Vec<String>> = numbers(known, now)
        .into_iter()
        .map(|(what, number)| vec![format!("  {what}"), number])
        .collect();
    text.push_str(&table::columns(&["  NUMBER", "VALUE"], &rows));
    if let Some(chart) = chart::chart(&known.course) {
        _ = write!(text, "\n{chart}");
    }
    text
}

fn numbers(known: &Known, now: Millis) -> Vec<(&'static str, String)> {
    let decision = &known.decision;
    let parts = &decision.parts;
    let mut rows = Vec::new();
    let mut add = |what: &'static str, number: Option<String>| {
        rows.extend(number.map(|number| (what, number)));
    };
    let size = |size: Option<u32>| size.map(|size| size.to_string());
    let number = |value: Option<f64>| value.map(chart::short);
    let span = |millis: Millis| Span::millis(millis / 1_000 * 1_000).to_string();
    add(
        "decided",
        Some(format!("{} ago", span((now - decision.at).max(0)))),
    );
    add("demand now", number(decision.demand));
    add("one replica takes", number(decision.capacity));
    add("ready", size(decision.ready));
    add("reactive", size(parts.reactive));
    add("forecast", size(parts.forecast));
    add("demand forecast", number(decision.demand_forecast));
    add("quantile", number(Some(decision.level)));
    add("window", Some(span(decision.window)));
    add("lead time", Some(span(decision.lead)));
    let age = decision.generated.map(|made| (now - made).max(0));
    add("forecast made", age.map(|age| format!("{} ago", span(age))));
    add("gate", Some(decision.gate.as_str().to_owned()));
    add("coverage", number(known.coverage));
    add("skill", number(known.skill));
    for (what, part) in [
        ("schedule", parts.schedule),
        ("event", parts.event),
        ("rule", parts.rule),
        ("pre-warming", parts.prewarm),
        ("hold", parts.hold),
        ("override", parts.r#override),
        ("min", parts.min),
        ("max", parts.max),
        ("budget", parts.budget),
        ("shared", parts.shared),
        ("in full mode", decision.would_be),
    ] {
        add(what, size(part));
    }
    add("decided by", Some(decision.binding.as_str().to_owned()));
    add("cost an hour", number(decision.cost_per_hour));
    rows
}
