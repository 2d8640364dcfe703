//! The name of each feature, and what it is at a time.

use super::{
    clock::{CLOCKS, Clock, Reading, Season},
    view::View,
};
use crate::series::{Grid, Span};

/// No feature looks back on more steps: a week of minutes. Every series keeps them.
pub const LONGEST_LOOKBACK: usize = 10_080;
/// Harmonics of a season: beyond these one hour of the day is two.
const HARMONICS: std::ops::RangeInclusive<u8> = 1..=16;
const MINUTE: f64 = 60_000.0;

/// One feature on a grid: spans are in steps.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Feature {
    Value,
    Clock(Clock),
    Wave(Season, u8, bool),
    /// Change over so many steps, times this for a minute.
    Rate(usize, f64),
    Rolling(Statistic, usize),
    Lag(usize),
    /// First or second difference.
    Difference(u8),
    Acceleration(usize, f64),
    Input(String),
}

/// Of the values of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Statistic {
    Mean,
    Deviation,
    Least,
    Greatest,
}

/// How a feature is scaled with the series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// It moves and stretches as the series does.
    Level,
    /// It stretches as the series does, but a shift leaves it.
    Change,
    /// It is of another kind and stays.
    Own,
}

impl Feature {
    /// # Errors
    /// What is wrong with the name, and what is allowed.
    pub(super) fn parse(name: &str, grid: Grid) -> Result<Self, String> {
        if name == "value" {
            return Ok(Self::Value);
        }
        if let Some((_, clock)) = CLOCKS.iter().find(|(known, _)| *known == name) {
            return Ok(Self::Clock(*clock));
        }
        if let Some(input) = name
            .strip_prefix("input:")
            .filter(|input| !input.is_empty())
        {
            return Ok(Self::Input(input.to_owned()));
        }
        // Of names of several words the last one is the number or the span.
        let (kind, rest) = name.rsplit_once('_').ok_or_else(|| unknown(name))?;
        if let Some((season, cosine)) = wave(kind) {
            let harmonic = rest.parse().ok().filter(|one| HARMONICS.contains(one));
            let harmonic = harmonic.ok_or_else(|| format!("{name}: harmonics are 1 to 16"))?;
            return Ok(Self::Wave(season, harmonic, cosine));
        }
        match (kind, rest) {
            ("lag", "step") => return Ok(Self::Lag(1)),
            ("difference", "1") => return Ok(Self::Difference(1)),
            ("difference", "2") => return Ok(Self::Difference(2)),
            ("rate" | "lag" | "acceleration" | "mean" | "std" | "min" | "max", _) => {}
            _ => return Err(unknown(name)),
        }
        let span: Span = rest
            .parse()
            .map_err(|problem| format!("{name}: {problem}"))?;
        let feature = Self::of_span(kind, steps(name, span, grid)?, span);
        if feature.lookback() > LONGEST_LOOKBACK {
            let longest = Span::millis(grid.step() * LONGEST_LOOKBACK as i64);
            return Err(format!(
                "{name} looks back further than {longest}, which is the most at this step"
            ));
        }
        Ok(feature)
    }

    fn of_span(kind: &str, steps: usize, span: Span) -> Self {
        let per_minute = MINUTE / span.as_millis() as f64;
        match kind {
            "rate" => Self::Rate(steps, per_minute),
            "lag" => Self::Lag(steps),
            "acceleration" => Self::Acceleration(steps, per_minute),
            "mean" => Self::Rolling(Statistic::Mean, steps),
            "std" => Self::Rolling(Statistic::Deviation, steps),
            "min" => Self::Rolling(Statistic::Least, steps),
            _ => Self::Rolling(Statistic::Greatest, steps),
        }
    }

