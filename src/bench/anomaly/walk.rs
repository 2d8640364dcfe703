//! Walks the real units over recorded rows, as a new series lives through them: nothing is known before its
//! first row, and nothing of a row before it is scored.

use super::contender::{ENTITY, panel, panel_by_default};
use crate::{
    baseline::Band,
    detect::{self, Batch, Verdict, Verdicts},
    engine::{Mode, Outcome, PanelSettings, PanelUnit, SignalSettings, SignalUnit, UnitOptions},
    forecast::ModelFiles,
    series::{Grid, Labels, Millis},
    source::{Matrix, SeriesSamples},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// What `/metrics` would have shown for each row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shown {
    /// `anomaly_score`; 0 where it is absent.
    pub scores: Vec<f64>,
    /// `anomaly_active`.
    pub active: Vec<bool>,
}

impl Shown {
    /// Nothing, for so many rows.
    fn blank(rows: usize) -> Self {
        Self {
            scores: vec![0.0; rows],
            active: vec![false; rows],
        }
    }

    fn put(&mut self, row: usize, score: f32, active: bool) {
        self.scores[row] = if score.is_nan() {
            0.0
        } else {
            f64::from(score)
        };
        self.active[row] = active;
    }
}

/// A series and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesWalk {
    /// By row.
    pub shown: Shown,
    /// Values evaluated.
    pub points: usize,
    /// State of the unit at the end.
    pub bytes: usize,
}

/// Walks one series of a signal with these settings.
///
/// # Errors
/// Settings that cannot be, and a detector that panicked.
pub fn series(
    settings: &SignalSettings,
    times: &[Millis],
    values: &[f64],
) -> Result<SeriesWalk, String> {
    let mut track = Track::new(settings, Labels::default())?;
    let rows = on_grid(track.unit.grid(), times);
    let mut shown = Shown::blank(times.len());
    for at in track.start(&rows)? {
        let row = rows.get(&at).copied();
        let outcome = track.step(at, row.map(|row| values[row]))?;
        if let (Some(row), Some(series)) = (row, outcome.series.first()) {
            shown.put(row, series.score, series.active);
        }
    }
    Ok(SeriesWalk {
        shown,
        points: rows.len(),
        bytes: track.unit.state_bytes(),
    })
}

/// An entity and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct EntityWalk {
    /// The greatest score of its channels; active where any channel is.
    pub greatest: Shown,
    /// The mean of the three greatest scores of its channels, judged as a panel judges.
    pub top_mean: Shown,
    /// `AnomalyGroupActive` of `alerts/series.yml`, with its channels as the group; the score is 1 while it fires, else 0.
    pub group_paged: Shown,
    /// `AnomalyEntityActive` of `alerts/series.yml` on a panel that names no detectors, shown likewise.
    pub entity_paged: Shown,
    /// By panel detector, in the order given; `None` where it never had a score.
    pub panels: Vec<Option<Shown>>,
}

/// Channels whose mean score is one of the figures.
const TOP: usize = 3;

