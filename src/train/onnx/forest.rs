//! A forest as plain operations on tensors: runtimes without operators for trees run it as well.
//!
//! All cuts of all trees are asked at the same time; the answers to those of a tree are the bits of the number of its leaf. Every
//! tree is there once for each horizon, in which the cuts by the horizon have been decided.

use super::{Graph, INPUT, finish};
use crate::train::{
    LEVELS, OUTPUT,
    forest::{Cut, DEPTH, Forest, LEAVES, Tree},
    head::median,
};
use tract_onnx::pb::tensor_proto::DataType;

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
    leaves(&mut graph, forest);
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

/// The leaves that are reached, by horizon, level and tree.
fn leaves(graph: &mut Graph, forest: &Forest) {
    let (mut columns, mut thresholds, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for &ahead in &forest.ahead {
        for tree in forest.trees.iter().flatten() {
            for cut in decided(tree, ahead, forest.terms.count()) {
                columns.push(cut.term as i64);
                thresholds.push(cut.at);
            }
            values.extend(tree.leaves);
        }
    }
    let trees = values.len() / LEAVES;
    let firsts: Vec<i64> = (0..trees).map(|tree| (tree * LEAVES) as i64).collect();
    let bits: Vec<f32> = (0..DEPTH).rev().map(|bit| (1 << bit) as f32).collect();
    graph.integers("cut_terms", &columns);
    graph.floats("cut_thresholds", &[1, thresholds.len()], &thresholds);
    graph.integers("by_cut", &[-1, DEPTH as i64]);
    graph.floats("bits", &[DEPTH, 1], &bits);
    graph.integers("trees", &[-1, trees as i64]);
    graph.integers("first_leaves", &firsts);
    graph.floats("leaf_values", &[values.len()], &values);
    graph.node_with("Gather", &["terms", "cut_terms"], "asked", &[("axis", 1)]);
    graph.node("Greater", &["asked", "cut_thresholds"], "above");
    graph.cast("above", "answers", DataType::Float);
    graph.node("Reshape", &["answers", "by_cut"], "of_tree");
    graph.node("MatMul", &["of_tree", "bits"], "numbers_of_leaves");
    graph.node("Reshape", &["numbers_of_leaves", "trees"], "own_leaves");
    graph.cast("own_leaves", "whole_leaves", DataType::Int64);
    graph.node("Add", &["whole_leaves", "first_leaves"], "places");
    graph.node("Gather", &["leaf_values", "places"], "leaves");
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
