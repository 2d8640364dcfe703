//! Which values of a step are not believed, for readers.

use super::SignalUnit;
use crate::engine::outcome::Doubt;

impl SignalUnit {
    /// The series whose newest value is not believed, sorted by labels.
    pub(super) fn doubts(&self) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        for shard in &self.shards {
            let columns = &shard.columns;
            let values = columns.slots.iter().zip(&columns.values);
            let all = values
                .zip(&columns.doubts)
                .filter_map(|((&slot, &value), doubt)| Some((slot, value, (*doubt)?)));
            // Where only those that are shown are left in the columns, they were looked at before.
            let own = all.chain(shard.doubted.iter().copied());
            doubts.extend(own.filter_map(|(slot, value, finding)| {
                let member = shard.members[slot].as_ref()?;
                Some(Doubt {
                    labels: member.labels.clone(),
                    finding,
                    value,
                })
            }));
        }
        doubts.sort_by(|one, other| one.labels.cmp(&other.labels));
        doubts
    }
}
