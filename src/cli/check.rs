//! `forethought check`.

mod workloads;

use super::{Failure, flags, table};
use crate::{
    app::{self, AppOptions, ConfigSource, Loaded},
    config::{Config, Memory, SourceKind, show_bytes},
    engine::{Clock, SignalSettings, SignalUnit, UnitOptions},
    series::{Millis, Shard, Span},
    sink::{
        self,
        alertmanager::{Pusher, Surroundings},
        remote_write,
    },
    source::{
        Cause, kafka,
        local::Hub,
        prometheus::{Probe, PrometheusSource},
        remote_write::Receiver,
        scrape::{self, Scraper},
    },
    telemetry::Telemetry,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

const EXAMPLES: &str = "\
Examples:
  forethought check forethought.yml
  forethought check forethought.yml --against-source --storage.memory-limit=2GiB

Problems go to stderr, one a line, as `file:line:column: path: message`; what is sound goes to stdout.
Exit codes: 0 all well, 1 a source did not answer, a query matches nothing or the demand of a workload
is not one series, 2 the configuration is wrong.";

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The configuration file
    #[arg(value_name = "FILE", required_unless_present = "config_file")]
    file: Option<PathBuf>,
    /// The same, as the other commands have it
    #[arg(long = "config.file", value_name = "FILE", conflicts_with = "file")]
    config_file: Option<PathBuf>,
    /// Ask the sources how many series each signal has, how far back its history reaches, and what workloads ask of them
    #[arg(long = "against-source")]
    against_source: bool,
    /// Say how each signal is divided, and why, where there are as many processes as this says, such as 0/3
    #[arg(long, value_name = "I/N", value_parser = flags::shard)]
    shard: Option<Shard>,
    /// Refuse the configuration where its series may take more memory than this, such as 2GiB
    #[arg(long = "storage.memory-limit", value_name = "BYTES", value_parser = flags::bytes)]
    memory_limit: Option<usize>,
}

impl Arguments {
    fn file(&self) -> &Path {
        let file = self.file.as_deref().or(self.config_file.as_deref());
        // clap has seen to it that one is there.
        file.unwrap_or(Path::new(""))
    }
}

/// Checks the file, and the sources where asked to. That all is well is said last, when it is known.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut options = AppOptions::new(ConfigSource::File(arguments.file().to_owned()));
    options.memory_limit = arguments.memory_limit;
    let mut loaded = runtime
        .block_on(app::load(&options))
        .map_err(Failure::Usage)?;
    let mut slow = runtime.block_on(app::leave_out_hanging(&mut loaded));
    slow.extend(runtime.block_on(app::too_slow(&loaded)));
    let sources = build(&loaded, slow).map_err(|wrong| Failure::Usage(wrong.join("\n")))?;
    let config = &loaded.config;
    write!(out, "{}", occurrences(&loaded, Clock::System.now()))?;
    if let Some(shard) = arguments.shard {
        write!(out, "{}", division(config, shard))?;
    }
    if arguments.against_source {
        let now = Clock::System.now();
        let answers = runtime.block_on(ask(config, &sources, now));
        write!(out, "{}", sizes(config, Some((&answers, now))))?;
        write!(out, "{}", unasked(config, &answers))?;
        let mut wrong = complaints(config, &answers);
        // Where the sources do not answer, workloads are not what is wrong.
        if wrong.is_empty() {
            wrong = runtime.block_on(workloads::complaints(config, &sources, now));
        }
        if !wrong.is_empty() {
            return Err(Failure::Failed(wrong.join("\n")));
        }
    } else {
        write!(out, "{}", sizes(config, None))?;
    }
    writeln!(out, "{}: {}", arguments.file().display(), summary(config))?;
    Ok(())
}

/// Occurrences shown of each calendar.
const SHOWN: usize = 3;

/// A row for each of the next occurrences of each calendar; nothing where there is no calendar.
fn occurrences(loaded: &Loaded, now: Millis) -> String {
    let time = |at: Millis| {
        let time = jiff::Timestamp::from_millisecond(at).unwrap_or_default();
        time.strftime("%Y-%m-%d %H:%M UTC").to_string()
    };
    let mut rows = Vec::new();
    for (name, named) in &loaded.calendars {
        let next = named.calendar.next(now, SHOWN);
        if next.is_empty() {
            rows.push(vec![name.clone(), "none in five years".to_owned()]);
        }
        let shown = next
            .iter()
            .map(|one| vec![name.clone(), time(one.from), time(one.to)]);
        rows.extend(shown);
    }
    if rows.is_empty() {
        return String::new();
    }
    table::columns(&["CALENDAR", "FROM", "UNTIL"], &rows)
}

