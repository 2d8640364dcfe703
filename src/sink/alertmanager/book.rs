//! What one Alertmanager was told, and what it is to be told next. Pure: time is a parameter.
//!
//! | what the newest outcome says | what is sent |
//! |---|---|
//! | on | at once, and every `resend`: it ends by itself four of those later, should nothing follow |
//! | no longer on | that it ended, at once and every `resend` until it would have run out anyway |
//! | nothing: the outcome is too old, the series was not judged | nothing: it runs out by itself |

use super::alerts::{self, Alert, Subject, Terms};
use crate::{
    engine::Outcome,
    series::{Labels, Millis},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// An alert runs out so many `resend` after it was last sent, as Prometheus has it: three may be lost.
const LASTS: Millis = 4;

/// What is known of one unit now.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) outcome: Arc<Outcome>,
    pub(super) is_panel: bool,
}

/// The subject first: the alerts of one (an old severity, a new one) are neighbours and go together.
pub(super) type Key = (Subject, Labels);

/// What one Alertmanager was told, and what it is to be told next.
#[derive(Debug)]
pub(super) struct Book {
    terms: Terms,
    resend: Millis,
    entries: BTreeMap<Key, Entry>,
}

#[derive(Debug)]
struct Entry {
    annotations: BTreeMap<&'static str, String>,
    since: Millis,
    /// When it ended, where an outcome said so.
    ended: Option<Millis>,
    /// Whether the outcomes of now say that it is on.
    on: bool,
    /// When it is to be sent next.
    due: Millis,
    /// Until when Alertmanager holds it to be on without hearing more; `None`: it was never sent.
    until: Option<Millis>,
}

/// One alert to be sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Notice {
    pub(super) key: Key,
    pub(super) annotations: BTreeMap<&'static str, String>,
    pub(super) starts_at: Millis,
    /// In the future: on until then. In the past: ended.
    pub(super) ends_at: Millis,
}

// === impl Book ===

impl Book {
    pub(super) fn new(terms: Terms, resend: Millis) -> Self {
        Self {
            terms,
            resend,
            entries: BTreeMap::new(),
        }
    }

    /// Takes in what is known at `now`, and gives what is to be sent: what began or ended first of all,
    /// and what was not repeated for `resend`.
    pub(super) fn look(&mut self, readings: &[Reading], now: Millis) -> Vec<Notice> {
        for entry in self.entries.values_mut() {
            entry.on = false;
        }
        for reading in readings {
            self.take_in(reading, now);
        }
        self.entries.retain(|_, entry| entry.is_worth_keeping(now));
        let lasting = now + LASTS * self.resend;
        let due = self.entries.iter().filter(|(_, entry)| entry.is_due(now));
        due.map(|(key, entry)| Notice {
            key: key.clone(),
            annotations: entry.annotations.clone(),
            starts_at: entry.since,
            ends_at: entry.ended.unwrap_or(lasting),
        })
        .collect()
    }

    /// Whether something is to be sent at `now` although nothing new happened.
    pub(super) fn is_due(&self, now: Millis) -> bool {
        self.entries.values().any(|entry| entry.is_due(now))
    }

    /// `notices` are on their way. They may arrive even where that is never heard of.
    pub(super) fn sent(&mut self, notices: &[Notice]) {
        for notice in notices {
            if let Some(entry) = self.entries.get_mut(&notice.key)
                && entry.ended.is_none()
            {
                entry.until = Some(notice.ends_at);
            }
        }
    }

    /// Alertmanager has had its say about `notices`: nothing more of them for a while.
    pub(super) fn answered(&mut self, notices: &[Notice], now: Millis) {
        for notice in notices {
            if let Some(entry) = self.entries.get_mut(&notice.key) {
                entry.due = now + self.resend;
            }
        }
    }

    fn take_in(&mut self, reading: &Reading, now: Millis) {
        let outcome = &*reading.outcome;
        let mut on = BTreeSet::new();
        for alert in alerts::alerts(outcome, reading.is_panel, &self.terms) {
            on.insert(self.begin_or_go_on(alert, now));
        }
        let of_unit = |subject: &Subject| *subject.unit == *outcome.unit;
        let others = self
            .entries
            .iter_mut()
            .filter(|(key, entry)| of_unit(&key.0) && entry.ended.is_none() && !on.contains(*key));
        for ((subject, _), entry) in others {
            if alerts::is_judged(outcome, subject) {
                entry.ended = Some(outcome.at.max(entry.since));
                entry.due = now;
            }
        }
    }

    fn begin_or_go_on(&mut self, alert: Alert, now: Millis) -> Key {
        let key = (alert.subject, alert.labels);
        let entry = self.entries.entry(key.clone()).or_insert_with(|| Entry {
            annotations: BTreeMap::new(),
            since: alert.since,
            ended: None,
            on: true,
            due: now,
            until: None,
        });
        if entry.ended.take().is_some() {
            entry.due = now;
        }
        entry.on = true;
        entry.since = alert.since;
        entry.annotations = alert.annotations;
        key
    }
}

impl Entry {
    fn is_due(&self, now: Millis) -> bool {
        (self.on || self.ended.is_some()) && self.due <= now
    }

    /// What is on is kept. Else it is of use while Alertmanager may hold it to be on: to say that it ended,
    /// or to recognise it should it be judged again.
    fn is_worth_keeping(&self, now: Millis) -> bool {
        self.on || self.until.is_some_and(|until| now < until)
    }
}
