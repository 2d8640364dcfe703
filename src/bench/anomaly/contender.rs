//! What is compared: every detector by itself, and the default configuration.

use crate::{
    detect::{self, Scope},
    engine::{PanelSettings, SignalSettings},
    series::{Grid, Millis, Span},
};
use serde_yaml::{Mapping, Value, with::singleton_map_recursive};

/// The name of the default configuration in reports.
pub const DEFAULT: &str = "default";
/// The label that names an entity.
pub(super) const ENTITY: &str = "entity";

/// What a detector looks at does not depend on the grid.
const ANY_STEP: Millis = 60_000;

/// One configuration of a signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Contender {
    /// The kind of its only detector, or [`DEFAULT`].
    pub name: String,
    /// Everything but the name and the step.
    settings: SignalSettings,
}

/// The settings that all contenders share: those of `text`, as under a signal in the configuration file
/// (such as `{alerting: {refractory: 8h}}`), everything else by default. Nothing is forecast: scores and
/// verdicts do not depend on it, and it takes most of the time.
///
/// # Errors
/// What is not understood, and keys that the data decide.
pub fn shared(text: Option<&str>) -> Result<SignalSettings, String> {
    let mut given: Mapping = match text {
        Some(text) => serde_yaml::from_str(text).map_err(|error| {
            format!("{error}; expected a mapping such as {{alerting: {{refractory: 8h}}}}")
        })?,
        None => Mapping::new(),
    };
    for key in ["name", "query", "step", "forecast"] {
        if given.contains_key(key) {
            return Err(format!("{key} cannot be set here"));
        }
    }
    for key in ["name", "query"] {
        given.insert(key.into(), "value".into());
    }
    let mut settings: SignalSettings = singleton_map_recursive::deserialize(Value::Mapping(given))
        .map_err(|error| error.to_string())?;
    settings.forecast.horizons = Some(Vec::new());
    Ok(settings)
}

/// Every detector that scores single series, alone and as it is by default, then the default
/// configuration; all with what they share.
pub fn contenders(shared: &SignalSettings) -> Vec<Contender> {
    let mut all = Vec::new();
    for detector in kinds() {
        if scores_single_series(&detector) {
            let mut settings = shared.clone();
            let name = detector.kind().to_owned();
            settings.detectors = Some(vec![detector]);
            all.push(Contender { name, settings });
        }
    }
    all.push(default(shared));
    all
}

/// The default configuration with what all share.
pub fn default(shared: &SignalSettings) -> Contender {
    Contender {
        name: DEFAULT.to_owned(),
        settings: shared.clone(),
    }
}

/// The default configuration but for its detectors.
pub(super) fn of_detectors(shared: &SignalSettings, detectors: Vec<detect::Settings>) -> Contender {
    let mut contender = default(shared);
    contender.settings.detectors = Some(detectors);
    contender
}

/// Every detector that judges a panel, as it is by default.
pub fn panel_detectors() -> Vec<detect::Settings> {
    kinds().into_iter().filter(judges_panels).collect()
}

impl Contender {
    /// The signal on data with a step of `step`.
    ///
    /// # Errors
    /// Settings that cannot be at this step.
    pub fn signal(&self, step: Millis) -> Result<SignalSettings, String> {
        let mut signal = self.settings.clone();
        signal.step = Span::millis(step);
        match signal.validate().first() {
            Some((path, problem)) => {
                Err(format!("at a step of {}: {path}: {problem}", signal.step))
            }
            None => Ok(signal),
        }
    }
}

/// A panel over `signals` with `detector` alone, and the alert hygiene of `signal`.
pub(super) fn panel(
    detector: detect::Settings,
    signals: Vec<String>,
    signal: &SignalSettings,
) -> PanelSettings {
    PanelSettings {
        name: detector.kind().to_owned(),
        signals,
        on: vec![ENTITY.to_owned()],
        detectors: vec![detector],
        combine: detect::Combine::default(),
        alerting: signal.alerting.clone(),
        severity: signal.severity.clone(),
    }
}

/// A panel over `signals` that names no detectors, with the alert hygiene of `signal`.
pub(super) fn panel_by_default(signals: Vec<String>, signal: &SignalSettings) -> PanelSettings {
    PanelSettings {
        name: DEFAULT.to_owned(),
        signals,
        on: vec![ENTITY.to_owned()],
        detectors: detect::defaults_of_panels(),
        combine: detect::Combine::default(),
        alerting: signal.alerting.clone(),
        severity: signal.severity.clone(),
    }
}

/// Every kind with its default settings; one that must be told something has none and is left out.
fn kinds() -> Vec<detect::Settings> {
    let default = |kind: &&str| serde_json::from_str(&format!("{{{kind:?}: {{}}}}")).ok();
    detect::KINDS.iter().filter_map(default).collect()
}

fn scores_single_series(settings: &detect::Settings) -> bool {
    Grid::new(ANY_STEP).is_some_and(|grid| settings.build(grid).scope() == Scope::Series)
}

fn judges_panels(settings: &detect::Settings) -> bool {
    Grid::new(ANY_STEP).is_some_and(|grid| settings.build_panel(grid).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_defaults_and_is_compared_where_it_belongs() {
        assert_eq!(kinds().len(), detect::KINDS.len());
        let names: Vec<String> = contenders(&shared(None).unwrap())
            .into_iter()
            .map(|one| one.name)
            .collect();
        assert_eq!(names.last().map(String::as_str), Some(DEFAULT));
        for default in detect::defaults() {
            assert!(names.iter().any(|name| name == default.kind()), "{names:?}");
        }
        assert!(!names.iter().any(|name| name == "dbscan"), "{names:?}");
        assert!(panel_detectors().iter().any(|one| one.kind() == "dbscan"));
    }

    #[test]
    fn a_contender_is_a_signal_that_check_accepts() {
        let defaults = SignalSettings::new("value", "value");
        for contender in contenders(&shared(None).unwrap()) {
            for step in [60_000, 300_000, 600_000, 1_800_000, 3_600_000] {
                let signal = contender.signal(step).unwrap();
                assert_eq!(signal.step, Span::millis(step));
                assert_eq!(
                    (&signal.alerting, signal.history),
                    (&defaults.alerting, defaults.history)
                );
            }
        }
    }

    #[test]
    fn what_is_set_holds_for_all_and_what_cannot_be_is_said() {
        let quiet = shared(Some(
            "{alerting: {refractory: 8h}, detectors: [{zscore: {threshold: 9}}]}",
        ));
        for contender in contenders(&quiet.unwrap()) {
            let signal = contender.signal(300_000).unwrap();
            assert_eq!(signal.alerting.refractory, Some(Span::minutes(480)));
            let own = signal.detectors.unwrap();
            let expected = if contender.name == DEFAULT {
                "zscore"
            } else {
                contender.name.as_str()
            };
            assert_eq!(own[0].kind(), expected);
        }
        let long = default(&shared(Some("{alerting: {refractory: 3d}}")).unwrap());
        let problem = long.signal(300_000).unwrap_err();
        assert!(problem.contains("alerting.refractory"), "{problem}");
        for (text, word) in [
            ("{step: 1m}", "step"),
            ("{alert: 1}", "alert"),
            ("7", "mapping"),
        ] {
            let problem = shared(Some(text)).unwrap_err();
            assert!(problem.contains(word), "{problem}");
        }
    }
}
