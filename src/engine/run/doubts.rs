//! What a unit tells of values that are not believed: how many, and once in the log when that begins and ends.

use super::desk::Desk;
use crate::{
    engine::{
        catalogue::InvalidReport,
        outcome::{Doubt, Outcome},
    },
    quality::Finding,
};

impl Desk {
    /// Counts the values of a grid time that was evaluated live.
    pub(super) fn count_doubts(&self, outcome: &Outcome) {
        for (finding, count) in Finding::ALL.into_iter().zip(outcome.doubted()) {
            self.events.invalid().left_out(&self.name, finding, count);
        }
    }

    /// Says of the newest outcome which series are not believed.
    pub(super) fn tell_doubts(&self, newest: &Outcome) {
        let mut found = Vec::new();
        for (finding, count) in Finding::ALL.into_iter().zip(newest.doubted()) {
            self.events.invalid().now(&self.name, finding, count);
            let mut doubts = newest.doubts.iter();
            if let Some(example) = doubts.find(|one| one.finding == finding) {
                found.push((example, count));
            }
        }
        let mut before = Vec::new();
        self.tell(|report| {
            let now = found
                .iter()
                .map(|&(example, count)| report_of(example, count));
            before = std::mem::replace(&mut report.invalid, now.collect());
        });
        for &(example, count) in &found {
            if before
                .iter()
                .all(|one| one.reason != example.finding.reason())
            {
                let (finding, value) = (example.finding, example.value);
                let events = self.events.invalid();
                events.began(&self.name, finding, count, &example.labels, value);
            }
        }
        for finding in Finding::ALL {
            let was = before.iter().any(|one| one.reason == finding.reason());
            if was && found.iter().all(|(example, _)| example.finding != finding) {
                self.events.invalid().ended(&self.name, finding);
            }
        }
    }
}

fn report_of(example: &Doubt, series: usize) -> InvalidReport {
    InvalidReport {
        reason: example.finding.reason(),
        series,
        example: example.labels.to_string(),
        why: example.finding.advice(),
    }
}
