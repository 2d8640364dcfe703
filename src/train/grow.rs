//! Gradient boosting of [`Forest`]s by the pinball loss.
//!
//! Friedman, "Greedy function approximation: a gradient boosting machine" (2001): cuts follow the sign of the errors, weighed
//! as the level asks, and a leaf is the quantile of what is left in it. Each tree sees a part of the rows, drawn by the seed
//! (Friedman, "Stochastic gradient boosting", 2002). Cuts are found on histograms (Ke et al., "LightGBM", 2017), one for all
//! nodes of a level at a time. The forecaster `trees` has trees of another shape, by another loss, for a single series.

use super::{
    Epoch, LEVELS, Settings,
    forest::{Cut, DEPTH, Forest, LEAVES, Terms, Tree, in_order},
    learn::{PATIENCE, VALIDATED, evenly},
    samples::{Origin, Samples},
};
use crate::stats::robust::bin_edges;
use fastrand::Rng;
use rayon::prelude::*;

/// Windows by horizons that are learnt from, at most.
const MOST_ROWS: usize = 90_000;
/// Of those, the ones that a tree sees: two thirds, and so many at most.
const PER_TREE: usize = 30_000;
/// Trees of each level in an epoch.
const PER_EPOCH: usize = 5;
/// The share of what is left that each tree takes.
const RATE: f32 = 0.1;
const BINS: usize = 64;
/// Rows on either side of a cut, for it to count as a gain: a tenth of them shall still be some.
const LEAST_ROWS: u32 = 60;
/// Rows of no error that each side of a cut, and each leaf, has beside its own.
const PULL: f64 = 20.0;
/// Windows that are cut out at a time.
const PIECE: usize = 1_024;

/// Learns, and gives the forest of the best epoch.
///
/// # Errors
/// It diverges.
pub(super) fn grow(
    samples: &Samples<'_>,
    origins: [&[Origin]; 2],
    (terms, settings, steps): (Terms, &Settings, &[usize]),
    progress: &mut dyn FnMut(&Epoch),
) -> Result<(Forest, Vec<Epoch>), String> {
    let training = evenly(origins[0], (MOST_ROWS / steps.len()).max(1));
    let mut forest = Forest {
        terms,
        ahead: steps.iter().map(|&steps| (steps as f32).ln()).collect(),
        sizes: Vec::new(),
        starts: Vec::new(),
        trees: Default::default(),
    };
    let mut training = Table::of(samples, &training, &forest);
    let mut validation = Table::of(samples, &evenly(origins[1], VALIDATED), &forest);
    forest.sizes = training.sizes();
    training.scale(&forest.sizes);
    validation.scale(&forest.sizes);
    forest.starts = training.starts();
    training.begin(&forest.starts);
    validation.begin(&forest.starts);
    let bins = Bins::of(&training);
    let mut rng = Rng::with_seed(settings.seed);
    let (mut epochs, mut best): (Vec<Epoch>, Option<(f64, usize)>) = (Vec::new(), None);
    for number in 1..=settings.epochs {
        for _ in 0..PER_EPOCH {
            let chosen = chosen(training.rows.len(), &mut rng);
            for (level, trees) in forest.trees.iter_mut().enumerate() {
                let tree = Growth::grow(&training, &bins, level, &chosen);
                training.follow(level, &tree);
                validation.follow(level, &tree);
                trees.push(tree);
            }
        }
        let loss = validation.loss(&forest.sizes);
        let training = training.loss(&forest.sizes);
        if !(loss.is_finite() && training.is_finite()) {
            return Err(format!(
                "learning diverged in epoch {number}; are some values absurd?"
            ));
        }
        let is_best = best.is_none_or(|(least, _)| loss < least);
        if is_best {
            best = Some((loss, forest.trees[0].len()));
        }
        let epoch = Epoch {
            number,
            of: settings.epochs,
            training,
            validation: loss,
            is_best,
        };
        progress(&epoch);
        epochs.push(epoch);
        let since = epochs.iter().rev().take_while(|epoch| !epoch.is_best);
        if since.count() >= PATIENCE {
            break;
        }
    }
    let (_, count) = best.ok_or("epochs: must be at least 1")?;
    forest
        .trees
        .iter_mut()
        .for_each(|trees| trees.truncate(count));
    Ok((forest, epochs))
}

/// Some of the rows, in order.
fn chosen(rows: usize, rng: &mut Rng) -> Vec<u32> {
    let mut all: Vec<u32> = (0..rows as u32).collect();
    rng.shuffle(&mut all);
    all.truncate((rows * 2 / 3).min(PER_TREE));
    all.sort_unstable();
    all
}

