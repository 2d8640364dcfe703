//! The policies by the names that people choose them by.

use std::str::FromStr;

/// A policy that can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// A size for the peak.
    Static,
    /// HPA as it comes.
    Hpa,
    /// The best HPA of the grid, and what an HPA can have at all.
    HpaTuned,
    /// What our workload asks for while it only observes.
    Reactive,
    /// The size that there was.
    Recorded,
    /// Knows the future.
    Oracle,
    /// Holt-Winters on replicas.
    Phpa,
    /// A predictor like Crane's.
    Crane,
    /// Seasonal naive with our rule.
    SeasonalNaive,
    /// Ours, beside a trigger on the present.
    Ours,
    /// Ours, and nothing beside it.
    OursAlone,
}

impl Which {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Static,
        Self::Hpa,
        Self::HpaTuned,
        Self::Reactive,
        Self::Recorded,
        Self::Oracle,
        Self::Phpa,
        Self::Crane,
        Self::SeasonalNaive,
        Self::Ours,
        Self::OursAlone,
    ];

    /// As chosen on a command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Hpa => "hpa",
            Self::HpaTuned => "hpa-tuned",
            Self::Reactive => "reactive",
            Self::Recorded => "recorded",
            Self::Oracle => "oracle",
            Self::Phpa => "phpa",
            Self::Crane => "crane",
            Self::SeasonalNaive => "seasonal-naive",
            Self::Ours => "ours",
            Self::OursAlone => "ours-alone",
        }
    }

    /// Whether it is run where nobody chooses: what is a user's own is only for those who have a workload.
    pub(super) const fn is_usual(self, is_own: bool) -> bool {
        is_own || !matches!(self, Self::Reactive | Self::Recorded)
    }
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str);
            format!(
                "there is no policy {text:?}; policies: {}",
                names.join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_is_found_by_its_name() {
        for one in Which::ALL {
            assert_eq!(one.as_str().parse(), Ok(one));
        }
        let told = "keda".parse::<Which>().unwrap_err();
        assert!(
            told.contains("keda") && told.contains("seasonal-naive"),
            "{told}"
        );
    }
}
