//! Whether a recommendation did good, and what becomes of one that did not.
//!
//! More replicas than were asked for can do harm: they do not start, or they take from each other what all of them need.
//! And a release can come too early. Both are seen afterwards, and then only what is asked for now counts for a while.

use crate::series::{Millis, Span};
use serde::{Deserialize, Serialize};

/// Utilisation that is higher by this share although there are more replicas got worse.
const WORSE: f64 = 1.1;

/// How recommendations are watched, as written in configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VerifySettings {
    /// Whether they are.
    pub enabled: bool,
    /// A query of the utilisation with one value, where capacity is declared.
    pub utilisation: Option<String>,
    /// A workload is saturated above this, in the unit of the utilisation.
    pub saturated: f64,
    /// Watched for so long after its replicas should be ready.
    pub watch: Span,
    /// Where it made things worse, only what is asked for now counts for so long.
    pub withdraw: Span,
}

impl Default for VerifySettings {
    fn default() -> Self {
        Self {
            enabled: true,
            utilisation: None,
            saturated: 0.95,
            watch: Span::minutes(5),
            withdraw: Span::minutes(30),
        }
    }
}

impl VerifySettings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub(super) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if !(self.saturated > 0.0 && self.saturated.is_finite()) {
            let text = format!("{} is not above 0", self.saturated);
            problems.push(("saturated".to_owned(), text));
        }
        for (field, span, most) in [
            ("watch", self.watch, Span::minutes(60)),
            ("withdraw", self.withdraw, Span::days(1)),
        ] {
            if !(Span::minutes(1)..=most).contains(&span) {
                let text = format!("{span} is not within 1m to {most}");
                problems.push((field.to_owned(), text));
            }
        }
        problems
    }
}

/// A change that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Watch {
    /// When it was recommended.
    at: Millis,
    /// The sizes before and after.
    before: u32,
    after: u32,
    /// What was ready, what was asked for and how utilised it was then.
    ready: u32,
    asked: u32,
    utilisation: Option<f32>,
}

/// How a workload does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Health {
    pub(super) at: Millis,
    pub(super) ready: u32,
    /// What the autoscaler asked for, where that is known.
    pub(super) wanted: Option<u32>,
    /// The size that is asked for now.
    pub(super) asked: u32,
    pub(super) utilisation: Option<f64>,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is too early to say.
    Open,
    /// It did no harm.
    Good,
    /// It made things worse.
    Worse,
}

impl Watch {
    pub(super) fn new(health: Health, before: u32, after: u32) -> Self {
        Self {
            at: health.at,
            before,
            after,
            ready: health.ready,
            asked: health.asked,
            utilisation: health.utilisation.map(|one| one as f32),
        }
    }

    /// Whether a change from `before` to `after` is a further step of this one.
    pub(super) fn goes_on(&self, before: u32, after: u32) -> bool {
        (self.after > self.before) == (after > before)
    }

    /// What became of it; `takes`: from a decision until its replicas should be ready, milliseconds.
    pub(super) fn judge(
        &self,
        settings: &VerifySettings,
        takes: Millis,
        health: Health,
    ) -> Verdict {
        let since = health.at - self.at;
        if since > takes + settings.watch.as_millis() {
            return Verdict::Good;
        }
        let worse = match self.after > self.before {
            true => since >= takes && self.grew_worse(settings, health),
            false => self.released_too_early(settings, health),
        };
        if worse { Verdict::Worse } else { Verdict::Open }
    }

    /// With more replicas asked for fewer are ready than before, or they are saturated and work no better, without
    /// more being asked of them.
    fn grew_worse(&self, settings: &VerifySettings, health: Health) -> bool {
        let meant = health.wanted.is_some_and(|wanted| wanted < self.before);
        let fewer = health.ready < self.ready.min(self.before) && !meant;
        let (Some(before), Some(now)) = (self.utilisation, health.utilisation) else {
            return fewer;
        };
        let busier = now > settings.saturated
            && now > f64::from(before) * WORSE
            && health.asked <= self.asked;
        fewer || busier
    }

    /// What was given up is needed, and what is left is saturated, as far as that is known.
    fn released_too_early(&self, settings: &VerifySettings, health: Health) -> bool {
        let short = health.asked > self.after.max(health.ready) && health.asked <= self.before;
        let saturated = health
            .utilisation
            .is_none_or(|one| one > settings.saturated);
        short && saturated
    }

    /// The clock was set back.
    pub(super) fn rewind(&mut self, at: Millis) {
        self.at = self.at.min(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Millis = 60_000;

    fn health(minute: Millis, ready: u32, asked: u32, utilisation: f64) -> Health {
        Health {
            at: minute * MINUTE,
            ready,
            wanted: None,
            asked,
            utilisation: Some(utilisation),
        }
    }

    #[test]
    fn judges_what_became_of_more_replicas() {
        let watch = Watch::new(health(0, 10, 8, 0.6), 10, 15);
        let judge = |health| watch.judge(&VerifySettings::default(), 4 * MINUTE, health);
        assert_eq!(judge(health(2, 8, 8, 0.6)), Verdict::Open);
        assert_eq!(judge(health(5, 15, 8, 0.4)), Verdict::Open);
        assert_eq!(judge(health(5, 8, 8, 0.6)), Verdict::Worse);
        assert_eq!(judge(health(5, 15, 8, 0.97)), Verdict::Worse);
        assert_eq!(judge(health(5, 15, 14, 0.97)), Verdict::Open);
        assert_eq!(judge(health(10, 8, 8, 0.6)), Verdict::Good);
        // The autoscaler itself went down.
        let meant = Health {
            wanted: Some(8),
            ..health(5, 8, 8, 0.6)
        };
        assert_eq!(judge(meant), Verdict::Open);
    }

    #[test]
    fn judges_what_became_of_a_release() {
        let watch = Watch::new(health(0, 15, 8, 0.4), 15, 10);
        let judge = |health| watch.judge(&VerifySettings::default(), 4 * MINUTE, health);
        assert_eq!(judge(health(2, 10, 9, 0.9)), Verdict::Open);
        assert_eq!(judge(health(3, 10, 13, 0.99)), Verdict::Worse);
        assert_eq!(judge(health(3, 10, 13, 0.7)), Verdict::Open);
        // No size that was there would have been enough.
        assert_eq!(judge(health(3, 10, 30, 0.99)), Verdict::Open);
    }
}
