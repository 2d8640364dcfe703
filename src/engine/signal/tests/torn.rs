//! A signal whose series are divided over processes.

use super::*;

#[test]
fn a_group_is_counted_only_where_all_of_it_is() {
    for torn_groups in [false, true] {
        let options = UnitOptions {
            torn_groups,
            ..UnitOptions::default()
        };
        let mut unit = SignalUnit::new(&settings(), &options, &ModelFiles::default()).unwrap();
        let start = 2_000;
        unit.ingest(&matrix(0, start));
        let mut outcome = Outcome::default();
        for index in unit.restart(start * STEP) / STEP + 1..=start {
            outcome = unit.advance(index * STEP, Mode::Publish);
        }
        let shown = |name: &str| outcome.chunks.iter().any(|chunk| chunk.name() == name);
        assert!(shown("anomaly_score"));
        assert_eq!(shown("anomaly_group_ratio"), !torn_groups);
        let told = (outcome.groups.is_empty(), outcome.torn_groups);
        assert_eq!(told, (torn_groups, torn_groups));
    }
}
