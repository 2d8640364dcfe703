//! Tells the program what it was built from: revision, date, platform, and makes the code of KEDA's gRPC protocol from its
//! definition, without protoc. Never uses the network.
//!
//! For reproducible builds set `FORETHOUGHT_REVISION` and `SOURCE_DATE_EPOCH`.

#![expect(
    clippy::disallowed_methods,
    reason = "a build script is told by variables and answers on standard output"
)]

use std::{env, error::Error, process::Command};

const PROTOCOL: &str = "src/keda/externalscaler.proto";

fn main() -> Result<(), Box<dyn Error>> {
    tell_origin();
    generate_protocol()
}

fn generate_protocol() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTOCOL}");
    let files = protox::compile([PROTOCOL], ["src/keda"])?;
    tonic_prost_build::configure()
        .build_client(false)
        .compile_fds(files)?;
    Ok(())
}

fn tell_origin() {
    println!("cargo:rerun-if-env-changed=FORETHOUGHT_REVISION");
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo:rerun-if-changed=build.rs");
    // The revision changes with the commit: this file does, with every commit and checkout.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && std::path::Path::new(&log).exists()
    {
        println!("cargo:rerun-if-changed={log}");
    }
    let revision = env::var("FORETHOUGHT_REVISION")
        .ok()
        .or_else(|| git(&["rev-parse", "--short=12", "HEAD"]))
        .unwrap_or_else(|| "unknown".to_owned());
    let date = build_date().unwrap_or_else(|| "unknown".to_owned());
    let platform = env::var("TARGET").unwrap_or_else(|_| "unknown".to_owned());
    println!("cargo:rustc-env=FORETHOUGHT_REVISION={revision}");
    println!("cargo:rustc-env=FORETHOUGHT_BUILD_DATE={date}");
    println!("cargo:rustc-env=FORETHOUGHT_PLATFORM={platform}");
}

/// The day of the build: the one that is set, or that of the commit, so that the same source always
/// gives the same program.
fn build_date() -> Option<String> {
    let seconds: i64 = match env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse().ok()?,
        Err(_) => git(&["show", "-s", "--format=%ct", "HEAD"])?.parse().ok()?,
    };
    Some(date(seconds.div_euclid(86_400)))
}

/// The day so many days after 1970-01-01, in the Gregorian calendar (Hinnant, `civil_from_days`).
fn date(days: i64) -> String {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
