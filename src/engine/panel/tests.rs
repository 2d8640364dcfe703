use super::*;
use crate::{engine::outcome::Doubt, quality::Finding};

const STEP: Millis = 60_000;

fn panel(replay: Option<usize>) -> PanelUnit {
    panel_with(&UnitOptions::default(), replay)
}

fn panel_with(options: &UnitOptions, replay: Option<usize>) -> PanelUnit {
    let text = "{name: node_health, signals: [cpu, memory], on: [instance], \
                detectors: [{dbscan: {}}], alerting: {for: 2m}}";
    let settings: PanelSettings = serde_yaml::from_str::<serde_yaml::Value>(text)
        .and_then(serde_yaml::with::singleton_map_recursive::deserialize)
        .unwrap();
    let grid = Grid::new(STEP).unwrap();
    PanelUnit::new(&settings, options, grid, replay).unwrap()
}

fn signal(name: &str, at: Millis, distances: &[f32]) -> Arc<Outcome> {
    let series = distances
        .iter()
        .enumerate()
        .map(|(index, &distance)| SeriesOutcome {
            labels: Labels::new([("instance", format!("node-{index:02}"))]).unwrap(),
            value: 10.0 + 2.0 * distance,
            band: Band {
                expected: 10.0,
                lower: 4.0,
                upper: 16.0,
                scale: 2.0,
            },
            score: 0.0,
            active: false,
            severity: 0,
            direction: 0,
            began: false,
            since: None,
            worst: 0,
            reason: None,
        });
    Arc::new(Outcome {
        unit: name.into(),
        at,
        series: series.collect(),
        ..Outcome::default()
    })
}

/// Ten nodes together, and one whose memory is far away from the others' from step 20 on.
fn inputs(step: i64) -> Vec<Arc<Outcome>> {
    let wobble = |node: i64| ((node * 7 + step * 3) % 11) as f32 / 20.0;
    let cpu: Vec<f32> = (0..10).map(wobble).collect();
    let mut memory = cpu.clone();
    if step >= 20 {
        memory[4] = 25.0;
    }
    vec![
        signal("cpu", step * STEP, &cpu),
        signal("memory", step * STEP, &memory),
    ]
}

#[test]
fn an_entity_that_leaves_its_peers_in_one_channel_is_found() {
    let mut panel = panel(None);
    let mut last = Outcome::default();
    for step in 0..40 {
        last = panel.advance(step * STEP, &inputs(step), Mode::Publish);
    }
    let active: Vec<bool> = last.series.iter().map(|series| series.active).collect();
    assert_eq!(
        active.iter().filter(|&&active| active).count(),
        1,
        "{active:?}"
    );
    assert!(active[4]);
    assert!(
        last.chunks
            .iter()
            .any(|chunk| chunk.name() == "anomaly_active")
    );
}

#[test]
fn the_share_of_channels_counts_warnings_among_those_with_a_value() {
    const WOBBLE: [f32; 6] = [0.1, 0.2, 0.3, 0.2, 0.1, 0.0];
    let mut panel = panel(None);
    let severe = |name: &str, severities: [u8; 3], gap: bool| {
        let mut outcome = Outcome {
            at: 100 * STEP,
            ..Arc::into_inner(signal(name, 100 * STEP, &WOBBLE)).unwrap()
        };
        for (series, severity) in outcome.series.iter_mut().zip(severities) {
            series.severity = severity;
        }
        if gap {
            outcome.series[2].value = f32::NAN;
        }
        Arc::new(outcome)
    };
    let mut inputs = Vec::new();
    for step in 0..=100 {
        inputs = vec![
            signal("cpu", step * STEP, &WOBBLE),
            signal("memory", step * STEP, &WOBBLE),
        ];
        let outcome = panel.advance(step * STEP, &inputs, Mode::Replay);
        assert_eq!(outcome.far_off, [0.0_f32; 0], "replayed, it is not known");
    }
    let calm = panel.advance(101 * STEP, &inputs, Mode::Publish);
    assert_eq!(calm.far_off, [0.0; 6]);
    inputs = vec![
        severe("cpu", [1, 2, 4], false),
        severe("memory", [3, 0, 0], true),
    ];
    let outcome = panel.advance(102 * STEP, &inputs, Mode::Publish);
    // Of the third node there is no memory; a verdict of mere information does not count.
    assert_eq!(outcome.far_off, [0.5, 0.5, 1.0, 0.0, 0.0, 0.0]);
    let mut shown = outcome.chunks.iter();
    assert!(shown.any(|chunk| chunk.name() == "anomaly_channel_ratio"));
}

