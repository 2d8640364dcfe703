//! The past as if a process had been running: what it would have shown, as a file for a time-series database (`write`); and
//! samples of former times for sources that have no past of their own ([`import()`]).
//!
//! Each signal's unit is started at the beginning of the span and stepped through it in the mode of a live process: what is
//! written is what `/metrics` showed.

mod crew;
mod import;
mod local;
mod pages;
mod spool;
#[cfg(test)]
mod tests;

pub use import::{Import, Imported, LeftOut, Received, import};
pub use local::{Local, locals, sources};
pub use pages::{Counts, Style};

use crate::{
    backtest::Input,
    engine::{Outcome, PanelSettings, SignalSettings, settings::Calendars},
    forecast::ModelFiles,
    series::Millis,
};
use crew::Crew;
use pages::Pages;
use std::{io, io::Write, path::Path};

/// What to write.
#[derive(Debug)]
pub struct Backfill {
    /// The signals.
    pub signals: Vec<SignalSettings>,
    /// Panels; those with a signal that is not among `signals` are left out.
    pub panels: Vec<PanelSettings>,
    /// Every grid time from here on.
    pub start: Millis,
    /// The last grid time is not after it.
    pub end: Millis,
    /// The time of the clock: what a process that runs has not asked for yet is left out.
    pub now: Millis,
    /// Contents of the model files the signals name.
    pub models: ModelFiles,
    /// The calendars the signals name.
    pub calendars: Calendars,
    /// The value of the label `forethought_replica`.
    pub replica: Option<String>,
    /// How it is written.
    pub style: Style,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Written {
    /// How much it is.
    pub counts: Counts,
    /// What whoever loads it should know.
    pub notes: Vec<String>,
}

/// Why nothing was written.
#[derive(Debug)]
pub enum Problem {
    /// Settings, sources, what is kept meanwhile.
    Failed(String),
    /// What is written to.
    Output(io::Error),
}

/// Writes what every signal and panel showed at each grid time of the span, as OpenMetrics. What memory does not hold
/// meanwhile is kept in `folder`. `progress` is told what is worked at and the share of it that is done, 0 to 1.
///
/// # Errors
/// Settings that cannot be, a source that does not answer, a span in which nothing is shown, the disk.
pub async fn write(
    options: &Backfill,
    input: &Input,
    folder: &Path,
    out: &mut dyn Write,
    progress: &dyn Fn(&str, f64),
) -> Result<Written, Problem> {
    write_within(options, input, (folder, spool::HELD), out, progress).await
}

/// The same with so many samples in memory.
async fn write_within(
    options: &Backfill,
    input: &Input,
    (folder, held): (&Path, usize),
    out: &mut dyn Write,
    progress: &dyn Fn(&str, f64),
) -> Result<Written, Problem> {
    let mut pages = Pages::new(options.style.clone(), folder, held);
    let (mut notes, mut is_empty) = (Vec::new(), true);
    for group in crew::groups(options) {
        let name = group.0.first().map(|signal| signal.name.clone());
        let named = |why: String| {
            let name = name.clone().unwrap_or_default();
            Problem::Failed(format!("{name}: {why}"))
        };
        let crew = Crew::new(group, options, input).map_err(named)?;
        let mut take = |outcome: &Outcome| {
            // Of a wide signal nothing may be told of series that are as ever.
            is_empty &= outcome.series.is_empty() && outcome.counts.valued == 0;
            pages.take(outcome)
        };
        let more = crew.run(&mut take, progress).await;
        notes.extend(more.map_err(Problem::Failed)?);
    }
    // What a signal shows of itself alone, such as counts of nothing, is of no use to anybody.
    if is_empty {
        let (from, to) = (time(options.start), time(options.end));
        return Err(Problem::Failed(format!(
            "nothing was shown from {from} to {to}: the sources have no samples then"
        )));
    }
    let told = |share: f64| progress("writing", share);
    let counts = pages.write(out, &told).map_err(Problem::Output)?;
    Ok(Written { counts, notes })
}

/// A time as people write it.
fn time(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |time| time.to_string())
}