    /// Steps before its own time that it depends on.
    pub(super) fn lookback(&self) -> usize {
        match self {
            Self::Value | Self::Clock(_) | Self::Wave(..) | Self::Input(_) => 0,
            Self::Rate(steps, _) | Self::Lag(steps) => *steps,
            Self::Rolling(_, steps) => steps - 1,
            Self::Difference(order) => usize::from(*order),
            Self::Acceleration(steps, _) => 2 * steps,
        }
    }

    pub(super) fn follows_clock(&self) -> bool {
        matches!(self, Self::Clock(_) | Self::Wave(..))
    }

    pub(super) fn unit(&self) -> Unit {
        match self {
            Self::Value | Self::Lag(_) => Unit::Level,
            Self::Rolling(Statistic::Deviation, _)
            | Self::Rate(..)
            | Self::Difference(_)
            | Self::Acceleration(..) => Unit::Change,
            Self::Rolling(..) => Unit::Level,
            Self::Clock(_) | Self::Wave(..) | Self::Input(_) => Unit::Own,
        }
    }

    /// What it is at `view.values[index]`; `NaN` where it is missing.
    pub(super) fn at(&self, view: &View<'_>, index: usize, clock: &Reading) -> f32 {
        let back = |steps: usize| f64::from(view.back(index, steps));
        match self {
            Self::Value => view.back(index, 0),
            Self::Clock(which) => clock.clock(*which),
            Self::Wave(season, harmonic, cosine) => clock.wave(*season, *harmonic, *cosine),
            Self::Rate(steps, per_minute) => ((back(0) - back(*steps)) * per_minute) as f32,
            Self::Rolling(statistic, steps) => statistic.of(view, index, *steps),
            Self::Lag(steps) => view.back(index, *steps),
            Self::Difference(1) => (back(0) - back(1)) as f32,
            Self::Difference(_) => (back(0) - 2.0 * back(1) + back(2)) as f32,
            Self::Acceleration(steps, per_minute) => {
                let change = back(0) - 2.0 * back(*steps) + back(2 * steps);
                (change * per_minute * per_minute) as f32
            }
            Self::Input(name) => view.input(name, index),
        }
    }
}

impl Statistic {
    fn of(self, view: &View<'_>, index: usize, steps: usize) -> f32 {
        let known = view.known(index, steps);
        let count = known.clone().count();
        if count < steps.div_ceil(2) {
            return f32::NAN;
        }
        let mean = || known.clone().map(f64::from).sum::<f64>() / count as f64;
        match self {
            Self::Mean => mean() as f32,
            Self::Deviation => {
                let mean = mean();
                let squares = known.clone().map(|value| (f64::from(value) - mean).powi(2));
                (squares.sum::<f64>() / count as f64).sqrt() as f32
            }
            Self::Least => known.fold(f32::INFINITY, f32::min),
            Self::Greatest => known.fold(f32::NEG_INFINITY, f32::max),
        }
    }
}

fn wave(kind: &str) -> Option<(Season, bool)> {
    match kind {
        "day_sin" => Some((Season::Day, false)),
        "day_cos" => Some((Season::Day, true)),
        "week_sin" => Some((Season::Week, false)),
        "week_cos" => Some((Season::Week, true)),
        _ => None,
    }
}

fn steps(name: &str, span: Span, grid: Grid) -> Result<usize, String> {
    let step = Span::millis(grid.step());
    if span.as_millis() <= 0 || span.as_millis() % grid.step() != 0 {
        return Err(format!(
            "{name}: {span} is not a whole number of steps of {step}"
        ));
    }
    Ok(grid.steps(span.as_millis()))
}

fn unknown(name: &str) -> String {
    let clocks: Vec<&str> = CLOCKS.iter().map(|(name, _)| *name).collect();
    format!(
        "unknown feature {name:?}; allowed: value, {}, day_sin_K, day_cos_K, week_sin_K, week_cos_K, rate_SPAN, \
         mean_SPAN, std_SPAN, min_SPAN, max_SPAN, lag_step, lag_SPAN, difference_1, difference_2, \
         acceleration_SPAN, input:NAME",
        clocks.join(", ")
    )
}
