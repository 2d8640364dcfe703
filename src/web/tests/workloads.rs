//! What is said of workloads, and of those that there are not.

use super::*;
use crate::{
    decide::{self, Mode},
    engine::{
        ScalingHandle, ScalingUnit,
        scaling::{Records, WorkloadPlan},
    },
    quality::Bounds,
};

/// Decisions on these workloads, of which nothing is known.
fn decided(workloads: &[(&str, Mode)]) -> ScalingHandle {
    let text = "{name: shop, demand: {signal: load}, capacity_per_replica: 10}";
    let settings: decide::Settings = serde_yaml::from_str(text).unwrap();
    let plan = |(name, mode): &(&str, Mode)| WorkloadPlan {
        settings: Arc::new(decide::Settings {
            name: (*name).to_owned(),
            mode: *mode,
            ..settings.clone()
        }),
        rules: Vec::new(),
        step: Span::minutes(1),
        interval: 0.9,
        query: "load".to_owned(),
        max_series: 1,
        source: 0,
        asked: 0,
        bounds: Bounds::default(),
    };
    let plans: Vec<WorkloadPlan> = workloads.iter().map(plan).collect();
    let mut unit = ScalingUnit::new(&plans, Vec::new(), None);
    let newest = unit.decide(NOW, vec![None], &[], &Records::default());
    ScalingHandle {
        newest: Arc::new(newest),
        max_age: Span::minutes(5),
    }
}

#[test]
fn a_workload_that_is_off_is_neither_shut_nor_missing() {
    let newest = decided(&[("off", Mode::Off), ("on", Mode::Full)]);
    local(async {
        let server = start(1, |state| state.catalogue.decided(Some(newest))).await;
        let status = get(server.addr, "/api/v1/scaling/status").await.json();
        assert_eq!(status["workloads"], 2, "{status}");
        assert_eq!(status["modes"]["off"], 1, "{status}");
        assert_eq!(status["unknown"], serde_json::json!(["on"]), "{status}");
        let shut = serde_json::json!([{"workload": "on", "gate": "no_forecast"}]);
        assert_eq!(status["shut"], shut, "{status}");
    });
}

#[test]
fn the_configuration_says_which_workloads_there_are() {
    const READS: [&str; 3] = [
        "workloads?name=",
        "scaling/evaluate?workload=",
        "scaling/value?workload=",
    ];
    local(async {
        let server = start(1, |_| {}).await;
        let catalogue = &server.state.catalogue;
        let check = async |name: &str, expected: [u16; 3], part: &str| {
            for (read, status) in READS.into_iter().zip(expected) {
                let answer = get(server.addr, &format!("/api/v1/{read}{name}")).await;
                let text = answer.text();
                assert_eq!(answer.status, status, "{read}{name}: {text}");
                assert!(text.contains(part), "{read}{name}: {text}");
            }
        };
        check("checkout", [503; 3], "").await;
        catalogue.announce(vec!["cart".into(), "checkout".into()]);
        check("checkout", [503; 3], "nothing was decided").await;
        let stranger = "there is no workload \\\"chekcout\\\"; there are cart, checkout";
        check("chekcout", [404; 3], stranger).await;
        // As after a reload that brings `cart`, before its first tick.
        catalogue.decided(Some(decided(&[("checkout", Mode::Full)])));
        check("checkout", [200, 200, 503], "checkout").await;
        check("checkout&since=0&cursor=1", [200, 400, 400], "").await;
        check("cart", [503; 3], "nothing was decided on the workload yet").await;
        // And one that takes `checkout` away.
        catalogue.announce(vec!["cart".into()]);
        check("checkout", [404; 3], "there are cart").await;
        let missing = "parameter \\\"workload\\\" is missing: which one is asked about";
        for path in ["scaling/evaluate", "scaling/value"] {
            let answer = get(server.addr, &format!("/api/v1/{path}")).await;
            assert_eq!(answer.status, 400);
            assert!(answer.text().contains(missing), "{}", answer.text());
        }
    });
}

#[test]
fn an_order_over_a_workload_that_is_not_configured_is_refused_with_the_nearest() {
    local(async {
        let folder = tempfile::tempdir().unwrap();
        let settings = crate::store::Settings::sqlite(folder.path().join("f.db"));
        let server = start(3, |state| {
            let events = Arc::clone(&state.telemetry.store);
            let store = Store::new(settings, state.clock.clone(), events);
            state.store.store(Some(Arc::new(store)));
        })
        .await;
        let set = async |workload: &str, parameters: &str| {
            let order =
                json!({"workload": workload, "order": {"min": 3}, "reason": "r", "author": "a"});
            let body = order.to_string();
            let request = format!(
                "POST /api/v1/overrides{parameters} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            parse(&send(server.addr, request.as_bytes()).await)
        };
        assert_eq!(set("chekcout", "").await.status, 201, "no configuration");
        // Decided or not: that it is configured is enough.
        server.state.catalogue.announce(vec!["checkout".into()]);
        let refused = set("chekcout", "").await;
        assert_eq!(refused.status, 422);
        let problem = &refused.json()["problems"][0];
        assert_eq!(problem["field"], "workload");
        let text = problem["message"].as_str().unwrap();
        assert!(
            text.contains("did you mean \"checkout\"; the parameter unknown_workload=true"),
            "{text}"
        );
        assert_eq!(set("checkout", "").await.status, 201);
        assert_eq!(set("chekcout", "?unknown_workload=true").await.status, 201);
        assert_eq!(set("chekcout", "?unknown_workload=yes").await.status, 400);
        let nul = get(server.addr, "/api/v1/scaling/decisions?workload=a%00b").await;
        assert_eq!(nul.status, 400, "{}", nul.text());
    });
}
