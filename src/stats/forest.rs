//! Isolation trees: how few random cuts it takes to set a point apart from a sample.
//!
//! Liu, Ting & Zhou, "Isolation Forest" (ICDM 2008): a cut is across one coordinate. Hariri, Carrasco Kind &
//! Brunner, "Extended Isolation Forest" (TKDE 2019): a cut is across a random direction, which leaves no
//! ghosts beside a cloud of points. In both, the place of the cut is drawn evenly between the least and the
//! greatest point of the node.

use fastrand::Rng;

/// A point: what is known of one step of a series.
pub type Row<const D: usize> = [f32; D];

/// A node of a tree: a cut, whose lesser side is the next node, or a leaf. 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Node {
    /// Of a cut: where along its direction. Of a leaf: how many more cuts its points would have taken.
    at: f32,
    /// Of a cut: its direction.
    direction: u16,
    /// Of a cut: the node of the greater side.
    greater: u16,
}

const LEAF: u16 = u16::MAX;
const UNGROWN: u16 = u16::MAX - 1;
/// So many directions are tried before points are taken for the same.
const TRIES: usize = 8;
/// Directions of an extended forest: more are no better.
const DIRECTIONS: usize = 64;

impl Node {
    /// A tree that was not grown yet.
    pub const UNGROWN: Self = Self {
        at: f32::NAN,
        direction: UNGROWN,
        greater: 0,
    };

    /// Whether this root is that of a tree that was grown.
    pub fn is_grown(self) -> bool {
        self.direction != UNGROWN
    }

    /// Whether this root is that of a tree without a cut: all its points were the same.
    pub fn is_leaf(self) -> bool {
        self.direction == LEAF
    }
}

/// Nodes of a tree of `sample` points, at most.
pub const fn most_nodes(sample: usize) -> usize {
    2 * sample - 1
}

/// The mean number of cuts that set one of `count` points apart, `c(n)` in the paper: that of an unsuccessful
/// search in a binary search tree.
pub fn mean_path(count: usize) -> f32 {
    const EULER: f64 = 0.577_215_664_901_532_9;
    match count {
        0 | 1 => 0.0,
        2 => 1.0,
        _ => {
            let last = (count - 1) as f64;
            (2.0 * (last.ln() + EULER) - 2.0 * last / count as f64) as f32
        }
    }
}

/// The anomaly score of a point with this mean path in trees of `sample` points: above 0 and below 1, half
/// where it takes as many cuts as any.
pub fn score(path: f32, sample: usize) -> f32 {
    (-path / mean_path(sample)).exp2()
}

/// The directions across which a forest cuts.
#[derive(Debug, Clone)]
pub enum Directions<const D: usize> {
    /// The first so many coordinates.
    Axes(usize),
    /// Any.
    Oblique(Vec<Row<D>>),
}

impl<const D: usize> Directions<D> {
    /// The coordinates themselves.
    pub fn axes() -> Self {
        Self::Axes(D)
    }

    /// The first so many coordinates; the others do not matter.
    pub fn first(count: usize) -> Self {
        Self::Axes(count.min(D))
    }

    /// Random ones, evenly over the sphere, the same for the same seed.
    pub fn random(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let direction = |_| std::array::from_fn(|_| normal(&mut random));
        Self::Oblique((0..DIRECTIONS).map(direction).collect())
    }

    fn along(&self, direction: u16, row: &Row<D>) -> f32 {
        match self {
            Self::Axes(_) => row[usize::from(direction)],
            Self::Oblique(all) => {
                let direction = &all[usize::from(direction)];
                let parts = direction.iter().zip(row);
                parts.map(|(one, other)| one * other).sum()
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Axes(count) => *count,
            Self::Oblique(all) => all.len(),
        }
    }
}

/// Twelve evenly distributed numbers make one that is normal for all that matters here.
fn normal(random: &mut Rng) -> f32 {
    (0..12).map(|_| random.f32()).sum::<f32>() - 6.0
}

/// Grows a tree on `sample` (the points, reordered) into `nodes`, of which there must be [`most_nodes`].
pub fn grow<const D: usize>(
    sample: &mut [Row<D>],
    directions: &Directions<D>,
    random: &mut Rng,
    nodes: &mut [Node],
) {
    let depth = sample.len().next_power_of_two().trailing_zeros();
    Growth {
        directions,
        random,
        nodes,
        used: 0,
    }
    .grow(sample, depth);
}

struct Growth<'a, const D: usize> {
    directions: &'a Directions<D>,
    random: &'a mut Rng,
    nodes: &'a mut [Node],
    used: usize,
}

