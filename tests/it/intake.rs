//! Sources whose samples come by themselves, from a target to `/metrics`.

mod commands;
mod examples;
mod life;
pub(crate) mod shop;
mod workloads;

use crate::support::{
    eventually, http, now,
    program::Program,
    servers::{Plain, instant, prometheus_of},
};
use forethought::series::Millis;
use serde_json::Value;
use shop::{Shop, configuration, leave_past};
use std::{collections::BTreeMap, thread::sleep, time::Duration};
use tempfile::TempDir;

/// Generous: the program is not optimised here, and shares the machine with the other tests. Alone it takes some 25 ms, as
/// the sample itself starts the evaluation.
const SOON: Duration = Duration::from_secs(5);

/// A target, a folder with its past, and the program.
pub(super) struct World {
    shop: Shop,
    program: Program,
    folder: TempDir,
    text: String,
}

impl World {
    /// The program over `rest` of a configuration, with a past of 75 minutes.
    pub(super) fn start(rest: &str) -> Self {
        let shop = Shop::start();
        let text = configuration(&shop.address(), rest);
        let folder = TempDir::new().unwrap();
        leave_past(folder.path(), &text, &shop.address());
        let program = run(&folder, &text);
        Self {
            shop,
            program,
            folder,
            text,
        }
    }
}

/// The program with this configuration, which keeps in `folder` what comes.
pub(super) fn run(folder: &TempDir, text: &str) -> Program {
    let storage = format!("--storage.path={}", folder.path().display());
    Program::ready(text, &[&storage])
}

/// The grid time of the newest value of each series of a signal.
pub(crate) fn newest(program: &Program, signal: &str) -> Result<BTreeMap<String, Millis>, String> {
    let shown = points(program, signal)?.into_iter();
    let newest = shown.filter_map(|(labels, values)| Some((labels, *values.last_key_value()?.0)));
    Ok(newest.collect())
}

/// The values of each series of a signal by grid time, as the charts have them.
pub(crate) fn points(
    program: &Program,
    signal: &str,
) -> Result<BTreeMap<String, BTreeMap<Millis, f64>>, String> {
    let all = program.json(&format!("/api/v1/series?signal={signal}"))?;
    let series = all["series"].as_array().cloned().unwrap_or_default();
    let known = |point: &Value| Some((point[0].as_i64()?, point[1].as_f64()?));
    let of = |one: &Value| {
        let points = one["points"].as_array().cloned().unwrap_or_default();
        (
            one["labels"].to_string(),
            points.iter().filter_map(known).collect(),
        )
    };
    Ok(series.iter().map(of).collect())
}

#[test]
fn a_jump_is_scored_as_soon_as_it_is_scraped() {
    let world = World::start("");
    let program = &world.program;
    for signal in ["shop_requests", "waiting_jobs"] {
        let name = format!("predicted_{signal}");
        let series = eventually("forecasts and scores are served", 60, || {
            let metrics = program.metrics()?;
            let of = format!("signal=\"{signal}\"");
            let scores = metrics.values("anomaly_score", &[&of]);
            let forecasts = metrics.values(&name, &["horizon=\"10s\""]);
            match scores.is_empty() || scores.len() != forecasts.len() {
                true => Err(format!("{} and {}", scores.len(), forecasts.len())),
                false => Ok((scores, forecasts)),
            }
        });
        let (scores, forecasts) = series;
        assert_eq!(scores.len(), if signal == "shop_requests" { 2 } else { 1 });
        assert!(scores.iter().all(|score| *score < 1.0), "{scores:?}");
        assert!(forecasts.iter().all(|value| *value > 30.0), "{forecasts:?}");
    }
    let served = world.shop.multiply(4.0);
    let took = loop {
        let metrics = program.metrics().unwrap();
        let score = metrics.value("anomaly_score", &["signal=\"waiting_jobs\""]);
        if score.as_ref().is_ok_and(|score| *score > 1.0) {
            break served.elapsed();
        }
        assert!(served.elapsed() < SOON, "not within {SOON:?}: {score:?}");
        sleep(Duration::from_millis(10));
    };
    println!("a jump was scored {took:?} after the scrape that saw it");
    let metrics = program.metrics().unwrap();
    let scores = metrics.values("anomaly_score", &["signal=\"shop_requests\""]);
    assert!(scores.iter().all(|score| *score < 1.0), "{scores:?}");
}

/// A Prometheus that scrapes the same target as often.
fn judge(address: &str) -> Plain {
    prometheus_of(|_| {
        format!(
            "{{global: {{scrape_interval: 1s}}, scrape_configs: [{{job_name: {}, static_configs: [{{targets: ['{address}']}}]}}]}}\n",
            shop::SOURCE
        )
    })
}

/// What Prometheus says of a selection in the middle of each second.
fn judged(judge: &Plain, query: &str, from: Millis, to: Millis) -> BTreeMap<Millis, f64> {
    let (query, shift) = (http::encode(query), 500);
    let seconds = |at: Millis| (at + shift) as f64 / 1_000.0;
    let (start, end) = (seconds(from), seconds(to));
    let path = format!("/api/v1/query_range?query={query}&start={start}&end={end}&step=1");
    let all = http::json(&judge.address, &path).unwrap();
    let values = all.pointer("/data/result/0/values").unwrap();
    let value = |one: &Value| {
        let at = (one[0].as_f64().unwrap() * 1_000.0).round() as Millis - shift;
        (at, one[1].as_str().unwrap().parse().unwrap())
    };
    values.as_array().unwrap().iter().map(value).collect()
}

