//! Values of several series put together.

use super::Aggregate;

/// One group of series at one grid time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    count: u32,
    /// Series that should have had a value.
    missed: u32,
    /// The sum, the least or the greatest.
    value: f64,
}

impl Group {
    pub(super) const EMPTY: Self = Self {
        count: 0,
        missed: 0,
        value: 0.0,
    };

    /// A series that should have had a value has none.
    pub(super) fn miss(&mut self) {
        self.missed += 1;
    }

    /// Takes in one series. Without an aggregation the last one counts; no two have the same labels.
    pub(super) fn take(&mut self, value: f64, how: Option<&Aggregate>) {
        let first = self.count == 0;
        self.count += 1;
        self.value = match how {
            _ if first => value,
            None => value,
            Some(Aggregate::MinBy(_) | Aggregate::MinWithout(_)) => self.value.min(value),
            Some(Aggregate::MaxBy(_) | Aggregate::MaxWithout(_)) => self.value.max(value),
            Some(_) => self.value + value,
        };
    }

    /// The value of the group; `None` where no series had one, or as many as had one should have had one.
    pub(super) fn value(&self, how: Option<&Aggregate>) -> Option<f64> {
        let count = f64::from(self.count);
        (self.count > self.missed).then(|| match how {
            Some(Aggregate::CountBy(_) | Aggregate::CountWithout(_)) => count,
            Some(Aggregate::AvgBy(_) | Aggregate::AvgWithout(_)) => self.value / count,
            _ => self.value,
        })
    }
}
