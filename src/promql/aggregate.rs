//! Many elements to few: `sum`, `quantile`, `topk` and the like.

use super::{
    evaluate::{Element, Evaluation, EvaluationError, Value},
    functions::sort,
    relabel::{Identity, set},
    tree::{Aggregate, Aggregation, Grouping},
};
use std::collections::HashMap;

/// The value of an aggregation.
pub(super) fn evaluate(
    evaluation: &mut Evaluation<'_>,
    operation: &Aggregate,
    at: usize,
) -> Result<Value, EvaluationError> {
    let parameter = match &operation.parameter {
        Some(node) => evaluation.scalar(node)?,
        None => f64::NAN,
    };
    let mut elements = evaluation.vector(&operation.of)?;
    evaluation.spend(elements.len(), at)?;
    let result = match &operation.operation {
        Aggregation::Top | Aggregation::Bottom => {
            let count = whole(parameter).map_err(|text| EvaluationError::new(at, text))?;
            // They choose: the elements keep their labels.
            return Ok(evaluation.of_now(choose(operation, elements, count)));
        }
        Aggregation::CountValues(label) => {
            for element in &mut elements {
                let own = (element.name.take(), std::mem::take(&mut element.labels));
                (element.name, element.labels) = set(own, label, &written(element.value));
            }
            let mut grouping = operation.grouping.clone();
            if grouping.by {
                grouping.labels.push(label);
            }
            reduce(evaluation, &grouping, elements, |values| {
                values.len() as f64
            })
        }
        kind => {
            let compute = |values: &mut [f64]| number(kind, values, parameter);
            reduce(evaluation, &operation.grouping, elements, compute)
        }
    };
    evaluation.unique(result, at)
}

/// The group that an element belongs to.
fn group(grouping: &Grouping, element: &Element) -> Identity {
    if grouping.by {
        grouping.labels.keep(element.name.as_ref(), &element.labels)
    } else {
        grouping.labels.remove(None, &element.labels)
    }
}

/// The elements by group, groups in the order of their first element.
fn groups(grouping: &Grouping, elements: Vec<Element>) -> Vec<(Identity, Vec<Element>)> {
    if grouping.by && grouping.labels.is_empty() {
        let all = (Identity::default(), elements);
        return Some(all)
            .filter(|(_, own)| !own.is_empty())
            .into_iter()
            .collect();
    }
    let mut found: Vec<(Identity, Vec<Element>)> = Vec::new();
    let mut places: HashMap<Identity, usize> = HashMap::new();
    for element in elements {
        let own = group(grouping, &element);
        let place = *places.entry(own).or_insert_with_key(|own| {
            found.push((own.clone(), Vec::new()));
            found.len() - 1
        });
        found[place].1.push(element);
    }
    found
}

/// One element a group, computed from its values.
fn reduce(
    evaluation: &Evaluation<'_>,
    grouping: &Grouping,
    elements: Vec<Element>,
    compute: impl Fn(&mut [f64]) -> f64,
) -> Vec<Element> {
    let one = |((name, labels), own): (Identity, Vec<Element>)| {
        let mut values: Vec<f64> = own.iter().map(|element| element.value).collect();
        Element {
            name,
            labels,
            ..evaluation.element(compute(&mut values))
        }
    };
    groups(grouping, elements).into_iter().map(one).collect()
}

/// The first `count` of every group, in order.
fn choose(operation: &Aggregate, elements: Vec<Element>, count: usize) -> Vec<Element> {
    let mut chosen = Vec::new();
    if count == 0 {
        return chosen;
    }
    for (_, mut own) in groups(&operation.grouping, elements) {
        sort(&mut own, operation.operation == Aggregation::Top);
        own.truncate(count);
        chosen.append(&mut own);
    }
    chosen
}

/// How many `topk` and `bottomk` choose.
fn whole(parameter: f64) -> Result<usize, String> {
    if parameter.is_nan() || parameter.abs() >= i64::MAX as f64 {
        return Err(format!("Scalar value {parameter} overflows int64"));
    }
    Ok(parameter.max(0.0) as usize)
}

/// A value as the value of a label: all digits, never with an exponent.
fn written(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}

/// One number of the values of a group, of which there is at least one.
fn number(kind: &Aggregation, values: &mut [f64], parameter: f64) -> f64 {
    match kind {
        Aggregation::Sum => sum(values.iter().copied()),
        Aggregation::Avg => mean(values),
        Aggregation::Count => values.len() as f64,
        Aggregation::Min => values.iter().copied().fold(f64::NAN, f64::min),
        Aggregation::Max => values.iter().copied().fold(f64::NAN, f64::max),
        Aggregation::Group => 1.0,
        Aggregation::Stdvar => variance(values),
        Aggregation::Stddev => variance(values).sqrt(),
        Aggregation::Quantile => quantile(parameter, values),
        Aggregation::Top | Aggregation::Bottom | Aggregation::CountValues(_) => f64::NAN,
    }
}

/// After Kahan and Neumaier, so that the order does not matter much.
fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let (mut total, mut lost) = (0.0_f64, 0.0);
    for value in values {
        let next = total + value;
        if next.is_finite() {
            lost += if total.abs() >= value.abs() {
                (total - next) + value
            } else {
                (value - next) + total
            };
        }
        total = next;
    }
    if total.is_finite() {
        total + lost
    } else {
        total
    }
}

fn mean(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let total = sum(values.iter().copied());
    if total.is_finite() {
        return total / count;
    }
    // Too large to be added, but perhaps not their mean.
    sum(values.iter().map(|value| value / count))
}

/// Of the whole population, after Welford. A single value that is not finite has none.
fn variance(values: &[f64]) -> f64 {
    let (mut mean, mut squares) = (0.0, 0.0);
    for (index, value) in values.iter().enumerate() {
        let distance = value - mean;
        mean += distance / (index + 1) as f64;
        squares += distance * (value - mean);
    }
    squares / values.len() as f64
}

/// Between the two nearest ranks, linearly; what is no number is the least of all.
fn quantile(rank: f64, values: &mut [f64]) -> f64 {
    if rank.is_nan() || values.is_empty() {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&rank) {
        return rank.signum() * f64::INFINITY;
    }
    values.sort_by(|one, other| {
        let order = one.partial_cmp(other);
        order.unwrap_or_else(|| other.is_nan().cmp(&one.is_nan()))
    });
    let place = rank * (values.len() - 1) as f64;
    let low = place.floor();
    let high = (low as usize + 1).min(values.len() - 1);
    let weight = place - low;
    values[low as usize] * (1.0 - weight) + values[high] * weight
}
