//! Manifests that are safe by construction, and what lint says of them.

use super::*;
use lint::Severity;

fn plan() -> Plan {
    Plan {
        workload: "checkout".to_owned(),
        name: "checkout".to_owned(),
        target: Target {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            name: "checkout".to_owned(),
        },
        namespace: "shop".to_owned(),
        capacity: Some(120.0),
        min: 2,
        max: 50,
        demand: Reactive {
            recorded: None,
            query: "sum(rate(http_requests_total{app=\"checkout\"}[2m]))".to_owned(),
            complete: Some(Complete {
                share: "avg(up{app=\"checkout\"})".to_owned(),
                least: 0.9,
            }),
        },
        review: Span::seconds(30),
        hold: Span::minutes(30),
        fallback: 10,
        cpu: 80,
        prometheus: "http://prometheus:9090".to_owned(),
        forethought: "http://forethought:10057/".to_owned(),
        grpc: "forethought-headless:10058".to_owned(),
        external: Some(External {
            service: "forethought".to_owned(),
            namespace: "monitoring".to_owned(),
            port: 10_059,
            service_account: "forethought".to_owned(),
            ca_bundle: "UEVN".to_owned(),
        }),
    }
}

const WAYS: [Way; 6] = [
    Way::Prometheus,
    Way::TwoTriggers,
    Way::MetricsApi,
    Way::Grpc,
    Way::Adapter,
    Way::ExternalMetrics,
];

#[test]
fn what_is_written_has_no_hazard() {
    for way in WAYS {
        let least: &[u32] = if way.needs_rules() { &[2] } else { &[0, 2] };
        for &min in least {
            let text = yaml(&documents(&Plan { min, ..plan() }, way)).unwrap();
            let (findings, seen) = lint::lint(&text).unwrap();
            assert_eq!((findings, seen), (Vec::new(), 1), "{way:?}:\n{text}");
        }
    }
}

#[test]
fn the_first_way_is_as_the_documents_show_it() {
    let text = yaml(&documents(&plan(), Way::Prometheus)).unwrap();
    insta::assert_snapshot!(text);
}

#[test]
fn who_asks_us_as_external_metrics_has_all_that_is_needed() {
    let text = yaml(&documents(&plan(), Way::ExternalMetrics)).unwrap();
    insta::assert_snapshot!(text);
    let there = Plan {
        external: None,
        ..plan()
    };
    assert_eq!(documents(&there, Way::ExternalMetrics).len(), 2);
}

#[test]
fn metrics_of_our_own_api_need_no_rule_and_one_workload_no_selector() {
    let found = |name: &str, selector: &str| {
        let mut hpa = documents(&plan(), Way::ExternalMetrics).swap_remove(1);
        let metric = &mut hpa.object["spec"]["metrics"][0]["external"]["metric"];
        metric["name"] = name.into();
        metric["selector"] = serde_json::from_str(selector).unwrap();
        let (findings, _) = lint::lint(&hpa.object.to_string()).unwrap();
        findings
            .iter()
            .map(|finding| finding.code)
            .collect::<Vec<_>>()
    };
    assert_eq!(found("predicted-replicas", "{}"), Vec::<&str>::new());
    assert_eq!(found("predicted-replicas", "null"), ["sum-of-all"]);
    assert_eq!(
        found("predicted-replicas-checkout", "null"),
        Vec::<&str>::new()
    );
    assert_eq!(found("predicted_replicas", "{}"), ["raw-prediction"]);
}

#[test]
fn a_learned_demand_of_several_series_is_recorded_first() {
    let plan = Plan {
        demand: Reactive {
            recorded: Some((
                "signal:requests:value".to_owned(),
                "sum by (app) (x)".to_owned(),
            )),
            query: "signal:requests:value{app=\"checkout\"}".to_owned(),
            complete: None,
        },
        ..plan()
    };
    let file = rule_file(&plan, Way::Prometheus).object;
    let rules = file["groups"][0]["rules"].as_array().unwrap();
    assert_eq!(rules[0]["record"], "signal:requests:value");
    assert_eq!(
        rules[0]["labels"][FOR], "checkout",
        "another workload's is another series"
    );
    assert!(
        rules[1]["expr"]
            .as_str()
            .unwrap()
            .contains("signal:requests:value{app=\"checkout\"}")
    );
}

#[test]
fn names_of_objects_are_what_kubernetes_takes() {
    assert!(is_label("check-out-1"));
    for bad in ["", "Checkout", "a_b", "-a", "a-", "a.b", &"a".repeat(51)] {
        assert!(!is_label(bad), "{bad}");
    }
}