#[test]
fn a_reason_names_the_channels_that_carry_the_score_and_the_peers() {
    let text = "{name: node_health, signals: [cpu, memory], on: [instance], \
                detectors: [{dbscan: {}}, {isolation_forest: {}}, {pca: {}}], alerting: {for: 2m}}";
    let settings: PanelSettings = serde_yaml::from_str::<serde_yaml::Value>(text)
        .and_then(serde_yaml::with::singleton_map_recursive::deserialize)
        .unwrap();
    let (options, grid) = (UnitOptions::default(), Grid::new(STEP).unwrap());
    let mut panel = PanelUnit::new(&settings, &options, grid, Some(640)).unwrap();
    let mut told = Vec::new();
    let mut last = Outcome::default();
    for step in 0..320 {
        // Node 4 leaves at the end only.
        let inputs = inputs(if step < 300 { step % 20 } else { step });
        let mode = if step < 319 {
            Mode::Replay
        } else {
            Mode::Publish
        };
        last = panel.advance(step * STEP, &inputs, mode);
        let node = &last.series[4];
        assert!(node.reason.is_none() || node.active);
        if node.active && node.reason.is_some() {
            told.push((step, node.began));
        }
    }
    // Of what is replayed only the beginning is told.
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].1 && told[1] == (319, false), "{told:?}");
    let node = &last.series[4];
    let reason = node.reason.as_ref().unwrap();
    let memory = &reason.channels[0];
    assert_eq!((&*memory.signal, memory.far), ("memory", 25.0));
    assert_eq!((memory.value, memory.expected), (60.0, 10.0));
    assert!(memory.share.unwrap() > 0.8, "{memory:?}");
    let around = reason.peers.as_ref().unwrap();
    assert_eq!((around.present, around.together), (10, 9));
    assert_eq!((around.between, around.named.len()), (None, 0));
    let sentence = reason.sentence(node);
    assert!(
        sentence.starts_with("most of it is memory 60 instead of 10 (+25.0 widths of its noise, "),
        "{sentence}"
    );
    assert!(
        sentence.contains("9 of 10 peers are together; "),
        "{sentence}"
    );
    assert_eq!(last.groups.len(), 1);
    assert_eq!((last.groups[0].judged, last.groups[0].active), (10, 1));
    assert_eq!(last.groups[0].top[0].index, 4);
    assert!(last.groups[0].top[0].score > 1.0);
}

#[test]
fn what_the_signals_replay_at_a_start_is_enough_to_agree() {
    assert!(panel(None).memory() > 200);
    let replay = 96;
    let (mut old, mut young) = (panel(Some(replay)), panel(Some(replay)));
    assert!(young.memory() <= replay, "{}", young.memory());
    for step in 0..300 {
        // The odd one out from step 20 on, and once before.
        let inputs = if step < 100 { inputs(21) } else { inputs(step) };
        let one = old.advance(step * STEP, &inputs, Mode::Replay);
        if step <= 299 - replay as i64 {
            continue;
        }
        let other = young.advance(step * STEP, &inputs, Mode::Replay);
        if step == 299 {
            let judged = |outcome: &Outcome| -> Vec<(f32, bool, u8)> {
                let series = outcome.series.iter();
                series
                    .map(|one| (one.score, one.active, one.severity))
                    .collect()
            };
            assert_eq!(judged(&one), judged(&other));
            assert!(one.series[4].active);
        }
    }
}

