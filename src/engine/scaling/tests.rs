use super::*;
use crate::{
    decide::{Closed, Order, Override},
    engine::outcome::{Doubt, Horizon, SeriesOutcome},
    forecast::{Interval, Trust},
    quality::{Finding, Unit},
    series::Labels,
    source::{Matrix, SeriesSamples},
};
use std::collections::BTreeMap;

const MINUTE: Millis = 60_000;
const NOW: Millis = 1_700_000_040_000;

fn labels(app: &str) -> Labels {
    Labels::new([("app", app)]).unwrap()
}

fn settings(rest: &str) -> Settings {
    let text = format!(
        "{{name: shop, demand: {{signal: requests, match: {{app: shop}}}}, capacity_per_replica: 10, mode: full, lead_time: 3m, {rest}}}"
    );
    let value: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
    let settings: Settings = serde_yaml::with::singleton_map_recursive::deserialize(value).unwrap();
    assert_eq!(settings.validate(), []);
    settings
}

fn plan(settings: Settings) -> WorkloadPlan {
    let rules = settings.rules.iter();
    WorkloadPlan {
        rules: rules
            .map(|rule| Expression::parse_condition(&rule.when).unwrap())
            .collect(),
        settings: Arc::new(settings),
        step: Span::minutes(1),
        interval: 0.9,
        query: "sum by (app) (rate(requests_total[1m]))".to_owned(),
        max_series: 100,
        source: 0,
        asked: 0,
        bounds: Bounds::default(),
    }
}

fn unit(rest: &str) -> ScalingUnit {
    ScalingUnit::new(&[plan(settings(rest))], Vec::new(), None)
}

/// The demand of each app.
fn answer(at: Millis, demand: &[(&str, f64)]) -> Vec<Option<Answer>> {
    let series = demand.iter().map(|(app, value)| SeriesSamples {
        labels: labels(app),
        samples: vec![(at, *value)],
    });
    let matrix = Arc::new(Matrix {
        series: series.collect(),
        ..Matrix::default()
    });
    vec![Some(Answer::new(at, matrix))]
}

/// An outcome whose window forecasts are `quantile` for the shop, and half of it for the other app.
fn outcome(at: Millis, unit: &ScalingUnit, quantile: f32) -> Arc<Outcome> {
    let windows = unit.settings[0].windows(Span::minutes(1));
    let count = windows.len();
    let one = |app: &str| SeriesOutcome {
        labels: labels(app),
        value: 40.0,
        band: crate::baseline::Band::UNKNOWN,
        score: 0.1,
        active: false,
        severity: 0,
        direction: 0,
        began: false,
        since: None,
        worst: 0,
        reason: None,
    };
    let interval = Interval {
        expected: quantile - 5.0,
        lower: 0.0,
        upper: quantile,
    };
    let trust = Trust {
        error_ratio: 0.1,
        coverage_ratio: 0.9,
        below_ratio: 0.95,
        skill_ratio: 0.3,
    };
    let tails = [quantile / 2.0, quantile];
    Arc::new(Outcome {
        unit: "requests".into(),
        at,
        series: vec![one("other"), one("shop")],
        windows: windows
            .iter()
            .map(|&span| Horizon { span, steps: 1 })
            .collect(),
        maxima: vec![interval; 2 * count],
        levels: Arc::new([0.95]),
        tails: tails.iter().flat_map(|&tail| vec![tail; count]).collect(),
        tail_trust: vec![Some(trust); 2 * count],
        ..Outcome::default()
    })
}

fn decide(unit: &mut ScalingUnit, at: Millis, demand: f64, quantile: f32) -> Scaling {
    let made = outcome(at - MINUTE, unit, quantile);
    let answers = answer(at, &[("other", 7.0), ("shop", demand)]);
    unit.decide(at, answers, &[made], &Records::default())
}

