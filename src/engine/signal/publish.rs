//! From the columns of the shards to an outcome: sorted series, forecasts, and the families of
//! `/metrics`.

use super::{
    plan::Plan,
    shard::{Columns, SLOTS, Shard},
};
use crate::{
    engine::{
        families::{self, Severities},
        outcome::{Counts, Mode, Outcome, SeriesOutcome},
        reason::Reason,
        settings::Emit,
    },
    expo::{
        self, Chunk, Kind, RenderedLabels,
        names::{self, ForecastFamily},
    },
    forecast::{Interval, Trust},
    series::{Labels, Millis, Slot},
    stats,
};
use std::{collections::BTreeMap, sync::Arc};

/// Where a series lives: shard and slot.
type Place = (usize, Slot);

/// Turns columns into outcomes; owns the rendered labels of every series.
#[derive(Debug)]
pub(super) struct Publisher {
    plan: Arc<Plan>,
    /// Sorted by labels.
    order: BTreeMap<Labels, Place>,
    rendered: Vec<Vec<Option<Rendered>>>,
    /// Verdicts begun since the start, below and above what was expected.
    pub(super) begun: [u64; 2],
}

/// The label sets one series is published with.
#[derive(Debug)]
struct Rendered {
    labels: Labels,
    /// With `signal`.
    scored: Arc<RenderedLabels>,
    /// With `horizon`: `0s` first, then the configured ones.
    predicted: Vec<Arc<RenderedLabels>>,
    /// With `signal` and `detector`; empty unless asked for.
    detectors: Vec<Arc<RenderedLabels>>,
}

/// One series of the current outcome, and where its columns are.
struct Row<'a> {
    rendered: &'a Rendered,
    columns: &'a Columns,
    position: usize,
    place: Place,
}

impl Publisher {
    pub(super) fn new(plan: &Arc<Plan>) -> Self {
        Self {
            plan: Arc::clone(plan),
            order: BTreeMap::new(),
            rendered: Vec::new(),
            begun: [0; 2],
        }
    }

    pub(super) fn admit(&mut self, plan: &Plan, place: Place, labels: &Labels) {
        let (shard, slot) = place;
        while self.rendered.len() <= shard {
            self.rendered.push((0..SLOTS).map(|_| None).collect());
        }
        self.rendered[shard][slot] = Some(Rendered::new(plan, labels));
        self.order.insert(labels.clone(), place);
    }

    pub(super) fn evict(&mut self, (shard, slot): Place) {
        if let Some(rendered) = self.rendered[shard][slot].take() {
            self.order.remove(&rendered.labels);
        }
    }

