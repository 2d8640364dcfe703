//! What is forecast of a signal, as written in configuration.

use super::{KINDS, ModelSettings, Occasions, lanes::window_problems, renewal};
use crate::series::{Grid, Span};
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// A week of minutes: pending forecasts and seasonal memory stay bounded.
const LONGEST_STEPS: usize = 10_080;
/// More horizons than this are a mistake: each costs memory, time and three published series.
const MOST_HORIZONS: usize = 16;

/// Forecasts are calibrated on the newer half of a past: with less than two horizons of it none would come due there.
const PASTS_PER_HORIZON: usize = 2;

/// What a person on call, a scaler and a planner look at.
const USUAL_HORIZONS: [Span; 3] = [Span::minutes(15), Span::minutes(60), Span::days(1)];

/// What is forecast of a signal.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How far ahead, each one published under its own `horizon` label. Empty: nothing is forecast. Left
    /// out: of the usual ones what fits, see [`Settings::fitted`].
    pub horizons: Option<Vec<Span>>,
    /// Share of actual values that shall fall inside the interval.
    pub interval: f64,
    /// Which forecasters.
    pub models: Models,
    /// Windows from now on, of which the greatest value is forecast, as scaling asks for it.
    pub windows: Vec<Span>,
    /// Further windows of which those who scale want to know, unpublished; see [`Settings::all_windows`].
    #[serde(skip)]
    pub scaled: Vec<Span>,
    /// Levels, 0 to 1, of the quantiles of that greatest value that are kept up for those who scale by it.
    #[serde(skip)]
    pub levels: Vec<f32>,
    /// When a trained model of this signal is trained anew; never by the process where left out.
    pub train: Option<renewal::Settings>,
    /// A forecast is served for so long after the epoch it was derived at; left out: for three epochs.
    pub max_age: Option<Span>,
    /// A series is forecast when so much of its past is known, whatever the horizon: the signal's `history.min`.
    #[serde(skip)]
    pub least_past: Option<Span>,
    /// Names of the calendars whose times move a series, in the past and in the future.
    pub events: Vec<String>,
    /// Those calendars, and the holidays of the signal.
    #[serde(skip)]
    pub occasions: Occasions,
}

/// Which forecasters: the word `auto`, or a list of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Models {
    /// Those without files and fine tuning; per series and horizon the best of them.
    #[default]
    Auto,
    /// These; per series and horizon the best of them.
    Given(Vec<ModelSettings>),
}

impl Models {
    /// Whether one of them is compared with another version.
    fn has_challenger(&self) -> bool {
        let Self::Given(models) = self else {
            return false;
        };
        let mut models = models.iter();
        models.any(|model| matches!(model, ModelSettings::Onnx(onnx) if onnx.challenger.is_some()))
    }
}

impl Default for Settings {
    /// The usual horizons; nine out of ten values inside.
    fn default() -> Self {
        Self {
            horizons: None,
            interval: 0.9,
            models: Models::Auto,
            windows: Vec::new(),
            scaled: Vec::new(),
            levels: Vec::new(),
            train: None,
            max_age: None,
            least_past: None,
            events: Vec::new(),
            occasions: Occasions::default(),
        }
    }
}

