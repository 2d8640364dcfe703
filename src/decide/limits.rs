//! What holds a size back: rates, cooldowns, stabilisation, hysteresis.
//!
//! They bind the surplus above what is asked for now, never what is asked for now (invariant 9).

use super::{Binding, Held, extent::Extent};
use crate::series::{Millis, Span};
use serde::Deserialize;

/// As HPA's longest `periodSeconds`, twice over.
const LONGEST: Span = Span::minutes(60);

/// Limits of a workload, as written in configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The least size.
    pub min: u32,
    /// The greatest size.
    pub max: Option<u32>,
    /// What becomes of `max` where the forecast is above it.
    pub max_breach: MaxBreach,
    /// How quickly the surplus may grow; at once where left out.
    pub up: Option<Rate>,
    /// How quickly the surplus may shrink; at once where left out.
    pub down: Option<Rate>,
    /// How long after a change another may follow.
    pub cooldown: Cooldowns,
    /// How long a wish must last.
    pub stabilisation: Stabilisation,
    /// What the forecast asks for within this time from now is not released.
    pub hold: Span,
    /// Smaller changes of the surplus than this share of the size are left out.
    pub hysteresis: f64,
    /// Share of the surplus that counts.
    pub sensitivity: f64,
    /// What the size may cost in an hour.
    pub budget_per_hour: Option<f64>,
    /// The surplus may use this share of the budget, so that the rest is left for what is asked for now.
    pub budget_throttle: f64,
    /// How long a size is kept after an abnormal drop of the demand.
    pub retry_storm: Span,
    /// How often up and down in turn, and within what time, is too often.
    pub oscillation: Oscillations,
}

/// What becomes of `max` where the forecast is above it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxBreach {
    /// It holds.
    #[default]
    Honor,
    /// It is raised to the forecast and a buffer.
    Increase(Increase),
}

/// How far `max` may be raised.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Increase {
    /// Share of the forecast size that comes on top.
    #[serde(default)]
    pub buffer: f64,
    /// Never above this.
    pub ceiling: u32,
}

/// So many replicas, or such a share of the size, in a time; the greater of both where both are given.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// So many.
    #[serde(default)]
    pub replicas: Option<u32>,
    /// Such a share, rounded up.
    #[serde(default)]
    pub fraction: Option<f64>,
    /// In this time.
    pub per: Span,
}

/// How long after a change another may follow.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cooldowns {
    /// A further change upwards after one upwards.
    pub up: Span,
    /// A change downwards after any.
    pub down: Span,
}

/// How long a wish must last.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stabilisation {
    /// The least wish of this time counts for the surplus.
    pub up: Span,
    /// What was asked for within this time is not released; in mode `full` only, as an autoscaler that
    /// follows has its own.
    pub down: Span,
}

/// How often up and down in turn is too often.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Oscillations {
    /// So many changes, each against the one before.
    pub changes: usize,
    /// Within this time.
    pub within: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            min: 1,
            max: None,
            max_breach: MaxBreach::Honor,
            up: None,
            down: None,
            cooldown: Cooldowns::default(),
            stabilisation: Stabilisation::default(),
            hold: Span::minutes(10),
            hysteresis: 0.05,
            sensitivity: 1.0,
            budget_per_hour: None,
            budget_throttle: 0.8,
            retry_storm: Span::minutes(10),
            oscillation: Oscillations::default(),
        }
    }
}

impl Default for Stabilisation {
    /// As the HPA's.
    fn default() -> Self {
        Self {
            up: Span::default(),
            down: Span::minutes(5),
        }
    }
}

impl Default for Oscillations {
    fn default() -> Self {
        Self {
            changes: 4,
            within: Span::minutes(30),
        }
    }
}

impl Rate {
    /// How many more or fewer it allows, at least one.
    pub(super) fn replicas(self, size: u32) -> u32 {
        let share = self.fraction.map(|share| (share * f64::from(size)).ceil());
        let share = share.map_or(0, |share| share as u32);
        self.replicas.unwrap_or(0).max(share).max(1)
    }

