//! Samples of former times, from files into what a process keeps of samples that come by themselves.
//!
//! They are taken in as if they came now, in the order of their times, by the very code that takes in what is scraped or pushed.
//! What that makes of them fills the gaps of what is kept already.

use super::{
    Local,
    spool::{HELD, Record, Spool},
    time,
};
use crate::{
    intake::{Filled, Verdict},
    series::{Labels, Millis},
    source::{
        file,
        local::{
            Hub, Route, Taken,
            disk::{Hold, Past, Shelf},
        },
    },
};
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

/// How often what is old is forgotten, in the time of the samples.
const TIDY_EVERY: Millis = 300_000;

/// What to read, and whom it is for.
#[derive(Debug)]
pub struct Import {
    /// The sources whose samples come by themselves.
    pub locals: Vec<Local>,
    /// The folder that keeps their past.
    pub storage: PathBuf,
    /// Files of OpenMetrics or Prometheus text with times.
    pub files: Vec<PathBuf>,
    /// The time of the clock.
    pub now: Millis,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Imported {
    /// Samples that were taken in.
    pub taken: u64,
    /// Samples that were not, by why.
    pub left_out: BTreeMap<LeftOut, u64>,
    /// By what signals select, in the order of the configuration.
    pub signals: Vec<Received>,
}

/// What one signal got, or several that select the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Their source.
    pub source: String,
    /// Their names.
    pub signals: Vec<String>,
    /// What became of their past, which is kept once: as long as the longest `history` of them.
    pub filled: Filled,
}

/// Why a sample was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOut {
    /// No signal selects its series.
    Unwanted,
    /// It is older than the history of every signal that selects it.
    Old,
    /// Its time is yet to come.
    Ahead,
    /// It is not finite.
    NotFinite,
    /// There was one of the same series and time before.
    Twice,
    /// There was no room for its series, or the series had too many samples.
    NoRoom,
}

impl LeftOut {
    /// For a person.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unwanted => "no signal selects them",
            Self::Old => "older than the history of the signals that select them",
            Self::Ahead => "of a time that is yet to come",
            Self::NotFinite => "not finite",
            Self::Twice => "of a series and time that was there before",
            Self::NoRoom => "no room: see max_series",
        }
    }
}

/// Takes in every file. Nothing is changed unless all of them can be read, and what is kept of every source. `progress` is told what is worked at and the share
/// of it that is done, 0 to 1.
///
/// # Errors
/// A file that cannot be read or is wrong, a folder that a process holds, nothing that any signal selects.
pub fn import(options: &Import, progress: &dyn Fn(&str, f64)) -> Result<Imported, String> {
    let Import {
        locals,
        storage,
        now,
        ..
    } = options;
    if locals.iter().all(|local| local.signals.is_empty()) {
        return Err(
            "no signal selects samples that come by themselves (select: with a source of kind scrape or remote_write); what a signal \
             asks a Prometheus for is imported there: promtool tsdb create-blocks-from openmetrics"
                .to_owned(),
        );
    }
    std::fs::create_dir_all(storage)
        .map_err(|error| format!("--storage.path: {}: {error}", storage.display()))?;
    // Found out before much is read; a process that begins meanwhile is found below.
    drop(Hold::alone(storage)?);
    let mut imported = Imported::default();
    let mut reader = Reader::new(options);
    for (number, path) in options.files.iter().enumerate() {
        progress(
            &format!("reading {}", path.display()),
            number as f64 / options.files.len() as f64,
        );
        reader.read(path)?;
    }
    let (spool, series) = (reader.spool, reader.series);
    imported.left_out = reader.left_out;
    if spool.count() == 0 {
        return Err(nothing(&imported.left_out));
    }
    let hubs: Vec<Hub> = locals.iter().map(hub).collect();
    feed(&hubs, spool, &series, &mut imported, progress)?;
    let _hold = Hold::alone(storage)?;
    // All before any is written: one of them may be damaged.
    let mut changed = Vec::new();
    for (local, hub) in locals.iter().zip(hubs) {
        changed.extend(fill(local, &hub, storage, *now, &mut imported.signals)?);
    }
    for (shelf, past) in &changed {
        let put = shelf.put(past);
        put.map_err(|error| format!("{}: {error}; it is as it was", shelf.path().display()))?;
    }
    Ok(imported)
}

fn hub(local: &Local) -> Hub {
    let hub = Hub::new(&local.name, local.max_series, Arc::default());
    for (_, subscription) in &local.signals {
        hub.subscribe(subscription.clone(), None);
    }
    hub
}

fn nothing(left_out: &BTreeMap<LeftOut, u64>) -> String {
    let why: Vec<String> = left_out
        .iter()
        .map(|(why, count)| format!("{count} {}", why.as_str()))
        .collect();
    match why.is_empty() {
        true => "the files have no samples".to_owned(),
        false => format!("no sample was taken: {}", why.join("; ")),
    }
}

/// What is read of files before it is in order.
struct Reader<'a> {
    options: &'a Import,
    spool: Spool,
    /// By name and labels: where the series is in `series`, and the oldest time that matters; `None` where nobody wants it.
    known: HashMap<String, HashMap<Labels, Option<(usize, Millis)>>>,
    series: Vec<(String, Labels)>,
    left_out: BTreeMap<LeftOut, u64>,
}

impl<'a> Reader<'a> {
    fn new(options: &'a Import) -> Self {
        Self {
            options,
            spool: Spool::new(&options.storage, HELD),
            known: HashMap::new(),
            series: Vec::new(),
            left_out: BTreeMap::new(),
        }
    }

