//! From one outcome to the alerts that are on because of it. Pure: the same outcome gives the same alerts
//! on every replica, so that Alertmanager makes one of what all of them send.
//!
//! An alert *is* its label set: another severity in a label is another alert. All the same the severity is
//! a label, as routes and inhibitions choose by it, and it is the highest since the verdict began, which
//! only rises: the lower alert is resolved in the request that brings the higher one, at most three times
//! in a verdict. What may come and go (severity now, direction, value) is in annotations.

use crate::{
    engine::{Outcome, SeriesOutcome},
    expo::{Escaping, escape_label_name, names::published_label_name},
    series::{Labels, Millis},
};
use std::collections::BTreeMap;

/// The alert of one series or entity whose verdict is on.
pub const SERIES_ALERT: &str = "ForethoughtAnomaly";
/// The alert of a group of which too many series are anomalous.
pub const GROUP_ALERT: &str = "ForethoughtGroupAnomaly";
/// Of a group alert: as of the shipped rule on `anomaly_group_ratio`.
const GROUP_SEVERITY: &str = "critical";
/// Every section of this page is named after an alert.
const RUNBOOKS: &str = "docs/runbooks.md#";

/// What an alert is about. Its alert may change (another severity), the subject stays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Subject {
    /// The signal or panel.
    pub(super) unit: Box<str>,
    pub(super) kind: Kind,
    /// The labels of the source: of the series, or those that make the group.
    pub(super) labels: Labels,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Series,
    Group,
}

/// An alert that is on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Alert {
    pub(super) subject: Subject,
    /// What it is for Alertmanager.
    pub(super) labels: Labels,
    pub(super) annotations: BTreeMap<&'static str, String>,
    /// When the verdict began: grid time.
    pub(super) since: Millis,
}

/// What is the same for every alert that goes to one Alertmanager.
#[derive(Debug, Clone, Default)]
pub(super) struct Terms {
    /// Labels of every alert that has none of that name by itself.
    pub(super) external_labels: BTreeMap<String, String>,
    /// The share of a group that may be anomalous.
    pub(super) group_threshold: f64,
}

/// The alerts that are on at `outcome`; `is_panel` tells what its values mean.
pub(super) fn alerts(outcome: &Outcome, is_panel: bool, terms: &Terms) -> Vec<Alert> {
    let active = || outcome.series.iter().filter(|series| is_on(series));
    let mut found: Vec<Alert> = active()
        .filter_map(|series| terms.of_series(outcome, series, is_panel))
        .collect();
    let groups = counted(outcome);
    let over = groups.iter();
    found.extend(over.filter_map(|(group, counted)| terms.of_group(outcome, group, counted)));
    found
}

/// Whether `outcome` says anything about `subject`: of what was not judged, nothing is claimed.
pub(super) fn is_judged(outcome: &Outcome, subject: &Subject) -> bool {
    match subject.kind {
        Kind::Series => {
            let found = outcome
                .series
                .binary_search_by(|series| series.labels.cmp(&subject.labels));
            found.is_ok_and(|index| has_score(&outcome.series[index]))
        }
        // Those that are told of are not all that were judged.
        Kind::Group if outcome.sparse => {
            let mut judged = outcome.groups.iter().filter(|group| group.judged > 0);
            judged.any(|group| group.labels == subject.labels)
        }
        Kind::Group => outcome
            .series
            .iter()
            .any(|series| has_score(series) && is_in(series, &subject.labels, &outcome.group_by)),
    }
}

/// Without a score a series has no `anomaly_active` either.
fn has_score(series: &SeriesOutcome) -> bool {
    !series.score.is_nan()
}

fn is_on(series: &SeriesOutcome) -> bool {
    series.active && has_score(series)
}

fn is_in(series: &SeriesOutcome, group: &Labels, by: &[String]) -> bool {
    by.iter()
        .all(|name| series.labels.get(name) == group.get(name))
}

/// The judged series of a group.
#[derive(Default)]
struct Counted {
    all: usize,
    /// When the verdicts that are on began.
    since: Vec<Millis>,
}

/// The groups with a verdict that is on. Most of the time there is none: then nothing is counted.
fn counted(outcome: &Outcome) -> BTreeMap<Labels, Counted> {
    let group = |series: &SeriesOutcome| series.labels.only(&outcome.group_by);
    let on = outcome.series.iter().filter(|series| is_on(series));
    let mut groups: BTreeMap<Labels, Counted> = on
        .map(|series| (group(series), Counted::default()))
        .collect();
    // Of a group that is only partly here nobody knows how much of it is anomalous.
    if groups.is_empty() || outcome.torn_groups {
        return BTreeMap::new();
    }
    for series in outcome.series.iter().filter(|series| has_score(series)) {
        if let Some(counted) = groups.get_mut(&group(series)) {
            counted.all += 1;
            counted.since.extend(series.since.filter(|_| series.active));
        }
    }
    for group in outcome.groups.iter().filter(|_| outcome.sparse) {
        if let Some(counted) = groups.get_mut(&group.labels) {
            counted.all = group.judged;
        }
    }
    groups
}

impl Counted {
    /// Since when more than `threshold` of the group is anomalous, as far as those tell that still are:
    /// a function of one outcome, so that a replica that has just started says the same.
    fn since(&self, threshold: f64) -> Option<Millis> {
        let mut since = self.since.clone();
        since.sort_unstable();
        let over = |on: usize| on as f64 / self.all as f64 > threshold;
        let needed = (1..=since.len()).find(|&on| over(on))?;
        since.get(needed - 1).copied()
    }
}

