//! The families every unit publishes beside its predictions.

use super::outcome::Horizon;
use crate::{
    detect::Verdict,
    expo::{self, Chunk, Kind, RenderedLabels},
    forecast::Trust,
    series::Labels,
};
use std::{collections::BTreeMap, sync::Arc};

/// The judgement of one series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Severities {
    pub(super) score: f32,
    pub(super) verdict: Verdict,
}

type Samples = Vec<(Arc<RenderedLabels>, f64)>;

/// `anomaly_score`, `anomaly_active`, `anomaly_severity`, `anomaly_direction`. A series without a
/// score has none of them.
pub(super) fn anomalies(
    labels: &[Arc<RenderedLabels>],
    judged: impl Iterator<Item = Severities>,
) -> Vec<Chunk> {
    let mut columns: [Samples; 4] = Default::default();
    for (labels, judged) in labels
        .iter()
        .zip(judged)
        .filter(|(_, judged)| !judged.score.is_nan())
    {
        let verdict = judged.verdict;
        let values = [
            expo::shortest(judged.score),
            f64::from(u8::from(verdict.active)),
            f64::from(verdict.severity),
            f64::from(verdict.direction),
        ];
        for (column, value) in columns.iter_mut().zip(values) {
            column.push((Arc::clone(labels), value));
        }
    }
    let [score, active, severity, direction] = columns;
    vec![
        gauge(
            "anomaly_score",
            "How far from normal: 0 as expected, 1 at the threshold.",
            score,
        ),
        gauge(
            "anomaly_active",
            "Whether the series is anomalous after alert hygiene.",
            active,
        ),
        gauge(
            "anomaly_severity",
            "0 none, 1 info, 2 warning, 3 critical, 4 emergency.",
            severity,
        ),
        gauge(
            "anomaly_direction",
            "-1 below what was expected, 1 above, 0 neither.",
            direction,
        ),
    ]
}

/// `anomaly_detector_score`.
pub(super) fn detector_scores(scores: impl Iterator<Item = (Arc<RenderedLabels>, f32)>) -> Chunk {
    let samples = scores
        .map(|(labels, score)| (labels, expo::shortest(score)))
        .collect();
    gauge(
        "anomaly_detector_score",
        "Score of one detector: 1 at its threshold.",
        samples,
    )
}

/// `anomaly_group_ratio` over series given as group labels and whether they are active.
pub(super) fn group_ratio(
    unit: &str,
    replica: Option<&str>,
    series: impl Iterator<Item = (Labels, bool)>,
) -> Chunk {
    let mut groups: BTreeMap<Labels, (u32, u32)> = BTreeMap::new();
    for (group, active) in series {
        let (on, all) = groups.entry(group).or_default();
        *on += u32::from(active);
        *all += 1;
    }
    let samples = groups
        .iter()
        .map(|(group, &(on, all))| {
            let own: Vec<_> = group
                .iter()
                .map(|(name, value)| (crate::expo::names::published_label_name(name), value))
                .collect();
            let pairs = own.iter().map(|(name, value)| (name.as_ref(), *value));
            (
                rendered(pairs.chain([("signal", unit)]), replica),
                f64::from(on) / f64::from(all),
            )
        })
        .collect();
    gauge(
        "anomaly_group_ratio",
        "Share of the series of a group that are active.",
        samples,
    )
}

/// `anomaly_events_total`: verdicts begun below and above what was expected.
pub(super) fn events_total(unit: &str, replica: Option<&str>, begun: [u64; 2]) -> Chunk {
    let samples = ["below", "above"]
        .into_iter()
        .zip(begun)
        .map(|(direction, count)| {
            let pairs = [("direction", direction), ("signal", unit)];
            (rendered(pairs.into_iter(), replica), count as f64)
        })
        .collect();
    let help = "Anomalies begun since the start of this process.";
    Chunk::new(
        "anomaly_events_total".into(),
        help.into(),
        Kind::Counter,
        samples,
    )
}

/// `predicted_model_info`: the forecasters in force.
pub(super) fn model_info(unit: &str, replica: Option<&str>, models: Vec<&str>) -> Chunk {
    let samples = models
        .into_iter()
        .map(|model| {
            let pairs = [
                ("model", model),
                ("signal", unit),
                ("version", env!("CARGO_PKG_VERSION")),
            ];
            (rendered(pairs.into_iter(), replica), 1.0)
        })
        .collect();
    gauge(
        "predicted_model_info",
        "Forecasters in force for any series of the signal.",
        samples,
    )
}

/// `predicted_error_ratio`, `predicted_coverage_ratio`, `predicted_skill_ratio`.
pub(super) fn trust(
    unit: &str,
    replica: Option<&str>,
    horizons: &[Horizon],
    trust: &[Option<Trust>],
) -> Vec<Chunk> {
    let family = |name: &str, help: &str, field: fn(&Trust) -> f32| {
        let samples = horizons
            .iter()
            .zip(trust)
            .filter_map(|(horizon, trust)| Some((horizon.span.to_string(), trust.as_ref()?)))
            .map(|(span, trust)| {
                let pairs = [("horizon", span.as_str()), ("signal", unit)];
                (
                    rendered(pairs.into_iter(), replica),
                    expo::shortest(field(trust)),
                )
            })
            .collect();
        gauge(name, help, samples)
    };
    vec![
        family(
            "predicted_error_ratio",
            "Recent absolute error over absolute value (WAPE), median over the series.",
            |trust| trust.error_ratio,
        ),
        family(
            "predicted_coverage_ratio",
            "Share of recent values inside their interval, median over the series.",
            |trust| trust.coverage_ratio,
        ),
        family(
            "predicted_skill_ratio",
            "1 - error / error of seasonal naive, median over the series; below 0 it is worse.",
            |trust| trust.skill_ratio,
        ),
    ]
}

fn rendered<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
    replica: Option<&'a str>,
) -> Arc<RenderedLabels> {
    let replica = replica.map(|replica| ("forethought_replica", replica));
    Arc::new(RenderedLabels::new(pairs.chain(replica)))
}

fn gauge(name: &str, help: &str, samples: Samples) -> Chunk {
    Chunk::new(name.into(), help.into(), Kind::Gauge, samples)
}
