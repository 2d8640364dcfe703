//! What several workloads share: a budget, the cores of a cluster, the calls an outside API allows in a day.
//!
//! What is asked for now goes before all surplus, and of each the workload of the highest priority first; workloads of
//! one priority give up the same share of what is left.

use crate::series::{Millis, Span};
use serde::{Deserialize, Serialize};

const HOUR: f64 = 3_600_000.0;
/// Of what passed between two decisions no more is counted: what was used through an outage is not known.
const LONGEST_GAP: Millis = 600_000;

/// Something shared, as written in configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedSettings {
    /// Its name, to which `uses` of workloads refers. What a workload does not name in `uses` it does not take.
    pub name: String,
    /// All of it, in the unit of `uses`: cores, GiB, money per hour.
    pub limit: f64,
    /// The limit is a quota of each such span, as a day's calls, from multiples of it since the epoch on (UTC), and `uses` is
    /// what one replica takes of it in an hour.
    #[serde(default)]
    pub per: Option<Span>,
}

/// What was used of a quota.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Used {
    /// The name of what it is of: quotas come and go with the configuration.
    #[serde(default)]
    name: String,
    /// When the span began that the quota is for.
    from: Millis,
    /// What was used since then.
    amount: f32,
    /// What is used in an hour, as of the newest decision.
    hourly: f32,
    /// The newest decision.
    at: Option<Millis>,
}

impl Used {
    /// What was used of each of `shared`, in their order; what is written down without a name belongs to none.
    pub(super) fn matched(known: Vec<Self>, shared: &[SharedSettings]) -> Vec<Self> {
        let of = |settings: &SharedSettings| {
            let found = known.iter().find(|one| one.name == settings.name);
            found.cloned().unwrap_or_else(|| Self {
                name: settings.name.clone(),
                ..Self::default()
            })
        };
        shared.iter().map(of).collect()
    }

    /// What may be used at `at`, in the unit of `uses`: of a quota what is left of it, spread over what is left of its
    /// span.
    pub(super) fn limit(&mut self, at: Millis, settings: &SharedSettings) -> f64 {
        let Some(per) = settings.per.map(|per| per.as_millis().max(1)) else {
            return settings.limit;
        };
        let from = at.div_euclid(per) * per;
        let since = self.at.map_or(0, |then| (at - then).clamp(0, LONGEST_GAP));
        let inside = since.min(at - from);
        if self.from != from {
            self.from = from;
            self.amount = 0.0;
        }
        self.amount += (f64::from(self.hourly) * inside as f64 / HOUR) as f32;
        self.at = Some(at);
        let left = (settings.limit - f64::from(self.amount)).max(0.0);
        left / ((from + per - at) as f64 / HOUR)
    }

    /// What is used in an hour from now on.
    pub(super) fn note(&mut self, hourly: f64) {
        self.hourly = hourly as f32;
    }
}

impl SharedSettings {
    /// Every problem, as (field, what is wrong and what is allowed).
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if self.name.trim().is_empty() {
            let text = "write a name that `uses` of workloads can refer to".to_owned();
            problems.push(("name".to_owned(), text));
        }
        if !(self.limit > 0.0 && self.limit.is_finite()) {
            let text = format!("{} is not above 0", self.limit);
            problems.push(("limit".to_owned(), text));
        }
        let allowed = Span::minutes(60)..=Span::days(31);
        if let Some(per) = self.per.filter(|per| !allowed.contains(per)) {
            let text = format!("{per} is not within 1h to 31d");
            problems.push(("per".to_owned(), text));
        }
        problems
    }
}

/// What one workload wants of something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Claim {
    pub(super) priority: i32,
    /// Of one replica.
    pub(super) use_each: f64,
    /// Given whatever is left; at most `wanted`.
    pub(super) least: u32,
    /// Asked for now.
    pub(super) asked: u32,
    /// With the surplus; at least `asked`.
    pub(super) wanted: u32,
}

/// The size that each claim may have, where `limit` does not allow all that is wanted; `None` where it does.
pub(super) fn divide(limit: f64, claims: &[Claim]) -> Option<Vec<u32>> {
    let wanted: f64 = claims
        .iter()
        .map(|one| one.use_each * f64::from(one.wanted))
        .sum();
    if wanted <= limit * (1.0 + 1e-9) {
        return None;
    }
    let mut order: Vec<usize> = (0..claims.len()).collect();
    order.sort_by_key(|&place| std::cmp::Reverse(claims[place].priority));
    let mut given: Vec<u32> = claims.iter().map(|one| one.least).collect();
    let taken: f64 = claims
        .iter()
        .map(|one| one.use_each * f64::from(one.least))
        .sum();
    let mut left = (limit - taken).max(0.0);
    for goal in [|one: &Claim| one.asked, |one: &Claim| one.wanted] {
        for group in order.chunk_by(|&one, &other| claims[one].priority == claims[other].priority) {
            fill(&mut left, group, claims, &mut given, goal);
        }
    }
    Some(given)
}

