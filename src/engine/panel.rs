//! A panel as a unit: the outcomes of several signals, joined on labels, judged as one vector per
//! entity.

mod channels;
mod why;

use super::{
    families::{self, Judged, Severities},
    guard::guarded,
    outcome::{Counts, Group, Mode, Outcome, SeriesOutcome},
    settings::PanelSettings,
    signal::UnitOptions,
};
use crate::{
    baseline::Band,
    detect::{Batch, Combine, Onsets, PanelBatch, PanelDetector, Verdict, Verdicts},
    expo::{RenderedLabels, names::published_label_name},
    series::{
        Grid, Labels, Millis, Slot,
        panel::{Joined, join},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Steps of judged past a verdict is derived from anew, and how often that is, in steps: at most so
/// many, and fewer where the signals replay less at a start.
const VERDICT_MEMORY: usize = 288;

/// One panel with the state of all its entities.
#[derive(Debug)]
pub struct PanelUnit {
    settings: PanelSettings,
    name: Arc<str>,
    grid: Grid,
    replica: Option<String>,
    /// Whether other processes have entities of it too.
    torn_groups: bool,
    combine: Combine,
    detectors: Vec<Box<dyn PanelDetector>>,
    verdicts: Verdicts,
    onsets: Onsets,
    /// Steps of judged past a verdict is derived from anew, and how often that is.
    verdict_memory: usize,
    /// Steps that a detector may remember.
    detector_memory: usize,
    /// Slot, when last seen (grid index), and the labels as published.
    entities: BTreeMap<Labels, Entity>,
    free: Vec<Slot>,
    slots: usize,
    begun: [u64; 2],
}

/// The scores of one step; each column has an entry for each entity present.
struct Scored {
    /// By detector.
    members: Vec<Vec<f32>>,
    combined: Vec<f32>,
    /// The distance of the farthest channel (signed).
    farthest: Vec<f32>,
}

#[derive(Debug)]
struct Entity {
    slot: Slot,
    seen: i64,
    rendered: Arc<RenderedLabels>,
}

impl PanelUnit {
    /// A panel over signals that share `grid` and replay so many steps at a start (`None`: no matter).
    ///
    /// # Errors
    /// A detector that cannot judge vectors.
    pub fn new(
        settings: &PanelSettings,
        options: &UnitOptions,
        grid: Grid,
        replay: Option<usize>,
    ) -> Result<Self, String> {
        let kinds: Vec<&str> = settings
            .detectors
            .iter()
            .map(|detector| detector.kind())
            .collect();
        let detector_memory = memory_for_detectors(replay);
        let detectors = build(settings, grid, detector_memory)?;
        let verdict_memory = memory_of_verdicts(&detectors, replay);
        Ok(Self {
            name: settings.name.as_str().into(),
            grid,
            replica: options.replica.clone(),
            torn_groups: options.torn_groups,
            combine: settings.combine.for_members(&kinds),
            detectors,
            verdicts: Verdicts::new(
                &settings.alerting.fitted(grid, verdict_memory),
                &settings.severity,
                grid,
                verdict_memory,
            ),
            verdict_memory,
            onsets: Onsets::new(2 * verdict_memory),
            detector_memory,
            entities: BTreeMap::new(),
            free: Vec::new(),
            slots: 0,
            begun: [0; 2],
            settings: settings.clone(),
        })
    }

    /// Steps of past after which the state of a new panel equals that of an old one.
    pub fn memory(&self) -> usize {
        longest_memory(&self.detectors) + 2 * self.verdict_memory
    }

    /// Evaluates grid time `at` from the outcomes of its signals at that time. A signal that is late
    /// is left out of `inputs`: its channel abstains.
    pub fn advance(&mut self, at: Millis, inputs: &[Arc<Outcome>], mode: Mode) -> Outcome {
        let joined = self.join(inputs);
        let index = self.grid.index(at);
        let slots: Vec<Slot> = joined
            .entities
            .iter()
            .map(|entity| self.slot(entity, index))
            .collect();
        let mut panics = Vec::new();
        let columns: Vec<Vec<f32>> = (0..joined.channels)
            .map(|channel| {
                (0..slots.len())
                    .map(|row| joined.row(row)[channel])
                    .collect()
            })
            .collect();
        let scored = self.score(at, &slots, &columns, &mut panics);
        let mut news = vec![f32::NAN; slots.len()];
        self.onsets.step(index, &slots, &scored.combined, &mut news);
        let verdicts = self.judge(at, &slots, &scored);
        let outcome = self.outcome(at, mode, inputs, &joined, &scored, &news, &verdicts, panics);
        self.forget(index);
        outcome
    }

    /// Does a piece of what the next grid time will need, so that it has less to do; `false` where nothing is left.
    /// Outcomes are the same without.
    pub fn prepare(&mut self) -> bool {
        let mut detectors = self.detectors.iter_mut();
        detectors.any(|detector| guarded(|| detector.prepare()).unwrap_or(false))
    }

    /// Each series as its distance from its baseline, in scales of that baseline.
    fn join(&self, inputs: &[Arc<Outcome>]) -> Joined {
        let channels: Vec<Vec<(Labels, f32)>> = self
            .settings
            .signals
            .iter()
            .map(|signal| {
                let input = inputs.iter().find(|input| *input.unit == **signal);
                // What is left out of scoring counts as missing: its entities stay, and recover.
                let excluded = input.is_some_and(|input| input.excluded.is_some());
                let series = input.map_or(&[][..], |input| &input.series);
                series
                    .iter()
                    .filter(|series| series.band.is_known())
                    .map(|series| {
                        // Nor is a value learned from that is not believed.
                        let doubted =
                            input.is_some_and(|input| input.doubt(&series.labels).is_some());
                        let distance = match excluded || doubted {
                            true => f32::NAN,
                            false => (series.value - series.band.expected) / series.band.scale,
                        };
                        (series.labels.only(&self.settings.on), distance)
                    })
                    .collect()
            })
            .collect();
        join(&channels)
    }

    fn slot(&mut self, entity: &Labels, index: i64) -> Slot {
        if let Some(known) = self.entities.get_mut(entity) {
            known.seen = index;
            return known.slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        });
        self.verdicts.grow(self.slots);
        self.onsets.grow(self.slots);
        for detector in &mut self.detectors {
            detector.grow(self.slots);
            detector.assign(slot, entity);
        }
        let rendered = self.render(entity);
        self.entities.insert(
            entity.clone(),
            Entity {
                slot,
                seen: index,
                rendered,
            },
        );
        slot
    }

    fn render(&self, entity: &Labels) -> Arc<RenderedLabels> {
        let own: Vec<_> = entity
            .iter()
            .map(|(name, value)| (published_label_name(name), value))
            .collect();
        let replica = self
            .replica
            .as_deref()
            .map(|replica| ("forethought_replica", replica));
        let pairs = own.iter().map(|(name, value)| (name.as_ref(), *value));
        Arc::new(RenderedLabels::new(
            pairs.chain([("signal", &*self.name)]).chain(replica),
        ))
    }

    /// Combined scores, and the distance of the farthest channel (signed).
    fn score(
        &mut self,
        at: Millis,
        slots: &[Slot],
        columns: &[Vec<f32>],
        panics: &mut Vec<(&'static str, u64)>,
    ) -> Scored {
        let channels: Vec<&[f32]> = columns.iter().map(Vec::as_slice).collect();
        // Detectors want their slots in ascending order; entities come sorted by labels.
        let mut order: Vec<usize> = (0..slots.len()).collect();
        order.sort_unstable_by_key(|&row| slots[row]);
        let sorted_slots: Vec<Slot> = order.iter().map(|&row| slots[row]).collect();
        let sorted: Vec<Vec<f32>> = channels
            .iter()
            .map(|channel| order.iter().map(|&row| channel[row]).collect())
            .collect();
        let sorted: Vec<&[f32]> = sorted.iter().map(Vec::as_slice).collect();
        let batch = PanelBatch {
            at,
            slots: &sorted_slots,
            channels: &sorted,
        };
        let mut members = Vec::new();
        for (position, detector) in self.detectors.iter_mut().enumerate() {
            let mut out = vec![f32::NAN; slots.len()];
            if guarded(|| detector.step(&batch, &mut out)).is_none() {
                out.fill(f32::NAN);
                panics.push((detector.kind(), 1));
                let settings = &self.settings.detectors[position];
                let memory = self.detector_memory;
                if let Some(fresh) = settings.build_panel_within(self.grid, memory) {
                    *detector = fresh;
                    detector.grow(self.slots);
                    for (entity, known) in &self.entities {
                        detector.assign(known.slot, entity);
                    }
                }
            }
            let mut scores = vec![f32::NAN; slots.len()];
            for (&row, score) in order.iter().zip(out) {
                scores[row] = score;
            }
            members.push(scores);
        }
        let columns: Vec<&[f32]> = members.iter().map(Vec::as_slice).collect();
        let mut combined = vec![f32::NAN; slots.len()];
        self.combine.apply(&columns, &mut combined);
        let farthest = (0..slots.len())
            .map(|row| farthest(&channels, row))
            .collect();
        Scored {
            members,
            combined,
            farthest,
        }
    }

    fn judge(&mut self, at: Millis, slots: &[Slot], scored: &Scored) -> Vec<Verdict> {
        let index = self.grid.index(at);
        for (entity, known) in &self.entities {
            let memory = self.verdict_memory as i64;
            let offset = (entity.fingerprint() % self.verdict_memory as u64) as i64;
            if (index - offset).rem_euclid(memory) == 0 {
                self.verdicts.rederive(known.slot);
            }
        }
        // Entities that are absent are judged too: their silence is part of the past of their verdict.
        let mut all: Vec<(Slot, f32, f32)> = slots
            .iter()
            .zip(scored.combined.iter().zip(&scored.farthest))
            .map(|(&slot, (&score, &distance))| (slot, score, distance))
            .collect();
        let present: BTreeSet<Slot> = slots.iter().copied().collect();
        let absent = self.entities.values().map(|known| known.slot);
        let absent = absent.filter(|slot| !present.contains(slot));
        all.extend(absent.map(|slot| (slot, f32::NAN, f32::NAN)));
        all.sort_unstable_by_key(|(slot, ..)| *slot);
        let columns = |field: fn(&(Slot, f32, f32)) -> f32| all.iter().map(field).collect();
        let (scores, values): (Vec<f32>, Vec<f32>) = (columns(|one| one.1), columns(|one| one.2));
        let all_slots: Vec<Slot> = all.iter().map(|one| one.0).collect();
        let bands = vec![UNIT_BAND; all.len()];
        let mut verdicts = vec![Verdict::default(); all.len()];
        let batch = Batch {
            at,
            slots: &all_slots,
            values: &values,
            bands: &bands,
        };
        self.verdicts.step(&batch, &scores, &mut verdicts);
        let position = |slot: &Slot| all_slots.binary_search(slot).unwrap_or(0);
        slots.iter().map(|slot| verdicts[position(slot)]).collect()
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the columns of one step, each its own slice"
    )]
    fn outcome(
        &mut self,
        at: Millis,
        mode: Mode,
        inputs: &[Arc<Outcome>],
        joined: &Joined,
        scored: &Scored,
        scores: &[f32],
        verdicts: &[Verdict],
        panics: Vec<(&'static str, u64)>,
    ) -> Outcome {
        let mut counts = Counts {
            series: self.entities.len(),
            panics,
            ..Counts::default()
        };
        for verdict in verdicts.iter().filter(|verdict| verdict.began) {
            counts.begun[usize::from(verdict.direction > 0)] += 1;
        }
        // What is replayed began before this process did.
        if mode != Mode::Replay {
            self.begun[0] += counts.begun[0];
            self.begun[1] += counts.begun[1];
        }
        counts.warming = scores.iter().filter(|score| score.is_nan()).count();
        counts.active = verdicts.iter().filter(|verdict| verdict.active).count();
        let series = joined
            .entities
            .iter()
            .enumerate()
            .map(|(row, entity)| SeriesOutcome {
                labels: entity.clone(),
                value: scored.farthest[row],
                band: UNIT_BAND,
                score: scores[row],
                active: verdicts[row].active,
                severity: verdicts[row].severity,
                direction: verdicts[row].direction,
                began: verdicts[row].began,
                since: verdicts[row].since(at, self.grid),
                worst: verdicts[row].worst,
                reason: (verdicts[row].active && (mode != Mode::Replay || verdicts[row].began))
                    .then(|| Box::new(self.reason(inputs, joined, scored, row))),
            });
        let judged = scores.iter().zip(verdicts).enumerate();
        let judged = judged.filter(|(_, (score, _))| score.is_finite());
        let judged = judged.map(|(row, (_, verdict))| Judged {
            group: Labels::default(),
            active: verdict.active,
            score: scored.combined[row],
            index: row,
        });
        let groups = match mode {
            Mode::Publish if !self.torn_groups => families::groups(judged),
            _ => Vec::new(),
        };
        // What is replayed comes without the verdicts of the signals.
        let far_off = match mode {
            Mode::Replay => Vec::new(),
            Mode::Study | Mode::Publish => {
                let (signals, on) = (&self.settings.signals, &self.settings.on);
                channels::far_off(signals, on, inputs, joined)
            }
        };
        let chunks = match mode {
            Mode::Publish => self.chunks(joined, scores, verdicts, &groups, &far_off),
            Mode::Replay | Mode::Study => Vec::new(),
        };
        let unit = Arc::clone(&self.name);
        Outcome {
            unit,
            at,
            series: series.collect(),
            groups,
            torn_groups: self.torn_groups,
            far_off,
            chunks,
            counts,
            ..Outcome::default()
        }
    }

    fn chunks(
        &self,
        joined: &Joined,
        scores: &[f32],
        verdicts: &[Verdict],
        groups: &[Group],
        far_off: &[f32],
    ) -> Vec<crate::expo::Chunk> {
        let labels: Vec<_> = joined
            .entities
            .iter()
            .filter_map(|entity| Some(Arc::clone(&self.entities.get(entity)?.rendered)))
            .collect();
        let judged = scores
            .iter()
            .zip(verdicts)
            .map(|(&score, &verdict)| Severities { score, verdict });
        let replica = self.replica.as_deref();
        let mut chunks = families::anomalies(&labels, judged);
        chunks.push(families::channel_ratio(&labels, scores, far_off));
        chunks.push(families::group_ratio(&self.name, replica, groups));
        chunks.push(families::events_total(&self.name, replica, self.begun));
        chunks.retain(|chunk| !chunk.is_empty());
        chunks
    }

    /// An entity that was not seen for twice the memory of its verdict is forgotten.
    fn forget(&mut self, index: i64) {
        let forget = 2 * self.verdict_memory as i64;
        let gone: Vec<Labels> = self
            .entities
            .iter()
            .filter(|(_, known)| index - known.seen >= forget)
            .map(|(entity, _)| entity.clone())
            .collect();
        for entity in gone {
            let Some(known) = self.entities.remove(&entity) else {
                continue;
            };
            self.verdicts.evict(known.slot);
            self.onsets.evict(known.slot);
            for detector in &mut self.detectors {
                detector.reset(known.slot);
            }
            self.free.push(known.slot);
        }
    }
}

/// Steps of judged past from which a panel over such signals re-derives its verdicts; as
/// [`PanelUnit::new`].
///
/// # Errors
/// A detector that cannot judge vectors.
pub(super) fn verdict_memory(
    settings: &PanelSettings,
    grid: Grid,
    replay: Option<usize>,
) -> Result<usize, String> {
    let detectors = build(settings, grid, memory_for_detectors(replay))?;
    Ok(memory_of_verdicts(&detectors, replay))
}

fn build(
    settings: &PanelSettings,
    grid: Grid,
    memory: usize,
) -> Result<Vec<Box<dyn PanelDetector>>, String> {
    let detectors = settings.detectors.iter().map(|detector| {
        detector
            .build_panel_within(grid, memory)
            .ok_or_else(|| format!("detector {} cannot judge a panel", detector.kind()))
    });
    detectors.collect()
}

/// What is replayed at a start must show the detectors' memory, and then twice that of the verdicts:
/// they are derived anew once in it.
fn memory_of_verdicts(detectors: &[Box<dyn PanelDetector>], replay: Option<usize>) -> usize {
    replay.map_or(VERDICT_MEMORY, |replay| {
        let left = replay.saturating_sub(longest_memory(detectors));
        (left / 2).clamp(1, VERDICT_MEMORY)
    })
}

/// Where little is replayed, an eighth of it is for each of the two times that the verdicts need, and the rest
/// for the detectors: without a past to learn from they say nothing.
fn memory_for_detectors(replay: Option<usize>) -> usize {
    replay.map_or(usize::MAX, |replay| {
        replay - 2 * (replay / 8).min(VERDICT_MEMORY)
    })
}

fn longest_memory(detectors: &[Box<dyn PanelDetector>]) -> usize {
    let memories = detectors.iter().map(|detector| detector.memory());
    memories.max().unwrap_or(0)
}

/// Channels are distances in scales: nothing is expected, and one scale is ordinary.
const UNIT_BAND: Band = Band {
    expected: 0.0,
    lower: -1.0,
    upper: 1.0,
    scale: 1.0,
};

fn farthest(channels: &[&[f32]], row: usize) -> f32 {
    let distances = channels
        .iter()
        .map(|channel| channel[row])
        .filter(|one| one.is_finite());
    distances
        .max_by(|one, other| one.abs().total_cmp(&other.abs()))
        .unwrap_or(f32::NAN)
}

#[cfg(test)]
mod tests;
