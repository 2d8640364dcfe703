//! Sources whose samples come by themselves: what a process has left of their past.

use crate::{
    config::Config,
    series::{Millis, Share},
    source::{
        Source,
        local::{Hub, LocalSource, Subscription, disk::Shelf, joined},
    },
};
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// A source whose samples come by themselves, and what its signals select.
#[derive(Debug, Clone)]
pub struct Local {
    /// Its name.
    pub name: String,
    /// How many series it takes.
    pub max_series: usize,
    /// The signals over it, each with what it selects.
    pub signals: Vec<(String, Subscription)>,
}

impl Local {
    /// What its signals select, each once with as much as any of them asks for, and the names of those that select it.
    pub(super) fn joined(&self) -> Vec<(Vec<String>, Subscription)> {
        let all: Vec<Subscription> = self.signals.iter().map(|(_, own)| own.clone()).collect();
        let of = |one: Subscription| {
            let signals = self.signals.iter();
            let signals = signals.filter(|(_, own)| own.shares_recorder(&one));
            (signals.map(|(name, _)| name.clone()).collect(), one)
        };
        joined(&all).into_iter().map(of).collect()
    }
}

/// The sources of a configuration whose samples come by themselves.
pub fn locals(config: &Config) -> Vec<Local> {
    let of = |source: &crate::config::SourceSettings| {
        let max_series = source.kind.max_series()?;
        let signals = config.signals.iter();
        let signals = signals.filter(|signal| config.source_of(signal) == Some(source));
        let signals = signals.filter_map(|signal| {
            Some((
                signal.name.clone(),
                signal.subscription(max_series, Share::ALL)?,
            ))
        });
        Some(Local {
            name: source.name.clone(),
            max_series,
            signals: signals.collect(),
        })
    };
    config.sources.iter().filter_map(of).collect()
}

/// Those of `locals` that have a file in `folder`, as sources that answer from it.
///
/// # Errors
/// A source without such a file, or with one that cannot be read.
pub fn sources(
    locals: &[Local],
    folder: &Path,
    now: Millis,
) -> Result<BTreeMap<String, Arc<dyn Source>>, String> {
    let mut sources: BTreeMap<String, Arc<dyn Source>> = BTreeMap::new();
    for local in locals {
        let shelf = Shelf::at(folder, &local.name);
        let past = shelf.read()?;
        if past.newest.is_none() {
            return Err(format!(
                "source {:?}: its samples come by themselves, so their past is in a file of the process that takes them, and there is \
                 none at {}; name the folder that process keeps them in with --storage.path",
                local.name,
                shelf.path().display()
            ));
        }
        let hub = Hub::new(&local.name, local.max_series, Arc::default());
        for (_, subscription) in local.joined() {
            let restored = past.of(&subscription, now);
            let restored = restored.map_err(|problem| {
                format!(
                    "{}: {}: {problem}",
                    shelf.path().display(),
                    subscription.selection.text()
                )
            })?;
            hub.subscribe(subscription, restored);
        }
        let source = LocalSource::new(&local.name, Arc::new(hub));
        sources.insert(local.name.clone(), Arc::new(source));
    }
    Ok(sources)
}
