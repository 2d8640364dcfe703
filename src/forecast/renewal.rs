//! When a trained model is trained anew, and when a challenger takes the place of the version in force.
//!
//! Pure: whoever trains looks now and then, tells what it knows, and is told whether it is time. What is known comes from the
//! registry and from outcomes, so a process that has just started does not train what was trained an hour ago.

use super::{Contest, ContestHorizon};
use crate::{
    contract::refuse_name,
    series::{Millis, Span},
    train::Kind,
};
use serde::{Deserialize, Deserializer, de::Error};
use xxhash_rust::xxh3::xxh3_64;

/// A model grows old about as fast as a season is learnt.
const EVERY: Span = Span::days(7);
/// As `forethought train` has it.
const FROM: Span = Span::days(30);
const MARGIN: f64 = 0.02;
/// What changed must have shown itself for a while before it is worth another training.
const PAUSE: Span = Span::minutes(360);
/// Drift and errors must last so long: an outage of minutes is neither.
const LASTING: Span = Span::minutes(60);
/// After a failure, doubled with each further one up to [`Settings::pause`].
const RETRY: Span = Span::minutes(15);
/// Three weekdays, or a weekend with the day before it.
const AFTER: Span = Span::days(3);
/// Of fewer forecasts the better one is a matter of luck.
const LEAST: u64 = 500;

/// When a trained model is trained anew, on what, and what is asked of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The name of the model in the registry; that of the signal where left out.
    pub model: Option<String>,
    /// What is trained.
    #[serde(deserialize_with = "kind")]
    pub network: Kind,
    /// So often, at times that follow from the name of the model.
    pub every: Span,
    /// So much of the past is trained on.
    pub from: Span,
    /// By what share it must be better than the version in force and than seasonal naive.
    pub margin: f64,
    /// The greatest error it may have at any horizon, as a share of the actual values.
    pub max_error: Option<f64>,
    /// Whether it is trained anew when the signal drifts.
    pub on_drift: bool,
    /// It is trained anew while the published error is above this at any horizon.
    pub above_error: Option<f64>,
    /// Least time between two trainings, whatever asks for them.
    pub pause: Span,
    /// When a challenger takes the place of the version in force; by hand alone where left out.
    pub promote: Option<Promote>,
}

/// When a challenger takes the place of the version in force.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Promote {
    /// It must have been better for so long without a break.
    pub after: Span,
    /// By what share its loss must be lower, the mean over the horizons.
    pub margin: f64,
    /// Forecasts of both that must have been scored at a horizon.
    pub least: u64,
}

/// Why a model is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is none yet.
    First,
    /// It is time.
    Schedule,
    /// The signal has drifted.
    Drift,
    /// Its forecasts err more than they may.
    Error,
}

/// What is known of a model; times in milliseconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// When its newest version was trained.
    pub trained: Option<Millis>,
    /// Since when the signal drifts.
    pub drifting: Since,
    /// Since when the published error is above the bound.
    pub erring: Since,
    /// When a training was tried last.
    pub tried: Option<Millis>,
    /// How many have failed in a row.
    pub failures: u32,
}

/// Since when something has been so without a break, and until when that was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Since(Option<(Millis, Millis)>);

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: None,
            network: Kind::default(),
            every: EVERY,
            from: FROM,
            margin: MARGIN,
            max_error: None,
            on_drift: true,
            above_error: None,
            pause: PAUSE,
            promote: None,
        }
    }
}

impl Default for Promote {
    fn default() -> Self {
        Self {
            after: AFTER,
            margin: MARGIN,
            least: LEAST,
        }
    }
}

impl Why {
    /// As it is logged.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "there is none yet",
            Self::Schedule => "it is time",
            Self::Drift => "the signal has drifted",
            Self::Error => "its signal is forecast worse than above_error",
        }
    }
}

impl Since {
    /// Takes in whether it is so at `at`. Where nothing was seen for longer than `gap`, it begins anew: nobody knows what
    /// was meanwhile.
    pub fn see(&mut self, is: bool, at: Millis, gap: Span) {
        let before = self.0.filter(|(_, last)| at - last <= gap.as_millis());
        self.0 = is.then(|| (before.map_or(at, |(since, _)| since), at));
    }

    /// Whether it was seen to be so for `span`.
    pub fn lasts(self, span: Span) -> bool {
        self.0
            .is_some_and(|(since, last)| last - since >= span.as_millis())
    }
}

