//! `behavior` of an HPA: stabilisation, and how much may change within which time.

use std::collections::VecDeque;

/// How much may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// So many replicas within so many seconds.
    Pods(u32, i64),
    /// So many percent of those there were at the beginning of so many seconds.
    Percent(u32, i64),
}

impl Policy {
    const fn period(self) -> i64 {
        match self {
            Self::Pods(_, period) | Self::Percent(_, period) => period,
        }
    }
}

/// Which policy counts: `selectPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Select {
    /// That which allows the greatest change.
    #[default]
    Max,
    /// That which allows the least.
    Min,
    /// Nothing changes in this direction.
    Disabled,
}

/// `scaleUp` or `scaleDown`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behaviour {
    /// `stabilizationWindowSeconds`.
    pub stabilisation: i64,
    /// `policies`; at least one.
    pub policies: Vec<Policy>,
    /// `selectPolicy`.
    pub select: Select,
}

impl Behaviour {
    /// Kubernetes' default upwards: at once, doubling or four replicas in 15 s.
    pub fn usual_up() -> Self {
        Self {
            stabilisation: 0,
            policies: vec![Policy::Percent(100, 15), Policy::Pods(4, 15)],
            select: Select::Max,
        }
    }

    /// Kubernetes' default downwards: what five minutes agree on, all of it at once.
    pub fn usual_down() -> Self {
        Self {
            stabilisation: 300,
            policies: vec![Policy::Percent(100, 15)],
            select: Select::Max,
        }
    }

    /// The longest period of its policies.
    pub(super) fn longest(&self) -> i64 {
        let periods = self.policies.iter().map(|policy| policy.period());
        periods.max().unwrap_or(0)
    }

    /// No more than so many.
    pub(super) fn most_upwards(&self, rate: &Rate<'_>) -> u32 {
        let allowed = self.policies.iter().map(|&policy| {
            let begin = rate.begin(policy.period());
            match policy {
                Policy::Pods(count, _) => begin + i64::from(count),
                Policy::Percent(share, _) => {
                    let scaled = begin as f64 * (1.0 + f64::from(share) / 100.0);
                    scaled.ceil() as i64
                }
            }
        });
        let most = match self.select {
            Select::Max => allowed.max(),
            Select::Min => allowed.min(),
            Select::Disabled => None,
        };
        most.map_or(rate.current, |most| size(most).max(rate.current))
    }

    /// No fewer than so many.
    pub(super) fn least_downwards(&self, rate: &Rate<'_>) -> u32 {
        let allowed = self.policies.iter().map(|&policy| {
            let begin = rate.begin(policy.period());
            match policy {
                Policy::Pods(count, _) => begin - i64::from(count),
                Policy::Percent(share, _) => {
                    let scaled = begin as f64 * (1.0 - f64::from(share) / 100.0);
                    scaled as i64
                }
            }
        });
        let least = match self.select {
            Select::Max => allowed.min(),
            Select::Min => allowed.max(),
            Select::Disabled => None,
        };
        least.map_or(rate.current, |least| size(least).min(rate.current))
    }
}

fn size(count: i64) -> u32 {
    u32::try_from(count.max(0)).unwrap_or(u32::MAX)
}

/// What changed lately.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate<'a> {
    pub(super) now: i64,
    pub(super) current: u32,
    pub(super) added: &'a Changes,
    pub(super) removed: &'a Changes,
}

impl Rate<'_> {
    /// Size at the beginning of a period that ends now.
    fn begin(&self, period: i64) -> i64 {
        let within = |changes: &Changes| changes.within(self.now, period);
        i64::from(self.current) - within(self.added) + within(self.removed)
    }
}

/// Changes in one direction.
#[derive(Debug, Clone)]
pub(super) struct Changes {
    kept: i64,
    changes: VecDeque<(i64, u32)>,
}

impl Changes {
    pub(super) fn new(kept: i64) -> Self {
        Self {
            kept,
            changes: VecDeque::new(),
        }
    }

    pub(super) fn note(&mut self, now: i64, count: u32) {
        self.changes.push_back((now, count));
    }

    pub(super) fn forget(&mut self, now: i64) {
        while self
            .changes
            .front()
            .is_some_and(|(at, _)| *at <= now - self.kept)
        {
            self.changes.pop_front();
        }
    }

    fn within(&self, now: i64, period: i64) -> i64 {
        let recent = self.changes.iter().filter(|(at, _)| *at > now - period);
        recent.map(|(_, count)| i64::from(*count)).sum()
    }
}
