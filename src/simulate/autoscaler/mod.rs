//! The algorithm of Kubernetes' HorizontalPodAutoscaler, as `autoscaling/v2` documents it and its controller does it
//! (`replica_calculator.go`, `horizontal.go`).
//!
//! Time is a parameter, in seconds. Not here: resource metrics of single pods (what is missing or not ready yet), which external metrics do not
//! look at.

mod behaviour;
#[cfg(test)]
mod tests;

pub use behaviour::{Behaviour, Policy, Select};

use behaviour::{Changes, Rate};
use std::collections::VecDeque;

/// What a metric says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Metric {
    /// `AverageValue`: a sum, and what one replica shall have of it. Independent of which replicas are ready.
    Average {
        /// The sum.
        sum: f64,
        /// What one replica shall have.
        target: f64,
    },
    /// `Value`: what all replicas see, and what they shall see. Replicas that are not ready do not count.
    Value {
        /// What is seen.
        value: f64,
        /// What shall be seen.
        target: f64,
    },
    /// It could not be read.
    Failed,
}

/// How many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// That were asked for.
    pub wanted: u32,
    /// That exist.
    pub existing: u32,
    /// That are ready.
    pub ready: u32,
}

/// What is configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `minReplicas`.
    pub min: u32,
    /// `maxReplicas`.
    pub max: u32,
    /// How far from 1 a ratio must be before anything is done.
    pub tolerance: f64,
    /// `behavior.scaleUp`.
    pub up: Behaviour,
    /// `behavior.scaleDown`.
    pub down: Behaviour,
}

impl Settings {
    /// Kubernetes' defaults.
    pub fn new(min: u32, max: u32) -> Self {
        Self {
            min,
            max,
            tolerance: 0.1,
            up: Behaviour::usual_up(),
            down: Behaviour::usual_down(),
        }
    }
}

/// An autoscaler under way.
#[derive(Debug, Clone)]
pub struct Autoscaler {
    settings: Settings,
    /// Recommendations before stabilisation, oldest first: time and size.
    recommended: VecDeque<(i64, u32)>,
    added: Changes,
    removed: Changes,
}

impl Autoscaler {
    /// One that has done nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            added: Changes::new(settings.up.longest()),
            removed: Changes::new(settings.down.longest()),
            settings,
            recommended: VecDeque::new(),
        }
    }

    /// What is configured.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// One sync at `now`, seconds: the size to ask for; that which is asked for already where nothing is to be done.
    pub fn sync(&mut self, now: i64, size: Size, metrics: &[Metric]) -> u32 {
        let current = size.wanted;
        // Nobody scales what a person has put to zero.
        if current == 0 {
            return 0;
        }
        if current > self.settings.max {
            return self.settings.max;
        }
        if current < self.settings.min {
            return self.settings.min;
        }
        let Some(proposed) = self.proposed(size, metrics) else {
            return current;
        };
        let stable = self.stabilise(now, current, proposed);
        let next = self.limit(now, current, stable);
        if next > current {
            self.added.note(now, next - current);
        } else if next < current {
            self.removed.note(now, current - next);
        }
        next
    }

    /// The greatest of what the metrics ask for; `None` where that is not known: all failed, or some did and the
    /// others would scale down.
    fn proposed(&self, size: Size, metrics: &[Metric]) -> Option<u32> {
        let asked = metrics.iter().map(|&metric| self.asked(size, metric));
        let failed = asked.clone().any(|asked| asked.is_none());
        let greatest = asked.flatten().max()?;
        (!failed || greatest >= size.wanted).then_some(greatest)
    }

    /// What one metric asks for.
    fn asked(&self, size: Size, metric: Metric) -> Option<u32> {
        let within = |ratio: f64| (ratio - 1.0).abs() <= self.settings.tolerance;
        match metric {
            Metric::Average { sum, target } => {
                let ratio = sum / (target * f64::from(size.existing));
                if !sum.is_finite() {
                    None
                } else if size.existing > 0 && within(ratio) {
                    Some(size.existing)
                } else {
                    Some(up_to_whole(sum / target))
                }
            }
            Metric::Value { value, target } => {
                let ratio = value / target;
                if !ratio.is_finite() {
                    None
                } else if within(ratio) {
                    Some(size.wanted)
                } else {
                    Some(up_to_whole(ratio * f64::from(size.ready)))
                }
            }
            Metric::Failed => None,
        }
    }

    /// Up no further than the least that was recommended within the window upwards, down no further than the
    /// greatest within the window downwards.
    fn stabilise(&mut self, now: i64, current: u32, proposed: u32) -> u32 {
        let (up, down) = (
            self.settings.up.stabilisation,
            self.settings.down.stabilisation,
        );
        while self
            .recommended
            .front()
            .is_some_and(|(at, _)| *at <= now - up.max(down))
        {
            self.recommended.pop_front();
        }
        let within = |window: i64| {
            let recent = self.recommended.iter();
            recent
                .filter(move |(at, _)| *at > now - window)
                .map(|(_, size)| *size)
        };
        let least = within(up).fold(proposed, u32::min);
        let greatest = within(down).fold(proposed, u32::max);
        self.recommended.push_back((now, proposed));
        if current < least {
            least
        } else {
            current.min(greatest)
        }
    }

    /// The same as far as the policies and limits allow.
    fn limit(&mut self, now: i64, current: u32, wanted: u32) -> u32 {
        self.added.forget(now);
        self.removed.forget(now);
        let settings = &self.settings;
        let rate = Rate {
            now,
            current,
            added: &self.added,
            removed: &self.removed,
        };
        let wanted = if wanted > current {
            wanted.min(settings.up.most_upwards(&rate))
        } else {
            wanted.max(settings.down.least_downwards(&rate))
        };
        wanted.clamp(settings.min, settings.max)
    }
}

/// As the controller rounds, and with what floating point adds to a whole number taken off.
fn up_to_whole(replicas: f64) -> u32 {
    (replicas - 1e-9).ceil().max(0.0) as u32
}
