//! How history is asked for: in pieces that fit into memory and show progress.

use crate::series::{Grid, Millis};

/// Most grid times of one request: a day at one minute.
const STEPS: usize = 1_440;
/// Most samples of one answer, as far as the number of series is known: 64 MB at 16 bytes each.
const SAMPLES: usize = 4_000_000;
/// Grid times of the first request, when the number of series is unknown.
const FIRST_STEPS: usize = 120;

/// The pieces of a span of history, oldest first.
#[derive(Debug, Clone)]
pub struct Pieces {
    grid: Grid,
    next: Millis,
    first: Millis,
    series: Option<usize>,
}

impl Pieces {
    /// The pieces from `first` on.
    pub fn new(grid: Grid, first: Millis) -> Self {
        Self {
            grid,
            next: first,
            first,
            series: None,
        }
    }

    /// Tells how many series the answers are expected to have.
    pub fn expect(&mut self, series: usize) {
        self.series = Some(series);
    }

    /// The next piece up to `end`, first and last grid time; `None` where `end` was read. The same
    /// again until [`Pieces::done`].
    pub fn next(&self, end: Millis) -> Option<(Millis, Millis)> {
        let steps = match self.series {
            None => FIRST_STEPS,
            Some(series) => (SAMPLES / series.max(1)).clamp(1, STEPS),
        };
        let last = self.next + (steps as i64 - 1) * self.grid.step();
        (self.next <= end).then_some((self.next, last.min(end)))
    }

    /// The piece up to `last` was read and had so many series.
    pub fn done(&mut self, last: Millis, series: usize) {
        self.next = last + self.grid.step();
        self.series = Some(series.max(self.series.unwrap_or(0)));
    }

    /// Share of the span up to `end` that was read, 0 to 1.
    pub fn share(&self, end: Millis) -> f64 {
        let all = (end + self.grid.step() - self.first).max(1);
        ((self.next - self.first) as f64 / all as f64).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(series: usize, steps: i64) -> Vec<(Millis, Millis)> {
        let mut pieces = Pieces::new(Grid::new(1).unwrap(), 0);
        let mut all = Vec::new();
        while let Some(piece) = pieces.next(steps - 1) {
            all.push(piece);
            pieces.done(piece.1, series);
        }
        assert!((pieces.share(steps - 1) - 1.0).abs() < f64::EPSILON);
        all
    }

    #[test]
    fn pieces_cover_the_span_once_and_fit_into_memory() {
        for (series, longest) in [(0, 1_440), (100, 1_440), (10_000, 400), (9_000_000, 1)] {
            let pieces = read(series, 3_000);
            assert_eq!(pieces[0], (0, 119));
            assert_eq!(pieces[pieces.len() - 1].1, 2_999);
            assert!(pieces.windows(2).all(|pair| pair[1].0 == pair[0].1 + 1));
            let most = pieces[1..].iter().map(|piece| piece.1 - piece.0 + 1).max();
            assert_eq!(most, Some(longest), "{series} series");
        }
    }

    #[test]
    fn a_span_shorter_than_a_piece_is_one_piece() {
        assert_eq!(read(1, 50), [(0, 49)]);
    }
}