/// Windows by horizons, as far as both are known.
struct Table {
    rows: Vec<Row>,
    /// By window.
    terms: Vec<Vec<f32>>,
    ahead: Vec<f32>,
}

struct Row {
    window: u32,
    horizon: u32,
    /// The way from the newest value, in units of what is typical for the horizon.
    target: f32,
    weight: f32,
    /// By level: what has been learnt of it.
    learnt: [f32; LEVELS.len()],
}

impl Table {
    fn of(samples: &Samples<'_>, origins: &[Origin], forest: &Forest) -> Self {
        let pieces: Vec<(Vec<Row>, Vec<Vec<f32>>)> = origins
            .par_chunks(PIECE)
            .map(|piece| rows_of(samples, piece, &forest.terms))
            .collect();
        let mut table = Self {
            rows: Vec::new(),
            terms: Vec::new(),
            ahead: forest.ahead.clone(),
        };
        for (rows, terms) in pieces {
            let before = table.terms.len() as u32;
            table.rows.extend(rows.into_iter().map(|row| Row {
                window: before + row.window,
                ..row
            }));
            table.terms.extend(terms);
        }
        table
    }

    /// By horizon: the mean way from the newest value.
    fn sizes(&self) -> Vec<f32> {
        let size = |horizon: usize| {
            let rows = self
                .rows
                .iter()
                .filter(|row| row.horizon as usize == horizon);
            let (sum, count) = rows.fold((0.0, 0.0), |(sum, count), row| {
                let weight = f64::from(row.weight);
                (sum + weight * f64::from(row.target.abs()), count + weight)
            });
            if sum > 0.0 { (sum / count) as f32 } else { 1.0 }
        };
        (0..self.ahead.len()).map(size).collect()
    }

    fn scale(&mut self, sizes: &[f32]) {
        for row in &mut self.rows {
            row.target /= sizes[row.horizon as usize];
        }
    }

    /// By horizon and level: the quantile of what is to be learnt.
    fn starts(&self) -> Vec<[f32; LEVELS.len()]> {
        let start = |horizon: usize| {
            let rows = self
                .rows
                .iter()
                .filter(|row| row.horizon as usize == horizon);
            let mut known: Vec<(f32, f32)> = rows.map(|row| (row.target, row.weight)).collect();
            LEVELS.map(|level| quantile(&mut known, level))
        };
        (0..self.ahead.len()).map(start).collect()
    }

    fn begin(&mut self, starts: &[[f32; LEVELS.len()]]) {
        for row in &mut self.rows {
            row.learnt = starts[row.horizon as usize];
        }
    }

    /// Adds a tree to what has been learnt.
    fn follow(&mut self, level: usize, tree: &Tree) {
        let Self { rows, terms, ahead } = self;
        rows.par_iter_mut().for_each(|row| {
            let ahead = ahead[row.horizon as usize];
            row.learnt[level] += tree.at(&terms[row.window as usize], ahead);
        });
    }

    /// The mean pinball loss in deviations of the series.
    fn loss(&self, sizes: &[f32]) -> f64 {
        let sum: f64 = self.rows.iter().map(|row| row.loss(sizes)).sum();
        sum / (self.rows.len() * LEVELS.len()) as f64
    }
}

impl Row {
    fn loss(&self, sizes: &[f32]) -> f64 {
        let levels = LEVELS.iter().zip(in_order(self.learnt));
        let losses = levels.map(|(&level, learnt)| {
            let error = f64::from(self.target - learnt);
            (level * error).max((level - 1.0) * error)
        });
        f64::from(self.weight * sizes[self.horizon as usize]) * losses.sum::<f64>()
    }
}

fn rows_of(samples: &Samples<'_>, origins: &[Origin], terms: &Terms) -> (Vec<Row>, Vec<Vec<f32>>) {
    let batch = samples.batch(origins);
    let (mut rows, mut all) = (Vec::new(), Vec::new());
    for (window, numbers) in batch.windows.rows().into_iter().enumerate() {
        let (own, newest) = match numbers.as_slice() {
            Some(numbers) => terms.of(numbers),
            None => terms.of(&numbers.to_vec()),
        };
        all.push(own);
        for (horizon, &target) in batch.targets.row(window).iter().enumerate() {
            if target.is_finite() && batch.weights[window] > 0.0 {
                rows.push(Row {
                    window: window as u32,
                    horizon: horizon as u32,
                    target: target - newest,
                    weight: batch.weights[window],
                    learnt: [0.0; LEVELS.len()],
                });
            }
        }
    }
    (rows, all)
}

