//! Labelled single series without further rules.

use super::{
    AnomalyError, Contender, Field, Progress, THRESHOLD,
    contender::DEFAULT,
    data::{self, Labelled},
    labels, mean,
    points::{self, Point},
    report::{KpiRow, KpiSet},
    vus, walk_all,
};
use std::path::Path;

/// Measures every contender on the series in `folder`.
pub(super) fn measure(
    folder: &Path,
    contenders: &[Contender],
    progress: Progress<'_>,
) -> Result<KpiSet, AnomalyError> {
    let series =
        data::kpi(folder).map_err(|problem| AnomalyError::Input(format!("--kpi: {problem}")))?;
    let mut rows = Vec::new();
    for contender in contenders {
        let field = walk_all(contender, &series, progress)?;
        rows.push(row(contender, &field, &series));
    }
    Ok(KpiSet {
        series: series.iter().map(|one| one.name.clone()).collect(),
        windows: series.iter().map(|one| one.windows.len()).sum(),
        rows,
    })
}

fn row(contender: &Contender, field: &Field, series: &[Labelled]) -> KpiRow {
    let (mut surfaces, mut points, mut delays) = (Vec::new(), Vec::<Point>::new(), Vec::new());
    let (mut alarms, mut weeks) = (0, 0.0);
    let (mut false_alarms, mut normal_weeks) = (0, 0.0);
    for (one, walk) in series.iter().zip(&field.walks) {
        let shown = &walk.shown;
        let labels = labels(one.times.len(), &one.windows);
        surfaces.extend(vus::vus_pr(
            &shown.scores,
            &labels,
            vus::period(&one.values),
        ));
        let normal: Vec<bool> = labels.iter().map(|anomalous| !anomalous).collect();
        points.extend(shown.scores.iter().copied().zip(labels));
        delays.extend(points::delays(
            &shown.scores,
            &one.times,
            &one.windows,
            THRESHOLD,
        ));
        let onsets = points::onsets(&shown.active);
        alarms += onsets.iter().filter(|onset| **onset).count();
        weeks += 1.0 / points::per_week(1, one.times.len(), one.step);
        let wrong = onsets.iter().zip(&normal);
        false_alarms += wrong.filter(|(onset, normal)| **onset && **normal).count();
        let normal = normal.iter().filter(|normal| **normal).count();
        normal_weeks += 1.0 / points::per_week(1, normal, one.step);
    }
    let delays: Vec<_> = delays.into_iter().flatten().collect();
    KpiRow {
        name: contender.name.clone(),
        default: contender.name == DEFAULT,
        vus_pr: mean(surfaces.into_iter()),
        f1: points::f1_at(&points, THRESHOLD),
        f1_best: points::f1_best(&points),
        found: delays.len(),
        median_delay_minutes: points::median_minutes(delays),
        alarms_per_series_per_week: alarms as f64 / weeks,
        false_alarms_per_series_per_week: false_alarms as f64 / normal_weeks,
        nanoseconds_per_point: field.nanoseconds_per_point,
        bytes_per_series: field.bytes_per_series,
    }
}
