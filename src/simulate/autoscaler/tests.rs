//! The documented examples: "Horizontal Pod Autoscaling" and its section on configurable scaling behaviour.

use super::*;

fn all_ready(replicas: u32) -> Size {
    Size {
        wanted: replicas,
        existing: replicas,
        ready: replicas,
    }
}

fn at_once() -> Settings {
    let mut settings = Settings::new(1, 1_000);
    settings.down.stabilisation = 0;
    settings
}

fn value(value: f64, target: f64) -> Metric {
    Metric::Value { value, target }
}

fn average(sum: f64, target: f64) -> Metric {
    Metric::Average { sum, target }
}

/// One sync of a fresh autoscaler.
fn once(settings: Settings, replicas: u32, metrics: &[Metric]) -> u32 {
    Autoscaler::new(settings).sync(0, all_ready(replicas), metrics)
}

#[test]
fn twice_the_target_doubles_and_half_of_it_halves() {
    // "if the current metric value is 200m, and the desired value is 100m, the number of replicas will be doubled,
    // since 200.0 / 100.0 == 2.0. If the current value is instead 50m, you'll halve the number of replicas".
    assert_eq!(once(at_once(), 4, &[value(0.2, 0.1)]), 8);
    assert_eq!(once(at_once(), 4, &[value(0.05, 0.1)]), 2);
    assert_eq!(once(at_once(), 5, &[value(0.05, 0.1)]), 3);
}

#[test]
fn a_ratio_near_enough_to_one_does_nothing() {
    // "The control plane skips any scaling action if the ratio is sufficiently close to 1.0 (0.1 by default)".
    for (sum, expected) in [
        (10.9, 10),
        // In floating point 1.1 is further from 1 than 0.1, in the controller too.
        (11.0, 11),
        (11.1, 12),
        (9.1, 10),
        (9.0, 10),
        (8.9, 9),
    ] {
        assert_eq!(once(at_once(), 10, &[average(sum, 1.0)]), expected, "{sum}");
        assert_eq!(
            once(at_once(), 10, &[value(sum / 10.0, 1.0)]),
            expected,
            "{sum}"
        );
    }
    let exact = Settings {
        tolerance: 0.0,
        ..at_once()
    };
    assert_eq!(once(exact, 10, &[average(10.1, 1.0)]), 11);
}

#[test]
fn an_average_is_of_all_and_a_value_of_those_that_are_ready() {
    let starting = Size {
        wanted: 10,
        existing: 10,
        ready: 4,
    };
    let sync = |metric| Autoscaler::new(at_once()).sync(0, starting, &[metric]);
    assert_eq!(sync(average(20.0, 1.0)), 20);
    assert_eq!(sync(value(2.0, 1.0)), 8);
    let none = Size {
        ready: 0,
        ..starting
    };
    // Kubernetes issue 130130: with nothing ready `Value` comes to nothing.
    assert_eq!(
        Autoscaler::new(at_once()).sync(0, none, &[value(2.0, 1.0)]),
        1
    );
    assert_eq!(
        Autoscaler::new(at_once()).sync(0, none, &[average(20.0, 1.0)]),
        20
    );
}

#[test]
fn the_greatest_of_several_metrics_counts() {
    assert_eq!(
        once(at_once(), 4, &[average(5.0, 1.0), average(7.0, 1.0)]),
        7
    );
    assert_eq!(
        once(at_once(), 4, &[average(2.0, 1.0), average(3.0, 1.0)]),
        3
    );
}

#[test]
fn what_cannot_be_read_never_scales_down() {
    // "If any of these metrics cannot be converted into a desired replica count and a scale down is suggested by the
    // metrics which can be fetched, scaling is skipped. ... still capable of scaling up".
    assert_eq!(once(at_once(), 4, &[Metric::Failed]), 4);
    assert_eq!(once(at_once(), 4, &[Metric::Failed, average(2.0, 1.0)]), 4);
    assert_eq!(once(at_once(), 4, &[Metric::Failed, average(7.0, 1.0)]), 7);
    assert_eq!(once(at_once(), 4, &[average(f64::NAN, 1.0)]), 4);
    // A zero is believed.
    assert_eq!(once(at_once(), 4, &[average(0.0, 1.0)]), 1);
}

