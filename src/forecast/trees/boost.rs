//! Gradient boosting with small trees over binned terms.
//!
//! Friedman, "Greedy function approximation: a gradient boosting machine" (2001), with his Huber gradient: targets come
//! in units of their typical size, and an error counts as [`CLIP`] of them at most. Trees are grown level by level on
//! histograms (Ke et al., "LightGBM", 2017): only the smaller of two children is counted, the other is what is
//! left. There is no chance in it: same rows, same trees.

use crate::stats::robust::bin_edges;

/// Cuts from the root to a leaf, and nodes of such a tree.
const DEPTH: usize = 4;
const NODES: usize = (1 << (DEPTH + 1)) - 1;
/// Trees, and the share of what is left that each one takes.
const ROUNDS: usize = 50;
const RATE: f32 = 0.12;
/// Bins of a term, at most; a term that is missing is in the first.
const BINS: usize = 32;
/// Rows on either side of a cut.
const LEAST_ROWS: f32 = 20.0;
/// Rows of no error that each leaf has beside its own.
const PULL: f32 = 20.0;
/// Errors count as this many typical sizes at most.
const CLIP: f32 = 1.5;

/// A sum of trees over rows of `TERMS` terms.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Boost {
    trees: Box<[[Node; NODES]]>,
}

/// Of a cut: its term and where it is, rows above it go to the second of its children, at `2 i + 1` and `2 i + 2`. Of
/// a leaf: what is added.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Node {
    value: f32,
    term: u16,
}

const LEAF: u16 = u16::MAX;
const NOTHING: Node = Node {
    value: 0.0,
    term: LEAF,
};

/// Sum of errors and count of rows.
type Cell = (f32, f32);

impl Boost {
    /// Learns `targets` from `rows` of terms (`NaN` where missing).
    pub(super) fn fit<const TERMS: usize>(rows: &[[f32; TERMS]], targets: &[f32]) -> Self {
        let binned = Binned::of(rows);
        let mut rest = targets.to_vec();
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        let mut trees = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let mut tree = Tree {
                binned: &binned,
                errors: rest.iter().map(|rest| rest.clamp(-CLIP, CLIP)).collect(),
                rest: &mut rest,
                nodes: [NOTHING; NODES],
                above: Vec::new(),
            };
            let whole = tree.count(&order);
            tree.grow(0, &mut order, whole);
            trees.push(tree.nodes);
        }
        Self {
            trees: trees.into_boxed_slice(),
        }
    }

    /// The sum of the trees at `row`.
    pub(super) fn at(&self, row: &[f32]) -> f32 {
        self.trees.iter().map(|tree| value_of(tree, row)).sum()
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.trees)
    }
}

fn value_of(tree: &[Node; NODES], row: &[f32]) -> f32 {
    let mut place = 0;
    loop {
        let node = tree[place];
        if node.term == LEAF {
            return node.value;
        }
        // What is missing is not above.
        place = 2 * place + 1 + usize::from(row[usize::from(node.term)] > node.value);
    }
}

/// Rows by the bins of their terms.
struct Binned<const TERMS: usize> {
    bins: Vec<[u8; TERMS]>,
    /// By term: the upper ends of all bins but the last.
    edges: [Vec<f32>; TERMS],
}

impl<const TERMS: usize> Binned<TERMS> {
    fn of(rows: &[[f32; TERMS]]) -> Self {
        let edges: [Vec<f32>; TERMS] = std::array::from_fn(|term| {
            let mut known: Vec<f32> = rows.iter().map(|row| row[term]).collect();
            known.retain(|value| value.is_finite());
            bin_edges(known, BINS)
        });
        let bin = |row: &[f32; TERMS]| {
            std::array::from_fn(|term| edges[term].partition_point(|&edge| row[term] > edge) as u8)
        };
        Self {
            bins: rows.iter().map(bin).collect(),
            edges,
        }
    }
}

/// One tree that grows.
struct Tree<'a, const TERMS: usize> {
    binned: &'a Binned<TERMS>,
    errors: Vec<f32>,
    rest: &'a mut [f32],
    nodes: [Node; NODES],
    above: Vec<u32>,
}

/// By term and bin.
type Histogram<const TERMS: usize> = Box<[[Cell; BINS]; TERMS]>;

