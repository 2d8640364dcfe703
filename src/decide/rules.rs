//! Scaling rules: while a condition holds, more (or less) than is there.

use super::Truth;
use crate::series::{Millis, Span};
use serde::{Deserialize, Serialize};

/// A rule, as written in configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSettings {
    /// PromQL over the current series of this process.
    pub when: String,
    /// Above 1: so many times the size at which it began to hold. Below 1: this share of the surplus.
    pub scale: f64,
    /// Where it still holds after this, as much again.
    #[serde(default = "default_cooldown")]
    pub cooldown: Span,
    /// Of the rules that hold, that of the highest priority counts; of equal ones the first.
    #[serde(default)]
    pub priority: i32,
}

const fn default_cooldown() -> Span {
    Span::minutes(5)
}

impl RuleSettings {
    /// Every problem but those of the expression, as (field, what is wrong and what is allowed).
    pub(super) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if self.when.trim().is_empty() {
            let text = "is empty; write a condition such as queue_depth > 1000".to_owned();
            problems.push(("when".to_owned(), text));
        }
        if !(0.0..=10.0).contains(&self.scale) {
            let text = format!("{} is not within 0 to 10", self.scale);
            problems.push(("scale".to_owned(), text));
        }
        if !(Span::seconds(1)..=Span::days(1)).contains(&self.cooldown) {
            let text = format!("{} is not within 1s to 24h", self.cooldown);
            problems.push(("cooldown".to_owned(), text));
        }
        problems
    }
}

/// The rule in force: which, what it asks for, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Standing {
    fired: Option<(usize, u32, Millis)>,
    /// When that rule was last known to hold.
    #[serde(default)]
    held: Millis,
}

/// What rules come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    /// None holds.
    None,
    /// The rule of this place asks for so many.
    Grow(usize, u32),
    /// The rule of this place leaves this share of the surplus.
    Shrink(usize, f64),
}

impl Standing {
    /// What the rules come to at `at`; `size` is that before.
    ///
    /// A rule of which nothing is known keeps what it asked for, no more, for its cooldown; and none that leaves less
    /// counts below one of which nothing is known, as that one might ask for more.
    pub(super) fn judge(
        &mut self,
        rules: &[RuleSettings],
        truths: &[Truth],
        at: Millis,
        size: u32,
    ) -> Verdict {
        let judged = || rules.iter().zip(truths).enumerate();
        let rank = |place: usize| (rules[place].priority, std::cmp::Reverse(place));
        let kept = self.kept(rules, truths, at);
        let counts = judged().filter(|(place, (_, truth))| {
            **truth == Truth::Holds || kept.is_some_and(|(kept, _)| kept == *place)
        });
        let winner = counts
            .map(|(place, _)| place)
            .max_by_key(|place| rank(*place));
        let Some(place) = winner else {
            self.fired = None;
            return Verdict::None;
        };
        if let Some((_, goal)) = kept.filter(|(kept, _)| *kept == place) {
            return Verdict::Grow(place, goal);
        }
        let rule = &rules[place];
        if rule.scale < 1.0 {
            self.fired = None;
            let mut unknown = judged().filter(|(_, (_, truth))| **truth == Truth::Unknown);
            return match unknown.any(|(other, _)| rank(other) > rank(place)) {
                true => Verdict::None,
                false => Verdict::Shrink(place, rule.scale),
            };
        }
        self.held = at;
        let times = |size: u32| {
            let goal = (f64::from(size) * rule.scale - 1e-9).ceil();
            goal.min(f64::from(super::MOST_REPLICAS)) as u32
        };
        let (_, goal, _) = *match &mut self.fired {
            Some(fired) if fired.0 == place => {
                if at - fired.2 >= rule.cooldown.as_millis() {
                    *fired = (place, times(size).max(fired.1), at);
                }
                fired
            }
            fired => fired.insert((place, times(size), at)),
        };
        Verdict::Grow(place, goal)
    }