    fn validate(self, field: &str, problems: &mut Vec<(String, String)>) {
        if self.replicas.is_none() && self.fraction.is_none() {
            let text = "give replicas, fraction or both".to_owned();
            problems.push((field.to_owned(), text));
        }
        if self.replicas == Some(0) {
            let text = "0 would never let it change; at least 1".to_owned();
            problems.push((format!("{field}.replicas"), text));
        }
        if let Some(share) = self.fraction.filter(|one| !(*one > 0.0 && *one <= 10.0)) {
            let text = format!("{share} is not within 0 to 10, 0 excluded");
            problems.push((format!("{field}.fraction"), text));
        }
        let per = Span::seconds(1)..=LONGEST;
        if !per.contains(&self.per) {
            let text = format!("{} is not within 1s to {LONGEST}", self.per);
            problems.push((format!("{field}.per"), text));
        }
    }
}

impl Limits {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        self.validate_sizes(&mut problems);
        for (field, rate) in [("up", self.up), ("down", self.down)] {
            if let Some(rate) = rate {
                rate.validate(field, &mut problems);
            }
        }
        for (field, span) in [
            ("cooldown.up", self.cooldown.up),
            ("cooldown.down", self.cooldown.down),
            ("stabilisation.up", self.stabilisation.up),
            ("stabilisation.down", self.stabilisation.down),
            ("retry_storm", self.retry_storm),
        ] {
            if !(Span::default()..=LONGEST).contains(&span) {
                let text = format!("{span} is not within 0s to {LONGEST}");
                problems.push((field.to_owned(), text));
            }
        }
        if !(Span::default()..=Span::days(1)).contains(&self.hold) {
            let text = format!("{} is not within 0s to 24h", self.hold);
            problems.push(("hold".to_owned(), text));
        }
        let shares = [
            ("hysteresis", self.hysteresis, 0.0, 0.5),
            ("sensitivity", self.sensitivity, 0.1, 1.0),
            ("budget_throttle", self.budget_throttle, 0.1, 1.0),
        ];
        for (field, share, least, most) in shares {
            if !(least..=most).contains(&share) {
                let text = format!("{share} is not within {least} to {most}");
                problems.push((field.to_owned(), text));
            }
        }
        self.oscillation.validate(&mut problems);
        problems
    }

    /// What no budget and nothing that is shared goes below: a workload of none serves nobody.
    pub(super) fn floor(&self) -> u32 {
        self.min.max(1)
    }

    /// The longest time whose sizes are asked for, milliseconds.
    pub(super) fn memory(&self) -> Millis {
        let rates = [self.up, self.down];
        let spans = rates.iter().flatten().map(|rate| rate.per.as_millis());
        spans.max().unwrap_or(0)
    }

    /// How long a climb from the least to the greatest size takes, milliseconds; `None` where no rate limits it.
    pub(super) fn climb(&self) -> Option<Millis> {
        let (rate, max) = (self.up?, self.max?);
        let mut size = self.min;
        let mut steps: Millis = 0;
        // A share grows with the size; a day of minutes is further than any forecast looks.
        while size < max && steps < 1_440 {
            size = size.saturating_add(rate.replicas(size));
            steps += 1;
        }
        Some(steps * rate.per.as_millis())
    }

    fn validate_sizes(&self, problems: &mut Vec<(String, String)>) {
        match self.max {
            None => {
                let text = "is required: the greatest size, whatever is forecast".to_owned();
                problems.push(("max".to_owned(), text));
            }
            Some(max) if max < self.min.max(1) || max > super::MOST_REPLICAS => {
                let least = self.min.max(1);
                let text = format!("{max} is not within {least} to {}", super::MOST_REPLICAS);
                problems.push(("max".to_owned(), text));
            }
            Some(_) => {}
        }
        if let MaxBreach::Increase(increase) = self.max_breach {
            if !(0.0..=1.0).contains(&increase.buffer) {
                let text = format!("{} is not within 0 to 1", increase.buffer);
                problems.push(("max_breach.increase.buffer".to_owned(), text));
            }
            let most = super::MOST_REPLICAS;
            if !(self.max.unwrap_or(0)..=most).contains(&increase.ceiling) {
                let text = format!("{} is not within max to {most}", increase.ceiling);
                problems.push(("max_breach.increase.ceiling".to_owned(), text));
            }
        }
        if let Some(budget) = self.budget_per_hour
            && !(budget > 0.0 && budget.is_finite())
        {
            let text = format!("{budget} is not above 0");
            problems.push(("budget_per_hour".to_owned(), text));
        }
    }
}