impl<const D: usize> Growth<'_, D> {
    /// The subtree of these points, whose root is the next free node; `depth` more cuts are allowed.
    fn grow(&mut self, points: &mut [Row<D>], depth: u32) {
        let root = self.used;
        self.used += 1;
        let cut = if depth > 0 { self.cut(points) } else { None };
        let Some((direction, at)) = cut else {
            self.nodes[root] = Node {
                at: mean_path(points.len()),
                direction: LEAF,
                greater: 0,
            };
            return;
        };
        let mut lesser = 0;
        for index in 0..points.len() {
            if self.directions.along(direction, &points[index]) <= at {
                points.swap(index, lesser);
                lesser += 1;
            }
        }
        let (below, above) = points.split_at_mut(lesser);
        self.grow(below, depth - 1);
        self.nodes[root] = Node {
            at,
            direction,
            greater: self.used as u16,
        };
        self.grow(above, depth - 1);
    }

    /// A random cut with points on both sides; `None` where the points are the same.
    fn cut(&mut self, points: &[Row<D>]) -> Option<(u16, f32)> {
        let count = self.directions.len();
        let first = self.random.usize(..count);
        // Turning through them tries every coordinate once.
        (0..TRIES.min(count)).find_map(|turn| {
            let direction = ((first + turn) % count) as u16;
            let along = points
                .iter()
                .map(|row| self.directions.along(direction, row));
            let (low, high) = along.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), at| {
                (low.min(at), high.max(at))
            });
            // Neither where they are the same, nor where a point is so far out that nothing can be computed.
            if !(high - low > 0.0 && (high - low).is_finite()) {
                return None;
            }
            let at = low + self.random.f32() * (high - low);
            Some((direction, if at < high { at } else { low }))
        })
    }
}

