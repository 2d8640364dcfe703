//! What can be set of a training.

use crate::{
    features::{FeatureSet, LONGEST_LOOKBACK},
    series::{Grid, Span},
};

/// Rows of a window where nobody says: an hour of minutes.
const WINDOW: usize = 60;
/// Rows of a window at most: the first layer grows with them.
const LONGEST_WINDOW: usize = 1_440;
const EPOCHS: usize = 40;
/// Trees are small and many: on some series they still get better where networks have long stopped.
const EPOCHS_OF_TREES: usize = 80;
const DAY: Span = Span::days(1);
const WEEK: Span = Span::days(7);
/// A feature looks back this share of the past at most: origins before that have nothing to look at.
const SHARE: i64 = 6;

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// A multilayer perceptron over the whole window.
    #[default]
    Mlp,
    /// A recurrent network that takes the window row by row.
    Lstm,
    /// Gradient-boosted trees over the newest row.
    Trees,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Mlp, Self::Lstm, Self::Trees];

    /// Epochs at most, where nobody says.
    pub fn epochs(self) -> usize {
        match self {
            Self::Mlp | Self::Lstm => EPOCHS,
            Self::Trees => EPOCHS_OF_TREES,
        }
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mlp => "mlp",
            Self::Lstm => "lstm",
            Self::Trees => "trees",
        }
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is not allowed; allowed: mlp, lstm, trees"))
    }
}

/// What can be set.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What is trained.
    pub network: Kind,
    /// The columns of a window, by their names in [`crate::features`]; the first is `value`.
    pub features: Vec<String>,
    /// Rows of a window.
    pub window: usize,
    /// How far ahead, shortest first.
    pub horizons: Vec<Span>,
    /// Epochs at most: it stops where validation gets no better. Of trees an epoch is five for each quantile.
    pub epochs: usize,
    /// What all randomness follows from.
    pub seed: u64,
}

impl Settings {
    /// The usual settings for these features and horizons.
    pub fn new(features: Vec<String>, horizons: Vec<Span>) -> Self {
        Self {
            network: Kind::default(),
            features,
            window: WINDOW,
            horizons,
            epochs: EPOCHS,
            seed: 1,
        }
    }

    /// The features, for series on `grid`.
    ///
    /// # Errors
    /// What is not allowed, with the name of the setting.
    pub fn features(&self, grid: Grid) -> Result<FeatureSet, String> {
        let features = FeatureSet::new(&self.features, grid).map_err(|problems| {
            let texts: Vec<String> = problems.into_iter().map(|(_, text)| text).collect();
            format!("features: {}", texts.join("; "))
        })?;
        if let Some(input) = features.inputs().next() {
            return Err(format!(
                "features: input:{input} is another series, and a signal has none; leave it out"
            ));
        }
        Ok(features)
    }

    /// The horizons in steps.
    ///
    /// # Errors
    /// What is not allowed, with the name of the setting; also of the window and the epochs.
    pub fn steps(&self, grid: Grid) -> Result<Vec<usize>, String> {
        if !(2..=LONGEST_WINDOW).contains(&self.window) {
            let window = self.window;
            return Err(format!(
                "window: {window} is not within 2 to {LONGEST_WINDOW}"
            ));
        }
        if self.epochs == 0 {
            return Err("epochs: must be at least 1".to_owned());
        }
        if self.horizons.is_empty() {
            return Err("horizons: none is asked for".to_owned());
        }
        if !self.horizons.is_sorted_by(|one, next| one < next) {
            return Err("horizons: write them shortest first, each once".to_owned());
        }
        let steps = |span: &Span| {
            let whole = span.as_millis() > 0 && span.as_millis() % grid.step() == 0;
            let step = Span::millis(grid.step());
            let problem = || format!("horizons: {span} is not a whole number of steps of {step}");
            whole
                .then(|| grid.steps(span.as_millis()))
                .ok_or_else(problem)
        };
        self.horizons.iter().map(steps).collect()
    }
}

