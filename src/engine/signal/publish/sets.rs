//! The label sets that series are published with, rendered.

use crate::{engine::signal::plan::Plan, expo::RenderedLabels, series::Labels};
use std::sync::Arc;

/// The label sets one series is published with.
#[derive(Debug)]
pub(super) struct Sets {
    /// With `signal`.
    pub(super) scored: Arc<RenderedLabels>,
    /// With `horizon`: `0s` first, then the configured ones.
    pub(super) predicted: Vec<Arc<RenderedLabels>>,
    /// The same of windows.
    pub(super) maxima: Vec<Arc<RenderedLabels>>,
    /// With `signal` and `detector`; empty unless asked for.
    pub(super) detectors: Vec<Arc<RenderedLabels>>,
}

impl Sets {
    pub(super) fn new(plan: &Plan, labels: &Labels) -> Self {
        let published = plan.published(labels);
        let render = |added: &[(&str, &str)]| {
            let own = published
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()));
            Arc::new(RenderedLabels::new(own.chain(added.iter().copied())))
        };
        let spans = plan.horizons.iter().map(|horizon| horizon.span.to_string());
        let horizons = std::iter::once("0s".to_owned()).chain(spans);
        let kinds: Vec<&str> = match plan.detector_scores {
            true => plan
                .detectors
                .iter()
                .map(|detector| detector.kind())
                .collect(),
            false => Vec::new(),
        };
        Self {
            scored: render(&[("signal", &plan.name)]),
            predicted: horizons
                .map(|horizon| render(&[("horizon", &horizon)]))
                .collect(),
            maxima: (plan.windows.iter().zip(&plan.shown_windows))
                .filter(|(_, shown)| **shown)
                .map(|(window, _)| render(&[("horizon", &window.span.to_string())]))
                .collect(),
            detectors: kinds
                .iter()
                .map(|kind| render(&[("signal", &plan.name), ("detector", kind)]))
                .collect(),
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let rendered = self.predicted.iter().chain(&self.maxima);
        let rendered = rendered.chain(&self.detectors);
        size_of::<Self>()
            + self.scored.heap_bytes()
            + rendered.map(|labels| labels.heap_bytes()).sum::<usize>()
    }
}
