//! `forethought train`, as a person uses it, and what is in force when it fails.

use super::*;
use crate::{cli::dispatch, contract::Trust, registry::Registry};
use std::{ffi::OsString, fs};
use tempfile::TempDir;

fn call(arguments: &[&str]) -> (String, Option<Failure>) {
    let mut out = Vec::new();
    let all = ["forethought", "train"].iter().chain(arguments);
    let result = dispatch(all.map(OsString::from), &mut out);
    (String::from_utf8(out).unwrap(), result.err())
}

/// Hours of a course that is high or low for a day, so that the day before is a poor guide.
fn hours(days: usize) -> Vec<f64> {
    let mut rng = fastrand::Rng::with_seed(11);
    let mut height = 0.0;
    let value = |hour: usize| {
        if hour.is_multiple_of(24) {
            height = 10.0 + 30.0 * rng.f64();
        }
        100.0 + height * (std::f64::consts::TAU * hour as f64 / 24.0).sin() + rng.f64()
    };
    (0..days * 24).map(value).collect()
}

/// A folder with samples in a file.
fn world() -> (TempDir, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let lines = hours(35).into_iter().enumerate();
    let lines = lines.map(|(hour, value)| format!("{},{value}\n", 1_700_006_400 + hour * 3_600));
    let text = format!("timestamp,load\n{}", lines.collect::<String>());
    let (csv, models) = (folder.path().join("load.csv"), folder.path().join("models"));
    fs::write(&csv, text).unwrap();
    let arguments = [
        format!("--csv={}", csv.display()),
        format!("--models.directory={}", models.display()),
        "--step=1h".to_owned(),
        "--history=21d".to_owned(),
        "--horizons=1h,3h".to_owned(),
        "--window=12".to_owned(),
        "--features=value,day_sin_1,day_cos_1".to_owned(),
    ];
    (folder, arguments.to_vec())
}

fn with(arguments: &[String], more: &[&str]) -> (String, Option<Failure>) {
    let all: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect();
    call(&all)
}

#[test]
fn the_first_is_put_in_force_and_one_that_is_no_better_is_not() {
    let (folder, arguments) = world();
    let models = Registry::new(folder.path().join("models"), Trust::default(), 5);
    let (out, failure) = with(&arguments, &["--dry-run", "--epochs=2"]);
    assert!(failure.is_none(), "{failure:?}");
    assert!(
        out.contains("load/1: not stored, as asked for; would"),
        "{out}"
    );
    assert!(!folder.path().join("models").exists());

    let (out, failure) = with(&arguments, &["--epochs=40"]);
    assert!(failure.is_none(), "{failure:?}");
    assert!(
        out.contains("Learnt from 1 series, 2023-11-15T00:00:00Z to"),
        "{out}"
    );
    assert!(out.contains("HORIZON  FORECASTER"), "{out}");
    assert!(
        out.contains("Than seasonal_naive: mean absolute error"),
        "{out}"
    );
    assert!(out.ends_with("load/1: stored and put in force\n"), "{out}");
    let manifest = models.manifest("load", "1").unwrap();
    assert!(
        manifest.scores["gain_on_naive"] > 0.02,
        "{:?}",
        manifest.scores
    );

    let (out, failure) = with(&arguments, &["--epochs=40", "--threads=1"]);
    assert!(failure.is_none(), "not better is no failure: {failure:?}");
    let why = "load/2: stored, not put in force: its mean absolute error is 0.0 % lower than that of load/1, which is in force";
    assert!(out.contains(why), "{out}");
    assert!(out.contains("forethought models promote load 2"), "{out}");
    assert_eq!(models.in_force("load").unwrap().version, "1");
    let both = ["1", "2"].map(|version| models.manifest("load", version).unwrap());
    assert_eq!(
        both[0].sha256, both[1].sha256,
        "the same seed gives the same bytes"
    );
    assert_eq!(both[1].parent.as_deref(), Some("1"));
    assert_eq!(models.versions("load").unwrap(), ["1", "2"]);
}

