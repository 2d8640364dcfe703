//! A real browser under the tests' control: Chromium's DevTools protocol over its debugging pipe.
//!
//! The pipe needs no port, no WebSocket and no driver program, and a browser whose pipe closes ends
//! itself: it cannot outlive the test run.

use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::Instant;

/// How long one answer of the browser may take, and what the page is waited for; the start of both on a busy machine is the
/// slowest.
const PATIENCE: Duration = Duration::from_secs(300);

const SWITCHES: [&str; 15] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--mute-audio",
    "--lang=en-GB",
    "--remote-debugging-pipe",
];

/// A running browser with one page; ended when dropped.
#[derive(Debug)]
pub(super) struct Browser {
    process: Child,
    commands: File,
    messages: Receiver<Value>,
    session: Option<String>,
    last: u64,
    events: VecDeque<Value>,
    _folder: TempDir,
}

impl Browser {
    /// Starts the browser and opens an empty page.
    pub(super) fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let pipe = |name: &str| {
            let path = folder.path().join(name);
            let made = Command::new("mkfifo").arg(&path).status().unwrap();
            assert!(made.success(), "mkfifo {}", path.display());
            path
        };
        let (inward, outward) = (pipe("in"), pipe("out"));
        let process = launch(folder.path(), &inward, &outward);
        // In the order in which the shell opens them: each opening waits for the other side.
        let commands = OpenOptions::new().write(true).open(&inward).unwrap();
        let messages = listen(File::open(&outward).unwrap());
        let mut browser = Self {
            process,
            commands,
            messages,
            session: None,
            last: 0,
            events: VecDeque::new(),
            _folder: folder,
        };
        browser.attach();
        browser
    }

    fn attach(&mut self) {
        let target = self.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached = self.call(
            "Target.attachToTarget",
            json!({"targetId": target["targetId"], "flatten": true}),
        );
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Network", "Log"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
    }

    /// Calls a method of the protocol and gives its result.
    pub(super) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.commands.write_all(&bytes).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = match self.messages.recv_timeout(left) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => panic!("{method}: no answer of the browser"),
                Err(RecvTimeoutError::Disconnected) => panic!("{method}: the browser ended"),
            };
            if answer["id"] != json!(self.last) {
                self.events.push_back(answer);
                continue;
            }
            assert!(
                answer.get("error").is_none(),
                "{method}: {}",
                answer["error"]
            );
            return answer["result"].clone();
        }
    }

    /// Opens an address and waits until it is loaded.
    pub(super) fn open(&mut self, url: &str) {
        let opened = self.call("Page.navigate", json!({"url": url}));
        assert!(opened.get("errorText").is_none(), "{url}: {opened}");
        self.wait("the page to load", "document.readyState === 'complete'");
    }

    /// The value of a JavaScript expression (awaited where it is a promise).
    pub(super) fn evaluate(&mut self, expression: &str) -> Value {
        let given = self.call(
            "Runtime.evaluate",
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true}),
        );
        let problem = given.get("exceptionDetails");
        assert!(
            problem.is_none(),
            "{expression}: {}",
            problem.unwrap_or(&Value::Null)
        );
        given["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(super) fn wait(&mut self, what: &str, expression: &str) {
        self.wait_for(what, &format!("Boolean({expression})"));
    }

    /// Waits until an expression is neither false nor null, and gives what it is then.
    pub(super) fn wait_for(&mut self, what: &str, expression: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.evaluate(expression);
            if !matches!(found, Value::Null | Value::Bool(false)) {
                return found;
            }
            if Instant::now() > deadline {
                let text = self.evaluate("document.body.innerText.slice(0, 1500)");
                panic!("waited in vain for {what}: {expression}; the page says {text}");
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Sets the size of the window in CSS pixels.
    pub(super) fn size(&mut self, width: u32, height: u32) {
        let mobile = width < 600;
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}),
        );
    }

    /// Sets what the person prefers: `light` or `dark`, and whether motion is to be reduced.
    pub(super) fn prefer(&mut self, scheme: &str, reduced_motion: bool) {
        let motion = if reduced_motion {
            "reduce"
        } else {
            "no-preference"
        };
        self.call(
            "Emulation.setEmulatedMedia",
            json!({"features": [
                {"name": "prefers-color-scheme", "value": scheme},
                {"name": "prefers-reduced-motion", "value": motion},
            ]}),
        );
    }

    /// Presses and releases a key by its name, such as `Tab` or `ArrowLeft`.
    pub(super) fn press(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowRight" => 39,
            other => panic!("no code is known for the key {other}"),
        };
        // Only a key that gives a character activates what has the focus.
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            self.call(
                "Input.dispatchKeyEvent",
                json!({"type": kind, "key": key, "code": key, "text": text, "windowsVirtualKeyCode": code}),
            );
        }
    }

    /// A picture of the window, as PNG.
    pub(super) fn picture(&mut self) -> Vec<u8> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let taken = self.call("Page.captureScreenshot", json!({"format": "png"}));
        STANDARD.decode(taken["data"].as_str().unwrap()).unwrap()
    }

    /// The addresses asked for so far.
    pub(super) fn requests(&mut self) -> Vec<String> {
        self.events("Network.requestWillBeSent", |event| {
            event["request"]["url"].clone()
        })
    }

    /// What the browser complained about so far: exceptions, errors on the console, refused content.
    pub(super) fn complaints(&mut self) -> Vec<String> {
        let mut all = self.events("Runtime.exceptionThrown", |event| {
            event["exceptionDetails"].clone()
        });
        all.extend(self.events("Log.entryAdded", |event| event["entry"].clone()));
        all.extend(self.events("Runtime.consoleAPICalled", |event| event["args"].clone()));
        all
    }

    fn events(&mut self, method: &str, of: impl Fn(&Value) -> Value) -> Vec<String> {
        self.call("Runtime.evaluate", json!({"expression": "0"})); // takes in what has arrived
        let wanted = self
            .events
            .iter()
            .filter(|event| event["method"] == json!(method));
        let texts = wanted.map(|event| match of(&event["params"]) {
            Value::String(text) => text,
            other => other.to_string(),
        });
        texts.collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill and nothing to say.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The program: `FORETHOUGHT_CHROMIUM`, or `chromium` from the path.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no command line to be told by"
)]
fn program() -> String {
    std::env::var("FORETHOUGHT_CHROMIUM").unwrap_or_else(|_| "chromium".to_owned())
}

