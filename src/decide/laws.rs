//! What holds whatever comes: of any settings, any past, any inputs.

use super::{
    reason,
    scenarios::{MINUTE, SECOND, START, settings},
    *,
};
use crate::series::Millis;
use proptest::prelude::*;
use std::sync::Arc;

/// One evaluation: how long after the last, and what is seen.
#[derive(Debug, Clone)]
struct Tick {
    pause: Millis,
    demand: Option<f64>,
    /// What is forecast over three windows, and how old that is.
    forecast: Option<([f64; 3], Millis)>,
    coverage: f64,
    anomaly: i8,
    ready: Option<(u32, u32)>,
    utilisation: f64,
    host: f64,
    rules: [bool; 2],
    order: Option<Order>,
    event: bool,
}

/// Numbers as they come, bad ones among them.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        12 => 0.0_f64..4_000.0,
        1 => Just(0.0),
        1 => prop::sample::select(vec![
            f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e300, f64::MAX, f64::MIN_POSITIVE,
        ]),
    ]
}

fn order() -> impl Strategy<Value = Option<Order>> {
    prop_oneof![
        12 => Just(None),
        1 => Just(Some(Order::Pause)),
        1 => (0_u32..60).prop_map(|size| Some(Order::Pin(size))),
        1 => (0_u32..30).prop_map(|size| Some(Order::Min(size))),
        1 => (0_u32..30).prop_map(|size| Some(Order::Max(size))),
    ]
}

prop_compose! {
    fn tick()(
        pause in prop_oneof![8 => 5 * SECOND..2 * MINUTE, 1 => -5 * MINUTE..60 * MINUTE],
        demand in prop::option::weighted(0.95, value()),
        forecast in prop::option::weighted(0.9, (prop::array::uniform3(value()), -90 * SECOND..200 * SECOND)),
        coverage in 0.85_f64..1.0,
        anomaly in prop_oneof![4 => Just(0_i8), 1 => Just(-1), 1 => Just(1)],
        ready in prop::option::weighted(0.9, (0_u32..60, 0_u32..60)),
        utilisation in value(),
        host in prop_oneof![3 => Just(0.0), 1 => Just(1.0)],
        rules in any::<[bool; 2]>(),
        order in order(),
        event in any::<bool>(),
    ) -> Tick {
        Tick { pause, demand, forecast, coverage, anomaly, ready, utilisation, host, rules, order, event }
    }
}

impl Tick {
    fn inputs(&self, at: Millis) -> Inputs {
        let reading = |value: f64| Some(Reading { at, value });
        let truth = |holds: bool| if holds { Truth::Holds } else { Truth::Fails };
        Inputs {
            incomplete: None,
            demand: self.demand.and_then(reading),
            replicas: self.ready.map(|(ready, wanted)| Replicas {
                at,
                ready,
                wanted: Some(wanted),
            }),
            forecast: self.forecast.map(|(quantiles, age)| {
                let maxima = quantiles.into_iter().zip([8, 12, 40]);
                let maximum = |(quantile, minutes): (f64, Millis)| Maximum {
                    ahead: minutes * MINUTE,
                    expected: quantile,
                    quantile,
                };
                Arc::new(DemandForecast {
                    generated: at - age,
                    step: MINUTE,
                    level: 0.95,
                    maxima: maxima.map(maximum).collect(),
                    coverage: Some(self.coverage),
                    skill: Some(0.1),
                    anomaly: self.anomaly,
                    drift: None,
                })
            }),
            utilisation: reading(self.utilisation),
            queue: reading(self.utilisation),
            host: reading(self.host),
            rules: self.rules.into_iter().map(truth).collect(),
            events: Arc::new(self.event.then(|| event(at)).into_iter().collect()),
            overrides: Arc::new(
                self.order
                    .map(|order| ordered(at, order))
                    .into_iter()
                    .collect(),
            ),
        }
    }
}

