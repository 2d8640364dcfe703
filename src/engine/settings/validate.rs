//! What is allowed of a signal and of a panel by itself. What needs the rest of the file (names,
//! sources, the evaluation interval) is checked by `config`.

use super::{
    Class, PanelSettings, Seasonality, SignalSettings, SizeClass, ValueRange,
    fit::MOST_HISTORY_STEPS,
};
use crate::{
    detect,
    engine::{panel::verdict_memory, signal::Epochs},
    forecast::Models,
    quality::{self, Memory},
    series::{Grid, Span, Zone},
};

/// What is wrong: path of the key below the signal or panel, and a sentence with what is allowed.
pub(super) type Problems = Vec<(String, String)>;

/// Prometheus evaluates at whole seconds in practice, and nothing is scraped more often.
const LEAST_STEP: Span = Span::seconds(1);

/// A day is the longest season of any use on a grid; more would make the history years long.
const LONGEST_STEP: Span = Span::days(1);

/// Samples later than this are an outage and not lateness.
const LONGEST_OFFSET: Span = Span::minutes(60);

/// An outcome older than a day says nothing of now.
const LONGEST_MAX_AGE: Span = Span::days(1);

/// Above this, one process is not enough.
const MOST_SERIES: usize = 1_000_000;

/// A season needs a shape: fewer points than this have none.
const LEAST_SEASON_STEPS: usize = 4;

/// A horizon must fit into the history often enough to be judged on it.
const HISTORY_PER_HORIZON: i64 = 3;

impl SignalSettings {
    /// Everything that is wrong with this signal by itself, with the path of the key.
    pub fn validate(&self) -> Problems {
        let mut found = Problems::new();
        let mut history_is_sound = false;
        if self.check_step(&mut found) {
            history_is_sound = self.check_history(&mut found);
            self.check_seasons(&mut found);
            self.check_horizons(&mut found);
        }
        self.check_ages(&mut found);
        self.check_class(&mut found);
        if let Some(name) = &self.timezone
            && let Err(problem) = Zone::named(name)
        {
            add(&mut found, "timezone", problem);
        }
        self.range.check(&mut found);
        self.check_unit(&mut found);
        for (index, exclude) in self.exclude.iter().enumerate() {
            exclude.check(&format!("exclude[{index}]"), &mut found);
        }
        check_distinct("holidays", &self.holidays, &mut found);
        check_distinct("forecast.events", &self.forecast.events, &mut found);
        let kinds = self.check_detectors(&mut found);
        nest(&mut found, "baseline", self.baseline.validate());
        nest(&mut found, "combine", self.combine.validate(&kinds));
        nest(&mut found, "severity", self.severity.validate());
        nest(&mut found, "forecast", self.forecast.validate());
        check_labels("peers", &self.peers, &mut found);
        check_labels("group_by", &self.group_by, &mut found);
        check_labels("shard_by", &self.shard_by, &mut found);
        nest(&mut found, "alerting", self.alerting.validate());
        if self.size_class() == SizeClass::Wide {
            let why = "is for the class deep: wide series keep too little of their past";
            nest(&mut found, "alerting", self.alerting.refuse_restraint(why));
        }
        if let (true, Some(grid)) = (history_is_sound, self.grid()) {
            self.check_forecast_age(grid, &mut found);
            self.check_least_past(grid, &mut found);
            self.check_frozen_after(grid, &mut found);
            let refit = Epochs::new(self.history().as_millis(), grid).refit;
            let why = "a 21st of the history, or 16 steps";
            check_memory(
                &self.alerting(),
                &self.alerting,
                grid,
                refit,
                why,
                &mut found,
            );
        }
        found
    }

    fn check_step(&self, found: &mut Problems) -> bool {
        let allowed = LEAST_STEP..=LONGEST_STEP;
        if !allowed.contains(&self.step) {
            let step = self.step;
            let text = format!("{step} is not allowed; allowed: {LEAST_STEP} to {LONGEST_STEP}");
            add(found, "step", text);
        }
        allowed.contains(&self.step)
    }

