//! The real servers: Prometheus with history behind it, Alertmanager, VictoriaMetrics. One of each serves
//! the whole run, on loopback; their data goes with them.

use super::{
    eventually, files, guard, guard::Guarded, guard::free_port, guard::run, http, live::Job, now,
    read, root,
};
use serde_json::Value;
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Seconds between two samples of the history.
pub(crate) const HISTORY_STEP: i64 = 2;
/// Seconds of history.
pub(crate) const HISTORY: i64 = 3 * 3_600;

/// A series with a past: a daily season squeezed into minutes, and noise from a fixed seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Past {
    /// The metric's name.
    pub(crate) metric: &'static str,
    /// The value of the label `path`.
    pub(crate) path: &'static str,
    /// Its middle.
    pub(crate) level: f64,
    /// How far it swings to either side, as a share of that.
    pub(crate) swing: f64,
    /// Length of its season, seconds.
    pub(crate) season: f64,
}

/// One with the usual season.
pub(crate) const fn past(metric: &'static str, path: &'static str, level: f64) -> Past {
    Past {
        metric,
        path,
        level,
        swing: 0.2,
        season: 600.0,
    }
}

/// Jobs that go on from the start of the run to its end, whoever looks: for who must find no hole in them.
const ALWAYS: [&str; 3] = ["fleet", "pulse", "twins"];

/// The series with a past, by the job that goes on exposing them.
pub(crate) const PASTS: &[(&str, &[Past])] = &[
    (
        "shop",
        &[
            past("shop_requests_per_second", "/cart", 100.0),
            past("shop_requests_per_second", "/checkout", 40.0),
            past("shop_requests_per_second", "/search", 400.0),
        ],
    ),
    (
        "twins",
        &[
            past("twins_queue_messages", "/in", 50.0),
            past("twins_queue_messages", "/out", 70.0),
        ],
    ),
    // Enough to be divided: zones by the first letter.
    (
        "fleet",
        &[
            past("fleet_load", "/a1", 20.0),
            past("fleet_load", "/a2", 21.0),
            past("fleet_load", "/a3", 20.5),
            past("fleet_load", "/b1", 50.0),
            past("fleet_load", "/b2", 51.0),
            past("fleet_load", "/b3", 50.5),
            past("fleet_load", "/c1", 80.0),
            past("fleet_load", "/c2", 81.0),
            past("fleet_load", "/c3", 80.5),
            past("fleet_load", "/d1", 90.0),
            past("fleet_load", "/d2", 91.0),
            past("fleet_load", "/d3", 90.5),
        ],
    ),
    // Goes up and down fast enough for a test to see all of it.
    (
        "pulse",
        &[Past {
            swing: 0.5,
            season: 60.0,
            ..past("pulse_requests_per_second", "/", 400.0)
        }],
    ),
];

impl Past {
    /// The value at a time, in seconds since the epoch.
    pub(crate) fn at(&self, seconds: i64) -> f64 {
        let season = (seconds as f64 * std::f64::consts::TAU / self.season).sin();
        // The noise is a function of the time, so that live values and history are of one kind.
        let mut generator = fastrand::Rng::with_seed(seconds as u64 ^ self.path.len() as u64);
        self.level * (1.0 + self.swing * season + 0.04 * (generator.f64() - 0.5))
    }

    /// As an exposed line, with the value multiplied.
    pub(crate) fn line(&self, seconds: i64, factor: f64) -> String {
        let Self { metric, path, .. } = self;
        format!(
            "{metric}{{path=\"{path}\"}} {}\n",
            self.at(seconds) * factor
        )
    }
}

/// When the history ends, in seconds since the epoch: the start of the run, the same for every server.
pub(crate) fn history_end() -> i64 {
    static END: OnceLock<i64> = OnceLock::new();
    *END.get_or_init(|| now() / 1_000 / HISTORY_STEP * HISTORY_STEP - HISTORY_STEP)
}

