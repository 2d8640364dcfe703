//! The figures as tables and as JSON.

use super::folds::Folds;
use serde::Serialize;
use std::fmt::{self, Write};

/// All figures of one run; a set that was not measured is left out.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The Numenta Anomaly Benchmark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nab: Option<NabSet>,
    /// Instead of all others: constants chosen on one half of the Numenta Anomaly Benchmark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folds: Option<Folds>,
    /// Single series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kpi: Option<KpiSet>,
    /// Entities with many channels, by set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<EntitySet>,
}

/// Figures on the Numenta Anomaly Benchmark.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NabSet {
    /// Series in the folder.
    pub series: usize,
    /// Windows in all of them.
    pub windows: usize,
    /// Weeks of rows.
    pub weeks: f64,
    /// Series that VUS-PR is the mean of: those with published figures.
    pub vus_series: usize,
    /// The detector with the greatest published mean of VUS-PR on them.
    pub published_best: Option<(String, f64)>,
    /// The median of the published means.
    pub published_median: Option<f64>,
    /// Two for each contender.
    pub rows: Vec<NabRow>,
}

/// One contender on the Numenta Anomaly Benchmark.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NabRow {
    /// Kind of the detector, or `default`.
    pub name: String,
    /// Whether this is the default configuration.
    pub default: bool,
    /// `score`: `anomaly_score` is judged; `onset`: 1 where `anomaly_active` turns on, else 0.
    pub judged: &'static str,
    /// NAB scores at the threshold 1.
    pub fixed: Profiles,
    /// NAB scores at the threshold that is best for each profile, known only with the labels.
    pub best: Profiles,
    /// Standard score at the threshold 1 of the first, third, .. series by name.
    pub odd_positions: f64,
    /// The same of the second, fourth, ..
    pub even_positions: f64,
    /// Windows with a detection at the threshold 1.
    pub found: usize,
    /// Detections outside windows at the threshold 1.
    pub false_rows: usize,
    /// Onsets of `anomaly_active`, right or wrong.
    pub alarms_per_series_per_week: f64,
    /// From the first row of a window to its first detection at the threshold 1.
    pub median_delay_minutes: Option<f64>,
    /// Mean over the series with published figures.
    pub vus_pr: Option<f64>,
    /// F1 of single rows at the threshold 1.
    pub f1: Option<f64>,
    /// F1 of single rows at the best threshold.
    pub f1_best: Option<f64>,
    /// CPU time of everything (window, baseline, detectors, epochs), per value. The one figure that
    /// differs from run to run.
    pub nanoseconds_per_point: f64,
    /// State at the end, without forecasts.
    pub bytes_per_series: usize,
}

/// One score per profile of NAB, 0 for silence, 100 for perfection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Profiles {
    /// `standard`
    pub standard: f64,
    /// `reward_low_FP_rate`
    pub low_false_alarms: f64,
    /// `reward_low_FN_rate`
    pub low_misses: f64,
}

/// Figures on single series.
#[derive(Debug, Clone, Default, Serialize)]
pub struct KpiSet {
    /// The series.
    pub series: Vec<String>,
    /// Anomalous stretches in all of them.
    pub windows: usize,
    /// One for each contender.
    pub rows: Vec<KpiRow>,
}

/// One contender on single series; fields as those of [`NabRow`].
#[derive(Debug, Clone, Default, Serialize)]
pub struct KpiRow {
    /// Kind of the detector, or `default`.
    pub name: String,
    /// Whether this is the default configuration.
    pub default: bool,
    /// Mean over the series.
    pub vus_pr: Option<f64>,
    /// F1 of single rows at the threshold 1.
    pub f1: Option<f64>,
    /// F1 of single rows at the best threshold.
    pub f1_best: Option<f64>,
    /// Stretches with a detection at the threshold 1.
    pub found: usize,
    /// From the first row of a stretch to its first detection.
    pub median_delay_minutes: Option<f64>,
    /// Onsets of `anomaly_active`, right or wrong.
    pub alarms_per_series_per_week: f64,
    /// Those on normal rows, per week of normal rows.
    pub false_alarms_per_series_per_week: f64,
    /// CPU time of everything, per value.
    pub nanoseconds_per_point: f64,
    /// State at the end, without forecasts.
    pub bytes_per_series: usize,
}

