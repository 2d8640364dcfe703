//! What each part of a decision does, one case each.

use super::{
    scenarios::{MINUTE, SECOND, START, decide, inputs, settings, workload},
    *,
};
use crate::series::Millis;
use std::sync::Arc;

/// Inputs with the size that is there.
pub(super) fn sized(at: Millis, demand: f64, quantile: f64, ready: u32) -> Inputs {
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
fn an_event_multiplies_no_more_of_a_wild_forecast_than_is_plausible() {
    let event = Event {
        id: "1".to_owned(),
        kind: "sale".to_owned(),
        name: "Black Friday".to_owned(),
        start: START + 4 * MINUTE,
        end: START + 90 * MINUTE,
        lead: None,
        decay: 0,
        effect: Some(Effect::Multiplier(3.0)),
        workloads: Vec::new(),
        author: "ada".to_owned(),
        created: 0,
    };
    let size = |demand: f64, quantile: f64, more: &str| {
        let mut inputs = inputs(START, demand, Some(quantile));
        inputs.events = Arc::new(vec![event.clone()]);
        let more = format!("mode: full, limits: {{min: 4, max: 90}}{more}");
        decide(&mut workload(&more), START, &inputs).parts.event
    };
    // A forecast within reason is what will be multiplied.
    assert_eq!(size(400.0, 700.0, ""), Some(21));
    // The gate believes five times as much, and the forecast counts, but not three times over.
    assert_eq!(size(400.0, 1_900.0, ""), Some(24));
    assert_eq!(size(400.0, 590.0, ", gate: {max_jump: 1.5}"), Some(18));
    // Of next to nothing one replica is plausible.
    assert_eq!(size(1.0, 150.0, ""), Some(5));
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
    let again = step(6, 3);
    assert_eq!(again.gate, Gate::Shut(Closed::RolledBack));
    assert!(!again.withdrawn, "it is told once");
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

#[test]
fn a_queue_that_counts_and_is_not_known_leaves_no_recommendation() {
    let more = "mode: full, limits: {max: 50}, queue: {query: waiting, drain_within: 100s}";
    let decide_with = |queue: Option<Reading>| {
        let mut inputs = inputs(START, 500.0, Some(500.0));
        inputs.queue = queue;
        decide(&mut workload(more), START, &inputs)
    };
    let reading = |at, value| Some(Reading { at, value });
    let known = decide_with(reading(START, 100_000.0));
    assert_eq!((known.replicas, known.demand), (Some(15), Some(1_500.0)));
    for queue in [None, reading(START - 3 * MINUTE, 9.0), reading(START, -1.0)] {
        let decision = decide_with(queue);
        let found = (decision.replicas, decision.published_demand);
        assert_eq!(found, (None, None), "{queue:?}");
        let reason = &decision.reason;
        assert!(reason.contains("the queue is not known"), "{reason}");
    }
    let described = "mode: full, limits: {max: 50}, queue: {query: waiting}";
    let inputs = inputs(START, 500.0, Some(500.0));
    let decision = decide(&mut workload(described), START, &inputs);
    assert_eq!(decision.replicas, Some(5));
}

/// Two that share `limit` of one unit each: the first observes.
fn observed(limit: f64, pinned: bool) -> Vec<Decision> {
    let one = |mode: &str| {
        workload(&format!(
            "mode: {mode}, limits: {{min: 2, max: 50}}, uses: {{cpu: 1}}"
        ))
    };
    let mut board = Board {
        workloads: vec![one("observe"), one("full")],
        shared: vec![SharedSettings {
            name: "cpu".to_owned(),
            limit,
            per: None,
        }],
        used: Vec::new(),
    };
    let mut watched = sized(START, 500.0, 3_000.0, 5);
    if pinned {
        watched.overrides = Arc::new(vec![Override {
            id: "1".to_owned(),
            workload: "checkout".to_owned(),
            order: Order::Pin(40),
            reason: "drill".to_owned(),
            author: "ada".to_owned(),
            created: START,
            expires: None,
        }]);
    }
    board.decide(START, &[watched, sized(START, 500.0, 1_000.0, 5)])
}

#[test]
fn who_only_observes_takes_nothing_from_others() {
    for pinned in [false, true] {
        let decisions = observed(16.0, pinned);
        assert_eq!(decisions[1].replicas, Some(10), "pinned: {pinned}");
    }
    // Of what there is for both, what is asked for goes first.
    let would_be = observed(16.0, false)[0].would_be;
    assert!(
        would_be.is_some_and(|size| (5..16).contains(&size)),
        "{would_be:?}"
    );
}

#[test]
fn what_is_used_up_leaves_the_least() {
    let decisions = observed(1.0, false);
    assert_eq!(
        (decisions[1].replicas, decisions[1].binding),
        (Some(2), Binding::Shared)
    );
}

#[test]
fn a_budget_pays_for_the_least_size() {
    let text =
        "mode: full, limits: {min: 5, max: 50, budget_per_hour: 0.4}, cost: {replica_hour: 0.1}";
    let value = format!("{{name: a, demand: {{signal: b}}, capacity_per_replica: 1, {text}}}");
    let value = serde_yaml::Deserializer::from_str(&value);
    let found: Settings = serde_yaml::with::singleton_map_recursive::deserialize(value).unwrap();
    let problems = found.validate();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].0, "limits.budget_per_hour");
    let mut workload = Workload::new(Arc::new(found));
    let decision = decide(&mut workload, START, &inputs(START, 50.0, None));
    assert_eq!(
        (decision.replicas, decision.binding),
        (Some(5), Binding::Budget)
    );
}

