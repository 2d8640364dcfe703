use super::*;
use crate::series::Labels;
use proptest::prelude::*;
use serde_yaml::with::singleton_map_recursive;

/// As the file is read.
fn read<T: serde::de::DeserializeOwned>(text: &str) -> Vec<T> {
    singleton_map_recursive::deserialize(serde_yaml::Deserializer::from_str(text)).unwrap()
}

/// Signals, panels and workloads as in a file.
fn divided(signals: &str, panels: &str, workloads: &str) -> Divisions {
    let (signals, panels): (Vec<SignalSettings>, Vec<PanelSettings>) =
        (read(signals), read(panels));
    let workloads: Vec<decide::Settings> = read(workloads);
    Divisions::of(&signals, &panels, &workloads)
}

fn how(divisions: &Divisions, signal: &str) -> String {
    let division = divisions.signal(signal).unwrap();
    let how = division.how(Shard::new(0, 3).unwrap());
    let (how, _) = how
        .split_once(" on shard")
        .map_or((&*how, ""), |(how, _)| (how, "on one"));
    format!("{how}: {}", division.why())
}

#[track_caller]
fn check_one(settings: &str, expected: &str) {
    let found = divided(
        &format!("[{{name: cpu, query: up, {settings}}}]"),
        "[]",
        "[]",
    );
    assert_eq!(found.problems, []);
    assert_eq!(how(&found, "cpu"), expected, "{settings}");
}

#[test]
fn what_belongs_together_decides() {
    check_one("", "by all labels: nothing compares its series");
    check_one("group_by: [job, zone]", "by job, zone: group_by of cpu");
    check_one("peers: [app]", "by app: dbscan compares peers of cpu");
    check_one(
        "detectors: [{dbscan: {}}]",
        "whole: dbscan compares all series of cpu",
    );
    check_one(
        "detectors: [{zscore: {}}, {dbscan: {}}], peers: [app]",
        "by app: dbscan compares peers of cpu",
    );
    check_one(
        "detectors: [{dbscan: {by: [app, zone]}}], group_by: [zone, job]",
        "by zone: group_by of cpu; dbscan compares peers of cpu",
    );
    check_one(
        "detectors: [{dbscan: {by: [app]}}], group_by: [job]",
        "whole: no label is common to what belongs together: group_by of cpu; dbscan compares peers of cpu",
    );
    check_one("shard_by: [app]", "by app: shard_by");
    check_one(
        "shard_by: [zone], group_by: [job, zone]",
        "by zone: shard_by",
    );
}

const TWO: &str = "[{name: cpu, query: up}, {name: memory, query: up}, {name: disk, query: up}]";

#[test]
fn the_signals_of_a_panel_are_divided_alike() {
    let one = "[{name: hosts, signals: [cpu, memory], on: [instance, job]}]";
    let found = divided(TWO, one, "[]");
    for signal in ["cpu", "memory"] {
        let expected = "by instance, job: panel hosts joins on them";
        assert_eq!(how(&found, signal), expected);
    }
    assert_eq!(
        how(&found, "disk"),
        "by all labels: nothing compares its series"
    );
    let chain = "[{name: a, signals: [cpu, memory], on: [instance, job]}, {name: b, signals: [memory, disk], on: [instance]}]";
    let found = divided(TWO, chain, "[]");
    for signal in ["cpu", "memory", "disk"] {
        let expected = "by instance: panel b joins on them; panel a joins on them";
        assert_eq!(how(&found, signal), expected);
    }
    let apart = "[{name: a, signals: [cpu, memory], on: [job]}, {name: b, signals: [memory, disk], on: [instance]}]";
    let found = divided(TWO, apart, "[]");
    let shares = ["cpu", "memory", "disk"].map(|signal| {
        assert!(how(&found, signal).starts_with("whole: no label is common"));
        let share = |index| found.signal(signal).unwrap().share(Shard::new(index, 3));
        (0..3)
            .map(|index| share(index).is_nothing())
            .collect::<Vec<_>>()
    });
    assert_eq!(shares[0].iter().filter(|nothing| !**nothing).count(), 1);
    assert!(
        shares.windows(2).all(|pair| pair[0] == pair[1]),
        "one shard has them all"
    );
}

#[test]
fn entities_that_a_panel_compares_stay_together() {
    let all =
        "[{name: hosts, signals: [cpu, disk], on: [instance, job], detectors: [{dbscan: {}}]}]";
    let found = divided(TWO, all, "[]");
    assert_eq!(
        how(&found, "cpu"),
        "whole: dbscan compares all entities of panel hosts"
    );
    let peers = "[{name: hosts, signals: [cpu, disk], on: [instance, job], detectors: [{dbscan: {by: [job]}}]}]";
    let found = divided(TWO, peers, "[]");
    let expected = "by job: panel hosts joins on them; dbscan compares peers of panel hosts";
    assert_eq!(how(&found, "disk"), expected);
}

const SHOP: &str = "name: shop, capacity_per_replica: 1, limits: {max: 9}, demand: {signal: cpu}";

