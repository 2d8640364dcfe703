//! Comparing the versions of networks: at the origins of a series its other versions are asked too, and all of them are
//! scored when the actual value is known. Nothing of it is published as a forecast.

use super::{
    super::contest::{Bout, Entrant, Tally},
    Forecasts, Role,
};
use crate::series::{Millis, Slot};

impl Forecasts {
    /// Whose versions are compared: networks that have a version.
    pub(super) fn bouts(&self) -> Vec<Bout> {
        let networks = self.members.iter().enumerate();
        let bout = |(place, member): (usize, &super::Member)| {
            let (model, version) = split(member.version()?);
            let other = |role: Role| {
                let shadows = self.shadows.iter().enumerate();
                let mut of = shadows.filter(|(_, one)| one.of == place && one.role == role);
                let (row, shadow) = of.next()?;
                self.entrant(&shadow.member, self.cast.shadows() + row)
            };
            Some(Bout {
                model,
                champion: Entrant {
                    version,
                    ..self.entrant(member, place)?
                },
                challenger: other(Role::Challenger),
                previous: other(Role::Previous),
            })
        };
        networks.filter_map(bout).collect()
    }

    fn entrant(&self, member: &super::Member, row: usize) -> Option<Entrant> {
        let until = member.trained_until().unwrap_or(Millis::MIN);
        Some(Entrant {
            version: split(member.version()?).1,
            row,
            trained_until: until.div_euclid(self.grid.step()),
        })
    }

    /// Files the forecasts of all versions at these origins: positions in `slots`, ascending, with the horizons.
    pub(super) fn compare(&mut self, slots: &[Slot], origins: &[(usize, usize)]) {
        let mut positions: Vec<usize> = origins.iter().map(|&(i, _)| i).collect();
        positions.dedup();
        self.ask_others(slots, &positions, |_| true);
        let count = self.steps.len();
        for &(i, h) in origins {
            let slot = slots[i];
            let target = self.grid.index(self.now[slot]) + self.steps[h] as i64;
            for b in 0..self.bouts.len() {
                let told = self.told(i, slot, h, slots.len());
                let point = |row: usize| told.point(row);
                let waiting = self.bouts[b].waiting(target, self.cast.naive(point), point);
                self.scores[b][slot * count + h].file(waiting);
            }
        }
    }

    /// Takes a series into the tallies of all networks, which begin empty.
    pub fn tally(&self, slot: Slot, tallies: &mut Vec<Tally>) {
        let count = self.steps.len();
        for (place, (bout, scores)) in self.bouts.iter().zip(&self.scores).enumerate() {
            if place == tallies.len() {
                tallies.push(Tally::new(bout, self.horizons.len()));
            }
            let own = &scores[slot * count..][..self.horizons.len()];
            for (h, score) in own.iter().enumerate() {
                tallies[place].add(h, score);
            }
        }
    }
}

/// `checkout/7` is version 7 of checkout.
fn split(version: String) -> (String, String) {
    match version.rsplit_once('/') {
        Some((model, version)) => (model.to_owned(), version.to_owned()),
        None => (version.clone(), version),
    }
}