fn launch(folder: &Path, inward: &PathBuf, outward: &PathBuf) -> Child {
    let program = program();
    let found = Command::new(&program)
        .arg("--version")
        .stderr(Stdio::null())
        .output();
    assert!(
        found.is_ok_and(|output| output.status.success()),
        "{program:?} does not run: install it (apt-get install --no-install-recommends chromium \
         fonts-dejavu-core, or tests/install), or name it in FORETHOUGHT_CHROMIUM"
    );
    // Chromium speaks on the descriptors 3 and 4, which only a shell can set without unsafe code.
    Command::new("sh")
        .args([
            "-c",
            r#"in=$1 out=$2; shift 2; exec "$@" 3<"$in" 4>"$out""#,
            "browser",
        ])
        .args([inward, outward])
        .arg(program)
        .args(SWITCHES)
        .arg(format!(
            "--user-data-dir={}",
            folder.join("profile").display()
        ))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn listen(from: File) -> Receiver<Value> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut message = Vec::new();
        while reader
            .read_until(0, &mut message)
            .is_ok_and(|read| read > 0)
        {
            let parsed = serde_json::from_slice(message.strip_suffix(&[0]).unwrap_or(&message));
            let Ok(parsed) = parsed else { break };
            if sender.send(parsed).is_err() {
                break;
            }
            message.clear();
        }
    });
    receiver
}
