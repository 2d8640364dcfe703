//! Panics stay where they happen (invariant 10): a component that panics is counted and made anew.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `work` gives; `None` where it panicked. The caller must not trust what `work` was changing.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
