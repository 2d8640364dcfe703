//! Errors of the new model beside those of the ones it would have to do with, on days that it has not seen.
//!
//! Rolling origins over the held-out part: models of files are asked at each; the program's own forecasters are fitted to
//! what was known then, anew each day, and carried on in between, as they are when they run. An actual value counts where
//! everybody who answers its horizon has an answer, so all are judged by the same values.

use super::{
    LEVELS, Series, Split,
    samples::moments,
    standing::{Share, standings_of},
};
use crate::{
    contract::{Manifest, Model},
    features::View,
    forecast::{Forecasts, ModelFiles, Models, Settings},
    series::{Grid, LocalTime, Millis, Past, Span, Zone},
    stats::season,
};
use rayon::prelude::*;

/// Origins of a series at most; those of a large signal are shared among its series.
const ORIGINS: usize = 256;
/// Series at most, evenly among all: the program's own forecasters take a second to fit.
const MOST_SERIES: usize = 32;
const DAY: Millis = 86_400_000;
/// A deviation of less than this share of the mean is rounding.
const STILL: f64 = 1e-6;
/// What a signal without further words forecasts with.
pub(super) const DEFAULT: &str = "default forecasters";
pub(super) const NAIVE: &str = "seasonal_naive";
const LAST: &str = "last_value";

/// The model in force.
#[derive(Debug, Clone, Copy)]
pub struct Champion<'a> {
    /// Such as `checkout/6`.
    pub name: &'a str,
    /// The network.
    pub model: &'a Model,
}

/// Who is judged, on what.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'a> {
    /// The series, all on `grid`.
    pub series: &'a [Series],
    /// Spacing of their values.
    pub grid: Grid,
    /// Their wall clock and holidays.
    pub local: &'a LocalTime,
    /// Their zone.
    pub zone: &'a Zone,
    /// The part held out is what counts.
    pub split: Split,
    /// How much past the program's own forecasters are given.
    pub history: Span,
    /// How far ahead, shortest first.
    pub horizons: &'a [Span],
    /// The new model, loaded from its file.
    pub model: &'a Model,
    /// What it is called, such as `checkout/7`.
    pub name: &'a str,
    /// The one in force.
    pub champion: Option<Champion<'a>>,
}

/// Everybody's errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// In the order of [`Standing::scores`].
    pub horizons: Vec<Span>,
    /// The new model first, then the one in force, the default forecasters, seasonal naive.
    pub standings: Vec<Standing>,
    /// Series that were looked at, those in which nothing moves left out.
    pub series: usize,
    /// Origins, all series together.
    pub origins: usize,
}

/// The errors of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// What it is called.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// By horizon; `None` where it does not answer that horizon.
    pub scores: Vec<Option<Score>>,
}

/// What somebody is in the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one that was just trained.
    New,
    /// The one in force.
    Champion,
    /// What runs without any model.
    Default,
    /// What every forecast must beat.
    Naive,
}

/// Errors at one horizon, in deviations of each series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Actual values.
    pub count: usize,
    /// Mean absolute error of the median.
    pub mae: f64,
    /// Mean over [`LEVELS`] of twice the pinball loss, which of a single value would be its absolute error; `None` of a model
    /// that has no quantiles.
    pub quantile_loss: Option<f64>,
    /// Sum of absolute errors by the sum of absolute actual values of each series, and of those the mean.
    pub error_ratio: f64,
}

/// Answers of one: [`LEVELS`] by horizon by origin, `NaN` where there are none.
pub(super) struct Answers {
    pub(super) role: Role,
    pub(super) name: String,
    pub(super) has_quantiles: bool,
    pub(super) values: Vec<f32>,
}

