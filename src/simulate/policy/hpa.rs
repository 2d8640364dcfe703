//! What an HPA does by itself: the present rate against a target utilisation.

use super::{Metric, Past, Policy, Size};

/// The present rate against a target utilisation.
#[derive(Debug, Clone, Copy)]
pub(in crate::simulate) struct Hpa {
    /// Target utilisation, 0 to 1.
    pub(in crate::simulate) target: f64,
    /// The rate is a mean over so many ticks.
    pub(in crate::simulate) window: usize,
}

impl Hpa {
    pub(super) fn metric(&self, past: Past<'_>) -> Metric {
        let target = self.target;
        let rate = past.rate(self.window);
        rate.map_or(Metric::Failed, |sum| Metric::Average { sum, target })
    }
}

impl Policy for Hpa {
    fn metrics(&mut self, _tick: usize, past: Past<'_>, _size: Size, out: &mut Vec<Metric>) {
        out.push(self.metric(past));
    }
}
