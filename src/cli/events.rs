//! `forethought events`.

use super::{
    Failure,
    records::{self, Output, Place, Records, Strange, When},
    table,
};
use crate::{
    decide::{Effect, Event},
    engine::Clock,
    series::{Millis, Span},
    store::{
        Cut, EventFilter, MOST_ITEMS,
        wire::{NewEvent, ShownEvent, Time},
    },
};
use clap::{ArgGroup, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use records::{field, of};
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  A campaign that triples the demand of two workloads from midnight on, for a day:
    forethought events add --config.file=forethought.yml --kind=campaign --name='Black Friday' --start=2026-11-27 --for=1d \\
        --multiplier=3 --workload=checkout --workload=search
  A load test that begins now, with at least 500 requests a second:
    forethought events add --config.file=forethought.yml --kind=load_test --name='release 4.2' --start=now --for=30m --load=500
  A newsletter, whose effect is learnt from those before; what it needs is to be ready 15 minutes earlier:
    forethought events add --config.file=forethought.yml --kind=newsletter --name=November --start=+2h --for=1h --lead=15m --decay=2h
  What is under way or to come, asked of a process that runs:
    forethought events list --url=http://localhost:10057
  One that was called off:
    forethought events rm --config.file=forethought.yml k3v9x2m7qp

Times: 2026-11-27T20:00:00+01:00, 2026-11-27 (UTC), now, +2h, -30m. Exit codes: 0 all well, 1 failed, 2 usage or configuration.";

/// Arguments of `events`.
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
    /// Put in a known cause of load; prints its id
    #[command(after_help = EXAMPLES)]
    Add(Box<Add>),
    /// List events that are not over yet, latest first
    List(List),
    /// Remove events by their ids
    Rm {
        /// Ids, as `list` shows them
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("ending").required(true).args(["end", "length"]))]
#[command(group = ArgGroup::new("effect").args(["multiplier", "load"]))]
struct Add {
    /// What sort of event, such as campaign; workloads learn from those of a kind that they see what the next will do
    #[arg(long, value_name = "WORD")]
    kind: String,
    /// What people call it
    #[arg(long, value_name = "TEXT")]
    name: String,
    /// When it begins
    #[arg(long, value_name = "TIME", value_parser = records::when, allow_hyphen_values = true)]
    start: When,
    /// When it ends
    #[arg(long, value_name = "TIME", value_parser = records::when, allow_hyphen_values = true)]
    end: Option<When>,
    /// Instead: how long it lasts
    #[arg(long = "for", value_name = "SPAN")]
    length: Option<Span>,
    /// So long before its start what it needs shall be ready [default: the workload's lead time]
    #[arg(long, value_name = "SPAN")]
    lead: Option<Span>,
    /// After its end the effect fades over this [default: 0s]
    #[arg(long, value_name = "SPAN")]
    decay: Option<Span>,
    /// The demand is so many times what it would be [default: what past events of the kind did]
    #[arg(long, value_name = "NUMBER")]
    multiplier: Option<f64>,
    /// Instead: the demand is at least this, in its own unit
    #[arg(long, value_name = "NUMBER")]
    load: Option<f64>,
    /// A workload it is for; may be given more than once [default: all]
    #[arg(long = "workload", value_name = "NAME")]
    workloads: Vec<String>,
    #[command(flatten)]
    strange: Strange,
    /// Who says so
    #[arg(long, value_name = "NAME", env = "USER")]
    author: String,
    /// How the event is printed [default: its id alone]
    #[arg(long, value_name = "FORMAT")]
    output: Option<Output>,
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only those under way
    #[arg(long)]
    active: bool,
    /// Those that are over as well
    #[arg(long, conflicts_with = "active")]
    all: bool,
    /// No more than this many
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=MOST_ITEMS as i64))]
    limit: u16,
    /// How they are printed
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

