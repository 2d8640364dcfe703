//! The orders of people that are in force.

use super::{Order, Override};
use crate::series::Millis;

/// What people ordered for one workload at a time. Of several orders of a kind the stricter counts, of several pins
/// that given last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Orders<'a> {
    pub(super) pause: Option<&'a Override>,
    pub(super) pin: Option<(u32, &'a Override)>,
    pub(super) min: Option<(u32, &'a Override)>,
    pub(super) max: Option<(u32, &'a Override)>,
}

impl<'a> Orders<'a> {
    pub(super) fn in_force(workload: &str, at: Millis, all: &'a [Override]) -> Self {
        let mut found = Self::default();
        let in_force =
            |one: &&Override| one.workload == workload && one.expires.is_none_or(|end| at < end);
        for one in all.iter().filter(in_force) {
            match one.order {
                Order::Pause => found.pause = Some(one),
                Order::Pin(size) => {
                    let newer = found.pin.is_none_or(|(_, pin)| pin.created <= one.created);
                    found.pin = if newer { Some((size, one)) } else { found.pin };
                }
                Order::Min(size) => {
                    let higher = found.min.is_none_or(|(known, _)| known < size);
                    found.min = if higher { Some((size, one)) } else { found.min };
                }
                Order::Max(size) => {
                    let lower = found.max.is_none_or(|(known, _)| size < known);
                    found.max = if lower { Some((size, one)) } else { found.max };
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(order: Order, created: Millis, expires: Option<Millis>) -> Override {
        Override {
            id: created.to_string(),
            workload: "checkout".to_owned(),
            order,
            reason: "sale".to_owned(),
            author: "ada".to_owned(),
            created,
            expires,
        }
    }

    #[test]
    fn the_stricter_counts_and_of_pins_the_newer_until_they_expire() {
        let all = [
            order(Order::Min(5), 1, None),
            order(Order::Min(8), 2, Some(100)),
            order(Order::Max(40), 3, None),
            order(Order::Max(30), 4, Some(100)),
            order(Order::Pin(7), 6, Some(100)),
            order(Order::Pin(9), 5, None),
            order(Order::Pause, 7, Some(100)),
        ];
        let sizes = |at| {
            let found = Orders::in_force("checkout", at, &all);
            let size = |one: Option<(u32, &Override)>| one.map(|(size, _)| size);
            let sizes = (size(found.min), size(found.max), size(found.pin));
            (sizes, found.pause.is_some())
        };
        assert_eq!(sizes(99), ((Some(8), Some(30), Some(7)), true));
        assert_eq!(sizes(100), ((Some(5), Some(40), Some(9)), false));
        let other = Orders::in_force("cart", 99, &all);
        assert!(other.pause.is_none() && other.pin.is_none());
    }
}
