//! Calendars: spans of time that are excluded from learning or from judging.
//!
//! A calendar is a pure function of time, so every replica and every restart agree on it. Spans are
//! half-open: their end is outside. Wall clock times that a change of the clock leaves out are those
//! after the gap; of times that come twice a span begins with the first and ends with the last.

mod holidays;
mod ical;
mod recurrence;
mod settings;

pub use holidays::{COUNTRIES, Country};
pub use settings::{CalendarSettings, DailySettings, Moment, Problems};

use super::{grid::Millis, zone::Zone};
use jiff::{
    Span as CivilSpan,
    civil::{Date, DateTime, Weekday},
};
use recurrence::Recurrence;

const DAY: Millis = 86_400_000;

/// How far ahead [`Calendar::next`] looks: five years, since February 29 comes every four.
const HORIZON: Millis = 5 * 366 * DAY;

/// A span of time, milliseconds since the Unix epoch; `to` is outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval {
    /// First time inside.
    pub from: Millis,
    /// First time after it.
    pub to: Millis,
}

/// Spans of time, given one by one and by rules.
#[derive(Debug, Clone, Default)]
pub struct Calendar {
    /// Sorted, apart from each other.
    fixed: Vec<Interval>,
    rules: Vec<Rule>,
}

/// At most one span begins on each local day.
#[derive(Debug, Clone)]
enum Rule {
    Daily(Daily),
    Holidays(&'static Country, Zone),
    Recurring(Box<Recurrence>),
}

/// Spans between two wall clock times, on some days of the week.
#[derive(Debug, Clone)]
struct Daily {
    /// Minutes since midnight; `to` at or before `from` is on the next day.
    from: i64,
    to: i64,
    /// The days on which they begin, Monday first.
    days: [bool; 7],
    zone: Zone,
}

impl Calendar {
    /// A calendar of one span.
    pub fn fixed(interval: Interval) -> Self {
        Self::from_intervals(vec![interval])
    }

    /// A calendar of these spans.
    pub fn from_intervals(intervals: Vec<Interval>) -> Self {
        Self {
            fixed: merged(intervals),
            rules: Vec::new(),
        }
    }

    /// Whether `at` is inside one of its spans.
    pub fn contains(&self, at: Millis) -> bool {
        !self.touching(at, at.saturating_add(1)).is_empty()
    }

    /// The spans that have a time in common with `from..to`, whole, sorted and joined where they touch.
    pub fn touching(&self, from: Millis, to: Millis) -> Vec<Interval> {
        let first = self.fixed.partition_point(|interval| interval.to <= from);
        let fixed = self.fixed.iter().skip(first);
        let mut found: Vec<Interval> = fixed
            .take_while(|interval| interval.from < to)
            .copied()
            .collect();
        for rule in &self.rules {
            rule.touching(from, to, &mut found);
        }
        merged(found)
    }

    /// The next `count` spans that end after `at`, of the next five years.
    pub fn next(&self, at: Millis, count: usize) -> Vec<Interval> {
        let mut found = Vec::new();
        let mut from = at;
        // One more than asked for: only then is the last one known to its end.
        while found.len() <= count && from < at.saturating_add(HORIZON) {
            let to = from.saturating_add(31 * DAY);
            found.extend(self.touching(from, to));
            found = merged(found);
            from = to;
        }
        found.truncate(count);
        found
    }
}

impl Rule {
    fn touching(&self, from: Millis, to: Millis, found: &mut Vec<Interval>) {
        let zone = self.zone();
        let (Some(first), Some(last)) = (zone.date(from), zone.date(to)) else {
            return;
        };
        // A day more on both sides for clocks that are set.
        let back = CivilSpan::new().days(self.longest() + 1);
        let mut date = first.checked_sub(back).unwrap_or(Date::MIN);
        while date <= last {
            let interval = self.on(date);
            found.extend(interval.filter(|one| one.from < to && one.to > from));
            let Ok(next) = date.tomorrow() else { return };
            date = next;
        }
    }

    /// Days that its longest span takes at most.
    fn longest(&self) -> i64 {
        match self {
            Self::Daily(_) | Self::Holidays(..) => 2,
            Self::Recurring(recurrence) => recurrence.longest(),
        }
    }

    fn zone(&self) -> &Zone {
        match self {
            Self::Daily(daily) => &daily.zone,
            Self::Holidays(_, zone) => zone,
            Self::Recurring(recurrence) => recurrence.zone(),
        }
    }

    /// The span that begins on this local day.
    fn on(&self, date: Date) -> Option<Interval> {
        match self {
            Self::Daily(daily) => daily.on(date),
            Self::Holidays(country, zone) => {
                let holiday = country.is_holiday(date);
                holiday.then(|| whole_days(zone, date, 1)).flatten()
            }
            Self::Recurring(recurrence) => recurrence.on(date),
        }
    }
}

impl Daily {
    fn on(&self, date: Date) -> Option<Interval> {
        if !self.days[monday_is_zero(date.weekday())] {
            return None;
        }
        let midnight = DateTime::from_parts(date, jiff::civil::Time::midnight());
        let next = if self.to <= self.from { 24 * 60 } else { 0 };
        let clock = |minutes: i64| midnight.checked_add(CivilSpan::new().minutes(minutes)).ok();
        interval(
            self.zone.first(clock(self.from)?)?,
            self.zone.last(clock(self.to + next)?)?,
        )
    }
}

/// `days` whole local days from `date` on.
fn whole_days(zone: &Zone, date: Date, days: i64) -> Option<Interval> {
    let end = date.checked_add(CivilSpan::new().days(days)).ok()?;
    let midnight = |date| DateTime::from_parts(date, jiff::civil::Time::midnight());
    interval(zone.first(midnight(date))?, zone.first(midnight(end))?)
}

fn interval(from: Millis, to: Millis) -> Option<Interval> {
    (from < to).then_some(Interval { from, to })
}

fn monday_is_zero(weekday: Weekday) -> usize {
    usize::try_from(weekday.to_monday_zero_offset()).unwrap_or(0)
}

/// Sorted, joined where they overlap or touch, without empty ones.
pub fn merged(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.retain(|one| one.from < one.to);
    intervals.sort_unstable();
    intervals.dedup_by(|next, kept| {
        let joins = next.from <= kept.to;
        if joins {
            kept.to = kept.to.max(next.to);
        }
        joins
    });
    intervals
}

#[cfg(test)]
mod tests;
