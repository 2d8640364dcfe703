//! What is to be sent when something begins, gets worse, ends, or is not known any more.

use super::{
    super::{
        alerts::{GROUP_ALERT, SERIES_ALERT, Terms, alerts},
        book::{Book, Notice, Reading},
        wire,
    },
    MINUTE, START, calm, labels, on, outcome, reading, terms,
};
use crate::{
    engine::{Contributor, Group, Outcome, Reason, SeriesOutcome},
    series::Millis,
};
use serde_json::Value;

/// A book, and what its Alertmanager is told at each time.
struct Told {
    book: Book,
}

impl Told {
    fn new(terms: Terms) -> Self {
        Self {
            book: Book::new(terms, MINUTE),
        }
    }

    /// What is sent at `now`, all of it taken.
    fn at(&mut self, now: Millis, readings: &[Reading]) -> Vec<Notice> {
        let notices = self.book.look(readings, now);
        self.book.sent(&notices);
        self.book.answered(&notices, now);
        assert!(!self.book.is_due(now), "all was answered");
        notices
    }

    /// As `at`: alert, severity, and whether and when it ended.
    fn short(
        &mut self,
        now: Millis,
        readings: &[Reading],
    ) -> Vec<(String, String, Option<Millis>)> {
        let label = |notice: &Notice, name: &str| notice.key.1.get(name).unwrap().to_owned();
        let ended = |notice: &Notice| (notice.ends_at <= now).then_some(notice.ends_at);
        let notices = self.at(now, readings);
        let short = |notice: &Notice| {
            (
                label(notice, "alertname"),
                label(notice, "severity"),
                ended(notice),
            )
        };
        notices.iter().map(short).collect()
    }
}

fn series_alert(severity: &str, ended: Option<Millis>) -> (String, String, Option<Millis>) {
    (SERIES_ALERT.to_owned(), severity.to_owned(), ended)
}

#[test]
fn a_verdict_that_is_on_is_sent_at_once_and_again_until_it_ended() {
    let mut told = Told::new(terms());
    let active = |at| reading(outcome(at, vec![on("/a", 2, START), calm("/b")]));
    let first = told.at(START + 2_000, &active(START));
    assert_eq!(first.len(), 1);
    let expected = labels(&[
        ("alertname", "ForethoughtAnomaly"),
        ("cluster", "eu-1"),
        ("path", "/a"),
        ("severity", "warning"),
        ("signal", "rps"),
    ]);
    assert_eq!(first[0].key.1, expected);
    assert_eq!(
        first[0].starts_at, START,
        "the grid time, not when it was seen"
    );
    assert_eq!(first[0].ends_at, START + 2_000 + 4 * MINUTE);
    assert_eq!(told.at(START + 30_000, &active(START)), []);
    let again = told.at(START + 62_000, &active(START + MINUTE));
    assert_eq!(again[0].ends_at, START + 62_000 + 4 * MINUTE);
    assert_eq!((&again[0].key, again[0].starts_at), (&first[0].key, START));

    let end = START + 2 * MINUTE;
    let over = reading(outcome(end, vec![calm("/a"), calm("/b")]));
    let ended = [series_alert("warning", Some(end))];
    assert_eq!(told.short(end + 2_000, &over), ended);
    assert_eq!(told.short(end + 30_000, &over), []);
    // Repeated until it would have run out by itself: three requests may be lost.
    let repeated = (1..10).filter(|minute| {
        let later = reading(outcome(end + minute * MINUTE, vec![calm("/a")]));
        let sent = told.short(end + 2_000 + minute * MINUTE, &later);
        assert!(sent.is_empty() || sent == ended, "{sent:?}");
        !sent.is_empty()
    });
    assert_eq!(repeated.count(), 2, "until five minutes after the start");
}

#[test]
fn a_higher_severity_replaces_the_lower_alert_in_one_request() {
    let mut told = Told::new(terms());
    told.at(START, &reading(outcome(START, vec![on("/a", 1, START)])));
    let later = START + MINUTE;
    let worse = reading(outcome(later, vec![on("/a", 4, START)]));
    let sent = told.short(later, &worse);
    let expected = [
        series_alert("emergency", None),
        series_alert("info", Some(later)),
    ];
    assert_eq!(sent, expected);
    // The severity of now is lower than the highest: the alert stays what it is.
    let better = reading(outcome(later + MINUTE, vec![on("/a", 4, START)]));
    let notices = told.at(later + MINUTE, &better);
    let on = |notice: &&Notice| notice.ends_at > later + MINUTE;
    let still: Vec<&Notice> = notices.iter().filter(on).collect();
    assert_eq!(still.len(), 1);
    assert_eq!(still[0].annotations["severity_now"], "info");
    assert_eq!(still[0].key.1.get("severity"), Some("emergency"));
}