/// Gives the members of a group what they lack of their goals, or the same share of it.
fn fill(
    left: &mut f64,
    group: &[usize],
    claims: &[Claim],
    given: &mut [u32],
    goal: fn(&Claim) -> u32,
) {
    let lacks = |place: usize, given: &[u32]| goal(&claims[place]).saturating_sub(given[place]);
    let need =
        |place: usize, given: &[u32]| f64::from(lacks(place, given)) * claims[place].use_each;
    let needed: f64 = group.iter().map(|&place| need(place, given)).sum();
    if needed <= 0.0 {
        return;
    }
    let share = (*left / needed).clamp(0.0, 1.0);
    for &place in group {
        let more = (f64::from(lacks(place, given)) * share + 1e-9).floor() as u32;
        *left -= f64::from(more) * claims[place].use_each;
        given[place] += more;
    }
    // What rounding left over goes round, one replica each.
    for &place in group {
        if lacks(place, given) > 0 && claims[place].use_each <= *left * (1.0 + 1e-9) {
            *left -= claims[place].use_each;
            given[place] += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claim(priority: i32, asked: u32, wanted: u32) -> Claim {
        Claim {
            priority,
            use_each: 1.0,
            least: 0,
            asked,
            wanted,
        }
    }

    #[test]
    fn what_is_asked_for_now_goes_before_all_surplus() {
        let claims = [claim(9, 4, 10), claim(1, 5, 5), claim(1, 0, 8)];
        assert_eq!(divide(30.0, &claims), None);
        assert_eq!(divide(20.0, &claims), Some(vec![10, 5, 5]));
        assert_eq!(divide(10.0, &claims), Some(vec![5, 5, 0]));
        assert_eq!(divide(6.0, &claims), Some(vec![4, 2, 0]));
        assert_eq!(divide(3.0, &claims), Some(vec![3, 0, 0]));
    }

    #[test]
    fn those_of_one_priority_give_up_the_same_share() {
        let claims = [claim(0, 10, 10), claim(0, 20, 20)];
        assert_eq!(divide(15.0, &claims), Some(vec![5, 10]));
        assert_eq!(divide(16.0, &claims), Some(vec![6, 10]));
    }

    #[test]
    fn the_least_is_given_whatever_is_left() {
        let claim = |least: u32, priority: i32| Claim {
            least,
            ..claim(priority, 6, 9)
        };
        assert_eq!(divide(12.0, &[claim(2, 0), claim(1, 5)]), Some(vec![6, 6]));
        assert_eq!(divide(8.0, &[claim(2, 0), claim(1, 5)]), Some(vec![2, 6]));
        assert_eq!(divide(0.0, &[claim(2, 0), claim(1, 5)]), Some(vec![2, 1]));
    }

    #[test]
    fn what_was_used_is_known_by_name() {
        let settings = |name: &str| SharedSettings {
            name: name.to_owned(),
            limit: 24_000.0,
            per: Some(Span::days(1)),
        };
        let mut used = Used::matched(Vec::new(), &[settings("gpu"), settings("maps")]);
        used[1].amount = 9.0;
        used.push(Used {
            amount: 7.0,
            ..Used::default()
        });
        let amounts = |shared: &[SharedSettings]| {
            let found = Used::matched(used.clone(), shared);
            found.iter().map(|one| one.amount).collect::<Vec<_>>()
        };
        assert_eq!(amounts(&[settings("maps")]), [9.0]);
        let more = [settings("new"), settings("gpu"), settings("maps")];
        assert_eq!(amounts(&more), [0.0, 0.0, 9.0]);
    }

    #[test]
    fn a_quota_lasts_its_day() {
        let settings = SharedSettings {
            name: "maps_api".to_owned(),
            limit: 24_000.0,
            per: Some(Span::days(1)),
        };
        let (mut used, mut sum) = (Used::default(), 0.0);
        for minute in 0..2 * 1_440 {
            let limit = used.limit(minute * 60_000, &settings);
            // Half the pace in the morning leaves more for later.
            let hour = minute / 60 % 24;
            let now = if hour < 12 { limit.min(500.0) } else { limit };
            assert!(hour < 12 || now >= 1_400.0, "{now} at {hour}");
            used.note(now);
            sum += now / 60.0;
            if minute % 1_440 == 1_439 {
                assert!((23_900.0..=24_010.0).contains(&sum), "{sum}");
                sum = 0.0;
            }
        }
    }

    proptest! {
        #[test]
        fn never_gives_more_than_there_is_nor_than_is_wanted(
            limit in 0.1_f64..200.0,
            claims in prop::collection::vec((-3_i32..3, 0.1_f64..8.0, 0_u32..40, 0_u32..40), 1..9),
        ) {
            let claims: Vec<Claim> = claims
                .into_iter()
                .map(|(priority, use_each, asked, more)| Claim {
                    priority, use_each, least: 0, asked, wanted: asked + more,
                })
                .collect();
            let given = divide(limit, &claims);
            let given = given.unwrap_or_else(|| claims.iter().map(|one| one.wanted).collect());
            let used: f64 = given.iter().zip(&claims).map(|(&n, one)| f64::from(n) * one.use_each).sum();
            prop_assert!(used <= limit * (1.0 + 1e-6));
            for (one, &size) in claims.iter().zip(&given) {
                prop_assert!(size <= one.wanted);
                // Nobody of a lower priority has surplus while this one lacks what it is asked for.
                let lower = claims.iter().zip(&given).filter(|(other, _)| other.priority < one.priority);
                for (other, &size_of_other) in lower {
                    if size_of_other > other.asked && size < one.asked {
                        prop_assert!(one.use_each > limit - used);
                    }
                }
            }
        }
    }
}