/// Walks every channel of one entity as a signal of its own with these settings, and panels with one
/// detector each over all of them.
///
/// # Errors
/// Settings that cannot be, and a detector that panicked.
pub fn entity(
    settings: &SignalSettings,
    detectors: &[detect::Settings],
    times: &[Millis],
    channels: &[(String, Vec<f64>)],
) -> Result<EntityWalk, String> {
    let labels = Labels::new([(ENTITY, "one")]).unwrap_or_default();
    let tracks = channels.iter().map(|(name, _)| {
        let own = SignalSettings {
            name: name.clone(),
            ..settings.clone()
        };
        Track::new(&own, labels.clone())
    });
    let mut tracks: Vec<Track> = tracks.collect::<Result<_, _>>()?;
    let first = tracks.first().ok_or("it has no channel")?;
    let grid = first.unit.grid();
    let rows = on_grid(grid, times);
    let names: Vec<String> = channels.iter().map(|(name, _)| name.clone()).collect();
    let mut panels = Vec::new();
    for detector in detectors {
        let own = panel(detector.clone(), names.clone(), settings);
        panels.push(PanelTrack::new(&own, grid, times.len())?);
    }
    let mut greatest = Shown::blank(times.len());
    let mut top_mean = TopMean::new(settings, grid, times.len());
    let judge = panel_by_default(names, settings);
    let mut judge = PanelTrack::new(&judge, grid, times.len())?;
    let mut group_page = Page::of_group(grid, times.len());
    let mut entity_page = Page::of_entity(grid, times.len());
    let mut span = Vec::new();
    for track in &mut tracks {
        span = track.start(&rows)?;
    }
    for at in span {
        let row = rows.get(&at).copied();
        let mut outcomes = Vec::with_capacity(tracks.len());
        for (track, (_, values)) in tracks.iter_mut().zip(channels) {
            outcomes.push(Arc::new(track.step(at, row.map(|row| values[row]))?));
        }
        for panel in &mut panels {
            panel.step(at, row, &outcomes)?;
        }
        let scores: Vec<f32> = outcomes
            .iter()
            .filter_map(|outcome| outcome.series.first())
            .map(|series| series.score)
            .filter(|score| score.is_finite())
            .collect();
        top_mean.step(at, row, &scores);
        let active = outcomes.iter().filter(|one| one.counts.active > 0).count();
        group_page.step(row, active as f32 / outcomes.len() as f32, true);
        let verdict = judge.step(at, row, &outcomes)?;
        entity_page.step(row, verdict.far_off, verdict.active);
        if let Some(row) = row {
            let score = scores.iter().copied().fold(f32::NAN, f32::max);
            let active = outcomes.iter().any(|outcome| outcome.counts.active > 0);
            greatest.put(row, score, active);
        }
    }
    Ok(EntityWalk {
        greatest,
        top_mean: top_mean.shown,
        group_paged: group_page.shown,
        entity_paged: entity_page.shown,
        panels: panels.into_iter().map(PanelTrack::end).collect(),
    })
}

/// One signal with one series.
struct Track {
    unit: SignalUnit,
    labels: Labels,
}

impl Track {
    fn new(settings: &SignalSettings, labels: Labels) -> Result<Self, String> {
        let unit = SignalUnit::new(settings, &UnitOptions::default(), &ModelFiles::new())?;
        Ok(Self { unit, labels })
    }

    /// Starts as a process does that finds no history; gives the grid times from the first row to the last.
    fn start(&mut self, rows: &BTreeMap<Millis, usize>) -> Result<Vec<Millis>, String> {
        let (Some((&first, _)), Some((&last, _))) = (rows.first_key_value(), rows.last_key_value())
        else {
            return Err("it has no row".to_owned());
        };
        let step = self.unit.grid().step();
        let mut at = self.unit.restart(first - step);
        while at < first - step {
            at += step;
            self.unit.advance(at, Mode::Replay);
        }
        let steps = (last - first) / step;
        Ok((0..=steps).map(|index| first + index * step).collect())
    }

    fn step(&mut self, at: Millis, value: Option<f64>) -> Result<Outcome, String> {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            let series = SeriesSamples {
                labels: self.labels.clone(),
                samples: vec![(at, value)],
            };
            self.unit.ingest(&Matrix {
                series: vec![series],
                ..Matrix::default()
            });
        }
        calm(self.unit.advance(at, Mode::Replay))
    }
}

/// What a panel says of its entity at one time.
#[derive(Debug, Clone, Copy, Default)]
struct EntityVerdict {
    /// `anomaly_active`.
    active: bool,
    /// `anomaly_channel_ratio`; 0 where it is absent.
    far_off: f32,
}

/// One panel over all channels.
struct PanelTrack {
    unit: PanelUnit,
    shown: Shown,
    scored: bool,
}

impl PanelTrack {
    fn new(settings: &PanelSettings, grid: Grid, rows: usize) -> Result<Self, String> {
        Ok(Self {
            unit: PanelUnit::new(settings, &UnitOptions::default(), grid, None)?,
            shown: Shown::blank(rows),
            scored: false,
        })
    }

