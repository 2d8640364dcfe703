//! How the versions of a trained model compare, live: the one in force, the one before it, and a challenger that
//! forecasts silently.
//!
//! Every forecast that comes due is scored beside what a naive forecast of the same origin lost (seasonal naive, or the
//! last value where a series has no season), so a series counts the same whatever its size.

use crate::series::{Millis, Span};

/// The versions of one trained model of one signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Contest {
    /// The name of the model, such as `checkout`.
    pub model: String,
    /// The version in force, such as `7`.
    pub champion: String,
    /// The version that forecasts silently, where there is one.
    pub challenger: Option<String>,
    /// The version in force before, where it is there and sound.
    pub previous: Option<String>,
    /// Shortest first; those at which nothing was scored are left out.
    pub horizons: Vec<ContestHorizon>,
}

/// What the versions lost at one horizon.
#[derive(Debug, Clone, PartialEq)]
pub struct ContestHorizon {
    /// How far ahead.
    pub span: Span,
    /// Loss of the version in force relative to a naive forecast: 1 is as good, below is better. Mean absolute errors,
    /// newer ones counting more; the geometric mean over the series, each weighed by its forecasts. With a challenger only
    /// origins count at which both answered, and none that lie in the time either was trained on.
    pub champion: f32,
    /// The same of the challenger, at the same origins; `NaN` where there is none.
    pub challenger: f32,
    /// The same of the version in force before, at the origins at which it answered; `NaN` where there is none.
    pub previous: f32,
    /// Forecasts of the version in force (and with a challenger: of both) behind these figures, all series together.
    pub scored: u64,
    /// The grid time of the earliest of these forecasts.
    pub since: Millis,
}
