//! Finds the seasons of a series by autocorrelation.

use crate::series::{Grid, Millis};

const DAY: Millis = 86_400_000;

/// Season lengths in steps, shortest first; empty where none shows. Deterministic; gaps are `NaN`.
pub fn detect(values: &[f32], grid: Grid) -> Vec<usize> {
    [DAY, 7 * DAY]
        .into_iter()
        .map(|span| grid.steps(span))
        .filter(|&period| {
            period > 1 && values.len() >= 2 * period && autocorrelation(values, period) > 0.4
        })
        .collect()
}

fn autocorrelation(values: &[f32], lag: usize) -> f32 {
    let finite: Vec<f32> = super::robust::finite(values);
    let mean = finite.iter().sum::<f32>() / finite.len().max(1) as f32;
    let (mut product, mut square) = (0.0_f64, 0.0_f64);
    for (&one, &other) in values.iter().zip(&values[lag..]) {
        if one.is_finite() && other.is_finite() {
            let (one, other) = (f64::from(one - mean), f64::from(other - mean));
            product += one * other;
            square += 0.5 * (one * one + other * other);
        }
    }
    if square > 0.0 {
        (product / square) as f32
    } else {
        0.0
    }
}
