//! `forethought overrides`.

use super::{
    Failure,
    records::{self, Output, Place, Records, Strange, When},
    table,
};
use crate::{
    decide::{Order, Override},
    engine::Clock,
    series::{Millis, Span},
    store::{
        Cleared, Cut, MOST_ITEMS,
        wire::{NewOverride, ShownOverride, Time},
    },
};
use clap::{ArgGroup, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use records::{field, of};
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  At least 12 replicas for the next two hours:
    forethought overrides set checkout --min=12 --for=2h --reason='press conference' --config.file=forethought.yml
  Exactly 5, whatever anybody asks for, until somebody clears it:
    forethought overrides set checkout --pin=5 --reason='the database is being moved' --config.file=forethought.yml
  No more than 20, through a process that runs with --web.enable-admin-api:
    forethought overrides set checkout --max=20 --until=2026-11-28T06:00:00Z --reason='quota of the payment provider' --url=http://localhost:10057
  Nothing predictive until tomorrow morning; what is there now:
    forethought overrides set checkout --pause --until=2026-11-28T08:00:00+01:00 --reason='odd forecasts' --config.file=forethought.yml
    forethought overrides list --config.file=forethought.yml
  Take one back, or all of a workload:
    forethought overrides clear --id=k3v9x2m7qp --config.file=forethought.yml
    forethought overrides clear checkout --config.file=forethought.yml

A workload has one order of each kind: another one takes its place. --max, --pin and --pause may go below what the present
asks for; that is what they are for. Exit codes: 0 all well, 1 failed, 2 usage or configuration.";

/// Arguments of `overrides`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Give an order over a workload; prints its id
    #[command(after_help = EXAMPLES)]
    Set(Set),
    /// List the orders in force, newest first
    List(List),
    /// End orders before they expire
    Clear(Clear),
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("order").required(true).args(["pause", "pin", "min", "max"]))]
#[command(group = ArgGroup::new("expiry").args(["length", "until"]))]
struct Set {
    /// The workload
    #[arg(value_name = "WORKLOAD")]
    workload: String,
    #[command(flatten)]
    strange: Strange,
    /// Nothing predictive: the reactive part alone
    #[arg(long)]
    pause: bool,
    /// Exactly so many, whatever anybody asks for
    #[arg(long, value_name = "NUMBER")]
    pin: Option<u32>,
    /// At least so many
    #[arg(long, value_name = "NUMBER")]
    min: Option<u32>,
    /// At most so many, also where the present asks for more
    #[arg(long, value_name = "NUMBER")]
    max: Option<u32>,
    /// How long it holds [default: until somebody clears it]
    #[arg(long = "for", value_name = "SPAN")]
    length: Option<Span>,
    /// Instead: until when it holds
    #[arg(long, value_name = "TIME", value_parser = records::when, allow_hyphen_values = true)]
    until: Option<When>,
    /// Why; it is in the decision log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who
    #[arg(long, value_name = "NAME", env = "USER")]
    author: String,
    /// How the order is printed [default: its id alone]
    #[arg(long, value_name = "FORMAT")]
    output: Option<Output>,
}

#[derive(Debug, clap::Args)]
struct List {
    /// No more than this many
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=MOST_ITEMS as i64))]
    limit: u16,
    /// How they are printed
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("which").required(true).args(["workload", "id"]))]
struct Clear {
    /// Every order over this workload
    #[arg(value_name = "WORKLOAD")]
    workload: Option<String>,
    /// Instead: the order with this id
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

/// Does what is asked.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let (records, runtime) = arguments.place.open()?;
    match &arguments.action {
        Action::Set(set) => {
            let name = [set.workload.as_str()];
            set.strange.check(&arguments.place, "workload", name)?;
            let order = runtime.block_on(records.closed(give(
                &records,
                set.order(Clock::System.now()),
                set.strange,
            )))?;
            match set.output {
                None => writeln!(out, "{}", order.id)?,
                Some(Output::Json) => records::json(out, &order)?,
                Some(Output::Table) => write!(out, "{}", rows(&[order]))?,
            }
        }
        Action::List(list) => {
            let orders = runtime.block_on(records.closed(read(&records, list.limit)))?;
            match list.output {
                Output::Json => records::json(out, &serde_json::json!({ "overrides": orders }))?,
                Output::Table => write!(out, "{}", rows(&orders))?,
            }
        }
        Action::Clear(clear) => {
            let cleared = runtime.block_on(records.closed(end(&records, clear.which())))?;
            let plural = if cleared == 1 { "" } else { "s" };
            writeln!(out, "cleared {cleared} override{plural}")?;
        }
    }
    Ok(())
}