#[test]
fn limits_hold_and_zero_stays() {
    let settings = Settings {
        min: 3,
        max: 6,
        ..at_once()
    };
    assert_eq!(once(settings.clone(), 4, &[average(100.0, 1.0)]), 6);
    assert_eq!(once(settings.clone(), 4, &[average(1.0, 1.0)]), 3);
    assert_eq!(once(settings.clone(), 2, &[average(5.0, 1.0)]), 3);
    assert_eq!(once(settings.clone(), 9, &[average(9.0, 1.0)]), 6);
    assert_eq!(once(settings, 0, &[average(9.0, 1.0)]), 0);
}

#[test]
fn downwards_the_greatest_recommendation_of_the_window_counts() {
    // "the algorithm looks at previously computed desired states, and uses the highest value from the specified
    // interval".
    let mut autoscaler = Autoscaler::new(Settings::new(1, 100));
    let mut replicas = 10;
    let mut course = Vec::new();
    for tick in 0..24_i64 {
        let sum = if tick == 0 { 12.0 } else { 4.0 };
        replicas = autoscaler.sync(tick * 15, all_ready(replicas), &[average(sum, 1.0)]);
        course.push(replicas);
    }
    assert_eq!(course[0], 12);
    assert!(course[..20].iter().all(|&size| size == 12), "{course:?}");
    assert!(course[20..].iter().all(|&size| size == 4), "{course:?}");
}

#[test]
fn upwards_the_least_recommendation_of_the_window_counts() {
    let mut settings = at_once();
    settings.up.stabilisation = 60;
    let mut autoscaler = Autoscaler::new(settings);
    assert_eq!(autoscaler.sync(0, all_ready(4), &[average(4.0, 1.0)]), 4);
    for at in [15, 30, 45] {
        assert_eq!(autoscaler.sync(at, all_ready(4), &[average(8.0, 1.0)]), 4);
    }
    assert_eq!(autoscaler.sync(60, all_ready(4), &[average(8.0, 1.0)]), 8);
}

/// Sizes at each of `times` while the metrics ask for `sum` replicas.
fn course(settings: Settings, from: u32, sum: f64, times: impl Iterator<Item = i64>) -> Vec<u32> {
    let mut autoscaler = Autoscaler::new(settings);
    let mut replicas = from;
    times
        .map(|at| {
            replicas = autoscaler.sync(at, all_ready(replicas), &[average(sum, 1.0)]);
            replicas
        })
        .collect()
}

#[test]
fn percent_where_many_and_pods_where_few() {
    // The example of the section: scaleDown with Pods 4 in 60 s and Percent 10 in 60 s. "with 80 replicas ... 8 in the
    // first iteration", 72 then allow 7.2: "the number is rounded up to 8", ..., "when the number of replicas falls
    // below 40, the first policy is applied and 4 replicas will be reduced at a time".
    let mut settings = at_once();
    settings.down.policies = vec![Policy::Pods(4, 60), Policy::Percent(10, 60)];
    let sizes = course(
        settings.clone(),
        80,
        10.0,
        (0..12).map(|minute| minute * 60),
    );
    assert_eq!(sizes, [72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20, 16]);
    settings.down.select = Select::Min;
    let sizes = course(settings.clone(), 80, 10.0, (0..3).map(|minute| minute * 60));
    assert_eq!(sizes, [76, 72, 68]);
    settings.down.select = Select::Disabled;
    assert_eq!(course(settings, 80, 10.0, 0..3), [80, 80, 80]);
}

#[test]
fn a_period_counts_from_its_beginning() {
    // 10 % a minute is 10 of 100 within any minute, however often it is asked.
    let mut settings = at_once();
    settings.down.policies = vec![Policy::Percent(10, 60)];
    let sizes = course(settings, 100, 10.0, (0..6).map(|tick| tick * 15));
    assert_eq!(sizes, [90, 90, 90, 90, 81, 81]);
}

#[test]
fn up_at_once_by_as_many_as_there_are_or_four() {
    // The default: "4 pods or a 100% of the currently running replicas may at most be added every 15 seconds".
    let sizes = course(at_once(), 1, 100.0, (0..6).map(|tick| tick * 15));
    assert_eq!(sizes, [5, 10, 20, 40, 80, 100]);
    // Limiting: Pods 4 in 60 s, least change.
    let mut settings = at_once();
    settings.up.policies = vec![Policy::Percent(100, 15), Policy::Pods(4, 60)];
    settings.up.select = Select::Min;
    let sizes = course(settings, 10, 100.0, (0..6).map(|tick| tick * 15));
    assert_eq!(sizes, [14, 14, 14, 14, 18, 18]);
}