    fn step(
        &mut self,
        at: Millis,
        row: Option<usize>,
        outcomes: &[Arc<Outcome>],
    ) -> Result<EntityVerdict, String> {
        let outcome = calm(self.unit.advance(at, outcomes, Mode::Study))?;
        let Some(one) = outcome.series.first() else {
            return Ok(EntityVerdict::default());
        };
        if let Some(row) = row {
            self.scored |= one.score.is_finite();
            self.shown.put(row, one.score, one.active);
        }
        Ok(EntityVerdict {
            active: one.active,
            far_off: outcome.far_off.first().copied().unwrap_or(0.0),
        })
    }

    fn end(self) -> Option<Shown> {
        self.scored.then_some(self.shown)
    }
}

/// The mean of the greatest scores with a verdict of its own.
struct TopMean {
    verdicts: Verdicts,
    shown: Shown,
}

impl TopMean {
    fn new(signal: &SignalSettings, grid: Grid, rows: usize) -> Self {
        let mut verdicts = Verdicts::new(&signal.alerting, &signal.severity, grid, 1);
        verdicts.grow(1);
        Self {
            verdicts,
            shown: Shown::blank(rows),
        }
    }

    fn step(&mut self, at: Millis, row: Option<usize>, scores: &[f32]) {
        let mut scores = scores.to_vec();
        scores.sort_by(|one, other| other.total_cmp(one));
        scores.truncate(TOP);
        let score = scores.iter().sum::<f32>() / scores.len() as f32;
        let batch = Batch {
            at,
            slots: &[0],
            values: &[score],
            bands: &[Band {
                expected: 0.0,
                lower: -1.0,
                upper: 1.0,
                scale: 1.0,
            }],
        };
        let mut verdict = [Verdict::default()];
        self.verdicts.step(&batch, &[score], &mut verdict);
        if let Some(row) = row {
            self.shown.put(row, score, verdict[0].active);
        }
    }
}

/// A rule of `alerts/series.yml` that pages: a share of something is over a limit for five minutes.
struct Page {
    limit: f32,
    /// The share is the mean of so many grid times.
    mean_of: usize,
    /// Those of them.
    shares: VecDeque<f32>,
    over: usize,
    pending: usize,
    shown: Shown,
}

impl Page {
    const SPAN: Millis = 300_000;

    /// `AnomalyGroupActive`: of the series of a group, as a mean over five minutes.
    fn of_group(grid: Grid, rows: usize) -> Self {
        let span = grid.steps(Self::SPAN).max(1);
        Self::new(0.5, span, span, rows)
    }

    /// `AnomalyEntityActive`: of the channels of an entity.
    fn of_entity(grid: Grid, rows: usize) -> Self {
        Self::new(0.125, 1, grid.steps(Self::SPAN).max(1), rows)
    }

    fn new(limit: f32, mean_of: usize, pending: usize, rows: usize) -> Self {
        Self {
            limit,
            mean_of,
            shares: VecDeque::new(),
            over: 0,
            pending,
            shown: Shown::blank(rows),
        }
    }

    /// `also` is what else must hold.
    fn step(&mut self, row: Option<usize>, share: f32, also: bool) {
        self.shares.push_back(share);
        if self.shares.len() > self.mean_of {
            self.shares.pop_front();
        }
        let mean = self.shares.iter().sum::<f32>() / self.shares.len() as f32;
        let holds = also && mean > self.limit;
        self.over = if holds { self.over + 1 } else { 0 };
        // It has been pending for as long when it fires.
        let fires = self.over > self.pending;
        if let Some(row) = row {
            self.shown.put(row, f32::from(u8::from(fires)), fires);
        }
    }
}

/// The row that each grid time sees: the newest of the step that ends with it, as sources read it.
fn on_grid(grid: Grid, times: &[Millis]) -> BTreeMap<Millis, usize> {
    let snapped = |time: Millis| grid.floor(time - 1) + grid.step();
    times
        .iter()
        .enumerate()
        .map(|(row, &time)| (snapped(time), row))
        .collect()
}