impl Set {
    fn order(&self, now: Millis) -> NewOverride {
        // clap has seen to it that there is exactly one.
        let order = match (self.pin, self.min, self.max) {
            (Some(size), ..) => Order::Pin(size),
            (_, Some(size), _) => Order::Min(size),
            (.., Some(size)) => Order::Max(size),
            _ => Order::Pause,
        };
        let expires = match (self.until, self.length) {
            (Some(until), _) => Some(until.resolve(now)),
            (None, length) => length.map(|span| now.saturating_add(span.as_millis())),
        };
        NewOverride {
            workload: self.workload.clone(),
            order,
            reason: self.reason.clone(),
            author: self.author.clone(),
            expires: expires.map(Time),
        }
    }
}

impl Clear {
    fn which(&self) -> Cleared<'_> {
        match (&self.id, &self.workload) {
            (Some(id), _) => Cleared::Id(id),
            (None, workload) => Cleared::Workload(workload.as_deref().unwrap_or_default()),
        }
    }
}

async fn give(
    records: &Records,
    new: NewOverride,
    strange: Strange,
) -> Result<ShownOverride, Failure> {
    match records {
        Records::Store(store) => {
            let set = store.set_override(Override::from(new), None).await?;
            Ok(set.into_inner().into())
        }
        Records::Client(client) => {
            let body = serde_json::json!(new);
            let path = format!("overrides{}", strange.parameter());
            of(client.post(&path, &body).await?)
        }
    }
}

async fn read(records: &Records, limit: u16) -> Result<Vec<ShownOverride>, Failure> {
    match records {
        Records::Store(store) => {
            let cut = Cut {
                limit: usize::from(limit),
                cursor: None,
            };
            let page = store.overrides(&cut).await?;
            Ok(page.items.into_iter().map(ShownOverride::from).collect())
        }
        Records::Client(client) => {
            let path = format!("overrides?limit={limit}");
            field(client.get(&path).await?, "overrides")
        }
    }
}

async fn end(records: &Records, which: Cleared<'_>) -> Result<u64, Failure> {
    match records {
        Records::Store(store) => Ok(store.clear_overrides(which).await?),
        Records::Client(client) => {
            let path = match which {
                Cleared::Id(id) => {
                    format!("overrides/{}", utf8_percent_encode(id, NON_ALPHANUMERIC))
                }
                Cleared::Workload(name) => {
                    let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
                    format!("overrides?workload={name}")
                }
            };
            field(client.delete(&path).await?, "cleared")
        }
    }
}

fn rows(orders: &[ShownOverride]) -> String {
    let head = [
        "ID", "WORKLOAD", "ORDER", "EXPIRES", "AUTHOR", "CREATED", "REASON",
    ];
    let row = |shown: &ShownOverride| {
        let order = match shown.order {
            Order::Pause => "pause".to_owned(),
            Order::Pin(size) => format!("pin {size}"),
            Order::Min(size) => format!("min {size}"),
            Order::Max(size) => format!("max {size}"),
        };
        vec![
            shown.id.clone(),
            shown.workload.clone(),
            order,
            shown.expires.map_or("never".to_owned(), records::shown),
            shown.author.clone(),
            records::shown(shown.created),
            shown.reason.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = orders.iter().map(row).collect();
    table::columns(&head, &rows)
}
