//! Entities with many channels: each channel a signal with the default configuration, joined by panels.

use super::{
    AnomalyError, Contender, Progress, Published, THRESHOLD,
    data::{self, Entity},
    mean,
    points::{self, Point},
    report::{EntityFigure, EntityRow, EntitySet},
    signal, vus,
    walk::{self, EntityWalk, Shown},
};
use crate::detect;
use rayon::prelude::*;
use std::path::Path;

/// Measures panels of one detector each, and what can be had without a panel, on the entities in `folder`.
pub(super) fn measure(
    set: &str,
    folder: &Path,
    default: &Contender,
    panels: &[detect::Settings],
    progress: Progress<'_>,
) -> Result<EntitySet, AnomalyError> {
    let flagged = |problem: String| AnomalyError::Input(format!("--{set}: {problem}"));
    let entities = data::entities(folder).map_err(flagged)?;
    let published = data::published(folder, "tsbad_m_vuspr.csv", "machine").map_err(flagged)?;
    let walks = entities
        .par_iter()
        .map(|entity| walk_one(entity, default, panels, progress))
        .collect::<Result<Vec<_>, _>>()?;
    let judges: Vec<Judge<'_>> = entities.iter().map(Judge::new).collect();
    let row = |name: &str, shown: &dyn Fn(&EntityWalk) -> Option<Shown>| {
        let shown: Option<Vec<Shown>> = walks.iter().map(shown).collect();
        row(name, &judges, shown)
    };
    let mut rows = Vec::new();
    for (position, panel) in panels.iter().enumerate() {
        rows.push(row(panel.kind(), &|walk| walk.panels[position].clone()));
    }
    rows.push(row("default, max", &|walk| Some(walk.greatest.clone())));
    rows.push(row("default, top 3", &|walk| Some(walk.top_mean.clone())));
    rows.push(row("group, page", &|walk| Some(walk.group_paged.clone())));
    rows.push(row("entity, page", &|walk| Some(walk.entity_paged.clone())));
    Ok(EntitySet {
        set: set.to_owned(),
        entities: entities.iter().map(|one| one.name.clone()).collect(),
        windows: judges.iter().map(|judge| judge.windows.len()).sum(),
        published: entities
            .iter()
            .map(|one| figure(&published, &one.name))
            .collect(),
        rows,
    })
}

fn walk_one(
    entity: &Entity,
    default: &Contender,
    panels: &[detect::Settings],
    progress: Progress<'_>,
) -> Result<EntityWalk, AnomalyError> {
    progress(&format!(
        "{}: {} channels",
        entity.name,
        entity.channels.len()
    ));
    let settings = signal(default, entity.step)?;
    walk::entity(&settings, panels, &entity.times, &entity.channels)
        .map_err(|problem| AnomalyError::Failed(format!("{}: {problem}", entity.name)))
}

fn figure(published: &Published, entity: &str) -> Option<EntityFigure> {
    let (detector, vus_pr) = published.best(entity)?;
    Some(EntityFigure {
        detector: detector.to_owned(),
        vus_pr,
    })
}

/// What the judged rows of one entity are judged by.
struct Judge<'a> {
    entity: &'a Entity,
    labels: &'a [bool],
    /// First and last row, counted from the first that is judged.
    windows: Vec<(usize, usize)>,
    longest: usize,
}

impl<'a> Judge<'a> {
    fn new(entity: &'a Entity) -> Self {
        let labels = &entity.labels[entity.judged..];
        let runs = vus::runs(labels);
        let first = entity
            .channels
            .first()
            .map(|(_, values)| &values[entity.judged..]);
        Self {
            entity,
            labels,
            windows: runs.iter().map(|run| (run.start, run.end - 1)).collect(),
            // As TSB-AD does: by the first channel.
            longest: first.map_or(0, vus::period),
        }
    }

    fn vus_pr(&self, shown: &Shown) -> Option<f64> {
        vus::vus_pr(self.scores(shown), self.labels, self.longest)
    }

    fn scores<'b>(&self, shown: &'b Shown) -> &'b [f64] {
        &shown.scores[self.entity.judged..]
    }

    fn points(&self, shown: &Shown) -> Vec<Point> {
        let scores = self.scores(shown).iter().copied();
        scores.zip(self.labels.iter().copied()).collect()
    }

    fn delays(&self, shown: &Shown) -> Vec<i64> {
        let times = &self.entity.times[self.entity.judged..];
        let delays = points::delays(self.scores(shown), times, &self.windows, THRESHOLD);
        delays.into_iter().flatten().collect()
    }

    /// Verdicts that began, and those of them that did on normal rows.
    fn alarms(&self, shown: &Shown) -> (usize, usize) {
        let onsets = points::onsets(&shown.active);
        let judged = onsets[self.entity.judged..].iter().zip(self.labels);
        let begun = judged.filter(|(onset, _)| **onset);
        let wrong = begun.clone().filter(|(_, anomalous)| !**anomalous);
        (begun.count(), wrong.count())
    }

    /// Weeks of normal rows.
    fn normal_weeks(&self) -> f64 {
        let normal = self.labels.iter().filter(|anomalous| !**anomalous).count();
        1.0 / points::per_week(1, normal, self.entity.step)
    }
}

/// One row of the table; without figures where there is nothing to show.
fn row(name: &str, judges: &[Judge<'_>], shown: Option<Vec<Shown>>) -> EntityRow {
    let Some(shown) = shown else {
        return EntityRow {
            name: name.to_owned(),
            vus_pr_by_entity: vec![None; judges.len()],
            ..EntityRow::default()
        };
    };
    let each = || judges.iter().zip(&shown);
    let surfaces: Vec<Option<f64>> = each().map(|(judge, shown)| judge.vus_pr(shown)).collect();
    let points: Vec<Point> = each()
        .flat_map(|(judge, shown)| judge.points(shown))
        .collect();
    let delays: Vec<i64> = each()
        .flat_map(|(judge, shown)| judge.delays(shown))
        .collect();
    let alarms = each().map(|(judge, shown)| judge.alarms(shown));
    let (alarms, wrong) = alarms.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let weeks: f64 = judges.iter().map(Judge::normal_weeks).sum();
    EntityRow {
        name: name.to_owned(),
        vus_pr: mean(surfaces.iter().copied().flatten()),
        vus_pr_by_entity: surfaces,
        f1: points::f1_at(&points, THRESHOLD),
        f1_best: points::f1_best(&points),
        found: Some(delays.len()),
        median_delay_minutes: points::median_minutes(delays),
        false_alarms_per_entity_per_week: Some(wrong as f64 / weeks),
        false_share: (alarms > 0).then(|| wrong as f64 / alarms as f64),
    }
}
