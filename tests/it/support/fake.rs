//! A Prometheus API that gives a known series, and misbehaves on order.

use super::{
    server::{Answer, Asked, Server},
    servers::Past,
};
use std::{
    fmt::Write,
    sync::{Arc, Mutex},
};

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As Prometheus would.
    Well,
    /// This status, with the error document of the API.
    Status(u16),
    /// A page for people, with success: a log-in page, a proxy's apology.
    Html,
    /// The connection breaks in the middle of the answer.
    Half,
    /// No answer.
    Hang,
    /// The connection is closed without an answer.
    Close,
    /// An endless answer.
    Endless,
    /// JSON of other types than the API promises.
    WrongTypes,
    /// Every value is not a number, or infinite.
    NotFinite,
    /// Right values, some points twice and the newest first.
    Disordered,
}

/// A source under the test's control.
pub(crate) struct Fake {
    server: Server,
    mode: Arc<Mutex<Mode>>,
}

impl Fake {
    /// Serves this series, whatever is asked for.
    pub(crate) fn start(past: Past) -> Self {
        let mode = Arc::new(Mutex::new(Mode::Well));
        let ordered = Arc::clone(&mode);
        let server = Server::start(move |asked| {
            let mode = *ordered.lock().unwrap();
            answer(asked, past, mode)
        });
        Self { server, mode }
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        self.server.address()
    }

    /// Behaves like this from now on.
    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// Stops listening.
    pub(crate) fn refuse(&mut self) {
        self.server.refuse();
    }

    /// Listens again.
    pub(crate) fn resume(&mut self) {
        self.server.resume();
    }
}

fn answer(asked: &Asked, past: Past, mode: Mode) -> Answer {
    match mode {
        Mode::Well => Answer::json(200, document(asked, past, plain)),
        Mode::Status(code) => Answer::json(
            code,
            r#"{"status":"error","errorType":"execution","error":"on order of the test"}"#,
        ),
        Mode::Html => Answer::Whole(200, "text/html", "<html><body>Sign in</body></html>".into()),
        Mode::Half => Answer::Half(document(asked, past, plain)),
        Mode::Hang => Answer::Hang,
        Mode::Close => Answer::Close,
        Mode::Endless => Answer::Endless,
        Mode::WrongTypes => Answer::json(
            200,
            r#"{"status":"success","data":{"resultType":"matrix","result":{"metric":3,"values":"no"}}}"#,
        ),
        Mode::NotFinite => Answer::json(200, document(asked, past, not_finite)),
        Mode::Disordered => Answer::json(200, document(asked, past, disordered)),
    }
}

type Points = Vec<(i64, String)>;

fn plain(points: Points) -> Points {
    points
}

fn not_finite(points: Points) -> Points {
    let words = ["NaN", "+Inf", "-Inf"].into_iter().cycle();
    let turned = points.into_iter().zip(words);
    turned
        .map(|((at, _), word)| (at, word.to_owned()))
        .collect()
}

fn disordered(mut points: Points) -> Points {
    let twice: Points = points.iter().step_by(2).cloned().collect();
    points.extend(twice);
    points.reverse();
    points
}

/// The answer to a range query, or to an instant query where no range is asked for.
fn document(asked: &Asked, past: Past, turn: fn(Points) -> Points) -> String {
    let metric = format!("{{\"path\":\"{}\"}}", past.path);
    if !asked.path.ends_with("query_range") {
        let at = asked.seconds("time") as i64;
        let value = past.at(at);
        return format!(
            r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{metric},"value":[{at},"{value}"]}}]}}}}"#
        );
    }
    let (start, end) = (asked.seconds("start") as i64, asked.seconds("end") as i64);
    let step = (asked.seconds("step") as i64).max(1);
    let mut points = Points::new();
    let mut at = start;
    while at <= end {
        points.push((at, past.at(at).to_string()));
        at += step;
    }
    let mut values = String::new();
    for (at, value) in turn(points) {
        write!(values, "[{at},\"{value}\"],").unwrap();
    }
    values.pop();
    format!(
        r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{metric},"values":[{values}]}}]}}}}"#
    )
}

/// The answer to a range query: for each of `pasts` the values that `value` gives at times in seconds.
pub(crate) fn document_of(
    asked: &Asked,
    pasts: &[Past],
    value: impl Fn(&Past, i64) -> f64,
) -> String {
    let (start, end) = (asked.seconds("start") as i64, asked.seconds("end") as i64);
    let step = (asked.seconds("step") as i64).max(1);
    let times = || (start..=end).step_by(step as usize);
    let series = |past: &Past| {
        let point = |at: i64| format!("[{at},\"{}\"]", value(past, at));
        let points: Vec<String> = times().map(point).collect();
        let points = points.join(",");
        format!(
            "{{\"metric\":{{\"path\":\"{}\"}},\"values\":[{points}]}}",
            past.path
        )
    };
    let series: Vec<String> = pasts.iter().map(series).collect();
    let series = series.join(",");
    format!(
        "{{\"status\":\"success\",\"data\":{{\"resultType\":\"matrix\",\"result\":[{series}]}}}}"
    )
}