/// Does what is asked.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let (records, runtime) = arguments.place.open()?;
    match &arguments.action {
        Action::Add(add) => {
            let names = add.workloads.iter().map(String::as_str);
            add.strange.check(&arguments.place, "workloads", names)?;
            let event = runtime.block_on(records.closed(put(
                &records,
                add.event(Clock::System.now())?,
                add.strange,
            )))?;
            match add.output {
                None => writeln!(out, "{}", event.id)?,
                Some(Output::Json) => records::json(out, &event)?,
                Some(Output::Table) => write!(out, "{}", rows(&[event]))?,
            }
        }
        Action::List(list) => {
            let events =
                runtime.block_on(records.closed(read(&records, list, Clock::System.now())))?;
            match list.output {
                Output::Json => records::json(out, &serde_json::json!({ "events": events }))?,
                Output::Table => write!(out, "{}", rows(&events))?,
            }
        }
        Action::Rm { ids } => {
            for id in ids {
                runtime.block_on(records.closed(remove(&records, id)))?;
                writeln!(out, "removed {id}")?;
            }
        }
    }
    Ok(())
}

impl Add {
    fn event(&self, now: Millis) -> Result<NewEvent, Failure> {
        let start = self.start.resolve(now);
        // clap has seen to it that one of them is there.
        let end = match (self.end, self.length) {
            (Some(end), _) => end.resolve(now),
            (None, length) => start.saturating_add(length.map_or(0, Span::as_millis)),
        };
        let effect = match (self.multiplier, self.load) {
            (Some(times), _) => Some(Effect::Multiplier(times)),
            (None, load) => load.map(Effect::Load),
        };
        let new = NewEvent {
            kind: self.kind.clone(),
            name: self.name.clone(),
            start: Time(start),
            end: Time(end),
            lead: self.lead,
            decay: self.decay,
            effect,
            workloads: self.workloads.clone(),
            author: self.author.clone(),
        };
        // JSON has no word for some numbers, so they are refused before they are sent.
        let problems = Event::from(new.clone()).validate();
        match problems.is_empty() {
            true => Ok(new),
            false => Err(crate::store::StoreError::Invalid(problems).into()),
        }
    }
}

async fn put(records: &Records, new: NewEvent, strange: Strange) -> Result<ShownEvent, Failure> {
    match records {
        Records::Store(store) => {
            let added = store.add_event(Event::from(new), None).await?;
            Ok(added.into_inner().into())
        }
        Records::Client(client) => {
            let body = serde_json::json!(new);
            let path = format!("events{}", strange.parameter());
            of(client.post(&path, &body).await?)
        }
    }
}

async fn read(records: &Records, list: &List, now: Millis) -> Result<Vec<ShownEvent>, Failure> {
    let filter = EventFilter {
        after: (!list.all).then_some(now),
        before: list.active.then_some(now.saturating_add(1)),
    };
    match records {
        Records::Store(store) => {
            let cut = Cut {
                limit: usize::from(list.limit),
                cursor: None,
            };
            let page = store.events(filter, &cut).await?;
            Ok(page.items.into_iter().map(ShownEvent::from).collect())
        }
        Records::Client(client) => {
            let mut path = format!("events?limit={}", list.limit);
            for (name, time) in [("after", filter.after), ("before", filter.before)] {
                path.extend(time.map(|time| format!("&{name}={time}")));
            }
            field(client.get(&path).await?, "events")
        }
    }
}

async fn remove(records: &Records, id: &str) -> Result<(), Failure> {
    match records {
        Records::Store(store) => Ok(store.remove_event(id).await?),
        Records::Client(client) => {
            let id = utf8_percent_encode(id, NON_ALPHANUMERIC);
            client.delete(&format!("events/{id}")).await.map(drop)
        }
    }
}

fn rows(events: &[ShownEvent]) -> String {
    let head = [
        "ID",
        "KIND",
        "NAME",
        "START",
        "END",
        "EFFECT",
        "WORKLOADS",
        "AUTHOR",
    ];
    let row = |shown: &ShownEvent| {
        let event = &shown.event;
        let effect = match event.effect {
            None => "learnt".to_owned(),
            Some(Effect::Multiplier(times)) => format!("x{times}"),
            Some(Effect::Load(load)) => format!("at least {load}"),
        };
        let workloads = match event.workloads.is_empty() {
            true => "all".to_owned(),
            false => event.workloads.join(","),
        };
        vec![
            shown.id.clone(),
            event.kind.clone(),
            event.name.clone(),
            records::shown(event.start),
            records::shown(event.end),
            effect,
            workloads,
            event.author.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = events.iter().map(row).collect();
    table::columns(&head, &rows)
}
