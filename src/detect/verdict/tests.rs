use super::*;
use crate::baseline::Band;
use proptest::prelude::*;

const NONE: f32 = f32::NAN;

fn band() -> Band {
    Band {
        expected: 10.0,
        lower: 9.0,
        upper: 11.0,
        scale: 0.3,
    }
}

fn minutes(settings: &AlertingSettings) -> Verdicts {
    let mut verdicts = Verdicts::new(
        settings,
        &SeverityThresholds::default(),
        Grid::new(60_000).unwrap(),
        60,
    );
    verdicts.grow(1);
    verdicts
}

fn step(verdicts: &mut Verdicts, value: f32, score: f32) -> Verdict {
    let mut out = [Verdict::default()];
    let batch = Batch {
        at: 0,
        slots: &[0],
        values: &[value],
        bands: &[band()],
    };
    verdicts.step(&batch, &[score], &mut out);
    out[0]
}

/// Each score positive above the expected value, negative below; the verdicts as text: `.` idle, `B` began,
/// `a` active.
fn run(settings: &AlertingSettings, scores: &[f32]) -> String {
    let mut verdicts = minutes(settings);
    scores
        .iter()
        .map(|score| {
            let value = if *score < 0.0 { 0.0 } else { 20.0 };
            let verdict = step(&mut verdicts, value, score.abs());
            match (verdict.active, verdict.began) {
                (true, true) => 'B',
                (true, false) => 'a',
                (false, false) => '.',
                (false, true) => panic!("began without being active"),
            }
        })
        .collect()
}

