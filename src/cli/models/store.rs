//! `forethought models backup`, `restore` and `list --store`.

use super::{Failure, table, told, told_of};
use crate::{
    contract::Manifest,
    registry::{Fetched, Shared, store::Sent},
};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;

/// What is to be fetched, and what becomes of it.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// All models where it is empty.
    pub(super) names: &'a [String],
    pub(super) version: Option<&'a str>,
    pub(super) promote: bool,
    pub(super) pin: bool,
    /// Whether what is in force there is in force here.
    pub(super) is_followed: bool,
}

/// Sends what the store lacks, and says so.
pub(super) fn backup(
    shared: &Shared,
    names: &[String],
    replace_pin: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let registry = shared.registry();
    // Asked before anything is sent: a store that gives no answer gives none to every version.
    shared.store().names().map_err(Failure::Failed)?;
    let names = match names {
        [] => registry.names().map_err(Failure::Failed)?,
        names => names.to_vec(),
    };
    let mut work = Vec::new();
    for name in &names {
        let versions = registry.versions(name).map_err(Failure::Failed)?;
        work.extend(versions.into_iter().map(|version| (name.clone(), version)));
    }
    let mut done = Done::new(work.len());
    for (name, version) in &work {
        let sent = shared.send(name, version).map(|sent| match sent {
            Sent::Now => "sent",
            Sent::Before => "is there",
        });
        done.add(name, version, sent);
    }
    done.show(out)?;
    for name in &names {
        match shared.send_pin(name, replace_pin) {
            Ok(pin) => done.pins(shared, name, pin, out)?,
            Err(problem) => done.wrong.push(problem),
        }
    }
    done.end()
}

/// Fetches what is wanted, and says so.
pub(super) fn restore(
    shared: &Shared,
    wanted: &Wanted<'_>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if wanted.version.is_some() && wanted.names.len() != 1 {
        let text = "--version: is one of the versions of one model; name that one";
        return Err(Failure::Usage(text.to_owned()));
    }
    let store = shared.store();
    let there = store.names().map_err(Failure::Failed)?;
    let unknown = wanted.names.iter().find(|name| !there.contains(name));
    if let Some(name) = unknown {
        let (place, known) = (store.place(), there.join(", "));
        return Err(Failure::Failed(format!(
            "{place}: there is no model {name:?}; models: {known}"
        )));
    }
    let names = if wanted.names.is_empty() {
        &there
    } else {
        wanted.names
    };
    let mut work = Vec::new();
    for name in names {
        let versions = match wanted.version {
            Some(version) => vec![version.to_owned()],
            None => complete(shared, name).map_err(Failure::Failed)?,
        };
        work.extend(versions.into_iter().map(|version| (name, version)));
    }
    let mut done = Done::new(work.len());
    for (name, version) in &work {
        let fetched = shared.fetch(name, version).map(|fetched| match fetched {
            Fetched::Now => "fetched",
            Fetched::Before => "is here",
        });
        done.add(name, version, fetched);
    }
    done.show(out)?;
    for name in names {
        put_in_force(shared, wanted, name, &mut done, out)?;
    }
    done.end()
}

/// The versions of a model that were sent to the end.
fn complete(shared: &Shared, name: &str) -> Result<Vec<String>, String> {
    let mut versions = Vec::new();
    for version in shared.store().versions(name)? {
        if shared.store().manifest(name, &version)?.is_some() {
            versions.push(version);
        }
    }
    Ok(versions)
}

/// Changes what is in force where that was asked for: a pin is followed whatever became of other versions, as its own is
/// checked then. What stays is said.
fn put_in_force(
    shared: &Shared,
    wanted: &Wanted<'_>,
    name: &str,
    done: &mut Done,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let changed = match wanted.version {
        // Nothing else was fetched then.
        Some(version) if wanted.promote && !done.wrong.is_empty() => {
            return Ok(writeln!(
                out,
                "{name}: what is in force stays, as {version} was refused"
            )?);
        }
        Some(version) if wanted.promote && wanted.is_followed => {
            shared.promote(name, version).map(Some)
        }
        Some(version) if wanted.promote => shared.registry().promote(name, version).map(Some),
        _ if wanted.pin => shared.follow(name),
        _ => return Ok(()),
    };
    let problem = match changed {
        Ok(Some(pin)) => match told(shared.registry(), name, &pin, out) {
            // Other models are still to come.
            Err(Failure::Failed(problem)) => problem,
            told => return told,
        },
        Ok(None) => return Ok(writeln!(out, "{name}: what is in force stays")?),
        Err(problem) => {
            writeln!(out, "{name}: what is in force stays as it is")?;
            problem
        }
    };
    // It may be what was said of the version already.
    if !done.wrong.contains(&problem) {
        done.wrong.push(problem);
    }
    Ok(())
}