impl Settings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if !(0.5..=0.99).contains(&self.interval) {
            let text = format!("{} is not within 0.5 to 0.99", self.interval);
            problems.push(("interval".to_owned(), text));
        }
        let count = self.horizons().len();
        if count > MOST_HORIZONS {
            let text = format!("{count} horizons; at most {MOST_HORIZONS}");
            problems.push(("horizons".to_owned(), text));
        }
        self.validate_order(&mut problems);
        problems.extend(window_problems(&self.windows, None));
        if let Models::Given(models) = &self.models {
            validate_models(models, &mut problems);
        }
        for (field, text) in self.train.iter().flat_map(renewal::Settings::validate) {
            problems.push((format!("train.{field}"), text));
        }
        let promotes = self
            .train
            .as_ref()
            .is_some_and(|train| train.promote.is_some());
        if promotes && !self.models.has_challenger() {
            let text = "compares a challenger, and there is none; add `onnx: {model: NAME, challenger: newest}` to models";
            problems.push(("train.promote".to_owned(), text.to_owned()));
        }
        problems
    }

    /// The horizons: those given, or the usual ones.
    pub fn horizons(&self) -> &[Span] {
        self.horizons.as_deref().unwrap_or(&USUAL_HORIZONS)
    }

    /// These settings with the horizons written out. Where they were left out, each of the usual ones is
    /// rounded up to a whole step of `grid`, and those over `longest` are dropped: what a person did not
    /// write must not be what is wrong.
    pub fn fitted(&self, grid: Grid, longest: Span) -> Self {
        let given = self.horizons.clone();
        Self {
            horizons: Some(given.unwrap_or_else(|| usual_on(grid, longest))),
            ..self.clone()
        }
    }

    /// The windows that are published and those that workloads scale by, shortest first, each once.
    pub fn all_windows(&self) -> Vec<Span> {
        let mut windows = [self.windows.as_slice(), &self.scaled].concat();
        windows.sort_unstable();
        windows.dedup();
        windows
    }

    /// The horizons in steps of `grid`.
    ///
    /// # Errors
    /// Every horizon that `grid` does not have, as (field, what is wrong and what is allowed).
    pub fn horizon_steps(&self, grid: Grid) -> Result<Vec<usize>, Vec<(String, String)>> {
        let mut problems = Vec::new();
        let mut steps = Vec::new();
        for (index, span) in self.horizons().iter().enumerate() {
            match steps_of(*span, grid) {
                Ok(count) => steps.push(count),
                Err(text) => problems.push((format!("horizons[{index}]"), text)),
            }
        }
        if problems.is_empty() {
            problems = window_problems(&self.windows, Some(grid));
        }
        if problems.is_empty() {
            Ok(steps)
        } else {
            Err(problems)
        }
    }

    /// Values that must be known before something is forecast `steps` ahead: `history.min`, and twice the horizon, once
    /// to learn from and once to be judged on. What is missing does not count.
    pub(super) fn least_known(&self, grid: Grid, steps: usize) -> usize {
        let least = self
            .least_past
            .map_or(0, |span| grid.steps_up(span.as_millis()));
        least.max(PASTS_PER_HORIZON * steps)
    }

    /// Makes relative model files relative to `directory`, that of the configuration file.
    pub fn set_directory(&mut self, directory: &Path) {
        let Models::Given(models) = &mut self.models else {
            return;
        };
        for model in models {
            if let ModelSettings::Onnx(settings) = model {
                settings.set_directory(directory);
            }
        }
    }

    /// The model files that must be read before [`super::Forecasts::build`].
    pub fn model_paths(&self) -> Vec<PathBuf> {
        match &self.models {
            Models::Auto => Vec::new(),
            Models::Given(models) => models.iter().flat_map(ModelSettings::paths).collect(),
        }
    }

    /// The files that are named, with the keys that name them.
    pub fn files(&self) -> Vec<(String, PathBuf)> {
        let Models::Given(models) = &self.models else {
            return Vec::new();
        };
        let models = models.iter().enumerate();
        let files = models.flat_map(|(index, model)| model.named_files(index));
        files.collect()
    }

    /// The forecasters that will run.
    pub(super) fn members(&self) -> Vec<ModelSettings> {
        let mut models = match &self.models {
            Models::Auto if self.windows.is_empty() && self.scaled.is_empty() => super::auto(),
            Models::Auto => [super::auto(), vec![super::auto_of_maxima()]].concat(),
            Models::Given(models) => models.clone(),
        };
        for model in &mut models {
            let own = match model {
                ModelSettings::Harmonic(settings) => &mut settings.occasions,
                ModelSettings::LagRegression(settings) => &mut settings.occasions,
                ModelSettings::Prophet(settings) => &mut settings.occasions,
                _ => continue,
            };
            own.clone_from(&self.occasions);
        }
        models
    }

    fn validate_order(&self, problems: &mut Vec<(String, String)>) {
        let horizons = self.horizons();
        for (index, span) in horizons.iter().enumerate() {
            let field = format!("horizons[{index}]");
            if span.as_millis() <= 0 {
                problems.push((field, "must be longer than 0s".to_owned()));
            } else if index > 0 && *span <= horizons[index - 1] {
                let text = format!(
                    "{span} is not longer than {} before it; write them shortest first, each once",
                    horizons[index - 1]
                );
                problems.push((field, text));
            }
        }
    }
}

/// The usual horizons that `grid` has and that are not over `longest`, each once.
fn usual_on(grid: Grid, longest: Span) -> Vec<Span> {
    let mut horizons: Vec<Span> = Vec::new();
    for usual in USUAL_HORIZONS {
        let steps = grid.steps_up(usual.as_millis());
        let horizon = Span::millis(grid.step() * steps as i64);
        if steps <= LONGEST_STEPS && horizon <= longest && !horizons.contains(&horizon) {
            horizons.push(horizon);
        }
    }
    horizons
}

