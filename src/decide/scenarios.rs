//! What happens in the cases that matter: section 9.4 of the contracts, as far as it is about decisions.

use super::*;
use crate::series::Millis;
use std::sync::Arc;

pub(super) const SECOND: Millis = 1_000;
pub(super) const MINUTE: Millis = 60_000;
/// An aligned time.
pub(super) const START: Millis = 1_760_000_400_000;

/// Settings of a workload of 100 per replica and 3 minutes of lead time; `more` is YAML that is added.
pub(super) fn settings(more: &str) -> Settings {
    let text = format!(
        "{{name: checkout, demand: {{signal: requests}}, capacity_per_replica: 100, lead_time: 3m, {more}}}"
    );
    let value = serde_yaml::Deserializer::from_str(&text);
    let settings: Settings = serde_yaml::with::singleton_map_recursive::deserialize(value)
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(settings.validate(), [], "{text}");
    settings
}

pub(super) fn workload(more: &str) -> Workload {
    Workload::new(Arc::new(settings(more)))
}

/// A forecast whose greatest demand is `quantile` within every window.
pub(super) fn forecast(generated: Millis, quantile: f64) -> Arc<DemandForecast> {
    let maxima = [8, 12, 30].map(|minutes| Maximum {
        ahead: minutes * MINUTE,
        expected: quantile * 0.8,
        quantile,
    });
    Arc::new(DemandForecast {
        generated,
        step: MINUTE,
        level: 0.95,
        maxima: maxima.to_vec(),
        coverage: Some(0.95),
        skill: Some(0.3),
        anomaly: 0,
        drift: None,
    })
}

pub(super) fn inputs(at: Millis, demand: f64, forecast: Option<f64>) -> Inputs {
    Inputs {
        demand: Some(Reading { at, value: demand }),
        forecast: forecast.map(|quantile| self::forecast(at - 30 * SECOND, quantile)),
        ..Inputs::default()
    }
}

pub(super) fn decide(workload: &mut Workload, at: Millis, inputs: &Inputs) -> Decision {
    let proposal = workload.propose(at, inputs);
    workload.settle(proposal, &[])
}

/// Minutes after the start, demand, forecast: the recommendation of each.
fn run(workload: &mut Workload, steps: &[(Millis, f64, Option<f64>)]) -> Vec<Option<u32>> {
    let one = |&(minute, demand, forecast): &(Millis, f64, Option<f64>)| {
        let at = START + minute * MINUTE;
        decide(workload, at, &inputs(at, demand, forecast)).replicas
    };
    steps.iter().map(one).collect()
}

const FULL: &str = "mode: full, limits: {max: 50}";

#[test]
fn says_why_in_a_sentence() {
    let mut workload = workload(FULL);
    let decision = decide(&mut workload, START, &inputs(START, 690.0, Some(1_010.0)));
    assert_eq!(
        (decision.replicas, decision.binding, decision.gate),
        (Some(11), Binding::Forecast, Gate::Open)
    );
    assert_eq!(
        decision.reason,
        "11 replicas: the 0.95 quantile of demand over the next 4m45s is 1,010 (forecast) at 100 per replica; \
         reactive alone would be 7"
    );
}

#[test]
fn a_forecast_that_is_no_good_leaves_what_is_asked_for_now() {
    for (bad, gate) in [
        (0.0, Gate::Open),
        (-50.0, Gate::Open),
        (f64::NAN, Gate::Shut(Closed::NoForecast)),
        (f64::INFINITY, Gate::Shut(Closed::NoForecast)),
        (6_900.0, Gate::Shut(Closed::Implausible)),
        (1e300, Gate::Shut(Closed::Implausible)),
    ] {
        let at = START;
        let decision = decide(&mut workload(FULL), at, &inputs(at, 690.0, Some(bad)));
        assert_eq!((decision.replicas, decision.gate), (Some(7), gate), "{bad}");
        assert!(decision.demand_forecast.is_none_or(f64::is_finite));
    }
}

#[test]
fn what_was_forecast_is_kept_for_the_hold_when_forecasts_end() {
    let mut workload = workload(FULL);
    let mut forecasts = vec![(0, 500.0, Some(2_000.0))];
    forecasts.extend((1..30).map(|minute| (minute, 500.0, None)));
    let sizes = run(&mut workload, &forecasts);
    assert!(
        sizes[..=10].iter().all(|size| *size == Some(20)),
        "{sizes:?}"
    );
    assert!(sizes[11..].iter().all(|size| *size == Some(5)), "{sizes:?}");
}

