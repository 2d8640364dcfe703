//! What an operand may be: series, a number, or a text.

use super::{
    Refusal,
    tree::{Kind, Node},
};

/// A node and what it gives. A text has no node: it goes into what takes it.
pub(super) enum Typed {
    Vector(Node),
    Scalar(Node),
    /// With its byte.
    Text(usize, String),
}

impl Typed {
    pub(super) fn at(&self) -> usize {
        match self {
            Self::Vector(node) | Self::Scalar(node) => node.at,
            Self::Text(at, _) => *at,
        }
    }

    /// With a minus sign at this byte.
    pub(super) fn negated(self, at: usize) -> Result<Self, Refusal> {
        let negate = |node| Node {
            at,
            kind: Kind::Negate(Box::new(node)),
        };
        match self {
            Self::Vector(node) => Ok(Self::Vector(negate(node))),
            Self::Scalar(node) => Ok(Self::Scalar(negate(node))),
            Self::Text(..) => Err(self.expected("a number or series, not a text")),
        }
    }

    pub(super) fn operand(self) -> Result<Node, Refusal> {
        match self {
            Self::Vector(node) | Self::Scalar(node) => Ok(node),
            Self::Text(..) => Err(self.expected("a number or series, not a text")),
        }
    }

    pub(super) fn vector(self) -> Result<Node, Refusal> {
        match self {
            Self::Vector(node) => Ok(node),
            _ => Err(self.expected("series; put vector(..) around a number")),
        }
    }

    pub(super) fn scalar(self) -> Result<Node, Refusal> {
        match self {
            Self::Scalar(node) => Ok(node),
            _ => Err(self.expected("a number; put scalar(..) around series")),
        }
    }

    pub(super) fn text(self) -> Result<(usize, String), Refusal> {
        match self {
            Self::Text(at, text) => Ok((at, text)),
            _ => Err(self.expected("a text in quotes")),
        }
    }

    fn expected(&self, what: &str) -> Refusal {
        Refusal::at(self.at(), format!("expected {what}"))
    }
}
