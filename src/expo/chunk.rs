//! The samples of one family from one unit, encoded once and shared by every read.

use super::RenderedLabels;
use std::sync::Arc;

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up; its name ends in `_total`.
    Counter,
}

/// The samples of one family from one unit.
#[derive(Debug)]
pub struct Chunk {
    name: Arc<str>,
    help: Arc<str>,
    kind: Kind,
    samples: Vec<(Arc<RenderedLabels>, f64)>,
}

impl Chunk {
    /// The samples of the family `name`. Values that are `NaN` are left out: absence over lies.
    pub fn new(
        name: Arc<str>,
        help: Arc<str>,
        kind: Kind,
        mut samples: Vec<(Arc<RenderedLabels>, f64)>,
    ) -> Self {
        samples.retain(|(_, value)| !value.is_nan());
        Self {
            name,
            help,
            kind,
            samples,
        }
    }

    /// The family's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The family's help text.
    pub fn help(&self) -> &str {
        &self.help
    }

    /// The family's type.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }
}
