//! What follows from a signal's settings, worked out once and shared by its shards.

use super::{epoch::Epochs, exclude::Exclusions, restraint::Leniency};
use crate::{
    baseline::{self, Band, Baseline},
    detect::{self, Detector, Onsets, Scope, Verdicts},
    engine::{
        outcome::Horizon,
        settings::{Calendars, Emit, Seasonality, SignalSettings, SizeClass, calendar_of},
    },
    expo,
    forecast::{Forecasts, Kept, ModelFiles, Occasions},
    promql::bare_counter,
    quality::{Checks, Memory},
    series::{Grid, Labels, LocalTime, Millis, Past, Span, Zone},
    stats,
};
use std::{borrow::Cow, sync::Arc};

/// Up to so many series `class: auto` keeps the whole history of each (about 2 GB at three weeks of
/// one minute); above, constant-size state.
pub const DEEP_SERIES: usize = 10_000;

const DAY: Millis = 86_400_000;
/// The score of a value outside the configured range: the last warning before critical.
const IMPOSSIBLE_SCORE: f32 = 1.5;

/// What is the same for every unit of a process.
#[derive(Debug, Clone, Default)]
pub struct UnitOptions {
    /// The value of the label `forethought_replica` on everything published.
    pub replica: Option<String>,
    /// The calendars that signals name.
    pub calendars: Calendars,
    /// Whether other processes carry series of the same groups, so that nothing can be said of the groups here.
    pub torn_groups: bool,
    /// How much a step after the start does of what should have been done before it, in walks of some thousand steps;
    /// `None`: all of it, as looking back does, so that its numbers are always the same.
    pub late_work: Option<usize>,
}

impl UnitOptions {
    /// About a quarter of a second, where the default models are derived from three weeks of minutes.
    pub const LATE_WORK: usize = 64;
}

/// What follows from a signal's settings.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) name: Arc<str>,
    pub(super) grid: Grid,
    pub(super) epochs: Epochs,
    pub(super) deep: bool,
    pub(super) emit: Emit,
    /// Whether outcomes have only the series that are shown.
    pub(super) sparse: bool,
    pub(super) max_series: usize,
    /// See [`UnitOptions::late_work`].
    pub(super) late_work: Option<usize>,
    /// Steps after the epoch of a forecast that it is served.
    pub(super) forecast_age: i64,
    pub(super) horizons: Arc<[Horizon]>,
    /// Of which the greatest value is forecast.
    pub(super) windows: Arc<[Horizon]>,
    /// Which of them are published; the others only workloads want.
    pub(super) shown_windows: Vec<bool>,
    /// Levels of the quantiles of it that somebody scales by.
    pub(super) levels: Arc<[f32]>,
    pub(super) detectors: Vec<detect::Settings>,
    combine: detect::Combine,
    pub(super) detector_scores: bool,
    pub(super) sustained_scores: bool,
    pub(super) group_by: Arc<[String]>,
    pub(super) replica: Option<String>,
    /// See [`UnitOptions::torn_groups`].
    pub(super) torn_groups: bool,
    pub(super) exclusions: Exclusions,
    baseline: baseline::Settings,
    alerting: detect::AlertingSettings,
    severity: detect::SeverityThresholds,
    forecast: crate::forecast::Settings,
    models: ModelFiles,
    seasons: Option<Vec<usize>>,
    zone: Zone,
    /// The same with holidays.
    local: LocalTime,
    /// What values are held against before they are learned from.
    pub(super) checks: Checks,
}

