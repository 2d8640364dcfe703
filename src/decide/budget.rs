//! Money: what replicas cost, how many a budget allows, how many of them may be ones that vanish.

use serde::Deserialize;

/// What a replica costs, and what a missing one does; any currency.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostSettings {
    /// One replica for an hour.
    #[serde(default)]
    pub replica_hour: Option<f64>,
    /// One replica too few for an hour.
    #[serde(default)]
    pub shortfall_hour: Option<f64>,
}

/// Replicas that are cheaper and may vanish.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpotSettings {
    /// At most this share of the size.
    pub share: f64,
    /// At least so many are not.
    #[serde(default = "one")]
    pub on_demand_min: u32,
    /// What one costs for an hour; as much as the others where left out.
    #[serde(default)]
    pub replica_hour: Option<f64>,
}

const fn one() -> u32 {
    1
}

impl CostSettings {
    /// The critical ratio of the newsvendor: what a missing replica costs, of that and of what an idle one costs.
    /// `None` unless both are known.
    pub fn level(&self) -> Option<f64> {
        let (over, under) = (self.replica_hour?, self.shortfall_hour?);
        let level = under / (under + over);
        level.is_finite().then_some(level)
    }

    /// Every problem, as (field, what is wrong and what is allowed).
    pub(super) fn validate(&self) -> Vec<(String, String)> {
        let fields = [
            ("replica_hour", self.replica_hour),
            ("shortfall_hour", self.shortfall_hour),
        ];
        let bad = |value: &f64| !(*value > 0.0 && value.is_finite());
        let found = fields.into_iter().filter_map(|(field, value)| {
            let value = value.filter(bad)?;
            Some((field.to_owned(), format!("{value} is not above 0")))
        });
        found.collect()
    }
}

impl SpotSettings {
    /// How many of `size` replicas must not be ones that vanish.
    pub fn on_demand(&self, size: u32) -> u32 {
        let spot = (f64::from(size) * self.share + 1e-9).floor() as u32;
        (size - spot.min(size)).max(self.on_demand_min).min(size)
    }

    /// Every problem, as (field, what is wrong and what is allowed).
    pub(super) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if !(0.0..=1.0).contains(&self.share) {
            let text = format!("{} is not within 0 to 1", self.share);
            problems.push(("share".to_owned(), text));
        }
        if let Some(price) = self.replica_hour
            && !(price > 0.0 && price.is_finite())
        {
            problems.push(("replica_hour".to_owned(), format!("{price} is not above 0")));
        }
        problems
    }
}

/// What `size` replicas cost in an hour; `None` where no price is known.
pub fn cost_per_hour(
    cost: Option<&CostSettings>,
    spot: Option<&SpotSettings>,
    size: u32,
) -> Option<f64> {
    let price = cost?.replica_hour?;
    let on_demand = spot.map_or(size, |spot| spot.on_demand(size));
    let cheap = spot.and_then(|spot| spot.replica_hour).unwrap_or(price);
    Some(f64::from(on_demand) * price + f64::from(size - on_demand) * cheap)
}

/// The greatest size, up to `most`, that costs no more than `budget` in an hour; `None` where no price is known.
pub(super) fn affordable(
    cost: Option<&CostSettings>,
    spot: Option<&SpotSettings>,
    budget: f64,
    most: u32,
) -> Option<u32> {
    let fits = |size: u32| {
        let price = cost_per_hour(cost, spot, size)?;
        Some(price <= budget * (1.0 + 1e-9))
    };
    fits(0)?;
    // The cost never falls with the size: bisection.
    let (mut low, mut high) = (0, most.saturating_add(1));
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match fits(middle)? {
            true => low = middle,
            false => high = middle,
        }
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: CostSettings = CostSettings {
        replica_hour: Some(0.12),
        shortfall_hour: Some(2.4),
    };

    #[test]
    fn the_level_is_the_critical_ratio() {
        assert!((COST.level().unwrap() - 0.952_38).abs() < 1e-5);
        for (ratio, level) in [(1.0, 0.5), (9.0, 0.9), (19.0, 0.95), (99.0, 0.99)] {
            let cost = CostSettings {
                replica_hour: Some(2.0),
                shortfall_hour: Some(2.0 * ratio),
            };
            assert!((cost.level().unwrap() - level).abs() < 1e-9);
        }
    }

    #[test]
    fn a_budget_is_a_size() {
        assert_eq!(affordable(Some(&COST), None, 6.0, 1_000), Some(50));
        assert_eq!(affordable(Some(&COST), None, 0.1, 1_000), Some(0));
        assert_eq!(affordable(Some(&COST), None, 1e9, 1_000), Some(1_000));
        assert_eq!(affordable(None, None, 6.0, 1_000), None);
    }

    #[test]
    fn replicas_that_may_vanish_are_cheaper_and_never_all() {
        let spot = SpotSettings {
            share: 0.7,
            on_demand_min: 2,
            replica_hour: Some(0.04),
        };
        let on_demand = [0, 1, 2, 3, 10, 11].map(|size| spot.on_demand(size));
        assert_eq!(on_demand, [0, 1, 2, 2, 3, 4]);
        // 100: 30 at 0.12 and 70 at 0.04.
        assert_eq!(cost_per_hour(Some(&COST), Some(&spot), 100), Some(6.4));
        let size = affordable(Some(&COST), Some(&spot), 6.4, 1_000).unwrap();
        assert_eq!(size, 100);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cost = CostSettings {
            replica_hour: Some(0.0),
            shortfall_hour: Some(f64::NAN),
        };
        assert_eq!(cost.validate().len(), 2);
        let spot = SpotSettings {
            share: 1.5,
            on_demand_min: 0,
            replica_hour: Some(-1.0),
        };
        assert_eq!(spot.validate().len(), 2);
    }
}