fn validate_models(models: &[ModelSettings], problems: &mut Vec<(String, String)>) {
    if models.is_empty() {
        let text = format!("an empty list; write auto, or some of {}", KINDS.join(", "));
        problems.push(("models".to_owned(), text));
    }
    for (index, model) in models.iter().enumerate() {
        let kind = model.kind();
        for (field, text) in model.validate() {
            problems.push((format!("models[{index}].{kind}.{field}"), text));
        }
        if models[..index].contains(model) {
            let text = format!("{kind} is listed twice with the same settings");
            problems.push((format!("models[{index}]"), text));
        }
    }
}

fn steps_of(span: Span, grid: Grid) -> Result<usize, String> {
    let step = Span::millis(grid.step());
    if span.as_millis() % grid.step() != 0 || span.as_millis() <= 0 {
        return Err(format!("{span} is not a whole number of steps of {step}"));
    }
    let steps = grid.steps(span.as_millis());
    if steps > LONGEST_STEPS {
        let longest = Span::millis(grid.step() * LONGEST_STEPS as i64);
        return Err(format!(
            "{span} is too long; at a step of {step} at most {longest}"
        ));
    }
    Ok(steps)
}

impl<'de> Deserialize<'de> for Models {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ModelsVisitor)
    }
}

struct ModelsVisitor;

impl<'de> Visitor<'de> for ModelsVisitor {
    type Value = Models;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`auto` or a list of models, each one of {}",
            KINDS.join(", ")
        )
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Models, E> {
        if word == "auto" {
            return Ok(Models::Auto);
        }
        Err(E::invalid_value(de::Unexpected::Str(word), &self))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Models, A::Error> {
        let mut models = Vec::new();
        while let Some(model) = items.next_element()? {
            models.push(model);
        }
        Ok(Models::Given(models))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        let value = serde_yaml::Deserializer::from_str(text);
        serde_yaml::with::singleton_map_recursive::deserialize(value)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn reads_what_a_person_writes() {
        let settings =
            read("{horizons: [5m, 2h], models: [last_value: {}, seasonal_naive: {}]}").unwrap();
        assert_eq!(settings.horizons(), [Span::minutes(5), Span::minutes(120)]);
        assert_eq!(settings.interval, 0.9);
        let Models::Given(models) = &settings.models else {
            panic!("{settings:?}")
        };
        assert_eq!(models[1].kind(), "seasonal_naive");
        assert!(settings.validate().is_empty());
        assert_eq!(read("{models: auto}").unwrap(), Settings::default());
    }

    #[test]
    fn says_what_is_wrong_and_what_is_allowed() {
        for (text, part) in [
            ("{models: best}", "`auto` or a list of models"),
            ("{models: [prophecy: {}]}", "last_value"),
            ("{models: [last_value: {speed: 1}]}", "speed"),
            ("{horizon: 1h}", "horizons"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        let bad = read("{horizons: [1h, 5m], interval: 90, models: []}").unwrap();
        let fields: Vec<String> = bad.validate().into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["interval", "horizons[1]", "models"]);
    }

    #[test]
    fn a_horizon_is_a_whole_number_of_steps() {
        let settings = Settings::default();
        let minute = Grid::new(60_000).unwrap();
        assert_eq!(settings.horizon_steps(minute), Ok(vec![15, 60, 1_440]));
        let hour = Grid::new(3_600_000).unwrap();
        let problems = settings.horizon_steps(hour).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].0, "horizons[0]");
        let second = Grid::new(1_000).unwrap();
        assert!(
            settings.horizon_steps(second).unwrap_err()[0]
                .1
                .contains("at most")
        );
    }

    #[test]
    fn horizons_left_out_fit_step_and_history() {
        let minute = 60_000;
        for (step, longest, expected) in [
            (minute, Span::days(7), "15m 1h 24h"),
            (7 * minute, Span::days(7), "21m 1h3m 24h2m"),
            (60 * minute, Span::days(7), "1h 24h"),
            (minute, Span::minutes(300), "15m 1h"),
            (minute, Span::minutes(42), "15m"),
            (minute, Span::minutes(14), ""),
            (1_000, Span::days(7), "15m 1h"),
        ] {
            let grid = Grid::new(step).unwrap();
            let fitted = Settings::default().fitted(grid, longest);
            let shown: Vec<String> = fitted.horizons().iter().map(Span::to_string).collect();
            assert_eq!(shown.join(" "), expected, "step {step}, up to {longest}");
            assert!(fitted.horizon_steps(grid).is_ok() && fitted.validate().is_empty());
        }
        let written = read("{horizons: [90s]}").unwrap();
        let grid = Grid::new(minute).unwrap();
        assert_eq!(written.fitted(grid, Span::days(7)), written);
    }
}
