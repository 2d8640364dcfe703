//! The cluster of a group that holds most of its peers.

use linfa::traits::Transformer;
use linfa_clustering::Dbscan as Clustering;
use ndarray::{Array2, ArrayView1};
use std::collections::BTreeMap;

/// More peers than this are put into cells first: many points in one place make the clustering quadratic.
const EXACT: usize = 256;
/// More cells than this are thinned out.
const MOST: usize = 2_000;
/// Cells in a radius.
const CELLS: f64 = 16.0;

/// The points of the cluster that holds more than half of all, one for each cell; none where no cluster
/// does.
pub(super) fn majority(points: &Array2<f64>, radius: f64) -> Array2<f64> {
    let (cells, weights) = cells(points, radius);
    // With two as the least number of neighbours every member is a core: no order of points matters.
    let clusters = Clustering::params(2).tolerance(radius).transform(&cells);
    let Ok(clusters) = clusters else {
        return Array2::zeros((0, points.ncols()));
    };
    let mut rows: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (row, cluster) in clusters.iter().enumerate() {
        // A cell apart from all others is a cluster of its own: it may hold many points.
        rows.entry(cluster.unwrap_or(usize::MAX - row))
            .or_default()
            .push(row);
    }
    let all: usize = weights.iter().sum();
    let greatest = rows
        .into_values()
        .find(|rows| 2 * rows.iter().map(|&row| weights[row]).sum::<usize>() > all);
    cells.select(ndarray::Axis(0), &greatest.unwrap_or_default())
}

/// Few points as they are; many as the middles of the cells they fall in. With the number of points in each.
fn cells(points: &Array2<f64>, radius: f64) -> (Array2<f64>, Vec<usize>) {
    if points.nrows() <= EXACT {
        return (points.clone(), vec![1; points.nrows()]);
    }
    let size = radius / CELLS;
    let mut counts: BTreeMap<Vec<i64>, usize> = BTreeMap::new();
    for row in points.rows() {
        let cell = row
            .iter()
            .map(|value| (value / size).round() as i64)
            .collect();
        *counts.entry(cell).or_default() += 1;
    }
    let stride = counts.len().div_ceil(MOST);
    let kept: Vec<(&Vec<i64>, &usize)> = counts.iter().step_by(stride).collect();
    let mut cells = Array2::zeros((kept.len(), points.ncols()));
    for (row, (cell, _)) in kept.iter().enumerate() {
        for (column, &number) in cell.iter().enumerate() {
            cells[(row, column)] = number as f64 * size;
        }
    }
    (cells, kept.iter().map(|&(_, &count)| count).collect())
}

/// The points of the majority, ordered for looking up the nearest.
pub(super) enum Majority<'a> {
    /// Of one channel: thousands of peers are looked up among thousands of cells.
    Sorted(Vec<f64>),
    Any(&'a Array2<f64>),
}

impl<'a> Majority<'a> {
    pub(super) fn new(points: &'a Array2<f64>) -> Self {
        if points.ncols() != 1 {
            return Self::Any(points);
        }
        let mut sorted: Vec<f64> = points.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        Self::Sorted(sorted)
    }

    /// The distance to the nearest of its points; `None` where there are none.
    pub(super) fn nearest(&self, point: ArrayView1<'_, f64>) -> Option<f64> {
        match self {
            Self::Sorted(sorted) => {
                let value = point[0];
                let above = sorted.partition_point(|&other| other < value);
                let near = &sorted[above.saturating_sub(1)..sorted.len().min(above + 1)];
                let distances = near.iter().map(|other| (value - other).abs());
                distances.min_by(f64::total_cmp)
            }
            Self::Any(points) => {
                let squares = points.rows().into_iter().map(|other| {
                    let pairs = point.iter().zip(other);
                    let squares = pairs.map(|(one, other)| (one - other).powi(2));
                    squares.sum::<f64>()
                });
                squares.min_by(f64::total_cmp).map(f64::sqrt)
            }
        }
    }
}
