//! Sorts the samples of a file by name and labels and puts them on a grid.

use crate::{
    series::{Grid, Labels, Millis},
    source::{Matrix, SeriesSamples},
};
use std::collections::HashMap;

/// More series than this do not fit in memory as windows anyway.
const MOST_SERIES: usize = 200_000;
/// 16 bytes each.
const MOST_SAMPLES: usize = 200_000_000;

/// The samples of a file, as they come.
#[derive(Debug)]
pub(super) struct Shelf {
    grid: Grid,
    /// Names in the order of their first sample.
    names: Vec<(String, Pile)>,
    index: HashMap<String, usize>,
    series: usize,
    samples: usize,
}

#[derive(Debug, Default)]
struct Pile {
    series: Vec<(Labels, Vec<(Millis, f64)>)>,
    index: HashMap<Labels, usize>,
    rejected: usize,
}

/// Where a sample belongs on a shelf; spares looking it up for each sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    name: usize,
    series: usize,
}

impl Shelf {
    /// An empty shelf.
    pub(super) fn new(grid: Grid) -> Self {
        Self {
            grid,
            names: Vec::new(),
            index: HashMap::new(),
            series: 0,
            samples: 0,
        }
    }

    /// The place of the series `labels` of `name`.
    ///
    /// # Errors
    /// There are too many series.
    pub(super) fn place(&mut self, name: &str, labels: Labels) -> Result<Place, String> {
        let name = match self.index.get(name) {
            Some(&found) => found,
            None => {
                self.names.push((name.to_owned(), Pile::default()));
                self.index.insert(name.to_owned(), self.names.len() - 1);
                self.names.len() - 1
            }
        };
        let pile = &mut self.names[name].1;
        if let Some(&series) = pile.index.get(&labels) {
            return Ok(Place { name, series });
        }
        if self.series == MOST_SERIES {
            return Err(format!("more than {MOST_SERIES} series"));
        }
        self.series += 1;
        pile.series.push((labels.clone(), Vec::new()));
        pile.index.insert(labels, pile.series.len() - 1);
        let series = pile.series.len() - 1;
        Ok(Place { name, series })
    }

    /// Puts a sample there; one that is not finite is counted instead.
    ///
    /// # Errors
    /// There are too many samples.
    pub(super) fn put(&mut self, place: Place, at: Millis, value: f64) -> Result<(), String> {
        let pile = &mut self.names[place.name].1;
        if !value.is_finite() {
            pile.rejected += 1;
            return Ok(());
        }
        if self.samples == MOST_SAMPLES {
            return Err(format!("more than {MOST_SAMPLES} samples"));
        }
        self.samples += 1;
        pile.series[place.series].1.push((at, value));
        Ok(())
    }

    /// Everything on the grid: names in their order, series sorted by labels.
    pub(super) fn clear(self) -> Vec<(String, Matrix)> {
        let grid = self.grid;
        let names = self.names.into_iter();
        names.map(|(name, pile)| (name, pile.clear(grid))).collect()
    }
}

impl Pile {
    fn clear(self, grid: Grid) -> Matrix {
        let mut rejected = self.rejected;
        let mut series: Vec<SeriesSamples> = Vec::with_capacity(self.series.len());
        for (labels, samples) in self.series {
            let (samples, twice) = snap(samples, grid);
            rejected += twice;
            if !samples.is_empty() {
                series.push(SeriesSamples { labels, samples });
            }
        }
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Matrix {
            series,
            rejected,
            ..Matrix::default()
        }
    }
}

/// Samples on the grid, and how many had the time of another one (the last of those counts).
fn snap(mut samples: Vec<(Millis, f64)>, grid: Grid) -> (Vec<(Millis, f64)>, usize) {
    samples.sort_by_key(|sample| sample.0);
    let twice = samples
        .windows(2)
        .filter(|pair| pair[0].0 == pair[1].0)
        .count();
    let mut snapped: Vec<(Millis, f64)> = Vec::with_capacity(samples.len());
    for (at, value) in samples {
        // The end of the step that the sample is in: a sample at a grid time belongs to that time.
        let at = grid.floor(at - 1) + grid.step();
        match snapped.last_mut() {
            Some(last) if last.0 == at => last.1 = value,
            _ => snapped.push((at, value)),
        }
    }
    snapped.shrink_to_fit();
    (snapped, twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_time_has_the_newest_sample_of_its_step() {
        let grid = Grid::new(60).unwrap();
        let samples = vec![
            (61, 1.0),
            (0, 0.0),
            (119, 2.0),
            (120, 3.0),
            (121, 4.0),
            (121, 5.0),
        ];
        let (snapped, twice) = snap(samples, grid);
        assert_eq!(snapped, [(0, 0.0), (120, 3.0), (180, 5.0)]);
        assert_eq!(twice, 1);
    }
}
