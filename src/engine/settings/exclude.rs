//! What a signal leaves out, and the calendars it may name.

use super::validate::{Problems, add};
use crate::series::{
    Calendar,
    calendar::{Interval, Moment},
};
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc};

/// A calendar ready for use.
#[derive(Debug, Clone)]
pub struct NamedCalendar {
    /// Its spans.
    pub calendar: Arc<Calendar>,
    /// A hash of all that it was made of: another content is another calendar.
    pub revision: u64,
}

/// The calendars of a configuration by name.
pub type Calendars = BTreeMap<String, NamedCalendar>;

/// The calendar called `name`.
///
/// # Errors
/// There is none.
pub fn calendar_of(calendars: &Calendars, name: &str) -> Result<Arc<Calendar>, String> {
    let known = calendars.get(name).map(|named| &named.calendar);
    let known = known.ok_or_else(|| format!("there is no calendar {name:?}"))?;
    Ok(Arc::clone(known))
}

/// One span or calendar that is left out.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExcludeSettings {
    /// Name of a calendar.
    #[serde(default)]
    pub calendar: Option<String>,
    /// First time of a fixed span.
    #[serde(default)]
    from: Option<Moment>,
    /// First time after it.
    #[serde(default)]
    to: Option<Moment>,
    /// What it is left out of; of everything where this is.
    #[serde(default, rename = "for")]
    purposes: Option<Vec<Purpose>>,
}

/// What values are left out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Baselines, detectors and forecasters see them as missing.
    Training,
    /// They have no score.
    Scoring,
}

impl ExcludeSettings {
    /// The fixed span, where there is one.
    pub fn span(&self) -> Option<Interval> {
        let (from, to) = (self.from?.0, self.to?.0);
        Some(Interval { from, to })
    }

    /// What it is left out of.
    pub fn purposes(&self) -> &[Purpose] {
        let everything = &[Purpose::Training, Purpose::Scoring];
        self.purposes.as_deref().unwrap_or(everything)
    }

    pub(super) fn check(&self, path: &str, found: &mut Problems) {
        let (from, to) = (self.from.is_some(), self.to.is_some());
        if self.calendar.is_some() == (from || to) || from != to {
            let text = "give either calendar, or from and to";
            add(found, path, text);
        }
        if self.span().is_some_and(|span| span.from >= span.to) {
            add(found, &format!("{path}.to"), "is not after from");
        }
        if self.purposes.as_ref().is_some_and(Vec::is_empty) {
            let text = "an empty list; allowed: scoring, training";
            add(found, &format!("{path}.for"), text);
        }
    }
}
