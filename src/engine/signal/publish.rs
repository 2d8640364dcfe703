//! From the columns of the shards to an outcome: sorted series, forecasts, and the families of
//! `/metrics`.

mod forecasts;
mod rows;
mod sets;

use super::{
    across::{self, Across},
    columns::Columns,
    groups::Groups,
    networks::Networks,
    places::{self, Place},
    plan::Plan,
    shard::{SLOTS, Shard},
    shown::Seen,
};
use crate::{
    engine::{
        families::{self, Judged, Severities},
        outcome::{Counts, Group, Mode, Outcome, SeriesOutcome},
        reason::{Around, Reason},
        settings::Emit,
    },
    expo::Chunk,
    forecast::Trust,
    series::{Labels, Millis, Slot},
    stats,
};
use forecasts::{count_failure, models_in_force};
use rows::{Row, counted, seen};
use sets::Sets;
use std::{collections::BTreeSet, sync::Arc};

/// Turns columns into outcomes; owns the rendered labels of every series that is shown.
#[derive(Debug)]
pub(super) struct Publisher {
    plan: Arc<Plan>,
    /// Where only some series are told of: the groups that all are counted in.
    pub(super) groups: Option<Groups>,
    /// Series with state.
    series: usize,
    /// Sorted by labels, as soon as somebody asks; empty where only some series are told of.
    order: Vec<Place>,
    /// Whether series came since it was sorted, and which went.
    came: bool,
    went: BTreeSet<Place>,
    /// By shard and slot, of the series that are shown; nothing of a shard that shows none.
    rendered: Vec<Vec<Option<Box<Sets>>>>,
    /// Verdicts begun since the start, below and above what was expected.
    pub(super) begun: [u64; 2],
}

impl Publisher {
    pub(super) fn new(plan: &Arc<Plan>) -> Self {
        Self {
            groups: plan.sparse.then(|| Groups::new(&plan.group_by)),
            plan: Arc::clone(plan),
            series: 0,
            order: Vec::new(),
            came: false,
            went: BTreeSet::new(),
            rendered: Vec::new(),
            begun: [0; 2],
        }
    }

    pub(super) fn admit(&mut self, place: Place, labels: &Labels) {
        while self.rendered.len() <= place.0 as usize {
            self.rendered.push(Vec::new());
        }
        self.series += 1;
        if let Some(groups) = &mut self.groups {
            groups.admit(places::number(place.0 as usize, place.1 as usize), labels);
            return;
        }
        // Where another one was until now, the place is in the order already.
        if !self.went.remove(&place) {
            self.order.push(place);
        }
        self.came = true;
    }

    pub(super) fn evict(&mut self, place: Place) {
        if let Some(own) = self.rendered[place.0 as usize].get_mut(place.1 as usize) {
            *own = None;
        }
        self.series -= 1;
        if let Some(groups) = &mut self.groups {
            groups.evict(places::number(place.0 as usize, place.1 as usize));
            return;
        }
        self.went.insert(place);
    }

    /// Puts the order in order: it is nearly sorted, so that takes little more than a look at each.
    fn arrange(&mut self, shards: &[Shard]) {
        if !self.went.is_empty() {
            let went = std::mem::take(&mut self.went);
            self.order.retain(|place| !went.contains(place));
        }
        if std::mem::take(&mut self.came) {
            self.order
                .sort_by(|&one, &other| labels_of(shards, one).cmp(&labels_of(shards, other)));
        }
    }