/// A panic that was caught would look like silence: figures made of it are worth nothing.
fn calm(outcome: Outcome) -> Result<Outcome, String> {
    match outcome.counts.panics.first() {
        Some((kind, _)) => Err(format!("{kind} panicked at {}", outcome.at)),
        None => Ok(outcome),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::anomaly::contender::{contenders, default, panel_detectors, shared};

    const STEP: Millis = 300_000;

    fn value(index: i64) -> f64 {
        let wobble = ((index * 7_919) % 101) as f64 / 101.0;
        if (900..906).contains(&index) {
            return 60.0;
        }
        10.0 + wobble
    }

    fn by_default() -> SignalSettings {
        default(&shared(None).unwrap()).signal(STEP).unwrap()
    }

    fn rows() -> (Vec<Millis>, Vec<f64>) {
        // Half a step off the grid, as recorded rows are; one is missing.
        let kept = (0..1_000).filter(|&index| index != 500);
        kept.map(|index| (index * STEP - STEP / 2, value(index)))
            .unzip()
    }

    #[test]
    fn a_spike_is_shown_where_it_is_and_only_there() {
        let (times, values) = rows();
        for contender in contenders(&shared(None).unwrap()) {
            let walk = series(&contender.signal(STEP).unwrap(), &times, &values).unwrap();
            assert_eq!(walk.points, 999);
            assert!(walk.bytes > 4_000, "the window alone has 1,000 values");
            let found: Vec<usize> = (0..999)
                .filter(|&row| walk.shown.scores[row] >= 1.0)
                .collect();
            if contender.name == "isolation_forest" {
                // It has not seen enough to be sure of anything.
                assert_eq!(found, [0; 0]);
                continue;
            }
            // A shift is confirmed a few rows later.
            let in_time = |row: &usize| (899..905).contains(row);
            assert!(
                found.first().is_some_and(in_time),
                "{}: {found:?}",
                contender.name
            );
            assert!(
                found.iter().all(|row| *row >= 899),
                "{}: {found:?}",
                contender.name
            );
            let active = |row: usize| walk.shown.active[row];
            assert!((899..905).any(active), "{}", contender.name);
        }
    }

    #[test]
    fn nothing_sees_the_future() {
        let (times, values) = rows();
        let settings = by_default();
        let whole = series(&settings, &times, &values).unwrap();
        let half = series(&settings, &times[..950], &values[..950]).unwrap();
        assert_eq!(whole.shown.scores[..950], half.shown.scores[..]);
        assert_eq!(whole.shown.active[..950], half.shown.active[..]);
    }

    #[test]
    fn forecasts_change_no_score_and_no_verdict() {
        let (times, values) = rows();
        let mut settings = by_default();
        let without = series(&settings, &times, &values).unwrap();
        settings.forecast = crate::forecast::Settings::default();
        let with = series(&settings, &times, &values).unwrap();
        assert_eq!(with.shown, without.shown);
        assert!(with.bytes > without.bytes);
    }

    #[test]
    fn an_entity_is_as_anomalous_as_its_channels() {
        let (times, values) = rows();
        let quiet: Vec<f64> = (0..999).map(|row| value(row % 800)).collect();
        let channels = [
            ("a".to_owned(), values.clone()),
            ("b".to_owned(), quiet.clone()),
            ("c".to_owned(), quiet.clone()),
            ("d".to_owned(), quiet),
        ];
        let settings = by_default();
        let walk = entity(&settings, &panel_detectors(), &times, &channels).unwrap();
        let alone = series(&settings, &times, &values).unwrap();
        assert_eq!(walk.greatest.scores[899], alone.shown.scores[899]);
        assert!(walk.greatest.active[899]);
        assert!(walk.top_mean.scores[899] < walk.greatest.scores[899]);
        assert!(
            !walk.group_paged.active.contains(&true),
            "one of four is no page"
        );
        assert_eq!(walk.panels.len(), panel_detectors().len());
    }

    #[test]
    fn two_rows_of_one_step_are_seen_as_the_newer_one() {
        let grid = Grid::new(60).unwrap();
        let rows = on_grid(grid, &[0, 61, 119, 120, 121]);
        assert_eq!(rows, [(0, 0), (120, 3), (180, 4)].into());
    }
}
