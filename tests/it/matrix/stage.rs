//! What rows share: one program, and a source that fails each of its workloads in another way.

use super::ways::Ends;
use crate::support::{
    eventually,
    fake::document_of,
    front::Front,
    now,
    program::Program,
    server::{Answer, Asked, Server},
    servers::Past,
};
use std::sync::{Arc, Mutex, MutexGuard};

/// What one replica takes.
pub(super) const CAPACITY: f64 = 10.0;
/// Seconds from one rush to the next, and how long one takes.
pub(super) const RHYTHM: i64 = 60;
pub(super) const RUSH: i64 = 20;
/// What is asked for between them. It takes a replica, for which nobody is woken.
const TRICKLE: f64 = 3.0;

const ERROR: &str = r#"{"status":"error","errorType":"unavailable","error":"on order"}"#;

/// How the source behaves towards one workload.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    None,
    /// Success, and no series.
    Empty,
    /// The API's error.
    Failing,
    /// What is not a number.
    NotFinite,
    /// Samples are an hour old: its clock, or what it scrapes, stands still.
    Behind,
    /// The history of the signal has no answer, the demand of now has: forecasts get old.
    NoHistory,
    /// A second series matches.
    Twice,
    /// The history of the signal, and with it what its model says, is so many times the demand; that of now is true.
    Model(f64),
}

/// What a workload is asked for.
#[derive(Debug)]
pub(super) enum Load {
    /// So much since so many seconds, the newest last; 50 before.
    Steps(Vec<(i64, f64)>),
    /// Hardly anything but in rushes, one of which begins at this second.
    Rushes(i64),
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) fault: Fault,
    pub(super) load: Load,
}

impl World {
    pub(super) fn demand(&self, seconds: i64) -> f64 {
        match &self.load {
            Load::Steps(steps) => {
                let since = steps.iter().rev().find(|(from, _)| *from <= seconds);
                let level = since.map_or(50.0, |(_, demand)| *demand);
                level * (1.0 + 0.02 * (seconds as f64 / 7.0).sin())
            }
            Load::Rushes(first) if (seconds - first).rem_euclid(RHYTHM) < RUSH => 80.0,
            Load::Rushes(_) => TRICKLE,
        }
    }

    fn answer(&self, asked: &Asked) -> Answer {
        let past = |path| Past {
            metric: "demand",
            path,
            level: 1.0,
            swing: 0.2,
            season: 600.0,
        };
        let is_now = asked.parameter("query").contains("now");
        let all = match self.fault {
            Fault::Twice if is_now => vec![past("/"), past("/other")],
            _ => vec![past("/")],
        };
        let document = |value: &dyn Fn(i64) -> f64| {
            Answer::json(200, document_of(asked, &all, |_, at| value(at)))
        };
        match self.fault {
            Fault::Empty => Answer::json(
                200,
                r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#,
            ),
            Fault::Failing => Answer::json(503, ERROR),
            Fault::NoHistory if !is_now => Answer::json(503, ERROR),
            Fault::NotFinite => document(&|at| if at % 2 == 0 { f64::NAN } else { f64::INFINITY }),
            Fault::Behind => Answer::json(
                200,
                r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"path":"/"},"values":[[1000000000,"1"]]}]}}"#,
            ),
            Fault::Model(times) if !is_now => document(&|at| self.demand(at) * times),
            _ => document(&|at| self.demand(at)),
        }
    }
}

/// A workload of its own, with a source and a signal of its own: what fails in one row is no other's business.
#[derive(Debug)]
pub(super) struct Row {
    /// Of the workload and of its source.
    pub(super) name: &'static str,
    world: Mutex<World>,
    signal: &'static str,
    workload: String,
}

impl Row {
    /// With a steady load, at least one replica, and more asked for than the present needs while the signal is there.
    pub(super) fn ahead(name: &'static str) -> Self {
        let when = format!("requests_{name} > 20");
        Self::steady(
            name,
            &format!("{{when: '{when}', scale: 2, cooldown: 2s, priority: 1}}"),
        )
    }

    /// The same with no more than the forecast asks for.
    pub(super) fn foreseen(name: &'static str) -> Self {
        Self::steady(name, "")
    }

    fn steady(name: &'static str, rules: &str) -> Self {
        Self {
            name,
            world: Mutex::new(World {
                fault: Fault::None,
                load: Load::Steps(Vec::new()),
            }),
            signal: "seasonality: [], forecast: {horizons: [10s], models: [last_value: {}]}",
            workload: format!(
                "lead_time: 10s, pipeline: 4s, limits: {{min: 1, max: 100, hold: 4s}}, \
                 gate: {{min_skill: -10, coverage_tolerance: 0.5, max_age: 8s}}, rules: [{rules}]"
            ),
        }
    }

