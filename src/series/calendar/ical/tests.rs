//! Files of events, good and broken.

use super::*;
use crate::series::Millis;
use proptest::prelude::*;

fn file(events: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{}END:VCALENDAR\r\n",
        events.replace('\n', "\r\n")
    )
}

fn event(lines: &str) -> String {
    file(&format!("BEGIN:VEVENT\nUID:1\n{lines}\nEND:VEVENT\n"))
}

/// The spans that end after the start of 2026, as UTC.
fn spans(text: &str, count: usize) -> Vec<String> {
    let berlin = Zone::named("Europe/Berlin").unwrap();
    let calendar = read(text.as_bytes(), &berlin).unwrap();
    let show = |at: Millis| {
        let time = jiff::Timestamp::from_millisecond(at).unwrap();
        time.strftime("%m-%d %H:%M").to_string()
    };
    let found = calendar.next(1_767_225_600_000, count);
    let shown = found
        .iter()
        .map(|one| format!("{} {}", show(one.from), show(one.to)));
    shown.collect()
}

fn problems(text: &str) -> Vec<(usize, String)> {
    read(text.as_bytes(), &Zone::default()).unwrap_err()
}

#[test]
fn single_events_have_their_length() {
    for (lines, expected) in [
        (
            "DTSTART:20260301T080000Z\nDTEND:20260301T090000Z",
            "03-01 08:00 03-01 09:00",
        ),
        (
            "DTSTART;TZID=Europe/Berlin:20260701T080000\nDURATION:PT1H30M",
            "07-01 06:00 07-01 07:30",
        ),
        // Without a zone: that of the settings.
        (
            "DTSTART:20260101T080000\nDURATION:PT1H",
            "01-01 07:00 01-01 08:00",
        ),
        ("DTSTART;VALUE=DATE:20260701", "06-30 22:00 07-01 22:00"),
        (
            "DTSTART;VALUE=DATE:20260328\nDTEND;VALUE=DATE:20260330",
            "03-27 23:00 03-29 22:00",
        ),
        // A civil day is 23 hours where the clock is set; 24 hours are 24 hours.
        (
            "DTSTART:20260328T120000\nDURATION:P1D",
            "03-28 11:00 03-29 10:00",
        ),
        (
            "DTSTART:20260328T120000\nDURATION:PT24H",
            "03-28 11:00 03-29 11:00",
        ),
        // Folded, with a quoted parameter, and an alarm of its own duration.
        (
            "DTSTART;TZID=\"Europe/Berlin\":2026\n 0701T080000\nBEGIN:VALARM\nDURATION:P1D\nEND:VALARM\nDTEND:20260701T070000Z",
            "07-01 06:00 07-01 07:00",
        ),
        (
            "DTSTART:20260101T100000Z\nRDATE:20260202T100000Z\nDURATION:PT1H",
            "01-01 10:00 01-01 11:00",
        ),
    ] {
        assert_eq!(spans(&event(lines), 1), [expected], "{lines}");
    }
    for nothing in [
        "DTSTART:20260301T080000Z",
        "STATUS:CANCELLED\nDTSTART:20260301",
    ] {
        assert!(spans(&event(nothing), 1).is_empty());
    }
}