fn event(at: Millis) -> Event {
    Event {
        id: "1".to_owned(),
        kind: "sale".to_owned(),
        name: "Sale".to_owned(),
        start: at + MINUTE,
        end: at + 30 * MINUTE,
        lead: None,
        decay: MINUTE,
        effect: Some(Effect::Multiplier(2.0)),
        workloads: Vec::new(),
        author: "ada".to_owned(),
        created: at,
    }
}

fn ordered(at: Millis, order: Order) -> Override {
    Override {
        id: "1".to_owned(),
        workload: "checkout".to_owned(),
        order,
        reason: "drill".to_owned(),
        author: "ada".to_owned(),
        created: at,
        expires: None,
    }
}

/// Settings in which everything is in force, or some of it.
fn all_settings() -> impl Strategy<Value = Arc<Settings>> {
    let mode = prop::sample::select(vec!["observe", "guarded", "full"]);
    let rate = prop::sample::select(vec![
        "",
        "up: {replicas: 2, per: 1m},",
        "up: {fraction: 0.5, per: 3m},",
    ]);
    let down = prop::sample::select(vec![
        "",
        "down: {replicas: 1, per: 1m},",
        "down: {fraction: 0.1, per: 2m},",
    ]);
    let other = prop::sample::select(vec![
        "",
        "cooldown: {up: 2m, down: 5m},",
        "stabilisation: {up: 1m, down: 0s},",
        "stabilisation: {down: 0s}, hold: 0s,",
        "stabilisation: {down: 0s}, hold: 0s, hysteresis: 0.3, oscillation: {changes: 3},",
        "hysteresis: 0.2, sensitivity: 0.5,",
        "budget_per_hour: 1.5,",
        "max_breach: {increase: {buffer: 0.2, ceiling: 45}},",
    ]);
    let parts = prop::sample::select(vec![
        "",
        "rules: [{when: a > 1, scale: 1.5}, {when: b > 1, scale: 0.5, priority: 1}],",
        "emergency: {host: host_critical},",
        "schedules: [{hours: 0-12, min: 4}, {weekdays: [mon, tue, wed], max: 20}],",
        "queue: {query: queue_length, drain_within: 10m},",
        "spot: {share: 0.5, replica_hour: 0.05},",
    ]);
    let capacity = prop::sample::select(vec![
        "100",
        "{learned: {utilisation: cpu, otherwise: 80}}",
        "{learned: {utilisation: cpu}}",
    ]);
    (mode, rate, down, other, parts, capacity, 0_u32..4).prop_map(
        |(mode, rate, down, other, parts, capacity, min)| {
            let text = format!(
                "mode: {mode}, cost: {{replica_hour: 0.1, shortfall_hour: 1.9}}, {parts}
                limits: {{min: {min}, max: 30, {rate} {down} {other}}}"
            );
            let mut found = settings(&text);
            let capacity = serde_yaml::Deserializer::from_str(capacity);
            let capacity = serde_yaml::with::singleton_map_recursive::deserialize(capacity);
            found.capacity_per_replica = capacity.unwrap();
            Arc::new(found)
        },
    )
}

/// The decisions over `ticks`.
fn run(workload: &mut Workload, ticks: &[Tick], mut at: Millis) -> Vec<Decision> {
    let decide = |tick: &Tick| {
        at += tick.pause;
        let proposal = workload.propose(at, &tick.inputs(at));
        workload.settle(proposal, &[])
    };
    ticks.iter().map(decide).collect()
}