impl Plan {
    /// # Errors
    /// A sentence on what in the settings cannot be: the step, the time zone, a calendar, a model file.
    pub(super) fn new(
        settings: &SignalSettings,
        options: &UnitOptions,
        models: &ModelFiles,
    ) -> Result<Self, String> {
        let grid = Grid::new(settings.step.as_millis())
            .ok_or_else(|| format!("step {} is not positive", settings.step))?;
        let deep = settings.size_class() == SizeClass::Deep;
        let seasons = match &settings.seasonality {
            Seasonality::Auto => None,
            Seasonality::Given(spans) => Some(
                spans
                    .iter()
                    .map(|span| grid.steps(span.as_millis()))
                    .collect(),
            ),
        };
        let mut forecast = settings.forecast();
        let horizon = |&span: &Span| Horizon {
            span,
            steps: grid.steps(span.as_millis()),
        };
        let horizons = forecast.horizons().iter().map(horizon).collect();
        let windows: Arc<[Horizon]> = forecast.all_windows().iter().map(horizon).collect();
        let is_shown = |window: &Horizon| forecast.windows.contains(&window.span);
        let windows = if deep && !forecast.horizons().is_empty() {
            windows
        } else {
            Arc::new([])
        };
        let shown_windows = windows.iter().map(is_shown).collect();
        let levels = forecast.levels.iter().copied();
        let levels = levels.filter(|_| !windows.is_empty()).collect();
        let mut detectors = settings.detectors();
        for detector in &mut detectors {
            detector.load(models)?;
        }
        let zone = settings
            .timezone
            .as_deref()
            .map_or(Ok(Zone::default()), Zone::named)?;
        let named = |names: &[String]| -> Result<Vec<_>, String> {
            let named = names.iter();
            named
                .map(|name| calendar_of(&options.calendars, name))
                .collect()
        };
        let holidays = named(&settings.holidays)?;
        let events = named(&settings.forecast.events)?;
        let local = LocalTime::new(zone.clone(), holidays.clone());
        forecast.models.set_local(&local);
        forecast.occasions = Occasions::new(holidays.into_iter().chain(events));
        let epochs = Epochs::new(settings.history().as_millis(), grid);
        forecast.models.set_kept(Kept {
            values: epochs.memory,
            history_for: Epochs::history_for,
        });
        let kinds: Vec<&str> = detectors.iter().map(detect::Settings::kind).collect();
        let max_age = forecast.max_age.map(|age| grid.steps(age.as_millis()));
        let plan = Self {
            combine: settings.combine.for_members(&kinds),
            name: settings.name.as_str().into(),
            grid,
            epochs,
            late_work: options.late_work,
            forecast_age: max_age.unwrap_or(epochs.forecast_age()) as i64,
            deep,
            emit: settings.emit,
            sparse: !deep && settings.emit == Emit::Anomalous && settings.shown_only,
            max_series: settings.max_series,
            horizons: if deep { horizons } else { Arc::new([]) },
            windows,
            shown_windows,
            levels,
            detectors,
            detector_scores: settings.detector_scores,
            sustained_scores: settings.sustained_scores,
            group_by: settings.group_by.as_slice().into(),
            replica: options.replica.clone(),
            torn_groups: options.torn_groups,
            exclusions: Exclusions::new(&settings.exclude, &options.calendars)?,
            baseline: settings.baseline.clone(),
            alerting: settings.alerting(),
            severity: settings.severity.clone(),
            forecast,
            models: models.clone(),
            seasons,
            zone,
            local,
            checks: checks(settings, deep.then_some(epochs), grid),
        };
        plan.forecasts()?;
        Ok(plan)
    }

    pub(super) fn baseline(&self) -> Box<dyn Baseline> {
        if self.deep {
            return self.baseline.build(self.grid);
        }
        match &self.baseline {
            baseline::Settings::Wide(own) => own.build(self.grid),
            _ => baseline::wide::Settings::default().build(self.grid),
        }
    }

    /// A new detector of the configured list.
    pub(super) fn detector(&self, index: usize) -> Box<dyn Detector> {
        self.detectors[index].build_local(self.grid, &self.local)
    }

    /// The positions in the configured list of the detectors with this scope.
    pub(super) fn scoped(&self, scope: Scope) -> Vec<usize> {
        (0..self.detectors.len())
            .filter(|&index| self.detector(index).scope() == scope)
            .collect()
    }

    /// Reaches no further back than what every restart replays.
    pub(super) fn onsets(&self) -> Onsets {
        Onsets::new(2 * self.epochs.refit)
    }

    pub(super) fn verdicts(&self) -> Verdicts {
        // A wide series has no epochs, so nothing of its judged past is kept.
        let memory = if self.deep { self.epochs.refit } else { 0 };
        Verdicts::new(&self.alerting, &self.severity, self.grid, memory)
    }

    /// The verdicts while which nothing is learned, derived from no more than one step.
    pub(super) fn incidents(&self) -> Verdicts {
        let settings = self.alerting.for_learning();
        Verdicts::new(&settings, &self.severity, self.grid, 1)
    }