impl Oscillations {
    fn validate(self, problems: &mut Vec<(String, String)>) {
        if !(3..=16).contains(&self.changes) {
            let text = format!("{} is not within 3 to 16", self.changes);
            problems.push(("oscillation.changes".to_owned(), text));
        }
        if !(Span::minutes(1)..=Span::days(1)).contains(&self.within) {
            let text = format!("{} is not within 1m to 24h", self.within);
            problems.push(("oscillation.within".to_owned(), text));
        }
    }
}

/// A size and what asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) size: u32,
    pub(super) by: Binding,
}

impl Wish {
    /// The greater wish; of equal ones the first.
    pub(super) fn or(self, size: Option<u32>, by: Binding) -> Self {
        match size {
            Some(size) if size > self.size => Self { size, by },
            _ => self,
        }
    }
}

/// A size after restraints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Restrained {
    pub(super) size: u32,
    pub(super) by: Binding,
    pub(super) held: Option<Held>,
}

/// What restraints look at beside limits and wishes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation<'a> {
    pub(super) at: Millis,
    /// The size before.
    pub(super) before: u32,
    /// The sizes of the last hour at most.
    pub(super) sizes: &'a Extent,
    pub(super) changed_up: Option<Millis>,
    pub(super) changed_down: Option<Millis>,
    /// It went up and down too often.
    pub(super) oscillates: bool,
}

impl Situation<'_> {
    /// `goal` as far as limits let it come true at once. `base` is what restraints never go below, `goal` at least
    /// that.
    pub(super) fn restrain(&self, limits: &Limits, base: Wish, goal: Wish) -> Restrained {
        let (size, by) = match goal.size.cmp(&self.before) {
            std::cmp::Ordering::Greater => self.rise(limits, goal),
            std::cmp::Ordering::Less => self.fall(limits, goal),
            std::cmp::Ordering::Equal => (goal.size, goal.by),
        };
        let held = (size != goal.size && size.max(base.size) != goal.size).then_some(Held {
            by,
            wanted: goal.size,
        });
        if size < base.size || (held.is_none() && goal.size == base.size) {
            let Wish { size, by } = base;
            return Restrained { size, by, held };
        }
        Restrained { size, by, held }
    }

    fn rise(&self, limits: &Limits, goal: Wish) -> (u32, Binding) {
        if is_small(limits, self.before, goal.size) {
            return (self.before, Binding::Hysteresis);
        }
        if self.is_recent(self.changed_up, limits.cooldown.up) {
            return (self.before, Binding::Cooldown);
        }
        let Some(rate) = limits.up else {
            return (goal.size, goal.by);
        };
        let least = self.sizes.least(self.at, rate.per.as_millis());
        let from = least.unwrap_or(self.before).min(self.before);
        let allowed = from.saturating_add(rate.replicas(from)).max(self.before);
        if goal.size > allowed {
            (allowed, Binding::RateUp)
        } else {
            (goal.size, goal.by)
        }
    }

    fn fall(&self, limits: &Limits, goal: Wish) -> (u32, Binding) {
        let cools = self.is_recent(self.changed_down, limits.cooldown.down)
            || self.is_recent(self.changed_up, limits.cooldown.down);
        let keeps = [
            (self.oscillates, Binding::Oscillation),
            (cools, Binding::Cooldown),
            (
                is_small(limits, self.before, goal.size),
                Binding::Hysteresis,
            ),
        ];
        if let Some((_, by)) = keeps.into_iter().find(|(holds, _)| *holds) {
            return (self.before, by);
        }
        let Some(rate) = limits.down else {
            return (goal.size, goal.by);
        };
        let greatest = self.sizes.greatest(self.at, rate.per.as_millis());
        let from = greatest.unwrap_or(self.before).max(self.before);
        let allowed = from.saturating_sub(rate.replicas(from)).min(self.before);
        if goal.size < allowed {
            (allowed, Binding::RateDown)
        } else {
            (goal.size, goal.by)
        }
    }

    fn is_recent(&self, then: Option<Millis>, span: Span) -> bool {
        then.is_some_and(|then| self.at.saturating_sub(then) < span.as_millis())
    }
}

/// Whether a change is too small to be made.
pub(super) fn is_small(limits: &Limits, before: u32, after: u32) -> bool {
    f64::from(before.abs_diff(after)) < limits.hysteresis * f64::from(before)
}
