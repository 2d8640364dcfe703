//! How far something is, on a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar of so many steps; nothing where stderr is no terminal.
pub(super) fn bar(steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta}");
    let bar = ProgressBar::new(steps);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
