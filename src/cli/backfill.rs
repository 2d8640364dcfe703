//! `forethought backfill`.

mod import;
mod output;

use super::{
    Failure, backtest,
    bar::bar,
    flags::{self, Moment},
};
use crate::{
    app::{self, AppOptions, ConfigSource, Loaded},
    backfill::{self, Backfill, Problem, Style, Written},
    backtest::Input,
    engine::{Clock, SignalSettings},
    expo::Escaping,
    series::Millis,
};
use output::Output;
use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::{Path, PathBuf},
};

const EXAMPLES: &str = "\
Examples:
  What would have been shown over the last week, for Prometheus:
    forethought backfill --config.file=forethought.yml --from=7d --to=3h --output=past.om \\
        --label=job=forethought --label=instance=forethought:10057
    promtool tsdb create-blocks-from openmetrics past.om /var/lib/prometheus
  A past for signals that are scraped or pushed (stop forethought first):
    forethought backfill import --config.file=forethought.yml past.om

Each grid time has what a process that had been running showed then, with the settings and the models of today: everything of
/metrics that is about signals and panels, not what workloads were told. Panels need all their signals. Prometheus takes no
blocks of the last three hours, in which its head is; promtool reads the file once for every two hours in it, so a file for each
day is faster than one for a month. Series that ended have no marker: they are seen five minutes longer.
Exit codes: 0 all well, 1 failed, 2 usage or configuration.";

/// Arguments of `backfill`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    way: Option<Way>,
    #[command(flatten)]
    write: Option<WriteFlags>,
}

#[derive(Debug, clap::Subcommand)]
enum Way {
    /// Take samples of former times into what is kept of sources that are scraped or pushed to
    Import(import::Arguments),
}

/// What is written.
#[derive(Debug, clap::Args)]
struct WriteFlags {
    /// The configuration file: its signals and panels, from its sources
    #[arg(long = "config.file", value_name = "FILE")]
    config_file: PathBuf,
    /// First time written, such as 2026-01-31, 2026-01-31T12:00:00Z, or 7d for so long ago
    #[arg(long, visible_alias = "start", value_name = "TIME", value_parser = flags::moment)]
    from: Moment,
    /// Last time written [default: now]
    #[arg(long, visible_alias = "end", value_name = "TIME", value_parser = flags::moment)]
    to: Option<Moment>,
    /// Only these signals; can be given several times
    #[arg(long, value_name = "NAME")]
    signal: Vec<String>,
    /// The file to write; - for standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
    /// A label that a scrape would add, such as job=forethought; can be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// How names that are not of the old alphabet are written: underscores (as Prometheus 2 scrapes them), allow-utf-8 (as
    /// Prometheus 3 does), dots, values
    #[arg(long, value_name = "SCHEME", default_value = "underscores", value_parser = scheme)]
    escaping: Escaping,
    /// Value of the label `forethought_replica`, as for `run`
    #[arg(long, value_name = "NAME")]
    replica: Option<String>,
    /// The folder in which a process keeps the past of what it scrapes or is pushed
    #[arg(long = "storage.path", value_name = "DIR", default_value = "data")]
    storage: PathBuf,
}

/// Writes, or takes in.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    match (&arguments.way, &arguments.write) {
        (Some(Way::Import(own)), _) => import::run(own, out),
        (None, Some(own)) => own.write(out),
        // clap has seen to it that --config.file is there.
        (None, None) => Err(Failure::Usage("--config.file: which one?".to_owned())),
    }
}

impl WriteFlags {
    fn write(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let now = Clock::System.now();
        let span = self.span(now).map_err(Failure::Usage)?;
        let mut output = Output::open(&self.output, self.force).map_err(Failure::Usage)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let bar = bar(1_000);
        let progress = |what: &str, share: f64| {
            bar.set_message(what.to_owned());
            bar.set_position((share * 1_000.0) as u64);
        };
        let done = runtime.block_on(async {
            let (options, input) = self.prepare(span, now).await?;
            let folder = output.folder();
            let written =
                backfill::write(&options, &input, &folder, output.sink(out), &progress).await;
            written.map_err(|problem| match problem {
                Problem::Failed(why) => Failure::Failed(why),
                Problem::Output(error) => error.into(),
            })
        });
        bar.finish_and_clear();
        let done = done?;
        output.finish()?;
        self.tell(&done);
        Ok(())
    }

