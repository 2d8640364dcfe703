//! The functions of a rule: their arguments, and what they compute. After Prometheus' `promql/functions.go`.

use super::{
    Refusal, calendar,
    evaluate::{Element, Evaluation, EvaluationError, Value},
    matchers,
    relabel::{Identity, Joining, Replacement, is_label_name},
    tree::Call,
};
use crate::series::Labels;

/// What an argument must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Argument {
    Vector,
    Scalar,
    Text,
}

/// A function with all of its arguments that are text.
#[derive(Debug, Clone)]
pub(super) enum Function {
    /// Computes each value by itself, without regard to the others.
    Each(fn(f64) -> f64),
    /// As `Each`; without an argument, of the time of the evaluation.
    OfTime(fn(f64) -> f64),
    /// As `Each`, with one or two scalars.
    With(fn(f64, &[f64]) -> Option<f64>),
    Scalar,
    Vector,
    Time,
    Pi,
    Timestamp,
    /// The labels of the element that says so.
    Absent(Labels),
    Sort,
    SortDescending,
    Replace(Box<Replacement>),
    Join(Box<Joining>),
}

/// The arguments of the function of this name; the last may be repeated or left out, as the parser has it.
pub(super) fn arguments(name: &str) -> Option<&'static [Argument]> {
    use Argument::{Scalar, Text, Vector};
    Some(match name {
        "clamp" => &[Vector, Scalar, Scalar],
        "clamp_max" | "clamp_min" | "round" => &[Vector, Scalar],
        "label_join" => &[Vector, Text, Text, Text],
        "label_replace" => &[Vector, Text, Text, Text, Text],
        "pi" | "time" => &[],
        "vector" => &[Scalar],
        _ => NAMES.binary_search(&name).is_ok().then_some(&[Vector])?,
    })
}

/// The function of this name, with the arguments that are text and their places; `absent` is what it says of its argument.
/// `None` where there is no such function.
pub(super) fn named(
    name: &str,
    texts: &[(usize, String)],
    absent: Labels,
) -> Option<Result<Function, Refusal>> {
    Some(Ok(match name {
        "absent" => Function::Absent(absent),
        "clamp" => Function::With(clamp),
        "clamp_max" => Function::With(clamp_max),
        "clamp_min" => Function::With(clamp_min),
        "label_join" => return joining(texts),
        "label_replace" => return replacement(texts),
        "pi" => Function::Pi,
        "round" => Function::With(round),
        "scalar" => Function::Scalar,
        "sort" => Function::Sort,
        "sort_desc" => Function::SortDescending,
        "time" => Function::Time,
        "timestamp" => Function::Timestamp,
        "vector" => Function::Vector,
        _ => match (of_each(name), of_time(name)) {
            (Some(function), _) => Function::Each(function),
            (_, Some(function)) => Function::OfTime(function),
            _ => return None,
        },
    }))
}

fn replacement(texts: &[(usize, String)]) -> Option<Result<Function, Refusal>> {
    let [target, template, source, pattern] = texts else {
        return None;
    };
    Some(label_name(target).and_then(|()| {
        let pattern = matchers::whole(&pattern.1).map_err(|text| Refusal::at(pattern.0, text))?;
        Ok(Function::Replace(Box::new(Replacement {
            target: target.1.clone(),
            template: template.1.clone(),
            source: source.1.clone(),
            pattern,
        })))
    }))
}

fn joining(texts: &[(usize, String)]) -> Option<Result<Function, Refusal>> {
    let [target, separator, sources @ ..] = texts else {
        return None;
    };
    let sound = sources.iter().chain([target]).try_for_each(label_name);
    Some(sound.map(|()| {
        Function::Join(Box::new(Joining {
            target: target.1.clone(),
            separator: separator.1.clone(),
            sources: sources.iter().map(|(_, name)| name.clone()).collect(),
        }))
    }))
}

/// Refuses what is no name of a label.
pub(super) fn label_name((at, name): &(usize, String)) -> Result<(), Refusal> {
    if is_label_name(name) {
        return Ok(());
    }
    let message = format!("{name:?} is no name of a label: letters, digits and _, no digit first");
    Err(Refusal::at(*at, message))
}

/// Every function, sorted, for messages.
pub(super) const NAMES: &[&str] = &[
    "abs",
    "absent",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "ceil",
    "clamp",
    "clamp_max",
    "clamp_min",
    "cos",
    "cosh",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "deg",
    "exp",
    "floor",
    "hour",
    "label_join",
    "label_replace",
    "ln",
    "log10",
    "log2",
    "minute",
    "month",
    "pi",
    "rad",
    "round",
    "scalar",
    "sgn",
    "sin",
    "sinh",
    "sort",
    "sort_desc",
    "sqrt",
    "tan",
    "tanh",
    "time",
    "timestamp",
    "vector",
    "year",
];

fn of_each(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "acos" => f64::acos,
        "acosh" => f64::acosh,
        "asin" => f64::asin,
        "asinh" => f64::asinh,
        "atan" => f64::atan,
        "atanh" => f64::atanh,
        "ceil" => f64::ceil,
        "cos" => f64::cos,
        "cosh" => f64::cosh,
        "deg" => f64::to_degrees,
        "exp" => f64::exp,
        "floor" => f64::floor,
        "ln" => f64::ln,
        "log10" => f64::log10,
        "log2" => f64::log2,
        "rad" => f64::to_radians,
        "sgn" => sign,
        "sin" => f64::sin,
        "sinh" => f64::sinh,
        "sqrt" => f64::sqrt,
        "tan" => f64::tan,
        "tanh" => f64::tanh,
        _ => return None,
    })
}

