//! What KEDA's operator does with a ScaledObject of one trigger, and the HPA that it makes of it: `RequestScale` of its executor, and
//! `GetMetricsWithFallback`, as they were in August 2026.
//!
//! Every target that falls back is 1, as of all ways here. Not here: `idleReplicaCount`, `initialCooldownPeriod`, pauses, `scalingModifiers`,
//! cached metrics.

use super::ways::Told;
use forethought::simulate::autoscaler::{Autoscaler, Metric, Settings, Size};

/// Where a trigger goes on failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fallback {
    /// `failureThreshold`: more failures than that in a row.
    pub(super) threshold: u32,
    pub(super) replicas: u32,
    pub(super) behaviour: Behaviour,
}

/// `behavior` of a fallback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    Static,
    CurrentReplicas,
    CurrentReplicasIfHigher,
    CurrentReplicasIfLower,
}

/// What is configured; spans in seconds.
#[derive(Debug, Clone)]
pub(super) struct ScaledObject {
    /// `minReplicaCount`; the HPA's own is 1 at least.
    pub(super) min: u32,
    pub(super) cooldown: i64,
    pub(super) polling: i64,
    /// `activationThreshold` of a trigger that has one; strictly more is active.
    pub(super) activation: f64,
    pub(super) fallback: Option<Fallback>,
    /// The HPA that KEDA makes.
    pub(super) hpa: Settings,
}

/// An operator under way.
#[derive(Debug)]
pub(super) struct Keda {
    object: ScaledObject,
    hpa: Autoscaler,
    /// In a row.
    failures: u32,
    last_active: Option<i64>,
}

impl Keda {
    pub(super) fn new(object: ScaledObject) -> Self {
        let mut settings = object.hpa.clone();
        settings.min = object.min.max(1);
        Self {
            hpa: Autoscaler::new(settings),
            object,
            failures: 0,
            last_active: None,
        }
    }

    /// The size after a sync at `now`, seconds, with a poll before it where one is due. `beside` is what KEDA has no part in, as the
    /// processors.
    pub(super) fn sync(&mut self, now: i64, size: Size, told: &Told, beside: &[Metric]) -> u32 {
        let wanted = match now % self.object.polling {
            0 => self.poll(now, size.wanted, told),
            _ => size.wanted,
        };
        let there = Size { wanted, ..size };
        let mut metrics = vec![self.metric(wanted, told)];
        metrics.extend(beside);
        self.hpa.sync(now, there, &metrics)
    }

    /// The scale loop: between nothing and the least size.
    fn poll(&mut self, now: i64, current: u32, told: &Told) -> u32 {
        let object = &self.object;
        match is_active(told, object.activation) {
            Some(true) => {
                self.last_active = Some(now);
                match current {
                    0 => object.min.max(1),
                    _ => current,
                }
            }
            // What fails leaves it as it is, but for a fallback to nothing, which is taken for being inactive.
            None if object.fallback.is_none_or(|fallback| fallback.replicas > 0) => current,
            _ if object.min > 0 => current.max(object.min),
            _ => match self.last_active {
                Some(at) if now - at <= object.cooldown => current,
                _ => 0,
            },
        }
    }

    /// What the HPA reads.
    fn metric(&mut self, current: u32, told: &Told) -> Metric {
        match told {
            Told::Known { sum, target, .. } => {
                self.failures = 0;
                Metric::Average {
                    sum: in_thousandths(*sum),
                    target: in_thousandths(*target),
                }
            }
            // Without a specification there is no metric that could fall back.
            Told::Silent {
                has_spec: false, ..
            } => Metric::Failed,
            Told::Silent { .. } => {
                self.failures += 1;
                let fallback = self.object.fallback;
                let due = fallback.filter(|fallback| self.failures > fallback.threshold);
                due.map_or(Metric::Failed, |fallback| Metric::Average {
                    sum: f64::from(fallback.size(current)),
                    target: 1.0,
                })
            }
        }
    }
}

impl Fallback {
    fn size(self, current: u32) -> u32 {
        match self.behaviour {
            Behaviour::Static => self.replicas,
            Behaviour::CurrentReplicas => current,
            Behaviour::CurrentReplicasIfHigher => current.max(self.replicas),
            Behaviour::CurrentReplicasIfLower => current.min(self.replicas),
        }
    }
}

/// Whether it may not sleep; `None` where that could not be asked.
fn is_active(told: &Told, activation: f64) -> Option<bool> {
    match told {
        Told::Known {
            active: Some(active),
            ..
        } => Some(*active),
        Told::Known { sum, .. } => Some(*sum > activation),
        Told::Silent { .. } => None,
    }
}

/// KEDA cuts off what is beyond.
fn in_thousandths(value: f64) -> f64 {
    (value * 1_000.0).trunc() / 1_000.0
}

/// The documented behaviour, and that of the code (contracts between the parts, 1.2 and 1.3).
#[cfg(test)]
mod tests {
    use super::*;

    fn object(min: u32) -> ScaledObject {
        let mut hpa = Settings::new(1, 100);
        hpa.down.stabilisation = 0;
        ScaledObject {
            min,
            cooldown: 300,
            polling: 30,
            activation: 0.0,
            fallback: None,
            hpa,
        }
    }

    fn falling_back(min: u32, replicas: u32, behaviour: Behaviour) -> ScaledObject {
        let fallback = Fallback {
            threshold: 3,
            replicas,
            behaviour,
        };
        ScaledObject {
            fallback: Some(fallback),
            ..object(min)
        }
    }

    fn number(sum: f64) -> Told {
        Told::Known {
            sum,
            target: 1.0,
            active: None,
        }
    }

    fn said(active: bool) -> Told {
        Told::Known {
            sum: 0.0,
            target: 1.0,
            active: Some(active),
        }
    }