    /// The verdicts that spend the budget, derived from no more than one step.
    pub(super) fn alarms(&self) -> Verdicts {
        Verdicts::new(&self.alerting, &self.severity, self.grid, 1)
    }

    pub(super) fn budget(&self) -> Option<detect::Budget> {
        self.alerting.budget
    }

    /// Steps that learning is held back while a verdict is on.
    pub(super) fn adapt_after(&self) -> u32 {
        let span = self.alerting.adapt_after(self.grid);
        u32::try_from(self.grid.steps_up(span.as_millis())).unwrap_or(u32::MAX)
    }

    /// The scores of the detectors as one, made milder. A value that cannot be is anomalous whatever they are.
    pub(super) fn combined(
        &self,
        scores: &[&[f32]],
        values: &[f32],
        bands: &[Band],
        lenient: &[Leniency],
        out: &mut [f32],
    ) {
        self.combine.apply(scores, out);
        for (index, score) in out.iter_mut().enumerate() {
            *score = lenient[index].apply(*score, values[index], &bands[index]);
        }
        for (score, &value) in out.iter_mut().zip(values) {
            if value.is_finite() && !self.checks.bounds.allow(value) {
                *score = score.max(IMPOSSIBLE_SCORE);
            }
        }
    }

    /// `None` where nothing is forecast.
    ///
    /// # Errors
    /// A model file that is missing or cannot be used.
    pub(super) fn forecasts(&self) -> Result<Option<Forecasts>, String> {
        if self.horizons.is_empty() {
            return Ok(None);
        }
        Forecasts::build(&self.forecast, self.grid, &self.models).map(Some)
    }

    /// Whether series are judged later than they could be.
    pub(super) fn warms_up(&self) -> bool {
        self.alerting.warm_up_seasons > 0.0
    }

    /// Steps a series with these seasons must have shown before it is judged. What a restart reads is
    /// always enough.
    pub(super) fn warm_up(&self, seasons: &[usize]) -> i64 {
        let longest = seasons.iter().copied().max();
        let season = longest.unwrap_or_else(|| self.grid.steps(DAY));
        let steps = (self.alerting.warm_up_seasons * season as f64).ceil();
        (steps as i64).min(self.epochs.memory as i64)
    }

    /// Season lengths in steps of a series with this past.
    pub(super) fn seasons(&self, values: &[f32]) -> Vec<usize> {
        match &self.seasons {
            None => stats::season::detect(values, self.grid),
            Some(given) => given
                .iter()
                .copied()
                .filter(|&season| values.len() >= 2 * season)
                .collect(),
        }
    }

    pub(super) fn past<'a>(
        &'a self,
        end: Millis,
        values: &'a [f32],
        seasons: &'a [usize],
    ) -> Past<'a> {
        Past {
            end,
            grid: self.grid,
            values,
            seasons,
            zone: &self.zone,
        }
    }

    /// The values of one grid time as what learns from them sees them.
    pub(super) fn learnable<'v>(&self, at: Millis, values: &'v [f32]) -> Cow<'v, [f32]> {
        if self.exclusions.not_learned(at) {
            return Cow::Owned(vec![f32::NAN; values.len()]);
        }
        Cow::Borrowed(values)
    }

    /// The nearest value that can be; `NaN` stays.
    pub(super) fn clip(&self, value: f32) -> f32 {
        self.checks.bounds.clip(value)
    }

    /// The labels published for a series: its own, renamed where they look like ours, and the replica.
    pub(super) fn published(&self, labels: &Labels) -> Vec<(String, String)> {
        let mut pairs: Vec<(String, String)> = labels
            .iter()
            .map(|(name, value)| {
                (
                    expo::names::published_label_name(name).into_owned(),
                    value.to_owned(),
                )
            })
            .collect();
        if let Some(replica) = &self.replica {
            pairs.push(("forethought_replica".into(), replica.clone()));
        }
        pairs
    }
}

/// `epochs`: `None` of the class `wide`, which has no past.
fn checks(settings: &SignalSettings, epochs: Option<Epochs>, grid: Grid) -> Checks {
    let memory = epochs.map(|epochs| Memory {
        steps: epochs.memory,
        step: grid.step(),
    });
    let is_counter = bare_counter(&settings.query).is_some();
    Checks::new(&settings.quality, settings.bounds(), memory, is_counter)
}