/// A row for each signal: how it is divided, whether this shard has any of it, and why so.
fn division(config: &Config, shard: Shard) -> String {
    let divisions = config.divisions();
    let rows = config.signals.iter().filter_map(|signal| {
        let own = divisions.signal(&signal.name)?;
        let share = own.share(Some(shard));
        let here = match (share.is_nothing(), share.parts()) {
            (true, _) => "nothing".to_owned(),
            (false, 1) => "all".to_owned(),
            (false, parts) => format!("about 1/{parts}"),
        };
        let why = own.why().to_owned();
        Some(vec![signal.name.clone(), own.how(shard), here, why])
    });
    let head = ["SIGNAL", "DIVIDED", &format!("SHARD {shard}"), "WHY"];
    table::columns(&head, &rows.collect::<Vec<_>>())
}

type Sources<'c> = BTreeMap<&'c str, PrometheusSource>;

/// The sources. What files hold (certificates, keys, models) is only understood when it is used: so
/// everything is built once, and all that is wrong is told. Where a model is too `slow`, signals are not built: it may hang.
fn build(loaded: &Loaded, slow: Vec<String>) -> Result<Sources<'_>, Vec<String>> {
    let (mut sources, mut wrong) = (Sources::new(), Vec::new());
    let events = Telemetry::default().source;
    for source in &loaded.config.sources {
        let name = &source.name;
        let built = match &source.kind {
            SourceKind::Prometheus(settings) => {
                let built = PrometheusSource::build(name, settings, events.clone());
                built.map(|built| drop(sources.insert(name, built)))
            }
            SourceKind::RemoteWrite(settings) => {
                let around = (Telemetry::default().intake, Clock::System);
                Receiver::build(name, settings, Arc::default(), around).map(drop)
            }
            SourceKind::Scrape(settings) => {
                let around = scrape::Surroundings {
                    taker: Arc::new(Hub::default()),
                    events: Telemetry::default().scrape,
                    clock: Clock::System,
                    board: Arc::default(),
                };
                Scraper::build(name, settings, around).map(drop)
            }
            SourceKind::Kafka(settings) => {
                let around = kafka::Surroundings {
                    hub: Arc::default(),
                    progress: Arc::new(kafka::Progress::new(None)),
                    events: Telemetry::default().kafka,
                    intake: Telemetry::default().intake,
                    clock: Clock::System,
                };
                kafka::Reader::build(name, settings, around).map(drop)
            }
        };
        wrong.extend(
            built
                .err()
                .map(|problem| format!("source {name}: {problem}")),
        );
    }
    for settings in &loaded.config.alertmanagers {
        let around = Surroundings {
            clock: Clock::System,
            events: Telemetry::default().sink,
            external_labels: BTreeMap::new(),
            page: None,
        };
        if let Err(problem) = Pusher::build(settings, around) {
            wrong.push(format!("alertmanager {}: {problem}", settings.url));
        }
    }
    for settings in &loaded.config.remote_write {
        let around = remote_write::Surroundings {
            clock: Clock::System,
            events: Telemetry::default().remote_write,
            external_labels: BTreeMap::new(),
            storage: None,
        };
        if let Err(problem) = remote_write::Writer::build(settings, around) {
            wrong.push(format!("remote_write {}: {problem}", settings.name()));
        }
    }
    for settings in &loaded.config.kafka {
        let around = sink::kafka::Surroundings {
            clock: Clock::System,
            events: Telemetry::default().kafka,
            external_labels: BTreeMap::new(),
        };
        if let Err(problem) = sink::kafka::Writer::build(settings, around) {
            wrong.push(format!("kafka {}: {problem}", settings.name()));
        }
    }
    let unit_options = UnitOptions {
        calendars: loaded.calendars.clone(),
        ..UnitOptions::default()
    };
    let signals = loaded.config.signals.iter();
    for signal in signals.filter(|_| slow.is_empty()) {
        let built = SignalUnit::new(signal, &unit_options, &loaded.models);
        if let Err(problem) = built {
            wrong.push(format!("signal {}: {problem}", signal.name));
        }
    }
    wrong.extend(slow);
    if wrong.is_empty() {
        Ok(sources)
    } else {
        Err(wrong)
    }
}

