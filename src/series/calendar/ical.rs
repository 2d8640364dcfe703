//! iCalendar (RFC 5545): the events of a file, as far as they say when.
//!
//! Zones are looked up by their name (`TZID`), `VTIMEZONE` is not read. Recurrence by `RRULE` (by days,
//! weeks, months or years), `RDATE`, `EXDATE`; a changed instance (`RECURRENCE-ID`) replaces the one it
//! changes. Cancelled events do not take place; those without a length cover nothing.

mod rule;
mod values;

use super::{
    Calendar, Interval, Rule, merged,
    recurrence::{Length, Recurrence},
};
use crate::series::Zone;
use std::collections::BTreeMap;
use values::When;

/// Longer files are refused: thousands of events fit into it.
pub(super) const MAX_BYTES: usize = 1 << 20;
const MOST_EVENTS: usize = 5_000;
/// Each is asked of every day.
const MOST_RECURRING: usize = 500;
/// A recurring event that takes longer is asked of as many days.
const MOST_DAYS: i64 = 31;
/// More problems than this help nobody.
const MOST_PROBLEMS: usize = 20;

/// What is wrong, each with its line, from 1.
pub(super) type Problems = Vec<(usize, String)>;

/// One property: `NAME;PARAMETER=value:text`.
#[derive(Debug)]
pub(super) struct Property {
    line: usize,
    name: String,
    parameters: Vec<(String, String)>,
    text: String,
}

impl Property {
    fn parameter(&self, name: &str) -> Option<&str> {
        let own = self.parameters.iter().find(|(known, _)| known == name);
        own.map(|(_, value)| value.as_str())
    }

    fn problem(&self, text: impl std::fmt::Display) -> (usize, String) {
        (self.line, format!("{}: {text}", self.name))
    }
}

/// One event as written.
#[derive(Debug, Default)]
struct Event {
    line: usize,
    properties: Vec<Property>,
}

impl Event {
    fn get<'e>(&'e self, name: &'e str) -> Option<&'e Property> {
        self.all(name).next()
    }

    fn all<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Property> {
        self.properties.iter().filter(move |own| own.name == name)
    }
}

/// Reads a file; `zone` is that of times without one.
pub(super) fn read(content: &[u8], zone: &Zone) -> Result<Calendar, Problems> {
    if content.len() > MAX_BYTES {
        let size = content.len();
        let text = format!("the file has {size} bytes; at most {MAX_BYTES} are allowed");
        return Err(vec![(1, text)]);
    }
    let Ok(text) = std::str::from_utf8(content) else {
        return Err(vec![(1, "the file is not UTF-8 text".to_owned())]);
    };
    let mut reader = Reader {
        zone,
        fixed: Vec::new(),
        recurring: Vec::new(),
        changed: BTreeMap::new(),
        problems: Vec::new(),
    };
    for event in events(text, &mut reader.problems) {
        if let Err(problem) = reader.take(&event) {
            reader.problems.push(problem);
        }
    }
    reader.finish()
}

struct Reader<'z> {
    zone: &'z Zone,
    fixed: Vec<Interval>,
    /// With their identifiers.
    recurring: Vec<(String, Recurrence)>,
    /// Instances that another event replaces, by identifier.
    changed: BTreeMap<String, Vec<When>>,
    problems: Problems,
}

impl Reader<'_> {
    fn take(&mut self, event: &Event) -> Result<(), (usize, String)> {
        let id = event.get("UID").map_or("", |own| &own.text);
        if let Some(instance) = event.get("RECURRENCE-ID") {
            if instance.parameter("RANGE").is_some() {
                return Err(instance.problem("RANGE is not supported"));
            }
            let when = values::when(instance, &instance.text, self.zone)?;
            self.changed.entry(id.to_owned()).or_default().push(when);
        }
        let status = event.get("STATUS").map_or("", |own| &own.text);
        if status.eq_ignore_ascii_case("CANCELLED") {
            return Ok(());
        }
        let Some(begin) = event.get("DTSTART") else {
            return Err((event.line, "the event has no DTSTART".to_owned()));
        };
        let start = values::when(begin, &begin.text, self.zone)?;
        let length = length(event, &start, self.zone)?;
        for more in event.all("RDATE") {
            for when in values::list(more, self.zone)? {
                self.fixed.extend(length.from(when.local, &when.zone));
            }
        }
        let Some(own) = event.get("RRULE") else {
            self.fixed.extend(length.from(start.local, &start.zone));
            return Ok(());
        };
        let (pattern, end) = rule::read(own, &start)?;
        if length.most_days() > MOST_DAYS {
            return Err(own.problem("an event that recurs may take at most 30 days"));
        }
        if self.recurring.len() >= MOST_RECURRING {
            return Err(own.problem(format!("at most {MOST_RECURRING} events may recur")));
        }
        let mut made = Recurrence::new(start.local, length, pattern, start.zone, end);
        for except in event.all("EXDATE") {
            for when in values::list(except, self.zone)? {
                leave_out(&mut made, &when);
            }
        }
        self.recurring.push((id.to_owned(), made));
        Ok(())
    }

    fn finish(mut self) -> Result<Calendar, Problems> {
        if !self.problems.is_empty() {
            self.problems.sort();
            self.problems.truncate(MOST_PROBLEMS);
            return Err(self.problems);
        }
        let changed = &self.changed;
        let rules = self.recurring.into_iter().map(|(id, mut recurrence)| {
            for when in changed.get(&id).into_iter().flatten() {
                leave_out(&mut recurrence, when);
            }
            Rule::Recurring(Box::new(recurrence))
        });
        Ok(Calendar {
            rules: rules.collect(),
            fixed: merged(self.fixed),
        })
    }
}