/// The running Prometheus.
pub(crate) struct Prometheus {
    server: Guarded,
    address: String,
    jobs: AtomicUsize,
    always: OnceLock<[Job; 3]>,
}

/// Prometheus, shared by the run. It scrapes what [`Prometheus::scrape`] adds, evaluates the shipped alerts
/// (with short waits) and sends them to [`alertmanager`].
pub(crate) fn prometheus() -> &'static Prometheus {
    static SHARED: OnceLock<Prometheus> = OnceLock::new();
    SHARED.get_or_init(Prometheus::start)
}

impl Prometheus {
    fn start() -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let server = Guarded::start("prometheus", |folder| {
            prepare(folder);
            vec![
                format!("--config.file={}/prometheus.yml", folder.display()),
                format!("--storage.tsdb.path={}/data", folder.display()),
                format!("--web.listen-address={address}"),
                "--storage.tsdb.retention.time=30d".to_owned(),
            ]
        });
        eventually("Prometheus is ready", 60, || {
            http::get(&address, "/-/ready")
        });
        let prometheus = Self {
            server,
            address,
            jobs: AtomicUsize::new(0),
            always: OnceLock::new(),
        };
        let always = || ALWAYS.map(|job| Job::start_for(&prometheus, job));
        prometheus.always.get_or_init(always);
        prometheus
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        self.server.log()
    }

    /// Scrapes `address` every second as the job `job` until the answer is dropped. `instance` is the
    /// label of that name, by default the address.
    pub(crate) fn scrape(&self, job: &str, instance: &str, address: &str) -> Scrape {
        self.add("targets", job, instance, address)
    }

    /// Scrapes a forethought, with `honor_labels`, every second until the answer is dropped.
    pub(crate) fn scrape_forethought(&self, address: &str) -> Scrape {
        self.add("forethought", "forethought", address, address)
    }

    /// Scrapes the paths `/0`, `/1`, .. of `address` every second as the job `job` until the answer is
    /// dropped. Their numbers are the labels `instance`.
    pub(crate) fn scrape_paths(&self, job: &str, address: &str, paths: usize) -> Scrape {
        let targets = (0..paths).map(|path| {
            let path_label = format!("/{path}");
            let instance = path.to_string();
            serde_json::json!({
                "targets": [address],
                "labels": {"job": job, "instance": instance, "__metrics_path__": path_label}
            })
        });
        self.discover("targets", targets.collect())
    }

    /// The first number of its version.
    pub(crate) fn major_version(&self) -> u32 {
        let answer = http::json(&self.address, "/api/v1/status/buildinfo").unwrap();
        let version = answer.pointer("/data/version").and_then(Value::as_str);
        let (major, _) = version.unwrap().split_once('.').unwrap();
        major.parse().unwrap()
    }

    fn add(&self, folder: &str, job: &str, instance: &str, address: &str) -> Scrape {
        let labels = serde_json::json!({"job": job, "instance": instance});
        let target = serde_json::json!({"targets": [address], "labels": labels});
        self.discover(folder, vec![target])
    }

    fn discover(&self, folder: &str, targets: Vec<Value>) -> Scrape {
        let number = self.jobs.fetch_add(1, Ordering::SeqCst);
        let file = self.server.path(folder).join(format!("{number}.json"));
        let content = Value::Array(targets);
        // Renamed into place, so that Prometheus never reads half a file.
        let draft = file.with_extension("draft");
        fs::write(&draft, content.to_string()).unwrap();
        fs::rename(&draft, &file).unwrap();
        Scrape { file }
    }

    /// The answer to an instant query: label sets and values.
    pub(crate) fn query(&self, query: &str) -> Result<Vec<(Value, f64)>, String> {
        instant(&self.address, query)
    }

    /// The value of an instant query that must give exactly one series.
    pub(crate) fn value(&self, query: &str) -> Result<f64, String> {
        match self.query(query)?.as_slice() {
            [(_, value)] => Ok(*value),
            other => Err(format!("{query}: {} series instead of one", other.len())),
        }
    }
}

