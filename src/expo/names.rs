//! The names that are ours: what we publish, and what a signal therefore cannot be called.

use super::Kind;
use std::borrow::Cow;

/// One family that the evaluation of signals and panels publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its help text.
    pub help: &'static str,
    /// The labels it adds to those of the source.
    pub labels: &'static [&'static str],
}

/// The families with a fixed name, sorted. Those named after a signal are made by [`forecast_families`].
pub const OWN_FAMILIES: &[Family] = &[
    Family {
        name: "anomaly_active",
        kind: Kind::Gauge,
        help: "Whether the series is anomalous after debounce, hysteresis and refractory period (0 or 1).",
        labels: &["signal"],
    },
    Family {
        name: "anomaly_budget_exceeded_ratio",
        kind: Kind::Gauge,
        help: "Share of the signal's series that had more alarms than their budget, so that their bounds are wider, 0 to 1.",
        labels: &["signal"],
    },
    Family {
        name: "anomaly_channel_ratio",
        kind: Kind::Gauge,
        help: "Share of the panel's signals in which the entity has a verdict of at least a warning, 0 to 1.",
        labels: &["signal"],
    },
    Family {
        name: "anomaly_detector_score",
        kind: Kind::Gauge,
        help: "Score of one detector: 0 as expected, 1 at its threshold, above 1 anomalous.",
        labels: &["signal", "detector"],
    },
    Family {
        name: "anomaly_direction",
        kind: Kind::Gauge,
        help: "Side of the expected value the series is on: -1 below, 0 as expected, 1 above.",
        labels: &["signal"],
    },
    Family {
        name: "anomaly_events_total",
        kind: Kind::Counter,
        help: "Anomalies begun since the start of this process, by direction.",
        labels: &["signal", "direction"],
    },
    Family {
        name: "anomaly_group_ratio",
        kind: Kind::Gauge,
        help: "Share of the signal's series that are anomalous, 0 to 1.",
        labels: &["signal"],
    },
    Family {
        name: "anomaly_score",
        kind: Kind::Gauge,
        help: "Combined score of the detectors: 0 as expected, above 1 where something anomalous begins or gets twice as bad, just below 1 while it goes on.",
        labels: &["signal"],
    },
    Family {
        name: "anomaly_severity",
        kind: Kind::Gauge,
        help: "Severity of the anomaly: 0 none, 1 info, 2 warning, 3 critical, 4 emergency.",
        labels: &["signal"],
    },
    Family {
        name: "forethought_forecast_fallback_ratio",
        kind: Kind::Gauge,
        help: "Share of the signal's series that are not forecast with what was chosen for them, as that has no answer, 0 to 1.",
        labels: &["signal", "horizon"],
    },
    Family {
        name: "forethought_forecast_series",
        kind: Kind::Gauge,
        help: "Series of the signal with a value now, by the link of the chain that forecasts them; absent: none does.",
        labels: &["signal", "horizon", "link"],
    },
    Family {
        name: "forethought_model_breaker_state",
        kind: Kind::Gauge,
        help: "Circuit breaker of a network: 1 for the state it is in; while it is open the network is not asked.",
        labels: &["signal", "model", "state"],
    },
    Family {
        name: "forethought_model_loss_ratio",
        kind: Kind::Gauge,
        help: "Loss of a version of a trained model relative to a naive forecast, 1 as good, below better; newer forecasts count more.",
        labels: &["signal", "model", "version", "horizon", "role"],
    },
    Family {
        name: "forethought_model_scored_forecasts",
        kind: Kind::Gauge,
        help: "Forecasts of the version in force, and of its challenger where there is one, that these losses are made of.",
        labels: &["signal", "model", "horizon"],
    },
    Family {
        name: "predicted_coverage_ratio",
        kind: Kind::Gauge,
        help: "Share of recent actual values that fell inside their interval; median over the signal's series.",
        labels: &["signal", "horizon"],
    },
    Family {
        name: "predicted_decided_timestamp_seconds",
        kind: Kind::Gauge,
        help: "When the workload's recommendation was decided, seconds since the epoch.",
        labels: &["workload"],
    },
    Family {
        name: "predicted_demand",
        kind: Kind::Gauge,
        help: "What the workload is to be ready for, for autoscalers with a fixed target: the recommended size times what one replica can take as declared (of a learned capacity its `otherwise`); in mode observe the demand as it is.",
        labels: &["workload"],
    },
    Family {
        name: "predicted_demand_forecast",
        kind: Kind::Gauge,
        help: "Quantile of the greatest demand within lead time, pipeline and review, whatever the gate says, in the unit of the demand.",
        labels: &["workload"],
    },
    Family {
        name: "predicted_drift_score",
        kind: Kind::Gauge,
        help: "Drift: how far the newest day and the errors of forecasts are from those that the forecasts were derived from, 1 at the threshold; median over the signal's series.",
        labels: &["signal"],
    },
    Family {
        name: "predicted_error_ratio",
        kind: Kind::Gauge,
        help: "Error of recent forecasts (sum of absolute errors over sum of absolute values); median over the signal's series.",
        labels: &["signal", "horizon"],
    },
    Family {
        name: "predicted_gate_open",
        kind: Kind::Gauge,
        help: "Whether the forecast counts in the workload's recommendation (0 or 1).",
        labels: &["workload"],
    },
    Family {
        name: "predicted_generated_timestamp_seconds",
        kind: Kind::Gauge,
        help: "When the forecast behind the workload's recommendation was made, seconds since the epoch.",
        labels: &["workload"],
    },
    Family {
        name: "predicted_mode_info",
        kind: Kind::Gauge,
        help: "Mode of the workload, and open or why its gate is shut.",
        labels: &["workload", "mode", "gate"],
    },
    Family {
        name: "predicted_model_info",
        kind: Kind::Gauge,
        help: "Forecasting models in force, with the version of this program, or of the trained model such as `checkout/7`.",
        labels: &["signal", "model", "version"],
    },
    Family {
        name: "predicted_queue_drain_seconds",
        kind: Kind::Gauge,
        help: "Time until the queue in front of the workload is empty at its present pace; absent while it does not shrink.",
        labels: &["workload"],
    },
    Family {
        name: "predicted_queue_growth_per_minute",
        kind: Kind::Gauge,
        help: "By how much the queue in front of the workload grows in a minute, below 0 where it shrinks.",
        labels: &["workload"],
    },
    Family {
        name: "predicted_queue_trend_info",
        kind: Kind::Gauge,
        help: "What the queue in front of the workload does: growing_fast, growing_slow, stable, shrinking.",
        labels: &["workload", "trend"],
    },
    Family {
        name: "predicted_replicas",
        kind: Kind::Gauge,
        help: "Recommended size of the workload after every constraint and guard; in mode observe what the present demand alone asks for.",
        labels: &["workload"],
    },
    Family {
        name: "predicted_replicas_part",
        kind: Kind::Gauge,
        help: "What the recommended size is made of: the size that each part asks for or allows.",
        labels: &["workload", "part"],
    },
    Family {
        name: "predicted_skill_ratio",
        kind: Kind::Gauge,
        help: "1 minus the error relative to seasonal naive, below 0 where that is better; median over the signal's series.",
        labels: &["signal", "horizon"],
    },
    Family {
        name: "predicted_workload_capacity",
        kind: Kind::Gauge,
        help: "What one replica can take, declared or learned, in the unit of the demand.",
        labels: &["workload"],
    },
    Family {
        name: "predicted_workload_cost_per_hour",
        kind: Kind::Gauge,
        help: "What the recommended size costs in an hour, in the currency of the configuration.",
        labels: &["workload"],
    },
    Family {
        name: "predicted_workload_coverage_ratio",
        kind: Kind::Gauge,
        help: "Share of recent greatest demands that were at or below their quantile, in the worst of the workload's windows: estimated from how the upper end of the signal's interval held.",
        labels: &["workload"],
    },
    Family {
        name: "predicted_workload_lead_time_seconds",
        kind: Kind::Gauge,
        help: "From a decision until its replicas are ready, as the recommendation reckons with it.",
        labels: &["workload"],
    },
    Family {
        name: "predicted_workload_level_ratio",
        kind: Kind::Gauge,
        help: "Level of the quantile of demand that the workload is to be ready for, 0 to 1.",
        labels: &["workload"],
    },
    Family {
        name: "predicted_workload_on_demand_replicas",
        kind: Kind::Gauge,
        help: "How many of the recommended replicas must not be ones that may vanish.",
        labels: &["workload"],
    },
    Family {
        name: "predicted_workload_skill_ratio",
        kind: Kind::Gauge,
        help: "1 minus the error relative to seasonal naive of the workload's window forecasts, below 0 where that is better.",
        labels: &["workload"],
    },
];

