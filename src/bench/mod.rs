//! End-to-end figures: cost per series, memory, and how they grow.
