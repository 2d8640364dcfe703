//! What very many series cost from end to end, stage by stage: taken in by remote write, evaluated, served.
//!
//! The program is the real one with a signal of the class `wide`, on a runtime of its own; a child process pushes to it and
//! scrapes it over loopback sockets, so that what is measured of this process is ours alone. The clock stands still between the
//! grid times and is set on when the next one is sent: a tick need not wait for its interval, and costs what it would.

mod data;
mod report;
mod sender;
mod server;

pub use report::{ScaleReport, ScaleRow, Stage};
pub use sender::serve as send;

use super::cpu::{cpu_seconds, resident_bytes};
use crate::{
    engine::{Outcome, UnitHandle},
    series::{Millis, Span},
};
use data::Stream;
use sender::Sender;
use server::Server;
use std::{net::SocketAddr, path::Path, process::Command, sync::Arc, thread, time::Duration};
use tokio::time::Instant;

/// Every baseline has an opinion after so many values, with some to spare.
const WARM_UP: i64 = 24;
/// Grid times at the end at which some series are far off: as long as it takes to be sure, and once more.
const ANOMALOUS: i64 = 6;
/// Of so many series one is far off then.
const EVERY: usize = 1_000;
/// Scrapes that are measured.
const SCRAPES: u32 = 10;
/// How long is looked at a process to which nothing comes.
const IDLE: Duration = Duration::from_secs(5);
/// Work that ends after an outcome was published: what it takes the place of is dropped.
const SETTLE: Duration = Duration::from_millis(200);
/// What takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(300);
/// The first grid time, in milliseconds, of any step that divides a day.
const START: Millis = super::EPOCH;

/// What to measure.
#[derive(Debug, Clone)]
pub struct ScaleOptions {
    /// Number of series.
    pub series: usize,
    /// Grid step.
    pub step: Span,
    /// Grid times that are measured, after those that warm up.
    pub ticks: usize,
}

/// How the process that pushes is started: it gets the number of series and where to push to.
pub trait Spawn {
    /// The command that runs [`send`] with these.
    fn command(&self, series: usize, address: SocketAddr) -> Command;
}

/// This program again, as its command line has it.
#[derive(Debug)]
pub struct Itself<'a>(pub &'a Path);

impl Spawn for Itself<'_> {
    fn command(&self, series: usize, address: SocketAddr) -> Command {
        let mut command = Command::new(self.0);
        command.args(["bench", "scale"]);
        command.args([format!("--series={series}"), format!("--push-to={address}")]);
        command
    }
}

/// Measures one number of series; `progress` is told what is being done.
///
/// # Errors
/// A server or a sender that does not start, an evaluation that does not come, or anomalies that were sent and not found.
pub fn run(
    options: &ScaleOptions,
    spawn: &dyn Spawn,
    progress: &dyn Fn(&str),
) -> Result<ScaleRow, String> {
    if options.ticks < ANOMALOUS as usize {
        return Err(format!("fewer than {ANOMALOUS} ticks find no anomaly"));
    }
    let server = Server::start(options, START - options.step.as_millis() / 2)?;
    let sender = Sender::start(spawn.command(options.series, server.address))?;
    let mut bench = Bench {
        options,
        stream: Stream::new(options.series),
        unit: server.unit()?,
        server,
        sender,
        at: START,
    };
    bench.measure(progress)
}

struct Bench<'a> {
    options: &'a ScaleOptions,
    stream: Stream,
    server: Server,
    unit: Arc<UnitHandle>,
    sender: Sender,
    /// The next grid time.
    at: Millis,
}

