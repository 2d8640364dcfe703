//! The detectors on real, labelled series (the public half of the Numenta benchmark), as
//! `forethought bench anomaly` measures them: causally, with one set of parameters and one threshold.

use crate::{
    bench::anomaly::{self, AnomalyOptions, report::NabRow},
    detect,
};
use std::path::{Path, PathBuf};

/// At most one verdict a day, and a history longer than any of the files.
const QUIET: &str = "{history: 80d, alerting: {recover_for: 30m, refractory: 24h}}";

fn data() -> Option<PathBuf> {
    let given = std::env::var_os("FORETHOUGHT_DATA").map(PathBuf::from);
    let root =
        given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    root.join("nab/data").is_dir().then(|| root.join("nab"))
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "the table is half of what this test is for"
)]
fn detectors_find_labelled_anomalies_without_crying_wolf() {
    let Some(folder) = data() else {
        println!("SKIPPED: no data; set FORETHOUGHT_DATA");
        return;
    };
    let options = AnomalyOptions {
        nab: Some(folder),
        signal: Some(QUIET.to_owned()),
        ..AnomalyOptions::default()
    };
    let report = anomaly::run(&options, &|_| ()).unwrap();
    println!("{report}");
    let set = report.nab.unwrap();
    assert_eq!((set.series, set.windows, set.vus_series), (31, 57, 9));
    let row = |name: &str, judged: &str| -> &NabRow {
        let wanted = |row: &&NabRow| row.name == name && row.judged == judged;
        set.rows.iter().find(wanted).unwrap()
    };
    for detector in detect::defaults() {
        let kind = detector.kind();
        assert!(row(kind, "score").found > 0, "{kind}");
    }
    // Measured: 50 of 57 windows, 110 false alarms, 71.0; with room for rounding.
    let combined = row("default", "onset");
    assert!(combined.found >= 49, "{combined:?}");
    assert!(combined.false_rows <= 125, "{combined:?}");
    assert!(combined.fixed.standard >= 69.0, "{combined:?}");
}