#[test]
fn detectors_of_vectors_remember_what_is_replayed_and_no_more() {
    let text = "{name: p, signals: [cpu, memory], on: [instance], detectors: [{dbscan: {}}, \
                {isolation_forest: {}}, {one_class_svm: {}}, {pca: {}}]}";
    let settings: PanelSettings = serde_yaml::from_str::<serde_yaml::Value>(text)
        .and_then(serde_yaml::with::singleton_map_recursive::deserialize)
        .unwrap();
    let grid = Grid::new(STEP).unwrap();
    // Three weeks at 1, 5 and 60 minutes.
    for (replay, detectors, verdicts) in [(2_944, 2_000, 288), (640, 480, 80), (112, 84, 14)] {
        let options = UnitOptions::default();
        let panel = PanelUnit::new(&settings, &options, grid, Some(replay)).unwrap();
        assert_eq!(longest_memory(&panel.detectors), detectors);
        assert_eq!(panel.verdict_memory, verdicts);
        assert!(panel.memory() <= replay);
    }
}

#[test]
fn a_late_signal_abstains() {
    let mut panel = panel(None);
    for step in 0..40 {
        let inputs = &inputs(step)[..1];
        let outcome = panel.advance(step * STEP, inputs, Mode::Replay);
        assert!(outcome.series.iter().all(|series| !series.active));
    }
}

#[test]
fn a_verdict_ends_while_the_signals_are_excluded() {
    let mut panel = panel(None);
    for step in 0..50 {
        let mut inputs = inputs(step);
        let excluded = (40..48).contains(&step);
        for input in inputs.iter_mut().filter(|_| excluded) {
            let input = Arc::get_mut(input).unwrap();
            input.excluded = Some("excluded".to_owned());
        }
        let outcome = panel.advance(step * STEP, &inputs, Mode::Replay);
        let node = &outcome.series[4];
        if excluded {
            assert!(node.score.is_nan());
        }
        if step == 39 || step == 47 {
            assert_eq!(node.active, step == 39);
        }
    }
}

#[test]
fn a_value_that_is_not_believed_is_missing() {
    let mut panel = panel(None);
    for step in 0..60 {
        let mut inputs = inputs(step);
        let doubted = (45..50).contains(&step);
        for input in inputs.iter_mut().filter(|_| doubted) {
            let input = Arc::get_mut(input).unwrap();
            input.doubts.push(Doubt {
                labels: input.series[4].labels.clone(),
                finding: Finding::OutOfRange,
                value: 60.0,
            });
        }
        let outcome = panel.advance(step * STEP, &inputs, Mode::Replay);
        let scored = outcome.series[4].score.is_finite();
        // How soon one that was missing is judged again is the affair of its detector.
        if (40..50).contains(&step) || step == 59 {
            assert_eq!(scored, !doubted, "{step}");
        }
        assert!(step < 40 || outcome.series[5].score.is_finite(), "{step}");
    }
}

#[test]
fn a_group_is_counted_only_where_all_of_it_is() {
    for torn_groups in [false, true] {
        let options = UnitOptions {
            torn_groups,
            ..UnitOptions::default()
        };
        let mut panel = panel_with(&options, None);
        let mut last = Outcome::default();
        for step in 0..40 {
            last = panel.advance(step * STEP, &inputs(step), Mode::Publish);
        }
        let shown = |name: &str| last.chunks.iter().any(|chunk| chunk.name() == name);
        assert!(shown("anomaly_score"));
        assert_eq!(shown("anomaly_group_ratio"), !torn_groups);
        assert_eq!(
            (last.groups.is_empty(), last.torn_groups),
            (torn_groups, torn_groups)
        );
    }
}
