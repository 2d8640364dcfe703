//! What forecasters have in common that keep a model for each series: a column of them.

use crate::series::Slot;

/// By slot a model; `None` where the forecaster abstains.
#[derive(Debug)]
pub(super) struct PerSeries<M>(Vec<Option<M>>);

/// The methods of a [`super::Forecaster`] that concern these columns of it alone.
macro_rules! per_series {
    ($($column:ident),+) => {
        fn grow(&mut self, slots: usize) {
            $(self.$column.grow(slots);)+
        }

        fn evict(&mut self, slot: $crate::series::Slot) {
            $(self.$column.evict(slot);)+
        }

        fn swap(&mut self, one: $crate::series::Slot, other: $crate::series::Slot) {
            $(self.$column.swap(one, other);)+
        }
    };
}
pub(super) use per_series;

impl<M> PerSeries<M> {
    /// Without series.
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn grow(&mut self, slots: usize) {
        self.0.resize_with(slots, || None);
    }

    pub(super) fn evict(&mut self, slot: Slot) {
        self.0[slot] = None;
    }

    pub(super) fn swap(&mut self, one: Slot, other: Slot) {
        self.0.swap(one, other);
    }

    /// What was learned of a series; whether that is anything.
    pub(super) fn put(&mut self, slot: Slot, model: Option<M>) -> bool {
        self.0[slot] = model;
        self.0[slot].is_some()
    }

    /// Takes in the values of `slots`.
    pub(super) fn extend(
        &mut self,
        slots: &[Slot],
        values: &[f32],
        mut step: impl FnMut(&mut M, f32),
    ) {
        for (&slot, &value) in slots.iter().zip(values) {
            if let Some(model) = &mut self.0[slot] {
                step(model, value);
            }
        }
    }

    /// Has `ahead` write the row of each of `slots` in `out`, of `horizons` values; `NaN` where there is no model.
    pub(super) fn predict(
        &self,
        slots: &[Slot],
        horizons: usize,
        out: &mut [f32],
        mut ahead: impl FnMut(Slot, &M, &mut [f32]),
    ) {
        for (&slot, row) in slots.iter().zip(out.chunks_exact_mut(horizons)) {
            match &self.0[slot] {
                Some(model) => ahead(slot, model, row),
                None => row.fill(f32::NAN),
            }
        }
    }

    /// Bytes of the column, and of what its models hold besides.
    pub(super) fn heap_bytes(&self, held: impl Fn(&M) -> usize) -> usize {
        let held: usize = self.0.iter().flatten().map(held).sum();
        held + self.0.capacity() * size_of::<Option<M>>()
    }

    /// The model of a series that has one.
    #[cfg(test)]
    pub(super) fn of(&self, slot: Slot) -> &M {
        self.0[slot].as_ref().unwrap()
    }
}
