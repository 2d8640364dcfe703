//! A process that trains by itself: killed while it does, started again, and started where nothing is due.

use crate::{
    live::metrics_of_alerts,
    support::{
        eventually,
        fake::document_of,
        program::Program,
        server::{Answer, Server},
        servers::{Past, past},
    },
};
use std::{f64::consts::TAU, fs, path::Path};
use tempfile::TempDir;

const PAST: Past = past("load", "/", 100.0);
const DAY: i64 = 86_400;

/// A day's course whose height changes from day to day, so that the day before is a poor guide.
fn value(past: &Past, at: i64) -> f64 {
    let height = 25.0 + 20.0 * ((at / DAY) as f64 * 2.4).sin();
    let noise = (at as f64 * 0.37).sin();
    past.level + height * (TAU * (at % DAY) as f64 / DAY as f64).sin() + noise
}

/// How many trainings are over, by what came of them.
fn runs(program: &Program, result: &str) -> Result<f64, String> {
    let labels = ["model=\"load\"", &format!("result=\"{result}\"")];
    let metrics = program.metrics()?;
    metrics.value("forethought_training_runs_total", &labels)
}

/// The newest version there is, whole or not.
fn versions(models: &Path) -> usize {
    let folders = fs::read_dir(models.join("load")).into_iter().flatten();
    let is_version = |entry: &fs::DirEntry| entry.path().join("manifest.json").is_file();
    folders.flatten().filter(is_version).count()
}

#[test]
fn a_process_trains_what_is_due_and_a_kill_leaves_nothing_half_done() {
    let server = Server::start(|request| Answer::json(200, document_of(request, &[PAST], value)));
    let folder = TempDir::new().unwrap();
    let models = folder.path().join("models");
    let config = format!(
        "sources: [{{name: main, prometheus: {{url: \"http://{}\"}}}}]\nmodels: {{directory: {}, max_latency: 10s}}\nsignals:\n  \
         - {{name: load, query: load, step: 10m, history: 21d, forecast: {{horizons: [10m, 30m], models: [seasonal_naive: {{}}], \
         train: {{from: 10d}}}}}}\n",
        server.address(),
        models.display(),
    );
    let mut killed = Program::start(&config, &["--train"]);
    eventually("it trains", 60, || {
        match killed
            .metrics()?
            .value("forethought_training_running", &[])?
        {
            1.0 => Ok(()),
            other => Err(other.to_string()),
        }
    });
    killed.signal("KILL");
    killed.wait(20);
    assert_eq!(versions(&models), 0, "nothing before it is over");

    let program = Program::start(&config, &["--train"]);
    eventually("it has trained", 120, || {
        let over = runs(&program, "promoted")? + runs(&program, "kept")?;
        if over == 1.0 {
            Ok(())
        } else {
            Err(over.to_string())
        }
    });
    assert_eq!((runs(&program, "failed"), versions(&models)), (Ok(0.0), 1));
    let log = program.log();
    assert!(log.contains("why=\"there is none yet\""), "{log}");
    eventually("drift is known", 60, || {
        let shown = program.metrics()?;
        let families = shown.families();
        let of_alerts = metrics_of_alerts();
        let mut wanted = of_alerts.iter().filter(|name| {
            name.starts_with("forethought_training_") || *name == "predicted_drift_score"
        });
        match wanted.find(|name| !families.contains(&name.as_str())) {
            Some(missing) => Err(format!("{missing} is not exposed: {families:?}")),
            None => Ok(()),
        }
    });
    drop(program);

    let again = Program::ready(&config, &["--train"]);
    eventually("nothing is due", 60, || {
        let metrics = again.metrics()?;
        let labels = ["model=\"load\""];
        let trained = "forethought_training_last_success_timestamp_seconds";
        let due = metrics.value("forethought_training_due", &labels)?;
        match (metrics.value(trained, &labels), due) {
            (Ok(_), 0.0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    assert_eq!((runs(&again, "kept"), versions(&models)), (Ok(0.0), 1));
}