#[test]
fn a_rate_is_what_prometheus_says_it_is() {
    let world = World::start("");
    let judge = judge(&world.shop.address());
    eventually("both know a while", 60, || {
        let query =
            "count_over_time(shop_requests_total{path=\"/cart\",pod=\"a\",code=\"200\"}[1m])";
        match instant(&judge.address, query)?.as_slice() {
            [(_, count)] if *count > 15.0 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let from = now() / 1_000 * 1_000;
    sleep(Duration::from_secs(20));
    world.shop.restart();
    let restarted = now();
    sleep(Duration::from_secs(44));
    let to = from + 60_000;
    let ours = points(&world.program, "shop_requests").unwrap();
    assert_eq!(ours.len(), 2, "{ours:?}");
    for path in shop::PATHS {
        let query = format!(
            "sum by (path) (rate(shop_requests_total{{code=\"200\",path=\"{path}\"}}[10s]))"
        );
        let theirs = judged(&judge, &query, from, to);
        let (_, own) = ours
            .iter()
            .find(|(labels, _)| labels.contains(path))
            .unwrap();
        let both = theirs
            .iter()
            .filter_map(|(at, value)| Some((*at, *own.get(at)?, *value)));
        let both: Vec<(Millis, f64, f64)> = both.collect();
        assert!(both.len() >= 58, "{} of {}", both.len(), theirs.len());
        // What was counted between the last scrape and a counter's new beginning is lost to whoever scrapes: up to one
        // second of the ten of a window, and not the same to both.
        let (mixed, whole): (Vec<_>, Vec<_>) = both
            .into_iter()
            .partition(|(at, _, _)| (-1_000..12_000).contains(&(at - restarted)));
        let mean = |of: fn(&(Millis, f64, f64)) -> f64| {
            whole.iter().map(of).sum::<f64>() / whole.len() as f64
        };
        let (mine, yours) = (mean(|one| one.1), mean(|one| one.2));
        let apart = |all: &[(Millis, f64, f64)]| {
            let all = all
                .iter()
                .map(|(_, mine, yours)| (mine / yours - 1.0).abs());
            let mut all: Vec<f64> = all.collect();
            all.sort_by(f64::total_cmp);
            (all[all.len() / 2], all[all.len() - 1])
        };
        let ((middle, worst), (_, mixed)) = (apart(&whole), apart(&mixed));
        println!(
            "{path}: {mine:.3} a second, Prometheus {yours:.3}; apart {middle:.3}, at most {worst:.3}, {mixed:.3} where counters began anew"
        );
        assert!((mine / yours - 1.0).abs() < 0.01, "{mine}, not {yours}");
        // At most a second lies between what the two saw last, and a swing moves a rate by four percent in it. Scrapes that
        // come late move the ends of a window, by up to a tenth of it.
        assert!(middle < 0.04 && worst < 0.2, "{middle}, {worst}");
        assert!(mixed < 0.25, "{mixed}");
    }
}

#[test]
fn what_is_not_scraped_any_more_is_absent_and_never_zero() {
    let mut world = World::start("");
    let program = &world.program;
    let shown = || -> Result<Vec<f64>, String> {
        let metrics = program.metrics()?;
        let names = ["predicted_waiting_jobs", "predicted_shop_requests"];
        let all = names.iter().flat_map(|name| metrics.values(name, &[]));
        let scores = metrics.values("anomaly_score", &["signal=\"waiting_jobs\""]);
        // A score is nothing that could be too small: it counts as one that is there.
        Ok(all.chain(scores.iter().map(|_| f64::MAX)).collect())
    };
    eventually("everything is served", 60, || match shown()?.len() {
        // Two horizons of three series, and a score.
        7 => Ok(()),
        other => Err(format!("{other}: {:?}", shown())),
    });
    // What is served at once is of the past: that a target ends is told by who has seen it.
    eventually("the target was scraped", 30, || {
        let up = program
            .metrics()?
            .value("forethought_scrape_targets", &["state=\"up\""])?;
        (up == 1.0).then_some(()).ok_or_else(|| format!("{up} up"))
    });
    world.shop.die();
    eventually("nothing is served any more", 30, || {
        let shown = shown()?;
        let wrong = shown.iter().find(|value| **value < 10.0);
        assert_eq!(wrong, None, "{shown:?}");
        match shown.len() {
            0 => Ok(()),
            some => Err(format!("{some}: {shown:?}")),
        }
    });
    let metrics = program.metrics().unwrap();
    let state = ["source=\"direct\"", "state=\"down\""];
    assert_eq!(metrics.value("forethought_scrape_targets", &state), Ok(1.0));
    world.shop.revive();
    eventually("it is served again", 60, || {
        let shown = shown()?;
        let wrong = shown.iter().find(|value| **value < 10.0);
        assert_eq!(wrong, None, "{shown:?}");
        match shown.len() {
            7 => Ok(()),
            some => Err(format!("{some}: {shown:?}")),
        }
    });
}
