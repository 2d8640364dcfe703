//! What happens when a source misbehaves, from the source to `/metrics`: nothing wrong is published, the
//! series concerned go absent within `max_age`, everything else goes on, a metric and the log say why, and
//! it recovers by itself.

use crate::support::{
    eventually,
    fake::{Fake, Mode},
    http,
    program::{Exposition, Program},
    servers::{self, Past},
    throughout,
};
use std::fmt::Write;

/// Seconds after which an outcome is not served any more.
const MAX_AGE: u64 = 8;
/// The level of every series here.
const LEVEL: f64 = 100.0;

/// A way to misbehave.
struct Fault {
    name: &'static str,
    /// `None`: it stops listening.
    mode: Option<Mode>,
    /// The causes that may be given for it; empty where it is not a failure.
    causes: &'static [&'static str],
    /// Whether its series must go absent.
    absent: bool,
}

const fn fault(name: &'static str, mode: Mode, causes: &'static [&'static str]) -> Fault {
    Fault {
        name,
        mode: Some(mode),
        causes,
        absent: true,
    }
}

const FAULTS: &[Fault] = &[
    Fault {
        name: "refusing",
        mode: None,
        causes: &["connect"],
        absent: true,
    },
    fault("hanging", Mode::Hang, &["timeout"]),
    fault("closing", Mode::Close, &["connect", "decode"]),
    fault("failing", Mode::Status(500), &["status"]),
    fault("unprocessable", Mode::Status(422), &["query"]),
    fault("forbidden", Mode::Status(403), &["status"]),
    fault("html", Mode::Html, &["decode"]),
    fault("half", Mode::Half, &["connect", "decode"]),
    fault("endless", Mode::Endless, &["limit"]),
    fault("wrong_types", Mode::WrongTypes, &["decode"]),
    // No number came, so there is none to go by; but the source did answer.
    Fault {
        name: "not_finite",
        mode: Some(Mode::NotFinite),
        causes: &[],
        absent: true,
    },
    Fault {
        name: "disordered",
        mode: Some(Mode::Disordered),
        causes: &[],
        absent: false,
    },
];

/// The source that never misbehaves, in the same process.
const WELL: &str = "well";
/// The source that cannot be found from the start.
const LOST: &str = "lost";

fn past() -> Past {
    servers::past("level", "/", LEVEL)
}

fn configuration(sources: &[(&str, String)]) -> String {
    let mut text = String::from("global: {evaluation_interval: 1s}\nsources:\n");
    for (name, address) in sources {
        writeln!(
            text,
            "  - name: {name}\n    prometheus: {{url: \"http://{address}\", timeout: 2s, connect_timeout: 1s, \
             idle_timeout: 1s, retries: 1, max_response_bytes: 1000000, \
             breaker: {{failures: 5, pause: 1s, max_pause: 2s}}}}"
        )
        .unwrap();
    }
    text.push_str("signals:\n");
    for (name, _) in sources {
        text.push_str(&signal(name, name));
    }
    text
}

fn signal(name: &str, source: &str) -> String {
    format!(
        "  - {{name: level_{name}, source: {source}, query: level, step: 1s, history: 2h, offset: 1s, \
         max_age: {MAX_AGE}s, seasonality: [], alerting: {{for: 3s, recover_for: 3s, refractory: 10s}}, \
         forecast: {{horizons: [5s]}}}}\n"
    )
}

/// The derived series of a signal.
fn lines(exposed: &Exposition, name: &str) -> Vec<String> {
    let label = format!("signal=\"level_{name}\"");
    let metrics = ["predicted_", "predicted_lower_", "predicted_upper_"];
    let metrics = metrics.map(|metric| format!("{metric}level_{name}{{"));
    let about = |line: &&str| {
        metrics.iter().any(|metric| line.starts_with(metric))
            || (line.starts_with("anomaly_score{") && line.contains(&label))
            || (line.starts_with("anomaly_active{") && line.contains(&label))
    };
    exposed
        .text
        .lines()
        .filter(about)
        .map(str::to_owned)
        .collect()
}

/// Everything published about a signal is sane: near the level, and calm.
fn assert_sane(exposed: &Exposition, name: &str) -> Result<(), String> {
    for line in lines(exposed, name) {
        let value: f64 = line.rsplit(' ').next().unwrap_or("").parse().unwrap();
        let sane = match line.as_str() {
            line if line.starts_with("anomaly_active") => value == 0.0,
            line if line.starts_with("anomaly_score") => (0.0..1.0).contains(&value),
            // The samples swing by 22 % around the level: where they are low, so is the upper bound.
            line if line.starts_with("predicted_lower_") => (0.0..1.22 * LEVEL).contains(&value),
            line if line.starts_with("predicted_upper_") => {
                (0.78 * LEVEL..2.0 * LEVEL).contains(&value)
            }
            _ => (0.7 * LEVEL..1.3 * LEVEL).contains(&value),
        };
        if !sane {
            return Err(line);
        }
    }
    Ok(())
}

fn present(program: &Program, name: &str) -> Result<(), String> {
    // Expected, lower and upper, now and at one horizon; score and verdict.
    let found = lines(&program.metrics()?, name);
    match found.len() {
        8 => Ok(()),
        other => Err(format!(
            "level_{name}: {other} series instead of 8: {found:#?}"
        )),
    }
}

fn absent(program: &Program, name: &str) -> Result<(), String> {
    match lines(&program.metrics()?, name).as_slice() {
        [] => Ok(()),
        some => Err(format!("level_{name}: still there: {some:?}")),
    }
}

fn failures(exposed: &Exposition, fault: &Fault) -> f64 {
    let source = format!("source=\"{}\"", fault.name);
    let of = |cause: &&str| {
        let cause = format!("cause=\"{cause}\"");
        exposed.values("forethought_source_failures_total", &[&source, &cause])
    };
    fault.causes.iter().flat_map(of).sum()
}

#[test]
fn a_source_that_misbehaves_harms_only_its_own_signals_and_for_a_while() {
    let mut fakes: Vec<Fake> = FAULTS.iter().map(|_| Fake::start(past())).collect();
    let well = Fake::start(past());
    let mut sources: Vec<(&str, String)> = FAULTS
        .iter()
        .zip(&fakes)
        .map(|(fault, fake)| (fault.name, fake.address()))
        .collect();
    sources.push((WELL, well.address()));
    sources.push((LOST, "forethought.invalid:9090".to_owned()));
    let program = Program::start(&configuration(&sources), &[]);
    for name in FAULTS.iter().map(|fault| fault.name).chain([WELL]) {
        eventually("every signal is published", 60, || present(&program, name));
    }
    let before = program.metrics().unwrap();
    // No season is given, so there is no seasonal naive to be better than.
    assert!(before.values("predicted_skill_ratio", &[]).is_empty());
    assert!(!before.values("predicted_error_ratio", &[]).is_empty());

    for (fault, fake) in FAULTS.iter().zip(&mut fakes) {
        match fault.mode {
            Some(mode) => fake.set(mode),
            None => fake.refuse(),
        }
    }
    throughout("what is published stays true", MAX_AGE + 6, || {
        let exposed = program.metrics()?;
        for name in FAULTS.iter().map(|fault| fault.name).chain([WELL]) {
            assert_sane(&exposed, name)?;
        }
        if exposed.text.contains("NaN") {
            return Err("NaN is exposed".to_owned());
        }
        present(&program, WELL)?;
        absent(&program, LOST)
    });

    for fault in FAULTS {
        assert_told(&program, &before, fault);
    }
    assert!(
        program.metrics().unwrap().values(
            "forethought_source_failures_total",
            &["source=\"lost\"", "cause=\"connect\"",]
        )[0] > 0.0
    );

    for (fault, fake) in FAULTS.iter().zip(&mut fakes) {
        match fault.mode {
            Some(_) => fake.set(Mode::Well),
            None => fake.resume(),
        }
    }
    for fault in FAULTS {
        eventually("it recovers by itself", 60, || {
            present(&program, fault.name)
        });
    }
    let exposed = program.metrics().unwrap();
    for fault in FAULTS {
        assert_eq!(assert_sane(&exposed, fault.name), Ok(()));
    }
}

/// The series are absent (or not, as the fault has it), and a metric, the status and the log say why.
fn assert_told(program: &Program, before: &Exposition, fault: &Fault) {
    let Fault { name, causes, .. } = fault;
    let after = program.metrics().unwrap();
    if !fault.absent {
        present(program, name).unwrap();
        let rejected = after.value(
            "forethought_source_samples_rejected_total",
            &[&format!("source=\"{name}\"")],
        );
        assert!(
            rejected.unwrap() > 0.0,
            "{name}: what was left out is counted"
        );
        return;
    }
    absent(program, name).unwrap();
    let status = program.json("/api/v1/status").unwrap();
    let units = status["units"].as_array().unwrap();
    let unit = units
        .iter()
        .find(|unit| unit["name"] == format!("level_{name}"))
        .unwrap();
    assert!(
        unit["silent_because"].is_string(),
        "{name}: the status says why: {unit}"
    );
    if causes.is_empty() {
        return;
    }
    let (was, is) = (failures(before, fault), failures(&after, fault));
    assert!(
        is > was,
        "{name}: no failure with a cause of {causes:?} was counted"
    );
    let said = program.log();
    let said = said.lines().filter(|line| line.contains(name));
    let told = said
        .filter(|line| causes.iter().any(|cause| line.contains(cause)))
        .count();
    assert!(
        told > 0,
        "{name}: no line in the log names a cause of {causes:?}"
    );
}

#[test]
fn a_broken_file_changes_nothing_until_it_is_mended() {
    let fake = Fake::start(past());
    let config = configuration(&[(WELL, fake.address())]);
    let program = Program::ready(&config, &["--web.enable-lifecycle"]);
    let successful = "forethought_config_last_reload_successful";
    let reload = || http::request("POST", program.address(), "/-/reload", &[], b"").unwrap();
    assert_eq!(program.metrics().unwrap().value(successful, &[]), Ok(1.0));

    program.rewrite(&config.replace("step: 1s", "stepp: 1s"));
    let refused = reload();
    assert!(refused.status >= 400, "{}", refused.status);
    assert!(
        refused.text().contains("stepp"),
        "the answer says what is wrong: {}",
        refused.text()
    );
    assert_eq!(program.metrics().unwrap().value(successful, &[]), Ok(0.0));
    throughout("the former configuration stays in force", 5, || {
        present(&program, WELL)
    });
    assert!(program.log().contains("stepp"));

    program.rewrite(&config);
    assert_eq!(reload().status, 200);
    assert_eq!(program.metrics().unwrap().value(successful, &[]), Ok(1.0));
}

#[test]
fn a_reload_by_hangup_leaves_unchanged_signals_untouched() {
    let fake = Fake::start(past());
    let config = configuration(&[(WELL, fake.address())]);
    let program = Program::ready(&config, &[]);
    eventually("it is published", 30, || present(&program, WELL));
    let evaluations = || {
        let name = "forethought_signal_evaluations_total";
        program
            .metrics()
            .unwrap()
            .value(name, &["signal=\"level_well\""])
            .unwrap()
    };
    let before = evaluations();

    program.rewrite(&format!("{config}{}", signal("second", WELL)));
    program.signal("HUP");
    eventually("the new signal is published", 60, || {
        present(&program, WELL)?; // at no time is the other one absent
        present(&program, "second")
    });
    assert!(
        evaluations() >= before,
        "the unchanged signal was not started anew"
    );

    program.rewrite(&config);
    program.signal("HUP");
    eventually("the removed signal is absent", 30, || {
        present(&program, WELL)?;
        absent(&program, "second")
    });
}

#[test]
fn a_changed_file_is_noticed_without_being_told() {
    let fake = Fake::start(past());
    let config = configuration(&[(WELL, fake.address())]);
    let program = Program::ready(&config, &["--config.poll-interval=1s"]);
    program.rewrite(&format!("{config}{}", signal("second", WELL)));
    eventually("the new signal is published", 60, || {
        present(&program, "second")
    });
}

#[test]
fn it_ends_at_once_when_told_to_while_it_reads_the_history() {
    let fake = Fake::start(past());
    fake.set(Mode::Hang);
    let mut program = Program::start(&configuration(&[(WELL, fake.address())]), &[]);
    eventually("it is alive and not ready", 10, || {
        let ready = http::request("GET", program.address(), "/-/ready", &[], b"")?;
        http::get(program.address(), "/-/healthy")?;
        if ready.status == 503 {
            Ok(())
        } else {
            Err(ready.text())
        }
    });
    absent(&program, WELL).unwrap();
    program.signal("TERM");
    let status = program.wait(10);
    assert_eq!(status.code(), Some(0), "{}", program.log());
}

#[test]
fn it_ends_in_good_order_when_told_to() {
    let fake = Fake::start(past());
    let mut program = Program::ready(&configuration(&[(WELL, fake.address())]), &[]);
    program.signal("TERM");
    assert_eq!(program.wait(10).code(), Some(0), "{}", program.log());
}