/// The quantile of numbers with weights; they are sorted by that.
fn quantile(known: &mut [(f32, f32)], level: f64) -> f32 {
    known.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
    let whole: f64 = known.iter().map(|(_, weight)| f64::from(*weight)).sum();
    let mut below = 0.0;
    let reached = known.iter().find(|(_, weight)| {
        below += f64::from(*weight);
        below >= level * whole
    });
    reached.or(known.last()).map_or(0.0, |(number, _)| *number)
}

/// Rows by the bins of their terms, the horizon as the last of them.
struct Bins {
    /// By term, then by row.
    bins: Vec<Vec<u8>>,
    /// By term: the upper ends of all bins but the last.
    edges: Vec<Vec<f32>>,
}

impl Bins {
    fn of(table: &Table) -> Self {
        let count = table.terms.first().map_or(0, Vec::len);
        let term = |term: usize, row: &Row| {
            let own = table.terms[row.window as usize].get(term);
            own.copied().unwrap_or(table.ahead[row.horizon as usize])
        };
        let both = (0..=count).into_par_iter().map(|place| {
            let values: Vec<f32> = table.rows.iter().map(|row| term(place, row)).collect();
            let edges = bin_edges(values.clone(), BINS);
            let bin = |value: &f32| edges.partition_point(|edge| value > edge) as u8;
            (values.iter().map(bin).collect(), edges)
        });
        let (bins, edges) = both.unzip();
        Self { bins, edges }
    }
}

/// Sum of slopes, sum of weights, rows.
type Cell = (f64, f64, u32);

/// One tree that grows.
struct Growth<'a> {
    table: &'a Table,
    bins: &'a Bins,
    level: usize,
    /// The rows that are looked at: each with its slope and its weight, and the node it is in.
    rows: Vec<(u32, f32, f32)>,
    nodes: Vec<u8>,
}

impl<'a> Growth<'a> {
    fn grow(table: &'a Table, bins: &'a Bins, level: usize, rows: &[u32]) -> Tree {
        let slope = |&place: &u32| {
            let row = &table.rows[place as usize];
            let above = row.target > row.learnt[level];
            let slope = LEVELS[level] as f32 - f32::from(!above);
            (place, row.weight * slope, row.weight)
        };
        let mut growth = Self {
            table,
            bins,
            level,
            rows: rows.iter().map(slope).collect(),
            nodes: vec![0; rows.len()],
        };
        let mut cuts = [Cut::NONE; DEPTH];
        for (depth, cut) in cuts.iter_mut().enumerate() {
            *cut = growth.cut(1 << depth);
        }
        Tree {
            cuts,
            leaves: growth.leaves(),
        }
    }

    /// Cuts all nodes of a level, so many, by the same term where that gains most.
    fn cut(&mut self, nodes: usize) -> Cut {
        let best_of = |(term, bins): (usize, &Vec<u8>)| {
            let (gain, bin) = best_bin(&self.count(bins, nodes))?;
            Some((gain, term, bin))
        };
        let found: Vec<_> = self.bins.bins.par_iter().enumerate().map(best_of).collect();
        let greatest = found
            .into_iter()
            .flatten()
            .reduce(|one, other| if other.0 > one.0 { other } else { one });
        let Some((_, term, bin)) = greatest else {
            self.nodes.iter_mut().for_each(|node| *node *= 2);
            return Cut::NONE;
        };
        let bins = &self.bins.bins[term];
        for (node, (row, ..)) in self.nodes.iter_mut().zip(&self.rows) {
            *node = 2 * *node + u8::from(usize::from(bins[*row as usize]) > bin);
        }
        Cut {
            term,
            at: self.bins.edges[term][bin],
        }
    }

    /// By node and bin of one term.
    fn count(&self, bins: &[u8], nodes: usize) -> Vec<[Cell; BINS]> {
        let mut cells = vec![[(0.0, 0.0, 0); BINS]; nodes];
        for (&(row, slope, weight), &node) in self.rows.iter().zip(&self.nodes) {
            let cell = &mut cells[usize::from(node)][usize::from(bins[row as usize])];
            cell.0 += f64::from(slope);
            cell.1 += f64::from(weight);
            cell.2 += 1;
        }
        cells
    }

    /// The quantile of what is left in each leaf, as much of it as a tree takes.
    fn leaves(&self) -> [f32; LEAVES] {
        let mut left: Vec<Vec<(f32, f32)>> = vec![Vec::new(); LEAVES];
        for (&(row, _, weight), &node) in self.rows.iter().zip(&self.nodes) {
            let row = &self.table.rows[row as usize];
            left[usize::from(node)].push((row.target - row.learnt[self.level], weight));
        }
        let value = |left: &mut Vec<(f32, f32)>| {
            let count = left.len() as f32;
            RATE * count / (count + PULL as f32) * quantile(left, LEVELS[self.level])
        };
        let values: Vec<f32> = left.par_iter_mut().map(value).collect();
        std::array::from_fn(|leaf| values[leaf])
    }
}