    fn read(&mut self, path: &Path) -> Result<(), String> {
        let reader = file::open(path)?;
        let read = file::each_sample(reader, &mut |name, labels, at, value| {
            self.take(name, labels, at, value)
        });
        read.map_err(|problem| format!("{}: {problem}", path.display()))
    }

    fn take(&mut self, name: &str, labels: Labels, at: Millis, value: f64) -> Result<(), String> {
        let why = match self.place(name, labels) {
            None => LeftOut::Unwanted,
            Some(_) if !value.is_finite() => LeftOut::NotFinite,
            Some(_) if at > self.options.now => LeftOut::Ahead,
            Some((_, begins)) if at < begins => LeftOut::Old,
            Some((series, _)) => {
                let order = (at, series as i64);
                return self
                    .spool
                    .push(Record { order, value })
                    .map_err(|error| format!("cannot keep what is sorted: {error}"));
            }
        };
        *self.left_out.entry(why).or_default() += 1;
        Ok(())
    }

    fn place(&mut self, name: &str, labels: Labels) -> Option<(usize, Millis)> {
        if !self.known.contains_key(name) {
            self.known.insert(name.to_owned(), HashMap::new());
        }
        let of_name = self.known.get_mut(name)?;
        if let Some(known) = of_name.get(&labels) {
            return *known;
        }
        let signals = self.options.locals.iter().flat_map(|local| &local.signals);
        let wanting = signals.filter(|(_, shape)| shape.selection.wants(name, &labels));
        let begins = wanting
            .map(|(_, shape)| shape.begins(self.options.now))
            .min();
        let place = begins.map(|begins| {
            self.series.push((name.to_owned(), labels.clone()));
            (self.series.len() - 1, begins)
        });
        of_name.insert(labels, place);
        place
    }
}

/// Takes them in as they came.
fn feed(
    hubs: &[Hub],
    spool: Spool,
    series: &[(String, Labels)],
    imported: &mut Imported,
    progress: &dyn Fn(&str, f64),
) -> Result<(), String> {
    let wrong = |error: std::io::Error| format!("cannot read what was sorted: {error}");
    let all = spool.count() as f64;
    let mut sorted = spool.sorted().map_err(wrong)?;
    let mut tidied = Millis::MIN;
    let (mut done, mut newest) = (0_u64, Millis::MIN);
    // Of each hub by series, asked for once between two times that something is forgotten.
    let mut routes: Vec<Vec<Option<Route>>> = vec![vec![None; series.len()]; hubs.len()];
    while let Some(record) = sorted.next().map_err(wrong)? {
        let (at, place) = record.order;
        let (name, labels) = &series[place as usize];
        if at.saturating_sub(tidied) >= TIDY_EVERY {
            // What is silent for long is forgotten, as it was when it came.
            hubs.iter().for_each(|hub| hub.tidy(at));
            tidied = at;
            // A series may have no place any more, and there may be room for another.
            routes.iter_mut().for_each(|own| own.fill(None));
        }
        let mut taken = Taken::default();
        for (hub, routes) in hubs.iter().zip(&mut routes) {
            let route = &mut routes[place as usize];
            let route = *route.get_or_insert_with(|| hub.route(name, labels, at));
            taken.add(&hub.take(&[(route, at, record.value)], at));
        }
        count(&taken, imported);
        newest = newest.max(at);
        done += 1;
        if done.is_multiple_of(100_000) {
            progress("taking in", done as f64 / all);
        }
    }
    hubs.iter().for_each(|hub| hub.finish(newest));
    Ok(())
}

/// Counts one sample by the best that any source made of it.
fn count(taken: &Taken, imported: &mut Imported) {
    if taken.of(Verdict::Stored) > 0 {
        imported.taken += 1;
        return;
    }
    let twice = taken.of(Verdict::Duplicate) + taken.of(Verdict::Conflict);
    let why = match (twice, taken.of(Verdict::Old)) {
        (1.., _) => LeftOut::Twice,
        (0, 1..) => LeftOut::Old,
        (0, 0) => LeftOut::NoRoom,
    };
    *imported.left_out.entry(why).or_default() += 1;
}

/// What is kept of a source, its gaps filled; nothing where there were none.
fn fill(
    local: &Local,
    hub: &Hub,
    storage: &Path,
    now: Millis,
    received: &mut Vec<Received>,
) -> Result<Option<(Shelf, Past)>, String> {
    let shelf = Shelf::at(storage, &local.name);
    let mut past: Past = shelf.read()?;
    let mut changed = false;
    for (signals, subscription) in local.joined() {
        let filled = past.fill(hub, &subscription, now);
        let filled = filled.map_err(|problem| format!("{}: {problem}", shelf.path().display()))?;
        changed |= filled.values > 0 || filled.newer > 0;
        received.push(Received {
            source: local.name.clone(),
            signals,
            filled,
        });
    }
    Ok(changed.then_some((shelf, past)))
}

impl std::fmt::Display for Imported {
    /// As tables are not needed for so few lines: a line for each past, then why samples were left out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for Received {
            source,
            signals,
            filled,
        } in &self.signals
        {
            write!(
                f,
                "{} (source {source}): {} values of {} series filled in",
                signals.join(", "),
                filled.values,
                filled.series
            )?;
            if let Some((from, to)) = filled.span {
                write!(f, ", {} to {}", time(from), time(to))?;
            }
            if filled.kept > 0 {
                write!(f, "; {} were there already and stayed", filled.kept)?;
            }
            writeln!(f)?;
        }
        let samples = |count: u64| if count == 1 { "sample" } else { "samples" };
        writeln!(f, "{} {} taken", self.taken, samples(self.taken))?;
        for (why, count) in &self.left_out {
            writeln!(f, "{count} {} left out: {}", samples(*count), why.as_str())?;
        }
        Ok(())
    }
}