#[test]
fn an_old_forecast_does_not_count_and_neither_does_one_of_the_future() {
    let mut workload = workload(FULL);
    for (age, gate) in [
        (90, Gate::Open),
        (120, Gate::Open),
        (121, Gate::Shut(Closed::Stale)),
        (-61, Gate::Shut(Closed::Stale)),
    ] {
        let mut inputs = inputs(START, 500.0, None);
        inputs.forecast = Some(forecast(START - age * SECOND, 900.0));
        assert_eq!(decide(&mut workload, START, &inputs).gate, gate, "{age}");
    }
}

#[test]
fn without_a_demand_nothing_is_said_and_nothing_forgotten() {
    let mut workload = workload(FULL);
    let sizes = run(&mut workload, &[(0, 500.0, Some(2_000.0))]);
    assert_eq!(sizes, [Some(20)]);
    let at = START + MINUTE;
    let mut gone = inputs(at, 500.0, Some(300.0));
    gone.demand = None;
    for reading in [
        None,
        Some((at - 3 * MINUTE, 500.0)),
        Some((at + 2 * MINUTE, 500.0)),
        Some((at, f64::NAN)),
        Some((at, -1.0)),
        Some((at, 1e300)),
    ] {
        gone.demand = reading.map(|(at, value)| Reading { at, value });
        let decision = decide(&mut workload, at, &gone);
        let known = (
            decision.replicas,
            decision.would_be,
            decision.published_demand,
        );
        assert_eq!(known, (None, None, None), "{reading:?}");
    }
    let sizes = run(&mut workload, &[(2, 500.0, Some(2_000.0))]);
    assert_eq!(sizes, [Some(20)]);
}

#[test]
fn observing_answers_what_is_asked_for_now_and_logs_the_rest() {
    let mut workload = workload("mode: observe, limits: {min: 3, max: 50}");
    let decision = decide(&mut workload, START, &inputs(START, 150.0, Some(900.0)));
    assert_eq!((decision.replicas, decision.would_be), (Some(2), Some(9)));
    assert_eq!(decision.published_demand, Some(150.0));
    assert!(
        decision
            .reason
            .contains("2 replicas (reactive) is published")
    );
    let decision = decide(
        &mut super::scenarios::workload("mode: off, limits: {max: 9}"),
        START,
        &Inputs::default(),
    );
    assert_eq!((decision.replicas, decision.would_be), (None, None));
}

#[test]
fn a_release_waits_for_past_and_future() {
    let mut full = workload(FULL);
    let steps: Vec<_> = (0..12)
        .map(|minute| {
            (
                minute,
                if minute == 0 { 2_000.0 } else { 500.0 },
                Some(500.0),
            )
        })
        .collect();
    let sizes = run(&mut full, &steps);
    assert!(sizes[..5].iter().all(|size| *size == Some(20)), "{sizes:?}");
    assert!(sizes[6..].iter().all(|size| *size == Some(5)), "{sizes:?}");
    // The autoscaler that follows has its own stabilisation.
    let mut guarded = workload("mode: guarded, limits: {max: 50}");
    let sizes = run(&mut guarded, &steps);
    assert!(sizes[1..].iter().all(|size| *size == Some(5)), "{sizes:?}");
}

#[test]
fn a_restart_in_the_middle_of_a_ramp_goes_on_where_it_was() {
    let more = "mode: full, limits: {max: 50, up: {replicas: 2, per: 1m}}";
    let mut one = workload(more);
    let steps: Vec<_> = (0..9)
        .map(|minute| (minute, 500.0, Some(2_000.0)))
        .collect();
    let before = run(&mut one, &steps);
    assert_eq!(before[..4], [7, 9, 11, 13].map(Some));
    let written = serde_json::to_string(one.state()).unwrap();
    let state: State = serde_json::from_str(&written).unwrap();
    let mut other = Workload::restore(Arc::new(settings(more)), state);
    let later: Vec<_> = (9..20)
        .map(|minute| (minute, 500.0, Some(2_000.0)))
        .collect();
    assert_eq!(run(&mut other, &later), run(&mut one, &later));
}

