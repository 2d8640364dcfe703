//! What a rule is compiled to. Every node knows its byte in the text, for the errors of its evaluation.

use super::{functions::Function, relabel::Names};

/// One operation.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Byte in the text: of an operator's sign, of a function's name.
    pub(super) at: usize,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Number(f64),
    /// Index into the selectors of the expression.
    Select(usize),
    Negate(Box<Node>),
    Binary(Box<Binary>),
    Aggregate(Box<Aggregate>),
    Call(Box<Call>),
}

#[derive(Debug, Clone)]
pub(super) struct Binary {
    pub(super) operator: Operator,
    pub(super) left: Node,
    pub(super) right: Node,
    /// Comparisons give 0 or 1 instead of leaving out.
    pub(super) as_bool: bool,
    pub(super) matching: Matching,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
    Atan2,
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    And,
    Or,
    Unless,
}

impl Operator {
    /// By the word of the language, in lower case.
    pub(super) fn named(word: &str) -> Option<Self> {
        Some(match word {
            "+" => Self::Add,
            "-" => Self::Subtract,
            "*" => Self::Multiply,
            "/" => Self::Divide,
            "%" => Self::Remainder,
            "^" => Self::Power,
            "atan2" => Self::Atan2,
            "==" => Self::Equal,
            "!=" => Self::NotEqual,
            ">" => Self::Greater,
            "<" => Self::Less,
            ">=" => Self::GreaterOrEqual,
            "<=" => Self::LessOrEqual,
            "and" => Self::And,
            "or" => Self::Or,
            "unless" => Self::Unless,
            _ => return None,
        })
    }

    pub(super) fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    pub(super) fn is_comparison(self) -> bool {
        self.compare(0.0, 0.0).is_some()
    }

    /// The answer of a comparison; `None` for another operator.
    pub(super) fn compare(self, left: f64, right: f64) -> Option<bool> {
        Some(match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Greater => left > right,
            Self::Less => left < right,
            Self::GreaterOrEqual => left >= right,
            Self::LessOrEqual => left <= right,
            _ => return None,
        })
    }

    /// The result of arithmetic; `NaN` for another operator.
    pub(super) fn compute(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide => left / right,
            Self::Remainder => left % right, // the sign of the dividend, as in Go
            Self::Power => left.powf(right),
            Self::Atan2 => left.atan2(right),
            _ => f64::NAN,
        }
    }
}

/// Which elements of two vectors belong together.
#[derive(Debug, Clone)]
pub(super) struct Matching {
    /// Only `labels` count; otherwise all but them.
    pub(super) on: bool,
    pub(super) labels: Names,
    pub(super) cardinality: Cardinality,
}

#[derive(Debug, Clone)]
pub(super) enum Cardinality {
    OneToOne,
    /// `group_left`: the labels are taken over from the right.
    ManyToOne(Names),
    /// `group_right`: the labels are taken over from the left.
    OneToMany(Names),
}

#[derive(Debug, Clone)]
pub(super) struct Aggregate {
    pub(super) operation: Aggregation,
    /// How many of `topk` and `bottomk`, which of `quantile`.
    pub(super) parameter: Option<Node>,
    pub(super) of: Node,
    pub(super) grouping: Grouping,
}

#[derive(Debug, Clone)]
pub(super) struct Grouping {
    /// The groups have only `labels`; otherwise all but them.
    pub(super) by: bool,
    pub(super) labels: Names,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Aggregation {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Top,
    Bottom,
    Quantile,
    /// With the label that gets the value.
    CountValues(String),
}

#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) function: Function,
    /// Vectors and scalars; what is text is in the function.
    pub(super) arguments: Vec<Node>,
}