    /// `own`: whether this time is after the start of the process, so that what begins is counted.
    pub(super) fn outcome(
        &mut self,
        at: Millis,
        mode: Mode,
        own: bool,
        shards: &[Shard],
        (across, networks): (&Across, &Networks),
    ) -> Outcome {
        self.arrange(shards);
        let mut counts = self.counts(shards);
        if own {
            self.begun[0] += counts.begun[0];
            self.begun[1] += counts.begun[1];
        }
        if mode == Mode::Publish {
            self.render(shards);
        }
        // Taken out of itself, as the rows borrow what is rendered.
        let mut by_number = self.groups.take();
        let rows = self.rows(shards);
        let seen = match self.plan.sparse {
            true => Seen::of(shards),
            false => seen(&rows),
        };
        let judged = !self.plan.exclusions.not_judged(at);
        counts.warming = if judged { seen.unscored } else { 0 };
        counts.active = seen.active;
        (counts.valued, counts.expected) = (seen.valued, seen.expected);
        let forecasts = match mode {
            Mode::Replay => Vec::new(),
            Mode::Study | Mode::Publish => {
                rows.iter().flat_map(|row| self.intervals(row)).collect()
            }
        };
        let maxima = match mode {
            Mode::Replay => Vec::new(),
            Mode::Study | Mode::Publish => rows.iter().flat_map(|row| self.maxima(row)).collect(),
        };
        let (tails, tail_trust) = match mode {
            Mode::Replay => (Vec::new(), Vec::new()),
            Mode::Study | Mode::Publish => {
                let trusts = rows.iter().flat_map(|row| self.tail_trust(row, shards));
                let tails = rows.iter().flat_map(|row| self.tails(row));
                (tails.collect(), trusts.collect())
            }
        };
        let trust = match mode {
            Mode::Publish => self.trust(&rows, shards),
            Mode::Replay | Mode::Study => Vec::new(),
        };
        let drift = match mode {
            Mode::Publish => drift(&rows, shards),
            Mode::Replay | Mode::Study => None,
        };
        let groups = match (mode, &mut by_number) {
            _ if self.plan.torn_groups => Vec::new(),
            (Mode::Publish, None) => self.groups(&rows),
            (Mode::Publish, Some(groups)) => counted(groups, &rows),
            (Mode::Replay | Mode::Study, _) => Vec::new(),
        };
        let served = match mode {
            Mode::Publish => self.served(&rows, &forecasts, shards),
            Mode::Replay | Mode::Study => Vec::new(),
        };
        let contests = match mode {
            Mode::Publish => self.contests(&rows, shards),
            Mode::Replay | Mode::Study => Vec::new(),
        };
        let chunks = match mode {
            Mode::Publish => {
                let mut chunks = self.chunks(&rows, &groups, &trust, shards);
                chunks.extend(self.about_chain(&served, &contests, networks));
                let (name, replica) = (&self.plan.name, self.plan.replica.as_deref());
                chunks.extend(drift.map(|drift| families::drift(name, replica, drift)));
                chunks.retain(|chunk| !chunk.is_empty());
                chunks
            }
            Mode::Replay | Mode::Study => Vec::new(),
        };
        let series = rows.iter();
        let series = series.map(|row| self.series(row, at, mode, shards, across));
        let series = series.collect();
        drop(rows);
        self.groups = by_number;
        Outcome {
            unit: Arc::clone(&self.plan.name),
            at,
            series,
            sparse: self.plan.sparse,
            group_by: Arc::clone(&self.plan.group_by),
            torn_groups: self.plan.torn_groups,
            groups,
            far_off: Vec::new(),
            horizons: Arc::clone(&self.plan.horizons),
            forecasts,
            windows: Arc::clone(&self.plan.windows),
            maxima,
            levels: Arc::clone(&self.plan.levels),
            tails,
            tail_trust,
            links: served.into_iter().map(|(link, _)| link).collect(),
            trust,
            drift,
            contests,
            excluded: self.plan.exclusions.why(at),
            doubts: Vec::new(),
            chunks,
            counts,
        }
    }

