//! How many channels of an entity are far off by themselves.

use crate::{
    engine::outcome::Outcome,
    series::{Labels, panel::Joined},
};
use std::{collections::BTreeSet, sync::Arc};

/// The severity from which a channel counts: warning. What is merely anomalous is so by chance too often.
const FAR: u8 = 2;

/// By entity, the share of its channels with a value (0 to 1) whose own series has a verdict of at least [`FAR`]; `NaN`
/// where no channel has a value. `signals` are the channels of `joined`, `on` the labels that name an entity.
pub(super) fn far_off(
    signals: &[String],
    on: &[String],
    inputs: &[Arc<Outcome>],
    joined: &Joined,
) -> Vec<f32> {
    let mut far = vec![0_u32; joined.entities.len()];
    for (channel, signal) in signals.iter().enumerate() {
        let input = inputs.iter().find(|input| *input.unit == **signal);
        let series = input.map_or(&[][..], |input| &input.series);
        let severe = series.iter().filter(|series| series.severity >= FAR);
        let entities: BTreeSet<Labels> = severe.map(|series| series.labels.only(on)).collect();
        for entity in entities {
            if let Ok(row) = joined.entities.binary_search(&entity)
                && joined.row(row)[channel].is_finite()
            {
                far[row] += 1;
            }
        }
    }
    let known = |row: usize| joined.row(row).iter().filter(|one| one.is_finite()).count();
    let shares = far.iter().enumerate();
    shares
        .map(|(row, &far)| far as f32 / known(row) as f32)
        .collect()
}
