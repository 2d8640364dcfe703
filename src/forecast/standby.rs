//! What stands by for one series at one horizon, should the choice in force have no answer.
//!
//! The chain, each link with errors of its own, so that the interval around its expected value is as wide as *it* was wrong on
//! the walk that calibrates, and not as the better model was:
//!
//! | link | expected value |
//! |---|---|
//! | `champion` | the choice in force, where a network is part of it |
//! | `previous` | the same with the version of the network that was in force before |
//! | `ensemble` | the choice in force, where it is of statistical members alone; or the best one of those that answers |
//! | `seasonal_naive` | as at the same time a season ago |
//! | `rule` | growth carried on, see [`super::rule`] |
//! | `absent` | none, nor an interval |

use super::{
    Interval,
    choice::Choice,
    conformal::{AIMED_SHARE, HAIR, LEAST_RESIDUALS, REPEATED},
};

/// Statistical members that stand by.
const MOST_MEMBERS: usize = 3;

/// What a series is forecast with at one horizon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Link {
    /// The choice in force, a network among it.
    Champion,
    /// The same with the version of the network that was in force before.
    Previous,
    /// Statistical members.
    Ensemble,
    /// The same time a season ago.
    SeasonalNaive,
    /// Growth carried on.
    Rule,
    /// Nothing.
    #[default]
    Absent,
}

impl Link {
    /// All links, first to last.
    pub const ALL: [Self; 6] = [
        Self::Champion,
        Self::Previous,
        Self::Ensemble,
        Self::SeasonalNaive,
        Self::Rule,
        Self::Absent,
    ];

    /// As in the label `link`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Champion => "champion",
            Self::Previous => "previous",
            Self::Ensemble => "ensemble",
            Self::SeasonalNaive => "seasonal_naive",
            Self::Rule => "rule",
            Self::Absent => "absent",
        }
    }
}

/// Who has an expected value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The choice in force, with former versions of its networks.
    Previous,
    /// The member at this index.
    Member(usize),
    /// Seasonal naive.
    Reference,
    Rule,
}

impl Source {
    pub(super) fn link(self) -> Link {
        match self {
            Self::Previous => Link::Previous,
            Self::Member(_) => Link::Ensemble,
            Self::Reference => Link::SeasonalNaive,
            Self::Rule => Link::Rule,
        }
    }

    /// Who stands by for a choice, in the order in which they are asked. `ranking` has the members by their loss,
    /// `networks` says which of them are, `former` whether the choice has a former version to go back to.
    pub(super) fn behind(
        choice: Option<Choice>,
        ranking: &[usize],
        networks: &[bool],
        former: bool,
    ) -> Vec<Self> {
        let chosen = |member: &usize| choice.is_some_and(|choice| choice.has(*member));
        let statistical = ranking.iter().copied().filter(|&member| !networks[member]);
        let mut members: Vec<usize> = statistical.collect();
        members.sort_by_key(|member| !chosen(member));
        // A choice of one statistical member has nothing to gain from itself.
        members.retain(|&member| choice != Some(Choice::One(member)));
        members.truncate(MOST_MEMBERS);
        let members = members.into_iter().map(Self::Member);
        let former = former.then_some(Self::Previous);
        let last = [Self::Reference, Self::Rule];
        former.into_iter().chain(members).chain(last).collect()
    }
}

/// Shares of the residuals below which the kept ones lie.
const LEVELS: [f32; 17] = [
    0.0, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99, 1.0,
];

/// A source, and how wrong it was.
#[derive(Debug, Clone)]
pub(super) struct Standby {
    pub(super) source: Source,
    /// Residuals at [`LEVELS`], further out the fewer there were.
    residuals: [f32; LEVELS.len()],
}

impl Standby {
    /// `None` where too few residuals are known to say anything. Those that are not finite do not count; `overlap` is how
    /// many forecasts are under way at once, which repeat each other.
    pub(super) fn new(
        source: Source,
        residuals: impl Iterator<Item = f32>,
        overlap: usize,
    ) -> Option<Self> {
        let mut known: Vec<f32> = residuals.filter(|value| value.is_finite()).collect();
        if known.len() < LEAST_RESIDUALS {
            return None;
        }
        known.sort_unstable_by(f32::total_cmp);
        let few = (1.0 + REPEATED * overlap as f32) / known.len() as f32;
        let at = |level: f32| between(&known, level * (known.len() - 1) as f32);
        let residuals = LEVELS.map(|level| {
            let out = (2.0 * level - 1.0).abs();
            at(0.5) + (1.0 + out * few) * (at(level) - at(0.5))
        });
        Some(Self { source, residuals })
    }