/// The families in which rules can read the verdicts of every signal and panel, told apart by the label `signal`; sorted.
pub const VERDICTS: [&str; 4] = [
    "anomaly_active",
    "anomaly_direction",
    "anomaly_score",
    "anomaly_severity",
];

/// Before a signal's name these make the name of another of its families, or of a workload's.
const RESERVED_PREFIXES: &[&str] = &["lower_", "upper_", "window_max_", "workload_"];

/// Suffixes with a meaning in the formats; promtool refuses them on a gauge.
const RESERVED_SUFFIXES: &[&str] = &["_bucket", "_count", "_info", "_sum", "_total"];

/// Labels that are ours or that the formats gave a meaning, sorted. See [`published_label_name`].
pub const OWN_LABELS: &[&str] = &[
    "detector",
    "direction",
    "forethought_replica",
    "gate",
    "horizon",
    "le",
    "mode",
    "model",
    "part",
    "quantile",
    "signal",
    "trend",
    "version",
    "workload",
];

/// What a source label named like one of ours is prefixed with.
const SOURCE_PREFIX: &str = "source_";

/// A family named after a signal: its name and its help text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForecastFamily {
    /// `predicted_<signal>`, `predicted_lower_<signal>` or `predicted_upper_<signal>`.
    pub name: String,
    /// Names the signal and the rule that made the name.
    pub help: String,
}

