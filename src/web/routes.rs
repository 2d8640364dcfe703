//! Which path is what, and who may ask how.

use super::{
    Server, api, control, metrics,
    query::Query,
    records,
    reply::{self, Reply},
    write,
};
use hyper::{
    HeaderMap, Method, Request, StatusCode,
    body::Incoming,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, HeaderName},
    http::request,
};
use std::sync::Arc;

const READING: &str = "GET, HEAD";
const COMMANDING: &str = "POST, PUT";
const KEEPING: &str = "GET, HEAD, POST";
const CLEARING: &str = "GET, HEAD, POST, DELETE";
const ONE: &str = "GET, HEAD, DELETE";
const REMOVING: &str = "DELETE";
const PUSHING: &str = "POST";

/// Below this errors are `application/problem+json`.
const API: &str = "/api/";
/// Below this samples are pushed to a source by its name.
const WRITE: &str = "/api/v1/write/";
/// Below this are commands and what machines ask of the process.
const CONTROL: &str = "/-/";

/// What is where, behind the prefix; beside these the metrics, whose path can be chosen, [`api::Read::PATHS`] and the
/// records by their ids.
const PATHS: [(&str, Route); 16] = [
    ("/", Route::Page),
    ("/page.css", Route::Style),
    ("/page.js", Route::Script),
    ("/workloads.js", Route::Pictures),
    ("/favicon.ico", Route::Icon),
    ("/-/healthy", Route::Healthy),
    ("/-/ready", Route::Ready),
    ("/-/reload", Route::Reload),
    ("/-/quit", Route::Quit),
    ("/api/v1/status", Route::Status),
    ("/api/v1/signals", Route::Signals),
    ("/api/v1/series", Route::Series),
    ("/api/v1/events", Route::Events),
    ("/api/v1/overrides", Route::Overrides),
    ("/api/v1/scaling/decisions", Route::Decisions),
    ("/api/v1/write", Route::Write),
];

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Metrics,
    Page,
    Style,
    Script,
    /// The part of the page's script that draws workloads.
    Pictures,
    Icon,
    Healthy,
    Ready,
    Reload,
    Quit,
    Status,
    Signals,
    Series,
    /// What else is read as JSON.
    Read(api::Read),
    Events,
    /// `/api/v1/events/ID`.
    Event,
    Overrides,
    /// `/api/v1/overrides/ID`.
    Override,
    Decisions,
    /// `/api/v1/write`, or `/api/v1/write/SOURCE`.
    Write,
    /// The path without the slash behind the prefix, or without the prefix.
    Elsewhere,
    Unknown,
}

impl Route {
    fn of(path: &str, prefix: &str, telemetry_path: &str) -> Self {
        let Some(path) = path.strip_prefix(prefix) else {
            return if path == "/" {
                Self::Elsewhere
            } else {
                Self::Unknown
            };
        };
        if path == telemetry_path {
            return Self::Metrics;
        }
        let found = PATHS.iter().find(|(own, _)| *own == path);
        match found {
            Some((_, route)) => *route,
            None if path.is_empty() => Self::Elsewhere,
            None if is_one_of(path, "/api/v1/events/") => Self::Event,
            None if is_one_of(path, "/api/v1/overrides/") => Self::Override,
            None if is_one_of(path, WRITE) => Self::Write,
            None => api::Read::of(path).map_or(Self::Unknown, Self::Read),
        }
    }

    /// Its name in our own metrics: few, whatever paths people try.
    fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Page
            | Self::Style
            | Self::Script
            | Self::Pictures
            | Self::Icon
            | Self::Elsewhere => "page",
            Self::Healthy => "healthy",
            Self::Ready => "ready",
            Self::Reload => "reload",
            Self::Quit => "quit",
            Self::Status => "status",
            Self::Signals => "signals",
            Self::Series => "series",
            Self::Read(read) => read.name(),
            Self::Events | Self::Event => "events",
            Self::Overrides | Self::Override => "overrides",
            Self::Decisions => "decisions",
            Self::Write => "write",
            Self::Unknown => "unknown",
        }
    }

    fn allowed(self) -> &'static str {
        match self {
            Self::Reload | Self::Quit => COMMANDING,
            Self::Events => KEEPING,
            Self::Overrides => CLEARING,
            Self::Event => ONE,
            Self::Override => REMOVING,
            Self::Write => PUSHING,
            _ => READING,
        }
    }

    fn parameters(self, method: &Method) -> &'static [&'static str] {
        match self {
            Self::Overrides if method == Method::DELETE => &["workload"],
            Self::Events | Self::Overrides if method == Method::POST => &["unknown_workload"],
            _ if !matches!(*method, Method::GET | Method::HEAD) => &[],
            Self::Events => &["active", "after", "before", "cursor", "limit"],
            Self::Overrides => &["cursor", "limit"],
            Self::Decisions => &["cursor", "limit", "since", "until", "workload"],
            Self::Metrics => &["name[]"],
            Self::Series => &["limit", "signal", "since"],
            Self::Read(read) => read.parameters(),
            _ => &[],
        }
    }

    /// Whether it is about what the store keeps.
    fn is_of_store(self) -> bool {
        matches!(
            self,
            Self::Events | Self::Event | Self::Overrides | Self::Override | Self::Decisions
        )
    }
}