impl Terms {
    fn of_series(
        &self,
        outcome: &Outcome,
        series: &SeriesOutcome,
        is_panel: bool,
    ) -> Option<Alert> {
        let shown = published(&series.labels);
        let mut annotations = annotations(
            SERIES_ALERT,
            "A series is not as it was expected to be.",
            describe(&outcome.unit, series, &shown, is_panel),
        );
        annotations.insert("direction", direction(series.direction).to_owned());
        annotations.insert("score", series.score.to_string());
        annotations.insert("severity_now", severity(series.severity).to_owned());
        if let Some(reason) = &series.reason {
            annotations.insert("reason", reason.sentence(series));
        }
        if !is_panel {
            annotations.insert("value", series.value.to_string());
            annotations.insert("expected", series.band.expected.to_string());
        }
        Some(Alert {
            since: series.since?,
            labels: self.labels(&outcome.unit, SERIES_ALERT, severity(series.worst), shown),
            subject: Subject {
                unit: (*outcome.unit).into(),
                kind: Kind::Series,
                labels: series.labels.clone(),
            },
            annotations,
        })
    }

    fn of_group(&self, outcome: &Outcome, group: &Labels, counted: &Counted) -> Option<Alert> {
        let shown = published(group);
        let (on, all) = (counted.since.len(), counted.all);
        let percent = 100.0 * on as f64 / all as f64;
        let of = if shown.is_empty() {
            String::new()
        } else {
            format!(" of {}", as_text(&shown))
        };
        let description = format!(
            "Of signal {}, {on} of {all} series{of} are anomalous ({percent:.0} %).{}",
            outcome.unit,
            farthest(outcome, group)
        );
        let summary = "Many series of a group are anomalous together.";
        Some(Alert {
            since: counted.since(self.group_threshold)?,
            labels: self.labels(&outcome.unit, GROUP_ALERT, GROUP_SEVERITY, shown),
            subject: Subject {
                unit: (*outcome.unit).into(),
                kind: Kind::Group,
                labels: group.clone(),
            },
            annotations: annotations(GROUP_ALERT, summary, description),
        })
    }

    /// Labels of the series as they are published, those that make the alert, and the external ones. Our
    /// own go before those of the series, and those before the external ones, as in Prometheus.
    fn labels(&self, unit: &str, alert: &str, severity: &str, of_series: Shown) -> Labels {
        let mut all: Shown = self
            .external_labels
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        all.extend(of_series);
        let own = [
            ("alertname", alert),
            ("severity", severity),
            ("signal", unit),
        ];
        for (name, value) in own {
            if let Some(of_source) = all.insert(name.to_owned(), value.to_owned()) {
                all.entry(format!("source_{name}")).or_insert(of_source);
            }
        }
        // Names are not empty, and a map has each once.
        Labels::new(all).unwrap_or_default()
    }
}

/// Labels as they are published.
type Shown = BTreeMap<String, String>;

/// Names as on `/metrics`, in the alphabet that every Alertmanager takes: one foreign name makes it refuse
/// an alert.
fn published(labels: &Labels) -> Shown {
    let name = |name: &str| {
        let published = published_label_name(name);
        escape_label_name(&published, Escaping::Underscores).into_owned()
    };
    labels
        .iter()
        .map(|(own, value)| (name(own), value.to_owned()))
        .collect()
}

/// The series of a group that are farthest off, with their scores; nothing where they are not known.
fn farthest(outcome: &Outcome, group: &Labels) -> String {
    let found = outcome.groups.iter().find(|one| one.labels == *group);
    let top = found.map_or(&[][..], |group| &group.top);
    if top.is_empty() {
        return String::new();
    }
    let shared: Vec<&str> = group.iter().map(|(name, _)| name).collect();
    let names = top.iter().map(|one| {
        let own = outcome.series[one.index].labels.without(&shared);
        format!("{} ({:.1})", as_text(&published(&own)), one.score)
    });
    format!(
        " Farthest off, with their scores: {}.",
        names.collect::<Vec<_>>().join(", ")
    )
}

fn as_text(labels: &Shown) -> String {
    let pairs = labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    Labels::new(pairs).unwrap_or_default().to_string()
}

fn annotations(alert: &str, summary: &str, description: String) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("summary", summary.to_owned()),
        ("description", description),
        ("runbook_url", format!("{RUNBOOKS}{}", alert.to_lowercase())),
    ])
}

fn describe(unit: &str, series: &SeriesOutcome, shown: &Shown, is_panel: bool) -> String {
    let (of, score) = (as_text(shown), series.score);
    if is_panel {
        return format!(
            "Panel {unit} is anomalous for {of}: its signals do not go together as usual; score {score:.1}, 1 is the threshold."
        );
    }
    let band = series.band;
    let side = match series.direction {
        1 => "above",
        -1 => "below",
        _ => "beside",
    };
    format!(
        "Signal {unit} of {of} is {}, {side} the expected {} ({} to {}); score {score:.1}, 1 is the threshold.",
        series.value, band.expected, band.lower, band.upper
    )
}

/// The word of a severity.
fn severity(number: u8) -> &'static str {
    match number {
        0 => "none",
        1 => "info",
        2 => "warning",
        3 => "critical",
        _ => "emergency",
    }
}

fn direction(sign: i8) -> &'static str {
    match sign {
        1 => "above",
        -1 => "below",
        _ => "none",
    }
}
