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
    assert_eq!(size(4, &mut workload), Some(12));
    assert_eq!(size(6, &mut workload), Some(5));
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
    let mut workload = workload("mode: guarded, limits: {max: 50, retry_storm: 10m}");
    let mut steps: Vec<_> = (0..5).map(|minute| (minute, 2_000.0, None)).collect();
    steps.extend((5..20).map(|minute| (minute, 100.0, None)));
    let sizes = run(&mut workload, &steps);
    // The drop is noted after the decision that sees it first; the autoscaler's own stabilisation covers that one.
    assert_eq!(sizes[4], Some(20));
    let at = START + 40 * MINUTE;
    let mut low = inputs(at, 100.0, Some(100.0));
    if let Some(forecast) = low.forecast.as_mut().map(Arc::make_mut) {
        forecast.anomaly = -1;
    }
    let decision = decide(&mut workload, at, &low);
    assert_eq!(decision.gate, Gate::Shut(Closed::Anomaly));
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

/// Inputs with the size that is there.
fn sized(at: Millis, demand: f64, quantile: f64, ready: u32) -> Inputs {
    Inputs {
        replicas: Some(Replicas {
            at,
            ready,
            wanted: Some(ready),
        }),
        ..inputs(at, demand, Some(quantile))
    }
}

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
fn ceilings_of_people_go_below_what_is_asked_for_and_say_so() {
    for (more, size, binding, part) in [
        ("limits: {max: 6}", 6, Binding::Max, "greatest size is 6"),
        (
            "limits: {max: 50, budget_per_hour: 0.5}, cost: {replica_hour: 0.1}",
            5,
            Binding::Budget,
            "budget of 0.5 per hour",
        ),
        (
            "limits: {max: 50}, schedules: [{months: [10], max: 4}]",
            4,
            Binding::Max,
            "by a schedule",
        ),
    ] {
        let mut workload = workload(&format!("mode: full, {more}"));
        let decision = decide(&mut workload, START, &inputs(START, 800.0, Some(900.0)));
        assert_eq!((decision.replicas, decision.binding), (Some(size), binding));
        let reason = &decision.reason;
        assert!(
            reason.contains(part) && reason.contains("below the 8"),
            "{reason}"
        );
        assert_eq!(
            decision.held.map(|held| held.wanted),
            Some(if binding == Binding::Budget { 8 } else { 9 })
        );
    }
}

#[test]
fn the_surplus_leaves_a_part_of_the_budget() {
    let more = "mode: full, limits: {max: 50, budget_per_hour: 2}, cost: {replica_hour: 0.1}";
    let decision = decide(
        &mut workload(more),
        START,
        &inputs(START, 800.0, Some(1_900.0)),
    );
    assert_eq!(
        (decision.replicas, decision.binding),
        (Some(16), Binding::Budget)
    );
    let decision = decide(
        &mut workload(more),
        START,
        &inputs(START, 1_900.0, Some(1_900.0)),
    );
    assert_eq!(
        (decision.replicas, decision.binding),
        (Some(19), Binding::Reactive)
    );
    assert_eq!(
        decision.cost_per_hour.map(|cost| (cost * 10.0).round()),
        Some(19.0)
    );
}

#[test]
fn max_may_be_raised_where_a_person_said_so() {
    let more = "mode: full, limits: {max: 10, max_breach: {increase: {buffer: 0.1, ceiling: 30}}}";
    let sizes = [800.0, 2_000.0, 3_500.0].map(|quantile| {
        decide(
            &mut workload(more),
            START,
            &inputs(START, 700.0, Some(quantile)),
        )
        .replicas
    });
    assert_eq!(sizes, [Some(8), Some(20), Some(30)]);
}

