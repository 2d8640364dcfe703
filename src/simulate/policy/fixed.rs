//! The same number always.

use super::{Metric, Past, Policy, Size};

/// The same number always.
#[derive(Debug)]
pub(in crate::simulate) struct Fixed(pub(in crate::simulate) u32);

impl Policy for Fixed {
    fn metrics(&mut self, _tick: usize, _past: Past<'_>, _size: Size, out: &mut Vec<Metric>) {
        let sum = f64::from(self.0);
        out.push(Metric::Average { sum, target: 1.0 });
    }
}
