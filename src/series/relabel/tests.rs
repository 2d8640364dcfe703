//! What Prometheus does: the cases of its `model/relabel/relabel_test.go`, in our words.

use super::*;

fn labels(pairs: &[(&str, &str)]) -> LabelMap {
    let owned = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    owned.collect()
}

fn steps(yaml: &str) -> Vec<Relabel> {
    let settings: Vec<RelabelSettings> = serde_yaml::from_str(yaml).unwrap();
    settings
        .iter()
        .map(|step| {
            assert_eq!(step.validate(), [], "{yaml}");
            Relabel::new(step).unwrap()
        })
        .collect()
}

/// What becomes of `given`; `None` where it is let go of.
#[track_caller]
fn check(yaml: &str, given: &[(&str, &str)], expected: Option<&[(&str, &str)]>) {
    let mut labels_now = labels(given);
    let kept = relabel(&mut labels_now, &steps(yaml));
    assert_eq!(kept.then_some(labels_now), expected.map(labels), "{yaml}");
}

#[test]
fn replaces_as_prometheus_does() {
    let abc = [("a", "foo"), ("b", "bar"), ("c", "baz")];
    check(
        "[{source_labels: [a], target_label: d, separator: ';', regex: 'f(.*)', replacement: 'ch${1}-ch${1}'}]",
        &abc,
        Some(&[("a", "foo"), ("b", "bar"), ("c", "baz"), ("d", "choo-choo")]),
    );
    check(
        "[{source_labels: [a, b], target_label: a, regex: 'f(.*);(.*)r', replacement: 'b${1}${2}m'}, {source_labels: [c, a], target_label: d, regex: '(b).*b(.*)ba(.*)', replacement: '$1$2$2$3'}]",
        &abc,
        Some(&[("a", "boobam"), ("b", "bar"), ("c", "baz"), ("d", "boooom")]),
    );
    check(
        "[{source_labels: [a], target_label: a, regex: 'x', replacement: ''}, {source_labels: [b], target_label: b, regex: 'bar', replacement: ''}]",
        &abc,
        Some(&[("a", "foo"), ("c", "baz")]),
    );
    check(
        "[{regex: '.*', target_label: d, replacement: x}]",
        &abc[..1],
        Some(&[("a", "foo"), ("d", "x")]),
    );
    // A group of another name than `1`: the longest word is taken.
    check(
        "[{source_labels: [a], target_label: d, replacement: $1x}]",
        &abc[..1],
        Some(&[("a", "foo")]),
    );
    check(
        "[{source_labels: [a], target_label: d, replacement: $$1}]",
        &abc[..1],
        Some(&[("a", "foo"), ("d", "$1")]),
    );
    // The dot is any letter, the expression the whole value.
    check(
        "[{source_labels: [a], target_label: d, regex: o, replacement: x}]",
        &abc[..1],
        Some(&[("a", "foo")]),
    );
    check(
        "[{source_labels: [a], target_label: d, regex: 'a.b', replacement: x}]",
        &[("a", "a\nb")],
        Some(&[("a", "a\nb"), ("d", "x")]),
    );
}

#[test]
fn the_target_may_refer_to_groups() {
    check(
        "[{source_labels: [a], regex: 'some-([^-]+)-([^,]+)', target_label: '${1}', replacement: '${2}'}]",
        &[("a", "some-name-value")],
        Some(&[("a", "some-name-value"), ("name", "value")]),
    );
    check(
        "[{source_labels: [a], regex: 'some-([^-]+)-([^,]+)', target_label: '${3}', replacement: '${2}'}]",
        &[("a", "some-name-value")],
        Some(&[("a", "some-name-value")]),
    );
    check(
        "[{source_labels: [__meta_sd_tags], regex: '(?:.+,|^)path:(/[^,]+).*', target_label: __metrics_path__}, {source_labels: [__meta_sd_tags], regex: '(?:.+,|^)job:([^,]+).*', target_label: job}, {source_labels: [__meta_sd_tags], regex: '(?:.+,|^)label:([^=]+)=([^,]+).*', target_label: '${1}', replacement: '${2}'}]",
        &[("__meta_sd_tags", "path:/secret,job:some-job,label:foo=bar")],
        Some(&[
            ("__meta_sd_tags", "path:/secret,job:some-job,label:foo=bar"),
            ("__metrics_path__", "/secret"),
            ("job", "some-job"),
            ("foo", "bar"),
        ]),
    );
}

#[test]
fn drops_and_keeps_as_prometheus_does() {
    let own = [("a", "foo"), ("b", "bar")];
    check(
        "[{source_labels: [a], regex: '.*o.*', action: drop}, {source_labels: [a], target_label: d, replacement: x}]",
        &own,
        None,
    );
    check(
        "[{source_labels: [a], regex: o, action: drop}]",
        &own,
        Some(&own),
    );
    check(
        "[{source_labels: [a], regex: no-match, action: keep}]",
        &own,
        None,
    );
    check(
        "[{source_labels: [a], regex: 'f|foo', action: Keep}]",
        &own,
        Some(&own),
    );
    // An absent label is empty, which the default expression matches.
    check(
        "[{source_labels: [nothing], action: keep}]",
        &own,
        Some(&own),
    );
    check(
        "[{source_labels: [nothing], regex: '.+', action: keep}]",
        &own,
        None,
    );
    let twins = [("a", "main"), ("b", "main"), ("c", "1234")];
    check(
        "[{source_labels: [a], target_label: b, action: keepequal}]",
        &twins,
        Some(&twins),
    );
    check(
        "[{source_labels: [a], target_label: c, action: keepequal}]",
        &twins,
        None,
    );
    check(
        "[{source_labels: [a], target_label: b, action: dropequal}]",
        &twins,
        None,
    );
    check(
        "[{source_labels: [a], target_label: c, action: dropequal}]",
        &twins,
        Some(&twins),
    );
    check(
        "[{source_labels: [x], target_label: y, action: keepequal}]",
        &twins,
        Some(&twins),
    );
}