#[test]
fn an_emergency_goes_down_and_silence_ends_it() {
    let mut workload =
        workload("mode: full, limits: {max: 50}, emergency: {host: critical, fraction: 0.5}");
    let mut size = |seconds: Millis, host: Option<f64>| {
        let at = START + seconds * SECOND;
        let mut inputs = inputs(at, 1_000.0, Some(1_000.0));
        inputs.host = host.map(|value| Reading { at, value });
        let decision = decide(&mut workload, at, &inputs);
        (decision.replicas.unwrap(), decision.binding)
    };
    assert_eq!(size(0, Some(1.0)), (10, Binding::Reactive));
    assert_eq!(size(30, Some(1.0)), (10, Binding::Reactive));
    assert_eq!(size(60, Some(1.0)), (5, Binding::Emergency));
    assert_eq!(size(90, None), (10, Binding::Reactive));
}

#[test]
fn a_schedule_is_ready_when_it_begins() {
    // START is 2025-10-09 09:00 UTC.
    let mut workload = workload(
        "mode: full, limits: {max: 50}, schedules: [{cron: '10 9 * * *', for: 1h, min: 12}]",
    );
    let mut size = |minute: Millis| {
        let at = START + minute * MINUTE;
        let decision = decide(&mut workload, at, &inputs(at, 300.0, Some(300.0)));
        (decision.replicas.unwrap(), decision.binding)
    };
    assert_eq!(size(4), (3, Binding::Reactive));
    assert_eq!(size(6), (12, Binding::Schedule));
    assert_eq!(size(30), (12, Binding::Schedule));
}

#[test]
fn a_rule_and_an_event_ask_for_more_and_are_named() {
    let mut workload =
        workload("mode: full, limits: {max: 50}, rules: [{when: queue_depth > 9, scale: 1.5}]");
    let mut inputs = inputs(START, 400.0, Some(400.0));
    decide(&mut workload, START, &inputs);
    inputs.rules = vec![Truth::Holds];
    let ruled = decide(&mut workload, START, &inputs);
    assert_eq!((ruled.replicas, ruled.binding), (Some(6), Binding::Rule));
    assert!(
        ruled.reason.contains("`queue_depth > 9`"),
        "{}",
        ruled.reason
    );
    inputs.events = Arc::new(vec![Event {
        id: "1".to_owned(),
        kind: "sale".to_owned(),
        name: "Black Friday".to_owned(),
        start: START + 4 * MINUTE,
        end: START + 90 * MINUTE,
        lead: None,
        decay: 0,
        effect: Some(Effect::Multiplier(5.0)),
        workloads: Vec::new(),
        author: "ada".to_owned(),
        created: 0,
    }]);
    let event = decide(&mut workload, START, &inputs);
    assert_eq!((event.replicas, event.binding), (Some(20), Binding::Event));
    assert!(event.reason.contains("Black Friday"), "{}", event.reason);
}

#[test]
fn a_climb_starts_as_early_as_its_rate_makes_necessary() {
    let mut workload = workload("mode: full, limits: {max: 50, up: {replicas: 1, per: 1m}}");
    let mut sizes = Vec::new();
    // The demand is to jump from 300 to 2,000 in the 30th minute.
    for minute in 0..=30 {
        let at = START + minute * MINUTE;
        let mut inputs = sized(at, 300.0, 300.0, *sizes.last().unwrap_or(&3));
        let forecast = inputs.forecast.as_mut().map(Arc::make_mut).unwrap();
        forecast.coverage = None;
        for one in &mut forecast.maxima {
            let reaches = forecast.generated + one.ahead >= START + 30 * MINUTE;
            one.quantile = if reaches { 1_500.0 } else { 300.0 };
        }
        let decision = decide(&mut workload, at, &inputs);
        sizes.push(decision.replicas.unwrap());
    }
    assert_eq!(sizes[0], 3, "{sizes:?}");
    // In time: the lead time of 3 minutes before the jump.
    assert!(sizes[26] >= 15, "{sizes:?}");
    assert!(
        sizes.windows(2).all(|pair| pair[1] <= pair[0] + 1),
        "{sizes:?}"
    );
}