impl<const TERMS: usize> Tree<'_, TERMS> {
    fn count(&self, rows: &[u32]) -> Histogram<TERMS> {
        let mut histogram = Box::new([[(0.0, 0.0); BINS]; TERMS]);
        for &row in rows {
            let error = self.errors[row as usize];
            for (cells, &bin) in histogram.iter_mut().zip(&self.binned.bins[row as usize]) {
                let cell = &mut cells[usize::from(bin)];
                *cell = (cell.0 + error, cell.1 + 1.0);
            }
        }
        histogram
    }

    /// Cuts the node at `place`, whose rows these are, or makes it a leaf.
    fn grow(&mut self, place: usize, rows: &mut [u32], histogram: Histogram<TERMS>) {
        let is_deep = 2 * place + 2 >= NODES;
        let cut = if is_deep { None } else { best_cut(&histogram) };
        let Some((term, bin)) = cut else {
            self.close(place, rows);
            return;
        };
        self.nodes[place] = Node {
            value: self.binned.edges[term][bin],
            term: term as u16,
        };
        let (below, above) = self.part(rows, term, bin);
        let (lesser, greater) = (2 * place + 1, 2 * place + 2);
        let below_is_smaller = below.len() < above.len();
        let counted = self.count(if below_is_smaller { below } else { above });
        let mut left = histogram;
        for (cells, counted) in left.iter_mut().zip(counted.iter()) {
            for (cell, counted) in cells.iter_mut().zip(counted) {
                *cell = (cell.0 - counted.0, cell.1 - counted.1);
            }
        }
        let (one, other) = if below_is_smaller {
            (counted, left)
        } else {
            (left, counted)
        };
        self.grow(lesser, below, one);
        self.grow(greater, above, other);
    }

    /// Rows up to the end of `bin` first, both in the order they have: sums are made in one order whatever was cut
    /// before.
    fn part<'r>(
        &mut self,
        rows: &'r mut [u32],
        term: usize,
        bin: usize,
    ) -> (&'r mut [u32], &'r mut [u32]) {
        self.above.clear();
        let mut below = 0;
        for place in 0..rows.len() {
            let row = rows[place];
            if usize::from(self.binned.bins[row as usize][term]) > bin {
                self.above.push(row);
            } else {
                rows[below] = row;
                below += 1;
            }
        }
        rows[below..].copy_from_slice(&self.above);
        rows.split_at_mut(below)
    }

    fn close(&mut self, place: usize, rows: &[u32]) {
        let sum: f32 = rows.iter().map(|&row| self.errors[row as usize]).sum();
        let value = RATE * sum / (rows.len() as f32 + PULL);
        self.nodes[place] = Node { value, term: LEAF };
        for &row in rows {
            self.rest[row as usize] -= value;
        }
    }
}

/// The term and the bin after which to cut, for the greatest gain; `None` where nothing is gained.
fn best_cut<const TERMS: usize>(histogram: &[[Cell; BINS]; TERMS]) -> Option<(usize, usize)> {
    let all = histogram[0]
        .iter()
        .fold((0.0, 0.0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
    let worth = |(sum, count): Cell| sum * sum / (count + PULL);
    let mut best = (worth(all) * (1.0 + f32::EPSILON), None);
    for (term, cells) in histogram.iter().enumerate() {
        let mut below = (0.0, 0.0);
        for (bin, cell) in cells[..BINS - 1].iter().enumerate() {
            below = (below.0 + cell.0, below.1 + cell.1);
            let above = (all.0 - below.0, all.1 - below.1);
            if above.1 < LEAST_ROWS {
                break;
            }
            let gain = worth(below) + worth(above);
            if below.1 >= LEAST_ROWS && cell.1 > 0.0 && gain > best.0 {
                best = (gain, Some((term, bin)));
            }
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize) -> Vec<[f32; 3]> {
        let mut random = fastrand::Rng::with_seed(3);
        (0..count)
            .map(|_| [random.f32(), random.f32(), random.f32()])
            .collect()
    }

    #[test]
    fn learns_what_depends_on_two_terms_together() {
        let truth = |row: &[f32; 3]| {
            if (row[0] > 0.5) == (row[1] > 0.3) {
                1.0
            } else {
                -1.0
            }
        };
        let rows = rows(2_000);
        let targets: Vec<f32> = rows.iter().map(truth).collect();
        let boost = Boost::fit(&rows, &targets);
        let wrong = rows
            .iter()
            .filter(|row| (boost.at(*row) - truth(row)).abs() > 0.5);
        assert!(wrong.count() < 120);
        assert_eq!(boost, Boost::fit(&rows, &targets));
    }

    #[test]
    fn wild_targets_move_it_little() {
        let rows = rows(1_000);
        let mut targets = vec![0.0; 1_000];
        targets[7] = 1e6;
        let boost = Boost::fit(&rows, &targets);
        assert!(rows.iter().all(|row| boost.at(row).abs() < 1.0));
    }

    #[test]
    fn what_is_missing_goes_below_and_nothing_is_learnt_of_nothing() {
        let mut rows = rows(600);
        for row in &mut rows[..300] {
            row[1] = f32::NAN;
        }
        let targets: Vec<f32> = (0..600)
            .map(|place| if place < 300 { -1.0 } else { 1.0 })
            .collect();
        let boost = Boost::fit(&rows, &targets);
        assert!(boost.at(&[0.5, f32::NAN, 0.5]) < -0.5);
        assert!(boost.at(&[0.5, 0.9, 0.5]) > 0.5);
        let boost = Boost::fit(&rows, &[0.0; 600]);
        assert_eq!(boost.at(&rows[0]), 0.0);
        assert_eq!(Boost::fit::<3>(&[], &[]).at(&[0.0; 3]), 0.0);
    }

    #[test]
    fn bins_part_what_differs() {
        assert!(
            bin_edges(vec![2.0; 50], BINS).is_empty() && bin_edges(Vec::new(), BINS).is_empty()
        );
        assert_eq!(bin_edges(vec![1.0, 2.0, 1.0, 2.0], BINS), [1.0]);
        let many = bin_edges((0..1_000).map(|value| value as f32).collect(), BINS);
        assert_eq!(many.len(), BINS - 1);
    }
}
