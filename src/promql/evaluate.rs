//! The value of an expression at one time. After Prometheus' `promql/engine.go`.

use super::{
    Lookup, METRIC_NAME, Selector, aggregate, binary, functions,
    tree::{Kind, Node},
};
use crate::series::{Labels, Millis};
use std::{collections::HashSet, fmt, sync::Arc};

/// Elements that one evaluation may look at and make, all operations together. A rule that needs more is one to record.
pub const MAX_WORK: usize = 1_000_000;

/// What an expression gives.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// One number without labels.
    Scalar(f64),
    /// Numbers with label sets, none of which is there twice. In no particular order but after `sort`, `sort_desc`,
    /// `topk` and `bottomk`; the same for the same series.
    Vector(Vec<Element>),
}

/// One number of a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Element {
    /// The metric's name, while the number is still its quantity.
    pub name: Option<Arc<str>>,
    /// The other labels.
    pub labels: Labels,
    /// The number.
    pub value: f64,
    /// Of what time it is, milliseconds since the epoch: that of the sample, or that of the evaluation after any
    /// operation.
    pub at: Millis,
}

/// Why an expression has no value over these series.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EvaluationError {
    /// Byte in the text of the operation that failed.
    pub at: usize,
    /// What was wrong.
    pub message: String,
}

impl EvaluationError {
    pub(super) fn new(at: usize, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
        }
    }
}

impl Value {
    /// Whether a rule with this value holds: as an alert of Prometheus fires, where there is any element at all; of a
    /// scalar, which is the answer of a comparison with `bool`, where it is not 0.
    pub fn holds(&self) -> bool {
        match self {
            Self::Scalar(number) => *number != 0.0 && !number.is_nan(),
            Self::Vector(elements) => !elements.is_empty(),
        }
    }
}

impl Element {
    /// Name and labels in one set, the name as `__name__`.
    pub fn whole_labels(&self) -> Labels {
        let name = self.name.as_deref().map(|name| (METRIC_NAME, name));
        Labels::new(self.labels.iter().chain(name)).unwrap_or_default()
    }
}

impl fmt::Display for Element {
    /// As Prometheus writes it: `name{a="b"} 3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let series = identity(self.name.as_deref(), &self.labels);
        write!(f, "{series} {}", self.value)
    }
}

/// Name and labels as a text.
pub(super) fn identity(name: Option<&str>, labels: &Labels) -> String {
    match name {
        Some(name) if labels.is_empty() => name.to_owned(),
        Some(name) => format!("{name}{labels}"),
        None => labels.to_string(),
    }
}

/// One evaluation under way.
pub(super) struct Evaluation<'a> {
    at: Millis,
    series: &'a dyn Lookup,
    selectors: &'a [Selector],
    limit: usize,
    /// What is left of it.
    left: usize,
}

impl<'a> Evaluation<'a> {
    /// `limit`: elements that it may look at and make.
    pub(super) fn new(
        at: Millis,
        series: &'a dyn Lookup,
        selectors: &'a [Selector],
        limit: usize,
    ) -> Self {
        Self {
            at,
            series,
            selectors,
            limit,
            left: limit,
        }
    }

    /// What it looked at and made.
    pub(super) fn spent(&self) -> usize {
        self.limit - self.left
    }

    /// The value of a node.
    pub(super) fn value(&mut self, node: &Node) -> Result<Value, EvaluationError> {
        match &node.kind {
            Kind::Number(number) => Ok(Value::Scalar(*number)),
            Kind::Select(index) => self.select(*index, node.at),
            Kind::Negate(inner) => self.negate(inner, node.at),
            Kind::Binary(operation) => binary::evaluate(self, operation, node.at),
            Kind::Aggregate(operation) => aggregate::evaluate(self, operation, node.at),
            Kind::Call(operation) => functions::call(self, operation, node.at),
        }
    }

    /// The value of a node that gives a scalar; `NaN` for another, which the compiler does not let through.
    pub(super) fn scalar(&mut self, node: &Node) -> Result<f64, EvaluationError> {
        match self.value(node)? {
            Value::Scalar(number) => Ok(number),
            Value::Vector(_) => Ok(f64::NAN),
        }
    }

    /// The value of a node that gives a vector; empty for another.
    pub(super) fn vector(&mut self, node: &Node) -> Result<Vec<Element>, EvaluationError> {
        match self.value(node)? {
            Value::Vector(elements) => Ok(elements),
            Value::Scalar(_) => Ok(Vec::new()),
        }
    }

    /// The time of the evaluation, seconds since the epoch.
    pub(super) fn seconds(&self) -> f64 {
        self.at as f64 / 1_000.0
    }

    /// A number of now without name and labels.
    pub(super) fn element(&self, value: f64) -> Element {
        Element {
            name: None,
            labels: Labels::default(),
            value,
            at: self.at,
        }
    }

    fn select(&mut self, index: usize, at: usize) -> Result<Value, EvaluationError> {
        let Some(selector) = self.selectors.get(index) else {
            return Ok(Value::Vector(Vec::new()));
        };
        // Those that are looked at and not wanted cost as well.
        self.spend(self.series.rows(&selector.matchers), at)?;
        let mut found = Vec::new();
        self.series.select(&selector.matchers, &mut |sample| {
            found.push(Element {
                name: Some(sample.name.clone()).filter(|name| !name.is_empty()),
                labels: sample.labels.clone(),
                value: sample.value,
                at: sample.at,
            });
        });
        Ok(Value::Vector(found))
    }

    fn negate(&mut self, inner: &Node, at: usize) -> Result<Value, EvaluationError> {
        match self.value(inner)? {
            Value::Scalar(number) => Ok(Value::Scalar(-number)),
            Value::Vector(mut elements) => {
                for element in &mut elements {
                    element.name = None;
                    element.value = -element.value;
                }
                self.unique(elements, at)
            }
        }
    }

    /// Takes note of the work done.
    pub(super) fn spend(&mut self, elements: usize, at: usize) -> Result<(), EvaluationError> {
        match self.left.checked_sub(elements) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                let limit = self.limit;
                let message = format!(
                    "the rule reads and makes more than {limit} series; record a part of it in Prometheus"
                );
                Err(EvaluationError::new(at, message))
            }
        }
    }

    /// The result of an operation: of now, and refused where two elements have become one series.
    pub(super) fn unique(
        &mut self,
        elements: Vec<Element>,
        at: usize,
    ) -> Result<Value, EvaluationError> {
        self.spend(elements.len(), at)?;
        let mut seen = HashSet::with_capacity(elements.len());
        for element in &elements {
            if !seen.insert((element.name.as_ref(), &element.labels)) {
                let series = identity(element.name.as_deref(), &element.labels);
                let message = format!(
                    "vector cannot contain metrics with the same labelset: {series} is there twice"
                );
                return Err(EvaluationError::new(at, message));
            }
        }
        drop(seen);
        Ok(self.of_now(elements))
    }

    /// The result of an operation, which is of the time of the evaluation.
    pub(super) fn of_now(&self, mut elements: Vec<Element>) -> Value {
        for element in &mut elements {
            element.at = self.at;
        }
        Value::Vector(elements)
    }
}
