//! What a policy came to on the part of a trace that is scored.

use super::{Demand, Parameters, autoscaler::Size};
use serde::Serialize;

/// Figures of one policy at one setting on one trace.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Score {
    /// Minutes judged.
    pub minutes: u32,
    /// Those with demand above what was ready.
    pub violations: u32,
    /// Their share.
    pub violation_ratio: f64,
    /// Hours of all replicas, those that were starting too.
    pub replica_hours: f64,
    /// Hours of replicas that were missing.
    pub shortfall_hours: f64,
    /// Of replicas and of those that were missing.
    pub cost: f64,
    /// The longest queue, in minutes of work of one replica.
    pub queue_max: f64,
    /// The mean of every day's longest queue.
    pub queue_peak: f64,
    /// Changes of the size an hour.
    pub actions_per_hour: f64,
    /// Steps down soon after a step up.
    pub reversals: u32,
    /// Share of ticks at which what was asked for covers the greatest minute until what is asked for next would be ready.
    pub window_coverage: f64,
    /// Peaks.
    pub peaks: u32,
    /// Those for which enough was ready as they began.
    pub prewarmed: u32,
}

impl Score {
    /// Share of peaks for which enough was ready as they began.
    pub fn prewarmed_ratio(&self) -> f64 {
        f64::from(self.prewarmed) / f64::from(self.peaks.max(1))
    }
}

/// The busiest minutes of a day.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Peak {
    begin: usize,
    /// Mean demand, replicas.
    mean: f64,
}

/// Facts of a trace that every policy is measured by, worked out once.
#[derive(Debug, Clone)]
pub(super) struct Yardstick {
    /// Ticks judged: from, to.
    range: (usize, usize),
    /// Ticks of a minute.
    minute: usize,
    peaks: Vec<Peak>,
    /// Of each tick: the greatest minute until what is asked for now would be ready, `NaN` where not known.
    ahead: Vec<f32>,
}

impl Yardstick {
    /// For the ticks from `range.0` to before `range.1`.
    pub(super) fn new(demand: &Demand, parameters: &Parameters, range: (usize, usize)) -> Self {
        let minute = parameters.ticks(crate::series::Span::minutes(1));
        let reach = parameters.ticks(parameters.lead)
            + parameters.ticks(parameters.publish)
            + parameters.ticks(parameters.poll)
            + parameters.ticks(parameters.sync);
        Self {
            range,
            minute,
            peaks: peaks(demand, parameters.ticks(parameters.peak), range, parameters),
            ahead: ahead(demand, minute, reach, range),
        }
    }
}

/// A peak for every whole day; of what is shorter the busiest minutes at all.
fn peaks(
    demand: &Demand,
    length: usize,
    range: (usize, usize),
    parameters: &Parameters,
) -> Vec<Peak> {
    let day = parameters
        .ticks(crate::series::Span::days(1))
        .min(range.1 - range.0);
    let mut peaks = Vec::new();
    let mut from = range.0;
    while from + day <= range.1 {
        let of_day = (from..=from + day - length).step_by(length);
        let known = of_day.filter_map(|begin| {
            let mean = demand.mean(begin, begin + length)?;
            Some(Peak { begin, mean })
        });
        peaks.extend(known.max_by(|one, other| one.mean.total_cmp(&other.mean)));
        from += day;
    }
    peaks
}

/// The greatest minute mean that begins within `reach` ticks of each tick.
fn ahead(demand: &Demand, minute: usize, reach: usize, range: (usize, usize)) -> Vec<f32> {
    let mean = |tick: usize| {
        let mean = demand.mean(tick, tick + minute);
        mean.map_or(f32::NAN, |mean| mean as f32)
    };
    let within = reach / minute + 1;
    let minutes: Vec<f32> = (range.0..range.1).step_by(minute).map(mean).collect();
    let greatest = |index: usize| {
        let next = &minutes[index..(index + within).min(minutes.len())];
        next.iter().copied().fold(f32::NAN, f32::max)
    };
    (0..range.1 - range.0)
        .map(|tick| greatest(tick / minute))
        .collect()
}