/// Compares.
///
/// # Errors
/// The part held out has no origins, or a forecaster cannot be built.
pub fn judge(trial: &Trial<'_>) -> Result<Judged, String> {
    let every = trial.series.len().div_ceil(MOST_SERIES).max(1);
    let chosen: Vec<&Series> = trial.series.iter().step_by(every).collect();
    let steps: Vec<usize> = trial
        .horizons
        .iter()
        .map(|span| trial.grid.steps(span.as_millis()))
        .collect();
    let all: Vec<Origins<'_>> = chosen
        .iter()
        .map(|series| Origins::of(series, trial, &steps))
        .filter(|origins| !origins.places.is_empty())
        .collect();
    if all.is_empty() {
        return Err("the days that are held out have no values".to_owned());
    }
    let all: Vec<Origins<'_>> = all.into_iter().filter(Origins::moves).collect();
    if all.is_empty() {
        return Err("nothing moves in any of the series: there is nothing to judge by".to_owned());
    }
    let shares: Vec<Share> = all.iter().map(Origins::share).collect();
    let origins = shares.iter().map(|share| share.origins).sum();
    let roles = [Role::New, Role::Champion, Role::Default, Role::Naive];
    let standings = roles
        .into_iter()
        .filter(|role| *role != Role::Champion || trial.champion.is_some());
    let mut answers: Vec<Answers> = Vec::new();
    for role in standings {
        let of_series: Result<Vec<Answers>, String> =
            all.par_iter().map(|one| one.answers(role)).collect();
        let mut joined: Option<Answers> = None;
        for own in of_series? {
            match &mut joined {
                Some(joined) => joined.values.extend(own.values),
                None => joined = Some(own),
            }
        }
        answers.extend(joined);
    }
    let actuals: Vec<f32> = all.iter().flat_map(Origins::actuals).collect();
    Ok(Judged {
        horizons: trial.horizons.to_vec(),
        standings: standings_of(&answers, &actuals, steps.len(), &shares),
        series: all.len(),
        origins,
    })
}

/// One series with the places of its origins.
struct Origins<'a> {
    trial: &'a Trial<'a>,
    series: &'a Series,
    steps: Vec<usize>,
    places: Vec<usize>,
}

impl<'a> Origins<'a> {
    fn of(series: &'a Series, trial: &'a Trial<'a>, steps: &[usize]) -> Self {
        let longest = steps.iter().copied().max().unwrap_or(0) as i64;
        let first = (series.place(trial.grid, trial.split.test) - 1).max(0);
        let last = series.values.len() as i64 - 1 - longest;
        let count = usize::try_from(last + 1 - first).unwrap_or(0);
        let places = (first..=last).filter_map(|place| usize::try_from(place).ok());
        Self {
            trial,
            series,
            steps: steps.to_vec(),
            places: places.step_by(count.div_ceil(ORIGINS).max(1)).collect(),
        }
    }

    /// Whether its values differ by more than 32-bit numbers of their size do by chance.
    fn moves(&self) -> bool {
        let (mean, deviation) = moments(&self.series.values);
        deviation > STILL * mean.abs()
    }

    fn share(&self) -> Share {
        Share {
            origins: self.places.len(),
            deviation: moments(&self.series.values).1,
        }
    }

    fn actuals(&self) -> impl Iterator<Item = f32> {
        let values = &self.series.values;
        self.places
            .iter()
            .flat_map(move |place| self.steps.iter().map(move |steps| values[place + steps]))
    }

    fn answers(&self, role: Role) -> Result<Answers, String> {
        let trial = self.trial;
        match (role, trial.champion) {
            (Role::New, _) => Ok(self.of_model(role, trial.name, trial.model)),
            (Role::Champion, Some(champion)) => {
                Ok(self.of_model(role, champion.name, champion.model))
            }
            (Role::Champion | Role::Default, _) => self.of_own(role, DEFAULT, Models::Auto),
            (Role::Naive, _) => {
                let name = self.naive();
                self.of_own(role, name, own(name)?)
            }
        }
    }