fn of_time(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "day_of_month" => calendar::day_of_month,
        "day_of_week" => calendar::day_of_week,
        "day_of_year" => calendar::day_of_year,
        "days_in_month" => calendar::days_in_month,
        "hour" => calendar::hour,
        "minute" => calendar::minute,
        "month" => calendar::month,
        "year" => calendar::year,
        _ => return None,
    })
}

/// -1, 1, or the value itself where it is 0 or no number.
fn sign(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}

/// To the nearest multiple, halves upwards.
fn round(value: f64, parameters: &[f64]) -> Option<f64> {
    let inverse = 1.0 / parameters.first().copied().unwrap_or(1.0);
    Some((value * inverse + 0.5).floor() / inverse)
}

fn clamp(value: f64, parameters: &[f64]) -> Option<f64> {
    let &[low, high] = parameters else {
        return None;
    };
    // Bounds in the wrong order leave nothing.
    (high >= low || high.is_nan() || low.is_nan()).then(|| greater(low, less(high, value)))
}

fn clamp_max(value: f64, parameters: &[f64]) -> Option<f64> {
    Some(less(*parameters.first()?, value))
}

fn clamp_min(value: f64, parameters: &[f64]) -> Option<f64> {
    Some(greater(*parameters.first()?, value))
}

/// Go's `math.Max`: what is no number stays so, unless the other is infinite.
fn greater(one: f64, other: f64) -> f64 {
    if one == f64::INFINITY || other == f64::INFINITY {
        f64::INFINITY
    } else if one.is_nan() || other.is_nan() {
        f64::NAN
    } else {
        one.max(other)
    }
}

/// Go's `math.Min`.
fn less(one: f64, other: f64) -> f64 {
    -greater(-one, -other)
}

/// Calls a function.
pub(super) fn call(
    evaluation: &mut Evaluation<'_>,
    call: &Call,
    at: usize,
) -> Result<Value, EvaluationError> {
    let mut arguments = call.arguments.iter();
    let first = match arguments.next() {
        Some(node) => Some(evaluation.value(node)?),
        None => None,
    };
    let mut scalars = Vec::new();
    for node in arguments {
        scalars.push(evaluation.scalar(node)?);
    }
    let (vector, scalar) = match first {
        Some(Value::Vector(vector)) => (Some(vector), None),
        Some(Value::Scalar(scalar)) => (None, Some(scalar)),
        None => (None, None),
    };
    let now = evaluation.seconds();
    let elements = match (&call.function, vector) {
        (Function::Time, _) => return Ok(Value::Scalar(now)),
        (Function::Pi, _) => return Ok(Value::Scalar(std::f64::consts::PI)),
        (Function::Scalar, vector) => {
            return Ok(Value::Scalar(match vector.unwrap_or_default().as_slice() {
                [one] => one.value,
                _ => f64::NAN,
            }));
        }
        (Function::Vector, _) => vec![evaluation.element(scalar.unwrap_or(f64::NAN))],
        (Function::OfTime(compute), None) => vec![evaluation.element(compute(now))],
        (Function::Absent(labels), Some(vector)) if vector.is_empty() => {
            let mut element = evaluation.element(1.0);
            element.labels = labels.clone();
            vec![element]
        }
        (Function::Absent(_), _) => Vec::new(),
        (function, vector) => {
            let vector = vector.unwrap_or_default();
            return evaluation.unique(of_vector(function, vector, &scalars), at);
        }
    };
    Ok(Value::Vector(elements))
}

/// What gives each element anew, or all in another order.
fn of_vector(function: &Function, mut vector: Vec<Element>, scalars: &[f64]) -> Vec<Element> {
    match function {
        Function::Each(compute) | Function::OfTime(compute) => {
            change_values(&mut vector, |element| Some(compute(element.value)));
        }
        Function::With(compute) => {
            change_values(&mut vector, |element| compute(element.value, scalars));
        }
        Function::Timestamp => {
            change_values(&mut vector, |element| Some(element.at as f64 / 1_000.0));
        }
        Function::Sort => sort(&mut vector, false),
        Function::SortDescending => sort(&mut vector, true),
        Function::Replace(replacement) => rename(&mut vector, |own| replacement.apply(own)),
        Function::Join(joining) => rename(&mut vector, |own| joining.apply(own)),
        _ => {}
    }
    vector
}

/// New values, without the name of the metric: it is another quantity now.
fn change_values(vector: &mut Vec<Element>, compute: impl Fn(&Element) -> Option<f64>) {
    vector.retain_mut(|element| match compute(element) {
        Some(value) => {
            element.name = None;
            element.value = value;
            true
        }
        None => false,
    });
}

fn rename(vector: &mut [Element], relabel: impl Fn(Identity) -> Identity) {
    for element in vector {
        let own = (element.name.take(), std::mem::take(&mut element.labels));
        (element.name, element.labels) = relabel(own);
    }
}

/// By value, what is no number last; equal values stay in the order they had.
pub(super) fn sort(vector: &mut [Element], descending: bool) {
    vector.sort_by(|one, other| {
        let by_value = match descending {
            true => other.value.partial_cmp(&one.value),
            false => one.value.partial_cmp(&other.value),
        };
        by_value.unwrap_or_else(|| one.value.is_nan().cmp(&other.value.is_nan()))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_function_of_the_parser() {
        assert!(NAMES.is_sorted());
        for name in NAMES {
            let texts: Vec<_> = ["a", "b", "c", "d"].map(|text| (0, text.to_owned())).into();
            assert!(
                named(name, &texts, Labels::default()).unwrap().is_ok(),
                "{name}"
            );
            if let Err(error) = promql_parser::parser::parse(&format!("{name}()")) {
                assert!(!error.contains("unknown function"), "{error}");
            }
        }
    }
}
