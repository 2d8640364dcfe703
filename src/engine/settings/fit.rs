//! What holds where a key was left out: the defaults that depend on what was written, fitted to it. A
//! default must never be what is wrong with a file; a value that a person wrote is left as it is, and
//! refused where it does not fit.

use super::{SignalSettings, validate::longest_horizon};
use crate::{
    detect::AlertingSettings,
    engine::signal::Epochs,
    forecast,
    quality::Bounds,
    series::{Grid, Span},
};

/// Three weeks: the least that shows a weekly season more than twice.
const USUAL_HISTORY: Span = Span::days(21);

/// On coarse grids three weeks are too few values to tell what is rare.
const USUAL_STEPS: usize = 3_000;

/// A window of a million steps is 4 MB for each series.
pub(super) const MOST_HISTORY_STEPS: usize = 1_000_000;

impl SignalSettings {
    /// `history`, or its default: three weeks, as so many whole steps as may be.
    pub fn history(&self) -> Span {
        let fitted = |grid: Grid| {
            let steps = grid.steps_up(USUAL_HISTORY.as_millis()).max(USUAL_STEPS);
            let steps = steps.clamp(Epochs::MIN_HISTORY, MOST_HISTORY_STEPS);
            Span::millis(grid.step().saturating_mul(steps as i64))
        };
        let usual = || self.grid().map_or(USUAL_HISTORY, fitted);
        self.history.length.unwrap_or_else(usual)
    }

    /// Values that can be: those of `range`, and where that says nothing those of `validate.unit`.
    pub fn bounds(&self) -> Bounds {
        Bounds::new(self.range.min, self.range.max, self.quality.unit)
    }

    /// `max_age`, or its default: five steps and the offset, at least five minutes.
    pub fn max_age(&self) -> Span {
        let default = self
            .step
            .as_millis()
            .saturating_mul(5)
            .saturating_add(self.offset.as_millis())
            .max(300_000);
        self.max_age.unwrap_or(Span::millis(default))
    }

    /// `alerting` with its spans written out; those left out fit into one epoch, from which verdicts are
    /// re-derived.
    pub fn alerting(&self) -> AlertingSettings {
        let Some(grid) = self.grid() else {
            return self.alerting.clone();
        };
        let epochs = Epochs::new(self.history().as_millis(), grid);
        self.alerting.fitted(grid, epochs.refit)
    }

    /// `forecast` with its horizons written out; where they were left out, those that step and history
    /// allow.
    pub fn forecast(&self) -> forecast::Settings {
        let Some(grid) = self.grid() else {
            return self.forecast.clone();
        };
        let mut forecast = self.forecast.fitted(grid, longest_horizon(self.history()));
        forecast.least_past = self.history.min;
        forecast
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(text: &str) -> SignalSettings {
        serde_yaml::from_str(&format!("{{name: x, query: x, {text}}}")).unwrap()
    }

    #[test]
    fn defaults_fit_what_was_written() {
        for text in [
            "step: 1s",
            "step: 1s, history: 128s",
            "step: 7s, history: 56m",
            "step: 7m",
            "step: 11m",
            "step: 1h",
            "step: 24h",
            "history: 2h8m",
            "history: 12h",
            "history: 1d, alerting: {for: 10m}",
            "step: 15s, history: 1h, alerting: {refractory: 30s}",
        ] {
            let signal = signal(text);
            assert_eq!(signal.validate(), [], "{text}");
            assert!(
                !signal.forecast().horizons().is_empty() || text.contains("128s"),
                "{text}"
            );
        }
    }

    #[test]
    fn three_weeks_of_minutes_have_the_usual_defaults() {
        let signal = signal("");
        let shown: Vec<String> = signal
            .forecast()
            .horizons()
            .iter()
            .map(Span::to_string)
            .collect();
        assert_eq!(shown, ["15m", "1h", "24h"]);
        assert_eq!(signal.history(), Span::days(21));
        assert_eq!(signal.max_age(), Span::seconds(330));
        let alerting = signal.alerting();
        let spans = [
            alerting.hold(),
            alerting.recover_for(),
            alerting.refractory(),
        ];
        assert_eq!(spans, [2, 5, 30].map(Span::minutes));
    }

    #[test]
    fn what_was_written_stays_and_is_refused() {
        for (text, part) in [
            (
                "history: 1d, forecast: {horizons: [24h]}",
                "forecast.horizons[0]",
            ),
            (
                "step: 1h, forecast: {horizons: [15m]}",
                "forecast.horizons[0]",
            ),
            (
                "history: 1d, alerting: {refractory: 2h}",
                "alerting.refractory",
            ),
        ] {
            let found = signal(text).validate();
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert_eq!(found[0].0, part, "{text}");
        }
    }
}