#[test]
fn up_and_down_in_turn_is_damped_and_said() {
    let mut workload =
        workload("mode: full, limits: {max: 50, hold: 0s, stabilisation: {down: 0s}}");
    let mut last = None;
    for minute in 0..12 {
        let demand = if minute % 4 < 2 { 500.0 } else { 1_000.0 };
        let at = START + minute * MINUTE;
        last = Some(decide(&mut workload, at, &inputs(at, demand, Some(demand))));
    }
    let last = last.unwrap();
    assert_eq!((last.replicas, last.binding), (Some(10), Binding::Reactive));
    let at = START + 13 * MINUTE;
    let damped = decide(&mut workload, at, &inputs(at, 500.0, Some(500.0)));
    assert_eq!(
        (damped.replicas, damped.binding),
        (Some(10), Binding::Oscillation)
    );
    assert!(damped.reason.contains("oscillates"), "{}", damped.reason);
    let at = START + 60 * MINUTE;
    let calm = decide(&mut workload, at, &inputs(at, 500.0, Some(500.0)));
    assert_eq!(calm.replicas, Some(5));
}

#[test]
fn what_made_things_worse_is_withdrawn() {
    let mut workload = workload("mode: guarded, limits: {max: 50, hold: 0s}");
    let mut step = |minute: Millis, ready: u32| {
        let at = START + minute * MINUTE;
        let mut inputs = sized(at, 500.0, 1_500.0, ready);
        inputs.replicas = inputs.replicas.map(|one| Replicas {
            wanted: None,
            ..one
        });
        decide(&mut workload, at, &inputs)
    };
    assert_eq!(step(0, 5).replicas, Some(15));
    assert!(!step(3, 5).withdrawn);
    let worse = step(6, 3);
    assert_eq!(
        (worse.replicas, worse.gate),
        (Some(5), Gate::Shut(Closed::RolledBack))
    );
    assert!(
        worse.withdrawn && worse.reason.contains("withdrawn"),
        "{}",
        worse.reason
    );
    assert_eq!(step(35, 5).replicas, Some(5));
    assert_eq!(step(37, 5).replicas, Some(15));
}

#[test]
fn capacity_is_learned_and_used() {
    let mut found = settings("mode: full, limits: {max: 50}");
    let text = "{learned: {utilisation: cpu, target: 0.7}}";
    let value = serde_yaml::Deserializer::from_str(text);
    found.capacity_per_replica =
        serde_yaml::with::singleton_map_recursive::deserialize(value).unwrap();
    let mut workload = Workload::new(Arc::new(found));
    let (mut last, mut random) = (None, fastrand::Rng::with_seed(3));
    for minute in 0..300 {
        let at = START + minute * MINUTE;
        let demand = 500.0 + 400.0 * (minute as f64 / 40.0).sin();
        let mut inputs = sized(at, demand, demand, 10);
        let value = demand / 10.0 / 120.0 + 0.02 * random.f64();
        inputs.utilisation = Some(Reading { at, value });
        let decision = decide(&mut workload, at, &inputs);
        assert!(minute > 20 || decision.replicas.is_none());
        last = Some(decision);
    }
    // 0.7 of 120 are 84 per replica.
    let capacity = last.unwrap().capacity.unwrap();
    assert!((79.0..=84.0).contains(&capacity), "{capacity}");
}

#[test]
fn workloads_share_by_priority() {
    let one = |priority: i32| {
        let more =
            format!("mode: full, limits: {{max: 50}}, priority: {priority}, uses: {{cpu: 2}}");
        workload(&more)
    };
    let mut board = Board {
        workloads: vec![one(1), one(9)],
        shared: vec![SharedSettings {
            name: "cpu".to_owned(),
            limit: 24.0,
            per: None,
        }],
        used: Vec::new(),
    };
    let demands = [
        inputs(START, 500.0, Some(900.0)),
        inputs(START, 400.0, Some(900.0)),
    ];
    let decisions = board.decide(START, &demands);
    let sizes: Vec<_> = decisions.iter().map(|one| one.replicas).collect();
    assert_eq!(sizes, [Some(5), Some(7)]);
    assert_eq!(decisions[1].binding, Binding::Shared);
    assert!(
        decisions[1].reason.contains("shared \"cpu\""),
        "{}",
        decisions[1].reason
    );
}