#[test]
fn an_emergency_is_not_confirmed_across_a_gap_in_the_demand() {
    let mut workload =
        workload("mode: full, limits: {max: 50}, emergency: {host: critical, fraction: 0.5}");
    let mut size = |seconds: Millis, demand: bool| {
        let at = START + seconds * SECOND;
        let mut inputs = inputs(at, 1_000.0, Some(1_000.0));
        inputs.demand = inputs.demand.filter(|_| demand);
        inputs.host = Some(Reading { at, value: 1.0 });
        decide(&mut workload, at, &inputs).replicas
    };
    assert_eq!(size(0, true), Some(10));
    assert_eq!(size(120, true), Some(10));
    // Watched on while the demand is not known.
    assert_eq!(size(150, false), None);
    assert_eq!(size(180, true), Some(5));
    assert_eq!(size(900, true), Some(10));
}

#[test]
fn what_was_learned_in_another_unit_is_forgotten() {
    let more = "mode: full, limits: {max: 50}";
    let mut one = workload(more);
    for minute in 0..5 {
        let at = START + minute * MINUTE;
        decide(&mut one, at, &inputs(at, 2_000.0, Some(2_000.0)));
    }
    let restored = |settings: Settings| {
        let workload = Workload::restore(Arc::new(settings), one.state().clone());
        (workload.state().size, workload.state().level.is_some())
    };
    assert_eq!(restored(settings(more)), (Some(20), true));
    assert_eq!(
        restored(settings("mode: full, limits: {max: 40}")),
        (Some(20), true)
    );
    for change in 0..4 {
        let mut other = settings(more);
        match change {
            0 => other.demand.signal = "bytes".to_owned(),
            1 => other.demand.query = Some("sum(x)".to_owned()),
            2 => drop(other.demand.r#match.insert("a".to_owned(), "b".to_owned())),
            _ => other.capacity_per_replica = Capacity::Declared(3.0),
        }
        assert_eq!(restored(other), (Some(20), false), "{change}");
    }
}

#[test]
fn a_size_of_long_ago_is_no_worse_than_none() {
    let mut old = workload("mode: full, limits: {max: 50}");
    decide(&mut old, START, &inputs(START, 200.0, Some(200.0)));
    let at = START + 60 * MINUTE;
    // Somebody else has scaled it meanwhile.
    let inputs = sized(at, 500.0, 500.0, 12);
    let mut fresh = workload("mode: full, limits: {max: 50}");
    let (kept, without) = (
        decide(&mut old, at, &inputs),
        decide(&mut fresh, at, &inputs),
    );
    assert_eq!(kept.replicas, Some(12));
    assert_eq!(kept.replicas, without.replicas);
}

#[test]
fn a_level_is_the_same_however_often_it_is_looked_at() {
    let level = |step: Millis| {
        let mut workload = workload("mode: full, review: 2m, limits: {max: 50}");
        for place in 0..=20 * MINUTE / step {
            let at = START + place * step;
            let demand = if place == 0 { 1_000.0 } else { 2_000.0 };
            decide(&mut workload, at, &inputs(at, demand, None));
        }
        f64::from(workload.state().level.unwrap())
    };
    let (often, seldom) = (level(15 * SECOND), level(2 * MINUTE));
    assert!((often - seldom).abs() < 1.0, "{often} {seldom}");
}
