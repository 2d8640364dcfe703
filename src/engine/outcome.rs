//! What one evaluation of one unit produced. Immutable; every reader reads it.

use super::reason::Reason;
use crate::{
    baseline::Band,
    expo::Chunk,
    forecast::{Contest, FailureReason, Interval, Link, Trust},
    quality::Finding,
    series::{Labels, Millis, Span},
};
use std::sync::Arc;

/// How much of an outcome is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Scores and verdicts only: catching up.
    Replay,
    /// Forecasts too: looking back.
    Study,
    /// What readers get too: live.
    Publish,
}

/// One horizon of a signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Horizon {
    /// As configured and as written in the label `horizon`.
    pub span: Span,
    /// In steps of the signal.
    pub steps: usize,
}

/// How good recent forecasts of a signal were at one horizon; the median over its series. `None`: not known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accuracy<'a> {
    /// The horizon.
    pub horizon: &'a Horizon,
    /// WAPE: sum of absolute errors over sum of absolute actuals.
    pub error: Option<f32>,
    /// Share of actuals inside their interval.
    pub coverage: Option<f32>,
    /// 1 minus the error relative to seasonal naive.
    pub skill: Option<f32>,
}

/// One series in an outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesOutcome {
    /// The labels of the source.
    pub labels: Labels,
    /// The value at the evaluated time; `NaN` where there was no sample.
    pub value: f32,
    /// What was expected.
    pub band: Band,
    /// The combined score as published: above 1 where the series does something new, see
    /// [`Onsets`](crate::detect::Onsets). `NaN` where every detector abstained.
    pub score: f32,
    /// Whether the verdict is on.
    pub active: bool,
    /// 0 none, 1 info, 2 warning, 3 critical, 4 emergency.
    pub severity: u8,
    /// -1 below, 0 as expected, 1 above.
    pub direction: i8,
    /// Whether the verdict began at this time.
    pub began: bool,
    /// The grid time at which the verdict that is on began, as far back as it is remembered.
    pub since: Option<Millis>,
    /// The highest severity since then, numbered as `severity`.
    pub worst: u8,
    /// Why the verdict is on; `None` while it is not, and of what is only replayed.
    pub reason: Option<Box<Reason>>,
}

/// The series of one group at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The labels that make the group; none where all series are one.
    pub labels: Labels,
    /// Series that were judged.
    pub judged: usize,
    /// Of those, how many are anomalous.
    pub active: usize,
    /// The anomalous ones that are farthest off, farthest first: at most [`MOST_TOP`](Group::MOST_TOP).
    pub top: Vec<Contributor>,
}

impl Group {
    /// More than so many series nobody reads in an alert.
    pub const MOST_TOP: usize = 10;

    /// The share that is anomalous.
    pub fn ratio(&self) -> f64 {
        self.active as f64 / self.judged as f64
    }
}

/// An anomalous series of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contributor {
    /// Which of [`Outcome::series`].
    pub index: usize,
    /// Its combined score, which stays above 1 for as long as it is anomalous; see
    /// [`SeriesOutcome::score`] for the published one.
    pub score: f32,
}

