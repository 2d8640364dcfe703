//! Statistics the rest is built of. Pure (invariant 1).