#[test]
fn without_a_state_what_is_there_is_kept_for_a_while() {
    let mut workload = workload(FULL);
    let size = |minute: Millis, workload: &mut Workload| {
        let at = START + minute * MINUTE;
        let mut inputs = inputs(at, 500.0, None);
        inputs.replicas = Some(Replicas {
            at,
            ready: 12,
            wanted: Some(12),
        });
        decide(workload, at, &inputs).replicas
    };
    assert_eq!(size(0, &mut workload), Some(12));
    assert_eq!(size(10, &mut workload), Some(12));
    assert_eq!(size(11, &mut workload), Some(5));
}

#[test]
fn a_clock_that_was_set_back_holds_nothing_for_long() {
    let mut workload = workload("mode: full, limits: {max: 50, cooldown: {down: 10m}}");
    run(
        &mut workload,
        &[(600, 500.0, Some(500.0)), (601, 2_000.0, Some(500.0))],
    );
    let sizes = run(
        &mut workload,
        &[
            (0, 500.0, Some(500.0)),
            (9, 500.0, Some(500.0)),
            (11, 500.0, Some(500.0)),
        ],
    );
    assert_eq!(sizes, [Some(20), Some(20), Some(5)]);
}

#[test]
fn an_abnormal_drop_keeps_the_size_for_those_who_come_back() {
    let more = "mode: guarded, limits: {max: 50, retry_storm: 10m}";
    let mut steps: Vec<_> = (0..5).map(|minute| (minute, 2_000.0, None)).collect();
    steps.extend((5..20).map(|minute| (minute, 100.0, None)));
    let sizes = run(&mut workload(more), &steps);
    // The drop is noted after the decision that sees it first, which the autoscaler's own stabilisation covers.
    assert_eq!(sizes[4..7], [Some(20), Some(1), Some(20)]);
    assert_eq!(sizes[14..16], [Some(20), Some(1)]);
    // A verdict counts at once.
    let mut judged = workload(more);
    run(&mut judged, &steps[..5]);
    let at = START + 5 * MINUTE;
    let mut low = inputs(at, 900.0, Some(900.0));
    if let Some(forecast) = low.forecast.as_mut().map(Arc::make_mut) {
        forecast.anomaly = -1;
    }
    let decision = decide(&mut judged, at, &low);
    let found = (decision.replicas, decision.binding, decision.gate);
    let shut = Gate::Shut(Closed::Anomaly);
    assert_eq!(found, (Some(20), Binding::RetryStorm, shut));
    assert_eq!(decision.held.map(|held| held.wanted), Some(9));
}

#[test]
fn a_person_is_obeyed_and_named() {
    let mut workload = workload(FULL);
    let mut decide_with = |order: Order, demand: f64, minute: Millis| {
        let at = START + minute * MINUTE;
        let mut inputs = inputs(at, demand, Some(900.0));
        inputs.overrides = Arc::new(vec![Override {
            id: "1".to_owned(),
            workload: "checkout".to_owned(),
            order,
            reason: "database upgrade".to_owned(),
            author: "ada".to_owned(),
            created: START,
            expires: Some(START + 60 * MINUTE),
        }]);
        decide(&mut workload, at, &inputs)
    };
    let paused = decide_with(Order::Pause, 500.0, 0);
    assert_eq!(
        (paused.replicas, paused.gate),
        (Some(5), Gate::Shut(Closed::Paused))
    );
    let least = decide_with(Order::Min(12), 500.0, 1);
    assert_eq!(
        (least.replicas, least.binding),
        (Some(12), Binding::Override)
    );
    let most = decide_with(Order::Max(4), 500.0, 2);
    assert_eq!((most.replicas, most.binding), (Some(4), Binding::Override));
    assert!(
        most.reason.contains("ada: database upgrade"),
        "{}",
        most.reason
    );
    assert!(most.reason.contains("below the 5"), "{}", most.reason);
    let pinned = decide_with(Order::Pin(60), 500.0, 3);
    assert_eq!(
        (pinned.replicas, pinned.binding),
        (Some(60), Binding::Override)
    );
    let expired = decide_with(Order::Pin(60), 500.0, 80);
    assert_eq!(expired.replicas, Some(9));
}