/// What the store has.
pub(super) fn list(
    shared: &Shared,
    name: Option<&str>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let store = shared.store();
    let names = match name {
        Some(name) => vec![name.to_owned()],
        None => store.names().map_err(Failure::Failed)?,
    };
    let (mut rows, mut broken) = (Vec::new(), Vec::new());
    for name in names {
        let pin = store.pin(&name).unwrap_or_else(|problem| {
            broken.push(problem);
            Default::default()
        });
        let here = shared.registry().versions(&name).unwrap_or_default();
        for version in store.versions(&name).map_err(Failure::Failed)? {
            let state = match &pin.0 {
                Some(pin) if pin.version == version => "in force",
                Some(pin) if pin.previous.as_ref() == Some(&version) => "previous",
                _ => "",
            };
            let is_here = if here.contains(&version) { "yes" } else { "no" };
            let mut row = vec![
                name.clone(),
                version.clone(),
                state.to_owned(),
                is_here.to_owned(),
            ];
            match store.manifest(&name, &version).map_err(Failure::Failed)? {
                None => row.push("not sent to the end".to_owned()),
                Some(bytes) => match Manifest::read(&bytes) {
                    Ok(manifest) => row.extend(told_of(&manifest)),
                    Err(problems) => {
                        row.push("broken".to_owned());
                        broken.push(format!("{name}/{version}: {}", problems.join("; ")));
                    }
                },
            }
            rows.push(row);
        }
    }
    let head = [
        "MODEL", "VERSION", "STATE", "HERE", "CREATED", "PARENT", "SIGNED", "SCORES",
    ];
    write!(out, "{}", table::columns(&head, &rows))?;
    match broken.is_empty() {
        true => Ok(()),
        false => Err(Failure::Failed(broken.join("\n"))),
    }
}

/// What became of each version so far.
struct Done {
    rows: Vec<Vec<String>>,
    wrong: Vec<String>,
    bar: ProgressBar,
}

impl Done {
    fn new(versions: usize) -> Self {
        // Hidden by itself where nobody watches.
        let bar = ProgressBar::new(versions as u64);
        let style = ProgressStyle::with_template("{pos} of {len} versions, {elapsed}, {wide_msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self {
            rows: Vec::new(),
            wrong: Vec::new(),
            bar,
        }
    }

    fn add(&mut self, name: &str, version: &str, result: Result<&str, String>) {
        let shown = match result {
            Ok(shown) => shown,
            Err(problem) => {
                self.wrong.push(problem);
                "refused"
            }
        };
        let row = [name, version, shown].map(str::to_owned);
        self.bar.set_message(row.join(" "));
        self.bar.inc(1);
        self.rows.push(row.to_vec());
    }

    fn show(&self, out: &mut dyn Write) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        let head = ["MODEL", "VERSION", "RESULT"];
        write!(out, "{}", table::columns(&head, &self.rows))?;
        Ok(())
    }

    /// Says what is in force in the store.
    fn pins(
        &mut self,
        shared: &Shared,
        name: &str,
        there: Option<crate::registry::Pin>,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let Some(there) = there else {
            return Ok(());
        };
        let (place, version) = (shared.store().place(), &there.version);
        write!(out, "{name}: {version} is in force in {place}")?;
        match shared.registry().pin(name) {
            Ok(Some(own)) if own.version != *version => {
                let own = own.version;
                writeln!(out, ", {own} here; to have that one there too: --pin")?;
            }
            Ok(_) => writeln!(out)?,
            Err(problem) => {
                writeln!(out)?;
                self.wrong.push(problem);
            }
        }
        Ok(())
    }

    fn end(self) -> Result<(), Failure> {
        match self.wrong.is_empty() {
            true => Ok(()),
            false => Err(Failure::Failed(self.wrong.join("\n"))),
        }
    }
}

#[cfg(test)]
mod tests;