fn summary(config: &Config) -> String {
    let count = |number: usize, word: &str| {
        let plural = if number == 1 { "" } else { "s" };
        format!("{number} {word}{plural}")
    };
    let mut parts = vec![
        count(config.sources.len(), "source"),
        count(config.signals.len(), "signal"),
        count(config.panels.len(), "panel"),
    ];
    if !config.workloads.is_empty() {
        parts.push(count(config.workloads.len(), "workload"));
    }
    if !config.alertmanagers.is_empty() {
        parts.push(count(config.alertmanagers.len(), "alertmanager"));
    }
    if !config.remote_write.is_empty() {
        parts.push(count(config.remote_write.len(), "remote write receiver"));
    }
    if !config.kafka.is_empty() {
        parts.push(count(config.kafka.len(), "topic"));
    }
    format!("{}: no problem found", parts.join(", "))
}

/// What a source said of one signal.
type Said = Result<Probe, Silence>;

/// Why a source said nothing of a signal.
enum Silence {
    /// It is not to be reached.
    Lost(String),
    /// It was not to be reached for a signal before.
    Skipped,
    /// It answered, but not with samples.
    Refused(String),
    /// It is scraped or pushed to, and answers nobody.
    Unasked,
}

/// A row for each signal, and the sum. With answers of the sources, the series that are really there.
fn sizes(config: &Config, answers: Option<(&[Said], Millis)>) -> String {
    let memory = Memory::of(config);
    let mut head = vec![
        "SIGNAL",
        "CLASS",
        "WHY",
        "MAX SERIES",
        "PER SERIES",
        "AT MOST",
    ];
    if answers.is_some() {
        head.extend(["SERIES", "NOW", "HISTORY"]);
    }
    let mut rows = Vec::new();
    for (index, unit) in memory.units.iter().enumerate() {
        let mut row = vec![
            unit.name.clone(),
            unit.class.as_str().to_owned(),
            unit.why.clone(),
            unit.series.to_string(),
            show_bytes(unit.bytes_per_series),
            show_bytes(unit.bytes()),
        ];
        if let Some((answers, now)) = answers {
            let signal = config.signals.get(index);
            row.extend(
                signal.map_or_else(Vec::new, |signal| match answers.get(index) {
                    Some(Err(Silence::Unasked)) => vec!["not asked".to_owned()],
                    answer => {
                        let answer = answer.and_then(|answer| answer.as_ref().ok());
                        found(signal, answer, unit.bytes_per_series, now)
                    }
                }),
            );
        }
        rows.push(row);
    }
    let mut text = table::columns(&head, &rows);
    text.push_str(&format!(
        "memory of all series at most: {}\n",
        show_bytes(memory.bytes())
    ));
    text
}

/// Series, memory and history as the source has them.
fn found(
    signal: &SignalSettings,
    answer: Option<&Probe>,
    bytes_per_series: usize,
    now: Millis,
) -> Vec<String> {
    let Some(probe) = answer else {
        return vec!["no answer".to_owned()];
    };
    let kept = probe.series.min(signal.max_series);
    let series = if kept < probe.series {
        format!("{} ({} left out)", probe.series, probe.series - kept)
    } else {
        probe.series.to_string()
    };
    let memory = show_bytes(kept.saturating_mul(bytes_per_series));
    vec![series, memory, reach(signal.history(), probe.oldest, now)]
}

/// How far back samples reach, in words.
fn reach(wanted: Span, oldest: Option<Millis>, now: Millis) -> String {
    let Some(oldest) = oldest else {
        return format!("none of {wanted}");
    };
    // The source is asked at about 500 places, so the last one may miss by that much.
    let slack = wanted.as_millis() / 100;
    let reached = now - oldest;
    if reached + slack >= wanted.as_millis() {
        return format!("all of {wanted}");
    }
    let minute = 60_000;
    let rounded = Span::millis((reached / minute).max(1) * minute);
    format!("{rounded} of {wanted}")
}