impl Settings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut add = |field: &str, text: String| problems.push((field.to_owned(), text));
        if let Some(problem) = self.model.as_deref().and_then(refuse_name) {
            add("model", problem);
        }
        let day = Span::days(1);
        for (field, span, least) in [
            ("every", self.every, self.pause),
            ("from", self.from, day),
            ("pause", self.pause, RETRY),
        ] {
            if span < least {
                add(
                    field,
                    format!("{span} is too short; allowed: {least} or longer"),
                );
            }
        }
        let promote = self.promote.as_ref();
        let margins = [
            ("margin", Some(self.margin)),
            ("promote.margin", promote.map(|promote| promote.margin)),
        ];
        for (field, margin) in margins {
            if let Some(margin) = margin.filter(|margin| !(0.0..1.0).contains(margin)) {
                add(field, format!("{margin} is not allowed; allowed: 0 to 1"));
            }
        }
        for (field, bound) in [
            ("max_error", self.max_error),
            ("above_error", self.above_error),
        ] {
            if let Some(bound) = bound.filter(|&bound| bound.is_nan() || bound <= 0.0) {
                add(field, format!("{bound} is not allowed; allowed: above 0"));
            }
        }
        if promote.is_some_and(|promote| promote.after.as_millis() <= 0) {
            add("promote.after", "must be longer than 0s".to_owned());
        }
        problems
    }

    /// Whether `model` is to be trained at `now`, and why.
    pub fn due(&self, model: &str, known: &Known, now: Millis) -> Option<Why> {
        let Some(trained) = known.trained else {
            return Some(Why::First);
        };
        if self.slot(model, trained) != self.slot(model, now) {
            return Some(Why::Schedule);
        }
        // What was trained with the new kind of days is not asked for again because of them.
        let rested = now - trained >= self.pause.as_millis();
        match () {
            () if !rested => None,
            () if self.on_drift && known.drifting.lasts(LASTING) => Some(Why::Drift),
            () if self.above_error.is_some() && known.erring.lasts(LASTING) => Some(Why::Error),
            () => None,
        }
    }

    /// Whether a training may begin at `now`: not too soon after the one before, later the more of them failed.
    pub fn may(&self, known: &Known, now: Millis) -> bool {
        let since = |at: Millis| now - at;
        let pause = self.pause.as_millis();
        let wait = match known.failures {
            0 => pause,
            failures => RETRY
                .as_millis()
                .saturating_mul(1 << (failures - 1).min(16))
                .min(pause),
        };
        let tried = known.tried.is_none_or(|at| since(at) >= wait);
        // A clock that was set back must not hold up training until it has caught up.
        let trained = known.trained.filter(|&at| at <= now);
        tried && trained.is_none_or(|at| since(at) >= pause)
    }

    /// Which turn of the schedule a time lies in. Models have their turns at different times.
    fn slot(&self, model: &str, at: Millis) -> i64 {
        let every = self.every.as_millis().max(1);
        let offset = (xxh3_64(model.as_bytes()) % every as u64) as i64;
        (at - offset).div_euclid(every)
    }
}

impl Promote {
    /// Whether the challenger is better than the version in force by enough: the mean of the losses over the horizons at which
    /// enough forecasts were scored.
    pub fn is_better(&self, contest: &Contest) -> bool {
        let usable = |one: &&ContestHorizon| {
            one.scored >= self.least && one.champion.is_finite() && one.challenger.is_finite()
        };
        let (mut count, mut champion, mut challenger) = (0, 0.0, 0.0);
        for horizon in contest.horizons.iter().filter(usable) {
            count += 1;
            champion += f64::from(horizon.champion);
            challenger += f64::from(horizon.challenger);
        }
        count > 0 && contest.challenger.is_some() && challenger <= (1.0 - self.margin) * champion
    }
}

fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
    String::deserialize(deserializer)?
        .parse()
        .map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Millis = 3_600_000;
    const DAY: Millis = 24 * HOUR;

    fn weekly() -> Settings {
        Settings::default()
    }

    /// Some time after the turn of the schedule, and one trained since.
    fn fresh() -> (Millis, Known) {
        let settings = weekly();
        let turn = (1..)
            .map(|hour| 2_000 * DAY + hour * HOUR)
            .find(|&at| settings.slot("m", at) != settings.slot("m", at - HOUR));
        let turn = turn.unwrap();
        let known = Known {
            trained: Some(turn + HOUR),
            ..Known::default()
        };
        (turn + DAY, known)
    }

    #[test]
    fn it_is_trained_first_then_once_a_week_and_a_restart_changes_nothing() {
        let settings = weekly();
        let (mut now, mut known) = fresh();
        assert_eq!(settings.due("m", &Known::default(), now), Some(Why::First));
        let mut times = Vec::new();
        for _ in 0..21 * 24 {
            now += HOUR;
            // All that is known after a restart.
            let after_restart = Known {
                trained: known.trained,
                ..Known::default()
            };
            if settings.due("m", &after_restart, now).is_some() && settings.may(&known, now) {
                times.push(now);
                known.trained = Some(now);
            }
        }
        let apart: Vec<Millis> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(apart, [7 * DAY; 2], "{times:?}");
    }

    #[test]
    fn lasting_drift_and_errors_train_but_not_at_once_again() {
        let settings = Settings {
            above_error: Some(0.2),
            ..weekly()
        };
        let (now, mut known) = fresh();
        let gap = Span::minutes(120);
        known.drifting.see(true, now, gap);
        known.drifting.see(true, now + HOUR - 1, gap);
        assert_eq!(settings.due("m", &known, now + HOUR), None);
        known.drifting.see(true, now + HOUR, gap);
        assert_eq!(settings.due("m", &known, now + HOUR), Some(Why::Drift));
        let mut unseen = known.clone();
        unseen.drifting.see(true, now + 4 * HOUR, gap);
        assert_eq!(settings.due("m", &unseen, now + 4 * HOUR), None, "not seen");
        known.drifting.see(false, now + HOUR, gap);
        known.drifting.see(true, now + HOUR, gap);
        assert_eq!(settings.due("m", &known, now + HOUR), None, "begun anew");
        known.drifting.see(true, now + 2 * HOUR, gap);
        let drifting = std::mem::take(&mut known.drifting);
        known.erring.see(true, now, gap);
        known.erring.see(true, now + HOUR, gap);
        assert_eq!(settings.due("m", &known, now + HOUR), Some(Why::Error));
        known.drifting = drifting;
        known.trained = Some(now + HOUR);
        assert_eq!(
            settings.due("m", &known, now + 6 * HOUR),
            None,
            "trained since"
        );
        assert_eq!(settings.due("m", &known, now + 7 * HOUR), Some(Why::Drift));
        let deaf = Settings {
            on_drift: false,
            ..weekly()
        };
        assert_eq!(deaf.due("m", &known, now + 7 * HOUR), None);
    }

    #[test]
    fn failures_wait_longer_and_longer_up_to_the_pause() {
        let settings = weekly();
        let (now, mut known) = fresh();
        known.trained = None;
        known.tried = Some(now);
        let mut waits = Vec::new();
        for failures in 1..8 {
            known.failures = failures;
            let wait = (0..).find(|minutes| settings.may(&known, now + minutes * 60_000));
            waits.push(wait.unwrap());
        }
        assert_eq!(waits, [15, 30, 60, 120, 240, 360, 360]);
        known.trained = Some(now + 30 * DAY);
        assert!(settings.may(&known, now + DAY), "the clock was set back");
    }

    #[test]
    fn a_challenger_must_be_better_by_the_margin_on_enough_forecasts() {
        let contest = |losses: &[(f32, f32, u64)]| Contest {
            model: "m".to_owned(),
            champion: "1".to_owned(),
            challenger: Some("2".to_owned()),
            previous: None,
            horizons: losses
                .iter()
                .map(|&(champion, challenger, scored)| ContestHorizon {
                    span: Span::minutes(15),
                    champion,
                    challenger,
                    previous: f32::NAN,
                    scored,
                    since: 0,
                })
                .collect(),
        };
        let rule = Promote::default();
        assert!(rule.is_better(&contest(&[(0.8, 0.7, 600)])));
        assert!(
            !rule.is_better(&contest(&[(0.8, 0.79, 600)])),
            "not by enough"
        );
        assert!(!rule.is_better(&contest(&[(0.8, 0.7, 400)])), "too few");
        assert!(!rule.is_better(&contest(&[])), "none");
        assert!(!rule.is_better(&contest(&[(0.8, f32::NAN, 600)])));
        assert!(!rule.is_better(&contest(&[(0.8, 0.7, 600), (0.8, 0.95, 600)])));
        let alone = Contest {
            challenger: None,
            ..contest(&[(0.8, 0.7, 600)])
        };
        assert!(!rule.is_better(&alone));
    }

    #[test]
    fn says_what_is_wrong_and_what_is_allowed() {
        let read = |text: &str| serde_yaml::from_str::<Settings>(text);
        let good = read("{model: m, network: trees, every: 1d, promote: {after: 1d}}").unwrap();
        assert_eq!(good.network, Kind::Trees);
        assert!(good.validate().is_empty());
        assert!(
            read("{network: deep}")
                .unwrap_err()
                .to_string()
                .contains("mlp, lstm, trees")
        );
        let bad = "{model: a/b, every: 1h, from: 1h, pause: 1m, margin: 2, max_error: 0, above_error: -1, promote: {margin: -1, after: 0s}}";
        // The pause is too short as well, and so is what is compared with it.
        let mut fields: Vec<String> = read(bad)
            .unwrap()
            .validate()
            .into_iter()
            .map(|(field, _)| field)
            .collect();
        fields.sort();
        let all = [
            "above_error",
            "from",
            "margin",
            "max_error",
            "model",
            "pause",
            "promote.after",
            "promote.margin",
        ];
        assert_eq!(fields, all);
        let fast = read("{every: 1h}").unwrap().validate();
        assert_eq!(fast[0].1, "1h is too short; allowed: 6h or longer");
    }
}
