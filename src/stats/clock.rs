//! Local time without a look-up per call.

use crate::series::{Millis, Zone};
use std::cell::Cell;

/// Zones change their offset only at whole quarters of an hour.
const QUARTER: Millis = 900_000;

/// Wall clock time of one zone, remembering the offset of the last quarter of an hour.
#[derive(Debug, Clone)]
pub struct LocalTime {
    zone: Zone,
    last: Cell<(Millis, Millis)>,
}

impl Default for LocalTime {
    fn default() -> Self {
        Self::new(Zone::default())
    }
}

impl LocalTime {
    /// The wall clock of `zone`.
    pub fn new(zone: Zone) -> Self {
        Self {
            zone,
            last: Cell::new((Millis::MIN, 0)),
        }
    }

    /// The zone.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Milliseconds since the epoch as the wall clock shows them at `at`.
    pub fn read(&self, at: Millis) -> Millis {
        let quarter = at.div_euclid(QUARTER);
        let (known, offset) = self.last.get();
        if known == quarter {
            return at + offset;
        }
        let offset = self.zone.offset(at);
        self.last.set((quarter, offset));
        at + offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_asking_the_zone_each_time_across_a_change() {
        let zone = Zone::named("Europe/Berlin").unwrap();
        let local = LocalTime::new(zone.clone());
        let change = 1_711_846_800_000;
        for minute in -120..120 {
            let at = change + minute * 60_000;
            assert_eq!(local.read(at), at + zone.offset(at));
        }
        assert_eq!(zone.offset(change) - zone.offset(change - 1), 3_600_000);
    }
}
