//! A forest as plain operations on tensors: runtimes without operators for trees run it as well.
//!
//! All trees go one cut down at the same time, as in the "perfect tree traversal" of Nakandala et al., "A tensor compiler
//! for unified machine learning prediction serving" (2020): the terms and the thresholds of all cuts are two tables, and the
//! place in them of a tree becomes `2 place + 1`, or one more where the term is above the threshold. Every tree is there once
//! for each horizon, in which the cuts by the horizon have been decided.

use super::{Graph, INPUT, finish};
use crate::train::{
    LEVELS, OUTPUT,
    forest::{CUTS, Cut, DEPTH, Forest, LEAVES, Tree},
    head::median,
};

/// The bytes of the file.
pub(in crate::train) fn write(forest: &Forest, rows: usize, width: usize) -> Vec<u8> {
    let (horizons, levels) = (forest.ahead.len(), LEVELS.len());
    let mut graph = Graph::default();
    graph.integers("flat", &[-1, (rows * width) as i64]);
    graph.integers(
        "by_tree",
        &[-1, (horizons * levels) as i64, count(forest) as i64],
    );
    graph.integers("by_horizon", &[-1, horizons as i64, levels as i64]);
    graph.integers("each", &[2]);
    graph.node("Reshape", &[INPUT, "flat"], "numbers");
    terms(&mut graph, forest);
    descend(&mut graph, forest);
    graph.node("Reshape", &["leaves", "by_tree"], "grouped");
    graph.node_with(
        "ReduceSum",
        &["grouped", "each"],
        "sums",
        &[("keepdims", 0)],
    );
    let starts: Vec<f32> = forest.starts.iter().flatten().copied().collect();
    graph.floats("starts", &[starts.len()], &starts);
    graph.node("Add", &["sums", "starts"], "raw");
    graph.node("Reshape", &["raw", "by_horizon"], "apart");
    order(&mut graph);
    graph.floats("sizes", &[1, horizons, 1], &forest.sizes);
    graph.integers("as_answers", &[-1, 1, 1]);
    graph.node("Mul", &["ordered", "sizes"], "ways");
    graph.node("Reshape", &["newest", "as_answers"], "from");
    graph.node("Add", &["from", "ways"], OUTPUT);
    finish(graph, (rows, width), (horizons, levels))
}

fn count(forest: &Forest) -> usize {
    forest.trees[0].len()
}

/// From numbers to terms, those that are relative less the newest value.
fn terms(graph: &mut Graph, forest: &Forest) {
    let terms = &forest.terms;
    let columns: Vec<i64> = terms.columns.iter().map(|&column| column as i64).collect();
    let relative: Vec<f32> = terms.relative.iter().map(|&one| f32::from(one)).collect();
    graph.integers("columns", &columns);
    graph.integers("newest_column", &[terms.newest as i64]);
    graph.floats("relative", &[1, relative.len()], &relative);
    graph.node_with("Gather", &["numbers", "columns"], "picked", &[("axis", 1)]);
    graph.node_with(
        "Gather",
        &["numbers", "newest_column"],
        "newest",
        &[("axis", 1)],
    );
    graph.node("Mul", &["newest", "relative"], "shift");
    graph.node("Sub", &["picked", "shift"], "terms");
}

/// All trees from their roots to their leaves, by horizon, level and tree.
fn descend(graph: &mut Graph, forest: &Forest) {
    let (mut columns, mut thresholds, mut leaves) = (Vec::new(), Vec::new(), Vec::new());
    for &ahead in &forest.ahead {
        for tree in forest.trees.iter().flatten() {
            for cut in decided(tree, ahead, forest.terms.count()) {
                columns.push(cut.term as i64);
                thresholds.push(cut.at);
            }
            leaves.extend(tree.leaves);
        }
    }
    let trees = leaves.len() / LEAVES;
    let by_tree = |of: &dyn Fn(i64) -> i64| -> Vec<i64> { (0..trees as i64).map(of).collect() };
    let cuts = CUTS as i64;
    let roots: Vec<usize> = (0..trees).map(|tree| tree * CUTS).collect();
    graph.integers("cut_terms", &columns);
    graph.floats("cut_thresholds", &[thresholds.len()], &thresholds);
    graph.floats("leaf_values", &[leaves.len()], &leaves);
    graph.integers(
        "root_terms",
        &roots.iter().map(|&root| columns[root]).collect::<Vec<_>>(),
    );
    let at_roots: Vec<f32> = roots.iter().map(|&root| thresholds[root]).collect();
    graph.floats("root_thresholds", &[1, trees], &at_roots);
    // Of a place counted from the root of its tree, and of that root: 2 (root + p) + (1 - root) = root + (2 p + 1).
    graph.integers("first", &by_tree(&|tree| tree * cuts + 1));
    graph.integers("next", &by_tree(&|tree| 1 - tree * cuts));
    graph.integers("leaf", &by_tree(&|tree| tree - cuts));
    graph.integers("two", &[2]);
    graph.node_with("Gather", &["terms", "root_terms"], "term0", &[("axis", 1)]);
    graph.node("Greater", &["term0", "root_thresholds"], "above0");
    graph.cast("above0", "step0");
    graph.node("Add", &["step0", "first"], "place1");
    for depth in 1..DEPTH {
        let named = |what: &str| format!("{what}{depth}");
        let [place, which, term, threshold] = ["place", "which", "term", "threshold"].map(named);
        let [above, step, twice, sum] = ["above", "step", "twice", "sum"].map(named);
        graph.node("Gather", &["cut_terms", &place], &which);
        graph.node("Gather", &["cut_thresholds", &place], &threshold);
        graph.node_with("GatherElements", &["terms", &which], &term, &[("axis", 1)]);
        graph.node("Greater", &[&term, &threshold], &above);
        graph.cast(&above, &step);
        graph.node("Mul", &[&place, "two"], &twice);
        graph.node("Add", &[&twice, &step], &sum);
        graph.node("Add", &[&sum, "next"], &format!("place{}", depth + 1));
    }
    // The place of a leaf counts from the cuts of its tree on, of which there is one less than leaves.
    graph.node("Add", &[&format!("place{DEPTH}"), "leaf"], "leaf_places");
    graph.node("Gather", &["leaf_values", "leaf_places"], "leaves");
}

/// The cuts of a tree at one horizon.
fn decided(tree: &Tree, ahead: f32, horizon: usize) -> impl Iterator<Item = Cut> {
    tree.cuts.into_iter().map(move |cut| match cut {
        Cut { term, at } if term == horizon => Cut {
            term: 0,
            at: if ahead > at { f32::MIN } else { f32::MAX },
        },
        other => other,
    })
}

/// The ends on their sides of the median.
fn order(graph: &mut Graph) {
    let mut parts = Vec::new();
    for level in 0..LEVELS.len() {
        let (which, own) = (format!("level{level}"), format!("own{level}"));
        graph.integers(&which, &[level as i64]);
        graph.node_with("Gather", &["apart", &which], &own, &[("axis", 2)]);
        parts.push(own);
    }
    let middle = parts[median()].clone();
    for (level, part) in parts.iter_mut().enumerate() {
        if level == median() {
            continue;
        }
        let kind = if level < median() { "Min" } else { "Max" };
        let ordered = format!("ordered{level}");
        graph.node(kind, &[part, &middle], &ordered);
        *part = ordered;
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    graph.node_with("Concat", &parts, "ordered", &[("axis", 2)]);
}
