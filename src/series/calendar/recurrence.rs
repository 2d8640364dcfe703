//! Recurring events of iCalendar: RFC 5545, section 3.3.10, for events that recur by days, weeks, months
//! or years.
//!
//! Whether an event begins on a day follows from the day alone, so nothing is enumerated from the start;
//! only `COUNT` is, once, when the rule is read.

use super::{Interval, Millis, Zone, interval, monday_is_zero};
use jiff::{
    Span as CivilSpan,
    civil::{Date, DateTime, Weekday},
};
use std::collections::BTreeSet;

/// Days in which the end of `COUNT` is looked for: a century.
const MOST_DAYS: usize = 36_525;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frequency {
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// The value of an `RRULE`, without `COUNT` and `UNTIL`.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    pub(super) frequency: Frequency,
    pub(super) interval: i64,
    pub(super) months: Vec<i8>,
    /// From the end of the month where negative.
    pub(super) month_days: Vec<i8>,
    /// With which of them in the month or year, from the end where negative; 0 for all.
    pub(super) weekdays: Vec<(i16, Weekday)>,
    /// Which of the days of a period, from the end where negative.
    pub(super) positions: Vec<i16>,
    pub(super) week_start: Weekday,
}

/// How long an event takes: civil days, then milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Length {
    pub(super) days: i64,
    pub(super) millis: Millis,
}

/// Where a recurrence ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Never,
    /// The last that begins at or before this time.
    At(Millis),
    /// The last that begins on or before this local day.
    On(Date),
    /// So many in all, the first included.
    After(usize),
}

/// An event that recurs.
#[derive(Debug, Clone)]
pub(super) struct Recurrence {
    pub(super) start: DateTime,
    pub(super) length: Length,
    pub(super) pattern: Pattern,
    pub(super) zone: Zone,
    end: End,
    /// Times and whole local days at which it does not take place.
    pub(super) except: BTreeSet<Millis>,
    pub(super) except_days: BTreeSet<Date>,
}

impl Length {
    /// The event that begins at wall clock time `start`.
    pub(super) fn from(self, start: DateTime, zone: &Zone) -> Option<Interval> {
        let from = zone.first(start)?;
        let to = match self.days {
            0 => from,
            days => zone.first(start.checked_add(CivilSpan::new().days(days)).ok()?)?,
        };
        interval(from, to.checked_add(self.millis)?)
    }

    /// Days it takes at most.
    pub(super) fn most_days(self) -> i64 {
        self.days + self.millis / 86_400_000 + 1
    }
}

impl Recurrence {
    pub(super) fn new(
        start: DateTime,
        length: Length,
        pattern: Pattern,
        zone: Zone,
        end: End,
    ) -> Self {
        let mut made = Self {
            start,
            length,
            pattern,
            zone,
            end,
            except: BTreeSet::new(),
            except_days: BTreeSet::new(),
        };
        if let End::After(count) = end {
            made.end = made.last_of(count).map_or(End::Never, End::On);
        }
        made
    }

    /// The day of the last of `count` events; exceptions count, RFC 5545 takes them out afterwards.
    fn last_of(&self, count: usize) -> Option<Date> {
        let days = self.start.date().series(CivilSpan::new().days(1));
        let mut days = days.take(MOST_DAYS).filter(|date| self.recurs(*date));
        days.nth(count.checked_sub(1)?)
    }

    pub(super) fn longest(&self) -> i64 {
        self.length.most_days()
    }

    pub(super) fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The event that begins on `date`.
    pub(super) fn on(&self, date: Date) -> Option<Interval> {
        if date < self.start.date() || self.except_days.contains(&date) {
            return None;
        }
        if matches!(self.end, End::On(last) if date > last) || !self.recurs(date) {
            return None;
        }
        let start = DateTime::from_parts(date, self.start.time());
        let found = self.length.from(start, &self.zone)?;
        let over = matches!(self.end, End::At(last) if found.from > last);
        (!over && !self.except.contains(&found.from)).then_some(found)
    }

    /// The first event takes place whether or not the pattern has its day.
    fn recurs(&self, date: Date) -> bool {
        date == self.start.date() || self.pattern.has(date, self.start.date())
    }
}

