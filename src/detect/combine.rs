//! How the scores of several detectors become one.
//!
//! A member without a score (`NaN`) abstains: it is left out, neither for nor against. `all` and
//! `at_least` need a quorum: at least half of the members must have a score, or there is none.

use super::Problems;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// How the scores of several detectors become one. A member without a score abstains.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// The greatest score.
    #[default]
    Max,
    /// Anomalous only where every member with a score says so: the least score.
    All,
    /// Anomalous where any member says so: the greatest score, as [`Combine::Max`].
    Any,
    /// Anomalous where so many members say so: the n-th greatest score.
    AtLeast(usize),
    /// The weighted mean, by the kind of the member; a member that is not named weighs 1.
    Weighted(Weights),
}

/// Weights of the members, by kind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Weights {
    by_kind: BTreeMap<String, f32>,
    by_position: Vec<f32>,
}

impl Weights {
    /// Weights by kind of member.
    pub fn new(by_kind: BTreeMap<String, f32>) -> Self {
        Self {
            by_kind,
            by_position: Vec::new(),
        }
    }

    fn of(&self, position: usize) -> f32 {
        self.by_position.get(position).copied().unwrap_or(1.0)
    }
}

impl<'de> Deserialize<'de> for Weights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(Self::new)
    }
}

impl Combine {
    /// Problems of this setting for members of these kinds, in the order of the configuration.
    pub fn validate(&self, members: &[&str]) -> Problems {
        match self {
            Self::Max | Self::All | Self::Any => Vec::new(),
            Self::AtLeast(least) if (1..=members.len()).contains(least) => Vec::new(),
            Self::AtLeast(least) => vec![(
                "at_least".into(),
                format!(
                    "{least} of {} detectors is impossible; allowed: 1 to their number",
                    members.len()
                ),
            )],
            Self::Weighted(weights) => weights
                .by_kind
                .iter()
                .filter_map(|(kind, &weight)| {
                    let problem = if !members.contains(&kind.as_str()) {
                        format!(
                            "no detector is called {kind:?}; there are: {}",
                            members.join(", ")
                        )
                    } else if !(weight.is_finite() && weight > 0.0) {
                        format!("{weight} is not a weight; allowed: greater than 0")
                    } else {
                        return None;
                    };
                    Some((format!("weighted.{kind}"), problem))
                })
                .collect(),
        }
    }

    /// The same with the weights put into the order of the members. Needed before [`Combine::apply`]
    /// where there are weights: scores come by position.
    pub fn for_members(&self, members: &[&str]) -> Self {
        match self {
            Self::Weighted(weights) => Self::Weighted(Weights {
                by_kind: weights.by_kind.clone(),
                by_position: members
                    .iter()
                    .map(|&kind| weights.by_kind.get(kind).copied().unwrap_or(1.0))
                    .collect(),
            }),
            other => other.clone(),
        }
    }

    /// `out[i]` is made of `scores[member][i]`; `NaN` where nobody (or no quorum) has a score.
    pub fn apply(&self, scores: &[&[f32]], out: &mut [f32]) {
        if matches!(self, Self::Max | Self::Any) {
            // The default, asked for every step of every past: `max` passes over what is NaN.
            for (index, combined) in out.iter_mut().enumerate() {
                let members = scores.iter().map(|member| member[index]);
                *combined = members.fold(f32::NAN, f32::max);
            }
            return;
        }
        let mut present = Vec::with_capacity(scores.len());
        for (index, combined) in out.iter_mut().enumerate() {
            present.clear();
            present.extend(
                scores
                    .iter()
                    .enumerate()
                    .map(|(position, member)| (position, member[index]))
                    .filter(|(_, score)| !score.is_nan()),
            );
            *combined = self.one(&mut present, scores.len());
        }
    }

    fn one(&self, present: &mut [(usize, f32)], members: usize) -> f32 {
        if present.is_empty() {
            return f32::NAN;
        }
        let quorum = 2 * present.len() >= members;
        match self {
            Self::Max | Self::Any => nth_greatest(present, 1),
            Self::All if quorum => nth_greatest(present, present.len()),
            Self::AtLeast(least) if quorum => {
                nth_greatest(present, (*least).clamp(1, present.len()))
            }
            Self::All | Self::AtLeast(_) => f32::NAN,
            Self::Weighted(weights) => {
                let weight: f32 = present
                    .iter()
                    .map(|&(position, _)| weights.of(position))
                    .sum();
                let sum: f32 = present
                    .iter()
                    .map(|&(position, score)| weights.of(position) * score)
                    .sum();
                sum / weight
            }
        }
    }
}

fn nth_greatest(present: &mut [(usize, f32)], n: usize) -> f32 {
    present.sort_unstable_by(|one, other| other.1.total_cmp(&one.1));
    present[n - 1].1
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: f32 = f32::NAN;

    fn check(combine: &Combine, scores: &[f32], expected: f32) {
        let columns: Vec<[f32; 1]> = scores.iter().map(|&score| [score]).collect();
        let slices: Vec<&[f32]> = columns.iter().map(|column| &column[..]).collect();
        let mut out = [0.0];
        combine.apply(&slices, &mut out);
        assert!(
            out[0] == expected || (out[0].is_nan() && expected.is_nan()),
            "{combine:?} of {scores:?} gave {} instead of {expected}",
            out[0]
        );
    }

    #[test]
    fn members_without_a_score_abstain() {
        check(&Combine::Max, &[0.5, NONE, 2.0], 2.0);
        check(&Combine::Max, &[NONE, NONE], NONE);
        check(&Combine::Any, &[0.5, NONE], 0.5);
        check(&Combine::All, &[0.5, NONE, 2.0], 0.5);
        check(&Combine::AtLeast(2), &[3.0, 0.5, 2.0, NONE], 2.0);
    }

    #[test]
    fn all_and_at_least_need_half_of_the_members() {
        check(&Combine::All, &[2.0, NONE, NONE], NONE);
        check(&Combine::All, &[2.0, NONE], 2.0);
        check(&Combine::AtLeast(2), &[2.0, NONE, NONE], NONE);
        check(&Combine::AtLeast(2), &[2.0, NONE], 2.0);
    }

    #[test]
    fn weights_go_by_kind_and_abstention_takes_the_weight_away() {
        let weights = BTreeMap::from([("zscore".to_owned(), 3.0)]);
        let combine = Combine::Weighted(Weights::new(weights)).for_members(&["envelope", "zscore"]);
        check(&combine, &[0.0, 2.0], 1.5);
        check(&combine, &[NONE, 2.0], 2.0);
        check(&combine, &[0.5, NONE], 0.5);
    }

    #[test]
    fn problems_name_what_is_allowed() {
        let members = ["envelope", "zscore"];
        assert_eq!(Combine::AtLeast(2).validate(&members), []);
        assert_eq!(Combine::AtLeast(3).validate(&members)[0].0, "at_least");
        assert_eq!(Combine::AtLeast(0).validate(&members).len(), 1);
        let weights = BTreeMap::from([("zscor".to_owned(), 1.0), ("zscore".to_owned(), -1.0)]);
        let problems = Combine::Weighted(Weights::new(weights)).validate(&members);
        assert!(problems[0].1.contains("envelope, zscore"), "{problems:?}");
        assert_eq!(problems[1].0, "weighted.zscore");
    }
}