    fn check_history(&self, found: &mut Problems) -> bool {
        let before = found.len();
        let (history, step) = (self.history(), self.step);
        let least = span_of(step, Epochs::MIN_HISTORY);
        let most = span_of(step, MOST_HISTORY_STEPS);
        if history < least || history > most {
            let text = format!(
                "{history} is not allowed with a step of {step}; allowed: {least} to {most}"
            );
            add(found, "history", text);
        } else if history.as_millis() % step.as_millis() != 0 {
            let text = format!("{history} is not a whole number of steps of {step}");
            add(found, "history", text);
        }
        found.len() == before
    }

    fn check_least_past(&self, grid: Grid, found: &mut Problems) {
        let Some(min) = self.history.min else { return };
        // From what is older than that no series is derived, however long it is there.
        let most = span_of(
            self.step,
            Epochs::new(self.history().as_millis(), grid).memory,
        );
        if min < self.step || min > most {
            let (step, history) = (self.step, self.history());
            let text = format!(
                "{min} is not allowed; allowed: {step} (one step) to {most} (what series are derived from with a history of {history})"
            );
            add(found, "history.min", text);
        }
    }

    fn check_seasons(&self, found: &mut Problems) {
        let Seasonality::Given(seasons) = &self.seasonality else {
            return;
        };
        let least = span_of(self.step, LEAST_SEASON_STEPS);
        let most = Span::millis(self.history().as_millis() / 2);
        for (index, season) in seasons.iter().enumerate() {
            let path = format!("seasonality[{index}]");
            if *season < least || *season > most {
                let text = format!(
                    "{season} is not allowed; allowed: {least} (four steps) to {most} (half the history)"
                );
                add(found, &path, text);
            } else if season.as_millis() % self.step.as_millis() != 0 {
                let step = self.step;
                let text = format!("{season} is not a whole number of steps of {step}");
                add(found, &path, text);
            }
            if seasons.iter().take(index).any(|other| other == season) {
                add(found, &path, format!("{season} is listed twice"));
            }
        }
    }

    fn check_horizons(&self, found: &mut Problems) {
        let Some(grid) = self.grid() else { return };
        let forecast = self.forecast();
        if let Err(problems) = forecast.horizon_steps(grid) {
            nest(found, "forecast", problems);
        }
        let longest = longest_horizon(self.history());
        for (index, horizon) in forecast.horizons().iter().enumerate() {
            if *horizon > longest {
                let text = format!(
                    "{horizon} is too long for a history of {}; allowed: up to {longest} (a third of it)",
                    self.history()
                );
                add(found, &format!("forecast.horizons[{index}]"), text);
            }
        }
    }

    fn check_ages(&self, found: &mut Problems) {
        if self.offset > LONGEST_OFFSET {
            let text = format!(
                "{} is not allowed; allowed: 0s to {LONGEST_OFFSET}",
                self.offset
            );
            add(found, "offset", text);
        }
        let Some(max_age) = self.max_age else { return };
        let least = Span::millis(
            self.step
                .as_millis()
                .saturating_add(self.offset.as_millis()),
        );
        if max_age <= least || max_age > LONGEST_MAX_AGE {
            let text = format!(
                "{max_age} is not allowed; allowed: more than {least} (step and offset: between two evaluations nothing would be served) up to {LONGEST_MAX_AGE}"
            );
            add(found, "max_age", text);
        }
    }

    fn check_forecast_age(&self, grid: Grid, found: &mut Problems) {
        let Some(max_age) = self.forecast.max_age else {
            return;
        };
        let refit = Epochs::new(self.history().as_millis(), grid).refit;
        let (least, most) = (span_of(self.step, 2 * refit), self.history());
        if max_age < least || max_age > most {
            let text = format!(
                "{max_age} is not allowed; allowed: {least} (forecasts are derived anew every {}) to {most} (the history)",
                span_of(self.step, refit)
            );
            add(found, "forecast.max_age", text);
        }
    }

    fn check_class(&self, found: &mut Problems) {
        if !(1..=MOST_SERIES).contains(&self.max_series) {
            let text = format!(
                "{} is not allowed; allowed: 1 to {MOST_SERIES}",
                self.max_series
            );
            add(found, "max_series", text);
        }
        if self.class == Class::Wide && self.forecast.models != Models::Auto {
            let text =
                "a signal of class wide has no forecasts; leave models out, or use class deep";
            add(found, "forecast.models", text);
        }
        let nothing = self.size_class() == SizeClass::Wide || self.forecast().horizons().is_empty();
        if nothing && self.forecast.train.is_some() {
            let text =
                "nothing of this signal is forecast, so there is nothing to train; leave it out";
            add(found, "forecast.train", text);
        }
    }

