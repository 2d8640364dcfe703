//! What a series of the class `wide` takes, and what of it is shown.

use super::*;

const SERIES: usize = 2_048;
const MINUTE: Millis = 60_000;

/// A unit with a z-score (daily or not) and an envelope.
fn wide(daily: bool) -> SignalUnit {
    let text = r#"{"name": "load", "query": "up", "step": "1m", "class": "wide", "max_series": 1000000,
                   "emit": "anomalous", "detectors": [{"envelope": {}}, {"zscore": {}}]}"#;
    let mut settings: SignalSettings = serde_json::from_str(text).unwrap();
    settings.baseline = crate::baseline::Settings::Wide(crate::baseline::wide::Settings {
        daily,
        ..Default::default()
    });
    let mut unit = unit(&settings);
    unit.ingest(&series(1, 0, 0.0));
    unit.restart(0);
    unit
}

/// So many series at grid time `index`, the first one of them `off` its way.
fn series(count: usize, index: i64, off: f64) -> Matrix {
    let value = |own: usize| {
        let usual = (own % 100) as f64 + noise(own as u64, index);
        if own == 0 { usual + off } else { usual }
    };
    let one = |own: usize| SeriesSamples {
        labels: pod(own),
        samples: vec![(index * MINUTE, value(own))],
    };
    Matrix {
        series: (0..count).map(one).collect(),
        ..Matrix::default()
    }
}

/// Evaluates the grid times `from..to`, the first series `off` its way; the last outcome.
fn go_on(unit: &mut SignalUnit, count: usize, (from, to): (i64, i64), off: f64) -> Outcome {
    let step = |index: i64| {
        unit.ingest(&series(count, index, off));
        unit.advance(index * MINUTE, Mode::Publish)
    };
    (from..to).map(step).last().unwrap_or_default()
}

fn pod(index: usize) -> Labels {
    let instance = format!("10.0.{}.{}:8080", index / 256, index % 256);
    let pairs = [
        ("pod", format!("checkout-7d9f8b6c5-{index:05}")),
        ("namespace", "shop".to_owned()),
        ("instance", instance),
        ("job", "kubernetes-pods".to_owned()),
    ];
    Labels::new(pairs).unwrap()
}

#[test]
fn a_wide_series_takes_half_a_kilobyte_and_its_labels() {
    let labels = pod(0).heap_bytes();
    for (daily, most) in [(false, 384), (true, 480)] {
        let mut unit = wide(daily);
        go_on(&mut unit, SERIES, (1, 60), 0.0);
        assert_eq!(unit.series(), SERIES);
        let bytes = unit.state_bytes() / SERIES - labels;
        assert!(
            bytes <= most,
            "daily: {daily}: {bytes} bytes beside {labels} of labels"
        );
    }
}

#[test]
fn only_what_is_anomalous_is_shown_and_takes_room_for_that() {
    let mut unit = wide(false);
    let shown = |outcome: &Outcome| -> Vec<String> {
        let chunks = outcome.chunks.iter();
        let own =
            chunks.filter(|chunk| ["anomaly_score", "predicted_load"].contains(&chunk.name()));
        own.map(|chunk| chunk.name().to_owned()).collect()
    };
    let calm = go_on(&mut unit, 20, (1, 120), 0.0);
    let bytes = unit.state_bytes();
    assert_eq!(shown(&calm), Vec::<String>::new());
    let alarm = go_on(&mut unit, 20, (120, 130), 500.0);
    assert_eq!(alarm.counts.active, 1);
    assert_eq!(shown(&alarm), ["predicted_load", "anomaly_score"]);
    assert!(unit.state_bytes() > bytes);
    let over = go_on(&mut unit, 20, (130, 200), 0.0);
    assert_eq!((over.counts.active, shown(&over)), (0, shown(&calm)));
    assert!(unit.state_bytes() > bytes, "it may be flapping");
    go_on(&mut unit, 20, (200, 600), 0.0);
    assert_eq!(unit.state_bytes(), bytes);
}