/// Every fixed path, without the prefix.
fn paths() -> impl Iterator<Item = &'static str> {
    let own = PATHS.iter().map(|(path, _)| *path);
    own.chain(api::Read::PATHS.iter().map(|(path, _)| *path))
}

/// Whether something else than the metrics is at a path, or may come there in a later version.
pub(super) fn is_taken(path: &str) -> bool {
    let is_below = |folder: &str| path.starts_with(folder);
    paths().any(|own| own == path) || is_below(API) || is_below(CONTROL)
}

/// Whether `path` is `folder` and one more name.
fn is_one_of(path: &str, folder: &str) -> bool {
    let name = path.strip_prefix(folder);
    name.is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

/// Answers one request, and counts it.
pub(super) async fn answer(server: Arc<Server>, request: Request<Incoming>) -> Reply {
    // Only routes of the store and of pushes read a body; hyper throws away what comes of others.
    let (head, body) = request.into_parts();
    let settings = &server.state.settings;
    let route = Route::of(
        head.uri.path(),
        &settings.route_prefix,
        &settings.telemetry_path,
    );
    let events = Arc::clone(&server.state.telemetry.web);
    let running = events.begin(route.name());
    let reply = respond(&server, route, &head, body).await;
    running.finish(reply.status().as_u16());
    if head.method == Method::HEAD {
        return reply::head_only(reply);
    }
    reply
}

async fn respond(
    server: &Arc<Server>,
    route: Route,
    head: &request::Parts,
    body: Incoming,
) -> Reply {
    let (path, prefix) = (head.uri.path(), &server.state.settings.route_prefix);
    let below = path.strip_prefix(&**prefix).unwrap_or(path);
    let is_api = below.starts_with(API);
    if route == Route::Unknown {
        return unknown(server, path, is_api);
    }
    let allowed = route.allowed();
    if !allowed.split(", ").any(|method| head.method == method) {
        return reply::not_allowed(allowed, is_api);
    }
    if route == Route::Write {
        let source = below.strip_prefix(WRITE).unwrap_or_default();
        return write::answer(&server.state, source, head, body).await;
    }
    if let Some(refused) = refuse_body(server, route, &head.headers, is_api) {
        return refused;
    }
    let query = match Query::parse(head.uri.query(), route.parameters(&head.method)) {
        Ok(query) => query,
        Err(sentence) => {
            return reply::error(StatusCode::BAD_REQUEST, &sentence, is_api);
        }
    };
    if route.is_of_store() {
        let gzip = Wishes::of(&head.headers).gzip;
        return records::answer(&server.state, route, head, &query, gzip, body).await;
    }
    dispatch(server, route, &query, &Wishes::of(&head.headers)).await
}

async fn dispatch(server: &Arc<Server>, route: Route, query: &Query, wishes: &Wishes) -> Reply {
    match route {
        Route::Metrics => metrics::answer(server, query, wishes).await,
        Route::Page => reply::asset("text/html; charset=utf-8", include_str!("page/index.html")),
        Route::Style => reply::asset("text/css; charset=utf-8", include_str!("page/page.css")),
        Route::Script => reply::asset(
            "text/javascript; charset=utf-8",
            include_str!("page/page.js"),
        ),
        Route::Pictures => reply::asset(
            "text/javascript; charset=utf-8",
            include_str!("page/workloads.js"),
        ),
        Route::Icon => reply::parts(StatusCode::NO_CONTENT, "image/x-icon", Vec::new()),
        Route::Elsewhere => reply::redirect(&format!("{}/", server.state.settings.route_prefix)),
        Route::Healthy => reply::text(StatusCode::OK, "forethought is healthy"),
        Route::Ready => control::ready(&server.state),
        Route::Reload => control::reload(&server.state).await,
        Route::Quit => control::quit(&server.state).await,
        Route::Status => api::status(server, wishes.gzip),
        Route::Signals => api::signals(&server.state, wishes.gzip),
        Route::Series => api::series(server, query, wishes.gzip).await,
        Route::Read(read) => read.answer(&server.state, query, wishes.gzip),
        // Those of the store and of pushes were answered before.
        Route::Unknown
        | Route::Write
        | Route::Events
        | Route::Event
        | Route::Overrides
        | Route::Override
        | Route::Decisions => unknown(server, "", true),
    }
}

/// What the reader would like.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// `Accept`, all of it.
    pub(super) accept: Option<String>,
    /// Whether gzip is fine.
    pub(super) gzip: bool,
}