    /// With rushes, and hardly anything between them: it may sleep. A rush began at `first`.
    pub(super) fn rushing(name: &'static str, first: i64) -> Self {
        Self {
            name,
            world: Mutex::new(World {
                fault: Fault::None,
                load: Load::Rushes(first),
            }),
            signal: "seasonality: [1m], forecast: {horizons: [10s], models: [seasonal_naive: {}]}",
            workload: "lead_time: 10s, pipeline: 4s, \
                 limits: {min: 0, max: 50, hold: 4s, stabilisation: {down: 0s}, retry_storm: 0s, hysteresis: 0, oscillation: {changes: 16, within: 1m}}, \
                 gate: {min_skill: -10, coverage_tolerance: 0.5, max_jump: 1000}"
                .to_owned(),
        }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}

/// The source of all rows.
pub(super) struct Stage {
    pub(super) rows: Arc<Vec<Row>>,
    pub(super) configuration: String,
    _server: Server,
}

impl Stage {
    pub(super) fn new(rows: Vec<Row>) -> Self {
        let rows = Arc::new(rows);
        let shared = Arc::clone(&rows);
        let server = Server::start(move |asked| {
            let mut parts = asked.path.split('/').skip(1);
            let row = parts
                .next()
                .and_then(|name| shared.iter().find(|row| row.name == name));
            row.map_or_else(|| Answer::json(404, ERROR), |row| row.world().answer(asked))
        });
        let address = server.address();
        let of = |part: &dyn Fn(&Row) -> String| rows.iter().map(part).collect::<String>();
        let sources = of(&|row| {
            let name = row.name;
            format!(
                "  - {{name: {name}, prometheus: {{url: 'http://{address}/{name}', retries: 0, timeout: 2s}}}}\n"
            )
        });
        let signals = of(&|row| {
            let (name, more) = (row.name, row.signal);
            format!(
                "  - {{name: requests_{name}, source: {name}, query: demand, step: 2s, history: 1h, offset: 1s, max_age: 8s, {more}}}\n"
            )
        });
        // The demand of now counts for six seconds, and a decision is made of it every two.
        let workloads = of(&|row| {
            let (name, more) = (row.name, &row.workload);
            format!(
                "  - {{name: {name}, demand: {{signal: requests_{name}, query: now, max_age: 6s}}, capacity_per_replica: {CAPACITY}, mode: guarded, {more}}}\n"
            )
        });
        let configuration = format!(
            "global: {{evaluation_interval: 2s}}\nsources:\n{sources}signals:\n{signals}workloads:\n{workloads}"
        );
        Self {
            rows,
            configuration,
            _server: server,
        }
    }

    /// A program that serves the rows by every way.
    pub(super) fn start(&self, front: &Front, grpc: &str) -> Program {
        let external = format!(
            "--external.config.file={}",
            front.file(&front.unreviewed()).display()
        );
        let grpc = format!("--grpc.listen-address={grpc}");
        Program::start(
            &self.configuration,
            &[&grpc, "--external.listen-address=127.0.0.1:0", &external],
        )
    }

    /// The same, once the forecasts of all rows count, and all that look ahead ask for more than the present does.
    pub(super) fn ready(&self, front: &Front) -> Program {
        let program = self.start(front, "127.0.0.1:0");
        program.becomes_ready();
        eventually("all rows are well", 60, || {
            let status = program.json("/api/v1/scaling/status")?;
            if status["gates_open"] != self.rows.len() {
                return Err(status.to_string());
            }
            for row in self
                .rows
                .iter()
                .filter(|row| row.workload.contains("scale: 2"))
            {
                let value =
                    program.json(&format!("/api/v1/scaling/value?workload={}", row.name))?;
                if value["replicas"].as_u64().is_none_or(|size| size < 8) {
                    return Err(value.to_string());
                }
            }
            Ok(())
        });
        program
    }

    /// Every row has this demand from now on.
    pub(super) fn load(&self, demand: f64) {
        for row in self.rows.iter() {
            if let Load::Steps(steps) = &mut row.world().load {
                steps.push((now() / 1_000, demand));
            }
        }
    }

    /// The source behaves so towards a row from now on.
    pub(super) fn set(&self, name: &str, fault: Fault) {
        self.row(name).world().fault = fault;
    }

    pub(super) fn row(&self, name: &str) -> &Row {
        self.rows.iter().find(|row| row.name == name).unwrap()
    }
}

/// Where a program answers.
pub(super) fn ends(program: &Program) -> Ends {
    Ends {
        grpc: program.grpc_address(),
        web: program.address().to_owned(),
        external: program.external_address(),
    }
}