    fn failed(has_spec: bool) -> Told {
        Told::Silent {
            code: "UNAVAILABLE".to_owned(),
            has_spec,
        }
    }

    /// Sizes at every sync of 15 s.
    fn course(object: ScaledObject, from: u32, told: &[Told], beside: &[Metric]) -> Vec<u32> {
        let mut keda = Keda::new(object);
        let mut size = from;
        let syncs = told.iter().enumerate().map(|(place, told)| {
            let there = Size {
                wanted: size,
                existing: size,
                ready: size,
            };
            size = keda.sync(place as i64 * 15, there, told, beside);
            size
        });
        syncs.collect()
    }

    #[test]
    fn what_is_active_wakes_at_a_poll_and_the_hpa_goes_on_from_one() {
        let quiet = number(0.0);
        let asleep = [quiet.clone(), number(6.0), number(6.0), number(6.0)];
        // Told at 15 s, polled at 30 s; five replicas are as many as the default adds to one.
        assert_eq!(course(object(0), 0, &asleep, &[]), [0, 0, 5, 6]);
        let threshold = ScaledObject {
            activation: 6.0,
            ..object(0)
        };
        assert_eq!(course(threshold, 0, &asleep, &[]), [0; 4], "strictly more");
        // The trigger's own word goes before its value.
        assert_eq!(course(object(0), 0, &[said(true)], &[]), [1]);
        assert_eq!(course(object(3), 0, &[said(true)], &[]), [3]);
        assert_eq!(course(object(3), 1, &[said(false)], &[]), [3]);
    }

    #[test]
    fn it_sleeps_once_it_was_inactive_for_the_cooldown() {
        let mut told = vec![number(4.0)];
        told.extend(vec![number(0.0); 30]);
        let sizes = course(object(0), 4, &told, &[]);
        // Active at 0 s, so asleep at the first poll after 300 s; the HPA knows no less than 1.
        assert_eq!(sizes[0], 4);
        assert!(sizes[1..22].iter().all(|size| *size == 1), "{sizes:?}");
        assert!(sizes[22..].iter().all(|size| *size == 0), "{sizes:?}");
        // One that it never saw active sleeps at once.
        assert_eq!(course(object(0), 4, &told[1..2], &[]), [0]);
        assert_eq!(course(object(1), 4, &told[1..2], &[]), [1]);
    }

    #[test]
    fn what_fails_neither_wakes_nor_sleeps() {
        for has_spec in [true, false] {
            let told = vec![failed(has_spec); 60];
            assert_eq!(course(object(0), 4, &told, &[]), [4; 60]);
            assert_eq!(course(object(0), 0, &told, &[]), [0; 60]);
            // Others may still scale up, and not down.
            let beside = |sum| [Metric::Average { sum, target: 1.0 }];
            assert_eq!(course(object(1), 4, &told, &beside(2.0)), [4; 60]);
            assert_eq!(course(object(1), 4, &told[..1], &beside(7.0)), [7]);
        }
        // Asleep the HPA does nothing, so no fallback wakes it.
        let fallback = falling_back(0, 3, Behaviour::Static);
        assert_eq!(course(fallback, 0, &vec![failed(true); 60], &[]), [0; 60]);
    }

    #[test]
    fn a_fallback_to_nothing_ends_in_nothing() {
        let mut told = vec![number(8.0)];
        told.extend(vec![failed(true); 60]);
        let sizes = course(falling_back(0, 0, Behaviour::Static), 8, &told, &[]);
        assert_eq!(sizes.last(), Some(&0), "why `lint` finds it: {sizes:?}");
        let sizes = course(falling_back(0, 3, Behaviour::Static), 8, &told, &[]);
        assert_eq!(sizes.last(), Some(&3), "{sizes:?}");
    }

    #[test]
    fn a_fallback_counts_failures_in_a_row() {
        let fallback = || falling_back(1, 3, Behaviour::Static);
        assert_eq!(
            course(fallback(), 8, &vec![failed(true); 5], &[]),
            [8, 8, 8, 3, 3]
        );
        let mut told = vec![failed(true); 3];
        told.push(number(8.0));
        told.extend(vec![failed(true); 3]);
        assert_eq!(course(fallback(), 8, &told, &[]), [8; 7]);
        // KEDA issues 5914 and 8056: what does not tell its specification has no fallback.
        assert_eq!(course(fallback(), 8, &vec![failed(false); 9], &[]), [8; 9]);
    }

    #[test]
    fn each_behaviour_of_a_fallback() {
        for (behaviour, from_8, from_2) in [
            (Behaviour::Static, 3, 3),
            (Behaviour::CurrentReplicas, 8, 2),
            (Behaviour::CurrentReplicasIfHigher, 8, 3),
            (Behaviour::CurrentReplicasIfLower, 3, 2),
        ] {
            for (from, to) in [(8, from_8), (2, from_2)] {
                let told = vec![failed(true); 6];
                let sizes = course(falling_back(1, 3, behaviour), from, &told, &[]);
                assert_eq!(sizes[..3], [from; 3], "{behaviour:?}");
                assert_eq!(sizes[3..], [to; 3], "{behaviour:?}");
            }
            // It is a floor beside a trigger that works.
            let beside = [Metric::Average {
                sum: 9.0,
                target: 1.0,
            }];
            let told = vec![failed(true); 6];
            let sizes = course(falling_back(1, 3, behaviour), 9, &told, &beside);
            assert_eq!(sizes, [9; 6], "{behaviour:?}");
        }
    }

    #[test]
    fn what_is_beyond_thousandths_is_cut_off() {
        let told = number(4.000_9);
        assert_eq!(course(object(1), 9, &[told], &[]), [4]);
    }
}