    /// A range that a person wrote may go beyond its unit, but something must be left.
    fn check_unit(&self, found: &mut Problems) {
        let ends = [self.range.min, self.range.max];
        let asked = self.quality.unit.is_some() && ends.iter().any(Option::is_none);
        if !asked || self.bounds().is_possible() || ends.iter().flatten().any(|end| end.is_nan()) {
            return;
        }
        let text = "leaves no value together with range; correct range, or leave the unit out";
        add(found, "validate.unit", text);
    }

    fn check_frozen_after(&self, grid: Grid, found: &mut Problems) {
        let Some(span) = self.quality.frozen_after else {
            return;
        };
        if self.size_class() == SizeClass::Wide {
            if span.as_millis() > 0 {
                let text = "is for the class deep: wide series keep nothing of their past";
                add(found, "validate.frozen_after", text);
            }
            return;
        }
        let longest = quality::Settings::longest(Memory {
            steps: Epochs::new(self.history().as_millis(), grid).memory,
            step: grid.step(),
        });
        let history = self.history();
        let text = match longest {
            _ if span.as_millis() <= 0 => return,
            Some(longest) if span <= longest => return,
            Some(longest) => format!(
                "{span} is too long for a history of {history}, which must still show that a series moved; at most {longest}, or 0s for never"
            ),
            None => format!(
                "a history of {history} has too few steps to show that a series moved; make it longer, or write 0s for never"
            ),
        };
        add(found, "validate.frozen_after", text);
    }

    /// The kinds of the detectors, for `combine`.
    fn check_detectors(&self, found: &mut Problems) -> Vec<&'static str> {
        match &self.detectors {
            Some(detectors) => check_detectors(detectors, found),
            None => self
                .detectors()
                .iter()
                .map(detect::Settings::kind)
                .collect(),
        }
    }
}

impl ValueRange {
    fn check(&self, found: &mut Problems) {
        for (field, value) in [("range.min", self.min), ("range.max", self.max)] {
            if value.is_some_and(|value| !value.is_finite()) {
                let text = "is not a finite number; leave it out where there is no limit";
                add(found, field, text);
            }
        }
        if let (Some(min), Some(max)) = (self.min, self.max)
            && min >= max
        {
            let text = format!("{max} is not above range.min, which is {min}");
            add(found, "range.max", text);
        }
    }
}

/// The longest horizon of a signal with this history.
pub(super) fn longest_horizon(history: Span) -> Span {
    Span::millis(history.as_millis() / HISTORY_PER_HORIZON)
}

impl PanelSettings {
    /// Everything that is wrong with this panel by itself, with the path of the key. `grid` is that of
    /// its signals, where they have one, and `replay` the steps that they replay at a start.
    pub fn validate(&self, grid: Option<Grid>, replay: Option<usize>) -> Problems {
        let mut found = Problems::new();
        if self.signals.len() < 2 {
            let text = "a panel joins signals: list two or more";
            add(&mut found, "signals", text);
        }
        if self.signals.len() > detect::MOST_CHANNELS {
            let (count, most) = (self.signals.len(), detect::MOST_CHANNELS);
            let text = format!("{count} signals are too many; allowed: 2 to {most}");
            add(&mut found, "signals", text);
        }
        check_distinct("signals", &self.signals, &mut found);
        if self.on.is_empty() {
            let text = "list the labels that name the entity, such as [instance]";
            add(&mut found, "on", text);
        }
        check_labels("on", &self.on, &mut found);
        let kinds = check_detectors(&self.detectors, &mut found);
        self.check_scope(&mut found);
        nest(&mut found, "combine", self.combine.validate(&kinds));
        nest(&mut found, "severity", self.severity.validate());
        nest(&mut found, "alerting", self.alerting.validate());
        let why = "is for signals: a panel has no baseline of its own";
        nest(&mut found, "alerting", self.alerting.refuse_restraint(why));
        if let Some(grid) = grid
            && let Ok(memory) = verdict_memory(self, grid, replay)
        {
            let fitted = self.alerting.fitted(grid, memory);
            let why = format!("{memory} steps");
            check_memory(&fitted, &self.alerting, grid, memory, &why, &mut found);
        }
        found
    }

