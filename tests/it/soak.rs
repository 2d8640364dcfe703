//! `bench soak`, for seconds instead of hours.

use crate::support::{program::BINARY, servers::victoria_metrics_of_its_own};
use std::process::Command;

#[test]
fn a_soak_tells_how_fresh_what_is_shown_is() {
    let database = victoria_metrics_of_its_own();
    let url = format!("--url=http://{}", database.address);
    let arguments = [
        "bench",
        "soak",
        &url,
        "--series=300",
        "--interval=2s",
        "--offset=1s",
        "--churn=1",
        "--lasts=12s",
    ];
    let done = Command::new(BINARY).args(arguments).output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{text}{said}");
    assert!(
        text.contains("300 series every 2s, 100 % of them replaced"),
        "{text}"
    );
    let oldest = text
        .split("became: ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let oldest: f64 = oldest.unwrap().parse().unwrap();
    // No younger than the offset and a step, no older than both and what a busy machine adds.
    assert!((3.0..30.0).contains(&oldest), "{text}");
}
