//! Trees over the newest row of a window: what they are told, and what they answer.
//!
//! One forest for each of [`LEVELS`], shared by all horizons and series: how many steps ahead is a term like the others.
//! The answer is a way from the newest value, in units of what is typical for its horizon, so that no horizon is learnt at
//! the cost of another. `grow` makes the trees; `onnx` writes them.

use super::{LEVELS, head::median};

/// Cuts of a tree, and its leaves.
pub(super) const DEPTH: usize = 6;
pub(super) const LEAVES: usize = 1 << DEPTH;
/// Values of the window that are terms: so many steps before the newest one.
const BACK: [usize; 9] = [1, 2, 3, 5, 8, 13, 21, 34, 55];

/// Forests for all levels and horizons.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Forest {
    pub(super) terms: Terms,
    /// By horizon: the term that says which it is.
    pub(super) ahead: Vec<f32>,
    /// By horizon: how far values are typically from the newest one.
    pub(super) sizes: Vec<f32>,
    /// By horizon and level: where the trees begin.
    pub(super) starts: Vec<[f32; LEVELS.len()]>,
    /// By level; as many for each.
    pub(super) trees: [Vec<Tree>; LEVELS.len()],
}

/// How terms are taken from a scaled window whose rows lie one after the other.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Terms {
    /// Numbers of a window.
    pub(super) inputs: usize,
    /// By term: where it is.
    pub(super) columns: Vec<usize>,
    /// By term: whether it is told as the way from the newest value.
    pub(super) relative: Vec<bool>,
    /// Where the newest value is.
    pub(super) newest: usize,
}

/// An oblivious tree (Prokhorenkova et al., "CatBoost", 2018): every row is asked the same, and the answers, the first as the
/// highest bit, are the number of its leaf. That makes a few plain operations on tensors of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tree {
    pub(super) cuts: [Cut; DEPTH],
    pub(super) leaves: [f32; LEAVES],
}

/// Whether a term is above `at`. The term after those of the window is the horizon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cut {
    pub(super) term: usize,
    pub(super) at: f32,
}

impl Cut {
    /// Nothing is above it.
    pub(super) const NONE: Self = Self {
        term: 0,
        at: f32::MAX,
    };
}

impl Terms {
    /// The newest row of a window of this shape, where `levels` says of each of its numbers whether it moves as the value
    /// does, and some of the values before.
    pub(super) fn new((rows, width): (usize, usize), levels: &[bool]) -> Self {
        let newest = (rows - 1) * width;
        let mut terms = Self {
            inputs: rows * width,
            columns: vec![newest],
            relative: vec![false],
            newest,
        };
        for (column, &moves) in levels.iter().enumerate().skip(1) {
            terms.columns.push(newest + column);
            terms.relative.push(moves);
        }
        for back in BACK.into_iter().filter(|&back| back < rows) {
            terms.columns.push((rows - 1 - back) * width);
            terms.relative.push(true);
        }
        terms
    }

    /// Terms of a window.
    pub(super) fn count(&self) -> usize {
        self.columns.len()
    }

    /// The terms of a window, and its newest value.
    pub(super) fn of(&self, window: &[f32]) -> (Vec<f32>, f32) {
        let newest = window[self.newest];
        let shift = |relative: bool| if relative { newest } else { 0.0 };
        let columns = self.columns.iter().zip(&self.relative);
        let terms = columns.map(|(&column, &relative)| window[column] - shift(relative));
        (terms.collect(), newest)
    }
}

impl Tree {
    /// The leaf of a row of terms at a horizon.
    pub(super) fn leaf(&self, terms: &[f32], ahead: f32) -> usize {
        self.cuts.iter().fold(0, |leaf, cut| {
            let term = terms.get(cut.term).copied().unwrap_or(ahead);
            2 * leaf + usize::from(term > cut.at)
        })
    }

    pub(super) fn at(&self, terms: &[f32], ahead: f32) -> f32 {
        self.leaves[self.leaf(terms, ahead)]
    }
}

impl Forest {
    /// Quantiles of whole windows that lie one after the other.
    pub(super) fn answers(&self, windows: &[f32]) -> Vec<f32> {
        let windows = windows.chunks_exact(self.terms.inputs);
        windows.flat_map(|window| self.answer(window)).collect()
    }

    fn answer(&self, window: &[f32]) -> Vec<f32> {
        let (terms, newest) = self.terms.of(window);
        let mut answer = Vec::with_capacity(self.ahead.len() * LEVELS.len());
        for (horizon, &ahead) in self.ahead.iter().enumerate() {
            let mut own = self.starts[horizon];
            for (own, trees) in own.iter_mut().zip(&self.trees) {
                *own += trees.iter().map(|tree| tree.at(&terms, ahead)).sum::<f32>();
            }
            let own = in_order(own);
            answer.extend(own.map(|one| newest + self.sizes[horizon] * one));
        }
        answer
    }
}

/// Levels are learnt apart: where an end is on the wrong side of the median, the median it is.
pub(super) fn in_order(mut levels: [f32; LEVELS.len()]) -> [f32; LEVELS.len()] {
    let middle = levels[median()];
    for (place, level) in levels.iter_mut().enumerate() {
        *level = match place < median() {
            true => level.min(middle),
            false => level.max(middle),
        };
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_the_newest_row_and_some_values_before_it() {
        let window: Vec<f32> = (0..12).map(|number| number as f32).collect();
        let terms = Terms::new((4, 3), &[true, false, true]);
        // Rows of value, hour, lag: the newest is 9, 10, 11; values before it are 6, 3, 0.
        let (found, newest) = terms.of(&window);
        assert_eq!(newest, 9.0);
        assert_eq!(found, [9.0, 10.0, 2.0, -3.0, -6.0, -9.0]);
        assert_eq!(found.len(), terms.count());
    }

    #[test]
    fn a_tree_cuts_by_terms_and_by_the_horizon() {
        let mut tree = Tree {
            cuts: [Cut::NONE; DEPTH],
            leaves: std::array::from_fn(|leaf| leaf as f32),
        };
        tree.cuts[0] = Cut { term: 1, at: 0.5 };
        tree.cuts[2] = Cut { term: 2, at: 3.0 };
        assert_eq!(tree.at(&[9.0, 0.5], 3.0), 0.0);
        assert_eq!(tree.at(&[9.0, 0.5], 4.0), 8.0);
        assert_eq!(tree.at(&[9.0, 0.6], 3.0), 32.0);
        assert_eq!(tree.at(&[9.0, 0.6], 4.0), 40.0);
        assert_eq!(in_order([3.0, 2.0, 1.0]), [2.0, 2.0, 2.0]);
        assert_eq!(in_order([1.0, 2.0, 4.0]), [1.0, 2.0, 4.0]);
    }
}