    /// The value below which a share `level` (0 to 1) of actual values is expected.
    pub(super) fn quantile(&self, expected: f32, level: f32) -> f32 {
        let above = LEVELS.partition_point(|&known| known <= level);
        let above = above.clamp(1, LEVELS.len() - 1);
        let (low, high) = (LEVELS[above - 1], LEVELS[above]);
        let share = ((level - low) / (high - low)).clamp(0.0, 1.0);
        let (below, above) = (self.residuals[above - 1], self.residuals[above]);
        expected + below + share * (above - below)
    }

    /// What to publish, with a share `tail` of values outside at each end. It holds the expected value itself, and a
    /// little around it, as a series may rest.
    pub(super) fn interval(&self, expected: f32, tail: f32) -> Interval {
        let tail = tail * AIMED_SHARE;
        let scale = self.residuals[LEVELS.len() - 1] - self.residuals[0];
        let hair = scale * HAIR + expected.abs() * (4.0 * f32::EPSILON);
        Interval {
            expected,
            lower: self.quantile(expected, tail).min(expected) - hair,
            upper: self.quantile(expected, 1.0 - tail).max(expected) + hair,
        }
    }
}

/// Between the two nearest places of a sorted list.
fn between(sorted: &[f32], position: f32) -> f32 {
    let below = (position as usize).min(sorted.len() - 1);
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (position - below as f32) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stands_by_follows_the_chain() {
        let networks = [false, false, true, false, false, false];
        let ranking = [2, 4, 0, 5, 3, 1];
        let behind = |choice, former| Source::behind(choice, &ranking, &networks, former);
        assert_eq!(
            behind(Some(Choice::Two(2, 3, 0.5)), true),
            [
                Source::Previous,
                Source::Member(3),
                Source::Member(4),
                Source::Member(0),
                Source::Reference,
                Source::Rule
            ]
        );
        assert_eq!(
            behind(Some(Choice::One(4)), false),
            [
                Source::Member(0),
                Source::Member(5),
                Source::Member(3),
                Source::Reference,
                Source::Rule
            ]
        );
        assert_eq!(
            Source::behind(None, &[], &networks, false),
            [Source::Reference, Source::Rule]
        );
        assert!(Link::ALL.is_sorted() && Link::ALL.map(Link::name).len() == 6);
    }

    #[test]
    fn its_interval_holds_as_many_of_its_own_errors_as_it_promises() {
        let mut random = fastrand::Rng::with_seed(5);
        // Skewed, and off by ten in the mean.
        let residuals: Vec<f32> = (0..4_000).map(|_| 10.0 + random.f32().powi(3)).collect();
        let fresh: Vec<f32> = (0..4_000).map(|_| 10.0 + random.f32().powi(3)).collect();
        let standby = Standby::new(Source::Rule, residuals.into_iter(), 3).unwrap();
        for tail in [0.25, 0.1, 0.05, 0.025] {
            let Interval {
                expected,
                lower,
                upper,
            } = standby.interval(50.0, tail);
            assert!(lower <= expected && expected <= upper);
            let inside = fresh.iter().filter(|&&value| 50.0 + value <= upper);
            let share = inside.count() as f32 / fresh.len() as f32;
            assert!((share - (1.0 - tail)).abs() < 0.04, "{tail}: {share}");
        }
        let mut before = f32::NEG_INFINITY;
        for percent in 0..=100 {
            let value = standby.quantile(50.0, percent as f32 / 100.0);
            assert!(value >= before, "{percent}");
            before = value;
        }
    }

    #[test]
    fn without_enough_errors_it_says_nothing() {
        let few = (0..LEAST_RESIDUALS - 1).map(|value| value as f32);
        assert!(Standby::new(Source::Rule, few.clone().chain([f32::NAN; 30]), 0).is_none());
        assert!(Standby::new(Source::Rule, few.chain([5.0]), 0).is_some());
    }
}
