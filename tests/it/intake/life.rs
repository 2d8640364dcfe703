//! What is kept over restarts and reloads, and what becomes of a file that is damaged.

use super::{
    World, points, run,
    shop::{PATHS, SOURCE},
};
use crate::support::{eventually, now, program::Program};
use forethought::series::Millis;
use std::{collections::BTreeMap, fs, thread::sleep, time::Duration};

/// Values by grid time.
type Series = BTreeMap<Millis, f64>;

/// Time between two snapshots, seconds.
const SNAPSHOT: f64 = 60.0;
/// What a slow machine may take to end and to begin.
const SLACK: f64 = 15.0;

/// Waits until every series of a signal has a value of a second since `after`, and gives the values by time.
fn known(program: &Program, signal: &str, after: Millis) -> Vec<Series> {
    eventually("the newest value is there", 60, || {
        let all = points(program, signal)?;
        let wanted = if signal == "shop_requests" {
            PATHS.len()
        } else {
            1
        };
        let has = |one: &Series| one.last_key_value().is_some_and(|(at, _)| *at >= after);
        match all.len() == wanted && all.values().all(has) {
            true => Ok(all.into_values().collect()),
            false => Err(format!("{} series", all.len())),
        }
    })
}

/// Waits until most of the seconds from `from` to `to` have a value: a unit that is made anew reads them again.
fn assert_past(program: &Program, signal: &str, (from, to): (Millis, Millis)) {
    let wanted = (to - from) as f64 / 1_000.0;
    eventually("the past is there", 60, || {
        for series in known(program, signal, now() - 5_000) {
            assert!(series.values().all(|value| *value > 1.0), "{series:?}");
            let count = series.range(from..to).count() as f64;
            if count < 0.97 * wanted {
                let all = series.len();
                return Err(format!("{signal}: {count} of {wanted} seconds, of {all}"));
            }
        }
        Ok(())
    });
}

fn gap(program: &Program) -> f64 {
    let metrics = program.metrics().unwrap();
    let source = format!("source=\"{SOURCE}\"");
    metrics
        .value("forethought_intake_gap_seconds", &[&source])
        .unwrap()
}

#[test]
fn a_restart_goes_on_where_it_was_and_a_crash_loses_a_snapshot_at_most() {
    let world = World::start("");
    let began = now();
    // A process that took over what another one left has it, and ends with all of its own.
    assert_past(
        &world.program,
        "waiting_jobs",
        (began - 120_000, began - 5_000),
    );
    sleep(Duration::from_secs(15));
    let World {
        mut program,
        folder,
        text,
        shop,
    } = world;
    let stopped = now();
    program.signal("TERM");
    assert!(program.wait(30).success());
    let mut program = run(&folder, &text);
    let lost = gap(&program);
    println!("an orderly restart: nothing is known of {lost:.1} s");
    assert!((0.0..SLACK).contains(&lost), "{lost}");
    for signal in ["shop_requests", "waiting_jobs"] {
        assert_past(&program, signal, (stopped - 60_000, stopped - 3_000));
    }

    let source = format!("source=\"{SOURCE}\"");
    eventually("a snapshot was written", 90, || {
        let written = [source.as_str(), "result=\"written\""];
        match program
            .metrics()?
            .value("forethought_intake_snapshots_total", &written)?
        {
            0.0 => Err("none yet".to_owned()),
            _ => Ok(()),
        }
    });
    let written = now();
    sleep(Duration::from_secs(10));
    let killed = now();
    program.signal("KILL");
    program.wait(30);
    let program = run(&folder, &text);
    let lost = gap(&program);
    println!("a crash: nothing is known of {lost:.1} s");
    assert!((9.0..SNAPSHOT + SLACK).contains(&lost), "{lost}");
    for signal in ["shop_requests", "waiting_jobs"] {
        assert_past(&program, signal, (written - 60_000, written - 20_000));
        for series in known(&program, signal, now() - 5_000) {
            let between = series.range(written + 5_000..killed - 2_000).count();
            // Of a gauge the newest sample holds, as PromQL looks back; a rate of ten seconds does not.
            let most = if signal == "shop_requests" {
                3
            } else {
                usize::MAX
            };
            assert!(
                between <= most,
                "{signal}: {between} values that nobody saw"
            );
        }
    }
    drop(shop);
}

#[test]
fn a_damaged_history_is_put_aside_and_told() {
    let world = World::start("");
    let World {
        mut program,
        folder,
        text,
        shop,
    } = world;
    program.signal("TERM");
    assert!(program.wait(30).success());
    let file = folder.path().join(format!("{SOURCE}.history"));
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    fs::write(&file, &bytes).unwrap();
    let mut program = run(&folder, &text);
    let log = program.log();
    let told = log
        .lines()
        .find(|line| line.contains("cannot be used; it begins anew"));
    let told = told.unwrap_or_else(|| panic!("{log}"));
    assert!(told.contains("checksum") && told.contains(SOURCE), "{told}");
    let aside = folder.path().join(format!("{SOURCE}.history.damaged"));
    assert_eq!(fs::read(&aside).unwrap(), bytes, "as it was found");
    known(&program, "waiting_jobs", now() - 3_000);
    program.signal("TERM");
    assert!(program.wait(30).success());
    assert!(file.exists(), "its own was written");
    drop(shop);
}

#[test]
fn a_reload_that_changes_one_selection_keeps_the_past_of_the_others() {
    let world = World::start("");
    let program = &world.program;
    let before = now();
    // What else changes makes the unit anew: it reads its past again, and that is the hub's.
    let changed = world
        .text
        .replace(
            "select: shop_waiting_jobs",
            "select: shop_waiting_jobs{queue=~\"m.*\"}",
        )
        .replace("window: 10s", "window: 10s\n    sustained_scores: true");
    assert_ne!(changed, world.text);
    program.rewrite(&changed);
    program.signal("HUP");
    eventually("the reload was done", 30, || {
        let metrics = program.metrics()?;
        let at = metrics.value(
            "forethought_config_last_reload_success_timestamp_seconds",
            &[],
        )?;
        match at * 1_000.0 >= before as f64 {
            true => Ok(()),
            false => Err(program.log()),
        }
    });
    assert_past(program, "shop_requests", (before - 120_000, before - 3_000));
    for series in known(program, "waiting_jobs", now() - 3_000) {
        let first = series.first_key_value().map(|(at, _)| *at);
        // The series itself was known, and so its newest sample is; its past was that of another selection.
        assert!(
            first.is_some_and(|at| at >= before - 10_000),
            "{first:?}, not {before}"
        );
    }
}
