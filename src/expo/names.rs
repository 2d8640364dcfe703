//! Names that are ours.

use std::borrow::Cow;

/// Labels we add.
pub const OWN_LABELS: [&str; 6] = [
    "detector",
    "forethought_replica",
    "horizon",
    "model",
    "signal",
    "workload",
];

/// The name a source's label is published with: `source_<name>` where it looks like ours.
pub fn published_label_name(name: &str) -> Cow<'_, str> {
    if OWN_LABELS.contains(&name) {
        format!("source_{name}").into()
    } else {
        name.into()
    }
}