#[test]
fn of_what_is_not_known_nothing_is_said() {
    let gone = |series| reading(outcome(START + MINUTE, series));
    let without_score = SeriesOutcome {
        score: f32::NAN,
        ..calm("/a")
    };
    let still_on_without_score = SeriesOutcome {
        score: f32::NAN,
        ..on("/a", 2, START)
    };
    for unknown in [
        Vec::new(),                // no outcome that is fresh
        gone(vec![calm("/b")]),    // no sample of it
        gone(vec![without_score]), // not judged
        gone(vec![still_on_without_score]),
    ] {
        let mut told = Told::new(terms());
        let active = reading(outcome(START, vec![on("/a", 2, START)]));
        assert_eq!(told.at(START, &active).len(), 1);
        for minute in 1..10 {
            assert_eq!(
                told.at(START + minute * MINUTE, &unknown),
                [],
                "{unknown:?}"
            );
        }
        // It ran out meanwhile: its end is no news.
        let over = reading(outcome(START + 10 * MINUTE, vec![calm("/a")]));
        assert_eq!(told.at(START + 10 * MINUTE, &over), []);
    }
}

#[test]
fn what_is_judged_again_before_it_ran_out_goes_on_or_ends() {
    let active = |at| reading(outcome(at, vec![on("/a", 2, START)]));
    let mut told = Told::new(terms());
    told.at(START, &active(START));
    assert_eq!(told.at(START + 2 * MINUTE, &[]), []);
    let again = told.at(START + 3 * MINUTE, &active(START + 3 * MINUTE));
    assert_eq!(again[0].starts_at, START);

    let mut told = Told::new(terms());
    told.at(START, &active(START));
    assert_eq!(told.at(START + 2 * MINUTE, &[]), []);
    let end = START + 3 * MINUTE;
    let over = reading(outcome(end, vec![calm("/a")]));
    assert_eq!(told.short(end, &over), [series_alert("warning", Some(end))]);
}

#[test]
fn what_never_got_through_is_not_resolved() {
    let mut book = Book::new(terms(), MINUTE);
    let active = reading(outcome(START, vec![on("/a", 2, START)]));
    assert_eq!(book.look(&active, START).len(), 1);
    let over = reading(outcome(START + MINUTE, vec![calm("/a")]));
    assert_eq!(book.look(&over, START + MINUTE), [], "it was not even sent");

    // Sent without an answer: it may have arrived.
    let mut book = Book::new(terms(), MINUTE);
    let notices = book.look(&active, START);
    book.sent(&notices);
    assert!(book.is_due(START), "to be tried again");
    assert_eq!(book.look(&over, START + MINUTE).len(), 1);
}

#[test]
fn what_begins_again_is_not_resolved_any_more() {
    let mut told = Told::new(terms());
    told.at(START, &reading(outcome(START, vec![on("/a", 2, START)])));
    let end = START + MINUTE;
    told.at(end, &reading(outcome(end, vec![calm("/a")])));
    let begin = end + 20_000;
    let again = reading(outcome(begin, vec![on("/a", 2, begin)]));
    let sent = told.at(begin, &again);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].starts_at, begin);
    assert!(sent[0].ends_at > begin);
}

/// Three of four series of one namespace are on, one of two of the other.
fn namespaces(at: Millis) -> Outcome {
    let of = |namespace: &str, series: SeriesOutcome| {
        let path = series.labels.get("path").unwrap().to_owned();
        SeriesOutcome {
            labels: labels(&[("namespace", namespace), ("path", &path)]),
            ..series
        }
    };
    let series = vec![
        of("bank", calm("/a")),
        of("bank", on("/b", 1, START)),
        of("shop", on("/a", 1, START + 2 * MINUTE)),
        of("shop", on("/b", 1, START)),
        of("shop", on("/c", 1, START + MINUTE)),
        of("shop", calm("/d")),
    ];
    Outcome {
        group_by: vec!["namespace".to_owned()].into(),
        ..outcome(at, series)
    }
}

