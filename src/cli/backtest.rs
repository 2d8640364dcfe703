//! `forethought backtest`.

use super::{
    Failure,
    flags::{self, Moment},
};
use crate::{
    app::{self, AppOptions, ConfigSource, Loaded},
    backtest::{self, BacktestOptions, Input, Theme},
    config::SourceKind,
    engine::Clock,
    source::{Source, prometheus::PrometheusSource},
    telemetry::Telemetry,
};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

const EXAMPLES: &str = "\
Examples:
  forethought backtest --config.file=forethought.yml --from=14d
  forethought backtest --config.file=forethought.yml --from=2026-01-01 --to=2026-01-15 --json --plot=past.svg

Every value is judged with what was known before it. History before --from is read as far as each
signal's history reaches.";

/// Arguments of `backtest`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The configuration file
    #[arg(long = "config.file", value_name = "FILE")]
    config_file: PathBuf,
    /// First time judged, such as 2026-01-31, 2026-01-31T12:00:00Z, or 7d for so long ago
    #[arg(long, value_name = "TIME", value_parser = flags::moment)]
    from: Moment,
    /// Last time judged [default: now]
    #[arg(long, value_name = "TIME", value_parser = flags::moment)]
    to: Option<Moment>,
    /// Only these signals; can be given several times
    #[arg(long, value_name = "NAME")]
    signal: Vec<String>,
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
    let options = AppOptions::new(ConfigSource::File(arguments.config_file.clone()));
    let loaded = app::load(&options).await.map_err(Failure::Usage)?;
    let now = Clock::System.now();
    let (from, to) = (
        arguments.from.resolve(now),
        arguments.to.map_or(now, |to| to.resolve(now)),
    );
    if from >= to {
        let text = "--from: is not before --to, which is now where it is left out";
        return Err(Failure::Usage(text.to_owned()));
    }
    let input = Input::Sources(sources(&loaded).map_err(Failure::Failed)?);
    let options = BacktestOptions {
        signals: chosen(&loaded, &arguments.signal)?,
        from: Some(from),
        to: Some(to),
        models: loaded.models,
        keep_points: arguments.plot.is_some(),
    };
    let bar = bar();
    let progress = |what: &str, share: f64| {
        bar.set_message(what.to_owned());
        bar.set_position((share * 1_000.0) as u64);
    };
    let done = backtest::run(&options, &input, &progress).await;
    bar.finish_and_clear();
    done.map_err(Failure::Failed)
}

/// The signals called `names`; all of them where there are none.
fn chosen(
    loaded: &Loaded,
    names: &[String],
) -> Result<Vec<crate::engine::SignalSettings>, Failure> {
    let all = &loaded.config.signals;
    let known: Vec<&str> = all.iter().map(|signal| signal.name.as_str()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        let near = crate::config::suggestion(unknown, known.iter().copied());
        let text = format!(
            "--signal: there is no signal {unknown:?}{near}; signals: {}",
            known.join(", ")
        );
        return Err(Failure::Usage(text));
    }
    let wanted = |name: &String| names.is_empty() || names.contains(name);
    Ok(all
        .iter()
        .filter(|signal| wanted(&signal.name))
        .cloned()
        .collect())
}

fn sources(loaded: &Loaded) -> Result<BTreeMap<String, Arc<dyn Source>>, String> {
    let events = Telemetry::default().source;
    let mut sources: BTreeMap<String, Arc<dyn Source>> = BTreeMap::new();
    for source in &loaded.config.sources {
        let SourceKind::Prometheus(settings) = &source.kind;
        let built = PrometheusSource::build(&source.name, settings, events.clone())
            .map_err(|problem| format!("source {:?}: {problem}", source.name))?;
        sources.insert(source.name.clone(), Arc::new(built));
    }
    Ok(sources)
}

fn draw(done: &backtest::Backtest, dark: bool, path: &Path) -> Result<(), Failure> {
    let theme = if dark { Theme::Dark } else { Theme::Light };
    backtest::plot(&done.pictures, theme, path).map_err(Failure::Failed)
}

/// A bar on a terminal; nothing where stderr is none.
fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta}");
    let bar = ProgressBar::new(1_000);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
