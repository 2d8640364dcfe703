//! What is to run, before anything is built.

use super::{MakePanel, MakeSignal};
use crate::{
    engine::{PanelSettings, SignalSettings},
    series::{Share, Span},
    source::Source,
};
use std::{fmt, sync::Arc};

/// One signal that is to run.
#[derive(Clone)]
pub struct SignalPlan {
    /// Its settings.
    pub settings: SignalSettings,
    /// Where its samples come from; another source is another `Arc`.
    pub source: Arc<dyn Source>,
    /// Which of its series are carried here.
    pub share: Share,
    /// A hash of what `make` depends on beside the settings, such as model files.
    pub revision: u64,
    /// Makes its unit.
    pub make: MakeSignal,
}

/// One panel that is to run.
#[derive(Clone)]
pub struct PanelPlan {
    /// Its settings.
    pub settings: PanelSettings,
    /// Makes its unit.
    pub make: MakePanel,
}

/// Everything that is to run.
#[derive(Debug, Clone)]
pub struct FleetPlan {
    /// Evaluation interval.
    pub interval: Span,
    /// The signals.
    pub signals: Vec<SignalPlan>,
    /// The panels.
    pub panels: Vec<PanelPlan>,
}

impl SignalPlan {
    /// Whether nothing has to be restarted for `other`.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.settings == other.settings
            && self.revision == other.revision
            && self.share == other.share
            && Arc::ptr_eq(&self.source, &other.source)
    }
}

impl fmt::Debug for SignalPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignalPlan")
            .field("settings", &self.settings)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PanelPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PanelPlan")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