    /// Of what is replayed only the beginning of a verdict has a reason: nobody asks for the others.
    fn series(
        &self,
        row: &Row<'_>,
        at: Millis,
        mode: Mode,
        shards: &[Shard],
        across: &Across,
    ) -> SeriesOutcome {
        let verdict = row.verdict();
        let told = verdict.active && (mode != Mode::Replay || verdict.began);
        SeriesOutcome {
            labels: row.labels.clone(),
            value: row.columns.values[row.position],
            band: row.columns.bands[row.position],
            score: row.score(),
            active: verdict.active,
            severity: verdict.severity,
            direction: verdict.direction,
            began: verdict.began,
            since: verdict.since(at, self.plan.grid),
            worst: verdict.worst,
            reason: told.then(|| Box::new(self.reason(row, shards, across))),
        }
    }

    fn reason(&self, row: &Row<'_>, shards: &[Shard], across: &Across) -> Reason {
        let kinds = self.plan.detectors.iter().map(|detector| detector.kind());
        let scores = row.columns.scores.iter();
        let mut reason = Reason::new(kinds, scores.map(|column| column[row.position]));
        let (shard, slot) = (row.place.0 as usize, row.place.1 as usize);
        reason.peers = across.peers(shard, slot).map(|peers| {
            let own = shard * SLOTS + slot;
            Around::new(&peers, own, row.labels, |slot| labels(shards, slot))
        });
        reason
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let all = self.rendered.iter();
        let room: usize = all.clone().map(Vec::capacity).sum();
        let shown = all.flatten().flatten();
        room * size_of::<Option<Box<Sets>>>()
            + self.groups.as_ref().map_or(0, Groups::heap_bytes)
            + self.order.capacity() * size_of::<Place>()
            + shown.map(|sets| sets.heap_bytes()).sum::<usize>()
    }

    /// Renders the labels of the series that are to be shown, and forgets those of others.
    fn render(&mut self, shards: &[Shard]) {
        for (shard, rendered) in shards.iter().zip(&mut self.rendered) {
            let Columns {
                slots,
                values,
                verdicts,
                ..
            } = &shard.columns;
            let any = |verdict: &crate::detect::Verdict| verdict.active;
            if self.plan.emit != Emit::All && !verdicts.iter().any(any) {
                *rendered = Vec::new();
                continue;
            }
            rendered.resize_with(SLOTS, || None);
            for (position, &slot) in slots.iter().enumerate() {
                let own = &mut rendered[slot];
                if self.plan.emit != Emit::All && !verdicts[position].active {
                    *own = None;
                } else if own.is_none()
                    && values[position].is_finite()
                    && let Some(member) = &shard.members[slot]
                {
                    *own = Some(Box::new(Sets::new(&self.plan, &member.labels)));
                }
            }
        }
    }