#[test]
fn what_is_forecast_of_the_one_series_becomes_a_size_and_series() {
    let mut unit = unit("limits: {min: 1, max: 50}");
    assert_eq!(unit.questions().len(), 1);
    let scaling = decide(&mut unit, NOW, 42.0, 78.0);
    let [one] = scaling.decisions.as_slice() else {
        panic!("{scaling:?}");
    };
    assert_eq!(one.decision.replicas, Some(8), "{one:?}");
    assert_eq!(one.decision.parts.reactive, Some(5));
    assert!(one.is_news);
    assert_eq!(one.notes, [""; 0]);
    assert!((one.coverage.unwrap() - 0.95).abs() < 1e-6);
    let names: Vec<&str> = scaling.chunks.iter().map(Chunk::name).collect();
    for name in [
        "predicted_replicas",
        "predicted_demand",
        "predicted_demand_forecast",
        "predicted_gate_open",
        "predicted_replicas_part",
        "predicted_mode_info",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let again = decide(&mut unit, NOW + MINUTE, 42.0, 78.0);
    assert!(!again.decisions[0].is_news, "{again:?}");
}

#[test]
fn observing_says_what_it_would_be_and_recommends_the_present() {
    let mut own = settings("limits: {min: 1, max: 50}");
    own.mode = Mode::Observe;
    let mut unit = ScalingUnit::new(&[plan(own)], Vec::new(), None);
    let scaling = decide(&mut unit, NOW, 42.0, 78.0);
    let decision = &scaling.decisions[0].decision;
    assert_eq!((decision.replicas, decision.would_be), (Some(5), Some(8)));
}

#[test]
fn a_demand_that_is_lost_is_believed_for_its_age_and_then_nothing_is_recommended() {
    let mut unit = unit("limits: {min: 1, max: 50}");
    decide(&mut unit, NOW, 42.0, 78.0);
    let lost = |unit: &mut ScalingUnit, at: Millis| {
        let made = outcome(at - MINUTE, unit, 78.0);
        unit.decide(at, vec![None], &[made], &Records::default())
    };
    let soon = lost(&mut unit, NOW + MINUTE);
    assert_eq!(soon.decisions[0].decision.replicas, Some(8));
    let late = lost(&mut unit, NOW + 5 * MINUTE);
    assert_eq!(late.decisions[0].decision.replicas, None);
    let named = |name: &str| late.chunks.iter().any(|chunk| chunk.name() == name);
    assert!(!named("predicted_replicas") && !named("predicted_demand"));
    assert!(named("predicted_mode_info"));
}

/// Decides on the demand of a signal whose values are 0 to 100, of whose series this was found.
fn validated(unit: &mut ScalingUnit, minutes: i64, demand: f64, found: Option<Finding>) -> Decided {
    let at = NOW + minutes * MINUTE;
    let made = Arc::into_inner(outcome(at - MINUTE, unit, 78.0)).unwrap();
    let doubts = found.map(|finding| Doubt {
        labels: labels("shop"),
        finding,
        value: demand as f32,
    });
    let mut series = made.series.clone();
    // So it would be, were it believed.
    (series[1].active, series[1].direction) = (found.is_some(), -1);
    let made = Arc::new(Outcome {
        doubts: doubts.into_iter().collect(),
        series,
        ..made
    });
    let answers = answer(at, &[("shop", demand)]);
    let mut scaling = unit.decide(at, answers, &[made], &Records::default());
    scaling.decisions.remove(0)
}

fn validating() -> ScalingUnit {
    let mut plan = plan(settings("limits: {min: 1, max: 50}"));
    plan.bounds = Bounds::new(None, None, Some(Unit::Percent));
    ScalingUnit::new(&[plan], Vec::new(), None)
}

#[test]
fn a_demand_that_cannot_be_makes_nothing_smaller() {
    let found = Some(Finding::OutOfRange);
    let mut unit = validating();
    assert_eq!(
        validated(&mut unit, 0, 42.0, None).decision.replicas,
        Some(8)
    );
    // Less than can be is what it was before; more is more, as the bounds may be what is wrong.
    for (demand, taken, replicas) in [(-3.0, 42.0, 8), (130.0, 130.0, 13), (1e6, 1e6, 50)] {
        let one = validated(&mut unit, 1, demand, found);
        assert_eq!(one.decision.replicas, Some(replicas), "{one:?}");
        assert_eq!(one.decision.demand, Some(taken));
        assert!(
            one.notes[0].contains("cannot be by range"),
            "{:?}",
            one.notes
        );
    }
    let mut young = validating();
    let first = validated(&mut young, 0, 130.0, found);
    assert_eq!(first.decision.replicas, Some(13));
    // Older than it may be: nothing is said, and autoscalers stay where they are.
    let late = validated(&mut unit, 6, -3.0, found);
    assert_eq!((late.decision.replicas, late.decision.demand), (None, None));
    let back = validated(&mut unit, 7, 42.0, None);
    assert_eq!(back.decision.replicas, Some(8));
}

#[test]
fn a_demand_that_is_frozen_leaves_the_forecast_in_force() {
    let mut unit = validating();
    assert_eq!(
        validated(&mut unit, 0, 12.0, None).decision.replicas,
        Some(8)
    );
    for minute in 1..30 {
        let one = validated(&mut unit, minute, 12.0, Some(Finding::Frozen));
        assert_eq!(one.decision.replicas, Some(8), "{minute}: {one:?}");
        assert_eq!(one.decision.gate, Gate::Open);
        assert!(
            one.notes[0].contains("is not believed (frozen)"),
            "{:?}",
            one.notes
        );
    }
    // Were it believed, its verdict would shut the gate, and what is forecast would not count.
    let mut unit = validating();
    let mut judged = validated(&mut unit, 0, 12.0, None);
    for minute in 1..30 {
        let at = NOW + minute * MINUTE;
        let made = Arc::into_inner(outcome(at - MINUTE, &unit, 78.0)).unwrap();
        let mut series = made.series.clone();
        (series[1].active, series[1].direction) = (true, -1);
        let made = Arc::new(Outcome { series, ..made });
        let answers = answer(at, &[("shop", 12.0)]);
        let mut scaling = unit.decide(at, answers, &[made], &Records::default());
        judged = scaling.decisions.remove(0);
    }
    assert_ne!(judged.decision.gate, Gate::Open);
}

#[test]
fn a_demand_of_which_a_part_is_missing_is_not_used() {
    let mut own = settings("limits: {min: 1, max: 50}");
    let text = "{signal: requests, match: {app: shop}, complete: {query: 'avg(up)'}}";
    own.demand = serde_yaml::from_str(text).unwrap();
    assert_eq!(own.validate(), []);
    let mut unit = ScalingUnit::new(&[plan(own)], Vec::new(), None);
    let queries: Vec<&str> = unit.questions().iter().map(|one| &*one.query).collect();
    assert_eq!(queries[1], "avg(up)");
    let mut decide = |seconds: i64, demand: f64, share: Option<f64>| {
        let at = NOW + seconds * 1_000;
        let made = outcome(at - MINUTE, &unit, 48.0);
        let share = share.map(|share| answer(at, &[("", share)]));
        let answers = [
            answer(at, &[("shop", demand)]),
            share.unwrap_or_else(|| vec![None]),
        ];
        let mut scaling = unit.decide(at, answers.concat(), &[made], &Records::default());
        let one = scaling.decisions.remove(0);
        (one.decision, one.notes.join("; "))
    };
    // Nobody has said yet that it is all of it.
    let (first, notes) = decide(0, 42.0, None);
    assert_eq!((first.replicas, first.demand), (None, None));
    assert!(first.reason.contains("is not known"), "{}", first.reason);
    assert!(notes.contains("demand.complete"), "{notes}");
    let (whole, notes) = decide(15, 42.0, Some(0.9));
    assert_eq!((whole.demand, notes.as_str()), (Some(42.0), ""));
    assert_eq!(whole.replicas, Some(5));
    // Half of the targets are gone, and half of the demand seems to be; or nobody can tell.
    for (seconds, share) in [(30, Some(0.5)), (45, None), (120, Some(f64::NAN))] {
        let (held, notes) = decide(seconds, 21.0, share);
        assert_eq!(held.demand, Some(42.0), "{seconds}: {held:?}");
        assert_eq!(held.replicas, Some(5));
        assert!(notes.contains("0.9 is needed"), "{notes}");
    }
    let (gone, _) = decide(150, 21.0, Some(0.5));
    assert_eq!((gone.replicas, gone.demand), (None, None));
    let why = "only 0.50 of what the demand is measured at is there, and 0.9 is needed";
    assert!(gone.reason.contains(why), "{}", gone.reason);
    let (back, _) = decide(165, 33.0, Some(1.0));
    assert_eq!(back.demand, Some(33.0));
    let wrong = "{signal: requests, complete: {query: ' ', min: 90}}";
    let mut own = settings("limits: {min: 1, max: 50}");
    own.demand = serde_yaml::from_str(wrong).unwrap();
    let fields: Vec<String> = own.validate().into_iter().map(|one| one.0).collect();
    assert_eq!(fields, ["demand.complete.query", "demand.complete.min"]);
}

#[test]
fn two_series_that_match_are_none_and_that_is_said() {
    let mut own = settings("limits: {min: 1, max: 50}");
    own.demand.r#match.clear();
    let mut unit = ScalingUnit::new(&[plan(own)], Vec::new(), None);
    let scaling = decide(&mut unit, NOW, 42.0, 78.0);
    let one = &scaling.decisions[0];
    assert_eq!(one.decision.replicas, None);
    assert_eq!(one.notes.len(), 2, "{:?}", one.notes);
    assert!(one.notes[0].contains("2 series of the demand match"));
}

#[test]
fn without_an_outcome_the_present_counts_alone() {
    let mut unit = unit("limits: {min: 1, max: 50}");
    let answers = answer(NOW, &[("shop", 42.0)]);
    let scaling = unit.decide(NOW, answers, &[], &Records::default());
    let decision = &scaling.decisions[0].decision;
    assert_eq!(decision.replicas, Some(5));
    assert_eq!(decision.gate, Gate::Shut(Closed::NoForecast));
}

#[test]
fn rules_see_values_and_forecasts_and_orders_are_followed() {
    let mut unit = unit(
        "limits: {min: 1, max: 50}, rules: [{when: 'requests{app=\"shop\"} > 30 and on(app) predicted_window_max_requests{horizon=\"10m\"} > 0 or requests > 39', scale: 2}]",
    );
    let scaling = decide(&mut unit, NOW, 42.0, 48.0);
    let one = &scaling.decisions[0];
    assert!(one.decision.parts.rule.is_some(), "{one:?}");
    let order = Override {
        id: "1".to_owned(),
        workload: "shop".to_owned(),
        order: Order::Pin(3),
        reason: "incident 7".to_owned(),
        author: "ann".to_owned(),
        created: NOW,
        expires: None,
    };
    let records = Records {
        overrides: Arc::new(vec![order]),
        ..Records::default()
    };
    let at = NOW + MINUTE;
    let made = outcome(NOW, &unit, 48.0);
    let pinned = unit.decide(at, answer(at, &[("shop", 42.0)]), &[made], &records);
    assert_eq!(pinned.decisions[0].decision.replicas, Some(3));
    assert_eq!(pinned.decisions[0].decision.binding, Binding::Override);
}

#[test]
fn a_restart_goes_on_from_what_was_kept() {
    let rest = "limits: {min: 1, max: 50, hold: 10m}";
    let mut first = unit(rest);
    decide(&mut first, NOW, 42.0, 98.0);
    assert_eq!(first.states(NOW, |name| name != "shop"), []);
    let states = first.states(NOW, |_| true);
    let mut second = unit(rest);
    assert_eq!(second.restore(&states), [""; 0]);
    let at = NOW + MINUTE;
    let (one, other) = (
        decide(&mut first, at, 42.0, 78.0),
        decide(&mut second, at, 42.0, 78.0),
    );
    assert_eq!(one.decisions[0].decision, other.decisions[0].decision);
    let torn = SavedState {
        text: states[0].text.split_at(10).0.to_owned(),
        ..states[0].clone()
    };
    assert_eq!(unit(rest).restore(&[torn]), ["shop"]);
}

#[test]
fn mode_off_publishes_nothing_and_is_logged_once() {
    let mut own = settings("limits: {min: 1, max: 50}");
    own.mode = Mode::Off;
    let mut unit = ScalingUnit::new(&[plan(own)], Vec::new(), None);
    let scaling = decide(&mut unit, NOW, 42.0, 78.0);
    assert!(scaling.chunks.is_empty());
    assert!(scaling.decisions[0].is_news);
    for minute in 1..5 {
        let at = NOW + minute * MINUTE;
        let answers = answer(at, &[("shop", 40.0 * minute as f64)]);
        // The gate is shut now, and what would be needed differs each time.
        let scaling = unit.decide(at, answers, &[], &Records::default());
        assert!(!scaling.decisions[0].is_news, "{:?}", scaling.decisions);
    }
}

/// One decision a minute on each of these demands, with 20 replicas ready all the time.
fn followed(rest: &str, demand: &[f64]) -> Vec<Decided> {
    let mut unit = unit(&format!("replicas: {{query: ready}}, {rest}"));
    let decide = |(minute, demand): (usize, &f64)| {
        let at = NOW + minute as i64 * MINUTE;
        let made = outcome(at - MINUTE, &unit, *demand as f32);
        let answers = [answer(at, &[("shop", *demand)]), answer(at, &[("", 20.0)])];
        let records = Records::default();
        let mut scaling = unit.decide(at, answers.concat(), &[made], &records);
        scaling.decisions.remove(0)
    };
    demand.iter().enumerate().map(decide).collect()
}

#[test]
fn the_end_of_a_rise_is_in_the_log_whatever_the_size_is_then() {
    // A floor of 20 keeps the size where it is, so nothing but the end of the rise is new.
    let demand = [50.0, 50.0, 80.0, 120.0, 160.0, 120.0, 120.0];
    let decided = followed("limits: {min: 20, max: 50}", &demand);
    let ends: Vec<_> = decided.iter().map(|one| one.decision.prewarmed).collect();
    let mut expected = [None; 7];
    expected[5] = Some(true);
    assert_eq!(ends, expected);
    let news: Vec<bool> = decided.iter().map(|one| one.is_news).collect();
    assert_eq!(news, [true, false, false, false, false, true, false]);
}

#[test]
fn every_change_of_a_recommendation_is_news_also_of_a_second_decision_on_one_time() {
    let mut first = unit("limits: {min: 1, max: 50}");
    assert!(decide(&mut first, NOW, 42.0, 78.0).decisions[0].is_news);
    // Another configuration decides on the same time anew, and the log has a line of that time already.
    let mut second = unit("limits: {min: 1, max: 6}");
    second.restore(&first.states(NOW, |_| true));
    let again = decide(&mut second, NOW, 42.0, 78.0);
    assert_eq!(again.decisions[0].decision.replicas, Some(6));
    assert!(again.decisions[0].is_news);
    let later = decide(&mut second, NOW + MINUTE, 42.0, 78.0);
    assert_eq!(later.decisions[0].decision.replicas, Some(6));
    assert!(later.decisions[0].is_news, "the log does not have it yet");
    let settled = decide(&mut second, NOW + 2 * MINUTE, 42.0, 78.0);
    assert!(!settled.decisions[0].is_news);
}

#[test]
fn windows_that_others_have_on_the_signal_say_nothing_here() {
    let mut unit = unit("limits: {min: 1, max: 50}");
    let made = outcome(NOW - MINUTE, &unit, 78.0);
    let own = made.windows.len();
    let spread = |table: &[f32], other: f32| -> Vec<f32> {
        let rows = table.chunks(own);
        rows.flat_map(|row| [row, &[other]].concat()).collect()
    };
    let far = Horizon {
        span: Span::days(1),
        steps: 1,
    };
    let bad = Trust {
        error_ratio: 1.0,
        coverage_ratio: 0.0,
        below_ratio: 0.2,
        skill_ratio: -3.0,
    };
    let trusts = made.tail_trust.chunks(own);
    let foreign = Outcome {
        unit: Arc::clone(&made.unit),
        at: made.at,
        series: made.series.clone(),
        windows: made.windows.iter().cloned().chain([far]).collect(),
        maxima: vec![made.maxima[0]; 2 * (own + 1)],
        levels: Arc::clone(&made.levels),
        tails: spread(&made.tails, f32::NAN),
        tail_trust: trusts
            .flat_map(|row| [row, &[Some(bad)]].concat())
            .collect(),
        ..Outcome::default()
    };
    let answers = answer(NOW, &[("shop", 42.0)]);
    let scaling = unit.decide(NOW, answers, &[Arc::new(foreign)], &Records::default());
    let one = &scaling.decisions[0];
    assert_eq!(one.decision.gate, Gate::Open, "{one:?}");
    assert_eq!(one.decision.replicas, Some(8));
    assert!((one.coverage.unwrap() - 0.95).abs() < 1e-6);
}

#[test]
fn the_log_says_at_every_time_what_is_recommended() {
    let mut random = fastrand::Rng::with_seed(11);
    let said = |one: &Decision| (one.replicas, one.would_be, one.gate, one.binding, one.mode);
    let mut changes = 0;
    for _ in 0..20 {
        let (mut running, mut at) = (unit("limits: {min: 1, max: 50}"), NOW);
        let mut log: BTreeMap<Millis, Decision> = BTreeMap::new();
        for _ in 0..200 {
            let reload = random.u8(..) < 20;
            if reload {
                let max = random.u32(2..50);
                let mut next = unit(&format!("limits: {{min: 1, max: {max}}}"));
                next.take_over(running.board());
                running = next;
            } else {
                at += 15_000;
            }
            let demand = 30.0 + 200.0 * random.f64() * random.f64();
            let quantile = (demand * (0.5 + 2.0 * random.f64())) as f32;
            let made = outcome(at - MINUTE, &running, quantile);
            let outcomes = if random.u8(..) < 30 {
                vec![]
            } else {
                vec![made]
            };
            let known = random.u8(..) > 30;
            let answers = match known {
                true => answer(at, &[("shop", demand)]),
                false => answer(at, &[]),
            };
            let scaling = running.decide(at, answers, &outcomes, &Records::default());
            let one = &scaling.decisions[0];
            if one.is_news {
                // As the store has it: a time has one line, the first.
                log.entry(at).or_insert_with(|| one.decision.clone());
            }
            // What a reload decides on the same time anew is said by the next decision.
            if !reload {
                let (when, newest) = log.range(..=at).next_back().unwrap();
                assert_eq!(said(newest), said(&one.decision), "{when} {at}");
                changes += usize::from(*when == at);
            }
        }
    }
    assert!(changes > 1_000, "{changes}");
}
