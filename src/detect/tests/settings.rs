//! What a person writes in the configuration file.

use crate::{baseline, detect};
use serde_yaml::with::singleton_map_recursive;

#[derive(Debug, serde::Deserialize)]
struct Signal {
    #[serde(default, with = "singleton_map_recursive")]
    baseline: baseline::Settings,
    #[serde(default, with = "singleton_map_recursive")]
    detectors: Vec<detect::Settings>,
    #[serde(default, with = "singleton_map_recursive")]
    combine: detect::Combine,
    #[serde(default)]
    alerting: detect::AlertingSettings,
    #[serde(default)]
    severity: detect::SeverityThresholds,
}

fn read(text: &str) -> Signal {
    serde_yaml::from_str(text).unwrap()
}

#[test]
fn the_documented_forms_are_read() {
    let signal = read(
        "detectors: [{zscore: {threshold: 8}}, {envelope: {}}, {dbscan: {by: [deployment]}}]\n\
         combine: {at_least: 2}\n\
         baseline: {seasonal: {width: 4}}\n\
         alerting: {direction: above, min_deviation: 5, min_relative_deviation: 0.1, for: 3m, recover_for: 5m}\n\
         severity: {info: 1, warning: 1.5, critical: 2, emergency: 3}",
    );
    let kinds: Vec<&str> = signal
        .detectors
        .iter()
        .map(detect::Settings::kind)
        .collect();
    assert_eq!(kinds, ["zscore", "envelope", "dbscan"]);
    assert_eq!(signal.combine, detect::Combine::AtLeast(2));
    assert_eq!(signal.baseline.kind(), "seasonal");
    assert_eq!(signal.alerting.hold().to_string(), "3m");
    assert_eq!(signal.alerting.direction, detect::Side::Above);
    assert_eq!(signal.severity, detect::SeverityThresholds::default());
    assert_eq!(read("baseline: auto").baseline, baseline::Settings::Auto);
    let weighted = read("combine: {weighted: {zscore: 2, envelope: 1}}").combine;
    assert_eq!(weighted.validate(&["envelope", "zscore"]), []);
    for settings in [
        "detectors: [{zscore: {treshold: 8}}]",
        "detectors: [{zscor: {}}]",
        "combine: most",
        "baseline: {seasonal: {with: 1}}",
        "alerting: {for: soon}",
    ] {
        assert!(
            serde_yaml::from_str::<Signal>(settings).is_err(),
            "{settings}"
        );
    }
}

#[test]
fn problems_name_the_field_and_what_is_allowed() {
    let signal = read(
        "detectors: [{zscore: {threshold: 0}}, {envelope: {novelty: -1}}, {dbscan: {epsilon: 0, least: 6}}]\n\
         baseline: {rolling: {window: 0s, floor: 1}}",
    );
    let fields: Vec<String> = signal
        .detectors
        .iter()
        .flat_map(detect::Settings::validate)
        .chain(signal.baseline.validate())
        .map(|(field, text)| {
            assert!(text.contains("allowed: "), "{text}");
            field
        })
        .collect();
    assert_eq!(
        fields,
        [
            "threshold",
            "novelty",
            "epsilon",
            "least",
            "window",
            "floor"
        ]
    );
    assert!(
        detect::defaults()
            .iter()
            .all(|one| one.validate().is_empty())
    );
}

#[test]
fn every_detector_checks_its_fields() {
    for (settings, fields) in [
        (
            "{mad: {window: 0s, threshold: 0, floor: 1, min_scale: -1}}",
            "window threshold floor min_scale",
        ),
        (
            "{quantile: {window: 0s, lower: 0.5, upper: 0.5, threshold: -1, floor: -0.1}}",
            "window lower upper threshold floor",
        ),
        (
            "{seasonal: {threshold: .nan, level: 0s, floor: 2}}",
            "threshold level floor",
        ),
        ("{autoencoder: {novelty: 0, path: ''}}", "novelty path"),
        ("{autoencoder: {novelty: 1, path: x.onnx}}", ""),
        ("{changepoint: {shift: 0, confirm: 1}}", "shift confirm"),
        (
            "{forecast_residual: {threshold: 0, floor: 1}}",
            "threshold floor",
        ),
        (
            "{isolation_forest: {window: 0s, trees: 7, novelty: 0}}",
            "window trees novelty",
        ),
        (
            "{matrix_profile: {length: 7, past: 55, novelty: 0}}",
            "length past novelty",
        ),
        ("{matrix_profile: {length: 100}}", ""),
        ("{matrix_profile: {length: 300}}", "past"),
    ] {
        let signal = read(&format!("detectors: [{settings}]"));
        let problems = signal.detectors[0].validate();
        let named: Vec<&str> = problems.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(named.join(" "), fields, "{settings}");
        assert!(problems.iter().all(|(_, text)| text.contains("allowed: ")));
    }
    for kind in detect::KINDS {
        let signal = read(&format!("detectors: [{{{kind}: {{}}}}]"));
        assert_eq!(signal.detectors[0].validate(), [], "{kind}");
        let detector = signal.detectors[0].build(crate::series::Grid::new(60_000).unwrap());
        let across = detector.scope() == detect::Scope::Across;
        assert_eq!(signal.detectors[0].compares().is_some(), across, "{kind}");
    }
}

#[test]
fn the_lists_are_sorted() {
    assert!(detect::KINDS.is_sorted());
    assert!(baseline::KINDS.is_sorted());
}
