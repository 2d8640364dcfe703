use super::*;
use crate::decide::{Binding, Mode, Parts};

const NOON: Millis = 1_700_000_000_000 / MINUTE * MINUTE;

fn decision(minute: i64, size: u32) -> Decision {
    Decision {
        workload: "shop".into(),
        at: NOON + minute * MINUTE,
        mode: Mode::Observe,
        replicas: Some(1),
        would_be: Some(size),
        parts: Parts::default(),
        gate: Gate::Open,
        binding: Binding::Forecast,
        held: None,
        demand: None,
        demand_forecast: None,
        level: 0.95,
        window: 300_000,
        lead: 180_000,
        capacity: Some(10.0),
        generated: None,
        ready: None,
        published_replicas: None,
        published_demand: None,
        on_demand: None,
        cost_per_hour: None,
        queue: None,
        prewarmed: None,
        withdrawn: false,
        reason: String::new(),
    }
}

fn day(demand: &[f32], ready: &[f32], decisions: &[Decision]) -> WorkloadDay {
    sum_up(&Known {
        workload: "shop",
        from: NOON,
        demand,
        ready,
        decisions,
        capacity: 10.0,
        lead: 120_000,
        min: 1,
        max: 50,
        replica_hour: Some(0.5),
    })
}

#[test]
fn a_jump_that_was_foreseen_is_served_and_the_reactive_one_is_late() {
    let mut demand = vec![15.0; 60];
    demand[30..].fill(95.0);
    let log = [decision(-10, 2), decision(20, 10)];
    let day = day(&demand, &[], &log);
    let recommended = day.recommended.unwrap();
    assert_eq!(recommended.violation_minutes, 0, "{day:?}");
    assert!(day.reactive.violation_minutes >= 3, "{day:?}");
    assert_eq!((day.decisions.up, day.decisions.down), (1, 0));
    assert_eq!(day.actual, None);
    // 10 replicas from minute 23 on, 2 before.
    assert!((recommended.replica_hours - (23.0 * 2.0 + 37.0 * 10.0) / 60.0).abs() < 1e-9);
}

#[test]
fn growth_counts_only_after_the_lead_time() {
    let mut demand = vec![15.0; 60];
    demand[30..].fill(95.0);
    let day = day(&demand, &[], &[decision(-10, 2), decision(30, 10)]);
    assert_eq!(day.recommended.unwrap().violation_minutes, 3);
}

#[test]
fn minutes_that_are_not_known_count_for_nobody() {
    let mut demand = vec![15.0; 60];
    demand[10..20].fill(f32::NAN);
    let ready = vec![1.0; 60];
    let day = day(&demand, &ready, &[]);
    assert_eq!(day.minutes, 50);
    assert_eq!(day.actual.unwrap().violation_minutes, 50);
    assert_eq!(day.recommended, None);
    assert_eq!(day.saved, None);
}
