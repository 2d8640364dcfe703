//! What readers are told: the published numbers and the sentence.

use super::{
    cases::sized,
    scenarios::{MINUTE, SECOND, START, decide, inputs, settings, workload},
    *,
};
use std::sync::Arc;

#[test]
fn the_published_demand_gets_over_the_autoscaler_s_tolerance() {
    // ceil(ratio * current) of an HPA that does nothing while the ratio is within a tenth of 1.
    let hpa = |demand: f64, current: u32| {
        let ratio = demand / 100.0 / f64::from(current);
        match (ratio - 1.0).abs() <= 0.1 {
            true => current,
            false => (demand / 100.0 - 1e-9).ceil() as u32,
        }
    };
    for current in 1..60 {
        for wanted in 1..=50_u32 {
            let mut workload =
                workload("mode: guarded, limits: {min: 0, max: 1000, hysteresis: 0}");
            let inputs = sized(START, f64::from(wanted) * 100.0, 0.0, current);
            let decision = decide(&mut workload, START, &inputs);
            let (size, demand) = (
                decision.replicas.unwrap(),
                decision.published_demand.unwrap(),
            );
            let reached = hpa(demand, current);
            assert!(reached >= size, "{wanted} of {current}: {reached}");
            let excess = f64::from(reached - size);
            assert!(size <= current || excess <= 0.1 * f64::from(current) + 1.0);
        }
    }
}

#[test]
fn the_sentence_is_about_the_number_that_is_published() {
    let limits = "limits: {min: 1, max: 50}";
    let mut workload = workload(&format!("mode: guarded, {limits}"));
    let mut ordered = inputs(START, 300.0, Some(300.0));
    ordered.overrides = Arc::new(vec![Override {
        id: "1".to_owned(),
        workload: "checkout".to_owned(),
        order: Order::Min(12),
        reason: "press conference".to_owned(),
        author: "ada".to_owned(),
        created: START,
        expires: None,
    }]);
    assert_eq!(decide(&mut workload, START, &ordered).replicas, Some(12));
    // It is cleared: an autoscaler releases by itself, what we would hold is not published.
    let after = START + 30 * SECOND;
    let cleared = decide(&mut workload, after, &inputs(after, 300.0, Some(300.0)));
    assert_eq!((cleared.replicas, cleared.would_be), (Some(3), Some(12)));
    let text = &cleared.reason;
    assert!(text.starts_with("3 replicas: "), "{text}");
    assert!(text.contains("in mode full it would be 12"), "{text}");
}

#[test]
fn a_demand_that_seems_to_vanish_does_not_refute_the_forecast() {
    let mut workload = workload("mode: guarded, limits: {max: 50}");
    for minute in 0..5 {
        let at = START + minute * MINUTE;
        decide(&mut workload, at, &inputs(at, 2_000.0, Some(2_200.0)));
    }
    let at = START + 5 * MINUTE;
    let lost = decide(&mut workload, at, &inputs(at, 300.0, Some(2_200.0)));
    assert_eq!((lost.replicas, lost.gate), (Some(22), Gate::Open));
    // And what is beyond belief does not end what the last one said.
    let at = at + MINUTE;
    let jump = decide(&mut workload, at, &inputs(at, 300.0, Some(90_000.0)));
    let shut = Gate::Shut(Closed::Implausible);
    assert_eq!((jump.replicas, jump.gate), (Some(22), shut));
}

#[test]
fn the_published_demand_keeps_the_unit_of_a_fixed_target() {
    for (otherwise, is_known) in [(", otherwise: 50", true), ("", false)] {
        let mut found = settings("mode: full, limits: {max: 50}");
        let text = format!("{{learned: {{utilisation: cpu, target: 0.7{otherwise}}}}}");
        let value = serde_yaml::Deserializer::from_str(&text);
        found.capacity_per_replica =
            serde_yaml::with::singleton_map_recursive::deserialize(value).unwrap();
        let mut workload = Workload::new(Arc::new(found));
        let mut random = fastrand::Rng::with_seed(3);
        let mut last = None;
        for minute in 0..300 {
            let at = START + minute * MINUTE;
            let demand = 500.0 + 330.0 * (minute as f64 / 40.0).sin();
            let mut inputs = sized(at, demand, 0.0, 10);
            inputs.replicas = inputs.replicas.filter(|_| minute < 299);
            let value = demand / 10.0 / 120.0 + 0.02 * random.f64();
            inputs.utilisation = Some(Reading { at, value });
            last = Some(decide(&mut workload, at, &inputs));
        }
        let last = last.unwrap();
        assert!(last.capacity.unwrap() > 79.0);
        let size = f64::from(last.replicas.unwrap());
        assert_eq!(last.published_demand, is_known.then_some(size * 50.0));
    }
}

#[test]
fn what_came_within_the_week_may_come_again_after_a_night_of_no_load() {
    let forecast = |demand| {
        let mut workload = workload("mode: guarded, limits: {min: 0, max: 50}");
        for minute in 0..60 {
            let at = START + minute * MINUTE;
            let load = if minute < 20 { 1_600.0 } else { 0.0 };
            decide(&mut workload, at, &inputs(at, load, None));
        }
        let at = START + 12 * 60 * MINUTE;
        let woken = decide(&mut workload, at, &inputs(at, 0.0, Some(demand)));
        (woken.replicas, woken.gate)
    };
    assert_eq!(forecast(1_700.0), (Some(17), Gate::Open));
    let shut = Gate::Shut(Closed::Implausible);
    assert_eq!(
        forecast(2_500.0),
        (Some(0), shut),
        "nothing like it was seen"
    );
}

#[test]
fn whoever_only_observes_asks_for_what_the_present_does_with_what_was_learned() {
    let mut found = settings("mode: observe, limits: {max: 50}");
    let text = "{learned: {utilisation: cpu, target: 0.7, otherwise: 200}}";
    let value = serde_yaml::Deserializer::from_str(text);
    found.capacity_per_replica =
        serde_yaml::with::singleton_map_recursive::deserialize(value).unwrap();
    let mut workload = Workload::new(Arc::new(found));
    let mut random = fastrand::Rng::with_seed(3);
    for minute in 0..300 {
        let at = START + minute * MINUTE;
        let demand = 500.0 + 330.0 * (minute as f64 / 40.0).sin();
        let mut inputs = sized(at, demand, 0.0, 10);
        let value = demand / 10.0 / 120.0 + 0.02 * random.f64();
        inputs.utilisation = Some(Reading { at, value });
        let decision = decide(&mut workload, at, &inputs);
        let asked = decision.published_replicas.unwrap();
        assert_eq!(
            Some(asked.ceil() as u32),
            decision.parts.reactive,
            "{decision:?}"
        );
    }
}
