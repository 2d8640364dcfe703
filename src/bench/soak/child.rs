//! The process under test.

use super::{METRIC, SIGNAL, SoakOptions};
use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{self, Command, Stdio},
};

/// A forethought of its own, which ends with this value.
#[derive(Debug)]
pub(super) struct Child {
    process: process::Child,
    folder: PathBuf,
    pub(super) address: SocketAddr,
}

impl Child {
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(options: &SoakOptions) -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("forethought-soak-{}", process::id()));
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(failed)?;
        let file = folder.join("forethought.yml");
        fs::write(&file, configuration(options)).map_err(failed)?;
        let address = free_address().map_err(|error| format!("no free port: {error}"))?;
        let log = File::create(folder.join("log")).map_err(failed)?;
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let process = Command::new(program)
            .arg("run")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--web.listen-address={address}"))
            .arg(format!("--storage.path={}", folder.join("data").display()))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("the process does not start: {error}"))?;
        Ok(Self {
            process,
            folder,
            address,
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it said last, where it has ended.
    pub(super) fn ended(&mut self) -> Option<String> {
        let status = self.process.try_wait().ok()??;
        // Where it cannot be read, nothing was said.
        let said = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let last = said.lines().last().unwrap_or_default();
        Some(format!("the process ended ({status}): {last}"))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// The history is as short as may be, so that what went is forgotten within the soak and not only after it.
fn configuration(options: &SoakOptions) -> String {
    let SoakOptions {
        url,
        interval,
        offset,
        series,
        ..
    } = options;
    let history = 128 * interval.as_millis() / 1_000;
    let most = (series * 2).clamp(1_000, 1_000_000);
    format!(
        "global: {{evaluation_interval: {interval}}}
sources:
  - name: database
    prometheus: {{url: {url:?}}}
signals:
  - name: {SIGNAL}
    query: {METRIC}
    step: {interval}
    offset: {offset}
    history: {history}s
    class: wide
    emit: anomalous
    max_series: {most}
    group_by: [namespace]
"
    )
}

fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
