//! `forethought decisions`.

use super::{
    Failure, flags,
    records::{self, Output, Place, Records},
    table,
};
use crate::{
    decide::{Closed, Gate},
    engine::Clock,
    series::Millis,
    store::{Cut, DecisionFilter, MOST_ITEMS, wire::ShownDecision},
};
use flags::Moment;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use records::{field, of};
use serde::Serialize;
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  Why does checkout have so many replicas?
    forethought decisions --workload=checkout --limit=5 --config.file=forethought.yml
  Everything of the last two hours, asked of a process that runs:
    forethought decisions --since=2h --url=http://localhost:10057
  For a program:
    forethought decisions --since=2026-11-27 --limit=10000 --output=json --config.file=forethought.yml

Newest first. A decision is written down when a recommendation changes, and when one is held back.
Exit codes: 0 all well, 1 failed, 2 usage or configuration.";

/// Arguments of `decisions`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Only those about this workload
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
    /// Only those made since then: 2h for so long ago, 2026-01-31, 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = flags::moment)]
    since: Option<Moment>,
    /// No more than this many
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    /// How they are printed
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

/// Prints them.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let (records, runtime) = arguments.place.open()?;
    let now = Clock::System.now();
    let filter = DecisionFilter {
        workload: arguments.workload.clone(),
        since: arguments.since.map(|since| since.resolve(now)),
        until: None,
    };
    let limit = arguments.limit as usize;
    let decisions = runtime.block_on(records.closed(read(&records, &filter, limit)))?;
    match arguments.output {
        Output::Json => records::json(out, &serde_json::json!({ "decisions": decisions })),
        Output::Table => Ok(write!(out, "{}", rows(&decisions))?),
    }
}

/// Page after page, until there are enough.
async fn read(
    records: &Records,
    filter: &DecisionFilter,
    limit: usize,
) -> Result<Vec<ShownDecision>, Failure> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let cut = Cut {
            limit: (limit - found.len()).min(MOST_ITEMS),
            cursor,
        };
        let (some, next) = page(records, filter, &cut).await?;
        found.extend(some);
        cursor = next;
        if cursor.is_none() || found.len() >= limit {
            return Ok(found);
        }
    }
}

async fn page(
    records: &Records,
    filter: &DecisionFilter,
    cut: &Cut,
) -> Result<(Vec<ShownDecision>, Option<String>), Failure> {
    match records {
        Records::Store(store) => {
            let page = store.decisions(filter, cut).await?;
            let items = page.items.into_iter().map(ShownDecision::from);
            Ok((items.collect(), page.next))
        }
        Records::Client(client) => {
            let answer = client.get(&path(filter, cut)).await?;
            let next = of(answer["next"].clone())?;
            Ok((field(answer, "decisions")?, next))
        }
    }
}

fn path(filter: &DecisionFilter, cut: &Cut) -> String {
    let mut path = format!("scaling/decisions?limit={}", cut.limit);
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let value = utf8_percent_encode(&value, NON_ALPHANUMERIC);
            path.push_str(&format!("&{name}={value}"));
        }
    };
    add("workload", filter.workload.clone());
    add("since", filter.since.map(|since: Millis| since.to_string()));
    add("cursor", cut.cursor.clone());
    path
}

fn rows(decisions: &[ShownDecision]) -> String {
    let head = [
        "TIME", "WORKLOAD", "MODE", "REPLICAS", "WOULD BE", "BINDING", "GATE", "REASON",
    ];
    let size = |size: Option<u32>| size.map_or("-".to_owned(), |size| size.to_string());
    let row = |shown: &ShownDecision| {
        let decision = &shown.decision;
        let gate = match decision.gate {
            Gate::Open => "open".to_owned(),
            Gate::Shut(why) => word::<Closed>(&why),
        };
        vec![
            records::shown(shown.time),
            decision.workload.to_string(),
            decision.mode.as_str().to_owned(),
            size(decision.replicas),
            size(decision.would_be),
            word(&decision.binding),
            gate,
            decision.reason.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = decisions.iter().map(row).collect();
    table::columns(&head, &rows)
}

/// A value as JSON has it.
fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}