    /// `own`: whether this time is after the start of the process, so that what begins is counted.
    pub(super) fn outcome(
        &mut self,
        at: Millis,
        mode: Mode,
        own: bool,
        shards: &[Shard],
    ) -> Outcome {
        let mut counts = self.counts(shards);
        if own {
            self.begun[0] += counts.begun[0];
            self.begun[1] += counts.begun[1];
        }
        let rows = self.rows(shards);
        let judged = !self.plan.exclusions.not_judged(at);
        let warming = rows.iter().filter(|row| judged && row.score().is_nan());
        counts.warming = warming.count();
        counts.active = rows.iter().filter(|row| row.verdict().active).count();
        let forecasts = match mode {
            Mode::Replay => Vec::new(),
            Mode::Study | Mode::Publish => {
                rows.iter().flat_map(|row| self.intervals(row)).collect()
            }
        };
        let trust = match mode {
            Mode::Publish => self.trust(&rows, shards),
            Mode::Replay | Mode::Study => Vec::new(),
        };
        let chunks = match mode {
            Mode::Publish => self.chunks(&rows, &trust, shards),
            Mode::Replay | Mode::Study => Vec::new(),
        };
        Outcome {
            unit: Arc::clone(&self.plan.name),
            at,
            series: rows.iter().map(|row| row.outcome(&self.plan, at)).collect(),
            group_by: Arc::clone(&self.plan.group_by),
            horizons: Arc::clone(&self.plan.horizons),
            forecasts,
            trust,
            excluded: self.plan.exclusions.why(at),
            chunks,
            counts,
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let rendered = self.rendered.iter().flatten().flatten();
        rendered.map(Rendered::heap_bytes).sum()
    }

    fn counts(&self, shards: &[Shard]) -> Counts {
        let mut counts = Counts {
            series: self.order.len(),
            ..Counts::default()
        };
        for shard in shards {
            for kind in &shard.columns.panics {
                count_panic(&mut counts.panics, kind);
            }
            for verdict in shard
                .columns
                .verdicts
                .iter()
                .filter(|verdict| verdict.began)
            {
                counts.begun[usize::from(verdict.direction > 0)] += 1;
            }
        }
        counts
    }

    /// The series that have a value now, sorted by labels.
    fn rows<'a>(&'a self, shards: &'a [Shard]) -> Vec<Row<'a>> {
        let positions: Vec<Vec<usize>> = shards
            .iter()
            .map(|shard| positions(&shard.columns))
            .collect();
        let row = |&place: &Place| {
            let (shard, slot) = place;
            let columns = &shards.get(shard)?.columns;
            let position = *positions[shard]
                .get(slot)
                .filter(|&&position| position != usize::MAX)?;
            let rendered = self.rendered[shard][slot].as_ref()?;
            columns.values[position].is_finite().then_some(Row {
                rendered,
                columns,
                position,
                place,
            })
        };
        self.order.values().filter_map(row).collect()
    }

    fn intervals(&self, row: &Row<'_>) -> Vec<Interval> {
        let horizons = self.plan.horizons.len();
        let from = row.position * horizons;
        match row.columns.intervals.get(from..from + horizons) {
            Some(intervals) => intervals.to_vec(),
            None => vec![Interval::ABSENT; horizons],
        }
    }

    /// Per horizon the median over the series.
    fn trust(&self, rows: &[Row<'_>], shards: &[Shard]) -> Vec<Option<Trust>> {
        let all = |horizon: usize| -> Vec<Trust> {
            let of = |row: &Row<'_>| {
                let (shard, slot) = row.place;
                shards[shard].forecasts.as_ref()?.trust(slot, horizon)
            };
            rows.iter().filter_map(of).collect()
        };
        let median = |trusts: &[Trust], field: fn(&Trust) -> f32| {
            let mut values: Vec<f32> = trusts
                .iter()
                .map(field)
                .filter(|value| value.is_finite())
                .collect();
            stats::robust::median_of(&mut values)
        };
        (0..self.plan.horizons.len())
            .map(|horizon| {
                let trusts = all(horizon);
                (!trusts.is_empty()).then(|| Trust {
                    error_ratio: median(&trusts, |trust| trust.error_ratio),
                    coverage_ratio: median(&trusts, |trust| trust.coverage_ratio),
                    skill_ratio: median(&trusts, |trust| trust.skill_ratio),
                })
            })
            .collect()
    }

    fn chunks(&self, rows: &[Row<'_>], trust: &[Option<Trust>], shards: &[Shard]) -> Vec<Chunk> {
        let shown: Vec<&Row<'_>> = rows
            .iter()
            .filter(|row| self.plan.emit == Emit::All || row.verdict().active)
            .collect();
        let mut chunks = self.predicted(&shown);
        chunks.extend(self.anomalies(&shown));
        chunks.extend(self.about_signal(rows, trust, shards));
        chunks.retain(|chunk| !chunk.is_empty());
        chunks
    }

    fn predicted(&self, rows: &[&Row<'_>]) -> Vec<Chunk> {
        type Field = fn(Interval) -> f32;
        let fields: [Field; 3] = [
            |interval| interval.expected,
            |interval| interval.lower,
            |interval| interval.upper,
        ];
        let intervals: Vec<Vec<Interval>> = rows
            .iter()
            .map(|row| {
                let now = row.baseline(&self.plan);
                std::iter::once(now).chain(self.intervals(row)).collect()
            })
            .collect();
        let chunk = |(family, field): (ForecastFamily, Field)| {
            let samples = rows
                .iter()
                .zip(&intervals)
                .flat_map(|(row, own)| row.rendered.predicted.iter().zip(own))
                .map(|(labels, &interval)| (Arc::clone(labels), expo::shortest(field(interval))));
            let (name, help) = (family.name.into(), family.help.into());
            Chunk::new(name, help, Kind::Gauge, samples.collect())
        };
        let families = names::forecast_families(&self.plan.name);
        families.into_iter().zip(fields).map(chunk).collect()
    }

    fn anomalies(&self, rows: &[&Row<'_>]) -> Vec<Chunk> {
        let labels: Vec<_> = rows
            .iter()
            .map(|row| Arc::clone(&row.rendered.scored))
            .collect();
        let severities = rows.iter().map(|row| Severities {
            score: row.score(),
            verdict: *row.verdict(),
        });
        let mut chunks = families::anomalies(&labels, severities);
        if self.plan.detector_scores {
            chunks.push(families::detector_scores(rows.iter().flat_map(|row| {
                let scores = row.columns.scores.iter().map(|column| column[row.position]);
                row.rendered.detectors.iter().cloned().zip(scores)
            })));
        }
        chunks
    }

    fn about_signal(
        &self,
        rows: &[Row<'_>],
        trust: &[Option<Trust>],
        shards: &[Shard],
    ) -> Vec<Chunk> {
        let name = &self.plan.name;
        let replica = self.plan.replica.as_deref();
        let judged = rows.iter().filter(|row| row.score().is_finite());
        let groups = judged.map(|row| {
            (
                row.rendered.labels.only(&self.plan.group_by),
                row.verdict().active,
            )
        });
        let mut chunks = vec![
            families::group_ratio(name, replica, groups),
            families::events_total(name, replica, self.begun),
            families::model_info(name, replica, models_in_force(rows, shards, trust.len())),
        ];
        if self.plan.budget().is_some() {
            let judged = rows.iter().filter(|row| row.score().is_finite());
            let over = judged.map(|row| row.columns.lenient[row.position].factor > 1.0);
            chunks.push(families::budget_exceeded(name, replica, over));
        }
        chunks.extend(families::trust(name, replica, &self.plan.horizons, trust));
        chunks
    }
}

/// Adds one to the count of panics of this component.
pub(super) fn count_panic(panics: &mut Vec<(&'static str, u64)>, kind: &'static str) {
    match panics.iter_mut().find(|(known, _)| *known == kind) {
        Some((_, count)) => *count += 1,
        None => panics.push((kind, 1)),
    }
}

/// Entry `slot`: the position of that slot in the columns, `usize::MAX` where it has none.
fn positions(columns: &Columns) -> Vec<usize> {
    let mut positions = vec![usize::MAX; SLOTS];
    for (position, &slot) in columns.slots.iter().enumerate() {
        positions[slot] = position;
    }
    positions
}

/// The forecasters in force for any series and horizon, sorted.
fn models_in_force(rows: &[Row<'_>], shards: &[Shard], horizons: usize) -> Vec<&'static str> {
    let mut models: Vec<&'static str> = Vec::new();
    for row in rows {
        let (shard, slot) = row.place;
        let Some(forecasts) = &shards[shard].forecasts else {
            continue;
        };
        for model in (0..horizons).filter_map(|horizon| forecasts.model(slot, horizon)) {
            if !models.contains(&model) {
                models.push(model);
            }
        }
    }
    models.sort_unstable();
    models
}

impl Row<'_> {
    fn score(&self) -> f32 {
        self.columns.news[self.position]
    }

    fn verdict(&self) -> &crate::detect::Verdict {
        &self.columns.verdicts[self.position]
    }

    /// What is expected now, clipped to what can be.
    fn baseline(&self, plan: &Plan) -> Interval {
        let band = &self.columns.bands[self.position];
        Interval {
            expected: plan.clip(band.expected),
            lower: plan.clip(band.lower),
            upper: plan.clip(band.upper),
        }
    }

    fn outcome(&self, plan: &Plan, at: Millis) -> SeriesOutcome {
        let verdict = self.verdict();
        let reason = || {
            let kinds = plan.detectors.iter().map(|detector| detector.kind());
            let scores = self.columns.scores.iter();
            Box::new(Reason::new(
                kinds,
                scores.map(|column| column[self.position]),
            ))
        };
        SeriesOutcome {
            labels: self.rendered.labels.clone(),
            value: self.columns.values[self.position],
            band: self.columns.bands[self.position],
            score: self.score(),
            active: verdict.active,
            severity: verdict.severity,
            direction: verdict.direction,
            began: verdict.began,
            since: verdict.since(at, plan.grid),
            worst: verdict.worst,
            reason: verdict.active.then(reason),
        }
    }
}

impl Rendered {
    fn new(plan: &Plan, labels: &Labels) -> Self {
        let published = plan.published(labels);
        let render = |added: &[(&str, &str)]| {
            let own = published
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()));
            Arc::new(RenderedLabels::new(own.chain(added.iter().copied())))
        };
        let spans = plan.horizons.iter().map(|horizon| horizon.span.to_string());
        let horizons = std::iter::once("0s".to_owned()).chain(spans);
        let kinds: Vec<&str> = match plan.detector_scores {
            true => plan
                .detectors
                .iter()
                .map(|detector| detector.kind())
                .collect(),
            false => Vec::new(),
        };
        Self {
            labels: labels.clone(),
            scored: render(&[("signal", &plan.name)]),
            predicted: horizons
                .map(|horizon| render(&[("horizon", &horizon)]))
                .collect(),
            detectors: kinds
                .iter()
                .map(|kind| render(&[("signal", &plan.name), ("detector", kind)]))
                .collect(),
        }
    }

    fn heap_bytes(&self) -> usize {
        let rendered = self.predicted.iter().chain(&self.detectors);
        self.scored.heap_bytes() + rendered.map(|labels| labels.heap_bytes()).sum::<usize>()
    }
}