/// The families of a signal's expected value, lower bound and upper bound, each with the label `horizon`.
pub fn forecast_families(signal: &str) -> [ForecastFamily; 3] {
    families(signal, |what| {
        format!(
            "{what} of the signal {signal} at now plus the horizon (0s: now), computed once per step."
        )
    })
}

/// The same of the greatest value between now and now plus the horizon: `predicted_window_max_<signal>` and its bounds.
pub fn maximum_families(signal: &str) -> [ForecastFamily; 3] {
    families(&format!("window_max_{signal}"), |what| {
        format!(
            "{what} of the greatest value of the signal {signal} between now and now plus the horizon, computed once per step."
        )
    })
}

fn families(of: &str, help: impl Fn(&str) -> String) -> [ForecastFamily; 3] {
    [
        ("", "Expected value"),
        ("lower_", "Lower end of the prediction interval"),
        ("upper_", "Upper end of the prediction interval"),
    ]
    .map(|(part, what)| ForecastFamily {
        name: format!("predicted_{part}{of}"),
        help: help(what),
    })
}

/// The names of what rules can read of one signal alone: values, forecasts, greatest values ahead. Of all: [`VERDICTS`].
pub fn names_of_signal(signal: &str) -> Vec<String> {
    let forecasts = [forecast_families(signal), maximum_families(signal)];
    let forecasts = forecasts.into_iter().flatten().map(|family| family.name);
    forecasts.chain([signal.to_owned()]).collect()
}

/// The fixed family of that name.
pub fn own_family(name: &str) -> Option<&'static Family> {
    OWN_FAMILIES.iter().find(|family| family.name == name)
}

/// Why a signal cannot have this name, and what it can have; `None` where it can.
pub fn refuse_signal_name(name: &str) -> Option<String> {
    if let Some(why) = refuse_letters(name) {
        return Some(why);
    }
    let prefix = RESERVED_PREFIXES
        .iter()
        .find(|&&prefix| name.starts_with(prefix));
    if let Some(prefix) = prefix {
        return Some(format!(
            "a signal's name must not start with {prefix:?}: \"predicted_{name}\" would be one of our own names; other beginnings than {} are allowed",
            list(RESERVED_PREFIXES)
        ));
    }
    let suffix = RESERVED_SUFFIXES
        .iter()
        .find(|&&suffix| name.ends_with(suffix));
    if let Some(suffix) = suffix {
        return Some(format!(
            "a signal's name must not end in {suffix:?}, which the exposition formats keep for other types; name the quantity, such as http_requests_per_second"
        ));
    }
    let published = format!("predicted_{name}");
    let ours = OWN_FAMILIES
        .iter()
        .map(|family| family.name)
        .any(|own| own == published);
    ours.then(|| {
        format!("a signal cannot be named {name:?}: it would be published as \"{published}\", which is one of our own names; choose another, such as \"{name}_of_source\"")
    })
}

