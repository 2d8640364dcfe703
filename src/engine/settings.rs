//! The shape of a signal and of a panel in the configuration file.

mod exclude;
mod files;
mod fit;
mod history;
mod select;
mod validate;

pub use exclude::{Calendars, ExcludeSettings, NamedCalendar, Purpose, calendar_of};
pub use history::History;
pub use validate::is_label_name;

use super::signal::{DEEP_SERIES, Epochs};
use crate::{
    baseline, detect, forecast,
    intake::{Aggregate, Reading},
    quality,
    series::{Grid, Span},
};
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use std::fmt;

/// One signal.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalSettings {
    /// Published as `predicted_<name>`.
    pub name: String,
    /// Name of the source; may be left out where there is only one.
    #[serde(default)]
    pub source: Option<String>,
    /// PromQL. Of a source that is scraped or pushed to, what is selected, written as PromQL.
    #[serde(default)]
    pub query: String,
    /// Which series of a source that is scraped or pushed to: a selector.
    #[serde(default)]
    pub select: Option<String>,
    /// What is made of each of those series.
    #[serde(default, rename = "as")]
    pub reading: Reading,
    /// Over what span a rate or a difference is taken.
    #[serde(default)]
    pub window: Option<Span>,
    /// How several of those series become one.
    #[serde(default)]
    pub aggregate: Option<Aggregate>,
    /// Grid step.
    #[serde(default = "SignalSettings::default_step")]
    pub step: Span,
    /// How much past is read and kept, and of how much of it forecasts begin.
    #[serde(default)]
    pub history: History,
    /// A grid time is read this long after it, so that late samples are in.
    #[serde(default = "SignalSettings::default_offset")]
    pub offset: Span,
    /// An outcome older than this is not served any more.
    #[serde(default)]
    pub max_age: Option<Span>,
    /// No more series than this.
    #[serde(default = "SignalSettings::default_max_series")]
    pub max_series: usize,
    /// Which labels decide which of several processes (`--shard`) carries a series; where left out, what belongs together
    /// stays together and the rest is divided by all labels.
    #[serde(default)]
    pub shard_by: Vec<String>,
    /// Seasons.
    #[serde(default)]
    pub seasonality: Seasonality,
    /// Zone whose wall clock the seasons follow.
    #[serde(default)]
    pub timezone: Option<String>,
    /// Names of the calendars whose times are holidays: `seasonal` expects of them what it does of Sundays, forecasters
    /// what they were before.
    #[serde(default)]
    pub holidays: Vec<String>,
    /// Times that are left out of training or scoring.
    #[serde(default)]
    pub exclude: Vec<ExcludeSettings>,
    /// Values that can be.
    #[serde(default)]
    pub range: ValueRange,
    /// What values are held against beside that, before anything is learned from them.
    #[serde(default, rename = "validate")]
    pub quality: quality::Settings,
    /// Size class.
    #[serde(default)]
    pub class: Class,
    /// Which series are published.
    #[serde(default)]
    pub emit: Emit,
    /// Whether nobody reads the series that are not published: no panel, no workload. The configuration as a whole knows.
    #[serde(skip)]
    pub shown_only: bool,
    /// What is expected.
    #[serde(default)]
    pub baseline: baseline::Settings,
    /// Detectors; the default set where left out.
    #[serde(default)]
    pub detectors: Option<Vec<detect::Settings>>,
    /// Whether every detector's own score is published too.
    #[serde(default)]
    pub detector_scores: bool,
    /// Whether the published score stays above 1 for as long as an anomaly lasts, not only at its onset.
    #[serde(default)]
    pub sustained_scores: bool,
    /// How the detectors' scores become one.
    #[serde(default)]
    pub combine: detect::Combine,
    /// Series with the same values of these labels should be alike: `dbscan` compares them, in the default set and
    /// where it has no `by` of its own.
    #[serde(default)]
    pub peers: Vec<String>,
    /// Labels by which `anomaly_group_ratio` counts; one group where left out.
    #[serde(default)]
    pub group_by: Vec<String>,
    /// Alert hygiene.
    #[serde(default)]
    pub alerting: detect::AlertingSettings,
    /// Score thresholds of the severities.
    #[serde(default)]
    pub severity: detect::SeverityThresholds,
    /// Forecasts.
    #[serde(default)]
    pub forecast: forecast::Settings,
}

impl SignalSettings {
    /// Most Prometheus servers scrape every 15 s to 1 min; at 1 min three weeks fit in 120 kB.
    fn default_step() -> Span {
        Span::minutes(1)
    }

