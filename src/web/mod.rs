//! The HTTP server: every answer comes from what was already computed (invariant 5).
