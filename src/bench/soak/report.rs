//! The minutes of a soak, and what they show.

use super::SoakOptions;
use std::fmt;

/// What the goals are: seconds that what is shown may be old, and that a tick may take.
const FRESH: f64 = 60.0;
const TICK: f64 = 5.0;
/// Memory is steady where the last sixth is no more than this above the sixth after the first third.
const STEADY: f64 = 0.05;

/// What was seen in one minute.
#[derive(Debug, Clone, Default)]
pub struct Minute {
    /// The oldest that what was shown became, seconds from its grid time.
    pub freshness_seconds: f64,
    /// The longest tick: asking the database, reading its answer, evaluating and encoding.
    pub tick_seconds: f64,
    /// Grid times that were evaluated.
    pub evaluations: usize,
    /// CPU time of the process over time on the wall: 1 is one core.
    pub cpu_ratio: f64,
    /// Its resident memory at the end of the minute.
    pub resident_bytes: u64,
    /// Series with state, those that went and are not forgotten yet included.
    pub series: usize,
    /// Evaluations that failed so far.
    pub failures: usize,
    /// Ticks that were left out so far.
    pub missed: usize,
    /// Series without a place.
    pub refused: usize,
}

/// What a soak has shown.
#[derive(Debug, Clone)]
pub struct SoakReport {
    options: SoakOptions,
    /// Minute by minute.
    pub minutes: Vec<Minute>,
}

impl Minute {
    /// What stands above the columns.
    pub(super) const HEAD: &str =
        "   ticks   oldest, s   tick, s   series   CPU, %  RSS, MiB   failed  missed";
}

impl SoakReport {
    pub(super) fn new(options: &SoakOptions) -> Self {
        Self {
            options: options.clone(),
            minutes: Vec::new(),
        }
    }

    /// The oldest that what was shown became, seconds.
    pub fn freshness_seconds(&self) -> f64 {
        self.most(|minute| minute.freshness_seconds)
    }

    /// The longest tick, seconds.
    pub fn tick_seconds(&self) -> f64 {
        self.most(|minute| minute.tick_seconds)
    }

    /// By which share the median memory of the last sixth of the time is above that of the sixth that follows the first third;
    /// `None` where it was too short to tell.
    pub fn growth(&self) -> Option<f64> {
        let sixth = self.minutes.len() / 6;
        let settled = median(self.minutes.get(2 * sixth..3 * sixth)?)?;
        let last = median(self.minutes.get(self.minutes.len() - sixth..)?)?;
        Some(last / settled - 1.0)
    }

    /// What of the goals was missed, in sentences; none where they were reached.
    pub fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        let fresh = self.freshness_seconds();
        if fresh >= FRESH {
            missed.push(format!(
                "what was shown was up to {fresh:.1} s old, not below {FRESH} s"
            ));
        }
        let tick = self.tick_seconds();
        if tick >= TICK {
            missed.push(format!("a tick took {tick:.2} s, not below {TICK} s"));
        }
        if let Some(growth) = self.growth().filter(|growth| *growth > STEADY) {
            missed.push(format!(
                "memory grew by {:.1} % after it had settled",
                growth * 100.0
            ));
        }
        let last = self.minutes.last().cloned().unwrap_or_default();
        if last.failures + last.refused > 0 {
            let (failures, refused) = (last.failures, last.refused);
            missed.push(format!(
                "{failures} evaluations failed, {refused} series had no place"
            ));
        }
        missed
    }

    fn most(&self, of: fn(&Minute) -> f64) -> f64 {
        self.minutes.iter().map(of).fold(0.0, f64::max)
    }
}

fn median(minutes: &[Minute]) -> Option<f64> {
    let mut all: Vec<u64> = minutes.iter().map(|minute| minute.resident_bytes).collect();
    all.sort_unstable();
    all.get(all.len() / 2).map(|bytes| *bytes as f64)
}

impl fmt::Display for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>8}{:>12.1}{:>10.2}{:>9}{:>9.1}{:>10.0}{:>9}{:>8}",
            self.evaluations,
            self.freshness_seconds,
            self.tick_seconds,
            self.series,
            self.cpu_ratio * 100.0,
            self.resident_bytes as f64 / f64::from(1 << 20),
            self.failures,
            self.missed
        )
    }
}

impl fmt::Display for SoakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SoakOptions {
            series,
            interval,
            churn,
            ..
        } = &self.options;
        writeln!(
            f,
            "{series} series every {interval}, {:.0} % of them replaced in ten minutes, {} minutes\n",
            churn * 100.0,
            self.minutes.len()
        )?;
        writeln!(f, "  minute{}", Minute::HEAD)?;
        let every = (self.minutes.len() / 12).max(1);
        for (number, minute) in self.minutes.iter().enumerate() {
            if (number + 1) % every == 0 {
                writeln!(f, "{:>8}{minute}", number + 1)?;
            }
        }
        writeln!(f)?;
        writeln!(
            f,
            "oldest that what is shown became: {:.1} s",
            self.freshness_seconds()
        )?;
        writeln!(f, "longest tick: {:.2} s", self.tick_seconds())?;
        match self.growth() {
            Some(growth) => writeln!(f, "memory after it had settled: {:+.1} %", growth * 100.0),
            None => writeln!(f, "memory: too short to tell whether it is steady"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Span;
    use std::time::Duration;

    fn report(resident: impl Fn(u64) -> u64) -> SoakReport {
        let mut report = SoakReport::new(&SoakOptions {
            url: String::new(),
            series: 10,
            interval: Span::seconds(30),
            offset: Span::seconds(10),
            churn: 0.1,
            lasts: Duration::from_secs(3_600),
        });
        report.minutes = (0..60)
            .map(|minute| Minute {
                freshness_seconds: 42.0,
                tick_seconds: 1.5,
                evaluations: 2,
                resident_bytes: resident(minute),
                ..Minute::default()
            })
            .collect();
        report
    }

    #[test]
    fn goals_that_are_missed_are_told() {
        let steady = report(|minute| 1_000 + minute.min(15) * 100);
        assert_eq!(steady.missed(), Vec::<String>::new());
        assert_eq!(steady.growth(), Some(0.0));
        let growing = report(|minute| 1_000 + minute * 100);
        assert!(growing.missed()[0].contains("memory grew"));
        let mut slow = report(|_| 1_000);
        slow.minutes[7].tick_seconds = 5.2;
        slow.minutes[8].freshness_seconds = 61.0;
        slow.minutes[59].failures = 1;
        assert_eq!(slow.missed().len(), 3, "{:?}", slow.missed());
        assert!(slow.to_string().contains("longest tick: 5.20 s"), "{slow}");
    }

    #[test]
    fn a_short_one_does_not_tell_of_memory() {
        let mut short = report(|_| 1_000);
        short.minutes.truncate(5);
        assert_eq!(short.growth(), None);
        assert!(short.to_string().contains("too short"));
    }
}