/// The features of a series where nobody says: the value, the wall clock in waves, its hour, and what it was a whole number of
/// days, and of weeks where the past is long enough, before each of `horizons`. `span` is how long the past is, `most` how many
/// steps a feature may look back at most.
pub fn usual_features(
    grid: Grid,
    horizons: &[Span],
    span: Span,
    most: usize,
    has_holidays: bool,
) -> Vec<String> {
    let most = most.min(LONGEST_LOOKBACK);
    let mut features = vec!["value".to_owned()];
    if grid.step() < DAY.as_millis() {
        for harmonic in 1..=3 {
            features.push(format!("day_sin_{harmonic}"));
            features.push(format!("day_cos_{harmonic}"));
        }
    }
    features.extend(["week_sin_1", "week_cos_1", "weekend"].map(str::to_owned));
    if has_holidays {
        features.push("holiday".to_owned());
    }
    let hour = Span::minutes(60);
    if hour.as_millis() % grid.step() == 0
        && grid.steps(hour.as_millis()) > 2
        && grid.steps(hour.as_millis()) <= most
    {
        features.extend([format!("mean_{hour}"), format!("std_{hour}")]);
    }
    for season in [DAY, WEEK] {
        for &horizon in horizons {
            if let Some(lag) = season_before(season, horizon).filter(|lag| {
                lag.as_millis() % grid.step() == 0
                    && lag.as_millis() * SHARE <= span.as_millis()
                    && grid.steps(lag.as_millis()) <= most
            }) {
                let name = format!("lag_{lag}");
                if !features.contains(&name) {
                    features.push(name);
                }
            }
        }
    }
    features
}

/// How long before now a time is that lies whole seasons before the horizon; `None` where that is now.
fn season_before(season: Span, horizon: Span) -> Option<Span> {
    let rest = horizon.as_millis().rem_euclid(season.as_millis());
    (rest > 0).then(|| Span::millis(season.as_millis() - rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 1_000_000;

    #[test]
    fn the_usual_features_look_back_no_further_than_is_kept() {
        let grid = Grid::new(60_000).unwrap();
        let horizons = [Span::minutes(15)];
        for (most, longest) in [
            (30, 0),
            (60, 59),
            (1_424, 59),
            (1_425, 1_425),
            (MANY, 10_065),
        ] {
            let names = usual_features(grid, &horizons, Span::days(90), most, false);
            let features = FeatureSet::new(&names, grid).unwrap();
            assert_eq!(features.lookback(), longest, "{most}: {names:?}");
        }
    }

    #[test]
    fn the_usual_features_fit_every_grid_and_look_back_to_the_same_time_of_earlier_days() {
        let horizons = [Span::minutes(15), Span::minutes(60), DAY];
        let minute = Grid::new(60_000).unwrap();
        let month = usual_features(minute, &horizons, Span::days(30), MANY, false);
        assert!(month.contains(&"lag_23h45m".to_owned()), "{month:?}");
        assert!(month.contains(&"lag_23h".to_owned()));
        // A day ahead the same time of day is now; a week back is too far for a month.
        assert!(
            !month
                .iter()
                .any(|name| name.starts_with("lag_1") || name.starts_with("lag_6"))
        );
        let season = usual_features(minute, &horizons, Span::days(90), MANY, true);
        for wanted in ["holiday", "lag_6d23h45m", "lag_6d"] {
            let wanted = match wanted {
                "lag_6d23h45m" => format!("lag_{}", Span::millis(WEEK.as_millis() - 900_000)),
                other => other.to_owned(),
            };
            assert!(season.contains(&wanted), "{wanted} {season:?}");
        }
        for step in [1_000, 15_000, 60_000, 300_000, 3_600_000, 86_400_000] {
            let grid = Grid::new(step).unwrap();
            let horizon = [Span::millis(step), Span::millis(7 * step)];
            let names = usual_features(grid, &horizon, Span::days(365), MANY, true);
            assert!(
                Settings::new(names, horizon.to_vec())
                    .features(grid)
                    .is_ok(),
                "{step}"
            );
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_name() {
        let grid = Grid::new(60_000).unwrap();
        let with = |change: &dyn Fn(&mut Settings)| {
            let mut settings = Settings::new(vec!["value".into()], vec![Span::minutes(15)]);
            change(&mut settings);
            let checked = settings.steps(grid).and_then(|_| settings.features(grid));
            checked.err().unwrap_or_default()
        };
        assert_eq!(with(&|_| ()), "");
        for (change, wanted) in [
            (
                &(|own: &mut Settings| own.window = 1) as &dyn Fn(&mut Settings),
                "window: 1",
            ),
            (&|own| own.epochs = 0, "epochs"),
            (&|own| own.horizons.clear(), "horizons: none"),
            (
                &|own| own.horizons = vec![Span::minutes(60), Span::minutes(15)],
                "horizons: write",
            ),
            (
                &|own| own.horizons = vec![Span::seconds(90)],
                "horizons: 1m30s is not a whole",
            ),
            (
                &|own| own.features = vec!["hour".into()],
                "features: the first",
            ),
            (
                &|own| own.features.push("input:queue".into()),
                "features: input:queue",
            ),
        ] {
            let problem = with(change);
            assert!(problem.contains(wanted), "{wanted}: {problem}");
        }
    }
}