#[test]
fn hashes_are_those_of_prometheus() {
    check(
        "[{source_labels: [c], target_label: d, modulus: 1000, action: hashmod}]",
        &[("c", "baz")],
        Some(&[("c", "baz"), ("d", "976")]),
    );
    check(
        "[{source_labels: [a], target_label: d, modulus: 1000, action: hashmod}]",
        &[("a", "foo\nbar")],
        Some(&[("a", "foo\nbar"), ("d", "734")]),
    );
}

#[test]
fn names_are_mapped_dropped_and_kept() {
    check(
        "[{regex: '(b.*)', replacement: 'bar_${1}', action: labelmap}]",
        &[("a", "foo"), ("b1", "bar"), ("b2", "baz")],
        Some(&[
            ("a", "foo"),
            ("b1", "bar"),
            ("b2", "baz"),
            ("bar_b1", "bar"),
            ("bar_b2", "baz"),
        ]),
    );
    check(
        "[{regex: '__meta_(my.*)', replacement: '${1}', action: labelmap}]",
        &[
            ("a", "foo"),
            ("__meta_my_bar", "aaa"),
            ("__meta_my_baz", "bbb"),
            ("__meta_other", "ccc"),
        ],
        Some(&[
            ("a", "foo"),
            ("__meta_my_bar", "aaa"),
            ("__meta_my_baz", "bbb"),
            ("__meta_other", "ccc"),
            ("my_bar", "aaa"),
            ("my_baz", "bbb"),
        ]),
    );
    check(
        "[{regex: '(b.*)', action: labeldrop}]",
        &[("a", "foo"), ("b1", "bar")],
        Some(&[("a", "foo")]),
    );
    check(
        "[{regex: '(b.*)', action: labelkeep}]",
        &[("a", "foo"), ("b1", "bar")],
        Some(&[("b1", "bar")]),
    );
}

#[test]
fn letters_are_made_small_and_great() {
    check(
        "[{source_labels: [foo], target_label: up, action: uppercase}, {source_labels: [foo], target_label: low, action: lowercase}]",
        &[("foo", "bAr123Fooß")],
        Some(&[
            ("foo", "bAr123Fooß"),
            ("up", "BAR123FOOß"),
            ("low", "bar123fooß"),
        ]),
    );
}

#[test]
fn an_empty_value_takes_the_label_away() {
    check(
        "[{source_labels: [nothing], target_label: a, action: lowercase}]",
        &[("a", "foo")],
        Some(&[]),
    );
    check(
        "[{source_labels: [nothing], target_label: a}]",
        &[("a", "foo")],
        Some(&[]),
    );
    check(
        "[{target_label: a, replacement: x, source_labels: [a], regex: ''}]",
        &[],
        Some(&[("a", "x")]),
    );
}

#[test]
fn settings_that_prometheus_refuses_are_refused() {
    let cases = [
        (
            "{action: hashmod, target_label: a}",
            "modulus",
            "at least 1",
        ),
        ("{action: hashmod, modulus: 8}", "target_label", "hashmod"),
        ("{}", "target_label", "replace"),
        (
            "{action: keepequal, source_labels: [a]}",
            "target_label",
            "keepequal",
        ),
        ("{action: lowercase}", "target_label", "lowercase"),
        (
            "{action: lowercase, target_label: a, replacement: x}",
            "replacement",
            "lowercase",
        ),
        (
            "{action: keepequal, target_label: a, regex: x}",
            "regex",
            "source_labels and target_label",
        ),
        (
            "{action: dropequal, target_label: a, separator: x}",
            "separator",
            "source_labels and target_label",
        ),
        (
            "{action: labeldrop, source_labels: [a]}",
            "source_labels",
            "only regex",
        ),
        (
            "{action: labelkeep, replacement: a}",
            "replacement",
            "only regex",
        ),
        (
            "{action: labelmap, replacement: ''}",
            "replacement",
            "new name",
        ),
        (
            "{action: drop, regex: '('}",
            "regex",
            "no regular expression",
        ),
        (
            "{action: drop, source_labels: ['']}",
            "source_labels",
            "empty",
        ),
    ];
    for (yaml, key, part) in cases {
        let settings: RelabelSettings = serde_yaml::from_str(yaml).unwrap();
        let problems = settings.validate();
        let [(path, problem)] = problems.as_slice() else {
            panic!("{yaml}: {problems:?}");
        };
        assert!(
            path == key && problem.contains(part),
            "{yaml}: {problems:?}"
        );
    }
    let error = serde_yaml::from_str::<RelabelSettings>("{action: remove}").unwrap_err();
    assert!(
        error.to_string().contains("allowed: drop, dropequal"),
        "{error}"
    );
    let error = serde_yaml::from_str::<RelabelSettings>("{source_label: [a]}").unwrap_err();
    assert!(error.to_string().contains("unknown field"), "{error}");
}
