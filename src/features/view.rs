//! The series that features are computed of.

use crate::series::{Grid, Millis, Past};

/// A series up to a time, and what else is known at the same times.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Grid time of the newest value, milliseconds since the epoch.
    pub end: Millis,
    /// Spacing of the values.
    pub grid: Grid,
    /// Oldest to newest, one per grid time; not finite where there was no sample.
    pub values: &'a [f32],
    /// Other series that end at the same time.
    pub inputs: &'a [Input<'a>],
}

/// Another series, by the name that `input:NAME` asks for.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// What it is called.
    pub name: &'a str,
    /// Oldest to newest on the same grid up to the same time; it may begin earlier or later.
    pub values: &'a [f32],
}

impl<'a> View<'a> {
    /// A past alone, without inputs.
    pub fn of(past: &Past<'a>) -> Self {
        Self {
            end: past.end,
            grid: past.grid,
            values: past.values,
            inputs: &[],
        }
    }

    /// Grid time of `values[index]`.
    pub(super) fn time(&self, index: usize) -> Millis {
        self.end - (self.values.len() - 1 - index) as i64 * self.grid.step()
    }

    /// The value `back` steps before `index`; `NaN` where it is missing or before the first one.
    pub(super) fn back(&self, index: usize, back: usize) -> f32 {
        let value = index.checked_sub(back).map(|index| self.values[index]);
        value.filter(|value| value.is_finite()).unwrap_or(f32::NAN)
    }

    /// The known ones of the newest `count` values up to `index`.
    pub(super) fn known(&self, index: usize, count: usize) -> impl Iterator<Item = f32> + Clone {
        let from = (index + 1).saturating_sub(count);
        let values = self.values[from..=index].iter().copied();
        values.filter(|value| value.is_finite())
    }

    /// The value of an input at the time of `index`; `NaN` where it is missing.
    pub(super) fn input(&self, name: &str, index: usize) -> f32 {
        let from_end = self.values.len() - 1 - index;
        let input = self.inputs.iter().find(|input| input.name == name);
        let value = input.and_then(|input| {
            let place = input.values.len().checked_sub(1 + from_end)?;
            input.values.get(place).copied()
        });
        value.filter(|value| value.is_finite()).unwrap_or(f32::NAN)
    }
}