/// What Prometheus needs before it starts: its configuration, the alerts, the past.
fn prepare(folder: &Path) {
    for name in ["targets", "forethought", "data"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    write_alerts(&folder.join("alerts.yml"));
    let config = configuration(&alertmanager().address);
    fs::write(folder.join("prometheus.yml"), config).unwrap();
    let history = folder.join("history.om");
    fs::write(&history, open_metrics()).unwrap();
    create_blocks(&history, &folder.join("data"));
}

/// A Prometheus of one's own, which takes remote write; its configuration is made of its address.
pub(crate) fn prometheus_of(configuration: impl FnOnce(&str) -> String) -> Plain {
    let address = format!("127.0.0.1:{}", free_port());
    let server = Guarded::start("prometheus", |folder| {
        let config = folder.join("prometheus.yml");
        fs::write(&config, configuration(&address)).unwrap();
        vec![
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}/data", folder.display()),
            format!("--web.listen-address={address}"),
            "--web.enable-remote-write-receiver".to_owned(),
        ]
    });
    eventually("Prometheus is ready", 60, || {
        http::get(&address, "/-/ready")
    });
    Plain {
        address,
        _server: server,
    }
}

/// A target of Prometheus; not scraped any more once this is dropped.
#[derive(Debug)]
pub(crate) struct Scrape {
    file: PathBuf,
}

impl Drop for Scrape {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.file));
    }
}

/// An instant query by the Prometheus API: label sets and values.
pub(crate) fn instant(address: &str, query: &str) -> Result<Vec<(Value, f64)>, String> {
    ask(address, &format!("query={}", http::encode(query)))
}

/// The same at a time, in seconds since the epoch. What only the history answers is asked as of its end:
/// later than five minutes after it, an instant query finds nothing.
pub(crate) fn instant_at(address: &str, query: &str, at: i64) -> Result<Vec<(Value, f64)>, String> {
    ask(address, &format!("query={}&time={at}", http::encode(query)))
}

fn ask(address: &str, query: &str) -> Result<Vec<(Value, f64)>, String> {
    let answer = http::json(address, &format!("/api/v1/query?{query}"))?;
    let result = answer.pointer("/data/result").and_then(Value::as_array);
    let Some(result) = result else {
        return Err(format!("{query}: {answer}"));
    };
    result
        .iter()
        .map(|series| {
            let value = series.pointer("/value/1").and_then(Value::as_str);
            let value = value.and_then(|text| text.parse().ok());
            let labels = series.get("metric").cloned().unwrap_or_default();
            Ok((labels, value.ok_or_else(|| format!("{query}: {series}"))?))
        })
        .collect()
}

/// The shipped alerts, evaluated every second. What they wait for is shortened from minutes to seconds,
/// and nothing else: their expressions are the shipped ones.
fn write_alerts(path: &Path) {
    let mut groups = Vec::new();
    for file in files("alerts", "yml") {
        let text = read(&file);
        let Ok(Value::Object(mut document)) = serde_yaml::from_str::<Value>(&text) else {
            continue;
        };
        let Some(Value::Array(found)) = document.remove("groups") else {
            continue; // a unit test or the example of Alertmanager
        };
        groups.extend(found);
    }
    assert!(!groups.is_empty(), "no alert is shipped");
    for group in &mut groups {
        let group = group.as_object_mut().unwrap();
        group.insert("interval".to_owned(), "1s".into());
        for rule in group.get_mut("rules").unwrap().as_array_mut().unwrap() {
            rule.as_object_mut()
                .unwrap()
                .insert("for".to_owned(), "2s".into());
        }
    }
    // JSON is YAML.
    fs::write(path, serde_json::json!({ "groups": groups }).to_string()).unwrap();
}

