//! The Numenta Anomaly Benchmark: its score in three profiles, and what else one wants to know on it.

use super::{
    AnomalyError, Contender, Field, Progress, Published, THRESHOLD, as_scores,
    contender::DEFAULT,
    data::{self, Labelled},
    labels, mean,
    nab::{self, Key, LOW_FALSE_ALARMS, LOW_MISSES, Paper, Profile, STANDARD},
    points::{self, Point},
    report::{NabRow, NabSet, Profiles},
    vus, walk_all,
};
use std::path::Path;

/// Measures every contender on the series in `folder`.
pub(super) fn measure(
    folder: &Path,
    contenders: &[Contender],
    progress: Progress<'_>,
) -> Result<NabSet, AnomalyError> {
    let series =
        data::nab(folder).map_err(|problem| AnomalyError::Input(format!("--nab: {problem}")))?;
    let published = data::published(folder, "tsbad_vuspr.csv", "nab_file")
        .map_err(|problem| AnomalyError::Input(format!("--nab: {problem}")))?;
    let corpus = Corpus::new(&series, &published);
    let mut rows = Vec::new();
    for contender in contenders {
        let field = walk_all(contender, &series, progress)?;
        rows.extend(corpus.rows(contender, &field));
    }
    Ok(NabSet {
        series: series.len(),
        windows: series.iter().map(|one| one.windows.len()).sum(),
        weeks: series.iter().map(weeks).sum(),
        vus_series: corpus.surfaces.iter().flatten().count(),
        published_best: published
            .best_mean()
            .map(|(name, value)| (name.to_owned(), value)),
        published_median: published.median_mean(),
        rows,
    })
}

/// What scores are judged by.
struct Corpus<'a> {
    series: &'a [Labelled],
    keys: Vec<Key>,
    /// Per series its labels and longest buffer, where VUS-PR is published for it.
    surfaces: Vec<Option<(Vec<bool>, usize)>>,
}

impl<'a> Corpus<'a> {
    fn new(series: &'a [Labelled], published: &Published) -> Self {
        let key = |one: &Labelled| Key::new(one.times.len(), &one.windows);
        let surface = |one: &Labelled| {
            let known = published.knows(&one.name);
            known.then(|| (tsb_labels(one), vus::period(&one.values[1..])))
        };
        Self {
            keys: series.iter().map(key).collect(),
            surfaces: series.iter().map(surface).collect(),
            series,
        }
    }

    /// A row about the scores and one about the onsets of the verdict.
    fn rows(&self, contender: &Contender, field: &Field) -> [NabRow; 2] {
        let shown = || field.walks.iter().map(|walk| &walk.shown);
        let scores: Vec<Vec<f64>> = shown().map(|shown| shown.scores.clone()).collect();
        let onsets: Vec<Vec<bool>> = shown().map(|shown| points::onsets(&shown.active)).collect();
        let alarms = onsets.iter().flatten().filter(|onset| **onset).count();
        let weeks: f64 = self.series.iter().map(weeks).sum();
        let onsets: Vec<Vec<f64>> = onsets.iter().map(|rows| as_scores(rows)).collect();
        [("score", &scores), ("onset", &onsets)].map(|(judged, scores)| NabRow {
            name: contender.name.clone(),
            default: contender.name == DEFAULT,
            judged,
            alarms_per_series_per_week: alarms as f64 / weeks,
            nanoseconds_per_point: field.nanoseconds_per_point,
            bytes_per_series: field.bytes_per_series,
            ..self.judge(scores)
        })
    }

    fn judge(&self, scores: &[Vec<f64>]) -> NabRow {
        let papers: Vec<Paper<'_>> = self
            .keys
            .iter()
            .zip(scores)
            .map(|(key, scores)| (key, scores.as_slice()))
            .collect();
        let every_other = |from: usize| -> Vec<Paper<'_>> {
            papers.iter().copied().skip(from).step_by(2).collect()
        };
        let fixed = |papers: &[Paper<'_>], profile| at_threshold(papers, profile, THRESHOLD);
        let best = |profile| at_threshold(&papers, profile, nab::best_threshold(&papers, profile));
        let tally = nab::tally(&papers, STANDARD, THRESHOLD);
        let delays =
            self.series.iter().zip(scores).flat_map(|(one, scores)| {
                points::delays(scores, &one.times, &one.windows, THRESHOLD)
            });
        let points: Vec<Point> = self
            .series
            .iter()
            .zip(scores)
            .flat_map(|(one, scores)| {
                let labels = labels(scores.len(), &one.windows);
                scores.iter().copied().zip(labels)
            })
            .collect();
        NabRow {
            fixed: Profiles::of(|profile| fixed(&papers, profile)),
            best: Profiles::of(best),
            odd_positions: fixed(&every_other(0), STANDARD),
            even_positions: fixed(&every_other(1), STANDARD),
            found: tally.found,
            false_rows: tally.false_rows,
            median_delay_minutes: points::median_minutes(delays.flatten().collect()),
            vus_pr: self.vus_pr(scores),
            f1: points::f1_at(&points, THRESHOLD),
            f1_best: points::f1_best(&points),
            ..NabRow::default()
        }
    }

    fn vus_pr(&self, scores: &[Vec<f64>]) -> Option<f64> {
        let known = self.surfaces.iter().zip(scores);
        mean(known.filter_map(|(surface, scores)| {
            let (labels, longest) = surface.as_ref()?;
            vus::vus_pr(&scores[1..], labels, *longest)
        }))
    }
}

/// NAB's score of this profile, 0 for silence, 100 for perfection.
pub(super) fn at_threshold(papers: &[Paper<'_>], profile: Profile, threshold: f64) -> f64 {
    nab::score(nab::tally(papers, profile, threshold), profile)
}

/// The labels of TSB-AD's version of a series of NAB, which begins at the second row: a window begins after
/// its first time.
pub(super) fn tsb_labels(series: &Labelled) -> Vec<bool> {
    let windows: Vec<(i64, i64)> = series
        .windows
        .iter()
        .map(|&(first, last)| (series.times[first], series.times[last]))
        .collect();
    let inside = |time: &i64| {
        windows
            .iter()
            .any(|&(from, to)| from < *time && *time <= to)
    };
    series.times[1..].iter().map(inside).collect()
}

/// Weeks of rows.
fn weeks(series: &Labelled) -> f64 {
    1.0 / points::per_week(1, series.times.len(), series.step)
}

impl Profiles {
    pub(super) fn of(score: impl Fn(Profile) -> f64) -> Self {
        Self {
            standard: score(STANDARD),
            low_false_alarms: score(LOW_FALSE_ALARMS),
            low_misses: score(LOW_MISSES),
        }
    }
}