/// Figures on entities with many channels.
#[derive(Debug, Clone, Default, Serialize)]
pub struct EntitySet {
    /// The name of the set.
    pub set: String,
    /// The entities.
    pub entities: Vec<String>,
    /// Anomalous stretches in the judged parts.
    pub windows: usize,
    /// By entity the best published figure, where there is one.
    pub published: Vec<Option<EntityFigure>>,
    /// One for each panel detector, then what can be had without a panel.
    pub rows: Vec<EntityRow>,
}

/// A published figure.
#[derive(Debug, Clone, Default, Serialize)]
pub struct EntityFigure {
    /// Who reached it.
    pub detector: String,
    /// VUS-PR.
    pub vus_pr: f64,
}

/// One way to judge an entity; nothing where it never gave a score.
#[derive(Debug, Clone, Default, Serialize)]
pub struct EntityRow {
    /// Kind of the panel's detector, or how the scores of the channels became one.
    pub name: String,
    /// Mean over the entities.
    pub vus_pr: Option<f64>,
    /// In the order of the entities.
    pub vus_pr_by_entity: Vec<Option<f64>>,
    /// F1 of single rows at the threshold 1.
    pub f1: Option<f64>,
    /// F1 of single rows at the best threshold.
    pub f1_best: Option<f64>,
    /// Stretches with a detection at the threshold 1.
    pub found: Option<usize>,
    /// From the first row of a stretch to its first detection.
    pub median_delay_minutes: Option<f64>,
    /// Verdicts that began on normal rows, per week of normal rows.
    pub false_alarms_per_entity_per_week: Option<f64>,
    /// Those among all verdicts that began on judged rows; nothing where none did.
    pub false_share: Option<f64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nab = self.nab.iter().map(NabSet::to_string);
        let kpi = self.kpi.iter().map(KpiSet::to_string);
        let entities = self.entities.iter().map(EntitySet::to_string);
        let folds = self.folds.iter().map(Folds::to_string);
        let parts: Vec<String> = nab.chain(folds).chain(kpi).chain(entities).collect();
        f.write_str(&parts.join("\n"))
    }
}

impl fmt::Display for NabSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "NAB: {} series, {} windows, {:.0} weeks; scores at the threshold 1, and at the best of each profile",
            self.series, self.windows, self.weeks
        )?;
        let head = [
            "detector",
            "judged",
            "standard",
            "low FP",
            "low FN",
            "best std",
            "best FP",
            "best FN",
            "odd",
            "even",
            "found",
            "FP rows",
            "alarms/wk",
            "delay min",
            "VUS-PR",
            "F1",
            "best F1",
            "ns/point",
            "bytes",
        ];
        let rows: Vec<Vec<String>> = self.rows.iter().map(NabRow::cells).collect();
        table(f, &head, 2, &rows)?;
        let (Some((name, best)), Some(median)) = (&self.published_best, self.published_median)
        else {
            return Ok(());
        };
        writeln!(
            f,
            "published mean VUS-PR on the same {} series: best {best:.3} ({name}), median {median:.3}",
            self.vus_series
        )
    }
}

impl NabRow {
    fn cells(&self) -> Vec<String> {
        let profiles =
            |of: &Profiles| [of.standard, of.low_false_alarms, of.low_misses].map(tenths);
        let mut cells = vec![self.name.clone(), self.judged.to_owned()];
        cells.extend(profiles(&self.fixed));
        cells.extend(profiles(&self.best));
        cells.extend([
            tenths(self.odd_positions),
            tenths(self.even_positions),
            self.found.to_string(),
            self.false_rows.to_string(),
            format!("{:.2}", self.alarms_per_series_per_week),
            known(self.median_delay_minutes, 0),
            known(self.vus_pr, 3),
            known(self.f1, 3),
            known(self.f1_best, 3),
            format!("{:.0}", self.nanoseconds_per_point),
            self.bytes_per_series.to_string(),
        ]);
        cells
    }
}