#[test]
fn a_group_is_an_alert_since_too_many_of_it_are_anomalous() {
    let terms = Terms {
        group_threshold: 0.5,
        ..Terms::default()
    };
    let at = START + 3 * MINUTE;
    let mut told = Told::new(terms.clone());
    let found = told.at(at, &reading(namespaces(at)));
    let groups: Vec<&Notice> = found
        .iter()
        .filter(|notice| notice.key.1.get("alertname") == Some(GROUP_ALERT))
        .collect();
    assert_eq!(found.len(), 4 + 1);
    let expected = labels(&[
        ("alertname", "ForethoughtGroupAnomaly"),
        ("namespace", "shop"),
        ("severity", "critical"),
        ("signal", "rps"),
    ]);
    assert_eq!(groups[0].key.1, expected);
    // Two of four are not more than half; the third began last.
    assert_eq!(groups[0].starts_at, START + 2 * MINUTE);
    let description = &groups[0].annotations["description"];
    assert_eq!(
        description,
        "Of signal rps, 3 of 4 series of {namespace=\"shop\"} are anomalous (75 %)."
    );

    // One recovers: the group is over, its other series are not.
    let later = at + MINUTE;
    let mut outcome = namespaces(later);
    outcome.series[4] = SeriesOutcome {
        labels: outcome.series[4].labels.clone(),
        ..calm("/c")
    };
    let sent = told.at(later, &reading(outcome));
    let ended = |notice: &&Notice| notice.ends_at == later;
    let ended: Vec<Option<&str>> = sent
        .iter()
        .filter(ended)
        .map(|notice| notice.key.1.get("alertname"))
        .collect();
    assert_eq!(ended, [Some(SERIES_ALERT), Some(GROUP_ALERT)]);
}

/// What is said of an outcome that has only the series that are shown is what is said of one that has all.
#[test]
fn of_a_group_of_which_only_some_are_told_the_share_is_that_of_all() {
    let terms = Terms {
        group_threshold: 0.5,
        ..Terms::default()
    };
    let shown = |at: Millis, judged: [usize; 2]| {
        let mut outcome = namespaces(at);
        outcome.series.retain(|one| one.active);
        let group = |(namespace, judged): (&str, usize)| Group {
            labels: labels(&[("namespace", namespace)]),
            judged,
            active: 0,
            top: Vec::new(),
        };
        let groups = ["bank", "shop"].into_iter().zip(judged);
        Outcome {
            sparse: true,
            groups: groups.map(group).collect(),
            ..outcome
        }
    };
    let at = START + 3 * MINUTE;
    let mut told = Told::new(terms.clone());
    let texts = |found: &[Notice]| -> Vec<String> {
        let texts = found
            .iter()
            .map(|one| one.annotations["description"].clone());
        texts.collect()
    };
    let whole = Told::new(terms).at(at, &reading(namespaces(at)));
    let found = told.at(at, &reading(shown(at, [2, 4])));
    assert_eq!(texts(&found), texts(&whole));
    assert_eq!(found.len(), 4 + 1);

    // More of them are judged now, so three are no longer most of them; of the other nothing is known.
    let later = at + MINUTE;
    let sent = told.at(later, &reading(shown(later, [0, 40])));
    let ended = sent.iter().filter(|notice| notice.ends_at == later);
    let ended: Vec<_> = ended.map(|one| one.key.1.get("alertname")).collect();
    assert_eq!(ended, [Some(GROUP_ALERT)]);
}

#[test]
fn of_a_group_that_other_processes_have_series_of_nothing_is_said() {
    let terms = Terms {
        group_threshold: 0.5,
        ..Terms::default()
    };
    let at = START + 3 * MINUTE;
    let mut torn = namespaces(at);
    torn.torn_groups = true;
    let found = Told::new(terms).at(at, &reading(torn));
    assert_eq!(found.len(), 4);
    let mut alerts = found.iter().map(|notice| notice.key.1.get("alertname"));
    assert!(alerts.all(|alert| alert == Some(SERIES_ALERT)));
}