#[test]
fn of_series_without_an_alert_next_to_nothing_is_kept() {
    let settings: AlertingSettings =
        serde_json::from_str(r#"{"flapping": {"within": "1h"}}"#).unwrap();
    let mut verdicts = Verdicts::new(
        &settings,
        &SeverityThresholds::default(),
        Grid::new(60_000).unwrap(),
        0,
    );
    verdicts.grow(1);
    let quiet = verdicts.heap_bytes();
    assert!(quiet <= 8, "{quiet}");
    for score in [0.0, NONE, 0.5] {
        step(&mut verdicts, 10.0, score);
        assert_eq!(verdicts.heap_bytes(), quiet);
    }
    for _ in 0..10 {
        step(&mut verdicts, 20.0, 5.0);
    }
    assert!(verdicts.heap_bytes() > quiet);
    for _ in 0..90 {
        step(&mut verdicts, 10.0, 0.0);
    }
    assert_eq!(verdicts.heap_bytes(), quiet);
}

#[test]
fn a_verdict_begins_after_for_and_ends_after_recover_for() {
    let settings = AlertingSettings::default();
    assert_eq!(run(&settings, &[2.0, 0.0, 2.0, 0.0]), "....");
    assert_eq!(
        run(
            &settings,
            &[0.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        ),
        "..Baaaaa.."
    );
}

#[test]
fn hovering_between_the_thresholds_neither_begins_nor_ends_it() {
    let settings = AlertingSettings::default();
    let mut scores = vec![0.9; 4];
    scores.extend([2.0, 2.0]);
    scores.extend([0.9; 10]);
    assert_eq!(run(&settings, &scores), ".....Baaaaaaaaaa");
}

#[test]
fn both_sides_in_turn_are_not_one_run() {
    let settings = AlertingSettings::default();
    assert_eq!(run(&settings, &[2.0, -2.0, 2.0, -2.0, -2.0]), "....B");
}

#[test]
fn the_refractory_period_holds_unless_it_gets_worse() {
    let settings = AlertingSettings {
        hold: Some(Span::minutes(1)),
        recover_for: Some(Span::minutes(1)),
        refractory: Some(Span::minutes(4)),
        ..AlertingSettings::default()
    };
    let warning = 1.6;
    let scores = [warning, 0.0, warning, warning, warning, warning, warning];
    assert_eq!(run(&settings, &scores), "B....Ba");
    assert_eq!(run(&settings, &[warning, 0.0, 5.0]), "B.B");
}

#[test]
fn direction_and_least_deviations_gate() {
    let above = AlertingSettings {
        direction: Side::Above,
        hold: Some(Span::minutes(1)),
        ..AlertingSettings::default()
    };
    assert_eq!(run(&above, &[-5.0, 5.0]), ".B");
    let gated = AlertingSettings {
        min_deviation: 3.0.into(),
        min_relative_deviation: 0.5.into(),
        hold: Some(Span::minutes(1)),
        ..AlertingSettings::default()
    };
    let mut verdicts = minutes(&gated);
    assert!(!step(&mut verdicts, 12.0, 9.0).active);
    assert!(!step(&mut verdicts, 14.9, 9.0).active);
    assert!(step(&mut verdicts, 15.1, 9.0).active);
}

#[test]
fn a_drop_to_zero_is_an_anomaly_and_a_gap_is_not() {
    let mut verdicts = minutes(&AlertingSettings::default());
    step(&mut verdicts, 0.0, 8.0);
    let verdict = step(&mut verdicts, 0.0, 8.0);
    assert_eq!(
        (verdict.active, verdict.direction, verdict.severity),
        (true, -1, 4)
    );
    let mut verdicts = minutes(&AlertingSettings::default());
    for _ in 0..10 {
        assert_eq!(step(&mut verdicts, NONE, NONE), Verdict::default());
    }
}

#[test]
fn a_gap_holds_the_verdict_for_a_while_only() {
    let mut scores = vec![2.0, 2.0];
    scores.extend([NONE; 8]);
    assert_eq!(run(&AlertingSettings::default(), &scores), ".Baaaa....");
}

#[test]
fn severity_rises_at_once_and_falls_slowly() {
    let mut verdicts = minutes(&AlertingSettings::default());
    let mut severities = Vec::new();
    for score in [1.1, 1.1, 1.6, 3.5, 1.1, 1.1, 1.1, 1.1, 1.1, 1.1] {
        severities.push(step(&mut verdicts, 20.0, score).severity);
    }
    assert_eq!(severities, [0, 1, 2, 4, 4, 4, 4, 4, 1, 1]);
}

#[test]
fn spans_count_in_steps_of_the_grid() {
    let settings = AlertingSettings::default();
    let grid = Grid::new(300_000).unwrap();
    let mut verdicts = Verdicts::new(&settings, &SeverityThresholds::default(), grid, 10);
    verdicts.grow(1);
    assert!(
        step(&mut verdicts, 20.0, 2.0).active,
        "one sample stands for five minutes"
    );
}

#[test]
fn settings_are_checked() {
    assert_eq!(AlertingSettings::default().validate(), []);
    assert_eq!(SeverityThresholds::default().validate(), []);
    let bad = AlertingSettings {
        min_deviation: (-1.0).into(),
        recover_below: 1.5,
        ..AlertingSettings::default()
    };
    let fields: Vec<String> = bad
        .validate()
        .into_iter()
        .map(|problem| problem.0)
        .collect();
    assert_eq!(fields, ["min_deviation", "recover_below"]);
    let bad = SeverityThresholds {
        warning: 2.5,
        ..SeverityThresholds::default()
    };
    let problems = bad.validate();
    assert_eq!(problems[0].0, "critical");
    assert!(problems[0].1.contains("2.5"), "{problems:?}");
}

#[test]
fn it_takes_few_bytes_and_one_a_step() {
    let mut verdicts = minutes(&AlertingSettings::default());
    verdicts.grow(100);
    assert!(
        verdicts.heap_bytes() <= 100 * (60 + 64),
        "{}",
        verdicts.heap_bytes()
    );
}

fn any_score() -> impl Strategy<Value = (f32, f32)> {
    let score = prop_oneof![
        3 => Just(0.0_f32),
        2 => 0.0_f32..5.0,
        1 => Just(NONE),
    ];
    (prop_oneof![Just(0.0_f32), Just(20.0)], score)
}

#[test]
fn spans_left_out_fit_into_the_memory() {
    let minute = Grid::new(60_000).unwrap();
    let spans = |settings: &AlertingSettings, memory| {
        let fitted = settings.fitted(minute, memory);
        assert!(
            fitted.memory(minute) <= memory.max(3),
            "{memory}: {fitted:?}"
        );
        let spans = [fitted.hold(), fitted.recover_for(), fitted.refractory()];
        spans.map(|span| span.as_millis() / 60_000)
    };
    let usual = AlertingSettings::default();
    assert_eq!(spans(&usual, 1_440), [2, 5, 30]);
    assert_eq!(spans(&usual, 34), [2, 5, 27]);
    assert_eq!(spans(&usual, 16), [2, 5, 9]);
    assert_eq!(spans(&usual, 9), [2, 3, 4]);
    let given = AlertingSettings {
        hold: Some(Span::minutes(10)),
        ..usual
    };
    assert_eq!(spans(&given, 16), [10, 5, 1]);
}

/// A verdict begins, ends, and rests; the state is re-derived at every step of the rest. With `memory`
/// as the settings ask for it the rest is kept to its end, with less it is forgotten.
#[test]
fn a_refractory_period_needs_so_much_memory() {
    let grid = Grid::new(60_000).unwrap();
    let settings = AlertingSettings {
        hold: Some(Span::minutes(3)),
        recover_for: Some(Span::minutes(4)),
        refractory: Some(Span::minutes(6)),
        ..AlertingSettings::default()
    };
    assert_eq!(settings.memory(grid), 13);
    let begins_again = |memory| {
        let severities = SeverityThresholds::default();
        let mut verdicts = Verdicts::new(&settings, &severities, grid, memory);
        verdicts.grow(1);
        let scores = [vec![2.0; 3], vec![0.0; 4], vec![2.0; 20]].concat();
        let mut begun = Vec::new();
        for (minute, &score) in scores.iter().enumerate() {
            verdicts.rederive(0);
            if step(&mut verdicts, 20.0, score).began {
                begun.push(minute);
            }
        }
        begun
    };
    let rest_ends = 3 + 4 - 1 + 6;
    assert_eq!(begins_again(13)[..2], [2, rest_ends]);
    assert!(begins_again(8)[1] < rest_ends);
}

/// As [`Verdicts`], with the state of a series that is idle kept like any other.
struct Whole {
    state: State,
    missing: u16,
    newest: Newest,
}

impl Whole {
    fn step(&mut self, code: Code, limits: Limits) -> Verdict {
        self.missing = if code == MISSING {
            self.missing.saturating_add(1)
        } else {
            0
        };
        let is_gone = u32::from(self.missing) >= limits.missing;
        note(&mut self.newest, code, is_gone);
        self.state.step(code, &self.newest, is_gone, limits)
    }
}

fn any_settings() -> impl Strategy<Value = AlertingSettings> {
    let within = prop::option::of(3..9_i64);
    let spans = (0..5_i64, 1..5_i64, 0..9_i64, within);
    (spans, 0..4_usize, 2..40_i64).prop_map(|((hold, recover, refractory, within), begins, flapping)| {
        let text = serde_json::json!({
            "for": format!("{hold}m"),
            "recover_for": format!("{recover}m"),
            "refractory": format!("{refractory}m"),
            "within": within.map(|within| format!("{}m", within.max(hold))),
            "flapping": {"begins": begins, "within": format!("{flapping}m"), "recover_for": format!("{}m", recover + 3)},
        });
        serde_json::from_value(text).unwrap()
    })
}

/// Runs of the same score, most of them quiet.
fn any_scores() -> impl Strategy<Value = Vec<(f32, f32)>> {
    let quiet = Just((10.0, 0.0));
    let run = (prop_oneof![3 => quiet, 2 => any_score()], 1..20_usize);
    let runs = prop::collection::vec(run, 0..30);
    runs.prop_map(|runs| {
        runs.into_iter()
            .flat_map(|(one, count)| vec![one; count])
            .collect()
    })
}

proptest! {
    #[test]
    fn what_is_idle_need_not_be_remembered(settings in any_settings(), scores in any_scores()) {
        let mut verdicts = minutes(&settings);
        let limits = verdicts.limits;
        let mut whole = Whole { state: State::default(), missing: 0, newest: [0; 2] };
        for (value, score) in scores {
            let code = verdicts.code(score, value, band().expected);
            prop_assert_eq!(step(&mut verdicts, value, score), whole.step(code, limits));
        }
    }

    /// What `rederive` gives is a function of the newest `memory` steps: a machine that saw only those is in
    /// the same state, now and from then on.
    #[test]
    fn rederiving_equals_a_fresh_start(
        before in prop::collection::vec(any_score(), 0..150),
        after in prop::collection::vec(any_score(), 0..40),
    ) {
        let settings = AlertingSettings { refractory: Some(Span::minutes(7)), ..AlertingSettings::default() };
        let mut old = minutes(&settings);
        for &(value, score) in &before {
            step(&mut old, value, score);
        }
        old.rederive(0);
        let mut fresh = minutes(&settings);
        for &(value, score) in &before[before.len().saturating_sub(60)..] {
            step(&mut fresh, value, score);
        }
        for &(value, score) in &after {
            prop_assert_eq!(step(&mut old, value, score), step(&mut fresh, value, score));
        }
    }

    #[test]
    fn only_an_active_verdict_has_severity_and_direction(
        scores in prop::collection::vec(any_score(), 0..200),
    ) {
        let mut verdicts = minutes(&AlertingSettings::default());
        for (value, score) in scores {
            let verdict = step(&mut verdicts, value, score);
            prop_assert_eq!(verdict.active, verdict.severity > 0);
            prop_assert_eq!(verdict.active, verdict.direction != 0);
            prop_assert!(verdict.active || !verdict.began);
        }
    }
}

#[test]
fn anomalous_values_need_not_be_in_a_row_within_a_span() {
    let settings = AlertingSettings {
        hold: Some(Span::minutes(3)),
        within: Some(Span::minutes(5)),
        ..AlertingSettings::default()
    };
    assert_eq!(run(&settings, &[2.0, 0.0, 2.0, 0.0, 2.0, 0.0]), "....Ba");
    assert_eq!(run(&settings, &[2.0, 0.0, 0.0, 2.0, 0.0, 2.0]), "......");
    assert_eq!(
        run(&settings, &[2.0, -2.0, 2.0, -2.0, -2.0]),
        "....B",
        "three of five below"
    );
    assert_eq!(run(&settings, &[2.0, -2.0, 2.0, -2.0]), "....");
}

#[test]
fn a_verdict_that_comes_and_goes_stays_on_until_it_is_calm_for_long() {
    let settings = AlertingSettings {
        hold: Some(Span::minutes(1)),
        recover_for: Some(Span::minutes(1)),
        refractory: Some(Span::minutes(0)),
        flapping: Flapping {
            begins: 3,
            within: Some(Span::minutes(10)),
            recover_for: Some(Span::minutes(4)),
        },
        ..AlertingSettings::default()
    };
    let burst = [2.0, 0.0, 2.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    assert_eq!(run(&settings, &burst), "B.B.Baaa..");
    let never = AlertingSettings {
        flapping: Flapping {
            begins: 0,
            ..settings.flapping.clone()
        },
        ..settings.clone()
    };
    assert_eq!(run(&never, &burst), "B.B.B.....");
    let mut slow = vec![2.0];
    for _ in 0..2 {
        slow.extend([0.0; 6]);
        slow.push(2.0);
    }
    slow.push(0.0);
    assert!(
        run(&settings, &slow).ends_with("B."),
        "not within ten minutes"
    );
}

#[test]
fn each_side_has_its_least_deviation_and_small_numbers_are_no_news() {
    let settings: AlertingSettings =
        serde_yaml::from_str("{for: 1m, min_deviation: {above: 20, below: 5}, min_volume: 3}")
            .unwrap();
    let mut verdicts = minutes(&settings);
    assert!(!step(&mut verdicts, 29.0, 9.0).active, "19 above");
    assert!(step(&mut verdicts, 4.0, 9.0).active, "6 below");

    let small: AlertingSettings = serde_yaml::from_str("{for: 1m, min_volume: 11}").unwrap();
    let mut verdicts = minutes(&small);
    assert!(
        !step(&mut verdicts, 0.0, 9.0).active,
        "10 expected is little"
    );
    assert!(step(&mut verdicts, 12.0, 9.0).active);
    let wrong = serde_yaml::from_str::<AlertingSettings>("{min_deviation: {over: 1}}");
    assert!(
        wrong
            .unwrap_err()
            .to_string()
            .contains("unknown field `over`")
    );
}

#[test]
fn spans_that_a_restart_would_forget_are_refused_where_they_were_written() {
    let grid = Grid::new(60_000).unwrap();
    let written: AlertingSettings =
        serde_yaml::from_str("{for: 1m, within: 65m, flapping: {within: 2h}}").unwrap();
    let fields: Vec<String> = written
        .fitted(grid, 100)
        .validate_on(grid, 100)
        .into_iter()
        .map(|problem| problem.0)
        .collect();
    assert_eq!(fields, ["within", "flapping"]);
    let usual = AlertingSettings::default();
    for memory in [4, 16, 100, 1_440] {
        assert_eq!(usual.fitted(grid, memory).validate_on(grid, memory), []);
    }
}

#[test]
fn a_verdict_knows_since_when_it_is_on_and_how_bad_it_was() {
    let mut verdicts = minutes(&AlertingSettings::default());
    let grid = Grid::new(60_000).unwrap();
    let mut known = Vec::new();
    // Begins at minute 1, is worst at minute 2, has no score at minute 4.
    for (minute, score) in [1.6, 1.6, 3.5, 1.1, NONE, 1.1].into_iter().enumerate() {
        let verdict = step(&mut verdicts, 20.0, score);
        known.push((
            verdict.since(60_000 * minute as i64, grid),
            verdict.severity,
            verdict.worst,
        ));
    }
    let begun = Some(60_000);
    let expected = [
        (None, 0, 0),
        (begun, 2, 2),
        (begun, 4, 4),
        (begun, 4, 4),
        (begun, 4, 4),
        (begun, 4, 4),
    ];
    assert_eq!(known, expected);
    // The severity falls in the end; what was reached stays.
    for _ in 0..5 {
        step(&mut verdicts, 20.0, 1.1);
    }
    let later = step(&mut verdicts, 20.0, 1.1);
    assert_eq!((later.severity, later.worst, later.age), (1, 4, 10));
    // Derived from what is remembered, it says the same.
    verdicts.rederive(0);
    let again = step(&mut verdicts, 20.0, 1.1);
    assert_eq!((again.severity, again.worst, again.age), (1, 4, 11));
    for _ in 0..5 {
        step(&mut verdicts, 20.0, 0.0);
    }
    assert_eq!(step(&mut verdicts, 20.0, 0.0), Verdict::default());
}

#[test]
fn a_budget_is_overdrawn_by_alarms_and_paid_back_in_time() {
    let grid = Grid::new(60_000).unwrap();
    let budget = Budget {
        alarms: 2.0,
        per: Span::minutes(100),
    };
    let after = |spent: f64, minutes: usize| {
        (0..minutes).fold(spent, |spent, _| budget.step(spent, false, grid))
    };
    let mut spent = 0.0;
    let mut factors = Vec::new();
    for _ in 0..6 {
        spent = budget.step(spent, true, grid);
        factors.push(budget.factor(spent));
    }
    assert_eq!(factors[..2], [1.0, 1.0]);
    assert!(factors[2] > 1.4 && factors[2] < 1.5, "{factors:?}");
    assert_eq!(factors[4..], [2.0, 2.0], "no more than twice");
    assert!((after(spent, 50) - (spent - 1.0)).abs() < 1e-9);
    assert_eq!(budget.factor(after(spent, 100)), 1.0);
    assert_eq!(after(spent, 1_000), 0.0);
}

#[test]
fn a_budget_of_nothing_is_refused() {
    let settings: AlertingSettings =
        serde_json::from_str(r#"{"budget": {"alarms": 0.5, "per": "0s"}}"#).unwrap();
    let fields: Vec<String> = settings.validate().into_iter().map(|one| one.0).collect();
    assert_eq!(fields, ["budget.alarms", "budget.per"]);
}
