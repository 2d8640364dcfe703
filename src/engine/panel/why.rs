//! Why the verdict of an entity is on: which of its channels, and where its peers are.

use super::{PanelUnit, Scored};
use crate::{
    engine::{
        outcome::{Outcome, SeriesOutcome},
        reason::{Around, Reason},
    },
    series::{Labels, Slot, panel::Joined},
};
use std::sync::Arc;

impl PanelUnit {
    pub(super) fn reason(
        &self,
        inputs: &[Arc<Outcome>],
        joined: &Joined,
        scored: &Scored,
        row: usize,
    ) -> Reason {
        let entity = &joined.entities[row];
        let kinds = self.detectors.iter().map(|detector| detector.kind());
        let scores = scored.members.iter().map(|member| member[row]);
        let reason = Reason::new(kinds, scores);
        let Some(slot) = self.entities.get(entity).map(|known| known.slot) else {
            return reason;
        };
        let shares = self.shares(slot, scored, row);
        let names = self.settings.signals.iter().map(String::as_str);
        let channels = names.zip(joined.row(row)).enumerate();
        let channels =
            channels.map(|(index, (name, &far))| (name, far, shares.get(index).copied()));
        let mut reason = reason.of_channels(channels);
        for channel in &mut reason.channels {
            if let Some(series) = self.of_entity(inputs, &channel.signal, entity) {
                (channel.value, channel.expected) = (series.value, series.band.expected);
            }
        }
        reason.peers = self.around(slot, entity);
        reason
    }

    /// The share of each channel in the greatest score that can be told apart by channels.
    fn shares(&self, slot: Slot, scored: &Scored, row: usize) -> Vec<f32> {
        let scores = scored.members.iter().map(|member| member[row]);
        let known = self.detectors.iter().zip(scores);
        let mut known: Vec<_> = known.filter(|(_, score)| !score.is_nan()).collect();
        known.sort_by(|one, other| other.1.total_cmp(&one.1));
        let shares = known.iter().map(|(detector, _)| detector.attribution(slot));
        shares
            .into_iter()
            .find(|shares| !shares.is_empty())
            .unwrap_or_default()
    }

    /// The series of a signal that is the channel of an entity.
    fn of_entity<'a>(
        &self,
        inputs: &'a [Arc<Outcome>],
        signal: &str,
        entity: &Labels,
    ) -> Option<&'a SeriesOutcome> {
        let input = inputs.iter().find(|input| *input.unit == *signal)?;
        let is_of_it = |series: &&SeriesOutcome| {
            let labels = &series.labels;
            self.settings
                .on
                .iter()
                .all(|name| labels.get(name) == entity.get(name))
        };
        let mut known = input.series.iter().filter(|series| series.band.is_known());
        known.find(is_of_it)
    }

    fn around(&self, slot: Slot, entity: &Labels) -> Option<Around> {
        let mut all = self.detectors.iter();
        let peers = all.find_map(|detector| detector.peers(slot))?;
        let name = |slot: Slot| {
            let mut all = self.entities.iter();
            all.find(|(_, known)| known.slot == slot)
                .map(|(labels, _)| labels)
        };
        let mut around = Around::new(&peers, slot, entity, name);
        // Distances of one channel say little of where a peer is.
        around.between = None;
        Some(around)
    }
}