/// What is gained at most by a cut of all nodes by one term, and the bin after which it is; `None` where nothing is.
fn best_bin(nodes: &[[Cell; BINS]]) -> Option<(f64, usize)> {
    let add = |one: Cell, other: &Cell| (one.0 + other.0, one.1 + other.1, one.2 + other.2);
    let worth = |(sum, weight, _): Cell| sum * sum / (weight + PULL);
    let mut gains = [0.0; BINS - 1];
    for cells in nodes {
        let all = cells.iter().fold((0.0, 0.0, 0), add);
        let mut below = (0.0, 0.0, 0);
        for (gain, cell) in gains.iter_mut().zip(cells) {
            below = add(below, cell);
            let above = (all.0 - below.0, all.1 - below.1, all.2 - below.2);
            if above.2 < LEAST_ROWS {
                break;
            }
            if below.2 >= LEAST_ROWS {
                *gain += worth(below) + worth(above) - worth(all);
            }
        }
    }
    let gains = gains.into_iter().enumerate();
    let (bin, gain) = gains.reduce(|one, other| if other.1 > one.1 { other } else { one })?;
    // Less is what sums are rounded by.
    (gain > 1e-9).then_some((gain, bin))
}

const _: () = assert!(DEPTH <= 8 && BINS <= 256);

#[cfg(test)]
mod tests {
    use super::*;

    /// What is to be learnt depends on two terms together and on the horizon.
    fn table(rows: usize) -> Table {
        let mut rng = Rng::with_seed(3);
        let terms: Vec<Vec<f32>> = (0..rows).map(|_| vec![rng.f32(), rng.f32()]).collect();
        let row = |window: usize| {
            let (own, horizon) = (&terms[window], window % 2);
            let sign = if (own[0] > 0.5) == (own[1] > 0.3) {
                1.0
            } else {
                -1.0
            };
            Row {
                window: window as u32,
                horizon: horizon as u32,
                target: sign * (1.0 + horizon as f32),
                weight: 1.0,
                learnt: [0.0; 3],
            }
        };
        Table {
            rows: (0..rows).map(row).collect(),
            terms,
            ahead: vec![0.0, 1.0],
        }
    }

    #[test]
    fn what_depends_on_terms_together_and_on_the_horizon_is_learnt() {
        let mut table = table(4_000);
        let bins = Bins::of(&table);
        let before = table.loss(&[1.0, 1.0]);
        let all: Vec<u32> = (0..4_000).collect();
        for _ in 0..60 {
            let tree = Growth::grow(&table, &bins, 1, &all);
            table.follow(1, &tree);
        }
        let wrong = table
            .rows
            .iter()
            .filter(|row| (row.target - row.learnt[1]).abs() > 0.3);
        assert!(wrong.count() < 200);
        assert!(table.loss(&[1.0, 1.0]) < 0.5 * before);
    }

    #[test]
    fn each_level_has_its_share_of_rows_below_it() {
        let mut table = table(2_000);
        let mut rng = Rng::with_seed(5);
        table.rows.iter_mut().for_each(|row| row.target = rng.f32());
        let bins = Bins::of(&table);
        let all: Vec<u32> = (0..2_000).collect();
        for _ in 0..80 {
            for level in 0..LEVELS.len() {
                let tree = Growth::grow(&table, &bins, level, &all);
                table.follow(level, &tree);
            }
        }
        for (level, wanted) in LEVELS.iter().enumerate() {
            let below = table
                .rows
                .iter()
                .filter(|row| row.target < row.learnt[level]);
            let share = below.count() as f64 / 2_000.0;
            assert!((share - wanted).abs() < 0.06, "{wanted}: {share}");
        }
    }

    #[test]
    fn nothing_is_cut_where_nothing_is_gained() {
        let mut table = table(500);
        table.rows.iter_mut().for_each(|row| row.target = 0.0);
        let all: Vec<u32> = (0..500).collect();
        let tree = Growth::grow(&table, &Bins::of(&table), 1, &all);
        assert!(tree.leaves.iter().all(|&leaf| leaf == 0.0));
        assert_eq!(
            quantile(&mut [(3.0, 1.0), (1.0, 1.0), (2.0, 8.0)], 0.5),
            2.0
        );
        assert_eq!(quantile(&mut [], 0.5), 0.0);
    }
}