/// Sums while a policy runs.
#[derive(Debug)]
pub(super) struct Meter<'a> {
    yardstick: &'a Yardstick,
    parameters: &'a Parameters,
    score: Score,
    /// Demand and ready replicas of the minute under way, and how many of its ticks are known.
    minute: (f64, f64, usize),
    day_peak: f64,
    day_peaks: Vec<f64>,
    last_up: Option<usize>,
    size: Option<u32>,
    actions: u32,
    covered: (u32, u32),
    next_peak: usize,
}

impl<'a> Meter<'a> {
    pub(super) fn new(yardstick: &'a Yardstick, parameters: &'a Parameters) -> Self {
        Self {
            yardstick,
            parameters,
            score: Score::default(),
            minute: (0.0, 0.0, 0),
            day_peak: 0.0,
            day_peaks: Vec::new(),
            last_up: None,
            size: None,
            actions: 0,
            covered: (0, 0),
            next_peak: 0,
        }
    }

    /// Takes in one tick: its demand (`NaN` where not known), how many there were, and work that waited at its end.
    pub(super) fn see(&mut self, tick: usize, demand: f64, size: Size, backlog: f64) {
        let (from, to) = self.yardstick.range;
        if !(from..to).contains(&tick) {
            return;
        }
        self.change(tick, size.existing);
        self.peak(tick, size.ready);
        self.day(tick - from, backlog);
        if demand.is_finite() {
            self.minute.0 += demand;
            self.minute.1 += f64::from(size.ready);
            self.minute.2 += 1;
            self.score.replica_hours += f64::from(size.existing) * self.parameters.tick_hours();
            let ahead = self.yardstick.ahead[tick - from];
            if ahead.is_finite() {
                self.covered.0 += u32::from(f64::from(ahead) <= f64::from(size.existing));
                self.covered.1 += 1;
            }
        }
        if (tick + 1 - from).is_multiple_of(self.yardstick.minute) {
            self.judge();
        }
    }

    fn judge(&mut self) {
        let (demand, ready, known) = std::mem::take(&mut self.minute);
        if known < self.yardstick.minute {
            return;
        }
        self.score.minutes += 1;
        // What floating point adds to a whole number is no demand.
        if demand > ready + 1e-9 {
            self.score.violations += 1;
            self.score.shortfall_hours += (demand - ready) * self.parameters.tick_hours();
        }
    }

    fn change(&mut self, tick: usize, size: u32) {
        let before = self.size.replace(size).unwrap_or(size);
        self.actions += u32::from(size != before);
        if size > before {
            self.last_up = Some(tick);
        } else if size < before
            && let Some(up) = self.last_up.take()
        {
            let soon = tick - up <= self.parameters.ticks(self.parameters.reversal);
            self.score.reversals += u32::from(soon);
        }
    }

    fn peak(&mut self, tick: usize, ready: u32) {
        let Some(peak) = self.yardstick.peaks.get(self.next_peak) else {
            return;
        };
        if tick == peak.begin {
            self.score.peaks += 1;
            self.score.prewarmed += u32::from(f64::from(ready) >= peak.mean);
            self.next_peak += 1;
        }
    }

    fn day(&mut self, since: usize, backlog: f64) {
        let day = self.parameters.ticks(crate::series::Span::days(1));
        if since > 0 && since.is_multiple_of(day) {
            self.day_peaks.push(std::mem::take(&mut self.day_peak));
        }
        self.day_peak = self.day_peak.max(backlog / self.yardstick.minute as f64);
    }

