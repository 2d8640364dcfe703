//! Who takes what is pushed: a receiver for each source in force that is pushed to.

use super::{hubs::PreparedHubs, options::AppOptions};
use crate::{
    config::{Config, SourceKind},
    source::remote_write::{Receiver, Receivers},
    telemetry::Telemetry,
};
use std::{collections::BTreeMap, sync::Arc};

/// The receivers of a configuration, by source.
pub(super) type Prepared = BTreeMap<String, Arc<Receiver>>;

/// Those of `running` whose settings and hub stay, and new ones for the rest.
///
/// # Errors
/// What cannot be built, with the name of the source.
pub(super) fn prepare(
    running: &Receivers,
    config: &Config,
    hubs: &PreparedHubs,
    options: &AppOptions,
    telemetry: &Telemetry,
) -> Result<Prepared, String> {
    let running = running.load();
    let mut prepared = Prepared::new();
    for source in &config.sources {
        let (name, SourceKind::RemoteWrite(settings)) = (&source.name, &source.kind) else {
            continue;
        };
        let hub = hubs.hub(name);
        let hub = hub.ok_or_else(|| format!("source {name:?}: nobody takes its samples"))?;
        let same = |old: &&Arc<Receiver>| old.settings() == settings && Arc::ptr_eq(old.hub(), hub);
        let receiver = match running.get(name).filter(same) {
            Some(old) => Arc::clone(old),
            None => {
                let around = (Arc::clone(&telemetry.intake), options.clock.clone());
                let built = Receiver::build(name, settings, Arc::clone(hub), around);
                Arc::new(
                    built.map_err(|problem| format!("source {name:?}: remote_write: {problem}"))?,
                )
            }
        };
        prepared.insert(name.clone(), receiver);
    }
    Ok(prepared)
}
