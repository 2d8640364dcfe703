//! The program under test as a process of its own, on a port of the system's choice.

use super::{
    eventually,
    guard::{Guarded, tail},
    http,
};
use regex::Regex;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitStatus,
};

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_forethought");

/// A running forethought; killed when dropped.
pub(crate) struct Program {
    process: Guarded,
    address: String,
}

impl Program {
    /// Runs this configuration and waits until it listens.
    pub(crate) fn start(configuration: &str, flags: &[&str]) -> Self {
        let mut process = Guarded::start(BINARY, |folder| {
            arguments(folder, "127.0.0.1:0", configuration, flags)
        });
        let listening = Regex::new(r"listening.*?(127\.0\.0\.1:\d+)").unwrap();
        let address = eventually("forethought listens", 30, || {
            let log = process.log();
            if let Some(status) = process.ended() {
                panic!("forethought ended with {status}:\n{log}");
            }
            let found = listening.captures(&log).map(|found| found[1].to_owned());
            found.ok_or_else(|| tail(&log, 5))
        });
        Self { process, address }
    }

    /// Runs this configuration at this address, and waits for nothing. `before` is a command that starts it, such as one
    /// that sets limits first.
    pub(crate) fn launch(
        before: &[&str],
        address: &str,
        configuration: &str,
        flags: &[&str],
    ) -> Self {
        let (program, rest) = match before {
            [] => (BINARY, Vec::new()),
            [program, rest @ ..] => (*program, [rest, &[BINARY]].concat()),
        };
        let process = Guarded::start(program, |folder| {
            let own = arguments(folder, address, configuration, flags);
            let rest = rest.iter().map(|word| (*word).to_owned());
            rest.chain(own).collect()
        });
        let address = address.to_owned();
        Self { process, address }
    }

    /// Waits until it listens; what it said instead where it ended.
    pub(crate) fn listens(&mut self) {
        eventually("forethought listens", 60, || {
            if let Some(status) = self.process.ended() {
                panic!("forethought ended with {status}:\n{}", self.log());
            }
            http::get(&self.address, "/-/healthy")
        });
    }

    /// As [`Program::start`], and waits until it is ready.
    pub(crate) fn ready(configuration: &str, flags: &[&str]) -> Self {
        let program = Self::start(configuration, flags);
        program.becomes_ready();
        program
    }

    /// Waits until it is ready.
    pub(crate) fn becomes_ready(&self) {
        eventually("forethought is ready", 90, || {
            http::get(self.address(), "/-/ready").map_err(|why| {
                let status = self.json("/api/v1/status").unwrap_or_default();
                format!("{why}\n{status:#}")
            })
        });
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Where it answers KEDA, with `--grpc.listen-address`.
    pub(crate) fn grpc_address(&self) -> String {
        let pattern = Regex::new(r"KEDA's operator.*?(127\.0\.0\.1:\d+)").unwrap();
        eventually("KEDA is answered", 10, || {
            let log = self.log();
            let found = pattern.captures(&log).map(|found| found[1].to_owned());
            found.ok_or(log)
        })
    }

    /// Where it answers Kubernetes' API server, with `--external.listen-address`.
    pub(crate) fn external_address(&self) -> String {
        let pattern = Regex::new(r"external\.metrics\.k8s\.io.*?(127\.0\.0\.1:\d+)").unwrap();
        eventually("external metrics are answered", 10, || {
            let log = self.log();
            let found = pattern.captures(&log).map(|found| found[1].to_owned());
            found.ok_or(log)
        })
    }

    /// The configuration file it was started with.
    pub(crate) fn file(&self) -> PathBuf {
        self.process.path("forethought.yml")
    }

    /// Puts another text into the configuration file, in one step as editors and ConfigMaps do.
    pub(crate) fn rewrite(&self, configuration: &str) {
        let draft = self.process.path("draft.yml");
        fs::write(&draft, configuration).unwrap();
        fs::rename(draft, self.file()).unwrap();
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Bytes of memory that it has.
    pub(crate) fn resident(&self) -> f64 {
        let shown = self.metrics().unwrap();
        shown.value("process_resident_memory_bytes", &[]).unwrap()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, seconds: u64) -> ExitStatus {
        self.process.wait(seconds)
    }

    /// What it exposes, in the plain text format.
    pub(crate) fn metrics(&self) -> Result<Exposition, String> {
        let reply = http::get(&self.address, "/metrics")?;
        Ok(Exposition::new(reply.text()))
    }

    /// A JSON document of its API.
    pub(crate) fn json(&self, path: &str) -> Result<Value, String> {
        http::json(&self.address, path)
    }
}

/// The arguments of `run`.
fn arguments(folder: &Path, address: &str, configuration: &str, flags: &[&str]) -> Vec<String> {
    let file = folder.join("forethought.yml");
    fs::write(&file, configuration).unwrap();
    let mut arguments = vec![
        "run".to_owned(),
        format!("--config.file={}", file.display()),
        format!("--web.listen-address={address}"),
    ];
    if !flags.iter().any(|flag| flag.starts_with("--storage.path=")) {
        arguments.push(format!("--storage.path={}/data", folder.display()));
    }
    arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
    arguments
}

/// An exposition in the plain text format.
#[derive(Debug, Clone)]
pub(crate) struct Exposition {
    /// As it came.
    pub(crate) text: String,
}

impl Exposition {
    /// What came as text.
    pub(crate) fn new(text: String) -> Self {
        Self { text }
    }

    /// The values of the series of this name whose labels hold all of these words, such as
    /// `signal="x"`.
    pub(crate) fn values(&self, name: &str, words: &[&str]) -> Vec<f64> {
        self.lines(name, words)
            .map(|line| {
                let value = line.rsplit(' ').next().unwrap_or("");
                value
                    .parse()
                    .unwrap_or_else(|_| panic!("not a sample: {line}"))
            })
            .collect()
    }

    /// The value of the only series of this name and labels.
    pub(crate) fn value(&self, name: &str, words: &[&str]) -> Result<f64, String> {
        match self.values(name, words).as_slice() {
            [value] => Ok(*value),
            other => Err(format!(
                "{name} {words:?}: {} series instead of one",
                other.len()
            )),
        }
    }

    /// The lines of the samples of this name whose labels hold all of these words.
    pub(crate) fn lines<'a>(
        &'a self,
        name: &'a str,
        words: &'a [&str],
    ) -> impl Iterator<Item = &'a str> {
        self.text.lines().filter(move |line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
                && words.iter().all(|word| line.contains(word))
        })
    }

    /// The names of all families, from their `# TYPE` lines.
    pub(crate) fn families(&self) -> Vec<&str> {
        let of = |line: &'_ str| {
            line.strip_prefix("# TYPE ")?
                .split(' ')
                .next()
                .map(str::len)
        };
        let start = "# TYPE ".len();
        self.text
            .lines()
            .filter_map(|line| line.get(start..start + of(line)?))
            .collect()
    }
}

/// Runs the program's command line to its end: exit code, standard output, standard error.
pub(crate) fn command(arguments: &[&str]) -> (i32, String, String) {
    let output = super::guard::output(BINARY, arguments, None);
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}
