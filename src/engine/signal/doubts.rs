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
            for ((&slot, &value), doubt) in values.zip(&columns.doubts) {
                if let (Some(finding), Some(member)) = (doubt, &shard.members[slot]) {
                    doubts.push(Doubt {
                        labels: member.labels.clone(),
                        finding: *finding,
                        value,
                    });
                }
            }
        }
        doubts.sort_by(|one, other| one.labels.cmp(&other.labels));
        doubts
    }
}
