//! The figures of a day: what there was, what was recommended, what a reactive autoscaler would have done. Pure.

use crate::{
    decide::{Decision, Gate},
    engine::scaling::CoursePoint,
    series::Millis,
    simulate::autoscaler::{Autoscaler, Metric, Settings, Size},
    store::Performance,
};
use serde::Serialize;
use std::collections::BTreeMap;

const MINUTE: Millis = 60_000;
/// The share of what a replica takes that Kubernetes aims at where nothing is said.
const TARGET: f64 = 0.8;
/// The HPA looks every 15 seconds.
const SYNCS: i64 = 4;

/// A day of all workloads.
#[derive(Debug, Serialize)]
pub(super) struct Day {
    /// First millisecond of the day.
    pub(super) from: Millis,
    /// Where it ends, or now.
    pub(super) until: Millis,
    pub(super) workloads: Vec<WorkloadDay>,
    /// How good the forecasts of signals were.
    pub(super) accuracy: Vec<Performance>,
    /// What could not be found out.
    pub(super) notes: Vec<String>,
}

/// A day of one workload.
#[derive(Debug, Serialize)]
pub(super) struct WorkloadDay {
    pub(super) workload: String,
    /// Minutes of which the demand is known.
    pub(super) minutes: usize,
    /// With the size there was; `None` where it is not known.
    pub(super) actual: Option<Sum>,
    /// Had the recommendations been followed, each ready after the lead time.
    pub(super) recommended: Option<Sum>,
    /// With Kubernetes' autoscaler on the demand alone, in the minutes in which there were recommendations, or in all.
    pub(super) reactive: Sum,
    /// What the recommendations saved beside the reactive one in the minutes in which there were any, in the currency of the
    /// configuration.
    pub(super) saved: Option<f64>,
    pub(super) decisions: Decisions,
    #[serde(skip)]
    pub(super) course: Vec<CoursePoint>,
}

/// What sizes came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Sum {
    /// Minutes in which both demand and size are known.
    pub(super) minutes: usize,
    pub(super) replica_hours: f64,
    /// Minutes in which the demand was above what was ready could take.
    pub(super) violation_minutes: usize,
}

/// What was decided.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Decisions {
    pub(super) up: usize,
    pub(super) down: usize,
    /// Share of the logged decisions whose gate was open.
    pub(super) gate_open_ratio: Option<f64>,
    /// How often something kept another size than wanted.
    pub(super) held: BTreeMap<&'static str, usize>,
    /// Rises to a peak that found enough ready all the way, and all of them.
    pub(super) prewarmed: usize,
    pub(super) rises: usize,
    /// Times that a recommendation was withdrawn.
    pub(super) withdrawn: usize,
}

/// What is known of one workload and its day.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub(super) workload: &'a str,
    pub(super) from: Millis,
    /// By minute, `NaN` where not known.
    pub(super) demand: &'a [f32],
    /// By minute, `NaN` where not known; empty where nobody knows.
    pub(super) ready: &'a [f32],
    /// Oldest first; some of the time before, so that it is known what held at midnight.
    pub(super) decisions: &'a [Decision],
    pub(super) capacity: f64,
    pub(super) lead: Millis,
    pub(super) min: u32,
    pub(super) max: u32,
    pub(super) replica_hour: Option<f64>,
}

/// Sums a day up.
pub(super) fn sum_up(known: &Known<'_>) -> WorkloadDay {
    let mut reactive = reactive(known);
    let sizes = recommended(known);
    let is_known = sizes.iter().any(Option::is_some);
    if is_known {
        // Both over the same minutes, or they could not be compared.
        let both = reactive.iter_mut().zip(&sizes);
        both.filter(|(_, size)| size.is_none())
            .for_each(|(reactive, _)| *reactive = None);
    }
    let reactive = sum(known, &reactive);
    let recommended = is_known.then(|| sum(known, &late(&sizes, known.lead)));
    let actual: Vec<Option<u32>> = known.ready.iter().map(|&size| whole(size)).collect();
    let actual_known = actual.iter().any(Option::is_some);
    let saved = recommended
        .zip(known.replica_hour)
        .map(|(own, price)| (reactive.replica_hours - own.replica_hours) * price);
    WorkloadDay {
        workload: known.workload.to_owned(),
        minutes: known.demand.iter().filter(|one| one.is_finite()).count(),
        actual: actual_known.then(|| sum(known, &actual)),
        recommended,
        reactive,
        saved,
        decisions: decisions(known),
        course: course(known, &sizes, &actual),
    }
}

fn whole(size: f32) -> Option<u32> {
    size.is_finite().then_some(size.max(0.0).round() as u32)
}

