//! `forethought backtest`.

use super::{
    Failure,
    bar::bar,
    flags::{self, Moment},
    samples::FileFlags,
};
use crate::{
    app::{self, AppOptions, ConfigSource, Loaded},
    backtest::{self, BacktestOptions, Input, Theme},
    config::{Config, SourceKind, suggestion},
    engine::{Clock, SignalSettings, settings::Calendars},
    forecast::ModelFiles,
    source::{Source, prometheus::PrometheusSource},
    telemetry::Telemetry,
};
use clap::ArgGroup;
use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

const EXAMPLES: &str = "\
Examples:
  forethought backtest --config.file=forethought.yml --from=14d
  forethought backtest --config.file=forethought.yml --from=2026-01-01 --to=2026-01-15 --json --plot=past.svg
  forethought backtest --csv=trace.csv --step=5m --horizons=1h,24h --plot=past.svg

Every value is judged with what was known before it. History before --from is read as far as each
signal's history reaches. A CSV file has a header line, a column of times and columns of values; each
column of values is a signal.";

/// Arguments of `backtest`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    group = ArgGroup::new("samples").required(true).args(["config_file", "csv", "open_metrics"])
)]
pub(super) struct Arguments {
    /// The configuration file: its signals, from its sources
    #[arg(long = "config.file", value_name = "FILE", requires = "from")]
    config_file: Option<PathBuf>,
    /// First time judged, such as 2026-01-31, 2026-01-31T12:00:00Z, or 7d for so long ago [default for
    /// files of samples: a third into them]
    #[arg(long, value_name = "TIME", value_parser = flags::moment)]
    from: Option<Moment>,
    /// Last time judged [default: now, or the end of the file of samples]
    #[arg(long, value_name = "TIME", value_parser = flags::moment)]
    to: Option<Moment>,
    /// Only these signals; can be given several times
    #[arg(long, value_name = "NAME")]
    signal: Vec<String>,
    #[command(flatten)]
    file: FileFlags,
    /// Print the figures as JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Draw a chart of each signal into this SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Draw on a dark ground
    #[arg(long, requires = "plot")]
    dark: bool,
}

/// Looks back and prints what it found.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    if let Some(path) = &arguments.plot {
        can_write(path)?;
    }
    let done = runtime.block_on(look_back(arguments))?;
    if arguments.json {
        let text = serde_json::to_string_pretty(&done.report)
            .map_err(|error| Failure::Failed(error.to_string()))?;
        writeln!(out, "{text}")?;
    } else {
        write!(out, "{}", done.report)?;
    }
    if let Some(path) = &arguments.plot {
        draw(&done, arguments.dark, path)?;
    }
    Ok(())
}

async fn look_back(arguments: &Arguments) -> Result<backtest::Backtest, Failure> {
    let now = Clock::System.now();
    let from = arguments.from.map(|from| from.resolve(now));
    let mut to = arguments.to.map(|to| to.resolve(now));
    let (all, (models, calendars), input) = match &arguments.config_file {
        Some(path) => {
            // Sources are asked, so the span has an end.
            to = to.or(Some(now));
            configured(path, &arguments.signal).await?
        }
        None => {
            let (signals, samples) = arguments.file.read().map_err(Failure::Usage)?;
            (signals, Files::default(), Input::Samples(samples))
        }
    };
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        let said = |moment: Option<Moment>| moment.map_or("now".to_owned(), |at| at.to_string());
        let (from, to) = (said(arguments.from), said(arguments.to));
        let text = format!("--from: {from} is not before --to, which is {to}");
        return Err(Failure::Usage(text));
    }
    let options = BacktestOptions {
        signals: chosen(all, &arguments.signal)?,
        from,
        to,
        models,
        calendars,
        keep_points: arguments.plot.is_some(),
    };
    let bar = bar(1_000);
    let progress = |what: &str, share: f64| {
        bar.set_message(what.to_owned());
        bar.set_position((share * 1_000.0) as u64);
    };
    let done = backtest::run(&options, &input, &progress).await;
    bar.finish_and_clear();
    done.map_err(Failure::Failed)
}

/// What signals are built from beside their settings.
type Files = (ModelFiles, Calendars);

async fn configured(
    path: &Path,
    names: &[String],
) -> Result<(Vec<SignalSettings>, Files, Input), Failure> {
    let options = AppOptions::new(ConfigSource::File(path.to_owned()));
    let loaded = app::load(&options).await.map_err(Failure::Usage)?;
    let sources = sources(&loaded).map_err(Failure::Failed)?;
    let signals = chosen(loaded.config.signals.clone(), names)?;
    let instead = "look back over a file of its samples (--csv, --open-metrics), or over other signals (--signal)";
    let mut without = signals
        .iter()
        .filter_map(|signal| without_past(&loaded.config, signal, instead));
    if let Some(problem) = without.next() {
        return Err(Failure::Usage(problem));
    }
    Ok((
        signals,
        (loaded.models, loaded.calendars),
        Input::Sources(sources),
    ))
}

/// The signals called `names`; all of them where there are none.
pub(super) fn chosen(
    all: Vec<SignalSettings>,
    names: &[String],
) -> Result<Vec<SignalSettings>, Failure> {
    let known: Vec<&str> = all.iter().map(|signal| signal.name.as_str()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        let near = suggestion(unknown, known.iter().copied());
        let text = format!(
            "--signal: there is no signal {unknown:?}{near}; signals: {}",
            known.join(", ")
        );
        return Err(Failure::Usage(text));
    }
    let wanted = |signal: &SignalSettings| names.is_empty() || names.contains(&signal.name);
    Ok(all.into_iter().filter(wanted).collect())
}

/// Why nobody can be asked for the past of `signal`, and what to do `instead`; `None` where its source can.
pub(super) fn without_past(
    config: &Config,
    signal: &SignalSettings,
    instead: &str,
) -> Option<String> {
    let source = config.source_of(signal)?;
    source.kind.as_prometheus().is_none().then(|| {
        format!(
            "signal {:?}: the samples of its source {:?} come by themselves, and nobody can be asked for its past; {instead}",
            signal.name, source.name
        )
    })
}

/// The sources of a configuration that can be asked, by name.
pub(super) fn sources(loaded: &Loaded) -> Result<BTreeMap<String, Arc<dyn Source>>, String> {
    let events = Telemetry::default().source;
    let mut sources: BTreeMap<String, Arc<dyn Source>> = BTreeMap::new();
    for source in &loaded.config.sources {
        // Only what can be asked for the past can be looked back on.
        let SourceKind::Prometheus(settings) = &source.kind else {
            continue;
        };
        let built = PrometheusSource::build(&source.name, settings, events.clone())
            .map_err(|problem| format!("source {:?}: {problem}", source.name))?;
        sources.insert(source.name.clone(), Arc::new(built));
    }
    Ok(sources)
}

/// Looking back may take minutes: that the picture cannot be written is found out before.
pub(super) fn can_write(path: &Path) -> Result<(), Failure> {
    let was_there = path.exists();
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.map_err(|error| {
        Failure::Usage(format!("--plot: cannot write {}: {error}", path.display()))
    })?;
    if !was_there {
        // Nothing is left behind where looking back fails.
        drop(std::fs::remove_file(path));
    }
    Ok(())
}

fn draw(done: &backtest::Backtest, dark: bool, path: &Path) -> Result<(), Failure> {
    let theme = if dark { Theme::Dark } else { Theme::Light };
    backtest::plot(&done.pictures, theme, path).map_err(Failure::Failed)
}