impl Wishes {
    fn of(headers: &HeaderMap) -> Self {
        Self {
            accept: joined(headers, &ACCEPT),
            gzip: crate::expo::wants_gzip(joined(headers, &ACCEPT_ENCODING).as_deref()),
        }
    }
}

/// A header that may come in several lines, which mean the same as one with commas.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Vec<&str> = headers
        .get_all(name)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

fn refuse_body(server: &Server, route: Route, headers: &HeaderMap, is_api: bool) -> Option<Reply> {
    let limit = server.state.settings.limits.body;
    let announced: u64 = headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
    (announced > limit).then(|| {
        if route.is_of_store() {
            return records::too_long(limit);
        }
        let sentence =
            format!("a request's body may have at most {limit} bytes; no path here needs one");
        reply::error(StatusCode::PAYLOAD_TOO_LARGE, &sentence, is_api)
    })
}

fn unknown(server: &Server, path: &str, is_api: bool) -> Reply {
    let settings = &server.state.settings;
    let prefix = &settings.route_prefix;
    let mut all: Vec<&str> = paths().collect();
    all.push(&settings.telemetry_path);
    all.sort_unstable();
    let all: Vec<String> = all.iter().map(|path| format!("{prefix}{path}")).collect();
    let sentence = format!("nothing is at {path:?}; there are {}", all.join(", "));
    reply::error(StatusCode::NOT_FOUND, &sentence, is_api)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_behind_the_prefix() {
        let cases = [
            ("/", "", Route::Page),
            ("", "", Route::Elsewhere),
            ("/metrics", "", Route::Metrics),
            ("/metrics/", "", Route::Unknown),
            ("/x/metrics", "/x", Route::Metrics),
            ("/metrics", "/x", Route::Unknown),
            ("/x", "/x", Route::Elsewhere),
            ("/x/", "/x", Route::Page),
            ("/", "/x", Route::Elsewhere),
            ("/xmetrics", "/x", Route::Unknown),
            ("/-/reload", "", Route::Reload),
            ("/api/v1/series", "", Route::Series),
            ("/api/v1/events", "", Route::Events),
            ("/api/v1/events/", "", Route::Unknown),
            ("/x/api/v1/events/k3v9", "/x", Route::Event),
            ("/api/v1/events/k3v9/x", "", Route::Unknown),
            ("/api/v1/overrides/k3v9", "", Route::Override),
            ("/api/v1/scaling/decisions", "", Route::Decisions),
            ("/page/../metrics", "", Route::Unknown),
        ];
        for (path, prefix, route) in cases {
            assert_eq!(
                Route::of(path, prefix, "/metrics"),
                route,
                "{prefix} {path}"
            );
        }
    }

    #[test]
    fn metrics_cannot_be_where_something_else_is() {
        let is_refused = |path: &str| {
            let settings = super::super::Settings {
                telemetry_path: path.to_owned(),
                ..Default::default()
            };
            !settings.validate().is_empty()
        };
        for path in paths().chain(["/api/v2/metrics", "/-/metrics"]) {
            assert!(is_refused(path), "{path}");
        }
        assert!(!is_refused("/metrics") && !is_refused("/page/metrics"));
    }

    #[test]
    fn every_path_is_in_the_table() {
        let table = include_str!("mod.rs");
        for path in paths() {
            assert!(table.contains(&format!("`{path}`")), "{path}");
        }
    }
}
