//! `forethought rules`: recording rules that keep the long past of signals, for horizons of weeks and months.

use super::Failure;
use crate::{
    app::{self, AppOptions, ConfigSource},
    config::Config,
    engine::SignalSettings,
    series::Span,
};
use std::{io::Write, path::PathBuf};

const EXAMPLES: &str = "\
Examples:
  forethought rules --config.file=forethought.yml > forethought-capacity.rules.yml
  forethought rules --config.file=forethought.yml --signal=http_requests_per_second | promtool check rules

Of each signal the mean and the maximum of every hour, as signal:NAME:avg1h and signal:NAME:max1h. Load the file into the
Prometheus that the signal is asked of, then forecast the recorded series on a grid of hours:
  signals:
    - name: http_requests_capacity
      query: signal:http_requests_per_second:max1h
      step: 1h
      history: {length: 400d, min: 14d}
      forecast: {horizons: [7d, 30d, 90d]}
The past before the rules were loaded: promtool tsdb create-blocks-from rules. Signals on a grid of half an hour and
coarser are left out: they need no rules.
Exit codes: 0 all well, 1 there is no such signal, 2 usage or configuration.";

/// What one value of the rules stands for.
const SPAN: Span = Span::minutes(60);
/// A query finds samples that are less than five minutes old: rules that run less often would leave holes.
const INTERVAL: &str = "2m";
/// Of each rule the operation, and what it is of the values of [`SPAN`].
const OPERATIONS: [(&str, &str); 2] = [("avg1h", "avg_over_time"), ("max1h", "max_over_time")];

/// Arguments of `rules`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The configuration file
    #[arg(
        long = "config.file",
        visible_alias = "config",
        value_name = "FILE",
        default_value = "forethought.yml"
    )]
    config_file: PathBuf,
    /// Only this signal; may be given more than once
    #[arg(long, value_name = "NAME")]
    signal: Vec<String>,
}

/// Writes the rules.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let options = AppOptions::new(ConfigSource::File(arguments.config_file.clone()));
    let loaded = runtime
        .block_on(app::load(&options))
        .map_err(Failure::Usage)?;
    let signals = chosen(&loaded.config, &arguments.signal).map_err(Failure::Failed)?;
    let source = |signal| {
        loaded
            .config
            .source_of(signal)
            .map_or("", |source| &source.name)
    };
    let groups: Vec<String> = signals.iter().map(|one| group(one, source(one))).collect();
    write!(out, "groups:\n{}", groups.join("\n"))?;
    Ok(())
}

/// The signals that are asked for and fine enough.
fn chosen<'c>(config: &'c Config, names: &[String]) -> Result<Vec<&'c SignalSettings>, String> {
    for name in names {
        if !config.signals.iter().any(|signal| signal.name == *name) {
            let known: Vec<&str> = config.signals.iter().map(|one| one.name.as_str()).collect();
            return Err(format!(
                "--signal: no signal is called {name:?}; there are {}",
                known.join(", ")
            ));
        }
    }
    // There is no Prometheus that would keep what is scraped or pushed.
    let recorded = |signal: &&SignalSettings| signal.select.is_none();
    let all = config.signals.iter();
    if let Some(other) = all
        .clone()
        .find(|one| names.contains(&one.name) && !recorded(one))
    {
        return Err(format!(
            "--signal: the samples of {:?} come by themselves, so no Prometheus could record it; its history is kept by --storage.path of run",
            other.name
        ));
    }
    if !config.signals.iter().any(|signal| recorded(&signal)) {
        let text = "the samples of every signal come by themselves, so no Prometheus could record them; their history is kept by --storage.path of run";
        return Err(text.to_owned());
    }
    let fine = all.filter(recorded).filter(|signal| {
        let asked = names.is_empty() || names.contains(&signal.name);
        asked && 2 * signal.step.as_millis() < SPAN.as_millis()
    });
    let fine: Vec<&SignalSettings> = fine.collect();
    match fine.is_empty() {
        true => Err(
            "every signal is on a grid of half an hour or coarser: no rules are needed".to_owned(),
        ),
        false => Ok(fine),
    }
}

fn group(signal: &SignalSettings, source: &str) -> String {
    let (name, step) = (&signal.name, signal.step);
    let mut text = format!(
        "  # Of the source {source:?}.\n  - name: forethought-capacity-{name}\n    interval: {INTERVAL}\n    rules:\n"
    );
    for (operation, function) in OPERATIONS {
        let query: Vec<String> = signal
            .query
            .trim()
            .lines()
            .map(|line| format!("            {}", line.trim_end()))
            .collect();
        let query = query.join("\n");
        text += &format!(
            "      - record: signal:{name}:{operation}\n        expr: |\n          {function}((\n{query}\n          )[1h:{step}])\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(query: &str) -> SignalSettings {
        let mut signal = SignalSettings::new("rps", query);
        signal.step = Span::seconds(30);
        signal
    }

    #[test]
    fn rules_keep_the_query_and_read_it_as_often_as_the_signal_does() {
        let text = format!(
            "groups:\n{}",
            group(&signal("sum(\n  rate(x[2m]) # all\n)"), "main")
        );
        let read: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        let group = &read["groups"][0];
        assert_eq!(group["name"], "forethought-capacity-rps");
        let rules = group["rules"].as_array().unwrap();
        assert_eq!(rules[1]["record"], "signal:rps:max1h");
        let expected = "max_over_time((\n  sum(\n    rate(x[2m]) # all\n  )\n)[1h:30s])\n";
        assert_eq!(rules[1]["expr"], expected);
        for rule in rules {
            let expression = rule["expr"].as_str().unwrap();
            assert!(
                crate::promql::check_query(expression).is_ok(),
                "{expression}"
            );
        }
    }
}
