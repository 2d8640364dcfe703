//! Every key with what is not allowed of it.

use super::*;

fn signal(change: impl FnOnce(&mut SignalSettings)) -> Vec<String> {
    let mut signal = SignalSettings::new("x", "x");
    change(&mut signal);
    let found = signal.validate().into_iter();
    found
        .map(|(path, text)| format!("{path}: {text}"))
        .collect()
}

#[track_caller]
fn check(change: impl FnOnce(&mut SignalSettings), expected: &[&str]) {
    let found = signal(change);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found} is not {expected}");
    }
}

#[test]
fn defaults_are_sound() {
    check(|_| (), &[]);
    assert_eq!(SignalSettings::new("x", "x").max_age(), Span::seconds(330));
}

#[test]
fn every_limit_is_kept() {
    check(
        |s| s.step = Span::millis(0),
        &["step: 0s is not allowed; allowed: 1s to 24h"],
    );
    check(|s| s.step = Span::millis(i64::MAX), &["step: "]);
    check(
        |s| {
            s.history = Some(Span::minutes(63)).into();
        },
        &["history: 1h3m is not allowed with a step of 1m; allowed: 2h8m to"],
    );
    check(
        |s| s.history = Some(Span::seconds(21 * 86_400 + 1)).into(),
        &["history: 504h1s is not a whole number"],
    );
    check(
        |s| s.forecast.horizons = Some(vec![Span::days(7), Span::days(8)]),
        &[
            "forecast.horizons[1]: 8d is too long; at",
            "forecast.horizons[1]: 8d is too long for",
        ],
    );
    check(
        |s| s.offset = Span::days(1),
        &["offset: 24h is not allowed"],
    );
    check(
        |s| s.max_age = Some(Span::seconds(90)),
        &["max_age: 1m30s is not allowed"],
    );
    check(
        |s| s.max_series = 0,
        &["max_series: 0 is not allowed; allowed: 1 to 1000000"],
    );
    check(
        |s| s.timezone = Some("Mars/X".into()),
        &["timezone: unknown time zone"],
    );
    check(
        |s| s.range.min = Some(f64::NAN),
        &["range.min: is not a finite"],
    );
    check(
        |s| {
            s.range = ValueRange {
                min: Some(1.0),
                max: Some(1.0),
            }
        },
        &["range.max: 1 is not above"],
    );
    check(
        |s| s.detectors = Some(vec![]),
        &["detectors: an empty list; allowed: "],
    );
    check(
        |s| s.alerting.refractory = Some(Span::days(2)),
        &[
            "alerting.refractory: 2d is too long: for (2m), recover_for (5m) and refractory (2d) must fit together into 24h",
        ],
    );
    check(
        |s| {
            s.alerting.hold = Some(Span::minutes(600));
            s.alerting.recover_for = Some(Span::minutes(600));
            s.alerting.refractory = Some(Span::minutes(300));
        },
        &["alerting.recover_for: 10h is too long: "],
    );
    let day = Span::days(1);
    check(
        |s| s.seasonality = Seasonality::Given(vec![day, Span::days(11), day, Span::seconds(330)]),
        &[
            "seasonality[1]: 11d",
            "seasonality[2]: 24h is listed twice",
            "seasonality[3]: 5m30s is not a whole",
        ],
    );
}

#[test]
fn the_default_detectors_compare_peers_where_they_are_named() {
    let kinds = |text: &str| -> Vec<String> {
        let text = format!("{{name: x, query: x, {text}}}");
        let yaml = serde_yaml::Deserializer::from_str(&text);
        let signal: SignalSettings =
            serde_yaml::with::singleton_map_recursive::deserialize(yaml).unwrap();
        assert_eq!(signal.validate(), []);
        let detectors = signal.detectors().into_iter();
        let shown = detectors.map(|detector| match detector {
            detect::Settings::Dbscan(settings) => format!("dbscan {:?}", settings.by),
            other => other.kind().to_owned(),
        });
        shown.collect()
    };
    let usual = ["envelope", "forecast_residual", "zscore"];
    assert_eq!(kinds("peers: []"), usual);
    let among = kinds("peers: [app], combine: {at_least: 4}");
    assert_eq!(among[0], "dbscan [\"app\"]");
    assert_eq!(among[1..], usual);
    let own = "peers: [app], detectors: [{zscore: {}}, {dbscan: {}}]";
    assert_eq!(kinds(own), ["zscore", "dbscan [\"app\"]"]);
    let by = "peers: [app], detectors: [{dbscan: {by: [tier]}}]";
    assert_eq!(kinds(by), ["dbscan [\"tier\"]"]);
    let found = signal(|signal| signal.peers = vec!["a-b".to_owned()]);
    assert!(found[0].starts_with("peers[0]: "), "{found:?}");
}

#[test]
fn a_panel_remembers_so_many_steps() {
    let panel = |alerting: &str| -> Vec<String> {
        let text = format!(
            "{{name: p, signals: [a, b], on: [i], detectors: [{{dbscan: {{}}}}], alerting: {alerting}}}"
        );
        let yaml = serde_yaml::Deserializer::from_str(&text);
        let panel: PanelSettings =
            serde_yaml::with::singleton_map_recursive::deserialize(yaml).unwrap();
        let found = panel.validate(Grid::new(1_000), None).into_iter();
        found.map(|(path, _)| path).collect()
    };
    assert_eq!(panel("{}"), [""; 0]);
    assert_eq!(panel("{refractory: 30m}"), ["alerting.refractory"]);
    assert_eq!(
        panel("{adapt_after: 1h, budget: {alarms: 1, per: 1w}}"),
        ["alerting.adapt_after", "alerting.budget"]
    );
    assert_eq!(
        panel("{refractory: 1m, for: 10s, recover_for: 10s}"),
        [""; 0]
    );
}

#[test]
fn panel_kinds_are_those_that_can_be_built() {
    let grid = Grid::new(1).unwrap();
    for kind in detect::KINDS {
        let text = format!("{{{kind}: {{}}}}");
        let yaml = serde_yaml::Deserializer::from_str(&text);
        let settings: detect::Settings =
            serde_yaml::with::singleton_map_recursive::deserialize(yaml).unwrap();
        let can = settings.build_panel(grid).is_some();
        assert_eq!(PANEL_KINDS.contains(kind), can, "{kind}");
    }
}

#[test]
fn the_class_follows_max_series() {
    let mut signal = SignalSettings::new("x", "x");
    assert_eq!(signal.size_class().as_str(), "deep");
    assert!(signal.bytes_per_series() <= 300_000);
    let plain = signal.bytes_per_series();
    let heavy = |past: usize| {
        let settings = detect::matrix_profile::Settings {
            past,
            ..detect::matrix_profile::Settings::default()
        };
        Some(vec![detect::Settings::MatrixProfile(settings)])
    };
    signal.detectors = heavy(2_016);
    assert!((45_000..55_000).contains(&(signal.bytes_per_series() - plain)));
    // Refused, and so not made to be measured.
    signal.detectors = heavy(usize::MAX);
    assert_eq!(signal.bytes_per_series(), plain);
    signal.detectors = None;
    signal.max_series = crate::engine::signal::DEEP_SERIES + 1;
    assert_eq!(signal.size_class().as_str(), "wide");
    assert!(signal.bytes_per_series() < 10_000);
}