    /// Late remote writes, lookback and search latency (VictoriaMetrics hides the newest 30 s).
    fn default_offset() -> Span {
        Span::seconds(30)
    }

    /// A mistaken query must not eat the memory of everybody else.
    fn default_max_series() -> usize {
        5_000
    }

    /// Has the greatest value within each of `windows` forecast, at `level`, for a workload that scales by it.
    pub fn forecast_for(&mut self, windows: &[Span], level: f64) {
        let forecast = &mut self.forecast;
        forecast.scaled.extend(windows);
        forecast.scaled.sort_unstable();
        forecast.scaled.dedup();
        forecast.levels.push(level as f32);
        forecast.levels.sort_unstable_by(f32::total_cmp);
        forecast.levels.dedup();
    }

    /// A signal that asks `query` of the only source, everything else as if left out.
    pub fn new(name: impl Into<String>, query: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            source: None,
            query: query.into(),
            select: None,
            reading: Reading::default(),
            window: None,
            aggregate: None,
            step: Self::default_step(),
            history: History::default(),
            offset: Self::default_offset(),
            max_age: None,
            max_series: Self::default_max_series(),
            shard_by: Vec::new(),
            seasonality: Seasonality::default(),
            timezone: None,
            holidays: Vec::new(),
            exclude: Vec::new(),
            range: ValueRange::default(),
            quality: quality::Settings::default(),
            class: Class::default(),
            emit: Emit::default(),
            shown_only: false,
            baseline: baseline::Settings::default(),
            detectors: None,
            detector_scores: false,
            sustained_scores: false,
            combine: detect::Combine::default(),
            peers: Vec::new(),
            group_by: Vec::new(),
            alerting: detect::AlertingSettings::default(),
            severity: detect::SeverityThresholds::default(),
            forecast: forecast::Settings::default(),
        }
    }

    /// The detectors: those given, or the default set; with `peers` told to the one that compares them.
    pub fn detectors(&self) -> Vec<detect::Settings> {
        let usual = || match self.peers.is_empty() {
            true => detect::defaults(),
            false => detect::defaults_among_peers(),
        };
        let mut detectors = self.detectors.clone().unwrap_or_else(usual);
        for detector in &mut detectors {
            if let detect::Settings::Dbscan(settings) = detector
                && settings.by.is_empty()
            {
                settings.by.clone_from(&self.peers);
            }
        }
        detectors
    }

    /// The names of the calendars that it needs.
    pub fn calendars(&self) -> impl Iterator<Item = &String> {
        let excluded = self.exclude.iter();
        let excluded = excluded.filter_map(|one| one.calendar.as_ref());
        excluded.chain(&self.holidays).chain(&self.forecast.events)
    }

    /// The grid; `None` where the step is not positive, which `validate` refuses.
    pub fn grid(&self) -> Option<Grid> {
        Grid::new(self.step.as_millis())
    }

    /// Steps a start replays, from which a panel over this signal learns; `None` where it replays none
    /// (wide) or the step is not positive.
    pub fn replay(&self) -> Option<usize> {
        let grid = self
            .grid()
            .filter(|_| self.size_class() == SizeClass::Deep)?;
        Some(Epochs::new(self.history().as_millis(), grid).replay())
    }

    /// The size class that is in force. It depends on `max_series` and not on the series found, so that
    /// it is the same on every replica and after every restart.
    pub fn size_class(&self) -> SizeClass {
        match self.class {
            Class::Deep => SizeClass::Deep,
            Class::Wide => SizeClass::Wide,
            Class::Auto if self.max_series <= DEEP_SERIES => SizeClass::Deep,
            Class::Auto => SizeClass::Wide,
        }
    }

    /// Why [`size_class`](Self::size_class) is what it is, in a few words.
    pub fn size_class_reason(&self) -> String {
        match self.class {
            Class::Deep | Class::Wide => "set".to_owned(),
            Class::Auto => {
                let relation = match self.size_class() {
                    SizeClass::Deep => "at most",
                    SizeClass::Wide => "over",
                };
                format!("max_series {} is {relation} {DEEP_SERIES}", self.max_series)
            }
        }
    }

    /// Bytes that the detectors that were asked for have from the start; some have a copy of the past.
    fn detector_bytes(&self, grid: Grid) -> usize {
        let asked = self.detectors.iter().flatten();
        // Settings that are refused could ask for anything.
        let valid = asked.filter(|one| one.validate().is_empty());
        let bytes = valid.map(|one| {
            let mut detector = one.build(grid);
            detector.grow(1);
            detector.heap_bytes()
        });
        bytes.fold(0, usize::saturating_add)
    }

    /// Bytes one series takes at most with its whole history read: window, baseline, detectors,
    /// forecasts, labels.
    pub fn bytes_per_series(&self) -> usize {
        let Some(grid) = self.grid() else { return 0 };
        let steps = Epochs::new(self.history().as_millis(), grid).history;
        match self.size_class() {
            SizeClass::Wide => WIDE_SERIES_BYTES.saturating_add(self.detector_bytes(grid)),
            SizeClass::Deep => {
                let window = steps.saturating_mul(4).saturating_mul(9) / 8;
                let forecasts = if self.forecast().horizons().is_empty() {
                    0
                } else {
                    FORECAST_BYTES
                };
                // Those that workloads scale by are forecast of every series of the signal.
                let windows = self.forecast().all_windows().len();
                let day = if windows > 0 { DAY_BYTES } else { 0 };
                let windows = windows.saturating_mul(WINDOW_BYTES).saturating_add(day);
                window
                    .saturating_add(forecasts)
                    .saturating_add(windows)
                    .saturating_add(DETECTION_BYTES)
                    .saturating_add(self.detector_bytes(grid))
                    .saturating_add(SERIES_BYTES)
            }
        }
    }
}

