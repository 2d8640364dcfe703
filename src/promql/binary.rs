//! Operations on two operands: arithmetic, comparisons, sets, and which elements belong together.

use super::{
    evaluate::{Element, Evaluation, EvaluationError, Value, identity},
    relabel::Identity,
    tree::{Binary, Cardinality, Matching, Operator},
};
use crate::series::Labels;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// The value of an operation.
pub(super) fn evaluate(
    evaluation: &mut Evaluation<'_>,
    operation: &Binary,
    at: usize,
) -> Result<Value, EvaluationError> {
    let left = evaluation.value(&operation.left)?;
    let right = evaluation.value(&operation.right)?;
    let result = match (left, right) {
        (Value::Scalar(left), Value::Scalar(right)) => {
            let number = match operation.operator.compare(left, right) {
                Some(holds) => f64::from(u8::from(holds)),
                None => operation.operator.compute(left, right),
            };
            return Ok(Value::Scalar(number));
        }
        (Value::Vector(left), Value::Scalar(right)) => {
            with_scalar(operation, left, |value| (value, right))
        }
        (Value::Scalar(left), Value::Vector(right)) => {
            with_scalar(operation, right, |value| (left, value))
        }
        (Value::Vector(left), Value::Vector(right)) if operation.operator.is_set() => {
            evaluation.spend(left.len() + right.len(), at)?;
            // No label is changed, so no two can become equal.
            return Ok(evaluation.of_now(sets(operation, left, right)));
        }
        (Value::Vector(left), Value::Vector(right)) => {
            evaluation.spend(left.len() + right.len(), at)?;
            pairs(operation, left, right).map_err(|text| EvaluationError::new(at, text))?
        }
    };
    evaluation.unique(result, at)
}

/// The number that an operation on two numbers gives, `None` where a comparison leaves it out. `kept` is what a
/// comparison that holds gives.
fn compute(operation: &Binary, left: f64, right: f64, kept: f64) -> Option<f64> {
    match operation.operator.compare(left, right) {
        Some(holds) if operation.as_bool => Some(f64::from(u8::from(holds))),
        Some(holds) => holds.then_some(kept),
        None => Some(operation.operator.compute(left, right)),
    }
}

/// Whether the result is another quantity than the operands.
fn drops_name(operation: &Binary) -> bool {
    operation.as_bool || !operation.operator.is_comparison()
}

fn with_scalar(
    operation: &Binary,
    mut vector: Vec<Element>,
    sides: impl Fn(f64) -> (f64, f64),
) -> Vec<Element> {
    vector.retain_mut(|element| {
        let (left, right) = sides(element.value);
        // The vector's value is kept, on whichever side it is.
        let Some(value) = compute(operation, left, right, element.value) else {
            return false;
        };
        element.value = value;
        if drops_name(operation) {
            element.name = None;
        }
        true
    });
    vector
}

/// What must be equal for elements to belong together.
fn signature(matching: &Matching, element: &Element) -> Identity {
    if matching.on {
        matching.labels.keep(element.name.as_ref(), &element.labels)
    } else {
        matching.labels.remove(None, &element.labels)
    }
}

fn sets(operation: &Binary, left: Vec<Element>, right: Vec<Element>) -> Vec<Element> {
    let of = |element: &Element| signature(&operation.matching, element);
    let all = |elements: &[Element]| elements.iter().map(of).collect::<HashSet<_>>();
    let (mut left, mut right) = (left, right);
    match operation.operator {
        Operator::Or => {
            let there = all(&left);
            right.retain(|element| !there.contains(&of(element)));
            left.append(&mut right);
        }
        operator => {
            let there = all(&right);
            left.retain(|element| there.contains(&of(element)) == (operator == Operator::And));
        }
    }
    left
}

/// The elements of both sides that belong together, computed.
fn pairs(
    operation: &Binary,
    left: Vec<Element>,
    right: Vec<Element>,
) -> Result<Vec<Element>, String> {
    // Nothing can match, and what is ambiguous on the other side does no harm.
    if left.is_empty() || right.is_empty() {
        return Ok(Vec::new());
    }
    let matching = &operation.matching;
    let swapped = matches!(matching.cardinality, Cardinality::OneToMany(_));
    let (many, one) = if swapped {
        (right, left)
    } else {
        (left, right)
    };
    let ones = index(matching, &one, if swapped { "left" } else { "right" })?;
    let mut result = Vec::new();
    let mut matched = Matched::default();
    for element in &many {
        let signature = signature(matching, element);
        let Some((place, partner)) = ones
            .get(&signature)
            .and_then(|&place| Some((place, one.get(place)?)))
        else {
            continue;
        };
        let (left, right) = if swapped {
            (partner.value, element.value)
        } else {
            (element.value, partner.value)
        };
        let Some(value) = compute(operation, left, right, left) else {
            continue;
        };
        let (name, labels) = result_identity(operation, signature.1, element, partner);
        matched.add(matching, place, (&name, &labels))?;
        result.push(Element {
            name,
            labels,
            value,
            at: element.at,
        });
    }
    Ok(result)
}

/// The place of the element that has a signature, on the side that has one for each.
fn index(
    matching: &Matching,
    one: &[Element],
    side: &str,
) -> Result<HashMap<Identity, usize>, String> {
    let mut found = HashMap::with_capacity(one.len());
    for (place, element) in one.iter().enumerate() {
        let own = signature(matching, element);
        if let Some(other) = found.insert(own, place) {
            let group = signature(matching, element);
            let group = identity(group.0.as_deref(), &group.1);
            let [one, other] =
                [element, &one[other]].map(|found| identity(found.name.as_deref(), &found.labels));
            return Err(format!(
                "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{one}, {other}]; many-to-many matching not allowed: matching labels must be unique on one side"
            ));
        }
    }
    Ok(found)
}

/// What was matched already: by the place of the partner alone, or of many elements by what has become of them too.
#[derive(Default)]
struct Matched {
    places: HashSet<usize>,
    results: HashSet<(usize, Option<Arc<str>>, Labels)>,
}

impl Matched {
    fn add(
        &mut self,
        matching: &Matching,
        place: usize,
        (name, labels): (&Option<Arc<str>>, &Labels),
    ) -> Result<(), String> {
        let (is_new, complaint) = match matching.cardinality {
            Cardinality::OneToOne => (
                self.places.insert(place),
                "many-to-one matching must be explicit (group_left/group_right)",
            ),
            _ => (
                self.results.insert((place, name.clone(), labels.clone())),
                "grouping labels must ensure unique matches",
            ),
        };
        if is_new {
            Ok(())
        } else {
            Err(format!("multiple matches for labels: {complaint}"))
        }
    }
}

/// Name and labels of the result of a pair. Of two that match alone, the labels are those that matched.
fn result_identity(operation: &Binary, matched: Labels, many: &Element, one: &Element) -> Identity {
    let matching = &operation.matching;
    let is_comparison = operation.operator.is_comparison();
    let name: Option<&Arc<str>> = many.name.as_ref().filter(|_| is_comparison);
    let mut own = match &matching.cardinality {
        Cardinality::OneToOne => {
            let keeps_name = matching.labels.has_metric() == matching.on;
            (name.filter(|_| keeps_name).cloned(), matched)
        }
        Cardinality::ManyToOne(taken) | Cardinality::OneToMany(taken) => {
            let own = (name.cloned(), many.labels.clone());
            taken.take_over(own, (one.name.as_ref(), &one.labels))
        }
    };
    if operation.as_bool {
        own.0 = None;
    }
    own
}