fn configuration(alertmanager: &str) -> String {
    format!(
        r#"
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [alerts.yml]
alerting:
  alertmanagers: [{{static_configs: [{{targets: ["{alertmanager}"]}}]}}]
scrape_configs:
  - job_name: targets
    file_sd_configs: [{{files: [targets/*.json], refresh_interval: 1s}}]
  - job_name: forethought
    honor_labels: true
    file_sd_configs: [{{files: [forethought/*.json], refresh_interval: 1s}}]
"#
    )
}

/// The history in the OpenMetrics format, at multiples of [`HISTORY_STEP`], so that a range query on that
/// grid gives [`Past::at`] exactly.
fn open_metrics() -> String {
    let end = history_end();
    let mut text = String::new();
    for (job, pasts) in PASTS {
        let metric = pasts[0].metric;
        writeln!(text, "# TYPE {metric} gauge").unwrap();
        for past in *pasts {
            for back in (0..HISTORY / HISTORY_STEP).rev() {
                let at = end - back * HISTORY_STEP;
                let (path, value) = (past.path, past.at(at));
                writeln!(
                    text,
                    "{metric}{{path=\"{path}\",job=\"{job}\",instance=\"{job}\"}} {value} {at}"
                )
                .unwrap();
            }
        }
    }
    text.push_str("# EOF\n");
    text
}

fn create_blocks(history: &Path, data: &Path) {
    let (history, data) = (history.to_str().unwrap(), data.to_str().unwrap());
    let arguments = [
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        "-q",
        history,
        data,
    ];
    run("promtool", &arguments, None).unwrap();
}

/// A running server with nothing more to it than its address.
pub(crate) struct Plain {
    /// `host:port`.
    pub(crate) address: String,
    _server: Guarded,
}

/// Alertmanager, shared by the run. It keeps what it is sent and notifies nobody.
pub(crate) fn alertmanager() -> &'static Plain {
    static SHARED: OnceLock<Plain> = OnceLock::new();
    SHARED
        .get_or_init(|| alertmanager_of("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"))
}

/// An Alertmanager of one's own, with this configuration.
pub(crate) fn alertmanager_of(configuration: &str) -> Plain {
    let address = format!("127.0.0.1:{}", free_port());
    let server = Guarded::start("prometheus-alertmanager", |folder| {
        let config = folder.join("alertmanager.yml");
        fs::write(&config, configuration).unwrap();
        vec![
            format!("--config.file={}", config.display()),
            format!("--storage.path={}/data", folder.display()),
            format!("--web.listen-address={address}"),
            "--cluster.listen-address=".to_owned(),
        ]
    });
    eventually("Alertmanager is ready", 60, || {
        http::get(&address, "/-/ready")
    });
    Plain {
        address,
        _server: server,
    }
}

/// VictoriaMetrics with the history imported, shared by the run. Nothing goes on adding to it.
pub(crate) fn victoria_metrics() -> &'static Plain {
    static SHARED: OnceLock<Plain> = OnceLock::new();
    SHARED.get_or_init(|| {
        let own = victoria_metrics_of_its_own();
        import(&own.address);
        own
    })
}

/// An empty VictoriaMetrics of one's own.
pub(crate) fn victoria_metrics_of_its_own() -> Plain {
    let address = format!("127.0.0.1:{}", free_port());
    let server = Guarded::start("victoria-metrics", |folder| {
        vec![
            format!("-storageDataPath={}/data", folder.display()),
            format!("-httpListenAddr={address}"),
            "-search.latencyOffset=1s".to_owned(),
            "-retentionPeriod=1".to_owned(),
        ]
    });
    eventually("VictoriaMetrics is ready", 60, || {
        http::get(&address, "/health")
    });
    Plain {
        address,
        _server: server,
    }
}

/// Imports the history up to now into VictoriaMetrics.
fn import(address: &str) {
    let mut text = String::new();
    for line in open_metrics().lines().filter(|line| !line.starts_with('#')) {
        writeln!(text, "{line}000").unwrap(); // it wants milliseconds
    }
    let reply = http::request(
        "POST",
        address,
        "/api/v1/import/prometheus",
        &[],
        text.as_bytes(),
    );
    assert_eq!(reply.unwrap().status, 204);
    eventually("the import can be read", 30, || {
        http::get(address, "/internal/force_flush")?;
        let metric = PASTS[0].1[0].metric;
        match instant_at(address, &format!("count({metric})"), history_end())?.as_slice() {
            [(_, 3.0)] => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

/// The key that the tests sign with; the server takes any.
pub(crate) const ACCESS_KEY: &str = "AKIATESTSOFFORETHOUGHT";
/// Its secret part, which must not be seen anywhere.
pub(crate) const SECRET_KEY: &str = "c2VjcmV0LW9mLXRoZS10ZXN0cw";

/// A running S3 API server (moto), with a bucket `models`.
pub(crate) struct ObjectStore {
    /// `host:port`.
    pub(crate) address: String,
    _server: Guarded,
}

/// The S3 API server, shared by the run: each test has a prefix of its own.
pub(crate) fn object_store() -> &'static ObjectStore {
    static SHARED: OnceLock<ObjectStore> = OnceLock::new();
    SHARED.get_or_init(ObjectStore::start)
}

impl ObjectStore {
    /// One of one's own.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// One of one's own, with these variables in its environment.
    pub(crate) fn start_with(variables: &[&str]) -> Self {
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        let server = Guarded::start("env", |_| {
            let own = [
                python("moto_server"),
                "-H".to_owned(),
                "127.0.0.1".to_owned(),
            ];
            let variables = variables.iter().map(|&variable| variable.to_owned());
            let own = own.into_iter().chain(["-p".to_owned(), port.to_string()]);
            variables.chain(own).collect()
        });
        eventually("moto has a bucket", 60, || {
            let reply = http::request("PUT", &address, "/models", &[], b"")?;
            match reply.status {
                200 => Ok(()),
                status => Err(format!("{status} {}", reply.text())),
            }
        });
        Self {
            address,
            _server: server,
        }
    }

    /// As it is written in a configuration.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// A program of the Python that `tests/install` made.
pub(crate) fn python(program: &str) -> String {
    let path = installed("python/bin").join(program);
    path.display().to_string()
}

/// The folder with the `node_modules` that `tests/install` made.
pub(crate) fn node() -> String {
    installed("node").display().to_string()
}

/// What Helm, its own code, writes; where it fails what it says.
pub(crate) fn helm(arguments: &[&str]) -> Result<String, String> {
    let place = installed("helm").display().to_string();
    let homes = ["CACHE", "CONFIG", "DATA"].map(|what| format!("HELM_{what}_HOME={place}/home"));
    let program = format!("{place}/helm");
    let mut all: Vec<&str> = homes.iter().map(String::as_str).collect();
    all.push(&program);
    all.extend(arguments);
    let output = guard::output("env", &all, None);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stdout) + &text(&output.stderr)),
    }
}

/// `kubectl` against a server without encryption: its exit status, what it wrote, and what it complained of.
pub(crate) fn kubectl(server: &str, arguments: &[&str]) -> (bool, String, String) {
    let place = installed("helm").display().to_string();
    // What it remembers of a server is another server's here.
    let cache = tempfile::tempdir().unwrap();
    let own = [
        format!("HOME={}", cache.path().display()),
        "KUBECONFIG=/dev/null".to_owned(),
        format!("{place}/kubectl"),
        format!("--server=http://{server}"),
        format!("--cache-dir={}", cache.path().display()),
    ];
    let mut all: Vec<&str> = own.iter().map(String::as_str).collect();
    all.extend(arguments);
    let output = guard::output("env", &all, None);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.success(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn installed(folder: &str) -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join(folder)
}