impl Bench<'_> {
    fn measure(&mut self, progress: &dyn Fn(&str)) -> Result<ScaleRow, String> {
        let series = self.options.series;
        let empty = resident_bytes();
        progress(&format!("{series} series: new"));
        let cold = self.first()?;
        progress(&format!("{series} series: warming up"));
        for _ in 0..WARM_UP {
            self.tick(false)?;
        }
        progress(&format!("{series} series: ticks"));
        let (mut known, mut evaluate) = (Stage::default(), Stage::default());
        let ticks = self.options.ticks as i64;
        for tick in 0..ticks {
            let (ingest, evaluated) = self.tick(tick >= ticks - ANOMALOUS)?;
            known.add(ingest);
            evaluate.add(evaluated);
        }
        let found = self.found()?;
        progress(&format!("{series} series: scrapes"));
        let (serve, served_bytes) = self.scrapes()?;
        let resident = resident_bytes();
        let ((), idle) = timed(|| thread::sleep(IDLE));
        Ok(ScaleRow {
            series,
            ticks: self.options.ticks,
            ingest_new: cold,
            ingest_known: known.per(ticks as f64),
            evaluate: evaluate.per(ticks as f64),
            serve,
            served_bytes,
            idle_cpu_ratio: idle.cpu_seconds / IDLE.as_secs_f64(),
            generate_cpu_seconds: self.sender.cpu_seconds / (1 + WARM_UP + ticks) as f64,
            active: found,
            state_bytes_per_series: self.newest()?.counts.state_bytes / series,
            resident_bytes_per_series: resident.saturating_sub(empty) as usize / series,
            label_bytes_per_series: self.stream.label_bytes() / series,
            program_bytes: empty as usize,
        })
    }

    /// Every series for the first time.
    fn first(&mut self) -> Result<Stage, String> {
        let at = self.next();
        let (done, stage) = timed(|| self.sender.push(at, false, 0..self.options.series));
        done?;
        Ok(stage)
    }

    /// One grid time: taking it in, and evaluating it.
    fn tick(&mut self, anomalous: bool) -> Result<(Stage, Stage), String> {
        let at = self.next();
        let last = self.options.series - 1;
        let (done, ingest) = timed(|| self.sender.push(at, anomalous, 0..last));
        done?;
        // What the sample of the last series brings is evaluated at once.
        let began = Instant::now();
        let (done, mut evaluate) = timed(|| {
            self.sender.push(at, anomalous, last..last + 1)?;
            self.wait_for(at)
        });
        evaluate.wall_seconds = done?.duration_since(began).as_secs_f64();
        Ok((ingest, evaluate))
    }

    fn next(&mut self) -> Millis {
        let at = self.at;
        self.at += self.options.step.as_millis();
        self.server.set_clock(at + 1_000);
        at
    }

    /// Waits until a grid time was evaluated, and for what comes after that; when it was.
    fn wait_for(&self, at: Millis) -> Result<Instant, String> {
        let began = Instant::now();
        loop {
            let newest = self
                .unit
                .outcome
                .borrow()
                .as_ref()
                .map(|outcome| outcome.at);
            if newest >= Some(at) {
                let seen = Instant::now();
                thread::sleep(SETTLE);
                return Ok(seen);
            }
            if began.elapsed() > PATIENCE {
                return Err(format!(
                    "grid time {at} was not evaluated within {} s; the newest is {newest:?}",
                    PATIENCE.as_secs()
                ));
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn newest(&self) -> Result<Arc<Outcome>, String> {
        let newest = self.unit.outcome.borrow().clone();
        newest.ok_or_else(|| "nothing was evaluated".to_owned())
    }

    /// How many series are anomalous.
    ///
    /// # Errors
    /// Not those that were made so, or more than a few others.
    fn found(&self) -> Result<usize, String> {
        let outcome = self.newest()?;
        let sent = self.stream.anomalous();
        let active = outcome.counts.active;
        let known = outcome.counts.series;
        if known != self.options.series {
            return Err(format!(
                "{known} series are known, {} were sent",
                self.options.series
            ));
        }
        let on = outcome.series.iter().filter(|one| one.active);
        let right = on
            .filter(|one| self.stream.is_anomalous(&one.labels))
            .count();
        if right != sent || active > sent + sent / 10 {
            return Err(format!(
                "{right} of {sent} anomalous series were found, among {active} that are said to be"
            ));
        }
        Ok(active)
    }

    /// Scrapes with gzip, and the bytes of an answer.
    fn scrapes(&mut self) -> Result<(Stage, usize), String> {
        // The first one asks for an encoding that nobody asked for before.
        self.sender.scrape()?;
        let (bytes, stage) = timed(|| {
            let mut bytes = 0;
            for _ in 0..SCRAPES {
                bytes = self.sender.scrape()?;
            }
            Ok::<_, String>(bytes)
        });
        Ok((stage.per(f64::from(SCRAPES)), bytes?))
    }
}

/// What this process needs for `work`, whichever of its threads does it.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Stage) {
    let (wall, cpu, allocated) = (Instant::now(), cpu_seconds(), allocations());
    let done = work();
    let stage = Stage {
        cpu_seconds: cpu_seconds() - cpu,
        wall_seconds: wall.elapsed().as_secs_f64(),
        allocations: (allocations() - allocated) as f64,
    };
    (done, stage)
}

/// How often this process asked for memory, for more or for less of it; 0 in a build that does not count.
#[cfg(feature = "count-allocations")]
fn allocations() -> usize {
    let stats = stats_alloc::INSTRUMENTED_SYSTEM.stats();
    stats.allocations + stats.reallocations
}

#[cfg(not(feature = "count-allocations"))]
fn allocations() -> usize {
    0
}

#[cfg(test)]
mod tests;