/// What one evaluation of one unit produced.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The unit: the name of a signal or a panel.
    pub unit: Arc<str>,
    /// The grid time that was evaluated.
    pub at: Millis,
    /// The series that had a sample or are still being judged, sorted by labels. Where [`sparse`](Self::sparse), only those
    /// whose verdict is on or was lately: [`Counts`] knows how many there are.
    pub series: Vec<SeriesOutcome>,
    /// Whether `series` are only those that are shown: of a wide signal with `emit: anomalous` that nothing else reads.
    pub sparse: bool,
    /// The labels that make a group of series; none: all series are one.
    pub group_by: Arc<[String]>,
    /// Whether other processes carry series of the same groups: then nothing is said of groups.
    pub torn_groups: bool,
    /// The groups, sorted by labels; live only.
    pub groups: Vec<Group>,
    /// Of a panel, for each of `series` the share of its channels (0 to 1) whose own verdict is at least a warning; `NaN`
    /// where none has a value. Empty of signals, and of what is only replayed.
    pub far_off: Vec<f32>,
    /// The horizons forecast, shortest first.
    pub horizons: Arc<[Horizon]>,
    /// `forecasts[i * horizons.len() + j]`: series `i`, horizon `j`.
    pub forecasts: Vec<Interval>,
    /// The windows of which the greatest value is forecast, shortest first.
    pub windows: Arc<[Horizon]>,
    /// `maxima[i * windows.len() + j]`: series `i`, window `j`.
    pub maxima: Vec<Interval>,
    /// Levels of the quantiles of that greatest value that somebody scales by, lowest first.
    pub levels: Arc<[f32]>,
    /// `tails[(i * windows.len() + j) * levels.len() + l]`: series `i`, window `j`, level `l`; `NaN` where absent.
    pub tails: Vec<f32>,
    /// `tail_trust[i * windows.len() + j]`: how far those can be trusted; empty without levels.
    pub tail_trust: Vec<Option<Trust>>,
    /// What serves each of `forecasts`; live only.
    pub links: Vec<Link>,
    /// Per horizon, the median over the series; `None` where no forecast was checked yet.
    pub trust: Vec<Option<Trust>>,
    /// How far what is forecast has drifted from what the forecasts were derived from, 1 at the threshold: the median over the
    /// series; `None` where it is not known of any.
    pub drift: Option<f32>,
    /// How the versions of the trained models compare, by the name of the model; live only.
    pub contests: Vec<Contest>,
    /// Why nothing was judged at this time and until when, where it is left out of scoring.
    pub excluded: Option<String>,
    /// The series whose newest value is not believed, sorted by labels; nothing was learned from those.
    pub doubts: Vec<Doubt>,
    /// What `/metrics` shows of this unit.
    pub chunks: Vec<Chunk>,
    /// Counts, for status and self-metrics.
    pub counts: Counts,
}

/// A value that is not believed.
#[derive(Debug, Clone, PartialEq)]
pub struct Doubt {
    /// The series.
    pub labels: Labels,
    /// Why.
    pub finding: Finding,
    /// The value, in the unit of the signal.
    pub value: f32,
}

impl Outcome {
    /// Why the newest value of a series is not believed, if so.
    pub fn doubt(&self, labels: &Labels) -> Option<Finding> {
        let place = self.doubts.binary_search_by(|one| one.labels.cmp(labels));
        Some(self.doubts[place.ok()?].finding)
    }

    /// How many series each finding is about, in the order of [`Finding::ALL`].
    pub fn doubted(&self) -> [usize; Finding::ALL.len()] {
        Finding::ALL.map(|finding| {
            let doubts = self.doubts.iter();
            doubts.filter(|one| one.finding == finding).count()
        })
    }

    /// How good its recent forecasts were, at each horizon in turn.
    pub fn accuracy(&self) -> impl Iterator<Item = Accuracy<'_>> {
        let known = |value: f32| Some(value).filter(|value| value.is_finite());
        let horizons = self.horizons.iter().zip(&self.trust);
        horizons.map(move |(horizon, trust)| Accuracy {
            horizon,
            error: trust.and_then(|trust| known(trust.error_ratio)),
            coverage: trust.and_then(|trust| known(trust.coverage_ratio)),
            skill: trust.and_then(|trust| known(trust.skill_ratio)),
        })
    }
}

impl Accuracy<'_> {
    /// Whether anything of it is known.
    pub fn is_known(&self) -> bool {
        self.error.or(self.coverage).or(self.skill).is_some()
    }
}

/// What happened in one evaluation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counts {
    /// Series with state.
    pub series: usize,
    /// Series still without enough history to be scored.
    pub warming: usize,
    /// Series whose verdict is on.
    pub active: usize,
    /// Of a signal: series that have a value.
    pub valued: usize,
    /// Of those, how many there is an opinion on what was to be expected.
    pub expected: usize,
    /// Values of re-read grid times that had changed.
    pub corrections: usize,
    /// Series of answers for which there was no place under `max_series`.
    pub refused: usize,
    /// Panics caught, by detector or forecaster.
    pub panics: Vec<(&'static str, u64)>,
    /// Failures of forecasters since the evaluation before, by reason; those that never failed are told too.
    pub failures: Vec<(&'static str, FailureReason, u64)>,
    /// Pieces of derivations that were not done between the evaluations, so this one had to do them.
    pub late_pieces: usize,
    /// Derivations that were to be in force from this grid time on and were not done; those before are.
    pub late_refits: usize,
    /// Series whose forecasts were derived so long ago that they are not published.
    pub outdated: usize,
    /// Bytes of state.
    pub state_bytes: usize,
    /// Verdicts that began, below and above the expected value.
    pub begun: [u64; 2],
}