/// Baseline, default detectors and verdict of one deep series: the seasonal profile is most of it.
const DETECTION_BYTES: usize = 30_000;

/// Forecasters, their ensemble and calibration of one deep series.
const FORECAST_BYTES: usize = 100_000;

/// What is kept of one series for the greatest value within one window: errors to calibrate by, forecasts under way.
const WINDOW_BYTES: usize = 10_000;

/// What is remembered of the day before where there are windows: a day of minutes, twice.
const DAY_BYTES: usize = 12_000;

/// Labels, rendered labels and bookkeeping of one series.
const SERIES_BYTES: usize = 2_000;

/// One wide series beside its detectors, all in: 24 levels, verdict, labels, bookkeeping, its share of an answer and of
/// an outcome. With four labels, an envelope and a z-score the process grows by 1,500.
const WIDE_SERIES_BYTES: usize = 1_600;

/// The size class in force, see [`SignalSettings::size_class`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeClass {
    /// The whole history is kept: every model.
    Deep,
    /// Constant-size state per series, no forecasts.
    Wide,
}

impl SizeClass {
    /// As written in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deep => "deep",
            Self::Wide => "wide",
        }
    }
}

/// Seasons of a signal: the word `auto`, or a list of season lengths.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Seasonality {
    /// Found in the history (`auto`).
    #[default]
    Auto,
    /// These season lengths; an empty list for none.
    Given(Vec<Span>),
}

impl<'de> Deserialize<'de> for Seasonality {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SeasonalityVisitor)
    }
}

struct SeasonalityVisitor;

impl<'de> Visitor<'de> for SeasonalityVisitor {
    type Value = Seasonality;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`auto` or a list of season lengths such as [1d, 1w]")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Seasonality, E> {
        if word == "auto" {
            return Ok(Seasonality::Auto);
        }
        Err(E::invalid_value(de::Unexpected::Str(word), &self))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Seasonality, A::Error> {
        let mut spans = Vec::new();
        while let Some(span) = items.next_element()? {
            spans.push(span);
        }
        Ok(Seasonality::Given(spans))
    }
}

/// Values that can be; outside is anomalous, and predictions are clipped to it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueRange {
    /// The least possible value.
    #[serde(default)]
    pub min: Option<f64>,
    /// The greatest possible value.
    #[serde(default)]
    pub max: Option<f64>,
}

/// Size class of a signal, see `design.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Deep up to a number of series, wide above.
    #[default]
    Auto,
    /// The whole history is kept: every model.
    Deep,
    /// Constant-size state: up to a million series, no forecasts.
    Wide,
}

/// Which series are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Emit {
    /// Every series.
    #[default]
    All,
    /// Only series whose verdict is on.
    Anomalous,
}

/// Several signals of one entity, joined on labels.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PanelSettings {
    /// The value of the label `signal` of its scores.
    pub name: String,
    /// The signals side by side.
    pub signals: Vec<String>,
    /// Labels that name the entity.
    pub on: Vec<String>,
    /// Detectors over the joined channels.
    #[serde(default = "detect::defaults_of_panels")]
    pub detectors: Vec<detect::Settings>,
    /// How the detectors' scores become one.
    #[serde(default)]
    pub combine: detect::Combine,
    /// Alert hygiene.
    #[serde(default)]
    pub alerting: detect::AlertingSettings,
    /// Score thresholds of the severities.
    #[serde(default)]
    pub severity: detect::SeverityThresholds,
}
