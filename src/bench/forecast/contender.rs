//! What is compared: the default ensemble, every member alone, and the two naive forecasts with which the
//! reference begins.

use super::score::LEVELS;
use crate::{
    forecast::{Forecasts, KINDS, ModelFiles, ModelSettings, Models, Settings},
    series::{Grid, Millis, Past, Span, Zone},
    stats::season,
};

/// A way of forecasting.
#[derive(Debug, Clone)]
pub struct Contender {
    /// Kind of the member, or `default`.
    pub name: String,
    models: Models,
}

/// An ensemble of the models in `text`, a list as under `forecast.models` in the configuration.
///
/// # Errors
/// What cannot be read or cannot be.
pub fn given(text: &str) -> Result<Contender, String> {
    let read = serde_yaml::Deserializer::from_str(text);
    let models: Models = serde_yaml::with::singleton_map_recursive::deserialize(read)
        .map_err(|error| format!("--models: {error}"))?;
    let settings = Settings {
        models: models.clone(),
        ..Settings::default()
    };
    if let Some((field, problem)) = settings.validate().first() {
        return Err(format!("--models: {field}: {problem}"));
    }
    if !settings.model_paths().is_empty() {
        return Err("--models: a model that needs a file cannot be judged here".to_owned());
    }
    Ok(Contender {
        name: "given".to_owned(),
        models,
    })
}

/// Those that are named in `only`; all where it is empty.
///
/// # Errors
/// A name that is none, and which there are.
pub fn contenders(only: &[String]) -> Result<Vec<Contender>, String> {
    let default = Contender {
        name: "default".to_owned(),
        models: Models::Auto,
    };
    let alone = KINDS.iter().filter_map(|kind| {
        let text = format!("{kind}: {{}}");
        let read = serde_yaml::Deserializer::from_str(&text);
        // Those that need a file are no contenders of their own.
        let settings: ModelSettings =
            serde_yaml::with::singleton_map_recursive::deserialize(read).ok()?;
        settings.validate().is_empty().then_some(())?;
        Some(Contender {
            name: (*kind).to_owned(),
            models: Models::Given(vec![settings]),
        })
    });
    let mut all: Vec<Contender> = std::iter::once(default).chain(alone).collect();
    if let Some(unknown) = only
        .iter()
        .find(|name| !all.iter().any(|one| one.name == **name))
    {
        let known: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
        return Err(format!(
            "--only: {unknown:?} is not compared; allowed: {}",
            known.join(", ")
        ));
    }
    all.retain(|one| only.is_empty() || only.contains(&one.name));
    Ok(all)
}

impl Contender {
    /// Forecasts that know nothing yet, at every horizon up to `longest` steps or at `horizons` alone.
    pub fn forecasts(&self, grid: Grid, horizons: &[usize]) -> Result<Forecasts, String> {
        self.forecasts_with(grid, horizons, &[])
    }

    /// The same, of the greatest value within `windows` steps too.
    pub fn forecasts_with(
        &self,
        grid: Grid,
        horizons: &[usize],
        windows: &[usize],
    ) -> Result<Forecasts, String> {
        let span = |steps: &usize| Span::millis(*steps as i64 * grid.step());
        let settings = Settings {
            horizons: Some(horizons.iter().map(span).collect()),
            windows: windows.iter().map(span).collect(),
            models: self.models.clone(),
            ..Settings::default()
        };
        let mut forecasts = Forecasts::build(&settings, grid, &ModelFiles::new())?;
        forecasts.grow(1);
        Ok(forecasts)
    }

    /// [`LEVELS`] of each of the `steps` values after a history whose newest value is at `end`.
    ///
    /// # Errors
    /// A member that cannot be built.
    pub fn path(
        &self,
        history: &[f32],
        end: Millis,
        grid: Grid,
        steps: usize,
    ) -> Result<Vec<f32>, String> {
        let horizons: Vec<usize> = (1..=steps).collect();
        let mut forecasts = self.forecasts(grid, &horizons)?;
        rebuild(&mut forecasts, history, end, grid);
        let mut out = vec![f32::NAN; steps * LEVELS.len()];
        forecasts.quantiles(0, &LEVELS, &mut out);
        Ok(out)
    }
}

/// Fits to a history whose newest value is at `end`, from nothing, its seasons included.
pub fn rebuild(forecasts: &mut Forecasts, history: &[f32], end: Millis, grid: Grid) {
    let seasons = season::detect(history, grid);
    let zone = Zone::default();
    let past = Past {
        end,
        grid,
        values: history,
        seasons: &seasons,
        zone: &zone,
    };
    forecasts.rebuild(0, &past);
}