    /// Seasonal naive, or the last value where the past is too short for a day.
    fn naive(&self) -> &'static str {
        let first = self.places.first().copied().unwrap_or(0);
        let day = self.trial.grid.steps(DAY);
        if day > 1 && first * 4 >= day * 5 {
            NAIVE
        } else {
            LAST
        }
    }

    fn of_model(&self, role: Role, name: &str, model: &Model) -> Answers {
        let (trial, mut local) = (self.trial, self.trial.local.clone());
        let (mut windows, mut scales) = (Vec::new(), Vec::new());
        for &place in &self.places {
            let from = (place + 1).saturating_sub(model.reach());
            let view = View {
                end: self.series.time(trial.grid, place),
                grid: trial.grid,
                values: &self.series.values[from..=place],
                inputs: &[],
            };
            scales.push(model.ask(&view, &mut local, &mut windows));
        }
        let mut answered = Vec::new();
        model.run(&windows, &mut answered);
        let columns: Vec<Option<[usize; LEVELS.len()]>> = trial
            .horizons
            .iter()
            .map(|&span| columns(model.manifest()?, span))
            .collect();
        let mut rows = answered.chunks_exact(model.answers().max(1));
        let mut values = Vec::new();
        for scale in scales {
            let moves = scale.is_some_and(|scale| scale.factor > 0.0);
            let row = if moves { rows.next() } else { None };
            let sure = row.is_none_or(|row| model.is_sure(row));
            for columns in &columns {
                for level in 0..LEVELS.len() {
                    let value = match (scale, columns) {
                        (Some(scale), Some(columns)) if sure => {
                            scale.shift + scale.factor * row.map_or(0.0, |row| row[columns[level]])
                        }
                        _ => f32::NAN,
                    };
                    values.push(value);
                }
            }
        }
        Answers {
            role,
            name: name.to_owned(),
            has_quantiles: model.manifest().is_some_and(has_quantiles),
            values,
        }
    }

    /// Of the program's own forecasters.
    fn of_own(&self, role: Role, name: &str, models: Models) -> Result<Answers, String> {
        let settings = Settings {
            horizons: Some(self.trial.horizons.to_vec()),
            models,
            ..Settings::default()
        };
        let mut forecasts = Forecasts::build(&settings, self.trial.grid, &ModelFiles::new())?;
        forecasts.grow(1);
        let levels = LEVELS.map(|level| level as f32);
        let mut values = Vec::new();
        let (mut now, mut fitted) = (None, Millis::MIN);
        for &place in &self.places {
            let at = self.series.time(self.trial.grid, place);
            match now {
                Some(before) if at - fitted < DAY => self.carry(&mut forecasts, before, place),
                _ => {
                    self.fit(&mut forecasts, place);
                    fitted = at;
                }
            }
            now = Some(place);
            let mut row = vec![f32::NAN; self.steps.len() * levels.len()];
            forecasts.quantiles(0, &levels, &mut row);
            values.extend(row);
        }
        Ok(Answers {
            role,
            name: name.to_owned(),
            has_quantiles: true,
            values,
        })
    }

    fn fit(&self, forecasts: &mut Forecasts, place: usize) {
        let (trial, values) = (self.trial, &self.series.values);
        let history = trial.grid.steps(trial.history.as_millis()).max(1);
        let known = &values[(place + 1).saturating_sub(history)..=place];
        let mut seasons = season::detect(known, trial.grid);
        if seasons.is_empty() {
            // What does not show a season may still be like the day before.
            seasons.extend(Some(trial.grid.steps(DAY)).filter(|&day| day > 1));
        }
        forecasts.rebuild(
            0,
            &Past {
                end: self.series.time(trial.grid, place),
                grid: trial.grid,
                values: known,
                seasons: &seasons,
                zone: trial.zone,
            },
        );
    }

    fn carry(&self, forecasts: &mut Forecasts, from: usize, to: usize) {
        for place in from + 1..=to {
            let value = &self.series.values[place..=place];
            forecasts.step(self.series.time(self.trial.grid, place), &[0], value);
        }
    }
}

/// A forecaster of our own, alone.
fn own(kind: &str) -> Result<Models, String> {
    let text = format!("{kind}: {{}}");
    let read = serde_yaml::Deserializer::from_str(&text);
    let settings = serde_yaml::with::singleton_map_recursive::deserialize(read);
    let settings = settings.map_err(|error| format!("{kind}: {error}"))?;
    Ok(Models::Given(vec![settings]))
}

/// Where in an answer the [`LEVELS`] of a horizon are: the median for all of them where the model does not have them.
fn columns(manifest: &Manifest, horizon: Span) -> Option<[usize; LEVELS.len()]> {
    let mut from = 0;
    for head in &manifest.outputs.heads {
        let count = head.per_horizon();
        if let Some(place) = head.horizons.iter().position(|&one| one == horizon) {
            let own = head.quantiles.as_deref().unwrap_or_default();
            let of = |level: f64| own.iter().position(|&one| one == level);
            let at = |level| from + place * count + of(level).unwrap_or_else(|| head.median());
            return Some(LEVELS.map(at));
        }
        from += count * head.horizons.len();
    }
    None
}

fn has_quantiles(manifest: &Manifest) -> bool {
    manifest.outputs.heads.iter().all(|head| {
        let own = head.quantiles.as_deref().unwrap_or_default();
        LEVELS.iter().all(|level| own.contains(level))
    })
}