/// Days of 2026 on which a rule has an event: those of `dateutil.rrule` of Python, and the start.
#[test]
fn rules_have_their_days() {
    let start = "DTSTART;VALUE=DATE:20260106\nRRULE:";
    for (rule, expected) in [
        ("FREQ=DAILY;INTERVAL=10", "0106 0116 0126 0205 0215"),
        ("FREQ=DAILY;COUNT=3;INTERVAL=2", "0106 0108 0110"),
        (
            "FREQ=WEEKLY;BYDAY=TU,FR;UNTIL=20260116",
            "0106 0109 0113 0116",
        ),
        (
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=MO",
            "0106 0111 0120 0125 0203",
        ),
        (
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=SU",
            "0106 0118 0120 0201 0203",
        ),
        ("FREQ=MONTHLY", "0106 0206 0306 0406 0506"),
        ("FREQ=MONTHLY;BYDAY=1TU", "0106 0203 0303 0407 0505"),
        ("FREQ=MONTHLY;BYMONTHDAY=-1", "0106 0131 0228 0331 0430"),
        ("FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "0106 0213 0313 1113"),
        (
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
            "0106 0130 0227 0331 0430",
        ),
        ("FREQ=YEARLY;BYMONTH=3,10;BYDAY=-1SU", "0106 0329 1025"),
        ("FREQ=YEARLY;BYDAY=20MO", "0106 0518"),
        ("FREQ=YEARLY;BYMONTH=7;BYMONTHDAY=4", "0106 0704"),
        ("FREQ=DAILY;BYMONTH=2;BYDAY=SA", "0106 0207 0214 0221 0228"),
    ] {
        let text = event(&format!("{start}{rule}"));
        let calendar = read(text.as_bytes(), &Zone::default()).unwrap();
        let days = calendar.touching(1_767_225_600_000, 1_798_761_600_000);
        let show = |at: Millis| {
            let time = jiff::Timestamp::from_millisecond(at).unwrap();
            time.strftime("%m%d").to_string()
        };
        let found: Vec<String> = days.iter().take(5).map(|day| show(day.from)).collect();
        assert_eq!(found.join(" "), expected, "{rule}");
    }
}

#[test]
fn local_times_stay_through_a_change_of_the_clock() {
    let weekly = event(
        "DTSTART;TZID=Europe/Berlin:20260322T023000\nDTEND;TZID=Europe/Berlin:20260322T033000\nRRULE:FREQ=WEEKLY;COUNT=3",
    );
    assert_eq!(
        spans(&weekly, 9),
        [
            "03-22 01:30 03-22 02:30",
            "03-29 01:30 03-29 02:30",
            "04-05 00:30 04-05 01:30"
        ]
    );
}

#[test]
fn exceptions_and_changed_instances_do_not_take_place() {
    let daily = "BEGIN:VEVENT\nUID:a\nDTSTART:20260301T080000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=4\nEXDATE:20260302T080000Z\nEND:VEVENT\n";
    let moved = "BEGIN:VEVENT\nUID:a\nRECURRENCE-ID:20260303T080000Z\nDTSTART:20260303T200000Z\nDURATION:PT2H\nEND:VEVENT\n";
    let gone =
        "BEGIN:VEVENT\nUID:a\nRECURRENCE-ID:20260304T080000Z\nSTATUS:CANCELLED\nEND:VEVENT\n";
    assert_eq!(
        spans(&file(&format!("{daily}{moved}{gone}")), 9),
        ["03-01 08:00 03-01 09:00", "03-03 20:00 03-03 22:00"]
    );
}

#[test]
fn broken_files_are_refused_with_the_line() {
    for (text, line, problem) in [
        (String::new(), 1, "empty"),
        ("<html>".to_owned(), 1, "no colon"),
        ("a: b".to_owned(), 1, "must begin with"),
        (
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\n".to_owned(),
            2,
            "no END:VEVENT",
        ),
        (
            "BEGIN:VCALENDAR\nEND:VEVENT\n".to_owned(),
            2,
            "END:VCALENDAR was expected",
        ),
        (event("SUMMARY:x"), 3, "no DTSTART"),
        (event("DTSTART:20260230"), 5, "not a date"),
        (
            event("DTSTART;TZID=W. Europe Standard Time:20260201T000000"),
            5,
            "unknown time zone",
        ),
        (
            event("DTSTART:20260201\nDTEND:20260131"),
            6,
            "before DTSTART",
        ),
        (
            event("DTSTART:20260201\nDTEND:20260201T080000Z"),
            6,
            "must be a date",
        ),
        (event("DTSTART:20260201\nDURATION:1h"), 6, "not a duration"),
        (
            event("DTSTART:20260201\nRRULE:FREQ=HOURLY"),
            6,
            "not supported",
        ),
        (
            event("DTSTART:20260201\nRRULE:FREQ=YEARLY;BYWEEKNO=3"),
            6,
            "BYWEEKNO",
        ),
        (
            event("DTSTART:20260201\nRRULE:FREQ=WEEKLY;BYDAY=XX"),
            6,
            "BYDAY",
        ),
        (
            event("DTSTART:20260201\nRRULE:FREQ=WEEKLY;INTERVAL=0"),
            6,
            "INTERVAL",
        ),
        (
            event("DTSTART:20260201\nDURATION:P60D\nRRULE:FREQ=YEARLY"),
            7,
            "at most 30 days",
        ),
    ] {
        let found = problems(&text);
        assert_eq!(found[0].0, line, "{text}: {found:?}");
        assert!(found[0].1.contains(problem), "{text}: {found:?}");
    }
    assert!(read(&[0xff, 0xfe], &Zone::default()).is_err());
    assert!(read(&vec![b'x'; MAX_BYTES + 1], &Zone::default()).is_err());
    let many = "BEGIN:VEVENT\nEND:VEVENT\n".repeat(MOST_EVENTS + 1);
    assert!(problems(&file(&many))[0].1.contains("more than"));
}

/// Pieces of which broken files are made.
fn piece() -> impl Strategy<Value = String> {
    let known = [
        "BEGIN:VCALENDAR",
        "END:VCALENDAR",
        "BEGIN:VEVENT",
        "END:VEVENT",
        "DTSTART",
        "DTEND",
        "DURATION",
        "RRULE:FREQ=",
        "EXDATE",
        "RDATE",
        ";TZID=Europe/Berlin",
        ";VALUE=DATE",
        ":",
        "20260329T023000",
        "00010101",
        "99991231T235959Z",
        "YEARLY",
        "MONTHLY",
        "WEEKLY",
        "DAILY",
        ";COUNT=100000",
        ";BYDAY=-53SU",
        ";BYMONTHDAY=-31",
        ";BYSETPOS=-366",
        ";UNTIL=",
        "P99999W",
        "\n",
        "\r\n ",
        "\"",
        "ä",
    ];
    prop_oneof![
        8 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        1 => "\\PC{0,4}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn nothing_makes_it_panic(
        pieces in proptest::collection::vec(piece(), 0..40),
        whole in any::<bool>(),
        at in any::<Millis>(),
    ) {
        let text = pieces.concat();
        let text = if whole { event(&text) } else { text };
        if let Ok(calendar) = read(text.as_bytes(), &Zone::named("Europe/Berlin").unwrap()) {
            calendar.contains(at);
            calendar.contains(Millis::MAX);
            calendar.contains(Millis::MIN);
            let near = calendar.touching(1_774_700_000_000, 1_774_900_000_000);
            prop_assert!(near.iter().all(|one| one.from < one.to));
        }
    }
}