impl Pattern {
    fn has(&self, date: Date, start: Date) -> bool {
        if !self.in_period(date, start) || !self.has_day(date, start) {
            return false;
        }
        if self.positions.is_empty() {
            return true;
        }
        let days = self.period(date).filter(|day| self.has_day(*day, start));
        let days: Vec<Date> = days.collect();
        let picked = |&position: &i16| pick(&days, position) == Some(date);
        self.positions.iter().any(picked)
    }

    /// Whether the period around `date` is one of every `interval`.
    fn in_period(&self, date: Date, start: Date) -> bool {
        let months = |date: Date| i64::from(date.year()) * 12 + i64::from(date.month());
        let passed = match self.frequency {
            Frequency::Daily => days_between(start, date),
            Frequency::Weekly => days_between(self.week(start), self.week(date)) / 7,
            Frequency::Monthly => months(date) - months(start),
            Frequency::Yearly => i64::from(date.year()) - i64::from(start.year()),
        };
        passed % self.interval == 0
    }

    /// First day of the week of `date`.
    fn week(&self, date: Date) -> Date {
        let days = self.week_start.until(date.weekday());
        date.checked_sub(CivilSpan::new().days(days))
            .unwrap_or(date)
    }

    /// The days of the week, month or year of `date`.
    fn period(&self, date: Date) -> impl Iterator<Item = Date> {
        let (first, count) = match self.frequency {
            Frequency::Daily => (date, 1),
            Frequency::Weekly => (self.week(date), 7),
            Frequency::Monthly => (date.first_of_month(), i64::from(date.days_in_month())),
            Frequency::Yearly => (date.first_of_year(), i64::from(date.days_in_year())),
        };
        let count = usize::try_from(count).unwrap_or(0);
        first.series(CivilSpan::new().days(1)).take(count)
    }

    fn has_day(&self, date: Date, start: Date) -> bool {
        let month = self.months.is_empty() || self.months.contains(&date.month());
        month && self.has_month_day(date, start) && self.has_weekday(date, start)
    }

    fn has_month_day(&self, date: Date, start: Date) -> bool {
        if !self.month_days.is_empty() {
            let from_end = date.day() - date.days_in_month() - 1;
            return self.month_days.contains(&date.day()) || self.month_days.contains(&from_end);
        }
        if !self.weekdays.is_empty() {
            return true;
        }
        match self.frequency {
            Frequency::Daily | Frequency::Weekly => true,
            Frequency::Monthly => date.day() == start.day(),
            Frequency::Yearly => {
                let month = !self.months.is_empty() || date.month() == start.month();
                month && date.day() == start.day()
            }
        }
    }

    fn has_weekday(&self, date: Date, start: Date) -> bool {
        if self.weekdays.is_empty() {
            return self.frequency != Frequency::Weekly || date.weekday() == start.weekday();
        }
        let own = self.weekdays.iter();
        let mut own = own.filter(|(_, weekday)| *weekday == date.weekday());
        own.any(|(nth, _)| *nth == 0 || self.nth(date).contains(nth))
    }

    /// Which of its weekday `date` is in its month or year, from the start and from the end.
    fn nth(&self, date: Date) -> [i16; 2] {
        let of_year = self.frequency == Frequency::Yearly && self.months.is_empty();
        let (day, days) = if of_year {
            (date.day_of_year(), date.days_in_year())
        } else {
            (i16::from(date.day()), i16::from(date.days_in_month()))
        };
        [(day - 1) / 7 + 1, -((days - day) / 7 + 1)]
    }
}

fn days_between(from: Date, to: Date) -> i64 {
    from.until(to).map_or(0, |span| i64::from(span.get_days()))
}

/// The day at `position`, 1 for the first, -1 for the last.
fn pick(days: &[Date], position: i16) -> Option<Date> {
    let index = match position {
        1.. => usize::try_from(position - 1).ok()?,
        _ => days
            .len()
            .checked_sub(usize::from(position.unsigned_abs()))?,
    };
    days.get(index).copied()
}

/// The weekday of its two letters.
pub(super) fn weekday(letters: &str) -> Option<Weekday> {
    let index = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
        .iter()
        .position(|known| *known == letters)?;
    Weekday::from_monday_zero_offset(i8::try_from(index).ok()?).ok()
}

/// Whether a list has this weekday, Monday first.
pub(super) fn days_of(weekdays: &[Weekday]) -> [bool; 7] {
    let mut days = [weekdays.is_empty(); 7];
    for weekday in weekdays {
        days[monday_is_zero(*weekday)] = true;
    }
    days
}