#[test]
fn what_stands_in_names_and_queries_stays_what_it_is() {
    let plan = Plan {
        workload: "a$1 \"b\"".to_owned(),
        demand: Reactive {
            recorded: None,
            query: "sum(x) # of all".to_owned(),
            complete: None,
        },
        ..plan()
    };
    for expression in expressions(&plan, Way::Prometheus) {
        promql_parser::parser::parse(&expression).unwrap();
    }
    assert!(expressions(&plan, Way::Prometheus)[0].contains(r#"a$$1 \"b\""#));
}

/// Each hazard planted into what is safe, by a change of its text.
#[test]
fn every_planted_hazard_is_found_and_nothing_else() {
    let cases: [(Way, &str, &str, &str, Severity); 20] = [
        (
            Way::Prometheus,
            "ignoreNullValues: 'false'",
            "ignoreNullValues: 'true'",
            "null-is-zero",
            Severity::Error,
        ),
        (
            Way::Prometheus,
            "      ignoreNullValues: 'false'\n",
            "",
            "null-is-zero",
            Severity::Error,
        ),
        (
            Way::Prometheus,
            "metricType: AverageValue",
            "metricType: Value",
            "value-counts-ready-pods",
            Severity::Error,
        ),
        (
            Way::Prometheus,
            "    replicas: 10\n",
            "    replicas: 0\n",
            "fallback-to-zero",
            Severity::Error,
        ),
        (
            Way::Prometheus,
            "behavior: currentReplicasIfHigher",
            "behavior: static",
            "fallback-may-shrink",
            Severity::Warning,
        ),
        (
            Way::Prometheus,
            "minReplicaCount: 2",
            "minReplicaCount: 0",
            "may-sleep",
            Severity::Warning,
        ),
        (
            Way::Prometheus,
            "stabilizationWindowSeconds: 600",
            "stabilizationWindowSeconds: 0",
            "sudden-scale-down",
            Severity::Error,
        ),
        (
            Way::Prometheus,
            "value: 10\n",
            "value: 100\n",
            "sudden-scale-down",
            Severity::Error,
        ),
        (
            Way::Prometheus,
            "type: cpu",
            "type: cron",
            "no-independent-trigger",
            Severity::Error,
        ),
        (
            Way::Prometheus,
            "workload:demand:scale{",
            "predicted_demand{",
            "raw-prediction",
            Severity::Error,
        ),
        (
            Way::Prometheus,
            "maxReplicaCount: 50",
            "maxReplicaCount: 1",
            "most-below-least",
            Severity::Error,
        ),
        (
            Way::Grpc,
            "useCachedMetrics: true",
            "useCachedMetrics: false",
            "every-sync-asks",
            Severity::Warning,
        ),
        (
            Way::Grpc,
            "scalerAddress: forethought-headless:10058",
            "scalerAddress: localhost:10058",
            "address-of-keda",
            Severity::Error,
        ),
        (
            Way::Grpc,
            "type: cpu",
            "type: kafka",
            "grpc-beside-others",
            Severity::Error,
        ),
        (
            Way::Adapter,
            "minReplicas: 2",
            "minReplicas: 0",
            "may-sleep",
            Severity::Warning,
        ),
        (
            Way::Adapter,
            "name: workload_demand_scale",
            "name: predicted_demand",
            "raw-prediction",
            Severity::Error,
        ),
        (
            Way::Prometheus,
            "    replicas: 10\n",
            "    replicas: 2\n",
            "fallback-is-the-least",
            Severity::Warning,
        ),
        (
            Way::Prometheus,
            "value: 10\n",
            "value: 49\n",
            "sudden-scale-down",
            Severity::Error,
        ),
        (
            Way::Prometheus,
            "type: Percent\n            value: 10\n",
            "type: Pods\n            value: 10\n",
            "sudden-scale-down",
            Severity::Error,
        ),
        (
            Way::Prometheus,
            "workload:demand:scale{workload=\"checkout\"}",
            "workload:demand:predicted_ok",
            "raw-prediction",
            Severity::Error,
        ),
    ];
    for (way, from, to, code, severity) in cases {
        // The rules come first and may hold the same words.
        let safe = yaml(&documents(&plan(), way)[1..]).unwrap();
        let planted = safe.replacen(from, to, 1);
        assert_ne!(safe, planted, "{from:?} is not in\n{safe}");
        let (findings, _) = lint::lint(&planted).unwrap();
        let found = findings.iter().find(|one| one.code == code);
        let found = found.unwrap_or_else(|| panic!("{code}: {findings:?}\n{planted}"));
        assert_eq!(found.severity, severity);
        assert!(findings.len() <= 2, "{code}: {findings:?}");
    }
}

#[test]
fn what_is_not_ours_is_left_alone_and_what_is_no_yaml_is_told() {
    let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n---\napiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: y}\n\
                 spec: {triggers: [{type: kafka, metadata: {topic: t}}]}\n";
    let (findings, seen) = lint::lint(other).unwrap();
    assert_eq!((findings, seen), (Vec::new(), 1));
    assert!(lint::lint("a: [").is_err());
    let list = "kind: List\napiVersion: v1\nitems: [{kind: ScaledObject, apiVersion: keda.sh/v1alpha1, metadata: {name: z, namespace: n}, \
                spec: {fallback: {replicas: 0}, triggers: []}}]";
    let (findings, _) = lint::lint(list).unwrap();
    assert_eq!(
        findings[0]
            .to_string()
            .split(": ")
            .take(3)
            .collect::<Vec<_>>(),
        ["error", "ScaledObject n/z", "spec.fallback.replicas"]
    );
}

#[test]
fn a_grpc_trigger_is_ours_by_its_port_too() {
    let text = "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: x}\nspec: {triggers: [{type: external, metadata: {scalerAddress: 'oracle:10058'}}]}\n";
    let (findings, _) = lint::lint(text).unwrap();
    let codes: Vec<&str> = findings.iter().map(|one| one.code).collect();
    assert!(
        codes.contains(&"no-fallback") && codes.contains(&"may-sleep"),
        "{codes:?}"
    );
}

#[test]
fn whoever_decides_seldom_is_not_stale_in_between() {
    let plan = Plan {
        review: Span::minutes(20),
        ..plan()
    };
    let all = expressions(&plan, Way::Prometheus).join("\n");
    assert!(all.contains("< 2520)") && all.contains("> 2520)"), "{all}");
}