#[test]
fn horizons_of_the_version_in_force_are_not_lost() {
    let (_folder, arguments) = world();
    let (out, _) = with(&arguments, &["--epochs=40"]);
    assert!(out.ends_with("load/1: stored and put in force\n"), "{out}");
    let mut fewer = arguments.clone();
    fewer.retain(|one| !one.starts_with("--horizons"));
    let (out, failure) = with(&fewer, &["--horizons=3h", "--epochs=2"]);
    assert!(failure.is_none(), "{failure:?}");
    let why = "it does not answer what the version in force does: 1h";
    assert!(out.contains(why), "{out}");
}

#[test]
fn an_error_above_the_bound_is_stored_and_not_put_in_force() {
    let (folder, arguments) = world();
    let (out, failure) = with(
        &arguments,
        &["--epochs=1", "--model=other", "--max-error=0.0001"],
    );
    assert!(failure.is_none(), "{failure:?}");
    assert!(out.contains("above the 0.0 % that are allowed"), "{out}");
    let models = Registry::new(folder.path().join("models"), Trust::default(), 5);
    assert_eq!(models.versions("other").unwrap(), ["1"]);
    assert_eq!(models.pin("other").unwrap(), None);
}

#[test]
fn features_that_look_back_further_than_is_kept_are_refused() {
    let (_folder, mut arguments) = world();
    arguments.retain(|one| !one.starts_with("--features") && !one.starts_with("--history"));
    let more = [
        "--history=7d",
        "--features=value,lag_6d",
        "--dry-run",
        "--epochs=1",
    ];
    let (_, failure) = with(&arguments, &more);
    let failure = failure.unwrap();
    assert_eq!(failure.exit_code(), 2);
    let problem = failure.to_string();
    assert!(
        problem.contains("--features: with the window they look back on 156h"),
        "{problem}"
    );
    assert!(problem.contains("set history to 272h"), "{problem}");
    let (out, failure) = with(&arguments, &["--history=272h", more[1], more[2], more[3]]);
    assert!(failure.is_none(), "{failure:?} {out}");
}

#[test]
fn what_is_wrong_is_said_before_anything_is_trained() {
    let (_folder, arguments) = world();
    for (more, wanted) in [
        (&["--margin=1.5"][..], "--margin: 1.5 is not within"),
        (&["--max-error=0"], "--max-error: 0 is not above 0"),
        (&["--model=a/b"], "--model: \"a/b\" is not allowed"),
        (
            &["--signal=other"],
            "--signal: there is no signal \"other\"; signals: load",
        ),
        (
            &["--models.signing-key=/nowhere"],
            "--models.signing-key: cannot read",
        ),
        (
            &[concat!(
                "--models.signing-key=",
                env!("CARGO_MANIFEST_DIR"),
                "/Cargo.toml"
            )],
            "--models.signing-key: not an Ed25519 private key",
        ),
    ] {
        let (out, failure) = with(&arguments, more);
        let failure = failure.unwrap();
        assert!(failure.to_string().contains(wanted), "{failure}");
        assert_eq!((failure.exit_code(), out.as_str()), (2, ""), "{more:?}");
    }
    let mut short = arguments.clone();
    short.retain(|one| !one.starts_with("--horizons") && !one.starts_with("--models"));
    let (_, failure) = with(&short, &["--horizons=90m"]);
    assert_eq!(failure.unwrap().exit_code(), 2);
    let (_, failure) = with(&short, &["--horizons=1h"]);
    assert!(
        failure
            .unwrap()
            .to_string()
            .contains("--models.directory: where")
    );
    let (_, failure) = with(&short, &["--horizons=7d", "--dry-run", "--seed=2"]);
    let failure = failure.unwrap();
    assert_eq!(failure.exit_code(), 1);
    assert!(failure.to_string().contains("too short: 35d"), "{failure}");
}

#[test]
fn a_key_that_nobody_trusts_is_found_out_before_training() {
    let key = || ring::signature::Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new());
    let (ours, theirs) = (key().unwrap(), key().unwrap());
    let trust = Trust {
        required: true,
        keys: vec![seal::public_key(ours.as_ref()).unwrap()],
    };
    assert!(fits(ours.as_ref(), &trust).is_ok());
    let nobody = Trust::default();
    assert!(fits(theirs.as_ref(), &nobody).is_ok(), "nobody is named");
    let problem = fits(theirs.as_ref(), &trust).unwrap_err();
    let public = seal::public_key(theirs.as_ref()).unwrap().text();
    assert_eq!(
        problem,
        format!("its public key, {public}, is not among models.trusted_keys")
    );
}