    /// A panel's detectors must know what to do with several values at once.
    fn check_scope(&self, found: &mut Problems) {
        let Some(grid) = Grid::new(1) else {
            return;
        };
        for (index, detector) in self.detectors.iter().enumerate() {
            if detector.build_panel(grid).is_none() {
                let kind = detector.kind();
                let text = format!(
                    "{kind} looks at one value at a time; allowed in a panel: {}",
                    PANEL_KINDS.join(", ")
                );
                add(found, &format!("detectors[{index}].{kind}"), text);
            }
        }
    }
}

/// The detectors that look at several values at once; a test compares this with their constructors.
const PANEL_KINDS: [&str; 5] = [
    "dbscan",
    "deviation",
    "isolation_forest",
    "one_class_svm",
    "pca",
];

/// Whether `name` can be the name of a label without quotes.
pub fn is_label_name(name: &str) -> bool {
    let letter = |c: char| c == '_' || c.is_ascii_alphanumeric();
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(letter)
}

fn check_detectors(detectors: &[detect::Settings], found: &mut Problems) -> Vec<&'static str> {
    if detectors.is_empty() {
        let text = format!("an empty list; allowed: {}", detect::KINDS.join(", "));
        add(found, "detectors", text);
    }
    let mut kinds = Vec::new();
    for (index, detector) in detectors.iter().enumerate() {
        let kind = detector.kind();
        let path = format!("detectors[{index}].{kind}");
        if kinds.contains(&kind) {
            // They would publish the same series.
            let text = format!("{kind} is listed twice; each detector once");
            add(found, &path, text);
        }
        kinds.push(kind);
        nest(found, &path, detector.validate());
    }
    kinds
}

/// Verdicts are re-derived from `memory` steps, which `why` names: a refractory period that began
/// before them would be forgotten, and a restart would not reach the same verdicts.
fn check_memory(
    fitted: &detect::AlertingSettings,
    written: &detect::AlertingSettings,
    grid: Grid,
    memory: usize,
    why: &str,
    found: &mut Problems,
) {
    nest(found, "alerting", fitted.validate_on(grid, memory));
    if fitted.memory(grid) <= memory {
        return;
    }
    let (hold, recover, rest) = (fitted.hold(), fitted.recover_for(), fitted.refractory());
    let spans = [
        ("for", hold, written.hold),
        ("recover_for", recover, written.recover_for),
        ("refractory", rest, written.refractory),
    ];
    // The longest of those that were written is the one to change.
    let longest = spans.iter().filter(|span| span.2.is_some());
    let Some((key, span, _)) = longest.max_by_key(|span| span.1) else {
        return;
    };
    let most = span_of(Span::millis(grid.step()), memory);
    let text = format!(
        "{span} is too long: for ({hold}), recover_for ({recover}) and refractory ({rest}) must fit together into {most} ({why}), as a restart would forget the rest"
    );
    add(found, &format!("alerting.{key}"), text);
}

fn check_labels(key: &str, labels: &[String], found: &mut Problems) {
    check_distinct(key, labels, found);
    for (index, label) in labels.iter().enumerate() {
        if !is_label_name(label) {
            let text = format!("{label:?} is not a label name (letters, digits, _)");
            add(found, &format!("{key}[{index}]"), text);
        }
    }
}

fn check_distinct(key: &str, items: &[String], found: &mut Problems) {
    for (index, item) in items.iter().enumerate() {
        if items.iter().take(index).any(|other| other == item) {
            let text = format!("{item:?} is listed twice");
            add(found, &format!("{key}[{index}]"), text);
        }
    }
}

fn span_of(step: Span, count: usize) -> Span {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    Span::millis(step.as_millis().saturating_mul(count))
}

pub(super) fn add(found: &mut Problems, path: &str, text: impl Into<String>) {
    found.push((path.to_owned(), text.into()));
}

/// Adds `problems` of what is under `key`.
fn nest(found: &mut Problems, key: &str, problems: Problems) {
    let nested = problems
        .into_iter()
        .map(|(path, text)| match path.as_str() {
            "" => (key.to_owned(), text),
            path if path.starts_with('[') => (format!("{key}{path}"), text),
            path => (format!("{key}.{path}"), text),
        });
    found.extend(nested);
}

#[cfg(test)]
mod tests;
