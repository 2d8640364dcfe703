//! Deriving a series: members are fitted to the older part of its past and walked through the rest.

use super::{
    super::calibration::Walk,
    Forecasts,
    serving::{When, limited},
};
use crate::series::{Past, Slot};

/// Origins aimed at in one calibration.
const ORIGINS: usize = 512;
/// How often members are fitted anew on the walk of a calibration: between live rebuilds little passes,
/// and what they would have forecast with a much shorter past says little about now.
const STAGES: usize = 4;

impl Forecasts {
    /// Members fitted to the past without its newest values, carried through those, asked at every origin.
    pub(super) fn calibrate(&mut self, slot: Slot, past: &Past<'_>) {
        let calibrated = calibration_steps(past.values.len());
        let Some(head) = past.before(calibrated) else {
            return;
        };
        self.fit(slot, &head);
        self.rule.learn(slot, head.values);
        self.newest.learn(slot, past.values);
        let stride = calibrated.div_ceil(ORIGINS).max(1);
        let (mut origins, mut points) = (Vec::new(), Vec::new());
        for value in head.values {
            self.reaches[slot].see(*value);
        }
        let first = head.values.len();
        let stage = calibrated.div_ceil(STAGES).max(1);
        for index in first - 1..past.values.len() {
            let at = past.time(index);
            let anew = index > first && (index - first).is_multiple_of(stage);
            let known = past.before(past.values.len() - index);
            if let Some(known) = known.filter(|_| anew) {
                self.fit(slot, &known);
            }
            if index >= first {
                let value = &past.values[index..=index];
                self.reaches[slot].see(value[0]);
                self.rule.see(slot, value[0]);
                for member in self.everyone() {
                    member.extend(at, &[slot], value);
                }
            }
            if self.grid.index(at).rem_euclid(stride as i64) == 0 {
                origins.push(index);
                self.ask_all(slot, &mut points);
            }
        }
        let walk = Walk {
            past,
            wall: &self.wall,
            stride,
            cast: &self.cast,
            horizons: &self.steps,
            lanes: &self.lanes,
            origins,
            points,
        };
        let known = past.known();
        for h in (0..self.steps.len()).filter(|&h| known >= self.least_known[h]) {
            let track = walk.track(h, self.interval);
            for (bout, scores) in self.bouts.iter().zip(&mut self.scores) {
                scores[slot * self.steps.len() + h] = walk.score(h, &track, bout);
            }
            self.tracks[slot * self.steps.len() + h] = track;
        }
    }

    /// Fits everybody to `past`; who cannot learn from it abstains.
    fn fit(&mut self, slot: Slot, past: &Past<'_>) {
        self.everyone().for_each(|member| member.fit(slot, past));
    }

    /// Appends what everybody expects of a series now, in the order of [`super::super::calibration::Cast`].
    fn ask_all(&mut self, slot: Slot, points: &mut Vec<f32>) {
        self.ask(&[slot], When::Walk);
        points.extend_from_slice(&self.scratch.points);
        let (asked, count) = (&self.lanes.asked, self.steps.len());
        let mut told = vec![f32::NAN; asked.len()];
        let mut append = |told: &mut [f32]| {
            limited(&[slot], &self.reaches, asked, told);
            let from = points.len();
            points.resize(from + count, f32::NAN);
            self.lanes.collapse(told, &mut points[from..]);
        };
        self.rule.ahead(slot, asked, &mut told);
        append(&mut told);
        told.fill(self.rule.newest(slot));
        append(&mut told);
        for shadow in &mut self.shadows {
            shadow.member.predict(&[slot], asked, &mut told);
            append(&mut told);
        }
    }
}

/// How many of the newest values of a past calibrate.
fn calibration_steps(past: usize) -> usize {
    if past >= 128 {
        past / 2
    } else {
        past - (past / 4).max(10)
    }
}