#[test]
fn a_group_names_the_series_that_are_farthest_off() {
    let terms = Terms {
        group_threshold: 0.5,
        ..Terms::default()
    };
    let mut outcome = namespaces(START + 3 * MINUTE);
    let top = [(4, 7.25), (2, 3.5)];
    outcome.groups = vec![Group {
        labels: labels(&[("namespace", "shop")]),
        judged: 4,
        active: 3,
        top: top
            .map(|(index, score)| Contributor { index, score })
            .to_vec(),
    }];
    let found = alerts(&outcome, false, &terms);
    let group = found
        .iter()
        .find(|one| one.labels.get("alertname") == Some(GROUP_ALERT));
    assert_eq!(
        group.unwrap().annotations["description"],
        "Of signal rps, 3 of 4 series of {namespace=\"shop\"} are anomalous (75 %). \
         Farthest off, with their scores: {path=\"/c\"} (7.2), {path=\"/a\"} (3.5)."
    );
    assert!(!found[0].annotations.contains_key("reason"));
    outcome.series[1].reason = Some(Box::new(Reason {
        detectors: vec![("zscore", 2.0)],
        ..Reason::default()
    }));
    let found = alerts(&outcome, false, &terms);
    assert_eq!(
        found[0].annotations["reason"],
        "30 is above the expected 10 (8 to 12) by 20.0 widths of its noise; zscore 2.0"
    );
}

#[test]
fn what_every_replica_says_is_the_same() {
    // One ran for long, the other has just started: the same outcome, later seen.
    let outcome = || reading(namespaces(START + 3 * MINUTE));
    let mut old = Told::new(terms());
    old.at(START, &reading(namespaces(START)));
    let old = old.at(START + 4 * MINUTE, &outcome());
    let young = Told::new(terms()).at(START + 4 * MINUTE, &outcome());
    assert_eq!(old, young);
}

#[test]
fn labels_of_the_series_make_room_and_every_name_can_be_sent() {
    let mut series = on("/a", 1, START);
    series.labels = labels(&[
        ("alertname", "theirs"),
        ("cluster", "own"),
        ("k8s.pod", "x"),
        ("severity", "page"),
        ("signal", "s"),
    ]);
    let found = alerts(&outcome(START, vec![series]), false, &terms());
    let expected = labels(&[
        ("alertname", "ForethoughtAnomaly"),
        ("cluster", "own"),
        ("k8s_pod", "x"),
        ("severity", "info"),
        ("signal", "rps"),
        ("source_alertname", "theirs"),
        ("source_severity", "page"),
        ("source_signal", "s"),
    ]);
    assert_eq!(found[0].labels, expected);
    // Whom it is about is known by the labels of the source.
    assert_eq!(found[0].subject.labels.get("k8s.pod"), Some("x"));
}

#[test]
fn a_person_reads_what_happened() {
    let outcome = outcome(START, vec![on("/a", 2, START)]);
    let of = |is_panel| alerts(&outcome, is_panel, &terms()).remove(0).annotations;
    let signal = of(false);
    assert_eq!(
        signal["description"],
        "Signal rps of {path=\"/a\"} is 30, above the expected 10 (8 to 12); score 3.2, 1 is the threshold."
    );
    assert_eq!(
        signal["summary"],
        "A series is not as it was expected to be."
    );
    assert_eq!(signal["runbook_url"], "docs/runbooks.md#forethoughtanomaly");
    assert_eq!(signal["direction"], "above");
    let panel = of(true);
    assert!(panel["description"].starts_with("Panel rps is anomalous for"));
    assert!(
        !panel.contains_key("expected"),
        "a panel has no expected value"
    );
}

#[test]
fn the_body_is_what_the_api_wants() {
    let mut book = Book::new(Terms::default(), MINUTE);
    let active = reading(outcome(
        START,
        vec![on("/a", 2, START), calm("/b"), calm("/c")],
    ));
    let notices = book.look(&active, START + 1_500);
    let body = |page| -> Value { serde_json::from_slice(&wire::body(&notices, page)).unwrap() };
    let sent = body(Some("https://example.org/forethought"));
    assert_eq!(sent[0]["startsAt"], "2023-11-14T23:00:00Z");
    assert_eq!(sent[0]["endsAt"], "2023-11-14T23:04:01.5Z");
    assert_eq!(sent[0]["generatorURL"], "https://example.org/forethought");
    assert_eq!(sent[0]["labels"]["signal"], "rps");
    assert_eq!(sent[0]["annotations"]["score"], "3.25");
    assert!(body(None)[0].get("generatorURL").is_none());
}