/// Asks the source of each signal, one after another: a check must not be a load. A source that is
/// not to be reached is asked once.
async fn ask(config: &Config, sources: &Sources<'_>, now: Millis) -> Vec<Said> {
    let mut lost = BTreeSet::new();
    let mut answers = Vec::new();
    for signal in &config.signals {
        let source = config.source_of(signal);
        if source.is_some_and(|source| source.kind.as_prometheus().is_none()) {
            answers.push(Err(Silence::Unasked));
            continue;
        }
        let name = source.map(|source| source.name.as_str());
        let Some((name, source)) = name.and_then(|name| Some((name, sources.get(name)?))) else {
            answers.push(Err(Silence::Refused("it has no source".to_owned())));
            continue;
        };
        if lost.contains(name) {
            answers.push(Err(Silence::Skipped));
            continue;
        }
        let asked = source.probe(&signal.query, now, signal.history(), signal.step);
        answers.push(asked.await.map_err(|error| match error.cause {
            Cause::Connect | Cause::BreakerOpen => {
                lost.insert(name);
                Silence::Lost(format!("source {name} cannot be reached: {error}"))
            }
            _ => Silence::Refused(error.to_string()),
        }));
    }
    answers
}

/// Says which signals nobody was asked about, and where to look instead; nothing where all were.
fn unasked(config: &Config, answers: &[Said]) -> String {
    let all = config.signals.iter().zip(answers);
    let unasked = all.filter(|(_, answer)| matches!(answer, Err(Silence::Unasked)));
    let names: Vec<&str> = unasked.map(|(signal, _)| signal.name.as_str()).collect();
    if names.is_empty() {
        return String::new();
    }
    format!(
        "not asked: {}, whose samples come by themselves; once it runs, the metric forethought_intake_series and GET /api/v1/targets say what came\n",
        names.join(", ")
    )
}

/// What is wrong with the answers, a line each.
fn complaints(config: &Config, answers: &[Said]) -> Vec<String> {
    let answers = config.signals.iter().zip(answers);
    answers
        .filter_map(|(signal, answer)| {
            let SignalSettings { name, query, .. } = signal;
            match answer {
                Err(Silence::Lost(text)) => Some(text.clone()),
                Err(Silence::Skipped | Silence::Unasked) => None,
                Err(Silence::Refused(text)) => Some(format!("signal {name}: {text}")),
                Ok(Probe { series: 0, oldest: None }) => Some(format!(
                    "signal {name}: the query matches nothing, now or in the history, so nothing would be published; look for a mistaken metric or label name in {query}"
                )),
                Ok(Probe { series: 0, oldest: Some(_) }) => Some(format!(
                    "signal {name}: the query matches nothing now, though it did before, so nothing would be published; is what it watches still scraped? {query}"
                )),
                Ok(_) => None,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_said_in_words() {
        let now = 1_767_225_600_000;
        let day = 86_400_000;
        let wanted = Span::days(21);
        assert_eq!(reach(wanted, Some(now - 21 * day), now), "all of 21d");
        assert_eq!(reach(wanted, Some(now - 3 * day), now), "3d of 21d");
        assert_eq!(reach(wanted, None, now), "none of 21d");
    }

    #[test]
    fn a_query_without_series_is_a_complaint() {
        let config = Config::single("http://x:1", "load", "node_laod1").unwrap();
        let said = |series, oldest| complaints(&config, &[Ok(Probe { series, oldest })]).concat();
        let never = said(0, None);
        assert!(
            never.starts_with("signal load: the query matches nothing, now or"),
            "{never}"
        );
        assert!(never.ends_with("node_laod1"), "{never}");
        assert!(said(0, Some(1)).contains("though it did before"));
        assert_eq!(said(1, None), "");
    }

    #[test]
    fn the_table_shows_what_the_source_has() {
        let mut config = Config::single("http://x:1", "load", "up").unwrap();
        config.signals[0].max_series = 10;
        let now = 1_767_225_600_000;
        let answers = [Ok(Probe {
            series: 12,
            oldest: Some(now - 86_400_000),
        })];
        let text = sizes(&config, Some((&answers, now)));
        assert!(text.contains("12 (2 left out)"), "{text}");
        assert!(text.contains("24h of 21d"), "{text}");
        let refused = [Err(Silence::Refused("refused".to_owned()))];
        assert!(sizes(&config, Some((&refused, now))).contains("no answer"));
        assert_eq!(complaints(&config, &refused), ["signal load: refused"]);
    }
}
