//! How the scores of several detectors become one.
//!
//! A member without a score (`NaN`) abstains: it is left out, neither for nor against. `all`, `at_least` and
//! `weighted` need a quorum: at least half of the members (of `weighted`: of the weight) must have a score, or there
//! is none.
//!
//! Every member is on one scale before it comes here: 1 is where values leave what is ordinary for *this* series,
//! however heavy its tail, so that no member shouts the others down. How each gets there:
//!
//! | members | calibrated by |
//! |---|---|
//! | changepoint, forecast_residual, mad, quantile, seasonal, zscore | `tail`: distances the series reaches now and then raise its threshold |
//! | autoencoder, envelope, isolation_forest, matrix_profile | `novelty`: distance outside the range of everything the series did before |
//! | one_class_svm, isolation_forest over a panel, deviation and pca of a single series | a quantile of the rates of their own past (`vectors`) |
//! | deviation and pca over a panel | the middle of the rates of their own past (`vectors`) |
//! | dbscan | the peers: their spread, now and in the newest steps, is the unit. Its own past does not count: an instance that has always been unlike its peers would become ordinary |
//!
//! So the result is on that scale too: it is never above the greatest score of a member, nor below the least one.

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
    /// The weighted quadratic mean, by the kind of the member; a member that is not named weighs 1.
    ///
    /// Scores are distances, and distances in several directions add up by their squares. With the plain mean a
    /// member would be outvoted by those that see nothing because they look for something else: one at 3 and three
    /// at 0 would be less than 1. Here one alone must reach `sqrt(all weight / own weight)` to give 1: of three equal
    /// ones 1.7, of four 2; with three quarters of the weight 1.15, with a quarter 2.
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

    /// The weighted quadratic mean of those present; `NaN` where they have less than half of the weight of all.
    fn mean(&self, present: &[(usize, f32)], members: usize) -> f32 {
        let all: f32 = (0..members).map(|position| self.of(position)).sum();
        let present = present.iter();
        let (weight, sum) = present.fold((0.0, 0.0), |(weight, sum), &(position, score)| {
            let own = self.of(position);
            (weight + own, sum + own * score * score)
        });
        if 2.0 * weight < all {
            return f32::NAN;
        }
        (sum / weight).sqrt()
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
            Self::Weighted(weights) => weights.mean(present, members),
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
    use proptest::prelude::*;

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

    fn weighted(weights: &[(&str, f32)], members: &[&str]) -> Combine {
        let weights = weights
            .iter()
            .map(|&(kind, weight)| (kind.to_owned(), weight));
        Combine::Weighted(Weights::new(weights.collect())).for_members(members)
    }

    #[test]
    fn weights_go_by_kind_and_abstention_takes_the_weight_away() {
        let combine = weighted(&[("zscore", 3.0)], &["envelope", "zscore"]);
        check(&combine, &[0.0, 2.0], 3.0_f32.sqrt());
        check(&combine, &[2.0, 0.0], 1.0);
        check(&combine, &[NONE, 2.0], 2.0);
        // A quarter of the weight is no quorum.
        check(&combine, &[0.5, NONE], NONE);
        check(&combine, &[NONE, NONE], NONE);
    }

    #[test]
    fn one_loud_member_is_not_outvoted_by_those_that_see_nothing() {
        let combine = weighted(&[], &["dbscan", "envelope", "seasonal", "zscore"]);
        check(&combine, &[0.0, 0.0, 0.0, 3.0], 1.5);
        check(&combine, &[0.0, 0.0, 0.0, 2.0], 1.0);
        // A little above the threshold it needs a second one that is nearly there.
        check(&combine, &[0.0, 0.0, 1.2, 1.2], 0.72_f32.sqrt());
        check(&combine, &[1.0, 1.0, 1.0, 1.0], 1.0);
    }

    proptest! {
        #[test]
        fn the_result_is_on_the_scale_of_the_members(
            scores in proptest::collection::vec(proptest::option::of(0.0_f32..1_000.0), 1..6),
            weights in proptest::collection::vec(0.1_f32..10.0, 6),
            least in 1_usize..6,
        ) {
            let kinds = ["a", "b", "c", "d", "e", "f"];
            let named: Vec<(&str, f32)> = kinds.into_iter().zip(weights).collect();
            let columns: Vec<[f32; 1]> = scores.iter().map(|score| [score.unwrap_or(NONE)]).collect();
            let slices: Vec<&[f32]> = columns.iter().map(|column| &column[..]).collect();
            let present: Vec<f32> = scores.iter().copied().flatten().collect();
            let low = present.iter().copied().fold(f32::INFINITY, f32::min);
            let high = present.iter().copied().fold(0.0, f32::max);
            let at_least = Combine::AtLeast(least.min(scores.len()));
            let weighted = weighted(&named, &kinds[..scores.len()]);
            for combine in [Combine::Max, Combine::Any, Combine::All, at_least, weighted] {
                let mut out = [0.0];
                combine.apply(&slices, &mut out);
                let inside = out[0] >= low * (1.0 - 1e-5) && out[0] <= high * (1.0 + 1e-5);
                prop_assert!(out[0].is_nan() || inside, "{combine:?} of {scores:?} gave {}", out[0]);
            }
        }
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
