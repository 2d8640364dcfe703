//! Spans of calendars across changes of the clock and years.

use super::*;

fn at(text: &str) -> Millis {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

fn calendar(text: &str) -> Calendar {
    let settings: CalendarSettings = serde_yaml::from_str(&format!("{{name: x, {text}}}")).unwrap();
    assert_eq!(settings.validate(), []);
    settings.build(b"").unwrap()
}

/// The next spans, as UTC.
fn next(calendar: &Calendar, from: &str, count: usize) -> Vec<String> {
    let show = |at: Millis| jiff::Timestamp::from_millisecond(at).unwrap().to_string();
    let shown = |one: &Interval| format!("{} {}", show(one.from), show(one.to));
    calendar.next(at(from), count).iter().map(shown).collect()
}

#[test]
fn a_span_begins_inside_and_ends_outside() {
    let fixed = Calendar::fixed(Interval { from: 10, to: 20 });
    let inside: Vec<bool> = [9, 10, 19, 20].map(|at| fixed.contains(at)).to_vec();
    assert_eq!(inside, [false, true, true, false]);
    assert_eq!(fixed.touching(20, 30), []);
    assert!(!Calendar::fixed(Interval { from: 5, to: 5 }).contains(5));
}

#[test]
fn a_night_is_an_hour_shorter_in_spring_and_longer_in_autumn() {
    let night = calendar("daily: {from: '22:00', to: '06:00', timezone: Europe/Berlin}");
    assert_eq!(
        next(&night, "2026-03-28T12:00:00Z", 2),
        [
            "2026-03-28T21:00:00Z 2026-03-29T04:00:00Z",
            "2026-03-29T20:00:00Z 2026-03-30T04:00:00Z"
        ]
    );
    assert_eq!(
        next(&night, "2026-10-24T12:00:00Z", 1),
        ["2026-10-24T20:00:00Z 2026-10-25T05:00:00Z"]
    );
}

#[test]
fn times_that_come_twice_are_covered_twice_and_those_left_out_move_on() {
    let hour = calendar("daily: {from: '02:00', to: '02:30', timezone: Europe/Berlin}");
    // 02:00 to 03:00 comes first in summer time, then in winter time.
    assert_eq!(
        next(&hour, "2026-10-25T00:00:00Z", 1),
        ["2026-10-25T00:00:00Z 2026-10-25T01:30:00Z"]
    );
    // The clock goes from 02:00 to 03:00.
    assert_eq!(
        next(&hour, "2026-03-29T00:00:00Z", 1),
        ["2026-03-29T01:00:00Z 2026-03-29T01:30:00Z"]
    );
}

#[test]
fn days_are_those_on_which_a_span_begins_and_neighbours_join() {
    let weekend = calendar("daily: {from: '00:00', to: '24:00', days: [sat, sun]}");
    assert_eq!(
        next(&weekend, "2026-12-30T00:00:00Z", 2),
        [
            "2027-01-02T00:00:00Z 2027-01-04T00:00:00Z",
            "2027-01-09T00:00:00Z 2027-01-11T00:00:00Z"
        ]
    );
    let new_year = calendar("daily: {from: '23:00', to: '01:00', days: [thu]}");
    assert!(
        new_year.contains(at("2027-01-01T00:59:59Z")),
        "began on Thursday, 2026"
    );
    assert!(!new_year.contains(at("2027-01-01T23:30:00Z")));
}

#[test]
fn holidays_are_whole_local_days() {
    let german = calendar("country: DE");
    assert_eq!(
        next(&german, "2026-12-01T00:00:00Z", 2),
        [
            "2026-12-24T23:00:00Z 2026-12-26T23:00:00Z",
            "2026-12-31T23:00:00Z 2027-01-01T23:00:00Z"
        ]
    );
    assert!(calendar("country: NO").contains(at("2026-05-17T10:00:00Z")));
    let utc = calendar("country: de, timezone: UTC");
    assert!(utc.contains(at("2026-10-03T23:59:59Z")) && !utc.contains(at("2026-10-04T00:00:00Z")));
    let american = calendar("country: US");
    // July 4, 2026 is a Saturday, observed on Friday; New Year 2028 is too.
    assert!(american.contains(at("2026-07-03T12:00:00Z")));
    assert!(american.contains(at("2027-12-31T12:00:00Z")));
}

#[test]
fn settings_say_what_is_wrong() {
    for (text, problem) in [
        ("{name: x}", "exactly one"),
        ("{name: x, country: DE, ical: a.ics}", "exactly one"),
        (
            "{name: x, country: DE, timezone: Berlin}",
            "unknown time zone",
        ),
        (
            "{name: x, daily: {from: '08:00', to: '08:00'}}",
            "the same as",
        ),
        (
            "{name: x, timezone: UTC, daily: {from: '08:00', to: '09:00'}}",
            "daily.timezone",
        ),
    ] {
        let settings: CalendarSettings = serde_yaml::from_str(text).unwrap();
        let found = settings.validate();
        assert!(found[0].1.contains(problem), "{text}: {found:?}");
    }
    for (text, problem) in [
        ("{name: x, country: XX}", "not known"),
        (
            "{name: x, daily: {from: '8:00', to: '09:00'}}",
            "not a time of day",
        ),
        (
            "{name: x, daily: {from: '24:01', to: '09:00'}}",
            "not a time of day",
        ),
        (
            "{name: x, daily: {from: '08:00', to: '09:00', days: [Monday]}}",
            "not a weekday",
        ),
    ] {
        let error = serde_yaml::from_str::<CalendarSettings>(text).unwrap_err();
        assert!(error.to_string().contains(problem), "{text}: {error}");
    }
}
