//! What is counted and logged of samples that come by themselves.

use super::throttle::Throttle;
use crate::{expo::wire::write::Reason, intake::Verdict, source::local::Taken};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use std::{path::Path, sync::atomic::AtomicU64};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSource {
    source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResult {
    source: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    source: String,
    reason: &'static str,
}

type Decimal = Gauge<f64, AtomicU64>;

/// What is counted and logged of samples that come by themselves. One method per event.
#[derive(Debug, Default)]
pub struct IntakeEvents {
    samples: Family<OfResult, Counter>,
    refused: Family<OfSource, Counter>,
    invalid: Family<OfReason, Counter>,
    histograms: Family<OfSource, Counter>,
    series: Family<OfSource, Gauge>,
    snapshots: Family<OfResult, Counter>,
    snapshot_bytes: Family<OfSource, Gauge>,
    lost: Family<OfSource, Decimal>,
    /// Of series that are refused; all of them are counted.
    told: Throttle,
    /// Of series that are not sound.
    told_invalid: Throttle,
    /// Of snapshots that fail.
    told_disk: Throttle,
}

/// Results beside those of [`Verdict`].
const UNWANTED: &str = "unwanted";
const FOREIGN: &str = "foreign";
const LOST: &str = "lost";
const WRITTEN: &str = "written";
const FAILED: &str = "failed";

impl IntakeEvents {
    /// Registers the metrics; each source's series start at zero when it is announced.
    pub fn register(registry: &mut Registry) -> Self {
        let events = Self::default();
        registry.register(
            "intake_samples",
            "Samples that came by themselves, by result: stored, foreign (another shard carries their series), unwanted (no signal selects them), or why they were left out: ahead, conflict, duplicate, lost, not_finite, old, too_many",
            events.samples.clone(),
        );
        registry.register(
            "intake_series_refused",
            "Series that a signal selects and for which there was no room, each time that it was looked for",
            events.refused.clone(),
        );
        registry.register(
            "intake_series_invalid",
            "Series of pushed requests that were left out, by reason",
            events.invalid.clone(),
        );
        registry.register(
            "intake_histograms_skipped",
            "Native histograms that were pushed, which are not read",
            events.histograms.clone(),
        );
        registry.register(
            "intake_series",
            "Series that come by themselves and that signals select",
            events.series.clone(),
        );
        registry.register(
            "intake_snapshots",
            "Attempts to write the history of what came by itself to disk, by result: written, failed",
            events.snapshots.clone(),
        );
        registry.register_with_unit(
            "intake_snapshot",
            "Size of the newest file with the history of what came by itself",
            Unit::Bytes,
            events.snapshot_bytes.clone(),
        );
        registry.register_with_unit(
            "intake_gap",
            "Time before the start of which nothing that came by itself is known: from the newest snapshot to the start",
            Unit::Seconds,
            events.lost.clone(),
        );
        events
    }

    /// A source begins.
    pub fn announce(&self, source: &str) {
        let verdicts = Verdict::ALL.map(Verdict::as_str);
        for result in verdicts.into_iter().chain([FOREIGN, UNWANTED, LOST]) {
            drop(self.samples.get_or_create(&of(source, result)));
        }
        for result in [WRITTEN, FAILED] {
            drop(self.snapshots.get_or_create(&of(source, result)));
        }
        drop(self.refused.get_or_create(&named(source)));
        drop(self.series.get_or_create(&named(source)));
    }

    /// A source is no more.
    pub fn forget(&self, source: &str) {
        let verdicts = Verdict::ALL.map(Verdict::as_str);
        for result in verdicts.into_iter().chain([FOREIGN, UNWANTED, LOST]) {
            self.samples.remove(&of(source, result));
        }
        for result in [WRITTEN, FAILED] {
            self.snapshots.remove(&of(source, result));
        }
        for reason in Reason::NAMES {
            let source = source.to_owned();
            self.invalid.remove(&OfReason { source, reason });
        }
        self.histograms.remove(&named(source));
        self.refused.remove(&named(source));
        self.series.remove(&named(source));
        self.snapshot_bytes.remove(&named(source));
        self.lost.remove(&named(source));
    }

    /// Samples came; what was made of them.
    pub fn taken(&self, source: &str, taken: &Taken) {
        let verdicts = Verdict::ALL.map(|verdict| (verdict.as_str(), taken.of(verdict)));
        let others = [
            (FOREIGN, taken.foreign),
            (UNWANTED, taken.unwanted),
            (LOST, taken.lost),
        ];
        for (result, count) in verdicts.into_iter().chain(others) {
            if count > 0 {
                self.samples
                    .get_or_create(&of(source, result))
                    .inc_by(count);
            }
        }
    }

    /// A series of a pushed request was left out.
    pub fn invalid(&self, source: &str, reason: &Reason<'_>) {
        let of = OfReason {
            source: source.to_owned(),
            reason: reason.as_str(),
        };
        self.invalid.get_or_create(&of).inc();
        if self.told_invalid.may_log() {
            tracing::warn!(source, %reason, "a pushed series was left out");
        }
    }

    /// Native histograms were pushed.
    pub fn histograms_skipped(&self, source: &str, count: usize) {
        if count > 0 {
            self.histograms
                .get_or_create(&named(source))
                .inc_by(count as u64);
        }
    }

    /// There was no room for a series.
    pub fn refused(&self, source: &str, name: &str, most: usize) {
        self.refused.get_or_create(&named(source)).inc();
        if self.told.may_log() {
            tracing::warn!(
                source,
                metric = name,
                limit = most,
                "there is no room for another series: narrow what signals select, or raise max_series"
            );
        }
    }

    /// So many series are known.
    pub fn series(&self, source: &str, series: usize) {
        self.series.get_or_create(&named(source)).set(series as i64);
    }

    /// What a former process knew was taken over; nothing is known of so many seconds before now.
    pub fn restored(&self, source: &str, seconds: f64) {
        self.lost.get_or_create(&named(source)).set(seconds);
        tracing::info!(
            source,
            gap_seconds = seconds,
            "took over the history of a former process"
        );
    }

    /// What a former process knew cannot be used.
    pub fn damaged(&self, source: &str, problem: &str, aside: Option<&Path>) {
        let aside = aside.map(|path| path.display().to_string());
        tracing::error!(
            source,
            problem,
            aside,
            "the history of a former process cannot be used; it begins anew"
        );
    }

    /// What is known was written to disk.
    pub fn written(&self, source: &str, bytes: usize) {
        self.snapshots.get_or_create(&of(source, WRITTEN)).inc();
        self.snapshot_bytes
            .get_or_create(&named(source))
            .set(bytes as i64);
    }

    /// What is known could not be written to disk.
    pub fn not_written(&self, source: &str, problem: &str) {
        self.snapshots.get_or_create(&of(source, FAILED)).inc();
        if self.told_disk.may_log() {
            tracing::error!(
                source,
                problem,
                "cannot write what came by itself to disk: a restart would lose it; it is tried again"
            );
        }
    }

    /// There is nowhere to write to.
    pub fn kept_nowhere(&self, source: &str) {
        tracing::warn!(
            source,
            "what comes by itself is kept in memory only: a restart loses it; name a folder with --storage.path"
        );
    }
}

fn of(source: &str, result: &'static str) -> OfResult {
    OfResult {
        source: source.to_owned(),
        result,
    }
}

fn named(source: &str) -> OfSource {
    OfSource {
        source: source.to_owned(),
    }
}
