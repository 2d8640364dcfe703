//! Label sets as text, rendered once per series.

/// A label set as the formats write it. Rendered when a series is first seen, copied into every line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedLabels {
    text: Box<str>,
}

impl RenderedLabels {
    /// Renders `pairs`; a name given twice keeps its first value.
    pub fn new<'a>(_pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self { text: "".into() }
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.text.len()
    }
}