/// Never below what is asked for now but by a named ceiling, never above any ceiling, never a number that is none.
fn check(decision: &Decision, settings: &Settings) -> Result<(), TestCaseError> {
    let pinned = decision.binding == Binding::Override && decision.reason.contains("override");
    if let (Some(size), Some(reactive)) = (decision.would_be, decision.parts.reactive) {
        prop_assert!(
            size >= reactive || decision.binding.is_ceiling(),
            "{decision:?}"
        );
        let ceiling = decision
            .parts
            .max
            .into_iter()
            .chain(decision.parts.budget)
            .min();
        prop_assert!(
            pinned || ceiling.is_none_or(|most| size <= most),
            "{decision:?}"
        );
    }
    if decision.mode == Mode::Observe {
        prop_assert_eq!(decision.replicas, decision.parts.reactive);
    } else if let (Some(size), Some(reactive)) = (decision.replicas, decision.parts.reactive) {
        prop_assert!(
            size >= reactive || decision.binding.is_ceiling(),
            "{decision:?}"
        );
    }
    if let (Some(budget), Some(size)) = (settings.limits.budget_per_hour, decision.would_be) {
        let (cost, spot) = (settings.cost.as_ref(), settings.spot.as_ref());
        let cost = cost_per_hour(cost, spot, size).unwrap();
        prop_assert!(pinned || cost <= budget * 1.000_001, "{decision:?}");
    }
    if let Some(demand) = decision.published_demand {
        prop_assert!(demand.is_finite() && demand >= 0.0, "{decision:?}");
        let size = decision.replicas.unwrap();
        let each = settings.capacity_per_replica.declared().unwrap();
        prop_assert!(decision.mode == Mode::Observe || demand >= f64::from(size) * each - 1e-6);
    }
    prop_assert!(
        decision
            .demand
            .is_none_or(|one| one.is_finite() && one >= 0.0)
    );
    prop_assert!(decision.demand_forecast.is_none_or(f64::is_finite));
    prop_assert!(
        decision.reason.contains(reason::word(decision.binding)),
        "{decision:?}"
    );
    let held = decision.held.is_none_or(|held| {
        let reason = &decision.reason;
        reason.contains(held.by.as_str()) || reason.contains(reason::word(held.by))
    });
    prop_assert!(held, "{decision:?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn limits_hold_and_reasons_name_what_binds(
        settings in all_settings(),
        ticks in prop::collection::vec(tick(), 1..60),
    ) {
        let mut workload = Workload::new(settings.clone());
        for decision in run(&mut workload, &ticks, START) {
            check(&decision, &settings)?;
        }
    }

    #[test]
    fn rates_hold_over_any_span(
        settings in all_settings(),
        ticks in prop::collection::vec(tick(), 1..60),
    ) {
        let mut settings = Settings::clone(&settings);
        settings.mode = Mode::Full;
        let ticks: Vec<Tick> = ticks
            .into_iter()
            .map(|tick| Tick { pause: tick.pause.abs().max(SECOND), order: None, host: 0.0, ..tick })
            .collect();
        let limits = settings.limits.clone();
        let memory = settings.memory();
        let mut workload = Workload::new(Arc::new(settings));
        let decisions = run(&mut workload, &ticks, START);
        let mut known: Vec<(Millis, u32)> = Vec::new();
        let mut last = None;
        for decision in decisions {
            // After so long a gap what is there is what counts.
            if last.is_some_and(|last| decision.at - last > memory) {
                known.clear();
            }
            last = Some(decision.at);
            let Some(size) = decision.would_be else { continue };
            let parts = decision.parts;
            let base = parts.reactive.max(parts.min).max(parts.schedule).unwrap();
            let since = |span: Millis| {
                let inside = known.iter().filter(move |(at, _)| *at > decision.at - span);
                inside.map(|(_, size)| *size).chain(known.last().map(|(_, size)| *size))
            };
            if let Some(rate) = limits.up
                && let Some(least) = since(rate.per.as_millis()).min()
            {
                let more = rate.replicas(least);
                prop_assert!(size <= (least + more).max(base).max(known.last().unwrap().1), "{decision:?} {known:?}");
            }
            let ceiling = parts.max.into_iter().chain(parts.budget).min().unwrap();
            if let Some(rate) = limits.down
                && let Some(greatest) = since(rate.per.as_millis()).max()
            {
                let less = greatest.saturating_sub(rate.replicas(greatest));
                let least = less.min(ceiling).min(known.last().unwrap().1);
                let throttled = decision.held.is_some_and(|held| held.by == Binding::Budget);
                prop_assert!(throttled || size >= least, "{decision:?} {known:?}");
            }
            known.push((decision.at, size));
        }
    }

    #[test]
    fn more_demand_never_means_fewer(
        settings in all_settings(),
        ticks in prop::collection::vec(tick(), 0..30),
        last in tick(),
        demands in (0.0_f64..4_000.0, 0.0_f64..4_000.0),
    ) {
        let mut workload = Workload::new(settings);
        let at = run(&mut workload, &ticks, START).last().map_or(START, |one| one.at);
        let one = |demand: f64| {
            let tick = Tick { demand: Some(demand), ..last.clone() };
            run(&mut workload.clone(), &[tick], at).remove(0)
        };
        let (low, high) = (one(demands.0.min(demands.1)), one(demands.0.max(demands.1)));
        // A budget's throttle leaves to the surplus what the present does not need: together they grow with it too.
        if low.gate == high.gate {
            prop_assert!(low.would_be <= high.would_be, "{low:?} {high:?}");
            prop_assert!(low.replicas <= high.replicas, "{low:?} {high:?}");
        }
    }

    #[test]
    fn a_restored_workload_decides_as_the_one_that_ran_on(
        settings in all_settings(),
        before in prop::collection::vec(tick(), 0..40),
        after in prop::collection::vec(tick(), 1..20),
    ) {
        let mut one = Workload::new(settings.clone());
        let at = run(&mut one, &before, START).last().map_or(START, |one| one.at);
        let text = serde_json::to_string(one.state()).unwrap();
        prop_assert!(text.len() < 64_000, "{} bytes", text.len());
        let state: State = serde_json::from_str(&text).unwrap();
        let mut other = Workload::restore(settings, state);
        prop_assert_eq!(run(&mut one, &after, at), run(&mut other, &after, at));
    }

    #[test]
    fn what_is_shared_is_never_overdrawn(
        settings in prop::collection::vec((all_settings(), 0_i32..3, 0.5_f64..4.0), 1..5),
        ticks in prop::collection::vec(prop::collection::vec(tick(), 5), 1..12),
        limit in 5.0_f64..80.0,
    ) {
        let workload = |(settings, priority, each): &(Arc<Settings>, i32, f64)| {
            let mut settings = Settings::clone(settings);
            settings.priority = *priority;
            settings.uses.insert("cpu".to_owned(), *each);
            Workload::new(Arc::new(settings))
        };
        let shared = SharedSettings { name: "cpu".to_owned(), limit, per: None };
        let mut board = Board {
            workloads: settings.iter().map(workload).collect(),
            shared: vec![shared],
            used: Vec::new(),
        };
        let mut at = START;
        for ticks in ticks {
            at += 30 * SECOND;
            let inputs: Vec<Inputs> = ticks
                .iter()
                .map(|tick| Tick { order: None, ..tick.clone() }.inputs(at))
                .collect();
            let decisions = board.decide(at, &inputs);
            // Those that observe take what is there; nobody is left with less than the least.
            let (mut used, mut least) = (0.0, 0.0);
            for (index, (decision, (settings, _, each))) in decisions.iter().zip(&settings).enumerate() {
                let wanted = inputs[index].replicas.and_then(|one| one.wanted);
                let there = wanted.or(decision.parts.reactive).unwrap_or(0);
                let (size, floor) = match (settings.mode, decision.would_be) {
                    (Mode::Guarded | Mode::Full, Some(_)) => {
                        (decision.replicas.unwrap(), settings.limits.min.max(1))
                    }
                    _ => (there, there),
                };
                used += f64::from(size) * each;
                least += f64::from(floor) * each;
            }
            prop_assert!(used <= limit.max(least) * 1.000_001, "{used} of {limit}: {decisions:?}");
            for (decision, (settings, _, _)) in decisions.iter().zip(&settings) {
                check(decision, settings)?;
            }
        }
    }
}