/// How many cuts it takes to set `row` apart, in the tree of these nodes.
pub fn path<const D: usize>(nodes: &[Node], directions: &Directions<D>, row: &Row<D>) -> f32 {
    let (mut at, mut depth) = (0, 0.0);
    loop {
        let node = nodes[at];
        if node.direction == LEAF {
            return depth + node.at;
        }
        depth += 1.0;
        at = if directions.along(node.direction, row) <= node.at {
            at + 1
        } else {
            usize::from(node.greater)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores of `rows` by a forest of so many trees of `sample` points of them.
    fn scores<const D: usize>(
        rows: &[Row<D>],
        directions: &Directions<D>,
        (trees, sample): (usize, usize),
    ) -> Vec<f32> {
        let mut random = Rng::with_seed(11);
        let mut paths = vec![0.0; rows.len()];
        let mut nodes = vec![Node::UNGROWN; most_nodes(sample)];
        for _ in 0..trees {
            let mut points = rows.to_vec();
            random.shuffle(&mut points);
            grow(&mut points[..sample], directions, &mut random, &mut nodes);
            for (sum, row) in paths.iter_mut().zip(rows) {
                *sum += path(&nodes, directions, row);
            }
        }
        paths
            .iter()
            .map(|sum| score(sum / trees as f32, sample))
            .collect()
    }

    /// Two clouds far apart on the diagonal.
    fn clouds(count: usize) -> Vec<Row<2>> {
        let mut random = Rng::with_seed(1);
        (0..count)
            .map(|index| {
                let middle = if index % 2 == 0 { -5.0 } else { 5.0 };
                [middle + normal(&mut random), middle + normal(&mut random)]
            })
            .collect()
    }

    #[test]
    fn the_mean_path_is_that_of_the_paper() {
        // c(256) is 10.2448 with the exact harmonic number replaced by its logarithm.
        for (count, expected) in [(1, 0.0), (2, 1.0), (3, 1.2073), (256, 10.2448)] {
            assert!(
                (mean_path(count) - expected).abs() < 1e-3,
                "{}",
                mean_path(count)
            );
        }
        assert_eq!(score(mean_path(64), 64), 0.5);
    }

    #[test]
    fn a_point_apart_scores_most_and_the_same_points_are_one_leaf() {
        let mut rows = clouds(400);
        rows.push([40.0, -40.0]);
        for directions in [Directions::axes(), Directions::random(3)] {
            let scores = scores(&rows, &directions, (100, 64));
            let most = scores.iter().copied().fold(0.0, f32::max);
            assert_eq!(scores[400], most);
            assert!(most > 0.65, "{most}");
            let mut nodes = [Node::UNGROWN; most_nodes(8)];
            assert!(!nodes[0].is_grown());
            grow(
                &mut [[1.0, 2.0]; 8],
                &directions,
                &mut Rng::with_seed(1),
                &mut nodes,
            );
            assert!(nodes[0].is_leaf());
            assert_eq!(path(&nodes, &directions, &[9.0, 9.0]), mean_path(8));
        }
    }

    #[test]
    fn only_the_extended_forest_sees_through_the_ghosts_of_two_clouds() {
        let mut rows = clouds(400);
        // Where each coordinate by itself is ordinary, but both together are not.
        rows.push([-5.0, 5.0]);
        let axes = scores(&rows, &Directions::axes(), (200, 64))[400];
        let random = scores(&rows, &Directions::random(3), (200, 64))[400];
        assert!(random > axes + 0.03, "{random} and {axes}");
    }

    /// Made by `tests/fixtures/detect/make.py`.
    const REFERENCE: &str = include_str!("../../tests/fixtures/detect/isolation_forest.json");

    #[derive(serde::Deserialize)]
    struct Reference {
        sample: usize,
        rows: Vec<Row<3>>,
        scores: Vec<f32>,
        /// Rank correlation of two forests of the other implementation that differ in their seed alone.
        between_seeds: f32,
    }

    fn ranks(values: &[f32]) -> Vec<f32> {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&one, &other| values[one].total_cmp(&values[other]));
        let mut ranks = vec![0.0; values.len()];
        for (rank, index) in order.into_iter().enumerate() {
            ranks[index] = rank as f32;
        }
        ranks
    }

    /// Spearman's, for values that differ.
    fn rank_correlation(one: &[f32], other: &[f32]) -> f32 {
        let squares = ranks(one)
            .into_iter()
            .zip(ranks(other))
            .map(|(one, other)| f64::from((one - other).powi(2)));
        let count = one.len() as f64;
        (1.0 - 6.0 * squares.sum::<f64>() / (count * (count * count - 1.0))) as f32
    }

    /// Two random forests never agree to the digit: ours must be as near to the other implementation as that
    /// one is to itself with another seed, but for a thousandth, and no score much farther than the 0.02 that theirs
    /// differ by between seeds.
    #[test]
    fn agrees_with_scikit_learn() {
        let reference: Reference = serde_json::from_str(REFERENCE).unwrap();
        let trees = 1_000;
        let ours = scores(
            &reference.rows,
            &Directions::axes(),
            (trees, reference.sample),
        );
        let correlation = rank_correlation(&ours, &reference.scores);
        assert!(reference.between_seeds > 0.99);
        assert!(
            correlation > reference.between_seeds - 1e-3,
            "{correlation}"
        );
        for (ours, theirs) in ours.iter().zip(&reference.scores) {
            assert!((ours - theirs).abs() < 0.03, "{ours}, not {theirs}");
        }
    }

    /// Made by `tests/fixtures/detect/make_pyod.py` of the same rows.
    const PYOD: &str = include_str!("../../tests/fixtures/detect/pyod.json");

    #[derive(serde::Deserialize)]
    struct Pyod {
        forest: Vec<f32>,
    }

    /// What PyOD calls the score is that of the paper less a constant.
    #[test]
    fn agrees_with_pyod() {
        let reference: Reference = serde_json::from_str(REFERENCE).unwrap();
        let pyod: Pyod = serde_json::from_str(PYOD).unwrap();
        let trees = (1_000, reference.sample);
        let ours = scores(&reference.rows, &Directions::axes(), trees);
        assert_eq!(ours.len(), pyod.forest.len());
        let pairs = || ours.iter().zip(&pyod.forest);
        let count = ours.len() as f32;
        let apart = pairs().map(|(one, other)| one - other).sum::<f32>() / count;
        let middle = pyod.forest.iter().sum::<f32>() / count;
        let left: f32 = pairs()
            .map(|(one, other)| (one - other - apart).powi(2))
            .sum();
        let whole: f32 = pyod.forest.iter().map(|one| (one - middle).powi(2)).sum();
        // A correlation of 0.99 leaves 0.02 of the variance; here the scale must be the same too.
        assert!(left < 0.02 * whole, "{left} of {whole}");
    }
}