impl fmt::Display for KpiSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "KPI: {}; {} anomalous stretches",
            self.series.join(", "),
            self.windows
        )?;
        let head = [
            "detector",
            "VUS-PR",
            "F1",
            "best F1",
            "found",
            "delay min",
            "alarms/wk",
            "false/wk",
            "ns/point",
            "bytes",
        ];
        let cells = |row: &KpiRow| {
            vec![
                row.name.clone(),
                known(row.vus_pr, 3),
                known(row.f1, 3),
                known(row.f1_best, 3),
                row.found.to_string(),
                known(row.median_delay_minutes, 0),
                format!("{:.2}", row.alarms_per_series_per_week),
                format!("{:.2}", row.false_alarms_per_series_per_week),
                format!("{:.0}", row.nanoseconds_per_point),
                row.bytes_per_series.to_string(),
            ]
        };
        let rows: Vec<Vec<String>> = self.rows.iter().map(cells).collect();
        table(f, &head, 1, &rows)
    }
}

impl fmt::Display for EntitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} entities, {} anomalous stretches; VUS-PR, mean and by entity",
            self.set.to_uppercase(),
            self.entities.len(),
            self.windows
        )?;
        let mut head = vec!["detector", "mean"];
        head.extend(self.entities.iter().map(String::as_str));
        head.extend([
            "F1",
            "best F1",
            "found",
            "delay min",
            "false alarms/wk",
            "false share",
        ]);
        let cells = |row: &EntityRow| {
            let mut cells = vec![row.name.clone(), known(row.vus_pr, 3)];
            cells.extend(row.vus_pr_by_entity.iter().map(|&value| known(value, 3)));
            cells.extend([
                known(row.f1, 3),
                known(row.f1_best, 3),
                row.found
                    .map_or_else(|| ABSENT.to_owned(), |found| found.to_string()),
                known(row.median_delay_minutes, 0),
                known(row.false_alarms_per_entity_per_week, 2),
                known(row.false_share, 2),
            ]);
            cells
        };
        let rows: Vec<Vec<String>> = self.rows.iter().map(cells).collect();
        table(f, &head, 1, &rows)?;
        for (entity, published) in self.entities.iter().zip(&self.published) {
            if let Some(EntityFigure { detector, vus_pr }) = published {
                writeln!(
                    f,
                    "best published VUS-PR on {entity}: {vus_pr:.3} ({detector})"
                )?;
            }
        }
        Ok(())
    }
}

const ABSENT: &str = "-";

pub(super) fn tenths(value: f64) -> String {
    known(Some(value), 1)
}

fn known(value: Option<f64>, digits: usize) -> String {
    match value {
        Some(value) if value.is_finite() => format!("{value:.digits$}"),
        _ => ABSENT.to_owned(),
    }
}

/// Columns as wide as their longest cell: the first `words` to the left, numbers to the right.
pub(super) fn table(
    f: &mut fmt::Formatter<'_>,
    head: &[&str],
    words: usize,
    rows: &[Vec<String>],
) -> fmt::Result {
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let all = || std::iter::once(&head).chain(rows);
    let width = |column: usize| {
        let cells = all().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for row in all() {
        let mut line = String::new();
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            if column < words {
                write!(line, "{gap}{cell:width$}")?;
            } else {
                write!(line, "{gap}{cell:>width$}")?;
            }
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_a_dash_and_columns_line_up() {
        let set = EntitySet {
            set: "smd".into(),
            entities: vec!["machine-1-2".into()],
            windows: 8,
            published: vec![Some(EntityFigure {
                detector: "LSTMAD".into(),
                vus_pr: 0.43814,
            })],
            rows: vec![
                EntityRow {
                    name: "dbscan".into(),
                    vus_pr_by_entity: vec![None],
                    ..EntityRow::default()
                },
                EntityRow {
                    name: "default, max".into(),
                    vus_pr: Some(0.25),
                    vus_pr_by_entity: vec![Some(0.25)],
                    f1: Some(0.1),
                    f1_best: Some(0.2),
                    found: Some(7),
                    median_delay_minutes: Some(3.0),
                    false_alarms_per_entity_per_week: Some(12.345),
                    false_share: Some(0.75),
                },
            ],
        };
        let expected = "\
SMD: 1 entities, 8 anomalous stretches; VUS-PR, mean and by entity
detector       mean  machine-1-2     F1  best F1  found  delay min  false alarms/wk  false share
dbscan            -            -      -        -      -          -                -            -
default, max  0.250        0.250  0.100    0.200      7          3            12.35         0.75
best published VUS-PR on machine-1-2: 0.438 (LSTMAD)
";
        assert_eq!(set.to_string(), expected);
    }
}