/// Over the minutes of which both demand and size are known.
fn sum(known: &Known<'_>, sizes: &[Option<u32>]) -> Sum {
    let mut sum = Sum::default();
    for (&demand, size) in known.demand.iter().zip(sizes) {
        let (true, Some(size)) = (demand.is_finite(), size) else {
            continue;
        };
        sum.minutes += 1;
        sum.replica_hours += f64::from(*size) / 60.0;
        let short = f64::from(demand) > f64::from(*size) * known.capacity;
        sum.violation_minutes += usize::from(short);
    }
    sum
}

/// The sizes in full mode that were logged, minute by minute: each holds until the next.
fn recommended(known: &Known<'_>) -> Vec<Option<u32>> {
    let mut decisions = known.decisions.iter().peekable();
    let mut size = None;
    let minute = |index: usize| known.from + (index as i64 + 1) * MINUTE;
    (0..known.demand.len())
        .map(|index| {
            while let Some(decision) = decisions.next_if(|one| one.at < minute(index)) {
                size = decision.would_be;
            }
            size
        })
        .collect()
}

/// The same, growth only after the lead time.
fn late(sizes: &[Option<u32>], lead: Millis) -> Vec<Option<u32>> {
    let behind = usize::try_from(lead.div_euclid(MINUTE) + 1).unwrap_or(1);
    let before = |index: usize| sizes.get(index.checked_sub(behind)?).copied().flatten();
    let late = |(index, size): (usize, &Option<u32>)| {
        let size = (*size)?;
        Some(before(index).map_or(size, |before| size.min(before)))
    };
    sizes.iter().enumerate().map(late).collect()
}

/// What Kubernetes' autoscaler makes of the demand of the minute before, with its defaults: 80 % of what a replica takes is its
/// target.
fn reactive(known: &Known<'_>) -> Vec<Option<u32>> {
    let first = known.demand.iter().copied().find(|one| one.is_finite());
    let begin = first.map_or(known.min, |first| {
        (f64::from(first) / (TARGET * known.capacity)).ceil() as u32
    });
    let mut ready = begin.clamp(known.min.max(1), known.max);
    let mut starting: Vec<(i64, u32)> = Vec::new();
    let mut autoscaler = Autoscaler::new(Settings::new(known.min.max(1), known.max));
    let lead = known.lead / 1_000;
    let mut sizes = Vec::with_capacity(known.demand.len());
    for index in 0..known.demand.len() {
        for sync in 0..SYNCS {
            let now = index as i64 * 60 + sync * 15;
            starting.retain(|&(at, count)| {
                let waits = at > now;
                ready += if waits { 0 } else { count };
                waits
            });
            let existing = ready + starting.iter().map(|(_, count)| count).sum::<u32>();
            let size = Size {
                wanted: existing,
                existing,
                ready,
            };
            let seen = index
                .checked_sub(1)
                .and_then(|before| known.demand.get(before));
            let metric = match seen.filter(|seen| seen.is_finite()) {
                Some(&seen) => Metric::Average {
                    sum: f64::from(seen),
                    target: TARGET * known.capacity,
                },
                None => Metric::Failed,
            };
            let wanted = autoscaler.sync(now, size, &[metric]);
            if wanted > existing {
                starting.push((now + lead, wanted - existing));
            } else {
                let mut gone = existing - wanted;
                while let Some((at, count)) = starting.pop() {
                    let away = count.min(gone);
                    gone -= away;
                    if count > away {
                        starting.push((at, count - away));
                        break;
                    }
                }
                ready -= gone;
            }
        }
        sizes.push(Some(ready));
    }
    sizes
}

fn decisions(known: &Known<'_>) -> Decisions {
    let mut found = Decisions::default();
    let (mut open, mut all) = (0_usize, 0_usize);
    let mut before = None;
    for decision in known.decisions {
        let size = decision.would_be;
        if decision.at >= known.from {
            all += 1;
            open += usize::from(decision.gate == Gate::Open);
            found.up += usize::from(before.flatten() < size && before.flatten().is_some());
            found.down += usize::from(size.is_some() && before.flatten() > size);
            if let Some(held) = decision.held {
                *found.held.entry(held.by.as_str()).or_default() += 1;
            }
            found.rises += usize::from(decision.prewarmed.is_some());
            found.prewarmed += usize::from(decision.prewarmed == Some(true));
            found.withdrawn += usize::from(decision.withdrawn);
        }
        before = Some(size);
    }
    found.gate_open_ratio = (all > 0).then(|| open as f64 / all as f64);
    found
}

fn course(
    known: &Known<'_>,
    recommended: &[Option<u32>],
    actual: &[Option<u32>],
) -> Vec<CoursePoint> {
    let point = |(index, &demand): (usize, &f32)| CoursePoint {
        at: known.from + index as i64 * MINUTE,
        demand: Some(demand).filter(|demand| demand.is_finite()),
        forecast: None,
        capacity: Some(known.capacity as f32),
        reactive: None,
        replicas: recommended[index],
        full: recommended[index],
        ready: actual.get(index).copied().flatten(),
    };
    known.demand.iter().enumerate().map(point).collect()
}

#[cfg(test)]
mod tests;