fn leave_out(recurrence: &mut Recurrence, when: &When) {
    if when.whole_day {
        recurrence.except_days.insert(when.local.date());
    } else {
        recurrence.except.extend(when.zone.first(when.local));
    }
}

/// From `DTEND` or `DURATION`; without both a day for whole days, else nothing.
fn length(event: &Event, start: &When, zone: &Zone) -> Result<Length, (usize, String)> {
    if let Some(own) = event.get("DURATION") {
        return values::duration(own);
    }
    let Some(own) = event.get("DTEND") else {
        return Ok(Length {
            days: i64::from(start.whole_day),
            millis: 0,
        });
    };
    let end = values::when(own, &own.text, zone)?;
    if end.whole_day != start.whole_day {
        return Err(own.problem("must be a date where DTSTART is one, and a time where it is one"));
    }
    let early = || own.problem("is before DTSTART");
    if start.whole_day {
        let days = start.local.date().until(end.local.date());
        let days = days.map_or(-1, |span| i64::from(span.get_days()));
        let days = if days < 0 { Err(early()) } else { Ok(days) };
        return days.map(|days| Length { days, millis: 0 });
    }
    let (Some(from), Some(to)) = (start.zone.first(start.local), end.zone.first(end.local)) else {
        return Err(own.problem("is out of range"));
    };
    if to < from {
        return Err(early());
    }
    Ok(Length {
        days: 0,
        millis: to - from,
    })
}

/// The events of a file, each with its own properties; those of what is nested in it are left out.
fn events(text: &str, problems: &mut Problems) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let mut open: Vec<(String, usize)> = Vec::new();
    for (line, content) in unfold(text) {
        let property = match property(line, &content) {
            Ok(property) => property,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        if open.is_empty() && !is(&property, "BEGIN", "VCALENDAR") {
            let text = "not an iCal file: it must begin with BEGIN:VCALENDAR";
            problems.push((line, text.to_owned()));
            return Vec::new();
        }
        match property.name.as_str() {
            "BEGIN" => {
                if open.len() == 1 && is(&property, "BEGIN", "VEVENT") {
                    if events.len() >= MOST_EVENTS {
                        let text = format!("the file has more than {MOST_EVENTS} events");
                        problems.push((line, text));
                        return Vec::new();
                    }
                    events.push(Event {
                        line,
                        ..Event::default()
                    });
                }
                open.push((property.text.to_ascii_uppercase(), line));
            }
            "END" => {
                let last = open.pop().map(|(name, _)| name).unwrap_or_default();
                if !property.text.eq_ignore_ascii_case(&last) {
                    let text = format!("END:{} where END:{last} was expected", property.text);
                    problems.push((line, text));
                    return Vec::new();
                }
            }
            _ if open.len() == 2 && open[1].0 == "VEVENT" => {
                if let Some(event) = events.last_mut() {
                    event.properties.push(property);
                }
            }
            _ => {}
        }
    }
    if let Some((name, line)) = open.last() {
        problems.push((*line, format!("BEGIN:{name} has no END:{name}")));
    } else if text.trim().is_empty() {
        let text = "the file is empty; an iCal file begins with BEGIN:VCALENDAR";
        problems.push((1, text.to_owned()));
    }
    events
}

fn is(property: &Property, name: &str, text: &str) -> bool {
    property.name == name && property.text.eq_ignore_ascii_case(text)
}

/// Lines with their continuations (those that begin with a space or a tab), and where they begin.
fn unfold(text: &str) -> Vec<(usize, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let continued = line.strip_prefix([' ', '\t']);
        match (continued, lines.last_mut()) {
            (Some(rest), Some((_, whole))) => whole.push_str(rest),
            _ if line.trim().is_empty() => {}
            _ => lines.push((index + 1, line.to_owned())),
        }
    }
    lines
}

/// Takes a line apart; colons and semicolons between quotes are part of a value.
fn property(line: usize, content: &str) -> Result<Property, (usize, String)> {
    let (mut quoted, mut parts, mut part) = (false, Vec::new(), String::new());
    let mut rest = content.chars();
    let mut complete = false;
    for letter in rest.by_ref() {
        match letter {
            '"' => quoted = !quoted,
            ';' if !quoted => parts.push(std::mem::take(&mut part)),
            ':' if !quoted => {
                complete = true;
                break;
            }
            _ => part.push(letter),
        }
    }
    if !complete {
        return Err((
            line,
            "not a line of an iCal file: it has no colon".to_owned(),
        ));
    }
    parts.push(part);
    let mut parts = parts.into_iter();
    let name = parts.next().unwrap_or_default().to_ascii_uppercase();
    let pair = |part: String| {
        let (name, value) = part.split_once('=')?;
        Some((name.to_ascii_uppercase(), value.to_owned()))
    };
    Ok(Property {
        line,
        name,
        parameters: parts.filter_map(pair).collect(),
        text: rest.as_str().trim_end().to_owned(),
    })
}

#[cfg(test)]
mod tests;