    pub(super) fn finish(mut self) -> Score {
        self.day_peaks.push(self.day_peak);
        let hours = f64::from(self.score.minutes) / 60.0;
        let prices = self.parameters.cost;
        let score = &mut self.score;
        score.violation_ratio = f64::from(score.violations) / f64::from(score.minutes.max(1));
        score.cost = score.replica_hours * prices.replica_hour
            + score.shortfall_hours * prices.shortfall_hour;
        score.queue_max = self.day_peaks.iter().copied().fold(0.0, f64::max);
        score.queue_peak = self.day_peaks.iter().sum::<f64>() / self.day_peaks.len() as f64;
        score.actions_per_hour = f64::from(self.actions) / hours.max(f64::MIN_POSITIVE);
        score.window_coverage = f64::from(self.covered.0) / f64::from(self.covered.1.max(1));
        self.score
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{Kind, Trace};

    fn meter_all(values: Vec<f32>, sizes: impl Fn(usize) -> (u32, u32)) -> Score {
        let parameters = Parameters::built_in().unwrap();
        let trace = Trace {
            name: "made".into(),
            kind: Kind::Mixed,
            start: 0,
            step: 60_000,
            values,
        };
        // One replica serves 1, and ticks are those of a flat minute.
        let mut demand = Demand::draw(&trace, &parameters).unwrap();
        let capacity = demand.capacity;
        demand.ticks.iter_mut().for_each(|tick| *tick *= capacity);
        let demand = demand.with_ticks();
        let range = (demand.split, demand.ticks.len());
        let yardstick = Yardstick::new(&demand, &parameters, range);
        let mut meter = Meter::new(&yardstick, &parameters);
        for tick in 0..demand.ticks.len() {
            let (existing, ready) = sizes(tick);
            let size = Size {
                wanted: existing,
                existing,
                ready,
            };
            meter.see(tick, demand.ticks[tick], size, 0.0);
        }
        meter.finish()
    }

    #[test]
    fn a_violation_is_a_minute_above_what_was_ready() {
        let mut values = vec![3.0; 240];
        values[200..210].fill(5.0);
        let score = meter_all(values, |_| (6, 4));
        assert_eq!((score.minutes, score.violations), (120, 10));
        assert!((score.replica_hours - 12.0).abs() < 1e-9);
        assert!((score.shortfall_hours - 10.0 / 60.0).abs() < 1e-6);
        assert!((score.cost - (12.0 * 0.12 + 2.4 / 6.0)).abs() < 1e-5);
    }

    #[test]
    fn a_minute_that_is_not_known_is_not_judged() {
        let mut values = vec![3.0; 240];
        values[200..210].fill(f32::NAN);
        let score = meter_all(values, |_| (2, 2));
        assert_eq!((score.minutes, score.violations), (110, 110));
    }

    #[test]
    fn a_peak_is_prewarmed_where_enough_was_ready_as_it_began() {
        let mut values = vec![3.0; 240];
        values[200..205].fill(9.0);
        let late = meter_all(values.clone(), |tick| {
            (10, if tick > 200 * 4 { 10 } else { 4 })
        });
        let early = meter_all(values, |tick| (10, if tick >= 200 * 4 { 10 } else { 4 }));
        assert_eq!((late.peaks, late.prewarmed), (1, 0));
        assert_eq!((early.peaks, early.prewarmed), (1, 1));
    }

    #[test]
    fn down_soon_after_up_is_a_reversal() {
        let score = meter_all(vec![3.0; 2_000], |tick| match tick {
            4_400..4_500 => (5, 5),
            5_000..5_200 => (6, 6),
            _ => (4, 4),
        });
        assert_eq!(score.reversals, 1);
        assert!((score.actions_per_hour - 4.0 / (1_000.0 / 60.0)).abs() < 1e-9);
    }

    #[test]
    fn the_window_is_covered_where_what_was_asked_for_is_enough() {
        let mut values = vec![3.0; 240];
        values[180..240].fill(5.0);
        let score = meter_all(values, |_| (4, 4));
        // Half of the time above, and four minutes before it.
        assert!(
            (score.window_coverage - 56.0 / 120.0).abs() < 1e-9,
            "{}",
            score.window_coverage
        );
    }
}
