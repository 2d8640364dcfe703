//! What is read again and again while the program runs, such as certificates.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// The label of what is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct What {
    what: &'static str,
}

/// Whether what is in force is what was to be read last, and each problem once.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    /// 0 or 1; nothing of what this process never reads.
    pub(super) successful: Family<What, Gauge>,
    /// Problems.
    pub(super) failures: Counter,
    /// The newest problem of each.
    said: Mutex<BTreeMap<&'static str, String>>,
}

impl Reloads {
    /// `what` was read, and is in force, or could not be, and the former stays. A problem is counted and logged once for as
    /// long as it is the same.
    pub(super) fn read(&self, what: &'static str, result: &Result<(), String>) {
        let successful = self.successful.get_or_create_owned(&What { what });
        successful.set(i64::from(result.is_ok()));
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(()) => {
                if said.remove(what).is_some() {
                    tracing::info!(what, "it can be read again");
                }
            }
            Err(problem) if said.get(what) == Some(problem) => {}
            Err(problem) => {
                said.insert(what, problem.clone());
                self.failures.inc();
                tracing::error!(what, problem, "cannot read it; the former stays in force");
            }
        }
    }
}