    fn span(&self, now: Millis) -> Result<(Millis, Millis), String> {
        let from = self.from.resolve(now);
        let to = self.to.map_or(now, |to| to.resolve(now));
        if let Some(said) = self.to.filter(|_| to > now) {
            return Err(format!("--to: {said} is yet to come; leave it out for now"));
        }
        if from > to || from < 0 {
            let to = self.to.map_or("now".to_owned(), |to| to.to_string());
            let from = self.from;
            return Err(format!("--from: {from} is not before --to, which is {to}"));
        }
        Ok((from, to))
    }

    async fn prepare(
        &self,
        (start, end): (Millis, Millis),
        now: Millis,
    ) -> Result<(Backfill, Input), Failure> {
        if self.replica.as_ref().is_some_and(String::is_empty) {
            let text = "--replica: must not be empty; leave it out for no label";
            return Err(Failure::Usage(text.to_owned()));
        }
        let options = AppOptions::new(ConfigSource::File(self.config_file.clone()));
        let loaded = app::load(&options).await.map_err(Failure::Usage)?;
        let mut signals = backtest::chosen(loaded.config.signals.clone(), &self.signal)?;
        for signal in &mut signals {
            let source = loaded.config.source_of(signal);
            signal.source = source.map(|source| source.name.clone());
        }
        let input = input(&loaded, &signals, &self.storage, now)?;
        let options = Backfill {
            signals,
            panels: loaded.config.panels,
            start,
            end,
            now,
            models: loaded.models,
            calendars: loaded.calendars,
            replica: self.replica.clone(),
            style: Style {
                escaping: self.escaping,
                labels: self.label.clone(),
            },
        };
        Ok((options, input))
    }

    /// What was written and what to do with it, on standard error: standard output may be the file.
    fn tell(&self, done: &Written) {
        let counts = done.counts;
        let mut text = String::new();
        for note in &done.notes {
            text += &format!("note: {note}\n");
        }
        text += &format!(
            "{} samples of {} series in {} families\n",
            counts.samples, counts.series, counts.families
        );
        if self.output != Path::new("-") {
            let file = self.output.display();
            text += &format!(
                "next: promtool tsdb create-blocks-from openmetrics {file} DATA, where DATA is the --storage.tsdb.path of a Prometheus\n"
            );
        }
        // Nothing can be done where stderr is closed.
        drop(io::stderr().write_all(text.as_bytes()));
    }
}

/// The sources of these signals: those that can be asked, and what a process has left of the others.
fn input(
    loaded: &Loaded,
    signals: &[SignalSettings],
    storage: &Path,
    now: Millis,
) -> Result<Input, Failure> {
    let wanted: BTreeSet<&String> = signals
        .iter()
        .filter_map(|signal| signal.source.as_ref())
        .collect();
    let mut locals = backfill::locals(&loaded.config);
    locals.retain(|local| wanted.contains(&local.name));
    let mut sources = backtest::sources(loaded).map_err(Failure::Failed)?;
    let kept = backfill::sources(&locals, storage, now).map_err(Failure::Failed)?;
    sources.extend(kept);
    Ok(Input::Sources(sources))
}

fn label(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=');
    let pair = pair.filter(|(name, value)| !name.is_empty() && !value.is_empty());
    let (name, value) = pair.ok_or("write it as NAME=VALUE, such as job=forethought")?;
    if name.starts_with("__") {
        return Err(format!("{name:?} is a name of Prometheus' own"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn scheme(text: &str) -> Result<Escaping, String> {
    let all = Escaping::ALL.map(Escaping::as_str).join(", ");
    Escaping::parse(text).ok_or_else(|| format!("there is {all}"))
}