fn refuse_letters(name: &str) -> Option<String> {
    let first = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let rest = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (!first || !rest).then(|| {
        format!("a signal's name must be made of letters, digits and underscores and not start with a digit ([a-zA-Z_][a-zA-Z0-9_]*, no colons); got {name:?}")
    })
}

fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    quoted.join(", ")
}

/// The name under which a label of the source is published. One that is named like one of ours gets
/// `source_` in front; so does one that already looks like the result of that, so that two labels of a
/// source never become one.
pub fn published_label_name(source_name: &str) -> Cow<'_, str> {
    let mut bare = source_name;
    while let Some(rest) = bare.strip_prefix(SOURCE_PREFIX) {
        bare = rest;
    }
    if OWN_LABELS.contains(&bare) {
        Cow::Owned(format!("{SOURCE_PREFIX}{source_name}"))
    } else {
        Cow::Borrowed(source_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_without_repetition() {
        assert!(
            OWN_FAMILIES
                .windows(2)
                .all(|pair| pair[0].name < pair[1].name)
        );
        for list in [OWN_LABELS, RESERVED_PREFIXES, RESERVED_SUFFIXES, &VERDICTS] {
            assert!(list.windows(2).all(|pair| pair[0] < pair[1]), "{list:?}");
        }
        for name in VERDICTS {
            let family = own_family(name).unwrap();
            assert_eq!(family.labels, ["signal"], "{name}");
        }
        for family in OWN_FAMILIES {
            // What is about ourselves has no labels of the source to make room for.
            let beside_the_source = !family.name.starts_with("forethought_");
            let known = family.labels.iter().all(|label| OWN_LABELS.contains(label));
            assert!(known || !beside_the_source, "{}", family.name);
            assert_eq!(
                family.kind == Kind::Counter,
                family.name.ends_with("_total")
            );
        }
    }

    #[test]
    fn names_that_would_clash_are_refused_with_what_is_allowed() {
        let cases = [
            ("", "letters"),
            ("5xx", "not start with a digit"),
            ("job:http:rate5m", "no colons"),
            ("a.b", "letters"),
            ("größe", "letters"),
            ("lower_x", "must not start with \"lower_\""),
            ("upper_bound", "must not start with \"upper_\""),
            ("workload_x", "must not start with \"workload_\""),
            ("window_max_x", "must not start with \"window_max_\""),
            ("http_requests_total", "must not end in \"_total\""),
            ("x_count", "\"_count\""),
            ("x_sum", "\"_sum\""),
            ("x_bucket", "\"_bucket\""),
            ("x_info", "\"_info\""),
            ("replicas", "one of our own names"),
            ("replicas_part", "one of our own names"),
            ("demand", "predicted_demand"),
            ("error_ratio", "predicted_error_ratio"),
            ("drift_score", "one of our own names"),
        ];
        for (name, part) in cases {
            let why = refuse_signal_name(name).unwrap_or_default();
            assert!(why.contains(part), "{name}: {why}");
            assert!(!why.ends_with('.'), "{why}");
        }
        for name in [
            "http_requests_per_second",
            "_x",
            "cpu_ratio",
            "score",
            "replicas_ready",
            "lower",
        ] {
            assert_eq!(refuse_signal_name(name), None, "{name}");
        }
    }

    #[test]
    fn no_allowed_signal_makes_a_name_twice() {
        let signals = [
            "x",
            "score",
            "lower",
            "upper",
            "replicas_ready",
            "anomaly_score",
        ];
        let mut names: Vec<String> = signals
            .iter()
            .flat_map(|signal| [forecast_families(signal), maximum_families(signal)])
            .flat_map(|families| families.map(|family| family.name))
            .chain(OWN_FAMILIES.iter().map(|family| family.name.to_string()))
            .collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn labels_of_the_source_make_room_for_ours_and_stay_apart() {
        assert_eq!(published_label_name("pod"), "pod");
        assert_eq!(published_label_name("source"), "source");
        assert_eq!(published_label_name("source_pod"), "source_pod");
        assert_eq!(published_label_name("signal"), "source_signal");
        assert_eq!(
            published_label_name("source_signal"),
            "source_source_signal"
        );
        assert_eq!(published_label_name("le"), "source_le");
    }
}
