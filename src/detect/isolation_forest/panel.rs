//! The forest over the channels of an entity: a second vote beside `pca`, which sees what is apart in a few
//! channels whatever the others do.

use super::{SAMPLE, Settings, shorten};
use crate::{
    detect::{
        PanelDetector,
        vectors::{Calm, Learner, MOST_CHANNELS, Rows, Vectors},
    },
    series::Grid,
    stats::forest::{self, Directions, Node, Row},
};

const NODES: usize = forest::most_nodes(SAMPLE);

type Vector = Row<MOST_CHANNELS>;

pub(super) fn build(settings: &Settings, grid: Grid, memory: usize) -> Box<dyn PanelDetector> {
    let trees = Trees {
        count: settings.trees,
        extended: settings.extended,
    };
    Box::new(Vectors::new(trees, grid, memory, Calm::PANEL))
}

#[derive(Debug, Clone)]
struct Trees {
    count: usize,
    extended: bool,
}

/// A forest, and the least and the greatest of what it was grown of, by channel.
#[derive(Debug, Clone)]
struct Forest {
    directions: Directions<MOST_CHANNELS>,
    nodes: Vec<Node>,
    ranges: Vec<(f32, f32)>,
    sample: usize,
}

/// With zeros behind its channels.
fn padded(row: &[f32]) -> Vector {
    let mut vector = [0.0; MOST_CHANNELS];
    for (place, &value) in vector.iter_mut().zip(row) {
        *place = value;
    }
    vector
}

impl Forest {
    /// The chance that a cut across one channel sets the vector apart from all; as in a single series.
    fn outside(&self, row: &[f32]) -> f32 {
        let chance = |(&value, &(low, high)): (&f32, &(f32, f32))| {
            let excess = (value - high).max(low - value);
            if excess > 0.0 {
                excess / (high - low + excess)
            } else {
                0.0
            }
        };
        let chances: f32 = row.iter().zip(&self.ranges).map(chance).sum();
        chances / self.ranges.len().max(1) as f32
    }
}

impl Learner for Trees {
    type Model = Forest;
    const KIND: &'static str = "isolation_forest";

    /// As much as rates differ because other trees are in force, several times.
    fn least(&self) -> f32 {
        0.05
    }

    fn learn(&self, rows: Rows<'_>, turn: i64) -> Option<Forest> {
        let all: Vec<Vector> = rows.iter().map(padded).collect();
        let directions = if self.extended {
            Directions::random(1)
        } else {
            Directions::first(rows.channels)
        };
        let sample = SAMPLE.min(all.len());
        let mut nodes = vec![Node::UNGROWN; self.count * NODES];
        for (tree, nodes) in nodes.chunks_exact_mut(NODES).enumerate() {
            // The same on every replica.
            let seed = (turn as u64).wrapping_mul(self.count as u64) + tree as u64;
            let mut random = fastrand::Rng::with_seed(seed);
            let mut points = random.choose_multiple(all.iter().copied(), sample);
            forest::grow(&mut points, &directions, &mut random, nodes);
        }
        let ranges = (0..rows.channels).map(|channel| {
            let values = all.iter().map(|row| row[channel]);
            values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            })
        });
        Some(Forest {
            directions,
            nodes,
            ranges: ranges.collect(),
            sample,
        })
    }

    fn rate(&self, forest: &Forest, row: &[f32]) -> f32 {
        let vector = padded(row);
        let trees = forest.nodes.chunks_exact(NODES);
        let paths = trees.map(|nodes| forest::path(nodes, &forest.directions, &vector));
        let path = paths.sum::<f32>() / self.count as f32;
        forest::score(shorten(path, forest.outside(row)), forest.sample)
    }

    fn bytes(&self, forest: &Forest) -> usize {
        forest.nodes.capacity() * size_of::<Node>()
            + forest.ranges.capacity() * size_of::<(f32, f32)>()
    }
}
