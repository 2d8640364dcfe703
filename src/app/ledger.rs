//! What decisions read from the store and write to it; nothing where there is none.

use super::records::StoreSlot;
use crate::{
    decide::Decision,
    engine::scaling::{Ledger, Records, SavedState, States},
    store,
};
use std::sync::Arc;

/// The store in force, whichever that is at the time.
#[derive(Debug)]
pub(super) struct StoreLedger(pub(super) StoreSlot);

impl Ledger for StoreLedger {
    fn records(&self) -> Records {
        let Some(store) = self.0.load_full() else {
            return Records::default();
        };
        let snapshot = store.snapshot();
        Records {
            known: snapshot.at.is_some(),
            events: Arc::clone(&snapshot.events),
            overrides: Arc::clone(&snapshot.overrides),
        }
    }

    fn states(&self) -> States<'_> {
        Box::pin(async {
            let Some(store) = self.0.load_full() else {
                return Ok(Vec::new());
            };
            let states = store.states().await.map_err(|error| error.to_string())?;
            let saved = |one: store::SavedState| SavedState {
                workload: one.workload.into(),
                at: one.at,
                text: one.body,
            };
            Ok(states.into_iter().map(saved).collect())
        })
    }

    fn append(&self, decisions: Vec<Decision>) {
        if let Some(store) = self.0.load_full() {
            store.append(decisions);
        }
    }

    fn save(&self, states: Vec<SavedState>) {
        if let Some(store) = self.0.load_full() {
            store.save(states.into_iter().map(|one| store::SavedState {
                workload: one.workload.to_string(),
                at: one.at,
                body: one.text,
            }));
        }
    }
}