    /// The rule that fired and of which nothing is known right now, with what it asked for.
    fn kept(&self, rules: &[RuleSettings], truths: &[Truth], at: Millis) -> Option<(usize, u32)> {
        let (place, goal, _) = self.fired?;
        let rule = rules.get(place)?;
        let is_unknown = truths.get(place) == Some(&Truth::Unknown);
        let lasts = at - self.held < rule.cooldown.as_millis();
        (is_unknown && lasts).then_some((place, goal))
    }

    /// The clock was set back.
    pub(super) fn rewind(&mut self, at: Millis) {
        self.held = self.held.min(at);
        if let Some(fired) = &mut self.fired {
            fired.2 = fired.2.min(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Truth::{Fails, Holds, Unknown};

    const MINUTE: Millis = 60_000;

    fn rule(scale: f64, priority: i32) -> RuleSettings {
        RuleSettings {
            when: "queue_depth > 1000".to_owned(),
            scale,
            cooldown: Span::minutes(5),
            priority,
        }
    }

    #[test]
    fn grows_once_per_cooldown_while_it_holds() {
        let (rules, mut standing) = ([rule(1.5, 0)], Standing::default());
        let mut judge =
            |minute, truth, size| standing.judge(&rules, &[truth], minute * MINUTE, size);
        assert_eq!(judge(0, Holds, 10), Verdict::Grow(0, 15));
        assert_eq!(judge(1, Holds, 15), Verdict::Grow(0, 15));
        assert_eq!(judge(5, Holds, 15), Verdict::Grow(0, 23));
        // A cut by a ceiling does not take back what was asked for.
        assert_eq!(judge(10, Holds, 4), Verdict::Grow(0, 23));
        assert_eq!(judge(11, Fails, 23), Verdict::None);
        assert_eq!(judge(12, Holds, 10), Verdict::Grow(0, 15));
    }

    #[test]
    fn what_is_not_known_keeps_what_was_asked_for_and_takes_nothing_away() {
        let (rules, mut standing) = ([rule(1.5, 9), rule(0.5, 1)], Standing::default());
        let mut judge = |minute, first, second, size| {
            standing.judge(&rules, &[first, second], minute * MINUTE, size)
        };
        assert_eq!(judge(0, Holds, Fails, 10), Verdict::Grow(0, 15));
        assert_eq!(judge(4, Holds, Holds, 15), Verdict::Grow(0, 15));
        // From when it was last known; not one more, though the cooldown of what it asked for is over.
        assert_eq!(judge(5, Unknown, Holds, 15), Verdict::Grow(0, 15));
        assert_eq!(judge(8, Unknown, Holds, 15), Verdict::Grow(0, 15));
        assert_eq!(judge(9, Unknown, Holds, 15), Verdict::None);
        assert_eq!(judge(10, Fails, Holds, 15), Verdict::Shrink(1, 0.5));
        assert_eq!(
            judge(11, Unknown, Holds, 15),
            Verdict::None,
            "it never fired since"
        );
        // Below one that shrinks, what is not known changes nothing.
        let rules = [rule(1.5, 1), rule(0.5, 9)];
        let judged = Standing::default().judge(&rules, &[Unknown, Holds], 0, 10);
        assert_eq!(judged, Verdict::Shrink(1, 0.5));
        let equal = [rule(0.5, 1), rule(1.5, 1)];
        let judged = Standing::default().judge(&equal, &[Holds, Unknown], 0, 10);
        assert_eq!(judged, Verdict::Shrink(0, 0.5), "of equal ones the first");
    }

    #[test]
    fn the_highest_priority_counts_and_of_equal_ones_the_first() {
        let rules = [rule(1.5, 1), rule(2.0, 9), rule(3.0, 9), rule(0.5, 4)];
        let judge = |truths: [Truth; 4]| Standing::default().judge(&rules, &truths, 0, 10);
        assert_eq!(judge([Holds; 4]), Verdict::Grow(1, 20));
        assert_eq!(judge([Holds, Fails, Holds, Holds]), Verdict::Grow(2, 30));
        assert_eq!(judge([Holds, Fails, Fails, Holds]), Verdict::Shrink(3, 0.5));
        assert_eq!(judge([Fails; 4]), Verdict::None);
        let few = Standing::default().judge(&rules, &[], 0, 10);
        assert_eq!(few, Verdict::None);
    }
}