#[test]
fn what_a_workload_reads_is_whole_everywhere() {
    let hosts = "[{name: hosts, signals: [memory, disk], on: [instance]}]";
    let of = |rule: &str| {
        let rules = format!("[{{{SHOP}, rules: [{{when: '{rule}', scale: 2}}]}}]");
        divided(TWO, hosts, &rules)
    };
    let whole = |found: &Divisions| -> Vec<bool> {
        let signals = ["cpu", "memory", "disk"].into_iter();
        signals
            .map(|signal| how(found, signal).starts_with("whole: workload shop reads"))
            .collect()
    };
    let found = divided(TWO, hosts, &format!("[{{{SHOP}}}]"));
    assert_eq!(how(&found, "cpu"), "whole: workload shop reads cpu");
    assert_eq!(whole(&found), [true, false, false]);
    assert_eq!(whole(&of("predicted_upper_cpu > 1")), [true, false, false]);
    assert_eq!(
        whole(&of("memory > 1")),
        [true, true, true],
        "its panel needs both"
    );
    assert_eq!(
        whole(&of("anomaly_active{signal=\"disk\"} == 1")),
        [true; 3]
    );
    assert_eq!(
        whole(&of("anomaly_active{signal=\"hosts\"} == 1")),
        [true; 3]
    );
    assert_eq!(
        whole(&of("anomaly_active{signal=\"cpu\"} == 1")),
        [true, false, false]
    );
    assert_eq!(whole(&of("max(anomaly_score) > 1")), [true; 3]);
    let division = found.signal("cpu").unwrap();
    let shares = (0..3).map(|index| division.share(Shard::new(index, 3)));
    assert!(shares.into_iter().all(|share| share == Share::ALL));
}

#[track_caller]
fn check_refused(signals: &str, panels: &str, workloads: &str, of: &str, part: &str) {
    let found = divided(signals, panels, workloads);
    let [(signal, problem)] = found.problems.as_slice() else {
        panic!("{:?}", found.problems);
    };
    assert!(
        signal == of && problem.contains(part),
        "{signal}: {problem}"
    );
}

#[test]
fn what_would_tear_apart_is_refused_with_what_to_write() {
    let one = |settings: &str| format!("[{{name: cpu, query: up, shard_by: [pod], {settings}}}]");
    check_refused(
        &one("group_by: [job]"),
        "[]",
        "[]",
        "cpu",
        "write [job] or fewer of them",
    );
    check_refused(
        &one("detectors: [{dbscan: {}}]"),
        "[]",
        "[]",
        "cpu",
        "dbscan compares all series of cpu",
    );
    check_refused(
        &one(""),
        "[]",
        &format!("[{{{SHOP}}}]"),
        "cpu",
        "workload shop reads cpu; leave shard_by out",
    );
    let two =
        "[{name: cpu, query: up, shard_by: [job]}, {name: disk, query: up, shard_by: [instance]}]";
    let hosts = "[{name: hosts, signals: [cpu, disk], on: [instance, job]}]";
    check_refused(two, hosts, "[]", "disk", "write [job] as there");
}

#[test]
fn groups_are_torn_only_where_none_are_named() {
    let keeps = |settings: &str| {
        let found = divided(
            &format!("[{{name: cpu, query: up, {settings}}}]"),
            "[]",
            "[]",
        );
        found.signal("cpu").unwrap().keeps_groups()
    };
    assert!(!keeps("") && !keeps("shard_by: [job]") && !keeps("peers: [job]"));
    assert!(keeps("group_by: [job]") && keeps("group_by: [job, zone], shard_by: [zone]"));
    assert!(keeps("detectors: [{dbscan: {}}]"));
}

/// Labels of a few names.
fn labels() -> impl Strategy<Value = Labels> {
    prop::collection::btree_map("[a-d]", "[x-z]", 0..5)
        .prop_map(|pairs| Labels::new(pairs).unwrap())
}

fn some() -> impl Strategy<Value = Vec<String>> {
    prop::collection::btree_set("[a-d]", 0..3).prop_map(|names| names.into_iter().collect())
}

proptest! {
    #[test]
    fn each_series_is_in_one_shard_and_those_that_are_looked_at_together_in_the_same(
        (group_by, peers, on) in (some(), some(), some()),
        shard_by in some(),
        count in 1..6_u32,
        series in prop::collection::vec(labels(), 2..12),
    ) {
        let mut signals: Vec<SignalSettings> = read(TWO);
        signals.truncate(2);
        signals[0].group_by.clone_from(&group_by);
        signals[1].peers.clone_from(&peers);
        signals[0].shard_by = shard_by;
        let panels: Vec<PanelSettings> = match on.is_empty() {
            true => Vec::new(),
            false => serde_yaml::from_str(&format!("[{{name: p, signals: [cpu, memory], on: [{}]}}]", on.join(", "))).unwrap(),
        };
        let found = Divisions::of(&signals, &panels, &[]);
        let holders = |signal: &str, labels: &Labels| -> Vec<u32> {
            let division = found.signal(signal).unwrap();
            (0..count).filter(|&index| division.share(Shard::new(index, count)).has(labels)).collect()
        };
        for one in &series {
            prop_assert_eq!(holders("cpu", one).len(), 1);
            for other in &series {
                let alike = |names: &[String]| !names.is_empty() && one.only(names) == other.only(names);
                if alike(&group_by) {
                    prop_assert_eq!(holders("cpu", one), holders("cpu", other));
                }
                if alike(&peers) {
                    prop_assert_eq!(holders("memory", one), holders("memory", other));
                }
                if alike(&on) {
                    prop_assert_eq!(holders("cpu", one), holders("memory", other));
                }
            }
        }
    }
}