    fn counts(&self, shards: &[Shard]) -> Counts {
        let mut counts = Counts {
            series: self.series,
            ..Counts::default()
        };
        for shard in shards {
            counts.late_pieces += shard.columns.late_pieces;
            counts.late_refits += shard.columns.late_refits;
            counts.outdated += shard.columns.outdated;
            for kind in &shard.columns.panics {
                count_panic(&mut counts.panics, kind);
            }
            for failure in &shard.columns.failures {
                count_failure(&mut counts.failures, *failure);
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

    /// Per horizon the median over the series.
    fn trust(&self, rows: &[Row<'_>], shards: &[Shard]) -> Vec<Option<Trust>> {
        let all = |horizon: usize| -> Vec<Trust> {
            let of = |row: &Row<'_>| {
                let (shard, slot) = (row.place.0 as usize, row.place.1 as usize);
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
                    below_ratio: median(&trusts, |trust| trust.below_ratio),
                    skill_ratio: median(&trusts, |trust| trust.skill_ratio),
                })
            })
            .collect()
    }

    fn groups(&self, rows: &[Row<'_>]) -> Vec<Group> {
        let judged = rows.iter().enumerate();
        let judged = judged.filter(|(_, row)| row.score().is_finite());
        families::groups(judged.map(|(index, row)| Judged {
            group: row.labels.only(&self.plan.group_by),
            active: row.verdict().active,
            score: row.columns.combined[row.position],
            index,
        }))
    }

    fn chunks(
        &self,
        rows: &[Row<'_>],
        groups: &[Group],
        trust: &[Option<Trust>],
        shards: &[Shard],
    ) -> Vec<Chunk> {
        let shown: Vec<(&Row<'_>, &Sets)> = rows
            .iter()
            .filter(|row| self.plan.emit == Emit::All || row.verdict().active)
            .filter_map(|row| Some((row, row.sets?)))
            .collect();
        let mut chunks = self.predicted(&shown);
        chunks.extend(self.anomalies(&shown));
        chunks.extend(self.about_signal(rows, groups, trust, shards));
        chunks
    }

    fn anomalies(&self, rows: &[(&Row<'_>, &Sets)]) -> Vec<Chunk> {
        let labels: Vec<_> = rows
            .iter()
            .map(|(_, sets)| Arc::clone(&sets.scored))
            .collect();
        let severities = rows.iter().map(|(row, _)| Severities {
            score: row.score(),
            verdict: *row.verdict(),
        });
        let mut chunks = families::anomalies(&labels, severities);
        if self.plan.detector_scores {
            chunks.push(families::detector_scores(rows.iter().flat_map(
                |(row, sets)| {
                    let scores = row.columns.scores.iter().map(|column| column[row.position]);
                    sets.detectors.iter().cloned().zip(scores)
                },
            )));
        }
        chunks
    }

    fn about_signal(
        &self,
        rows: &[Row<'_>],
        groups: &[Group],
        trust: &[Option<Trust>],
        shards: &[Shard],
    ) -> Vec<Chunk> {
        let name = &self.plan.name;
        let replica = self.plan.replica.as_deref();
        let mut chunks = vec![
            families::group_ratio(name, replica, groups),
            families::events_total(name, replica, self.begun),
            families::model_info(name, replica, models_in_force(rows, shards, trust.len())),
        ];
        if self.plan.budget().is_some() {
            let judged = rows.iter().filter(|row| row.score().is_finite());
            let over = judged.map(|row| row.columns.lenient[row.position].factor > 1.0);
            // The bounds of wide series are never wider.
            let others = self.plan.sparse && groups.iter().any(|group| group.judged > 0);
            let others = others.then_some(false);
            chunks.push(families::budget_exceeded(name, replica, over.chain(others)));
        }
        chunks.extend(families::trust(name, replica, &self.plan.horizons, trust));
        chunks
    }
}

fn labels_of(shards: &[Shard], (shard, slot): Place) -> Option<&Labels> {
    let members = &shards.get(shard as usize)?.members;
    Some(&members.get(slot as usize)?.as_ref()?.labels)
}

/// Adds one to the count of panics of this component.
pub(super) fn count_panic(panics: &mut Vec<(&'static str, u64)>, kind: &'static str) {
    match panics.iter_mut().find(|(known, _)| *known == kind) {
        Some((_, count)) => *count += 1,
        None => panics.push((kind, 1)),
    }
}

/// The median over the series of how far they have drifted.
fn drift(rows: &[Row<'_>], shards: &[Shard]) -> Option<f32> {
    let of = |row: &Row<'_>| {
        let (shard, slot) = (row.place.0 as usize, row.place.1 as usize);
        Some(shards[shard].forecasts.as_ref()?.drift(slot))
    };
    let mut known: Vec<f32> = rows.iter().filter_map(of).collect();
    known.retain(|score| score.is_finite());
    (!known.is_empty()).then(|| stats::robust::median_of(&mut known))
}

/// The labels of a slot of the unit.
fn labels(shards: &[Shard], slot: Slot) -> Option<&Labels> {
    let (shard, slot) = across::place(slot);
    let member = shards.get(shard)?.members.get(slot)?.as_ref()?;
    Some(&member.labels)
}
