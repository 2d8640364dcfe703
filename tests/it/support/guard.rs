//! Child processes that never outlive the test run, however it ends.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::Mutex,
    thread,
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::Instant;

/// Runs its arguments, kills them and removes their folder when its standard input ends, which is when the
/// test process is gone, even where that was killed itself. A guard in the test process could not do that,
/// and what is shared by the run is in a `static`, which is never dropped.
const SCRIPT: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
echo "$child" >"$FORETHOUGHT_TEST_FOLDER/pid"
(
  cat <&3
  # The number of a process that has ended may be another one's by now.
  [ -e "$FORETHOUGHT_TEST_FOLDER/ended" ] || kill -KILL "$child"
  sleep 0.2
  rm -rf "$FORETHOUGHT_TEST_FOLDER"
) >/dev/null 2>&1 &
wait "$child"
code=$?
: >"$FORETHOUGHT_TEST_FOLDER/ended"
exit "$code"
"#;

/// A running child process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Guarded {
    name: String,
    shell: Child,
    pid: u32,
    folder: TempDir,
}

impl Guarded {
    /// Starts `program` with arguments made of its own folder, which goes when it does. Its output goes
    /// to files there, see [`Guarded::log`].
    pub(crate) fn start(program: &str, arguments: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let folder = TempDir::new().unwrap();
        let arguments = arguments(folder.path());
        let pid_file = folder.path().join("pid");
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "guard", program])
            .args(arguments)
            .env("FORETHOUGHT_TEST_FOLDER", folder.path())
            .stdin(Stdio::piped())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap();
        let pid = super::eventually("the pid of a child", 10, || {
            let text = fs::read_to_string(&pid_file).map_err(|error| error.to_string())?;
            text.trim().parse().map_err(|_| format!("{text:?}"))
        });
        Self {
            name: program.rsplit('/').next().unwrap_or(program).to_owned(),
            shell,
            pid,
            folder,
        }
    }

    /// A path in a folder that lives as long as the process.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The number of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// What it wrote to standard error so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("stderr")).unwrap_or_default()
    }

    /// Sends a signal, named as `kill` names it (`TERM`, `HUP`).
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.pid.to_string()])
            .status()
            .unwrap();
        assert!(status.success(), "{} was gone before SIG{name}", self.name);
    }

    /// Its exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.shell.try_wait().unwrap()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, seconds: u64) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "{} did not end within {seconds} s:\n{}",
                self.name,
                self.log()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        if thread::panicking() {
            println!("---- {} ----\n{}", self.name, tail(&self.log(), 40));
        }
        // Killing takes effect at once; waiting for it only avoids a zombie.
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.ended().is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The last lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..)
        .unwrap_or_default()
        .join("\n")
}

/// A loopback port that nobody listens on; never the same twice in a run.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

/// Runs a tool to its end; both outputs as text in the error where it failed.
pub(crate) fn run(
    program: &str,
    arguments: &[&str],
    input: Option<&str>,
) -> Result<String, String> {
    let output = output(program, arguments, input);
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if output.status.success() {
        Ok(text)
    } else {
        Err(format!(
            "{program} {}: {}\n{text}",
            arguments.join(" "),
            output.status
        ))
    }
}

/// Runs a tool in the repository's root to its end.
pub(crate) fn output(program: &str, arguments: &[&str], input: Option<&str>) -> Output {
    let folder = TempDir::new().unwrap();
    let stdin = input.map_or_else(Stdio::null, |text| {
        let path = folder.path().join("input");
        fs::write(&path, text).unwrap();
        Stdio::from(File::open(path).unwrap())
    });
    Command::new(program)
        .args(arguments)
        .current_dir(super::root())
        .stdin(stdin)
        .output()
        .unwrap_or_else(|error| {
            panic!("{program}: {error}; `tests/install` installs what is missing")
        })
}
