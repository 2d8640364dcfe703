//! A rule as it is written, read, and evaluated.

use super::{
    Lookup, MAX_WORK, Matchers, Refusal, compile,
    evaluate::{Evaluation, EvaluationError, Value},
    tree::{Kind, Node},
};
use crate::series::Millis;
use std::fmt;

/// PromQL over current series.
#[derive(Clone)]
pub struct Expression {
    text: Box<str>,
    selectors: Box<[Selector]>,
    root: Node,
    is_scalar: bool,
}

/// What of the series an expression reads.
#[derive(Debug, Clone)]
pub struct Selector {
    /// Byte in the text.
    pub at: usize,
    /// The conditions.
    pub matchers: Matchers,
}

impl Selector {
    /// Reads a selector that stands alone, such as `up{job="api"}`.
    ///
    /// # Errors
    /// As [`Expression::parse`], and what is more than a selector.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let own = Expression::parse(text)?;
        match (&own.root.kind, own.selectors.first()) {
            (Kind::Select(_), Some(selector)) => Ok(selector.clone()),
            _ => Err(Refusal::at(
                own.root.at,
                "this is more than a selector such as up{job=\"api\"}",
            )),
        }
    }
}

impl Expression {
    /// Reads a rule.
    ///
    /// # Errors
    /// What is no PromQL, what needs the past, and what is not supported, with its byte in `text` and what to do
    /// instead.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let read = compile::read(text)?;
        Ok(Self {
            text: text.into(),
            selectors: read.selectors.into(),
            root: read.root,
            is_scalar: read.is_scalar,
        })
    }

    /// Reads a rule that says when something holds.
    ///
    /// # Errors
    /// As [`Expression::parse`]; and a scalar that is not the answer of a comparison, which would hold almost always.
    pub fn parse_condition(text: &str) -> Result<Self, Refusal> {
        let own = Self::parse(text)?;
        if own.is_condition() {
            return Ok(own);
        }
        let message = "the rule gives a number, which says nothing of when it holds; compare it, as in `.. > bool 5`";
        Err(Refusal::at(own.root.at, message))
    }

    /// The value at a time, over the series as they are then.
    ///
    /// # Errors
    /// What has no answer over these series: several elements that could belong to one, two that become the same
    /// series, more work than [`super::MAX_WORK`].
    pub fn evaluate(&self, at: Millis, series: &dyn Lookup) -> Result<Value, EvaluationError> {
        self.evaluate_within(at, series, MAX_WORK).0
    }

    /// As [`Expression::evaluate`], with another limit than [`MAX_WORK`]; and the series that were looked at and made.
    pub fn evaluate_within(
        &self,
        at: Millis,
        series: &dyn Lookup,
        limit: usize,
    ) -> (Result<Value, EvaluationError>, usize) {
        let mut evaluation = Evaluation::new(at, series, &self.selectors, limit);
        let value = evaluation.value(&self.root);
        (value, evaluation.spent())
    }

    /// Whether the value says if something holds ([`Value::holds`]): every vector does, and the answer of a comparison
    /// of scalars.
    pub fn is_condition(&self) -> bool {
        !self.is_scalar || matches!(&self.root.kind, Kind::Binary(operation) if operation.as_bool)
    }

    /// What is likely to be a mistake in a condition, though it is sound: with `bool` a comparison of series answers for
    /// every series that is there, so the rule holds as soon as there is one.
    pub fn caution(&self) -> Option<Refusal> {
        let Kind::Binary(operation) = &self.root.kind else {
            return None;
        };
        (operation.as_bool && !self.is_scalar).then(|| {
            let message = "with bool this gives 0 or 1 for every series, and the rule holds where there is any; without bool it holds where the comparison does";
            Refusal::at(self.root.at, message)
        })
    }

    /// What is read, in the order of the text.
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}
