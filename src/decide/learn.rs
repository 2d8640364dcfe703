//! What a workload learns from what it sees.

use super::{
    Capacity, Inputs, Mode, Queue, Workload,
    verify::{Health, Verdict},
    workload::{DAYS, Present},
};
use crate::series::Millis;
use std::sync::Arc;

/// The demand of about so long is its level.
const LEVEL_MEMORY: f64 = 600_000.0;
/// A demand below this share of its level dropped abnormally.
const ABNORMAL_DROP: f64 = 0.1;
/// A level of fewer replicas than this may fall to nothing without anything being wrong.
const DROP_MIN: f64 = 2.0;

impl Workload {
    /// What one replica can take: declared, or learned, or what counts until then.
    pub(super) fn capacity(&self, at: Millis) -> Option<f64> {
        let capacity = &self.settings.capacity_per_replica;
        let learned = match capacity {
            Capacity::Learned(_) => self.state.capacity.capacity(at),
            Capacity::Declared(_) => None,
        };
        learned.or(capacity.declared())
    }

    /// Lead time, capacity, queue, and what became of the last recommendation.
    pub(super) fn learn(&mut self, present: &Present, inputs: &Inputs) {
        let settings = Arc::clone(&self.settings);
        if let Some(length) = present.queue {
            self.state.queue.note(present.at, length);
        }
        let Some(actual) = present.actual else { return };
        let decided = self.state.size.filter(|_| self.is_followed());
        let pipeline = settings.pipeline.as_millis();
        let lead = &mut self.state.lead;
        lead.note(settings.lead_time, actual, decided, pipeline);
        self.learn_capacity(present, inputs);
        self.verify(present);
    }

    /// What the queue does.
    pub(super) fn queue(&self, present: &Present) -> Option<Queue> {
        present.queue.map(|length| self.state.queue.queue(length))
    }

    /// Whether the rise of the demand that is over now found enough replicas.
    pub(super) fn judge_rise(&mut self, present: &Present) -> Option<bool> {
        let (asked, actual) = (present.reactive?, present.actual?);
        let followed = self.is_followed();
        let judged = self.state.rises.note(present.at, asked, actual.ready);
        judged.filter(|_| followed)
    }

    /// Whether readers are answered with what is decided here.
    pub(super) fn is_followed(&self) -> bool {
        matches!(self.settings.mode, Mode::Guarded | Mode::Full)
    }

    /// Only while all is in its usual course: as many ready as were asked for, all of the demand measured, and nothing
    /// abnormal about it.
    fn learn_capacity(&mut self, present: &Present, inputs: &Inputs) {
        let Capacity::Learned(learned) = &self.settings.capacity_per_replica else {
            return;
        };
        let (Some(demand), Some(used), Some(actual)) =
            (present.measured, present.utilisation, present.actual)
        else {
            return;
        };
        let settled = actual.wanted.is_none_or(|wanted| wanted == actual.ready);
        let usual = inputs.forecast.as_ref().is_none_or(|one| one.anomaly == 0);
        let whole = inputs.incomplete.is_none();
        if settled && usual && whole && actual.ready > 0 {
            let load = demand / f64::from(actual.ready);
            let learner = &mut self.state.capacity;
            let phase = self.name.bytes().map(usize::from).sum();
            learner.note(used.at, load, used.value, learned.target, phase);
        }
    }

    fn verify(&mut self, present: &Present) {
        let (Some(watch), Some(health)) = (self.state.watch, health(present)) else {
            return;
        };
        let lead = self.state.lead.lead(self.settings.lead_time);
        let takes = lead + self.settings.pipeline.as_millis();
        match watch.judge(&self.settings.verify, takes, health) {
            Verdict::Open => {}
            Verdict::Good => self.state.watch = None,
            Verdict::Worse => {
                let until = present.at + self.settings.verify.withdraw.as_millis();
                self.state.watch = None;
                self.state.withdrawn = Some(until);
                self.state.withdrew = Some(present.at);
            }
        }
    }

    /// After an abnormal drop those who left may come back all at once: the size before it is kept. A verdict on the
    /// demand does so at once.
    pub(super) fn heed_verdict(&mut self, present: &Present, inputs: &Inputs) {
        if has_low_verdict(inputs) && !self.state.low {
            let actual = present.actual.map(|one| one.wanted.unwrap_or(one.ready));
            self.keep_size(present.at, self.state.size.or(actual));
        }
    }

    /// What is asked for now is noted after the decision, which by that looks at what was asked for before.
    pub(super) fn note_asked(&mut self, present: &Present) {
        if let Some(reactive) = present.reactive {
            let asked = &mut self.state.asked;
            asked.note(present.at, DAYS.as_millis(), reactive);
        }
    }

    /// A drop that is seen without a verdict is noted after the decision, which was made from a size of `before`: what
    /// is kept does not hang on what is asked for now, so more demand never means fewer replicas.
    pub(super) fn note_drop(&mut self, present: &Present, inputs: &Inputs, before: Option<u32>) {
        let level = self.state.level.map(f64::from);
        let fell = |demand: f64, level: f64, capacity: f64| {
            demand < ABNORMAL_DROP * level && level >= DROP_MIN * capacity
        };
        let fell = match (present.demand, level, present.capacity) {
            (Some(demand), Some(level), Some(capacity)) => fell(demand, level, capacity),
            _ => false,
        };
        if fell && !self.state.low && !has_low_verdict(inputs) {
            self.keep_size(present.at, before);
        }
        let low = fell || has_low_verdict(inputs);
        self.state.low = low;
        let storm = self
            .state
            .storm
            .is_some_and(|(_, until)| present.at < until);
        if let Some(demand) = present.demand.filter(|_| !(low && storm)) {
            // All workloads are decided on as often as the one that asks for it most often. After a gap, or on a clock
            // that was set back, one review at most counts.
            let review = self.settings.review();
            let since = self.state.at.map_or(review, |then| present.at - then);
            let share = 1.0 - (-(since.clamp(0, review) as f64) / LEVEL_MEMORY).exp();
            let news = level.map_or(demand, |level| level + share * (demand - level));
            self.state.level = Some(news as f32);
        }
    }

    fn keep_size(&mut self, at: Millis, size: Option<u32>) {
        let until = at + self.settings.limits.retry_storm.as_millis();
        self.state.storm = size.map(|size| (size, until));
    }
}

fn health(present: &Present) -> Option<Health> {
    Some(Health {
        at: present.at,
        ready: present.actual?.ready,
        wanted: present.actual?.wanted,
        asked: present.reactive?,
        utilisation: present.utilisation.map(|one| one.value),
    })
}

/// Whether the demand is judged to be abnormally low.
fn has_low_verdict(inputs: &Inputs) -> bool {
    let verdict = inputs.forecast.as_ref().map(|one| one.anomaly);
    verdict == Some(-1)
}
